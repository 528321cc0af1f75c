//! JPEG (ISO 10918): 8 bits, Huffman codes, sequential and progressive; grey, colour and inks, as Pillow and libjpeg decode them.

use super::huffman::{Bits, Codes};
use super::jpeg_frame::{Component, Frame};
use super::picture::{damaged, Fault, Image};
use super::samples::{from_inks, inverse, rgb, Plane};
use crate::backend::memory;

type Result<T> = std::result::Result<T, Fault>;

/// Where the coefficients of a file's order stand.
const ORDER: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];
/// Each goes over the whole image; encoders make about ten.
const MOST_SCANS: usize = 500;

#[derive(Default)]
struct Decoder {
    tables: [Option<[u16; 64]>; 4],
    /// Codes of the first coefficients and of the others.
    dc: [Option<Box<Codes>>; 4],
    ac: [Option<Box<Codes>>; 4],
    /// Units between restarts; 0 without.
    restart: usize,
    /// What the Adobe marker says of colours.
    adobe: Option<u8>,
    jfif: bool,
    frame: Option<Frame>,
    scans: usize,
}

/// What a scan has of each block.
#[derive(Clone, Copy)]
struct Pass {
    first: usize,
    last: usize,
    /// The bit before, where bits are added; the bit that is read.
    high: u32,
    low: u32,
}

pub fn decode(file: &[u8]) -> Result<Image> {
    let mut d = Decoder::default();
    let mut at = 2;
    let early = || damaged("it ends too early");
    loop {
        // Bytes before a marker, and those that fill up, are stepped over.
        let Some(skip) = file.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0xff)) else { return early() };
        at += skip;
        let Some(fill) = file[at..].iter().position(|b| *b != 0xff) else { return early() };
        at += fill + 1;
        let marker = file[at - 1];
        if matches!(marker, 0 | 1 | 0xd0..=0xd8) {
            continue;
        }
        if marker == 0xd9 {
            break;
        }
        let Some(n) = file.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]) as usize) else { return early() };
        let Some(data) = file.get(at + 2..at + n.max(2)) else { return early() };
        at += n.max(2);
        match marker {
            0xdb => d.quantisation(data)?,
            0xc4 => d.codes(data)?,
            0xdd => match data {
                [a, b] => d.restart = u16::from_be_bytes([*a, *b]) as usize,
                _ => return damaged("its restart interval has another length than 2"),
            },
            0xe0 => d.jfif |= data.starts_with(b"JFIF\0"),
            0xee if data.starts_with(b"Adobe") => d.adobe = data.get(11).copied(),
            0xc0..=0xc2 => {
                if d.frame.is_some() {
                    return damaged("it has two frames");
                }
                d.frame = Some(Frame::parse(data, marker == 0xc2, file.len())?);
            }
            0xc3 | 0xc5..=0xcf => return damaged(format!("it is of kind {}, which is not read", marker - 0xc0)),
            0xda => at = d.scan(data, file, at)?,
            _ => {}
        }
    }
    d.image()
}

impl Decoder {
    fn quantisation(&mut self, mut data: &[u8]) -> Result<()> {
        while let [about, rest @ ..] = data {
            let wide = about >> 4 != 0;
            let n = if wide { 128 } else { 64 };
            let (Some(values), true) = (rest.get(..n), about & 15 < 4) else {
                return damaged("a quantisation table is too short, or has another number than 0 to 3");
            };
            let mut table = [0; 64];
            for (i, to) in ORDER.iter().enumerate() {
                let v = if wide { u16::from_be_bytes([values[2 * i], values[2 * i + 1]]) } else { values[i] as u16 };
                table[*to as usize] = v;
            }
            self.tables[(about & 15) as usize] = Some(table);
            data = &rest[n..];
        }
        Ok(())
    }
    fn codes(&mut self, mut data: &[u8]) -> Result<()> {
        while let [about, rest @ ..] = data {
            let Some((counts, rest)) = rest.split_at_checked(16) else {
                return damaged("a Huffman table is too short");
            };
            let n: usize = counts.iter().map(|c| *c as usize).sum();
            let (number, kind) = ((about & 15) as usize, about >> 4);
            if n > 256 || n > rest.len() || number > 3 || kind > 1 {
                return damaged("a Huffman table is too short, or has another number than 0 to 3");
            }
            memory::room_for(1, std::mem::size_of::<Codes>())?;
            let codes = Some(Box::new(Codes::new(counts, &rest[..n])?));
            match kind {
                0 => self.dc[number] = codes,
                _ => self.ac[number] = codes,
            }
            data = &rest[n..];
        }
        Ok(())
    }

    /// Reads a scan whose data begin at `at`; gives where they end.
    fn scan(&mut self, header: &[u8], file: &[u8], at: usize) -> Result<usize> {
        let Some(frame) = &mut self.frame else { return damaged("its data come before its sizes") };
        self.scans += 1;
        if self.scans > MOST_SCANS {
            return damaged(format!("it has more than {MOST_SCANS} scans"));
        }
        let n = header.first().copied().unwrap_or(0) as usize;
        if !(1..=4).contains(&n) || header.len() != 4 + 2 * n {
            return damaged(format!("a scan of {n} components has a header of {} bytes", header.len()));
        }
        let [first, last, bits] = [1, 2, 3].map(|i| header[2 * n + i]);
        let pass = Pass { first: first as usize, last: last as usize, high: bits as u32 >> 4, low: bits as u32 & 15 };
        let fits = match frame.progressive {
            false => first == 0 && last == 63 && bits == 0,
            true => {
                let range = if first == 0 { last == 0 } else { first <= last && last < 64 && n == 1 };
                range && pass.low < 14 && (pass.high == 0 || pass.high == pass.low + 1)
            }
        };
        if !fits {
            return damaged(format!("a scan has coefficients {first} to {last} of bits {bits}"));
        }
        let mut parts: [Part; 4] = std::array::from_fn(|_| Part::default());
        for (part, about) in parts.iter_mut().zip(header[1..].chunks_exact(2)).take(n) {
            let Some(i) = frame.components.iter().position(|c| c.id == about[0]) else {
                return damaged(format!("a scan has component {}, which there is not", about[0]));
            };
            let (dc, ac) = ((about[1] >> 4) as usize, (about[1] & 15) as usize);
            *part = Part { component: i, dc, ac, before: 0 };
            let c = &mut frame.components[i];
            let needs_dc = pass.first == 0 && pass.high == 0;
            let has = |codes: &[Option<Box<Codes>>; 4], i: usize| codes.get(i).is_some_and(Option::is_some);
            if (needs_dc && !has(&self.dc, dc)) || (pass.last > 0 && !has(&self.ac, ac)) {
                return damaged("a Huffman table is missing");
            }
            if c.table.is_none() {
                c.table = self.tables[c.table_number];
            }
            if c.table.is_none() {
                return damaged("a quantisation table is missing");
            }
        }
        let parts = &mut parts[..n];
        let mut reader = Reader { bits: Bits::new(file, at), pass, dc: &self.dc, ac: &self.ac, ended: 0 };
        // One component alone has no blocks beyond its edge.
        let (across, down) = match parts {
            [one] => frame.components[one.component].blocks(),
            _ => (frame.across, frame.down),
        };
        for unit in 0..across * down {
            if unit > 0 && unit.is_multiple_of(self.restart) {
                reader.bits.restart(((unit / self.restart - 1) & 7) as u8)?;
                reader.ended = 0;
                parts.iter_mut().for_each(|p| p.before = 0);
            }
            let (x, y) = (unit % across, unit / across);
            if let [one] = parts {
                let c = &mut frame.components[one.component];
                reader.block(frame.progressive, one, c, x, y)?;
                continue;
            }
            for part in parts.iter_mut() {
                let c = &mut frame.components[part.component];
                for i in 0..c.across * c.down {
                    let (x, y) = (x * c.across + i % c.across, y * c.down + i / c.across);
                    reader.block(frame.progressive, part, c, x, y)?;
                }
            }
        }
        Ok(reader.bits.at)
    }

    /// The picture of what was read.
    fn image(self) -> Result<Image> {
        let Some(frame) = self.frame else { return damaged("it has no frame") };
        let (width, height) = (frame.width, frame.height);
        let mut stretched = memory::with_capacity(4)?;
        for mut c in frame.components {
            let Some(table) = c.table else { return damaged("it ends before all components came") };
            let stride = c.line * 8;
            let mut samples = memory::zeroed::<u8>(c.coefficients.len())?;
            for (i, block) in c.coefficients.chunks_exact(64).enumerate() {
                let begin = i / c.line * 8 * stride + i % c.line * 8;
                inverse(block, &table, &mut samples[begin..], stride);
            }
            c.coefficients = Vec::new();
            let plane = Plane { samples, stride, width: c.width, height: c.height };
            stretched.push((plane, frame.most_across / c.across, frame.most_down / c.down));
        }
        let named = |ids: &[u8]| stretched.len() == ids.len() && frame.ids[..ids.len()] == *ids;
        let converted = match self.adobe {
            _ if self.jfif && stretched.len() == 3 => true,
            Some(kind) => kind != 0,
            None => stretched.len() == 3 && !named(b"RGB"),
        };
        let channels = if stretched.len() == 1 { 1 } else { 3 };
        let n = width * height;
        let mut planes = memory::zeroed::<u8>(channels * n)?;
        let mut lines = memory::zeroed::<u8>(4 * width)?;
        let mut sums = memory::zeroed::<u16>(width + 8)?;
        for y in 0..height {
            for ((plane, across, down), line) in stretched.iter().zip(lines.chunks_exact_mut(width)) {
                plane.stretched(y, *across, *down, &mut sums, line);
            }
            let (a, rest) = lines.split_at_mut(width);
            let (b, rest) = rest.split_at_mut(width);
            let (c, k) = rest.split_at_mut(width);
            if stretched.len() >= 3 && converted {
                rgb(a, b, c);
            }
            if stretched.len() == 4 {
                // Inks stand in files the other way around.
                if !converted {
                    [&mut *a, &mut *b, &mut *c].into_iter().flatten().for_each(|v| *v = 255 - *v);
                }
                k.iter_mut().for_each(|v| *v = 255 - *v);
                from_inks([&mut *a, &mut *b, &mut *c], k);
            }
            for (i, line) in [a, b, c].into_iter().enumerate().take(channels) {
                planes[i * n + y * width..][..width].copy_from_slice(line);
            }
        }
        Ok(Image { channels, height, width, planes })
    }
}

/// A component of a scan: its codes, and the first coefficient of the block before.
#[derive(Default)]
struct Part {
    component: usize,
    dc: usize,
    ac: usize,
    before: i32,
}

struct Reader<'a> {
    bits: Bits<'a>,
    pass: Pass,
    dc: &'a [Option<Box<Codes>>; 4],
    ac: &'a [Option<Box<Codes>>; 4],
    /// How many blocks have nothing more.
    ended: u32,
}

impl Reader<'_> {
    fn block(&mut self, progressive: bool, part: &mut Part, c: &mut Component, x: usize, y: usize) -> Result<()> {
        let at = (y * c.line + x) * 64;
        let block = &mut c.coefficients[at..at + 64];
        let (Pass { first, high, low, .. }, no_codes) =
            (self.pass, || Fault::Damaged("a Huffman table is missing".into()));
        if first == 0 && high > 0 {
            block[0] |= (self.bits.bit()? as i16) << low;
            return Ok(());
        }
        if first == 0 {
            let codes = self.dc[part.dc & 3].as_deref().ok_or_else(no_codes)?;
            let n = self.bits.symbol(codes)? as u32;
            if n > 15 {
                return damaged(format!("a difference has {n} bits"));
            }
            part.before = part.before.wrapping_add(self.bits.signed(n)?);
            block[0] = part.before.wrapping_shl(low) as i16;
        }
        if progressive && first == 0 {
            return Ok(());
        }
        let codes = self.ac[part.ac & 3].as_deref().ok_or_else(no_codes)?;
        match high {
            0 => self.coefficients(codes, block),
            _ => self.refine(codes, block),
        }
    }
    /// Coefficients that were zero.
    fn coefficients(&mut self, codes: &Codes, block: &mut [i16]) -> Result<()> {
        if self.ended > 0 {
            self.ended -= 1;
            return Ok(());
        }
        let mut k = self.pass.first.max(1);
        while k <= self.pass.last {
            let symbol = self.bits.symbol(codes)?;
            let (zeros, n) = ((symbol >> 4) as u32, symbol as u32 & 15);
            match (zeros, n) {
                (15, 0) => k += 16,
                (_, 0) => {
                    // Only progressive scans have runs of such blocks.
                    self.ended = (1 << zeros) - 1 + self.bits.bits(zeros)? as u32;
                    break;
                }
                _ => {
                    k += zeros as usize;
                    if k > self.pass.last {
                        return damaged("a block has more coefficients than there are");
                    }
                    block[ORDER[k] as usize] = self.bits.signed(n)?.wrapping_shl(self.pass.low) as i16;
                    k += 1;
                }
            }
        }
        Ok(())
    }
    /// One more bit of coefficients.
    fn refine(&mut self, codes: &Codes, block: &mut [i16]) -> Result<()> {
        let (plus, last) = (1i16 << self.pass.low, self.pass.last);
        let mut k = self.pass.first;
        if self.ended == 0 {
            while k <= last {
                let symbol = self.bits.symbol(codes)?;
                let (mut zeros, mut value) = ((symbol >> 4) as u32, 0);
                match symbol & 15 {
                    0 if zeros < 15 => {
                        self.ended = (1 << zeros) + self.bits.bits(zeros)? as u32;
                        break;
                    }
                    0 => {}
                    1 => value = if self.bits.bit()? { plus } else { -plus },
                    n => return damaged(format!("a bit that is added has {n} bits")),
                }
                while k <= last {
                    let c = &mut block[ORDER[k] as usize];
                    if *c == 0 {
                        if zeros == 0 {
                            *c = value;
                            break;
                        }
                        zeros -= 1;
                    } else {
                        add_bit(c, plus, &mut self.bits)?;
                    }
                    k += 1;
                }
                k += 1;
            }
        }
        if self.ended > 0 {
            for k in k..=last {
                let c = &mut block[ORDER[k] as usize];
                if *c != 0 {
                    add_bit(c, plus, &mut self.bits)?;
                }
            }
            self.ended -= 1;
        }
        Ok(())
    }
}

fn add_bit(c: &mut i16, plus: i16, bits: &mut Bits) -> Result<()> {
    if bits.bit()? && *c & plus == 0 {
        *c = if *c >= 0 { c.wrapping_add(plus) } else { c.wrapping_sub(plus) };
    }
    Ok(())
}
