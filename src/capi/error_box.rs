//! Errors in the table of handles, and the one that needs no memory.

use super::handle::{self, Kind, Object};
use super::types::*;
use crate::base::error::{Error, ErrorKind};
use std::ffi::CString;
use std::sync::{Arc, OnceLock};

/// An error in the table, with the C strings that its accessors lend out.
pub struct ErrorBox {
    pub error: Error,
    pub message: CString,
    pub op: Option<CString>,
    pub module: Option<CString>,
}

/// A NUL byte would end the text early, so it is shown as a space.
fn c_text(s: &str) -> CString {
    CString::new(s.replace('\0', " ")).unwrap_or_default()
}

fn boxed(error: Error) -> Arc<ErrorBox> {
    let module = error.place().map(|p| c_text(&p.to_string()));
    let message = match &module {
        Some(_) => c_text(&error.to_string()),
        None => c_text(&error.message),
    };
    Arc::new(ErrorBox { message, op: error.op.map(c_text), module, error })
}

/// Handle of the error that needs no memory: made once, never freed.
pub static SPARE: OnceLock<usize> = OnceLock::new();

/// Makes the spare error while there is memory.
pub fn prepare() {
    SPARE.get_or_init(|| {
        let e = Error::new(ErrorKind::OutOfMemory, "out of memory");
        handle::insert(Kind::Error, Object::Other(Box::new(boxed(e)))).unwrap_or(0)
    });
}

/// Whether the spare error exists: one live handle that is nobody's leak.
pub fn prepared() -> bool {
    SPARE.get().is_some()
}

/// Whether a few hundred bytes can still be had; without them the spare error is the answer.
fn memory_left(message: &str) -> bool {
    Vec::<u8>::new().try_reserve_exact(4 * message.len() + 1024).is_ok()
}

/// An error's handle, owned by the caller of the C function.
#[cold]
pub fn into_handle(e: Error) -> *mut taper_error {
    if !memory_left(&e.message) {
        return SPARE.get().copied().unwrap_or(0) as *mut taper_error;
    }
    match handle::insert(Kind::Error, Object::Other(Box::new(boxed(e)))) {
        Ok(bits) => bits as *mut taper_error,
        Err(_) => SPARE.get().copied().unwrap_or(0) as *mut taper_error,
    }
}
