//! Random fills equal to the CPU's Philox draws, and optimiser steps.

use super::*;
use crate::rng::{Algorithm, Generator};

/// The same fill on the CPU and on the device, from the same state.
pub(super) fn both(d: &Gpu, dist: Distribution, dtype: DType, n: usize) -> (Vec<f64>, Vec<f64>) {
    let make = || {
        let g = Generator::with_algorithm(Algorithm::Philox);
        g.manual_seed(0x9876_5432_1012_3456);
        g.next_philox();
        g
    };
    let layout = Layout::contiguous(&[n as i64]);
    let host = Storage::alloc(n * dtype.size(), Device::CPU).unwrap();
    let g = make();
    let cpu = crate::backend::get(Device::CPU).unwrap();
    cpu.random(dist, &g, View { storage: &host, layout: &layout, dtype }).unwrap();
    let mut bytes = vec![0u8; n * dtype.size()];
    cpu.download(&host, 0, &mut bytes).unwrap();
    let want = crate::dispatch!(dtype, E, {
        let read = |b: &[u8]| bytemuck::pod_read_unaligned::<E>(b).to_f64();
        bytes.chunks(dtype.size()).map(read).collect()
    });
    let h = make();
    let t = T::zeros(d, dtype, &[n as i64]);
    d.random(dist, &h, t.view()).unwrap();
    assert_eq!(g.get_state(), h.get_state());
    (t.values(d), want)
}

#[cfg_attr(test, test)]
pub(crate) fn draws_equal_the_cpus() {
    let Some(d) = device() else { return };
    use Distribution::*;
    for (row, dtype) in [DType::F32, DType::F64, DType::F16, DType::BF16].into_iter().enumerate() {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        let exact = [
            Uniform { low: 0.0, high: 1.0 },
            Uniform { low: -2.5, high: 7.25 },
            Bernoulli { p: 0.3 },
            Integer { low: -5, high: 200 },
            FullRange,
        ];
        for (column, dist) in exact.into_iter().enumerate() {
            if !tried(d, dtype == DType::F32, row, column, 2) {
                continue;
            }
            let (got, want) = both(d, dist, dtype, 1003);
            assert_close(&got, &want, 0.0, &format!("{dist:?} {dtype}"));
        }
        // Functions of the device differ in the last digits.
        for dist in [
            Normal { mean: 0.0, std: 1.0 },
            Normal { mean: 3.0, std: 0.5 },
            LogNormal { mean: 0.1, std: 0.3 },
            Exponential { lambda: 2.0 },
        ] {
            let (got, want) = both(d, dist, dtype, 1003);
            for (g, w) in got.iter().zip(&want) {
                let ulp = match dtype {
                    DType::F64 => 2f64.powi(-52),
                    DType::F32 => 2f64.powi(-23),
                    DType::F16 => 2f64.powi(-10),
                    _ => 2f64.powi(-7),
                } * w.abs().max(1e-30);
                // Around zero the mean's rounding counts.
                let mean = if let Normal { mean, .. } = dist { mean.abs() } else { 0.0 };
                assert!((g - w).abs() <= 4.0 * ulp.max(mean * 2f64.powi(-23)), "{dist:?} {dtype}: {g} {w}");
            }
        }
        let (got, want) = both(d, Geometric { p: 0.2 }, dtype, 500);
        assert!(got.iter().zip(&want).filter(|(a, b)| a != b).count() <= 2);
        let (got, want) = both(d, Cauchy { median: 1.0, sigma: 2.0 }, dtype, 500);
        for (g, w) in got.iter().zip(&want) {
            assert!((g - w).abs() <= 1e-3 * w.abs().max(1.0) || g == w, "cauchy {dtype}: {g} {w}");
        }
    }
    let whole = [DType::U8, DType::I8, DType::I16, DType::I32, DType::I64, DType::Bool];
    for (row, dtype) in whole.into_iter().enumerate() {
        let all = [Integer { low: 0, high: 2 }, Integer { low: 1, high: 1 << 40 }, FullRange, Bernoulli { p: 0.5 }];
        for (column, dist) in all.into_iter().enumerate() {
            if !tried(d, false, row, column, 2) {
                continue;
            }
            let (got, want) = both(d, dist, dtype, 517);
            assert_close(&got, &want, 0.0, &format!("{dist:?} {dtype}"));
        }
        let e =
            d.random(Uniform { low: 0.0, high: 1.0 }, &Generator::new(), T::zeros(d, dtype, &[4]).view()).unwrap_err();
        assert_eq!(e.kind, ErrorKind::NotImplemented);
    }
    let (got, want) = both(d, Integer { low: i64::MIN, high: i64::MIN }, DType::I64, 100);
    assert_eq!(got, want);
    let (got, want) = both(d, Permutation, DType::I64, 1000);
    assert_eq!(got, want);
    let mut sorted = got.clone();
    sorted.sort_by(f64::total_cmp);
    assert_eq!(sorted, (0..1000).map(|i| i as f64).collect::<Vec<_>>());
}

/// One parameter's step in double.
fn reference(kind: &StepKind, p: &mut f64, g: f64, s: &mut [f64]) {
    match *kind {
        StepKind::Sgd { lr, momentum, dampening, weight_decay, nesterov, maximize, momentum_init } => {
            let mut g = if maximize { -g } else { g } + weight_decay * *p;
            if momentum != 0.0 {
                s[0] = if momentum_init { g } else { momentum * s[0] + (1.0 - dampening) * g };
                g = if nesterov { g + momentum * s[0] } else { s[0] };
            }
            *p -= lr * g;
        }
        StepKind::Adam { lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled, step } => {
            let mut g = if maximize { -g } else { g };
            if decoupled {
                *p *= 1.0 - lr * weight_decay;
            } else {
                g += weight_decay * *p;
            }
            s[0] += (1.0 - beta1) * (g - s[0]);
            s[1] = beta2 * s[1] + (1.0 - beta2) * g * g;
            let v = if amsgrad {
                s[2] = s[2].max(s[1]);
                s[2]
            } else {
                s[1]
            };
            let denom = v.sqrt() / (1.0 - beta2.powf(step)).sqrt() + eps;
            *p -= lr / (1.0 - beta1.powf(step)) * s[0] / denom;
        }
        StepKind::Program { .. } => unreachable!("tested with the optimisers"),
    }
}

/// A step over parameters of these sizes in one launch.
pub(super) fn check_step(d: &Gpu, dtype: DType, kind: &StepKind, states: usize, sizes: &[i64]) {
    let fill = |i: usize, seed: u64, positive: bool| -> Vec<f64> {
        let v = noise(sizes[i] as usize, seed * 10 + i as u64);
        v.iter().map(|x| round_to(dtype, if positive { x.abs() } else { *x })).collect()
    };
    let data: Vec<Vec<Vec<f64>>> =
        (0..sizes.len()).map(|i| (0..states + 2).map(|k| fill(i, 70 + k as u64, k >= 3)).collect()).collect();
    let tensors: Vec<Vec<T>> =
        data.iter().zip(sizes).map(|(lists, n)| lists.iter().map(|v| T::of(d, dtype, v, &[*n])).collect()).collect();
    let steps: Vec<StepTensors> = tensors
        .iter()
        .map(|t| StepTensors {
            param: t[0].view(),
            grad: t[1].view(),
            state: t[2..].iter().map(|s| s.view()).collect(),
        })
        .collect();
    d.optimizer_step(kind, &steps, None).unwrap();
    for (lists, t) in data.iter().zip(&tensors) {
        let mut want = lists.clone();
        for j in 0..lists[0].len() {
            let mut s: Vec<f64> = want[2..].iter().map(|v| v[j]).collect();
            let mut p = want[0][j];
            reference(kind, &mut p, want[1][j], &mut s);
            want[0][j] = p;
            s.iter().enumerate().for_each(|(k, v)| want[2 + k][j] = *v);
        }
        for (k, (w, t)) in want.iter().zip(t).enumerate() {
            assert_close(&t.values(d), w, 4.0 * tolerance(dtype), &format!("{kind:?} {dtype} buffer {k}"));
        }
    }
}

/// Every kind of step, and how many states it keeps.
pub(super) fn kinds() -> [(StepKind, usize); 5] {
    let sgd = |momentum: f64, nesterov: bool, first: bool| StepKind::Sgd {
        lr: 0.1,
        momentum,
        dampening: if nesterov { 0.0 } else { 0.1 },
        weight_decay: 0.01,
        nesterov,
        maximize: first,
        momentum_init: first,
    };
    let adam = |amsgrad: bool, decoupled: bool| StepKind::Adam {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.1,
        amsgrad,
        maximize: false,
        decoupled,
        step: 3.0,
    };
    [
        (sgd(0.0, false, false), 0),
        (sgd(0.9, false, true), 1),
        (sgd(0.9, true, false), 1),
        (adam(false, false), 2),
        (adam(true, true), 3),
    ]
}

#[cfg_attr(test, test)]
pub(crate) fn optimiser_steps_over_many_parameters_in_one_launch() {
    let Some(d) = device() else { return };
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        for (kind, states) in &kinds() {
            check_step(d, dtype, kind, *states, &[3, 1000, 257, 1, 64]);
        }
    }
}
