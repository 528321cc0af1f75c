//! Forty epochs of every schedule are PyTorch's, to the last bit (recorded by tests/fixtures/make_schedules.py).

use super::*;
use crate::base::sync::Mutex;
use crate::optim::{AdamOptions, Optimizer, SgdOptions};
use crate::{autograd, bail, ErrorKind, Result, Tensor};
use std::sync::Arc;

fn parameter() -> Tensor {
    let p = Tensor::from_slice(&[1f64], &[1]).unwrap();
    autograd::set_requires_grad(&p, true).unwrap();
    p
}

/// Two groups, with rates of 0.1 and 0.05.
fn optimizer(adam: bool) -> Target {
    let p = vec![parameter()];
    let mut o = match adam {
        true => Optimizer::adam(p, AdamOptions { lr: 0.1, ..AdamOptions::adam() }),
        false => Optimizer::sgd(p, SgdOptions { lr: 0.1, momentum: 0.9, ..SgdOptions::default() }),
    }
    .unwrap();
    let mut second = o.groups()[0].clone();
    second.params = vec![parameter()];
    o.add_param_group(second).unwrap();
    o.set_group_lr(1, 0.05).unwrap();
    Arc::new(Mutex::new(o))
}

fn f(f: impl Fn(f64, usize) -> f64 + Send + Sync + 'static) -> Callback {
    Arc::new(move |a| Ok(f(a.epoch as f64, a.group)))
}

fn make(name: &str, o: &Target) -> Result<Schedule> {
    match name {
        "LambdaLR.a" => LambdaLR::new(f(|e, _| 1.0 / (1.0 + e))).make(o),
        "LambdaLR.b" => LambdaLR::new(f(|e, g| [1.0 - e / 100.0, 0.5][g])).make(o),
        "MultiplicativeLR.a" => MultiplicativeLR::new(f(|_, _| 0.95)).make(o),
        "MultiplicativeLR.b" => MultiplicativeLR::new(f(|e, g| [1.0 - 1.0 / (e + 2.0), 0.5][g])).make(o),
        "StepLR.a" => StepLR::new(3).make(o),
        "StepLR.b" => StepLR { gamma: 0.7, ..StepLR::new(7) }.make(o),
        "MultiStepLR.a" => MultiStepLR::new(vec![2, 5, 5]).make(o),
        "MultiStepLR.b" => MultiStepLR { gamma: 0.3, ..MultiStepLR::new(vec![30, 10, 20]) }.make(o),
        "ConstantLR.a" => ConstantLR::new().make(o),
        "ConstantLR.b" => ConstantLR { factor: 0.7, total_iters: 11, last_epoch: -1 }.make(o),
        "LinearLR.a" => LinearLR::new().make(o),
        "LinearLR.b" => LinearLR { start_factor: 0.9, end_factor: 0.1, total_iters: 30, last_epoch: -1 }.make(o),
        "ExponentialLR.a" => ExponentialLR::new(0.9).make(o),
        "ExponentialLR.b" => ExponentialLR::new(1.01).make(o),
        "SequentialLR.a" => {
            let first = ConstantLR { factor: 0.1, total_iters: 2, last_epoch: -1 }.make(o)?;
            let last = StepLR { gamma: 0.5, ..StepLR::new(4) };
            SequentialLR::new(vec![first, ExponentialLR::new(0.9).make(o)?, last.make(o)?], vec![2, 20]).make(o)
        }
        "SequentialLR.b" => {
            let first = LinearLR { total_iters: 6, ..LinearLR::new() }.make(o)?;
            SequentialLR::new(vec![first, CosineAnnealingLR::new(30).make(o)?], vec![6]).make(o)
        }
        "PolynomialLR.a" => PolynomialLR::new().make(o),
        "PolynomialLR.b" => PolynomialLR { total_iters: 33, power: 2.5, last_epoch: -1 }.make(o),
        "CosineAnnealingLR.a" => CosineAnnealingLR::new(10).make(o),
        "CosineAnnealingLR.b" => CosineAnnealingLR { eta_min: 0.003, ..CosineAnnealingLR::new(7) }.make(o),
        "ChainedScheduler.a" => {
            let first = ConstantLR { factor: 0.1, total_iters: 4, last_epoch: -1 }.make(o)?;
            ChainedScheduler::new(vec![first, ExponentialLR::new(0.9).make(o)?]).make()
        }
        "ChainedScheduler.b" => {
            let warm = LinearLR { start_factor: 0.25, total_iters: 4, ..LinearLR::new() }.make(o)?;
            let step = StepLR { gamma: 0.5, ..StepLR::new(5) }.make(o)?;
            let both = ChainedScheduler::new(vec![step, ExponentialLR::new(0.95).make(o)?]).make()?;
            ChainedScheduler::new(vec![both, warm]).make()
        }
        "ReduceLROnPlateau.a" => ReduceLROnPlateau { patience: 2, ..ReduceLROnPlateau::new() }.make(o),
        "ReduceLROnPlateau.b" => ReduceLROnPlateau {
            mode: "max".into(),
            factor: 0.5,
            patience: 1,
            threshold: 0.01,
            threshold_mode: "abs".into(),
            cooldown: 3,
            min_lr: vec![0.01, 0.002],
            ..ReduceLROnPlateau::new()
        }
        .make(o),
        "CyclicLR.a" | "CyclicLR.adam" => {
            let c = CyclicLR::new(vec![0.01], vec![0.2]);
            CyclicLR { step_size_up: 3, mode: "triangular2".into(), ..c }.make(o)
        }
        "CyclicLR.b" => {
            let c = CyclicLR::new(vec![0.01, 0.02], vec![0.2, 0.3]);
            let c = CyclicLR { mode: "exp_range".into(), gamma: 0.95, cycle_momentum: false, ..c };
            CyclicLR { step_size_up: 5, step_size_down: Some(3), ..c }.make(o)
        }
        "CyclicLR.c" => {
            let c = CyclicLR::new(vec![0.01], vec![0.2]);
            let c = CyclicLR { scale_fn: Some(f(|x, _| 1.0 / (1.0 + x))), scale_mode: "iterations".into(), ..c };
            CyclicLR { step_size_up: 4, base_momentum: vec![0.5], ..c }.make(o)
        }
        "CosineAnnealingWarmRestarts.a" => CosineAnnealingWarmRestarts::new(5).make(o),
        "CosineAnnealingWarmRestarts.b" => {
            CosineAnnealingWarmRestarts { T_mult: 2, eta_min: 0.001, ..CosineAnnealingWarmRestarts::new(3) }.make(o)
        }
        "OneCycleLR.a" | "OneCycleLR.adam" => {
            OneCycleLR { total_steps: Some(45), ..OneCycleLR::new(vec![0.5]) }.make(o)
        }
        "OneCycleLR.b" => OneCycleLR {
            epochs: Some(5),
            steps_per_epoch: Some(9),
            pct_start: 0.4,
            anneal_strategy: "linear".into(),
            three_phase: true,
            div_factor: 10.0,
            final_div_factor: 100.0,
            base_momentum: vec![0.8],
            max_momentum: vec![0.9],
            ..OneCycleLR::new(vec![0.5, 0.4])
        }
        .make(o),
        "SWALR.a" => SWALR::new(vec![0.05]).make(o),
        "SWALR.b" => {
            let s = SWALR::new(vec![0.05, 0.01]);
            SWALR { anneal_epochs: 25, anneal_strategy: "linear".into(), ..s }.make(o)
        }
        other => panic!("no such case: {other}"),
    }
}

fn seen(o: &Target) -> Vec<f64> {
    vec![o.lr(0).unwrap(), o.lr(1).unwrap(), o.momentum(0).unwrap()]
}

fn step(s: &Schedule, e: i32) {
    if s.0.made.rule == Rule::ReduceLROnPlateau {
        return s.step_metric(if e < 12 { 1.0 / (1.0 + e as f64) } else { 0.07 }).unwrap();
    }
    s.step().unwrap();
}

fn recorded() -> impl Iterator<Item = (&'static str, Vec<f64>)> {
    let text = include_str!("../../../tests/fixtures/schedules.txt");
    text.lines().map(|l| l.split_once(' ').unwrap()).map(|(name, values)| {
        let numbers = values.split(' ').map(|v| v.parse().unwrap()).collect();
        (name, numbers)
    })
}

#[test]
fn forty_epochs_are_pytorchs() {
    let mut rules = std::collections::HashSet::new();
    for (name, want) in recorded() {
        let o = optimizer(name.ends_with(".adam"));
        if let Some(name) = name.strip_suffix(".to") {
            let s = make(name, &o).unwrap();
            for (e, want) in [3.0, 7.0, 1.0, 20.0].into_iter().zip(want.chunks(3)) {
                s.step_to(e).unwrap();
                assert_eq!(seen(&o), want, "{name} to {e}");
            }
            continue;
        }
        let s = make(name, &o).unwrap();
        rules.insert(s.0.made.rule as u8);
        for (i, want) in want.chunks(3).enumerate() {
            if i > 0 {
                step(&s, i as i32 - 1);
            }
            assert_eq!(seen(&o), want, "{name} after {i} steps");
            assert_eq!(s.last_lr(), &want[..2], "{name} after {i} steps");
        }
    }
    assert_eq!(rules.len(), Rule::Own as usize, "a schedule has no recorded case");
}

#[test]
fn a_state_goes_on_in_the_middle() {
    for (name, want) in recorded().filter(|(n, _)| !n.ends_with(".to")) {
        let adam = name.ends_with(".adam");
        let (first, second) = (optimizer(adam), optimizer(adam));
        let s = make(name, &first).unwrap();
        (0..17).for_each(|e| step(&s, e));
        let again = make(name, &second).unwrap();
        again.load_state_dict(&s.state_dict().unwrap()).unwrap();
        // What an optimiser's own state holds.
        for g in 0..2 {
            second.set_lr(g, first.lr(g).unwrap()).unwrap();
            second.set_momentum(g, first.momentum(g).unwrap()).unwrap();
        }
        assert_eq!((again.last_epoch(), again.last_lr()), (s.last_epoch(), s.last_lr()), "{name}");
        for (i, want) in want.chunks(3).enumerate().skip(18) {
            step(&again, i as i32 - 1);
            assert_eq!(seen(&second), want, "{name} after {i} steps");
        }
    }
}

#[test]
fn a_schedule_of_ones_own() {
    let o = optimizer(false);
    let s = Schedule::own(&o, "Halving", Arc::new(|a| Ok(a.base_lr / (1.0 + a.epoch as f64))), -1).unwrap();
    s.step().unwrap();
    assert_eq!(s.last_lr(), [0.05, 0.025]);
    assert_eq!((s.to_string(), s.last_epoch(), s.base_lrs()), ("Halving()".into(), 1, vec![0.1, 0.05]));
    // A failure passes through and changes nothing; the function may look at the schedule and its optimiser.
    let place = Arc::new(Mutex::new(None::<Schedule>));
    let (inner, rates) = (place.clone(), o.clone());
    let own = Schedule::own(
        &o,
        "",
        Arc::new(move |a| {
            let s = inner.lock().clone();
            match s {
                Some(s) if s.last_epoch() == 0 => rates.lr(a.group),
                Some(_) => bail!(Callback, "no further"),
                None => Ok(a.lr),
            }
        }),
        -1,
    )
    .unwrap();
    *place.lock() = Some(own.clone());
    own.step().unwrap();
    let before = seen(&o);
    assert_eq!(own.step().unwrap_err().kind, ErrorKind::Callback);
    assert_eq!((own.last_epoch(), seen(&o)), (1, before));
    place.lock().take();
}

#[test]
fn sequences_of_sequences_are_pytorchs() {
    let o = optimizer(false);
    let half = ConstantLR { factor: 0.5, total_iters: 2, last_epoch: -1 }.make(&o).unwrap();
    let inner = SequentialLR::new(vec![half, StepLR::new(2).make(&o).unwrap()], vec![3]).make(&o).unwrap();
    let last = ExponentialLR::new(0.9).make(&o).unwrap();
    let outer = SequentialLR::new(vec![inner.clone(), last], vec![8]).make(&o).unwrap();
    // The inner one's own epoch is not taken back.
    let rates: Vec<f64> = (0..6)
        .map(|_| {
            outer.step().unwrap();
            outer.last_lr()[0]
        })
        .collect();
    let tenth = 0.1 * 0.1;
    assert_eq!(rates, [0.05, 0.1, 0.1, tenth, tenth, tenth * 0.1]);
    // A schedule of schedules cannot begin anew at a milestone.
    let outer = SequentialLR::new(vec![StepLR::new(2).make(&o).unwrap(), inner], vec![1]).make(&o).unwrap();
    assert_eq!(outer.step().unwrap_err().kind, ErrorKind::NotImplemented);
}

#[test]
fn texts() {
    let o = optimizer(false);
    let text = |name: &str| make(name, &o).unwrap().to_string();
    assert_eq!(text("StepLR.a"), "StepLR(step_size=3, gamma=0.1)");
    assert_eq!(text("MultiStepLR.b"), "MultiStepLR(milestones=[30, 10, 20], gamma=0.3)");
    assert_eq!(text("LambdaLR.a"), "LambdaLR()");
    assert_eq!(
        text("SequentialLR.b"),
        "SequentialLR(schedulers=[LinearLR(start_factor=0.3333333333333333, end_factor=1.0, total_iters=6), \
         CosineAnnealingLR(T_max=30, eta_min=0.0)], milestones=[6])"
    );
    assert_eq!(
        text("ReduceLROnPlateau.a"),
        "ReduceLROnPlateau(mode='min', factor=0.1, patience=2, threshold=0.0001, threshold_mode='rel', cooldown=0, \
         min_lr=0.0, eps=1e-08)"
    );
}

#[test]
fn keys_are_pytorchs() {
    let o = optimizer(false);
    let keys = |name: &str| {
        let mut k: Vec<_> = make(name, &o).unwrap().state_dict().unwrap().keys().cloned().collect();
        k.sort_unstable();
        k.join(" ")
    };
    let common = "_get_lr_called_within_step _is_initial _last_lr _step_count base_lrs";
    assert_eq!(keys("StepLR.a"), format!("{common} gamma last_epoch step_size"));
    assert_eq!(
        keys("ReduceLROnPlateau.a"),
        "_last_lr best cooldown cooldown_counter default_min_lr eps factor last_epoch min_lrs mode mode_worse \
         num_bad_epochs patience threshold threshold_mode"
    );
    assert_eq!(
        keys("CyclicLR.a"),
        format!(
            "{common} base_momentums cycle_momentum gamma last_epoch max_lrs max_momentums mode scale_mode step_ratio \
             total_size use_beta1"
        )
    );
    assert!(keys("SequentialLR.a").contains("_milestones _schedulers.0._get_lr_called_within_step"));
}

#[test]
fn mistakes_are_named() {
    let o = optimizer(false);
    let fails = |r: Result<Schedule>, kind: ErrorKind, what: &str| {
        let e = r.err().unwrap_or_else(|| panic!("no error: {what}"));
        assert!(e.kind == kind && e.message.contains(what), "{e:?} lacks {what:?}");
    };
    use ErrorKind::*;
    fails(ConstantLR { factor: 1.5, ..ConstantLR::new() }.make(&o), Value, "expected to be between 0 and 1");
    fails(LinearLR { start_factor: 0.0, ..LinearLR::new() }.make(&o), Value, "greater than 0 and less or equal to 1");
    fails(OneCycleLR::new(vec![0.1]).make(&o), Value, "You must define either total_steps OR");
    fails(
        OneCycleLR { total_steps: Some(0), ..OneCycleLR::new(vec![0.1]) }.make(&o),
        Value,
        "Expected positive integer total_steps, but got 0",
    );
    let cyclic = CyclicLR::new(vec![0.1, 0.2, 0.3], vec![0.1]);
    fails(cyclic.make(&o), Value, "base_lr has 3 values, param_groups has 2.");
    let mode = CyclicLR { mode: "square".into(), ..CyclicLR::new(vec![0.1], vec![0.2]) };
    fails(mode.make(&o), Value, "mode is invalid and scale_fn is None");
    fails(CosineAnnealingWarmRestarts::new(0).make(&o), Value, "Expected positive integer T_0, but got 0");
    fails(ReduceLROnPlateau { factor: 1.0, ..ReduceLROnPlateau::new() }.make(&o), Value, "Factor should be < 1.0.");
    fails(ReduceLROnPlateau { mode: "up".into(), ..ReduceLROnPlateau::new() }.make(&o), Value, "mode up is unknown!");
    let resumed = StepLR { last_epoch: 3, ..StepLR::new(2) };
    fails(resumed.make(&optimizer(false)), Key, "param 'initial_lr' is not specified in param_groups[0] when resuming");
    fails(SequentialLR::new(vec![], vec![]).make(&o), Value, "expects at least one scheduler");
    let step = StepLR::new(2).make(&o).unwrap();
    fails(
        SequentialLR::new(vec![step.clone()], vec![1]).make(&o),
        Value,
        "one more than the number of milestone points",
    );
    fails(SequentialLR::new(vec![step.clone()], vec![]).make(&optimizer(false)), Value, "the same optimizer");
    let plateau = ReduceLROnPlateau::new().make(&o).unwrap();
    fails(ChainedScheduler::new(vec![plateau.clone()]).make(), Value, "does not support `ReduceLROnPlateau`");
    let fails = |r: Result<()>, kind: ErrorKind, what: &str| {
        let e = r.err().unwrap_or_else(|| panic!("no error: {what}"));
        assert!(e.kind == kind && e.message.contains(what), "{e:?} lacks {what:?}");
    };
    fails(plateau.step(), Type, "missing 1 required positional argument: 'metrics'");
    fails(step.step_metric(1.0), Type, "StepLR.step() takes no metric");
    fails(step.step_to(1.5), Value, "expected a whole epoch, got 1.5");
    fails(StepLR::new(0).make(&o).unwrap().step(), Value, "integer modulo by zero");
    let one = OneCycleLR { total_steps: Some(2), ..OneCycleLR::new(vec![0.1]) }.make(&o).unwrap();
    one.step().unwrap();
    one.step().unwrap();
    fails(one.step(), Value, "Tried to step 3 times. The specified number of total steps is 2");
    let mut state = step.state_dict().unwrap();
    state.shift_remove("gamma");
    fails(step.load_state_dict(&state), Key, "the state dict of StepLR lacks \"gamma\"");
    state.insert("gamma".into(), Tensor::from_slice(&[1f64, 2.0], &[2]).unwrap());
    fails(step.load_state_dict(&state), Value, "\"gamma\" must be one number, got a tensor of shape [2]");
}
