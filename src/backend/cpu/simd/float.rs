//! The arithmetic of f32 and f64.

use super::{math32, math64, wide32, Isa};
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

/// A float that kernels compute with. The f32 functions vectorise; those of f64 are the standard library's.
pub trait Float:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Rem<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Whether the functions marked `long` below are vector code.
    const VECTOR: bool;
    fn of(v: f64) -> Self;
    fn wide(self) -> f64;
    fn abs(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn trunc(self) -> Self;
    fn round_even(self) -> Self;
    fn sqrt(self) -> Self;
    fn copysign(self, s: Self) -> Self;
    fn nextafter(self, b: Self) -> Self;
    fn fma<I: Isa>(self, b: Self, c: Self) -> Self;
    fn exp<I: Isa>(self) -> Self;
    fn exp2<I: Isa>(self) -> Self;
    fn expm1<I: Isa>(self) -> Self;
    fn log<I: Isa>(self) -> Self;
    fn log2<I: Isa>(self) -> Self;
    fn log10<I: Isa>(self) -> Self;
    fn log1p<I: Isa>(self) -> Self;
    fn sin<I: Isa>(self) -> Self;
    fn cos<I: Isa>(self) -> Self;
    fn tan<I: Isa>(self) -> Self;
    fn asin<I: Isa>(self) -> Self;
    fn acos<I: Isa>(self) -> Self;
    fn atan<I: Isa>(self) -> Self;
    fn sinh<I: Isa>(self) -> Self;
    fn cosh<I: Isa>(self) -> Self;
    fn asinh<I: Isa>(self) -> Self;
    fn acosh<I: Isa>(self) -> Self;
    fn atanh<I: Isa>(self) -> Self;
    fn erfinv<I: Isa>(self) -> Self;
    fn atan2<I: Isa>(self, x: Self) -> Self;
    fn hypot(self, b: Self) -> Self;
    fn fmod<I: Isa>(self, b: Self) -> Self;
    fn fmod_is_slow(self, b: Self) -> bool;
    fn trig_is_slow(self) -> bool;
    fn tanh<I: Isa>(self) -> Self;
    fn erf<I: Isa>(self) -> Self;
    fn erfc<I: Isa>(self) -> Self;
    fn gelu<I: Isa>(self) -> Self;
    fn gelu_grad<I: Isa>(self, g: Self) -> Self;
    fn pow<I: Isa>(self, e: Self) -> Self;
}

/// Functions of one argument that stand elsewhere.
macro_rules! functions {
    ($t:ty, $from:ident: $($name:ident)*) => {
        functions!($t; $($name => $from::$name::<I>,)*);
    };
    ($t:ty; $($name:ident => $f:expr,)*) => {$(
        #[inline(always)]
        fn $name<I: Isa>(self) -> $t {
            $f(self)
        }
    )*};
}

impl Float for f32 {
    const VECTOR: bool = true;
    functions!(f32, math32: exp exp2 expm1 log log2 log10 log1p sin cos tanh erf erfc gelu);
    functions!(f32, wide32: tan asin acos atan sinh cosh asinh acosh atanh erfinv);
    #[inline(always)]
    fn of(v: f64) -> f32 {
        v as f32
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self as f64
    }
    #[inline(always)]
    fn abs(self) -> f32 {
        self.abs()
    }
    #[inline(always)]
    fn floor(self) -> f32 {
        self.floor()
    }
    #[inline(always)]
    fn ceil(self) -> f32 {
        self.ceil()
    }
    #[inline(always)]
    fn trunc(self) -> f32 {
        self.trunc()
    }
    #[inline(always)]
    fn round_even(self) -> f32 {
        self.round_ties_even()
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        self.sqrt()
    }
    #[inline(always)]
    fn copysign(self, s: f32) -> f32 {
        // In integers: the compiler makes vectors of that.
        f32::from_bits(self.to_bits() & 0x7fff_ffff | s.to_bits() & 0x8000_0000)
    }
    fn nextafter(self, b: f32) -> f32 {
        math64::nextafter32(self, b)
    }
    #[inline(always)]
    fn fma<I: Isa>(self, b: f32, c: f32) -> f32 {
        I::fma32(self, b, c)
    }
    #[inline(always)]
    fn atan2<I: Isa>(self, x: f32) -> f32 {
        wide32::atan2::<I>(self, x)
    }
    #[inline(always)]
    fn hypot(self, b: f32) -> f32 {
        wide32::hypot(self, b)
    }
    #[inline(always)]
    fn fmod<I: Isa>(self, b: f32) -> f32 {
        wide32::fmod::<I>(self, b)
    }
    #[inline(always)]
    fn fmod_is_slow(self, b: f32) -> bool {
        wide32::fmod_is_slow(self, b)
    }
    #[inline(always)]
    fn trig_is_slow(self) -> bool {
        self.abs() > math32::TRIG_MAX
    }
    #[inline(always)]
    fn gelu_grad<I: Isa>(self, g: f32) -> f32 {
        math32::gelu_grad::<I>(g, self)
    }
    #[inline(always)]
    fn pow<I: Isa>(self, e: f32) -> f32 {
        math32::pow::<I>(self, e)
    }
}

impl Float for f64 {
    const VECTOR: bool = false;
    functions!(f64, math64: exp);
    functions!(f64;
        exp2 => f64::exp2, expm1 => f64::exp_m1,
        log => f64::ln, log2 => f64::log2, log10 => f64::log10, log1p => f64::ln_1p,
        sin => f64::sin, cos => f64::cos, tan => f64::tan, asin => f64::asin, acos => f64::acos, atan => f64::atan,
        sinh => f64::sinh, cosh => f64::cosh, tanh => f64::tanh, asinh => libm::asinh, atanh => libm::atanh,
        erf => libm::erf, erfc => libm::erfc, erfinv => math64::erfinv,
    );
    #[inline(always)]
    fn of(v: f64) -> f64 {
        v
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn abs(self) -> f64 {
        self.abs()
    }
    #[inline(always)]
    fn floor(self) -> f64 {
        self.floor()
    }
    #[inline(always)]
    fn ceil(self) -> f64 {
        self.ceil()
    }
    #[inline(always)]
    fn trunc(self) -> f64 {
        self.trunc()
    }
    #[inline(always)]
    fn round_even(self) -> f64 {
        self.round_ties_even()
    }
    #[inline(always)]
    fn sqrt(self) -> f64 {
        self.sqrt()
    }
    #[inline(always)]
    fn copysign(self, s: f64) -> f64 {
        f64::from_bits(self.to_bits() & (u64::MAX >> 1) | s.to_bits() & (1 << 63))
    }
    fn nextafter(self, b: f64) -> f64 {
        math64::nextafter(self, b)
    }
    #[inline(always)]
    fn fma<I: Isa>(self, b: f64, c: f64) -> f64 {
        I::fma64(self, b, c)
    }
    fn acosh<I: Isa>(self) -> f64 {
        // libm's is wrong below -1.
        if self < 1.0 {
            f64::NAN
        } else {
            libm::acosh(self)
        }
    }
    fn atan2<I: Isa>(self, x: f64) -> f64 {
        self.atan2(x)
    }
    fn hypot(self, b: f64) -> f64 {
        self.hypot(b)
    }
    fn fmod<I: Isa>(self, b: f64) -> f64 {
        self % b
    }
    #[inline(always)]
    fn fmod_is_slow(self, _: f64) -> bool {
        false
    }
    #[inline(always)]
    fn trig_is_slow(self) -> bool {
        false
    }
    fn gelu<I: Isa>(self) -> f64 {
        self * 0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2)
    }
    fn gelu_grad<I: Isa>(self, g: f64) -> f64 {
        let p = 0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2);
        let density =
            (-0.5 * self * self).exp() * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
        g * (p + self.clamp(-50.0, 50.0) * density)
    }
    fn pow<I: Isa>(self, e: f64) -> f64 {
        self.powf(e)
    }
}
