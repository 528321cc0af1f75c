//! What several suites need: the device under test, calls of the op table by name, PyTorch's recorded samples.
#![allow(dead_code)]

pub mod calls;
pub mod device;
pub mod samples;
pub mod value;
