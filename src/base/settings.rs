//! What a program may set once for all that follows: the dtype and device of new tensors.

use super::device::Device;
use super::dtype::DType;
use super::error::Result;
use crate::ensure;
use std::sync::atomic::{AtomicI32, Ordering};

static DEFAULT_DTYPE: AtomicI32 = AtomicI32::new(DType::F32 as i32);

/// The dtype of tensors made from floats when none is named.
#[inline]
pub fn default_dtype() -> DType {
    match DEFAULT_DTYPE.load(Ordering::Relaxed) {
        6 => DType::F32,
        code => DType::from_code(code).unwrap_or(DType::F32),
    }
}
/// Sets the default float dtype; an error for other dtypes.
pub fn set_default_dtype(dtype: DType) -> Result<()> {
    ensure!(dtype.is_float(), Type, "only floating-point types are supported as the default type, got {dtype}");
    DEFAULT_DTYPE.store(dtype as i32, Ordering::Relaxed);
    Ok(())
}

static DEFAULT_DEVICE: AtomicI32 = AtomicI32::new(1 << 16);

/// The device of tensors made without naming one.
#[inline]
pub fn default_device() -> Device {
    let v = DEFAULT_DEVICE.load(Ordering::Relaxed);
    Device::from_code(v >> 16, v & 0xffff).unwrap_or(Device::CPU)
}
/// Sets the device of tensors made without naming one.
pub fn set_default_device(device: Device) {
    DEFAULT_DEVICE.store((device.kind as i32) << 16 | device.index as i32, Ordering::Relaxed);
}
