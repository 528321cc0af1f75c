//! Random tensors: in-place fills, creation, sampling, dropout.
//!
//! On the CPU a seed gives PyTorch's numbers; the order of the draws is PyTorch's here too. `generator` None is the
//! default generator.

use super::create::{device_or_default, fill_impl, float_or};
use super::*;
use crate::autograd::record;
use crate::backend::{memory, Distribution, ValueCheck};
use crate::base::dtype::Element;
use crate::base::layout::broadcast_shapes;
use crate::rng::{default_generator, Generator};
use crate::{dispatch, ensure};
use half::{bf16, f16};

pub(super) type Gen<'a> = Option<&'a Generator>;

/// Fills `t` from the generator, unrecorded and without counting the write.
fn draw(t: &Tensor, dist: Distribution, generator: Gen) -> Result<()> {
    if t.numel() == 0 {
        return Ok(());
    }
    let generator = generator.unwrap_or_else(|| default_generator());
    if !t.device().is_cpu() && !t.is_contiguous() {
        // Devices fill contiguous memory; as on the CPU, the draws go in the order of the strides, largest first.
        let mut l = t.layout();
        let mut order: Vec<usize> = (0..l.ndim()).filter(|&d| l.shape[d] != 1).collect();
        order.sort_by_key(|&d| std::cmp::Reverse(l.strides[d]));
        (l.shape, l.strides) = order.iter().map(|&d| (l.shape[d], l.strides[d])).unzip();
        let sorted = t.alias(l)?;
        if sorted.is_contiguous() {
            return draw(&sorted, dist, Some(generator));
        }
        let dense = Tensor::empty(&sorted.shape(), t.dtype(), t.device())?;
        draw(&dense, dist, Some(generator))?;
        return sorted.copy_from(&dense);
    }
    let b = t.materialize();
    crate::backend::get(b.device())?.random(dist, generator, b.view())
}
fn drawn(size: &[i64], dtype: DType, device: Option<Device>, dist: Distribution, generator: Gen) -> Result<Tensor> {
    let t = Tensor::empty(size, dtype, device_or_default(device))?;
    draw(&t, dist, generator)?;
    Ok(t)
}
/// Complex numbers whose parts are drawn one after the other.
fn complex_drawn(
    size: &[i64],
    dtype: DType,
    device: Option<Device>,
    dist: Distribution,
    generator: Gen,
) -> Result<Tensor> {
    drawn(&[size, &[2]].concat(), dtype.real(), device, dist, generator)?.pairs_as_complex()
}
/// The in-place fills: the old value gets a zero gradient.
fn fill_from(t: &Tensor, dist: Distribution, generator: Gen) -> Result<()> {
    fill_impl(t, || draw(t, dist, generator))
}
fn float_only(t: DType, op: &str) -> Result<()> {
    ensure!(t.is_float(), NotImplemented, "\"{op}\" not implemented for '{}'", t.scalar_name());
    Ok(())
}

// ---- bounds ----

/// Smallest and largest finite value of a dtype.
fn limits(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::F16 => (f16::MIN.to_f64(), f16::MAX.to_f64()),
        DType::BF16 => (bf16::MIN.to_f64(), bf16::MAX.to_f64()),
        DType::F32 => (f32::MIN as f64, f32::MAX as f64),
        DType::F64 => (f64::MIN, f64::MAX),
        _ => {
            let (low, high) = int_limits(dtype);
            (low as f64, high as f64)
        }
    }
}
fn int_limits(dtype: DType) -> (i64, i64) {
    match dtype {
        DType::Bool => (0, 1),
        DType::U8 => (0, 255),
        DType::I8 => (i8::MIN as i64, i8::MAX as i64),
        DType::I16 => (i16::MIN as i64, i16::MAX as i64),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        _ => (i64::MIN, i64::MAX),
    }
}
fn digits(dtype: DType) -> u32 {
    match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::F32 => 24,
        _ => 53,
    }
}
fn through(v: i64, dtype: DType) -> i64 {
    dispatch!(dtype, T, T::from_i64(v).to_i64())
}
fn log2_abs(v: i64) -> u32 {
    v.unsigned_abs().max(1).ilog2()
}
/// The next bound not below `from` such that no integer drawn from it rounds below it in a float dtype.
fn update_from(from: i64, dtype: DType) -> i64 {
    let up = through(from.wrapping_add(1), dtype);
    if up < from {
        return up + (1 << (log2_abs(from.wrapping_add(1)) + 1 - digits(dtype)));
    }
    from
}
/// The next bound not above `to` such that no integer drawn below it rounds up to it in a float dtype.
fn update_to(to: i64, dtype: DType) -> i64 {
    let down = through(to.wrapping_sub(1), dtype);
    if down >= to {
        return down - (1 << (log2_abs(to.wrapping_sub(1)) + 1 - digits(dtype)));
    }
    to
}
fn check_range(from: i64, to_inclusive: i64, dtype: DType) -> Result<()> {
    let inside = |v: i64| {
        if dtype.is_float() {
            let (low, high) = limits(dtype);
            (v as f64) >= low && (v as f64) <= high
        } else {
            let (low, high) = int_limits(dtype);
            v >= low && v <= high
        }
    };
    ensure!(inside(from), Runtime, "from is out of bounds for {dtype}");
    ensure!(inside(to_inclusive), Runtime, "to - 1 is out of bounds for {dtype}");
    Ok(())
}
/// Integers in [from, to), or up to the dtype's largest when `to` is None.
fn integers(dtype: DType, from: i64, to: Option<i64>) -> Result<Distribution> {
    let (mut low, high) = (from, to);
    match high {
        Some(mut high) => {
            ensure!(
                low < high,
                Runtime,
                "random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
            );
            if dtype.is_float() {
                low = update_from(low, dtype);
                high = update_to(high, dtype);
                ensure!(
                    low < high,
                    Runtime,
                    "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got from={low} >= to={high}"
                );
            }
            check_range(low, high - 1, dtype)?;
            Ok(Distribution::Integer { low, high })
        }
        None if low != i64::MIN => {
            let last = if dtype.is_float() {
                low = update_from(low, dtype);
                1i64 << digits(dtype)
            } else {
                int_limits(dtype).1
            };
            check_range(low, last, dtype)?;
            ensure!(low <= last, Runtime, "random_: no integer of {dtype} is at least {low}");
            Ok(Distribution::Integer { low, high: last.wrapping_add(1) })
        }
        None => {
            ensure!(
                matches!(dtype, DType::I64 | DType::F64 | DType::F32 | DType::BF16),
                Runtime,
                "random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16"
            );
            Ok(Distribution::Integer { low: i64::MIN, high: i64::MIN })
        }
    }
}
fn uniform(dtype: DType, from: f64, to: f64) -> Result<Distribution> {
    float_only(dtype, "check_uniform_bounds")?;
    let (min, max) = limits(dtype);
    ensure!((min..=max).contains(&from), Runtime, "from is out of bounds for {dtype}");
    ensure!((min..=max).contains(&to), Runtime, "to is out of bounds for {dtype}");
    ensure!(from <= to, Runtime, "uniform_ expects to return a [from, to) range, but found from={from} > to={to}");
    ensure!(
        to - from <= max,
        Runtime,
        "uniform_ expects to-from <= std::numeric_limits<{}>::max(), but found to={to} and from={from} which result in to-from to exceed the limit",
        dtype.scalar_name()
    );
    Ok(Distribution::Uniform { low: from, high: to })
}
fn normal_dist(dtype: DType, mean: f64, std: f64) -> Result<Distribution> {
    ensure!(std >= 0.0, Runtime, "normal expects std >= 0.0, but found std {std}");
    float_only(dtype, "normal_kernel_cpu")?;
    Ok(Distribution::Normal { mean, std })
}

// ---- in-place fills ----

/// Uniform in [from, to); self must be a float tensor.
pub fn uniform_(t: &Tensor, from: f64, to: f64, generator: Gen) -> Result<()> {
    fill_from(t, uniform(t.dtype(), from, to)?, generator)
}
/// Normal of this mean and standard deviation (at least 0); self must be a float tensor.
pub fn normal_(t: &Tensor, mean: f64, std: f64, generator: Gen) -> Result<()> {
    if t.dtype().is_complex() {
        // Half of the variance is each part's; the mean is that of both, as in PyTorch.
        let dist = normal_dist(t.dtype().real(), mean, std * std::f64::consts::FRAC_1_SQRT_2)?;
        return fill_impl(t, || draw(&t.as_pairs()?, dist, generator));
    }
    fill_from(t, normal_dist(t.dtype(), mean, std)?, generator)
}
/// exp of a normal; std must be positive.
pub fn log_normal_(t: &Tensor, mean: f64, std: f64, generator: Gen) -> Result<()> {
    ensure!(std > 0.0, Runtime, "log_normal_ expects std > 0.0, but found std={std}");
    float_only(t.dtype(), "log_normal_cpu")?;
    fill_from(t, Distribution::LogNormal { mean, std }, generator)
}
/// Cauchy of this median and positive scale.
pub fn cauchy_(t: &Tensor, median: f64, sigma: f64, generator: Gen) -> Result<()> {
    ensure!(sigma > 0.0, Runtime, "cauchy_ expects sigma > 0.0, but found sigma={sigma}");
    ensure!(
        t.dtype().is_float(),
        Runtime,
        "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you specified {}",
        t.dtype()
    );
    fill_from(t, Distribution::Cauchy { median, sigma }, generator)
}
/// Exponential of this positive rate.
pub fn exponential_(t: &Tensor, lambd: f64, generator: Gen) -> Result<()> {
    ensure!(lambd > 0.0, Runtime, "exponential_ expects lambda > 0.0, but found lambda={lambd}");
    ensure!(
        t.dtype().is_float(),
        Runtime,
        "Exponential distribution is a continuous probability distribution. dtype must be a floating point but you specified {}",
        t.dtype()
    );
    fill_from(t, Distribution::Exponential { lambda: lambd }, generator)
}
/// Number of trials up to the first success of probability p in (0, 1).
pub fn geometric_(t: &Tensor, p: f64, generator: Gen) -> Result<()> {
    ensure!(p > 0.0 && p < 1.0, Runtime, "geometric_ expects p to be in (0, 1), but got p={p}");
    ensure!(t.dtype() != DType::Bool, NotImplemented, "\"geometric_cpu\" not implemented for 'Bool'");
    fill_from(t, Distribution::Geometric { p }, generator)
}
/// Integers over the dtype's range ([0, largest], for floats [0, 2^digits]).
pub fn random_(t: &Tensor, generator: Gen) -> Result<()> {
    fill_from(t, Distribution::FullRange, generator)
}
/// Integers in [0, to).
pub fn random_to_(t: &Tensor, to: i64, generator: Gen) -> Result<()> {
    random_from_(t, 0, Some(to), generator)
}
/// Integers in [from, to), or up to the dtype's largest.
pub fn random_from_(t: &Tensor, from: i64, to: Option<i64>, generator: Gen) -> Result<()> {
    fill_from(t, integers(t.dtype(), from, to)?, generator)
}
/// 1 with probability p, else 0.
pub fn bernoulli_float_(t: &Tensor, p: f64, generator: Gen) -> Result<()> {
    ensure!((0.0..=1.0).contains(&p), Runtime, "bernoulli_ expects p to be in [0, 1], but got p={p}");
    fill_from(t, Distribution::Bernoulli { p }, generator)
}
/// 1 with the probability that stands at the same place of p (broadcast), else 0.
pub fn bernoulli_(t: &Tensor, p: &Tensor, generator: Gen) -> Result<()> {
    fill_impl(t, || bernoulli_from(t, p, generator))
}
fn bernoulli_from(t: &Tensor, p: &Tensor, generator: Gen) -> Result<()> {
    if t.numel() == 0 {
        return Ok(());
    }
    float_only(p.dtype(), "bernoulli_tensor_cpu_p_")?;
    autograd::no_grad(|| {
        if p.device().is_cpu() {
            let inside = logical_and(&ge_scalar(p, Scalar::Int(0))?, &le_scalar(p, Scalar::Int(1))?)?;
            ensure!(
                all(&inside)?.item()?.to_bool(),
                Runtime,
                "Expected p_in >= 0 && p_in <= 1 to be true, but got false."
            );
        } else {
            index::check_values(p, Scalar::Int(0), Scalar::Int(1), ValueCheck::Probability)?;
        }
        // A double tensor of probabilities takes double draws, all others float draws; in the order of self's memory.
        let ty = if p.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let u = empty_like(t, Some(ty), None)?;
        draw(&u, Distribution::Uniform { low: 0.0, high: 1.0 }, generator)?;
        t.copy_from(&lt(&u, p)?)
    })
}

// ---- creation ----

/// Uniform in [0, 1).
pub fn rand(size: &[i64], generator: Gen, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    let dtype = float_or(dtype);
    if dtype.is_complex() {
        return complex_drawn(size, dtype, device, uniform(dtype.real(), 0.0, 1.0)?, generator);
    }
    drawn(size, dtype, device, uniform(dtype, 0.0, 1.0)?, generator)
}
/// Normal of mean 0 and variance 1.
pub fn randn(size: &[i64], generator: Gen, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    let dtype = float_or(dtype);
    if dtype.is_complex() {
        let dist = normal_dist(dtype.real(), 0.0, std::f64::consts::FRAC_1_SQRT_2)?;
        return complex_drawn(size, dtype, device, dist, generator);
    }
    drawn(size, dtype, device, normal_dist(dtype, 0.0, 1.0)?, generator)
}
/// Integers in [0, high).
pub fn randint(
    high: i64,
    size: &[i64],
    generator: Gen,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    randint_low(0, high, size, generator, dtype, device)
}
/// Integers in [low, high).
pub fn randint_low(
    low: i64,
    high: i64,
    size: &[i64],
    generator: Gen,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    let dtype = dtype.unwrap_or(DType::I64);
    drawn(size, dtype, device, integers(dtype, low, Some(high))?, generator)
}
/// A permutation of 0 .. n - 1.
pub fn randperm(n: i64, generator: Gen, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    ensure!(n >= 0, Runtime, "n must be non-negative, got {n}");
    let dtype = dtype.unwrap_or(DType::I64);
    // Every number up to n - 1 must be exact in the dtype.
    let most = if dtype.is_float() { 1i64 << digits(dtype) } else { int_limits(dtype).1 };
    ensure!(
        n <= most || dtype == DType::F64,
        Runtime,
        "n is too large for result tensor type: '{}'",
        dtype.scalar_name()
    );
    ensure!(dtype != DType::Bool, NotImplemented, "\"randperm\" not implemented for 'Bool'");
    drawn(&[n], dtype, device, Distribution::Permutation, generator)
}
fn drawn_like(
    t: &Tensor,
    dtype: Option<DType>,
    device: Option<Device>,
    dist: impl FnOnce(DType) -> Result<Distribution>,
    generator: Gen,
) -> Result<Tensor> {
    let out = empty_like(t, dtype, device)?;
    if out.dtype().is_complex() {
        let dist = match dist(out.dtype().real())? {
            Distribution::Normal { mean, std } => {
                Distribution::Normal { mean, std: std * std::f64::consts::FRAC_1_SQRT_2 }
            }
            other => other,
        };
        draw(&out.as_pairs()?, dist, generator)?;
        return Ok(out);
    }
    draw(&out, dist(out.dtype())?, generator)?;
    Ok(out)
}
/// `rand` of self's shape, dtype, device and memory order.
pub fn rand_like(t: &Tensor, generator: Gen, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    drawn_like(t, dtype, device, |d| uniform(d, 0.0, 1.0), generator)
}
/// `randn` of self's shape, dtype, device and memory order.
pub fn randn_like(t: &Tensor, generator: Gen, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    drawn_like(t, dtype, device, |d| normal_dist(d, 0.0, 1.0), generator)
}
/// Integers in [0, high) of self's shape, dtype, device and memory order.
pub fn randint_like(
    t: &Tensor,
    high: i64,
    generator: Gen,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    randint_like_low(t, 0, high, generator, dtype, device)
}
/// Integers in [low, high) of self's shape, dtype, device and memory order.
pub fn randint_like_low(
    t: &Tensor,
    low: i64,
    high: i64,
    generator: Gen,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    drawn_like(t, dtype, device, |d| integers(d, low, Some(high)), generator)
}

// ---- sampling from tensors of parameters ----

fn check_std(std: &Tensor) -> Result<()> {
    if std.numel() > 0 {
        let ok = autograd::no_grad(|| all(&ge_scalar(std, Scalar::Int(0))?))?.item()?.to_bool();
        ensure!(ok, Runtime, "normal expects all elements of std >= 0.0");
    }
    Ok(())
}
/// Records a sample whose gradient with respect to its parameters is zero.
fn sampled(name: &'static str, inputs: &[&Tensor], out: Tensor) -> Result<Tensor> {
    let shapes: Vec<_> = inputs.iter().map(|t| t.shape()).collect();
    record(name, inputs, out, |_, _| {
        move |_, g| {
            let zero = |s: &crate::Dims| zeros(s, Some(g.dtype()), Some(g.device())).map(Some);
            shapes.iter().map(zero).collect()
        }
    })
}
/// Normals of the means `mean` and one standard deviation.
pub fn normal_tensor_float(mean: &Tensor, std: f64, generator: Gen) -> Result<Tensor> {
    let out = autograd::no_grad(|| {
        let out = Tensor::empty(&mean.shape(), mean.dtype(), mean.device())?;
        draw(&out, normal_dist(out.dtype(), 0.0, std)?, generator)?;
        add_(&out, mean, Scalar::Int(1))?;
        Ok(out)
    })?;
    sampled("NormalBackward1", &[mean], out)
}
/// Normals of one mean and the standard deviations `std`.
pub fn normal_float_tensor(mean: f64, std: &Tensor, generator: Gen) -> Result<Tensor> {
    check_std(std)?;
    let out = autograd::no_grad(|| {
        let out = Tensor::empty(&std.shape(), std.dtype(), std.device())?;
        draw(&out, normal_dist(out.dtype(), 0.0, 1.0)?, generator)?;
        mul_(&out, std)?;
        add_scalar_(&out, Scalar::Float(mean), Scalar::Int(1))?;
        Ok(out)
    })?;
    sampled("NormalBackward2", &[std], out)
}
/// Normals of the means `mean` and standard deviations `std`, broadcast.
pub fn normal_tensor_tensor(mean: &Tensor, std: &Tensor, generator: Gen) -> Result<Tensor> {
    check_std(std)?;
    let out = autograd::no_grad(|| {
        let out = Tensor::empty(&broadcast_shapes(&mean.shape(), &std.shape())?, mean.dtype(), mean.device())?;
        draw(&out, normal_dist(out.dtype(), 0.0, 1.0)?, generator)?;
        mul_(&out, std)?;
        add_(&out, mean, Scalar::Int(1))?;
        Ok(out)
    })?;
    sampled("NormalBackward3", &[mean, std], out)
}
/// Normals of one mean and one standard deviation.
pub fn normal_float_float(
    mean: f64,
    std: f64,
    size: &[i64],
    generator: Gen,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    let dtype = float_or(dtype);
    drawn(size, dtype, device, normal_dist(dtype, mean, std)?, generator)
}
/// 1 with the probability that stands in self, else 0.
pub fn bernoulli(t: &Tensor, generator: Gen) -> Result<Tensor> {
    float_only(t.dtype(), "bernoulli_tensor_cpu_p_")?;
    let out = Tensor::empty(&t.shape(), t.dtype(), t.device())?;
    bernoulli_from(&out, t, generator)?;
    sampled("BernoulliBackward0", &[t], out)
}
/// Of self's shape and dtype: 1 with probability p, else 0.
pub fn bernoulli_p(t: &Tensor, p: f64, generator: Gen) -> Result<Tensor> {
    let out = Tensor::empty(&t.shape(), t.dtype(), t.device())?;
    bernoulli_float_(&out, p, generator)?;
    sampled("BernoulliBackward1", &[t], out)
}

/// Indices drawn with the (unnormalised) probabilities of the last dimension; self is a vector or a matrix of rows.
pub fn multinomial(t: &Tensor, num_samples: i64, replacement: bool, generator: Gen) -> Result<Tensor> {
    let shape = t.shape();
    ensure!(t.ndim() == 1 || t.ndim() == 2, Runtime, "prob_dist must be 1 or 2 dim");
    ensure!(
        t.dtype().is_float(),
        Runtime,
        "multinomial only supports floating-point dtypes for input, got: {}",
        t.dtype().scalar_name()
    );
    ensure!(num_samples > 0, Runtime, "cannot sample n_sample <= 0 samples");
    let categories = shape[shape.len() - 1];
    ensure!(
        replacement || num_samples <= categories,
        Runtime,
        "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
    );
    ensure!(
        categories > 0 || t.numel() > 0 || shape[..shape.len() - 1].contains(&0),
        Runtime,
        "prob_dist has no categories to sample from"
    );
    ensure!(categories <= 1 << 24, Runtime, "number of categories cannot exceed 2^24");
    let mut out_shape = shape.clone();
    let last = out_shape.len() - 1;
    out_shape[last] = num_samples;
    let result = Tensor::empty(&out_shape, DType::I64, t.device())?;
    if out_shape.contains(&0) {
        return Ok(result);
    }
    // The result must exist: no work towards one that cannot.
    drop(result);
    autograd::no_grad(|| {
        if replacement && num_samples > 1 {
            return with_replacement(t, &out_shape, generator);
        }
        let valid = logical_and(&lt_scalar(t, Scalar::Float(f64::INFINITY))?, &ge_scalar(t, Scalar::Int(0))?)?;
        ensure!(all(&valid)?.holds()?, Runtime, "probability tensor contains either `inf`, `nan` or element < 0");
        let nonzero_rows = any_dim(&gt_scalar(t, Scalar::Int(0))?, -1, false)?;
        ensure!(all(&nonzero_rows)?.holds()?, Runtime, "invalid multinomial distribution (sum of probabilities <= 0)");
        // Exponentials race: the largest p / q wins, the next ones are samples without replacement.
        let q = empty_like(t, None, None)?;
        draw(&q, Distribution::Exponential { lambda: 1.0 }, generator)?;
        let q = div(t, &q)?;
        if num_samples == 1 {
            argmax(&q, Some(-1), true)
        } else {
            Ok(topk(&q, num_samples, -1, true, true)?.1)
        }
    })
}

/// Inverse of the cumulative distribution, one double draw per sample.
fn with_replacement(t: &Tensor, out_shape: &[i64], generator: Gen) -> Result<Tensor> {
    let categories = t.size(-1)? as usize;
    let samples = out_shape[out_shape.len() - 1] as usize;
    let rows = out_shape.iter().product::<i64>() as usize / samples;
    let u = Tensor::empty(&[(rows * samples) as i64], DType::F64, Device::CPU)?;
    let check = |row: &[f64]| -> Result<()> {
        for v in row {
            ensure!(*v >= 0.0, Runtime, "invalid multinomial distribution (encountering probability entry < 0)");
            ensure!(
                v.is_finite(),
                Runtime,
                "invalid multinomial distribution (encountering probability entry = infinity or NaN)"
            );
        }
        Ok(())
    };
    let p = t.to_f64_vec()?;
    check(&p)?;
    let double = t.dtype() == DType::F64;
    let mut cumulative = memory::with_capacity(p.len())?;
    for row in p.chunks(categories) {
        // Summed in the dtype's own precision (float for the half types), as the samples depend on it.
        let (mut sum, start) = (0f64, cumulative.len());
        for v in row {
            sum = if double { sum + v } else { (sum as f32 + *v as f32) as f64 };
            cumulative.push(sum);
        }
        ensure!(sum > 0.0, Runtime, "invalid multinomial distribution (sum of probabilities <= 0)");
        for c in &mut cumulative[start..] {
            *c = if double { *c / sum } else { (*c as f32 / sum as f32) as f64 };
        }
        cumulative[start + categories - 1] = 1.0;
    }
    draw(&u, Distribution::Uniform { low: 0.0, high: 1.0 }, generator)?;
    let u = u.to_vec::<f64>()?;
    let index: Vec<i64> = memory::collect(u.iter().enumerate().map(|(i, u)| {
        let row = &cumulative[i / samples * categories..][..categories];
        row.partition_point(|c| c < u) as i64
    }))?;
    to_device(&Tensor::from_slice(&index, out_shape)?, t.device())
}

// ---- dropout ----

#[derive(Clone, Copy, PartialEq)]
enum Alpha {
    No,
    Yes,
}
fn dropout_impl(x: &Tensor, p: f64, train: bool, feature: bool, alpha: Alpha, generator: Gen) -> Result<Tensor> {
    ensure!((0.0..=1.0).contains(&p), Runtime, "dropout probability has to be between 0 and 1, but got {p}");
    if p == 0.0 || !train || x.numel() == 0 {
        return Ok(x.clone());
    }
    if p == 1.0 {
        return mul_scalar(x, Scalar::Int(0));
    }
    let (noise, shift) = autograd::no_grad(|| {
        let noise = if feature {
            let mut shape = x.shape();
            ensure!(shape.len() >= 2, Runtime, "Feature dropout requires at least 2 dimensions in the input");
            shape[2..].fill(1);
            Tensor::empty(&shape, x.dtype(), x.device())?
        } else {
            empty_like(x, None, None)?
        };
        draw(&noise, Distribution::Bernoulli { p: 1.0 - p }, generator)?;
        if alpha == Alpha::No {
            div_scalar_(&noise, Scalar::Float(1.0 - p))?;
            return Ok((noise, None));
        }
        // Self-normalising: dropped units take SELU's negative saturation; mean and variance are kept.
        const ALPHA: f64 = 1.7580993408473766;
        let a = 1.0 / ((ALPHA * ALPHA * p + 1.0) * (1.0 - p)).sqrt();
        let shift = add_scalar(&noise, Scalar::Int(-1), Scalar::Int(1))?;
        mul_scalar_(&shift, Scalar::Float(ALPHA * a))?;
        add_scalar_(&shift, Scalar::Float(ALPHA * a * p), Scalar::Int(1))?;
        mul_scalar_(&noise, Scalar::Float(a))?;
        Ok((noise, Some(shift)))
    })?;
    let out = mul(x, &noise)?;
    match shift {
        None => Ok(out),
        Some(b) => add(&out, &b, Scalar::Int(1)),
    }
}
/// Writes the result of a dropout back into its input, recorded.
pub(super) fn dropout_inplace(x: &Tensor, y: Result<Tensor>) -> Result<()> {
    let y = y?;
    if y.is_same(x) {
        return Ok(());
    }
    copy_(x, &y)
}

/// Zeroes elements with probability p and scales the others by 1 / (1 - p); the input itself when not training.
pub fn dropout(input: &Tensor, p: f64, training: bool, generator: Gen) -> Result<Tensor> {
    dropout_impl(input, p, training, false, Alpha::No, generator)
}
/// `dropout` in place.
pub fn dropout_(input: &Tensor, p: f64, training: bool, generator: Gen) -> Result<()> {
    dropout_inplace(input, dropout(input, p, training, generator))
}
/// Zeroes whole channels (the second dimension) with probability p.
pub fn feature_dropout(input: &Tensor, p: f64, training: bool, generator: Gen) -> Result<Tensor> {
    dropout_impl(input, p, training, true, Alpha::No, generator)
}
/// Dropout that keeps mean and variance through SELU.
pub fn alpha_dropout(input: &Tensor, p: f64, training: bool, generator: Gen) -> Result<Tensor> {
    dropout_impl(input, p, training, false, Alpha::Yes, generator)
}
/// `alpha_dropout` of whole channels.
pub fn feature_alpha_dropout(input: &Tensor, p: f64, training: bool, generator: Gen) -> Result<Tensor> {
    dropout_impl(input, p, training, true, Alpha::Yes, generator)
}
/// `feature_dropout` of an input that may lack the batch dimension.
fn dropout_nd(x: &Tensor, p: f64, training: bool, batched: usize, generator: Gen) -> Result<Tensor> {
    if x.ndim() == batched {
        return feature_dropout(x, p, training, generator);
    }
    ensure!(
        x.ndim() + 1 == batched,
        Runtime,
        "dropout{}d: Expected {}D or {batched}D input, but received a {}D input.",
        batched - 2,
        batched - 1,
        x.ndim()
    );
    squeeze_dim(&feature_dropout(&unsqueeze(x, 0)?, p, training, generator)?, 0)
}
/// Zeroes whole channels of (N, C, L) or (C, L).
pub fn dropout1d(input: &Tensor, p: f64, training: bool, generator: Gen) -> Result<Tensor> {
    dropout_nd(input, p, training, 3, generator)
}
/// Zeroes whole channels of (N, C, H, W); a 3-dim input counts as (N, C, L), as in PyTorch.
pub fn dropout2d(input: &Tensor, p: f64, training: bool, generator: Gen) -> Result<Tensor> {
    feature_dropout(input, p, training, generator)
}
/// Zeroes whole channels of (N, C, D, H, W) or (C, D, H, W).
pub fn dropout3d(input: &Tensor, p: f64, training: bool, generator: Gen) -> Result<Tensor> {
    dropout_nd(input, p, training, 5, generator)
}
/// A sample of the Gumbel-softmax distribution; hard gives one-hot vectors with soft gradients.
pub fn gumbel_softmax(logits: &Tensor, tau: f64, hard: bool, dim: i64, generator: Gen) -> Result<Tensor> {
    let one = Scalar::Int(1);
    in_float([logits], |[x]| {
        let noise = autograd::no_grad(|| {
            let t = empty_like(x, None, None)?;
            exponential_(&t, 1.0, generator)?;
            log(&t)
        })?;
        let soft = softmax(&div_scalar(&sub(x, &noise, one)?, Scalar::Float(tau))?, dim, None)?;
        if !hard {
            return Ok(soft);
        }
        let index = argmax(&soft, Some(dim), true)?;
        let chosen = scatter_value(&zeros_like(x, None, None)?, dim, &index, Scalar::Float(1.0))?;
        add(&sub(&chosen, &detach(&soft)?, one)?, &soft, one)
    })
}
