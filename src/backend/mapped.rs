//! Parts of files as memory: what is read from them comes from the file, what is written to them stays here.

use crate::backend::storage::{HostOwner, Storage};
use memmap2::{MmapMut, MmapOptions};
use std::fs::File;
use std::ptr::NonNull;

struct Part(#[allow(dead_code)] MmapMut);
impl HostOwner for Part {}

/// `len` bytes of a file from `at` on, as a storage. Where the file is made shorter while a tensor uses them, reading ends
/// the process with SIGBUS: who maps a file says that nobody cuts it.
pub fn storage(file: &File, at: u64, len: usize) -> std::io::Result<Storage> {
    // SAFETY: a private mapping: nobody else writes to these pages, and nothing here keeps a reference into them. That the
    // file is not cut meanwhile is the caller's promise.
    let mut map = unsafe { MmapOptions::new().offset(at).len(len).map_copy(file)? };
    let ptr = NonNull::new(map.as_mut_ptr()).unwrap_or(NonNull::dangling());
    Ok(Storage::from_host(ptr, len, Box::new(Part(map))))
}
