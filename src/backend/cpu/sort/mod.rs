//! Sorting along a dimension: stable, NaN largest, -0 equal to 0.
//!
//! Each line's elements become integers in the order of the elements (all bits turned for descending order), joined
//! with their positions; equal elements then keep their order whatever the sort does. One long line is coarse work, which
//! several threads share.

pub(crate) mod topk;

use crate::backend::cpu::elementwise::interp::data;
use crate::backend::cpu::geometry::{Rows, Space};
use crate::backend::cpu::scratch::Ptr;
use crate::backend::cpu::threads::coarse;
use crate::backend::cpu::threads::parallel::{num_threads, try_parallel_for};
use crate::backend::memory;
use crate::backend::View;
use crate::base::dtype::{Bool8, DType};
use crate::base::error::Result;
use crate::{bail, ensure};
use bytemuck::Zeroable;
use half::{bf16, f16};

/// An element as an integer that sorts as it does.
trait Key: Copy {
    fn key(self) -> u64;
}
macro_rules! int_key {
    ($($t:ty as $u:ty),*) => {$(
        impl Key for $t {
            #[inline(always)]
            fn key(self) -> u64 {
                // The sign bit turned puts negative numbers first.
                (self as $u ^ (<$t>::MIN as $u)) as u64
            }
        }
    )*};
}
int_key!(u8 as u8, i8 as u8, i16 as u16, i32 as u32, i64 as u64);
impl Key for Bool8 {
    #[inline(always)]
    fn key(self) -> u64 {
        (self.0 != 0) as u64
    }
}
macro_rules! float_key {
    ($($t:ty, $u:ty);*) => {$(
        impl Key for $t {
            #[inline(always)]
            fn key(self) -> u64 {
                if self.is_nan() {
                    return <$u>::MAX as u64;
                }
                const SIGN: $u = 1 << (<$u>::BITS - 1);
                let b = self.to_bits();
                // Both zeros are one.
                let b = if b == SIGN { 0 } else { b };
                (if b & SIGN != 0 { !b } else { b | SIGN }) as u64
            }
        }
    )*};
}
float_key!(f32, u32; f64, u64; f16, u16; bf16, u16);

struct Line {
    input: *const u8,
    values: *mut u8,
    indices: *mut i64,
    /// Strides along the sorted dimension in elements.
    strides: [isize; 3],
    len: usize,
}

/// Sorts one line.
///
/// # Safety
/// The line's elements are T and i64; nobody else touches them.
unsafe fn sort_line<T: Key + Send + Sync + Zeroable>(
    line: &Line,
    descending: bool,
    short: &mut Vec<u64>,
    long: &mut Vec<(u64, u64)>,
) -> Result<()> {
    let (input, values, strides) = (line.input.cast::<T>(), line.values.cast::<T>(), line.strides);
    // SAFETY: i and at are below the line's length.
    unsafe {
        let (input, values, indices) = (Ptr(input.cast_mut()), Ptr(values), Ptr(line.indices));
        let get = move |i: usize| input.at(i as isize * strides[0]).read_unaligned();
        let put = move |i: usize, at: usize, v: T| {
            values.at(i as isize * strides[1]).write_unaligned(v);
            indices.at(i as isize * strides[2]).write_unaligned(at as i64);
        };
        // Keys that fit four bytes, as they are or less the smallest one.
        let (mut low, mut high) = (0, u32::MAX as u64);
        if size_of::<T>() > 4 {
            (low, high) = (0..line.len).map(|i| get(i).key()).fold((u64::MAX, 0), |(l, h), k| (l.min(k), h.max(k)));
        }
        if high - low <= u32::MAX as u64 && line.len <= u32::MAX as usize {
            if line.len >= LONG && coarse::parts() > 1 {
                let word = |i: usize| {
                    let k = get(i).key();
                    (if descending { high.wrapping_sub(k) } else { k.wrapping_sub(low) } << 32) | i as u64
                };
                return sort_long(line.len, word, get, put);
            }
            short.clear();
            memory::reserve_exact(short, line.len)?;
            // Wrapping: another thread may write in between.
            if descending {
                short.extend((0..line.len).map(|i| (high.wrapping_sub(get(i).key()) << 32) | i as u64));
            } else {
                short.extend((0..line.len).map(|i| (get(i).key().wrapping_sub(low) << 32) | i as u64));
            }
            sort_words(short)?;
            // Written after all is read: `values` may be the input itself.
            let copy: Vec<T> = memory::collect(short.iter().map(|k| get(*k as u32 as usize)))?;
            for (i, (k, v)) in short.iter().zip(copy).enumerate() {
                put(i, *k as u32 as usize, v);
            }
        } else {
            let turn = if descending { u64::MAX } else { 0 };
            long.clear();
            memory::reserve_exact(long, line.len)?;
            long.extend((0..line.len).map(|i| (get(i).key() ^ turn, i as u64)));
            if line.len >= LONG {
                coarse::sort(long);
            } else {
                long.sort_unstable();
            }
            let copy: Vec<T> = memory::collect(long.iter().map(|k| get(k.1 as usize)))?;
            for (i, (k, v)) in long.iter().zip(copy).enumerate() {
                put(i, k.1 as usize, v);
            }
        }
    }
    Ok(())
}

/// From here on the radix sort pays for its histogram.
const RADIX: usize = 4096;

/// Sorts words whose low halves, the positions, already ascend: only the high halves need sorting, stably.
fn sort_words(v: &mut Vec<u64>) -> Result<()> {
    if v.len() < RADIX {
        v.sort_unstable();
        return Ok(());
    }
    let len = v.len();
    let mut other = memory::zeroed::<u64>(len)?;
    sort_words_in_parts(v, &mut other, 1, |_| 0..len)
}

/// From here on one line is sorted by several threads.
const LONG: usize = 1 << 17;

/// Sorts a long line by several threads: `word(i)` holds the key of element `i` above its position.
///
/// # Safety
/// `get` and `put` may be called with any position of the line, from any thread.
unsafe fn sort_long<T: Key + Send + Sync + Zeroable>(
    len: usize,
    word: impl Fn(usize) -> u64 + Sync,
    get: impl Fn(usize) -> T + Sync,
    put: impl Fn(usize, usize, T) + Sync,
) -> Result<()> {
    let parts = coarse::parts();
    let size = len.div_ceil(parts);
    let range = |p: usize| (p * size).min(len)..((p + 1) * size).min(len);
    let (mut words, mut other) = (memory::zeroed::<u64>(len)?, memory::zeroed::<u64>(len)?);
    let at = Ptr(words.as_mut_ptr());
    // SAFETY: parts are disjoint ranges of the words.
    coarse::each(parts, |p| range(p).for_each(|i| unsafe { *at.at(i as isize) = word(i) }));
    sort_words_in_parts(&mut words, &mut other, parts, range)?;
    // Written after all is read: `values` may be the input itself.
    let mut copy = memory::zeroed::<T>(len)?;
    let to = Ptr(copy.as_mut_ptr());
    let position = |i: usize| words[i] as u32 as usize;
    // SAFETY: parts are disjoint ranges of the copy.
    coarse::each(parts, |p| range(p).for_each(|i| unsafe { *to.at(i as isize) = get(position(i)) }));
    coarse::each(parts, |p| range(p).for_each(|i| put(i, position(i), copy[i])));
    Ok(())
}

/// `sort_words` in parts, which several threads take: each counts the digits of its part, and moves it to the places behind
/// those of the parts before it, so that the order of equal words stays.
fn sort_words_in_parts(
    v: &mut Vec<u64>,
    other: &mut Vec<u64>,
    parts: usize,
    range: impl Fn(usize) -> std::ops::Range<usize> + Sync,
) -> Result<()> {
    const BITS: u32 = 11;
    const DIGITS: usize = 1 << BITS;
    let mut places = memory::zeroed::<usize>(parts * DIGITS)?;
    for pass in 0..3 {
        let shift = 32 + pass * BITS;
        let digit = |w: u64| (w >> shift) as usize & (DIGITS - 1);
        places.fill(0);
        let table = Ptr(places.as_mut_ptr());
        let (from, to) = (&v[..], Ptr(other.as_mut_ptr()));
        // SAFETY: a part has a row of the table to itself.
        let row = |p: usize| unsafe { &mut *table.at((p * DIGITS) as isize).cast::<[usize; DIGITS]>() };
        coarse::each(parts, |p| {
            let row = row(p);
            from[range(p)].iter().for_each(|w| row[digit(*w)] += 1);
        });
        let first = digit(from[0]);
        // All alike in this digit: nothing moves.
        if (0..parts).map(|p| row(p)[first]).sum::<usize>() == from.len() {
            continue;
        }
        let mut sum = 0;
        for d in 0..DIGITS {
            for p in 0..parts {
                sum += std::mem::replace(&mut row(p)[d], sum);
            }
        }
        coarse::each(parts, |p| {
            let row = row(p);
            for w in &from[range(p)] {
                let place = &mut row[digit(*w)];
                // SAFETY: each word has a place of its own below their number.
                unsafe { *to.at(*place as isize) = *w };
                *place += 1;
            }
        });
        std::mem::swap(v, other);
    }
    Ok(())
}

/// The lines along `dim` of an input, and of the values and positions that are written for them.
struct Lines {
    /// The other dimensions, one line per position.
    space: Space,
    /// Elements from one of a line to the next.
    pub strides: [isize; 3],
    bases: [*mut u8; 3],
}
// SAFETY: lines are disjoint in the outputs, and a thread touches none but its own.
unsafe impl Sync for Lines {}
impl Lines {
    pub fn new(views: [&View; 3], dim: usize) -> Result<Lines> {
        let mut rest = views[0].layout.shape.clone();
        if let Some(n) = rest.get_mut(dim) {
            *n = 1;
        }
        Ok(Lines {
            space: Space::new(&rest, &views.map(|v| (&v.layout.strides[..], v.dtype.size()))).with_unit_row(),
            strides: views.map(|v| v.layout.strides.get(dim).map_or(0, |s| *s as isize)),
            bases: [data(views[0])?, data(views[1])?, data(views[2])?],
        })
    }
    pub fn count(&self) -> usize {
        self.space.numel()
    }
    pub fn rows(&self, first: usize) -> Rows<'_> {
        Rows::at(&self.space, first)
    }
    /// The first elements of the lines at these byte offsets.
    ///
    /// # Safety
    /// The offsets are those of one of `rows`.
    pub unsafe fn at(&self, offsets: &[isize]) -> [*mut u8; 3] {
        // SAFETY: the caller's.
        unsafe { [0, 1, 2].map(|k| self.bases[k].offset(offsets[k])) }
    }
}

/// Sorts `input` along `dim` into `values` with the positions in `indices` (int64).
pub fn sort(input: View, dim: usize, descending: bool, values: View, indices: View) -> Result<()> {
    let views = [&input, &values, &indices];
    let shape = &input.layout.shape;
    for v in views {
        ensure!(v.layout.shape == *shape, Internal, "sort of {shape:?} into {:?}", v.layout.shape);
    }
    ensure!(
        values.dtype == input.dtype && indices.dtype == DType::I64,
        Internal,
        "sort of {} into {}",
        input.dtype,
        values.dtype
    );
    if input.layout.numel() == 0 {
        return Ok(());
    }
    if !shape.is_empty() && dim >= shape.len() {
        bail!(Internal, "sort of {} dimensions along {dim}", shape.len());
    }
    let len = shape.get(dim).map_or(1, |n| *n as usize);
    let lines = Lines::new(views, dim)?;
    let grain = (8192 / len).max(1);
    // Asked for here, where the out-of-memory hook can be: keys, a copy of them and of the values.
    memory::room_for(num_threads().min(lines.count()), len.saturating_mul(24))?;
    let sort_lines = |range: std::ops::Range<usize>| {
        let (mut short, mut long) = (vec![], vec![]);
        let mut rows = lines.rows(range.start);
        for _ in range {
            // SAFETY: offsets of elements of the views; lines belong to one thread each.
            unsafe {
                let [first, values, indices] = lines.at(&rows.offsets);
                let line = Line { input: first, values, indices: indices.cast(), strides: lines.strides, len };
                crate::dispatch!(input.dtype, T, sort_line::<T>(&line, descending, &mut short, &mut long))?;
            }
            rows.advance();
        }
        Ok(())
    };
    // Few long lines: one after another, each by all threads.
    if len >= LONG && lines.count() < num_threads() {
        return sort_lines(0..lines.count());
    }
    try_parallel_for(lines.count(), grain, sort_lines)
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::backend::cpu::testing::arrays::*;
    use crate::backend::cpu::threads::parallel::set_num_threads;
    use std::cmp::Ordering;

    fn check(a: &Array, dim: usize, descending: bool, kind: Kind) {
        let shape = &a.layout.shape;
        let values = Array::new(shape, a.dtype, kind);
        let indices = Array::new(shape, DType::I64, kind);
        sort(a.view(), dim, descending, values.view(), indices.view()).unwrap();
        let n = shape.get(dim).map_or(1, |n| *n as usize);
        let inner: usize = shape.iter().skip(dim + 1).product::<i64>() as usize;
        for line in 0..a.numel() / n {
            let at = |i: usize| line / inner * inner * n + i * inner + line % inner;
            let v: Vec<f64> = (0..n).map(|i| a.get(at(i))).collect();
            let mut order: Vec<usize> = (0..n).collect();
            let compare = |x: &f64, y: &f64| match (x.is_nan(), y.is_nan()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                _ => x.partial_cmp(y).unwrap(),
            };
            order.sort_by(|i, j| if descending { compare(&v[*j], &v[*i]) } else { compare(&v[*i], &v[*j]) });
            for (i, o) in order.iter().enumerate() {
                assert_eq!(indices.get_i64(at(i)), *o as i64, "{} {shape:?} along {dim}", a.dtype);
                let (got, want) = (values.get(at(i)), v[*o]);
                assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan());
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn every_dtype_and_layout() {
        let mut r = Random(8);
        for dtype in DType::REAL {
            for shape in [&[][..], &[1], &[40], &[5, 9], &[3, 4, 5], &[9000]] {
                for dim in 0..shape.len().max(1) {
                    for descending in [false, true] {
                        let kind = KINDS[r.below(6) as usize];
                        let a = Array::of(shape, dtype, kind, |_| match r.below(9) {
                            0 if dtype.is_float() => f64::NAN,
                            1 if dtype.is_float() => -0.0,
                            2 => 0.0,
                            _ if dtype == DType::U8 => r.below(256) as f64,
                            _ => (r.unit() * 100.0).round(),
                        });
                        check(&a, dim, descending, OUT_KINDS[r.below(4) as usize]);
                    }
                }
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn long_lines_by_several_threads() {
        const N: usize = LONG + 77;
        let mut r = Random(3);
        for (dtype, spread) in [(DType::F32, 1e3), (DType::I64, 1e4), (DType::F64, 1e300), (DType::U8, 255.0)] {
            let values: Vec<f64> = (0..2 * N).map(|_| (r.unit() * spread).round()).collect();
            let a = Array::of(&[2, N as i64], dtype, Kind::Contiguous, |i| values[i]);
            for threads in [1, 2, 5] {
                set_num_threads(threads);
                check(&a, 1, threads == 2, Kind::Contiguous);
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn extreme_values_and_nothing() {
        let a = Array::of_slice(&[5], DType::F64, &[f64::INFINITY, -1e308, f64::NEG_INFINITY, 5e-324, -5e-324]);
        check(&a, 0, false, Kind::Contiguous);
        for spread in [100.0, u32::MAX as f64, 2.0 * u32::MAX as f64] {
            let a = Array::of(&[6000], DType::I64, Kind::Contiguous, |i| {
                ((i * 2654435761 % 4096) as f64 / 4095.0 * spread).floor() - 1e12
            });
            check(&a, 0, false, Kind::Contiguous);
            check(&a, 0, true, Kind::Contiguous);
        }
        let a = Array::of(&[10_000], DType::I32, Kind::Contiguous, |i| ((i * 2654435761) as u32 as i32) as f64);
        check(&a, 0, true, Kind::Contiguous);
        let e = Array::new(&[2, 0], DType::F32, Kind::Contiguous);
        let i = Array::new(&[2, 0], DType::I64, Kind::Contiguous);
        sort(e.view(), 1, false, e.view(), i.view()).unwrap();
    }
}
