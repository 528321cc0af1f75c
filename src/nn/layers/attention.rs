//! Attention's layers: heads, layers of the Transformer, their stacks, the whole.

use crate::gate::front as ops;
use crate::nn::class::shown;
use crate::nn::{one, Attribute, Module, Outputs};
use crate::{autograd, bail, ensure, watch, DType, Result, Scalar, Tensor};

/// A call of MultiheadAttention.
pub struct Heads {
    pub embed_dim: i64,
    pub num_heads: i64,
    pub kdim: i64,
    pub vdim: i64,
    pub dropout: f64,
    pub add_zero_attn: bool,
    pub batch_first: bool,
    pub need_weights: bool,
    pub average: bool,
    pub is_causal: bool,
}

/// query, key, value, key_padding_mask, attn_mask; the outputs are what was found and, where wanted, the weights.
pub fn heads(m: &Module, x: &[Option<&Tensor>], call: &Heads) -> Result<Outputs> {
    let [Some(query), Some(key), Some(value), padding, mask] = *x else {
        bail!(Internal, "{} has its inputs", m.name())
    };
    let turned = call.batch_first && query.ndim() == 3;
    let turn = |t: &Tensor| if turned { ops::transpose(t, 1, 0) } else { Ok(t.clone()) };
    // Equal inputs stay equal: they are projected in one product.
    let q = turn(query)?;
    let k = if key.is_same(query) { q.clone() } else { turn(key)? };
    let v = if value.is_same(key) { k.clone() } else { turn(value)? };
    let out_proj = m.get_submodule("out_proj")?;
    let p = |name: &str| m.parameter(name);
    let each = call.kdim != call.embed_dim || call.vdim != call.embed_dim;
    let (out, weights) = ops::multi_head_attention_forward(
        &q,
        &k,
        &v,
        call.embed_dim,
        call.num_heads,
        p("in_proj_weight").as_ref(),
        p("in_proj_bias").as_ref(),
        p("bias_k").as_ref(),
        p("bias_v").as_ref(),
        call.add_zero_attn,
        call.dropout,
        &out_proj.need("weight")?,
        out_proj.parameter("bias").as_ref(),
        m.is_training(),
        padding,
        call.need_weights,
        mask,
        each,
        p("q_proj_weight").as_ref(),
        p("k_proj_weight").as_ref(),
        p("v_proj_weight").as_ref(),
        None,
        None,
        call.average,
        call.is_causal,
    )?;
    Ok(Outputs::from_vec(vec![Some(turn(&out)?), call.need_weights.then_some(weights)]))
}

fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ops::add(a, b, Scalar::Int(1))
}
fn child(m: &Module, name: &str, x: &Tensor) -> Result<Tensor> {
    m.get_submodule(name)?.call(x)
}

/// One block of attention: x looks at memory, or at itself.
fn look(m: &Module, name: &str, x: &Tensor, at: &Tensor, masks: &Masks, causal: bool) -> Result<Tensor> {
    let attention = m.get_submodule(name)?;
    let inputs = [Some(x.clone()), Some(at.clone()), Some(at.clone()), masks.padding.cloned(), masks.mask.cloned()];
    let found = match attention.further().is_empty() {
        // A program's own takes the inputs alone.
        true => attention.forward_list(&inputs)?,
        false => attention.forward_with(&inputs, &[false.into(), true.into(), causal.into()])?,
    };
    match found.into_iter().next().flatten() {
        Some(t) => Ok(t),
        None => bail!(Type, "{}.forward() gave nothing", attention.name()),
    }
}
#[derive(Clone, Copy)]
struct Masks<'a> {
    padding: Option<&'a Tensor>,
    mask: Option<&'a Tensor>,
}

/// linear2(dropout(activation(linear1(x)))); a child `activation` comes before the name.
fn feed_forward(m: &Module, x: &Tensor, activation: &str, last: &str) -> Result<Tensor> {
    let x = child(m, "linear1", x)?;
    let x = match (m.get_submodule("activation"), activation) {
        (Ok(own), _) => own.call(&x)?,
        (_, "gelu") => ops::gelu(&x, "none")?,
        _ => ops::relu(&x)?,
    };
    child(m, last, &child(m, "linear2", &child(m, "dropout", &x)?)?)
}

/// src, src_mask, src_key_padding_mask.
pub fn encoder_layer(
    m: &Module,
    x: &[Option<&Tensor>],
    activation: &str,
    norm_first: bool,
    is_causal: bool,
) -> Result<Outputs> {
    let [Some(src), mask, padding] = *x else { bail!(Internal, "{} has its inputs", m.name()) };
    let masks = Masks { padding, mask };
    let own = |x: &Tensor| child(m, "dropout1", &look(m, "self_attn", x, x, &masks, is_causal)?);
    if norm_first {
        let x = sum(src, &own(&child(m, "norm1", src)?)?)?;
        let more = feed_forward(m, &child(m, "norm2", &x)?, activation, "dropout2")?;
        return sum(&x, &more).map(one);
    }
    let x = child(m, "norm1", &sum(src, &own(src)?)?)?;
    child(m, "norm2", &sum(&x, &feed_forward(m, &x, activation, "dropout2")?)?).map(one)
}

/// tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask.
pub fn decoder_layer(
    m: &Module,
    x: &[Option<&Tensor>],
    activation: &str,
    norm_first: bool,
    tgt_is_causal: bool,
    memory_is_causal: bool,
) -> Result<Outputs> {
    let [Some(tgt), Some(memory), tgt_mask, memory_mask, tgt_padding, memory_padding] = *x else {
        bail!(Internal, "{} has its inputs", m.name())
    };
    let (own, other) =
        (Masks { padding: tgt_padding, mask: tgt_mask }, Masks { padding: memory_padding, mask: memory_mask });
    let own = |x: &Tensor| child(m, "dropout1", &look(m, "self_attn", x, x, &own, tgt_is_causal)?);
    let other = |x: &Tensor| {
        let found = look(m, "multihead_attn", x, memory, &other, memory_is_causal)?;
        child(m, "dropout2", &found)
    };
    let last = |x: &Tensor| feed_forward(m, x, activation, "dropout3");
    if norm_first {
        let x = sum(tgt, &own(&child(m, "norm1", tgt)?)?)?;
        let x = sum(&x, &other(&child(m, "norm2", &x)?)?)?;
        return sum(&x, &last(&child(m, "norm3", &x)?)?).map(one);
    }
    let x = child(m, "norm1", &sum(tgt, &own(tgt)?)?)?;
    let x = child(m, "norm2", &sum(&x, &other(&x)?)?)?;
    child(m, "norm3", &sum(&x, &last(&x)?)?).map(one)
}

/// The layers of a stack; there must be one.
fn layers_of(m: &Module) -> Result<Vec<Module>> {
    let all: Vec<Module> =
        m.get_submodule("layers")?.named_children()?.into_iter().filter_map(|(_, layer)| layer).collect();
    ensure!(!all.is_empty(), Index, "index 0 is out of range");
    Ok(all)
}
fn bool_of(m: &Module, name: &str) -> bool {
    matches!(m.attribute(name), Ok(Attribute::Bool(true)))
}
fn batch_first(layer: &Module) -> bool {
    layer.get_submodule("self_attn").is_ok_and(|a| bool_of(&a, "batch_first"))
}

/// The hint; without one, whether the mask is the causal one of the sequence.
fn is_causal(hint: Option<bool>, mask: Option<&Tensor>, x: &Tensor, first: &Module) -> Result<bool> {
    let (None, Some(mask)) = (hint, mask) else { return Ok(hint == Some(true)) };
    let n = x.size(if batch_first(first) && x.ndim() != 2 { 1 } else { 0 })?;
    if mask.shape()[..] != [n, n] {
        return Ok(false);
    }
    let mask = additive(mask, "mask", x.dtype())?;
    let wanted = ops::generate_square_subsequent_mask(n, Some(mask.dtype()), Some(mask.device()))?;
    Ok(ops::all(&ops::eq(&mask, &wanted)?)?.item()?.to_f64() != 0.0)
}

/// A mask as what is added to the scores.
fn additive(mask: &Tensor, name: &str, dtype: DType) -> Result<Tensor> {
    if mask.dtype() != DType::Bool {
        ensure!(mask.dtype().is_float(), Value, "only bool and floating types of {name} are supported");
        return Ok(mask.clone());
    }
    let zeros = ops::zeros_like(mask, Some(dtype), None)?;
    ops::masked_fill_scalar(&zeros, mask, Scalar::Float(f64::NEG_INFINITY))
}

/// Where PyTorch's evaluation leaves the padding out: what comes out there is zero before the last norm.
fn skipped(first: &Module, src: &Tensor, mask: Option<&Tensor>, padding: Option<&Tensor>) -> Result<Option<Tensor>> {
    let Some(padding) = padding.filter(|_| mask.is_none() && src.ndim() == 3 && !first.is_training()) else {
        return Ok(None);
    };
    let plain = || -> Result<bool> {
        let attention = first.get_submodule("self_attn")?;
        let number = |m: &Module, name: &str| m.attribute(name).map(|a| shown(&a));
        let activation = match first.get_submodule("activation") {
            Ok(own) => matches!(own.name(), "ReLU" | "GELU"),
            Err(_) => true,
        };
        let even = matches!(attention.attribute("num_heads")?, Attribute::Int(n) if n % 2 == 0);
        let (norm1, norm2) = (first.get_submodule("norm1")?, first.get_submodule("norm2")?);
        Ok(first.name() == "TransformerEncoderLayer"
            && !bool_of(first, "norm_first")
            && bool_of(&attention, "batch_first")
            && attention.parameter("in_proj_weight").is_some()
            && attention.parameter("in_proj_bias").is_some()
            && activation
            && even
            && number(&norm1, "eps")? == number(&norm2, "eps")?)
    };
    if !plain().unwrap_or(false) || watch::word() & watch::AUTOCAST != 0 {
        return Ok(None);
    }
    if autograd::grad_enabled() {
        let trained = first.parameters()?.iter().any(autograd::requires_grad);
        if trained || autograd::requires_grad(src) {
            return Ok(None);
        }
    }
    let absent = ops::ne_scalar(padding, Scalar::Int(0))?;
    let n = absent.size(1)?;
    if n > 1 {
        // Sequences lie at the left.
        let (before, after) = (ops::narrow(&absent, 1, 0, n - 1)?, ops::narrow(&absent, 1, 1, n - 1)?);
        let again = ops::logical_and(&before, &ops::logical_not(&after)?)?;
        if ops::any(&again)?.item()?.to_f64() != 0.0 {
            return Ok(None);
        }
    }
    Ok(Some(absent))
}

/// A layer with its masks; one of a program's own gets the inputs alone.
fn run(layer: &Module, inputs: &[Option<Tensor>], more: &[Attribute]) -> Result<Tensor> {
    let found = match layer.further().is_empty() {
        true => layer.forward_list(inputs)?,
        false => layer.forward_with(inputs, more)?,
    };
    match found.into_iter().next().flatten() {
        Some(t) => Ok(t),
        None => bail!(Type, "{}.forward() gave nothing", layer.name()),
    }
}
fn normed(m: &Module, x: Tensor) -> Result<Outputs> {
    match m.get_submodule("norm") {
        Ok(norm) => norm.call(&x).map(one),
        Err(_) => Ok(one(x)),
    }
}

/// src, mask, src_key_padding_mask.
pub fn encoder(m: &Module, x: &[Option<&Tensor>], nested: bool, hint: Option<bool>) -> Result<Outputs> {
    let [Some(src), mask, padding] = *x else { bail!(Internal, "{} has its inputs", m.name()) };
    let layers = layers_of(m)?;
    let padding = padding.map(|p| additive(p, "src_key_padding_mask", src.dtype())).transpose()?;
    let mask = mask.map(|p| additive(p, "mask", src.dtype())).transpose()?;
    let absent = if nested { skipped(&layers[0], src, mask.as_ref(), padding.as_ref())? } else { None };
    let causal = is_causal(hint, mask.as_ref(), src, &layers[0])?;
    let mut x = src.clone();
    for layer in &layers {
        x = run(layer, &[Some(x), mask.clone(), padding.clone()], &[causal.into()])?;
    }
    if let Some(absent) = absent {
        x = ops::masked_fill_scalar(&x, &ops::unsqueeze(&absent, -1)?, Scalar::Int(0))?;
    }
    normed(m, x)
}

/// tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask.
pub fn decoder(m: &Module, x: &[Option<&Tensor>], hint: Option<bool>, memory_is_causal: bool) -> Result<Outputs> {
    let [Some(tgt), Some(_), tgt_mask, ..] = *x else { bail!(Internal, "{} has its inputs", m.name()) };
    let layers = layers_of(m)?;
    let causal = is_causal(hint, tgt_mask, tgt, &layers[0])?;
    let mut at = tgt.clone();
    for layer in &layers {
        let mut inputs = vec![Some(at)];
        inputs.extend(x[1..].iter().map(|t| t.cloned()));
        at = run(layer, &inputs, &[causal.into(), memory_is_causal.into()])?;
    }
    normed(m, at)
}

/// src, tgt, src_mask, tgt_mask, memory_mask, src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask.
pub fn transformer(
    m: &Module,
    x: &[Option<&Tensor>],
    d_model: i64,
    batch_first: bool,
    src_is_causal: Option<bool>,
    tgt_is_causal: Option<bool>,
    memory_is_causal: bool,
) -> Result<Outputs> {
    let [Some(src), Some(tgt), src_mask, tgt_mask, memory_mask, src_padding, tgt_padding, memory_padding] = *x else {
        bail!(Internal, "{} has its inputs", m.name())
    };
    let batch = if batch_first { 0 } else { 1 };
    ensure!(
        src.ndim() != 3 || src.size(batch)? == tgt.size(batch)?,
        Runtime,
        "the batch number of src and tgt must be equal"
    );
    ensure!(
        src.size(-1)? == d_model && tgt.size(-1)? == d_model,
        Runtime,
        "the feature number of src and tgt must be equal to d_model"
    );
    let some = |t: Option<&Tensor>| t.cloned();
    let encoder = m.get_submodule("encoder")?;
    let memory = run(&encoder, &[some(Some(src)), some(src_mask), some(src_padding)], &[src_is_causal.into()])?;
    let inputs =
        [some(Some(tgt)), Some(memory), some(tgt_mask), some(memory_mask), some(tgt_padding), some(memory_padding)];
    let decoder = m.get_submodule("decoder")?;
    run(&decoder, &inputs, &[tgt_is_causal.into(), memory_is_causal.into()]).map(one)
}
