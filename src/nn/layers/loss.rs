//! Losses: modules of two inputs, the prediction and the target.

use crate::gate::front as ops;
use crate::nn::{one, Attribute, Layer, Module, Outputs};
use crate::{bail, ensure, Result, Tensor};

struct Loss<F>(F, Vec<(&'static str, Attribute)>);
impl<F: Fn(&Module, &Tensor, &Tensor) -> Result<Tensor> + Send + Sync> Layer for Loss<F> {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        match inputs {
            [Some(input), Some(target)] => (self.0)(m, input, target).map(one),
            [_, _] => bail!(Type, "{}.forward() takes 2 inputs (input and target), got None for one", m.name()),
            _ => bail!(Type, "{}.forward() takes 2 inputs (input and target), got {}", m.name(), inputs.len()),
        }
    }
    fn attributes(&self, _: &Module) -> Vec<(&'static str, Attribute)> {
        self.1.clone()
    }
}
fn loss(
    name: &str,
    reduction: &str,
    weight: Option<Tensor>,
    mut attributes: Vec<(&'static str, Attribute)>,
    call: impl Fn(&Module, &Tensor, &Tensor, &str) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Module> {
    crate::ops::check_reduction(reduction)?;
    let how = reduction.to_string();
    attributes.push(("reduction", reduction.into()));
    let m = Module::new(name, Loss(move |m: &Module, x: &Tensor, y: &Tensor| call(m, x, y, &how), attributes));
    if let Some(w) = weight {
        m.register_buffer("weight", Some(w), true)?;
    }
    Ok(m)
}

/// Options of the classification losses; the defaults are PyTorch's. `reduction` is `none`, `mean` or `sum`.
#[derive(Clone, Debug)]
pub struct ClassLossOptions {
    /// One factor per class.
    pub weight: Option<Tensor>,
    pub reduction: String,
    /// Targets of this value count nothing.
    pub ignore_index: i64,
    /// Share of the target that is spread over all classes (cross entropy only).
    pub label_smoothing: f64,
}
impl Default for ClassLossOptions {
    fn default() -> Self {
        ClassLossOptions { weight: None, reduction: "mean".into(), ignore_index: -100, label_smoothing: 0.0 }
    }
}

/// Cross entropy of logits [n, c, ..] and class indices [n, ..] or probabilities of the logits' shape.
pub fn cross_entropy_loss(o: &ClassLossOptions) -> Result<Module> {
    ensure!(
        (0.0..=1.0).contains(&o.label_smoothing),
        Value,
        "label_smoothing must be between 0.0 and 1.0. Got: {}",
        o.label_smoothing
    );
    let (ignore, smoothing) = (o.ignore_index, o.label_smoothing);
    let attributes = vec![("ignore_index", ignore.into()), ("label_smoothing", smoothing.into())];
    loss("CrossEntropyLoss", &o.reduction, o.weight.clone(), attributes, move |m, x, y, how| {
        ops::cross_entropy(x, y, m.buffer("weight").as_ref(), ignore, how, smoothing)
    })
}
/// Negative log likelihood of log-probabilities [n, c, ..] and class indices [n, ..].
pub fn nll_loss(o: &ClassLossOptions) -> Result<Module> {
    let ignore = o.ignore_index;
    loss("NLLLoss", &o.reduction, o.weight.clone(), vec![("ignore_index", ignore.into())], move |m, x, y, how| {
        ops::nll_loss(x, y, m.buffer("weight").as_ref(), ignore, how)
    })
}
/// (input - target)^2; `reduction` is `none`, `mean` or `sum`.
pub fn mse_loss(reduction: &str) -> Result<Module> {
    loss("MSELoss", reduction, None, vec![], |_, x, y, how| ops::mse_loss(x, y, how))
}
/// |input - target|.
pub fn l1_loss(reduction: &str) -> Result<Module> {
    loss("L1Loss", reduction, None, vec![], |_, x, y, how| ops::l1_loss(x, y, how))
}
/// Binary cross entropy of logits; `weight` scales elements, `pos_weight` the positive targets.
pub fn bce_with_logits_loss(reduction: &str, weight: Option<Tensor>, pos_weight: Option<Tensor>) -> Result<Module> {
    let m = loss("BCEWithLogitsLoss", reduction, weight, vec![], |m, x, y, how| {
        let (weight, pos) = (m.buffer("weight"), m.buffer("pos_weight"));
        ops::binary_cross_entropy_with_logits(x, y, weight.as_ref(), pos.as_ref(), how)
    })?;
    if let Some(p) = pos_weight {
        m.register_buffer("pos_weight", Some(p), true)?;
    }
    Ok(m)
}
