//! Threads: what kernels call to run in parallel, and the helper threads that do it.
pub mod parallel;
mod workers;
