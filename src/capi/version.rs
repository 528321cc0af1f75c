//! Versions of the library and of its ABI.

use super::types::*;
use crate::Result;
use std::os::raw::c_char;

/// `taper_abi_version`.
pub fn abi_version() -> u32 {
    TAPER_ABI_VERSION
}

/// `taper_check_abi`.
pub fn check_abi(version: u32) -> Result<()> {
    crate::ensure!(
        version == TAPER_ABI_VERSION,
        Runtime,
        "this program was built for ABI version {version} of libtaper, but the library that was loaded (Taper {}) \
             has version {TAPER_ABI_VERSION}: rebuild the program with the header of that library, or load \
             libtaper.so.{version}",
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}

/// `taper_version`.
pub fn version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr() as *const c_char
}
