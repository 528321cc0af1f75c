//! Compiling kernels with NVRTC.

use super::api::check_nvrtc;
use super::libs::{require, Lib};
use crate::base::error::{Error, ErrorKind, Result};
use cudarc::nvrtc::sys as nv;
use std::ffi::CString;
use std::ptr;

/// What NVRTC is told besides the source. Two roundings where the source has two operations, as on the other devices.
pub const OPTIONS: [&str; 3] = ["--fmad=false", "--std=c++17", "--device-as-default-execution-space"];

/// What kernels are compiled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `sm_90`: machine code; `compute_90`: an intermediate form that the driver finishes, for devices newer than NVRTC.
    pub arch: String,
    /// `13.0`
    pub version: String,
}

/// The target for a device of this compute capability (major * 10 + minor).
///
/// Errors (Runtime) when NVRTC is missing or knows only newer devices.
pub fn target(capability: i32) -> Result<Target> {
    require(Lib::Nvrtc)?;
    let (mut major, mut minor, mut n) = (0, 0, 0);
    // SAFETY: out-pointers to locals; the list has room for n numbers.
    let known = unsafe {
        check_nvrtc(nv::nvrtcVersion(&mut major, &mut minor), "nvrtcVersion")?;
        check_nvrtc(nv::nvrtcGetNumSupportedArchs(&mut n), "nvrtcGetNumSupportedArchs")?;
        let mut known = vec![0; n.max(0) as usize];
        check_nvrtc(nv::nvrtcGetSupportedArchs(known.as_mut_ptr()), "nvrtcGetSupportedArchs")?;
        known
    };
    let arch = if known.contains(&capability) {
        format!("sm_{capability}")
    } else {
        match known.iter().filter(|a| **a <= capability).max() {
            Some(a) => format!("compute_{a}"),
            None => {
                return Err(Error::new(
                    ErrorKind::Runtime,
                    format!(
                        "CUDA: NVRTC {major}.{minor} compiles for compute capability {}.{} and newer, but the device has {}.{}",
                        known.iter().min().unwrap_or(&0) / 10,
                        known.iter().min().unwrap_or(&0) % 10,
                        capability / 10,
                        capability % 10
                    ),
                ))
            }
        }
    };
    Ok(Target { arch, version: format!("{major}.{minor}") })
}

struct Program(nv::nvrtcProgram);
impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: this value owns the program.
        unsafe { nv::nvrtcDestroyProgram(&mut self.0) };
    }
}

/// Compiles a whole source; the error carries the compiler's log.
pub fn compile(source: &str, name: &str, target: &Target) -> Result<Vec<u8>> {
    let bad = |_| Error::new(ErrorKind::Internal, "a NUL in a kernel's source");
    let (text, file) = (CString::new(source).map_err(bad)?, CString::new(format!("{name}.cu")).map_err(bad)?);
    let mut options = vec![CString::new(format!("--gpu-architecture={}", target.arch)).map_err(bad)?];
    for o in OPTIONS {
        options.push(CString::new(o).map_err(bad)?);
    }
    let pointers: Vec<_> = options.iter().map(|o| o.as_ptr()).collect();
    let mut program = Program(ptr::null_mut());
    // SAFETY: NUL-terminated strings that outlive the calls; buffers have the sizes that NVRTC reported.
    unsafe {
        let made = nv::nvrtcCreateProgram(&mut program.0, text.as_ptr(), file.as_ptr(), 0, ptr::null(), ptr::null());
        check_nvrtc(made, "nvrtcCreateProgram")?;
        let compiled = nv::nvrtcCompileProgram(program.0, pointers.len() as i32, pointers.as_ptr());
        check_nvrtc(compiled, "nvrtcCompileProgram").map_err(|mut e| {
            let mut n = 0;
            if nv::nvrtcGetProgramLogSize(program.0, &mut n) == nv::nvrtcResult::NVRTC_SUCCESS && n > 1 {
                let mut log = vec![0u8; n];
                if nv::nvrtcGetProgramLog(program.0, log.as_mut_ptr().cast()) == nv::nvrtcResult::NVRTC_SUCCESS {
                    log.truncate(n - 1);
                    e.message = format!("{}; the compiler's log:\n{}", e.message, String::from_utf8_lossy(&log));
                }
            }
            e
        })?;
        let mut n = 0;
        if target.arch.starts_with("sm_") {
            check_nvrtc(nv::nvrtcGetCUBINSize(program.0, &mut n), "nvrtcGetCUBINSize")?;
            let mut out = vec![0u8; n];
            check_nvrtc(nv::nvrtcGetCUBIN(program.0, out.as_mut_ptr().cast()), "nvrtcGetCUBIN")?;
            Ok(out)
        } else {
            check_nvrtc(nv::nvrtcGetPTXSize(program.0, &mut n), "nvrtcGetPTXSize")?;
            let mut out = vec![0u8; n];
            check_nvrtc(nv::nvrtcGetPTX(program.0, out.as_mut_ptr().cast()), "nvrtcGetPTX")?;
            Ok(out)
        }
    }
}
