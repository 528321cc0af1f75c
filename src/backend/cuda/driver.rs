//! One CUDA device as the shared backend's driver.

use super::api::{check, queued};
use super::nvrtc::{self, Target};
use super::stream::{buffers, Stream, Streams};
use super::{blas, dnn};
use crate::backend::gpu::driver::*;
use crate::backend::info::DeviceInfo;
use crate::backend::kernels;
use crate::backend::Mark;
use crate::bail;
use crate::base::error::{Error, ErrorKind, Result};
use cudarc::driver::sys::{self as cu, CUevent, CUfunction, CUgraphExec, CUresult};
use std::ffi::{c_void, CString};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

pub struct Cuda {
    info: DeviceInfo,
    streams: Arc<Streams>,
    target: OnceLock<Result<Target>>,
}

impl Cuda {
    pub fn new(index: u16, info: DeviceInfo) -> Result<Cuda> {
        Ok(Cuda { info, streams: Streams::new(index as usize)?, target: OnceLock::new() })
    }

    fn target(&self) -> Result<&Target> {
        let (major, minor) = self.info.capability;
        self.target.get_or_init(|| nvrtc::target((major * 10 + minor) as i32)).as_ref().map_err(Clone::clone)
    }

    /// This thread's stream, where a wait is allowed.
    fn waiting(&self, what: &str) -> Result<&'static Stream> {
        let s = self.streams.current()?;
        if s.capturing.load(Ordering::Relaxed) {
            bail!(Runtime, "CUDA: {what} while a graph is captured: the value is not known before a replay");
        }
        Ok(s)
    }
}

struct CudaKernel {
    streams: Arc<Streams>,
    function: CUfunction,
    name: &'static str,
}
// SAFETY: a function of a module that is never unloaded.
unsafe impl Send for CudaKernel {}
unsafe impl Sync for CudaKernel {}

impl Kernel for CudaKernel {
    fn launch(&self, args: &[Arg], size: &[usize; 3], local: &[usize; 3]) -> Result<()> {
        let stream = self.streams.current()?;
        let mut pointers: smallvec::SmallVec<[*mut c_void; 32]> = args
            .iter()
            .map(|a| match a {
                Arg::Mem(m) => ptr::from_ref(&m.handle) as *mut c_void,
                Arg::Bytes(b) => b.as_ptr() as *mut c_void,
            })
            .collect();
        let grid = [0, 1, 2].map(|d| size[d] / local[d]);
        if grid[0] > i32::MAX as usize || grid[1] > 65535 || grid[2] > 65535 {
            bail!(Runtime, "CUDA: kernel {} would need {grid:?} blocks, more than a device takes", self.name);
        }
        let _order = self.streams.order(stream, buffers(args))?;
        // SAFETY: one pointer per parameter, each to as many bytes as the kernel's parameter has; they are read
        // before the call returns.
        let code = unsafe {
            cu::cuLaunchKernel(
                self.function,
                grid[0] as u32,
                grid[1] as u32,
                grid[2] as u32,
                local[0] as u32,
                local[1] as u32,
                local[2] as u32,
                0,
                stream.raw,
                pointers.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        queued(self.name);
        if code == CUresult::CUDA_SUCCESS {
            return Ok(());
        }
        check(code, "cuLaunchKernel").map_err(|mut e| {
            e.message = format!("{} for kernel {} of {grid:?} blocks of {local:?} threads", e.message, self.name);
            e
        })
    }
}

struct CudaEvent(CUevent, Arc<Streams>);
// SAFETY: events may be used from any thread.
unsafe impl Send for CudaEvent {}
impl Event for CudaEvent {
    fn is_complete(&self) -> bool {
        // SAFETY: a live event.
        self.1.enter().is_ok() && unsafe { cu::cuEventQuery(self.0) } != CUresult::CUDA_ERROR_NOT_READY
    }
    fn wait(&self) -> Result<()> {
        self.1.enter()?;
        // SAFETY: a live event.
        check(unsafe { cu::cuEventSynchronize(self.0) }, "cuEventSynchronize")
    }
}
impl Drop for CudaEvent {
    fn drop(&mut self) {
        // SAFETY: this value owns the event.
        unsafe {
            let _ = cu::cuEventDestroy_v2(self.0);
        }
    }
}
/// A point of a stream.
struct CudaMark(CudaEvent);
// SAFETY: events may be used from any thread.
unsafe impl Sync for CudaMark {}
impl Mark for CudaMark {
    fn is_done(&self) -> Result<bool> {
        self.0 .1.enter()?;
        // SAFETY: a live event.
        match unsafe { cu::cuEventQuery(self.0 .0) } {
            CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            code => check(code, "cuEventQuery").map(|()| true),
        }
    }
    fn wait(&self) -> Result<()> {
        self.0.wait()
    }
    fn order(&self) -> Result<()> {
        let s = self.0 .1.current()?;
        if s.capturing.load(Ordering::Relaxed) {
            bail!(Runtime, "CUDA: an event from before cannot be waited for while a graph is captured");
        }
        // SAFETY: a live event and stream.
        check(unsafe { cu::cuStreamWaitEvent(s.raw, self.0 .0, 0) }, "cuStreamWaitEvent")
    }
    fn millis_since(&self, earlier: &dyn Mark) -> Result<f64> {
        let same = |m: &&CudaMark| Arc::ptr_eq(&m.0 .1, &self.0 .1);
        let Some(earlier) = earlier.as_any().downcast_ref::<CudaMark>().filter(same) else {
            bail!(Value, "both events must be of the same device");
        };
        self.0 .1.enter()?;
        let mut out = 0f32;
        // Its second form, which cudarc names, is missing in drivers before CUDA 12.8.
        type ElapsedTime = unsafe extern "C" fn(*mut f32, CUevent, CUevent) -> CUresult;
        // SAFETY: the function has this signature since CUDA 2; two live events and an out-pointer.
        let code = unsafe {
            match cu::culib().get::<ElapsedTime>(b"cuEventElapsedTime") {
                Ok(f) => f(&mut out, earlier.0 .0, self.0 .0),
                Err(_) => cu::cuEventElapsedTime_v2(&mut out, earlier.0 .0, self.0 .0),
            }
        };
        check(code, "cuEventElapsedTime")?;
        Ok(out as f64)
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
/// A copy that is part of a graph.
struct Recorded;
impl Event for Recorded {
    fn is_complete(&self) -> bool {
        true
    }
    fn wait(&self) -> Result<()> {
        Ok(())
    }
}

/// A captured graph; it replays on the stream that captured it.
struct CudaGraph {
    exec: CUgraphExec,
    stream: &'static Stream,
    streams: Arc<Streams>,
}
// SAFETY: launches are ordered by the streams' lock.
unsafe impl Send for CudaGraph {}
unsafe impl Sync for CudaGraph {}
impl Recording for CudaGraph {
    fn replay(&self) -> Result<()> {
        self.streams.enter()?;
        if self.stream.capturing.load(Ordering::Relaxed) {
            bail!(Runtime, "CUDA: a graph cannot be replayed while another one is captured");
        }
        // SAFETY: a live graph and stream.
        let launch = || check(unsafe { cu::cuGraphLaunch(self.exec, self.stream.raw) }, "cuGraphLaunch");
        self.streams.order_all(self.stream, launch)
    }
}
impl Drop for CudaGraph {
    fn drop(&mut self) {
        // SAFETY: this value owns the graph; its memory is reused only by work ordered after it, so it need not be done.
        unsafe {
            if self.streams.enter().is_ok() {
                // A stream that records cannot be waited for; the driver itself keeps a graph until it is done.
                if !self.stream.capturing.load(Ordering::Relaxed) {
                    let _ = cu::cuStreamSynchronize(self.stream.raw);
                }
                let _ = cu::cuGraphExecDestroy(self.exec);
            }
        }
    }
}

impl Driver for Cuda {
    fn alloc(&self, nbytes: usize) -> Result<Mem> {
        self.streams.enter()?;
        let mut at = 0;
        // SAFETY: an out-pointer to a local.
        check(unsafe { cu::cuMemAlloc_v2(&mut at, nbytes) }, "cuMemAlloc")?;
        Ok(Mem::new(at))
    }
    fn free(&self, mem: Mem) {
        // SAFETY: memory of `alloc`; cuMemFree waits for work that uses it.
        unsafe {
            if self.streams.enter().is_ok() {
                let _ = cu::cuMemFree_v2(mem.handle);
            }
        }
    }
    fn pinned(&self, nbytes: usize) -> Result<NonNull<u8>> {
        self.streams.enter()?;
        let mut p = ptr::null_mut();
        // SAFETY: an out-pointer to a local.
        check(unsafe { cu::cuMemHostAlloc(&mut p, nbytes, 0) }, "cuMemHostAlloc")?;
        NonNull::new(p.cast()).ok_or_else(|| Error::new(ErrorKind::Runtime, "CUDA: cuMemHostAlloc gave NULL"))
    }
    unsafe fn unpin(&self, ptr: NonNull<u8>) {
        if self.streams.enter().is_ok() {
            let _ = cu::cuMemFreeHost(ptr.as_ptr().cast());
        }
    }
    fn memory_info(&self) -> Result<Option<(u64, u64)>> {
        self.streams.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: out-pointers to locals.
        check(unsafe { cu::cuMemGetInfo_v2(&mut free, &mut total) }, "cuMemGetInfo")?;
        Ok(Some((free as u64, total as u64)))
    }

    fn prelude(&self) -> String {
        kernels::PRELUDE_CUDA.to_string()
    }
    fn build_key(&self) -> Result<String> {
        let t = self.target()?;
        Ok(format!("CUDA {} {} {} {:?}", t.arch, t.version, self.info.driver, nvrtc::OPTIONS))
    }
    fn build(&self, name: &'static str, source: &str, _keep: bool) -> Result<(Box<dyn Kernel>, Option<Vec<u8>>)> {
        let mut binary = nvrtc::compile(source, name, self.target()?)?;
        let kernel = self.load(name, &binary)?;
        binary.shrink_to_fit();
        Ok((kernel, Some(binary)))
    }
    fn load(&self, name: &'static str, binary: &[u8]) -> Result<Box<dyn Kernel>> {
        self.streams.enter()?;
        let cname = CString::new(name).map_err(|_| Error::new(ErrorKind::Internal, "a NUL in a kernel's name"))?;
        let (mut module, mut function) = (ptr::null_mut(), ptr::null_mut());
        // PTX is read up to a NUL; it brings one, but a file that was damaged might not.
        let image = [binary, &[0]].concat();
        // SAFETY: a whole image; out-pointers to locals. The module is never unloaded.
        unsafe {
            check(cu::cuModuleLoadData(&mut module, image.as_ptr().cast()), "cuModuleLoadData")?;
            check(cu::cuModuleGetFunction(&mut function, module, cname.as_ptr()), "cuModuleGetFunction")?;
        }
        Ok(Box::new(CudaKernel { streams: self.streams.clone(), function, name }))
    }

    fn read(&self, mem: &Mem, offset: usize, dst: &mut [u8]) -> Result<()> {
        let s = self.waiting("a tensor was read")?;
        {
            let _order = self.streams.order(s, std::iter::once(mem))?;
            // SAFETY: the destination stays borrowed until the stream is synchronised below.
            let code = unsafe {
                cu::cuMemcpyDtoHAsync_v2(dst.as_mut_ptr().cast(), mem.handle + offset as u64, dst.len(), s.raw)
            };
            check(code, "cuMemcpyDtoHAsync")?;
        }
        // SAFETY: a live stream.
        check(unsafe { cu::cuStreamSynchronize(s.raw) }, "cuStreamSynchronize")
    }
    fn write(&self, mem: &Mem, offset: usize, src: &[u8]) -> Result<()> {
        let s = self.waiting("a large tensor was copied to the device")?;
        {
            let _order = self.streams.order(s, std::iter::once(mem))?;
            // SAFETY: the source stays borrowed until the stream is synchronised below.
            let code =
                unsafe { cu::cuMemcpyHtoDAsync_v2(mem.handle + offset as u64, src.as_ptr().cast(), src.len(), s.raw) };
            check(code, "cuMemcpyHtoDAsync")?;
        }
        // SAFETY: a live stream.
        check(unsafe { cu::cuStreamSynchronize(s.raw) }, "cuStreamSynchronize")
    }
    unsafe fn write_async(&self, mem: &Mem, offset: usize, src: *const u8, n: usize) -> Result<Box<dyn Event>> {
        let s = self.streams.current()?;
        let _order = self.streams.order(s, std::iter::once(mem))?;
        check(cu::cuMemcpyHtoDAsync_v2(mem.handle + offset as u64, src.cast(), n, s.raw), "cuMemcpyHtoDAsync")?;
        if s.capturing.load(Ordering::Relaxed) {
            return Ok(Box::new(Recorded));
        }
        let mut event = ptr::null_mut();
        check(cu::cuEventCreate(&mut event, 2), "cuEventCreate")?;
        let event = Box::new(CudaEvent(event, self.streams.clone()));
        check(cu::cuEventRecord(event.0, s.raw), "cuEventRecord")?;
        Ok(event)
    }
    fn copy(&self, src: &Mem, src_offset: usize, dst: &Mem, dst_offset: usize, n: usize) -> Result<()> {
        let s = self.streams.current()?;
        let _order = self.streams.order(s, [src, dst].into_iter())?;
        // SAFETY: the caller checked both ranges.
        let code = unsafe {
            cu::cuMemcpyDtoDAsync_v2(dst.handle + dst_offset as u64, src.handle + src_offset as u64, n, s.raw)
        };
        check(code, "cuMemcpyDtoDAsync")
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn finish(&self) -> Result<()> {
        self.waiting("the device was synchronised")?;
        self.streams.finish()
    }
    fn mark(&self, timing: bool) -> Result<Option<Box<dyn Mark>>> {
        let s = self.waiting("an event was recorded")?;
        let mut event = ptr::null_mut();
        // SAFETY: an out-pointer to a local; a live stream. Flag: CU_EVENT_DISABLE_TIMING.
        unsafe {
            check(cu::cuEventCreate(&mut event, if timing { 0 } else { 2 }), "cuEventCreate")?;
            let mark = CudaMark(CudaEvent(event, self.streams.clone()));
            check(cu::cuEventRecord(event, s.raw), "cuEventRecord")?;
            Ok(Some(Box::new(mark)))
        }
    }
    fn queue_handle(&self) -> Result<Option<u64>> {
        Ok(Some(self.streams.current()?.raw as u64))
    }
    fn ready_on(&self, mem: &Mem, foreign: u64) -> Result<()> {
        self.streams.ready_on(mem, foreign)
    }
    fn after_others(&self, mem: &Mem, reach: Reach) -> Result<()> {
        self.streams.after_others(mem, reach == Reach::Any)
    }
    fn settle(&self, mem: &Mem) -> Result<()> {
        self.streams.settle(mem)
    }

    fn claim(&self, mem: &Mem) -> Result<()> {
        self.streams.order(self.streams.current()?, std::iter::once(mem)).map(drop)
    }
    fn product(&self, call: &Product) -> Result<bool> {
        blas::product(&self.streams, self.streams.current()?, call)
    }
    fn convolution(&self, call: &Convolution, scratch: &mut dyn FnMut(usize) -> Result<u64>) -> Result<bool> {
        dnn::convolution(&self.streams, self.streams.current()?, call, scratch)
    }

    fn begin_capture(&self) -> Result<()> {
        let s = self.streams.current()?;
        // Made now: making them in the recording would wait for the device.
        blas::prepare(s)?;
        dnn::prepare(s)?;
        self.finish()?;
        let _gate = self.streams.gate.write();
        let mode = cu::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: a live stream.
        check(unsafe { cu::cuStreamBeginCapture_v2(s.raw, mode) }, "cuStreamBeginCapture")?;
        self.streams.renumber(s);
        s.capturing.store(true, Ordering::Relaxed);
        Ok(())
    }
    fn end_capture(&self) -> Result<Box<dyn Recording>> {
        let stream = self.streams.current()?;
        if !stream.capturing.swap(false, Ordering::Relaxed) {
            bail!(Runtime, "CUDA: this thread captures no graph");
        }
        let (mut graph, mut exec) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: out-pointers to locals; the graph itself is not needed once it is instantiated.
        unsafe {
            check(cu::cuStreamEndCapture(stream.raw, &mut graph), "cuStreamEndCapture")?;
            let made = check(cu::cuGraphInstantiateWithFlags(&mut exec, graph, 0), "cuGraphInstantiate");
            let _ = cu::cuGraphDestroy(graph);
            made?;
        }
        Ok(Box::new(CudaGraph { exec, stream, streams: self.streams.clone() }))
    }
}
