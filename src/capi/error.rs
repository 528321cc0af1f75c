//! Errors as handles.

use super::convert::{free, object};
use super::handle::{self, Kind, Object};
use super::types::*;
use crate::base::error::{Error, ErrorKind};
use std::any::Any;
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_void};
use std::sync::{Arc, OnceLock};

/// An error in the table, with the C strings that its accessors lend out.
pub struct ErrorBox {
    error: Error,
    message: CString,
    op: Option<CString>,
    module: Option<CString>,
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
static SPARE: OnceLock<usize> = OnceLock::new();

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

/// Takes the error that a callback returned (the handle is consumed); None for NULL.
pub fn take(e: *mut taper_error) -> Option<Error> {
    if e.is_null() {
        return None;
    }
    let found = object(e as *const taper_error);
    free_handle(e);
    Some(match found {
        Ok(b) => b.error.clone(),
        Err(_) => Error::new(ErrorKind::Callback, format!("a callback returned {e:p}, which is no error handle")),
    })
}

fn free_handle(e: *mut taper_error) -> bool {
    e as usize == SPARE.get().copied().unwrap_or(0) || free(e, Kind::Error)
}

/// What a callback attached to its error; dropped exactly once, with the last copy of the error.
struct Payload {
    data: *mut c_void,
    drop: taper_drop_fn,
}
// SAFETY: the header says that a payload may be read and dropped on any thread.
unsafe impl Send for Payload {}
unsafe impl Sync for Payload {}
impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(f) = self.drop {
            // SAFETY: the function and pointer come together from taper_error_new; this runs once.
            unsafe { f(self.data) }
        }
    }
}

/// `taper_error_code`.
pub fn error_code(e: *const taper_error) -> Option<i32> {
    if e.is_null() {
        return Some(0);
    }
    object(e).ok().map(|b| b.error.kind as i32)
}

/// `taper_error_message`.
pub fn error_message(e: &Arc<ErrorBox>) -> *const c_char {
    // The table keeps the box alive until the handle is freed, so the pointer may outlive this borrow.
    e.message.as_ptr()
}

/// `taper_error_op`.
pub fn error_op(e: &Arc<ErrorBox>) -> Option<*const c_char> {
    e.op.as_ref().map(|o| o.as_ptr())
}

/// `taper_error_module`.
pub fn error_module(e: &Arc<ErrorBox>) -> Option<*const c_char> {
    e.module.as_ref().map(|m| m.as_ptr())
}

/// `taper_error_arg`.
pub fn error_arg(e: &Arc<ErrorBox>) -> Option<i32> {
    e.error.arg.map(|a| a as i32)
}

/// `taper_error_cause`.
pub fn error_cause(e: &Arc<ErrorBox>) -> Option<*mut taper_error> {
    e.error.cause.as_ref().map(|c| into_handle(c.clone()))
}

/// `taper_error_payload`.
pub fn error_payload(e: &Arc<ErrorBox>) -> Option<*mut c_void> {
    let mut at = Some(&e.error);
    while let Some(e) = at {
        if let Some(p) = e.payload.as_ref().and_then(|p| (&**p as &dyn Any).downcast_ref::<Payload>()) {
            return Some(p.data);
        }
        at = e.cause.as_ref();
    }
    None
}

/// `taper_error_new`.
///
/// # Safety
/// message is NULL or NUL-terminated.
pub unsafe fn error_new(
    code: i32,
    message: *const c_char,
    payload: *mut c_void,
    drop: taper_drop_fn,
) -> *mut taper_error {
    let payload = Payload { data: payload, drop };
    let text = if message.is_null() {
        String::new()
    } else {
        // SAFETY: NUL-terminated by contract.
        unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
    };
    let mut e = Error::new(ErrorKind::of(code).unwrap_or(ErrorKind::Callback), text);
    if !payload.data.is_null() || payload.drop.is_some() {
        e.payload = Some(Arc::new(payload));
    }
    into_handle(e)
}

/// `taper_error_with_payload`.
pub fn error_with_payload(e: *const taper_error, payload: *mut c_void, drop: taper_drop_fn) -> *mut taper_error {
    let payload = Arc::new(Payload { data: payload, drop });
    let mut error = match object(e) {
        Ok(b) => b.error.clone(),
        Err(_) => Error::new(ErrorKind::InvalidHandle, format!("error_with_payload(): {e:p} is no error handle")),
    };
    let given = !payload.data.is_null() || payload.drop.is_some();
    error.payload = given.then_some(payload as Arc<dyn Any + Send + Sync>);
    into_handle(error)
}

/// `taper_error_free`.
pub fn error_free(e: *mut taper_error) -> bool {
    e.is_null() || free_handle(e)
}
