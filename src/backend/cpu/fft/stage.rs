//! One pass of Stockham's algorithm over columns: every element is a vector, one lane for each of some transforms.

use super::super::lanes::{Lanes, Real};
use crate::base::dtype::Element;

/// Complex numbers, one in each lane.
#[derive(Clone, Copy)]
pub struct C<V> {
    pub re: V,
    pub im: V,
}
impl<V: Lanes> C<V> {
    #[inline(always)]
    pub unsafe fn add(self, b: Self) -> Self {
        C { re: self.re.add(b.re), im: self.im.add(b.im) }
    }
    #[inline(always)]
    pub unsafe fn sub(self, b: Self) -> Self {
        C { re: self.re.sub(b.re), im: self.im.sub(b.im) }
    }
    #[inline(always)]
    pub unsafe fn mul(self, w: Self) -> Self {
        let (re, im) = (self.im.mul(w.im), self.im.mul(w.re));
        C { re: self.re.mul(w.re).sub(re), im: self.re.fma(w.im, im) }
    }
    #[inline(always)]
    pub unsafe fn scaled(self, s: V) -> Self {
        C { re: self.re.mul(s), im: self.im.mul(s) }
    }
    /// self - i b
    #[inline(always)]
    unsafe fn sub_i(self, b: Self) -> Self {
        C { re: self.re.add(b.im), im: self.im.sub(b.re) }
    }
    /// self + i b
    #[inline(always)]
    unsafe fn add_i(self, b: Self) -> Self {
        C { re: self.re.sub(b.im), im: self.im.add(b.re) }
    }
    #[inline(always)]
    unsafe fn zero() -> Self {
        C { re: V::zero(), im: V::zero() }
    }
}

/// One pass: `radix` parts of `m` elements, over `s` interleaved transforms; its factors begin at `at`.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    pub radix: usize,
    pub m: usize,
    pub s: usize,
    pub at: usize,
    /// Where the odd radix's cosines and sines begin.
    pub roots: usize,
}

/// Where the elements of a pass come from; strides count numbers, `n` is how many lanes there are.
#[derive(Clone, Copy)]
pub enum Src<T> {
    /// Complex numbers in memory; `swap` exchanges their parts, which makes the transform its inverse.
    Pairs { p: *const T, stride: usize, n: usize, swap: bool },
    /// Real and imaginary parts apart, with a stride for each.
    Planes { re: *const T, im: *const T, strides: (usize, usize), n: usize },
}
/// Where they go.
#[derive(Clone, Copy)]
pub enum Dst<T> {
    Pairs {
        p: *mut T,
        stride: usize,
        n: usize,
        swap: bool,
        scale: T,
    },
    Planes {
        re: *mut T,
        im: *mut T,
        strides: (usize, usize),
        n: usize,
    },
    /// Vectors of parts one after the other, multiplied by factors that lie as [element][part][lane].
    Turned {
        re: *mut T,
        im: *mut T,
        factors: *const T,
    },
}
impl<T: Real> Src<T> {
    /// Whole vectors, of real parts and then of imaginary ones.
    pub fn own(p: *const T, n: usize, lanes: usize) -> Src<T> {
        Src::Planes { re: p, im: p.wrapping_add(n * lanes), strides: (lanes, lanes), n: lanes }
    }
    pub fn lanes(&self) -> usize {
        match *self {
            Src::Pairs { n, .. } | Src::Planes { n, .. } => n,
        }
    }
    /// The n elements as whole vectors at `to`.
    pub unsafe fn widened(&self, n: usize, lanes: usize, to: *mut T) -> Src<T> {
        let im_to = to.add(n * lanes);
        for i in 0..n {
            for l in 0..lanes {
                let (re, im) = match *self {
                    _ if l >= self.lanes() => (T::ZERO, T::ZERO),
                    Src::Pairs { p, stride, swap, .. } => {
                        let p = p.add(i * stride + 2 * l);
                        if swap {
                            (*p.add(1), *p)
                        } else {
                            (*p, *p.add(1))
                        }
                    }
                    Src::Planes { re, im, strides, .. } => (*re.add(i * strides.0 + l), *im.add(i * strides.1 + l)),
                };
                *to.add(i * lanes + l) = re;
                *im_to.add(i * lanes + l) = im;
            }
        }
        Src::own(to, n, lanes)
    }
}
impl<T: Real> Dst<T> {
    pub fn own(p: *mut T, n: usize, lanes: usize) -> Dst<T> {
        Dst::Planes { re: p, im: p.wrapping_add(n * lanes), strides: (lanes, lanes), n: lanes }
    }
    /// How many lanes there are; None where all are kept.
    pub fn lanes(&self) -> Option<usize> {
        match *self {
            Dst::Pairs { n, .. } | Dst::Planes { n, .. } => Some(n),
            Dst::Turned { .. } => None,
        }
    }
    /// Writes n elements that stand as whole vectors at `from`.
    pub unsafe fn narrowed(&self, n: usize, lanes: usize, from: *const T) {
        let im_from = from.add(n * lanes);
        for i in 0..n {
            for l in 0..self.lanes().unwrap_or(lanes) {
                let (a, b) = (*from.add(i * lanes + l), *im_from.add(i * lanes + l));
                match *self {
                    Dst::Pairs { p, stride, swap, scale, .. } => {
                        let p = p.add(i * stride + 2 * l);
                        let (a, b) = if swap { (b, a) } else { (a, b) };
                        *p = a * scale;
                        *p.add(1) = b * scale;
                    }
                    Dst::Planes { re, im, strides, .. } => {
                        *re.add(i * strides.0 + l) = a;
                        *im.add(i * strides.1 + l) = b;
                    }
                    Dst::Turned { .. } => {}
                }
            }
        }
    }
}

/// Most lanes of any instruction set.
pub const LANES: usize = 16;

#[inline(always)]
pub unsafe fn load_pairs<V: Lanes>(p: *const V::T, n: usize) -> C<V> {
    let (re, im) = if n == V::N {
        V::load(p).split(V::load(p.add(V::N)))
    } else {
        let mut t = [V::T::ZERO; 2 * LANES];
        for (i, x) in t.iter_mut().enumerate().take(2 * n) {
            *x = *p.add(i);
        }
        V::load(t.as_ptr()).split(V::load(t.as_ptr().add(V::N)))
    };
    C { re, im }
}
#[inline(always)]
pub unsafe fn store_pairs<V: Lanes>(c: C<V>, p: *mut V::T, n: usize) {
    if n == V::N {
        V::zip(c.re, c.im, p)
    } else {
        let mut t = [V::T::ZERO; 2 * LANES];
        V::zip(c.re, c.im, t.as_mut_ptr());
        for (i, x) in t.iter().enumerate().take(2 * n) {
            *p.add(i) = *x;
        }
    }
}
impl<T: Real> Src<T> {
    /// Elements `first`, `first + step`, .., of whole vectors.
    #[inline(always)]
    unsafe fn gather<V: Lanes<T = T>>(&self, first: usize, step: usize, x: &mut [C<V>]) {
        // Opaque, lest the compiler makes a loop of its own for each kind of place: six times the code.
        match *std::hint::black_box(self) {
            Src::Planes { re, im, strides, .. } => {
                for (j, x) in x.iter_mut().enumerate() {
                    let i = first + j * step;
                    *x = C { re: V::load(re.add(i * strides.0)), im: V::load(im.add(i * strides.1)) };
                }
            }
            Src::Pairs { p, stride, swap, .. } => {
                for (j, x) in x.iter_mut().enumerate() {
                    let p = p.add((first + j * step) * stride);
                    let (re, im) = V::load(p).split(V::load(p.add(V::N)));
                    *x = if swap { C { re: im, im: re } } else { C { re, im } };
                }
            }
        }
    }
}
impl<T: Real> Dst<T> {
    #[inline(always)]
    unsafe fn scatter<V: Lanes<T = T>>(&self, first: usize, step: usize, y: &[C<V>]) {
        match *std::hint::black_box(self) {
            Dst::Planes { re, im, strides, .. } => {
                for (j, y) in y.iter().enumerate() {
                    let i = first + j * step;
                    y.re.store(re.add(i * strides.0));
                    y.im.store(im.add(i * strides.1));
                }
            }
            Dst::Pairs { p, stride, swap, scale, .. } => {
                let scale = V::splat(scale);
                for (j, y) in y.iter().enumerate() {
                    let y = y.scaled(scale);
                    let y = if swap { C { re: y.im, im: y.re } } else { y };
                    y.re.zip(y.im, p.add((first + j * step) * stride));
                }
            }
            Dst::Turned { re, im, factors } => {
                for (j, y) in y.iter().enumerate() {
                    let i = (first + j * step) * V::N;
                    let w = C { re: V::load(factors.add(2 * i)), im: V::load(factors.add(2 * i + V::N)) };
                    let y = y.mul(w);
                    y.re.store(re.add(i));
                    y.im.store(im.add(i));
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn four<V: Lanes>(x: [C<V>; 4]) -> [C<V>; 4] {
    let (a, b) = (x[0].add(x[2]), x[0].sub(x[2]));
    let (c, d) = (x[1].add(x[3]), x[1].sub(x[3]));
    [a.add(c), b.sub_i(d), a.sub(c), b.add_i(d)]
}
/// The transform of `x`, whose length `r` is; `roots` are, for an odd one, cosines and sines of 2 pi j k / r for j, k from 1 to
/// r / 2.
#[inline(always)]
unsafe fn butterfly<V: Lanes>(r: usize, x: &[C<V>], y: &mut [C<V>], roots: *const V::T) {
    match r {
        2 => {
            y[0] = x[0].add(x[1]);
            y[1] = x[0].sub(x[1]);
        }
        4 => {
            let z = four([x[0], x[1], x[2], x[3]]);
            y[..4].copy_from_slice(&z);
        }
        8 => {
            let h = V::splat(V::T::from_f64(std::f64::consts::FRAC_1_SQRT_2));
            let low = V::splat(V::T::from_f64(-std::f64::consts::FRAC_1_SQRT_2));
            let even = four([x[0].add(x[4]), x[1].add(x[5]), x[2].add(x[6]), x[3].add(x[7])]);
            let b = x[1].sub(x[5]);
            let b1 = C { re: b.re.add(b.im).mul(h), im: b.im.sub(b.re).mul(h) };
            let b2 = C { re: x[2].im.sub(x[6].im), im: x[6].re.sub(x[2].re) };
            let b = x[3].sub(x[7]);
            let b3 = C { re: b.im.sub(b.re).mul(h), im: b.re.add(b.im).mul(low) };
            let odd = four([x[0].sub(x[4]), b1, b2, b3]);
            for k in 0..4 {
                y[2 * k] = even[k];
                y[2 * k + 1] = odd[k];
            }
        }
        _ => {
            let half = r / 2;
            let (mut s, mut d) = ([C::zero(); LARGEST / 2 + 1], [C::zero(); LARGEST / 2 + 1]);
            y[0] = x[0];
            for j in 1..=half {
                s[j] = x[j].add(x[r - j]);
                d[j] = x[j].sub(x[r - j]);
                y[0] = y[0].add(s[j]);
            }
            for k in 1..=half {
                let (mut a, mut b) = (x[0], C::zero());
                for j in 1..=half {
                    let at = roots.add(2 * ((k - 1) * half + j - 1));
                    let (c, n) = (V::splat(*at), V::splat(*at.add(1)));
                    a = C { re: s[j].re.fma(c, a.re), im: s[j].im.fma(c, a.im) };
                    b = C { re: d[j].re.fma(n, b.re), im: d[j].im.fma(n, b.im) };
                }
                y[k] = a.sub_i(b);
                y[r - k] = a.add_i(b);
            }
        }
    }
}

/// A pass of radix `r`; `x` and `y` have room for as many.
#[inline(always)]
unsafe fn run<V: Lanes>(
    r: usize,
    (x, y): (&mut [C<V>], &mut [C<V>]),
    st: &Stage,
    table: *const V::T,
    src: &Src<V::T>,
    dst: &Dst<V::T>,
) {
    let (m, s) = (st.m, st.s);
    let roots = table.add(st.roots);
    for p in 0..m {
        let factors = table.add(st.at + 2 * p * (r - 1));
        for q in 0..s {
            src.gather(q + s * p, s * m, x);
            butterfly(r, x, y, roots);
            if p > 0 {
                for j in 1..r {
                    let w = C { re: V::splat(*factors.add(2 * j - 2)), im: V::splat(*factors.add(2 * j - 1)) };
                    y[j] = y[j].mul(w);
                }
            }
            dst.scatter(q + s * r * p, s, y);
        }
    }
}
#[inline(always)]
unsafe fn fixed<V: Lanes, const R: usize>(st: &Stage, table: *const V::T, src: &Src<V::T>, dst: &Dst<V::T>) {
    run::<V>(R, (&mut [C::zero(); R], &mut [C::zero(); R]), st, table, src, dst)
}
#[inline(always)]
pub unsafe fn one_stage<V: Lanes>(st: &Stage, table: *const V::T, src: &Src<V::T>, dst: &Dst<V::T>) {
    match st.radix {
        2 => fixed::<V, 2>(st, table, src, dst),
        3 => fixed::<V, 3>(st, table, src, dst),
        4 => fixed::<V, 4>(st, table, src, dst),
        5 => fixed::<V, 5>(st, table, src, dst),
        8 => fixed::<V, 8>(st, table, src, dst),
        r => {
            let (mut x, mut y) = ([C::zero(); LARGEST], [C::zero(); LARGEST]);
            run::<V>(r, (&mut x[..r], &mut y[..r]), st, table, src, dst)
        }
    }
}
/// The largest radix.
const LARGEST: usize = 31;
/// The odd radices, in the order in which a length is divided; those from 7 on share their code.
pub const ODD: [usize; 10] = [31, 29, 23, 19, 17, 13, 11, 7, 5, 3];
