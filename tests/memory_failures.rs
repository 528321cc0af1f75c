//! Memory that runs out at every allocation in turn: each call is right or an error of kind OutOfMemory, nothing would
//! have ended the process, and the same call works afterwards.
//!
//! `TAPER_TEST_LONG=1` tries every allocation of every sample (`make check-release`); otherwise each op has one
//! sample, and where a call makes many allocations they are tried in steps. Needs debug assertions.
#![cfg(debug_assertions)]

use super::common::calls;
use super::common::samples::{load, Fixture};
use super::common::value::{Args, Value};
use std::collections::BTreeMap;
use taper::backend::memory::inject::{paused, run, Fail};
use taper::nn::StateDict;
use taper::optim::{AdamOptions, Optimizer, SgdOptions};
use taper::{autograd, io, ops, ErrorKind, Result, Tensor};

fn long() -> bool {
    std::env::var("TAPER_TEST_LONG").is_ok_and(|v| v == "1")
}

/// The allocations to fail: all, or about `most` of them spread evenly, the first and last among them.
fn tried(count: u64, most: u64) -> impl Iterator<Item = u64> {
    let step = if long() { 1 } else { count.div_ceil(most).max(1) };
    (0..count).step_by(step as usize).chain(count.checked_sub(1))
}

/// Makes the system's allocations happen again: what is cached would serve them.
fn forget() {
    taper::backend::cpu::alloc::empty_cache();
}

/// Fails the allocations of `call` in turn. `check` says whether a result is right. Returns what was wrong.
fn exhaust<R>(most: u64, call: impl Fn() -> Result<R>, check: impl Fn(&R) -> bool) -> Vec<String> {
    let mut wrong = vec![];
    // The first call also makes what stays: thread-locals, tables.
    if let Err(e) = call() {
        return vec![format!("fails with memory: {e:?}")];
    }
    forget();
    let (_, count, _) = run(Fail::Never, &call);
    for k in tried(count, most) {
        for plan in [Fail::At(k), Fail::From(k)] {
            forget();
            let (result, _, aborts) = run(plan, &call);
            wrong.extend(aborts.into_iter().map(|a| format!("{plan:?}: {a}")));
            match result {
                Ok(r) if !check(&r) => wrong.push(format!("{plan:?}: a wrong result")),
                Err(e) if e.kind != ErrorKind::OutOfMemory => wrong.push(format!("{plan:?}: {e:?}")),
                _ => {}
            }
        }
    }
    match call() {
        Ok(r) if check(&r) => {}
        Ok(_) => wrong.push("afterwards: a wrong result".into()),
        Err(e) => wrong.push(format!("afterwards: {e:?}")),
    }
    wrong
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) => {
            a.dtype() == b.dtype()
                && a.shape() == b.shape()
                && a.to_f64_vec().unwrap().iter().map(|v| v.to_bits()).eq(b
                    .to_f64_vec()
                    .unwrap()
                    .iter()
                    .map(|v| v.to_bits()))
        }
        (Value::Tensors(a), Value::Tensors(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| same(&Value::Tensor(a.clone()), &Value::Tensor(b.clone())))
        }
        (a, b) => format!("{a:?}") == format!("{b:?}"),
    }
}

/// Ops whose numbers are drawn, or whose memory is not written.
fn is_random(name: &str) -> bool {
    const DRAWN: [&str; 16] = [
        "rand",
        "normal",
        "bernoulli",
        "multinomial",
        "dropout",
        "uniform",
        "exponential",
        "random",
        "cauchy",
        "geometric",
        "poisson",
        "init_",
        "empty",
        "rrelu",
        "gumbel",
        "log_normal",
    ];
    DRAWN.iter().any(|d| name.contains(d))
}

/// A copy of `t` repeated along a dimension until it has about `wanted` elements.
fn larger(t: &Tensor, first: bool, wanted: i64) -> Tensor {
    let (n, d) = (t.numel() as i64, t.ndim());
    if d == 0 || n == 0 {
        return t.clone();
    }
    let mut repeats = vec![1i64; d];
    repeats[if first { 0 } else { d - 1 }] = (wanted / n).max(1);
    ops::repeat(t, &repeats).unwrap()
}

/// Arguments like a sample's, with enough data that what grows with it is beyond what the reserve serves.
fn enlarged(name: &str, args: &[Value], wanted: i64) -> Option<Vec<Value>> {
    for (first, all) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut more = true;
        let mut grow = |t: &Tensor| {
            if !std::mem::replace(&mut more, all) {
                return ops::clone(t).unwrap();
            }
            larger(t, first, wanted)
        };
        let big: Vec<Value> = args
            .iter()
            .map(|v| match v {
                Value::Tensor(t) => Value::Tensor(grow(t)),
                Value::Tensors(l) => Value::Tensors(l.iter().map(&mut grow).collect()),
                v => v.clone(),
            })
            .collect();
        let begin = std::time::Instant::now();
        // Views may repeat what they have without end, and are compared element by element.
        let bearable = |r: Result<Vec<Value>>| r.is_ok_and(|r| r.iter().map(elements).sum::<usize>() <= 1 << 20);
        let works =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bearable(calls::call(name, &Args(copied(&big))))));
        if works.unwrap_or(false) && begin.elapsed().as_millis() < 40 {
            return Some(big);
        }
    }
    None
}

fn elements(v: &Value) -> usize {
    match v {
        Value::Tensor(t) => t.numel(),
        Value::Tensors(l) => l.iter().map(Tensor::numel).sum(),
        _ => 0,
    }
}

fn copied(values: &[Value]) -> Vec<Value> {
    let one = |t: &Tensor| ops::clone(t).unwrap();
    values
        .iter()
        .map(|v| match v {
            Value::Tensor(t) => Value::Tensor(one(t)),
            Value::Tensors(l) => Value::Tensors(l.iter().map(one).collect()),
            Value::OptTensors(l) => Value::OptTensors(l.iter().map(|t| t.as_ref().map(one)).collect()),
            v => v.clone(),
        })
        .collect()
}

fn samples(f: &Fixture) -> BTreeMap<&str, Vec<Vec<Value>>> {
    let mut of = BTreeMap::<&str, Vec<Vec<Value>>>::new();
    for case in &f.cases {
        let parts: Vec<&str> = case.split('|').collect();
        if calls::NAMES.contains(&parts[0]) && !parts[2].starts_with('!') {
            of.entry(parts[0]).or_default().push(f.values(parts[1]));
        }
    }
    of
}

/// Tensors among values that can have a gradient ask for one.
fn want_grad(values: &[Value]) {
    for v in values {
        if let Value::Tensor(t) = v {
            if t.dtype().is_float() {
                autograd::set_requires_grad(t, true).unwrap();
            }
        }
    }
}

#[test]
fn every_op_survives() {
    let f = load();
    let filter = std::env::var("OP").ok();
    let mut report = vec![];
    for (name, list) in samples(&f) {
        if filter.as_ref().is_some_and(|o| !o.split(',').any(|o| o == name)) {
            continue;
        }
        if is_random(name) {
            // They draw from the process's generator, which other tests count on.
            continue;
        }
        let inplace = name.split('.').next().unwrap().ends_with('_');
        let mut wrong = vec![];
        // The sample with most data, and all of them in the long form.
        let size = |v: &Vec<Value>| -> usize {
            v.iter().map(|v| if let Value::Tensor(t) = v { t.numel().min(200) } else { 0 }).sum()
        };
        let mut list: Vec<&Vec<Value>> = list.iter().collect();
        list.sort_by_key(|v| std::cmp::Reverse(size(v)));
        for (at, args) in list.iter().take(if long() { usize::MAX } else { 1 }).enumerate() {
            let big = if at == 0 { enlarged(name, args, 20_000) } else { None };
            for (args, graph, most) in [(Some(args.to_vec()), true, 12), (big, false, 6)] {
                let Some(args) = args else { continue };
                let ask = graph && !inplace;
                let call = || {
                    // The arguments' own copies are the test's.
                    let args = paused(|| {
                        let args = copied(&args);
                        if ask {
                            want_grad(&args);
                        }
                        Args(args)
                    });
                    let r = calls::call(name, &args)?;
                    Ok(if inplace { vec![args.0[0].clone()] } else { r })
                };
                let Ok(want) = call() else { continue };
                let check = |r: &Vec<Value>| r.len() == want.len() && r.iter().zip(&want).all(|(a, b)| same(a, b));
                wrong.extend(exhaust(most, call, check));
            }
        }
        if !wrong.is_empty() {
            wrong.dedup();
            report.push(format!("{name}:\n  {}", wrong[..wrong.len().min(4)].join("\n  ")));
        }
    }
    assert!(report.is_empty(), "{} ops:\n{}", report.len(), report.join("\n"));
}

/// Numbers between -1 and 1, not from the process's generator: other tests count on that.
fn numbers(shape: &[i64]) -> Tensor {
    let n: i64 = shape.iter().product();
    let v: Vec<f32> = (0..n).map(|i| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0).collect();
    Tensor::from_slice(&v, shape).unwrap()
}

/// The bytes of all parameters and of the optimiser's state, in order.
fn bits(list: impl IntoIterator<Item = Tensor>) -> Vec<Vec<u64>> {
    list.into_iter().map(|t| t.to_f64_vec().unwrap().iter().map(|v| v.to_bits()).collect()).collect()
}

#[test]
fn a_training_step_survives() {
    let x = numbers(&[128, 64]);
    let y = Tensor::from_slice(&(0..128).map(|i| i % 10).collect::<Vec<i64>>(), &[128]).unwrap();
    for adam in [false, true] {
        let start = [numbers(&[300, 64]), numbers(&[300]), numbers(&[10, 300]), numbers(&[10])];
        let net = start.clone().map(|t| ops::clone(&t).unwrap());
        net.iter().for_each(|p| autograd::set_requires_grad(p, true).unwrap());
        let make = || {
            let p = net.to_vec();
            if adam {
                Optimizer::adam(p, AdamOptions::adam()).unwrap()
            } else {
                Optimizer::sgd(p, SgdOptions { lr: 0.1, momentum: 0.9, ..Default::default() }).unwrap()
            }
        };
        // Each attempt begins from the same parameters: the optimiser's first step and a later one are tried.
        let mut wrong = vec![];
        let step = |opt: &mut Optimizer| -> Result<()> {
            opt.zero_grad(true)?;
            let hidden = ops::relu(&ops::linear(&x, &net[0], Some(&net[1]))?)?;
            let out = ops::linear(&hidden, &net[2], Some(&net[3]))?;
            let loss = ops::cross_entropy(&out, &y, None, -100, "mean", 0.0)?;
            ops::backward(std::slice::from_ref(&loss), &[], Default::default(), None)?;
            opt.step()
        };
        for steps_before in [0, 1] {
            let attempt = |plan: Option<Fail>| {
                autograd::no_grad(|| net.iter().zip(&start).for_each(|(p, s)| ops::copy_(p, s).unwrap()));
                let mut opt = make();
                (0..steps_before).for_each(|_| step(&mut opt).unwrap());
                let before = bits(net.iter().cloned().chain(opt.state_dict().unwrap().into_values()));
                forget();
                let (r, count, aborts) = run(plan.unwrap_or(Fail::Never), || step(&mut opt));
                let after = bits(net.iter().cloned().chain(opt.state_dict().unwrap().into_values()));
                (r, count, aborts, before, after, opt)
            };
            drop(attempt(None));
            let (r, count, _, _, right, _) = attempt(None);
            r.unwrap();
            for k in tried(count, 60) {
                for plan in [Fail::At(k), Fail::From(k)] {
                    let (r, _, aborts, before, after, mut opt) = attempt(Some(plan));
                    wrong.extend(aborts.into_iter().map(|a| format!("{plan:?}: {a}")));
                    match r {
                        Ok(()) if after == right => continue,
                        Ok(()) => wrong.push(format!("{plan:?}: another result")),
                        Err(e) if e.kind != ErrorKind::OutOfMemory => wrong.push(format!("{plan:?}: {e:?}")),
                        // Parameters are as before, and the next step works.
                        Err(_) => {
                            if after[..net.len()] != before[..net.len()] {
                                wrong.push(format!("{plan:?}: half a step"));
                            }
                            step(&mut opt).unwrap();
                            let after = bits(net.iter().cloned().chain(opt.state_dict().unwrap().into_values()));
                            if after != right {
                                wrong.push(format!("{plan:?}: another result of the next step"));
                            }
                        }
                    }
                }
            }
        }
        wrong.dedup();
        assert!(wrong.is_empty(), "adam {adam}: {}\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
    }
}

#[test]
fn saving_and_loading_survive() {
    let dir = std::env::temp_dir().join(format!("taper-memory-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("state.safetensors");
    let mut state = StateDict::new();
    for i in 0..300 {
        let name = format!("module.{i}.{}", "weight".repeat(10));
        state.insert(name, ops::full(&[if i == 0 { 50_000 } else { 3 }], (i as f64).into(), None, None).unwrap());
    }
    let meta = [("format".to_string(), "pt".repeat(5000))].into_iter().collect();
    let values = |d: &StateDict| bits(d.values().cloned());
    let want = values(&state);
    let load = || io::safetensors::load(&file, taper::Device::CPU);
    let mut wrong =
        exhaust(100, || io::safetensors::save(&file, &state, &meta), |_| values(&load().unwrap().0) == want);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "temporary files are gone");
    wrong.extend(exhaust(100, load, |(d, m)| *m == meta && values(d) == want));
    std::fs::remove_dir_all(&dir).unwrap();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
}

/// What the table's samples do not reach: lists of views, printing, orthogonal and sparse matrices, deep graphs.
#[test]
fn large_results_survive() {
    let x = numbers(&[3000, 4]);
    let m = numbers(&[200, 160]);
    let all = taper::tensor::print::PrintOptions { threshold: f64::INFINITY, ..Default::default() };
    let deep = |x: &Tensor| -> Result<Tensor> {
        let mut y = ops::sum(x, None)?;
        for _ in 0..600 {
            y = ops::sin(&y)?;
        }
        ops::backward(std::slice::from_ref(&y), &[], Default::default(), None)?;
        Ok(y)
    };
    let leaf = ops::clone(&x).unwrap();
    autograd::set_requires_grad(&leaf, true).unwrap();
    let mut wrong = vec![];
    wrong.extend(exhaust(40, || ops::unbind(&x, 0), |l| l.len() == 3000));
    wrong.extend(exhaust(40, || ops::stack(&ops::unbind(&x, 0)?, 1), |t| t.numel() == 12_000));
    wrong.extend(exhaust(40, || autograd::display::to_text_with(&x, &all), |t| t.lines().count() == 3000));
    wrong.extend(exhaust(40, || deep(&leaf), |_| true));
    let own = taper::rng::Generator::new();
    wrong.extend(exhaust(40, || ops::init_orthogonal_(&m, 1.0, Some(&own)), |_| true));
    wrong.extend(exhaust(40, || ops::matmul(&m, &ops::t(&m)?), |t| t.numel() == 40_000));
    wrong.dedup();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// Lists of a module's tree, its state and its printed form, of many modules.
#[test]
fn lists_of_modules_survive() {
    use taper::nn::{Layer, Module, Outputs};
    struct Plain;
    impl Layer for Plain {
        fn forward(&self, _: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
            Ok(inputs.iter().cloned().collect())
        }
    }
    let net = Module::new("Net", Plain);
    for _ in 0..1500 {
        let layer = Module::new("Layer", Plain);
        layer.register_parameter("weight", Some(numbers(&[1]))).unwrap();
        layer.register_parameter("bias", Some(numbers(&[1]))).unwrap();
        layer.register_buffer("seen", Some(numbers(&[1])), true).unwrap();
        net.append(layer).unwrap();
    }
    let state = net.state_dict().unwrap();
    let mut wrong = vec![];
    let printed = net.repr().unwrap();
    wrong.extend(exhaust(20, || net.named_modules(), |l| l.len() == 1501));
    wrong.extend(exhaust(20, || net.named_parameters(), |l| l.len() == 3000));
    wrong.extend(exhaust(20, || net.named_buffers(), |l| l.len() == 1500));
    wrong.extend(exhaust(20, || net.named_children(), |l| l.len() == 1500));
    wrong.extend(exhaust(20, || net.parameters(), |l| l.len() == 3000));
    wrong.extend(exhaust(20, || net.state_dict(), |l| l.len() == 4500));
    wrong.extend(exhaust(20, || net.load_state_dict(&state, true), |k| k.missing.is_empty()));
    wrong.extend(exhaust(20, || net.load_state_dict(&StateDict::new(), false), |k| k.missing.len() == 4500));
    wrong.extend(exhaust(20, || net.repr(), |t| *t == printed));
    wrong.extend(exhaust(20, || net.train(true), |()| true));
    wrong.dedup();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// A recurrent layer has as many weights as its caller asks for.
#[test]
fn many_layers_survive() {
    use taper::nn::{layers::Place, layers_gen::GRU};
    let given = [("input_size", 1.into()), ("hidden_size", 1.into()), ("num_layers", 400.into())];
    let make = || GRU.build(GRU.with(&given), &[], Place::default());
    let mut wrong = exhaust(12, make, |m| m.parameters().is_ok_and(|l| l.len() == 1600));
    let (net, x) = (make().unwrap(), numbers(&[1, 1]));
    wrong.extend(exhaust(12, || net.forward_list(&[Some(x.clone())]), |o| o.len() == 2));
    wrong.dedup();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// A pass of a loader, in the calling thread and beside it, its state, and taking it up again.
#[test]
fn loading_survives() {
    use taper::data::dataset::Dataset;
    use taper::data::loader::{Batches, Loader, Options};
    use taper::data::sampler::Sampler;
    let rows = Dataset::of_tensors(&[numbers(&[600, 2])]).unwrap();
    let joined = || -> Result<Dataset> {
        let order: Vec<i64> = paused(|| (0..600).rev().collect());
        Dataset::concat(&[rows.subset(&order)?, rows.clone()])
    };
    let count = |b: &Batches| -> Result<i64> {
        let mut n = 0;
        while let Some(batch) = b.next()? {
            n += batch[0].shape()[0];
        }
        Ok(n)
    };
    let own = taper::rng::Generator::new();
    let mut wrong = vec![];
    for num_workers in [0, 1] {
        let options = Options { batch_size: 50, num_workers, shuffle: true, ..Options::default() };
        let loader = Loader::new(&joined().unwrap(), None, Some(&own), options, None).unwrap();
        wrong.extend(exhaust(40, || count(&loader.begin()?), |n| *n == 1200));
        let pass = loader.begin().unwrap();
        pass.next().unwrap();
        let state = pass.state_dict().unwrap();
        wrong.extend(exhaust(40, || pass.state_dict(), |s| s.len() == state.len()));
        wrong.extend(exhaust(40, || count(&loader.resume(&state)?), |n| *n == 1150));
    }
    wrong.extend(exhaust(20, joined, |d| d.len().is_ok_and(|n| n == 1200)));
    wrong.extend(exhaust(20, || Sampler::random(50, true, Some(900), Some(&own))?.draw(), |l| l.len() == 900));
    let weights = vec![0.5; 3000];
    wrong.extend(exhaust(20, || Sampler::weighted(&weights, 2000, true, Some(&own))?.draw(), |l| l.len() == 2000));
    wrong.extend(exhaust(20, || Sampler::distributed(5000, 3, 1, true, 0, false)?.draw(), |l| l.len() == 1667));
    wrong.dedup();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
