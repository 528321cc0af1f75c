//! The register tiles of the correlation in `conv`, and the copy of a padded source.

use super::corr::Corr;
use super::geometry::{Axis, Image};
use crate::backend::cpu::lanes::{FloatElement, Lanes, Real};
use crate::backend::cpu::level::Level;
use crate::backend::cpu::scratch::Scratch;
use crate::base::error::Result;
use crate::simd_dispatch;
use std::ops::Range;

/// Channels of the next tile when `left` remain; the sizes are those of `tiles`.
pub(super) fn tile_rows(left: usize, regs: usize) -> usize {
    if regs >= 16 {
        match left {
            7 => 4,
            5 => 3,
            9 | 10 | 12 | 13 => 6,
            n if n >= 8 => 8,
            n => n,
        }
    } else {
        match left {
            5 | 6 => 3,
            n if n >= 4 => 4,
            n => n,
        }
    }
}

/// Vectors side by side in a tile of `mr` channels.
const fn tile_vectors(mr: usize, regs: usize) -> usize {
    let n = regs / mr;
    if n > 4 {
        4
    } else if n == 0 {
        1
    } else {
        n
    }
}

/// Runs the tasks of a range: (image, group, band, part of the output channels), the last varying fastest.
pub(super) unsafe fn run_tasks<T: FloatElement>(set: Level, c: &Corr<T>, range: Range<usize>) -> Result<()> {
    let mr_max = c.blocks.iter().map(|b| b.1).max().unwrap_or(1);
    let row = (c.axes[2].t.1 - c.axes[2].t.0) as usize;
    let per_channel = if c.direct_store { 0 } else { c.band[1] * out_pitch(c, row) + 4 * c.lanes };
    let scratch = Scratch::new::<T::C>(c.scratch_len + mr_max * per_channel)?;
    let source = scratch.ptr::<T::C>();
    let out = source.add(c.scratch_len);
    run_range(set, c, range, source, out, per_channel);
    Ok(())
}

/// Distance between rows of results in scratch.
fn out_pitch<T: FloatElement>(c: &Corr<T>, row: usize) -> usize {
    if c.flat {
        (c.pitch[1] as usize).max(row)
    } else {
        row.next_multiple_of(c.lanes)
    }
}

simd_dispatch!(float fn run_range => run_range_body(
    c: &Corr<T>, range: Range<usize>, source: *mut T::C, out: *mut T::C, per_channel: usize));

#[inline(always)]
unsafe fn run_range_body<T: FloatElement, V: Lanes<T = T::C>>(
    c: &Corr<T>,
    range: Range<usize>,
    source: *mut T::C,
    out: *mut T::C,
    per_channel: usize,
) {
    let mut packed_for = usize::MAX;
    for task in range {
        let (rest, part) = (task / c.parts, task % c.parts);
        let (image, band) = (rest / (c.bands[0] * c.bands[1]), rest % (c.bands[0] * c.bands[1]));
        let (n, group) = (image / c.groups, image % c.groups);
        let (b0, b1) = (band / c.bands[1] * c.band[0], band % c.bands[1] * c.band[1]);
        // The band's corner, in each axis' own positions.
        let t0 = [c.axes[0].t.0 + b0 as isize, c.axes[1].t.0 + b1 as isize, c.axes[2].t.0];
        let src = c.src.at(n, group * c.cin);
        let base: *const T::C = if c.pack {
            if packed_for != rest {
                pack_source::<T, V>(c, src, t0, source);
                packed_for = rest;
            }
            source
        } else {
            let at: isize = (0..3).map(|d| (t0[d] + c.axes[d].qmin - c.axes[d].lo) * c.pitch[d]).sum();
            (src as *const T::C).wrapping_offset(at)
        };
        let per_part = c.blocks.len().div_ceil(c.parts);
        let blocks = &c.blocks[(part * per_part).min(c.blocks.len())..((part + 1) * per_part).min(c.blocks.len())];
        for sub in &c.subs {
            let ax = [0, 1, 2].map(|d| &c.axes[d].subs[sub.axis[d]]);
            let lo = [0, 1, 2].map(|d| ax[d].t0.max(t0[d]));
            let end = [t0[0] + c.band[0] as isize, t0[1] + c.band[1] as isize, isize::MAX];
            let count = [0, 1, 2].map(|d| (ax[d].t1.min(end[d]) - lo[d]).max(0) as usize);
            if count.contains(&0) {
                continue;
            }
            let weights = c.weights.at((group * c.group_weights + sub.weights) as isize) as *const T::C;
            let offs = c.offs.as_ptr().add(sub.offs);
            for td in 0..count[0] as isize {
                let shift =
                    (lo[0] - t0[0] + td) * c.pitch[0] + (lo[1] - t0[1]) * c.pitch[1] + (lo[2] - t0[2]) * c.pitch[2];
                let x = base.wrapping_offset(shift);
                let to: isize = (ax[0].out0 + (lo[0] + td) * ax[0].step) * c.dst.s[0]
                    + (ax[1].out0 + lo[1] * ax[1].step) * c.dst.s[1]
                    + (ax[2].out0 + lo[2] * ax[2].step) * c.dst.s[2];
                let (step_h, step_w) = (ax[1].step * c.dst.s[1], ax[2].step * c.dst.s[2]);
                for &(c0, mr) in blocks {
                    let dst = c.dst.at(n, group * c.cout + c0).offset(to);
                    let w = weights.add(c0 * sub.k);
                    let bias = c.bias.at((group * c.cout + c0) as isize) as *const T::C;
                    let mut run = Run::<T::C> {
                        k: sub.k,
                        offs,
                        w,
                        bias,
                        x,
                        x_pitch: c.pitch[1],
                        rows: count[1],
                        width: count[2],
                        out: dst as *mut T::C,
                        out_pitch: step_h,
                        out_row: c.dst.c,
                    };
                    if !c.direct_store {
                        run.out = out;
                        run.out_pitch = out_pitch(c, (c.axes[2].t.1 - c.axes[2].t.0) as usize) as isize;
                        run.out_row = per_channel as isize;
                    }
                    if c.flat {
                        // One long row, the junk between rows included.
                        run.width += (run.rows - 1) * c.pitch[1] as usize;
                        run.rows = 1;
                    }
                    tiles::<T::C, V>(mr, &run);
                    if !c.direct_store {
                        for i in 0..mr {
                            write_out::<T, V>(
                                out.add(i * per_channel),
                                run.out_pitch,
                                [count[1], count[2]],
                                dst.offset(i as isize * c.dst.c),
                                [step_h, step_w],
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Results of one block of channels over one plane, from scratch into the output.
#[inline(always)]
unsafe fn write_out<T: FloatElement, V: Lanes<T = T::C>>(
    from: *const T::C,
    pitch: isize,
    [rows, width]: [usize; 2],
    to: *mut T,
    [step_h, step_w]: [isize; 2],
) {
    for r in 0..rows as isize {
        let (from, to) = (from.offset(r * pitch), to.offset(r * step_h));
        if T::DIRECT && step_w == 1 {
            copy_row::<T::C, V>(from, to as *mut T::C, width);
        } else {
            for i in 0..width {
                *to.offset(i as isize * step_w) = T::narrow(*from.add(i));
            }
        }
    }
}

#[inline(always)]
unsafe fn copy_row<C: Real, V: Lanes<T = C>>(from: *const C, to: *mut C, n: usize) {
    let mut i = 0;
    while i + V::N <= n {
        V::load(from.add(i)).store(to.add(i));
        i += V::N;
    }
    if i < n {
        if i > 0 {
            // Overlap the last full vector instead of a partial store.
            V::load(from.add(n - V::N)).store(to.add(n - V::N));
        } else {
            V::load_n(from, n).store_n(to, n);
        }
    }
}

/// Copies the source of one band: padded, widened, one plane per combination of residues.
#[inline(always)]
unsafe fn pack_source<T: FloatElement, V: Lanes<T = T::C>>(c: &Corr<T>, src: *const T, t0: [isize; 3], to: *mut T::C) {
    let len = [c.band[0], c.band[1], (c.axes[2].t.1 - c.axes[2].t.0) as usize];
    let planes = Planes { axes: &c.axes, t0, len, pitch: c.pitch, phase: c.phase_stride, channel: c.channel_stride };
    pack_planes::<T, V>(&planes, c.cin, src, &c.src, to);
}

/// Where a padded copy of a source lies, and which part of the source it shows.
pub(super) struct Planes<'a> {
    pub axes: &'a [Axis; 3],
    pub t0: [isize; 3],
    /// Output positions that it serves.
    pub len: [usize; 3],
    pub pitch: [isize; 3],
    pub phase: isize,
    pub channel: isize,
}

#[inline(always)]
pub(super) unsafe fn pack_planes<T: FloatElement, V: Lanes<T = T::C>>(
    p: &Planes,
    channels: usize,
    src: *const T,
    image: &Image<T>,
    to: *mut T::C,
) {
    let axes = p.axes;
    // Source index of packed position 0 (residue 0), and the number of packed positions, per axis.
    let first = [0, 1, 2].map(|d| (p.t0[d] + axes[d].qmin) * axes[d].f - axes[d].lo);
    let j = [0, 1, 2].map(|d| p.len[d] as isize + axes[d].qmax - axes[d].qmin);
    for ch in 0..channels {
        let src = src.wrapping_offset(ch as isize * image.c);
        let mut plane = to.offset(ch as isize * p.channel);
        for &rd in &axes[0].phases {
            for &rh in &axes[1].phases {
                for &rw in &axes[2].phases {
                    let start = first[2] + rw;
                    let f = axes[2].f;
                    // Packed columns a..b lie inside the source.
                    let a = ((-start).max(0) + f - 1) / f;
                    let b = if axes[2].src > start { (axes[2].src - start + f - 1) / f } else { 0 };
                    let (a, b) = (a.min(j[2]), b.clamp(0, j[2]));
                    let b = b.max(a);
                    for jd in 0..j[0] {
                        let sd = first[0] + rd + jd * axes[0].f;
                        for jh in 0..j[1] {
                            let sh = first[1] + rh + jh * axes[1].f;
                            let row = plane.offset(jd * p.pitch[0] + jh * p.pitch[1]);
                            if sd < 0 || sd >= axes[0].src || sh < 0 || sh >= axes[1].src {
                                fill_zero::<T::C, V>(row, j[2] as usize);
                                continue;
                            }
                            fill_zero::<T::C, V>(row, a as usize);
                            fill_zero::<T::C, V>(row.offset(b), (j[2] - b) as usize);
                            let step = f * image.s[2];
                            let from =
                                src.wrapping_offset(sd * image.s[0] + sh * image.s[1] + (start + a * f) * image.s[2]);
                            let (row, n) = (row.offset(a), (b - a) as usize);
                            if step == 1 && T::DIRECT {
                                copy_row::<T::C, V>(from as *const T::C, row, n);
                            } else if step == 2 && T::DIRECT && n > 0 {
                                // Every other column, which is what most steps are.
                                every_other::<T::C, V>(from as *const T::C, row, n);
                            } else if step == 1 {
                                for i in 0..n {
                                    *row.add(i) = (*from.add(i)).widen();
                                }
                            } else {
                                for i in 0..n {
                                    *row.add(i) = (*from.offset(i as isize * step)).widen();
                                }
                            }
                        }
                    }
                    plane = plane.offset(p.phase);
                }
            }
        }
    }
}

/// `to[i] = from[2 * i]` for `n` elements, one at least; 2 n - 1 are read.
#[inline(always)]
unsafe fn every_other<C: Real, V: Lanes<T = C>>(from: *const C, to: *mut C, n: usize) {
    if n < V::N {
        let there = 2 * n - 1;
        let (a, b) = (V::load_n(from, there.min(V::N)), V::load_n(from.wrapping_add(V::N), there.saturating_sub(V::N)));
        return a.split(b).0.store_n(to, n);
    }
    let mut i = 0;
    while i + V::N < n {
        let from = from.add(2 * i);
        V::load(from).split(V::load(from.add(V::N))).0.store(to.add(i));
        i += V::N;
    }
    // The last vector overlaps the one before it.
    let from = from.add(2 * (n - V::N));
    V::load(from).split(V::load_n(from.add(V::N), V::N - 1)).0.store(to.add(n - V::N));
}

#[inline(always)]
unsafe fn fill_zero<C: Real, V: Lanes<T = C>>(to: *mut C, n: usize) {
    let mut i = 0;
    while i + V::N <= n {
        V::zero().store(to.add(i));
        i += V::N;
    }
    for i in i..n {
        *to.add(i) = C::ZERO;
    }
}

/// One block of channels over one plane: `rows` x `width` outputs.
struct Run<C> {
    k: usize,
    offs: *const isize,
    w: *const C,
    bias: *const C,
    x: *const C,
    x_pitch: isize,
    rows: usize,
    width: usize,
    out: *mut C,
    out_pitch: isize,
    /// From one channel to the next.
    out_row: isize,
}

#[inline(always)]
unsafe fn tiles<C: Real, V: Lanes<T = C>>(mr: usize, r: &Run<C>) {
    macro_rules! rows {
        ($($mr:literal),*) => {
            match mr {
                $($mr => cover::<C, V, $mr>(r),)*
                _ => unreachable!("no register tile for {mr} channels"),
            }
        };
    }
    if V::REGS >= 16 {
        rows!(1, 2, 3, 4, 6, 8)
    } else {
        rows!(1, 2, 3, 4)
    }
}

/// Walks the plane vector by vector, several to a tile.
#[inline(always)]
unsafe fn cover<C: Real, V: Lanes<T = C>, const MR: usize>(r: &Run<C>) {
    let mut left = r.rows * r.width.div_ceil(V::N);
    // The next vector: its row's start in source and output, and its column.
    let (mut x, mut out, mut col) = (r.x, r.out, 0);
    macro_rules! step {
        ($nv:literal) => {{
            let (mut xs, mut outs, mut cnt) = ([r.x; $nv], [r.out; $nv], [0usize; $nv]);
            let mut full = true;
            for v in 0..$nv {
                xs[v] = x.wrapping_add(col);
                outs[v] = out.wrapping_add(col);
                cnt[v] = (r.width - col).min(V::N);
                full &= cnt[v] == V::N;
                col += V::N;
                if col >= r.width {
                    col = 0;
                    x = x.wrapping_offset(r.x_pitch);
                    out = out.wrapping_offset(r.out_pitch);
                }
            }
            if full {
                tile::<C, V, MR, $nv, false>(r, &xs, &outs, &cnt);
            } else {
                tile::<C, V, MR, $nv, true>(r, &xs, &outs, &cnt);
            }
            left -= $nv;
        }};
    }
    let nv = const { tile_vectors(MR, V::REGS) };
    if nv == 4 {
        while left >= 4 {
            step!(4);
        }
    }
    if nv >= 3 {
        while left >= 3 {
            step!(3);
        }
    }
    if nv >= 2 {
        while left >= 2 {
            step!(2);
        }
    }
    while left >= 1 {
        step!(1);
    }
}

/// MR channels by NV vectors; with MASK, vector v has `cnt[v]` lanes.
#[inline(always)]
unsafe fn tile<C: Real, V: Lanes<T = C>, const MR: usize, const NV: usize, const MASK: bool>(
    r: &Run<C>,
    x: &[*const C; NV],
    out: &[*mut C; NV],
    cnt: &[usize; NV],
) {
    let (x, out, cnt) = (*x, *out, *cnt);
    let mut acc = [[V::zero(); NV]; MR];
    for i in 0..MR {
        acc[i] = [V::splat(*r.bias.add(i)); NV];
    }
    let (offs, mut w) = (r.offs, r.w);
    for l in 0..r.k {
        let o = *offs.add(l);
        let mut xv = [V::zero(); NV];
        for v in 0..NV {
            let p = x[v].wrapping_offset(o);
            xv[v] = if MASK { V::load_n(p, cnt[v]) } else { V::load(p) };
        }
        for i in 0..MR {
            let wv = V::splat(*w.add(i));
            for v in 0..NV {
                acc[i][v] = wv.fma(xv[v], acc[i][v]);
            }
        }
        w = w.add(MR);
    }
    for i in 0..MR {
        for v in 0..NV {
            let p = out[v].wrapping_offset(i as isize * r.out_row);
            if MASK {
                acc[i][v].store_n(p, cnt[v]);
            } else {
                acc[i][v].store(p);
            }
        }
    }
}
