//! Functions of matrices that are composed of products and solutions.

use super::*;
use crate::autograd::record;
use crate::base::layout::wrap_dim;
use crate::grads;

/// e to the power of a matrix: scaled, a Taylor polynomial of degree 18, squared again, each matrix as often as it needs.
pub fn matrix_exp(a: &Tensor) -> Result<Tensor> {
    let name = "linalg.matrix_exp";
    check_matrix(name, "A", a)?;
    ensure!(
        a.dtype().is_float(),
        NotImplemented,
        "{name}: Expected a floating point or complex tensor as input. Got {}",
        a.dtype().scalar_name()
    );
    check_square(name, a)?;
    let out = plain(|| in_float([a], |[a]| exponential(a)))?;
    record("LinalgMatrixExpBackward0", &[a], out, |s, _| {
        let a = s.save(a);
        move |c, g| {
            // The upper right block of exp([[A^T, G], [0, A^T]]).
            let a = mt(&a.get(c)?)?;
            let n = a.size(-1)?;
            let above = cat(&[a.clone(), g.clone()], -1)?;
            let below = cat(&[zeros_like(&a, None, None)?, a], -1)?;
            let e = matrix_exp(&cat(&[above, below], -2)?)?;
            Ok(grads![Some(narrow(&narrow(&e, -2, 0, n)?, -1, n, n)?)])
        }
    })
}
fn exponential(a: &Tensor) -> Result<Tensor> {
    let one = matrices(a)?;
    if a.numel() == 0 {
        return clone(a);
    }
    let norm = amax(&sum_dim(&abs(a)?, Some(&[-2]), true, None)?, &[-1], true)?;
    // How often each is halved, so that its norm is at most 1; what is not finite stays so.
    let theta = if a.dtype() == DType::F64 { 1.0 } else { 2.0 };
    let times = clamp_min(&ceil(&log2(&mul_scalar(&norm, Scalar::Float(1.0 / theta))?)?)?, ZERO)?;
    let times = masked_fill_scalar(&times, &logical_not(&isfinite(&times)?)?, ZERO)?;
    let most = max(&times)?.item()?.to_f64().min(2000.0) as i64;
    // Two factors: one alone may be below the range.
    let half = floor(&mul_scalar(&times, Scalar::Float(0.5))?)?;
    let (first, second) = (exp2(&neg(&half)?)?, exp2(&neg(&minus(&times, &half)?)?)?);
    let x = mul(&mul(a, &first)?, &second)?;
    let x2 = matmul(&x, &x)?;
    let x3 = matmul(&x2, &x)?;
    let mut factorial = [1f64; 21];
    (1..21).for_each(|i| factorial[i] = factorial[i - 1] * i as f64);
    let mut out: Option<Tensor> = None;
    for block in (0..=6).rev() {
        let term = |t: &Tensor, k: usize| mul_scalar(t, Scalar::Float(1.0 / factorial[3 * block + k]));
        let mut sum = term(&one, 0)?;
        if block < 6 {
            sum = plus(&sum, &plus(&term(&x, 1)?, &term(&x2, 2)?)?)?;
        }
        out = Some(match out {
            None => sum,
            Some(o) => plus(&matmul(&o, &x3)?, &sum)?,
        });
    }
    let mut out = out.expect("seven blocks");
    for k in 0..most {
        let more = gt_scalar(&times, Scalar::Int(k))?;
        out = where_(&more, &matmul(&out, &out)?, &out)?;
    }
    Ok(out)
}
pub fn linalg_matrix_exp(a: &Tensor) -> Result<Tensor> {
    matrix_exp(a)
}
pub fn linalg_matrix_power(a: &Tensor, n: i64) -> Result<Tensor> {
    matrix_power(a, n)
}
pub fn linalg_matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    matmul(a, b)
}
pub fn linalg_cross(a: &Tensor, b: &Tensor, dim: i64) -> Result<Tensor> {
    cross(a, b, Some(dim))
}
/// A view of the diagonals.
pub fn linalg_diagonal(a: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    diagonal(a, offset, dim1, dim2)
}
pub fn linalg_vecdot(x: &Tensor, y: &Tensor, dim: i64) -> Result<Tensor> {
    check_same("linalg.vecdot", ("x", x), ("y", y))?;
    in_float([x, y], |[x, y]| {
        let product = mul(&conj(x)?, y)?;
        sum_dim(&product, Some(&[dim]), false, Some(product.dtype()))
    })
}
/// The powers 0 to n - 1 of each element, in a new last dimension.
pub fn linalg_vander(x: &Tensor, n: Option<i64>) -> Result<Tensor> {
    ensure!(
        !crate::ops::cast::is_half(x.dtype()) && x.dtype() != DType::Bool,
        NotImplemented,
        "linalg.vander supports floating point, complex, and integer tensors, but got {}",
        x.dtype().scalar_name()
    );
    let n = match n {
        Some(n) => n,
        None if x.ndim() == 0 => 1,
        None => x.size(-1)?,
    };
    ensure!(n > 1, Runtime, "N must be greater than 1.");
    let x = if x.ndim() == 0 { &reshape(x, &[1])? } else { x };
    let shape = with(&x.shape(), &[n - 1]);
    let powers = cumprod(&expand(&unsqueeze(x, -1)?, &shape)?, -1, None)?;
    let one = ones(&with(&x.shape(), &[1]), Some(powers.dtype()), Some(x.device()))?;
    cat(&[one, powers], -1)
}

/// The product of matrices in the order that takes the fewest multiplications; the first and the last may be vectors.
pub fn linalg_multi_dot(tensors: &[Tensor]) -> Result<Tensor> {
    let n = tensors.len();
    ensure!(n >= 2, Runtime, "multi_dot(): expected at least 2 tensors but got {n}");
    let shown = |t: &Tensor| format!("{:?}", &t.shape()[..]);
    let end = |t: &Tensor, what: &str| -> Result<()> {
        ensure!(
            matches!(t.ndim(), 1 | 2),
            Runtime,
            "multi_dot(): the {what} tensor must be 1D or 2D but got {}D",
            t.ndim()
        );
        Ok(())
    };
    let (first, last) = (&tensors[0], &tensors[n - 1]);
    end(first, "first")?;
    end(last, "last")?;
    let mut list = tensors.to_vec();
    if first.ndim() == 1 {
        list[0] = unsqueeze(first, 0)?;
    }
    if last.ndim() == 1 {
        list[n - 1] = unsqueeze(last, 1)?;
    }
    for (i, t) in list.iter().enumerate() {
        ensure!(t.ndim() == 2, Runtime, "multi_dot(): tensor {i} must be 2D but got {}D", t.ndim());
        ensure!(
            t.dtype() == first.dtype(),
            Runtime,
            "multi_dot(): all tensors must have be the same dtype but tensor 0 is {} and tensor {i} {}",
            first.dtype().scalar_name().to_lowercase(),
            t.dtype().scalar_name().to_lowercase()
        );
        pointwise::same_device(first, t)?;
        if i > 0 {
            ensure!(
                list[i - 1].size(1)? == t.size(0)?,
                Runtime,
                "multi_dot(): tensors {} and {i} with shapes {} and {} cannot be multiplied",
                i - 1,
                shown(&list[i - 1]),
                shown(t)
            );
        }
    }
    // cost[i][j]: of the product of matrices i to j; cut[i][j]: where it is halved.
    let size: Vec<f64> = (0..=n)
        .map(|i| Ok(if i == 0 { list[0].size(0)? } else { list[i - 1].size(1)? } as f64))
        .collect::<Result<_>>()?;
    let mut cost = vec![vec![0f64; n]; n];
    let mut cut = vec![vec![0usize; n]; n];
    for length in 2..=n {
        for i in 0..=n - length {
            let j = i + length - 1;
            cost[i][j] = f64::INFINITY;
            for k in i..j {
                let c = cost[i][k] + cost[k + 1][j] + size[i] * size[k + 1] * size[j + 1];
                if c < cost[i][j] {
                    (cost[i][j], cut[i][j]) = (c, k);
                }
            }
        }
    }
    fn product(list: &[Tensor], cut: &[Vec<usize>], i: usize, j: usize) -> Result<Tensor> {
        if i == j {
            return Ok(list[i].clone());
        }
        let k = cut[i][j];
        mm(&product(list, cut, i, k)?, &product(list, cut, k + 1, j)?)
    }
    let mut out = product(&list, &cut, 0, n - 1)?;
    if first.ndim() == 1 {
        out = squeeze_dim(&out, 0)?;
    }
    if last.ndim() == 1 {
        out = squeeze_dim(&out, -1)?;
    }
    Ok(out)
}
/// X of tensordot(A, X) = B.
pub fn linalg_tensorsolve(a: &Tensor, b: &Tensor, dims: Option<&[i64]>) -> Result<Tensor> {
    let mut a = a.clone();
    let n = a.ndim();
    if let Some(dims) = dims {
        let dims = dims.iter().map(|d| Ok(wrap_dim(*d, n)? as i64)).collect::<Result<Vec<_>>>()?;
        let to: Vec<i64> = (0..dims.len() as i64).map(|i| i - dims.len() as i64).collect();
        a = movedim(&a, &dims, &to)?;
    }
    let s = a.shape();
    let k = b.ndim().min(n);
    let (rows, columns): (i64, i64) = (s[..k].iter().product(), s[k..].iter().product());
    ensure!(
        rows == columns,
        Runtime,
        "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got {columns} != {rows}"
    );
    let x = linalg_solve(&reshape(&a, &[rows, columns])?, &reshape(b, &[-1])?, true)?;
    reshape(&x, &s[k..])
}
/// The inverse of tensordot by A over A's last dimensions.
pub fn linalg_tensorinv(a: &Tensor, ind: i64) -> Result<Tensor> {
    ensure!(ind > 0, Runtime, "Expected a strictly positive integer for 'ind', but got {ind}");
    let s = a.shape();
    let k = ind as usize;
    ensure!(k <= s.len(), Runtime, "ArrayRef: invalid slice, N = {k}; size = {}", s.len());
    let (rows, columns): (i64, i64) = (s[..k].iter().product(), s[k..].iter().product());
    ensure!(
        rows == columns,
        Runtime,
        "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {columns} != {rows}"
    );
    let (inverse, info) = linalg_inv_ex(&reshape(a, &[rows, columns])?, false)?;
    if let Some((_, k)) = failure(&info)? {
        bail!(
            Runtime,
            "linalg.tensorinv: The diagonal element {k} is zero, the inversion could not be completed because the input matrix is singular."
        );
    }
    reshape(&inverse, &with(&s[k..], &s[..k]))
}
