//! Products composed of matrix and elementwise products.

use super::pointwise::promote;
use super::*;
use crate::base::layout::{checked_numel, wrap_dim};
use crate::{bail, ensure, Dims};

const ONE: Scalar = Scalar::Int(1);

/// The vector product along a dimension of size 3 (the first one that is, if none is named).
pub fn cross(a: &Tensor, b: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    let (s, t) = (a.shape(), b.shape());
    let d = match dim {
        Some(d) => d,
        None => match s.iter().position(|n| *n == 3) {
            Some(d) => d as i64,
            None => bail!(Runtime, "no dimension of size 3 in input"),
        },
    };
    ensure!(s.len() == t.len(), Runtime, "linalg.cross: inputs must have the same number of dimensions.");
    let at = wrap_dim(d, s.len())?;
    ensure!(
        s.get(at) == Some(&3) && t.get(at) == Some(&3),
        Runtime,
        "linalg.cross: inputs dimension {d} must have length 3. Got {} and {}",
        s.get(at).unwrap_or(&1),
        t.get(at).unwrap_or(&1)
    );
    in_float([a, b], |[a, b]| {
        let both = broadcast_tensors(&[a.clone(), b.clone()])?;
        let (a, b) = (unbind(&both[0], d)?, unbind(&both[1], d)?);
        let part = |i: usize, j: usize| sub(&mul(&a[i], &b[j])?, &mul(&a[j], &b[i])?, ONE);
        stack(&[part(1, 2)?, part(2, 0)?, part(0, 1)?], d)
    })
}
/// The product summed over pairs of dimensions, one of each tensor; the result has first's other dimensions, then second's.
pub fn tensordot(a: &Tensor, b: &Tensor, dims_self: &[i64], dims_other: &[i64]) -> Result<Tensor> {
    ensure!(dims_self.len() == dims_other.len(), Runtime, "both dimension lists should have same length");
    let wrap = |dims: &[i64], t: &Tensor| dims.iter().map(|d| wrap_dim(*d, t.ndim())).collect::<Result<Vec<usize>>>();
    for (t, dims) in [(a, dims_self), (b, dims_other)] {
        if let (0, Some(d)) = (t.ndim(), dims.first()) {
            bail!(Index, "Dimension specified as {d} but tensor has no dimensions");
        }
    }
    let (first, second) = (wrap(dims_self, a)?, wrap(dims_other, b)?);
    for dims in [&first, &second] {
        for (i, d) in dims.iter().enumerate() {
            ensure!(!dims[..i].contains(d), Runtime, "dim {d} appears multiple times in the list of dims");
        }
    }
    let (mut a, mut b) = (a.clone(), b.clone());
    for (i, j) in first.iter().zip(&second) {
        let (m, n) = (a.shape()[*i], b.shape()[*j]);
        // A size of 1 meets any: the other is summed.
        if m == 1 && n != 1 {
            b = sum_dim(&b, Some(&[*j as i64]), true, Some(b.dtype()))?;
        } else if n == 1 && m != 1 {
            a = sum_dim(&a, Some(&[*i as i64]), true, Some(a.dtype()))?;
        } else {
            ensure!(
                m == n,
                Runtime,
                "contracted dimensions need to match, but first has size {m} in dim {i} and second has size {n} in dim {j}"
            );
        }
    }
    let (s, t) = (a.shape(), b.shape());
    let others = |s: &Dims, used: &[usize]| (0..s.len()).filter(|d| !used.contains(d)).collect::<Vec<usize>>();
    let (rows, columns) = (others(&s, &first), others(&t, &second));
    let size = |s: &Dims, dims: &[usize]| dims.iter().fold(1i64, |n, d| n.saturating_mul(s[*d]));
    let k = size(&s, &first);
    let order = |x: &[usize], y: &[usize]| x.iter().chain(y).map(|d| *d as i64).collect::<Vec<i64>>();
    let left = reshape(&permute(&a, &order(&rows, &first))?, &[size(&s, &rows), k])?;
    let right = reshape(&permute(&b, &order(&second, &columns))?, &[k, size(&t, &columns)])?;
    let mut shape: Dims = rows.iter().map(|d| s[*d]).collect();
    shape.extend(columns.iter().map(|d| t[*d]));
    reshape(&mm(&left, &right)?, &shape)
}
/// The Kronecker product: each element of the first times the whole second.
pub fn kron(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let n = a.ndim().max(b.ndim());
    let widen = |t: &Tensor| {
        let mut s: Dims = Dims::from_elem(1, n - t.ndim());
        s.extend_from_slice(&t.shape());
        s
    };
    let (s, t) = (widen(a), widen(b));
    crate::base::layout::check_rank(2 * n)?;
    let mut shape = Dims::new();
    for (x, y) in s.iter().zip(&t) {
        shape.push(x.saturating_mul(*y));
    }
    checked_numel(&shape)?;
    let left: Dims = s.iter().flat_map(|x| [*x, 1]).collect();
    let right: Dims = t.iter().flat_map(|y| [1, *y]).collect();
    reshape(&mul(&reshape(a, &left)?, &reshape(b, &right)?)?, &shape)
}
/// beta * self + alpha * product, of the product's shape. Numbers do not change the dtype of integers.
fn added(a: &Tensor, product: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    let whole = !product.dtype().is_inexact() && !a.dtype().is_inexact();
    let number = |v: Scalar| if whole { Scalar::Int(v.to_i64()) } else { v };
    let (beta, alpha) = (number(beta), number(alpha));
    let dtype = promote(&[a.into(), product.into()]);
    let product = if complex::is_number(alpha, 1.0) { product.clone() } else { mul_scalar(product, alpha)? };
    if complex::is_number(beta, 0.0) {
        // What stands in self, NaN too, is ignored.
        return cast(&product, dtype);
    }
    let a = if complex::is_number(beta, 1.0) { a.clone() } else { mul_scalar(a, beta)? };
    cast(&add(&expand(&a, &product.shape())?, &product, ONE)?, dtype)
}
/// beta * self + alpha * (mat @ vec).
pub fn addmv(a: &Tensor, mat: &Tensor, vec: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    in_float([a, mat, vec], |[a, mat, vec]| added(a, &mv(mat, vec)?, beta, alpha))
}
/// beta * self + alpha * outer(vec1, vec2).
pub fn addr(a: &Tensor, vec1: &Tensor, vec2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    if [a, vec1, vec2].iter().all(|t| !t.dtype().is_inexact()) {
        for (name, number) in [("beta", beta), ("alpha", alpha)] {
            ensure!(
                !matches!(number, Scalar::Float(_)),
                Runtime,
                "For integral input tensors, argument {name} must not be a floating point number."
            );
        }
    }
    in_float([a, vec1, vec2], |[a, x, y]| added(a, &outer(x, y)?, beta, alpha))
}
/// beta * self + alpha * the sum of the products of two batches of matrices.
pub fn addbmm(a: &Tensor, batch1: &Tensor, batch2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    in_float([a, batch1, batch2], |[a, x, y]| {
        let product = bmm(x, y)?;
        added(a, &sum_dim(&product, Some(&[0]), false, Some(product.dtype()))?, beta, alpha)
    })
}
/// The product of matrices, from left to right.
pub fn chain_matmul(matrices: &[Tensor]) -> Result<Tensor> {
    let Some((first, rest)) = matrices.split_first() else {
        bail!(Runtime, "chain_matmul(): Expected one or more matrices");
    };
    for t in matrices {
        ensure!(t.ndim() == 2, Runtime, "Tensor dimension is {}, expected 2 instead.", t.ndim());
    }
    rest.iter().try_fold(first.clone(), |out, m| mm(&out, m))
}
/// x1^T A x2 + b for each matrix A of weight [out, in1, in2].
pub fn bilinear(input1: &Tensor, input2: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (s, t, w) = (input1.shape(), input2.shape(), weight.shape());
    ensure!(s.len() == t.len(), Runtime, "bilinear(): input dimensions do not match: got {} and {}", s.len(), t.len());
    ensure!(
        !s.is_empty() && w.len() == 3,
        Runtime,
        "bilinear(): expected inputs of at least 1 dimension and a 3-dimensional weight, but got {:?}, {:?} and {:?}",
        &s[..],
        &t[..],
        &w[..]
    );
    let last = s.len() - 1;
    for (i, (x, y)) in s[..last].iter().zip(&t).enumerate() {
        ensure!(x == y, Runtime, "bilinear(): input batch dimensions do not match at dim {i}: got {x} and {y}");
    }
    ensure!(
        s[last] == w[1],
        Runtime,
        "bilinear(): input1 size does not match weight size: got {} but expected {}",
        s[last],
        w[1]
    );
    ensure!(
        t[last] == w[2],
        Runtime,
        "bilinear(): input2 size does not match weight size: got {} but expected {}",
        t[last],
        w[2]
    );
    if let Some(b) = bias {
        ensure!(
            b.numel() as i64 == w[0],
            Runtime,
            "bilinear(): bias size does not match weight size: got {} but expected {}",
            b.numel(),
            w[0]
        );
    }
    in_float_some([Some(input1), Some(input2), Some(weight), bias], |[x, y, w, b]| {
        let [x, y, w] = [x, y, w].map(|t| t.expect("given").clone());
        let out = einsum("...i,oij,...j->...o", &[x, w, y])?;
        match b {
            Some(b) => add(&out, b, ONE),
            None => Ok(out),
        }
    })
}
