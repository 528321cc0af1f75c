//! Elementary functions of f32 without branches, so that loops over them become vector code. Errors are 1 to 2 ulp.
//! Polynomials are minimax fits (Remez exchange at 50 digits, then rounded).

#![allow(clippy::excessive_precision)]

use super::{math64, Isa};

const MAGIC: f32 = 12582912.0; // 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits
const LOG2E: f32 = std::f32::consts::LOG2_E;
// ln 2 in two parts; products of the first with |n| < 2^11 are exact.
const LN2_HI: f32 = 0.693_359_375;
const LN2_LO: f32 = -2.121_944_4e-4;

/// Evaluates a polynomial, lowest coefficient first.
#[inline(always)]
fn poly<I: Isa, const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut p = c[N - 1];
    for k in (0..N - 1).rev() {
        p = I::fma32(p, x, c[k]);
    }
    p
}

/// x rounded to an integer: as a float, and as an i32 (|x| < 2^22).
#[inline(always)]
fn round_int(x: f32) -> (f32, i32) {
    let t = x + MAGIC;
    (t - MAGIC, t.to_bits().wrapping_sub(MAGIC.to_bits()) as i32)
}

/// 2^n for n in -126..=127.
#[inline(always)]
fn pow2i(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// y * 2^n for n in -252..=254, in two steps so that results may be subnormal.
#[inline(always)]
fn scale(y: f32, n: i32) -> f32 {
    let h = n >> 1;
    y * pow2i(h) * pow2i(n.wrapping_sub(h))
}

#[inline(always)]
fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    // Comparisons are false for NaN, which stays.
    let x = if x > hi { hi } else { x };
    if x < lo {
        lo
    } else {
        x
    }
}

#[inline(always)]
pub fn exp<I: Isa>(x: f32) -> f32 {
    let x = clamp(x, -105.0, 89.0);
    let (n, ni) = round_int(x * LOG2E);
    let r = I::fma32(n, -LN2_LO, I::fma32(n, -LN2_HI, x));
    let p = poly::<I, 5>(r, [4.999_999_4e-1, 1.666_652e-1, 4.166_839_3e-2, 8.368_78e-3, 1.381_447_1e-3]);
    scale(I::fma32(p * r, r, r) + 1.0, ni)
}

#[inline(always)]
pub fn exp2<I: Isa>(x: f32) -> f32 {
    let x = clamp(x, -151.0, 129.0);
    let (n, ni) = round_int(x);
    let r = x - n;
    let p = poly::<I, 5>(r, [2.402_264_8e-1, 5.550_362e-2, 9.618_529e-3, 1.339_038_7e-3, 1.532_083_6e-4]);
    // ln 2 in two parts keeps the linear term exact enough.
    let y = I::fma32(p * r, r, r * -1.904_654_3e-9);
    scale(I::fma32(r, std::f32::consts::LN_2, y) + 1.0, ni)
}

#[inline(always)]
pub fn expm1<I: Isa>(x: f32) -> f32 {
    let big = x;
    let x = clamp(x, -18.0, 89.0);
    let (n, ni) = round_int(x * LOG2E);
    let r = I::fma32(n, -LN2_LO, I::fma32(n, -LN2_HI, x));
    let p = poly::<I, 6>(r, [0.5, 1.666_666_6e-1, 4.166_636e-2, 8.333_39e-3, 1.394_072e-3, 1.984_588_9e-4]);
    let q = I::fma32(p * r, r, r); // e^r - 1
                                   // 2^n (q + 1) - 1, halved and doubled again because 2^128 is no f32.
    let s = pow2i(ni.wrapping_sub(1));
    let y = I::fma32(s, q, s - 0.5) * 2.0;
    // Tiny arguments (and -0) are their own result.
    if big.abs() < 1e-10 {
        big
    } else {
        y
    }
}

/// x = m * 2^e with m in [sqrt 1/2, sqrt 2); for positive x, subnormal too.
#[inline(always)]
fn split(x: f32) -> (f32, f32) {
    let tiny = x < f32::MIN_POSITIVE;
    let x = if tiny { x * 8388608.0 } else { x };
    let bits = x.to_bits();
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let e = (bits.wrapping_sub(SQRT_HALF) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((e << 23) as u32));
    (m, e as f32 - if tiny { 23.0 } else { 0.0 })
}

/// (log(1 + f) - f) for 1 + f in [sqrt 1/2, sqrt 2).
#[inline(always)]
fn log_tail<I: Isa>(f: f32) -> f32 {
    let p = poly::<I, 9>(
        f,
        [
            3.333_331_3e-1,
            -2.500_001e-1,
            2.000_211_9e-1,
            -1.666_799_6e-1,
            1.421_955_1e-1,
            -1.240_558_1e-1,
            1.188_816_7e-1,
            -1.167_57e-1,
            6.746_69e-2,
        ],
    );
    let z = f * f;
    I::fma32(p * z, f, -0.5 * z)
}

/// Puts in the results of a logarithm for 0, negative numbers, infinity and NaN.
#[inline(always)]
fn log_special(x: f32, y: f32) -> f32 {
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 {
        y
    } else {
        f32::NAN
    }
}

#[inline(always)]
pub fn log<I: Isa>(x: f32) -> f32 {
    let (m, e) = split(x);
    let f = m - 1.0;
    let y = I::fma32(e, LN2_LO, log_tail::<I>(f));
    log_special(x, I::fma32(e, LN2_HI, f + y))
}

/// log to the base whose `1 / ln base` is `hi + lo` and `log 2` is `two_hi + two_lo`.
#[inline(always)]
fn log_base<I: Isa>(x: f32, hi: f32, lo: f32, two_hi: f32, two_lo: f32) -> f32 {
    let (m, e) = split(x);
    let f = m - 1.0;
    let t = log_tail::<I>(f);
    // (f + t) * (hi + lo) with the leading product taken in full where there is a fused multiply-add.
    let s = f + t;
    let rest = (f - s) + t;
    let y = I::fma32(s, lo, I::fma32(rest, hi, e * two_lo));
    log_special(x, I::fma32(e, two_hi, I::fma32(s, hi, y)))
}
#[inline(always)]
pub fn log2<I: Isa>(x: f32) -> f32 {
    log_base::<I>(x, LOG2E, 1.925_963e-8, 1.0, 0.0)
}
#[inline(always)]
pub fn log10<I: Isa>(x: f32) -> f32 {
    log_base::<I>(x, 0.434_294_49, -1.010_305e-8, 0.301_025_390_625, 4.605_039e-6)
}

#[inline(always)]
pub fn log1p<I: Isa>(x: f32) -> f32 {
    let u = 1.0 + x;
    let l = log::<I>(u);
    // What the rounding of 1 + x lost, to first order.
    let y = l + (x - (u - 1.0)) / u;
    let y = if u == f32::INFINITY || u == 0.0 { l } else { y };
    if u == 1.0 {
        x
    } else {
        y
    }
}

#[inline(always)]
pub fn sigmoid<I: Isa>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<I>(-x))
}

#[inline(always)]
pub fn tanh<I: Isa>(x: f32) -> f32 {
    let e = expm1::<I>(2.0 * clamp(x.abs(), 0.0, 10.0));
    // For tiny x the quotient would lose nothing but the sign of zero, which copysign restores.
    (e / (e + 2.0)).copysign(x)
}

/// Above this sine and cosine reduce their argument in a slower way.
pub const TRIG_MAX: f32 = 1.0e6;

/// Sine and cosine of x less the nearest multiple k of pi/2, and k, for |x| <= TRIG_MAX; arithmetic in f64.
#[inline(always)]
pub fn sin_cos<I: Isa>(x: f32) -> (f64, f64, u64) {
    // pi/2 in two parts; products of the first (33 bits) with n < 2^20 are exact.
    const HI: f64 = f64::from_bits(0x3FF9_21FB_5440_0000);
    const LO: f64 = 6.077100506506192e-11;
    let x = x as f64;
    let t = x * std::f64::consts::FRAC_2_PI + math64::MAGIC;
    let n = t - math64::MAGIC;
    let k = t.to_bits();
    let r = I::fma64(n, -LO, I::fma64(n, -HI, x));
    let z = r * r;
    let mut s = 2.718_308_102_550_994_8e-6;
    for c in [-1.983_933_449_336_471_6e-4, 8.333_329_384_878_002e-3, -0.166_666_666_416_184_08] {
        s = I::fma64(s, z, c);
    }
    let sin = I::fma64(s * z, r, r);
    let mut c4 = -2.721_019_944_176_819_5e-7;
    for c in [2.479_951_954_669_904e-5, -1.388_888_375_165_729_9e-3, 0.041_666_666_622_807_377] {
        c4 = I::fma64(c4, z, c);
    }
    let cos = I::fma64(c4 * z, z, I::fma64(z, -0.5, 1.0));
    (sin, cos, k)
}
/// sin(x + quarter turns * pi/2) for |x| <= TRIG_MAX.
#[inline(always)]
fn trig<I: Isa>(x: f32, quarter: u64) -> f32 {
    let (sin, cos, k) = sin_cos::<I>(x);
    let k = k.wrapping_add(quarter);
    let y = if k & 1 == 0 { sin } else { cos };
    f64::from_bits(y.to_bits() ^ ((k & 2) << 62)) as f32
}
#[inline(always)]
pub fn sin<I: Isa>(x: f32) -> f32 {
    let y = trig::<I>(x, 0);
    // The sign of zero.
    if x == 0.0 {
        x
    } else {
        y
    }
}
#[inline(always)]
pub fn cos<I: Isa>(x: f32) -> f32 {
    trig::<I>(x, 1)
}

/// exp(-z^2) and erfc(z) / exp(-z^2), for z in 0..=10.2.
#[inline(always)]
fn erfc_parts<I: Isa>(z: f32) -> (f32, f32) {
    let t = 1.0 / I::fma32(0.5, z, 1.0);
    let q = poly::<I, 9>(
        t,
        [
            2.820_860_4e-1,
            2.823_819_2e-1,
            2.430_558_5e-1,
            2.028_756_6e-1,
            -2.707_013_1e-2,
            2.787_100_4e-1,
            -4.877_599_8e-1,
            2.848_446_4e-1,
            -5.912_407_5e-2,
        ],
    );
    (exp::<I>(-z * z), q * t)
}
/// erf for |x| <= 1.
#[inline(always)]
fn erf_small<I: Isa>(x: f32) -> f32 {
    let p = poly::<I, 7>(
        x * x,
        [
            1.283_791_7e-1,
            -3.761_262_6e-1,
            1.128_360_03e-1,
            -2.685_444_4e-2,
            5.189_535e-3,
            -8.020_841e-4,
            7.889_121_5e-5,
        ],
    );
    I::fma32(p, x, x)
}
#[inline(always)]
pub fn erf<I: Isa>(x: f32) -> f32 {
    let a = clamp(x.abs(), 0.0, 10.0);
    let (e, q) = erfc_parts::<I>(a);
    let large = (1.0 - e * q).copysign(x);
    if a < 1.0 {
        erf_small::<I>(x)
    } else {
        large
    }
}
#[inline(always)]
pub fn erfc<I: Isa>(x: f32) -> f32 {
    let a = clamp(x.abs(), 0.0, 10.2);
    let (e, q) = erfc_parts::<I>(a);
    // exp(-z^2) with the rounding error of z^2 put right.
    let e = e * (1.0 - (a as f64 * a as f64 - (a * a) as f64) as f32);
    let tail = e * q;
    let large = if x < 0.0 { 2.0 - tail } else { tail };
    if a < 0.5 {
        1.0 - erf_small::<I>(x)
    } else {
        large
    }
}

/// exp(-z^2 / 2) and the probability that a normal variate is below -z, for z in 0..=13; NaN stays.
#[inline(always)]
fn normal_tail<I: Isa>(z: f32) -> (f32, f32) {
    // 2^(k z^2) with the factor in two parts.
    const K: f32 = -0.721_347_5;
    const K_LO: f32 = -9.629_815e-9;
    let z2 = z * z;
    let n = I::fma32(z2, K, MAGIC);
    let f = I::fma32(z2, K_LO, I::fma32(z2, K, MAGIC - n));
    let p = poly::<I, 6>(f, [1.000_000_07, 0.693_146_967, 0.240_221_197, 0.055_507_135, 0.009_675_541, 0.001_327_641]);
    let e = f32::from_bits(p.to_bits().wrapping_add(n.to_bits() << 23));
    // What is left is smooth in t.
    let t = 1.0 / I::fma32(0.305, z, 1.0);
    let q = poly::<I, 8>(
        t,
        [
            0.121_639_733,
            0.122_466_817,
            0.103_420_841,
            0.121_021_815,
            -0.037_977_158,
            0.185_717_316,
            -0.152_988_576,
            0.036_699_258,
        ],
    );
    (e, e * (q * t))
}
#[inline(always)]
fn at_most(x: f32, most: f32) -> f32 {
    if x > most {
        most
    } else {
        x
    }
}
#[inline(always)]
pub fn gelu<I: Isa>(x: f32) -> f32 {
    let z = at_most(x.abs(), 13.0);
    let (_, tail) = normal_tail::<I>(z);
    // x Phi(x) is what relu leaves, less |x| times the tail.
    I::fma32(-z, tail, if x < 0.0 { 0.0 } else { x })
}
#[inline(always)]
pub fn gelu_grad<I: Isa>(g: f32, x: f32) -> f32 {
    let z = at_most(x.abs(), 13.0);
    let (e, tail) = normal_tail::<I>(z);
    const INV_SQRT_2PI: f32 = 0.398_942_3;
    let p = if x < 0.0 { tail } else { 1.0 - tail };
    g * I::fma32(z.copysign(x) * INV_SQRT_2PI, e, p)
}

/// x^y by way of log2 and exp2 in f64.
#[inline(always)]
pub fn pow<I: Isa>(x: f32, y: f32) -> f32 {
    let a = x.abs();
    // log2 |x| = e + log2 m; m in [sqrt 1/2, sqrt 2).
    let (m, e) = split(a);
    let m = m as f64;
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut p = 0.282_924_892_722_851_78;
    for c in [
        0.319_903_992_671_850_2,
        0.412_209_293_291_115_5,
        0.577_077_941_966_033_7,
        0.961_796_694_114_695_2,
        2.885_390_081_777_849_3,
    ] {
        p = I::fma64(p, z, c);
    }
    let l = I::fma64(p, s, e as f64) * y as f64;
    // 2^l; beyond +-200 the f32 result is 0 or infinite.
    let l = if l > 200.0 { 200.0 } else { l };
    let l = if l < -200.0 { -200.0 } else { l };
    let t = l + math64::MAGIC;
    let f = l - (t - math64::MAGIC);
    let mut q = 1.324_662_202_327_659_4e-6;
    for c in [
        1.531_053_581_065_745e-5,
        1.540_348_837_750_019e-4,
        1.333_344_884_268_55e-3,
        9.618_129_125_258_025e-3,
        5.550_410_942_947_417e-2,
        0.240_226_506_958_988_14,
        0.693_147_180_545_477_1,
    ] {
        q = I::fma64(q, f, c);
    }
    let scale = f64::from_bits(t.to_bits().wrapping_sub(math64::MAGIC.to_bits()).wrapping_add(1023) << 52);
    let r = (I::fma64(q, f, 1.0) * scale) as f32;
    // Special values. An infinite or zero |x| has a meaningless logarithm here.
    let big = (a > 1.0) == (y > 0.0);
    let r = if a == 0.0 || a == f32::INFINITY || y.abs() == f32::INFINITY {
        if big {
            f32::INFINITY
        } else {
            0.0
        }
    } else {
        r
    };
    // Negative bases: only with integer exponents, odd ones keep the sign.
    let integer = y.trunc() == y;
    let half = y * 0.5;
    let odd = integer && half.trunc() != half;
    let negative = x.to_bits() >> 31 == 1;
    let r = if negative && odd { -r } else { r };
    let r = if x < 0.0 && a != f32::INFINITY && !integer { f32::NAN } else { r };
    let r = if x.is_nan() || y.is_nan() { f32::NAN } else { r };
    let unit = a == 1.0 && y.abs() == f32::INFINITY;
    if x == 1.0 || y == 0.0 || unit {
        1.0
    } else {
        r
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use crate::backend::cpu::simd::{kernel, run_base, Kernel, Op};
    use crate::backend::program::Opcode;
    use crate::base::dtype::DType;

    /// Distance of `got` from the exact `want`, in units of the last place of f32 at `want`.
    fn ulps(got: f32, want: f64) -> f64 {
        if got.is_nan() || want.is_nan() {
            return if got.is_nan() && want.is_nan() { 0.0 } else { f64::INFINITY };
        }
        let w = want as f32;
        if got == w {
            return if got == 0.0 && want == 0.0 && got.is_sign_negative() != want.is_sign_negative() {
                f64::INFINITY
            } else {
                0.0
            };
        }
        if w.is_infinite() || got.is_infinite() {
            return f64::INFINITY;
        }
        let exp = (w.abs().to_bits() >> 23).max(1) as i32;
        (got as f64 - want).abs() / 2f64.powi(exp - 150)
    }

    /// f32 numbers of every size, both signs, and the special ones.
    fn samples() -> Vec<f32> {
        let mut v: Vec<f32> = (0..=u32::MAX).step_by(104_729).map(f32::from_bits).collect();
        v.extend((-4000..4000).map(|i| i as f32 * 0.005));
        v.extend((-2000..2000).map(|i| i as f32 * 0.05));
        v.extend([0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE]);
        v.extend([1.0 - f32::EPSILON / 2.0, 1.0 + f32::EPSILON, -1.0 + f32::EPSILON / 2.0, 1e-45, -1e-45, 1e-38]);
        v
    }

    fn run(k: Kernel, a: &[f32], b: &[f32]) -> Vec<f32> {
        let mut out = vec![0f32; a.len()];
        // SAFETY: three runs of equal length.
        unsafe { k(a.len(), out.as_mut_ptr().cast(), a.as_ptr().cast(), b.as_ptr().cast(), a.as_ptr().cast()) };
        out
    }

    fn check_kernel(name: &str, k: Kernel, most: f64, f: fn(f64) -> f64) {
        let x = samples();
        let y = run(k, &x, &x);
        let mut worst = (0.0, 0.0, 0.0);
        for (x, y) in x.iter().zip(&y) {
            let u = ulps(*y, f(*x as f64));
            if u > worst.0 {
                worst = (u, *x, *y);
            }
        }
        println!("{name}: {:.2} ulp at {:e}", worst.0, worst.1);
        assert!(
            worst.0 <= most,
            "{name}: {} ulp at {:e}: {:e}, not {:e}",
            worst.0,
            worst.1,
            worst.2,
            f(worst.1 as f64)
        );
        // The last elements of a run get what they get in the middle.
        for n in [1, 3, 15, 17, 33] {
            let part = run(k, &x[..n], &x[..n]);
            assert!(part.iter().zip(&y).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}: tail of {n}");
        }
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }
    fn gelu(x: f64) -> f64 {
        x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }

    #[cfg_attr(test, test)]
    pub(crate) fn errors_in_ulps() {
        use Opcode::*;
        let check = |op, most, f| check_kernel(&format!("{op:?}"), kernel(op, DType::F32).unwrap(), most, f);
        check(Exp, 1.2, f64::exp);
        check(Exp2, 1.2, f64::exp2);
        check(Expm1, 2.0, f64::exp_m1);
        check(Log, 1.2, f64::ln);
        check(Log2, 1.5, f64::log2);
        check(Log10, 1.5, f64::log10);
        check(Log1p, 2.0, f64::ln_1p);
        check(Sin, 1.0, f64::sin);
        check(Cos, 1.0, f64::cos);
        check(Tan, 1.0, f64::tan);
        check(Tanh, 2.5, f64::tanh);
        check(Erf, 1.5, libm::erf);
        check(Erfc, 6.0, libm::erfc);
        check(Atan, 1.0, f64::atan);
        check(Asin, 1.0, f64::asin);
        check(Acos, 1.0, f64::acos);
        check(Sinh, 1.0, f64::sinh);
        check(Cosh, 1.0, f64::cosh);
        check(Asinh, 1.0, libm::asinh);
        check(Acosh, 1.0, |x| if x < 1.0 { f64::NAN } else { libm::acosh(x) });
        check(Atanh, 1.0, libm::atanh);
        check(Erfinv, 1.0, crate::backend::cpu::simd::math64::erfinv);
        check(Sqrt, 0.5, f64::sqrt);
        check(Rsqrt, 1.5, |x| 1.0 / x.sqrt());
    }

    /// Sigmoid overflows in its exponential below -88, as PyTorch's does.
    #[cfg_attr(test, test)]
    pub(crate) fn activations() {
        let x: Vec<f32> = samples().into_iter().filter(|x| x.abs() < 80.0).collect();
        for (op, most, floor, f) in [
            (Opcode::Sigmoid, 2.5, 0.0, sigmoid as fn(f64) -> f64),
            (Opcode::Silu, 3.0, 0.0, |x| x * sigmoid(x)),
            (Opcode::Gelu, 150.0, 1e-30, gelu),
            (Opcode::GeluTanh, 400.0, 1e-30, |x| x * sigmoid(1.595_769_121_605_731 * (x + 0.044715 * x * x * x))),
        ] {
            let y = run(kernel(op, DType::F32).unwrap(), &x, &x);
            for (x, y) in x.iter().zip(&y) {
                let want = f(*x as f64);
                let u = ulps(*y, want);
                assert!(u <= most || (*y as f64 - want).abs() <= floor, "{op:?}({x:e}) = {y:e}, not {want:e}: {u} ulp");
                assert!(x.abs() > 2.0 || u < 8.0, "{op:?}({x:e}) = {y:e}, not {want:e}: {u} ulp");
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn powers() {
        let special =
            [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1e10, -7.0, 16777217.0, 4194305.0, 8388607.0];
        let mut a: Vec<f32> = vec![f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        a.extend(special);
        a.extend((1..400).map(|i| i as f32 * 0.037));
        a.extend([1e-40, 3e38, 1.0000001, 0.9999999, 1e-45]);
        let (mut x, mut y) = (vec![], vec![]);
        for &p in &a {
            for &q in &a {
                x.extend([p, p]);
                y.extend([q, -q]);
            }
        }
        let got = run(kernel(Opcode::Pow, DType::F32).unwrap(), &x, &y);
        for i in 0..x.len() {
            let want = (x[i] as f64).powf(y[i] as f64);
            let u = ulps(got[i], want);
            assert!(u <= 1.0, "{:e} ^ {:e} = {:e}, not {want:e}: {u} ulp", x[i], y[i], got[i]);
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn acosh_of_f64() {
        let (x, mut y) = ([-6969.0f64, -1.0, 0.5, 1.0, 2.0, f64::NAN], [0f64; 6]);
        let p = x.as_ptr().cast();
        // SAFETY: six elements each.
        unsafe { kernel(Opcode::Acosh, DType::F64).unwrap()(6, y.as_mut_ptr().cast(), p, p, p) };
        assert!(y[..3].iter().chain(&y[5..]).all(|v| v.is_nan()), "{y:?}");
        assert_eq!(y[3], 0.0);
        assert!((y[4] - 1.3169578969248167).abs() < 1e-15);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn of_two_arguments() {
        let mut v: Vec<f32> = (0..=u32::MAX).step_by(7_919_011).map(f32::from_bits).collect();
        v.extend((-60..60).map(|i| i as f32 * 0.25));
        v.extend((1..60).map(|i| i as f32 * 0.1));
        v.extend([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, -1e-45, 3e38, 1.0000001, 0.9999999]);
        let a: Vec<f32> = v.iter().flat_map(|a| v.iter().map(|_| *a)).collect();
        let b: Vec<f32> = v.iter().flat_map(|_| v.iter().copied()).collect();
        fn remainder(a: f64, b: f64) -> f64 {
            let m = a % b;
            // In f32, as the sum is.
            if m != 0.0 && (b < 0.0) != (m < 0.0) {
                (m as f32 + b as f32) as f64
            } else {
                m
            }
        }
        for (op, most, f) in [
            (Opcode::Atan2, 1.0, f64::atan2 as fn(f64, f64) -> f64),
            (Opcode::Hypot, 1.0, f64::hypot),
            // Exact.
            (Opcode::Fmod, 0.0, |a, b| a % b),
            (Opcode::Remainder, 0.0, remainder),
            (Opcode::Copysign, 0.0, f64::copysign),
        ] {
            let got = run(kernel(op, DType::F32).unwrap(), &a, &b);
            for i in 0..a.len() {
                let want = f(a[i] as f64, b[i] as f64);
                let u = ulps(got[i], want);
                assert!(u <= most, "{op:?}({:e}, {:e}) = {:e}, not {want:e}: {u} ulp", a[i], b[i], got[i]);
            }
        }
    }

    /// The baseline, without fused multiply-add, stays close too.
    #[cfg_attr(test, test)]
    pub(crate) fn baseline() {
        use crate::backend::cpu::simd::float_ops::op;
        fn base<O: Op>() -> Kernel {
            run_base::<O, 16>
        }
        check_kernel("exp", base::<op::Exp<f32>>(), 1.5, f64::exp);
        check_kernel("expm1", base::<op::Expm1<f32>>(), 2.5, f64::exp_m1);
        check_kernel("log", base::<op::Log<f32>>(), 1.5, f64::ln);
        check_kernel("log2", base::<op::Log2<f32>>(), 2.0, f64::log2);
        check_kernel("sin", base::<op::Sin<f32>>(), 1.0, f64::sin);
        check_kernel("cos", base::<op::Cos<f32>>(), 1.0, f64::cos);
        check_kernel("tanh", base::<op::Tanh<f32>>(), 3.0, f64::tanh);
        check_kernel("erf", base::<op::Erf<f32>>(), 2.0, libm::erf);
    }
}
