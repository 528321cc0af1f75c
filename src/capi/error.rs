//! Errors as handles.

use super::error_box::SPARE;
pub use super::error_box::{into_handle, prepared, ErrorBox};
use super::handle::Kind;
use super::objects::{free, object, HandleType};
use super::types::*;
use crate::base::error::{Error, ErrorKind};
use std::any::Any;
use std::ffi::CStr;
use std::os::raw::{c_char, c_void};
use std::sync::Arc;

impl HandleType for taper_error {
    const KIND: Kind = Kind::Error;
    type Object = Arc<ErrorBox>;
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
