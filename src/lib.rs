//! Taper: a thin torch. Tensors, automatic differentiation, modules and optimisers behind a C ABI.
//!
//! See `docs/ARCHITECTURE.md` for the structure. Rust programs may use this crate directly; the other languages go
//! through `capi`.
#![allow(clippy::too_many_arguments)]
// `ensure!(x >= 0.0, ..)` must fail for NaN, which is what the negated comparison does.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

pub mod autograd;
pub mod capi;
pub mod data;
pub mod gate;
pub mod io;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod read;
pub mod show;
pub mod tensor;
pub mod watch;

#[cfg(not(test))]
pub use taper_kernels::rng;
pub use taper_kernels::{backend, bail, base, dispatch, ensure, log};
/// Each thread has a default generator of its own, that tests which seed it and run side by side do not draw each other's
/// numbers.
#[cfg(test)]
pub mod rng {
    pub use taper_kernels::rng::*;
    thread_local! {
        static DEFAULT: &'static Generator = Box::leak(Box::new(Generator::new()));
        static SEEDED: u64 = DEFAULT.with(|g| g.seed());
    }
    pub fn default_generator() -> &'static Generator {
        SEEDED.with(|_| DEFAULT.with(|g| *g))
    }
    pub fn manual_seed(seed: u64) {
        default_generator().manual_seed(seed);
    }
}

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
