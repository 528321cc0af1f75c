//! Tensors and how they print.
pub mod print;
mod tensor;

pub use tensor::{changes, Body, Tensor, WeakTensor};
