//! Files: tensors by name in the safetensors format, and the writer that replaces a file at once.
pub mod file;
pub mod safetensors;
