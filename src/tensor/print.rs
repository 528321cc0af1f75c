//! The printed form of tensors, character for character PyTorch's, and Python's text for numbers.
//!
//! [`format_tensor`] is a pure function of a [`TensorText`] and [`PrintOptions`]; elements are asked for by
//! coordinates, so that a summarised tensor needs its edge items only.

use crate::backend::memory;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::scalar::Scalar;
use crate::base::sync::RwLock;
use crate::{bail, Result};

/// How tensors are printed (`torch.set_printoptions`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrintOptions {
    /// Digits after the point.
    pub precision: usize,
    /// More elements than this are summarised; infinity never summarises.
    pub threshold: f64,
    /// Items shown at the start and end of each summarised dimension.
    pub edgeitems: usize,
    /// Characters per line.
    pub linewidth: usize,
    /// Scientific notation always, never, or (None) where the values' range asks for it.
    pub sci_mode: Option<bool>,
}

impl PrintOptions {
    /// PyTorch's defaults.
    pub const DEFAULT: PrintOptions =
        PrintOptions { precision: 4, threshold: 1000.0, edgeitems: 3, linewidth: 80, sci_mode: None };

    /// The named profile `default`, `short` or `full`.
    pub fn profile(name: &str) -> Result<PrintOptions> {
        Ok(match name {
            "default" => Self::DEFAULT,
            "short" => PrintOptions { precision: 2, edgeitems: 2, ..Self::DEFAULT },
            "full" => PrintOptions { threshold: f64::INFINITY, ..Self::DEFAULT },
            _ => bail!(Value, "unknown print profile '{name}'; valid are 'default', 'short' and 'full'"),
        })
    }
}
impl Default for PrintOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

static OPTIONS: RwLock<PrintOptions> = RwLock::new(PrintOptions::DEFAULT);

/// The options in force for the whole process.
pub fn print_options() -> PrintOptions {
    *OPTIONS.read()
}

/// Sets the process's options. `profile` is applied first (it leaves `sci_mode` alone), then each value that is given;
/// `sci_mode` is always set, as in PyTorch: None means automatic.
///
/// Fails with a Value error, changing nothing, when the profile is unknown or the threshold is NaN.
pub fn set_printoptions(
    precision: Option<usize>,
    threshold: Option<f64>,
    edgeitems: Option<usize>,
    linewidth: Option<usize>,
    profile: Option<&str>,
    sci_mode: Option<bool>,
) -> Result<()> {
    // No f64 has more digits after the point than this; it also bounds the text of one element.
    const MAX_PRECISION: usize = 1100;
    let base = profile.map(PrintOptions::profile).transpose()?;
    if threshold.is_some_and(f64::is_nan) {
        bail!(Value, "threshold must be non-NAN, try an infinite threshold for untruncated representation");
    }
    if let Some(p) = precision.filter(|p| *p > MAX_PRECISION) {
        bail!(Value, "precision must be at most {MAX_PRECISION}, got {p}");
    }
    let mut options = OPTIONS.write();
    let base = base.unwrap_or(*options);
    *options = PrintOptions {
        precision: precision.unwrap_or(base.precision),
        threshold: threshold.unwrap_or(base.threshold),
        edgeitems: edgeitems.unwrap_or(base.edgeitems),
        linewidth: linewidth.unwrap_or(base.linewidth),
        sci_mode,
    };
    Ok(())
}

/// What is to be printed.
pub struct TensorText<'a> {
    pub shape: &'a [i64],
    pub dtype: DType,
    pub device: Device,
    /// The element at the given coordinates (one per dimension); asked only for elements that are shown.
    pub value: &'a dyn Fn(&[i64]) -> Scalar,
    pub requires_grad: bool,
    /// Name of the node that made the tensor, `AddBackward0`.
    pub grad_fn: Option<&'a str>,
    /// A module's parameter: the text begins with `Parameter containing:`.
    pub parameter: bool,
    /// The dtype that need not be named ([`crate::base::settings::default_dtype`]).
    pub default_dtype: DType,
}

/// Whether the text of a tensor of this shape leaves out elements.
pub fn is_summarized(shape: &[i64], opts: &PrintOptions) -> bool {
    shape.iter().map(|s| *s as f64).product::<f64>() > opts.threshold
}

/// `tensor([[1., 2.],\n        [3., 4.]])` and so on: PyTorch's `repr`.
pub fn format_tensor(data: &TensorText, opts: &PrintOptions) -> Result<String> {
    const PREFIX: &str = "tensor(";
    let indent = PREFIX.len();
    let mut suffixes: Vec<String> = Vec::new();
    if !data.device.is_cpu() {
        suffixes.push(format!("device='{}'", data.device));
    }
    let size = || format!("size={}", py_tuple(data.shape));
    let mut body;
    if data.device.is_meta() {
        suffixes.push(size());
        if data.dtype != data.default_dtype {
            suffixes.push(format!("dtype=torch.{}", data.dtype));
        }
        body = "...".to_string();
    } else if data.shape.contains(&0) {
        if data.shape.len() != 1 {
            suffixes.push(size());
        }
        // Nothing shown lets the reader infer even int64 or bool.
        if data.dtype != data.default_dtype {
            suffixes.push(format!("dtype=torch.{}", data.dtype));
        }
        body = "[]".to_string();
    } else {
        if opts.edgeitems == 0 {
            suffixes.push(size());
        }
        if ![data.default_dtype, data.default_dtype.complex(), DType::I64, DType::Bool].contains(&data.dtype) {
            suffixes.push(format!("dtype=torch.{}", data.dtype));
        }
        let summarize = is_summarized(data.shape, opts);
        body = String::new();
        let mut at: Vec<i64> = Vec::with_capacity(data.shape.len());
        if data.dtype.is_complex() {
            // Each of the parts has a notation and a width of its own.
            let part = |of: fn(Scalar) -> f64| {
                let value = |at: &[i64]| Scalar::Float(of((data.value)(at)));
                Formatter::new(&TensorText { dtype: data.dtype.real(), value: &value, ..*data }, opts, summarize)
            };
            let mut formatter = part(Scalar::to_f64);
            formatter.imaginary = Some(Box::new(part(Scalar::imag)));
            formatter.write_dim(data, &mut at, indent, &mut body)?;
        } else {
            Formatter::new(data, opts, summarize).write_dim(data, &mut at, indent, &mut body)?;
        }
    }
    if let Some(name) = data.grad_fn {
        suffixes.push(format!("grad_fn=<{name}>"));
    } else if data.requires_grad {
        suffixes.push("requires_grad=True".to_string());
    }
    let mut text = String::new();
    // With room for the suffixes, so that pushing them needs no memory.
    memory::reserve_text(&mut text, body.len() + 256 + suffixes.iter().map(|s| s.len() + 16).sum::<usize>())?;
    if data.parameter {
        text.push_str("Parameter containing:\n");
    }
    let start = text.len();
    text.push_str(PREFIX);
    text.push_str(&body);
    // PyTorch counts two more characters than the last line has (and one fewer newline); kept, since it decides breaks.
    let shown = &text[start..];
    let mut line_len = match shown.rfind('\n') {
        Some(at) => shown.len() - at + 1,
        None => shown.len() + 2,
    };
    for suffix in suffixes {
        if line_len + suffix.len() + 2 > opts.linewidth {
            text.push_str(",\n");
            text.push_str(&" ".repeat(indent));
            line_len = indent + suffix.len();
        } else {
            text.push_str(", ");
            line_len += suffix.len() + 2;
        }
        text.push_str(&suffix);
    }
    text.push(')');
    Ok(text)
}

/// How one element is written, decided from all elements shown.
struct Formatter<'o> {
    opts: &'o PrintOptions,
    float: bool,
    /// Every shown float is whole: written `3.`.
    whole: bool,
    sci: bool,
    width: usize,
    summarize: bool,
    /// How imaginary parts are written; `None` for real numbers.
    imaginary: Option<Box<Formatter<'o>>>,
}

impl<'o> Formatter<'o> {
    fn new(data: &TensorText, opts: &'o PrintOptions, summarize: bool) -> Formatter<'o> {
        let float = data.dtype.is_float();
        let mut f = Formatter { opts, float, whole: true, sci: false, width: 1, summarize, imaginary: None };
        if summarize && opts.edgeitems == 0 {
            return f; // no element is shown
        }
        let mut at = Vec::with_capacity(data.shape.len());
        if !f.float {
            let mut width = 1;
            f.visit(data, &mut at, &mut |v| width = width.max(f.element(v).len()));
            f.width = width;
            return f;
        }
        // Zeros, infinities and NaNs take part in neither the choice of notation nor the width.
        let (mut min, mut max, mut whole) = (f64::INFINITY, 0f64, true);
        f.visit(data, &mut at, &mut |v| {
            let v = v.to_f64();
            if v.is_finite() && v != 0.0 {
                min = min.min(v.abs());
                max = max.max(v.abs());
                whole &= v == v.ceil();
            }
        });
        if max == 0.0 {
            return f;
        }
        f.whole = whole;
        f.sci = opts.sci_mode.unwrap_or(max / min > 1000.0 || max > 1.0e8 || min < 1.0e-4);
        let mut width = 1;
        f.visit(data, &mut at, &mut |v| {
            if v.to_f64().is_finite() && v.to_f64() != 0.0 {
                width = width.max(f.element(v).len());
            }
        });
        f.width = width;
        f
    }

    /// Which indices of a dimension are shown: all, or the first and last few with a gap between.
    fn shown(&self, size: i64) -> (std::ops::Range<i64>, Option<std::ops::Range<i64>>) {
        let edge = i64::try_from(self.opts.edgeitems).unwrap_or(i64::MAX);
        if self.summarize && size > edge.saturating_mul(2) {
            (0..edge, Some(size - edge..size))
        } else {
            (0..size, None)
        }
    }

    /// Calls `f` with every element that is shown, in order.
    fn visit(&self, data: &TensorText, at: &mut Vec<i64>, f: &mut dyn FnMut(Scalar)) {
        if at.len() == data.shape.len() {
            return f((data.value)(at));
        }
        let (head, tail) = self.shown(data.shape[at.len()]);
        for i in head.chain(tail.unwrap_or(0..0)) {
            at.push(i);
            self.visit(data, at, f);
            at.pop();
        }
    }

    fn element(&self, value: Scalar) -> String {
        match value {
            Scalar::Bool(v) => py_bool(v).to_string(),
            Scalar::Int(v) => v.to_string(),
            Scalar::Float(v) if self.sci => py_exp(v, self.opts.precision),
            Scalar::Float(v) if self.whole => {
                let mut text = py_fixed(v, 0);
                if v.is_finite() {
                    text.push('.');
                }
                text
            }
            Scalar::Float(v) => py_fixed(v, self.opts.precision),
            Scalar::Complex(re, im) => {
                let mut text = self.element(Scalar::Float(re));
                if let Some(f) = &self.imaginary {
                    text.insert_str(0, &" ".repeat(self.width.saturating_sub(text.len())));
                    let im = f.element(Scalar::Float(im));
                    // What fills the width of an imaginary part is left out, and what has no sign of its own gets one.
                    if !im.starts_with(['+', '-']) {
                        text.push('+');
                    }
                    text += &im;
                    text.push('j');
                }
                text
            }
        }
    }

    fn push_element(&self, value: Scalar, out: &mut String) -> Result<()> {
        let text = self.element(value);
        memory::reserve_text(out, text.len().max(self.width) + 2)?;
        for _ in text.len()..self.width {
            out.push(' ');
        }
        out.push_str(&text);
        Ok(())
    }

    fn write_dim(&self, data: &TensorText, at: &mut Vec<i64>, indent: usize, out: &mut String) -> Result<()> {
        let left = data.shape.len() - at.len();
        match left {
            0 => self.push_element((data.value)(at), out),
            1 => self.write_vector(data, at, indent, out),
            _ => {
                let separate = |out: &mut String| -> Result<()> {
                    memory::reserve_text(out, left + indent + 8)?;
                    out.push(',');
                    for _ in 1..left {
                        out.push('\n');
                    }
                    for _ in 0..indent + 1 {
                        out.push(' ');
                    }
                    Ok(())
                };
                memory::reserve_text(out, 8)?;
                out.push('[');
                let (head, tail) = self.shown(data.shape[at.len()]);
                let mut first = true;
                let mut rows = |range: std::ops::Range<i64>, out: &mut String| -> Result<()> {
                    for i in range {
                        if !std::mem::take(&mut first) {
                            separate(out)?;
                        }
                        at.push(i);
                        let written = self.write_dim(data, at, indent + 1, out);
                        at.pop();
                        written?;
                    }
                    Ok(())
                };
                let gap_first = head.is_empty();
                rows(head, out)?;
                if let Some(tail) = tail {
                    if !gap_first {
                        separate(out)?;
                    }
                    memory::reserve_text(out, 4)?;
                    out.push_str("...");
                    rows(tail, out)?;
                }
                memory::reserve_text(out, 1)?;
                out.push(']');
                Ok(())
            }
        }
    }

    fn write_vector(&self, data: &TensorText, at: &mut Vec<i64>, indent: usize, out: &mut String) -> Result<()> {
        memory::reserve_text(out, 16)?;
        if self.summarize && self.opts.edgeitems == 0 {
            out.push_str("[...]");
            return Ok(());
        }
        let width = self.width + 2 + self.imaginary.as_ref().map_or(0, |f| f.width + 1);
        let per_line = (self.opts.linewidth.saturating_sub(indent) / width).max(1);
        let mut count = 0;
        let mut separate = |out: &mut String| -> Result<()> {
            memory::reserve_text(out, indent + 8)?;
            if count > 0 {
                if count % per_line == 0 {
                    out.push_str(",\n");
                    for _ in 0..indent + 1 {
                        out.push(' ');
                    }
                } else {
                    out.push_str(", ");
                }
            }
            count += 1;
            Ok(())
        };
        let (head, tail) = self.shown(data.shape[at.len()]);
        let mut element = |i: i64, out: &mut String| -> Result<()> {
            at.push(i);
            let value = (data.value)(at);
            at.pop();
            self.push_element(value, out)
        };
        out.push('[');
        for i in head {
            separate(out)?;
            element(i, out)?;
        }
        if let Some(tail) = tail {
            separate(out)?;
            out.push_str(" ...");
            for i in tail {
                separate(out)?;
                element(i, out)?;
            }
        }
        memory::reserve_text(out, 1)?;
        out.push(']');
        Ok(())
    }
}

/// Python's `repr` of a float: the shortest text that reads back as the same number (`0.1`, `1e-05`, `3.0`, `inf`).
pub fn py_float(v: f64) -> String {
    if !v.is_finite() {
        return py_fixed(v, 0);
    }
    let mut text = format!("{v:e}");
    // Where two shortest texts are equally near, Python takes the even digit: so does rounding to that many digits.
    let digits = text.split('e').next().unwrap_or("").bytes().filter(u8::is_ascii_digit).count();
    let even = format!("{v:.*e}", digits.saturating_sub(1));
    if even.parse() == Ok(v) {
        text = even;
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if v != 0.0 && !(-4..16).contains(&exponent) {
        return format!("{mantissa}e{}", py_exponent(exponent));
    }
    // As many decimals as the digits need, and at least one.
    format!("{v:.*}", (digits as i32 - 1 - exponent).max(1) as usize)
}

/// Python's `f"{v:.{precision}f}"`.
pub fn py_fixed(v: f64, precision: usize) -> String {
    if v.is_nan() {
        "nan".to_string()
    } else if v.is_infinite() {
        if v > 0.0 { "inf" } else { "-inf" }.to_string()
    } else {
        format!("{v:.precision$}")
    }
}

/// Python's `f"{v:.{precision}e}"`: at least two digits of exponent, always with a sign.
pub fn py_exp(v: f64, precision: usize) -> String {
    if !v.is_finite() {
        return py_fixed(v, 0);
    }
    let text = format!("{v:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!("{mantissa}e{}", py_exponent(exponent.parse().unwrap_or(0))),
        None => text,
    }
}

fn py_exponent(exponent: i32) -> String {
    format!("{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

/// Python's `str` of a tuple of integers: `()`, `(3,)`, `(3, 4)`.
pub fn py_tuple(values: &[i64]) -> String {
    match values {
        [one] => format!("({one},)"),
        _ => format!("({})", values.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// `True` or `False`.
pub fn py_bool(v: bool) -> &'static str {
    if v {
        "True"
    } else {
        "False"
    }
}

#[cfg(test)]
#[path = "print_tests.rs"]
mod tests;
