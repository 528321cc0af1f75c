//! Attention: one head's product, and all of a layer's heads with their projections.

use super::*;
use crate::base::layout::broadcast_shapes;
use crate::ensure;

const ONE: Scalar = Scalar::Int(1);

fn size_text(t: &Tensor) -> String {
    format!("torch.Size({:?})", &t.shape()[..])
}

/// softmax(q k^T / sqrt(d) + mask) v; a bool mask keeps where true.
pub fn scaled_dot_product_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    attn_mask: Option<&Tensor>,
    dropout_p: f64,
    is_causal: bool,
    scale: Option<f64>,
    enable_gqa: bool,
) -> Result<Tensor> {
    ensure!(
        !(is_causal && attn_mask.is_some()),
        Runtime,
        "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
    );
    ensure!(
        query.ndim() >= 2 && key.ndim() >= 2 && value.ndim() >= 2,
        Runtime,
        "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {} key.dim: {} and value.dim: {} instead.",
        query.ndim(),
        key.ndim(),
        value.ndim()
    );
    // These two errors spell types as a C++ compiler does.
    let name = |t: &Tensor| match t.dtype() {
        DType::U8 => "unsigned char",
        DType::I8 => "signed char",
        DType::I16 => "short int",
        DType::I64 => "long int",
        other => other.c_name(),
    };
    ensure!(
        query.dtype() == key.dtype() && query.dtype() == value.dtype(),
        Runtime,
        "Expected query, key, and value to have the same dtype, but got query.dtype: {} key.dtype: {} and value.dtype: {} instead.",
        name(query),
        name(key),
        name(value)
    );
    if let Some(m) = attn_mask {
        ensure!(
            m.dtype() == DType::Bool || m.dtype() == DType::F32 || m.dtype() == query.dtype(),
            Runtime,
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: {} and  query.dtype: {} instead.",
            name(m),
            name(query)
        );
    }
    if dropout_p == 0.0 {
        let scale = norm::attention_scale(query, scale);
        if let Some(out) = tiled::attention_at_once([query, key, value], attn_mask, is_causal, scale, enable_gqa)? {
            return Ok(out);
        }
    }
    let grouped;
    let (key, value) = match enable_gqa {
        true => {
            grouped = [of_groups(query, key)?, of_groups(query, value)?];
            (&grouped[0], &grouped[1])
        }
        false => (key, value),
    };
    if let Some(m) = attn_mask {
        let (q, k) = (query.shape(), key.shape());
        let lead = broadcast_shapes(&q[..q.len() - 2], &k[..k.len() - 2])?;
        let scores = [&lead[..], &[q[q.len() - 2], k[k.len() - 2]]].concat();
        let all = broadcast_shapes(&scores, &m.shape())?;
        ensure!(
            all[..] == scores[..],
            Runtime,
            "output with shape {scores:?} doesn't match the broadcast shape {:?}",
            &all[..]
        );
    }
    in_float_some([Some(query), Some(key), Some(value), attn_mask], |[q, k, v, mask]| {
        let [q, k, v] = [q, k, v].map(|t| t.expect("given"));
        norm::attention(q, k, v, mask, dropout_p, is_causal, scale)
    })
}

/// Keys or values with a head for each head of the queries, where fewer are shared by groups of these.
fn of_groups(query: &Tensor, shared: &Tensor) -> Result<Tensor> {
    let (heads, own) = (query.size(-3)?, shared.size(-3)?);
    ensure!(
        own > 0 && heads % own == 0,
        Runtime,
        "Number of heads in key and value must divide the number of heads in query"
    );
    if heads == own {
        return Ok(shared.clone());
    }
    let (n, s) = (shared.ndim(), shared.shape());
    let wide = unsqueeze(shared, -3)?;
    let mut shape = s[..n - 2].to_vec();
    shape.push(heads / own);
    shape.extend_from_slice(&s[n - 2..]);
    flatten(&expand(&wide, &shape)?, n as i64 - 3, n as i64 - 2)
}

/// A mask as what is added to the scores: of a bool one, -inf where it is true.
fn canonical(mask: &Tensor, name: &str, dtype: DType) -> Result<Tensor> {
    if mask.dtype() != DType::Bool {
        ensure!(mask.dtype().is_float(), Value, "only bool and floating types of {name} are supported");
        return Ok(mask.clone());
    }
    let zeros = zeros_like(mask, Some(dtype), None)?;
    masked_fill_scalar(&zeros, mask, Scalar::Float(f64::NEG_INFINITY))
}

/// The ranks that go together; whether there is a batch.
fn is_batched(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    key_padding_mask: Option<&Tensor>,
    attn_mask: Option<&Tensor>,
    heads: i64,
) -> Result<bool> {
    let rank = query.ndim();
    ensure!(
        rank == 2 || rank == 3,
        Value,
        "query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor"
    );
    let of = if rank == 3 { "batched (3-D)" } else { "unbatched (2-D)" };
    ensure!(
        key.ndim() == rank && value.ndim() == rank,
        Value,
        "For {of} `query`, expected `key` and `value` to be {rank}-D but found {}-D and {}-D tensors respectively",
        key.ndim(),
        value.ndim()
    );
    if let Some(m) = key_padding_mask {
        ensure!(
            m.ndim() == rank - 1,
            Value,
            "For {of} `query`, expected `key_padding_mask` to be `None` or {}-D but found {}-D tensor instead",
            rank - 1,
            m.ndim()
        );
    }
    if let Some(m) = attn_mask {
        ensure!(
            matches!(m.ndim(), 2 | 3),
            Value,
            "For {of} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {}-D tensor instead",
            m.ndim()
        );
        let (l, s) = (query.shape()[0], key.shape()[0]);
        ensure!(
            rank == 3 || m.ndim() == 2 || m.shape()[..] == [heads, l, s],
            Value,
            "Expected `attn_mask` shape to be ({heads}, {l}, {s}) but got {}",
            size_text(m)
        );
    }
    Ok(rank == 3)
}

/// Rows of the stacked projections.
fn rows(t: Option<&Tensor>, embed: i64, from: i64, n: i64) -> Result<Option<Tensor>> {
    t.map(|t| narrow(t, 0, from * embed, n * embed)).transpose()
}
/// What one product gave for several projections.
fn parts<const N: usize>(x: &Tensor, embed: i64) -> Result<[Tensor; N]> {
    let mut all = Vec::new();
    for i in 0..N as i64 {
        all.push(narrow(x, -1, i * embed, embed)?);
    }
    Ok(std::array::from_fn(|i| all[i].clone()))
}

/// Queries, keys and values of stacked projections; equal inputs are multiplied once.
fn project(x: [&Tensor; 3], weight: &Tensor, bias: Option<&Tensor>, embed: i64) -> Result<[Tensor; 3]> {
    let [q, k, v] = x;
    ensure!(
        weight.ndim() == 2 && weight.shape()[0] == 3 * embed,
        Runtime,
        "expecting in_proj_weight of {} rows, but got {}",
        3 * embed,
        size_text(weight)
    );
    if q.is_same(k) && k.is_same(v) {
        return parts(&linear(q, weight, bias)?, embed);
    }
    let some = |from, n| -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((rows(Some(weight), embed, from, n)?, rows(bias, embed, from, n)?))
    };
    let apply = |x: &Tensor, (w, b): (Option<Tensor>, Option<Tensor>)| match w {
        Some(w) => linear(x, &w, b.as_ref()),
        None => Ok(x.clone()),
    };
    let q = apply(q, some(0, 1)?)?;
    if k.is_same(v) {
        let [k, v] = parts(&apply(k, some(1, 2)?)?, embed)?;
        return Ok([q, k, v]);
    }
    Ok([q, apply(k, some(1, 1)?)?, apply(v, some(2, 1)?)?])
}

/// The same of projections that each have a weight.
fn project_each(x: [&Tensor; 3], w: [Option<&Tensor>; 3], bias: Option<&Tensor>, embed: i64) -> Result<[Tensor; 3]> {
    let mut all = Vec::new();
    for (i, (x, w)) in x.into_iter().zip(w).enumerate() {
        let (letter, word) = [("q", "query"), ("k", "key"), ("v", "value")][i];
        let Some(w) = w else {
            crate::bail!(Value, "use_separate_proj_weight is True but {letter}_proj_weight is None")
        };
        let wanted = [embed, x.size(-1)?];
        ensure!(
            w.shape()[..] == wanted,
            Value,
            "expecting {word} weights shape of ({}, {}), but got {}",
            wanted[0],
            wanted[1],
            size_text(w)
        );
        all.push(linear(x, w, rows(bias, embed, i as i64, 1)?.as_ref())?);
    }
    Ok(std::array::from_fn(|i| all[i].clone()))
}

/// [length, batch, embed] as [batch * heads, length, head].
fn heads_first(x: &Tensor, batch_heads: i64, head: i64) -> Result<Tensor> {
    let n = x.size(0)?;
    transpose(&reshape(x, &[n, batch_heads, head])?, 0, 1)
}

/// All heads of attention with their projections, as the layer MultiheadAttention; the weights are empty unless asked for.
pub fn multi_head_attention_forward(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    embed_dim_to_check: i64,
    num_heads: i64,
    in_proj_weight: Option<&Tensor>,
    in_proj_bias: Option<&Tensor>,
    bias_k: Option<&Tensor>,
    bias_v: Option<&Tensor>,
    add_zero_attn: bool,
    dropout_p: f64,
    out_proj_weight: &Tensor,
    out_proj_bias: Option<&Tensor>,
    training: bool,
    key_padding_mask: Option<&Tensor>,
    need_weights: bool,
    attn_mask: Option<&Tensor>,
    use_separate_proj_weight: bool,
    q_proj_weight: Option<&Tensor>,
    k_proj_weight: Option<&Tensor>,
    v_proj_weight: Option<&Tensor>,
    static_k: Option<&Tensor>,
    static_v: Option<&Tensor>,
    average_attn_weights: bool,
    is_causal: bool,
) -> Result<(Tensor, Tensor)> {
    let batched = is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)?;
    let wide = |t: &Tensor| if batched { Ok(t.clone()) } else { unsqueeze(t, 1) };
    // Equal inputs stay equal.
    let q = wide(query)?;
    let k = if key.is_same(query) { q.clone() } else { wide(key)? };
    let v = match value {
        v if v.is_same(key) => k.clone(),
        v if v.is_same(query) => q.clone(),
        v => wide(v)?,
    };
    let (length, batch, embed) = (q.size(0)?, q.size(1)?, q.size(2)?);
    let mut keys = k.size(0)?;
    let mut padding = match key_padding_mask {
        Some(m) => {
            let m = canonical(m, "key_padding_mask", query.dtype())?;
            Some(if batched { m } else { unsqueeze(&m, 0)? })
        }
        None => None,
    };
    ensure!(!is_causal || attn_mask.is_some(), Runtime, "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method `generate_square_subsequent_mask` to create this mask.");
    let mut causal = is_causal;
    let mut mask = None;
    // The hint takes the mask's place where nothing else needs it.
    if !(is_causal && padding.is_none() && !need_weights) {
        mask = attn_mask.map(|m| canonical(m, "attn_mask", query.dtype())).transpose()?;
        causal &= padding.is_none();
    }
    ensure!(
        embed == embed_dim_to_check,
        Value,
        "was expecting embedding dimension of {embed_dim_to_check}, but got {embed}"
    );
    ensure!(num_heads > 0 && embed % num_heads == 0, Value, "embed_dim {embed} not divisible by num_heads {num_heads}");
    let (head, batch_heads) = (embed / num_heads, batch * num_heads);
    if use_separate_proj_weight {
        ensure!(
            k.shape()[..2] == v.shape()[..2],
            Value,
            "key's sequence and batch dims torch.Size({:?}) do not match value's torch.Size({:?})",
            &k.shape()[..2],
            &v.shape()[..2]
        );
    } else {
        ensure!(
            k.shape() == v.shape(),
            Value,
            "key shape {} does not match value shape {}",
            size_text(&k),
            size_text(&v)
        );
    }
    let [q, mut k, mut v] = match (use_separate_proj_weight, in_proj_weight) {
        (true, _) => project_each([&q, &k, &v], [q_proj_weight, k_proj_weight, v_proj_weight], in_proj_bias, embed)?,
        (false, Some(w)) => project([&q, &k, &v], w, in_proj_bias, embed)?,
        (false, None) => crate::bail!(Value, "use_separate_proj_weight is False but in_proj_weight is None"),
    };
    if let Some(m) = &mask {
        let shape = m.shape();
        if m.ndim() == 2 {
            ensure!(
                shape[..] == [length, keys],
                Runtime,
                "The shape of the 2D attn_mask is {}, but should be ({length}, {keys}).",
                size_text(m)
            );
            mask = Some(unsqueeze(m, 0)?);
        } else {
            ensure!(
                shape[..] == [batch_heads, length, keys],
                Runtime,
                "The shape of the 3D attn_mask is {}, but should be ({batch_heads}, {length}, {keys}).",
                size_text(m)
            );
        }
    }
    // One more key for everybody.
    let longer = |m: Option<Tensor>| m.map(|m| pad(&m, &[0, 1], "constant", None)).transpose();
    match (bias_k, bias_v) {
        (Some(bk), Some(bv)) => {
            ensure!(static_k.is_none(), Value, "bias cannot be added to static key.");
            ensure!(static_v.is_none(), Value, "bias cannot be added to static value.");
            k = cat(&[k, repeat(bk, &[1, batch, 1])?], 0)?;
            v = cat(&[v, repeat(bv, &[1, batch, 1])?], 0)?;
            (mask, padding) = (longer(mask)?, longer(padding)?);
        }
        (None, None) => {}
        _ => crate::bail!(Value, "bias_k and bias_v are given together, got one of them alone"),
    }
    let q = heads_first(&q, batch_heads, head)?;
    let shaped = |own: Tensor, fixed: Option<&Tensor>, name: &str| match fixed {
        None => heads_first(&own, batch_heads, head),
        Some(t) => {
            ensure!(t.ndim() == 3, Value, "{name} must have 3 dimensions, got {}", t.ndim());
            for (dim, n) in [(0, batch_heads), (2, head)] {
                let got = t.shape()[dim];
                ensure!(got == n, Value, "expecting {name}.size({dim}) of {n}, but got {got}");
            }
            Ok(t.clone())
        }
    };
    let mut k = shaped(k, static_k, "static_k")?;
    let mut v = shaped(v, static_v, "static_v")?;
    if add_zero_attn {
        let zeros = zeros(&[batch_heads, 1, head], Some(k.dtype()), Some(k.device()))?;
        k = cat(&[k, zeros.clone()], 1)?;
        v = cat(&[v, zeros], 1)?;
        (mask, padding) = (longer(mask)?, longer(padding)?);
    }
    keys = k.size(1)?;
    if let Some(p) = &padding {
        for (dim, n) in [(0, batch), (1, keys)] {
            let got = p.shape()[dim];
            ensure!(got == n, Value, "Expected key_padded_mask.shape[{dim}] to be {n}, but got {got}");
        }
        let each = expand(&reshape(p, &[batch, 1, 1, keys])?, &[batch, num_heads, 1, keys])?;
        let each = reshape(&each, &[batch_heads, 1, keys])?;
        mask = Some(match mask {
            Some(m) => add(&m, &each, ONE)?,
            None => each,
        });
    }
    let dropout_p = if training { dropout_p } else { 0.0 };
    let (mixed, weights) = if need_weights {
        let scaled = mul_scalar(&q, Scalar::Float((1.0 / head as f64).sqrt()))?;
        let columns = transpose(&k, -2, -1)?;
        let scores = bmm(&scaled, &columns)?;
        let scores = match &mask {
            Some(m) => add(&scores, m, ONE)?,
            None => scores,
        };
        let mut p = softmax(&scores, -1, None)?;
        if dropout_p > 0.0 {
            p = dropout(&p, dropout_p, true, None)?;
        }
        (bmm(&p, &v)?, Some(p))
    } else {
        let four = |t: &Tensor| reshape(t, &[batch, num_heads, t.size(1)?, head]);
        let mask = match mask {
            Some(m) if m.size(0)? == 1 && batch_heads != 1 => Some(unsqueeze(&m, 0)?),
            Some(m) => Some(reshape(&m, &[batch, num_heads, m.size(1)?, keys])?),
            None => None,
        };
        let (q, k, v) = (four(&q)?, four(&k)?, four(&v)?);
        let out = scaled_dot_product_attention(&q, &k, &v, mask.as_ref(), dropout_p, causal, None, false)?;
        (reshape(&out, &[batch_heads, length, head])?, None)
    };
    let joined = reshape(&transpose(&mixed, 0, 1)?, &[length, batch, embed])?;
    let out = linear(&joined, out_proj_weight, out_proj_bias)?;
    let weights = match weights {
        Some(w) => {
            let w = reshape(&w, &[batch, num_heads, length, keys])?;
            let w = if average_attn_weights { mean_dim(&w, Some(&[1]), false, None)? } else { w };
            if batched {
                w
            } else {
                squeeze_dim(&w, 0)?
            }
        }
        None => zeros(&[0], Some(out.dtype()), Some(out.device()))?,
    };
    Ok((if batched { out } else { squeeze_dim(&out, 1)? }, weights))
}

/// -inf above the diagonal, 0 elsewhere: added to scores, no position looks at a later one.
pub fn generate_square_subsequent_mask(sz: i64, dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    let dtype = dtype.unwrap_or_else(crate::base::settings::default_dtype);
    triu(&full(&[sz, sz], Scalar::Float(f64::NEG_INFINITY), Some(dtype), device)?, 1)
}
