//! Arrow's C data interface: tables to and from other libraries without copying. A table is a struct array whose children are
//! columns: numbers, [rows], or lists of one length, [rows, length ..].

use super::arrow_types::*;
use super::convert::Call;
use super::io::{c_text, NamedTensors};
use super::tensor::{from_foreign, host_data};
use crate::autograd;
use crate::backend::memory;
use crate::backend::storage::HostOwner;
use crate::base::layout::{contiguous_strides, Dims, Layout, MAX_DIMS};
use crate::base::sync::Mutex;
use crate::tensor::Tensor;
use crate::{bail, ensure, DType, Device, Result};
use std::ffi::{c_int, c_void, CStr, CString};
use std::os::raw::c_char;
use std::ptr;
use std::sync::Arc;

/// Arrow's format of a dtype.
fn format_of(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bool => "b",
        DType::I8 => "c",
        DType::U8 => "C",
        DType::I16 => "s",
        DType::I32 => "i",
        DType::I64 => "l",
        DType::F16 => "e",
        DType::F32 => "f",
        DType::F64 => "g",
        _ => return None,
    })
}

/// What elements a format says: dates, times and durations are the numbers that count them.
fn dtype_of(format: &str, name: &str) -> Result<DType> {
    if let Some(found) = DType::ALL.into_iter().find(|d| format_of(*d) == Some(format)) {
        return Ok(found);
    }
    match format {
        "tdD" | "tts" | "ttm" => Ok(DType::I32),
        "tdm" | "ttu" | "ttn" | "tDs" | "tDm" | "tDu" | "tDn" => Ok(DType::I64),
        f if ["tss:", "tsm:", "tsu:", "tsn:"].iter().any(|t| f.starts_with(t)) => Ok(DType::I64),
        _ => bail!(
            Type,
            "column {name:?} has Arrow's format {format:?}, which is no tensor; there are numbers (c C s i l e f g), bool (b), \
             dates, times and durations, and lists of one length (+w:)"
        ),
    }
}

// ---- import ----

/// An array that was taken over; released when the last of its columns is gone.
struct Held(ArrowArray);
// SAFETY: Arrow lets any thread release an array; nothing of it changes before.
unsafe impl Send for Held {}
unsafe impl Sync for Held {}
impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: the content was moved here, and this is its one release.
        unsafe { ArrowArray::let_go(&mut self.0) }
    }
}
struct Column(#[allow(dead_code)] Arc<Held>); // keeps the memory
impl HostOwner for Column {}

/// # Safety
/// `p` is NULL or a text that ends with NUL.
unsafe fn text<'a>(p: *const c_char, what: &str) -> Result<&'a str> {
    if p.is_null() {
        return Ok("");
    }
    // SAFETY: the caller's.
    match unsafe { CStr::from_ptr(p) }.to_str() {
        Ok(s) => Ok(s),
        Err(_) => bail!(Value, "{what} of an Arrow schema is no UTF-8"),
    }
}

/// `taper_arrow_import`.
///
/// # Safety
/// Both are NULL or structs of Arrow that fit.
pub unsafe fn arrow_import(c: &Call, schema: SchemaOwner, array: ArrayOwner, masks: bool) -> Result<NamedTensors> {
    c.non_null(0, "schema", schema.0 as *const c_void)?;
    c.non_null(1, "array", array.0 as *const c_void)?;
    // SAFETY: not NULL, so structs of Arrow by contract.
    unsafe {
        ensure!(!ArrowSchema::is_empty(schema.0), Value, "the Arrow schema was released already");
        ensure!(!ArrowArray::is_empty(array.0), Value, "the Arrow array was released already");
        // The content is moved, as Arrow wants it: the caller's struct is empty from here on.
        let held = Arc::new(Held(ptr::read(array.0)));
        (*array.0).release = None;
        let mut out = Import { held, masks, tensors: Vec::new() };
        out.table(&*schema.0)?;
        NamedTensors::from_dict(out.tensors)
    }
}

struct Import {
    held: Arc<Held>,
    masks: bool,
    tensors: Vec<(String, Tensor)>,
}

/// A part of an array: `length` elements from `offset` on.
#[derive(Clone, Copy)]
struct Part<'a> {
    array: &'a ArrowArray,
    offset: i64,
    length: i64,
}
impl<'a> Part<'a> {
    /// `length` elements from the logical element `begin` on.
    fn of(array: &'a ArrowArray, begin: i64, length: i64, name: &str) -> Result<Part<'a>> {
        ensure!(
            array.length >= 0 && array.offset >= 0 && array.null_count >= -1,
            Value,
            "column {name:?} of an Arrow array has length {}, offset {} and {} nulls",
            array.length,
            array.offset,
            array.null_count
        );
        let fits = begin >= 0 && begin.checked_add(length).is_some_and(|end| end <= array.length);
        ensure!(
            fits,
            Value,
            "column {name:?} of an Arrow array has {} elements, and {length} from {begin} on are asked for",
            array.length
        );
        match array.offset.checked_add(begin).filter(|o| o.checked_add(length).is_some()) {
            Some(offset) => Ok(Part { array, offset, length }),
            None => bail!(Value, "column {name:?} of an Arrow array has offset {}", array.offset),
        }
    }
    /// # Safety
    /// The array's buffers are what it says.
    unsafe fn buffer(&self, i: i64, n: i64, name: &str) -> Result<*const c_void> {
        ensure!(
            self.array.n_buffers == n && (n == 0 || !self.array.buffers.is_null()),
            Value,
            "column {name:?} of an Arrow array has {} buffers instead of {n}",
            self.array.n_buffers
        );
        // SAFETY: the caller's; there are n.
        Ok(unsafe { *self.array.buffers.add(i as usize) })
    }
    /// Bytes, one for each element, of bits from `bits` on.
    ///
    /// # Safety
    /// `bits` refers to offset + length bits.
    unsafe fn unpacked(&self, bits: *const u8, dims: &[i64]) -> Result<Tensor> {
        let n = crate::base::layout::checked_numel(dims)?;
        let mut bytes = memory::with_capacity(n)?;
        for i in 0..n {
            let at = self.offset as usize + i;
            // SAFETY: the caller's.
            bytes.push(unsafe { *bits.add(at / 8) } >> (at % 8) & 1);
        }
        Tensor::from_bytes(&bytes, dims, DType::Bool, Device::CPU)
    }
    /// Where elements are missing: which are there, with how many are not and the first of those; None where none is missing.
    ///
    /// # Safety
    /// The array's buffers are what it says.
    unsafe fn missing(&self, buffers: i64, name: &str) -> Result<Option<(Tensor, i64, i64)>> {
        if self.array.null_count == 0 {
            return Ok(None);
        }
        // SAFETY: the caller's.
        let bits = unsafe { self.buffer(0, buffers, name) }? as *const u8;
        if bits.is_null() {
            ensure!(
                self.array.null_count < 0,
                Value,
                "column {name:?} of an Arrow array has {} nulls and does not say where",
                self.array.null_count
            );
            return Ok(None);
        }
        let (mut count, mut first) = (0, -1);
        for i in 0..self.length {
            let at = (self.offset + i) as usize;
            // SAFETY: the bitmap has a bit for each element.
            if unsafe { *bits.add(at / 8) } >> (at % 8) & 1 == 0 {
                count += 1;
                first = if first < 0 { i } else { first };
            }
        }
        if count == 0 {
            return Ok(None);
        }
        // SAFETY: as above.
        Ok(Some((unsafe { self.unpacked(bits, &[self.length]) }?, count, first)))
    }
}

/// The children of a schema or array.
///
/// # Safety
/// `children` has `n` pointers to structs, or is damaged in what can be seen.
unsafe fn child<'a, T>(children: *mut *mut T, i: usize, name: &str) -> Result<&'a T> {
    let p = if children.is_null() { ptr::null_mut() } else { *children.add(i) };
    // SAFETY: the caller's.
    match p.as_ref() {
        Some(child) => Ok(child),
        None => bail!(Value, "child {i} of column {name:?} of an Arrow array is NULL"),
    }
}

impl Import {
    /// # Safety
    /// Schema and array are Arrow's, and fit.
    unsafe fn table(&mut self, schema: &ArrowSchema) -> Result<()> {
        let held = self.held.clone();
        let array = &held.0;
        if text(schema.format, "the format")? != "+s" {
            let name = text(schema.name, "the name")?;
            let all = Part::of(array, 0, array.length, name)?;
            return self.column(schema, all, name);
        }
        let all = Part::of(array, 0, array.length, "")?;
        if let Some((_, count, first)) = all.missing(1, "")? {
            bail!(Value, "{count} rows of the Arrow table are null, the first is row {first}; leave them out first");
        }
        ensure!(
            schema.n_children == array.n_children && schema.n_children >= 0,
            Value,
            "the Arrow schema has {} columns and the array {}",
            schema.n_children,
            array.n_children
        );
        for i in 0..schema.n_children as usize {
            let (of, values) = (child(schema.children, i, "")?, child(array.children, i, "")?);
            let name = text(of.name, "a name")?;
            let part = Part::of(values, all.offset, all.length, name)?;
            self.column(of, part, name)?;
        }
        Ok(())
    }
    fn add(&mut self, name: String, t: Tensor) -> Result<()> {
        let twice = self.tensors.iter().any(|(n, _)| *n == name);
        ensure!(!twice, Value, "the Arrow table has two columns {name:?}");
        memory::push(&mut self.tensors, (name, t))
    }
    /// # Safety
    /// As for `table`.
    unsafe fn column(&mut self, schema: &ArrowSchema, part: Part, name: &str) -> Result<()> {
        let format = text(schema.format, "a format")?;
        let buffers = if format.starts_with("+w:") { 1 } else { 2 };
        let mask = part.missing(buffers, name)?;
        if let (Some((_, count, first)), false) = (&mask, self.masks) {
            bail!(
                Value,
                "column {name:?} of the Arrow table has {count} nulls, the first in row {first}; fill them, or ask for masks"
            );
        }
        let mut dims = Dims::new();
        dims.push(part.length);
        let t = self.values(schema, part, &mut dims, name)?;
        self.add(memory::text(name)?, t)?;
        if let Some((mask, ..)) = mask {
            let mut name = memory::text(name)?;
            memory::reserve_text(&mut name, 6)?;
            name.push_str(".valid");
            self.add(name, mask)?;
        }
        Ok(())
    }
    /// # Safety
    /// As for `table`.
    unsafe fn values(&self, schema: &ArrowSchema, part: Part, dims: &mut Dims, name: &str) -> Result<Tensor> {
        ensure!(
            schema.dictionary.is_null() && part.array.dictionary.is_null(),
            Type,
            "column {name:?} of the Arrow table is encoded by a dictionary; decode it first"
        );
        let format = text(schema.format, "a format")?;
        if let Some(length) = format.strip_prefix("+w:") {
            let Some(length) = length.parse::<i64>().ok().filter(|n| *n >= 0) else {
                bail!(Value, "column {name:?} of an Arrow array has lists of {length:?} elements")
            };
            ensure!(dims.len() < MAX_DIMS, Value, "column {name:?} has more than {MAX_DIMS} lists inside each other");
            ensure!(
                schema.n_children == 1 && part.array.n_children == 1,
                Value,
                "column {name:?} of an Arrow array has lists of {} and {} children instead of one",
                schema.n_children,
                part.array.n_children
            );
            dims.push(length);
            let (begin, n) = (part.offset.checked_mul(length), part.length.checked_mul(length));
            let (Some(begin), Some(n)) = (begin, n) else {
                bail!(Value, "column {name:?} of an Arrow array has {} lists of {length} elements", part.length)
            };
            let (of, inside) = (child(schema.children, 0, name)?, child(part.array.children, 0, name)?);
            let inside = Part::of(inside, begin, n, name)?;
            let buffers = if text(of.format, "a format")?.starts_with("+w:") { 1 } else { 2 };
            if let Some((_, count, first)) = inside.missing(buffers, name)? {
                bail!(Value, "the lists of column {name:?} have {count} nulls inside, the first is element {first}; fill them first");
            }
            return self.values(of, inside, dims, name);
        }
        let dtype = dtype_of(format, name)?;
        let data = part.buffer(1, 2, name)?;
        let n = crate::base::layout::checked_numel(dims)?;
        ensure!(!data.is_null() || n == 0, Value, "column {name:?} of an Arrow array has no values");
        if dtype == DType::Bool {
            return part.unpacked(data as *const u8, dims);
        }
        let Some(at) = (part.offset as usize).checked_mul(dtype.size()) else {
            bail!(Value, "column {name:?} of an Arrow array has offset {}", part.offset)
        };
        let data = (data as *mut u8).wrapping_add(if data.is_null() { 0 } else { at });
        let layout = Layout { strides: contiguous_strides(dims), shape: dims.clone(), offset: 0 };
        from_foreign(data, layout, dtype, Device::CPU, Box::new(Column(self.held.clone())))
    }
}

/// `taper_arrow_import_next`.
///
/// # Safety
/// `stream` is NULL or a stream of Arrow.
pub unsafe fn arrow_import_next(c: &Call, stream: *mut ArrowArrayStream, masks: bool) -> Result<Option<NamedTensors>> {
    c.non_null(0, "stream", stream as *const c_void)?;
    let (mut schema, mut array) = (ArrowSchema::EMPTY, ArrowArray::EMPTY);
    let s = &*stream;
    let (Some(get_schema), Some(get_next), Some(_)) = (s.get_schema, s.get_next, s.release) else {
        bail!(Value, "the Arrow stream was released already, or lacks its functions")
    };
    told(stream, get_next(stream, &mut array))?;
    if array.release.is_none() {
        return Ok(None);
    }
    let array = Owner(&mut array);
    told(stream, get_schema(stream, &mut schema))?;
    arrow_import(c, Owner(&mut schema), array, masks).map(Some)
}
/// # Safety
/// `stream` is a stream of Arrow.
unsafe fn told(stream: *mut ArrowArrayStream, code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let why = (*stream).get_last_error.map_or(ptr::null(), |f| f(stream));
    let why = if why.is_null() { c"no reason given" } else { CStr::from_ptr(why) };
    bail!(Io, "the Arrow stream failed with code {code}: {}", why.to_string_lossy())
}

// ---- export ----

/// What a node of an exported schema or array points to.
struct Node<T: Released> {
    children: Vec<T>,
    pointers: Vec<*mut T>,
    format: CString,
    name: CString,
    buffers: [*const c_void; 2],
    #[allow(dead_code)] // keeps the memory
    tensor: Option<Tensor>,
}
impl<T: Released> Drop for Node<T> {
    fn drop(&mut self) {
        for c in &mut self.children {
            // SAFETY: made below; one that was moved out is empty here.
            unsafe { T::let_go(c) }
        }
    }
}
impl<T: Released> Node<T> {
    fn new(children: Vec<T>, format: CString, name: CString, tensor: Option<Tensor>) -> Result<Box<Node<T>>> {
        let pointers = memory::with_capacity(children.len())?;
        let buffers = [ptr::null(); 2];
        let mut node = Box::new(Node { children, pointers, format, name, buffers, tensor });
        let first = node.children.as_mut_ptr();
        for i in 0..node.children.len() {
            // Room is there.
            node.pointers.push(first.wrapping_add(i));
        }
        Ok(node)
    }
}

unsafe extern "C" fn release_schema(s: *mut ArrowSchema) {
    super::convert::getter((), || {
        // SAFETY: made by `schema_of`, and released once by its owner.
        unsafe {
            (*s).release = None;
            drop(Box::from_raw((*s).private_data as *mut Node<ArrowSchema>));
        }
        Some(())
    });
}
unsafe extern "C" fn release_array(a: *mut ArrowArray) {
    super::convert::getter((), || {
        // SAFETY: made by `array_of`, and released once by its owner.
        unsafe {
            (*a).release = None;
            drop(Box::from_raw((*a).private_data as *mut Node<ArrowArray>));
        }
        Some(())
    });
}

fn schema_of(format: &str, name: &str, children: Vec<ArrowSchema>) -> Result<ArrowSchema> {
    let mut node = Node::new(children, c_text(format)?, c_text(name)?, None)?;
    let (format, name) = (node.format.as_ptr(), node.name.as_ptr());
    let (n_children, children) = (node.children.len() as i64, node.pointers.as_mut_ptr());
    Ok(ArrowSchema {
        format,
        name,
        n_children,
        children,
        release: Some(release_schema),
        private_data: Box::into_raw(node) as *mut c_void,
        ..ArrowSchema::EMPTY
    })
}
fn array_of(length: i64, children: Vec<ArrowArray>, values: Option<(Tensor, *const c_void)>) -> Result<ArrowArray> {
    let n_buffers = if values.is_some() { 2 } else { 1 };
    let (tensor, data) = values.map_or((None, ptr::null()), |(t, p)| (Some(t), p));
    let mut node = Node::new(children, CString::default(), CString::default(), tensor)?;
    node.buffers[1] = data;
    let buffers = node.buffers.as_mut_ptr();
    let (n_children, children) = (node.children.len() as i64, node.pointers.as_mut_ptr());
    Ok(ArrowArray {
        length,
        n_buffers,
        n_children,
        buffers,
        children,
        release: Some(release_array),
        private_data: Box::into_raw(node) as *mut c_void,
        ..ArrowArray::EMPTY
    })
}

/// Frees what was made so far when a later column fails.
struct Columns<T: Released>(Vec<T>);
impl<T: Released> Drop for Columns<T> {
    fn drop(&mut self) {
        for c in &mut self.0 {
            // SAFETY: made above, and nobody else has it.
            unsafe { T::let_go(c) }
        }
    }
}
impl<T: Released> Columns<T> {
    fn new(n: usize) -> Result<Columns<T>> {
        Ok(Columns(memory::with_capacity(n)?))
    }
    fn take(mut self) -> Vec<T> {
        std::mem::take(&mut self.0)
    }
    fn one(of: T) -> Result<Columns<T>> {
        let mut list = Columns::new(1)?;
        list.0.push(of);
        Ok(list)
    }
}

/// A tensor as Arrow has it: on the CPU, contiguous, bools as bits.
fn column(t: &Tensor, name: &str) -> Result<(ArrowSchema, ArrowArray)> {
    ensure!(
        !autograd::requires_grad(t),
        Runtime,
        "Can't export tensors that require gradient, use tensor.detach(): {name:?} does"
    );
    ensure!(t.device() == Device::CPU, Runtime, "{name:?} is on {}; copy it to the CPU first", t.device());
    let dtype = t.dtype();
    let Some(format) = format_of(dtype) else {
        bail!(Type, "Arrow has no format for the {dtype} elements of {name:?}")
    };
    let shape = t.shape();
    let n = crate::base::layout::checked_numel(&shape)? as i64;
    // Its own handle on the memory: `.data =` on the original must not pull it away.
    let t = if t.is_contiguous() { t.alias_same() } else { t.contiguous_copy()? };
    let t = if dtype == DType::Bool { packed(&t)? } else { t };
    let data = host_data(&t)? as *const c_void;
    let inner = if shape.len() > 1 { "item" } else { name };
    let mut schema = Columns::one(schema_of(format, inner, Vec::new())?)?;
    let mut array = Columns::one(array_of(n, Vec::new(), Some((t, data)))?)?;
    for dim in (1..shape.len()).rev() {
        let length = shape[..dim].iter().product();
        let name = if dim == 1 { name } else { "item" };
        schema = Columns::one(schema_of(&format!("+w:{}", shape[dim]), name, schema.take())?)?;
        array = Columns::one(array_of(length, array.take(), None)?)?;
    }
    let (mut schema, mut array) = (schema.take(), array.take());
    match (schema.pop(), array.pop()) {
        (Some(s), Some(a)) => Ok((s, a)),
        _ => bail!(Internal, "a column without an array"),
    }
}
fn packed(t: &Tensor) -> Result<Tensor> {
    let bytes = crate::ops::view_dtype(t, DType::U8)?.to_vec::<u8>()?;
    let mut bits = memory::zeroed(bytes.len().div_ceil(8))?;
    for (i, b) in bytes.iter().enumerate() {
        bits[i / 8] |= ((*b != 0) as u8) << (i % 8);
    }
    Tensor::from_bytes(&bits, &[bits.len() as i64], DType::U8, Device::CPU)
}

/// `taper_arrow_export`.
///
/// # Safety
/// Both are NULL or writable.
pub unsafe fn arrow_export(
    c: &Call,
    n: &Arc<Mutex<NamedTensors>>,
    schema: *mut ArrowSchema,
    array: *mut ArrowArray,
) -> Result<()> {
    c.non_null(1, "schema", schema as *const c_void)?;
    c.non_null(2, "array", array as *const c_void)?;
    // SAFETY: not NULL, so writable by contract.
    unsafe {
        schema.write(ArrowSchema::EMPTY);
        array.write(ArrowArray::EMPTY);
    }
    let tensors = n.lock().dict()?;
    let (mut schemas, mut arrays) = (Columns::new(tensors.len())?, Columns::new(tensors.len())?);
    let mut rows = None;
    for (name, t) in &tensors {
        ensure!(t.ndim() > 0, Value, "{name:?} has no rows: a column needs at least one dimension");
        let n = t.size(0)?;
        let first = *rows.get_or_insert(n);
        ensure!(n == first, Value, "columns must have as many rows as each other: {name:?} has {n}, the first {first}");
        let (s, a) = column(t, name)?;
        // Room is there.
        schemas.0.push(s);
        arrays.0.push(a);
    }
    let s = Columns::one(schema_of("+s", "", schemas.take())?)?;
    let a = Columns::one(array_of(rows.unwrap_or(0), arrays.take(), None)?)?;
    let (mut s, mut a) = (s.take(), a.take());
    if let (Some(s), Some(a)) = (s.pop(), a.pop()) {
        // SAFETY: as above.
        unsafe {
            schema.write(s);
            array.write(a);
        }
    }
    Ok(())
}
