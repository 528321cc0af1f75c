//! Tensors: handles, what a tensor is, creation from the caller's memory, reading back.

use super::convert::{Call, TensorList};
use super::handle::{self, Kind};
use super::types::*;
use super::user::User;
use crate::autograd::{self, meta};
use crate::backend::storage::{HostOwner, Storage};
use crate::base::error::{ErrorKind, Result};
use crate::base::layout::{contiguous_strides, Dims, Layout};
use crate::tensor::Tensor;
use crate::{ensure, DType, Device};
use std::os::raw::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

/// `taper_tensor_ref`.
pub fn tensor_ref(t: &Tensor) -> Result<Tensor> {
    Ok(t.clone())
}

/// `taper_tensor_handle_count`.
pub fn tensor_handle_count() -> u64 {
    handle::count(Some(Kind::Tensor))
}

/// `taper_handle_count`.
pub fn handle_count() -> u64 {
    handle::count(None) - super::error::prepared() as u64
}

/// `taper_tensor_changes_address`.
pub fn tensor_changes_address() -> u64 {
    crate::tensor::changes() as *const std::sync::atomic::AtomicU64 as u64
}

/// `taper_tensor_id`.
pub fn tensor_id(t: &Tensor) -> u64 {
    t.id()
}

/// `taper_tensor_ndim`.
pub fn tensor_ndim(t: &Tensor) -> i64 {
    t.ndim() as i64
}

/// `taper_tensor_numel`.
pub fn tensor_numel(t: &Tensor) -> i64 {
    t.numel() as i64
}

/// `taper_tensor_size`.
pub fn tensor_size(t: &Tensor, dim: i64) -> Option<i64> {
    t.size(dim).ok()
}

/// `taper_tensor_dtype`.
pub fn tensor_dtype(t: &Tensor) -> i32 {
    t.dtype() as i32
}

/// `taper_tensor_device`.
pub fn tensor_device(t: &Tensor) -> taper_device {
    device_to_c(t.device())
}

/// A device as C sees it.
pub fn device_to_c(d: crate::Device) -> taper_device {
    taper_device { r#type: d.kind as i32, index: d.index as i32 }
}

/// `taper_tensor_storage_offset`.
pub fn tensor_storage_offset(t: &Tensor) -> i64 {
    t.body().layout().offset
}

/// `taper_tensor_storage_nbytes`.
pub fn tensor_storage_nbytes(t: &Tensor) -> i64 {
    t.storage().nbytes() as i64
}

/// `taper_tensor_storage_id`.
pub fn tensor_storage_id(t: &Tensor) -> u64 {
    Arc::as_ptr(&t.storage()) as usize as u64
}

/// `taper_tensor_is_contiguous`.
pub fn tensor_is_contiguous(t: &Tensor) -> i32 {
    t.is_contiguous() as i32
}

fn dims_to_c(dims: &[i64], buf: &mut [i64]) {
    let n = dims.len().min(buf.len());
    buf[..n].copy_from_slice(&dims[..n]);
}

/// `taper_tensor_sizes`.
pub fn tensor_sizes(t: &Tensor, buf: &mut [i64]) -> Result<usize> {
    let body = t.body();
    dims_to_c(body.shape(), buf);
    Ok(body.shape().len())
}

/// `taper_tensor_strides`.
pub fn tensor_strides(t: &Tensor, buf: &mut [i64]) -> Result<usize> {
    let body = t.body();
    dims_to_c(&body.layout().strides, buf);
    Ok(body.shape().len())
}

/// `taper_tensor_requires_grad`.
pub fn tensor_requires_grad(t: &Tensor) -> i32 {
    autograd::requires_grad(t) as i32
}

/// `taper_tensor_set_requires_grad`.
pub fn tensor_set_requires_grad(t: &Tensor, requires_grad: bool) -> Result<()> {
    autograd::set_requires_grad(t, requires_grad)
}

/// `taper_tensor_is_leaf`.
pub fn tensor_is_leaf(t: &Tensor) -> i32 {
    autograd::is_leaf(t) as i32
}

/// `taper_tensor_retains_grad`.
pub fn tensor_retains_grad(t: &Tensor) -> i32 {
    meta::retains_grad(t) as i32
}

/// `taper_tensor_grad`.
pub fn tensor_grad(t: &Tensor) -> Result<Option<Tensor>> {
    Ok(meta::grad(t))
}

/// `taper_tensor_set_grad`.
pub fn tensor_set_grad(t: &Tensor, grad: Option<&Tensor>) -> Result<()> {
    meta::set_grad(t, grad.cloned())
}

/// `taper_tensor_base`.
pub fn tensor_base(t: &Tensor) -> Result<Option<Tensor>> {
    Ok(autograd::view::base_of(t))
}

/// `taper_tensor_version`.
pub fn tensor_version(t: &Tensor) -> i64 {
    t.version() as i64
}

/// `taper_tensor_data`.
pub fn tensor_data(t: &Tensor) -> Result<*mut c_void> {
    Ok(host_data(t)? as *mut c_void)
}

/// Address of a CPU tensor's first element; marks the memory as shared.
pub fn host_data(t: &Tensor) -> Result<*mut u8> {
    let body = t.materialize();
    let Some(base) = body.storage().host_ptr() else {
        crate::bail!(
            Runtime,
            "the memory of a tensor on {} has no address on the host; copy it with taper_tensor_copy_to_host",
            body.device()
        );
    };
    body.storage().set_shared();
    Ok(base.as_ptr().wrapping_add(body.layout().offset as usize * body.dtype().size()))
}

/// Address of the first element in a device's memory; marks the memory as shared.
pub fn device_data(t: &Tensor) -> Result<u64> {
    let body = t.materialize();
    let base = crate::backend::get(body.device())?.address(body.storage())?;
    Ok(base + body.layout().offset as u64 * body.dtype().size() as u64)
}

/// `taper_tensor_item`.
pub fn tensor_item(t: &Tensor) -> Result<crate::Scalar> {
    t.item()
}

/// `taper_tensor_to_string`.
pub fn tensor_to_string(t: &Tensor) -> Result<String> {
    autograd::display::to_text(t)
}

/// `taper_tensor_copy_to_host`.
pub fn tensor_copy_to_host(t: &Tensor, buf: &mut [u8]) -> Result<()> {
    t.copy_to_host(buf)
}

/// `taper_tensor_set_data`.
pub fn tensor_set_data(t: &Tensor, src: &Tensor) -> Result<()> {
    meta::set_data(t, src)
}

/// `taper_tensor_from_data`.
///
/// # Safety
/// `data` is NULL or holds as many elements as the sizes say.
pub unsafe fn tensor_from_data(
    c: &Call,
    data: *const c_void,
    sizes: &[i64],
    dtype: DType,
    dev: Option<Device>,
) -> Result<Tensor> {
    let device = dev.unwrap_or_else(crate::base::settings::default_device);
    let nbytes = nbytes(sizes, dtype)?;
    // SAFETY: the caller's.
    let bytes = unsafe { c.slice(0, "data", data as *const u8, nbytes) }?;
    Tensor::from_bytes(bytes, sizes, dtype, device)
}

fn nbytes(sizes: &[i64], dtype: DType) -> Result<usize> {
    let n = crate::base::layout::checked_numel(sizes)?;
    match n.checked_mul(dtype.size()) {
        Some(b) if b <= isize::MAX as usize => Ok(b),
        _ => crate::bail!(Runtime, "Storage size calculation overflowed with sizes={sizes:?}"),
    }
}

/// Memory of the caller; the deleter inside runs when it is dropped.
struct Foreign(#[allow(dead_code)] User);
impl HostOwner for Foreign {}

/// `taper_tensor_from_buffer`.
///
/// # Safety
/// `data` holds as many elements as sizes and strides say, and strides is NULL or as long as sizes.
pub unsafe fn tensor_from_buffer(
    c: &Call,
    data: *mut c_void,
    sizes: &[i64],
    strides: *const i64,
    dtype: DType,
    user: User,
) -> Result<Tensor> {
    let strides: Dims = if strides.is_null() {
        contiguous_strides(sizes)
    } else {
        // SAFETY: the caller's.
        Dims::from_slice(unsafe { c.slice(2, "strides", strides, sizes.len()) }?)
    };
    nbytes(sizes, dtype)?;
    if strides.iter().any(|s| *s < 0) {
        let what = format!("negative strides are not supported, got {strides:?}");
        return Err(c.invalid(ErrorKind::Value, 2, "strides", what));
    }
    let layout = Layout { shape: Dims::from_slice(sizes), strides, offset: 0 };
    from_foreign(data as *mut u8, layout, dtype, Device::CPU, Box::new(Foreign(user)))
}

/// A tensor over memory of the CPU or of a CUDA device that `owner` keeps. The layout has no negative strides.
pub fn from_foreign(
    data: *mut u8,
    layout: Layout,
    dtype: DType,
    device: Device,
    owner: Box<dyn HostOwner>,
) -> Result<Tensor> {
    let mut last = 0i64;
    let mut empty = false;
    for (n, s) in layout.shape.iter().zip(&layout.strides) {
        empty |= *n == 0;
        last = (n - 1).checked_mul(*s).and_then(|x| last.checked_add(x)).unwrap_or(i64::MAX / 16);
    }
    let elements = if empty { 0 } else { last.saturating_add(1) };
    let nbytes = elements.checked_mul(dtype.size() as i64).filter(|b| *b < i64::MAX / 16);
    let Some(nbytes) = nbytes else {
        crate::bail!(Value, "sizes {:?} with strides {:?} reach beyond any memory", layout.shape, layout.strides)
    };
    let ptr = match NonNull::new(data) {
        Some(p) => p,
        None if nbytes == 0 => NonNull::<u64>::dangling().cast(),
        None => crate::bail!(Value, "the data pointer is NULL but the tensor has elements"),
    };
    ensure!(
        (ptr.as_ptr() as usize).is_multiple_of(dtype.size()),
        Value,
        "the data pointer {ptr:p} is not aligned for {dtype} elements of {} bytes; copy the data instead",
        dtype.size()
    );
    let storage = match device.kind {
        crate::base::device::DeviceType::Cpu => Storage::from_host(ptr, nbytes as usize, owner),
        _ => {
            // SAFETY: the memory is the device's by the caller's contract, and `owner` keeps it.
            let buffer = unsafe { crate::backend::get(device)?.adopt(data as u64, nbytes as usize, owner) }?;
            let storage = Storage::new(buffer, nbytes as usize, device);
            storage.set_shared();
            storage
        }
    };
    Tensor::from_storage(Arc::new(storage), layout, dtype)
}

/// `taper_dtype_name`.
pub fn dtype_name(dtype: i32) -> *const c_char {
    DType::from_code(dtype).map_or(std::ptr::null(), |d| d.name_c().as_ptr())
}

/// `taper_dtype_size`.
pub fn dtype_size(dtype: i32) -> usize {
    DType::from_code(dtype).map_or(0, DType::size)
}

/// `taper_get_default_dtype`.
pub fn get_default_dtype() -> i32 {
    crate::base::settings::default_dtype() as i32
}

/// `taper_set_default_dtype`.
pub fn set_default_dtype(dtype: DType) -> Result<()> {
    crate::base::settings::set_default_dtype(dtype)
}

/// `taper_tensor_list_new`.
pub fn tensor_list_new(tensors: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    Ok(tensors.to_vec())
}

/// `taper_tensor_list_len`.
pub fn tensor_list_len(l: &TensorList) -> usize {
    l.len()
}

/// `taper_tensor_list_get`.
pub fn tensor_list_get(c: &Call, l: &TensorList, i: usize) -> Result<Option<Tensor>> {
    match l.get(i) {
        Some(t) => Ok(t.clone()),
        None => {
            let what = format!("index {i} is out of range for a list of {} tensors", l.len());
            Err(c.invalid(ErrorKind::Index, 1, "i", what))
        }
    }
}
