//! Autograd semantics: accumulation, views, in-place writes, errors, second derivatives.

use super::common::device::{device, moved, Kernels};
use taper::autograd::{self, engine::Options};
use taper::{ops, DType, Scalar, Tensor};

const ONE: Scalar = Scalar::Int(1);

fn leaf(v: &[f64], shape: &[i64]) -> Tensor {
    let t = moved(&Tensor::from_slice(v, shape).unwrap());
    autograd::set_requires_grad(&t, true).unwrap();
    t
}
fn back(t: &Tensor) {
    ops::backward(std::slice::from_ref(t), &[], Options::default(), None).unwrap();
}
fn grad_of(t: &Tensor) -> Vec<f64> {
    autograd::meta::grad(t).expect("a gradient").to_f64_vec().unwrap()
}

#[test]
fn chain_and_broadcast() {
    let _kernels = Kernels::counted();
    let a = leaf(&[1., 2., 3., 4.], &[2, 2]);
    let b = leaf(&[10., 20.], &[2]);
    let y = ops::sum(&ops::mul(&ops::add(&a, &b, ONE).unwrap(), &a).unwrap(), None).unwrap();
    back(&y);
    assert_eq!(grad_of(&a), vec![12., 24., 16., 28.]);
    assert_eq!(grad_of(&b), vec![4., 6.]);
}

#[test]
fn gradients_accumulate() {
    let _kernels = Kernels::counted();
    let a = leaf(&[1., 2.], &[2]);
    for _ in 0..3 {
        back(&ops::sum(&ops::mul_scalar(&a, Scalar::Float(2.0)).unwrap(), None).unwrap());
    }
    assert_eq!(grad_of(&a), vec![6., 6.]);
}

#[test]
fn second_backward_is_an_error_only_with_saved_tensors() {
    let _kernels = Kernels::counted();
    let a = leaf(&[1., 2.], &[2]);
    let y = ops::sum(&ops::mul(&a, &a).unwrap(), None).unwrap();
    back(&y);
    let e = ops::backward(&[y], &[], Options::default(), None).unwrap_err();
    assert!(e.message.starts_with("Trying to backward through the graph a second time"), "{e}");
    let z = ops::sum(&ops::add_scalar(&a, ONE, ONE).unwrap(), None).unwrap();
    back(&z);
    back(&z);
}

#[test]
fn in_place_through_a_view_reaches_the_base() {
    let _kernels = Kernels::counted();
    let w = leaf(&[3., 5.], &[2]);
    let base = ops::zeros(&[2, 2], Some(DType::F64), None).unwrap();
    let row = ops::select(&base, 0, 1).unwrap();
    ops::copy_(&row, &w).unwrap();
    assert!(autograd::requires_grad(&base));
    let scaled = ops::mul(&base, &base).unwrap();
    back(&ops::sum(&scaled, None).unwrap());
    assert_eq!(grad_of(&w), vec![6., 10.]);
}

#[test]
fn a_view_sees_a_write_to_its_base() {
    let _kernels = Kernels::counted();
    let w = leaf(&[2., 3., 4., 5.], &[2, 2]);
    let base = ops::mul_scalar(&w, Scalar::Float(1.0)).unwrap();
    let row = ops::select(&base, 0, 0).unwrap();
    ops::mul_scalar_(&base, Scalar::Float(10.0)).unwrap();
    back(&ops::sum(&row, None).unwrap());
    assert_eq!(grad_of(&w), vec![10., 10., 0., 0.]);
}

#[test]
fn changed_saved_tensor_is_an_error() {
    let _kernels = Kernels::counted();
    let a = leaf(&[1., 2.], &[2]);
    let b = ops::mul_scalar(&a, Scalar::Float(2.0)).unwrap();
    let y = ops::sum(&ops::mul(&b, &b).unwrap(), None).unwrap();
    ops::add_scalar_(&b, ONE, ONE).unwrap();
    let e = ops::backward(&[y], &[], Options::default(), None).unwrap_err();
    assert!(e.message.contains("modified by an inplace operation"), "{e}");
    let e = ops::add_scalar_(&a, ONE, ONE).unwrap_err();
    assert!(e.message.contains("a leaf Variable that requires grad is being used in an in-place operation"), "{e}");
}

#[test]
fn in_place_multiplication_keeps_old_values() {
    let _kernels = Kernels::counted();
    let w = leaf(&[2., 3.], &[2]);
    let t = moved(&Tensor::from_slice(&[5f64, 7.], &[2]).unwrap());
    ops::mul_(&t, &w).unwrap();
    back(&ops::sum(&t, None).unwrap());
    assert_eq!(grad_of(&w), vec![5., 7.]);
    assert_eq!(t.to_vec::<f64>().unwrap(), vec![10., 21.]);
}

#[test]
fn second_derivatives() {
    let _kernels = Kernels::counted();
    let x = leaf(&[0.5, -1.25, 2.0], &[3]);
    let y = ops::sum(&ops::pow_scalar(&x, Scalar::Int(3)).unwrap(), None).unwrap();
    let o = Options { retain_graph: true, create_graph: true };
    let g = ops::grad(&[y], std::slice::from_ref(&x), &[], o, false).unwrap()[0].clone().unwrap();
    let g2 =
        ops::grad(&[ops::sum(&g, None).unwrap()], std::slice::from_ref(&x), &[], Options::default(), false).unwrap();
    let got = g2[0].as_ref().unwrap().to_f64_vec().unwrap();
    for (g, x) in got.iter().zip([0.5, -1.25, 2.0]) {
        assert!((g - 6.0 * x).abs() < 1e-12);
    }
    assert!(autograd::meta::grad(&x).is_none());
}

#[test]
fn a_million_nodes_do_not_overflow_the_stack() {
    let _kernels = Kernels::counted();
    // Every op is a launch on other devices.
    let n = if device().is_cpu() { 300_000 } else { 5_000 };
    let x = leaf(&[1.0], &[1]);
    let mut y = ops::add_scalar(&x, ONE, ONE).unwrap();
    for _ in 0..n {
        y = ops::neg(&y).unwrap();
    }
    back(&ops::sum(&y, None).unwrap());
    assert_eq!(grad_of(&x), vec![1.0]);
    let mut z = ops::add_scalar(&x, ONE, ONE).unwrap();
    for _ in 0..n {
        z = ops::sin(&z).unwrap();
    }
    drop(z);
}

#[test]
fn indexing_and_its_gradient() {
    let _kernels = Kernels::counted();
    use taper::ops::IndexItem::*;
    let a = leaf(&(0..12).map(f64::from).collect::<Vec<_>>(), &[3, 4]);
    let i = taper::Tensor::from_slice(&[2i64, 0, 2], &[3]).unwrap();
    let p = ops::index_items(&a, &[Tensor(i), Slice(Some(1), None, 2)]).unwrap();
    assert_eq!(p.shape()[..], [3, 2]);
    assert_eq!(p.to_vec::<f64>().unwrap(), vec![9., 11., 1., 3., 9., 11.]);
    back(&ops::sum(&p, None).unwrap());
    assert_eq!(grad_of(&a), vec![0., 1., 0., 1., 0., 0., 0., 0., 0., 2., 0., 2.]);
    let e = ops::index_items(&a, &[Int(3)]).unwrap_err();
    assert_eq!(e.message, "index 3 is out of bounds for dimension 0 with size 3");
}

/// An in-place op saves what it needs of the tensor that it writes into; that must not hold the graph.
#[test]
fn what_is_written_into_and_saved_is_let_go() {
    let x = leaf(&[2.0, 3.0], &[2]);
    let made = || ops::add_scalar(&x, ONE, ONE).unwrap();
    let by_itself = || {
        let y = made();
        ops::mul_(&y, &y).unwrap();
        y
    };
    let by_a_view = || {
        let y = made();
        ops::mul_(&y, &ops::view(&y, &[2]).unwrap()).unwrap();
        y
    };
    let without_a_gradient_before = || {
        let y = taper::autograd::no_grad(made);
        ops::addcmul_(&y, &y, &x, ONE).unwrap();
        y
    };
    let through_another = || {
        let y = made();
        ops::add_(&y, &ops::mul(&y, &x).unwrap(), ONE).unwrap();
        y
    };
    let cases: [&dyn Fn() -> taper::Tensor; 4] = [&by_itself, &by_a_view, &without_a_gradient_before, &through_another];
    for (i, case) in cases.into_iter().enumerate() {
        let y = case();
        let node = std::sync::Arc::downgrade(&autograd::grad_fn(&y).unwrap());
        drop(y);
        assert!(node.upgrade().is_none(), "case {i}");
    }
}

#[test]
fn anomaly_mode_names_the_function_that_made_a_nan() {
    use taper::autograd::mode::{set_anomaly, Anomaly};
    // The message is about this thread's pass; the mode is the process's, and other tests' passes make no NaN.
    let run = || {
        let x = leaf(&[4.0, 0.0], &[2]);
        let y = ops::mul_scalar(&ops::sqrt(&x).unwrap(), Scalar::Int(0)).unwrap();
        ops::backward(&[ops::sum(&y, None).unwrap()], &[None], Options::default(), None)
    };
    run().unwrap();
    set_anomaly(Anomaly::On);
    run().unwrap();
    set_anomaly(Anomaly::CheckNan);
    let error = run().unwrap_err();
    assert_eq!(set_anomaly(Anomaly::Off), Anomaly::CheckNan);
    assert_eq!(error.message, "Function 'SqrtBackward0' returned nan values in its 0th output.");
    run().unwrap();
}
