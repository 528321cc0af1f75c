//! What the library has to say besides results and errors: messages with a level, for a caller's function. Without one, as at
//! first, nothing is said and no text is made.

use super::sync::Mutex;
pub use super::types_gen::LogLevel;
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::Arc;

/// Who hears the messages. It may be called on any thread, and while locks of the library are held: it must not call the
/// library.
pub type Sink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

static SINK: Mutex<Option<Sink>> = Mutex::new(None);
/// The least important level that is wanted; 0: none.
static WANTED: AtomicI32 = AtomicI32::new(0);

thread_local! {
    static TALKING: Cell<bool> = const { Cell::new(false) };
}

/// Replaces the listener, who hears messages up to a level; gives the one before.
pub fn set(sink: Option<Sink>, level: LogLevel) -> Option<Sink> {
    let mut place = SINK.lock();
    WANTED.store(if sink.is_some() { level as i32 } else { 0 }, Relaxed);
    std::mem::replace(&mut *place, sink)
}

/// Whether somebody listens to messages of a level.
#[inline]
pub fn wanted(level: LogLevel) -> bool {
    level as i32 <= WANTED.load(Relaxed)
}

/// Passes a message on. What a listener's own calls would say is left out.
#[cold]
pub fn say(level: LogLevel, text: &str) {
    let sink = SINK.lock().clone();
    let Some(sink) = sink else { return };
    // A thread that ends has no such value any more.
    if TALKING.try_with(|t| t.replace(true)).unwrap_or(true) {
        return;
    }
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            let _ = TALKING.try_with(|t| t.set(false));
        }
    }
    let _done = Done;
    sink(level, text);
}

/// Says something where somebody listens: `log!(Info, "compiled {name}")`.
#[macro_export]
macro_rules! log {
    ($level:ident, $($text:tt)*) => {
        if $crate::base::log::wanted($crate::base::log::LogLevel::$level) {
            $crate::base::log::say($crate::base::log::LogLevel::$level, &format!($($text)*));
        }
    };
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn messages_up_to_a_level_are_heard() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let list = heard.clone();
        let mine = std::thread::current().id();
        let sink: Sink = Arc::new(move |level, text| {
            // Others talk at the same time.
            if std::thread::current().id() == mine && text.starts_with("test: ") {
                list.lock().push((level, text.to_string()));
                crate::log!(Error, "test: from within");
            }
        });
        crate::log!(Error, "test: nobody listens");
        let before = set(Some(sink), LogLevel::Info);
        crate::log!(Warning, "test: {}", 1);
        crate::log!(Info, "test: {}", 2);
        crate::log!(Debug, "test: {}", 3);
        set(before, LogLevel::Debug);
        crate::log!(Error, "test: nobody again");
        let got: Vec<_> = heard.lock().iter().map(|(l, t)| (*l as i32, t.clone())).collect();
        assert_eq!(got, [(2, "test: 1".to_string()), (3, "test: 2".to_string())]);
    }
}
