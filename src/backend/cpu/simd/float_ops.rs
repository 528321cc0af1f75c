//! Ops on f32 and f64: one line each, by the opcode's name.

use super::float::Float;
use super::{cheap, long, math64, plain, special64, Base, Isa, Kernel, Op};
use crate::backend::program::Opcode;
use crate::base::dtype::Bool8;

/// Elements per chunk.
const L: usize = 16;

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
/// `a` between bounds that are no NaN: one instruction for each, NaN in `a` stays.
#[inline(always)]
fn within<T: PartialOrd>(a: T, low: T, high: T) -> T {
    let a = if low > a { low } else { a };
    if high < a {
        high
    } else {
        a
    }
}
#[inline(always)]
fn hardsigmoid<T: Float>(a: T) -> T {
    within(a + T::of(3.0), T::of(0.0), T::of(6.0)) * T::of(1.0 / 6.0)
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

/// The modified Bessel function of order 0 or 1: the power series, for large arguments the asymptotic one. f64 takes more
/// of both than f32, which is computed in f64 as well.
#[inline(always)]
fn bessel_i<I: Isa, T: Float>(order: u32, x: T) -> T {
    let (edge, near_terms, far_terms) = if T::VECTOR { (12.0, 20, 20) } else { (20.0, 38, 30) };
    let (n, v) = (order as f64, x.wide());
    let a = v.abs();
    // (a^2 / 4)^k / (k! (k + n)!)
    let (z, mut near) = (0.25 * a * a, 1.0);
    for k in (1..=near_terms).rev() {
        let k = k as f64;
        near = I::fma64(near, z * (1.0 / (k * (k + n))), 1.0);
    }
    // e^a / sqrt(2 pi a) times the products of ((2 k - 1)^2 - 4 n^2) / (8 k a)
    let (r, mut far) = (1.0 / a, 1.0);
    for k in (1..=far_terms).rev() {
        let (k, odd) = (k as f64, (2 * k - 1) as f64);
        far = I::fma64(far, r * ((odd * odd - 4.0 * n * n) / (8.0 * k)), 1.0);
    }
    // In two halves, which overflow where the result does.
    const SQRT_TAU: f64 = 2.506628274631000502415765284811;
    let half = math64::exp::<I>(0.5 * a);
    let far = far * half / (SQRT_TAU * a.sqrt()) * half;
    let y = match order {
        0 => near,
        _ => near * 0.5 * a,
    };
    let y = if a <= edge { y } else { far };
    T::of(if order == 0 { y } else { y.copysign(v) })
}

/// An op's arithmetic, as a type of its name.
macro_rules! op {
    ($name:ident, $long:expr, $i:ident, ($a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty) -> $out:ty, $body:expr, { $($more:tt)* }) => {
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
            $($more)*
        }
    };
    (unary $name:ident $how:ident |$i:ident, $a:ident| $body:expr) => {
        op!($name, is_long!($how), $i, ($a: T, _b: (), _c: ()) -> T, $body, {});
    };
    (binary $name:ident $how:ident |$i:ident, $a:ident, $b:ident| $body:expr) => {
        op!($name, is_long!($how), $i, ($a: T, $b: T, _c: ()) -> T, $body, {});
    };
    (ternary $name:ident $how:ident |$i:ident, $a:ident, $b:ident, $c:ident| $body:expr) => {
        op!($name, is_long!($how), $i, ($a: T, $b: T, $c: T) -> T, $body, {});
    };
    (test $name:ident $how:ident |$a:ident| $body:expr) => {
        op!($name, false, I, ($a: T, _b: (), _c: ()) -> Bool8, Bool8($body as u8), {});
    };
    (compare $name:ident $how:ident |$a:ident, $b:ident| $body:expr) => {
        op!($name, false, I, ($a: T, $b: T, _c: ()) -> Bool8, Bool8($body as u8), {});
    };
    // Large arguments are computed in f64.
    (trigonometric $name:ident $how:ident |$i:ident, $a:ident| $body:expr) => {
        op!($name, true, $i, ($a: T, _b: (), _c: ()) -> T, $body, {
            const HAS_SLOW: bool = T::VECTOR;
            #[inline(always)]
            fn is_slow(a: T, _: ()) -> bool {
                a.trig_is_slow()
            }
            #[inline(never)]
            fn slow(a: T, _: ()) -> T {
                T::of($name::<f64>::apply::<Base>(a.wide(), (), ()))
            }
        });
    };
    // Made of fmod, which needs a slower way for some arguments.
    (remainder $name:ident $how:ident |$a:ident, $b:ident, $m:ident| $body:expr) => {
        op!($name, true, I, ($a: T, $b: T, _c: ()) -> T, { let $m = $a.fmod::<I>($b); $body }, {
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
        });
    };
}
/// Whether the last elements are computed as one padded chunk.
macro_rules! is_long {
    (vector) => {
        true
    };
    (function) => {
        true
    };
    ($how:ident) => {
        false
    };
}
/// How an op is compiled: `cheap` (bound by loads and stores), `vector` (long vector code in both types), `function`
/// (vector code in f32), `scalar` (no vector code), `truth` (cheap, its results are bytes).
macro_rules! compiled {
    (cheap $o:ty) => {
        cheap::<$o, L>()
    };
    (truth $o:ty) => {
        cheap::<$o, 32>()
    };
    (vector $o:ty) => {
        long::<$o, L>()
    };
    (function $o:ty) => {
        if T::VECTOR {
            long::<$o, L>()
        } else {
            plain::<$o, 1>()
        }
    };
    (scalar $o:ty) => {
        plain::<$o, 1>()
    };
}
/// The table: types, and the match that finds a kernel.
macro_rules! table {
    ($($shape:ident { $($name:ident $how:ident |$($arg:ident),*| $body:expr;)* })*) => {
        pub mod op {
            use super::*;
            $($(op!($shape $name $how |$($arg),*| $body);)*)*
        }

        /// The kernel of `op` on T, or None.
        pub fn kernel<T: Float>(op: Opcode) -> Option<Kernel> {
            Some(match op {
                Opcode::Cast => super::int::copy(size_of::<T>()),
                $($(Opcode::$name => compiled!($how op::$name<T>),)*)*
                _ => return None,
            })
        }
    };
}
table! {
    unary {
        Neg cheap |I, a| -a;
        Abs cheap |I, a| a.abs();
        Sign cheap |I, a| T::of((a > T::of(0.0)) as u8 as f64) - T::of((a < T::of(0.0)) as u8 as f64);
        Ceil cheap |I, a| a.ceil();
        Floor cheap |I, a| a.floor();
        Round cheap |I, a| a.round_even();
        Trunc cheap |I, a| a.trunc();
        Frac cheap |I, a| a - a.trunc();
        Sqrt cheap |I, a| a.sqrt();
        Rsqrt cheap |I, a| T::of(1.0) / a.sqrt();
        Reciprocal cheap |I, a| T::of(1.0) / a;
        Square cheap |I, a| a * a;
        Relu cheap |I, a| if a < T::of(0.0) { T::of(0.0) } else { a };
        HardSigmoid cheap |I, a| hardsigmoid(a);
        HardSwish cheap |I, a| a * hardsigmoid(a);
        Exp vector |I, a| a.exp::<I>();
        Exp2 function |I, a| a.exp2::<I>();
        Expm1 function |I, a| a.expm1::<I>();
        Log function |I, a| a.log::<I>();
        Log2 function |I, a| a.log2::<I>();
        Log10 function |I, a| a.log10::<I>();
        Log1p function |I, a| a.log1p::<I>();
        Tanh function |I, a| a.tanh::<I>();
        Erf function |I, a| a.erf::<I>();
        Erfc function |I, a| a.erfc::<I>();
        Sigmoid vector |I, a| sigmoid::<I, T>(a);
        Silu vector |I, a| a / (T::of(1.0) + (-a).exp::<I>());
        Gelu function |I, a| a.gelu::<I>();
        GeluTanh function |I, a| a / (T::of(1.0) + (-gelu_inner(a)).exp::<I>());
        Asin function |I, a| a.asin::<I>();
        Acos function |I, a| a.acos::<I>();
        Atan function |I, a| a.atan::<I>();
        Sinh function |I, a| a.sinh::<I>();
        Cosh function |I, a| a.cosh::<I>();
        Asinh function |I, a| a.asinh::<I>();
        Acosh function |I, a| a.acosh::<I>();
        Atanh function |I, a| a.atanh::<I>();
        Erfinv function |I, a| a.erfinv::<I>();
        I0 function |I, a| bessel_i::<I, T>(0, a);
        I1 function |I, a| bessel_i::<I, T>(1, a);
        Lgamma scalar |I, a| T::of(libm::lgamma(a.wide()));
        Digamma scalar |I, a| T::of(math64::digamma(a.wide()));
    }
    binary {
        Add cheap |I, a, b| a + b;
        Sub cheap |I, a, b| a - b;
        Mul cheap |I, a, b| a * b;
        Div cheap |I, a, b| a / b;
        TruncDiv cheap |I, a, b| (a / b).trunc();
        Pow function |I, a, b| a.pow::<I>(b);
        Atan2 function |I, a, b| a.atan2::<I>(b);
        Maximum cheap |I, a, b| maximum(a, b);
        Minimum cheap |I, a, b| minimum(a, b);
        Fmax cheap |I, a, b| if (a > b) | (b != b) { a } else { b };
        Fmin cheap |I, a, b| if (a < b) | (b != b) { a } else { b };
        Hypot function |I, a, b| a.hypot(b);
        Copysign cheap |I, a, b| a.copysign(b);
        Nextafter scalar |I, a, b| a.nextafter(b);
        LogAddExp function |I, a, b| {
            let m = maximum(a, b);
            let y = m + (-(a - b).abs()).exp::<I>().log1p::<I>();
            // Equal infinities have no difference.
            if a == b && a.abs() == T::of(f64::INFINITY) { a } else { y }
        };
        LogAddExp2 function |I, a, b| {
            let m = maximum(a, b);
            let y = m + (-(a - b).abs()).exp2::<I>().log1p::<I>() * T::of(std::f64::consts::LOG2_E);
            if a == b && a.abs() == T::of(f64::INFINITY) { a } else { y }
        };
        Xlogy function |I, a, b| {
            let y = a * b.log::<I>();
            let y = if a == T::of(0.0) { T::of(0.0) } else { y };
            if b != b { b } else { y }
        };
        Zeta scalar |I, a, b| T::of(special64::zeta(a.wide(), b.wide()));
        LeakyRelu cheap |I, a, slope| if a > T::of(0.0) { a } else { a * slope };
        HardShrink cheap |I, a, bound| if a.abs() <= bound { T::of(0.0) } else { a };
        ReluGrad cheap |I, g, x| if x <= T::of(0.0) { T::of(0.0) } else { g };
        SigmoidGrad cheap |I, g, y| g * (T::of(1.0) - y) * y;
        TanhGrad cheap |I, g, y| g * (T::of(1.0) - y * y);
        GeluGrad function |I, g, x| x.gelu_grad::<I>(g);
        GeluTanhGrad function |I, g, x| {
            let s = sigmoid::<I, T>(gelu_inner(x));
            // Derivative of the inner polynomial.
            let d = T::of(1.595_769_121_605_731) * (T::of(1.0) + T::of(3.0 * 0.044715) * x * x);
            g * (s + x * s * (T::of(1.0) - s) * d)
        };
        SiluGrad function |I, g, x| {
            let s = sigmoid::<I, T>(x);
            g * s * (T::of(1.0) + x * (T::of(1.0) - s))
        };
    }
    trigonometric {
        Sin function |I, a| a.sin::<I>();
        Cos function |I, a| a.cos::<I>();
        Tan function |I, a| a.tan::<I>();
    }
    remainder {
        Fmod function |a, b, m| m;
        Remainder function |a, b, m| remainder(b, m);
        FloorDiv function |a, b, m| floor_div(a, b, m);
    }
    test {
        IsNan truth |a| a != a;
        IsInf truth |a| a.abs() == T::of(f64::INFINITY);
        IsFinite truth |a| a.abs() < T::of(f64::INFINITY);
    }
    compare {
        Eq truth |a, b| a == b;
        Ne truth |a, b| a != b;
        Lt truth |a, b| a < b;
        Le truth |a, b| a <= b;
        Gt truth |a, b| a > b;
        Ge truth |a, b| a >= b;
    }
    ternary {
        Clamp cheap |I, a, lo, hi| minimum(maximum(a, lo), hi);
        MulAdd cheap |I, a, b, c| a + b * c;
        IncGamma scalar |I, a, x, upper| T::of(special64::incomplete_gamma(a.wide(), x.wide(), upper != T::of(0.0)));
        Polynomial scalar |I, x, n, kind| T::of(special64::polynomial(x.wide(), n.wide(), kind.wide()));
    }
}

op!(ternary Within cheap |I, a, low, high| within(a, low, high));

/// A cheaper kernel for `Clamp` between bounds that are no NaN.
pub fn within_kernel<T: Float>() -> Kernel {
    cheap::<Within<T>, L>()
}

op!(unary Cube cheap |I, a| a * a * a);

/// A cheaper kernel for x^e with a constant exponent, as PyTorch has them.
pub fn pow_kernel<T: Float>(e: f64) -> Option<Kernel> {
    Some(match e {
        2.0 => cheap::<op::Square<T>, L>(),
        3.0 => cheap::<Cube<T>, L>(),
        0.5 => cheap::<op::Sqrt<T>, L>(),
        -0.5 => cheap::<op::Rsqrt<T>, L>(),
        -1.0 => cheap::<op::Reciprocal<T>, L>(),
        _ => return None,
    })
}
