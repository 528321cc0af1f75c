//! Every kernel against a plain calculation on the host. Without a device the tests say so and pass, unless
//! `TAPER_REQUIRE_OPENCL=1`.

use super::*;
use crate::base::dtype::Element;
use crate::base::layout::Dims;
use half::{bf16, f16};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::cell::RefCell;

pub(crate) mod conv;
pub(crate) mod elementwise;
pub(crate) mod fill;
pub(crate) mod gemm;
pub(crate) mod reduce;
pub(crate) mod rows;
pub(crate) mod small;

/// Tests share the device; those that provoke index faults or count memory hold it alone.
static SHARED: RwLock<()> = RwLock::new(());
thread_local! {
    static HELD: RefCell<Option<RwLockReadGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// The first device, or None (said aloud) where there is none.
fn device() -> Option<&'static Gpu> {
    HELD.with(|h| {
        h.borrow_mut().get_or_insert_with(|| SHARED.read());
    });
    found()
}
/// The same for a test that must be alone.
fn device_alone() -> Option<(&'static Gpu, RwLockWriteGuard<'static, ()>)> {
    HELD.with(|h| h.borrow_mut().take());
    let guard = SHARED.write();
    found().map(|d| (d, guard))
}
fn found() -> Option<&'static Gpu> {
    // Compared with float32 on the host.
    crate::backend::precision::set_conv_tf32(false);
    #[cfg(feature = "cuda")]
    if std::env::var("TAPER_TEST_DEVICE").is_ok_and(|v| v == "cuda") {
        return Some(crate::backend::cuda::open(0).expect("TAPER_TEST_DEVICE=cuda"));
    }
    #[cfg(feature = "opencl")]
    match crate::backend::opencl::open(0) {
        Ok(d) => return Some(d),
        Err(e) if std::env::var("TAPER_REQUIRE_OPENCL").is_ok_and(|v| v == "1") => {
            panic!("TAPER_REQUIRE_OPENCL=1, but there is no OpenCL device: {e}")
        }
        Err(e) => eprintln!("SKIPPED: no OpenCL device: {e}"),
    }
    None
}

/// Whether a kernel of a grid is tried: of every row of it (a dtype, say, number `row`) and every column one of `of`, and
/// `all` of some. Drivers for CPUs compile a kernel some five times as long as everything else here compiles and computes
/// it; the test double of CUDA has the same kernels for all of the grid, and so have these drivers with `TAPER_TEST_LONG=1`.
fn tried(d: &Gpu, all: bool, row: usize, column: usize, of: usize) -> bool {
    all || (row + column).is_multiple_of(of)
        || d.info.kind != "cpu"
        || std::env::var("TAPER_TEST_LONG").is_ok_and(|v| v == "1")
}

/// A tensor on the device, reduced to what kernels see.
struct T {
    storage: Storage,
    layout: Layout,
    dtype: DType,
}

impl T {
    fn view(&self) -> View<'_> {
        View { storage: &self.storage, layout: &self.layout, dtype: self.dtype }
    }
    /// Contiguous data of a shape.
    fn new<E: Element>(d: &Gpu, data: &[E], shape: &[i64]) -> T {
        assert_eq!(data.len() as i64, shape.iter().product::<i64>());
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let storage = Storage::new(d.alloc(bytes.len()).unwrap(), bytes.len(), d.device());
        d.upload(bytes, &storage, 0).unwrap();
        T { storage, layout: Layout::contiguous(shape), dtype: E::DTYPE }
    }
    /// Values converted to a dtype.
    fn of(d: &Gpu, dtype: DType, data: &[f64], shape: &[i64]) -> T {
        crate::dispatch!(dtype, E, {
            let v: Vec<E> = data.iter().map(|x| cast::<E>(*x)).collect();
            T::new(d, &v, shape)
        })
    }
    fn zeros(d: &Gpu, dtype: DType, shape: &[i64]) -> T {
        T::of(d, dtype, &vec![0.0; shape.iter().product::<i64>() as usize], shape)
    }
    /// The same storage seen otherwise.
    fn with_layout(mut self, shape: &[i64], strides: &[i64], offset: i64) -> T {
        self.layout = Layout { shape: Dims::from_slice(shape), strides: Dims::from_slice(strides), offset };
        assert!(self.layout.required_elements() as usize * self.dtype.size() <= self.storage.nbytes());
        self
    }
    fn transposed(mut self, a: usize, b: usize) -> T {
        self.layout.shape.swap(a, b);
        self.layout.strides.swap(a, b);
        self
    }
    /// All elements of the view in row-major order.
    fn read<E: Element>(&self, d: &Gpu) -> Vec<E> {
        assert_eq!(E::DTYPE, self.dtype);
        let mut raw = vec![E::from_f64(0.0); self.storage.nbytes() / std::mem::size_of::<E>()];
        d.download(&self.storage, 0, bytemuck::cast_slice_mut(&mut raw)).unwrap();
        positions(&self.layout).into_iter().map(|p| raw[p]).collect()
    }
    fn values(&self, d: &Gpu) -> Vec<f64> {
        crate::dispatch!(self.dtype, E, self.read::<E>(d).into_iter().map(|v| v.to_f64()).collect())
    }
}

/// An element of a value; integers wrap.
fn cast<E: Element>(x: f64) -> E {
    if E::DTYPE.is_int() {
        E::from_i64(x as i64)
    } else {
        E::from_f64(x)
    }
}

/// A value as a dtype holds it.
fn round_to(dtype: DType, x: f64) -> f64 {
    crate::dispatch!(dtype, E, cast::<E>(x).to_f64())
}

/// Element positions of a layout, row-major.
fn positions(l: &Layout) -> Vec<usize> {
    let mut out = vec![l.offset as usize];
    for (n, s) in l.shape.iter().zip(&l.strides) {
        out = out.iter().flat_map(|p| (0..*n as usize).map(move |i| p + i * *s as usize)).collect();
    }
    out
}

/// Numbers in [-1, 1) that depend on nothing but the seed.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(0x9e3779b97f4a7c15) | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// Relative tolerance of a result of a dtype.
fn tolerance(d: DType) -> f64 {
    match d {
        DType::F64 => 1e-12,
        DType::F32 => 4e-6,
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 0.0,
    }
}

#[track_caller]
fn assert_close(got: &[f64], want: &[f64], tol: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tol * w.abs().max(1.0);
        assert!(same, "{what}: element {i} is {g}, should be {w}");
    }
}

#[cfg_attr(test, test)]
pub(crate) fn transfers_copies_and_memory_statistics() {
    let Some((d, _alone)) = device_alone() else { return };
    let data: Vec<u8> = (0..9 << 20).map(|i| (i * 7 % 251) as u8).collect();
    let before = d.memory_stats();
    let a = T::new(d, &data, &[data.len() as i64]);
    let b = T::zeros(d, DType::U8, &[data.len() as i64]);
    d.copy_bytes(&a.storage, 5, &b.storage, 3, data.len() - 5).unwrap();
    let back: Vec<u8> = b.read(d);
    assert_eq!(back[3..data.len() - 2], data[5..]);
    assert_eq!(&back[..3], &[0, 0, 0]);
    let mut part = vec![0u8; 100];
    d.download(&a.storage, 1000, &mut part).unwrap();
    assert_eq!(part, data[1000..1100]);
    let during = d.memory_stats();
    assert!(during.allocations >= before.allocations + 2);
    assert!(during.reserved >= during.allocated && during.allocated_peak >= during.allocated);
    drop((a, b));
    // Many small uploads in flight keep their own bytes.
    let small: Vec<T> = (0..100i64).map(|i| T::new(d, &[i; 3], &[3])).collect();
    for (i, t) in small.iter().enumerate() {
        assert_eq!(t.read::<i64>(d), vec![i as i64; 3]);
    }
    d.synchronize().unwrap();
    d.empty_cache();
    assert!(d.memory_stats().reserved <= during.reserved_peak);
}

#[cfg_attr(test, test)]
pub(crate) fn too_much_memory_is_an_error() {
    let Some(d) = device() else { return };
    let e = d.alloc(d.info.max_allocation as usize + 1).err().unwrap();
    assert_eq!(e.kind, ErrorKind::OutOfMemory);
    assert!(e.message.contains(&d.device().to_string()) && e.message.contains("bytes"), "{e}");
}

#[cfg_attr(test, test)]
pub(crate) fn another_devices_memory_is_refused() {
    let Some(d) = device() else { return };
    let host = Storage::alloc(16, Device::CPU).unwrap();
    let mine = T::zeros(d, DType::F32, &[4]);
    let e = d.copy_bytes(&host, 0, &mine.storage, 0, 16).unwrap_err();
    assert!(e.message.contains(&d.device().to_string()) && e.message.contains("cpu"), "{e}");
}

#[cfg_attr(test, test)]
pub(crate) fn a_kernel_that_does_not_build_shows_the_compilers_log() {
    let Some(d) = device() else { return };
    let e = d.compile("broken", "KERNEL void broken() { no_such_name(1); }").err().unwrap();
    assert!(e.message.contains("broken") && e.message.contains("no_such_name"), "{e}");
}

#[cfg_attr(test, test)]
pub(crate) fn kernels_are_counted() {
    let Some(d) = device() else { return };
    let before = kernels_launched();
    let (a, b) = (T::of(d, DType::F32, &[1.0, 2.0], &[2]), T::zeros(d, DType::F32, &[2]));
    let p = Program::single(program::Opcode::Neg, DType::F32, &[DType::F32], DType::F32);
    d.run_program(&p, &[a.view()], &[], &[b.view()]).unwrap();
    assert_eq!(b.values(d), [-1.0, -2.0]);
    assert!(kernels_launched() > before);
}
