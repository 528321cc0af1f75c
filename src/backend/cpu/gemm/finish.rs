//! The epilogue of a matrix product: bias and activation, on each block of the result while it is in the cache.

use super::mat::Mat;
use crate::backend::cpu::lanes::{FloatElement, Real};
use crate::backend::cpu::scratch::{ptr, Ptr};
use crate::backend::cpu::simd::{self, Kernel};
use crate::backend::program::Opcode;
use crate::backend::{Activation, Epilogue};
use crate::base::error::Result;

/// An epilogue whose bias is a matrix of the result's shape (with strides of 0), so that it turns with the problem.
pub(super) struct Finish<T> {
    bias: Option<Mat<T>>,
    activation: Option<Activation>,
    /// Receives what goes into the activation.
    pre: Option<Mat<T>>,
}
impl<T> Clone for Finish<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Finish<T> {}

/// Elements of a row that lies scattered and is computed together.
const STRIP: usize = 256;

impl<T> Finish<T> {
    pub const NONE: Finish<T> = Finish { bias: None, activation: None, pre: None };

    /// Of an epilogue that fits `out` (`check::gemm`).
    pub fn of(e: &Epilogue) -> Result<Finish<T>> {
        let mut bias = None;
        if let Some(v) = &e.bias {
            bias = Some(Mat { p: Ptr(ptr::<T>(v)?), batch: 0, row: 0, col: v.layout.strides[0] as isize });
        }
        let pre = match &e.pre {
            Some(v) => Some(Mat::of(v)?),
            None => None,
        };
        Ok(Finish { bias, activation: e.activation, pre })
    }
    pub fn transposed(self) -> Finish<T> {
        Finish { bias: self.bias.map(Mat::transposed), pre: self.pre.map(Mat::transposed), ..self }
    }
    pub fn is_none(&self) -> bool {
        self.bias.is_none() && self.activation.is_none() && self.pre.is_none()
    }

    fn kernel(&self, op: Opcode) -> Option<Kernel>
    where
        T: FloatElement,
    {
        simd::kernel(op, <T::C as crate::base::dtype::Element>::DTYPE)
    }

    /// One row of the result, from column `c0` on, held as `cols` neighbours of the computing type.
    ///
    /// # Safety
    /// `values` is writable for `cols` elements, and the row lies inside the views.
    pub unsafe fn row(&self, values: *mut T::C, batch: usize, row: usize, c0: usize, cols: usize)
    where
        T: FloatElement,
    {
        // SAFETY: the caller's; a dense row of T is one of T::C where T is DIRECT.
        unsafe {
            if let Some(bias) = &self.bias {
                let from = bias.at(0, row, c0);
                match self.kernel(Opcode::Add) {
                    Some(add) if T::DIRECT && bias.col == 1 && cols > 1 => {
                        let (v, b) = (values.cast::<u8>(), from.cast_const().cast::<u8>());
                        add(cols, v, v, b, v);
                    }
                    _ => {
                        for j in 0..cols {
                            let v = values.add(j);
                            *v = *v + (*from.offset(j as isize * bias.col)).widen();
                        }
                    }
                }
            }
            if let Some(pre) = &self.pre {
                let to = pre.at(batch, row, c0);
                if T::DIRECT && pre.col == 1 {
                    std::ptr::copy_nonoverlapping(values.cast::<T>(), to, cols);
                } else {
                    for j in 0..cols {
                        *to.offset(j as isize * pre.col) = T::narrow(*values.add(j));
                    }
                }
            }
            if let Some(kernel) = self.activation.and_then(|a| self.kernel(a.opcode())) {
                let v = values.cast::<u8>();
                kernel(cols, v, v, v, v);
            }
        }
    }
}

impl<T: Real + FloatElement<C = T>> Finish<T> {
    /// A block of `c`, in place.
    ///
    /// # Safety
    /// The block lies inside the views, and no other thread touches it.
    pub unsafe fn block(&self, c: &Mat<T>, batch: usize, r0: usize, rows: usize, c0: usize, cols: usize) {
        if self.is_none() {
            return;
        }
        for r in r0..r0 + rows {
            // SAFETY: the caller's; a strip holds STRIP elements.
            unsafe {
                if c.col == 1 {
                    self.row(c.at(batch, r, c0), batch, r, c0, cols);
                    continue;
                }
                let mut strip = [T::ZERO; STRIP];
                for j0 in (0..cols).step_by(STRIP) {
                    let n = STRIP.min(cols - j0);
                    for (j, v) in strip[..n].iter_mut().enumerate() {
                        *v = *c.at(batch, r, c0 + j0 + j);
                    }
                    self.row(strip.as_mut_ptr(), batch, r, c0 + j0, n);
                    for (j, v) in strip[..n].iter().enumerate() {
                        *c.at(batch, r, c0 + j0 + j) = *v;
                    }
                }
            }
        }
    }
}
