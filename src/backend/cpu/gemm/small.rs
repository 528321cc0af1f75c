//! Small matrix products: register tiles and dot products that need no packing.

use crate::backend::cpu::lanes::{Lanes, Real};
use crate::simd_dispatch;

simd_dispatch!(pub fn tiles => tiles_body(
    m: usize, n: usize, k: usize, a: *const T, a_row: isize, a_col: isize, b: *const T, b_row: isize,
    c: *mut T, c_row: isize, alpha: T, beta: T));
simd_dispatch!(pub fn dots => dots_body(
    n: usize, k: usize, a: *const T, b: *const T, b_col: isize, c: *mut T, c_col: isize, alpha: T, beta: T));
simd_dispatch!(pub(super) fn transpose_into => transpose_body(
    k: usize, n: usize, b: *const T, b_row: isize, b_col: isize, to: *mut T));

/// c[m, n] from register tiles; rows of b and c are contiguous.
#[inline(always)]
unsafe fn tiles_body<T: Real, V: Lanes<T = T>>(
    m: usize,
    n: usize,
    k: usize,
    a: *const T,
    a_row: isize,
    a_col: isize,
    b: *const T,
    b_row: isize,
    c: *mut T,
    c_row: isize,
    alpha: T,
    beta: T,
) {
    let mut j = 0;
    while j < n {
        let left = n - j;
        let (b, c) = (b.add(j), c.add(j));
        macro_rules! rows {
            ($nv:literal, $tail:expr) => {{
                let mut i = 0;
                macro_rules! step {
                    ($mr:literal) => {
                        while m - i >= $mr {
                            let (a, c) = (a.offset(i as isize * a_row), c.offset(i as isize * c_row));
                            tile::<T, V, $mr, $nv>($tail, k, a, a_row, a_col, b, b_row, c, c_row, alpha, beta);
                            i += $mr;
                        }
                    };
                }
                if V::REGS >= 16 {
                    step!(8);
                }
                // As many accumulators as there are registers for; four rows left over are one step, not two and two.
                if V::REGS >= 12 {
                    step!(6);
                }
                step!(4);
                step!(2);
                step!(1);
            }};
        }
        if left > V::N {
            let tail = (left - V::N).min(V::N);
            // Whole vectors are loaded and stored without masks.
            if tail == V::N {
                rows!(2, V::N);
            } else {
                rows!(2, tail);
            }
            j += V::N + tail;
        } else {
            rows!(1, left);
            j += left;
        }
    }
}

/// MR rows by NV vectors of c, the last vector having `tail` lanes.
#[inline(always)]
unsafe fn tile<T: Real, V: Lanes<T = T>, const MR: usize, const NV: usize>(
    tail: usize,
    k: usize,
    a: *const T,
    a_row: isize,
    a_col: isize,
    mut b: *const T,
    b_row: isize,
    c: *mut T,
    c_row: isize,
    alpha: T,
    beta: T,
) {
    let mut acc = [[V::zero(); NV]; MR];
    let mut ak = a;
    for _ in 0..k {
        let mut bv = [V::zero(); NV];
        for v in 0..NV - 1 {
            bv[v] = V::load(b.add(v * V::N));
        }
        bv[NV - 1] = V::load_n(b.add((NV - 1) * V::N), tail);
        for i in 0..MR {
            let x = V::splat(*ak.offset(i as isize * a_row));
            for v in 0..NV {
                acc[i][v] = x.fma(bv[v], acc[i][v]);
            }
        }
        b = b.wrapping_offset(b_row);
        ak = ak.wrapping_offset(a_col);
    }
    let (alpha_v, beta_v) = (V::splat(alpha), V::splat(beta));
    for i in 0..MR {
        for v in 0..NV {
            let p = c.offset(i as isize * c_row).add(v * V::N);
            let n = if v + 1 == NV { tail } else { V::N };
            let mut r = acc[i][v].mul(alpha_v);
            if beta != T::ZERO {
                r = beta_v.fma(V::load_n(p, n), r);
            }
            r.store_n(p, n);
        }
    }
}

/// c[j] = a . b[.., j] with both contiguous along k, four columns at a time.
#[inline(always)]
unsafe fn dots_body<T: Real, V: Lanes<T = T>>(
    n: usize,
    k: usize,
    a: *const T,
    b: *const T,
    b_col: isize,
    c: *mut T,
    c_col: isize,
    alpha: T,
    beta: T,
) {
    let mut j = 0;
    macro_rules! step {
        ($nr:literal) => {
            while n - j >= $nr {
                let b = b.offset(j as isize * b_col);
                let mut acc = [V::zero(); $nr];
                let mut l = 0;
                while l + V::N <= k {
                    let x = V::load(a.add(l));
                    for v in 0..$nr {
                        acc[v] = x.fma(V::load(b.offset(v as isize * b_col).add(l)), acc[v]);
                    }
                    l += V::N;
                }
                if l < k {
                    let x = V::load_n(a.add(l), k - l);
                    for v in 0..$nr {
                        acc[v] = x.fma(V::load_n(b.offset(v as isize * b_col).add(l), k - l), acc[v]);
                    }
                }
                for v in 0..$nr {
                    let p = c.offset((j + v) as isize * c_col);
                    let r = acc[v].sum() * alpha;
                    *p = if beta == T::ZERO { r } else { r + beta * *p };
                }
                j += $nr;
            }
        };
    }
    step!(4);
    step!(1);
}

/// to[k, n] (row-major) = b, whose rows are not contiguous.
#[inline(always)]
unsafe fn transpose_body<T: Real, V: Lanes<T = T>>(
    k: usize,
    n: usize,
    b: *const T,
    b_row: isize,
    b_col: isize,
    to: *mut T,
) {
    // Four source columns at a time, so that a cache line of `to` is written while it is at hand.
    let mut j = 0;
    while j + 4 <= n {
        let b = b.offset(j as isize * b_col);
        for l in 0..k {
            let (from, to) = (b.offset(l as isize * b_row), to.add(l * n + j));
            for v in 0..4 {
                *to.add(v) = *from.offset(v as isize * b_col);
            }
        }
        j += 4;
    }
    while j < n {
        for l in 0..k {
            *to.add(l * n + j) = *b.offset(l as isize * b_row + j as isize * b_col);
        }
        j += 1;
    }
}
