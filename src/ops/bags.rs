//! What networks use besides the usual layers: bags of embeddings, the CTC loss, unpooling, fractional pooling, rrelu and a few
//! losses. All composed of other ops.

use super::conv::spread;
use super::loss::{check_reduction, reduce_loss};
use super::*;
use crate::backend::memory;
use crate::rng::Generator;
use crate::{bail, ensure, Dims};

const ONE: Scalar = Scalar::Int(1);
const ZERO: Scalar = Scalar::Int(0);

fn indices(name: &str, t: &Tensor) -> Result<Tensor> {
    ensure!(
        matches!(t.dtype(), DType::I64 | DType::I32),
        Runtime,
        "Expected tensor for argument #1 '{name}' to have one of the following scalar types: Long, Int; but got {} instead \
         (while checking arguments for embedding_bag)",
        t.dtype().scalar_name()
    );
    cast(t, DType::I64)
}
/// Sums, means or maxima of the rows of `weight` in bags: the rows of a matrix of indices, or the stretches of a vector
/// that begin at `offsets`. `sparse` makes no difference.
#[allow(clippy::too_many_arguments)]
pub fn embedding_bag(
    input: &Tensor,
    weight: &Tensor,
    offsets: Option<&Tensor>,
    max_norm: Option<f64>,
    norm_type: f64,
    scale_grad_by_freq: bool,
    mode: &str,
    _sparse: bool,
    per_sample_weights: Option<&Tensor>,
    include_last_offset: bool,
    padding_idx: Option<i64>,
) -> Result<Tensor> {
    if let Some(w) = per_sample_weights {
        ensure!(
            w.shape() == input.shape(),
            Value,
            "embedding_bag: If per_sample_weights ({:?}) is not None, then it must have the same shape as the input ({:?})",
            &w.shape()[..],
            &input.shape()[..]
        );
    }
    ensure!(weight.ndim() == 2, Value, "weight has to be a 2D Tensor, but got Tensor of dimension {}", weight.ndim());
    ensure!(matches!(mode, "sum" | "mean" | "max"), Value, "mode has to be one of sum, mean or max");
    ensure!(
        mode != "max" || !scale_grad_by_freq,
        Value,
        "max mode does not support scaling the gradient by the frequency"
    );
    ensure!(
        mode == "sum" || per_sample_weights.is_none(),
        NotImplemented,
        "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got \
         mode='{mode}'). Please open a feature request on GitHub."
    );
    let (rows, width) = (weight.size(0)?, weight.size(1)?);
    let padding = match padding_idx {
        Some(p) => {
            ensure!(p >= -rows && p < rows, Runtime, "padding_idx must be within the number of embeddings");
            Some(if p < 0 { p + rows } else { p })
        }
        None => None,
    };
    let at = indices("indices", input)?;
    let (bags, of) = match (input.ndim(), offsets) {
        (2, Some(_)) => bail!(
            Value,
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. \
             However, found offsets of type Tensor"
        ),
        (2, None) => {
            let (n, len) = (input.size(0)?, input.size(1)?);
            let each = arange(Scalar::Int(n), Some(DType::I64), Some(input.device()))?;
            (n, reshape(&expand(&unsqueeze(&each, 1)?, &[n, len])?, &[-1])?)
        }
        (1, None) => bail!(Value, "offsets has to be a 1D Tensor but got None"),
        (1, Some(o)) => {
            ensure!(o.ndim() == 1, Value, "offsets has to be a 1D Tensor");
            let starts = indices("offsets", o)?;
            let count = starts.size(0)?;
            ensure!(!include_last_offset || count >= 1, Runtime, "include_last_offset: number of offsets should be at least 1");
            if count > 0 && o.device().is_cpu() {
                let first = starts.to_i64_vec()?[0];
                ensure!(
                    first == 0,
                    Runtime,
                    "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. \
                     However, got {first}"
                );
            }
            let bags = if include_last_offset { count - 1 } else { count };
            let starts = narrow(&starts, 0, 0, bags)?;
            let each = arange(Scalar::Int(input.size(0)?), Some(DType::I64), Some(input.device()))?;
            let place = searchsorted(&contiguous(&starts)?, &each, false, true, None, None)?;
            (bags, sub_scalar(&place, ONE, ONE)?)
        }
        (n, _) => bail!(Value, "input has to be 1D or 2D Tensor, but got Tensor of dimension {n}"),
    };
    let at = reshape(&at, &[-1])?;
    // What does not count goes to a bag of its own, which is left out.
    let of = match padding {
        Some(p) => masked_fill_scalar(&of, &eq_scalar(&at, Scalar::Int(p))?, Scalar::Int(bags))?,
        None => of,
    };
    let taken = embedding_full(weight, &at, padding, max_norm, norm_type, scale_grad_by_freq)?;
    let empty = |shape: &[i64]| zeros(shape, Some(weight.dtype()), Some(weight.device()));
    let total = empty(&[bags + 1, width])?;
    if mode == "max" {
        let index = expand(&unsqueeze(&of, 1)?, &taken.shape())?;
        return narrow(&scatter_reduce_two(&total, 0, &index, &taken, "amax", false)?, 0, 0, bags);
    }
    let taken = match per_sample_weights {
        Some(w) => mul(&taken, &unsqueeze(&reshape(w, &[-1])?, 1)?)?,
        None => taken,
    };
    let sums = narrow(&index_add(&total, 0, &of, &taken, ONE)?, 0, 0, bags)?;
    if mode == "sum" {
        return Ok(sums);
    }
    let one = ones(&of.shape(), Some(weight.dtype()), Some(weight.device()))?;
    let counts = narrow(&index_add(&empty(&[bags + 1])?, 0, &of, &one, ONE)?, 0, 0, bags)?;
    div(&sums, &unsqueeze(&clamp_min(&counts, ONE)?, 1)?)
}

// ---- CTC (Graves et al., 2006) ----

/// A logarithm of nothing that is still a number, so that no infinities are subtracted.
const NOTHING: f64 = -1e30;

pub fn ctc_loss(
    log_probs: &Tensor,
    targets: &Tensor,
    input_lengths: &Tensor,
    target_lengths: &Tensor,
    blank: i64,
    reduction: &str,
    zero_infinity: bool,
) -> Result<Tensor> {
    for (name, t) in [("input_lengths", input_lengths), ("target_lengths", target_lengths)] {
        ensure!(!t.dtype().is_float() && t.dtype() != DType::Bool, Runtime, "{name} must be integral");
    }
    let lengths = |t: &Tensor| t.to_i64_vec();
    let (inputs, wanted) = (lengths(input_lengths)?, lengths(target_lengths)?);
    ctc_loss_int_list(log_probs, targets, &inputs, &wanted, blank, reduction, zero_infinity)
}
/// The negative log likelihood of label sequences under all alignments with blanks; log_probs (time, batch, classes) or
/// (time, classes), targets (batch, length) or all one after the other.
pub fn ctc_loss_int_list(
    log_probs: &Tensor,
    targets: &Tensor,
    input_lengths: &[i64],
    target_lengths: &[i64],
    blank: i64,
    reduction: &str,
    zero_infinity: bool,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    ensure!(
        log_probs.ndim() == 2 || log_probs.ndim() == 3,
        Runtime,
        "ctc_loss: log_probs must have 2 or 3 dimensions, but got {}",
        log_probs.ndim()
    );
    let single = log_probs.ndim() == 2;
    let x = if single { unsqueeze(log_probs, 1)? } else { log_probs.clone() };
    ensure!(x.dtype().is_float(), NotImplemented, "\"ctc_loss_cpu\" not implemented for '{}'", x.dtype().scalar_name());
    ensure!(
        matches!(targets.dtype(), DType::I64 | DType::I32),
        Runtime,
        "Expected tensor for argument #2 'targets' to have one of the following scalar types: Long, Int; but got {} instead \
         (while checking arguments for ctc_loss)",
        targets.dtype().scalar_name()
    );
    let (time, batch, classes) = (x.size(0)?, x.size(1)?, x.size(2)?);
    ensure!(blank >= 0 && blank < classes, Runtime, "blank must be in label range");
    ensure!(input_lengths.len() as i64 == batch, Runtime, "input_lengths must be of size batch_size");
    ensure!(target_lengths.len() as i64 == batch, Runtime, "target_lengths must be of size batch_size");
    for l in input_lengths {
        ensure!(
            *l >= 0 && *l <= time,
            Runtime,
            "Expected input_lengths to have value at most {time}, but got value {l} (while checking arguments for ctc_loss)"
        );
    }
    let flat = targets.to_i64_vec()?;
    let most = target_lengths.iter().copied().max().unwrap_or(0);
    ensure!(
        target_lengths.iter().all(|l| *l >= 0),
        Runtime,
        "Expected target_lengths to have value at least 0, but got value {} (while checking arguments for ctc_loss)",
        target_lengths.iter().min().copied().unwrap_or(0)
    );
    // Where each sample's labels begin.
    let starts: Vec<i64> = if targets.ndim() == 1 {
        let total: i64 = target_lengths.iter().sum();
        ensure!(
            total == flat.len() as i64,
            Runtime,
            "Expected tensor to have size {total} at dimension 0, but got size {} for argument #2 'targets' (while checking \
             arguments for ctc_loss)",
            flat.len()
        );
        target_lengths.iter().scan(0, |at, l| Some(std::mem::replace(at, *at + l))).collect()
    } else {
        ensure!(
            targets.ndim() == 2 && targets.size(0)? == batch,
            Runtime,
            "Expected tensor to have size {batch} at dimension 0, but got size {} for argument #2 'targets' (while checking \
             arguments for ctc_loss)",
            targets.shape().first().copied().unwrap_or(0)
        );
        let width = targets.size(1)?;
        ensure!(
            most <= width,
            Runtime,
            "Expected tensor to have size at least {most} at dimension 1, but got size {width} for argument #2 'targets' \
             (while checking arguments for ctc_loss)"
        );
        (0..batch).map(|i| i * width).collect()
    };
    // Blanks around the labels; a label may follow the one before it at once where the two differ.
    let (n, states) = (batch as usize, 2 * most as usize + 1);
    let mut label: Vec<i64> = memory::with_capacity(n * states)?;
    let (mut skip, mut first) = (memory::with_capacity(n * states)?, memory::with_capacity(n * states)?);
    let (mut ends, mut end_open) = (memory::with_capacity(2 * n)?, memory::with_capacity(2 * n)?);
    for i in 0..n {
        let len = target_lengths[i] as usize;
        let own = &flat[starts[i] as usize..starts[i] as usize + len];
        for l in own {
            ensure!(*l >= 0 && *l < classes, Runtime, "ctc_loss: a target is {l}, but there are {classes} classes");
        }
        for s in 0..states {
            let k = s / 2;
            let real = s % 2 == 1 && k < len;
            label.push(if real { own[k] } else { blank });
            skip.push(if real && k > 0 && own[k] != own[k - 1] { 0.0 } else { NOTHING });
            first.push(if s == 0 || (s == 1 && real) { 0.0 } else { NOTHING });
        }
        ends.extend([2 * len as i64, (2 * len as i64 - 1).max(0)]);
        end_open.extend([0.0, if len > 0 { 0.0 } else { NOTHING }]);
    }
    let device = x.device();
    let loss = in_float([&x], |[x]| {
        let number = |v: &[f64], shape: &[i64]| to_device(&cast(&Tensor::from_slice(v, shape)?, x.dtype())?, device);
        let s = states as i64;
        let label = to_device(&Tensor::from_slice(&label, &[1, batch, s])?, device)?;
        let (skip, first) = (number(&skip, &[batch, s])?, number(&first, &[batch, s])?);
        let emitted = clamp_min(&gather(x, 2, &expand(&label, &[time, batch, s])?)?, Scalar::Float(NOTHING))?;
        let before = full(&[batch, 2], Scalar::Float(NOTHING), Some(x.dtype()), Some(device))?;
        let mut alpha = first;
        let same = input_lengths.iter().all(|l| *l == time);
        for t in 0..time {
            let now = select(&emitted, 0, t)?;
            let next = if t == 0 {
                add(&alpha, &now, ONE)?
            } else {
                let wide = cat(&[before.clone(), alpha.clone()], 1)?;
                let from = [alpha.clone(), narrow(&wide, 1, 1, s)?, add(&narrow(&wide, 1, 0, s)?, &skip, ONE)?];
                add(&logsumexp(&stack(&from, 0)?, &[0], false)?, &now, ONE)?
            };
            alpha = if same {
                next
            } else {
                let on: Vec<f64> = input_lengths.iter().map(|l| (t < *l) as u8 as f64).collect();
                let on = to_device(&cast(&Tensor::from_slice(&on, &[batch, 1])?, DType::Bool)?, device)?;
                where_(&on, &next, &alpha)?
            };
        }
        let ends = to_device(&Tensor::from_slice(&ends, &[batch, 2])?, device)?;
        let last = add(&gather(&alpha, 1, &ends)?, &number(&end_open, &[batch, 2])?, ONE)?;
        let likelihood = logsumexp(&last, &[1], false)?;
        let none = le_scalar(&detach(&likelihood)?, Scalar::Float(NOTHING / 10.0))?;
        // PyTorch's gradient is that of logits: of value nothing, of slope exp(log_probs) within the input's length.
        let on: Vec<f64> = (0..time).flat_map(|t| input_lengths.iter().map(move |l| (t < *l) as u8 as f64)).collect();
        let mass = sum_dim(&mul(&exp(x)?, &number(&on, &[time, batch, 1])?)?, Some(&[0, 2]), false, None)?;
        let loss = add(&neg(&likelihood)?, &sub(&mass, &detach(&mass)?, ONE)?, ONE)?;
        let infinite = if zero_infinity { 0.0 } else { f64::INFINITY };
        masked_fill_scalar(&loss, &none, Scalar::Float(infinite))
    })?;
    let loss = match reduction {
        "mean" => {
            let by: Vec<f64> = target_lengths.iter().map(|l| (*l).max(1) as f64).collect();
            let by = to_device(&cast(&Tensor::from_slice(&by, &[batch])?, loss.dtype())?, device)?;
            reduce_loss(div(&loss, &by)?, "mean")?
        }
        other => reduce_loss(loss, other)?,
    };
    if single && reduction == "none" {
        return squeeze_dim(&loss, 0);
    }
    Ok(loss)
}

// ---- unpooling ----

fn max_unpool(
    name: &str,
    x: &Tensor,
    indices: &Tensor,
    (kernel, stride, padding): (&[i64], &[i64], &[i64]),
    output_size: Option<&[i64]>,
    n: usize,
) -> Result<Tensor> {
    let shape = x.shape();
    ensure!(
        indices.dtype() == DType::I64,
        Runtime,
        "elements in indices should be type int64 but got: {}",
        indices.dtype().scalar_name()
    );
    // A row is a plane of one column, as PyTorch has it.
    let (m, seen) = (n.max(2), |t: &Tensor| {
        let mut s = t.shape();
        if n == 1 {
            s.push(1);
        }
        s
    });
    ensure!(
        shape.len() == n + 1 || shape.len() == n + 2,
        Runtime,
        "Input to max_unpooling{m}d should be a {}d or {}d Tensor, but got a tensor with {} dimensions.",
        m + 1,
        m + 2,
        seen(x).len()
    );
    ensure!(
        indices.shape() == shape,
        Runtime,
        "Expected shape of indices to be same as that of the input tensor ({:?}) but got indices tensor with shape: {:?}",
        &seen(x)[..],
        &seen(indices)[..]
    );
    let kernel = spread(name, "kernel_size", kernel, n)?;
    let stride = if stride.is_empty() { kernel.clone() } else { spread(name, "stride", stride, n)? };
    let padding = spread(name, "padding", padding, n)?;
    ensure!(
        n < 3 || stride.iter().all(|s| *s > 0),
        Runtime,
        "strides should be greater than zero, but got stride: {stride:?}"
    );
    let lead = shape.len() - n;
    let usual: Vec<i64> = (0..n)
        .map(|i| {
            (shape[lead + i] - 1).saturating_mul(stride[i]).saturating_add(kernel[i]).saturating_sub(2 * padding[i])
        })
        .collect();
    let size = match output_size {
        None => usual,
        Some(s) => {
            let s = if s.len() == n + 2 { &s[2..] } else { s };
            ensure!(
                s.len() == n,
                Value,
                "output_size should be a sequence containing {n} or {} elements, but it has a length of '{}'",
                n + 2,
                s.len()
            );
            for i in 0..n {
                let (low, high) = (usual[i] - stride[i], usual[i] + stride[i]);
                ensure!(
                    low < s[i] && s[i] < high,
                    Value,
                    "invalid output_size \"{s:?}\" (dim {i} must be between {low} and {high})"
                );
            }
            s.to_vec()
        }
    };
    ensure!(
        size.iter().all(|s| *s > 0),
        Runtime,
        "{name}: the output would be of size {size:?}, which must be positive"
    );
    let mut out = Dims::from_slice(&shape[..lead]);
    out.extend_from_slice(&size);
    let planes: i64 = shape[..lead].iter().product();
    crate::base::layout::checked_numel(&out)?;
    let area: i64 = size.iter().product();
    let flat = |t: &Tensor| reshape(t, &[planes, shape[lead..].iter().product()]);
    let target = zeros(&[planes, area], Some(x.dtype()), Some(x.device()))?;
    let index = flat(indices)?;
    if x.device().is_cpu() {
        if let Some(bad) = indices.to_i64_vec()?.into_iter().find(|i| *i < 0 || *i >= area) {
            bail!(Runtime, "Found an invalid max index: {bad} (output volumes are of size {size:?})");
        }
    }
    reshape(&scatter_src(&target, 1, &index, &flat(x)?)?, &out)
}
macro_rules! unpool {
    ($($f:ident $n:literal)*) => {$(
        /// Zeros with the values of a max pooling at the places that it took them from.
        pub fn $f(
            x: &Tensor,
            indices: &Tensor,
            kernel_size: &[i64],
            stride: &[i64],
            padding: &[i64],
            output_size: Option<&[i64]>,
        ) -> Result<Tensor> {
            max_unpool(stringify!($f), x, indices, (kernel_size, stride, padding), output_size, $n)
        }
    )*};
}
unpool!(max_unpool1d 1 max_unpool2d 2 max_unpool3d 3);

// ---- fractional max pooling (Graham, 2015) ----

fn fractional(
    name: &str,
    x: &Tensor,
    kernel: &[i64],
    output: &[i64],
    samples: Option<&Tensor>,
    generator: Option<&Generator>,
    n: usize,
) -> Result<(Tensor, Tensor)> {
    let shape = x.shape();
    ensure!(
        shape.len() == n + 1 || shape.len() == n + 2,
        Runtime,
        "{name}: Expected {}D or {}D tensor, but got: {:?}",
        n + 1,
        n + 2,
        &shape[..]
    );
    let (kernel, output) = (spread(name, "kernel_size", kernel, n)?, spread(name, "output_size", output, n)?);
    let lead = shape.len() - n;
    let sizes = &shape[lead..];
    for i in 0..n {
        ensure!(
            kernel[i] > 0 && output[i] > 0 && output[i].saturating_add(kernel[i]) - 1 <= sizes[i],
            Runtime,
            "{name}: pool size ({}) and output size ({}) too large relative to input size ({})",
            kernel[i],
            output[i],
            sizes[i]
        );
    }
    let (batch, channels) = (if lead == 2 { shape[0] } else { 1 }, shape[lead - 1]);
    let planes = batch * channels;
    let samples = match samples {
        Some(s) => {
            let given = s.shape();
            let wrong = |what: String| Err(Error::new(ErrorKind::Runtime, format!("Expect _random_samples{what}")));
            match given[..] {
                [b, _, _] if b < batch => return wrong(".size(0) no less then input batch size.".into()),
                [_, c, _] if c != channels => return wrong(".size(1) equals to input channel size.".into()),
                [_, _, d] if d != n as i64 => return wrong(format!(".size(2) equals to {n}; got {d}.")),
                [_, _, _] => {}
                _ => return wrong(format!(" to have 3 dimensions, got {}", given.len())),
            }
            ensure!(s.dtype() == x.dtype(), Runtime, "Expect _random_samples to have the same dtype as input");
            // What is beyond the batch is not read.
            narrow(s, 0, 0, batch)?
        }
        None => rand(&[batch, channels, n as i64], generator, Some(x.dtype()), Some(x.device()))?,
    };
    let samples = reshape(&detach(&samples)?, &[planes, n as i64])?;
    let device = Some(x.device());
    // The place in the plane of every element of every window: [planes, outputs.., kernel..].
    let mut place: Option<Tensor> = None;
    for i in 0..n {
        // Images name the width's sample first.
        let u = select(&samples, 1, if n == 2 { 1 - i as i64 } else { i as i64 })?;
        let start = if output[i] == 1 {
            full(&[planes, 1], Scalar::Int(sizes[i] - kernel[i]), Some(DType::I64), device)?
        } else {
            let alpha = Scalar::Float((sizes[i] - kernel[i]) as f64 / (output[i] - 1) as f64);
            let steps = arange(Scalar::Int(output[i] - 1), Some(x.dtype()), device)?;
            let u = unsqueeze(&u, 1)?;
            let whole = |t: &Tensor| cast(&trunc(&mul_scalar(t, alpha)?)?, DType::I64);
            let inner = sub(&whole(&add(&u, &steps, ONE)?)?, &whole(&u)?, ONE)?;
            let last = full(&[planes, 1], Scalar::Int(sizes[i] - kernel[i]), Some(DType::I64), device)?;
            cat(&[inner, last], 1)?
        };
        let mut outer = vec![1i64; 2 * n + 1];
        (outer[0], outer[1 + i]) = (planes, output[i]);
        let mut inner = vec![1i64; 2 * n + 1];
        inner[1 + n + i] = kernel[i];
        let steps = reshape(&arange(Scalar::Int(kernel[i]), Some(DType::I64), device)?, &inner)?;
        let along = add(&reshape(&start, &outer)?, &steps, ONE)?;
        place = Some(match place {
            None => along,
            Some(p) => add(&mul_scalar(&p, Scalar::Int(sizes[i]))?, &along, ONE)?,
        });
    }
    let place = place.expect("at least two dimensions");
    let (windows, in_window): (i64, i64) = (output.iter().product(), kernel.iter().product());
    let flat = reshape(x, &[planes, sizes.iter().product()])?;
    let place = reshape(&place, &[planes, windows * in_window])?;
    let values = reshape(&gather(&flat, 1, &place)?, &[planes, windows, in_window])?;
    let best = argmax(&detach(&values)?, Some(-1), true)?;
    let mut out = Dims::from_slice(&shape[..lead]);
    out.extend_from_slice(&output);
    let indices = gather(&reshape(&place, &[planes, windows, in_window])?, 2, &best)?;
    Ok((reshape(&gather(&values, 2, &best)?, &out)?, reshape(&indices, &out)?))
}
/// The largest element of each of a plane's windows, whose places are drawn, and its place.
pub fn fractional_max_pool2d_with_indices(
    x: &Tensor,
    kernel_size: &[i64],
    output_size: &[i64],
    random_samples: Option<&Tensor>,
    generator: Option<&Generator>,
) -> Result<(Tensor, Tensor)> {
    fractional("fractional_max_pool2d", x, kernel_size, output_size, random_samples, generator, 2)
}
/// The same of volumes.
pub fn fractional_max_pool3d_with_indices(
    x: &Tensor,
    kernel_size: &[i64],
    output_size: &[i64],
    random_samples: Option<&Tensor>,
    generator: Option<&Generator>,
) -> Result<(Tensor, Tensor)> {
    fractional("fractional_max_pool3d", x, kernel_size, output_size, random_samples, generator, 3)
}

// ---- rrelu, losses, distances and the like ----

/// self where positive, else times a slope: in training a random one for each element, between lower and upper.
pub fn rrelu(
    x: &Tensor,
    lower: Scalar,
    upper: Scalar,
    training: bool,
    generator: Option<&Generator>,
) -> Result<Tensor> {
    let (low, high) = (lower.to_f64(), upper.to_f64());
    ensure!(low <= high, Runtime, "Lower bound should be less than or equal to the upper bound");
    ensure!(
        low.is_finite() && high.is_finite(),
        Runtime,
        "rrelu: lower and upper must be finite, got {low} and {high}"
    );
    ensure!(
        x.dtype().is_float(),
        NotImplemented,
        "\"rrelu_with_noise_out_cpu\" not implemented for '{}'",
        x.dtype().scalar_name()
    );
    if !training {
        return leaky_relu(x, Scalar::Float((low + high) / 2.0));
    }
    // Only elements that need one take a draw, in their order.
    let slopes = autograd::no_grad(|| {
        let low_ones = le_scalar(x, ZERO)?;
        let count = sum(&low_ones, None)?.item()?.to_i64();
        let drawn = Tensor::empty(&[count], DType::F64, x.device())?;
        uniform_(&drawn, low, high, generator)?;
        let one = ones_like(x, None, None)?;
        masked_scatter(&one, &low_ones, &cast(&drawn, x.dtype())?)
    })?;
    mul(x, &slopes)
}
pub fn rrelu_(x: &Tensor, lower: Scalar, upper: Scalar, training: bool, generator: Option<&Generator>) -> Result<()> {
    in_place::write_back(x, true, |x| rrelu(x, lower, upper, training, generator))
}
/// Over each row's targets (up to the first -1) and the other classes: max(0, 1 - (x[target] - x[other])), by the number of
/// classes.
pub fn multilabel_margin_loss(input: &Tensor, target: &Tensor, reduction: &str) -> Result<Tensor> {
    check_reduction(reduction)?;
    let s = input.shape();
    ensure!(
        (s.len() == 2 && s[1] != 0) || s.len() == 1 || s.is_empty(),
        Runtime,
        "Expected non-empty vector or matrix with optional 0-dim batch size, but got: {:?}",
        &s[..]
    );
    ensure!(
        target.shape() == s,
        Runtime,
        "inconsistent target size: {:?} for input of size: {:?}",
        &target.shape()[..],
        &s[..]
    );
    ensure!(
        s.len() != 1 || s[0] != 0,
        Runtime,
        "Expected non-empty vector or matrix with optional 0-dim batch size, but got: {:?}",
        &s[..]
    );
    ensure!(
        target.dtype() == DType::I64,
        Runtime,
        "multilabel_margin_loss: expected targets of dtype int64, got {}",
        target.dtype()
    );
    let classes = s.last().copied().unwrap_or(1);
    let rows: i64 = if s.len() == 2 { s[0] } else { 1 };
    let t = reshape(target, &[rows, classes])?;
    if t.device().is_cpu() && t.numel() > 0 {
        let (low, high) = aminmax(&t, None, false)?;
        ensure!(
            low.item()?.to_i64() >= -1 && high.item()?.to_i64() < classes,
            Runtime,
            "multilabel_margin_loss: target out of range, expected -1 to {}",
            classes - 1
        );
    }
    let loss = in_float([input], |[x]| {
        let x = reshape(x, &[rows, classes])?;
        let valid = ge_scalar(&cummin(&t, 1)?.0, ZERO)?;
        let at = masked_fill_scalar(&t, &logical_not(&valid)?, ZERO)?;
        let counts = scatter_add(&zeros_like(&t, None, None)?, 1, &at, &cast(&valid, DType::I64)?)?;
        let other = eq_scalar(&counts, ZERO)?;
        let apart = sub(&unsqueeze(&x, 1)?, &unsqueeze(&gather(&x, 1, &at)?, 2)?, ONE)?;
        let each = clamp_min(&add_scalar(&apart, ONE, ONE)?, ZERO)?;
        let counted = logical_and(&unsqueeze(&valid, 2)?, &unsqueeze(&other, 1)?)?;
        let each = where_scalar_other(&counted, &each, Scalar::Float(0.0))?;
        div_scalar(&sum_dim(&each, Some(&[1, 2]), false, None)?, Scalar::Int(classes))
    })?;
    let loss = if s.len() == 2 { loss } else { squeeze_dim(&loss, 0)? };
    reduce_loss(loss, reduction)
}
/// Distances between all pairs of different rows.
pub fn pdist(x: &Tensor, p: f64) -> Result<Tensor> {
    ensure!(x.ndim() == 2, Runtime, "pdist only supports 2D tensors, got: {}D", x.ndim());
    ensure!(matches!(x.dtype(), DType::F32 | DType::F64), Runtime, "pdist only supports floating-point dtypes");
    ensure!(p >= 0.0, Runtime, "pdist only supports non-negative p values");
    let n = x.size(0)?;
    let pairs = triu_indices(n, n, 1, None, Some(x.device()))?;
    let side = |k: i64| index_select(x, 0, &select(&pairs, 0, k)?);
    norm_dim(&sub(&side(0)?, &side(1)?, ONE)?, Some(Scalar::Float(p)), Some(&[1]), false)
}
/// A convolution over (time, batch, channels), with weight (width, in, out).
pub fn conv_tbc(x: &Tensor, weight: &Tensor, bias: &Tensor, pad: i64) -> Result<Tensor> {
    ensure!(x.ndim() == 3, Runtime, "Input must have 3 dims: time, batch, in_channel");
    ensure!(weight.ndim() == 3, Runtime, "Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.");
    ensure!(bias.ndim() == 1, Runtime, "Bias must be 1-D");
    ensure!(
        x.size(2)? == weight.size(1)?,
        Runtime,
        "Input dim 2 (input channels) is not == dim 1 in the weight tensor(input channels)."
    );
    ensure!(
        weight.size(2)? == bias.size(0)?,
        Runtime,
        "Bias size must equal dim 2 in the weight tensor (output channels)."
    );
    let y = conv1d(&permute(x, &[1, 2, 0])?, &permute(weight, &[2, 1, 0])?, Some(bias), &[1], &[pad], &[1], 1)?;
    permute(&y, &[2, 0, 1])
}
/// Divided by a power of the sum of squares over neighbouring channels, as many on both sides.
pub fn cross_map_lrn2d(x: &Tensor, size: i64, alpha: f64, beta: f64, k: f64) -> Result<Tensor> {
    ensure!(x.ndim() == 4, Runtime, "CrossMapLRN2d: Expected input to be 4D, got {}D instead.", x.ndim());
    ensure!(size > 0, Runtime, "CrossMapLRN2d: size must be positive, got {size}");
    in_float([x], |[x]| {
        let channels = x.size(1)?;
        let side = ((size - 1) / 2).min(channels);
        let wide = pad(&square(x)?, &[0, 0, 0, 0, side, side], "constant", None)?;
        let sums = sum_dim(&unfold(&wide, 1, 2 * side + 1, 1)?, Some(&[-1]), false, None)?;
        // PyTorch never takes the first channel out of the sum again.
        let beyond = cast(
            &ge_scalar(&arange(Scalar::Int(channels), None, Some(x.device()))?, Scalar::Int(side + 1))?,
            x.dtype(),
        )?;
        let kept = mul(&square(&narrow(x, 1, 0, channels.min(1))?)?, &reshape(&beyond, &[-1, 1, 1])?)?;
        let sums = add(&sums, &kept, ONE)?;
        let scale = add_scalar(&mul_scalar(&sums, Scalar::Float(alpha / size as f64))?, Scalar::Float(k), ONE)?;
        mul(x, &pow_scalar(&scale, Scalar::Float(-beta))?)
    })
}
macro_rules! written {
    ($($f_:ident $f:ident ($($a:ident: $t:ty),*);)*) => {$(
        pub fn $f_(x: &Tensor, $($a: $t),*) -> Result<()> {
            in_place::write_back(x, true, |x| $f(x, $($a),*))
        }
    )*};
}
written! {
    celu_ celu(alpha: Scalar);
    elu_ elu(alpha: Scalar);
    hardtanh_ hardtanh(min_val: Scalar, max_val: Scalar);
    leaky_relu_ leaky_relu(negative_slope: Scalar);
    selu_ selu();
    threshold_ threshold(limit: Scalar, value: Scalar);
}
