//! DLPack: tensors to and from other libraries without copying.

use super::convert::Call;
use super::dlpack_types::*;
use super::tensor::{device_data, from_foreign, host_data};
use crate::autograd;
use crate::backend::storage::HostOwner;
use crate::base::device::DeviceType;
use crate::base::layout::{contiguous_strides, Dims, Layout};
use crate::tensor::Tensor;
use crate::{bail, ensure, DType, Device, Result};
use std::os::raw::c_void;

/// `taper_tensor_to_dlpack`.
pub fn tensor_to_dlpack(t: &Tensor) -> Result<*mut DLManagedTensorVersioned> {
    let export = Box::new(Export::new(t.clone())?);
    let dl_tensor = export.dl_tensor();
    let manager_ctx = Box::into_raw(export) as *mut c_void;
    Ok(Box::into_raw(Box::new(DLManagedTensorVersioned {
        version: DLPackVersion { major: 1, minor: 0 },
        manager_ctx,
        deleter: Some(delete_versioned),
        flags: 0,
        dl_tensor,
    })))
}

/// `taper_tensor_to_dlpack_legacy`.
pub fn tensor_to_dlpack_legacy(t: &Tensor) -> Result<*mut DLManagedTensor> {
    let export = Box::new(Export::new(t.clone())?);
    let dl_tensor = export.dl_tensor();
    let manager_ctx = Box::into_raw(export) as *mut c_void;
    Ok(Box::into_raw(Box::new(DLManagedTensor { dl_tensor, manager_ctx, deleter: Some(delete_legacy) })))
}

/// `taper_tensor_from_dlpack`.
///
/// # Safety
/// `d` is NULL or a struct of DLPack.
pub unsafe fn tensor_from_dlpack(c: &Call, d: VersionedOwner) -> Result<Tensor> {
    c.non_null(0, "d", d.0 as *const c_void)?;
    // SAFETY: not NULL, so a struct of DLPack by contract; the version comes first in every version.
    let version = unsafe { (*d.0).version };
    ensure!(
        version.major == 1,
        Runtime,
        "the tensor comes in DLPack version {}.{}, but this library understands version 1",
        version.major,
        version.minor
    );
    // SAFETY: as above, and the major version says that the layout is ours.
    let (dl, flags) = unsafe { ((*d.0).dl_tensor, (*d.0).flags) };
    // SAFETY: a tensor of DLPack by contract.
    unsafe { import(&dl, flags & FLAG_READ_ONLY != 0, Box::new(d)) }
}

/// `taper_tensor_from_dlpack_legacy`.
///
/// # Safety
/// As for `tensor_from_dlpack`.
pub unsafe fn tensor_from_dlpack_legacy(c: &Call, d: LegacyOwner) -> Result<Tensor> {
    c.non_null(0, "d", d.0 as *const c_void)?;
    // SAFETY: not NULL, so a struct of DLPack by contract.
    let dl = unsafe { (*d.0).dl_tensor };
    // SAFETY: a tensor of DLPack by contract.
    unsafe { import(&dl, false, Box::new(d)) }
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

pub struct VersionedOwner(pub *mut DLManagedTensorVersioned);
pub struct LegacyOwner(pub *mut DLManagedTensor);
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
    let offset = if dl.data.is_null() { 0 } else { dl.byte_offset };
    ensure!(
        (dl.data as u64).checked_add(offset).is_some_and(|end| end <= isize::MAX as u64),
        Value,
        "DLPack tensor with a byte_offset of {offset}, which leads out of memory"
    );
    let data = (dl.data as *mut u8).wrapping_add(offset as usize);
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
        d if d.is_complex() => CODE_COMPLEX,
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
