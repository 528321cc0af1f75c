//! Samples of distributions that reject: Poisson, binomial, gamma, Dirichlet, and how gamma and Dirichlet samples move
//! with their parameters.
//!
//! The number of draws depends on the values drawn, so that they come one after the other, in the host's memory whatever
//! the device. On the CPU a seed gives PyTorch's numbers.

use super::*;
use crate::autograd::record;
use crate::backend::memory;
use crate::base::dtype::Element;
use crate::base::layout::broadcast_shapes;
use crate::rng::distributions::{ln_gamma, unit_f64};
use crate::rng::{default_generator, Algorithm, Generator, State};
use crate::{bail, dispatch, ensure, grads};

type Gen<'a> = Option<&'a Generator>;

/// Where the draws come from: the generator's own numbers, or those of a device.
struct Draws<'a> {
    state: &'a mut State,
    philox: Option<crate::rng::philox::PhiloxCall>,
    at: u64,
}
impl Draws<'_> {
    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        match &self.philox {
            None => unit_f64(self.state.random64()),
            Some(call) => {
                self.at += 1;
                unit_f64(call.u64(self.at - 1))
            }
        }
    }
    fn normal(&mut self) -> f64 {
        match self.philox {
            None => self.state.normal(),
            Some(_) => {
                let (u, v) = (self.uniform(), self.uniform());
                (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
            }
        }
    }
}
/// Samples for each element of `params`, which are broadcast: `f` gets their values.
fn sample<const N: usize>(
    params: [&Tensor; N],
    dtype: DType,
    generator: Gen,
    f: impl Fn(&mut Draws, [f64; N]) -> Result<f64>,
) -> Result<Tensor> {
    let mut shape = params[0].shape();
    for p in &params[1..] {
        pointwise::same_device(params[0], p)?;
        shape = broadcast_shapes(&shape, &p.shape())?;
    }
    let device = params[0].device();
    let mut values: Vec<Vec<f64>> = memory::with_capacity(N)?;
    for p in params {
        values.push(expand(&detach(p)?, &shape)?.to_f64_vec()?);
    }
    let n = values[0].len();
    let generator = generator.unwrap_or_else(|| default_generator());
    let mut state = generator.lock();
    let own = device.is_cpu() && state.algorithm() == Algorithm::Mt19937;
    let philox = if own || n == 0 { None } else { Some(state.next_philox()) };
    let mut draws = Draws { state: &mut state, philox, at: 0 };
    let mut out = memory::with_capacity(n)?;
    for i in 0..n {
        out.push(f(&mut draws, std::array::from_fn(|k| values[k][i]))?);
    }
    drop(state);
    let out = Tensor::from_slice(&out, &shape)?;
    to_device(&cast(&out, dtype)?, device)
}
/// Elementwise on the host.
fn host<const N: usize>(params: [&Tensor; N], f: impl Fn([f64; N]) -> f64) -> Result<Tensor> {
    let (dtype, device) = (params[0].dtype(), params[0].device());
    let mut shape = params[0].shape();
    for p in &params[1..] {
        pointwise::same_device(params[0], p)?;
        shape = broadcast_shapes(&shape, &p.shape())?;
    }
    let mut values: Vec<Vec<f64>> = memory::with_capacity(N)?;
    for p in params {
        values.push(expand(&detach(p)?, &shape)?.to_f64_vec()?);
    }
    let out: Vec<f64> = memory::collect((0..values[0].len()).map(|i| f(std::array::from_fn(|k| values[k][i]))))?;
    to_device(&cast(&Tensor::from_slice(&out, &shape)?, dtype)?, device)
}
fn float_only(t: &Tensor, op: &str) -> Result<()> {
    ensure!(t.dtype().is_float(), NotImplemented, "\"{op}\" not implemented for '{}'", t.dtype().scalar_name());
    Ok(())
}
/// PyTorch has these of float and double alone.
fn full_only(t: &Tensor, op: &str) -> Result<()> {
    let full = matches!(t.dtype(), DType::F32 | DType::F64);
    ensure!(full, NotImplemented, "\"{op}\" not implemented for '{}'", t.dtype().scalar_name());
    Ok(())
}
/// The value as its dtype has it.
fn rounded(v: f64, dtype: DType) -> f64 {
    dispatch!(dtype, T, T::from_f64(v).to_f64())
}
fn zero_gradient(name: &'static str, inputs: &[&Tensor], out: Tensor) -> Result<Tensor> {
    let n = inputs.len();
    record(name, inputs, out, |_, _| {
        move |_, g| {
            let zero = zeros_like(g, None, None)?;
            Ok((0..n).map(|_| Some(zero.clone())).collect())
        }
    })
}

// ---- Poisson: Hoermann's transformed rejection (PTRS, 1993); products of uniforms for small rates ----

/// The largest rate: beyond it a sample is no exact double.
const MOST: f64 = 9.2e18;

fn draw_poisson(d: &mut Draws, rate: f64) -> Result<f64> {
    ensure!(rate >= 0.0, Runtime, "invalid Poisson rate, expected rate to be non-negative");
    ensure!(
        rate <= MOST,
        Runtime,
        "invalid Poisson rate, expected rate to be finite and at most {MOST:e}, but got {rate}"
    );
    if rate == 0.0 {
        return Ok(0.0);
    }
    if rate < 10.0 {
        let (floor, mut product, mut k) = ((-rate).exp(), 1.0, 0.0);
        loop {
            product *= d.uniform();
            if product <= floor {
                return Ok(k);
            }
            k += 1.0;
        }
    }
    let (root, log) = (rate.sqrt(), rate.ln());
    let b = 0.931 + 2.53 * root;
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let squeeze = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let u = d.uniform() - 0.5;
        let v = d.uniform();
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + rate + 0.43).floor();
        if us >= 0.07 && v <= squeeze {
            return Ok(k);
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let left = v.ln() + inverse_alpha.ln() - (a / (us * us) + b).ln();
        if left <= -rate + k * log - ln_gamma(k + 1.0) {
            return Ok(k);
        }
    }
}
/// Poisson numbers of the rates in self.
pub fn poisson(rates: &Tensor, generator: Gen) -> Result<Tensor> {
    float_only(rates, "poisson_cpu")?;
    let out = sample([rates], rates.dtype(), generator, |d, [rate]| draw_poisson(d, rate))?;
    zero_gradient("PoissonBackward0", &[rates], out)
}

// ---- binomial: Hoermann's BTRS (1993); sums of geometric numbers for small means ----

/// What Stirling's approximation of log k! leaves.
fn stirling_tail(k: f64) -> f64 {
    const TAIL: [f64; 10] = [
        0.0810614667953272,
        0.0413406959554092,
        0.0276779256849983,
        0.02079067210376509,
        0.0166446911898211,
        0.0138761288230707,
        0.0118967099458917,
        0.0104112652619720,
        0.00925546218271273,
        0.00833056343336287,
    ];
    if k <= 9.0 {
        return TAIL[k.max(0.0) as usize];
    }
    let square = (k + 1.0) * (k + 1.0);
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / (k + 1.0)
}
fn draw_binomial(d: &mut Draws, count: f64, p: f64) -> f64 {
    if count <= 0.0 || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return count;
    }
    if p.is_nan() || count.is_nan() {
        return f64::NAN;
    }
    if p > 0.5 {
        return count - draw_binomial_low(d, count, 1.0 - p);
    }
    draw_binomial_low(d, count, p)
}
fn draw_binomial_low(d: &mut Draws, count: f64, p: f64) -> f64 {
    if count * p < 10.0 {
        let log = (-p).ln_1p();
        let (mut sum, mut k) = (0.0, 0.0);
        loop {
            sum += (d.uniform().ln() / log).ceil();
            if sum > count {
                return k;
            }
            k += 1.0;
        }
    }
    let deviation = (count * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * deviation;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let c = count * p + 0.5;
    let squeeze = 0.92 - 4.2 / b;
    let odds = p / (1.0 - p);
    let alpha = (2.83 + 5.1 / b) * deviation;
    let m = ((count + 1.0) * p).floor();
    loop {
        let u = d.uniform() - 0.5;
        let v = d.uniform();
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + c).floor();
        if us >= 0.07 && v <= squeeze {
            return k;
        }
        if k < 0.0 || k > count {
            continue;
        }
        let v = (v * alpha / (a / (us * us) + b)).ln();
        let bound = (m + 0.5) * ((m + 1.0) / (odds * (count - m + 1.0))).ln()
            + (count + 1.0) * ((count - m + 1.0) / (count - k + 1.0)).ln()
            + (k + 0.5) * (odds * (count - k + 1.0) / (k + 1.0)).ln()
            + stirling_tail(m)
            + stirling_tail(count - m)
            - stirling_tail(k)
            - stirling_tail(count - k);
        if v <= bound {
            return k;
        }
    }
}
/// Binomial numbers of count trials of probability prob.
pub fn binomial(count: &Tensor, prob: &Tensor, generator: Gen) -> Result<Tensor> {
    full_only(count, "binomial_cpu")?;
    ensure!(
        count.dtype() == prob.dtype(),
        Runtime,
        "Found dtype {} but expected {}",
        prob.dtype().scalar_name(),
        count.dtype().scalar_name()
    );
    let dtype = count.dtype();
    let out = sample([count, prob], dtype, generator, |d, [n, p]| {
        ensure!(n < f64::INFINITY, Runtime, "binomial: expected finite counts, but got {n}");
        Ok(draw_binomial(d, n, p))
    })?;
    zero_gradient("BinomialBackward0", &[count, prob], out)
}

// ---- gamma: Marsaglia and Tsang (2000) ----

/// `single`: the shape is a float, and so are some of PyTorch's intermediate values.
fn draw_gamma(d: &mut Draws, shape: f64, single: bool) -> f64 {
    // PyTorch's constants are floats.
    const THIRD: f64 = (1.0f32 / 3.0) as f64;
    const SQUEEZE: f64 = 0.0331f32 as f64;
    let (mut alpha, mut scale) = (shape, 1.0);
    if alpha.is_nan() || alpha < 0.0 {
        return f64::NAN;
    }
    if alpha < 1.0 {
        if alpha == 0.0 {
            return 0.0;
        }
        let power = if single { (1.0f32 / alpha as f32) as f64 } else { 1.0 / alpha };
        scale = (1.0 - d.uniform()).powf(power);
        alpha = if single { (alpha as f32 + 1.0) as f64 } else { alpha + 1.0 };
    }
    let m = if single { (alpha as f32 - 1.0f32 / 3.0) as f64 } else { alpha - THIRD };
    let c = 1.0 / (9.0 * m).sqrt();
    loop {
        let (x, y) = loop {
            let x = d.normal();
            let y = 1.0 + c * x;
            if y > 0.0 {
                break (x, y);
            }
            if y.is_nan() {
                return f64::NAN;
            }
        };
        let v = y * y * y;
        let u = 1.0 - d.uniform();
        let xx = x * x;
        if u < 1.0 - SQUEEZE * xx * xx || u.ln() < 0.5 * xx + m * (1.0 - v + v.ln()) {
            return scale * m * v;
        }
    }
}
/// The smallest normal number of a dtype.
fn tiny(dtype: DType) -> f64 {
    if dtype == DType::F64 {
        f64::MIN_POSITIVE
    } else {
        f32::MIN_POSITIVE as f64
    }
}
/// Gamma numbers of the shapes in self and scale 1.
pub fn standard_gamma(alpha: &Tensor, generator: Gen) -> Result<Tensor> {
    full_only(alpha, "gamma_cpu")?;
    let dtype = alpha.dtype();
    let out = sample([alpha], dtype, generator, |d, [a]| {
        Ok(rounded(draw_gamma(d, a, dtype != DType::F64), dtype).max(tiny(dtype)))
    })?;
    record("StandardGammaBackward0", &[alpha], out, |s, out| {
        let (alpha, x) = (s.save(alpha), s.save_output(out, 0));
        move |c, g| Ok(grads![Some(mul(g, &standard_gamma_grad(&alpha.get(c)?, &x.get(c)?)?)?)])
    })
}
/// Rows of the Dirichlet distribution of the concentrations along the last dimension.
pub fn sample_dirichlet(alpha: &Tensor, generator: Gen) -> Result<Tensor> {
    full_only(alpha, "dirichlet")?;
    let dtype = alpha.dtype();
    let out = autograd::no_grad(|| {
        let gammas = sample([alpha], DType::F64, generator, |d, [a]| Ok(draw_gamma(d, a, false)))?;
        let rows = div(&gammas, &sum_dim(&gammas, Some(&[-1]), true, None)?)?;
        let below_one = 1.0 - if dtype == DType::F64 { f64::EPSILON } else { f32::EPSILON as f64 } / 2.0;
        clamp(&cast(&rows, dtype)?, Some(Scalar::Float(tiny(dtype))), Some(Scalar::Float(below_one)))
    })?;
    record("SampleDirichletBackward0", &[alpha], out, |s, out| {
        let (alpha, x) = (s.save(alpha), s.save_output(out, 0));
        move |c, g| {
            let (alpha, x) = (alpha.get(c)?, x.get(c)?);
            let total = expand(&sum_dim(&alpha, Some(&[-1]), true, None)?, &alpha.shape())?;
            let slope = dirichlet_grad(&x, &alpha, &total)?;
            let mean = sum_dim(&mul(&x, g)?, Some(&[-1]), true, None)?;
            Ok(grads![Some(mul(&slope, &sub(g, &mean, Scalar::Int(1))?)?)])
        }
    })
}

// ---- implicit derivatives: of the sample at a fixed value of its distribution function ----

/// The logarithmic derivative of the gamma function of a positive number.
fn psi(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    const B: [f64; 6] = [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0];
    sum + x.ln() - 0.5 / x - z * B.iter().rev().fold(0.0, |p, b| p * z + b)
}
/// dx / da of x ~ gamma(a): -(dP / da) / density.
fn gamma_slope(a: f64, x: f64) -> f64 {
    if !(a > 0.0 && x >= 0.0) || a.is_infinite() || x.is_infinite() {
        return f64::NAN;
    }
    if x == 0.0 {
        return 0.0;
    }
    if a > 1e6 {
        // From Cornish and Fisher's expansion x = a + z sqrt a + (z^2 - 1) / 3 + ..
        let root = a.sqrt();
        let mut z = (x - a) / root;
        for _ in 0..3 {
            z = (x - a - (z * z - 1.0) / 3.0) / root;
        }
        return 1.0 + z / (2.0 * root) - (z * z * z - 7.0 * z) / (72.0 * a * root);
    }
    let log = x.ln();
    if x <= a + 1.0 {
        // The series of P by powers of x, each term's derivative with it.
        let (mut t, mut p) = (x / a, psi(a + 1.0));
        let mut sum = t * (log - p);
        let mut size = sum.abs();
        for n in 1..20_000 {
            let k = a + n as f64;
            t *= x / k;
            p += 1.0 / k;
            let term = t * (log - p);
            sum += term;
            size = size.max(sum.abs());
            if term.abs() < 1e-17 * size && x < k {
                break;
            }
        }
        return -sum;
    }
    // The continued fraction of Q by Lentz's way, and its derivative by a: each value with its slope.
    let (mut e, mut de) = (x + 1.0 - a, -1.0);
    let (mut g, mut dg) = (1e300, 0.0);
    let mut d = 1.0 / e;
    let mut dd = -de * d * d;
    let (mut h, mut dh) = (d, dd);
    for n in 1..20_000 {
        let n = n as f64;
        let (t, dt) = (-n * (n - a), n);
        e += 2.0;
        let (v, dv) = (t * d + e, dt * d + t * dd + de);
        let (w, dw) = (e + t / g, de + dt / g - t * dg / (g * g));
        d = 1.0 / v;
        dd = -dv * d * d;
        (g, dg) = (w, dw);
        let (f, df) = (d * g, dd * g + d * dg);
        (h, dh) = (h * f, dh * f + h * df);
        if (f - 1.0).abs() < 2e-16 && df.abs() < 1e-15 {
            break;
        }
        de = -1.0;
    }
    x * (h * (log - psi(a)) + dh)
}
/// dx / da of x ~ beta(a, b), by 1 - x.
fn beta_slope(x: f64, a: f64, b: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && x > 0.0 && x < 1.0 && (a + b).is_finite()) {
        return f64::NAN;
    }
    // I_x(a, b) = density x (1 - x) / a times a series, or 1 - I_(1 - x)(b, a).
    let lower = x <= a / (a + b);
    let (p, y) = if lower { (a, x) } else { (b, 1.0 - x) };
    let (mut t, mut rate, mut sum, mut slope) = (1.0, 0.0, 1.0, 0.0);
    for n in 0..1_000_000 {
        let n = n as f64;
        t *= y * (a + b + n) / (p + 1.0 + n);
        rate += 1.0 / (a + b + n) - if lower { 1.0 / (p + 1.0 + n) } else { 0.0 };
        sum += t;
        slope += t * rate;
        if t < 1e-17 * sum && (t * rate).abs() <= 1e-17 * slope.abs() {
            break;
        }
    }
    let (scale, dscale) = (y * (1.0 - y) / p, if lower { -y * (1.0 - y) / (p * p) } else { 0.0 });
    let log = x.ln() - psi(a) + psi(a + b);
    // The derivative of log density by a is the same either way.
    let log = if lower { log } else { (1.0 - y).ln() - psi(a) + psi(a + b) };
    let by_density = scale * sum * log + dscale * sum + scale * slope;
    (if lower { -by_density } else { by_density }) / (1.0 - x)
}
/// How gamma samples `output` move with their shapes: the implicit derivative.
pub fn standard_gamma_grad(alpha: &Tensor, output: &Tensor) -> Result<Tensor> {
    full_only(alpha, "_standard_gamma_grad_cpu")?;
    if autograd::recording(&[alpha, output]) {
        let out = autograd::no_grad(|| standard_gamma_grad(alpha, output))?;
        return record("StandardGammaGradBackward0", &[alpha, output], out, |_, _| {
            move |_, _| bail!(NotImplemented, "the derivative for '_standard_gamma_grad' is not implemented.")
        });
    }
    host([alpha, output], |[a, x]| gamma_slope(a, x))
}
/// How Dirichlet samples x move with their concentrations, by 1 - x: the implicit derivative of a beta sample.
pub fn dirichlet_grad(x: &Tensor, alpha: &Tensor, total: &Tensor) -> Result<Tensor> {
    full_only(x, "_dirichlet_grad_cpu")?;
    host([x, alpha, total], |[x, a, total]| beta_slope(x, a, total - a))
}
