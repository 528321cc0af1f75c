//! Scopes: handles made on one thread between begin and end are freed at the end, so that C needs no free per op.

use super::handle::{self, Kind};
use super::panics::getter;
use crate::backend::memory::{self, reserve::fallibly};
use crate::Result;
use std::cell::{Cell, RefCell};

thread_local! {
    static OPEN: Cell<u32> = const { Cell::new(0) };
    static SCOPES: Scopes = const { Scopes(RefCell::new(Vec::new())) };
}

/// The open scopes of one thread.
struct Scopes(RefCell<Vec<Vec<(Kind, usize)>>>);

// A thread that ends (or a program whose main thread does) without taper_scope_end frees what its scopes hold.
impl Drop for Scopes {
    fn drop(&mut self) {
        OPEN.set(0);
        let open = std::mem::take(self.0.get_mut());
        // What is freed may run callbacks; a panic must not leave a thread's last destructors.
        getter((), || {
            open.into_iter().rev().for_each(free_all);
            Some(())
        });
    }
}

fn free_all(made: Vec<(Kind, usize)>) {
    for (kind, bits) in made {
        // A handle that was freed by hand is stale by now: nothing to do.
        drop(handle::remove(bits, kind));
    }
}

/// Notes a new handle in this thread's innermost scope, if there is one. False when memory for the note is missing.
#[inline]
pub fn note(kind: Kind, bits: usize) -> bool {
    OPEN.get() == 0 || note_open(kind, bits)
}
#[cold]
fn note_open(kind: Kind, bits: usize) -> bool {
    if !matches!(kind, Kind::Tensor | Kind::TensorList | Kind::String | Kind::Node | Kind::NamedTensors) {
        return true;
    }
    // The hook is asked while the scope is not borrowed: it may free and make handles.
    let add = || {
        SCOPES.try_with(|s| s.0.borrow_mut().last_mut().is_none_or(|scope| put(scope, (kind, bits)))).unwrap_or(true)
    };
    add() || (memory::memory_was_freed(1 << 16) && add())
}
fn put<T>(v: &mut Vec<T>, item: T) -> bool {
    let room = v.len() < v.capacity() || fallibly(|| v.try_reserve(1)).is_ok();
    if room {
        v.push(item);
    }
    room
}

/// `taper_scope_begin`.
pub fn scope_begin() -> Option<()> {
    // A thread that is ending, in the destructor of something of its own, has no scopes any more.
    SCOPES.try_with(|s| s.0.borrow_mut().push(Vec::new())).ok()?;
    OPEN.set(OPEN.get() + 1);
    Some(())
}

/// `taper_scope_end`.
pub fn scope_end() -> Result<()> {
    let Some(made) = SCOPES.try_with(|s| s.0.borrow_mut().pop()).ok().flatten() else {
        crate::bail!(Runtime, "taper_scope_end without taper_scope_begin on this thread");
    };
    OPEN.set(OPEN.get() - 1);
    free_all(made);
    Ok(())
}

/// `taper_scope_keep`.
pub fn scope_keep(t: usize) -> Result<()> {
    let _ = SCOPES.try_with(|s| {
        let mut s = s.0.borrow_mut();
        let Some(scope) = s.last_mut() else { return };
        if let Some(at) = scope.iter().rposition(|(_, bits)| *bits == t) {
            let entry = scope.swap_remove(at);
            let depth = s.len();
            if depth > 1 {
                s[depth - 2].push(entry);
            }
        }
    });
    Ok(())
}
