//! The module tree: walks, sharing, modes, hooks, conversion.

use super::layers::*;
use super::*;
use crate::bail;
use parking_lot::Mutex;
use std::sync::Arc;

struct Plus(f32);
impl Layer for Plus {
    fn forward(&self, _: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        let [Some(x)] = inputs else { bail!(Type, "one input") };
        let v: Vec<f32> = x.to_vec::<f32>()?.iter().map(|x| x + self.0).collect();
        Tensor::from_slice(&v, &x.shape()).map(one)
    }
}
fn tensor(v: &[f32]) -> Tensor {
    Tensor::from_slice(v, &[v.len() as i64]).unwrap()
}
fn only(list: &[Option<Tensor>]) -> &Tensor {
    list[0].as_ref().unwrap()
}
fn values(t: &Tensor) -> Vec<f32> {
    t.to_vec::<f32>().unwrap()
}
fn names<T>(v: Vec<(String, T)>) -> Vec<String> {
    v.into_iter().map(|(n, _)| n).collect()
}

#[test]
fn shared_modules_and_parameters_count_once() {
    let shared = linear(2, 2, true).unwrap();
    let m = sequential(&[shared.clone(), shared.clone(), linear(2, 2, false).unwrap()]).unwrap();
    // Tie the third weight to the first.
    m.get_submodule("2").unwrap().register_parameter("weight", shared.parameter("weight")).unwrap();
    assert_eq!(names(m.named_parameters().unwrap()), ["0.weight", "0.bias"]);
    assert_eq!(names(m.named_modules().unwrap()), ["", "0", "2"]);
    // The state dict keeps every name, so that it loads into an untied copy.
    assert_eq!(
        names(m.state_dict().unwrap().into_iter().collect()),
        ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight"]
    );
    let mut order = Vec::new();
    m.apply(&mut |m| {
        order.push(m.name().to_string());
        Ok(())
    })
    .unwrap();
    assert_eq!(order, ["Linear", "Linear", "Sequential"]);
    let e = m.apply(&mut |m| bail!(Value, "stop at {}", m.name())).unwrap_err();
    assert_eq!(e.message, "stop at Linear");
}

#[test]
fn paths_lead_to_what_they_name() {
    let m = sequential(&[sequential(&[linear(2, 3, true).unwrap()]).unwrap()]).unwrap();
    let w = m.get_parameter("0.0.weight").unwrap();
    assert_eq!(&w.shape()[..], [3, 2]);
    assert!(w.is_same(&m.parameters().unwrap()[0]));
    assert!(m.get_submodule("").unwrap().is_same(&m));
    for (path, want) in [
        ("0.1.weight", "Sequential has no attribute `1`"),
        ("0.0.gain", "Linear has no attribute `gain`"),
        ("weight", "Sequential has no attribute `weight`"),
    ] {
        let e = m.get_parameter(path).unwrap_err();
        assert_eq!((e.kind, e.message.as_str()), (crate::ErrorKind::Key, want));
    }
    assert!(m.get_buffer("0.0.weight").is_err());
}

#[test]
fn training_mode_reaches_every_module() {
    let inner = dropout(0.5, false).unwrap();
    let m = sequential(&[sequential(std::slice::from_ref(&inner)).unwrap()]).unwrap();
    assert!(inner.is_training());
    m.eval().unwrap();
    assert!(!inner.is_training() && !m.is_training());
    m.train(true).unwrap();
    assert!(inner.is_training());
}

#[test]
fn hooks_see_and_replace() {
    let m = Module::new("Plus", Plus(1.0));
    let log = Arc::new(Mutex::new(Vec::new()));
    let l = log.clone();
    let pre = m.register_forward_pre_hook(Arc::new(move |_, x| {
        l.lock().push(format!("pre {:?}", values(only(x))));
        Ok(Some(one(tensor(&[10.0]))))
    }));
    let l = log.clone();
    let post = m.register_forward_hook(Arc::new(move |m, x, y| {
        l.lock().push(format!("{} {:?} {:?}", m.name(), values(only(x)), values(only(y))));
        Ok(Some(one(tensor(&[values(only(y))[0] * 2.0]))))
    }));
    assert_eq!(values(&m.call(&tensor(&[1.0])).unwrap()), [22.0]);
    assert_eq!(*log.lock(), ["pre [1.0]", "Plus [10.0] [11.0]"]);
    assert!(m.remove_hook(pre) && !m.remove_hook(pre));
    assert_eq!(values(&m.call(&tensor(&[1.0])).unwrap()), [4.0]);
    assert!(m.remove_hook(post));
    assert_eq!(values(&m.call(&tensor(&[1.0])).unwrap()), [2.0]);
    // A hook may remove itself and call its module; a failing hook's error comes through.
    let id = Arc::new(Mutex::new(0));
    let mine = id.clone();
    *id.lock() = m.register_forward_hook(Arc::new(move |m, _, _| {
        m.remove_hook(*mine.lock());
        m.call(&tensor(&[5.0])).map(|t| Some(one(t)))
    }));
    assert_eq!(values(&m.call(&tensor(&[1.0])).unwrap()), [6.0]);
    m.register_forward_pre_hook(Arc::new(|_, _| bail!(Value, "no")));
    assert_eq!(m.call(&tensor(&[1.0])).unwrap_err().message, "no");
}

#[test]
fn conversion_keeps_identity() {
    let m = batch_norm2d(2, &BatchNormOptions::default()).unwrap();
    let w = m.parameter("weight").unwrap();
    let id = w.id();
    meta::set_grad(&w, Some(tensor(&[0.5, 0.25]))).unwrap();
    let g = meta::grad(&w).unwrap();
    m.to(Some(DType::F64), None).unwrap();
    assert!(m.parameter("weight").unwrap().is_same(&w) && w.id() == id);
    assert_eq!((w.dtype(), g.dtype()), (DType::F64, DType::F64));
    assert_eq!(w.to_f64_vec().unwrap(), [1.0, 1.0]);
    assert_eq!(meta::grad(&w).unwrap().to_f64_vec().unwrap(), [0.5, 0.25]);
    assert_eq!(m.buffer("running_var").unwrap().dtype(), DType::F64);
    assert_eq!(m.buffer("num_batches_tracked").unwrap().dtype(), DType::I64, "only floats are converted");
    assert!(crate::autograd::requires_grad(&w));
    m.to(Some(DType::F32), Some(Device::CPU)).unwrap();
    assert_eq!(w.dtype(), DType::F32);
}

#[test]
fn zero_grad_clears_or_zeroes() {
    let p = tensor(&[1.0, 2.0]);
    crate::autograd::set_requires_grad(&p, true).unwrap();
    let g = tensor(&[3.0, 4.0]);
    meta::set_grad(&p, Some(g.clone())).unwrap();
    zero_grad(std::slice::from_ref(&p), false).unwrap();
    assert!(meta::grad(&p).unwrap().is_same(&g));
    assert_eq!(values(&g), [0.0, 0.0]);
    zero_grad(std::slice::from_ref(&p), true).unwrap();
    assert!(meta::grad(&p).is_none());
}

#[test]
fn modules_from_many_threads() {
    let m = sequential(&[Module::new("Plus", Plus(1.0)), Module::new("Plus", Plus(2.0))]).unwrap();
    std::thread::scope(|s| {
        for t in 0..4 {
            let m = m.clone();
            s.spawn(move || {
                for i in 0..50 {
                    m.register_buffer(&format!("b{t}_{i}"), Some(tensor(&[1.0])), true).unwrap();
                    assert_eq!(values(&m.call(&tensor(&[1.0])).unwrap()), [4.0]);
                }
            });
        }
    });
    assert_eq!(m.named_buffers().unwrap().len(), 200);
}

/// Linear layers and their activations, as one op each and one after the other: equal but for rounding.
#[test]
fn sequential_runs_a_layer_and_its_activation_as_one() {
    use crate::autograd::engine::Options;
    let gelu = || gelu("tanh").unwrap();
    let build = |split: bool| -> (Vec<Module>, Module) {
        crate::rng::manual_seed(7);
        let mut leaves = vec![
            linear(5, 16, true).unwrap(),
            relu(false),
            linear(16, 24, false).unwrap(),
            gelu(),
            linear(24, 8, true).unwrap(),
            relu(true),
            linear(8, 3, true).unwrap(),
            gelu(),
        ];
        let all = leaves.clone();
        if split {
            // Nothing follows the linear layers directly.
            leaves = leaves.into_iter().flat_map(|m| [m, identity()]).collect();
        }
        (all, sequential(&leaves).unwrap())
    };
    let run = |m: &Module| {
        let x = Tensor::from_slice(&(0..30).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>(), &[2, 3, 5]).unwrap();
        autograd::set_requires_grad(&x, true).unwrap();
        let y = m.call(&x).unwrap();
        let name = meta::grad_fn(&y).unwrap().name.to_string();
        crate::ops::backward(
            std::slice::from_ref(&crate::ops::sum(&y, None).unwrap()),
            &[None],
            Options::default(),
            None,
        )
        .unwrap();
        let mut values = vec![y.to_f64_vec().unwrap()];
        values.extend(m.parameters().unwrap().iter().chain([&x]).map(|p| meta::grad(p).unwrap().to_f64_vec().unwrap()));
        values.push(autograd::no_grad(|| m.call(&x)).unwrap().to_f64_vec().unwrap());
        (name, values)
    };
    let ((leaves, fused), (_, split)) = (build(false), build(true));
    let ((name, got), (split_name, want)) = (run(&fused), run(&split));
    assert_eq!((name.as_str(), split_name.as_str()), ("GeluBackward0", "GeluBackward0"));
    for (a, b) in got.iter().zip(&want) {
        assert!(
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() <= 1e-6 * y.abs().max(1.0)),
            "{a:?} {b:?}"
        );
    }
    // One node for a layer with its activation; a hook on either of the two sees its own input and output.
    let nodes = |m: &Module| {
        let y = m.call(&Tensor::from_slice(&[1f32; 5], &[1, 5]).unwrap()).unwrap();
        let mut next = meta::grad_fn(&y);
        let mut names = vec![];
        while let Some(node) = next {
            names.push(node.name.to_string());
            next = node.edges.iter().flatten().find(|e| !e.node.name.contains("Accumulate")).map(|e| e.node.clone());
        }
        names
    };
    assert_eq!(nodes(&fused), ["GeluBackward0", "ReluBackward0", "GeluBackward0", "ReluBackward0"]);
    let seen = Arc::new(Mutex::new(vec![]));
    for at in [0, 3] {
        let seen = seen.clone();
        leaves[at].register_forward_hook(Arc::new(move |m, inputs, out| {
            seen.lock().push((m.name().to_string(), only(inputs).shape()[1], only(out).shape()[1]));
            Ok(None)
        }));
    }
    assert_eq!(nodes(&fused).len(), 6);
    assert_eq!(seen.lock()[..], [("Linear".into(), 5, 16), ("GELU".into(), 24, 24)]);
}

/// Trees as deep as these are walked, changed and dropped in time, and calls through them end with an error at worst.
#[test]
fn deep_trees() {
    let leaf = || linear(1, 1, true).unwrap();
    let around = |m: Module| sequential(&[m]).unwrap();
    let mut up = leaf();
    for _ in 0..20_000 {
        up = around(up);
    }
    let root = around(leaf());
    let mut at = root.clone();
    for _ in 0..20_000 {
        let below = around(leaf());
        at.append(below.clone()).unwrap();
        at = below;
    }
    assert_eq!((up.modules().unwrap().len(), up.parameters().unwrap().len()), (20_001, 2));
    assert_eq!((root.modules().unwrap().len(), root.parameters().unwrap().len()), (40_002, 40_002));
    let e = at.append(root.clone()).unwrap_err();
    assert!(e.message.contains("it contains that module"), "{}", e.message);
    let mut count = 0;
    up.apply(&mut |_| {
        count += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(count, 20_001);
    assert!(up.repr().unwrap_err().message.starts_with("maximum recursion depth exceeded"));
    // On a stack that is too small for that many calls.
    let deep = up.clone();
    let called = std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(move || deep.call(&Tensor::from_slice(&[1f32], &[1]).unwrap()).map(drop))
        .unwrap();
    assert!(called.join().unwrap().unwrap_err().message.starts_with("maximum recursion depth exceeded"));
    // As many places as 2^40 for 41 modules.
    let mut shared = leaf();
    for _ in 0..40 {
        shared = sequential(&[shared.clone(), shared]).unwrap();
    }
    assert_eq!((shared.modules().unwrap().len(), shared.named_parameters().unwrap().len()), (41, 2));
    for e in [
        shared.state_dict().map(drop),
        shared.load_state_dict(&Default::default(), true).map(drop),
        // Sequential is folded by none, so that it prints every place.
        shared.repr().map(drop),
    ] {
        let e = e.unwrap_err();
        assert!(e.message.contains("more than 1000000 places for modules"), "{}", e.message);
    }
    let state = around(around(leaf()));
    let keys: Vec<String> = state.state_dict().unwrap().into_keys().collect();
    assert_eq!(keys, ["0.0.weight", "0.0.bias"]);
}

struct Split;
impl Layer for Split {
    fn forward(&self, _: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        Ok(inputs.iter().rev().cloned().collect())
    }
}

#[test]
fn lists_of_inputs_and_outputs() {
    let m = Module::new("Split", Split);
    let (a, b) = (tensor(&[1.0]), tensor(&[2.0]));
    let out = m.forward_list(&[Some(a.clone()), None, Some(b.clone())]).unwrap();
    assert_eq!(
        out.iter().map(|t| t.as_ref().map(values)).collect::<Vec<_>>(),
        [Some(vec![2.0]), None, Some(vec![1.0])]
    );
    let e = m.forward(&[a.clone(), b]).unwrap_err();
    assert!(e.message.contains("gave 2 outputs"), "{}", e.message);
    assert!(m.forward(&[]).unwrap_err().message.contains("gave 0 outputs"));
    assert!(sequential(&[m.clone()]).unwrap().forward_list(&[None]).unwrap()[0].is_none());
    let e = sequential(&[m, tanh()]).unwrap().forward_list(&[None]).unwrap_err();
    assert_eq!(e.message, "Tanh.forward() takes 1 input, got None");
    assert!(e.place.as_ref().unwrap().path.ends_with('1'));
}

#[test]
fn lazy_layers_take_their_first_input() {
    let lazy = lazy_linear(3, true, Place::default()).unwrap();
    let m = sequential(&[lazy.clone(), relu(false)]).unwrap();
    assert_eq!(lazy.to_string(), "LazyLinear(in_features=0, out_features=3, bias=True)");
    assert_eq!(names(m.named_parameters().unwrap()), ["0.weight", "0.bias"]);
    let held = m.parameters().unwrap();
    m.to(Some(DType::F64), None).unwrap();
    let x = Tensor::from_slice(&[1f64; 8], &[2, 4]).unwrap();
    let y = m.call(&x).unwrap();
    assert_eq!((&y.shape()[..], y.dtype()), (&[2, 3][..], DType::F64));
    assert_eq!(m.to_string(), "Sequential(\n  (0): Linear(in_features=4, out_features=3, bias=True)\n  (1): ReLU()\n)");
    assert_eq!(lazy.attribute("in_features").unwrap(), Attribute::Int(4));
    assert!(held[0].is_same(&lazy.parameter("weight").unwrap()) && !lazy.has_uninitialized_params());
    // Its draws are those of a Linear of that size.
    crate::rng::manual_seed(3);
    let ready = linear(4, 3, true).unwrap();
    crate::rng::manual_seed(3);
    let lazy = lazy_linear(3, true, Place::default()).unwrap();
    lazy.call(&tensor(&[1.0; 4])).unwrap();
    for name in ["weight", "bias"] {
        assert_eq!(values(&lazy.parameter(name).unwrap()), values(&ready.parameter(name).unwrap()));
    }
    let conv = lazy_conv1d(2, &[3], &ConvOptions::default()).unwrap();
    assert!(conv.call(&tensor(&[1.0])).unwrap_err().message.starts_with("Expected 2D (unbatched) or 3D (batched)"));
    assert_eq!(conv.name(), "LazyConv1d", "a failed first forward leaves it lazy");
}
