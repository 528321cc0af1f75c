//! Which parameters go together in one call of a step, and what the device is told.

use super::class::{Build, Count, Native, Numbers};
use super::options::{Options, Rule};
use crate::backend::{LiveStep, StepKind};
use crate::base::scalar::Scalar;
use crate::ops::fused::{prepare_step, zeroed_like, PreparedStep, STEP_BYTES};
use crate::{bail, ensure, Result, Tensor};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// Parameters that share options.
#[derive(Clone)]
pub struct ParamGroup {
    pub params: Vec<Tensor>,
    pub options: Options,
}

/// What is remembered of one parameter.
#[derive(Clone, Default)]
pub(super) struct ParamState {
    /// Steps taken.
    pub step: u64,
    /// The same, from when a step was recorded into a graph: its replays count too.
    pub live: Option<Arc<LiveStep>>,
    /// By slot of the class's states.
    pub tensors: SmallVec<[Option<Tensor>; 3]>,
    pub numbers: SmallVec<[f64; 2]>,
    /// What updates by hand and users' own ones keep.
    pub named: Vec<(String, Tensor)>,
}

impl ParamState {
    pub fn count(&self) -> u64 {
        self.live.as_ref().map_or(self.step, |l| l.count())
    }
    pub fn set_count(&mut self, count: u64) {
        self.step = count;
        if let Some(l) = &self.live {
            l.set_count(count);
        }
    }
    /// The state of a parameter before its first step.
    pub fn of(o: &Options, p: &Tensor) -> Result<ParamState> {
        let mut s = ParamState::default();
        s.complete(o, p)?;
        Ok(s)
    }
    /// A tensor that is kept under a name, made at first; it follows the parameter.
    pub fn kept(&mut self, name: &str, p: &Tensor, shape: &[i64]) -> Result<Tensor> {
        match self.named.iter_mut().find(|(n, _)| n == name) {
            Some((_, t)) => {
                if t.dtype() != p.dtype() || t.device() != p.device() {
                    *t = crate::nn::convert(t, p.dtype(), p.device())?;
                }
                Ok(t.clone())
            }
            None => {
                let t = crate::ops::zeros(shape, Some(p.dtype()), Some(p.device()))?;
                self.named.push((name.into(), t.clone()));
                Ok(t)
            }
        }
    }
    /// Makes what is missing, all of it or nothing; whether something was.
    fn complete(&mut self, o: &Options, p: &Tensor) -> Result<bool> {
        let class = o.class();
        let mut fresh: SmallVec<[(usize, Tensor); 3]> = SmallVec::new();
        for (i, spec) in class.states.iter().enumerate() {
            if self.tensors.get(i).is_some_and(Option::is_some) || !(spec.used)(o) {
                continue;
            }
            let t = match (spec.init)(o) {
                0.0 => zeroed_like(p)?,
                v => crate::ops::full(&p.shape(), Scalar::Float(v), Some(p.dtype()), Some(p.device()))?,
            };
            fresh.push((i, t));
        }
        self.tensors.resize(class.states.len(), None);
        let new = !fresh.is_empty();
        fresh.into_iter().for_each(|(i, t)| self.tensors[i] = Some(t));
        for spec in &class.numbers[self.numbers.len().min(class.numbers.len())..] {
            self.numbers.push((spec.init)(o) as f32 as f64);
        }
        Ok(new)
    }
}

/// State follows a parameter that `Module::to` has moved or converted since the last step.
fn follow(state: &mut Tensor, p: &Tensor) -> Result<()> {
    if state.device() != p.device() || state.dtype() != p.dtype() {
        *state = crate::nn::convert(state, p.dtype(), p.device())?;
    }
    Ok(())
}

/// One call's worth of parameters: those that differ in nothing the kernel is told once.
#[derive(Default)]
pub(super) struct Batch {
    pub params: Vec<Tensor>,
    pub grads: Vec<Tensor>,
    pub states: Vec<Vec<Tensor>>,
    /// What each parameter's state is after the step, where that is new or has numbers.
    after: Vec<Option<ParamState>>,
}
/// Whether steps of these parameters are recorded instead of done.
/// Whether a graph records what is done on the parameters' devices.
pub(super) fn recording(params: &[Tensor]) -> Result<bool> {
    for p in params {
        if crate::backend::get(p.device())?.recording() {
            return Ok(true);
        }
    }
    Ok(false)
}
/// Why a graph does not take the steps of a class.
pub(super) fn cannot_repeat(name: &str) -> crate::Error {
    let text = format!(
        "Attempting CUDA graph capture of step() for an instance of {name}, whose numbers change from step to step on the \
         host: a graph can repeat the steps of SGD, Adam and AdamW"
    );
    crate::Error::new(crate::base::error::ErrorKind::Runtime, text)
}
/// The states that the options make use of, a bit for each of the class.
fn states_in_use(o: &Options) -> u32 {
    o.class().states.iter().enumerate().fold(0, |m, (i, s)| m | ((s.used)(o) as u32) << i)
}

/// Called with each step that a graph records.
type Record<'a> = &'a mut dyn FnMut(&Arc<LiveStep>);

/// One launch of a step: its parameters and what the kernel is told.
pub(super) struct Planned {
    pub kind: StepKind,
    pub batch: Batch,
    /// The number of this step, and whether the class counts.
    step: u64,
    counts: bool,
    name: &'static str,
}

impl Planned {
    pub fn run(&self, step: &PreparedStep, state: &mut FxHashMap<u64, ParamState>, record: Record) -> Result<()> {
        let params = &self.batch.params;
        if !recording(params)? {
            step.run(&self.kind, None)?;
        } else if let StepKind::Program { .. } = self.kind {
            return Err(cannot_repeat(self.name));
        } else {
            // Graphs that repeat the steps of the same parameters count together.
            let mut shared = params.iter().map(|p| state.get(&p.id()).and_then(|s| s.live.clone()));
            let known = shared.next().flatten().filter(|_| self.counts);
            let same = |l: &Arc<LiveStep>| shared.all(|s| s.is_some_and(|s| Arc::ptr_eq(&s, l)));
            let live = known.filter(same).unwrap_or_else(|| Arc::new(LiveStep::new(self.step - 1)));
            step.run(&self.kind, Some(&live))?;
            record(&live);
            if self.counts {
                for p in params {
                    state.entry(p.id()).or_default().live = Some(live.clone());
                }
                return Ok(());
            }
        }
        for (p, after) in params.iter().zip(&self.batch.after) {
            // Only now do new states hold something.
            if let Some(after) = after {
                state.insert(p.id(), after.clone());
            }
            if self.counts {
                if let Some(s) = state.get_mut(&p.id()) {
                    s.set_count(self.step);
                }
            }
        }
        Ok(())
    }
}

/// The calls of one group's step. `native`: by the devices' own kernels where they have one.
pub(super) fn plan(
    state: &mut FxHashMap<u64, ParamState>,
    o: &Options,
    ready: Vec<(Tensor, Tensor)>,
    native: bool,
) -> Result<Vec<Planned>> {
    let class = o.class();
    let Rule::Program { numbers, each, native: kernel } = class.rule else { return Ok(Vec::new()) };
    let kernel = kernel.filter(|_| native);
    let mask = states_in_use(o);
    let used: SmallVec<[bool; 3]> = (0..class.states.len()).map(|i| mask & 1 << i != 0).collect();
    let counts = class.count != Count::No;
    let mut batches: Vec<(u64, bool, Numbers, Batch)> = Vec::new();
    for (p, g) in ready {
        let known = state.get(&p.id());
        let ready = |s: &&ParamState| {
            s.tensors.len() == used.len() && used.iter().zip(&s.tensors).all(|(u, t)| !u || t.is_some())
        };
        let (mut new, mut first) = (None, false);
        if known.filter(ready).is_none() {
            let mut s = known.cloned().unwrap_or_default();
            first = s.complete(o, &p)?;
            new = Some(s);
        }
        let Some(s) = new.as_mut().or_else(|| state.get_mut(&p.id())) else { continue };
        s.tensors.iter_mut().flatten().try_for_each(|t| follow(t, &p))?;
        let step = if counts { s.count() + 1 } else { 1 };
        let mut n = Numbers::default();
        let mut after = s.numbers.clone();
        if kernel.is_none() {
            numbers(o, step as f64, first, &mut after, &mut n);
        }
        let states = s.tensors.iter().zip(&used).filter(|(_, u)| **u).filter_map(|(t, _)| t.clone()).collect();
        let changed = if after.is_empty() {
            None
        } else {
            let mut s = s.clone();
            s.numbers = after;
            Some(s)
        };
        let same = |b: &(u64, bool, Numbers, Batch)| b.0 == step && (b.1 == first || counts) && b.2.same(&n);
        let at = match batches.iter().position(same) {
            Some(i) => i,
            None => {
                batches.push((step, first, n, Batch::default()));
                batches.len() - 1
            }
        };
        let b = &mut batches[at].3;
        b.params.push(p);
        b.grads.push(g);
        b.states.push(states);
        b.after.push(changed.or(new));
    }
    let planned = |(step, first, n, batch): (u64, bool, Numbers, Batch)| Planned {
        kind: match kernel {
            Some(k) => native_kind(k, o, step, first),
            None => StepKind::Program { program: Arc::new(Build::program(each, n.on, mask)), scalars: n.scalars },
        },
        batch,
        step,
        counts,
        name: class.name,
    };
    Ok(batches.into_iter().map(planned).collect())
}

/// What the kernels of SGD and Adam are told; slots as in the table.
fn native_kind(k: Native, o: &Options, step: u64, first: bool) -> StepKind {
    match k {
        Native::Sgd => StepKind::Sgd {
            lr: o.number(0),
            momentum: o.number(1),
            dampening: o.number(2),
            weight_decay: o.number(3),
            nesterov: o.boolean(4),
            maximize: o.boolean(5),
            momentum_init: first,
        },
        Native::Adam => StepKind::Adam {
            lr: o.number(0),
            beta1: o.at(1, 0),
            beta2: o.at(1, 1),
            eps: o.number(2),
            weight_decay: o.number(3),
            amsgrad: o.boolean(4),
            maximize: o.boolean(6),
            decoupled: o.boolean(10),
            step: step as f64,
        },
    }
}

/// One step number `step` of the class of `o`, for callers that keep the state themselves: `states` holds those in use
/// of one parameter after the other, `numbers` the number states, which become the next ones.
pub fn list_step(
    o: &Options,
    params: &[Tensor],
    grads: &[Tensor],
    states: &[Tensor],
    step: i64,
    first: bool,
    numbers: &mut [f64],
) -> Result<()> {
    let class = o.class();
    let Rule::Program { numbers: host, each, .. } = class.rule else {
        bail!(Value, "{}: its step is no elementwise program", class.name)
    };
    ensure!(step >= 1, Value, "{}: step counts from 1, got {step}", class.name);
    ensure!(
        numbers.len() == class.numbers.len(),
        Value,
        "{}: expected {} number states, got {}",
        class.name,
        class.numbers.len(),
        numbers.len()
    );
    if params.is_empty() {
        return Ok(());
    }
    let mask = states_in_use(o);
    let count = mask.count_ones() as usize;
    ensure!(
        states.len() == count * params.len(),
        Runtime,
        "{}: expected {count} states for each of {} parameters, got {}",
        class.name,
        params.len(),
        states.len()
    );
    if recording(params)? {
        bail!(Runtime, "{}: its step cannot be captured in a graph, since its numbers change on the host", class.name);
    }
    let mut n = Numbers::default();
    host(o, step as f64, first, numbers, &mut n);
    let states: Vec<Vec<Tensor>> = match count {
        0 => vec![Vec::new(); params.len()],
        _ => states.chunks(count).map(<[Tensor]>::to_vec).collect(),
    };
    let kind = StepKind::Program { program: Arc::new(Build::program(each, n.on, mask)), scalars: n.scalars };
    let _lists = crate::backend::memory::reserve::grant(params.len().saturating_mul(STEP_BYTES))?;
    prepare_step(&kind, params, grads, &states)?.run(&kind, None)
}
