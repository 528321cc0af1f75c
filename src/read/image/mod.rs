//! Images from PNG and JPEG files. Sizes are compared with the file's length before anything of them is allocated.

mod huffman;
mod jpeg;
mod jpeg_frame;
mod picture;
mod png;
mod samples;

use self::picture::Fault;
use crate::io::source::Source;
use crate::{bail, ensure, DType, Device, Result, Tensor};

/// An image's bytes as [C, H, W] of uint8. `channels` is 0 (as the file has it), 1 (grey), 2 (grey and alpha), 3 (RGB) or 4
/// (RGB and alpha).
pub fn decode(source: &Source, channels: i64) -> Result<Tensor> {
    ensure!(
        (0..=4).contains(&channels),
        Value,
        "channels must be 0 (as the file has it), 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha), got {channels}"
    );
    let begin = source.bytes(0, source.len().min(8))?;
    let bytes = || source.bytes(0, source.len());
    let (format, image) = match begin {
        b if b.starts_with(png::MAGIC) => ("PNG", png::decode(&bytes()?)),
        b if b.starts_with(&[0xff, 0xd8]) => ("JPEG", jpeg::decode(&bytes()?)),
        _ => bail!(Io, "{} is neither a PNG nor a JPEG image", source.path().display()),
    };
    let image = match image {
        Ok(image) => image,
        Err(Fault::Damaged(what)) => return Err(source.bad(format, what)),
        Err(Fault::Other(e)) => return Err(e),
    };
    let image = if channels == 0 { image } else { image.with_channels(channels as usize)? };
    let shape = [image.channels as i64, image.height as i64, image.width as i64];
    Tensor::from_bytes(&image.planes, &shape, DType::U8, Device::CPU)
}
