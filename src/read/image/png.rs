//! PNG (ISO 15948): all colour types, depths and interlacing. Of 16 bits the upper 8 are kept.

use super::picture::{damaged, fits, Fault, Image};
use crate::backend::memory;
use crate::io::inflate;

pub const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

type Result<T> = std::result::Result<T, Fault>;

#[derive(Clone, Copy)]
struct Header {
    width: usize,
    height: usize,
    depth: usize,
    colour: u8,
    interlaced: bool,
}
impl Header {
    fn parse(data: &[u8]) -> Result<Header> {
        let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, packing, filters, interlaced] = data else {
            return damaged("its header has another length than 13");
        };
        let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
        fits(width as u64, height as u64)?;
        let known = match colour {
            0 => matches!(depth, 1 | 2 | 4 | 8 | 16),
            3 => matches!(depth, 1 | 2 | 4 | 8),
            2 | 4 | 6 => matches!(depth, 8 | 16),
            _ => false,
        };
        if !known || packing != 0 || filters != 0 || interlaced > 1 {
            return damaged(format!(
                "its header has colour type {colour} of {depth} bits, methods {packing}, {filters} and {interlaced}"
            ));
        }
        let (width, height, depth) = (width as usize, height as usize, depth as usize);
        Ok(Header { width, height, depth, colour, interlaced: interlaced == 1 })
    }
    /// Samples of a pixel in the file.
    fn samples(self) -> usize {
        match self.colour {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        }
    }
    fn line(self, width: usize) -> usize {
        (width * self.samples() * self.depth).div_ceil(8)
    }
    /// Where each pass begins and how far its pixels are apart: left, top, across, down.
    fn passes(self) -> &'static [[usize; 4]] {
        match self.interlaced {
            false => &[[0, 0, 1, 1]],
            true => &[[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]],
        }
    }
    /// Columns and rows of a pass.
    fn of_pass(self, [left, top, across, down]: [usize; 4]) -> (usize, usize) {
        (self.width.saturating_sub(left).div_ceil(across), self.height.saturating_sub(top).div_ceil(down))
    }
}

/// What the chunks hold.
#[derive(Default)]
struct Chunks {
    header: Option<Header>,
    palette: Vec<[u8; 4]>,
    /// The colour that is transparent, where it is one.
    clear: Option<[u16; 3]>,
    has_alpha: bool,
    packed: Vec<u8>,
}

fn chunks(file: &[u8]) -> Result<Chunks> {
    let mut found = Chunks::default();
    let mut at = MAGIC.len();
    loop {
        let Some(head) = file.get(at..at + 8) else { return damaged("it ends too early") };
        let n = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = [head[4], head[5], head[6], head[7]];
        let (Some(data), Some(check)) = (file.get(at + 8..at + 8 + n), file.get(at + 8 + n..at + 12 + n)) else {
            return damaged("it ends too early");
        };
        // Chunks that need not be known begin with a small letter; nothing is read of them.
        if kind[0] & 0x20 == 0 || &kind == b"tRNS" {
            let want = u32::from_be_bytes([check[0], check[1], check[2], check[3]]);
            if crc32fast::hash(&file[at + 4..at + 8 + n]) != want {
                return damaged(format!("the checksum of its chunk {:?} is wrong", String::from_utf8_lossy(&kind)));
            }
        }
        match (&kind, found.header) {
            (b"IHDR", None) => found.header = Some(Header::parse(data)?),
            (_, None) => return damaged("its first chunk is not the header"),
            (b"IHDR", _) => return damaged("it has two headers"),
            (b"PLTE", Some(_)) => {
                if !n.is_multiple_of(3) || n > 768 || n == 0 || !found.palette.is_empty() {
                    return damaged(format!("its palette has {n} bytes"));
                }
                found.palette = data.chunks_exact(3).map(|c| [c[0], c[1], c[2], 255]).collect();
            }
            (b"tRNS", Some(h)) if found.packed.is_empty() => {
                let sample = |i: usize| u16::from_be_bytes([data[2 * i], data[2 * i + 1]]);
                match h.colour {
                    3 => found.palette.iter_mut().zip(data).for_each(|(p, a)| p[3] = *a),
                    0 if n == 2 => found.clear = Some([sample(0); 3]),
                    2 if n == 6 => found.clear = Some([sample(0), sample(1), sample(2)]),
                    _ => return damaged("its transparency does not fit its colour type"),
                }
                found.has_alpha = true;
            }
            (b"IDAT", Some(_)) => {
                memory::reserve(&mut found.packed, n)?;
                found.packed.extend_from_slice(data);
            }
            (b"IEND", _) => return Ok(found),
            _ if kind[0] & 0x20 == 0 => {
                return damaged(format!("it has a chunk {:?}, which is not known", String::from_utf8_lossy(&kind)));
            }
            _ => {}
        }
        at += 12 + n;
    }
}

fn paeth(a: u8, b: u8, c: u8) -> u8 {
    let (x, y, z) = (a as i32, b as i32, c as i32);
    let (u, v, w) = ((y - z).abs(), (x - z).abs(), (x + y - 2 * z).abs());
    match () {
        _ if u <= v && u <= w => a,
        _ if v <= w => b,
        _ => c,
    }
}

/// Takes the filter off a line; `above` is the one before, or zeros. `step` is how many bytes a pixel has.
fn unfilter(filter: u8, line: &mut [u8], above: &[u8], step: usize) -> Result<()> {
    let n = line.len();
    let step = step.min(n);
    match filter {
        0 => {}
        1 => (step..n).for_each(|i| line[i] = line[i].wrapping_add(line[i - step])),
        2 => line.iter_mut().zip(above).for_each(|(x, a)| *x = x.wrapping_add(*a)),
        3 => {
            for i in 0..n {
                let left = if i >= step { line[i - step] as u16 } else { 0 };
                line[i] = line[i].wrapping_add(((left + above[i] as u16) / 2) as u8);
            }
        }
        4 => {
            (0..step).for_each(|i| line[i] = line[i].wrapping_add(above[i]));
            for i in step..n {
                line[i] = line[i].wrapping_add(paeth(line[i - step], above[i], above[i - step]));
            }
        }
        _ => return damaged(format!("a line has filter {filter}, and there are 0 to 4")),
    }
    Ok(())
}

/// Sample `i` of a line, as the file has it.
fn sample(line: &[u8], i: usize, depth: usize) -> u16 {
    match depth {
        8 => line[i] as u16,
        16 => u16::from_be_bytes([line[2 * i], line[2 * i + 1]]),
        _ => (line[i * depth / 8] as u16 >> (8 - depth - i * depth % 8)) & ((1 << depth) - 1),
    }
}

pub fn decode(file: &[u8]) -> Result<Image> {
    let found = chunks(file)?;
    let Some(header) = found.header else { return damaged("it has no header") };
    if header.colour == 3 && found.palette.is_empty() {
        return damaged("its palette is missing");
    }
    let samples = header.samples();
    let size: usize = header
        .passes()
        .iter()
        .map(|p| header.of_pass(*p))
        .map(|(w, h)| if w == 0 { 0 } else { h * (1 + header.line(w)) })
        .sum();
    let Some(mut data) = inflate::zlib(&found.packed, size)? else {
        return damaged("its compressed data are damaged, or end too early");
    };
    let colours = if matches!(header.colour, 0 | 4) { 1 } else { 3 };
    let channels = colours + (matches!(header.colour, 4 | 6) || found.has_alpha) as usize;
    let n = header.width * header.height;
    let mut planes = memory::zeroed::<u8>(channels * n)?;
    let step = (samples * header.depth).div_ceil(8);
    let scale = if header.depth < 8 { 255 / ((1 << header.depth) - 1) } else { 1 };
    let byte = |v: u16| if header.depth == 16 { (v >> 8) as u8 } else { (v * scale) as u8 };
    let none = memory::zeroed::<u8>(header.line(header.width))?;
    let mut rest = &mut data[..];
    for pass in header.passes() {
        let (w, h) = header.of_pass(*pass);
        if w == 0 {
            continue;
        }
        let n_line = header.line(w);
        let mut above: &[u8] = &none[..n_line];
        for y in 0..h {
            let (whole, later) = rest.split_at_mut(1 + n_line);
            rest = later;
            let (filter, line) = whole.split_at_mut(1);
            unfilter(filter[0], line, above, step)?;
            let line: &[u8] = line;
            above = line;
            let row = (pass[1] + y * pass[3]) * header.width + pass[0];
            for x in 0..w {
                let at = row + x * pass[2];
                if header.colour == 3 {
                    let i = sample(line, x, header.depth) as usize;
                    // As libpng and Pillow have it: what the palette lacks is black.
                    let colour = found.palette.get(i).copied().unwrap_or([0, 0, 0, 255]);
                    (0..channels).for_each(|c| planes[c * n + at] = colour[c]);
                    continue;
                }
                for c in 0..samples {
                    planes[c * n + at] = byte(sample(line, x * samples + c, header.depth));
                }
                if let Some(clear) = found.clear {
                    let all = (0..samples).all(|c| sample(line, x * samples + c, header.depth) == clear[c]);
                    planes[samples * n + at] = if all { 0 } else { 255 };
                }
            }
        }
    }
    Ok(Image { channels, height: header.height, width: header.width, planes })
}
