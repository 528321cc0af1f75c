//! Threads: what kernels call to run in parallel, the helper threads that do it, and rayon's for coarse work.
#[cfg(feature = "tests")]
pub(crate) mod bench;
pub mod coarse;
pub mod parallel;
pub(crate) mod workers;
