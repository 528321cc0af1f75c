//! Learning-rate schedules, PyTorch's `lr_scheduler`: the same numbers to the last bit. What each takes stands in
//! `spec/schedules.txt`; those that are no formula are in `rules.rs`.
//!
//! A schedule is a handle on state that it shares with its copies. No lock is held while a caller's function runs, so
//! that it may look at the schedule and its optimiser.

#[rustfmt::skip]
mod entries_gen;
mod formula;
mod rules;
#[rustfmt::skip]
mod rules_gen;
mod schedule;
mod state;
#[cfg(test)]
mod tests;
mod values;

pub use entries_gen::*;
pub use rules_gen::Rule;
pub use schedule::Schedule;
pub use values::{Asked, Callback, Rates, Target, Value};
