//! How exactly float32 is multiplied where a device has faster, shorter formats. Names and defaults are PyTorch's.

use crate::bail;
use crate::error::Result;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

static MATMUL: AtomicU8 = AtomicU8::new(0);
static CONV_TF32: AtomicBool = AtomicBool::new(true);
const NAMES: [&str; 3] = ["highest", "high", "medium"];

/// `highest` (float32 throughout, the default), `high` or `medium` (TF32 where the device has it); a Value error
/// otherwise.
pub fn set_float32_matmul_precision(name: &str) -> Result<()> {
    match NAMES.iter().position(|n| *n == name) {
        Some(i) => MATMUL.store(i as u8, Ordering::Relaxed),
        None => bail!(Value, "set_float32_matmul_precision: expected one of highest, high, medium, got \"{name}\""),
    }
    Ok(())
}
pub fn float32_matmul_precision() -> &'static str {
    NAMES[MATMUL.load(Ordering::Relaxed) as usize]
}
/// Whether float32 products may use TF32 (`torch.backends.cuda.matmul.allow_tf32`).
pub fn matmul_tf32() -> bool {
    MATMUL.load(Ordering::Relaxed) != 0
}
/// Whether float32 convolutions may use TF32 (`torch.backends.cudnn.allow_tf32`, true by default).
pub fn conv_tf32() -> bool {
    CONV_TF32.load(Ordering::Relaxed)
}
pub fn set_conv_tf32(on: bool) {
    CONV_TF32.store(on, Ordering::Relaxed);
}
