//! State of an optimiser as named tensors, so that it can be saved as one safetensors file.
//!
//! Keys: `state.<i>.<name>` for parameter number i (counted through the groups) and `param_groups.<g>.<option>`; numbers
//! are 0-dim tensors of float64, int64 or bool.

use super::{Optimizer, Options, ParamState};
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

fn names(options: &Options) -> &'static [&'static str] {
    match options {
        Options::Sgd(_) => &["momentum_buffer"],
        Options::Adam(_) => &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
    }
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
    fn float(&self, name: &str) -> Result<f64> {
        Ok(self.tensor(name)?.item()?.to_f64())
    }
    fn boolean(&self, name: &str) -> Result<bool> {
        Ok(self.tensor(name)?.item()?.to_bool())
    }
}

impl Optimizer {
    /// Options and state as named tensors. The state tensors share the optimiser's memory.
    pub fn state_dict(&self) -> Result<StateDict> {
        let mut out = StateDict::new();
        let mut i = 0i64;
        for g in &self.groups {
            for p in &g.params {
                if let Some(s) = self.state.get(&p.id()) {
                    if matches!(g.options, Options::Adam(_)) {
                        out.insert(format!("state.{i}.step"), float(s.count() as f64)?);
                    }
                    for (name, t) in names(&g.options).iter().zip(&s.tensors) {
                        out.insert(format!("state.{i}.{name}"), t.alias_same());
                    }
                }
                i += 1;
            }
        }
        i = 0;
        for (n, g) in self.groups.iter().enumerate() {
            let mut put = |name: &str, t: Tensor| out.insert(format!("param_groups.{n}.{name}"), t);
            match &g.options {
                Options::Sgd(o) => {
                    put("lr", float(o.lr)?);
                    put("momentum", float(o.momentum)?);
                    put("dampening", float(o.dampening)?);
                    put("weight_decay", float(o.weight_decay)?);
                    put("nesterov", boolean(o.nesterov)?);
                    put("maximize", boolean(o.maximize)?);
                }
                Options::Adam(o) => {
                    put("lr", float(o.lr)?);
                    put("betas", Tensor::from_slice(&[o.betas.0, o.betas.1], &[2])?);
                    put("eps", float(o.eps)?);
                    put("weight_decay", float(o.weight_decay)?);
                    put("amsgrad", boolean(o.amsgrad)?);
                    put("maximize", boolean(o.maximize)?);
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
            let mut o = g.options.clone();
            match &mut o {
                Options::Sgd(o) => {
                    o.lr = r.float("lr")?;
                    o.momentum = r.float("momentum")?;
                    o.dampening = r.float("dampening")?;
                    o.weight_decay = r.float("weight_decay")?;
                    o.nesterov = r.boolean("nesterov")?;
                    o.maximize = r.boolean("maximize")?;
                }
                Options::Adam(o) => {
                    o.lr = r.float("lr")?;
                    let betas = r.tensor("betas")?.to_f64_vec()?;
                    ensure!(
                        betas.len() == 2,
                        Value,
                        "param_groups.{group}.betas must hold 2 numbers, got {}",
                        betas.len()
                    );
                    o.betas = (betas[0], betas[1]);
                    o.eps = r.float("eps")?;
                    o.weight_decay = r.float("weight_decay")?;
                    o.amsgrad = r.boolean("amsgrad")?;
                    o.maximize = r.boolean("maximize")?;
                }
            }
            o.check()?;
            options.push(o);
        }
        let mut loaded = FxHashMap::default();
        let mut i = 0;
        for g in &self.groups {
            for p in &g.params {
                let mut s = ParamState::default();
                if let Some(step) = state.get(&format!("state.{i}.step")) {
                    s.step = match step.item()? {
                        Scalar::Float(v) if v >= 0.0 => v as u64,
                        Scalar::Int(v) if v >= 0 => v as u64,
                        other => bail!(Value, "state.{i}.step must be a count, got {other:?}"),
                    };
                }
                for name in names(&g.options) {
                    let Some(t) = state.get(&format!("state.{i}.{name}")) else { break };
                    ensure!(
                        t.shape() == p.shape(),
                        Value,
                        "state.{i}.{name} has shape {:?}, but the parameter has shape {:?}",
                        &t.shape()[..],
                        &p.shape()[..]
                    );
                    s.tensors.push(own_copy(t, p.dtype(), p.device())?);
                }
                if !s.tensors.is_empty() {
                    loaded.insert(p.id(), s);
                }
                i += 1;
            }
        }
        for (g, o) in self.groups.iter_mut().zip(options) {
            g.options = o;
        }
        self.state = loaded;
        (0..self.groups.len()).for_each(|g| self.tell_graphs(g));
        Ok(())
    }
}

fn own_copy(t: &Tensor, dtype: DType, device: Device) -> Result<Tensor> {
    crate::nn::convert(t, dtype, device)
}
