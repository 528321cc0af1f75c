//! Linear systems and inverses.

use super::lu::{factored, Factored};
use super::*;
use crate::autograd::record;
use crate::backend::cpu::dense;
use crate::base::layout::broadcast_shapes;
use crate::grads;

/// The sizes of A X = B, or of X A = B.
pub(super) fn check_fit(name: &str, a: &Tensor, b: &Tensor, left: bool) -> Result<()> {
    let ((_, n), (p, q)) = (rows_columns(a), rows_columns(b));
    ensure!(
        n == if left { p } else { q },
        Runtime,
        "{name}: Incompatible shapes of A and B for the equation {} = B ({n}x{n} and {p}x{q})",
        if left { "AX" } else { "XA" }
    );
    Ok(())
}
/// Whether B is a batch of vectors.
pub(super) fn is_vector(a: &Tensor, b: &Tensor) -> bool {
    let (s, t) = (a.shape(), b.shape());
    t.len() == 1 || s.len() == t.len() + 1 && s[..s.len() - 1] == t[..]
}
fn solve_by(api: Option<&str>, a: &Tensor, b: &Tensor, left: bool) -> Result<(Tensor, Tensor)> {
    let name = "linalg.solve";
    check_square(name, a)?;
    ensure!(b.ndim() >= 1, Runtime, "{name}: The input tensor B must have at least 2 dimensions.");
    check_same(name, ("A", a), ("B", b))?;
    check_real(name, a)?;
    let vector = is_vector(a, b);
    ensure!(
        left || !vector,
        Runtime,
        "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)"
    );
    let right = if vector { unsqueeze(b, -1)? } else { b.clone() };
    check_fit(name, a, &right, left)?;
    let batch = broadcast_shapes(&batch_of(a), &batch_of(&right))?;
    let (out, f, info) = plain(|| {
        let mut f = factored(a)?;
        let info = to_device(&reshape(&f.info, &batch_of(a))?, a.device())?;
        if let Some(api) = api {
            if let Some((which, _)) = failure(&info)? {
                bail!(Runtime, "{api}: {which}The solver failed because the input matrix is singular.");
            }
        }
        if batch_of(a) != batch {
            f = spread(&f, &batch_of(a), &batch)?;
        }
        Ok((solved(&f, &right, &batch, left, !left)?, f, info))
    })?;
    let out = if vector { fresh(squeeze_dim(&out, -1))? } else { out };
    let out = record("LinalgSolveExBackward0", &[a, b], out, |s, out| {
        let (a, x) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let (a, x) = (a.get(c)?, x.get(c)?);
            let wide = |t: &Tensor| if vector { unsqueeze(t, -1) } else { Ok(t.clone()) };
            let (g, x) = (wide(g)?, wide(&x)?);
            let gb = if c.create_graph {
                solve_by(None, &mt(&a)?, &g, left)?.0
            } else {
                solved(&f, &g, &batch, left, left)?
            };
            let ga = if c.needs(0) {
                let product = if left { matmul(&gb, &mt(&x)?)? } else { matmul(&mt(&x)?, &gb)? };
                Some(neg(&product)?)
            } else {
                None
            };
            Ok(grads![ga, Some(if vector { squeeze_dim(&gb, -1)? } else { gb })])
        }
    })?;
    Ok((out, info))
}
/// The factors for a larger batch.
fn spread(f: &Factored, from: &[i64], to: &[i64]) -> Result<Factored> {
    let size: i64 = to.iter().product();
    let wide = |t: &Tensor| {
        let s = t.shape();
        let t = expand(&reshape(t, &with(from, &s[1..]))?, &with(to, &s[1..]))?.contiguous_copy()?;
        reshape(&t, &with(&[size], &s[1..]))
    };
    Ok(Factored { lu: wide(&f.lu)?, pivots: wide(&f.pivots)?, ..f.clone() })
}
/// X of A X = B (or with A^T), or of X A = B.
fn solved(f: &Factored, b: &Tensor, batch: &[i64], left: bool, transposed: bool) -> Result<Tensor> {
    let wide = broadcast(b, batch)?;
    let x = if left { in_columns(&wide)? } else { in_rows(&wide)? };
    f.solve(&x, transposed)?;
    if left {
        from_columns(&x, batch, b.device())
    } else {
        from_rows(&x, batch, b.device())
    }
}
pub fn linalg_solve_ex(a: &Tensor, b: &Tensor, left: bool, check_errors: bool) -> Result<(Tensor, Tensor)> {
    solve_by(check_errors.then_some("torch.linalg.solve_ex"), a, b, left)
}
pub fn linalg_solve(a: &Tensor, b: &Tensor, left: bool) -> Result<Tensor> {
    Ok(solve_by(Some("torch.linalg.solve"), a, b, left)?.0)
}

fn invert(api: Option<&str>, a: &Tensor) -> Result<(Tensor, Tensor)> {
    check_square("linalg.inv", a)?;
    check_real("linalg.inv", a)?;
    let (out, info) = plain(|| {
        let (f, batch) = (factored(a)?, batch_of(a));
        let info = to_device(&reshape(&f.info, &batch)?, a.device())?;
        if let Some(api) = api {
            if let Some((which, k)) = failure(&info)? {
                bail!(
                    Runtime,
                    "{api}: {which}The diagonal element {k} is zero, the inversion could not be completed because the input matrix is singular."
                );
            }
        }
        let n = a.size(-1)?;
        let one = eye(n, Some(a.dtype()), Some(Device::CPU))?;
        let x = expand(&one, &f.lu.shape())?.contiguous_copy()?;
        f.solve(&x, false)?;
        Ok((from_columns(&x, &batch, a.device())?, info))
    })?;
    let out = record("LinalgInvExBackward0", &[a], out, |s, out| {
        let x = s.save_output(out, 0);
        move |c, g| {
            let x = mt(&x.get(c)?)?;
            Ok(grads![Some(neg(&matmul(&x, &matmul(g, &x)?)?)?)])
        }
    })?;
    Ok((out, info))
}
pub fn linalg_inv_ex(a: &Tensor, check_errors: bool) -> Result<(Tensor, Tensor)> {
    invert(check_errors.then_some("linalg.inv_ex"), a)
}
pub fn linalg_inv(a: &Tensor) -> Result<Tensor> {
    Ok(invert(Some("linalg.inv"), a)?.0)
}
pub fn inverse(a: &Tensor) -> Result<Tensor> {
    linalg_inv(a)
}

/// Solves A X = B (or X A = B) for the upper or lower triangle of A.
pub fn linalg_solve_triangular(a: &Tensor, b: &Tensor, upper: bool, left: bool, unitriangular: bool) -> Result<Tensor> {
    let name = "linalg.solve_triangular";
    check_square(name, a)?;
    check_matrix(name, "B", b)?;
    check_kernel("triangular_solve_cpu", a)?;
    check_same(name, ("A", a), ("B", b))?;
    check_fit(name, a, b, left)?;
    let batch = broadcast_shapes(&batch_of(a), &batch_of(b))?;
    let out = plain(|| {
        let (wide, t) = (broadcast(b, &batch)?, in_columns(&broadcast(a, &batch)?)?);
        let x = if left { in_columns(&wide)? } else { in_rows(&wide)? };
        dense::triangular(t.body().view(), x.body().view(), upper == left, !left, unitriangular)?;
        if left {
            from_columns(&x, &batch, b.device())
        } else {
            from_rows(&x, &batch, b.device())
        }
    })?;
    record("LinalgSolveTriangularBackward0", &[a, b], out, |s, out| {
        let (a, x) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let (a, x) = (a.get(c)?, x.get(c)?);
            let gb = linalg_solve_triangular(&mt(&a)?, g, !upper, left, unitriangular)?;
            let ga = if c.needs(0) {
                let product = if left { matmul(&gb, &mt(&x)?)? } else { matmul(&mt(&x)?, &gb)? };
                let beside = i64::from(unitriangular);
                Some(neg(&if upper { triu(&product, beside)? } else { tril(&product, -beside)? })?)
            } else {
                None
            };
            Ok(grads![ga, Some(gb)])
        }
    })
}
/// PyTorch's older form: the system's matrix comes second, and is handed back.
pub fn triangular_solve(
    b: &Tensor,
    a: &Tensor,
    upper: bool,
    transpose_: bool,
    unitriangular: bool,
) -> Result<(Tensor, Tensor)> {
    for (n, t) in [("b", b), ("A", a)] {
        ensure!(
            t.ndim() >= 2,
            Runtime,
            "torch.triangular_solve: Expected {n} to have at least 2 dimensions, but it has {} dimensions instead",
            t.ndim()
        );
    }
    check_older("triangular_solve", b, a)?;
    let t = if transpose_ { mt(a)? } else { a.clone() };
    let x = linalg_solve_triangular(&t, b, upper != transpose_, true, unitriangular)?;
    let batch = batch_of(&x);
    Ok((x, clone(&broadcast(a, &batch)?)?))
}
/// The errors of PyTorch's older solvers.
pub(super) fn check_older(name: &str, b: &Tensor, a: &Tensor) -> Result<()> {
    ensure!(
        a.dtype() == b.dtype(),
        Runtime,
        "Expected b and A to have the same dtype, but found b of type {} and A of type {} instead.",
        b.dtype().scalar_name(),
        a.dtype().scalar_name()
    );
    let ((m, n), (p, q)) = (rows_columns(a), rows_columns(b));
    ensure!(m == n, Runtime, "A must be batches of square matrices, but they are {m} by {n} matrices");
    ensure!(
        n == p,
        Runtime,
        "Incompatible matrix sizes for {name}: each A matrix is {n} by {n} but each b matrix is {p} by {q}"
    );
    Ok(())
}
