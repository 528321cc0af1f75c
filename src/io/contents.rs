//! What is in an opened file: tensors by name, which are read when they are asked for.

use super::inflate;
use super::source::{Blob, Source};
use crate::backend::memory;
use crate::base::layout::{checked_numel, contiguous_strides, Dims, Layout};
use crate::nn::StateDict;
use crate::{bail, ensure, DType, Device, Result, Tensor};
use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use std::path::Path;

/// A file's own text entries (`__metadata__`).
pub type FileMetadata = IndexMap<String, String>;

/// One name of a file.
#[derive(Clone)]
pub enum Entry {
    /// Elements of a blob.
    Stored { blob: usize, layout: Layout },
    /// What was read with the file already: a number of a pickle.
    Known(Tensor),
}

/// An opened file.
pub struct Contents<'a> {
    pub format: &'static str,
    sources: Vec<Source<'a>>,
    blobs: Vec<Blob>,
    entries: IndexMap<String, Entry>,
    pub metadata: FileMetadata,
}

impl<'a> Contents<'a> {
    pub fn new(format: &'static str, source: Source<'a>) -> Contents<'a> {
        Contents {
            format,
            sources: vec![source],
            blobs: Vec::new(),
            entries: IndexMap::new(),
            metadata: FileMetadata::new(),
        }
    }
    pub fn source(&self) -> &Source<'a> {
        &self.sources[0]
    }
    pub fn path(&self) -> &Path {
        self.sources[0].path()
    }
    pub fn blob(&mut self, blob: Blob) -> Result<usize> {
        memory::push(&mut self.blobs, blob)?;
        Ok(self.blobs.len() - 1)
    }
    /// Adds a name. Sizes and strides must lie inside the blob, which is checked.
    pub fn add(&mut self, name: String, blob: usize, layout: Layout) -> Result<()> {
        let b = &self.blobs[blob];
        checked_numel(&layout.shape).map_err(|e| self.source().bad(self.format, &e.message))?;
        let need = layout.offset.checked_add(last(&layout));
        ensure!(
            layout.offset >= 0
                && layout.strides.len() == layout.shape.len()
                && layout.strides.iter().all(|s| *s >= 0)
                && need.is_some_and(|n| n <= b.elements()),
            Io,
            "{} is not a valid {} file: tensor \"{name}\" of sizes {:?}, strides {:?} and offset {} does not fit into its {} elements",
            self.path().display(),
            self.format,
            &layout.shape[..],
            &layout.strides[..],
            layout.offset,
            b.elements()
        );
        self.put(name, Entry::Stored { blob, layout })
    }
    pub fn put(&mut self, name: String, entry: Entry) -> Result<()> {
        if name.contains('\0') {
            // C's strings end at a NUL: two names could look alike.
            bail!(Io, "cannot read {}: the tensor name {name:?} has a NUL inside", self.path().display());
        }
        if self.entries.contains_key(&name) {
            return Err(self.source().bad(self.format, format_args!("two tensors are called \"{name}\"")));
        }
        memory::reserve_map(&mut self.entries, 1)?;
        self.entries.insert(name, entry);
        Ok(())
    }
    /// Takes another opened file's tensors over.
    pub fn absorb(&mut self, other: Contents<'a>, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let (sources, blobs) = (self.sources.len(), self.blobs.len());
        for s in other.sources {
            memory::push(&mut self.sources, s)?;
        }
        for b in other.blobs {
            memory::push(&mut self.blobs, Blob { source: b.source + sources, ..b })?;
        }
        for (name, entry) in other.entries {
            if wanted(&name) {
                let entry = match entry {
                    Entry::Stored { blob, layout } => Entry::Stored { blob: blob + blobs, layout },
                    known => known,
                };
                self.put(name, entry)?;
            }
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }
    fn entry(&self, name: &str) -> Result<&Entry> {
        match self.entries.get(name) {
            Some(e) => Ok(e),
            None => bail!(Key, "there is no tensor \"{name}\" in {}", self.path().display()),
        }
    }
    /// Dtype and sizes of a tensor, which is not read.
    pub fn about(&self, name: &str) -> Result<(DType, Dims)> {
        Ok(match self.entry(name)? {
            Entry::Stored { blob, layout } => (self.blobs[*blob].dtype, layout.shape.clone()),
            Entry::Known(t) => (t.dtype(), t.shape()),
        })
    }
    /// Reads one tensor.
    pub fn get(&self, name: &str, device: Device) -> Result<Tensor> {
        match self.entry(name)? {
            Entry::Stored { blob, layout } => self.read(*blob, layout, device),
            Entry::Known(t) => crate::nn::convert(t, t.dtype(), device),
        }
    }
    /// Reads rows `start` to `stop` (exclusive) of a tensor; both may count from the end, and are cut to what is there.
    pub fn get_rows(&self, name: &str, start: i64, stop: i64, device: Device) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let (blob, layout) = match entry {
            Entry::Stored { blob, layout } => (Some(*blob), layout.clone()),
            Entry::Known(t) => (None, t.layout()),
        };
        ensure!(layout.ndim() > 0, Index, "tensor \"{name}\" has no dimensions, so no rows can be taken of it");
        let n = layout.shape[0];
        let place = |i: i64| if i < 0 { i.saturating_add(n) } else { i }.clamp(0, n);
        let (start, stop) = (place(start), place(stop));
        let mut part = layout;
        part.offset += if n > 0 { start * part.strides[0] } else { 0 };
        part.shape[0] = (stop - start).max(0);
        if part.shape[0] == 0 {
            part.offset = 0;
        }
        match (entry, blob) {
            (Entry::Known(t), _) => t.alias(part)?.contiguous_copy()?.on(device),
            (_, Some(blob)) => self.read(blob, &part, device),
            _ => Ok(Tensor::empty(&part.shape, DType::F32, device)?),
        }
    }
    /// Reads all tensors in order. Those that share memory in the file share it again.
    pub fn all(&self, device: Device) -> Result<StateDict> {
        let mut uses: FxHashMap<usize, usize> = FxHashMap::default();
        for entry in self.entries.values() {
            if let Entry::Stored { blob, .. } = entry {
                memory::reserve_hash_map(&mut uses)?;
                *uses.entry(*blob).or_default() += 1;
            }
        }
        let mut whole: FxHashMap<usize, Tensor> = FxHashMap::default();
        let mut out = StateDict::new();
        memory::reserve_map(&mut out, self.entries.len())?;
        for (name, entry) in &self.entries {
            let t = match entry {
                Entry::Known(t) => crate::nn::convert(t, t.dtype(), device)?,
                Entry::Stored { blob, layout } if uses.get(blob).is_some_and(|n| *n > 1) => {
                    let flat = match whole.get(blob) {
                        Some(t) => t.clone(),
                        None => {
                            let t = self.flat(*blob, device)?;
                            memory::reserve_hash_map(&mut whole)?;
                            whole.insert(*blob, t.clone());
                            t
                        }
                    };
                    flat.alias(layout.clone())?
                }
                Entry::Stored { blob, layout } => self.read(*blob, layout, device)?,
            };
            out.insert(memory::text(name)?, t);
        }
        Ok(out)
    }

    /// A blob's elements in one row.
    fn flat(&self, blob: usize, device: Device) -> Result<Tensor> {
        let n = self.blobs[blob].elements();
        self.read(blob, &Layout::contiguous(&[n]), device)
    }

    fn read(&self, blob: usize, layout: &Layout, device: Device) -> Result<Tensor> {
        let b = &self.blobs[blob];
        let source = &self.sources[b.source];
        if !layout.is_contiguous() {
            // What lies in between is read, too, which a view of the whole file's memory would have as well.
            return self.flat(blob, device)?.alias(layout.clone());
        }
        let item = b.dtype.size() as u64;
        let (from, n) = (b.skip + layout.offset as u64 * item, layout.numel() as u64 * item);
        let whole = from == 0 && n == b.size;
        if b.deflated {
            let mut bytes = inflate::whole(source, b)?;
            let part = &mut bytes[from as usize..(from + n) as usize];
            b.mend.apply(part);
            return Tensor::from_bytes(part, &layout.shape, b.dtype, device);
        }
        if device == Device::CPU {
            if let Some(t) = source.map(b.at + from, &layout.shape, b.dtype, b.mend) {
                return Ok(t);
            }
        }
        let t = Tensor::empty(&layout.shape, b.dtype, device)?;
        // The checksum is that of all bytes, those before the elements too.
        let ahead = b.crc.is_some() && from == b.skip && from + n == b.size;
        let sum = source.fill(b.at + from, &t, b.mend, whole && b.crc.is_some() || ahead)?;
        if let (Some(sum), Some(want)) = (sum, b.crc) {
            let mut all = crc32fast::Hasher::new();
            if b.skip > 0 {
                all.update(&source.bytes(b.at, b.skip)?);
            }
            all.combine(&crc32fast::Hasher::new_with_initial_len(sum, n));
            if all.finalize() != want {
                return Err(source.bad(self.format, "the checksum of a record is wrong: it is damaged"));
            }
        }
        Ok(t)
    }
}

/// How many elements from the offset on a layout reaches; more than there are where they overflow.
fn last(layout: &Layout) -> i64 {
    let mut n = 1i64;
    for (size, stride) in layout.shape.iter().zip(&layout.strides) {
        if *size == 0 {
            return 0;
        }
        n = n.saturating_add((size - 1).saturating_mul(*stride));
    }
    n
}

/// The layout of elements in column-major order.
pub fn columns(shape: &[i64]) -> Layout {
    let back: Dims = shape.iter().rev().copied().collect();
    let mut strides = contiguous_strides(&back);
    strides.reverse();
    Layout { shape: Dims::from_slice(shape), strides, offset: 0 }
}

trait On {
    fn on(self, device: Device) -> Result<Tensor>;
}
impl On for Tensor {
    fn on(self, device: Device) -> Result<Tensor> {
        if self.device() == device {
            return Ok(self);
        }
        crate::nn::convert(&self, self.dtype(), device)
    }
}
