//! Resizing of the spatial dimensions by interpolation.

use super::antialias::{antialiased, cubic_weight, Filter};
use super::*;
use crate::backend::memory;
use crate::{bail, ensure, Dims};

const ONE: Scalar = Scalar::Int(1);

/// How one dimension is resized: from m to n elements, the positions a ratio apart.
#[derive(Clone, Copy)]
struct Along {
    dim: i64,
    m: i64,
    n: i64,
    ratio: f64,
    align: bool,
}
impl Along {
    /// The place in the input of each element of the result.
    fn places(self, low: f64) -> Result<Vec<f64>> {
        let step = if self.n > 1 { (self.m - 1) as f64 / (self.n - 1) as f64 } else { 0.0 };
        let place = |j: i64| {
            if self.align {
                j as f64 * step
            } else {
                ((j as f64 + 0.5) * self.ratio - 0.5).max(low)
            }
        };
        memory::collect((0..self.n).map(place))
    }
    fn inside(self, i: i64) -> i64 {
        i.clamp(0, self.m - 1)
    }
    fn pick(self, x: &Tensor, rows: impl Iterator<Item = i64>) -> Result<Tensor> {
        let rows = memory::collect(rows)?;
        index_select(x, self.dim, &to_device(&Tensor::from_slice(&rows, &[self.n])?, x.device())?)
    }
    /// Weights of the result's elements, shaped to broadcast along the dimension.
    fn weights(self, x: &Tensor, values: impl Iterator<Item = f64>) -> Result<Tensor> {
        let values = memory::collect(values)?;
        let mut shape = vec![1i64; x.ndim()];
        shape[self.dim as usize] = self.n;
        let w = cast(&Tensor::from_slice(&values, &shape)?, x.dtype())?;
        to_device(&w, x.device())
    }
    fn nearest(self, x: &Tensor, half: f64) -> Result<Tensor> {
        // Of images, rows and columns that keep their size or double it do so whatever the factor is.
        if x.ndim() == 4 && half == 0.0 && (self.n == self.m || self.n == 2 * self.m) {
            return self.pick(x, (0..self.n).map(|j| j / (self.n / self.m)));
        }
        self.pick(x, (0..self.n).map(|j| self.inside(((j as f64 + half) * self.ratio) as i64)))
    }
    fn linear(self, x: &Tensor) -> Result<Tensor> {
        // What keeps its size keeps its values, whatever the factor is.
        if self.n == self.m {
            return clone(x);
        }
        let places = self.places(0.0)?;
        let low = |p: &f64| self.inside(*p as i64);
        let weight = self.weights(x, places.iter().map(|p| p - low(p) as f64))?;
        let a = self.pick(x, places.iter().map(low))?;
        let b = self.pick(x, places.iter().map(|p| self.inside(low(p) + 1)))?;
        addcmul(&mul(&a, &rsub_scalar(&weight, ONE, ONE)?)?, &b, &weight, ONE)
    }
    fn cubic(self, x: &Tensor) -> Result<Tensor> {
        let places = self.places(f64::NEG_INFINITY)?;
        let mut total: Option<Tensor> = None;
        for step in -1..=2i64 {
            let taps = self.pick(x, places.iter().map(|p| self.inside(p.floor() as i64 + step)))?;
            let weight =
                self.weights(x, places.iter().map(|p| cubic_weight((p - p.floor() - step as f64).abs(), -0.75)))?;
            total = Some(match total {
                None => mul(&taps, &weight)?,
                Some(t) => addcmul(&t, &taps, &weight, ONE)?,
            });
        }
        Ok(total.expect("four taps"))
    }
}
/// A size for each spatial dimension, of one number or as many.
fn for_each(size: &[i64], input: &Tensor) -> Result<Vec<i64>> {
    let n = input.ndim() - 2;
    if size.len() == 1 {
        return Ok(vec![size[0]; n]);
    }
    ensure!(
        size.len() == n,
        Value,
        "Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of {:?} \
         and output size of {size:?}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in \
         (o1, o2, ...,oK) format.",
        &input.shape()[2..]
    );
    Ok(size.to_vec())
}
/// The factor of each spatial dimension: those of the last two may differ from the others'.
fn factors(n: usize, scale: Option<f64>, height: Option<f64>, width: Option<f64>) -> Result<Option<Vec<f64>>> {
    if scale.is_none() && height.is_none() && width.is_none() {
        return Ok(None);
    }
    let mut v = vec![scale; n];
    v[n - 1] = width.or(scale);
    if n > 1 {
        v[n - 2] = height.or(scale);
    }
    let v: Option<Vec<f64>> = v.into_iter().collect();
    ensure!(v.is_some(), Value, "interpolate: scale_h and scale_w alone do not say how all {n} dimensions are resized");
    Ok(v)
}
/// Resizes the dimensions behind the second to a size or by a factor: "nearest", "nearest-exact", "linear" (1 dimension),
/// "bilinear" and "bicubic" (2), "trilinear" (3), "area". scale_h and scale_w are the factors of the last two dimensions where
/// they differ from scale_factor. With antialias ("bilinear", "bicubic" and "lanczos", of four dimensions) each element of a
/// smaller result is a weighted mean of all that it covers.
pub fn interpolate(
    input: &Tensor,
    size: Option<&[i64]>,
    scale_factor: Option<f64>,
    mode: &str,
    align_corners: Option<bool>,
    recompute_scale_factor: Option<bool>,
    antialias: bool,
    scale_h: Option<f64>,
    scale_w: Option<f64>,
) -> Result<Tensor> {
    complex::no_kernel("interpolate", input)?;
    let s = input.shape();
    ensure!(
        (3..=5).contains(&s.len()),
        NotImplemented,
        "Input Error: Only 3D, 4D and 5D input Tensors supported (got {}D) for the modes: nearest | linear | bilinear | \
         bicubic | trilinear | area | nearest-exact (got {mode})",
        s.len()
    );
    let smooth = !matches!(mode, "nearest" | "nearest-exact" | "area");
    ensure!(
        smooth || align_corners.is_none(),
        Value,
        "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
    );
    if mode == "lanczos" {
        ensure!(antialias, Value, "Lanczos mode requires antialias=True");
        ensure!(align_corners != Some(true), Value, "Lanczos mode does not support align_corners=True");
    }
    let recompute = recompute_scale_factor.unwrap_or(false);
    let (sizes, factors) = match (size, factors(s.len() - 2, scale_factor, scale_h, scale_w)?) {
        (Some(_), Some(_)) => bail!(Value, "only one of size or scale_factor should be defined"),
        (None, None) => bail!(Value, "either size or scale_factor should be defined"),
        (Some(size), None) => {
            ensure!(!recompute, Value, "recompute_scale_factor is not meaningful with an explicit size.");
            (for_each(size, input)?, None)
        }
        (None, Some(factors)) => {
            let sizes: Vec<i64> = s[2..].iter().zip(&factors).map(|(m, f)| (*m as f64 * f).floor() as i64).collect();
            (sizes, Some(factors).filter(|_| !recompute && mode != "area"))
        }
    };
    ensure!(
        !antialias || (matches!(mode, "bilinear" | "bicubic" | "lanczos") && s.len() == 4),
        Value,
        "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
    );
    let wanted = match mode {
        "nearest" | "nearest-exact" | "area" => s.len() - 2,
        "linear" => 1,
        "bilinear" | "bicubic" => 2,
        "lanczos" if antialias => 2,
        "trilinear" => 3,
        other => bail!(
            NotImplemented,
            "interpolate: unknown mode {other}; valid are nearest, nearest-exact, linear, bilinear, bicubic, trilinear, area"
        ),
    };
    ensure!(
        s.len() == wanted + 2,
        NotImplemented,
        "Got {}D input, but {mode} mode needs {}D input",
        s.len(),
        wanted + 2
    );
    let mut shape = Dims::from_slice(&s[..2]);
    shape.extend_from_slice(&sizes);
    ensure!(
        s[2..].iter().chain(&sizes).all(|n| *n > 0),
        Runtime,
        "Input and output sizes should be greater than 0, but got input (size {:?}) and output (size {sizes:?})",
        &s[2..]
    );
    // No work towards a result that cannot exist.
    crate::base::layout::checked_numel(&shape)?;
    drop(Tensor::empty(&shape, input.dtype(), input.device())?);
    if mode == "area" {
        return match wanted {
            1 => adaptive_avg_pool1d(input, &sizes),
            2 => adaptive_avg_pool2d(input, &sizes),
            _ => adaptive_avg_pool3d(input, &sizes),
        };
    }
    // Images of bytes: weights are fractions, the results whole numbers again.
    let bytes = smooth && input.dtype() == DType::U8;
    ensure!(
        !smooth || bytes || input.dtype().is_float(),
        NotImplemented,
        "interpolate: mode={mode} is not implemented for {}",
        input.dtype()
    );
    let align = align_corners.unwrap_or(false);
    let ratio = |i: usize| match &factors {
        Some(f) if f[i] > 0.0 => 1.0 / f[i],
        _ => s[i + 2] as f64 / sizes[i] as f64,
    };
    if antialias {
        let filter = match mode {
            "bilinear" => Filter::Linear,
            "bicubic" => Filter::Cubic,
            _ => Filter::Lanczos,
        };
        let apart = |i: usize| match sizes[i] {
            n if align && n > 1 => (s[i + 2] - 1) as f64 / (n - 1) as f64,
            _ if align => 0.0,
            _ => ratio(i),
        };
        return antialiased(input, &sizes, &[apart(0), apart(1)], filter);
    }
    let resize = |x: &Tensor| {
        let mut x = x.clone();
        for (i, n) in sizes.iter().enumerate() {
            let m = s[i + 2];
            let ratio = ratio(i);
            let along = Along { dim: i as i64 + 2, m, n: *n, ratio, align };
            x = match mode {
                "nearest" => along.nearest(&x, 0.0)?,
                "nearest-exact" => along.nearest(&x, 0.5)?,
                "bicubic" => along.cubic(&x)?,
                _ => along.linear(&x)?,
            };
        }
        Ok(x)
    };
    if bytes {
        let out = resize(&cast(input, DType::F32)?)?;
        return cast(&clamp(&round(&out, 0)?, Some(Scalar::Int(0)), Some(Scalar::Int(255)))?, DType::U8);
    }
    if smooth {
        in_float([input], |[x]| resize(x))
    } else {
        resize(input)
    }
}
