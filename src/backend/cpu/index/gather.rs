//! gather and scatter: all dtypes, any strides. Copies go by element size; only scatters that compute know the type.
//! Where several sources meet one target, they are applied in index order, whatever the number of threads.

use super::shared::{dispatch_size, out_of_bounds, Combine, FirstBad, TASK};
use crate::backend::cpu::scratch::{ptr, Ptr, Walk};
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::backend::{check, ScatterOp, View};
use crate::base::error::Result;
use crate::base::layout::Dims;
use crate::dispatch;

/// The strides with one dimension's set to 0: that dimension is addressed through an index.
fn without(strides: &Dims, dim: usize) -> Dims {
    let mut s = strides.clone();
    s[dim] = 0;
    s
}

/// out[i][j][k] = input[index[i][j][k]][j][k] for dim 0, and so on.
pub fn gather(input: View, dim: usize, index: View, out: View) -> Result<()> {
    check::gather(&input, dim, &index, &out)?;
    if out.layout.numel() == 0 {
        return Ok(());
    }
    if input.layout.ndim() == 0 {
        // A scalar is a row of one element.
        let i = ptr::<i64>(&index)?;
        // SAFETY: each view holds one element.
        unsafe {
            let i = i.read_volatile();
            if i != 0 {
                return Err(out_of_bounds(i, 0, 1));
            }
            dispatch_size!(out.dtype, T, *ptr::<T>(&out)? = *ptr::<T>(&input)?);
        }
        return Ok(());
    }
    let (size, stride) = (input.layout.shape[dim], input.layout.strides[dim] as isize);
    let beside = without(&input.layout.strides, dim);
    let shape = &out.layout.shape[..];
    let last = shape.len() - 1;
    let n = shape[last] as usize;
    let steps = [beside[last] as isize, index.layout.strides[last] as isize, out.layout.strides[last] as isize];
    let outer = &shape[..last];
    let rows = outer.iter().product::<i64>() as usize;
    let bad = FirstBad::new();
    dispatch_size!(out.dtype, T, {
        let (x, ix, y) = (Ptr(ptr::<T>(&input)?), Ptr(ptr::<i64>(&index)?), Ptr(ptr::<T>(&out)?));
        let strides = [&beside[..last], &index.layout.strides[..last], &out.layout.strides[..last]];
        // Long rows are cut too, so that one-dimensional gathers run in parallel.
        let cut = n.div_ceil(TASK);
        parallel_for(rows * cut, (TASK / n.min(TASK)).max(1), |r| {
            let mut walk = Walk::new(outer, strides, r.start / cut);
            for task in r {
                let from = task % cut * TASK;
                let to = n.min(from + TASK);
                let at = |k: usize| walk.offset[k] + from as isize * steps[k];
                let (x, ix, y) = (x.at(at(0)), ix.at(at(1)), y.at(at(2)));
                // SAFETY: all positions lie inside their views.
                let found = unsafe {
                    match (steps, stride) {
                        ([0, 1, 1], 1) => gather_run(x, ix, y, to - from, [0, 1, 1], 1, size),
                        ([1, 1, 1], _) => gather_run(x, ix, y, to - from, [1, 1, 1], stride, size),
                        _ => gather_run(x, ix, y, to - from, steps, stride, size),
                    }
                };
                if let Some((j, i)) = found {
                    bad.report(task / cut * n + from + j, i);
                    return;
                }
                if (task + 1) % cut == 0 {
                    walk.step();
                }
            }
        });
    });
    bad.result(dim, size)
}

/// Indices that are checked at once, before the elements they name are touched: loops without branches.
const CHECKED: usize = 64;

/// Calls `each(j, index)` for `n` indices in order. Stops at one that is out of range, which it returns with its position.
/// Each index is read once: what is used is what was checked, whatever another thread writes there meanwhile.
///
/// # Safety
/// `ix` is readable `n` times at distances of `step`.
#[inline(always)]
unsafe fn checked_run(
    ix: *const i64,
    step: isize,
    n: usize,
    size: i64,
    mut each: impl FnMut(isize, isize),
) -> Option<(usize, i64)> {
    let mut read = [0i64; CHECKED];
    for from in (0..n).step_by(CHECKED) {
        let part = &mut read[..CHECKED.min(n - from)];
        for (j, i) in part.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *i = unsafe { *ix.offset((from + j) as isize * step) };
        }
        // The compiler may not go back to memory from here on.
        let part: &[i64] = std::hint::black_box(part);
        // Negative where an index is, or where it exceeds the last one.
        if part.iter().fold(0, |signs, i| signs | i | (size - 1).wrapping_sub(*i)) < 0 {
            return part.iter().enumerate().map(|(j, i)| (from + j, *i)).find(|(_, i)| *i < 0 || *i >= size);
        }
        for (j, i) in part.iter().enumerate() {
            each((from + j) as isize, *i as isize);
        }
    }
    None
}

/// One run of `gather`: `y[j] = x[j + index[j] * stride]`; `steps` are those of j in x, the index and y; as `checked_run`.
///
/// # Safety
/// The index and y have `n` elements at their steps; x has those that valid indices name.
#[inline(always)]
unsafe fn gather_run<T: Copy>(
    x: *const T,
    ix: *const i64,
    y: *mut T,
    n: usize,
    steps: [isize; 3],
    stride: isize,
    size: i64,
) -> Option<(usize, i64)> {
    // SAFETY: the caller's; indices are checked first.
    unsafe { checked_run(ix, steps[1], n, size, |j, i| *y.offset(j * steps[2]) = *x.offset(j * steps[0] + i * stride)) }
}

/// One run of `scatter`: `y[j + index[j] * stride] = f(.., x[j])` with the steps of j in y, the index and x; as
/// `checked_run`.
///
/// # Safety
/// As `gather_run`.
#[inline(always)]
unsafe fn scatter_run<T: Copy>(
    y: *mut T,
    ix: *const i64,
    x: *const T,
    n: usize,
    steps: [isize; 3],
    stride: isize,
    size: i64,
    f: &impl Fn(T, T) -> T,
) -> Option<(usize, i64)> {
    // SAFETY: the caller's; indices are checked first.
    unsafe {
        checked_run(ix, steps[1], n, size, |j, i| {
            let to = y.offset(j * steps[0] + i * stride);
            *to = f(*to, *x.offset(j * steps[2]));
        })
    }
}

/// out[index[i][j][k]][j][k] op= src[i][j][k] for dim 0, and so on, in index order.
pub fn scatter(op: ScatterOp, out: View, dim: usize, index: View, src: View) -> Result<()> {
    check::scatter(&out, dim, &index, &src)?;
    if index.layout.numel() == 0 {
        return Ok(());
    }
    dispatch!(out.dtype, T, {
        match op {
            ScatterOp::Set => {
                dispatch_size!(out.dtype, U, scatter_with::<U>(out, dim, index, src, |_, b| b))
            }
            ScatterOp::Add => scatter_with::<T>(out, dim, index, src, |a, b| a.plus(b)),
            ScatterOp::Mul => scatter_with::<T>(out, dim, index, src, |a, b| a.times(b)),
            ScatterOp::Max => scatter_with::<T>(out, dim, index, src, |a, b| a.larger(b)),
            ScatterOp::Min => scatter_with::<T>(out, dim, index, src, |a, b| a.smaller(b)),
        }
    })
}

/// One run, as `scatter_run`, of elements of a type that the caller does not know: (y, index, x, n, steps, stride, size).
type Run<'a> =
    dyn Fn(*mut u8, *const i64, *const u8, usize, [isize; 3], isize, i64) -> Option<(usize, i64)> + Sync + 'a;

fn scatter_with<T: Copy>(out: View, dim: usize, index: View, src: View, f: impl Fn(T, T) -> T + Sync) -> Result<()> {
    let first = [ptr::<T>(&out)?.cast(), ptr::<T>(&src)?.cast()];
    let run = |y: *mut u8, ix, x: *const u8, n, steps: [isize; 3], stride: isize, size| {
        let (y, x) = (y.cast::<T>(), x.cast::<T>());
        // SAFETY: `scatter_runs` passes positions inside the views.
        unsafe {
            match (steps, stride) {
                ([0, 1, 1], 1) => scatter_run(y, ix, x, n, [0, 1, 1], 1, size, &f),
                ([1, 1, 1], _) => scatter_run(y, ix, x, n, [1, 1, 1], stride, size, &f),
                _ => scatter_run(y, ix, x, n, steps, stride, size, &f),
            }
        }
    };
    scatter_runs(&out, dim, &index, &src, first, size_of::<T>() as isize, &run)
}

/// Lines along `dim` are independent; within a line, sources come in index order. `first` elements of out and src have
/// `bytes` bytes. Compiled once: only the runs know types and what to do with two elements.
fn scatter_runs(
    out: &View,
    dim: usize,
    index: &View,
    src: &View,
    first: [*mut u8; 2],
    bytes: isize,
    run: &Run,
) -> Result<()> {
    let (y, ix, x) = (Ptr(first[0]), Ptr(ptr::<i64>(index)?), Ptr(first[1]));
    let (mut shape, mut so) = (index.layout.shape.clone(), out.layout.strides.clone());
    let (mut si, mut sx) = (index.layout.strides.clone(), src.layout.strides.clone());
    let (n, size, stride) = if shape.is_empty() {
        (1, 1, [0; 3])
    } else {
        let size = out.layout.shape[dim];
        (shape.remove(dim), size, [so.remove(dim), si.remove(dim), sx.remove(dim)].map(|s| s as isize))
    };
    // The last remaining dimension runs innermost, over a block of lines, so that rows are read along memory.
    let (width, step) = match shape.pop() {
        Some(w) => (w as usize, [so.pop(), si.pop(), sx.pop()].map(|s| s.unwrap_or(0) as isize)),
        None => (1, [0; 3]),
    };
    const WIDTH: usize = 256;
    let blocks = width.div_ceil(WIDTH);
    let lines = shape.iter().product::<i64>() as usize;
    // Runs go along the line where its indices lie closer together than those of neighbouring lines.
    let along = width == 1 || stride[1].unsigned_abs() < step[1].unsigned_abs();
    let (run_steps, run_stride) = if along { ([0, stride[1], stride[2]], stride[0]) } else { (step, stride[0]) };
    let bad = FirstBad::new();
    parallel_for(lines * blocks, (TASK / (n as usize * width.min(WIDTH))).max(1), |r| {
        let mut walk = Walk::new(&shape, [&so[..], &si[..], &sx[..]], r.start / blocks);
        for task in r {
            let from = task % blocks * WIDTH;
            let end = width.min(from + WIDTH);
            let (runs, len) = if along { (from..end, n as usize) } else { (0..n as usize, end - from) };
            for at in runs {
                let (l, j) = if along { (0, at) } else { (at, from) };
                let offset =
                    |k: usize| walk.offset[k] + j as isize * step[k] + if k == 0 { 0 } else { l as isize * stride[k] };
                let (y, ix, x) = (y.at(offset(0) * bytes), ix.at(offset(1)), x.at(offset(2) * bytes));
                let found = run(y, ix, x, len, run_steps, run_stride, size);
                if let Some((k, i)) = found {
                    let (l, j) = if along { (k, at) } else { (at, from + k) };
                    bad.report((task / blocks * n as usize + l) * width + j, i);
                    return;
                }
            }
            if (task + 1) % blocks == 0 {
                walk.step();
            }
        }
    });
    bad.result(dim, size)
}
