//! Types of the C ABI; their layouts are frozen. The constants are in `spec/types.txt`.

pub use super::types_gen::*;
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
/// A learning-rate schedule of an optimizer. Any thread may use it; steps of one optimizer must not overlap.
pub struct taper_schedule {
    _private: [u8; 0],
}
/// Tensors by name, in insertion order (a state dict). Any thread may use it.
pub struct taper_named_tensors {
    _private: [u8; 0],
}
/// What stops the threads that it is attached to. Any thread may use it.
pub struct taper_cancel_token {
    _private: [u8; 0],
}
/// An opened file of tensors. Any thread may use it.
pub struct taper_tensor_file {
    _private: [u8; 0],
}
/// A file being written. Any thread may use it, one at a time.
pub struct taper_file_writer {
    _private: [u8; 0],
}
/// An event file for TensorBoard. Any thread may use it.
pub struct taper_summary_writer {
    _private: [u8; 0],
}
/// Samples by number, or one after the other. Any thread may use it.
pub struct taper_dataset {
    _private: [u8; 0],
}
/// The order in which a loader takes samples. Any thread may use it.
pub struct taper_sampler {
    _private: [u8; 0],
}
/// What makes batches of a data set. Any thread may use it.
pub struct taper_data_loader {
    _private: [u8; 0],
}
/// A pass of a loader. Any thread may use it, one at a time.
pub struct taper_batches {
    _private: [u8; 0],
}
/// A line that says how far a loop is. Any thread may use it.
pub struct taper_progress {
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

/// A number with its category. Make one with taper_scalar_f64, taper_scalar_i64, taper_scalar_bool or
/// taper_scalar_complex.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct taper_scalar {
    /// TAPER_SCALAR_FLOAT, TAPER_SCALAR_INT, TAPER_SCALAR_BOOL or TAPER_SCALAR_COMPLEX.
    pub kind: i32,
    /// The value of an integer, 0 / 1 of a bool, or the bits of a complex number's imaginary part (a double).
    pub i: i64,
    /// The value of a float, or the real part of a complex number.
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

/// Frees what a callback's `user` pointer refers to.
pub type taper_drop_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;
