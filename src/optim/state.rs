//! State of an optimiser as named tensors, so that it can be saved as one safetensors file.
//!
//! Keys: `state.<i>.<name>` for parameter number i (counted through the groups) and `param_groups.<g>.<option>`; numbers
//! are 0-dim tensors of float64, int64 or bool.

use super::class::{Count, Kind};
use super::hand::lbfgs;
use super::plan::ParamState;
use super::{Optimizer, OptionValue, Options};
use crate::base::dtype::{Bool8, DType};
use crate::base::scalar::Scalar;
use crate::nn::StateDict;
use crate::{bail, ensure, Device, Result, Tensor};
use rustc_hash::FxHashMap;

fn float(v: f64) -> Result<Tensor> {
    Tensor::from_slice(&[v], &[])
}
fn boolean(v: bool) -> Result<Tensor> {
    Tensor::from_slice(&[Bool8(v as u8)], &[])
}

/// An option as a tensor; a text is its bytes, and None is left out.
fn written(v: &OptionValue) -> Result<Option<Tensor>> {
    Ok(Some(match v {
        OptionValue::None => return Ok(None),
        OptionValue::Bool(v) => boolean(*v)?,
        OptionValue::Int(v) => Tensor::from_slice(&[*v], &[])?,
        OptionValue::Float(v) => float(*v)?,
        OptionValue::Numbers(v) => Tensor::from_slice(v, &[v.len() as i64])?,
        OptionValue::Text(t) => Tensor::from_slice(t.as_bytes(), &[t.len() as i64])?,
    }))
}

/// What `written` has written.
fn read(t: &Tensor) -> Result<OptionValue> {
    if t.ndim() == 1 {
        return Ok(match t.dtype() {
            DType::U8 => {
                let bytes: Vec<u8> = t.to_f64_vec()?.into_iter().map(|v| v as u8).collect();
                OptionValue::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => OptionValue::Numbers(t.to_f64_vec()?.into()),
        });
    }
    Ok(match t.item()? {
        Scalar::Float(v) => OptionValue::Float(v),
        Scalar::Int(v) => OptionValue::Int(v),
        other => OptionValue::Bool(other.to_bool()),
    })
}

/// Reads the options of one group.
struct Reader<'a> {
    state: &'a StateDict,
    group: usize,
}
impl Reader<'_> {
    fn tensor(&self, name: &str) -> Result<&Tensor> {
        let key = format!("param_groups.{}.{name}", self.group);
        match self.state.get(&key) {
            Some(t) => Ok(t),
            None => bail!(Key, "the optimizer's state dict lacks \"{key}\""),
        }
    }
    /// The group's options: those of the file, in place of those that the group has.
    fn options(&self, have: &Options) -> Result<Options> {
        let mut o = have.clone();
        let kept = format!("param_groups.{}.", self.group);
        for spec in have.class().options {
            match self.state.get(&format!("{kept}{}", spec.name)) {
                Some(t) => o.set(spec.name, read(t)?)?,
                None if spec.optional || spec.kind == Kind::Inert || spec.name == "decoupled_weight_decay" => {}
                None => {
                    self.tensor(spec.name)?;
                }
            }
        }
        // What schedules and users' own optimisers keep.
        for (key, t) in self.state {
            if let Some(name) = key.strip_prefix(&kept).filter(|n| *n != "params" && o.option(n).is_err()) {
                let _ = o.set(name, read(t)?);
            }
        }
        Ok(o)
    }
}

/// How a step count is read.
fn count(key: &str, t: &Tensor) -> Result<u64> {
    match t.item()? {
        Scalar::Float(v) if v >= 0.0 => Ok(v as u64),
        Scalar::Int(v) if v >= 0 => Ok(v as u64),
        other => bail!(Value, "{key} must be a count, got {other:?}"),
    }
}

/// L-BFGS's state, which is all the parameters' and stands with the first.
fn put_lbfgs(st: &lbfgs::State, out: &mut StateDict) -> Result<()> {
    if st.func_evals == 0 {
        return Ok(());
    }
    let mut put = |name: &str, t: Tensor| out.insert(format!("state.0.{name}"), t);
    put("func_evals", Tensor::from_slice(&[st.func_evals], &[])?);
    put("n_iter", Tensor::from_slice(&[st.n_iter], &[])?);
    for (name, v) in [("t", st.t), ("H_diag", st.h_diag), ("prev_loss", st.prev_loss)] {
        put(name, float(v)?);
    }
    for (name, t) in [("d", &st.d), ("prev_flat_grad", &st.prev_flat_grad)] {
        if let Some(t) = t {
            put(name, t.alias_same());
        }
    }
    for (i, p) in st.old.iter().enumerate() {
        put(&format!("old_dirs.{i}"), p.y.alias_same());
        put(&format!("old_stps.{i}"), p.s.alias_same());
        put(&format!("ro.{i}"), float(p.ro)?);
    }
    Ok(())
}

fn get_lbfgs(state: &StateDict, like: Option<&Tensor>) -> Result<lbfgs::State> {
    let mut st = lbfgs::State::default();
    let get = |name: &str| state.get(&format!("state.0.{name}"));
    let number = |name: &str| get(name).map_or(Ok(0.0), |t| Ok::<_, crate::Error>(t.item()?.to_f64()));
    let Some(like) = like else { return Ok(st) };
    let tensor = |name: &str| get(name).map(|t| own_copy(t, like.dtype(), like.device())).transpose();
    (st.func_evals, st.n_iter) = (number("func_evals")? as i64, number("n_iter")? as i64);
    (st.t, st.h_diag, st.prev_loss) = (number("t")?, number("H_diag")?, number("prev_loss")?);
    (st.d, st.prev_flat_grad) = (tensor("d")?, tensor("prev_flat_grad")?);
    while let (i, Some(y)) = (st.old.len(), tensor(&format!("old_dirs.{}", st.old.len()))?) {
        let Some(s) = tensor(&format!("old_stps.{i}"))? else { break };
        st.old.push(lbfgs::Pair { y, s, ro: number(&format!("ro.{i}"))? });
    }
    Ok(st)
}

impl Optimizer {
    /// Options and state as named tensors. The state tensors share the optimiser's memory.
    pub fn state_dict(&self) -> Result<StateDict> {
        let mut out = StateDict::new();
        let mut i = 0i64;
        for g in &self.groups {
            for p in &g.params {
                if let Some(s) = self.state.get(&p.id()) {
                    let mut put = |name: &str, t: Tensor| out.insert(format!("state.{i}.{name}"), t);
                    let class = g.options.class();
                    if class.count != Count::No {
                        put("step", float(s.count() as f64)?);
                    }
                    for (spec, v) in class.numbers.iter().zip(&s.numbers) {
                        put(spec.name, float(*v)?);
                    }
                    for (spec, t) in class.states.iter().zip(&s.tensors) {
                        if let Some(t) = t {
                            put(spec.name, t.alias_same());
                        }
                    }
                    for (name, t) in &s.named {
                        put(name, t.alias_same());
                    }
                }
                i += 1;
            }
        }
        put_lbfgs(&self.lbfgs, &mut out)?;
        i = 0;
        for (n, g) in self.groups.iter().enumerate() {
            let mut put = |name: &str, t: Tensor| out.insert(format!("param_groups.{n}.{name}"), t);
            for (name, v) in g.options.each() {
                if let Some(t) = written(v)? {
                    put(name, t);
                }
            }
            let ids: Vec<i64> = (i..i + g.params.len() as i64).collect();
            put("params", Tensor::from_slice(&ids, &[ids.len() as i64])?);
            i += ids.len() as i64;
        }
        Ok(out)
    }

    /// Takes options and state from named tensors, copying them to the parameters' dtypes and devices. Fails, changing
    /// nothing, with a Value error when the groups do not match and a Key error when an option is missing.
    pub fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        let mut options = Vec::with_capacity(self.groups.len());
        let extra = format!("param_groups.{}.params", self.groups.len());
        ensure!(!state.contains_key(&extra), Value, "loaded state dict has a different number of parameter groups");
        for (group, g) in self.groups.iter().enumerate() {
            let r = Reader { state, group };
            ensure!(
                r.tensor("params")?.numel() == g.params.len(),
                Value,
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            );
            let o = r.options(&g.options)?;
            o.check()?;
            options.push(o);
        }
        let lbfgs = match self.name() {
            "LBFGS" => get_lbfgs(state, self.groups.first().and_then(|g| g.params.first()))?,
            _ => lbfgs::State::default(),
        };
        let mut loaded = FxHashMap::default();
        let mut i = 0;
        for g in &self.groups {
            for p in &g.params {
                let class = g.options.class();
                let mut s = ParamState::default();
                let prefix = format!("state.{i}.");
                let get = |name: &str| state.get(&format!("{prefix}{name}"));
                if let Some(step) = get("step") {
                    s.step = count(&format!("{prefix}step"), step)?;
                }
                for spec in class.numbers {
                    let Some(v) = get(spec.name) else { break };
                    s.numbers.push(v.item()?.to_f64());
                }
                s.tensors.resize(class.states.len(), None);
                for (slot, spec) in s.tensors.iter_mut().zip(class.states) {
                    let Some(t) = get(spec.name) else { continue };
                    ensure!(
                        t.shape() == p.shape(),
                        Value,
                        "state.{i}.{} has shape {:?}, but the parameter has shape {:?}",
                        spec.name,
                        &t.shape()[..],
                        &p.shape()[..]
                    );
                    *slot = Some(own_copy(t, p.dtype(), p.device())?);
                }
                if class.states.is_empty() {
                    for (key, t) in state.iter() {
                        if let Some(name) = key.strip_prefix(&prefix).filter(|n| *n != "step") {
                            s.named.push((name.into(), own_copy(t, p.dtype(), p.device())?));
                        }
                    }
                }
                if s.step > 0 || !s.named.is_empty() || s.tensors.iter().any(Option::is_some) {
                    loaded.insert(p.id(), s);
                }
                i += 1;
            }
        }
        for (g, o) in self.groups.iter_mut().zip(options) {
            g.options = o;
        }
        self.state = loaded;
        self.lbfgs = lbfgs;
        (0..self.groups.len()).for_each(|g| self.tell_graphs(g));
        Ok(())
    }
}

fn own_copy(t: &Tensor, dtype: DType, device: Device) -> Result<Tensor> {
    crate::nn::convert(t, dtype, device)
}
