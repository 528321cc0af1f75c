//! Numbers of pixels: to floats, normalised, brighter, with other colours. The formulas are torchvision's.

use crate::base::settings::default_dtype;
use crate::{ensure, ops, DType, Result, Scalar, Tensor};

const ONE: Scalar = Scalar::Int(1);

/// Bytes become floats from 0 to 1 of the default dtype, others stay as they are; `channels_last` turns [.., H, W, C] into
/// [.., C, H, W] and gives [H, W] a channel.
pub fn to_tensor(image: &Tensor, channels_last: bool) -> Result<Tensor> {
    let mut image = image.clone();
    if channels_last {
        let n = image.ndim() as i64;
        ensure!(n >= 2, Value, "pic should be 2/3 dimensional. Got {n} dimensions.");
        image = match n {
            2 => ops::unsqueeze(&image, 0)?,
            _ => ops::contiguous(&ops::transpose(&ops::transpose(&image, n - 1, n - 2)?, n - 2, n - 3)?)?,
        };
    }
    match image.dtype() {
        DType::U8 => ops::div_scalar(&ops::cast(&image, default_dtype())?, Scalar::Int(255)),
        _ => Ok(image),
    }
}

/// (x - mean) / std for each channel.
pub fn normalize(images: &Tensor, mean: &[f64], std: &[f64]) -> Result<Tensor> {
    let dtype = images.dtype();
    ensure!(dtype.is_real_float(), Type, "Input tensor should be a float tensor. Got {dtype}.");
    let shape = images.shape();
    ensure!(
        shape.len() >= 3,
        Value,
        "Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {:?}",
        &shape[..]
    );
    let channels = shape[shape.len() - 3];
    let each = |name: &str, values: &[f64]| -> Result<Tensor> {
        let n = values.len() as i64;
        ensure!(
            n == 1 || n == channels,
            Value,
            "{name} must have one number, or one for each of the {channels} channels, got {n}"
        );
        let t = ops::cast(&Tensor::from_slice(values, &[n, 1, 1])?, dtype)?;
        ops::to_device(&t, images.device())
    };
    let (mean, std) = (each("mean", mean)?, each("std", std)?);
    let zero = ops::any(&ops::eq_scalar(&std, Scalar::Int(0))?)?;
    ensure!(
        images.device().is_meta() || !zero.item()?.to_bool(),
        Value,
        "std evaluated to zero after conversion to {dtype}, leading to division by zero."
    );
    ops::div(&ops::sub(images, &mean, ONE)?, &std)
}

/// How many channels there are, 1 or 3.
fn channels(images: &Tensor) -> Result<i64> {
    let shape = images.shape();
    ensure!(shape.len() >= 3, Type, "Input image tensor should have at least 3 dimensions, but found {}", shape.len());
    let c = shape[shape.len() - 3];
    ensure!(c == 1 || c == 3, Type, "Input image tensor permitted channel values are [1, 3], but found {c}");
    let dtype = images.dtype();
    ensure!(dtype == DType::U8 || dtype.is_real_float(), Type, "images must be uint8 or floating-point, got {dtype}");
    Ok(c)
}
fn not_negative(name: &str, factor: f64) -> Result<()> {
    ensure!(factor >= 0.0, Value, "{name}_factor ({factor}) is not non-negative.");
    Ok(())
}
fn times(a: &Tensor, by: f64) -> Result<Tensor> {
    ops::mul_scalar(a, Scalar::Float(by))
}
fn plus(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ops::add(a, b, ONE)
}
fn minus(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ops::sub(a, b, ONE)
}

/// Between two images, cut off at black and white.
fn blend(a: &Tensor, b: Option<&Tensor>, ratio: f64) -> Result<Tensor> {
    let mut sum = times(a, ratio)?;
    if let Some(b) = b {
        sum = plus(&sum, &times(b, 1.0 - ratio)?)?;
    }
    let white = Scalar::Int(if a.dtype() == DType::U8 { 255 } else { 1 });
    ops::cast(&ops::clamp(&sum, Some(Scalar::Int(0)), Some(white))?, a.dtype())
}

fn luminance(images: &Tensor) -> Result<Tensor> {
    let n = images.ndim() as i64;
    let part = |c: i64, weight: f64| times(&ops::select(images, n - 3, c)?, weight);
    let sum = plus(&plus(&part(0, 0.2989)?, &part(1, 0.587)?)?, &part(2, 0.114)?)?;
    ops::unsqueeze(&ops::cast(&sum, images.dtype())?, n - 3)
}

/// Grey images with one channel or three equal ones.
pub fn grayscale(images: &Tensor, num_output_channels: i64) -> Result<Tensor> {
    let c = channels(images)?;
    ensure!(
        num_output_channels == 1 || num_output_channels == 3,
        Value,
        "num_output_channels should be either 1 or 3, got {num_output_channels}"
    );
    let grey = if c == 3 { luminance(images)? } else { ops::clone(images)? };
    if num_output_channels == 1 {
        return Ok(grey);
    }
    let mut shape = images.shape();
    let n = shape.len();
    shape[n - 3] = 3;
    ops::expand(&grey, &shape)
}

/// `factor` times as bright.
pub fn brightness(images: &Tensor, factor: f64) -> Result<Tensor> {
    not_negative("brightness", factor)?;
    channels(images)?;
    blend(images, None, factor)
}

/// 0 gives the mean of the grey image, 1 the images.
pub fn contrast(images: &Tensor, factor: f64) -> Result<Tensor> {
    not_negative("contrast", factor)?;
    let grey = if channels(images)? == 3 { luminance(images)? } else { images.clone() };
    let dtype = if grey.dtype() == DType::U8 { DType::F32 } else { grey.dtype() };
    let mean = ops::mean_dim(&ops::cast(&grey, dtype)?, Some(&[-3, -2, -1]), true, None)?;
    blend(images, Some(&mean), factor)
}

/// 0 gives the grey image, 1 the images.
pub fn saturation(images: &Tensor, factor: f64) -> Result<Tensor> {
    not_negative("saturation", factor)?;
    match channels(images)? {
        1 => Ok(images.clone()),
        _ => blend(images, Some(&luminance(images)?), factor),
    }
}

/// Colours turned by `factor` of the circle, from -0.5 to 0.5.
pub fn hue(images: &Tensor, factor: f64) -> Result<Tensor> {
    ensure!((-0.5..=0.5).contains(&factor), Value, "hue_factor ({factor}) is not in [-0.5, 0.5].");
    if channels(images)? == 1 {
        return Ok(images.clone());
    }
    let dtype = images.dtype();
    let floats = ops::cast(images, DType::F32)?;
    let floats = if dtype == DType::U8 { ops::div_scalar(&floats, Scalar::Int(255))? } else { floats };
    let [h, s, v] = to_hsv(&floats)?;
    let turned = ops::remainder_scalar(&ops::add_scalar(&h, Scalar::Float(factor), ONE)?, Scalar::Int(1))?;
    let out = from_hsv(&turned, &s, &v)?;
    // A little less than 256 halves of bytes would be, so that 1 is 255 and no byte is rarer than another.
    let out = if dtype == DType::U8 { times(&out, 255.0 + 1.0 - 1e-3)? } else { out };
    ops::cast(&out, dtype)
}

fn to_hsv(images: &Tensor) -> Result<[Tensor; 3]> {
    let n = images.ndim() as i64;
    let part = |c: i64| ops::select(images, n - 3, c);
    let (r, g, b) = (part(0)?, part(1)?, part(2)?);
    let (most, least) = (ops::amax(images, &[n - 3], false)?, ops::amin(images, &[n - 3], false)?);
    let grey = ops::eq(&most, &least)?;
    let range = minus(&most, &least)?;
    let or_one = |x: &Tensor| ops::where_scalar_self(&grey, ONE, x);
    let s = ops::div(&range, &or_one(&most)?)?;
    let divisor = or_one(&range)?;
    let short = |x: &Tensor| ops::div(&minus(&most, x)?, &divisor);
    let (rc, gc, bc) = (short(&r)?, short(&g)?, short(&b)?);
    let (is_r, is_g) = (ops::eq(&most, &r)?, ops::eq(&most, &g)?);
    let from = |offset: f64, a: &Tensor, b: &Tensor| minus(&ops::add_scalar(a, Scalar::Float(offset), ONE)?, b);
    // Which of the three is greatest says where on the circle the colour is.
    let third = from(4.0, &gc, &rc)?;
    let second = ops::where_(&is_g, &from(2.0, &rc, &bc)?, &third)?;
    let h = ops::where_(&is_r, &minus(&bc, &gc)?, &second)?;
    let h = ops::add_scalar(&ops::div_scalar(&h, Scalar::Int(6))?, ONE, ONE)?;
    Ok([ops::fmod_scalar(&h, ONE)?, s, most])
}

fn from_hsv(h: &Tensor, s: &Tensor, v: &Tensor) -> Result<Tensor> {
    let six = times(h, 6.0)?;
    let sector = ops::floor(&six)?;
    let f = minus(&six, &sector)?;
    let rest = |x: &Tensor| ops::rsub_scalar(x, ONE, ONE);
    let level = |x: &Tensor| ops::clamp(&ops::mul(v, x)?, Some(Scalar::Int(0)), Some(Scalar::Int(1)));
    let p = level(&rest(s)?)?;
    let q = level(&rest(&ops::mul(s, &f)?)?)?;
    let t = level(&rest(&ops::mul(s, &rest(&f)?)?)?)?;
    let sector = ops::remainder_scalar(&ops::cast(&sector, DType::I64)?, Scalar::Int(6))?;
    let dim = h.ndim() as i64 - 2;
    let place = ops::unsqueeze(&sector, dim)?;
    let chosen = |of: [&Tensor; 6]| -> Result<Tensor> {
        let six = of.map(Clone::clone);
        ops::gather(&ops::stack(&six, dim)?, dim, &place)
    };
    let (r, g, b) = (chosen([v, &q, &p, &p, &t, v])?, chosen([&t, v, v, &q, &p, &p])?, chosen([&p, &p, &t, v, v, &q])?);
    ops::cat(&[r, g, b], dim)
}
