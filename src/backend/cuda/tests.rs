//! What only CUDA has. The kernels are tested in `backend::gpu::tests` with `TAPER_TEST_DEVICE=cuda`.

use super::*;

/// The first device; None, said aloud, where there is none (an error with `TAPER_TEST_CUDA=1`).
fn device() -> Option<&'static Gpu> {
    match open(0) {
        Ok(d) => Some(d),
        Err(e) if std::env::var("TAPER_TEST_CUDA").is_ok_and(|v| v == "1") => {
            panic!("TAPER_TEST_CUDA=1, but there is no CUDA device: {e}")
        }
        Err(e) => {
            eprintln!("SKIPPED: no CUDA device: {e}");
            None
        }
    }
}

#[test]
fn a_machine_without_a_device_says_what_is_missing() {
    let Err(e) = devices() else { return };
    assert!(e.message.starts_with("CUDA is not available: "), "{e}");
    assert!(
        e.message.contains("libcuda.so.1") || e.message.contains("cuInit") || e.message.contains("no device"),
        "{e}"
    );
    assert_eq!(backend(0).err().unwrap().message, e.message);
}

#[test]
fn devices_are_described() {
    let Some(d) = device() else { return };
    let all = devices().unwrap();
    assert!(!all[0].name.is_empty() && all[0].global_memory > 0 && all[0].compute_units > 0);
    let (free, total) = d.memory_info().unwrap();
    assert!(0 < free && free <= total);
    assert_eq!(d.device().to_string(), "cuda:0");
    let e = backend(999).err().unwrap();
    assert!(e.message.contains("cuda:999") && e.message.contains(&all[0].name), "{e}");
}
