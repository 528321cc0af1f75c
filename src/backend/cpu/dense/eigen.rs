//! Eigenvalues of symmetric matrices and singular values, in double precision: reflections to tridiagonal or bidiagonal form,
//! then implicit QR steps, whose rotations are kept and applied to the vectors in bands of rows.

use super::matrix::{axpy, dot, rotate_on, M};
use super::qr::{apply_q, reflect};
use crate::backend::cpu::level::level;
use crate::backend::cpu::scratch::{Ptr, Scratch};
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::base::error::Result;

/// Multiplications that are worth a task.
const TASK: usize = 100_000;
/// Steps for one value before the algorithm counts as failed.
const STEPS: usize = 75;

/// A rotation of two columns: (x, y) = (c x + s y, c y - s x).
#[derive(Clone, Copy)]
struct Rotation {
    x: usize,
    y: usize,
    c: f64,
    s: f64,
}
/// Applies rotations in their order to columns of n rows.
unsafe fn rotate(n: usize, z: M<f64>, list: &mut Vec<Rotation>) {
    const BAND: usize = 128;
    let set = level();
    let bands = n.div_ceil(BAND);
    parallel_for(bands, (TASK / (BAND * list.len().max(1))).max(1), |r| {
        for band in r {
            let (from, rows) = (band * BAND, BAND.min(n - band * BAND));
            for t in list.iter() {
                // SAFETY: columns of z; bands have rows of their own.
                unsafe { rotate_on(set, rows, t.c, t.s, z.at(from, t.x), z.at(from, t.y)) }
            }
        }
    });
    list.clear();
}
/// Factor that brings the largest element near 1, where squares could leave the range otherwise; None for what is not finite.
unsafe fn scale(count: usize, a: *const f64) -> Option<f64> {
    let mut largest = 0f64;
    for i in 0..count {
        let v = (*a.add(i)).abs();
        if !v.is_finite() {
            return None;
        }
        largest = largest.max(v);
    }
    Some(if largest == 0.0 || (1e-120..1e120).contains(&largest) { 1.0 } else { largest })
}
fn zeros(n: usize) -> Result<(Scratch, *mut f64)> {
    let s = Scratch::new::<f64>(n)?;
    let p = s.ptr::<f64>();
    // SAFETY: as many elements as were asked for.
    unsafe { std::ptr::write_bytes(p, 0, n) };
    Ok((s, p))
}
unsafe fn identity(m: usize, n: usize, q: M<f64>) {
    for j in 0..n {
        for i in 0..m {
            *q.at(i, j) = if i == j { 1.0 } else { 0.0 };
        }
    }
}

/// Eigenvalues in rising order into w, and, if asked for, eigenvectors in place of a (columns contiguous), whose lower triangle
/// is read. The result is 0, or how many values were not found.
pub(super) unsafe fn eigh(n: usize, a: M<f64>, w: &mut [f64], vectors: bool) -> Result<usize> {
    if n == 0 {
        return Ok(0);
    }
    for j in 0..n {
        for i in j + 1..n {
            *a.at(j, i) = *a.at(i, j);
        }
    }
    let Some(by) = scale(n * n, a.p) else {
        w.fill(f64::NAN);
        for i in 0..n * n {
            *a.p.add(i) = f64::NAN;
        }
        return Ok(n);
    };
    if by != 1.0 {
        for i in 0..n * n {
            *a.p.add(i) /= by;
        }
    }
    let (_memory, work) = zeros(3 * n)?;
    let (e, tau, p) = (std::slice::from_raw_parts_mut(work, n), work.add(n), work.add(2 * n));
    for k in 0..n {
        w[k] = *a.at(k, k);
        let left = n - k - 1;
        if left == 0 {
            break;
        }
        let v = a.at(k + 1, k);
        let t = reflect(left, v);
        e[k] = *v;
        *tau.add(k) = t;
        if t == 0.0 {
            continue;
        }
        *v = 1.0;
        // A -= v w^T + w v^T with w = p - (p . v) tau/2 v, p = tau A v
        let rest = a.part(k + 1, k + 1);
        let (to, from) = (Ptr(p), Ptr(v));
        let grain = (TASK / left).max(1);
        parallel_for(left, grain, |r| {
            for j in r {
                // SAFETY: element j belongs to this part.
                unsafe { *to.at(j as isize) = t * dot(left, rest.at(0, j), from.at(0)) }
            }
        });
        let half = -0.5 * t * dot(left, p, v);
        axpy(left, half, v, p);
        parallel_for(left, grain, |r| {
            for j in r {
                let (x, y) = (*from.at(j as isize), *to.at(j as isize));
                // SAFETY: column j belongs to this part.
                unsafe {
                    axpy(left, -y, from.at(0), rest.at(0, j));
                    axpy(left, -x, to.at(0), rest.at(0, j));
                }
            }
        });
        *v = e[k];
    }
    let mut q = None;
    if vectors {
        let (memory, z) = zeros(n * n)?;
        let z = M::columns(z, n);
        identity(n, n, z);
        if n > 1 {
            let tau = std::slice::from_raw_parts(tau, n - 1);
            apply_q((n - 1, n - 1, n - 1), a.part(1, 0), tau, false, true, z.part(1, 1))?;
        }
        q = Some((memory, z));
    }
    let failed = tridiagonal(w, e, n, q.as_ref().map(|q| q.1));
    // Rising order.
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| w[*i].total_cmp(&w[*j]));
    let sorted: Vec<f64> = order.iter().map(|i| w[*i] * by).collect();
    w.copy_from_slice(&sorted);
    if let Some((_, z)) = q {
        for (j, from) in order.iter().enumerate() {
            std::ptr::copy_nonoverlapping(z.at(0, *from), a.at(0, j), n);
        }
    }
    Ok(failed)
}
/// QL steps with implicit shifts.
unsafe fn tridiagonal(d: &mut [f64], e: &mut [f64], n: usize, z: Option<M<f64>>) -> usize {
    let mut list = Vec::new();
    for l in 0..n {
        let mut steps = 0;
        loop {
            let mut m = l;
            while m + 1 < n {
                let size = d[m].abs() + d[m + 1].abs();
                if e[m].abs() <= f64::EPSILON * size || e[m].abs() < f64::MIN_POSITIVE {
                    break;
                }
                m += 1;
            }
            if m == l {
                break;
            }
            steps += 1;
            if steps > STEPS {
                return n - l;
            }
            let mut g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut r = g.hypot(1.0);
            g = d[m] - d[l] + e[l] / (g + r.copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut whole = true;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    whole = false;
                    break;
                }
                s = f / r;
                c = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
                if z.is_some() {
                    // z[i + 1] = s z[i] + c z[i + 1], z[i] = c z[i] - s z[i + 1]
                    list.push(Rotation { x: i + 1, y: i, c, s });
                }
            }
            if let Some(z) = z {
                rotate(n, z, &mut list);
            }
            if whole {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    0
}

/// Singular values in falling order into s, for m >= n. With vectors, the first `columns` (n or m) columns of U into u, V
/// into v; a is overwritten. The result is 0, or how many values were not found, or -1 where the input is not finite.
pub(super) unsafe fn svd(
    m: usize,
    n: usize,
    a: M<f64>,
    s: &mut [f64],
    vectors: Option<(M<f64>, usize, M<f64>)>,
) -> Result<i32> {
    if n == 0 {
        if let Some((u, columns, _)) = vectors {
            identity(m, columns, u);
        }
        return Ok(0);
    }
    let Some(by) = scale(m * n, a.p) else {
        s.fill(f64::NAN);
        return Ok(-1);
    };
    if by != 1.0 {
        for i in 0..m * n {
            *a.p.add(i) /= by;
        }
    }
    let (_memory, work) = zeros(4 * n + m)?;
    let e = std::slice::from_raw_parts_mut(work, n);
    let (left, right, row, w) = (work.add(n), work.add(2 * n), work.add(3 * n), work.add(4 * n));
    // Vectors of the right reflections, a column each.
    let (_rows, rows) = zeros(n * n)?;
    let rows = M::columns(rows, n);
    for k in 0..n {
        let x = a.at(k, k);
        let t = reflect(m - k, x);
        s[k] = *x;
        *left.add(k) = t;
        let rest = n - k - 1;
        if rest == 0 {
            break;
        }
        let (tall, from) = (m - k, Ptr(x));
        let block = a.part(k, k + 1);
        let grain = (TASK / tall).max(1);
        if t != 0.0 {
            parallel_for(rest, grain, |r| {
                for j in r {
                    // SAFETY: column j belongs to this part.
                    unsafe { super::qr::reflect_column(tall, from.at(0), t, block.at(0, j)) }
                }
            });
        }
        for j in 0..rest {
            *row.add(j) = *block.at(0, j);
        }
        let t = reflect(rest, row);
        e[k] = *row;
        *right.add(k) = t;
        *row = 1.0;
        std::ptr::copy_nonoverlapping(row, rows.at(k + 1, k), rest);
        let below = m - k - 1;
        if t != 0.0 && below > 0 {
            // A -= t (A v) v^T, in bands of rows.
            const BAND: usize = 256;
            let (block, row, w) = (a.part(k + 1, k + 1), Ptr(row), Ptr(w));
            let bands = below.div_ceil(BAND);
            parallel_for(bands, (TASK / (BAND * rest)).max(1), |r| {
                for band in r {
                    let (first, count) = (band * BAND, BAND.min(below - band * BAND));
                    // SAFETY: bands have rows of their own.
                    unsafe {
                        let w = w.at(first as isize);
                        std::ptr::write_bytes(w, 0, count);
                        for j in 0..rest {
                            axpy(count, t * *row.at(j as isize), block.at(first, j), w);
                        }
                        for j in 0..rest {
                            axpy(count, -*row.at(j as isize), w, block.at(first, j));
                        }
                    }
                }
            });
        }
    }
    if let Some((u, columns, v)) = vectors {
        identity(m, columns, u);
        apply_q((m, columns, n), a, std::slice::from_raw_parts(left, n), false, true, u)?;
        identity(n, n, v);
        if n > 1 {
            let tau = std::slice::from_raw_parts(right, n - 1);
            apply_q((n - 1, n - 1, n - 1), rows.part(1, 0), tau, false, true, v.part(1, 1))?;
        }
    }
    let found = bidiagonal(m, n, s, e, vectors.map(|(u, _, v)| (u, v)));
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| s[*j].total_cmp(&s[*i]));
    if order.iter().enumerate().any(|(i, o)| i != *o) {
        let sorted: Vec<f64> = order.iter().map(|i| s[*i]).collect();
        s.copy_from_slice(&sorted);
        if let Some((u, _, v)) = vectors {
            let (_memory, copy) = zeros(m.max(n) * n)?;
            for (z, length) in [(u, m), (v, n)] {
                std::ptr::copy_nonoverlapping(z.p, copy, length * n);
                for (j, from) in order.iter().enumerate() {
                    std::ptr::copy_nonoverlapping(copy.add(from * length), z.at(0, j), length);
                }
            }
        }
    }
    for v in s.iter_mut() {
        *v *= by;
    }
    Ok(found as i32)
}
/// Implicit QR steps on the bidiagonal matrix with diagonal s and e above it.
unsafe fn bidiagonal(m: usize, n: usize, s: &mut [f64], e: &mut [f64], vectors: Option<(M<f64>, M<f64>)>) -> usize {
    let (mut us, mut vs): (Vec<Rotation>, Vec<Rotation>) = (Vec::new(), Vec::new());
    let keep = vectors.is_some();
    let turn = |x: f64, y: f64| {
        let t = x.hypot(y);
        if t == 0.0 {
            (0.0, 1.0, 0.0)
        } else {
            (t, x / t, y / t)
        }
    };
    let (mut end, mut steps) = (n, 0);
    while end > 0 {
        // The block that ends at `end` begins where e is 0.
        let mut begin = end - 1;
        while begin > 0 {
            let size = s[begin - 1].abs() + s[begin].abs();
            if e[begin - 1].abs() <= f64::EPSILON * size || e[begin - 1].abs() < f64::MIN_POSITIVE {
                e[begin - 1] = 0.0;
                break;
            }
            begin -= 1;
        }
        if begin == end - 1 {
            if s[begin] < 0.0 || s[begin].is_sign_negative() {
                s[begin] = -s[begin];
                if let Some((_, v)) = vectors {
                    for i in 0..n {
                        *v.at(i, begin) = -*v.at(i, begin);
                    }
                }
            }
            end -= 1;
            steps = 0;
            continue;
        }
        steps += 1;
        if steps > STEPS {
            return end;
        }
        // A zero on the diagonal takes its row (or, at the end, its column) out of the block.
        let zero = (begin..end).rev().find(|&k| {
            let near = if k + 1 < end { e[k].abs() } else { 0.0 } + if k > begin { e[k - 1].abs() } else { 0.0 };
            s[k].abs() <= f64::EPSILON * f64::EPSILON * near || s[k].abs() < f64::MIN_POSITIVE
        });
        match zero {
            Some(k) if k == end - 1 => {
                s[k] = 0.0;
                let mut f = e[k - 1];
                e[k - 1] = 0.0;
                for j in (begin..k).rev() {
                    let (t, c, sn) = turn(s[j], f);
                    s[j] = t;
                    if j > begin {
                        f = -sn * e[j - 1];
                        e[j - 1] *= c;
                    }
                    if keep {
                        vs.push(Rotation { x: j, y: k, c, s: sn });
                    }
                }
            }
            Some(k) => {
                s[k] = 0.0;
                let mut f = e[k];
                e[k] = 0.0;
                for j in k + 1..end {
                    let (t, c, sn) = turn(s[j], f);
                    s[j] = t;
                    if j + 1 < end {
                        f = -sn * e[j];
                        e[j] *= c;
                    }
                    if keep {
                        us.push(Rotation { x: j, y: k, c, s: sn });
                    }
                }
            }
            None => {
                let last = end - 1;
                let size =
                    [s[last], s[last - 1], e[last - 1], s[begin], e[begin]].iter().fold(0f64, |a, b| a.max(b.abs()));
                let (sp, sm, em) = (s[last] / size, s[last - 1] / size, e[last - 1] / size);
                let (sk, ek) = (s[begin] / size, e[begin] / size);
                let b = ((sm + sp) * (sm - sp) + em * em) / 2.0;
                let c = (sp * em) * (sp * em);
                let mut shift = 0.0;
                if b != 0.0 || c != 0.0 {
                    shift = (b * b + c).sqrt().copysign(b);
                    shift = c / (b + shift);
                }
                let (mut f, mut g) = ((sk + sp) * (sk - sp) + shift, sk * ek);
                for j in begin..last {
                    let (t, c, sn) = turn(f, g);
                    if j > begin {
                        e[j - 1] = t;
                    }
                    f = c * s[j] + sn * e[j];
                    e[j] = c * e[j] - sn * s[j];
                    g = sn * s[j + 1];
                    s[j + 1] *= c;
                    if keep {
                        vs.push(Rotation { x: j, y: j + 1, c, s: sn });
                    }
                    let (t, c, sn) = turn(f, g);
                    s[j] = t;
                    f = c * e[j] + sn * s[j + 1];
                    s[j + 1] = c * s[j + 1] - sn * e[j];
                    if j + 1 < last {
                        g = sn * e[j + 1];
                        e[j + 1] *= c;
                    }
                    if keep {
                        us.push(Rotation { x: j, y: j + 1, c, s: sn });
                    }
                }
                e[last - 1] = f;
            }
        }
        if let Some((u, v)) = vectors {
            rotate(m, u, &mut us);
            rotate(n, v, &mut vs);
        }
    }
    0
}
