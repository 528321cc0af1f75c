//! JPEG's entropy coding: Huffman codes in a stream of bits.

use super::picture::{damaged, Fault};

type Result<T> = std::result::Result<T, Fault>;

/// How many bits are looked up at once.
const FAST: u32 = 9;

/// The codes of one table.
pub struct Codes {
    /// By the first bits: length and symbol; 0 where the code is longer.
    fast: [u16; 1 << FAST],
    /// Of each length the code behind the last one, as a number of 16 bits, and what leads from a code to its symbol.
    end: [u32; 17],
    offset: [i32; 17],
    symbols: [u8; 256],
}
impl Codes {
    pub fn new(counts: &[u8], symbols: &[u8]) -> Result<Codes> {
        let mut codes = Codes { fast: [0; 1 << FAST], end: [0; 17], offset: [0; 17], symbols: [0; 256] };
        codes.symbols[..symbols.len()].copy_from_slice(symbols);
        let (mut code, mut at) = (0u32, 0usize);
        for n in 1..=16u32 {
            codes.offset[n as usize] = at as i32 - code as i32;
            for _ in 0..counts[n as usize - 1] {
                if code >= 1 << n {
                    return damaged("a Huffman table has more codes than there are");
                }
                if n <= FAST {
                    let first = (code << (FAST - n)) as usize;
                    let entry = (n as u16) << 8 | symbols[at] as u16;
                    codes.fast[first..first + (1 << (FAST - n))].fill(entry);
                }
                code += 1;
                at += 1;
            }
            codes.end[n as usize] = code << (16 - n);
            code <<= 1;
        }
        Ok(codes)
    }
}

/// The bits of a scan, up to the next marker.
pub struct Bits<'a> {
    file: &'a [u8],
    /// The next byte that is not read.
    pub at: usize,
    held: u64,
    count: u32,
}
impl<'a> Bits<'a> {
    pub fn new(file: &'a [u8], at: usize) -> Bits<'a> {
        Bits { file, at, held: 0, count: 0 }
    }
    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match self.file.get(self.at) {
                Some(0xff) if self.file.get(self.at + 1) == Some(&0) => {
                    self.at += 2;
                    0xff
                }
                // A marker, or the end.
                Some(0xff) | None => return,
                Some(b) => {
                    self.at += 1;
                    *b
                }
            };
            self.held |= (byte as u64) << (56 - self.count);
            self.count += 8;
        }
    }
    fn take(&mut self, n: u32) -> Result<()> {
        if n > self.count {
            return damaged("its data end too early");
        }
        self.held <<= n;
        self.count -= n;
        Ok(())
    }
    /// The next `n` bits, at most 16.
    pub fn bits(&mut self, n: u32) -> Result<i32> {
        if n == 0 {
            return Ok(0);
        }
        if self.count < n {
            self.fill();
        }
        let v = (self.held >> (64 - n)) as i32;
        self.take(n)?;
        Ok(v)
    }
    pub fn bit(&mut self) -> Result<bool> {
        Ok(self.bits(1)? != 0)
    }
    /// A number whose first bit says its sign.
    pub fn signed(&mut self, n: u32) -> Result<i32> {
        let v = self.bits(n)?;
        Ok(if n > 0 && v < 1 << (n - 1) { v - (1 << n) + 1 } else { v })
    }
    pub fn symbol(&mut self, codes: &Codes) -> Result<u8> {
        if self.count < 16 {
            self.fill();
        }
        let entry = codes.fast[(self.held >> (64 - FAST)) as usize];
        if entry != 0 {
            self.take(entry as u32 >> 8)?;
            return Ok(entry as u8);
        }
        let next = (self.held >> 48) as u32;
        for n in FAST + 1..=16 {
            if next < codes.end[n as usize] {
                self.take(n)?;
                let i = (next >> (16 - n)) as i32 + codes.offset[n as usize];
                return Ok(codes.symbols[i as usize & 255]);
            }
        }
        damaged("it has a code that its Huffman table lacks")
    }
    /// Goes on behind the marker of a restart.
    pub fn restart(&mut self, number: u8) -> Result<()> {
        (self.held, self.count) = (0, 0);
        // Bytes may fill up the place before a marker.
        while self.file.get(self.at) == Some(&0xff) && self.file.get(self.at + 1) == Some(&0xff) {
            self.at += 1;
        }
        if self.file.get(self.at..self.at + 2) != Some(&[0xff, 0xd0 + number]) {
            return damaged("the marker of a restart is missing");
        }
        self.at += 2;
        Ok(())
    }
}
