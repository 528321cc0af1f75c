//! Nodes of the backward graph and what they saved.

use crate::backend::memory::reserve::fallibly;
use crate::bail;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::Dims;
use crate::base::sync::{Mutex, MutexGuard};
use crate::tensor::{Tensor, WeakTensor};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// Gradients passed along edges; None stands for zero.
pub type Grads = SmallVec<[Option<Tensor>; 3]>;

/// A tensor hook: sees the gradient and may replace it.
#[derive(Clone)]
pub struct Hook {
    pub id: u64,
    pub call: Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>,
}
static NEXT_HOOK: AtomicU64 = AtomicU64::new(1);
pub fn next_hook_id() -> u64 {
    NEXT_HOOK.fetch_add(1, Ordering::Relaxed)
}

/// Where a gradient goes: output `nr` of the forward op behind `node`.
#[derive(Clone)]
pub struct Edge {
    pub node: Arc<Node>,
    pub nr: usize,
}

/// Shape and type of one forward output: what its gradient must look like.
#[derive(Clone)]
pub struct OutputMeta {
    pub shape: Dims,
    pub dtype: DType,
    pub device: Device,
}
impl OutputMeta {
    pub fn of(t: &Tensor) -> OutputMeta {
        let b = t.body();
        OutputMeta { shape: Dims::from_slice(b.shape()), dtype: b.dtype(), device: b.device() }
    }
}

/// What a backward function may ask while it runs.
pub struct Ctx<'a> {
    pub node: &'a Arc<Node>,
    /// Whether gradients of the result will be asked for (create_graph).
    pub create_graph: bool,
}
impl Ctx<'_> {
    /// Whether input `i`'s gradient is wanted.
    #[inline]
    pub fn needs(&self, i: usize) -> bool {
        self.node.edges.get(i).is_some_and(|e| e.is_some())
    }
}

/// Maps output gradients to input gradients, in differentiable ops.
pub type BackwardFn = dyn Fn(&Ctx, &[Option<Tensor>]) -> Result<Grads> + Send + Sync;

pub enum Kind {
    /// An op; its function is dropped when the graph is released.
    Function(Mutex<Option<Arc<BackwardFn>>>),
    /// Adds into a leaf's `.grad`.
    Accumulate(Tensor),
}

/// Called with a node's gradients before (outputs) or after (inputs) it ran.
pub type NodeHook =
    Arc<dyn Fn(&[Option<Tensor>], &[Option<Tensor>]) -> Result<Option<Vec<Option<Tensor>>>> + Send + Sync>;

/// A list that is empty for nearly every node: then it is not locked to find that out.
pub struct Rare<T> {
    used: AtomicBool,
    list: Mutex<Vec<T>>,
}
impl<T> Default for Rare<T> {
    fn default() -> Rare<T> {
        Rare { used: AtomicBool::new(false), list: Mutex::default() }
    }
}
impl<T> Rare<T> {
    /// The list, to be changed.
    pub fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.used.store(true, Ordering::Release);
        self.list.lock()
    }
    /// What is in it now.
    #[inline]
    pub fn copied(&self) -> Vec<T>
    where
        T: Clone,
    {
        if self.used.load(Ordering::Acquire) {
            self.list.lock().clone()
        } else {
            Vec::new()
        }
    }
}

/// One node of the graph: the backward of one forward op.
pub struct Node {
    pub name: Cow<'static, str>,
    /// Later nodes run first.
    pub seq: u64,
    pub edges: SmallVec<[Option<Edge>; 2]>,
    pub outputs: SmallVec<[OutputMeta; 1]>,
    pub kind: Kind,
    /// Whether anything must be freed after backward (a second backward is then an error).
    saves: bool,
    /// Tensor hooks by output number, kept in registration order.
    pub(super) tensor_hooks: Rare<(usize, Arc<Mutex<Vec<Hook>>>)>,
    /// Outputs that asked to retain their gradient.
    pub(super) retain: Rare<(usize, WeakTensor)>,
    pub pre_hooks: Rare<(u64, NodeHook)>,
    pub post_hooks: Rare<(u64, NodeHook)>,
}

static SEQ: AtomicU64 = AtomicU64::new(1);

impl Node {
    pub fn function(
        name: Cow<'static, str>,
        edges: SmallVec<[Option<Edge>; 2]>,
        outputs: SmallVec<[OutputMeta; 1]>,
        saves: bool,
        f: Arc<BackwardFn>,
    ) -> Arc<Node> {
        Arc::new(Node {
            name,
            seq: SEQ.fetch_add(1, Ordering::Relaxed),
            edges,
            outputs,
            kind: Kind::Function(Mutex::new(Some(f))),
            saves,
            tensor_hooks: Rare::default(),
            retain: Rare::default(),
            pre_hooks: Rare::default(),
            post_hooks: Rare::default(),
        })
    }
    pub fn accumulate(leaf: &Tensor) -> Arc<Node> {
        Arc::new(Node {
            name: "AccumulateGrad".into(),
            seq: u64::MAX,
            edges: SmallVec::new(),
            outputs: SmallVec::from_iter([OutputMeta::of(leaf)]),
            kind: Kind::Accumulate(leaf.clone()),
            saves: false,
            tensor_hooks: Rare::default(),
            retain: Rare::default(),
            pre_hooks: Rare::default(),
            post_hooks: Rare::default(),
        })
    }
    /// The backward function, or the error of a graph that was freed.
    pub fn backward_fn(&self) -> Result<Option<Arc<BackwardFn>>> {
        match &self.kind {
            Kind::Accumulate(_) => Ok(None),
            Kind::Function(f) => match &*f.lock() {
                Some(f) => Ok(Some(f.clone())),
                None => bail!(
                    Runtime,
                    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors after calling backward. (op: {})",
                    self.name
                ),
            },
        }
    }
    /// Frees what was saved; nodes that saved nothing stay usable, as in PyTorch.
    pub fn release(&self) {
        if self.saves {
            if let Kind::Function(f) = &self.kind {
                let taken = f.lock().take();
                drop(taken);
            }
        }
    }
}

thread_local! {
    static DROPPING: Cell<bool> = const { Cell::new(false) };
    static GARBAGE: RefCell<Queue> = const { RefCell::new(Queue { list: Vec::new(), more: None }) };
}
type Garbage = (SmallVec<[Option<Edge>; 2]>, Option<Arc<BackwardFn>>);

/// What waits to be dropped. Where the list cannot grow, small boxes hold the rest: dropping must not need memory that
/// is not there.
struct Queue {
    list: Vec<Garbage>,
    more: Option<Box<More>>,
}
struct More(Garbage, Option<Box<More>>);
impl Queue {
    fn push(&mut self, item: Garbage) {
        if self.list.len() < self.list.capacity() || fallibly(|| self.list.try_reserve(1)).is_ok() {
            return self.list.push(item);
        }
        self.more = Some(Box::new(More(item, self.more.take())));
    }
    fn pop(&mut self) -> Option<Garbage> {
        if let Some(first) = self.more.take() {
            let More(item, rest) = *first;
            self.more = rest;
            return Some(item);
        }
        self.list.pop()
    }
}

// A chain of a million nodes must not overflow the stack: nested drops queue their contents.
impl Drop for Node {
    fn drop(&mut self) {
        let edges = std::mem::take(&mut self.edges);
        let func = match &mut self.kind {
            Kind::Function(f) => f.get_mut().take(),
            Kind::Accumulate(_) => None,
        };
        if edges.is_empty() && func.is_none() {
            return;
        }
        if DROPPING.with(|d| d.replace(true)) {
            // The queue is gone only while its thread ends; then the drop recurses.
            let mut item = Some((edges, func));
            let _ = GARBAGE.try_with(|g| g.borrow_mut().push(item.take().expect("set above")));
            drop(item);
            return;
        }
        drop((edges, func));
        while let Some(next) = GARBAGE.try_with(|g| g.borrow_mut().pop()).ok().flatten() {
            drop(next);
        }
        DROPPING.with(|d| d.set(false));
    }
}
