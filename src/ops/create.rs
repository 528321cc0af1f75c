//! Tensors from nothing: fills, ranges, identity, triangles.

use super::*;
use crate::autograd::{record, view};
use crate::backend::program::Opcode;
use crate::{ensure, grads};

pub(super) fn device_or_default(device: Option<Device>) -> Device {
    device.unwrap_or_else(crate::base::settings::default_device)
}
pub(super) fn float_or(dtype: Option<DType>) -> DType {
    dtype.unwrap_or_else(crate::base::settings::default_dtype)
}

pub fn empty(size: &[i64], dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    Tensor::empty(size, float_or(dtype), device_or_default(device))
}
pub fn zeros(size: &[i64], dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    full(size, Scalar::Int(0), Some(float_or(dtype)), device)
}
pub fn ones(size: &[i64], dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    full(size, Scalar::Int(1), Some(float_or(dtype)), device)
}
pub fn full(size: &[i64], fill_value: Scalar, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    let dtype = dtype.unwrap_or_else(|| fill_value.default_dtype());
    check_fits(fill_value, dtype)?;
    let t = Tensor::empty(size, dtype, device_or_default(device))?;
    raw_fill(&t, fill_value)?;
    Ok(t)
}
/// PyTorch's error unless the number fits into the dtype: fractions are cut above, and a negative integer may stand for
/// its complement in an unsigned type.
pub(crate) fn check_fits(value: Scalar, dtype: DType) -> Result<()> {
    let fits = match (value, dtype.int_range()) {
        (Scalar::Bool(_), _) => true,
        (Scalar::Complex(_, im), _) if !dtype.is_complex() && im != 0.0 => false,
        (Scalar::Int(i), Some((least, most))) => i <= most && i >= if least == 0 { -most } else { least },
        (Scalar::Float(v) | Scalar::Complex(v, _), Some((least, most))) => {
            v >= least as f64 && if most == i64::MAX { v < most as f64 } else { v.trunc() <= most as f64 }
        }
        (v, None) => {
            let v = v.to_f64();
            !v.is_finite() || !dtype.is_float() || v.abs() <= dtype.largest()
        }
    };
    ensure!(fits, Runtime, "value cannot be converted to type {} without overflow", dtype.c_name());
    Ok(())
}
/// Writes a number into every element, unrecorded.
pub(crate) fn raw_fill(t: &Tensor, value: Scalar) -> Result<()> {
    let b = t.materialize();
    let dtype = b.dtype();
    if b.layout().numel() == 0 {
        return Ok(());
    }
    if dtype.is_complex() {
        drop(b);
        raw_fill(&t.part(0)?, Scalar::Float(value.to_f64()))?;
        return raw_fill(&t.part(1)?, Scalar::Float(value.imag()));
    }
    let ty = match value {
        Scalar::Float(_) if !dtype.is_float() => DType::F64,
        _ => dtype,
    };
    let program = crate::backend::program::Program::single(Opcode::Cast, ty, &[], dtype);
    crate::backend::get(b.device())?.run_program(&program, &[], &[value], &[b.view()])
}
fn like(t: &Tensor, dtype: Option<DType>, device: Option<Device>) -> (DType, Device) {
    (dtype.unwrap_or_else(|| t.dtype()), device.unwrap_or_else(|| t.device()))
}
/// A dense result keeps the order of its model's strides, as PyTorch's preserve_format does.
fn empty_like_impl(t: &Tensor, dtype: DType, device: Device) -> Result<Tensor> {
    let shape = t.shape();
    let out = Tensor::empty(&shape, dtype, device)?;
    let like = t.layout();
    if !like.is_contiguous() && like.is_dense() {
        out.set_layout(Layout { shape, strides: like.strides, offset: 0 })?;
    }
    Ok(out)
}
pub fn empty_like(t: &Tensor, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    let (dtype, device) = like(t, dtype, device);
    empty_like_impl(t, dtype, device)
}
pub fn zeros_like(t: &Tensor, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    full_like(t, Scalar::Int(0), dtype, device)
}
pub fn ones_like(t: &Tensor, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    full_like(t, Scalar::Int(1), dtype, device)
}
pub fn full_like(t: &Tensor, fill_value: Scalar, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    let out = empty_like(t, dtype, device)?;
    check_fits(fill_value, out.dtype())?;
    raw_fill(&out, fill_value)?;
    Ok(out)
}
/// A zero gradient of the shape and dtype of `g`.
pub(crate) fn zeros_like_of(g: &Tensor) -> Result<Tensor> {
    zeros(&g.shape(), Some(g.dtype()), Some(g.device()))
}

fn range_dtype(values: &[Scalar], dtype: Option<DType>) -> DType {
    dtype.unwrap_or_else(|| {
        if values.iter().any(|s| s.is_float()) {
            crate::base::settings::default_dtype()
        } else {
            DType::I64
        }
    })
}
/// 0, 1, .. end - 1.
pub fn arange(end: Scalar, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    arange_start_step(Scalar::Int(0), end, Scalar::Int(1), dtype.or(Some(range_dtype(&[end], None))), device)
}
pub fn arange_start(start: Scalar, end: Scalar, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    arange_start_step(start, end, Scalar::Int(1), dtype, device)
}
fn no_bool(kernel: &str, dtype: Option<DType>) -> Result<()> {
    ensure!(dtype != Some(DType::Bool), NotImplemented, "\"{kernel}\" not implemented for 'Bool'");
    Ok(())
}
/// start, start + step, .. below end.
pub fn arange_start_step(
    start: Scalar,
    end: Scalar,
    step: Scalar,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    let dtype = range_dtype(&[start, end, step], dtype);
    ensure!(
        ![start, end, step].iter().any(|v| v.is_complex()),
        Runtime,
        "value cannot be converted to type double without overflow"
    );
    no_bool("arange_cpu", Some(dtype))?;
    ensure!(!dtype.is_complex(), NotImplemented, "\"arange_cpu\" not implemented for '{}'", dtype.scalar_name());
    let (s, e, d) = (start.to_f64(), end.to_f64(), step.to_f64());
    ensure!(d != 0.0, Runtime, "step must be nonzero");
    ensure!(s.is_finite() && e.is_finite(), Runtime, "unsupported range: {s} -> {e}");
    ensure!(
        (d > 0.0 && e >= s) || (d < 0.0 && e <= s),
        Runtime,
        "upper bound and lower bound inconsistent with step sign"
    );
    let ints = ![start, end, step].iter().any(|v| v.is_float());
    let n = if ints {
        let (s, e, d) = (start.to_i64() as i128, end.to_i64() as i128, step.to_i64() as i128);
        let span = e - s;
        ((span + d - d.signum()) / d).clamp(0, i64::MAX as i128) as i64
    } else {
        ((e - s) / d).ceil() as i64
    };
    let t = if dtype.is_float() {
        from_f64(n, dtype, |i| s + i as f64 * d)?
    } else {
        let (s, d) = (start.to_i64(), step.to_i64());
        from_i64(n, dtype, |i| s.wrapping_add(i.wrapping_mul(d)))?
    };
    to_device(&t, device_or_default(device))
}
/// A host tensor of n elements, computed one by one. Memory that cannot be had is an error.
fn generate<T: crate::base::dtype::Element>(n: i64, f: impl Fn(i64) -> T) -> Result<Tensor> {
    crate::base::layout::checked_numel(&[n, 8])?;
    let out = Tensor::empty(&[n], T::DTYPE, Device::CPU)?;
    {
        // In pieces that stay in the cache until they are copied.
        const PIECE: usize = 1024;
        let mut piece = [<T as bytemuck::Zeroable>::zeroed(); PIECE];
        let (body, cpu) = (out.body(), crate::backend::get(Device::CPU)?);
        for from in (0..n).step_by(PIECE) {
            let len = ((n - from) as usize).min(PIECE);
            for (k, v) in piece[..len].iter_mut().enumerate() {
                *v = f(from + k as i64);
            }
            cpu.upload(bytemuck::cast_slice(&piece[..len]), body.storage(), from as usize * size_of::<T>())?;
        }
    }
    Ok(out)
}
fn from_f64(n: i64, dtype: DType, f: impl Fn(i64) -> f64) -> Result<Tensor> {
    crate::dispatch!(dtype, T, generate::<T>(n, |i| <T as crate::base::dtype::Element>::from_f64(f(i))))
}
fn from_i64(n: i64, dtype: DType, f: impl Fn(i64) -> i64) -> Result<Tensor> {
    crate::dispatch!(dtype, T, generate::<T>(n, |i| <T as crate::base::dtype::Element>::from_i64(f(i))))
}
/// `steps` numbers from start to end, both included.
pub fn linspace(
    start: Scalar,
    end: Scalar,
    steps: i64,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    ensure!(steps >= 0, Runtime, "number of steps must be non-negative");
    inferred_complex("linspace", start, end, dtype)?;
    no_bool("linspace_cpu", dtype)?;
    let dtype =
        float_or(dtype.or((start.is_complex() || end.is_complex()).then(|| Scalar::Complex(0.0, 0.0).default_dtype())));
    if dtype.is_complex() {
        let part = |s: f64, e: f64| linspace(Scalar::Float(s), Scalar::Float(e), steps, Some(dtype.real()), device);
        return complex(&part(start.to_f64(), end.to_f64())?, &part(start.imag(), end.imag())?);
    }
    // The ends of integers are integers first.
    let number = |v: Scalar, needed: bool| match dtype.int_range() {
        Some((least, most)) if needed => {
            check_fits(v, dtype)?;
            let v = v.to_f64().trunc();
            Ok::<_, Error>(if least == 0 && v < 0.0 { v + most as f64 + 1.0 } else { v })
        }
        Some(_) => Ok(v.to_f64().trunc()),
        None => Ok(if dtype.is_float() { v.to_f64() } else { v.to_f64().trunc() }),
    };
    let (s, e) = (number(start, steps > 0)?, number(end, steps > 1)?);
    // Both halves are counted from their own end, in the dtype's precision, as PyTorch does.
    let t = if steps == 1 {
        from_f64(1, dtype, |_| s)
    } else if dtype == DType::F32 {
        let (s, e) = (s as f32, e as f32);
        let step = if steps > 1 { (e - s) / (steps - 1) as f32 } else { 0.0 };
        from_f64(steps, dtype, |i| {
            f64::from(if i < steps / 2 { s + step * i as f32 } else { e - step * (steps - i - 1) as f32 })
        })
    } else {
        let step = if steps > 1 { (e - s) / (steps - 1) as f64 } else { 0.0 };
        from_f64(steps, dtype, |i| if i < steps / 2 { s + step * i as f64 } else { e - step * (steps - i - 1) as f64 })
    }?;
    to_device(&t, device_or_default(device))
}
/// Complex ends make complex numbers: a real dtype beside them is refused.
fn inferred_complex(name: &str, start: Scalar, end: Scalar, dtype: Option<DType>) -> Result<()> {
    let Some(d) = dtype.filter(|d| !d.is_complex() && (start.is_complex() || end.is_complex())) else { return Ok(()) };
    crate::bail!(
        Runtime,
        "torch.{name}(): inferred dtype {} can't be safely cast to passed dtype {}",
        crate::base::settings::default_dtype().complex().c_name(),
        d.scalar_name()
    )
}
/// base ** linspace(start, end).
pub fn logspace(
    start: Scalar,
    end: Scalar,
    steps: i64,
    base: f64,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    inferred_complex("logspace", start, end, dtype)?;
    no_bool("logspace_cpu", dtype)?;
    if start.is_complex() || end.is_complex() || dtype.is_some_and(|d| d.is_complex()) {
        let dtype = dtype.unwrap_or(crate::base::settings::default_dtype().complex());
        let e = linspace(start, end, steps, Some(DType::C128), device)?;
        return cast(&pow_scalar_base(Scalar::Float(base), &e)?, dtype);
    }
    let dtype = float_or(dtype);
    let number = |v: Scalar| if dtype.is_float() { v } else { Scalar::Float(v.to_f64().trunc()) };
    let e = linspace(number(start), number(end), steps, Some(DType::F64), device)?;
    cast(&pow_scalar_base(Scalar::Float(base), &e)?, dtype)
}
/// The identity matrix of n rows.
pub fn eye(n: i64, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    eye_m(n, n, dtype, device)
}
/// Ones on the diagonal of an n by m matrix.
pub fn eye_m(n: i64, m: i64, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    ensure!(n >= 0, Runtime, "n must be greater or equal to 0, got {n}");
    ensure!(m >= 0, Runtime, "m must be greater or equal to 0, got {m}");
    let t = zeros(&[n, m], dtype, device)?;
    let d = t.alias(Layout {
        shape: crate::Dims::from_slice(&[n.min(m)]),
        strides: crate::Dims::from_slice(&[m.saturating_add(1)]),
        offset: 0,
    })?;
    raw_fill(&d, Scalar::Int(1))?;
    Ok(t)
}

/// Bool mask of the lower (or upper) triangle: column - row <= (>=) diagonal.
fn triangle(rows: i64, cols: i64, diagonal: i64, lower: bool, device: Device) -> Result<Tensor> {
    let r = arange(Scalar::Int(rows), Some(DType::I64), Some(device))?;
    let c = arange(Scalar::Int(cols), Some(DType::I64), Some(device))?;
    let d = sub(&c, &unsqueeze(&r, -1)?, Scalar::Int(1))?;
    if lower {
        le_scalar(&d, Scalar::Int(diagonal))
    } else {
        ge_scalar(&d, Scalar::Int(diagonal))
    }
}
fn tri(a: &Tensor, diagonal: i64, lower: bool) -> Result<Tensor> {
    let s = a.shape();
    ensure!(
        s.len() >= 2,
        Runtime,
        "{}: input tensor must have at least 2 dimensions",
        if lower { "tril" } else { "triu" }
    );
    let (rows, cols) = (s[s.len() - 2], s[s.len() - 1]);
    let outside = if a.device().is_cpu() && a.numel() > 0 {
        // Every row has the same steps, one further along: windows on one row, which the CPU's kernels can step back in.
        let steps = arange_start(Scalar::Int(1 - rows), Scalar::Int(cols), Some(DType::I64), Some(a.device()))?;
        let (shape, strides) = (crate::Dims::from_slice(&[rows, cols]), crate::Dims::from_slice(&[-1, 1]));
        let row =
            if lower { gt_scalar(&steps, Scalar::Int(diagonal))? } else { lt_scalar(&steps, Scalar::Int(diagonal))? };
        row.alias(Layout { shape, strides, offset: rows - 1 })?
    } else {
        logical_not(&triangle(rows, cols, diagonal, lower, a.device())?)?
    };
    let out = autograd::no_grad(|| masked_fill_scalar(a, &outside, Scalar::Int(0)))?;
    let name = if lower { "TrilBackward0" } else { "TriuBackward0" };
    record(name, &[a], out, |_, _| move |_, g| Ok(grads![Some(tri(g, diagonal, lower)?)]))
}
pub fn tril(a: &Tensor, diagonal: i64) -> Result<Tensor> {
    tri(a, diagonal, true)
}
pub fn triu(a: &Tensor, diagonal: i64) -> Result<Tensor> {
    tri(a, diagonal, false)
}
pub fn tril_(a: &Tensor, diagonal: i64) -> Result<()> {
    in_place::write_back(a, false, |x| tri(x, diagonal, true))
}
pub fn triu_(a: &Tensor, diagonal: i64) -> Result<()> {
    in_place::write_back(a, false, |x| tri(x, diagonal, false))
}

// in-place fills

/// Fills in place after the checks, with a zero gradient for the old value.
pub(super) fn fill_impl(t: &Tensor, write: impl FnOnce() -> Result<()>) -> Result<()> {
    // One number for all elements may be written where several are one in memory.
    view::check_overwrite(t)?;
    let edge = if autograd::grad_enabled() { autograd::gradient_edge(t) } else { None };
    write()?;
    t.bump_version();
    let Some(edge) = edge else { return Ok(()) };
    let ghost = t.alias_same();
    autograd::meta::set_history(&ghost, Some(edge));
    let out = record("FillBackward0", &[&ghost], t.alias_same(), |_, _| |_, g| Ok(grads![Some(zeros_like_of(g)?)]))?;
    view::rebase(t, pointwise::history(&out))
}
pub fn fill_scalar_(t: &Tensor, value: Scalar) -> Result<()> {
    check_fits(value, t.dtype())?;
    fill_impl(t, || raw_fill(t, value))
}
/// Fills with the value of a 0-dim tensor, differentiably.
pub fn fill_(t: &Tensor, value: &Tensor) -> Result<()> {
    ensure!(
        value.ndim() == 0,
        Runtime,
        "fill_ only supports 0-dimension value tensor but got tensor with {} dimensions.",
        value.ndim()
    );
    copy_(t, value)
}
pub fn zero_(t: &Tensor) -> Result<()> {
    fill_scalar_(t, Scalar::Int(0))
}
/// A tensor of `fill` where the op needs one number on a device.
pub(crate) fn scalar_tensor(value: Scalar, dtype: DType, device: Device) -> Result<Tensor> {
    full(&[], value, Some(dtype), Some(device))
}
/// The tensor on another device; itself when it is there already. Dense layouts keep their strides.
pub fn to_device(a: &Tensor, device: Device) -> Result<Tensor> {
    let from = a.device();
    if from == device {
        return Ok(a.clone());
    }
    a.check_data()?;
    let out = empty_like(a, None, Some(device))?;
    out.copy_from(a)?;
    record("ToCopyBackward0", &[a], out, |_, _| move |_, g| Ok(grads![Some(to_device(g, from)?)]))
}
