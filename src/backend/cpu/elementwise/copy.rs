//! Copies of short and middling runs of bytes.
//!
//! The C library moves runs of some KB by string instructions, which are ten times as slow where source and target
//! are aligned differently, and calls cost more than a short run itself.

/// Longer runs go to the C library.
const LONG: usize = 64 << 10;

/// Copies `n` bytes.
///
/// # Safety
/// `from` is readable and `to` writable for `n` bytes; they are the same or do not overlap.
#[inline]
pub unsafe fn copy_run(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: the caller's; the last piece ends where the run does.
    unsafe {
        match n {
            LONG.. => std::ptr::copy(from, to, n),
            64.. => pieces::<[u64; 8]>(to, from, n),
            16.. => pieces::<[u64; 2]>(to, from, n),
            8.. => pieces::<u64>(to, from, n),
            4.. => pieces::<u32>(to, from, n),
            2.. => pieces::<u16>(to, from, n),
            1 => *to = *from,
            0 => {}
        }
    }
}

/// # Safety
/// As `copy_run`, for a run that holds at least one `P`.
#[inline(always)]
unsafe fn pieces<P: Copy>(to: *mut u8, from: *const u8, n: usize) {
    let size = size_of::<P>();
    // SAFETY: all pieces lie inside the runs.
    unsafe {
        let piece = |i: usize| to.add(i).cast::<P>().write_unaligned(from.add(i).cast::<P>().read_unaligned());
        let mut i = 0;
        while i + size <= n {
            piece(i);
            i += size;
        }
        if i < n {
            piece(n - size);
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn every_length() {
        let from: Vec<u8> = (0..70_000).map(|i| (i * 7 + i / 251) as u8).collect();
        for n in (0..200).chain([1000, 4095, 65_535, 65_536, 69_000]) {
            for start in [0, 3] {
                let mut to = vec![0xAA; n + 16];
                // SAFETY: both are long enough.
                unsafe { copy_run(to.as_mut_ptr().add(5), from.as_ptr().add(start), n) };
                assert_eq!(to[5..5 + n], from[start..start + n], "{n} from {start}");
                assert!(to[..5].iter().chain(&to[5 + n..]).all(|b| *b == 0xAA));
                let same = to.clone();
                // SAFETY: a run onto itself.
                unsafe { copy_run(to.as_mut_ptr(), to.as_ptr(), n) };
                assert_eq!(to, same);
            }
        }
    }
}
