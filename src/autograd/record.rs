//! Recording an op: its node, from the inputs' edges to the outputs' history.

use super::meta::{self, gradient_edge, requires_grad};
use super::mode::grad_enabled;
use super::node::{BackwardFn, Ctx, Edge, Grads, Node, OutputMeta};
use super::saved::Saver;
use crate::base::error::Result;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::Arc;

/// Whether an op over these inputs is to be recorded.
#[inline]
pub fn recording(inputs: &[&Tensor]) -> bool {
    grad_enabled() && inputs.iter().any(|t| requires_grad(t))
}

/// Records an op of one output. `make` runs only when a gradient may be wanted; it saves what is needed and returns
/// the function from the output's gradient to the inputs' gradients.
#[inline]
pub fn record<F>(
    name: &'static str,
    inputs: &[&Tensor],
    out: Tensor,
    make: impl FnOnce(&mut Saver, &Tensor) -> F,
) -> Result<Tensor>
where
    F: Fn(&Ctx, &Tensor) -> Result<Grads> + Send + Sync + 'static,
{
    if recording(inputs) && out.dtype().is_differentiable() {
        attach(name, inputs, &out, make)?;
    }
    Ok(out)
}

#[cold]
fn attach<F>(
    name: &'static str,
    inputs: &[&Tensor],
    out: &Tensor,
    make: impl FnOnce(&mut Saver, &Tensor) -> F,
) -> Result<()>
where
    F: Fn(&Ctx, &Tensor) -> Result<Grads> + Send + Sync + 'static,
{
    let mut saver = Saver::default();
    let f = make(&mut saver, out);
    if let Some(e) = saver.failed() {
        return Err(e);
    }
    let f = move |ctx: &Ctx, g: &[Option<Tensor>]| match &g[0] {
        Some(g) => f(ctx, g),
        None => Ok(Grads::new()),
    };
    attach_node(name, inputs, out, saver.has_saved(), Arc::new(f));
    Ok(())
}
/// Where the inputs' gradients go.
fn edges_of(inputs: &[&Tensor]) -> SmallVec<[Option<Edge>; 2]> {
    let mut edges = SmallVec::new();
    for t in inputs {
        edges.push(gradient_edge(t));
    }
    edges
}
/// The part of it that is the same for every op.
#[inline(never)]
fn attach_node(name: &'static str, inputs: &[&Tensor], out: &Tensor, saves: bool, f: Arc<BackwardFn>) {
    let edges = edges_of(inputs);
    let node = Node::function(name.into(), edges, SmallVec::from_buf([OutputMeta::of(out)]), saves, f);
    meta::set_history(out, Some(Edge { node, nr: 0 }));
}

/// Records an op of several outputs; those that are not float stay without history. Absent gradients come as None.
pub fn record_many<F>(
    name: &'static str,
    inputs: &[&Tensor],
    outs: &[&Tensor],
    make: impl FnOnce(&mut Saver) -> F,
) -> Result<()>
where
    F: Fn(&Ctx, &[Option<Tensor>]) -> Result<Grads> + Send + Sync + 'static,
{
    if !recording(inputs) {
        return Ok(());
    }
    let mut saver = Saver::default();
    let f = make(&mut saver);
    if let Some(e) = saver.failed() {
        return Err(e);
    }
    attach_many(name, inputs, outs, saver.has_saved(), Arc::new(f));
    Ok(())
}
#[inline(never)]
fn attach_many(name: &'static str, inputs: &[&Tensor], outs: &[&Tensor], saves: bool, f: Arc<BackwardFn>) {
    let edges = edges_of(inputs);
    let node = Node::function(name.into(), edges, outs.iter().map(|t| OutputMeta::of(t)).collect(), saves, f);
    for (nr, out) in outs.iter().enumerate() {
        if out.dtype().is_differentiable() {
            meta::set_history(out, Some(Edge { node: node.clone(), nr }));
        }
    }
}
