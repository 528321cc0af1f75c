//! Whether a thread runs a part of a kernel: then nothing calls back into the caller's code, and no further threads are
//! asked for.

use std::cell::Cell;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs a part of a kernel.
#[inline]
pub fn is_inside() -> bool {
    INSIDE.with(Cell::get)
}

/// Marks a thread that does nothing else.
pub fn for_good() {
    INSIDE.with(|c| c.set(true));
}

/// Marks the thread while it lives.
pub struct Inside(bool);
impl Inside {
    pub fn enter() -> Inside {
        Inside(INSIDE.with(|c| c.replace(true)))
    }
}
impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with(|c| c.set(self.0));
    }
}
