//! Tensors by name, safetensors files, and files that are replaced at once.

use super::convert::{Call, HandleType, IntoC};
use super::handle::Kind;
use super::types::*;
use crate::backend::memory;
use crate::base::error::{ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::io::file::Writer;
use crate::io::format::{self, Format};
use crate::io::safetensors::{self, FileMetadata};
use crate::io::shards;
use crate::io::source::Source;
use crate::nn::StateDict;
use crate::{Device, Tensor};
use indexmap::IndexMap;
use std::ffi::CString;
use std::os::raw::c_char;
use std::path::Path;
use std::sync::Arc;

/// A text as a C string; a NUL in it would end it early, so it is shown as a space.
pub(super) fn c_text(s: &str) -> Result<CString> {
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
    /// No tensors, but these text entries.
    pub fn empty_with(metadata: FileMetadata) -> NamedTensors {
        NamedTensors { metadata, ..NamedTensors::default() }
    }
    pub fn set_texts(&mut self, metadata: FileMetadata) {
        self.metadata = metadata;
    }
    /// The tensors and the text entries.
    pub fn parts(&self) -> Result<(StateDict, FileMetadata)> {
        Ok((self.dict()?, memory::copied_texts(&self.metadata)?))
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
impl IntoC<*mut taper_named_tensors> for Option<NamedTensors> {
    fn into_c(self) -> Result<*mut taper_named_tensors> {
        self.map_or(Ok(std::ptr::null_mut()), IntoC::into_c)
    }
}

/// `taper_named_tensors_new`.
pub fn named_tensors_new() -> Result<NamedTensors> {
    Ok(NamedTensors::default())
}

/// `taper_named_tensors_len`.
pub fn named_tensors_len(n: &Arc<Mutex<NamedTensors>>) -> usize {
    n.lock().tensors.len()
}

/// `taper_named_tensors_name`.
pub fn named_tensors_name(n: &Arc<Mutex<NamedTensors>>, i: usize) -> Option<*const c_char> {
    // Names are never removed, and a CString\'s bytes do not move with the map.
    n.lock().tensors.get_index(i).map(|(_, (c, _))| c.as_ptr())
}

/// `taper_named_tensors_get`.
pub fn named_tensors_get(c: &Call, n: &Arc<Mutex<NamedTensors>>, i: usize) -> Result<Tensor> {
    let n = n.lock();
    match n.tensors.get_index(i) {
        Some((_, (_, t))) => Ok(t.clone()),
        None => {
            let what = format!("index {i} is out of range: there are {} tensors", n.tensors.len());
            Err(c.invalid(ErrorKind::Index, 1, "i", what))
        }
    }
}

/// `taper_named_tensors_get_by_name`.
pub fn named_tensors_get_by_name(c: &Call, n: &Arc<Mutex<NamedTensors>>, name: &str) -> Result<Tensor> {
    let found = n.lock().tensors.get(name).map(|(_, t)| t.clone());
    match found {
        Some(t) => Ok(t),
        None => Err(c.invalid(ErrorKind::Key, 1, "name", format!("there is no tensor \"{name}\""))),
    }
}

/// `taper_named_tensors_insert`.
pub fn named_tensors_insert(n: &Arc<Mutex<NamedTensors>>, name: &str, tensor: &Tensor) -> Result<()> {
    let name = memory::text(name)?;
    let r = n.lock().insert(name, tensor.clone());
    r
}

/// `taper_named_tensors_set_metadata`.
pub fn named_tensors_set_metadata(n: &Arc<Mutex<NamedTensors>>, key: &str, value: &str) -> Result<()> {
    let (key, value) = (memory::text(key)?, memory::text(value)?);
    let mut n = n.lock();
    memory::reserve_map(&mut n.metadata, 1)?;
    n.metadata.insert(key, value);
    Ok(())
}

/// `taper_named_tensors_metadata`.
pub fn named_tensors_metadata(n: &Arc<Mutex<NamedTensors>>, key: &str) -> Result<Option<String>> {
    n.lock().metadata.get(key).map(|t| memory::text(t)).transpose()
}

/// `taper_named_tensors_save`.
pub fn named_tensors_save(n: &Arc<Mutex<NamedTensors>>, path: &Path) -> Result<()> {
    let (tensors, metadata) = {
        let n = n.lock();
        (n.dict()?, memory::copied_texts(&n.metadata)?)
    };
    safetensors::save(path, &tensors, &metadata)
}

/// `taper_named_tensors_load`.
pub fn named_tensors_load(path: &Path, device: Option<Device>) -> Result<NamedTensors> {
    let contents = format::open(path, false)?;
    let tensors = contents.all(device.unwrap_or(Device::CPU))?;
    Ok(NamedTensors { metadata: contents.metadata, ..NamedTensors::from_dict(tensors)? })
}

/// `taper_named_tensors_from_memory`.
pub fn named_tensors_from_memory(data: &[u8], device: Option<Device>) -> Result<NamedTensors> {
    let contents = format::of_source(Source::memory(data))?;
    let tensors = contents.all(device.unwrap_or(Device::CPU))?;
    Ok(NamedTensors { metadata: contents.metadata, ..NamedTensors::from_dict(tensors)? })
}

/// `taper_named_tensors_save_as`.
pub fn named_tensors_save_as(n: &Arc<Mutex<NamedTensors>>, path: &Path, format: &str) -> Result<()> {
    let format = Format::parse(format)?;
    let (tensors, metadata) = n.lock().parts()?;
    format::save(path, &tensors, &metadata, format)
}

/// `taper_named_tensors_to_memory`.
pub fn named_tensors_to_memory(n: &Arc<Mutex<NamedTensors>>, format: &str) -> Result<Tensor> {
    let format = Format::parse(format)?;
    let (tensors, metadata) = n.lock().parts()?;
    let bytes = format::to_memory(&tensors, &metadata, format)?;
    Tensor::from_bytes(&bytes, &[bytes.len() as i64], crate::DType::U8, Device::CPU)
}

/// `taper_named_tensors_save_sharded`.
pub fn named_tensors_save_sharded(
    n: &Arc<Mutex<NamedTensors>>,
    folder: &Path,
    stem: Option<&str>,
    max_bytes: u64,
) -> Result<usize> {
    let (tensors, metadata) = n.lock().parts()?;
    shards::save(folder, stem.unwrap_or(shards::STEM), &tensors, &metadata, max_bytes)
}

/// `taper_named_tensors_select`.
pub fn named_tensors_select(n: &Arc<Mutex<NamedTensors>>, prefix: &str) -> Result<NamedTensors> {
    let (tensors, metadata) = n.lock().parts()?;
    let mut out = NamedTensors::from_dict(crate::io::checkpoint::below(&tensors, prefix)?)?;
    for (key, text) in metadata {
        if let Some(key) = key.strip_prefix(prefix) {
            memory::reserve_map(&mut out.metadata, 1)?;
            out.metadata.insert(memory::text(key)?, text);
        }
    }
    Ok(out)
}

/// `taper_named_tensors_num_metadata`.
pub fn named_tensors_num_metadata(n: &Arc<Mutex<NamedTensors>>) -> usize {
    n.lock().metadata.len()
}

/// `taper_named_tensors_metadata_key`.
pub fn named_tensors_metadata_key(c: &Call, n: &Arc<Mutex<NamedTensors>>, i: usize) -> Result<String> {
    let n = n.lock();
    match n.metadata.get_index(i) {
        Some((key, _)) => memory::text(key),
        None => {
            let what = format!("index {i} is out of range: there are {} text entries", n.metadata.len());
            Err(c.invalid(ErrorKind::Index, 1, "i", what))
        }
    }
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

/// `taper_file_writer_begin`.
pub fn file_writer_begin(path: &Path) -> Result<Writer> {
    Writer::begin(path)
}

/// `taper_file_writer_write`.
pub fn file_writer_write(c: &Call, w: &Arc<Mutex<Option<Writer>>>, data: &[u8]) -> Result<()> {
    let mut w = w.lock();
    match &mut *w {
        Some(w) => w.write(data),
        None => Err(c.invalid(ErrorKind::Value, 0, "w", "the file was committed already")),
    }
}

/// `taper_file_writer_commit`.
pub fn file_writer_commit(c: &Call, w: &Arc<Mutex<Option<Writer>>>) -> Result<()> {
    let taken = w.lock().take();
    match taken {
        Some(w) => w.commit(),
        None => Err(c.invalid(ErrorKind::Value, 0, "w", "the file was committed already")),
    }
}
