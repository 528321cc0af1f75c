//! Padding and cropping.

use super::*;
use crate::autograd::record;
use crate::backend::memory;
use crate::{bail, ensure, grads, Dims};

const ONE: Scalar = Scalar::Int(1);

/// One dimension's padding: the position in the input, of size `size` there, that each position of the result repeats.
struct PadStep {
    dim: usize,
    size: i64,
    before: i64,
    rows: Vec<i64>,
}
impl PadStep {
    fn index(&self, device: Device) -> Result<Tensor> {
        to_device(&Tensor::from_slice(&self.rows, &[self.rows.len() as i64])?, device)
    }
}
/// The input in the middle, then what is around it, one slice of each dimension after the other.
fn pad_by_copies(mode: &str, input: &Tensor, steps: Vec<PadStep>) -> Result<Tensor> {
    let mut window = input.layout();
    let mut shape = input.shape();
    steps.iter().for_each(|s| shape[s.dim] = s.rows.len() as i64);
    crate::base::layout::checked_numel(&shape)?;
    let out = Tensor::empty(&shape, input.dtype(), input.device())?;
    let strides = out.strides();
    window.strides = strides.clone();
    window.offset = steps.iter().map(|s| s.before * strides[s.dim]).sum();
    out.alias(window.clone())?.copy_from(input)?;
    for s in &steps {
        let stride = strides[s.dim];
        window.offset -= s.before * stride;
        let slice = |k: i64| {
            let mut l = window.clone();
            l.shape[s.dim] = 1;
            l.offset += k * stride;
            out.alias(l)
        };
        for (k, row) in (0..).zip(&s.rows) {
            if k < s.before || k >= s.before + s.size {
                slice(k)?.copy_from(&slice(s.before + row)?)?;
            }
        }
        window.shape[s.dim] = s.rows.len() as i64;
    }
    let name = match mode {
        "reflect" => "ReflectionPadNdBackward0",
        "replicate" => "ReplicationPadNdBackward0",
        _ => "CircularPadNdBackward0",
    };
    record(name, &[input], out, |_, _| {
        move |_, g| {
            let mut g = g.clone();
            for s in steps.iter().rev() {
                let mut shape = g.shape();
                shape[s.dim] = s.size;
                let zero = zeros(&shape, Some(g.dtype()), Some(g.device()))?;
                g = index_add(&zero, s.dim as i64, &s.index(g.device())?, &g, ONE)?;
            }
            Ok(grads![Some(g)])
        }
    })
}

/// The errors of padding with what the tensor itself holds.
fn check_around(mode: &str, s: &[i64], pad_: &[i64]) -> Result<()> {
    let dims = pad_.len() / 2;
    ensure!(
        (1..=3).contains(&dims) && (s.len() == dims + 1 || s.len() == dims + 2),
        NotImplemented,
        "Padding size {} is not supported for {}D input tensor.\nSupported combinations for non-constant padding:\n  \
         - 2D or 3D input: padding size = 2 (pads last dimension)\n  \
         - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n  \
         - 4D or 5D input: padding size = 6 (pads last 3 dimensions)",
        pad_.len(),
        s.len()
    );
    let around = |d: usize| {
        let i = 2 * (s.len() - 1 - d);
        (pad_[i], pad_[i + 1])
    };
    let total = |d: usize| s[d] as i128 + around(d).0 as i128 + around(d).1 as i128;
    let padded = s.len() - dims..s.len();
    if mode == "circular" {
        for d in padded {
            let (before, after) = around(d);
            ensure!(before <= s[d] && after <= s[d], Runtime, "Padding value causes wrapping around more than once.");
            ensure!(total(d) >= 0, Runtime, "Negative padding value is resulting in an empty dimension");
        }
        return Ok(());
    }
    let samples = s.len() - dims - 1; // 1 with a batch in front of the channels
    ensure!(
        s[samples..].iter().all(|n| *n > 0),
        Runtime,
        "Expected {}D or {}D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {s:?}",
        dims + 1,
        dims + 2
    );
    if mode == "reflect" {
        for d in padded.clone().rev() {
            let (before, after) = around(d);
            ensure!(
                before < s[d] && after < s[d],
                Runtime,
                "Argument #{}: Padding size should be less than the corresponding input dimension, but got: padding ({before}, {after}) at dimension {d} of input {s:?}",
                4 + 2 * (s.len() - 1 - d)
            );
        }
    }
    if padded.clone().any(|d| total(d) < 1) {
        let named = |size: &dyn Fn(usize) -> i128, between: &str| {
            let part = |d: usize| format!("{}: {}", ["W", "H", "D"][s.len() - 1 - d], size(d));
            padded.clone().map(part).collect::<Vec<_>>().join(between)
        };
        let (input, out) = (named(&|d| s[d] as i128, ", "), named(&total, " "));
        if dims == 1 {
            bail!(Runtime, "input ({input}) is too small. Calculated output {out}");
        }
        bail!(Runtime, "Calculated output {out} must be >= 1 in every dimension (input {input})");
    }
    Ok(())
}

/// Pads (or with negative numbers crops) the last dimensions: pairs (before, after) from the last one backwards.
pub fn pad(input: &Tensor, pad_: &[i64], mode: &str, value: Option<f64>) -> Result<Tensor> {
    let s = input.shape();
    ensure!(pad_.len().is_multiple_of(2), Runtime, "Padding length must be divisible by 2, got {}", pad_.len());
    ensure!(pad_.len() <= 2 * s.len(), Runtime, "Padding length should be less than or equal to two times the input dimension but got padding length {} and input of dimension {}", pad_.len(), s.len());
    match mode {
        "constant" => {
            // Crops first, then the input is written into the middle of the fill.
            let mut x = input.clone();
            let mut shape = s.clone();
            let mut at: Dims = Dims::from_elem(0, s.len());
            for i in 0..pad_.len() / 2 {
                let d = s.len() - 1 - i;
                let (before, after) = (pad_[2 * i], pad_[2 * i + 1]);
                let keep = s[d].saturating_add(before.min(0)).saturating_add(after.min(0));
                let total = s[d] as i128 + before as i128 + after as i128;
                ensure!(
                    total <= i64::MAX as i128,
                    Runtime,
                    "pad: padding {before} and {after} of dimension {d} of size {} is too large",
                    s[d]
                );
                ensure!(keep >= 0 && total >= 0, Runtime, "The input size {}, plus negative padding {before} and {after} resulted in a negative output size, which is invalid. Check dimension {d} of your input.", s[d]);
                if before < 0 || after < 0 {
                    x = narrow(&x, d as i64, (-before).max(0), keep)?;
                }
                at[d] = before.max(0);
                shape[d] = total as i64;
            }
            let out =
                full(&shape, value.map_or(Scalar::Int(0), Scalar::Float), Some(input.dtype()), Some(input.device()))?;
            let window = {
                let l = out.layout();
                Layout {
                    offset: at.iter().zip(&l.strides).map(|(a, s)| a * s).sum(),
                    shape: x.shape(),
                    strides: l.strides.clone(),
                }
            };
            out.alias(window)?.copy_from(&x)?;
            let inner = x.shape();
            record("ConstantPadNdBackward0", &[&x], out, |_, _| {
                move |_, g| {
                    let mut g = g.clone();
                    for d in 0..inner.len() {
                        if g.shape()[d] != inner[d] {
                            g = narrow(&g, d as i64, at[d], inner[d])?;
                        }
                    }
                    Ok(grads![Some(g)])
                }
            })
        }
        "reflect" | "replicate" | "circular" => {
            ensure!(value.is_none_or(|v| v == 0.0), Runtime, "Padding mode \"{mode}\" doesn't take in value argument");
            check_around(mode, &s, pad_)?;
            let (mut steps, mut sizes) = (Vec::new(), s.clone());
            for i in 0..pad_.len() / 2 {
                let d = s.len() - 1 - i;
                let (before, after, n) = (pad_[2 * i], pad_[2 * i + 1], s[d]);
                let total = n as i128 + before as i128 + after as i128;
                ensure!(
                    before >= -n && after >= -n && (0..=i64::MAX as i128).contains(&total),
                    Runtime,
                    "pad: padding {before} and {after} of dimension {d} of size {n} leaves no valid size"
                );
                sizes[d] = total as i64;
                crate::base::layout::checked_numel(&sizes)?;
                // What is cropped does not come round again.
                let (first, kept) = ((-before).max(0), n + before.min(0) + after.min(0));
                let row = |k: i64| match mode {
                    "reflect" => {
                        let k = k.abs();
                        if k >= n {
                            2 * (n - 1) - k
                        } else {
                            k
                        }
                    }
                    "circular" => first + (k - first).rem_euclid(kept.max(1)),
                    _ => k.clamp(0, n - 1),
                };
                // The result has to fit before its positions are listed.
                memory::room_for(
                    total as usize,
                    input.dtype().size() * (input.numel() as i64 / n.max(1)).max(1) as usize,
                )?;
                let rows = memory::collect((-before..n + after).map(row))?;
                steps.push(PadStep { dim: d, size: n, before, rows });
            }
            if input.device().is_cpu() && input.numel() > 0 && pad_.iter().all(|p| *p >= 0) {
                return pad_by_copies(mode, input, steps);
            }
            let mut x = input.clone();
            for step in steps {
                x = index_select(&x, step.dim as i64, &step.index(input.device())?)?;
            }
            Ok(x)
        }
        other => bail!(
            NotImplemented,
            "Unrecognised padding mode {other}; valid are constant, reflect, replicate and circular"
        ),
    }
}
