//! Where a file's bytes come from: a file, or memory of the caller's. Everything is read by place and length, which are
//! compared with the whole before anything is allocated.

use super::file::{cannot, io_error};
use crate::backend::cpu::threads::coarse;
use crate::backend::{self, mapped, memory};
use crate::base::device::DeviceType;
use crate::base::error::{Error, ErrorKind};
use crate::base::layout::Layout;
use crate::base::sync::Mutex;
use crate::{DType, Result, Tensor};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Memory that holds a file's bytes.
pub trait Bytes: Send + Sync {
    fn bytes(&self) -> &[u8];
}
impl Bytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

enum From<'a> {
    File(File),
    Owned(Box<dyn Bytes + 'a>),
    Borrowed(&'a [u8]),
}

/// An opened file, or memory in its place.
pub struct Source<'a> {
    from: From<'a>,
    /// As the caller gave it, for messages.
    path: PathBuf,
    len: u64,
    /// Whether tensors may use the file's pages as their memory.
    pub mapped: bool,
}

/// What is done to bytes so that they are elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    Nothing,
    /// Other writers may store any nonzero byte for true.
    Bool,
    /// The bytes of each element stand the other way around.
    Swap(usize),
}
impl Mend {
    pub fn of(dtype: DType) -> Mend {
        match dtype {
            DType::Bool => Mend::Bool,
            _ => Mend::Nothing,
        }
    }
    pub fn apply(self, bytes: &mut [u8]) {
        match self {
            Mend::Nothing => {}
            Mend::Bool => bytes.iter_mut().for_each(|b| *b = (*b != 0) as u8),
            Mend::Swap(n) => bytes.chunks_exact_mut(n).for_each(<[u8]>::reverse),
        }
    }
}

/// A run of bytes in one of the sources, which holds one or more tensors' elements.
#[derive(Clone, Debug)]
pub struct Blob {
    pub source: usize,
    pub at: u64,
    /// Bytes in the file, and as they are read.
    pub packed: u64,
    pub size: u64,
    pub deflated: bool,
    pub crc: Option<u32>,
    /// How many bytes come before the first element, and the elements' type.
    pub skip: u64,
    pub dtype: DType,
    pub mend: Mend,
}
impl Blob {
    /// As they stand in the file.
    pub fn plain(source: usize, at: u64, size: u64, dtype: DType) -> Blob {
        let mend = Mend::of(dtype);
        Blob { source, at, packed: size, size, deflated: false, crc: None, skip: 0, dtype, mend }
    }
    pub fn elements(&self) -> i64 {
        ((self.size - self.skip) / self.dtype.size() as u64) as i64
    }
}

/// What a thread reads at a time: it stays in its cache until it is copied into the tensor.
const PIECE: usize = 256 << 10;
/// Below, one thread reads.
const LARGE: usize = 4 << 20;

impl<'a> Source<'a> {
    pub fn file(path: &Path, mapped: bool) -> Result<Source<'a>> {
        let file = File::open(path).map_err(|e| io_error("read", path, e))?;
        let about = file.metadata().map_err(|e| io_error("read", path, e))?;
        if about.is_dir() {
            return Err(cannot("read", path, "it is a directory"));
        }
        Ok(Source { from: From::File(file), path: path.to_path_buf(), len: about.len(), mapped })
    }
    pub fn memory(bytes: &'a [u8]) -> Source<'a> {
        Source { len: bytes.len() as u64, from: From::Borrowed(bytes), path: "the bytes".into(), mapped: false }
    }
    pub fn owned(bytes: Box<dyn Bytes + 'a>) -> Source<'a> {
        Source { len: bytes.bytes().len() as u64, from: From::Owned(bytes), path: "the bytes".into(), mapped: false }
    }
    pub fn len(&self) -> u64 {
        self.len
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// The error of a file that is no good.
    pub fn bad(&self, format: &str, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Io, format!("{} is not a valid {format} file: {what}", self.path.display()))
    }
    fn too_short(&self) -> Error {
        Error::new(ErrorKind::Io, format!("{} ends too early: it is damaged, or was cut", self.path.display()))
    }
    fn has(&self, at: u64, n: u64) -> Result<()> {
        match at.checked_add(n) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(self.too_short()),
        }
    }
    fn in_memory(&self) -> Option<&[u8]> {
        match &self.from {
            From::File(_) => None,
            From::Owned(b) => Some(b.bytes()),
            From::Borrowed(b) => Some(b),
        }
    }
    /// Fills `out` from `at` on.
    pub fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        self.has(at, out.len() as u64)?;
        match &self.from {
            From::File(f) => read_at(f, at, out).map_err(|e| match e.kind() {
                std::io::ErrorKind::UnexpectedEof => self.too_short(),
                _ => io_error("read", &self.path, e),
            }),
            _ => {
                if let Some(all) = self.in_memory() {
                    out.copy_from_slice(&all[at as usize..at as usize + out.len()]);
                }
                Ok(())
            }
        }
    }
    /// `n` bytes from `at` on.
    pub fn bytes(&self, at: u64, n: u64) -> Result<Vec<u8>> {
        self.has(at, n)?;
        let mut out = memory::zeroed(n as usize)?;
        self.read(at, &mut out)?;
        Ok(out)
    }
    /// `N` bytes from `at` on.
    pub fn array<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.read(at, &mut out)?;
        Ok(out)
    }

    /// The file's pages from `at` on as a tensor's memory, where that can be.
    pub fn map(&self, at: u64, shape: &[i64], dtype: DType, mend: Mend) -> Option<Tensor> {
        let From::File(file) = &self.from else { return None };
        let n = shape.iter().try_fold(dtype.size(), |n, s| n.checked_mul(*s as usize))?;
        if !self.mapped || n == 0 || mend != Mend::Nothing || !at.is_multiple_of(dtype.size() as u64) {
            return None;
        }
        self.has(at, n as u64).ok()?;
        let storage = mapped::storage(file, at, n).ok()?;
        Tensor::from_storage(Arc::new(storage), Layout::contiguous(shape), dtype).ok()
    }

    /// Reads the elements of a new contiguous tensor from `at` on; gives the checksum of the bytes where one is asked for.
    pub fn fill(&self, at: u64, t: &Tensor, mend: Mend, checked: bool) -> Result<Option<u32>> {
        let n = t.numel() * t.dtype().size();
        self.has(at, n as u64)?;
        let (storage, device) = (t.storage(), t.device());
        let to = backend::get(device)?;
        // A part is cut where an element ends.
        let parts = if n < LARGE || device.kind != DeviceType::Cpu { 1 } else { coarse::parts() };
        let each = n.div_ceil(parts.max(1)).next_multiple_of(PIECE).max(PIECE);
        let parts = n.div_ceil(each);
        let sums = Mutex::new(memory::filled(parts, None::<crc32fast::Hasher>)?);
        let failed = Mutex::new(None);
        coarse::each(parts, |i| {
            let (mut from, end) = (i * each, ((i + 1) * each).min(n));
            let mut run = || {
                let mut sum = checked.then(crc32fast::Hasher::new);
                let mut scratch = memory::zeroed::<u8>(PIECE.min(end - from))?;
                while from < end {
                    let piece = &mut scratch[..PIECE.min(end - from)];
                    self.read(at + from as u64, piece)?;
                    if let Some(s) = &mut sum {
                        s.update(piece);
                    }
                    mend.apply(piece);
                    to.upload(piece, &storage, from)?;
                    from += piece.len();
                }
                sums.lock()[i] = sum;
                Ok(())
            };
            if let Err(e) = run() {
                failed.lock().get_or_insert(e);
            }
        });
        if let Some(e) = failed.lock().take() {
            return Err(e);
        }
        if !checked {
            return Ok(None);
        }
        let mut all = crc32fast::Hasher::new();
        sums.lock().iter().flatten().for_each(|s| all.combine(s));
        Ok(Some(all.finalize()))
    }
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}
/// Elsewhere the place in the file is the handle's, and one thread at a time reads.
#[cfg(not(unix))]
fn read_at(file: &File, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    static ONE: Mutex<()> = Mutex::new(());
    let _turn = ONE.lock();
    let mut file = file;
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(bytes)
}
