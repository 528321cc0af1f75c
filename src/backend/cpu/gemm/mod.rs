//! Batched matrix products: out = beta * out + alpha * (a @ b), on any strides, without copies.
//!
//! Large products go to the `gemm` crate, one thread per block of the result; small ones, whose cost would be that
//! crate's setup, run through a register tile of our own. The block grid depends on shapes alone and every element
//! is summed in one order, so results do not depend on the number of threads.

#[cfg(target_arch = "x86_64")]
mod bf16;
mod finish;
mod half;
mod instances;
mod int;
mod mat;
mod panels;
mod problem;
mod real;
pub(super) mod small;

pub(super) use self::real::{matmul_serial, update_strided};

use self::half::run_half;
use self::int::run_int;
use self::problem::Problem;
use self::real::run_real;
use crate::backend::cpu::level::level;
use crate::backend::{check, Epilogue, View};
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};

/// out = epilogue(beta * out + alpha * (a @ b)) for [batch, m, k] @ [batch, k, n]; with beta 0, `out` is not read.
pub fn gemm(a: View, b: View, out: View, alpha: f64, beta: f64, e: &Epilogue) -> Result<()> {
    check::gemm(&a, &b, &out, e)?;
    if !e.is_none() && !a.dtype.is_float() {
        return Err(Error::unsupported("gemm_epilogue", a.dtype, "cpu"));
    }
    match a.dtype {
        DType::F32 => run_real(Problem::<f32>::of(&a, &b, &out, e)?, alpha as f32, beta as f32),
        DType::F64 => run_real(Problem::<f64>::of(&a, &b, &out, e)?, alpha, beta),
        DType::F16 => return run_half(Problem::<::half::f16>::of(&a, &b, &out, e)?, alpha as f32, beta as f32),
        DType::BF16 => return run_half(Problem::<::half::bf16>::of(&a, &b, &out, e)?, alpha as f32, beta as f32),
        DType::U8 => return run_int(level(), Problem::<u8>::of(&a, &b, &out, e)?, alpha as i64, beta as i64),
        DType::I8 => return run_int(level(), Problem::<i8>::of(&a, &b, &out, e)?, alpha as i64, beta as i64),
        DType::I16 => return run_int(level(), Problem::<i16>::of(&a, &b, &out, e)?, alpha as i64, beta as i64),
        DType::I32 => return run_int(level(), Problem::<i32>::of(&a, &b, &out, e)?, alpha as i64, beta as i64),
        DType::I64 => return run_int(level(), Problem::<i64>::of(&a, &b, &out, e)?, alpha as i64, beta as i64),
        DType::Bool | DType::C64 | DType::C128 => return Err(Error::unsupported("gemm", a.dtype, "cpu")),
    }
    Ok(())
}

#[cfg(feature = "tests")]
pub(crate) mod tests;
