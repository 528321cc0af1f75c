//! For people who look: pictures of tensors, curves and graphs, event files for TensorBoard, a line of progress.

pub mod canvas;
pub mod checksum;
pub mod events;
pub mod graph;
pub mod grid;
pub mod plot;
pub mod png;
pub mod progress;
pub mod protobuf;

pub use graph::{dot, svg};
pub use grid::save_image;
pub use plot::save_plot;
