//! Status codes of CUDA's libraries as errors.

use crate::base::error::{Error, ErrorKind, Result};
use cudarc::cublas::sys::cublasStatus_t;
use cudarc::cudnn::sys::{self as dnn, cudnnStatus_t};
use cudarc::driver::sys::{self as cu, CUresult};
use cudarc::nvrtc::sys::{self as nvrtc, nvrtcResult};
use parking_lot::Mutex;
use std::ffi::{c_char, CStr};

/// A static string of the library, or "".
fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    // SAFETY: the libraries return NUL-terminated static strings.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

/// What was queued last, the newest at the end: an error of the device comes later than the kernel that made it.
static RECENT: Mutex<[&str; 4]> = Mutex::new([""; 4]);

/// Notes that a kernel or a library's call was queued.
pub fn queued(name: &'static str) {
    let mut r = RECENT.lock();
    if r[3] != name {
        r.rotate_left(1);
        r[3] = name;
    }
}

/// What to say where a kernel has broken the context, and where the driver does not take what was compiled.
fn advice(code: CUresult) -> String {
    use CUresult::*;
    match code {
        CUDA_ERROR_ILLEGAL_ADDRESS
        | CUDA_ERROR_ILLEGAL_INSTRUCTION
        | CUDA_ERROR_MISALIGNED_ADDRESS
        | CUDA_ERROR_INVALID_ADDRESS_SPACE
        | CUDA_ERROR_INVALID_PC
        | CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUDA_ERROR_LAUNCH_FAILED
        | CUDA_ERROR_LAUNCH_TIMEOUT
        | CUDA_ERROR_ASSERT => {
            let recent: Vec<&str> = RECENT.lock().iter().copied().filter(|n| !n.is_empty()).collect();
            format!(
                "; work that was queued earlier failed, and the device cannot be used by this process any more. Queued \
                 last: {}. With CUDA_LAUNCH_BLOCKING=1 in the environment the error comes from the kernel itself",
                recent.join(", ")
            )
        }
        CUDA_ERROR_NO_BINARY_FOR_GPU | CUDA_ERROR_UNSUPPORTED_PTX_VERSION | CUDA_ERROR_INVALID_IMAGE => {
            "; NVRTC is newer than the driver: install a newer driver or an older NVRTC (TAPER_CUDA_LIBS names its folder)"
                .into()
        }
        _ => String::new(),
    }
}

/// An error that names the driver call. Running out of memory has its own kind.
pub fn check(code: CUresult, call: &str) -> Result<()> {
    if code == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let (mut name, mut why) = (std::ptr::null(), std::ptr::null());
    // SAFETY: out-pointers to locals; an unknown code leaves them NULL.
    unsafe {
        let _ = cu::cuGetErrorName(code, &mut name);
        let _ = cu::cuGetErrorString(code, &mut why);
    }
    let kind = if code == CUresult::CUDA_ERROR_OUT_OF_MEMORY { ErrorKind::OutOfMemory } else { ErrorKind::Runtime };
    let (name, why, more) = (text(name), text(why), advice(code));
    Err(Error::new(kind, format!("CUDA: {call} failed with {name} ({}): {why}{more}", code as i32)))
}

pub fn check_nvrtc(code: nvrtcResult, call: &str) -> Result<()> {
    if code == nvrtcResult::NVRTC_SUCCESS {
        return Ok(());
    }
    // SAFETY: any code is allowed.
    let why = text(unsafe { nvrtc::nvrtcGetErrorString(code) });
    Err(Error::new(ErrorKind::Runtime, format!("CUDA: {call} failed with {why} ({})", code as i32)))
}

pub fn check_blas(code: cublasStatus_t, call: &str) -> Result<()> {
    if code == cublasStatus_t::CUBLAS_STATUS_SUCCESS {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Runtime, format!("CUDA: {call} failed with {code:?}")))
}

pub fn check_dnn(code: cudnnStatus_t, call: &str) -> Result<()> {
    if code == cudnnStatus_t::CUDNN_STATUS_SUCCESS {
        return Ok(());
    }
    // SAFETY: any code is allowed.
    let why = text(unsafe { dnn::cudnnGetErrorString(code) });
    Err(Error::new(ErrorKind::Runtime, format!("CUDA: {call} failed with {why}")))
}
