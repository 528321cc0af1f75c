//! What a node keeps of the forward pass.

use super::node::{Ctx, Edge, Kind};
use super::{meta, no_grad};
use crate::bail;
use crate::base::error::{Error, Result};
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// What keeps tensors in a program's own way: packs one when it is saved, and makes it again when backward wants it.
pub trait SavedHooks: Send + Sync {
    /// Takes a tensor and returns a number by which it is asked for.
    fn pack(&self, t: &Tensor) -> Result<u64>;
    fn unpack(&self, token: u64) -> Result<Tensor>;
    /// The number is not needed any more; called once for each.
    fn release(&self, token: u64);
}
thread_local! {
    static HOOKS: RefCell<Vec<Arc<dyn SavedHooks>>> = const { RefCell::new(Vec::new()) };
}
/// How many hooks there are, of all threads: where there are none, saving looks no further.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// From here on this thread's tensors are saved by these hooks, until they are popped.
pub fn push_hooks(hooks: Arc<dyn SavedHooks>) {
    HOOKS.with(|h| h.borrow_mut().push(hooks));
    ACTIVE.fetch_add(1, Ordering::Relaxed);
}
/// Ends the hooks that were pushed last; false where there are none.
pub fn pop_hooks() -> bool {
    let last = HOOKS.with(|h| h.borrow_mut().pop());
    if last.is_some() {
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
    }
    last.is_some()
}
#[cold]
fn hooks() -> Option<Arc<dyn SavedHooks>> {
    HOOKS.with(|h| h.borrow().last().cloned())
}

/// A tensor that hooks keep.
struct Packed {
    hooks: Arc<dyn SavedHooks>,
    token: u64,
    /// Where its gradient goes.
    edge: Option<Edge>,
    output_nr: Option<usize>,
}
impl Packed {
    fn get(&self, ctx: &Ctx) -> Result<Tensor> {
        let t = no_grad(|| self.hooks.unpack(self.token))?;
        let edge = match self.output_nr {
            Some(nr) => Some(Edge { node: ctx.node.clone(), nr }),
            None => self.edge.clone(),
        };
        let t = t.alias_same();
        if edge.is_some() {
            meta::set_history(&t, edge);
        }
        Ok(t)
    }
}
impl Drop for Packed {
    fn drop(&mut self) {
        self.hooks.release(self.token);
    }
}

/// A tensor kept for backward, with the version it had.
pub struct Saved {
    /// None where hooks keep it.
    tensor: Option<Tensor>,
    version: u64,
    /// Set when the tensor is an output of the node itself: it is rebuilt on use, so that no cycle keeps the graph.
    output_nr: Option<usize>,
    packed: Option<Box<Packed>>,
}
impl Saved {
    /// The tensor as it was, or PyTorch's error when it has been modified since.
    pub fn get(&self, ctx: &Ctx) -> Result<Tensor> {
        let Some(tensor) = &self.tensor else {
            return match &self.packed {
                Some(packed) => packed.get(ctx),
                None => bail!(Runtime, "the hook that saves tensors failed for a tensor of {}", ctx.node.name),
            };
        };
        let now = tensor.version();
        if now != self.version {
            let b = tensor.body();
            bail!(
                Runtime,
                "one of the variables needed for gradient computation has been modified by an inplace operation: [torch.{}Tensor {:?}], which is output {} of {}, is at version {}; expected version {} instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, with torch.autograd.set_detect_anomaly(True).",
                b.dtype().scalar_name(),
                b.shape(),
                self.output_nr.unwrap_or_else(|| meta::output_nr(tensor)),
                match self.output_nr {
                    Some(_) => ctx.node.name.clone(),
                    None => meta::grad_fn(tensor).map_or("None".into(), |n| n.name.clone()),
                },
                now,
                self.version
            );
        }
        Ok(match self.output_nr {
            Some(nr) => {
                let t = tensor.alias_same();
                meta::set_history(&t, Some(Edge { node: ctx.node.clone(), nr }));
                t
            }
            None => tensor.clone(),
        })
    }
}

/// Collects what a backward function needs.
#[derive(Default)]
pub struct Saver {
    count: usize,
    /// What a hook failed with: the op fails with it.
    error: Option<Error>,
}
impl Saver {
    /// Whether anything must be freed after backward.
    pub(super) fn has_saved(&self) -> bool {
        self.count > 0
    }
    /// The error of a hook, if one failed.
    pub(super) fn failed(&mut self) -> Option<Error> {
        self.error.take()
    }
    #[cold]
    fn packed(&mut self, hooks: Arc<dyn SavedHooks>, t: Tensor, output_nr: Option<usize>) -> Saved {
        let version = t.version();
        let packed = no_grad(|| hooks.pack(&t)).and_then(|token| {
            if t.version() == version {
                return Ok(token);
            }
            hooks.release(token);
            bail!(
                Runtime,
                "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook cannot be modified by in-place operations as this can lead to unexpected side-effects. Please open an issue if you need to perform in-place operations on the input to a pack hook."
            )
        });
        let edge = if output_nr.is_some() { None } else { meta::gradient_edge(&t) };
        let packed = match packed {
            Ok(token) => Some(Box::new(Packed { hooks, token, edge, output_nr })),
            Err(e) => {
                self.error.get_or_insert(e);
                None
            }
        };
        Saved { tensor: None, version: 0, output_nr, packed }
    }
    /// Keeps an input (or any tensor other than the op's outputs).
    pub fn save(&mut self, t: &Tensor) -> Saved {
        self.count += 1;
        // As it is now, in an object of its own: `y.add_(y * x)` makes y hold a node that comes after this one, which
        // would hold y. Leaves cannot be written into so.
        let edge = meta::gradient_edge(t);
        let leaf = edge.as_ref().is_some_and(|e| matches!(e.node.kind, Kind::Accumulate(_)));
        let tensor = if leaf {
            t.clone()
        } else {
            let alias = t.alias_same();
            if edge.is_some() {
                meta::set_history(&alias, edge);
            }
            alias
        };
        if ACTIVE.load(Ordering::Relaxed) != 0 {
            if let Some(hooks) = hooks() {
                return self.packed(hooks, tensor, None);
            }
        }
        Saved { tensor: Some(tensor), version: t.version(), output_nr: None, packed: None }
    }
    /// Keeps output number `nr` of the op itself.
    pub fn save_output(&mut self, t: &Tensor, nr: usize) -> Saved {
        self.count += 1;
        if ACTIVE.load(Ordering::Relaxed) != 0 {
            if let Some(hooks) = hooks() {
                // Without its history, which would be a cycle.
                return self.packed(hooks, t.alias_same(), Some(nr));
            }
        }
        Saved { tensor: Some(t.alias_same()), version: t.version(), output_nr: Some(nr), packed: None }
    }
    /// Says that the closure keeps something that should be freed after backward.
    pub fn holds_state(&mut self) {
        self.count += 1;
    }
}
