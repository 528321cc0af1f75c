//! What a call of attention works on, and what both directions share.

use crate::backend::cpu::lanes::{FloatElement, Real};
use crate::backend::cpu::scratch::Ptr;

/// Queries of one block, and keys that are looked at together: scores of 96 x 64 and the keys' and values' rows stay in the
/// second-level cache.
pub(super) const QUERIES: usize = 64;
pub(super) const KEYS: usize = 96;

/// [batch, head, row, column]: the first element and the strides.
pub(super) struct Mat<T> {
    pub p: Ptr<T>,
    pub strides: [isize; 4],
}
impl<T> Clone for Mat<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Mat<T> {}
impl<T> Mat<T> {
    #[inline(always)]
    pub fn at(&self, batch: usize, head: usize, row: usize) -> *mut T {
        let [b, h, r, _] = self.strides;
        self.p.at(batch as isize * b + head as isize * h + row as isize * r)
    }
    pub fn row(&self) -> isize {
        self.strides[2]
    }
    pub fn col(&self) -> isize {
        self.strides[3]
    }
}

/// What is added to the scores: numbers, or minus infinity where a bool is false.
#[derive(Clone, Copy)]
pub(super) enum Mask<T> {
    Bool(Mat<u8>),
    Float(Mat<T>),
}

pub(super) struct Job<T: FloatElement> {
    pub batch: usize,
    pub heads: usize,
    /// Heads of queries for each head of keys and values.
    pub group: usize,
    pub queries: usize,
    pub keys: usize,
    /// Columns of queries and keys, and of values.
    pub dim: usize,
    pub value_dim: usize,
    pub scale: T::C,
    pub causal: bool,
    pub q: Mat<T>,
    pub k: Mat<T>,
    pub v: Mat<T>,
    pub mask: Option<Mask<T>>,
    pub out: Mat<T>,
    /// The logarithm of each query's sum of exponentials, [batch, head, query]; infinite for one that sees nothing.
    pub lse: Ptr<T::C>,
}

/// The gradients' own: that of the output, and those asked for, all dense.
pub(super) struct Slopes<T: FloatElement> {
    pub job: Job<T>,
    pub grad: Mat<T>,
    pub grad_q: Mat<T>,
    pub grad_k: Mat<T>,
    pub grad_v: Mat<T>,
    /// Parts into which a head's keys are cut, each a task; the sums for queries are then added in order.
    pub parts: usize,
    /// Where there are several: [part, batch, head, query, column] of the queries' gradients.
    pub partial: Ptr<T::C>,
}

impl<T: FloatElement> Job<T> {
    /// How many keys the queries before `end` can see.
    pub fn visible(&self, end: usize) -> usize {
        if self.causal {
            self.keys.min(end)
        } else {
            self.keys
        }
    }
    /// The mask's part for scores [key][query] with rows of `stride`, from query `q0` and key `k0` on.
    ///
    /// # Safety
    /// The block lies inside the scores and the mask.
    #[inline(always)]
    pub unsafe fn masked(
        &self,
        (b, h): (usize, usize),
        (q0, nq): (usize, usize),
        (k0, nk): (usize, usize),
        s: *mut T::C,
        stride: usize,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let low = <T::C as Real>::LOWEST;
            match &self.mask {
                Some(Mask::Bool(m)) => {
                    let col = m.col();
                    if m.row() == 0 {
                        let from = m.at(b, h, q0).offset(k0 as isize * col);
                        for i in 0..nk {
                            if *from.offset(i as isize * col) == 0 {
                                std::slice::from_raw_parts_mut(s.add(i * stride), nq).fill(low);
                            }
                        }
                    } else {
                        for j in 0..nq {
                            let from = m.at(b, h, q0 + j).offset(k0 as isize * col);
                            for i in 0..nk {
                                let to = s.add(i * stride + j);
                                *to = if *from.offset(i as isize * col) == 0 { low } else { *to };
                            }
                        }
                    }
                }
                Some(Mask::Float(m)) => {
                    let col = m.col();
                    for j in 0..nq {
                        let from = m.at(b, h, q0 + j).offset(k0 as isize * col);
                        for i in 0..nk {
                            let to = s.add(i * stride + j);
                            *to = *to + (*from.offset(i as isize * col)).widen();
                        }
                    }
                }
                None => {}
            }
            if self.causal && k0 + nk > q0 + 1 {
                for i in 0..nk {
                    // Query q sees the keys up to q.
                    let hidden = (k0 + i).saturating_sub(q0).min(nq);
                    std::slice::from_raw_parts_mut(s.add(i * stride), hidden).fill(low);
                }
            }
        }
    }
}

/// Rows of a matrix as dense ones of the computing type: themselves, or copies in `to`. Gives the first and the stride.
///
/// # Safety
/// `rows` rows of `cols` elements lie behind `from`, and `to` holds as many unless they are taken as they are.
pub(super) unsafe fn dense<T: FloatElement>(
    from: *const T,
    row: isize,
    col: isize,
    rows: usize,
    cols: usize,
    to: *mut T::C,
) -> (*const T::C, isize) {
    let direct = T::DIRECT && (col == 1 || cols == 1);
    if direct && (row == cols as isize || rows == 1) {
        return (from as *const T::C, cols as isize);
    }
    // SAFETY: the caller's.
    unsafe {
        if direct {
            // Rows far apart share the first cache's sets.
            for r in 0..rows {
                std::ptr::copy_nonoverlapping(from.offset(r as isize * row) as *const T::C, to.add(r * cols), cols);
            }
            return (to, cols as isize);
        }
        for r in 0..rows {
            let (from, to) = (from.offset(r as isize * row), to.add(r * cols));
            for c in 0..cols {
                *to.add(c) = (*from.offset(c as isize * col)).widen();
            }
        }
    }
    (to, cols as isize)
}

/// Packs rows into panels [panel][column][width], each element times `factor`; rows that are missing are 0.
///
/// # Safety
/// As `dense`; `to` holds all panels.
pub(super) unsafe fn panels<T: FloatElement>(
    from: *const T,
    row: isize,
    col: isize,
    rows: usize,
    cols: usize,
    width: usize,
    factor: T::C,
    to: *mut T::C,
) {
    // SAFETY: the caller's.
    unsafe {
        for p in 0..rows.div_ceil(width) {
            let to = to.add(p * cols * width);
            for j in 0..width {
                let r = p * width + j;
                if r >= rows {
                    for c in 0..cols {
                        *to.add(c * width + j) = <T::C as Real>::ZERO;
                    }
                    continue;
                }
                let from = from.offset(r as isize * row);
                for c in 0..cols {
                    *to.add(c * width + j) = (*from.offset(c as isize * col)).widen() * factor;
                }
            }
        }
    }
}
