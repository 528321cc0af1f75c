//! Where a file's bytes go: a file that appears at once, or memory. Tensors are written piece by piece, so that no copy of
//! them is ever whole.

use super::file::Writer;
use crate::backend::{self, memory};
use crate::base::layout::Layout;
use crate::{Result, Tensor};
use std::path::Path;

enum To {
    File(Writer),
    Memory(Vec<u8>),
}

/// A file being written front to back.
pub struct Sink {
    to: To,
    at: u64,
}

/// What is copied from a tensor at a time.
const PIECE: usize = 1 << 20;

impl Sink {
    pub fn file(path: &Path) -> Result<Sink> {
        Ok(Sink { to: To::File(Writer::begin(path)?), at: 0 })
    }
    pub fn memory() -> Sink {
        Sink { to: To::Memory(Vec::new()), at: 0 }
    }
    /// How many bytes there are so far.
    pub fn at(&self) -> u64 {
        self.at
    }
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.to {
            To::File(w) => w.write(bytes)?,
            To::Memory(v) => {
                memory::reserve(v, bytes.len())?;
                v.extend_from_slice(bytes);
            }
        }
        self.at += bytes.len() as u64;
        Ok(())
    }
    pub fn tensor(&mut self, t: &Tensor) -> Result<()> {
        pieces(t, &mut |piece| self.write(piece))
    }
    /// Room for what is known to come.
    pub fn expect(&mut self, nbytes: usize) -> Result<()> {
        match &mut self.to {
            To::File(_) => Ok(()),
            To::Memory(v) => memory::reserve_exact(v, nbytes),
        }
    }
    /// A file gets its name; memory is given.
    pub fn commit(self) -> Result<Vec<u8>> {
        match self.to {
            To::File(w) => w.commit().map(|_| Vec::new()),
            To::Memory(v) => Ok(v),
        }
    }
}

/// Calls `f` with the tensor's elements in row-major order, piece by piece.
pub fn pieces(t: &Tensor, f: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let size = t.dtype().size();
    let n = t.numel() * size;
    let mut scratch = memory::zeroed(n.min(PIECE))?;
    rows(&t.alias_same(), n, &mut scratch, f)
}

fn rows(t: &Tensor, n: usize, scratch: &mut [u8], f: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    let layout = t.layout();
    if layout.is_contiguous() {
        let (storage, from, device) =
            (t.storage(), layout.offset as usize * t.dtype().size(), backend::get(t.device())?);
        let mut at = 0;
        while at < n {
            let piece = &mut scratch[..PIECE.min(n - at)];
            device.download(&storage, from + at, piece)?;
            f(piece)?;
            at += piece.len();
        }
        return Ok(());
    }
    if n <= PIECE {
        t.copy_to_host(&mut scratch[..n])?;
        return f(&scratch[..n]);
    }
    // As many rows at a time as fit, or the rows one by one in parts.
    let (count, row) = (layout.shape[0] as usize, n / layout.shape[0] as usize);
    let together = (PIECE / row.max(1)).max(1);
    let mut at = 0;
    while at < count {
        let taken = together.min(count - at);
        let mut part = Layout { offset: layout.offset + at as i64 * layout.strides[0], ..layout.clone() };
        if taken == 1 {
            part.shape.remove(0);
            part.strides.remove(0);
        } else {
            part.shape[0] = taken as i64;
        }
        rows(&t.alias(part)?, row * taken, scratch, f)?;
        at += taken;
    }
    Ok(())
}
