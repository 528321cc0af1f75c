//! The text of a tensor: its elements, fetched from its device, and what autograd adds to them.

use super::meta;
use crate::backend::memory;
use crate::base::error::Result;
use crate::base::layout::{checked_numel, contiguous_strides, Layout};
use crate::base::scalar::Scalar;
use crate::base::settings::default_dtype;
use crate::ensure;
use crate::tensor::print::{format_tensor, is_summarized, print_options, PrintOptions, TensorText};
use crate::tensor::Tensor;
use std::fmt;

/// PyTorch's `repr` of the tensor under the process's print options. Waits for the device and fetches only the
/// elements that are shown; fails when the device does.
pub fn to_text(t: &Tensor) -> Result<String> {
    to_text_with(t, &print_options())
}

/// [`to_text`] under the given options.
pub fn to_text_with(t: &Tensor, opts: &PrintOptions) -> Result<String> {
    // One body throughout: another thread may give the tensor another one.
    let own = t.alias_same();
    let (shape, dtype) = (own.shape(), own.dtype());
    let edge = i64::try_from(opts.edgeitems).unwrap_or(i64::MAX);
    let shown = if is_summarized(&shape, opts) && !own.device().is_meta() { edges(&own, edge)? } else { own.clone() };
    let values: Vec<Scalar> = match dtype.category() {
        _ if own.device().is_meta() => Vec::new(),
        3 => memory::collect(shown.to_complex_vec()?.into_iter().map(|(re, im)| Scalar::Complex(re, im)))?,
        2 => memory::collect(shown.to_f64_vec()?.into_iter().map(Scalar::Float))?,
        1 => memory::collect(shown.to_i64_vec()?.into_iter().map(Scalar::Int))?,
        _ => memory::collect(shown.to_i64_vec()?.into_iter().map(|v| Scalar::Bool(v != 0)))?,
    };
    let kept = shown.shape();
    let strides = contiguous_strides(&kept);
    let value = |at: &[i64]| {
        let mut i = 0;
        for d in 0..at.len() {
            // The trailing items of a shortened dimension lie that much earlier.
            let c = if at[d] < edge { at[d] } else { at[d] - (shape[d] - kept[d]) };
            i += c * strides[d];
        }
        values[i as usize]
    };
    let grad_fn = meta::grad_fn(t);
    format_tensor(
        &TensorText {
            shape: &shape,
            dtype,
            device: own.device(),
            value: &value,
            requires_grad: meta::requires_grad(t),
            grad_fn: grad_fn.as_ref().map(|n| &*n.name),
            parameter: false,
            default_dtype: default_dtype(),
        },
        opts,
    )
}

/// The first and last `edge` items of every dimension longer than both together.
fn edges(t: &Tensor, edge: i64) -> Result<Tensor> {
    let from = t.layout();
    let cut = |s: i64| s > edge.saturating_mul(2);
    let kept: Vec<i64> = from.shape.iter().map(|&s| if cut(s) { 2 * edge } else { s }).collect();
    // Two ends of each of many dimensions are a great many elements.
    let shown = checked_numel(&kept)?;
    ensure!(
        shown <= 1 << 26,
        Runtime,
        "a tensor of {:?} is too large to print {shown} of its elements",
        &from.shape[..]
    );
    let out = Tensor::empty(&kept, t.dtype(), t.device())?;
    if shown == 0 {
        return Ok(out);
    }
    let to = out.layout();
    let cuts: Vec<usize> = (0..kept.len()).filter(|&d| cut(from.shape[d])).collect();
    // Each corner of the tensor is one rectangle.
    for corner in 0..1usize << cuts.len() {
        let (mut src, mut dst): (Layout, Layout) = (from.clone(), to.clone());
        for (bit, &d) in cuts.iter().enumerate() {
            (src.shape[d], dst.shape[d]) = (edge, edge);
            if corner >> bit & 1 == 1 {
                src.offset += (from.shape[d] - edge) * from.strides[d];
                dst.offset += edge * to.strides[d];
            }
        }
        out.alias(dst)?.copy_from(&t.alias(src)?)?;
    }
    Ok(out)
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match to_text(self) {
            Ok(text) => f.write_str(&text),
            Err(e) => write!(f, "tensor(<not readable: {e}>)"),
        }
    }
}
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn text_of_a_tensor_with_history_marks() {
        let t = Tensor::from_slice(&[1.5f32, -2.0, 3.0, 4.0], &[2, 2]).unwrap();
        assert_eq!(t.to_string(), "tensor([[ 1.5000, -2.0000],\n        [ 3.0000,  4.0000]])");
        meta::set_requires_grad(&t, true).unwrap();
        assert!(t.to_string().ends_with(", requires_grad=True)"));
        let e = Tensor::empty(&[0, 3], DType::I64, crate::Device::CPU).unwrap();
        assert_eq!(e.to_string(), "tensor([], size=(0, 3), dtype=torch.int64)");
    }

    #[test]
    fn many_dimensions() {
        let one = Tensor::from_slice(&[1.0f32], &[1; 64]).unwrap();
        assert_eq!(one.to_string(), format!("tensor({}1.{})", "[".repeat(64), "]".repeat(64)));
        let none = PrintOptions { threshold: 0.0, edgeitems: 0, ..PrintOptions::DEFAULT };
        assert!(to_text_with(&one, &none).unwrap().contains("..."));
        let mut wide = one.layout();
        wide.shape[..38].fill(3);
        wide.strides.fill(0);
        let e = to_text_with(&one.alias(wide).unwrap(), &PrintOptions { edgeitems: 1, ..PrintOptions::DEFAULT });
        assert!(e.unwrap_err().message.contains("too large to print"));
    }

    #[test]
    fn a_summary_reads_the_corners() {
        let n = 12 * 20 * 9;
        let v: Vec<i64> = (0..n).collect();
        let t = Tensor::from_slice(&v, &[12, 20, 9]).unwrap();
        let text = t.to_string();
        assert!(text.starts_with("tensor([[[   0,    1,    2,  ...,    6,    7,    8],\n"), "{text}");
        assert!(text.ends_with("[2151, 2152, 2153,  ..., 2157, 2158, 2159]]])"), "{text}");
        assert!(text.contains("[1800, 1801, 1802,"), "row 0 of slice 10:\n{text}");
    }
}
