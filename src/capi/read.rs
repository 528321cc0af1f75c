//! Data sets, tables and images from files.

use crate::backend::memory;
use crate::base::settings::default_dtype;
use crate::io::source::Source;
use crate::read::{csv, folder, image, sets, transform};
use crate::rng::Generator;
use crate::{DType, Result, Tensor};
use std::path::Path;

/// `taper_read_idx`.
pub fn read_idx(path: &Path) -> Result<Tensor> {
    sets::idx(&Source::file(path, false)?)
}

/// `taper_read_cifar`.
pub fn read_cifar(path: &Path, classes: i64) -> Result<(Tensor, Tensor)> {
    sets::cifar(&Source::file(path, false)?, classes)
}

/// `taper_read_csv`.
pub fn read_csv(
    path: &Path,
    separator: Option<&str>,
    header: Option<bool>,
    missing: f64,
    dtype: Option<DType>,
) -> Result<(Tensor, String)> {
    let options = csv::Options { separator: csv::Options::separator(separator.unwrap_or(","))?, header, missing };
    let (values, names) = csv::read(&Source::file(path, false)?, &options, dtype.unwrap_or_else(default_dtype))?;
    Ok((values, lines(names.iter().map(String::as_str))?))
}

/// `taper_read_image`.
pub fn read_image(path: &Path, channels: i64) -> Result<Tensor> {
    image::decode(&Source::file(path, false)?, channels)
}

/// `taper_decode_image`.
pub fn decode_image(data: &[u8], channels: i64) -> Result<Tensor> {
    image::decode(&Source::memory(data), channels)
}

/// `taper_image_folder`.
pub fn image_folder(folder: &Path) -> Result<(String, Tensor, String)> {
    let found = folder::images(folder)?;
    let labels = Tensor::from_slice(&found.labels, &[found.labels.len() as i64])?;
    let texts = |v: &[String]| lines(v.iter().map(String::as_str));
    Ok((texts(&found.paths)?, labels, texts(&found.classes)?))
}

/// `taper_image_resize`.
pub fn image_resize(images: &Tensor, height: i64, width: i64, filter: Option<&str>) -> Result<Tensor> {
    crate::ops::resize_images(images, height, width, filter.unwrap_or("bilinear"))
}

/// `taper_image_to_tensor`.
pub fn image_to_tensor(image: &Tensor, channels_last: bool) -> Result<Tensor> {
    transform::to_tensor(image, channels_last)
}

/// `taper_image_normalize`.
pub fn image_normalize(images: &Tensor, mean: &[f64], std: &[f64]) -> Result<Tensor> {
    transform::normalize(images, mean, std)
}

/// `taper_image_crop`.
pub fn image_crop(images: &Tensor, top: i64, left: i64, height: i64, width: i64) -> Result<Tensor> {
    transform::crop(images, top, left, height, width)
}

/// `taper_image_center_crop`.
pub fn image_center_crop(images: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    transform::center_crop(images, height, width)
}

/// `taper_image_pad`.
pub fn image_pad(images: &Tensor, padding: &[i64], fill: f64, mode: Option<&str>) -> Result<Tensor> {
    transform::pad(images, padding, mode.unwrap_or("constant"), fill)
}

/// `taper_image_grayscale`.
pub fn image_grayscale(images: &Tensor, num_output_channels: i64) -> Result<Tensor> {
    transform::grayscale(images, num_output_channels)
}

/// `taper_image_adjust_brightness`.
pub fn image_adjust_brightness(images: &Tensor, factor: f64) -> Result<Tensor> {
    transform::brightness(images, factor)
}

/// `taper_image_adjust_contrast`.
pub fn image_adjust_contrast(images: &Tensor, factor: f64) -> Result<Tensor> {
    transform::contrast(images, factor)
}

/// `taper_image_adjust_saturation`.
pub fn image_adjust_saturation(images: &Tensor, factor: f64) -> Result<Tensor> {
    transform::saturation(images, factor)
}

/// `taper_image_adjust_hue`.
pub fn image_adjust_hue(images: &Tensor, factor: f64) -> Result<Tensor> {
    transform::hue(images, factor)
}

/// `taper_image_random_flip`.
pub fn image_random_flip(images: &Tensor, p: f64, vertical: bool, generator: Option<&Generator>) -> Result<Tensor> {
    transform::random_flip(images, p, vertical, generator)
}

/// `taper_image_random_crop`.
#[allow(clippy::too_many_arguments)] // as the C function
pub fn image_random_crop(
    images: &Tensor,
    height: i64,
    width: i64,
    padding: &[i64],
    pad_if_needed: bool,
    fill: f64,
    mode: Option<&str>,
    generator: Option<&Generator>,
) -> Result<Tensor> {
    let mode = mode.unwrap_or("constant");
    transform::random_crop(images, height, width, padding, pad_if_needed, fill, mode, generator)
}

/// `taper_image_random_resized_crop`.
pub fn image_random_resized_crop(
    images: &Tensor,
    height: i64,
    width: i64,
    scale: &[f64],
    ratio: &[f64],
    filter: Option<&str>,
    generator: Option<&Generator>,
) -> Result<Tensor> {
    transform::random_resized_crop(images, (height, width), scale, ratio, filter.unwrap_or("bilinear"), generator)
}

/// `taper_image_color_jitter`.
pub fn image_color_jitter(
    images: &Tensor,
    brightness: &[f64],
    contrast: &[f64],
    saturation: &[f64],
    hue: &[f64],
    generator: Option<&Generator>,
) -> Result<Tensor> {
    transform::color_jitter(images, &transform::Ranges { brightness, contrast, saturation, hue }, generator)
}

/// Texts, each ended by a newline; one that a text has inside is a space.
fn lines<'a>(texts: impl Iterator<Item = &'a str>) -> Result<String> {
    let mut out = String::new();
    for text in texts {
        memory::reserve_text(&mut out, text.len() + 1)?;
        out.extend(text.chars().map(|c| if c == '\n' { ' ' } else { c }));
        out.push('\n');
    }
    Ok(out)
}
