//! Tensors: dtype, device, layout, storage.
pub mod device;
pub mod dtype;
pub mod layout;
pub mod print;
pub mod storage;

use dtype::DType;
use std::sync::atomic::{AtomicI32, Ordering};

static DEFAULT_DTYPE: AtomicI32 = AtomicI32::new(DType::F32 as i32);

/// The dtype of tensors made from floats when none is named.
pub fn default_dtype() -> DType {
    DType::from_code(DEFAULT_DTYPE.load(Ordering::Relaxed)).unwrap_or(DType::F32)
}
/// Sets the default float dtype; an error for other dtypes.
pub fn set_default_dtype(dtype: DType) -> crate::Result<()> {
    crate::ensure!(dtype.is_float(), Type, "only floating-point types are supported as the default type, got {dtype}");
    DEFAULT_DTYPE.store(dtype as i32, Ordering::Relaxed);
    Ok(())
}
