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
/// The errors of a product of two matrices.
pub(super) fn check_mm(a: &Tensor, b: &Tensor) -> Result<()> {
    same_dtype(a, b)?;
    let (x, y) = (a.shape(), b.shape());
    ensure!(x.len() == 2, Runtime, "self must be a matrix, got {} dimensions", x.len());
    ensure!(y.len() == 2, Runtime, "mat2 must be a matrix, got {} dimensions", y.len());
    ensure!(
        x[1] == y[0],
        Runtime,
        "mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})",
        x[0],
        x[1],
        y[0],
        y[1]
    );
    Ok(())
}
/// Product of two matrices.
pub fn mm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check_mm(a, b)?;
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
            ensure!(
                k == k2,
                Runtime,
                "mat1 and mat2 shapes cannot be multiplied ({}x{k} and {k2}x{n})",
                sa[..sa.len() - 1].iter().product::<i64>()
            );
            let mut shape = broadcast_shapes(&sa[..sa.len() - 2], &sb[..sb.len() - 2])?;
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
/// Einstein summation: letters name dimensions, `...` stands for broadcast ones; the output may be implied.
pub fn einsum(equation: &str, tensors: &[Tensor]) -> Result<Tensor> {
    let eq: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (lhs, rhs) = match eq.split_once("->") {
        Some((l, r)) => (l.to_string(), Some(r.to_string())),
        None => (eq.clone(), None),
    };
    let terms: Vec<&str> = lhs.split(',').collect();
    ensure!(
        terms.len() == tensors.len(),
        Runtime,
        "einsum(): the number of subscripts in the equation ({}) does not match the number of operands ({})",
        terms.len(),
        tensors.len()
    );
    // Labels: letters as they are; ellipsis dimensions as numbers counted from the right.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Label {
        Broadcast(usize),
        Letter(char),
    }
    let mut sizes: Vec<(Label, i64)> = Vec::new();
    let mut operands: Vec<(Vec<Label>, Tensor)> = Vec::new();
    let mut widest = 0;
    let mut counts: Vec<(char, usize)> = Vec::new();
    for (i, (term, t)) in terms.iter().zip(tensors).enumerate() {
        let n = t.ndim();
        let letters = term.replace("...", "").chars().count();
        let dots = term.contains("...");
        ensure!(
            term.replace("...", "").chars().all(|c| c.is_ascii_alphabetic()),
            Runtime,
            "einsum(): invalid subscript in operand {i} of '{equation}': letters [a-zA-Z] and one '...' are valid"
        );
        ensure!(
            letters == n || (dots && letters <= n),
            Runtime,
            "einsum(): the number of subscripts ({letters}) of operand {i} does not match its number of dimensions ({n})"
        );
        let extra = n - letters;
        widest = widest.max(extra);
        let mut labels = Vec::new();
        let mut rest = *term;
        while !rest.is_empty() {
            if let Some(r) = rest.strip_prefix("...") {
                labels.extend((0..extra).rev().map(Label::Broadcast));
                rest = r;
            } else {
                let c = rest.chars().next().unwrap_or(' ');
                labels.push(Label::Letter(c));
                match counts.iter_mut().find(|(k, _)| *k == c) {
                    Some((_, n)) => *n += 1,
                    None => counts.push((c, 1)),
                }
                rest = &rest[1..];
            }
        }
        let mut t = t.clone();
        // A repeated letter takes the diagonal.
        let mut d = 0;
        while d < labels.len() {
            if let Some(e) = labels[..d].iter().position(|l| *l == labels[d]) {
                ensure!(
                    t.shape()[e] == t.shape()[d],
                    Runtime,
                    "einsum(): a repeated subscript of operand {i} has sizes {} and {}",
                    t.shape()[e],
                    t.shape()[d]
                );
                t = diagonal(&t, 0, e as i64, d as i64)?;
                let l = labels[d];
                labels.remove(d);
                labels.remove(e);
                labels.push(l);
                d = 0;
            } else {
                d += 1;
            }
        }
        for (l, s) in labels.iter().zip(t.shape()) {
            match sizes.iter_mut().find(|(k, _)| k == l) {
                Some((_, old)) if *old == 1 => *old = s,
                Some((_, old)) => ensure!(
                    s == *old || s == 1,
                    Runtime,
                    "einsum(): operands do not broadcast with remapped shapes: a subscript has sizes {old} and {s}"
                ),
                None => sizes.push((*l, s)),
            }
        }
        operands.push((labels, t));
    }
    let output: Vec<Label> = match rhs {
        Some(r) => {
            let mut out = Vec::new();
            let mut rest = &r[..];
            while !rest.is_empty() {
                if let Some(x) = rest.strip_prefix("...") {
                    out.extend((0..widest).rev().map(Label::Broadcast));
                    rest = x;
                } else {
                    let c = rest.chars().next().unwrap_or(' ');
                    ensure!(
                        counts.iter().any(|(k, _)| *k == c),
                        Runtime,
                        "einsum(): output subscript {c} does not appear in the equation for any input operand"
                    );
                    ensure!(
                        !out.contains(&Label::Letter(c)),
                        Runtime,
                        "einsum(): output subscript {c} appears more than once in the output"
                    );
                    out.push(Label::Letter(c));
                    rest = &rest[c.len_utf8()..];
                }
            }
            out
        }
        None => {
            let mut once: Vec<char> = counts.iter().filter(|(_, n)| *n == 1).map(|(c, _)| *c).collect();
            once.sort_unstable();
            (0..widest).rev().map(Label::Broadcast).chain(once.into_iter().map(Label::Letter)).collect()
        }
    };
    let size = |l: &Label| sizes.iter().find(|(k, _)| k == l).map_or(1, |(_, s)| *s);
    // Contract from left to right: shared labels that nobody needs later become the inner dimension of a product.
    let mut pending: std::collections::VecDeque<_> = operands.into();
    let Some((mut labels, mut acc)) = pending.pop_front() else {
        bail!(Runtime, "einsum(): must provide at least one operand")
    };
    // Sums over labels that appear in this operand alone.
    let sum_out = |labels: &mut Vec<Label>, t: Tensor, keep: &dyn Fn(&Label) -> bool| -> Result<Tensor> {
        let dims: Vec<i64> = (0..labels.len()).filter(|&i| !keep(&labels[i])).map(|i| i as i64).collect();
        if dims.is_empty() {
            return Ok(t);
        }
        labels.retain(|l| keep(l));
        sum_dim(&t, Some(&dims), false, None)
    };
    while let Some((other_labels, other)) = pending.pop_front() {
        let later = |l: &Label| output.contains(l) || pending.iter().any(|(ls, _)| ls.contains(l));
        let mut ol = other_labels.clone();
        let a = sum_out(&mut labels, acc, &|l| later(l) || other_labels.contains(l))?;
        let snapshot = labels.clone();
        let b = sum_out(&mut ol, other, &|l| later(l) || snapshot.contains(l))?;
        let real = |ls: &[Label], t: &Tensor, l: &Label| ls.iter().position(|k| k == l).map(|i| t.shape()[i]);
        let both: Vec<Label> = labels.iter().copied().filter(|l| ol.contains(l)).collect();
        let batch: Vec<Label> = both.iter().copied().filter(|l| later(l)).collect();
        let inner: Vec<Label> = both.iter().copied().filter(|l| !later(l)).collect();
        let left: Vec<Label> = labels.iter().copied().filter(|l| !ol.contains(l)).collect();
        let right: Vec<Label> = ol.iter().copied().filter(|l| !labels.contains(l)).collect();
        let arrange = |ls: &[Label], t: &Tensor, groups: [&[Label]; 3]| -> Result<Tensor> {
            let order: Vec<Label> = groups.concat();
            let dims: Vec<i64> = order.iter().map(|l| ls.iter().position(|k| k == l).unwrap_or(0) as i64).collect();
            let t = permute(t, &dims)?;
            let full: Vec<i64> =
                order.iter().zip(t.shape()).map(|(l, s)| if both.contains(l) { size(l) } else { s }).collect();
            let t = expand(&t, &full)?;
            let merged: Vec<i64> = groups
                .iter()
                .map(|g| g.iter().map(|l| full[order.iter().position(|k| k == l).unwrap_or(0)]).product())
                .collect();
            reshape(&t, &merged)
        };
        let x = arrange(&labels, &a, [&batch, &left, &inner])?;
        let y = arrange(&ol, &b, [&batch, &inner, &right])?;
        let product = bmm(&x, &y)?;
        let new: Vec<Label> = batch.iter().chain(&left).chain(&right).copied().collect();
        let shape: Vec<i64> = new
            .iter()
            .map(|l| {
                if batch.contains(l) {
                    size(l)
                } else {
                    real(&labels, &a, l).or_else(|| real(&ol, &b, l)).unwrap_or(1)
                }
            })
            .collect();
        acc = reshape(&product, &shape)?;
        labels = new;
    }
    acc = sum_out(&mut labels, acc, &|l| output.contains(l))?;
    let dims: Vec<i64> = output.iter().filter_map(|l| labels.iter().position(|k| k == l)).map(|i| i as i64).collect();
    permute(&acc, &dims)
}
/// Sum of the diagonal.
pub fn trace(a: &Tensor) -> Result<Tensor> {
    ensure!(a.ndim() == 2, Runtime, "trace: expected a matrix, but got {}-D", a.ndim());
    sum(&diagonal(a, 0, 0, 1)?, None)
}
