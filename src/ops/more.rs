//! More of PyTorch's functions, composed of other ops: divisors, statistics, splits, windows, differences of samples.

use super::pointwise::{pointwise, promote};
use super::*;
use crate::autograd::record;
use crate::backend::program::Opcode;
use crate::base::dtype::Element;
use crate::base::layout::{wrap_dim, Layout};
use crate::{bail, ensure, grads};
use half::{bf16, f16};

const ONE: Scalar = Scalar::Int(1);
const ZERO: Scalar = Scalar::Int(0);

// ---- divisors, neighbours ----

fn whole(name: &str, a: &Tensor, b: &Tensor) -> Result<DType> {
    let ty = promote(&[a.into(), b.into()]);
    ensure!(
        !ty.is_inexact() && ty != DType::Bool,
        NotImplemented,
        "\"{name}\" not implemented for '{}'",
        ty.scalar_name()
    );
    Ok(ty)
}
/// The greatest common divisors of integers.
pub fn gcd(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = whole("gcd_cpu", a, b)?;
    let all = broadcast_tensors(&[cast(a, ty)?, cast(b, ty)?])?;
    let (mut x, mut y) = (abs(&all[0])?, abs(&all[1])?);
    // Euclid's steps for all elements, until no remainder is left: at most 91 of them.
    while y.numel() > 0 && !y.device().is_meta() {
        let none = eq_scalar(&y, ZERO)?;
        if logical_not(&none).and_then(|n| any(&n))?.item()?.to_bool() {
            let by = masked_fill_scalar(&y, &none, ONE)?;
            let rest = masked_fill_scalar(&remainder(&x, &by)?, &none, ZERO)?;
            (x, y) = (where_(&none, &x, &y)?, rest);
        } else {
            break;
        }
    }
    contiguous(&x)
}
/// The least common multiples of integers.
pub fn lcm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = whole("lcm_cpu", a, b)?;
    let (a, b) = (cast(a, ty)?, cast(b, ty)?);
    let g = gcd(&a, &b)?;
    let none = eq_scalar(&g, ZERO)?;
    let part = floor_divide(&a, &masked_fill_scalar(&g, &none, ONE)?)?;
    masked_fill_scalar(&abs(&mul(&part, &b)?)?, &none, ZERO)
}
/// The next number after self towards other.
pub fn nextafter(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = promote(&[a.into(), b.into()]);
    ensure!(ty.is_float(), NotImplemented, "\"nextafter_cpu\" not implemented for '{}'", ty.scalar_name());
    let out = match ty {
        DType::F16 => next_half(a, b, ty, f16::from_bits, f16::to_bits)?,
        DType::BF16 => next_half(a, b, ty, bf16::from_bits, bf16::to_bits)?,
        _ => pointwise(Opcode::Nextafter, ty, ty, &[a.into(), b.into()], None)?,
    };
    record("NextafterBackward0", &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            // Where both are equal the result is the second.
            let same = eq(&detach(&x.get(c)?)?, &detach(&y.get(c)?)?)?;
            Ok(grads![Some(masked_fill_scalar(g, &same, ZERO)?), Some(zeros_like(g, None, None)?)])
        }
    })
}

/// The neighbours of half types, on the host: kernels compute those in float32.
fn next_half<T: Element>(a: &Tensor, b: &Tensor, ty: DType, of: fn(u16) -> T, bits: fn(T) -> u16) -> Result<Tensor> {
    let both = broadcast_tensors(&[a.clone(), b.clone()])?;
    let from = autograd::no_grad(|| cast(&both[0], ty))?.to_vec::<T>()?;
    let toward = autograd::no_grad(|| cast(&both[1], ty))?;
    let (values, goals) = (autograd::no_grad(|| cast(&both[0], DType::F64))?.to_f64_vec()?, toward.to_f64_vec()?);
    let ends = toward.to_vec::<T>()?;
    let mut next = crate::backend::memory::with_capacity(from.len())?;
    for (i, x) in from.iter().enumerate() {
        let (x, v, goal) = (bits(*x), values[i], goals[i]);
        // Sign and size: one more is farther from zero.
        next.push(of(match () {
            _ if v.is_nan() => x,
            _ if goal.is_nan() || v == goal => bits(ends[i]),
            _ if v == 0.0 => ((goal < 0.0) as u16) << 15 | 1,
            _ if (v < goal) == (v > 0.0) => x + 1,
            _ => x - 1,
        }));
    }
    to(&Tensor::from_slice(&next, &both[0].shape())?, None, Some(a.device()), false)
}

// ---- statistics ----

/// The lower median of the elements that are not NaN.
pub fn nanmedian(a: &Tensor) -> Result<Tensor> {
    complex::no_kernel("nanmedian_cpu", a)?;
    if !a.dtype().is_float() || a.numel() == 0 {
        return median(a);
    }
    let out = autograd::no_grad(|| Ok(nanmedian_dim(&reshape(a, &[-1])?, 0, false)?.0))?;
    reduce::record_share("NanmedianBackward0", a, out)
}
/// The same along a dimension; NaN where nothing else is.
pub fn nanmedian_dim(a: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("nanmedian_cpu", a)?;
    let n = if a.ndim() == 0 { 1 } else { a.size(dim)? };
    ensure!(n > 0, Index, "nanmedian(): Expected reduction dim {dim} to have non-zero size.");
    if !a.dtype().is_float() || a.ndim() == 0 {
        return median_dim(a, dim, keepdim);
    }
    let index = autograd::no_grad(|| {
        // NaN sorts last: the middle is that of the others.
        let count = sum_dim(&logical_not(&isnan(a)?)?, Some(&[dim]), true, None)?;
        let middle = clamp_min(&floor_divide_scalar(&sub_scalar(&count, ONE, ONE)?, Scalar::Int(2))?, ZERO)?;
        gather(&sort(a, dim, false)?.1, dim, &middle)
    })?;
    let v = gather(a, dim, &index)?;
    if keepdim {
        Ok((v, index))
    } else {
        Ok((squeeze_dim(&v, dim)?, squeeze_dim(&index, dim)?))
    }
}
/// The q-quantiles of the elements that are not NaN, along dim or of all.
pub fn nanquantile(a: &Tensor, q: &Tensor, dim: Option<i64>, keepdim: bool, interpolation: &str) -> Result<Tensor> {
    ensure!(a.numel() > 0, Runtime, "nanquantile() input tensor must be non-empty");
    ensure!(q.ndim() <= 1, Runtime, "nanquantile() q must be a scalar or 1D tensor");
    ensure!(
        matches!(a.dtype(), DType::F32 | DType::F64),
        Runtime,
        "nanquantile() input tensor must be either float or double dtype"
    );
    ensure!(a.dtype() == q.dtype(), Runtime, "nanquantile() q tensor must be same dtype as the input tensor");
    ensure!(
        matches!(interpolation, "linear" | "lower" | "higher" | "midpoint" | "nearest"),
        Runtime,
        "nanquantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
    );
    let wanted = autograd::no_grad(|| all(&logical_and(&ge_scalar(q, ZERO)?, &le_scalar(q, ONE)?)?))?;
    ensure!(wanted.item()?.to_bool(), Runtime, "nanquantile() q values must be in the range [0, 1]");
    let (x, mut shape) = match dim {
        None => (reshape(a, &[-1])?, if keepdim { vec![1; a.ndim()] } else { vec![] }),
        Some(d) => {
            let d = wrap_dim(d, a.ndim())?;
            let mut shape = a.shape().to_vec();
            if keepdim && !shape.is_empty() {
                shape[d] = 1;
            } else if !shape.is_empty() {
                shape.remove(d);
            }
            (if a.ndim() == 0 { reshape(a, &[1])? } else { movedim(a, &[d as i64], &[-1])? }, shape)
        }
    };
    let sorted = sort(&x, -1, false)?.0;
    // Each row has ranks of its own, by how many numbers it has: [.., q].
    let last = autograd::no_grad(|| {
        let count = sum_dim(&logical_not(&isnan(&x)?)?, Some(&[-1]), true, None)?;
        cast(&clamp_min(&sub_scalar(&count, ONE, ONE)?, ZERO)?, x.dtype())
    })?;
    let rank = mul(&last, &reshape(q, &[-1])?)?;
    let (low, high) = (floor(&rank)?, ceil(&rank)?);
    let at = |r: &Tensor| gather(&sorted, -1, &cast(&detach(r)?, DType::I64)?);
    let r = match interpolation {
        "lower" => at(&low)?,
        "higher" => at(&high)?,
        "nearest" => at(&round(&rank, 0)?)?,
        "midpoint" => lerp_scalar(&at(&low)?, &at(&high)?, Scalar::Float(0.5))?,
        _ => lerp(&at(&low)?, &at(&high)?, &sub(&rank, &low, ONE)?)?,
    };
    let r = movedim(&r, &[-1], &[0])?;
    if q.ndim() > 0 {
        shape.insert(0, q.numel() as i64);
    }
    reshape(&r, &shape)
}
/// `nanquantile` of one number.
pub fn nanquantile_scalar(a: &Tensor, q: f64, dim: Option<i64>, keepdim: bool, interpolation: &str) -> Result<Tensor> {
    ensure!((0.0..=1.0).contains(&q), Runtime, "nanquantile() q must be in the range [0, 1] but got {q}");
    nanquantile(a, &create::scalar_tensor(Scalar::Float(q), a.dtype(), a.device())?, dim, keepdim, interpolation)
}
/// The covariance of variables (rows) over observations (columns), which may be repeated (fweights) or weighted (aweights).
pub fn cov(a: &Tensor, correction: i64, fweights: Option<&Tensor>, aweights: Option<&Tensor>) -> Result<Tensor> {
    ensure!(
        a.ndim() <= 2,
        Runtime,
        "cov(): expected input to have two or fewer dimensions but got an input with {} dimensions",
        a.ndim()
    );
    ensure!(a.dtype() != DType::Bool, Runtime, "cov(): bool dtype is not supported for input");
    let x = if a.ndim() < 2 { reshape(a, &[1, -1])? } else { a.clone() };
    let n = x.size(1)?;
    let x = cast(&x, pointwise::promote_float(&[(&x).into()]))?;
    let numbers = x.dtype().real();
    for (name, w) in [("fweights", fweights), ("aweights", aweights)] {
        let Some(w) = w else { continue };
        ensure!(
            w.ndim() <= 1,
            Runtime,
            "cov(): expected {name} to have one or fewer dimensions but got {name} with {} dimensions",
            w.ndim()
        );
        let right = w.dtype().is_float() == (name == "aweights") && w.dtype() != DType::Bool;
        let (wanted, got) = (if name == "aweights" { "floating point" } else { "integral" }, w.dtype().scalar_name());
        ensure!(right, Runtime, "cov(): expected {name} to have {wanted} dtype but got {name} with {got} dtype");
        ensure!(
            w.numel() as i64 == n,
            Runtime,
            "cov(): expected {name} to have the same numel as there are observations in the input but got {} != {n}",
            w.numel()
        );
        let low = n == 0 || autograd::no_grad(|| all(&ge_scalar(w, ZERO)?))?.item()?.to_bool();
        ensure!(low, Runtime, "cov(): {name} cannot be negative");
    }
    let w = match (fweights, aweights) {
        (Some(f), Some(a)) => Some(mul(f, a)?),
        (f, a) => f.or(a).cloned(),
    };
    // Weights keep their dtype: those in float32 of a half widen the result, as in PyTorch.
    let w = w.map(|w| reshape(&w, &[-1])).transpose()?;
    let total = match &w {
        Some(w) => sum(w, None)?,
        None => create::scalar_tensor(Scalar::Int(n), numbers, x.device())?,
    };
    let scaled = |x: &Tensor| match &w {
        Some(w) => mul(x, w),
        None => Ok(x.clone()),
    };
    let mean = unsqueeze(&div(&sum_dim(&scaled(&x)?, Some(&[1]), false, None)?, &total)?, 1)?;
    // How far each kind of weights lowers the count.
    let by = match (&w, aweights) {
        (Some(w), Some(a)) => {
            let own = mul(w, &reshape(a, &[-1])?)?;
            let lost = div(&mul_scalar(&sum(&own, None)?, Scalar::Int(correction))?, &total)?;
            sub(&total, &lost, ONE)?
        }
        _ => sub_scalar(&total, Scalar::Int(correction), ONE)?,
    };
    let by = clamp_min(&by, ZERO)?;
    let away = sub(&x, &mean, ONE)?;
    let c = div(&matmul(&scaled(&away)?, &conj(&transpose(&away, 0, 1)?)?)?, &by)?;
    squeeze(&c)
}
/// Pearson's correlation of variables (rows) over observations (columns).
pub fn corrcoef(a: &Tensor) -> Result<Tensor> {
    ensure!(
        a.ndim() <= 2,
        Runtime,
        "corrcoef(): expected input to have two or fewer dimensions but got an input with {} dimensions",
        a.ndim()
    );
    let c = cov(a, 1, None, None)?;
    if c.ndim() == 0 {
        return div(&c, &c);
    }
    let deviation = sqrt(&real(&diagonal(&c, 0, 0, 1)?)?)?;
    let c = div(&div(&c, &unsqueeze(&deviation, 1)?)?, &unsqueeze(&deviation, 0)?)?;
    let bounded = |t: &Tensor| clamp(t, Some(Scalar::Int(-1)), Some(ONE));
    if c.dtype().is_complex() {
        return complex(&bounded(&real(&c)?)?, &bounded(&imag(&c)?)?);
    }
    bounded(&c)
}
fn counts(a: &Tensor, edges: &Tensor, weight: Option<&Tensor>, density: bool) -> Result<Tensor> {
    let bins = edges.numel() as i64 - 1;
    let x = contiguous(&reshape(&detach(a)?, &[-1])?)?;
    if let Some(w) = weight {
        ensure!(
            w.shape() == a.shape(),
            Runtime,
            "histogramdd(): if weight tensor is provided it should have the same shape as the input tensor excluding its \
             innermost dimension"
        );
        ensure!(
            w.dtype() == a.dtype(),
            Runtime,
            "histogramdd(): if weight tensor is provided, input tensor and weight tensor should have the same dtype"
        );
    }
    // The bin on the left of a value; the last edge belongs to the last bin, what is outside to one that is left out.
    let place = sub_scalar(&searchsorted(edges, &x, false, true, None, None)?, ONE, ONE)?;
    let top = ge_scalar(&x, ZERO).and_then(|_| eq(&x, &select(edges, 0, bins)?))?;
    let place = masked_fill_scalar(&place, &top, Scalar::Int(bins - 1))?;
    let out = logical_or(&lt_scalar(&place, ZERO)?, &ge_scalar(&place, Scalar::Int(bins))?)?;
    let out = logical_or(&out, &isnan(&x)?)?;
    let place = masked_fill_scalar(&place, &out, Scalar::Int(bins))?;
    let each = match weight {
        Some(w) => contiguous(&reshape(&detach(w)?, &[-1])?)?,
        None => ones_like(&x, None, None)?,
    };
    let empty = zeros(&[bins + 1], Some(a.dtype()), Some(a.device()))?;
    let hist = contiguous(&narrow(&index_add(&empty, 0, &place, &each, ONE)?, 0, 0, bins)?)?;
    if !density {
        return Ok(hist);
    }
    let width = diff(edges, 1, -1, None, None)?;
    div(&hist, &mul(&width, &sum(&hist, None)?)?)
}
fn histogram_input(a: &Tensor) -> Result<()> {
    ensure!(
        matches!(a.dtype(), DType::F32 | DType::F64),
        NotImplemented,
        "\"histogram_cpu\" not implemented for '{}'",
        a.dtype().scalar_name()
    );
    Ok(())
}
/// How many elements (or how much weight) fall into each of equal bins between min and max, and the bins' edges.
pub fn histogram(
    a: &Tensor,
    bins: i64,
    min: Option<f64>,
    max: Option<f64>,
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Tensor)> {
    histogram_input(a)?;
    ensure!(bins > 0, Runtime, "histogramdd(): bins {bins} for dimension 0 must be positive");
    let (mut low, mut high) = match (min, max) {
        (Some(low), Some(high)) => (low, high),
        (None, None) if a.numel() == 0 => (0.0, 1.0),
        (None, None) => {
            let (l, h) = aminmax(&detach(a)?, None, false)?;
            (l.item()?.to_f64(), h.item()?.to_f64())
        }
        _ => bail!(Runtime, "histogram: min and max are given together or not at all"),
    };
    ensure!(low.is_finite() && high.is_finite(), Runtime, "histogramdd(): range [{low}, {high}] is not finite");
    ensure!(low <= high, Runtime, "histogramdd(): min should not exceed max, but got min {low} max {high}");
    if low == high {
        (low, high) = (low - 0.5, high + 0.5);
    }
    let edges = linspace(Scalar::Float(low), Scalar::Float(high), bins + 1, Some(a.dtype()), Some(a.device()))?;
    Ok((counts(a, &edges, weight, density)?, edges))
}
/// The same for given edges, ascending.
pub fn histogram_bins_tensor(
    a: &Tensor,
    bins: &Tensor,
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Tensor)> {
    histogram_input(a)?;
    ensure!(
        bins.ndim() == 1 && bins.numel() > 1,
        Runtime,
        "histogramdd(): bins tensor should have one dimension and at least two edges, but got {:?}",
        &bins.shape()[..]
    );
    ensure!(
        bins.dtype() == a.dtype(),
        Runtime,
        "histogramdd(): input tensor and bins tensors should have the same dtype"
    );
    let edges = contiguous(&detach(bins)?)?;
    Ok((counts(a, &edges, weight, density)?, clone(&edges)?))
}

// ---- slopes ----

/// The slope along one dimension of samples: `at` their places, or one distance for all.
fn slope(a: &Tensor, dim: i64, distance: f64, at: Option<&Tensor>, edge_order: i64) -> Result<Tensor> {
    let n = a.size(dim)?;
    ensure!(n > edge_order, Runtime, "torch.gradient expected each dimension size to be at least edge_order+1");
    let part = |t: &Tensor, from: i64, len: i64| narrow(t, dim, from, len);
    let Some(at) = at else {
        let by = Scalar::Float(distance);
        let inner = div_scalar(
            &sub(&part(a, 2, (n - 2).max(0))?, &part(a, 0, (n - 2).max(0))?, ONE)?,
            Scalar::Float(2.0 * distance),
        );
        let (first, last) = if edge_order == 1 {
            (
                div_scalar(&sub(&part(a, 1, 1)?, &part(a, 0, 1)?, ONE)?, by)?,
                div_scalar(&sub(&part(a, n - 1, 1)?, &part(a, n - 2, 1)?, ONE)?, by)?,
            )
        } else {
            // Through three points.
            let three = |i: i64, j: i64, k: i64, sign: f64| {
                let t = |i: i64, f: f64| mul_scalar(&part(a, i, 1)?, Scalar::Float(f * sign / distance));
                add(&add(&t(i, -1.5)?, &t(j, 2.0)?, ONE)?, &t(k, -0.5)?, ONE)
            };
            (three(0, 1, 2, 1.0)?, three(n - 1, n - 2, n - 3, -1.0)?)
        };
        return if n > 2 { cat(&[first, inner?, last], dim) } else { cat(&[first, last], dim) };
    };
    let mut shape = vec![1i64; a.ndim()];
    let d = wrap_dim(dim, a.ndim())?;
    shape[d] = n;
    let at = reshape(&cast(at, if at.dtype().is_float() { at.dtype() } else { a.dtype().real() })?, &shape)?;
    let gap = sub(&part(&at, 1, n - 1)?, &part(&at, 0, n - 1)?, ONE)?;
    let rise = div(&sub(&part(a, 1, n - 1)?, &part(a, 0, n - 1)?, ONE)?, &gap)?;
    let (left, right) = (part(&gap, 0, (n - 2).max(0))?, part(&gap, 1, (n - 2).max(0))?);
    let sum = add(&left, &right, ONE)?;
    let (before, after) = (part(&rise, 0, (n - 2).max(0))?, part(&rise, 1, (n - 2).max(0))?);
    let inner = div(&add(&mul(&before, &right)?, &mul(&after, &left)?, ONE)?, &sum)?;
    let (first, last) = if edge_order == 1 {
        (part(&rise, 0, 1)?, part(&rise, n - 2, 1)?)
    } else {
        // The parabola's slope at its end: the rise there, turned by the change of rise.
        let end = |near: i64, far: i64| {
            let (h, k) = (part(&gap, near, 1)?, part(&gap, far, 1)?);
            let (r, s) = (part(&rise, near, 1)?, part(&rise, far, 1)?);
            let turn = div(&mul(&sub(&s, &r, ONE)?, &h)?, &add(&h, &k, ONE)?)?;
            sub(&r, &turn, ONE)
        };
        (end(0, 1)?, end(n - 2, n - 3)?)
    };
    if n > 2 {
        cat(&[first, inner, last], dim)
    } else {
        cat(&[first, last], dim)
    }
}
fn slopes(
    a: &Tensor,
    dims: Option<&[i64]>,
    edge_order: i64,
    each: impl Fn(usize, usize) -> Result<(f64, Option<Tensor>)>,
) -> Result<Vec<Tensor>> {
    ensure!(edge_order == 1 || edge_order == 2, Runtime, "torch.gradient only supports edge_order=1 and edge_order=2.");
    ensure!(
        a.dtype() != DType::Bool && a.dtype() != DType::U8,
        Runtime,
        "torch.gradient does not support {} input.",
        a.dtype()
    );
    let every: Vec<i64> = (0..a.ndim() as i64).collect();
    let dims = dims.unwrap_or(&every);
    // A tensor without dimensions has one to look for in vain.
    let mut seen = vec![false; a.ndim().max(1)];
    for d in dims {
        let w = wrap_dim(*d, a.ndim())?;
        ensure!(!seen[w], Runtime, "dim {d} appears multiple times in the list of dims");
        seen[w] = true;
    }
    let x = cast(a, pointwise::promote_float(&[a.into()]))?;
    let mut out = Vec::with_capacity(dims.len());
    for (i, d) in dims.iter().enumerate() {
        let (distance, at) = each(i, dims.len())?;
        if let Some(t) = &at {
            ensure!(
                t.ndim() == 1 && t.size(0)? == x.size(*d)?,
                Runtime,
                "torch.gradient expected each coordinates tensor to have as many elements as its dimension"
            );
        }
        out.push(slope(&x, *d, distance, at.as_ref(), edge_order)?);
    }
    Ok(out)
}
/// The slopes of samples `spacing` apart along each of the dimensions.
pub fn gradient(a: &Tensor, spacing: Option<Scalar>, dim: Option<&[i64]>, edge_order: i64) -> Result<Vec<Tensor>> {
    ensure!(
        !spacing.is_some_and(|s| s.is_complex()),
        NotImplemented,
        "torch.gradient: a complex spacing is not supported; divide the slopes by it"
    );
    let by = spacing.map_or(1.0, |s| s.to_f64());
    slopes(a, dim, edge_order, |_, _| Ok((by, None)))
}
/// The slopes of samples at places given for each of the dimensions (or, as 0-dim tensors, so far apart).
pub fn gradient_tensorarray(
    a: &Tensor,
    spacing: &[Tensor],
    dim: Option<&[i64]>,
    edge_order: i64,
) -> Result<Vec<Tensor>> {
    slopes(a, dim, edge_order, |i, n| {
        ensure!(
            spacing.len() == n || dim.is_none(),
            Runtime,
            "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the same \
             length, but got a spacing argument of length {} and a dim argument of length {n}.",
            spacing.len()
        );
        ensure!(
            spacing.len() == n,
            Runtime,
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to 'self.dim() = {n}', but \
             got a list of length {}",
            spacing.len()
        );
        let t = &spacing[i];
        if t.ndim() == 0 {
            return Ok((t.item()?.to_f64(), None));
        }
        Ok((1.0, Some(t.clone())))
    })
}

// ---- splits, writes, norms ----

macro_rules! splits {
    ($($f:ident $f_array:ident $name:literal $least:literal $dim:expr;)*) => {$(
        pub fn $f(a: &Tensor, sections: i64) -> Result<Vec<Tensor>> {
            ensure!(
                a.ndim() >= $least,
                Runtime,
                concat!("torch.", $name, " requires a tensor with at least ", $least, " dimension, but got a tensor with {} dimensions!"),
                a.ndim()
            );
            let dim: i64 = $dim(a);
            let n = a.size(dim)?;
            ensure!(
                sections != 0 && n % sections == 0,
                Runtime,
                concat!("torch.", $name, " attempted to split along dimension {}, but the size of the dimension {} is not divisible by the split_size {}!"),
                dim,
                n,
                sections
            );
            tensor_split_sections(a, sections, dim)
        }
        pub fn $f_array(a: &Tensor, indices: &[i64]) -> Result<Vec<Tensor>> {
            ensure!(
                a.ndim() >= $least,
                Runtime,
                concat!("torch.", $name, " requires a tensor with at least ", $least, " dimension, but got a tensor with {} dimensions!"),
                a.ndim()
            );
            tensor_split_indices(a, indices, $dim(a))
        }
    )*};
}
splits! {
    hsplit_int hsplit_array "hsplit" 1 |a: &Tensor| (a.ndim() > 1) as i64;
    vsplit_int vsplit_array "vsplit" 2 |_: &Tensor| 0;
    dsplit_int dsplit_array "dsplit" 3 |_: &Tensor| 2;
}
/// self with the elements of source written (or added) at places of the flattened tensor.
pub fn put(a: &Tensor, index: &Tensor, source: &Tensor, accumulate: bool) -> Result<Tensor> {
    ensure!(
        index.dtype() == DType::I64,
        Runtime,
        "put_(): Expected a long tensor for index, but got {}",
        index.dtype().scalar_name()
    );
    ensure!(
        a.dtype() == source.dtype(),
        Runtime,
        "put_(): self and source expected to have the same dtype, but got self.dtype = {} and source.dtype = {}",
        a.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    ensure!(
        index.numel() == source.numel(),
        Index,
        "put_(): Expected source and index to have the same number of elements, but got source.numel() = {}, index.numel() = {}",
        source.numel(),
        index.numel()
    );
    ensure!(
        a.numel() > 0 || index.numel() == 0,
        Index,
        "put_(): Expected self.numel() != 0 when writing to places of an empty tensor"
    );
    let flat = reshape(a, &[-1])?;
    let out = index_put(&flat, &[Some(reshape(index, &[-1])?)], &reshape(source, &[-1])?, accumulate)?;
    reshape(&out, &a.shape())
}
/// self whose slices along dim are scaled down to a p-norm of at most maxnorm.
pub fn renorm(a: &Tensor, p: Scalar, dim: i64, maxnorm: Scalar) -> Result<Tensor> {
    ensure!(p.to_f64() > 0.0, Runtime, "renorm: non-positive-norm not supported");
    ensure!(maxnorm.to_f64() >= 0.0, Runtime, "renorm: expected maxnorm to be >= 0 but got {}", maxnorm.to_f64());
    ensure!(a.ndim() > 1, Runtime, "renorm: input needs at least 2 dimensions, got {} dimensions", a.ndim());
    ensure!(a.dtype().is_inexact(), Runtime, "renorm: expected a floating point tensor, got {}", a.dtype());
    let d = wrap_dim(dim, a.ndim())? as i64;
    let others: Vec<i64> = (0..a.ndim() as i64).filter(|i| *i != d).collect();
    in_float([a], |[a]| {
        let over = autograd::no_grad(|| gt_scalar(&norm_dim(a, Some(p), Some(&others), true)?, maxnorm))?;
        // A row that stays as it is gets its gradient as it is, even where its norm is NaN.
        let long = masked_fill_scalar(a, &logical_not(&over)?, ZERO)?;
        let norm = norm_dim(&long, Some(p), Some(&others), true)?;
        let by = div(
            &full_like(&norm, Scalar::Float(maxnorm.to_f64()), None, None)?,
            &add_scalar(&norm, Scalar::Float(1e-7), ONE)?,
        )?;
        mul(a, &where_scalar_other(&over, &by, Scalar::Float(1.0))?)
    })
}
/// The memory seen as another dtype; sizes differ by the last dimension's.
pub fn view_dtype(a: &Tensor, dtype: DType) -> Result<Tensor> {
    let (from, to) = (a.dtype().size() as i64, dtype.size() as i64);
    let old = a.layout();
    let mut layout = Layout { shape: old.shape.clone(), strides: old.strides.clone(), offset: old.offset };
    if from != to {
        let n = layout.shape.len();
        ensure!(
            n > 0,
            Runtime,
            "self.dim() cannot be 0 to view {} as {} (different element sizes)",
            a.dtype().scalar_name(),
            dtype.scalar_name()
        );
        ensure!(
            layout.strides[n - 1] == 1,
            Runtime,
            "self.stride(-1) must be 1 to view {} as {} (different element sizes), but got {}",
            a.dtype().scalar_name(),
            dtype.scalar_name(),
            layout.strides[n - 1]
        );
        let resized = |v: i64, what: &str| {
            if to <= from {
                return Ok(v * (from / to));
            }
            ensure!(
                v % (to / from) == 0,
                Runtime,
                "{what} must be divisible by {} to view {} as {} (different element sizes), but got {v}",
                to / from,
                a.dtype().scalar_name(),
                dtype.scalar_name()
            );
            Ok(v / (to / from))
        };
        layout.shape[n - 1] = resized(layout.shape[n - 1], "self.size(-1)")?;
        layout.offset = resized(layout.offset, "self.storage_offset()")?;
        for s in layout.strides[..n - 1].iter_mut() {
            *s = resized(*s, "self.stride()")?;
        }
    }
    a.alias_as(layout, dtype)
}

// ---- windows ----

/// `len` samples of `f` of 0 to 1, the end left out where it is periodic.
fn window(
    name: &str,
    len: i64,
    periodic: bool,
    dtype: Option<DType>,
    device: Option<Device>,
    f: impl Fn(f64) -> f64,
) -> Result<Tensor> {
    let dtype = dtype.unwrap_or_else(crate::base::settings::default_dtype);
    ensure!(dtype.is_float(), Runtime, "{name} expects floating point dtypes, got: {dtype}");
    ensure!(len >= 0, Runtime, "{name} requires non-negative window_length, got window_length={len}");
    let device = device.unwrap_or_else(crate::base::settings::default_device);
    crate::base::layout::checked_numel(&[len, 8])?;
    let last = if periodic { len } else { len - 1 } as f64;
    let values = crate::backend::memory::collect((0..len).map(|i| if len == 1 { 1.0 } else { f(i as f64 / last) }))?;
    to_device(&cast(&Tensor::from_slice(&values, &[len])?, dtype)?, device)
}
fn turn(x: f64, k: f64) -> f64 {
    (std::f64::consts::TAU * k * x).cos()
}
/// (1 - cos 2 pi x) / 2.
pub fn hann_window(len: i64, periodic: bool, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    window("hann_window", len, periodic, dtype, device, |x| 0.5 - 0.5 * turn(x, 1.0))
}
/// alpha - beta cos 2 pi x.
pub fn hamming_window(
    len: i64,
    periodic: bool,
    alpha: f64,
    beta: f64,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    window("hamming_window", len, periodic, dtype, device, |x| alpha - beta * turn(x, 1.0))
}
/// 0.42 - 0.5 cos 2 pi x + 0.08 cos 4 pi x.
pub fn blackman_window(len: i64, periodic: bool, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    window("blackman_window", len, periodic, dtype, device, |x| 0.42 - 0.5 * turn(x, 1.0) + 0.08 * turn(x, 2.0))
}
/// A triangle.
pub fn bartlett_window(len: i64, periodic: bool, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    window("bartlett_window", len, periodic, dtype, device, |x| 1.0 - (2.0 * x - 1.0).abs())
}
/// I0(beta sqrt(1 - (2 x - 1)^2)) / I0(beta).
pub fn kaiser_window(
    len: i64,
    periodic: bool,
    beta: f64,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    // The power series has only positive terms.
    let i0 = |x: f64| {
        let z = 0.25 * x * x;
        let (mut t, mut sum) = (1.0, 1.0);
        for k in 1..2000 {
            t *= z / (k as f64 * k as f64);
            sum += t;
            if t < 1e-17 * sum {
                break;
            }
        }
        sum
    };
    window("kaiser_window", len, periodic, dtype, device, |x| {
        let y = 2.0 * x - 1.0;
        i0(beta * (1.0 - y * y).max(0.0).sqrt()) / i0(beta)
    })
}
