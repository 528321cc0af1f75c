//! Convolutions on CPUs: rows of the output in vector registers, without columns in memory.

use super::conv::Geometry;
use super::device::*;
use super::gemm::accumulator;

const SOURCE: &str = include_str!("../kernels/conv_rows.cl");

/// Most taps of a row in the kernel for the weight's gradient: they are unrolled.
const MOST_TAPS: i64 = 7;

/// Places of a channels-by-taps weight: offset, strides of group, out channel, in channel, taps.
struct Weight {
    offset: i64,
    group: i64,
    o: i64,
    c: i64,
    taps: [i64; 3],
}

/// A convolution as the row kernels see it: what is read as `x`, what has the shape of the output.
struct Rows<'a> {
    x: View<'a>,
    y: View<'a>,
    weight: Weight,
    n: i64,
    groups: i64,
    ic: i64,
    oc: i64,
    input: [i64; 3],
    output: [i64; 3],
    kernel: [i64; 3],
    stride: [i64; 3],
    padding: [i64; 3],
    dilation: [i64; 3],
    bias: (i64, i64),
    parts: [i64; 2],
}

/// Strides of batch, channel and three spatial dimensions.
fn strides(v: &View) -> [i64; 5] {
    let s = &v.layout.strides;
    let mut out = [0; 5];
    out[..2].copy_from_slice(&s[..2]);
    out[5 - (s.len() - 2)..].copy_from_slice(&s[2..]);
    out
}

/// Elements of the view's buffer that a kernel may read.
fn limit(v: &View) -> i64 {
    (v.storage.nbytes() / v.dtype.size()) as i64
}

impl<'a> Rows<'a> {
    fn forward(g: &Geometry<'a>) -> Rows<'a> {
        let [o, c, taps @ ..] = strides(&g.w);
        Rows {
            x: g.x,
            y: g.y,
            weight: Weight { offset: g.w.layout.offset, group: g.og * o, o, c, taps },
            n: g.n,
            groups: g.groups,
            ic: g.cg,
            oc: g.og,
            input: g.input,
            output: g.output,
            kernel: g.kernel,
            stride: g.stride,
            padding: g.padding,
            dilation: g.dilation,
            bias: (0, 0),
            parts: [1, g.n],
        }
    }
    /// The gradient of the input with stride 1: a convolution of the output's gradient by the reversed taps.
    fn input_gradient(g: &Geometry<'a>) -> Rows<'a> {
        let forward = Rows::forward(g);
        let w = &forward.weight;
        let last: i64 = (0..3).map(|d| (g.kernel[d] - 1) * w.taps[d]).sum();
        Rows {
            x: g.y,
            y: g.x,
            weight: Weight { offset: w.offset + last, group: w.group, o: w.c, c: w.o, taps: w.taps.map(|s| -s) },
            ic: g.og,
            oc: g.cg,
            input: g.output,
            output: g.input,
            padding: [0, 1, 2].map(|d| (g.kernel[d] - 1) * g.dilation[d] - g.padding[d]),
            ..forward
        }
    }
    fn arg<'b>(&self) -> Arg<'b> {
        let mut pack = Pack::default();
        let mut words = |list: &[i64]| list.iter().for_each(|v| pack.i64(*v));
        words(&[self.groups, self.ic, self.oc, self.x.layout.offset]);
        words(&strides(&self.x));
        let w = &self.weight;
        words(&[w.offset, w.group, w.o, w.c]);
        words(&w.taps);
        words(&[self.y.layout.offset]);
        words(&strides(&self.y));
        words(&[self.bias.0, self.bias.1, limit(&self.x), self.n]);
        words(&self.parts);
        for list in [&self.input, &self.output, &self.kernel, &self.stride, &self.padding, &self.dilation] {
            list.iter().for_each(|v| pack.u32(*v as i32 as u32));
        }
        pack.arg()
    }
    fn defs(&self, lanes: i64, step: i64) -> SmallVec<[(&'static str, Def); 8]> {
        let (base, ibase) = match self.x.dtype {
            DType::F64 => ("BASE double", "IBASE long"),
            _ => ("BASE float", "IBASE int"),
        };
        SmallVec::from_slice(&[
            ("A", Def::Type(self.x.dtype)),
            (base, Def::Flag),
            (ibase, Def::Flag),
            ("VL", Def::Int(lanes)),
            ("STEP", Def::Int(step)),
        ])
    }
}

/// The size of blocks that waste least of `n`, at most `most`; the largest of equals.
fn block(n: i64, most: i64) -> i64 {
    let blocks = (n + most - 1) / most;
    ((n + blocks - 1) / blocks).max(1)
}

impl Gpu {
    /// Whether the row kernels take a tensor's dtype, and whether they are for this device.
    fn rows_fit(&self, dtype: DType) -> bool {
        self.info.kind == "cpu" && accumulator(dtype) == dtype && dtype.is_float()
    }
    /// Whether elements of a row are neighbours.
    fn unit_rows(v: &View) -> bool {
        strides(v)[4] == 1 || v.layout.shape[v.layout.ndim() - 1] == 1
    }
    pub(super) fn rows_fit_forward(&self, g: &Geometry) -> bool {
        self.rows_fit(g.x.dtype) && Self::unit_rows(&g.x)
    }
    pub(super) fn rows_fit_input(&self, g: &Geometry) -> bool {
        self.rows_fit(g.y.dtype) && Self::unit_rows(&g.y) && g.stride == [1; 3] && g.y.layout.numel() > 0
    }
    pub(super) fn rows_fit_weight(&self, g: &Geometry) -> bool {
        self.rows_fit(g.x.dtype)
            && Self::unit_rows(&g.x)
            && Self::unit_rows(&g.y)
            && g.kernel[2] <= MOST_TAPS
            && g.y.layout.numel() > 0
    }
    /// Lanes of a vector: a whole register of the widest kind that is common.
    fn lanes(dtype: DType) -> i64 {
        64 / dtype.size() as i64
    }

    /// The forward convolution.
    pub(super) fn conv_rows_forward(&self, g: &Geometry, bias: Option<View>) -> Result<()> {
        let mut rows = Rows::forward(g);
        if let Some(b) = &bias {
            rows.bias = (b.layout.offset, b.layout.strides[0]);
        }
        self.conv_rows(&rows, &g.w, bias.as_ref())
    }

    /// The gradient of the input, stride 1.
    pub(super) fn conv_rows_input(&self, g: &Geometry) -> Result<()> {
        self.conv_rows(&Rows::input_gradient(g), &g.w, None)
    }

    fn conv_rows(&self, rows: &Rows, w: &View, bias: Option<&View>) -> Result<()> {
        let lanes = Self::lanes(rows.x.dtype);
        let nv = if rows.output[2] > lanes { 2 } else { 1 };
        let ob = block(rows.oc, 8);
        let mut defs = rows.defs(lanes, rows.stride[2]);
        defs.extend([("NV", Def::Int(nv)), ("OB", Def::Int(ob)), ("ROWS_FORWARD", Def::Int(1))]);
        if bias.is_some() {
            defs.push(("BIAS", Def::Int(1)));
        }
        let kernel = self.kernel("conv_rows", SOURCE, &defs)?;
        let wm = self.view(w)?;
        let bias = bias.map(|b| self.view(b)).transpose()?.unwrap_or(wm);
        let args = [self.view(&rows.x)?.into(), wm.into(), bias.into(), self.view(&rows.y)?.into(), rows.arg()];
        let segments = (rows.output[2] + nv * lanes - 1) / (nv * lanes);
        let across = segments * ((rows.oc + ob - 1) / ob);
        let global = [across, rows.output[0] * rows.output[1], rows.n * rows.groups].map(|v| v as usize);
        self.launch(&kernel, &args, global, [1, 1, 1])
    }

    /// The gradient of the weight.
    pub(super) fn conv_rows_weight(&self, g: &Geometry) -> Result<()> {
        let mut rows = Rows::forward(g);
        let (dtype, lanes) = (g.x.dtype, Self::lanes(g.x.dtype));
        let k2 = g.kernel[2];
        let ob = block(g.og, (20 / k2).clamp(1, 8));
        // Parts occupy the device and keep the digits of long sums.
        let items = g.groups * ((g.og + ob - 1) / ob) * g.cg * g.kernel[0] * g.kernel[1];
        let terms = g.n * g.output[0] * g.output[1] * ((g.output[2] + lanes - 1) / lanes);
        let wanted = (4 * self.info.compute_units as i64 + items - 1) / items;
        let parts = wanted.max(terms / 2048).clamp(1, g.n);
        let step = (g.n + parts - 1) / parts;
        let parts = (g.n + step - 1) / step;
        rows.parts = [parts, step];
        let total = g.w.layout.numel();
        let sums = self.scratch(parts as usize * total * dtype.size())?;
        let mut defs = rows.defs(lanes, g.stride[2]);
        let finish = defs.iter().cloned().chain([("ROWS_FINISH", Def::Int(1))]).collect::<SmallVec<[_; 8]>>();
        defs.extend([("K2", Def::Int(k2)), ("OB", Def::Int(ob)), ("ROWS_WEIGHT", Def::Int(1))]);
        let kernel = self.kernel("conv_weight_rows", SOURCE, &defs)?;
        let args =
            [self.view(&g.y)?.into(), self.view(&g.x)?.into(), sums.mem().into(), rows.arg(), limit(&g.y).into()];
        let global = [g.cg * g.kernel[0] * g.kernel[1], g.groups * ((g.og + ob - 1) / ob), parts].map(|v| v as usize);
        self.launch(&kernel, &args, global, [1, 1, 1])?;
        let kernel = self.kernel("conv_weight_finish", SOURCE, &finish)?;
        self.launch(&kernel, &[sums.mem().into(), self.view(&g.w)?.into(), rows.arg()], [total, 1, 1], [16, 1, 1])
    }
}
