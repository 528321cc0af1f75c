//! What a node keeps of the forward pass.

use super::meta;
use super::node::{Ctx, Edge, Kind};
use crate::bail;
use crate::base::error::Result;
use crate::tensor::Tensor;

/// A tensor kept for backward, with the version it had.
pub struct Saved {
    tensor: Tensor,
    version: u64,
    /// Set when the tensor is an output of the node itself: it is rebuilt on use, so that no cycle keeps the graph.
    output_nr: Option<usize>,
}
impl Saved {
    /// The tensor as it was, or PyTorch's error when it has been modified since.
    pub fn get(&self, ctx: &Ctx) -> Result<Tensor> {
        let now = self.tensor.version();
        if now != self.version {
            let b = self.tensor.body();
            bail!(
                Runtime,
                "one of the variables needed for gradient computation has been modified by an inplace operation: [torch.{}Tensor {:?}], which is output {} of {}, is at version {}; expected version {} instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, with torch.autograd.set_detect_anomaly(True).",
                b.dtype().scalar_name(),
                b.shape(),
                self.output_nr.unwrap_or_else(|| meta::output_nr(&self.tensor)),
                match self.output_nr {
                    Some(_) => ctx.node.name.clone(),
                    None => meta::grad_fn(&self.tensor).map_or("None".into(), |n| n.name.clone()),
                },
                now,
                self.version
            );
        }
        Ok(match self.output_nr {
            Some(nr) => {
                let t = self.tensor.alias_same();
                meta::set_history(&t, Some(Edge { node: ctx.node.clone(), nr }));
                t
            }
            None => self.tensor.clone(),
        })
    }
}

/// Collects what a backward function needs.
#[derive(Default)]
pub struct Saver {
    count: usize,
}
impl Saver {
    /// Whether anything must be freed after backward.
    pub(super) fn has_saved(&self) -> bool {
        self.count > 0
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
        Saved { tensor, version: t.version(), output_nr: None }
    }
    /// Keeps output number `nr` of the op itself.
    pub fn save_output(&mut self, t: &Tensor, nr: usize) -> Saved {
        self.count += 1;
        Saved { tensor: t.alias_same(), version: t.version(), output_nr: Some(nr) }
    }
    /// Says that the closure keeps something that should be freed after backward.
    pub fn holds_state(&mut self) {
        self.count += 1;
    }
}
