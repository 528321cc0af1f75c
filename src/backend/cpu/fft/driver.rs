//! What is transformed into what, and which lines go together.

use super::super::lanes::Real;
use super::super::level::level;
use super::super::scratch::{Ptr, Scratch};
use super::super::threads::parallel::try_parallel_for;
use super::super::transpose::transpose;
use super::kept::{halves, line};
use super::lines::{gathered, lanes, pass, row, spread, tangle, untangle, LARGE, TASK};
use super::plan::{Columns, Halves, Line};
use super::stage::{Dst, Src};
use crate::base::error::Result;
use std::sync::Arc;

/// What is transformed into what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Complex {
        inverse: bool,
    },
    /// Real numbers to the first half of their spectrum.
    Forward,
    /// The first half of a spectrum to real numbers.
    Backward,
}
impl Kind {
    /// Elements and numbers of each in a line of n, on the way in and on the way out.
    pub fn lines(self, n: usize) -> ((usize, usize), (usize, usize)) {
        match self {
            Kind::Complex { .. } => ((n, 2), (n, 2)),
            Kind::Forward => ((n, 1), (n / 2 + 1, 2)),
            Kind::Backward => ((n / 2 + 1, 2), (n, 1)),
        }
    }
}
/// What a kind needs for lines of n.
struct Plan<T> {
    kind: Kind,
    n: usize,
    line: Arc<Line<T>>,
    halves: Option<Arc<Halves<T>>>,
}
impl<T: Real> Plan<T> {
    fn new(kind: Kind, n: usize) -> Result<Plan<T>> {
        if kind != (Kind::Complex { inverse: false })
            && kind != (Kind::Complex { inverse: true })
            && n.is_multiple_of(2)
        {
            let halves = halves::<T>(n)?;
            return Ok(Plan { kind, n, line: halves.half.clone(), halves: Some(halves) });
        }
        Ok(Plan { kind, n, line: line(n)?, halves: None })
    }
    /// One line that lies in a row.
    unsafe fn row(&self, x: *const T, out: *mut T, scale: T) -> Result<()> {
        let (set, n, m) = (level(), self.n, self.line.n);
        match (self.kind, &self.halves) {
            (Kind::Complex { inverse }, _) => row(&self.line, x, out, inverse, scale),
            (Kind::Forward, Some(h)) => {
                let work = Scratch::new::<T>(2 * m)?;
                row(&self.line, x, work.ptr(), false, T::ONE)?;
                untangle(set, m, work.ptr(), out, h.cos.as_ptr(), h.sin.as_ptr(), scale);
                Ok(())
            }
            (Kind::Backward, Some(h)) => {
                let work = Scratch::new::<T>(2 * m)?;
                tangle(set, m, x, work.ptr(), h.cos.as_ptr(), h.sin.as_ptr());
                row(&self.line, work.ptr(), out, true, scale)
            }
            (Kind::Forward, None) => {
                let work = Scratch::new::<T>(2 * n)?;
                let z = work.ptr::<T>();
                for i in 0..n {
                    *z.add(2 * i) = *x.add(i);
                    *z.add(2 * i + 1) = T::ZERO;
                }
                row(&self.line, z, z, false, scale)?;
                std::ptr::copy_nonoverlapping(z, out, 2 * (n / 2 + 1));
                Ok(())
            }
            (Kind::Backward, None) => {
                let work = Scratch::new::<T>(2 * n)?;
                let z = work.ptr::<T>();
                std::ptr::copy_nonoverlapping(x, z, 2 * (n / 2 + 1));
                *z.add(1) = T::ZERO;
                for k in 1..=n / 2 {
                    *z.add(2 * (n - k)) = *x.add(2 * k);
                    *z.add(2 * (n - k) + 1) = T::ZERO - *x.add(2 * k + 1);
                }
                row(&self.line, z, z, true, scale)?;
                for i in 0..n {
                    *out.add(i) = *z.add(2 * i);
                }
                Ok(())
            }
        }
    }
    /// Up to a vector of lines that lie in columns; strides count numbers. `work` has room for 6 n + 1 vectors.
    unsafe fn block(
        &self,
        columns: &Columns<T>,
        (x, xs): (*const T, usize),
        (out, os): (*mut T, usize),
        n: usize,
        scale: T,
        work: *mut T,
    ) {
        let (set, m, v) = (level(), columns.n, lanes::<T>());
        let own = work.add(4 * m * v);
        let part = m * v;
        match self.kind {
            Kind::Complex { inverse: swap } => {
                let src = Src::Pairs { p: x, stride: xs, n, swap };
                pass(set, columns, src, Dst::Pairs { p: out, stride: os, n, swap, scale }, work)
            }
            Kind::Forward => {
                let src = match &self.halves {
                    Some(_) => Src::Planes { re: x, im: x.add(xs), strides: (2 * xs, 2 * xs), n },
                    None => {
                        // One vector of zeros stands for all imaginary parts.
                        std::slice::from_raw_parts_mut(own, v).fill(T::ZERO);
                        Src::Planes { re: x, im: own, strides: (xs, 0), n }
                    }
                };
                pass(set, columns, src, Dst::own(own, m, v), work);
                spread(set, m, own, out, os, n, self.halves.as_deref(), scale)
            }
            Kind::Backward => {
                gathered(set, m, x, xs, n, own, self.halves.as_deref(), scale);
                // The parts change places: the inverse.
                let src = Src::Planes { re: own.add(part), im: own, strides: (v, v), n: v };
                let dst = match &self.halves {
                    Some(_) => Dst::Planes { re: out.add(os), im: out, strides: (2 * os, 2 * os), n },
                    // What would be imaginary is written to one vector's place.
                    None => Dst::Planes { re: own.add(2 * part), im: out, strides: (0, os), n },
                };
                pass(set, columns, src, dst, work)
            }
        }
    }
}

/// `to[c][r] = from[r][c]` of elements of `numbers` numbers; strides count elements.
unsafe fn turn<T: Real>(
    numbers: usize,
    (rows, columns): (usize, usize),
    (from, from_stride): (*const T, usize),
    (to, to_stride): (*mut T, usize),
) {
    let size = numbers * size_of::<T>();
    if size <= 8 {
        let (ts, fs) = ((to_stride * size) as isize, (from_stride * size) as isize);
        return transpose(size, columns, rows, to.cast(), ts, from.cast(), fs);
    }
    for r in 0..rows {
        for c in 0..columns {
            let x = from.add(2 * (r * from_stride + c)).cast::<[T; 2]>().read_unaligned();
            to.add(2 * (c * to_stride + r)).cast::<[T; 2]>().write_unaligned(x);
        }
    }
}

/// Transforms `outer` x `inner` lines of n elements, the elements of a line being `inner` apart.
///
/// # Safety
/// `x` and `out` have that many elements; they are the same or do not overlap.
pub unsafe fn transform<T: Real>(
    kind: Kind,
    x: *const T,
    out: *mut T,
    (outer, n, inner): (usize, usize, usize),
    scale: f64,
) -> Result<()> {
    if outer == 0 || inner == 0 || n == 0 {
        return Ok(());
    }
    let plan = Plan::<T>::new(kind, n)?;
    let ((li, ci), (lo, co)) = kind.lines(n);
    let (x, out, scale, v) = (Ptr(x as *mut T), Ptr(out), T::from_f64(scale), lanes::<T>());
    let at = |p: Ptr<T>, i: usize| p.at(i as isize);
    match &plan.line.columns {
        Some(columns) if inner > 1 => {
            let blocks = inner.div_ceil(v);
            try_parallel_for(outer * blocks, (TASK / (n * v)).max(1), |range| {
                let work = Scratch::new::<T>((6 * n + 1) * v)?;
                for i in range {
                    let (o, c) = (i / blocks, i % blocks * v);
                    let x = (at(x, ci * (o * li * inner + c)) as *const T, ci * inner);
                    let out = (at(out, co * (o * lo * inner + c)), co * inner);
                    plan.block(columns, x, out, (inner - c).min(v), scale, work.ptr());
                }
                Ok(())
            })
        }
        Some(columns) if plan.line.poor && outer * 2 >= v => {
            try_parallel_for(outer.div_ceil(v), (TASK / (n * v)).max(1), |range| {
                let work = Scratch::new::<T>((6 * n + 1 + 2 * (n + 2)) * v)?;
                let block = work.ptr::<T>().add((6 * n + 1) * v);
                for i in range {
                    let first = i * v;
                    let some = (outer - first).min(v);
                    turn(ci, (some, li), (at(x, first * li * ci), li), (block, v));
                    plan.block(columns, (block, ci * v), (block, co * v), some, scale, work.ptr());
                    turn(co, (lo, some), (block, v), (at(out, first * lo * co), lo));
                }
                Ok(())
            })
        }
        _ if inner == 1 => {
            // Long rows are divided among threads one by one.
            let grain = if n >= LARGE { usize::MAX } else { (TASK / n).max(1) };
            let rows = |range: std::ops::Range<usize>| {
                range.into_iter().try_for_each(|i| plan.row(at(x, i * li * ci), at(out, i * lo * co), scale))
            };
            if n >= LARGE {
                return rows(0..outer);
            }
            try_parallel_for(outer, grain, rows)
        }
        _ => try_parallel_for(outer * inner, (TASK / n).max(1), |range| {
            let work = Scratch::new::<T>(4 * n + 8)?;
            let (from, to) = (work.ptr::<T>(), work.ptr::<T>().add(2 * n + 4));
            for i in range {
                let (o, c) = (i / inner, i % inner);
                let (x, out) = (at(x, ci * (o * li * inner + c)), at(out, co * (o * lo * inner + c)));
                for k in 0..li {
                    for part in 0..ci {
                        *from.add(k * ci + part) = *x.add(k * inner * ci + part);
                    }
                }
                plan.row(from, to, scale)?;
                for k in 0..lo {
                    for part in 0..co {
                        *out.add(k * inner * co + part) = *to.add(k * co + part);
                    }
                }
            }
            Ok(())
        }),
    }
}
