//! Elementwise functions, reductions and views made of other ops: they run on every device and have their derivatives.

use super::pointwise::{pointwise, promote_float};
use super::*;
use crate::autograd::record;
use crate::backend::memory;
use crate::backend::program::{Inst, Opcode, Program, Src};
use crate::base::layout::wrap_dim;
use crate::{ensure, grads, Dims};

const ONE: Scalar = Scalar::Int(1);

/// Degrees to radians.
pub fn deg2rad(a: &Tensor) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::NotImplemented, "deg2rad is not supported for complex tensors.")?;
    mul_scalar(a, Scalar::Float(std::f64::consts::PI / 180.0))
}
/// Radians to degrees.
pub fn rad2deg(a: &Tensor) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::NotImplemented, "rad2deg is not supported for complex tensors.")?;
    mul_scalar(a, Scalar::Float(180.0 / std::f64::consts::PI))
}
/// The tensor itself; bools are refused.
pub fn positive(a: &Tensor) -> Result<Tensor> {
    ensure!(a.dtype() != DType::Bool, Runtime, "The `+` operator, on a bool tensor is not supported.");
    alias(a)
}
/// Whether the sign bit is set, -0.0 included.
pub fn signbit(a: &Tensor) -> Result<Tensor> {
    let a = &detach(a)?;
    match a.dtype() {
        d if d.is_complex() => crate::bail!(NotImplemented, "signbit is not implemented for complex tensors."),
        DType::Bool => zeros_like(a, None, None),
        d if !d.is_float() => lt_scalar(a, Scalar::Int(0)),
        // Of 1 with its sign, since neither zero nor NaN is below zero.
        d => {
            let one = Scalar::Float(1.0);
            lt_scalar(&pointwise(Opcode::Copysign, d, d, &[one.into(), a.into()], None)?, Scalar::Int(0))
        }
    }
}
/// Whether an element is +inf.
pub fn isposinf(a: &Tensor) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::Type, "isposinf does not support complex inputs.")?;
    eq_scalar(&detach(a)?, Scalar::Float(f64::INFINITY))
}
/// Whether an element is -inf.
pub fn isneginf(a: &Tensor) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::Type, "isneginf does not support complex inputs.")?;
    eq_scalar(&detach(a)?, Scalar::Float(f64::NEG_INFINITY))
}
/// The magnitude of a with the sign of b.
pub fn copysign(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    complex::no_kernel("copysign_cpu", b)?;
    complex::no_kernel("copysign_cpu", a)?;
    let dtype = promote_float(&[a.into(), b.into()]);
    let out = autograd::no_grad(|| {
        let magnitude = abs(&cast(a, dtype)?)?;
        where_(&signbit(b)?, &neg(&magnitude)?, &magnitude)
    })?;
    signs_record(a, Some(b), out)
}
pub fn copysign_scalar(a: &Tensor, b: Scalar) -> Result<Tensor> {
    complex::no_kernel("copysign_cpu", a)?;
    let dtype = promote_float(&[a.into(), b.into()]);
    let out = autograd::no_grad(|| {
        let magnitude = abs(&cast(a, dtype)?)?;
        if b.to_f64().is_sign_negative() {
            neg(&magnitude)
        } else {
            Ok(magnitude)
        }
    })?;
    signs_record(a, None, out)
}
/// The slope is the product of both signs, from the values: NaN at infinities, 0 at 0. That of what gives the sign is 0.
fn signs_record(a: &Tensor, b: Option<&Tensor>, out: Tensor) -> Result<Tensor> {
    let inputs = [a, b.unwrap_or(a)];
    record("CopysignBackward0", if b.is_some() { &inputs } else { &inputs[..1] }, out, |s, out| {
        let (x, y, both) = (s.save(a), s.save_output(out, 0), b.is_some());
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let plain = detach(&x)?;
            let zero = eq_scalar(&plain, Scalar::Int(0))?;
            let turn = masked_fill_scalar(&div(&detach(&y)?, &abs(&plain)?)?, &zero, Scalar::Int(0))?;
            let slope = if c.needs(0) { Some(mul(g, &mul(&sign(&x)?, &turn)?)?) } else { None };
            let mut grads = grads![slope];
            if both {
                grads.push(if c.needs(1) { Some(zeros_like(g, None, None)?) } else { None });
            }
            Ok(grads)
        }
    })
}
/// 0 below zero, 1 above, values at zero.
pub fn heaviside(a: &Tensor, values: &Tensor) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::NotImplemented, "heaviside is not yet implemented for complex tensors.")?;
    ensure!(
        a.dtype() == values.dtype(),
        Runtime,
        "heaviside is not yet implemented for tensors with different dtypes."
    );
    let step = cast(&gt_scalar(a, Scalar::Int(0))?, a.dtype())?;
    where_(&eq_scalar(a, Scalar::Int(0))?, values, &step)
}
/// NaN and infinities replaced: by 0 and the dtype's largest and smallest numbers where nothing is given.
pub fn nan_to_num(a: &Tensor, nan: Option<f64>, posinf: Option<f64>, neginf: Option<f64>) -> Result<Tensor> {
    if a.dtype().is_complex() {
        let part = |t: Result<Tensor>| nan_to_num(&t?, nan, posinf, neginf);
        return complex(&part(real(a))?, &part(imag(a))?);
    }
    if !a.dtype().is_float() {
        return clone(a);
    }
    let limit = a.dtype().largest();
    let plain = detach(a)?;
    let values = [nan.unwrap_or(0.0), posinf.unwrap_or(limit), neginf.unwrap_or(-limit)].map(Scalar::Float);
    for v in values {
        create::check_fits(v, a.dtype())?;
    }
    let (x, reg, scalar) = (Src::Input(0), Src::Reg, Src::Scalar);
    // Where infinities become the largest numbers, bounds do that.
    let bounded = [
        (Opcode::IsNan, [x; 3]),
        (Opcode::Where, [reg(0), scalar(0), x]),
        (Opcode::Clamp, [reg(1), scalar(2), scalar(1)]),
    ];
    let insts = [
        (Opcode::IsNan, [x; 3]),
        (Opcode::Where, [reg(0), scalar(0), x]),
        (Opcode::Eq, [x, scalar(3), x]),
        (Opcode::Where, [reg(2), scalar(1), reg(1)]),
        (Opcode::Eq, [x, scalar(4), x]),
        (Opcode::Where, [reg(4), scalar(2), reg(3)]),
    ];
    let ends = [f64::INFINITY, f64::NEG_INFINITY].map(Scalar::Float);
    let insts = if values[1..] == [limit, -limit].map(Scalar::Float) { &bounded[..] } else { &insts };
    let out = pointwise::chain(insts, a.dtype(), &[a], &[values[0], values[1], values[2], ends[0], ends[1]])?;
    // The values themselves may be written over.
    let replaced = if autograd::recording(&[a]) { Some(logical_not(&isfinite(&plain)?)?) } else { None };
    record("NanToNumBackward0", &[a], out, |s, _| {
        let replaced = replaced.map(|m| s.save(&m));
        move |c, g| {
            let g = match &replaced {
                Some(m) => masked_fill_scalar(g, &m.get(c)?, Scalar::Int(0))?,
                None => g.clone(),
            };
            Ok(grads![Some(g)])
        }
    })
}
pub fn nan_to_num_(a: &Tensor, nan: Option<f64>, posinf: Option<f64>, neginf: Option<f64>) -> Result<()> {
    // The masks are taken from the values before they are written.
    in_place::write_back(a, false, |x| nan_to_num(x, nan, posinf, neginf))
}
/// sin(pi x) / (pi x), 1 at zero.
pub fn sinc(a: &Tensor) -> Result<Tensor> {
    let pi = Scalar::Float(std::f64::consts::PI);
    in_float([a], |[a]| {
        let a = &cast(a, promote_float(&[a.into()]))?;
        let out = autograd::no_grad(|| {
            let zero = eq_scalar(a, Scalar::Int(0))?;
            let x = mul_scalar(a, pi)?;
            masked_fill_scalar(&div(&sin(&x)?, &x)?, &zero, ONE)
        })?;
        record("SincBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c, g| {
                let x = conj(&x.get(c)?)?;
                // Where the square is nothing the slope is, too.
                let square = mul(&mul_scalar(&x, pi)?, &x)?;
                let zero = eq_scalar(&detach(&square)?, Scalar::Int(0))?;
                let (x, square) = (masked_fill_scalar(&x, &zero, ONE)?, masked_fill_scalar(&square, &zero, ONE)?);
                let px = mul_scalar(&x, pi)?;
                let slope = div(&sub(&mul(&px, &cos(&px)?)?, &sin(&px)?, ONE)?, &square)?;
                Ok(grads![Some(masked_fill_scalar(&mul(g, &slope)?, &zero, Scalar::Int(0))?)])
            }
        })
    })
}
/// a to the power b in float64, or complex128 where one is complex.
pub fn float_power(a: &Tensor, exponent: &Tensor) -> Result<Tensor> {
    let wide = double_of(pointwise::promote(&[a.into(), exponent.into()]));
    pow(&cast(a, wide)?, &cast(exponent, wide)?)
}
pub fn float_power_scalar(a: &Tensor, exponent: Scalar) -> Result<Tensor> {
    let exponent = if exponent.is_complex() { exponent } else { Scalar::Float(exponent.to_f64()) };
    pow_scalar(&cast(a, double_of(pointwise::promote(&[a.into(), exponent.into()])))?, exponent)
}
fn double_of(d: DType) -> DType {
    if d.is_complex() {
        DType::C128
    } else {
        DType::F64
    }
}
/// log2(2^a + 2^b).
pub fn logaddexp2(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    complex::no_kernel("logaddexp2_cpu", b)?;
    complex::no_kernel("logaddexp2_cpu", a)?;
    let dtype = promote_float(&[a.into(), b.into()]);
    let wide = if dtype == DType::F64 { dtype } else { DType::F32 };
    let natural = |t: &Tensor| mul_scalar(&cast(&cast(t, dtype)?, wide)?, Scalar::Float(std::f64::consts::LN_2));
    let sum = logaddexp(&natural(a)?, &natural(b)?)?;
    cast(&mul_scalar(&sum, Scalar::Float(std::f64::consts::LOG2_E))?, dtype)
}
/// a * 2^b.
pub fn ldexp(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let dtype = promote_float(&[a.into(), b.into()]);
    // 2^b is rounded to b's dtype, as in PyTorch.
    cast(&mul(a, &pow_scalar_base(Scalar::Float(2.0), b)?)?, dtype)
}
/// The smallest and the largest elements.
pub fn aminmax(a: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<(Tensor, Tensor)> {
    ensure!(
        dim.is_some() || a.numel() > 0,
        Runtime,
        "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
    );
    if let Some(d) = dim {
        let d = wrap_dim(d, a.ndim())?;
        ensure!(
            a.ndim() == 0 || a.shape()[d] != 0,
            Index,
            "aminmax: Expected reduction dim {d} to have non-zero size."
        );
    }
    let dims: Vec<i64> = dim.into_iter().collect();
    Ok((amin(a, &dims, keepdim)?, amax(a, &dims, keepdim)?))
}
/// The mean of the elements that are not NaN.
pub fn nanmean(a: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    ensure!(
        a.dtype().is_float(),
        Runtime,
        "nanmean(): expected input to have floating point or complex dtype but got {}",
        a.dtype().scalar_name()
    );
    let a = &cast(a, dtype.unwrap_or_else(|| a.dtype()))?;
    in_float([a], |[a]| {
        let count = sum_dim(&logical_not(&isnan(&detach(a)?)?)?, dim, keepdim, None)?;
        div(&nansum(a, dim, keepdim, None)?, &count)
    })
}
/// Sums of products over the last dimensions of both.
pub fn inner(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.ndim() == 0 || b.ndim() == 0 {
        return mul(a, b);
    }
    let (s, t) = (a.shape(), b.shape());
    let k = s[s.len() - 1];
    ensure!(
        k == t[t.len() - 1],
        Runtime,
        "inner() the last dimension must match on both input tensors but got shapes {:?} and {:?}",
        &s[..],
        &t[..]
    );
    let mut shape = Dims::from_slice(&s[..s.len() - 1]);
    shape.extend_from_slice(&t[..t.len() - 1]);
    let rows = |t: &Tensor, s: &[i64]| reshape(t, &[s[..s.len() - 1].iter().product(), k]);
    reshape(&matmul(&rows(a, &s)?, &transpose(&rows(b, &t)?, 0, 1)?)?, &shape)
}
/// A matrix with the flattened tensor on a diagonal.
pub fn diagflat(a: &Tensor, offset: i64) -> Result<Tensor> {
    diag(&reshape(a, &[-1])?, offset)
}
/// The elements in order along dimension 0.
pub fn msort(a: &Tensor) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::Type, " Sort does not support complex dtypes on CPU")?;
    Ok(sort(a, 0, false)?.0)
}
fn triangle(
    row: i64,
    col: i64,
    lower: bool,
    offset: i64,
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    ensure!(row >= 0, Runtime, "row must be non-negative, got{row}");
    ensure!(col >= 0, Runtime, "col must be non-negative, got{col}");
    crate::base::layout::checked_numel(&[row, col])?;
    // Further out the triangle is all or nothing.
    let offset = offset.clamp(-row, col);
    // The rows that hold an element, so that their number is a bound for the memory.
    let rows = match (col, lower) {
        (0, _) => 0..0,
        (_, true) => (-offset).max(0)..row,
        (_, false) => 0..row.min(col.saturating_sub(offset)),
    };
    let columns = |i: i64| if lower { 0..col.min(i + offset + 1) } else { (i + offset).max(0)..col };
    let mut flat: Vec<i64> = Vec::new();
    let mut reserve =
        |n: i64| memory::reserve_exact(&mut flat, usize::try_from(n).unwrap_or(usize::MAX).saturating_mul(2));
    reserve((rows.end - rows.start).max(0))?;
    let total = rows.clone().map(&columns).fold(0i64, |n, c| n.saturating_add((c.end - c.start).max(0)));
    reserve(total)?;
    flat.extend(rows.clone().flat_map(|i| columns(i).map(move |_| i)));
    flat.extend(rows.flat_map(&columns));
    let t = Tensor::from_slice(&flat, &[2, total])?;
    to(&t, dtype, Some(device.unwrap_or_else(crate::base::settings::default_device)), false)
}
/// Rows and columns of the lower triangle of a row by col matrix.
pub fn tril_indices(row: i64, col: i64, offset: i64, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    triangle(row, col, true, offset, dtype, device)
}
/// Rows and columns of the upper triangle of a row by col matrix.
pub fn triu_indices(row: i64, col: i64, offset: i64, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    triangle(row, col, false, offset, dtype, device)
}
/// The bin of every element, given the scalars low, high, bins per unit, the last bin, the bin for all others.
fn bins_program(dtype: DType) -> Program {
    let (x, reg, scalar) = (Src::Input(0), Src::Reg, Src::Scalar);
    let inst = |op, args| Inst { op, ty: DType::F64, args };
    Program {
        inputs: smallvec::SmallVec::from_slice(&[dtype]),
        insts: smallvec::SmallVec::from_slice(&[
            inst(Opcode::Sub, [x, scalar(0), x]),
            inst(Opcode::Mul, [reg(0), scalar(2), reg(0)]),
            inst(Opcode::Floor, [reg(1); 3]),
            inst(Opcode::Minimum, [reg(2), scalar(3), reg(2)]),
            inst(Opcode::Ge, [x, scalar(0), x]),
            inst(Opcode::Le, [x, scalar(1), x]),
            inst(Opcode::LogicalAnd, [reg(4), reg(5), reg(4)]),
            inst(Opcode::Where, [reg(6), reg(3), scalar(4)]),
        ]),
        outputs: smallvec::SmallVec::from_slice(&[(7, DType::I64)]),
    }
}
/// How many elements fall into each of equal bins between min and max (both included; others are left out).
pub fn histc(a: &Tensor, bins: i64, min: Scalar, max: Scalar) -> Result<Tensor> {
    if a.dtype().is_complex() {
        crate::bail!(Type, "aminmax not implemented for {}", a.dtype().scalar_name());
    }
    ensure!(bins > 0, Runtime, "bins must be > 0");
    let a = reshape(&detach(a)?, &[-1])?;
    let (mut low, mut high) = (min.to_f64(), max.to_f64());
    if low == high && a.numel() > 0 {
        let (l, h) = aminmax(&a, None, false)?;
        (low, high) = (l.item()?.to_f64(), h.item()?.to_f64());
    }
    if low == high {
        (low, high) = (low - 1.0, high + 1.0);
    }
    ensure!(low.is_finite() && high.is_finite(), Runtime, "range of [{low}, {high}] is not finite");
    ensure!(low < high, Runtime, "max must be larger than min");
    // One more bin takes what lies outside, NaN too.
    let counts = zeros(&[bins.saturating_add(1)], Some(DType::I64), Some(a.device()))?;
    if a.numel() > 0 {
        let place = Tensor::empty(&a.shape(), DType::I64, a.device())?;
        let program = bins_program(a.dtype());
        let scalars = [low, high, bins as f64 / (high - low), (bins - 1) as f64, bins as f64].map(Scalar::Float);
        let (x, kernel) = (a.materialize(), crate::backend::get(a.device())?);
        kernel.run_program(&program, &[x.view()], &scalars, &[place.body().view()])?;
        drop(x);
        let one = ones(&[1], Some(DType::I64), Some(a.device()))?;
        scatter_add_(&counts, 0, &place, &expand(&one, &place.shape())?)?;
    }
    cast(&narrow(&counts, 0, 0, bins)?, a.dtype())
}
/// The q-quantiles along dim, or of all elements; q is a number's 0-dim tensor or a vector, whose size comes first.
pub fn quantile(a: &Tensor, q: &Tensor, dim: Option<i64>, keepdim: bool, interpolation: &str) -> Result<Tensor> {
    ensure!(a.numel() > 0, Runtime, "quantile() input tensor must be non-empty");
    ensure!(q.ndim() <= 1, Runtime, "quantile() q must be a scalar or 1D tensor");
    ensure!(
        matches!(a.dtype(), DType::F32 | DType::F64),
        Runtime,
        "quantile() input tensor must be either float or double dtype"
    );
    ensure!(a.dtype() == q.dtype(), Runtime, "quantile() q tensor must be same dtype as the input tensor");
    ensure!(
        matches!(interpolation, "linear" | "lower" | "higher" | "midpoint" | "nearest"),
        Runtime,
        "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
    );
    let wanted = autograd::no_grad(|| all(&logical_and(&ge_scalar(q, Scalar::Int(0))?, &le_scalar(q, ONE)?)?))?;
    ensure!(wanted.holds()?, Runtime, "quantile() q values must be in the range [0, 1]");
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
    let n = x.size(-1)?;
    let missing = any_dim(&isnan(&detach(&x)?)?, -1, true)?;
    let sorted = sort(&x, -1, false)?.0;
    let rank = mul_scalar(&reshape(q, &[-1])?, Scalar::Int(n - 1))?;
    let (low, high) = (floor(&rank)?, ceil(&rank)?);
    let at = |r: &Tensor| index_select(&sorted, -1, &cast(&detach(r)?, DType::I64)?);
    let r = match interpolation {
        "lower" => at(&low)?,
        "higher" => at(&high)?,
        "nearest" => at(&round(&rank, 0)?)?,
        "midpoint" => lerp_scalar(&at(&low)?, &at(&high)?, Scalar::Float(0.5))?,
        _ => lerp(&at(&low)?, &at(&high)?, &sub(&rank, &low, ONE)?)?,
    };
    // A NaN makes its whole row NaN; the last one has the gradient.
    let r = where_(&missing, &narrow(&sorted, -1, n - 1, 1)?, &r)?;
    let r = movedim(&r, &[-1], &[0])?;
    if q.ndim() > 0 {
        shape.insert(0, q.numel() as i64);
    }
    reshape(&r, &shape)
}
/// `quantile` of one number.
pub fn quantile_scalar(a: &Tensor, q: f64, dim: Option<i64>, keepdim: bool, interpolation: &str) -> Result<Tensor> {
    ensure!((0.0..=1.0).contains(&q), Runtime, "quantile() q must be in the range [0, 1] but got {q}");
    quantile(a, &create::scalar_tensor(Scalar::Float(q), a.dtype(), a.device())?, dim, keepdim, interpolation)
}

pub(super) fn scattered(
    a: &Tensor,
    src: &Tensor,
    view: impl FnOnce(&Tensor) -> Result<Tensor>,
    name: &str,
) -> Result<Tensor> {
    let out = clone(a)?;
    let place = view(&out)?;
    ensure!(
        place.shape() == src.shape(),
        Runtime,
        "{name}: expected src to have a size equal to the slice of self. src size = {:?}, slice size = {:?}",
        &src.shape()[..],
        &place.shape()[..]
    );
    copy_(&place, src)?;
    Ok(out)
}
/// self with src in place of one index of a dimension.
pub fn select_scatter(a: &Tensor, src: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    scattered(a, src, |t| select(t, dim, index), "select_scatter")
}
/// self with src in place of a slice of a dimension.
pub fn slice_scatter(
    a: &Tensor,
    src: &Tensor,
    dim: i64,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> Result<Tensor> {
    scattered(a, src, |t| slice(t, dim, start, end, step), "slice_scatter")
}
/// self with src on a diagonal.
pub fn diagonal_scatter(a: &Tensor, src: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    // Its dimensions come one argument later than diagonal's.
    let later = |mut e: crate::Error| {
        e.arg = e.arg.map(|a| a + 1);
        e
    };
    scattered(a, src, |t| diagonal(t, offset, dim1, dim2).map_err(later), "diagonal_scatter")
}
/// Fills the main diagonal; wrap goes on below, one row down, in matrices that are taller than wide.
pub fn fill_diagonal_(a: &Tensor, fill_value: Scalar, wrap: bool) -> Result<()> {
    let s = a.shape();
    ensure!(s.len() >= 2, Runtime, "dimensions must larger than 1");
    ensure!(s.len() == 2 || s.iter().all(|&n| n == s[0]), Runtime, "all dimensions of input must be of equal length");
    let strides = a.layout().strides.clone();
    let step: i64 = strides.iter().sum();
    let n = s.iter().copied().min().unwrap();
    let offset = a.layout().offset;
    fill_scalar_(&as_strided(a, &[n], &[step], Some(offset))?, fill_value)?;
    if wrap && s.len() == 2 && s[0] > s[1] + 1 {
        let more = (a.numel() as i64 + s[1]) / (s[1] + 1) - n;
        let start = offset + strides[0] * (s[1] + 1);
        fill_scalar_(&as_strided(a, &[more], &[step], Some(start))?, fill_value)?;
    }
    Ok(())
}
