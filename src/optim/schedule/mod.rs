//! Learning-rate schedules, PyTorch's `lr_scheduler`: the same numbers to the last bit. What each takes stands in
//! `spec/schedules.txt`; those that are no formula are in `rules.rs`.
//!
//! A schedule is a handle on state that it shares with its copies. No lock is held while a caller's function runs, so
//! that it may look at the schedule and its optimiser.

#[rustfmt::skip]
mod entries_gen;
mod formula;
mod rules;
mod state;
#[cfg(test)]
mod tests;

pub use entries_gen::*;

use super::{Optimizer, OptionValue};
use crate::base::sync::Mutex;
use crate::tensor::print::{py_bool, py_float};
use crate::{bail, ensure, Result};
use formula::At;
use std::fmt;
use std::sync::Arc;

/// What a schedule needs of an optimiser.
pub trait Rates: Send + Sync {
    fn groups(&self) -> usize;
    fn lr(&self, group: usize) -> Result<f64>;
    fn set_lr(&self, group: usize, lr: f64) -> Result<()>;
    /// What a schedule left in a group, such as `initial_lr`.
    fn kept(&self, group: usize, name: &str) -> Option<f64>;
    fn keep(&self, group: usize, name: &str, value: f64) -> Result<()>;
    /// Whether its options have `betas`, whose first is its momentum.
    fn has_betas(&self) -> bool;
    /// momentum, or the first beta; None where the optimiser has neither.
    fn momentum(&self, group: usize) -> Option<f64>;
    fn set_momentum(&self, group: usize, momentum: f64) -> Result<()>;
}
/// A schedule's optimiser.
pub type Target = Arc<dyn Rates>;

impl Rates for Mutex<Optimizer> {
    fn groups(&self) -> usize {
        self.lock().group_count()
    }
    fn lr(&self, group: usize) -> Result<f64> {
        self.lock().lr(group)
    }
    fn set_lr(&self, group: usize, lr: f64) -> Result<()> {
        self.lock().set_group_lr(group, lr)
    }
    fn kept(&self, group: usize, name: &str) -> Option<f64> {
        self.lock().option(group, name).ok()?.number()
    }
    fn keep(&self, group: usize, name: &str, value: f64) -> Result<()> {
        self.lock().set_option(group, name, OptionValue::Float(value))
    }
    fn has_betas(&self) -> bool {
        matches!(self.lock().option(0, "betas"), Ok(OptionValue::Numbers(_)))
    }
    fn momentum(&self, group: usize) -> Option<f64> {
        let o = self.lock();
        match o.option(group, "betas") {
            Ok(OptionValue::Numbers(b)) => b.first().copied(),
            _ => o.option(group, "momentum").ok()?.number(),
        }
    }
    fn set_momentum(&self, group: usize, momentum: f64) -> Result<()> {
        let mut o = self.lock();
        match o.option(group, "betas") {
            Ok(OptionValue::Numbers(mut b)) if !b.is_empty() => {
                b[0] = momentum;
                o.set_option(group, "betas", OptionValue::Numbers(b))
            }
            _ => o.set_option(group, "momentum", OptionValue::Float(momentum)),
        }
    }
}

/// What a caller's function is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    /// The epoch (CyclicLR's scale_fn: the cycle, or the iteration).
    pub epoch: i64,
    pub group: usize,
    pub base_lr: f64,
    pub lr: f64,
}
/// A caller's function: a factor, or the rate itself (`own`).
pub type Callback = Arc<dyn Fn(&Asked) -> Result<f64> + Send + Sync>;

/// An argument or attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    None,
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => f.write_str("None"),
            Value::Int(v) => write!(f, "{v}"),
            Value::Float(v) => f.write_str(&py_float(*v)),
            Value::Bool(v) => f.write_str(py_bool(*v)),
            Value::Text(v) => write!(f, "'{v}'"),
            Value::Ints(v) => write!(f, "{v:?}"),
            // One number stands for all groups.
            Value::Floats(v) if v.len() == 1 => f.write_str(&py_float(v[0])),
            Value::Floats(v) => {
                write!(f, "[{}]", v.iter().map(|x| py_float(*x)).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What a constructor hands over.
pub(crate) struct Given {
    rule: Rule,
    name: String,
    arguments: Vec<(&'static str, Value)>,
    callback: Option<Callback>,
    schedules: Vec<Schedule>,
    last_epoch: i64,
}

/// What changes from step to step, under PyTorch's names.
#[derive(Clone, Default)]
struct State {
    last_epoch: i64,
    step_count: i64,
    base_lrs: Vec<f64>,
    last_lr: Vec<f64>,
    attributes: Vec<(&'static str, Value)>,
}

struct Inner {
    rule: Rule,
    name: String,
    /// As they were given, for printing.
    arguments: Vec<(&'static str, Value)>,
    callback: Option<Callback>,
    schedules: Vec<Schedule>,
    optimizer: Target,
    state: Mutex<State>,
}

/// A learning-rate schedule of an optimiser.
#[derive(Clone)]
pub struct Schedule(Arc<Inner>);

/// How an epoch came to be.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    /// The constructor's.
    Initial,
    Next,
    /// To a given epoch.
    To(f64),
}

impl Schedule {
    fn new(o: Option<&Target>, mut given: Given) -> Result<Schedule> {
        let optimizer = match (o, given.schedules.first()) {
            (Some(o), _) => o.clone(),
            (None, Some(s)) => s.0.optimizer.clone(),
            (None, None) => {
                bail!(Value, "{} expects at least one scheduler to be chained, but got no scheduler.", given.name)
            }
        };
        let mut state = State { last_epoch: given.last_epoch, ..State::default() };
        rules::prepare(&mut given, &*optimizer, &mut state)?;
        let own_bases = std::mem::take(&mut state.base_lrs);
        let s = Schedule(Arc::new(Inner {
            rule: given.rule,
            name: given.name,
            arguments: given.arguments,
            callback: given.callback,
            schedules: given.schedules,
            optimizer,
            state: Mutex::new(state),
        }));
        match s.0.rule {
            Rule::SequentialLR => rules::start_sequence(&s)?,
            Rule::ChainedScheduler | Rule::ReduceLROnPlateau => s.0.state.lock().last_lr = s.rates()?,
            _ => {
                s.take_initial(given.last_epoch)?;
                s.initial_step()?;
                if !own_bases.is_empty() {
                    s.0.state.lock().base_lrs = own_bases;
                }
            }
        }
        Ok(s)
    }

    /// A schedule of the caller's: a function of epoch, group, initial and present rate gives the rate.
    pub fn own(o: &Target, name: &str, f: Callback, last_epoch: i64) -> Result<Schedule> {
        let given = Given {
            rule: Rule::Own,
            name: if name.is_empty() { "LRScheduler".into() } else { name.into() },
            arguments: Vec::new(),
            callback: Some(f),
            schedules: Vec::new(),
            last_epoch,
        };
        Schedule::new(Some(o), given)
    }

    /// Remembers the groups' rates as the initial ones, or takes those that they have from before.
    fn take_initial(&self, last_epoch: i64) -> Result<()> {
        let o = &self.0.optimizer;
        let mut bases = Vec::with_capacity(o.groups());
        for g in 0..o.groups() {
            bases.push(match o.kept(g, "initial_lr") {
                Some(lr) => lr,
                None if last_epoch == -1 => {
                    let lr = o.lr(g)?;
                    o.keep(g, "initial_lr", lr)?;
                    lr
                }
                None => bail!(
                    Key,
                    "param 'initial_lr' is not specified in param_groups[{g}] when resuming scheduler with last_epoch >= \
                     0.\nThis typically happens when:\n1. You're trying to resume training from a checkpoint but haven't \
                     properly loaded the optimizer state\n2. You're using last_epoch >= 0 for a fresh training run (not \
                     recommended)"
                ),
            });
        }
        self.0.state.lock().base_lrs = bases;
        Ok(())
    }

    fn initial_step(&self) -> Result<()> {
        if matches!(self.0.rule, Rule::SequentialLR | Rule::ChainedScheduler) {
            return self.step();
        }
        self.0.state.lock().step_count = 0;
        self.move_to(Step::Initial)
    }

    /// One epoch on.
    pub fn step(&self) -> Result<()> {
        match self.0.rule {
            Rule::SequentialLR => rules::step_sequence(self),
            Rule::ChainedScheduler => rules::step_chain(self),
            Rule::ReduceLROnPlateau => {
                bail!(Type, "ReduceLROnPlateau.step() missing 1 required positional argument: 'metrics'")
            }
            _ => self.move_to(Step::Next),
        }
    }

    /// To an epoch: by the closed form where there is one. Only CosineAnnealingWarmRestarts knows parts of epochs.
    pub fn step_to(&self, epoch: f64) -> Result<()> {
        self.takes_epochs()?;
        ensure!(epoch.is_finite() && epoch.abs() < 9e15, Value, "expected an epoch, got {}", py_float(epoch));
        self.move_to(Step::To(epoch))
    }

    fn takes_epochs(&self) -> Result<()> {
        let no = matches!(self.0.rule, Rule::SequentialLR | Rule::ChainedScheduler | Rule::ReduceLROnPlateau);
        ensure!(!no, NotImplemented, "{} cannot step to an epoch", self.0.name);
        Ok(())
    }

    /// ReduceLROnPlateau: an epoch on, with the metric that it had.
    pub fn step_metric(&self, metric: f64) -> Result<()> {
        ensure!(
            self.0.rule == Rule::ReduceLROnPlateau,
            Type,
            "{}.step() takes no metric; ReduceLROnPlateau's does",
            self.0.name
        );
        rules::step_plateau(self, metric)
    }

    fn move_to(&self, how: Step) -> Result<()> {
        let mut state = self.0.state.lock().clone();
        if self.0.rule == Rule::CosineAnnealingWarmRestarts {
            rules::restart(&mut state, how)?;
            return self.commit(state, how);
        }
        state.step_count = state.step_count.saturating_add(1);
        self.update(state, how)
    }

    /// PyTorch's `_update_lr`: without counting a step.
    fn update(&self, mut state: State, how: Step) -> Result<()> {
        match how {
            Step::To(e) => {
                ensure!(e.fract() == 0.0, Value, "expected a whole epoch, got {}", py_float(e));
                state.last_epoch = e as i64;
            }
            _ => state.last_epoch = state.last_epoch.saturating_add(1),
        }
        self.commit(state, how)
    }

    /// Computes the rates of all groups, then sets them; a failure changes nothing.
    fn commit(&self, mut state: State, how: Step) -> Result<()> {
        let o = &*self.0.optimizer;
        let groups = o.groups();
        let mut rates = Vec::with_capacity(groups);
        let mut momenta = Vec::new();
        let scale = rules::scale(self, &state)?;
        for g in 0..groups {
            let at = At {
                lr: o.lr(g)?,
                base_lr: state.base_lrs.get(g).copied(),
                e: state.last_epoch as i128,
                initial: how == Step::Initial,
                count: state.step_count as i128,
                attributes: &state.attributes,
            };
            rates.push(match self.0.rule.formulas() {
                Some([_, closed]) if matches!(how, Step::To(_)) => closed(&at)?,
                Some([next, _]) => next(&at)?,
                None => rules::rate(self, &state, &at, g, how, scale, &mut momenta)?,
            });
        }
        for (g, lr) in rates.iter().enumerate() {
            o.set_lr(g, *lr)?;
        }
        for (g, m) in momenta.iter().enumerate() {
            o.set_momentum(g, *m)?;
        }
        state.last_lr = rates;
        *self.0.state.lock() = state;
        Ok(())
    }

    /// The optimiser's rates at the moment.
    fn rates(&self) -> Result<Vec<f64>> {
        (0..self.0.optimizer.groups()).map(|g| self.0.optimizer.lr(g)).collect()
    }

    /// The rates that the last step set, one for each group.
    pub fn last_lr(&self) -> Vec<f64> {
        self.0.state.lock().last_lr.clone()
    }

    /// The groups' initial rates; of schedules of schedules and ReduceLROnPlateau none.
    pub fn base_lrs(&self) -> Vec<f64> {
        self.0.state.lock().base_lrs.clone()
    }

    /// The epoch that the last step led to. A ChainedScheduler has none: its first schedule's.
    pub fn last_epoch(&self) -> i64 {
        match (self.0.rule, self.0.schedules.first()) {
            (Rule::ChainedScheduler, Some(first)) => first.last_epoch(),
            _ => self.0.state.lock().last_epoch,
        }
    }

    /// `StepLR`, or the name that a caller's own schedule has.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn optimizer(&self) -> &Target {
        &self.0.optimizer
    }
}

impl fmt::Display for Schedule {
    /// The class with its arguments: `StepLR(step_size=30, gamma=0.1)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.0.schedules.iter().map(|s| s.to_string()).collect();
        if !parts.is_empty() {
            parts = vec![format!("schedulers=[{}]", parts.join(", "))];
        }
        let state = self.0.state.lock().clone();
        for (name, given) in &self.0.arguments {
            // A state that was loaded may have changed it; a list of rates has one entry per group there.
            let now = state.attributes.iter().find(|a| a.0 == *name).map(|a| &a.1);
            let v = now.filter(|_| self.0.rule.formulas().is_some()).unwrap_or(given);
            parts.push(format!("{name}={v}"));
        }
        write!(f, "{}({})", self.0.name, parts.join(", "))
    }
}
