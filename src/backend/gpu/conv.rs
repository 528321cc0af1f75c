//! Convolutions: products of matrices over columns made on the fly, or one work-item per element.

use super::device::*;
use super::driver::{ConvPass, Convolution, Place};
use super::gemm::{accumulator, Bias, Operands, Panels, Plain, Target};
use super::tile::{Method, Tile};
use crate::base::layout::Dims;

const SOURCE: &str = include_str!("../kernels/conv.cl");

/// Ways to convolve; all give the same result up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConvMethod {
    /// One work-item per element of the result.
    Direct,
    /// Columns in memory, then a product by the method.
    Columns(Method),
    /// Rows of the output in registers: CPUs, where elements of a row are neighbours.
    Rows,
}

/// Elements of a column matrix that are made at a time.
const COLUMN_LIMIT: i64 = 1 << 25;

/// A convolution as the kernels see it: three spatial dimensions, missing ones are 1 and come first.
pub(super) struct Geometry<'a> {
    pub x: View<'a>,
    pub w: View<'a>,
    pub y: View<'a>,
    pub n: i64,
    pub groups: i64,
    pub cg: i64,
    pub og: i64,
    pub input: [i64; 3],
    pub output: [i64; 3],
    pub kernel: [i64; 3],
    pub stride: [i64; 3],
    pub padding: [i64; 3],
    pub dilation: [i64; 3],
}

/// Three values from the last ones of a list.
fn three(v: &[i64], missing: i64) -> [i64; 3] {
    let mut out = [missing; 3];
    out[3 - v.len()..].copy_from_slice(v);
    out
}

impl<'a> Geometry<'a> {
    fn new(x: View<'a>, w: View<'a>, y: View<'a>, p: &ConvParams) -> Geometry<'a> {
        let (xs, ws, ys) = (&x.layout.shape, &w.layout.shape, &y.layout.shape);
        Geometry {
            x,
            w,
            y,
            n: xs[0],
            groups: p.groups,
            cg: ws[1],
            og: ws[0] / p.groups,
            input: three(&xs[2..], 1),
            output: three(&ys[2..], 1),
            kernel: three(&ws[2..], 1),
            stride: three(&p.stride, 1),
            padding: three(&p.padding, 0),
            dilation: three(&p.dilation, 1),
        }
    }
    fn arg<'b>(&self, n0: i64, images: i64) -> Arg<'b> {
        let mut pack = Pack::default();
        for v in [self.n, self.groups, self.cg, self.og] {
            pack.i64(v);
        }
        for v in [&self.x, &self.w, &self.y] {
            pack.i64(v.layout.offset);
            let s = &v.layout.strides;
            for st in [&s[..2], &three(&s[2..], 0)].concat() {
                pack.i64(st);
            }
        }
        pack.i64(n0);
        pack.i64(images);
        for list in [&self.input, &self.output, &self.kernel, &self.stride, &self.padding, &self.dilation] {
            list.iter().for_each(|v| pack.u32(*v as u32));
        }
        pack.arg()
    }
    fn plane(v: &[i64; 3]) -> i64 {
        v.iter().product()
    }
}

/// Whether the spatial dimensions lie row-major, so that a column of a product is a place in the plane.
fn plane_is_contiguous(l: &Layout) -> bool {
    let mut expect = 1;
    for d in (2..l.ndim()).rev() {
        if l.shape[d] != 1 && l.strides[d] != expect {
            return false;
        }
        expect *= l.shape[d];
    }
    true
}

/// Which side of the product the columns' rows are.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Forward,
    Input,
    Weight,
}

impl Gpu {
    /// A convolution by the vendor's library; false where there is none.
    fn library_conv(&self, pass: ConvPass, [x, w, y]: [&View; 3], bias: Option<&View>, p: &ConvParams) -> Result<bool> {
        let dtype = x.dtype;
        // A library knows results of the full size alone.
        let g = Geometry::new(*x, *w, *y, p);
        let full = |d: usize| {
            (g.input[d] + 2 * g.padding[d] - g.dilation[d] * (g.kernel[d] - 1) - 1) / g.stride[d] + 1 == g.output[d]
        };
        if !(0..3).all(full) {
            return Ok(false);
        }
        if [x, w, y].into_iter().chain(bias).any(|v| v.dtype != dtype)
            || bias.is_some_and(|b| !b.layout.is_contiguous())
        {
            return Ok(false);
        }
        let (x, w, y) = (self.place(x)?, self.place(w)?, self.place(y)?);
        let bias = bias.map(|b| self.place(b)).transpose()?;
        let mut held = Vec::new();
        let mut scratch = |n: usize| {
            let buffer = self.scratch(n)?;
            self.driver.claim(buffer.mem())?;
            let handle = buffer.mem().handle;
            held.push(buffer);
            Ok(handle)
        };
        let done = self.driver.convolution(&Convolution { pass, dtype, x, w, y, bias, params: p }, &mut scratch)?;
        if done {
            self.library_ran([x.mem, w.mem, y.mem].into_iter().chain(bias.map(|b| b.mem)));
        }
        Ok(done)
    }
    fn place<'a>(&self, v: &View<'a>) -> Result<Place<'a>> {
        Ok(Place { mem: self.view(v)?, layout: v.layout })
    }

    /// The method for a product of `m` rows and `k` terms; `rows`: whether the row kernels can do it.
    fn conv_method(&self, m: i64, k: i64, rows: bool) -> ConvMethod {
        if rows {
            ConvMethod::Rows
        } else if m < 4 || k < 4 {
            ConvMethod::Direct
        } else if self.info.kind == "cpu" {
            ConvMethod::Columns(Method::Packed)
        } else {
            ConvMethod::Columns(Method::Tiled)
        }
    }

    fn conv_kernel(&self, name: &'static str, part: &'static str, g: &Geometry, bias: bool) -> Result<Arc<Compiled>> {
        let acc = accumulator(g.x.dtype);
        let mut defs: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(g.x.dtype)), ("A", Def::Type(acc)), (part, Def::Int(1))]);
        if bias {
            defs.push(("BIAS", Def::Int(1)));
        }
        self.kernel_of(name, &[SOURCE], &defs)
    }

    /// The column matrix of images `n0..n0 + images`: panels as wide as the tile for the packed product, or rows.
    fn columns(&self, g: &Geometry, side: Side, panels: Option<Tile>, n0: i64, images: i64) -> Result<Panels> {
        let acc = accumulator(g.x.dtype);
        let source = if side == Side::Input { &g.y } else { &g.x };
        let (taps, positions) = g.extent(side, images);
        let (rows, depth) = if side == Side::Weight { (taps, positions) } else { (positions, taps) };
        let mut defs: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(g.x.dtype)), ("A", Def::Type(acc)), ("COLUMNS", Def::Int(1))]);
        if side != Side::Weight {
            defs.push(("POSITION_ROWS", Def::Int(1)));
        }
        if side == Side::Input {
            defs.push(("BACK", Def::Int(1)));
            if g.stride == [1; 3] {
                defs.push(("UNIT_STRIDE", Def::Int(1)));
            }
        }
        let packed = panels.is_some();
        let width = panels.map_or(1, |t| t.width() as usize);
        if packed {
            defs.push(("R", Def::Int(width as i64)));
        }
        let panels = (rows as usize).div_ceil(width);
        let buffer = self.scratch(g.groups as usize * panels * width * depth as usize * acc.size())?;
        let kernel = self.kernel_of("columns", &[SOURCE], &defs)?;
        let args = [self.view(source)?.into(), buffer.mem().into(), g.arg(n0, images)];
        let parts = (64 / panels).clamp(1, (depth as usize / 64).max(1));
        let local = if packed { 1 } else { 64 };
        self.launch(&kernel, &args, [panels, parts, g.groups as usize], [local, 1, 1])?;
        Ok(Panels { buffer, shared: g.groups == 1 })
    }

    /// One product `out = a @ columns` per group.
    fn columns_product(
        &self,
        g: &Geometry,
        side: Side,
        method: Method,
        chunk: [i64; 2],
        a: Plain,
        m: i64,
        target: &Target,
    ) -> Result<()> {
        let [n0, images] = chunk;
        let acc = accumulator(g.x.dtype);
        let (taps, positions) = g.extent(side, images);
        let (cols, k) = if side == Side::Weight { (taps, positions) } else { (positions, taps) };
        let dims = [g.groups, m, cols, k];
        let how = self.how(method, acc, dims);
        let b = self.columns(g, side, (method == Method::Packed).then_some(how.tile), n0, images)?;
        if method == Method::Packed {
            let a = self.pack_panels(&a, [g.groups, m, k], how.tile.rows as usize, acc)?;
            return self.product(how, dims, Operands::Panels(&a, &b), target);
        }
        let b = Plain { mem: b.buffer.mem(), dtype: acc, offset: 0, batch: k * cols, row: 1, k: cols, limit: 0 };
        self.product(how, dims, Operands::Plain(a, b), target)
    }

    /// A contiguous copy of a view with other shape and strides (the same elements, permuted).
    fn copied(&self, v: &View, shape: &[i64], strides: &[i64], offset: i64) -> Result<Storage> {
        let from = Layout { shape: Dims::from_slice(shape), strides: Dims::from_slice(strides), offset };
        let to = Layout::contiguous(shape);
        let nbytes = to.numel() * v.dtype.size();
        let storage = Storage::new(self.alloc(nbytes)?, nbytes, self.device);
        let program = Program::single(program::Opcode::Cast, v.dtype.compute(), &[v.dtype], v.dtype);
        self.elementwise(
            &program,
            &[View { storage: v.storage, layout: &from, dtype: v.dtype }],
            &[],
            &[View { storage: &storage, layout: &to, dtype: v.dtype }],
        )?;
        Ok(storage)
    }

    pub(super) fn conv_forward(
        &self,
        method: Option<ConvMethod>,
        x: View,
        w: View,
        bias: Option<View>,
        p: &ConvParams,
        y: View,
    ) -> Result<()> {
        if y.layout.numel() == 0 {
            return Ok(());
        }
        if method.is_none() && self.library_conv(ConvPass::Forward, [&x, &w, &y], bias.as_ref(), p)? {
            return Ok(());
        }
        let g = Geometry::new(x, w, y, p);
        let ck = g.cg * Geometry::plane(&g.kernel);
        let bias_mem = bias.as_ref().map(|b| self.view(b)).transpose()?;
        let bias_at = bias.as_ref().map_or((0, 0), |b| (b.layout.offset, b.layout.strides[0]));
        let (xm, wm, ym) = (self.view(&x)?, self.view(&w)?, self.view(&y)?);
        let direct = |mend: bool| {
            let kernel = self.conv_kernel("conv_forward", "DIRECT_FORWARD", &g, bias.is_some())?;
            let args = [
                xm.into(),
                wm.into(),
                bias_mem.unwrap_or(wm).into(),
                ym.into(),
                g.arg(0, g.n),
                bias_at.0.into(),
                bias_at.1.into(),
                i32::from(mend).into(),
            ];
            self.launch_1d(&kernel, &args, y.layout.numel())
        };
        let fits = self.rows_fit_forward(&g);
        let method = match method.unwrap_or_else(|| self.conv_method(g.og, ck, fits)) {
            ConvMethod::Rows if fits => return self.conv_rows_forward(&g, bias),
            ConvMethod::Columns(m) if plane_is_contiguous(y.layout) => m,
            _ => return direct(false),
        };
        let l = w.layout;
        let copy = if l.is_contiguous() { None } else { Some(self.copied(&w, &l.shape, &l.strides, l.offset)?) };
        let (mem, offset) = match &copy {
            Some(s) => (self.mem(s)?, 0),
            None => (wm, l.offset),
        };
        let a = Plain { mem, dtype: w.dtype, offset, batch: g.group_stride(g.og * ck), row: ck, k: 1, limit: 0 };
        let ys = &y.layout.strides;
        for [n0, images] in g.chunks(ck * Geometry::plane(&g.output)) {
            let target = Target {
                mem: ym,
                dtype: y.dtype,
                offset: y.layout.offset + n0 * ys[0],
                batch: g.og * ys[1],
                row: ys[1],
                col: 1,
                inner: Geometry::plane(&g.output),
                outer: ys[0],
                bias: bias_mem.map(|mem| Bias { mem, offset: bias_at.0, row: bias_at.1, col: 0 }),
                activation: None,
                pre: None,
                alpha: 1.0,
                beta: 0.0,
            };
            self.columns_product(&g, Side::Forward, method, [n0, images], a, g.og, &target)?;
        }
        if g.padding != [0; 3] {
            direct(true)?;
        }
        Ok(())
    }

    pub(super) fn conv_input_gradient(
        &self,
        method: Option<ConvMethod>,
        grad: View,
        w: View,
        p: &ConvParams,
        gx: View,
    ) -> Result<()> {
        if gx.layout.numel() == 0 {
            return Ok(());
        }
        if method.is_none() && self.library_conv(ConvPass::Input, [&gx, &w, &grad], None, p)? {
            return Ok(());
        }
        let g = Geometry::new(gx, w, grad, p);
        let taps = Geometry::plane(&g.kernel);
        let (gm, wm, xm) = (self.view(&grad)?, self.view(&w)?, self.view(&gx)?);
        let direct = |mend: bool| {
            let kernel = self.conv_kernel("conv_backward_input", "DIRECT_INPUT", &g, false)?;
            let args = [gm.into(), wm.into(), xm.into(), g.arg(0, g.n), i32::from(mend).into()];
            self.launch_1d(&kernel, &args, gx.layout.numel())
        };
        let fits = self.rows_fit_input(&g);
        let method = match method.unwrap_or_else(|| self.conv_method(g.cg, g.og * taps, fits)) {
            ConvMethod::Rows if fits => return self.conv_rows_input(&g),
            ConvMethod::Columns(m) if plane_is_contiguous(gx.layout) && grad.layout.numel() > 0 => m,
            _ => return direct(false),
        };
        // The weight as [group, c, o, taps].
        let ws = &w.layout.strides;
        let mut shape = vec![g.groups, g.cg, g.og];
        shape.extend_from_slice(&w.layout.shape[2..]);
        let mut strides = vec![g.og * ws[0], ws[1], ws[0]];
        strides.extend_from_slice(&ws[2..]);
        let flipped = self.copied(&w, &shape, &strides, w.layout.offset)?;
        let ok = g.og * taps;
        let batch = g.group_stride(g.cg * ok);
        let a = Plain { mem: self.mem(&flipped)?, dtype: w.dtype, offset: 0, batch, row: ok, k: 1, limit: 0 };
        let xs = &gx.layout.strides;
        for [n0, images] in g.chunks(ok * Geometry::plane(&g.input)) {
            let target = Target {
                mem: xm,
                dtype: gx.dtype,
                offset: gx.layout.offset + n0 * xs[0],
                batch: g.cg * xs[1],
                row: xs[1],
                col: 1,
                inner: Geometry::plane(&g.input),
                outer: xs[0],
                bias: None,
                activation: None,
                pre: None,
                alpha: 1.0,
                beta: 0.0,
            };
            self.columns_product(&g, Side::Input, method, [n0, images], a, g.cg, &target)?;
        }
        if taps > 1 || g.stride != [1; 3] || g.padding != [0; 3] || g.input != g.output {
            direct(true)?;
        }
        Ok(())
    }

    pub(super) fn conv_weight_gradient(
        &self,
        method: Option<ConvMethod>,
        grad: View,
        x: View,
        p: &ConvParams,
        gw: View,
    ) -> Result<()> {
        if gw.layout.numel() == 0 {
            return Ok(());
        }
        if method.is_none() && self.library_conv(ConvPass::Weight, [&x, &gw, &grad], None, p)? {
            return Ok(());
        }
        let g = Geometry::new(x, gw, grad, p);
        let (ck, plane) = (g.cg * Geometry::plane(&g.kernel), Geometry::plane(&g.output));
        let (gm, xm, wm) = (self.view(&grad)?, self.view(&x)?, self.view(&gw)?);
        let direct = |mend: bool| {
            let kernel = self.conv_kernel("conv_backward_weight", "DIRECT_WEIGHT", &g, false)?;
            let args = [gm.into(), xm.into(), wm.into(), g.arg(0, g.n), i32::from(mend).into()];
            self.launch_1d(&kernel, &args, gw.layout.numel())
        };
        let fits = self.rows_fit_weight(&g);
        let method = match method.unwrap_or_else(|| self.conv_method(g.og, g.n * plane, fits)) {
            ConvMethod::Rows if fits => return self.conv_rows_weight(&g),
            ConvMethod::Columns(m) if gw.layout.is_contiguous() && grad.layout.numel() > 0 => m,
            _ => return direct(false),
        };
        let gs = &grad.layout.strides;
        for [n0, images] in g.chunks(ck * plane) {
            // The gradient as [group, o, n, place].
            let mut shape = vec![g.groups, g.og, images];
            shape.extend_from_slice(&grad.layout.shape[2..]);
            let mut strides = vec![g.og * gs[1], gs[1], gs[0]];
            strides.extend_from_slice(&gs[2..]);
            let turned = self.copied(&grad, &shape, &strides, grad.layout.offset + n0 * gs[0])?;
            let k = images * plane;
            let batch = g.group_stride(g.og * k);
            let a = Plain { mem: self.mem(&turned)?, dtype: grad.dtype, offset: 0, batch, row: k, k: 1, limit: 0 };
            let target = Target {
                mem: wm,
                dtype: gw.dtype,
                offset: gw.layout.offset,
                batch: g.og * ck,
                row: ck,
                col: 1,
                inner: 0,
                outer: 0,
                bias: None,
                activation: None,
                pre: None,
                alpha: 1.0,
                beta: if n0 == 0 { 0.0 } else { 1.0 },
            };
            self.columns_product(&g, Side::Weight, method, [n0, images], a, g.og, &target)?;
        }
        if g.padding != [0; 3] {
            direct(true)?;
        }
        Ok(())
    }
}

impl Geometry<'_> {
    /// Taps and positions of the column matrix.
    fn extent(&self, side: Side, images: i64) -> (i64, i64) {
        let kernel = Geometry::plane(&self.kernel);
        match side {
            Side::Input => (self.og * kernel, images * Geometry::plane(&self.input)),
            _ => (self.cg * kernel, images * Geometry::plane(&self.output)),
        }
    }
    /// The batch stride of an operand that differs by group.
    fn group_stride(&self, stride: i64) -> i64 {
        if self.groups == 1 {
            0
        } else {
            stride
        }
    }
    /// Ranges of images whose columns fit the limit: first and count.
    fn chunks(&self, per_image: i64) -> Vec<[i64; 2]> {
        let step = (COLUMN_LIMIT / (per_image * self.groups).max(1)).clamp(1, self.n.max(1));
        (0..self.n).step_by(step as usize).map(|n0| [n0, step.min(self.n - n0)]).collect()
    }
}
