//! Events in a device's queue, and device memory that other libraries use too.

use super::convert::{free, guard, HandleType};
use super::handle::Kind;
use super::types::*;
use crate::backend::{self, Mark};
use crate::base::sync::Mutex;
use crate::{ensure, Device};
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
impl Event {
    /// The point that was recorded last.
    fn mark(&self) -> Option<Arc<dyn Mark>> {
        self.mark.lock().clone()
    }
}

/// Makes an event of a device, owned by the caller; with timing, taper_event_elapsed_time tells how long the device took
/// between two. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_event_new(
    device: taper_device,
    timing: bool,
    out: *mut *mut taper_event,
) -> *mut taper_error {
    guard("event_new", |c| {
        let out = c.out(2, "out", out)?;
        let device = c.device(0, "device", device)?;
        backend::get(device)?;
        out.set(Arc::new(Event { device, timing, mark: Mutex::new(None) }))
    })
}

/// Marks this point of what this thread queues on the event's device, without waiting on CUDA; other devices are waited
/// for. An event that is recorded again forgets its earlier point. Borrows event. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_event_record(event: *const taper_event) -> *mut taper_error {
    guard("event_record", |c| {
        let e = c.get(0, "event", event)?;
        let mark = backend::get(e.device)?.mark(e.timing)?;
        *e.mark.lock() = Some(Arc::from(mark));
        Ok(())
    })
}

/// Whether the device has done what was queued before the event; true for an event that was never recorded. Borrows event.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_event_query(event: *const taper_event, out: *mut bool) -> *mut taper_error {
    guard("event_query", |c| {
        let out = c.out(1, "out", out)?;
        out.set(c.get(0, "event", event)?.mark().map_or(Ok(true), |m| m.is_done())?)
    })
}

/// Waits until the device has done what was queued before the event. Borrows event. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_event_synchronize(event: *const taper_event) -> *mut taper_error {
    guard("event_synchronize", |c| c.get(0, "event", event)?.mark().map_or(Ok(()), |m| m.wait()))
}

/// What this thread queues on the event's device from here on is done after the event, which another thread may have
/// recorded; the host does not wait. Borrows event. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_event_wait(event: *const taper_event) -> *mut taper_error {
    guard("event_wait", |c| c.get(0, "event", event)?.mark().map_or(Ok(()), |m| m.order()))
}

/// Milliseconds between two recorded events of one device, both made with timing and done (taper_event_synchronize). Borrows
/// both. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_event_elapsed_time(
    start: *const taper_event,
    end: *const taper_event,
    out: *mut f64,
) -> *mut taper_error {
    guard("event_elapsed_time", |c| {
        let out = c.out(2, "out", out)?;
        let (start, end) = (c.get(0, "start", start)?, c.get(1, "end", end)?);
        ensure!(start.timing && end.timing, Value, "Both events must be created with argument 'enable_timing=True'.");
        let (Some(from), Some(to)) = (start.mark(), end.mark()) else {
            crate::bail!(Value, "Both events must be recorded before calculating elapsed time.");
        };
        ensure!(
            from.is_done()? && to.is_done()?,
            Runtime,
            "Both events must be completed before calculating elapsed time."
        );
        out.set(to.millis_since(&*from)?)
    })
}

/// Frees an event. Consumes event; NULL is fine. Returns false when it was no live event handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_event_free(event: *mut taper_event) -> bool {
    free(event, Kind::Event)
}

/// The queue that this thread's work on a device goes to, as the device's own interface names it: a CUstream for CUDA; an
/// error elsewhere. Other libraries can queue work there; it belongs to the library. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_device_get_stream(device: taper_device, out: *mut u64) -> *mut taper_error {
    guard("device_get_stream", |c| {
        let out = c.out(1, "out", out)?;
        out.set(backend::get(c.device(0, "device", device)?)?.queue_handle()?)
    })
}

/// The address of a tensor's first element in a CUDA device's memory, for other libraries; an error for other devices.
/// Work that is queued there must be ordered after the library's (taper_tensor_ready_on). Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_device_address(t: *mut taper_tensor, out: *mut u64) -> *mut taper_error {
    guard("tensor_device_address", |c| {
        let out = c.out(1, "out", out)?;
        out.set(super::tensor::device_data(&c.tensor(0, "t", t)?)?)
    })
}

/// Makes a CUstream of another library wait for what was queued on a tensor here; 0 and 1 are CUDA's default stream, 2 is
/// the thread's. The host does not wait. When the tensor's memory is freed, the library waits in its turn for what that
/// stream was given until then. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_ready_on(t: *mut taper_tensor, stream: u64) -> *mut taper_error {
    guard("tensor_ready_on", |c| {
        let t = c.tensor(0, "t", t)?;
        let body = t.materialize();
        backend::get(body.device())?.ready_on(body.storage(), stream)
    })
}

/// cuDNN's version as a number, like 91900; 0 where convolutions do not go to cuDNN. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_cudnn_version() -> i64 {
    super::convert::getter(0, || Some(backend::cudnn_version().unwrap_or(0) as i64))
}
