//! What the kernels' tests share: arrays of any layout, and the plain values in them.

use crate::backend::storage::Storage;
use crate::backend::View;
use crate::base::device::Device;
use crate::base::dtype::{DType, Element};
use crate::base::layout::{Dims, Layout};

/// A small generator for test data (splitmix64).
pub struct Random(pub u64);
impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    /// In [-1, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// How an array of some shape lies in its storage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Contiguous,
    /// With an offset of 3 elements.
    Offset,
    /// Dimensions in reverse order in memory.
    Transposed,
    /// Every second element of each dimension.
    Stepped,
    /// The first dimension repeated (stride 0), or all if there is one only.
    BroadcastRows,
    /// The last dimension repeated.
    BroadcastCols,
}
pub const KINDS: [Kind; 6] =
    [Kind::Contiguous, Kind::Offset, Kind::Transposed, Kind::Stepped, Kind::BroadcastRows, Kind::BroadcastCols];
/// Those that may be written to.
pub const OUT_KINDS: [Kind; 4] = [Kind::Contiguous, Kind::Offset, Kind::Transposed, Kind::Stepped];

pub struct Array {
    pub storage: Storage,
    pub layout: Layout,
    pub dtype: DType,
}

pub fn layout(shape: &[i64], kind: Kind) -> Layout {
    let mut l = Layout::contiguous(shape);
    let n = shape.len();
    match kind {
        Kind::Contiguous => {}
        Kind::Offset => l.offset = 3,
        Kind::Transposed => {
            let rev: Dims = shape.iter().rev().copied().collect();
            l.strides = Layout::contiguous(&rev).strides.into_iter().rev().collect();
        }
        Kind::Stepped => {
            let wide: Dims = shape.iter().map(|s| s * 2).collect();
            l.strides = Layout::contiguous(&wide).strides.iter().map(|s| s * 2).collect();
            l.offset = 1;
        }
        Kind::BroadcastRows | Kind::BroadcastCols if n > 0 => {
            let d = if kind == Kind::BroadcastRows { 0 } else { n - 1 };
            let mut small = Dims::from_slice(shape);
            small[d] = 1;
            l = Layout::contiguous(&small);
            l.strides[d] = 0;
            l.shape[d] = shape[d];
        }
        _ => {}
    }
    l
}

impl Array {
    pub fn new(shape: &[i64], dtype: DType, kind: Kind) -> Array {
        let layout = layout(shape, kind);
        let bytes = layout.required_elements() as usize * dtype.size();
        Array { storage: Storage::alloc(bytes, Device::CPU).unwrap(), layout, dtype }
    }
    /// Filled by `f` of the element's row-major number (the last write stays where elements coincide).
    pub fn of(shape: &[i64], dtype: DType, kind: Kind, mut f: impl FnMut(usize) -> f64) -> Array {
        let a = Array::new(shape, dtype, kind);
        for i in 0..a.layout.numel() {
            a.set(i, f(i));
        }
        a
    }
    pub fn of_slice(shape: &[i64], dtype: DType, v: &[f64]) -> Array {
        Array::of(shape, dtype, Kind::Contiguous, |i| v[i])
    }
    pub fn view(&self) -> View<'_> {
        View { storage: &self.storage, layout: &self.layout, dtype: self.dtype }
    }
    fn at(&self, mut i: usize) -> *mut u8 {
        let mut e = self.layout.offset;
        for d in (0..self.layout.ndim()).rev() {
            let n = self.layout.shape[d] as usize;
            e += (i % n) as i64 * self.layout.strides[d];
            i /= n;
        }
        assert!((e as usize + 1) * self.dtype.size() <= self.storage.nbytes());
        // SAFETY: within the storage, asserted.
        unsafe { self.storage.host_ptr().unwrap().as_ptr().add(e as usize * self.dtype.size()) }
    }
    pub fn set(&self, i: usize, v: f64) {
        let p = self.at(i);
        // SAFETY: an element of the array.
        crate::dispatch!(self.dtype, T, unsafe {
            p.cast::<T>().write(if self.dtype.is_float() { T::from_f64(v) } else { T::from_i64(v as i64) })
        })
    }
    /// As f64 (exact but for large i64).
    pub fn get(&self, i: usize) -> f64 {
        let p = self.at(i);
        // SAFETY: an element of the array.
        crate::dispatch!(self.dtype, T, unsafe { p.cast::<T>().read().to_f64() })
    }
    #[allow(dead_code)]
    pub fn get_i64(&self, i: usize) -> i64 {
        let p = self.at(i);
        // SAFETY: an element of the array.
        crate::dispatch!(self.dtype, T, unsafe { p.cast::<T>().read().to_i64() })
    }
    pub fn numel(&self) -> usize {
        self.layout.numel()
    }
    pub fn to_vec(&self) -> Vec<f64> {
        (0..self.numel()).map(|i| self.get(i)).collect()
    }
}

/// Equal, or both NaN, or as close as rounding to `dtype` a few times allows.
pub fn close(got: f64, want: f64, dtype: DType, ulps: f64) -> bool {
    if got == want || got.is_nan() && want.is_nan() {
        return true;
    }
    let eps = match dtype {
        DType::F64 => f64::EPSILON,
        DType::F32 => f32::EPSILON as f64,
        DType::F16 => 9.8e-4,
        DType::BF16 => 7.9e-3,
        _ => 0.0,
    };
    let tiny = match dtype {
        DType::F16 => 6e-8,
        DType::F64 => 5e-324,
        _ => 1.5e-45,
    };
    (got - want).abs() <= ulps * (eps * want.abs() + tiny)
}
