//! Fourier transforms of float32 and float64, of any length, on the CPU.
//!
//! Our own, for rustfft's size (`docs/ARCHITECTURE.md`). A vector's lanes are different
//! transforms: columns of a tensor where the transformed dimension is not the last, and otherwise those of the line seen as
//! a matrix, whose columns and then rows are transformed (with one transposition in between), so that every pass is the same
//! plain vector code for all radices, types and instruction sets. Lengths with a prime factor above 13 are convolutions
//! with a chirp. What is done depends on sizes alone, so results do not depend on the number of threads.

mod driver;
mod kept;
mod lines;
mod plan;
mod stage;
#[cfg(feature = "tests")]
pub(crate) mod tests;

pub use driver::Kind;
pub use kept::forget;

use super::lanes::Real;
use super::scratch::{ptr, Ptr};
use super::threads::parallel::parallel_for;
use crate::backend::View;
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use crate::ensure;

/// A view's first number.
fn numbers<T>(v: &View) -> Result<*mut T> {
    if v.dtype.is_complex() {
        return Ok(ptr::<[T; 2]>(v)?.cast());
    }
    ptr(v)
}
/// Elements before, in and after a dimension.
fn cut(v: &View, dim: usize) -> (usize, usize, usize) {
    let s = &v.layout.shape;
    let many = |s: &[i64]| s.iter().product::<i64>() as usize;
    (many(&s[..dim]), s[dim] as usize, many(&s[dim + 1..]))
}

/// Transforms dimension `dim` of a contiguous tensor, times `scale`; complex transforms may be in place. The half spectra of
/// real lines of n have n / 2 + 1 elements; imaginary parts of what is real in a half spectrum are not read.
pub fn transform(kind: Kind, input: View, out: View, dim: usize, scale: f64) -> Result<()> {
    let real = |v: &View| if v.dtype.is_complex() { v.dtype.real() } else { v.dtype };
    let complex = match kind {
        Kind::Complex { .. } => (true, true),
        Kind::Forward => (false, true),
        Kind::Backward => (true, false),
    };
    let known = input.layout.shape.len() == out.layout.shape.len()
        && dim < out.layout.shape.len()
        && (input.dtype.is_complex(), out.dtype.is_complex()) == complex
        && real(&input) == real(&out)
        && input.layout.is_contiguous()
        && out.layout.is_contiguous();
    ensure!(known, Internal, "fft: {kind:?} of {:?} into {:?}", input.layout.shape, out.layout.shape);
    if input.layout.shape.contains(&0) || out.layout.shape.contains(&0) {
        return Ok(());
    }
    let n = if kind == Kind::Backward { cut(&out, dim).1 } else { cut(&input, dim).1 };
    let ((li, _), (lo, _)) = kind.lines(n);
    let ((outer, i, inner), (outer2, o, inner2)) = (cut(&input, dim), cut(&out, dim));
    ensure!(
        i == li && o == lo && outer == outer2 && inner == inner2,
        Internal,
        "fft: {kind:?} of {:?} into {:?}",
        input.layout.shape,
        out.layout.shape
    );
    let sizes = (outer, n, inner);
    // SAFETY: both are contiguous and have these sizes; no length is larger than the memory that it was taken from.
    match real(&out) {
        DType::F32 => unsafe { driver::transform::<f32>(kind, numbers(&input)?, numbers(&out)?, sizes, scale) },
        DType::F64 => unsafe { driver::transform::<f64>(kind, numbers(&input)?, numbers(&out)?, sizes, scale) },
        other => Err(Error::unsupported("fft", other.scalar_name(), "cpu")),
    }
}

/// The whole spectra of real lines, of their half spectra along `dim`.
pub fn mirror(half: View, out: View, dim: usize) -> Result<()> {
    match out.dtype {
        DType::C64 => mirror_of::<f32>(half, out, dim),
        DType::C128 => mirror_of::<f64>(half, out, dim),
        other => Err(Error::unsupported("fft", other.scalar_name(), "cpu")),
    }
}
fn mirror_of<T: Real>(half: View, out: View, dim: usize) -> Result<()> {
    let known = half.dtype == out.dtype
        && half.layout.shape.len() == out.layout.shape.len()
        && dim < out.layout.shape.len()
        && half.layout.is_contiguous()
        && out.layout.is_contiguous();
    ensure!(known, Internal, "fft: half spectra {:?} of {:?}", half.layout.shape, out.layout.shape);
    if half.layout.shape.contains(&0) || out.layout.shape.contains(&0) {
        return Ok(());
    }
    let ((outer, h, inner), (outer2, n, inner2)) = (cut(&half, dim), cut(&out, dim));
    ensure!(
        outer == outer2 && inner == inner2 && h == n / 2 + 1,
        Internal,
        "fft: half spectra {:?} of {:?}",
        half.layout.shape,
        out.layout.shape
    );
    let (from, to) = (Ptr(numbers::<T>(&half)?), Ptr(numbers::<T>(&out)?));
    let line = |i: usize| {
        let (o, k) = (i / n, i % n);
        let source = if k < h { k } else { n - k };
        // SAFETY: line k of part o, in both; each is one call's.
        unsafe {
            let x = std::slice::from_raw_parts(from.at((2 * (o * h + source) * inner) as isize), 2 * inner);
            let y = std::slice::from_raw_parts_mut(to.at((2 * (o * n + k) * inner) as isize), 2 * inner);
            y.copy_from_slice(x);
            if k >= h {
                y.chunks_exact_mut(2).for_each(|c| c[1] = T::ZERO - c[1]);
            }
        }
    };
    parallel_for(outer * n, (32 << 10) / (inner + 4) + 1, |r| r.for_each(line));
    Ok(())
}
