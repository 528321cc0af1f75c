//! Which OpenCL devices there are and what they can do.

use super::cl::{self, DeviceId};
use crate::backend::info::DeviceInfo;
use crate::base::error::{Error, ErrorKind, Result};
use crate::log;
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
/// A feature that does not exist is a mistake of whoever set the variable.
fn check_features(without: &str) -> Result<()> {
    match without.split(',').map(str::trim).find(|f| !matches!(*f, "fp64" | "fp16" | "")) {
        Some(f) => Err(Error::new(
            ErrorKind::Runtime,
            format!("TAPER_OPENCL_WITHOUT: '{f}' is no feature that can be left out; valid are fp64 and fp16"),
        )),
        None => Ok(()),
    }
}

/// Why the loader found nothing; `folder` is where it was told to look.
fn no_platform(folder: Option<&str>) -> String {
    let entry = match folder {
        Some(f) if !f.is_empty() => format!("OCL_ICD_VENDORS, which is '{f}'"),
        _ => "/etc/OpenCL/vendors".to_string(),
    };
    format!(
        "OpenCL is not available: the loader found no platform (no driver is installed, or its entry under {entry} names a \
         library that does not load)"
    )
}

fn discover() -> Result<Vec<Found>> {
    check_features(&std::env::var("TAPER_OPENCL_WITHOUT").unwrap_or_default())?;
    let none = |why: String| Error::new(ErrorKind::Runtime, why);
    if let Some(why) = cl::load_error() {
        return Err(none(format!(
            "OpenCL is not available: libOpenCL could not be loaded ({why}); install an OpenCL loader and a driver, \
             or name the library in TAPER_OPENCL_LIBRARY"
        )));
    }
    let platforms = match cl::platforms() {
        Ok(p) if !p.is_empty() => p,
        Ok(_) | Err(-1001) => return Err(none(no_platform(std::env::var("OCL_ICD_VENDORS").ok().as_deref()))),
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
        Ok(choice) if !choice.trim().is_empty() => choose(found, &choice).map_err(|mut e| {
            // What was asked for may be a device of a platform that failed.
            e.message = [&[std::mem::take(&mut e.message)][..], &failures].concat().join("; ");
            e
        }),
        _ => Ok(found),
    }
}

/// Applies `TAPER_OPENCL_DEVICE`: a comma-separated list of numbers or parts of names; only these devices are seen,
/// in this order.
fn choose(found: Vec<Found>, choice: &str) -> Result<Vec<Found>> {
    let infos: Vec<DeviceInfo> = found.iter().map(|f| f.info.clone()).collect();
    let chosen = chosen(&infos, choice)?;
    let mut found: Vec<Option<Found>> = found.into_iter().map(Some).collect();
    Ok(chosen.into_iter().map(|i| found[i].take().expect("no index comes twice")).collect())
}

/// The indices that a choice means. A name means the first device with it that is not chosen yet.
fn chosen(all: &[DeviceInfo], choice: &str) -> Result<Vec<usize>> {
    let refuse = |why: String| {
        let names: Vec<String> = all.iter().enumerate().map(|(i, d)| format!("{i} ({})", d.label(all))).collect();
        Err(Error::new(ErrorKind::Runtime, format!("TAPER_OPENCL_DEVICE: {why}; there are: {}", names.join(", "))))
    };
    let mut chosen: Vec<usize> = Vec::new();
    for part in choice.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let mut matching = match part.parse::<usize>() {
            Ok(i) => (i..all.len().min(i.saturating_add(1))).collect::<Vec<_>>(),
            Err(_) => (0..all.len()).filter(|i| all[*i].matches(part)).collect(),
        };
        if matching.is_empty() {
            return refuse(format!("no OpenCL device matches '{part}'"));
        }
        matching.retain(|i| !chosen.contains(i));
        match matching.first() {
            Some(i) => chosen.push(*i),
            None => return refuse(format!("'{part}' matches only devices that '{choice}' names before")),
        }
    }
    if chosen.is_empty() {
        return refuse(format!("'{choice}' names no device"));
    }
    Ok(chosen)
}

pub(super) fn found() -> Result<&'static [Found]> {
    static FOUND: OnceLock<Result<Vec<Found>>> = OnceLock::new();
    let all = FOUND.get_or_init(|| {
        let all = discover();
        match &all {
            Ok(all) => all.iter().for_each(|f| log!(Info, "OpenCL: found {} ({})", f.info.name, f.info.platform)),
            Err(e) => log!(Info, "{}", e.message),
        }
        all
    });
    match all {
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

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn variables_that_make_no_sense_are_named() {
        check_features("fp64, fp16,").unwrap();
        let e = check_features("fp64,double").unwrap_err();
        assert!(e.message.contains("'double' is no feature") && e.message.contains("fp64 and fp16"), "{e}");
        assert!(no_platform(Some("/some/folder")).contains("under OCL_ICD_VENDORS, which is '/some/folder'"));
        assert!(
            no_platform(Some("")).contains("under /etc/OpenCL/vendors") && no_platform(None).contains("/etc/OpenCL")
        );
    }

    #[cfg_attr(test, test)]
    pub(crate) fn a_choice_narrows_and_orders() {
        let device = |name: &str, platform: &str| DeviceInfo {
            name: name.into(),
            platform: platform.into(),
            ..Default::default()
        };
        let all = [device("cpu", "PoCL"), device("fast", "Intel"), device("slow", "Intel")];
        assert_eq!(chosen(&all, "2, 0").unwrap(), [2, 0]);
        assert_eq!(chosen(&all, "intel,pocl,INTEL,").unwrap(), [1, 0, 2]);
        assert_eq!(chosen(&all, "slow,intel").unwrap(), [2, 1]);
        let list = "there are: 0 (cpu, PoCL), 1 (fast, Intel), 2 (slow, Intel)";
        for (choice, why) in [
            ("3", "no OpenCL device matches '3'"),
            ("18446744073709551615", "no OpenCL device matches '18446744073709551615'"),
            ("0,nvidia", "no OpenCL device matches 'nvidia'"),
            ("1,1", "'1' matches only devices that '1,1' names before"),
            ("0,pocl", "'pocl' matches only devices that '0,pocl' names before"),
            (" , ", "' , ' names no device"),
        ] {
            let e = chosen(&all, choice).unwrap_err();
            assert_eq!(e.message, format!("TAPER_OPENCL_DEVICE: {why}; {list}"));
        }
        // One platform alone need not be named.
        let e = chosen(&all[1..], "x").unwrap_err();
        assert!(e.message.ends_with("there are: 0 (fast), 1 (slow)"), "{e}");
    }
}
