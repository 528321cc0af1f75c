//! One product of the gemm crate at the level in force. The crate's own front asks the machine instead, which
//! `TAPER_SIMD` does not change; its instances for each instruction set are named here.

use crate::backend::cpu::lanes::Real;
use crate::backend::cpu::level::{level, Level};
use gemm_common::gemm::gemm_basic_generic;
use gemm_common::simd::MixedSimd;
use gemm_common::Parallelism;

/// A matrix for the crate: the first element and the strides of columns and rows.
#[derive(Clone, Copy)]
pub(super) struct Strided<T> {
    pub at: *mut T,
    pub col: isize,
    pub row: isize,
}

/// c = beta * c + alpha * a @ b, on this thread; c is not read where beta is 0.
///
/// # Safety
/// The matrices of m x k, k x n and m x n elements are valid, and nobody else touches c.
pub(super) unsafe fn product<T: Real>(
    (m, n, k): (usize, usize, usize),
    c: Strided<T>,
    a: Strided<T>,
    b: Strided<T>,
    alpha: T,
    beta: T,
) {
    // SAFETY: the caller's; `Real` is f32 or f64, told apart by its size.
    unsafe {
        if size_of::<T>() == 4 {
            f32::run((m, n, k), cast(c), cast(a), cast(b), to(alpha), to(beta))
        } else {
            f64::run((m, n, k), cast(c), cast(a), cast(b), to(alpha), to(beta))
        }
    }
}

fn cast<T, U>(m: Strided<T>) -> Strided<U> {
    Strided { at: m.at as *mut U, col: m.col, row: m.row }
}
/// # Safety
/// T and U are the same type.
unsafe fn to<T: Copy, U: Copy>(v: T) -> U {
    // SAFETY: the caller's.
    unsafe { std::mem::transmute_copy(&v) }
}

macro_rules! instances {
    ($ty:ident, $kernels:ident, $avx2:literal, $avx512:literal) => {
        mod $ty {
            use super::*;

            /// # Safety
            /// As `product`.
            pub(super) unsafe fn run(
                size: (usize, usize, usize),
                c: Strided<$ty>,
                a: Strided<$ty>,
                b: Strided<$ty>,
                alpha: $ty,
                beta: $ty,
            ) {
                // SAFETY: the caller's; the level is this machine's.
                unsafe {
                    match level() {
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx512 => avx512f(size, c, a, b, alpha, beta),
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx2 => fma(size, c, a, b, alpha, beta),
                        _ => base(size, c, a, b, alpha, beta),
                    }
                }
            }

            #[cfg(target_arch = "x86_64")]
            instances!(@ avx512f, avx512f, V4, $ty, $kernels, $avx512);
            #[cfg(target_arch = "x86_64")]
            instances!(@ fma, fma, V3, $ty, $kernels, $avx2);
            #[cfg(not(target_arch = "aarch64"))]
            instances!(@ base, scalar, Scalar, $ty, $kernels, 1);
            #[cfg(target_arch = "aarch64")]
            instances!(@ base, neon, Scalar, $ty, $kernels, { 16 / size_of::<$ty>() });
        }
    };
    (@ $name:ident, $module:ident, $simd:ident, $ty:ident, $kernels:ident, $n:expr) => {
        #[inline(never)]
        unsafe fn $name(
            (m, n, k): (usize, usize, usize),
            c: Strided<$ty>,
            a: Strided<$ty>,
            b: Strided<$ty>,
            alpha: $ty,
            beta: $ty,
        ) {
            use $kernels::microkernel::$module::$ty::*;
            const N: usize = $n;
            let Some(simd) = <gemm_common::simd::$simd as MixedSimd<$ty, $ty, $ty, $ty>>::try_new() else {
                unreachable!("the level was detected");
            };
            // The crate's alpha weighs what is in c, its beta the product.
            // SAFETY: the caller's.
            unsafe {
                gemm_basic_generic::<_, $ty, N, { MR_DIV_N * N }, NR, MR_DIV_N, H_M, H_N>(
                    simd, m, n, k, c.at, c.col, c.row, beta != 0.0, a.at, a.col, a.row, b.at, b.col, b.row, beta, alpha,
                    false, false, false, |a, b, c| a * b + c, &UKR, &H_UKR, false, Parallelism::None,
                )
            }
        }
    };
}
instances!(f32, gemm_f32, 8, 16);
instances!(f64, gemm_f64, 4, 8);
