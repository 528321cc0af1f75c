//! State dicts in several safetensors files, with an index that says which tensor is in which: `model.safetensors.index.json`
//! and `model-00001-of-00003.safetensors`, as published models have them.

use super::contents::Contents;
use super::safetensors::{self, FileMetadata};
use super::sink::Sink;
use super::source::Source;
use crate::backend::memory::{self, reserve::grant};
use crate::nn::StateDict;
use crate::{bail, ensure, Result};
use indexmap::IndexMap;
use serde_json::{json, Value};
use std::path::{Path, PathBuf};

/// What the files are called where nobody says otherwise.
pub const STEM: &str = "model";
const FORMAT: &str = "safetensors index";
const MAX_INDEX: u64 = 64 << 20;

/// Where a folder's tensors stand: the index, or the one file.
pub fn of_folder(folder: &Path) -> Result<PathBuf> {
    for name in ["model.safetensors.index.json", "model.safetensors"] {
        let path = folder.join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    bail!(
        Io,
        "cannot read {}: the folder holds no model.safetensors and no model.safetensors.index.json",
        folder.display()
    )
}

/// Opens all files that an index names.
pub fn open(source: Source<'static>) -> Result<Contents<'static>> {
    ensure!(
        source.len() <= MAX_INDEX,
        Io,
        "cannot read {}: an index of {} bytes",
        source.path().display(),
        source.len()
    );
    let text = source.bytes(0, source.len())?;
    // A byte makes at most one value, of 32 bytes, in lists that double as they grow.
    let _memory = grant(text.len().saturating_mul(96))?;
    let index: Value = serde_json::from_slice(&text).map_err(|e| source.bad(FORMAT, e))?;
    let Some(map) = index.get("weight_map").and_then(Value::as_object) else {
        return Err(source.bad(FORMAT, "it has no weight_map"));
    };
    let mapped = source.mapped;
    let folder = source.path().parent().unwrap_or(Path::new("")).to_path_buf();
    let mut files: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (name, file) in map {
        let Some(file) = file.as_str() else { return Err(source.bad(FORMAT, "a file's name is no text")) };
        // A name, no path: an index leads nowhere else.
        if file.is_empty() || file.contains(['/', '\\', '\0']) || file == ".." || file == "." {
            return Err(source.bad(FORMAT, format_args!("{file:?} is no file's name")));
        }
        memory::reserve_map(&mut files, 1)?;
        memory::push(files.entry(file).or_default(), name.as_str())?;
    }
    let mut all = Contents::new(FORMAT, Source::file(source.path(), false)?);
    if let Some(about) = index.get("metadata").and_then(Value::as_object) {
        for (key, value) in about {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            memory::reserve_map(&mut all.metadata, 1)?;
            all.metadata.insert(memory::text(key)?, text);
        }
    }
    for (file, names) in &files {
        let part = safetensors::open(Source::file(&folder.join(file), mapped)?)?;
        let there: std::collections::HashSet<&str> = part.names().collect();
        if let Some(name) = names.iter().find(|n| !there.contains(*n)) {
            return Err(source.bad(FORMAT, format_args!("{file} has no tensor \"{name}\"")));
        }
        drop(there);
        let wanted: std::collections::HashSet<&str> = names.iter().copied().collect();
        all.absorb(part, |name| wanted.contains(name))?;
    }
    Ok(all)
}

/// Writes `tensors` to files of at most `most` bytes of tensors (one that is larger has a file of its own) in `folder`, and
/// the index; where one file is enough, that alone. All files are complete and on disk before the first gets its name, the
/// index last. Gives the number of files.
pub fn save(folder: &Path, stem: &str, tensors: &StateDict, metadata: &FileMetadata, most: u64) -> Result<usize> {
    ensure!(most > 0, Value, "the largest size of a file must be positive");
    ensure!(
        !stem.is_empty() && !stem.contains(['/', '\\']) && stem != "." && stem != "..",
        Value,
        "{stem:?} is no file's name"
    );
    let mut parts: Vec<StateDict> = vec![StateDict::new()];
    let (mut held, mut total) = (0u64, 0u64);
    for (name, t) in tensors {
        let n = (t.numel() * t.dtype().size()) as u64;
        if held > 0 && held.saturating_add(n) > most {
            memory::push(&mut parts, StateDict::new())?;
            held = 0;
        }
        (held, total) = (held + n, total + n);
        if let Some(part) = parts.last_mut() {
            memory::reserve_map(part, 1)?;
            part.insert(memory::text(name)?, t.clone());
        }
    }
    let index_path = folder.join(format!("{stem}.safetensors.index.json"));
    if let [one] = parts.as_slice() {
        safetensors::save(folder.join(format!("{stem}.safetensors")), one, metadata)?;
        // An index of before would hide the file.
        let _ = std::fs::remove_file(index_path);
        return Ok(1);
    }
    let _memory = grant(tensors.keys().map(|k| k.len() + 512).sum::<usize>().saturating_mul(8))?;
    let name = |i: usize| format!("{stem}-{:05}-of-{:05}.safetensors", i + 1, parts.len());
    let mut map = serde_json::Map::new();
    for (i, part) in parts.iter().enumerate() {
        part.keys().for_each(|key| drop(map.insert(key.clone(), name(i).into())));
    }
    let mut about = serde_json::Map::new();
    metadata.iter().for_each(|(k, v)| drop(about.insert(k.clone(), v.as_str().into())));
    about.insert("total_size".into(), total.into());
    let index = json!({"metadata": about, "weight_map": map});
    let text = serde_json::to_vec_pretty(&index).map_err(|e| super::file::cannot("write", &index_path, e))?;
    let mut sinks = memory::with_capacity(parts.len())?;
    for (i, part) in parts.iter().enumerate() {
        sinks.push(safetensors::begin(&folder.join(name(i)), part, metadata)?);
    }
    let mut index = Sink::file(&index_path)?;
    index.write(&text)?;
    for s in sinks {
        s.commit()?;
    }
    index.commit()?;
    Ok(parts.len())
}
