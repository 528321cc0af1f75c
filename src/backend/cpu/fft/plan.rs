//! What a length needs: its division into passes, and their factors.

use super::super::lanes::Real;
use super::stage::{Stage, ODD};
use crate::backend::memory;
use crate::base::error::Result;
use smallvec::SmallVec;
use std::sync::Arc;

/// Cosine and sine of 2 pi k / n, exact to a rounding: the angle is reduced in integers.
pub fn root(k: usize, n: usize) -> (f64, f64) {
    let (k, n) = ((k % n) as u128 * 4, n as u128);
    let (quarter, rest) = (k / n, k % n);
    let angle = |r: u128| std::f64::consts::FRAC_PI_2 * (r as f64 / n as f64);
    let (c, s) = if 2 * rest > n {
        let a = angle(n - rest);
        (a.sin(), a.cos())
    } else {
        let a = angle(rest);
        (a.cos(), a.sin())
    };
    match quarter {
        0 => (c, s),
        1 => (-s, c),
        2 => (-c, -s),
        _ => (s, -c),
    }
}

/// The passes of a transform over columns.
pub struct Columns<T> {
    pub n: usize,
    pub stages: SmallVec<[Stage; 24]>,
    pub table: Vec<T>,
}

/// The radices of `n`; None where a prime factor has none. Twos go in eights, and fours where those do not divide them.
fn radices(n: usize) -> Option<SmallVec<[usize; 24]>> {
    let mut list = SmallVec::new();
    let mut rest = n.max(1);
    for r in ODD {
        while rest.is_multiple_of(r) {
            list.push(r);
            rest /= r;
        }
    }
    if !rest.is_power_of_two() {
        return None;
    }
    let mut twos = rest.trailing_zeros();
    while twos > 0 {
        let r = match twos {
            1 => 1,
            2 | 4 => 2,
            _ => 3,
        };
        list.push(1 << r);
        twos -= r;
    }
    if list.is_empty() {
        list.push(1);
    }
    Some(list)
}

impl<T: Real> Columns<T> {
    pub fn new(n: usize) -> Result<Option<Columns<T>>> {
        let Some(list) = radices(n) else { return Ok(None) };
        let mut table = Vec::new();
        let (mut rest, mut s) = (n, 1);
        let mut stages = SmallVec::new();
        for r in list {
            let m = rest / r;
            let at = table.len();
            memory::reserve(&mut table, 2 * m * (r - 1) + r * r)?;
            for p in 0..m {
                for j in 1..r {
                    let (c, w) = root(p * j, rest);
                    table.extend([T::from_f64(c), T::from_f64(-w)]);
                }
            }
            let roots = table.len();
            if r % 2 == 1 {
                for k in 1..=r / 2 {
                    for j in 1..=r / 2 {
                        let (c, w) = root(j * k, r);
                        table.extend([T::from_f64(c), T::from_f64(w)]);
                    }
                }
            }
            stages.push(Stage { radix: r, m, s, at, roots });
            (rest, s) = (m, s * r);
        }
        Ok(Some(Columns { n, stages, table }))
    }
}

/// How one line of n elements is transformed.
// A plan has one; behind a pointer it would take a step more per transform.
#[allow(clippy::large_enum_variant)]
pub enum Row<T> {
    /// As a matrix of a x b: its columns, factors (as [block][element][part][lane]), then its rows.
    Split { a: Columns<T>, b: Columns<T>, factors: Vec<T> },
    /// As a convolution with a chirp, by transforms of a longer line (Bluestein's way).
    Chirp { inner: Arc<Line<T>>, chirp: Vec<T>, spectrum: Vec<T> },
}
pub struct Line<T> {
    pub n: usize,
    /// For many lines at once, one in each lane; None where the length has a large prime factor or is long.
    pub columns: Option<Columns<T>>,
    pub row: Row<T>,
    /// Whether a row alone would leave many lanes idle.
    pub poor: bool,
}

/// The longest line whose columns are transformed as they lie.
pub const LONG: usize = 4096;

/// Rows and columns of the matrix that a line is seen as, and whether lanes idle.
pub fn divide(n: usize, lanes: usize) -> Option<(usize, usize, bool)> {
    radices(n)?;
    let passes = |n: usize| radices(n).map_or(0, |l| l.len()) + 1;
    let mut best = (usize::MAX, 1, n);
    let mut a = 1;
    while a * a <= n {
        if n.is_multiple_of(a) {
            for (a, b) in [(a, n / a), (n / a, a)] {
                let cost = b.next_multiple_of(lanes) * a * passes(a) + a.next_multiple_of(lanes) * b * passes(b);
                // What does not fit in the second cache costs more.
                let cost = if a.max(b) > LONG { cost * 2 } else { cost };
                best = best.min((cost, a, b));
            }
        }
        a += 1;
    }
    let (_, a, b) = best;
    let padded = b.next_multiple_of(lanes) * a + a.next_multiple_of(lanes) * b;
    Some((a, b, padded * 2 > 5 * n))
}

/// A line of an even number of real elements: the line of half as many complex ones, and cosines and sines of 2 pi k / n.
pub struct Halves<T> {
    pub half: Arc<Line<T>>,
    pub cos: Vec<T>,
    pub sin: Vec<T>,
}
