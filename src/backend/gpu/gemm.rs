//! Matrix products: which kernel, which tiles.

use super::driver::{Matrix, Product};
use super::elementwise::scalar_arg;
use super::tune::Tile;
use super::*;

const SOURCE: &str = include_str!("../kernels/gemm.cl");

/// Ways to multiply; all give the same result up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Tiles in local memory: GPUs.
    Tiled,
    /// Packed panels and register tiles: CPUs.
    Packed,
    /// Register tiles over operands where they lie; b's columns are neighbours: CPUs, what fits their caches.
    Stream,
    /// Inner products by vectors; both operands run along k: CPUs, what fits their caches.
    Dot,
    /// No preparation: small and thin products.
    Direct,
}

/// The dtype that products of a dtype are added up in. Integers wrap, so 32 bits serve all but int64.
pub(super) fn accumulator(d: DType) -> DType {
    match d.compute() {
        DType::F32 => DType::F32,
        DType::F64 => DType::F64,
        DType::I64 => DType::I64,
        _ => DType::I32,
    }
}

/// Rows of a register tile.
pub(super) const TILE_ROWS: i64 = 8;

/// Columns of a register tile.
pub(super) fn tile_columns(acc: DType) -> usize {
    2 * (64 / acc.size())
}

/// Columns and most rows of a tile of inner products.
const DOT_TILE: i64 = 4;

/// Most elements of b that are read where they lie, over and over: beyond, packing pays.
const STREAM_MOST: i64 = 1 << 18;
const DOT_MOST: i64 = 1 << 17;

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
    /// Added per row: buffer, offset, stride.
    pub bias: Option<(&'a Mem, i64, i64)>,
    pub alpha: f64,
    pub beta: f64,
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
    fn library_product(&self, [a, b, out]: [&View; 3], scale: [f64; 2], bias: Option<(&Mem, i64)>) -> Result<bool> {
        let [bs, m, n] = [0, 1, 2].map(|d| out.layout.shape[d]);
        let dims = [bs, m, n, a.layout.shape[2]];
        if dims.contains(&0) || a.dtype != b.dtype || a.dtype != out.dtype {
            return Ok(false);
        }
        let (a, b, o) = (self.matrix(a)?, self.matrix(b)?, self.matrix(out)?);
        let [alpha, beta] = scale;
        let done = self.driver.product(&Product { dtype: out.dtype, dims, a, b, out: o, alpha, beta, bias })?;
        if done {
            self.library_ran([a.mem, b.mem, o.mem].into_iter().chain(bias.map(|b| b.0)));
        }
        Ok(done)
    }

    pub(super) fn affine(&self, input: View, weight: View, bias: View, out: View) -> Result<bool> {
        if bias.dtype != out.dtype || (bias.layout.strides[0] != 1 && bias.layout.shape[0] != 1) {
            return Ok(false);
        }
        let as_batch = |l: &Layout, rows: usize, cols: usize| Layout {
            shape: SmallVec::from_slice(&[1, l.shape[rows], l.shape[cols]]),
            strides: SmallVec::from_slice(&[0, l.strides[rows], l.strides[cols]]),
            offset: l.offset,
        };
        let (x, w, y) = (as_batch(input.layout, 0, 1), as_batch(weight.layout, 1, 0), as_batch(out.layout, 0, 1));
        let views = [&View { layout: &x, ..input }, &View { layout: &w, ..weight }, &View { layout: &y, ..out }];
        self.library_product(views, [1.0, 0.0], Some((self.view(&bias)?, bias.layout.offset)))
    }

    pub(super) fn gemm_auto(&self, a: View, b: View, out: View, alpha: f64, beta: f64) -> Result<()> {
        if self.library_product([&a, &b, &out], [alpha, beta], None)? {
            return Ok(());
        }
        let (m, n, k) = (out.layout.shape[1], out.layout.shape[2], a.layout.shape[2]);
        let work = m * n * k;
        let method = match self.info.kind {
            "cpu" if work >= 1 << 12 && k * n <= STREAM_MOST && streams(&a, &b) => Method::Stream,
            "cpu" if work >= 1 << 12 && k * n <= DOT_MOST && dots(&a, &b) => Method::Dot,
            "cpu" if m >= 4 && n >= 8 && work >= 1 << 15 => Method::Packed,
            "cpu" => Method::Direct,
            _ if m.min(n) < 8 && k < 1024 => Method::Direct,
            _ => Method::Tiled,
        };
        self.gemm_by(method, a, b, out, alpha, beta)
    }

    pub(super) fn gemm_by(&self, method: Method, a: View, b: View, out: View, alpha: f64, beta: f64) -> Result<()> {
        let (l, acc) = (out.layout, accumulator(out.dtype));
        let tile = self.tile(method, acc, l.shape[0] * l.shape[1] * l.shape[2] * a.layout.shape[2]);
        self.gemm_tile(method, tile, a, b, out, alpha, beta)
    }

    /// The same with a tile for the methods that take one (`tune::candidates`).
    pub(super) fn gemm_tile(
        &self,
        method: Method,
        tile: Tile,
        a: View,
        b: View,
        out: View,
        alpha: f64,
        beta: f64,
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
            bias: None,
            alpha,
            beta,
        };
        if method == Method::Packed && bs * m * n * dims[3] > 0 {
            let acc = accumulator(out.dtype);
            let a = self.pack_panels(&pa, [bs, m, dims[3]], tile.rows as usize, acc)?;
            let b = self.pack_panels(&pb, [bs, n, dims[3]], tile.width() as usize, acc)?;
            return self.product(Method::Packed, tile, dims, Operands::Panels(&a, &b), &target);
        }
        let method = match method {
            Method::Packed => Method::Direct,
            Method::Stream if !streams(&a, &b) => Method::Direct,
            Method::Dot if !dots(&a, &b) => Method::Direct,
            method => method,
        };
        self.product(method, tile, dims, Operands::Plain(pa, pb), &target)
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
    fn in_bands(&self, method: Method, tile: Tile, dims: Dims4, operands: &Operands, t: &Target) -> Option<Result<()>> {
        const BATCHES: i64 = 1 << 14;
        const ROWS: i64 = 1 << 17;
        let [bs, m, n, k] = dims;
        let Operands::Plain(a, b) = operands else { return None };
        let rows = self.info.kind != "cpu" && m > ROWS && bs == 1;
        if self.info.kind == "cpu" || t.bias.is_some() || (bs <= BATCHES && !rows) {
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
            } else {
                a.offset += first * a.batch;
                b.offset += first * b.batch;
                t.offset += first * t.batch;
            }
            self.product(method, tile, dims, Operands::Plain(a, b), &t)
        };
        Some((0..whole).step_by(step as usize).try_for_each(part))
    }

    /// Queues one product. The tile is that of the panels, or (`Method::Tiled`) of a work-item.
    pub(super) fn product(
        &self,
        method: Method,
        tile: Tile,
        dims: Dims4,
        operands: Operands,
        t: &Target,
    ) -> Result<()> {
        let [bs, m, n, k] = dims;
        if bs * m * n == 0 {
            return Ok(());
        }
        if let Some(done) = self.in_bands(method, tile, dims, &operands, t) {
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
        let wanted = self.info.compute_units as i64 * if method == Method::Tiled { 4 } else { 2 };
        let splits = match method {
            Method::Direct => 1,
            _ => ((wanted + tiles - 1) / tiles).min(k / 1024).max((k + 16383) / 16384).max(1),
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
            let (bias_off, bias_st) = t.bias.map_or((0, 0), |b| (b.1, b.2));
            let out = [t.offset, t.batch, t.row, t.col, t.inner, t.outer];
            let rest = [bs, m, n, k, splits, k_step, bias_off, bias_st];
            a.iter().chain(&b).chain(&out).chain(&rest).for_each(|v| pack.i64(*v));
            pack.arg()
        };
        let scalars = || [scalar_arg(Scalar::Float(t.alpha), acc), scalar_arg(Scalar::Float(t.beta), acc)];
        let mut common: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(t.dtype)), ("A", Def::Type(acc))]);
        if !acc.is_float() {
            common.push(("INTEGER", Def::Int(1)));
        }
        let mut defs = common.clone();
        let partial = if splits > 1 {
            defs.push(("SPLIT", Def::Int(1)));
            Some(self.scratch((bs * splits * m * n) as usize * acc.size())?)
        } else {
            if t.bias.is_some() {
                defs.push(("BIAS", Def::Int(1)));
            }
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
                args.extend(t.bias.map(|b| Arg::Mem(b.0)));
                args.push(Arg::Mem(t.mem));
            }
        }
        args.push(meta());
        args.extend(scalars());
        let (mu, nu, z) = (m as usize, n as usize, (bs * splits) as usize);
        match method {
            Method::Tiled => {
                defs.push(("GEMM_TILED", Def::Int(1)));
                defs.push(("PER", Def::Int(tile.rows)));
                let kernel = self.kernel("gemm_tiled", SOURCE, &defs)?;
                let groups = |size: usize, tile: i64| size.div_ceil(tile as usize) * 16;
                self.launch(&kernel, &args, [groups(nu, tw), groups(mu, th), z], [16, 16, 1])?;
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
                if t.dtype == acc && partial.is_none() {
                    defs.push(("DIRECT_STORE", Def::Int(1)));
                }
                if let (Method::Stream, Operands::Plain(_, b)) = (method, &operands) {
                    args.push(b.limit.into());
                }
                let kernel = self.kernel(name, SOURCE, &defs)?;
                self.launch(&kernel, &args, [mu.div_ceil(th as usize), nu.div_ceil(tw as usize), z], [1, 1, 1])?;
            }
        }
        let Some(partial) = &partial else { return Ok(()) };
        if t.bias.is_some() {
            common.push(("BIAS", Def::Int(1)));
        }
        common.push(("GEMM_FINISH", Def::Int(1)));
        let kernel = self.kernel("gemm_finish", SOURCE, &common)?;
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        args.push(Arg::Mem(partial.mem()));
        args.extend(t.bias.map(|b| Arg::Mem(b.0)));
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
