//! Trajectories recorded from PyTorch (tests/fixtures/make_nn.py), state, options, errors.

use super::*;
use crate::backend::StepKind;
use crate::ops::fused::fused_step;
use crate::suites::common::device::{device, moved, Kernels};
use crate::DType;
use std::collections::HashMap;

/// Gradient of element i at step s; the recording script has the same line.
fn grad(s: i64, i: i64) -> f64 {
    (((s * 31 + i * 17) % 23) - 11) as f64 / (4.0 + s as f64)
}
fn tensor(v: &[f64], dtype: DType) -> Tensor {
    let t = moved(&Tensor::from_slice(v, &[v.len() as i64]).unwrap());
    if dtype == DType::F64 {
        t
    } else {
        crate::nn::convert(&t, dtype, device()).unwrap()
    }
}
fn leaf(v: &[f64], dtype: DType) -> Tensor {
    let t = tensor(v, dtype);
    autograd::set_requires_grad(&t, true).unwrap();
    t
}
fn options(kind: &str, text: &str) -> Options {
    let v: HashMap<&str, f64> =
        text.split_whitespace().map(|p| p.split_once('=').unwrap()).map(|(k, v)| (k, v.parse().unwrap())).collect();
    let get = |k: &str, or: f64| v.get(k).copied().unwrap_or(or);
    if kind == "SGD" {
        return Options::from(SgdOptions {
            lr: v["lr"],
            momentum: get("momentum", 0.0),
            dampening: get("dampening", 0.0),
            weight_decay: get("weight_decay", 0.0),
            nesterov: get("nesterov", 0.0) == 1.0,
            maximize: get("maximize", 0.0) == 1.0,
        });
    }
    let d = if kind == "AdamW" { AdamOptions::adamw() } else { AdamOptions::adam() };
    Options::from(AdamOptions {
        lr: v["lr"],
        betas: (get("beta1", d.betas.0), get("beta2", d.betas.1)),
        eps: get("eps", d.eps),
        weight_decay: get("weight_decay", d.weight_decay),
        amsgrad: get("amsgrad", 0.0) == 1.0,
        maximize: get("maximize", 0.0) == 1.0,
        decoupled: d.decoupled,
    })
}

/// Replays one recording; `swap` may exchange the optimiser before each step.
fn replay(block: &str, swap: impl Fn(i64, Optimizer, &[Tensor]) -> Optimizer) {
    let mut lines = block.lines();
    let head = lines.next().unwrap();
    let mut words = head.splitn(3, ' ');
    let (kind, dtype) = (words.next().unwrap(), words.next().unwrap());
    let dtype = if dtype == "float64" { DType::F64 } else { DType::F32 };
    let tolerance = if dtype == DType::F64 { 1e-12 } else { 2e-6 };
    let first: Vec<f64> = (0..7).map(|i| (i - 3) as f64 / 4.0).collect();
    let params = [leaf(&first, dtype), leaf(&[1.0; 7], dtype)];
    let mut opt = Optimizer::new(params.to_vec(), options(kind, words.next().unwrap())).unwrap();
    for (s, line) in lines.enumerate() {
        let s = s as i64;
        opt = swap(s, opt, &params);
        let g: Vec<f64> = (0..7).map(|i| grad(s, i)).collect();
        meta::set_grad(&params[0], Some(tensor(&g, dtype))).unwrap();
        meta::set_grad(&params[1], (s >= 4).then(|| tensor(&g, dtype))).unwrap();
        if s == 8 {
            opt.set_lr(opt.lr(0).unwrap() * 0.5).unwrap();
        }
        opt.step().unwrap();
        let want: Vec<f64> = line.split(' ').map(|h| f64::from_bits(u64::from_str_radix(h, 16).unwrap())).collect();
        let got = [params[0].to_f64_vec().unwrap(), params[1].to_f64_vec().unwrap()].concat();
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{head}: step {s}, element {i}: {g} instead of {w}");
        }
    }
}
fn blocks() -> Vec<&'static str> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/optim.txt"));
    text.strip_prefix("== ").unwrap().split("\n== ").collect()
}

#[test]
fn trajectories_are_pytorchs() {
    let _kernels = Kernels::counted();
    let all = blocks();
    assert_eq!(all.len(), 32);
    for b in all {
        replay(b, |_, o, _| o);
    }
}

#[test]
fn a_saved_optimiser_goes_on_where_it_was() {
    let dir = std::env::temp_dir().join(format!("taper-optim-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (n, b) in blocks().into_iter().enumerate() {
        let path = dir.join(format!("{n}.safetensors"));
        replay(b, |s, o, params| {
            if s != 6 && s != 2 {
                return o;
            }
            crate::io::safetensors::save(&path, &o.state_dict().unwrap(), &Default::default()).unwrap();
            // Other options and no state: both come from the file.
            let fresh = Options::of(o.groups()[0].options.class());
            let mut new = Optimizer::new(params.to_vec(), fresh).unwrap();
            let (state, _) = crate::io::safetensors::load(&path, crate::Device::CPU).unwrap();
            new.load_state_dict(&state).unwrap();
            assert_eq!(new.groups()[0].options, o.groups()[0].options);
            new
        });
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn parameters_of_any_layout() {
    // A transposed parameter and gradient step as their contiguous copies do.
    let data: Vec<f64> = (0..6).map(f64::from).collect();
    let base = moved(&Tensor::from_slice(&data, &[2, 3]).unwrap());
    let mut layout = base.layout();
    layout.shape.reverse();
    layout.strides.reverse();
    let p = base.alias(layout.clone()).unwrap();
    autograd::set_requires_grad(&p, true).unwrap();
    let g = moved(&Tensor::from_slice(&data, &[2, 3]).unwrap()).alias(layout).unwrap();
    meta::set_grad(&p, Some(g)).unwrap();
    let version = p.version();
    let mut o = Optimizer::sgd(vec![p.clone()], SgdOptions { lr: 0.5, momentum: 0.9, ..Default::default() }).unwrap();
    o.step().unwrap();
    assert_eq!(p.to_f64_vec().unwrap(), [0.0, 1.5, 0.5, 2.0, 1.0, 2.5]);
    assert!(p.version() > version, "an in-place write is counted");
    o.step().unwrap();
    let want: Vec<f64> = [0.0, 1.5, 0.5, 2.0, 1.0, 2.5].iter().map(|v| v - 0.5 * 1.9 * v * 2.0).collect();
    for (a, b) in p.to_f64_vec().unwrap().iter().zip(want) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }
}

#[test]
fn groups_have_options_of_their_own() {
    let (a, b) = (leaf(&[1.0], DType::F64), leaf(&[1.0], DType::F32));
    let mut o = Optimizer::sgd(vec![a.clone()], SgdOptions { lr: 0.1, ..Default::default() }).unwrap();
    let group = |p: &Tensor, lr| ParamGroup {
        params: vec![p.clone()],
        options: Options::from(SgdOptions { lr, ..Default::default() }),
    };
    assert!(o.add_param_group(group(&a, 0.1)).is_err(), "a parameter belongs to one group");
    let adam = ParamGroup { params: vec![b.clone()], options: Options::from(AdamOptions::adam()) };
    assert!(o.add_param_group(adam).is_err());
    o.add_param_group(group(&b, 0.5)).unwrap();
    meta::set_grad(&a, Some(tensor(&[1.0], DType::F64))).unwrap();
    meta::set_grad(&b, Some(tensor(&[1.0], DType::F32))).unwrap();
    o.step().unwrap();
    assert_eq!((a.to_f64_vec().unwrap()[0], b.to_f64_vec().unwrap()[0]), (0.9, 0.5));
    let state = o.state_dict().unwrap();
    let mut other = Optimizer::sgd(vec![a.clone()], SgdOptions::default()).unwrap();
    assert!(other.load_state_dict(&state).unwrap_err().message.contains("different number of parameter groups"));
    o.zero_grad(true).unwrap();
    assert!(meta::grad(&a).is_none() && meta::grad(&b).is_none());
    o.step().unwrap();
    assert_eq!(a.to_f64_vec().unwrap()[0], 0.9, "without a gradient nothing moves");
    assert!(o.set_group_lr(2, 0.1).is_err());
}

#[test]
fn bad_options_are_pytorchs_errors() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nn.txt"));
    let p = leaf(&[1.0], DType::F64);
    let sgd = |o: SgdOptions| Optimizer::sgd(vec![p.clone()], o).err();
    let adam = |o: AdamOptions| Optimizer::adam(vec![p.clone()], o).err();
    let (s, a) = (SgdOptions { lr: 0.1, ..Default::default() }, AdamOptions::adam());
    let history = Tensor::from_slice(&[1.0], &[1]).unwrap();
    let node = autograd::Node::accumulate(&p);
    meta::set_history(&history, Some(autograd::Edge { node, nr: 0 }));
    let cases = [
        ("sgd_lr", sgd(SgdOptions { lr: -0.1, ..s.clone() })),
        ("sgd_momentum", sgd(SgdOptions { momentum: -1.0, ..s.clone() })),
        ("sgd_nesterov", sgd(SgdOptions { nesterov: true, ..s.clone() })),
        ("adam_beta", adam(AdamOptions { betas: (0.9, 1.0), ..a.clone() })),
        ("adam_eps", adam(AdamOptions { eps: -1e-8, ..a.clone() })),
        ("adam_decay", adam(AdamOptions { weight_decay: -0.5, ..a.clone() })),
        ("no_params", Optimizer::adam(vec![], a.clone()).err()),
        ("non_leaf", Optimizer::sgd(vec![history], s.clone()).err()),
    ];
    for (name, got) in cases {
        let e = got.unwrap_or_else(|| panic!("{name} is no error here"));
        let want = text.split(&format!("== {name}\n")).nth(1).unwrap().lines().next().unwrap();
        assert_eq!(format!("ValueError: {}", e.message), want);
    }
    assert!(sgd(SgdOptions { lr: f64::NAN, ..s }).is_some());
}

#[test]
fn mismatched_lists_are_errors() {
    let p = leaf(&[1.0, 2.0], DType::F64);
    let kind = StepKind::Sgd {
        lr: 0.1,
        momentum: 0.9,
        dampening: 0.0,
        weight_decay: 0.0,
        nesterov: false,
        maximize: false,
        momentum_init: false,
    };
    let run =
        |g: &[Tensor], s: &[Vec<Tensor>]| fused_step(&kind, std::slice::from_ref(&p), g, s).unwrap_err().into_message();
    let ok = tensor(&[0.0, 0.0], DType::F64);
    assert!(run(&[], &[]).contains("same number of tensors"));
    assert!(run(std::slice::from_ref(&ok), &[vec![]]).contains("has 0 state tensors, expected 1"));
    assert!(run(&[tensor(&[0.0], DType::F64)], &[vec![ok.clone()]]).contains("the gradient of parameter 0"));
    assert!(
        run(std::slice::from_ref(&ok), &[vec![tensor(&[0.0, 0.0], DType::F32)]]).contains("the state of parameter 0")
    );
}

#[test]
fn tensors_of_a_step_must_not_overlap() {
    let base = tensor(&[1.0, 2.0, 3.0, 4.0], DType::F64);
    let window = |from: i64| {
        let mut l = base.layout();
        (l.shape[0], l.offset) = (2, from);
        base.alias(l).unwrap()
    };
    let kind = Options::from(SgdOptions { lr: 1.0, ..Default::default() });
    let g = tensor(&[1.0, 1.0], DType::F64);
    let run = |a: Tensor, b: Tensor, ga: &Tensor| {
        let mut o = Optimizer::new(vec![a.clone(), b.clone()], kind.clone()).unwrap();
        meta::set_grad(&a, Some(ga.clone())).unwrap();
        meta::set_grad(&b, Some(g.clone())).unwrap();
        o.step()
    };
    assert!(run(window(0), window(1), &g).unwrap_err().message.contains("shares memory"));
    assert!(run(window(0), window(2), &window(2)).is_err(), "a gradient is no place to write");
    run(window(0), window(2), &g).unwrap();
    assert_eq!(base.to_f64_vec().unwrap(), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn large_and_half_parameters_step_like_small_ones() {
    let _kernels = Kernels::counted();
    // Sizes around the vector width and the threads' grain; half types within their rounding of f64.
    for n in [1usize, 15, 16, 17, 40_000] {
        let p: Vec<f64> = (0..n).map(|i| (i % 13) as f64 / 8.0 - 0.5).collect();
        let g: Vec<f64> = (0..n).map(|i| (i % 7) as f64 / 4.0 - 0.75).collect();
        for o in [
            Options::from(SgdOptions { lr: 0.125, momentum: 0.5, ..Default::default() }),
            Options::from(AdamOptions { lr: 0.125, amsgrad: true, ..AdamOptions::adamw() }),
        ] {
            let after = |dtype| {
                let p = leaf(&p, dtype);
                let mut opt = Optimizer::new(vec![p.clone()], o.clone()).unwrap();
                for _ in 0..3 {
                    meta::set_grad(&p, Some(tensor(&g, dtype))).unwrap();
                    opt.step().unwrap();
                }
                p.to_f64_vec().unwrap()
            };
            let want = after(DType::F64);
            for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F16, 2e-2), (DType::BF16, 1e-1)] {
                for (a, b) in after(dtype).iter().zip(&want) {
                    assert!((a - b).abs() < tolerance, "{n} {dtype} {}: {a} instead of {b}", o.name());
                }
            }
        }
    }
}

#[test]
fn prints_like_pytorch() {
    let p = leaf(&[1.0], DType::F64);
    let o = Optimizer::sgd(vec![p], SgdOptions { lr: 0.1, momentum: 0.9, ..Default::default() }).unwrap();
    assert_eq!(
        o.to_string(),
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n    lr: 0.1\n    \
         maximize: False\n    momentum: 0.9\n    nesterov: False\n    weight_decay: 0\n)"
    );
}
