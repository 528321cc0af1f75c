//! Events in a device's queue, and device memory that other libraries use too.

use super::convert::{new_handle, HandleType, IntoC};
use super::handle::Kind;
use super::types::*;
use crate::backend::{self, Mark};
use crate::base::sync::Mutex;
use crate::{ensure, Device, Result, Tensor};
use std::sync::Arc;

/// What a taper_event stands for.
pub struct Event {
    device: Device,
    timing: bool,
    mark: Mutex<Option<Arc<dyn Mark>>>,
}
impl HandleType for taper_event {
    const KIND: Kind = Kind::Event;
    type Object = Arc<Event>;
}
impl IntoC<*mut taper_event> for Arc<Event> {
    fn into_c(self) -> Result<*mut taper_event> {
        new_handle(self)
    }
}
impl Event {
    /// The point that was recorded last.
    fn mark(&self) -> Option<Arc<dyn Mark>> {
        self.mark.lock().clone()
    }
}

/// `taper_event_new`.
pub fn event_new(device: Device, timing: bool) -> Result<Arc<Event>> {
    backend::get(device)?;
    Ok(Arc::new(Event { device, timing, mark: Mutex::new(None) }))
}

/// `taper_event_record`.
pub fn event_record(event: &Arc<Event>) -> Result<()> {
    let mark = backend::get(event.device)?.mark(event.timing)?;
    *event.mark.lock() = Some(Arc::from(mark));
    Ok(())
}

/// `taper_event_query`.
pub fn event_query(event: &Arc<Event>) -> Result<bool> {
    event.mark().map_or(Ok(true), |m| m.is_done())
}

/// `taper_event_synchronize`.
pub fn event_synchronize(event: &Arc<Event>) -> Result<()> {
    event.mark().map_or(Ok(()), |m| m.wait())
}

/// `taper_event_wait`.
pub fn event_wait(event: &Arc<Event>) -> Result<()> {
    event.mark().map_or(Ok(()), |m| m.order())
}

/// `taper_event_elapsed_time`.
pub fn event_elapsed_time(start: &Arc<Event>, end: &Arc<Event>) -> Result<f64> {
    ensure!(start.timing && end.timing, Value, "Both events must be created with argument 'enable_timing=True'.");
    let (Some(from), Some(to)) = (start.mark(), end.mark()) else {
        crate::bail!(Value, "Both events must be recorded before calculating elapsed time.");
    };
    ensure!(
        from.is_done()? && to.is_done()?,
        Runtime,
        "Both events must be completed before calculating elapsed time."
    );
    to.millis_since(&*from)
}

/// `taper_device_get_stream`.
pub fn device_get_stream(device: Device) -> Result<u64> {
    backend::get(device)?.queue_handle()
}

/// `taper_tensor_device_address`.
pub fn tensor_device_address(t: &Tensor) -> Result<u64> {
    super::tensor::device_data(t)
}

/// `taper_tensor_ready_on`.
pub fn tensor_ready_on(t: &Tensor, stream: u64) -> Result<()> {
    let body = t.materialize();
    backend::get(body.device())?.ready_on(body.storage(), stream)
}

/// `taper_cudnn_version`.
pub fn cudnn_version() -> i64 {
    backend::cudnn_version().unwrap_or(0) as i64
}
