//! Opened files, what of a file a module did not match, checkpoints.

use super::convert::{HandleType, IntoC};
use super::handle::Kind;
use super::io::NamedTensors;
use super::types::*;
use super::user::User;
use crate::backend::memory;
use crate::base::error::Result;
use crate::base::sync::Mutex;
use crate::io::checkpoint::{self, Parts};
use crate::io::contents::Contents;
use crate::io::format;
use crate::io::source::{Bytes, Source};
use crate::nn::{IncompatibleKeys, Module, StateDict};
use crate::optim::schedule::Schedule;
use crate::optim::Optimizer;
use crate::rng::Generator;
use crate::{Device, Tensor};
use std::ffi::CString;
use std::os::raw::c_char;
use std::path::Path;
use std::sync::Arc;

/// An opened file, and its names as C lends them out.
pub struct Opened {
    contents: Contents<'static>,
    names: Vec<CString>,
}
impl HandleType for taper_tensor_file {
    const KIND: Kind = Kind::TensorFile;
    type Object = Arc<Opened>;
}
impl IntoC<*mut taper_tensor_file> for Opened {
    fn into_c(self) -> Result<*mut taper_tensor_file> {
        super::convert::new_handle(Arc::new(self))
    }
}
fn opened(contents: Contents<'static>) -> Result<Opened> {
    let names = memory::try_collect(contents.names().map(super::io::c_text))?;
    Ok(Opened { contents, names })
}

/// A caller's memory, and what frees it.
struct Foreign {
    data: *const u8,
    len: usize,
    _user: User,
}
// SAFETY: the caller promises that the bytes stay as they are until `drop` is called, from whatever thread.
unsafe impl Send for Foreign {}
unsafe impl Sync for Foreign {}
impl Bytes for Foreign {
    fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: as above; pointer and length were a slice's.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

/// `taper_tensor_file_open`.
pub fn tensor_file_open(path: &Path, mapped: bool) -> Result<Opened> {
    opened(format::open(path, mapped)?)
}

/// `taper_tensor_file_open_memory`.
pub fn tensor_file_open_memory(data: &[u8], user: User) -> Result<Opened> {
    let bytes = Foreign { data: data.as_ptr(), len: data.len(), _user: user };
    opened(format::of_source(Source::owned(Box::new(bytes)))?)
}

/// `taper_tensor_file_len`.
pub fn tensor_file_len(f: &Arc<Opened>) -> usize {
    f.names.len()
}

/// `taper_tensor_file_name`.
pub fn tensor_file_name(f: &Arc<Opened>, i: usize) -> Option<*const c_char> {
    f.names.get(i).map(|n| n.as_ptr())
}

/// `taper_tensor_file_format`.
pub fn tensor_file_format(f: &Arc<Opened>) -> Result<String> {
    memory::text(f.contents.format)
}

/// `taper_tensor_file_dtype`.
pub fn tensor_file_dtype(f: &Arc<Opened>, name: &str) -> Result<i32> {
    Ok(f.contents.about(name)?.0 as i32)
}

/// `taper_tensor_file_sizes`.
pub fn tensor_file_sizes(f: &Arc<Opened>, name: &str, buf: &mut [i64]) -> Result<usize> {
    let sizes = f.contents.about(name)?.1;
    let n = buf.len().min(sizes.len());
    buf[..n].copy_from_slice(&sizes[..n]);
    Ok(sizes.len())
}

/// `taper_tensor_file_get`.
pub fn tensor_file_get(f: &Arc<Opened>, name: &str, device: Option<Device>) -> Result<Tensor> {
    f.contents.get(name, device.unwrap_or(Device::CPU))
}

/// `taper_tensor_file_get_rows`.
pub fn tensor_file_get_rows(
    f: &Arc<Opened>,
    name: &str,
    start: i64,
    stop: i64,
    device: Option<Device>,
) -> Result<Tensor> {
    f.contents.get_rows(name, start, stop, device.unwrap_or(Device::CPU))
}

/// `taper_tensor_file_metadata`.
pub fn tensor_file_metadata(f: &Arc<Opened>) -> Result<NamedTensors> {
    Ok(NamedTensors::empty_with(memory::copied_texts(&f.contents.metadata)?))
}

/// Names, one a line.
fn lines<'a>(names: impl Iterator<Item = &'a String>) -> Result<String> {
    let mut out = String::new();
    for name in names {
        memory::reserve_text(&mut out, name.len() + 1)?;
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(name);
    }
    Ok(out)
}
fn both(keys: &[IncompatibleKeys]) -> Result<(String, String)> {
    Ok((lines(keys.iter().flat_map(|k| &k.missing))?, lines(keys.iter().flat_map(|k| &k.unexpected))?))
}

/// `taper_module_load_keys`.
pub fn module_load_keys(m: &Module, path: &Path, strict: bool) -> Result<(String, String)> {
    let state = format::open(path, false)?.all(Device::CPU)?;
    both(&[m.load_whole(&state, strict)?])
}

/// `taper_module_load_state_dict_keys`.
pub fn module_load_state_dict_keys(
    m: &Module,
    state: &Arc<Mutex<NamedTensors>>,
    strict: bool,
) -> Result<(String, String)> {
    let state = state.lock().dict()?;
    both(&[m.load_whole(&state, strict)?])
}

/// `taper_checkpoint_save`.
pub fn checkpoint_save(
    path: &Path,
    models: &[Module],
    optimizers: &[Arc<Mutex<Optimizer>>],
    schedules: &[Schedule],
    generators: &[Generator],
    extra: Option<&Arc<Mutex<NamedTensors>>>,
) -> Result<()> {
    let (extra, texts) = match extra {
        Some(n) => n.lock().parts()?,
        None => (StateDict::new(), Default::default()),
    };
    checkpoint::save(path, &Parts { models, optimizers, schedules, generators }, &extra, &texts)
}

/// `taper_checkpoint_load`.
pub fn checkpoint_load(
    path: &Path,
    models: &[Module],
    optimizers: &[Arc<Mutex<Optimizer>>],
    schedules: &[Schedule],
    generators: &[Generator],
    strict: bool,
) -> Result<(NamedTensors, String, String)> {
    let (extra, texts, keys) = checkpoint::load(path, &Parts { models, optimizers, schedules, generators }, strict)?;
    let (missing, unexpected) = both(&keys)?;
    let mut n = NamedTensors::from_dict(extra)?;
    n.set_texts(texts);
    Ok((n, missing, unexpected))
}
