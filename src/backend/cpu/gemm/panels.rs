//! Products by panels: a panel of b, two vectors wide, is packed into the first cache and up to some hundred rows of the
//! result are taken through it, a being read where it lies, or from a copy in the second cache where its rows would share
//! cache sets. One to three rows run along b's rows without packing, and a dot product along both.

use super::small::tiles;
use crate::backend::cpu::lanes::{vector_shape, Lanes, Real};
use crate::backend::cpu::level::Level;
use crate::backend::cpu::scratch::Scratch;
use crate::backend::cpu::transpose::transpose;
use crate::simd_dispatch;

/// Rows up to which a stays in the second-level cache.
pub(super) const ROWS: usize = 256;
/// Rows up to which packing would not be paid back.
pub(super) const FEW: usize = 3;
/// Rows of a panel.
const DEPTH: usize = 256;
/// Rows and columns of the result from which a copy of a is paid back.
const COPY_ROWS: usize = 32;
const COPY_COLUMNS: usize = 128;
/// Products that a dot product adds up before they are added in double.
const DOT: usize = 8192;
/// Columns that a few rows of the result are worked on together.
const STRIP: usize = 1024;

/// Strides of rows and columns.
type Strides = (isize, isize);

/// c = beta * c + alpha * a @ b; rows of c are contiguous. False where there is no memory for the panel: nothing was done.
///
/// # Safety
/// The matrices of m x k, k x n and m x n elements are valid, and nobody else touches c.
pub(super) unsafe fn product<T: Real>(
    set: Level,
    (m, n, k): (usize, usize, usize),
    (a, (a_row, a_col)): (*const T, Strides),
    (b, (b_row, b_col)): (*const T, Strides),
    (c, c_row): (*mut T, isize),
    alpha: T,
    beta: T,
) -> bool {
    let width = 2 * vector_shape::<T>(set).0;
    let size = size_of::<T>();
    let along = a_row as usize * size;
    let copied = m >= COPY_ROWS && n >= COPY_COLUMNS && (a_col != 1 || along.is_multiple_of(1024));
    let pitch = DEPTH + 16;
    let Ok(scratch) = Scratch::new::<T>(DEPTH * width + if copied { m * pitch } else { 0 }) else { return false };
    let panel = scratch.ptr::<T>();
    // SAFETY: the caller's; a panel holds DEPTH rows of `width` elements.
    unsafe {
        for k0 in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - k0);
            let beta = if k0 == 0 { beta } else { T::ONE };
            let mut a = (a.offset(k0 as isize * a_col), a_row, a_col);
            if copied {
                let (to, (from, row, col)) = (panel.add(DEPTH * width), a);
                if row == 1 && col != 1 {
                    transpose(size, m, depth, to.cast(), (pitch * size) as isize, from.cast(), col * size as isize);
                } else {
                    for r in 0..m {
                        let (from, to) = (from.offset(r as isize * row), to.add(r * pitch));
                        if col == 1 {
                            std::ptr::copy_nonoverlapping(from, to, depth);
                        } else {
                            (0..depth).for_each(|l| *to.add(l) = *from.offset(l as isize * col));
                        }
                    }
                }
                a = (to as *const T, pitch as isize, 1);
            }
            for j in (0..n).step_by(width) {
                let cols = width.min(n - j);
                let from = b.offset(k0 as isize * b_row + j as isize * b_col);
                if b_row == 1 && b_col != 1 {
                    let (to, stride) = (panel.cast(), (width * size) as isize);
                    transpose(size, depth, cols, to, stride, from.cast(), b_col * size as isize);
                } else if b_col == 1 {
                    copy(set, depth, cols, from, b_row, panel);
                } else {
                    for r in 0..depth {
                        for i in 0..cols {
                            *panel.add(r * width + i) = *from.offset(r as isize * b_row + i as isize * b_col);
                        }
                    }
                }
                let (p, w) = (panel as *const T, width as isize);
                tiles(set, m, cols, depth, a.0, a.1, a.2, p, w, c.add(j), c_row, alpha, beta);
            }
        }
    }
    true
}

/// a . b, both without gaps.
///
/// # Safety
/// Both have `k` elements.
pub(super) unsafe fn dot<T: Real>(set: Level, k: usize, a: *const T, b: *const T) -> T {
    let mut sum = 0.0;
    for l in (0..k).step_by(DOT) {
        let mut part = T::ZERO;
        // SAFETY: the caller's.
        unsafe { dot_part(set, DOT.min(k - l), a.add(l), b.add(l), &mut part) };
        sum += part.to_f64();
    }
    T::from_f64(sum)
}
simd_dispatch!(fn dot_part => dot_part_body(k: usize, a: *const T, b: *const T, to: &mut T));
#[inline(always)]
unsafe fn dot_part_body<T: Real, V: Lanes<T = T>>(k: usize, a: *const T, b: *const T, to: &mut T) {
    let mut sums = [V::zero(); 4];
    let mut l = 0;
    while l + 4 * V::N <= k {
        for u in 0..4 {
            let at = l + u * V::N;
            sums[u] = V::load(a.add(at)).fma(V::load(b.add(at)), sums[u]);
        }
        l += 4 * V::N;
    }
    while l < k {
        let n = V::N.min(k - l);
        sums[0] = V::load_n(a.add(l), n).fma(V::load_n(b.add(l), n), sums[0]);
        l += n;
    }
    *to = sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum();
}

simd_dispatch!(fn copy => copy_body(rows: usize, cols: usize, from: *const T, stride: isize, to: *mut T));
#[inline(always)]
unsafe fn copy_body<T: Real, V: Lanes<T = T>>(rows: usize, cols: usize, from: *const T, stride: isize, to: *mut T) {
    let width = 2 * V::N;
    for r in 0..rows {
        let (from, to) = (from.offset(r as isize * stride), to.add(r * width));
        if cols == width {
            V::load(from).store(to);
            V::load(from.add(V::N)).store(to.add(V::N));
        } else {
            std::ptr::copy_nonoverlapping(from, to, cols);
        }
    }
}

simd_dispatch!(pub(super) fn along => along_body(
    m: usize, n: usize, k: usize, a: *const T, a_row: isize, a_col: isize, b: *const T, b_row: isize,
    c: *mut T, c_row: isize, alpha: T, beta: T));

/// A few rows of the result, columns of b and c being neighbours: four rows of b at a time.
#[inline(always)]
unsafe fn along_body<T: Real, V: Lanes<T = T>>(
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
    for j0 in (0..n).step_by(STRIP) {
        let cols = STRIP.min(n - j0);
        for l0 in (0..k).step_by(4) {
            let depth = 4.min(k - l0);
            for i in 0..m {
                let c = c.offset(i as isize * c_row).add(j0);
                let mut x = [V::zero(); 4];
                for (l, x) in x.iter_mut().enumerate().take(depth) {
                    *x = V::splat(*a.offset(i as isize * a_row + (l0 + l) as isize * a_col) * alpha);
                }
                let b = b.offset(l0 as isize * b_row).add(j0);
                // The rows of b that are missing count nothing: the first one again, times 0, could be NaN.
                let mut j = 0;
                while j < cols {
                    let n = V::N.min(cols - j);
                    let whole = n == V::N;
                    let to = c.add(j);
                    let mut acc = if l0 > 0 || beta != T::ZERO {
                        let was = if whole { V::load(to) } else { V::load_n(to, n) };
                        if l0 == 0 {
                            was.mul(V::splat(beta))
                        } else {
                            was
                        }
                    } else {
                        V::zero()
                    };
                    for l in 0..depth {
                        let from = b.offset(l as isize * b_row).add(j);
                        acc = x[l].fma(if whole { V::load(from) } else { V::load_n(from, n) }, acc);
                    }
                    if whole {
                        acc.store(to);
                    } else {
                        acc.store_n(to, n);
                    }
                    j += V::N;
                }
            }
        }
    }
}
