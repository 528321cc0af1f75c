//! Sliding blocks of images as columns and back; elements moved between channels and space.

use super::*;
use crate::autograd::record;
use crate::{ensure, grads, Dims};

/// Two numbers of one or two.
fn pair(op: &str, name: &str, v: &[i64]) -> Result<[i64; 2]> {
    ensure!(
        v.len() == 1 || v.len() == 2,
        Runtime,
        "{op}: It is expected {name} equals to 2, but got size {}: {name} is a single int or two",
        v.len()
    );
    Ok([v[0], v[v.len() - 1]])
}
/// The sliding blocks of an image, each pair height first.
#[derive(Clone, Copy)]
struct Blocks {
    kernel: [i64; 2],
    dilation: [i64; 2],
    padding: [i64; 2],
    stride: [i64; 2],
}
impl Blocks {
    fn new(op: &str, kernel: &[i64], dilation: &[i64], padding: &[i64], stride: &[i64]) -> Result<Blocks> {
        let b = Blocks {
            kernel: pair(op, "kernel_size", kernel)?,
            dilation: pair(op, "dilation", dilation)?,
            padding: pair(op, "padding", padding)?,
            stride: pair(op, "stride", stride)?,
        };
        let ([kh, kw], [dh, dw], [ph, pw], [sh, sw]) = (b.kernel, b.dilation, b.padding, b.stride);
        ensure!(
            kh > 0 && kw > 0,
            Runtime,
            "kernel size should be greater than zero, but got kernel_height: {kh} kernel_width: {kw}"
        );
        ensure!(
            dh > 0 && dw > 0,
            Runtime,
            "dilation should be greater than zero, but got dilation_height: {dh} dilation_width: {dw}"
        );
        ensure!(
            ph >= 0 && pw >= 0,
            Runtime,
            "padding should be non-negative, but got pad_height: {ph} pad_width: {pw}"
        );
        ensure!(
            sh > 0 && sw > 0,
            Runtime,
            "stride should be greater than zero, but got stride_height: {sh} stride_width: {sw}"
        );
        for (what, v) in
            [("kernel_size", b.kernel), ("dilation", b.dilation), ("padding", b.padding), ("stride", b.stride)]
        {
            ensure!(v.iter().all(|v| *v <= i32::MAX as i64), Runtime, "{op}: {what} {v:?}: integer out of range");
        }
        Ok(b)
    }
    /// How many blocks an image has in each dimension.
    fn counts(&self, size: [i64; 2]) -> [i64; 2] {
        std::array::from_fn(|i| {
            let room =
                size[i] as i128 + 2 * self.padding[i] as i128 - (self.dilation[i] * (self.kernel[i] - 1) + 1) as i128;
            (room.div_euclid(self.stride[i] as i128) + 1) as i64
        })
    }
    fn text(&self) -> String {
        let ([kh, kw], [dh, dw], [ph, pw]) = (self.kernel, self.dilation, self.padding);
        format!("kernel_size=({kh}, {kw}), dilation=({dh}, {dw}), padding=({ph}, {pw})")
    }
    /// The blocks of a padded image [n, c, h, w] as a view [n, c, kh, kw, rows, columns] of its memory.
    fn view(&self, image: &Tensor, counts: [i64; 2]) -> Result<Tensor> {
        let l = image.layout();
        let [kh, kw] = self.kernel;
        let (sy, sx) = (l.strides[2], l.strides[3]);
        let shape = Dims::from_slice(&[l.shape[0], l.shape[1], kh, kw, counts[0], counts[1]]);
        let strides = Dims::from_slice(&[
            l.strides[0],
            l.strides[1],
            sy * self.dilation[0],
            sx * self.dilation[1],
            sy * self.stride[0],
            sx * self.stride[1],
        ]);
        image.alias(Layout { offset: l.offset, shape, strides })
    }
}
/// Sliding blocks of [n, c, h, w] (or [c, h, w]) as columns: [n, c * kh * kw, blocks].
pub fn im2col(a: &Tensor, kernel_size: &[i64], dilation: &[i64], padding: &[i64], stride: &[i64]) -> Result<Tensor> {
    let b = Blocks::new("unfold", kernel_size, dilation, padding, stride)?;
    let s = a.shape();
    ensure!(
        (s.len() == 3 || s.len() == 4) && s[s.len() - 3..].iter().all(|n| *n > 0),
        Runtime,
        "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but \
         got: {:?}",
        &s[..]
    );
    let size = [s[s.len() - 2], s[s.len() - 1]];
    let counts = b.counts(size);
    ensure!(
        counts[0] >= 1 && counts[1] >= 1,
        Runtime,
        "Given input with spatial size ({}, {}), {}, calculated shape of the array of sliding blocks as ({}, {}), but its \
         components must be at least one.",
        size[0],
        size[1],
        b.text(),
        counts[0],
        counts[1]
    );
    columns(a, b)
}
fn columns(a: &Tensor, b: Blocks) -> Result<Tensor> {
    let s = a.shape();
    let at = s.len() - 3;
    let size = [s[at + 1], s[at + 2]];
    let counts = b.counts(size);
    let out = autograd::no_grad(|| {
        let [ph, pw] = b.padding;
        let image = if at == 0 { unsqueeze(a, 0)? } else { a.clone() };
        let image = if ph > 0 || pw > 0 { pad(&image, &[pw, pw, ph, ph], "constant", None)? } else { image };
        let mut shape = Dims::from_slice(&s[..at]);
        let area = b.kernel[0].saturating_mul(b.kernel[1]);
        shape.extend_from_slice(&[s[at].saturating_mul(area), counts[0].saturating_mul(counts[1])]);
        crate::base::layout::checked_numel(&shape)?;
        let out = b.view(&image, counts)?.contiguous_copy()?;
        out.set_layout(Layout::contiguous(&shape))?;
        Ok::<_, Error>(out)
    })?;
    record("Im2ColBackward0", &[a], out, |_, _| move |_, g| Ok(grads![Some(image(g, size, b)?)]))
}
/// Sums columns of sliding blocks [n, c * kh * kw, blocks] (or without n) back into an image of output_size.
pub fn col2im(
    a: &Tensor,
    output_size: &[i64],
    kernel_size: &[i64],
    dilation: &[i64],
    padding: &[i64],
    stride: &[i64],
) -> Result<Tensor> {
    let b = Blocks::new("fold", kernel_size, dilation, padding, stride)?;
    let size = pair("fold", "output_size", output_size)?;
    let s = a.shape();
    ensure!(
        (s.len() == 2 || s.len() == 3) && s[s.len() - 2..].iter().all(|n| *n > 0),
        Runtime,
        "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but \
         got: {:?}",
        &s[..]
    );
    ensure!(size.iter().all(|n| *n >= 0), Runtime, "fold: output_size must not be negative, but got {size:?}");
    let (planes, length) = (s[s.len() - 2], s[s.len() - 1]);
    let [kh, kw] = b.kernel;
    ensure!(
        kh.checked_mul(kw).is_some_and(|area| planes % area == 0),
        Runtime,
        "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)={planes} \
         and kernel_size=({kh}, {kw})."
    );
    let [rows, columns] = b.counts(size);
    let given = || {
        let [sh, sw] = b.stride;
        format!("Given output_size=({}, {}), {}, stride=({sh}, {sw})", size[0], size[1], b.text())
    };
    ensure!(
        rows >= 1 && columns >= 1,
        Runtime,
        "{}, calculated shape of the array of sliding blocks as ({rows}, {columns}), which is too small (non-positive)",
        given()
    );
    let blocks = rows.saturating_mul(columns);
    ensure!(
        length == blocks,
        Runtime,
        "{}, expected size of input's dimension 2 to match the calculated number of sliding blocks {rows} * {columns} = \
         {blocks}, but got input.size(2)={length}.",
        given()
    );
    image(a, size, b)
}
fn image(a: &Tensor, size: [i64; 2], b: Blocks) -> Result<Tensor> {
    in_float([a], |[a]| {
        let out = autograd::no_grad(|| {
            let s = a.shape();
            let at = s.len() - 2;
            let [rows, columns] = b.counts(size);
            let ([kh, kw], [ph, pw]) = (b.kernel, b.padding);
            let n = if at == 1 { s[0] } else { 1 };
            let c = s[at] / (kh * kw);
            let blocks = reshape(a, &[n, c, kh, kw, rows, columns])?;
            let wide = zeros(&[n, c, size[0] + 2 * ph, size[1] + 2 * pw], Some(a.dtype()), Some(a.device()))?;
            let view = b.view(&wide, [rows, columns])?;
            if size[0] > 0 && size[1] > 0 {
                for i in 0..kh {
                    for j in 0..kw {
                        // Places of one element of all blocks are distinct.
                        let place = select(&select(&view, 2, i)?, 2, j)?;
                        add_(&place, &select(&select(&blocks, 2, i)?, 2, j)?, Scalar::Int(1))?;
                    }
                }
            }
            let inner = narrow(&narrow(&wide, 2, ph, size[0])?, 3, pw, size[1])?;
            let inner = if at == 1 { inner } else { squeeze_dim(&inner, 0)? };
            contiguous(&inner)
        })?;
        record("Col2ImBackward0", &[a], out, |_, _| move |_, g| Ok(grads![Some(columns(g, b)?)]))
    })
}

/// [n, c, h r, w r] to [n, c r^2, h, w]: the inverse of pixel_shuffle.
pub fn pixel_unshuffle(a: &Tensor, downscale_factor: i64) -> Result<Tensor> {
    let (s, r) = (a.shape(), downscale_factor);
    ensure!(
        s.len() >= 3,
        Runtime,
        "pixel_unshuffle expects input to have at least 3 dimensions, but got input with {} dimension(s)",
        s.len()
    );
    ensure!(r > 0, Runtime, "pixel_unshuffle expects a positive downscale_factor, but got {r}");
    let k = s.len() - 3;
    let (c, h, w) = (s[k], s[k + 1], s[k + 2]);
    for (what, size, dim) in [("height", h, -2), ("width", w, -1)] {
        ensure!(
            size % r == 0,
            Runtime,
            "pixel_unshuffle expects {what} to be divisible by downscale_factor, but input.size({dim})={size} is not \
             divisible by {r}"
        );
    }
    let wide = r.checked_mul(r).and_then(|area| area.checked_mul(c));
    let Some(wide) = wide else { crate::bail!(Runtime, "pixel_unshuffle: {c} * {r} * {r} channels are too many") };
    let mut shape = Dims::from_slice(&s[..k]);
    shape.extend_from_slice(&[c, h / r, r, w / r, r]);
    let n = k as i64;
    let order: Vec<i64> = (0..n).chain([n, n + 2, n + 4, n + 1, n + 3]).collect();
    let x = permute(&reshape(a, &shape)?, &order)?;
    shape.truncate(k);
    shape.extend_from_slice(&[wide, h / r, w / r]);
    reshape(&x, &shape)
}
/// Mixes the channels of groups: channel i of group g becomes channel i * groups + g.
pub fn channel_shuffle(a: &Tensor, groups: i64) -> Result<Tensor> {
    let s = a.shape();
    ensure!(s.len() > 2, Runtime, "channel_shuffle expects input with > 2 dims, but got input with sizes {:?}", &s[..]);
    ensure!(groups > 0, Runtime, "Number of groups to divide channels in must be positive. Value of groups:{groups}");
    ensure!(
        s[1] % groups == 0,
        Runtime,
        "Number of channels must be divisible by groups. Got {} channels and {groups} groups.",
        s[1]
    );
    let mut shape = Dims::from_slice(&[s[0], groups, s[1] / groups]);
    shape.extend_from_slice(&s[2..]);
    reshape(&transpose(&reshape(a, &shape)?, 1, 2)?, &s)
}
