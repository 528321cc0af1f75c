//! Matrix products of integers, which wrap as PyTorch's do. A panel of b, two vectors wide, is packed into the first cache,
//! types below 16 bits as such of 16, and rows of the result are taken through it in register tiles.

use super::problem::{Problem, TASK};
use crate::backend::cpu::level::Level;
use crate::backend::cpu::scratch::Scratch;
use crate::backend::cpu::threads::parallel::try_parallel_for;
use crate::base::dtype::Element;
use crate::base::error::Result;
use std::ops::Range;

/// Rows of the result that a panel serves, and rows of a panel.
const ROWS: usize = 128;
const DEPTH: usize = 256;
/// Vectors of a panel's row.
const NV: usize = 2;

/// An integer that sums are made in.
pub(super) trait Sum: Element {
    #[cfg(target_arch = "x86_64")]
    type V4: Vector<T = Self>;
    #[cfg(target_arch = "x86_64")]
    type V3: Vector<T = Self>;
    type V1: Vector<T = Self>;
    fn mul_add(self, b: Self, c: Self) -> Self;
}

/// An element type with the integer that its sums are made in: the lowest bits of a sum are those of a wider one.
pub(super) trait Whole: Element {
    type C: Sum;
    fn widen(self) -> Self::C;
    fn narrow(v: Self::C) -> Self;
}
macro_rules! whole {
    ($($t:ty: $c:ty),*) => {$(
        impl Whole for $t {
            type C = $c;
            #[inline(always)]
            fn widen(self) -> $c {
                self as $c
            }
            #[inline(always)]
            fn narrow(v: $c) -> Self {
                v as $t
            }
        })*};
}
whole!(u8: i16, i8: i16, i16: i16, i32: i32, i64: i64);

/// A vector of integers. All functions are unsafe: the instruction set must be there and pointers valid.
pub(super) trait Vector: Copy {
    type T: Sum;
    const N: usize;
    /// Rows of a register tile.
    const ROWS: usize;
    unsafe fn splat(v: Self::T) -> Self;
    unsafe fn load(p: *const Self::T) -> Self;
    unsafe fn store(self, p: *mut Self::T);
    /// self * b + c
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
}

/// The fallback: an array that the compiler vectorises as far as the baseline allows.
#[derive(Clone, Copy)]
pub(super) struct Portable<T, const N: usize>([T; N]);
impl<T: Sum, const N: usize> Vector for Portable<T, N> {
    type T = T;
    const N: usize = N;
    const ROWS: usize = 2;
    #[inline(always)]
    unsafe fn splat(v: T) -> Self {
        Portable([v; N])
    }
    #[inline(always)]
    unsafe fn load(p: *const T) -> Self {
        Portable(std::ptr::read_unaligned(p.cast()))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut T) {
        std::ptr::write_unaligned(p.cast(), self.0)
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        let mut r = c.0;
        for i in 0..N {
            r[i] = self.0[i].mul_add(b.0[i], r[i]);
        }
        Portable(r)
    }
}

macro_rules! sums {
    ($($t:ty, $n:literal, $v3:ident, $v4:ident);*) => {$(
        impl Sum for $t {
            #[cfg(target_arch = "x86_64")]
            type V4 = x86::$v4;
            #[cfg(target_arch = "x86_64")]
            type V3 = x86::$v3;
            type V1 = Portable<$t, $n>;
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                self.wrapping_mul(b).wrapping_add(c)
            }
        })*};
}
sums!(i16, 16, I16x16, I16x32; i32, 8, I32x8, I32x16; i64, 4, I64x4, I64x8);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    macro_rules! vectors {
        ($($name:ident, $raw:ty, $t:ty, $n:literal, $rows:literal, $splat:ident, $load:ident, $store:ident,
           $add:ident, $mul:ident);*) => {$(
            #[derive(Clone, Copy)]
            pub struct $name($raw);
            impl Vector for $name {
                type T = $t;
                const N: usize = $n;
                const ROWS: usize = $rows;
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    $name($splat(v))
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    $name($load(p.cast()))
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    $store(p.cast(), self.0)
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    $name($add($mul(self.0, b.0), c.0))
                }
            })*};
    }
    /// The lower halves of products, by three products of halves: AVX2 has no such instruction.
    #[inline(always)]
    unsafe fn mullo64(a: __m256i, b: __m256i) -> __m256i {
        let (a_high, b_high) = (_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
        let cross = _mm256_add_epi64(_mm256_mul_epu32(a_high, b), _mm256_mul_epu32(a, b_high));
        _mm256_add_epi64(_mm256_mul_epu32(a, b), _mm256_slli_epi64::<32>(cross))
    }
    vectors!(
        I16x32, __m512i, i16, 32, 8, _mm512_set1_epi16, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_add_epi16, _mm512_mullo_epi16;
        I32x16, __m512i, i32, 16, 8, _mm512_set1_epi32, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_add_epi32, _mm512_mullo_epi32;
        I64x8, __m512i, i64, 8, 8, _mm512_set1_epi64, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_add_epi64, _mm512_mullo_epi64;
        I16x16, __m256i, i16, 16, 4, _mm256_set1_epi16, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_add_epi16, _mm256_mullo_epi16;
        I32x8, __m256i, i32, 8, 4, _mm256_set1_epi32, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_add_epi32, _mm256_mullo_epi32;
        I64x4, __m256i, i64, 4, 2, _mm256_set1_epi64x, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_add_epi64, mullo64
    );
}

/// c = beta * c + alpha * a @ b, all modulo the type's range.
pub(super) fn run_int<T: Whole>(set: Level, p: Problem<T>, alpha: i64, beta: i64) -> Result<()> {
    let Problem { batch, m, n, k, .. } = p;
    if batch == 0 || m == 0 || n == 0 {
        return Ok(());
    }
    let width = match set {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => NV * <T::C as Sum>::V4::N,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => NV * <T::C as Sum>::V3::N,
        _ => NV * <T::C as Sum>::V1::N,
    };
    let (height, blocks, panels) = (ROWS.min(m), m.div_ceil(ROWS), n.div_ceil(width));
    let grain = (TASK / 2 / (height * width * k + 1)).max(1);
    try_parallel_for(batch * blocks * panels, grain, |r| {
        let scratch = Scratch::new::<T::C>((DEPTH.min(k) + height) * width)?;
        // SAFETY: blocks are disjoint and lie inside the views; the scratch holds a panel and the sums of a block.
        unsafe { run_range(set, &p, r, scratch.ptr(), T::C::from_i64(alpha), T::C::from_i64(beta)) };
        Ok(())
    })
}

unsafe fn run_range<T: Whole>(
    set: Level,
    p: &Problem<T>,
    range: Range<usize>,
    scratch: *mut T::C,
    alpha: T::C,
    beta: T::C,
) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
    unsafe fn v4<T: Whole>(p: &Problem<T>, range: Range<usize>, scratch: *mut T::C, alpha: T::C, beta: T::C) {
        body::<T, <T::C as Sum>::V4>(p, range, scratch, alpha, beta)
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
    unsafe fn v3<T: Whole>(p: &Problem<T>, range: Range<usize>, scratch: *mut T::C, alpha: T::C, beta: T::C) {
        body::<T, <T::C as Sum>::V3>(p, range, scratch, alpha, beta)
    }
    match set {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => v4(p, range, scratch, alpha, beta),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => v3(p, range, scratch, alpha, beta),
        _ => body::<T, <T::C as Sum>::V1>(p, range, scratch, alpha, beta),
    }
}

#[inline(always)]
unsafe fn body<T: Whole, V: Vector<T = T::C>>(
    p: &Problem<T>,
    range: Range<usize>,
    scratch: *mut T::C,
    alpha: T::C,
    beta: T::C,
) {
    let Problem { m, n, k, .. } = *p;
    let width = NV * V::N;
    let (blocks, panels) = (m.div_ceil(ROWS), n.div_ceil(width));
    let zero = T::C::from_i64(0);
    let (panel, sums) = (scratch, scratch.add(DEPTH.min(k) * width));
    for task in range {
        let (i, block, at) = (task / (blocks * panels), task / panels % blocks, task % panels);
        let (r0, c0) = (block * ROWS, at * width);
        let (rows, cols) = (ROWS.min(m - r0), width.min(n - c0));
        for at in 0..rows * NV {
            V::splat(zero).store(sums.add(at * V::N));
        }
        for k0 in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - k0);
            for l in 0..depth {
                let (from, to) = (p.b.at(i, k0 + l, c0) as *const T, panel.add(l * width));
                for j in 0..cols {
                    *to.add(j) = (*from.offset(j as isize * p.b.col)).widen();
                }
                for j in cols..width {
                    *to.add(j) = zero;
                }
            }
            let mut r = 0;
            macro_rules! step {
                ($rows:literal) => {
                    while V::ROWS >= $rows && rows - r >= $rows {
                        let a = p.a.at(i, r0 + r, k0) as *const T;
                        tile::<T, V, $rows>(depth, a, p.a.row, p.a.col, panel, sums.add(r * width));
                        r += $rows;
                    }
                };
            }
            step!(8);
            step!(4);
            step!(2);
            step!(1);
        }
        for r in 0..rows {
            for j in 0..cols {
                let to = p.c.at(i, r0 + r, c0 + j);
                let was = if beta == zero { zero } else { (*to).widen() };
                *to = T::narrow(alpha.mul_add(*sums.add(r * width + j), beta.mul_add(was, zero)));
            }
        }
    }
}

/// Adds what R rows of a make of a panel to their sums.
#[inline(always)]
unsafe fn tile<T: Whole, V: Vector<T = T::C>, const R: usize>(
    k: usize,
    a: *const T,
    a_row: isize,
    a_col: isize,
    panel: *const T::C,
    to: *mut T::C,
) {
    let mut sums = [[V::splat(T::C::from_i64(0)); NV]; R];
    for i in 0..R {
        for v in 0..NV {
            sums[i][v] = V::load(to.add((i * NV + v) * V::N));
        }
    }
    for l in 0..k {
        let mut b = [V::splat(T::C::from_i64(0)); NV];
        for v in 0..NV {
            b[v] = V::load(panel.add((l * NV + v) * V::N));
        }
        let a = a.wrapping_offset(l as isize * a_col);
        for i in 0..R {
            let x = V::splat((*a.wrapping_offset(i as isize * a_row)).widen());
            for v in 0..NV {
                sums[i][v] = x.mul_add(b[v], sums[i][v]);
            }
        }
    }
    for i in 0..R {
        for v in 0..NV {
            sums[i][v].store(to.add((i * NV + v) * V::N));
        }
    }
}
