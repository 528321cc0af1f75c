//! Devices, memory, threads, random generators, printing options.

use super::convert::{free, getter, guard, object, IntoC, Slot};
use super::handle::Kind;
use super::types::*;
use super::user::{read_struct, CStruct, User};
use crate::backend::{self, cpu::parallel};
use crate::error::ErrorKind;
use crate::rng::{self, Generator};
use crate::tensor::storage::{set_out_of_memory_hook, OutOfMemoryHook};
use crate::tensor::{self, print};
use crate::Device;
use std::os::raw::{c_char, c_void};
use std::sync::Arc;

/// Number of devices of a type that can be used: 1 for the CPU, 0 where a driver or this build's backend is missing.
/// type is a TAPER_DEVICE_... code. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_device_count(r#type: i32, out: *mut i32) -> *mut taper_error {
    guard("device_count", |c| {
        let out = c.out(1, "out", out)?;
        c.device(0, "type", taper_device { r#type, index: 0 })?;
        let usable = |i: &i32| Device::from_code(r#type, *i).and_then(backend::get).is_ok();
        let most = if r#type == TAPER_DEVICE_CPU { 1 } else { u16::MAX as i32 };
        out.set((0..most).take_while(usable).count() as i32)
    })
}

/// The device of tensors made without naming one. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_get_default_device() -> taper_device {
    super::tensor::device_to_c(tensor::default_device())
}

/// Sets the device of tensors made without naming one. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_set_default_device(device: taper_device) -> *mut taper_error {
    guard("set_default_device", |c| {
        let d = c.device(0, "device", device)?;
        backend::get(d)?;
        tensor::set_default_device(d);
        Ok(())
    })
}

/// Waits until all work queued on the device is done. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_synchronize(device: taper_device) -> *mut taper_error {
    guard("synchronize", |c| backend::get(c.device(0, "device", device)?)?.synchronize())
}

/// Memory of one device's allocator, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct taper_memory_info {
    /// Held by live tensors now.
    pub allocated: u64,
    /// Held by live tensors at most so far.
    pub allocated_peak: u64,
    /// Obtained from the system: live and cached.
    pub reserved: u64,
    /// Obtained from the system at most so far.
    pub reserved_peak: u64,
    /// Allocations served since the start.
    pub allocations: u64,
}

impl Slot for taper_memory_info {
    const EMPTY: Self =
        taper_memory_info { allocated: 0, allocated_peak: 0, reserved: 0, reserved_peak: 0, allocations: 0 };
}
impl IntoC<taper_memory_info> for taper_memory_info {
    fn into_c(self) -> crate::Result<taper_memory_info> {
        Ok(self)
    }
}

/// Statistics of a device's memory. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_memory_stats(device: taper_device, out: *mut taper_memory_info) -> *mut taper_error {
    guard("memory_stats", |c| {
        let out = c.out(1, "out", out)?;
        let s = backend::get(c.device(0, "device", device)?)?.memory_stats();
        out.set(taper_memory_info {
            allocated: s.allocated,
            allocated_peak: s.allocated_peak,
            reserved: s.reserved,
            reserved_peak: s.reserved_peak,
            allocations: s.allocations,
        })
    })
}

/// Gives the memory that a device's allocator keeps for reuse back to the system. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_memory_empty_cache(device: taper_device) -> *mut taper_error {
    guard("memory_empty_cache", |c| {
        backend::get(c.device(0, "device", device)?)?.empty_cache();
        Ok(())
    })
}

/// Asked when memory runs out.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_out_of_memory_vtable {
    /// sizeof(taper_out_of_memory_vtable).
    pub struct_size: usize,
    /// Called with the number of bytes that could not be had, once before an allocation fails: it frees tensors that
    /// are no longer needed (runs a garbage collector) and returns 1 for another try, 0 to fail.
    pub call: Option<unsafe extern "C" fn(user: *mut c_void, nbytes: usize) -> i32>,
    /// Called with user exactly once, when the callback is replaced; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_out_of_memory_vtable {
    const INIT: Self = taper_out_of_memory_vtable { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}

/// Sets what is called before an allocation fails, for the whole process; vtable NULL removes it. user is owned by the
/// library (vtable->drop). Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_set_out_of_memory_callback(
    vtable: *const taper_out_of_memory_vtable,
    user: *mut c_void,
) -> *mut taper_error {
    guard("set_out_of_memory_callback", |c| {
        let hook: Option<OutOfMemoryHook> = if vtable.is_null() {
            None
        } else {
            let vt = read_struct(c, 0, "vtable", vtable)?;
            let user = User::new(user, vt.drop);
            let Some(call) = vt.call else {
                return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its call function is NULL"));
            };
            // SAFETY: function and user pointer come together from the caller.
            Some(Arc::new(move |nbytes| unsafe { call(user.get(), nbytes) } != 0))
        };
        // The previous callback is dropped here, outside of any lock.
        drop(set_out_of_memory_hook(hook));
        Ok(())
    })
}

/// Number of threads that CPU kernels use. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_get_num_threads() -> i32 {
    getter(1, || Some(parallel::num_threads() as i32))
}

/// Sets the number of threads that CPU kernels use; at least 1. Results do not depend on it. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_set_num_threads(n: i32) -> *mut taper_error {
    guard("set_num_threads", |c| {
        if !(1..=4096).contains(&n) {
            return Err(c.invalid(ErrorKind::Runtime, 0, "n", format!("expected 1 to 4096 threads, got {n}")));
        }
        parallel::set_num_threads(n as usize);
        Ok(())
    })
}

/// Seeds the default generator. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_manual_seed(seed: u64) {
    getter((), || {
        rng::manual_seed(seed);
        Some(())
    })
}

/// Seeds the default generator from the system's entropy and returns the seed. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_seed() -> u64 {
    getter(0, || Some(rng::default_generator().seed()))
}

/// Another handle on the default generator, owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_generator_default(out: *mut *mut taper_generator) -> *mut taper_error {
    guard("generator_default", |c| c.out(0, "out", out)?.set(rng::default_generator().clone()))
}

/// A new generator with PyTorch's CPU numbers (MT19937), owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_generator_new(out: *mut *mut taper_generator) -> *mut taper_error {
    guard("generator_new", |c| c.out(0, "out", out)?.set(Generator::new()))
}

/// Starts a generator anew from a seed. Borrows g. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_generator_manual_seed(g: *mut taper_generator, seed: u64) -> *mut taper_error {
    guard("generator_manual_seed", |c| {
        c.get(0, "g", g as *const taper_generator)?.manual_seed(seed);
        Ok(())
    })
}

/// Seeds a generator from the system's entropy; the seed is written to out. Borrows g. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_generator_seed(g: *mut taper_generator, out: *mut u64) -> *mut taper_error {
    guard("generator_seed", |c| {
        let out = c.out(1, "out", out)?;
        out.set(c.get(0, "g", g as *const taper_generator)?.seed())
    })
}

/// The seed last set; 0 for a bad handle. Borrows g. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_generator_initial_seed(g: *const taper_generator) -> u64 {
    getter(0, || object(g).ok().map(|g| g.initial_seed()))
}

/// Writes a generator's state (for the CPU's generator, the bytes of torch.get_rng_state()) into buf, as many bytes as
/// nbytes allows (NULL with 0 is fine), and its size into needed. Borrows g. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_generator_get_state(
    g: *const taper_generator,
    buf: *mut u8,
    nbytes: usize,
    needed: *mut usize,
) -> *mut taper_error {
    guard("generator_get_state", |c| {
        let needed = c.out(2, "needed", needed)?;
        let state = c.get(0, "g", g)?.get_state();
        // SAFETY: the header says that buf is writable for nbytes bytes.
        let buf = unsafe { c.slice_mut(1, "buf", buf, nbytes) }?;
        let n = buf.len().min(state.len());
        buf[..n].copy_from_slice(&state[..n]);
        needed.set(state.len())
    })
}

/// Restores a state of taper_generator_get_state or torch.get_rng_state(); bad bytes are an error and change nothing.
/// Borrows g. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_generator_set_state(
    g: *mut taper_generator,
    state: *const u8,
    nbytes: usize,
) -> *mut taper_error {
    guard("generator_set_state", |c| {
        // SAFETY: the header's contract.
        let state = unsafe { c.slice(1, "state", state, nbytes) }?;
        c.get(0, "g", g as *const taper_generator)?.set_state(state)
    })
}

/// Frees a generator's handle. Consumes g; NULL is fine. Returns false when g was no live generator handle. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_generator_free(g: *mut taper_generator) -> bool {
    free(g, Kind::Generator)
}

/// Sets how tensors are printed, as torch.set_printoptions: profile ("default", "short", "full") first, then each value
/// that is not NULL; sci_mode NULL means automatic. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_set_printoptions(
    precision: *const i64,
    threshold: *const f64,
    edgeitems: *const i64,
    linewidth: *const i64,
    profile: *const c_char,
    sci_mode: *const bool,
) -> *mut taper_error {
    guard("set_printoptions", |c| {
        let count = |i: usize, name: &str, p: *const i64| -> crate::Result<Option<usize>> {
            // SAFETY: NULL or readable by the header's contract.
            match unsafe { c.opt(i, name, p) }? {
                Some(v) => match usize::try_from(v) {
                    Ok(v) => Ok(Some(v)),
                    Err(_) => Err(c.invalid(ErrorKind::Value, i, name, format!("must not be negative, got {v}"))),
                },
                None => Ok(None),
            }
        };
        print::set_printoptions(
            count(0, "precision", precision)?,
            c.opt(1, "threshold", threshold)?,
            count(2, "edgeitems", edgeitems)?,
            count(3, "linewidth", linewidth)?,
            c.opt_str(4, "profile", profile)?,
            c.opt(5, "sci_mode", sci_mode)?,
        )
    })
}
