//! Custom functions: forward and backward given by the caller, in any language.

use super::meta::gradient_edge;
use super::meta::{self};
use super::node::{Ctx, Edge, Grads, Node, OutputMeta};
use super::record::recording;
use super::saved::{Saved, Saver};
use super::{mode, view};
use crate::base::error::Result;
use crate::base::sync::Mutex;
use crate::ensure;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::Arc;

/// What forward leaves for backward.
#[derive(Default)]
pub struct FunctionCtx {
    to_save: Mutex<Vec<Option<Tensor>>>,
    saved: Mutex<Vec<Option<Saved>>>,
    non_differentiable: Mutex<Vec<Tensor>>,
    dirty: Mutex<Vec<Tensor>>,
    needs: Mutex<Vec<bool>>,
}
impl FunctionCtx {
    /// Keeps tensors for backward; called in forward, once (a later call replaces the list).
    pub fn save_for_backward(&self, tensors: Vec<Option<Tensor>>) {
        *self.to_save.lock() = tensors;
    }
    /// The tensors kept by forward; an error when one was modified since.
    pub fn saved_tensors(&self, ctx: &Ctx) -> Result<Vec<Option<Tensor>>> {
        self.saved.lock().iter().map(|s| s.as_ref().map(|s| s.get(ctx)).transpose()).collect()
    }
    pub fn mark_non_differentiable(&self, tensors: &[Tensor]) {
        self.non_differentiable.lock().extend_from_slice(tensors);
    }
    /// Says that forward wrote to these inputs in place.
    pub fn mark_dirty(&self, tensors: &[Tensor]) {
        self.dirty.lock().extend_from_slice(tensors);
    }
    /// Whether the gradient of input `i` is wanted.
    pub fn needs_input_grad(&self, i: usize) -> bool {
        self.needs.lock().get(i).copied().unwrap_or(false)
    }
}

/// A differentiable function written by the caller. Both methods may call any op; `backward` is recorded when
/// create_graph is on, so functions written in differentiable ops have second derivatives.
pub trait CustomFunction: Send + Sync {
    fn name(&self) -> String;
    fn forward(&self, ctx: &FunctionCtx, inputs: &[Tensor]) -> Result<Vec<Tensor>>;
    /// One gradient per input; absent output gradients come as None.
    fn backward(&self, ctx: &FunctionCtx, node: &Ctx, grads: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>>;
}

/// Runs `forward` unrecorded and records one node for it.
pub fn apply(f: Arc<dyn CustomFunction>, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    crate::backend::stack::check()?;
    let refs: Vec<&Tensor> = inputs.iter().collect();
    let record = recording(&refs);
    let fctx = Arc::new(FunctionCtx::default());
    *fctx.needs.lock() = inputs.iter().map(|t| record && meta::requires_grad(t)).collect();
    let edges: SmallVec<[Option<Edge>; 2]> =
        inputs.iter().map(|t| if record { gradient_edge(t) } else { None }).collect();
    let raw = mode::no_grad(|| f.forward(&fctx, inputs))?;
    let dirty = std::mem::take(&mut *fctx.dirty.lock());
    let plain = std::mem::take(&mut *fctx.non_differentiable.lock());
    let holds = |list: &[Tensor], t: &Tensor| list.iter().any(|d| d.is_same(t));
    for d in &dirty {
        ensure!(
            holds(inputs, d),
            Runtime,
            "mark_dirty only accepts input tensors, but a tensor that is not an input of the function was given"
        );
        if record {
            view::check_inplace(d)?;
        }
        d.bump_version();
    }
    // An input handed out unchanged becomes a new tensor, so that its history can differ.
    let outputs: Vec<Tensor> =
        raw.into_iter().map(|t| if holds(inputs, &t) && !holds(&dirty, &t) { t.alias_same() } else { t }).collect();
    let to_save = std::mem::take(&mut *fctx.to_save.lock());
    if !record {
        return Ok(outputs);
    }
    let mut saver = Saver::default();
    *fctx.saved.lock() = to_save
        .into_iter()
        .map(|t| {
            t.map(|t| match outputs.iter().position(|o| o.is_same(&t)) {
                Some(nr) => saver.save_output(&t, nr),
                None => saver.save(&t),
            })
        })
        .collect();
    if let Some(e) = saver.failed() {
        return Err(e);
    }
    let name = f.name();
    let expect = inputs.len();
    let label = name.clone();
    let node = Node::function(
        name.into(),
        edges,
        outputs.iter().map(OutputMeta::of).collect(),
        true,
        Arc::new(move |ctx: &Ctx, g: &[Option<Tensor>]| -> Result<Grads> {
            let got = f.backward(&fctx, ctx, g)?;
            ensure!(
                got.len() == expect,
                Runtime,
                "function {label} returned an incorrect number of gradients (expected {expect}, got {})",
                got.len()
            );
            Ok(got.into_iter().collect())
        }),
    );
    for (nr, out) in outputs.iter().enumerate() {
        if !out.dtype().is_differentiable() || holds(&plain, out) {
            continue;
        }
        let edge = Edge { node: node.clone(), nr };
        if holds(&dirty, out) {
            view::rebase(out, Some(edge))?;
        } else {
            meta::set_history(out, Some(edge));
        }
    }
    Ok(outputs)
}
