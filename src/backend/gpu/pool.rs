//! Pooling.

use super::device::*;

const SOURCE: &str = include_str!("../kernels/pool.cl");
const ROWS: &str = include_str!("../kernels/pool_rows.cl");

/// Five strides (two leading, three spatial) and the offset of a view with `n` spatial dimensions.
fn place(l: &Layout, n: usize) -> [i64; 6] {
    let lead = l.ndim() - n;
    let mut out = [0; 6];
    out[0] = l.offset;
    out[3 - lead..3].copy_from_slice(&l.strides[..lead]);
    out[6 - n..].copy_from_slice(&l.strides[lead..]);
    out
}

/// Whether windows of a maximum tile the input without gaps, padding or cut windows, along rows of neighbours.
fn tiled(part: &str, roles: [&View; 3], p: &PoolParams) -> bool {
    let lead = roles[0].layout.ndim() - p.kernel.len();
    let (input, output) = (&roles[0].layout.shape[lead..], &roles[1].layout.shape[lead..]);
    part.starts_with("MAX")
        && p.kernel == p.stride
        && p.padding.iter().all(|v| *v == 0)
        && p.dilation.iter().all(|v| *v == 1)
        && p.kernel.iter().product::<i64>() <= 16
        && roles.iter().all(|v| v.layout.strides.last() == Some(&1))
        && (0..input.len()).all(|d| output[d] * p.kernel[d] <= input[d])
        && input.iter().product::<i64>() <= i32::MAX as i64
}

impl Gpu {
    /// Launches `name` over the elements of `input` (backward) or of `output`. `views` are the kernel's buffers.
    fn pool(
        &self,
        name: &'static str,
        part: &'static str,
        views: &[View],
        roles: [&View; 3],
        p: &PoolParams,
        divisor: i64,
    ) -> Result<()> {
        let [input, output, index] = roles;
        let n = p.kernel.len();
        let lead = input.layout.ndim() - n;
        if n > 3 || lead > 2 {
            return Err(Error::unsupported(name, input.dtype, self.device));
        }
        let backward = part.ends_with("BACKWARD");
        let total = if backward { input.layout.numel() } else { output.layout.numel() };
        if total == 0 {
            return Ok(());
        }
        let sizes = |v: &[i64], missing: i64| {
            let mut out = [missing; 3];
            out[3 - v.len()..].copy_from_slice(v);
            out
        };
        let mut pack = Pack::default();
        let leading = &input.layout.shape[..lead];
        pack.i64(if lead == 2 { leading[0] } else { 1 });
        pack.i64(if lead >= 1 { leading[lead - 1] } else { 1 });
        for v in [input, output, index] {
            place(v.layout, n).iter().for_each(|x| pack.i64(*x));
        }
        pack.i64(divisor);
        let lists = [
            sizes(&input.layout.shape[lead..], 1),
            sizes(&output.layout.shape[lead..], 1),
            sizes(&p.kernel, 1),
            sizes(&p.stride, 1),
            sizes(&p.padding, 0),
            sizes(&p.dilation, 1),
        ];
        lists.iter().flatten().for_each(|v| pack.u32(*v as u32));
        let acc = if input.dtype.is_float() { input.dtype.compute() } else { DType::I64 };
        if self.info.kind == "cpu" && tiled(part, roles, p) {
            let backward = part == "MAX_BACKWARD";
            let [k0, k1, k2] = sizes(&p.kernel, 1);
            let width = lists[1][2];
            let vectors = input.dtype == DType::F32 && k2 == 2 && width >= 4;
            let (name, part) = match (vectors, backward) {
                (true, false) => ("max_pool_rows", "ROWS_FORWARD"),
                (true, true) => ("max_pool_rows_backward", "ROWS_BACKWARD"),
                (false, false) => ("max_pool_tiles", "TILES_FORWARD"),
                (false, true) => ("max_pool_tiles_backward", "TILES_BACKWARD"),
            };
            let mut defs: SmallVec<[(&'static str, Def); 8]> = SmallVec::from_slice(&[
                ("T", Def::Type(input.dtype)),
                ("A", Def::Type(acc)),
                (part, Def::Int(1)),
                ("K0", Def::Int(k0)),
                ("K1", Def::Int(k1)),
            ]);
            let kernel = if vectors {
                defs.push(("VL", Def::Int(if width >= 8 { 8 } else { 4 })));
                self.kernel_of(name, &[SOURCE, ROWS], &defs)?
            } else {
                defs.push(("K2", Def::Int(k2)));
                self.kernel_of(name, &[SOURCE], &defs)?
            };
            let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
            for v in views {
                args.push(Arg::Mem(self.view(v)?));
            }
            args.push(pack.arg());
            let walked = if backward { input } else { output };
            let planes = leading.iter().product::<i64>() * sizes(&walked.layout.shape[lead..], 1)[0];
            return self.launch(&kernel, &args, [planes as usize, 1, 1], [1, 1, 1]);
        }
        let defs = [("T", Def::Type(input.dtype)), ("A", Def::Type(acc)), (part, Def::Int(1))];
        let kernel = self.kernel_of(name, &[SOURCE], &defs)?;
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        for v in views {
            args.push(Arg::Mem(self.view(v)?));
        }
        args.push(pack.arg());
        self.launch_1d(&kernel, &args, total)
    }

    pub(super) fn max_pool_forward(&self, input: View, p: &PoolParams, out: View, indices: View) -> Result<()> {
        self.pool("max_pool", "MAX_FORWARD", &[input, out, indices], [&input, &out, &indices], p, 0)
    }
    pub(super) fn max_pool_gradient(&self, grad: View, indices: View, p: &PoolParams, gx: View) -> Result<()> {
        self.pool("max_pool_backward", "MAX_BACKWARD", &[grad, indices, gx], [&gx, &grad, &indices], p, 0)
    }
    pub(super) fn avg_pool_forward(&self, input: View, p: &PoolParams, divisor: i64, out: View) -> Result<()> {
        self.pool("avg_pool", "AVG_FORWARD", &[input, out], [&input, &out, &out], p, divisor)
    }
    pub(super) fn avg_pool_gradient(&self, grad: View, p: &PoolParams, divisor: i64, gx: View) -> Result<()> {
        self.pool("avg_pool_backward", "AVG_BACKWARD", &[grad, gx], [&gx, &grad, &grad], p, divisor)
    }
}

/// What the kernels take for the two options of average pooling.
pub(super) fn divisor_code(count_include_pad: bool, divisor: Option<i64>) -> i64 {
    match divisor {
        Some(d) => d,
        None if count_include_pad => 0,
        None => -1,
    }
}
