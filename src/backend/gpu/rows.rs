//! Kernels that see tensors as rows along one dimension: softmax, scan, sort, gather, scatter; and advanced indexing.

use super::device::*;
use super::plan::collapse;
use crate::backend::kernels::ROWS;
use crate::backend::memory;

const SOFTMAX: &str = include_str!("../kernels/softmax.cl");
const SCAN: &str = include_str!("../kernels/scan.cl");
const SORT: &str = include_str!("../kernels/sort.cl");
const INDEX: &str = include_str!("../kernels/index.cl");

/// The struct `Rows` of rows.h and what the launch needs of it.
pub(super) struct RowPlan {
    bytes: SmallVec<[u8; 64]>,
    tensors: usize,
    rank: usize,
    pub rows: usize,
    pub len: usize,
}

impl RowPlan {
    /// Rows along `dim` (None: every element is a row of length 1) of `shape`, over the layouts of all tensors.
    fn new(shape: &[i64], dim: Option<usize>, layouts: &[&Layout]) -> RowPlan {
        let others: SmallVec<[usize; 6]> = (0..shape.len()).filter(|d| Some(*d) != dim).collect();
        let pick = |v: &[i64]| -> SmallVec<[i64; 6]> { others.iter().map(|d| v[*d]).collect() };
        let sizes = pick(shape);
        let strides: SmallVec<[SmallVec<[i64; 6]>; 4]> = layouts.iter().map(|l| pick(&l.strides)).collect();
        let lists: SmallVec<[&[i64]; 4]> = strides.iter().map(|s| &s[..]).collect();
        let mut plan = collapse(&sizes, &lists, false);
        if plan.shape.is_empty() {
            plan.shape.push(1);
            plan.strides.iter_mut().for_each(|s| s.push(0));
        }
        let rows: i64 = plan.shape.iter().product();
        let len = dim.map_or(1, |d| shape[d]);
        let mut pack = Pack::default();
        pack.i64(rows);
        pack.i64(len);
        layouts.iter().for_each(|l| pack.i64(l.offset));
        layouts.iter().for_each(|l| pack.i64(dim.map_or(0, |d| l.strides[d])));
        plan.shape.iter().for_each(|s| pack.i64(*s));
        plan.strides.iter().flatten().for_each(|s| pack.i64(*s));
        RowPlan {
            bytes: pack.0,
            tensors: layouts.len(),
            rank: plan.shape.len(),
            rows: rows as usize,
            len: len as usize,
        }
    }
    fn arg<'a>(&self) -> Arg<'a> {
        Arg::Bytes(self.bytes.clone())
    }
    fn defs(&self) -> [(&'static str, Def); 2] {
        [("NT", Def::Int(self.tensors as i64)), ("RANK", Def::Int(self.rank as i64))]
    }
}

fn accumulator(d: DType) -> DType {
    if d.is_float() {
        d.compute()
    } else {
        DType::I64
    }
}

impl Gpu {
    fn row_kernel(
        &self,
        name: &'static str,
        source: &'static str,
        plan: &RowPlan,
        more: &[(&'static str, Def)],
    ) -> Result<Arc<Compiled>> {
        let mut defs: SmallVec<[(&'static str, Def); 8]> = SmallVec::from_slice(&plan.defs());
        defs.extend_from_slice(more);
        self.kernel_of(name, &[ROWS, source], &defs)
    }

    /// Softmax (two tensors: input, out) or its gradient (three: grad, output, out).
    pub(super) fn softmax_rows(&self, log: bool, views: &[View], dim: usize) -> Result<()> {
        let out = views[views.len() - 1];
        if out.layout.numel() == 0 {
            return Ok(());
        }
        if !out.dtype.is_float() {
            return Err(Error::unsupported("softmax", out.dtype, self.device));
        }
        let layouts: SmallVec<[&Layout; 4]> = views.iter().map(|v| v.layout).collect();
        let scalar = out.layout.ndim() == 0;
        let plan = RowPlan::new(&out.layout.shape, (!scalar).then_some(dim), &layouts);
        let mut defs: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(out.dtype)), ("A", Def::Type(out.dtype.compute()))]);
        if log {
            defs.push(("LOG", Def::Int(1)));
        }
        let name = if views.len() == 2 {
            defs.push(("FORWARD", Def::Int(1)));
            "softmax"
        } else {
            "softmax_backward"
        };
        let unit = !scalar && views.iter().all(|v| v.layout.strides[dim] == 1);
        if unit {
            defs.push(("UNIT", Def::Int(1)));
        }
        let group = self.info.kind != "cpu" && unit && plan.len >= 64;
        if group {
            defs.push(("GROUP", Def::Int(GROUP as i64)));
        } else if views.len() == 2 && !log && out.dtype == out.dtype.compute() {
            defs.push(("KEEP", Def::Int(1)));
        }
        let kernel = self.row_kernel(name, SOFTMAX, &plan, &defs)?;
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        for v in views {
            args.push(Arg::Mem(self.view(v)?));
        }
        args.push(plan.arg());
        if group {
            return self.launch(&kernel, &args, [plan.rows * GROUP, 1, 1], [GROUP, 1, 1]);
        }
        let local = if plan.rows >= 64 { 16 } else { 1 };
        self.launch(&kernel, &args, [plan.rows, 1, 1], [local, 1, 1])
    }

    pub(super) fn scan_rows(
        &self,
        op: ScanOp,
        input: View,
        dim: usize,
        out: View,
        indices: Option<View>,
    ) -> Result<()> {
        if out.layout.numel() == 0 {
            return Ok(());
        }
        let code = match op {
            ScanOp::Sum => 1,
            ScanOp::Prod => 2,
            ScanOp::LogSumExp => 3,
            ScanOp::Max => 4,
            ScanOp::Min => 5,
        };
        if op == ScanOp::LogSumExp && !input.dtype.is_float() {
            return Err(Error::unsupported("scan", input.dtype, self.device));
        }
        let index = match (code >= 4, indices) {
            (true, None) => bail!(Internal, "scan: max and min need an index output"),
            (wanted, given) => given.filter(|_| wanted),
        };
        let mut layouts: SmallVec<[&Layout; 4]> = SmallVec::from_slice(&[input.layout, out.layout]);
        layouts.extend(index.as_ref().map(|v| v.layout));
        let plan = RowPlan::new(&input.layout.shape, Some(dim), &layouts);
        // A long sum in float32 would lose digits: float64 where the device has it, else with a compensation.
        let carried = match (code, input.dtype) {
            (1 | 2, dtype) if dtype.is_float() && self.info.fp64 => DType::F64,
            (_, dtype) => accumulator(dtype),
        };
        let mut defs: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(input.dtype)), ("A", Def::Type(carried)), ("OP", Def::Int(code))]);
        if code == 1 && carried == DType::F32 {
            defs.push(("COMPENSATED", Def::Int(1)));
        }
        let kernel = self.row_kernel("scan", SCAN, &plan, &defs)?;
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        for v in [Some(input), Some(out), index].iter().flatten() {
            args.push(Arg::Mem(self.view(v)?));
        }
        args.push(plan.arg());
        let local = if plan.rows >= 64 { 16 } else { 1 };
        self.launch(&kernel, &args, [plan.rows, 1, 1], [local, 1, 1])
    }

    /// `serial`: with work-items that merge a stretch each, for a device whose work-items run one after the other.
    pub(super) fn sort_rows(
        &self,
        input: View,
        dim: usize,
        descending: bool,
        values: View,
        indices: View,
        serial: bool,
    ) -> Result<()> {
        if input.layout.numel() == 0 {
            return Ok(());
        }
        let dim = (input.layout.ndim() > 0).then_some(dim);
        let from = RowPlan::new(&input.layout.shape, dim, &[input.layout]);
        let (keys, places) = self.sorted(&input, self.view(&input)?, &from, descending, serial)?;
        let to = RowPlan::new(&input.layout.shape, dim, &[values.layout, indices.layout]);
        let defs = [("T", Def::Type(input.dtype)), ("SORT_STORE", Def::Int(1))];
        let kernel = self.row_kernel("sort_store", SORT, &to, &defs)?;
        let args =
            [keys.mem().into(), places.mem().into(), self.view(&values)?.into(), self.view(&indices)?.into(), to.arg()];
        self.launch_1d(&kernel, &args, to.rows * to.len)
    }

    /// Keys (in the compute type) and original places of the rows of `mem`, sorted stably.
    fn sorted(
        &self,
        v: &View,
        mem: &Mem,
        plan: &RowPlan,
        descending: bool,
        serial: bool,
    ) -> Result<(DeviceBuffer, DeviceBuffer)> {
        const RUN: usize = 32;
        const PART: usize = 2 * RUN;
        let total = plan.rows * plan.len;
        let make = || -> Result<(DeviceBuffer, DeviceBuffer)> {
            Ok((self.scratch(total * v.dtype.compute().size())?, self.scratch(total * 8)?))
        };
        let mut defs: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(v.dtype)), ("RUN", Def::Int(RUN as i64))]);
        if descending {
            defs.push(("DESCENDING", Def::Int(1)));
        }
        if v.dtype.is_float() {
            defs.push(("FLOATING", Def::Int(1)));
        }
        let first = make()?;
        let mut with = defs.clone();
        with.push(("SORT_RUNS", Def::Int(1)));
        let kernel = self.row_kernel("sort_runs", SORT, plan, &with)?;
        let args = [mem.into(), first.0.mem().into(), first.1.mem().into(), plan.arg()];
        let runs = plan.rows * plan.len.div_ceil(RUN);
        self.launch(&kernel, &args, [runs, 1, 1], [if runs >= 256 { 32 } else { 1 }, 1, 1])?;
        if plan.len <= RUN {
            return Ok(first);
        }
        let second = make()?;
        let parts = serial.then(|| plan.rows * plan.len.div_ceil(PART));
        let kernel = if parts.is_some() {
            defs.extend([("SORT_MERGE_PARTS", Def::Int(1)), ("PART", Def::Int(PART as i64))]);
            self.kernel_of("sort_merge_parts", &[SORT], &defs)?
        } else {
            defs.push(("SORT_MERGE", Def::Int(1)));
            self.kernel_of("sort_merge", &[SORT], &defs)?
        };
        let (mut from, mut to, mut width) = (first, second, RUN);
        while width < plan.len {
            let args = [
                from.0.mem().into(),
                from.1.mem().into(),
                to.0.mem().into(),
                to.1.mem().into(),
                (plan.rows as i64).into(),
                (plan.len as i64).into(),
                (width as i64).into(),
            ];
            match parts {
                Some(n) => self.launch(&kernel, &args, [n, 1, 1], [if n >= 256 { 32 } else { 1 }, 1, 1])?,
                None => self.launch_1d(&kernel, &args, total)?,
            }
            std::mem::swap(&mut from, &mut to);
            width *= 2;
        }
        Ok(from)
    }

    pub(super) fn gather_rows(&self, input: View, dim: usize, index: View, out: View) -> Result<()> {
        if out.layout.numel() == 0 {
            return Ok(());
        }
        let plan = RowPlan::new(&index.layout.shape, Some(dim), &[input.layout, index.layout, out.layout]);
        let defs = [("T", Def::Type(input.dtype)), ("GATHER", Def::Int(1))];
        let kernel = self.row_kernel("gather", INDEX, &plan, &defs)?;
        let args = [
            self.view(&input)?.into(),
            self.view(&index)?.into(),
            self.view(&out)?.into(),
            self.faulty(),
            plan.arg(),
            input.layout.shape[dim].into(),
        ];
        self.launch_1d(&kernel, &args, plan.rows * plan.len)
    }

    pub(super) fn scatter_rows(&self, op: ScatterOp, out: View, dim: usize, index: View, src: View) -> Result<()> {
        if index.layout.numel() == 0 {
            return Ok(());
        }
        let code = match op {
            ScatterOp::Set => 0,
            ScatterOp::Add => 1,
            ScatterOp::Mul => 2,
            ScatterOp::Max => 3,
            ScatterOp::Min => 4,
        };
        let plan = RowPlan::new(&index.layout.shape, Some(dim), &[out.layout, index.layout, src.layout]);
        let defs = [("T", Def::Type(out.dtype)), ("SCATTER", Def::Int(1)), ("OP", Def::Int(code))];
        let kernel = self.row_kernel("scatter", INDEX, &plan, &defs)?;
        let args = [
            self.view(&out)?.into(),
            self.view(&index)?.into(),
            self.view(&src)?.into(),
            self.faulty(),
            plan.arg(),
            out.layout.shape[dim].into(),
        ];
        let local = if plan.rows >= 64 { 16 } else { 1 };
        self.launch(&kernel, &args, [plan.rows, 1, 1], [local, 1, 1])
    }

    /// Notes values outside [low, high] for the next read.
    pub(super) fn check_range(&self, input: View, low: Scalar, high: Scalar, what: ValueCheck) -> Result<()> {
        let n = input.layout.numel();
        if n == 0 {
            return Ok(());
        }
        let plan = RowPlan::new(&input.layout.shape, None, &[input.layout]);
        let mut defs: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(input.dtype)), ("CHECK", Def::Int(1))]);
        if input.dtype.is_float() {
            defs.push(("FLOATING", Def::Int(1)));
        }
        let kernel = self.row_kernel("check", INDEX, &plan, &defs)?;
        let [low, high] = [low, high].map(|s| super::elementwise::scalar_arg(s, input.dtype));
        let args = [self.view(&input)?.into(), self.faulty(), plan.arg(), low, high, (what as i64).into()];
        self.launch_1d(&kernel, &args, n)
    }

    /// The fault buffer, for a kernel that checks indices.
    fn faulty(&self) -> Arg<'_> {
        self.fault_possible.store(true, Ordering::Release);
        Arg::Mem(&self.fault)
    }

    /// Element offsets into `data` of every index tuple, -1 where one is out of range.
    fn places(&self, data: &View, indices: &[View]) -> Result<DeviceBuffer> {
        let n = indices[0].layout.numel();
        let out = self.scratch(n * 8)?;
        for (d, index) in indices.iter().enumerate() {
            let plan = RowPlan::new(&index.layout.shape, None, &[index.layout]);
            let defs = [("T", Def::Type(DType::I64)), ("INDEX_PLACES", Def::Int(1))];
            let kernel = self.row_kernel("index_places", INDEX, &plan, &defs)?;
            let args = [
                self.view(index)?.into(),
                out.mem().into(),
                self.faulty(),
                plan.arg(),
                data.layout.shape[d].into(),
                data.layout.strides[d].into(),
                ((d == 0) as i32).into(),
            ];
            self.launch_1d(&kernel, &args, n)?;
        }
        Ok(out)
    }

    /// The struct `Index` and its defines for data indexed in its first `k` dimensions.
    fn index_meta<'a>(&self, data: &View, k: usize, index_shape: &[i64], values: &View) -> (Arg<'a>, [i64; 2], i64) {
        let ni = index_shape.len();
        let mut lead = collapse(index_shape, &[&values.layout.strides[..ni]], false);
        let mut rest =
            collapse(&data.layout.shape[k..], &[&data.layout.strides[k..], &values.layout.strides[ni..]], false);
        for p in [&mut lead, &mut rest] {
            if p.shape.is_empty() {
                p.shape.push(1);
                p.strides.iter_mut().for_each(|s| s.push(0));
            }
        }
        let count: i64 = rest.shape.iter().product();
        let mut pack = Pack::default();
        for v in [data.layout.offset, values.layout.offset, lead.shape.iter().product(), count] {
            pack.i64(v);
        }
        for p in [&lead, &rest] {
            p.shape.iter().chain(p.strides.iter().flatten()).for_each(|v| pack.i64(*v));
        }
        (pack.arg(), [lead.shape.len() as i64, rest.shape.len() as i64], count)
    }

    pub(super) fn index_get(&self, input: View, indices: &[View], out: View) -> Result<()> {
        if out.layout.numel() == 0 {
            return Ok(());
        }
        let places = self.places(&input, indices)?;
        let (meta, [ri, rr], _) = self.index_meta(&input, indices.len(), &indices[0].layout.shape, &out);
        let defs =
            [("T", Def::Type(input.dtype)), ("RI", Def::Int(ri)), ("RR", Def::Int(rr)), ("INDEX_GET", Def::Int(1))];
        let kernel = self.kernel_of("index_get", &[INDEX], &defs)?;
        let args = [self.view(&input)?.into(), places.mem().into(), self.view(&out)?.into(), meta];
        self.launch_1d(&kernel, &args, out.layout.numel())
    }

    /// `sorted`: by sorting the places first, which finds work for many work-items.
    pub(super) fn index_write(
        &self,
        out: View,
        indices: &[View],
        values: View,
        accumulate: bool,
        sorted: bool,
    ) -> Result<()> {
        let n = indices[0].layout.numel();
        if n == 0 || values.layout.numel() == 0 {
            return Ok(());
        }
        let places = self.places(&out, indices)?;
        let (meta, [ri, rr], rest) = self.index_meta(&out, indices.len(), &indices[0].layout.shape, &values);
        let name = if sorted { "index_put_sorted" } else { "index_put" };
        let mut defs: SmallVec<[(&'static str, Def); 8]> = SmallVec::from_slice(&[
            ("T", Def::Type(out.dtype)),
            ("RI", Def::Int(ri)),
            ("RR", Def::Int(rr)),
            (if sorted { "INDEX_PUT_SORTED" } else { "INDEX_PUT" }, Def::Int(1)),
        ]);
        if accumulate {
            defs.push(("ACCUMULATE", Def::Int(1)));
        }
        let kernel = self.kernel_of(name, &[INDEX], &defs)?;
        let (om, vm) = (self.view(&out)?, self.view(&values)?);
        if sorted {
            let layout = Layout::contiguous(&[n as i64]);
            let plan = RowPlan::new(&layout.shape, Some(0), &[&layout]);
            let as_view = View { storage: out.storage, layout: &layout, dtype: DType::I64 };
            let (keys, order) = self.sorted(&as_view, places.mem(), &plan, false, self.info.kind == "cpu")?;
            let args = [om.into(), keys.mem().into(), order.mem().into(), vm.into(), meta];
            return self.launch_1d(&kernel, &args, n * rest as usize);
        }
        let local = if rest >= 64 { 16 } else { 1 };
        self.launch(&kernel, &[om.into(), places.mem().into(), vm.into(), meta], [rest as usize, 1, 1], [local, 1, 1])
    }

    pub(super) fn nonzero_positions(&self, input: View) -> Result<Vec<i64>> {
        let shape = &input.layout.shape;
        let n = input.layout.numel();
        if n == 0 {
            return Ok(Vec::new());
        }
        // One byte per element crosses over; the positions are made where the answer is wanted.
        let mask = Storage::new(self.alloc(n)?, n, self.device);
        let layout = Layout::contiguous(shape);
        let program = Program::single(program::Opcode::Cast, DType::Bool, &[input.dtype], DType::Bool);
        let out = View { storage: &mask, layout: &layout, dtype: DType::Bool };
        self.elementwise(&program, &[input], &[], &[out])?;
        let mut bytes = memory::zeroed::<u8>(n)?;
        self.download(&mask, 0, &mut bytes)?;
        let count = bytes.iter().filter(|b| **b != 0).count();
        let mut found = memory::with_capacity(count * shape.len())?;
        for (i, _) in bytes.iter().enumerate().filter(|(_, b)| **b != 0) {
            let (start, mut rest) = (found.len(), i as i64);
            found.resize(start + shape.len(), 0);
            for d in (0..shape.len()).rev() {
                found[start + d] = rest % shape[d];
                rest /= shape[d];
            }
        }
        Ok(found)
    }
}
