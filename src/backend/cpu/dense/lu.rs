//! Triangular systems, LU with partial pivoting, Cholesky: recursive, so that nearly all of the work is products.

use super::matrix::{axpy, update, Dense, M};

/// Rows of a triangle that is solved element by element.
const TRIANGLE: usize = 16;
/// Columns that are eliminated one by one.
const COLUMNS: usize = 8;

/// T X = B for a lower triangle of n rows and k right sides, in place of B.
pub(super) unsafe fn lower<T: Dense>(unit: bool, n: usize, k: usize, t: M<T>, b: M<T>) {
    if n > TRIANGLE {
        let h = n / 2;
        lower(unit, h, k, t, b);
        update(n - h, k, h, -1.0, t.part(h, 0), b, b.part(h, 0));
        return lower(unit, n - h, k, t.part(h, h), b.part(h, 0));
    }
    if b.col == 1 && k > 1 {
        for i in 0..n {
            for j in 0..i {
                axpy(k, -*t.at(i, j), b.at(j, 0), b.at(i, 0));
            }
            divide_row(unit, k, t, b, i);
        }
        return;
    }
    for c in 0..k {
        for j in 0..n {
            let x = b.at(j, c);
            if !unit {
                *x = *x / *t.at(j, j);
            }
            let v = *x;
            for i in j + 1..n {
                let y = b.at(i, c);
                *y = *y - v * *t.at(i, j);
            }
        }
    }
}
/// The same for an upper triangle.
pub(super) unsafe fn upper<T: Dense>(unit: bool, n: usize, k: usize, t: M<T>, b: M<T>) {
    if n > TRIANGLE {
        let h = n / 2;
        upper(unit, n - h, k, t.part(h, h), b.part(h, 0));
        update(h, k, n - h, -1.0, t.part(0, h), b.part(h, 0), b);
        return upper(unit, h, k, t, b);
    }
    if b.col == 1 && k > 1 {
        for i in (0..n).rev() {
            for j in i + 1..n {
                axpy(k, -*t.at(i, j), b.at(j, 0), b.at(i, 0));
            }
            divide_row(unit, k, t, b, i);
        }
        return;
    }
    for c in 0..k {
        for j in (0..n).rev() {
            let x = b.at(j, c);
            if !unit {
                *x = *x / *t.at(j, j);
            }
            let v = *x;
            for i in 0..j {
                let y = b.at(i, c);
                *y = *y - v * *t.at(i, j);
            }
        }
    }
}
unsafe fn divide_row<T: Dense>(unit: bool, k: usize, t: M<T>, b: M<T>, i: usize) {
    if !unit {
        let d = *t.at(i, i);
        for c in 0..k {
            let x = b.at(i, c);
            *x = *x / d;
        }
    }
}

/// P A = L U in place of A, whose columns are contiguous. `pivots` get the row that each was exchanged with, from 0. The
/// result is the first pivot that is 0, from 1, or 0.
pub(super) unsafe fn lu<T: Dense>(m: usize, n: usize, a: M<T>, pivots: &mut [i32]) -> usize {
    let k = m.min(n);
    if k <= COLUMNS {
        return eliminate(m, n, a, pivots);
    }
    let h = k / 2;
    let (first, second) = pivots.split_at_mut(h);
    let left = lu(m, h, a, first);
    let right = a.part(0, h);
    exchange(n - h, right, first);
    lower(true, h, n - h, a, right);
    update(m - h, n - h, h, -1.0, a.part(h, 0), right, a.part(h, h));
    let rest = lu(m - h, n - h, a.part(h, h), second);
    exchange(h, a.part(h, 0), second);
    for p in second {
        *p += h as i32;
    }
    match (left, rest) {
        (0, 0) => 0,
        (0, r) => r + h,
        (l, _) => l,
    }
}
/// Exchanges rows of n columns as the pivots say, in order.
pub(super) unsafe fn exchange<T: Dense>(n: usize, a: M<T>, pivots: &[i32]) {
    for j in 0..n {
        let column = a.part(0, j);
        for (i, p) in pivots.iter().enumerate() {
            std::ptr::swap(column.at(i, 0), column.at(*p as usize, 0));
        }
    }
}
/// Undoes `exchange`.
pub(super) unsafe fn exchange_back<T: Dense>(n: usize, a: M<T>, pivots: &[i32]) {
    for j in 0..n {
        let column = a.part(0, j);
        for (i, p) in pivots.iter().enumerate().rev() {
            std::ptr::swap(column.at(i, 0), column.at(*p as usize, 0));
        }
    }
}
unsafe fn eliminate<T: Dense>(m: usize, n: usize, a: M<T>, pivots: &mut [i32]) -> usize {
    let mut zero = 0;
    for j in 0..m.min(n) {
        let column = a.at(0, j);
        let (mut best, mut most) = (j, (*column.add(j)).abs());
        for i in j + 1..m {
            let v = (*column.add(i)).abs();
            if v > most {
                (best, most) = (i, v);
            }
        }
        pivots[j] = best as i32;
        let pivot = *column.add(best);
        if pivot == T::ZERO {
            if zero == 0 {
                zero = j + 1;
            }
            // The column below is 0 too: nothing to eliminate.
            continue;
        }
        a.swap_rows(n, j, best);
        for i in j + 1..m {
            *column.add(i) = *column.add(i) / pivot;
        }
        for c in j + 1..n {
            let to = a.at(0, c);
            axpy(m - j - 1, -*to.add(j), column.add(j + 1), to.add(j + 1));
        }
    }
    zero
}

/// A = L L^T in place of the lower triangle of A, whose columns are contiguous; what lies above is overwritten. The result is
/// the order of the first leading minor that is not positive, or 0.
pub(super) unsafe fn cholesky<T: Dense>(n: usize, a: M<T>) -> usize {
    if n > TRIANGLE {
        let h = n / 2;
        let (below, rest) = (a.part(h, 0), a.part(h, h));
        match cholesky(h, a) {
            0 => {}
            k => return k,
        }
        lower(false, h, n - h, a, below.transposed());
        subtract_square(n - h, h, below, rest);
        return match cholesky(n - h, rest) {
            0 => 0,
            k => h + k,
        };
    }
    for j in 0..n {
        for k in 0..j {
            axpy(n - j, -*a.at(j, k), a.at(j, k), a.at(j, j));
        }
        let d = *a.at(j, j);
        if !(d > T::ZERO) {
            return j + 1;
        }
        let d = d.sqrt();
        *a.at(j, j) = d;
        for i in j + 1..n {
            *a.at(i, j) = *a.at(i, j) / d;
        }
    }
    0
}
/// The lower triangle of C -= A A^T.
unsafe fn subtract_square<T: Dense>(n: usize, k: usize, a: M<T>, c: M<T>) {
    if n <= 128 {
        return update(n, n, k, -1.0, a, a.transposed(), c);
    }
    let h = n / 2;
    subtract_square(h, k, a, c);
    update(n - h, h, k, -1.0, a.part(h, 0), a.transposed(), c.part(h, 0));
    subtract_square(n - h, k, a.part(h, 0), c.part(h, h));
}
