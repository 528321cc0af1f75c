//! Scatters that reduce what meets at one place.

use super::gather::{scatter_args, scatter_raw};
use super::*;
use crate::autograd::record;
use crate::backend::ScatterOp;
use crate::{bail, ensure, grads};

fn zero_at(a: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<Tensor> {
    scatter_value(a, dim, index, value)
}

/// self with src reduced into the places that index names: sum, prod, mean, amax or amin, of what is there as well
/// unless include_self is false.
pub fn scatter_reduce_two(
    a: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    reduce: &str,
    include_self: bool,
) -> Result<Tensor> {
    if index.dtype() == DType::I32 {
        return scatter_reduce_two(a, dim, &cast(index, DType::I64)?, src, reduce, include_self);
    }
    if matches!(reduce, "amax" | "amin" | "prod") {
        complex::no_kernel("scatter_reduce", a)?;
    }
    let limits = |largest: bool| match a.dtype() {
        d if d.is_float() => Scalar::Float(if largest { f64::INFINITY } else { f64::NEG_INFINITY }),
        DType::Bool => Scalar::Bool(largest),
        DType::U8 => Scalar::Int(if largest { 255 } else { 0 }),
        d => {
            let bits = 8 * d.size() as u32 - 1;
            let top = ((1u64 << bits) - 1) as i64;
            Scalar::Int(if largest { top } else { -top - 1 })
        }
    };
    let (op, neutral) = match reduce {
        "sum" | "mean" => (ScatterOp::Add, Scalar::Int(0)),
        "prod" => (ScatterOp::Mul, Scalar::Int(1)),
        "amax" => (ScatterOp::Max, limits(false)),
        "amin" => (ScatterOp::Min, limits(true)),
        other => bail!(Runtime, "reduce argument must be either sum, prod, mean, amax or amin, got {other}"),
    };
    scatter_args("scatter_reduce", a, dim, index, src)?;
    in_float([a, src], |[a, src]| reduced(op, neutral, a, dim, index, src, reduce, include_self))
}
#[allow(clippy::too_many_arguments)]
fn reduced(
    op: ScatterOp,
    neutral: Scalar,
    a: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    reduce: &str,
    include_self: bool,
) -> Result<Tensor> {
    let base = if include_self { a.clone() } else { zero_at(a, dim, index, neutral)? };
    match op {
        ScatterOp::Add => {
            let total = scatter_add(&base, dim, index, src)?;
            if reduce == "sum" {
                return Ok(total);
            }
            let ones_of = |t: &Tensor| ones_like(&detach(t)?, None, None);
            let mut count = ones_of(a)?;
            if !include_self {
                count = zero_at(&count, dim, index, Scalar::Int(0))?;
            }
            let count = clamp_min(&scatter_add(&count, dim, index, &ones_of(src)?)?, Scalar::Int(1))?;
            if a.dtype().is_inexact() {
                div(&total, &count)
            } else {
                floor_divide(&total, &count)
            }
        }
        ScatterOp::Mul => product(&base, dim, index, src),
        _ => extreme(op, &base, dim, index, src),
    }
}
fn raw(op: ScatterOp, a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let (d, src) = scatter_args("scatter_reduce", a, dim, index, src)?;
    if a.ndim() == 0 || index.ndim() == 0 || src.ndim() == 0 {
        let one = |t: &Tensor| if t.ndim() == 0 { reshape(t, &[1]) } else { Ok(t.clone()) };
        return reshape(&raw(op, &one(a)?, 0, &one(index)?, &one(&src)?)?, &a.shape());
    }
    let out = a.contiguous_copy()?;
    scatter_raw(op, &out, d, index, &src)?;
    Ok(out)
}
/// The index must cover src for the derivatives, as in PyTorch.
fn same_shapes(index: &Tensor, src: &Tensor) -> Result<()> {
    ensure!(
        index.shape() == src.shape() || !autograd::recording(&[src]),
        NotImplemented,
        "scatter_reduce(): the backward pass is implemented only for src.shape == index.shape, got {:?} and {:?}",
        &src.shape()[..],
        &index.shape()[..]
    );
    Ok(())
}
fn product(a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    same_shapes(index, src)?;
    let out = autograd::no_grad(|| raw(ScatterOp::Mul, a, dim, index, src))?;
    record("ScatterReduceBackward0", &[a, src], out, |s, out| {
        let (x, i, y, r) = (s.save(a), s.save(index), s.save(src), s.save_output(out, 0));
        move |c, g| {
            let (x, i, y, r) = (x.get(c)?, i.get(c)?, y.get(c)?, r.get(c)?);
            // Without the zeros, so that their own derivative is the product of the others.
            let hole = eq_scalar(&detach(&x)?, Scalar::Int(0))?;
            let solid = masked_fill_scalar(&x, &hole, Scalar::Int(1))?;
            let gx = div(&mul(g, &product(&solid, dim, &i, &y)?)?, &solid)?;
            let gy = if c.needs(1) {
                let zero = eq_scalar(&detach(&y)?, Scalar::Int(0))?;
                let none = zeros_like(&detach(&x)?, None, None)?;
                let count = gather(&scatter_add(&none, dim, &i, &cast(&zero, y.dtype())?)?, dim, &i)?;
                let single = logical_and(&zero, &eq_scalar(&count, Scalar::Int(1))?)?;
                // The formula below is right for the gradient, but its own derivative would be 0 where two zeros meet.
                ensure!(
                    !autograd::grad_enabled() || !any(&gt_scalar(&count, Scalar::Int(1))?)?.item()?.to_bool(),
                    NotImplemented,
                    "scatter_reduce(): a second derivative of \"prod\" is not implemented where more than one zero of src \
                     meets at the same place"
                );
                let filled = masked_fill_scalar(&y, &single, Scalar::Int(1))?;
                let others = gather(&mul(g, &product(&x, dim, &i, &filled)?)?, dim, &i)?;
                let usual = div(&gather(&mul(g, &r)?, dim, &i)?, &masked_fill_scalar(&y, &zero, Scalar::Int(1))?)?;
                Some(where_(&single, &others, &usual)?)
            } else {
                None
            };
            Ok(grads![Some(gx), gy])
        }
    })
}
fn extreme(op: ScatterOp, a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    same_shapes(index, src)?;
    let out = autograd::no_grad(|| raw(op, a, dim, index, src))?;
    record("ScatterReduceBackward0", &[a, src], out, |s, out| {
        let (x, i, y, r) = (s.save(a), s.save(index), s.save(src), s.save_output(out, 0));
        move |c, g| {
            // Those that are equal to the result share its gradient.
            let (i, r) = (i.get(c)?, detach(&r.get(c)?)?);
            let from_x = cast(&eq(&detach(&x.get(c)?)?, &r)?, g.dtype())?;
            let from_y = cast(&eq(&detach(&y.get(c)?)?, &gather(&r, dim, &i)?)?, g.dtype())?;
            let share = div(g, &scatter_add(&from_x, dim, &i, &from_y)?)?;
            Ok(grads![Some(mul(&from_x, &share)?), Some(mul(&from_y, &gather(&share, dim, &i)?)?)])
        }
    })
}
pub fn scatter_reduce_two_(
    a: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    reduce: &str,
    include_self: bool,
) -> Result<()> {
    in_place::write_back(a, true, |x| scatter_reduce_two(x, dim, index, src, reduce, include_self))
}
fn by_name(a: &Tensor, dim: i64, index: &Tensor, src: &Tensor, reduce: &str) -> Result<Tensor> {
    match reduce {
        "add" => scatter_add(a, dim, index, src),
        "multiply" => scatter_reduce_two(a, dim, index, src, "prod", true),
        other => bail!(Runtime, "reduce argument must be either add or multiply, got {other}."),
    }
}
/// `scatter` that adds src to, or multiplies it with, what is there.
pub fn scatter_reduce(a: &Tensor, dim: i64, index: &Tensor, src: &Tensor, reduce: &str) -> Result<Tensor> {
    by_name(a, dim, index, src, reduce)
}
/// The same with one number.
pub fn scatter_value_reduce(a: &Tensor, dim: i64, index: &Tensor, value: Scalar, reduce: &str) -> Result<Tensor> {
    by_name(a, dim, index, &full(&index.shape(), value, Some(a.dtype()), Some(a.device()))?, reduce)
}
