//! What an optimiser is, and the options of a parameter group: values by slot for the update, by name for everybody else.

use super::class::{Build, Count, Default as Given, Hand, Kind, Native, Numbers, OptionSpec};
use crate::tensor::print::{py_bool, py_float};
use crate::{bail, ensure, Result};
use smallvec::SmallVec;
use std::sync::Arc;

/// An optimiser of the specification.
pub struct Class {
    pub name: &'static str,
    /// In slots, which the functions below count by.
    pub options: &'static [OptionSpec],
    pub states: &'static [StateSpec],
    /// State of a parameter that is one number.
    pub numbers: &'static [NumberSpec],
    pub count: Count,
    /// PyTorch's checks of the values (a Value error); NaN fails them.
    pub check: fn(&Options) -> Result<()>,
    pub rule: Rule,
}

pub struct StateSpec {
    pub name: &'static str,
    pub init: fn(&Options) -> f64,
    pub used: fn(&Options) -> bool,
}

pub struct NumberSpec {
    pub name: &'static str,
    pub init: fn(&Options) -> f64,
}

/// How a step is done.
#[derive(Clone, Copy)]
pub enum Rule {
    /// `numbers(options, step, whether the state is new, number states, ..)` computes what is the same for all elements
    /// of a parameter; `each` is the update of one.
    Program {
        numbers: fn(&Options, f64, bool, &mut [f64], &mut Numbers),
        each: fn(&Build),
        native: Option<Native>,
    },
    ByHand(Hand),
    /// What a program outside gives.
    Own,
}

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
    /// As Python prints it.
    pub fn shown(&self) -> String {
        match self {
            OptionValue::None => "None".into(),
            OptionValue::Bool(v) => py_bool(*v).into(),
            OptionValue::Int(v) => v.to_string(),
            OptionValue::Float(v) => py_float(*v),
            OptionValue::Numbers(v) => {
                let items: Vec<String> = v.iter().map(|v| number_shown(*v)).collect();
                format!("({})", items.join(", "))
            }
            OptionValue::Text(t) => t.clone(),
        }
    }
}
fn number_shown(v: f64) -> String {
    if v.is_nan() {
        "None".into()
    } else {
        py_float(v)
    }
}

impl Given {
    pub fn value(&self) -> OptionValue {
        match *self {
            Given::None => OptionValue::None,
            Given::Bool(v) => OptionValue::Bool(v),
            Given::Int(v) => OptionValue::Int(v),
            Given::Float(v) | Given::Whole(v) => OptionValue::Float(v),
            Given::Numbers(v) => OptionValue::Numbers(SmallVec::from_slice(v)),
            Given::Text(t) => OptionValue::Text(t.into()),
        }
    }
}

/// The class of optimisers that a program outside gives the step of.
pub static OWN: Class = Class {
    name: "Optimizer",
    options: &[],
    states: &[],
    numbers: &[],
    count: Count::No,
    check: |_| Ok(()),
    rule: Rule::Own,
};

/// What schedules keep in a group besides its options.
const KEPT: &[&str] = &["initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"];

/// The algorithm of a parameter group with its options.
#[derive(Clone)]
pub struct Options {
    class: &'static Class,
    /// A user's own optimiser.
    own_name: Option<Arc<str>>,
    values: SmallVec<[OptionValue; 12]>,
    /// What schedules keep here, and a user's own options.
    kept: Vec<(String, OptionValue)>,
}
impl PartialEq for Options {
    fn eq(&self, other: &Options) -> bool {
        std::ptr::eq(self.class, other.class) && self.values == other.values && self.kept == other.kept
    }
}
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({:?}, {:?})", self.name(), self.values, self.kept)
    }
}

impl Options {
    /// PyTorch's defaults of a class.
    pub fn of(class: &'static Class) -> Options {
        let values = class.options.iter().map(|o| o.default.value()).collect();
        Options { class, own_name: None, values, kept: Vec::new() }
    }
    /// Those of an optimiser whose step a program outside gives: any option may be set.
    pub fn own(name: &str) -> Options {
        Options { own_name: Some(name.into()), ..Options::of(&OWN) }
    }
    pub fn class(&self) -> &'static Class {
        self.class
    }
    /// The optimiser's name.
    pub fn name(&self) -> &str {
        self.own_name.as_deref().unwrap_or(self.class.name)
    }
    pub fn lr(&self) -> f64 {
        self.get("lr").and_then(|v| v.number()).unwrap_or(0.0)
    }
    /// PyTorch's checks of the values (a Value error); NaN fails them all.
    pub fn check(&self) -> Result<()> {
        (self.class.check)(self)
    }
    /// The number in a slot.
    #[inline]
    pub fn number(&self, slot: usize) -> f64 {
        self.values[slot].number().unwrap_or(f64::NAN)
    }
    #[inline]
    pub fn boolean(&self, slot: usize) -> bool {
        self.values[slot] == OptionValue::Bool(true)
    }
    /// A number of a tuple.
    #[inline]
    pub fn at(&self, slot: usize, i: usize) -> f64 {
        match &self.values[slot] {
            OptionValue::Numbers(v) => v.get(i).copied().unwrap_or(f64::NAN),
            _ => f64::NAN,
        }
    }
    /// An option as Python prints it.
    pub fn shown(&self, slot: usize) -> String {
        match (&self.values[slot], &self.class.options[slot].default) {
            (OptionValue::Float(v), Given::Whole(w)) if v == w => format!("{w:.0}"),
            (OptionValue::Numbers(v), Given::Numbers(w)) if self.class.options[slot].name == "step_sizes" => {
                // Rprop's default is written (1e-6, 50).
                let items: Vec<String> = v
                    .iter()
                    .zip(w.iter())
                    .map(|(v, w)| if v == w && v.fract() == 0.0 { format!("{v:.0}") } else { number_shown(*v) })
                    .collect();
                format!("({})", items.join(", "))
            }
            (v, _) => v.shown(),
        }
    }
    pub fn shown_at(&self, slot: usize, i: usize) -> String {
        number_shown(self.at(slot, i))
    }
    /// All options by name, in the order of their slots; then what is kept.
    pub fn each(&self) -> impl Iterator<Item = (&str, &OptionValue)> {
        let own = self.class.options.iter().map(|o| o.name).zip(&self.values);
        own.chain(self.kept.iter().map(|(n, v)| (n.as_str(), v)))
    }
    /// Options in the alphabet's order, as PyTorch prints them.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut out: Vec<(String, String)> =
            self.class.options.iter().enumerate().map(|(i, o)| (o.name.into(), self.shown(i))).collect();
        out.extend(self.kept.iter().map(|(n, v)| (n.clone(), v.shown())));
        out.sort();
        out
    }
    fn get(&self, name: &str) -> Option<&OptionValue> {
        match self.class.options.iter().position(|o| o.name == name) {
            Some(i) => Some(&self.values[i]),
            None => self.kept.iter().find(|(n, _)| n == name).map(|(_, v)| v),
        }
    }
    fn unknown<T>(&self, name: &str) -> Result<T> {
        let names: Vec<&str> = self.each().map(|(n, _)| n).collect();
        bail!(Key, "{} has no option \"{name}\"; it has {}", self.name(), names.join(", "))
    }
    /// An option by PyTorch's name, or what a schedule keeps (`initial_lr`); a Key error where there is none.
    pub fn option(&self, name: &str) -> Result<OptionValue> {
        match self.get(name) {
            Some(v) => Ok(v.clone()),
            None => self.unknown(name),
        }
    }
    /// Sets an option, unchecked but for its kind (a Type error).
    pub fn set(&mut self, name: &str, value: OptionValue) -> Result<()> {
        let Some(slot) = self.class.options.iter().position(|o| o.name == name) else {
            if !KEPT.contains(&name) && self.own_name.is_none() {
                return self.unknown(name);
            }
            match self.kept.iter_mut().find(|(n, _)| n == name) {
                Some(kept) => kept.1 = value,
                None => self.kept.push((name.into(), value)),
            }
            return Ok(());
        };
        let spec = &self.class.options[slot];
        let fitted = match (spec.kind, value) {
            (_, OptionValue::None) if spec.optional => OptionValue::None,
            (Kind::Inert, v) => v,
            (Kind::Float, OptionValue::Int(v)) => OptionValue::Float(v as f64),
            (Kind::Float, v @ OptionValue::Float(_)) | (Kind::Int, v @ OptionValue::Int(_)) => v,
            (Kind::Int, OptionValue::Float(v)) if v.fract() == 0.0 && v.abs() < 9e15 => OptionValue::Int(v as i64),
            (Kind::Bool, v @ OptionValue::Bool(_)) => v,
            (Kind::Bool, v) if matches!(v.number(), Some(0.0 | 1.0)) => OptionValue::Bool(v.number() == Some(1.0)),
            (Kind::Numbers(n), OptionValue::Numbers(v)) if v.len() == n => OptionValue::Numbers(v),
            (Kind::Text, v @ OptionValue::Text(_)) => v,
            (kind, v) => {
                let want = match kind {
                    Kind::Float => "a number".to_string(),
                    Kind::Int => "an integer".into(),
                    Kind::Bool => "a bool".into(),
                    Kind::Numbers(n) => format!("{n} numbers"),
                    _ => "a text".into(),
                };
                bail!(Type, "{}: option \"{name}\" must be {want}, got {}", self.name(), v.shown())
            }
        };
        self.values[slot] = fitted;
        Ok(())
    }
    /// Sets what the class surely has.
    pub(super) fn put(&mut self, name: &str, value: OptionValue) {
        if let Some(slot) = self.class.options.iter().position(|s| s.name == name) {
            self.values[slot] = value;
        }
    }
    /// The same with a value more.
    pub fn with(mut self, name: &str, value: OptionValue) -> Result<Options> {
        self.set(name, value)?;
        Ok(self)
    }
    pub(super) fn same_algorithm(&self, other: &Options) -> bool {
        std::ptr::eq(self.class, other.class) && self.own_name == other.own_name
    }
}

/// A number in place of a None among numbers is a mistake wherever the class does not allow it.
pub(super) fn check_numbers(o: &Options) -> Result<()> {
    for (spec, v) in o.class.options.iter().zip(&o.values) {
        if let (OptionValue::Numbers(v), false) = (v, spec.optional) {
            ensure!(v.iter().all(|v| !v.is_nan()), Value, "{}: {} must not be NaN", o.name(), spec.name);
        }
    }
    Ok(())
}
