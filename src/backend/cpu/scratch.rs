//! What the dense kernels share: views as typed pointers, per-thread scratch memory.

use super::alloc::{self, Block};
use crate::backend::View;
use crate::bail;
use crate::base::error::Result;
use crate::base::layout::Dims;

/// Typed pointer to a view's first element.
#[inline]
pub fn ptr<T>(v: &View) -> Result<*mut T> {
    match v.storage.host_ptr() {
        // SAFETY: the layout lies inside the storage.
        Some(p) => Ok(unsafe { (p.as_ptr() as *mut T).offset(v.layout.offset as isize) }),
        None => bail!(
            Runtime,
            "Expected all tensors to be on the same device, but found at least two devices, cpu and {}!",
            v.storage.device()
        ),
    }
}

/// A pointer that may cross into the threads of one parallel loop, whose parts touch disjoint elements.
pub struct Ptr<T>(pub *mut T);
impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ptr<T> {}
impl<T> Ptr<T> {
    /// The pointer moved by `n` elements.
    #[inline(always)]
    pub fn at(self, n: isize) -> *mut T {
        self.0.wrapping_offset(n)
    }
}
// SAFETY: kernels write disjoint parts from different threads and only read what nobody writes.
unsafe impl<T> Send for Ptr<T> {}
unsafe impl<T> Sync for Ptr<T> {}

/// Scratch memory kept per thread, so that a kernel's work space costs no allocation in the steady state.
pub struct Scratch {
    block: Option<Block>,
    nbytes: usize,
}

impl Scratch {
    /// At least `n` elements of `T`, uninitialised, 64-byte aligned.
    pub fn new<T>(n: usize) -> Result<Scratch> {
        let nbytes = n * std::mem::size_of::<T>();
        if let Some((nbytes, block)) = alloc::take_kept(nbytes) {
            return Ok(Scratch { block: Some(block), nbytes });
        }
        let nbytes = nbytes.max(4096).next_power_of_two();
        Ok(Scratch { block: Some(Block::new(nbytes)?), nbytes })
    }
    #[inline]
    pub fn ptr<T>(&self) -> *mut T {
        match &self.block {
            Some(b) => b.ptr().as_ptr() as *mut T,
            None => std::ptr::null_mut(),
        }
    }
}
impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            alloc::keep(self.nbytes, block);
        }
    }
}

/// Walks positions of a shape in row-major order, keeping the element offsets of `K` tensors over it.
pub struct Walk<'a, const K: usize> {
    shape: &'a [i64],
    strides: [&'a [i64]; K],
    pub at: Dims,
    pub offset: [isize; K],
}
impl<'a, const K: usize> Walk<'a, K> {
    /// Stands at row-major position `start`, which must lie in the shape or one past its end.
    pub fn new(shape: &'a [i64], strides: [&'a [i64]; K], start: usize) -> Self {
        let mut at: Dims = smallvec::SmallVec::from_elem(0, shape.len());
        let mut offset = [0isize; K];
        let mut rest = start as i64;
        for d in (0..shape.len()).rev() {
            at[d] = rest % shape[d].max(1);
            rest /= shape[d].max(1);
            for k in 0..K {
                offset[k] += (at[d] * strides[k][d]) as isize;
            }
        }
        Walk { shape, strides, at, offset }
    }
    /// Moves to the next position; from the last one to the first.
    #[inline]
    pub fn step(&mut self) {
        for d in (0..self.shape.len()).rev() {
            self.at[d] += 1;
            if self.at[d] < self.shape[d] {
                for k in 0..K {
                    self.offset[k] += self.strides[k][d] as isize;
                }
                return;
            }
            for k in 0..K {
                self.offset[k] -= ((self.shape[d] - 1) * self.strides[k][d]) as isize;
            }
            self.at[d] = 0;
        }
    }
}
