//! Views and in-place writes: which tensor is a view of which, and how history follows a write through either.

use super::algebra::algebra;
use super::meta::{self, as_strided_edge, relative, ViewOf};
use super::mode::{grad_enabled, inference_mode};
use super::node::{Ctx, Edge, Grads, Kind, Node, OutputMeta};
use crate::backend::memory;
use crate::base::error::Result;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Arc;

/// Notes that `out` is a view of `input`, so that in-place writes through one are seen by the other.
pub fn track(input: &Tensor, out: &Tensor, several_outputs: bool) {
    if inference_mode() || !input.dtype().is_differentiable() {
        return;
    }
    let (base, inherited) = match meta::peek(input) {
        Some(m) => match &m.lock().view {
            Some(v) => (v.base.clone(), v.forbidden),
            None => (input.clone(), None),
        },
        None => (input.clone(), None),
    };
    let forbidden = if several_outputs {
        Some("This view is the output of a function that returns multiple views. Such functions do not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one.")
    } else if !grad_enabled() && base.needs_grad_flag() {
        Some("A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked).")
    } else {
        inherited
    };
    let version = out.version();
    meta::cell(out).lock().view = Some(ViewOf { base, version, forbidden });
}

/// The tensor that a view looks at (`_base`).
pub fn base_of(t: &Tensor) -> Option<Tensor> {
    meta::peek(t)?.lock().view.as_ref().map(|v| v.base.clone())
}

/// Checks that an in-place write to `t` may be recorded; called before anything is written.
pub fn check_inplace(t: &Tensor) -> Result<()> {
    memory::check()?;
    {
        let b = t.body();
        let l = b.layout();
        ensure!(
            l.shape.iter().zip(&l.strides).all(|(n, s)| *n <= 1 || *s != 0),
            Runtime,
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
        );
    }
    check_overwrite(t)
}
/// The same of a write that gives every element one value, so that elements may share memory.
pub fn check_overwrite(t: &Tensor) -> Result<()> {
    memory::check()?;
    if !grad_enabled() {
        return Ok(());
    }
    let Some(cell) = meta::peek(t) else { return Ok(()) };
    let m = cell.lock();
    ensure!(
        !(m.requires_grad && m.history.is_none()),
        Runtime,
        "a leaf Variable that requires grad is being used in an in-place operation."
    );
    if let Some(v) = &m.view {
        // The leaf may itself be a view, of a base that requires none.
        let on_the_way = !v.base.needs_grad_flag() && t.needs_grad_flag() && m.history.is_some();
        ensure!(
            !on_the_way,
            Runtime,
            "a view of a leaf Variable that requires grad is being used in an in-place operation."
        );
        if v.base.needs_grad_flag() {
            ensure!(
                meta::peek(&v.base).is_none_or(|b| b.lock().history.is_some()),
                Runtime,
                "a view of a leaf Variable that requires grad is being used in an in-place operation."
            );
        }
        if let (Some(why), true) = (v.forbidden, t.needs_grad_flag() || v.base.needs_grad_flag()) {
            bail!(Runtime, "{why}");
        }
    }
    Ok(())
}

/// After an in-place op: `t` (and, for a view, its base) now comes from `edge`, whose node's first input is the old `t`.
pub fn rebase(t: &Tensor, edge: Option<Edge>) -> Result<()> {
    let Some(edge) = edge else { return Ok(()) };
    let Some(base) = base_of(t) else {
        meta::set_history(t, Some(edge));
        return Ok(());
    };
    ensure!(
        base.dtype() == t.dtype(),
        NotImplemented,
        "a gradient cannot be recorded through a write into the {} view of a tensor of {}; write a whole tensor, or without \
         gradients",
        t.dtype(),
        base.dtype()
    );
    let (bl, vl) = (base.layout(), t.layout());
    let rel = relative(&vl, &bl);
    let inner = edge.node;
    let mut edges: SmallVec<[Option<Edge>; 2]> = SmallVec::from_iter([meta::gradient_edge(&base)]);
    edges.extend(inner.edges.iter().skip(1).cloned());
    let outputs = SmallVec::from_iter([OutputMeta::of(&base)]);
    let copy = Node::function(
        "CopySlices".into(),
        edges,
        outputs,
        true,
        Arc::new(move |ctx: &Ctx, g: &[Option<Tensor>]| -> Result<Grads> {
            let alg = algebra()?;
            let Some(g) = &g[0] else { return Ok(ctx.node.edges.iter().map(|_| None).collect()) };
            let result = alg.clone_with_strides(g, &bl)?;
            let slice = alg.as_strided(&result, &rel)?;
            let Some(f) = inner.backward_fn()? else { bail!(Internal, "CopySlices over an accumulator") };
            let inner_ctx = Ctx { node: &inner, create_graph: ctx.create_graph };
            let mut grads = f(&inner_ctx, &[Some(alg.clone(&slice)?)])?;
            if let Kind::Function(_) = inner.kind {
                match grads[0].take() {
                    Some(first) => alg.copy_(&slice, &first)?,
                    None => alg.zero_(&slice)?,
                }
            }
            grads[0] = Some(result);
            Ok(grads)
        }),
    );
    meta::set_history(&base, Some(Edge { node: copy, nr: 0 }));
    if let Some(base_edge) = meta::gradient_edge(&base) {
        let new = as_strided_edge(t, &base, base_edge);
        meta::set_history(t, Some(new));
    }
    if let Some(v) = &mut meta::cell(t).lock().view {
        v.version = t.version();
    }
    Ok(())
}
