//! L-BFGS, with steps of fixed length or a search for Wolfe's strong conditions.

use crate::autograd::{self, meta, mode::GradMode};
use crate::base::scalar::Scalar;
use crate::ops;
use crate::optim::options::OptionValue;
use crate::optim::plan::{cannot_repeat, recording, ParamGroup};
use crate::{bail, Result, Tensor};

/// What a step calls to compute the loss and its gradients anew.
pub type Closure<'a> = &'a mut dyn FnMut() -> Result<Tensor>;

/// Calls a closure with gradients recorded.
pub fn with_grad(closure: Closure) -> Result<Tensor> {
    let _on = GradMode::set(true);
    closure()
}

/// A change of the gradient, the step that made it, and the inverse of their product.
#[derive(Clone)]
pub struct Pair {
    pub y: Tensor,
    pub s: Tensor,
    pub ro: f64,
}

/// What one step leaves to the next.
#[derive(Clone, Default)]
pub struct State {
    pub func_evals: i64,
    pub n_iter: i64,
    pub d: Option<Tensor>,
    pub t: f64,
    pub old: Vec<Pair>,
    pub h_diag: f64,
    pub prev_flat_grad: Option<Tensor>,
    pub prev_loss: f64,
}

fn float(v: f64) -> Scalar {
    Scalar::Float(v)
}
fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(ops::dot(a, b)?.item()?.to_f64())
}
/// The largest magnitude.
fn largest(t: &Tensor) -> Result<f64> {
    Ok(ops::max(&ops::abs(t)?)?.item()?.to_f64())
}

/// The parameters as one vector.
struct Space {
    params: Vec<Tensor>,
    maximize: bool,
}
impl Space {
    fn gradient(&self) -> Result<Tensor> {
        let flat = |p: &Tensor| match meta::grad(p) {
            Some(g) => ops::reshape(&g, &[-1]),
            None => ops::zeros(&[p.numel() as i64], Some(p.dtype()), Some(p.device())),
        };
        let all = ops::cat(&self.params.iter().map(flat).collect::<Result<Vec<_>>>()?, 0)?;
        if self.maximize {
            ops::neg(&all)
        } else {
            Ok(all)
        }
    }
    /// Moves the parameters by t * d.
    fn shift(&self, t: f64, d: &Tensor) -> Result<()> {
        let mut from = 0;
        for p in &self.params {
            let n = p.numel() as i64;
            ops::add_(&p.alias_same(), &ops::view(&ops::narrow(d, 0, from, n)?, &p.shape())?, float(t))?;
            from += n;
        }
        Ok(())
    }
    fn copies(&self) -> Result<Vec<Tensor>> {
        self.params.iter().map(Tensor::contiguous_copy).collect()
    }
    fn restore(&self, saved: &[Tensor]) -> Result<()> {
        self.params.iter().zip(saved).try_for_each(|(p, s)| ops::copy_(&p.alias_same(), s))
    }
    fn loss(&self, of: &Tensor) -> Result<f64> {
        let v = of.item()?.to_f64();
        Ok(if self.maximize { -v } else { v })
    }
}

/// One step: up to `max_iter` moves along directions of descent.
pub fn step(group: ParamGroup, state: &mut State, closure: Closure) -> Result<Tensor> {
    let ParamGroup { params, options } = group;
    if recording(&params)? {
        return Err(cannot_repeat(options.name()));
    }
    let number = |name: &str| Ok::<_, crate::Error>(options.option(name)?.number().unwrap_or(0.0));
    let line_search = match options.option("line_search_fn")? {
        OptionValue::Text(t) if t == "strong_wolfe" => Ok(true),
        OptionValue::Text(_) => Err("only 'strong_wolfe' is supported"),
        _ => Ok(false),
    };
    let maximize = options.option("maximize")? == OptionValue::Bool(true);
    let rules = Rules {
        lr: number("lr")?,
        max_iter: number("max_iter")? as i64,
        max_eval: number("max_eval")? as i64,
        tolerance_grad: number("tolerance_grad")?,
        tolerance_change: number("tolerance_change")?,
        history_size: number("history_size")? as usize,
        line_search,
    };
    autograd::no_grad(|| run(&Space { params, maximize }, &rules, state, closure))
}

struct Rules {
    lr: f64,
    max_iter: i64,
    max_eval: i64,
    tolerance_grad: f64,
    tolerance_change: f64,
    history_size: usize,
    line_search: std::result::Result<bool, &'static str>,
}

fn run(space: &Space, r: &Rules, st: &mut State, closure: Closure) -> Result<Tensor> {
    let first = with_grad(&mut *closure)?;
    let mut loss = space.loss(&first)?;
    let mut evaluations = 1;
    st.func_evals += 1;
    let mut g = space.gradient()?;
    if g.numel() == 0 || largest(&g)? <= r.tolerance_grad {
        return Ok(first);
    }
    let mut done = 0;
    while done < r.max_iter {
        done += 1;
        st.n_iter += 1;
        let d = direction(st, &g, r.history_size)?;
        st.prev_flat_grad = Some(g.clone());
        st.prev_loss = loss;
        st.t = r.lr;
        if st.n_iter == 1 {
            st.t *= (1.0 / ops::sum(&ops::abs(&g)?, None)?.item()?.to_f64()).min(1.0);
        }
        let slope = dot(&g, &d)?;
        st.d = Some(d.clone());
        if slope > -r.tolerance_change {
            break;
        }
        let mut used = 0;
        match r.line_search {
            Err(text) => bail!(Runtime, "{text}"),
            Ok(true) => {
                let saved = space.copies()?;
                let mut evaluate = |t: f64| {
                    space.shift(t, &d)?;
                    let loss = with_grad(&mut *closure)?;
                    let (f, g) = (space.loss(&loss)?, space.gradient()?);
                    space.restore(&saved)?;
                    used += 1;
                    let slope = dot(&g, &d)?;
                    Ok(Point { t, f, g, slope })
                };
                let start = Point { t: 0.0, f: loss, g, slope };
                let most = r.max_eval - evaluations;
                let best = search(&mut evaluate, start, st.t, largest(&d)?, r.tolerance_change, most)?;
                (loss, g, st.t) = (best.f, best.g, best.t);
                space.shift(st.t, &d)?;
            }
            Ok(false) => {
                space.shift(st.t, &d)?;
                if done != r.max_iter {
                    loss = space.loss(&with_grad(&mut *closure)?)?;
                    g = space.gradient()?;
                    used = 1;
                }
            }
        }
        evaluations += used;
        st.func_evals += used;
        if done == r.max_iter
            || evaluations >= r.max_eval
            || largest(&g)? <= r.tolerance_grad
            || largest(&d)? * st.t.abs() <= r.tolerance_change
            || (loss - st.prev_loss).abs() < r.tolerance_change
        {
            break;
        }
    }
    Ok(first)
}

/// The inverse Hessian's estimate times the negative gradient, after the last step has been remembered.
fn direction(st: &mut State, g: &Tensor, history: usize) -> Result<Tensor> {
    let (Some(d), Some(before)) = (&st.d, &st.prev_flat_grad) else {
        st.old.clear();
        st.h_diag = 1.0;
        return ops::neg(g);
    };
    let y = ops::sub(g, before, Scalar::Int(1))?;
    let s = ops::mul_scalar(d, float(st.t))?;
    let ys = dot(&y, &s)?;
    if ys > 1e-10 {
        if st.old.len() >= history.max(1) {
            st.old.remove(0);
        }
        st.h_diag = ys / dot(&y, &y)?;
        st.old.push(Pair { y, s, ro: 1.0 / ys });
    }
    let q = ops::neg(g)?;
    let mut weights = vec![0.0; st.old.len()];
    for (w, p) in weights.iter_mut().zip(&st.old).rev() {
        *w = dot(&p.s, &q)? * p.ro;
        ops::add_(&q, &p.y, float(-*w))?;
    }
    let r = ops::mul_scalar(&q, float(st.h_diag))?;
    for (w, p) in weights.iter().zip(&st.old) {
        let b = dot(&p.y, &r)? * p.ro;
        ops::add_(&r, &p.s, float(w - b))?;
    }
    Ok(r)
}

/// Loss, gradient and slope at a distance t along the direction.
#[derive(Clone)]
struct Point {
    t: f64,
    f: f64,
    g: Tensor,
    slope: f64,
}

/// The minimum of the cubic through two points with their slopes, within bounds.
fn cubic(a: &Point, b: &Point, bounds: Option<(f64, f64)>) -> f64 {
    let (low, high) = bounds.unwrap_or(if a.t <= b.t { (a.t, b.t) } else { (b.t, a.t) });
    let d1 = a.slope + b.slope - 3.0 * (a.f - b.f) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    if square.is_nan() || square < 0.0 {
        return (low + high) / 2.0;
    }
    let d2 = square.sqrt();
    let at = if a.t <= b.t {
        b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2))
    } else {
        a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2.0 * d2))
    };
    at.max(low).min(high)
}

/// A point that satisfies Wolfe's strong conditions, or the best of at most `most` further evaluations.
fn search(
    evaluate: &mut dyn FnMut(f64) -> Result<Point>,
    start: Point,
    first: f64,
    d_norm: f64,
    tolerance_change: f64,
    most: i64,
) -> Result<Point> {
    const ENOUGH: f64 = 1e-4;
    const FLAT: f64 = 0.9;
    let too_high = |p: &Point| p.f > start.f + ENOUGH * p.t * start.slope;
    let flat = |p: &Point| p.slope.abs() <= -FLAT * start.slope;
    let (mut before, mut new) = (start.clone(), evaluate(first)?);
    let mut tried = 0;
    // Out to an interval that holds such a point.
    let mut ends = loop {
        if tried >= most {
            break [start.clone(), new];
        }
        if too_high(&new) || (tried > 1 && new.f >= before.f) {
            break [before, new];
        }
        if flat(&new) {
            return Ok(new);
        }
        if new.slope >= 0.0 {
            break [before, new];
        }
        let t = cubic(&before, &new, Some((new.t + 0.01 * (new.t - before.t), new.t * 10.0)));
        before = std::mem::replace(&mut new, evaluate(t)?);
        tried += 1;
    };
    // Into it; `low` is the better end.
    let mut low = if ends[0].f <= ends[1].f { 0 } else { 1 };
    let mut little_progress = false;
    while tried < most && (ends[1].t - ends[0].t).abs() * d_norm >= tolerance_change {
        let mut t = cubic(&ends[0], &ends[1], None);
        let (least, greatest) = (ends[0].t.min(ends[1].t), ends[0].t.max(ends[1].t));
        let margin = 0.1 * (greatest - least);
        if (greatest - t).min(t - least) < margin {
            // Near an end: twice in a row is moved inwards.
            if little_progress || t >= greatest || t <= least {
                t = if (t - greatest).abs() < (t - least).abs() { greatest - margin } else { least + margin };
                little_progress = false;
            } else {
                little_progress = true;
            }
        } else {
            little_progress = false;
        }
        let p = evaluate(t)?;
        tried += 1;
        if too_high(&p) || p.f >= ends[low].f {
            ends[1 - low] = p;
            low = if ends[0].f <= ends[1].f { 0 } else { 1 };
            continue;
        }
        let found = flat(&p);
        if !found && p.slope * (ends[1 - low].t - ends[low].t) >= 0.0 {
            ends[1 - low] = ends[low].clone();
        }
        ends[low] = p;
        if found {
            break;
        }
    }
    let [a, b] = ends;
    Ok(if low == 0 { a } else { b })
}
