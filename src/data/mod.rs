//! Data sets, samplers, and the loader that makes batches of them on threads.

pub mod dataset;
pub mod loader;
mod pass;
pub mod sampler;
mod state;
#[cfg(test)]
mod tests;
