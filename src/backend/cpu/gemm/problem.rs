//! A product with the strides, the turn and the epilogue that its kernels are given.

use super::finish::Finish;
use super::mat::Mat;
use crate::backend::{Epilogue, View};
use crate::base::error::Result;

/// Multiplications that are worth a task of their own.
pub(super) const TASK: usize = 400_000;
/// Rows and columns of one block of a large result: large enough that packing is paid back.
pub(super) const BLOCK: usize = 256;

/// A whole problem, normalised by `orient`.
#[derive(Clone, Copy)]
pub(super) struct Problem<T> {
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Mat<T>,
    pub b: Mat<T>,
    pub c: Mat<T>,
    pub finish: Finish<T>,
}
impl<T: Copy> Problem<T> {
    pub fn of(a: &View, b: &View, out: &View, epilogue: &Epilogue) -> Result<Problem<T>> {
        let (sa, so) = (&a.layout.shape, &out.layout.shape);
        let mut p = Problem {
            batch: so[0] as usize,
            m: so[1] as usize,
            n: so[2] as usize,
            k: sa[2] as usize,
            a: Mat::of(a)?,
            b: Mat::of(b)?,
            c: Mat::of(out)?,
            finish: Finish::of(epilogue)?,
        };
        // The strides of dimensions of size 1 mean nothing; make them say "contiguous" where that opens a fast path.
        if p.m == 1 {
            (p.a.row, p.c.row) = (isize::MAX, isize::MAX);
        }
        if p.n == 1 {
            (p.b.col, p.c.col) = (isize::MAX, isize::MAX);
        }
        if p.k == 1 {
            (p.a.col, p.b.row) = (1, isize::MAX);
        }
        // Rows of the result should be the contiguous ones; a single column becomes a single row.
        if (p.n == 1 && p.m > 1) || (p.m > 1 && p.n > 1 && p.c.row < p.c.col) {
            p = Problem { m: p.n, n: p.m, a: p.b.transposed(), b: p.a.transposed(), c: p.c.transposed(), ..p };
            p.finish = p.finish.transposed();
        }
        for s in [&mut p.a.row, &mut p.c.row, &mut p.b.row] {
            if *s == isize::MAX {
                *s = 0;
            }
        }
        for s in [&mut p.a.col, &mut p.c.col, &mut p.b.col] {
            if *s == isize::MAX {
                *s = 1;
            }
        }
        Ok(p)
    }
}
