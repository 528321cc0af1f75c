//! Calls of `spec/layers.txt` whose arguments a layer holds otherwise than the op takes them.

use crate::gate::front as ops;
use crate::nn::class::Values;
use crate::nn::{one, Attribute, Module, Outputs};
use crate::{autograd, ensure, Result, Tensor};

/// The result written into the input; its derivative may need what the input was.
pub fn in_place(inplace: bool, x: &Tensor, op: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if !inplace {
        return op(x);
    }
    let recorded = autograd::grad_enabled() && autograd::requires_grad(x);
    let old = if recorded { ops::clone(x)? } else { x.clone() };
    ops::copy_(x, &op(&old)?)?;
    Ok(x.clone())
}

/// The same of an op that has a form of its own for it.
pub fn written(
    inplace: bool,
    x: &Tensor,
    own: impl FnOnce() -> Result<()>,
    op: impl FnOnce() -> Result<Tensor>,
) -> Result<Tensor> {
    if !inplace {
        return op();
    }
    own()?;
    Ok(x.clone())
}

/// A convolution whose padding is numbers or a word: values `padding`.
#[allow(clippy::too_many_arguments)] // the op's
pub fn conv_padded(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    (v, padding): (&Values, usize),
    dilation: &[i64],
    groups: i64,
    padding_mode: &str,
) -> Result<Tensor> {
    let n = weight.ndim().saturating_sub(2);
    // The plain case has its own path, without a list of sides.
    if let (Some(p), "zeros") = (v.opt_ints(padding), padding_mode) {
        let op = [ops::conv1d, ops::conv2d, ops::conv3d][n.clamp(1, 3) - 1];
        return op(input, weight, bias, stride, p, dilation, groups);
    }
    let (numbers, word) = (v.ints(padding), v.opt_text(padding));
    ops::conv_padded(input, weight, bias, stride, numbers, dilation, groups, padding_mode, word)
}

/// A transposed convolution, whose padding is numbers.
#[allow(clippy::too_many_arguments)] // the op's
pub fn conv_transposed(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    (v, padding): (&Values, usize),
    output_padding: &[i64],
    groups: i64,
    dilation: &[i64],
    output_size: Option<&[i64]>,
) -> Result<Tensor> {
    ensure!(v.opt_text(padding).is_none(), Type, "padding='{}' is for convolutions alone", v.text(padding));
    let padding = v.ints(padding);
    ops::conv_transpose_sized(input, weight, bias, stride, padding, output_padding, groups, dilation, output_size)
}

/// The dimension that softmax takes where none is named, PyTorch's.
fn implied(x: &Tensor, dim: Option<i64>) -> i64 {
    dim.unwrap_or(if matches!(x.ndim(), 0 | 1 | 3) { 0 } else { 1 })
}
pub fn softmax(x: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    ops::softmax(x, implied(x, dim), None)
}
pub fn softmin(x: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    ops::softmin(x, implied(x, dim), None)
}
pub fn log_softmax(x: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    ops::log_softmax(x, implied(x, dim), None)
}

/// The values alone, or with their indices.
pub fn indexed(
    return_indices: bool,
    plain: impl FnOnce() -> Result<Tensor>,
    both: impl FnOnce() -> Result<(Tensor, Tensor)>,
) -> Result<Outputs> {
    if !return_indices {
        return plain().map(one);
    }
    let (values, indices) = both()?;
    Ok(Outputs::from_vec(vec![Some(values), Some(indices)]))
}

/// A resizing by one factor or several.
pub fn interpolate(
    input: &Tensor,
    size: Option<&[i64]>,
    factors: &Attribute,
    mode: &str,
    align_corners: Option<bool>,
    recompute_scale_factor: Option<bool>,
) -> Result<Tensor> {
    let (mut all, mut height, mut width) = (None, None, None);
    match factors {
        Attribute::Float(f) => all = Some(*f),
        Attribute::Floats(f) => {
            let n = input.ndim().saturating_sub(2);
            ensure!(
                f.len() == n,
                Value,
                "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial \
                 dimensions of {n} and scale_factor of {f:?}"
            );
            all = Some(f[0]);
            height = (n > 1).then(|| f[n - 2]);
            width = Some(f[n - 1]);
        }
        _ => {}
    }
    ops::interpolate(input, size, all, mode, align_corners, recompute_scale_factor, false, height, width)
}

/// The triplet loss whose distance is the child `distance_function`.
pub fn triplet_margin_with_distance_loss(
    m: &Module,
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    margin: f64,
    swap: bool,
    reduction: &str,
) -> Result<Tensor> {
    let function = m.get_submodule("distance_function")?;
    let distance = |x: &Tensor, y: &Tensor| function.forward(&[x.clone(), y.clone()]);
    let (near, mut far) = (distance(anchor, positive)?, distance(anchor, negative)?);
    if swap {
        far = ops::minimum(&far, &distance(positive, negative)?)?;
    }
    let more = ops::add_scalar(&ops::sub(&near, &far, 1.into())?, margin.into(), 1.into())?;
    let loss = ops::clamp_min(&more, 0.into())?;
    match reduction {
        "none" => Ok(loss),
        "sum" => ops::sum(&loss, None),
        _ => ops::mean(&loss, None),
    }
}
