//! All steps of a layer of an LSTM or a GRU by one kernel and one node. Derivatives of its gradients are those of the steps.

use super::*;
use crate::autograd::{engine::Options, record_many, recording, requires_grad};
use crate::backend::{self, memory, Recurrent, RecurrentOutput, RecurrentSlopes};
use crate::watch::count;
use crate::{ensure, grads};

/// The output and the last state; None where the device has no kernel for these tensors.
pub(super) fn whole(
    cell: &Cell,
    x: &Tensor,
    first: &State,
    sizes: Option<&[i64]>,
    backwards: bool,
) -> Result<Option<(Tensor, State)>> {
    let lstm = cell.kind == Kind::Lstm;
    let (dtype, device, hidden) = (x.dtype(), x.device(), cell.hidden());
    let all = [Some(cell.w_ih), Some(cell.w_hh), cell.b_ih, cell.b_hh, Some(&first.h), first.c.as_ref()];
    let alike = all.iter().flatten().all(|t| t.dtype() == dtype && t.device() == device);
    let known = (lstm || cell.kind == Kind::Gru) && cell.w_hr.is_none() && lstm == first.c.is_some();
    if !known || !alike || !matches!(dtype, DType::F32 | DType::F64) || !device.is_cpu() {
        return Ok(None);
    }
    if hidden == 0 || first.h.numel() == 0 {
        return Ok(None);
    }
    let gates = cell.of_input(x)?;
    let wide = cell.w_hh.shape()[0];
    let lines = gates.numel() as i64 / wide;
    let mut inputs = vec![&gates, &first.h];
    inputs.extend(first.c.iter().chain([cell.w_hh]).chain(cell.b_hh));
    let keep = recording(&inputs);
    // Nobody else has seen them: the gates themselves may take their place.
    let flat = autograd::no_grad(|| reshape(&contiguous(&gates.alias_same())?, &[lines, wide]))?;
    let new = |shape: &[i64]| Tensor::empty(shape, dtype, device);
    let kept = if keep { Some([new(&[lines, hidden])?, new(&[lines, hidden])?]) } else { None };
    let out = new(&[lines, hidden])?;
    let last = State { h: new(&first.h.shape())?, c: first.c.as_ref().map(|c| new(&c.shape())).transpose()? };
    let work = Work { lstm, backwards, sizes };
    let done = work.with(&flat, [cell.w_hh, &first.h], [cell.b_hh, first.c.as_ref()], kept.as_ref(), |r| {
        let (o, h, c) = (out.body(), last.h.body(), last.c.as_ref().map(|c| c.body()));
        let to = RecurrentOutput { out: o.view(), last_h: h.view(), last_c: c.as_ref().map(|c| c.view()) };
        backend::get(device)?.recurrent(r, &to)
    })?;
    ensure!(done, Internal, "a recurrent layer of {dtype} has no kernel on {device}");
    count::add(1, lines, wide, hidden);
    if sizes.is_none() {
        let s = gates.shape();
        out.set_layout(Layout::contiguous(&[s[0], s[1], hidden]))?;
    }
    if let Some(kept) = kept {
        let mut outs = vec![&out, &last.h];
        outs.extend(&last.c);
        let name = if lstm { "LstmBackward0" } else { "GruBackward0" };
        let sizes: Option<Vec<i64>> = sizes.map(|s| memory::collect(s.iter().copied())).transpose()?;
        record_many(name, &inputs, &outs, |s| {
            let node = Node {
                kind: cell.kind,
                backwards,
                sizes,
                x: s.save(x),
                gates: s.save(&flat),
                kept: kept.map(|t| s.save(&t)),
                weights: [s.save(cell.w_ih), s.save(cell.w_hh)],
                biases: [cell.b_ih.map(|b| s.save(b)), cell.b_hh.map(|b| s.save(b))],
                h: s.save(&first.h),
                c: first.c.as_ref().map(|c| s.save(c)),
            };
            move |ctx, g| node.gradients(ctx, g)
        })?;
    }
    Ok(Some((out, last)))
}

/// What is the same for a layer and its gradients.
struct Work<'a> {
    lstm: bool,
    backwards: bool,
    sizes: Option<&'a [i64]>,
}
impl Work<'_> {
    fn with<R>(
        &self,
        gates: &Tensor,
        [weight, h]: [&Tensor; 2],
        [bias, c]: [Option<&Tensor>; 2],
        kept: Option<&[Tensor; 2]>,
        f: impl FnOnce(&Recurrent) -> Result<R>,
    ) -> Result<R> {
        let (gates, weight, h) = (gates.materialize(), weight.materialize(), h.materialize());
        let [bias, c] = [bias, c].map(|t| t.map(|t| t.materialize()));
        let kept = kept.map(|k| k.each_ref().map(|t| t.materialize()));
        let kept = kept.as_ref().map(|k| k.each_ref().map(|t| t.view()));
        f(&Recurrent {
            lstm: self.lstm,
            backwards: self.backwards,
            sizes: self.sizes,
            gates: gates.view(),
            weight: weight.view(),
            bias: bias.as_ref().map(|b| b.view()),
            h: h.view(),
            c: c.as_ref().map(|c| c.view()),
            kept: kept.map(|k| k[0]),
            before: kept.map(|k| k[1]),
        })
    }
}

struct Node {
    kind: Kind,
    backwards: bool,
    sizes: Option<Vec<i64>>,
    x: autograd::Saved,
    gates: autograd::Saved,
    kept: [autograd::Saved; 2],
    weights: [autograd::Saved; 2],
    biases: [Option<autograd::Saved>; 2],
    h: autograd::Saved,
    c: Option<autograd::Saved>,
}
impl Node {
    fn gradients(&self, ctx: &autograd::Ctx, g: &[Option<Tensor>]) -> Result<autograd::Grads> {
        if g.iter().all(Option::is_none) {
            return Ok(Grads::new());
        }
        let (x, h) = (self.x.get(ctx)?, self.h.get(ctx)?);
        let c = self.c.as_ref().map(|c| c.get(ctx)).transpose()?;
        let [w_ih, w_hh] = [self.weights[0].get(ctx)?, self.weights[1].get(ctx)?];
        let bias = |i: usize| self.biases[i].as_ref().map(|b| b.get(ctx)).transpose();
        let (b_ih, b_hh) = (bias(0)?, bias(1)?);
        let cell =
            Cell { kind: self.kind, w_ih: &w_ih, w_hh: &w_hh, b_ih: b_ih.as_ref(), b_hh: b_hh.as_ref(), w_hr: None };
        let mut all = vec![&x, &w_ih, &w_hh, &h];
        all.extend(c.iter().chain(&b_ih).chain(&b_hh).chain(g.iter().flatten()));
        if recording(&all) {
            return self.of_steps(ctx, &cell, &x, State { h, c }, g);
        }
        let (gates, kept) = (self.gates.get(ctx)?, [self.kept[0].get(ctx)?, self.kept[1].get(ctx)?]);
        let lstm = self.kind == Kind::Lstm;
        let (lines, wide, hidden) = (gates.shape()[0], gates.shape()[1], h.shape()[1]);
        let new = |shape: &[i64]| Tensor::empty(shape, h.dtype(), h.device());
        let slopes = new(&[lines, wide])?;
        let recurrent = if lstm { None } else { Some(new(&[lines, wide])?) };
        let (first_h, first_c) = (new(&h.shape())?, c.as_ref().map(|c| new(&c.shape())).transpose()?);
        let grad = match &g[0] {
            Some(g) => {
                let g = reshape(g, &[lines, hidden])?;
                Some(if g.layout().strides[1] == 1 { g } else { contiguous(&g)? })
            }
            None => None,
        };
        let work = Work { lstm, backwards: self.backwards, sizes: self.sizes.as_deref() };
        let done = work.with(&gates, [&w_hh, &h], [b_hh.as_ref(), c.as_ref()], Some(&kept), |r| {
            let given = [grad.as_ref(), g[1].as_ref(), g.get(2).and_then(Option::as_ref)];
            let given = given.map(|t| t.map(|t| t.materialize()));
            let [grad, grad_h, grad_c] = given.each_ref().map(|t| t.as_ref().map(|t| t.view()));
            let (s, h) = (slopes.body(), first_h.body());
            let [n, c] = [&recurrent, &first_c].map(|t| t.as_ref().map(|t| t.body()));
            let slopes = RecurrentSlopes {
                grad,
                grad_h,
                grad_c,
                slopes: s.view(),
                recurrent: n.as_ref().map(|n| n.view()),
                first_h: h.view(),
                first_c: c.as_ref().map(|c| c.view()),
            };
            backend::get(w_hh.device())?.recurrent_backward(r, &slopes)
        })?;
        ensure!(done, Internal, "a recurrent layer had a kernel, its gradient has none");
        count::add(1, lines, wide, hidden);
        let mut all = grads![None, Some(first_h)];
        if let Some(c) = first_c {
            all.push(Some(c));
        }
        let sums = recurrent.as_ref().unwrap_or(&slopes);
        let at = all.len();
        all.push(if ctx.needs(at) { Some(matmul(&t(sums)?, &kept[1])?) } else { None });
        if b_hh.is_some() {
            all.push(if ctx.needs(at + 1) { Some(sum_dim(sums, Some(&[0]), false, None)?) } else { None });
        }
        if self.sizes.is_none() {
            let s = x.shape();
            slopes.set_layout(Layout::contiguous(&[s[0], s[1], wide]))?;
        }
        all[0] = Some(slopes);
        Ok(all)
    }
    /// The same of differentiable ops: the steps are taken again one by one, and recorded.
    fn of_steps(
        &self,
        ctx: &autograd::Ctx,
        cell: &Cell,
        x: &Tensor,
        first: State,
        g: &[Option<Tensor>],
    ) -> Result<autograd::Grads> {
        let gates = cell.of_input(x)?;
        let (outs, last) = direction(cell, &gates, &first, self.sizes.as_deref(), self.backwards)?;
        let results = [Some(joined(&outs, self.sizes.is_some())?), Some(last.h), last.c];
        let (mut roots, mut slopes) = (vec![], vec![]);
        for (result, g) in results.into_iter().flatten().zip(g) {
            if let (true, Some(g)) = (requires_grad(&result), g) {
                roots.push(result);
                slopes.push(Some(g.clone()));
            }
        }
        let mut inputs = vec![gates, first.h];
        inputs.extend(first.c.iter().chain([cell.w_hh]).chain(cell.b_hh).cloned());
        let asked = |(i, t): &(usize, &Tensor)| ctx.needs(*i) && requires_grad(t);
        let wanted: Vec<Tensor> = inputs.iter().enumerate().filter(asked).map(|(_, t)| t.clone()).collect();
        let options = Options { retain_graph: true, create_graph: true };
        let mut found = grad(&roots, &wanted, &slopes, options, true)?.into_iter();
        let mut all = Grads::new();
        for pair in inputs.iter().enumerate() {
            all.push(if asked(&pair) { found.next().flatten() } else { None });
        }
        Ok(all)
    }
}
