//! A schedule: a state, moved from epoch to epoch by its rule.

use super::formula::At;
use super::rules::{self, Made};
use super::rules_gen::Rule;
use super::values::{Callback, State, Step, Target, Value};
use crate::base::sync::Mutex;
use crate::tensor::print::py_float;
use crate::{bail, ensure, Result};
use std::fmt;
use std::sync::Arc;

/// What a constructor hands over.
pub(super) struct Given {
    pub rule: Rule,
    pub name: String,
    pub arguments: Vec<(&'static str, Value)>,
    pub callback: Option<Callback>,
    pub schedules: Vec<Schedule>,
    pub last_epoch: i64,
}

pub(super) struct Inner {
    pub made: Made,
    pub schedules: Vec<Schedule>,
    pub state: Mutex<State>,
}

/// A learning-rate schedule of an optimiser.
#[derive(Clone)]
pub struct Schedule(pub(super) Arc<Inner>);

impl Schedule {
    pub(super) fn new(o: Option<&Target>, given: Given) -> Result<Schedule> {
        let optimizer = match (o, given.schedules.first()) {
            (Some(o), _) => o.clone(),
            (None, Some(s)) => s.0.made.optimizer.clone(),
            (None, None) => {
                bail!(Value, "{} expects at least one scheduler to be chained, but got no scheduler.", given.name)
            }
        };
        let (schedules, last_epoch) = (given.schedules, given.last_epoch);
        let made = Made {
            rule: given.rule,
            name: given.name,
            arguments: given.arguments,
            callback: given.callback,
            optimizer,
        };
        let mut state = State { last_epoch, ..State::default() };
        rules::prepare(&made, last_epoch, &mut state)?;
        if matches!(made.rule, Rule::SequentialLR | Rule::ChainedScheduler) {
            check_schedules(&made, &schedules, &mut state)?;
        }
        let own_bases = std::mem::take(&mut state.base_lrs);
        let s = Schedule(Arc::new(Inner { made, schedules, state: Mutex::new(state) }));
        match s.0.made.rule {
            Rule::SequentialLR => start_sequence(&s)?,
            Rule::ChainedScheduler | Rule::ReduceLROnPlateau => s.0.state.lock().last_lr = s.0.made.rates()?,
            _ => {
                s.take_initial(last_epoch)?;
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
        let o = &self.0.made.optimizer;
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
        if matches!(self.0.made.rule, Rule::SequentialLR | Rule::ChainedScheduler) {
            return self.step();
        }
        self.0.state.lock().step_count = 0;
        self.move_to(Step::Initial)
    }

    /// One epoch on.
    pub fn step(&self) -> Result<()> {
        match self.0.made.rule {
            Rule::SequentialLR => step_sequence(self),
            Rule::ChainedScheduler => step_chain(self),
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
        let no = matches!(self.0.made.rule, Rule::SequentialLR | Rule::ChainedScheduler | Rule::ReduceLROnPlateau);
        ensure!(!no, NotImplemented, "{} cannot step to an epoch", self.0.made.name);
        Ok(())
    }

    /// ReduceLROnPlateau: an epoch on, with the metric that it had.
    pub fn step_metric(&self, metric: f64) -> Result<()> {
        ensure!(
            self.0.made.rule == Rule::ReduceLROnPlateau,
            Type,
            "{}.step() takes no metric; ReduceLROnPlateau's does",
            self.0.made.name
        );
        let state = self.0.state.lock().clone();
        let state = rules::step_plateau(&self.0.made, state, metric)?;
        *self.0.state.lock() = state;
        Ok(())
    }

    fn move_to(&self, how: Step) -> Result<()> {
        let mut state = self.0.state.lock().clone();
        if self.0.made.rule == Rule::CosineAnnealingWarmRestarts {
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
        let o = &*self.0.made.optimizer;
        let groups = o.groups();
        let mut rates = Vec::with_capacity(groups);
        let mut momenta = Vec::new();
        let scale = rules::scale(&self.0.made, &state)?;
        for g in 0..groups {
            let at = At {
                lr: o.lr(g)?,
                base_lr: state.base_lrs.get(g).copied(),
                e: state.last_epoch as i128,
                initial: how == Step::Initial,
                count: state.step_count as i128,
                attributes: &state.attributes,
            };
            rates.push(match self.0.made.rule.formulas() {
                Some([_, closed]) if matches!(how, Step::To(_)) => closed(&at)?,
                Some([next, _]) => next(&at)?,
                None => rules::rate(&self.0.made, &state, &at, g, how, scale, &mut momenta)?,
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
        match (self.0.made.rule, self.0.schedules.first()) {
            (Rule::ChainedScheduler, Some(first)) => first.last_epoch(),
            _ => self.0.state.lock().last_epoch,
        }
    }

    /// `StepLR`, or the name that a caller's own schedule has.
    pub fn name(&self) -> &str {
        &self.0.made.name
    }

    pub fn optimizer(&self) -> &Target {
        &self.0.made.optimizer
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
        for (name, given) in &self.0.made.arguments {
            // A state that was loaded may have changed it; a list of rates has one entry per group there.
            let now = state.attributes.iter().find(|a| a.0 == *name).map(|a| &a.1);
            let v = now.filter(|_| self.0.made.rule.formulas().is_some()).unwrap_or(given);
            parts.push(format!("{name}={v}"));
        }
        write!(f, "{}({})", self.0.made.name, parts.join(", "))
    }
}

/// The schedules of a SequentialLR or ChainedScheduler fit together.
fn check_schedules(made: &Made, schedules: &[Schedule], state: &mut State) -> Result<()> {
    let name = &made.name;
    ensure!(!schedules.is_empty(), Value, "{name} expects at least one scheduler, but got no scheduler.");
    for (i, s) in schedules.iter().enumerate() {
        ensure!(
            s.0.made.rule != Rule::ReduceLROnPlateau,
            Value,
            "{name} does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs to be \
             specified when calling `step`, but got one at index {i} in the given schedulers sequence."
        );
        ensure!(
            std::ptr::addr_eq(std::sync::Arc::as_ptr(&s.0.made.optimizer), &*made.optimizer),
            Value,
            "{name} expects all schedulers to belong to the same optimizer, but got scheduler {} at index {i} \
             with a different one",
            s.0.made.name
        );
    }
    let milestones = made.arguments.iter().find(|a| a.0 == "milestones").map(|a| &a.1);
    if let Some(Value::Ints(m)) = milestones {
        ensure!(
            m.len() + 1 == schedules.len(),
            Value,
            "Sequential Schedulers expects number of schedulers provided to be one more than the number of \
             milestone points, but got number of schedulers {} and the number of milestones to be equal to {}",
            schedules.len(),
            m.len()
        );
        state.set("_milestones", Value::Ints(m.clone()));
    }
    Ok(())
}

/// SequentialLR: each schedule made its first step when it was made; the first one starts again.
fn start_sequence(s: &Schedule) -> Result<()> {
    let o = &*s.0.made.optimizer;
    for g in 0..o.groups() {
        o.set_lr(g, rules::kept(o, g, "initial_lr")?)?;
    }
    s.0.schedules.iter().for_each(undo);
    let first = &s.0.schedules[current(s, 0)?];
    first.initial_step()?;
    let last_lr = first.last_lr();
    let mut state = s.0.state.lock();
    state.last_epoch = state.last_epoch.saturating_add(1);
    state.last_lr = last_lr;
    Ok(())
}

fn undo(s: &Schedule) {
    if s.0.schedules.is_empty() {
        let mut state = s.0.state.lock();
        state.last_epoch = state.last_epoch.saturating_sub(1);
    }
    s.0.schedules.iter().for_each(undo);
}

/// Whose turn an epoch is.
fn current(s: &Schedule, epoch: i64) -> Result<usize> {
    let state = s.0.state.lock();
    let Value::Ints(m) = state.value("_milestones")? else { bail!(Internal, "milestones are no ints") };
    Ok(m.partition_point(|v| *v <= epoch).min(s.0.schedules.len() - 1))
}

fn step_sequence(s: &Schedule) -> Result<()> {
    let epoch = s.0.state.lock().last_epoch.saturating_add(1);
    let i = current(s, epoch)?;
    let now = &s.0.schedules[i];
    let begins = i > 0 && {
        let state = s.0.state.lock();
        matches!(state.value("_milestones")?, Value::Ints(m) if m[i - 1] == epoch)
    };
    if begins {
        now.takes_epochs()?;
        let state = now.0.state.lock().clone();
        now.update(state, Step::To(0.0))?;
    } else {
        now.step()?;
    }
    let last_lr = now.last_lr();
    let mut state = s.0.state.lock();
    state.last_epoch = epoch;
    state.last_lr = last_lr;
    Ok(())
}

fn step_chain(s: &Schedule) -> Result<()> {
    s.0.schedules.iter().try_for_each(Schedule::step)?;
    let rates = s.0.made.rates()?;
    s.0.state.lock().last_lr = rates;
    Ok(())
}
