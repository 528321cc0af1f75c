//! The gate: what every op passes that a program calls, through the C functions or through [`front`], where the layers and
//! Rust programs find it. Ops among themselves call the implementations in [`crate::ops`], so that nothing is cast, timed or
//! counted twice, and nothing at all inside a derivative.
//!
//! With nothing switched on (`crate::watch`) an op goes straight on.

pub mod autocast;
pub mod checkpoint;
mod front_gen;
mod op;
mod pass;
mod table_gen;

/// The ops as the layers and Rust programs call them.
pub mod front {
    pub use super::front_gen::*;
}

pub use op::{OpId, Policy, Slot};
pub use pass::before;

#[cfg(test)]
mod tests;
