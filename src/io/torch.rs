//! PyTorch's files: a zip archive of a pickle and the storages' bytes, or (before 1.6) pickles and bytes in one row.
//!
//! What is in a file becomes a flat list of tensors: keys of dicts and numbers of list items are joined by dots; numbers and
//! bools are tensors of no dimension (int64, float64, bool), lists of numbers tensors of one; texts are text entries under
//! the same names. None and what is neither (bytes, sets, devices) is left out.

use super::contents::{Contents, Entry, FileMetadata};
use super::pickle::{self, Read, Span, Value};
use super::sink::Sink;
use super::source::{Blob, Mend, Source};
use super::zip::{Archive, Zip};
use crate::backend::memory;
use crate::base::dtype::Bool8;
use crate::base::error::{Error, ErrorKind};
use crate::base::layout::{Dims, Layout};
use crate::nn::StateDict;
use crate::{ensure, DType, Result, Tensor};
use rustc_hash::FxHashMap;
use std::fmt::Write;

/// How the files before 1.6 begin: a pickle of a magic number.
pub const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const FORMAT: &str = "PyTorch";
/// Containers in containers.
const MAX_DEPTH: usize = 64;
/// A pickle has no tensors' elements in it.
const MAX_PICKLE: u64 = 256 << 20;

/// The bytes of a storage by its key.
type Blobs<'b> = &'b mut dyn FnMut(&mut Contents, &str, DType, i64) -> Result<usize>;

/// The record of an archive that is the pickle.
fn pickle_name(archive: &Archive) -> Option<&str> {
    archive.records.keys().map(String::as_str).find(|n| n.ends_with("/data.pkl") || *n == "data.pkl")
}
pub fn is_archive(archive: &Archive) -> bool {
    pickle_name(archive).is_some()
}

pub fn open<'a>(source: Source<'a>, archive: &Archive) -> Result<Contents<'a>> {
    let name = pickle_name(archive).unwrap_or_default();
    let prefix = memory::text(&name[..name.len() - "data.pkl".len()])?;
    let record = |key: &str| archive.records.get(&format!("{prefix}{key}"));
    if let Some(r) = record("byteorder").filter(|r| r.size < 64) {
        if archive.read(&source, r)? != b"little" {
            return Err(source.bad(FORMAT, "it holds big-endian data, which is not supported"));
        }
    }
    let r = record("data.pkl").filter(|r| r.size <= MAX_PICKLE);
    let r = r.ok_or_else(|| source.bad(FORMAT, "its pickle is too large"))?;
    let data = archive.read(&source, r)?;
    let read = pickle::run(&data, 0).map_err(|e| damaged(&source, e))?;
    let mut contents = Contents::new(FORMAT, source);
    let mut known: FxHashMap<String, (usize, DType)> = FxHashMap::default();
    let mut blobs = |contents: &mut Contents, key: &str, dtype: DType, total: i64| {
        if let Some((blob, d)) = known.get(key) {
            ensure!(*d == dtype, Io, "{}", twice(contents, key, *d, dtype));
            return Ok(*blob);
        }
        let Some(r) = archive.records.get(&format!("{prefix}data/{key}")) else {
            return Err(contents.source().bad(FORMAT, format_args!("storage {key:?} is missing")));
        };
        let need = (total as u64).checked_mul(dtype.size() as u64);
        if need.is_none_or(|n| n > r.size) {
            let what = format_args!("storage {key} holds {} bytes, {total} elements of {dtype} were expected", r.size);
            return Err(contents.source().bad(FORMAT, what));
        }
        let b = archive.blob(contents.source(), r)?;
        let blob = contents.blob(Blob { dtype, mend: Mend::of(dtype), ..b })?;
        memory::reserve_hash_map(&mut known)?;
        known.insert(memory::text(key)?, (blob, dtype));
        Ok(blob)
    };
    flatten(&mut contents, &read, data.len(), &mut blobs)?;
    Ok(contents)
}

#[cold]
fn twice(contents: &Contents, key: &str, a: DType, b: DType) -> String {
    format!("{} is not a valid {FORMAT} file: storage {key} is of {a} and of {b}", contents.path().display())
}
#[cold]
fn damaged(source: &Source, e: Error) -> Error {
    match e.kind {
        ErrorKind::Io => source.bad(FORMAT, &e.message),
        _ => e,
    }
}

/// Reads a file of the format before 1.6.
pub fn open_legacy(source: Source) -> Result<Contents> {
    let mut n = (1u64 << 20).min(source.len());
    loop {
        let data = source.bytes(0, n)?;
        match legacy_pickles(&data) {
            Ok((read, order, end)) => return place_legacy(source, &data, read, order, end),
            Err(e) if e.message == pickle::TRUNCATED && n < source.len().min(MAX_PICKLE) => {
                n = (n * 4).min(source.len()).min(MAX_PICKLE);
            }
            Err(e) => return Err(damaged(&source, e)),
        }
    }
}

/// The object, the order of the storages, and where their bytes begin.
fn legacy_pickles(data: &[u8]) -> Result<(Read<'_>, Read<'_>, usize)> {
    let magic = pickle::run(data, 0)?;
    let version = pickle::run(data, magic.end)?;
    ensure!(matches!(version.value, Value::Int(1001)), Io, "its version is not known");
    let system = pickle::run(data, version.end)?;
    if let Value::Dict(d) = system.value {
        for (k, v) in &system.dicts[d] {
            if let (Value::Text(k), Value::Bool(false)) = (k, v) {
                ensure!(system.text(*k) != "little_endian", Io, "it holds big-endian data, which is not supported");
            }
        }
    }
    let read = pickle::run(data, system.end)?;
    let order = pickle::run(data, read.end)?;
    let end = order.end;
    Ok((read, order, end))
}

fn place_legacy<'a>(source: Source<'a>, data: &[u8], read: Read, order: Read, end: usize) -> Result<Contents<'a>> {
    let Value::List(keys) = order.value else { return Err(source.bad(FORMAT, "its storages have no order")) };
    let mut contents = Contents::new(FORMAT, source);
    let mut dtypes: FxHashMap<&[u8], DType> = FxHashMap::default();
    for s in &read.storages {
        memory::reserve_hash_map(&mut dtypes)?;
        let had = dtypes.insert(&data[s.key.0..s.key.1], s.dtype);
        if let Some(d) = had.filter(|d| *d != s.dtype) {
            return Err(Error::new(ErrorKind::Io, twice(&contents, &read.text(s.key), d, s.dtype)));
        }
    }
    let mut places: FxHashMap<String, (usize, i64)> = FxHashMap::default();
    let mut at = end as u64;
    for key in &order.lists[keys] {
        let Value::Text(key) = key else { return Err(contents.source().bad(FORMAT, "a storage's key is no text")) };
        let Some(dtype) = dtypes.get(&data[key.0..key.1]) else {
            return Err(contents.source().bad(FORMAT, "a storage that no tensor has"));
        };
        let count = i64::from_le_bytes(contents.source().array(at)?);
        let size = u64::try_from(count).ok().and_then(|n| n.checked_mul(dtype.size() as u64));
        let next = size.and_then(|n| (at + 8).checked_add(n)).filter(|end| *end <= contents.source().len());
        let (Some(size), Some(next)) = (size, next) else {
            return Err(contents.source().bad(FORMAT, "a storage reaches beyond its end: was it cut?"));
        };
        let blob = contents.blob(Blob::plain(0, at + 8, size, *dtype))?;
        memory::reserve_hash_map(&mut places)?;
        places.insert(order.text(*key).into_owned(), (blob, count));
        at = next;
    }
    let mut blobs = |contents: &mut Contents, key: &str, _: DType, total: i64| match places.get(key) {
        Some((blob, count)) if total <= *count => Ok(*blob),
        _ => Err(contents.source().bad(FORMAT, format_args!("storage {key:?} is missing or too short"))),
    };
    flatten(&mut contents, &read, end, &mut blobs)?;
    Ok(contents)
}

struct Flat<'r, 'b> {
    read: &'r Read<'r>,
    blobs: Blobs<'b>,
    /// Values that may still be visited and bytes of names that may still be written: containers that stand in many
    /// places would else be many more than the file is long.
    values: usize,
    bytes: usize,
    texts: FileMetadata,
}

fn flatten(contents: &mut Contents, read: &Read, len: usize, blobs: Blobs) -> Result<()> {
    let mut flat =
        Flat { read, blobs, values: 4 * len + 1024, bytes: 16 * len + (1 << 16), texts: FileMetadata::new() };
    let mut name = String::new();
    flat.value(contents, &mut name, read.value, 0)?;
    contents.metadata = flat.texts;
    Ok(())
}

impl Flat<'_, '_> {
    fn put(&mut self, contents: &mut Contents, name: &str, t: Tensor) -> Result<()> {
        let name = self.name(contents, name)?;
        contents.put(name, Entry::Known(t))
    }
    /// A name's copy.
    fn name(&mut self, contents: &Contents, name: &str) -> Result<String> {
        match self.bytes.checked_sub(name.len()) {
            Some(left) => self.bytes = left,
            None => return Err(contents.source().bad(FORMAT, "its names together are longer than the file allows")),
        }
        memory::text(if name.is_empty() { super::npy::ONLY } else { name })
    }
    fn value(&mut self, contents: &mut Contents, name: &mut String, v: Value, depth: usize) -> Result<()> {
        if self.values == 0 || depth > MAX_DEPTH {
            let what =
                if depth > MAX_DEPTH { "containers are nested too deep" } else { "it has more values than bytes" };
            return Err(contents.source().bad(FORMAT, what));
        }
        if memory::is_low() {
            memory::check()?;
        }
        self.values -= 1;
        match v {
            Value::Tensor(t) => self.tensor(contents, name, t),
            Value::Dict(d) => {
                let read = self.read;
                for (k, v) in &read.dicts[d] {
                    let n = name.len();
                    self.join(contents, name, *k)?;
                    self.value(contents, name, *v, depth + 1)?;
                    name.truncate(n);
                }
                Ok(())
            }
            Value::List(l) => self.list(contents, name, l, depth),
            Value::Bool(b) => self.put(contents, name, Tensor::from_slice(&[Bool8(b as u8)], &[])?),
            Value::Int(i) => self.put(contents, name, Tensor::from_slice(&[i], &[])?),
            Value::Float(f) => self.put(contents, name, Tensor::from_slice(&[f], &[])?),
            Value::Text(s) => self.text(contents, name, s),
            Value::None | Value::Name(_) | Value::Storage(_) | Value::Other => Ok(()),
        }
    }
    fn text(&mut self, contents: &Contents, name: &str, s: Span) -> Result<()> {
        let key = self.name(contents, name)?;
        let text = self.read.text(s);
        match self.bytes.checked_sub(text.len()) {
            Some(left) => self.bytes = left,
            None => return Err(contents.source().bad(FORMAT, "its texts together are longer than the file allows")),
        }
        memory::reserve_map(&mut self.texts, 1)?;
        self.texts.insert(key, text.into_owned());
        Ok(())
    }
    fn list(&mut self, contents: &mut Contents, name: &mut String, l: usize, depth: usize) -> Result<()> {
        let read = self.read;
        let items = &read.lists[l];
        if !items.is_empty() && items.iter().all(|v| matches!(v, Value::Bool(_) | Value::Int(_) | Value::Float(_))) {
            match self.values.checked_sub(items.len()) {
                Some(left) => self.values = left,
                None => return Err(contents.source().bad(FORMAT, "it has more values than bytes")),
            }
            let n = [items.len() as i64];
            let t = if items.iter().all(|v| matches!(v, Value::Bool(_))) {
                let all = memory::collect(items.iter().map(|v| Bool8(matches!(v, Value::Bool(true)) as u8)))?;
                Tensor::from_slice(&all, &n)?
            } else if items.iter().any(|v| matches!(v, Value::Float(_))) {
                let number = |v: &Value| match v {
                    Value::Float(f) => *f,
                    Value::Int(i) => *i as f64,
                    Value::Bool(b) => *b as u8 as f64,
                    _ => 0.0,
                };
                Tensor::from_slice(&memory::collect(items.iter().map(number))?, &n)?
            } else {
                let number = |v: &Value| match v {
                    Value::Int(i) => *i,
                    Value::Bool(b) => *b as i64,
                    _ => 0,
                };
                Tensor::from_slice(&memory::collect(items.iter().map(number))?, &n)?
            };
            return self.put(contents, name, t);
        }
        for (i, v) in items.iter().enumerate() {
            let n = name.len();
            self.join(contents, name, Value::Int(i as i64))?;
            self.value(contents, name, *v, depth + 1)?;
            name.truncate(n);
        }
        Ok(())
    }
    fn join(&mut self, contents: &Contents, name: &mut String, key: Value) -> Result<()> {
        let part = match key {
            Value::Text(s) => self.read.text(s),
            Value::Int(i) => format!("{i}").into(),
            Value::Bool(b) => (if b { "True" } else { "False" }).into(),
            Value::Float(f) => format!("{f:?}").into(),
            Value::None => "None".into(),
            _ => return Err(contents.source().bad(FORMAT, "a key is neither text nor number")),
        };
        match self.bytes.checked_sub(part.len() + 1) {
            Some(left) => self.bytes = left,
            None => return Err(contents.source().bad(FORMAT, "its names together are longer than the file allows")),
        }
        memory::reserve_text(name, part.len() + 1)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&part);
        Ok(())
    }
    fn tensor(&mut self, contents: &mut Contents, name: &str, t: usize) -> Result<()> {
        let read = self.read;
        let t = &read.tensors[t];
        let s = &read.storages[t.storage];
        let blob = (self.blobs)(contents, &read.text(s.key), s.dtype, s.total)?;
        let inside = || {
            // Within the view that the tensor's storage is.
            let mut last = t.offset;
            for (n, stride) in t.size.iter().zip(&t.stride) {
                if *n == 0 {
                    return true;
                }
                last = last.saturating_add((n - 1).saturating_mul(*stride));
            }
            last < s.count
        };
        if t.offset < 0 || t.size.len() != t.stride.len() || !inside() {
            let what = format_args!(
                "a tensor of size {:?} with strides {:?} at offset {} does not fit into its storage of {} elements",
                t.size, t.stride, t.offset, s.count
            );
            return Err(contents.source().bad(FORMAT, what));
        }
        let empty = t.size.contains(&0);
        let layout = Layout {
            shape: Dims::from_slice(&t.size),
            strides: Dims::from_slice(&t.stride),
            offset: if empty { 0 } else { s.offset.saturating_add(t.offset) },
        };
        let name = self.name(contents, name)?;
        contents.add(name, blob, layout)
    }
}

// --- writing ---

/// Writes a flat `OrderedDict` of tensors, which `torch.load(weights_only=True)` reads; text entries are texts in it.
/// Tensors that share memory share it in the file.
pub fn save(sink: Sink, tensors: &StateDict, metadata: &FileMetadata) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut stores: Vec<Tensor> = Vec::new();
    let mut keys: FxHashMap<(usize, DType), usize> = FxHashMap::default();
    put(&mut out, b"\x80\x02ccollections\nOrderedDict\n)R(")?;
    for (name, t) in tensors {
        put_text(&mut out, name)?;
        let storage = t.storage();
        let (size, mut layout) = (t.dtype().size(), t.layout());
        let count = storage.nbytes() / size;
        let id = (std::sync::Arc::as_ptr(&storage) as *const u8 as usize, t.dtype());
        let key = match keys.get(&id) {
            Some(key) => *key,
            None => {
                memory::push(&mut stores, t.alias(Layout::contiguous(&[count as i64]))?)?;
                memory::reserve_hash_map(&mut keys)?;
                keys.insert(id, stores.len() - 1);
                stores.len() - 1
            }
        };
        if t.numel() == 0 {
            layout.offset = 0;
        }
        put(&mut out, b"ctorch._utils\n_rebuild_tensor_v2\n((")?;
        put_text(&mut out, "storage")?;
        put(&mut out, format!("ctorch\n{}\n", pickle::storage_name(t.dtype())).as_bytes())?;
        put_text(&mut out, &key.to_string())?;
        put_text(&mut out, "cpu")?;
        put_int(&mut out, count as i64)?;
        put(&mut out, b"tQ")?;
        put_int(&mut out, layout.offset)?;
        for list in [&layout.shape, &layout.strides] {
            put(&mut out, b"(")?;
            list.iter().try_for_each(|n| put_int(&mut out, *n))?;
            put(&mut out, b"t")?;
        }
        put(&mut out, b"\x89ccollections\nOrderedDict\n)RtR")?;
    }
    for (key, text) in metadata {
        ensure!(!tensors.contains_key(key), Value, "\"{key}\" is a tensor and a text entry: a dict holds one of them");
        put_text(&mut out, key)?;
        put_text(&mut out, text)?;
    }
    put(&mut out, b"u.")?;
    let mut zip = Zip::new(sink);
    let mut name = String::new();
    let mut named = |key: std::fmt::Arguments| {
        name.clear();
        let _ = write!(name, "archive/{key}");
        name.clone()
    };
    zip.bytes(&named(format_args!("data.pkl")), &out)?;
    zip.bytes(&named(format_args!(".format_version")), b"1")?;
    zip.bytes(&named(format_args!(".storage_alignment")), b"64")?;
    zip.bytes(&named(format_args!("byteorder")), b"little")?;
    for (i, t) in stores.iter().enumerate() {
        zip.tensor(&named(format_args!("data/{i}")), b"", t, false)?;
    }
    zip.bytes(&named(format_args!("version")), b"3\n")?;
    zip.finish()
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    memory::reserve(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}
fn put_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    put(out, b"X")?;
    put(out, &(text.len() as u32).to_le_bytes())?;
    put(out, text.as_bytes())
}
fn put_int(out: &mut Vec<u8>, n: i64) -> Result<()> {
    match i32::try_from(n) {
        Ok(n) => {
            put(out, b"J")?;
            put(out, &n.to_le_bytes())
        }
        Err(_) => {
            put(out, b"\x8a\x08")?;
            put(out, &n.to_le_bytes())
        }
    }
}
