//! Which CUDA devices there are.

use super::api::check;
use super::libs::{require, Lib};
use crate::backend::info::DeviceInfo;
use crate::base::error::{Error, ErrorKind, Result};
use cudarc::driver::sys::{self as cu, CUdevice_attribute::*};
use std::ffi::CStr;
use std::sync::OnceLock;

/// The driver, initialised once per process.
///
/// Errors (Runtime) when it is missing or does not work.
pub fn driver() -> Result<i32> {
    static READY: OnceLock<Result<i32>> = OnceLock::new();
    READY
        .get_or_init(|| {
            require(Lib::Driver)?;
            let mut version = 0;
            // SAFETY: an out-pointer to a local.
            unsafe {
                check(cu::cuInit(0), "cuInit").map_err(|mut e| {
                    e.message = format!("CUDA is not available: {}", e.message);
                    e
                })?;
                check(cu::cuDriverGetVersion(&mut version), "cuDriverGetVersion")?;
            }
            Ok(version)
        })
        .clone()
}

fn describe(index: i32) -> Result<DeviceInfo> {
    let version = driver()?;
    let mut name = [0i8; 256];
    let (mut device, mut total) = (0, 0usize);
    // SAFETY: out-pointers to locals with their sizes.
    unsafe {
        check(cu::cuDeviceGet(&mut device, index), "cuDeviceGet")?;
        check(cu::cuDeviceGetName(name.as_mut_ptr().cast(), 255, device), "cuDeviceGetName")?;
        check(cu::cuDeviceTotalMem_v2(&mut total, device), "cuDeviceTotalMem")?;
    }
    let number = |what| -> Result<i32> {
        let mut v = 0;
        // SAFETY: an out-pointer to a local.
        check(unsafe { cu::cuDeviceGetAttribute(&mut v, what, device) }, "cuDeviceGetAttribute")?;
        Ok(v)
    };
    let capability = (
        number(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? as u32,
        number(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)? as u32,
    );
    Ok(DeviceInfo {
        // SAFETY: the last byte is still 0.
        name: unsafe { CStr::from_ptr(name.as_ptr().cast()) }.to_string_lossy().into_owned(),
        vendor: "NVIDIA".into(),
        version: format!("{}.{}", capability.0, capability.1),
        driver: format!("CUDA {}.{}", version / 1000, version % 1000 / 10),
        platform: "CUDA".into(),
        platform_version: format!("{}.{}", version / 1000, version % 1000 / 10),
        kind: "gpu",
        global_memory: total as u64,
        max_allocation: total as u64,
        local_memory: number(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)? as u64,
        compute_units: number(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
        clock_mhz: number(CU_DEVICE_ATTRIBUTE_CLOCK_RATE).unwrap_or(0) as u32 / 1000,
        max_work_group: number(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)? as usize,
        max_parameter_size: 4096,
        capability,
        fp64: true,
        fp16: true,
        exact_divide: true,
        unified_memory: number(CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0,
    })
}

/// The CUDA devices of this machine; `CUDA_VISIBLE_DEVICES` narrows and orders them. Found once per process.
///
/// Errors (Runtime) when the driver or a device is missing; the message says which.
pub fn found() -> Result<&'static [DeviceInfo]> {
    static FOUND: OnceLock<Result<Vec<DeviceInfo>>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        driver()?;
        let mut n = 0;
        // SAFETY: an out-pointer to a local.
        check(unsafe { cu::cuDeviceGetCount(&mut n) }, "cuDeviceGetCount")?;
        if n == 0 {
            return Err(Error::new(ErrorKind::Runtime, "CUDA is not available: the driver found no device"));
        }
        (0..n).map(describe).collect()
    });
    match found {
        Ok(v) => Ok(v),
        Err(e) => Err(e.clone()),
    }
}

/// The same as a list of the caller's.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    Ok(found()?.to_vec())
}
