//! What a call of a recurrent layer works on, and what both directions share.

use crate::backend::cpu::lanes::{Lanes, Real};
use crate::backend::cpu::scratch::Ptr;

/// Gates of each kind.
pub(super) const LSTM: usize = 4;
pub(super) const GRU: usize = 3;
/// [batch, units] with any strides; null where it is absent, which is zeros.
pub(super) struct State<T> {
    pub p: Ptr<T>,
    pub strides: [isize; 2],
}

pub(super) struct Job<T> {
    pub gates: usize,
    pub hidden: usize,
    pub steps: usize,
    pub batch: usize,
    pub lines: usize,
    /// Rows of each step, from the longest batch down, and where they begin; none where all have `batch`.
    pub sizes: Vec<usize>,
    pub offsets: Vec<usize>,
    pub backwards: bool,
    pub keep: bool,
    /// [line, gate, unit].
    pub gates_at: Ptr<T>,
    pub weight: Ptr<T>,
    pub weight_strides: [isize; 2],
    pub bias: Ptr<T>,
    pub bias_stride: isize,
    pub packed: Ptr<T>,
    pub h: State<T>,
    pub c: State<T>,
    pub out: Ptr<T>,
    pub out_stride: isize,
    /// Where gates are kept: c of an LSTM, the recurrent part of a GRU's n, and h before each step, [line, unit].
    pub kept: Ptr<T>,
    pub before: Ptr<T>,
    pub last_h: Ptr<T>,
    pub last_c: Ptr<T>,
}
pub(super) struct Slopes<T> {
    pub job: Job<T>,
    pub grad: Ptr<T>,
    pub grad_stride: isize,
    pub grad_h: State<T>,
    pub grad_c: State<T>,
    /// Of the gates' sums, [line, gate, unit], and of a GRU's recurrent part.
    pub slopes: Ptr<T>,
    pub recurrent: Ptr<T>,
    pub first_h: Ptr<T>,
    pub first_c: Ptr<T>,
}

impl<T: Real> Job<T> {
    /// Where step `t` begins, and its rows.
    #[inline(always)]
    pub fn step(&self, t: usize) -> (usize, usize) {
        match self.sizes.get(t) {
            Some(n) => (self.offsets[t], *n),
            None => (t * self.batch, self.batch),
        }
    }
    /// The line of the step that a row took before step `t`; None where that is its first.
    #[inline(always)]
    pub fn before(&self, t: usize, row: usize) -> Option<usize> {
        let t = if self.backwards { t + 1 } else { t.checked_sub(1)? };
        if t >= self.steps {
            return None;
        }
        let (at, rows) = self.step(t);
        (row < rows).then_some(at + row)
    }
    /// # Safety
    /// `to` holds a row, `row` is one of the batch.
    #[inline(always)]
    pub unsafe fn read_state(&self, s: &State<T>, row: usize, to: *mut T) {
        // SAFETY: the caller's.
        unsafe { self.read_units(s, row, 0, self.hidden, to) }
    }
    /// # Safety
    /// The same for `n` units from `u` on.
    #[inline(always)]
    pub unsafe fn read_units(&self, s: &State<T>, row: usize, u: usize, n: usize, to: *mut T) {
        // SAFETY: the caller's.
        unsafe {
            if s.p.0.is_null() {
                return std::slice::from_raw_parts_mut(to, n).fill(T::ZERO);
            }
            let from = s.p.at(row as isize * s.strides[0] + u as isize * s.strides[1]);
            for i in 0..n {
                *to.add(i) = *from.offset(i as isize * s.strides[1]);
            }
        }
    }
}

/// `n` lanes; whole vectors without a mask, which is slow to store on some machines.
#[inline(always)]
pub(super) unsafe fn get<T: Real, V: Lanes<T = T>>(p: *const T, n: usize) -> V {
    // SAFETY: the caller's.
    unsafe {
        if n == V::N {
            V::load(p)
        } else {
            V::load_n(p, n)
        }
    }
}
#[inline(always)]
pub(super) unsafe fn put<T: Real, V: Lanes<T = T>>(v: V, p: *mut T, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        if n == V::N {
            v.store(p)
        } else {
            v.store_n(p, n)
        }
    }
}
