//! A schedule's state as named tensors, under the keys of PyTorch's `state_dict`: numbers are 0-dim tensors (float64,
//! int64, bool), lists are tensors of one dimension, texts uint8 tensors of their UTF-8. What is None is absent. Keys of
//! schedules in a schedule begin with `_schedulers.<i>.`.

use super::rules_gen::Rule;
use super::schedule::Schedule;
use super::values::{State, Value};
use crate::base::dtype::Bool8;
use crate::nn::StateDict;
use crate::{bail, ensure, Result, Tensor};

fn tensor(v: &Value) -> Result<Option<Tensor>> {
    Ok(Some(match v {
        Value::None => return Ok(None),
        Value::Int(v) => Tensor::from_slice(&[*v], &[])?,
        Value::Float(v) => Tensor::from_slice(&[*v], &[])?,
        Value::Bool(v) => Tensor::from_slice(&[Bool8(*v as u8)], &[])?,
        Value::Text(t) => Tensor::from_slice(t.as_bytes(), &[t.len() as i64])?,
        Value::Ints(v) => Tensor::from_slice(v, &[v.len() as i64])?,
        Value::Floats(v) => Tensor::from_slice(v, &[v.len() as i64])?,
    }))
}

/// Reads a value of the kind that stands there now.
fn value(key: &str, t: &Tensor, like: &Value) -> Result<Value> {
    let list = matches!(like, Value::Text(_) | Value::Ints(_) | Value::Floats(_));
    ensure!(
        if list { t.shape().len() == 1 } else { t.numel() == 1 },
        Value,
        "\"{key}\" must be {}, got a tensor of shape {:?}",
        if list { "a list" } else { "one number" },
        &t.shape()[..]
    );
    let all = t.to_f64_vec()?;
    let int = |v: f64| {
        ensure!(v.fract() == 0.0 && v.abs() < 9e15, Value, "\"{key}\" must hold integers, got {v}");
        Ok(v as i64)
    };
    Ok(match like {
        Value::Int(_) => Value::Int(int(all[0])?),
        Value::None | Value::Float(_) => Value::Float(all[0]),
        Value::Bool(_) => Value::Bool(all[0] != 0.0),
        Value::Ints(_) => Value::Ints(all.into_iter().map(int).collect::<Result<_>>()?),
        Value::Floats(_) => Value::Floats(all),
        Value::Text(_) => match String::from_utf8(all.into_iter().map(|v| v as u8).collect()) {
            Ok(t) => Value::Text(t),
            Err(_) => bail!(Value, "\"{key}\" is no UTF-8"),
        },
    })
}

impl Schedule {
    /// Whether it counts steps and keeps initial rates.
    fn is_plain(&self) -> bool {
        !matches!(self.0.made.rule, Rule::SequentialLR | Rule::ChainedScheduler | Rule::ReduceLROnPlateau)
    }

    /// What PyTorch's `state_dict` holds, as named tensors.
    pub fn state_dict(&self) -> Result<StateDict> {
        let mut out = StateDict::new();
        self.put("", &mut out)?;
        Ok(out)
    }

    fn put(&self, prefix: &str, out: &mut StateDict) -> Result<()> {
        let state = self.0.state.lock().clone();
        let mut put = |name: &str, v: &Value| {
            if let Some(t) = tensor(v)? {
                out.insert(format!("{prefix}{name}"), t);
            }
            Ok(())
        };
        for (name, v) in &state.attributes {
            put(name, v)?;
        }
        if self.is_plain() {
            put("base_lrs", &Value::Floats(state.base_lrs))?;
            put("_step_count", &Value::Int(state.step_count))?;
            put("_is_initial", &Value::Bool(false))?;
            put("_get_lr_called_within_step", &Value::Bool(false))?;
        }
        if self.0.made.rule != Rule::ChainedScheduler {
            put("last_epoch", &Value::Int(state.last_epoch))?;
        }
        put("_last_lr", &Value::Floats(state.last_lr))?;
        for (i, s) in self.0.schedules.iter().enumerate() {
            s.put(&format!("{prefix}_schedulers.{i}."), out)?;
        }
        Ok(())
    }

    /// Takes what `state_dict` gave; the optimiser's rates are in the optimiser's own state. Fails, changing nothing,
    /// when a key is missing or does not fit.
    pub fn load_state_dict(&self, from: &StateDict) -> Result<()> {
        let mut read = Vec::new();
        self.read("", from, &mut read)?;
        for (s, state) in read {
            *s.0.state.lock() = state;
        }
        Ok(())
    }

    fn read(&self, prefix: &str, from: &StateDict, read: &mut Vec<(Schedule, State)>) -> Result<()> {
        let mut state = self.0.state.lock().clone();
        let get = |name: &str, like: &Value| {
            let key = format!("{prefix}{name}");
            match from.get(&key) {
                Some(t) => value(&key, t, like),
                None if *like == Value::None || name == "default_min_lr" => Ok(Value::None),
                None => bail!(Key, "the state dict of {} lacks \"{key}\"", self.0.made.name),
            }
        };
        let int = |name: &str| match get(name, &Value::Int(0))? {
            Value::Int(v) => Ok(v),
            _ => Ok(0),
        };
        let floats = |name: &str| match get(name, &Value::Floats(Vec::new()))? {
            Value::Floats(v) => Ok(v),
            _ => Ok(Vec::new()),
        };
        for (name, v) in &mut state.attributes {
            let new = get(name, v)?;
            let length = |v: &Value| match v {
                Value::Floats(v) => v.len(),
                _ => 0,
            };
            let (had, has) = (length(v), length(&new));
            ensure!(had == has, Value, "\"{prefix}{name}\" must hold {had} numbers, got {has}");
            *v = new;
        }
        if self.0.made.rule == Rule::SequentialLR {
            let turns = match state.attributes.first() {
                Some((_, Value::Ints(m))) => m.len() + 1,
                _ => 0,
            };
            let n = self.0.schedules.len();
            ensure!(turns == n, Value, "\"{prefix}_milestones\" must hold {} numbers for {n} schedulers", n - 1);
        }
        if self.is_plain() {
            let bases = floats("base_lrs")?;
            let n = state.base_lrs.len();
            ensure!(bases.len() == n, Value, "\"{prefix}base_lrs\" must hold {n} numbers, got {}", bases.len());
            state.base_lrs = bases;
            state.step_count = int("_step_count")?;
        }
        if self.0.made.rule != Rule::ChainedScheduler {
            state.last_epoch = int("last_epoch")?;
        }
        state.last_lr = floats("_last_lr")?;
        read.push((self.clone(), state));
        for (i, s) in self.0.schedules.iter().enumerate() {
            s.read(&format!("{prefix}_schedulers.{i}."), from, read)?;
        }
        Ok(())
    }
}
