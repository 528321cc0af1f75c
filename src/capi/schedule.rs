//! Learning-rate schedules.

use super::convert::{new_handle, Call, HandleType, IntoC};
use super::error;
use super::handle::Kind;
use super::io::NamedTensors;
use super::types::*;
use super::user::{CStruct, Callbacks, User};
use crate::base::error::{ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::optim::schedule::{Asked, Callback, Schedule, Target};
use crate::optim::Optimizer;
use std::os::raw::c_void;
use std::sync::Arc;

impl HandleType for taper_schedule {
    const KIND: Kind = Kind::Scheduler;
    type Object = Schedule;
}
impl IntoC<*mut taper_schedule> for Schedule {
    fn into_c(self) -> Result<*mut taper_schedule> {
        new_handle(self)
    }
}

/// A function of a schedule.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_schedule_vtable {
    /// sizeof(taper_schedule_vtable).
    pub struct_size: usize,
    /// Sets *out for a parameter group (counted from 0) and an epoch (CyclicLR's scale_fn: the cycle or the iteration, for
    /// all groups at once). LambdaLR, MultiplicativeLR and CyclicLR want a factor, a schedule of the caller's own the
    /// rate itself. base_lr is the group's initial rate, lr its present one. An error that it returns ends the step, changes
    /// nothing and passes to the caller.
    pub call: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            epoch: i64,
            group: usize,
            base_lr: f64,
            lr: f64,
            out: *mut f64,
        ) -> *mut taper_error,
    >,
    /// Called with user exactly once, when the schedule is gone; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_schedule_vtable {
    const INIT: Self = taper_schedule_vtable { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_schedule_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// A caller's function for the core.
pub fn callback(c: &Call, index: usize, name: &str, vt: taper_schedule_vtable, user: User) -> Result<Callback> {
    let Some(call) = vt.call else {
        return Err(c.invalid(ErrorKind::Value, index, name, "its call function is NULL"));
    };
    Ok(Arc::new(move |asked: &Asked| {
        let mut out = 0.0;
        // SAFETY: function and user pointer come together from the caller; user is alive as long as this closure.
        let e = unsafe { call(user.get(), asked.epoch, asked.group, asked.base_lr, asked.lr, &mut out) };
        match error::take(e) {
            Some(e) => Err(e),
            None => Ok(out),
        }
    }))
}

/// The same of one that may be absent.
pub fn opt_callback(
    c: &Call,
    index: usize,
    name: &str,
    given: Option<(taper_schedule_vtable, User)>,
) -> Result<Option<Callback>> {
    given.map(|(vt, user)| callback(c, index, name, vt, user)).transpose()
}

/// A list of options; without one its default.
pub fn rates(given: &[f64], default: f64) -> Vec<f64> {
    if given.is_empty() {
        return vec![default];
    }
    given.to_vec()
}

/// The optimiser as a schedule's.
pub fn target(o: &Arc<Mutex<Optimizer>>) -> Target {
    o.clone()
}

/// `taper_schedule_new`.
pub fn schedule_new(
    c: &Call,
    optimizer: &Arc<Mutex<Optimizer>>,
    name: &str,
    vt: taper_schedule_vtable,
    user: User,
    last_epoch: i64,
) -> Result<Schedule> {
    Schedule::own(&target(optimizer), name, callback(c, 2, "vtable", vt, user)?, last_epoch)
}

/// `taper_schedule_step`.
pub fn schedule_step(s: &Schedule) -> Result<()> {
    s.step()
}

/// `taper_schedule_step_to`.
pub fn schedule_step_to(s: &Schedule, epoch: f64) -> Result<()> {
    s.step_to(epoch)
}

/// `taper_schedule_step_metric`.
pub fn schedule_step_metric(s: &Schedule, metric: f64) -> Result<()> {
    s.step_metric(metric)
}

/// `taper_schedule_last_epoch`.
pub fn schedule_last_epoch(s: &Schedule) -> i64 {
    s.last_epoch()
}

/// Writes as many numbers as there is room for; how many there are.
fn write(all: &[f64], buf: &mut [f64]) -> usize {
    buf.iter_mut().zip(all).for_each(|(to, v)| *to = *v);
    all.len()
}

/// `taper_schedule_last_lr`.
pub fn schedule_last_lr(s: &Schedule, buf: &mut [f64]) -> Result<usize> {
    Ok(write(&s.last_lr(), buf))
}

/// `taper_schedule_base_lrs`.
pub fn schedule_base_lrs(s: &Schedule, buf: &mut [f64]) -> Result<usize> {
    Ok(write(&s.base_lrs(), buf))
}

/// `taper_schedule_state_dict`.
pub fn schedule_state_dict(s: &Schedule) -> Result<NamedTensors> {
    NamedTensors::from_dict(s.state_dict()?)
}

/// `taper_schedule_load_state_dict`.
pub fn schedule_load_state_dict(s: &Schedule, state: &Arc<Mutex<NamedTensors>>) -> Result<()> {
    let state = state.lock().dict()?;
    s.load_state_dict(&state)
}

/// `taper_schedule_to_string`.
pub fn schedule_to_string(s: &Schedule) -> Result<String> {
    Ok(s.to_string())
}
