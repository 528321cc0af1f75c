//! Updates that are no elementwise program, over ops.

mod adafactor;
pub mod lbfgs;
mod muon;

use super::class::Hand;
use super::options::{OptionValue, Options, Rule};
use super::plan::ParamState;
use super::{Optimizer, ParamGroup};
use crate::autograd::meta;
use crate::{bail, ensure, Result, Tensor};

fn hand(o: &Options) -> Option<Hand> {
    match o.class().rule {
        Rule::ByHand(h) => Some(h),
        _ => None,
    }
}

/// Defaults that depend on other options.
pub fn complete(o: &mut Options) -> Result<()> {
    if hand(o) == Some(Hand::Lbfgs) && o.option("max_eval")? == OptionValue::None {
        let most = o.option("max_iter")?.number().unwrap_or(0.0) as i64;
        o.set("max_eval", OptionValue::Int(most.saturating_mul(5) / 4))?;
    }
    Ok(())
}

/// PyTorch's errors for groups that the update cannot take.
pub fn check_group(o: &Optimizer, g: &ParamGroup) -> Result<()> {
    match hand(&g.options) {
        Some(Hand::Lbfgs) => {
            ensure!(o.groups().is_empty(), Value, "LBFGS doesn't support per-parameter options (parameter groups)");
        }
        Some(Hand::Muon) => {
            muon::check(&g.options)?;
            for p in &g.params {
                ensure!(
                    p.ndim() == 2,
                    Value,
                    "Muon only supports 2D parameters whereas we found a parameter with size: torch.Size({:?})",
                    &p.shape()[..]
                );
            }
        }
        _ => {}
    }
    Ok(())
}

/// One step of all groups.
pub fn step(o: &mut Optimizer, hand: Hand) -> Result<()> {
    for g in &o.groups {
        for p in &g.params {
            let Some(grad) = meta::grad(p) else { continue };
            if crate::backend::get(p.device())?.recording() {
                bail!(
                    Runtime,
                    "Attempting CUDA graph capture of step() for an instance of {}, whose numbers change from step to \
                     step on the host: a graph can repeat the steps of SGD, Adam and AdamW",
                    g.options.name()
                );
            }
            let s = o.state.entry(p.id()).or_default();
            match hand {
                Hand::Adafactor => adafactor::step(&g.options, p, &grad, s)?,
                Hand::Muon => muon::step(&g.options, p, &grad, s)?,
                Hand::Lbfgs => {}
            }
        }
    }
    Ok(())
}

/// A tensor that is kept for a parameter, made at first; it follows the parameter.
fn kept(s: &mut ParamState, name: &str, p: &Tensor, shape: &[i64]) -> Result<Tensor> {
    match s.named.iter_mut().find(|(n, _)| n == name) {
        Some((_, t)) => {
            if t.dtype() != p.dtype() || t.device() != p.device() {
                *t = crate::nn::convert(t, p.dtype(), p.device())?;
            }
            Ok(t.clone())
        }
        None => {
            let t = crate::ops::zeros(shape, Some(p.dtype()), Some(p.device()))?;
            s.named.push((name.into(), t.clone()));
            Ok(t)
        }
    }
}
