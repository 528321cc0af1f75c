//! Devices, memory, threads, random generators, printing options.

use super::convert::{free, getter, guard, object, IntoC, Slot};
use super::handle::Kind;
use super::types::*;
use super::user::{read_struct, write_struct, CStruct, User};
use crate::backend::storage::{set_out_of_memory_hook, OutOfMemoryHook};
use crate::backend::{self, cpu::parallel, info};
use crate::base::error::ErrorKind;
use crate::base::settings;
use crate::rng::{self, Algorithm, Generator};
use crate::tensor::print;
use crate::Device;
use std::os::raw::{c_char, c_void};
use std::sync::Arc;

/// Number of devices of a type: 1 for the CPU, 0 where a driver or this build's backend is missing
/// (taper_device_check says why). type is a TAPER_DEVICE_... code. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_device_count(r#type: i32, out: *mut i32) -> *mut taper_error {
    guard("device_count", |c| {
        let out = c.out(1, "out", out)?;
        let d = c.device(0, "type", taper_device { r#type, index: 0 })?;
        out.set(info::count(d.kind) as i32)
    })
}

pub const TAPER_DEVICE_KIND_OTHER: i32 = 0;
pub const TAPER_DEVICE_KIND_CPU: i32 = 1;
pub const TAPER_DEVICE_KIND_GPU: i32 = 2;
pub const TAPER_DEVICE_KIND_ACCELERATOR: i32 = 3;

/// What a device is and can do: fields of taper_device_get_properties. What a driver does not tell is 0 or "". Texts are
/// UTF-8 with a NUL, cut where they are longer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_device_properties {
    /// sizeof(taper_device_properties).
    pub struct_size: usize,
    /// The device that this is about.
    pub device: taper_device,
    /// TAPER_DEVICE_KIND_CPU (also of an OpenCL device that is a CPU), _GPU, _ACCELERATOR or _OTHER.
    pub kind: i32,
    /// Multiprocessors of a GPU, threads that a CPU can run.
    pub compute_units: i32,
    /// Memory in bytes.
    pub total_memory: u64,
    /// Largest single tensor in bytes.
    pub max_allocation: u64,
    /// Memory that the work-items of one group share, in bytes.
    pub local_memory: u64,
    /// Bit (1 << code) is set for each dtype whose tensors the device can hold and compute with.
    pub dtypes: u64,
    /// Work-items of a group at most.
    pub max_work_group: i32,
    pub clock_mhz: i32,
    /// 1 if float16 arithmetic is done in float16 by the device itself; float16 tensors work without it.
    pub native_float16: i32,
    /// 1 if host and device share memory.
    pub unified_memory: i32,
    /// CUDA's compute capability; 0 elsewhere.
    pub capability_major: i32,
    pub capability_minor: i32,
    pub name: [c_char; 256],
    pub vendor: [c_char; 128],
    /// OpenCL's version, CUDA's compute capability, the CPU's instruction set.
    pub version: [c_char; 128],
    pub driver: [c_char; 128],
    pub platform: [c_char; 128],
}
// SAFETY: repr(C), a size first, numbers and texts.
unsafe impl CStruct for taper_device_properties {
    const INIT: Self = taper_device_properties {
        struct_size: 0,
        device: taper_device { r#type: 0, index: 0 },
        kind: 0,
        compute_units: 0,
        total_memory: 0,
        max_allocation: 0,
        local_memory: 0,
        dtypes: 0,
        max_work_group: 0,
        clock_mhz: 0,
        native_float16: 0,
        unified_memory: 0,
        capability_major: 0,
        capability_minor: 0,
        name: [0; 256],
        vendor: [0; 128],
        version: [0; 128],
        driver: [0; 128],
        platform: [0; 128],
    };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}

/// Text as an array of characters with a NUL, cut between characters.
fn text<const N: usize>(s: &str) -> [c_char; N] {
    let mut end = s.len().min(N - 1);
    while !s.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(s[..end].bytes().map(|b| if b == 0 { b' ' } else { b })) {
        *to = from as c_char;
    }
    out
}

/// Properties of a device. out->struct_size must be set (TAPER_DEVICE_PROPERTIES_INIT). An error when there is no such
/// device: it says why, or which there are. Nothing is started on the device. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_device_get_properties(
    device: taper_device,
    out: *mut taper_device_properties,
) -> *mut taper_error {
    guard("device_get_properties", |c| {
        let i = info::info(c.device(0, "device", device)?)?;
        let dtypes = crate::DType::ALL.iter().filter(|d| i.supports(**d)).map(|d| 1 << (*d as i32)).sum();
        let small = |n: usize| n.min(i32::MAX as usize) as i32;
        let value = taper_device_properties {
            device,
            kind: match i.kind {
                "cpu" => TAPER_DEVICE_KIND_CPU,
                "gpu" => TAPER_DEVICE_KIND_GPU,
                "accelerator" => TAPER_DEVICE_KIND_ACCELERATOR,
                _ => TAPER_DEVICE_KIND_OTHER,
            },
            compute_units: i.compute_units as i32,
            total_memory: i.global_memory,
            max_allocation: i.max_allocation,
            local_memory: i.local_memory,
            dtypes,
            max_work_group: small(i.max_work_group),
            clock_mhz: i.clock_mhz as i32,
            native_float16: i.fp16 as i32,
            unified_memory: i.unified_memory as i32,
            capability_major: i.capability.0 as i32,
            capability_minor: i.capability.1 as i32,
            name: text(&i.name),
            vendor: text(&i.vendor),
            version: text(&i.version),
            driver: text(&i.driver),
            platform: text(&i.platform),
            ..taper_device_properties::INIT
        };
        // SAFETY: the header says that out is writable for struct_size bytes.
        unsafe { write_struct(c, 1, "out", out, value) }
    })
}

/// NULL if the device can be used, else an error that says why not: no driver, no platform, no such index (with the
/// devices that there are), or what failed when it was opened. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_device_check(device: taper_device) -> *mut taper_error {
    guard("device_check", |c| info::check(c.device(0, "device", device)?).map(|_| ()))
}

/// The first device whose name, platform, vendor or version contains name, in any case. type is a TAPER_DEVICE_... code, or 0 for
/// any (CUDA first, then OpenCL, then the CPU). The error lists the devices that there are. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_device_find(
    r#type: i32,
    name: *const c_char,
    out: *mut taper_device,
) -> *mut taper_error {
    guard("device_find", |c| {
        let out = c.out(2, "out", out)?;
        let kind = c.opt_device(0, "type", taper_device { r#type, index: 0 })?.map(|d| d.kind);
        out.set(info::find(kind, c.str(1, "name", name)?)?)
    })
}

/// Reads "cpu", "cuda", "cuda:1", "opencl:0" and their like; whether there is such a device is not asked. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_device_parse(text: *const c_char, out: *mut taper_device) -> *mut taper_error {
    guard("device_parse", |c| {
        let out = c.out(1, "out", out)?;
        out.set(Device::parse(c.str(0, "text", text)?)?)
    })
}

/// The device as text: "cpu", "cuda:0", "opencl:1". Owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_device_to_string(device: taper_device, out: *mut *mut taper_string) -> *mut taper_error {
    guard("device_to_string", |c| {
        let out = c.out(1, "out", out)?;
        out.set(c.device(0, "device", device)?.to_string())
    })
}

/// The device of tensors made without naming one. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_get_default_device() -> taper_device {
    super::tensor::device_to_c(settings::default_device())
}

/// Sets the device of tensors made without naming one. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_set_default_device(device: taper_device) -> *mut taper_error {
    guard("set_default_device", |c| {
        let d = c.device(0, "device", device)?;
        info::check(d)?;
        settings::set_default_device(d);
        Ok(())
    })
}

/// Waits until all work queued on the device is done. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_synchronize(device: taper_device) -> *mut taper_error {
    guard("synchronize", |c| backend::get(c.device(0, "device", device)?)?.synchronize())
}

/// How many kernels were queued since the start of the process, on all OpenCL and CUDA devices. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_kernels_launched() -> u64 {
    #[cfg(feature = "opencl")]
    return backend::gpu::kernels_launched();
    #[cfg(not(feature = "opencl"))]
    0
}

/// How often the host waited for an OpenCL or CUDA device since the start of the process: to read a value, in
/// taper_synchronize, or because memory for a transfer ran out. A training step that reads nothing adds nothing.
/// Since 0.1.
#[no_mangle]
pub extern "C" fn taper_host_waits() -> u64 {
    #[cfg(feature = "opencl")]
    return backend::gpu::host_waits();
    #[cfg(not(feature = "opencl"))]
    0
}

/// Memory of one device's allocator, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct taper_memory_info {
    /// Held by live tensors now.
    pub allocated: u64,
    /// Held by live tensors at most so far, on the CPU to within 64 KiB for each thread.
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
impl Slot for taper_device {
    const EMPTY: Self = taper_device { r#type: 0, index: 0 };
}
impl IntoC<taper_device> for Device {
    fn into_c(self) -> crate::Result<taper_device> {
        Ok(super::tensor::device_to_c(self))
    }
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

/// Lets the peaks of taper_memory_stats start anew from what is held now. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_memory_reset_peak(device: taper_device) -> *mut taper_error {
    guard("memory_reset_peak", |c| {
        backend::get(c.device(0, "device", device)?)?.reset_peak_memory();
        Ok(())
    })
}

/// Free and total memory of a device in bytes. OpenCL does not tell what other processes hold: there, free is the total
/// less what this process holds. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_memory_get_info(
    device: taper_device,
    free_bytes: *mut u64,
    total_bytes: *mut u64,
) -> *mut taper_error {
    guard("memory_get_info", |c| {
        let (free, total) = (c.out(1, "free_bytes", free_bytes)?, c.out(2, "total_bytes", total_bytes)?);
        let (f, t) = backend::get(c.device(0, "device", device)?)?.memory_info()?;
        free.set(f)?;
        total.set(t)
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

/// Seeds what devices other than the CPU draw from the default generator, and leaves the CPU's numbers as they are
/// (torch.cuda.manual_seed). taper_manual_seed seeds both. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_manual_seed_devices(seed: u64) {
    getter((), || {
        rng::default_generator().manual_seed_devices(seed);
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

/// PyTorch's CPU numbers: what a generator's draws on the CPU are at first.
pub const TAPER_RANDOM_MT19937: i32 = 0;
/// Philox4x32-10: what every other device draws.
pub const TAPER_RANDOM_PHILOX: i32 = 1;

/// Chooses which numbers the CPU draws from a generator: TAPER_RANDOM_MT19937 or TAPER_RANDOM_PHILOX, with which the same
/// seed gives the same numbers on every device (normal ones to a few units of the last place). A change starts the generator
/// anew from its seed. With the handle of taper_generator_default it holds for layers and dropout too. Borrows g. Since 0.1.
#[no_mangle]
#[must_use]
pub extern "C" fn taper_generator_set_algorithm(g: *mut taper_generator, algorithm: i32) -> *mut taper_error {
    guard("generator_set_algorithm", |c| {
        let algorithm = match algorithm {
            TAPER_RANDOM_MT19937 => Algorithm::Mt19937,
            TAPER_RANDOM_PHILOX => Algorithm::Philox,
            other => {
                let what = format!("invalid algorithm {other}; valid are 0 (MT19937) and 1 (Philox)");
                return Err(c.invalid(ErrorKind::Value, 1, "algorithm", what));
            }
        };
        c.get(0, "g", g as *const taper_generator)?.set_algorithm(algorithm);
        Ok(())
    })
}

/// The TAPER_RANDOM_... code of what the CPU draws from a generator; -1 for a bad handle. Borrows g. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_generator_algorithm(g: *const taper_generator) -> i32 {
    getter(-1, || {
        object(g).ok().map(|g| match g.algorithm() {
            Algorithm::Mt19937 => TAPER_RANDOM_MT19937,
            Algorithm::Philox => TAPER_RANDOM_PHILOX,
        })
    })
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
