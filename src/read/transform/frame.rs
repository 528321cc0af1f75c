//! Cutting out and putting around.

use crate::backend::memory;
use crate::base::layout::{checked_numel, Dims};
use crate::{bail, ensure, ops, Result, Scalar, Tensor};

/// Rows and columns of images.
pub(super) fn rows_columns(images: &Tensor) -> Result<(i64, i64)> {
    let shape = images.shape();
    let n = shape.len();
    ensure!(n >= 2, Type, "Tensor is not a torch image: it needs rows and columns, got sizes {:?}", &shape[..]);
    Ok((shape[n - 2], shape[n - 1]))
}

/// Left, top, right and bottom of one number (all), two (left and right, top and bottom) or four.
fn sides(padding: &[i64]) -> Result<[i64; 4]> {
    match *padding {
        [] => Ok([0; 4]),
        [all] => Ok([all; 4]),
        [x, y] => Ok([x, y, x, y]),
        [left, top, right, bottom] => Ok([left, top, right, bottom]),
        _ => {
            bail!(Value, "Padding must be an int or a 1, 2, or 4 element tuple, not a {} element tuple", padding.len())
        }
    }
}

/// Where the pixel at `at` of a padded line of `n` pixels comes from.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Edge,
    Reflect,
    Symmetric,
}
impl Mode {
    fn source(self, at: i64, n: i64) -> i64 {
        match self {
            Mode::Edge => at.clamp(0, n - 1),
            Mode::Reflect if at < 0 => -at,
            Mode::Reflect if at >= n => 2 * (n - 1) - at,
            Mode::Symmetric if at < 0 => -at - 1,
            Mode::Symmetric if at >= n => 2 * n - 1 - at,
            _ => at,
        }
    }
    /// How far it reaches beyond a line of `n` pixels.
    fn reach(self, n: i64) -> i64 {
        match self {
            Mode::Edge => i64::MAX,
            Mode::Reflect => n - 1,
            Mode::Symmetric => n,
        }
    }
}

/// A frame around images: `padding` as `sides` has it, negative numbers cut off; `mode` is constant (with `fill`), edge, reflect or
/// symmetric.
pub fn pad(images: &Tensor, padding: &[i64], mode: &str, fill: f64) -> Result<Tensor> {
    let (height, width) = rows_columns(images)?;
    let [left, top, right, bottom] = sides(padding)?;
    let mode = match mode {
        "constant" => return ops::constant_pad_nd(images, &[left, right, top, bottom], Scalar::Float(fill)),
        "edge" => Mode::Edge,
        "reflect" => Mode::Reflect,
        "symmetric" => Mode::Symmetric,
        _ => bail!(Value, "Padding mode should be either constant, edge, reflect or symmetric, got {mode:?}"),
    };
    let (n, mut out) = (images.ndim(), images.shape());
    let mut result = images.clone();
    for (dim, size, before, after) in [(n - 2, height, top, bottom), (n - 1, width, left, right)] {
        if before == 0 && after == 0 {
            continue;
        }
        let most = mode.reach(size);
        ensure!(
            before <= most && after <= most && size > 0,
            Runtime,
            "Padding size should be less than the corresponding input dimension, but got: padding ({before}, {after}) at dimension \
             {dim} of input {:?}",
            &images.shape()[..]
        );
        let end = size.checked_add(after).filter(|end| end.checked_add(before).is_some_and(|n| n >= 0));
        let Some(end) = end else {
            bail!(Runtime, "padding ({before}, {after}) leaves nothing of the {size} pixels of dimension {dim}")
        };
        out[dim] = end + before;
        checked_numel(&out)?;
        let from: Vec<i64> = memory::collect((-before..end).map(|at| mode.source(at, size)))?;
        let index = ops::to_device(&Tensor::from_slice(&from, &[from.len() as i64])?, images.device())?;
        result = ops::index_select(&result, dim as i64, &index)?;
    }
    Ok(result)
}

/// What lies inside, and zeros for what is beyond the edges. A view where nothing is.
pub fn crop(images: &Tensor, top: i64, left: i64, height: i64, width: i64) -> Result<Tensor> {
    let (rows, columns) = rows_columns(images)?;
    ensure!(height >= 0 && width >= 0, Value, "a crop of {height} rows of {width} pixels cannot be");
    let n = images.ndim() as i64;
    let mut result = images.clone();
    let mut around = [0; 4];
    for (i, (dim, size, from, length)) in
        [(n - 2, rows, top, height), (n - 1, columns, left, width)].into_iter().enumerate()
    {
        let Some(to) = from.checked_add(length) else {
            bail!(Value, "a crop from {from} of {length} pixels has no end")
        };
        let (begin, end) = (from.clamp(0, size), to.clamp(0, size));
        result = ops::narrow(&result, dim, begin, end - begin)?;
        // What is missing before and after; all of it after, where nothing of the crop lies inside.
        let missing = length - (end - begin);
        let before = if end > begin { begin - from } else { 0 };
        around[2 - 2 * i] = before;
        around[3 - 2 * i] = missing - before;
    }
    match around {
        [0, 0, 0, 0] => Ok(result),
        around => ops::constant_pad_nd(&result, &around, Scalar::Int(0)),
    }
}

/// The middle, with zeros around where images are smaller.
pub fn center_crop(images: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    let (rows, columns) = rows_columns(images)?;
    ensure!(height >= 0 && width >= 0, Value, "a crop of {height} rows of {width} pixels cannot be");
    // Where the crop is larger, half of what is missing stands before; where smaller, halves go to the even number.
    let begin = |have: i64, want: i64| match want > have {
        true => -((want - have) / 2),
        false => ((have - want) as f64 / 2.0).round_ties_even() as i64,
    };
    crop(images, begin(rows, height), begin(columns, width), height, width)
}

/// Sizes of the result of a resize: no work towards one that cannot exist.
pub(super) fn sized(images: &Tensor, height: i64, width: i64) -> Result<()> {
    let mut out: Dims = images.shape();
    let n = out.len();
    (out[n - 2], out[n - 1]) = (height, width);
    checked_numel(&out).map(|_| ())
}
