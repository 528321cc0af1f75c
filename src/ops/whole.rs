//! Convolutions and average pooling of integers, composed of views and products, since kernels compute them of floats.

use super::*;
use crate::backend::ConvParams;
use crate::base::layout::Layout;
use crate::{ensure, Dims};

const ONE: Scalar = Scalar::Int(1);

/// The convolution of integers: windows as a view of the padded input, times the weight.
pub(super) fn conv(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    p: &ConvParams,
    shape: &[i64],
) -> Result<Tensor> {
    let n = shape.len() - 2;
    ensure!(input.dtype() != DType::Bool, NotImplemented, "\"slow_conv{}d_cpu\" not implemented for 'Bool'", n.max(2));
    if shape.contains(&0) {
        return zeros(shape, Some(input.dtype()), Some(input.device()));
    }
    let around: Vec<i64> = p.padding.iter().rev().flat_map(|k| [*k, *k]).collect();
    let x = pad(&contiguous(input)?, &around, "constant", Some(0.0))?;
    let x = contiguous(&x)?;
    let (l, sw) = (x.layout().clone(), weight.shape());
    let each = l.shape[1] / p.groups;
    // Batch, group, places, channels of the group, taps.
    let mut sizes = Dims::from_slice(&[shape[0], p.groups]);
    let mut strides = Dims::from_slice(&[l.strides[0], each * l.strides[1]]);
    for i in 0..n {
        sizes.push(shape[i + 2]);
        strides.push(l.strides[i + 2] * p.stride[i]);
    }
    sizes.push(each);
    strides.push(l.strides[1]);
    for i in 0..n {
        sizes.push(sw[i + 2]);
        strides.push(l.strides[i + 2] * p.dilation[i]);
    }
    let windows = x.alias(Layout { shape: sizes, strides, offset: l.offset })?;
    let places: i64 = shape[2..].iter().product();
    let taps: i64 = sw[1..].iter().product();
    let windows = reshape(&windows, &[shape[0], p.groups, places, taps])?;
    let kernels = reshape(weight, &[p.groups, sw[0] / p.groups, taps])?;
    let out = matmul(&windows, &transpose(&kernels, 1, 2)?)?;
    let out = reshape(&transpose(&out, 2, 3)?, shape)?;
    with_bias(&contiguous(&out)?, bias)
}
fn with_bias(out: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let Some(b) = bias else { return Ok(out.clone()) };
    let mut s = vec![1i64; out.ndim()];
    s[1] = -1;
    add(out, &reshape(b, &s)?, ONE)
}
/// The transposed convolution of integers: a convolution of the input with zeros between its elements.
pub(super) fn conv_transpose(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    p: &ConvParams,
    shape: &[i64],
) -> Result<Tensor> {
    let n = shape.len() - 2;
    ensure!(
        input.dtype() == DType::I64,
        NotImplemented,
        "\"slow_conv_transpose{}d_out_cpu\" not implemented for '{}'",
        n.max(2),
        input.dtype().scalar_name()
    );
    let (si, sw) = (input.shape(), weight.shape());
    if shape.contains(&0) || input.numel() == 0 {
        return with_bias(&zeros(shape, Some(input.dtype()), Some(input.device()))?, bias);
    }
    let mut spread = Dims::from_slice(&si[..2]);
    let mut around = Vec::with_capacity(2 * n);
    for i in 0..n {
        spread.push((si[i + 2] - 1) * p.stride[i] + 1);
    }
    for i in (0..n).rev() {
        let reach = (sw[i + 2] - 1) * p.dilation[i];
        let before = reach - p.padding[i];
        around.extend([before, shape[i + 2] + reach - before - spread[i + 2]]);
    }
    let x = zeros(&spread, Some(input.dtype()), Some(input.device()))?;
    let mut at = x.clone();
    for i in 0..n {
        at = slice(&at, i as i64 + 2, None, None, p.stride[i])?;
    }
    copy_(&at, input)?;
    let x = pad(&x, &around, "constant", Some(0.0))?;
    // [in, out / groups, kernel..] becomes [out, in / groups, kernel..], backwards.
    let mut by_group = Dims::from_slice(&[p.groups, sw[0] / p.groups]);
    by_group.extend_from_slice(&sw[1..]);
    let w = transpose(&reshape(weight, &by_group)?, 1, 2)?;
    let mut back = Dims::from_slice(&[p.groups * sw[1], sw[0] / p.groups]);
    back.extend_from_slice(&sw[2..]);
    let dims: Vec<i64> = (2..n as i64 + 2).collect();
    let w = flip(&reshape(&w, &back)?, &dims)?;
    let plain = ConvParams { stride: vec![1; n], padding: vec![0; n], dilation: p.dilation.clone(), groups: p.groups };
    conv(&x, &w, bias, &plain, shape)
}
/// The averages of integers, cut towards zero: sums and counts of the float kernel, then a division of integers.
pub(super) fn avg_pool(
    input: &Tensor,
    average: impl Fn(&Tensor, Option<i64>) -> Result<Tensor>,
    divisor: Option<i64>,
) -> Result<Tensor> {
    let whole = |t: &Tensor| cast(&round(t, 0)?, input.dtype());
    let x = cast(input, DType::F64)?;
    let total = whole(&average(&x, Some(1))?)?;
    let by = match divisor {
        Some(d) => full(&[], Scalar::Int(d), Some(input.dtype()), Some(input.device()))?,
        None => {
            // An average of ones is how many of them there are by what they are divided by.
            let one = ones_like(&x, None, None)?;
            whole(&div(&average(&one, Some(1))?, &average(&one, None)?)?)?
        }
    };
    div_tensor_mode(&total, &by, Some("trunc"))
}
