//! Convolution as im2col and matrix products: for outputs so small that `conv`'s tiles would run mostly empty, and
//! for weight gradients with many weights. Blocks depend on shapes alone.

use super::corr::TASK;
use super::geometry::{Geometry, Image};
use crate::backend::cpu::gemm::matmul_serial;
use crate::backend::cpu::lanes::{FloatElement, Real};
use crate::backend::cpu::scratch::{Ptr, Scratch};
use crate::backend::cpu::threads::parallel::try_parallel_for;
use crate::base::error::Result;

/// Columns of an im2col matrix that one product should have at least.
const COLUMNS: usize = 256;

/// Images per block so that `columns` are reached.
fn images_per_block(g: &Geometry, columns: usize) -> usize {
    columns.div_ceil(g.positions().max(1)).clamp(1, g.n.max(1))
}

/// Runs fallible tasks in parallel and returns the first error.
fn try_parallel(n: usize, work: usize, f: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    try_parallel_for(n, (TASK / (work + 1)).max(1), |mut r| r.try_for_each(&f))
}

/// [ic0..ic1 x taps] rows by [images x positions] columns of padded input.
unsafe fn im2col<T: FloatElement>(
    g: &Geometry,
    x: &Image<T>,
    (n0, n1): (usize, usize),
    (c0, c1): (usize, usize),
    to: *mut T::C,
) {
    let p = g.positions();
    let columns = (n1 - n0) * p;
    let mut row = to;
    for c in c0..c1 {
        for_taps(g, |kd, kh, kw| {
            for n in n0..n1 {
                let mut to = row.add((n - n0) * p);
                let from = x.at(n, c);
                for od in 0..g.output[0] {
                    for oh in 0..g.output[1] {
                        match (g.source(0, od, kd), g.source(1, oh, kh)) {
                            (Some(d), Some(h)) => {
                                let from = from.offset(d as isize * x.s[0] + h as isize * x.s[1]);
                                im2col_row(g, x.s[2], kw, from, to);
                            }
                            _ => {
                                for ow in 0..g.output[2] {
                                    *to.add(ow) = T::C::ZERO;
                                }
                            }
                        }
                        to = to.add(g.output[2]);
                    }
                }
            }
            row = row.add(columns);
        });
    }
}

/// The elements of one input row that the outputs of a row meet at kernel position `kw`.
#[inline(always)]
unsafe fn im2col_row<T: FloatElement>(g: &Geometry, stride: isize, kw: usize, from: *const T, to: *mut T::C) {
    let n = g.output[2];
    // Padding on both sides of what lies inside.
    let start = kw as isize * g.dil[2] - g.pad[2];
    let first = ((-start).max(0) as usize).div_ceil(g.stride[2] as usize).min(n);
    let inside = (g.input[2] as isize - start).max(0) as usize;
    let end = inside.div_ceil(g.stride[2] as usize).clamp(first, n);
    for i in 0..first {
        *to.add(i) = T::C::ZERO;
    }
    let (from, step) = (from.wrapping_offset(start * stride), g.stride[2] * stride);
    if step == 1 {
        for i in first..end {
            *to.add(i) = (*from.add(i)).widen();
        }
    } else {
        for i in first..end {
            *to.add(i) = (*from.offset(i as isize * step)).widen();
        }
    }
    for i in end..n {
        *to.add(i) = T::C::ZERO;
    }
}

fn for_taps(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    for kd in 0..g.kernel[0] {
        for kh in 0..g.kernel[1] {
            for kw in 0..g.kernel[2] {
                f(kd, kh, kw);
            }
        }
    }
}

/// Calls `f(offset from the image's channel, running index)` for every spatial position, row-major.
#[inline(always)]
fn for_positions(size: [usize; 3], s: [isize; 3], mut f: impl FnMut(isize, usize)) {
    let mut i = 0;
    for d in 0..size[0] as isize {
        for h in 0..size[1] as isize {
            for w in 0..size[2] as isize {
                f(d * s[0] + h * s[1] + w * s[2], i);
                i += 1;
            }
        }
    }
}

/// The weight as [groups * oc][ic * taps] in the compute type: in place or copied to scratch.
struct Matrix<C> {
    p: Ptr<C>,
    row: isize,
    _copy: Option<Scratch>,
}
fn weight_matrix<T: FloatElement>(g: &Geometry, w: &Image<T>) -> Result<Matrix<T::C>> {
    let (rows, taps) = (g.groups * g.oc, g.taps());
    if T::DIRECT && w.dense(g.kernel) && (w.c == taps as isize || g.ic == 1) {
        return Ok(Matrix { p: Ptr(w.p.0 as *mut T::C), row: w.n, _copy: None });
    }
    let copy = Scratch::new::<T::C>(rows * g.ic * taps)?;
    let to = copy.ptr::<T::C>();
    for o in 0..rows {
        for c in 0..g.ic {
            let from = w.at(o, c);
            // SAFETY: inside the weight's view and the scratch.
            for_positions(g.kernel, w.s, |at, i| unsafe {
                *to.add((o * g.ic + c) * taps + i) = (*from.offset(at)).widen();
            });
        }
    }
    Ok(Matrix { p: Ptr(to), row: (g.ic * taps) as isize, _copy: Some(copy) })
}

/// out = conv(x, w) + bias.
pub(super) fn forward<T: FloatElement>(
    g: &Geometry,
    x: Image<T>,
    w: Image<T>,
    bias: Option<(Ptr<T>, isize)>,
    out: Image<T>,
) -> Result<()> {
    let w = weight_matrix(g, &w)?;
    let (k, p, per) = (g.ic * g.taps(), g.positions(), images_per_block(g, COLUMNS));
    let blocks = g.n.div_ceil(per);
    try_parallel(blocks * g.groups, k * per * p * g.oc, |task| {
        let (block, group) = (task / g.groups, task % g.groups);
        let (n0, n1) = (block * per, ((block + 1) * per).min(g.n));
        let columns = (n1 - n0) * p;
        let scratch = Scratch::new::<T::C>((k + g.oc) * columns)?;
        let cols = scratch.ptr::<T::C>();
        // SAFETY: scratch of the sizes used; each task writes its own images and channels.
        unsafe {
            let res = cols.add(k * columns);
            im2col(g, &x, (n0, n1), (group * g.ic, (group + 1) * g.ic), cols);
            let wp = w.p.at((group * g.oc) as isize * w.row);
            let cs = columns as isize;
            matmul_serial(g.oc, columns, k, wp, w.row, 1, cols, cs, 1, res, cs, 1, T::C::ONE, T::C::ZERO);
            for o in 0..g.oc {
                let oc = group * g.oc + o;
                let b = bias.map_or(T::C::ZERO, |(b, st)| (*b.at(oc as isize * st)).widen());
                for n in n0..n1 {
                    let (from, to) = (res.add(o * columns + (n - n0) * p), out.at(n, oc));
                    for_positions(g.output, out.s, |at, i| *to.offset(at) = T::narrow(*from.add(i) + b));
                }
            }
        }
        Ok(())
    })
}

/// The gradient of a block of images as [oc][images x positions]: in place or copied to `to`.
unsafe fn grad_matrix<T: FloatElement>(
    g: &Geometry,
    grad: &Image<T>,
    group: usize,
    (n0, n1): (usize, usize),
    to: *mut T::C,
) -> (*const T::C, isize) {
    if T::DIRECT && n1 - n0 == 1 && grad.dense(g.output) {
        return (grad.at(n0, group * g.oc) as *const T::C, grad.c);
    }
    let p = g.positions();
    let columns = (n1 - n0) * p;
    for o in 0..g.oc {
        for n in n0..n1 {
            let (from, to) = (grad.at(n, group * g.oc + o), to.add(o * columns + (n - n0) * p));
            for_positions(g.output, grad.s, |at, i| *to.add(i) = (*from.offset(at)).widen());
        }
    }
    (to, columns as isize)
}

/// grad_input = W^T @ grad, scattered back.
pub(super) fn backward_input<T: FloatElement>(g: &Geometry, grad: Image<T>, w: Image<T>, gi: Image<T>) -> Result<()> {
    let w = weight_matrix(g, &w)?;
    let (k, p, per) = (g.ic * g.taps(), g.positions(), images_per_block(g, COLUMNS));
    let size: usize = g.input.iter().product();
    let blocks = g.n.div_ceil(per);
    try_parallel(blocks * g.groups, k * per * p * g.oc, |task| {
        let (block, group) = (task / g.groups, task % g.groups);
        let (n0, n1) = (block * per, ((block + 1) * per).min(g.n));
        let columns = (n1 - n0) * p;
        let scratch = Scratch::new::<T::C>((k + g.oc) * columns + size)?;
        let cols = scratch.ptr::<T::C>();
        // SAFETY: scratch of the sizes used; each task writes its own images and channels.
        unsafe {
            let plane = cols.add((k + g.oc) * columns);
            let (gp, g_row) = grad_matrix(g, &grad, group, (n0, n1), cols.add(k * columns));
            let wp = w.p.at((group * g.oc) as isize * w.row);
            let cs = columns as isize;
            matmul_serial(k, columns, g.oc, wp, 1, w.row, gp, g_row, 1, cols, cs, 1, T::C::ONE, T::C::ZERO);
            for n in n0..n1 {
                for c in 0..g.ic {
                    std::slice::from_raw_parts_mut(plane, size).fill(T::C::ZERO);
                    let mut row = cols.add(c * g.taps() * columns + (n - n0) * p) as *const T::C;
                    for_taps(g, |kd, kh, kw| {
                        for od in 0..g.output[0] {
                            for oh in 0..g.output[1] {
                                let from = row.add((od * g.output[1] + oh) * g.output[2]);
                                let (Some(d), Some(h)) = (g.source(0, od, kd), g.source(1, oh, kh)) else { continue };
                                let to = plane.add((d * g.input[1] + h) * g.input[2]);
                                for ow in 0..g.output[2] {
                                    if let Some(i) = g.source(2, ow, kw) {
                                        *to.add(i) = *to.add(i) + *from.add(ow);
                                    }
                                }
                            }
                        }
                        row = row.add(columns);
                    });
                    let to = gi.at(n, group * g.ic + c);
                    for_positions(g.input, gi.s, |at, i| *to.offset(at) = T::narrow(*plane.add(i)));
                }
            }
        }
        Ok(())
    })
}

/// grad_weight = sum over blocks of images, in order, of grad @ im2col^T; tasks own ranges of input channels.
pub(super) fn backward_weight<T: FloatElement>(g: &Geometry, grad: Image<T>, x: Image<T>, gw: Image<T>) -> Result<()> {
    let (taps, p, per) = (g.taps(), g.positions(), images_per_block(g, 2 * COLUMNS));
    // Enough channels per task that the products are wide, few enough that there are tasks for all threads.
    let chunk = g.ic.div_ceil((16 / g.groups).max(1)).max((64usize.div_ceil(taps)).min(g.ic)).max(1);
    let chunks = g.ic.div_ceil(chunk);
    let work = g.n * p * g.oc * chunk * taps;
    try_parallel(g.groups * chunks, work, |task| {
        let (group, c0) = (task / chunks, task % chunks * chunk);
        let c1 = (c0 + chunk).min(g.ic);
        let (rows, most) = ((c1 - c0) * taps, per * p);
        let scratch = Scratch::new::<T::C>(rows * most + g.oc * most + g.oc * rows)?;
        let cols = scratch.ptr::<T::C>();
        // SAFETY: scratch of the sizes used; each task writes its own channels of the weight.
        unsafe {
            let gbuf = cols.add(rows * most);
            let sum = gbuf.add(g.oc * most);
            std::slice::from_raw_parts_mut(sum, g.oc * rows).fill(T::C::ZERO);
            for n0 in (0..g.n).step_by(per) {
                let n1 = (n0 + per).min(g.n);
                let columns = (n1 - n0) * p;
                im2col(g, &x, (n0, n1), (group * g.ic + c0, group * g.ic + c1), cols);
                let (gp, g_row) = grad_matrix(g, &grad, group, (n0, n1), gbuf);
                let (cs, rs) = (columns as isize, rows as isize);
                matmul_serial(g.oc, rows, columns, gp, g_row, 1, cols, 1, cs, sum, rs, 1, T::C::ONE, T::C::ONE);
            }
            for o in 0..g.oc {
                for c in c0..c1 {
                    let (from, to) = (sum.add(o * rows + (c - c0) * taps), gw.at(group * g.oc + o, c));
                    for_positions(g.kernel, gw.s, |at, i| *to.offset(at) = T::narrow(*from.add(i)));
                }
            }
        }
        Ok(())
    })
}
