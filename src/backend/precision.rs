//! How exactly float32 is multiplied where a device has faster, shorter formats. Names and defaults are PyTorch's.

use crate::bail;
use crate::base::error::Result;
use std::sync::atomic::{AtomicU8, Ordering};

static MATMUL: AtomicU8 = AtomicU8::new(0);
/// 0 no, 1 yes, 2 not asked yet: then `TAPER_CONV_TF32` decides.
static CONV_TF32: AtomicU8 = AtomicU8::new(2);
/// As `CONV_TF32`, of `TAPER_WINOGRAD`.
static WINOGRAD: AtomicU8 = AtomicU8::new(2);
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
/// The same as its place among highest, high, medium.
pub fn float32_matmul_level() -> u8 {
    MATMUL.load(Ordering::Relaxed)
}
/// Whether float32 products may use TF32 (`torch.backends.cuda.matmul.allow_tf32`).
pub fn matmul_tf32() -> bool {
    MATMUL.load(Ordering::Relaxed) != 0
}
/// Whether float32 convolutions may use TF32 (`torch.backends.cudnn.allow_tf32`): true unless `TAPER_CONV_TF32=0`.
pub fn conv_tf32() -> bool {
    match CONV_TF32.load(Ordering::Relaxed) {
        2 => {
            let on = std::env::var("TAPER_CONV_TF32").as_deref() != Ok("0");
            // A setting made meanwhile stays.
            let _ = CONV_TF32.compare_exchange(2, on as u8, Ordering::Relaxed, Ordering::Relaxed);
            CONV_TF32.load(Ordering::Relaxed) == 1
        }
        v => v == 1,
    }
}
/// Whether float32 convolutions on the CPU may take Winograd's way, whose largest error is about twice that of sums in
/// place: true unless `TAPER_WINOGRAD=0`.
pub fn winograd() -> bool {
    match WINOGRAD.load(Ordering::Relaxed) {
        2 => {
            let on = std::env::var("TAPER_WINOGRAD").as_deref() != Ok("0");
            // A setting made meanwhile stays.
            let _ = WINOGRAD.compare_exchange(2, on as u8, Ordering::Relaxed, Ordering::Relaxed);
            WINOGRAD.load(Ordering::Relaxed) == 1
        }
        v => v == 1,
    }
}
pub fn set_winograd(on: bool) {
    WINOGRAD.store(on as u8, Ordering::Relaxed);
}
pub fn set_conv_tf32(on: bool) {
    CONV_TF32.store(on as u8, Ordering::Relaxed);
}
