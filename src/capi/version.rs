//! Versions of the library and of its ABI.

use super::convert::guard;
use super::types::*;
use std::os::raw::c_char;

/// The ABI version of this library; compare it with TAPER_ABI_VERSION of the header. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_abi_version() -> u32 {
    TAPER_ABI_VERSION
}

/// Fails when the library's ABI is not the one a program was compiled for: taper_check_abi(TAPER_ABI_VERSION).
/// Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_check_abi(version: u32) -> *mut taper_error {
    guard("check_abi", |_| {
        crate::ensure!(
            version == TAPER_ABI_VERSION,
            Runtime,
            "this program was built for ABI version {version} of libtaper, but the library that was loaded (Taper {}) \
             has version {TAPER_ABI_VERSION}: rebuild the program with the header of that library, or load \
             libtaper.so.{version}",
            env!("CARGO_PKG_VERSION")
        );
        Ok(())
    })
}

/// The library's version, like "0.1.0"; never freed. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr() as *const c_char
}
