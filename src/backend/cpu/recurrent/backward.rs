//! The gradients of all steps of some rows of a batch: those of the gates' sums, from which the caller makes the weights' by
//! one product, and those of the first state.

use super::job::{get, put, Job, Slopes, LSTM};
use crate::backend::cpu::gemm::small::tiles;
use crate::backend::cpu::lanes::{Lanes, Real};
use crate::backend::cpu::level::Level;
use crate::simd_dispatch;
use std::ops::Range;

simd_dispatch!(pub(super) fn pack => pack_body(job: &Job<T>));
simd_dispatch!(pub(super) fn rows => rows_body(set: Level, s: &Slopes<T>, rows: Range<usize>, scratch: *mut T));

/// Elements of scratch memory for `rows` rows.
pub(super) fn scratch(rows: usize, hidden: usize) -> usize {
    2 * rows * hidden
}
/// Elements of the packed weights.
pub(super) fn packed(gates: usize, hidden: usize, lanes: usize) -> usize {
    hidden.next_multiple_of(2 * lanes) * gates * hidden
}

/// Weights as [block of columns][row][lane], two vectors wide.
#[inline(always)]
unsafe fn pack_body<T: Real, V: Lanes<T = T>>(job: &Job<T>) {
    let (hidden, rows, width) = (job.hidden, job.gates * job.hidden, 2 * V::N);
    for block in 0..hidden.div_ceil(width) {
        let to = job.packed.0.add(block * rows * width);
        for row in 0..rows {
            let from = job.weight.at(row as isize * job.weight_strides[0]);
            for lane in 0..width {
                let c = block * width + lane;
                let w = if c < hidden { *from.offset(c as isize * job.weight_strides[1]) } else { T::ZERO };
                *to.add(row * width + lane) = w;
            }
        }
    }
}

#[inline(always)]
unsafe fn rows_body<T: Real, V: Lanes<T = T>>(set: Level, s: &Slopes<T>, rows: Range<usize>, scratch: *mut T) {
    let job = &s.job;
    let (hidden, gates, first) = (job.hidden, job.gates, rows.start);
    let is_lstm = gates == LSTM;
    let (dh, dc) = (scratch, scratch.add(rows.len() * hidden));
    for (i, r) in rows.clone().enumerate() {
        job.read_state(&s.grad_h, r, dh.add(i * hidden));
        if is_lstm {
            job.read_state(&s.grad_c, r, dc.add(i * hidden));
        }
    }
    let one = V::splat(T::ONE);
    // The slope of a sigmoid and of a hyperbolic tangent, from their values.
    let curve = |v: V| v.mul(one.sub(v));
    for i in 0..job.steps {
        let t = if job.backwards { i } else { job.steps - 1 - i };
        let (at, now) = job.step(t);
        let now = now.min(rows.end).saturating_sub(first);
        for row in 0..now {
            let line = at + first + row;
            let before = job.before(t, first + row);
            let h = job.before.0.add(line * hidden) as *const T;
            for u in (0..hidden).step_by(V::N) {
                let n = V::N.min(hidden - u);
                let gate = |g: usize| get::<T, V>(job.gates_at.0.add((line * gates + g) * hidden + u), n);
                let to = |g: usize, v: V| put(v, s.slopes.0.add((line * gates + g) * hidden + u), n);
                let (dh, dc) = (dh.add(row * hidden + u), dc.add(row * hidden + u));
                let mut d: V = get(dh, n);
                if !s.grad.0.is_null() {
                    d = d.add(get::<T, V>(s.grad.at(line as isize * s.grad_stride).add(u), n));
                }
                let kept = get::<T, V>(job.kept.0.add(line * hidden + u), n);
                if is_lstm {
                    let (i, f, g, o) = (gate(0), gate(1), gate(2), gate(3));
                    let shown = kept.tanh();
                    let cell = d.mul(o).mul(one.sub(shown.mul(shown))).add(get::<T, V>(dc, n));
                    let c = match before {
                        Some(l) => get::<T, V>(job.kept.0.add(l * hidden + u), n),
                        None => match job.c.p.0.is_null() {
                            true => V::zero(),
                            false => {
                                let mut state = [T::ZERO; 16];
                                job.read_units(&job.c, first + row, u, n, state.as_mut_ptr());
                                get::<T, V>(state.as_ptr(), n)
                            }
                        },
                    };
                    to(0, cell.mul(g).mul(curve(i)));
                    to(1, cell.mul(c).mul(curve(f)));
                    to(2, cell.mul(i).mul(one.sub(g.mul(g))));
                    to(3, d.mul(shown).mul(curve(o)));
                    put(cell.mul(f), dc, n);
                } else {
                    let (r, z, new) = (gate(0), gate(1), gate(2));
                    let d_z = d.mul(get::<T, V>(h.add(u), n).sub(new)).mul(curve(z));
                    let d_n = d.mul(one.sub(z)).mul(one.sub(new.mul(new)));
                    let d_r = d_n.mul(kept).mul(curve(r));
                    to(0, d_r);
                    to(1, d_z);
                    to(2, d_n);
                    let recurrent = |g: usize, v: V| put(v, s.recurrent.0.add((line * gates + g) * hidden + u), n);
                    recurrent(0, d_r);
                    recurrent(1, d_z);
                    recurrent(2, d_n.mul(r));
                    put(d.mul(z), dh, n);
                }
            }
        }
        if now == 0 {
            continue;
        }
        let from = if is_lstm { &s.slopes } else { &s.recurrent };
        let from = from.0.add((at + first) * gates * hidden) as *const T;
        let (wide, width) = ((gates * hidden) as isize, 2 * V::N);
        let beta = if is_lstm { T::ZERO } else { T::ONE };
        for (block, u) in (0..hidden).step_by(width).enumerate() {
            let w = job.packed.0.add(block * gates * hidden * width) as *const T;
            let n = width.min(hidden - u);
            let to = dh.add(u);
            tiles(set, now, n, gates * hidden, from, wide, 1, w, width as isize, to, hidden as isize, T::ONE, beta);
        }
    }
    for (i, r) in rows.enumerate() {
        let to = r * hidden;
        std::ptr::copy_nonoverlapping(dh.add(i * hidden) as *const T, s.first_h.0.add(to), hidden);
        if is_lstm {
            std::ptr::copy_nonoverlapping(dc.add(i * hidden) as *const T, s.first_c.0.add(to), hidden);
        }
    }
}
