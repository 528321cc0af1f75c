//! Pooling.

use super::*;

const SOURCE: &str = include_str!("../kernels/pool.cl");

/// Five strides (two leading, three spatial) and the offset of a view with `n` spatial dimensions.
fn place(l: &Layout, n: usize) -> [i64; 6] {
    let lead = l.ndim() - n;
    let mut out = [0; 6];
    out[0] = l.offset;
    out[3 - lead..3].copy_from_slice(&l.strides[..lead]);
    out[6 - n..].copy_from_slice(&l.strides[lead..]);
    out
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
