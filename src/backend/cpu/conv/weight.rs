//! Gradient of a convolution's weight, for weights few enough that a vector accumulator fits each.
//!
//! Every weight's gradient is the product of one channel of the output's gradient with one shifted channel of the
//! input: long dot products, done as register tiles of (output channels x weights), whose lanes are added only at the
//! end. Images are dealt with in blocks that depend on shapes alone, and the blocks' sums are added in order.

use super::corr::{lane_counts, IM2COL_COST, TASK};
use super::geometry::{Axis, Geometry, Image};
use super::kernels::{pack_planes, Planes};
use crate::backend::cpu::lanes::{vector_shape, FloatElement, Lanes, Real};
use crate::backend::cpu::level::Level;
use crate::backend::cpu::scratch::{Ptr, Scratch};
use crate::backend::cpu::threads::parallel::{num_threads, parallel_for};
use crate::base::error::Result;
use crate::simd_dispatch;
use std::ops::Range;

/// Bytes of accumulators of one block of images: within the second-level cache.
const ACC_BYTES: usize = 512 * 1024;
/// Bytes of accumulators of all blocks together.
const ALL_BYTES: usize = 8 << 20;
const MAX_BLOCKS: usize = 16;
/// Positions that a block has at least: its accumulators are to be worth their clearing and adding.
const BLOCK: usize = 4096;
/// Each pass over some of the input channels reads the gradient again.
const FEWEST_CHANNELS: usize = 4;
/// Positions that one pass of a tile covers, so that rows of the gradient stay in the first-level cache.
const BAND: usize = 1536;

/// Bytes of accumulators of one input channel of every group.
fn channel_bytes<T: FloatElement>(set: Level, g: &Geometry) -> usize {
    g.groups * g.oc * g.taps() * vector_shape::<T::C>(set).0 * std::mem::size_of::<T::C>()
}

/// Input channels dealt with at a time, so that their accumulators stay in the cache; 0: too few for this way.
fn channels_at_once<T: FloatElement>(set: Level, g: &Geometry) -> usize {
    let most = ACC_BYTES / channel_bytes::<T>(set, g).max(1);
    if most >= g.ic {
        g.ic
    } else if g.groups == 1 && most >= FEWEST_CHANNELS {
        g.ic.div_ceil(g.ic.div_ceil(most))
    } else {
        0
    }
}

/// Whether this way is cheaper than im2col and gemm.
pub(super) fn suits<T: FloatElement>(set: Level, g: &Geometry) -> bool {
    let lanes = vector_shape::<T::C>(set).0;
    let axis = Axis::forward(g, 2);
    let (rows, flat) = lane_counts(g.output, g.output[2] + (axis.qmax - axis.qmin) as usize, lanes);
    channels_at_once::<T>(set, g) > 0 && rows.min(flat) * (g.oc + 4) <= g.positions() * (g.oc + IM2COL_COST)
}

struct Job<'a, T: FloatElement> {
    g: &'a Geometry,
    axes: [Axis; 3],
    grad: Image<T>,
    x: Image<T>,
    offs: Vec<isize>,
    /// Strides of the input planes that tiles read.
    pitch: [isize; 3],
    phase_stride: isize,
    channel_stride: isize,
    pack_x: bool,
    pack_grad: bool,
    /// Strides of a gradient channel's rows and depth slices, and of its channels.
    grad_pitch: [isize; 3],
    flat: bool,
    x_len: usize,
    grad_len: usize,
    /// Images that one pass of a tile covers, where one is small.
    bundle: usize,
    acc: Ptr<T::C>,
    per_block: usize,
    blocks: usize,
    parts: usize,
    lanes: usize,
}

pub(super) fn run<T: FloatElement>(set: Level, g: &Geometry, grad: Image<T>, x: Image<T>, gw: Image<T>) -> Result<()> {
    // Images of several groups have other channels between those of a part.
    let step = if g.groups > 1 { g.ic } else { channels_at_once::<T>(set, g) }.max(1);
    for c in (0..g.ic).step_by(step) {
        let part = Geometry { ic: step.min(g.ic - c), ..*g };
        let from = |image: Image<T>| Image { p: Ptr(image.at(0, c)), ..image };
        run_channels(set, &part, grad, from(x), from(gw))?;
    }
    Ok(())
}

fn run_channels<T: FloatElement>(set: Level, g: &Geometry, grad: Image<T>, x: Image<T>, gw: Image<T>) -> Result<()> {
    let lanes = vector_shape::<T::C>(set).0;
    let axes = [0, 1, 2].map(|d| Axis::forward(g, d));
    let k = g.ic * g.taps();
    let q = [0, 1, 2].map(|d| (axes[d].qmax - axes[d].qmin) as usize);
    let nphase = axes.iter().map(|a| a.phases.len()).product::<usize>();

    let in_place = x.readable(&axes);
    let pack_x = in_place.is_none();
    let (mut phase_stride, mut channel_stride, mut x_len) = (0, x.c, 0);
    let pitch = in_place.unwrap_or_else(|| {
        let j = [0, 1, 2].map(|d| (g.output[d] + q[d]) as isize);
        phase_stride = j[0] * j[1] * j[2];
        channel_stride = phase_stride * nphase as isize;
        x_len = channel_stride as usize * g.ic + 2 * lanes;
        [j[1] * j[2], j[2], 1]
    });
    let (rows, flat) = lane_counts(g.output, pitch[1] as usize, lanes);
    let flat = flat < rows;
    let [od, oh, ow] = g.output;
    // Flat tiles need the gradient at the input's pitch, with zeros between rows.
    let unit = T::DIRECT && (grad.s[2] == 1 || ow == 1);
    let pack_grad = !(unit && (!flat || oh == 1 || (grad.s[1] == pitch[1] && pitch[1] as usize == ow)));
    let (mut grad_pitch, mut grad_len) = ([grad.s[0], grad.s[1], grad.c], 0);
    if pack_grad {
        let row = if flat { pitch[1] as usize } else { ow };
        let slice = (row * oh).next_multiple_of(lanes) + lanes;
        grad_pitch = [slice as isize, row as isize, (slice * od) as isize];
        grad_len = slice * od * g.oc;
    }

    let mut offs = vec![];
    for c in 0..g.ic as isize {
        for &(pd, qd) in &axes[0].taps {
            for &(ph, qh) in &axes[1].taps {
                for &(pw, qw) in &axes[2].taps {
                    let phase = (pd * axes[1].phases.len() + ph) * axes[2].phases.len() + pw;
                    let at = (qd - axes[0].qmin) * pitch[0] + (qh - axes[1].qmin) * pitch[1] + qw - axes[2].qmin;
                    offs.push(c * channel_stride + phase as isize * phase_stride + at);
                }
            }
        }
    }

    let weights = g.groups * g.oc * k;
    let most = (ALL_BYTES / (g.ic * channel_bytes::<T>(set, g)).max(1)).clamp(1, MAX_BLOCKS).min(g.n.max(1));
    let blocks = (g.n * g.positions() / BLOCK).clamp(1, most);
    let work = rows.max(1) * k * g.oc * g.groups * g.n;
    let mut parts = 1;
    if blocks * g.groups < num_threads() {
        parts = (2 * num_threads()).div_ceil(blocks * g.groups).min(work / TASK).min(g.oc.div_ceil(4)).max(1);
    }
    let per_block = weights * lanes;
    let bundle = if od == 1 { (BAND / g.positions().max(1)).clamp(1, g.n.div_ceil(blocks).max(1)) } else { 1 };
    let acc = Scratch::new::<T::C>(per_block * blocks)?;
    let job = Job {
        g,
        axes,
        grad,
        x,
        offs,
        pitch,
        phase_stride,
        channel_stride,
        pack_x,
        pack_grad,
        grad_pitch,
        flat,
        x_len,
        grad_len,
        bundle,
        acc: Ptr(acc.ptr()),
        per_block,
        blocks,
        parts,
        lanes,
    };
    let tasks = blocks * g.groups * parts;
    let failed = parking_lot::Mutex::new(None);
    parallel_for(tasks, (TASK / (work / tasks + 1)).max(1), |r| {
        match Scratch::new::<T::C>(job.bundle * (job.x_len + job.grad_len)) {
            // SAFETY: each task owns its part of the accumulators; images are only read.
            Ok(s) => unsafe { run_range(set, &job, r, s.ptr(), s.ptr::<T::C>().add(job.bundle * job.x_len)) },
            Err(e) => *failed.lock() = Some(e),
        }
    });
    if let Some(e) = failed.into_inner() {
        return Err(e);
    }
    let (gwp, acc, kernel) = (gw, job.acc, g.kernel);
    parallel_for(weights, (TASK / 4 / (blocks * 4)).max(1), |r| {
        // SAFETY: each weight is written by one task.
        unsafe { add_blocks(set, acc, blocks, per_block, r, k, &gwp, kernel) }
    });
    Ok(())
}

simd_dispatch!(float fn run_range => run_range_body(job: &Job<T>, range: Range<usize>, x: *mut T::C, grad: *mut T::C));
simd_dispatch!(float fn add_blocks => add_blocks_body(
    acc: Ptr<T::C>, blocks: usize, per_block: usize, range: Range<usize>, k: usize, gw: &Image<T>, kernel: [usize; 3]));

/// Adds the blocks' vectors in order, then the lanes.
#[inline(always)]
unsafe fn add_blocks_body<T: FloatElement, V: Lanes<T = T::C>>(
    acc: Ptr<T::C>,
    blocks: usize,
    per_block: usize,
    range: Range<usize>,
    k: usize,
    gw: &Image<T>,
    kernel: [usize; 3],
) {
    let taps: usize = kernel.iter().product();
    for i in range {
        let at = acc.0.add(i * V::N);
        let mut s = V::load(at);
        for b in 1..blocks {
            s = s.add(V::load(at.add(b * per_block)));
        }
        let (o, c, t) = (i / k, i % k / taps, i % taps);
        let (d, h, w) = (t / (kernel[1] * kernel[2]), t / kernel[2] % kernel[1], t % kernel[2]);
        let to = d as isize * gw.s[0] + h as isize * gw.s[1] + w as isize * gw.s[2];
        *gw.at(o, c).offset(to) = T::narrow(s.sum());
    }
}

#[inline(always)]
unsafe fn run_range_body<T: FloatElement, V: Lanes<T = T::C>>(
    job: &Job<T>,
    range: Range<usize>,
    x_buf: *mut T::C,
    grad_buf: *mut T::C,
) {
    let g = job.g;
    let k = g.ic * g.taps();
    let [od, oh, ow] = g.output;
    let band = if job.flat { oh } else { (BAND / ow.next_multiple_of(job.lanes).max(1)).min(oh) }.max(1);
    for task in range {
        let (rest, part) = (task / job.parts, task % job.parts);
        let (block, group) = (rest / g.groups, rest % g.groups);
        let per_part = g.oc.div_ceil(job.parts).next_multiple_of(2);
        let (oc0, oc1) = ((part * per_part).min(g.oc), ((part + 1) * per_part).min(g.oc));
        if oc0 == oc1 {
            continue;
        }
        let acc = job.acc.0.add(block * job.per_block + (group * g.oc + oc0) * k * V::N);
        for i in 0..(oc1 - oc0) * k {
            V::zero().store(acc.add(i * V::N));
        }
        let end = (block + 1) * g.n / job.blocks;
        for n0 in (block * g.n / job.blocks..end).step_by(job.bundle) {
            let images = job.bundle.min(end - n0);
            let (mut x, mut x_image) = (x_buf as *const T::C, job.x_len as isize);
            let (mut grad, mut grad_image) = (grad_buf as *const T::C, job.grad_len as isize);
            for i in 0..images {
                if job.pack_x {
                    let planes = Planes {
                        axes: &job.axes,
                        t0: [0; 3],
                        len: g.output,
                        pitch: job.pitch,
                        phase: job.phase_stride,
                        channel: job.channel_stride,
                    };
                    let from = job.x.at(n0 + i, group * g.ic);
                    pack_planes::<T, V>(&planes, g.ic, from, &job.x, x_buf.add(i * job.x_len));
                }
                if job.pack_grad {
                    let from = job.grad.at(n0 + i, group * g.oc + oc0);
                    pack_grad::<T, V>(job, from, oc1 - oc0, grad_buf.add(i * job.grad_len));
                }
            }
            if !job.pack_x {
                let at: isize = (0..3).map(|d| (job.axes[d].qmin - job.axes[d].lo) * job.pitch[d]).sum();
                x = (job.x.at(n0, group * g.ic) as *const T::C).wrapping_offset(at);
                x_image = job.x.n;
            }
            if !job.pack_grad {
                grad = job.grad.at(n0, group * g.oc + oc0) as *const T::C;
                grad_image = job.grad.n;
            }
            for d in 0..od as isize {
                for h0 in (0..oh).step_by(band) {
                    let rows = band.min(oh - h0);
                    let (rows, width) =
                        if job.flat { (1, (rows - 1) * job.pitch[1] as usize + ow) } else { (rows, ow) };
                    let run = Run::<T::C> {
                        grad: grad.wrapping_offset(d * job.grad_pitch[0] + h0 as isize * job.grad_pitch[1]),
                        grad_pitch: job.grad_pitch[1],
                        grad_channel: job.grad_pitch[2],
                        x: x.wrapping_offset(d * job.pitch[0] + h0 as isize * job.pitch[1]),
                        x_pitch: job.pitch[1],
                        images,
                        grad_image,
                        x_image,
                        rows,
                        width,
                        offs: job.offs.as_ptr(),
                        k,
                        acc,
                    };
                    channels::<T::C, V>(oc1 - oc0, &run);
                }
            }
        }
    }
}

/// Copies `channels` gradient channels: rows at the tiles' pitch, zeros between and after them.
#[inline(always)]
unsafe fn pack_grad<T: FloatElement, V: Lanes<T = T::C>>(job: &Job<T>, from: *const T, channels: usize, to: *mut T::C) {
    let [od, oh, ow] = job.g.output;
    let [slice, row, channel] = job.grad_pitch;
    for c in 0..channels as isize {
        for d in 0..od as isize {
            let to = to.offset(c * channel + d * slice);
            let from = from.wrapping_offset(c * job.grad.c + d * job.grad.s[0]);
            let mut i = 0;
            while i < slice as usize {
                V::zero().store(to.add(i));
                i += V::N;
            }
            for h in 0..oh as isize {
                let (from, to) = (from.wrapping_offset(h * job.grad.s[1]), to.offset(h * row));
                if T::DIRECT && job.grad.s[2] == 1 {
                    let mut w = 0;
                    while w < ow {
                        let n = (ow - w).min(V::N);
                        V::load_n((from as *const T::C).add(w), n).store_n(to.add(w), n);
                        w += n;
                    }
                } else {
                    for w in 0..ow {
                        *to.add(w) = (*from.offset(w as isize * job.grad.s[2])).widen();
                    }
                }
            }
        }
    }
}

/// One band of one image, or several small images: dot products of every gradient channel with every shifted input channel.
struct Run<C> {
    grad: *const C,
    grad_pitch: isize,
    grad_channel: isize,
    x: *const C,
    x_pitch: isize,
    images: usize,
    grad_image: isize,
    x_image: isize,
    rows: usize,
    width: usize,
    offs: *const isize,
    k: usize,
    /// [channels][k] vectors.
    acc: *mut C,
}

#[inline(always)]
unsafe fn channels<C: Real, V: Lanes<T = C>>(n: usize, r: &Run<C>) {
    let mut i = 0;
    macro_rules! step {
        ($ob:literal: $($kb:literal),*) => {{
            let mut j = 0;
            $(
                while r.k - j >= $kb {
                    tile::<C, V, $ob, $kb>(r, i, j);
                    j += $kb;
                }
            )*
            i += $ob;
        }};
    }
    if V::REGS >= 16 {
        while n - i >= 4 && n - i != 6 && n - i != 5 {
            step!(4: 6, 3, 1);
        }
        if n - i == 6 {
            step!(6: 3, 1);
        }
        while n - i >= 3 {
            step!(3: 6, 3, 1);
        }
    }
    while n - i >= 2 {
        step!(2: 6, 3, 1);
    }
    while n - i >= 1 {
        step!(1: 6, 3, 1);
    }
}

#[inline(always)]
unsafe fn tile<C: Real, V: Lanes<T = C>, const OB: usize, const KB: usize>(r: &Run<C>, i: usize, j: usize) {
    let at = r.acc.add((i * r.k + j) * V::N);
    let mut acc = [[V::zero(); KB]; OB];
    for o in 0..OB {
        for t in 0..KB {
            acc[o][t] = V::load(at.add((o * r.k + t) * V::N));
        }
    }
    let mut offs = [0isize; KB];
    for t in 0..KB {
        offs[t] = *r.offs.add(j + t);
    }
    let first = r.grad.wrapping_offset(i as isize * r.grad_channel);
    for image in 0..r.images as isize {
        let mut grad = first.wrapping_offset(image * r.grad_image);
        let mut x = r.x.wrapping_offset(image * r.x_image);
        for _ in 0..r.rows {
            let mut w = 0;
            while w + V::N <= r.width {
                let mut gv = [V::zero(); OB];
                for o in 0..OB {
                    gv[o] = V::load(grad.wrapping_offset(o as isize * r.grad_channel).add(w));
                }
                for t in 0..KB {
                    let xv = V::load(x.wrapping_offset(offs[t]).wrapping_add(w));
                    for o in 0..OB {
                        acc[o][t] = gv[o].fma(xv, acc[o][t]);
                    }
                }
                w += V::N;
            }
            if w < r.width {
                let n = r.width - w;
                let mut gv = [V::zero(); OB];
                for o in 0..OB {
                    gv[o] = V::load_n(grad.wrapping_offset(o as isize * r.grad_channel).add(w), n);
                }
                for t in 0..KB {
                    let xv = V::load_n(x.wrapping_offset(offs[t]).wrapping_add(w), n);
                    for o in 0..OB {
                        acc[o][t] = gv[o].fma(xv, acc[o][t]);
                    }
                }
            }
            grad = grad.wrapping_offset(r.grad_pitch);
            x = x.wrapping_offset(r.x_pitch);
        }
    }
    for o in 0..OB {
        for t in 0..KB {
            acc[o][t].store(at.add((o * r.k + t) * V::N));
        }
    }
}
