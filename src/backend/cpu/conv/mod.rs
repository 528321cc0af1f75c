//! Convolution over 1 to 3 spatial dimensions.
//!
//! The forward pass and the gradient of the input are both a *correlation*: every output is a sum of weights times
//! source elements at fixed offsets. Where strides allow, the source is read in place; otherwise each task copies its
//! part into scratch memory: padded, converted to the compute type, and split by residue (a stride of 2 makes two
//! planes of every other column), so that every tap of every output row is a contiguous run. Register tiles of
//! outputs x channels (`kernels`) then need no im2col matrix. Shapes for which that wastes more than a matrix
//! product would cost (tiny outputs) go through im2col and gemm (`gemm`).
//!
//! 3x3 sums of many channels take fewer multiplications (`winograd`).
//!
//! Every output is summed over its taps in one order, whatever the number of threads.

mod corr;
mod gemm;
mod geometry;
mod kernels;
mod mend;
mod weight;
mod winograd;
mod winograd_weight;

use self::corr::{for_subs, lane_counts, Corr, Sub, IM2COL_COST, TASK};
use self::geometry::{Axis, Geometry, Image};
use self::kernels::{run_tasks, tile_rows};
use crate::backend::cpu::lanes::{vector_shape, FloatElement, Real};
use crate::backend::cpu::level::{level, Level};
use crate::backend::cpu::scratch::{ptr, Ptr, Scratch};
use crate::backend::cpu::threads::parallel::{num_threads, parallel_for};
use crate::backend::cpu::transpose::transpose;
use crate::backend::{check, ConvParams, View};
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use crate::dispatch_float;

/// Bytes of source that one task should work on, to stay in the second-level cache.
const BAND_BYTES: usize = 256 * 1024;
/// Outputs of one channel that one task should hold in scratch.
const BAND_OUT: usize = 4096;

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

fn correlate<T: FloatElement>(set: Level, p: Problem<T>) -> Result<()> {
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
    // Whether a channel's weights lie in a row, in the order in which they are packed.
    let [kd, kh, kw] = g.kernel.map(|k| k as isize);
    let row = [kh * kw, kw, 1];
    let in_rows =
        T::DIRECT && weights.cin == kd * kh * kw && (0..3).all(|d| g.kernel[d] == 1 || weights.s[d] == row[d]);
    parallel_for(g.groups * nblocks, (TASK / 8 / (weight_len / nblocks.max(1) + 1)).max(1), |r| {
        for i in r {
            let (group, (c0, mr)) = (i / nblocks, blocks[i % nblocks]);
            for sub in &subs {
                let ks = [0, 1, 2].map(|d| &axes[d].subs[sub.axis[d]].ks);
                let all = (0..3).all(|d| ks[d].len() == g.kernel[d] && ks[d].iter().enumerate().all(|(i, k)| i == *k));
                if all && in_rows {
                    let (size, to) = (size_of::<T>(), wp.at((group * weight_len + sub.weights + c0 * sub.k) as isize));
                    let from = weights.p.at(group as isize * weights.group + c0 as isize * weights.cout);
                    let (row, line) = ((mr * size) as isize, weights.cout * size as isize);
                    // SAFETY: the rows of `mr` channels lie inside the weight's view; the scratch holds all packed weights.
                    unsafe { transpose(size, sub.k, mr, to.cast(), row, from as *const u8, line) };
                    continue;
                }
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

/// out = conv(input, weight) + bias.
pub fn conv(input: View, weight: View, bias: Option<View>, p: &ConvParams, out: View) -> Result<()> {
    conv_with(level(), input, weight, bias, p, out)
}
fn conv_with(set: Level, input: View, weight: View, bias: Option<View>, p: &ConvParams, out: View) -> Result<()> {
    let g = Geometry::of("conv", &input, &weight, &out, p)?;
    check::conv("conv", &input, &weight, bias.as_ref(), &out, p)?;
    if out.layout.numel() == 0 {
        return Ok(());
    }
    if input.dtype == DType::F32
        && winograd::suits(set, &g)
        && winograd::pays(&g)
        && winograd_forward(set, &g, &input, &weight, &bias, &out)?
    {
        return Ok(());
    }
    forward_in_place(set, &g, input, weight, bias, out)
}
/// `conv` without Winograd's method.
fn forward_in_place(set: Level, g: &Geometry, input: View, weight: View, bias: Option<View>, out: View) -> Result<()> {
    dispatch_float!(
        input.dtype,
        T,
        {
            let axes = [0, 1, 2].map(|d| Axis::forward(g, d));
            let (src, dst, w) = (Image::<T>::of(&input)?, Image::<T>::of(&out)?, Image::<T>::of(&weight)?);
            let bias = match &bias {
                Some(b) => Some((Ptr(ptr::<T>(b)?), b.layout.strides[0] as isize)),
                None => None,
            };
            let (rows, flat) = Corr::<T>::cost(&axes, g.ic, g.oc, vector_shape::<<T as FloatElement>::C>(set).0);
            if g.ic * g.taps() * g.positions() * (g.oc + IM2COL_COST) < rows.min(flat) {
                gemm::forward(g, src, w, bias, dst)?;
            } else {
                let weights = Weights { p: w.p, group: g.oc as isize * w.n, cout: w.n, cin: w.c, s: w.s };
                let (cin, cout, dst_size) = (g.ic, g.oc, g.output);
                correlate(set, Problem { g, axes, cin, cout, src, dst, dst_size, weights, bias })?;
            }
            if g.pad != [0; 3] && mend::suspect::<T>(&weight, &out)? {
                mend::forward(g, src, w, bias, dst);
            }
            Ok(())
        },
        Err(Error::unsupported("conv", input.dtype, "cpu"))
    )
}

/// `conv` with fewer multiplications; false where some output is no finite number and has to be made in place.
fn winograd_forward(
    set: Level,
    g: &Geometry,
    x: &View,
    weight: &View,
    bias: &Option<View>,
    out: &View,
) -> Result<bool> {
    let w = Image::<f32>::of(weight)?;
    let bias = match bias {
        Some(b) => Some((Ptr(ptr::<f32>(b)?), b.layout.strides[0] as isize)),
        None => None,
    };
    let taps = winograd::Taps { p: w.p, group: g.oc as isize * w.n, cout: w.n, cin: w.c, s: [w.s[1], w.s[2]] };
    let p = winograd::Problem {
        n: g.n,
        groups: g.groups,
        cin: g.ic,
        cout: g.oc,
        src: Image::of(x)?,
        src_size: [g.input[1], g.input[2]],
        dst: Image::of(out)?,
        dst_size: [g.output[1], g.output[2]],
        pad: [g.pad[1], g.pad[2]],
        taps,
        bias,
    };
    winograd::run(set, &p)
}
/// The gradient of the input likewise: sums over the gradient with the taps in reverse order.
fn winograd_backward_input(set: Level, g: &Geometry, grad: &View, weight: &View, gi: &View) -> Result<bool> {
    let w = Image::<f32>::of(weight)?;
    let last = Ptr(w.p.at(2 * (w.s[1] + w.s[2])));
    let taps = winograd::Taps { p: last, group: g.oc as isize * w.n, cout: w.c, cin: w.n, s: [-w.s[1], -w.s[2]] };
    let p = winograd::Problem {
        n: g.n,
        groups: g.groups,
        cin: g.oc,
        cout: g.ic,
        src: Image::of(grad)?,
        src_size: [g.output[1], g.output[2]],
        dst: Image::of(gi)?,
        dst_size: [g.input[1], g.input[2]],
        pad: [2 - g.pad[1], 2 - g.pad[2]],
        taps,
        bias: None,
    };
    winograd::run(set, &p)
}

/// Gradient of `conv` with respect to its input; also the forward pass of the transposed convolution.
pub fn conv_backward_input(grad: View, weight: View, p: &ConvParams, grad_input: View) -> Result<()> {
    conv_backward_input_with(level(), grad, weight, p, grad_input)
}
fn conv_backward_input_with(set: Level, grad: View, weight: View, p: &ConvParams, grad_input: View) -> Result<()> {
    let g = Geometry::of("conv_backward_input", &grad_input, &weight, &grad, p)?;
    if grad_input.layout.numel() == 0 {
        return Ok(());
    }
    if grad.dtype == DType::F32
        && winograd::suits(set, &g)
        && winograd::pays(&g)
        && winograd_backward_input(set, &g, &grad, &weight, &grad_input)?
    {
        return Ok(());
    }
    backward_input_in_place(set, &g, grad, weight, grad_input)
}
/// `conv_backward_input` without Winograd's method.
fn backward_input_in_place(set: Level, g: &Geometry, grad: View, weight: View, grad_input: View) -> Result<()> {
    dispatch_float!(
        grad.dtype,
        T,
        {
            let axes = [0, 1, 2].map(|d| Axis::backward(g, d));
            let (src, dst, w) = (Image::<T>::of(&grad)?, Image::<T>::of(&grad_input)?, Image::<T>::of(&weight)?);
            let (rows, flat) = Corr::<T>::cost(&axes, g.oc, g.ic, vector_shape::<<T as FloatElement>::C>(set).0);
            if g.ic * g.taps() * g.positions() * (g.oc + IM2COL_COST) < rows.min(flat) {
                return gemm::backward_input(g, src, w, dst);
            }
            let weights = Weights { p: w.p, group: g.oc as isize * w.n, cout: w.c, cin: w.n, s: w.s };
            let (cin, cout, dst_size) = (g.oc, g.ic, g.input);
            correlate(set, Problem { g, axes, cin, cout, src, dst, dst_size, weights, bias: None })?;
            // Zeros around the gradient have met infinite weights: the other way makes products one by one.
            if g.taps() > 1 && mend::suspect::<T>(&weight, &grad_input)? {
                gemm::backward_input(g, src, w, dst)?;
            }
            Ok(())
        },
        Err(Error::unsupported("conv_backward_input", grad.dtype, "cpu"))
    )
}

/// Gradient of `conv` with respect to its weight.
pub fn conv_backward_weight(grad: View, input: View, p: &ConvParams, grad_weight: View) -> Result<()> {
    conv_backward_weight_with(level(), grad, input, p, grad_weight)
}
fn conv_backward_weight_with(set: Level, grad: View, input: View, p: &ConvParams, grad_weight: View) -> Result<()> {
    let g = Geometry::of("conv_backward_weight", &input, &grad_weight, &grad, p)?;
    if grad_weight.layout.numel() == 0 {
        return Ok(());
    }
    if grad.dtype == DType::F32 && winograd::suits(set, &g) && winograd_weight::suits(set, &g) {
        let (gr, x, gw) = (Image::of(&grad)?, Image::of(&input)?, Image::of(&grad_weight)?);
        if winograd_weight::run(set, &g, gr, x, gw)? {
            return Ok(());
        }
    }
    backward_weight_in_place(set, &g, grad, input, grad_weight)
}
/// `conv_backward_weight` without Winograd's method.
fn backward_weight_in_place(set: Level, g: &Geometry, grad: View, input: View, grad_weight: View) -> Result<()> {
    dispatch_float!(
        grad.dtype,
        T,
        {
            let (gr, x, gw) = (Image::<T>::of(&grad)?, Image::<T>::of(&input)?, Image::<T>::of(&grad_weight)?);
            if weight::suits::<T>(set, g) {
                weight::run(set, g, gr, x, gw)?;
            } else {
                gemm::backward_weight(g, gr, x, gw)?;
            }
            // Zeros around the input, or between the gradient's rows, have met what is no number.
            if (g.taps() > 1 || g.pad != [0; 3]) && mend::has_nan::<T>(&grad_weight)? {
                mend::backward_weight(g, gr, x, gw);
            }
            Ok(())
        },
        Err(Error::unsupported("conv_backward_weight", grad.dtype, "cpu"))
    )
}

#[cfg(feature = "tests")]
pub(crate) mod tests;
