//! The options of a parameter group by name, as a schedule or another language reads and sets them.

use super::{Optimizer, Options};
use crate::{bail, ensure, Result};
use smallvec::SmallVec;

/// The value of an option.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A tuple, such as betas; NaN stands for a None in it.
    Numbers(SmallVec<[f64; 3]>),
    Text(String),
}
impl OptionValue {
    /// A tuple of two.
    pub fn pair(a: f64, b: f64) -> OptionValue {
        OptionValue::Numbers(SmallVec::from_slice(&[a, b]))
    }
    /// A number, where it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            OptionValue::Float(v) => Some(*v),
            OptionValue::Int(v) => Some(*v as f64),
            OptionValue::Bool(v) => Some(*v as u8 as f64),
            _ => None,
        }
    }
}

/// What schedules keep in a group besides the options.
const KEPT: &[&str] = &["initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"];

impl Optimizer {
    /// Number of parameter groups.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }
    /// An option of a group by PyTorch's name, or what a schedule keeps there (`initial_lr`). A Key error when the
    /// group has none of that name, an Index error when there is no such group.
    pub fn option(&self, group: usize, name: &str) -> Result<OptionValue> {
        self.lr(group)?;
        let g = &self.groups[group];
        if let Some((_, v)) = g.kept.iter().find(|(n, _)| *n == name) {
            return Ok(v.clone());
        }
        let v = match &g.options {
            Options::Sgd(o) => match name {
                "lr" => OptionValue::Float(o.lr),
                "momentum" => OptionValue::Float(o.momentum),
                "dampening" => OptionValue::Float(o.dampening),
                "weight_decay" => OptionValue::Float(o.weight_decay),
                "nesterov" => OptionValue::Bool(o.nesterov),
                "maximize" => OptionValue::Bool(o.maximize),
                _ => OptionValue::None,
            },
            Options::Adam(o) => match name {
                "lr" => OptionValue::Float(o.lr),
                "betas" => OptionValue::pair(o.betas.0, o.betas.1),
                "eps" => OptionValue::Float(o.eps),
                "weight_decay" => OptionValue::Float(o.weight_decay),
                "amsgrad" => OptionValue::Bool(o.amsgrad),
                "maximize" => OptionValue::Bool(o.maximize),
                _ => OptionValue::None,
            },
        };
        ensure!(v != OptionValue::None, Key, "{} has no option \"{name}\"", g.options.name());
        Ok(v)
    }
    /// Sets an option of a group, or what a schedule keeps there. Fails as [`Optimizer::option`] does, and with a Type
    /// error for a value of the wrong kind.
    pub fn set_option(&mut self, group: usize, name: &str, value: OptionValue) -> Result<()> {
        if let Some(known) = KEPT.iter().find(|k| **k == name) {
            self.lr(group)?;
            let kept = &mut self.groups[group].kept;
            kept.retain(|(n, _)| *n != name);
            kept.push((known, value));
            return Ok(());
        }
        self.option(group, name)?;
        let mut options = self.groups[group].options.clone();
        let number = value.number();
        let class = options.name();
        let put = |to: &mut f64| match number {
            Some(v) => {
                *to = v;
                Ok(())
            }
            None => bail!(Type, "{class}: option \"{name}\" must be a number, got {value:?}"),
        };
        match &mut options {
            Options::Sgd(o) => match name {
                "lr" => put(&mut o.lr)?,
                "momentum" => put(&mut o.momentum)?,
                "dampening" => put(&mut o.dampening)?,
                "weight_decay" => put(&mut o.weight_decay)?,
                "nesterov" => o.nesterov = number == Some(1.0),
                _ => o.maximize = number == Some(1.0),
            },
            Options::Adam(o) => match name {
                "lr" => put(&mut o.lr)?,
                "betas" => match &value {
                    OptionValue::Numbers(n) if n.len() == 2 => o.betas = (n[0], n[1]),
                    _ => bail!(Type, "{class}: option \"betas\" must be 2 numbers, got {value:?}"),
                },
                "eps" => put(&mut o.eps)?,
                "weight_decay" => put(&mut o.weight_decay)?,
                "amsgrad" => o.amsgrad = number == Some(1.0),
                _ => o.maximize = number == Some(1.0),
            },
        }
        self.set_options(group, options)
    }
}
