//! A device in use: its memory, its kernels, its queue. What it can do stands in the other files of this folder, which
//! find here what they all use.

pub(super) use super::compile::Compiled;
pub(super) use super::counters::{count_launches, count_wait};
pub(super) use super::driver::{Arg, Driver, Mem, Reach};
pub(super) use super::memory::{Allocator, DeviceBuffer, Staging};
pub(super) use crate::backend::contract::*;
pub(super) use crate::backend::info::DeviceInfo;
pub(super) use crate::backend::kernels::{self, Def};
pub(super) use crate::backend::program::{self, Program};
pub(super) use crate::backend::storage::Storage;
pub(super) use crate::bail;
pub(super) use crate::base::device::Device;
pub(super) use crate::base::dtype::DType;
pub(super) use crate::base::error::{Error, ErrorKind, Result};
pub(super) use crate::base::layout::Layout;
pub(super) use crate::base::scalar::Scalar;
pub(super) use crate::rng::Generator;
pub(super) use parking_lot::Mutex;
pub(super) use smallvec::SmallVec;
pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(super) use std::sync::{Arc, OnceLock};

use super::capture::Capture;
use super::compile::{self, cache_dir};
use super::kept::{KernelKey, ProgramCache};
use super::memory::Owner;
use super::tile::Tuning;
use rustc_hash::FxHashMap;
use std::path::PathBuf;

/// Work-items of a group in one-dimensional kernels.
pub(super) const GROUP: usize = 256;

static FORKS: AtomicU64 = AtomicU64::new(0);

/// Counts the forks after which a driver, whose threads stayed behind in the parent, would hang.
fn watch_forks() {
    extern "C" fn child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    // SAFETY: the handler only adds to an atomic.
    ONCE.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(child));
    });
}

/// One device in use.
pub struct Gpu {
    pub(super) device: Device,
    pub(super) info: DeviceInfo,
    pub(super) driver: Box<dyn Driver>,
    pub(super) allocator: Allocator,
    pub(super) staging: Staging,
    pub(super) kernels: Mutex<FxHashMap<KernelKey, Arc<Compiled>>>,
    pub(super) programs: Mutex<ProgramCache>,
    /// Where kernels note an index out of range: claimed, index, size of the dimension (int32, int64, int64).
    pub(super) fault: Mem,
    pub(super) fault_possible: AtomicBool,
    pub(super) disk_cache: Option<PathBuf>,
    pub(super) queued: AtomicU64,
    pub(super) capture: Mutex<Option<Capture>>,
    pub(super) capturing: AtomicBool,
    /// `FORKS` when it was made.
    pub(super) forks: u64,
    pub(super) tuning: Tuning,
    /// This value: backends are never dropped.
    pub(super) forever: OnceLock<&'static Gpu>,
}

/// Bytes of an argument struct: 8-byte fields first, padded to 8 bytes at the end.
#[derive(Default)]
pub(super) struct Pack(pub SmallVec<[u8; 64]>);
impl Pack {
    pub(super) fn i64(&mut self, v: i64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    pub(super) fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    pub(super) fn arg<'a>(mut self) -> Arg<'a> {
        while !self.0.len().is_multiple_of(8) {
            self.0.push(0);
        }
        Arg::Bytes(self.0)
    }
}

impl Gpu {
    /// The backend of `device`; compiled kernels are kept on disk when `disk_cache` says so.
    pub fn new(device: Device, driver: Box<dyn Driver>, info: DeviceInfo, disk_cache: bool) -> Result<&'static Gpu> {
        watch_forks();
        let fault = driver.alloc(32)?;
        driver.write(&fault, 0, &[0; 32])?;
        let gpu: &'static Gpu = Box::leak(Box::new(Gpu {
            device,
            driver,
            allocator: Allocator::new(info.max_allocation, info.global_memory),
            info,
            staging: Staging::default(),
            kernels: Mutex::default(),
            programs: Mutex::default(),
            fault,
            fault_possible: AtomicBool::new(false),
            disk_cache: if disk_cache { cache_dir() } else { None },
            queued: AtomicU64::new(0),
            capture: Mutex::new(None),
            capturing: AtomicBool::new(false),
            forks: FORKS.load(Ordering::Relaxed),
            tuning: Tuning::default(),
            forever: OnceLock::new(),
        }));
        let _ = gpu.forever.set(gpu);
        Ok(gpu)
    }

    /// This backend with the lifetime that buffers keep.
    pub(super) fn forever(&self) -> &'static Gpu {
        self.forever.get().expect("set when the backend was made")
    }

    pub(super) fn check_fork(&self) -> Result<()> {
        if self.forks != FORKS.load(Ordering::Relaxed) {
            bail!(
                Runtime,
                "device {} was in use when this process was forked and cannot be used here; start the process anew \
                 (the start method 'spawn' of multiprocessing), or use the device in the forked process only",
                self.device
            );
        }
        Ok(())
    }

    /// The device buffer behind a storage.
    pub(super) fn mem<'a>(&self, s: &'a Storage) -> Result<&'a Mem> {
        self.check_fork()?;
        match s.device_buffer::<DeviceBuffer>() {
            Some(b) if s.device() == self.device => Ok(b.mem()),
            _ => bail!(
                Runtime,
                "Expected all tensors to be on the same device, but found at least two devices, {} and {}!",
                self.device,
                s.device()
            ),
        }
    }

    /// The buffer behind a storage, which others may use from here on.
    pub(super) fn shown<'a>(&self, s: &'a Storage, reach: Reach) -> Result<&'a Mem> {
        let mem = self.mem(s)?;
        if let Some(b) = s.device_buffer::<DeviceBuffer>() {
            b.shown(reach);
        }
        s.set_shared();
        Ok(mem)
    }

    /// The buffer of a view, after a check that its layout stays inside.
    pub(super) fn view<'a>(&self, v: &View<'a>) -> Result<&'a Mem> {
        let need = v.layout.required_elements() as u64 * v.dtype.size() as u64;
        if need > v.storage.nbytes() as u64 {
            bail!(
                Internal,
                "a kernel was given a layout of {need} bytes over a storage of {} bytes",
                v.storage.nbytes()
            );
        }
        if v.dtype == DType::F64 && !self.info.fp64 {
            return Err(self.no_fp64());
        }
        self.mem(v.storage)
    }

    pub(super) fn no_fp64(&self) -> Error {
        Error::new(
            ErrorKind::NotImplemented,
            format!("float64 is not supported by device {} ({}): it lacks cl_khr_fp64", self.device, self.info.name),
        )
    }

    /// A temporary buffer.
    pub(super) fn scratch(&self, nbytes: usize) -> Result<DeviceBuffer> {
        self.check_fork()?;
        self.allocator.alloc(self.forever(), nbytes)
    }

    /// The kernel `name` of `source` specialised by `defs`, from the cache or built.
    pub(super) fn kernel(
        &self,
        name: &'static str,
        source: &str,
        defs: &[(&'static str, Def)],
    ) -> Result<Arc<Compiled>> {
        self.kernel_made(name, defs, || source.to_string())
    }
    /// The same of several source files.
    pub(super) fn kernel_of(
        &self,
        name: &'static str,
        files: &[&str],
        defs: &[(&'static str, Def)],
    ) -> Result<Arc<Compiled>> {
        self.kernel_made(name, defs, || files.concat())
    }
    /// The same of source that is made when it is needed and depends on nothing but `name` and `defs`.
    pub(super) fn kernel_made(
        &self,
        name: &'static str,
        defs: &[(&'static str, Def)],
        source: impl FnOnce() -> String,
    ) -> Result<Arc<Compiled>> {
        let key = KernelKey { name, defs: SmallVec::from_slice(defs) };
        if let Some(k) = self.kernels.lock().get(&key) {
            return Ok(k.clone());
        }
        if !self.info.fp64 && defs.iter().any(|(_, d)| *d == Def::Type(DType::F64)) {
            return Err(self.no_fp64());
        }
        let made = self.compile(name, &(kernels::defines(defs) + &source()))?;
        Ok(self.kernels.lock().entry(key).or_insert(made).clone())
    }

    /// Queues a kernel over `global` work-items (rounded up to whole groups of `local`).
    pub(super) fn launch(&self, k: &Compiled, args: &[Arg], global: [usize; 3], local: [usize; 3]) -> Result<()> {
        if global.contains(&0) {
            return Ok(());
        }
        let mut size = global;
        for d in 0..3 {
            size[d] = global[d].div_ceil(local[d]) * local[d];
        }
        k.kernel.launch(args, &size, &local)?;
        self.note(args.iter().filter_map(|a| match a {
            Arg::Mem(m) => Some(*m),
            Arg::Bytes(_) => None,
        }));
        count_launches(1);
        // Drivers may hold commands back until a flush; the device should start while the host goes on.
        if self.queued.fetch_add(1, Ordering::Relaxed) % 16 == 15 {
            self.driver.flush()?;
        }
        Ok(())
    }

    /// Counts a call of the vendor's library.
    pub(super) fn library_ran<'a>(&self, mems: impl Iterator<Item = &'a Mem>) {
        self.note(mems);
        count_launches(1);
    }

    /// Queues a one-dimensional kernel of `n` work-items in groups of `GROUP`.
    pub(super) fn launch_1d(&self, k: &Compiled, args: &[Arg], n: usize) -> Result<()> {
        self.launch(k, args, [n, 1, 1], [GROUP, 1, 1])
    }

    /// Reports an index that an earlier kernel found out of range. The queue is idle or about to be.
    pub(super) fn check_fault(&self) -> Result<()> {
        if !self.fault_possible.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let mut bytes = [0u8; 32];
        self.driver.read(&self.fault, 0, &mut bytes)?;
        let word = |i: usize| i64::from_le_bytes(bytes[i * 8..][..8].try_into().expect("eight bytes"));
        if word(0) as i32 == 0 {
            return Ok(());
        }
        self.driver.write(&self.fault, 0, &[0; 32])?;
        let (number, limit, by) = (word(1), word(2), format!("(found by a kernel on {})", self.device));
        let value = f32::from_bits(number as u32);
        match ValueCheck::from_code(word(3)) {
            None => bail!(Index, "index {number} is out of bounds for dimension with size {limit} {by}"),
            Some(ValueCheck::Rows) => bail!(Index, "index out of range in self: {number}, there are {limit} {by}"),
            Some(ValueCheck::Probability) => {
                bail!(Runtime, "Expected p_in >= 0 && p_in <= 1 to be true, but got {value} {by}")
            }
            Some(ValueCheck::Input) => {
                bail!(Runtime, "all elements of input should be between 0 and 1, but got {value} {by}")
            }
            Some(ValueCheck::Target) => {
                bail!(Runtime, "all elements of target should be between 0 and 1, but got {value} {by}")
            }
            Some(ValueCheck::TargetClass) => bail!(Index, "Target {number} is out of bounds. {by}"),
            Some(ValueCheck::Class) => bail!(
                Runtime,
                "Class values must be non-negative and smaller than num_classes ({limit}), but got {number} {by}"
            ),
        }
    }

    /// Whether this thread records.
    #[inline]
    pub(super) fn records(&self) -> bool {
        self.capturing.load(Ordering::Relaxed) && self.recorded(|_| ()).is_some()
    }

    /// Runs `f` on the capture of this thread, if there is one.
    pub(super) fn recorded<R>(&self, f: impl FnOnce(&mut Capture) -> R) -> Option<R> {
        let mut slot = self.capture.lock();
        slot.as_mut().filter(|c| c.thread == std::thread::current().id()).map(f)
    }

    /// Notes that recorded work uses these buffers.
    #[inline]
    pub(super) fn note<'a>(&self, mems: impl Iterator<Item = &'a Mem>) {
        if self.capturing.load(Ordering::Relaxed) {
            if let Some(id) = self.recorded(|c| {
                c.launches += 1;
                c.id
            }) {
                self.allocator.touch(id, mems);
            }
        }
    }

    /// Builds the kernel `name` of `source` (without preludes).
    pub(super) fn compile(&self, name: &'static str, source: &str) -> Result<Arc<Compiled>> {
        Ok(Arc::new(compile::compile(&*self.driver, self.device, self.disk_cache.as_deref(), name, source)?))
    }
}

impl Owner for Gpu {
    fn device(&self) -> Device {
        self.device
    }
    fn title(&self) -> &str {
        &self.info.name
    }
    fn driver(&self) -> &dyn Driver {
        &*self.driver
    }
    fn allocator(&self) -> &Allocator {
        &self.allocator
    }
    fn records(&self) -> bool {
        Gpu::records(self)
    }
}
