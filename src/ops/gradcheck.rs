//! Comparison of analytic gradients with finite differences, for users' functions and for every op's tests.

use super::*;
use crate::autograd::engine::Options;
use crate::autograd::{meta, no_grad};
use crate::base::dtype::Element;
use crate::{bail, ensure};

/// Tolerances of [`gradcheck`]; the defaults are PyTorch's.
#[derive(Clone, Copy, Debug)]
pub struct GradCheck {
    /// Step of the central difference.
    pub eps: f64,
    pub atol: f64,
    pub rtol: f64,
}
impl Default for GradCheck {
    fn default() -> Self {
        GradCheck { eps: 1e-6, atol: 1e-5, rtol: 1e-3 }
    }
}

/// A tensor with the same values whose single elements may be changed without touching the caller's.
fn copy_leaf(t: &Tensor) -> Result<Tensor> {
    let c = no_grad(|| contiguous(t)?.contiguous_copy())?;
    autograd::set_requires_grad(&c, meta::requires_grad(t))?;
    Ok(c)
}
fn with_element(t: &Tensor, i: usize, delta: f64) -> Result<Tensor> {
    crate::dispatch!(t.dtype(), T, {
        let mut v = t.to_vec::<T>()?;
        v[i] = T::from_f64(v[i].to_f64() + delta);
        to_device(&Tensor::from_slice(&v, &t.shape())?, t.device())
    })
}
fn float_outputs(f: &dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let parts = |o: Tensor| if o.dtype().is_complex() { view_as_real(&o) } else { Ok(o) };
    f(inputs)?.into_iter().filter(|o| o.dtype().is_inexact()).map(parts).collect()
}

/// Checks the gradients of `f` at `inputs` (float64 for meaningful results) against central differences. An error
/// says which output, input and element differ, and by how much.
pub fn gradcheck(f: &dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>, inputs: &[Tensor], o: GradCheck) -> Result<()> {
    if inputs.iter().any(|t| t.dtype().is_complex()) {
        return gradcheck_parts(f, inputs, o);
    }
    let leaves = inputs.iter().map(copy_leaf).collect::<Result<Vec<_>>>()?;
    let wanted: Vec<usize> = (0..leaves.len()).filter(|&i| meta::requires_grad(&leaves[i])).collect();
    ensure!(
        !wanted.is_empty(),
        Value,
        "gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True."
    );
    let outputs = float_outputs(f, &leaves)?;
    for (oi, out) in outputs.iter().enumerate() {
        let n = out.numel();
        // Analytic Jacobian, a row an output element.
        let mut rows: Vec<Vec<Vec<f64>>> = Vec::with_capacity(n);
        for e in 0..n {
            if !meta::requires_grad(out) {
                rows.push(wanted.iter().map(|&i| vec![0.0; leaves[i].numel()]).collect());
                continue;
            }
            let seed = with_element(&zeros(&out.shape(), Some(out.dtype()), Some(out.device()))?, e, 1.0)?;
            let targets: Vec<Tensor> = wanted.iter().map(|&i| leaves[i].clone()).collect();
            let options = Options { retain_graph: true, create_graph: false };
            let got = grad(std::slice::from_ref(out), &targets, &[Some(seed)], options, true)?;
            rows.push(
                got.into_iter()
                    .zip(&targets)
                    .map(|(g, t)| match g {
                        Some(g) => g.to_f64_vec(),
                        None => Ok(vec![0.0; t.numel()]),
                    })
                    .collect::<Result<_>>()?,
            );
        }
        for (wi, &i) in wanted.iter().enumerate() {
            for k in 0..leaves[i].numel() {
                let side = |delta: f64| -> Result<Vec<f64>> {
                    let mut moved = leaves.clone();
                    moved[i] = with_element(&leaves[i], k, delta)?;
                    let outs = no_grad(|| float_outputs(f, &moved))?;
                    match outs.get(oi) {
                        Some(o) => o.to_f64_vec(),
                        None => bail!(Runtime, "gradcheck: the function returned fewer outputs the second time"),
                    }
                };
                let (up, down) = (side(o.eps)?, side(-o.eps)?);
                for e in 0..n {
                    let numeric = (up[e] - down[e]) / (2.0 * o.eps);
                    let analytic = rows[e][wi][k];
                    let near = (numeric - analytic).abs() <= o.atol + o.rtol * numeric.abs();
                    ensure!(
                        near || (numeric.is_nan() && analytic.is_nan()),
                        Runtime,
                        "Jacobian mismatch for output {oi} with respect to input {i}: d output[{e}] / d input[{k}] is numerically {numeric:.9e} and analytically {analytic:.9e} (atol {}, rtol {})",
                        o.atol,
                        o.rtol
                    );
                }
            }
        }
    }
    Ok(())
}

/// [`gradcheck`] where inputs are complex: by their parts, which is what the conjugate derivative is made of.
fn gradcheck_parts(f: &dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>, inputs: &[Tensor], o: GradCheck) -> Result<()> {
    let is_complex: Vec<bool> = inputs.iter().map(|t| t.dtype().is_complex()).collect();
    let parts = inputs
        .iter()
        .map(|t| {
            if !t.dtype().is_complex() {
                return Ok(t.clone());
            }
            let p = t.contiguous_copy()?.as_pairs()?;
            autograd::set_requires_grad(&p, meta::requires_grad(t))?;
            Ok(p)
        })
        .collect::<Result<Vec<_>>>()?;
    let of_parts = |xs: &[Tensor]| -> Result<Vec<Tensor>> {
        // The second derivatives' function differentiates by what it gets, which must lead to the parts.
        let _mode = autograd::GradMode::set(true);
        let join = |(t, c): (&Tensor, &bool)| if *c { view_as_complex(t) } else { Ok(t.clone()) };
        f(&xs.iter().zip(&is_complex).map(join).collect::<Result<Vec<_>>>()?)
    };
    gradcheck(&of_parts, &parts, o)
}

/// Checks second derivatives: [`gradcheck`] of the gradients of `f`, weighted by fixed numbers.
pub fn gradgradcheck(f: &dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>, inputs: &[Tensor], o: GradCheck) -> Result<()> {
    let wanted: Vec<usize> = (0..inputs.len()).filter(|&i| meta::requires_grad(&inputs[i])).collect();
    let first = |xs: &[Tensor]| -> Result<Vec<Tensor>> {
        let _mode = autograd::GradMode::set(true);
        let xs: Vec<Tensor> = xs
            .iter()
            .enumerate()
            .map(|(i, x)| {
                // Differences are taken at plain tensors: they need a leaf of their own.
                if wanted.contains(&i) && !meta::requires_grad(x) {
                    let x = x.alias_same();
                    autograd::set_requires_grad(&x, true)?;
                    return Ok(x);
                }
                Ok(x.clone())
            })
            .collect::<Result<_>>()?;
        let outs: Vec<Tensor> = float_outputs(f, &xs)?.into_iter().filter(meta::requires_grad).collect();
        ensure!(!outs.is_empty(), Runtime, "gradgradcheck: no output of the function requires gradient");
        let seeds = outs
            .iter()
            .map(|t| {
                let v: Vec<f64> = (0..t.numel()).map(|k| 0.3 + 0.7 * ((k * 7 % 11) as f64) / 11.0).collect();
                let s = Tensor::from_slice(&v, &t.shape())?;
                Ok(Some(to_device(&cast(&s, t.dtype())?, t.device())?))
            })
            .collect::<Result<Vec<_>>>()?;
        let targets: Vec<Tensor> = wanted.iter().map(|&i| xs[i].clone()).collect();
        let options = Options { retain_graph: true, create_graph: true };
        let got = grad(&outs, &targets, &seeds, options, true)?;
        got.into_iter()
            .zip(&targets)
            .map(|(g, t)| match g {
                Some(g) => Ok(g),
                None => zeros(&t.shape(), Some(t.dtype()), Some(t.device())),
            })
            .collect()
    };
    gradcheck(&first, inputs, o)
}
