//! What everything else stands on: element types, devices, layouts, numbers, errors, locks, settings.
pub mod bool8;
pub mod device;
pub mod dtype;
pub mod error;
pub mod layout;
pub mod log;
pub mod no_kernel;
pub mod promote;
pub mod scalar;
pub mod settings;
pub mod sync;
pub mod types_gen;
