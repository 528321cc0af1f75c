//! Layers without parameters: activations, softmax, dropout, flatten, identity.

use super::single;
use crate::backend::Activation;
use crate::nn::{Layer, Module};
use crate::tensor::print::{py_bool, py_float};
use crate::{ensure, ops, Result, Tensor};

/// A layer that is one call: what it computes and how it prints.
struct Simple<F> {
    call: F,
    repr: String,
    activation: Option<Activation>,
}
impl<F: Fn(&Module, &Tensor) -> Result<Tensor> + Send + Sync> Layer for Simple<F> {
    fn forward(&self, m: &Module, inputs: &[Tensor]) -> Result<Tensor> {
        (self.call)(m, single(m, inputs)?)
    }
    fn activation(&self) -> Option<Activation> {
        self.activation
    }
    fn extra_repr(&self, _: &Module) -> Result<String> {
        Ok(self.repr.clone())
    }
}
fn simple(
    name: &str,
    repr: String,
    call: impl Fn(&Module, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Module {
    Module::new(name, Simple { call, repr, activation: None })
}
/// A simple layer that a matrix product can apply.
fn fusing(
    name: &str,
    repr: String,
    activation: Option<Activation>,
    call: impl Fn(&Module, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Module {
    Module::new(name, Simple { call, repr, activation })
}
fn inplace_text(inplace: bool) -> String {
    if inplace { "inplace=True" } else { "" }.to_string()
}
/// Runs the in-place op and gives its input back.
fn in_place(x: &Tensor, op: impl Fn(&Tensor) -> Result<()>) -> Result<Tensor> {
    op(x)?;
    Ok(x.clone())
}

/// max(x, 0); `inplace` overwrites the input.
pub fn relu(inplace: bool) -> Module {
    fusing("ReLU", inplace_text(inplace), Some(Activation::Relu), move |_, x| {
        if inplace {
            in_place(x, ops::relu_)
        } else {
            ops::relu(x)
        }
    })
}
/// x sigmoid(x); `inplace` overwrites the input.
pub fn silu(inplace: bool) -> Module {
    simple("SiLU", inplace_text(inplace), move |_, x| if inplace { in_place(x, ops::silu_) } else { ops::silu(x) })
}
/// 1 / (1 + exp(-x)).
pub fn sigmoid() -> Module {
    simple("Sigmoid", String::new(), |_, x| ops::sigmoid(x))
}
/// Hyperbolic tangent.
pub fn tanh() -> Module {
    simple("Tanh", String::new(), |_, x| ops::tanh(x))
}
/// x Phi(x); `approximate` is `none` or `tanh`, anything else a Value error.
pub fn gelu(approximate: &str) -> Result<Module> {
    ensure!(
        matches!(approximate, "none" | "tanh"),
        Value,
        "approximate argument must be either none or tanh, got '{approximate}'"
    );
    let how = approximate.to_string();
    let activation = (how == "tanh").then_some(Activation::Gelu);
    Ok(fusing("GELU", format!("approximate='{how}'"), activation, move |_, x| ops::gelu(x, &how)))
}
/// x where positive, negative_slope * x elsewhere.
pub fn leaky_relu(negative_slope: f64, inplace: bool) -> Module {
    let repr = format!("negative_slope={}{}", py_float(negative_slope), if inplace { ", inplace=True" } else { "" });
    simple("LeakyReLU", repr, move |_, x| {
        if inplace {
            in_place(x, |x| ops::copy_(x, &ops::leaky_relu(x, negative_slope.into())?))
        } else {
            ops::leaky_relu(x, negative_slope.into())
        }
    })
}
/// exp(x) / sum exp(x) along `dim`.
pub fn softmax(dim: i64) -> Module {
    simple("Softmax", format!("dim={dim}"), move |_, x| ops::softmax(x, dim, None))
}
/// log(softmax(x)) along `dim`.
pub fn log_softmax(dim: i64) -> Module {
    simple("LogSoftmax", format!("dim={dim}"), move |_, x| ops::log_softmax(x, dim, None))
}
/// Dimensions start_dim to end_dim (inclusive, from the end when negative) become one.
pub fn flatten(start_dim: i64, end_dim: i64) -> Module {
    let repr = format!("start_dim={start_dim}, end_dim={end_dim}");
    simple("Flatten", repr, move |_, x| ops::flatten(x, start_dim, end_dim))
}
/// In training, zeroes elements with probability p and scales the others by 1 / (1 - p); otherwise the identity.
/// Fails with a Value error unless p is in [0, 1].
pub fn dropout(p: f64, inplace: bool) -> Result<Module> {
    ensure!((0.0..=1.0).contains(&p), Value, "dropout probability has to be between 0 and 1, but got {}", py_float(p));
    let repr = format!("p={}, inplace={}", py_float(p), py_bool(inplace));
    Ok(simple("Dropout", repr, move |m, x| {
        if inplace {
            in_place(x, |x| ops::dropout_(x, p, m.is_training(), None))
        } else {
            ops::dropout(x, p, m.is_training(), None)
        }
    }))
}
/// Its input.
pub fn identity() -> Module {
    simple("Identity", String::new(), |_, x| Ok(x.clone()))
}
