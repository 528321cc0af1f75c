//! What looks on while ops run: one word of flags per thread, a profiler, a token that stops, a count of multiply-adds.
//!
//! Every op asks the word once, at the gate (`crate::gate`) or where a C function begins; with nothing set it goes on.

pub mod cancel;
pub mod count;
pub mod profile;

use std::cell::Cell;

thread_local! {
    /// One cell for all, because every op asks.
    static WORD: Cell<u32> = const { Cell::new(GRAD) };
}
/// Ops are recorded.
pub const GRAD: u32 = 1;
/// Nothing is recorded and views are not tracked.
pub const INFERENCE: u32 = 2;
/// Some device has automatic casts.
pub const AUTOCAST: u32 = 4;
/// A profile is being taken.
pub const PROFILE: u32 = 8;
/// A token is attached.
pub const CANCEL: u32 = 16;
/// Long calls ask the host program now and then whether to go on.
pub const INTERRUPT: u32 = 32;
/// What sends an op through the gate's slow path.
pub const GATED: u32 = AUTOCAST | PROFILE | CANCEL;
/// What the backward pass looks at for each node.
pub const NODES: u32 = PROFILE | CANCEL | INTERRUPT;

/// This thread's flags.
#[inline]
pub fn word() -> u32 {
    WORD.with(Cell::get)
}

/// Sets or clears a flag of this thread and returns what it was.
pub fn set(bit: u32, on: bool) -> bool {
    WORD.with(|w| {
        let old = w.get();
        w.set(if on { old | bit } else { old & !bit });
        old & bit != 0
    })
}
