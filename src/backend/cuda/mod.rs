//! CUDA: NVIDIA's GPUs, through the driver, NVRTC, cuBLAS, cuBLASLt and cuDNN, all found at run time. What a launch looks
//! like is decided in `backend::gpu`.

mod api;
mod blas;
mod device;
mod dnn;
mod driver;
mod handles;
pub(crate) mod libs;
mod nvrtc;
mod stream;

pub use super::gpu::{cache_dir, compile_counts, kernels_launched};
pub use device::devices;
pub use dnn::version as cudnn_version;

use super::gpu::Gpu;
use super::info::no_index;
use crate::backend::contract::Backend;
use crate::base::device::{Device, DeviceType};
use crate::base::error::Result;
use std::sync::OnceLock;

/// Which of the libraries that may be missing are in use: cuBLAS (else the shared kernels multiply) and cuDNN (else they
/// convolve).
pub fn libraries() -> (bool, bool) {
    (blas::available(), dnn::available())
}

/// The backend of CUDA device `index`, made on first use.
///
/// Errors (Runtime) when the driver, NVRTC or the device is missing.
pub fn backend(index: u16) -> Result<&'static dyn Backend> {
    Ok(open(index)?)
}

/// The same, as the type that it has.
pub fn open(index: u16) -> Result<&'static Gpu> {
    static OPEN: OnceLock<Vec<OnceLock<Result<&'static Gpu>>>> = OnceLock::new();
    let slots = match OPEN.get() {
        Some(s) => s,
        None => {
            let n = device::found()?.len();
            OPEN.get_or_init(|| (0..n).map(|_| OnceLock::new()).collect())
        }
    };
    match slots.get(index as usize) {
        Some(slot) => slot.get_or_init(|| make(index)).clone(),
        None => Err(no_index(Device { kind: DeviceType::Cuda, index }, device::found()?)),
    }
}

fn make(index: u16) -> Result<&'static Gpu> {
    let info = &device::found()?[index as usize];
    let driver = driver::Cuda::new(index, info.clone())?;
    let disk_cache = std::env::var("TAPER_CUDA_CACHE").as_deref() != Ok("0");
    Gpu::new(Device { kind: DeviceType::Cuda, index }, Box::new(driver), info.clone(), disk_cache)
}
