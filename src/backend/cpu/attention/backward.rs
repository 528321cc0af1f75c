//! The gradients of attention: scores are computed again, a block of keys against all queries that see it.

use super::job::{dense, panels, Slopes, KEYS, QUERIES};
use crate::backend::cpu::gemm::small::tiles;
use crate::backend::cpu::lanes::{FloatElement, Lanes, Real};
use crate::backend::cpu::level::Level;
use crate::simd_dispatch;
use std::ops::Range;

/// The keys of a part, in whole blocks.
pub(super) fn part_keys(keys: usize, parts: usize) -> usize {
    keys.div_ceil(parts).next_multiple_of(KEYS)
}
/// Elements of scratch memory that a task needs.
pub(super) fn scratch<T: FloatElement>(s: &Slopes<T>) -> usize {
    let both = s.job.dim + s.job.value_dim;
    let queries = s.job.queries.next_multiple_of(QUERIES);
    let narrow = if T::DIRECT { 0 } else { part_keys(s.job.keys, s.parts) * both };
    queries * (2 * both + 2) + KEYS * both + 2 * KEYS * QUERIES + narrow
}

simd_dispatch!(float pub(super) fn parts => parts_body(
    set: Level, s: &Slopes<T>, range: Range<usize>, scratch: *mut T::C));

/// The parts `range` of heads of keys, counted over the batch.
#[inline(always)]
unsafe fn parts_body<T: FloatElement, V: Lanes<T = T::C>>(
    set: Level,
    slopes: &Slopes<T>,
    range: Range<usize>,
    scratch: *mut T::C,
) {
    let job = &slopes.job;
    let (zero, one) = (<T::C as Real>::ZERO, <T::C as Real>::ONE);
    let width = 2 * V::N;
    let (nq, dim, value_dim) = (job.queries, job.dim, job.value_dim);
    let padded = nq.next_multiple_of(QUERIES);
    let q_panels = scratch;
    let g_panels = q_panels.add(padded * dim);
    let q_copy = g_panels.add(padded * value_dim);
    let g_copy = q_copy.add(padded * dim);
    let lse = g_copy.add(padded * value_dim);
    let shown = lse.add(padded);
    let k_copy = shown.add(padded);
    let v_copy = k_copy.add(KEYS * dim);
    let p = v_copy.add(KEYS * value_dim);
    let ds = p.add(KEYS * QUERIES);
    let narrow = ds.add(KEYS * QUERIES);
    let each = part_keys(job.keys, slopes.parts);
    let kv_heads = job.heads / job.group;
    let scale = V::splat(job.scale);
    for t in range {
        let (bk, part) = (t / slopes.parts, t % slopes.parts);
        let (b, kh) = (bk / kv_heads, bk % kv_heads);
        let (first, last) = ((part * each).min(job.keys), ((part + 1) * each).min(job.keys));
        let count = last - first;
        // Where the sums for keys and values grow.
        let (gk, gv) = if T::DIRECT {
            (slopes.grad_k.at(b, kh, first) as *mut T::C, slopes.grad_v.at(b, kh, first) as *mut T::C)
        } else {
            (narrow, narrow.add(each * dim))
        };
        std::slice::from_raw_parts_mut(gk, count * dim).fill(zero);
        std::slice::from_raw_parts_mut(gv, count * value_dim).fill(zero);
        for h in kh * job.group..(kh + 1) * job.group {
            let bh = b * job.heads + h;
            let gq = if slopes.partial.0.is_null() {
                slopes.grad_q.at(b, h, 0) as *mut T::C
            } else {
                slopes.partial.0.add((part * job.batch * job.heads + bh) * nq * dim)
            };
            std::slice::from_raw_parts_mut(gq, nq * dim).fill(zero);
            let (q, q_row) = dense(job.q.at(b, h, 0), job.q.row(), job.q.col(), nq, dim, q_copy);
            let g = &slopes.grad;
            let (g, g_row) = dense(g.at(b, h, 0), g.row(), g.col(), nq, value_dim, g_copy);
            panels(job.q.at(b, h, 0), job.q.row(), job.q.col(), nq, dim, width, job.scale, q_panels);
            let grad = &slopes.grad;
            panels(grad.at(b, h, 0), grad.row(), grad.col(), nq, value_dim, width, one, g_panels);
            for i in 0..padded {
                *lse.add(i) = zero - <T::C as Real>::LOWEST;
                *shown.add(i) = zero;
            }
            for i in 0..nq {
                *lse.add(i) = *job.lse.at((bh * nq + i) as isize);
                let (o, mut sum) = (job.out.at(b, h, i), zero);
                for c in 0..value_dim {
                    sum = sum + *g.offset(i as isize * g_row).add(c) * (*o.offset(c as isize * job.out.col())).widen();
                }
                *shown.add(i) = sum;
            }
            for k0 in (first..last).step_by(KEYS) {
                let nk = KEYS.min(last - k0);
                let (k, k_row) = dense(job.k.at(b, kh, k0), job.k.row(), job.k.col(), nk, dim, k_copy);
                let (v, v_row) = dense(job.v.at(b, kh, k0), job.v.row(), job.v.col(), nk, value_dim, v_copy);
                let from = if job.causal { k0 / QUERIES * QUERIES } else { 0 };
                for q0 in (from..nq).step_by(QUERIES) {
                    let n = QUERIES.min(nq - q0);
                    // Of these queries the ones before `skip` see no key of the block, and none sees a key after `nk`.
                    let skip = if job.causal { k0.saturating_sub(q0) / width * width } else { 0 };
                    if skip >= n {
                        continue;
                    }
                    let nk = if job.causal { nk.min(q0 + n - k0) } else { nk };
                    let row = QUERIES as isize;
                    for j in (skip..n).step_by(width) {
                        let (s, d) = (p.add(j), ds.add(j));
                        let left = (n - j).min(width);
                        let w = if left > V::N { width } else { V::N };
                        let (qp, gp) = (q_panels.add((q0 + j) * dim), g_panels.add((q0 + j) * value_dim));
                        let b_row = width as isize;
                        tiles(set, nk, w, dim, k, k_row, 1, qp, b_row, s, row, one, zero);
                        job.masked((b, h), (q0 + j, left), (k0, nk), s, QUERIES);
                        tiles(set, nk, w, value_dim, v, v_row, 1, gp, b_row, d, row, one, zero);
                        for c in (0..w).step_by(V::N) {
                            let l = V::load(lse.add(q0 + j + c));
                            let o = V::load(shown.add(q0 + j + c));
                            let (s, d) = (s.add(c), d.add(c));
                            for i in 0..nk {
                                let e = V::load(s.add(i * QUERIES)).sub(l).exp_low();
                                e.store(s.add(i * QUERIES));
                                let slope = V::load(d.add(i * QUERIES)).sub(o).mul(e).mul(scale);
                                slope.store(d.add(i * QUERIES));
                            }
                        }
                    }
                    let (p, ds, nq, q0) = (p.add(skip), ds.add(skip), n - skip, q0 + skip);
                    let (q, g) = (q.offset(q0 as isize * q_row), g.offset(q0 as isize * g_row));
                    let (dim_, value_) = (dim as isize, value_dim as isize);
                    let at = k0 - first;
                    tiles(set, nk, value_dim, nq, p, row, 1, g, g_row, gv.add(at * value_dim), value_, one, one);
                    tiles(set, nk, dim, nq, ds, row, 1, q, q_row, gk.add(at * dim), dim_, one, one);
                    tiles(set, nq, dim, nk, ds, 1, row, k, k_row, gq.add(q0 * dim), dim_, one, one);
                }
            }
        }
        if !T::DIRECT {
            let (to_k, to_v) = (slopes.grad_k.at(b, kh, first), slopes.grad_v.at(b, kh, first));
            for i in 0..count * dim {
                *to_k.add(i) = T::narrow(*gk.add(i));
            }
            for i in 0..count * value_dim {
                *to_v.add(i) = T::narrow(*gv.add(i));
            }
        }
    }
}
