//! Calls of the op table by name, for tests that walk the table.
#![allow(dead_code)]

pub mod calls;
pub mod value;
