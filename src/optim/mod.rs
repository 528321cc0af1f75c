//! Optimisers over parameter groups. What `spec/optim.txt` declares is a table (`table_gen.rs`): a step of those whose
//! update is elementwise is one call of the device per group, step number and dtype.
mod class;
mod hand;
mod named;
mod options;
mod plan;
pub mod schedule;
mod state;
#[rustfmt::skip]
mod table_gen;
pub use class::{Count, Default as OptionDefault, Hand, Kind, OptionSpec};
pub use hand::lbfgs::Closure;
pub use options::{Class, OptionValue, Options, Rule};
pub use plan::{list_step, ParamGroup};
pub use table_gen::CLASSES;

use crate::backend::memory::{self, reserve::grant};
use crate::backend::LiveStep;
use crate::base::sync::Mutex;
use crate::ops::fused::{prepare_step, STEP_BYTES};

use crate::autograd::meta;
use crate::tensor::print::py_float;
use crate::{autograd, bail, ensure, Result, Tensor};
use hand::lbfgs::with_grad;
use plan::ParamState;
use rustc_hash::{FxHashMap, FxHashSet};
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

/// A user's own update.
pub trait Own: Send + Sync {
    /// One step: the optimiser's groups, options and state are read and set through it; its lock is free.
    fn step(&self, o: &Arc<Mutex<Optimizer>>) -> Result<()>;
}

/// An optimiser: it changes its parameters in place from their `.grad`.
pub struct Optimizer {
    groups: Vec<ParamGroup>,
    /// What a group has that is added without options.
    defaults: Options,
    /// By tensor id, so that a parameter moved with `Module::to` keeps its state's key.
    state: FxHashMap<u64, ParamState>,
    /// Steps that graphs repeat, by group: they follow its learning rate.
    recorded: Vec<(usize, Weak<LiveStep>)>,
    own: Option<Arc<dyn Own>>,
    lbfgs: hand::lbfgs::State,
    /// Steps by programs where a device has a kernel of its own too: for tests.
    #[cfg(test)]
    programs: bool,
}

impl Optimizer {
    /// An optimiser with one group. Fails with a Value error for no or repeated parameters, non-leaf tensors and
    /// options out of range.
    pub fn new(params: Vec<Tensor>, options: impl Into<Options>) -> Result<Optimizer> {
        let mut options = options.into();
        ensure!(!params.is_empty(), Value, "optimizer got an empty parameter list");
        hand::complete(&mut options)?;
        let mut o = Optimizer {
            groups: Vec::new(),
            defaults: options.clone(),
            state: FxHashMap::default(),
            recorded: Vec::new(),
            own: None,
            lbfgs: hand::lbfgs::State::default(),
            #[cfg(test)]
            programs: false,
        };
        o.add_param_group(ParamGroup { params, options })?;
        Ok(o)
    }
    /// One whose update comes from outside; options of any name may be set.
    pub fn own(name: &str, params: Vec<Tensor>, update: Arc<dyn Own>) -> Result<Optimizer> {
        Ok(Optimizer { own: Some(update), ..Optimizer::new(params, Options::own(name))? })
    }
    /// SGD over `params`.
    pub fn sgd(params: Vec<Tensor>, options: SgdOptions) -> Result<Optimizer> {
        Optimizer::new(params, options)
    }
    /// Adam or AdamW over `params`.
    pub fn adam(params: Vec<Tensor>, options: AdamOptions) -> Result<Optimizer> {
        Optimizer::new(params, options)
    }
    /// Adds parameters with options of their own (of the same algorithm). Fails as [`Optimizer::new`] does.
    pub fn add_param_group(&mut self, group: ParamGroup) -> Result<()> {
        options::check_numbers(&group.options)?;
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
        hand::check_group(self.groups.len(), &group)?;
        let mut seen: FxHashSet<u64> = self.groups.iter().flat_map(|g| g.params.iter().map(Tensor::id)).collect();
        for p in &group.params {
            ensure!(autograd::is_leaf(p), Value, "can't optimize a non-leaf Tensor");
            ensure!(seen.insert(p.id()), Value, "some parameters appear in more than one parameter group");
        }
        if group.options.class().count == Count::FromTheBeginning {
            for p in &group.params {
                let s = ParamState::of(&group.options, p)?;
                self.state.insert(p.id(), s);
            }
        }
        self.groups.push(group);
        Ok(())
    }
    /// Options that a group has unless it is given others.
    pub fn defaults(&self) -> &Options {
        &self.defaults
    }
    /// The optimiser's name, such as `AdamW`.
    pub fn name(&self) -> &str {
        self.defaults.name()
    }
    /// A group, or an Index error.
    pub fn group(&self, group: usize) -> Result<&ParamGroup> {
        match self.groups.get(group) {
            Some(g) => Ok(g),
            None => bail!(Index, "parameter group {group} is out of range: there are {}", self.groups.len()),
        }
    }
    pub fn groups(&self) -> &[ParamGroup] {
        &self.groups
    }
    /// Replaces the options of a group (of the same algorithm), checked.
    pub fn set_options(&mut self, group: usize, options: impl Into<Options>) -> Result<()> {
        let options = options.into();
        options::check_numbers(&options)?;
        options.check()?;
        let g = &self.group(group)?.options;
        ensure!(g.same_algorithm(&options), Value, "expected options of {}, got {}", g.name(), options.name());
        self.groups[group].options = options;
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
        Ok(self.group(group)?.options.lr())
    }
    /// Sets the learning rate of all groups; a Value error when it is negative or NaN.
    pub fn set_lr(&mut self, lr: f64) -> Result<()> {
        (0..self.groups.len()).try_for_each(|g| self.set_group_lr(g, lr))
    }
    /// Sets the learning rate of one group.
    pub fn set_group_lr(&mut self, group: usize, lr: f64) -> Result<()> {
        self.group(group)?;
        ensure!(lr >= 0.0, Value, "Invalid learning rate: {}", py_float(lr));
        self.groups[group].options.set("lr", OptionValue::Float(lr))?;
        self.tell_graphs(group);
        Ok(())
    }
    /// Number of parameter groups.
    pub fn group_count(&self) -> usize {
        self.groups().len()
    }
    /// An option of a group by PyTorch's name, or what a schedule keeps there (`initial_lr`). A Key error when the
    /// group has none of that name, an Index error when there is no such group.
    pub fn option(&self, group: usize, name: &str) -> Result<OptionValue> {
        self.group(group)?.options.option(name)
    }
    /// Sets an option of a group, or what a schedule keeps there. Fails as [`Optimizer::option`] does, with a
    /// Type error for a value of the wrong kind, and with PyTorch's Value error where it is out of range.
    pub fn set_option(&mut self, group: usize, name: &str, value: OptionValue) -> Result<()> {
        let options = self.group(group)?.options.clone().with(name, value)?;
        self.set_options(group, options)
    }
    /// Drops the gradients of all parameters, or (`set_to_none` false) sets them to zero.
    pub fn zero_grad(&self, set_to_none: bool) -> Result<()> {
        self.groups.iter().try_for_each(|g| crate::nn::zero_grad(&g.params, set_to_none))
    }

    /// One step over all parameters that have a gradient, or an error and no step: all memory is obtained before the
    /// first parameter is changed. While a graph is captured the step is recorded and not done: it is the next one of
    /// each replay, which counts as a step and takes the learning rate that is set then.
    pub fn step(&mut self) -> Result<()> {
        match self.defaults.class().rule {
            Rule::Program { .. } => self.step_programs(),
            Rule::ByHand(Hand::Lbfgs) => {
                bail!(Type, "LBFGS.step() missing 1 required positional argument: 'closure'")
            }
            Rule::ByHand(hand) => autograd::no_grad(|| hand::step(&self.groups, &mut self.state, hand)),
            Rule::Own => bail!(Runtime, "{} is stepped through its handle", self.name()),
        }
    }
    fn step_programs(&mut self) -> Result<()> {
        #[cfg(test)]
        let native = !self.programs;
        #[cfg(not(test))]
        let native = true;
        let (state, recorded) = (&mut self.state, &mut self.recorded);
        autograd::no_grad(|| {
            let count: usize = self.groups.iter().map(|g| g.params.len()).sum();
            let _lists = grant(count.saturating_mul(2 * STEP_BYTES))?;
            state.try_reserve(count).map_err(|_| memory::out_of_memory(count))?;
            let mut plans = memory::with_capacity(self.groups.len())?;
            for g in &self.groups {
                let mut ready = memory::with_capacity(g.params.len())?;
                ready.extend(g.params.iter().filter_map(|p| Some((p.clone(), meta::grad(p)?))));
                plans.push(plan::plan(state, &g.options, ready, native)?);
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
    /// A tensor that a user's own update keeps for a parameter.
    pub fn own_state(&self, p: &Tensor, name: &str) -> Option<Tensor> {
        let named = &self.state.get(&p.id())?.named;
        named.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone())
    }
    /// Keeps a tensor for a parameter under a name; None forgets it.
    pub fn set_own_state(&mut self, p: &Tensor, name: &str, value: Option<Tensor>) -> Result<()> {
        let known = self.groups.iter().any(|g| g.params.iter().any(|q| q.id() == p.id()));
        ensure!(known, Value, "the tensor is no parameter of this {}", self.name());
        let named = &mut self.state.entry(p.id()).or_default().named;
        named.retain(|(n, _)| n != name);
        named.extend(value.map(|t| (name.to_string(), t)));
        Ok(())
    }
}

/// One step of a shared optimiser. The closure, where given, is called first, with gradients recorded and the lock free;
/// its loss is returned. L-BFGS needs one and calls it several times.
pub fn step(o: &Arc<Mutex<Optimizer>>, closure: Option<Closure>) -> Result<Option<Tensor>> {
    let (rule, own) = {
        let o = o.lock();
        (o.defaults.class().rule, o.own.clone())
    };
    if let Some(closure) = closure {
        if let Rule::ByHand(Hand::Lbfgs) = rule {
            return lbfgs_step(o, closure).map(Some);
        }
        let loss = with_grad(closure)?;
        return step(o, None).map(|_| Some(loss));
    }
    match own {
        Some(own) => autograd::no_grad(|| own.step(o))?,
        None => o.lock().step()?,
    }
    Ok(None)
}

/// A step of L-BFGS; the lock is free while the closure runs.
fn lbfgs_step(o: &Arc<Mutex<Optimizer>>, closure: Closure) -> Result<Tensor> {
    let (group, mut state) = {
        let mut o = o.lock();
        ensure!(o.groups.len() == 1, Runtime, "Expected exactly one param_group, but got {}", o.groups.len());
        (o.groups[0].clone(), std::mem::take(&mut o.lbfgs))
    };
    let result = hand::lbfgs::step(group, &mut state, closure);
    o.lock().lbfgs = state;
    result
}

/// PyTorch's text.
impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.name())?;
        for (i, g) in self.groups.iter().enumerate() {
            write!(f, "\nParameter Group {i}")?;
            for (name, value) in g.options.lines() {
                write!(f, "\n    {name}: {value}")?;
            }
        }
        f.write_str("\n)")
    }
}

#[cfg(test)]
mod recorded_tests;
#[cfg(test)]
mod tests;
