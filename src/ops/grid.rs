//! Sampling of images at the points of a grid (spatial transformers), composed of other ops.

use super::*;
use crate::{bail, ensure, Dims};

const ONE: Scalar = Scalar::Int(1);

#[derive(Clone, Copy, PartialEq)]
enum Beyond {
    Zeros,
    Border,
    Reflection,
}

/// The grid's coordinate (-1 to 1) as a place in a dimension of `size` elements, wherever it lies.
fn unbounded(c: &Tensor, size: i64, align_corners: bool) -> Result<Tensor> {
    let float = Scalar::Float;
    let n = size as f64;
    // In the order of PyTorch's kernel for the CPU, so that halves round as there.
    let from_zero = add_scalar(c, ONE, ONE)?;
    if align_corners {
        mul_scalar(&from_zero, float((n - 1.0) / 2.0))
    } else {
        sub_scalar(&mul_scalar(&from_zero, float(n / 2.0))?, float(0.5), ONE)
    }
}
/// Where a place beyond the border is read.
fn bounded(x: &Tensor, size: i64, beyond: Beyond, align_corners: bool) -> Result<Tensor> {
    let float = Scalar::Float;
    let n = size as f64;
    let clipped = |x: &Tensor| clamp(x, Some(Scalar::Int(0)), Some(Scalar::Int(size - 1)));
    match beyond {
        Beyond::Zeros => Ok(x.clone()),
        Beyond::Border => clipped(x),
        Beyond::Reflection => {
            let (low, span) = if align_corners { (0.0, n - 1.0) } else { (-0.5, n) };
            if span == 0.0 {
                return mul_scalar(x, Scalar::Int(0));
            }
            let distance = abs(&sub_scalar(x, float(low), ONE)?)?;
            let rest = fmod_scalar(&distance, float(span))?;
            let turns = floor(&div_scalar(&detach(&distance)?, float(span))?)?;
            let odd = ne_scalar(&fmod_scalar(&turns, float(2.0))?, Scalar::Int(0))?;
            let folded = where_(&odd, &rsub_scalar(&rest, float(span), ONE)?, &rest)?;
            clipped(&add_scalar(&folded, float(low), ONE)?)
        }
    }
}
/// The weights of the four neighbours of a place that lies `t` behind the second of them (Keys' cubic, as PyTorch's).
fn cubic(t: &Tensor) -> Result<[Tensor; 4]> {
    const A: f64 = -0.75;
    let float = Scalar::Float;
    let near = |x: &Tensor| -> Result<Tensor> {
        let slope = sub_scalar(&mul_scalar(x, float(A + 2.0))?, float(A + 3.0), ONE)?;
        add_scalar(&mul(&mul(&slope, x)?, x)?, ONE, ONE)
    };
    let far = |x: &Tensor| -> Result<Tensor> {
        let y = sub_scalar(&mul_scalar(x, float(A))?, float(5.0 * A), ONE)?;
        let y = add_scalar(&mul(&y, x)?, float(8.0 * A), ONE)?;
        sub_scalar(&mul(&y, x)?, float(4.0 * A), ONE)
    };
    let back = rsub_scalar(t, ONE, ONE)?;
    Ok([far(&add_scalar(t, ONE, ONE)?)?, near(t)?, near(&back)?, far(&add_scalar(&back, ONE, ONE)?)?])
}
/// The four neighbours of each place along every dimension, weighted by cubics; each is looked for beyond the border by itself.
fn bicubic(flat: &Tensor, sizes: &[i64], places: &[Tensor], beyond: Beyond, align_corners: bool) -> Result<Tensor> {
    let mut at: Vec<Vec<Tensor>> = Vec::with_capacity(3);
    let mut weights = Vec::with_capacity(3);
    for (p, n) in places.iter().zip(sizes) {
        let low = floor(&detach(p)?)?;
        weights.push(cubic(&sub(p, &low, ONE)?)?);
        let near = (-1..3).map(|i| bounded(&add_scalar(&low, Scalar::Int(i), ONE)?, *n, beyond, align_corners));
        at.push(near.collect::<Result<_>>()?);
    }
    neighbours(flat, sizes, &at, &weights, &mut Vec::with_capacity(3))
}
/// The weighted sum over the neighbours along the dimensions for which `chosen` has none yet.
fn neighbours(
    flat: &Tensor,
    sizes: &[i64],
    at: &[Vec<Tensor>],
    weights: &[[Tensor; 4]],
    chosen: &mut Vec<Tensor>,
) -> Result<Tensor> {
    let d = chosen.len();
    if d == sizes.len() {
        return pick(flat, sizes, chosen);
    }
    let mut out: Option<Tensor> = None;
    for (x, w) in at[d].iter().zip(&weights[d]) {
        chosen.push(x.clone());
        let part = mul(&neighbours(flat, sizes, at, weights, chosen)?, &unsqueeze(w, 1)?)?;
        chosen.pop();
        out = Some(match out {
            None => part,
            Some(o) => add(&o, &part, ONE)?,
        });
    }
    Ok(out.expect("four neighbours"))
}
/// Whether places (whole numbers) lie inside.
fn inside(at: &Tensor, size: i64) -> Result<Tensor> {
    logical_and(&ge_scalar(at, Scalar::Int(0))?, &le_scalar(at, Scalar::Int(size - 1))?)
}
/// The elements of `flat` ([n, c, places]) at places given per dimension ([n, p]); 0 where one lies outside.
fn pick(flat: &Tensor, sizes: &[i64], at: &[Tensor]) -> Result<Tensor> {
    let s = flat.shape();
    let mut ok = inside(&at[0], sizes[0])?;
    for (a, n) in at.iter().zip(sizes).skip(1) {
        ok = logical_and(&ok, &inside(a, *n)?)?;
    }
    let outside = logical_not(&ok)?;
    let mut index: Option<Tensor> = None;
    for (a, n) in at.iter().zip(sizes) {
        let a = cast(&masked_fill_scalar(a, &outside, Scalar::Int(0))?, DType::I64)?;
        index = Some(match index {
            None => a,
            Some(i) => add(&mul_scalar(&i, Scalar::Int(*n))?, &a, ONE)?,
        });
    }
    let index = index.expect("at least one dimension");
    let p = index.size(1)?;
    let wide = [s[0], s[1], p];
    let found = gather(flat, 2, &expand(&unsqueeze(&index, 1)?, &wide)?)?;
    masked_fill_scalar(&found, &unsqueeze(&outside, 1)?, Scalar::Int(0))
}
/// Values of input ([n, c, h, w] or [n, c, d, h, w]) at the points of grid ([n, .., 2] or [n, .., 3]: x, y, z from -1
/// to 1 over the image).
pub fn grid_sample(
    input: &Tensor,
    grid: &Tensor,
    mode: &str,
    padding_mode: &str,
    align_corners: bool,
) -> Result<Tensor> {
    let (s, g) = (input.shape(), grid.shape());
    let n = s.len().saturating_sub(2);
    ensure!(
        (n == 2 || n == 3) && g.len() == s.len(),
        Runtime,
        "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes {:?} and \
         grid with sizes {:?}",
        &s[..],
        &g[..]
    );
    ensure!(
        s[0] == g[0],
        Runtime,
        "grid_sampler(): expected grid and input to have same batch size, but got input with sizes {:?} and grid with sizes \
         {:?}",
        &s[..],
        &g[..]
    );
    ensure!(
        g[n + 1] == n as i64,
        Runtime,
        "grid_sampler(): expected grid to have size {n} in last dimension, but got grid with sizes {:?}",
        &g[..]
    );
    ensure!(
        s[2..].iter().all(|k| *k > 0),
        Runtime,
        "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {:?}",
        &s[..]
    );
    ensure!(
        input.dtype() == grid.dtype() && input.dtype().is_float(),
        Runtime,
        "grid_sampler(): expected input and grid to have the same floating point dtype, but input has {} and grid has {}",
        input.dtype(),
        grid.dtype()
    );
    pointwise::same_device(input, grid)?;
    in_float([input, grid], |[x, grid]| sample(x, grid, mode, padding_mode, align_corners))
}
fn sample(input: &Tensor, grid: &Tensor, mode: &str, padding_mode: &str, align_corners: bool) -> Result<Tensor> {
    let (s, g) = (input.shape(), grid.shape());
    let n = s.len() - 2;
    let beyond = match padding_mode {
        "zeros" => Beyond::Zeros,
        "border" => Beyond::Border,
        "reflection" => Beyond::Reflection,
        other => bail!(
            Value,
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: '{other}'"
        ),
    };
    ensure!(
        matches!(mode, "bilinear" | "nearest" | "bicubic"),
        Value,
        "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
    );
    let sizes = &s[2..];
    let flat = reshape(input, &[s[0], s[1], sizes.iter().product()])?;
    let points: i64 = g[1..=n].iter().product();
    let grid = reshape(grid, &[s[0], points, n as i64])?;
    // The grid names the last dimension first.
    let places = (0..n)
        .map(|i| {
            let p = unbounded(&select(&grid, 2, (n - 1 - i) as i64)?, sizes[i], align_corners)?;
            if mode == "bicubic" {
                return Ok(p);
            }
            bounded(&p, sizes[i], beyond, align_corners)
        })
        .collect::<Result<Vec<_>>>()?;
    let out = if mode == "bicubic" {
        bicubic(&flat, sizes, &places, beyond, align_corners)?
    } else if mode == "nearest" {
        let at = places.iter().map(|p| round(&detach(p)?, 0)).collect::<Result<Vec<_>>>()?;
        pick(&flat, sizes, &at)?
    } else {
        let low = places.iter().map(|p| floor(&detach(p)?)).collect::<Result<Vec<_>>>()?;
        let mut out: Option<Tensor> = None;
        for corner in 0..1usize << n {
            let mut weight: Option<Tensor> = None;
            let mut at = Vec::with_capacity(n);
            for i in 0..n {
                let share = sub(&places[i], &low[i], ONE)?;
                let (a, share) = if corner >> i & 1 == 1 {
                    (add_scalar(&low[i], ONE, ONE)?, share)
                } else {
                    (low[i].clone(), rsub_scalar(&share, ONE, ONE)?)
                };
                at.push(a);
                weight = Some(match weight {
                    None => share,
                    Some(w) => mul(&w, &share)?,
                });
            }
            let part = mul(&pick(&flat, sizes, &at)?, &unsqueeze(&weight.expect("n > 0"), 1)?)?;
            out = Some(match out {
                None => part,
                Some(o) => add(&o, &part, ONE)?,
            });
        }
        out.expect("a corner")
    };
    let mut shape = Dims::from_slice(&s[..2]);
    shape.extend_from_slice(&g[1..=n]);
    reshape(&out, &shape)
}
/// The grid for grid_sample of affine maps theta ([n, 2, 3] or [n, 3, 4]); size is that of the result of grid_sample.
pub fn affine_grid(theta: &Tensor, size: &[i64], align_corners: bool) -> Result<Tensor> {
    let n = size.len().saturating_sub(2);
    let want = [size.first().copied().unwrap_or(0), n as i64, n as i64 + 1];
    ensure!(
        n == 2 || n == 3,
        NotImplemented,
        "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size {size:?}."
    );
    ensure!(theta.dtype().is_float(), Value, "Expected theta to have floating point type, but got {}", theta.dtype());
    ensure!(
        theta.ndim() == 3 && theta.shape()[1..] == want[1..],
        Value,
        "Expected a batch of {n}D affine matrices of shape {want:?} for size {size:?}. Got {:?}.",
        &theta.shape()[..]
    );
    ensure!(
        theta.shape()[0] == want[0],
        Runtime,
        "affine_grid: {} affine matrices for size {size:?}, whose first number must be as many",
        theta.shape()[0]
    );
    ensure!(size.iter().all(|s| *s > 0), Value, "Expected non-zero, positive output size. Got {size:?}");
    let spatial = &size[2..];
    let (dtype, device) = (Some(theta.dtype()), Some(theta.device()));
    let mut columns = Vec::with_capacity(n + 1);
    for i in (0..n).rev() {
        let len = spatial[i];
        let line = if len == 1 {
            zeros(&[1], dtype, device)?
        } else {
            let end = if align_corners { 1.0 } else { (len - 1) as f64 / len as f64 };
            linspace(Scalar::Float(-end), Scalar::Float(end), len, dtype, device)?
        };
        let mut shape = vec![1i64; n];
        shape[i] = len;
        columns.push(expand(&reshape(&line, &shape)?, spatial)?);
    }
    columns.push(ones(spatial, dtype, device)?);
    let base = reshape(&stack(&columns, -1)?, &[1, spatial.iter().product(), n as i64 + 1])?;
    let base = expand(&base, &[size[0], base.size(1)?, n as i64 + 1])?;
    let mut shape = vec![size[0]];
    shape.extend_from_slice(spatial);
    shape.push(n as i64);
    reshape(&bmm(&base, &transpose(theta, 1, 2)?)?, &shape)
}
