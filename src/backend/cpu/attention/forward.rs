//! Attention of a block of queries, key block by key block: scores stand key by query, so that queries are lanes, and the
//! greatest score, the sum and the weighted values of each query are carried on (Dao et al., FlashAttention, 2022).

use super::job::{dense, panels, Job, KEYS, QUERIES};
use crate::backend::cpu::gemm::small::{dots, tiles};
use crate::backend::cpu::lanes::{FloatElement, Lanes, Real};
use crate::backend::cpu::level::Level;
use crate::base::dtype::Element;
use crate::simd_dispatch;
use std::ops::Range;

/// Up to so many queries a head's scores are rows, each a run over the keys: lanes would stay empty.
pub(super) const FEW: usize = 3;

/// Elements of scratch memory that a task needs.
pub(super) fn scratch<T: FloatElement>(job: &Job<T>, few: bool) -> usize {
    if few {
        return job.queries * (job.keys + job.value_dim);
    }
    let copies = KEYS * (job.dim + job.value_dim);
    QUERIES * (job.dim + job.value_dim + KEYS + 2) + copies
}

simd_dispatch!(float pub(super) fn blocks => blocks_body(
    set: Level, job: &Job<T>, range: Range<usize>, scratch: *mut T::C));
simd_dispatch!(float pub(super) fn rows => rows_body(
    set: Level, job: &Job<T>, range: Range<usize>, scratch: *mut T::C));

/// The blocks of queries `range`, counted over all heads.
#[inline(always)]
unsafe fn blocks_body<T: FloatElement, V: Lanes<T = T::C>>(
    set: Level,
    job: &Job<T>,
    range: Range<usize>,
    scratch: *mut T::C,
) {
    let (zero, one) = (<T::C as Real>::ZERO, <T::C as Real>::ONE);
    let width = 2 * V::N;
    let (dim, value_dim) = (job.dim, job.value_dim);
    let q = scratch;
    let out = q.add(QUERIES * dim);
    let scores = out.add(QUERIES * value_dim);
    let most = scores.add(QUERIES * KEYS);
    let sums = most.add(QUERIES);
    let copy_k = sums.add(QUERIES);
    let copy_v = copy_k.add(KEYS * dim);
    let lowest = V::splat(T::C::from_f64(if size_of::<T::C>() == 4 { f32::MIN as f64 } else { f64::MIN }));
    let each = job.queries.div_ceil(QUERIES);
    for t in range {
        let (bh, q0) = (t / each, t % each * QUERIES);
        let (b, h) = (bh / job.heads, bh % job.heads);
        let nq = QUERIES.min(job.queries - q0);
        panels(job.q.at(b, h, q0), job.q.row(), job.q.col(), nq, dim, width, job.scale, q);
        for j in (0..QUERIES).step_by(V::N) {
            lowest.store(most.add(j));
            V::zero().store(sums.add(j));
        }
        let seen = job.visible(q0 + nq);
        for k0 in (0..seen).step_by(KEYS) {
            let nk = KEYS.min(seen - k0);
            let kh = h / job.group;
            let (k, k_row) = dense(job.k.at(b, kh, k0), job.k.row(), job.k.col(), nk, dim, copy_k);
            let (v, v_row) = dense(job.v.at(b, kh, k0), job.v.row(), job.v.col(), nk, value_dim, copy_v);
            for p in 0..nq.div_ceil(width) {
                let (from, left) = (p * width, (nq - p * width).min(width));
                let nk = if job.causal { nk.min((q0 + from + left).saturating_sub(k0)) } else { nk };
                if nk == 0 {
                    continue;
                }
                // The last queries may fit into one vector.
                let n = if left > V::N { width } else { V::N };
                let (q, s, w) = (q.add(from * dim), scores, width as isize);
                tiles(set, nk, n, dim, k, k_row, 1, q, w, s, w, one, zero);
                job.masked((b, h), (q0 + from, left), (k0, nk), s, width);
                let out = out.add(from * value_dim);
                for j in (0..n).step_by(V::N) {
                    let (s, most, sums) = (s.add(j), most.add(from + j), sums.add(from + j));
                    let before = V::load(most);
                    let mut m = [before; 2];
                    for i in 0..nk / 2 {
                        m[0] = V::load(s.add(2 * i * width)).max(m[0]);
                        m[1] = V::load(s.add((2 * i + 1) * width)).max(m[1]);
                    }
                    if nk % 2 == 1 {
                        m[0] = V::load(s.add((nk - 1) * width)).max(m[0]);
                    }
                    let m = m[0].max(m[1]);
                    m.store(most);
                    let mut sum = V::zero();
                    for i in 0..nk {
                        let e = V::load(s.add(i * width)).sub(m).exp_low();
                        e.store(s.add(i * width));
                        sum = sum.add(e);
                    }
                    if k0 == 0 {
                        sum.store(sums);
                        continue;
                    }
                    let kept = before.sub(m).exp_low();
                    V::load(sums).fma(kept, sum).store(sums);
                    for i in 0..value_dim {
                        let o = out.add(i * width + j);
                        V::load(o).mul(kept).store(o);
                    }
                }
                let beta = if k0 == 0 { zero } else { one };
                tiles(set, value_dim, n, nk, v, 1, v_row, s, w, out, w, one, beta);
            }
        }
        let lse = job.lse.at((bh * job.queries + q0) as isize);
        for j in 0..nq {
            let (sum, most) = (*sums.add(j), *most.add(j));
            let nothing = sum == zero || seen == 0;
            let share = if nothing { zero } else { one / sum };
            *lse.add(j) = if nothing { zero - <T::C as Real>::LOWEST } else { most + sum.ln() };
            let to = job.out.at(b, h, q0 + j);
            let from = out.add(j / width * width * value_dim + j % width);
            for i in 0..value_dim {
                let o = if nothing { zero } else { *from.add(i * width) * share };
                *to.offset(i as isize * job.out.col()) = T::narrow(o);
            }
        }
    }
}

/// Heads with few queries, whose keys and values are read where they lie, rows being dense.
#[inline(always)]
unsafe fn rows_body<T: FloatElement, V: Lanes<T = T::C>>(
    set: Level,
    job: &Job<T>,
    range: Range<usize>,
    scratch: *mut T::C,
) {
    let (zero, one) = (<T::C as Real>::ZERO, <T::C as Real>::ONE);
    let (nq, nk, value_dim) = (job.queries, job.keys, job.value_dim);
    let out = scratch.add(nq * nk);
    for bh in range {
        let (b, h) = (bh / job.heads, bh % job.heads);
        let kh = h / job.group;
        let (k, v) = (job.k.at(b, kh, 0) as *const T::C, job.v.at(b, kh, 0) as *const T::C);
        for i in 0..nq {
            let q = job.q.at(b, h, i) as *const T::C;
            dots(set, nk, job.dim, q, k, job.k.row(), scratch.add(i * nk), 1, job.scale, zero);
        }
        for i in 0..nq {
            let s = scratch.add(i * nk);
            // One query at a time, whose scores are a column of [key][query].
            job.masked((b, h), (i, 1), (0, nk), s, 1);
            let full = nk / V::N * V::N;
            let low = V::splat(T::C::from_f64(if size_of::<T::C>() == 4 { f32::MIN as f64 } else { f64::MIN }));
            let mut m = low;
            for c in (0..full).step_by(V::N) {
                m = V::load(s.add(c)).max(m);
            }
            if full < nk {
                m = V::load_or(s.add(full), nk - full, low).max(m);
            }
            let most = m.largest();
            let (m, mut sum) = (V::splat(most), V::zero());
            for c in (0..full).step_by(V::N) {
                let e = V::load(s.add(c)).sub(m).exp_low();
                e.store(s.add(c));
                sum = sum.add(e);
            }
            if full < nk {
                let lowest = V::splat(<T::C as Real>::LOWEST);
                let e = V::load_or(s.add(full), nk - full, lowest).sub(m).exp_low();
                e.store_n(s.add(full), nk - full);
                sum = sum.add(e);
            }
            let sum = sum.sum();
            let nothing = sum == zero;
            let share = if nothing { zero } else { one / sum };
            *job.lse.at((bh * nq + i) as isize) = if nothing { zero - <T::C as Real>::LOWEST } else { most + sum.ln() };
            let share_v = V::splat(share);
            for c in (0..full).step_by(V::N) {
                V::load(s.add(c)).mul(share_v).store(s.add(c));
            }
            for c in full..nk {
                *s.add(c) = *s.add(c) * share;
            }
        }
        let w = value_dim as isize;
        tiles(set, nq, value_dim, nk, scratch, nk as isize, 1, v, job.v.row(), out, w, one, zero);
        for i in 0..nq {
            let to = job.out.at(b, h, i);
            for c in 0..value_dim {
                *to.offset(c as isize * job.out.col()) = T::narrow(*out.add(i * value_dim + c));
            }
        }
    }
}
