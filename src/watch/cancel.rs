//! Stopping what runs: a token that another thread sets, and a question to the host program in long calls.

use super::{CANCEL, INTERRUPT};
use crate::bail;
use crate::base::error::Result;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Set once, by any thread; what runs on the threads that it is attached to then ends with an error.
#[derive(Default)]
pub struct Token(AtomicBool);
impl Token {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Asked in long calls whether to go on; its error ends them.
pub type Question = Arc<dyn Fn() -> Result<()> + Send + Sync>;
/// How often the host program is asked at most.
const PATIENCE: Duration = Duration::from_millis(30);

thread_local! {
    static TOKEN: RefCell<Option<Arc<Token>>> = const { RefCell::new(None) };
    static QUESTION: RefCell<Option<Question>> = const { RefCell::new(None) };
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Attaches a token to this thread (None: none) and returns the one before.
pub fn attach(token: Option<Arc<Token>>) -> Option<Arc<Token>> {
    super::set(CANCEL, token.is_some());
    TOKEN.try_with(|t| t.replace(token)).ok().flatten()
}

/// The error of a thread whose token is set.
#[cold]
pub fn check() -> Result<()> {
    let set = TOKEN.try_with(|t| t.borrow().as_ref().is_some_and(|t| t.is_cancelled())).unwrap_or(false);
    if set {
        bail!(Cancelled, "the operation was cancelled: the token of this thread is set");
    }
    Ok(())
}

/// Sets (or with None removes) what this thread asks in long calls.
pub fn set_question(question: Option<Question>) -> Option<Question> {
    super::set(INTERRUPT, question.is_some());
    QUESTION.try_with(|q| q.replace(question)).ok().flatten()
}

/// Between two steps of a long call: asks where that was long ago.
#[cold]
pub fn ask() -> Result<()> {
    if ASKED.get().is_some_and(|t| t.elapsed() < PATIENCE) {
        return Ok(());
    }
    // Not borrowed while it runs: it may come back here.
    let question = QUESTION.try_with(|q| q.borrow().clone()).ok().flatten();
    let answer = question.map_or(Ok(()), |q| q());
    ASKED.set(Some(Instant::now()));
    answer
}
