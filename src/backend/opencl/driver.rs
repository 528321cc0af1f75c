//! One OpenCL device as the shared backend's driver.

use super::cl::{self, Context, DeviceId, Program, Queue};
use super::device::Found;
use crate::backend::gpu::driver::{Arg, Driver, Event, Kernel, Mem};
use crate::backend::info::DeviceInfo;
use crate::backend::kernels;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::sync::age;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

/// Context and in-order queue of a device.
pub struct OpenCl {
    id: DeviceId,
    info: DeviceInfo,
    context: Context,
    queue: Arc<Queue>,
}

/// Every device's queue.
static QUEUES: Mutex<Vec<Arc<Queue>>> = Mutex::new(Vec::new());

/// Has the process wait for queued work before it ends: PoCL's threads compile and run kernels while `exit` takes down
/// what they need, and die of it. Handlers run in reverse order, so this one comes before those that the driver's libraries
/// registered until now.
fn finish_at_exit() {
    extern "C" fn finish() {
        finish_all();
    }
    AGE.store(age(), Ordering::Relaxed);
    // SAFETY: the function may run at any time and lives as long as the library, which the linker keeps loaded.
    unsafe { libc::atexit(finish) };
}
static AGE: AtomicU32 = AtomicU32::new(0);

fn finish_all() {
    // A forked child has none of the driver's threads, which it would wait for without end.
    if AGE.load(Ordering::Relaxed) != age() {
        return;
    }
    let Some(queues) = QUEUES.try_lock() else { return };
    for queue in queues.iter() {
        let _ = queue.finish();
    }
}

/// PoCL compiles a kernel again for each new size of groups, when it runs, on a thread of its own: handlers that its compiler
/// registers then come after ours, and run before it. What is local to the thread that calls `exit`, though, goes before all
/// handlers. So a thread that launched kernels waits for them when it ends. (The first launch of each kernel is waited for in any
/// case, for a thread may end while another one is calling `exit` already.)
struct Launched;
impl Drop for Launched {
    fn drop(&mut self) {
        finish_all();
    }
}
thread_local! {
    static LAUNCHED: Launched = const { Launched };
}

impl OpenCl {
    pub fn new(found: &Found) -> Result<OpenCl> {
        let context = Context::new(found.id)?;
        let queue = Arc::new(context.queue(found.id)?);
        QUEUES.lock().push(queue.clone());
        finish_at_exit();
        Ok(OpenCl { id: found.id, info: found.info.clone(), context, queue })
    }

    fn options(&self) -> &'static str {
        if self.info.exact_divide {
            "-cl-std=CL1.2 -w -cl-fp32-correctly-rounded-divide-sqrt"
        } else {
            "-cl-std=CL1.2 -w"
        }
    }

    fn kernel(&self, name: &'static str, program: &Program) -> Result<Box<dyn Kernel>> {
        let state = Mutex::new(State { kernel: program.kernel(name)?, set: SmallVec::new(), ran: false });
        Ok(Box::new(ClKernel { queue: self.queue.clone(), state, name }))
    }
}

/// Arguments are set under the lock, which also keeps them until the launch is queued.
struct ClKernel {
    queue: Arc<Queue>,
    state: Mutex<State>,
    name: &'static str,
}

struct State {
    kernel: cl::Kernel,
    /// The bytes that each argument holds: layouts and sizes repeat from call to call. Buffers are always set anew, for
    /// a handle may have been given to another one.
    set: SmallVec<[SmallVec<[u8; 64]>; 8]>,
    /// Whether a launch has been waited for.
    ran: bool,
}

impl State {
    fn set_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        if self.set.len() <= index {
            self.set.resize_with(index + 1, SmallVec::new);
        }
        if self.set[index][..] == *bytes {
            return Ok(());
        }
        // What the argument is after a failure is not known.
        self.set[index].clear();
        self.kernel.set_bytes(index as u32, bytes)?;
        self.set[index].extend_from_slice(bytes);
        Ok(())
    }
}

impl Kernel for ClKernel {
    fn launch(&self, args: &[Arg], size: &[usize; 3], local: &[usize; 3]) -> Result<()> {
        // The first time on a thread, this registers the end of what is local to it; where that has come, nothing does.
        let _ = LAUNCHED.try_with(|_| ());
        let mut state = self.state.lock();
        for (i, a) in args.iter().enumerate() {
            match a {
                Arg::Mem(m) => state.kernel.set_mem(i as u32, m),
                Arg::Bytes(b) => state.set_bytes(i, b),
            }
            .map_err(|mut e| {
                e.message = format!("{} of kernel {}", e.message, self.name);
                e
            })?;
        }
        self.queue.launch(&state.kernel, size, local).map_err(|mut e| {
            e.message = format!("{} for kernel {} of {size:?} by {local:?} work-items", e.message, self.name);
            e
        })?;
        if !state.ran {
            // The driver compiles it now; once that is done, our handler comes after its compiler's.
            self.queue.finish()?;
            state.ran = true;
            finish_at_exit();
        }
        Ok(())
    }
}

impl Event for cl::Event {
    fn is_complete(&self) -> bool {
        cl::Event::is_complete(self)
    }
    fn wait(&self) -> Result<()> {
        cl::Event::wait(self)
    }
}

impl Driver for OpenCl {
    fn alloc(&self, nbytes: usize) -> Result<Mem> {
        self.context.buffer(nbytes, false).map_err(|code| match cl::is_out_of_memory(code) {
            true => Error::new(ErrorKind::OutOfMemory, format!("{}, {code}", cl::error_name(code))),
            false => cl::check(code, "clCreateBuffer").expect_err("the code is an error"),
        })
    }
    fn free(&self, mem: Mem) {
        cl::release(mem);
    }
    fn pinned(&self, nbytes: usize) -> Result<NonNull<u8>> {
        let mem = self.context.buffer(nbytes, true);
        let mem = mem.map_err(|c| cl::check(c, "clCreateBuffer").expect_err("the code is an error"))?;
        // Neither unmapped nor released.
        self.queue.map(&mem, nbytes)
    }

    fn prelude(&self) -> String {
        let mut out = String::new();
        if self.info.fp64 {
            out += "#define HAVE_FP64 1\n";
        }
        if self.info.fp16 {
            out += "#define HAVE_FP16 1\n";
        }
        if self.info.kind == "cpu" {
            out += "#define SLOW_LOG 1\n";
        }
        out + kernels::PRELUDE_OPENCL
    }
    fn build_key(&self) -> Result<String> {
        let i = &self.info;
        let names = [&i.platform, &i.platform_version, &i.name, &i.version, &i.driver].map(String::as_str);
        Ok([&names.join("\n"), "\n", self.options()].concat())
    }
    fn build(&self, name: &'static str, source: &str, keep: bool) -> Result<(Box<dyn Kernel>, Option<Vec<u8>>)> {
        let program = self.context.program_from_source(source)?;
        program.build(self.id, self.options())?;
        let binary = if keep { program.binary() } else { None };
        Ok((self.kernel(name, &program)?, binary))
    }
    fn load(&self, name: &'static str, binary: &[u8]) -> Result<Box<dyn Kernel>> {
        let program = self.context.program_from_binary(self.id, binary)?;
        program.build(self.id, self.options())?;
        self.kernel(name, &program)
    }

    fn read(&self, mem: &Mem, offset: usize, dst: &mut [u8]) -> Result<()> {
        self.queue.read(mem, offset, dst)
    }
    fn write(&self, mem: &Mem, offset: usize, src: &[u8]) -> Result<()> {
        self.queue.write(mem, offset, src)
    }
    unsafe fn write_async(&self, mem: &Mem, offset: usize, src: *const u8, n: usize) -> Result<Box<dyn Event>> {
        Ok(Box::new(self.queue.write_async(mem, offset, src, n)?))
    }
    fn copy(&self, src: &Mem, src_offset: usize, dst: &Mem, dst_offset: usize, n: usize) -> Result<()> {
        self.queue.copy(src, src_offset, dst, dst_offset, n)
    }
    fn flush(&self) -> Result<()> {
        self.queue.flush()
    }
    fn finish(&self) -> Result<()> {
        self.queue.finish()
    }
}
