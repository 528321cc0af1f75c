//! Updates that are no elementwise program, over ops.

mod adafactor;
pub mod lbfgs;
mod muon;

use super::class::Hand;
use super::options::{OptionValue, Options, Rule};
use super::plan::{cannot_repeat, recording, ParamGroup, ParamState};
use crate::autograd::meta;
use crate::{ensure, Result};
use rustc_hash::FxHashMap;

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

/// PyTorch's errors for groups that the update cannot take; `before`: how many there are already.
pub fn check_group(before: usize, g: &ParamGroup) -> Result<()> {
    match hand(&g.options) {
        Some(Hand::Lbfgs) => {
            ensure!(before == 0, Value, "LBFGS doesn't support per-parameter options (parameter groups)");
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
pub fn step(groups: &[ParamGroup], state: &mut FxHashMap<u64, ParamState>, hand: Hand) -> Result<()> {
    for g in groups {
        for p in &g.params {
            let Some(grad) = meta::grad(p) else { continue };
            if recording(std::slice::from_ref(p))? {
                return Err(cannot_repeat(g.options.name()));
            }
            let s = state.entry(p.id()).or_default();
            match hand {
                Hand::Adafactor => adafactor::step(&g.options, p, &grad, s)?,
                Hand::Muon => muon::step(&g.options, p, &grad, s)?,
                Hand::Lbfgs => {}
            }
        }
    }
    Ok(())
}
