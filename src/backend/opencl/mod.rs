//! OpenCL: any 1.2 device, found at run time. What a launch looks like is decided in `backend::gpu`.

mod cl;
pub(crate) mod device;
mod driver;

pub use super::gpu::{cache_dir, compile_counts, host_waits, kernels_launched};
pub use device::devices;

use super::gpu::Gpu;
use super::info::no_index;
use crate::backend::contract::Backend;
use crate::base::device::{Device, DeviceType};
use crate::base::error::Result;
use std::sync::OnceLock;

/// The backend of OpenCL device `index`, made on first use.
///
/// Errors (Runtime) when OpenCL, a platform or the device is missing.
pub fn backend(index: u16) -> Result<&'static dyn Backend> {
    Ok(open(index)?)
}

/// The same, as the type that it has.
pub(super) fn open(index: u16) -> Result<&'static Gpu> {
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
        None => Err(no_index(Device { kind: DeviceType::OpenCl, index }, &devices()?)),
    }
}

fn make(index: u16) -> Result<&'static Gpu> {
    let found = &device::found()?[index as usize];
    let driver = driver::OpenCl::new(found)?;
    // Worth it even where the driver has a cache of its own: reading a binary back is many times faster on PoCL.
    let disk_cache = std::env::var("TAPER_OPENCL_CACHE").as_deref() != Ok("0");
    Gpu::new(Device { kind: DeviceType::OpenCl, index }, Box::new(driver), found.info.clone(), disk_cache)
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn devices_are_described_and_found_by_name() {
        let Ok(all) = devices() else {
            eprintln!("SKIPPED: no OpenCL device");
            return;
        };
        assert_eq!(all.len(), crate::backend::devices::count(DeviceType::OpenCl));
        let first = &all[0];
        assert!(!first.name.is_empty() && first.version.starts_with("OpenCL "));
        assert!(first.global_memory > 0 && first.max_allocation > 0 && first.local_memory >= 16 << 10);
        assert_eq!(
            crate::backend::devices::find(Some(DeviceType::OpenCl), &first.name.to_uppercase()).unwrap().index,
            0
        );
        let e = crate::backend::devices::find(Some(DeviceType::OpenCl), "no such device").unwrap_err();
        assert!(e.message.contains(&first.name), "{e}");
        assert_eq!(open(0).unwrap().device().to_string(), "opencl:0");
        let e = backend(999).err().unwrap();
        assert!(e.message.contains("opencl:999") && e.message.contains(&format!("opencl:0 ({}", first.name)), "{e}");
    }
}
