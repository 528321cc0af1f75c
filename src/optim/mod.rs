//! Optimisers: SGD, Adam and AdamW over parameter groups, one fused kernel call per step and dtype.
mod options;
pub mod schedule;
mod state;
pub use options::OptionValue;

use crate::backend::memory::{self, reserve::grant};
use crate::ops::fused::{prepare_step, zeroed_like, PreparedStep, STEP_BYTES};

use crate::autograd::meta;
use crate::backend::{LiveStep, StepKind};
use crate::tensor::print::{py_bool, py_float};
use crate::{autograd, bail, ensure, Result, Tensor};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::fmt;
use std::sync::{Arc, Weak};

/// Options of stochastic gradient descent; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct SgdOptions {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
}
impl Default for SgdOptions {
    fn default() -> Self {
        SgdOptions { lr: 1e-3, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, maximize: false }
    }
}

/// Options of Adam and (`decoupled`) AdamW.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamOptions {
    pub lr: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    pub weight_decay: f64,
    pub amsgrad: bool,
    pub maximize: bool,
    /// Weight decay acts on the parameter, not through the gradient.
    pub decoupled: bool,
}
impl AdamOptions {
    /// PyTorch's defaults of `Adam`.
    pub fn adam() -> Self {
        AdamOptions {
            lr: 1e-3,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            amsgrad: false,
            maximize: false,
            decoupled: false,
        }
    }
    /// PyTorch's defaults of `AdamW`: a decoupled weight decay of 0.01.
    pub fn adamw() -> Self {
        AdamOptions { weight_decay: 1e-2, decoupled: true, ..Self::adam() }
    }
}

/// The algorithm of a parameter group with its options.
#[derive(Clone, Debug, PartialEq)]
pub enum Options {
    Sgd(SgdOptions),
    Adam(AdamOptions),
}
impl Options {
    pub fn lr(&self) -> f64 {
        match self {
            Options::Sgd(o) => o.lr,
            Options::Adam(o) => o.lr,
        }
    }
    fn lr_mut(&mut self) -> &mut f64 {
        match self {
            Options::Sgd(o) => &mut o.lr,
            Options::Adam(o) => &mut o.lr,
        }
    }
    /// `SGD`, `Adam` or `AdamW`.
    pub fn name(&self) -> &'static str {
        match self {
            Options::Sgd(_) => "SGD",
            Options::Adam(o) if o.decoupled => "AdamW",
            Options::Adam(_) => "Adam",
        }
    }
    /// PyTorch's checks of the values (a Value error); NaN fails them all.
    pub fn check(&self) -> Result<()> {
        let at_least_0 = |v: f64, what: &str| {
            ensure!(v >= 0.0, Value, "Invalid {what}: {}", py_float(v));
            Ok(())
        };
        at_least_0(self.lr(), "learning rate")?;
        match self {
            Options::Sgd(o) => {
                at_least_0(o.momentum, "momentum value")?;
                at_least_0(o.weight_decay, "weight_decay value")?;
                ensure!(
                    !o.nesterov || (o.momentum > 0.0 && o.dampening == 0.0),
                    Value,
                    "Nesterov momentum requires a momentum and zero dampening"
                );
            }
            Options::Adam(o) => {
                at_least_0(o.eps, "epsilon value")?;
                for (i, b) in [o.betas.0, o.betas.1].into_iter().enumerate() {
                    ensure!((0.0..1.0).contains(&b), Value, "Invalid beta parameter at index {i}: {}", py_float(b));
                }
                at_least_0(o.weight_decay, "weight_decay value")?;
            }
        }
        Ok(())
    }
    fn same_algorithm(&self, other: &Options) -> bool {
        self.name() == other.name()
    }
}

/// Parameters that share options.
#[derive(Clone)]
pub struct ParamGroup {
    pub params: Vec<Tensor>,
    pub options: Options,
    /// What schedules keep here, such as `initial_lr`.
    pub kept: Vec<(&'static str, OptionValue)>,
}

/// What is remembered of one parameter.
#[derive(Clone, Default)]
struct ParamState {
    /// Steps taken (Adam).
    step: u64,
    /// The same, from when a step was recorded into a graph: its replays count too.
    live: Option<Arc<LiveStep>>,
    /// SGD: momentum buffer. Adam: exp_avg, exp_avg_sq and, with amsgrad, max_exp_avg_sq.
    tensors: Vec<Tensor>,
}

impl ParamState {
    fn count(&self) -> u64 {
        self.live.as_ref().map_or(self.step, |l| l.count())
    }
    fn set_count(&mut self, count: u64) {
        self.step = count;
        if let Some(l) = &self.live {
            l.set_count(count);
        }
    }
}

/// An optimiser: it changes its parameters in place from their `.grad`.
pub struct Optimizer {
    groups: Vec<ParamGroup>,
    /// By tensor id, so that a parameter moved with `Module::to` keeps its state's key.
    state: FxHashMap<u64, ParamState>,
    /// Steps that graphs repeat, by group: they follow its learning rate.
    recorded: Vec<(usize, Weak<LiveStep>)>,
}

impl Optimizer {
    /// An optimiser with one group. Fails with a Value error for no or repeated parameters, non-leaf tensors and
    /// options out of range.
    pub fn new(params: Vec<Tensor>, options: Options) -> Result<Optimizer> {
        ensure!(!params.is_empty(), Value, "optimizer got an empty parameter list");
        let mut o = Optimizer { groups: Vec::new(), state: FxHashMap::default(), recorded: Vec::new() };
        o.add_param_group(ParamGroup { params, options, kept: Vec::new() })?;
        Ok(o)
    }
    /// SGD over `params`.
    pub fn sgd(params: Vec<Tensor>, options: SgdOptions) -> Result<Optimizer> {
        Optimizer::new(params, Options::Sgd(options))
    }
    /// Adam or AdamW over `params`.
    pub fn adam(params: Vec<Tensor>, options: AdamOptions) -> Result<Optimizer> {
        Optimizer::new(params, Options::Adam(options))
    }
    /// Adds parameters with options of their own (of the same algorithm). Fails as [`Optimizer::new`] does.
    pub fn add_param_group(&mut self, group: ParamGroup) -> Result<()> {
        group.options.check()?;
        if let Some(first) = self.groups.first() {
            ensure!(
                first.options.same_algorithm(&group.options),
                Value,
                "cannot add a parameter group of {} to an optimizer of {}",
                group.options.name(),
                first.options.name()
            );
        }
        let mut seen: FxHashSet<u64> = self.groups.iter().flat_map(|g| g.params.iter().map(Tensor::id)).collect();
        for p in &group.params {
            ensure!(autograd::is_leaf(p), Value, "can't optimize a non-leaf Tensor");
            ensure!(seen.insert(p.id()), Value, "some parameters appear in more than one parameter group");
        }
        self.groups.push(group);
        Ok(())
    }
    pub fn groups(&self) -> &[ParamGroup] {
        &self.groups
    }
    /// Replaces the options of a group (of the same algorithm), checked.
    pub fn set_options(&mut self, group: usize, options: Options) -> Result<()> {
        options.check()?;
        let n = self.groups.len();
        let Some(g) = self.groups.get_mut(group) else {
            bail!(Index, "parameter group {group} is out of range: there are {n}");
        };
        ensure!(
            g.options.same_algorithm(&options),
            Value,
            "expected options of {}, got {}",
            g.options.name(),
            options.name()
        );
        g.options = options;
        self.tell_graphs(group);
        Ok(())
    }
    /// Passes a group's learning rate on to the graphs that repeat its steps.
    fn tell_graphs(&mut self, group: usize) {
        let lr = self.groups[group].options.lr();
        self.recorded.retain(|(g, live)| match live.upgrade() {
            Some(l) => {
                if *g == group {
                    l.set_lr(lr);
                }
                true
            }
            None => false,
        });
    }
    /// Learning rate of a group; an Index error when there is no such group.
    pub fn lr(&self, group: usize) -> Result<f64> {
        match self.groups.get(group) {
            Some(g) => Ok(g.options.lr()),
            None => bail!(Index, "parameter group {group} is out of range: there are {}", self.groups.len()),
        }
    }
    /// Sets the learning rate of all groups; a Value error when it is negative or NaN.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        (0..self.groups.len()).try_for_each(|g| self.set_group_lr(g, lr))
    }
    /// Sets the learning rate of one group.
    pub fn set_group_lr(&mut self, group: usize, lr: f64) -> Result<()> {
        self.lr(group)?;
        ensure!(lr >= 0.0, Value, "Invalid learning rate: {}", py_float(lr));
        *self.groups[group].options.lr_mut() = lr;
        self.tell_graphs(group);
        Ok(())
    }
    /// Drops the gradients of all parameters, or (`set_to_none` false) sets them to zero.
    pub fn zero_grad(&self, set_to_none: bool) -> Result<()> {
        self.groups.iter().try_for_each(|g| crate::nn::zero_grad(&g.params, set_to_none))
    }

    /// One step over all parameters that have a gradient, or an error and no step: all memory is obtained before the
    /// first parameter is changed. While a graph is captured the step is recorded and not done: it is the next one of
    /// each replay, which counts as a step and takes the learning rate that is set then.
    pub fn step(&mut self) -> Result<()> {
        let (state, recorded) = (&mut self.state, &mut self.recorded);
        autograd::no_grad(|| {
            let count: usize = self.groups.iter().map(|g| g.params.len()).sum();
            let _lists = grant(count.saturating_mul(2 * STEP_BYTES))?;
            state.try_reserve(count).map_err(|_| memory::out_of_memory(count))?;
            let mut plans = memory::with_capacity(self.groups.len())?;
            for g in &self.groups {
                let mut ready = memory::with_capacity(g.params.len())?;
                ready.extend(g.params.iter().filter_map(|p| Some((p.clone(), meta::grad(p)?))));
                plans.push(match &g.options {
                    Options::Sgd(o) => plan_sgd(state, o, ready)?,
                    Options::Adam(o) => plan_adam(state, o, ready)?,
                });
            }
            let prepared = memory::try_collect(
                plans.iter().flatten().map(|c| prepare_step(&c.kind, &c.batch.params, &c.batch.grads, &c.batch.states)),
            )?;
            let mut prepared = prepared.iter();
            for (i, plan) in plans.iter().enumerate() {
                for call in plan {
                    let Some(step) = prepared.next() else { break };
                    call.run(step, state, &mut |live| recorded.push((i, Arc::downgrade(live))))?;
                }
            }
            Ok(())
        })
    }
}

/// One call's worth of parameters: those that differ in nothing the kernel is told once.
#[derive(Default)]
struct Batch {
    params: Vec<Tensor>,
    grads: Vec<Tensor>,
    states: Vec<Vec<Tensor>>,
}
impl Batch {
    fn push(&mut self, p: Tensor, g: Tensor, s: Vec<Tensor>) {
        self.params.push(p);
        self.grads.push(g);
        self.states.push(s);
    }
    /// Whether the step is recorded instead of done.
    fn recording(&self) -> Result<bool> {
        for p in &self.params {
            if crate::backend::get(p.device())?.recording() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// State follows a parameter that `Module::to` has moved or converted since the last step.
fn follow(state: &mut Tensor, p: &Tensor) -> Result<()> {
    if state.device() != p.device() || state.dtype() != p.dtype() {
        *state = crate::nn::convert(state, p.dtype(), p.device())?;
    }
    Ok(())
}

/// Called with each step that a graph records.
type Record<'a> = &'a mut dyn FnMut(&Arc<LiveStep>);

/// One launch of a step: its parameters and what the kernel is told.
struct Planned {
    kind: StepKind,
    batch: Batch,
}

impl Planned {
    fn run(&self, step: &PreparedStep, state: &mut FxHashMap<u64, ParamState>, record: Record) -> Result<()> {
        let recording = self.batch.recording()?;
        match &self.kind {
            StepKind::Sgd { momentum_init, .. } => {
                let live = if recording { Some(Arc::new(LiveStep::new(0))) } else { None };
                step.run(&self.kind, live.as_ref())?;
                live.iter().for_each(record);
                if *momentum_init {
                    // Only now do the buffers hold something.
                    for (p, s) in self.batch.params.iter().zip(&self.batch.states) {
                        state.insert(p.id(), ParamState { tensors: s.clone(), ..ParamState::default() });
                    }
                }
            }
            StepKind::Adam { step: number, .. } if recording => {
                // Graphs that repeat the steps of the same parameters count together.
                let mut shared = self.batch.params.iter().map(|p| state.get(&p.id()).and_then(|s| s.live.clone()));
                let known = shared.next().flatten();
                let same = |l: &Arc<LiveStep>| shared.all(|s| s.is_some_and(|s| Arc::ptr_eq(&s, l)));
                let live = known.filter(same).unwrap_or_else(|| Arc::new(LiveStep::new(*number as u64 - 1)));
                step.run(&self.kind, Some(&live))?;
                record(&live);
                for p in &self.batch.params {
                    state.entry(p.id()).or_default().live = Some(live.clone());
                }
            }
            StepKind::Adam { step: number, .. } => {
                step.run(&self.kind, None)?;
                for p in &self.batch.params {
                    if let Some(s) = state.get_mut(&p.id()) {
                        s.set_count(*number as u64);
                    }
                }
            }
        }
        Ok(())
    }
}

fn plan_sgd(
    state: &mut FxHashMap<u64, ParamState>,
    o: &SgdOptions,
    ready: Vec<(Tensor, Tensor)>,
) -> Result<Vec<Planned>> {
    // New momentum buffers take the gradient as it is; the others are damped.
    let (mut old, mut new) = (Batch::default(), Batch::default());
    for (p, g) in ready {
        if o.momentum == 0.0 {
            old.push(p, g, vec![]);
            continue;
        }
        match state.get_mut(&p.id()).and_then(|s| s.tensors.first_mut()) {
            Some(buffer) => {
                follow(buffer, &p)?;
                let buffer = buffer.clone();
                old.push(p, g, vec![buffer]);
            }
            None => {
                let buffer = Tensor::empty(&p.shape(), p.dtype(), p.device())?;
                new.push(p, g, vec![buffer]);
            }
        }
    }
    let planned = |(batch, momentum_init): (Batch, bool)| Planned {
        kind: StepKind::Sgd {
            lr: o.lr,
            momentum: o.momentum,
            dampening: o.dampening,
            weight_decay: o.weight_decay,
            nesterov: o.nesterov,
            maximize: o.maximize,
            momentum_init,
        },
        batch,
    };
    Ok([(old, false), (new, true)].into_iter().filter(|(b, _)| !b.params.is_empty()).map(planned).collect())
}

fn plan_adam(
    state: &mut FxHashMap<u64, ParamState>,
    o: &AdamOptions,
    ready: Vec<(Tensor, Tensor)>,
) -> Result<Vec<Planned>> {
    let mut batches: Vec<(u64, Batch)> = Vec::new();
    let want = 2 + o.amsgrad as usize;
    for (p, g) in ready {
        let have = state.get(&p.id()).map_or(0, |s| s.tensors.len());
        // All of them or none.
        let fresh = (have..want).map(|_| zeroed_like(&p)).collect::<Result<SmallVec<[Tensor; 3]>>>()?;
        let s = state.entry(p.id()).or_default();
        s.tensors.extend(fresh);
        s.tensors.iter_mut().try_for_each(|t| follow(t, &p))?;
        let step = s.count() + 1;
        let tensors = s.tensors[..want].to_vec();
        let at = match batches.iter().position(|(k, _)| *k == step) {
            Some(i) => i,
            None => {
                batches.push((step, Batch::default()));
                batches.len() - 1
            }
        };
        batches[at].1.push(p, g, tensors);
    }
    let planned = |(step, batch): (u64, Batch)| Planned {
        kind: StepKind::Adam {
            lr: o.lr,
            beta1: o.betas.0,
            beta2: o.betas.1,
            eps: o.eps,
            weight_decay: o.weight_decay,
            amsgrad: o.amsgrad,
            maximize: o.maximize,
            decoupled: o.decoupled,
            step: step as f64,
        },
        batch,
    };
    Ok(batches.into_iter().map(planned).collect())
}

/// PyTorch's text, with the options that Taper has.
impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.groups.first().map_or("Optimizer", |g| g.options.name()))?;
        for (i, g) in self.groups.iter().enumerate() {
            let lines: Vec<(&str, String)> = match &g.options {
                Options::Sgd(o) => vec![
                    ("dampening", py_float(o.dampening)),
                    ("lr", py_float(o.lr)),
                    ("maximize", py_bool(o.maximize).into()),
                    ("momentum", py_float(o.momentum)),
                    ("nesterov", py_bool(o.nesterov).into()),
                    ("weight_decay", py_float(o.weight_decay)),
                ],
                Options::Adam(o) => vec![
                    ("amsgrad", py_bool(o.amsgrad).into()),
                    ("betas", format!("({}, {})", py_float(o.betas.0), py_float(o.betas.1))),
                    ("eps", py_float(o.eps)),
                    ("lr", py_float(o.lr)),
                    ("maximize", py_bool(o.maximize).into()),
                    ("weight_decay", py_float(o.weight_decay)),
                ],
            };
            write!(f, "\nParameter Group {i}")?;
            for (name, value) in lines {
                write!(f, "\n    {name}: {value}")?;
            }
        }
        f.write_str("\n)")
    }
}

#[cfg(test)]
mod tests;
