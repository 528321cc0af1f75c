//! Tensors: handles, what a tensor is, creation from the caller's memory, reading back.

use super::convert::{free, getter, guard, object};
use super::handle::{self, Kind};
use super::types::*;
use super::user::User;
use crate::autograd::{self, meta};
use crate::backend::storage::{HostOwner, Storage};
use crate::base::error::ErrorKind;
use crate::base::layout::{contiguous_strides, Dims, Layout};
use crate::tensor::Tensor;
use crate::{ensure, DType, Device};
use std::os::raw::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

/// Makes another handle of the same tensor, owned by the caller. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_ref(t: *mut taper_tensor, out: *mut *mut taper_tensor) -> *mut taper_error {
    guard("tensor_ref", |c| {
        let out = c.out(1, "out", out)?;
        out.set(c.tensor(0, "t", t)?)
    })
}

/// Frees a handle; the tensor goes with its last handle and the last graph that needs it. Consumes t; NULL is fine.
/// Returns false when t was no live tensor handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_free(t: *mut taper_tensor) -> bool {
    free(t, Kind::Tensor)
}

/// Number of live tensor handles in the process; it walks the handle table. For tests of leaks. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_handle_count() -> u64 {
    handle::count(Some(Kind::Tensor))
}

/// Number of live handles of any type in the process; it walks the handle table. For tests of leaks. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_handle_count() -> u64 {
    handle::count(None) - super::error::prepared() as u64
}

#[inline]
fn get<R>(t: *const taper_tensor, bad: R, f: impl FnOnce(&Tensor) -> Option<R>) -> R {
    getter(bad, || f(&handle::tensor(t as usize).ok()?))
}

/// The tensor's identity: equal for two handles of one tensor, never used twice; 0 for a bad handle. Borrows t.
/// Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_id(t: *const taper_tensor) -> u64 {
    get(t, 0, |t| Some(t.id()))
}

/// Number of dimensions; -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_ndim(t: *const taper_tensor) -> i64 {
    get(t, -1, |t| Some(t.ndim() as i64))
}

/// Number of elements; -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_numel(t: *const taper_tensor) -> i64 {
    get(t, -1, |t| Some(t.numel() as i64))
}

/// Size of dimension dim, which may count from the end; -1 for a bad handle or dimension. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_size(t: *const taper_tensor, dim: i64) -> i64 {
    get(t, -1, |t| t.size(dim).ok())
}

/// The dtype's code; -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_dtype(t: *const taper_tensor) -> i32 {
    get(t, -1, |t| Some(t.dtype() as i32))
}

/// The device; type 0 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_device(t: *const taper_tensor) -> taper_device {
    get(t, taper_device { r#type: 0, index: 0 }, |t| Some(device_to_c(t.device())))
}

/// A device as C sees it.
pub fn device_to_c(d: crate::Device) -> taper_device {
    taper_device { r#type: d.kind as i32, index: d.index as i32 }
}

/// Position of the first element in the storage, in elements; -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_storage_offset(t: *const taper_tensor) -> i64 {
    get(t, -1, |t| Some(t.body().layout().offset))
}

/// Bytes in the storage that the tensor views; -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_storage_nbytes(t: *const taper_tensor) -> i64 {
    get(t, -1, |t| Some(t.storage().nbytes() as i64))
}

/// Identity of the storage: equal for tensors that share memory, until the storage is gone; 0 for a bad handle.
/// Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_storage_id(t: *const taper_tensor) -> u64 {
    get(t, 0, |t| Some(Arc::as_ptr(&t.storage()) as usize as u64))
}

/// 1 when elements lie row-major without gaps, 0 when not, -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_is_contiguous(t: *const taper_tensor) -> i32 {
    get(t, -1, |t| Some(t.is_contiguous() as i32))
}

fn dims_to_c(dims: &[i64], buf: &mut [i64]) {
    let n = dims.len().min(buf.len());
    buf[..n].copy_from_slice(&dims[..n]);
}

/// Writes the sizes into buf (as many as buf_len allows; NULL with 0 is fine) and the number of dimensions into ndim.
/// Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_sizes(
    t: *const taper_tensor,
    buf: *mut i64,
    buf_len: usize,
    ndim: *mut usize,
) -> *mut taper_error {
    guard("tensor_sizes", |c| {
        let ndim = c.out(2, "ndim", ndim)?;
        let t = c.tensor(0, "t", t as *mut _)?;
        let body = t.body();
        // SAFETY: the header says that buf is writable for buf_len elements.
        dims_to_c(body.shape(), unsafe { c.slice_mut(1, "buf", buf, buf_len) }?);
        ndim.set(body.shape().len())
    })
}

/// Writes the strides, in elements, into buf (as many as buf_len allows; NULL with 0 is fine) and the number of
/// dimensions into ndim. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_strides(
    t: *const taper_tensor,
    buf: *mut i64,
    buf_len: usize,
    ndim: *mut usize,
) -> *mut taper_error {
    guard("tensor_strides", |c| {
        let ndim = c.out(2, "ndim", ndim)?;
        let t = c.tensor(0, "t", t as *mut _)?;
        let body = t.body();
        // SAFETY: the header says that buf is writable for buf_len elements.
        dims_to_c(&body.layout().strides, unsafe { c.slice_mut(1, "buf", buf, buf_len) }?);
        ndim.set(body.shape().len())
    })
}

/// 1 when gradients flow through the tensor, 0 when not, -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_requires_grad(t: *const taper_tensor) -> i32 {
    get(t, -1, |t| Some(autograd::requires_grad(t) as i32))
}

/// Says whether a leaf wants a gradient; an error for tensors that a recorded op made, and for dtypes that are not
/// float. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_tensor_set_requires_grad(t: *mut taper_tensor, requires_grad: bool) -> *mut taper_error {
    guard("tensor_set_requires_grad", |c| autograd::set_requires_grad(&c.tensor(0, "t", t)?, requires_grad))
}

/// 1 when no recorded op made the tensor, 0 when one did, -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_is_leaf(t: *const taper_tensor) -> i32 {
    get(t, -1, |t| Some(autograd::is_leaf(t) as i32))
}

/// 1 when .grad of a non-leaf is kept, 0 when not, -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_retains_grad(t: *const taper_tensor) -> i32 {
    get(t, -1, |t| Some(meta::retains_grad(t) as i32))
}

/// The accumulated gradient as a new handle, owned by the caller; NULL when there is none. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_grad(t: *mut taper_tensor, out: *mut *mut taper_tensor) -> *mut taper_error {
    guard("tensor_grad", |c| {
        let out = c.out(1, "out", out)?;
        out.set(meta::grad(&c.tensor(0, "t", t)?))
    })
}

/// Replaces the gradient; NULL clears it. Borrows t and grad. Fails when grad's shape, dtype or device is not t's.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_tensor_set_grad(t: *mut taper_tensor, grad: *mut taper_tensor) -> *mut taper_error {
    guard("tensor_set_grad", |c| meta::set_grad(&c.tensor(0, "t", t)?, c.opt_tensor(1, "grad", grad)?))
}

/// The tensor that t is a view of, as a new handle, owned by the caller; NULL when autograd knows of none. Borrows t.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_base(t: *mut taper_tensor, out: *mut *mut taper_tensor) -> *mut taper_error {
    guard("tensor_base", |c| {
        let out = c.out(1, "out", out)?;
        out.set(autograd::view::base_of(&c.tensor(0, "t", t)?))
    })
}

/// Number of in-place writes so far, shared by views; -1 for a bad handle. Borrows t. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_version(t: *const taper_tensor) -> i64 {
    get(t, -1, |t| Some(t.version() as i64))
}

/// Pointer to the first element of a CPU tensor, valid while the tensor lives and keeps its memory; other devices are
/// an error. The memory counts as shared with the caller from now on: it is never reused. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_data(t: *mut taper_tensor, out: *mut *mut c_void) -> *mut taper_error {
    guard("tensor_data", |c| {
        let out = c.out(1, "out", out)?;
        let t = c.tensor(0, "t", t)?;
        out.set(host_data(&t)? as *mut c_void)
    })
}

/// Address of a CPU tensor's first element; marks the memory as shared.
pub fn host_data(t: &Tensor) -> crate::Result<*mut u8> {
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
pub fn device_data(t: &Tensor) -> crate::Result<u64> {
    let body = t.materialize();
    let base = crate::backend::get(body.device())?.address(body.storage())?;
    Ok(base + body.layout().offset as u64 * body.dtype().size() as u64)
}

/// The value of a tensor of one element; waits for the device. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_item(t: *mut taper_tensor, out: *mut taper_scalar) -> *mut taper_error {
    guard("tensor_item", |c| {
        let out = c.out(1, "out", out)?;
        out.set(c.tensor(0, "t", t)?.item()?)
    })
}

/// The tensor as PyTorch prints it, owned by the caller. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_to_string(t: *mut taper_tensor, out: *mut *mut taper_string) -> *mut taper_error {
    guard("tensor_to_string", |c| {
        let out = c.out(1, "out", out)?;
        out.set(autograd::display::to_text(&c.tensor(0, "t", t)?)?)
    })
}

/// Copies the elements row-major into buf, which must have exactly numel * element size bytes; any device and strides.
/// Waits for the device. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_copy_to_host(
    t: *mut taper_tensor,
    buf: *mut c_void,
    nbytes: usize,
) -> *mut taper_error {
    guard("tensor_copy_to_host", |c| {
        let t = c.tensor(0, "t", t)?;
        // SAFETY: the header says that buf is writable for nbytes bytes.
        t.copy_to_host(unsafe { c.slice_mut(1, "buf", buf as *mut u8, nbytes) }?)
    })
}

/// `t.data = src`: t takes over the memory, shape and dtype of src and keeps its identity. Borrows both. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_tensor_set_data(t: *mut taper_tensor, src: *mut taper_tensor) -> *mut taper_error {
    guard("tensor_set_data", |c| meta::set_data(&c.tensor(0, "t", t)?, &c.tensor(1, "src", src)?))
}

/// Makes a tensor with a copy of row-major data: numel * element size bytes. sizes has ndim elements (NULL with 0 makes
/// a tensor without dimensions). dtype is a code, dev a device (type 0: the default device). The result is owned by the
/// caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_from_data(
    data: *const c_void,
    sizes: *const i64,
    ndim: usize,
    dtype: i32,
    dev: taper_device,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    guard("tensor_from_data", |c| {
        let out = c.out(4, "out", out)?;
        // SAFETY: the header's contract.
        let sizes = unsafe { c.slice(1, "sizes", sizes, ndim) }?;
        let dtype = c.dtype(2, "dtype", dtype)?;
        let device = c.opt_device(3, "dev", dev)?.unwrap_or_else(crate::base::settings::default_device);
        let nbytes = nbytes(sizes, dtype)?;
        // SAFETY: the header says that data holds numel elements.
        let bytes = unsafe { c.slice(0, "data", data as *const u8, nbytes) }?;
        out.set(Tensor::from_bytes(bytes, sizes, dtype, device)?)
    })
}

fn nbytes(sizes: &[i64], dtype: DType) -> crate::Result<usize> {
    let n = crate::base::layout::checked_numel(sizes)?;
    match n.checked_mul(dtype.size()) {
        Some(b) if b <= isize::MAX as usize => Ok(b),
        _ => crate::bail!(Runtime, "Storage size calculation overflowed with sizes={sizes:?}"),
    }
}

/// Memory of the caller; the deleter inside runs when it is dropped.
struct Foreign(#[allow(dead_code)] User);
impl HostOwner for Foreign {}

/// Makes a CPU tensor over the caller's memory, without copying. strides count elements, not negative; NULL means
/// row-major. deleter (or NULL) is called with user exactly once: when the last tensor that uses the memory is
/// freed, on any thread, or before this function returns an error. data must be aligned for the dtype. The result is
/// owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_from_buffer(
    data: *mut c_void,
    sizes: *const i64,
    ndim: usize,
    strides: *const i64,
    dtype: i32,
    deleter: taper_drop_fn,
    user: *mut c_void,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    // First of all, so that every way out calls the deleter.
    let owner = User::new(user, deleter);
    guard("tensor_from_buffer", move |c| {
        let out = c.out(6, "out", out)?;
        // SAFETY: the header's contract.
        let sizes = unsafe { c.slice(1, "sizes", sizes, ndim) }?;
        let strides: Dims = if strides.is_null() {
            contiguous_strides(sizes)
        } else {
            // SAFETY: the header's contract.
            Dims::from_slice(unsafe { c.slice(2, "strides", strides, ndim) }?)
        };
        let dtype = c.dtype(3, "dtype", dtype)?;
        nbytes(sizes, dtype)?;
        if strides.iter().any(|s| *s < 0) {
            let what = format!("negative strides are not supported, got {strides:?}");
            return Err(c.invalid(ErrorKind::Value, 2, "strides", what));
        }
        let layout = Layout { shape: Dims::from_slice(sizes), strides, offset: 0 };
        out.set(from_foreign(data as *mut u8, layout, dtype, Device::CPU, Box::new(Foreign(owner)))?)
    })
}

/// A tensor over memory of the CPU or of a CUDA device that `owner` keeps. The layout has no negative strides.
pub fn from_foreign(
    data: *mut u8,
    layout: Layout,
    dtype: DType,
    device: Device,
    owner: Box<dyn HostOwner>,
) -> crate::Result<Tensor> {
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

/// A dtype's name, like "float32", never freed; NULL for an unknown code. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_dtype_name(dtype: i32) -> *const c_char {
    let name = match DType::from_code(dtype) {
        Ok(DType::U8) => c"uint8",
        Ok(DType::I8) => c"int8",
        Ok(DType::I16) => c"int16",
        Ok(DType::I32) => c"int32",
        Ok(DType::I64) => c"int64",
        Ok(DType::F16) => c"float16",
        Ok(DType::F32) => c"float32",
        Ok(DType::F64) => c"float64",
        Ok(DType::Bool) => c"bool",
        Ok(DType::BF16) => c"bfloat16",
        Err(_) => return std::ptr::null(),
    };
    name.as_ptr()
}

/// Bytes of one element; 0 for an unknown code. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_dtype_size(dtype: i32) -> usize {
    DType::from_code(dtype).map_or(0, DType::size)
}

/// The dtype of tensors made from floats when none is named. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_get_default_dtype() -> i32 {
    crate::base::settings::default_dtype() as i32
}

/// Sets the dtype of tensors made from floats when none is named; a float dtype. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_set_default_dtype(dtype: i32) -> *mut taper_error {
    guard("set_default_dtype", |c| crate::base::settings::set_default_dtype(c.dtype(0, "dtype", dtype)?))
}

/// Makes a list of tensors, for callbacks that return several: handles are borrowed, NULL elements stay NULL. The list is
/// owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_list_new(
    tensors: *const *mut taper_tensor,
    tensors_len: usize,
    out: *mut *mut taper_tensor_list,
) -> *mut taper_error {
    guard("tensor_list_new", |c| {
        let out = c.out(1, "out", out)?;
        // SAFETY: the header's contract.
        out.set(unsafe { c.opt_tensors(0, "tensors", tensors, tensors_len) }?.into_vec())
    })
}

/// Number of tensors in a list; 0 for a bad handle. Borrows l. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_list_len(l: *const taper_tensor_list) -> usize {
    getter(0, || object(l).ok().map(|l| l.len()))
}

/// Tensor i of a list as a new handle, owned by the caller; NULL where taper_grad found no gradient. Borrows l. Fails
/// when i is out of range. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_list_get(
    l: *const taper_tensor_list,
    i: usize,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    guard("tensor_list_get", |c| {
        let out = c.out(2, "out", out)?;
        let list = c.get(0, "l", l)?;
        match list.get(i) {
            Some(t) => out.set(t.clone()),
            None => {
                let what = format!("index {i} is out of range for a list of {} tensors", list.len());
                Err(c.invalid(ErrorKind::Index, 1, "i", what))
            }
        }
    })
}

/// Frees a list. Consumes l; NULL is fine; handles taken from it stay valid. Returns false when l was no live list.
/// Since 0.1.
#[no_mangle]
pub extern "C" fn taper_tensor_list_free(l: *mut taper_tensor_list) -> bool {
    free(l, Kind::TensorList)
}
