//! L D L^T of symmetric matrices by Bunch and Kaufman's pivoting: blocks of D have one or two rows.

use super::matrix::{axpy, dot, Dense, M};

/// Factors the lower triangle in place. Pivots as LAPACK counts them: from 1, negative twice for a block of two rows.
pub(super) unsafe fn ldl<T: Dense>(n: usize, a: M<T>, pivots: &mut [i32]) -> usize {
    let alpha = T::of((1.0 + 17f64.sqrt()) / 8.0);
    let (mut info, mut k) = (0, 0);
    while k < n {
        let here = (*a.at(k, k)).abs();
        let (mut imax, mut colmax) = (k, T::ZERO);
        for i in k + 1..n {
            let v = (*a.at(i, k)).abs();
            if v > colmax {
                (imax, colmax) = (i, v);
            }
        }
        let (mut kp, mut two) = (k, false);
        if (here == T::ZERO && colmax == T::ZERO) || here.wide().is_nan() {
            if info == 0 {
                info = k + 1;
            }
            pivots[k] = k as i32 + 1;
            k += 1;
            continue;
        }
        if here < alpha * colmax {
            let mut rowmax = T::ZERO;
            for j in k..imax {
                let v = (*a.at(imax, j)).abs();
                rowmax = if v > rowmax { v } else { rowmax };
            }
            for i in imax + 1..n {
                let v = (*a.at(i, imax)).abs();
                rowmax = if v > rowmax { v } else { rowmax };
            }
            if here < alpha * colmax * (colmax / rowmax) {
                kp = imax;
                two = (*a.at(imax, imax)).abs() < alpha * rowmax;
            }
        }
        let kk = k + two as usize;
        if kp != kk {
            for i in kp + 1..n {
                std::ptr::swap(a.at(i, kk), a.at(i, kp));
            }
            for i in kk + 1..kp {
                std::ptr::swap(a.at(i, kk), a.at(kp, i));
            }
            std::ptr::swap(a.at(kk, kk), a.at(kp, kp));
            if two {
                std::ptr::swap(a.at(k + 1, k), a.at(kp, k));
            }
        }
        if !two {
            let r = T::ONE / *a.at(k, k);
            for j in k + 1..n {
                axpy(n - j, T::ZERO - r * *a.at(j, k), a.at(j, k), a.at(j, j));
            }
            for i in k + 1..n {
                *a.at(i, k) = *a.at(i, k) * r;
            }
            pivots[k] = kp as i32 + 1;
            k += 1;
            continue;
        }
        let d21 = *a.at(k + 1, k);
        let (d11, d22) = (*a.at(k + 1, k + 1) / d21, *a.at(k, k) / d21);
        let d21 = T::ONE / (d11 * d22 - T::ONE) / d21;
        for j in k + 2..n {
            let w = d21 * (d11 * *a.at(j, k) - *a.at(j, k + 1));
            let w1 = d21 * (d22 * *a.at(j, k + 1) - *a.at(j, k));
            axpy(n - j, T::ZERO - w, a.at(j, k), a.at(j, j));
            axpy(n - j, T::ZERO - w1, a.at(j, k + 1), a.at(j, j));
            *a.at(j, k) = w;
            *a.at(j, k + 1) = w1;
        }
        (pivots[k], pivots[k + 1]) = (-(kp as i32) - 1, -(kp as i32) - 1);
        k += 2;
    }
    info
}

/// Solves with what `ldl` left, in place of the k columns of b, which are contiguous.
pub(super) unsafe fn ldl_solve<T: Dense>(n: usize, columns: usize, a: M<T>, pivots: &[i32], b: M<T>) {
    let place = |p: i32| (p.unsigned_abs() as usize).clamp(1, n) - 1;
    for c in 0..columns {
        let x = b.part(0, c);
        let mut k = 0;
        while k < n {
            let p = pivots[k];
            let two = p < 0 && k + 1 < n;
            if !two {
                x.swap_rows(1, k, place(p));
                axpy(n - k - 1, T::ZERO - *x.at(k, 0), a.at(k + 1, k), x.at(k + 1, 0));
                *x.at(k, 0) = *x.at(k, 0) / *a.at(k, k);
                k += 1;
                continue;
            }
            x.swap_rows(1, k + 1, place(p));
            axpy(n - k - 2, T::ZERO - *x.at(k, 0), a.at(k + 2, k), x.at(k + 2, 0));
            axpy(n - k - 2, T::ZERO - *x.at(k + 1, 0), a.at(k + 2, k + 1), x.at(k + 2, 0));
            let d = *a.at(k + 1, k);
            let (d1, d2) = (*a.at(k, k) / d, *a.at(k + 1, k + 1) / d);
            let denominator = d1 * d2 - T::ONE;
            let (b1, b2) = (*x.at(k, 0) / d, *x.at(k + 1, 0) / d);
            *x.at(k, 0) = (d2 * b1 - b2) / denominator;
            *x.at(k + 1, 0) = (d1 * b2 - b1) / denominator;
            k += 2;
        }
        let mut k = n;
        while k > 0 {
            let at = k - 1;
            let minus = |j: usize| {
                let s = dot(n - k, a.at(k, j), x.at(k, 0));
                *x.at(j, 0) = *x.at(j, 0) - s;
            };
            minus(at);
            let two = pivots[at] < 0 && at > 0;
            if two {
                minus(at - 1);
            }
            x.swap_rows(1, at, place(pivots[at]));
            k -= 1 + two as usize;
        }
    }
}
