//! Factorisations of dense matrices and what is solved with them, for f32 and f64 on the CPU.
//!
//! Our own, blocked and recursive over the matrix products that are there anyway; `docs/ARCHITECTURE.md` says why. A matrix is
//! factored by one thread, whose products may use others; a batch of them by several, one matrix each. Blocks depend on sizes
//! alone, so results do not depend on the number of threads.
//!
//! Every matrix lies in column order, matrices of a batch one after the other: `[batch, columns, rows]` in row-major terms.

mod eigen;
mod ldl;
mod lu;
mod matrix;
mod qr;
#[cfg(feature = "tests")]
pub(crate) mod tests;

use super::scratch::{ptr, Ptr};
use super::threads::parallel::try_parallel_for;
use crate::backend::View;
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, Result};
use crate::{bail, ensure};
use matrix::{Dense, M};

/// Multiplications that are worth a task.
const TASK: usize = 20_000;

/// A batch of `rows` x `columns` matrices (or, with `columns` 1, of vectors) of a view.
struct Batch<T> {
    p: Ptr<T>,
    size: usize,
}
impl<T: Element> Batch<T> {
    fn of(v: &View, batch: usize, columns: usize, rows: usize) -> Result<Batch<T>> {
        let n: usize = v.layout.shape.iter().product::<i64>() as usize;
        let fits = columns.checked_mul(rows).and_then(|s| s.checked_mul(batch)) == Some(n);
        ensure!(
            fits && v.dtype == T::DTYPE && v.layout.is_contiguous(),
            Internal,
            "linalg: expected {batch} x {columns} x {rows} contiguous elements of {}, got {:?} of {}",
            T::DTYPE,
            v.layout.shape,
            v.dtype
        );
        Ok(Batch { p: Ptr(ptr(v)?), size: columns * rows })
    }
    fn at(&self, i: usize) -> *mut T {
        self.p.at((i * self.size) as isize)
    }
    /// SAFETY: matrix i belongs to the caller alone while the slice is used.
    #[allow(clippy::mut_from_ref)]
    unsafe fn slice(&self, i: usize) -> &mut [T] {
        std::slice::from_raw_parts_mut(self.at(i), self.size)
    }
}
/// Batch, columns and rows of a view of matrices in column order.
fn sizes(v: &View) -> Result<(usize, usize, usize)> {
    match v.layout.shape[..] {
        [b, n, m] => Ok((b as usize, n as usize, m as usize)),
        _ => bail!(Internal, "linalg: expected a batch of matrices, got {:?}", v.layout.shape),
    }
}
/// `f` of each matrix of a batch; `work` is what one costs.
fn each(batch: usize, work: usize, f: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    if batch == 1 {
        return f(0);
    }
    try_parallel_for(batch, (TASK / (work + 64)).max(1), |mut r| r.try_for_each(&f))
}
macro_rules! real {
    ($what:literal, $dtype:expr, $f:ident($($arg:expr),*)) => {
        match $dtype {
            DType::F32 => $f::<f32>($($arg),*),
            DType::F64 => $f::<f64>($($arg),*),
            other => Err(Error::unsupported($what, other.scalar_name(), "cpu")),
        }
    };
}

/// P A = L U in place. `pivots` ([batch, min(m, n)], int32) count from 1; `info` ([batch], int32) is the first pivot that is 0, or 0.
pub fn lu(a: View, pivots: View, info: View) -> Result<()> {
    real!("lu", a.dtype, lu_of(a, pivots, info))
}
fn lu_of<T: Dense>(a: View, pivots: View, info: View) -> Result<()> {
    let (batch, n, m) = sizes(&a)?;
    let k = m.min(n);
    let a = Batch::<T>::of(&a, batch, n, m)?;
    let (pivots, info) = (Batch::<i32>::of(&pivots, batch, 1, k)?, Batch::<i32>::of(&info, batch, 1, 1)?);
    each(batch, m * n * k, |i| {
        // SAFETY: matrix i is this part's.
        unsafe {
            let p = pivots.slice(i);
            *info.at(i) = lu::lu(m, n, M::columns(a.at(i), m), p) as i32;
            p.iter_mut().for_each(|p| *p += 1);
        }
        Ok(())
    })
}
/// Solves A X = B (or A^T X = B) in place of B by what `lu` left.
pub fn lu_solve(a: View, pivots: View, b: View, transposed: bool) -> Result<()> {
    real!("lu_solve", a.dtype, lu_solve_of(a, pivots, b, transposed))
}
fn lu_solve_of<T: Dense>(a: View, pivots: View, b: View, transposed: bool) -> Result<()> {
    let (batch, n, _) = sizes(&a)?;
    let k = sizes(&b)?.1;
    let a = Batch::<T>::of(&a, batch, n, n)?;
    let b = Batch::<T>::of(&b, batch, k, n)?;
    let pivots = Batch::<i32>::of(&pivots, batch, 1, n)?;
    each(batch, n * n * k, |i| {
        // SAFETY: matrix i is this part's; pivots are read, and kept within the rows.
        unsafe {
            let (a, b) = (M::columns(a.at(i), n), M::columns(b.at(i), n));
            let p: smallvec::SmallVec<[i32; 32]> =
                pivots.slice(i).iter().map(|p| (*p).clamp(1, n as i32) - 1).collect();
            if transposed {
                lu::lower(false, n, k, a.transposed(), b);
                lu::upper(true, n, k, a.transposed(), b);
                lu::exchange_back(k, b, &p);
            } else {
                lu::exchange(k, b, &p);
                lu::lower(true, n, k, a, b);
                lu::upper(false, n, k, a, b);
            }
        }
        Ok(())
    })
}
/// Solves T X = B in place of B for a triangle T of the matrices `a`, or of their transposes.
pub fn triangular(a: View, b: View, upper: bool, transposed: bool, unit: bool) -> Result<()> {
    real!("triangular_solve", a.dtype, triangular_of(a, b, upper, transposed, unit))
}
fn triangular_of<T: Dense>(a: View, b: View, upper: bool, transposed: bool, unit: bool) -> Result<()> {
    let (batch, n, _) = sizes(&a)?;
    let k = sizes(&b)?.1;
    let (a, b) = (Batch::<T>::of(&a, batch, n, n)?, Batch::<T>::of(&b, batch, k, n)?);
    each(batch, n * n * k, |i| {
        let a = M::columns(a.at(i), n);
        let a = if transposed { a.transposed() } else { a };
        // SAFETY: matrix i is this part's.
        unsafe {
            let b = M::columns(b.at(i), n);
            if upper {
                lu::upper(unit, n, k, a, b)
            } else {
                lu::lower(unit, n, k, a, b)
            }
        }
        Ok(())
    })
}
/// A = L L^T in place of the lower triangles; above them are zeros then. `info` is the order of the leading minor that is not positive.
pub fn cholesky(a: View, info: View) -> Result<()> {
    real!("cholesky", a.dtype, cholesky_of(a, info))
}
fn cholesky_of<T: Dense>(a: View, info: View) -> Result<()> {
    let (batch, n, _) = sizes(&a)?;
    let (a, info) = (Batch::<T>::of(&a, batch, n, n)?, Batch::<i32>::of(&info, batch, 1, 1)?);
    each(batch, n * n * n / 3, |i| {
        // SAFETY: matrix i is this part's.
        unsafe {
            *info.at(i) = lu::cholesky(n, M::columns(a.at(i), n)) as i32;
            for (j, column) in a.slice(i).chunks_exact_mut(n.max(1)).enumerate() {
                column[..j].fill(T::ZERO);
            }
        }
        Ok(())
    })
}
/// A = Q R in place: R above, vectors of reflections below, their factors in `tau` ([batch, min(m, n)]).
pub fn qr(a: View, tau: View) -> Result<()> {
    real!("geqrf", a.dtype, qr_of(a, tau))
}
fn qr_of<T: Dense>(a: View, tau: View) -> Result<()> {
    let (batch, n, m) = sizes(&a)?;
    let k = m.min(n);
    let (a, tau) = (Batch::<T>::of(&a, batch, n, m)?, Batch::<T>::of(&tau, batch, 1, k)?);
    // SAFETY: matrix i is this part's.
    each(batch, 2 * m * n * k, |i| unsafe { qr::qr(m, n, M::columns(a.at(i), m), tau.slice(i)) })
}
/// C = Q C (or Q^T C) in place, for the reflections of `qr`. `identity`: C holds ones on its diagonal and zeros.
pub fn apply_q(a: View, tau: View, c: View, transposed: bool, identity: bool) -> Result<()> {
    real!("ormqr", a.dtype, apply_q_of(a, tau, c, transposed, identity))
}
fn apply_q_of<T: Dense>(a: View, tau: View, c: View, transposed: bool, identity: bool) -> Result<()> {
    let (batch, columns, m) = sizes(&a)?;
    let (n, k) = (sizes(&c)?.1, tau.layout.shape.last().map_or(0, |k| *k as usize));
    ensure!(k <= columns && k <= m, Internal, "linalg: {k} reflections of {m} x {columns} matrices");
    let (a, c) = (Batch::<T>::of(&a, batch, columns, m)?, Batch::<T>::of(&c, batch, n, m)?);
    let tau = Batch::<T>::of(&tau, batch, 1, k)?;
    each(batch, 4 * m * n * k, |i| {
        let (a, c) = (M::columns(a.at(i), m), M::columns(c.at(i), m));
        // SAFETY: matrix i is this part's.
        unsafe { qr::apply_q((m, n, k), a, tau.slice(i), transposed, identity, c) }
    })
}
/// Eigenvalues of symmetric float64 matrices in rising order, and eigenvectors in place if asked for; `info` counts values
/// that were not found.
pub fn eigh(a: View, values: View, info: View, vectors: bool) -> Result<()> {
    let (batch, n, _) = sizes(&a)?;
    let (a, values) = (Batch::<f64>::of(&a, batch, n, n)?, Batch::<f64>::of(&values, batch, 1, n)?);
    let info = Batch::<i32>::of(&info, batch, 1, 1)?;
    each(batch, 9 * n * n * n, |i| {
        // SAFETY: matrix i is this part's.
        unsafe {
            *info.at(i) = eigen::eigh(n, M::columns(a.at(i), n), values.slice(i), vectors)? as i32;
        }
        Ok(())
    })
}
/// Singular values of float64 matrices of at least as many rows as columns, in falling order; with vectors U (some or all columns) and
/// V. `info` counts values that were not found, -1 where the input is not finite.
pub fn svd(a: View, s: View, info: View, vectors: Option<(View, View)>) -> Result<()> {
    let (batch, n, m) = sizes(&a)?;
    ensure!(m >= n, Internal, "linalg: svd of {m} x {n}");
    let (a, s) = (Batch::<f64>::of(&a, batch, n, m)?, Batch::<f64>::of(&s, batch, 1, n)?);
    let info = Batch::<i32>::of(&info, batch, 1, 1)?;
    let vectors = match vectors {
        None => None,
        Some((u, v)) => {
            let columns = sizes(&u)?.1;
            ensure!(columns == n || columns == m, Internal, "linalg: {columns} columns of U for {m} x {n}");
            Some((Batch::<f64>::of(&u, batch, columns, m)?, columns, Batch::<f64>::of(&v, batch, n, n)?))
        }
    };
    each(batch, 20 * m * n * n, |i| {
        let vectors =
            vectors.as_ref().map(|(u, columns, v)| (M::columns(u.at(i), m), *columns, M::columns(v.at(i), n)));
        // SAFETY: matrix i is this part's.
        unsafe {
            *info.at(i) = eigen::svd(m, n, M::columns(a.at(i), m), s.slice(i), vectors)?;
        }
        Ok(())
    })
}
/// L D L^T in place of the lower triangles; above them are zeros then.
pub fn ldl(a: View, pivots: View, info: View) -> Result<()> {
    real!("ldl_factor_kernel_cpu", a.dtype, ldl_of(a, pivots, info))
}
fn ldl_of<T: Dense>(a: View, pivots: View, info: View) -> Result<()> {
    let (batch, n, _) = sizes(&a)?;
    let a = Batch::<T>::of(&a, batch, n, n)?;
    let (pivots, info) = (Batch::<i32>::of(&pivots, batch, 1, n)?, Batch::<i32>::of(&info, batch, 1, 1)?);
    each(batch, n * n * n, |i| {
        // SAFETY: matrix i is this part's.
        unsafe {
            *info.at(i) = ldl::ldl(n, M::columns(a.at(i), n), pivots.slice(i)) as i32;
            for (j, column) in a.slice(i).chunks_exact_mut(n.max(1)).enumerate() {
                column[..j].fill(T::ZERO);
            }
        }
        Ok(())
    })
}
/// Solves in place of B by what `ldl` left.
pub fn ldl_solve(a: View, pivots: View, b: View) -> Result<()> {
    real!("ldl_solve_kernel_cpu", a.dtype, ldl_solve_of(a, pivots, b))
}
fn ldl_solve_of<T: Dense>(a: View, pivots: View, b: View) -> Result<()> {
    let (batch, n, _) = sizes(&a)?;
    let k = sizes(&b)?.1;
    let (a, b) = (Batch::<T>::of(&a, batch, n, n)?, Batch::<T>::of(&b, batch, k, n)?);
    let pivots = Batch::<i32>::of(&pivots, batch, 1, n)?;
    each(batch, n * n * k, |i| {
        // SAFETY: matrix i is this part's; pivots are read, and kept within the rows.
        unsafe { ldl::ldl_solve(n, k, M::columns(a.at(i), n), pivots.slice(i), M::columns(b.at(i), n)) };
        Ok(())
    })
}
