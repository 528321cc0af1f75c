//! Strings that the library returns.

use super::handle::{self, Kind};
use super::objects::{object, HandleType};
use super::types::*;
use crate::backend::memory;
use crate::base::error::Result;
use std::os::raw::c_char;
use std::sync::Arc;

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

impl HandleType for taper_string {
    const KIND: Kind = Kind::String;
    type Object = Arc<Text>;
}

/// Takes over a string that a callback handed out; None for NULL and bad handles.
pub fn take(s: *mut taper_string) -> Option<String> {
    let text = object(s as *const taper_string).ok()?;
    drop(handle::remove(s as usize, Kind::String));
    Some(String::from_utf8_lossy(&text.0[..text.0.len() - 1]).into_owned())
}

/// `taper_string_new`.
pub fn string_new(text: &str) -> Result<String> {
    memory::text(text)
}

/// `taper_string_data`.
pub fn string_data(s: &Arc<Text>) -> *const c_char {
    // The table keeps the text alive until the handle is freed.
    s.0.as_ptr() as *const c_char
}

/// `taper_string_len`.
pub fn string_len(s: &Arc<Text>) -> usize {
    s.0.len() - 1
}
