//! Matrix products: which kernel, which tiles.

use super::device::*;
use super::driver::{Matrix, Product};
use super::elementwise::scalar_arg;
use super::tile::{default_of, tile_columns, How, Method, Tile, TILE_ROWS};
use crate::backend::program::{Inst, Opcode, Src};

const SOURCE: &str = include_str!("../kernels/gemm.cl");

/// The dtype that products of a dtype are added up in. Integers wrap, so 32 bits serve all but int64.
pub(super) fn accumulator(d: DType) -> DType {
    match d.compute() {
        DType::F32 => DType::F32,
        DType::F64 => DType::F64,
        DType::I64 => DType::I64,
        _ => DType::I32,
    }
}

/// Columns and most rows of a tile of inner products.
const DOT_TILE: i64 = 4;

/// Most elements of b that are read where they lie, over and over: beyond, packing pays.
const STREAM_MOST: i64 = 1 << 18;
const DOT_MOST: i64 = 1 << 17;

/// Steps of k of the panels of large products, and bytes of the panels of `a` that are used over and over: with a panel
/// of `b` they fit a core's second cache.
const PANEL_DEPTH: i64 = 1024;
const BAND_BYTES: usize = 1 << 18;

fn is_native(d: DType) -> bool {
    d.is_float() && accumulator(d) == d
}
/// Whether `Method::Stream` takes these operands.
fn streams(a: &View, b: &View) -> bool {
    is_native(a.dtype) && b.layout.strides[2] == 1
}
/// Whether `Method::Dot` takes these operands.
fn dots(a: &View, b: &View) -> bool {
    is_native(a.dtype) && a.layout.strides[2] == 1 && b.layout.strides[1] == 1
}

/// An operand in memory: strides of batch, row (of the result) and k.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub mem: &'a Mem,
    pub dtype: DType,
    pub offset: i64,
    pub batch: i64,
    pub row: i64,
    pub k: i64,
    /// Elements of the buffer that may be read.
    pub limit: i64,
}

/// An operand as panels `[batch, panel, k, rows]` of the accumulator's dtype.
pub(super) struct Panels {
    pub buffer: DeviceBuffer,
    /// One batch serves all.
    pub shared: bool,
}

/// Where a product goes.
pub(super) struct Target<'a> {
    pub mem: &'a Mem,
    pub dtype: DType,
    pub offset: i64,
    pub batch: i64,
    pub row: i64,
    pub col: i64,
    /// Blocks of `inner` columns (0: all of them) lie `outer` apart.
    pub inner: i64,
    pub outer: i64,
    pub bias: Option<Bias<'a>>,
    pub activation: Option<Activation>,
    /// Receives what goes into the activation: a buffer of the result's strides, and its offset.
    pub pre: Option<(&'a Mem, i64)>,
    pub alpha: f64,
    pub beta: f64,
}

/// What is added to a product: strides of row (counted through all batches) and column.
#[derive(Clone, Copy)]
pub(super) struct Bias<'a> {
    pub mem: &'a Mem,
    pub offset: i64,
    pub row: i64,
    pub col: i64,
}

impl Target<'_> {
    /// Whether every `q` columns from a multiple of `q` on are one aligned vector.
    fn has_vectors(&self, q: i64, batches: i64, rows: i64) -> bool {
        let steps = [self.offset, step(self.batch, batches), step(self.row, rows), self.inner, self.outer];
        self.col == 1 && steps.iter().all(|s| s % q == 0)
    }
}

/// A stride that is never taken is none.
fn step(stride: i64, size: i64) -> i64 {
    if size > 1 {
        stride
    } else {
        0
    }
}

/// Elements of the accumulator in a vector of 16 bytes: `Q` of `gemm_tiled`.
fn vector(acc: DType) -> i64 {
    16 / acc.size() as i64
}

/// How `gemm_tiled` fetches an operand: along k or along its rows, by vectors or one by one.
struct Fetch {
    along_k: bool,
    width: i64,
}

impl Fetch {
    fn of(p: &Plain, rows: i64, k: i64, acc: DType) -> Fetch {
        let q = vector(acc);
        let (row_step, k_step) = (step(p.row, rows), step(p.k, k));
        let aligned = |across: i64| p.offset % q == 0 && p.batch % q == 0 && across % q == 0;
        if p.k == 1 && aligned(row_step) {
            Fetch { along_k: true, width: q }
        } else if p.row == 1 && aligned(k_step) {
            Fetch { along_k: false, width: q }
        } else {
            Fetch { along_k: k_step.abs() < row_step.abs(), width: 1 }
        }
    }
}

/// What `gemm_tiled` is made of for a tile.
pub(super) fn tiled_defs(tile: Tile, acc: DType) -> [(&'static str, Def); 5] {
    [
        ("GEMM_TILED", Def::Int(1)),
        ("PM", Def::Int(tile.rows)),
        ("PN", Def::Int(tile.columns)),
        ("Q", Def::Int(vector(acc))),
        ("BK", Def::Int(slab(tile, acc))),
    ]
}

/// Steps of k in a slab of `gemm_tiled`: two slabs of both operands stay below 32 KB.
fn slab(tile: Tile, acc: DType) -> i64 {
    match tile.rows * tile.columns * acc.size() as i64 {
        large if large >= 256 => 8,
        _ => 16 / (acc.size() as i64 / 4),
    }
}

/// batch, m, n, k
pub(super) type Dims4 = [i64; 4];

/// The operands of a product.
pub(super) enum Operands<'a> {
    Plain(Plain<'a>, Plain<'a>),
    Panels(&'a Panels, &'a Panels),
}

impl Gpu {
    /// The same by the vendor's library; false where there is none.
    fn library_product(&self, [a, b, out]: [&View; 3], scale: [f64; 2], e: &Epilogue) -> Result<bool> {
        let [bs, m, n] = [0, 1, 2].map(|d| out.layout.shape[d]);
        let dims = [bs, m, n, a.layout.shape[2]];
        if dims.contains(&0) || a.dtype != b.dtype || a.dtype != out.dtype {
            return Ok(false);
        }
        if e.bias.is_some_and(|v| v.dtype != out.dtype || (v.layout.strides[0] != 1 && n != 1)) {
            return Ok(false);
        }
        let bias = e.bias.as_ref().map(|v| Ok::<_, Error>((self.view(v)?, v.layout.offset))).transpose()?;
        let pre = e.pre.as_ref().map(|v| self.matrix(v)).transpose()?;
        let (a, b, o) = (self.matrix(a)?, self.matrix(b)?, self.matrix(out)?);
        let ([alpha, beta], activation) = (scale, e.activation);
        let call = Product { dtype: out.dtype, dims, a, b, out: o, alpha, beta, bias, activation, pre };
        let done = self.driver.product(&call)?;
        if done {
            let more = bias.map(|b| b.0).into_iter().chain(pre.map(|p| p.mem));
            self.library_ran([a.mem, b.mem, o.mem].into_iter().chain(more));
        }
        Ok(done)
    }

    /// An epilogue as a pass of its own over the product.
    fn apply_epilogue(&self, out: View, e: &Epilogue) -> Result<()> {
        let ty = out.dtype.compute();
        let mut program = Program { inputs: SmallVec::from_slice(&[out.dtype]), ..Program::default() };
        let first = Src::Input(0);
        let spread;
        let mut inputs: SmallVec<[View; 2]> = SmallVec::from_slice(&[out]);
        match &e.bias {
            Some(b) => {
                let (shape, stride) = (&out.layout.shape, b.layout.strides[0]);
                spread = Layout {
                    shape: shape.clone(),
                    strides: SmallVec::from_slice(&[0, 0, stride]),
                    offset: b.layout.offset,
                };
                inputs.push(View { layout: &spread, ..*b });
                program.insts.push(Inst { op: Opcode::Add, ty, args: [first, Src::Input(1), first] });
                program.inputs.push(b.dtype);
            }
            None => program.insts.push(Inst { op: Opcode::Cast, ty, args: [first; 3] }),
        }
        if let Some(activation) = e.activation {
            program.insts.push(Inst { op: activation.opcode(), ty, args: [Src::Reg(0); 3] });
        }
        let last = program.insts.len() as u8 - 1;
        program.outputs.push((last, out.dtype));
        let mut outputs: SmallVec<[View; 2]> = SmallVec::from_slice(&[out]);
        if let Some(pre) = e.pre {
            program.outputs.push((0, pre.dtype));
            outputs.push(pre);
        }
        self.elementwise(&program, &inputs, &[], &outputs)
    }

    pub(super) fn gemm_auto(&self, a: View, b: View, out: View, alpha: f64, beta: f64, e: &Epilogue) -> Result<()> {
        if !e.is_none() && !out.dtype.is_float() {
            return Err(Error::unsupported("gemm_epilogue", out.dtype, self.device));
        }
        if self.library_product([&a, &b, &out], [alpha, beta], e)? {
            return Ok(());
        }
        // The library's product and a pass over it are faster than a product of our own.
        if !e.is_none() && self.library_product([&a, &b, &out], [alpha, beta], &Epilogue::NONE)? {
            return self.apply_epilogue(out, e);
        }
        let (m, n, k) = (out.layout.shape[1], out.layout.shape[2], a.layout.shape[2]);
        let work = m * n * k;
        let choice = self.choice(accumulator(out.dtype), [out.layout.shape[0], m, n, k]);
        let large = |default: Method| choice.map_or(default, |c| c.large.method);
        let method = match self.info.kind {
            "cpu" if work >= 1 << 12 && k * n <= STREAM_MOST && streams(&a, &b) => Method::Stream,
            "cpu" if work >= 1 << 12 && k * n <= DOT_MOST && dots(&a, &b) => Method::Dot,
            "cpu" if m >= 4 && n >= 8 && work >= 1 << 15 => large(Method::Packed),
            "cpu" => Method::Direct,
            _ if m.min(n) < 8 && k < 1024 => choice.map_or(Method::Direct, |c| c.thin.method),
            _ => large(Method::Tiled),
        };
        self.gemm_by(method, a, b, out, alpha, beta, e)
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn gemm_by(
        &self,
        method: Method,
        a: View,
        b: View,
        out: View,
        alpha: f64,
        beta: f64,
        e: &Epilogue,
    ) -> Result<()> {
        let s = &out.layout.shape;
        let how = self.how(method, accumulator(out.dtype), [s[0], s[1], s[2], a.layout.shape[2]]);
        self.gemm_how(how, a, b, out, alpha, beta, e)
    }

    /// The same with all parameters given.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn gemm_how(
        &self,
        how: How,
        a: View,
        b: View,
        out: View,
        alpha: f64,
        beta: f64,
        e: &Epilogue,
    ) -> Result<()> {
        if out.dtype == DType::Bool || a.dtype != b.dtype || a.dtype != out.dtype {
            return Err(Error::unsupported("gemm", a.dtype, self.device));
        }
        let [bs, m, n] = [0, 1, 2].map(|d| out.layout.shape[d]);
        let dims = [bs, m, n, a.layout.shape[2]];
        let (pa, pb) = (self.plain(&a, 1, 2)?, self.plain(&b, 2, 1)?);
        let l = out.layout;
        let target = Target {
            mem: self.view(&out)?,
            dtype: out.dtype,
            offset: l.offset,
            batch: l.strides[0],
            row: l.strides[1],
            col: l.strides[2],
            inner: 0,
            outer: 0,
            bias: match &e.bias {
                Some(v) if v.dtype == out.dtype => {
                    Some(Bias { mem: self.view(v)?, offset: v.layout.offset, row: 0, col: v.layout.strides[0] })
                }
                Some(v) => return Err(Error::unsupported("gemm_epilogue", v.dtype, self.device)),
                None => None,
            },
            activation: e.activation,
            pre: match &e.pre {
                Some(v) => Some((self.view(v)?, v.layout.offset)),
                None => None,
            },
            alpha,
            beta,
        };
        let acc = accumulator(out.dtype);
        let how = match how.method {
            Method::Packed if bs * m * n * dims[3] > 0 => {
                let a = self.pack_panels(&pa, [bs, m, dims[3]], how.tile.rows as usize, acc)?;
                let b = self.pack_panels(&pb, [bs, n, dims[3]], how.tile.width() as usize, acc)?;
                return self.product(how, dims, Operands::Panels(&a, &b), &target);
            }
            Method::Packed => default_of(Method::Direct, acc),
            Method::Stream if !streams(&a, &b) => default_of(Method::Direct, acc),
            Method::Dot if !dots(&a, &b) => default_of(Method::Direct, acc),
            _ => how,
        };
        self.product(how, dims, Operands::Plain(pa, pb), &target)
    }

    fn matrix<'a>(&self, v: &View<'a>) -> Result<Matrix<'a>> {
        let l = v.layout;
        let batch = if l.shape[0] == 1 { 0 } else { l.strides[0] };
        Ok(Matrix { mem: self.view(v)?, offset: l.offset, batch, row: l.strides[1], col: l.strides[2] })
    }

    /// A matrix operand, its rows and k being these dimensions of the view.
    fn plain<'a>(&self, v: &View<'a>, row: usize, k: usize) -> Result<Plain<'a>> {
        let l = v.layout;
        let batch = if l.shape[0] == 1 { 0 } else { l.strides[0] };
        let (row, k) = (l.strides[row], l.strides[k]);
        let limit = (v.storage.nbytes() / v.dtype.size()) as i64;
        Ok(Plain { mem: self.view(v)?, dtype: v.dtype, offset: l.offset, batch, row, k, limit })
    }

    /// A product of more rows or batches than a GPU's grid has room for, in parts. None when it fits.
    fn in_bands(&self, how: How, dims: Dims4, operands: &Operands, t: &Target) -> Option<Result<()>> {
        const BATCHES: i64 = 1 << 14;
        const ROWS: i64 = 1 << 17;
        let [bs, m, n, k] = dims;
        let Operands::Plain(a, b) = operands else { return None };
        let rows = self.info.kind != "cpu" && m > ROWS;
        if self.info.kind == "cpu" || (t.bias.is_some() && !rows) || (bs <= BATCHES && !rows) {
            return None;
        }
        let (whole, step) = if rows { (m, ROWS) } else { (bs, BATCHES) };
        let part = |first: i64| {
            let count = step.min(whole - first);
            let (mut a, mut b, mut t) = (*a, *b, Target { ..*t });
            let dims = if rows { [bs, count, n, k] } else { [count, m, n, k] };
            if rows {
                a.offset += first * a.row;
                t.offset += first * t.row;
                t.pre = t.pre.map(|(mem, at)| (mem, at + first * t.row));
                t.bias = t.bias.map(|b| Bias { offset: b.offset + first * b.row, ..b });
            } else {
                a.offset += first * a.batch;
                b.offset += first * b.batch;
                t.offset += first * t.batch;
                t.pre = t.pre.map(|(mem, at)| (mem, at + first * t.batch));
            }
            self.product(how, dims, Operands::Plain(a, b), &t)
        };
        Some((0..whole).step_by(step as usize).try_for_each(part))
    }

    /// Queues one product. The tile is that of the panels, or (`Method::Tiled`) of a work-item.
    pub(super) fn product(&self, how: How, dims: Dims4, operands: Operands, t: &Target) -> Result<()> {
        let How { method, tile, groups } = how;
        let [bs, m, n, k] = dims;
        if bs * m * n == 0 {
            return Ok(());
        }
        if let Some(done) = self.in_bands(how, dims, &operands, t) {
            return done;
        }
        let acc = accumulator(t.dtype);
        // Thin products get thin tiles.
        let few = if m >= 6 { TILE_ROWS } else { 1 << (64 - (m - 1).leading_zeros()) };
        let tile = match method {
            Method::Stream => Tile { rows: few, columns: 2, lanes: tile_columns(acc) as i64 / 2 },
            Method::Dot => Tile { rows: few.min(DOT_TILE), columns: DOT_TILE, lanes: 1 },
            Method::Packed | Method::Tiled | Method::Direct => tile,
        };
        let (th, tw) = match method {
            Method::Tiled => (16 * tile.rows, 16 * tile.columns),
            _ => (tile.rows, tile.width()),
        };
        // Few tiles with a long k are split along k, to occupy the device and to keep the digits of long sums.
        let tiles = bs * ((m + th - 1) / th) * ((n + tw - 1) / tw);
        let wanted = self.info.compute_units as i64 * groups;
        let shortest = if method == Method::Tiled { 256 } else { 1024 };
        let splits = match method {
            Method::Direct => 1,
            _ => ((wanted + tiles - 1) / tiles).min(k / shortest).max((k + 16383) / 16384).max(1),
        };
        // Parts whose panels stay in a core's cache while they are used again, if the results of all parts take less
        // room than the panels.
        let splits = match method {
            Method::Packed if k >= 2 * PANEL_DEPTH && m.min(n) >= 256 && 2 * m * n <= k * (m + n) * 4 => {
                splits.max(k / PANEL_DEPTH)
            }
            _ => splits,
        };
        let k_step = ((k + splits - 1) / splits + 15) / 16 * 16;
        let splits = if k == 0 { 1 } else { (k + k_step - 1) / k_step };

        let strides = |p: &Plain| [p.offset, p.batch, p.row, p.k];
        let (a, b) = match &operands {
            Operands::Plain(a, b) => {
                // The kernels name b's k first: its rows.
                let [off, batch, col, row] = strides(b);
                (strides(a), [off, batch, row, col])
            }
            Operands::Panels(a, b) => ([0, !a.shared as i64, 0, 0], [0, !b.shared as i64, 0, 0]),
        };
        let meta = || {
            let mut pack = Pack::default();
            let bias = t.bias.map_or([0; 3], |b| [b.offset, b.row, b.col]);
            let out = [t.offset, t.batch, t.row, t.col, t.inner, t.outer];
            let rest = [bs, m, n, k, splits, k_step, bias[0], bias[1], bias[2], t.pre.map_or(0, |p| p.1)];
            a.iter().chain(&b).chain(&out).chain(&rest).for_each(|v| pack.i64(*v));
            pack.arg()
        };
        let scalars = || [scalar_arg(Scalar::Float(t.alpha), acc), scalar_arg(Scalar::Float(t.beta), acc)];
        let mut common: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(t.dtype)), ("A", Def::Type(acc))]);
        if !acc.is_float() {
            common.push(("INTEGER", Def::Int(1)));
        }
        // What the kernel that stores the result does before.
        let mut epilogue: SmallVec<[(&'static str, Def); 3]> = SmallVec::new();
        if t.bias.is_some() {
            epilogue.push(("BIAS", Def::Int(1)));
        }
        if t.pre.is_some() {
            epilogue.push(("PRE", Def::Int(1)));
        }
        match t.activation {
            Some(Activation::Relu) => epilogue.push(("RELU", Def::Int(1))),
            Some(Activation::Gelu) => epilogue.push(("GELU", Def::Int(1))),
            None => {}
        }
        let epilogue_args = || t.bias.map(|b| Arg::Mem(b.mem)).into_iter().chain(t.pre.map(|p| Arg::Mem(p.0)));
        let mut defs = common.clone();
        let partial = if splits > 1 {
            defs.push(("SPLIT", Def::Int(1)));
            Some(self.scratch((bs * splits * m * n) as usize * acc.size())?)
        } else {
            defs.extend(epilogue.iter().copied());
            None
        };
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        match &operands {
            Operands::Plain(a, b) => {
                args.extend([Arg::Mem(a.mem), Arg::Mem(b.mem)]);
                defs.extend([("TA", Def::Type(a.dtype)), ("TB", Def::Type(b.dtype))]);
            }
            Operands::Panels(a, b) => args.extend([Arg::Mem(a.buffer.mem()), Arg::Mem(b.buffer.mem())]),
        }
        match &partial {
            Some(p) => args.push(Arg::Mem(p.mem())),
            None => {
                args.extend(epilogue_args());
                args.push(Arg::Mem(t.mem));
            }
        }
        args.push(meta());
        args.extend(scalars());
        let (mu, nu, z) = (m as usize, n as usize, (bs * splits) as usize);
        match method {
            Method::Tiled => {
                let Operands::Plain(pa, pb) = &operands else {
                    bail!(Internal, "tiles are made from operands where they lie")
                };
                defs.extend(tiled_defs(tile, acc));
                let (a, b) = (Fetch::of(pa, m, k, acc), Fetch::of(pb, n, k, acc));
                defs.extend([("A_K", Def::Int(a.along_k as i64)), ("A_W", Def::Int(a.width))]);
                defs.extend([("B_K", Def::Int(b.along_k as i64)), ("B_W", Def::Int(b.width))]);
                if match splits {
                    1 => t.has_vectors(vector(acc), bs, m),
                    _ => n % vector(acc) == 0,
                } {
                    defs.push(("OUT_VEC", Def::Int(1)));
                }
                let kernel = self.kernel("gemm_tiled", SOURCE, &defs)?;
                let groups = mu.div_ceil(th as usize) * nu.div_ceil(tw as usize);
                self.launch(&kernel, &args, [groups * GROUP, 1, z], [GROUP, 1, 1])?;
            }
            Method::Direct => {
                let rows = if mu < 4 { 1 } else { 4 };
                defs.push(("GEMM_DIRECT", Def::Int(1)));
                defs.push(("ROWS", Def::Int(rows as i64)));
                let kernel = self.kernel("gemm_direct", SOURCE, &defs)?;
                let local = if nu >= 32 { 32 } else { 1 };
                self.launch(&kernel, &args, [nu, mu.div_ceil(rows), z], [local, 1, 1])?;
            }
            Method::Packed | Method::Stream | Method::Dot => {
                let (name, part, columns, lanes) = match method {
                    Method::Packed => ("gemm_packed", "GEMM_PACKED", "NV", tile.lanes),
                    Method::Stream => ("gemm_stream", "GEMM_STREAM", "NV", tile.lanes),
                    _ => ("gemm_dot", "GEMM_DOT", "NR", tile_columns(acc) as i64 / 2),
                };
                defs.push((part, Def::Int(1)));
                defs.push(("MR", Def::Int(tile.rows)));
                defs.push((columns, Def::Int(tile.columns)));
                defs.push(("VL", Def::Int(lanes)));
                let base = match acc {
                    DType::F32 => "BASE float",
                    DType::F64 => "BASE double",
                    DType::I64 => "BASE long",
                    _ => "BASE int",
                };
                defs.push((base, Def::Flag));
                let neighbours = t.bias.is_none_or(|b| b.col <= 1);
                if t.dtype == acc && partial.is_none() && neighbours {
                    defs.push(("DIRECT_STORE", Def::Int(1)));
                }
                if let (Method::Stream, Operands::Plain(_, b)) = (method, &operands) {
                    args.push(b.limit.into());
                }
                let (mut down, across) = (mu.div_ceil(th as usize), nu.div_ceil(tw as usize));
                let mut bands = 1;
                if method == Method::Packed {
                    // Rows of tiles in bands, one after the other: a band's panels stay in the cache.
                    let panel = (th * k_step.min(k)) as usize * acc.size();
                    bands = down.div_ceil((BAND_BYTES / panel).max(1));
                    down = down.div_ceil(bands);
                    args.push((bands as i64).into());
                }
                let kernel = self.kernel(name, SOURCE, &defs)?;
                self.launch(&kernel, &args, [down, across, z * bands], [1, 1, 1])?;
            }
        }
        let Some(partial) = &partial else { return Ok(()) };
        common.extend(epilogue.iter().copied());
        common.push(("GEMM_FINISH", Def::Int(1)));
        let kernel = self.kernel("gemm_finish", SOURCE, &common)?;
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        args.push(Arg::Mem(partial.mem()));
        args.extend(epilogue_args());
        args.push(Arg::Mem(t.mem));
        args.push(meta());
        args.extend(scalars());
        self.launch_1d(&kernel, &args, (bs * m * n) as usize)
    }

    /// Copies an operand into panels of `rows`; `dims` are batch, rows, k.
    pub(super) fn pack_panels(&self, p: &Plain, dims: [i64; 3], rows: usize, acc: DType) -> Result<Panels> {
        let shared = p.batch == 0;
        let batches = if shared { 1 } else { dims[0] as usize };
        let panels = (dims[1] as usize).div_ceil(rows);
        let buffer = self.scratch(batches * panels * rows * dims[2] as usize * acc.size())?;
        let mut defs: SmallVec<[(&'static str, Def); 8]> = SmallVec::from_slice(&[
            ("T", Def::Type(p.dtype)),
            ("A", Def::Type(acc)),
            ("R", Def::Int(rows as i64)),
            ("GEMM_PACK", Def::Int(1)),
        ]);
        if !acc.is_float() {
            defs.push(("INTEGER", Def::Int(1)));
        }
        let kernel = self.kernel("gemm_pack", SOURCE, &defs)?;
        let args: [Arg; 8] = [
            p.mem.into(),
            buffer.mem().into(),
            p.offset.into(),
            p.batch.into(),
            p.row.into(),
            p.k.into(),
            dims[1].into(),
            dims[2].into(),
        ];
        // Few panels are shared between several work-items along k.
        let parts = (16 / (panels * batches)).clamp(1, (dims[2] as usize / 64).max(1));
        self.launch(&kernel, &args, [panels, parts, batches], [1, 1, 1])?;
        Ok(Panels { buffer, shared })
    }
}
