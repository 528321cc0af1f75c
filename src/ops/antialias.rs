//! Resizing of images where each pixel of the result is a weighted mean of all that it covers (antialias=True): PyTorch's
//! weights, columns before rows, and its integers where images are bytes.

use super::*;
use crate::backend::memory;
use crate::{bail, ensure};

/// The weight of cubic convolution at a distance below 2; PyTorch's `a` is -0.75, and -0.5 with antialiasing.
pub(super) fn cubic_weight(x: f64, a: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    }
}

/// The shape of the weights.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Filter {
    Box,
    Linear,
    Hamming,
    Cubic,
    Lanczos,
}
impl Filter {
    /// How far it reaches to both sides, in pixels of the smaller image.
    fn reach(self) -> f64 {
        match self {
            Filter::Box => 0.5,
            Filter::Linear | Filter::Hamming => 1.0,
            Filter::Cubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }
    fn weight(self, x: f64) -> f64 {
        if self == Filter::Box {
            return if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 };
        }
        let x = x.abs();
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        match self {
            _ if x >= self.reach() => 0.0,
            Filter::Box => 1.0,
            Filter::Linear => 1.0 - x,
            Filter::Hamming => sinc(x) * (0.54 + 0.46 * (x * std::f64::consts::PI).cos()),
            Filter::Cubic => cubic_weight(x, -0.5),
            Filter::Lanczos => sinc(x) * sinc(x / 3.0),
        }
    }
}

/// What each of n elements is made of: the first element that counts and the weights from there on, as many for all.
struct Windows {
    first: Vec<i64>,
    /// How many weights of each count.
    count: Vec<i64>,
    weights: Vec<f64>,
    taps: usize,
}
impl Windows {
    fn new(filter: Filter, m: i64, n: i64, scale: f64) -> Result<Windows> {
        let wide = scale.max(1.0);
        let support = filter.reach() * wide;
        let mut out =
            Windows { first: memory::with_capacity(n as usize)?, count: Vec::new(), weights: Vec::new(), taps: 0 };
        memory::reserve(&mut out.count, n as usize)?;
        for i in 0..n {
            let center = scale * (i as f64 + 0.5);
            // A factor of the caller's can lead beyond the input, where its last element is all there is.
            let first = ((center - support + 0.5) as i64).clamp(0, m - 1);
            let end = ((center + support + 0.5) as i64).clamp(first + 1, m);
            out.first.push(first);
            out.count.push(end - first);
            out.taps = out.taps.max((end - first) as usize);
        }
        out.weights = memory::zeroed(out.taps.saturating_mul(n as usize))?;
        for i in 0..n as usize {
            let center = scale * (i as f64 + 0.5);
            let row = &mut out.weights[i * out.taps..][..out.count[i] as usize];
            for (j, w) in row.iter_mut().enumerate() {
                *w = filter.weight(((out.first[i] + j as i64) as f64 - center + 0.5) / wide);
            }
            let total: f64 = row.iter().sum();
            if total != 0.0 {
                row.iter_mut().for_each(|w| *w /= total);
            }
        }
        Ok(out)
    }
    /// Makes the weights integers, of 16 bits where `bits` does not say by how many they are shifted; that number.
    fn quantise(&mut self, bits: Option<i64>) -> i64 {
        let most = self.weights.iter().copied().fold(0.0, f64::max);
        let fixed = bits.is_some();
        let mut bits = bits.unwrap_or(0);
        while !fixed && bits < 22 && ((0.5 + most * (1i64 << (bits + 1)) as f64) as i64) < 1 << 15 {
            bits += 1;
        }
        for w in &mut self.weights {
            // Away from zero at halves.
            *w = (*w * (1i64 << bits) as f64).round();
        }
        bits
    }
    /// The weighted sums along a dimension.
    fn apply(&self, x: &Tensor, dim: i64, dtype: DType) -> Result<Tensor> {
        let n = self.first.len() as i64;
        let mut shape = [1i64; 4];
        shape[dim as usize] = n;
        let mut total: Option<Tensor> = None;
        for tap in 0..self.taps {
            // A window that has ended repeats its last element, with no weight.
            let rows = self.first.iter().zip(&self.count).map(|(f, c)| f + (tap as i64).min(c - 1));
            let rows = to_device(&Tensor::from_slice(&memory::collect(rows)?, &[n])?, x.device())?;
            let weights = (0..n as usize).map(|i| self.weights[i * self.taps + tap]);
            let weights = cast(&Tensor::from_slice(&memory::collect(weights)?, &shape)?, dtype)?;
            let (part, weights) = (index_select(x, dim, &rows)?, to_device(&weights, x.device())?);
            total = Some(match total {
                None => mul(&part, &weights)?,
                Some(t) => addcmul(&t, &part, &weights, Scalar::Int(1))?,
            });
        }
        Ok(total.expect("a window has an element"))
    }
}

/// Resizes the last two of four dimensions to `sizes`; positions lie `scales` apart.
pub(super) fn antialiased(x: &Tensor, sizes: &[i64], scales: &[f64], filter: Filter) -> Result<Tensor> {
    resampled(x, sizes, scales, filter, None)
}

fn resampled(x: &Tensor, sizes: &[i64], scales: &[f64], filter: Filter, bits: Option<i64>) -> Result<Tensor> {
    let bytes = x.dtype() == DType::U8;
    let resize = |x: &Tensor| {
        let mut x = x.clone();
        // PyTorch begins with columns, Pillow (since 13) with what becomes less; rounding in between shows it.
        let rows_first = bits.is_some() && scales[0] > scales[1];
        for i in if rows_first { [0, 1] } else { [1, 0] } {
            let m = x.shape()[i + 2];
            // Bytes that keep their size are not touched; other numbers are rounded by weights of one alone.
            if bytes && m == sizes[i] {
                continue;
            }
            let mut windows = Windows::new(filter, m, sizes[i], scales[i])?;
            if !bytes {
                x = windows.apply(&x, i as i64 + 2, x.dtype())?;
                continue;
            }
            let bits = windows.quantise(bits);
            let sum = windows.apply(&x, i as i64 + 2, DType::I32)?;
            let sum = add_scalar(&sum, Scalar::Int(1 << bits >> 1), Scalar::Int(1))?;
            let whole = bitwise_right_shift_scalar(&sum, Scalar::Int(bits))?;
            x = clamp(&whole, Some(Scalar::Int(0)), Some(Scalar::Int(255)))?;
        }
        Ok(x)
    };
    if bytes {
        return cast(&resize(&cast(x, DType::I32)?)?, DType::U8);
    }
    in_float([x], |[x]| resize(x))
}

/// Which of `n` pixels each of `out` takes: that in which its middle lies. Pillow adds up the steps, whose rounding decides
/// where a middle lies on a border.
fn nearest(n: i64, out: i64, device: crate::Device) -> Result<Tensor> {
    let step = n as f64 / out as f64;
    let mut middle = step * 0.5;
    let mut places = crate::backend::memory::with_capacity(out as usize)?;
    for _ in 0..out {
        places.push((middle as i64).min(n - 1));
        middle += step;
    }
    to_device(&Tensor::from_slice(&places, &[out])?, device)
}

/// Resizes the last two dimensions of images as Pillow does: bytes by integers of 22 bits, rounded in between;
/// floats without. "nearest" takes the pixel in whose middle a pixel of the result lies.
pub fn resize_images(images: &Tensor, height: i64, width: i64, filter: &str) -> Result<Tensor> {
    let shape = images.shape();
    let n = shape.len();
    ensure!(n >= 2, Value, "image_resize: images must have rows and columns, got sizes {:?}", &shape[..]);
    ensure!(
        height > 0 && width > 0 && shape[n - 2] > 0 && shape[n - 1] > 0,
        Value,
        "image_resize: sizes must be positive, got images of sizes {:?} for {height} rows of {width}",
        &shape[..]
    );
    let dtype = images.dtype();
    ensure!(
        dtype == DType::U8 || dtype.is_real_float(),
        Type,
        "image_resize: images must be uint8 or floating-point, got {dtype}"
    );
    let shape4 = [shape[..n - 2].iter().product::<i64>(), 1, shape[n - 2], shape[n - 1]];
    let sizes = [height, width];
    let mut out = crate::Dims::from_slice(&shape[..n - 2]);
    out.extend_from_slice(&sizes);
    // No work towards a result that cannot exist.
    crate::base::layout::checked_numel(&out)?;
    drop(Tensor::empty(&out, dtype, images.device())?);
    let x = reshape(images, &shape4)?;
    let y = match filter {
        "nearest" => {
            let rows = index_select(&x, 2, &nearest(shape4[2], height, x.device())?)?;
            index_select(&rows, 3, &nearest(shape4[3], width, x.device())?)?
        }
        _ => {
            let filter = match filter {
                "box" => Filter::Box,
                "bilinear" => Filter::Linear,
                "hamming" => Filter::Hamming,
                "bicubic" => Filter::Cubic,
                "lanczos" => Filter::Lanczos,
                _ => bail!(
                    Value,
                    "image_resize: filter must be nearest, box, bilinear, hamming, bicubic or lanczos, got {filter:?}"
                ),
            };
            let scale = |i: usize| shape4[2 + i] as f64 / sizes[i] as f64;
            resampled(&x, &sizes, &[scale(0), scale(1)], filter, Some(22))?
        }
    };
    reshape(&y, &out)
}
