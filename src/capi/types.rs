//! Types and constants of the C ABI; their layouts and values are frozen.

use std::os::raw::c_void;

/// A tensor. Any thread may use it; writing to one tensor from two threads at once gives unspecified elements.
pub struct taper_tensor {
    _private: [u8; 0],
}
/// A list of tensors, as ops with several results return it. Immutable; any thread may use it.
pub struct taper_tensor_list {
    _private: [u8; 0],
}
/// What went wrong. Immutable; any thread may read it.
pub struct taper_error {
    _private: [u8; 0],
}
/// A string that the library made. Immutable; any thread may use it.
pub struct taper_string {
    _private: [u8; 0],
}
/// A random generator. Any thread may use it; draws are serialised.
pub struct taper_generator {
    _private: [u8; 0],
}
/// A recorded sequence of a device's work. Any thread may use it; replays follow one another.
pub struct taper_graph {
    _private: [u8; 0],
}
/// A point in a device's queue. Any thread may use it.
pub struct taper_event {
    _private: [u8; 0],
}
/// A node of the autograd graph: the backward of one op. Immutable; any thread may use it.
pub struct taper_node {
    _private: [u8; 0],
}
/// What a custom function's forward leaves for its backward. Valid during the callback only.
pub struct taper_function_ctx {
    _private: [u8; 0],
}
/// A module of the tree. Any thread may use it; forward and changes of one module must not overlap.
pub struct taper_module {
    _private: [u8; 0],
}
/// An optimizer. Any thread may use it, one at a time.
pub struct taper_optimizer {
    _private: [u8; 0],
}
/// Tensors by name, in insertion order (a state dict). Any thread may use it.
pub struct taper_named_tensors {
    _private: [u8; 0],
}
/// A file being written. Any thread may use it, one at a time.
pub struct taper_file_writer {
    _private: [u8; 0],
}

/// Where a tensor lives: a TAPER_DEVICE_... type and an index. Type 0 means none where a device is optional.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct taper_device {
    /// TAPER_DEVICE_CPU, TAPER_DEVICE_CUDA, TAPER_DEVICE_OPENCL (DLPack's numbers), or 0 for none.
    pub r#type: i32,
    /// 0 for the first device of its type.
    pub index: i32,
}

/// A number with its category. Make one with taper_scalar_f64, taper_scalar_i64 or taper_scalar_bool.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct taper_scalar {
    /// TAPER_SCALAR_FLOAT, TAPER_SCALAR_INT or TAPER_SCALAR_BOOL.
    pub kind: i32,
    /// The value of an integer, or 0 / 1 of a bool.
    pub i: i64,
    /// The value of a float.
    pub f: f64,
}

/// One part of an index expression.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct taper_index_item {
    /// TAPER_INDEX_INT and so on.
    pub kind: i32,
    /// The integer of TAPER_INDEX_INT, 0 / 1 of TAPER_INDEX_BOOL, the first index of TAPER_INDEX_SLICE
    /// (TAPER_INDEX_ABSENT = from the beginning).
    pub start: i64,
    /// End of TAPER_INDEX_SLICE, exclusive (TAPER_INDEX_ABSENT = to the end).
    pub stop: i64,
    /// Step of TAPER_INDEX_SLICE, positive.
    pub step: i64,
    /// Indices or mask of TAPER_INDEX_TENSOR; borrowed.
    pub tensor: *mut taper_tensor,
}

/// Version of this ABI: a program built with one version runs with every library of the same version.
pub const TAPER_ABI_VERSION: u32 = 1;

pub const TAPER_DEVICE_CPU: i32 = 1;
pub const TAPER_DEVICE_CUDA: i32 = 2;
pub const TAPER_DEVICE_OPENCL: i32 = 4;

pub const TAPER_SCALAR_FLOAT: i32 = 0;
pub const TAPER_SCALAR_INT: i32 = 1;
pub const TAPER_SCALAR_BOOL: i32 = 2;

/// What taper_module_attribute found.
pub const TAPER_ATTRIBUTE_NONE: i32 = 0;
pub const TAPER_ATTRIBUTE_BOOL: i32 = 1;
pub const TAPER_ATTRIBUTE_INT: i32 = 2;
pub const TAPER_ATTRIBUTE_FLOAT: i32 = 3;
pub const TAPER_ATTRIBUTE_TEXT: i32 = 4;
pub const TAPER_ATTRIBUTE_INTS: i32 = 5;
pub const TAPER_ATTRIBUTE_FLOATS: i32 = 6;

/// dtype codes: PyTorch's numbers.
pub const TAPER_UINT8: i32 = 0;
pub const TAPER_INT8: i32 = 1;
pub const TAPER_INT16: i32 = 2;
pub const TAPER_INT32: i32 = 3;
pub const TAPER_INT64: i32 = 4;
pub const TAPER_FLOAT16: i32 = 5;
pub const TAPER_FLOAT32: i32 = 6;
pub const TAPER_FLOAT64: i32 = 7;
pub const TAPER_BOOL: i32 = 11;
pub const TAPER_BFLOAT16: i32 = 15;
/// No dtype, where one is optional.
pub const TAPER_DTYPE_NONE: i32 = -1;

pub const TAPER_INDEX_INT: i32 = 0;
pub const TAPER_INDEX_SLICE: i32 = 1;
pub const TAPER_INDEX_NEWAXIS: i32 = 2;
pub const TAPER_INDEX_ELLIPSIS: i32 = 3;
pub const TAPER_INDEX_TENSOR: i32 = 4;
pub const TAPER_INDEX_BOOL: i32 = 5;

/// Error codes: what taper_error_code returns. Shapes that do not match, a freed graph, a wrong device.
pub const TAPER_ERROR_RUNTIME: i32 = 1;
/// An index out of range.
pub const TAPER_ERROR_INDEX: i32 = 2;
/// A wrong dtype or kind of argument.
pub const TAPER_ERROR_TYPE: i32 = 3;
/// A value out of its domain.
pub const TAPER_ERROR_VALUE: i32 = 4;
/// Memory could not be allocated.
pub const TAPER_ERROR_OUT_OF_MEMORY: i32 = 5;
/// The device has no kernel for this op and dtype.
pub const TAPER_ERROR_NOT_IMPLEMENTED: i32 = 6;
/// A NULL, freed, foreign or wrong-kind handle.
pub const TAPER_ERROR_INVALID_HANDLE: i32 = 7;
/// A file could not be read, written or understood.
pub const TAPER_ERROR_IO: i32 = 8;
/// A callback failed.
pub const TAPER_ERROR_CALLBACK: i32 = 9;
/// A bug in Taper.
pub const TAPER_ERROR_INTERNAL: i32 = 10;
/// A key or name that is not there.
pub const TAPER_ERROR_KEY: i32 = 11;

/// Frees what a callback's `user` pointer refers to.
pub type taper_drop_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;
