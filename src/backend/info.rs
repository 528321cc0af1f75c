//! What devices there are and what they can do: one description for every kind of device.

use crate::base::device::{Device, DeviceType};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind};

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
pub(super) fn listing(kind: DeviceType, all: &[DeviceInfo]) -> String {
    let one = |(i, d): (usize, &DeviceInfo)| format!("{} ({})", Device { kind, index: i as u16 }, d.label(all));
    all.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn names_match_in_any_case() {
        let d =
            DeviceInfo { name: "Tesla".into(), vendor: "NVIDIA".into(), platform: "CUDA".into(), ..Default::default() };
        assert!(d.matches("tesla") && d.matches("nvid") && d.matches("cuda") && !d.matches("amd"));
        assert!(!d.supports(DType::F64) && d.supports(DType::F16));
    }
}
