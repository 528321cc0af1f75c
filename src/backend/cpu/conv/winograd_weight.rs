//! The gradient of 3x3 weights by the same method: the transpose of `winograd` with respect to the weights, so the sums
//! over tiles of (A g A^T) times (B^T x B), at each of 36 positions a matrix product, become 3x3 weights by G^T and G.
//!
//! Tiles are taken some hundreds at a time, their products of at most [`RUN`] tiles are added up: short sums keep more
//! digits. How many depends on shapes alone, so threads change nothing.

use super::corr::TASK;
use super::geometry::{Geometry, Image};
use super::weight;
use super::winograd::{for_stretches, gather, step, transform_source, Images, POS, ROWS, SPARE, TILE};
use crate::backend::cpu::lanes::{vector_shape, Lanes, Real};
use crate::backend::cpu::level::Level;
use crate::backend::cpu::scratch::{Ptr, Scratch};
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::backend::cpu::transpose::transpose;
use crate::base::dtype::Element;
use crate::base::error::Result;
use crate::simd_dispatch;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Channels that are transformed and transposed together.
const GROUP: usize = 8;
/// Output channels of a register tile.
const MR: usize = 4;
/// Tiles that one product sums.
const RUN: usize = 64;

struct Job {
    grad: Image<f32>,
    grad_size: [usize; 2],
    x: Images,
    ic: usize,
    oc: usize,
    /// Channels of x in a panel, and panels of x and of the gradient (these of `GROUP` channels).
    width: usize,
    panels: usize,
    grad_panels: usize,
    /// Tiles taken at once: room for them, and those there are now.
    room: usize,
    tiles: Range<usize>,
    group: usize,
    /// Transformed x: position, panel, tile, channel of the panel. The gradient likewise.
    source: Ptr<f32>,
    slopes: Ptr<f32>,
    /// Sums: position, output channel, input channel.
    sums: Ptr<f32>,
}
impl Job {
    /// Distance between positions of the sums.
    fn sums_step(&self) -> usize {
        step(self.grad_panels * GROUP * self.panels * self.width)
    }
    /// The same of transformed x and of the transformed gradient.
    fn source_step(&self) -> usize {
        step(self.panels * self.width * self.room)
    }
    fn slopes_step(&self) -> usize {
        step(self.grad_panels * GROUP * self.room)
    }
}

/// The width of panels, in vectors, that leaves the fewest lanes empty; rather wide ones.
fn panel_vectors(set: Level, channels: usize) -> usize {
    let (lanes, regs) = vector_shape::<f32>(set);
    let most = if regs >= 16 { 4 } else { 3 };
    let padded = |v: &usize| channels.next_multiple_of(v * lanes);
    (2..=most).rev().min_by_key(padded).unwrap_or(2)
}

/// Tiles from which transformed sums pay.
const FEWEST: usize = 16;
/// Tiles from which the largest error is less than four times that of dot products, whose many short sums keep more digits:
/// eight times as large for 18 tiles, three times for 300, as large for 2000. Of long products it is about as large always.
const FEWEST_FOR_DOTS: usize = 256;

/// Whether there are enough tiles; `winograd::suits` says the rest.
pub(super) fn suits(set: Level, g: &Geometry) -> bool {
    let fewest = if weight::suits::<f32>(set, g) { FEWEST_FOR_DOTS } else { FEWEST };
    g.n * g.output[1].div_ceil(4) * g.output[2].div_ceil(4) >= fewest
}

/// Computes the gradient; false where some of it is no number or infinite, which may be this method's doing.
pub(super) fn run(set: Level, g: &Geometry, grad: Image<f32>, x: Image<f32>, gw: Image<f32>) -> Result<bool> {
    let lanes = vector_shape::<f32>(set).0;
    let width = panel_vectors(set, g.ic) * lanes;
    let (panels, grad_panels) = (g.ic.div_ceil(width), g.oc.div_ceil(GROUP));
    let (padded, grad_padded) = (panels * width, grad_panels * GROUP);
    let grid = [g.output[1].div_ceil(4), g.output[2].div_ceil(4)];
    let tiles = g.n * grid[0] * grid[1];
    // Large sums are read and written for each lot of tiles: larger lots then.
    let budget = (384 * 1024).max(2 * POS * padded * grad_padded);
    let room = (budget / (POS * (padded + grad_padded))).clamp(RUN, 1024).min(tiles).next_multiple_of(lanes);
    let source = Scratch::new::<f32>(POS * step(room * padded))?;
    let slopes = Scratch::new::<f32>(POS * step(room * grad_padded))?;
    let sums = Scratch::new::<f32>(POS * step(padded * grad_padded))?;
    let bad = AtomicBool::new(false);
    let failed = parking_lot::Mutex::new(None);
    for group in 0..g.groups {
        let mut job = Job {
            grad,
            grad_size: [g.output[1], g.output[2]],
            x: Images { of: x, size: [g.input[1], g.input[2]], pad: [g.pad[1], g.pad[2]], grid },
            ic: g.ic,
            oc: g.oc,
            width,
            panels,
            grad_panels,
            room,
            tiles: 0..0,
            group,
            source: Ptr(source.ptr()),
            slopes: Ptr(slopes.ptr()),
            sums: Ptr(sums.ptr()),
        };
        for first in (0..tiles).step_by(room) {
            job.tiles = first..(first + room).min(tiles);
            let (job, count) = (&job, job.tiles.len());
            // Groups of channels: those of x, then those of the gradient.
            parallel_for(padded / GROUP + grad_panels, (TASK / 8 / (POS * GROUP * count)).max(1), |r| {
                match Scratch::new::<f32>(POS * step(room * GROUP) + (TILE + ROWS) * room + SPARE) {
                    // SAFETY: channels of the views, each group's own part of the scratch; the machine has the set.
                    Ok(s) => unsafe { transform::<f32>(set, job, r, s.ptr()) },
                    Err(e) => *failed.lock() = Some(e),
                }
            });
            if let Some(e) = failed.lock().take() {
                return Err(e);
            }
            let work = GROUP * padded * count;
            parallel_for(POS * grad_panels, (TASK / work).max(1), |r| {
                // SAFETY: each position and panel has its own sums.
                unsafe { products::<f32>(set, job, r, first == 0) }
            });
        }
        let (job, bad) = (&job, &bad);
        parallel_for(g.oc, (TASK / (200 * g.ic)).max(1), |r| {
            // SAFETY: each output channel's weights are written by one task.
            unsafe { finish::<f32>(set, job, r, &gw, bad) }
        });
    }
    Ok(!bad.load(Ordering::Relaxed))
}

simd_dispatch!(fn transform => transform_body(job: &Job, range: Range<usize>, scratch: *mut T));

#[inline(always)]
unsafe fn transform_body<T: Real, V: Lanes<T = T>>(job: &Job, range: Range<usize>, scratch: *mut T) {
    let (count, size) = (job.tiles.len(), std::mem::size_of::<T>());
    let used = count.next_multiple_of(V::N);
    let sources = job.panels * job.width / GROUP;
    let lines = step(job.room * GROUP);
    let tile = scratch.add(POS * lines);
    let rows = tile.add(TILE * job.room);
    for i in range {
        let of_x = i < sources;
        let first = GROUP * if of_x { i } else { i - sources };
        let (have, width, step) =
            if of_x { (job.ic, job.width, job.source_step()) } else { (job.oc, GROUP, job.slopes_step()) };
        for c in 0..GROUP {
            let to = scratch.add(c * job.room);
            if first + c >= have {
                for pos in 0..POS {
                    std::slice::from_raw_parts_mut(to.add(pos * lines), used).fill(T::ZERO);
                }
                continue;
            }
            let channel = job.group * have + first + c;
            if of_x {
                gather::<T, V>(&job.x, job.tiles.clone(), channel, used, rows, tile, job.room);
                for v in (0..used).step_by(V::N) {
                    transform_source::<T, V>(tile.add(v), job.room, to.add(v), lines);
                }
            } else {
                gather_slopes::<T, V>(job, channel, used, rows, tile);
                for v in (0..used).step_by(V::N) {
                    transform_slopes::<T, V>(tile.add(v), job.room, to.add(v), lines);
                }
            }
        }
        let to = if of_x { job.source } else { job.slopes };
        let (panel, within) = (first / width, first % width);
        for pos in 0..POS {
            let to = to.at((pos * step + panel * job.room * width + within) as isize);
            let from = scratch.add(pos * lines) as *const u8;
            transpose(size, count, GROUP, to as *mut u8, (width * size) as isize, from, (job.room * size) as isize);
        }
    }
}

/// The 4x4 gradients of each tile of a channel, zeros where there are none: 16 rows.
#[inline(always)]
unsafe fn gather_slopes<T: Real, V: Lanes<T = T>>(job: &Job, channel: usize, used: usize, rows: *mut T, to: *mut T) {
    let [height, width] = job.grad_size;
    let (count, step, size) = (job.tiles.len(), job.grad.s[2], std::mem::size_of::<T>());
    std::slice::from_raw_parts_mut(rows.add(ROWS * count), ROWS * (used - count)).fill(T::ZERO);
    // Two rows of each tile at once.
    for half in 0..2 {
        for_stretches(job.x.grid, job.tiles.clone(), |n, row, first, len, before| {
            let plane = job.grad.at(n, channel) as *const T;
            for t in 0..len {
                for r in 0..2 {
                    let (x, y) = (4 * (first + t), 4 * row + 2 * half + r);
                    let to = rows.add(ROWS * (before + t) + 4 * r);
                    let have = if y < height { 4.min(width - x) } else { 0 };
                    let from = plane.wrapping_offset(y as isize * job.grad.s[1] + x as isize * step);
                    if step == 1 && have == 4 {
                        to.cast::<[T; 4]>().write_unaligned(from.cast::<[T; 4]>().read_unaligned());
                    } else if step == 1 {
                        // Zeros behind them reach into the next lines, which are written later or to be zeros.
                        V::load_n(from, have).store(to);
                    } else {
                        for j in 0..4 {
                            *to.add(j) = if j < have { *from.wrapping_offset(j as isize * step) } else { T::ZERO };
                        }
                    }
                }
            }
        });
        let to = to.add(8 * half * job.room) as *mut u8;
        let (row, line) = ((job.room * size) as isize, (ROWS * size) as isize);
        transpose(size, ROWS, used, to, row, rows as *const u8, line);
    }
}

/// A of four vectors.
#[inline(always)]
unsafe fn slopes<V: Lanes>(g: [V; 4]) -> [V; 6] {
    let k = |v: f64| V::splat(<V::T as Element>::from_f64(v));
    let root = std::f64::consts::SQRT_2;
    let (even, odd) = (g[2].fma(k(0.5), g[0]), g[3].fma(k(0.5), g[1]).mul(k(root / 2.0)));
    let (even2, odd2) = (g[2].fma(k(2.0), g[0]), g[3].fma(k(2.0), g[1]).mul(k(root)));
    [g[0], even.add(odd), even.sub(odd), even2.add(odd2), even2.sub(odd2), g[3]]
}

/// A g A^T of a vector of gathered tiles, to 36 places `step` apart.
#[inline(always)]
unsafe fn transform_slopes<T: Real, V: Lanes<T = T>>(from: *const T, from_step: usize, to: *mut T, step: usize) {
    let mut rows = [[V::zero(); 4]; 6];
    for j in 0..4 {
        let mut g = [V::zero(); 4];
        for r in 0..4 {
            g[r] = V::load(from.add((4 * r + j) * from_step));
        }
        let g = slopes(g);
        for r in 0..6 {
            rows[r][j] = g[r];
        }
    }
    for r in 0..6 {
        let g = slopes(rows[r]);
        for j in 0..6 {
            g[j].store(to.add((6 * r + j) * step));
        }
    }
}

simd_dispatch!(fn products => products_body(job: &Job, range: Range<usize>, first: bool));

#[inline(always)]
unsafe fn products_body<T: Real, V: Lanes<T = T>>(job: &Job, range: Range<usize>, first: bool) {
    let (count, width) = (job.tiles.len(), job.width);
    let row = job.panels * width;
    for i in range {
        let (pos, panel) = (i / job.grad_panels, i % job.grad_panels);
        let slopes = job.slopes.at((pos * job.slopes_step() + panel * job.room * GROUP) as isize) as *const T;
        let sums = job.sums.at((pos * job.sums_step() + panel * GROUP * row) as isize) as *mut T;
        for t in (0..count).step_by(RUN) {
            let k = RUN.min(count - t);
            for p in 0..job.panels {
                let from = job.source.at((pos * job.source_step() + (p * job.room + t) * width) as isize) as *const T;
                for o in (0..GROUP).step_by(MR) {
                    let (slopes, to) = (slopes.add(t * GROUP + o), sums.add(o * row + p * width));
                    let add = !(first && t == 0);
                    match width / V::N {
                        4 => product::<T, V, 4>(k, slopes, from, to, row, add),
                        3 => product::<T, V, 3>(k, slopes, from, to, row, add),
                        _ => product::<T, V, 2>(k, slopes, from, to, row, add),
                    }
                }
            }
        }
    }
}

/// MR output channels by NV vectors of input channels, summed over `k` tiles.
#[inline(always)]
unsafe fn product<T: Real, V: Lanes<T = T>, const NV: usize>(
    k: usize,
    slopes: *const T,
    source: *const T,
    to: *mut T,
    row: usize,
    add: bool,
) {
    let mut sums = [[V::zero(); NV]; MR];
    for t in 0..k {
        let mut x = [V::zero(); NV];
        for j in 0..NV {
            x[j] = V::load(source.add((t * NV + j) * V::N));
        }
        for i in 0..MR {
            let g = V::splat(*slopes.add(t * GROUP + i));
            for j in 0..NV {
                sums[i][j] = g.fma(x[j], sums[i][j]);
            }
        }
    }
    for i in 0..MR {
        for j in 0..NV {
            let to = to.add(i * row + j * V::N);
            let sum = if add { V::load(to).add(sums[i][j]) } else { sums[i][j] };
            sum.store(to);
        }
    }
}

/// G^T of six vectors.
#[inline(always)]
unsafe fn taps<V: Lanes>(s: [V; 6]) -> [V; 3] {
    let k = |v: f64| V::splat(<V::T as Element>::from_f64(v));
    let root = std::f64::consts::SQRT_2;
    let (sum, difference) = (s[1].add(s[2]), s[1].sub(s[2]));
    let (sum2, difference2) = (s[3].add(s[4]), s[3].sub(s[4]));
    [
        sum.fma(k(-1.0 / 1.5), sum2.fma(k(1.0 / 6.0), s[0])),
        difference.fma(k(-root / 3.0), difference2.mul(k(root / 6.0))),
        sum.fma(k(-0.5 / 1.5), sum2.fma(k(2.0 / 6.0), s[5])),
    ]
}

simd_dispatch!(fn finish => finish_body(job: &Job, range: Range<usize>, gw: &Image<f32>, bad: &AtomicBool));

/// G^T s G for all input channels of some output channels.
#[inline(always)]
unsafe fn finish_body<T: Real, V: Lanes<T = T>>(job: &Job, range: Range<usize>, gw: &Image<f32>, bad: &AtomicBool) {
    let row = job.panels * job.width;
    let mut wrong = V::zero();
    // Room for the widest vectors.
    let mut lanes = [[T::ZERO; 16]; 9];
    for o in range {
        for c in (0..job.ic).step_by(V::N) {
            let from = job.sums.at((o * row + c) as isize) as *const T;
            let mut rows = [[V::zero(); 6]; 3];
            for j in 0..6 {
                let mut s = [V::zero(); 6];
                for r in 0..6 {
                    s[r] = V::load(from.add((6 * r + j) * job.sums_step()));
                }
                let s = taps(s);
                for r in 0..3 {
                    rows[r][j] = s[r];
                }
            }
            for r in 0..3 {
                let w = taps(rows[r]);
                for j in 0..3 {
                    wrong = w[j].fma(V::zero(), wrong);
                    w[j].store(lanes[3 * r + j].as_mut_ptr());
                }
            }
            for l in 0..V::N.min(job.ic - c) {
                let to = gw.at(job.group * job.oc + o, c + l) as *mut T;
                for (tap, lanes) in lanes.iter().enumerate() {
                    *to.offset((tap / 3) as isize * gw.s[1] + (tap % 3) as isize * gw.s[2]) = lanes[l];
                }
            }
        }
    }
    // Zeros, unless some gradient was no number.
    if wrong.sum() != T::ZERO {
        bad.store(true, Ordering::Relaxed);
    }
}
