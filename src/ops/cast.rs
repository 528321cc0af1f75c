//! Copies and conversions between dtypes, layouts and devices.

use super::pointwise::{inplace, pointwise, Dest};
use super::*;
use crate::autograd::record;
use crate::backend::program::Opcode;
use crate::{ensure, grads};

/// The tensor in another dtype; itself when it has it already.
pub fn cast(a: &Tensor, dtype: DType) -> Result<Tensor> {
    let from = a.dtype();
    if from == dtype {
        return Ok(a.clone());
    }
    if from.is_complex() || dtype.is_complex() {
        // What becomes real loses its imaginary parts, whose gradient is zero.
        let out = empty_like(a, Some(dtype), None)?;
        out.copy_from(a)?;
        return record("ToCopyBackward0", &[a], out, |_, _| move |_, g| Ok(grads![Some(cast(g, from)?)]));
    }
    let ty = if from.compute() == dtype.compute() || dtype == DType::Bool { from } else { dtype };
    let out = pointwise(Opcode::Cast, ty, dtype, &[a.into()], None)?;
    record("ToCopyBackward0", &[a], out, |_, _| move |_, g| Ok(grads![Some(cast(g, from)?)]))
}
/// Dtype and device at once; a copy when `copy` is set or anything changes.
pub fn to(a: &Tensor, dtype: Option<DType>, device: Option<Device>, copy: bool) -> Result<Tensor> {
    let mut out = a.clone();
    if let Some(d) = dtype {
        out = cast(&out, d)?;
    }
    if let Some(d) = device {
        out = to_device(&out, d)?;
    }
    if copy && out.is_same(a) {
        return clone(a);
    }
    Ok(out)
}
/// A copy with its own memory; dense layouts keep their strides.
pub fn clone(a: &Tensor) -> Result<Tensor> {
    let out = empty_like(a, None, None)?;
    out.copy_from(a)?;
    record("CloneBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(g.clone())]))
}
/// Row-major memory; the tensor itself when it is so already.
pub fn contiguous(a: &Tensor) -> Result<Tensor> {
    if a.is_contiguous() {
        return Ok(a.clone());
    }
    let out = a.contiguous_copy()?;
    record("CloneBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(g.clone())]))
}
/// The same memory and version counter, without history.
pub fn detach(a: &Tensor) -> Result<Tensor> {
    Ok(a.alias_same())
}
/// Cuts the tensor off its history.
pub fn detach_(a: &Tensor) -> Result<()> {
    ensure!(
        autograd::view::base_of(a).is_none() || !autograd::requires_grad(a),
        Runtime,
        "Can't detach views in-place. Use detach() instead."
    );
    autograd::meta::set_history(a, None);
    autograd::set_requires_grad(a, false)
}
fn copy_impl(src: &Tensor, old: &Tensor, dest: Dest) -> Result<Tensor> {
    let Some(d) = dest else { crate::bail!(Internal, "copy_ needs a destination") };
    d.bump_version();
    let out = d.alias_same();
    let from = src.device();
    // Memory that both share is read before it is written.
    let overlap = std::sync::Arc::ptr_eq(&src.storage(), &d.storage()) && src.layout() != d.layout();
    out.copy_from(&if overlap { src.contiguous_copy()? } else { src.alias_same() })?;
    let (src_dtype, shape) = (src.dtype(), src.shape());
    record("CopyBackwards", &[old, src], out, |_, _| {
        move |c, g| {
            let gs =
                if c.needs(1) { Some(to_device(&cast(&sum_to_size(g, &shape)?, src_dtype)?, from)?) } else { None };
            Ok(grads![Some(zeros_like_of(g)?), gs])
        }
    })
}
/// Writes `src`, broadcast and converted, into the tensor.
pub fn copy_(a: &Tensor, src: &Tensor) -> Result<()> {
    if a.is_same(src) {
        return Ok(());
    }
    inplace(a, &[src], false, |old, dest| copy_impl(src, old, dest))
}

/// Whether a dtype has 16 bits: its ops are computed in float32.
pub(super) fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}
/// A tensor of half type in float32, any other as it is.
pub(super) fn wide(t: &Tensor) -> Result<Tensor> {
    if is_half(t.dtype()) {
        cast(t, DType::F32)
    } else {
        Ok(t.clone())
    }
}
/// The half type that float tensors share; None where they are of another or of several.
fn shared_half<'a>(mut tensors: impl Iterator<Item = &'a Tensor>) -> Option<DType> {
    let half = tensors.by_ref().map(|t| t.dtype()).find(|d| d.is_float()).filter(|d| is_half(*d))?;
    tensors.all(|t| !t.dtype().is_float() || t.dtype() == half).then_some(half)
}
/// `f` of half tensors is computed in float32 and rounded once, as PyTorch's kernels do: a square or an exponential on the
/// way may be beyond the range of 16 bits, and a long sum beyond its precision.
#[inline]
pub(super) fn in_float<const N: usize>(
    inputs: [&Tensor; N],
    f: impl FnOnce([&Tensor; N]) -> Result<Tensor>,
) -> Result<Tensor> {
    let Some(half) = shared_half(inputs.iter().copied()) else { return f(inputs) };
    let w = inputs.iter().map(|t| wide(t)).collect::<Result<Vec<_>>>()?;
    cast(&f(std::array::from_fn(|i| &w[i]))?, half)
}
/// The same where some inputs may be absent.
#[inline]
pub(super) fn in_float_some<const N: usize>(
    inputs: [Option<&Tensor>; N],
    f: impl FnOnce([Option<&Tensor>; N]) -> Result<Tensor>,
) -> Result<Tensor> {
    let Some(half) = shared_half(inputs.iter().flatten().copied()) else { return f(inputs) };
    let w = inputs.iter().map(|t| t.map(wide).transpose()).collect::<Result<Vec<_>>>()?;
    cast(&f(std::array::from_fn(|i| w[i].as_ref()))?, half)
}
