//! Data sets, tables and images from files.

use crate::backend::memory;
use crate::base::settings::default_dtype;
use crate::io::source::Source;
use crate::read::{csv, folder, image, sets};
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
