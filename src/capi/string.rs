//! Strings that the library returns.

use super::convert::{free, getter, guard, object};
use super::handle::{self, Kind};
use super::types::*;
use crate::backend::memory;
use crate::base::error::Result;
use std::os::raw::c_char;

/// Text with a NUL after it, so that C can print it.
pub struct Text(Vec<u8>);
impl Text {
    pub fn new(s: String) -> Result<Text> {
        let mut bytes = s.into_bytes();
        memory::reserve_exact(&mut bytes, 1)?;
        bytes.push(0);
        Ok(Text(bytes))
    }
}

/// Takes over a string that a callback handed out; None for NULL and bad handles.
pub fn take(s: *mut taper_string) -> Option<String> {
    let text = object(s as *const taper_string).ok()?;
    drop(handle::remove(s as usize, Kind::String));
    Some(String::from_utf8_lossy(&text.0[..text.0.len() - 1]).into_owned())
}

/// Makes a string from a copy of NUL-terminated UTF-8 text, for callbacks that return one. Owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_string_new(text: *const c_char, out: *mut *mut taper_string) -> *mut taper_error {
    // SAFETY: the header's contract.
    guard("string_new", |c| unsafe { c.out(1, "out", out)?.set(memory::text(c.str(0, "text", text)?)?) })
}

/// The string's bytes, UTF-8 with a NUL after them, valid until s is freed; NULL for a bad handle. Borrows s.
/// Since 0.1.
#[no_mangle]
pub extern "C" fn taper_string_data(s: *const taper_string) -> *const c_char {
    // The table keeps the text alive until the handle is freed.
    getter(std::ptr::null(), || object(s).ok().map(|t| t.0.as_ptr() as *const c_char))
}

/// The string's length in bytes, without the NUL; 0 for a bad handle. Borrows s. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_string_len(s: *const taper_string) -> usize {
    getter(0, || object(s).ok().map(|t| t.0.len() - 1))
}

/// Frees a string. Consumes s; NULL is fine. Returns false when s was no live string handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_string_free(s: *mut taper_string) -> bool {
    free(s, Kind::String)
}
