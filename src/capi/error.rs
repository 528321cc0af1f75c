//! Errors as handles.

use super::convert::{free, getter, object};
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

/// What kind of mistake the error reports: a TAPER_ERROR_... code, 0 for NULL (success), -1 for a bad handle.
/// Borrows e. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_error_code(e: *const taper_error) -> i32 {
    if e.is_null() {
        return 0;
    }
    getter(-1, || object(e).ok().map(|b| b.error.kind as i32))
}

/// The error's message in UTF-8, valid until e is freed; NULL for a bad handle. Borrows e. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_error_message(e: *const taper_error) -> *const c_char {
    // The table keeps the box alive until the handle is freed, so the pointer may outlive this clone.
    getter(std::ptr::null(), || object(e).ok().map(|b| b.message.as_ptr()))
}

/// Name of the function that failed, without the taper_ prefix, valid until e is freed; NULL when unknown.
/// Borrows e. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_error_op(e: *const taper_error) -> *const c_char {
    getter(std::ptr::null(), || object(e).ok()?.op.as_ref().map(|o| o.as_ptr()))
}

/// Which module of a tree failed: its path from the module that was called, and what it is, like
/// "0.fc (Linear(in_features=4, out_features=2, bias=True))"; the message's last line says so too. Valid until e is freed;
/// NULL when that module itself failed, or none. Borrows e. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_error_module(e: *const taper_error) -> *const c_char {
    getter(std::ptr::null(), || object(e).ok()?.module.as_ref().map(|m| m.as_ptr()))
}

/// Index of the argument at fault, counted from 0 (an array and its length are one argument); -1 when no single one is.
/// Borrows e. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_error_arg(e: *const taper_error) -> i32 {
    getter(-1, || object(e).ok()?.error.arg.map(|a| a as i32))
}

/// The error behind this one as a new handle, owned by the caller; NULL when there is none. Borrows e. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_error_cause(e: *const taper_error) -> *mut taper_error {
    getter(std::ptr::null_mut(), || object(e).ok()?.error.cause.as_deref().map(|c| into_handle(c.clone())))
}

/// The payload of taper_error_new, from this error or the nearest cause that has one; NULL when none has.
/// Valid until e is freed. Borrows e. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_error_payload(e: *const taper_error) -> *mut c_void {
    getter(std::ptr::null_mut(), || {
        let b = object(e).ok()?;
        let mut at = Some(&b.error);
        while let Some(e) = at {
            if let Some(p) = e.payload.as_ref().and_then(|p| (&**p as &dyn Any).downcast_ref::<Payload>()) {
                return Some(p.data);
            }
            at = e.cause.as_deref();
        }
        None
    })
}

/// Makes an error, for callbacks to return. code is a TAPER_ERROR_... code (others become TAPER_ERROR_CALLBACK);
/// message is copied (NULL is an empty one); payload travels through the library intact, and drop (or NULL) is called
/// with it exactly once, on any thread, when the last copy of the error is freed. The result is owned by the caller.
/// Since 0.1.
///
/// # Safety
/// message is NULL or NUL-terminated.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_error_new(
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
    let mut e = Error::new(kind_of(code), text);
    if !payload.data.is_null() || payload.drop.is_some() {
        e.payload = Some(Arc::new(payload));
    }
    into_handle(e)
}

/// An error like e (code, message, op, argument, module) that carries another payload: for a callback in a language whose
/// own exception stands for e and should come back. payload and drop are as for taper_error_new (both NULL: no
/// payload); where e is no error the result says so. Borrows e; the result is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_error_with_payload(
    e: *const taper_error,
    payload: *mut c_void,
    drop: taper_drop_fn,
) -> *mut taper_error {
    let payload = Arc::new(Payload { data: payload, drop });
    let mut error = match object(e) {
        Ok(b) => b.error.clone(),
        Err(_) => Error::new(ErrorKind::InvalidHandle, format!("error_with_payload(): {e:p} is no error handle")),
    };
    let given = !payload.data.is_null() || payload.drop.is_some();
    error.payload = given.then_some(payload as Arc<dyn Any + Send + Sync>);
    into_handle(error)
}

fn kind_of(code: i32) -> ErrorKind {
    use ErrorKind::*;
    [Runtime, Index, Type, Value, OutOfMemory, NotImplemented, InvalidHandle, Io, Callback, Internal, Key]
        .into_iter()
        .find(|k| *k as i32 == code)
        .unwrap_or(Callback)
}

/// Frees an error. Consumes e; NULL is fine. Returns false when e was no live error handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_error_free(e: *mut taper_error) -> bool {
    e.is_null() || free_handle(e)
}
