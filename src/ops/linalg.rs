//! Matrix products.

use super::*;
use crate::autograd::record;
use crate::backend;
use crate::base::layout::broadcast_shapes;
use crate::watch::count;
use crate::{bail, ensure, grads, Dims};

const ONE: Scalar = Scalar::Int(1);

pub(super) fn same_dtype(a: &Tensor, b: &Tensor) -> Result<()> {
    pointwise::same_device(a, b)?;
    let (x, y) = (a.dtype(), b.dtype());
    ensure!(
        x == y,
        Runtime,
        "expected m1 and m2 to have the same dtype, but got: {} != {}",
        x.scalar_name(),
        y.scalar_name()
    );
    ensure!(x != DType::Bool, NotImplemented, "\"addmm_impl_cpu_\" not implemented for 'Bool'");
    Ok(())
}
/// The layout of a matrix (or a batch of them) with exactly three dimensions.
pub(super) fn as_batch(l: &Layout) -> Layout {
    let mut l = l.clone();
    if l.ndim() == 2 {
        l.shape.insert(0, 1);
        l.strides.insert(0, 0);
    }
    l
}
/// [b, m, k] @ [b, k, n] (2-dim operands count as one batch) into fresh memory, or added to `into`'s old value.
fn gemm_raw(a: &Tensor, b: &Tensor, batch: bool) -> Result<Tensor> {
    if a.dtype().is_complex() {
        return complex::product(a, b, |a, b| gemm_raw(a, b, batch));
    }
    let (ab, bb) = (a.materialize(), b.materialize());
    let (la, lb) = (as_batch(ab.layout()), as_batch(bb.layout()));
    let shape = [la.shape[0].max(lb.shape[0]), la.shape[1], lb.shape[2]];
    let out = Tensor::empty(if batch { &shape } else { &shape[1..] }, ab.dtype(), ab.device())?;
    if out.numel() > 0 {
        let ob = out.body();
        let lo = as_batch(ob.layout());
        count::add(shape[0], shape[1], shape[2], la.shape[2]);
        backend::get(ab.device())?.gemm(ab.view_as(&la), bb.view_as(&lb), ob.view_as(&lo), 1.0, 0.0)?;
    }
    drop((ab, bb));
    Ok(out)
}
/// The errors of a product of two matrices in `op`.
pub(super) fn check_mm(op: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    same_dtype(a, b)?;
    let (x, y) = (a.shape(), b.shape());
    ensure!(x.len() == 2, Runtime, "self must be a matrix, got {} dimensions", x.len());
    ensure!(y.len() == 2, Runtime, "mat2 must be a matrix, got {} dimensions", y.len());
    ensure!(
        x[1] == y[0],
        Runtime,
        "{op}: mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})",
        x[0],
        x[1],
        y[0],
        y[1]
    );
    Ok(())
}
/// Product of two matrices.
pub fn mm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check_mm("mm", a, b)?;
    let out = gemm_raw(a, b, false)?;
    record("MmBackward0", &[a, b], out, |s, _| {
        let x = autograd::requires_grad(b).then(|| s.save(a));
        let y = autograd::requires_grad(a).then(|| s.save(b));
        move |c, g| {
            let ga = y.as_ref().filter(|_| c.needs(0)).map(|y| mm(g, &conj(&t(&y.get(c)?)?)?)).transpose()?;
            let gb = x.as_ref().filter(|_| c.needs(1)).map(|x| mm(&conj(&t(&x.get(c)?)?)?, g)).transpose()?;
            Ok(grads![ga, gb])
        }
    })
}
/// Batched product of [b, m, k] and [b, k, n].
pub fn bmm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    same_dtype(a, b)?;
    let (x, y) = (a.shape(), b.shape());
    ensure!(
        x.len() == 3 && y.len() == 3,
        Runtime,
        "batch1 and batch2 must be 3D tensors, got {}D and {}D",
        x.len(),
        y.len()
    );
    ensure!(
        x[0] == y[0] && x[2] == y[1],
        Runtime,
        "Expected size for first two dimensions of batch2 tensor to be: [{}, {}] but got: [{}, {}].",
        x[0],
        x[2],
        y[0],
        y[1]
    );
    let out = gemm_raw(a, b, true)?;
    record("BmmBackward0", &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            let ga = if c.needs(0) { Some(bmm(g, &conj(&transpose(&y.get(c)?, 1, 2)?)?)?) } else { None };
            let gb = if c.needs(1) { Some(bmm(&conj(&transpose(&x.get(c)?, 1, 2)?)?, g)?) } else { None };
            Ok(grads![ga, gb])
        }
    })
}
/// Matrix times vector.
pub fn mv(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (x, y) = (a.shape(), b.shape());
    ensure!(
        x.len() == 2 && y.len() == 1,
        Runtime,
        "vector + matrix @ vector expected, got 1, {}, {}",
        x.len(),
        y.len()
    );
    ensure!(x[1] == y[0], Runtime, "size mismatch, got input ({}), mat ({}x{}), vec ({})", x[0], x[0], x[1], y[0]);
    squeeze_dim(&mm(a, &unsqueeze(b, 1)?)?, 1)
}
/// Inner product of two vectors.
pub fn dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (x, y) = (a.shape(), b.shape());
    ensure!(
        x.len() == 1 && y.len() == 1,
        Runtime,
        "1D tensors expected, but got {}D and {}D tensors",
        x.len(),
        y.len()
    );
    ensure!(
        a.dtype() == b.dtype(),
        Runtime,
        "dot : expected both vectors to have same dtype, but found {} and {}",
        a.dtype().scalar_name(),
        b.dtype().scalar_name()
    );
    ensure!(
        x == y,
        Runtime,
        "inconsistent tensor size, expected tensor [{}] and src [{}] to have the same number of elements, but got {} and {} elements respectively",
        x[0],
        y[0],
        x[0],
        y[0]
    );
    same_dtype(a, b)?;
    reshape(&mm(&unsqueeze(a, 0)?, &unsqueeze(b, 1)?)?, &[])
}
/// Outer product of two vectors.
pub fn outer(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(a.ndim() == 1, Runtime, "outer: Expected 1-D argument self, but got {}-D", a.ndim());
    ensure!(b.ndim() == 1, Runtime, "outer: Expected 1-D argument vec2, but got {}-D", b.ndim());
    mul(&unsqueeze(a, 1)?, b)
}
/// PyTorch's matmul: vectors, matrices and broadcast batches.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (na, nb) = (a.ndim(), b.ndim());
    match (na, nb) {
        (0, _) | (_, 0) => {
            bail!(Runtime, "both arguments to matmul need to be at least 1D, but they are {na}D and {nb}D")
        }
        (1, 1) => dot(a, b),
        (2, 2) => mm(a, b),
        (2, 1) => mv(a, b),
        (1, 2) => squeeze_dim(&mm(&unsqueeze(a, 0)?, b)?, 0),
        _ => {
            let wide_a = if na == 1 { unsqueeze(a, 0)? } else { a.clone() };
            let wide_b = if nb == 1 { unsqueeze(b, 1)? } else { b.clone() };
            let (sa, sb) = (wide_a.shape(), wide_b.shape());
            let (m, k) = (sa[sa.len() - 2], sa[sa.len() - 1]);
            let (k2, n) = (sb[sb.len() - 2], sb[sb.len() - 1]);
            let mut shape = broadcast_shapes(&sa[..sa.len() - 2], &sb[..sb.len() - 2])?;
            if k != k2 {
                let rows: i64 = sa[..sa.len() - 1].iter().product();
                let batch: i64 = shape.iter().product();
                match (nb, sb.len() == 2) {
                    (1, _) => bail!(Runtime, "size mismatch, got input ({rows}), mat ({rows}x{k}), vec ({k2})"),
                    (_, true) => {
                        bail!(Runtime, "mm: mat1 and mat2 shapes cannot be multiplied ({rows}x{k} and {k2}x{n})")
                    }
                    _ => bail!(
                        Runtime,
                        "Expected size for first two dimensions of batch2 tensor to be: [{batch}, {k}] but got: [{batch}, {k2}]."
                    ),
                }
            }
            // A batch times one matrix is one tall product.
            let out = if sb.len() == 2 && sa.len() > 2 {
                mm(&reshape(&wide_a, &[sa[..sa.len() - 1].iter().product(), k])?, &wide_b)?
            } else {
                let batch: i64 = shape.iter().product();
                let lay = |t: &Tensor, s: &Dims, r: i64, c: i64| -> Result<Tensor> {
                    let mut e = shape.clone();
                    e.extend_from_slice(&[r, c]);
                    let t = if *s == e { t.clone() } else { expand(t, &e)? };
                    reshape(&t, &[batch, r, c])
                };
                bmm(&lay(&wide_a, &sa, m, k)?, &lay(&wide_b, &sb, k, n)?)?
            };
            if na > 1 {
                shape.push(m);
            }
            if nb > 1 {
                shape.push(n);
            }
            reshape(&out, &shape)
        }
    }
}
/// beta * self + alpha * (mat1 @ mat2).
pub fn addmm(a: &Tensor, mat1: &Tensor, mat2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    if is_half(mat1.dtype()) && a.dtype() == mat1.dtype() && mat1.ndim() == 2 && mat2.ndim() == 2 {
        return product_at_once(a, mat1, mat2, beta, alpha, None);
    }
    check_mm("addmm", mat1, mat2)?;
    combine(a, mm(mat1, mat2)?, beta, alpha)
}
pub fn baddbmm(a: &Tensor, batch1: &Tensor, batch2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    let product = bmm(batch1, batch2)?;
    in_float([a, &product], |[a, p]| combine(a, p.clone(), beta, alpha))
}
pub fn addmm_(a: &Tensor, mat1: &Tensor, mat2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<()> {
    in_place::write_back(a, false, |x| addmm(x, mat1, mat2, beta, alpha))
}
pub fn baddbmm_(a: &Tensor, batch1: &Tensor, batch2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<()> {
    in_place::write_back(a, false, |x| baddbmm(x, batch1, batch2, beta, alpha))
}
/// Square matrices times themselves n times, by repeated squaring.
pub fn matrix_power(a: &Tensor, n: i64) -> Result<Tensor> {
    let s = a.shape();
    ensure!(s.len() >= 2, Runtime, "linalg.matrix_power: The input tensor A must have at least 2 dimensions.");
    let (rows, columns) = (s[s.len() - 2], s[s.len() - 1]);
    ensure!(
        rows == columns,
        Runtime,
        "linalg.matrix_power: A must be batches of square matrices, but they are {rows} by {columns} matrices"
    );
    if n < 0 {
        return matrix_power(&linalg_inv(a)?, n.checked_neg().unwrap_or(i64::MAX));
    }
    if n == 0 {
        let one = eye(s[s.len() - 1], Some(a.dtype()), Some(a.device()))?;
        // With zeros of a, whose gradient is 0.
        let everywhere = ones(&[], Some(DType::Bool), Some(a.device()))?;
        return add(&masked_fill_scalar(a, &everywhere, Scalar::Int(0))?, &one, Scalar::Int(1));
    }
    let (mut left, mut square, mut out) = (n, a.clone(), None);
    loop {
        if left & 1 == 1 {
            out = Some(match out {
                None => square.clone(),
                Some(o) => matmul(&o, &square)?,
            });
        }
        left >>= 1;
        if left == 0 {
            // The first power is the matrix itself, as a tensor of its own.
            return if n == 1 { clone(a) } else { Ok(out.expect("n > 0")) };
        }
        square = matmul(&square, &square)?;
    }
}
fn combine(a: &Tensor, product: Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    // Factors of integers are integers.
    let whole = |v: Scalar| if product.dtype().is_inexact() { v } else { Scalar::Int(v.to_i64()) };
    let (beta, alpha) = (whole(beta), whole(alpha));
    let product = if complex::is_number(alpha, 1.0) { product } else { mul_scalar(&product, alpha)? };
    if complex::is_number(beta, 0.0) {
        return Ok(product);
    }
    let s = product.shape();
    let a = if complex::is_number(beta, 1.0) { a.clone() } else { mul_scalar(a, beta)? };
    add(&product, &expand(&a, &s)?, ONE)
}
/// Sum of the diagonal.
pub fn trace(a: &Tensor) -> Result<Tensor> {
    ensure!(a.ndim() == 2, Runtime, "trace: expected a matrix, but got tensor with dim {}", a.ndim());
    sum(&diagonal(a, 0, 0, 1)?, None)
}
