//! Devices: a type (numbered as in DLPack) and an index.

pub use super::types_gen::DeviceType;
use crate::bail;
use crate::base::error::Result;
use std::fmt;

impl DeviceType {
    /// The name in device strings: `cpu`, `cuda`, `opencl`, `meta`.
    pub fn name(self) -> &'static str {
        match self {
            DeviceType::Cpu => "cpu",
            DeviceType::Cuda => "cuda",
            DeviceType::OpenCl => "opencl",
            DeviceType::Meta => "meta",
        }
    }
    /// The name in sentences: `CPU`, `CUDA`, `OpenCL`.
    pub fn title(self) -> &'static str {
        match self {
            DeviceType::Cpu => "CPU",
            DeviceType::Cuda => "CUDA",
            DeviceType::OpenCl => "OpenCL",
            DeviceType::Meta => "meta",
        }
    }
}

/// A device: `cpu`, `cuda:0`, `opencl:1`, `meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    pub kind: DeviceType,
    pub index: u16,
}
impl Device {
    pub const CPU: Device = Device { kind: DeviceType::Cpu, index: 0 };

    pub const META: Device = Device { kind: DeviceType::Meta, index: 0 };

    #[inline]
    pub fn is_cpu(self) -> bool {
        self.kind == DeviceType::Cpu
    }
    /// Whether its tensors have no elements to read.
    #[inline]
    pub fn is_meta(self) -> bool {
        self.kind == DeviceType::Meta
    }
    /// From the ABI's two numbers; an error that lists the valid kinds.
    pub fn from_code(kind: i32, index: i32) -> Result<Device> {
        let Some(kind) = DeviceType::of(kind) else {
            bail!(Runtime, "invalid device type {kind}; valid are 1 (cpu), 2 (cuda), 4 (opencl) and 100 (meta)")
        };
        let last = if matches!(kind, DeviceType::Cpu | DeviceType::Meta) { 0 } else { u16::MAX };
        if !(0..=last as i32).contains(&index) {
            let valid = match kind {
                DeviceType::Cpu => "the CPU is one device, 0".to_string(),
                DeviceType::Meta => "meta is one device, 0".to_string(),
                _ => format!("0 to {last} are valid"),
            };
            bail!(Runtime, "invalid device index {index} for {}: {valid}", kind.name());
        }
        Ok(Device { kind, index: index as u16 })
    }
    /// Parses `cpu`, `cuda`, `cuda:1`, `opencl:0`, `meta`; an error (Runtime) says what is valid.
    pub fn parse(text: &str) -> Result<Device> {
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        let Some(kind) = DeviceType::ALL.into_iter().find(|k| k.name() == name) else {
            bail!(
                Runtime,
                "Expected one of cpu, cuda, opencl, meta device type at start of device string: {text}; valid are cpu, \
                 cuda, cuda:N, opencl, opencl:N and meta"
            )
        };
        // As in PyTorch: digits alone, without leading zeros.
        let digits =
            !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()) && (index == "0" || !index.starts_with('0'));
        match index.parse() {
            Ok(i) if digits => Device::from_code(kind as i32, i),
            _ => bail!(
                Runtime,
                "Invalid device string: '{text}'; valid are cpu, cuda, cuda:N, opencl, opencl:N and meta"
            ),
        }
    }
}
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            kind @ (DeviceType::Cpu | DeviceType::Meta) => f.write_str(kind.name()),
            kind => write!(f, "{}:{}", kind.name(), self.index),
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn device_strings() {
        for (text, kind, index) in [
            ("cpu", 1, 0),
            ("cpu:0", 1, 0),
            ("cuda", 2, 0),
            ("cuda:3", 2, 3),
            ("opencl", 4, 0),
            ("opencl:12", 4, 12),
            ("meta", 100, 0),
            ("meta:0", 100, 0),
        ] {
            assert_eq!(Device::parse(text).unwrap(), Device::from_code(kind, index).unwrap(), "{text}");
        }
        for text in [
            "",
            "gpu",
            "CPU",
            "cpu:1",
            "cuda:",
            "cuda:-1",
            "cuda:+1",
            "cuda:01",
            "cuda:1:2",
            "opencl:x",
            "opencl:99999",
            "meta:1",
        ] {
            let e = Device::parse(text).unwrap_err().into_message();
            assert!(e.contains("device"), "{text}: {e}");
        }
        assert_eq!(Device::parse("opencl:2").unwrap().to_string(), "opencl:2");
        assert_eq!(Device::CPU.to_string(), "cpu");
        assert_eq!(Device::META.to_string(), "meta");
    }
}
