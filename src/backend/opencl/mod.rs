//! The OpenCL backend.
use super::Backend;
use crate::error::{Error, ErrorKind, Result};

/// The backend of OpenCL device `index`.
pub fn backend(index: u16) -> Result<&'static dyn Backend> {
    Err(Error::new(ErrorKind::Runtime, format!("device opencl:{index} is not available")))
}
