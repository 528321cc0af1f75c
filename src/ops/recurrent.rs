//! Recurrent layers: one step of a cell, and whole sequences of layers, directions and batches that shrink.
//!
//! The elementwise part of a step is one program over the gates, and so is its derivative; where that derivative is itself
//! recorded, the same formulas run as ops. Conventions are PyTorch's: gates lie side by side as i, f, g, o (LSTM) and r, z, n
//! (GRU), weights come layer by layer and direction by direction as w_ih, w_hh, b_ih, b_hh, w_hr.

use super::*;
use crate::autograd::{record_many, recording};
use crate::backend::memory;
use crate::backend::program::{Inst, Opcode, Program, Src};
use crate::{backend, bail, ensure, grads};
use smallvec::SmallVec;

const ONE: Scalar = Scalar::Int(1);

/// What the formulas of a step are written in: a program's instructions, or ops.
trait Algebra {
    type V: Clone;
    fn call(&mut self, op: Opcode, a: &Self::V, b: &Self::V) -> Result<Self::V>;
    /// 1 - a
    fn rest(&mut self, a: &Self::V) -> Result<Self::V>;
    fn add(&mut self, a: &Self::V, b: &Self::V) -> Result<Self::V> {
        self.call(Opcode::Add, a, b)
    }
    fn sub(&mut self, a: &Self::V, b: &Self::V) -> Result<Self::V> {
        self.call(Opcode::Sub, a, b)
    }
    fn mul(&mut self, a: &Self::V, b: &Self::V) -> Result<Self::V> {
        self.call(Opcode::Mul, a, b)
    }
    fn sigmoid(&mut self, a: &Self::V) -> Result<Self::V> {
        self.call(Opcode::Sigmoid, a, a)
    }
    fn tanh(&mut self, a: &Self::V) -> Result<Self::V> {
        self.call(Opcode::Tanh, a, a)
    }
    /// g * s * (1 - s), for the sigmoid s.
    fn through_sigmoid(&mut self, g: &Self::V, s: &Self::V) -> Result<Self::V> {
        let slope = self.rest(s)?;
        let slope = self.mul(s, &slope)?;
        self.mul(g, &slope)
    }
    /// g * (1 - t * t), for the hyperbolic tangent t.
    fn through_tanh(&mut self, g: &Self::V, t: &Self::V) -> Result<Self::V> {
        let square = self.mul(t, t)?;
        let slope = self.rest(&square)?;
        self.mul(g, &slope)
    }
}

/// Writes a program. Its one scalar is 1.
struct Writer {
    ty: DType,
    insts: SmallVec<[Inst; 4]>,
}
impl Writer {
    fn put(&mut self, op: Opcode, args: [Src; 3]) -> Result<Src> {
        self.insts.push(Inst { op, ty: self.ty, args });
        Ok(Src::Reg(self.insts.len() as u8 - 1))
    }
}
impl Algebra for Writer {
    type V = Src;
    fn call(&mut self, op: Opcode, a: &Src, b: &Src) -> Result<Src> {
        self.put(op, [*a, *b, *a])
    }
    fn rest(&mut self, a: &Src) -> Result<Src> {
        self.put(Opcode::Sub, [Src::Scalar(0), *a, *a])
    }
}
/// Runs ops, which are recorded.
struct Eager;
impl Algebra for Eager {
    type V = Tensor;
    fn call(&mut self, op: Opcode, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match op {
            Opcode::Add => add(a, b, ONE),
            Opcode::Sub => sub(a, b, ONE),
            Opcode::Mul => mul(a, b),
            Opcode::Sigmoid => sigmoid(a),
            _ => tanh(a),
        }
    }
    fn rest(&mut self, a: &Tensor) -> Result<Tensor> {
        rsub_scalar(a, ONE, ONE)
    }
}

/// Runs formulas over `inputs`, all of one shape and dtype, in one pass; no history.
fn run<const N: usize>(
    inputs: &[&Tensor],
    outputs: &[&Tensor; N],
    formulas: impl FnOnce(&mut Writer, &[Src]) -> Result<[Src; N]>,
) -> Result<()> {
    let dtype = inputs[0].dtype();
    let mut writer = Writer { ty: dtype.compute(), insts: SmallVec::new() };
    let sources: SmallVec<[Src; 16]> = (0..inputs.len()).map(|i| Src::Input(i as u8)).collect();
    let results = formulas(&mut writer, &sources)?;
    let register = |s: Src| match s {
        Src::Reg(r) => (r, dtype),
        _ => unreachable!("a result is an instruction's"),
    };
    let program = Program {
        inputs: inputs.iter().map(|_| dtype).collect(),
        insts: writer.insts,
        outputs: results.into_iter().map(register).collect(),
    };
    if inputs[0].numel() == 0 {
        return Ok(());
    }
    let bodies: SmallVec<[_; 16]> = inputs.iter().map(|t| t.materialize()).collect();
    let views: SmallVec<[_; 16]> = bodies.iter().map(|b| b.view()).collect();
    let out: SmallVec<[_; 8]> = outputs.iter().map(|t| t.body()).collect();
    let out: SmallVec<[_; 8]> = out.iter().map(|b| b.view()).collect();
    backend::get(inputs[0].device())?.run_program(&program, &views, &[ONE], &out)
}

/// The N gates that lie side by side in (batch, N * hidden).
fn gates<const N: usize>(x: &Tensor) -> Result<[Tensor; N]> {
    let hidden = x.shape()[1] / N as i64;
    let mut parts: SmallVec<[Tensor; N]> = SmallVec::new();
    for i in 0..N as i64 {
        parts.push(narrow(x, 1, i * hidden, hidden)?);
    }
    match parts.into_inner() {
        Ok(parts) => Ok(parts),
        Err(_) => bail!(Internal, "the wrong number of gates"),
    }
}

/// i, f, g, o, the new c, and its hyperbolic tangent.
fn lstm_parts<A: Algebra>(m: &mut A, x: &[A::V; 4], y: &[A::V; 4], c: &A::V) -> Result<[A::V; 6]> {
    let [i, f, g, o] = [0, 1, 2, 3].map(|k| m.add(&y[k], &x[k]));
    let (i, f, g, o) = (m.sigmoid(&i?)?, m.sigmoid(&f?)?, m.tanh(&g?)?, m.sigmoid(&o?)?);
    let (kept, new) = (m.mul(&f, c)?, m.mul(&i, &g)?);
    let cell = m.add(&kept, &new)?;
    let shown = m.tanh(&cell)?;
    Ok([i, f, g, o, cell, shown])
}
/// The gradients of the gates and of c, from those of h and of the new c, either of which may be absent.
fn lstm_slopes<A: Algebra>(
    m: &mut A,
    x: &[A::V; 4],
    y: &[A::V; 4],
    c: &A::V,
    gh: Option<&A::V>,
    gc: Option<&A::V>,
) -> Result<[A::V; 5]> {
    let [i, f, g, o, _, shown] = lstm_parts(m, x, y, c)?;
    let from_h = match gh {
        Some(gh) => {
            let d = m.mul(gh, &o)?;
            Some((m.through_tanh(&d, &shown)?, m.mul(gh, &shown)?))
        }
        None => None,
    };
    let (dc, d_o) = match (from_h, gc) {
        (Some((d, d_o)), Some(gc)) => (m.add(&d, gc)?, m.through_sigmoid(&d_o, &o)?),
        (Some((d, d_o)), None) => (d, m.through_sigmoid(&d_o, &o)?),
        (None, Some(gc)) => {
            let none = m.sub(&o, &o)?;
            (m.add(gc, &none)?, none)
        }
        (None, None) => bail!(Internal, "a backward pass without a gradient"),
    };
    let (d_i, d_f, d_g) = (m.mul(&dc, &g)?, m.mul(&dc, c)?, m.mul(&dc, &i)?);
    let (d_i, d_f, d_g) = (m.through_sigmoid(&d_i, &i)?, m.through_sigmoid(&d_f, &f)?, m.through_tanh(&d_g, &g)?);
    Ok([d_i, d_f, d_g, d_o, m.mul(&dc, &f)?])
}

/// h and c after a step, from the gates' two parts (batch, 4 * hidden) and c (batch, hidden).
fn lstm_step(x: &Tensor, y: &Tensor, c: &Tensor) -> Result<(Tensor, Tensor)> {
    let (h, cell) = (empty_like(c, None, None)?, empty_like(c, None, None)?);
    let plain = autograd::no_grad(|| Ok::<_, Error>((gates::<4>(x)?, gates::<4>(y)?)))?;
    let inputs: SmallVec<[&Tensor; 9]> = plain.0.iter().chain(&plain.1).chain([c]).collect();
    run(&inputs, &[&h, &cell], |m, s| {
        let [_, _, _, o, cell, shown] = lstm_parts(m, &four(s, 0), &four(s, 4), &s[8])?;
        Ok([m.mul(&o, &shown)?, cell])
    })?;
    record_many("LstmStepBackward0", &[x, y, c], &[&h, &cell], |s| {
        let saved = (s.save(x), s.save(y), s.save(c));
        move |ctx, g| {
            let (x, y, c) = (saved.0.get(ctx)?, saved.1.get(ctx)?, saved.2.get(ctx)?);
            let (gh, gc) = (g[0].as_ref(), g[1].as_ref());
            if gh.is_none() && gc.is_none() {
                return Ok(Grads::new());
            }
            let (a, b) = (gates::<4>(&x)?, gates::<4>(&y)?);
            let given: SmallVec<[&Tensor; 2]> = gh.into_iter().chain(gc).collect();
            if recording(&[&[&x, &y, &c][..], &given].concat()) {
                let [i, f, g, o, dc] = lstm_slopes(&mut Eager, &a, &b, &c, gh, gc)?;
                let dx = cat(&[i, f, g, o], 1)?;
                return Ok(grads![Some(dx.clone()), Some(dx), Some(dc)]);
            }
            let (dx, dc) = (empty_like(&y, None, None)?, empty_like(&c, None, None)?);
            let [i, f, g, o] = gates::<4>(&dx)?;
            let inputs: SmallVec<[&Tensor; 11]> = a.iter().chain(&b).chain([&c]).chain(given).collect();
            run(&inputs, &[&i, &f, &g, &o, &dc], |m, s| {
                let mut rest = s[9..].iter();
                let (gh, gc) = (gh.and_then(|_| rest.next()), gc.and_then(|_| rest.next()));
                lstm_slopes(m, &four(s, 0), &four(s, 4), &s[8], gh, gc)
            })?;
            Ok(grads![Some(dx.clone()), Some(dx), Some(dc)])
        }
    })?;
    Ok((h, cell))
}
fn four(s: &[Src], at: usize) -> [Src; 4] {
    [s[at], s[at + 1], s[at + 2], s[at + 3]]
}
fn three(s: &[Src], at: usize) -> [Src; 3] {
    [s[at], s[at + 1], s[at + 2]]
}

/// r, z, n.
fn gru_parts<A: Algebra>(m: &mut A, x: &[A::V; 3], y: &[A::V; 3]) -> Result<[A::V; 3]> {
    let (r, z) = (m.add(&y[0], &x[0])?, m.add(&y[1], &x[1])?);
    let (r, z) = (m.sigmoid(&r)?, m.sigmoid(&z)?);
    let n = m.mul(&y[2], &r)?;
    let n = m.add(&x[2], &n)?;
    let n = m.tanh(&n)?;
    Ok([r, z, n])
}
/// The gradients of r's, z's and n's sums, of n's recurrent part, and of h.
fn gru_slopes<A: Algebra>(m: &mut A, x: &[A::V; 3], y: &[A::V; 3], h: &A::V, g: &A::V) -> Result<[A::V; 5]> {
    let [r, z, n] = gru_parts(m, x, y)?;
    let (apart, new) = (m.sub(h, &n)?, m.rest(&z)?);
    let (d_z, d_n) = (m.mul(g, &apart)?, m.mul(g, &new)?);
    let (d_z, d_n) = (m.through_sigmoid(&d_z, &z)?, m.through_tanh(&d_n, &n)?);
    let d_r = m.mul(&d_n, &y[2])?;
    Ok([m.through_sigmoid(&d_r, &r)?, d_z, d_n.clone(), m.mul(&d_n, &r)?, m.mul(g, &z)?])
}
/// h after a step, from the input's and the recurrent part of the gates (batch, 3 * hidden) and h (batch, hidden).
fn gru_step(x: &Tensor, y: &Tensor, h: &Tensor) -> Result<Tensor> {
    let out = empty_like(h, None, None)?;
    let plain = autograd::no_grad(|| Ok::<_, Error>((gates::<3>(x)?, gates::<3>(y)?)))?;
    let inputs: SmallVec<[&Tensor; 7]> = plain.0.iter().chain(&plain.1).chain([h]).collect();
    run(&inputs, &[&out], |m, s| {
        let [_, z, n] = gru_parts(m, &three(s, 0), &three(s, 3))?;
        let apart = m.sub(&s[6], &n)?;
        let kept = m.mul(&apart, &z)?;
        Ok([m.add(&kept, &n)?])
    })?;
    record_many("GruStepBackward0", &[x, y, h], &[&out], |s| {
        let saved = (s.save(x), s.save(y), s.save(h));
        move |ctx, g| {
            let Some(g) = &g[0] else { return Ok(Grads::new()) };
            let (x, y, h) = (saved.0.get(ctx)?, saved.1.get(ctx)?, saved.2.get(ctx)?);
            let (a, b) = (gates::<3>(&x)?, gates::<3>(&y)?);
            if recording(&[&x, &y, &h, g]) {
                let [r, z, n, hn, dh] = gru_slopes(&mut Eager, &a, &b, &h, g)?;
                let dx = cat(&[r.clone(), z.clone(), n], 1)?;
                return Ok(grads![Some(dx), Some(cat(&[r, z, hn], 1)?), Some(dh)]);
            }
            let (dx, dy) = (empty_like(&y, None, None)?, empty_like(&y, None, None)?);
            let dh = empty_like(&h, None, None)?;
            let ([r, z, n], [_, _, hn]) = (gates::<3>(&dx)?, gates::<3>(&dy)?);
            let inputs: SmallVec<[&Tensor; 8]> = a.iter().chain(&b).chain([&h, g]).collect();
            run(&inputs, &[&r, &z, &n, &hn, &dh], |m, s| gru_slopes(m, &three(s, 0), &three(s, 3), &s[6], &s[7]))?;
            let both = 2 * h.shape()[1];
            narrow(&dy, 1, 0, both)?.copy_from(&narrow(&dx, 1, 0, both)?)?;
            Ok(grads![Some(dx), Some(dy), Some(dh)])
        }
    })?;
    Ok(out)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lstm,
    Gru,
    Tanh,
    Relu,
}
impl Kind {
    fn gates(self) -> i64 {
        match self {
            Kind::Lstm => 4,
            Kind::Gru => 3,
            _ => 1,
        }
    }
    fn name(self) -> &'static str {
        match self {
            Kind::Lstm => "lstm",
            Kind::Gru => "gru",
            Kind::Tanh => "rnn_tanh",
            Kind::Relu => "rnn_relu",
        }
    }
}

/// What goes from step to step: h, and an LSTM's c.
#[derive(Clone)]
struct State {
    h: Tensor,
    c: Option<Tensor>,
}
impl State {
    fn each(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<State> {
        Ok(State { h: f(&self.h)?, c: self.c.as_ref().map(f).transpose()? })
    }
    fn rows(&self, from: i64, to: i64) -> Result<State> {
        self.each(|t| narrow(t, 0, from, to - from))
    }
    fn joined(parts: &[State]) -> Result<State> {
        let all = |part: fn(&State) -> Option<&Tensor>| -> Result<Option<Tensor>> {
            let some: Vec<Tensor> = memory::collect(parts.iter().filter_map(part).cloned())?;
            if some.is_empty() { Ok(None) } else { cat(&some, 0).map(Some) }
        };
        match all(|s| Some(&s.h))? {
            Some(h) => Ok(State { h, c: all(|s| s.c.as_ref())? }),
            None => bail!(Internal, "no states to join"),
        }
    }
}

/// The weights of a layer in one direction.
#[derive(Clone, Copy)]
struct Cell<'a> {
    kind: Kind,
    w_ih: &'a Tensor,
    w_hh: &'a Tensor,
    b_ih: Option<&'a Tensor>,
    b_hh: Option<&'a Tensor>,
    w_hr: Option<&'a Tensor>,
}
impl<'a> Cell<'a> {
    /// Refuses weights that do not fit each other.
    fn new(kind: Kind, p: &'a [Tensor], biases: bool, projected: bool) -> Result<Cell<'a>> {
        let at = 2 + 2 * biases as usize;
        let cell = Cell {
            kind,
            w_ih: &p[0],
            w_hh: &p[1],
            b_ih: biases.then(|| &p[2]),
            b_hh: biases.then(|| &p[3]),
            w_hr: projected.then(|| &p[at]),
        };
        cell.check()?;
        Ok(cell)
    }
    fn check(&self) -> Result<()> {
        let (name, n) = (self.kind.name(), self.kind.gates());
        for (label, w) in [("w_ih", self.w_ih), ("w_hh", self.w_hh)] {
            ensure!(w.ndim() == 2, Runtime, "{name}: {label} must be 2-D, got {:?}", &w.shape()[..]);
            ensure!(w.dtype().is_float(), Runtime, "{name}: {label} must be of a float dtype, got {}", w.dtype());
        }
        let rows = self.w_hh.shape()[0];
        ensure!(
            rows % n == 0 && self.w_ih.shape()[0] == rows,
            Runtime,
            "{name}: w_ih and w_hh must both have {n} * hidden_size rows, got {:?} and {:?}",
            &self.w_ih.shape()[..],
            &self.w_hh.shape()[..]
        );
        let hidden = rows / n;
        let out = match self.w_hr {
            Some(w) => {
                ensure!(
                    w.ndim() == 2 && w.shape()[1] == hidden,
                    Runtime,
                    "{name}: w_hr must be (proj_size, {hidden}), got {:?}",
                    &w.shape()[..]
                );
                w.shape()[0]
            }
            None => hidden,
        };
        ensure!(
            self.w_hh.shape()[1] == out,
            Runtime,
            "{name}: w_hh must be ({rows}, {out}), got {:?}",
            &self.w_hh.shape()[..]
        );
        for (label, b) in [("b_ih", self.b_ih), ("b_hh", self.b_hh)] {
            if let Some(b) = b {
                let shape = b.shape();
                ensure!(shape[..] == [rows], Runtime, "{name}: {label} must be ({rows},), got {:?}", &shape[..]);
            }
        }
        Ok(())
    }
    /// The size of h.
    fn output(&self) -> i64 {
        self.w_hh.shape()[1]
    }
    fn hidden(&self) -> i64 {
        self.w_hh.shape()[0] / self.kind.gates()
    }
    /// The input's part of the gates, of one step or of many.
    fn of_input(&self, x: &Tensor) -> Result<Tensor> {
        linear(x, self.w_ih, self.b_ih)
    }
    fn step(&self, x: &Tensor, state: &State) -> Result<State> {
        let y = linear(&state.h, self.w_hh, self.b_hh)?;
        Ok(match (self.kind, &state.c) {
            (Kind::Lstm, Some(c)) => {
                let (h, c) = lstm_step(x, &y, c)?;
                let h = match self.w_hr {
                    Some(w) => linear(&h, w, None)?,
                    None => h,
                };
                State { h, c: Some(c) }
            }
            (Kind::Gru, _) => State { h: gru_step(x, &y, &state.h)?, c: None },
            (Kind::Relu, _) => State { h: relu(&add(&y, x, ONE)?)?, c: None },
            _ => State { h: tanh(&add(&y, x, ONE)?)?, c: None },
        })
    }
}

/// The parts of `x` along dimension 0: single rows without that dimension, or runs of `sizes` rows. One node for all of them,
/// since a node for each would add as many gradients of x's size.
fn steps(x: &Tensor, sizes: Option<&[i64]>) -> Result<Vec<Tensor>> {
    let part = |at: i64, n: i64| if sizes.is_some() { narrow(x, 0, at, n) } else { select(x, 0, at) };
    let count = sizes.map_or(x.shape()[0] as usize, <[i64]>::len);
    let mut parts = memory::with_capacity(count)?;
    let mut at = 0;
    autograd::no_grad(|| {
        for i in 0..count {
            let n = sizes.map_or(1, |s| s[i]);
            parts.push(part(at, n)?.alias_same());
            at += n;
        }
        Ok::<_, Error>(())
    })?;
    let outs: Vec<&Tensor> = memory::collect(parts.iter())?;
    let packed = sizes.is_some();
    record_many("UnbindBackward0", &[x], &outs, |s| {
        s.holds_state();
        let shapes: Vec<_> = parts.iter().map(|p| (p.shape(), p.dtype(), p.device())).collect();
        move |_, g| {
            let mut all = memory::with_capacity(g.len())?;
            for (g, (shape, dtype, device)) in g.iter().zip(&shapes) {
                all.push(match g {
                    Some(g) => g.clone(),
                    None => zeros(shape, Some(*dtype), Some(*device))?,
                });
            }
            Ok(grads![Some(if packed { cat(&all, 0)? } else { stack(&all, 0)? })])
        }
    })?;
    Ok(parts)
}

/// One layer in one direction: the outputs in order of time, and the last state of each row.
fn direction(
    cell: &Cell,
    x: &Tensor,
    first: &State,
    sizes: Option<&[i64]>,
    backwards: bool,
) -> Result<(Vec<Tensor>, State)> {
    let inputs = steps(&cell.of_input(x)?, sizes)?;
    let count = inputs.len();
    let size = |t: usize| sizes.map_or(0, |s| s[t]);
    let mut outputs = memory::with_capacity(count)?;
    let mut ended: Vec<State> = Vec::new();
    let mut state = match (sizes, backwards) {
        (Some(s), true) => first.rows(0, s[count - 1])?,
        _ => first.clone(),
    };
    for i in 0..count {
        let t = if backwards { count - 1 - i } else { i };
        if sizes.is_some() && i > 0 {
            let (before, now) = (size(if backwards { t + 1 } else { t - 1 }), size(t));
            if now < before {
                memory::push(&mut ended, state.rows(now, before)?)?;
                state = state.rows(0, now)?;
            } else if now > before {
                state = State::joined(&[state, first.rows(before, now)?])?;
            }
        }
        state = cell.step(&inputs[t], &state)?;
        outputs.push(state.h.clone());
    }
    if backwards {
        outputs.reverse();
    } else if !ended.is_empty() {
        memory::push(&mut ended, state)?;
        ended.reverse();
        state = State::joined(&ended)?;
    }
    Ok((outputs, state))
}

/// How a call asks for its layers.
struct Layers<'a> {
    kind: Kind,
    params: &'a [Tensor],
    biases: bool,
    num_layers: i64,
    dropout: f64,
    train: bool,
    bidirectional: bool,
}
/// All layers over (time, batch, features), or over the rows of a packed batch: output, h_n, c_n.
fn sequence(l: &Layers, input: &Tensor, hx: &[&Tensor], sizes: Option<&[i64]>) -> Result<(Tensor, State)> {
    let name = l.kind.name();
    let directions = 1 + l.bidirectional as i64;
    let projected = l.kind == Kind::Lstm && hx[0].ndim() == 3 && hx[1].ndim() == 3 && hx[0].shape()[2] != hx[1].shape()[2];
    let each = 2 + 2 * l.biases as usize + projected as usize;
    ensure!(l.num_layers > 0, Runtime, "{name}: num_layers must be greater than zero, got {}", l.num_layers);
    let wanted = l.num_layers.checked_mul(directions).and_then(|n| n.checked_mul(each as i64));
    ensure!(
        wanted == Some(l.params.len() as i64),
        Runtime,
        "{name}: {} layers in {directions} direction(s) take {each} parameters each, but got {} parameters in all",
        l.num_layers,
        l.params.len()
    );
    let steps = if sizes.is_some() { 2 } else { 3 };
    ensure!(
        input.ndim() == steps,
        Runtime,
        "{name}: input must have {steps} dimensions, got {}",
        input.ndim()
    );
    let features = input.shape()[steps - 1];
    let batch = match sizes {
        Some(s) => s[0],
        None => input.shape()[1],
    };
    ensure!(
        sizes.is_some() || input.shape()[0] > 0,
        Runtime,
        "Expected sequence length to be larger than 0 in RNN"
    );
    let mut cells: Vec<Cell> = memory::with_capacity(l.params.len() / each)?;
    for p in l.params.chunks(each) {
        cells.push(Cell::new(l.kind, p, l.biases, projected)?);
    }
    let first = &cells[0];
    ensure!(
        first.w_ih.shape()[1] == features,
        Runtime,
        "input.size(-1) must be equal to input_size. Expected {}, got {features}",
        first.w_ih.shape()[1]
    );
    let sizes_of = [first.output(), first.hidden()];
    for (i, (h, size)) in hx.iter().zip(sizes_of).enumerate() {
        let wanted = [l.num_layers * directions, batch, size];
        ensure!(
            h.shape()[..] == wanted,
            Runtime,
            "Expected hidden{} size ({}, {}, {}), got {:?}",
            if hx.len() == 2 { ["[0]", "[1]"][i] } else { "" },
            wanted[0],
            wanted[1],
            wanted[2],
            &h.shape()[..]
        );
    }
    let mut x = input.clone();
    let (mut lasts, count) = (memory::with_capacity(cells.len())?, l.num_layers as usize);
    for (i, pair) in cells.chunks(directions as usize).enumerate() {
        let mut halves = memory::with_capacity(2)?;
        for (d, cell) in pair.iter().enumerate() {
            let at = (i as i64) * directions + d as i64;
            let c = hx.get(1).map(|c| select(c, 0, at)).transpose()?;
            let start = State { h: select(hx[0], 0, at)?, c };
            let (outs, last) = direction(cell, &x, &start, sizes, d == 1)?;
            halves.push(if sizes.is_some() { cat(&outs, 0)? } else { stack(&outs, 0)? });
            lasts.push(last);
        }
        x = match &halves[..] {
            [one] => one.clone(),
            both => cat(both, -1)?,
        };
        if l.dropout != 0.0 && l.train && i + 1 < count {
            x = dropout(&x, l.dropout, true, None)?;
        }
    }
    let h: Vec<Tensor> = memory::collect(lasts.iter().map(|s: &State| s.h.clone()))?;
    let c: Vec<Tensor> = memory::collect(lasts.iter().filter_map(|s| s.c.clone()))?;
    let c = if c.is_empty() { None } else { Some(stack(&c, 0)?) };
    Ok((x, State { h: stack(&h, 0)?, c }))
}
fn timed(l: &Layers, input: &Tensor, hx: &[&Tensor], batch_first: bool) -> Result<(Tensor, State)> {
    if !batch_first || input.ndim() != 3 {
        return sequence(l, input, hx, None);
    }
    let (out, state) = sequence(l, &transpose(input, 0, 1)?, hx, None)?;
    Ok((transpose(&out, 0, 1)?, state))
}
/// The rows of each step, from the longest batch down.
fn packed(l: &Layers, data: &Tensor, batch_sizes: &Tensor, hx: &[&Tensor]) -> Result<(Tensor, State)> {
    let name = l.kind.name();
    ensure!(
        batch_sizes.ndim() == 1 && batch_sizes.dtype() == DType::I64 && batch_sizes.device().is_cpu(),
        Runtime,
        "{name}: batch_sizes must be a 1-D int64 tensor on the CPU, got {} of {:?} on {}",
        batch_sizes.dtype(),
        &batch_sizes.shape()[..],
        batch_sizes.device()
    );
    let sizes: Vec<i64> = batch_sizes.to_vec()?;
    let fits = sizes.windows(2).all(|w| w[0] >= w[1]) && sizes.last().is_some_and(|n| *n > 0);
    ensure!(fits, Runtime, "{name}: batch_sizes must be positive and must not grow");
    let rows = sizes.iter().try_fold(0i64, |n, s| n.checked_add(*s));
    ensure!(
        data.ndim() > 0 && rows == Some(data.shape()[0]),
        Runtime,
        "{name}: batch_sizes must sum to the rows of data, {:?}",
        &data.shape()[..]
    );
    sequence(l, data, hx, Some(&sizes))
}
fn pair<'a>(name: &str, hx: &'a [Tensor]) -> Result<[&'a Tensor; 2]> {
    match hx {
        [h, c] => Ok([h, c]),
        _ => bail!(Runtime, "{name} expects two hidden states, got {}", hx.len()),
    }
}

macro_rules! sequences {
    ($($plain:ident $data:ident $kind:ident,)*) => {$(
        #[doc = concat!("All layers of ", stringify!($plain), " over (time, batch, features): the output and the last h.")]
        #[allow(clippy::too_many_arguments)] // PyTorch's
        pub fn $plain(
            input: &Tensor,
            hx: &Tensor,
            params: &[Tensor],
            has_biases: bool,
            num_layers: i64,
            dropout: f64,
            train: bool,
            bidirectional: bool,
            batch_first: bool,
        ) -> Result<(Tensor, Tensor)> {
            let l = Layers { kind: Kind::$kind, params, biases: has_biases, num_layers, dropout, train, bidirectional };
            let (out, state) = timed(&l, input, &[hx], batch_first)?;
            Ok((out, state.h))
        }
        /// The same over a packed batch.
        #[allow(clippy::too_many_arguments)] // PyTorch's
        pub fn $data(
            data: &Tensor,
            batch_sizes: &Tensor,
            hx: &Tensor,
            params: &[Tensor],
            has_biases: bool,
            num_layers: i64,
            dropout: f64,
            train: bool,
            bidirectional: bool,
        ) -> Result<(Tensor, Tensor)> {
            let l = Layers { kind: Kind::$kind, params, biases: has_biases, num_layers, dropout, train, bidirectional };
            let (out, state) = packed(&l, data, batch_sizes, &[hx])?;
            Ok((out, state.h))
        }
    )*};
}
sequences! {
    gru gru_data Gru,
    rnn_tanh rnn_tanh_data Tanh,
    rnn_relu rnn_relu_data Relu,
}
/// All layers of an LSTM over (time, batch, features): the output, the last h and c. hx is h and c.
#[allow(clippy::too_many_arguments)] // PyTorch's
pub fn lstm(
    input: &Tensor,
    hx: &[Tensor],
    params: &[Tensor],
    has_biases: bool,
    num_layers: i64,
    dropout: f64,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let l = Layers { kind: Kind::Lstm, params, biases: has_biases, num_layers, dropout, train, bidirectional };
    lstm_results(timed(&l, input, &pair("lstm", hx)?, batch_first)?)
}
/// The same over a packed batch.
#[allow(clippy::too_many_arguments)] // PyTorch's
pub fn lstm_data(
    data: &Tensor,
    batch_sizes: &Tensor,
    hx: &[Tensor],
    params: &[Tensor],
    has_biases: bool,
    num_layers: i64,
    dropout: f64,
    train: bool,
    bidirectional: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let l = Layers { kind: Kind::Lstm, params, biases: has_biases, num_layers, dropout, train, bidirectional };
    lstm_results(packed(&l, data, batch_sizes, &pair("lstm", hx)?)?)
}
fn lstm_results((out, state): (Tensor, State)) -> Result<(Tensor, Tensor, Tensor)> {
    match state.c {
        Some(c) => Ok((out, state.h, c)),
        None => bail!(Internal, "an LSTM without c"),
    }
}

/// One step of a cell over (batch, features), or over one sample's features.
fn cell(
    kind: Kind,
    input: &Tensor,
    hx: &[&Tensor],
    (w_ih, w_hh): (&Tensor, &Tensor),
    (b_ih, b_hh): (Option<&Tensor>, Option<&Tensor>),
) -> Result<State> {
    let name = kind.name();
    let cell = Cell { kind, w_ih, w_hh, b_ih, b_hh, w_hr: None };
    cell.check()?;
    ensure!(
        matches!(input.ndim(), 1 | 2),
        Runtime,
        "{name}_cell: Expected input to be 1D or 2D, got {}D instead",
        input.ndim()
    );
    let (features, wanted) = (input.shape()[input.ndim() - 1], w_ih.shape()[1]);
    ensure!(
        features == wanted,
        Runtime,
        "input has inconsistent input_size: got {features} expected {wanted}"
    );
    let single = input.ndim() == 1;
    let batched = |t: &Tensor| if single { unsqueeze(t, 0) } else { Ok(t.clone()) };
    for h in hx {
        ensure!(
            h.ndim() == input.ndim(),
            Runtime,
            "{name}_cell: Expected hidden to be {}D, got {}D instead",
            input.ndim(),
            h.ndim()
        );
        let shape = h.shape();
        ensure!(
            single || shape[0] == input.shape()[0],
            Runtime,
            "Input batch size {} doesn't match hidden0 batch size {}",
            input.shape()[0],
            shape[0]
        );
        ensure!(
            shape[shape.len() - 1] == cell.hidden(),
            Runtime,
            "hidden0 has inconsistent hidden_size: got {}, expected {}",
            shape[shape.len() - 1],
            cell.hidden()
        );
    }
    let state = State { h: batched(hx[0])?, c: hx.get(1).map(|c| batched(c)).transpose()? };
    let next = cell.step(&cell.of_input(&batched(input)?)?, &state)?;
    if single {
        return next.each(|t| squeeze_dim(t, 0));
    }
    Ok(next)
}
/// h and c after one step of an LSTM. hx is h and c.
pub fn lstm_cell(
    input: &Tensor,
    hx: &[Tensor],
    w_ih: &Tensor,
    w_hh: &Tensor,
    b_ih: Option<&Tensor>,
    b_hh: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    let state = cell(Kind::Lstm, input, &pair("lstm_cell", hx)?, (w_ih, w_hh), (b_ih, b_hh))?;
    match state.c {
        Some(c) => Ok((state.h, c)),
        None => bail!(Internal, "an LSTM without c"),
    }
}
macro_rules! cells {
    ($($name:ident $kind:ident,)*) => {$(
        /// h after one step.
        pub fn $name(
            input: &Tensor,
            hx: &Tensor,
            w_ih: &Tensor,
            w_hh: &Tensor,
            b_ih: Option<&Tensor>,
            b_hh: Option<&Tensor>,
        ) -> Result<Tensor> {
            Ok(cell(Kind::$kind, input, &[hx], (w_ih, w_hh), (b_ih, b_hh))?.h)
        }
    )*};
}
cells! {
    gru_cell Gru,
    rnn_tanh_cell Tanh,
    rnn_relu_cell Relu,
}
