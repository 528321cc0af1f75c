//! What every C function does first and last: arguments from C, results to C, errors and panics into error handles.

use super::arguments;
use super::error_box::into_handle;
use super::handle::{self, Fault, Kind, Object};
pub use super::objects::*;
use super::panics::caught;
pub use super::panics::getter;
use super::types::*;
use crate::backend::memory;
use crate::base::error::{Error, ErrorKind, Result};
use crate::gate;
use crate::rng::Generator;
use crate::tensor::Tensor;
use crate::watch;
use crate::{DType, Device, Scalar};
use smallvec::SmallVec;
use std::ffi::CStr;
use std::os::raw::{c_char, c_void};
use std::sync::Arc;

/// The body of a fallible C function: NULL, or an error handle that names the op.
#[inline]
pub fn guard(op: &'static str, f: impl FnOnce(&Call) -> Result<()>) -> *mut taper_error {
    let mut f = Some(f);
    run(op, &mut |call| f.take().map_or(Ok(()), |f| f(call)))
}

/// What is the same for every function stands here once: inlined, it was most of each.
#[inline(never)]
fn run(op: &'static str, f: &mut dyn FnMut(&Call) -> Result<()>) -> *mut taper_error {
    let word = watch::word();
    let call = Call { op, word };
    let _span = (word & watch::PROFILE != 0 && !op.starts_with("profiler_")).then(|| watch::profile::call(op));
    if memory::is_low() {
        if let Some(e) = refuse(op) {
            return into_handle(e.with_op(op));
        }
    }
    match caught(|| f(&call)) {
        Ok(Ok(())) => std::ptr::null_mut(),
        Ok(Err(e)) | Err(e) => failed(op, e),
    }
}

#[cold]
#[inline(never)]
fn failed(op: &'static str, mut e: Error) -> *mut taper_error {
    // What came through from another function has its argument, or none, from there.
    if e.op.is_none() {
        e.arg = arguments::at_fault(op, &e);
    }
    into_handle(e.with_op(op))
}

/// Calls that give memory back, or only look: they work whatever memory is left.
const ALWAYS: [&str; 9] = [
    "scope_end",
    "scope_keep",
    "memory_empty_cache",
    "memory_stats",
    "memory_get_info",
    "memory_reset_peak",
    "synchronize",
    "optimizer_zero_grad",
    "module_zero_grad",
];

/// The error of a call that would make something while memory has run out, before it does anything.
#[cold]
fn refuse(op: &str) -> Option<Error> {
    if ALWAYS.contains(&op) {
        return None;
    }
    // The out-of-memory hook, a callback, is asked in here.
    match caught(memory::check) {
        Ok(r) => r.err(),
        Err(e) => Some(e),
    }
}

/// One call from C: knows the op's name and makes the messages of bad arguments.
pub struct Call {
    pub op: &'static str,
    /// What looks on at this thread when the call begins.
    pub word: u32,
}

impl Call {
    /// Whether something looks on, so that the op has to go through the gate.
    #[inline]
    pub fn is_gated(&self) -> bool {
        self.word & watch::GATED != 0
    }
    /// The gate before op number `id` of the table; it may replace the tensors.
    #[cold]
    #[inline(never)]
    pub fn gate(&self, id: u16, tensors: &mut [gate::Slot]) -> Result<()> {
        gate::before(gate::OpId(id), tensors)
    }

    #[cold]
    fn bad(&self, kind: ErrorKind, index: usize, name: &str, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{}(): argument '{name}' (position {}): {what}", self.op, index + 1)).with_arg(index)
    }
    #[cold]
    fn fault(&self, index: usize, name: &str, wanted: Kind, bits: usize, fault: Fault) -> Error {
        let some = |kind: Kind| {
            let name = kind.name();
            format!("{} {name}", if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
        };
        let what = match fault {
            Fault::Null => format!("expected {} handle, got NULL", some(wanted)),
            Fault::Foreign => {
                format!("expected {} handle, got {bits:#x}, which is no handle of this library", some(wanted))
            }
            Fault::WrongKind(kind) => format!("expected {} handle, got {} handle", some(wanted), some(kind)),
            Fault::Stale => format!("this {} handle ({bits:#x}) has been freed", wanted.name()),
        };
        self.bad(ErrorKind::InvalidHandle, index, name, what)
    }

    /// A required handle of any type.
    #[inline]
    pub fn get<T: HandleType>(&self, index: usize, name: &str, h: *const T) -> Result<T::Object> {
        object(h).map_err(|f| self.fault(index, name, T::KIND, h as usize, f))
    }
    /// An optional handle: NULL is None.
    #[inline]
    pub fn opt_get<T: HandleType>(&self, index: usize, name: &str, h: *const T) -> Result<Option<T::Object>> {
        if h.is_null() {
            return Ok(None);
        }
        self.get(index, name, h).map(Some)
    }
    /// Takes ownership of a handle's object: the handle is freed, also when a later check of the call fails.
    pub fn consume<T: HandleType>(&self, index: usize, name: &str, h: *mut T) -> Result<T::Object> {
        let o = self.get(index, name, h as *const T)?;
        drop(handle::remove(h as usize, T::KIND));
        Ok(o)
    }
    #[inline]
    pub fn tensor(&self, index: usize, name: &str, h: *mut taper_tensor) -> Result<Tensor> {
        handle::tensor(h as usize).map_err(|f| self.fault(index, name, Kind::Tensor, h as usize, f))
    }
    /// A tensor's handle itself, alive at this moment.
    pub fn tensor_handle(&self, index: usize, name: &str, h: *mut taper_tensor) -> Result<usize> {
        self.tensor(index, name, h).map(|_| h as usize)
    }
    #[inline]
    pub fn opt_tensor(&self, index: usize, name: &str, h: *mut taper_tensor) -> Result<Option<Tensor>> {
        if h.is_null() {
            return Ok(None);
        }
        self.tensor(index, name, h).map(Some)
    }
    pub fn opt_generator(&self, index: usize, name: &str, h: *mut taper_generator) -> Result<Option<Generator>> {
        self.opt_get(index, name, h)
    }

    /// An array of any plain type: NULL is allowed with length 0 only.
    ///
    /// # Safety
    /// `p` is NULL, misaligned, or readable for `len` elements while the result is used; the other cases are errors.
    #[inline]
    pub unsafe fn slice<'a, T: Copy>(&'a self, index: usize, name: &str, p: *const T, len: usize) -> Result<&'a [T]> {
        self.check_array(index, name, p, len)?;
        if len == 0 {
            return Ok(&[]);
        }
        // SAFETY: checked above as far as possible; the rest is this function's contract.
        Ok(unsafe { std::slice::from_raw_parts(p, len) })
    }
    /// A caller's buffer to write to: NULL is allowed with length 0 only.
    ///
    /// # Safety
    /// `p` is NULL, misaligned, or writable for `len` elements while the result is used; nothing else refers to it.
    #[inline]
    #[allow(clippy::mut_from_ref)] // the memory is the caller's, not self's
    pub unsafe fn slice_mut<'a, T: Copy>(
        &'a self,
        index: usize,
        name: &str,
        p: *mut T,
        len: usize,
    ) -> Result<&'a mut [T]> {
        self.check_array(index, name, p, len)?;
        if len == 0 {
            return Ok(&mut []);
        }
        // SAFETY: checked above; the rest is this function's contract.
        Ok(unsafe { std::slice::from_raw_parts_mut(p, len) })
    }
    #[inline]
    fn check_array<T>(&self, index: usize, name: &str, p: *const T, len: usize) -> Result<()> {
        let limit = isize::MAX as usize / std::mem::size_of::<T>().max(1) / 2;
        if len != 0 && (p.is_null() || !p.is_aligned() || len > limit) {
            return Err(self.bad_slice(index, name, p as usize, len, limit));
        }
        Ok(())
    }
    #[cold]
    fn bad_slice(&self, index: usize, name: &str, p: usize, len: usize, limit: usize) -> Error {
        let what = if p == 0 {
            format!("the array is NULL but its length is {len}")
        } else if len > limit {
            format!("an array of {len} elements cannot exist")
        } else {
            format!("the array at {p:#x} is not aligned for its elements")
        };
        self.bad(ErrorKind::Value, index, name, what)
    }
    /// An optional array: a NULL pointer is None.
    ///
    /// # Safety
    /// As for `slice`.
    #[inline]
    pub unsafe fn opt_slice<'a, T: Copy>(
        &'a self,
        index: usize,
        name: &str,
        p: *const T,
        len: usize,
    ) -> Result<Option<&'a [T]>> {
        if p.is_null() && len == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's.
        unsafe { self.slice(index, name, p, len) }.map(Some)
    }
    /// An array of tensor handles.
    ///
    /// # Safety
    /// As for `slice`.
    pub unsafe fn tensors(
        &self,
        index: usize,
        name: &str,
        p: *const *mut taper_tensor,
        len: usize,
    ) -> Result<SmallVec<[Tensor; 8]>> {
        // SAFETY: the caller's.
        let handles = unsafe { self.slice(index, name, p, len) }?;
        let mut list = SmallVec::new();
        memory::reserve_small(&mut list, handles.len())?;
        for (i, h) in handles.iter().enumerate() {
            list.push(self.element(index, name, i, *h)?);
        }
        Ok(list)
    }
    /// An array of tensor handles with NULL for none.
    ///
    /// # Safety
    /// As for `slice`.
    pub unsafe fn opt_tensors(
        &self,
        index: usize,
        name: &str,
        p: *const *mut taper_tensor,
        len: usize,
    ) -> Result<SmallVec<[Option<Tensor>; 8]>> {
        // SAFETY: the caller's.
        let handles = unsafe { self.slice(index, name, p, len) }?;
        let one = |(i, h): (usize, &*mut taper_tensor)| {
            if h.is_null() {
                Ok(None)
            } else {
                self.element(index, name, i, *h).map(Some)
            }
        };
        let mut list = SmallVec::new();
        memory::reserve_small(&mut list, handles.len())?;
        for h in handles.iter().enumerate() {
            list.push(one(h)?);
        }
        Ok(list)
    }
    /// An array of handles of any type.
    ///
    /// # Safety
    /// As for `slice`.
    pub unsafe fn objects<T: HandleType>(
        &self,
        index: usize,
        name: &str,
        p: *const *mut T,
        len: usize,
    ) -> Result<SmallVec<[T::Object; 8]>> {
        // SAFETY: the caller's.
        let handles = unsafe { self.slice(index, name, p, len) }?;
        let mut list = SmallVec::new();
        memory::reserve_small(&mut list, handles.len())?;
        for (i, h) in handles.iter().enumerate() {
            list.push(self.get(index, &format!("{name}[{i}]"), *h as *const T)?);
        }
        Ok(list)
    }
    #[inline]
    fn element(&self, index: usize, name: &str, i: usize, h: *mut taper_tensor) -> Result<Tensor> {
        handle::tensor(h as usize).map_err(|f| self.fault(index, &format!("{name}[{i}]"), Kind::Tensor, h as usize, f))
    }

    /// An optional plain value: NULL is None.
    ///
    /// # Safety
    /// `p` is NULL or readable.
    #[inline]
    pub unsafe fn opt<T: Plain>(&self, index: usize, name: &str, p: *const T) -> Result<Option<T>> {
        if p.is_null() {
            return Ok(None);
        }
        // SAFETY: not NULL, so readable by contract; T::load accepts any alignment and any bytes.
        unsafe { T::load(p) }.map(Some).map_err(|what| self.bad(ErrorKind::Value, index, name, what))
    }
    #[inline]
    pub fn scalar(&self, index: usize, name: &str, s: taper_scalar) -> Result<Scalar> {
        match s.kind {
            TAPER_SCALAR_FLOAT => Ok(Scalar::Float(s.f)),
            TAPER_SCALAR_INT => Ok(Scalar::Int(s.i)),
            TAPER_SCALAR_BOOL => Ok(Scalar::Bool(s.i != 0)),
            TAPER_SCALAR_COMPLEX => Ok(Scalar::Complex(s.f, f64::from_bits(s.i as u64))),
            other => Err(self.bad(
                ErrorKind::Value,
                index,
                name,
                format_args!("invalid scalar kind {other}; valid are 0 (float), 1 (int), 2 (bool) and 3 (complex)"),
            )),
        }
    }
    /// # Safety
    /// `p` is NULL or readable.
    #[inline]
    pub unsafe fn opt_scalar(&self, index: usize, name: &str, p: *const taper_scalar) -> Result<Option<Scalar>> {
        if p.is_null() {
            return Ok(None);
        }
        // SAFETY: not NULL, so readable by contract; all fields are plain numbers.
        self.scalar(index, name, unsafe { p.read_unaligned() }).map(Some)
    }
    #[inline]
    pub fn dtype(&self, index: usize, name: &str, code: i32) -> Result<DType> {
        DType::from_code(code).map_err(|e| self.bad(e.kind, index, name, e.into_message()))
    }
    /// A dtype code, -1 for none.
    #[inline]
    pub fn opt_dtype(&self, index: usize, name: &str, code: i32) -> Result<Option<DType>> {
        if code == TAPER_DTYPE_NONE {
            return Ok(None);
        }
        self.dtype(index, name, code).map(Some)
    }
    pub fn device(&self, index: usize, name: &str, d: taper_device) -> Result<Device> {
        Device::from_code(d.r#type, d.index).map_err(|e| self.bad(e.kind, index, name, e.into_message()))
    }
    /// A device, type 0 for none.
    #[inline]
    pub fn opt_device(&self, index: usize, name: &str, d: taper_device) -> Result<Option<Device>> {
        if d.r#type == 0 {
            return Ok(None);
        }
        self.device(index, name, d).map(Some)
    }
    /// A NUL-terminated UTF-8 string.
    ///
    /// # Safety
    /// `p` is NULL or NUL-terminated and readable while the result is used.
    pub unsafe fn str<'a>(&'a self, index: usize, name: &str, p: *const c_char) -> Result<&'a str> {
        // SAFETY: the caller's.
        unsafe { self.opt_str(index, name, p) }?
            .ok_or_else(|| self.bad(ErrorKind::Value, index, name, "expected a string, got NULL"))
    }
    /// # Safety
    /// As for `str`.
    pub unsafe fn opt_str<'a>(&'a self, index: usize, name: &str, p: *const c_char) -> Result<Option<&'a str>> {
        if p.is_null() {
            return Ok(None);
        }
        // SAFETY: not NULL, so NUL-terminated by contract.
        match unsafe { CStr::from_ptr(p) }.to_str() {
            Ok(s) => Ok(Some(s)),
            Err(e) => {
                let what = format_args!("not valid UTF-8 (byte {})", e.valid_up_to());
                Err(self.bad(ErrorKind::Value, index, name, what))
            }
        }
    }
    /// A file's path: on Unix any bytes.
    ///
    /// # Safety
    /// As for `str`.
    pub unsafe fn path<'a>(&'a self, index: usize, name: &str, p: *const c_char) -> Result<&'a std::path::Path> {
        use std::os::unix::ffi::OsStrExt;
        if p.is_null() {
            return Err(self.bad(ErrorKind::Value, index, name, "expected a string, got NULL"));
        }
        // SAFETY: not NULL, so NUL-terminated by contract.
        let bytes = unsafe { CStr::from_ptr(p) }.to_bytes();
        Ok(std::path::Path::new(std::ffi::OsStr::from_bytes(bytes)))
    }
    /// A pointer that must not be NULL.
    pub fn non_null(&self, index: usize, name: &str, p: *const c_void) -> Result<()> {
        if p.is_null() {
            return Err(self.bad(ErrorKind::Value, index, name, "expected a pointer, got NULL"));
        }
        Ok(())
    }
    /// A length that must equal another's.
    pub fn same_len(&self, index: usize, name: &str, len: usize, wanted: usize) -> Result<()> {
        if len != wanted {
            let what = format_args!("has {len} elements, expected {wanted}");
            return Err(self.bad(ErrorKind::Value, index, name, what));
        }
        Ok(())
    }
    /// An error of this call about one argument.
    pub fn invalid(&self, kind: ErrorKind, index: usize, name: &str, what: impl std::fmt::Display) -> Error {
        self.bad(kind, index, name, what)
    }

    /// A result's place: emptied at once, filled on success. An error when it is NULL.
    ///
    /// # Safety
    /// `p` is NULL or writable.
    #[inline]
    pub unsafe fn out<T: Slot>(&self, index: usize, name: &str, p: *mut T) -> Result<Out<T>> {
        if p.is_null() || !p.is_aligned() {
            return Err(self.bad(ErrorKind::Value, index, name, "the result needs a place to go, got NULL"));
        }
        // SAFETY: not NULL and aligned, so writable by contract.
        unsafe { p.write(T::EMPTY) };
        Ok(Out(p))
    }
    /// A result that the caller may leave out with NULL.
    ///
    /// # Safety
    /// As for `out`.
    #[inline]
    pub unsafe fn opt_out<T: Slot>(&self, index: usize, name: &str, p: *mut T) -> Result<OptOut<T>> {
        if p.is_null() {
            return Ok(OptOut(None));
        }
        // SAFETY: the caller's.
        unsafe { self.out(index, name, p) }.map(|o| OptOut(Some(o)))
    }
}

/// Plain values that C passes by pointer.
pub trait Plain: Copy {
    /// # Safety
    /// `p` is readable.
    unsafe fn load(p: *const Self) -> std::result::Result<Self, &'static str>;
}
macro_rules! plain {
    ($($t:ty),*) => {$(
        impl Plain for $t {
            #[inline]
            unsafe fn load(p: *const Self) -> std::result::Result<Self, &'static str> {
                // SAFETY: the caller's; any bytes are a number.
                Ok(unsafe { p.read_unaligned() })
            }
        })*};
}
plain!(i64, i32, u64, f64);
impl Plain for bool {
    #[inline]
    unsafe fn load(p: *const bool) -> std::result::Result<bool, &'static str> {
        // SAFETY: the caller's; read as a byte, because a foreign byte must not become a Rust bool.
        match unsafe { (p as *const u8).read() } {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("a bool must be 0 or 1"),
        }
    }
}

/// Types of results, with the value they have until success.
pub trait Slot: Copy {
    const EMPTY: Self;
}
impl<T> Slot for *mut T {
    const EMPTY: Self = std::ptr::null_mut();
}
impl Slot for bool {
    const EMPTY: Self = false;
}
impl Slot for taper_scalar {
    const EMPTY: Self = taper_scalar { kind: TAPER_SCALAR_FLOAT, i: 0, f: 0.0 };
}
macro_rules! slots {
    ($($t:ty),*) => {$( impl Slot for $t { const EMPTY: Self = 0 as $t; } )*};
}
slots!(i32, i64, u64, usize, f64);

/// A checked place for a result.
pub struct Out<T>(*mut T);
impl<T: Slot> Out<T> {
    /// Writes the result.
    #[inline]
    pub fn set<V: IntoC<T>>(self, value: V) -> Result<()> {
        let v = value.into_c()?;
        // SAFETY: `Call::out` checked the place; it is the caller's for the whole call.
        unsafe { self.0.write(v) };
        Ok(())
    }
}

/// A checked place for a result, or none.
pub struct OptOut<T>(Option<Out<T>>);
impl<T: Slot> OptOut<T> {
    pub fn set<V: IntoC<T>>(self, value: V) -> Result<()> {
        self.0.map_or(Ok(()), |o| o.set(value))
    }
}

/// Results of the core as C values.
pub trait IntoC<T> {
    fn into_c(self) -> Result<T>;
}
impl IntoC<*mut taper_tensor> for Tensor {
    #[inline]
    fn into_c(self) -> Result<*mut taper_tensor> {
        Ok(place(Kind::Tensor, Object::Tensor(self))? as *mut taper_tensor)
    }
}
impl IntoC<*mut taper_tensor> for Option<Tensor> {
    fn into_c(self) -> Result<*mut taper_tensor> {
        self.map_or(Ok(std::ptr::null_mut()), IntoC::into_c)
    }
}
impl IntoC<*mut taper_tensor_list> for Vec<Tensor> {
    fn into_c(self) -> Result<*mut taper_tensor_list> {
        new_handle(Arc::new(self.into_iter().map(Some).collect()))
    }
}
impl IntoC<*mut taper_tensor_list> for Vec<Option<Tensor>> {
    fn into_c(self) -> Result<*mut taper_tensor_list> {
        new_handle(Arc::new(self))
    }
}
impl IntoC<*mut taper_string> for String {
    fn into_c(self) -> Result<*mut taper_string> {
        new_handle(Arc::new(super::string::Text::new(self)?))
    }
}
impl IntoC<*mut taper_string> for Option<String> {
    fn into_c(self) -> Result<*mut taper_string> {
        self.map_or(Ok(std::ptr::null_mut()), IntoC::into_c)
    }
}
impl IntoC<*mut taper_node> for Option<Arc<crate::autograd::Node>> {
    fn into_c(self) -> Result<*mut taper_node> {
        self.map_or(Ok(std::ptr::null_mut()), new_handle)
    }
}
impl IntoC<*mut taper_generator> for Generator {
    fn into_c(self) -> Result<*mut taper_generator> {
        new_handle(self)
    }
}
impl IntoC<*mut taper_graph> for Box<dyn crate::backend::Graph> {
    fn into_c(self) -> Result<*mut taper_graph> {
        new_handle(Arc::<dyn crate::backend::Graph>::from(self))
    }
}
impl IntoC<taper_scalar> for Scalar {
    fn into_c(self) -> Result<taper_scalar> {
        Ok(match self {
            Scalar::Float(f) => taper_scalar { kind: TAPER_SCALAR_FLOAT, i: 0, f },
            Scalar::Int(i) => taper_scalar { kind: TAPER_SCALAR_INT, i, f: 0.0 },
            Scalar::Bool(b) => taper_scalar { kind: TAPER_SCALAR_BOOL, i: b as i64, f: 0.0 },
            Scalar::Complex(f, im) => taper_scalar { kind: TAPER_SCALAR_COMPLEX, i: im.to_bits() as i64, f },
        })
    }
}
impl IntoC<i32> for DType {
    fn into_c(self) -> Result<i32> {
        Ok(self as i32)
    }
}
macro_rules! same {
    ($($t:ty),*) => {$(
        impl IntoC<$t> for $t {
            #[inline]
            fn into_c(self) -> Result<$t> {
                Ok(self)
            }
        })*};
}
same!(bool, i32, i64, u64, usize, f64, *mut c_void);
same!(*mut super::dlpack_types::DLManagedTensor, *mut super::dlpack_types::DLManagedTensorVersioned);
