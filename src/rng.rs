//! Random generators (placeholder until src/rng/ lands).
pub struct Generator;
