//! Automatic differentiation: a graph of nodes recorded by the ops and run backwards by the engine.
//!
//! Ops record nodes here; what the engine itself must compute (adding gradients, summing over broadcast dimensions)
//! it asks of [`Algebra`], which the ops fill, so that the two folders form no circle.

pub mod custom;
pub mod display;
pub mod engine;
pub mod meta;
pub mod mode;
pub mod node;
pub mod view;

use crate::bail;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::Layout;
use crate::tensor::Tensor;
pub use meta::{grad_fn, gradient_edge, is_leaf, requires_grad, set_requires_grad};
pub use mode::{grad_enabled, no_grad, set_grad_enabled, GradMode};
use node::BackwardFn;
pub use node::{Ctx, Edge, Grads, Kind, Node, OutputMeta, Saved, Saver};
use smallvec::SmallVec;
use std::sync::OnceLock;

/// The arithmetic that the engine needs, filled by the ops.
pub trait Algebra: Send + Sync {
    fn ones(&self, like: &OutputMeta) -> Result<Tensor>;
    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor>;
    /// acc += g, unrecorded.
    fn add_into(&self, acc: &Tensor, g: &Tensor) -> Result<()>;
    fn sum_to(&self, g: &Tensor, shape: &[i64]) -> Result<Tensor>;
    fn cast(&self, g: &Tensor, dtype: DType) -> Result<Tensor>;
    fn to_device(&self, g: &Tensor, device: Device) -> Result<Tensor>;
    fn clone(&self, g: &Tensor) -> Result<Tensor>;
    /// A differentiable copy laid out with the strides (not the offset) of `like`.
    fn clone_with_strides(&self, g: &Tensor, like: &Layout) -> Result<Tensor>;
    fn as_strided(&self, t: &Tensor, layout: &Layout) -> Result<Tensor>;
    /// Gradient of a tensor laid out as `base` from the gradient of its window `view` (offsets relative to base).
    fn as_strided_backward(&self, g: &Tensor, base: &Layout, view: &Layout) -> Result<Tensor>;
    fn copy_(&self, dst: &Tensor, src: &Tensor) -> Result<()>;
    fn zero_(&self, t: &Tensor) -> Result<()>;
    fn has_nan(&self, t: &Tensor) -> Result<bool>;
}

static ALGEBRA: OnceLock<&'static dyn Algebra> = OnceLock::new();

/// Makes the ops' arithmetic known to the engine; cheap to call again.
#[inline]
pub fn install(a: &'static dyn Algebra) {
    ALGEBRA.get_or_init(|| a);
}
pub(crate) fn algebra() -> Result<&'static dyn Algebra> {
    match ALGEBRA.get() {
        Some(a) => Ok(*a),
        None => bail!(Internal, "autograd was used before the ops installed their arithmetic"),
    }
}

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
        attach(name, inputs, &out, make);
    }
    Ok(out)
}

#[cold]
fn attach<F>(name: &'static str, inputs: &[&Tensor], out: &Tensor, make: impl FnOnce(&mut Saver, &Tensor) -> F)
where
    F: Fn(&Ctx, &Tensor) -> Result<Grads> + Send + Sync + 'static,
{
    let mut saver = Saver::default();
    let f = make(&mut saver, out);
    let f = move |ctx: &Ctx, g: &[Option<Tensor>]| match &g[0] {
        Some(g) => f(ctx, g),
        None => Ok(Grads::new()),
    };
    attach_node(name, inputs, out, saver.count > 0, Box::new(f));
}
/// The part of it that is the same for every op.
#[inline(never)]
fn attach_node(name: &'static str, inputs: &[&Tensor], out: &Tensor, saves: bool, f: BackwardFn) {
    let edges = inputs.iter().map(|t| gradient_edge(t)).collect();
    let node = Node::function(name.into(), edges, SmallVec::from_iter([OutputMeta::of(out)]), saves, f);
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
    attach_many(name, inputs, outs, saver.count > 0, Box::new(f));
    Ok(())
}
#[inline(never)]
fn attach_many(name: &'static str, inputs: &[&Tensor], outs: &[&Tensor], saves: bool, f: BackwardFn) {
    let edges = inputs.iter().map(|t| gradient_edge(t)).collect();
    let node = Node::function(name.into(), edges, outs.iter().map(|t| OutputMeta::of(t)).collect(), saves, f);
    for (nr, out) in outs.iter().enumerate() {
        if out.dtype().is_differentiable() {
            meta::set_history(out, Some(Edge { node: node.clone(), nr }));
        }
    }
}

/// Gradients of a fixed number of inputs: `grads![ga, gb]`, each an `Option<Tensor>`.
#[macro_export]
macro_rules! grads {
    ($($g:expr),* $(,)?) => { $crate::autograd::Grads::from_iter([$($g),*]) };
}
