//! The device on which the suites run: `TAPER_TEST_DEVICE`, the CPU when it is not set.

use std::sync::{Once, OnceLock};
use taper::base::settings;
use taper::{ops, Device, Tensor};

/// The device under test. The first call makes it the default device, so that what names none lands there too; a process
/// that cannot open it fails.
pub fn device() -> Device {
    static SET: Once = Once::new();
    let device = match std::env::var("TAPER_TEST_DEVICE") {
        Ok(name) if !name.is_empty() => Device::parse(&name).unwrap(),
        _ => Device::CPU,
    };
    SET.call_once(|| {
        taper::backend::get(device).unwrap_or_else(|e| panic!("TAPER_TEST_DEVICE={device}: {e}"));
        settings::set_default_device(device);
        // The recorded values are float32's throughout.
        taper::backend::precision::set_conv_tf32(false);
    });
    device
}

/// A file of tests/fixtures, under the folder that cargo names when it runs a test, else that of the build.
pub fn fixture(name: &str) -> Vec<u8> {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let path = std::path::Path::new(&root).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Whether this process has number `i` of what several share: `TAPER_TEST_SHARD=1/2` takes the odd numbers. A device that
/// compiles its kernels, one at a time, is faster with one process a core.
pub fn shard(i: usize) -> bool {
    let Ok(text) = std::env::var("TAPER_TEST_SHARD") else { return true };
    let (part, of) = text.split_once('/').expect("TAPER_TEST_SHARD=PART/OF");
    let (part, of): (usize, usize) = (part.parse().unwrap(), of.parse().unwrap());
    assert!(part < of, "TAPER_TEST_SHARD={text}: parts are counted from 0");
    i % of == part
}

/// Whether the device under test compiles kernels slowly, as drivers for CPUs do, so that a suite takes a part of what it
/// has; all with `TAPER_TEST_LONG=1`, and on the test double of CUDA, whose kernels are the same.
pub fn compiles_slowly() -> bool {
    static SLOW: OnceLock<bool> = OnceLock::new();
    *SLOW.get_or_init(|| {
        let long = std::env::var("TAPER_TEST_LONG").is_ok_and(|v| v == "1");
        !long && !device().is_cpu() && taper::backend::devices::info(device()).is_ok_and(|i| i.kind == "cpu")
    })
}

/// A leaf with the same values and strides on the device under test.
pub fn moved(t: &Tensor) -> Tensor {
    ops::to_device(t, device()).unwrap().alias_same()
}

/// Says how many kernels of the device under test ran so far; the OpenCL lane fails where none did. Printed when it is
/// dropped, at the end of a test.
pub struct Kernels(u64);
impl Kernels {
    pub fn counted() -> Kernels {
        device();
        Kernels(launched())
    }
}
impl Drop for Kernels {
    fn drop(&mut self) {
        if !device().is_cpu() {
            println!("{} kernels ran on {}", launched() - self.0, device());
        }
    }
}

#[cfg(feature = "opencl")]
fn launched() -> u64 {
    taper::backend::opencl::kernels_launched()
}
#[cfg(not(feature = "opencl"))]
fn launched() -> u64 {
    0
}
