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

/// A part of a matrix: its first element, and the strides of rows and columns.
#[derive(Clone, Copy)]
pub(super) struct Part<T> {
    pub p: *const T,
    pub row: isize,
    pub col: isize,
}
#[cfg(target_arch = "x86_64")]
impl<T> Part<T> {
    #[inline(always)]
    pub fn at(&self, row: usize, col: usize) -> *const T {
        self.p.wrapping_offset(row as isize * self.row + col as isize * self.col)
    }
    /// The same memory as another type of the same size.
    pub fn cast<U>(self) -> Part<U> {
        Part { p: self.p.cast(), row: self.row, col: self.col }
    }
}
