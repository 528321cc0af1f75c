//! Transforms that draw, with torchvision's draws in torchvision's order.

use super::frame::{crop, pad, rows_columns, sized};
use super::{brightness, contrast, hue, saturation};
use crate::base::settings::default_dtype;
use crate::rng::Generator;
use crate::{ensure, ops, DType, Device, Result, Scalar, Tensor};

type Gen<'a> = Option<&'a Generator>;

/// torch.empty(1).uniform_(from, to).
fn uniform(from: f64, to: f64, generator: Gen) -> Result<Tensor> {
    let t = Tensor::empty(&[1], default_dtype(), Device::CPU)?;
    ops::uniform_(&t, from, to, generator)?;
    Ok(t)
}
fn number(t: &Tensor) -> Result<f64> {
    Ok(t.item()?.to_f64())
}
/// torch.randint(0, below, size=(1,)).
fn integer(below: i64, generator: Gen) -> Result<i64> {
    let t = ops::randint(below, &[1], generator, Some(DType::I64), Some(Device::CPU))?;
    Ok(t.item()?.to_i64())
}

/// Mirrored with probability `p`: columns, or rows where `vertical`.
pub fn random_flip(images: &Tensor, p: f64, vertical: bool, generator: Gen) -> Result<Tensor> {
    rows_columns(images)?;
    ensure!((0.0..=1.0).contains(&p), Value, "p must be a probability from 0 to 1, got {p}");
    match number(&uniform(0.0, 1.0, generator)?)? < p {
        true => ops::flip(images, &[if vertical { -2 } else { -1 }]),
        false => Ok(images.clone()),
    }
}

/// A part of `height` rows of `width` pixels, anywhere, after padding; `if_needed` pads what is too small.
#[allow(clippy::too_many_arguments)] // as torchvision's
pub fn random_crop(
    images: &Tensor,
    height: i64,
    width: i64,
    padding: &[i64],
    if_needed: bool,
    fill: f64,
    mode: &str,
    generator: Gen,
) -> Result<Tensor> {
    ensure!(height > 0 && width > 0, Value, "a crop must have rows and columns, got {height} rows of {width} pixels");
    let mut images = pad(images, padding, mode, fill)?;
    let (rows, columns) = rows_columns(&images)?;
    if if_needed && columns < width {
        images = pad(&images, &[width - columns, 0], mode, fill)?;
    }
    if if_needed && rows < height {
        images = pad(&images, &[0, height - rows], mode, fill)?;
    }
    let (rows, columns) = rows_columns(&images)?;
    ensure!(
        rows >= height && columns >= width,
        Value,
        "Required crop size {:?} is larger than input image size {:?}",
        (height, width),
        (rows, columns)
    );
    if rows == height && columns == width {
        return Ok(images);
    }
    let top = integer(rows - height + 1, generator)?;
    let left = integer(columns - width + 1, generator)?;
    crop(&images, top, left, height, width)
}

fn range(name: &str, given: &[f64], default: (f64, f64)) -> Result<(f64, f64)> {
    let (from, to) = match *given {
        [] => default,
        [from, to] => (from, to),
        _ => crate::bail!(Value, "{name} must be two numbers, got {}", given.len()),
    };
    ensure!(
        0.0 < from && from <= to && to.is_finite(),
        Value,
        "{name} must be two positive numbers in order, got {from} and {to}"
    );
    Ok((from, to))
}

/// A part of random area (within `scale` of the whole) and shape (width by height within `ratio`), resized.
pub fn random_resized_crop(
    images: &Tensor,
    (height, width): (i64, i64),
    scale: &[f64],
    ratio: &[f64],
    filter: &str,
    generator: Gen,
) -> Result<Tensor> {
    let (rows, columns) = rows_columns(images)?;
    ensure!(rows > 0 && columns > 0, Value, "images of {rows} rows of {columns} pixels have no part");
    sized(images, height, width)?;
    let scale = range("scale", scale, (0.08, 1.0))?;
    let ratio = range("ratio", ratio, (3.0 / 4.0, 4.0 / 3.0))?;
    let log = |x: f64| -> Result<f64> {
        let t = ops::full(&[1], Scalar::Float(x), Some(default_dtype()), Some(Device::CPU))?;
        number(&ops::log(&t)?)
    };
    let (low, high) = (log(ratio.0)?, log(ratio.1)?);
    let area = rows as f64 * columns as f64;
    let (mut h, mut w, mut place) = (0, 0, None);
    for _ in 0..10 {
        let target = area * number(&uniform(scale.0, scale.1, generator)?)?;
        let aspect = number(&ops::exp(&uniform(low, high, generator)?)?)?;
        w = (target * aspect).sqrt().round_ties_even() as i64;
        h = (target / aspect).sqrt().round_ties_even() as i64;
        if 0 < w && w <= columns && 0 < h && h <= rows {
            let top = integer(rows - h + 1, generator)?;
            place = Some((top, integer(columns - w + 1, generator)?));
            break;
        }
    }
    let (top, left) = place.unwrap_or_else(|| {
        // The largest part in the middle whose shape is allowed.
        let whole = columns as f64 / rows as f64;
        (h, w) = (rows, columns);
        if whole < ratio.0 {
            h = (columns as f64 / ratio.0).round_ties_even() as i64;
        } else if whole > ratio.1 {
            w = (rows as f64 * ratio.1).round_ties_even() as i64;
        }
        ((rows - h) / 2, (columns - w) / 2)
    });
    ops::resize_images(&crop(images, top, left, h, w)?, height, width, filter)
}

/// What brightness, contrast, saturation and hue are drawn from: nothing, one number or two, as torchvision takes them.
pub struct Ranges<'a> {
    pub brightness: &'a [f64],
    pub contrast: &'a [f64],
    pub saturation: &'a [f64],
    pub hue: &'a [f64],
}

/// The range that one number or two mean; None where nothing would change.
fn factors(name: &str, given: &[f64], center: f64, (least, most): (f64, f64)) -> Result<Option<(f64, f64)>> {
    let (from, to) = match *given {
        [] => return Ok(None),
        [by] => {
            ensure!(by >= 0.0, Value, "If {name} is a single number, it must be non negative.");
            let from = center - by;
            (if center == 0.0 { from } else { from.max(0.0) }, center + by)
        }
        [from, to] => (from, to),
        _ => crate::bail!(Type, "{name} should be a single number or a list/tuple with length 2."),
    };
    ensure!(
        least <= from && from <= to && to <= most && to.is_finite(),
        Value,
        "{name} values should be between ({least}, {most}), but got [{from}, {to}]."
    );
    Ok((from != center || to != center).then_some((from, to)))
}

/// Brightness, contrast, saturation and hue, each drawn from its range, in an order that is drawn too.
pub fn color_jitter(images: &Tensor, ranges: &Ranges, generator: Gen) -> Result<Tensor> {
    let any = (0.0, f64::INFINITY);
    let ranges = [
        factors("brightness", ranges.brightness, 1.0, any)?,
        factors("contrast", ranges.contrast, 1.0, any)?,
        factors("saturation", ranges.saturation, 1.0, any)?,
        factors("hue", ranges.hue, 0.0, (-0.5, 0.5))?,
    ];
    let order = ops::randperm(4, generator, Some(DType::I64), Some(Device::CPU))?.to_i64_vec()?;
    let mut drawn = [None; 4];
    for (range, drawn) in ranges.iter().zip(&mut drawn) {
        if let Some((from, to)) = range {
            *drawn = Some(number(&uniform(*from, *to, generator)?)?);
        }
    }
    const ADJUST: [fn(&Tensor, f64) -> Result<Tensor>; 4] = [brightness, contrast, saturation, hue];
    let mut images = images.clone();
    for i in order {
        if let Some(factor) = drawn[i as usize] {
            images = ADJUST[i as usize](&images, factor)?;
        }
    }
    Ok(images)
}
