//! The printed form and the argument errors of every layer are PyTorch's.

use super::*;
use crate::base::error::ErrorKind;
use crate::nn::{Layer, Module, Outputs, StateDict};
use std::collections::HashMap;

/// Texts recorded by tests/fixtures/make_nn.py.
fn recorded() -> HashMap<&'static str, &'static str> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nn.txt"));
    let blocks = text.trim_end_matches('\n').strip_prefix("== ").unwrap().split("\n== ");
    blocks.map(|b| b.split_once('\n').unwrap()).collect()
}
fn python_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Runtime => "RuntimeError",
        ErrorKind::Value => "ValueError",
        ErrorKind::Type => "TypeError",
        ErrorKind::Key => "KeyError",
        _ => "another error",
    }
}
#[track_caller]
fn same_error<T>(name: &str, got: Result<T>) {
    let e = got.err().unwrap_or_else(|| panic!("{name} is no error here"));
    assert_eq!(format!("{}: {}", python_name(e.kind), e.message), recorded()[name], "{name}");
}

fn conv(stride: i64, padding: &[i64], dilation: &[i64], groups: i64, bias: bool) -> ConvOptions {
    ConvOptions {
        stride: vec![stride],
        padding: padding.to_vec(),
        dilation: dilation.to_vec(),
        groups,
        bias,
        ..ConvOptions::default()
    }
}

struct Extra(&'static str);
impl Layer for Extra {
    fn forward(&self, _: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        Ok(smallvec::smallvec![inputs[0].clone()])
    }
    fn extra_repr(&self, _: &Module) -> Result<String> {
        Ok(self.0.to_string())
    }
}
fn parent(name: &str, children: Vec<(&str, Module)>) -> Module {
    let m = Module::new(name, Extra(""));
    for (name, c) in children {
        m.register_module(name, Some(c)).unwrap();
    }
    m
}

#[test]
fn layers_print_as_pytorchs() {
    let d = ConvOptions::default();
    let cases: Vec<(&str, Result<Module>)> = vec![
        ("linear", linear(3, 4, true)),
        ("linear_nobias", linear(3, 4, false)),
        ("conv1d", conv1d(2, 4, &[3], &d)),
        ("conv2d", conv2d(1, 6, &[3], &d)),
        ("conv2d_all", conv2d(4, 6, &[3, 5], &conv(2, &[1, 2], &[2, 1], 2, false))),
        ("conv3d", conv3d(2, 4, &[3], &conv(1, &[1], &[1], 1, true))),
        ("max_pool2d", max_pool2d(&[2], None, &[0], &[1], false)),
        ("max_pool2d_all", max_pool2d(&[3, 2], Some(&[2, 1]), &[1], &[2], true)),
        ("avg_pool2d", avg_pool2d(&[2], None, &[0], false, true, None)),
        ("avg_pool2d_all", avg_pool2d(&[3, 2], Some(&[2]), &[1, 0], false, true, None)),
        ("relu", Ok(relu(false))),
        ("relu_inplace", Ok(relu(true))),
        ("sigmoid", Ok(sigmoid())),
        ("tanh", Ok(tanh())),
        ("gelu", gelu("none")),
        ("gelu_tanh", gelu("tanh")),
        ("silu", Ok(silu(false))),
        ("leaky_relu", Ok(leaky_relu(0.01, false))),
        ("leaky_relu_all", Ok(leaky_relu(0.2, true))),
        ("softmax", Ok(softmax(1))),
        ("log_softmax", Ok(log_softmax(-1))),
        ("flatten", Ok(flatten(1, -1))),
        ("flatten_all", Ok(flatten(0, 2))),
        ("dropout", dropout(0.5, false)),
        ("dropout_all", dropout(0.25, true)),
        ("identity", Ok(identity())),
        ("embedding", embedding(10, 3, None)),
        ("embedding_padding", embedding(10, 3, Some(-1))),
        ("layer_norm", layer_norm(&[5], 1e-5, true, true)),
        ("layer_norm_all", layer_norm(&[2, 5], 1e-6, false, true)),
        ("layer_norm_nobias", layer_norm(&[2, 5], 1e-5, true, false)),
        ("batch_norm1d", batch_norm1d(4, &BatchNormOptions::default())),
        ("batch_norm2d", batch_norm2d(4, &BatchNormOptions::default())),
        (
            "batch_norm2d_all",
            batch_norm2d(4, &BatchNormOptions { eps: 1e-3, momentum: None, affine: false, track_running_stats: false }),
        ),
        ("cross_entropy", cross_entropy_loss(&ClassLossOptions::default())),
        ("nll", nll_loss(&ClassLossOptions::default())),
        ("mse", mse_loss("mean")),
        ("l1", l1_loss("sum")),
        ("bce_logits", bce_with_logits_loss("mean", None, None)),
        ("empty_sequential", sequential(&[])),
        ("empty_list", module_list(&[])),
    ];
    let texts = recorded();
    for (name, m) in cases {
        assert_eq!(m.unwrap().to_string(), texts[name], "{name}");
    }
}

#[test]
fn containers_print_as_pytorchs() {
    let texts = recorded();
    let inner = sequential(&[linear(3, 3, true).unwrap(), identity()]).unwrap();
    let m = sequential(&[linear(2, 3, true).unwrap(), relu(false), inner]).unwrap();
    m.append(linear(3, 1, true).unwrap()).unwrap();
    assert_eq!(m.to_string(), texts["sequential"]);
    let list = [linear(2, 2, true).unwrap(), linear(2, 2, true).unwrap(), relu(false)];
    let m = module_list(&list).unwrap();
    m.append(sequential(&[tanh()]).unwrap()).unwrap();
    m.append(sequential(&[tanh()]).unwrap()).unwrap();
    assert_eq!(m.to_string(), texts["module_list"]);

    let d = ConvOptions::default();
    let net = parent(
        "Net",
        vec![
            ("conv1", conv2d(1, 6, &[3], &d).unwrap()),
            ("conv2", conv2d(6, 16, &[3], &d).unwrap()),
            ("fc1", linear(16 * 6 * 6, 120, true).unwrap()),
            ("fc2", linear(120, 84, true).unwrap()),
            ("fc3", linear(84, 10, true).unwrap()),
        ],
    );
    assert_eq!(net.to_string(), texts["net"]);
    assert_eq!(net.state_dict().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join("\n"), texts["net_keys"]);

    assert_eq!(Module::new("Extra", Extra("a=1")).to_string(), texts["extra_one"]);
    assert_eq!(Module::new("Extra", Extra("a=1\nb=2")).to_string(), texts["extra_two"]);
    let m = Module::new("Extra", Extra("a=1"));
    m.register_module("x", Some(relu(false))).unwrap();
    m.register_module("none", None).unwrap();
    m.register_module("y", Some(Module::new("Extra", Extra("c\nd")))).unwrap();
    assert_eq!(m.to_string(), texts["extra_children"]);
}

#[test]
fn bad_arguments_are_pytorchs_errors() {
    let groups = |g| conv(1, &[0], &[1], g, true);
    same_error("conv_groups", conv2d(3, 4, &[3], &groups(2)));
    same_error("conv_groups_out", conv2d(4, 3, &[3], &groups(2)));
    same_error("conv_groups_0", conv2d(4, 3, &[3], &groups(0)));
    same_error("dropout_p", dropout(1.5, false));
    assert!(dropout(f64::NAN, false).is_err());
    let e = embedding(10, 3, Some(10)).unwrap_err();
    assert_eq!(format!("AssertionError: {}", e.message), recorded()["embedding_padding_range"]);
    // Not PyTorch's texts, but errors all the same.
    for (got, want) in [
        (conv2d(1, 1, &[3, 3, 3], &groups(1)), "kernel_size must be 1 or 2 numbers, got 3"),
        (conv2d(1, 1, &[0], &groups(1)), "kernel_size must be greater than zero, got (0, 0)"),
        (conv2d(1, 1, &[3], &conv(1, &[-1], &[1], 1, true)), "padding must not be negative, got (-1, -1)"),
        (max_pool2d(&[2], Some(&[0]), &[0], &[1], false), "stride must be greater than zero, got 0"),
        (linear(-1, 2, true), "in_features must not be negative, got -1"),
        (layer_norm(&[], 1e-5, true, true), "normalized_shape must have at least one dimension"),
        (gelu("fast"), "approximate argument must be either none or tanh, got 'fast'"),
        (mse_loss("max"), "max is not a valid value for reduction; valid are 'none', 'mean' and 'sum'"),
    ] {
        assert_eq!(got.unwrap_err().message, want);
    }
    let two = [Tensor::from_slice(&[1f32], &[1]).unwrap(), Tensor::from_slice(&[1f32], &[1]).unwrap()];
    let e = relu(false).forward(&two).unwrap_err();
    assert_eq!(e.message, "ReLU.forward() takes 1 input, got 2");
}

fn net() -> Module {
    let m = parent("Net", vec![("fc1", linear(2, 3, true).unwrap()), ("fc2", linear(3, 1, true).unwrap())]);
    m.register_buffer("scale", Some(tensor(&[2])), true).unwrap();
    m.register_buffer("cache", Some(tensor(&[2])), false).unwrap();
    m
}
fn tensor(shape: &[i64]) -> Tensor {
    let n = shape.iter().product::<i64>();
    Tensor::from_slice(&(0..n).map(|i| i as f32 + 0.5).collect::<Vec<_>>(), shape).unwrap()
}
fn with(mut d: StateDict, entries: &[(&str, &[i64])]) -> StateDict {
    for (name, shape) in entries {
        d.insert(name.to_string(), tensor(shape));
    }
    d
}

#[test]
fn load_state_dict_reports_as_pytorch_does() {
    let good = net().state_dict().unwrap();
    assert_eq!(good.keys().collect::<Vec<_>>(), ["scale", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]);
    let partial: StateDict =
        good.iter().filter(|(k, _)| !k.starts_with("fc2")).map(|(k, t)| (k.clone(), t.clone())).collect();
    same_error("load_missing", net().load_state_dict(&partial, true));
    let more = with(good.clone(), &[("fc3.weight", &[1]), ("fc1.gain", &[1]), ("x", &[1]), ("cache", &[2])]);
    same_error("load_unexpected", net().load_state_dict(&more, true));
    let shapes = with(good, &[("fc1.weight", &[2, 3]), ("scale", &[2, 1])]);
    same_error("load_shape", net().load_state_dict(&shapes, true));
    let all = with(StateDict::new(), &[("fc1.weight", &[4, 2]), ("fc1.bias", &[3]), ("other", &[1])]);
    same_error("load_all", net().load_state_dict(&all, true));
    let loose = with(StateDict::new(), &[("fc1.weight", &[3, 2]), ("other.x", &[1])]);
    let keys = net().load_state_dict(&loose, false).unwrap();
    let got = format!("{}\n{}", keys.missing.join(","), keys.unexpected.join(","));
    assert_eq!(got, recorded()["load_loose"]);
}

#[test]
fn loaded_values_arrive_in_the_same_tensors() {
    let (m, source) = (net(), net());
    let w = m.get_parameter("fc1.weight").unwrap();
    let (id, version) = (w.id(), w.version());
    let state = with(source.state_dict().unwrap(), &[("fc1.weight", &[3, 2])]);
    m.load_state_dict(&state, true).unwrap();
    assert_eq!(w.to_vec::<f32>().unwrap(), [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]);
    assert_eq!(w.id(), id);
    assert!(w.version() > version, "an in-place write is counted");
    // A 1-dim tensor of one element fills a 0-dim buffer, as in old files; other dtypes are converted.
    let b = batch_norm2d(2, &BatchNormOptions::default()).unwrap();
    let mut d = b.state_dict().unwrap();
    d.insert("num_batches_tracked".into(), Tensor::from_slice(&[7i32], &[1]).unwrap());
    b.load_state_dict(&d, true).unwrap();
    assert_eq!(b.buffer("num_batches_tracked").unwrap().to_vec::<i64>().unwrap(), [7]);
    // Files from before the counter existed load too.
    d.shift_remove("num_batches_tracked");
    assert!(b.load_state_dict(&d, true).unwrap().missing.is_empty());
}

#[test]
fn names_are_checked_as_pytorch_does() {
    let m = net();
    same_error("name_dot", m.register_parameter("a.b", None));
    same_error("name_empty", m.register_parameter("", None));
    same_error("buffer_dot", m.register_buffer("a.b", None, true));
    same_error("module_dot", m.register_module("a.b", None));
    same_error("module_empty", m.register_module("", None));
    same_error("taken", m.register_parameter("scale", None));
    same_error("to_int", m.to(Some(crate::DType::I32), None));
    let e = m.get_submodule("fc1").unwrap().register_module("net", Some(m.clone())).unwrap_err();
    assert_eq!(e.message, "cannot register Net as child 'net' of Linear: it contains that module");
    assert!(m.register_module("self", Some(m.clone())).is_err());
    let ints = Tensor::from_slice(&[1i64], &[1]).unwrap();
    assert!(m.register_parameter("ints", Some(ints)).is_err());
    assert!(m.parameter("ints").is_none(), "a refused parameter is not there");
}
