//! What a file is decoded into, and why it may not be.

use crate::backend::memory;
use crate::Result;

/// No image has more pixels: twice what a quarter of a gigabyte of RGB is, the most that Pillow reads.
const MOST_PIXELS: u64 = 178_956_970;

/// A decoded image: planes of bytes, one for each of grey, grey and alpha, RGB, or RGB and alpha.
pub struct Image {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub planes: Vec<u8>,
}

/// Why a file is no image: what is wrong with it, or an error of its own.
#[derive(Debug)]
pub enum Fault {
    Damaged(String),
    Other(crate::Error),
}
impl From<crate::Error> for Fault {
    fn from(e: crate::Error) -> Fault {
        Fault::Other(e)
    }
}
pub fn damaged<T>(what: impl Into<String>) -> std::result::Result<T, Fault> {
    Err(Fault::Damaged(what.into()))
}
pub fn fits(width: u64, height: u64) -> std::result::Result<(), Fault> {
    if width == 0 || height == 0 {
        return damaged(format!("it has {height} rows of {width} pixels"));
    }
    if width.saturating_mul(height) > MOST_PIXELS {
        return damaged(format!("it has {height} rows of {width} pixels; at most {MOST_PIXELS} pixels are read"));
    }
    Ok(())
}

/// The luminance that Pillow gives a colour.
fn grey(r: u8, g: u8, b: u8) -> u8 {
    ((r as u32 * 19595 + g as u32 * 38470 + b as u32 * 7471 + 0x8000) >> 16) as u8
}

impl Image {
    /// With as many channels: colour becomes grey or grey colour, alpha is left out or opaque.
    pub fn with_channels(self, channels: usize) -> Result<Image> {
        let n = self.height * self.width;
        if channels == self.channels {
            return Ok(self);
        }
        let mut planes = memory::zeroed(channels * n)?;
        let colours = |c: usize| if c < 3 { 1 } else { 3 };
        match (colours(self.channels), colours(channels)) {
            (3, 1) => {
                let (r, rest) = self.planes.split_at(n);
                let (g, b) = rest.split_at(n);
                for i in 0..n {
                    planes[i] = grey(r[i], g[i], b[i]);
                }
            }
            (1, 3) => (0..3).for_each(|c| planes[c * n..(c + 1) * n].copy_from_slice(&self.planes[..n])),
            (same, _) => planes[..same * n].copy_from_slice(&self.planes[..same * n]),
        }
        if channels.is_multiple_of(2) {
            let alpha = &mut planes[(channels - 1) * n..];
            match self.channels.is_multiple_of(2) {
                true => alpha.copy_from_slice(&self.planes[(self.channels - 1) * n..]),
                false => alpha.fill(255),
            }
        }
        Ok(Image { channels, planes, ..self })
    }
}
