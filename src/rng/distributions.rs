//! From draws to values. Each formula is PyTorch's (2.15, CPU), down to the order of operations: a fused multiply-add
//! stands where its compiler puts one, so that values agree bit for bit and not only closely.

use super::State;
use crate::base::dtype::DType;
use crate::base::no_kernel::no_kernel;

/// [0, 1) with 24 bits.
#[inline(always)]
pub fn unit_f32(x: u32) -> f32 {
    (x & 0xff_ffff) as f32 * (1.0 / (1u32 << 24) as f32)
}
/// [0, 1) with 53 bits.
#[inline(always)]
pub fn unit_f64(x: u64) -> f64 {
    (x & ((1 << 53) - 1)) as f64 * (1.0 / (1u64 << 53) as f64)
}
/// (0, 1] with 32 bits: for logarithms of Philox draws.
#[inline(always)]
pub fn open_unit_f32(x: u32) -> f32 {
    x as f32 * (1.0 / (1u64 << 32) as f32) + (1.0 / (1u64 << 33) as f32)
}

/// A range of integers, and how wide a draw it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntRange {
    low: i64,
    /// 0 stands for 2^64.
    range: u64,
}
impl IntRange {
    /// [low, high), the difference taken modulo 2^64: `high = i64::MIN` ends a range after `i64::MAX`, and equal
    /// bounds are all 64-bit integers.
    pub fn new(low: i64, high: i64) -> IntRange {
        IntRange { low, range: high.wrapping_sub(low) as u64 }
    }
    /// Whether values come from 64-bit draws: the modulo's bias would be over 5 % otherwise.
    pub fn wide(&self) -> bool {
        self.range == 0 || self.range >= 1 << 28
    }
    #[inline(always)]
    pub fn narrow_value(&self, x: u32) -> i64 {
        self.low.wrapping_add((x % self.range as u32) as i64)
    }
    #[inline(always)]
    pub fn wide_value(&self, x: u64) -> i64 {
        if self.range == 0 {
            return x as i64;
        }
        self.low.wrapping_add((x % self.range) as i64)
    }
}

/// The integers that `random_()` without bounds draws for a dtype: [0, largest value] for integers, [0, 2^digits] for
/// floats; `None` for int64 and float64, which take 64-bit draws modulo the second number.
pub fn full_range(dtype: DType) -> (bool, u64) {
    match dtype {
        DType::Bool => (false, 2),
        DType::U8 => (false, 1 << 8),
        DType::I8 => (false, 1 << 7),
        DType::I16 => (false, 1 << 15),
        DType::I32 => (false, 1 << 31),
        DType::I64 => (true, 1 << 63),
        DType::F16 => (false, (1 << 11) + 1),
        DType::BF16 => (false, (1 << 8) + 1),
        DType::F32 => (false, (1 << 24) + 1),
        DType::F64 => (true, (1 << 53) + 1),
        DType::C64 | DType::C128 => no_kernel(dtype.scalar_name()),
    }
}

impl State {
    /// A standard normal in double precision; every second call returns the cached other half of a Box-Muller pair.
    pub fn normal(&mut self) -> f64 {
        if let Some(v) = self.next_f64.take() {
            return v;
        }
        let u1 = unit_f64(self.random64());
        let u2 = unit_f64(self.random64());
        let r = (-2.0 * (-u2).ln_1p()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * u1).sin_cos();
        self.next_f64 = Some(r * sin);
        r * cos
    }
}

/// `u` in [0, 1) to an exponential of rate `lambda`.
#[inline]
pub fn exponential(u: f64, lambda: f64) -> f64 {
    -1.0 / lambda * (-u).ln_1p()
}
/// `u` in [0, 1) to a Cauchy.
#[inline]
pub fn cauchy(u: f64, median: f64, sigma: f64) -> f64 {
    sigma.mul_add((std::f64::consts::PI * (u - 0.5)).tan(), median)
}
/// log |gamma(x)|
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}
/// `u` in [0, 1) to the number of trials up to the first success.
#[inline]
pub fn geometric(u: f64, p: f64) -> f64 {
    (u.ln() / (-p).ln_1p()).ceil()
}

/// Natural logarithm of a positive normal float (Cephes' polynomial, as vectorised code commonly evaluates it).
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn log_f32(x: f32) -> f32 {
    const P: [f32; 9] = [
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ];
    let bits = x.max(f32::MIN_POSITIVE).to_bits();
    let m = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    let e = ((bits >> 23) as i32 - 126) as f32;
    let low = m < std::f32::consts::FRAC_1_SQRT_2;
    let e = e - if low { 1.0 } else { 0.0 };
    let x = (m - 1.0) + if low { m } else { 0.0 };
    let z = x * x;
    let mut y = P[0];
    for &p in &P[1..] {
        y = y.mul_add(x, p);
    }
    y = (y * x).mul_add(z, e * -2.12194440e-4);
    y = z.mul_add(-0.5, y);
    e.mul_add(0.693359375, x + y)
}

/// Sine and cosine of a float in [0, 2 pi] (Cephes' polynomials).
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn sin_cos_f32(x: f32) -> (f32, f32) {
    let octant = ((x * 1.27323954473516) as i32 + 1) & !1;
    let y = octant as f32;
    let x = y.mul_add(-0.78515625, x);
    let x = y.mul_add(-2.4187564849853515625e-4, x);
    let x = y.mul_add(-3.77489497744594108e-8, x);
    let z = x * x;
    let c = 2.443315711809948e-5f32.mul_add(z, -1.388731625493765e-3).mul_add(z, 4.166664568298827e-2);
    let c = (c * z).mul_add(z, -(z * 0.5)) + 1.0;
    let s = (-1.9515295891e-4f32).mul_add(z, 8.3321608736e-3).mul_add(z, -1.6666654611e-1);
    let s = (s * z).mul_add(x, x);
    let swap = octant & 2 != 0;
    let (sin, cos) = if swap { (c, s) } else { (s, c) };
    let sin_sign = ((octant & 4) as u32) << 29;
    let cos_sign = ((!(octant - 2) & 4) as u32) << 29;
    (f32::from_bits(sin.to_bits() ^ sin_sign), f32::from_bits(cos.to_bits() ^ cos_sign))
}

/// Turns 16 uniforms into 16 normals: radii from the first eight, angles from the last eight; cosines, then sines.
#[inline(always)]
pub fn box_muller_f32(data: &mut [f32; 16], mean: f32, std: f32) {
    let (a, b) = data.split_at_mut(8);
    for (a, b) in a.iter_mut().zip(b) {
        let radius = (-2.0 * log_f32(1.0 - *a)).sqrt();
        let (sin, cos) = sin_cos_f32(std::f32::consts::TAU * *b);
        *a = (radius * cos).mul_add(std, mean);
        *b = (radius * sin).mul_add(std, mean);
    }
}
/// The same in double precision.
pub fn box_muller_f64(data: &mut [f64; 16], mean: f64, std: f64) {
    let (a, b) = data.split_at_mut(8);
    for (a, b) in a.iter_mut().zip(b) {
        let radius = (-2.0 * (1.0 - *a).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * *b).sin_cos();
        *a = (radius * cos).mul_add(std, mean);
        *b = (radius * sin).mul_add(std, mean);
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn polynomials_are_close() {
        for i in 0..100_000u32 {
            let u = (i as f32 + 1.0) / 100_000.0;
            let (l, want) = (log_f32(u) as f64, (u as f64).ln());
            assert!((l - want).abs() <= 2e-7 * want.abs().max(1e-3), "log {u}: {l} {want}");
            let t = std::f32::consts::TAU * u;
            let (s, c) = sin_cos_f32(t);
            assert!((s as f64 - (t as f64).sin()).abs() < 3e-7, "sin {t}");
            assert!((c as f64 - (t as f64).cos()).abs() < 3e-7, "cos {t}");
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn integer_ranges() {
        let r = IntRange::new(-5, 5);
        assert!(!r.wide());
        assert_eq!(r.narrow_value(29), 4);
        assert!(IntRange::new(0, 1 << 28).wide() && !IntRange::new(0, (1 << 28) - 1).wide());
        let all = IntRange::new(i64::MIN, i64::MIN);
        assert!(all.wide());
        assert_eq!(all.wide_value(u64::MAX), -1);
        // [0, i64::MAX] has 2^63 members.
        let half = IntRange::new(0, i64::MIN);
        assert_eq!(half.wide_value(u64::MAX), i64::MAX);
        assert_eq!(half.wide_value(1 << 63), 0);
    }
}
