//! Files of data that are no tensors by name: data sets, tables, images.

pub mod csv;
pub mod folder;
pub mod image;
pub mod sets;
pub mod transform;
