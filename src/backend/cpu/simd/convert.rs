//! Conversions between dtypes: PyTorch's results, x86's where PyTorch leaves them undefined.

#[cfg(target_arch = "x86_64")]
use super::super::level::{level, Level};
use super::{cheap, int, Isa, Kernel, Op};
use crate::base::dtype::{Bool8, DType};
use half::{bf16, f16};
use std::marker::PhantomData;

/// An element converted to T.
pub trait To<T> {
    fn to(self) -> T;
}
macro_rules! to {
    (as $($s:ty => $($d:ty),*;)*) => {$($(
        impl To<$d> for $s {
            #[inline(always)]
            fn to(self) -> $d {
                self as $d
            }
        }
    )*)*};
    // Numbers out of the integer's range give its low bits, as far as 32 bits go.
    (narrow $($s:ty => $($d:ty),*;)*) => {$($(
        impl To<$d> for $s {
            #[inline(always)]
            fn to(self) -> $d {
                To::<i32>::to(self) as $d
            }
        }
    )*)*};
    (bool $($t:ty),*) => {$(
        impl To<Bool8> for $t {
            #[inline(always)]
            fn to(self) -> Bool8 {
                Bool8((self != 0 as $t) as u8)
            }
        }
        impl To<$t> for Bool8 {
            #[inline(always)]
            fn to(self) -> $t {
                (self.0 != 0) as u8 as $t
            }
        }
    )*};
    (float $($s:ty),*) => {$(
        impl To<i32> for $s {
            #[inline(always)]
            fn to(self) -> i32 {
                // Comparisons are false for NaN.
                if (-2147483648.0..2147483648.0).contains(&self) {
                    // SAFETY: in range, checked.
                    unsafe { self.to_int_unchecked() }
                } else {
                    i32::MIN
                }
            }
        }
        impl To<i64> for $s {
            #[inline(always)]
            fn to(self) -> i64 {
                if (-9223372036854775808.0..9223372036854775808.0).contains(&self) {
                    // SAFETY: in range, checked.
                    unsafe { self.to_int_unchecked() }
                } else {
                    i64::MIN
                }
            }
        }
    )*};
}
to! { as
    u8 => i8, i16, i32, i64, f32, f64;
    i8 => u8, i16, i32, i64, f32, f64;
    i16 => u8, i8, i32, i64, f32, f64;
    i32 => u8, i8, i16, i64, f32, f64;
    i64 => u8, i8, i16, i32, f32, f64;
    f32 => f64;
    f64 => f32;
}
to! { float f32, f64 }
to! { narrow f32 => u8, i8, i16; f64 => u8, i8, i16; }
to! { bool u8, i8, i16, i32, i64, f32, f64 }

impl To<f32> for f16 {
    #[inline(always)]
    fn to(self) -> f32 {
        let h = self.to_bits() as u32;
        let bits = (h & 0x7fff) << 13;
        // Multiplying by 2^112 moves the exponent's bias, subnormals included.
        let scaled = (f32::from_bits(bits) * f32::from_bits((127 + 112) << 23)).to_bits();
        let bits = if h & 0x7c00 == 0x7c00 { bits | 0x7f80_0000 } else { scaled };
        f32::from_bits(bits | (h & 0x8000) << 16)
    }
}
impl To<f16> for f32 {
    #[inline(always)]
    fn to(self) -> f16 {
        let bits = self.to_bits();
        let a = bits & 0x7fff_ffff;
        // Normal: the bias moved, half to even. Subnormal: adding 0.5 leaves the rounded result in the low bits.
        let normal = a.wrapping_add(0xc800_0fff + ((a >> 13) & 1)) >> 13;
        let small = (f32::from_bits(a) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
        let h = if a < 113 << 23 { small } else { normal };
        let h = if a >= 0x477f_f000 { 0x7c00 } else { h };
        let h = if a > 0x7f80_0000 { 0x7e00 } else { h };
        f16::from_bits((h | bits >> 16 & 0x8000) as u16)
    }
}
impl To<f32> for bf16 {
    #[inline(always)]
    fn to(self) -> f32 {
        f32::from_bits((self.to_bits() as u32) << 16)
    }
}
impl To<bf16> for f32 {
    #[inline(always)]
    fn to(self) -> bf16 {
        let b = self.to_bits();
        // Half to even; NaN could round to infinity and is made anew.
        let rounded = b.wrapping_add(0x7fff + ((b >> 16) & 1)) >> 16;
        let nan = 0x7fc0 | b >> 16 & 0x8000;
        bf16::from_bits(if b & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded } as u16)
    }
}
macro_rules! through_f32 {
    ($h:ty: $($t:ty),*) => {$(
        impl To<$t> for $h {
            #[inline(always)]
            fn to(self) -> $t {
                let x: f32 = self.to();
                x.to()
            }
        }
        impl To<$h> for $t {
            #[inline(always)]
            fn to(self) -> $h {
                let x: f32 = self.to();
                x.to()
            }
        }
    )*};
}
through_f32!(f16: u8, i8, i16, i32, i64, f64, Bool8, bf16);
through_f32!(bf16: u8, i8, i16, i32, i64, f64, Bool8);
macro_rules! itself {
    ($($t:ty),*) => {$(
        impl To<$t> for $t {
            #[inline(always)]
            fn to(self) -> $t {
                self
            }
        }
    )*};
}
itself!(u8, i8, i16, i32, i64, f16, bf16, f32, f64, Bool8);

/// The conversion of S to D.
pub struct Convert<S, D>(PhantomData<(S, D)>);
impl<S: To<D> + Copy + 'static, D: Copy + 'static> Op for Convert<S, D> {
    type A = S;
    type B = ();
    type C = ();
    type Out = D;
    #[inline(always)]
    fn apply<I: Isa>(a: S, _: (), _: ()) -> D {
        a.to()
    }
}

/// The kernel that converts `from` to `to`; a copy where they are equal.
pub fn convert(from: DType, to: DType) -> Kernel {
    if from == to {
        return int::copy(from.size());
    }
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx2 {
        match (from, to) {
            (DType::F32, DType::F16) => return f16c::narrow,
            (DType::F16, DType::F32) => return f16c::widen,
            _ => {}
        }
    }
    fn into<S>(to: DType) -> Kernel
    where
        S: Copy + 'static,
        S: To<u8> + To<i8> + To<i16> + To<i32> + To<i64> + To<f16> + To<bf16> + To<f32> + To<f64> + To<Bool8>,
    {
        crate::dispatch!(to, D, cheap::<Convert<S, D>, 32>())
    }
    crate::dispatch!(from, S, into::<S>(to))
}

/// Conversions between f16 and f32 by the instructions that x86 has for them: the values of `To`, another NaN at most.
#[cfg(target_arch = "x86_64")]
mod f16c {
    use std::arch::x86_64::*;

    /// Runs `eight` on eight elements at a time, the last ones by way of arrays.
    ///
    /// # Safety
    /// `n` elements behind both pointers, at any address; `eight` reads and writes eight.
    #[inline(always)]
    unsafe fn by_eight<A: Default + Copy, B: Default + Copy>(
        n: usize,
        out: *mut u8,
        a: *const u8,
        eight: impl Fn(*const A, *mut B),
    ) -> bool {
        let (out, a) = (out.cast::<B>(), a.cast::<A>());
        let whole = n / 8 * 8;
        // SAFETY: the caller's.
        unsafe {
            for i in (0..whole).step_by(8) {
                eight(a.add(i), out.add(i));
            }
            if whole < n {
                let (mut x, mut y) = ([A::default(); 8], [B::default(); 8]);
                let (from, to) = (a.add(whole).cast::<u8>(), out.add(whole).cast::<u8>());
                x.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(from, (n - whole) * size_of::<A>());
                eight(x.as_ptr(), y.as_mut_ptr());
                to.copy_from_nonoverlapping(y.as_ptr().cast(), (n - whole) * size_of::<B>());
            }
        }
        false
    }
    /// # Safety
    /// As `Kernel`, on a machine of `Level::Avx2`.
    #[target_feature(enable = "avx2,f16c")]
    pub unsafe fn narrow(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) -> bool {
        // SAFETY: the caller's.
        unsafe {
            by_eight(n, out, a, |from: *const f32, to: *mut u16| {
                let h = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm256_loadu_ps(from));
                _mm_storeu_si128(to.cast(), h);
            })
        }
    }
    /// # Safety
    /// As `Kernel`, on a machine of `Level::Avx2`.
    #[target_feature(enable = "avx2,f16c")]
    pub unsafe fn widen(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) -> bool {
        // SAFETY: the caller's.
        unsafe {
            by_eight(n, out, a, |from: *const u16, to: *mut f32| {
                _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128(from.cast())));
            })
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    /// The machine's own conversions give what `To` gives.
    #[cfg_attr(test, test)]
    pub(crate) fn f16_kernels() {
        let all: Vec<u16> = (0..=u16::MAX).chain(0..5).collect();
        let wide: Vec<f32> = run(DType::F16, DType::F32, &all);
        for (h, x) in all.iter().zip(&wide) {
            let want: f32 = f16::from_bits(*h).to();
            assert!(x.to_bits() == want.to_bits() || x.is_nan() && want.is_nan(), "{h:x}: {x}");
        }
        let many: Vec<f32> = (0..=u32::MAX).step_by(10_007).map(f32::from_bits).collect();
        for (x, h) in many.iter().zip(run::<_, u16>(DType::F32, DType::F16, &many)) {
            let want: f16 = x.to();
            assert!(h == want.to_bits() || f16::from_bits(h).is_nan() && want.is_nan(), "{x:e}: {h:x}");
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn every_f16_both_ways() {
        for bits in 0..=u16::MAX {
            let h = f16::from_bits(bits);
            let x: f32 = h.to();
            assert!(x == h.to_f32() && x.is_sign_negative() == h.is_sign_negative() || x.is_nan() && h.is_nan());
            let back: f16 = x.to();
            assert!(back.to_bits() == bits || h.is_nan() && back.is_nan(), "{bits:x}");
            let b = bf16::from_bits(bits);
            let x: f32 = b.to();
            assert!(x.to_bits() == b.to_f32().to_bits() || x.is_nan());
            let back: bf16 = x.to();
            assert!(back.to_bits() == bits || b.is_nan() && back.is_nan(), "{bits:x}");
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn f32_rounds_to_half_as_the_half_crate_does() {
        let mut bits = 0u32;
        loop {
            let x = f32::from_bits(bits);
            let (h, want): (f16, f16) = (x.to(), f16::from_f32(x));
            assert!(h == want && h.to_bits() == want.to_bits() || h.is_nan() && want.is_nan(), "{x:e}: {h} {want}");
            let (b, want): (bf16, bf16) = (x.to(), bf16::from_f32(x));
            assert!(b.to_bits() == want.to_bits() || b.is_nan() && want.is_nan(), "{x:e}: {b} {want}");
            // A prime step that meets ties too (multiples of 2^12 after 2^12 steps).
            let (next, over) = bits.overflowing_add(4093 * 16 + 3);
            if over {
                break;
            }
            bits = next;
        }
        for mantissa in (0..1 << 23).step_by(1 << 11) {
            for exponent in [90, 102, 103, 110, 112, 113, 120, 141, 142, 143] {
                let x = f32::from_bits(exponent << 23 | mantissa);
                let (h, want): (f16, f16) = (x.to(), f16::from_f32(x));
                assert_eq!(h.to_bits(), want.to_bits(), "{x:e}");
                let (b, want): (bf16, bf16) = (x.to(), bf16::from_f32(x));
                assert_eq!(b.to_bits(), want.to_bits(), "{x:e}");
            }
        }
    }

    fn run<S: Copy, D: Copy + Default>(from: DType, to: DType, src: &[S]) -> Vec<D> {
        let mut out = vec![D::default(); src.len()];
        let p = src.as_ptr().cast();
        // SAFETY: both have src.len() elements of the named dtypes.
        unsafe { convert(from, to)(src.len(), out.as_mut_ptr().cast(), p, p, p) };
        out
    }

    #[cfg_attr(test, test)]
    pub(crate) fn floats_to_integers_as_pytorch() {
        let x = [300.7f32, -1.0, 1e30, f32::NAN, -300.0, 3e9];
        assert_eq!(run::<_, u8>(DType::F32, DType::U8, &x[..5]), [44, 255, 0, 0, 212]);
        assert_eq!(run::<_, i8>(DType::F32, DType::I8, &x), [44, -1, 0, 0, -44, 0]);
        assert_eq!(run::<_, i16>(DType::F32, DType::I16, &x), [300, -1, 0, 0, -300, 0]);
        assert_eq!(run::<_, i32>(DType::F32, DType::I32, &x), [300, -1, i32::MIN, i32::MIN, -300, i32::MIN]);
        assert_eq!(run::<_, i64>(DType::F32, DType::I64, &x), [300, -1, i64::MIN, i64::MIN, -300, 3_000_000_000]);
        assert_eq!(run::<_, u8>(DType::F32, DType::Bool, &[0.0f32, -0.0, 0.5, f32::NAN]), [0, 0, 1, 1]);
        assert_eq!(run::<_, f32>(DType::Bool, DType::F32, &[0u8, 1, 7]), [0.0, 1.0, 1.0]);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn all_pairs_keep_small_integers() {
        for from in DType::REAL {
            for to in DType::REAL {
                for n in [1usize, 5, 37, 100] {
                    crate::dispatch!(from, S, {
                        use crate::base::dtype::Element;
                        let src: Vec<S> = (0..n).map(|i| S::from_i64(i as i64)).collect();
                        let p = src.as_ptr().cast();
                        crate::dispatch!(to, D, {
                            let mut out = vec![D::from_i64(0); n];
                            // SAFETY: n elements each.
                            unsafe { convert(from, to)(n, out.as_mut_ptr().cast(), p, p, p) };
                            for i in 0..n {
                                let bool_in = from == DType::Bool || to == DType::Bool;
                                let want = if bool_in { (i > 0) as i64 } else { i as i64 };
                                assert_eq!(out[i].to_i64(), want, "{from} to {to}");
                            }
                        })
                    })
                }
            }
        }
    }
}
