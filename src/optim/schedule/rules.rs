//! The schedules that are no formula of one group's rate.

use super::formula::{divide, raised, At};
use super::rules_gen::Rule;
use super::values::{Asked, Callback, Rates, State, Step, Target, Value};
use crate::tensor::print::py_float;
use crate::{bail, ensure, Result};
use std::f64::consts::PI;

/// What a schedule is, apart from the schedules in it, and does not change.
pub(super) struct Made {
    pub rule: Rule,
    pub name: String,
    /// As they were given, for printing.
    pub arguments: Vec<(&'static str, Value)>,
    pub callback: Option<Callback>,
    pub optimizer: Target,
}

impl Made {
    /// The optimiser's rates at the moment.
    pub fn rates(&self) -> Result<Vec<f64>> {
        (0..self.optimizer.groups()).map(|g| self.optimizer.lr(g)).collect()
    }
}

/// One number for all groups, or one for each.
fn per_group(name: &str, v: &Value, groups: usize) -> Result<Vec<f64>> {
    match v {
        Value::Floats(v) if v.len() == 1 => Ok(vec![v[0]; groups]),
        Value::Floats(v) => {
            ensure!(
                v.len() == groups,
                Value,
                "{name} must have the same length as optimizer.param_groups. {name} has {} values, param_groups has \
                 {groups}.",
                v.len()
            );
            Ok(v.clone())
        }
        other => bail!(Internal, "{name} is {other}"),
    }
}

/// What a schedule left in a group.
pub(super) fn kept(o: &dyn Rates, group: usize, name: &str) -> Result<f64> {
    match o.kept(group, name) {
        Some(v) => Ok(v),
        None => bail!(Key, "param '{name}' is not specified in param_groups[{group}]"),
    }
}

/// Momenta that go up and down: the optimiser must have them. Gives the lowest and the highest of each group.
fn cycled(o: &dyn Rates, last_epoch: i64, given: &State) -> Result<[Vec<f64>; 2]> {
    let groups = o.groups();
    ensure!(
        (0..groups).all(|g| o.momentum(g).is_some()),
        Value,
        "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
    );
    let low = per_group("base_momentum", given.value("base_momentum")?, groups)?;
    let high = per_group("max_momentum", given.value("max_momentum")?, groups)?;
    if last_epoch == -1 {
        for (g, (low, high)) in low.iter().zip(&high).enumerate() {
            o.set_momentum(g, *high)?;
            o.keep(g, "max_momentum", *high)?;
            o.keep(g, "base_momentum", *low)?;
        }
    }
    Ok([low, high])
}

/// Checks the arguments, makes the attributes of them and sets what the optimiser begins with. Base rates that stand in
/// the state afterwards replace those of the groups once the first step is made.
pub(super) fn prepare(made: &Made, last_epoch: i64, state: &mut State) -> Result<()> {
    let o = &*made.optimizer;
    let groups = o.groups();
    let taken = State { attributes: made.arguments.clone(), ..State::default() };
    match made.rule {
        Rule::MultiStepLR => {
            // PyTorch counts them; what is saved are the milestones in order.
            state.attributes = taken.attributes;
            if let Some((_, Value::Ints(v))) = state.attributes.iter_mut().find(|a| a.0 == "milestones") {
                v.sort_unstable();
            }
        }
        Rule::CosineAnnealingWarmRestarts => {
            let (t_0, t_mult) = (taken.int("T_0")?, taken.int("T_mult")?);
            ensure!(t_0 > 0, Value, "Expected positive integer T_0, but got {t_0}");
            ensure!(t_mult >= 1, Value, "Expected integer T_mult >= 1, but got {t_mult}");
            state.attributes = taken.attributes;
            state.set("T_i", Value::Float(t_0 as f64));
            state.set("T_cur", Value::Float(last_epoch as f64));
        }
        Rule::OneCycleLR => one_cycle(made, last_epoch, &taken, state)?,
        Rule::CyclicLR => cyclic(made, last_epoch, &taken, state)?,
        Rule::ReduceLROnPlateau => plateau(&taken, groups, state)?,
        Rule::SWALR => {
            let n = taken.int("anneal_epochs")?;
            let strategy = strategy(&taken, "by")?;
            ensure!(n >= 0, Value, "anneal_epochs must be equal or greater than 0, got {n}");
            state.set("anneal_epochs", Value::Int(n));
            state.set("_anneal_strategy", strategy);
            for (g, lr) in per_group("swa_lr", taken.value("swa_lr")?, groups)?.into_iter().enumerate() {
                o.keep(g, "swa_lr", lr)?;
            }
        }
        // The milestones of a sequence are taken by who knows its schedules.
        Rule::SequentialLR | Rule::ChainedScheduler => {}
        // The arguments are the attributes.
        _ => state.attributes = taken.attributes,
    }
    Ok(())
}

fn strategy(taken: &State, by: &str) -> Result<Value> {
    match taken.value("anneal_strategy")? {
        Value::Text(t) if t == "cos" || t == "linear" => Ok(Value::Text(t.clone())),
        Value::Text(t) => bail!(Value, "anneal_strategy must {by} one of 'cos' or 'linear', instead got {t}"),
        other => bail!(Internal, "anneal_strategy is {other}"),
    }
}

fn one_cycle(made: &Made, last_epoch: i64, taken: &State, state: &mut State) -> Result<()> {
    let o = &*made.optimizer;
    let positive = |name: &str| match taken.value(name)? {
        Value::Int(v) => {
            ensure!(*v > 0, Value, "Expected positive integer {name}, but got {v}");
            Ok(Some(*v))
        }
        _ => Ok(None),
    };
    let total = match (positive("total_steps")?, taken.value("epochs")?, taken.value("steps_per_epoch")?) {
        (Some(n), ..) => n,
        (None, Value::Int(_), Value::Int(_)) => {
            let (Some(e), Some(s)) = (positive("epochs")?, positive("steps_per_epoch")?) else { return Ok(()) };
            e.saturating_mul(s)
        }
        _ => bail!(Value, "You must define either total_steps OR (epochs AND steps_per_epoch)"),
    };
    let pct = taken.float("pct_start")?;
    ensure!((0.0..=1.0).contains(&pct), Value, "Expected float between 0 and 1 pct_start, but got {}", py_float(pct));
    let strategy = strategy(taken, "be")?;
    let high = per_group("max_lr", taken.value("max_lr")?, o.groups())?;
    let (div, last_div) = (taken.float("div_factor")?, taken.float("final_div_factor")?);
    if last_epoch == -1 {
        for (g, most) in high.iter().enumerate() {
            let initial = divide(*most, div)?;
            o.keep(g, "initial_lr", initial)?;
            o.keep(g, "max_lr", *most)?;
            o.keep(g, "min_lr", divide(initial, last_div)?)?;
        }
    }
    let n = total as f64;
    let three = taken.boolean("three_phase")?;
    state.set("total_steps", Value::Int(total));
    state.set("_schedule_phases.0.end_step", Value::Float(pct * n - 1.0));
    let (second, third) = if three { (2.0 * pct * n - 2.0, Some(n - 1.0)) } else { (n - 1.0, None) };
    state.set("_schedule_phases.1.end_step", Value::Float(second));
    if let Some(end) = third {
        state.set("_schedule_phases.2.end_step", Value::Float(end));
    }
    state.set("_anneal_func_type", strategy);
    state.set("cycle_momentum", taken.value("cycle_momentum")?.clone());
    if taken.boolean("cycle_momentum")? {
        state.set("use_beta1", Value::Bool(o.has_betas()));
        cycled(o, last_epoch, taken)?;
    }
    Ok(())
}

fn cyclic(made: &Made, last_epoch: i64, taken: &State, state: &mut State) -> Result<()> {
    let o = &*made.optimizer;
    let base = per_group("base_lr", taken.value("base_lr")?, o.groups())?;
    let high = per_group("max_lr", taken.value("max_lr")?, o.groups())?;
    let up = taken.float("step_size_up")?;
    let down = match taken.value("step_size_down")? {
        Value::Int(v) => *v as f64,
        _ => up,
    };
    let total = up + down;
    let ratio = divide(up, total)?;
    let Value::Text(mode) = taken.value("mode")? else { bail!(Internal, "mode is no text") };
    let known = ["triangular", "triangular2", "exp_range"].contains(&mode.as_str());
    ensure!(known || made.callback.is_some(), Value, "mode is invalid and scale_fn is None");
    let scale_mode = match (&made.callback, mode.as_str()) {
        (Some(_), _) => taken.value("scale_mode")?.clone(),
        (None, "exp_range") => Value::Text("iterations".into()),
        (None, _) => Value::Text("cycle".into()),
    };
    let cycle_momentum = taken.boolean("cycle_momentum")?;
    state.set("max_lrs", Value::Floats(high));
    state.set("total_size", Value::Float(total));
    state.set("step_ratio", Value::Float(ratio));
    state.set("mode", Value::Text(mode.clone()));
    state.set("gamma", taken.value("gamma")?.clone());
    state.set("scale_mode", scale_mode);
    state.set("cycle_momentum", Value::Bool(cycle_momentum));
    if cycle_momentum {
        let [low, high] = cycled(o, last_epoch, taken)?;
        state.set("use_beta1", Value::Bool(o.has_betas()));
        state.set("base_momentums", Value::Floats(low));
        state.set("max_momentums", Value::Floats(high));
    }
    if last_epoch == -1 {
        for (g, lr) in base.iter().enumerate() {
            o.set_lr(g, *lr)?;
        }
    }
    state.base_lrs = base;
    Ok(())
}

fn plateau(taken: &State, groups: usize, state: &mut State) -> Result<()> {
    let factor = taken.float("factor")?;
    ensure!(factor < 1.0, Value, "Factor should be < 1.0.");
    let mut word = |name: &'static str, words: [&str; 2], shown: &str| match taken.value(name)? {
        Value::Text(t) if words.contains(&t.as_str()) => {
            state.set(name, Value::Text(t.clone()));
            Ok(t == words[0])
        }
        Value::Text(t) => bail!(Value, "{shown} {t} is unknown!"),
        other => bail!(Internal, "{name} is {other}"),
    };
    let falls = word("mode", ["min", "max"], "mode")?;
    word("threshold_mode", ["rel", "abs"], "threshold mode")?;
    let least = taken.value("min_lr")?;
    let (default, all) = match least {
        Value::Floats(v) if v.len() == 1 => (Value::Float(v[0]), vec![v[0]; groups]),
        Value::Floats(v) => {
            ensure!(v.len() == groups, Value, "expected {groups} min_lrs, got {}", v.len());
            (Value::None, v.clone())
        }
        other => bail!(Internal, "min_lr is {other}"),
    };
    state.set("factor", Value::Float(factor));
    state.set("default_min_lr", default);
    state.set("min_lrs", Value::Floats(all));
    for name in ["patience", "cooldown", "eps", "threshold"] {
        state.set(name, taken.value(name)?.clone());
    }
    let worst = if falls { f64::INFINITY } else { f64::NEG_INFINITY };
    state.set("mode_worse", Value::Float(worst));
    state.set("best", Value::Float(worst));
    state.set("cooldown_counter", Value::Int(0));
    state.set("num_bad_epochs", Value::Int(0));
    state.last_epoch = 0;
    Ok(())
}

/// What holds for all groups of a step: CyclicLR's factor, and SWALR's shares before and now.
pub(super) fn scale(made: &Made, state: &State) -> Result<[f64; 2]> {
    match made.rule {
        Rule::CyclicLR => {
            let (total, ratio) = (state.float("total_size")?, state.float("step_ratio")?);
            let e = state.last_epoch as f64;
            let cycle = (1.0 + divide(e, total)?).floor();
            let x = 1.0 + e / total - cycle;
            let part = if x <= ratio { divide(x, ratio)? } else { divide(x - 1.0, ratio - 1.0)? };
            let at = if state.is("scale_mode", "cycle")? { cycle } else { e };
            let factor = match &made.callback {
                Some(f) => f(&Asked { epoch: at as i64, group: 0, base_lr: 0.0, lr: 0.0 })?,
                None if state.is("mode", "triangular")? => 1.0,
                None if state.is("mode", "triangular2")? => 1.0 / 2f64.powf(at - 1.0),
                None => raised(state.float("gamma")?, at)?,
            };
            Ok([part, factor])
        }
        Rule::SWALR => {
            let n = state.int("anneal_epochs")?;
            let linear = state.is("_anneal_strategy", "linear")?;
            let mut step = state.step_count.saturating_sub(1) as f64;
            if n == 0 {
                step = step.max(1.0);
            }
            let share = |step: f64| {
                let t = (step / n.max(1) as f64).clamp(0.0, 1.0);
                if linear {
                    t
                } else {
                    (1.0 - (PI * t).cos()) / 2.0
                }
            };
            Ok([share(step - 1.0), share(step)])
        }
        _ => Ok([0.0; 2]),
    }
}

/// A group's new rate; its new momentum, where there is one, goes to `momenta`.
pub(super) fn rate(
    made: &Made,
    state: &State,
    at: &At,
    group: usize,
    how: Step,
    scale: [f64; 2],
    momenta: &mut Vec<f64>,
) -> Result<f64> {
    let ask = |base_lr: f64| match &made.callback {
        Some(f) => f(&Asked { epoch: state.last_epoch, group, base_lr, lr: at.lr }),
        None => bail!(Internal, "{} has no function", made.name),
    };
    match made.rule {
        Rule::LambdaLR => Ok(at.base()? * ask(at.base()?)?),
        Rule::MultiplicativeLR if how == Step::Initial => Ok(at.lr),
        Rule::MultiplicativeLR => Ok(at.lr * ask(at.base()?)?),
        Rule::Own => ask(at.base()?),
        Rule::MultiStepLR => {
            let Value::Ints(m) = state.value("milestones")? else { bail!(Internal, "milestones are no ints") };
            let gamma = state.float("gamma")?;
            let upto = m.partition_point(|v| *v <= state.last_epoch);
            if matches!(how, Step::To(_)) {
                return Ok(at.base()? * raised(gamma, upto as f64)?);
            }
            match upto.saturating_sub(m.partition_point(|v| *v < state.last_epoch)) {
                0 => Ok(at.lr),
                n => Ok(at.lr * raised(gamma, n as f64)?),
            }
        }
        Rule::CosineAnnealingWarmRestarts => {
            let low = state.float("eta_min")?;
            let angle = divide(PI * state.float("T_cur")?, state.float("T_i")?)?;
            Ok(low + (at.base()? - low) * (1.0 + angle.cos()) / 2.0)
        }
        Rule::CyclicLR => {
            let between = |low: f64, high: f64| (high - low) * scale[0] * scale[1];
            if state.boolean("cycle_momentum")? {
                let (low, high) = (state.of_group("base_momentums", group)?, state.of_group("max_momentums", group)?);
                momenta.push(high - between(low, high));
            }
            let base = at.base()?;
            Ok(base + between(base, state.of_group("max_lrs", group)?))
        }
        Rule::OneCycleLR => one_cycle_rate(made, state, group, momenta),
        Rule::SWALR => {
            let goal = kept(&*made.optimizer, group, "swa_lr")?;
            let [before, now] = scale;
            let start = if before == 1.0 { goal } else { (at.lr - before * goal) / (1.0 - before) };
            Ok(goal * now + start * (1.0 - now))
        }
        _ => bail!(NotImplemented, "{} has no rate of its own", made.name),
    }
}

fn one_cycle_rate(made: &Made, state: &State, group: usize, momenta: &mut Vec<f64>) -> Result<f64> {
    let total = state.int("total_steps")?;
    ensure!(
        state.last_epoch <= total,
        Value,
        "Tried to step {} times. The specified number of total steps is {total}",
        state.last_epoch
    );
    let rises = ["initial_lr", "max_lr", "max_momentum", "base_momentum"];
    let phases = if state.value("_schedule_phases.2.end_step").is_ok() {
        vec![
            rises,
            ["max_lr", "initial_lr", "base_momentum", "max_momentum"],
            ["initial_lr", "min_lr", "max_momentum", "max_momentum"],
        ]
    } else {
        vec![rises, ["max_lr", "min_lr", "base_momentum", "max_momentum"]]
    };
    let linear = state.is("_anneal_func_type", "linear")?;
    let step = state.last_epoch as f64;
    let ends = ["_schedule_phases.0.end_step", "_schedule_phases.1.end_step", "_schedule_phases.2.end_step"];
    let mut start = 0.0;
    let of = |name: &str| kept(&*made.optimizer, group, name);
    for (i, [from, to, from_momentum, to_momentum]) in phases.iter().enumerate() {
        let end = state.float(ends[i])?;
        if step <= end || i + 1 == phases.len() {
            let part = divide(step - start, end - start)?;
            let between = |a: f64, b: f64| {
                if linear {
                    (b - a) * part + a
                } else {
                    b + (a - b) / 2.0 * ((PI * part).cos() + 1.0)
                }
            };
            if state.boolean("cycle_momentum")? {
                momenta.push(between(of(from_momentum)?, of(to_momentum)?));
            }
            return Ok(between(of(from)?, of(to)?));
        }
        start = end;
    }
    bail!(Internal, "OneCycleLR has no phase")
}

/// CosineAnnealingWarmRestarts: where a step leads.
pub(super) fn restart(state: &mut State, how: Step) -> Result<()> {
    let (t_0, t_mult) = (state.float("T_0")?, state.float("T_mult")?);
    let (mut t_i, mut t_cur) = (state.float("T_i")?, state.float("T_cur")?);
    let to = match how {
        Step::To(e) => Some(e),
        _ if state.last_epoch < 0 => Some(0.0),
        _ => None,
    };
    let epoch = match to {
        None => {
            t_cur += 1.0;
            if t_cur >= t_i {
                t_cur %= t_i;
                t_i *= t_mult;
            }
            (state.last_epoch as f64) + 1.0
        }
        Some(e) => {
            ensure!(e >= 0.0, Value, "Expected non-negative epoch, but got {}", py_float(e));
            if e < t_0 {
                (t_i, t_cur) = (t_0, e);
            } else if t_mult == 1.0 {
                t_cur = e % t_0;
            } else {
                let n = ((e / t_0 * (t_mult - 1.0) + 1.0).ln() / t_mult.ln()).trunc();
                t_cur = e - t_0 * (t_mult.powf(n) - 1.0) / (t_mult - 1.0);
                t_i = t_0 * t_mult.powf(n);
            }
            e
        }
    };
    state.last_epoch = epoch.floor() as i64;
    state.set("T_i", Value::Float(t_i));
    state.set("T_cur", Value::Float(t_cur));
    Ok(())
}

/// ReduceLROnPlateau's step.
pub(super) fn step_plateau(made: &Made, mut state: State, metric: f64) -> Result<State> {
    let o = &*made.optimizer;
    state.last_epoch = state.last_epoch.saturating_add(1);
    let (best, threshold) = (state.float("best")?, state.float("threshold")?);
    let relative = state.is("threshold_mode", "rel")?;
    let better = match (state.is("mode", "min")?, relative) {
        (true, true) => metric < best * (1.0 - threshold),
        (true, false) => metric < best - threshold,
        (false, true) => metric > best * (threshold + 1.0),
        (false, false) => metric > best + threshold,
    };
    let (mut bad, mut cooldown) = (state.int("num_bad_epochs")?, state.int("cooldown_counter")?);
    if better {
        state.set("best", Value::Float(metric));
        bad = 0;
    } else {
        bad = bad.saturating_add(1);
    }
    if cooldown > 0 {
        cooldown -= 1;
        bad = 0;
    }
    if bad > state.int("patience")? {
        let groups = o.groups();
        if !matches!(state.value("min_lrs")?, Value::Floats(v) if v.len() == groups) {
            let Value::Float(least) = *state.value("default_min_lr")? else {
                bail!(
                    Runtime,
                    "The number of param groups in the `optimizer` ({groups}) differs from when `ReduceLROnPlateau` was \
                     initialized, usually due to a new param group being added to the optimizer. Please modify the \
                     `min_lrs` field to match the length of the `optimizer` param groups."
                )
            };
            state.set("min_lrs", Value::Floats(vec![least; groups]));
        }
        let (factor, eps) = (state.float("factor")?, state.float("eps")?);
        for g in 0..groups {
            let old = o.lr(g)?;
            let lr = (old * factor).max(state.of_group("min_lrs", g)?);
            if old - lr > eps {
                o.set_lr(g, lr)?;
            }
        }
        cooldown = state.int("cooldown")?;
        bad = 0;
    }
    state.set("num_bad_epochs", Value::Int(bad));
    state.set("cooldown_counter", Value::Int(cooldown));
    state.last_lr = made.rates()?;
    Ok(state)
}
