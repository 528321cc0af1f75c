//! Transforms of many lines: columns a vector at a time, rows as matrices.

use super::super::lanes::{vector_shape, Lanes, Real};
use super::super::level::{level, Level};
use super::super::scratch::{Ptr, Scratch};
use super::super::threads::parallel::try_parallel_for;
use super::super::transpose::transpose;
use super::plan::{Columns, Halves, Line, Row};
use super::stage::{load_pairs, one_stage, store_pairs, Dst, Src, C};
use crate::base::error::Result;

/// Elements (times passes) that are worth a task.
pub const TASK: usize = 16 << 10;
/// From here on a row is divided among threads.
pub const LARGE: usize = 32 << 10;

pub fn lanes<T: Real>() -> usize {
    vector_shape::<T>(level()).0
}

crate::simd_dispatch!(pub fn pass => pass_body(plan: &Columns<T>, src: Src<T>, dst: Dst<T>, work: *mut T));
/// All passes of a plan; `work` has room for 4 n vectors.
#[inline(always)]
unsafe fn pass_body<T: Real, V: Lanes<T = T>>(plan: &Columns<T>, src: Src<T>, dst: Dst<T>, work: *mut T) {
    let size = plan.n * V::N;
    let (mut here, mut there) = (work, work.add(2 * size));
    let mut from = if src.lanes() < V::N { src.widened(plan.n, V::N, there) } else { src };
    let whole = dst.lanes().is_none_or(|n| n == V::N);
    let last = plan.stages.len() - 1;
    for (i, stage) in plan.stages.iter().enumerate() {
        let to = if i == last && whole { dst } else { Dst::own(here, plan.n, V::N) };
        one_stage::<V>(stage, plan.table.as_ptr(), &from, &to);
        from = Src::own(here, plan.n, V::N);
        std::mem::swap(&mut here, &mut there);
    }
    if !whole {
        dst.narrowed(plan.n, V::N, there);
    }
}

crate::simd_dispatch!(pub fn untangle => untangle_body(m: usize, z: *const T, out: *mut T, cos: *const T, sin: *const T, scale: T));
/// The first m + 1 of the transform of 2 m real numbers, of that of the m complex ones in whose place they lie.
#[inline(always)]
unsafe fn untangle_body<T: Real, V: Lanes<T = T>>(
    m: usize,
    z: *const T,
    out: *mut T,
    cos: *const T,
    sin: *const T,
    scale: T,
) {
    let (re, im) = (*z, *z.add(1));
    let put = |k: usize, re: T, im: T| {
        *out.add(2 * k) = re * scale;
        *out.add(2 * k + 1) = im * scale;
    };
    put(0, re + im, T::ZERO);
    put(m, re - im, T::ZERO);
    let half = T::from_f64(0.5) * scale;
    let mut k = 1;
    while k + V::N <= m {
        let a = load_pairs::<V>(z.add(2 * k), V::N);
        let b = load_pairs::<V>(z.add(2 * (m + 1 - k - V::N)), V::N);
        let b = C { re: b.re.reversed(), im: b.im.reversed() };
        let w = C { re: V::load(cos.add(k)), im: V::load(sin.add(k)) };
        store_pairs(one_untangled(a, b, w, V::splat(half)), out.add(2 * k), V::N);
        k += V::N;
    }
    while k < m {
        let (ar, ai) = (*z.add(2 * k), *z.add(2 * k + 1));
        let (br, bi) = (*z.add(2 * (m - k)), *z.add(2 * (m - k) + 1));
        let (er, ei, or, oi) = (ar + br, ai - bi, ai + bi, br - ar);
        let (c, s) = (*cos.add(k), *sin.add(k));
        *out.add(2 * k) = (er + (or * c + oi * s)) * half;
        *out.add(2 * k + 1) = (ei + (oi * c - or * s)) * half;
        k += 1;
    }
}
/// a is element k and b element m - k, w the cosine and sine.
#[inline(always)]
unsafe fn one_untangled<V: Lanes>(a: C<V>, b: C<V>, w: C<V>, half: V) -> C<V> {
    let even = C { re: a.re.add(b.re), im: a.im.sub(b.im) };
    // (a - conj b) / i
    let odd = C { re: a.im.add(b.im), im: b.re.sub(a.re) };
    let re = even.re.add(odd.re.fma(w.re, odd.im.mul(w.im)));
    let im = even.im.add(odd.im.mul(w.re).sub(odd.re.mul(w.im)));
    C { re: re.mul(half), im: im.mul(half) }
}
/// The other way: a is element k and b element m - k of the half spectrum.
#[inline(always)]
unsafe fn one_tangled<V: Lanes>(a: C<V>, b: C<V>, w: C<V>) -> C<V> {
    let even = C { re: a.re.add(b.re), im: a.im.sub(b.im) };
    let d = C { re: a.re.sub(b.re), im: a.im.add(b.im) };
    // i e^(2 pi i k / n) d
    let odd = C { re: d.re.mul(w.re).sub(d.im.mul(w.im)), im: d.re.fma(w.im, d.im.mul(w.re)) };
    C { re: even.re.sub(odd.im), im: even.im.add(odd.re) }
}

crate::simd_dispatch!(pub fn tangle => tangle_body(m: usize, x: *const T, z: *mut T, cos: *const T, sin: *const T));
/// The m complex numbers whose inverse transform is the 2 m real ones of the half spectrum `x`.
#[inline(always)]
unsafe fn tangle_body<T: Real, V: Lanes<T = T>>(m: usize, x: *const T, z: *mut T, cos: *const T, sin: *const T) {
    // The imaginary parts of the first and the last count as 0.
    let (first, last) = (*x, *x.add(2 * m));
    *z = first + last;
    *z.add(1) = first - last;
    let mut k = 1;
    while k + V::N <= m {
        let a = load_pairs::<V>(x.add(2 * k), V::N);
        let b = load_pairs::<V>(x.add(2 * (m + 1 - k - V::N)), V::N);
        let b = C { re: b.re.reversed(), im: b.im.reversed() };
        let w = C { re: V::load(cos.add(k)), im: V::load(sin.add(k)) };
        store_pairs(one_tangled(a, b, w), z.add(2 * k), V::N);
        k += V::N;
    }
    while k < m {
        let (ar, ai) = (*x.add(2 * k), *x.add(2 * k + 1));
        let (br, bi) = (*x.add(2 * (m - k)), *x.add(2 * (m - k) + 1));
        let (dr, di) = (ar - br, ai + bi);
        let (c, s) = (*cos.add(k), *sin.add(k));
        let (or, oi) = (dr * c - di * s, dr * s + di * c);
        *z.add(2 * k) = ar + br - oi;
        *z.add(2 * k + 1) = ai - bi + or;
        k += 1;
    }
}

crate::simd_dispatch!(pub fn spread => spread_body(m: usize, z: *const T, out: *mut T, stride: usize, n: usize, w: Option<&Halves<T>>, scale: T));
/// `untangle` of columns: `z` has m vectors of real parts and as many of imaginary ones. Without `w` the first elements of z
/// as they are, m counting those of z.
#[inline(always)]
unsafe fn spread_body<T: Real, V: Lanes<T = T>>(
    m: usize,
    z: *const T,
    out: *mut T,
    stride: usize,
    n: usize,
    w: Option<&Halves<T>>,
    scale: T,
) {
    let at = |k: usize| C { re: V::load(z.add(k * V::N)), im: V::load(z.add((m + k) * V::N)) };
    let whole = V::splat(scale);
    let Some(w) = w else {
        for k in 0..=m / 2 {
            store_pairs(at(k).scaled(whole), out.add(k * stride), n);
        }
        return;
    };
    let half = V::splat(T::from_f64(0.5) * scale);
    let first = at(0);
    store_pairs(C { re: first.re.add(first.im).mul(whole), im: V::zero() }, out, n);
    store_pairs(C { re: first.re.sub(first.im).mul(whole), im: V::zero() }, out.add(m * stride), n);
    for k in 1..m {
        let w = C { re: V::splat(w.cos[k]), im: V::splat(w.sin[k]) };
        store_pairs(one_untangled(at(k), at(m - k), w, half), out.add(k * stride), n);
    }
}
crate::simd_dispatch!(pub fn gathered => gathered_body(m: usize, x: *const T, stride: usize, n: usize, z: *mut T, w: Option<&Halves<T>>, scale: T));
/// `tangle` of columns, into m vectors of real parts and as many of imaginary ones. Without `w` the whole spectrum of the
/// m real numbers.
#[inline(always)]
unsafe fn gathered_body<T: Real, V: Lanes<T = T>>(
    m: usize,
    x: *const T,
    stride: usize,
    n: usize,
    z: *mut T,
    w: Option<&Halves<T>>,
    scale: T,
) {
    let scale = V::splat(scale);
    let at = |k: usize| load_pairs::<V>(x.add(k * stride), n).scaled(scale);
    let put = |k: usize, c: C<V>| {
        c.re.store(z.add(k * V::N));
        c.im.store(z.add((m + k) * V::N));
    };
    let first = at(0).re;
    let Some(w) = w else {
        put(0, C { re: first, im: V::zero() });
        for k in 1..=m / 2 {
            let c = at(k);
            put(k, c);
            put(m - k, C { re: c.re, im: V::zero().sub(c.im) });
        }
        return;
    };
    let last = at(m).re;
    put(0, C { re: first.add(last), im: first.sub(last) });
    for k in 1..m {
        let w = C { re: V::splat(w.cos[k]), im: V::splat(w.sin[k]) };
        put(k, one_tangled(at(k), at(m - k), w));
    }
}

crate::simd_dispatch!(fn times => times_body(n: usize, x: *const T, w: *const T, out: *mut T, swap: (bool, bool), scale: T));
/// out = x w scale of complex numbers; parts are exchanged on the way in and on the way out.
#[inline(always)]
unsafe fn times_body<T: Real, V: Lanes<T = T>>(
    n: usize,
    x: *const T,
    w: *const T,
    out: *mut T,
    swap: (bool, bool),
    scale: T,
) {
    let turn = |c: C<V>, swap: bool| if swap { C { re: c.im, im: c.re } } else { c };
    let scale = V::splat(scale);
    let mut i = 0;
    while i < n {
        let some = (n - i).min(V::N);
        let x = turn(load_pairs::<V>(x.add(2 * i), some), swap.0);
        let y = x.mul(load_pairs(w.add(2 * i), some)).scaled(scale);
        store_pairs(turn(y, swap.1), out.add(2 * i), some);
        i += some;
    }
}

/// The transform (or, unscaled, its inverse) of one line of complex numbers, times `scale`; `x` may be `out`.
///
/// # Safety
/// Both have 2 n numbers.
pub unsafe fn row<T: Real>(plan: &Line<T>, x: *const T, out: *mut T, inverse: bool, scale: T) -> Result<()> {
    let set = level();
    match &plan.row {
        Row::Split { a, b, factors } => split_row(set, a, b, factors, x, out, inverse, scale),
        Row::Chirp { inner, chirp, spectrum } => {
            let (n, m) = (plan.n, inner.n);
            let work = Scratch::new::<T>(2 * m)?;
            let z = work.ptr::<T>();
            times(set, n, x, chirp.as_ptr(), z, (inverse, false), T::ONE);
            std::slice::from_raw_parts_mut(z.add(2 * n), 2 * (m - n)).fill(T::ZERO);
            row(inner, z, z, false, T::ONE)?;
            times(set, m, z, spectrum.as_ptr(), z, (false, false), T::ONE);
            row(inner, z, z, true, T::ONE)?;
            times(set, n, z, chirp.as_ptr(), out, (false, inverse), scale);
            Ok(())
        }
    }
}
unsafe fn split_row<T: Real>(
    set: Level,
    a: &Columns<T>,
    b: &Columns<T>,
    factors: &[T],
    x: *const T,
    out: *mut T,
    inverse: bool,
    scale: T,
) -> Result<()> {
    let (rows, columns, v) = (a.n, b.n, lanes::<T>());
    let n = rows * columns;
    let planes = Scratch::new::<T>(2 * n)?;
    let (re, im) = (Ptr(planes.ptr::<T>()), Ptr(planes.ptr::<T>().add(n)));
    let (x, out) = (Ptr(x as *mut T), Ptr(out));
    let grain = |size: usize| if n < LARGE { usize::MAX } else { (TASK / (size * v)).max(1) };
    try_parallel_for(columns.div_ceil(v), grain(rows), |range| {
        let work = Scratch::new::<T>(6 * rows * v)?;
        let own = work.ptr::<T>().add(4 * rows * v);
        for block in range {
            let first = block * v;
            let some = (columns - first).min(v);
            let src = Src::Pairs { p: x.at(2 * first as isize), stride: 2 * columns, n: some, swap: inverse };
            let factors = factors.as_ptr().add(block * rows * 2 * v);
            let dst = Dst::Turned { re: own, im: own.add(rows * v), factors };
            pass(set, a, src, dst, work.ptr());
            let size = size_of::<T>();
            for (part, to) in [re, im].into_iter().enumerate() {
                let to = to.at((first * rows) as isize).cast::<u8>();
                let from = own.add(part * rows * v).cast::<u8>();
                transpose(size, some, rows, to, (rows * size) as isize, from, (v * size) as isize);
            }
        }
        Ok(())
    })?;
    try_parallel_for(rows.div_ceil(v), grain(columns), |range| {
        let work = Scratch::new::<T>(4 * columns * v)?;
        for block in range {
            let first = block * v;
            let some = (rows - first).min(v);
            let at = first as isize;
            let src = Src::Planes { re: re.at(at), im: im.at(at), strides: (rows, rows), n: some };
            let dst = Dst::Pairs { p: out.at(2 * at), stride: 2 * rows, n: some, swap: inverse, scale };
            pass(set, b, src, dst, work.ptr());
        }
        Ok(())
    })
}
