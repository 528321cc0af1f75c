//! Networks built from a seed compute and learn as PyTorch's do (recorded by tests/fixtures/make_nn.py).

use super::common::device::{device, moved, Kernels};
use std::collections::HashMap;
use std::sync::Mutex;
use taper::base::settings;
use taper::nn::layers::*;
use taper::nn::Module;
use taper::optim::{AdamOptions, Optimizer, SgdOptions};
use taper::{autograd, ops, rng, Device, Result, Tensor};

/// The process has one default device, which `seeded_on` changes for a while: the networks take turns.
static TURNS: Mutex<()> = Mutex::new(());

fn recorded(name: &str) -> Vec<f64> {
    let text = include_str!("fixtures/train.txt");
    let all: HashMap<&str, &str> = text.lines().map(|l| l.split_once(':').unwrap()).collect();
    all[name].split_whitespace().map(|v| v.parse().unwrap()).collect()
}

#[track_caller]
fn close(name: &str, got: &[f64], tolerance: f64) {
    let want = recorded(name);
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{name}[{i}] is {g}, recorded {w}");
    }
}

/// The recording script's inputs.
fn data(shape: &[i64]) -> Tensor {
    let n: i64 = shape.iter().product();
    let v: Vec<f32> = (0..n).map(|i| (((i * 37 + 11) % 101) as f64 / 50.0 - 1.0) as f32).collect();
    moved(&Tensor::from_slice(&v, shape).unwrap())
}
fn integers(n: i64, shape: &[i64], f: impl Fn(i64) -> i64) -> Tensor {
    moved(&Tensor::from_slice(&(0..n).map(f).collect::<Vec<_>>(), shape).unwrap())
}
fn first(t: &Tensor, n: usize) -> Vec<f64> {
    t.to_f64_vec().unwrap().into_iter().take(n).collect()
}

/// What training gives: losses, the output afterwards, sums over parameters and buffers, each with its tolerance.
type Outcome = Vec<(&'static str, Vec<f64>, f64)>;

fn trained(net: &Module, x: &Tensor, y: &Tensor, loss: &Module, mut opt: Optimizer, steps: usize) -> Outcome {
    net.train(true).unwrap();
    let mut losses = Vec::new();
    for _ in 0..steps {
        opt.zero_grad(true).unwrap();
        let l = loss.forward(&[net.call(x).unwrap(), y.clone()]).unwrap();
        ops::backward(std::slice::from_ref(&l), &[], Default::default(), None).unwrap();
        opt.step().unwrap();
        losses.push(l.item().unwrap().to_f64());
    }
    net.eval().unwrap();
    let out = autograd::no_grad(|| net.call(x)).unwrap();
    assert_eq!(out.device(), x.device());
    let sums =
        net.parameters().unwrap().iter().map(|p| p.to_f64_vec().unwrap().iter().map(|v| v.abs()).sum()).collect();
    let buffers = net.named_buffers().unwrap().iter().map(|(_, b)| b.to_f64_vec().unwrap().iter().sum()).collect();
    vec![("losses", losses, 2e-5), ("output", first(&out, 40), 2e-4), ("sums", sums, 2e-4), ("buffers", buffers, 2e-5)]
}

fn train(name: &str, net: &Module, x: &Tensor, y: &Tensor, loss: &Module, opt: Optimizer, steps: usize) {
    for (what, got, tolerance) in trained(net, x, y, loss, opt, steps) {
        close(&format!("{name}.{what}"), &got, tolerance);
    }
}

/// A network with the CPU's draws from a seed, on the device under test.
fn seeded(seed: u64, layers: impl FnOnce() -> Result<Vec<Module>>) -> Module {
    seeded_on(device(), seed, layers)
}
fn seeded_on(place: Device, seed: u64, layers: impl FnOnce() -> Result<Vec<Module>>) -> Module {
    settings::set_default_device(Device::CPU);
    rng::manual_seed(seed);
    let net = sequential(&layers().unwrap()).unwrap();
    settings::set_default_device(device());
    net.to(None, Some(place)).unwrap();
    net
}

#[test]
fn lenet() {
    let _kernels = Kernels::counted();
    let _turn = TURNS.lock().unwrap_or_else(|e| e.into_inner());
    let padded = ConvOptions { padding: vec![2], ..Default::default() };
    let pool = || max_pool2d(&[2], None, &[0], &[1], false);
    let net = seeded(0, || {
        Ok(vec![
            conv2d(1, 6, &[5], &padded)?,
            relu(false),
            pool()?,
            conv2d(6, 16, &[5], &ConvOptions::default())?,
            relu(true),
            pool()?,
            flatten(1, -1),
            linear(256, 120, true)?,
            relu(false),
            linear(120, 84, true)?,
            relu(false),
            linear(84, 10, true)?,
        ])
    });
    let (x, y) = (data(&[20, 1, 24, 24]), integers(20, &[20], |i| i * 7 % 10));
    close("lenet.first", &first(&net.call(&x).unwrap(), 40), 1e-5);
    let opt = Optimizer::adam(net.parameters().unwrap(), AdamOptions::adam()).unwrap();
    train("lenet", &net, &x, &y, &cross_entropy_loss(&ClassLossOptions::default()).unwrap(), opt, 8);
}

#[test]
fn norms_and_dropout() {
    let _kernels = Kernels::counted();
    let _turn = TURNS.lock().unwrap_or_else(|e| e.into_inner());
    // Other devices have masks of their own: there the CPU's training without dropout is the measure.
    let p = if device().is_cpu() { 0.3 } else { 0.0 };
    let train_on = |place: Device| {
        let conv = ConvOptions { stride: vec![2], dilation: vec![2], groups: 2, bias: false, ..Default::default() };
        let net = seeded_on(place, 1, || {
            Ok(vec![
                conv2d(2, 4, &[3], &conv)?,
                batch_norm2d(4, &BatchNormOptions::default())?,
                silu(false),
                avg_pool2d(&[2], None, &[0], false, true, None)?,
                flatten(1, -1),
                layer_norm(&[16], 1e-5, true, true)?,
                linear(16, 8, true)?,
                gelu("none")?,
                dropout(p, false)?,
                linear(8, 3, true)?,
                tanh(),
            ])
        });
        let options = SgdOptions { lr: 0.05, momentum: 0.9, nesterov: true, ..Default::default() };
        let opt = Optimizer::sgd(net.parameters().unwrap(), options).unwrap();
        let (x, y) = (data(&[6, 2, 12, 12]), data(&[6, 3]));
        let there = |t: &Tensor| ops::to_device(t, place).unwrap();
        trained(&net, &there(&x), &there(&y), &mse_loss("mean").unwrap(), opt, 8)
    };
    let got = train_on(device());
    if device().is_cpu() {
        for (what, got, tolerance) in got {
            close(&format!("norms.{what}"), &got, tolerance);
        }
        return;
    }
    for ((what, got, tolerance), (_, want, _)) in got.iter().zip(train_on(Device::CPU)) {
        for (g, w) in got.iter().zip(&want) {
            assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{what}: {g}, on the CPU {w}");
        }
    }
}

#[test]
fn words() {
    let _kernels = Kernels::counted();
    let _turn = TURNS.lock().unwrap_or_else(|e| e.into_inner());
    let net = seeded(2, || {
        Ok(vec![
            embedding(11, 6, Some(0))?,
            flatten(1, -1),
            linear(24, 12, true)?,
            leaky_relu(0.1, true),
            sigmoid(),
            linear(12, 5, true)?,
            log_softmax(-1),
        ])
    });
    let (x, y) = (integers(28, &[7, 4], |i| i * 5 % 11), integers(7, &[7], |i| i % 5));
    let options = AdamOptions { lr: 0.02, amsgrad: true, ..AdamOptions::adamw() };
    let opt = Optimizer::adam(net.parameters().unwrap(), options).unwrap();
    train("words", &net, &x, &y, &nll_loss(&ClassLossOptions::default()).unwrap(), opt, 8);
}

#[test]
fn one_dimension() {
    let _kernels = Kernels::counted();
    let _turn = TURNS.lock().unwrap_or_else(|e| e.into_inner());
    let padded = ConvOptions { padding: vec![1], ..Default::default() };
    let plain_mean = BatchNormOptions { momentum: None, ..Default::default() };
    let net = seeded(3, || {
        Ok(vec![
            conv1d(2, 3, &[3], &padded)?,
            batch_norm1d(3, &plain_mean)?,
            relu(false),
            flatten(1, -1),
            linear(24, 1, true)?,
        ])
    });
    let y = moved(&Tensor::from_slice(&[0f32, 1.0, 0.0, 1.0, 0.0], &[5, 1]).unwrap());
    let options = SgdOptions { lr: 0.1, weight_decay: 0.01, ..Default::default() };
    let opt = Optimizer::sgd(net.parameters().unwrap(), options).unwrap();
    let loss = bce_with_logits_loss("mean", None, None).unwrap();
    train("bits1d", &net, &data(&[5, 2, 8]), &y, &loss, opt, 8);
}

#[test]
fn three_dimensions() {
    let _kernels = Kernels::counted();
    let _turn = TURNS.lock().unwrap_or_else(|e| e.into_inner());
    let net = seeded(4, || {
        let conv = conv3d(1, 2, &[2], &ConvOptions::default())?;
        Ok(vec![conv, flatten(1, -1), softmax(1), linear(54, 2, true)?])
    });
    let opt = Optimizer::adam(net.parameters().unwrap(), AdamOptions { lr: 0.01, ..AdamOptions::adam() }).unwrap();
    train("volume", &net, &data(&[3, 1, 4, 4, 4]), &data(&[3, 2]), &l1_loss("mean").unwrap(), opt, 6);
}
