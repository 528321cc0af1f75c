//! Captured graphs: a device's work, recorded once and replayed.

use super::convert::Call;
use crate::backend::{self, precision};
use crate::base::error::{ErrorKind, Result};
use crate::Device;
use std::sync::Arc;

/// `taper_graph_begin`.
pub fn graph_begin(device: Device) -> Result<()> {
    backend::get(device)?.begin_capture()
}

/// `taper_graph_end`.
pub fn graph_end(device: Device) -> Result<Box<dyn crate::backend::Graph>> {
    backend::get(device)?.end_capture()
}

/// `taper_graph_replay`.
pub fn graph_replay(graph: &Arc<dyn crate::backend::Graph>) -> Result<()> {
    graph.replay()
}

/// `taper_graph_set_lr`.
pub fn graph_set_lr(graph: &Arc<dyn crate::backend::Graph>, lr: f64) -> Result<()> {
    crate::ensure!(lr >= 0.0, Value, "Invalid learning rate: {lr}");
    graph.set_lr(lr);
    Ok(())
}

/// `taper_graph_set_step`.
pub fn graph_set_step(graph: &Arc<dyn crate::backend::Graph>, call: usize, lr: f64, step: i64) -> Result<()> {
    crate::ensure!(lr >= 0.0, Value, "Invalid learning rate: {lr}");
    crate::ensure!(step >= 1, Value, "step counts from 1, got {step}");
    graph.set_step(call, lr, step as u64)
}

/// `taper_set_float32_matmul_precision`.
pub fn set_float32_matmul_precision(c: &Call, precision: Option<&str>) -> Result<()> {
    match precision {
        Some(name) => precision::set_float32_matmul_precision(name),
        None => Err(c.invalid(ErrorKind::Value, 0, "precision", "is NULL")),
    }
}

/// `taper_get_float32_matmul_precision`.
pub fn get_float32_matmul_precision() -> i32 {
    precision::float32_matmul_level() as i32
}

/// `taper_get_conv_allow_tf32`.
pub fn get_conv_allow_tf32() -> bool {
    precision::conv_tf32()
}

/// `taper_get_conv_winograd`.
pub fn get_conv_winograd() -> bool {
    precision::winograd()
}

/// `taper_set_conv_winograd`.
pub fn set_conv_winograd(allow: bool) {
    precision::set_winograd(allow);
}

/// `taper_set_conv_allow_tf32`.
pub fn set_conv_allow_tf32(allow: bool) {
    precision::set_conv_tf32(allow);
}
