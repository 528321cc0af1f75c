//! Layers without parameters: activations, softmax, dropout, flatten, identity.

use super::single;
use crate::backend::Activation;
use crate::gate::front as ops;
use crate::nn::{one, Attribute, Layer, Module, Outputs};
use crate::tensor::print::{py_bool, py_float};
use crate::{ensure, Result, Tensor};

/// A layer that is one call: what it computes and how it prints.
struct Simple<F> {
    call: F,
    repr: String,
    activation: Option<Activation>,
    attributes: Attributes,
}
type Attributes = Vec<(&'static str, Attribute)>;
impl<F: Fn(&Module, &Tensor) -> Result<Tensor> + Send + Sync> Layer for Simple<F> {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        (self.call)(m, single(m, inputs)?).map(one)
    }
    fn attributes(&self, _: &Module) -> Attributes {
        self.attributes.clone()
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
    attributes: Attributes,
    call: impl Fn(&Module, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Module {
    Module::new(name, Simple { call, repr, activation: None, attributes })
}
/// A simple layer that a matrix product can apply.
fn fusing(
    name: &str,
    repr: String,
    activation: Option<Activation>,
    attributes: Attributes,
    call: impl Fn(&Module, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Module {
    Module::new(name, Simple { call, repr, activation, attributes })
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
    fusing("ReLU", inplace_text(inplace), Some(Activation::Relu), vec![("inplace", inplace.into())], move |_, x| {
        if inplace {
            in_place(x, ops::relu_)
        } else {
            ops::relu(x)
        }
    })
}
/// x sigmoid(x); `inplace` overwrites the input.
pub fn silu(inplace: bool) -> Module {
    simple("SiLU", inplace_text(inplace), vec![("inplace", inplace.into())], move |_, x| {
        if inplace {
            in_place(x, ops::silu_)
        } else {
            ops::silu(x)
        }
    })
}
/// 1 / (1 + exp(-x)).
pub fn sigmoid() -> Module {
    simple("Sigmoid", String::new(), vec![], |_, x| ops::sigmoid(x))
}
/// Hyperbolic tangent.
pub fn tanh() -> Module {
    simple("Tanh", String::new(), vec![], |_, x| ops::tanh(x))
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
    Ok(fusing("GELU", format!("approximate='{how}'"), activation, vec![("approximate", (&how).into())], move |_, x| {
        ops::gelu(x, &how)
    }))
}
/// x where positive, negative_slope * x elsewhere.
pub fn leaky_relu(negative_slope: f64, inplace: bool) -> Module {
    let repr = format!("negative_slope={}{}", py_float(negative_slope), if inplace { ", inplace=True" } else { "" });
    simple(
        "LeakyReLU",
        repr,
        vec![("negative_slope", negative_slope.into()), ("inplace", inplace.into())],
        move |_, x| {
            if inplace {
                in_place(x, |x| ops::copy_(x, &ops::leaky_relu(x, negative_slope.into())?))
            } else {
                ops::leaky_relu(x, negative_slope.into())
            }
        },
    )
}
/// exp(x) / sum exp(x) along `dim`.
pub fn softmax(dim: i64) -> Module {
    simple("Softmax", format!("dim={dim}"), vec![("dim", dim.into())], move |_, x| ops::softmax(x, dim, None))
}
/// log(softmax(x)) along `dim`.
pub fn log_softmax(dim: i64) -> Module {
    simple("LogSoftmax", format!("dim={dim}"), vec![("dim", dim.into())], move |_, x| ops::log_softmax(x, dim, None))
}
/// Dimensions start_dim to end_dim (inclusive, from the end when negative) become one.
pub fn flatten(start_dim: i64, end_dim: i64) -> Module {
    let repr = format!("start_dim={start_dim}, end_dim={end_dim}");
    simple("Flatten", repr, vec![("start_dim", start_dim.into()), ("end_dim", end_dim.into())], move |_, x| {
        ops::flatten(x, start_dim, end_dim)
    })
}
/// In training, zeroes elements with probability p and scales the others by 1 / (1 - p); otherwise the identity.
/// Fails with a Value error unless p is in [0, 1].
pub fn dropout(p: f64, inplace: bool) -> Result<Module> {
    ensure!((0.0..=1.0).contains(&p), Value, "dropout probability has to be between 0 and 1, but got {}", py_float(p));
    let repr = format!("p={}, inplace={}", py_float(p), py_bool(inplace));
    Ok(simple("Dropout", repr, vec![("p", p.into()), ("inplace", inplace.into())], move |m, x| {
        if inplace {
            in_place(x, |x| ops::dropout_(x, p, m.is_training(), None))
        } else {
            ops::dropout(x, p, m.is_training(), None)
        }
    }))
}
/// Its input.
pub fn identity() -> Module {
    simple("Identity", String::new(), vec![], |_, x| Ok(x.clone()))
}
