//! What the libraries keep for one stream: their handles, and what they chose for a shape.

use super::api::{check, check_blas, check_dnn};
use crate::backend::gpu::driver::ConvPass;
use crate::backend::Activation;
use crate::base::dtype::DType;
use crate::base::error::Result;
use cudarc::cublas::sys::{self as cb, cublasHandle_t};
use cudarc::cublaslt::sys::{self as lt, cublasLtHandle_t, cublasLtMatmulAlgo_t};
use cudarc::cudnn::sys::{self as dnn, cudnnHandle_t, cudnnMathType_t};
use cudarc::driver::sys::{self as cu, CUstream};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;

/// What NVIDIA recommends for Hopper; the pointer stays the same, as a captured graph needs it.
pub const WORKSPACE: usize = 32 << 20;

/// One stream's handles.
pub struct Blas {
    pub handle: cublasHandle_t,
    pub light: cublasLtHandle_t,
    pub workspace: u64,
    /// The algorithm that cuBLASLt chose for a shape; None where it has none.
    pub chosen: HashMap<Shape, Option<cublasLtMatmulAlgo_t>>,
}
// SAFETY: used under the stream's lock.
unsafe impl Send for Blas {}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    pub dtype: DType,
    pub m: i32,
    pub n: i32,
    pub k: i32,
    pub a: (bool, i32),
    pub b: (bool, i32),
    pub out: i32,
    pub tf32: bool,
    pub bias: bool,
    pub activation: Option<Activation>,
    /// Leading dimension of what keeps the activation's arguments, 0 for none.
    pub pre: i32,
    /// Alignment of the pointers, which algorithms depend on.
    pub align: u32,
}

impl Blas {
    pub fn new(raw: CUstream) -> Result<Blas> {
        let (mut handle, mut light, mut workspace) = (ptr::null_mut(), ptr::null_mut(), 0);
        // SAFETY: out-pointers to locals; handles and memory live as long as the process, as streams do.
        unsafe {
            check_blas(cb::cublasCreate_v2(&mut handle), "cublasCreate")?;
            check_blas(cb::cublasSetStream_v2(handle, raw.cast()), "cublasSetStream")?;
            check(cu::cuMemAlloc_v2(&mut workspace, WORKSPACE), "cuMemAlloc")?;
            check_blas(cb::cublasSetWorkspace_v2(handle, workspace as *mut c_void, WORKSPACE), "cublasSetWorkspace")?;
            let code = lt::cublasLtCreate(&mut light);
            check_lt(code, "cublasLtCreate")?;
        }
        Ok(Blas { handle, light, workspace, chosen: HashMap::new() })
    }
}

pub fn check_lt(code: lt::cublasStatus_t, call: &str) -> Result<()> {
    match code {
        lt::cublasStatus_t::CUBLAS_STATUS_SUCCESS => Ok(()),
        other => Err(crate::base::error::Error::new(
            crate::base::error::ErrorKind::Runtime,
            format!("CUDA: {call} failed with {other:?}"),
        )),
    }
}

/// What an algorithm was chosen for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub pass: ConvPass,
    pub dtype: DType,
    pub tf32: bool,
    pub numbers: SmallVec<[i32; 48]>,
}

/// A chosen algorithm (by its number in the pass's own list) and the scratch memory that it takes.
#[derive(Clone, Copy)]
pub struct Choice {
    pub algo: u32,
    pub math: cudnnMathType_t,
    pub scratch: usize,
}

/// One stream's handle.
pub struct Dnn {
    pub handle: cudnnHandle_t,
    /// Algorithms of a shape, the best first; those that turned out not to work are gone.
    pub chosen: HashMap<Key, SmallVec<[Choice; 8]>>,
}
// SAFETY: used under the stream's lock.
unsafe impl Send for Dnn {}

impl Dnn {
    pub fn new(raw: CUstream) -> Result<Dnn> {
        let mut handle = ptr::null_mut();
        // SAFETY: an out-pointer to a local; the handle lives as long as the process, as the stream does.
        unsafe {
            check_dnn(dnn::cudnnCreate(&mut handle), "cudnnCreate")?;
            check_dnn(dnn::cudnnSetStream(handle, raw.cast()), "cudnnSetStream")?;
        }
        Ok(Dnn { handle, chosen: HashMap::new() })
    }
}
