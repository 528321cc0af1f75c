//! Status codes of CUDA's libraries as errors.

use crate::error::{Error, ErrorKind, Result};
use cudarc::cublas::sys::cublasStatus_t;
use cudarc::cudnn::sys::{self as dnn, cudnnStatus_t};
use cudarc::driver::sys::{self as cu, CUresult};
use cudarc::nvrtc::sys::{self as nvrtc, nvrtcResult};
use std::ffi::{c_char, CStr};

/// A static string of the library, or "".
fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    // SAFETY: the libraries return NUL-terminated static strings.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
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
    Err(Error::new(kind, format!("CUDA: {call} failed with {} ({}): {}", text(name), code as i32, text(why))))
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
