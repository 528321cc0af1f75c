//! Captured graphs: a device's work, recorded once and replayed.

use super::convert::{free, guard};
use super::handle::Kind;
use super::types::*;
use crate::backend::{self, precision};
use crate::base::error::ErrorKind;
use std::os::raw::c_char;

/// Begins to record what this thread asks of a device (CUDA only), until taper_graph_end; nothing of it is done before
/// the first replay. Tensors made meanwhile may be kept, and hold their values after each replay; reading one during
/// the recording is an error. The work must be of fixed shapes and, with an optimizer, come after its first step.
/// Memory used in the recording stays with the graph, also when its tensors are freed. An error when this or another
/// thread already records on the device. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_graph_begin(device: taper_device) -> *mut taper_error {
    guard("graph_begin", |c| backend::get(c.device(0, "device", device)?)?.begin_capture())
}

/// Ends the recording of this thread on a device and gives the graph, owned by the caller. After an error the
/// recording is over too. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_graph_end(device: taper_device, out: *mut *mut taper_graph) -> *mut taper_error {
    guard("graph_end", |c| {
        let out = c.out(1, "out", out)?;
        out.set(backend::get(c.device(0, "device", device)?)?.end_capture()?)
    })
}

/// Queues all recorded work again, without waiting. Random calls draw anew from their generators; each recorded
/// optimizer step is the optimizer's next one: it counts, and takes the learning rate that the optimizer has then. Any
/// thread may replay; replays of one graph follow one another. Borrows graph. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_graph_replay(graph: *const taper_graph) -> *mut taper_error {
    guard("graph_replay", |c| c.get(0, "graph", graph)?.replay())
}

/// Sets the learning rate of the graph's optimizer steps, from the next replay on, until an optimizer's own is set. An
/// error when lr is negative or NaN. Borrows graph. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_graph_set_lr(graph: *const taper_graph, lr: f64) -> *mut taper_error {
    guard("graph_set_lr", |c| {
        let graph = c.get(0, "graph", graph)?;
        crate::ensure!(lr >= 0.0, Value, "Invalid learning rate: {lr}");
        graph.set_lr(lr);
        Ok(())
    })
}

/// Sets what the graph's fused optimizer call number `call` (taper_fused_adam_, taper_fused_sgd_, counted from 0 in the
/// order of the recording) uses in the next replay: its learning rate and, counted from 1, its step. Later replays count
/// on. For programs that keep an optimizer's state themselves. Borrows graph. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_graph_set_step(
    graph: *const taper_graph,
    call: usize,
    lr: f64,
    step: i64,
) -> *mut taper_error {
    guard("graph_set_step", |c| {
        let graph = c.get(0, "graph", graph)?;
        crate::ensure!(lr >= 0.0, Value, "Invalid learning rate: {lr}");
        crate::ensure!(step >= 1, Value, "step counts from 1, got {step}");
        graph.set_step(call, lr, step as u64)
    })
}

/// Frees a graph and the memory that it alone holds, when queued replays are done. Consumes graph; NULL is fine. Returns
/// false when it was no live graph handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_graph_free(graph: *mut taper_graph) -> bool {
    free(graph, Kind::Graph)
}

/// Sets how exactly float32 matrices are multiplied where a device has shorter formats: "highest" (float32, the default),
/// "high" or "medium" (TF32 on CUDA). An error for another word. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_set_float32_matmul_precision(precision: *const c_char) -> *mut taper_error {
    guard("set_float32_matmul_precision", |c| match c.opt_str(0, "precision", precision)? {
        Some(name) => precision::set_float32_matmul_precision(name),
        None => Err(c.invalid(ErrorKind::Value, 0, "precision", "is NULL")),
    })
}

/// What taper_set_float32_matmul_precision set: 0 highest, 1 high, 2 medium. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_get_float32_matmul_precision() -> i32 {
    precision::float32_matmul_level() as i32
}

/// Whether float32 convolutions may use TF32 on CUDA (torch.backends.cudnn.allow_tf32); true at the start. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_get_conv_allow_tf32() -> bool {
    precision::conv_tf32()
}

/// Lets float32 convolutions use TF32 on CUDA, or not. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_set_conv_allow_tf32(allow: bool) {
    precision::set_conv_tf32(allow);
}
