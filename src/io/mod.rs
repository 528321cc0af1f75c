//! Files: tensors by name in safetensors, PyTorch's and NumPy's formats, checkpoints, and the writer that replaces a file at
//! once.
pub mod checkpoint;
pub mod contents;
pub mod file;
pub mod format;
pub mod inflate;
pub mod npy;
mod pickle;
pub mod safetensors;
pub mod shards;
pub mod sink;
pub mod source;
#[cfg(test)]
mod tests;
pub mod torch;
pub mod zip;
