//! PNG files of 8 bits a channel, without alpha (ISO 15948): rows filtered by the difference that is smallest, deflated.

use crate::backend::memory;
use crate::Result;
use miniz_oxide::deflate::core::{
    compress, create_comp_flags_from_zip_params, CompressorOxide, TDEFLFlush, TDEFLStatus,
};

/// Rows of red, green and blue bytes from the top.
pub struct Image {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}
impl Image {
    /// An image of one colour. Fails with a Value error where a side is 0 or above 65,535.
    pub fn new(width: usize, height: usize, colour: [u8; 3]) -> Result<Image> {
        let fits = |n: usize| (1..=65_535).contains(&n);
        crate::ensure!(
            fits(width) && fits(height),
            Value,
            "an image has 1 to 65535 pixels a side, got {height} rows of {width}"
        );
        let mut pixels = memory::zeroed(width * height * 3)?;
        pixels.chunks_exact_mut(3).for_each(|p| p.copy_from_slice(&colour));
        Ok(Image { width, height, pixels })
    }
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) -> Result<()> {
    memory::reserve(out, data.len() + 12)?;
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(kind);
    out.extend(data);
    let mut check = crc32fast::Hasher::new();
    check.update(kind);
    check.update(data);
    out.extend(check.finalize().to_be_bytes());
    Ok(())
}

fn paeth(a: u8, b: u8, c: u8) -> u8 {
    let (x, y, z) = (a as i32, b as i32, c as i32);
    let p = x + y - z;
    let (u, v, w) = ((p - x).abs(), (p - y).abs(), (p - z).abs());
    match () {
        _ if u <= v && u <= w => a,
        _ if v <= w => b,
        _ => c,
    }
}

/// Writes a row's filter and what is left of it; `above` is the row before, or zeros.
fn filter(row: &[u8], above: &[u8], out: &mut [u8], best: &mut [u8]) {
    let mut least = u64::MAX;
    for kind in 0..5 {
        let mut size = 0u64;
        best[0] = kind;
        for i in 0..row.len() {
            let left = if i >= 3 { row[i - 3] } else { 0 };
            let corner = if i >= 3 { above[i - 3] } else { 0 };
            let guess = match kind {
                0 => 0,
                1 => left,
                2 => above[i],
                3 => ((left as u16 + above[i] as u16) / 2) as u8,
                _ => paeth(left, above[i], corner),
            };
            let d = row[i].wrapping_sub(guess);
            best[1 + i] = d;
            size += (d as i8).unsigned_abs() as u64;
        }
        if size < least {
            least = size;
            out.copy_from_slice(best);
        }
    }
}

/// The bytes of an image's file.
pub fn encode(image: &Image) -> Result<Vec<u8>> {
    let mut out = memory::with_capacity(1024)?;
    out.extend(b"\x89PNG\r\n\x1a\n");
    let mut header = [0; 13];
    header[..4].copy_from_slice(&(image.width as u32).to_be_bytes());
    header[4..8].copy_from_slice(&(image.height as u32).to_be_bytes());
    header[8..10].copy_from_slice(&[8, 2]); // 8 bits of red, green and blue
    chunk(&mut out, b"IHDR", &header)?;

    // The compressor's tables, which it takes without asking.
    memory::room_for(1, 1 << 21)?;
    let mut state = CompressorOxide::new(create_comp_flags_from_zip_params(6, 1, 0));
    let stride = 3 * image.width;
    let (mut line, mut best) = (memory::zeroed(stride + 1)?, memory::zeroed(stride + 1)?);
    let zeros = memory::zeroed(stride)?;
    let mut packed = memory::zeroed(1 << 15)?;
    for y in 0..=image.height {
        let last = y == image.height;
        if !last {
            let row = &image.pixels[y * stride..(y + 1) * stride];
            let above = if y == 0 { &zeros[..] } else { &image.pixels[(y - 1) * stride..y * stride] };
            filter(row, above, &mut line, &mut best);
        }
        let (mut rest, flush): (&[u8], _) = if last { (&[], TDEFLFlush::Finish) } else { (&line, TDEFLFlush::None) };
        loop {
            let (status, read, written) = compress(&mut state, rest, &mut packed, flush);
            rest = &rest[read..];
            if written > 0 {
                chunk(&mut out, b"IDAT", &packed[..written])?;
            }
            let more = if last { status == TDEFLStatus::Okay } else { !rest.is_empty() };
            if !more {
                break;
            }
        }
    }
    chunk(&mut out, b"IEND", &[])?;
    Ok(out)
}
