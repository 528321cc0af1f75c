//! Copies of small matrices between row-major and column-major order.

use super::level::{level, Level};

/// `to[r][c] = from[c][r]` for `rows` by `cols` elements of `size` bytes; strides are in bytes, between rows of `to`
/// and of `from`, whose own elements are dense.
///
/// # Safety
/// All elements of both lie in memory that may be written, or read; they do not overlap.
pub unsafe fn transpose(
    size: usize,
    rows: usize,
    cols: usize,
    to: *mut u8,
    to_stride: isize,
    from: *const u8,
    from_stride: isize,
) {
    // SAFETY: the caller's; AVX2 is there.
    unsafe {
        match size {
            1 => blocks::<u8, 16>(rows, cols, to, to_stride, from, from_stride, square::<u8, 16>),
            2 => blocks::<u16, 16>(rows, cols, to, to_stride, from, from_stride, square::<u16, 16>),
            4 => {
                #[cfg(target_arch = "x86_64")]
                if level() >= Level::Avx2 {
                    return blocks::<u32, 8>(rows, cols, to, to_stride, from, from_stride, |t, ts, f, fs| {
                        avx2::square8(t, ts, f, fs)
                    });
                }
                blocks::<u32, 8>(rows, cols, to, to_stride, from, from_stride, square::<u32, 8>)
            }
            _ => {
                #[cfg(target_arch = "x86_64")]
                if level() >= Level::Avx2 {
                    return blocks::<u64, 4>(rows, cols, to, to_stride, from, from_stride, |t, ts, f, fs| {
                        avx2::square4(t, ts, f, fs)
                    });
                }
                blocks::<u64, 4>(rows, cols, to, to_stride, from, from_stride, square::<u64, 4>)
            }
        }
    }
}

/// Squares of `N` along the rows of `from` first, so that each of its cache lines is read at once.
#[inline(always)]
unsafe fn blocks<T: Copy, const N: usize>(
    rows: usize,
    cols: usize,
    to: *mut u8,
    to_stride: isize,
    from: *const u8,
    from_stride: isize,
    square: impl Fn(*mut u8, isize, *const u8, isize),
) {
    // SAFETY: the caller's; squares and single elements lie inside the matrices.
    unsafe {
        let to = |r: usize, c: usize| to.offset(r as isize * to_stride).add(c * size_of::<T>());
        let from = |c: usize, r: usize| from.offset(c as isize * from_stride).add(r * size_of::<T>());
        let one = |r: usize, c: usize| to(r, c).cast::<T>().write_unaligned(from(c, r).cast::<T>().read_unaligned());
        let (whole_rows, whole_cols) = (rows / N * N, cols / N * N);
        for c in (0..whole_cols).step_by(N) {
            for r in (0..whole_rows).step_by(N) {
                square(to(r, c), to_stride, from(c, r), from_stride);
            }
            for r in whole_rows..rows {
                (c..c + N).for_each(|c| one(r, c));
            }
        }
        for c in whole_cols..cols {
            (0..rows).for_each(|r| one(r, c));
        }
    }
}

/// # Safety
/// As `transpose`, for N by N elements.
#[inline(always)]
fn square<T: Copy, const N: usize>(to: *mut u8, to_stride: isize, from: *const u8, from_stride: isize) {
    for c in 0..N {
        // SAFETY: inside both squares.
        unsafe {
            let row = from.offset(c as isize * from_stride).cast::<[T; N]>().read_unaligned();
            for (r, v) in row.into_iter().enumerate() {
                to.offset(r as isize * to_stride).cast::<T>().add(c).write_unaligned(v);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    /// 8 by 8 elements of 4 bytes.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub unsafe fn square8(to: *mut u8, to_stride: isize, from: *const u8, from_stride: isize) {
        // SAFETY: the caller's: eight rows of 32 bytes on each side.
        unsafe {
            let load = |i: isize| _mm256_loadu_ps(from.offset(i * from_stride).cast());
            let (a0, a1, a2, a3) = (load(0), load(1), load(2), load(3));
            let (a4, a5, a6, a7) = (load(4), load(5), load(6), load(7));
            // Pairs of rows, then fours, then the halves of eight.
            let (b0, b1) = (_mm256_unpacklo_ps(a0, a1), _mm256_unpackhi_ps(a0, a1));
            let (b2, b3) = (_mm256_unpacklo_ps(a2, a3), _mm256_unpackhi_ps(a2, a3));
            let (b4, b5) = (_mm256_unpacklo_ps(a4, a5), _mm256_unpackhi_ps(a4, a5));
            let (b6, b7) = (_mm256_unpacklo_ps(a6, a7), _mm256_unpackhi_ps(a6, a7));
            const LOW: i32 = 0b01_00_01_00;
            const HIGH: i32 = 0b11_10_11_10;
            let (c0, c1) = (_mm256_shuffle_ps(b0, b2, LOW), _mm256_shuffle_ps(b0, b2, HIGH));
            let (c2, c3) = (_mm256_shuffle_ps(b1, b3, LOW), _mm256_shuffle_ps(b1, b3, HIGH));
            let (c4, c5) = (_mm256_shuffle_ps(b4, b6, LOW), _mm256_shuffle_ps(b4, b6, HIGH));
            let (c6, c7) = (_mm256_shuffle_ps(b5, b7, LOW), _mm256_shuffle_ps(b5, b7, HIGH));
            let store = |i: isize, v| _mm256_storeu_ps(to.offset(i * to_stride).cast(), v);
            store(0, _mm256_permute2f128_ps(c0, c4, 0x20));
            store(1, _mm256_permute2f128_ps(c1, c5, 0x20));
            store(2, _mm256_permute2f128_ps(c2, c6, 0x20));
            store(3, _mm256_permute2f128_ps(c3, c7, 0x20));
            store(4, _mm256_permute2f128_ps(c0, c4, 0x31));
            store(5, _mm256_permute2f128_ps(c1, c5, 0x31));
            store(6, _mm256_permute2f128_ps(c2, c6, 0x31));
            store(7, _mm256_permute2f128_ps(c3, c7, 0x31));
        }
    }

    /// 4 by 4 elements of 8 bytes.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub unsafe fn square4(to: *mut u8, to_stride: isize, from: *const u8, from_stride: isize) {
        // SAFETY: the caller's: four rows of 32 bytes on each side.
        unsafe {
            let load = |i: isize| _mm256_loadu_pd(from.offset(i * from_stride).cast());
            let (a0, a1, a2, a3) = (load(0), load(1), load(2), load(3));
            let (b0, b1) = (_mm256_unpacklo_pd(a0, a1), _mm256_unpackhi_pd(a0, a1));
            let (b2, b3) = (_mm256_unpacklo_pd(a2, a3), _mm256_unpackhi_pd(a2, a3));
            let store = |i: isize, v| _mm256_storeu_pd(to.offset(i * to_stride).cast(), v);
            store(0, _mm256_permute2f128_pd(b0, b2, 0x20));
            store(1, _mm256_permute2f128_pd(b1, b3, 0x20));
            store(2, _mm256_permute2f128_pd(b0, b2, 0x31));
            store(3, _mm256_permute2f128_pd(b1, b3, 0x31));
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn every_size_and_shape() {
        for size in [1usize, 2, 4, 8] {
            for (rows, cols) in [(1, 1), (3, 5), (8, 8), (16, 16), (17, 9), (4, 33), (40, 23), (0, 4), (7, 0)] {
                // Gaps after each row, which must stay as they are.
                let (ts, fs) = (cols * size + 3, rows * size + 5);
                let from: Vec<u8> = (0..cols * fs).map(|i| (i * 7 + i / 251) as u8).collect();
                let mut to = vec![0xAA; rows * ts];
                // SAFETY: both have room for all rows.
                unsafe {
                    transpose(size, rows, cols, to.as_mut_ptr(), ts as isize, from.as_ptr(), fs as isize);
                }
                for r in 0..rows {
                    for c in 0..cols {
                        let (t, f) = (r * ts + c * size, c * fs + r * size);
                        assert_eq!(to[t..t + size], from[f..f + size], "{size} {rows}x{cols} at {r}, {c}");
                    }
                    assert!(to[r * ts + cols * size..(r + 1) * ts].iter().all(|b| *b == 0xAA));
                }
            }
        }
    }
}
