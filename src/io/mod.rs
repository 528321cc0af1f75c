//! Files: tensors by name in the safetensors format.
pub mod safetensors;
