//! A batch of matrices in memory.

use crate::backend::cpu::scratch::{ptr, Ptr};
use crate::backend::View;
use crate::base::error::Result;

/// One matrix of a batch: first element, and the strides of batch, row and column.
pub(super) struct Mat<T> {
    pub p: Ptr<T>,
    pub batch: isize,
    pub row: isize,
    pub col: isize,
}
impl<T> Clone for Mat<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Mat<T> {}
impl<T> Mat<T> {
    pub fn of(v: &View) -> Result<Mat<T>> {
        let s = &v.layout.strides;
        Ok(Mat { p: Ptr(ptr::<T>(v)?), batch: s[0] as isize, row: s[1] as isize, col: s[2] as isize })
    }
    pub fn transposed(self) -> Mat<T> {
        Mat { row: self.col, col: self.row, ..self }
    }
    #[inline(always)]
    pub fn at(&self, batch: usize, row: usize, col: usize) -> *mut T {
        self.p.at(batch as isize * self.batch + row as isize * self.row + col as isize * self.col)
    }
}
