//! Functions of f32 that are calculated in f64 and rounded once: errors stay near half an ulp. Without branches, so that
//! loops over them become vector code. Polynomials are least-squares fits weighted to equal errors, at 40 digits; each
//! leaves a relative error below 1e-8.

use super::math64::{self, MAGIC};
use super::Isa;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, PI};

/// Evaluates a polynomial, lowest coefficient first.
#[inline(always)]
fn poly<I: Isa, const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let mut p = c[N - 1];
    for k in (0..N - 1).rev() {
        p = I::fma64(p, x, c[k]);
    }
    p
}

/// The arc tangent for |t| <= tan(pi / 8).
#[inline(always)]
fn atan_small<I: Isa>(t: f64) -> f64 {
    let z = t * t;
    let p = poly::<I, 7>(
        z,
        [
            -0.33333333331482384,
            0.1999999893453368,
            -0.1428561367208326,
            0.11107523781061791,
            -0.09029303599767946,
            0.0713697573868794,
            -0.0404641940371362,
        ],
    );
    I::fma64(t * z, p, t)
}
#[inline(always)]
pub fn atan<I: Isa>(x: f32) -> f32 {
    const TAN_PI_8: f64 = std::f64::consts::SQRT_2 - 1.0;
    // Around 0, pi / 4 and pi / 2; one division serves all three.
    let a = x.abs() as f64;
    let (high, middle) = (a > 1.0 / TAN_PI_8, a > TAN_PI_8);
    let (num, den) = if middle { (a - 1.0, a + 1.0) } else { (a, 1.0) };
    let (num, den) = if high { (-1.0, a) } else { (num, den) };
    let start = if middle { FRAC_PI_4 } else { 0.0 };
    let start = if high { FRAC_PI_2 } else { start };
    ((start + atan_small::<I>(num / den)) as f32).copysign(x)
}
/// The angle of (x, y).
#[inline(always)]
pub fn atan2<I: Isa>(y: f32, x: f32) -> f32 {
    let (a, b) = (x.abs() as f64, y.abs() as f64);
    let steep = b > a;
    let (less, more) = if steep { (a, b) } else { (b, a) };
    // The angle from the nearer axis, about 0 or about pi / 4; equal infinities are of no difference.
    let middle = (less > more * 0.414_213_562) | (less == f64::INFINITY);
    let (num, den) = if middle { (less - more, less + more) } else { (less, more) };
    let num = if less == more { 0.0 } else { num };
    let den = if more == 0.0 { 1.0 } else { den };
    let r = atan_small::<I>(num / den) + if middle { FRAC_PI_4 } else { 0.0 };
    let r = if steep { FRAC_PI_2 - r } else { r };
    let r = if x.is_sign_negative() { PI - r } else { r };
    let r = (r as f32).copysign(y);
    // Comparisons above are false for NaN.
    if x.is_nan() | y.is_nan() {
        f32::NAN
    } else {
        r
    }
}

/// (asin of the number whose square is z, to be multiplied by it, less 1): for z <= 1/4.
#[inline(always)]
fn asin_tail<I: Isa>(z: f64) -> f64 {
    z * poly::<I, 9>(
        z,
        [
            0.16666666666743393,
            0.07499999950949955,
            0.04464290858306564,
            0.030379877072672094,
            0.022413497165685334,
            0.016893409873244173,
            0.01690818519323405,
            0.00095842351114737,
            0.028456301264301816,
        ],
    )
}
/// The arc sine of |x| where that is small, else of sqrt((1 - |x|) / 2); whether it is small.
#[inline(always)]
fn asin_parts<I: Isa>(x: f32) -> (f64, bool) {
    let a = x.abs() as f64;
    let small = a <= 0.5;
    let half = 0.5 * (1.0 - a);
    let z = if small { a * a } else { half };
    let s = if small { a } else { half.sqrt() };
    (I::fma64(s, asin_tail::<I>(z), s), small)
}
#[inline(always)]
pub fn asin<I: Isa>(x: f32) -> f32 {
    let (r, small) = asin_parts::<I>(x);
    let r = if small { r } else { FRAC_PI_2 - 2.0 * r };
    (r as f32).copysign(x)
}
#[inline(always)]
pub fn acos<I: Isa>(x: f32) -> f32 {
    let (r, small) = asin_parts::<I>(x);
    let near = FRAC_PI_2 - if x < 0.0 { -r } else { r };
    let far = if x < 0.0 { PI - 2.0 * r } else { 2.0 * r };
    (if small { near } else { far }) as f32
}

/// The natural logarithm with a relative error below 1e-10, of f64 arithmetic's results: x = m 2^e with m around 1.
#[inline(always)]
fn log<I: Isa>(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = x.to_bits();
    let e = bits.wrapping_sub(SQRT_HALF) as i64 >> 52;
    let m = f64::from_bits(bits.wrapping_sub((e << 52) as u64));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let q = poly::<I, 5>(
        z,
        [0.6666666666737792, 0.3999999879425247, 0.28571755060898923, 0.22191372260500788, 0.19363139395945886],
    );
    // |e| < 2^10: exact, and no vector conversion of i64 is needed.
    let e = f64::from_bits((e as u64).wrapping_add(MAGIC.to_bits())) - MAGIC;
    let y = I::fma64(e, LN_2, I::fma64(s * z, q, 2.0 * s));
    let y = if x == f64::INFINITY { x } else { y };
    let y = if x == 0.0 { f64::NEG_INFINITY } else { y };
    if x >= 0.0 {
        y
    } else {
        f64::NAN
    }
}

#[inline(always)]
pub fn sinh<I: Isa>(x: f32) -> f32 {
    let a = x.abs() as f64;
    let e = math64::exp::<I>(a);
    let z = a * a;
    let series = I::fma64(a * z, poly::<I, 4>(z, [1.0 / 6.0, 1.0 / 120.0, 1.0 / 5040.0, 1.0 / 362_880.0]), a);
    let r = if a < 0.5 { series } else { 0.5 * (e - 1.0 / e) };
    (r as f32).copysign(x)
}
#[inline(always)]
pub fn cosh<I: Isa>(x: f32) -> f32 {
    let e = math64::exp::<I>(x.abs() as f64);
    (0.5 * (e + 1.0 / e)) as f32
}
#[inline(always)]
pub fn asinh<I: Isa>(x: f32) -> f32 {
    let a = x.abs() as f64;
    let z = a * a;
    let r = if a < 1e-3 { a - a * z * (1.0 / 6.0) } else { log::<I>(a + (z + 1.0).sqrt()) };
    (r as f32).copysign(x)
}
#[inline(always)]
pub fn acosh<I: Isa>(x: f32) -> f32 {
    let d = x as f64 - 1.0;
    let r = log::<I>(1.0 + (d + (d * (d + 2.0)).sqrt()));
    // The root of what is below -2 would be real again.
    (if x < 1.0 { f64::NAN } else { r }) as f32
}
#[inline(always)]
pub fn atanh<I: Isa>(x: f32) -> f32 {
    let a = x.abs() as f64;
    let r = if a < 1e-3 { a + a * a * a * (1.0 / 3.0) } else { 0.5 * log::<I>((1.0 + a) / (1.0 - a)) };
    (r as f32).copysign(x)
}

#[inline(always)]
pub fn hypot(x: f32, y: f32) -> f32 {
    let (a, b) = (x as f64, y as f64);
    // An infinite side counts more than NaN.
    let infinite = (x.abs() == f32::INFINITY) | (y.abs() == f32::INFINITY);
    (if infinite { f64::INFINITY } else { (a * a + b * b).sqrt() }) as f32
}

/// The inverse of erf: x times a polynomial in w = -log(1 - x^2), or in its root.
#[inline(always)]
pub fn erfinv<I: Isa>(x: f32) -> f32 {
    let a = x as f64;
    let w = -log::<I>((1.0 - a) * (1.0 + a));
    let near = poly::<I, 11>(
        w,
        [
            0.8862269274520832,
            0.23201355600847312,
            0.01155033550840488,
            -0.00233854053183921,
            -0.00012200271056810753,
            4.0486838588919834e-05,
            5.835616800876644e-06,
            -2.497882176539654e-06,
            3.0979781626903487e-07,
            -1.7161479315105237e-08,
            3.355469621843135e-10,
        ],
    );
    let far = poly::<I, 10>(
        w.sqrt(),
        [
            -1.6031371017181533,
            8.325938095167091,
            -11.796659153714238,
            9.79438691928102,
            -4.914009507674164,
            1.5847727685749962,
            -0.3326971405614721,
            0.04415438379616227,
            -0.0033762501124012284,
            0.00011364769771959357,
        ],
    );
    let y = a * if w < 5.0 { near } else { far };
    let y = if x.abs() == 1.0 { f64::INFINITY.copysign(a) } else { y };
    // The sign of zero.
    if x == 0.0 {
        x
    } else {
        y as f32
    }
}

/// The tangent for |x| <= `math32::TRIG_MAX`.
#[inline(always)]
pub fn tan<I: Isa>(x: f32) -> f32 {
    let (sin, cos, k) = super::math32::sin_cos::<I>(x);
    let odd = k & 1 != 0;
    let (num, den) = if odd { (-cos, sin) } else { (sin, cos) };
    // The sign of zero.
    if x == 0.0 {
        x
    } else {
        (num / den) as f32
    }
}

/// Whether `fmod` is left to the standard library: where the quotient's fraction may be lost, and for what is no number.
#[inline(always)]
pub fn fmod_is_slow(a: f32, b: f32) -> bool {
    // False for NaN, for b = 0 and for infinite a or b.
    let fast = (a.abs() as f64) < b.abs() as f64 * 268_435_456.0;
    !fast | (b.abs() == f32::INFINITY)
}
/// a - b trunc(a / b), exactly, with a's sign: |a / b| < 2^28 leaves every product exact in f64, and a quotient of two
/// floats is further from the next integer than f64 rounds.
#[inline(always)]
pub fn fmod<I: Isa>(a: f32, b: f32) -> f32 {
    let (x, y) = (a as f64, b as f64);
    let q = (x / y).trunc();
    (I::fma64(-q, y, x) as f32).copysign(a)
}
