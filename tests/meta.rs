//! Ops on the device `meta`: results and gradients of the shapes and dtypes that PyTorch recorded, without an element.

use super::common::calls;
use super::common::device::device;
use super::common::samples::{load, Fixture};
use super::common::value::{tensors, Args, Value};
use std::collections::{BTreeMap, BTreeSet};
use taper::autograd::{self, engine};
use taper::{ops, Device, ErrorKind, Tensor};

fn on_meta(v: &Value) -> Value {
    let to = |t: &Tensor| ops::to_device(t, Device::META).unwrap().alias_same();
    match v {
        Value::Tensor(t) => Value::Tensor(to(t)),
        Value::Tensors(list) => Value::Tensors(list.iter().map(to).collect()),
        Value::OptTensors(list) => Value::OptTensors(list.iter().map(|t| t.as_ref().map(to)).collect()),
        v => v.clone(),
    }
}
fn same(got: &Tensor, want: &Tensor) -> Result<(), String> {
    let (g, w) = ((got.shape(), got.dtype(), got.device()), (want.shape(), want.dtype(), Device::META));
    if g == w {
        Ok(())
    } else {
        Err(format!("{g:?} instead of {w:?}"))
    }
}

enum Outcome {
    Fine,
    NoElements,
    Wrong(String),
}
fn run(f: &Fixture, case: &str) -> Outcome {
    let [name, args, want, grads] = case.split('|').collect::<Vec<_>>()[..] else { panic!("{case}") };
    let mut values: Vec<Value> = f.arguments(args).iter().map(on_meta).collect();
    let leaves = tensors(&values);
    let inplace = name.split('.').next().unwrap().ends_with('_');
    if leaves.is_empty() || want.starts_with('!') {
        return Outcome::Fine;
    }
    let marks: Vec<&str> = grads.split(';').collect();
    let differentiated = |i: usize| !grads.is_empty() && marks.get(i).is_some_and(|m| *m != "-");
    for (_, t) in leaves.iter().enumerate().filter(|(i, _)| differentiated(*i)) {
        autograd::set_requires_grad(t, true).unwrap();
    }
    if inplace {
        values[0] = Value::Tensor(ops::clone(&leaves[0]).unwrap());
    }
    let args = Args(values);
    let no_elements = |e: &taper::Error| {
        e.kind == ErrorKind::NotImplemented || e.message == "Tensor.item() cannot be called on meta tensors"
    };
    let outs = match calls::call(name, &args) {
        Err(e) if no_elements(&e) => return Outcome::NoElements,
        Err(e) => return Outcome::Wrong(format!("{e:?}")),
        Ok(_) if inplace => vec![args.0[0].clone()],
        Ok(outs) => outs,
    };
    let (got, wanted) = (tensors(&outs), tensors(&f.values(want)));
    for (g, w) in got.iter().zip(&wanted) {
        if let Err(e) = same(g, w) {
            return Outcome::Wrong(e);
        }
    }
    let roots: Vec<Tensor> = got.iter().filter(|t| autograd::requires_grad(t)).cloned().collect();
    if grads.is_empty() || roots.is_empty() {
        return Outcome::Fine;
    }
    let targets: Vec<Tensor> = leaves.iter().filter(|t| autograd::requires_grad(t)).cloned().collect();
    let ones: Vec<Option<Tensor>> = roots.iter().map(|t| Some(ops::ones_like(t, None, None).unwrap())).collect();
    match ops::grad(&roots, &targets, &ones, engine::Options::default(), true) {
        Err(e) if no_elements(&e) => Outcome::NoElements,
        Err(e) => Outcome::Wrong(format!("backward: {e:?}")),
        Ok(list) => {
            for (g, t) in list.iter().zip(&targets) {
                if let Some(Err(e)) = g.as_ref().map(|g| same(g, t)) {
                    return Outcome::Wrong(format!("gradient: {e}"));
                }
            }
            Outcome::Fine
        }
    }
}

/// Ops whose result's shape depends on elements, and those that are computed on the host.
const NEED_ELEMENTS: &[&str] = &[
    "allclose",
    "argwhere",
    "bincount",
    "cholesky_inverse",
    "cholesky_solve",
    "cov",
    "ctc_loss.IntList",
    "ctc_loss.Tensor",
    "det",
    "embedding_full",
    "equal",
    "geqrf",
    "gru.data",
    "histc",
    "index",
    "index_put_",
    "inverse",
    "linalg_cholesky",
    "linalg_cholesky_ex",
    "linalg_cond",
    "linalg_cond.p_str",
    "linalg_det",
    "linalg_eigh",
    "linalg_eigvalsh",
    "linalg_householder_product",
    "linalg_inv",
    "linalg_inv_ex",
    "linalg_ldl_factor",
    "linalg_ldl_factor_ex",
    "linalg_ldl_solve",
    "linalg_lstsq",
    "linalg_lu",
    "linalg_lu_factor",
    "linalg_lu_factor_ex",
    "linalg_lu_solve",
    "linalg_matrix_exp",
    "linalg_matrix_norm",
    "linalg_matrix_norm.str_ord",
    "linalg_matrix_power",
    "linalg_matrix_rank",
    "linalg_matrix_rank.atol_rtol_float",
    "linalg_matrix_rank.atol_rtol_tensor",
    "linalg_matrix_sqrth",
    "linalg_norm",
    "linalg_norm.ord_str",
    "linalg_pinv",
    "linalg_pinv.atol_rtol_float",
    "linalg_pinv.atol_rtol_tensor",
    "linalg_polar",
    "linalg_qr",
    "linalg_slogdet",
    "linalg_solve",
    "linalg_solve_ex",
    "linalg_solve_triangular",
    "linalg_svd",
    "linalg_svdvals",
    "linalg_tensorinv",
    "linalg_tensorsolve",
    "logdet",
    "lstm.data",
    "lu_solve",
    "lu_unpack",
    "masked_select",
    "matrix_exp",
    "matrix_power",
    "nanquantile",
    "nanquantile.scalar",
    "nextafter",
    "nonzero",
    "nonzero_numpy",
    "nuclear_norm",
    "nuclear_norm.dim",
    "one_hot",
    "orgqr",
    "ormqr",
    "pinverse",
    "repeat_interleave.Tensor",
    "segment_reduce",
    "rnn_relu.data",
    "rnn_tanh.data",
    "slogdet",
    "svd",
    "triangular_solve",
    "unique",
    "unique_consecutive",
    "unique_dim",
];

#[test]
fn ops_have_pytorchs_shapes_on_meta() {
    if !device().is_cpu() {
        return;
    }
    let f = load();
    let (mut wrong, mut without) = (BTreeMap::<&str, Vec<String>>::new(), BTreeSet::new());
    let mut count = 0;
    for case in &f.cases {
        let name = case.split('|').next().unwrap();
        let Some(place) = calls::NAMES.iter().position(|n| *n == name) else { continue };
        let name = calls::NAMES[place];
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&f, case)));
        count += 1;
        match outcome {
            Ok(Outcome::Fine) => {}
            Ok(Outcome::NoElements) => {
                without.insert(name);
            }
            Ok(Outcome::Wrong(e)) => wrong.entry(name).or_default().push(format!("{case}\n    {e}")),
            Err(_) => wrong.entry(name).or_default().push(format!("{case}\n    panicked")),
        }
    }
    println!("{count} samples; {} ops need elements", without.len());
    let report: Vec<String> = wrong.iter().map(|(n, l)| format!("{n}: {} samples\n  {}", l.len(), l[0])).collect();
    assert!(report.is_empty(), "{} ops differ on meta:\n{}", report.len(), report.join("\n"));
    let listed: BTreeSet<&str> = NEED_ELEMENTS.iter().copied().collect();
    assert_eq!(without, listed, "the ops that need elements are not those that are listed");
}
