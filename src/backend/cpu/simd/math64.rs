//! Functions of f64: a vectorisable exp, and what neither the standard library nor libm has.

use super::Isa;
use std::f64::consts::{LOG2_E, PI};

/// 1.5 * 2^52: adding it rounds to an integer and leaves that in the low bits.
pub const MAGIC: f64 = 6_755_399_441_055_744.0;

/// e^x without branches, so that loops over it become vector code; the error is about 1 ulp.
#[inline(always)]
pub fn exp<I: Isa>(x: f64) -> f64 {
    // Comparisons are false for NaN, which stays.
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -746.0 { -746.0 } else { x };
    let t = I::fma64(x, LOG2_E, MAGIC);
    let n = t - MAGIC;
    // ln 2 in two parts; products of the first with n are exact.
    let r = I::fma64(n, -1.428_606_820_309_417_2e-6, I::fma64(n, -0.693_145_751_953_125, x));
    // Taylor's series: |r| <= 0.35, so the first term left out is below 1e-17.
    let mut p = 1.0 / 6_227_020_800.0;
    for c in [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0] {
        p = I::fma64(p, r, 1.0 / c);
    }
    let y = I::fma64(p * r, r, r) + 1.0;
    // 2^n in two steps, so that results may be subnormal.
    let n = t.to_bits().wrapping_sub(MAGIC.to_bits()) as i64;
    let h = n >> 1;
    let power = |n: i64| f64::from_bits((n.wrapping_add(1023) as u64) << 52);
    y * power(h) * power(n.wrapping_sub(h))
}

/// The logarithmic derivative of the gamma function; PyTorch's values at the poles (-inf at 0, inf at -0, NaN at
/// negative integers).
pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        if x == x.trunc() {
            return f64::NAN;
        }
        // Reflection; the argument of tan is reduced first.
        return digamma(1.0 - x) - PI / (PI * x.fract()).tan();
    }
    // Recurrence up to where the asymptotic series holds.
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    // Bernoulli numbers B_2k / 2k.
    const B: [f64; 7] =
        [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0, 1.0 / 12.0];
    let z = 1.0 / (x * x);
    let series = if x < 1e17 { z * B.iter().rev().fold(0.0, |p, b| p * z + b) } else { 0.0 };
    sum + x.ln() - 0.5 / x - series
}

/// The inverse of erf: a starting value from the asymptotic form, then Halley steps.
pub fn erfinv(y: f64) -> f64 {
    let a = y.abs();
    if a.is_nan() || a > 1.0 {
        return f64::NAN;
    }
    if a == 1.0 {
        return f64::INFINITY.copysign(y);
    }
    if a == 0.0 {
        return y;
    }
    // Winitzki's approximation, good to 2e-3.
    const K: f64 = 0.147;
    let l = ((1.0 - a) * (1.0 + a)).ln();
    let t = 2.0 / (PI * K) + 0.5 * l;
    let mut x = ((t * t - l / K).sqrt() - t).sqrt();
    if a < 1e-4 {
        x = a * 0.5 * PI.sqrt();
    }
    for _ in 0..3 {
        // In the tail the complement keeps its digits.
        let e = if a > 0.5 { (1.0 - a) - libm::erfc(x) } else { libm::erf(x) - a };
        let u = e / (std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp());
        x -= u / (1.0 + x * u);
    }
    x.copysign(y)
}

/// The next f64 after `a` towards `b`.
pub fn nextafter(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        b
    } else if a == 0.0 {
        f64::from_bits(1).copysign(b)
    } else if (a < b) == (a > 0.0) {
        f64::from_bits(a.to_bits() + 1)
    } else {
        f64::from_bits(a.to_bits() - 1)
    }
}

/// The next f32 after `a` towards `b`.
pub fn nextafter32(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::NAN
    } else if a == b {
        b
    } else if a == 0.0 {
        f32::from_bits(1).copysign(b)
    } else if (a < b) == (a > 0.0) {
        f32::from_bits(a.to_bits() + 1)
    } else {
        f32::from_bits(a.to_bits() - 1)
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn digamma_values() {
        // Reference values from mpmath.
        for (x, want) in [
            (1.0, -0.577_215_664_901_532_9),
            (0.5, -1.963_510_026_021_423_5),
            (10.0, 2.251_752_589_066_721),
            (-1.5, 0.703_156_640_645_243_2),
            (1e-3, -1_000.575_571_931_810_3),
            (1e20, 46.051_701_859_880_914),
        ] {
            assert!((digamma(x) - want).abs() <= 1e-13 * want.abs().max(1.0), "{x}: {}", digamma(x));
        }
        assert_eq!(digamma(0.0), f64::NEG_INFINITY);
        assert_eq!(digamma(-0.0), f64::INFINITY);
        assert!(digamma(-3.0).is_nan());
        assert_eq!(digamma(f64::INFINITY), f64::INFINITY);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn erfinv_inverts() {
        for i in -999..1000 {
            let y = i as f64 / 1000.0;
            let back = libm::erf(erfinv(y));
            assert!((back - y).abs() < 4e-16, "{y}: {back}");
        }
        for k in 2..15 {
            let y = 1.0 - 10f64.powi(-k);
            let back = libm::erfc(erfinv(y));
            assert!((back / (1.0 - y) - 1.0).abs() < 1e-13, "{y}");
        }
        assert!((erfinv(1e-9) / (1e-9 * 0.5 * PI.sqrt()) - 1.0).abs() < 1e-15);
        assert_eq!(erfinv(-1.0), f64::NEG_INFINITY);
        assert!(erfinv(1.1).is_nan());
    }
}
