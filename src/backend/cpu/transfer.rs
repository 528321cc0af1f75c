//! Copies of bytes into, out of and between storages.

use super::threads::parallel::parallel_for;
use crate::backend::storage::Storage;
use crate::base::error::Result;
use crate::{bail, ensure};

/// Bytes per part of a parallel copy.
const GRAIN: usize = 1 << 20;

/// Pointer to `n` bytes at `offset` of a host storage, checked against its size.
fn window(s: &Storage, offset: usize, n: usize) -> Result<*mut u8> {
    let Some(ptr) = s.host_ptr() else { bail!(Internal, "the CPU backend got memory of {}", s.device()) };
    ensure!(
        offset.checked_add(n).is_some_and(|end| end <= s.nbytes()),
        Runtime,
        "copy of {n} bytes at offset {offset} is out of bounds for storage of size {}",
        s.nbytes()
    );
    // SAFETY: within the storage, checked above.
    Ok(unsafe { ptr.as_ptr().add(offset) })
}

/// # Safety
/// `src` readable and `dst` writable for `n` bytes, not overlapping.
unsafe fn copy_disjoint(src: *const u8, dst: *mut u8, n: usize) {
    let (src, dst) = (src as usize, dst as usize);
    parallel_for(n, GRAIN, |r| {
        // SAFETY: the parts are disjoint pieces of the caller's two ranges.
        unsafe { std::ptr::copy_nonoverlapping((src + r.start) as *const u8, (dst + r.start) as *mut u8, r.len()) }
    });
}

pub fn upload(src: &[u8], dst: &Storage, dst_offset: usize) -> Result<()> {
    let to = window(dst, dst_offset, src.len())?;
    // SAFETY: both have src.len() bytes; a caller's slice does not alias a storage being written.
    unsafe { copy_disjoint(src.as_ptr(), to, src.len()) };
    Ok(())
}

pub fn download(src: &Storage, src_offset: usize, dst: &mut [u8]) -> Result<()> {
    let from = window(src, src_offset, dst.len())?;
    // SAFETY: both have dst.len() bytes; `dst` is borrowed exclusively.
    unsafe { copy_disjoint(from, dst.as_mut_ptr(), dst.len()) };
    Ok(())
}

/// Like memmove: the ranges may overlap.
pub fn copy_bytes(src: &Storage, src_offset: usize, dst: &Storage, dst_offset: usize, n: usize) -> Result<()> {
    let (from, to) = (window(src, src_offset, n)?, window(dst, dst_offset, n)?);
    if (from as usize).abs_diff(to as usize) >= n {
        // SAFETY: in bounds and further apart than n.
        unsafe { copy_disjoint(from, to, n) };
    } else {
        // SAFETY: in bounds; `copy` allows overlap.
        unsafe { std::ptr::copy(from, to, n) };
    }
    Ok(())
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::base::device::Device;

    #[cfg_attr(test, test)]
    pub(crate) fn round_trip_offsets_and_bounds() {
        let n = 3 * GRAIN + 17;
        let data: Vec<u8> = (0..n).map(|i| ((i * 31) >> 3) as u8).collect();
        let s = Storage::alloc(n + 5, Device::CPU).unwrap();
        upload(&data, &s, 5).unwrap();
        let mut back = vec![0; n];
        download(&s, 5, &mut back).unwrap();
        assert_eq!(back, data);
        let t = Storage::alloc(n, Device::CPU).unwrap();
        copy_bytes(&s, 5 + 100, &t, 3, 1000).unwrap();
        let mut part = vec![0; 1000];
        download(&t, 3, &mut part).unwrap();
        assert_eq!(part, data[100..1100]);
        // Overlapping.
        copy_bytes(&s, 5, &s, 6, 100).unwrap();
        let mut moved = vec![0; 100];
        download(&s, 6, &mut moved).unwrap();
        assert_eq!(moved, data[..100]);
        assert!(upload(&data, &s, 6).is_err());
        assert!(download(&s, usize::MAX, &mut back).is_err());
        assert!(copy_bytes(&s, 0, &t, 1, n).is_err());
    }
}
