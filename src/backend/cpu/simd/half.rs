//! Ops on half types in one pass: widened, computed and rounded in registers.

use super::convert::To;
use super::float_ops::op;
use super::{long, Isa, Kernel, Op};
use crate::backend::program::Opcode;
use crate::base::dtype::DType;
use std::marker::PhantomData;

/// An f32 op of one argument on elements of H.
struct One<H, O>(PhantomData<(H, O)>);
impl<H, O> Op for One<H, O>
where
    H: To<f32> + Copy + 'static,
    f32: To<H>,
    O: Op<A = f32, B = (), C = (), Out = f32>,
{
    type A = H;
    type B = ();
    type C = ();
    type Out = H;
    #[inline(always)]
    fn apply<I: Isa>(a: H, _: (), _: ()) -> H {
        O::apply::<I>(a.to(), (), ()).to()
    }
}
/// Of two.
struct Two<H, O>(PhantomData<(H, O)>);
impl<H, O> Op for Two<H, O>
where
    H: To<f32> + Copy + 'static,
    f32: To<H>,
    O: Op<A = f32, B = f32, C = (), Out = f32>,
{
    type A = H;
    type B = H;
    type C = ();
    type Out = H;
    #[inline(always)]
    fn apply<I: Isa>(a: H, b: H, _: ()) -> H {
        O::apply::<I>(a.to(), b.to(), ()).to()
    }
}

/// The kernel of an op that is computed in f32 on arguments and a result of the half type; None where there is none.
pub fn kernel(op: Opcode, dtype: DType) -> Option<Kernel> {
    match dtype {
        DType::BF16 => of::<half::bf16>(op),
        DType::F16 => of::<half::f16>(op),
        _ => None,
    }
}
fn of<H: To<f32> + Copy + 'static>(op: Opcode) -> Option<Kernel>
where
    f32: To<H>,
{
    use Opcode as O;
    /// Elements per chunk.
    const L: usize = 32;
    Some(match op {
        O::Add => long::<Two<H, op::Add<f32>>, L>(),
        O::Sub => long::<Two<H, op::Sub<f32>>, L>(),
        O::Mul => long::<Two<H, op::Mul<f32>>, L>(),
        O::Div => long::<Two<H, op::Div<f32>>, L>(),
        O::Maximum => long::<Two<H, op::Maximum<f32>>, L>(),
        O::Minimum => long::<Two<H, op::Minimum<f32>>, L>(),
        O::Relu => long::<One<H, op::Relu<f32>>, L>(),
        O::ReluGrad => long::<Two<H, op::ReluGrad<f32>>, L>(),
        _ => return None,
    })
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::super::{convert::convert, kernel as float_kernel};
    use super::*;

    /// One pass gives the bits that a conversion, the f32 kernel and a conversion back give.
    #[cfg_attr(test, test)]
    pub(crate) fn one_pass_equals_three() {
        use Opcode::*;
        for dtype in [DType::BF16, DType::F16] {
            for op in [Add, Sub, Mul, Div, Maximum, Minimum, Relu, ReluGrad] {
                for n in [1usize, 31, 32, 33, 4096] {
                    // All sizes, both signs, infinities and NaN.
                    let bits = |k: usize| (0..n).map(|i| (i * k + k).wrapping_mul(40503) as u16).collect::<Vec<u16>>();
                    let (a, b) = (bits(1), bits(7));
                    let (mut got, mut want) = (vec![0u16; n], vec![0u16; n]);
                    let (mut x, mut y) = (vec![0f32; n], vec![0f32; n]);
                    // SAFETY: n elements of the named dtypes behind each pointer.
                    unsafe {
                        let (pa, pb) = (a.as_ptr().cast::<u8>(), b.as_ptr().cast::<u8>());
                        kernel(op, dtype).unwrap()(n, got.as_mut_ptr().cast(), pa, pb, pa);
                        let (px, py) = (x.as_mut_ptr().cast::<u8>(), y.as_mut_ptr().cast::<u8>());
                        convert(dtype, DType::F32)(n, px, pa, pa, pa);
                        convert(dtype, DType::F32)(n, py, pb, pb, pb);
                        float_kernel(op, DType::F32).unwrap()(n, px, px, py, px);
                        convert(DType::F32, dtype)(n, want.as_mut_ptr().cast(), px, px, px);
                    }
                    let nan = if dtype == DType::F16 { 0x7c00 } else { 0x7f80 };
                    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                        let both_nan = g & 0x7fff > nan && w & 0x7fff > nan;
                        assert!(g == w || both_nan, "{op:?} {dtype} {n}: element {i} is {g:#x}, should be {w:#x}");
                    }
                }
            }
        }
        assert!(kernel(Opcode::Exp, DType::BF16).is_none() && kernel(Opcode::Add, DType::F32).is_none());
    }
}
