//! Automatic differentiation: a graph of nodes recorded by the ops and run backwards by the engine.
//!
//! Ops record nodes here; what the engine itself must compute (adding gradients, summing over broadcast dimensions)
//! it asks of [`Algebra`], which the ops fill, so that the two folders form no circle.

mod algebra;
pub mod custom;
pub mod display;
pub mod engine;
pub mod meta;
pub mod mode;
pub mod node;
mod record;
mod saved;
pub mod view;

pub use algebra::{install, Algebra};
pub use meta::{grad_fn, gradient_edge, is_leaf, requires_grad, set_requires_grad};
pub use mode::{grad_enabled, no_grad, set_grad_enabled, GradMode};
pub use node::{Ctx, Edge, Grads, Kind, Node, OutputMeta};
pub use record::{record, record_many, recording};
pub use saved::{pop_hooks, push_hooks, Saved, SavedHooks, Saver};

/// Gradients of a fixed number of inputs: `grads![ga, gb]`, each an `Option<Tensor>`.
#[macro_export]
macro_rules! grads {
    ($($g:expr),* $(,)?) => { $crate::autograd::Grads::from_iter([$($g),*]) };
}
