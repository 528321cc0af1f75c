//! What devices there are and what they can do: one description for every kind of device.

use super::{Backend, MemoryStats};
use crate::base::device::{Device, DeviceType};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};

/// Properties of one device. Where a driver does not tell a number it is 0, a text empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    pub name: String,
    pub vendor: String,
    /// OpenCL: the version line of the device (`OpenCL 3.0 ...`). CUDA: the compute capability (`9.0`). CPU: the
    /// instruction set that kernels use (`AVX-512`).
    pub version: String,
    pub driver: String,
    /// OpenCL: the platform's name. CUDA: `CUDA` and its version. CPU: architecture and system.
    pub platform: String,
    pub platform_version: String,
    /// `cpu`, `gpu`, `accelerator` or `other`.
    pub kind: &'static str,
    /// Bytes.
    pub global_memory: u64,
    /// Largest single buffer, in bytes.
    pub max_allocation: u64,
    /// Memory that the work-items of one group share, in bytes.
    pub local_memory: u64,
    /// Multiprocessors of a GPU, threads that a CPU can run.
    pub compute_units: u32,
    pub clock_mhz: u32,
    pub max_work_group: usize,
    /// Bytes that the arguments of one kernel may take.
    pub max_parameter_size: usize,
    /// CUDA's compute capability, major and minor.
    pub capability: (u32, u32),
    /// Whether float64 works.
    pub fp64: bool,
    /// Whether the device calculates in float16 itself; float16 tensors work without it.
    pub fp16: bool,
    /// Whether division and square root of float32 can be correctly rounded.
    pub exact_divide: bool,
    /// Whether host and device share memory.
    pub unified_memory: bool,
}

impl DeviceInfo {
    /// Whether tensors of a dtype can live and be computed with on the device.
    pub fn supports(&self, dtype: DType) -> bool {
        dtype != DType::F64 || self.fp64
    }
    /// Whether name, platform, vendor or version contains `text`, in any case.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        [&self.name, &self.platform, &self.vendor, &self.version].iter().any(|s| s.to_lowercase().contains(&text))
    }
    /// The name for a list; with the platform's where the list has several platforms.
    pub fn label(&self, all: &[DeviceInfo]) -> String {
        if all.iter().any(|d| d.platform != self.platform) {
            return format!("{}, {}", self.name, self.platform);
        }
        self.name.clone()
    }
}

/// The devices of a kind in the order of their indices, or an error (Runtime) that says why there is none.
pub fn devices(kind: DeviceType) -> Result<Vec<DeviceInfo>> {
    match kind {
        DeviceType::Cpu => Ok(vec![super::cpu::info::info().clone()]),
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

/// The error for a device whose index is too large.
pub fn no_index(device: Device, all: &[DeviceInfo]) -> Error {
    let (are, s) = if all.len() == 1 { ("is", "") } else { ("are", "s") };
    Error::new(
        ErrorKind::Runtime,
        format!(
            "device {device} is not available: there {are} {} {} device{s}: {}",
            all.len(),
            device.kind.title(),
            listing(device.kind, all)
        ),
    )
}

/// `opencl:0 (NAME), opencl:1 (NAME)`, or `(NAME, PLATFORM)` where there are several platforms.
fn listing(kind: DeviceType, all: &[DeviceInfo]) -> String {
    let one = |(i, d): (usize, &DeviceInfo)| format!("{} ({})", Device { kind, index: i as u16 }, d.label(all));
    all.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
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

/// Free and total memory of a device in bytes, where the driver tells only the total: what this process holds is taken
/// off.
pub(super) fn memory_left(device: Device, stats: MemoryStats) -> Result<(u64, u64)> {
    let total = info(device)?.global_memory;
    Ok((total.saturating_sub(stats.reserved), total))
}

/// Whether a device can be used: its backend, or the reason why not.
pub fn check(device: Device) -> Result<&'static dyn Backend> {
    info(device)?;
    super::get(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_describes_itself() {
        let d = info(Device::CPU).unwrap();
        assert_eq!(d.kind, "cpu");
        assert!(!d.name.is_empty() && !d.version.is_empty() && d.compute_units >= 1);
        assert!(DType::ALL.iter().all(|t| d.supports(*t)));
        assert_eq!(count(DeviceType::Cpu), 1);
        let (free, total) = super::super::get(Device::CPU).unwrap().memory_info().unwrap();
        assert_eq!(total, d.global_memory);
        assert!(free <= total);
        if cfg!(target_os = "linux") {
            assert!(free > 0);
        }
        assert_eq!(find(Some(DeviceType::Cpu), &d.name.to_uppercase()).unwrap(), Device::CPU);
    }

    #[test]
    fn errors_list_what_there_is() {
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

    #[test]
    fn names_match_in_any_case() {
        let d =
            DeviceInfo { name: "Tesla".into(), vendor: "NVIDIA".into(), platform: "CUDA".into(), ..Default::default() };
        assert!(d.matches("tesla") && d.matches("nvid") && d.matches("cuda") && !d.matches("amd"));
        assert!(!d.supports(DType::F64) && d.supports(DType::F16));
    }
}
