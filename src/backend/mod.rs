//! Devices and their kernels: the contract, the devices that keep it, the memory beneath.

pub mod check;
pub mod contract;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod devices;
#[cfg(any(feature = "opencl", feature = "cuda"))]
pub mod gpu;
pub mod info;
pub mod inside;
#[cfg(any(feature = "opencl", feature = "cuda"))]
pub mod kernels;
pub mod mapped;
pub mod memory;
pub mod meta;
mod opcodes_gen;
#[cfg(feature = "opencl")]
pub mod opencl;
pub mod precision;
pub mod program;
pub mod stack;
pub mod storage;

pub use contract::*;
pub use devices::{cudnn_version, get};
pub use memory::MemoryStats;
