//! A JPEG's frame: its sizes and components, and the memory of their coefficients.

use super::picture::{damaged, fits, Fault};
use crate::backend::memory;

/// One component: a grid of blocks of 8 by 8 coefficients.
pub struct Component {
    pub id: u8,
    /// Blocks of a unit.
    pub across: usize,
    pub down: usize,
    pub table_number: usize,
    /// As it was when its first scan began.
    pub table: Option<[u16; 64]>,
    /// Samples that count.
    pub width: usize,
    pub height: usize,
    /// Blocks of a line, those that fill up the last unit included.
    pub line: usize,
    pub coefficients: Vec<i16>,
}
impl Component {
    /// Columns and rows of blocks that have samples that count.
    pub fn blocks(&self) -> (usize, usize) {
        (self.width.div_ceil(8), self.height.div_ceil(8))
    }
}

pub struct Frame {
    pub progressive: bool,
    pub width: usize,
    pub height: usize,
    /// Units.
    pub across: usize,
    pub down: usize,
    /// The most blocks that a component has of a unit.
    pub most_across: usize,
    pub most_down: usize,
    pub ids: [u8; 4],
    pub components: Vec<Component>,
}
impl Frame {
    /// `bytes` is how many the file has: a block takes a bit at least, so that no file claims more memory than it is worth.
    pub fn parse(data: &[u8], progressive: bool, bytes: usize) -> Result<Frame, Fault> {
        let &[bits, h0, h1, w0, w1, n, ref rest @ ..] = data else { return damaged("its frame's header is too short") };
        let (height, width) = (u16::from_be_bytes([h0, h1]) as usize, u16::from_be_bytes([w0, w1]) as usize);
        let n = n as usize;
        if bits != 8 || !matches!(n, 1 | 3 | 4) || rest.len() != 3 * n {
            return damaged(format!("its frame has {n} components of {bits} bits; read are 1, 3 and 4 of 8 bits"));
        }
        fits(width as u64, height as u64)?;
        let factors = |about: &[u8]| ((about[1] >> 4) as usize, (about[1] & 15) as usize);
        let most =
            |pick: fn((usize, usize)) -> usize| rest.chunks_exact(3).map(|a| pick(factors(a))).max().unwrap_or(1);
        let (most_across, most_down) = (most(|f| f.0), most(|f| f.1));
        let good = |f: usize, most: usize| (1..=4).contains(&f) && most.is_multiple_of(f);
        for about in rest.chunks_exact(3) {
            let (across, down) = factors(about);
            if !good(across, most_across) || !good(down, most_down) || about[2] > 3 {
                return damaged(format!(
                    "a component has {across} by {down} of {most_across} by {most_down} blocks and table {}",
                    about[2]
                ));
            }
        }
        // One component alone fills no units.
        let unit = if n == 1 { (1, 1) } else { (most_across, most_down) };
        let (across, down) = (width.div_ceil(8 * unit.0), height.div_ceil(8 * unit.1));
        let mut frame = Frame {
            progressive,
            width,
            height,
            across,
            down,
            most_across,
            most_down,
            ids: [0; 4],
            components: memory::with_capacity(n)?,
        };
        let blocks = |(a, d): (usize, usize)| across * a * down * d;
        let all: usize = if n == 1 { across * down } else { rest.chunks_exact(3).map(|a| blocks(factors(a))).sum() };
        if all / 8 > bytes {
            return damaged(format!("{bytes} bytes cannot hold the {all} blocks of {height} rows of {width} pixels"));
        }
        for (i, about) in rest.chunks_exact(3).enumerate() {
            let (a, d) = if n == 1 { (1, 1) } else { factors(about) };
            let scaled = |size: usize, f: usize, most: usize| if n == 1 { size } else { (size * f).div_ceil(most) };
            frame.ids[i] = about[0];
            frame.components.push(Component {
                id: about[0],
                across: a,
                down: d,
                table_number: about[2] as usize,
                table: None,
                width: scaled(width, a, most_across),
                height: scaled(height, d, most_down),
                line: across * a,
                coefficients: memory::zeroed(across * a * down * d * 64)?,
            });
        }
        if n == 1 {
            (frame.most_across, frame.most_down) = (1, 1);
        }
        Ok(frame)
    }
}
