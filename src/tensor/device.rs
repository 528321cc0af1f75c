//! Devices: a type (numbered as in DLPack) and an index.

use crate::bail;
use crate::error::Result;
use std::fmt;

/// Kind of device; values are DLPack's and frozen ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum DeviceType {
    Cpu = 1,
    Cuda = 2,
    OpenCl = 4,
}

/// A device: `cpu`, `cuda:0`, `opencl:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    pub kind: DeviceType,
    pub index: u16,
}
impl Device {
    pub const CPU: Device = Device { kind: DeviceType::Cpu, index: 0 };

    #[inline]
    pub fn is_cpu(self) -> bool {
        self.kind == DeviceType::Cpu
    }
    /// From the ABI's two numbers; an error that lists the valid kinds.
    pub fn from_code(kind: i32, index: i32) -> Result<Device> {
        let kind = match kind {
            1 => DeviceType::Cpu,
            2 => DeviceType::Cuda,
            4 => DeviceType::OpenCl,
            _ => bail!(Runtime, "invalid device type {kind}; valid are 1 (cpu), 2 (cuda) and 4 (opencl)"),
        };
        if !(0..=u16::MAX as i32).contains(&index) || (kind == DeviceType::Cpu && index != 0) {
            bail!(Runtime, "invalid device index {index} for {kind:?}");
        }
        Ok(Device { kind, index: index as u16 })
    }
    /// Parses `cpu`, `cuda`, `cuda:1`, `opencl:0`.
    pub fn parse(text: &str) -> Result<Device> {
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        let kind = match name {
            "cpu" => 1,
            "cuda" => 2,
            "opencl" => 4,
            _ => bail!(Runtime, "Expected one of cpu, cuda, opencl device type at start of device string: {text}"),
        };
        match index.parse() {
            Ok(i) => Device::from_code(kind, i),
            Err(_) => bail!(Runtime, "Invalid device string: '{text}'"),
        }
    }
}
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DeviceType::Cpu => f.write_str("cpu"),
            DeviceType::Cuda => write!(f, "cuda:{}", self.index),
            DeviceType::OpenCl => write!(f, "opencl:{}", self.index),
        }
    }
}
