//! The C ABI: the only `extern "C"` code. It checks and converts arguments, calls the core and turns results, errors
//! and panics into handles; nothing else.
#![allow(non_camel_case_types)]
// The contract of every pointer argument is the header's preamble; the functions' docs become the header.
#![allow(clippy::missing_safety_doc)]

mod arguments;
mod arguments_gen;
pub mod arrow;
pub mod arrow_types;
pub mod attribute;
pub mod autograd;
pub mod convert;
#[cfg(test)]
mod convert_tests;
pub mod data;
pub mod device;
pub mod dlpack;
pub mod dlpack_types;
pub mod error;
mod error_box;
pub mod event;
mod fields;
pub mod files;
pub mod function;
pub mod graph;
pub mod handle;
pub mod index;
pub mod io;
mod layer_options;
#[rustfmt::skip]
pub mod layers_gen;
pub mod module;
pub mod nn;
#[rustfmt::skip]
pub mod ops_gen;
pub mod objects;
#[rustfmt::skip]
pub mod objects_gen;
pub mod optim;
pub mod schedule;
#[rustfmt::skip]
pub mod schedule_gen;
#[rustfmt::skip]
pub mod optim_gen;
mod optim_options;
pub mod panics;
pub mod read;
pub mod scope;
pub mod show;
pub mod string;
pub mod tensor;
pub mod types;
#[rustfmt::skip]
pub mod types_gen;
pub mod user;
pub mod version;
pub mod watch;
