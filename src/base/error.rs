//! The one error type of the core. A message names the op, the argument, what came and what would be valid.

pub use super::types_gen::ErrorKind;
use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// An error: its `Details` behind one pointer. Errors are rare and results pass everywhere, so what every `?` moves is
/// small.
#[derive(Clone)]
pub struct Error(Box<Details>);

/// What an error knows: its kind, message and, once it has crossed the C boundary, the op's name.
#[derive(Clone)]
pub struct Details {
    pub kind: ErrorKind,
    pub message: String,
    pub op: Option<&'static str>,
    /// Index of the argument at fault, counted from 0.
    pub arg: Option<usize>,
    pub cause: Option<Error>,
    /// What a callback attached to its own error (a Python exception, a Go error); travels through intact.
    pub payload: Option<Arc<dyn Any + Send + Sync>>,
    /// The module of a tree that failed.
    pub place: Option<Box<Place>>,
}

/// Which module of a tree failed.
#[derive(Clone)]
pub struct Place {
    /// Identity of the outermost module that the error has come through.
    pub outer: u64,
    /// Way from there to the module that failed ("0.fc"); empty while that is the outermost one itself.
    pub path: String,
    /// The module that failed, as it prints: `Linear(in_features=4, out_features=2, bias=True)`.
    pub module: String,
}
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path, self.module)
    }
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Details {
            kind,
            message: message.into(),
            op: None,
            arg: None,
            cause: None,
            payload: None,
            place: None,
        }))
    }
    pub fn with_op(mut self, op: &'static str) -> Self {
        self.op.get_or_insert(op);
        self
    }
    pub fn with_arg(mut self, index: usize) -> Self {
        self.arg.get_or_insert(index);
        self
    }
    pub fn with_cause(mut self, cause: Error) -> Self {
        self.cause = Some(cause);
        self
    }
    pub fn into_message(self) -> String {
        self.0.message
    }
    /// The place in a tree of modules, once the error has left the module that failed for the one around it.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_deref().filter(|p| !p.path.is_empty())
    }
    /// The error of a device that lacks a kernel: nothing falls back to the CPU silently.
    pub fn unsupported(op: &str, dtype: impl fmt::Display, device: impl fmt::Display) -> Self {
        Error::new(ErrorKind::NotImplemented, format!("\"{op}\" not implemented for {dtype} on device {device}"))
    }
}

impl Deref for Error {
    type Target = Details;
    fn deref(&self) -> &Details {
        &self.0
    }
}
impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place() {
            Some(place) => write!(f, "\n  in {place}"),
            None => Ok(()),
        }
    }
}
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error", self.kind)?;
        if let Some(op) = self.op {
            write!(f, " in {op}")?;
        }
        write!(f, ": {self}")
    }
}
impl std::error::Error for Error {}

/// Returns an error: `bail!(Index, "index {} is out of bounds", i)`.
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($arg:tt)*) => {
        return Err($crate::base::error::Error::new($crate::base::error::ErrorKind::$kind, format!($($arg)*)))
    };
}

/// Returns an error unless the condition holds: `ensure!(n > 0, Value, "n must be positive, got {n}")`.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $kind:ident, $($arg:tt)*) => {
        if !$cond { $crate::bail!($kind, $($arg)*); }
    };
}
