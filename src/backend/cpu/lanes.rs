//! The float types that dense kernels compute in, and SIMD vectors of them behind one trait.
//!
//! A kernel is an `#[inline(always)]` function generic over [`Lanes`]; `simd_dispatch!` instantiates it once per
//! instruction set inside a `#[target_feature]` function, so that one binary uses what the machine has. The trait's
//! functions must be inlined into such a function: called elsewhere they would be slow calls (or illegal ones).

use super::level::Level;
use super::simd::{float::Float, Base};
use crate::base::dtype::Element;
use half::{bf16, f16};

/// A float type that kernels compute in: f32 or f64 (half types go through f32).
pub trait Real: Element + Default + Float {
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    #[cfg(target_arch = "x86_64")]
    type V4: Lanes<T = Self>;
    #[cfg(target_arch = "x86_64")]
    type V3: Lanes<T = Self>;
    type V1: Lanes<T = Self>;
    fn ln(self) -> Self;
    /// a * b + c, fused only where that is one instruction of the baseline.
    fn mul_add_fast(self, b: Self, c: Self) -> Self;
}
macro_rules! real {
    ($t:ty, $v4:ident, $v3:ident, $n:literal) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = <$t>::NEG_INFINITY;
            #[cfg(target_arch = "x86_64")]
            type V4 = $v4;
            #[cfg(target_arch = "x86_64")]
            type V3 = $v3;
            type V1 = Portable<$t, $n>;
            #[inline(always)]
            fn ln(self) -> Self {
                <$t>::ln(self)
            }
            #[inline(always)]
            fn mul_add_fast(self, b: Self, c: Self) -> Self {
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    self.mul_add(b, c)
                } else {
                    self * b + c
                }
            }
        }
    };
}
real!(f32, F32x16, F32x8, 8);
real!(f64, F64x8, F64x4, 4);

/// An element type with the float type its arithmetic is carried out in.
pub trait FloatElement: Element {
    type C: Real;
    /// Whether memory already holds `C`.
    const DIRECT: bool;
    fn widen(self) -> Self::C;
    fn narrow(v: Self::C) -> Self;
}
macro_rules! float_element {
    ($t:ty, $c:ty, $direct:literal, |$v:ident| $widen:expr, |$w:ident| $narrow:expr) => {
        impl FloatElement for $t {
            type C = $c;
            const DIRECT: bool = $direct;
            #[inline(always)]
            fn widen(self) -> $c {
                let $v = self;
                $widen
            }
            #[inline(always)]
            fn narrow($w: $c) -> Self {
                $narrow
            }
        }
    };
}
float_element!(f32, f32, true, |v| v, |w| w);
float_element!(f64, f64, true, |v| v, |w| w);
float_element!(f16, f32, false, |v| v.to_f32(), |w| f16::from_f32(w));
float_element!(bf16, f32, false, |v| v.to_f32(), |w| bf16::from_f32(w));

/// `dispatch!` over the four float dtypes; other dtypes run `$other`.
#[macro_export]
macro_rules! dispatch_float {
    ($dtype:expr, $t:ident, $body:expr, $other:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::DType::F16 => {
                type $t = half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $t = half::bf16;
                $body
            }
            _ => $other,
        }
    };
}

/// A vector of `N` floats. All functions are unsafe: the instruction set must be there and pointers valid.
pub trait Lanes: Copy {
    type T: Real;
    const N: usize;
    /// Accumulators a kernel may keep without spilling, with room for operands.
    const REGS: usize;
    unsafe fn splat(v: Self::T) -> Self;
    unsafe fn load(p: *const Self::T) -> Self;
    unsafe fn store(self, p: *mut Self::T);
    /// The first `n <= N` lanes; the others are zero and their memory is not touched.
    unsafe fn load_n(p: *const Self::T, n: usize) -> Self;
    unsafe fn store_n(self, p: *mut Self::T, n: usize);
    /// self * b + c
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    unsafe fn div(self, b: Self) -> Self;
    /// The larger; `b` where either is NaN.
    unsafe fn max(self, b: Self) -> Self;
    /// e to the power of each lane, as the elementwise kernels have it.
    unsafe fn exp(self) -> Self;
    /// The same of what is not above 80, where what would be subnormal is 0.
    #[inline(always)]
    unsafe fn exp_low(self) -> Self {
        self.exp()
    }
    /// 1 / (1 + e^-x) of each lane.
    #[inline(always)]
    unsafe fn sigmoid(self) -> Self {
        let one = Self::splat(Self::T::ONE);
        // What the sum of exponentials is at most keeps it in range where `exp_low` wants that; NaN stays.
        let x = Self::splat(Self::T::from_f64(-85.0)).max(self);
        one.div(one.add(Self::zero().sub(x).exp_low()))
    }
    unsafe fn tanh(self) -> Self;
    /// `load_n` with `fill` in the lanes beyond `n`.
    unsafe fn load_or(p: *const Self::T, n: usize, fill: Self) -> Self;
    /// Every second of these lanes and then those of `b`, from the first and from the second on.
    unsafe fn split(self, b: Self) -> (Self, Self);
    /// The lanes of `self` and `b` in turns, 2 N numbers.
    unsafe fn zip(self, b: Self, p: *mut Self::T);
    /// The lanes from the last to the first.
    unsafe fn reversed(self) -> Self;
    /// Sum of the lanes, in a fixed order.
    unsafe fn sum(self) -> Self::T;
    /// The largest lane, NaN left out.
    unsafe fn largest(self) -> Self::T;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self::splat(Self::T::ZERO)
    }
}

/// The fallback: an array that the compiler vectorises as far as the baseline allows.
#[derive(Clone, Copy)]
pub struct Portable<T, const N: usize>([T; N]);
impl<T: Real, const N: usize> Lanes for Portable<T, N> {
    type T = T;
    const N: usize = N;
    const REGS: usize = 4;
    #[inline(always)]
    unsafe fn splat(v: T) -> Self {
        Portable([v; N])
    }
    #[inline(always)]
    unsafe fn load(p: *const T) -> Self {
        Portable(std::ptr::read_unaligned(p as *const [T; N]))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut T) {
        std::ptr::write_unaligned(p as *mut [T; N], self.0)
    }
    #[inline(always)]
    unsafe fn load_n(p: *const T, n: usize) -> Self {
        let mut v = [T::ZERO; N];
        for (i, x) in v.iter_mut().enumerate().take(n) {
            *x = *p.add(i);
        }
        Portable(v)
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut T, n: usize) {
        for i in 0..n.min(N) {
            *p.add(i) = self.0[i];
        }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i].mul_add_fast(b.0[i], c.0[i])))
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] - b.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] * b.0[i]))
    }
    #[inline(always)]
    unsafe fn div(self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] / b.0[i]))
    }
    #[inline(always)]
    unsafe fn tanh(self) -> Self {
        let mut lanes = self.0;
        for x in &mut lanes {
            *x = Float::tanh::<Base>(*x);
        }
        Portable(lanes)
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        Portable(std::array::from_fn(|i| if self.0[i] > b.0[i] { self.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    unsafe fn exp(self) -> Self {
        let mut lanes = self.0;
        for x in &mut lanes {
            *x = Float::exp::<Base>(*x);
        }
        Portable(lanes)
    }
    #[inline(always)]
    unsafe fn load_or(p: *const T, n: usize, fill: Self) -> Self {
        let mut v = fill.0;
        for (i, x) in v.iter_mut().enumerate().take(n) {
            *x = *p.add(i);
        }
        Portable(v)
    }
    #[inline(always)]
    unsafe fn split(self, b: Self) -> (Self, Self) {
        let at = |i: usize| if i < N { self.0[i] } else { b.0[i - N] };
        (Portable(std::array::from_fn(|i| at(2 * i))), Portable(std::array::from_fn(|i| at(2 * i + 1))))
    }
    #[inline(always)]
    unsafe fn zip(self, b: Self, p: *mut T) {
        let at = |i: usize| if i.is_multiple_of(2) { self.0[i / 2] } else { b.0[i / 2] };
        Portable::<T, N>(std::array::from_fn(at)).store(p);
        Portable::<T, N>(std::array::from_fn(|i| at(i + N))).store(p.add(N));
    }
    #[inline(always)]
    unsafe fn reversed(self) -> Self {
        Portable(std::array::from_fn(|i| self.0[N - 1 - i]))
    }
    #[inline(always)]
    unsafe fn largest(self) -> T {
        let mut m = self.0[0];
        for x in self.0 {
            m = if x > m { x } else { m };
        }
        m
    }
    #[inline(always)]
    unsafe fn sum(self) -> T {
        let mut v = self.0;
        let mut n = N;
        while n > 1 {
            n /= 2;
            for i in 0..n {
                v[i] = v[i] + v[i + n];
            }
        }
        v[0]
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use crate::backend::cpu::simd::{float::Float, Fma};
    use std::arch::x86_64::*;

    macro_rules! lanes {
        ($name:ident, $raw:ty, $t:ty, $n:literal, $regs:literal,
         $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident, $mul:ident,
         $sub:ident, $max:ident, $div:ident, $tanh:ident, load_or: |$op:ident, $on:ident, $of:ident| $load_or:expr,
         load_n: |$lp:ident, $ln:ident| $load_n:expr, store_n: |$sv:ident, $sp:ident, $sn:ident| $store_n:expr,
         split: |$pa:ident, $pb:ident| $split:expr, zip: |$za:ident, $zb:ident| $zip:expr,
         reversed: |$rv:ident| $reversed:expr, sum: |$v:ident| $sum:expr $(, exp_low: |$ev:ident| $exp_low:expr)?) => {
            #[derive(Clone, Copy)]
            pub struct $name($raw);
            impl Lanes for $name {
                type T = $t;
                const N: usize = $n;
                const REGS: usize = $regs;
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    $name($splat(v))
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    $name($load(p))
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    $store(p, self.0)
                }
                #[inline(always)]
                unsafe fn load_n($lp: *const $t, $ln: usize) -> Self {
                    $name($load_n)
                }
                #[inline(always)]
                unsafe fn store_n(self, $sp: *mut $t, $sn: usize) {
                    let $sv = self.0;
                    $store_n
                }
                #[inline(always)]
                unsafe fn fma(self, b: Self, c: Self) -> Self {
                    $name($fma(self.0, b.0, c.0))
                }
                #[inline(always)]
                unsafe fn add(self, b: Self) -> Self {
                    $name($add(self.0, b.0))
                }
                #[inline(always)]
                unsafe fn mul(self, b: Self) -> Self {
                    $name($mul(self.0, b.0))
                }
                #[inline(always)]
                unsafe fn sub(self, b: Self) -> Self {
                    $name($sub(self.0, b.0))
                }
                #[inline(always)]
                unsafe fn div(self, b: Self) -> Self {
                    $name($div(self.0, b.0))
                }
                #[inline(always)]
                unsafe fn tanh(self) -> Self {
                    $name($tanh(self.0))
                }
                #[inline(always)]
                unsafe fn max(self, b: Self) -> Self {
                    $name($max(self.0, b.0))
                }
                #[inline(always)]
                unsafe fn load_or($op: *const $t, $on: usize, fill: Self) -> Self {
                    let $of = fill.0;
                    $name($load_or)
                }
                #[inline(always)]
                unsafe fn exp(self) -> Self {
                    // A plain loop, not a closure: it becomes vector code where this is inlined.
                    let mut lanes = [0.0; $n];
                    $store(lanes.as_mut_ptr(), self.0);
                    for x in &mut lanes {
                        *x = Float::exp::<Fma>(*x);
                    }
                    $name($load(lanes.as_ptr()))
                }
                $(#[inline(always)]
                unsafe fn exp_low(self) -> Self {
                    let $ev = self.0;
                    $name($exp_low)
                })?
                #[inline(always)]
                unsafe fn split(self, b: Self) -> (Self, Self) {
                    let ($pa, $pb) = (self.0, b.0);
                    let (a, b) = $split;
                    ($name(a), $name(b))
                }
                #[inline(always)]
                unsafe fn zip(self, b: Self, p: *mut $t) {
                    let ($za, $zb) = (self.0, b.0);
                    let (a, b) = $zip;
                    $store(p, a);
                    $store(p.add($n), b);
                }
                #[inline(always)]
                unsafe fn reversed(self) -> Self {
                    let $rv = self.0;
                    $name($reversed)
                }
                #[inline(always)]
                unsafe fn sum(self) -> $t {
                    let $v = self.0;
                    $sum
                }
                #[inline(always)]
                unsafe fn largest(self) -> $t {
                    let mut lanes = [0.0; $n];
                    $store(lanes.as_mut_ptr(), self.0);
                    let mut n = $n;
                    while n > 1 {
                        n /= 2;
                        for i in 0..n {
                            lanes[i] = if lanes[i] > lanes[i + n] { lanes[i] } else { lanes[i + n] };
                        }
                    }
                    lanes[0]
                }
            }
        };
    }

    /// Lane masks for AVX2's maskload: `N - n` zeros start at index N - n from the middle.
    static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];
    #[inline(always)]
    unsafe fn mask8(n: usize) -> __m256i {
        _mm256_loadu_si256(MASK32.as_ptr().add(8 - n.min(8)) as *const __m256i)
    }
    #[inline(always)]
    unsafe fn mask4(n: usize) -> __m256i {
        _mm256_loadu_si256(MASK64.as_ptr().add(4 - n.min(4)) as *const __m256i)
    }
    #[inline(always)]
    unsafe fn sum8(v: __m256) -> f32 {
        let h = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
        let h = _mm_add_ps(h, _mm_movehl_ps(h, h));
        _mm_cvtss_f32(_mm_add_ss(h, _mm_shuffle_ps(h, h, 1)))
    }
    #[inline(always)]
    unsafe fn sum4(v: __m256d) -> f64 {
        let h = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
        _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)))
    }
    // exp as `math32` has it, without the second step that results below 2^-126 take.
    const ROUND: f32 = 12582912.0; // 1.5 * 2^23
    const LEAST: f32 = -87.336_54; // ln 2^-126
    const EXP: [f32; 5] = [4.999_999_4e-1, 1.666_652e-1, 4.166_839_3e-2, 8.368_78e-3, 1.381_447_1e-3];
    #[inline(always)]
    unsafe fn exp_low8(x: __m256) -> __m256 {
        let s = |v| _mm256_set1_ps(v);
        let t = _mm256_fmadd_ps(x, s(std::f32::consts::LOG2_E), s(ROUND));
        let n = _mm256_sub_ps(t, s(ROUND));
        let r = _mm256_fmadd_ps(n, s(2.121_944_4e-4), _mm256_fmadd_ps(n, s(-0.693_359_4), x));
        let mut p = s(EXP[4]);
        for k in (0..4).rev() {
            p = _mm256_fmadd_ps(p, r, s(EXP[k]));
        }
        let y = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r), s(1.0));
        let y = _mm256_add_epi32(_mm256_castps_si256(y), _mm256_slli_epi32::<23>(_mm256_castps_si256(t)));
        let y = _mm256_and_ps(_mm256_castsi256_ps(y), _mm256_cmp_ps::<_CMP_NLT_UQ>(x, s(LEAST)));
        _mm256_or_ps(y, _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x))
    }
    #[inline(always)]
    unsafe fn exp_low16(x: __m512) -> __m512 {
        let s = |v| _mm512_set1_ps(v);
        let t = _mm512_fmadd_ps(x, s(std::f32::consts::LOG2_E), s(ROUND));
        let n = _mm512_sub_ps(t, s(ROUND));
        let r = _mm512_fmadd_ps(n, s(2.121_944_4e-4), _mm512_fmadd_ps(n, s(-0.693_359_4), x));
        let mut p = s(EXP[4]);
        for k in (0..4).rev() {
            p = _mm512_fmadd_ps(p, r, s(EXP[k]));
        }
        let y = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r), s(1.0));
        let y = _mm512_add_epi32(_mm512_castps_si512(y), _mm512_slli_epi32::<23>(_mm512_castps_si512(t)));
        let y = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, s(LEAST)), _mm512_castsi512_ps(y));
        _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x), x)
    }
    /// (e^y - 1) / (e^y + 1) of y = 2 |x|, e^y - 1 as `math32` has it.
    const EXPM1: [f32; 6] = [0.5, 1.666_666_6e-1, 4.166_636e-2, 8.333_39e-3, 1.394_072e-3, 1.984_588_9e-4];
    const HALF: i32 = 126 << 23;
    #[inline(always)]
    unsafe fn tanh8(x: __m256) -> __m256 {
        let s = |v| _mm256_set1_ps(v);
        let sign = s(-0.0);
        // The second is taken where one is NaN.
        let y = _mm256_min_ps(s(10.0), _mm256_andnot_ps(sign, x));
        let y = _mm256_add_ps(y, y);
        let t = _mm256_fmadd_ps(y, s(std::f32::consts::LOG2_E), s(ROUND));
        let n = _mm256_sub_ps(t, s(ROUND));
        let r = _mm256_fmadd_ps(n, s(2.121_944_4e-4), _mm256_fmadd_ps(n, s(-0.693_359_4), y));
        let mut p = s(EXPM1[5]);
        for k in (0..5).rev() {
            p = _mm256_fmadd_ps(p, r, s(EXPM1[k]));
        }
        let q = _mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r);
        let half = _mm256_slli_epi32::<23>(_mm256_castps_si256(t));
        let half = _mm256_castsi256_ps(_mm256_add_epi32(half, _mm256_set1_epi32(HALF)));
        let e = _mm256_fmadd_ps(half, q, _mm256_sub_ps(half, s(0.5)));
        let e = _mm256_add_ps(e, e);
        _mm256_or_ps(_mm256_div_ps(e, _mm256_add_ps(e, s(2.0))), _mm256_and_ps(sign, x))
    }
    #[inline(always)]
    unsafe fn tanh16(x: __m512) -> __m512 {
        let s = |v| _mm512_set1_ps(v);
        let sign = s(-0.0);
        let y = _mm512_min_ps(s(10.0), _mm512_andnot_ps(sign, x));
        let y = _mm512_add_ps(y, y);
        let t = _mm512_fmadd_ps(y, s(std::f32::consts::LOG2_E), s(ROUND));
        let n = _mm512_sub_ps(t, s(ROUND));
        let r = _mm512_fmadd_ps(n, s(2.121_944_4e-4), _mm512_fmadd_ps(n, s(-0.693_359_4), y));
        let mut p = s(EXPM1[5]);
        for k in (0..5).rev() {
            p = _mm512_fmadd_ps(p, r, s(EXPM1[k]));
        }
        let q = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r);
        let half = _mm512_slli_epi32::<23>(_mm512_castps_si512(t));
        let half = _mm512_castsi512_ps(_mm512_add_epi32(half, _mm512_set1_epi32(HALF)));
        let e = _mm512_fmadd_ps(half, q, _mm512_sub_ps(half, s(0.5)));
        let e = _mm512_add_ps(e, e);
        _mm512_or_ps(_mm512_div_ps(e, _mm512_add_ps(e, s(2.0))), _mm512_and_ps(sign, x))
    }
    #[inline(always)]
    unsafe fn tanh_4(x: __m256d) -> __m256d {
        let mut lanes = [0.0; 4];
        _mm256_storeu_pd(lanes.as_mut_ptr(), x);
        _mm256_loadu_pd(lanes.map(|x: f64| Float::tanh::<Fma>(x)).as_ptr())
    }
    #[inline(always)]
    unsafe fn tanh_8(x: __m512d) -> __m512d {
        let mut lanes = [0.0; 8];
        _mm512_storeu_pd(lanes.as_mut_ptr(), x);
        _mm512_loadu_pd(lanes.map(|x: f64| Float::tanh::<Fma>(x)).as_ptr())
    }
    #[inline(always)]
    fn bits16(n: usize) -> __mmask16 {
        ((1u32 << n.min(16)) - 1) as __mmask16
    }
    #[inline(always)]
    fn bits8(n: usize) -> __mmask8 {
        ((1u32 << n.min(8)) - 1) as __mmask8
    }

    /// Places `first`, `first + step`, .. of two vectors.
    #[inline(always)]
    unsafe fn steps16(first: i32, step: i32) -> __m512i {
        let mut at = [0i32; 16];
        for (i, x) in at.iter_mut().enumerate() {
            *x = first + i as i32 * step;
        }
        _mm512_loadu_si512(at.as_ptr().cast())
    }
    /// Places of two vectors in turns, from place `first` of each on.
    #[inline(always)]
    unsafe fn turns16(first: i32) -> __m512i {
        let mut at = [0i32; 16];
        for (i, x) in at.iter_mut().enumerate() {
            *x = first + i as i32 / 2 + (i as i32 % 2) * 16;
        }
        _mm512_loadu_si512(at.as_ptr().cast())
    }
    #[inline(always)]
    unsafe fn steps8(first: i64, step: i64) -> __m512i {
        let mut at = [0i64; 8];
        for (i, x) in at.iter_mut().enumerate() {
            *x = first + i as i64 * step;
        }
        _mm512_loadu_si512(at.as_ptr().cast())
    }
    #[inline(always)]
    unsafe fn turns8(first: i64) -> __m512i {
        let mut at = [0i64; 8];
        for (i, x) in at.iter_mut().enumerate() {
            *x = first + i as i64 / 2 + (i as i64 % 2) * 8;
        }
        _mm512_loadu_si512(at.as_ptr().cast())
    }

    lanes!(F32x16, __m512, f32, 16, 24, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps,
        _mm512_add_ps, _mm512_mul_ps,
        _mm512_sub_ps, _mm512_max_ps, _mm512_div_ps, tanh16, load_or: |p, n, f| _mm512_mask_loadu_ps(f, bits16(n), p),
        load_n: |p, n| _mm512_maskz_loadu_ps(bits16(n), p),
        store_n: |v, p, n| _mm512_mask_storeu_ps(p, bits16(n), v),
        split: |a, b| (_mm512_permutex2var_ps(a, steps16(0, 2), b), _mm512_permutex2var_ps(a, steps16(1, 2), b)),
        zip: |a, b| (_mm512_permutex2var_ps(a, turns16(0), b), _mm512_permutex2var_ps(a, turns16(8), b)),
        reversed: |v| _mm512_permutexvar_ps(steps16(15, -1), v),
        sum: |v| sum8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))),
        exp_low: |v| exp_low16(v));
    lanes!(F64x8, __m512d, f64, 8, 24, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd,
        _mm512_add_pd, _mm512_mul_pd,
        _mm512_sub_pd, _mm512_max_pd, _mm512_div_pd, tanh_8, load_or: |p, n, f| _mm512_mask_loadu_pd(f, bits8(n), p),
        load_n: |p, n| _mm512_maskz_loadu_pd(bits8(n), p),
        store_n: |v, p, n| _mm512_mask_storeu_pd(p, bits8(n), v),
        split: |a, b| (_mm512_permutex2var_pd(a, steps8(0, 2), b), _mm512_permutex2var_pd(a, steps8(1, 2), b)),
        zip: |a, b| (_mm512_permutex2var_pd(a, turns8(0), b), _mm512_permutex2var_pd(a, turns8(4), b)),
        reversed: |v| _mm512_permutexvar_pd(steps8(7, -1), v),
        sum: |v| sum4(_mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1))));
    lanes!(F32x8, __m256, f32, 8, 12, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps,
        _mm256_add_ps, _mm256_mul_ps,
        _mm256_sub_ps, _mm256_max_ps, _mm256_div_ps, tanh8, load_or: |p, n, f| _mm256_blendv_ps(f, _mm256_maskload_ps(p, mask8(n)), _mm256_castsi256_ps(mask8(n))),
        load_n: |p, n| _mm256_maskload_ps(p, mask8(n)),
        store_n: |v, p, n| _mm256_maskstore_ps(p, mask8(n), v),
        split: |a, b| {
            let order = |v| _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
            (order(_mm256_shuffle_ps(a, b, 0x88)), order(_mm256_shuffle_ps(a, b, 0xdd)))
        },
        zip: |a, b| {
            let (x, y) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31))
        },
        reversed: |v| _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0)),
        sum: |v| sum8(v),
        exp_low: |v| exp_low8(v));
    lanes!(F64x4, __m256d, f64, 4, 12, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd,
        _mm256_add_pd, _mm256_mul_pd,
        _mm256_sub_pd, _mm256_max_pd, _mm256_div_pd, tanh_4, load_or: |p, n, f| _mm256_blendv_pd(f, _mm256_maskload_pd(p, mask4(n)), _mm256_castsi256_pd(mask4(n))),
        load_n: |p, n| _mm256_maskload_pd(p, mask4(n)),
        store_n: |v, p, n| _mm256_maskstore_pd(p, mask4(n), v),
        split: |a, b| {
            (_mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xd8), _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), 0xd8))
        },
        zip: |a, b| {
            let (x, y) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            (_mm256_permute2f128_pd(x, y, 0x20), _mm256_permute2f128_pd(x, y, 0x31))
        },
        reversed: |v| _mm256_permute4x64_pd(v, 0x1b),
        sum: |v| sum4(v));
}
#[cfg(target_arch = "x86_64")]
pub use x86::*;

/// Lanes and accumulators of the vectors that `set` has for `C`.
pub fn vector_shape<C: Real>(set: Level) -> (usize, usize) {
    match set {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => (C::V4::N, C::V4::REGS),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => (C::V3::N, C::V3::REGS),
        _ => (C::V1::N, C::V1::REGS),
    }
}

/// Defines `fn $name<T>(set: Level, args)` that calls the `#[inline(always)]` generic `$body::<T, V>(args)` with the
/// vector type of `set`. `T` is f32 or f64, or with `float fn` any float element, V then holding what it computes in.
///
/// ```ignore
/// simd_dispatch!(fn axpy => axpy_body(n: usize, x: *const T, y: *mut T));
/// simd_dispatch!(float fn widen => widen_body(n: usize, x: *const T, y: *mut T::C));
/// ```
#[macro_export]
macro_rules! simd_dispatch {
    (float $vis:vis fn $name:ident => $body:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $crate::simd_dispatch!(@ ($vis) $name, $body, ($crate::backend::cpu::lanes::FloatElement), <T::C as
            $crate::backend::cpu::lanes::Real>, ($($arg: $ty),*));
    };
    ($vis:vis fn $name:ident => $body:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $crate::simd_dispatch!(@ ($vis) $name, $body, ($crate::backend::cpu::lanes::Real), <T as
            $crate::backend::cpu::lanes::Real>, ($($arg: $ty),*));
    };
    (@ ($vis:vis) $name:ident, $body:ident, ($bound:path), <$c:ty as $real:path>, ($($arg:ident: $ty:ty),*)) => {
        $vis unsafe fn $name<T: $bound>(set: $crate::backend::cpu::level::Level, $($arg: $ty),*) {
            use $crate::backend::cpu::level::Level;
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
            unsafe fn v4<T: $bound>($($arg: $ty),*) {
                $body::<T, <$c as $real>::V4>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
            unsafe fn v3<T: $bound>($($arg: $ty),*) {
                $body::<T, <$c as $real>::V3>($($arg),*)
            }
            match set {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => v4::<T>($($arg),*),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => v3::<T>($($arg),*),
                _ => $body::<T, <$c as $real>::V1>($($arg),*),
            }
        }
    };
}
