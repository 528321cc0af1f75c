//! What comes with a callback: the caller's pointer with its drop function, and structs that may grow.

use super::convert::Call;
use super::types::taper_drop_fn;
use crate::base::error::{ErrorKind, Result};
use std::os::raw::c_void;

/// A caller's pointer; its drop function runs exactly once.
pub struct User {
    data: *mut c_void,
    drop: taper_drop_fn,
}
// SAFETY: the header says that callbacks and their user pointers may be used on any thread.
unsafe impl Send for User {}
unsafe impl Sync for User {}
impl User {
    pub fn new(data: *mut c_void, drop: taper_drop_fn) -> User {
        User { data, drop }
    }
    #[inline]
    pub fn get(&self) -> *mut c_void {
        self.data
    }
}
impl Drop for User {
    fn drop(&mut self) {
        if let Some(f) = self.drop.take() {
            // SAFETY: pointer and function were given together; this is the one call.
            unsafe { f(self.data) }
        }
    }
}

/// A struct of the C API whose first field is `size_t struct_size`.
///
/// # Safety
/// The type is `repr(C)`, begins with a `usize`, and any bytes are a valid value of it (numbers, pointers, optional
/// functions; no bools, no enums).
pub unsafe trait CStruct: Copy {
    /// What fields beyond the caller's size are.
    const INIT: Self;
    /// The size that the first version of the struct had: smaller ones are mistakes.
    const MIN_SIZE: usize;
}

/// A struct of callbacks, with the function that drops what `user` points to.
pub trait Callbacks: CStruct {
    fn drop_fn(&self) -> taper_drop_fn;
}

/// What comes with a struct of callbacks, taken over before anything can fail: also a call that is refused drops it. A
/// struct that cannot be read, for its size is none, has no drop function.
///
/// # Safety
/// As for `read_struct`.
pub unsafe fn owner<T: Callbacks>(p: *const T, user: *mut c_void) -> User {
    let mut value = T::INIT;
    if !p.is_null() && p.is_aligned() {
        // SAFETY: readable by contract; struct_size comes first, and as many bytes as it says.
        unsafe {
            let size = *(p as *const usize);
            if sizes(T::MIN_SIZE).contains(&size) {
                value = known_part(p, size);
            }
        }
    }
    User::new(user, value.drop_fn())
}

/// What a struct of `size` bytes says of the fields that this library knows; the others have their first values.
///
/// # Safety
/// `p` is readable for `size` bytes.
unsafe fn known_part<T: CStruct>(p: *const T, size: usize) -> T {
    let mut value = T::INIT;
    let known = size.min(std::mem::size_of::<T>());
    // SAFETY: both are at least that long; any bytes are a value of T.
    unsafe { std::ptr::copy_nonoverlapping(p as *const u8, &mut value as *mut T as *mut u8, known) };
    value
}

/// The checked `struct_size` of a caller's struct.
///
/// # Safety
/// `p` is NULL or readable for the struct's first field.
unsafe fn struct_size<T: CStruct>(c: &Call, index: usize, name: &str, p: *const T) -> Result<usize> {
    if p.is_null() || !p.is_aligned() {
        return Err(c.invalid(ErrorKind::Value, index, name, "expected a pointer to a struct, got NULL"));
    }
    // SAFETY: readable by contract; struct_size comes first.
    let size = unsafe { *(p as *const usize) };
    valid_size(c, index, name, size, T::MIN_SIZE, std::mem::size_of::<T>())
}

/// What `struct_size` may be: between that of the struct's first version and what nobody sets by intent.
fn sizes(first: usize) -> std::ops::RangeInclusive<usize> {
    first..=1 << 16
}

/// The size itself, or an error.
pub fn valid_size(c: &Call, index: usize, name: &str, size: usize, first: usize, known: usize) -> Result<usize> {
    if !sizes(first).contains(&size) {
        let what = format!("struct_size is {size}; set it to sizeof of the struct ({known}), or use its _INIT macro");
        return Err(c.invalid(ErrorKind::Value, index, name, what));
    }
    Ok(size)
}

/// An error where a newer, longer struct sets a field that this library does not know.
///
/// # Safety
/// `p` is readable for `size` bytes.
pub unsafe fn nothing_unknown(
    c: &Call,
    index: usize,
    name: &str,
    p: *const u8,
    size: usize,
    known: usize,
) -> Result<()> {
    if size <= known {
        return Ok(());
    }
    // SAFETY: the caller's.
    let rest = unsafe { std::slice::from_raw_parts(p.add(known), size - known) };
    if rest.iter().any(|b| *b != 0) {
        let what = format!(
            "the struct ({size} bytes) sets fields that this library ({known} bytes) does not know; load a newer one"
        );
        return Err(c.invalid(ErrorKind::Value, index, name, what));
    }
    Ok(())
}

/// Reads a struct that may be older (shorter) or newer (longer) than this library's.
///
/// # Safety
/// `p` is NULL or readable for as many bytes as its `struct_size` says.
pub unsafe fn read_struct<T: CStruct>(c: &Call, index: usize, name: &str, p: *const T) -> Result<T> {
    let known = std::mem::size_of::<T>();
    // SAFETY: the caller's.
    let size = unsafe { struct_size(c, index, name, p) }?;
    // SAFETY: readable for struct_size bytes by contract.
    unsafe {
        nothing_unknown(c, index, name, p.cast(), size, known)?;
        Ok(known_part(p, size))
    }
}

/// Options that may be absent.
///
/// # Safety
/// As for `read_struct`.
pub unsafe fn opt_struct<T: CStruct>(c: &Call, index: usize, name: &str, p: *const T) -> Result<Option<T>> {
    if p.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's.
    unsafe { read_struct(c, index, name, p) }.map(Some)
}

/// Writes a struct for a caller whose version may be older (shorter: it gets what it knows) or newer (longer: what this
/// library does not know becomes zero). The caller's `struct_size` stays.
///
/// # Safety
/// `p` is NULL or writable for as many bytes as its `struct_size` says.
pub unsafe fn write_struct<T: CStruct>(c: &Call, index: usize, name: &str, p: *mut T, mut value: T) -> Result<()> {
    // SAFETY: the caller's.
    let size = unsafe { struct_size(c, index, name, p) }?;
    let known = std::mem::size_of::<T>();
    // SAFETY: repr(C) with the size first, by the trait's contract; `p` is writable for `size` bytes.
    unsafe {
        *(&mut value as *mut T as *mut usize) = size;
        std::ptr::copy_nonoverlapping(&value as *const T as *const u8, p as *mut u8, size.min(known));
        if size > known {
            std::ptr::write_bytes((p as *mut u8).add(known), 0, size - known);
        }
    }
    Ok(())
}
