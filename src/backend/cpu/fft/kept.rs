//! Makes plans and keeps the latest, up to a bound.

use super::super::lanes::Real;
use super::lines::{lanes, row};
use super::plan::{divide, root, Columns, Halves, Line, Row, LONG};
use crate::backend::memory;
use crate::base::error::Result;
use crate::base::sync::Mutex;
use std::any::Any;
use std::sync::Arc;

/// A length for the convolution of at least `least` elements.
fn roomy(least: usize) -> usize {
    let two = least.next_power_of_two();
    [two / 16 * 9, two / 8 * 5, two / 4 * 3, two / 8 * 7].into_iter().filter(|n| *n >= least).min().unwrap_or(two)
}

impl<T: Real> Line<T> {
    fn new(n: usize, lanes: usize) -> Result<Line<T>> {
        let columns = if n <= LONG { Columns::new(n)? } else { None };
        let Some((a, b, poor)) = divide(n, lanes) else {
            return Ok(Line { n, columns, row: chirp(n)?, poor: false });
        };
        let (Some(first), Some(second)) = (Columns::new(a)?, Columns::new(b)?) else {
            return Ok(Line { n, columns, row: chirp(n)?, poor: false });
        };
        let mut factors = memory::with_capacity(b.div_ceil(lanes) * a * 2 * lanes)?;
        for block in 0..b.div_ceil(lanes) {
            for k in 0..a {
                let at = |l: usize| root(k * (block * lanes + l) % n, n);
                factors.extend((0..lanes).map(|l| T::from_f64(at(l).0)));
                factors.extend((0..lanes).map(|l| T::from_f64(-at(l).1)));
            }
        }
        Ok(Line { n, columns, row: Row::Split { a: first, b: second, factors }, poor })
    }
    fn nbytes(&self) -> usize {
        let columns = |c: &Columns<T>| c.table.len();
        let row = match &self.row {
            Row::Split { a, b, factors } => columns(a) + columns(b) + factors.len(),
            Row::Chirp { inner, chirp, spectrum } => inner.nbytes() / size_of::<T>() + chirp.len() + spectrum.len(),
        };
        (row + self.columns.as_ref().map_or(0, columns)) * size_of::<T>()
    }
}
fn chirp<T: Real>(n: usize) -> Result<Row<T>> {
    let inner = line::<T>(roomy(2 * n - 1))?;
    let m = inner.n;
    // exp(-pi i k^2 / n)
    let mut chirp = memory::with_capacity(2 * n)?;
    let mut spectrum = memory::filled(2 * m, T::ZERO)?;
    for k in 0..n {
        let square = (k as u128 * k as u128 % (2 * n as u128)) as usize;
        let (c, s) = root(square, 2 * n);
        chirp.extend([T::from_f64(c), T::from_f64(-s)]);
        for at in [k, (m - k) % m] {
            spectrum[2 * at] = T::from_f64(c / m as f64);
            spectrum[2 * at + 1] = T::from_f64(s / m as f64);
        }
    }
    let p = spectrum.as_mut_ptr();
    // SAFETY: 2 m numbers, transformed in place.
    unsafe { row(&inner, p, p, false, T::ONE)? };
    Ok(Row::Chirp { inner, chirp, spectrum })
}

type Key = (usize, usize, usize, bool);
struct Kept {
    key: Key,
    nbytes: usize,
    plan: Arc<dyn Any + Send + Sync>,
}
/// The plans of late, the latest at the end.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
const KEPT_BYTES: usize = 64 << 20;
const KEPT_PLANS: usize = 64;

fn kept<P: Send + Sync + 'static>(key: Key, make: impl FnOnce() -> Result<(P, usize)>) -> Result<Arc<P>> {
    {
        let mut list = KEPT.lock();
        if let Some(i) = list.iter().rposition(|k| k.key == key) {
            let n = list.len();
            list[i..n].rotate_left(1);
            if let Ok(p) = Arc::downcast(list[n - 1].plan.clone()) {
                return Ok(p);
            }
        }
    }
    let (plan, nbytes) = make()?;
    let plan = Arc::new(plan);
    if nbytes <= KEPT_BYTES {
        let mut list = KEPT.lock();
        memory::push(&mut list, Kept { key, nbytes, plan: plan.clone() })?;
        let mut all: usize = list.iter().map(|k| k.nbytes).sum();
        while all > KEPT_BYTES || list.len() > KEPT_PLANS {
            all -= list.remove(0).nbytes;
        }
    }
    Ok(plan)
}
/// Gives the memory of all plans back.
pub fn forget() {
    let list = std::mem::take(&mut *KEPT.lock());
    drop(list);
}
fn key<T: Real>(n: usize, halves: bool) -> Key {
    (n, size_of::<T>(), lanes::<T>(), halves)
}
/// The plan for lines of n elements.
pub fn line<T: Real>(n: usize) -> Result<Arc<Line<T>>> {
    kept(key::<T>(n, false), || {
        let plan = Line::new(n, lanes::<T>())?;
        let nbytes = plan.nbytes();
        Ok((plan, nbytes))
    })
}
/// The plan for lines of an even number n of real elements.
pub fn halves<T: Real>(n: usize) -> Result<Arc<Halves<T>>> {
    let half = line::<T>(n / 2)?;
    kept(key::<T>(n, true), || {
        let (mut cos, mut sin) = (memory::with_capacity(n / 2 + 1)?, memory::with_capacity(n / 2 + 1)?);
        for k in 0..=n / 2 {
            let (c, s) = root(k, n);
            cos.push(T::from_f64(c));
            sin.push(T::from_f64(s));
        }
        let nbytes = half.nbytes() + n * size_of::<T>();
        Ok((Halves { half, cos, sin }, nbytes))
    })
}
