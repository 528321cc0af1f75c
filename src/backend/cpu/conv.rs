//! Convolution over 1 to 3 spatial dimensions.
//!
//! The forward pass and the gradient of the input are both a *correlation*: every output is a sum of weights times
//! source elements at fixed offsets. Where strides allow, the source is read in place; otherwise each task copies its
//! part into scratch memory: padded, converted to the compute type, and split by residue (a stride of 2 makes two
//! planes of every other column), so that every tap of every output row is a contiguous run. Register tiles of
//! outputs x channels (`conv_kernels`) then need no im2col matrix. Shapes for which that wastes more than a matrix
//! product would cost (tiny outputs) go through im2col and gemm (`conv_gemm`).
//!
//! Every output is summed over its taps in one order, whatever the number of threads.

use super::conv_gemm;
use super::conv_kernels::{run_tasks, tile_rows};
use super::conv_weight;
use super::lanes::{isa, vector_shape, Isa};
use super::parallel::{num_threads, parallel_for};
use super::scratch::{ptr, FloatElement, Ptr, Real, Scratch};
use crate::backend::{ConvParams, View};
use crate::error::{Error, Result};
use crate::{dispatch_float, ensure};
use smallvec::SmallVec;

/// Sizes of a convolution, always with three spatial dimensions (missing leading ones have size 1).
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub n: usize,
    pub groups: usize,
    /// Channels of one group.
    pub ic: usize,
    pub oc: usize,
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub kernel: [usize; 3],
    pub stride: [isize; 3],
    pub pad: [isize; 3],
    pub dil: [isize; 3],
}
impl Geometry {
    fn of(what: &str, input: &View, weight: &View, output: &View, p: &ConvParams) -> Result<Geometry> {
        let (si, sw, so) = (&input.layout.shape, &weight.layout.shape, &output.layout.shape);
        let nd = si.len();
        ensure!(
            (3..=5).contains(&nd) && sw.len() == nd && so.len() == nd,
            Runtime,
            "{what}: expected input, weight and output of 3 to 5 dimensions, got {si:?}, {sw:?} and {so:?}"
        );
        let s = nd - 2;
        ensure!(
            p.stride.len() == s && p.padding.len() == s && p.dilation.len() == s,
            Runtime,
            "{what}: expected {s} strides, paddings and dilations, got {:?}, {:?} and {:?}",
            p.stride,
            p.padding,
            p.dilation
        );
        ensure!(
            p.stride.iter().all(|v| *v > 0) && p.dilation.iter().all(|v| *v > 0) && p.groups > 0,
            Runtime,
            "{what}: stride, dilation and groups must be positive, got {p:?}"
        );
        ensure!(
            input.dtype == weight.dtype && input.dtype == output.dtype,
            Runtime,
            "{what}: Input type ({}) and weight type ({}) should be the same",
            input.dtype,
            weight.dtype
        );
        let g = p.groups;
        ensure!(
            si[0] == so[0] && si[1] == sw[1] * g && so[1] == sw[0] && sw[0] % g == 0,
            Runtime,
            "{what}: input {si:?}, weight {sw:?}, output {so:?} and groups {g} do not fit"
        );
        let three = |v: &[i64], fill: i64| {
            let mut r = [fill as isize; 3];
            for (r, x) in r[3 - v.len()..].iter_mut().zip(v) {
                *r = *x as isize;
            }
            r
        };
        let sizes = |v: &[i64]| three(v, 1).map(|x| x as usize);
        Ok(Geometry {
            n: si[0] as usize,
            groups: g as usize,
            ic: sw[1] as usize,
            oc: (sw[0] / g) as usize,
            input: sizes(&si[2..]),
            output: sizes(&so[2..]),
            kernel: sizes(&sw[2..]),
            stride: three(&p.stride, 1),
            pad: three(&p.padding, 0),
            dil: three(&p.dilation, 1),
        })
    }
    /// Kernel positions per channel.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
    /// Output positions per image.
    pub fn positions(&self) -> usize {
        self.output.iter().product()
    }
    /// Input element that output `o` meets at kernel position `k` of dimension `d`, if it is not padding.
    #[inline(always)]
    pub fn source(&self, d: usize, o: usize, k: usize) -> Option<usize> {
        let i = o as isize * self.stride[d] + k as isize * self.dil[d] - self.pad[d];
        (i >= 0 && i < self.input[d] as isize).then_some(i as usize)
    }
}

/// A [n, c, d, h, w] tensor: first element and strides.
pub(super) struct Image<T> {
    pub p: Ptr<T>,
    pub n: isize,
    pub c: isize,
    pub s: [isize; 3],
}
impl<T> Clone for Image<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Image<T> {}
impl<T> Image<T> {
    fn of(v: &View) -> Result<Image<T>> {
        let st = &v.layout.strides;
        let mut s = [0; 3];
        for (s, x) in s[5 - st.len()..].iter_mut().zip(&st[2..]) {
            *s = *x as isize;
        }
        Ok(Image { p: Ptr(ptr(v)?), n: st[0] as isize, c: st[1] as isize, s })
    }
    /// Spatial positions follow each other without gaps, row-major.
    pub fn dense(&self, size: [usize; 3]) -> bool {
        let mut expect = 1;
        for d in (0..3).rev() {
            if size[d] != 1 && self.s[d] != expect {
                return false;
            }
            expect *= size[d] as isize;
        }
        true
    }
    #[inline(always)]
    pub fn at(&self, n: usize, c: usize) -> *mut T {
        self.p.at(n as isize * self.n + c as isize * self.c)
    }
}
impl<T: FloatElement> Image<T> {
    /// The strides with which tiles can read it in place: every tap of every output exists, and rows are runs.
    pub fn readable(&self, axes: &[Axis; 3]) -> Option<[isize; 3]> {
        let inside = |a: &Axis| a.f == 1 && a.t.0 + a.qmin - a.lo >= 0 && a.t.1 - 1 + a.qmax - a.lo < a.src;
        let mut pitch = self.s;
        for d in (0..3).rev() {
            if axes[d].src == 1 {
                // A dimension of size 1 has no meaningful stride.
                pitch[d] = if d == 2 { 1 } else { pitch[d + 1] * axes[d + 1].src };
            }
        }
        let nested = pitch[2] == 1 && pitch[1] >= axes[2].src && pitch[0] >= (axes[1].src - 1) * pitch[1] + axes[2].src;
        (T::DIRECT && axes.iter().all(inside) && nested).then_some(pitch)
    }
}

/// One spatial dimension of a correlation: output position `t` of a sub-grid meets, at kernel position `k`, source
/// element `(t + q) * f + r - lo`, where `(phase of r, q)` is `taps[k]`.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub src: isize,
    pub f: isize,
    pub lo: isize,
    /// Residues `r` that occur.
    pub phases: SmallVec<[isize; 4]>,
    pub qmin: isize,
    pub qmax: isize,
    pub taps: SmallVec<[(usize, isize); 8]>,
    pub subs: SmallVec<[AxisSub; 2]>,
    /// All sub-grids lie in `t.0..t.1`.
    pub t: (isize, isize),
}
/// Outputs `out0 + t * step` for `t0 <= t < t1`, fed by the kernel positions `ks`.
#[derive(Clone, Debug)]
pub(super) struct AxisSub {
    pub ks: SmallVec<[usize; 8]>,
    pub t0: isize,
    pub t1: isize,
    pub out0: isize,
    pub step: isize,
}

impl Axis {
    fn new(src: usize, f: isize, lo: isize, taps: SmallVec<[(isize, isize); 8]>, subs: SmallVec<[AxisSub; 2]>) -> Axis {
        let mut phases = SmallVec::<[isize; 4]>::new();
        let taps: SmallVec<[(usize, isize); 8]> = taps
            .iter()
            .map(|&(r, q)| {
                let i = phases.iter().position(|x| *x == r).unwrap_or_else(|| {
                    phases.push(r);
                    phases.len() - 1
                });
                (i, q)
            })
            .collect();
        Axis {
            src: src as isize,
            f,
            lo,
            phases,
            qmin: taps.iter().map(|t| t.1).min().unwrap_or(0),
            qmax: taps.iter().map(|t| t.1).max().unwrap_or(0),
            t: (subs.iter().map(|s| s.t0).min().unwrap_or(0), subs.iter().map(|s| s.t1).max().unwrap_or(0)),
            taps,
            subs,
        }
    }
    pub(super) fn forward(g: &Geometry, d: usize) -> Axis {
        let (s, dil) = (g.stride[d], g.dil[d]);
        let taps = (0..g.kernel[d] as isize).map(|k| (k * dil % s, k * dil / s)).collect();
        let all = AxisSub { ks: (0..g.kernel[d]).collect(), t0: 0, t1: g.output[d] as isize, out0: 0, step: 1 };
        Axis::new(g.input[d], s, g.pad[d], taps, SmallVec::from_iter([all]))
    }
    fn backward(g: &Geometry, d: usize) -> Axis {
        let (s, dil, p) = (g.stride[d], g.dil[d], g.pad[d]);
        let taps = (0..g.kernel[d] as isize).map(|k| (0, -(k * dil / s))).collect();
        let subs = (0..s)
            .map(|r| AxisSub {
                ks: (0..g.kernel[d]).filter(|k| *k as isize * dil % s == r).collect(),
                t0: (p - r).div_euclid(s) + isize::from((p - r).rem_euclid(s) != 0),
                t1: (g.input[d] as isize - 1 + p - r).div_euclid(s) + 1,
                out0: r - p,
                step: s,
            })
            .filter(|x| x.t1 > x.t0)
            .collect();
        Axis::new(g.output[d], 1, 0, taps, subs)
    }
    /// Positions of the longest sub-grid within a band of `b`.
    fn longest(&self) -> usize {
        self.subs.iter().map(|s| (s.t1 - s.t0) as usize).max().unwrap_or(0)
    }
}

/// One combination of the axes' sub-grids.
pub(super) struct Sub {
    /// Index of the sub-grid in each axis.
    pub axis: [usize; 3],
    /// Where its offsets start in `Corr::offs`, and how many there are (channels x taps).
    pub offs: usize,
    pub k: usize,
    /// Where its packed weights start within a group's.
    pub weights: usize,
}

/// A correlation ready to run in tasks.
pub(super) struct Corr<T: FloatElement> {
    pub n: usize,
    pub groups: usize,
    /// Channels of one group: summed over, and produced.
    pub cin: usize,
    pub cout: usize,
    pub axes: [Axis; 3],
    pub src: Image<T>,
    pub dst: Image<T>,
    pub subs: Vec<Sub>,
    /// Source offsets of every (channel, tap), per sub-grid.
    pub offs: Vec<isize>,
    /// Whether tasks copy their source; otherwise pitches are the source's own strides.
    pub pack: bool,
    pub pitch: [isize; 3],
    pub phase_stride: isize,
    pub channel_stride: isize,
    pub scratch_len: usize,
    /// Per group: sub-grid, block of output channels, then [k][channels of the block].
    pub weights: Ptr<T::C>,
    pub group_weights: usize,
    /// Bias of all output channels, zeros where there is none.
    pub bias: Ptr<T::C>,
    /// First channel and size of each block of output channels.
    pub blocks: Vec<(usize, usize)>,
    /// Rows laid end to end, junk between them included, instead of row by row.
    pub flat: bool,
    /// Outputs are written in place by the register tiles.
    pub direct_store: bool,
    pub band: [usize; 2],
    pub bands: [usize; 2],
    pub parts: usize,
    pub lanes: usize,
}

/// Work, in multiplications, that is worth a task.
pub(super) const TASK: usize = 300_000;
/// Bytes of source that one task should work on, to stay in the second-level cache.
const BAND_BYTES: usize = 256 * 1024;
/// Outputs of one channel that one task should hold in scratch.
const BAND_OUT: usize = 4096;

fn sub_counts(a: &[Axis; 3], s: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|d| (a[d].subs[s[d]].t1 - a[d].subs[s[d]].t0) as usize)
}

/// How many vector lanes a sub-grid takes per channel, laid out row by row and flat.
pub(super) fn lane_counts(count: [usize; 3], pitch: usize, lanes: usize) -> (usize, usize) {
    let [d, h, w] = count;
    if d * h * w == 0 {
        return (0, 0);
    }
    let rows = d * h * w.next_multiple_of(lanes);
    let flat = d * ((h - 1) * pitch + w).next_multiple_of(lanes);
    (rows, flat)
}

impl<T: FloatElement> Corr<T> {
    /// What the correlation would cost, in multiplications: (row by row, flat).
    fn cost(axes: &[Axis; 3], cin: usize, cout: usize, lanes: usize) -> (usize, usize) {
        let pitch = axes[2].longest() + (axes[2].qmax - axes[2].qmin) as usize;
        let (mut rows, mut flat) = (0, 0);
        for_subs(axes, |s| {
            let k: usize = (0..3).map(|d| axes[d].subs[s[d]].ks.len()).product::<usize>() * cin;
            let (r, f) = lane_counts(sub_counts(axes, s), pitch, lanes);
            // Each lane is loaded and stored once more; flat results are copied into place.
            rows += r * (k + 2) * cout;
            flat += f * (k + 5) * cout;
        });
        (rows, flat)
    }
}

fn for_subs(axes: &[Axis; 3], mut f: impl FnMut([usize; 3])) {
    for d in 0..axes[0].subs.len() {
        for h in 0..axes[1].subs.len() {
            for w in 0..axes[2].subs.len() {
                f([d, h, w]);
            }
        }
    }
}

/// Weight of (output channel, input channel, tap) of a group, as the correlation sees them.
struct Weights<T> {
    p: Ptr<T>,
    group: isize,
    cout: isize,
    cin: isize,
    s: [isize; 3],
}

struct Problem<'a, T> {
    g: &'a Geometry,
    axes: [Axis; 3],
    cin: usize,
    cout: usize,
    src: Image<T>,
    dst: Image<T>,
    dst_size: [usize; 3],
    weights: Weights<T>,
    bias: Option<(Ptr<T>, isize)>,
}

fn correlate<T: FloatElement>(set: Isa, p: Problem<T>) -> Result<()> {
    let Problem { g, axes, cin, cout, src, dst, dst_size, weights, bias } = p;
    let (lanes, regs) = vector_shape::<T::C>(set);
    let (rows_cost, flat_cost) = Corr::<T>::cost(&axes, cin, cout, lanes);
    let mut flat = flat_cost < rows_cost;

    // Channels a multiple of 4 KiB apart would share few cache sets: better copied.
    let aliased = cin >= 16 && (src.c as usize * std::mem::size_of::<T>()).is_multiple_of(4096);
    let in_place = if aliased { None } else { src.readable(&axes) };
    let pack = in_place.is_none();
    let mut pitch = in_place.unwrap_or_default();

    // Bands: parts of the output that one task makes for all channels.
    let t = [0, 1, 2].map(|d| (axes[d].t.1 - axes[d].t.0) as usize);
    let q = [0, 1, 2].map(|d| (axes[d].qmax - axes[d].qmin) as usize);
    let nphase = axes.iter().map(|a| a.phases.len()).product::<usize>();
    let source_bytes =
        |bd: usize, bh: usize| cin * nphase * (bd + q[0]) * (bh + q[1]) * (t[2] + q[2]) * std::mem::size_of::<T::C>();
    let (mut bd, mut bh) = (t[0], t[1]);
    while bd * bh > 1 && (source_bytes(bd, bh) > BAND_BYTES || bh * (t[2] + q[2]) > BAND_OUT) {
        if bd > 1 {
            bd = bd.div_ceil(2);
        } else if bh > 4 {
            bh = bh.div_ceil(2);
        } else {
            break;
        }
    }
    let work = rows_cost.min(flat_cost).max(1);
    let blocks = channel_blocks(cout, regs);
    let threads = num_threads();
    let mut parts = 1;
    if threads > 1 {
        let tasks = |bd: usize, bh: usize| g.n * g.groups * t[0].div_ceil(bd) * t[1].div_ceil(bh);
        while tasks(bd, bh) < 2 * threads && bh >= 8 && work * g.n * g.groups / tasks(bd, bh) > TASK {
            bh = bh.div_ceil(2);
        }
        let have = tasks(bd, bh);
        if have < threads {
            let useful = work * g.n * g.groups / have / TASK;
            parts = (2 * threads).div_ceil(have).min(useful).min(blocks.len()).max(1);
        }
    }

    let (mut phase_stride, mut channel_stride, mut scratch_len) = (0, src.c, 0);
    if pack {
        let j = [bd + q[0], bh + q[1], t[2] + q[2]].map(|x| x as isize);
        pitch = [j[1] * j[2], j[2], 1];
        phase_stride = j[0] * j[1] * j[2];
        channel_stride = phase_stride * nphase as isize;
        if (channel_stride as usize * std::mem::size_of::<T::C>()).is_multiple_of(1024) {
            channel_stride += 16;
        }
        scratch_len = channel_stride as usize * cin + 4 * lanes;
    }
    // With the source's own pitch, flat may no longer pay.
    if flat && !pack {
        let (r, f) = lane_counts([1, t[1], t[2]], pitch[1] as usize, lanes);
        flat = f < r;
    }
    let step_w = axes[2].subs.iter().map(|s| s.step).max().unwrap_or(1);
    let one_row = bh == 1 || t[1] == 1;
    let unit = T::DIRECT && step_w == 1 && (dst.s[2] == 1 || dst_size[2] == 1);
    let gapless = pitch[1] as usize == t[2] && axes[1].subs.iter().all(|s| s.step == 1) && dst.s[1] == t[2] as isize;
    let direct_store = unit && (!flat || gapless || one_row);

    // Offsets and weights per sub-grid.
    let (mut subs, mut offs) = (vec![], vec![]);
    let mut weight_len = 0;
    for_subs(&axes, |s| {
        let ks = [0, 1, 2].map(|d| &axes[d].subs[s[d]].ks);
        let start = offs.len();
        for c in 0..cin as isize {
            for &kd in ks[0] {
                for &kh in ks[1] {
                    for &kw in ks[2] {
                        let tap = [axes[0].taps[kd], axes[1].taps[kh], axes[2].taps[kw]];
                        let phase = (tap[0].0 * axes[1].phases.len() + tap[1].0) * axes[2].phases.len() + tap[2].0;
                        let at: isize = (0..3).map(|d| (tap[d].1 - axes[d].qmin) * pitch[d]).sum();
                        offs.push(c * channel_stride + phase as isize * phase_stride + at);
                    }
                }
            }
        }
        let k = offs.len() - start;
        subs.push(Sub { axis: s, offs: start, k, weights: weight_len });
        weight_len += k * cout;
    });

    let packed = Scratch::new::<T::C>(weight_len * g.groups + cout * g.groups)?;
    let (wp, bp) = (Ptr(packed.ptr::<T::C>()), Ptr(packed.ptr::<T::C>()).at((weight_len * g.groups) as isize));
    for c in 0..cout * g.groups {
        // SAFETY: the scratch holds one bias per output channel.
        unsafe { *bp.add(c) = bias.map_or(T::C::ZERO, |(b, st)| (*b.at(c as isize * st)).widen()) }
    }
    let nblocks = blocks.len();
    parallel_for(g.groups * nblocks, (TASK / 8 / (weight_len / nblocks.max(1) + 1)).max(1), |r| {
        for i in r {
            let (group, (c0, mr)) = (i / nblocks, blocks[i % nblocks]);
            for sub in &subs {
                let ks = [0, 1, 2].map(|d| &axes[d].subs[sub.axis[d]].ks);
                let mut to = wp.at((group * weight_len + sub.weights + c0 * sub.k) as isize);
                let from = weights.p.at(group as isize * weights.group + c0 as isize * weights.cout);
                for c in 0..cin as isize {
                    for &kd in ks[0] {
                        for &kh in ks[1] {
                            for &kw in ks[2] {
                                let tap: isize = kd as isize * weights.s[0]
                                    + kh as isize * weights.s[1]
                                    + kw as isize * weights.s[2];
                                for i in 0..mr {
                                    // SAFETY: inside the weight's view; the scratch holds all packed weights.
                                    unsafe {
                                        *to = (*from.offset(c * weights.cin + tap + i as isize * weights.cout)).widen();
                                        to = to.add(1);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    });

    let bands = [t[0].div_ceil(bd.max(1)), t[1].div_ceil(bh.max(1))];
    let corr = Corr {
        n: g.n,
        groups: g.groups,
        cin,
        cout,
        axes,
        src,
        dst,
        subs,
        offs,
        pack,
        pitch,
        phase_stride,
        channel_stride,
        scratch_len,
        weights: wp,
        group_weights: weight_len,
        bias: Ptr(bp),
        blocks,
        flat,
        direct_store,
        band: [bd, bh],
        bands,
        parts,
        lanes,
    };
    let tasks = corr.n * corr.groups * bands[0] * bands[1] * parts;
    let per_task = work / (bands[0] * bands[1] * parts).max(1);
    let failed = parking_lot::Mutex::new(None);
    parallel_for(tasks, (TASK / (per_task + 1)).max(1), |r| {
        // SAFETY: tasks write disjoint outputs inside the view, and read only inside the source's view or scratch.
        if let Err(e) = unsafe { run_tasks(set, &corr, r) } {
            *failed.lock() = Some(e);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Cuts the output channels into blocks of sizes that the register tiles have.
fn channel_blocks(cout: usize, regs: usize) -> Vec<(usize, usize)> {
    let (mut blocks, mut at) = (vec![], 0);
    while at < cout {
        let mr = tile_rows(cout - at, regs);
        blocks.push((at, mr));
        at += mr;
    }
    blocks
}

/// Multiplications that one element of an im2col matrix is worth, with its packing by gemm.
pub(super) const IM2COL_COST: usize = 32;

/// out = conv(input, weight) + bias.
pub fn conv(input: View, weight: View, bias: Option<View>, p: &ConvParams, out: View) -> Result<()> {
    conv_with(isa(), input, weight, bias, p, out)
}
fn conv_with(set: Isa, input: View, weight: View, bias: Option<View>, p: &ConvParams, out: View) -> Result<()> {
    let g = Geometry::of("conv", &input, &weight, &out, p)?;
    if let Some(b) = &bias {
        let want = (g.oc * g.groups) as i64;
        ensure!(
            b.dtype == input.dtype && b.layout.shape[..] == [want],
            Runtime,
            "conv: expected bias to be 1-dimensional with {want} elements of {}, got shape {:?} of {}",
            input.dtype,
            b.layout.shape,
            b.dtype
        );
    }
    if out.layout.numel() == 0 {
        return Ok(());
    }
    dispatch_float!(
        input.dtype,
        T,
        {
            let axes = [0, 1, 2].map(|d| Axis::forward(&g, d));
            let (src, dst, w) = (Image::<T>::of(&input)?, Image::<T>::of(&out)?, Image::<T>::of(&weight)?);
            let bias = match &bias {
                Some(b) => Some((Ptr(ptr::<T>(b)?), b.layout.strides[0] as isize)),
                None => None,
            };
            let (rows, flat) = Corr::<T>::cost(&axes, g.ic, g.oc, vector_shape::<<T as FloatElement>::C>(set).0);
            if g.ic * g.taps() * g.positions() * (g.oc + IM2COL_COST) < rows.min(flat) {
                return conv_gemm::forward(&g, src, w, bias, dst);
            }
            let weights = Weights { p: w.p, group: g.oc as isize * w.n, cout: w.n, cin: w.c, s: w.s };
            let (cin, cout, dst_size) = (g.ic, g.oc, g.output);
            correlate(set, Problem { g: &g, axes, cin, cout, src, dst, dst_size, weights, bias })
        },
        Err(Error::unsupported("conv", input.dtype, "cpu"))
    )
}

/// Gradient of `conv` with respect to its input; also the forward pass of the transposed convolution.
pub fn conv_backward_input(grad: View, weight: View, p: &ConvParams, grad_input: View) -> Result<()> {
    conv_backward_input_with(isa(), grad, weight, p, grad_input)
}
fn conv_backward_input_with(set: Isa, grad: View, weight: View, p: &ConvParams, grad_input: View) -> Result<()> {
    let g = Geometry::of("conv_backward_input", &grad_input, &weight, &grad, p)?;
    if grad_input.layout.numel() == 0 {
        return Ok(());
    }
    dispatch_float!(
        grad.dtype,
        T,
        {
            let axes = [0, 1, 2].map(|d| Axis::backward(&g, d));
            let (src, dst, w) = (Image::<T>::of(&grad)?, Image::<T>::of(&grad_input)?, Image::<T>::of(&weight)?);
            let (rows, flat) = Corr::<T>::cost(&axes, g.oc, g.ic, vector_shape::<<T as FloatElement>::C>(set).0);
            if g.ic * g.taps() * g.positions() * (g.oc + IM2COL_COST) < rows.min(flat) {
                return conv_gemm::backward_input(&g, src, w, dst);
            }
            let weights = Weights { p: w.p, group: g.oc as isize * w.n, cout: w.c, cin: w.n, s: w.s };
            let (cin, cout, dst_size) = (g.oc, g.ic, g.input);
            correlate(set, Problem { g: &g, axes, cin, cout, src, dst, dst_size, weights, bias: None })
        },
        Err(Error::unsupported("conv_backward_input", grad.dtype, "cpu"))
    )
}

/// Gradient of `conv` with respect to its weight.
pub fn conv_backward_weight(grad: View, input: View, p: &ConvParams, grad_weight: View) -> Result<()> {
    conv_backward_weight_with(isa(), grad, input, p, grad_weight)
}
fn conv_backward_weight_with(set: Isa, grad: View, input: View, p: &ConvParams, grad_weight: View) -> Result<()> {
    let g = Geometry::of("conv_backward_weight", &input, &grad_weight, &grad, p)?;
    if grad_weight.layout.numel() == 0 {
        return Ok(());
    }
    dispatch_float!(
        grad.dtype,
        T,
        {
            let (gr, x, gw) = (Image::<T>::of(&grad)?, Image::<T>::of(&input)?, Image::<T>::of(&grad_weight)?);
            if conv_weight::suits::<T>(set, &g) {
                conv_weight::run(set, &g, gr, x, gw)
            } else {
                conv_gemm::backward_weight(&g, gr, x, gw)
            }
        },
        Err(Error::unsupported("conv_backward_weight", grad.dtype, "cpu"))
    )
}

#[cfg(test)]
mod tests {
    use super::super::lanes::isas;
    use super::super::parallel::set_num_threads;
    use super::super::testing::{assert_close, Host, Lcg};
    use super::*;
    use crate::tensor::dtype::DType;

    struct Case {
        dtype: DType,
        n: usize,
        groups: usize,
        ic: usize,
        oc: usize,
        input: Vec<i64>,
        kernel: Vec<i64>,
        p: ConvParams,
    }
    impl Case {
        fn output(&self) -> Vec<i64> {
            (0..self.input.len())
                .map(|d| {
                    let reach = self.p.dilation[d] * (self.kernel[d] - 1) + 1;
                    (self.input[d] + 2 * self.p.padding[d] - reach) / self.p.stride[d] + 1
                })
                .collect()
        }
        fn shapes(&self) -> [Vec<i64>; 3] {
            let with = |a: usize, b: usize, s: &[i64]| [&[a as i64, b as i64], s].concat();
            [
                with(self.n, self.groups * self.ic, &self.input),
                with(self.groups * self.oc, self.ic, &self.kernel),
                with(self.n, self.groups * self.oc, &self.output()),
            ]
        }
        /// Calls f(input index, weight index, output index) for every product of the convolution, row-major indices.
        fn for_products(&self, mut f: impl FnMut(usize, usize, usize)) {
            let (out, nd) = (self.output(), self.input.len());
            let total = |v: &[i64]| v.iter().product::<i64>() as usize;
            let unravel = |mut i: usize, s: &[i64]| {
                let mut v = vec![0i64; s.len()];
                for d in (0..s.len()).rev() {
                    v[d] = (i % s[d] as usize) as i64;
                    i /= s[d] as usize;
                }
                v
            };
            let (op, ip, kp) = (total(&out), total(&self.input), total(&self.kernel));
            let (coc, cic) = (self.groups * self.oc, self.groups * self.ic);
            for n in 0..self.n {
                for o in 0..coc {
                    for c in 0..self.ic {
                        for t in 0..kp {
                            for q in 0..op {
                                let (kt, ot) = (unravel(t, &self.kernel), unravel(q, &out));
                                let mut at = 0;
                                let mut inside = true;
                                for d in 0..nd {
                                    let i = ot[d] * self.p.stride[d] + kt[d] * self.p.dilation[d] - self.p.padding[d];
                                    inside &= i >= 0 && i < self.input[d];
                                    at = at * self.input[d] + i;
                                }
                                if inside {
                                    let channel = o / self.oc * self.ic + c;
                                    f(
                                        (n * cic + channel) * ip + at as usize,
                                        (o * self.ic + c) * kp + t,
                                        (n * coc + o) * op + q,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Runs all three kernels on every instruction set, and the im2col versions, against naive sums.
    fn check(c: &Case, seed: u64, layout: usize) {
        let mut r = Lcg(seed);
        let [xs, ws, os] = c.shapes();
        let nd = xs.len();
        // Layouts: contiguous, channels last, rows with gaps.
        let order: Vec<usize> = match layout {
            1 => [&[0], &(2..nd).collect::<Vec<_>>()[..], &[1]].concat(),
            _ => (0..nd).collect(),
        };
        let gap = if layout == 2 { 3 } else { 0 };
        let mut make = |s: &[i64]| Host::permuted(c.dtype, s, &order, gap, || r.eighth());
        let (x, w, g) = (make(&xs), make(&ws), make(&os));
        let b = make_bias(c);
        let blank = |s: &[i64]| Host::permuted(c.dtype, s, &order, gap, || f64::NAN);
        let (xv, wv, gv) = (x.to_vec(), w.to_vec(), g.to_vec());
        let total = |s: &[i64]| s.iter().product::<i64>() as usize;
        let op = total(&os[2..]);
        let mut out: Vec<f64> = (0..total(&os)).map(|i| b.at((i / op.max(1) % (c.groups * c.oc)) as i64)).collect();
        let (mut gi, mut gw) = (vec![0.0; xv.len()], vec![0.0; wv.len()]);
        c.for_products(|xi, wi, oi| {
            out[oi] += xv[xi] * wv[wi];
            gi[xi] += gv[oi] * wv[wi];
            gw[wi] += gv[oi] * xv[xi];
        });
        let tol = match c.dtype {
            DType::F32 => 2e-5,
            DType::F64 => 1e-12,
            DType::F16 => 2e-3,
            _ => 1e-2,
        };
        let what = format!(
            "{} n{} g{} {}->{} {:?} kernel {:?} {:?} layout {layout}",
            c.dtype, c.n, c.groups, c.ic, c.oc, c.input, c.kernel, c.p
        );
        for set in isas() {
            let (o, i, wg) = (blank(&os), blank(&xs), blank(&ws));
            conv_with(set, x.view(), w.view(), Some(b.view()), &c.p, o.view()).unwrap();
            assert_close(&o.to_vec(), &out, tol, &format!("conv {set:?} {what}"));
            conv_backward_input_with(set, g.view(), w.view(), &c.p, i.view()).unwrap();
            assert_close(&i.to_vec(), &gi, tol, &format!("backward input {set:?} {what}"));
            conv_backward_weight_with(set, g.view(), x.view(), &c.p, wg.view()).unwrap();
            assert_close(&wg.to_vec(), &gw, tol, &format!("backward weight {set:?} {what}"));
            for h in [&o, &i, &wg] {
                h.check_canaries();
            }
        }
        let geo = Geometry::of("test", &x.view(), &w.view(), &g.view(), &c.p).unwrap();
        dispatch_float!(
            c.dtype,
            T,
            {
                let image = |h: &Host| Image::<T>::of(&h.view()).unwrap();
                let (o, i, wg) = (blank(&os), blank(&xs), blank(&ws));
                let bias = Some((Ptr(ptr::<T>(&b.view()).unwrap()), 1));
                conv_gemm::forward(&geo, image(&x), image(&w), bias, image(&o)).unwrap();
                assert_close(&o.to_vec(), &out, tol, &format!("im2col conv {what}"));
                conv_gemm::backward_input(&geo, image(&g), image(&w), image(&i)).unwrap();
                assert_close(&i.to_vec(), &gi, tol, &format!("im2col backward input {what}"));
                conv_gemm::backward_weight(&geo, image(&g), image(&x), image(&wg)).unwrap();
                assert_close(&wg.to_vec(), &gw, tol, &format!("im2col backward weight {what}"));
                let wg = blank(&ws);
                conv_weight::run(isa(), &geo, image(&g), image(&x), image(&wg)).unwrap();
                assert_close(&wg.to_vec(), &gw, tol, &format!("dots backward weight {what}"));
            },
            unreachable!()
        );
    }
    fn make_bias(c: &Case) -> Host {
        let mut r = Lcg(99);
        Host::new(c.dtype, &[(c.groups * c.oc) as i64], || r.eighth())
    }

    #[test]
    fn random_geometries() {
        let mut r = Lcg(2024);
        let dtypes = [DType::F32, DType::F32, DType::F64, DType::F16, DType::BF16];
        let mut done = 0;
        while done < 220 {
            let nd = 1 + r.below(3);
            let most = [40, 13, 5][nd - 1];
            let mut dims =
                |lo: usize, hi: usize| (0..nd).map(|_| (lo + r.below(hi - lo + 1)) as i64).collect::<Vec<_>>();
            let (input, kernel) = (dims(1, most), dims(1, 4));
            let p = ConvParams { stride: dims(1, 3), padding: dims(0, 3), dilation: dims(1, 2), groups: 1 };
            let groups = 1 + r.below(3);
            let c = Case {
                dtype: dtypes[r.below(5)],
                n: 1 + r.below(3),
                groups,
                ic: 1 + r.below(4),
                oc: 1 + r.below(10),
                input,
                kernel,
                p: ConvParams { groups: groups as i64, ..p },
            };
            if c.output().iter().any(|o| *o <= 0) {
                continue;
            }
            check(&c, done, r.below(3));
            done += 1;
        }
    }

    #[test]
    fn chosen_geometries() {
        let two = |v: i64| vec![v, v];
        let case = |n, groups, ic, oc, hw: i64, k: i64, s: i64, pad: i64| Case {
            dtype: DType::F32,
            n,
            groups,
            ic,
            oc,
            input: two(hw),
            kernel: two(k),
            p: ConvParams { stride: two(s), padding: two(pad), dilation: two(1), groups: groups as i64 },
        };
        for c in [
            case(5, 1, 1, 6, 32, 3, 1, 0),
            case(5, 1, 6, 16, 15, 3, 1, 0),
            case(3, 1, 3, 17, 32, 1, 1, 0),
            case(2, 1, 20, 20, 32, 3, 1, 1),
            case(2, 1, 16, 40, 5, 5, 1, 0),
            case(2, 1, 3, 9, 33, 7, 2, 3),
            case(2, 24, 1, 1, 14, 3, 1, 1),
            case(2, 24, 1, 2, 14, 3, 2, 1),
            case(1, 1, 32, 32, 64, 1, 1, 0),
            case(1, 1, 8, 8, 70, 3, 1, 1),
            case(3, 1, 4, 12, 16, 4, 4, 0),
            case(2, 1, 5, 3, 6, 1, 3, 0),
        ] {
            for layout in 0..3 {
                check(&c, 7, layout);
            }
        }
    }

    #[test]
    fn empty_shapes() {
        let p = ConvParams { stride: vec![1, 1], padding: vec![0, 0], dilation: vec![1, 1], groups: 1 };
        let f = DType::F32;
        // No images: the weight's gradient is zero.
        let (x, w, o) = (Host::zeros(f, &[0, 2, 5, 5]), Host::zeros(f, &[3, 2, 3, 3]), Host::zeros(f, &[0, 3, 3, 3]));
        conv(x.view(), w.view(), None, &p, o.view()).unwrap();
        let gw = Host::new(f, &[3, 2, 3, 3], || 5.0);
        conv_backward_weight(o.view(), x.view(), &p, gw.view()).unwrap();
        assert!(gw.to_vec().iter().all(|v| *v == 0.0));
        // No output positions: both gradients are zero.
        let (x, o) = (Host::new(f, &[1, 2, 5, 2], || 3.0), Host::zeros(f, &[1, 3, 3, 0]));
        let gi = Host::new(f, &[1, 2, 5, 2], || 5.0);
        conv_backward_input(o.view(), w.view(), &p, gi.view()).unwrap();
        assert!(gi.to_vec().iter().all(|v| *v == 0.0));
        let gw = Host::new(f, &[3, 2, 3, 3], || 5.0);
        conv_backward_weight(o.view(), x.view(), &p, gw.view()).unwrap();
        assert!(gw.to_vec().iter().all(|v| *v == 0.0));
        // No input channels: the bias alone.
        let (x, w, o) =
            (Host::zeros(f, &[1, 0, 5, 5]), Host::zeros(f, &[3, 0, 3, 3]), Host::new(f, &[1, 3, 3, 3], || 9.0));
        let b = Host::from_vec(f, &[3], &[1.0, 2.0, 3.0]);
        conv(x.view(), w.view(), Some(b.view()), &p, o.view()).unwrap();
        assert_eq!(o.to_vec()[8..10], [1.0, 2.0]);
    }

    #[test]
    fn does_not_depend_on_threads() {
        let c = Case {
            dtype: DType::F32,
            n: 7,
            groups: 1,
            ic: 9,
            oc: 20,
            input: vec![30, 31],
            kernel: vec![3, 3],
            p: ConvParams { stride: vec![1, 1], padding: vec![1, 1], dilation: vec![1, 1], groups: 1 },
        };
        let [xs, ws, os] = c.shapes();
        let mut r = Lcg(3);
        let mut make = |s: &[i64]| Host::new(DType::F32, s, || r.eighth() * 0.37);
        let (x, w, g) = (make(&xs), make(&ws), make(&os));
        let mut all = vec![];
        for threads in [1, 2, 3, 8] {
            set_num_threads(threads);
            let (o, i, wg) = (Host::zeros(c.dtype, &os), Host::zeros(c.dtype, &xs), Host::zeros(c.dtype, &ws));
            conv(x.view(), w.view(), None, &c.p, o.view()).unwrap();
            conv_backward_input(g.view(), w.view(), &c.p, i.view()).unwrap();
            conv_backward_weight(g.view(), x.view(), &c.p, wg.view()).unwrap();
            all.push((o.to_vec(), i.to_vec(), wg.to_vec()));
        }
        assert!(all.iter().all(|r| *r == all[0]));
    }

    #[test]
    fn misfits_are_errors() {
        let f = DType::F32;
        let (x, w, o) = (Host::zeros(f, &[1, 2, 5]), Host::zeros(f, &[3, 3, 3]), Host::zeros(f, &[1, 3, 3]));
        let p = ConvParams { stride: vec![1], padding: vec![0], dilation: vec![1], groups: 1 };
        assert!(conv(x.view(), w.view(), None, &p, o.view()).unwrap_err().message.contains("do not fit"));
        let i = Host::zeros(DType::I32, &[1, 3, 5]);
        let wi = Host::zeros(DType::I32, &[3, 3, 3]);
        let oi = Host::zeros(DType::I32, &[1, 3, 3]);
        let e = conv(i.view(), wi.view(), None, &p, oi.view()).unwrap_err();
        assert!(e.message.contains("\"conv\" not implemented for int32"), "{}", e.message);
    }
}
