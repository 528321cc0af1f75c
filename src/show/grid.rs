//! Tensors as pictures: one image, or several side by side.

use super::png::{encode, Image};
use crate::io::file::Writer;
use crate::{autograd, ensure, ops, DType, Device, Result, Tensor};
use std::path::Path;

/// How a batch of images is laid out.
pub struct Layout {
    /// Images in a row, at least 1.
    pub columns: i64,
    /// Pixels around each image of a batch.
    pub padding: i64,
    /// Colour of that border, between 0 and 1.
    pub border: f64,
    /// Shifts and scales all images together, so that they lie between 0 and 1.
    pub normalize: bool,
}

/// The images of a tensor as one picture. [H, W], [C, H, W] or [N, C, H, W] with one or three channels: uint8 from 0 to 255,
/// bool, or floats from 0 to 1; what is beyond is cut off, NaN is black.
pub fn picture(images: &Tensor, layout: &Layout) -> Result<Image> {
    let shape = images.shape();
    let (n, c, h, w) = match shape[..] {
        [h, w] => (1, 1, h, w),
        [c, h, w] => (1, c, h, w),
        [n, c, h, w] => (n, c, h, w),
        _ => crate::bail!(Value, "images are [H, W], [C, H, W] or [N, C, H, W], got {:?}", &shape[..]),
    };
    ensure!(c == 1 || c == 3, Value, "images have 1 or 3 channels, got {c} in {:?}", &shape[..]);
    ensure!(n > 0 && h > 0 && w > 0, Value, "there is no image in {:?}", &shape[..]);
    let dtype = images.dtype();
    ensure!(
        dtype.is_float() || matches!(dtype, DType::U8 | DType::Bool),
        Type,
        "images are uint8, bool or of a float dtype, got {}",
        dtype.name()
    );
    ensure!(layout.columns > 0, Value, "columns must be at least 1, got {}", layout.columns);
    ensure!((0..=1024).contains(&layout.padding), Value, "padding must be from 0 to 1024, got {}", layout.padding);
    let host = autograd::no_grad(|| {
        let t = ops::to(&ops::detach(images)?, Some(DType::F32), Some(Device::CPU), false)?;
        ops::reshape(&t, &[n, c, h, w])
    })?;
    let data = host.to_vec::<f32>()?;
    let (mut low, mut scale) = (0.0f32, if dtype == DType::U8 { 1.0 } else { 255.0f32 });
    if layout.normalize {
        let finite = || data.iter().copied().filter(|v| v.is_finite());
        let least = finite().fold(f32::INFINITY, f32::min);
        let most = finite().fold(f32::NEG_INFINITY, f32::max);
        if least <= most {
            (low, scale) = (least, 255.0 / (most - least).max(1e-5));
        }
    }
    let byte = |v: f32| ((v - low) * scale + 0.5).clamp(0.0, 255.0) as u8;
    let padding = if shape.len() == 4 { layout.padding } else { 0 };
    let across = layout.columns.min(n);
    let down = (n - 1) / across + 1;
    let side = |count: i64, size: i64| {
        size.checked_add(padding).and_then(|s| s.checked_mul(count)).and_then(|s| s.checked_add(padding))
    };
    let sides = side(across, w)
        .zip(side(down, h))
        .and_then(|(w, h)| Some((usize::try_from(w).ok()?, usize::try_from(h).ok()?)));
    let (width, height) = sides.unwrap_or((usize::MAX, usize::MAX));
    let mut image = Image::new(width, height, [(layout.border.clamp(0.0, 1.0) * 255.0 + 0.5) as u8; 3])?;
    let (c, h, w) = (c as usize, h as usize, w as usize);
    for i in 0..n as usize {
        let left = padding as usize + (i % across as usize) * (w + padding as usize);
        let top = padding as usize + (i / across as usize) * (h + padding as usize);
        for y in 0..h {
            for x in 0..w {
                let at = 3 * ((top + y) * width + left + x);
                for channel in 0..3 {
                    let from = ((i * c + channel.min(c - 1)) * h + y) * w + x;
                    image.pixels[at + channel] = byte(data[from]);
                }
            }
        }
    }
    Ok(image)
}

/// Writes the images of a tensor into a PNG file.
pub fn save_image(images: &Tensor, path: &Path, layout: &Layout) -> Result<()> {
    let bytes = encode(&picture(images, layout)?)?;
    let mut file = Writer::begin(path)?;
    file.write(&bytes)?;
    file.commit()
}
