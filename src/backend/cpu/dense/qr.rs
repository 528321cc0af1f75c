//! QR by Householder reflections: blocks of columns, each halved down to a few that are reflected one by one.
//!
//! A block of reflections is I - V T V^T: V unit lower trapezoidal, where the factorisation leaves it, T upper triangular.

use super::matrix::{axpy, dot, multiply, update, Dense, M};
use crate::backend::cpu::scratch::Scratch;
use crate::base::error::Result;

/// Columns whose reflections are applied together.
const BLOCK: usize = 32;
/// Columns that are reflected one by one.
const COLUMNS: usize = 8;

/// The reflection that maps x (n elements, contiguous) to a multiple of the first unit vector: leaves that multiple in
/// x[0], v (v[0] = 1 is not stored) in the others. The result is tau of I - tau v v^T.
pub(super) unsafe fn reflect<T: Dense>(n: usize, x: *mut T) -> T {
    if n <= 1 {
        return T::ZERO;
    }
    let mut sum = dot(n - 1, x.add(1), x.add(1));
    let alpha = *x;
    // Squares beyond the range: the same with elements near 1.
    let total = (sum + alpha * alpha).wide();
    let (least, most) = if std::mem::size_of::<T>() == 4 { (1e-30, 1e30) } else { (1e-280, 1e280) };
    let mut scale = T::ONE;
    if !(total > least && total < most) {
        let mut largest = alpha.abs();
        for i in 1..n {
            let v = (*x.add(i)).abs();
            if v > largest {
                largest = v;
            }
        }
        let size = largest.wide();
        if size > 0.0 && size < f64::INFINITY && !total.is_nan() {
            scale = largest;
            for i in 0..n {
                *x.add(i) = *x.add(i) / scale;
            }
            sum = dot(n - 1, x.add(1), x.add(1));
        }
    }
    let alpha = *x;
    if sum == T::ZERO {
        // Nothing to reflect; what was scaled away goes back.
        *x = alpha * scale;
        for i in 1..n {
            *x.add(i) = *x.add(i) * scale;
        }
        return T::ZERO;
    }
    let beta = T::ZERO - (alpha * alpha + sum).sqrt().copysign(alpha);
    let tau = (beta - alpha) / beta;
    let d = alpha - beta;
    for i in 1..n {
        *x.add(i) = *x.add(i) / d;
    }
    *x = beta * scale;
    tau
}

/// Work space of `apply`: two products of k rows and n columns, T and the triangle that V stands in for.
struct Work<T> {
    _memory: Scratch,
    w: M<T>,
    w2: M<T>,
    t: M<T>,
    kept: M<T>,
}
impl<T: Dense> Work<T> {
    fn new(n: usize) -> Result<Work<T>> {
        let memory = Scratch::new::<T>(2 * BLOCK * n + 2 * BLOCK * BLOCK)?;
        let p = memory.ptr::<T>();
        let at = |k: usize| M::columns(p.wrapping_add(k), BLOCK);
        let (w, w2) = (at(0), at(BLOCK * n));
        Ok(Work { w, w2, t: at(2 * BLOCK * n), kept: at(2 * BLOCK * n + BLOCK * BLOCK), _memory: memory })
    }
}

/// Applies k reflections, whose vectors stand in v (m rows), to c (m rows, n columns): H1 H2 .. Hk, or its transpose.
unsafe fn apply<T: Dense>(
    work: &Work<T>,
    (m, n, k): (usize, usize, usize),
    v: M<T>,
    tau: &[T],
    transposed: bool,
    c: M<T>,
) {
    if n == 0 || k == 0 {
        return;
    }
    // V in full, where R stands above it.
    for j in 0..k {
        for i in 0..=j {
            *work.kept.at(i, j) = *v.at(i, j);
            *v.at(i, j) = if i == j { T::ONE } else { T::ZERO };
        }
    }
    // T[..j, j] = -tau_j T[..j, ..j] (V^T v_j)
    let t = work.t;
    multiply(k, k, m, 1.0, v.transposed(), v, 0.0, t);
    for j in 0..k {
        for i in 0..j {
            let mut sum = T::ZERO;
            for l in i..j {
                sum = sum + *t.at(i, l) * *t.at(l, j);
            }
            *t.at(i, j) = T::ZERO - sum * tau[j];
        }
        *t.at(j, j) = tau[j];
        for i in j + 1..k {
            *t.at(i, j) = T::ZERO;
        }
    }
    multiply(k, n, m, 1.0, v.transposed(), c, 0.0, work.w);
    let t = if transposed { t.transposed() } else { t };
    multiply(k, n, k, 1.0, t, work.w, 0.0, work.w2);
    update(m, n, k, -1.0, v, work.w2, c);
    for j in 0..k {
        for i in 0..=j {
            *v.at(i, j) = *work.kept.at(i, j);
        }
    }
}

/// A = Q R in place of A, whose columns are contiguous: R in the upper triangle, the reflections' vectors below.
pub(super) unsafe fn qr<T: Dense>(m: usize, n: usize, a: M<T>, tau: &mut [T]) -> Result<()> {
    let k = m.min(n);
    let work = Work::new(if k <= COLUMNS { 0 } else { n })?;
    let mut j = 0;
    while j < k {
        let b = BLOCK.min(k - j);
        let part = a.part(j, j);
        panel(&work, m - j, b, part, &mut tau[j..j + b]);
        if j + b < n {
            if k <= COLUMNS {
                one_by_one(m - j, b, n - j - b, part, &tau[j..j + b]);
            } else {
                apply(&work, (m - j, n - j - b, b), part, &tau[j..j + b], true, part.part(0, b));
            }
        }
        j += b;
    }
    Ok(())
}
unsafe fn panel<T: Dense>(work: &Work<T>, m: usize, n: usize, a: M<T>, tau: &mut [T]) {
    if n <= COLUMNS {
        for j in 0..n {
            tau[j] = reflect(m - j, a.at(j, j));
            one_by_one(m - j, 1, n - j - 1, a.part(j, j), &tau[j..=j]);
        }
        return;
    }
    let h = n / 2;
    panel(work, m, h, a, &mut tau[..h]);
    apply(work, (m, n - h, h), a, &tau[..h], true, a.part(0, h));
    panel(work, m - h, n - h, a.part(h, h), &mut tau[h..]);
}
/// Applies k reflections in their order to the n columns after them.
unsafe fn one_by_one<T: Dense>(m: usize, k: usize, n: usize, a: M<T>, tau: &[T]) {
    for c in k..k + n {
        for j in 0..k {
            reflect_column(m - j, a.at(j, j), tau[j], a.at(j, c));
        }
    }
}
/// y -= tau v (v . y), where v[0] is 1 whatever stands there.
pub(super) unsafe fn reflect_column<T: Dense>(n: usize, v: *const T, tau: T, y: *mut T) {
    if tau == T::ZERO {
        return;
    }
    let s = tau * (*y + dot(n - 1, v.add(1), y.add(1)));
    *y = *y - s;
    axpy(n - 1, T::ZERO - s, v.add(1), y.add(1));
}

/// C = Q C, or Q^T C, for the k reflections that `qr` left in v (m rows). `identity` says that C is (the beginning of) the identity, so
/// that the first columns have nothing for the later reflections.
pub(super) unsafe fn apply_q<T: Dense>(
    (m, n, k): (usize, usize, usize),
    v: M<T>,
    tau: &[T],
    transposed: bool,
    identity: bool,
    c: M<T>,
) -> Result<()> {
    let blocks = k.div_ceil(BLOCK);
    let work = Work::new(if k <= COLUMNS { 0 } else { n })?;
    for i in 0..blocks {
        let j = BLOCK * if transposed { i } else { blocks - 1 - i };
        let b = BLOCK.min(k - j);
        let first = if identity { j.min(n) } else { 0 };
        let (part, to) = (v.part(j, j), c.part(j, first));
        if k > COLUMNS {
            apply(&work, (m - j, n - first, b), part, &tau[j..j + b], transposed, to);
            continue;
        }
        for column in 0..n - first {
            for l in 0..b {
                let l = if transposed { l } else { b - 1 - l };
                let y = to.part(l, column);
                reflect_strided(m - j - l, part.at(l, l), tau[j + l], y);
            }
        }
    }
    Ok(())
}
unsafe fn reflect_strided<T: Dense>(n: usize, v: *const T, tau: T, y: M<T>) {
    if y.row == 1 {
        return reflect_column(n, v, tau, y.p);
    }
    let mut s = *y.p;
    for i in 1..n {
        s = s + *v.add(i) * *y.at(i, 0);
    }
    s = s * tau;
    *y.p = *y.p - s;
    for i in 1..n {
        *y.at(i, 0) = *y.at(i, 0) - s * *v.add(i);
    }
}
