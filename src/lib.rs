//! Taper: a thin torch. Tensors, automatic differentiation, modules and optimisers behind a C ABI.
//!
//! See `docs/ARCHITECTURE.md` for the structure. Rust programs may use this crate directly; the other languages go
//! through `capi`.
#![allow(clippy::too_many_arguments)]
// `ensure!(x >= 0.0, ..)` must fail for NaN, which is what the negated comparison does.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

pub mod autograd;
pub mod backend;
pub mod base;
pub mod capi;
pub mod io;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod rng;
pub mod tensor;

// The suites under tests/ are modules here, and use the crate by its name.
#[cfg(test)]
extern crate self as taper;
#[cfg(test)]
#[path = "../tests/suites.rs"]
mod suites;

pub use base::device::{Device, DeviceType};
pub use base::dtype::DType;
pub use base::error::{Error, ErrorKind, Result};
pub use base::layout::{Dims, Layout};
pub use base::scalar::Scalar;
pub use tensor::Tensor;
