//! Files of any of the formats: what one is, is seen from its first bytes; what one becomes, says a word.

use super::contents::Contents;
use super::safetensors::{self, FileMetadata};
use super::sink::Sink;
use super::source::Source;
use super::zip::Archive;
use super::{npy, shards, torch};
use crate::nn::StateDict;
use crate::{bail, Result};
use std::path::Path;

/// How tensors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Safetensors,
    Torch,
    Npz { deflated: bool },
    Npy,
}
impl Format {
    pub fn parse(name: &str) -> Result<Format> {
        Ok(match name {
            "safetensors" => Format::Safetensors,
            "pt" => Format::Torch,
            "npz" => Format::Npz { deflated: false },
            "npz_compressed" => Format::Npz { deflated: true },
            "npy" => Format::Npy,
            _ => bail!(
                Value,
                "there is no format {name:?}: it must be \"safetensors\", \"pt\", \"npz\", \"npz_compressed\" or \"npy\""
            ),
        })
    }
}

/// Opens a file, an index of files, or a folder that holds a model. With `mapped`, tensors that are read onto the CPU may
/// have the file's pages as their memory.
pub fn open(path: &Path, mapped: bool) -> Result<Contents<'static>> {
    let found;
    let mut path = path;
    if path.is_dir() {
        found = shards::of_folder(path)?;
        path = &found;
    }
    let source = Source::file(path, mapped)?;
    if is_index(&source)? {
        return shards::open(source);
    }
    of_source(source)
}

/// An index begins as JSON does, which no safetensors file does: its header would be longer than the format allows.
fn is_index(source: &Source) -> Result<bool> {
    let n = source.len().min(64);
    let begin = source.bytes(0, n)?;
    let first = begin.iter().find(|b| !b.is_ascii_whitespace());
    let named = source.path().extension().is_some_and(|e| e == "json");
    Ok(first == Some(&b'{') && (named || (n >= 8 && begin[5..8] != [0, 0, 0])))
}

/// Opens what is in memory or in one file.
pub fn of_source(source: Source) -> Result<Contents> {
    let begin = source.bytes(0, source.len().min(16))?;
    if begin.starts_with(b"PK") {
        let archive = Archive::open(&source)?;
        return match torch::is_archive(&archive) {
            true => torch::open(source, &archive),
            false => npy::open_zip(source, &archive),
        };
    }
    if begin.starts_with(npy::MAGIC) {
        return npy::open(source);
    }
    if begin.starts_with(&torch::LEGACY[..14]) {
        return torch::open_legacy(source);
    }
    safetensors::open(source)
}

fn write(sink: Sink, tensors: &StateDict, metadata: &FileMetadata, format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Torch => torch::save(sink, tensors, metadata),
        Format::Npz { deflated } => npy::save_zip(sink, tensors, deflated),
        _ => npy::save(sink, tensors),
    }
}

/// Writes a file of a format, which appears under its name once it is complete.
pub fn save(path: &Path, tensors: &StateDict, metadata: &FileMetadata, format: Format) -> Result<()> {
    match format {
        Format::Safetensors => safetensors::save(path, tensors, metadata),
        _ => write(Sink::file(path)?, tensors, metadata, format).map(drop),
    }
}

/// The same into memory.
pub fn to_memory(tensors: &StateDict, metadata: &FileMetadata, format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Safetensors => safetensors::to_memory(tensors, metadata),
        _ => write(Sink::memory(), tensors, metadata, format),
    }
}
