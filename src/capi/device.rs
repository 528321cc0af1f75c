//! Devices, memory, threads, random generators, printing options.

use super::convert::{Call, IntoC, Slot};
use super::types::*;
use super::user::{CStruct, Callbacks, User};
use crate::backend::storage::{set_out_of_memory_hook, OutOfMemoryHook};
use crate::backend::{self, cpu::threads::parallel, devices};
use crate::base::error::{ErrorKind, Result};
use crate::base::log::{self, LogLevel};
use crate::base::settings;
use crate::rng::{self, Algorithm, Generator};
use crate::tensor::print;
use crate::Device;
use std::ffi::CString;
use std::os::raw::{c_char, c_void};
use std::sync::Arc;

/// `taper_device_count`.
pub fn device_count(c: &Call, r#type: i32) -> Result<i32> {
    let d = c.device(0, "type", taper_device { r#type, index: 0 })?;
    Ok(devices::count(d.kind) as i32)
}

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

/// `taper_device_get_properties`.
pub fn device_get_properties(device: Device) -> Result<taper_device_properties> {
    let i = devices::info(device)?;
    let dtypes = crate::DType::ALL.iter().filter(|d| i.supports(**d)).map(|d| 1 << (*d as i32)).sum();
    let small = |n: usize| n.min(i32::MAX as usize) as i32;
    Ok(taper_device_properties {
        device: device.into_c()?,
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
    })
}

/// `taper_device_check`.
pub fn device_check(device: Device) -> Result<()> {
    devices::check(device).map(|_| ())
}

/// `taper_device_find`.
pub fn device_find(c: &Call, r#type: i32, name: &str) -> Result<Device> {
    let kind = c.opt_device(0, "type", taper_device { r#type, index: 0 })?.map(|d| d.kind);
    devices::find(kind, name)
}

/// `taper_device_parse`.
pub fn device_parse(text: &str) -> Result<Device> {
    Device::parse(text)
}

/// `taper_device_to_string`.
pub fn device_to_string(device: Device) -> Result<String> {
    Ok(device.to_string())
}

/// `taper_get_default_device`.
pub fn get_default_device() -> taper_device {
    super::tensor::device_to_c(settings::default_device())
}

/// `taper_set_default_device`.
pub fn set_default_device(device: Device) -> Result<()> {
    devices::check(device)?;
    settings::set_default_device(device);
    Ok(())
}

/// `taper_synchronize`.
pub fn synchronize(device: Device) -> Result<()> {
    backend::get(device)?.synchronize()
}

/// `taper_kernels_launched`.
pub fn kernels_launched() -> u64 {
    #[cfg(feature = "opencl")]
    return backend::gpu::kernels_launched();
    #[cfg(not(feature = "opencl"))]
    0
}

/// `taper_host_waits`.
pub fn host_waits() -> u64 {
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
    fn into_c(self) -> Result<taper_device> {
        Ok(super::tensor::device_to_c(self))
    }
}
impl IntoC<taper_memory_info> for taper_memory_info {
    fn into_c(self) -> Result<taper_memory_info> {
        Ok(self)
    }
}

/// `taper_memory_stats`.
pub fn memory_stats(device: Device) -> Result<taper_memory_info> {
    let s = backend::get(device)?.memory_stats();
    Ok(taper_memory_info {
        allocated: s.allocated,
        allocated_peak: s.allocated_peak,
        reserved: s.reserved,
        reserved_peak: s.reserved_peak,
        allocations: s.allocations,
    })
}

/// `taper_memory_reset_peak`.
pub fn memory_reset_peak(device: Device) -> Result<()> {
    backend::get(device)?.reset_peak_memory();
    Ok(())
}

/// `taper_memory_get_info`.
pub fn memory_get_info(device: Device) -> Result<(u64, u64)> {
    backend::get(device)?.memory_info()
}

/// `taper_memory_empty_cache`.
pub fn memory_empty_cache(device: Device) -> Result<()> {
    backend::get(device)?.empty_cache();
    crate::log!(Debug, "{device}: memory that was kept for reuse went back");
    Ok(())
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
impl Callbacks for taper_out_of_memory_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// `taper_set_out_of_memory_callback`.
pub fn set_out_of_memory_callback(c: &Call, vtable: Option<(taper_out_of_memory_vtable, User)>) -> Result<()> {
    let hook: Option<OutOfMemoryHook> = match vtable {
        None => None,
        Some((vt, user)) => {
            let Some(call) = vt.call else {
                return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its call function is NULL"));
            };
            // SAFETY: function and user pointer come together from the caller.
            Some(Arc::new(move |nbytes| unsafe { call(user.get(), nbytes) } != 0))
        }
    };
    // The previous callback is dropped here, outside of any lock.
    drop(set_out_of_memory_hook(hook));
    Ok(())
}

/// Told what the library has to say.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_log_vtable {
    /// sizeof(taper_log_vtable).
    pub struct_size: usize,
    /// Called with a TAPER_LOG_... code and a text (UTF-8, without a line's end), which is valid during the call. Any thread
    /// may call it, several at once, while others wait for it: it must not call the library.
    pub call: Option<unsafe extern "C" fn(user: *mut c_void, level: i32, text: *const c_char)>,
    /// Called with user exactly once, when the callback is replaced; or NULL.
    pub drop: taper_drop_fn,
}
// SAFETY: repr(C), a size, optional functions.
unsafe impl CStruct for taper_log_vtable {
    const INIT: Self = taper_log_vtable { struct_size: 0, call: None, drop: None };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
impl Callbacks for taper_log_vtable {
    fn drop_fn(&self) -> taper_drop_fn {
        self.drop
    }
}

/// `taper_set_log_callback`.
pub fn set_log_callback(c: &Call, vtable: Option<(taper_log_vtable, User)>, level: i32) -> Result<()> {
    let Some(level) = LogLevel::of(level) else {
        return Err(c.invalid(ErrorKind::Value, 2, "level", format!("expected a TAPER_LOG_... code, got {level}")));
    };
    let sink: Option<log::Sink> = match vtable {
        None => None,
        Some((vt, user)) => {
            let Some(call) = vt.call else {
                return Err(c.invalid(ErrorKind::Value, 0, "vtable", "its call function is NULL"));
            };
            Some(Arc::new(move |level: LogLevel, text: &str| {
                let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
                // SAFETY: function and user pointer come together from the caller; the text ends with a NUL.
                unsafe { call(user.get(), level as i32, text.as_ptr()) }
            }))
        }
    };
    // The previous callback is dropped here, outside of any lock.
    drop(log::set(sink, level));
    Ok(())
}

/// `taper_get_num_threads`.
pub fn get_num_threads() -> i32 {
    parallel::num_threads() as i32
}

/// `taper_set_num_threads`.
pub fn set_num_threads(c: &Call, n: i32) -> Result<()> {
    if !(1..=4096).contains(&n) {
        return Err(c.invalid(ErrorKind::Runtime, 0, "n", format!("expected 1 to 4096 threads, got {n}")));
    }
    parallel::set_num_threads(n as usize);
    Ok(())
}

/// `taper_manual_seed`.
pub fn manual_seed(seed: u64) {
    rng::manual_seed(seed)
}

/// `taper_manual_seed_devices`.
pub fn manual_seed_devices(seed: u64) {
    rng::default_generator().manual_seed_devices(seed)
}

/// `taper_seed`.
pub fn seed() -> u64 {
    rng::default_generator().seed()
}

/// `taper_generator_default`.
pub fn generator_default() -> Result<Generator> {
    Ok(rng::default_generator().clone())
}

/// `taper_generator_new`.
pub fn generator_new() -> Result<Generator> {
    Ok(Generator::new())
}

/// `taper_generator_set_algorithm`.
pub fn generator_set_algorithm(c: &Call, g: &Generator, algorithm: i32) -> Result<()> {
    let algorithm = match algorithm {
        TAPER_RANDOM_MT19937 => Algorithm::Mt19937,
        TAPER_RANDOM_PHILOX => Algorithm::Philox,
        other => {
            let what = format!("invalid algorithm {other}; valid are 0 (MT19937) and 1 (Philox)");
            return Err(c.invalid(ErrorKind::Value, 1, "algorithm", what));
        }
    };
    g.set_algorithm(algorithm);
    Ok(())
}

/// `taper_generator_algorithm`.
pub fn generator_algorithm(g: &Generator) -> i32 {
    match g.algorithm() {
        Algorithm::Mt19937 => TAPER_RANDOM_MT19937,
        Algorithm::Philox => TAPER_RANDOM_PHILOX,
    }
}

/// `taper_generator_manual_seed`.
pub fn generator_manual_seed(g: &Generator, seed: u64) -> Result<()> {
    g.manual_seed(seed);
    Ok(())
}

/// `taper_generator_seed`.
pub fn generator_seed(g: &Generator) -> Result<u64> {
    Ok(g.seed())
}

/// `taper_generator_initial_seed`.
pub fn generator_initial_seed(g: &Generator) -> u64 {
    g.initial_seed()
}

/// `taper_generator_get_state`.
pub fn generator_get_state(g: &Generator, buf: &mut [u8]) -> Result<usize> {
    let state = g.get_state();
    let n = buf.len().min(state.len());
    buf[..n].copy_from_slice(&state[..n]);
    Ok(state.len())
}

/// `taper_generator_set_state`.
pub fn generator_set_state(g: &Generator, state: &[u8]) -> Result<()> {
    g.set_state(state)
}

/// `taper_set_printoptions`.
pub fn set_printoptions(
    c: &Call,
    precision: Option<i64>,
    threshold: Option<f64>,
    edgeitems: Option<i64>,
    linewidth: Option<i64>,
    profile: Option<&str>,
    sci_mode: Option<bool>,
) -> Result<()> {
    let count = |i: usize, name: &str, v: Option<i64>| match v.map(usize::try_from) {
        None => Ok(None),
        Some(Ok(v)) => Ok(Some(v)),
        Some(Err(_)) => {
            let what = format!("must not be negative, got {}", v.unwrap_or_default());
            Err(c.invalid(ErrorKind::Value, i, name, what))
        }
    };
    print::set_printoptions(
        count(0, "precision", precision)?,
        threshold,
        count(2, "edgeitems", edgeitems)?,
        count(3, "linewidth", linewidth)?,
        profile,
        sci_mode,
    )
}
