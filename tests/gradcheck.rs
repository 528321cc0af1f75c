//! First and second derivatives of every differentiable op against central differences in double precision, at PyTorch's
//! recorded samples. On the CPU all samples, elsewhere the smallest one of each op, that kernels be compiled in bearable time.

use super::common::calls;
use super::common::device::{device, moved, shard, Kernels};
use super::common::samples::{load, Fixture};
use super::common::value::{Args, Value};
use std::collections::{BTreeMap, BTreeSet};
use taper::ops::GradCheck;
use taper::{autograd, ops, DType, Error, ErrorKind, Result, Scalar, Tensor};

/// Samples that cannot be compared with differences: op, part of the arguments' text (see `shapes`), why.
const SKIPPED: &[(&str, &str, &str)] = &[
    ("embedding", ";i1|", "the row of padding_idx has no gradient by definition"),
    ("embedding_full", ";i2;n;", "the same"),
    ("embedding_full", ";i-5;n;", "the same"),
    ("embedding_full", ";b1|", "its gradient is divided by definition"),
    ("embedding_full", ";f1.0;f2.0;", "rows are scaled without being recorded, by definition"),
    ("cdist", ";finf;", "of equal differences each has the whole gradient, as in PyTorch"),
    ("pairwise_distance", ";finf;", "equal differences share the gradient"),
    ("norm", "t6:3;i2|", "the norm has a kink at zero; its gradient there is zero by definition"),
    ("quantile", "t6:3x5;t6:3;i1;b0;slinear|", "q is 0 and 1 there: beyond lies no value to compare with"),
    (
        "scatter_reduce.two",
        "t6:3x4;i0;t4:2x4;t6:2x4;sprod;b1|",
        "two zeros meet there, which has no second derivative, as in PyTorch",
    ),
    ("logical_and_", "", "it keeps the gradient of what it overwrites, as in PyTorch"),
    ("logical_not_", "", "it keeps the gradient of what it overwrites, as in PyTorch"),
    ("logical_or_", "", "it keeps the gradient of what it overwrites, as in PyTorch"),
    ("logical_xor_", "", "it keeps the gradient of what it overwrites, as in PyTorch"),
];

/// The text of arguments without the places where tensors lie in the fixture: `t6:3x5:288;i1|` becomes `t6:3x5;i1|`.
fn shapes(args: &str) -> String {
    let part = |p: &str| match p.starts_with('t') {
        true => p.splitn(3, ':').take(2).collect::<Vec<_>>().join(":"),
        false => p.to_string(),
    };
    args.split(';').map(part).collect::<Vec<_>>().join(";") + "|"
}

/// More elements than this make a sample slow without making it better; an op that has no smaller one takes its smallest.
const MOST: usize = 40;

/// A sample made ready: the arguments with every float tensor in double precision, and which tensors are variables.
struct Sample {
    name: &'static str,
    text: String,
    args: Vec<Value>,
    variables: Vec<bool>,
}

fn each(v: &Value) -> Vec<Option<&Tensor>> {
    match v {
        Value::Tensor(t) => vec![Some(t)],
        Value::Tensors(l) => l.iter().map(Some).collect(),
        Value::OptTensors(l) => l.iter().map(Option::as_ref).collect(),
        _ => vec![],
    }
}

impl Sample {
    fn read(f: &Fixture, case: &str) -> Option<Sample> {
        let [name, args, _, marks] = case.split('|').collect::<Vec<_>>()[..] else { panic!("{case}") };
        let name = *calls::NAMES.iter().find(|n| **n == name)?;
        // Samples of kinks (ops_special.py) are of this shape.
        let kinks = args.contains("t7:1x1x");
        if kinks || marks.is_empty() || SKIPPED.iter().any(|(n, a, _)| *n == name && shapes(args).contains(a)) {
            return None;
        }
        let args = f.values(args);
        let variables: Vec<bool> = marks.split(';').map(|m| m != "-").collect();
        let tensors: Vec<&Tensor> = args.iter().flat_map(each).flatten().collect();
        assert_eq!(tensors.len(), variables.len(), "{case}");
        let mut elements = 0;
        for (t, v) in tensors.iter().zip(&variables) {
            if matches!(t.dtype(), DType::F16 | DType::BF16) {
                return None;
            }
            if *v {
                elements += t.numel();
                // At infinity, and where a step is lost in the number, there is no difference to take.
                if t.to_f64_vec().unwrap().iter().any(|x| !x.is_finite() || x.abs() > 1e6) {
                    return None;
                }
            }
        }
        let s = Sample { name, text: case.to_string(), args, variables };
        (elements > 0 && s.is_finite()).then_some(s)
    }
    fn tensors(&self) -> Vec<Tensor> {
        self.args.iter().flat_map(each).flatten().map(|t| double(&moved(t))).collect()
    }
    /// Outside its domain a function is NaN, and NaN has no differences.
    fn is_finite(&self) -> bool {
        let all: Vec<Tensor> = self.args.iter().flat_map(each).flatten().map(double).collect();
        let inputs: Vec<Tensor> =
            all.iter().zip(&self.variables).filter(|(_, v)| **v).map(|(t, _)| t.clone()).collect();
        let outs = autograd::no_grad(|| self.call(&all, &inputs));
        outs.is_ok_and(|o| o.iter().all(|t| t.to_f64_vec().unwrap().iter().all(|x| x.is_finite())))
    }
    fn size(&self) -> usize {
        self.args.iter().flat_map(each).flatten().map(|t| t.numel()).sum()
    }
    /// Both checks, on the device under test. The variables are the inputs of the function, everything else is constant.
    fn check(&self) -> Result<()> {
        let all = self.tensors();
        let inputs: Vec<Tensor> =
            all.iter().zip(&self.variables).filter(|(_, v)| **v).map(|(t, _)| t.clone()).collect();
        for t in &inputs {
            autograd::set_requires_grad(t, true)?;
        }
        let function = |xs: &[Tensor]| self.call(&all, xs);
        let options = GradCheck::default();
        ops::gradcheck(&function, &inputs, options)?;
        match ops::gradgradcheck(&function, &inputs, options) {
            // A function whose gradient is constant, or zero, has no second derivative to compare.
            Err(e) if e.message.contains("no output of the function requires gradient") => Ok(()),
            other => other,
        }
    }
    fn call(&self, all: &[Tensor], xs: &[Tensor]) -> Result<Vec<Tensor>> {
        let (mut fresh, mut constant) = (xs.iter(), all.iter().zip(&self.variables));
        let mut next = || {
            let (t, variable) = constant.next().unwrap();
            if *variable { fresh.next().unwrap() } else { t }.clone()
        };
        let mut args: Vec<Value> = self
            .args
            .iter()
            .map(|v| match v {
                Value::Tensor(_) => Value::Tensor(next()),
                Value::Tensors(l) => Value::Tensors(l.iter().map(|_| next()).collect()),
                Value::OptTensors(l) => Value::OptTensors(l.iter().map(|t| t.as_ref().map(|_| next())).collect()),
                Value::DType(d) if d.is_float() => Value::DType(DType::F64),
                v => v.clone(),
            })
            .collect();
        let inplace = self.name.split('.').next().unwrap().ends_with('_');
        if inplace {
            args[0] = Value::Tensor(ops::clone(Args(args.clone()).tensor(0))?);
        }
        through_part(self.name, &mut args)?;
        let args = Args(args);
        let result = calls::call(self.name, &args)?;
        let result = if inplace { vec![args.0[0].clone()] } else { result };
        Ok(result.iter().flat_map(each).flatten().cloned().collect())
    }
}

/// Functions of symmetric or triangular matrices read one triangle, while their gradient is that of a whole matrix: they are
/// checked as functions of the symmetric or triangular part.
fn through_part(name: &str, args: &mut [Value]) -> Result<()> {
    let flag = |i: usize| matches!(args.get(i), Some(Value::Scalar(Scalar::Bool(true))));
    let (at, triangle) = match name {
        "linalg_cholesky" | "linalg_cholesky_ex" | "linalg_eigvalsh" | "linalg_matrix_sqrth" => (0, None),
        "linalg_pinv.atol_rtol_float" if flag(3) => (0, None),
        "cholesky_solve" => (1, Some(flag(2))),
        "cholesky_inverse" => (0, Some(flag(1))),
        _ => return Ok(()),
    };
    let Value::Tensor(x) = &args[at] else { return Ok(()) };
    let part = match triangle {
        Some(true) => ops::triu(x, 0)?,
        Some(false) => ops::tril(x, 0)?,
        None => ops::mul_scalar(&ops::add(x, &ops::mt(x)?, Scalar::Int(1))?, Scalar::Float(0.5))?,
    };
    args[at] = Value::Tensor(part);
    Ok(())
}
fn double(t: &Tensor) -> Tensor {
    if t.dtype().is_float() {
        ops::cast(t, DType::F64).unwrap().alias_same()
    } else {
        t.clone()
    }
}

#[test]
fn derivatives_equal_differences() {
    let _kernels = Kernels::counted();
    let f = load();
    let filter = std::env::var("OP").ok();
    let mut samples = BTreeMap::<&str, Vec<Sample>>::new();
    let mut differentiable = BTreeSet::new();
    for case in &f.cases {
        let name = case.split('|').next().unwrap();
        let Some(place) = calls::NAMES.iter().position(|n| *n == name) else { continue };
        if filter.as_ref().is_some_and(|o| !o.split(',').any(|o| o == name)) || !shard(place) {
            continue;
        }
        // Of no elements even what is piecewise constant has a gradient.
        let empty = |m: &str| m.split(':').nth(1).is_some_and(|sizes| sizes.split('x').any(|n| n == "0"));
        let marks = case.rsplit('|').next().unwrap();
        if marks.split(';').any(|m| !m.is_empty() && m != "-" && !empty(m)) {
            differentiable.insert(name);
        }
        if let Some(s) = Sample::read(&f, case) {
            samples.entry(s.name).or_default().push(s);
        }
    }
    let mut failures = vec![];
    let mut count = 0;
    for (name, list) in &mut samples {
        list.sort_by_key(Sample::size);
        let small = list.iter().filter(|s| s.size() <= MOST).count();
        let kept = if device().is_cpu() { small.max(1) } else { 1 };
        for s in list.iter().take(kept) {
            count += 1;
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| s.check()))
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "panicked")));
            if let Err(e) = outcome {
                // What runs on the CPU alone is listed in docs/DEVICES.md, which `ops_fixtures` checks.
                if !device().is_cpu() && e.kind == ErrorKind::NotImplemented {
                    continue;
                }
                failures.push(format!("{name}: {}\n    {}", s.text, e.message));
            }
        }
    }
    // Samples of these are of odd sizes or points; the ops that they are forms of are checked.
    let elsewhere = ["max_unpool3d", "xlogy_"];
    let skipped = |n: &str| SKIPPED.iter().any(|(op, part, _)| *op == n && part.is_empty());
    let without: Vec<&&str> =
        differentiable.iter().filter(|n| !samples.contains_key(**n) && !elsewhere.contains(n) && !skipped(n)).collect();
    println!("{count} samples of {} ops", samples.len());
    assert!(failures.is_empty(), "{} of {count} samples fail:\n{}", failures.len(), failures.join("\n"));
    assert!(without.is_empty(), "differentiable ops without a sample that can be checked: {without:?}");
}
