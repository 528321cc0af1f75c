//! Ops on f32 and f64.

use super::{cheap, long, math32, math64, plain, wide32, Isa, Kernel, Op};
use crate::backend::program::Opcode;
use crate::base::dtype::Bool8;
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

#[inline(always)]
fn sigmoid<I: Isa, T: Float>(x: T) -> T {
    T::of(1.0) / (T::of(1.0) + (-x).exp::<I>())
}
/// NaN propagates. Here and below `|`, not `||`: a branch would keep the compiler from making vectors.
#[inline(always)]
pub fn maximum<T: PartialOrd>(a: T, b: T) -> T {
    #[allow(clippy::eq_op)]
    if (a > b) | (a != a) {
        a
    } else {
        b
    }
}
/// NaN propagates.
#[inline(always)]
pub fn minimum<T: PartialOrd>(a: T, b: T) -> T {
    #[allow(clippy::eq_op)]
    if (a < b) | (a != a) {
        a
    } else {
        b
    }
}
/// 2 * sqrt(2 / pi) * (x + 0.044715 x^3): gelu's tanh form is x * sigmoid of this.
#[inline(always)]
fn gelu_inner<T: Float>(x: T) -> T {
    T::of(1.595_769_121_605_731) * (x + T::of(0.044715) * x * x * x)
}
/// floor(a / b) and a - b floor(a / b) as Python has them, from m = fmod(a, b).
#[inline(always)]
fn floor_div<T: Float>(a: T, b: T, m: T) -> T {
    let (zero, one) = (T::of(0.0), T::of(1.0));
    let d = (a - m) / b;
    let d = if (m != zero) & ((b < zero) != (m < zero)) { d - one } else { d };
    let f = d.floor();
    let f = if d - f > T::of(0.5) { f + one } else { f };
    let q = a / b;
    let f = if d == zero { zero.copysign(q) } else { f };
    if b == zero {
        q
    } else {
        f
    }
}
#[inline(always)]
fn remainder<T: Float>(b: T, m: T) -> T {
    let zero = T::of(0.0);
    if (m != zero) & ((b < zero) != (m < zero)) {
        m + b
    } else {
        m
    }
}

macro_rules! op {
    ($name:ident, $long:expr, ($i:ident; $a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty) -> $out:ty, $body:expr) => {
        pub struct $name<T>(std::marker::PhantomData<T>);
        impl<T: Float> Op for $name<T> {
            type A = $ta;
            type B = $tb;
            type C = $tc;
            type Out = $out;
            const LONG: bool = $long;
            #[inline(always)]
            #[allow(unused_variables, clippy::eq_op)]
            fn apply<$i: Isa>($a: $ta, $b: $tb, $c: $tc) -> $out {
                $body
            }
        }
    };
}
macro_rules! ops {
    (unary $($name:ident, $long:expr, |$i:ident, $a:ident| $body:expr;)*) => {
        $(op!($name, $long, ($i; $a: T, _b: (), _c: ()) -> T, $body);)*
    };
    (binary $($name:ident, $long:expr, |$i:ident, $a:ident, $b:ident| $body:expr;)*) => {
        $(op!($name, $long, ($i; $a: T, $b: T, _c: ()) -> T, $body);)*
    };
    (test $($name:ident, |$a:ident| $body:expr;)*) => {
        $(op!($name, false, (I; $a: T, _b: (), _c: ()) -> Bool8, Bool8($body as u8));)*
    };
    (compare $($name:ident, |$a:ident, $b:ident| $body:expr;)*) => {
        $(op!($name, false, (I; $a: T, $b: T, _c: ()) -> Bool8, Bool8($body as u8));)*
    };
    (ternary $($name:ident, |$i:ident, $a:ident, $b:ident, $c:ident| $body:expr;)*) => {
        $(op!($name, false, ($i; $a: T, $b: T, $c: T) -> T, $body);)*
    };
}

ops! { unary
    OpNeg, false, |I, a| -a;
    OpAbs, false, |I, a| a.abs();
    OpSign, false, |I, a| T::of((a > T::of(0.0)) as u8 as f64) - T::of((a < T::of(0.0)) as u8 as f64);
    OpCeil, false, |I, a| a.ceil();
    OpFloor, false, |I, a| a.floor();
    OpRound, false, |I, a| a.round_even();
    OpTrunc, false, |I, a| a.trunc();
    OpFrac, false, |I, a| a - a.trunc();
    OpSqrt, false, |I, a| a.sqrt();
    OpRsqrt, false, |I, a| T::of(1.0) / a.sqrt();
    OpReciprocal, false, |I, a| T::of(1.0) / a;
    OpSquare, false, |I, a| a * a;
    OpCube, false, |I, a| a * a * a;
    OpRelu, false, |I, a| if a < T::of(0.0) { T::of(0.0) } else { a };
    OpExp, true, |I, a| a.exp::<I>();
    OpExp2, true, |I, a| a.exp2::<I>();
    OpExpm1, true, |I, a| a.expm1::<I>();
    OpLog, true, |I, a| a.log::<I>();
    OpLog2, true, |I, a| a.log2::<I>();
    OpLog10, true, |I, a| a.log10::<I>();
    OpLog1p, true, |I, a| a.log1p::<I>();
    OpTanh, true, |I, a| a.tanh::<I>();
    OpErf, true, |I, a| a.erf::<I>();
    OpErfc, true, |I, a| a.erfc::<I>();
    OpSigmoid, true, |I, a| sigmoid::<I, T>(a);
    OpSilu, true, |I, a| a / (T::of(1.0) + (-a).exp::<I>());
    OpGelu, true, |I, a| a.gelu::<I>();
    OpGeluTanh, true, |I, a| a / (T::of(1.0) + (-gelu_inner(a)).exp::<I>());
    OpAsin, true, |I, a| a.asin::<I>();
    OpAcos, true, |I, a| a.acos::<I>();
    OpAtan, true, |I, a| a.atan::<I>();
    OpSinh, true, |I, a| a.sinh::<I>();
    OpCosh, true, |I, a| a.cosh::<I>();
    OpAsinh, true, |I, a| a.asinh::<I>();
    OpAcosh, true, |I, a| a.acosh::<I>();
    OpAtanh, true, |I, a| a.atanh::<I>();
    OpErfinv, true, |I, a| a.erfinv::<I>();
    OpLgamma, false, |I, a| T::of(libm::lgamma(a.wide()));
    OpDigamma, false, |I, a| T::of(math64::digamma(a.wide()));
}
ops! { binary
    OpAdd, false, |I, a, b| a + b;
    OpSub, false, |I, a, b| a - b;
    OpMul, false, |I, a, b| a * b;
    OpDiv, false, |I, a, b| a / b;
    OpTruncDiv, false, |I, a, b| (a / b).trunc();
    OpPow, true, |I, a, b| a.pow::<I>(b);
    OpAtan2, true, |I, a, b| a.atan2::<I>(b);
    OpMaximum, false, |I, a, b| maximum(a, b);
    OpMinimum, false, |I, a, b| minimum(a, b);
    OpFmax, false, |I, a, b| if (a > b) | (b != b) { a } else { b };
    OpFmin, false, |I, a, b| if (a < b) | (b != b) { a } else { b };
    OpHypot, true, |I, a, b| a.hypot(b);
    OpCopysign, false, |I, a, b| a.copysign(b);
    OpNextafter, false, |I, a, b| a.nextafter(b);
    OpLogAddExp, true, |I, a, b| {
        let m = maximum(a, b);
        let y = m + (-(a - b).abs()).exp::<I>().log1p::<I>();
        // Equal infinities have no difference.
        if a == b && a.abs() == T::of(f64::INFINITY) { a } else { y }
    };
    OpLogAddExp2, true, |I, a, b| {
        let m = maximum(a, b);
        let y = m + (-(a - b).abs()).exp2::<I>().log1p::<I>() * T::of(std::f64::consts::LOG2_E);
        if a == b && a.abs() == T::of(f64::INFINITY) { a } else { y }
    };
    OpXlogy, true, |I, a, b| {
        let y = a * b.log::<I>();
        let y = if a == T::of(0.0) { T::of(0.0) } else { y };
        if b != b { b } else { y }
    };
    OpReluGrad, false, |I, g, x| if x <= T::of(0.0) { T::of(0.0) } else { g };
    OpSigmoidGrad, false, |I, g, y| g * (T::of(1.0) - y) * y;
    OpTanhGrad, false, |I, g, y| g * (T::of(1.0) - y * y);
    OpGeluGrad, true, |I, g, x| x.gelu_grad::<I>(g);
    OpGeluTanhGrad, true, |I, g, x| {
        let s = sigmoid::<I, T>(gelu_inner(x));
        // Derivative of the inner polynomial.
        let d = T::of(1.595_769_121_605_731) * (T::of(1.0) + T::of(3.0 * 0.044715) * x * x);
        g * (s + x * s * (T::of(1.0) - s) * d)
    };
    OpSiluGrad, true, |I, g, x| {
        let s = sigmoid::<I, T>(x);
        g * s * (T::of(1.0) + x * (T::of(1.0) - s))
    };
}
ops! { test
    OpIsNan, |a| a != a;
    OpIsInf, |a| a.abs() == T::of(f64::INFINITY);
    OpIsFinite, |a| a.abs() < T::of(f64::INFINITY);
}
ops! { compare
    OpEq, |a, b| a == b;
    OpNe, |a, b| a != b;
    OpLt, |a, b| a < b;
    OpLe, |a, b| a <= b;
    OpGt, |a, b| a > b;
    OpGe, |a, b| a >= b;
}
ops! { ternary
    OpClamp, |I, a, lo, hi| minimum(maximum(a, lo), hi);
    OpMulAdd, |I, a, b, c| a + b * c;
}

macro_rules! trig_op {
    ($name:ident, $f:ident) => {
        pub struct $name<T>(std::marker::PhantomData<T>);
        impl<T: Float> Op for $name<T> {
            type A = T;
            type B = ();
            type C = ();
            type Out = T;
            const LONG: bool = true;
            #[inline(always)]
            fn apply<I: Isa>(a: T, _: (), _: ()) -> T {
                a.$f::<I>()
            }
            const HAS_SLOW: bool = T::VECTOR;
            #[inline(always)]
            fn is_slow(a: T, _: ()) -> bool {
                a.trig_is_slow()
            }
            #[inline(never)]
            fn slow(a: T, _: ()) -> T {
                T::of(a.wide().$f())
            }
        }
    };
}
trig_op!(OpSin, sin);
trig_op!(OpCos, cos);
trig_op!(OpTan, tan);

/// Ops made of a remainder `m`, which needs a slower way for some arguments.
macro_rules! remainder_op {
    ($name:ident, |$a:ident, $b:ident, $m:ident| $body:expr) => {
        pub struct $name<T>(std::marker::PhantomData<T>);
        impl<T: Float> Op for $name<T> {
            type A = T;
            type B = T;
            type C = ();
            type Out = T;
            const LONG: bool = true;
            #[inline(always)]
            #[allow(unused_variables)]
            fn apply<I: Isa>($a: T, $b: T, _: ()) -> T {
                let $m = $a.fmod::<I>($b);
                $body
            }
            const HAS_SLOW: bool = T::VECTOR;
            #[inline(always)]
            fn is_slow(a: T, b: T) -> bool {
                a.fmod_is_slow(b)
            }
            #[inline(never)]
            #[allow(unused_variables)]
            fn slow($a: T, $b: T) -> T {
                let $m = $a % $b;
                $body
            }
        }
    };
}
remainder_op!(OpFmod, |a, b, m| m);
remainder_op!(OpRemainder, |a, b, m| remainder(b, m));
remainder_op!(OpFloorDiv, |a, b, m| floor_div(a, b, m));

/// Elements per chunk.
const L: usize = 16;

/// A `long` kernel for f32, a `plain` one for f64.
#[inline(always)]
fn math<T: Float, O: Op>() -> Kernel {
    if T::VECTOR {
        long::<O, L>()
    } else {
        plain::<O, 1>()
    }
}

/// The kernel of `op` on T, or None.
pub fn kernel<T: Float>(op: Opcode) -> Option<Kernel> {
    use Opcode as O;
    Some(match op {
        O::Cast => super::int::copy(size_of::<T>()),
        O::Add => cheap::<OpAdd<T>, L>(),
        O::Sub => cheap::<OpSub<T>, L>(),
        O::Mul => cheap::<OpMul<T>, L>(),
        O::Div => cheap::<OpDiv<T>, L>(),
        O::FloorDiv => math::<T, OpFloorDiv<T>>(),
        O::TruncDiv => cheap::<OpTruncDiv<T>, L>(),
        O::Remainder => math::<T, OpRemainder<T>>(),
        O::Fmod => math::<T, OpFmod<T>>(),
        O::Pow => math::<T, OpPow<T>>(),
        O::Atan2 => math::<T, OpAtan2<T>>(),
        O::Maximum => cheap::<OpMaximum<T>, L>(),
        O::Minimum => cheap::<OpMinimum<T>, L>(),
        O::Fmax => cheap::<OpFmax<T>, L>(),
        O::Fmin => cheap::<OpFmin<T>, L>(),
        O::Hypot => math::<T, OpHypot<T>>(),
        O::Copysign => cheap::<OpCopysign<T>, L>(),
        O::Nextafter => plain::<OpNextafter<T>, 1>(),
        O::LogAddExp => math::<T, OpLogAddExp<T>>(),
        O::LogAddExp2 => math::<T, OpLogAddExp2<T>>(),
        O::Xlogy => math::<T, OpXlogy<T>>(),
        O::Eq => cheap::<OpEq<T>, 32>(),
        O::Ne => cheap::<OpNe<T>, 32>(),
        O::Lt => cheap::<OpLt<T>, 32>(),
        O::Le => cheap::<OpLe<T>, 32>(),
        O::Gt => cheap::<OpGt<T>, 32>(),
        O::Ge => cheap::<OpGe<T>, 32>(),
        O::Neg => cheap::<OpNeg<T>, L>(),
        O::Abs => cheap::<OpAbs<T>, L>(),
        O::Sign => cheap::<OpSign<T>, L>(),
        O::IsNan => cheap::<OpIsNan<T>, 32>(),
        O::IsInf => cheap::<OpIsInf<T>, 32>(),
        O::IsFinite => cheap::<OpIsFinite<T>, 32>(),
        O::Ceil => cheap::<OpCeil<T>, L>(),
        O::Floor => cheap::<OpFloor<T>, L>(),
        O::Round => cheap::<OpRound<T>, L>(),
        O::Trunc => cheap::<OpTrunc<T>, L>(),
        O::Frac => cheap::<OpFrac<T>, L>(),
        O::Sqrt => cheap::<OpSqrt<T>, L>(),
        O::Rsqrt => cheap::<OpRsqrt<T>, L>(),
        O::Reciprocal => cheap::<OpReciprocal<T>, L>(),
        O::Square => cheap::<OpSquare<T>, L>(),
        // Vector code in both types.
        O::Exp => long::<OpExp<T>, L>(),
        O::Exp2 => math::<T, OpExp2<T>>(),
        O::Expm1 => math::<T, OpExpm1<T>>(),
        O::Log => math::<T, OpLog<T>>(),
        O::Log2 => math::<T, OpLog2<T>>(),
        O::Log10 => math::<T, OpLog10<T>>(),
        O::Log1p => math::<T, OpLog1p<T>>(),
        O::Sin => math::<T, OpSin<T>>(),
        O::Cos => math::<T, OpCos<T>>(),
        O::Tan => math::<T, OpTan<T>>(),
        O::Asin => math::<T, OpAsin<T>>(),
        O::Acos => math::<T, OpAcos<T>>(),
        O::Atan => math::<T, OpAtan<T>>(),
        O::Sinh => math::<T, OpSinh<T>>(),
        O::Cosh => math::<T, OpCosh<T>>(),
        O::Tanh => math::<T, OpTanh<T>>(),
        O::Asinh => math::<T, OpAsinh<T>>(),
        O::Acosh => math::<T, OpAcosh<T>>(),
        O::Atanh => math::<T, OpAtanh<T>>(),
        O::Erf => math::<T, OpErf<T>>(),
        O::Erfc => math::<T, OpErfc<T>>(),
        O::Erfinv => math::<T, OpErfinv<T>>(),
        O::Lgamma => plain::<OpLgamma<T>, 1>(),
        O::Digamma => plain::<OpDigamma<T>, 1>(),
        O::Sigmoid => long::<OpSigmoid<T>, L>(),
        O::Relu => cheap::<OpRelu<T>, L>(),
        O::Silu => long::<OpSilu<T>, L>(),
        O::Gelu => math::<T, OpGelu<T>>(),
        O::GeluTanh => math::<T, OpGeluTanh<T>>(),
        O::Clamp => cheap::<OpClamp<T>, L>(),
        O::MulAdd => cheap::<OpMulAdd<T>, L>(),
        O::ReluGrad => cheap::<OpReluGrad<T>, L>(),
        O::SigmoidGrad => cheap::<OpSigmoidGrad<T>, L>(),
        O::TanhGrad => cheap::<OpTanhGrad<T>, L>(),
        O::GeluGrad => math::<T, OpGeluGrad<T>>(),
        O::GeluTanhGrad => math::<T, OpGeluTanhGrad<T>>(),
        O::SiluGrad => math::<T, OpSiluGrad<T>>(),
        O::BitAnd | O::BitOr | O::BitXor | O::ShiftLeft | O::ShiftRight | O::BitNot => return None,
        O::LogicalAnd | O::LogicalOr | O::LogicalXor | O::LogicalNot | O::Where => return None,
    })
}

/// A cheaper kernel for x^e with a constant exponent, as PyTorch has them.
pub fn pow_kernel<T: Float>(e: f64) -> Option<Kernel> {
    Some(match e {
        2.0 => cheap::<OpSquare<T>, L>(),
        3.0 => cheap::<OpCube<T>, L>(),
        0.5 => cheap::<OpSqrt<T>, L>(),
        -0.5 => cheap::<OpRsqrt<T>, L>(),
        -1.0 => cheap::<OpReciprocal<T>, L>(),
        _ => return None,
    })
}
