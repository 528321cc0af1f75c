//! 3x3 convolutions of stride 1 by Winograd's minimal filtering, F(4x4, 3x3): a tile of 4x4 outputs takes 36
//! multiplications for each pair of channels instead of 144.
//!
//! Both the tile of 6x6 inputs and the weights become 36 numbers, at each of these 36 positions the channels' sums are a
//! matrix product, and 36 sums become 16 outputs. The points of interpolation are 0, ±1/√2, ±√2 and infinity: with them
//! the largest error is about twice that of sums in place, with the usual 0, ±1, ±2 it is five to eight times as large.
//!
//! What is no number, or overflows on the way, spreads over its tile: then the caller computes the whole in place.
//! A task takes some tiles through all three steps; every output is summed over the channels in one order.

use super::corr::TASK;
use super::geometry::{Geometry, Image};
use crate::backend::cpu::lanes::{vector_shape, Lanes, Real};
use crate::backend::cpu::level::Level;
use crate::backend::cpu::scratch::{Ptr, Scratch};
use crate::backend::cpu::threads::parallel::{num_threads, parallel_for};
use crate::backend::cpu::transpose::transpose;
use crate::backend::precision;
use crate::base::error::Result;
use crate::simd_dispatch;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Positions of a transformed tile.
pub(super) const POS: usize = 36;
/// Vectors of tiles in a register tile of the products.
const NV: usize = 3;
/// Channels of each side, and tiles for which weights are transformed, from which this pays.
const FEWEST: usize = 32;
const FEWEST_TILES: usize = 32;
/// Rows of tiles of 6x6: two more, since they are written by eights; and of the lines that become them.
pub(super) const TILE: usize = POS + 2;
pub(super) const ROWS: usize = 8;
/// Elements behind the lines that a whole vector at the last one may reach.
pub(super) const SPARE: usize = 32;
/// Elements of sums that a task keeps between the products and the last step: a part of the second-level cache.
const SUMS: usize = 128 * 1024;
/// Elements of weights that a task transforms for itself at once: a part of the third-level cache.
const OWN_WEIGHTS: usize = 1024 * 1024;
/// Channels of the source whose weights are transposed together.
const BUNDLE: usize = 16;

/// The distance of what lies `n` elements long for each position: not a multiple of 4 KiB, which would have all positions
/// in one set of a cache.
pub(super) fn step(n: usize) -> usize {
    n + 16
}

/// Channels of a register tile.
fn tile_channels(set: Level) -> usize {
    if vector_shape::<f32>(set).1 >= 16 {
        8
    } else {
        4
    }
}

/// Whether there are tiles enough to pay for transforming the weights.
pub(super) fn pays(g: &Geometry) -> bool {
    let tiles = |size: [usize; 3]| g.n * size[1].div_ceil(4) * size[2].div_ceil(4);
    tiles(g.output).min(tiles(g.input)) >= FEWEST_TILES
}

/// Whether sums of these sizes can be made this way, and are better so unless there are few tiles.
pub(super) fn suits(set: Level, g: &Geometry) -> bool {
    let flat = g.input[0] == 1 && g.kernel == [1, 3, 3] && g.stride == [1; 3] && g.dil == [1; 3] && g.pad[0] == 0;
    let small = |d: usize| g.pad[d] > 2 || g.output[d] < 3 || g.input[d] < 3;
    set != Level::Base && flat && g.ic.min(g.oc) >= FEWEST && !small(1) && !small(2) && precision::winograd()
}

/// Weights of (channel of the result, channel of the source, row, column), one group after the other.
pub(super) struct Taps {
    pub p: Ptr<f32>,
    pub group: isize,
    pub cout: isize,
    pub cin: isize,
    pub s: [isize; 2],
}

/// The sums to be made: of forward, or of the gradient of the input.
pub(super) struct Problem {
    pub n: usize,
    pub groups: usize,
    pub cin: usize,
    pub cout: usize,
    pub src: Image<f32>,
    pub src_size: [usize; 2],
    pub dst: Image<f32>,
    pub dst_size: [usize; 2],
    pub pad: [isize; 2],
    pub taps: Taps,
    pub bias: Option<(Ptr<f32>, isize)>,
}

struct Job<'a> {
    p: &'a Problem,
    /// Transformed weights: group, position, panel of channels, channel of the source, channel of the panel. None where
    /// there is one chunk of tiles: then tasks transform the panels that they are about to use, since writing all weights
    /// to memory and reading them again would take longer than all else.
    weights: Option<Ptr<f32>>,
    /// Panels of one group.
    panels: usize,
    /// Tiles of a column and a row of an image, and of all images.
    grid: [usize; 2],
    tiles: usize,
    /// Tiles that a task takes at once.
    chunk: usize,
    /// Panels that a task makes, and of these at once.
    per_part: usize,
    at_once: usize,
    parts: usize,
    bad: &'a AtomicBool,
}

/// Makes the sums; false where one of them is no number or infinite, which may be this method's doing.
pub(super) fn run(set: Level, p: &Problem) -> Result<bool> {
    let (lanes, mr) = (vector_shape::<f32>(set).0, tile_channels(set));
    let panels = p.cout.div_ceil(mr);
    let grid = p.dst_size.map(|d| d.div_ceil(4));
    let tiles = p.n * grid[0] * grid[1];
    // Large weights are read once for each chunk: larger chunks then.
    let block = NV * lanes;
    let wide = if p.cin * p.cout >= 96 * 96 { 2 } else { 1 };
    let chunk = block * wide.min(tiles.div_ceil(block));
    let chunks = tiles.div_ceil(chunk);
    let own = chunks == 1;
    let weights = Scratch::new::<f32>(if own { 0 } else { p.groups * POS * step(panels * mr * p.cin) })?;
    let to = Ptr(weights.ptr::<f32>());
    if !own {
        parallel_for(p.groups * panels, (TASK / (100 * mr * p.cin)).max(1), |r| {
            // SAFETY: weights of the view; each panel is written by one task; the machine has the instruction set.
            unsafe { transform_weights::<f32>(set, p, r, panels, to) }
        });
    }
    // Each part transforms its source again, so parts are not small.
    let have = chunks * p.groups;
    let parts = if have >= num_threads() { 1 } else { num_threads().div_ceil(have).min(p.cout.div_ceil(64)) };
    let per_part = panels.div_ceil(parts);
    let most = SUMS / (POS * chunk * mr);
    let most = if own { most.min(OWN_WEIGHTS / (POS * mr * p.cin)) } else { most };
    let at_once = most.clamp(1, per_part);
    let bad = AtomicBool::new(false);
    let job = Job { p, weights: (!own).then_some(to), panels, grid, tiles, chunk, per_part, at_once, parts, bad: &bad };
    let own_weights = if own { POS * step(at_once * mr * p.cin) } else { 0 };
    let len = POS * (step(chunk * p.cin) + step(chunk * at_once * mr)) + (TILE + ROWS) * chunk + SPARE + own_weights;
    let failed = parking_lot::Mutex::new(None);
    parallel_for(have * parts, (TASK / (POS * chunk * p.cin * p.cout / parts + 1)).max(1), |r| {
        match Scratch::new::<f32>(len) {
            // SAFETY: tasks write disjoint outputs of the view and read inside the source's; the machine has the set.
            Ok(s) => unsafe { run_range::<f32>(set, &job, r, s.ptr()) },
            Err(e) => *failed.lock() = Some(e),
        }
    });
    failed.into_inner().map_or(Ok(!bad.load(Ordering::Relaxed)), Err)
}

simd_dispatch!(fn transform_weights => transform_weights_body(
    p: &Problem, range: Range<usize>, panels: usize, to: Ptr<T>));

#[inline(always)]
unsafe fn transform_weights_body<T: Real, V: Lanes<T = T>>(
    p: &Problem,
    range: Range<usize>,
    panels: usize,
    to: Ptr<T>,
) {
    let mr = if V::REGS >= 16 { 8 } else { 4 };
    let step = step(panels * mr * p.cin);
    for i in range {
        let (group, panel) = (i / panels, i % panels);
        let to = to.at((group * POS * step + panel * mr * p.cin) as isize);
        weight_panel::<T, V>(p, group, panel, to, step);
    }
}

/// G w G^T for the channels of a panel, in double and rounded once, to 36 places `step` apart; channels past the last one
/// are zeros.
#[inline(always)]
unsafe fn weight_panel<T: Real, V: Lanes<T = T>>(p: &Problem, group: usize, panel: usize, to: *mut T, step: usize) {
    if V::REGS >= 16 {
        panel_of::<T, 8>(p, group, panel, to, step)
    } else {
        panel_of::<T, 4>(p, group, panel, to, step)
    }
}
#[inline(always)]
unsafe fn panel_of<T: Real, const MR: usize>(p: &Problem, group: usize, panel: usize, to: *mut T, step: usize) {
    let t = &p.taps;
    let count = MR.min(p.cout - panel * MR);
    let from = t.p.at(group as isize * t.group + (panel * MR) as isize * t.cout);
    #[cfg(target_arch = "x86_64")]
    if MR == 8 && count == MR && t.cin == 9 && t.s == [3, 1] {
        return panel_in_rows(p, from, to.cast(), step);
    }
    for c in 0..p.cin {
        let mut w = [[[0.0f64; MR]; 3]; 3];
        for o in 0..count {
            let from = from.offset(o as isize * t.cout + c as isize * t.cin);
            for h in 0..3 {
                for k in 0..3 {
                    w[h][k][o] = *from.offset(h as isize * t.s[0] + k as isize * t.s[1]) as f64;
                }
            }
        }
        let mut rows = [[[0.0f64; MR]; 3]; 6];
        for k in 0..3 {
            let column = filter([&w[0][k], &w[1][k], &w[2][k]]);
            for h in 0..6 {
                rows[h][k] = column[h];
            }
        }
        for h in 0..6 {
            let row = filter([&rows[h][0], &rows[h][1], &rows[h][2]]);
            for k in 0..6 {
                let to = to.add((6 * h + k) * step + c * MR);
                for o in 0..MR {
                    *to.add(o) = T::from_f64(row[k][o]);
                }
            }
        }
    }
}

/// The same of eight channels whose weights lie in a row each, with vectors of eight doubles: `panel_of` has eight channels
/// where the machine has AVX-512. Rows are transposed, so that the channels' weights stand side by side.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn panel_in_rows(p: &Problem, from: *const f32, to: *mut f32, step: usize) {
    type W = <f64 as Real>::V4;
    let (mut single, mut double) = ([0f32; BUNDLE * 72], [0f64; BUNDLE * 72]);
    let (row, line) = (8 * size_of::<f32>(), p.taps.cout * size_of::<f32>() as isize);
    for c0 in (0..p.cin).step_by(BUNDLE) {
        let count = BUNDLE.min(p.cin - c0);
        transpose(4, 9 * count, 8, single.as_mut_ptr().cast(), row as isize, from.add(9 * c0).cast(), line);
        for i in 0..72 * count {
            double[i] = single[i] as f64;
        }
        for c in 0..count {
            let w = |tap: usize| W::load(double.as_ptr().add(72 * c + 8 * tap));
            let mut rows = [[W::zero(); 3]; 6];
            for k in 0..3 {
                let column = filter_lanes([w(k), w(3 + k), w(6 + k)]);
                for h in 0..6 {
                    rows[h][k] = column[h];
                }
            }
            for h in 0..6 {
                let row = filter_lanes(rows[h]);
                for k in 0..6 {
                    let mut wide = [0f64; 8];
                    row[k].store(wide.as_mut_ptr());
                    let to = to.add((6 * h + k) * step + 8 * (c0 + c));
                    for o in 0..8 {
                        *to.add(o) = wide[o] as f32;
                    }
                }
            }
        }
    }
}
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn filter_lanes<W: Lanes<T = f64>>([a, b, c]: [W; 3]) -> [W; 6] {
    const ROOT: f64 = std::f64::consts::SQRT_2;
    let k = |v: f64| W::splat(v);
    let (even, odd) = (c.fma(k(0.5), a).mul(k(-2.0 / 3.0)), b.mul(k(-ROOT / 3.0)));
    let (even2, odd2) = (c.fma(k(2.0), a).mul(k(1.0 / 6.0)), b.mul(k(ROOT / 6.0)));
    [a, even.add(odd), even.sub(odd), even2.add(odd2), even2.sub(odd2), c]
}

/// G, for several channels side by side.
#[inline(always)]
fn filter<const N: usize>([a, b, c]: [&[f64; N]; 3]) -> [[f64; N]; 6] {
    const ROOT: f64 = std::f64::consts::SQRT_2;
    let mut r = [[0.0; N]; 6];
    for i in 0..N {
        let (even, odd) = ((a[i] + 0.5 * c[i]) / -1.5, ROOT / 2.0 * b[i] / -1.5);
        let (even2, odd2) = ((a[i] + 2.0 * c[i]) / 6.0, ROOT * b[i] / 6.0);
        r[0][i] = a[i];
        r[1][i] = even + odd;
        r[2][i] = even - odd;
        r[3][i] = even2 + odd2;
        r[4][i] = even2 - odd2;
        r[5][i] = c[i];
    }
    r
}

/// B^T of six vectors.
#[inline(always)]
unsafe fn input<V: Lanes>(d: [V; 6]) -> [V; 6] {
    let k = |v: f64| V::splat(<V::T as crate::base::dtype::Element>::from_f64(v));
    let root = std::f64::consts::SQRT_2;
    let even = d[2].fma(k(-2.0), d[4]);
    let odd = d[1].fma(k(-2.0), d[3]).mul(k(root / 2.0));
    let even2 = d[2].fma(k(-0.5), d[4]);
    let odd2 = d[1].fma(k(-0.5), d[3]).mul(k(root));
    [
        d[2].fma(k(-2.5), d[4].add(d[0])),
        even.add(odd),
        even.sub(odd),
        even2.add(odd2),
        even2.sub(odd2),
        d[3].fma(k(-2.5), d[5].add(d[1])),
    ]
}

/// A^T of six vectors.
#[inline(always)]
unsafe fn output<V: Lanes>(m: [V; 6]) -> [V; 4] {
    let k = |v: f64| V::splat(<V::T as crate::base::dtype::Element>::from_f64(v));
    let root = std::f64::consts::SQRT_2;
    let (sum, difference) = (m[1].add(m[2]), m[1].sub(m[2]));
    let (sum2, difference2) = (m[3].add(m[4]), m[3].sub(m[4]));
    [
        m[0].add(sum).add(sum2),
        difference.fma(k(root / 2.0), difference2.mul(k(root))),
        sum.fma(k(0.5), sum2.add(sum2)),
        difference.fma(k(root / 4.0), difference2.fma(k(2.0 * root), m[5])),
    ]
}

/// Calls `f(image, row of tiles, first tile of the row, tiles, tiles before)` for the stretches of rows that a chunk has.
#[inline(always)]
pub(super) fn for_stretches(
    grid: [usize; 2],
    tiles: Range<usize>,
    mut f: impl FnMut(usize, usize, usize, usize, usize),
) {
    let mut t = tiles.start;
    while t < tiles.end {
        let (row, first) = (t / grid[1], t % grid[1]);
        let len = (grid[1] - first).min(tiles.end - t);
        f(row / grid[0], row % grid[0], first, len, t - tiles.start);
        t += len;
    }
}

simd_dispatch!(fn run_range => run_range_body(job: &Job, range: Range<usize>, scratch: *mut T));

#[inline(always)]
unsafe fn run_range_body<T: Real, V: Lanes<T = T>>(job: &Job, range: Range<usize>, scratch: *mut T) {
    let p = job.p;
    let (block, chunk) = (NV * V::N, job.chunk);
    let mr = if V::REGS >= 16 { 8 } else { 4 };
    let source = scratch;
    let (source_step, sums_step) = (step(chunk * p.cin), step(chunk * job.at_once * mr));
    let sums = source.add(POS * source_step);
    let tile = sums.add(POS * sums_step);
    let rows = tile.add(TILE * chunk);
    let own = rows.add(ROWS * chunk + SPARE);
    let own_step = step(job.at_once * mr * p.cin);
    let mut bad = V::zero();
    let mut transformed = usize::MAX;
    for task in range {
        let (rest, part) = (task / job.parts, task % job.parts);
        let (group, first) = (rest % p.groups, rest / p.groups * chunk);
        let tiles = first..(first + chunk).min(job.tiles);
        let blocks = tiles.len().div_ceil(block);
        let vectors = tiles.len().div_ceil(V::N);
        if transformed != rest {
            for c in 0..p.cin {
                let images = Images { of: p.src, size: p.src_size, pad: p.pad, grid: job.grid };
                gather::<T, V>(&images, tiles.clone(), group * p.cin + c, vectors * V::N, rows, tile, chunk);
                for v in 0..vectors {
                    let to = source.add((v / NV) * block * p.cin + c * block + v % NV * V::N);
                    transform_source::<T, V>(tile.add(v * V::N), chunk, to, source_step);
                }
            }
            transformed = rest;
        }
        let last = ((part + 1) * job.per_part).min(job.panels);
        let mut panel = part * job.per_part;
        while panel < last {
            let panels = job.at_once.min(last - panel);
            // The weights of the first position, and how far apart positions are.
            let (weights, weights_step) = match job.weights {
                Some(all) => {
                    let step = step(job.panels * mr * p.cin);
                    (all.at((group * POS * step + panel * mr * p.cin) as isize) as *const T, step)
                }
                None => {
                    for i in 0..panels {
                        weight_panel::<T, V>(p, group, panel + i, own.add(i * mr * p.cin), own_step);
                    }
                    (own as *const T, own_step)
                }
            };
            for pos in 0..POS {
                for i in 0..panels {
                    let weights = weights.add(pos * weights_step + i * mr * p.cin);
                    for b in 0..blocks {
                        let from = source.add(pos * source_step + b * block * p.cin);
                        let to = sums.add(pos * sums_step + i * mr * chunk + b * block);
                        let wide = (vectors - b * NV).min(NV);
                        if V::REGS >= 16 {
                            products::<T, V, 8>(wide, p.cin, weights, from, to, chunk);
                        } else {
                            products::<T, V, 4>(wide, p.cin, weights, from, to, chunk);
                        }
                    }
                }
            }
            let channels = (panel * mr)..((panel + panels) * mr).min(p.cout);
            for o in channels.clone() {
                let bias = p.bias.map_or(0.0, |(b, step)| *b.at((group * p.cout + o) as isize * step));
                let from = sums.add((o - channels.start) * chunk);
                for v in (0..vectors * V::N).step_by(V::N) {
                    let bias = T::from_f64(bias as f64);
                    transform_sums::<T, V>(from.add(v), sums_step, bias, tile.add(v), chunk, &mut bad);
                }
                scatter::<T>(job, tiles.clone(), group * p.cout + o, vectors * V::N, tile, rows);
            }
            panel += panels;
        }
    }
    // Zeros, unless some output was no number.
    if bad.sum() != T::ZERO {
        job.bad.store(true, Ordering::Relaxed);
    }
}

/// Images that are cut into tiles of 6x6, four apart.
pub(super) struct Images {
    pub of: Image<f32>,
    pub size: [usize; 2],
    pub pad: [isize; 2],
    pub grid: [usize; 2],
}

/// The 6x6 inputs of each tile of a channel: 36 rows of `chunk` tiles, zeros where there is padding or, up to `used`
/// of them, no tile. `rows` is room for lines of eight inputs, which are transposed.
#[inline(always)]
pub(super) unsafe fn gather<T: Real, V: Lanes<T = T>>(
    p: &Images,
    tiles: Range<usize>,
    channel: usize,
    used: usize,
    rows: *mut T,
    to: *mut T,
    chunk: usize,
) {
    let [height, width] = p.size.map(|v| v as isize);
    let (count, step, size) = (tiles.len(), p.of.s[2], std::mem::size_of::<T>());
    std::slice::from_raw_parts_mut(rows.add(ROWS * count), ROWS * (used - count)).fill(T::ZERO);
    for r in 0..6 {
        for_stretches(p.grid, tiles.clone(), |n, row, first, len, before| {
            let y = 4 * row as isize + r as isize - p.pad[0];
            let to = rows.add(ROWS * before);
            if y < 0 || y >= height {
                return std::slice::from_raw_parts_mut(to, ROWS * len).fill(T::ZERO);
            }
            let from = (p.of.at(n, channel) as *const T).wrapping_offset(y * p.of.s[1]);
            for t in 0..len {
                let to = to.add(ROWS * t);
                let x = 4 * (first + t) as isize - p.pad[1];
                // Those of the eight that exist.
                let (lo, hi) = ((-x).clamp(0, 8), (width - x).clamp(0, 8));
                if step == 1 && hi - lo == 8 {
                    let there = from.wrapping_offset(x).cast::<[T; ROWS]>().read_unaligned();
                    to.cast::<[T; ROWS]>().write_unaligned(there);
                } else if step == 1 {
                    // Zeros behind them reach into the next lines, which are written later or to be zeros.
                    V::zero().store(to);
                    V::load_n(from.wrapping_offset(x + lo), (hi - lo).max(0) as usize).store(to.offset(lo));
                } else {
                    to.cast::<[T; ROWS]>().write_unaligned([T::ZERO; ROWS]);
                    for j in lo..hi {
                        *to.offset(j) = *from.wrapping_offset((x + j) * step);
                    }
                }
            }
        });
        let to = to.add(6 * r * chunk) as *mut u8;
        let (row, line) = ((chunk * size) as isize, (ROWS * size) as isize);
        transpose(size, ROWS, used, to, row, rows as *const u8, line);
    }
}

/// B^T d B of a vector of gathered tiles, `from_step` elements apart, to 36 places `step` apart.
#[inline(always)]
pub(super) unsafe fn transform_source<T: Real, V: Lanes<T = T>>(
    from: *const T,
    from_step: usize,
    to: *mut T,
    step: usize,
) {
    let mut rows = [[V::zero(); 6]; 6];
    for j in 0..6 {
        let mut d = [V::zero(); 6];
        for r in 0..6 {
            d[r] = V::load(from.add((6 * r + j) * from_step));
        }
        let d = input(d);
        for r in 0..6 {
            rows[r][j] = d[r];
        }
    }
    for r in 0..6 {
        let d = input(rows[r]);
        for j in 0..6 {
            d[j].store(to.add((6 * r + j) * step));
        }
    }
}

#[inline(always)]
unsafe fn products<T: Real, V: Lanes<T = T>, const MR: usize>(
    vectors: usize,
    k: usize,
    weights: *const T,
    source: *const T,
    to: *mut T,
    row: usize,
) {
    match vectors {
        1 => product::<T, V, MR, 1>(k, weights, source, to, row),
        2 => product::<T, V, MR, 2>(k, weights, source, to, row),
        _ => product::<T, V, MR, NV>(k, weights, source, to, row),
    }
}

/// MR channels by W vectors of tiles, of the NV that stand side by side, summed over `k` channels of the source.
#[inline(always)]
unsafe fn product<T: Real, V: Lanes<T = T>, const MR: usize, const W: usize>(
    k: usize,
    weights: *const T,
    source: *const T,
    to: *mut T,
    row: usize,
) {
    let mut sums = [[V::zero(); W]; MR];
    for c in 0..k {
        let mut x = [V::zero(); W];
        for j in 0..W {
            x[j] = V::load(source.add((c * NV + j) * V::N));
        }
        for i in 0..MR {
            let w = V::splat(*weights.add(c * MR + i));
            for j in 0..W {
                sums[i][j] = w.fma(x[j], sums[i][j]);
            }
        }
    }
    for i in 0..MR {
        for j in 0..W {
            sums[i][j].store(to.add(i * row + j * V::N));
        }
    }
}

/// A^T m A + bias of a vector of tiles, as 16 rows; `bad` becomes NaN with what is no finite number.
#[inline(always)]
unsafe fn transform_sums<T: Real, V: Lanes<T = T>>(
    from: *const T,
    step: usize,
    bias: T,
    to: *mut T,
    chunk: usize,
    bad: &mut V,
) {
    let mut rows = [[V::zero(); 6]; 4];
    for j in 0..6 {
        let mut m = [V::zero(); 6];
        for r in 0..6 {
            m[r] = V::load(from.add((6 * r + j) * step));
        }
        let m = output(m);
        for r in 0..4 {
            rows[r][j] = m[r];
        }
    }
    for r in 0..4 {
        let y = output(rows[r]);
        for j in 0..4 {
            let y = y[j].add(V::splat(bias));
            *bad = y.fma(V::zero(), *bad);
            y.store(to.add((4 * r + j) * chunk));
        }
    }
}

/// Writes a channel's outputs from 16 rows of tiles; `rows` is room for lines of eight outputs.
#[inline(always)]
unsafe fn scatter<T: Real>(job: &Job, tiles: Range<usize>, channel: usize, used: usize, from: *const T, rows: *mut T) {
    let p = job.p;
    let [height, width] = p.dst_size;
    let (step, size) = (p.dst.s[2], std::mem::size_of::<T>());
    // Two rows of each tile at once.
    for half in 0..2 {
        let from = from.add(8 * half * job.chunk) as *const u8;
        let (row, line) = ((job.chunk * size) as isize, (ROWS * size) as isize);
        transpose(size, used, ROWS, rows as *mut u8, line, from, row);
        for_stretches(job.grid, tiles.clone(), |n, row, first, len, before| {
            let plane = p.dst.at(n, channel) as *mut T;
            for r in 0..2 {
                let y = 4 * row + 2 * half + r;
                if y >= height {
                    return;
                }
                let to = plane.offset(y as isize * p.dst.s[1]);
                let from = rows.add(ROWS * before + 4 * r) as *const T;
                for t in 0..len {
                    let (x, from) = (4 * (first + t), from.add(ROWS * t));
                    let to = to.offset(x as isize * step);
                    if step == 1 && x + 4 <= width {
                        to.cast::<[T; 4]>().write_unaligned(from.cast::<[T; 4]>().read_unaligned());
                    } else {
                        for j in 0..4.min(width - x) {
                            *to.offset(j as isize * step) = *from.add(j);
                        }
                    }
                }
            }
        });
    }
}
