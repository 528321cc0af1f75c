//! Which OpenCL devices there are and what they can do.

use super::cl::{self, DeviceId};
use crate::backend::info::DeviceInfo;
use crate::error::{Error, ErrorKind, Result};
use ocl::ffi::*;
use std::sync::OnceLock;

/// A device with the handle that the backend needs.
pub(super) struct Found {
    pub id: DeviceId,
    pub info: DeviceInfo,
}

fn describe(platform: cl::PlatformId, id: DeviceId) -> DeviceInfo {
    let extensions = id.text(CL_DEVICE_EXTENSIONS);
    let has = |name: &str| extensions.split_whitespace().any(|e| e == name);
    let kind = match id.number(CL_DEVICE_TYPE) {
        t if t & CL_DEVICE_TYPE_CPU != 0 => "cpu",
        t if t & CL_DEVICE_TYPE_GPU != 0 => "gpu",
        t if t & CL_DEVICE_TYPE_ACCELERATOR != 0 => "accelerator",
        _ => "other",
    };
    DeviceInfo {
        name: id.text(CL_DEVICE_NAME),
        vendor: id.text(CL_DEVICE_VENDOR),
        version: id.text(CL_DEVICE_VERSION),
        driver: id.text(CL_DRIVER_VERSION),
        platform: platform.text(CL_PLATFORM_NAME),
        platform_version: platform.text(CL_PLATFORM_VERSION),
        kind,
        global_memory: id.number(CL_DEVICE_GLOBAL_MEM_SIZE),
        max_allocation: id.number(CL_DEVICE_MAX_MEM_ALLOC_SIZE),
        local_memory: id.number(CL_DEVICE_LOCAL_MEM_SIZE),
        compute_units: id.number(CL_DEVICE_MAX_COMPUTE_UNITS) as u32,
        clock_mhz: id.number(CL_DEVICE_MAX_CLOCK_FREQUENCY) as u32,
        max_work_group: id.number(CL_DEVICE_MAX_WORK_GROUP_SIZE) as usize,
        max_parameter_size: id.number(CL_DEVICE_MAX_PARAMETER_SIZE) as usize,
        capability: (0, 0),
        fp64: allowed("fp64") && (has("cl_khr_fp64") || id.number(CL_DEVICE_DOUBLE_FP_CONFIG) != 0),
        fp16: allowed("fp16") && has("cl_khr_fp16"),
        exact_divide: id.number(CL_DEVICE_SINGLE_FP_CONFIG) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT != 0,
        unified_memory: id.number(CL_DEVICE_HOST_UNIFIED_MEMORY) != 0,
    }
}

/// Whether a feature may be used: `TAPER_OPENCL_WITHOUT=fp64,fp16` hides what the device has, so that one can see how a
/// program fares on a device that lacks it.
fn allowed(feature: &str) -> bool {
    std::env::var("TAPER_OPENCL_WITHOUT").map_or(true, |v| !v.split(',').any(|f| f.trim() == feature))
}

fn discover() -> Result<Vec<Found>> {
    let none = |why: String| Error::new(ErrorKind::Runtime, why);
    if let Some(why) = cl::load_error() {
        return Err(none(format!(
            "OpenCL is not available: libOpenCL could not be loaded ({why}); install an OpenCL loader and a driver, \
             or name the library in TAPER_OPENCL_LIBRARY"
        )));
    }
    let platforms =
        match cl::platforms() {
            Ok(p) if !p.is_empty() => p,
            Ok(_) | Err(-1001) => return Err(none(
                "OpenCL is not available: the loader found no platform (no driver is installed, or its entry under \
                 /etc/OpenCL/vendors names a library that does not load)"
                    .to_string(),
            )),
            Err(code) => {
                return Err(none(format!(
                    "OpenCL is not available: clGetPlatformIDs failed with {} ({code})",
                    cl::error_name(code)
                )))
            }
        };
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for platform in platforms {
        match platform.devices() {
            Ok(ids) => found.extend(ids.into_iter().map(|id| Found { id, info: describe(platform, id) })),
            Err(code) => failures.push(format!(
                "platform '{}' failed with {} ({code})",
                platform.text(CL_PLATFORM_NAME),
                cl::error_name(code)
            )),
        }
    }
    if found.is_empty() {
        failures.insert(0, "OpenCL is not available: no platform has a device".to_string());
        return Err(none(failures.join("; ")));
    }
    match std::env::var("TAPER_OPENCL_DEVICE") {
        Ok(choice) if !choice.trim().is_empty() => choose(found, &choice),
        _ => Ok(found),
    }
}

/// Applies `TAPER_OPENCL_DEVICE`: a comma-separated list of numbers or parts of names; only these devices are seen,
/// in this order.
fn choose(found: Vec<Found>, choice: &str) -> Result<Vec<Found>> {
    let mut found: Vec<Option<Found>> = found.into_iter().map(Some).collect();
    let mut chosen = Vec::new();
    for part in choice.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let infos: Vec<Option<DeviceInfo>> = found.iter().map(|f| f.as_ref().map(|f| f.info.clone())).collect();
        let index = match part.parse::<usize>() {
            Ok(i) => Some(i).filter(|i| *i < infos.len() && infos[*i].is_some()),
            Err(_) => infos.iter().position(|i| i.as_ref().is_some_and(|i| i.matches(part))),
        };
        match index.and_then(|i| found[i].take()) {
            Some(f) => chosen.push(f),
            None => {
                let names: Vec<String> = infos
                    .iter()
                    .enumerate()
                    .filter_map(|(i, d)| d.as_ref().map(|d| format!("{i} ({})", d.name)))
                    .collect();
                return Err(Error::new(
                    ErrorKind::Runtime,
                    format!("TAPER_OPENCL_DEVICE: no OpenCL device matches '{part}'; there are {}", names.join(", ")),
                ));
            }
        }
    }
    Ok(chosen)
}

pub(super) fn found() -> Result<&'static [Found]> {
    static FOUND: OnceLock<Result<Vec<Found>>> = OnceLock::new();
    match FOUND.get_or_init(discover) {
        Ok(v) => Ok(v),
        Err(e) => Err(e.clone()),
    }
}

/// The OpenCL devices of this machine, in the order of their indices; `TAPER_OPENCL_DEVICE` narrows and orders them.
///
/// Errors (Runtime) when libOpenCL, a platform or a device is missing; the message says which. The answer is found
/// once per process.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    Ok(found()?.iter().map(|f| f.info.clone()).collect())
}
