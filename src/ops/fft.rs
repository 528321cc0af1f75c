//! Fourier transforms, under PyTorch's names and with its checks. The kernels (`backend/cpu/fft`) work on the host: a device's
//! tensors are copied there and back inside an op. Of every transform the derivative is another one.

use super::*;
use crate::autograd::record;
use crate::backend::cpu::fft::{self, Kind};
use crate::base::layout::wrap_dim;
use crate::{bail, ensure, grads, Dims};

const ONE: Scalar = Scalar::Int(1);

/// What a transform of n elements is divided by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Norm {
    None,
    Root,
    All,
}
impl Norm {
    fn of(norm: Option<&str>, forward: bool) -> Result<Norm> {
        match norm {
            None | Some("backward") => Ok(if forward { Norm::None } else { Norm::All }),
            Some("forward") => Ok(if forward { Norm::All } else { Norm::None }),
            Some("ortho") => Ok(Norm::Root),
            Some(other) => bail!(Runtime, "Invalid normalization mode: \"{other}\""),
        }
    }
    fn scale(self, sizes: &[i64], dims: &[usize]) -> f64 {
        let n: f64 = dims.iter().map(|d| sizes[*d] as f64).product();
        match self {
            Norm::None => 1.0,
            Norm::Root => 1.0 / n.sqrt(),
            Norm::All => 1.0 / n,
        }
    }
}

/// float32, float64 or complex; integers become the default float type.
fn promoted(a: &Tensor, complex: bool) -> Result<Tensor> {
    let d = a.dtype();
    if d.is_complex() {
        return Ok(a.clone());
    }
    let d = if d.is_float() { d } else { crate::base::settings::default_dtype() };
    ensure!(matches!(d, DType::F32 | DType::F64), NotImplemented, "Unsupported dtype {}", d.scalar_name());
    cast(a, if complex { d.complex() } else { d })
}
/// A dimension of a tensor that has some.
fn dimension(dim: i64, a: &Tensor) -> Result<usize> {
    ensure!(a.ndim() > 0, Index, "Dimension specified as {dim} but tensor has no dimensions");
    wrap_dim(dim, a.ndim())
}
fn check_points(n: i64) -> Result<()> {
    ensure!(n >= 1, Runtime, "Invalid number of data points ({n}) specified");
    Ok(())
}
/// Cut or filled with zeros to the sizes.
fn resized(a: &Tensor, dims: &[usize], sizes: &[i64]) -> Result<Tensor> {
    let rank = a.ndim();
    let mut pads: Dims = Dims::from_elem(0, 2 * rank);
    let mut a = a.clone();
    for (&d, &n) in dims.iter().zip(sizes) {
        let have = a.size(d as i64)?;
        if have < n {
            pads[2 * (rank - 1 - d) + 1] = n - have;
        } else if have > n {
            a = slice(&a, d as i64, Some(0), Some(n), 1)?;
        }
    }
    if pads.iter().all(|p| *p == 0) {
        return Ok(a);
    }
    pad(&a, &pads, "constant", Some(0.0))
}

// ---- the three transforms ----

/// Contiguous, on the host.
fn hosted(a: &Tensor) -> Result<Tensor> {
    let a = contiguous(&detach(a)?)?;
    to_device(&a, Device::CPU)
}
/// The result of `f` on the device, made on the host where elements are.
fn made(shape: &[i64], dtype: DType, device: Device, f: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
    if device.is_meta() {
        return Tensor::empty(shape, dtype, device);
    }
    autograd::no_grad(|| Ok(to_device(&f()?, device)?.alias_same()))
}
/// The dimensions from the last to the first.
fn inward(dims: &[usize]) -> smallvec::SmallVec<[usize; 6]> {
    let mut d: smallvec::SmallVec<[usize; 6]> = dims.iter().copied().collect();
    d.sort_unstable_by(|a, b| b.cmp(a));
    d
}
/// Complex transforms of `x` into `out`, which may be `x`.
fn complex_passes(x: &Tensor, out: &Tensor, dims: &[usize], forward: bool, scale: f64) -> Result<()> {
    let kind = Kind::Complex { inverse: !forward };
    // Handles of their own, since both may be one tensor, whose lock is taken once.
    let (x, out) = (x.alias_same(), out.alias_same());
    let (from, to) = (x.body(), out.body());
    for (i, d) in inward(dims).into_iter().enumerate() {
        let from = if i == 0 { from.view() } else { to.view() };
        fft::transform(kind, from, to.view(), d, if i == 0 { scale } else { 1.0 })?;
    }
    Ok(())
}
/// Complex to complex over `dims`.
pub(super) fn c2c(a: &Tensor, dims: &[usize], norm: Norm, forward: bool) -> Result<Tensor> {
    if dims.is_empty() {
        return clone(a);
    }
    let shape = a.shape();
    let out = made(&shape, a.dtype(), a.device(), || {
        let (x, out) = (hosted(a)?, Tensor::empty(&shape, a.dtype(), Device::CPU)?);
        complex_passes(&x, &out, dims, forward, norm.scale(&shape, dims))?;
        Ok(out)
    })?;
    let dims: smallvec::SmallVec<[usize; 6]> = dims.iter().copied().collect();
    record("FftC2CBackward0", &[a], out, |_, _| move |_, g| Ok(grads![Some(c2c(g, &dims, norm, !forward)?)]))
}
/// Real to complex over `dims`, of which the last has half a spectrum where `half`.
pub(super) fn r2c(a: &Tensor, dims: &[usize], norm: Norm, half: bool) -> Result<Tensor> {
    let (&last, others) = match dims.split_last() {
        Some(d) => d,
        None => bail!(Internal, "fft: no dimension"),
    };
    let (sizes, dtype) = (a.shape(), a.dtype().complex());
    let n = sizes[last];
    let mut halves = sizes.clone();
    halves[last] = n / 2 + 1;
    let out = made(if half { &halves } else { &sizes }, dtype, a.device(), || {
        let (x, out) = (hosted(a)?, Tensor::empty(&halves, dtype, Device::CPU)?);
        fft::transform(Kind::Forward, x.body().view(), out.body().view(), last, norm.scale(&sizes, dims))?;
        complex_passes(&out, &out, others, true, 1.0)?;
        if half {
            return Ok(out);
        }
        // The other half of more than one dimension would be that of opposite places.
        ensure!(others.is_empty(), Internal, "fft: whole spectra of several dimensions");
        let whole = Tensor::empty(&sizes, dtype, Device::CPU)?;
        fft::mirror(out.body().view(), whole.body().view(), last)?;
        Ok(whole)
    })?;
    let dims: smallvec::SmallVec<[usize; 6]> = dims.iter().copied().collect();
    record("FftR2CBackward0", &[a], out, |_, _| {
        move |_, g| {
            let spectrum =
                if half { c2c(&resized(g, &[last], &[n])?, &dims, norm, false)? } else { c2c(g, &dims, norm, false)? };
            Ok(grads![Some(real(&spectrum)?)])
        }
    })
}
/// Half spectra to real numbers over `dims`, n of them in the last one.
pub(super) fn c2r(a: &Tensor, dims: &[usize], norm: Norm, n: i64) -> Result<Tensor> {
    let (&last, others) = match dims.split_last() {
        Some(d) => d,
        None => bail!(Internal, "fft: no dimension"),
    };
    let mut sizes = a.shape();
    sizes[last] = n;
    let dtype = a.dtype().real();
    let out = made(&sizes, dtype, a.device(), || {
        let mut x = hosted(a)?;
        if !others.is_empty() {
            let between = Tensor::empty(&x.shape(), x.dtype(), Device::CPU)?;
            complex_passes(&x, &between, others, false, 1.0)?;
            x = between;
        }
        let out = Tensor::empty(&sizes, dtype, Device::CPU)?;
        fft::transform(Kind::Backward, x.body().view(), out.body().view(), last, norm.scale(&sizes, dims))?;
        Ok(out)
    })?;
    let dims: smallvec::SmallVec<[usize; 6]> = dims.iter().copied().collect();
    record("FftC2RBackward0", &[a], out, |_, _| {
        move |_, g| {
            let g = r2c(g, &dims, norm, true)?;
            // What stands for two places of the whole spectrum counts twice.
            let (h, twice) = (n / 2 + 1, (n - 1) / 2);
            if twice == 0 {
                return Ok(grads![Some(g)]);
            }
            let part = |from: i64, len: i64| narrow(&g, last as i64, from, len);
            let doubled = mul_scalar(&part(1, twice)?, Scalar::Int(2))?;
            Ok(grads![Some(cat(&[part(0, 1)?, doubled, part(1 + twice, h - 1 - twice)?], last as i64)?)])
        }
    })
}

// ---- one dimension ----

fn one_c2r(a: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>, forward: bool) -> Result<Tensor> {
    let x = promoted(a, true)?;
    let d = dimension(dim, &x)?;
    let points = match n {
        Some(n) => n,
        None => 2 * (x.size(dim)? - 1),
    };
    check_points(points)?;
    let x = if n.is_some() { resized(&x, &[d], &[points / 2 + 1])? } else { x };
    let norm = Norm::of(norm, forward)?;
    c2r(&if forward { conj(&x)? } else { x }, &[d], norm, points)
}
fn one_r2c(
    name: &str,
    a: &Tensor,
    n: Option<i64>,
    dim: i64,
    norm: Option<&str>,
    forward: bool,
    half: bool,
) -> Result<Tensor> {
    let dtype = a.dtype();
    ensure!(!dtype.is_complex(), Type, "{name} expects a real input tensor, but got {}", dtype.scalar_name());
    let x = promoted(a, false)?;
    let d = dimension(dim, &x)?;
    let points = match n {
        Some(n) => n,
        None => x.size(dim)?,
    };
    check_points(points)?;
    let x = resized(&x, &[d], &[points])?;
    let out = r2c(&x, &[d], Norm::of(norm, forward)?, half)?;
    if forward {
        Ok(out)
    } else {
        conj(&out)
    }
}
fn one_c2c(name: &str, a: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>, forward: bool) -> Result<Tensor> {
    if !a.dtype().is_complex() {
        return one_r2c(name, a, n, dim, norm, forward, false);
    }
    let d = dimension(dim, a)?;
    let points = match n {
        Some(n) => n,
        None => a.size(dim)?,
    };
    check_points(points)?;
    c2c(&resized(a, &[d], &[points])?, &[d], Norm::of(norm, forward)?, forward)
}
/// The transform of one dimension, cut or filled with zeros to n elements.
pub fn fft_fft(a: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    one_c2c("fft", a, n, dim, norm, true)
}
/// The inverse of `fft_fft`.
pub fn fft_ifft(a: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    one_c2c("ifft", a, n, dim, norm, false)
}
/// The first n / 2 + 1 elements of a real tensor's transform.
pub fn fft_rfft(a: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    one_r2c("rfft", a, n, dim, norm, true, true)
}
/// The inverse of `fft_rfft`: n real elements.
pub fn fft_irfft(a: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    one_c2r(a, n, dim, norm, false)
}
/// The transform of a signal that is Hermitian, of which the first half is given: n real elements.
pub fn fft_hfft(a: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    one_c2r(a, n, dim, norm, true)
}
/// The inverse of `fft_hfft`.
pub fn fft_ihfft(a: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    one_r2c("ihfft", a, n, dim, norm, false, true)
}

// ---- several dimensions ----

struct Wanted {
    dims: smallvec::SmallVec<[usize; 6]>,
    sizes: Dims,
}
/// The dimensions and how many elements of each.
fn wanted(a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>) -> Result<Wanted> {
    let have = a.shape();
    let rank = have.len();
    let mut dims: smallvec::SmallVec<[usize; 6]> = Default::default();
    if let Some(list) = dim {
        for &d in list {
            let d = dimension(d, a)?;
            ensure!(!dims.contains(&d), Runtime, "FFT dims must be unique");
            dims.push(d);
        }
    }
    let sizes: Dims = match s {
        Some(s) => {
            ensure!(
                dim.is_none_or(|d| d.len() == s.len()),
                Runtime,
                "When given, dim and shape arguments must have the same length"
            );
            ensure!(
                s.len() <= rank,
                Runtime,
                "Got shape with {} values but input tensor only has {rank} dimensions.",
                s.len()
            );
            if dim.is_none() {
                dims.extend(rank - s.len()..rank);
            }
            s.iter().zip(&dims).map(|(&n, &d)| if n == -1 { have[d] } else { n }).collect()
        }
        None => {
            if dim.is_none() {
                dims.extend(0..rank);
            }
            dims.iter().map(|&d| have[d]).collect()
        }
    };
    sizes.iter().try_for_each(|&n| check_points(n))?;
    Ok(Wanted { dims, sizes })
}
/// The same of half spectra, and how many real elements the last dimension gives.
fn wanted_half(name: &str, a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>) -> Result<(Wanted, i64)> {
    let mut w = wanted(a, s, dim)?;
    let (Some(&last), Some(size)) = (w.dims.last(), w.sizes.last_mut()) else {
        bail!(Runtime, "{name} must transform at least one axis");
    };
    let n = match s.and_then(|s| s.last()) {
        Some(n) if *n != -1 => *size,
        _ => 2 * (a.shape()[last] - 1),
    };
    check_points(n)?;
    *size = n / 2 + 1;
    Ok((w, n))
}
fn check_real(name: &str, a: &Tensor) -> Result<()> {
    let dtype = a.dtype();
    ensure!(!dtype.is_complex(), Type, "{name} expects a real-valued input tensor, but got {}", dtype.scalar_name());
    Ok(())
}
fn many_c2c(a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>, norm: Option<&str>, forward: bool) -> Result<Tensor> {
    let w = wanted(a, s, dim)?;
    let x = resized(&promoted(a, true)?, &w.dims, &w.sizes)?;
    c2c(&x, &w.dims, Norm::of(norm, forward)?, forward)
}
/// The transform of several dimensions: all, those of `dim`, or the last ones, as many as `s` has sizes.
pub fn fft_fftn(a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>, norm: Option<&str>) -> Result<Tensor> {
    many_c2c(a, s, dim, norm, true)
}
/// The inverse of `fft_fftn`.
pub fn fft_ifftn(a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>, norm: Option<&str>) -> Result<Tensor> {
    many_c2c(a, s, dim, norm, false)
}
/// The transform of a real tensor, half of it in the last of the dimensions.
pub fn fft_rfftn(a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>, norm: Option<&str>) -> Result<Tensor> {
    check_real("rfftn", a)?;
    let x = promoted(a, false)?;
    let w = wanted(&x, s, dim)?;
    ensure!(!w.dims.is_empty(), Runtime, "rfftn must transform at least one axis");
    r2c(&resized(&x, &w.dims, &w.sizes)?, &w.dims, Norm::of(norm, true)?, true)
}
/// The inverse of `fft_rfftn`.
pub fn fft_irfftn(a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>, norm: Option<&str>) -> Result<Tensor> {
    let (w, n) = wanted_half("irfftn", a, s, dim)?;
    let x = resized(&promoted(a, true)?, &w.dims, &w.sizes)?;
    c2r(&x, &w.dims, Norm::of(norm, false)?, n)
}
/// The real transform of a Hermitian signal of which half is given in the last of the dimensions.
pub fn fft_hfftn(a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>, norm: Option<&str>) -> Result<Tensor> {
    let (w, n) = wanted_half("hfftn", a, s, dim)?;
    let x = resized(&promoted(a, true)?, &w.dims, &w.sizes)?;
    let norm = Norm::of(norm, true)?;
    let split = w.dims.len() - 1;
    let x = if split > 0 { c2c(&x, &w.dims[..split], norm, true)? } else { x };
    c2r(&conj(&x)?, &w.dims[split..], norm, n)
}
/// The inverse of `fft_hfftn`.
pub fn fft_ihfftn(a: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>, norm: Option<&str>) -> Result<Tensor> {
    let dtype = a.dtype();
    ensure!(!dtype.is_complex(), Type, "Only supports floating-point dtypes, but found: {}", dtype.scalar_name());
    let x = promoted(a, false)?;
    let w = wanted(&x, s, dim)?;
    ensure!(!w.dims.is_empty(), Runtime, "ihfftn must transform at least one axis");
    let x = resized(&x, &w.dims, &w.sizes)?;
    let norm = Norm::of(norm, false)?;
    let split = w.dims.len() - 1;
    let half = conj(&r2c(&x, &w.dims[split..], norm, true)?)?;
    if split == 0 {
        return Ok(half);
    }
    c2c(&half, &w.dims[..split], norm, false)
}
/// `fft_fftn` of two dimensions.
pub fn fft_fft2(a: &Tensor, s: Option<&[i64]>, dim: &[i64], norm: Option<&str>) -> Result<Tensor> {
    fft_fftn(a, s, Some(dim), norm)
}
/// `fft_ifftn` of two dimensions.
pub fn fft_ifft2(a: &Tensor, s: Option<&[i64]>, dim: &[i64], norm: Option<&str>) -> Result<Tensor> {
    fft_ifftn(a, s, Some(dim), norm)
}
/// `fft_rfftn` of two dimensions.
pub fn fft_rfft2(a: &Tensor, s: Option<&[i64]>, dim: &[i64], norm: Option<&str>) -> Result<Tensor> {
    fft_rfftn(a, s, Some(dim), norm)
}
/// `fft_irfftn` of two dimensions.
pub fn fft_irfft2(a: &Tensor, s: Option<&[i64]>, dim: &[i64], norm: Option<&str>) -> Result<Tensor> {
    fft_irfftn(a, s, Some(dim), norm)
}
/// `fft_hfftn` of two dimensions.
pub fn fft_hfft2(a: &Tensor, s: Option<&[i64]>, dim: &[i64], norm: Option<&str>) -> Result<Tensor> {
    fft_hfftn(a, s, Some(dim), norm)
}
/// `fft_ihfftn` of two dimensions.
pub fn fft_ihfft2(a: &Tensor, s: Option<&[i64]>, dim: &[i64], norm: Option<&str>) -> Result<Tensor> {
    fft_ihfftn(a, s, Some(dim), norm)
}

// ---- frequencies ----

fn frequencies(name: &str, n: i64, d: f64, parts: &[(i64, i64)], dtype: Option<DType>) -> Result<Tensor> {
    let dtype = dtype.unwrap_or_else(crate::base::settings::default_dtype);
    ensure!(dtype.is_inexact(), Runtime, "{name} requires a floating point or complex dtype");
    let range = |&(from, to): &(i64, i64)| {
        arange_start_step(Scalar::Int(from), Scalar::Int(to), ONE, Some(dtype), Some(Device::CPU))
    };
    let parts: smallvec::SmallVec<[Tensor; 2]> = parts.iter().map(range).collect::<Result<_>>()?;
    let all = if parts.len() == 1 { parts[0].clone() } else { cat(&parts, 0)? };
    mul_scalar(&all, Scalar::Float(1.0 / (n as f64 * d)))
}
fn check_size(n: i64) -> Result<()> {
    ensure!(n >= 0, Runtime, "Trying to create tensor with negative dimension {n}: [{n}]");
    Ok(())
}
/// The frequencies of the elements of a transform of n samples that are d apart: 0, 1, .., and the negative ones.
pub fn fft_fftfreq(n: i64, d: f64, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    check_size(n)?;
    let t = frequencies("fftfreq", n, d, &[(0, n / 2 + n % 2), (-(n / 2), 0)], dtype)?;
    to_device(&t, device.unwrap_or_else(crate::base::settings::default_device))
}
/// The frequencies of the elements of half a spectrum of n samples that are d apart.
pub fn fft_rfftfreq(n: i64, d: f64, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    let half = n / 2 + 1;
    check_size(half)?;
    let t = frequencies("rfftfreq", n, d, &[(0, half)], dtype)?;
    to_device(&t, device.unwrap_or_else(crate::base::settings::default_device))
}
fn shifted(a: &Tensor, dim: Option<&[i64]>, up: i64) -> Result<Tensor> {
    let dims: Dims = match dim {
        Some(list) => list.iter().map(|&d| Ok(wrap_dim(d, a.ndim())? as i64)).collect::<Result<_>>()?,
        None => (0..a.ndim() as i64).collect(),
    };
    let shifts: Dims = dims.iter().map(|&d| Ok((a.size(d)? + up) / 2)).collect::<Result<_>>()?;
    roll(a, &shifts, &dims)
}
/// Frequency 0 in the middle.
pub fn fft_fftshift(a: &Tensor, dim: Option<&[i64]>) -> Result<Tensor> {
    shifted(a, dim, 0)
}
/// The inverse of `fft_fftshift`.
pub fn fft_ifftshift(a: &Tensor, dim: Option<&[i64]>) -> Result<Tensor> {
    shifted(a, dim, 1)
}
