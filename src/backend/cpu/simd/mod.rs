//! Kernels over dense runs of elements, and the instruction sets they are compiled for.
//!
//! A kernel is one generic loop over an [`Op`]. The loop is instantiated once for the baseline and once for each
//! wider instruction set, and the machine's widest is picked at run time. Chunks of a cache line are read into local
//! arrays, computed and written, which the compiler turns into vector code without alias checks; the same arithmetic
//! serves the last elements, so a result does not depend on where its element stands.

pub mod convert;
pub mod float;
pub mod float_ops;
pub mod half;
pub mod int;
pub mod math32;
pub mod math64;
pub mod run;
pub mod special64;
pub mod wide32;

pub use run::*;

use crate::backend::program::Opcode;
use crate::base::dtype::DType;

/// The kernel of `op` on arguments of `ty`, or None where the op is not defined on that dtype. The result has `ty`,
/// or bool for predicates. Logical ops take bool arguments; `Where` takes (bool, ty, ty).
#[inline]
pub fn kernel(op: Opcode, ty: DType) -> Option<Kernel> {
    use Opcode::*;
    match op {
        LogicalAnd | LogicalOr | LogicalXor | LogicalNot => return int::logical(op),
        Where => return Some(int::select(ty.size())),
        _ => {}
    }
    match ty {
        DType::F32 => float_ops::kernel::<f32>(op),
        DType::F64 => float_ops::kernel::<f64>(op),
        DType::U8 => int::kernel::<u8, 64>(op),
        DType::I8 => int::kernel::<i8, 64>(op),
        DType::I16 => int::kernel::<i16, 32>(op),
        DType::I32 => int::kernel::<i32, 16>(op),
        DType::I64 => int::kernel::<i64, 16>(op),
        DType::Bool => int::bool_kernel(op),
        DType::F16 | DType::BF16 | DType::C64 | DType::C128 => None,
    }
}
