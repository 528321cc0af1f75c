//! The ground floor of Taper: what everything stands on, random numbers, devices and their kernels. A crate of its own for
//! the sake of build times; its modules are those of the crate `taper`.
#![allow(clippy::too_many_arguments)]
// `ensure!(x >= 0.0, ..)` must fail for NaN, which is what the negated comparison does.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

#[path = "mod.rs"]
pub mod backend;
#[path = "../base/mod.rs"]
pub mod base;
#[path = "../rng/mod.rs"]
pub mod rng;

pub use base::dtype::DType;
pub use base::error::{Error, ErrorKind, Result};
pub use base::layout::Layout;

/// The tests of this crate are part of it, behind a feature: so the kernels are compiled once for all tests. The programs
/// that run them write `kernel_tests!()`.
#[cfg(feature = "tests")]
mod tests {
    include!(concat!(env!("OUT_DIR"), "/tests.rs"));
}
#[cfg(feature = "tests")]
#[doc(hidden)]
pub fn run_test(path: &str) {
    tests::TESTS.iter().find(|t| t.0 == path).expect("build.rs lists each test").1()
}
