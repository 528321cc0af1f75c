//! Initialisers of parameters. They write in place, unrecorded; under one seed the CPU gives PyTorch's values.

use super::*;
use crate::autograd::no_grad;
use crate::backend::memory;
use crate::base::dtype::Bool8;
use crate::rng::Generator;
use crate::{bail, ensure};

type Gen<'a> = Option<&'a Generator>;

/// The recommended gain of a nonlinearity; `param` is leaky_relu's slope (None: 0.01).
pub fn calculate_gain(nonlinearity: &str, param: Option<f64>) -> Result<f64> {
    Ok(match nonlinearity {
        "linear" | "conv1d" | "conv2d" | "conv3d" | "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d"
        | "sigmoid" => 1.0,
        "tanh" => 5.0 / 3.0,
        "relu" => 2f64.sqrt(),
        "leaky_relu" => {
            let slope = param.unwrap_or(0.01);
            (2.0 / (1.0 + slope * slope)).sqrt()
        }
        "selu" => 0.75,
        _ => bail!(Value, "Unsupported nonlinearity {nonlinearity}"),
    })
}

/// Inputs and outputs of one unit of a weight (out, in, kernel..).
pub fn fan_in_and_fan_out(t: &Tensor) -> Result<(i64, i64)> {
    let shape = t.shape();
    ensure!(shape.len() >= 2, Value, "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions");
    let field: i64 = shape[2..].iter().product();
    Ok((shape[1] * field, shape[0] * field))
}
fn fan(t: &Tensor, mode: &str) -> Result<f64> {
    let (fan_in, fan_out) = fan_in_and_fan_out(t)?;
    match mode.to_lowercase().as_str() {
        "fan_in" => Ok(fan_in as f64),
        "fan_out" => Ok(fan_out as f64),
        m => bail!(Value, "Mode {m} not supported, please use one of ['fan_in', 'fan_out']"),
    }
}

/// Uniform in [a, b).
pub fn init_uniform_(t: &Tensor, a: f64, b: f64, generator: Gen) -> Result<()> {
    no_grad(|| uniform_(t, a, b, generator))
}
/// Normal of this mean and standard deviation.
pub fn init_normal_(t: &Tensor, mean: f64, std: f64, generator: Gen) -> Result<()> {
    no_grad(|| normal_(t, mean, std, generator))
}
/// Every element becomes val.
pub fn init_constant_(t: &Tensor, val: f64) -> Result<()> {
    no_grad(|| fill_scalar_(t, Scalar::Float(val)))
}
/// Every element becomes 1.
pub fn init_ones_(t: &Tensor) -> Result<()> {
    init_constant_(t, 1.0)
}
/// Every element becomes 0.
pub fn init_zeros_(t: &Tensor) -> Result<()> {
    no_grad(|| zero_(t))
}
/// The identity in a matrix.
pub fn init_eye_(t: &Tensor) -> Result<()> {
    let shape = t.shape();
    ensure!(shape.len() == 2, Value, "Only tensors with 2 dimensions are supported");
    let eye = eye_m(shape[0], shape[1], Some(t.dtype()), Some(t.device()))?;
    no_grad(|| copy_(t, &eye))
}
/// The identity of a convolution in a weight (out, in, kernel..), per group.
pub fn init_dirac_(t: &Tensor, groups: i64) -> Result<()> {
    let shape = t.shape();
    ensure!((3..=5).contains(&shape.len()), Value, "Only tensors with 3, 4, or 5 dimensions are supported");
    ensure!(groups > 0 && shape[0] % groups == 0, Value, "dim 0 must be divisible by groups");
    if t.numel() == 0 {
        return Ok(());
    }
    let per_group = shape[0] / groups;
    let mut values = memory::zeroed::<f64>(t.numel())?;
    let kernel: i64 = shape[2..].iter().product();
    let center = shape[2..].iter().fold(0, |at, k| at * k + k / 2);
    for g in 0..groups {
        for d in 0..per_group.min(shape[1]) {
            values[(((g * per_group + d) * shape[1] + d) * kernel + center) as usize] = 1.0;
        }
    }
    write(t, &values)
}
/// Copies row-major values into `t`, whatever its dtype and device.
fn write(t: &Tensor, values: &[f64]) -> Result<()> {
    let host = cast(&Tensor::from_slice(values, &t.shape())?, t.dtype())?;
    no_grad(|| copy_(t, &host))
}
/// Glorot's uniform: within gain * sqrt(6 / (fan_in + fan_out)).
pub fn init_xavier_uniform_(t: &Tensor, gain: f64, generator: Gen) -> Result<()> {
    let (fan_in, fan_out) = fan_in_and_fan_out(t)?;
    let std = gain * (2.0 / (fan_in + fan_out) as f64).sqrt();
    let a = 3f64.sqrt() * std;
    init_uniform_(t, -a, a, generator)
}
/// Glorot's normal: std gain * sqrt(2 / (fan_in + fan_out)).
pub fn init_xavier_normal_(t: &Tensor, gain: f64, generator: Gen) -> Result<()> {
    let (fan_in, fan_out) = fan_in_and_fan_out(t)?;
    init_normal_(t, 0.0, gain * (2.0 / (fan_in + fan_out) as f64).sqrt(), generator)
}
fn kaiming_std(t: &Tensor, a: f64, mode: &str, nonlinearity: &str) -> Result<f64> {
    Ok(calculate_gain(nonlinearity, Some(a))? / fan(t, mode)?.sqrt())
}
/// He's uniform: within gain * sqrt(3 / fan).
pub fn init_kaiming_uniform_(t: &Tensor, a: f64, mode: &str, nonlinearity: &str, generator: Gen) -> Result<()> {
    if t.numel() == 0 {
        return Ok(());
    }
    let bound = 3f64.sqrt() * kaiming_std(t, a, mode, nonlinearity)?;
    init_uniform_(t, -bound, bound, generator)
}
/// He's normal: std gain / sqrt(fan).
pub fn init_kaiming_normal_(t: &Tensor, a: f64, mode: &str, nonlinearity: &str, generator: Gen) -> Result<()> {
    if t.numel() == 0 {
        return Ok(());
    }
    init_normal_(t, 0.0, kaiming_std(t, a, mode, nonlinearity)?, generator)
}
/// The weight and bias of a new Linear or convolution layer, as PyTorch draws them.
pub fn init_default_(weight: &Tensor, bias: Option<&Tensor>, generator: Gen) -> Result<()> {
    init_kaiming_uniform_(weight, 5f64.sqrt(), "fan_in", "leaky_relu", generator)?;
    let Some(bias) = bias else { return Ok(()) };
    let (fan_in, _) = fan_in_and_fan_out(weight)?;
    let bound = if fan_in > 0 { 1.0 / (fan_in as f64).sqrt() } else { 0.0 };
    init_uniform_(bias, -bound, bound, generator)
}

/// Error function by its Taylor series (small arguments) or the continued fraction of its complement.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for n in 1..200 {
            term *= -a * a / n as f64;
            let add = term / (2 * n + 1) as f64;
            sum += add;
            if add.abs() < 1e-17 * sum.abs() {
                break;
            }
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let mut f = 0.0;
        for n in (1..60).rev() {
            f = n as f64 / 2.0 / (a + f);
        }
        1.0 - (-a * a).exp() / (std::f64::consts::PI.sqrt() * (a + f))
    };
    value.copysign(x)
}

/// Normal of this mean and standard deviation, cut off outside [a, b].
pub fn init_trunc_normal_(t: &Tensor, mean: f64, std: f64, a: f64, b: f64, generator: Gen) -> Result<()> {
    ensure!(
        mean.is_finite() && std.is_finite() && std > 0.0 && a < b,
        Value,
        "trunc_normal_ expects a finite mean, a positive std and a < b, but got mean={mean}, std={std}, a={a}, b={b}"
    );
    let too_far = || -> Result<()> {
        bail!(Value, "trunc_normal_: almost no draw of mean {mean} and std {std} falls between a={a} and b={b}")
    };
    let cdf = |x: f64| (1.0 + erf(x / 2f64.sqrt())) / 2.0;
    let p = cdf((b - mean) / std) - cdf((a - mean) / std);
    no_grad(|| {
        if p > 0.3 {
            // Redraw everything until all is inside, keeping what was inside already.
            let (lo, hi) = (rounded(a, t.dtype())?, rounded(b, t.dtype())?);
            normal_(t, mean, std, generator)?;
            for _ in 0..MAX_REDRAWS {
                let outside = logical_or(&lt_scalar(t, lo)?, &gt_scalar(t, hi)?)?;
                if !any(&outside)?.item()?.to_bool() {
                    return Ok(());
                }
                let again = empty_like(t, None, None)?;
                normal_(&again, mean, std, generator)?;
                copy_(t, &r#where(&outside, &again, t)?)?;
            }
            return too_far();
        }
        // Rejection from the uniform, in logarithms. The density is that of a few std, and falls faster at the end of a
        // range far from the mean: of candidates from a range much wider none would be accepted.
        let mode = a.max(mean.min(b));
        let width = std / ((mode - mean) / std).abs().max(1.0);
        if (b - a) / width > 1e7 {
            return too_far();
        }
        let peak = -0.5 * ((mode - mean) / std) * ((mode - mean) / std);
        let mut pending: Option<Tensor> = None;
        let accept = empty_like(t, None, None)?;
        for _ in 0..MAX_REDRAWS {
            let candidates = empty_like(t, None, None)?;
            uniform_(&candidates, a, b, generator)?;
            match &pending {
                None => copy_(t, &candidates)?,
                Some(p) => copy_(t, &r#where(p, &candidates, t)?)?,
            }
            sub_scalar_(&candidates, Scalar::Float(mean), Scalar::Int(1))?;
            div_scalar_(&candidates, Scalar::Float(std))?;
            let density = mul(&candidates, &candidates)?;
            mul_scalar_(&density, Scalar::Float(-0.5))?;
            sub_scalar_(&density, Scalar::Float(peak), Scalar::Int(1))?;
            uniform_(&accept, 0.0, 1.0, generator)?;
            let rejected = gt(&log(&accept)?, &density)?;
            let next = match &pending {
                None => rejected,
                Some(p) => logical_and(p, &rejected)?,
            };
            if !any(&next)?.item()?.to_bool() {
                return Ok(());
            }
            pending = Some(next);
        }
        too_far()
    })
}
/// How often a draw is repeated before it counts as hopeless.
const MAX_REDRAWS: usize = 100_000;
/// A bound as the dtype represents it.
fn rounded(v: f64, dtype: DType) -> Result<Scalar> {
    full(&[], Scalar::Float(v), Some(dtype), Some(Device::CPU))?.item()
}

/// A (semi-)orthogonal matrix, trailing dimensions flattened: Q of a random matrix, with the signs that make R's
/// diagonal positive.
pub fn init_orthogonal_(t: &Tensor, gain: f64, generator: Gen) -> Result<()> {
    let shape = t.shape();
    ensure!(shape.len() >= 2, Value, "Only tensors with 2 or more dimensions are supported");
    if t.numel() == 0 {
        return Ok(());
    }
    let (rows, cols) = (shape[0] as usize, t.numel() / shape[0] as usize);
    let sample = Tensor::empty(&[rows as i64, cols as i64], t.dtype(), t.device())?;
    normal_(&sample, 0.0, 1.0, generator)?;
    let sample = sample.to_f64_vec()?;
    let (m, n) = (rows.max(cols), rows.min(cols));
    // Columns of the tall matrix.
    let columns: Vec<Vec<f64>> = memory::try_collect((0..n).map(|j| {
        memory::collect((0..m).map(|i| if rows < cols { sample[j * cols + i] } else { sample[i * cols + j] }))
    }))?;
    let q = positive_qr(columns);
    let mut values = memory::zeroed::<f64>(rows * cols)?;
    for (j, column) in q.iter().enumerate() {
        for (i, v) in column.iter().enumerate() {
            values[if rows < cols { j * cols + i } else { i * cols + j }] = *v;
        }
    }
    write(t, &values)?;
    no_grad(|| mul_scalar_(t, Scalar::Float(gain)))
}
/// Orthonormal columns spanning those of a tall matrix; each has a positive product with its original (so this is Q
/// of the QR factorisation whose R has a positive diagonal). Orthogonalised twice, which keeps it exact to rounding.
fn positive_qr(mut columns: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    for j in 0..columns.len() {
        let (done, rest) = columns.split_at_mut(j);
        let c = &mut rest[0];
        for _ in 0..2 {
            for q in done.iter() {
                let r = dot(q, c);
                c.iter_mut().zip(q).for_each(|(x, y)| *x -= r * y);
            }
        }
        let norm = dot(c, c).sqrt();
        c.iter_mut().for_each(|x| *x /= norm);
    }
    columns
}

/// A matrix of normals in which each column has ceil(sparsity * rows) zeros at random places.
pub fn init_sparse_(t: &Tensor, sparsity: f64, std: f64, generator: Gen) -> Result<()> {
    let shape = t.shape();
    ensure!(shape.len() == 2, Value, "Only tensors with 2 dimensions are supported");
    let (rows, cols) = (shape[0], shape[1]);
    if t.numel() == 0 {
        return Ok(());
    }
    let zeros = ((sparsity * rows as f64).ceil() as i64).clamp(0, rows) as usize;
    init_normal_(t, 0.0, std, generator)?;
    let mut drop = memory::filled(t.numel(), Bool8(0))?;
    for c in 0..cols {
        // PyTorch draws the places from the default generator even when another is given.
        let order = randperm(rows, None, None, Some(Device::CPU))?.to_vec::<i64>()?;
        for r in &order[..zeros] {
            drop[(r * cols + c) as usize] = Bool8(1);
        }
    }
    let mask = to_device(&Tensor::from_slice(&drop, &shape)?, t.device())?;
    no_grad(|| masked_fill_scalar_(t, &mask, Scalar::Int(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_values() {
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.5204998778130465),
            (-1.0, -0.8427007929497149),
            (2.9, 0.9999589021219005),
            (3.1, 0.9999883513426328),
            (6.0, 1.0),
        ] {
            assert!((erf(x) - want).abs() < 1e-12, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn gains() {
        assert_eq!(calculate_gain("relu", None).unwrap(), 2f64.sqrt());
        assert_eq!(calculate_gain("leaky_relu", Some(0.2)).unwrap(), (2.0 / 1.04f64).sqrt());
        assert!(calculate_gain("softmax", None).is_err());
    }
}
