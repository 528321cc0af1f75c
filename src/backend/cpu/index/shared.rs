//! What indexing, gather and scatter share: elements moved by size or combined, and the first index out of range.

use crate::base::dtype::{Bool8, Element};
use crate::base::error::{Error, ErrorKind, Result};
use parking_lot::Mutex;

/// Elements that are worth a task.
pub(super) const TASK: usize = 16_384;

/// Runs `$body` with `$t` an unsigned integer of the dtype's size: enough to move elements.
macro_rules! dispatch_size {
    ($dtype:expr, $t:ident, $body:expr) => {
        match $dtype.size() {
            1 => {
                type $t = u8;
                $body
            }
            2 => {
                type $t = u16;
                $body
            }
            4 => {
                type $t = u32;
                $body
            }
            8 => {
                type $t = u64;
                $body
            }
            _ => $crate::base::no_kernel::no_kernel($dtype.scalar_name()),
        }
    };
}

pub(super) use dispatch_size;

/// The first index out of range in row-major order, found by several threads.
pub(super) struct FirstBad(Mutex<Option<(usize, i64)>>);
impl FirstBad {
    pub fn new() -> FirstBad {
        FirstBad(Mutex::new(None))
    }
    #[cold]
    pub fn report(&self, at: usize, index: i64) {
        let mut first = self.0.lock();
        if first.is_none_or(|f| at < f.0) {
            *first = Some((at, index));
        }
    }
    pub fn result(self, dim: usize, size: i64) -> Result<()> {
        match self.0.into_inner() {
            Some((_, index)) => Err(out_of_bounds(index, dim, size)),
            None => Ok(()),
        }
    }
}
#[cold]
pub(super) fn out_of_bounds(index: i64, dim: usize, size: i64) -> Error {
    Error::new(ErrorKind::Index, format!("index {index} is out of bounds for dimension {dim} with size {size}"))
}

/// How the elements of a dtype are combined by a scatter.
pub(super) trait Combine: Element {
    fn plus(self, b: Self) -> Self;
    fn times(self, b: Self) -> Self;
    /// NaN wins.
    fn larger(self, b: Self) -> Self;
    fn smaller(self, b: Self) -> Self;
}
macro_rules! combine {
    ($($t:ty: |$a:ident, $b:ident| $plus:expr, $times:expr;)*) => {$(
        impl Combine for $t {
            #[inline(always)]
            fn plus(self, $b: Self) -> Self {
                let $a = self;
                $plus
            }
            #[inline(always)]
            fn times(self, $b: Self) -> Self {
                let $a = self;
                $times
            }
            #[inline(always)]
            #[allow(clippy::eq_op)]
            fn larger(self, b: Self) -> Self {
                if b > self || b != b { b } else { self }
            }
            #[inline(always)]
            #[allow(clippy::eq_op)]
            fn smaller(self, b: Self) -> Self {
                if b < self || b != b { b } else { self }
            }
        })*};
}
combine!(
    u8: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    i8: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    i16: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    i32: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    i64: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    f32: |a, b| a + b, a * b;
    f64: |a, b| a + b, a * b;
    half::f16: |a, b| a + b, a * b;
    half::bf16: |a, b| a + b, a * b;
    Bool8: |a, b| Bool8((a.0 | b.0 != 0) as u8), Bool8((a.0 != 0 && b.0 != 0) as u8);
);
