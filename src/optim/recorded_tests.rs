//! Every optimiser of the specification as tests/fixtures/make_optim.py has recorded PyTorch's: values after steps, printed
//! form, keys of the state; the devices' own kernels and programs give the same.

use super::*;
use crate::base::scalar::Scalar;
use crate::ops;
use crate::suites::common::device::{device, moved, Kernels};
use crate::DType;

/// A recording.
pub(super) struct Block {
    pub class: String,
    pub dtype: DType,
    pub shapes: [Vec<i64>; 2],
    pub options: Options,
    pub text: String,
    pub keys: Vec<String>,
    /// Step, then values.
    pub lines: Vec<(i64, Vec<f64>)>,
}

fn value(text: &str, like: &OptionValue) -> OptionValue {
    let number = |t: &str| t.parse::<f64>().unwrap_or(f64::NAN);
    match (text, like) {
        ("True" | "False", _) => OptionValue::Bool(text == "True"),
        (t, OptionValue::Numbers(_)) => OptionValue::Numbers(t.split(',').map(number).collect()),
        (t, _) => match t.parse::<i64>() {
            Ok(v) => OptionValue::Int(v),
            Err(_) if t.parse::<f64>().is_ok() => OptionValue::Float(number(t)),
            Err(_) => OptionValue::Text(t.into()),
        },
    }
}

pub(super) fn blocks() -> Vec<Block> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/optimizers.txt"));
    let read = |block: &str| {
        let mut lines = block.lines();
        let head: Vec<&str> = lines.next().unwrap().split(' ').filter(|w| !w.is_empty()).collect();
        let mut options = Options::named(head[0]).unwrap();
        for o in &head[4..] {
            let (name, v) = o.split_once('=').unwrap();
            let like = options.option(name).unwrap();
            options.set(name, value(v, &like)).unwrap();
        }
        let shape = |t: &str| t.split('x').map(|n| n.parse().unwrap()).collect::<Vec<i64>>();
        let (mut text, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for l in lines {
            if let Some(t) = l.strip_prefix("| ") {
                text.push(t);
            } else if let Some(k) = l.strip_prefix('.') {
                keys = k.split_whitespace().map(String::from).collect();
            } else {
                let (step, v) = l.split_once(": ").unwrap();
                values.push((step.parse().unwrap(), v.split(' ').map(|v| v.parse().unwrap()).collect()));
            }
        }
        Block {
            class: head[0].into(),
            dtype: DType::ALL.into_iter().find(|d| d.name() == head[1]).unwrap(),
            shapes: [shape(head[2]), shape(head[3])],
            options,
            text: text.join("\n"),
            keys,
            lines: values,
        }
    };
    text.strip_prefix("== ").unwrap().split("\n== ").map(read).collect()
}

fn tensor(v: &[f64], shape: &[i64], dtype: DType) -> Tensor {
    crate::nn::convert(&moved(&Tensor::from_slice(v, shape).unwrap()), dtype, device()).unwrap()
}
fn params(b: &Block) -> Vec<Tensor> {
    let make = |(k, shape): (usize, &Vec<i64>)| {
        let n: i64 = shape.iter().product();
        let v: Vec<f64> = (0..n).map(|i| (i - 3) as f64 / 4.0 + k as f64).collect();
        let t = tensor(&v, shape, b.dtype);
        autograd::set_requires_grad(&t, true).unwrap();
        t
    };
    b.shapes.iter().enumerate().map(make).collect()
}
fn set_grads(params: &[Tensor], s: i64) {
    for (k, p) in params.iter().enumerate() {
        let v: Vec<f64> =
            (0..p.numel() as i64).map(|i| (((s * 31 + i * 17) % 23) - 11) as f64 / (4.0 + s as f64)).collect();
        let g = (k == 0 || s >= 4).then(|| tensor(&v, &p.shape(), p.dtype()));
        meta::set_grad(p, g).unwrap();
    }
}
fn values(params: &[Tensor]) -> Vec<f64> {
    params.iter().flat_map(|p| p.to_f64_vec().unwrap()).collect()
}
fn compare(b: &Block, step: i64, got: &[f64], want: &[f64]) {
    // Muon computes in bfloat16; Taper rounds half types once a step, PyTorch after each operation.
    let tolerance = match (b.class.as_str(), b.dtype) {
        ("Muon", DType::BF16) => 0.06,
        ("Muon", _) => 2e-2,
        ("LBFGS", DType::F32) => 2e-3,
        (_, DType::F64) => 1e-10,
        (_, DType::F32) => 5e-6,
        _ => 0.05,
    };
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let near = (g - w).abs() <= tolerance * w.abs().max(1.0);
        assert!(near, "{} {} {:?}: step {step}, element {i}: {g} instead of {w}", b.class, b.dtype, b.options);
    }
}
fn objective(params: &[Tensor]) -> Result<Tensor> {
    let mut total = None;
    for p in params {
        let n = p.numel() as i64;
        let of = |f: &dyn Fn(i64) -> f64| tensor(&(0..n).map(f).collect::<Vec<_>>(), &[n], p.dtype());
        let d = ops::sub(&ops::reshape(p, &[n])?, &of(&|i| i as f64 / 4.0 - 0.5), Scalar::Int(1))?;
        let square = ops::square(&d)?;
        let fourth = ops::sum(&ops::square(&square)?, None)?;
        let both = ops::add(&fourth, &ops::sum(&ops::mul(&of(&|i| 1.0 + i as f64), &square)?, None)?, Scalar::Int(1))?;
        total = Some(match total {
            None => both,
            Some(t) => ops::add(&t, &both, Scalar::Int(1))?,
        });
    }
    Ok(total.unwrap())
}

fn replay(b: &Block, programs: bool) {
    let params = params(b);
    let mut o = Optimizer::new(params.clone(), b.options.clone()).unwrap();
    o.programs = programs;
    assert_eq!(o.to_string(), b.text, "{}", b.class);
    let o = Arc::new(Mutex::new(o));
    let mut lines = b.lines.iter();
    let mut next = lines.next();
    let mut s = 0;
    while let Some((step, want)) = next {
        s += 1;
        if b.class == "LBFGS" {
            let mut closure = || {
                crate::nn::zero_grad(&params, true)?;
                let loss = objective(&params)?;
                ops::backward(std::slice::from_ref(&loss), &[], Default::default(), None)?;
                Ok(loss)
            };
            let loss = super::step(&o, Some(&mut closure)).unwrap().unwrap();
            compare(b, s, &[vec![loss.item().unwrap().to_f64()], values(&params)].concat(), want);
            next = lines.next();
            continue;
        }
        set_grads(&params, s - 1);
        super::step(&o, None).unwrap();
        if s == *step {
            compare(b, s, &values(&params), want);
            next = lines.next();
        }
    }
    let state = o.lock().state_dict().unwrap();
    for key in b.keys.iter().filter(|k| *k != "al") {
        let prefix = format!("state.0.{key}");
        assert!(state.keys().any(|k| *k == prefix || k.starts_with(&format!("{prefix}."))), "{}: no {prefix}", b.class);
    }
}

#[test]
fn every_optimiser_takes_pytorchs_steps() {
    let _kernels = Kernels::counted();
    let only = std::env::var("OPTIMIZER").ok();
    for b in blocks().iter().filter(|b| only.as_ref().is_none_or(|o| *o == b.class)) {
        replay(b, false);
    }
}

#[test]
fn programs_equal_the_kernels_of_sgd_and_adam() {
    let _kernels = Kernels::counted();
    for b in blocks().iter().filter(|b| matches!(b.class.as_str(), "SGD" | "Adam" | "AdamW")) {
        replay(b, true);
        // Bit by bit where both are the CPU's, which multiplies and adds apart in either form.
        if device() == crate::Device::CPU {
            let after = |programs: bool| {
                let params = params(b);
                let mut o = Optimizer::new(params.clone(), b.options.clone()).unwrap();
                o.programs = programs;
                for s in 0..6 {
                    set_grads(&params, s);
                    o.step().unwrap();
                }
                values(&params).iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(after(true), after(false), "{} {} {:?}", b.class, b.dtype, b.options);
        }
    }
}

#[test]
fn states_go_through_a_file_form() {
    for b in blocks().iter().filter(|b| b.dtype == DType::F64 && b.class != "LBFGS") {
        let (p, q) = (params(b), params(b));
        let mut o = Optimizer::new(p.clone(), b.options.clone()).unwrap();
        let mut twin = Optimizer::new(q.clone(), Options::of(b.options.class())).unwrap();
        for s in 0..8 {
            set_grads(&p, s);
            set_grads(&q, s);
            if s > 0 {
                twin.load_state_dict(&o.state_dict().unwrap()).unwrap();
                twin.step().unwrap();
            }
            o.step().unwrap();
            if s == 0 {
                p.iter().zip(&q).for_each(|(p, q)| q.copy_from(p).unwrap());
            }
            assert_eq!(values(&p), values(&q), "{} after step {s}", b.class);
        }
    }
}

#[test]
fn options_have_kinds() {
    let p = params(&blocks()[0]);
    let mut o = Optimizer::new(p, Options::named("RMSprop").unwrap()).unwrap();
    o.set_option(0, "centered", OptionValue::Bool(true)).unwrap();
    o.set_option(0, "lr", OptionValue::Int(1)).unwrap();
    assert_eq!(o.option(0, "lr").unwrap(), OptionValue::Float(1.0));
    o.set_option(0, "initial_lr", OptionValue::Float(0.5)).unwrap();
    assert!(o.to_string().contains("initial_lr: 0.5"));
    let e = o.set_option(0, "alpha", OptionValue::Bool(true)).unwrap_err();
    assert_eq!(e.message, "RMSprop: option \"alpha\" must be a number, got True");
    let e = o.set_option(0, "beta", OptionValue::Float(1.0)).unwrap_err();
    assert!(e.message.starts_with("RMSprop has no option \"beta\"; it has lr, alpha, eps"), "{e}");
    assert_eq!(o.set_option(0, "eps", OptionValue::Float(-1.0)).unwrap_err().message, "Invalid epsilon value: -1.0");
    assert!(o.option(1, "lr").is_err());
    assert!(Options::named("Adamm").is_err());
    let lbfgs = Optimizer::new(params(&blocks()[0]), Options::named("LBFGS").unwrap()).unwrap();
    assert_eq!(lbfgs.option(0, "max_eval").unwrap(), OptionValue::Int(25));
    let flat = params(&blocks()[0]);
    assert!(Optimizer::new(flat, Options::named("Muon").unwrap()).is_err());
}
