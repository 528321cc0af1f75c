//! DLPack: tensors to and from other libraries without copying.

use super::convert::guard;
use super::dlpack_types::*;
use super::tensor::{device_data, from_foreign, host_data};
use super::types::*;
use crate::autograd;
use crate::backend::storage::HostOwner;
use crate::base::device::DeviceType;
use crate::base::layout::{contiguous_strides, Dims, Layout};
use crate::tensor::Tensor;
use crate::{bail, ensure, DType, Device, Result};
use std::os::raw::c_void;

/// Exports a tensor of the CPU or of a CUDA device without copying; *out is a new DLManagedTensorVersioned of DLPack 1.0,
/// whose deleter the receiver calls once, on any thread; it keeps the memory alive, also after t is freed. On CUDA call
/// taper_tensor_ready_on first, with the stream that the receiver works on. Fails for a tensor that requires grad and for
/// OpenCL. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_to_dlpack(
    t: *mut taper_tensor,
    out: *mut *mut DLManagedTensorVersioned,
) -> *mut taper_error {
    guard("tensor_to_dlpack", |c| {
        let out = c.out(1, "out", out)?;
        let export = Box::new(Export::new(c.tensor(0, "t", t)?)?);
        let dl_tensor = export.dl_tensor();
        let manager_ctx = Box::into_raw(export) as *mut c_void;
        out.set(Box::into_raw(Box::new(DLManagedTensorVersioned {
            version: DLPackVersion { major: 1, minor: 0 },
            manager_ctx,
            deleter: Some(delete_versioned),
            flags: 0,
            dl_tensor,
        })))
    })
}

/// Exports a tensor in the form before DLPack 1.0 (Python capsules named "dltensor"); otherwise like
/// taper_tensor_to_dlpack. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_to_dlpack_legacy(
    t: *mut taper_tensor,
    out: *mut *mut DLManagedTensor,
) -> *mut taper_error {
    guard("tensor_to_dlpack_legacy", |c| {
        let out = c.out(1, "out", out)?;
        let export = Box::new(Export::new(c.tensor(0, "t", t)?)?);
        let dl_tensor = export.dl_tensor();
        let manager_ctx = Box::into_raw(export) as *mut c_void;
        out.set(Box::into_raw(Box::new(DLManagedTensor { dl_tensor, manager_ctx, deleter: Some(delete_legacy) })))
    })
}

/// Makes a tensor over another library's memory, without copying (memory marked read-only is copied). On CUDA what the
/// other library has queued on the memory must be done, or this thread's stream (taper_device_get_stream) must have been
/// made to wait for it. Consumes d: its deleter is called exactly once, when the last tensor that uses the memory is
/// freed and a device has done what was queued on it, or before this function returns an error. The result is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_from_dlpack(
    d: *mut DLManagedTensorVersioned,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    let owner = VersionedOwner(d);
    guard("tensor_from_dlpack", move |c| {
        let out = c.out(1, "out", out)?;
        c.non_null(0, "d", d as *const c_void)?;
        // SAFETY: not NULL, so a struct of DLPack by the header's contract; the version comes first in every version.
        let version = unsafe { (*d).version };
        ensure!(
            version.major == 1,
            Runtime,
            "the tensor comes in DLPack version {}.{}, but this library understands version 1",
            version.major,
            version.minor
        );
        // SAFETY: as above, and the major version says that the layout is ours.
        let (dl, flags) = unsafe { ((*d).dl_tensor, (*d).flags) };
        // SAFETY: a tensor of DLPack by contract.
        out.set(unsafe { import(&dl, flags & FLAG_READ_ONLY != 0, Box::new(owner)) }?)
    })
}

/// Like taper_tensor_from_dlpack, from the form before DLPack 1.0. Consumes d. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_from_dlpack_legacy(
    d: *mut DLManagedTensor,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    let owner = LegacyOwner(d);
    guard("tensor_from_dlpack_legacy", move |c| {
        let out = c.out(1, "out", out)?;
        c.non_null(0, "d", d as *const c_void)?;
        // SAFETY: not NULL, so a struct of DLPack by the header's contract.
        let dl = unsafe { (*d).dl_tensor };
        // SAFETY: a tensor of DLPack by contract.
        out.set(unsafe { import(&dl, false, Box::new(owner)) }?)
    })
}

/// An exported tensor with the arrays that its DLTensor points to.
struct Export {
    #[allow(dead_code)] // keeps the memory
    tensor: Tensor,
    data: *mut u8,
    device: DLDevice,
    dtype: DLDataType,
    shape: Vec<i64>,
    strides: Vec<i64>,
}
impl Export {
    fn new(t: Tensor) -> Result<Export> {
        ensure!(
            !autograd::requires_grad(&t),
            Runtime,
            "Can't export tensors that require gradient, use tensor.detach()"
        );
        // Its own handle on the memory: `.data =` on the original must not pull it away.
        let t = t.alias_same();
        let place = t.device();
        let (data, device_type) = match place.kind {
            DeviceType::Cuda => (device_data(&t)? as *mut u8, DEVICE_CUDA),
            _ => (host_data(&t)?, DEVICE_CPU),
        };
        let layout = t.layout();
        Ok(Export {
            data,
            device: DLDevice { device_type, device_id: place.index as i32 },
            dtype: dtype_to_dl(t.dtype()),
            shape: layout.shape.to_vec(),
            strides: layout.strides.to_vec(),
            tensor: t,
        })
    }
    fn dl_tensor(&self) -> DLTensor {
        DLTensor {
            data: self.data as *mut c_void,
            device: self.device,
            ndim: self.shape.len() as i32,
            dtype: self.dtype,
            shape: self.shape.as_ptr() as *mut i64,
            strides: self.strides.as_ptr() as *mut i64,
            byte_offset: 0,
        }
    }
}

unsafe extern "C" fn delete_versioned(d: *mut DLManagedTensorVersioned) {
    if !d.is_null() {
        // SAFETY: made by taper_tensor_to_dlpack; the receiver calls this once.
        super::convert::getter((), || unsafe {
            drop(Box::from_raw((*d).manager_ctx as *mut Export));
            drop(Box::from_raw(d));
            Some(())
        });
    }
}
unsafe extern "C" fn delete_legacy(d: *mut DLManagedTensor) {
    if !d.is_null() {
        // SAFETY: made by taper_tensor_to_dlpack_legacy; the receiver calls this once.
        super::convert::getter((), || unsafe {
            drop(Box::from_raw((*d).manager_ctx as *mut Export));
            drop(Box::from_raw(d));
            Some(())
        });
    }
}

struct VersionedOwner(*mut DLManagedTensorVersioned);
struct LegacyOwner(*mut DLManagedTensor);
macro_rules! owner {
    ($t:ty) => {
        // SAFETY: DLPack lets any thread call a deleter; nothing else of the struct is used after the import.
        unsafe impl Send for $t {}
        unsafe impl Sync for $t {}
        impl HostOwner for $t {}
        impl Drop for $t {
            fn drop(&mut self) {
                if self.0.is_null() {
                    return;
                }
                // SAFETY: the struct is ours since the import, and this is the one call of its deleter.
                unsafe {
                    if let Some(f) = (*self.0).deleter {
                        f(self.0)
                    }
                }
            }
        }
    };
}
owner!(VersionedOwner);
owner!(LegacyOwner);

/// # Safety
/// `dl` is a valid tensor of DLPack whose memory lives until `owner` is dropped.
unsafe fn import(dl: &DLTensor, copy: bool, owner: Box<dyn HostOwner>) -> Result<Tensor> {
    let device = match dl.device.device_type {
        DEVICE_CPU | DEVICE_CUDA_HOST => Device::CPU,
        DEVICE_CUDA | DEVICE_CUDA_MANAGED => {
            let index = u16::try_from(dl.device.device_id);
            let Ok(index) = index else { bail!(Value, "DLPack tensor on CUDA device {}", dl.device.device_id) };
            Device { kind: DeviceType::Cuda, index }
        }
        other => {
            bail!(Runtime, "DLPack import of device type {other} is not supported; copy the tensor to the CPU first")
        }
    };
    let dtype = dtype_from_dl(dl.dtype)?;
    ensure!(dl.ndim >= 0, Value, "DLPack tensor with {} dimensions", dl.ndim);
    let ndim = dl.ndim as usize;
    crate::base::layout::check_rank(ndim)?;
    ensure!(ndim == 0 || !dl.shape.is_null(), Value, "DLPack tensor of {ndim} dimensions without a shape");
    let shape = if ndim == 0 {
        Dims::new()
    } else {
        // SAFETY: DLPack: shape has ndim elements.
        Dims::from_slice(unsafe { std::slice::from_raw_parts(dl.shape, ndim) })
    };
    crate::base::layout::checked_numel(&shape)?;
    let strides = if ndim == 0 || dl.strides.is_null() {
        contiguous_strides(&shape)
    } else {
        // SAFETY: DLPack: strides has ndim elements.
        Dims::from_slice(unsafe { std::slice::from_raw_parts(dl.strides, ndim) })
    };
    ensure!(
        shape.iter().zip(&strides).all(|(n, s)| *n <= 1 || *s >= 0),
        Value,
        "tensors with negative strides {:?} are not supported; copy it first",
        &strides[..]
    );
    // The stride of a dimension of size 0 or 1 means nothing and may be anything.
    let strides = shape.iter().zip(strides).map(|(n, s)| if *n <= 1 { s.clamp(0, 1) } else { s }).collect();
    let data = (dl.data as *mut u8).wrapping_add(if dl.data.is_null() { 0 } else { dl.byte_offset as usize });
    let t = from_foreign(data, Layout { shape, strides, offset: 0 }, dtype, device, owner)?;
    if copy {
        return t.contiguous_copy();
    }
    Ok(t)
}

fn dtype_to_dl(d: DType) -> DLDataType {
    let code = match d {
        DType::Bool => CODE_BOOL,
        DType::U8 => CODE_UINT,
        DType::BF16 => CODE_BFLOAT,
        d if d.is_float() => CODE_FLOAT,
        _ => CODE_INT,
    };
    DLDataType { code, bits: d.size() as u8 * 8, lanes: 1 }
}
fn dtype_from_dl(d: DLDataType) -> Result<DType> {
    match DType::ALL.into_iter().find(|t| dtype_to_dl(*t) == d) {
        Some(t) => Ok(t),
        None => bail!(
            Type,
            "DLPack dtype (code {}, {} bits, {} lanes) is not supported; supported are {}",
            d.code,
            d.bits,
            d.lanes,
            DType::ALL.map(|t| t.name()).join(", ")
        ),
    }
}
