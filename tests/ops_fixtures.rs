//! Every op of the table against values, gradients and errors recorded from PyTorch (tests/fixtures/make_ops.py).

use super::common::calls;
use super::common::device::{compiles_slowly, device, shard, Kernels};
use super::common::samples::{load, Fixture};
use super::common::value::{tensors, Args, Value};
use std::collections::{BTreeMap, BTreeSet};
use taper::autograd::{self, engine};
use taper::{DType, ErrorKind, Tensor};

/// Samples where Taper differs from PyTorch on purpose: op, part of the arguments' text, why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("gelu", "t6:11:", "PyTorch's vectorised float gelu is NaN at infinity"),
    ("fmod.Tensor", "t5:3:", "a 0-dim float operand of a half tensor is not rounded to half first"),
    ("remainder.Tensor", "t5:3:", "the same"),
    ("xlogy", "t5:3:", "the same"),
    ("special_bessel_y0", "t7:2x3", "PyTorch's doubles have an error of 1e-6 there"),
    ("special_bessel_y1", "t7:2x3", "the same"),
    (
        "multi_head_attention_forward",
        "t6:3x2x4:2648;t6:2x2x4:188232",
        "scores of hundreds: float32 of both is 1e-5 from the truth",
    ),
    ("nanmedian.dim", "t7:3x4", "which NaN of a row of nothing else is named"),
];

/// Relative and absolute tolerance of a dtype (those of torch.testing.assert_close).
fn tolerance(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::F16 => (1e-3, 1e-5),
        DType::BF16 => (1.6e-2, 1e-5),
        DType::F32 => (1.3e-6, 1e-5),
        DType::F64 => (1e-7, 1e-7),
        _ => (0.0, 0.0),
    }
}

fn compare(got: &Tensor, want: &Tensor) -> Result<(), String> {
    if got.dtype() != want.dtype() {
        return Err(format!("dtype {} instead of {}", got.dtype(), want.dtype()));
    }
    if got.device() != device() {
        return Err(format!("the result lies on {} instead of {}", got.device(), device()));
    }
    if got.shape() != want.shape() {
        return Err(format!("shape {:?} instead of {:?}", got.shape(), want.shape()));
    }
    if !want.dtype().is_float() {
        let (a, b) = (got.to_i64_vec().unwrap(), want.to_i64_vec().unwrap());
        return if a == b { Ok(()) } else { Err(format!("{a:?} instead of {b:?}")) };
    }
    let (rtol, atol) = tolerance(want.dtype());
    let (a, b) = (got.to_f64_vec().unwrap(), want.to_f64_vec().unwrap());
    let close = |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= atol + rtol * y.abs();
    match a.iter().zip(&b).position(|(x, y)| !close(*x, *y)) {
        None => Ok(()),
        Some(i) => Err(format!("element {i}: {} instead of {}\n    got  {a:?}\n    want {b:?}", a[i], b[i])),
    }
}

/// The weights of the loss: ((7 i) mod 11 - 4) / 4.
fn weight(t: &Tensor) -> Tensor {
    let w: Vec<f64> = (0..t.numel()).map(|i| (((7 * i) % 11) as f64 - 4.0) / 4.0).collect();
    let host = Tensor::from_slice(&w, &t.shape()).unwrap();
    let out = Tensor::empty(&t.shape(), t.dtype(), t.device()).unwrap();
    out.copy_from(&host).unwrap();
    out
}

fn flatten(values: &[Value]) -> Vec<Value> {
    let mut out = vec![];
    for v in values {
        match v {
            Value::Tensors(list) => out.extend(list.iter().map(|t| Value::Tensor(t.clone()))),
            v => out.push(v.clone()),
        }
    }
    out
}

fn same_kind(kind: ErrorKind, python: &str, text: &str) -> bool {
    match python {
        // PyTorch is not of one mind here.
        "RuntimeError" if text.contains("out of bounds") => matches!(kind, ErrorKind::Runtime | ErrorKind::Index),
        "IndexError" => kind == ErrorKind::Index,
        "ValueError" => kind == ErrorKind::Value,
        _ => matches!(kind, ErrorKind::Runtime | ErrorKind::NotImplemented),
    }
}

/// Errors that depend on values, which devices do not look at, as PyTorch's do not.
const UNCHECKED: &[&str] = &["ZeroDivisionError"];

/// Runs one sample; what is wrong with it, if anything.
fn run(f: &Fixture, case: &str, messages: &mut (usize, usize)) -> Result<(), String> {
    let [name, args, want, grads] = case.split('|').collect::<Vec<_>>()[..] else { panic!("{case}") };
    let mut values = f.arguments(args);
    let with_grad = !grads.is_empty();
    let leaves = tensors(&values);
    let marks: Vec<&str> = grads.split(';').collect();
    if with_grad {
        for (t, _) in leaves.iter().zip(&marks).filter(|(_, m)| **m != "-") {
            autograd::set_requires_grad(t, true).unwrap();
        }
    }
    let inplace = name.split('.').next().unwrap().ends_with('_');
    if inplace {
        let leaf = values[0].clone();
        if let Value::Tensor(t) = &leaf {
            values[0] = Value::Tensor(taper::ops::clone(t).unwrap());
        }
    }
    let args = Args(values);
    let result = calls::call(name, &args);
    if let Some(error) = want.strip_prefix('!') {
        let (python, text) = error.split_once(':').unwrap();
        // A kernel that meets a bad index says so when the host next waits.
        let result = result.and_then(|r| taper::backend::get(device())?.synchronize().map(|_| r));
        return match result {
            Ok(_) if !device().is_cpu() && UNCHECKED.contains(&text) => Ok(()),
            Ok(_) => Err(format!("no error; PyTorch: {python}: {text}")),
            Err(e) if !same_kind(e.kind, python, text) => Err(format!("{e:?}; PyTorch: {python}: {text}")),
            Err(e) => {
                messages.0 += (e.message == text) as usize;
                messages.1 += 1;
                Ok(())
            }
        };
    }
    let mut outs = flatten(&result.map_err(|e| format!("{e:?}"))?);
    if inplace {
        outs = vec![args.0[0].clone()];
    }
    let wanted = f.values(want);
    if outs.len() != wanted.len() {
        return Err(format!("{} results instead of {}", outs.len(), wanted.len()));
    }
    for (i, (got, want)) in outs.iter().zip(&wanted).enumerate() {
        match (got, want) {
            (Value::Tensor(g), Value::Tensor(w)) => compare(g, w).map_err(|e| format!("result {i}: {e}"))?,
            (Value::Scalar(g), Value::Scalar(w)) if g.to_f64() == w.to_f64() => {}
            (Value::DType(g), Value::DType(w)) if g == w => {}
            (g, w) => return Err(format!("result {i}: {g:?} instead of {w:?}")),
        }
    }
    if !with_grad {
        return Ok(());
    }
    let roots: Vec<Tensor> = outs
        .iter()
        .filter_map(|v| match v {
            Value::Tensor(t) if autograd::requires_grad(t) => Some(t.clone()),
            _ => None,
        })
        .collect();
    let grads: Vec<Value> = marks.iter().map(|m| if *m == "-" { Value::None } else { f.value(m) }).collect();
    let targets: Vec<Tensor> = leaves.iter().filter(|t| autograd::requires_grad(t)).cloned().collect();
    let weights: Vec<Option<Tensor>> = roots.iter().map(|t| Some(weight(t))).collect();
    if roots.is_empty() {
        return Err("no result requires a gradient".into());
    }
    let got = taper::ops::grad(&roots, &targets, &weights, engine::Options::default(), true)
        .map_err(|e| format!("backward: {e:?}"))?;
    let mut got = got.into_iter();
    for (i, (leaf, want)) in leaves.iter().zip(&grads).enumerate() {
        let g = if autograd::requires_grad(leaf) { got.next().unwrap() } else { None };
        match (g, want) {
            (None, Value::None) => {}
            (Some(g), Value::Tensor(w)) => compare(&g, w).map_err(|e| format!("gradient {i}: {e}"))?,
            // Absent and zero are the same gradient.
            (Some(g), Value::None) if g.to_f64_vec().unwrap().iter().all(|v| *v == 0.0) => {}
            (None, Value::Tensor(w)) if w.to_f64_vec().unwrap().iter().all(|v| *v == 0.0) => {}
            (g, w) => return Err(format!("gradient {i}: {g:?} instead of {w:?}", g = g.map(|g| g.shape()))),
        }
    }
    Ok(())
}

/// Of the samples of a device that compiles slowly those that are kept: all of float32 and all errors, of other dtypes a
/// third, so that each op meets some dtype and each dtype some ops. `seen` has what came before.
fn kept<'a>(case: &'a str, place: usize, seen: &mut BTreeSet<(&'a str, Vec<usize>)>) -> bool {
    let [name, args, want, _] = case.split('|').collect::<Vec<_>>()[..] else { panic!("{case}") };
    let code = |tensor: &str| tensor.trim_start_matches(['t', 'L', 'O']).split_once(':')?.0.parse::<usize>().ok();
    let codes: Vec<usize> = args.split([';', ',']).filter_map(code).collect();
    let other = codes.iter().find(|c| **c != DType::F32 as usize).copied();
    let Some(other) = other.filter(|_| !want.starts_with('!')) else { return true };
    let first = !seen.iter().any(|(n, _)| *n == name);
    seen.insert((name, codes)) && (first || (place + other).is_multiple_of(3))
}

/// The ops that docs/DEVICES.md says do not run, one a line: "- `name`: why".
fn listed() -> BTreeSet<&'static str> {
    let text = include_str!("../docs/DEVICES.md");
    let (_, rest) = text.split_once("<!-- list -->").unwrap();
    let (list, _) = rest.split_once("<!-- end of the list -->").unwrap();
    let listed: BTreeSet<&str> = list.lines().filter_map(|l| l.strip_prefix("- `")?.split('`').next()).collect();
    assert!(listed.is_empty() == list.contains("None."), "docs/DEVICES.md: either a list or None.");
    listed
}

#[test]
fn ops_equal_pytorch() {
    let _kernels = Kernels::counted();
    let f = load();
    let filter = std::env::var("OP").ok();
    let mut failures = BTreeMap::<String, Vec<String>>::new();
    let mut names = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut messages = (0, 0);
    let mut unsupported = BTreeSet::new();
    for case in &f.cases {
        let mut parts = case.split('|');
        let (name, args) = (parts.next().unwrap(), parts.next().unwrap());
        let Some(place) = calls::NAMES.iter().position(|n| *n == name) else { continue };
        if filter.as_ref().is_some_and(|o| !o.split(',').any(|o| o == name)) || !shard(place) {
            continue;
        }
        if compiles_slowly() && filter.is_none() && !kept(case, place, &mut seen) {
            continue;
        }
        names.insert(name.to_string());
        // Two to a float32 power, then float64: PoCL's exp2 is right to float32's last places only.
        let loose = name == "ldexp" && args.starts_with("t7") && !device().is_cpu();
        // Functions of infinities in double precision are the device's own.
        let points = (args.starts_with("t7:1x1x20:") || args.starts_with("t7:1x1x100:")) && !device().is_cpu();
        if loose || points || DIFFERENT.iter().any(|(n, a, _)| *n == name && args.contains(a)) {
            continue;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut m = (0, 0);
            (run(&f, case, &mut m), m)
        }));
        let text = match outcome {
            Ok((Ok(()), m)) => {
                messages = (messages.0 + m.0, messages.1 + m.1);
                continue;
            }
            Ok((Err(e), _)) => e,
            Err(_) => "panicked".into(),
        };
        if !device().is_cpu() && text.contains("NotImplemented") {
            unsupported.insert(name);
            continue;
        }
        failures.entry(name.to_string()).or_default().push(format!("{case}\n    {text}"));
    }
    let without: Vec<&str> =
        calls::NAMES.iter().enumerate().filter(|(i, n)| shard(*i) && !names.contains(**n)).map(|(_, n)| *n).collect();
    println!("{} samples of {} ops; without a sample: {without:?}", f.cases.len(), names.len());
    println!("{} of {} error messages are PyTorch's word for word", messages.0, messages.1);
    if !device().is_cpu() && filter.is_none() {
        let listed = listed();
        let wrong: Vec<&String> =
            names.iter().filter(|n| listed.contains(n.as_str()) != unsupported.contains(n.as_str())).collect();
        // Norms that are not of singular values run everywhere, and which samples are tried depends on the device.
        let wrong: Vec<&String> = wrong
            .into_iter()
            .filter(|n| !(n.contains("norm") || n.contains("cond")) || !listed.contains(n.as_str()))
            .collect();
        assert!(wrong.is_empty(), "docs/DEVICES.md is wrong on what runs on {}: {wrong:?}", device());
    }
    let report: Vec<String> = failures
        .iter()
        .map(|(name, list)| format!("{name}: {} samples\n  {}", list.len(), list[..list.len().min(3)].join("\n  ")))
        .collect();
    assert!(report.is_empty(), "{} ops differ from PyTorch:\n{}", report.len(), report.join("\n"));
}
