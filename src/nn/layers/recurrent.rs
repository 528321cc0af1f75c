//! Recurrent layers and cells: their weights by name, and their calls.

use crate::backend::memory;
use crate::gate::front as ops;
use crate::nn::{one, Module, Outputs};
use crate::{bail, ensure, Result, Tensor};

/// What the weights of all layers follow from.
pub struct Weights {
    pub gates: i64,
    pub input: i64,
    pub hidden: i64,
    pub layers: i64,
    pub bias: bool,
    pub bidirectional: bool,
    pub projection: i64,
}
impl Weights {
    /// Each layer is several tensors: more than this is a mistake, and would be no end of them.
    const MOST_LAYERS: i64 = 1 << 16;

    pub fn check(&self) -> Result<()> {
        let most = Weights::MOST_LAYERS;
        ensure!(self.layers <= most, Value, "num_layers must be at most {most}, got {}", self.layers);
        Ok(())
    }
    /// The size of h.
    pub fn output(&self) -> i64 {
        if self.projection > 0 {
            self.projection
        } else {
            self.hidden
        }
    }
    /// The names of a layer's weights, in order.
    pub fn names(&self, layer: i64) -> Vec<String> {
        let kinds = [
            ("weight_ih", true),
            ("weight_hh", true),
            ("bias_ih", self.bias),
            ("bias_hh", self.bias),
            ("weight_hr", self.projection > 0),
        ];
        let mut all = Vec::new();
        for suffix in ["", "_reverse"].iter().take(1 + self.bidirectional as usize) {
            all.extend(kinds.iter().filter(|k| k.1).map(|k| format!("{}_l{layer}{suffix}", k.0)));
        }
        all
    }
}

/// A layer's call.
pub struct Call<'a> {
    pub op: &'static str,
    pub weights: Weights,
    pub batch_first: bool,
    pub dropout: f64,
    pub nonlinearity: &'a str,
}

/// The inputs are the sequence (time, batch, features), or (time, features), and the state, which is zero without.
pub fn sequence(m: &Module, x: &[&Tensor], call: &Call) -> Result<Outputs> {
    let input = x[0];
    ensure!(
        matches!(input.ndim(), 2 | 3),
        Value,
        "{}: Expected input to be 2D or 3D, got {}D instead",
        m.name(),
        input.ndim()
    );
    let single = input.ndim() == 2;
    let at = if call.batch_first { 0 } else { 1 };
    let batched = |t: &Tensor, dim: i64| if single { ops::unsqueeze(t, dim) } else { Ok(t.clone()) };
    let input = batched(input, at)?;
    let mut params = Vec::new();
    let w = &call.weights;
    for layer in 0..w.layers {
        for name in w.names(layer) {
            memory::push(&mut params, m.need(&name)?)?;
        }
    }
    let states = states(m, x, call.op == "lstm")?;
    let (layers, batch) = (w.layers * (1 + w.bidirectional as i64), input.size(at)?);
    let mut hx = Vec::new();
    for (i, size) in [w.output(), w.hidden].into_iter().enumerate().take(1 + (call.op == "lstm") as usize) {
        hx.push(match states.get(i) {
            Some(t) => {
                let wanted = 2 + !single as usize;
                ensure!(
                    t.ndim() == wanted,
                    Runtime,
                    "For {} input, hx should also be {wanted}-D but got {}-D tensor",
                    if single { "unbatched 2-D" } else { "batched 3-D" },
                    t.ndim()
                );
                batched(t, 1)?
            }
            None => ops::zeros(&[layers, batch, size], Some(input.dtype()), Some(input.device()))?,
        });
    }
    let c = call;
    let (bias, train) = (w.bias, m.is_training());
    let plain = match (c.op, c.nonlinearity) {
        ("lstm", _) => {
            let (out, h, c) =
                ops::lstm(&input, &hx, &params, bias, w.layers, c.dropout, train, w.bidirectional, c.batch_first)?;
            vec![out, h, c]
        }
        (op, word) => {
            let op = match (op, word) {
                ("gru", _) => ops::gru,
                (_, "relu") => ops::rnn_relu,
                _ => ops::rnn_tanh,
            };
            let (out, h) =
                op(&input, &hx[0], &params, bias, w.layers, c.dropout, train, w.bidirectional, c.batch_first)?;
            vec![out, h]
        }
    };
    let mut all = Vec::new();
    for (i, t) in plain.into_iter().enumerate() {
        all.push(Some(if single { ops::squeeze_dim(&t, if i == 0 { at } else { 1 })? } else { t }));
    }
    Ok(Outputs::from_vec(all))
}

/// The state that was given: h, for an LSTM h and c, or nothing.
fn states<'a>(m: &Module, x: &[&'a Tensor], both: bool) -> Result<Vec<&'a Tensor>> {
    let given = &x[1..];
    if both && given.len() == 1 {
        bail!(Type, "{}.forward() takes h_0 and c_0 together, got h_0 alone", m.name());
    }
    Ok(given.to_vec())
}

/// One step of a cell.
pub fn cell(m: &Module, x: &[&Tensor], op: &str, hidden: i64, nonlinearity: &str) -> Result<Outputs> {
    let both = op == "lstm_cell";
    let mut hx: Vec<Tensor> = states(m, x, both)?.into_iter().cloned().collect();
    if hx.is_empty() {
        let mut shape = x[0].shape();
        ensure!(!shape.is_empty(), Value, "{}: Expected input to be 1D or 2D, got 0D instead", m.name());
        let last = shape.len() - 1;
        shape[last] = hidden;
        let zeros = ops::zeros(&shape, Some(x[0].dtype()), Some(x[0].device()))?;
        hx = vec![zeros; 1 + both as usize];
    }
    let (w_ih, w_hh) = (m.need("weight_ih")?, m.need("weight_hh")?);
    let (b_ih, b_hh) = (m.parameter("bias_ih"), m.parameter("bias_hh"));
    if both {
        let (h, c) = ops::lstm_cell(x[0], &hx, &w_ih, &w_hh, b_ih.as_ref(), b_hh.as_ref())?;
        return Ok(Outputs::from_vec(vec![Some(h), Some(c)]));
    }
    let op = match (op, nonlinearity) {
        ("gru_cell", _) => ops::gru_cell,
        (_, "relu") => ops::rnn_relu_cell,
        _ => ops::rnn_tanh_cell,
    };
    op(x[0], &hx[0], &w_ih, &w_hh, b_ih.as_ref(), b_hh.as_ref()).map(one)
}
