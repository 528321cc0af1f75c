//! Factorisations of matrices and what follows from them. The kernels (`backend/cpu/dense`) work on the host: tensors of a device
//! are copied there and back inside an op that says so, the other ops refuse them.

mod cholesky;
mod eigen;
mod functions;
mod least;
mod lu;
mod norms;
mod qr;
mod solve;

pub use cholesky::*;
pub use eigen::*;
pub use functions::*;
pub use least::*;
pub use lu::*;
pub use norms::*;
pub use qr::*;
pub use solve::*;

use super::*;
use crate::{bail, ensure, Dims};

const ONE: Scalar = Scalar::Int(1);
const ZERO: Scalar = Scalar::Int(0);

/// The last two dimensions exchanged.
fn mt(a: &Tensor) -> Result<Tensor> {
    transpose(a, -2, -1)
}
fn minus(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    sub(a, b, ONE)
}
fn plus(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    add(a, b, ONE)
}
/// Rows and columns.
fn rows_columns(a: &Tensor) -> (i64, i64) {
    let s = a.shape();
    (s[s.len() - 2], s[s.len() - 1])
}
/// The dimensions before the last two.
fn batch_of(a: &Tensor) -> Dims {
    let mut s = a.shape();
    s.truncate(s.len() - 2);
    s
}
fn with(batch: &[i64], more: &[i64]) -> Dims {
    batch.iter().chain(more).copied().collect()
}
fn check_matrix(name: &str, argument: &str, a: &Tensor) -> Result<()> {
    let dot = if argument.is_empty() { "" } else { " " };
    ensure!(a.ndim() >= 2, Runtime, "{name}: The input tensor{dot}{argument} must have at least 2 dimensions.");
    Ok(())
}
/// PyTorch's errors for what is no batch of square matrices.
fn check_square(name: &str, a: &Tensor) -> Result<()> {
    check_matrix(name, "A", a)?;
    let (m, n) = rows_columns(a);
    ensure!(m == n, Runtime, "{name}: A must be batches of square matrices, but they are {m} by {n} matrices");
    Ok(())
}
/// float32 or float64.
fn check_real(name: &str, a: &Tensor) -> Result<()> {
    let d = a.dtype();
    ensure!(!d.is_complex(), NotImplemented, "{name}: not implemented for '{}'", d.scalar_name());
    ensure!(
        d.is_float(),
        NotImplemented,
        "{name}: Expected a floating point or complex tensor as input. Got {}",
        d.scalar_name()
    );
    ensure!(
        matches!(d, DType::F32 | DType::F64),
        NotImplemented,
        "{name}: Low precision dtypes not supported. Got {}",
        d.scalar_name()
    );
    Ok(())
}
fn check_kernel(kernel: &str, a: &Tensor) -> Result<()> {
    ensure!(
        matches!(a.dtype(), DType::F32 | DType::F64),
        NotImplemented,
        "\"{kernel}\" not implemented for '{}'",
        a.dtype().scalar_name()
    );
    Ok(())
}
/// For ops that do not go to the host by themselves.
fn check_cpu(name: &str, a: &Tensor) -> Result<()> {
    ensure!(
        a.device().is_cpu(),
        NotImplemented,
        "\"{name}\" not implemented for {} on device {}: it runs on the CPU alone; move the tensor there with .cpu()",
        a.dtype().scalar_name(),
        a.device()
    );
    Ok(())
}
/// Two tensors of one dtype and device.
fn check_same(name: &str, (x, a): (&str, &Tensor), (y, b): (&str, &Tensor)) -> Result<()> {
    let (d, e) = (a.dtype().scalar_name(), b.dtype().scalar_name());
    ensure!(
        a.dtype() == b.dtype(),
        Runtime,
        "{name}: Expected {x} and {y} to have the same dtype, but found {x} of type {d} and {y} of type {e} instead"
    );
    pointwise::same_device(a, b)
}
/// Matrices expanded to a batch.
fn broadcast(a: &Tensor, batch: &[i64]) -> Result<Tensor> {
    let (m, n) = rows_columns(a);
    if batch_of(a)[..] == *batch {
        return Ok(a.clone());
    }
    expand(a, &with(batch, &[m, n]))
}

/// A copy of matrices on the host, one after the other in row order: [batch, rows, columns].
fn in_rows(a: &Tensor) -> Result<Tensor> {
    let (m, n) = rows_columns(a);
    let size = batch_of(a).iter().product();
    // A fresh copy, in the memory that the kernels overwrite.
    let copy = if a.device().is_cpu() { a.contiguous_copy()? } else { to_device(&a.contiguous_copy()?, Device::CPU)? };
    reshape(&copy, &[size, m, n])
}
/// The same in column order: [batch, columns, rows].
fn in_columns(a: &Tensor) -> Result<Tensor> {
    in_rows(&mt(a)?)
}
/// Matrices from row order on the host to their batch and device.
fn from_rows(c: &Tensor, batch: &[i64], device: Device) -> Result<Tensor> {
    let s = c.shape();
    fresh(to_device(&reshape(c, &with(batch, &s[1..]))?, device))
}
fn from_columns(c: &Tensor, batch: &[i64], device: Device) -> Result<Tensor> {
    let s = c.shape();
    fresh(mt(&from_rows(&reshape(c, &[s[0], s[1], s[2]])?, batch, device)?))
}
/// A tensor that is no view of what it was made in: a result's history is its own.
fn fresh(t: Result<Tensor>) -> Result<Tensor> {
    Ok(t?.alias_same())
}
fn host(shape: &[i64], dtype: DType) -> Result<Tensor> {
    Tensor::empty(shape, dtype, Device::CPU)
}
/// int32 tensor of a kernel that says how it went, for each matrix.
fn info_of(n: i64) -> Result<Tensor> {
    host(&[n], DType::I32)
}
/// The first matrix that failed, if any: which (None for one that is no batch) and what its info says.
fn failure(info: &Tensor) -> Result<Option<(String, i64)>> {
    let many = info.ndim() > 0;
    let values = info.to_i64_vec()?;
    Ok(values.iter().position(|v| *v != 0).map(|i| {
        let which = if many { format!("(Batch element {i}): ") } else { String::new() };
        (which, values[i])
    }))
}
fn matrices(a: &Tensor) -> Result<Tensor> {
    eye(a.size(-1)?, Some(a.dtype()), Some(a.device()))
}
/// Zeros but on the diagonal, where x stands.
fn diagonal_matrix(x: &Tensor) -> Result<Tensor> {
    diag_embed(x, 0, -2, -1)
}
/// Runs `f` without recording.
fn plain<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    autograd::no_grad(f)
}
