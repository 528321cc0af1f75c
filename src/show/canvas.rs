//! Lines and letters on an image.

use super::png::Image;
use crate::Result;

/// 14 rows of 8 pixels of 4 bits for each character from space to tilde (`scripts/make_font.py`).
static FONT: &[u8; 95 * 56] = include_bytes!("font.bin");
/// The size of a letter.
pub const LETTER: (i64, i64) = (8, 14);

pub type Colour = [u8; 3];

pub struct Canvas(pub Image);

impl Canvas {
    pub fn new(width: usize, height: usize) -> Result<Canvas> {
        Image::new(width, height, [255; 3]).map(Canvas)
    }
    /// Mixes a colour into a pixel; `share` is from 0 to 1. Pixels outside are left alone.
    fn blend(&mut self, x: i64, y: i64, colour: Colour, share: f64) {
        if x < 0 || y < 0 || x >= self.0.width as i64 || y >= self.0.height as i64 {
            return;
        }
        let at = 3 * (y as usize * self.0.width + x as usize);
        for (p, c) in self.0.pixels[at..at + 3].iter_mut().zip(colour) {
            *p = (*p as f64 + share * (c as f64 - *p as f64)).round() as u8;
        }
    }
    pub fn rectangle(&mut self, x: i64, y: i64, width: i64, height: i64, colour: Colour) {
        self.wash(x, y, width, height, colour, 1.0);
    }
    /// A rectangle that what lies below shines through.
    pub fn wash(&mut self, x: i64, y: i64, width: i64, height: i64, colour: Colour, share: f64) {
        for y in y..y + height {
            for x in x..x + width {
                self.blend(x, y, colour, share);
            }
        }
    }
    /// A line of a width in pixels; its edges are soft. Both ends must lie near the image.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), width: f64, colour: Colour) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length2 = dx * dx + dy * dy;
        let reach = width / 2.0 + 1.0;
        let bounds = |a: f64, b: f64, most: usize| {
            let low = (a.min(b) - reach).floor().max(0.0) as i64;
            (low, (a.max(b) + reach).ceil().min(most as f64 - 1.0) as i64)
        };
        let (left, right) = bounds(from.0, to.0, self.0.width);
        let (top, bottom) = bounds(from.1, to.1, self.0.height);
        for y in top..=bottom {
            for x in left..=right {
                let (px, py) = (x as f64 - from.0, y as f64 - from.1);
                let t = if length2 > 0.0 { ((px * dx + py * dy) / length2).clamp(0.0, 1.0) } else { 0.0 };
                let distance = (px - t * dx).hypot(py - t * dy);
                let share = (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
                if share > 0.0 {
                    self.blend(x, y, colour, share);
                }
            }
        }
    }
    /// Text from its upper left corner; what is not ASCII shows as a question mark.
    pub fn text(&mut self, x: i64, y: i64, text: &str, colour: Colour) {
        for (i, c) in text.chars().enumerate() {
            let code = if (' '..='~').contains(&c) { c as usize } else { '?' as usize } - 32;
            let left = x + i as i64 * LETTER.0;
            if left > self.0.width as i64 {
                return;
            }
            for (k, pair) in FONT[code * 56..(code + 1) * 56].iter().enumerate() {
                let (row, column) = (k as i64 / 4, 2 * (k as i64 % 4));
                self.blend(left + column, y + row, colour, (pair >> 4) as f64 / 15.0);
                self.blend(left + column + 1, y + row, colour, (pair & 15) as f64 / 15.0);
            }
        }
    }
}
