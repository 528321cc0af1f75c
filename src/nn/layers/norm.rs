//! LayerNorm and BatchNorm.

use super::{not_negative, parameter, positive, single};
use crate::gate::front as ops;
use crate::nn::{one, Attribute, Layer, Module, Outputs};
use crate::tensor::print::{py_bool, py_float, py_tuple};
use crate::{ensure, Result, Tensor};

struct LayerNorm {
    shape: Vec<i64>,
    eps: f64,
}
impl Layer for LayerNorm {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        let (weight, bias) = (m.parameter("weight"), m.parameter("bias"));
        ops::layer_norm(single(m, inputs)?, &self.shape, weight.as_ref(), bias.as_ref(), self.eps).map(one)
    }
    fn attributes(&self, m: &Module) -> Vec<(&'static str, Attribute)> {
        vec![
            ("normalized_shape", (&self.shape).into()),
            ("eps", self.eps.into()),
            ("elementwise_affine", m.parameter("weight").is_some().into()),
        ]
    }
    fn extra_repr(&self, m: &Module) -> Result<String> {
        Ok(format!(
            "{}, eps={}, elementwise_affine={}, bias={}",
            py_tuple(&self.shape),
            py_float(self.eps),
            py_bool(m.parameter("weight").is_some()),
            py_bool(m.parameter("bias").is_some())
        ))
    }
}

/// Mean 0 and variance 1 over the trailing dimensions `normalized_shape`, then (`elementwise_affine`) times `weight`
/// and (`bias`) plus `bias`, both of that shape. PyTorch's eps is 1e-5. Fails with a Value error for an empty or
/// negative shape.
pub fn layer_norm(normalized_shape: &[i64], eps: f64, elementwise_affine: bool, bias: bool) -> Result<Module> {
    ensure!(!normalized_shape.is_empty(), Value, "normalized_shape must have at least one dimension");
    not_negative("normalized_shape", normalized_shape)?;
    let m = Module::new("LayerNorm", LayerNorm { shape: normalized_shape.to_vec(), eps });
    affine(&m, normalized_shape, elementwise_affine, elementwise_affine && bias)?;
    Ok(m)
}

fn affine(m: &Module, shape: &[i64], weight: bool, bias: bool) -> Result<()> {
    let (mut w, mut b) = (None, None);
    if weight {
        let t = parameter(shape)?;
        ops::init_ones_(&t)?;
        w = Some(t);
    }
    if bias {
        let t = parameter(shape)?;
        ops::init_zeros_(&t)?;
        b = Some(t);
    }
    m.register_parameter("weight", w)?;
    m.register_parameter("bias", b)
}

/// Options of batch normalisation; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormOptions {
    pub eps: f64,
    /// Weight of the newest batch in the running statistics; None is the plain mean over all batches.
    pub momentum: Option<f64>,
    pub affine: bool,
    pub track_running_stats: bool,
}
impl Default for BatchNormOptions {
    fn default() -> Self {
        BatchNormOptions { eps: 1e-5, momentum: Some(0.1), affine: true, track_running_stats: true }
    }
}

struct BatchNorm {
    features: i64,
    /// Ranks of the input that are accepted.
    ranks: [usize; 2],
    options: BatchNormOptions,
}
impl Layer for BatchNorm {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        let x = single(m, inputs)?;
        let rank = x.ndim();
        ensure!(
            self.ranks.contains(&rank),
            Value,
            "expected {}D input (got {rank}D input)",
            if self.ranks[0] == self.ranks[1] {
                self.ranks[0].to_string()
            } else {
                format!("{}D or {}", self.ranks[0], self.ranks[1])
            }
        );
        let (mean, var) = (m.buffer("running_mean"), m.buffer("running_var"));
        let mut momentum = self.options.momentum.unwrap_or(0.0);
        if m.is_training() && self.options.track_running_stats {
            if let Some(count) = m.buffer("num_batches_tracked") {
                ops::add_scalar_(&count, 1.into(), 1.into())?;
                if self.options.momentum.is_none() {
                    momentum = 1.0 / count.item()?.to_f64();
                }
            }
        }
        // Without running statistics the batch's own are used in evaluation too.
        let batch_stats = m.is_training() || mean.is_none();
        let (weight, bias) = (m.parameter("weight"), m.parameter("bias"));
        ops::batch_norm(
            x,
            weight.as_ref(),
            bias.as_ref(),
            mean.as_ref(),
            var.as_ref(),
            batch_stats,
            momentum,
            self.options.eps,
        )
        .map(one)
    }
    fn attributes(&self, _: &Module) -> Vec<(&'static str, Attribute)> {
        vec![
            ("num_features", self.features.into()),
            ("eps", self.options.eps.into()),
            ("momentum", self.options.momentum.into()),
            ("affine", self.options.affine.into()),
            ("track_running_stats", self.options.track_running_stats.into()),
        ]
    }
    fn extra_repr(&self, m: &Module) -> Result<String> {
        Ok(format!(
            "{}, eps={}, momentum={}, affine={}, bias={}, track_running_stats={}",
            self.features,
            py_float(self.options.eps),
            self.options.momentum.map_or("None".to_string(), py_float),
            py_bool(self.options.affine),
            py_bool(m.parameter("bias").is_some()),
            py_bool(self.options.track_running_stats)
        ))
    }
    fn optional_keys(&self) -> &'static [&'static str] {
        &["num_batches_tracked"]
    }
}

fn batch_norm(name: &str, ranks: [usize; 2], num_features: i64, o: &BatchNormOptions) -> Result<Module> {
    positive("num_features", &[num_features])?;
    let m = Module::new(name, BatchNorm { features: num_features, ranks, options: o.clone() });
    affine(&m, &[num_features], o.affine, o.affine)?;
    let (mut mean, mut var, mut count) = (None, None, None);
    if o.track_running_stats {
        let (zero, one) = (parameter(&[num_features])?, parameter(&[num_features])?);
        ops::init_zeros_(&zero)?;
        ops::init_ones_(&one)?;
        (mean, var, count) = (Some(zero), Some(one), Some(Tensor::from_slice(&[0i64], &[])?));
    }
    m.register_buffer("running_mean", mean, true)?;
    m.register_buffer("running_var", var, true)?;
    m.register_buffer("num_batches_tracked", count, true)?;
    Ok(m)
}

/// Per channel of [n, c] or [n, c, l]: mean 0 and variance 1 over the batch in training, by the running statistics in
/// evaluation. Parameters `weight`, `bias`, buffers `running_mean`, `running_var`, `num_batches_tracked`.
pub fn batch_norm1d(num_features: i64, options: &BatchNormOptions) -> Result<Module> {
    batch_norm("BatchNorm1d", [2, 3], num_features, options)
}
/// [`batch_norm1d`] of [n, c, h, w].
pub fn batch_norm2d(num_features: i64, options: &BatchNormOptions) -> Result<Module> {
    batch_norm("BatchNorm2d", [4, 4], num_features, options)
}
