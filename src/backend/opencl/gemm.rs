//! Matrix products: which kernel, which tiles.

use super::elementwise::scalar_arg;
use super::*;

const SOURCE: &str = include_str!("../kernels/gemm.cl");

/// Ways to multiply; all give the same result up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Tiles in local memory: GPUs.
    Tiled,
    /// Packed panels and register tiles: CPUs.
    Packed,
    /// No preparation: small and thin products.
    Direct,
}

/// The dtype that products of a dtype are added up in. Integers wrap, so 32 bits serve all but int64.
fn accumulator(d: DType) -> DType {
    match d.compute() {
        DType::F32 => DType::F32,
        DType::F64 => DType::F64,
        DType::I64 => DType::I64,
        _ => DType::I32,
    }
}

/// Rows of a register tile.
const ROWS: usize = 8;

impl OpenCl {
    pub(super) fn gemm_auto(&self, a: View, b: View, out: View, alpha: f64, beta: f64) -> Result<()> {
        let (m, n, k) = (out.layout.shape[1], out.layout.shape[2], a.layout.shape[2]);
        let method = match self.info.kind {
            "cpu" if m >= 8 && n >= 16 && m * n * k >= 1 << 15 => Method::Packed,
            "cpu" => Method::Direct,
            _ if m.min(n) < 8 => Method::Direct,
            _ => Method::Tiled,
        };
        self.gemm_by(method, a, b, out, alpha, beta)
    }

    pub(super) fn gemm_by(&self, method: Method, a: View, b: View, out: View, alpha: f64, beta: f64) -> Result<()> {
        if out.dtype == DType::Bool || a.dtype != b.dtype || a.dtype != out.dtype {
            return Err(Error::unsupported("gemm", a.dtype, self.device));
        }
        let (bs, m, n) = (out.layout.shape[0], out.layout.shape[1], out.layout.shape[2]);
        let k = a.layout.shape[2];
        if bs * m * n == 0 {
            return Ok(());
        }
        let acc = accumulator(a.dtype);
        let mut pack = Pack::default();
        for v in [&a, &b, &out] {
            pack.i64(v.layout.offset);
            pack.i64(if v.layout.shape[0] == 1 { 0 } else { v.layout.strides[0] });
            pack.i64(v.layout.strides[1]);
            pack.i64(v.layout.strides[2]);
        }
        for v in [bs, m, n, k] {
            pack.i64(v);
        }
        let (am, bm, om) = (self.view(&a)?, self.view(&b)?, self.view(&out)?);
        let alpha = scalar_arg(Scalar::Float(alpha), acc);
        let beta = scalar_arg(Scalar::Float(beta), acc);
        let mut defs: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(out.dtype)), ("A", Def::Type(acc))]);
        if !acc.is_float() {
            defs.push(("INTEGER", Def::Int(1)));
        }
        let (m, n, bs) = (m as usize, n as usize, bs as usize);
        match method {
            Method::Tiled => {
                defs.push(("GEMM_TILED", Def::Int(1)));
                let kernel = self.kernel("gemm_tiled", SOURCE, &defs)?;
                let groups = [n.div_ceil(64) * 16, m.div_ceil(64) * 16, bs];
                self.launch(&kernel, &[am.into(), bm.into(), om.into(), pack.arg(), alpha, beta], groups, [16, 16, 1])
            }
            Method::Direct => {
                let rows = if m < 4 { 1 } else { 4 };
                defs.push(("GEMM_DIRECT", Def::Int(1)));
                defs.push(("ROWS", Def::Int(rows as i64)));
                let kernel = self.kernel("gemm_direct", SOURCE, &defs)?;
                let local = if n >= 32 { 32 } else { 1 };
                let args = [am.into(), bm.into(), om.into(), pack.arg(), alpha, beta];
                self.launch(&kernel, &args, [n, m.div_ceil(rows), bs], [local, 1, 1])
            }
            Method::Packed => {
                let lanes = 64 / acc.size();
                let columns = 2 * lanes;
                let pa = self.pack_panels(&a, am, [0, 1, 2], ROWS, acc)?;
                let pb = self.pack_panels(&b, bm, [0, 2, 1], columns, acc)?;
                defs.push(("GEMM_PACKED", Def::Int(1)));
                defs.push(("MR", Def::Int(ROWS as i64)));
                defs.push(("NV", Def::Int(2)));
                defs.push(("VL", Def::Int(lanes as i64)));
                let base = match acc {
                    DType::F32 => "BASE float",
                    DType::F64 => "BASE double",
                    DType::I64 => "BASE long",
                    _ => "BASE int",
                };
                defs.push((base, Def::Flag));
                if out.dtype == acc {
                    defs.push(("DIRECT_STORE", Def::Int(1)));
                }
                let kernel = self.kernel("gemm_packed", SOURCE, &defs)?;
                let args = [pa.mem().into(), pb.mem().into(), om.into(), pack.arg(), alpha, beta];
                self.launch(&kernel, &args, [m.div_ceil(ROWS), n.div_ceil(columns), bs], [1, 1, 1])
            }
        }
    }

    /// Copies the matrices of `v` into panels; `order` names its batch, row and k dimensions.
    fn pack_panels(&self, v: &View, mem: &Mem, order: [usize; 3], rows: usize, acc: DType) -> Result<DeviceBuffer> {
        let l = v.layout;
        let [shape, strides] = [&l.shape, &l.strides].map(|x| order.map(|d| x[d]));
        let batches = if strides[0] == 0 { 1 } else { shape[0] } as usize;
        let panels = (shape[1] as usize).div_ceil(rows);
        let out = self.scratch(batches * panels * rows * shape[2] as usize * acc.size())?;
        let defs = [
            ("T", Def::Type(v.dtype)),
            ("A", Def::Type(acc)),
            ("R", Def::Int(rows as i64)),
            ("GEMM_PACK", Def::Int(1)),
        ];
        let kernel = self.kernel("gemm_pack", SOURCE, &defs)?;
        let args: [Arg; 8] = [
            mem.into(),
            out.mem().into(),
            l.offset.into(),
            strides[0].into(),
            strides[1].into(),
            strides[2].into(),
            shape[1].into(),
            shape[2].into(),
        ];
        // Few panels are shared between several work-items along k.
        let parts = (16 / (panels * batches)).clamp(1, (shape[2] as usize / 64).max(1));
        self.launch(&kernel, &args, [panels, parts, batches], [1, 1, 1])?;
        Ok(out)
    }
}
