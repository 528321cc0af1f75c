//! Norms of vectors and matrices under the names of linear algebra.

use super::*;
use crate::base::layout::wrap_dim;

/// What names a norm.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    Number(f64),
    Word(&'a str),
}
impl Order<'_> {
    pub fn text(&self) -> String {
        match self {
            Order::Number(v) => format!("{v}"),
            Order::Word(w) => w.to_string(),
        }
    }
}

/// The tensor in the dtype asked for, which must not be narrower.
fn in_dtype(name: &str, a: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    ensure!(
        a.dtype().is_inexact(),
        NotImplemented,
        "{name}: Expected a floating point or complex tensor as input. Got {}",
        a.dtype().scalar_name()
    );
    let Some(d) = dtype else { return Ok(a.clone()) };
    ensure!(d.is_inexact(), Runtime, "{name}: dtype should be floating point or complex, but got {}", d.scalar_name());
    let wide = crate::base::promote::promote_types(a.dtype(), d);
    ensure!(
        wide == d,
        Runtime,
        "{name}: the dtype of the input ({}) should be convertible without narrowing to the specified dtype ({})",
        a.dtype().scalar_name(),
        d.scalar_name()
    );
    cast(a, d)
}
pub fn linalg_vector_norm(
    a: &Tensor,
    ord: Scalar,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    let a = in_dtype("linalg.vector_norm", a, dtype)?;
    norm_dim(&a, Some(ord), dim, keepdim)
}
/// The norm of matrices that stand in two dimensions.
pub(super) fn matrix_norm(a: &Tensor, ord: Order, dim: &[i64], keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    let name = "linalg.matrix_norm";
    ensure!(dim.len() == 2, Runtime, "{name}: dim must be a 2-tuple. Got {}", join(dim));
    let bad = || format!("{name}: Order {} not supported.", ord.text());
    let kind = match ord {
        Order::Word("fro") => 'f',
        Order::Word("nuc") => 'n',
        Order::Number(v) if v.abs() == 2.0 => 's',
        Order::Number(v) if v.abs() == 1.0 => '1',
        Order::Number(v) if v.is_infinite() => 'i',
        _ => bail!(Runtime, "{}", bad()),
    };
    check_matrix(name, "A", a)?;
    let (i, j) = (wrap_dim(dim[0], a.ndim())?, wrap_dim(dim[1], a.ndim())?);
    ensure!(i != j, Runtime, "{name}: dims must be different. Got ({}, {})", dim[0], dim[1]);
    let a = &in_dtype(name, a, dtype)?;
    if kind == 'f' {
        return norm_dim(a, Some(Scalar::Float(2.0)), Some(dim), keepdim);
    }
    let most = matches!(ord, Order::Number(v) if v > 0.0);
    let extreme = |t: &Tensor, d: i64, keep: bool| -> Result<Tensor> {
        if t.size(d)? == 0 && most {
            // Of no rows or columns at all the largest is 0.
            return sum_dim(t, Some(&[d]), keep, None);
        }
        if most {
            amax(t, &[d], keep)
        } else {
            amin(t, &[d], keep)
        }
    };
    if matches!(kind, '1' | 'i') {
        let (sum, over) = if kind == '1' { (i, j) } else { (j, i) };
        let sums = sum_dim(&abs(a)?, Some(&[sum as i64]), keepdim, None)?;
        let over = if !keepdim && over > sum { over - 1 } else { over };
        return extreme(&sums, over as i64, keepdim);
    }
    check_real(name, a)?;
    let s = linalg_svdvals(&movedim(a, &[i as i64, j as i64], &[-2, -1])?, None)?;
    let out = if kind == 'n' { sum_dim(&s, Some(&[-1]), false, None)? } else { extreme(&s, -1, false)? };
    if !keepdim {
        return Ok(out);
    }
    let mut shape = a.shape();
    (shape[i], shape[j]) = (1, 1);
    reshape(&out, &shape)
}
fn join(dim: &[i64]) -> String {
    dim.iter().map(|d| d.to_string()).collect::<Vec<_>>().join(", ")
}
pub fn linalg_matrix_norm(a: &Tensor, ord: Scalar, dim: &[i64], keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    matrix_norm(a, Order::Number(ord.to_f64()), dim, keepdim, dtype)
}
pub fn linalg_matrix_norm_str_ord(
    a: &Tensor,
    ord: &str,
    dim: &[i64],
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    matrix_norm(a, Order::Word(ord), dim, keepdim, dtype)
}
fn either_norm(
    a: &Tensor,
    ord: Option<Order>,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    if let (Some(d), Some(_)) = (dim, ord) {
        ensure!(
            matches!(d.len(), 1 | 2),
            Runtime,
            "linalg.norm: If dim is specified, it must be of length 1 or 2. Got [{}]",
            join(d)
        );
    } else if let Some(d) = dim {
        ensure!(
            matches!(d.len(), 1 | 2),
            Runtime,
            "linalg.norm: If dim is specified, it must be of length 1 or 2. Got [{}]",
            join(d)
        );
    } else if ord.is_some() {
        ensure!(
            matches!(a.ndim(), 1 | 2),
            Runtime,
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {}D",
            a.ndim()
        );
    }
    let Some(ord) = ord else { return linalg_vector_norm(a, Scalar::Float(2.0), dim, keepdim, dtype) };
    let matrix = match (dim, ord) {
        (_, Order::Word(_)) => true,
        (Some(d), _) => d.len() == 2,
        (None, _) => a.ndim() == 2,
    };
    if matrix {
        return matrix_norm(a, ord, dim.unwrap_or(&[-2, -1]), keepdim, dtype);
    }
    match ord {
        Order::Number(v) => linalg_vector_norm(a, Scalar::Float(v), dim, keepdim, dtype),
        Order::Word(w) => bail!(Runtime, "linalg.matrix_norm: Order {w} not supported."),
    }
}
pub fn linalg_norm(
    a: &Tensor,
    ord: Option<Scalar>,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    either_norm(a, ord.map(|o| Order::Number(o.to_f64())), dim, keepdim, dtype)
}
pub fn linalg_norm_ord_str(
    a: &Tensor,
    ord: &str,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    either_norm(a, Some(Order::Word(ord)), dim, keepdim, dtype)
}
pub fn frobenius_norm(a: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    ensure!(dim.len() <= 2, Runtime, "Expected at most 2 dimensions, but got {} dimensions instead.", dim.len());
    norm_dim(a, Some(Scalar::Float(2.0)), Some(dim), keepdim)
}
pub fn nuclear_norm(a: &Tensor, keepdim: bool) -> Result<Tensor> {
    matrix_norm(a, Order::Word("nuc"), &[-2, -1], keepdim, None)
}
pub fn nuclear_norm_dim(a: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    matrix_norm(a, Order::Word("nuc"), dim, keepdim, None)
}
