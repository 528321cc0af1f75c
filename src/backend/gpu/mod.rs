//! What OpenCL and CUDA share: planning of launches, kernels and their cache, device memory.
//!
//! A device is reached through its [`driver::Driver`]. Work is queued in order and the host waits only where a value
//! is read. Kernels come from `backend::kernels`, specialised by macros and built on first use. An index that is out
//! of range cannot be seen when the kernel is queued: the kernel leaves memory alone, notes it, and the next read or
//! `synchronize` reports it.

mod capture;
pub(crate) mod compile;
mod conv;
mod conv_rows;
mod counters;
mod device;
pub mod driver;
mod elementwise;
mod fill;
mod gemm;
mod graph;
mod kept;
mod memory;
pub(crate) mod plan;
mod pool;
mod reduce;
mod rows;
#[cfg(feature = "tests")]
pub(crate) mod tests;
mod tile;
pub(crate) mod tune;

pub use compile::{cache_dir, compile_counts, trusted};
pub use counters::{host_waits, kernels_launched};
pub use device::Gpu;

use crate::backend::check;
use crate::backend::memory::MemoryStats;
use crate::backend::storage::{Buffer, HostOwner};
use device::*;

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
