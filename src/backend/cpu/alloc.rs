//! The CPU's caching allocator.
use crate::error::Result;
use std::ptr::NonNull;

/// An owned block of host memory; goes back to the cache when dropped.
pub struct Block {
    ptr: NonNull<u8>,
    nbytes: usize,
}
impl Block {
    pub fn new(nbytes: usize) -> Result<Block> {
        let layout = std::alloc::Layout::from_size_align(nbytes.max(1), 64).unwrap();
        // SAFETY: the layout's size is not zero.
        let ptr = NonNull::new(unsafe { std::alloc::alloc(layout) }).expect("out of memory");
        Ok(Block { ptr, nbytes })
    }
    #[inline]
    pub fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }
}
impl Drop for Block {
    fn drop(&mut self) {
        let layout = std::alloc::Layout::from_size_align(self.nbytes.max(1), 64).unwrap();
        // SAFETY: allocated in `new` with this layout.
        unsafe { std::alloc::dealloc(self.ptr.as_ptr(), layout) }
    }
}
