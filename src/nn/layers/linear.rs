//! Linear and Embedding: a matrix, applied or looked up.

use super::{not_negative, parameter, positive, single, Place};
use crate::backend::Activation;
use crate::gate::front as ops;
use crate::nn::{lazy, one, Attribute, Layer, Module, Outputs};
use crate::tensor::print::py_bool;
use crate::{autograd, ensure, Result, Tensor};
use std::sync::atomic::{AtomicI64, Ordering};

struct Linear {
    /// 0 until the first input of a lazy one.
    in_features: AtomicI64,
    out_features: i64,
}
impl Layer for Linear {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        let x = single(m, inputs)?;
        ops::linear(x, &m.need("weight")?, m.parameter("bias").as_ref()).map(one)
    }
    fn forward_activated(&self, m: &Module, inputs: &[Option<Tensor>], then: Activation) -> Option<Result<Tensor>> {
        let run = || {
            let (weight, bias) = (m.need("weight")?, m.parameter("bias"));
            ops::linear_activation(single(m, inputs)?, &weight, bias.as_ref(), then == Activation::Gelu)
        };
        Some(run())
    }
    fn extra_repr(&self, m: &Module) -> Result<String> {
        let bias = py_bool(m.parameter("bias").is_some());
        let from = self.in_features.load(Ordering::Relaxed);
        Ok(format!("in_features={from}, out_features={}, bias={bias}", self.out_features))
    }
    fn attributes(&self, _: &Module) -> Vec<(&'static str, Attribute)> {
        let from = self.in_features.load(Ordering::Relaxed);
        vec![("in_features", from.into()), ("out_features", self.out_features.into())]
    }
    fn initialize(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<()> {
        let x = lazy::first(m, inputs)?;
        ensure!(x.ndim() > 0, Runtime, "{} needs an input of at least one dimension", m.name());
        let fresh = m.is_uninitialized("weight");
        m.materialize("weight", &[self.out_features, x.shape()[x.ndim() - 1]])?;
        m.materialize("bias", &[self.out_features])?;
        let weight = m.need("weight")?;
        if fresh {
            ops::init_default_(&weight, m.parameter("bias").as_ref(), None)?;
        }
        self.in_features.store(weight.shape()[1], Ordering::Relaxed);
        m.become_type("Linear");
        Ok(())
    }
}

/// x W^T + b: [.., in_features] to [.., out_features]. Parameters `weight` [out_features, in_features] and, unless
/// `bias` is false, `bias` [out_features]. Fails with a Value error for negative sizes.
pub fn linear(in_features: i64, out_features: i64, bias: bool) -> Result<Module> {
    linear_at(in_features, out_features, bias, Place::default())
}
/// [`linear`] with a dtype and a device.
pub fn linear_at(in_features: i64, out_features: i64, bias: bool, place: Place) -> Result<Module> {
    not_negative("in_features", &[in_features])?;
    not_negative("out_features", &[out_features])?;
    let weight = place.parameter(&[out_features, in_features])?;
    let b = if bias { Some(place.parameter(&[out_features])?) } else { None };
    ops::init_default_(&weight, b.as_ref(), None)?;
    let m = Module::new("Linear", Linear { in_features: AtomicI64::new(in_features), out_features });
    m.register_parameter("weight", Some(weight))?;
    m.register_parameter("bias", b)?;
    Ok(m)
}
/// A [`linear`] that takes `in_features` from its first input.
pub fn lazy_linear(out_features: i64, bias: bool, place: Place) -> Result<Module> {
    not_negative("out_features", &[out_features])?;
    let m = Module::new("LazyLinear", Linear { in_features: AtomicI64::new(0), out_features });
    let (dtype, device) = place.get();
    m.register_uninitialized_parameter("weight", dtype, device)?;
    match bias {
        true => m.register_uninitialized_parameter("bias", dtype, device)?,
        false => m.register_parameter("bias", None)?,
    }
    Ok(m)
}

struct Embedding {
    num: i64,
    dim: i64,
    padding_idx: Option<i64>,
}
impl Layer for Embedding {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        ops::embedding(&m.need("weight")?, single(m, inputs)?, self.padding_idx.unwrap_or(-1)).map(one)
    }
    fn attributes(&self, _: &Module) -> Vec<(&'static str, Attribute)> {
        vec![
            ("num_embeddings", self.num.into()),
            ("embedding_dim", self.dim.into()),
            ("padding_idx", self.padding_idx.into()),
        ]
    }
    fn extra_repr(&self, _: &Module) -> Result<String> {
        let padding = self.padding_idx.map_or(String::new(), |p| format!(", padding_idx={p}"));
        Ok(format!("{}, {}{padding}", self.num, self.dim))
    }
}

/// Rows of a table: integers of any shape to vectors of `embedding_dim`. Parameter `weight` [num_embeddings,
/// embedding_dim]. The row `padding_idx` (negative counts from the end) starts as zeros and gets no gradient.
/// Fails with a Value error for sizes that are not positive or an index outside the table.
pub fn embedding(num_embeddings: i64, embedding_dim: i64, padding_idx: Option<i64>) -> Result<Module> {
    positive("num_embeddings", &[num_embeddings])?;
    not_negative("embedding_dim", &[embedding_dim])?;
    let padding_idx = match padding_idx {
        Some(p) => {
            ensure!((-num_embeddings..num_embeddings).contains(&p), Value, "Padding_idx must be within num_embeddings");
            Some(if p < 0 { p + num_embeddings } else { p })
        }
        None => None,
    };
    let weight = parameter(&[num_embeddings, embedding_dim])?;
    ops::init_normal_(&weight, 0.0, 1.0, None)?;
    if let Some(p) = padding_idx {
        autograd::no_grad(|| ops::zero_(&ops::select(&weight, 0, p)?))?;
    }
    let m = Module::new("Embedding", Embedding { num: num_embeddings, dim: embedding_dim, padding_idx });
    m.register_parameter("weight", Some(weight))?;
    Ok(m)
}
