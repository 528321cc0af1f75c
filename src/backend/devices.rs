//! Which devices this build has: the one place that knows every backend.

use super::contract::Backend;
use super::info::{listing, no_index, DeviceInfo};
use super::memory;
use super::storage::Storage;
use crate::base::device::{Device, DeviceType};
use crate::base::error::{Error, ErrorKind, Result};

/// The backend of a device, or an error that says why there is none.
#[inline]
pub fn get(device: Device) -> Result<&'static dyn Backend> {
    match device.kind {
        DeviceType::Cpu => Ok(super::cpu::backend()),
        DeviceType::Meta => Ok(super::meta::backend()),
        #[cfg(feature = "opencl")]
        DeviceType::OpenCl => super::opencl::backend(device.index),
        #[cfg(feature = "cuda")]
        DeviceType::Cuda => super::cuda::backend(device.index),
        #[allow(unreachable_patterns)]
        _ => Err(Error::new(
            ErrorKind::Runtime,
            format!("device {device} is not available: this build of Taper has no backend for it"),
        )),
    }
}

/// cuDNN's version as a number; None where convolutions do not go to it.
pub fn cudnn_version() -> Option<usize> {
    #[cfg(feature = "cuda")]
    return super::cuda::cudnn_version();
    #[cfg(not(feature = "cuda"))]
    None
}

impl Storage {
    /// Uninitialised memory from the device's allocator.
    pub fn alloc(nbytes: usize, device: Device) -> Result<Storage> {
        memory::check()?;
        let backend = get(device)?;
        let buffer = match backend.alloc(nbytes) {
            Err(e) if e.kind == ErrorKind::OutOfMemory && memory::memory_was_freed(nbytes) => backend.alloc(nbytes)?,
            other => other?,
        };
        Ok(Storage::new(buffer, nbytes, device))
    }
}

/// The devices of a kind in the order of their indices, or an error (Runtime) that says why there is none.
pub fn devices(kind: DeviceType) -> Result<Vec<DeviceInfo>> {
    match kind {
        DeviceType::Cpu => Ok(vec![super::cpu::info::info().clone()]),
        DeviceType::Meta => Ok(vec![super::meta::info()]),
        #[cfg(feature = "opencl")]
        DeviceType::OpenCl => super::opencl::devices(),
        #[cfg(feature = "cuda")]
        DeviceType::Cuda => super::cuda::devices(),
        #[allow(unreachable_patterns)]
        _ => Err(Error::new(
            ErrorKind::Runtime,
            format!("{} is not available: this build of Taper has no backend for it", kind.title()),
        )),
    }
}

/// How many devices of a kind there are; 0 where the driver or this build's backend is missing.
pub fn count(kind: DeviceType) -> usize {
    devices(kind).map_or(0, |d| d.len())
}

/// The properties of a device. Errors (Runtime) when there is no device of this kind, with the reason, or none of this
/// index, with those that there are.
pub fn info(device: Device) -> Result<DeviceInfo> {
    let all = devices(device.kind)?;
    match all.get(device.index as usize) {
        Some(d) => Ok(d.clone()),
        None => Err(no_index(device, &all)),
    }
}

/// The first device whose name, platform, vendor or version contains `name`, in any case; of one kind, or of any: GPUs through
/// CUDA first, then OpenCL's devices, then the CPU.
///
/// Errors (Runtime) list the devices there are, or say why there are none.
pub fn find(kind: Option<DeviceType>, name: &str) -> Result<Device> {
    let kinds = match &kind {
        Some(k) => std::slice::from_ref(k),
        None => &[DeviceType::Cuda, DeviceType::OpenCl, DeviceType::Cpu][..],
    };
    let mut seen = Vec::new();
    for &kind in kinds {
        match devices(kind) {
            Ok(all) => match all.iter().position(|d| d.matches(name)) {
                Some(i) => return Ok(Device { kind, index: i as u16 }),
                None => seen.push(listing(kind, &all)),
            },
            Err(e) if kinds.len() == 1 => return Err(e),
            Err(_) => {}
        }
    }
    let what = kind.map_or(String::new(), |k| k.title().to_string() + " ");
    Err(Error::new(ErrorKind::Runtime, format!("no {what}device is called '{name}'; there are: {}", seen.join(", "))))
}

/// Whether a device can be used: its backend, or the reason why not.
pub fn check(device: Device) -> Result<&'static dyn Backend> {
    info(device)?;
    get(device)
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::base::dtype::DType;

    #[cfg_attr(test, test)]
    pub(crate) fn the_cpu_describes_itself() {
        let d = info(Device::CPU).unwrap();
        assert_eq!(d.kind, "cpu");
        assert!(!d.name.is_empty() && !d.version.is_empty() && d.compute_units >= 1);
        assert!(DType::REAL.iter().all(|t| d.supports(*t)));
        assert_eq!(count(DeviceType::Cpu), 1);
        let (free, total) = get(Device::CPU).unwrap().memory_info().unwrap();
        assert_eq!(total, d.global_memory);
        assert!(free <= total);
        if cfg!(target_os = "linux") {
            assert!(free > 0);
        }
        assert_eq!(find(Some(DeviceType::Cpu), &d.name.to_uppercase()).unwrap(), Device::CPU);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn errors_list_what_there_is() {
        let name = info(Device::CPU).unwrap().name;
        let e = find(Some(DeviceType::Cpu), "no such device").unwrap_err().into_message();
        assert_eq!(e, format!("no CPU device is called 'no such device'; there are: cpu ({name})"));
        let e = find(None, "no such device").unwrap_err().into_message();
        assert!(e.contains(&format!("cpu ({name})")), "{e}");
        let all = [DeviceInfo { name: "A".into(), ..Default::default() }, DeviceInfo::default()];
        let e = no_index(Device { kind: DeviceType::OpenCl, index: 7 }, &all).into_message();
        assert_eq!(e, "device opencl:7 is not available: there are 2 OpenCL devices: opencl:0 (A), opencl:1 ()");
        let [a, b] = all;
        let all = [a, DeviceInfo { platform: "P".into(), ..b }];
        let e = no_index(Device { kind: DeviceType::OpenCl, index: 2 }, &all).into_message();
        assert!(e.ends_with("there are 2 OpenCL devices: opencl:0 (A, ), opencl:1 (, P)"), "{e}");
    }
}
