//! What the dense kernels share: the float types they compute in, views as typed pointers, per-thread scratch memory.

use super::alloc::Block;
use super::lanes::Lanes;
use super::simd::float::Float;
use crate::backend::View;
use crate::bail;
use crate::base::dtype::Element;
use crate::base::error::Result;
use crate::base::layout::Dims;
use half::{bf16, f16};
use parking_lot::Mutex;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A float type that kernels compute in: f32 or f64 (half types go through f32).
pub trait Real: Element + Default + Float {
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    #[cfg(target_arch = "x86_64")]
    type V4: Lanes<T = Self>;
    #[cfg(target_arch = "x86_64")]
    type V3: Lanes<T = Self>;
    type V1: Lanes<T = Self>;
    fn ln(self) -> Self;
    /// a * b + c, fused only where that is one instruction of the baseline.
    fn mul_add_fast(self, b: Self, c: Self) -> Self;
}
macro_rules! real {
    ($t:ty, $v4:ident, $v3:ident, $n:literal) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = <$t>::NEG_INFINITY;
            #[cfg(target_arch = "x86_64")]
            type V4 = super::lanes::$v4;
            #[cfg(target_arch = "x86_64")]
            type V3 = super::lanes::$v3;
            type V1 = super::lanes::Portable<$t, $n>;
            #[inline(always)]
            fn ln(self) -> Self {
                <$t>::ln(self)
            }
            #[inline(always)]
            fn mul_add_fast(self, b: Self, c: Self) -> Self {
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    self.mul_add(b, c)
                } else {
                    self * b + c
                }
            }
        }
    };
}
real!(f32, F32x16, F32x8, 8);
real!(f64, F64x8, F64x4, 4);

/// An element type with the float type its arithmetic is carried out in.
pub trait FloatElement: Element {
    type C: Real;
    /// Whether memory already holds `C`.
    const DIRECT: bool;
    fn widen(self) -> Self::C;
    fn narrow(v: Self::C) -> Self;
}
macro_rules! float_element {
    ($t:ty, $c:ty, $direct:literal, |$v:ident| $widen:expr, |$w:ident| $narrow:expr) => {
        impl FloatElement for $t {
            type C = $c;
            const DIRECT: bool = $direct;
            #[inline(always)]
            fn widen(self) -> $c {
                let $v = self;
                $widen
            }
            #[inline(always)]
            fn narrow($w: $c) -> Self {
                $narrow
            }
        }
    };
}
float_element!(f32, f32, true, |v| v, |w| w);
float_element!(f64, f64, true, |v| v, |w| w);
float_element!(f16, f32, false, |v| v.to_f32(), |w| f16::from_f32(w));
float_element!(bf16, f32, false, |v| v.to_f32(), |w| bf16::from_f32(w));

/// `dispatch!` over the four float dtypes; other dtypes run `$other`.
#[macro_export]
macro_rules! dispatch_float {
    ($dtype:expr, $t:ident, $body:expr, $other:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::DType::F16 => {
                type $t = half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $t = half::bf16;
                $body
            }
            _ => $other,
        }
    };
}

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

/// The blocks that one thread keeps. Its owner and `free_all` exclude each other by `busy`, for which nobody waits: a busy
/// shelf counts as empty, and as full.
struct Shelf {
    busy: AtomicBool,
    blocks: UnsafeCell<Vec<(usize, Block)>>,
}
// SAFETY: the blocks are touched by whoever set `busy` alone.
unsafe impl Sync for Shelf {}
impl Shelf {
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Vec<(usize, Block)>) -> R) -> Option<R> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: `busy` was free and is ours until it is cleared; `f` does not come back here.
        let r = f(unsafe { &mut *self.blocks.get() });
        self.busy.store(false, Ordering::Release);
        Some(r)
    }
}

/// All threads' shelves.
static SHELVES: Mutex<Vec<Arc<Shelf>>> = Mutex::new(Vec::new());
/// A thread's shelf, which goes with the thread.
struct Own(Arc<Shelf>);
impl Own {
    fn new() -> Own {
        let shelf = Arc::new(Shelf { busy: AtomicBool::new(false), blocks: UnsafeCell::new(Vec::new()) });
        // Busy only while a thread begins, ends or memory is given back (or, in a forked child, was then): the blocks of
        // a shelf that is not listed stay until the thread ends.
        if let Some(mut all) = SHELVES.try_lock() {
            all.push(shelf.clone());
        }
        Own(shelf)
    }
}
impl Drop for Own {
    fn drop(&mut self) {
        let mine = match SHELVES.try_lock() {
            Some(mut all) => all.iter().position(|s| Arc::ptr_eq(s, &self.0)).map(|i| all.swap_remove(i)),
            None => None,
        };
        drop(mine);
        drop(self.0.with(std::mem::take));
    }
}
thread_local! {
    static SHELF: Own = Own::new();
}
/// Larger blocks go back to the allocator instead of staying with the thread.
const KEEP_BYTES: usize = 8 << 20;
const KEEP_BLOCKS: usize = 6;

/// Frees the scratch memory of all threads, but for what kernels use now.
pub fn free_all() {
    let Some(all) = SHELVES.try_lock() else { return };
    let blocks: Vec<_> = all.iter().filter_map(|s| s.with(std::mem::take)).collect();
    drop(all);
    drop(blocks);
}

impl Scratch {
    /// At least `n` elements of `T`, uninitialised, 64-byte aligned.
    pub fn new<T>(n: usize) -> Result<Scratch> {
        let nbytes = n * std::mem::size_of::<T>();
        let reused = SHELF.try_with(|s| {
            s.0.with(|f| {
                let best = (0..f.len()).filter(|&i| f[i].0 >= nbytes).min_by_key(|&i| f[i].0)?;
                Some(f.swap_remove(best))
            })
        });
        if let Ok(Some(Some((nbytes, block)))) = reused {
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
            if self.nbytes <= KEEP_BYTES {
                let nbytes = self.nbytes;
                // `try_with`: the thread may be ending; then the block is simply freed.
                let surplus = SHELF.try_with(|s| {
                    s.0.with(|f| {
                        let smallest = (0..f.len()).min_by_key(|&i| f[i].0).filter(|_| f.len() == KEEP_BLOCKS);
                        let surplus = smallest.map(|i| f.swap_remove(i));
                        f.push((nbytes, block));
                        surplus
                    })
                });
                drop(surplus);
            }
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
