//! Small host tensors for the kernels' unit tests.

pub mod arrays;

use crate::backend::storage::Storage;
use crate::backend::View;
use crate::base::device::Device;
use crate::base::dtype::{DType, Element};
use crate::base::layout::{contiguous_strides, Dims, Layout};
use crate::dispatch;

pub struct Host {
    pub storage: Storage,
    pub layout: Layout,
    pub dtype: DType,
}

/// A reproducible sequence of numbers.
pub struct Lcg(pub u64);
impl Lcg {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }
    /// A multiple of 1/8 in [-2, 2]: exact in every float type.
    pub fn eighth(&mut self) -> f64 {
        (self.next() % 33) as f64 / 8.0 - 2.0
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

impl Host {
    /// Elements with the given strides (0 broadcasts); gaps and surroundings hold a canary.
    pub fn strided(dtype: DType, shape: &[i64], strides: &[i64], offset: i64, mut f: impl FnMut() -> f64) -> Host {
        let layout = Layout { shape: Dims::from_slice(shape), strides: Dims::from_slice(strides), offset };
        let n = layout.required_elements().max(offset) as usize + 8;
        let storage = Storage::alloc(n * dtype.size(), Device::CPU).unwrap();
        let h = Host { storage, layout, dtype };
        for i in 0..n {
            h.put(i as i64, 77.0);
        }
        for i in h.positions() {
            h.put(i, f());
        }
        h
    }
    pub fn new(dtype: DType, shape: &[i64], f: impl FnMut() -> f64) -> Host {
        Host::strided(dtype, shape, &contiguous_strides(shape), 0, f)
    }
    pub fn from_vec(dtype: DType, shape: &[i64], v: &[f64]) -> Host {
        assert_eq!(shape.iter().product::<i64>() as usize, v.len());
        let mut it = v.iter();
        Host::new(dtype, shape, || *it.next().unwrap())
    }
    pub fn zeros(dtype: DType, shape: &[i64]) -> Host {
        Host::new(dtype, shape, || 0.0)
    }
    /// The dimensions stored in the order `perm` (outermost first), with `gap` elements after each innermost run.
    pub fn permuted(dtype: DType, shape: &[i64], perm: &[usize], gap: i64, f: impl FnMut() -> f64) -> Host {
        let mut strides = vec![0; shape.len()];
        let mut acc = 1;
        for (i, &d) in perm.iter().rev().enumerate() {
            strides[d] = acc;
            acc *= shape[d].max(1);
            if i == 0 {
                acc += gap;
            }
        }
        Host::strided(dtype, shape, &strides, 3, f)
    }
    pub fn view(&self) -> View<'_> {
        View { storage: &self.storage, layout: &self.layout, dtype: self.dtype }
    }
    /// Storage positions of all elements, row-major.
    pub fn positions(&self) -> Vec<i64> {
        let n = self.layout.ndim();
        let mut out = Vec::with_capacity(self.layout.numel());
        let mut at = vec![0i64; n];
        for _ in 0..self.layout.numel() {
            out.push(self.layout.offset + (0..n).map(|d| at[d] * self.layout.strides[d]).sum::<i64>());
            for d in (0..n).rev() {
                at[d] += 1;
                if at[d] < self.layout.shape[d] {
                    break;
                }
                at[d] = 0;
            }
        }
        out
    }
    fn put(&self, i: i64, v: f64) {
        let p = self.storage.host_ptr().unwrap().as_ptr();
        // SAFETY: inside the storage, which nobody else uses.
        dispatch!(self.dtype, T, unsafe { *(p as *mut T).offset(i as isize) = <T as Element>::from_f64(v) })
    }
    pub fn at(&self, i: i64) -> f64 {
        let p = self.storage.host_ptr().unwrap().as_ptr();
        // SAFETY: inside the storage.
        dispatch!(self.dtype, T, unsafe { Element::to_f64(*(p as *mut T).offset(i as isize)) })
    }
    /// All elements, row-major.
    pub fn to_vec(&self) -> Vec<f64> {
        self.positions().into_iter().map(|i| self.at(i)).collect()
    }
    /// Checks that nothing outside the elements was written.
    pub fn check_canaries(&self) {
        let inside: std::collections::HashSet<i64> = self.positions().into_iter().collect();
        for i in 0..(self.storage.nbytes() / self.dtype.size()) as i64 {
            let expect = if self.dtype == DType::Bool { 1.0 } else { 77.0 };
            assert!(inside.contains(&i) || self.at(i) == expect, "element {i} outside the view was written");
        }
    }
}

/// |a - b| <= tol * (1 + |b|) everywhere; NaN equals NaN.
#[track_caller]
pub fn assert_close(got: &[f64], want: &[f64], tol: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tol * (1.0 + w.abs());
        assert!(same, "{what}: element {i} is {g}, expected {w}");
    }
}
