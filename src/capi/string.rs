//! Strings that the library returns.

use super::convert::{free, getter, object};
use super::handle::Kind;
use super::types::*;
use std::os::raw::c_char;

/// Text with a NUL after it, so that C can print it.
pub struct Text(Vec<u8>);
impl Text {
    pub fn new(s: String) -> Text {
        let mut bytes = s.into_bytes();
        bytes.push(0);
        Text(bytes)
    }
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
