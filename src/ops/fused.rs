//! Optimiser steps over lists of tensors: checks, grouping by device and dtype, one kernel call each.

use crate::backend::memory::{self, reserve::grant};
use crate::backend::{self, LiveStep, StepKind, StepTensors, View};
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::{ensure, Result, Tensor};
use std::sync::Arc;

/// A zeroed contiguous tensor of `t`'s shape, dtype and device.
pub(crate) fn zeroed_like(t: &Tensor) -> Result<Tensor> {
    let bytes = memory::zeroed::<u8>(t.numel() * t.dtype().size())?;
    Tensor::from_bytes(&bytes, &t.shape(), t.dtype(), t.device())
}

/// What the kernel may write to: the tensor itself, or a contiguous stand-in that is copied back.
struct Target<'a> {
    tensor: &'a Tensor,
    stand_in: Option<Tensor>,
}
impl<'a> Target<'a> {
    fn new(tensor: &'a Tensor) -> Result<Target<'a>> {
        let stand_in = if tensor.is_contiguous() { None } else { Some(tensor.contiguous_copy()?) };
        Ok(Target { tensor, stand_in })
    }
    fn used(&self) -> &Tensor {
        self.stand_in.as_ref().unwrap_or(self.tensor)
    }
    fn finish(&self, written: bool) -> Result<()> {
        if written {
            if let Some(s) = &self.stand_in {
                self.tensor.copy_from(s)?;
            }
            self.tensor.bump_version();
        }
        Ok(())
    }
}

/// Number of state tensors that the step uses for each parameter.
fn states_needed(kind: &StepKind) -> usize {
    match kind {
        StepKind::Sgd { momentum, .. } => (*momentum != 0.0) as usize,
        StepKind::Adam { amsgrad, .. } => 2 + *amsgrad as usize,
        StepKind::Program { program, .. } => program.states(),
    }
}

/// An error when what the step writes overlaps anything else of the step: its threads would get in each other's way.
fn check_disjoint(params: &[Tensor], grads: &[Tensor], states: &[Vec<Tensor>]) -> Result<()> {
    let mut spans = Vec::with_capacity(params.len() * 4);
    let mut add = |t: &Tensor, written: bool| {
        let b = t.body();
        let l = b.layout();
        if l.numel() > 0 {
            // In bytes, so that views of different dtypes compare.
            let size = b.dtype().size() as i64;
            let storage = Arc::as_ptr(b.storage()) as usize;
            spans.push((storage, l.offset * size, l.required_elements() * size, written));
        }
    };
    for ((p, g), s) in params.iter().zip(grads).zip(states) {
        add(p, true);
        add(g, false);
        s.iter().for_each(|t| add(t, true));
    }
    spans.sort_unstable();
    // Furthest end so far of anything, and of what is written.
    let (mut at, mut any, mut written) = (0, 0, 0);
    for (storage, start, end, writes) in spans {
        if storage != at {
            (at, any, written) = (storage, 0, 0);
        }
        ensure!(
            start >= written && (!writes || start >= any),
            Runtime,
            "optimizer step: a parameter or state shares memory with another tensor of the step"
        );
        any = any.max(end);
        if writes {
            written = written.max(end);
        }
    }
    Ok(())
}

/// One optimiser step, in place and unrecorded, over parameters of any layout, dtype and device.
///
/// `grads[i]` and every tensor of `states[i]` must have the shape, dtype and device of `params[i]`; `states[i]` holds
/// the momentum buffer (SGD with momentum) or exp_avg, exp_avg_sq and, with amsgrad, max_exp_avg_sq.
///
/// In a recording of a device's work `live` is what the optimiser counts in.
pub fn fused_step(kind: &StepKind, params: &[Tensor], grads: &[Tensor], states: &[Vec<Tensor>]) -> Result<()> {
    let _lists = grant(params.len().saturating_mul(STEP_BYTES))?;
    prepare_step(kind, params, grads, states)?.run(kind, None)
}
/// Checks a step and obtains its memory; nothing is changed yet.
pub fn prepare_step<'a>(
    kind: &StepKind,
    params: &'a [Tensor],
    grads: &'a [Tensor],
    states: &'a [Vec<Tensor>],
) -> Result<PreparedStep<'a>> {
    ensure!(
        params.len() == grads.len() && params.len() == states.len(),
        Runtime,
        "Tensor lists must have the same number of tensors, got {} parameters, {} gradients and {} states",
        params.len(),
        grads.len(),
        states.len()
    );
    let need = states_needed(kind);
    let mut groups: Vec<(Device, DType, Vec<usize>)> = Vec::new();
    for (i, p) in params.iter().enumerate() {
        let (shape, dtype, device) = (p.shape(), p.dtype(), p.device());
        ensure!(dtype.is_float(), Runtime, "optimizer step: parameter {i} is {dtype}, expected a floating dtype");
        ensure!(
            states[i].len() == need,
            Runtime,
            "optimizer step: parameter {i} has {} state tensors, expected {need}",
            states[i].len()
        );
        for (what, t) in std::iter::once(("gradient", &grads[i])).chain(states[i].iter().map(|t| ("state", t))) {
            ensure!(
                t.shape() == shape && t.dtype() == dtype && t.device() == device,
                Runtime,
                "optimizer step: the {what} of parameter {i} is {} of shape {:?} on {}, but the parameter is {dtype} of shape {:?} on {device}",
                t.dtype(),
                &t.shape()[..],
                t.device(),
                &shape[..]
            );
        }
        if p.numel() == 0 {
            continue;
        }
        match groups.iter_mut().find(|(d, t, _)| *d == device && *t == dtype) {
            Some((_, _, list)) => list.push(i),
            None => groups.push((device, dtype, vec![i])),
        }
    }
    check_disjoint(params, grads, states)?;
    let mut prepared = PreparedStep { groups: memory::with_capacity(groups.len())? };
    for (device, _, list) in groups {
        // Per parameter: the parameter, its gradient, its states.
        let of = |i: usize| [&params[i], &grads[i]].into_iter().chain(&states[i]).map(Target::new).collect();
        let targets = memory::try_collect(list.into_iter().map(of))?;
        prepared.groups.push((device, targets));
    }
    Ok(prepared)
}

/// A step whose memory is all there.
pub struct PreparedStep<'a> {
    groups: Vec<(Device, Vec<Vec<Target<'a>>>)>,
}

impl PreparedStep<'_> {
    /// Does the step. The caller holds a grant of `STEP_BYTES` for each parameter, so that it is done whole.
    pub fn run(&self, kind: &StepKind, live: Option<&Arc<LiveStep>>) -> Result<()> {
        // Several launches are one call all the same.
        let steps = if let StepKind::Adam { step, .. } = kind { *step as u64 - 1 } else { 0 };
        let own = (live.is_none() && self.groups.len() > 1).then(|| Arc::new(LiveStep::new(steps)));
        let live = live.or(own.as_ref());
        for (number, (device, targets)) in self.groups.iter().enumerate() {
            {
                let bodies: Vec<Vec<_>> =
                    targets.iter().map(|t| t.iter().map(|t| t.used().materialize()).collect()).collect();
                let tensors: Vec<StepTensors> = bodies
                    .iter()
                    .map(|b| {
                        let views: Vec<View> = b.iter().map(|b| b.view()).collect();
                        StepTensors { param: views[0], grad: views[1], state: views[2..].to_vec() }
                    })
                    .collect();
                backend::get(*device)?.optimizer_step(kind, &tensors, live.map(|l| (l, number == 0)))?;
            }
            for parameter in targets {
                for (at, target) in parameter.iter().enumerate() {
                    target.finish(at != 1)?; // the gradient is only read
                }
            }
        }
        Ok(())
    }
}

/// What the lists of one step take for one parameter.
pub const STEP_BYTES: usize = 2048;

/// The tensors of several lists by parameter; every list that is not empty has one for each.
fn by_parameter(op: &str, n: usize, lists: &[&[Tensor]]) -> Result<Vec<Vec<Tensor>>> {
    for l in lists {
        ensure!(
            l.is_empty() || l.len() == n,
            Runtime,
            "{op}: Tensor lists must have the same number of tensors, got {n} parameters and {} states",
            l.len()
        );
    }
    Ok((0..n).map(|i| lists.iter().filter_map(|l| l.get(i).cloned()).collect()).collect())
}

/// One step of SGD; see the op table.
#[allow(clippy::too_many_arguments)]
pub fn fused_sgd_(
    params: &[Tensor],
    grads: &[Tensor],
    momentum_buffers: &[Tensor],
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    maximize: bool,
    is_first_step: bool,
) -> Result<()> {
    let momentum_init = is_first_step;
    let kind = StepKind::Sgd { lr, momentum, dampening, weight_decay, nesterov, maximize, momentum_init };
    fused_step(&kind, params, grads, &by_parameter("fused_sgd_", params.len(), &[momentum_buffers])?)
}

/// One step of Adam or AdamW; see the op table.
#[allow(clippy::too_many_arguments)]
pub fn fused_adam_(
    params: &[Tensor],
    grads: &[Tensor],
    exp_avgs: &[Tensor],
    exp_avg_sqs: &[Tensor],
    max_exp_avg_sqs: &[Tensor],
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    amsgrad: bool,
    maximize: bool,
    decoupled: bool,
    step: i64,
) -> Result<()> {
    ensure!(step >= 1, Value, "fused_adam_: step counts from 1, got {step}");
    let step = step as f64;
    let kind = StepKind::Adam { lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled, step };
    let states = by_parameter("fused_adam_", params.len(), &[exp_avgs, exp_avg_sqs, max_exp_avg_sqs])?;
    fused_step(&kind, params, grads, &states)
}
