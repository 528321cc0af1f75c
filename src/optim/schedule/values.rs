//! What schedules are made of: their arguments and states, what they ask of an optimiser and of a caller.

use crate::base::sync::Mutex;
use crate::optim::{Optimizer, OptionValue};
use crate::tensor::print::{py_bool, py_float};
use crate::{bail, Result};
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

/// What changes from step to step, under PyTorch's names.
#[derive(Clone, Default)]
pub(super) struct State {
    pub last_epoch: i64,
    pub step_count: i64,
    pub base_lrs: Vec<f64>,
    pub last_lr: Vec<f64>,
    pub attributes: Vec<(&'static str, Value)>,
}

impl State {
    pub(super) fn value(&self, name: &str) -> Result<&Value> {
        match self.attributes.iter().find(|a| a.0 == name) {
            Some((_, v)) => Ok(v),
            None => bail!(Internal, "a schedule has no attribute {name}"),
        }
    }
    pub(super) fn int(&self, name: &str) -> Result<i64> {
        match self.value(name)? {
            Value::Int(v) => Ok(*v),
            other => bail!(Internal, "{name} is {other}"),
        }
    }
    pub(super) fn float(&self, name: &str) -> Result<f64> {
        match self.value(name)? {
            Value::Float(v) => Ok(*v),
            Value::Int(v) => Ok(*v as f64),
            other => bail!(Internal, "{name} is {other}"),
        }
    }
    pub(super) fn boolean(&self, name: &str) -> Result<bool> {
        Ok(*self.value(name)? == Value::Bool(true))
    }
    pub(super) fn is(&self, name: &str, word: &str) -> Result<bool> {
        Ok(matches!(self.value(name)?, Value::Text(t) if t == word))
    }
    /// One group's entry of a list.
    pub(super) fn of_group(&self, name: &str, group: usize) -> Result<f64> {
        match self.value(name)? {
            Value::Floats(v) if group < v.len() => Ok(v[group]),
            _ => bail!(Value, "the optimizer has more parameter groups than when the scheduler was made"),
        }
    }
    pub(super) fn set(&mut self, name: &'static str, v: Value) {
        match self.attributes.iter_mut().find(|a| a.0 == name) {
            Some(a) => a.1 = v,
            None => self.attributes.push((name, v)),
        }
    }
}

/// How an epoch came to be.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// The constructor's.
    Initial,
    Next,
    /// To a given epoch.
    To(f64),
}
