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

/// Gradients that a hook saw, each as its numbers.
type Seen = std::sync::Arc<std::sync::Mutex<Vec<Vec<f64>>>>;
fn watch(t: &Tensor, factor: f64) -> (Seen, u64) {
    let seen = Seen::default();
    let note = seen.clone();
    let call = move |g: &Tensor| {
        note.lock().unwrap().push(g.to_f64_vec()?);
        ops::mul_scalar(g, Scalar::Float(factor)).map(Some)
    };
    let id = autograd::meta::register_hook(t, std::sync::Arc::new(call)).unwrap();
    (seen, id)
}

// The numbers are PyTorch's for the same calls.
#[test]
fn a_hook_belongs_to_the_value_it_was_put_on() {
    let _kernels = Kernels::counted();
    let times = |t: &Tensor, k: f64| ops::mul_scalar(t, Scalar::Float(k)).unwrap();
    let finish = |t: &Tensor| back(&ops::sum(&times(t, 3.0), None).unwrap());
    // Written in place, twice.
    let x = leaf(&[1., 2.], &[2]);
    let y = times(&x, 1.0);
    let (seen, _) = watch(&y, 10.0);
    ops::mul_scalar_(&y, Scalar::Int(2)).unwrap();
    let (late, id) = watch(&y, 1.0);
    ops::add_scalar_(&y, ONE, ONE).unwrap();
    finish(&y);
    assert_eq!(*seen.lock().unwrap(), vec![vec![6., 6.]]);
    assert_eq!(*late.lock().unwrap(), vec![vec![3., 3.]]);
    assert_eq!(grad_of(&x), vec![60., 60.]);
    autograd::meta::remove_hook(&y, id);
    // Through a view of it, and through a view that was itself written.
    let x = leaf(&[1., 2.], &[2]);
    let y = times(&x, 1.0);
    let (seen, _) = watch(&y, 1.0);
    let v = ops::select(&y, 0, 0).unwrap();
    let (never, _) = watch(&v, 1.0);
    ops::mul_scalar_(&v, Scalar::Int(2)).unwrap();
    finish(&y);
    assert_eq!(*seen.lock().unwrap(), vec![vec![6., 3.]]);
    assert!(never.lock().unwrap().is_empty());
    assert_eq!(grad_of(&x), vec![6., 3.]);
    // A hook is removed also when its tensor is another value by now.
    let x = leaf(&[1., 2.], &[2]);
    let y = times(&x, 1.0);
    let (seen, id) = watch(&y, 10.0);
    ops::mul_scalar_(&y, Scalar::Int(2)).unwrap();
    autograd::meta::remove_hook(&y, id);
    finish(&y);
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(grad_of(&x), vec![6., 6.]);
}

#[test]
fn a_retained_gradient_is_that_of_the_newest_value() {
    let _kernels = Kernels::counted();
    let x = leaf(&[1., 2.], &[2]);
    let y = ops::mul_scalar(&x, Scalar::Float(1.0)).unwrap();
    autograd::meta::retain_grad(&y).unwrap();
    ops::mul_scalar_(&y, Scalar::Int(2)).unwrap();
    ops::mul_scalar_(&ops::select(&y, 0, 0).unwrap(), Scalar::Int(5)).unwrap();
    back(&ops::sum(&ops::mul_scalar(&y, Scalar::Float(3.0)).unwrap(), None).unwrap());
    assert_eq!(grad_of(&y), vec![3., 3.]);
    assert_eq!(grad_of(&x), vec![30., 6.]);
}

#[test]
fn a_hook_may_not_change_shape_or_dtype() {
    let _kernels = Kernels::counted();
    type Call = fn(&Tensor) -> taper::Result<Option<Tensor>>;
    let cases: [(Call, &str); 2] = [
        (|g| ops::sum(g, None).map(Some), "hook has changed the size of value (was [2] got [])"),
        (|g| ops::cast(g, DType::F32).map(Some), "hook has changed the type of value (was torch.DoubleTensor"),
    ];
    for (call, text) in cases {
        for on_leaf in [true, false] {
            let x = leaf(&[1., 2.], &[2]);
            let y = ops::mul_scalar(&x, Scalar::Float(1.0)).unwrap();
            autograd::meta::register_hook(if on_leaf { &x } else { &y }, std::sync::Arc::new(call)).unwrap();
            let e = ops::backward(&[ops::sum(&y, None).unwrap()], &[], Options::default(), None).unwrap_err();
            assert!(e.message.starts_with(text), "{e}");
        }
    }
    let x = leaf(&[1., 2.], &[2]);
    let same = std::sync::Arc::new(|t: &Tensor| Ok(Some(t.clone())));
    autograd::meta::register_post_accumulate_hook(&x, same).unwrap();
    let e = ops::backward(&[ops::sum(&x, None).unwrap()], &[], Options::default(), None).unwrap_err();
    assert_eq!(e.message, "Tensor post accumulate grad hooks should return None.");
}

#[test]
fn elements_that_are_one_in_memory_share_a_gradient_once() {
    let _kernels = Kernels::counted();
    let x = leaf(&[0.5, -1.0], &[2]);
    let e = ops::expand(&x, &[3, 2]).unwrap();
    let z = moved(&Tensor::from_slice(&[1., 2., 3., 4., 5., 6.], &[3, 2]).unwrap());
    let w = ops::as_strided(&e, &[3, 2], &e.strides(), None).unwrap();
    back(&ops::sum(&ops::mul(&w, &z).unwrap(), None).unwrap());
    assert_eq!(grad_of(&x), vec![9., 12.]);
}

#[test]
fn one_number_may_be_written_over_an_expanded_tensor() {
    let _kernels = Kernels::counted();
    let e = ops::expand(&moved(&Tensor::from_slice(&[1.0], &[1]).unwrap()), &[3]).unwrap();
    ops::fill_scalar_(&e, Scalar::Float(4.0)).unwrap();
    assert_eq!(e.to_f64_vec().unwrap(), vec![4.0; 3]);
    let text = ops::add_scalar_(&e, ONE, ONE).unwrap_err().into_message();
    assert!(text.contains("more than one element of the written-to tensor"), "{text}");
}

#[test]
fn versions_are_counted_together_by_what_shares_memory() {
    let a = moved(&Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], &[4]).unwrap());
    let view = ops::view(&a, &[2, 2]).unwrap();
    let apart = a.alias_data();
    ops::add_scalar_(&view, ONE, ONE).unwrap();
    assert_eq!((a.version(), view.version(), apart.version()), (1, 1, 0));
    ops::add_scalar_(&apart, ONE, ONE).unwrap();
    assert_eq!((a.version(), view.version(), apart.version()), (1, 1, 1));
    // Other memory: the counter goes with the tensor, and its views of before still share it.
    let before = taper::tensor::changes().load(std::sync::atomic::Ordering::SeqCst);
    let other_handle = a.clone();
    autograd::meta::set_data(&a, &moved(&Tensor::from_slice(&[5f64], &[1]).unwrap())).unwrap();
    assert!(taper::tensor::changes().load(std::sync::atomic::Ordering::SeqCst) > before);
    assert_eq!((other_handle.shape().len(), other_handle.dtype()), (1, DType::F64));
    assert_eq!((a.version(), view.version()), (1, 1));
    ops::add_scalar_(&a, ONE, ONE).unwrap();
    assert_eq!((a.version(), view.version()), (2, 2));
    ops::add_scalar_(&view, ONE, ONE).unwrap();
    assert_eq!((a.version(), view.version(), a.to_f64_vec().unwrap()), (3, 3, vec![6.0]));
}

#[test]
fn identities_are_given_once() {
    let a = Tensor::from_slice(&[1f32], &[1]).unwrap();
    let ids: Vec<u64> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..4).map(|_| s.spawn(|| a.id())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(ids[0] != 0 && ids.iter().all(|id| *id == ids[0] && *id == a.clone().id()));
    assert_ne!(Tensor::from_slice(&[1f32], &[1]).unwrap().id(), ids[0]);
}

#[test]
fn losses_of_one_pass_have_their_derivatives() {
    // Below, at and beyond the bound, infinities and NaN; against what the definition says.
    let x: Vec<f64> = vec![-3.0, -1.5, -0.5, 0.0, 0.25, 1.5, 2.0, f64::INFINITY, f64::NAN];
    let t = moved(&Tensor::from_slice(&vec![0f64; x.len()], &[x.len() as i64]).unwrap());
    for (beta, unit) in [(1.5, true), (1.5, false)] {
        let a = leaf(&x, &[x.len() as i64]);
        let loss = if unit { ops::smooth_l1_loss(&a, &t, "none", beta) } else { ops::huber_loss(&a, &t, "none", beta) };
        let loss = loss.unwrap();
        back(&ops::sum(&loss, None).unwrap());
        let scale = if unit { 1.0 } else { beta };
        let far = |d: f64| (d.abs() - 0.5 * beta) * scale;
        let near = |d: f64| 0.5 * d * d / beta * scale;
        for ((d, l), g) in x.iter().zip(loss.to_f64_vec().unwrap()).zip(grad_of(&a)) {
            let (want, slope) =
                if d.abs() >= beta { (far(*d), d.signum() * scale) } else { (near(*d), d / beta * scale) };
            let close = |a: f64, b: f64| a == b || (a - b).abs() < 1e-12 || (a.is_nan() && b.is_nan());
            assert!(close(l, want) && close(g, slope), "{d}: {l} {want}, {g} {slope}");
        }
    }
}
