//! DLPack's structs, as its specification (1.x) lays them out.

use std::os::raw::c_void;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct DLPackVersion {
    pub major: u32,
    pub minor: u32,
}
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DLDevice {
    pub device_type: i32,
    pub device_id: i32,
}
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DLDataType {
    pub code: u8,
    pub bits: u8,
    pub lanes: u16,
}
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DLTensor {
    pub data: *mut c_void,
    pub device: DLDevice,
    pub ndim: i32,
    pub dtype: DLDataType,
    pub shape: *mut i64,
    /// NULL: row-major.
    pub strides: *mut i64,
    pub byte_offset: u64,
}
#[repr(C)]
pub struct DLManagedTensor {
    pub dl_tensor: DLTensor,
    pub manager_ctx: *mut c_void,
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensor)>,
}
#[repr(C)]
pub struct DLManagedTensorVersioned {
    pub version: DLPackVersion,
    pub manager_ctx: *mut c_void,
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensorVersioned)>,
    pub flags: u64,
    pub dl_tensor: DLTensor,
}

pub const CODE_INT: u8 = 0;
pub const CODE_UINT: u8 = 1;
pub const CODE_FLOAT: u8 = 2;
pub const CODE_BFLOAT: u8 = 4;
pub const CODE_COMPLEX: u8 = 5;
pub const CODE_BOOL: u8 = 6;
pub const FLAG_READ_ONLY: u64 = 1;
pub const DEVICE_CPU: i32 = 1;
pub const DEVICE_CUDA: i32 = 2;
/// Memory of a device that the host can address too.
pub const DEVICE_CUDA_MANAGED: i32 = 13;
/// Host memory that CUDA has pinned: host memory all the same.
pub const DEVICE_CUDA_HOST: i32 = 3;
