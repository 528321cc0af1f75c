//! Random fills and optimiser steps.

use super::device::*;
use super::elementwise::scalar_arg;
use crate::rng::distributions::full_range;
use crate::rng::philox::{bernoulli_threshold, PhiloxCall};
use std::hash::BuildHasher;

const RANDOM: &str = include_str!("../kernels/random.cl");
const OPTIM: &str = include_str!("../kernels/optim.cl");

/// Blocks of draws that one work-item of a CPU makes.
const BLOCKS: usize = 256;

impl Gpu {
    pub(super) fn random_fill(&self, dist: Distribution, generator: &Generator, out: View) -> Result<()> {
        let n = out.layout.numel();
        if n == 0 {
            return Ok(());
        }
        let d = out.dtype;
        let double = d == DType::F64;
        if !out.layout.is_contiguous() {
            bail!(Internal, "random fills on {} need a contiguous output", self.device);
        }
        // code, 64-bit draws, the two float parameters, range, lowest value, threshold
        let float = |code: i64, wide: bool, a: f64, c: f64| (code, wide, a, c, 0u64, 0i64, 0u64);
        let (code, wide, a, c, range, low, bound) = match dist {
            Distribution::Uniform { low, high } => float(0, double, low, high),
            Distribution::Normal { mean, std } => float(1, double, mean, std),
            Distribution::LogNormal { mean, std } => float(2, double, mean, std),
            Distribution::Exponential { lambda } => float(5, double, lambda, 0.0),
            Distribution::Cauchy { median, sigma } => float(8, double, median, sigma),
            Distribution::Geometric { p } => float(6, double, (-p).ln_1p(), 0.0),
            Distribution::Integer { low, high } => {
                let range = high.wrapping_sub(low) as u64;
                // All 64-bit integers: the draw as it is.
                let low = if range == 0 { 0 } else { low };
                (3, range == 0 || range >= 1 << 28, 0.0, 0.0, range, low, 0)
            }
            Distribution::FullRange => {
                let (wide, modulus) = full_range(d);
                (3, wide, 0.0, 0.0, modulus, 0, 0)
            }
            Distribution::Bernoulli { p } => (4, false, 0.0, 0.0, 0, 0, bernoulli_threshold(p)),
            Distribution::Permutation => (7, true, 0.0, 0.0, 0, 0, 0),
        };
        let needs_float = matches!(code, 0 | 1 | 2 | 5 | 8);
        if needs_float && !d.is_float() {
            return Err(Error::unsupported("random", d, self.device));
        }
        let f = if double { DType::F64 } else { DType::F32 };
        let mut defs: SmallVec<[(&'static str, Def); 8]> =
            SmallVec::from_slice(&[("T", Def::Type(d)), ("F", Def::Type(f)), ("DIST", Def::Int(code))]);
        for (name, on) in [("WIDE", wide), ("DOUBLE", double), ("BOOLEAN", d == DType::Bool)] {
            if on {
                defs.push((name, Def::Int(1)));
            }
        }
        let source = generator.clone();
        let live = self.live(2, || {
            Box::new(move |out| {
                let call = source.next_philox();
                out.extend_from_slice(&call.seed.to_le_bytes());
                out.extend_from_slice(&call.offset.to_le_bytes());
            })
        })?;
        let call = match live {
            Some(_) => PhiloxCall { seed: 0, offset: 0 },
            None => generator.next_philox(),
        };
        if live.is_some() {
            defs.push(("LIVE", Def::Int(1)));
        }
        let cpu = self.info.kind == "cpu" && code != 7;
        if cpu {
            defs.push(("BLOCKS", Def::Int(BLOCKS as i64)));
        }
        let kernel = self.kernel_of("random_fill", &[RANDOM], &defs)?;
        let mut pack = Pack::default();
        for v in [call.seed as i64, call.offset as i64, n as i64, out.layout.offset, range as i64, bound as i64, low] {
            pack.i64(v);
        }
        let mut args: SmallVec<[Arg; 6]> = SmallVec::new();
        args.extend([self.view(&out)?.into(), pack.arg()]);
        args.extend([a, c].map(|v| scalar_arg(Scalar::Float(v), f)));
        if let Some((buffer, at)) = &live {
            args.extend([buffer.mem().into(), (*at).into()]);
        }
        if code == 7 {
            return self.launch(&kernel, &args, [1, 1, 1], [1, 1, 1]);
        }
        let per_block = if wide { 2 } else { 4 };
        if cpu {
            return self.launch(&kernel, &args, [(n / per_block).div_ceil(BLOCKS).max(1), 1, 1], [1, 1, 1]);
        }
        self.launch_1d(&kernel, &args, n.div_ceil(per_block))
    }

    pub(super) fn optimizer(
        &self,
        kind: &StepKind,
        tensors: &[StepTensors],
        live: Option<(&Arc<LiveStep>, bool)>,
    ) -> Result<()> {
        let filled: Vec<&StepTensors> = tensors.iter().filter(|t| t.param.layout.numel() > 0).collect();
        let Some(first) = filled.first() else { return Ok(()) };
        let live = self.record_step(kind, live)?;
        let states = first.state.len();
        // A kernel's parameters are limited to 1 KiB on some devices: buffers, offsets and counts.
        let per_tensor = (states + 2) * 16 + 16;
        let most = (self.info.max_parameter_size.saturating_sub(128) / per_tensor).clamp(1, 64);
        for dtype in DType::REAL {
            let of_type: Vec<&&StepTensors> = filled.iter().filter(|t| t.param.dtype == dtype).collect();
            for part in of_type.chunks(most) {
                self.optimizer_part(kind, part, states, live.as_ref())?;
            }
        }
        Ok(())
    }

    fn optimizer_part(
        &self,
        kind: &StepKind,
        part: &[&&StepTensors],
        states: usize,
        live: Option<&Arc<LiveStep>>,
    ) -> Result<()> {
        let dtype = part[0].param.dtype;
        if !dtype.is_float() {
            return Err(Error::unsupported("optimizer_step", dtype, self.device));
        }
        let acc = dtype.compute();
        let count = part.len();
        let mut defs: SmallVec<[(&'static str, Def); 8]> = SmallVec::from_slice(&[
            ("T", Def::Type(dtype)),
            ("A", Def::Type(acc)),
            ("COUNT", Def::Int(count as i64)),
            ("STATES", Def::Int(states as i64)),
        ]);
        let mut flag = |name: &'static str, on: bool| {
            if on {
                defs.push((name, Def::Int(1)));
            }
        };
        match *kind {
            StepKind::Sgd { nesterov, maximize, momentum_init, .. } => {
                flag("SGD", true);
                flag("NESTEROV", nesterov);
                flag("MAXIMIZE", maximize);
                flag("FIRST", momentum_init);
            }
            StepKind::Adam { maximize, decoupled, .. } => {
                flag("ADAM", true);
                flag("MAXIMIZE", maximize);
                flag("DECOUPLED", decoupled);
            }
            // Programs are told apart by what they are.
            StepKind::Program { ref program, .. } => {
                let hash = rustc_hash::FxBuildHasher.hash_one(program) as i64 & i64::MAX;
                defs.push(("PROGRAM", Def::Int(hash)));
            }
        }
        let live = match live {
            Some(l) => self.live_step(kind, l.clone(), acc == DType::F64)?,
            None => None,
        };
        if live.is_some() {
            defs.push(("LIVE", Def::Int(1)));
        }
        let block = if self.info.kind == "cpu" { GROUP } else { 1 };
        if block > 1 {
            defs.push(("BLOCK", Def::Int(block as i64)));
        }
        let printed = match kind {
            StepKind::Program { program, .. } => Some(kernels::optimizer_program(program, acc, self.device)?),
            _ => None,
        };
        let kernel = self.kernel_made("optimizer_step", &defs, || {
            let middle = printed.as_ref().map_or("", |p| &p.0);
            kernels::optimizer_lists(count, states) + middle + OPTIM
        })?;
        let mut args: SmallVec<[Arg; 8]> = SmallVec::new();
        let (mut start, mut counts, mut offsets) = (Pack::default(), Pack::default(), Pack::default());
        let mut total = 0usize;
        for t in part {
            for v in [&t.param, &t.grad].into_iter().chain(&t.state) {
                args.push(Arg::Mem(self.view(v)?));
                offsets.i64(v.layout.offset);
            }
            start.i64(total as i64);
            counts.i64(t.param.layout.numel() as i64);
            total += t.param.layout.numel().div_ceil(GROUP) * GROUP;
        }
        start.i64(total as i64);
        start.0.extend_from_slice(&counts.0);
        start.0.extend_from_slice(&offsets.0);
        args.push(start.arg());
        if let Some((buffer, at)) = &live {
            args.extend([buffer.mem().into(), (*at).into()]);
            return self.launch_1d(&kernel, &args, total / block);
        }
        let mut values = Pack::default();
        let numbers: SmallVec<[f64; 12]> = match (kind, &printed) {
            (StepKind::Program { scalars, .. }, Some((_, order))) if !order.is_empty() => {
                order.iter().filter_map(|k| scalars.get(*k as usize).copied()).collect()
            }
            (StepKind::Program { .. }, _) => SmallVec::from_slice(&[0.0]),
            _ => SmallVec::from_slice(&hyperparameters(kind)),
        };
        for h in numbers {
            match acc {
                DType::F64 => values.0.extend_from_slice(&h.to_le_bytes()),
                _ => values.0.extend_from_slice(&(h as f32).to_le_bytes()),
            }
        }
        args.push(values.arg());
        let local = if block > 1 { 1 } else { GROUP };
        self.launch(&kernel, &args, [total / block, 1, 1], [local, 1, 1])
    }
}

/// A step's numbers as optim.cl names them, in double; the kernel takes them in its own type.
pub(super) fn hyperparameters(kind: &StepKind) -> [f64; 8] {
    match *kind {
        StepKind::Sgd { lr, momentum, dampening, weight_decay, .. } => {
            [lr, momentum, 1.0 - dampening, 0.0, 0.0, weight_decay, 0.0, 0.0]
        }
        StepKind::Adam { lr, beta1, beta2, eps, weight_decay, step, .. } => {
            let (c1, c2) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
            [lr, 1.0 - beta1, beta2, 1.0 - beta2, eps, weight_decay, lr / c1, c2.sqrt()]
        }
        StepKind::Program { .. } => [0.0; 8],
    }
}
