//! Threads: what kernels call to run in parallel, the helper threads that do it, and rayon's for coarse work.
#[cfg(test)]
mod bench;
pub mod coarse;
pub mod parallel;
mod workers;
