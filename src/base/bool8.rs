//! Elements of bool tensors.

/// A bool element: one byte, 0 or 1. Its own type because Rust's `bool` must never hold a foreign byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bool8(pub u8);
