//! Automatic casts, profiles, cancelling, counting.

use super::convert::{new_handle, Call, HandleType, IntoC};
use super::error;
use super::handle::Kind;
use super::types::*;
use super::user::{CStruct, Callbacks, User};
use crate::base::error::{ErrorKind, Result};
use crate::gate::autocast;
use crate::io::file;
use crate::watch::cancel::{self, Token};
use crate::watch::{count, profile};
use crate::{DType, Device, DeviceType};
use std::os::raw::c_void;
use std::path::Path;
use std::sync::Arc;

fn kind(device_type: i32) -> Result<DeviceType> {
    Device::from_code(device_type, 0).map(|d| d.kind)
}

/// `taper_autocast_begin`.
pub fn autocast_begin(device_type: i32, dtype: Option<DType>, enabled: bool, cache: Option<bool>) -> Result<()> {
    autocast::begin(kind(device_type)?, dtype, enabled, cache)
}

/// `taper_autocast_end`.
pub fn autocast_end() -> Result<()> {
    autocast::end()
}

/// `taper_autocast_enabled`.
pub fn autocast_enabled(_: &Call, device_type: i32) -> Result<bool> {
    kind(device_type).map(autocast::enabled)
}

/// `taper_set_autocast_enabled`.
pub fn set_autocast_enabled(_: &Call, device_type: i32, enabled: bool) -> Result<bool> {
    Ok(autocast::set_enabled(kind(device_type)?, enabled))
}

/// `taper_autocast_dtype`.
pub fn autocast_dtype(_: &Call, device_type: i32) -> Result<DType> {
    kind(device_type).map(autocast::dtype)
}

/// `taper_set_autocast_dtype`.
pub fn set_autocast_dtype(_: &Call, device_type: i32, dtype: DType) -> Result<()> {
    autocast::set_dtype(kind(device_type)?, dtype)
}

/// `taper_autocast_cache_enabled`.
pub fn autocast_cache_enabled() -> bool {
    autocast::cache_enabled()
}

/// `taper_set_autocast_cache_enabled`.
pub fn set_autocast_cache_enabled(enabled: bool) -> bool {
    autocast::set_cache_enabled(enabled)
}

/// `taper_autocast_clear_cache`.
pub fn autocast_clear_cache() -> Result<()> {
    autocast::clear_cache();
    Ok(())
}

/// `taper_profiler_start`.
pub fn profiler_start(synchronize: bool, shapes: bool) -> Result<()> {
    profile::start(profile::Options { synchronize, shapes });
    Ok(())
}

/// `taper_profiler_stop`.
pub fn profiler_stop() -> Result<()> {
    profile::stop()
}

/// `taper_profiler_push`.
pub fn profiler_push(name: &str) -> Result<()> {
    profile::push(name);
    Ok(())
}

/// `taper_profiler_pop`.
pub fn profiler_pop() -> Result<()> {
    profile::pop();
    Ok(())
}

/// `taper_profiler_table`.
pub fn profiler_table(rows: usize) -> Result<String> {
    profile::table(rows)
}

/// `taper_profiler_events`.
pub fn profiler_events() -> Result<String> {
    profile::events()
}

/// `taper_profiler_export_chrome_trace`.
pub fn profiler_export_chrome_trace(path: &Path) -> Result<()> {
    let text = profile::chrome_trace()?;
    let mut w = file::Writer::begin(path)?;
    w.write(text.as_bytes())?;
    w.commit()
}

/// `taper_multiply_adds`.
pub fn multiply_adds() -> u64 {
    count::multiply_adds()
}

impl HandleType for taper_cancel_token {
    const KIND: Kind = Kind::CancelToken;
    type Object = Arc<Token>;
}
impl IntoC<*mut taper_cancel_token> for Arc<Token> {
    fn into_c(self) -> Result<*mut taper_cancel_token> {
        new_handle(self)
    }
}
impl IntoC<*mut taper_cancel_token> for Option<Arc<Token>> {
    fn into_c(self) -> Result<*mut taper_cancel_token> {
        self.map_or(Ok(std::ptr::null_mut()), new_handle)
    }
}

/// `taper_cancel_token_new`.
pub fn cancel_token_new() -> Result<Arc<Token>> {
    Ok(Arc::default())
}

/// `taper_cancel_token_cancel`.
pub fn cancel_token_cancel(t: &Arc<Token>) -> Result<()> {
    t.cancel();
    Ok(())
}

/// `taper_cancel_token_is_cancelled`.
pub fn cancel_token_is_cancelled(t: &Arc<Token>) -> i32 {
    t.is_cancelled() as i32
}

/// `taper_cancel_token_attach`.
pub fn cancel_token_attach(t: Option<&Arc<Token>>) -> Result<Option<Arc<Token>>> {
    Ok(cancel::attach(t.cloned()))
}

/// What long calls ask.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_interrupt_vtable {
    /// sizeof(taper_interrupt_vtable).
    pub struct_size: usize,
    /// Called on the thread of the call; an error that it returns ends the call and passes to its caller.
    pub call: Option<unsafe extern "C" fn(user: *mut c_void) -> *mut taper_error>,
    /// Called with user exactly once, when the callback is gone; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_interrupt_vtable {
    const INIT: Self = taper_interrupt_vtable { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_interrupt_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// `taper_set_interrupt_callback`.
pub fn set_interrupt_callback(c: &Call, vtable: Option<(taper_interrupt_vtable, User)>) -> Result<()> {
    let question: Option<cancel::Question> = match vtable {
        None => None,
        Some((vt, user)) => {
            let Some(call) = vt.call else {
                return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its call function is NULL"));
            };
            // SAFETY: function and user pointer come together from the caller.
            Some(Arc::new(move || error::take(unsafe { call(user.get()) }).map_or(Ok(()), Err)))
        }
    };
    drop(cancel::set_question(question));
    Ok(())
}
