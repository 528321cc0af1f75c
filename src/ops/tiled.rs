//! Attention by a kernel that never holds the scores as a whole, and its gradients.

use super::norm::attention_weights;
use super::*;
use crate::autograd::{record, recording};
use crate::backend::{self, Attention, AttentionSlopes};
use crate::grads;
use crate::watch::count;

/// The arguments as the kernel takes them: [batch, head, row, column] each.
struct Arguments {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Option<Tensor>,
    causal: bool,
    scale: f64,
}
impl Arguments {
    /// None where the kernel has no case for them.
    fn of(
        [query, key, value]: [&Tensor; 3],
        mask: Option<&Tensor>,
        causal: bool,
        scale: f64,
        grouped: bool,
    ) -> Result<Option<Arguments>> {
        let all = [query, key, value];
        let ndim = query.ndim();
        let (dtype, device) = (query.dtype(), query.device());
        let alike = all.iter().all(|t| t.ndim() == ndim && t.dtype() == dtype && t.device() == device && t.numel() > 0);
        let masked = mask.is_none_or(|m| {
            m.device() == device
                && m.ndim() <= ndim
                && m.ndim() >= 2
                && (m.dtype() == dtype || m.dtype() == DType::Bool)
                && !recording(&[m])
        });
        if !alike || !masked || !(2..=4).contains(&ndim) || !dtype.is_float() || !device.is_cpu() {
            return Ok(None);
        }
        autograd::no_grad(|| {
            let four = |t: &Tensor| {
                let mut t = t.alias_same();
                // Heads are the dimension before the last two; [batch, row, column] has none.
                while t.ndim() < 4 {
                    t = unsqueeze(&t, if t.ndim() == 3 && ndim == 3 { 1 } else { 0 })?;
                }
                Ok::<_, Error>(t)
            };
            let [q, k, v] = [four(query)?, four(key)?, four(value)?];
            let (qs, ks, vs) = (q.shape(), k.shape(), v.shape());
            let batch = qs[0].max(ks[0]).max(vs[0]);
            let heads = qs[1].max(ks[1]).max(vs[1]);
            let kv = if ks[1] == vs[1] && qs[1] == heads && heads % ks[1] == 0 && (grouped || ks[1] == 1) {
                ks[1]
            } else {
                heads
            };
            let fits = |s: &[i64], heads: i64| (s[0] == batch || s[0] == 1) && (s[1] == heads || s[1] == 1);
            if !fits(&qs, heads) || !fits(&ks, kv) || !fits(&vs, kv) || qs[3] != ks[3] || ks[2] != vs[2] {
                return Ok(None);
            }
            let mask = match mask {
                Some(m) => {
                    let m = four(m)?;
                    let (have, want) = (m.shape(), [batch, heads, qs[2], ks[2]]);
                    if (0..4).any(|d| have[d] != want[d] && have[d] != 1) {
                        return Ok(None);
                    }
                    Some(expand(&m, &want)?)
                }
                None => None,
            };
            Ok(Some(Arguments {
                query: expand(&q, &[batch, heads, qs[2], qs[3]])?,
                key: expand(&k, &[batch, kv, ks[2], ks[3]])?,
                value: expand(&v, &[batch, kv, vs[2], vs[3]])?,
                mask,
                causal,
                scale,
            }))
        })
    }
    /// What the kernel multiplies and adds, `products` of five.
    fn count(&self, products: i64) {
        let (q, k) = (self.query.shape(), self.key.shape());
        count::add(q[0] * q[1] * products, q[2], k[2], q[3]);
    }
    fn with<R>(&self, f: impl FnOnce(&Attention) -> Result<R>) -> Result<R> {
        let [q, k, v] = [self.query.materialize(), self.key.materialize(), self.value.materialize()];
        let mask = self.mask.as_ref().map(|m| m.materialize());
        f(&Attention {
            query: q.view(),
            key: k.view(),
            value: v.view(),
            mask: mask.as_ref().map(|m| m.view()),
            causal: self.causal,
            scale: self.scale,
        })
    }
}

/// softmax(q k^T * scale + mask) v in one node; None where the device has no kernel for these tensors. `grouped`: a head of
/// keys and values may serve several of queries.
pub(super) fn attention_at_once(
    inputs: [&Tensor; 3],
    mask: Option<&Tensor>,
    causal: bool,
    scale: f64,
    grouped: bool,
) -> Result<Option<Tensor>> {
    let Some(a) = Arguments::of(inputs, mask, causal, scale, grouped)? else { return Ok(None) };
    let (q, v) = (a.query.shape(), a.value.shape());
    let (dtype, device) = (a.query.dtype(), a.query.device());
    let out = Tensor::empty(&[q[0], q[1], q[2], v[3]], dtype, device)?;
    let lse = Tensor::empty(&[q[0], q[1], q[2], 1], dtype.compute(), device)?;
    let done = {
        let (o, l) = (out.body(), lse.body());
        let kernel = backend::get(device)?;
        a.with(|a| kernel.attention(a, o.view(), l.view()))?
    };
    if !done {
        return Ok(None);
    }
    a.count(2);
    let [query, key, value] = inputs;
    let mut shape = out.shape();
    match query.ndim() {
        2 => shape.drain(..2).for_each(drop),
        3 => drop(shape.remove(1)),
        _ => {}
    }
    out.set_layout(Layout::contiguous(&shape))?;
    let out = record("ScaledDotProductFlashAttentionForCpuBackward0", &inputs, out, |s, out| {
        let saved = [s.save(query), s.save(key), s.save(value)];
        let (mask, lse, out) = (mask.map(|m| s.save(m)), s.save(&lse), s.save_output(out, 0));
        move |ctx, g| {
            let [q, k, v] = [saved[0].get(ctx)?, saved[1].get(ctx)?, saved[2].get(ctx)?];
            let mask = mask.as_ref().map(|m| m.get(ctx)).transpose()?;
            if recording(&[g, &q, &k, &v]) {
                return gradients_of_ops(g, [&q, &k, &v], mask.as_ref(), causal, scale);
            }
            gradients(g, [&q, &k, &v], mask.as_ref(), causal, scale, grouped, &out.get(ctx)?, &lse.get(ctx)?)
        }
    })?;
    Ok(Some(out))
}

#[allow(clippy::too_many_arguments)]
fn gradients(
    g: &Tensor,
    inputs: [&Tensor; 3],
    mask: Option<&Tensor>,
    causal: bool,
    scale: f64,
    grouped: bool,
    out: &Tensor,
    lse: &Tensor,
) -> Result<Grads> {
    let Some(a) = Arguments::of(inputs, mask, causal, scale, grouped)? else {
        return gradients_of_ops(g, inputs, mask, causal, scale);
    };
    let (q, v) = (a.query.shape(), a.value.shape());
    let four = [q[0], q[1], q[2], v[3]];
    let (g, out) = (reshape(g, &four)?, reshape(out, &four)?);
    let new = |t: &Tensor| Tensor::empty(&t.shape(), t.dtype(), t.device());
    let [gq, gk, gv] = [new(&a.query)?, new(&a.key)?, new(&a.value)?];
    {
        let (gb, ob, lb) = (g.materialize(), out.materialize(), lse.materialize());
        let [qb, kb, vb] = [gq.body(), gk.body(), gv.body()];
        let slopes = AttentionSlopes { grad: gb.view(), query: qb.view(), key: kb.view(), value: vb.view() };
        let kernel = backend::get(g.device())?;
        let done = a.with(|a| kernel.attention_backward(a, ob.view(), lb.view(), &slopes))?;
        crate::ensure!(done, Internal, "attention had a kernel, its gradient has none");
    }
    a.count(5);
    for t in [&gq, &gk, &gv] {
        let mut shape = t.shape();
        match inputs[0].ndim() {
            2 => shape.drain(..2).for_each(drop),
            3 => drop(shape.remove(1)),
            _ => {}
        }
        t.set_layout(Layout::contiguous(&shape))?;
    }
    Ok(grads![Some(gq), Some(gk), Some(gv)])
}

/// The same of differentiable ops.
fn gradients_of_ops(
    g: &Tensor,
    inputs: [&Tensor; 3],
    mask: Option<&Tensor>,
    causal: bool,
    scale: f64,
) -> Result<Grads> {
    let half = inputs[0].dtype();
    let [q, k, v] = [wide(inputs[0])?, wide(inputs[1])?, wide(inputs[2])?];
    let (g, mask) = (wide(g)?, mask.map(wide).transpose()?);
    // Heads of keys that serve several of queries stand once for each of them.
    let group = if q.ndim() == 4 && k.shape()[1] > 1 { q.shape()[1] / k.shape()[1] } else { 1 };
    let repeated = |t: &Tensor| -> Result<Tensor> {
        if group == 1 {
            return Ok(t.clone());
        }
        let s = t.shape();
        let each = expand(&unsqueeze(t, 2)?, &[s[0], s[1], group, s[2], s[3]])?;
        reshape(&each, &[s[0], s[1] * group, s[2], s[3]])
    };
    let summed = |t: &Tensor| -> Result<Tensor> {
        if group == 1 {
            return Ok(t.clone());
        }
        let s = t.shape();
        sum_dim(&reshape(t, &[s[0], s[1] / group, group, s[2], s[3]])?, Some(&[2]), false, None)
    };
    let (k, v) = (repeated(&k)?, repeated(&v)?);
    let p = attention_weights(&q, &k, mask.as_ref(), causal, scale)?;
    let dp = matmul(&g, &transpose(&v, -2, -1)?)?;
    let mean = sum_dim(&mul(&dp, &p)?, Some(&[-1]), true, None)?;
    let ds = mul_scalar(&mul(&p, &sub(&dp, &mean, ONE)?)?, Scalar::Float(scale))?;
    let gq = matmul(&ds, &k)?;
    let gk = summed(&matmul(&transpose(&ds, -2, -1)?, &q)?)?;
    let gv = summed(&matmul(&transpose(&p, -2, -1)?, &g)?)?;
    Ok(grads![Some(cast(&gq, half)?), Some(cast(&gk, half)?), Some(cast(&gv, half)?)])
}
const ONE: Scalar = Scalar::Int(1);
