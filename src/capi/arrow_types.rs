//! The structs of Arrow's C data and C stream interfaces, as their specifications lay them out.

use std::os::raw::{c_char, c_int, c_void};

/// What an array's elements are. Empty once `release` is gone.
#[repr(C)]
pub struct ArrowSchema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *mut *mut ArrowSchema,
    pub dictionary: *mut ArrowSchema,
    pub release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    pub private_data: *mut c_void,
}
/// An array's elements. Empty once `release` is gone.
#[repr(C)]
pub struct ArrowArray {
    pub length: i64,
    /// -1: nobody has counted.
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *mut *const c_void,
    pub children: *mut *mut ArrowArray,
    pub dictionary: *mut ArrowArray,
    pub release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    pub private_data: *mut c_void,
}
/// Arrays of one schema, one after the other.
#[repr(C)]
pub struct ArrowArrayStream {
    pub get_schema: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowSchema) -> c_int>,
    pub get_next: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowArray) -> c_int>,
    pub get_last_error: Option<unsafe extern "C" fn(*mut ArrowArrayStream) -> *const c_char>,
    pub release: Option<unsafe extern "C" fn(*mut ArrowArrayStream)>,
    pub private_data: *mut c_void,
}

/// The column of a table may have no value in some rows.
pub const FLAG_NULLABLE: i64 = 2;

impl ArrowSchema {
    pub const EMPTY: ArrowSchema = ArrowSchema {
        format: std::ptr::null(),
        name: std::ptr::null(),
        metadata: std::ptr::null(),
        flags: 0,
        n_children: 0,
        children: std::ptr::null_mut(),
        dictionary: std::ptr::null_mut(),
        release: None,
        private_data: std::ptr::null_mut(),
    };
}
impl ArrowArray {
    pub const EMPTY: ArrowArray = ArrowArray {
        length: 0,
        null_count: 0,
        offset: 0,
        n_buffers: 0,
        n_children: 0,
        buffers: std::ptr::null_mut(),
        children: std::ptr::null_mut(),
        dictionary: std::ptr::null_mut(),
        release: None,
        private_data: std::ptr::null_mut(),
    };
}

/// Releases what a struct holds when it is dropped; the struct itself is the caller's.
pub struct Owner<T: Released>(pub *mut T);
pub type SchemaOwner = Owner<ArrowSchema>;
pub type ArrayOwner = Owner<ArrowArray>;
impl<T: Released> Drop for Owner<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: a struct of Arrow by contract, whose content was handed over.
            unsafe { T::let_go(self.0) }
        }
    }
}

/// A struct with a release function.
pub trait Released {
    /// # Safety
    /// `p` refers to such a struct, which nobody else uses.
    unsafe fn let_go(p: *mut Self);
    /// # Safety
    /// As for `let_go`.
    unsafe fn is_empty(p: *const Self) -> bool;
}
macro_rules! released {
    ($($t:ty),*) => {$(
        impl Released for $t {
            unsafe fn let_go(p: *mut Self) {
                // SAFETY: the caller's; the function itself marks the struct as empty.
                unsafe {
                    if let Some(f) = (*p).release {
                        f(p);
                        (*p).release = None;
                    }
                }
            }
            unsafe fn is_empty(p: *const Self) -> bool {
                // SAFETY: the caller's.
                unsafe { (*p).release.is_none() }
            }
        })*};
}
released!(ArrowSchema, ArrowArray);
