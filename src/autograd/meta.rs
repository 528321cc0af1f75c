//! What autograd knows about one tensor: leaf or node output, gradient, hooks, view relation.

use super::algebra::algebra;
use super::node::{next_hook_id, Ctx, Edge, Grads, Hook, Node, OutputMeta};
use crate::base::error::Result;
use crate::base::layout::Layout;
use crate::base::sync::{Mutex, MutexGuard, Turn, TurnGuard};
use crate::ensure;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::{Arc, Weak};

/// How a view hangs on its base.
pub(super) struct ViewOf {
    pub base: Tensor,
    /// Version at which `history` was valid; a newer one means the base was written through another alias.
    pub version: u64,
    /// Why an in-place write through this view is an error (a view of several outputs, or made under no_grad).
    pub forbidden: Option<&'static str>,
}

#[derive(Default)]
pub(super) struct Meta {
    pub requires_grad: bool,
    pub grad: Option<Tensor>,
    pub history: Option<Edge>,
    pub accumulator: Weak<Node>,
    pub hooks: Option<Arc<Mutex<Vec<Hook>>>>,
    /// Lists of hooks that belong to earlier values of a tensor written in place; their nodes own them.
    pub past_hooks: Vec<Weak<Mutex<Vec<Hook>>>>,
    pub post_accumulate: Vec<Hook>,
    pub retains_grad: bool,
    pub view: Option<ViewOf>,
    /// Held by the thread that adds to `grad`.
    pub turn: Option<Arc<Turn>>,
    /// Held by the thread that adds to `grad` and then runs `post_accumulate`. Another than `turn`: who may go past this
    /// one, because its holder waits for them, still adds alone.
    pub hook_turn: Option<Arc<Turn>>,
}

pub(super) fn cell(t: &Tensor) -> &Mutex<Meta> {
    if let Some(m) = peek(t) {
        return m;
    }
    // Made before it is set: a forked child would wait for a thread that it has not.
    let _ = t.meta_cell().set(Box::new(Mutex::new(Meta::default())));
    peek(t).expect("set above")
}
pub(super) fn peek(t: &Tensor) -> Option<&Mutex<Meta>> {
    t.meta_cell().get().map(|b| b.downcast_ref().expect("the meta cell holds autograd's record"))
}

/// Whether gradients flow through the tensor.
#[inline]
pub fn requires_grad(t: &Tensor) -> bool {
    t.needs_grad_flag() || base_requires_grad(t)
}
/// Whether the user made the tensor rather than a recorded op.
pub fn is_leaf(t: &Tensor) -> bool {
    grad_fn(t).is_none()
}
/// Marks a leaf as wanting gradients (or not).
pub fn set_requires_grad(t: &Tensor, on: bool) -> Result<()> {
    if !is_leaf(t) {
        ensure!(
            on,
            Runtime,
            "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
        );
        return Ok(());
    }
    ensure!(
        !on || t.dtype().is_differentiable(),
        Runtime,
        "only Tensors of floating point and complex dtype can require gradients, got {}",
        t.dtype()
    );
    cell(t).lock().requires_grad = on;
    t.set_needs_grad_flag(on);
    Ok(())
}
/// The node that made the tensor; for a view whose base was written since, a fresh one.
pub fn grad_fn(t: &Tensor) -> Option<Arc<Node>> {
    refresh(t);
    peek(t)?.lock().history.as_ref().map(|e| e.node.clone())
}
pub fn output_nr(t: &Tensor) -> usize {
    peek(t).and_then(|m| m.lock().history.as_ref().map(|e| e.nr)).unwrap_or(0)
}
/// Sets where the tensor's gradient goes (None makes it a plain tensor again).
pub fn set_history(t: &Tensor, edge: Option<Edge>) {
    let some = edge.is_some();
    let (old, leaf) = {
        let mut m = cell(t).lock();
        if some {
            m.requires_grad = false;
        }
        // Hooks belong to the value that they were put on, `.grad` to the newest one.
        if let Some(h) = m.hooks.take() {
            m.past_hooks.retain(|p| p.strong_count() > 0);
            m.past_hooks.push(Arc::downgrade(&h));
        }
        if m.retains_grad {
            if let Some(e) = &m.history {
                e.node.retain.lock().retain(|(_, kept)| !kept.upgrade().is_some_and(|k| k.is_same(t)));
            }
            if let Some(e) = &edge {
                e.node.retain.lock().push((e.nr, t.downgrade()));
            }
        }
        (std::mem::replace(&mut m.history, edge), m.requires_grad)
    };
    drop(old);
    t.set_needs_grad_flag(some || leaf);
}
/// Where gradients of this tensor go: its node, or a leaf's accumulator; None when it needs none.
pub fn gradient_edge(t: &Tensor) -> Option<Edge> {
    if !requires_grad(t) {
        return None;
    }
    let mut m = cell(t).lock();
    if m.view.is_some() {
        drop(m);
        refresh(t);
        m = cell(t).lock();
    }
    if let Some(e) = &m.history {
        return Some(e.clone());
    }
    if !m.requires_grad {
        return None;
    }
    if let Some(node) = m.accumulator.upgrade() {
        return Some(Edge { node, nr: 0 });
    }
    let node = Node::accumulate(t);
    m.accumulator = Arc::downgrade(&node);
    Some(Edge { node, nr: 0 })
}

#[inline]
fn base_requires_grad(t: &Tensor) -> bool {
    match peek(t) {
        Some(m) => m.lock().view.as_ref().is_some_and(|v| v.base.needs_grad_flag()),
        None => false,
    }
}

pub(super) fn relative(view: &Layout, base: &Layout) -> Layout {
    Layout { shape: view.shape.clone(), strides: view.strides.clone(), offset: view.offset - base.offset }
}

/// Gives a view whose base was written since a history through the base's new one.
fn refresh(t: &Tensor) {
    let Some(cell) = peek(t) else { return };
    let base = {
        let m: MutexGuard<Meta> = cell.lock();
        match &m.view {
            Some(v) if v.version != t.version() => v.base.clone(),
            _ => return,
        }
    };
    let edge = gradient_edge(&base);
    let new = edge.map(|e| as_strided_edge(t, &base, e));
    if let Some(v) = &mut cell.lock().view {
        v.version = t.version();
    }
    if new.is_some() || peek(t).is_some_and(|m| m.lock().history.is_some()) {
        set_history(t, new);
    }
}

pub(super) fn as_strided_edge(view: &Tensor, base: &Tensor, base_edge: Edge) -> Edge {
    let (bl, vl) = (base.layout(), view.layout());
    let rel = relative(&vl, &bl);
    let node = Node::function(
        "AsStridedBackward0".into(),
        SmallVec::from_iter([Some(base_edge)]),
        SmallVec::from_iter([OutputMeta::of(view)]),
        false,
        Arc::new(move |_: &Ctx, g: &[Option<Tensor>]| -> Result<Grads> {
            let Some(g) = &g[0] else { return Ok(Grads::from_iter([None])) };
            Ok(Grads::from_iter([Some(algebra()?.as_strided_backward(g, &bl, &rel)?)]))
        }),
    );
    Edge { node, nr: 0 }
}

/// The accumulated gradient.
pub fn grad(t: &Tensor) -> Option<Tensor> {
    peek(t)?.lock().grad.clone()
}
/// Replaces the gradient after PyTorch's checks; None clears it.
pub fn set_grad(t: &Tensor, g: Option<Tensor>) -> Result<()> {
    if let Some(g) = &g {
        let (a, b) = (t.body(), g.body());
        ensure!(!t.is_same(g), Runtime, "can't assign Variable as its own grad");
        ensure!(
            a.dtype() == b.dtype(),
            Runtime,
            "assigned grad has data of a different type: the tensor is {}, the grad {}",
            a.dtype(),
            b.dtype()
        );
        ensure!(
            a.device() == b.device(),
            Runtime,
            "assigned grad has data located on a different device: the tensor is on {}, the grad on {}",
            a.device(),
            b.device()
        );
        ensure!(
            a.shape() == b.shape(),
            Runtime,
            "assigned grad has data of a different size: attempting to assign a gradient of size '{:?}' to a tensor of size '{:?}'",
            b.shape(),
            a.shape()
        );
    }
    replace_grad(t, g);
    Ok(())
}
/// `.data =`: takes over the memory, layout and dtype of `src`. An accumulator that expects another type or device
/// is forgotten, so that the next graph makes a fitting one.
pub fn set_data(t: &Tensor, src: &Tensor) -> Result<()> {
    ensure!(
        src.dtype().is_differentiable() || !requires_grad(t),
        Runtime,
        "data set to a tensor that requires gradients must be floating point or complex dtype"
    );
    let same = t.dtype() == src.dtype() && t.device() == src.device();
    t.set_body(src);
    if let (false, Some(m)) = (same, peek(t)) {
        m.lock().accumulator = Weak::new();
    }
    Ok(())
}
/// Waits for this thread's turn at adding to the gradient; several backward passes may reach one leaf.
pub(super) fn grad_turn(t: &Tensor) -> TurnGuard {
    let turn = cell(t).lock().turn.get_or_insert_default().clone();
    Turn::take(&turn)
}
/// Waits for this thread's turn at adding to the gradient and running the post-accumulate hooks, so that a hook that
/// steps and drops the gradient loses none; None where there are no hooks.
pub(super) fn hook_turn(t: &Tensor) -> Option<TurnGuard> {
    let turn = {
        let mut m = peek(t)?.lock();
        if m.post_accumulate.is_empty() {
            return None;
        }
        m.hook_turn.get_or_insert_default().clone()
    };
    Some(Turn::take(&turn))
}
pub(super) fn replace_grad(t: &Tensor, g: Option<Tensor>) {
    let old = match (peek(t), &g) {
        (None, None) => None,
        _ => std::mem::replace(&mut cell(t).lock().grad, g),
    };
    drop(old);
}

/// Calls `call` with this tensor's gradient during backward; a returned tensor replaces it. Gives the hook's id.
pub fn register_hook(t: &Tensor, call: Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>) -> Result<u64> {
    ensure!(requires_grad(t), Runtime, "cannot register a hook on a tensor that doesn't require gradient");
    let edge = gradient_edge(t);
    let mut m = cell(t).lock();
    let id = next_hook_id();
    let fresh = m.hooks.is_none();
    let list = m.hooks.get_or_insert_with(Default::default).clone();
    list.lock().push(Hook { id, call });
    if fresh && m.history.is_some() {
        if let Some(e) = edge {
            e.node.tensor_hooks.lock().push((e.nr, list));
        }
    }
    Ok(id)
}
/// Calls `call` with a leaf after its gradient was accumulated.
pub fn register_post_accumulate_hook(
    t: &Tensor,
    call: Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>,
) -> Result<u64> {
    ensure!(
        requires_grad(t) && is_leaf(t),
        Runtime,
        "post accumulate grad hooks cannot be registered on non-leaf tensors or tensors that don't require gradient"
    );
    let id = next_hook_id();
    cell(t).lock().post_accumulate.push(Hook { id, call });
    Ok(id)
}
/// Removes a hook; unknown ids are ignored.
pub fn remove_hook(t: &Tensor, id: u64) {
    let Some(m) = peek(t) else { return };
    let mut removed = Vec::new();
    let mut m = m.lock();
    let lists: Vec<_> = m.hooks.iter().cloned().chain(m.past_hooks.iter().filter_map(Weak::upgrade)).collect();
    for list in &lists {
        let mut list = list.lock();
        while let Some(i) = list.iter().position(|h| h.id == id) {
            removed.push(list.remove(i));
        }
    }
    while let Some(i) = m.post_accumulate.iter().position(|h| h.id == id) {
        removed.push(m.post_accumulate.remove(i));
    }
    drop(m);
    drop((lists, removed));
}
/// Keeps `.grad` of a non-leaf tensor.
pub fn retain_grad(t: &Tensor) -> Result<()> {
    ensure!(requires_grad(t), Runtime, "can't retain_grad on Tensor that has requires_grad=False");
    if is_leaf(t) {
        return Ok(());
    }
    let mut m = cell(t).lock();
    if !m.retains_grad {
        m.retains_grad = true;
        if let Some(e) = &m.history {
            e.node.retain.lock().push((e.nr, t.downgrade()));
        }
    }
    Ok(())
}
pub fn retains_grad(t: &Tensor) -> bool {
    peek(t).is_some_and(|m| m.lock().retains_grad)
}
