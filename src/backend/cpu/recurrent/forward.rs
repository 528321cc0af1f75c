//! All steps of some rows of a batch: the recurrent product of a few rows and units at a time stays in registers until the
//! gates' functions have been applied.

// Tiles of one block are written as those of several.
#![allow(clippy::modulo_one)]

use super::job::{get, put, Job, GRU, LSTM};
use crate::backend::cpu::lanes::{Lanes, Real};
use crate::backend::cpu::simd::prefetch;
use crate::simd_dispatch;
use std::ops::Range;

simd_dispatch!(pub(super) fn pack => pack_body(job: &Job<T>));
simd_dispatch!(pub(super) fn lstm => lstm_body(job: &Job<T>, rows: Range<usize>, scratch: *mut T));
simd_dispatch!(pub(super) fn gru => gru_body(job: &Job<T>, rows: Range<usize>, scratch: *mut T));

/// Elements of scratch memory for `rows` rows.
pub(super) fn scratch(rows: usize, hidden: usize) -> usize {
    3 * rows * hidden
}
/// Elements of the packed weights and biases: units in whole vectors.
pub(super) fn packed(gates: usize, hidden: usize, lanes: usize) -> usize {
    hidden.next_multiple_of(lanes) * gates * (hidden + 1)
}

/// Recurrent weights as [block of units][column][gate][lane], biases as [block][gate][lane] behind them.
#[inline(always)]
unsafe fn pack_body<T: Real, V: Lanes<T = T>>(job: &Job<T>) {
    let (hidden, gates, n) = (job.hidden, job.gates, V::N);
    let blocks = hidden.div_ceil(n);
    let to = job.packed.0;
    let biases = to.add(blocks * hidden * gates * n);
    for (block, g, lane) in (0..blocks).flat_map(|b| (0..gates).flat_map(move |g| (0..n).map(move |lane| (b, g, lane))))
    {
        let unit = block * n + lane;
        let to = to.add(block * hidden * gates * n + g * n + lane);
        let from = job.weight.at((g * hidden + unit.min(hidden - 1)) as isize * job.weight_strides[0]);
        for k in 0..hidden {
            let w = *from.offset(k as isize * job.weight_strides[1]);
            *to.add(k * gates * n) = if unit < hidden { w } else { T::ZERO };
        }
        *biases.add((block * gates + g) * n + lane) = match unit < hidden && !job.bias.0.is_null() {
            true => *job.bias.at((g * hidden + unit) as isize * job.bias_stride),
            false => T::ZERO,
        };
    }
}

/// bias + h @ weights for R rows and B blocks of units, each sum in the order of the columns.
#[inline(always)]
unsafe fn products<T: Real, V: Lanes<T = T>, const R: usize, const B: usize, const G: usize>(
    hidden: usize,
    h: *const T,
    weights: *const T,
    biases: *const T,
) -> [[[V; G]; B]; R] {
    let mut acc = [[[V::zero(); G]; B]; R];
    for r in 0..R {
        for b in 0..B {
            for g in 0..G {
                acc[r][b][g] = V::load(biases.add((b * G + g) * V::N));
            }
        }
    }
    for k in 0..hidden {
        for b in 0..B {
            let w = weights.add((b * hidden + k) * G * V::N);
            let mut row = [V::zero(); G];
            for g in 0..G {
                row[g] = V::load(w.add(g * V::N));
            }
            for r in 0..R {
                let x = V::splat(*h.add(r * hidden + k));
                for g in 0..G {
                    acc[r][b][g] = x.fma(row[g], acc[r][b][g]);
                }
            }
        }
    }
    acc
}

/// Where one row's block of units stands at one step.
#[derive(Clone, Copy)]
struct Place<T> {
    /// The gates' input part, a gate after the other, which becomes the gates where they are kept.
    gates: *mut T,
    out: *mut T,
    /// Kept: c of an LSTM, the recurrent part of a GRU's n.
    kept: *mut T,
    h: *const T,
    next: *mut T,
    c: *mut T,
    lanes: usize,
}

/// A step of rows `0..rows` of the chunk, all units; `finish` makes h of the sums.
macro_rules! step {
    ($job:ident, $rows:expr, $place:expr, $h:ident, $gates:literal, $finish:ident) => {{
        let (hidden, blocks) = ($job.hidden, $job.hidden.div_ceil(V::N));
        let weights = $job.packed.0 as *const T;
        let biases = weights.add(blocks * hidden * $gates * V::N);
        // The sums, a row of weights and an element of h are in registers together.
        let fits = |rows: usize| (rows + 1) * $gates <= V::REGS;
        let mut block = 0;
        macro_rules! tiles {
            ($r:literal, $b:literal, $from:ident) => {
                while $rows - $from >= $r {
                    let w = weights.add(block * hidden * $gates * V::N);
                    let acc = products::<T, V, $r, $b, $gates>(
                        hidden,
                        $h.add($from * hidden) as *const T,
                        w,
                        biases.add(block * $gates * V::N),
                    );
                    let places = std::array::from_fn(|i| $place($from + i / $b, block + i % $b));
                    let sums = std::array::from_fn(|i| acc[i / $b][i % $b]);
                    $finish::<T, V, { $r * $b }>($job, places, sums);
                    $from += $r;
                }
            };
        }
        while block < blocks {
            let mut from = 0;
            // A single row has too few sums for one block to keep the units busy.
            if $rows == 1 && blocks - block >= 2 {
                tiles!(1, 2, from);
                block += 2;
                continue;
            }
            if fits(6) {
                tiles!(6, 1, from);
            }
            if fits(4) {
                tiles!(4, 1, from);
            }
            if fits(3) {
                tiles!(3, 1, from);
            }
            if fits(2) {
                tiles!(2, 1, from);
            }
            tiles!(1, 1, from);
            block += 1;
        }
    }};
}

/// The gates' input parts of N places.
#[inline(always)]
unsafe fn inputs<T: Real, V: Lanes<T = T>, const N: usize, const G: usize>(
    job: &Job<T>,
    p: &[Place<T>; N],
) -> [[V; G]; N] {
    let mut x = [[V::zero(); G]; N];
    // They come from far away, and not in order of memory.
    let next = if job.backwards { -1 } else { 1 } * (job.batch * job.gates * job.hidden) as isize;
    for i in 0..N {
        for g in 0..G {
            let from = p[i].gates.add(g * job.hidden);
            prefetch(from.wrapping_offset(next).cast());
            x[i][g] = get(from, p[i].lanes);
        }
    }
    x
}
// Each step of these is done for all places before the next one, since it waits for the one before.
#[inline(always)]
unsafe fn lstm_finish<T: Real, V: Lanes<T = T>, const N: usize>(job: &Job<T>, p: [Place<T>; N], y: [[V; LSTM]; N]) {
    let mut v = inputs::<T, V, N, LSTM>(job, &p);
    for i in 0..N {
        for g in 0..LSTM {
            let x = v[i][g].add(y[i][g]);
            v[i][g] = if g == 2 { x.tanh() } else { x.sigmoid() };
        }
    }
    let (mut cell, mut h) = ([V::zero(); N], [V::zero(); N]);
    for i in 0..N {
        cell[i] = v[i][1].mul(get(p[i].c, p[i].lanes)).add(v[i][0].mul(v[i][2]));
        put(cell[i], p[i].c, p[i].lanes);
    }
    for i in 0..N {
        h[i] = v[i][3].mul(cell[i].tanh());
    }
    for i in 0..N {
        put(h[i], p[i].next, p[i].lanes);
        put(h[i], p[i].out, p[i].lanes);
        if job.keep {
            put(cell[i], p[i].kept, p[i].lanes);
            for g in 0..LSTM {
                put(v[i][g], p[i].gates.add(g * job.hidden), p[i].lanes);
            }
        }
    }
}
#[inline(always)]
unsafe fn gru_finish<T: Real, V: Lanes<T = T>, const N: usize>(job: &Job<T>, p: [Place<T>; N], y: [[V; GRU]; N]) {
    let mut v = inputs::<T, V, N, GRU>(job, &p);
    for i in 0..N {
        for g in 0..2 {
            v[i][g] = v[i][g].add(y[i][g]).sigmoid();
        }
    }
    for i in 0..N {
        v[i][2] = v[i][2].add(y[i][2].mul(v[i][0])).tanh();
    }
    for i in 0..N {
        let h = get::<T, V>(p[i].h, p[i].lanes).sub(v[i][2]).mul(v[i][1]).add(v[i][2]);
        put(h, p[i].next, p[i].lanes);
        put(h, p[i].out, p[i].lanes);
        if job.keep {
            put(y[i][2], p[i].kept, p[i].lanes);
            for g in 0..GRU {
                put(v[i][g], p[i].gates.add(g * job.hidden), p[i].lanes);
            }
        }
    }
}

macro_rules! body {
    ($name:ident, $gates:ident, $count:literal, $finish:ident) => {
        #[inline(always)]
        unsafe fn $name<T: Real, V: Lanes<T = T>>(job: &Job<T>, rows: Range<usize>, scratch: *mut T) {
            let (hidden, first) = (job.hidden, rows.start);
            let h = scratch;
            let next = h.add(rows.len() * hidden);
            let c = next.add(rows.len() * hidden);
            for (i, r) in rows.clone().enumerate() {
                job.read_state(&job.h, r, h.add(i * hidden));
                if $count == LSTM {
                    job.read_state(&job.c, r, c.add(i * hidden));
                }
            }
            for i in 0..job.steps {
                let t = if job.backwards { job.steps - 1 - i } else { i };
                let (at, now) = job.step(t);
                let now = now.min(rows.end).saturating_sub(first);
                if job.keep {
                    let to = job.before.0.add((at + first) * hidden);
                    std::ptr::copy_nonoverlapping(h as *const T, to, now * hidden);
                }
                let place = |row: usize, block: usize| {
                    let (from, line) = (block * V::N, at + first + row);
                    Place {
                        gates: job.gates_at.0.add(line * job.gates * hidden + from),
                        out: job.out.at(line as isize * job.out_stride).add(from),
                        kept: job.kept.0.wrapping_add(line * hidden + from),
                        h: h.add(row * hidden + from) as *const T,
                        next: next.add(row * hidden + from),
                        c: c.add(row * hidden + from),
                        lanes: V::N.min(hidden - from),
                    }
                };
                step!(job, now, place, h, $count, $finish);
                std::ptr::copy_nonoverlapping(next as *const T, h, now * hidden);
            }
            for (i, r) in rows.enumerate() {
                let to = r * hidden;
                std::ptr::copy_nonoverlapping(h.add(i * hidden) as *const T, job.last_h.0.add(to), hidden);
                if $count == LSTM {
                    std::ptr::copy_nonoverlapping(c.add(i * hidden) as *const T, job.last_c.0.add(to), hidden);
                }
            }
        }
    };
}
body!(lstm_body, LSTM, 4, lstm_finish);
body!(gru_body, GRU, 3, gru_finish);
