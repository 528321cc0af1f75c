//! Tensors by name, safetensors files, and files that are replaced at once.

use super::convert::{free, getter, guard, object, HandleType, IntoC};
use super::handle::Kind;
use super::types::*;
use crate::backend::memory;
use crate::base::error::{ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::io::file::Writer;
use crate::io::safetensors::{self, FileMetadata};
use crate::nn::StateDict;
use crate::{Device, Tensor};
use indexmap::IndexMap;
use std::ffi::CString;
use std::os::raw::{c_char, c_void};
use std::sync::Arc;

/// A text as a C string; a NUL in it would end it early, so it is shown as a space.
fn c_text(s: &str) -> Result<CString> {
    let mut bytes = memory::with_capacity(s.len() + 1)?;
    bytes.extend(s.bytes().map(|b| if b == 0 { b' ' } else { b }));
    Ok(CString::new(bytes).unwrap_or_default())
}

/// Tensors and text entries behind a `taper_named_tensors`. Names keep a C copy, which `_name` lends out.
#[derive(Default)]
pub struct NamedTensors {
    tensors: IndexMap<String, (CString, Tensor)>,
    metadata: FileMetadata,
}
impl NamedTensors {
    pub fn from_dict(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<NamedTensors> {
        let mut n = NamedTensors::default();
        for (name, t) in tensors {
            n.insert(name, t)?;
        }
        Ok(n)
    }
    fn insert(&mut self, name: String, t: Tensor) -> Result<()> {
        let c = c_text(&name)?;
        memory::reserve_map(&mut self.tensors, 1)?;
        match self.tensors.get_mut(&name) {
            // The lent name stays where it is.
            Some(entry) => entry.1 = t,
            None => {
                self.tensors.insert(name, (c, t));
            }
        }
        Ok(())
    }
    pub fn dict(&self) -> Result<StateDict> {
        let mut d = StateDict::default();
        memory::reserve_map(&mut d, self.tensors.len())?;
        for (k, (_, t)) in &self.tensors {
            d.insert(memory::text(k)?, t.clone());
        }
        Ok(d)
    }
}
impl HandleType for taper_named_tensors {
    const KIND: Kind = Kind::NamedTensors;
    type Object = Arc<Mutex<NamedTensors>>;
}
impl IntoC<*mut taper_named_tensors> for NamedTensors {
    fn into_c(self) -> Result<*mut taper_named_tensors> {
        super::convert::new_handle(Arc::new(Mutex::new(self)))
    }
}

/// An empty collection, owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_named_tensors_new(out: *mut *mut taper_named_tensors) -> *mut taper_error {
    guard("named_tensors_new", |c| c.out(0, "out", out)?.set(NamedTensors::default()))
}

/// Number of tensors; 0 for a bad handle. Borrows n. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_named_tensors_len(n: *const taper_named_tensors) -> usize {
    getter(0, || object(n).ok().map(|n| n.lock().tensors.len()))
}

/// Name number i in UTF-8, valid until n is freed; NULL when i is out of range. Borrows n. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_named_tensors_name(n: *const taper_named_tensors, i: usize) -> *const c_char {
    // Names are never removed, and a CString's bytes do not move with the map.
    getter(std::ptr::null(), || object(n).ok()?.lock().tensors.get_index(i).map(|(_, (c, _))| c.as_ptr()))
}

/// Tensor number i as a new handle, owned by the caller. Borrows n. Fails when i is out of range. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_named_tensors_get(
    n: *const taper_named_tensors,
    i: usize,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    guard("named_tensors_get", |c| {
        let out = c.out(2, "out", out)?;
        let n = c.get(0, "n", n)?;
        let n = n.lock();
        match n.tensors.get_index(i) {
            Some((_, (_, t))) => out.set(t.clone()),
            None => {
                let what = format!("index {i} is out of range: there are {} tensors", n.tensors.len());
                Err(c.invalid(ErrorKind::Index, 1, "i", what))
            }
        }
    })
}

/// The tensor of that name as a new handle, owned by the caller. Borrows n. Fails (TAPER_ERROR_KEY) when there is none.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_named_tensors_get_by_name(
    n: *const taper_named_tensors,
    name: *const c_char,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    guard("named_tensors_get_by_name", |c| {
        let out = c.out(2, "out", out)?;
        let n = c.get(0, "n", n)?;
        let name = c.str(1, "name", name)?;
        let found = n.lock().tensors.get(name).map(|(_, t)| t.clone());
        match found {
            Some(t) => out.set(t),
            None => Err(c.invalid(ErrorKind::Key, 1, "name", format!("there is no tensor \"{name}\""))),
        }
    })
}

/// Adds a tensor at the end, or replaces the one of that name in its place. Borrows n and tensor; name is copied.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_named_tensors_insert(
    n: *mut taper_named_tensors,
    name: *const c_char,
    tensor: *mut taper_tensor,
) -> *mut taper_error {
    guard("named_tensors_insert", |c| {
        let n = c.get(0, "n", n as *const taper_named_tensors)?;
        let name = memory::text(c.str(1, "name", name)?)?;
        let t = c.tensor(2, "tensor", tensor)?;
        let r = n.lock().insert(name, t);
        r
    })
}

/// Sets a text entry that is saved with the tensors. Borrows n; key and value are copied. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_named_tensors_set_metadata(
    n: *mut taper_named_tensors,
    key: *const c_char,
    value: *const c_char,
) -> *mut taper_error {
    guard("named_tensors_set_metadata", |c| {
        let n = c.get(0, "n", n as *const taper_named_tensors)?;
        let (key, value) = (memory::text(c.str(1, "key", key)?)?, memory::text(c.str(2, "value", value)?)?);
        let mut n = n.lock();
        memory::reserve_map(&mut n.metadata, 1)?;
        n.metadata.insert(key, value);
        Ok(())
    })
}

/// A text entry, owned by the caller; *out is NULL when there is none of that key. Borrows n. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_named_tensors_metadata(
    n: *const taper_named_tensors,
    key: *const c_char,
    out: *mut *mut taper_string,
) -> *mut taper_error {
    guard("named_tensors_metadata", |c| {
        let out = c.out(2, "out", out)?;
        let n = c.get(0, "n", n)?;
        let text = n.lock().metadata.get(c.str(1, "key", key)?).map(|t| memory::text(t)).transpose()?;
        match text {
            Some(text) => out.set(text),
            None => Ok(()),
        }
    })
}

/// Writes all tensors (of any device) and text entries to a safetensors file: under a temporary name first, renamed once
/// it is complete and on disk. Borrows n. Fails with TAPER_ERROR_IO. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_named_tensors_save(
    n: *const taper_named_tensors,
    path: *const c_char,
) -> *mut taper_error {
    guard("named_tensors_save", |c| {
        let n = c.get(0, "n", n)?;
        let path = c.path(1, "path", path)?;
        let (tensors, metadata) = {
            let n = n.lock();
            (n.dict()?, memory::copied_texts(&n.metadata)?)
        };
        safetensors::save(path, &tensors, &metadata)
    })
}

/// Reads a safetensors file onto a device (type 0: the CPU). The result is owned by the caller. Fails with TAPER_ERROR_IO
/// when the file is not there, truncated or not valid. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_named_tensors_load(
    path: *const c_char,
    device: taper_device,
    out: *mut *mut taper_named_tensors,
) -> *mut taper_error {
    guard("named_tensors_load", |c| {
        let out = c.out(2, "out", out)?;
        let path = c.path(0, "path", path)?;
        let device = c.opt_device(1, "device", device)?.unwrap_or(Device::CPU);
        let (tensors, metadata) = safetensors::load(path, device)?;
        // C's strings end at a NUL: two names could look alike.
        if let Some(name) = tensors.keys().find(|name| name.contains('\0')) {
            crate::bail!(Io, "cannot read {}: the tensor name {name:?} has a NUL inside", path.display());
        }
        out.set(NamedTensors { metadata, ..NamedTensors::from_dict(tensors)? })
    })
}

/// Frees a collection's handle. Consumes n; NULL is fine. Returns false when n was no live handle of this kind.
/// Since 0.1.
#[no_mangle]
pub extern "C" fn taper_named_tensors_free(n: *mut taper_named_tensors) -> bool {
    free(n, Kind::NamedTensors)
}

impl HandleType for taper_file_writer {
    const KIND: Kind = Kind::FileWriter;
    /// None once it was committed.
    type Object = Arc<Mutex<Option<Writer>>>;
}
impl IntoC<*mut taper_file_writer> for Writer {
    fn into_c(self) -> Result<*mut taper_file_writer> {
        super::convert::new_handle(Arc::new(Mutex::new(Some(self))))
    }
}

/// Opens a file for new content, which appears under its name at once, when taper_file_writer_commit is called: until
/// then, and if the process ends before, the old content stays. Links are followed, the mode of an existing file is
/// kept; a pipe or a device is written to directly. path is the file system's bytes. The result is owned by the caller.
/// Fails with TAPER_ERROR_IO. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_file_writer_begin(
    path: *const c_char,
    out: *mut *mut taper_file_writer,
) -> *mut taper_error {
    guard("file_writer_begin", |c| {
        let out = c.out(1, "out", out)?;
        out.set(Writer::begin(c.path(0, "path", path)?)?)
    })
}

/// Appends nbytes bytes. Borrows w and data, which may be NULL when nbytes is 0. Fails with TAPER_ERROR_IO, for example
/// when the disk is full, and with TAPER_ERROR_VALUE after a commit. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_file_writer_write(
    w: *mut taper_file_writer,
    data: *const c_void,
    nbytes: usize,
) -> *mut taper_error {
    guard("file_writer_write", |c| {
        let w = c.get(0, "w", w as *const taper_file_writer)?;
        let data = c.slice(1, "data", data as *const u8, nbytes)?;
        let mut w = w.lock();
        match &mut *w {
            Some(w) => w.write(data),
            None => Err(c.invalid(ErrorKind::Value, 0, "w", "the file was committed already")),
        }
    })
}

/// Waits until all is on disk and gives the file its name. Borrows w, which is of no further use. Fails with
/// TAPER_ERROR_IO; the old content stays then. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_file_writer_commit(w: *mut taper_file_writer) -> *mut taper_error {
    guard("file_writer_commit", |c| {
        let w = c.get(0, "w", w as *const taper_file_writer)?;
        let taken = w.lock().take();
        match taken {
            Some(w) => w.commit(),
            None => Err(c.invalid(ErrorKind::Value, 0, "w", "the file was committed already")),
        }
    })
}

/// Frees a writer's handle; without a commit before, what was written is given up. Consumes w; NULL is fine. Returns
/// false when w was no live handle of this kind. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_file_writer_free(w: *mut taper_file_writer) -> bool {
    free(w, Kind::FileWriter)
}
