//! A strided matrix in memory, and what the factorisations do with its columns.

use crate::backend::cpu::gemm::update_strided;
use crate::backend::cpu::lanes::{FloatElement, Lanes, Real};
use crate::backend::cpu::level::level;
use crate::simd_dispatch;

/// What matrices are of: f32 and f64.
pub(super) trait Dense: Real + FloatElement<C = Self> {}
impl Dense for f32 {}
impl Dense for f64 {}

/// A matrix: its first element, and how far apart rows and columns lie.
pub(super) struct M<T> {
    pub p: *mut T,
    pub row: isize,
    pub col: isize,
}
impl<T> Clone for M<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for M<T> {}
// SAFETY: threads work on disjoint parts of a matrix, or read what none writes.
unsafe impl<T> Send for M<T> {}
unsafe impl<T> Sync for M<T> {}
impl<T: Real> M<T> {
    /// Columns of `rows` elements, one after the other.
    pub fn columns(p: *mut T, rows: usize) -> M<T> {
        M { p, row: 1, col: rows as isize }
    }
    #[inline(always)]
    pub fn at(self, i: usize, j: usize) -> *mut T {
        self.p.wrapping_offset(i as isize * self.row + j as isize * self.col)
    }
    /// The part that begins at row i and column j.
    #[inline(always)]
    pub fn part(self, i: usize, j: usize) -> M<T> {
        M { p: self.at(i, j), ..self }
    }
    pub fn transposed(self) -> M<T> {
        M { p: self.p, row: self.col, col: self.row }
    }
    /// Exchanges two rows of n columns.
    #[inline(always)]
    pub unsafe fn swap_rows(self, n: usize, i: usize, k: usize) {
        if i != k {
            for j in 0..n {
                std::ptr::swap(self.at(i, j), self.at(k, j));
            }
        }
    }
}

/// c += alpha * a @ b for [m, k] @ [k, n], on several threads where that is worth it; the blocks depend on sizes alone.
pub(super) unsafe fn update<T: Dense>(m: usize, n: usize, k: usize, alpha: f64, a: M<T>, b: M<T>, c: M<T>) {
    multiply(m, n, k, alpha, a, b, 1.0, c)
}
/// c = beta * c + alpha * a @ b.
pub(super) unsafe fn multiply<T: Dense>(
    m: usize,
    n: usize,
    k: usize,
    alpha: f64,
    a: M<T>,
    b: M<T>,
    beta: f64,
    c: M<T>,
) {
    let of = |x: M<T>| (x.p, x.row, x.col);
    update_strided((m, n, k), of(a), of(b), of(c), T::of(alpha), T::of(beta));
}

/// Below this length a plain loop is quicker than the way to vector code.
const SHORT: usize = 16;

/// y += alpha * x.
#[inline(always)]
pub(super) unsafe fn axpy<T: Real>(n: usize, alpha: T, x: *const T, y: *mut T) {
    if n < SHORT {
        for i in 0..n {
            *y.add(i) = *y.add(i) + alpha * *x.add(i);
        }
    } else {
        axpy_on(level(), n, alpha, x, y)
    }
}
/// The sum of x * y.
#[inline(always)]
pub(super) unsafe fn dot<T: Real>(n: usize, x: *const T, y: *const T) -> T {
    let mut sum = T::ZERO;
    if n < SHORT {
        for i in 0..n {
            sum = sum + *x.add(i) * *y.add(i);
        }
    } else {
        dot_on(level(), n, x, y, &mut sum)
    }
    sum
}
simd_dispatch!(fn axpy_on => axpy_body(n: usize, alpha: T, x: *const T, y: *mut T));
simd_dispatch!(fn dot_on => dot_body(n: usize, x: *const T, y: *const T, sum: *mut T));
simd_dispatch!(pub(super) fn rotate_on => rotate_body(n: usize, c: T, s: T, x: *mut T, y: *mut T));

#[inline(always)]
unsafe fn axpy_body<T: Real, V: Lanes<T = T>>(n: usize, alpha: T, x: *const T, y: *mut T) {
    let a = V::splat(alpha);
    let mut i = 0;
    while i + V::N <= n {
        V::load(x.add(i)).fma(a, V::load(y.add(i))).store(y.add(i));
        i += V::N;
    }
    if i < n {
        V::load_n(x.add(i), n - i).fma(a, V::load_n(y.add(i), n - i)).store_n(y.add(i), n - i);
    }
}
#[inline(always)]
unsafe fn dot_body<T: Real, V: Lanes<T = T>>(n: usize, x: *const T, y: *const T, sum: *mut T) {
    let mut s = [V::zero(); 4];
    let mut i = 0;
    while i + 4 * V::N <= n {
        for (k, s) in s.iter_mut().enumerate() {
            let at = i + k * V::N;
            *s = V::load(x.add(at)).fma(V::load(y.add(at)), *s);
        }
        i += 4 * V::N;
    }
    while i < n {
        let left = (n - i).min(V::N);
        s[0] = V::load_n(x.add(i), left).fma(V::load_n(y.add(i), left), s[0]);
        i += left;
    }
    *sum = s[0].add(s[1]).add(s[2].add(s[3])).sum();
}
/// (x, y) = (c x + s y, c y - s x).
#[inline(always)]
unsafe fn rotate_body<T: Real, V: Lanes<T = T>>(n: usize, c: T, s: T, x: *mut T, y: *mut T) {
    let (cv, sv) = (V::splat(c), V::splat(s));
    let mut i = 0;
    while i < n {
        let left = (n - i).min(V::N);
        let (a, b) = (V::load_n(x.add(i), left), V::load_n(y.add(i), left));
        a.mul(cv).add(b.mul(sv)).store_n(x.add(i), left);
        b.mul(cv).sub(a.mul(sv)).store_n(y.add(i), left);
        i += left;
    }
}
