//! From JPEG's coefficients to pixels, with the integers of libjpeg: Loeffler, Ligtenberg and Moschytz' inverse transform,
//! triangles where colour has fewer samples than brightness, and the colours of JFIF.

use std::num::Wrapping;

type Int = Wrapping<i32>;

fn c(v: i32) -> Int {
    Wrapping(v)
}

/// One line of eight, whose results are shifted by `down`.
fn line(x: [Int; 8], down: usize) -> [Int; 8] {
    let z1 = (x[2] + x[6]) * c(4433);
    let (even2, even3) = (z1 - x[6] * c(15137), z1 + x[2] * c(6270));
    let (even0, even1) = ((x[0] + x[4]) << 13, (x[0] - x[4]) << 13);
    let sums = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];

    let z5 = (x[7] + x[3] + x[5] + x[1]) * c(9633);
    let z1 = (x[7] + x[1]) * c(-7373);
    let z2 = (x[5] + x[3]) * c(-20995);
    let z3 = (x[7] + x[3]) * c(-16069) + z5;
    let z4 = (x[5] + x[1]) * c(-3196) + z5;
    let odd =
        [x[1] * c(12299) + z1 + z4, x[3] * c(25172) + z2 + z3, x[5] * c(16819) + z2 + z4, x[7] * c(2446) + z1 + z3];
    let half = c(1 << (down - 1));
    let mut out = [c(0); 8];
    for i in 0..4 {
        out[i] = (sums[i] + odd[i] + half) >> down;
        out[7 - i] = (sums[i] - odd[i] + half) >> down;
    }
    out
}

/// The samples of a block, written where `out` begins, lines `stride` apart.
pub fn inverse(block: &[i16], table: &[u16; 64], out: &mut [u8], stride: usize) {
    let mut work = [c(0); 64];
    for x in 0..8 {
        let column = std::array::from_fn(|y| c(block[8 * y + x] as i32) * c(table[8 * y + x] as i32));
        let column = line(column, 11);
        (0..8).for_each(|y| work[8 * y + x] = column[y]);
    }
    for y in 0..8 {
        let row = line(std::array::from_fn(|x| work[8 * y + x]), 18);
        for (to, v) in out[y * stride..y * stride + 8].iter_mut().zip(row) {
            *to = (v + c(128)).0.clamp(0, 255) as u8;
        }
    }
}

/// A component's samples: as many as count, of lines that may be longer.
pub struct Plane {
    pub samples: Vec<u8>,
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}
impl Plane {
    fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..y * self.stride + self.width]
    }
    /// Row y of the picture, which is `across` and `down` times as large. `sums` has room for a line.
    pub fn stretched(&self, y: usize, across: usize, down: usize, sums: &mut [u16], out: &mut [u8]) {
        let own = y / down;
        let near = self.row(own);
        // The row on the other side of where the picture's row lies.
        let far = self.row(if y.is_multiple_of(2) { own.saturating_sub(1) } else { (own + 1).min(self.height - 1) });
        match (across, down) {
            (1, 1) => out.copy_from_slice(&near[..out.len()]),
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((o, n), f) in out.iter_mut().zip(near).zip(far) {
                    *o = ((*n as u16 * 3 + *f as u16 + bias) >> 2) as u8;
                }
            }
            (2, 1) if self.width > 2 => {
                near.iter().zip(&mut *sums).for_each(|(n, s)| *s = *n as u16);
                wider(&sums[..self.width], [1, 2], 2, out);
            }
            (2, 2) if self.width > 2 => {
                for ((s, n), f) in sums.iter_mut().zip(near).zip(far) {
                    *s = *n as u16 * 3 + *f as u16;
                }
                wider(&sums[..self.width], [8, 7], 4, out);
            }
            _ => out.iter_mut().enumerate().for_each(|(x, o)| *o = near[x / across]),
        }
    }
}

/// Two values for each, a quarter of the way to the neighbours.
fn wider(from: &[u16], bias: [u16; 2], shift: u32, out: &mut [u8]) {
    let last = from.len() - 1;
    for (x, o) in out.iter_mut().enumerate() {
        let i = x / 2;
        let other = if x.is_multiple_of(2) { i.saturating_sub(1) } else { (i + 1).min(last) };
        *o = ((from[i] * 3 + from[other] + bias[x % 2]) >> shift) as u8;
    }
}

/// Brightness and two differences of colour to red, green and blue.
pub fn rgb(y: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
    for ((y, cb), cr) in y.iter_mut().zip(cb).zip(cr) {
        let (l, b, r) = (*y as i32, *cb as i32 - 128, *cr as i32 - 128);
        let byte = |v: i32| v.clamp(0, 255) as u8;
        *y = byte(l + ((91881 * r + 32768) >> 16));
        *cb = byte(l + ((-22554 * b - 46802 * r + 32768) >> 16));
        *cr = byte(l + ((116130 * b + 32768) >> 16));
    }
}

/// Inks to red, green and blue, as Pillow converts them: `k` is the black one.
pub fn from_inks(inks: [&mut [u8]; 3], k: &[u8]) {
    for ink in inks {
        for (v, k) in ink.iter_mut().zip(k) {
            let light = 255 - *k as u32;
            let part = *v as u32 * light + 128;
            *v = (light as i32 - (((part >> 8) + part) >> 8) as i32).clamp(0, 255) as u8;
        }
    }
}
