//! Linear layers and other products with a bias, in one kernel with the activation that follows.

use super::linalg::{as_batch, check_mm, same_dtype};
use super::*;
use crate::autograd::{record_many, Saver};
use crate::backend::{self, Activation, Epilogue};
use crate::watch::count;
use crate::{ensure, grads, Dims};

const ONE: Scalar = Scalar::Int(1);

/// Whether a layer and the activation after it may run as one kernel; `TAPER_FUSION=0` says no.
fn fusion() -> bool {
    static ON: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ON.get_or_init(|| std::env::var("TAPER_FUSION").as_deref() != Ok("0"))
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Relu => relu(x),
        Activation::Gelu => gelu(x, "tanh"),
    }
}

/// The derivative of an epilogue's activation, from what the forward saved.
enum Slope {
    Identity,
    /// By the result.
    Relu(Saved),
    /// By the argument, the node's second output: gradients that reach it come back to the node, so that second
    /// derivatives follow.
    Gelu(Saved),
}
impl Slope {
    fn save(s: &mut Saver, activation: Option<Activation>, out: &Tensor, pre: Option<&Tensor>) -> Slope {
        match (activation, pre) {
            (Some(Activation::Gelu), Some(pre)) => Slope::Gelu(s.save_output(pre, 1)),
            (Some(_), _) => Slope::Relu(s.save_output(out, 0)),
            (None, _) => Slope::Identity,
        }
    }
    /// The gradient of the activation's argument; None where nothing depends on it.
    fn gradient(&self, c: &Ctx, g: &[Option<Tensor>]) -> Result<Option<Tensor>> {
        let through = match (self, &g[0]) {
            (_, None) => None,
            (Slope::Identity, Some(g)) => Some(g.clone()),
            (Slope::Relu(y), Some(g)) => Some(relu_grad(g, &y.get(c)?)?),
            (Slope::Gelu(x), Some(g)) => Some(gelu_grad(g, &x.get(c)?, true)?),
        };
        match (through, g.get(1).cloned().flatten()) {
            (Some(a), Some(b)) => add(&a, &b, ONE).map(Some),
            (a, b) => Ok(a.or(b)),
        }
    }
}
fn node_name(activation: Option<Activation>) -> &'static str {
    match activation {
        None => "AddmmBackward0",
        Some(Activation::Relu) => "ReluBackward0",
        Some(Activation::Gelu) => "GeluBackward0",
    }
}

fn outputs<'a>(out: &'a Tensor, pre: &'a Option<Tensor>) -> smallvec::SmallVec<[&'a Tensor; 2]> {
    std::iter::once(out).chain(pre).collect()
}

/// out [m, n] = activation(beta * out + alpha * x [m, k] @ w + bias), w being [k, n] or (`turned`) [n, k].
struct Call<'a> {
    x: &'a Tensor,
    w: &'a Tensor,
    turned: bool,
    /// n elements, or one for all.
    bias: Option<&'a Tensor>,
    alpha: f64,
    beta: f64,
    activation: Option<Activation>,
}
impl Call<'_> {
    /// Runs it; gives the activation's arguments if the backward will want them.
    fn run(&self, out: &Tensor, recording: bool) -> Result<Option<Tensor>> {
        let keep = recording && self.activation == Some(Activation::Gelu);
        let pre = if keep { Some(Tensor::empty(&out.shape(), out.dtype(), out.device())?) } else { None };
        if out.numel() == 0 {
            return Ok(pre);
        }
        let (xb, wb, ob) = (self.x.materialize(), self.w.materialize(), out.body());
        let mut lw = as_batch(wb.layout());
        if self.turned {
            lw.shape.swap(1, 2);
            lw.strides.swap(1, 2);
        }
        let bias = self.bias.map(|b| b.materialize());
        let lb = bias.as_ref().map(|b| {
            let l = b.layout();
            let stride = if b.layout().numel() == 1 { 0 } else { l.strides[0] };
            Layout { shape: Dims::from_slice(&[lw.shape[2]]), strides: Dims::from_slice(&[stride]), offset: l.offset }
        });
        let pb = pre.as_ref().map(|p| p.body());
        let lp = pb.as_ref().map(|p| as_batch(p.layout()));
        let epilogue = Epilogue {
            bias: bias.as_ref().zip(lb.as_ref()).map(|(b, l)| b.view_as(l)),
            activation: self.activation,
            pre: pb.as_ref().zip(lp.as_ref()).map(|(p, l)| p.view_as(l)),
        };
        let lo = as_batch(ob.layout());
        count::add(lo.shape[0], lo.shape[1], lo.shape[2], lw.shape[1]);
        backend::get(ob.device())?.gemm_epilogue(
            xb.view_as(&as_batch(xb.layout())),
            wb.view_as(&lw),
            ob.view_as(&as_batch(ob.layout())),
            self.alpha,
            self.beta,
            &epilogue,
        )?;
        drop(pb);
        Ok(pre)
    }
}

/// activation(beta * self + alpha * (mat1 @ mat2)).
pub fn addmm_activation(
    a: &Tensor,
    mat1: &Tensor,
    mat2: &Tensor,
    beta: Scalar,
    alpha: Scalar,
    use_gelu: bool,
) -> Result<Tensor> {
    let activation = if use_gelu { Activation::Gelu } else { Activation::Relu };
    if !fusion() || !mat1.dtype().is_float() || a.dtype() != mat1.dtype() {
        return activate(&addmm(a, mat1, mat2, beta, alpha)?, activation);
    }
    product_at_once(a, mat1, mat2, beta, alpha, Some(activation))
}
/// activation(beta * self + alpha * (mat1 @ mat2)) by one kernel, which rounds once.
pub(super) fn product_at_once(
    a: &Tensor,
    mat1: &Tensor,
    mat2: &Tensor,
    beta: Scalar,
    alpha: Scalar,
    activation: Option<Activation>,
) -> Result<Tensor> {
    check_mm("addmm", mat1, mat2)?;
    pointwise::same_device(a, mat1)?;
    let (m, n) = (mat1.shape()[0], mat2.shape()[1]);
    let wide = a.layout().broadcast_to(&[m, n])?;
    let (by, alpha_by) = (beta.to_f64(), alpha.to_f64());
    let out = Tensor::empty(&[m, n], mat1.dtype(), mat1.device())?;
    let row = a.ndim() <= 1 && by == 1.0;
    let rest = if row || by == 0.0 {
        0.0
    } else {
        out.copy_from(&a.alias(wide)?)?;
        by
    };
    let call =
        Call { x: mat1, w: mat2, turned: false, bias: row.then_some(a), alpha: alpha_by, beta: rest, activation };
    let inputs = [a, mat1, mat2];
    let pre = call.run(&out, autograd::recording(&inputs))?;
    record_many(node_name(activation), &inputs, &outputs(&out, &pre), |s| {
        let (x, y) = (s.save(mat1), s.save(mat2));
        let slope = Slope::save(s, activation, &out, pre.as_ref());
        move |c, g| {
            let Some(g) = slope.gradient(c, g)? else { return Ok(Grads::new()) };
            let scaled = |g: Tensor, by: Scalar| if by.to_f64() == 1.0 { Ok(g) } else { mul_scalar(&g, by) };
            let ga = if c.needs(0) { Some(scaled(g.clone(), beta)?) } else { None };
            let gx = if c.needs(1) { Some(scaled(mm(&g, &t(&y.get(c)?)?)?, alpha)?) } else { None };
            let gy = if c.needs(2) { Some(scaled(mm(&t(&x.get(c)?)?, &g)?, alpha)?) } else { None };
            Ok(grads![ga, gx, gy])
        }
    })?;
    Ok(out)
}

fn check_linear(input: &Tensor, weight: &Tensor, bias: bool) -> Result<()> {
    let (si, sw) = (input.shape(), weight.shape());
    ensure!(!si.is_empty(), Runtime, "linear(): input must be at least 1D, got 0D");
    ensure!(sw.len() == 2 || sw.len() == 1, Runtime, "linear(): weight must be 1D or 2D, got {}D", sw.len());
    let k = si[si.len() - 1];
    let rows: i64 = si[..si.len() - 1].iter().product();
    if sw.len() == 1 {
        ensure!(sw[0] == k, Runtime, "size mismatch, got input ({rows}), mat ({rows}x{k}), vec ({})", sw[0]);
    }
    ensure!(
        sw[sw.len() - 1] == k,
        Runtime,
        "{}: mat1 and mat2 shapes cannot be multiplied ({rows}x{k} and {}x{})",
        if bias { "addmm" } else { "mm" },
        sw[sw.len() - 1],
        sw[0]
    );
    Ok(())
}
/// input @ weight.T + bias; weight [out, in], bias [out].
pub fn linear(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check_linear(input, weight, bias.is_some())?;
    let sw = weight.shape();
    if let (Some(b), 2) = (bias, sw.len()) {
        if input.dtype().is_float() && (autograd::recording(&[input, weight, b]) || b.shape()[..] == sw[..1]) {
            return affine(input, weight, bias, None);
        }
    }
    let out = if sw.len() == 2 { matmul(input, &t(weight)?)? } else { matmul(input, weight)? };
    match bias {
        Some(b) => add(&out, b, ONE),
        None => Ok(out),
    }
}
/// relu (or gelu's tanh form) of input @ weight.T + bias.
pub fn linear_activation(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, use_gelu: bool) -> Result<Tensor> {
    linear_then(input, weight, bias, if use_gelu { Activation::Gelu } else { Activation::Relu })
}
/// The activation of a linear layer, in one kernel where that is allowed and possible.
pub(crate) fn linear_then(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    check_linear(input, weight, bias.is_some())?;
    let sw = weight.shape();
    let fits = sw.len() == 2 && input.dtype().is_float() && bias.is_none_or(|b| b.shape()[..] == sw[..1]);
    if fusion() && fits {
        return affine(input, weight, bias, Some(activation));
    }
    activate(&linear(input, weight, bias)?, activation)
}

/// One kernel and one node for the whole layer.
fn affine(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, activation: Option<Activation>) -> Result<Tensor> {
    same_dtype(input, weight)?;
    let (si, n) = (input.shape(), weight.shape()[0]);
    if let Some(b) = bias {
        same_dtype(input, b)?;
        ensure!(
            b.ndim() <= 1 && (b.numel() as i64 == n || b.numel() == 1),
            Runtime,
            "linear(): bias of shape {:?} does not fit an output of {n} features",
            &b.shape()[..]
        );
    }
    let k = si[si.len() - 1];
    let m: i64 = si[..si.len() - 1].iter().product();
    let x = autograd::no_grad(|| reshape(&input.alias_same(), &[m, k]))?;
    let out = Tensor::empty(&[x.shape()[0], n], input.dtype(), input.device())?;
    let both = [input, weight];
    let three;
    let inputs: &[&Tensor] = match bias {
        Some(b) => {
            three = [input, weight, b];
            &three
        }
        None => &both,
    };
    let call = Call { x: &x, w: weight, turned: true, bias, alpha: 1.0, beta: 0.0, activation };
    let pre = call.run(&out, autograd::recording(inputs))?;
    let mut shape = Dims::from_slice(&si[..si.len() - 1]);
    shape.push(n);
    out.set_layout(Layout::contiguous(&shape))?;
    if let Some(pre) = &pre {
        pre.set_layout(Layout::contiguous(&shape))?;
    }
    record_many(node_name(activation), inputs, &outputs(&out, &pre), |s| {
        let (x, w) = (s.save(input), s.save(weight));
        let slope = Slope::save(s, activation, &out, pre.as_ref());
        move |c, g| {
            let Some(g) = slope.gradient(c, g)? else { return Ok(Grads::new()) };
            let rows = reshape(&g, &[m, n])?;
            let gx = if c.needs(0) { Some(reshape(&mm(&rows, &w.get(c)?)?, &si)?) } else { None };
            let gw = if c.needs(1) { Some(mm(&t(&rows)?, &reshape(&x.get(c)?, &[m, k])?)?) } else { None };
            let gb = if c.needs(2) { Some(sum_dim(&rows, Some(&[0]), false, None)?) } else { None };
            Ok(grads![gx, gw, gb])
        }
    })?;
    Ok(out)
}
