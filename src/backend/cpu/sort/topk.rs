//! The first elements of a sorted line without sorting all of it: the same ones in the same order as `sort` has.

use super::{Key, Lines};
use crate::backend::cpu::threads::parallel::{num_threads, try_parallel_for};
use crate::backend::memory;
use crate::backend::View;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::{bail, ensure};

/// Lines that are read together where neighbouring elements belong to neighbouring lines: those of a cache line.
const TOGETHER: usize = 16;

/// Up to so many elements are kept in order while the line goes by; more are parted from the rest first.
const FEW: usize = 128;

/// Brings the `k` smallest words to the front, in order. All words differ.
fn select<W: Ord + Copy>(words: &mut [W], k: usize) {
    if k > FEW || k * 4 > words.len() {
        if k < words.len() {
            words.select_nth_unstable(k - 1);
        }
        words[..k].sort_unstable();
        return;
    }
    let (best, rest) = words.split_at_mut(k);
    best.sort_unstable();
    for w in rest {
        if *w < best[k - 1] {
            let at = best.partition_point(|b| b < w);
            best.copy_within(at..k - 1, at + 1);
            best[at] = *w;
        }
    }
}

/// The `largest` (or smallest) elements of `input` along `dim`, as many as `values` has, with their positions (int64).
pub fn topk(input: View, dim: usize, largest: bool, values: View, indices: View) -> Result<()> {
    let views = [&input, &values, &indices];
    let shape = &input.layout.shape;
    ensure!(
        values.dtype == input.dtype && indices.dtype == DType::I64 && values.layout.shape == indices.layout.shape,
        Internal,
        "topk of {} into {} and {}",
        input.dtype,
        values.dtype,
        indices.dtype
    );
    let mut expect = shape.clone();
    match (expect.get_mut(dim), values.layout.shape.get(dim)) {
        (Some(n), Some(k)) if *k <= *n => *n = *k,
        _ => bail!(Internal, "topk of {shape:?} along {dim} into {:?}", values.layout.shape),
    }
    ensure!(values.layout.shape == expect, Internal, "topk of {shape:?} into {:?}", values.layout.shape);
    if values.layout.numel() == 0 {
        return Ok(());
    }
    let (len, k) = (shape[dim] as usize, expect[dim] as usize);
    let lines = Lines::new(views, dim)?;
    let strides = lines.strides;
    let group = if strides[0] == 1 { 1 } else { TOGETHER };
    crate::dispatch!(input.dtype, T, {
        memory::room_for(num_threads().min(lines.count().div_ceil(group)), len.saturating_mul(16 * group))?;
        try_parallel_for(lines.count(), (8192 / len).max(group), |range| {
            let mut rows = lines.rows(range.start);
            let (mut short, mut long) = (vec![], vec![]);
            let mut at = range.start;
            while at < range.end {
                let mut starts = [[std::ptr::null_mut(); 3]; TOGETHER];
                let count = group.min(range.end - at);
                // SAFETY: offsets of elements of the views; lines belong to one thread each.
                unsafe {
                    for s in &mut starts[..count] {
                        *s = lines.at(&rows.offsets);
                        rows.advance();
                    }
                    if size_of::<T>() <= 4 && len <= u32::MAX as usize {
                        let turn = if largest { u32::MAX as u64 } else { 0 };
                        let word = |v: T, i: usize| ((v.key() ^ turn) << 32) | i as u64;
                        run_lines(&starts[..count], strides, len, k, &mut short, word, |w| w as u32 as usize)?;
                    } else {
                        let turn = if largest { u64::MAX } else { 0 };
                        let word = |v: T, i: usize| (((v.key() ^ turn) as u128) << 64) | i as u128;
                        run_lines(&starts[..count], strides, len, k, &mut long, word, |w| w as u64 as usize)?;
                    }
                }
                at += count;
            }
            Ok(())
        })?;
    });
    Ok(())
}

/// Lines that start at the given addresses: their elements as words that sort as they do and hold their positions.
///
/// # Safety
/// The lines' elements are T and i64; nobody else touches them.
unsafe fn run_lines<T: Copy, W: Ord + Copy + Default>(
    starts: &[[*mut u8; 3]],
    strides: [isize; 3],
    len: usize,
    k: usize,
    words: &mut Vec<W>,
    word: impl Fn(T, usize) -> W,
    position: impl Fn(W) -> usize,
) -> Result<()> {
    memory::reserve_exact(words, (len * starts.len()).saturating_sub(words.len()))?;
    words.resize(len * starts.len(), W::default());
    // SAFETY: positions stay below the lines' lengths.
    unsafe {
        let get = |from: *mut u8, i: usize| from.cast::<T>().offset(i as isize * strides[0]).read_unaligned();
        if let [[from, ..]] = starts {
            for (i, w) in words.iter_mut().enumerate() {
                *w = word(get(*from, i), i);
            }
        } else {
            for i in 0..len {
                for (line, [from, ..]) in starts.iter().enumerate() {
                    words[line * len + i] = word(get(*from, i), i);
                }
            }
        }
        for (line, [from, values, indices]) in starts.iter().enumerate() {
            let words = &mut words[line * len..(line + 1) * len];
            select(words, k);
            for (j, w) in words[..k].iter().enumerate() {
                let i = position(*w);
                let j = j as isize;
                values.cast::<T>().offset(j * strides[1]).write_unaligned(get(*from, i));
                indices.cast::<i64>().offset(j * strides[2]).write_unaligned(i as i64);
            }
        }
    }
    Ok(())
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::super::sort;
    use super::*;
    use crate::backend::cpu::testing::arrays::*;

    #[cfg_attr(test, test)]
    pub(crate) fn the_front_of_a_sorted_line() {
        let mut r = Random(9);
        for dtype in DType::REAL {
            for (shape, dim) in [(&[40][..], 0), (&[5, 90], 1), (&[90, 37], 0), (&[3, 20, 5], 1), (&[700], 0)] {
                let kind = KINDS[r.below(6) as usize];
                let a = Array::of(shape, dtype, kind, |_| match r.below(9) {
                    0 if dtype.is_float() => f64::NAN,
                    1 if dtype.is_float() => -0.0,
                    2 => 0.0,
                    _ if dtype == DType::U8 => r.below(256) as f64,
                    _ => (r.unit() * 100.0).round(),
                });
                for largest in [false, true] {
                    let (sorted, order) =
                        (Array::new(shape, dtype, Kind::Contiguous), Array::new(shape, DType::I64, Kind::Contiguous));
                    sort(a.view(), dim, largest, sorted.view(), order.view()).unwrap();
                    let n = shape[dim] as usize;
                    for k in [1, 3, n / 2, n] {
                        let mut front = shape.to_vec();
                        front[dim] = k as i64;
                        let kind = OUT_KINDS[r.below(4) as usize];
                        let (v, i) = (Array::new(&front, dtype, kind), Array::new(&front, DType::I64, kind));
                        topk(a.view(), dim, largest, v.view(), i.view()).unwrap();
                        let inner: usize = shape[dim + 1..].iter().product::<i64>() as usize;
                        for p in 0..v.numel() {
                            let from = p / inner / k * inner * n + p / inner % k * inner + p % inner;
                            let what = format!("{dtype} {shape:?} along {dim}, {k}, {largest}");
                            assert_eq!(i.get_i64(p), order.get_i64(from), "{what}");
                            let (got, want) = (v.get(p), sorted.get(from));
                            assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{what}");
                        }
                    }
                }
            }
        }
    }
}
