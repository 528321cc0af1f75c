//! Memory that may run out: everything whose size a caller influences is obtained here and can fail.
//!
//! `Vec`, `String` and `Box` end the process when memory runs out. What grows with data, with a dimension, a list or a
//! text is therefore made by the functions below, which ask the out-of-memory hook once and then return an error of
//! kind `OutOfMemory`. What is small and bounded (a node, a handle, a message) keeps its plain form: `reserve` has a
//! global allocator that serves it from a reserve when the system has nothing left, and `check` turns the next call
//! into an error while that lasts.

#[cfg(debug_assertions)]
pub mod inject;
pub mod reserve;
mod system;

use crate::base::error::{ErrorKind, Result};
use indexmap::IndexMap;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::Hash;
use std::mem::size_of;

pub use reserve::{check, is_low, prepare};
pub use system::*;

/// What `taper_memory_stats` reports, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Held by live tensors now, and at most so far.
    pub allocated: u64,
    pub allocated_peak: u64,
    /// Obtained from the system: live and cached.
    pub reserved: u64,
    pub reserved_peak: u64,
    /// Allocations served since the start.
    pub allocations: u64,
}

fn bytes_of<T>(n: usize) -> usize {
    n.saturating_mul(size_of::<T>())
}

/// Room for `more` elements behind those that are there, exactly.
pub fn reserve_exact<T>(v: &mut Vec<T>, more: usize) -> Result<()> {
    let nbytes = bytes_of::<T>(more);
    attempt(nbytes, || (!is_absurd(nbytes) && reserve::fallibly(|| v.try_reserve_exact(more)).is_ok()).then_some(()))
}

/// Room for `more` elements, and for as many again when the vector grows.
pub fn reserve<T>(v: &mut Vec<T>, more: usize) -> Result<()> {
    if v.capacity() - v.len() >= more {
        return Ok(());
    }
    let nbytes = bytes_of::<T>(v.len().saturating_add(more));
    attempt(nbytes, || (!is_absurd(nbytes) && reserve::fallibly(|| v.try_reserve(more)).is_ok()).then_some(()))
}

/// Room for `more` elements in a list that is short as a rule.
pub fn reserve_small<A: smallvec::Array>(v: &mut SmallVec<A>, more: usize) -> Result<()> {
    if v.capacity() - v.len() >= more {
        return Ok(());
    }
    let nbytes = bytes_of::<A::Item>(v.len().saturating_add(more));
    attempt(nbytes, || (!is_absurd(nbytes) && reserve::fallibly(|| v.try_reserve(more)).is_ok()).then_some(()))
}

/// An empty vector with room for `n` elements.
pub fn with_capacity<T>(n: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    reserve_exact(&mut v, n)?;
    Ok(v)
}

/// `n` times `value`.
pub fn filled<T: Clone>(n: usize, value: T) -> Result<Vec<T>> {
    let mut v = with_capacity(n)?;
    v.resize(n, value);
    Ok(v)
}

/// `n` zeros, which cost no time where the system's fresh memory is zero already.
pub fn zeroed<T: bytemuck::Zeroable + Copy>(n: usize) -> Result<Vec<T>> {
    let Ok(layout) = std::alloc::Layout::array::<T>(n) else { return Err(out_of_memory(bytes_of::<T>(n))) };
    if layout.size() == 0 {
        return filled(n, T::zeroed());
    }
    attempt(layout.size(), || {
        if is_absurd(layout.size()) {
            return None;
        }
        // SAFETY: a block of n elements from the global allocator, all zero, which T allows.
        unsafe {
            let p = reserve::fallibly(|| std::alloc::alloc_zeroed(layout)).cast::<T>();
            (!p.is_null()).then(|| Vec::from_raw_parts(p, n, n))
        }
    })
}

/// The items of an iterator.
pub fn collect<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let items = items.into_iter();
    let (least, most) = items.size_hint();
    let mut v = with_capacity(least)?;
    if most == Some(least) {
        v.extend(items);
        return Ok(v);
    }
    for item in items {
        push(&mut v, item)?;
    }
    Ok(v)
}

/// The items of an iterator, or its first error.
pub fn try_collect<T>(items: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let items = items.into_iter();
    let mut v = with_capacity(items.size_hint().0)?;
    for item in items {
        push(&mut v, item?)?;
    }
    Ok(v)
}

/// A slice's copy.
pub fn copied<T: Clone>(s: &[T]) -> Result<Vec<T>> {
    let mut v = with_capacity(s.len())?;
    v.extend_from_slice(s);
    Ok(v)
}

#[inline]
pub fn push<T>(v: &mut Vec<T>, item: T) -> Result<()> {
    if v.len() == v.capacity() {
        reserve(v, 1)?;
    }
    v.push(item);
    Ok(())
}

/// Room for `more` bytes of text.
pub fn reserve_text(s: &mut String, more: usize) -> Result<()> {
    if s.capacity() - s.len() >= more {
        return Ok(());
    }
    let nbytes = s.len().saturating_add(more);
    attempt(nbytes, || (!is_absurd(nbytes) && reserve::fallibly(|| s.try_reserve(more)).is_ok()).then_some(()))
}

/// A text's copy.
pub fn text(s: &str) -> Result<String> {
    let mut out = String::new();
    reserve_text(&mut out, s.len())?;
    out.push_str(s);
    Ok(out)
}

/// Room for `more` entries of a map.
pub fn reserve_map<K: Hash + Eq, V>(map: &mut IndexMap<K, V>, more: usize) -> Result<()> {
    if map.capacity() - map.len() >= more {
        return Ok(());
    }
    let nbytes = bytes_of::<(usize, usize, K, V)>(map.len().saturating_add(more));
    attempt(nbytes, || (!is_absurd(nbytes) && reserve::fallibly(|| map.try_reserve(more)).is_ok()).then_some(()))
}

/// The same for one entry, without asking the hook: for what is locked, inside [`attempt`].
pub fn try_reserve_map<K: Hash + Eq, V>(map: &mut IndexMap<K, V>) -> Option<()> {
    let room = map.len() < map.capacity() || reserve::fallibly(|| map.try_reserve(1)).is_ok();
    room.then_some(())
}

/// Room for one more entry of a hash map.
pub fn reserve_hash_map<K: Hash + Eq, V, S: std::hash::BuildHasher>(map: &mut HashMap<K, V, S>) -> Result<()> {
    if map.len() < map.capacity() {
        return Ok(());
    }
    let nbytes = bytes_of::<(K, V)>(2 * map.len());
    attempt(nbytes, || reserve::fallibly(|| map.try_reserve(1)).is_ok().then_some(()))
}

/// A copy of text entries.
pub fn copied_texts(from: &IndexMap<String, String>) -> Result<IndexMap<String, String>> {
    let mut map = IndexMap::new();
    reserve_map(&mut map, from.len())?;
    for (k, v) in from {
        map.insert(text(k)?, text(v)?);
    }
    Ok(map)
}

/// Runs `f`, and once more when it ran out of memory and the hook freed some: for kernels that write nothing but
/// their results, whose threads cannot ask the hook.
pub fn retrying(f: impl Fn() -> Result<()>) -> Result<()> {
    match f() {
        Err(e) if e.kind == ErrorKind::OutOfMemory && memory_was_freed(0) => f(),
        r => r,
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn absurd_sizes_are_errors() {
        for n in [1usize << 45, 1 << 60, usize::MAX] {
            for e in [
                with_capacity::<u64>(n).err(),
                filled(n, 1u8).err(),
                zeroed::<f64>(n).err(),
                room_for(n, 64).err(),
                reserve_text(&mut String::from("x"), n).err(),
                collect((0..n as u64).map(|i| i as u8)).err().filter(|_| n != usize::MAX || size_of::<usize>() == 8),
            ] {
                assert_eq!(e.map(|e| e.kind), Some(ErrorKind::OutOfMemory), "{n}");
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn vectors_hold_what_was_asked_for() {
        assert_eq!(filled(3, 7u8).unwrap(), [7, 7, 7]);
        assert_eq!(zeroed::<u32>(1000).unwrap(), vec![0; 1000]);
        assert_eq!(zeroed::<u32>(0).unwrap(), [0u32; 0]);
        assert_eq!(collect((0..50).filter(|i| i % 7 == 0)).unwrap(), [0, 7, 14, 21, 28, 35, 42, 49]);
        assert_eq!(try_collect([Ok(1), Err(out_of_memory(9))]).unwrap_err().kind, ErrorKind::OutOfMemory);
        assert_eq!(copied(&["a", "b"]).unwrap(), ["a", "b"]);
        assert_eq!(text("abc").unwrap(), "abc");
        room_for(1 << 16, 100).unwrap();
    }
}
