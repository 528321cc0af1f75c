//! What OpenCL and CUDA share: planning of launches, kernels and their cache, device memory.
//!
//! A device is reached through its [`driver::Driver`]. Work is queued in order and the host waits only where a value
//! is read. Kernels come from `backend::kernels`, specialised by macros and built on first use. An index that is out
//! of range cannot be seen when the kernel is queued: the kernel leaves memory alone, notes it, and the next read or
//! `synchronize` reports it.

mod compile;
mod conv;
mod conv_rows;
pub mod driver;
mod elementwise;
mod fill;
mod gemm;
mod graph;
mod memory;
mod plan;
mod pool;
mod reduce;
mod rows;
#[cfg(test)]
mod tests;
mod tile;
mod tune;

pub use compile::{cache_dir, compile_counts, trusted};

use super::info::DeviceInfo;
use super::kernels::{self, Def};
use crate::backend::check;
use crate::backend::contract::*;
use crate::backend::memory::MemoryStats;
use crate::backend::program::{self, Program};
use crate::backend::storage::{Buffer, HostOwner, Storage};
use crate::bail;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::Layout;
use crate::base::scalar::Scalar;
use crate::rng::Generator;
use compile::Compiled;
use driver::{Arg, Driver, Mem, Reach};
use memory::{Allocator, DeviceBuffer, Staging};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

static LAUNCHED: AtomicU64 = AtomicU64::new(0);

/// How many kernels were queued since the start of the process, on all OpenCL and CUDA devices.
pub fn kernels_launched() -> u64 {
    LAUNCHED.load(Ordering::Relaxed)
}

static WAITED: AtomicU64 = AtomicU64::new(0);

/// How often the host waited for an OpenCL or CUDA device since the start of the process: to read a value, to
/// synchronise, or because memory for the transfer ran out.
pub fn host_waits() -> u64 {
    WAITED.load(Ordering::Relaxed)
}
fn count_wait() {
    WAITED.fetch_add(1, Ordering::Relaxed);
}

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

/// What a specialised kernel is made of; the key of the in-memory cache.
#[derive(Clone, PartialEq, Eq, Hash)]
struct KernelKey {
    name: &'static str,
    defs: SmallVec<[(&'static str, Def); 8]>,
}

/// One device in use.
pub struct Gpu {
    device: Device,
    info: DeviceInfo,
    driver: Box<dyn Driver>,
    allocator: Allocator,
    staging: Staging,
    kernels: Mutex<FxHashMap<KernelKey, Arc<Compiled>>>,
    programs: Mutex<elementwise::ProgramCache>,
    /// Where kernels note an index out of range: claimed, index, size of the dimension (int32, int64, int64).
    fault: Mem,
    fault_possible: AtomicBool,
    disk_cache: Option<PathBuf>,
    queued: AtomicU64,
    capture: Mutex<Option<graph::Capture>>,
    capturing: AtomicBool,
    /// `FORKS` when it was made.
    forks: u64,
    tuning: tune::Tuning,
    /// This value: backends are never dropped.
    forever: OnceLock<&'static Gpu>,
}

/// Bytes of an argument struct: 8-byte fields first, padded to 8 bytes at the end.
#[derive(Default)]
struct Pack(SmallVec<[u8; 64]>);
impl Pack {
    fn i64(&mut self, v: i64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn arg<'a>(mut self) -> Arg<'a> {
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
            tuning: tune::Tuning::default(),
            forever: OnceLock::new(),
        }));
        let _ = gpu.forever.set(gpu);
        Ok(gpu)
    }

    /// This backend with the lifetime that buffers keep.
    fn forever(&self) -> &'static Gpu {
        self.forever.get().expect("set when the backend was made")
    }

    fn check_fork(&self) -> Result<()> {
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
    fn mem<'a>(&self, s: &'a Storage) -> Result<&'a Mem> {
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
    fn shown<'a>(&self, s: &'a Storage, reach: Reach) -> Result<&'a Mem> {
        let mem = self.mem(s)?;
        if let Some(b) = s.device_buffer::<DeviceBuffer>() {
            b.shown(reach);
        }
        s.set_shared();
        Ok(mem)
    }

    /// The buffer of a view, after a check that its layout stays inside.
    fn view<'a>(&self, v: &View<'a>) -> Result<&'a Mem> {
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

    fn no_fp64(&self) -> Error {
        Error::new(
            ErrorKind::NotImplemented,
            format!("float64 is not supported by device {} ({}): it lacks cl_khr_fp64", self.device, self.info.name),
        )
    }

    /// A temporary buffer.
    fn scratch(&self, nbytes: usize) -> Result<DeviceBuffer> {
        self.check_fork()?;
        self.allocator.alloc(self.forever(), nbytes)
    }

    /// The kernel `name` of `source` specialised by `defs`, from the cache or built.
    fn kernel(&self, name: &'static str, source: &str, defs: &[(&'static str, Def)]) -> Result<Arc<Compiled>> {
        self.kernel_made(name, defs, || source.to_string())
    }
    /// The same of several source files.
    fn kernel_of(&self, name: &'static str, files: &[&str], defs: &[(&'static str, Def)]) -> Result<Arc<Compiled>> {
        self.kernel_made(name, defs, || files.concat())
    }
    /// The same of source that is made when it is needed and depends on nothing but `name` and `defs`.
    fn kernel_made(
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
    fn launch(&self, k: &Compiled, args: &[Arg], global: [usize; 3], local: [usize; 3]) -> Result<()> {
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
        LAUNCHED.fetch_add(1, Ordering::Relaxed);
        // Drivers may hold commands back until a flush; the device should start while the host goes on.
        if self.queued.fetch_add(1, Ordering::Relaxed) % 16 == 15 {
            self.driver.flush()?;
        }
        Ok(())
    }

    /// Counts a call of the vendor's library.
    fn library_ran<'a>(&self, mems: impl Iterator<Item = &'a Mem>) {
        self.note(mems);
        LAUNCHED.fetch_add(1, Ordering::Relaxed);
    }

    /// Queues a one-dimensional kernel of `n` work-items in groups of `GROUP`.
    fn launch_1d(&self, k: &Compiled, args: &[Arg], n: usize) -> Result<()> {
        self.launch(k, args, [n, 1, 1], [GROUP, 1, 1])
    }

    /// Reports an index that an earlier kernel found out of range. The queue is idle or about to be.
    fn check_fault(&self) -> Result<()> {
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
}

/// Work-items of a group in one-dimensional kernels.
const GROUP: usize = 256;

impl Backend for Gpu {
    fn device(&self) -> Device {
        self.device
    }
    fn alloc(&self, nbytes: usize) -> Result<Buffer> {
        Ok(Buffer::Device(Box::new(self.scratch(nbytes)?)))
    }
    fn upload(&self, src: &[u8], dst: &Storage, dst_offset: usize) -> Result<()> {
        let mem = self.mem(dst)?;
        if dst_offset + src.len() > dst.nbytes() {
            bail!(Internal, "upload of {} bytes at {dst_offset} into {} bytes", src.len(), dst.nbytes());
        }
        if self.records() {
            self.note(std::iter::once(mem));
            return self.record_upload(src, mem, dst_offset);
        }
        if src.len() > 64 << 20 {
            // A copy through staging would cost more than the wait.
            count_wait();
            return self.driver.write(mem, dst_offset, src);
        }
        self.staging.upload(&*self.driver, src, mem, dst_offset)
    }
    fn download(&self, src: &Storage, src_offset: usize, dst: &mut [u8]) -> Result<()> {
        let mem = self.mem(src)?;
        if src_offset + dst.len() > src.nbytes() {
            bail!(Internal, "download of {} bytes at {src_offset} from {} bytes", dst.len(), src.nbytes());
        }
        if !dst.is_empty() {
            count_wait();
            self.driver.read(mem, src_offset, dst)?;
        }
        self.check_fault()
    }
    fn copy_bytes(&self, src: &Storage, src_offset: usize, dst: &Storage, dst_offset: usize, n: usize) -> Result<()> {
        if src_offset + n > src.nbytes() || dst_offset + n > dst.nbytes() {
            bail!(Internal, "copy_bytes of {n} bytes goes past the end");
        }
        if n == 0 {
            return Ok(());
        }
        let (from, to) = (self.mem(src)?, self.mem(dst)?);
        self.driver.copy(from, src_offset, to, dst_offset, n)?;
        self.note([from, to].into_iter());
        Ok(())
    }
    fn memory_stats(&self) -> MemoryStats {
        self.allocator.stats()
    }
    fn reset_peak_memory(&self) {
        self.allocator.reset_peak()
    }
    fn empty_cache(&self) {
        self.allocator.empty(&*self.driver)
    }
    fn synchronize(&self) -> Result<()> {
        self.check_fork()?;
        count_wait();
        self.driver.finish()?;
        self.check_fault()
    }
    fn run_program(&self, program: &Program, inputs: &[View], scalars: &[Scalar], outputs: &[View]) -> Result<()> {
        check::program(program, inputs, outputs)?;
        self.elementwise(program, inputs, scalars, outputs)
    }
    fn reduce(
        &self,
        op: ReduceOp,
        prologue: Option<&Program>,
        inputs: &[View],
        scalars: &[Scalar],
        reduced: &[bool],
        out: View,
    ) -> Result<()> {
        check::reduction(prologue, inputs, reduced, &out)?;
        self.reduction(op, prologue, inputs, scalars, reduced, out)
    }
    fn gemm_epilogue(&self, a: View, b: View, out: View, alpha: f64, beta: f64, epilogue: &Epilogue) -> Result<()> {
        check::gemm(&a, &b, &out, epilogue)?;
        self.gemm_auto(a, b, out, alpha, beta, epilogue)
    }
    fn begin_capture(&self) -> Result<()> {
        self.start_capture()
    }
    fn end_capture(&self) -> Result<Box<dyn Graph>> {
        self.finish_capture()
    }
    fn mark(&self, timing: bool) -> Result<Box<dyn Mark>> {
        self.check_fork()?;
        match self.driver.mark(timing)? {
            Some(m) => Ok(m),
            None => {
                self.synchronize()?;
                Ok(Box::new(Passed(std::time::Instant::now())))
            }
        }
    }
    fn address(&self, s: &Storage) -> Result<u64> {
        if self.driver.queue_handle()?.is_none() {
            return Err(self.keeps_apart("memory has no address that another library could use"));
        }
        Ok(self.shown(s, Reach::Default)?.handle)
    }
    unsafe fn adopt(&self, address: u64, _nbytes: usize, lender: Box<dyn HostOwner>) -> Result<Buffer> {
        self.check_fork()?;
        if self.driver.queue_handle()?.is_none() {
            return Err(self.keeps_apart("memory of another library cannot be used"));
        }
        let mem = Mem::new(address);
        // This thread's queue is the one that the lender was told to serve.
        self.driver.claim(&mem)?;
        Ok(Buffer::Device(Box::new(DeviceBuffer::lent(self.forever(), mem, lender))))
    }
    fn queue_handle(&self) -> Result<u64> {
        self.check_fork()?;
        match self.driver.queue_handle()? {
            Some(h) => Ok(h),
            None => Err(self.keeps_apart("queue has no handle that another library could use")),
        }
    }
    fn ready_on(&self, s: &Storage, foreign: u64) -> Result<()> {
        if self.driver.queue_handle()?.is_none() {
            return Err(self.keeps_apart("queue cannot be waited for by another library"));
        }
        // CUDA's default stream goes by 0 and 1.
        let mem = self.shown(s, if foreign <= 1 { Reach::Default } else { Reach::Any })?;
        self.driver.ready_on(mem, foreign)
    }
    fn memory_info(&self) -> Result<(u64, u64)> {
        match self.driver.memory_info()? {
            Some(known) => Ok(known),
            // What this process holds is taken off the total.
            None => {
                let total = self.info.global_memory;
                Ok((total.saturating_sub(self.memory_stats().reserved), total))
            }
        }
    }
    fn scan(&self, op: ScanOp, input: View, dim: usize, out: View, indices: Option<View>) -> Result<()> {
        match &indices {
            Some(i) => {
                check::int64("scan", i)?;
                check::rows("scan", &[&input, &out, i], dim)?;
            }
            None => check::rows("scan", &[&input, &out], dim)?,
        }
        self.scan_rows(op, input, dim, out, indices)
    }
    fn softmax(&self, log: bool, input: View, dim: usize, out: View) -> Result<()> {
        check::rows("softmax", &[&input, &out], dim)?;
        check::same_dtype("softmax", &[&input, &out])?;
        self.softmax_rows(log, &[input, out], dim)
    }
    fn softmax_backward(&self, log: bool, grad: View, output: View, dim: usize, out: View) -> Result<()> {
        check::rows("softmax_backward", &[&grad, &output, &out], dim)?;
        check::same_dtype("softmax_backward", &[&grad, &output, &out])?;
        self.softmax_rows(log, &[grad, output, out], dim)
    }
    fn sort(&self, input: View, dim: usize, descending: bool, values: View, indices: View) -> Result<()> {
        check::rows("sort", &[&input, &values, &indices], dim)?;
        check::same_dtype("sort", &[&input, &values])?;
        check::int64("sort", &indices)?;
        self.sort_rows(input, dim, descending, values, indices, self.info.kind == "cpu")
    }
    fn conv(&self, input: View, weight: View, bias: Option<View>, p: &ConvParams, out: View) -> Result<()> {
        check::conv("conv", &input, &weight, bias.as_ref(), &out, p)?;
        self.conv_forward(None, input, weight, bias, p, out)
    }
    fn conv_backward_input(&self, grad: View, weight: View, p: &ConvParams, grad_input: View) -> Result<()> {
        check::conv("conv_backward_input", &grad_input, &weight, None, &grad, p)?;
        self.conv_input_gradient(None, grad, weight, p, grad_input)
    }
    fn conv_backward_weight(&self, grad: View, input: View, p: &ConvParams, grad_weight: View) -> Result<()> {
        check::conv("conv_backward_weight", &input, &grad_weight, None, &grad, p)?;
        self.conv_weight_gradient(None, grad, input, p, grad_weight)
    }
    fn max_pool(&self, input: View, p: &PoolParams, out: View, indices: View) -> Result<()> {
        check::pool("max_pool", &input, &out, p)?;
        check::same_dtype("max_pool", &[&input, &out])?;
        check::pool_indices("max_pool", &out, &indices)?;
        self.max_pool_forward(input, p, out, indices)
    }
    fn max_pool_backward(&self, grad: View, indices: View, p: &PoolParams, grad_input: View) -> Result<()> {
        check::pool("max_pool_backward", &grad_input, &grad, p)?;
        check::same_dtype("max_pool_backward", &[&grad_input, &grad])?;
        check::pool_indices("max_pool_backward", &grad, &indices)?;
        self.max_pool_gradient(grad, indices, p, grad_input)
    }
    fn avg_pool(&self, input: View, p: &PoolParams, pad: bool, divisor: Option<i64>, out: View) -> Result<()> {
        check::pool("avg_pool", &input, &out, p)?;
        check::same_dtype("avg_pool", &[&input, &out])?;
        self.avg_pool_forward(input, p, pool::divisor_code(pad, divisor), out)
    }
    fn avg_pool_backward(
        &self,
        grad: View,
        p: &PoolParams,
        count_include_pad: bool,
        divisor: Option<i64>,
        grad_input: View,
    ) -> Result<()> {
        check::pool("avg_pool_backward", &grad_input, &grad, p)?;
        check::same_dtype("avg_pool_backward", &[&grad_input, &grad])?;
        self.avg_pool_gradient(grad, p, pool::divisor_code(count_include_pad, divisor), grad_input)
    }
    fn gather(&self, input: View, dim: usize, index: View, out: View) -> Result<()> {
        check::gather(&input, dim, &index, &out)?;
        self.gather_rows(input, dim, index, out)
    }
    fn scatter(&self, op: ScatterOp, out: View, dim: usize, index: View, src: View) -> Result<()> {
        check::scatter(&out, dim, &index, &src)?;
        self.scatter_rows(op, out, dim, index, src)
    }
    fn index(&self, input: View, indices: &[View], out: View) -> Result<()> {
        check::index("index", &input, indices, &out)?;
        self.index_get(input, indices, out)
    }
    fn index_put(&self, out: View, indices: &[View], values: View, accumulate: bool) -> Result<()> {
        check::index("index_put_", &out, indices, &values)?;
        // A CPU has few threads: what remains of the shape occupies them, and no sort is needed.
        self.index_write(out, indices, values, accumulate, self.info.kind != "cpu")
    }
    fn check_values(&self, input: View, low: Scalar, high: Scalar, what: ValueCheck) -> Result<()> {
        self.check_range(input, low, high, what)
    }
    fn nonzero(&self, input: View) -> Result<Vec<i64>> {
        self.nonzero_positions(input)
    }
    fn random(&self, dist: Distribution, generator: &Generator, out: View) -> Result<()> {
        self.random_fill(dist, generator, out)
    }
    fn recording(&self) -> bool {
        self.records()
    }
    fn optimizer_step(
        &self,
        kind: &StepKind,
        tensors: &[StepTensors],
        live: Option<(&Arc<LiveStep>, bool)>,
    ) -> Result<()> {
        check::step(tensors, tensors.first().map_or(0, |t| t.state.len()))?;
        self.optimizer(kind, tensors, live)
    }
}
