//! Advanced indexing and nonzero: all dtypes, any strides. Where several sources meet one target, they are applied in
//! index order, whatever the number of threads.

pub(super) mod gather;
mod shared;

use self::shared::{dispatch_size, Combine, FirstBad, TASK};
use crate::backend::cpu::scratch::{ptr, Ptr, Walk};
use crate::backend::cpu::simd::prefetch;
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::backend::{check, memory, View};
use crate::base::dtype::Element;
use crate::base::error::Result;
use crate::base::layout::Dims;
use crate::dispatch;
use parking_lot::Mutex;

/// Element offsets of the indexed dimensions for every index position, checked and wrapped.
fn targets(data: &View, indices: &[View]) -> Result<Vec<isize>> {
    let shape = &indices[0].layout.shape;
    let n = shape.iter().product::<i64>() as usize;
    let mut to = memory::zeroed::<isize>(n)?;
    for (d, ix) in indices.iter().enumerate() {
        let (size, stride) = (data.layout.shape[d], data.layout.strides[d] as isize);
        let p = Ptr(ptr::<i64>(ix)?);
        let out = Ptr(to.as_mut_ptr());
        let bad = FirstBad::new();
        let contiguous = ix.layout.is_contiguous();
        parallel_for(n, TASK, |r| {
            let mut walk = Walk::new(shape, [&ix.layout.strides], if contiguous { 0 } else { r.start });
            for i in r {
                // SAFETY: inside the index view and the vector; each position is written by one task.
                unsafe {
                    // Read once: what is used is what was checked, whatever another thread writes there meanwhile.
                    let v = p.at(if contiguous { i as isize } else { walk.offset[0] }).read_volatile();
                    if v < -size || v >= size {
                        bad.report(i, v);
                        return;
                    }
                    *out.at(i as isize) += (if v < 0 { v + size } else { v }) as isize * stride;
                }
                if !contiguous {
                    walk.step();
                }
            }
        });
        bad.result(d, size)?;
    }
    Ok(to)
}

/// The part of a tensor behind the indexed dimensions, against the other operand's last dimensions: an outer shape
/// to walk, and a run of `inner` elements with one stride in each.
struct Rest {
    outer: Dims,
    strides: [Dims; 2],
    inner: usize,
    step: [isize; 2],
}
fn rest(a: &View, a_from: usize, b: &View, b_from: usize) -> Rest {
    let mut outer = Dims::from_slice(&a.layout.shape[a_from..]);
    let mut strides = [Dims::from_slice(&a.layout.strides[a_from..]), Dims::from_slice(&b.layout.strides[b_from..])];
    // Join the innermost dimensions that follow each other in both.
    let (mut inner, mut step) = (1, [1isize; 2]);
    while let Some(&size) = outer.last() {
        let s = [0, 1].map(|i| strides[i].last().copied().unwrap_or(0) as isize);
        let joins = inner == 1 || size == 1 || s == step.map(|x| x * inner as isize);
        if !joins {
            break;
        }
        if inner == 1 && size != 1 {
            step = s;
        }
        inner *= size as usize;
        outer.pop();
        strides.iter_mut().for_each(|s| {
            s.pop();
        });
    }
    Rest { outer, strides, inner, step }
}

/// Positions ahead at which `index` asks for memory.
const AHEAD: usize = 12;

/// Rows of `n` neighbours from anywhere, to one after the other. Their lines are asked for a few rows early.
///
/// # Safety
/// `x` is readable for `n` elements from each of `from` on, `y` writable for all rows.
unsafe fn copy_rows<T: Copy>(from: &[isize], x: *const T, y: *mut T, n: usize) {
    const LINES: usize = 8;
    let lines = (n * size_of::<T>()).div_ceil(64).min(LINES);
    // SAFETY: the caller's; a prefetch may name any address.
    unsafe {
        for (i, &at) in from.iter().enumerate() {
            if let Some(&next) = from.get(i + AHEAD) {
                for line in 0..lines {
                    prefetch(x.wrapping_offset(next).cast::<u8>().wrapping_add(line * 64));
                }
            }
            std::ptr::copy_nonoverlapping(x.offset(at), y.add(i * n), n);
        }
    }
}

/// out[i.., rest..] = input[indices[0][i..], indices[1][i..], .., rest..].
pub fn index(input: View, indices: &[View], out: View) -> Result<()> {
    check::index("index", &input, indices, &out)?;
    if out.layout.numel() == 0 && indices[0].layout.numel() == 0 {
        return Ok(());
    }
    let from = targets(&input, indices)?;
    if out.layout.numel() == 0 {
        return Ok(());
    }
    let ni = indices[0].layout.ndim();
    let rest = rest(&input, indices.len(), &out, ni);
    let (shape, strides) = (&out.layout.shape[..ni], &out.layout.strides[..ni]);
    let outer = rest.outer.iter().product::<i64>() as usize;
    let each = outer * rest.inner;
    let whole_rows = outer == 1 && (rest.step == [1, 1] || rest.inner == 1) && out.layout.is_contiguous();
    dispatch_size!(out.dtype, T, {
        let (x, y) = (Ptr(ptr::<T>(&input)?), Ptr(ptr::<T>(&out)?));
        if whole_rows {
            parallel_for(from.len(), (TASK / each).max(1), |r| {
                let to = y.at((r.start * each) as isize);
                // SAFETY: rows lie inside their views; index positions are written by one task each.
                unsafe { copy_rows(&from[r], x.at(0), to, each) }
            });
            return Ok(());
        }
        if index_is_innermost(&out, ni, &rest) {
            // Picked from within rows: row by row.
            let (n, step) = (from.len(), strides[0] as isize);
            let behind = [&input.layout.strides[indices.len()..], &out.layout.strides[ni..]];
            parallel_for(each, (TASK / n).max(1), |r| {
                let mut walk = Walk::new(&out.layout.shape[ni..], behind, r.start);
                for _ in r {
                    let (x, y) = (x.at(walk.offset[0]), y.at(walk.offset[1]));
                    // SAFETY: inside both views; rows are written by one task each.
                    unsafe {
                        if step == 1 {
                            for (i, at) in from.iter().enumerate() {
                                *y.add(i) = *x.offset(*at);
                            }
                        } else {
                            for (i, at) in from.iter().enumerate() {
                                *y.offset(i as isize * step) = *x.offset(*at);
                            }
                        }
                    }
                    walk.step();
                }
            });
            return Ok(());
        }
        parallel_for(from.len(), (TASK / each).max(1), |r| {
            let mut walk = Walk::new(shape, [strides], r.start);
            for i in r {
                // Rows come from anywhere: their first lines are asked for early.
                if let (1.., Some(&next)) = (rest.inner * size_of::<T>() / 128, from.get(i + AHEAD)) {
                    for line in 0..(rest.inner * size_of::<T>()).min(512) / 64 {
                        prefetch(x.at(next).cast::<u8>().wrapping_add(line * 64));
                    }
                }
                let (x, y) = (x.at(from[i]), y.at(walk.offset[0]));
                let mut inner = Walk::new(&rest.outer, [&rest.strides[0][..], &rest.strides[1][..]], 0);
                for _ in 0..outer {
                    // SAFETY: both runs lie inside their views; index positions are written by one task each.
                    unsafe {
                        let (x, y) = (x.offset(inner.offset[0]), y.offset(inner.offset[1]));
                        if rest.step == [1, 1] {
                            if rest.inner == 1 {
                                *y = *x;
                            } else {
                                std::ptr::copy_nonoverlapping(x, y, rest.inner);
                            }
                        } else {
                            for j in 0..rest.inner as isize {
                                *y.offset(j * rest.step[1]) = *x.offset(j * rest.step[0]);
                            }
                        }
                    }
                    inner.step();
                }
                walk.step();
            }
        });
    });
    Ok(())
}

/// Whether the one index dimension of `values` lies closer together than what is behind it.
fn index_is_innermost(values: &View, ni: usize, rest: &Rest) -> bool {
    let step = rest.step[1].unsigned_abs() as i64;
    ni == 1 && rest.inner > 1 && values.layout.strides[0].abs() < step
}

/// out[indices[0][i..], .., rest..] = values[i.., rest..], or += when `accumulate`; later positions come later.
pub fn index_put(out: View, indices: &[View], values: View, accumulate: bool) -> Result<()> {
    check::index("index_put_", &out, indices, &values)?;
    if indices[0].layout.numel() == 0 {
        return Ok(());
    }
    let to = targets(&out, indices)?;
    if values.layout.numel() == 0 {
        return Ok(());
    }
    if accumulate {
        dispatch!(out.dtype, T, put::<T>(&to, out, indices, values, |a, b| a.plus(b)))
    } else {
        dispatch_size!(out.dtype, T, put::<T>(&to, out, indices, values, |_, b| b))
    }
}

fn put<T: Copy>(to: &[isize], out: View, indices: &[View], values: View, f: impl Fn(T, T) -> T + Sync) -> Result<()> {
    let ni = indices[0].layout.ndim();
    let rest = rest(&out, indices.len(), &values, ni);
    let (shape, strides) = (&values.layout.shape[..ni], &values.layout.strides[..ni]);
    let outer = rest.outer.iter().product::<i64>() as usize;
    let (y, v) = (Ptr(ptr::<T>(&out)?), Ptr(ptr::<T>(&values)?));
    // Index positions may meet at one target, so threads share out what lies behind a position instead: the outer
    // walk, or parts of the run.
    const RUN: usize = 64;
    let inside = index_is_innermost(&values, ni, &rest);
    let parts = rest.inner.div_ceil(RUN);
    let grain = (TASK / (to.len() * rest.inner.min(RUN))).max(1);
    parallel_for(outer * parts, grain, |r| {
        let mut task = r.start;
        while task < r.end {
            // All parts of one run that this thread has, together.
            let row = task / parts;
            let end = r.end.min((row + 1) * parts);
            let cols = task % parts * RUN..rest.inner.min((end - row * parts) * RUN);
            let at = Walk::new(&rest.outer, [&rest.strides[0][..], &rest.strides[1][..]], row).offset;
            if inside {
                let step = strides[0] as isize;
                for j in cols {
                    let j = j as isize;
                    let (y, v) = (y.at(at[0] + j * rest.step[0]), v.at(at[1] + j * rest.step[1]));
                    for (i, t) in to.iter().enumerate() {
                        // SAFETY: as below.
                        unsafe {
                            let y = y.offset(*t);
                            *y = f(*y, *v.offset(i as isize * step));
                        }
                    }
                }
                task = end;
                continue;
            }
            let mut walk = Walk::new(shape, [strides], 0);
            for t in to {
                let (y, v) = (y.at(t + at[0]), v.at(walk.offset[0] + at[1]));
                // SAFETY: both runs lie inside their views; this thread alone has these columns.
                unsafe {
                    if rest.step == [1, 1] {
                        for j in cols.clone() {
                            *y.add(j) = f(*y.add(j), *v.add(j));
                        }
                    } else {
                        for j in cols.clone() {
                            let y = y.offset(j as isize * rest.step[0]);
                            *y = f(*y, *v.offset(j as isize * rest.step[1]));
                        }
                    }
                }
                walk.step();
            }
            task = end;
        }
    });
    Ok(())
}

/// Positions of nonzero elements (NaN counts), row-major: one index per dimension for each.
pub fn nonzero(input: View) -> Result<Vec<i64>> {
    let (shape, strides) = (&input.layout.shape[..], &input.layout.strides[..]);
    let (n, nd) = (input.layout.numel(), shape.len());
    if n == 0 || nd == 0 {
        return Ok(vec![]);
    }
    let contiguous = input.layout.is_contiguous();
    dispatch!(input.dtype, T, {
        let p = Ptr(ptr::<T>(&input)?);
        // Count per chunk, then write each chunk at its place.
        let chunks = n.div_ceil(TASK);
        let span = |c: usize| c * TASK..n.min((c + 1) * TASK);
        let mut starts = memory::zeroed::<usize>(chunks + 1)?;
        let counts = Ptr(starts.as_mut_ptr());
        let blocks = |c: usize, f: &mut dyn FnMut(usize, &[T])| {
            let range = span(c);
            let mut walk = Walk::new(shape, [strides], if contiguous { 0 } else { range.start });
            let mut copy = [<T as Element>::from_i64(0); BLOCK];
            for i in range.clone().step_by(BLOCK) {
                let len = (range.end - i).min(BLOCK);
                if contiguous {
                    // SAFETY: inside the view.
                    f(i, unsafe { std::slice::from_raw_parts(p.at(i as isize), len) });
                    continue;
                }
                for v in &mut copy[..len] {
                    // SAFETY: inside the view.
                    *v = unsafe { *p.at(walk.offset[0]) };
                    walk.step();
                }
                f(i, &copy[..len]);
            }
        };
        parallel_for(chunks, 1, |r| {
            for c in r {
                let mut count = 0;
                blocks(c, &mut |_, v| {
                    count += v.iter().map(|v| is_nonzero(*v) as u32).sum::<u32>() as usize;
                });
                // SAFETY: one slot per chunk.
                unsafe { *counts.at(c as isize + 1) = count };
            }
        });
        for c in 0..chunks {
            starts[c + 1] += starts[c];
        }
        let total = starts[chunks] * nd;
        let mut out: Vec<i64> = memory::with_capacity(total)?;
        let to = Ptr(out.as_mut_ptr());
        let missing = Mutex::new(Vec::new());
        parallel_for(chunks, 1, |r| {
            for c in r {
                let (mut at, mut room) = (starts[c] * nd, starts[c + 1] - starts[c]);
                let mut found = [0u32; BLOCK];
                // Row-major position: the last dimension's, and those before it.
                let last = shape[nd - 1] as usize;
                let mut lead = Walk::new(&shape[..nd - 1], [], span(c).start / last);
                let mut row = span(c).start / last * last;
                blocks(c, &mut |first, v| {
                    // Every position is written, and stays where its element counts: no branch to guess.
                    let mut count = 0;
                    for (i, v) in v.iter().enumerate() {
                        found[count] = i as u32;
                        count += is_nonzero(*v) as usize;
                    }
                    // Where another thread writes meanwhile, there may be more or fewer than the first pass counted.
                    let count = count.min(room);
                    room -= count;
                    for i in &found[..count] {
                        let i = first + *i as usize;
                        while i - row >= last {
                            row += last;
                            lead.step();
                        }
                        // SAFETY: no more than the first pass counted, for which this chunk has room.
                        unsafe {
                            for (d, x) in lead.at.iter().enumerate() {
                                *to.at((at + d) as isize) = *x;
                            }
                            *to.at((at + nd - 1) as isize) = (i - row) as i64;
                        }
                        at += nd;
                    }
                });
                if room > 0 {
                    missing.lock().push((at, starts[c + 1] * nd));
                    // SAFETY: the chunk's own room.
                    unsafe { std::ptr::write_bytes(to.at(at as isize), 0, room * nd) };
                }
            }
        });
        // SAFETY: all chunks together wrote every one.
        unsafe { out.set_len(total) };
        let mut missing = missing.into_inner();
        missing.sort_unstable();
        for (from, to) in missing.into_iter().rev() {
            out.drain(from..to);
        }
        Ok(out)
    })
}
/// Elements that `nonzero` looks at together.
const BLOCK: usize = 256;
#[inline(always)]
fn is_nonzero<T: Element>(v: T) -> bool {
    v != <T as Element>::from_i64(0)
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::gather::{gather, scatter};
    use super::*;
    use crate::backend::cpu::testing::{assert_close, Host, Lcg};
    use crate::backend::cpu::threads::parallel::set_num_threads;
    use crate::backend::ScatterOp;
    use crate::base::dtype::DType;
    use crate::base::error::ErrorKind;

    fn unravel(mut i: usize, shape: &[i64]) -> Vec<usize> {
        let mut v = vec![0; shape.len()];
        for d in (0..shape.len()).rev() {
            v[d] = i % shape[d] as usize;
            i /= shape[d] as usize;
        }
        v
    }
    fn ravel(at: &[usize], shape: &[i64]) -> usize {
        at.iter().zip(shape).fold(0, |acc, (a, s)| acc * *s as usize + a)
    }
    fn order(nd: usize, layout: usize) -> Vec<usize> {
        if layout == 1 {
            (0..nd).rev().collect()
        } else {
            (0..nd).collect()
        }
    }
    fn random(dtype: DType, shape: &[i64], layout: usize, r: &mut Lcg) -> Host {
        Host::permuted(dtype, shape, &order(shape.len(), layout), layout as i64, || r.below(9) as f64)
    }
    fn indices(shape: &[i64], layout: usize, below: i64, wrap: bool, r: &mut Lcg) -> Host {
        Host::permuted(DType::I64, shape, &order(shape.len(), layout), layout as i64, || {
            let i = r.below(below as usize) as i64;
            (if wrap && r.below(3) == 0 { i - below } else { i }) as f64
        })
    }

    #[cfg_attr(test, test)]
    pub(crate) fn gather_and_scatter() {
        let mut r = Lcg(11);
        for dtype in DType::REAL {
            for (shape, ishape, dim) in [
                (vec![5, 4, 3], vec![7, 4, 2], 0),
                (vec![5, 4, 3], vec![5, 6, 3], 1),
                (vec![5, 4, 3], vec![2, 4, 9], 2),
                (vec![50], vec![30], 0),
                (vec![3, 300], vec![40, 290], 0),
            ] {
                for layout in 0..3 {
                    let x = random(dtype, &shape, layout, &mut r);
                    let ix = indices(&ishape, (layout + 1) % 3, shape[dim], false, &mut r);
                    let y = random(dtype, &ishape, layout, &mut r);
                    gather(x.view(), dim, ix.view(), y.view()).unwrap();
                    let (xv, iv) = (x.to_vec(), ix.to_vec());
                    let at = |i: usize| {
                        let mut at = unravel(i, &ishape);
                        at[dim] = iv[i] as usize;
                        ravel(&at, &shape)
                    };
                    let want: Vec<f64> = (0..iv.len()).map(|i| xv[at(i)]).collect();
                    assert_eq!(y.to_vec(), want, "gather {dtype} {shape:?} {dim} {layout}");
                    y.check_canaries();

                    for op in [ScatterOp::Set, ScatterOp::Add, ScatterOp::Mul, ScatterOp::Max, ScatterOp::Min] {
                        let out = random(dtype, &shape, layout, &mut r);
                        let src = random(dtype, &ishape, (layout + 2) % 3, &mut r);
                        let (mut want, sv) = (out.to_vec(), src.to_vec());
                        for i in 0..iv.len() {
                            let (to, v) = (&mut want[at(i)], sv[i]);
                            // The running value is rounded to the dtype, as it is stored each time.
                            let next = match op {
                                ScatterOp::Set => v,
                                ScatterOp::Add => *to + v,
                                ScatterOp::Mul => *to * v,
                                ScatterOp::Max => to.max(v),
                                ScatterOp::Min => to.min(v),
                            };
                            *to = dispatch!(
                                dtype,
                                T,
                                if dtype.is_int() {
                                    <T as Element>::from_i64(wrap(dtype, next as i64)).to_f64()
                                } else {
                                    <T as Element>::from_f64(next).to_f64()
                                }
                            );
                        }
                        scatter(op, out.view(), dim, ix.view(), src.view()).unwrap();
                        let what = format!("scatter {op:?} {dtype} {shape:?} {dim} {layout}");
                        assert_close(&out.to_vec(), &want, 0.0, &what);
                        out.check_canaries();
                    }
                }
            }
        }
    }
    fn wrap(dtype: DType, v: i64) -> i64 {
        match dtype {
            DType::U8 => v as u8 as i64,
            DType::I8 => v as i8 as i64,
            DType::I16 => v as i16 as i64,
            DType::I32 => v as i32 as i64,
            _ => v,
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn advanced_indexing() {
        let mut r = Lcg(12);
        for dtype in DType::REAL {
            for (shape, ishape, count) in [
                (vec![6, 5, 4], vec![3, 2], 1),
                (vec![6, 5, 4], vec![9], 2),
                (vec![6, 5, 4], vec![4, 3], 3),
                (vec![6, 130], vec![20], 1),
                (vec![4, 3, 2, 5], vec![], 2),
            ] {
                for layout in 0..3 {
                    let x = random(dtype, &shape, layout, &mut r);
                    let ix: Vec<Host> =
                        (0..count).map(|d| indices(&ishape, (layout + d) % 3, shape[d], true, &mut r)).collect();
                    let views: Vec<View> = ix.iter().map(|h| h.view()).collect();
                    let oshape = [&ishape[..], &shape[count..]].concat();
                    let y = random(dtype, &oshape, (layout + 1) % 3, &mut r);
                    index(x.view(), &views, y.view()).unwrap();
                    let iv: Vec<Vec<f64>> = ix.iter().map(|h| h.to_vec()).collect();
                    let at = |i: usize| {
                        let o = unravel(i, &oshape);
                        let p = ravel(&o[..ishape.len()], &ishape);
                        let mut at: Vec<usize> =
                            (0..count).map(|d| (iv[d][p] as i64).rem_euclid(shape[d]) as usize).collect();
                        at.extend(&o[ishape.len()..]);
                        ravel(&at, &shape)
                    };
                    let xv = x.to_vec();
                    let n = y.to_vec().len();
                    let what = format!("{dtype} {shape:?} {ishape:?} {count} {layout}");
                    assert_eq!(y.to_vec(), (0..n).map(|i| xv[at(i)]).collect::<Vec<_>>(), "index {what}");
                    y.check_canaries();
                    for accumulate in [false, true] {
                        let out = random(dtype, &shape, layout, &mut r);
                        let (mut want, vals) = (out.to_vec(), y.to_vec());
                        for i in 0..n {
                            let to = &mut want[at(i)];
                            let next = if accumulate { *to + vals[i] } else { vals[i] };
                            *to = dispatch!(dtype, T, <T as Element>::from_f64(next).to_f64());
                        }
                        index_put(out.view(), &views, y.view(), accumulate).unwrap();
                        assert_eq!(out.to_vec(), want, "index_put {accumulate} {what}");
                        out.check_canaries();
                    }
                }
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn bounds() {
        let x = Host::from_vec(DType::F32, &[3], &[1.0, 2.0, 3.0]);
        // Zeros: what a scatter adds before it meets the bad index changes nothing.
        let (y, z) = (Host::zeros(DType::F32, &[2]), Host::zeros(DType::F32, &[2]));
        for (bad, op) in [(5.0, 0), (-1.0, 0), (3.0, 1), (-1.0, 1), (3.0, 2), (-4.0, 2), (3.0, 3), (-4.0, 3)] {
            let ix = Host::from_vec(DType::I64, &[2], &[0.0, bad]);
            let e = match op {
                0 => gather(x.view(), 0, ix.view(), y.view()),
                1 => scatter(ScatterOp::Add, x.view(), 0, ix.view(), z.view()),
                2 => index(x.view(), &[ix.view()], y.view()),
                _ => index_put(x.view(), &[ix.view()], z.view(), true),
            }
            .unwrap_err();
            assert_eq!(e.kind, ErrorKind::Index);
            assert_eq!(e.message, format!("index {bad} is out of bounds for dimension 0 with size 3"));
        }
        assert_eq!(x.to_vec(), [1.0, 2.0, 3.0]);
        let float = Host::zeros(DType::F32, &[2]);
        assert!(gather(x.view(), 0, float.view(), y.view()).is_err());
    }

    #[cfg_attr(test, test)]
    pub(crate) fn long_and_deterministic() {
        let mut r = Lcg(13);
        let n = 100_000;
        let x = Host::new(DType::F32, &[n], || r.eighth() * 0.37);
        let ix = indices(&[n], 0, 97, false, &mut r);
        let big = indices(&[n], 0, n, false, &mut r);
        let mut all = vec![];
        for threads in [1, 3] {
            set_num_threads(threads);
            let sums = Host::zeros(DType::F32, &[97]);
            scatter(ScatterOp::Add, sums.view(), 0, ix.view(), x.view()).unwrap();
            let puts = Host::zeros(DType::F32, &[97]);
            index_put(puts.view(), &[ix.view()], x.view(), true).unwrap();
            assert_eq!(sums.to_vec(), puts.to_vec());
            let g = Host::zeros(DType::F32, &[n]);
            gather(x.view(), 0, big.view(), g.view()).unwrap();
            all.push((sums.to_vec(), g.to_vec()));
        }
        assert_eq!(all[0], all[1]);
        let (xv, bv) = (x.to_vec(), big.to_vec());
        assert!(all[0].1.iter().enumerate().all(|(i, v)| *v == xv[bv[i] as usize]));
    }

    #[cfg_attr(test, test)]
    pub(crate) fn nonzero_positions() {
        let mut r = Lcg(14);
        for dtype in DType::REAL {
            for layout in 0..3 {
                let shape = [7, 1, 30, 300];
                let x =
                    Host::permuted(dtype, &shape, &order(4, layout), layout as i64, || (r.below(4) == 0) as u8 as f64);
                let want: Vec<i64> = x
                    .to_vec()
                    .iter()
                    .enumerate()
                    .filter(|(_, v)| **v != 0.0)
                    .flat_map(|(i, _)| unravel(i, &shape).into_iter().map(|a| a as i64))
                    .collect();
                assert_eq!(nonzero(x.view()).unwrap(), want);
            }
        }
        let x = Host::from_vec(DType::F32, &[4], &[0.0, f64::NAN, -0.0, -1.0]);
        assert_eq!(nonzero(x.view()).unwrap(), [1, 3]);
        assert!(nonzero(Host::zeros(DType::F32, &[0, 3]).view()).unwrap().is_empty());
        assert!(nonzero(Host::from_vec(DType::F32, &[], &[1.0]).view()).unwrap().is_empty());
    }

    #[cfg_attr(test, test)]
    pub(crate) fn empty_shapes() {
        let x = Host::zeros(DType::F32, &[3, 0]);
        let ix = Host::zeros(DType::I64, &[2, 0]);
        let y = Host::zeros(DType::F32, &[2, 0]);
        gather(x.view(), 0, ix.view(), y.view()).unwrap();
        scatter(ScatterOp::Add, x.view(), 0, ix.view(), y.view()).unwrap();
        let row = Host::from_vec(DType::I64, &[2], &[2.0, -1.0]);
        index(x.view(), &[row.view()], y.view()).unwrap();
        index_put(x.view(), &[row.view()], y.view(), false).unwrap();
        let none = Host::zeros(DType::I64, &[0]);
        let (x, y) = (Host::zeros(DType::F32, &[0, 4]), Host::zeros(DType::F32, &[0, 4]));
        index(x.view(), &[none.view()], y.view()).unwrap();
    }
}
