//! Functions of several f64 that take loops: zeta, the incomplete gamma functions, orthogonal polynomials. float32 is
//! computed here too, and rounded.

use std::f64::consts::TAU;

/// Hurwitz's zeta function, the sum of (q + k)^-s; PyTorch's values at the poles and where there is none.
pub fn zeta(s: f64, q: f64) -> f64 {
    if s < 1.0 {
        return f64::NAN;
    }
    if s == 1.0 || (q <= 0.0 && q == q.floor()) {
        return f64::INFINITY;
    }
    if s.is_nan() || q.is_nan() {
        return f64::NAN;
    }
    if q > 0.0 {
        return match (s.is_infinite(), q.is_infinite()) {
            (_, true) => 0.0,
            (true, _) if q > 1.0 => 0.0,
            (true, _) if q == 1.0 => 1.0,
            (true, _) => f64::INFINITY,
            _ => zeta_above(s, q),
        };
    }
    if s != s.floor() || s.is_infinite() {
        return f64::NAN;
    }
    // The negative terms are those of two sums over positive ones.
    let r = q - q.floor();
    let sign = if s % 2.0 == 0.0 { 1.0 } else { -1.0 };
    zeta_above(s, r) + sign * (zeta_above(s, 1.0 - r) - zeta_above(s, 1.0 - q))
}

/// Of q above 0: ten terms, then Euler and Maclaurin's formula.
fn zeta_above(s: f64, q: f64) -> f64 {
    // Bernoulli's numbers over factorials.
    const B: [f64; 10] = [
        8.333_333_333_333_333e-2,
        -1.388_888_888_888_889e-3,
        3.306_878_306_878_307e-5,
        -8.267_195_767_195_767e-7,
        2.087_675_698_786_81e-8,
        -5.284_190_138_687_493e-10,
        1.338_253_653_068_468e-11,
        -3.389_680_296_322_583e-13,
        8.586_062_056_277_845e-15,
        -2.174_868_698_558_062e-16,
    ];
    let mut sum: f64 = (0..10).map(|k| (q + k as f64).powf(-s)).sum();
    let a = q + 10.0;
    let t = a.powf(-s);
    sum += t * a / (s - 1.0) + 0.5 * t;
    let mut f = s * t / a;
    for (k, b) in B.iter().enumerate() {
        if f == 0.0 {
            break;
        }
        sum += b * f;
        let k = 2.0 * k as f64;
        f *= (s + k + 1.0) * (s + k + 2.0) / (a * a);
    }
    sum
}

/// The regularised incomplete gamma function, upper or lower.
pub fn incomplete_gamma(a: f64, x: f64, upper: bool) -> f64 {
    if a < 0.0 || x < 0.0 || (a == 0.0 && (x == 0.0 || x.is_nan())) || (a.is_infinite() && x.is_infinite()) {
        return f64::NAN;
    }
    if x == 0.0 || a.is_infinite() {
        return upper as u8 as f64;
    }
    if a == 0.0 || x.is_infinite() {
        return !upper as u8 as f64;
    }
    if a.is_nan() || x.is_nan() {
        return f64::NAN;
    }
    let m = (x - a) / a;
    // log(x / a) - (x - a) / a
    let t = if !(-0.5..=1.0).contains(&m) { (x / a).ln() - m } else { m.ln_1p() - m };
    if a > 1e5 {
        // Temme's expansion, of which one term is enough here.
        let eta = (-2.0 * t).sqrt().copysign(m);
        const C: [f64; 5] = [-1.0 / 3.0, 1.0 / 12.0, -2.0 / 135.0, 1.0 / 864.0, 1.0 / 2835.0];
        let g = if eta.abs() < 0.1 { C.iter().rev().fold(0.0, |y, c| y * eta + c) } else { 1.0 / m - 1.0 / eta };
        let f = (a * t).exp() / (TAU * a).sqrt() * g;
        let e = eta * (0.5 * a).sqrt();
        return if upper { 0.5 * libm::erfc(e) + f } else { 0.5 * libm::erfc(-e) - f };
    }
    // x^a e^-x / gamma(a), by Stirling's series where that is exact.
    let p = if a > 20.0 {
        let g = 1.0 / (a * a);
        let rest = (1.0 / 12.0 - g * (1.0 / 360.0 - g * (1.0 / 1260.0 - g / 1680.0))) / a;
        (a / TAU).sqrt() * (a * t - rest).exp()
    } else {
        (a * x.ln() - x - libm::lgamma(a)).exp()
    };
    const EPS: f64 = 1.1e-16;
    let low = x <= a + 1.0;
    let f = if low {
        let (mut t, mut f) = (1.0 / a, 1.0 / a);
        for k in 1..5000 {
            t *= x / (a + k as f64);
            f += t;
            if t < f * EPS {
                break;
            }
        }
        f * p
    } else {
        // Lentz's way through the continued fraction.
        let away = |v: f64| if v.abs() < 1e-30 { 1e-30 } else { v };
        let (mut e, mut g) = (x + 1.0 - a, 1e30);
        let mut d = 1.0 / e;
        let mut f = d;
        for k in 1..5000 {
            let k = k as f64;
            let t = -k * (k - a);
            e += 2.0;
            d = 1.0 / away(t * d + e);
            g = away(e + t / g);
            f *= d * g;
            if (d * g - 1.0).abs() < 2.0 * EPS {
                break;
            }
        }
        f * p
    };
    if low == upper {
        1.0 - f
    } else {
        f
    }
}

/// An orthogonal polynomial of degree `degree`; `kind` as the opcode has it. Degrees above 2^20 of those that need the
/// recurrence are NaN, since it would take too long.
pub fn polynomial(x: f64, degree: f64, kind: f64) -> f64 {
    let (n, mut x, mut kind) = (degree.trunc(), x, kind as i32);
    if n.is_nan() {
        return n;
    }
    if n < 0.0 {
        return 0.0;
    }
    if (4..8).contains(&kind) {
        (x, kind) = (2.0 * x - 1.0, kind - 4);
    }
    let even = if n % 2.0 == 0.0 { 1.0 } else { -1.0 };
    if kind < 4 && x.abs() == 1.0 {
        let size = match (kind, x > 0.0) {
            (1, _) => n + 1.0,
            (2, false) | (3, true) => 2.0 * n + 1.0,
            _ => 1.0,
        };
        return if x > 0.0 { size } else { size * even };
    }
    if kind < 4 && x.abs() < 1.0 && n > if kind == 0 { 6.0 } else { 8.0 } {
        let t = x.acos();
        return match kind {
            0 => (n * t).cos(),
            1 => ((n + 1.0) * t).sin() / t.sin(),
            2 => ((n + 0.5) * t).cos() / (0.5 * t).cos(),
            _ => ((n + 0.5) * t).sin() / (0.5 * t).sin(),
        };
    }
    if kind == 10 && x == 0.0 {
        return 1.0;
    }
    if kind == 11 && x.abs() == 1.0 {
        return if x > 0.0 { 1.0 } else { even };
    }
    if n == 0.0 {
        return 1.0;
    }
    if n > (1 << 20) as f64 {
        return f64::NAN;
    }
    let (mut p, mut q) = (
        1.0,
        match kind {
            0 | 9 | 11 => x,
            2 => 2.0 * x - 1.0,
            3 => 2.0 * x + 1.0,
            10 => 1.0 - x,
            _ => 2.0 * x,
        },
    );
    for k in 1..n as u32 {
        if q.is_nan() {
            break;
        }
        let k = k as f64;
        let r = match kind {
            8 => 2.0 * x * q - 2.0 * k * p,
            9 => x * q - k * p,
            10 => ((2.0 * k + 1.0 - x) * q - k * p) / (k + 1.0),
            11 => ((2.0 * k + 1.0) * x * q - k * p) / (k + 1.0),
            _ => 2.0 * x * q - p,
        };
        (p, q) = (q, r);
    }
    q
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    /// Values of mpmath.
    #[cfg_attr(test, test)]
    pub(crate) fn known_values() {
        let close = |a: f64, b: f64| assert!((a - b).abs() <= 2e-13 * b.abs(), "{a} instead of {b}");
        close(zeta(2.0, 1.0), 1.644_934_066_848_226_4);
        close(zeta(3.0, -1.5), 0.1181020258208637);
        close(zeta(50.0, 100.25), 2.283640049381677e-100);
        for (a, x, lower) in [
            (0.5, 0.25, 0.5204998778130465),
            (3.0, 10.0, 0.9972306042844884),
            (30.0, 28.0, 0.3773896943143976),
            (1000.0, 1010.0, 0.6276789447369947),
            (50000.0, 49800.0, 0.18562581119914362),
            (200000.0, 200300.0, 0.7489631617051791),
            (1000000.0, 1000000.0, 0.5001329807608725),
        ] {
            // The exponent of large numbers keeps fewer places.
            let places = if a > 1e5 { 2e-11 } else { 2e-13 };
            let got = incomplete_gamma(a, x, false);
            assert!((got - lower).abs() <= places * lower, "{got} instead of {lower}");
            assert!((incomplete_gamma(a, x, true) + lower - 1.0).abs() < places.max(1e-12));
        }
        close(polynomial(0.3, 7.0, 11.0), -0.22407298125);
        close(polynomial(1.5, 5.0, 8.0), -117.0);
        close(polynomial(2.5, 4.0, 10.0), 0.9609375);
        close(polynomial(0.3, 12.0, 2.0), -1.231673421824);
    }
}
