//! Recurrent layers: one step of a cell, and whole sequences of layers, directions and batches that shrink.
//!
//! The elementwise part of a step is one program over the gates, and so is its derivative; where that derivative is itself
//! recorded, the same formulas run as ops. Conventions are PyTorch's: gates lie side by side as i, f, g, o (LSTM) and r, z, n
//! (GRU), weights come layer by layer and direction by direction as w_ih, w_hh, b_ih, b_hh, w_hr.

use super::sequence::whole;
use super::*;
use crate::autograd::{record_many, recording};
use crate::backend::memory;
use crate::backend::program::{Inst, Opcode, Program, Src};
use crate::{backend, bail, ensure, grads};
use smallvec::SmallVec;

const ONE: Scalar = Scalar::Int(1);

/// The formulas of a step: a program, whose one scalar is 1, and which of its values are the results.
struct Formulas {
    ty: DType,
    insts: SmallVec<[Inst; 4]>,
    results: SmallVec<[u8; 5]>,
}
impl Formulas {
    fn new(dtype: DType) -> Formulas {
        Formulas { ty: dtype.compute(), insts: SmallVec::new(), results: SmallVec::new() }
    }
    fn put(&mut self, op: Opcode, a: Src, b: Src) -> Src {
        self.insts.push(Inst { op, ty: self.ty, args: [a, b, a] });
        Src::Reg(self.insts.len() as u8 - 1)
    }
    fn result(&mut self, value: Src) {
        if let Src::Reg(r) = value {
            self.results.push(r);
        }
    }
    fn add(&mut self, a: Src, b: Src) -> Src {
        self.put(Opcode::Add, a, b)
    }
    fn sub(&mut self, a: Src, b: Src) -> Src {
        self.put(Opcode::Sub, a, b)
    }
    fn mul(&mut self, a: Src, b: Src) -> Src {
        self.put(Opcode::Mul, a, b)
    }
    fn sigmoid(&mut self, a: Src) -> Src {
        self.put(Opcode::Sigmoid, a, a)
    }
    fn tanh(&mut self, a: Src) -> Src {
        self.put(Opcode::Tanh, a, a)
    }
    /// 1 - a
    fn rest(&mut self, a: Src) -> Src {
        self.put(Opcode::Sub, Src::Scalar(0), a)
    }
    /// g * s * (1 - s), for the sigmoid s.
    fn through_sigmoid(&mut self, g: Src, s: Src) -> Src {
        let slope = self.rest(s);
        let slope = self.mul(s, slope);
        self.mul(g, slope)
    }
    /// g * (1 - t * t), for the hyperbolic tangent t.
    fn through_tanh(&mut self, g: Src, t: Src) -> Src {
        let square = self.mul(t, t);
        let slope = self.rest(square);
        self.mul(g, slope)
    }

    /// Runs them over `inputs`, all of one shape and dtype, in one pass; no history.
    fn run(self, inputs: &[Tensor], outputs: &[Tensor]) -> Result<()> {
        let dtype = inputs[0].dtype();
        if inputs[0].numel() == 0 {
            return Ok(());
        }
        let program = Program {
            inputs: inputs.iter().map(|_| dtype).collect(),
            insts: self.insts,
            outputs: self.results.iter().map(|r| (*r, dtype)).collect(),
        };
        let bodies: SmallVec<[_; 16]> = inputs.iter().chain(outputs).map(Tensor::materialize).collect();
        let views: SmallVec<[_; 16]> = bodies.iter().map(|b| b.view()).collect();
        let (given, out) = views.split_at(inputs.len());
        backend::get(inputs[0].device())?.run_program(&program, given, &[ONE], out)
    }
    /// Runs them as ops, which are recorded.
    fn eager(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut values: Vec<Tensor> = memory::with_capacity(self.insts.len())?;
        for inst in &self.insts {
            let (mut a, mut b) = (None, None);
            for (slot, src) in [(&mut a, inst.args[0]), (&mut b, inst.args[1])] {
                *slot = match src {
                    Src::Input(i) => Some(&inputs[i as usize]),
                    Src::Reg(r) => Some(&values[r as usize]),
                    Src::Scalar(_) => None,
                };
            }
            values.push(match (inst.op, a, b) {
                (Opcode::Sub, None, Some(b)) => rsub_scalar(b, ONE, ONE)?,
                (Opcode::Add, Some(a), Some(b)) => add(a, b, ONE)?,
                (Opcode::Sub, Some(a), Some(b)) => sub(a, b, ONE)?,
                (Opcode::Mul, Some(a), Some(b)) => mul(a, b)?,
                (Opcode::Sigmoid, Some(a), _) => sigmoid(a)?,
                (Opcode::Tanh, Some(a), _) => tanh(a)?,
                _ => bail!(Internal, "a formula has no op {:?}", inst.op),
            });
        }
        memory::collect(self.results.iter().map(|r| values[*r as usize].clone()))
    }
}

/// The gates that lie side by side in (batch, n * hidden).
fn gates(x: &Tensor, n: i64, to: &mut Vec<Tensor>) -> Result<()> {
    let hidden = x.shape()[1] / n;
    for i in 0..n {
        to.push(narrow(x, 1, i * hidden, hidden)?);
    }
    Ok(())
}
/// The inputs of a step's formulas: the gates' two parts, and what else there is.
fn operands(x: &Tensor, y: &Tensor, n: i64, more: &[&Tensor]) -> Result<Vec<Tensor>> {
    let mut all = memory::with_capacity(2 * n as usize + more.len())?;
    gates(x, n, &mut all)?;
    gates(y, n, &mut all)?;
    all.extend(more.iter().map(|t| (*t).clone()));
    Ok(all)
}
const fn input(i: u8) -> Src {
    Src::Input(i)
}

/// i, f, g, o, the new c, and its hyperbolic tangent; inputs are the gates' two parts and c.
fn lstm_parts(m: &mut Formulas) -> [Src; 6] {
    let [i, f, g, o] = [0, 1, 2, 3].map(|k| m.add(input(4 + k), input(k)));
    let (i, f, g, o) = (m.sigmoid(i), m.sigmoid(f), m.tanh(g), m.sigmoid(o));
    let (kept, new) = (m.mul(f, input(8)), m.mul(i, g));
    let cell = m.add(kept, new);
    let shown = m.tanh(cell);
    [i, f, g, o, cell, shown]
}
/// h and the new c.
fn lstm_formulas(dtype: DType) -> Formulas {
    let mut m = Formulas::new(dtype);
    let [_, _, _, o, cell, shown] = lstm_parts(&mut m);
    let h = m.mul(o, shown);
    m.result(h);
    m.result(cell);
    m
}
/// The gradients of the gates and of c, from those of h and of the new c, inputs 9 and 10, either of which may be absent.
fn lstm_slopes(dtype: DType, has_h: bool, has_c: bool) -> Formulas {
    let mut m = Formulas::new(dtype);
    let [i, f, g, o, _, shown] = lstm_parts(&mut m);
    let gc = input(9 + has_h as u8);
    let (dc, d_o) = if has_h {
        let d = m.mul(input(9), o);
        let d = m.through_tanh(d, shown);
        let d_o = m.mul(input(9), shown);
        (if has_c { m.add(d, gc) } else { d }, m.through_sigmoid(d_o, o))
    } else {
        let none = m.sub(o, o);
        (m.add(gc, none), none)
    };
    let (d_i, d_f, d_g) = (m.mul(dc, g), m.mul(dc, input(8)), m.mul(dc, i));
    let all = [m.through_sigmoid(d_i, i), m.through_sigmoid(d_f, f), m.through_tanh(d_g, g), d_o, m.mul(dc, f)];
    all.into_iter().for_each(|s| m.result(s));
    m
}

/// h and c after a step, from the gates' two parts (batch, 4 * hidden) and c (batch, hidden).
fn lstm_step(x: &Tensor, y: &Tensor, c: &Tensor) -> Result<(Tensor, Tensor)> {
    let out = [empty_like(c, None, None)?, empty_like(c, None, None)?];
    let plain = autograd::no_grad(|| operands(x, y, 4, &[c]))?;
    lstm_formulas(c.dtype()).run(&plain, &out)?;
    let [h, cell] = out;
    record_many("LstmStepBackward0", &[x, y, c], &[&h, &cell], |s| {
        let saved = (s.save(x), s.save(y), s.save(c));
        move |ctx, g| {
            let (x, y, c) = (saved.0.get(ctx)?, saved.1.get(ctx)?, saved.2.get(ctx)?);
            let (has_h, has_c) = (g[0].is_some(), g[1].is_some());
            if !has_h && !has_c {
                return Ok(Grads::new());
            }
            let mut all = operands(&x, &y, 4, &[&c])?;
            all.extend(g.iter().flatten().cloned());
            let slopes = lstm_slopes(c.dtype(), has_h, has_c);
            if recording(&all.iter().collect::<Vec<_>>()) {
                let d = slopes.eager(&all)?;
                let dx = cat(&d[..4], 1)?;
                return Ok(grads![Some(dx.clone()), Some(dx), Some(d[4].clone())]);
            }
            let (dx, dc) = (empty_like(&y, None, None)?, empty_like(&c, None, None)?);
            let mut out = memory::with_capacity(5)?;
            gates(&dx, 4, &mut out)?;
            out.push(dc.clone());
            slopes.run(&all, &out)?;
            Ok(grads![Some(dx.clone()), Some(dx), Some(dc)])
        }
    })?;
    Ok((h, cell))
}

/// r, z, n; inputs are the gates' two parts and h.
fn gru_parts(m: &mut Formulas) -> [Src; 3] {
    let (r, z) = (m.add(input(3), input(0)), m.add(input(4), input(1)));
    let (r, z) = (m.sigmoid(r), m.sigmoid(z));
    let n = m.mul(input(5), r);
    let n = m.add(input(2), n);
    [r, z, m.tanh(n)]
}
fn gru_formulas(dtype: DType) -> Formulas {
    let mut m = Formulas::new(dtype);
    let [_, z, n] = gru_parts(&mut m);
    let apart = m.sub(input(6), n);
    let kept = m.mul(apart, z);
    let h = m.add(kept, n);
    m.result(h);
    m
}
/// The gradients of r's, z's and n's sums, of n's recurrent part, and of h, from that of the new h, input 7.
fn gru_slopes(dtype: DType) -> Formulas {
    let mut m = Formulas::new(dtype);
    let [r, z, n] = gru_parts(&mut m);
    let (apart, new, g) = (m.sub(input(6), n), m.rest(z), input(7));
    let (d_z, d_n) = (m.mul(g, apart), m.mul(g, new));
    let (d_z, d_n) = (m.through_sigmoid(d_z, z), m.through_tanh(d_n, n));
    let d_r = m.mul(d_n, input(5));
    for s in [m.through_sigmoid(d_r, r), d_z, d_n, m.mul(d_n, r), m.mul(g, z)] {
        m.result(s);
    }
    m
}
/// h after a step, from the input's and the recurrent part of the gates (batch, 3 * hidden) and h (batch, hidden).
fn gru_step(x: &Tensor, y: &Tensor, h: &Tensor) -> Result<Tensor> {
    let out = [empty_like(h, None, None)?];
    let plain = autograd::no_grad(|| operands(x, y, 3, &[h]))?;
    gru_formulas(h.dtype()).run(&plain, &out)?;
    let [out] = out;
    record_many("GruStepBackward0", &[x, y, h], &[&out], |s| {
        let saved = (s.save(x), s.save(y), s.save(h));
        move |ctx, g| {
            let Some(g) = &g[0] else { return Ok(Grads::new()) };
            let (x, y, h) = (saved.0.get(ctx)?, saved.1.get(ctx)?, saved.2.get(ctx)?);
            let all = operands(&x, &y, 3, &[&h, g])?;
            let slopes = gru_slopes(h.dtype());
            if recording(&all.iter().collect::<Vec<_>>()) {
                let d = slopes.eager(&all)?;
                let dx = cat(&d[..3], 1)?;
                let dy = cat(&[d[0].clone(), d[1].clone(), d[3].clone()], 1)?;
                return Ok(grads![Some(dx), Some(dy), Some(d[4].clone())]);
            }
            let (dx, dy) = (empty_like(&y, None, None)?, empty_like(&y, None, None)?);
            let dh = empty_like(&h, None, None)?;
            let mut out = memory::with_capacity(5)?;
            gates(&dx, 3, &mut out)?;
            let hidden = h.shape()[1];
            out.extend([narrow(&dy, 1, 2 * hidden, hidden)?, dh.clone()]);
            slopes.run(&all, &out)?;
            narrow(&dy, 1, 0, 2 * hidden)?.copy_from(&narrow(&dx, 1, 0, 2 * hidden)?)?;
            Ok(grads![Some(dx), Some(dy), Some(dh)])
        }
    })?;
    Ok(out)
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
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
pub(super) struct State {
    pub h: Tensor,
    pub c: Option<Tensor>,
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
            if some.is_empty() {
                Ok(None)
            } else {
                cat(&some, 0).map(Some)
            }
        };
        match all(|s| Some(&s.h))? {
            Some(h) => Ok(State { h, c: all(|s| s.c.as_ref())? }),
            None => bail!(Internal, "no states to join"),
        }
    }
}

/// The weights of a layer in one direction.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a> {
    pub kind: Kind,
    pub w_ih: &'a Tensor,
    pub w_hh: &'a Tensor,
    pub b_ih: Option<&'a Tensor>,
    pub b_hh: Option<&'a Tensor>,
    pub w_hr: Option<&'a Tensor>,
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
    pub fn hidden(&self) -> i64 {
        self.w_hh.shape()[0] / self.kind.gates()
    }
    /// The input's part of the gates, of one step or of many.
    pub fn of_input(&self, x: &Tensor) -> Result<Tensor> {
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

/// The outputs of all steps as one tensor.
pub(super) fn joined(outs: &[Tensor], packed: bool) -> Result<Tensor> {
    if packed {
        cat(outs, 0)
    } else {
        stack(outs, 0)
    }
}
/// One layer in one direction step by step, from the input's part of the gates: the outputs in order of time, and the last
/// state of each row.
pub(super) fn direction(
    cell: &Cell,
    gates: &Tensor,
    first: &State,
    sizes: Option<&[i64]>,
    backwards: bool,
) -> Result<(Vec<Tensor>, State)> {
    let inputs = steps(gates, sizes)?;
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

/// Refuses a state that is not of the input's dtype, or on another device.
fn check_states(name: &str, input: &Tensor, hx: &[&Tensor]) -> Result<()> {
    for h in hx {
        let (x, y) = (input.dtype(), h.dtype());
        ensure!(
            x == y,
            Runtime,
            "{name}: Input and hidden tensors are not the same dtype, found input of {x} and hidden of {y}"
        );
        pointwise::same_device(input, h)?;
    }
    Ok(())
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
    let projected =
        l.kind == Kind::Lstm && hx[0].ndim() == 3 && hx[1].ndim() == 3 && hx[0].shape()[2] != hx[1].shape()[2];
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
    ensure!(input.ndim() == steps, Runtime, "{name}: input must have {steps} dimensions, got {}", input.ndim());
    let features = input.shape()[steps - 1];
    let batch = match sizes {
        Some(s) => s[0],
        None => input.shape()[1],
    };
    ensure!(sizes.is_some() || input.shape()[0] > 0, Runtime, "Expected sequence length to be larger than 0 in RNN");
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
    check_states(name, input, hx)?;
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
            let (out, last) = match whole(cell, &x, &start, sizes, d == 1)? {
                Some(done) => done,
                None => {
                    let (outs, last) = direction(cell, &cell.of_input(&x)?, &start, sizes, d == 1)?;
                    (joined(&outs, sizes.is_some())?, last)
                }
            };
            halves.push(out);
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
        batch_sizes.ndim() == 1 && batch_sizes.dtype() == DType::I64,
        Runtime,
        "{name}: batch_sizes must be a 1-D int64 tensor, got {} of {:?}",
        batch_sizes.dtype(),
        &batch_sizes.shape()[..]
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
    ensure!(features == wanted, Runtime, "input has inconsistent input_size: got {features} expected {wanted}");
    check_states(name, input, hx)?;
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
