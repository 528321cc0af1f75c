//! Streams: each thread has its own, and memory that crosses from one to another is ordered by events.

use super::api::check;
use super::handles::{Blas, Dnn};
use crate::backend::gpu::driver::{Arg, Mem};
use crate::bail;
use crate::base::error::{Error, ErrorKind, Result};
use cudarc::driver::sys::{self as cu, CUcontext, CUevent, CUstream};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::cell::RefCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;

/// A stream and what the libraries keep for it. Made once, lent to one thread at a time, never destroyed.
pub struct Stream {
    pub raw: CUstream,
    /// Recorded when another stream must wait for what is queued here.
    mark: CUevent,
    /// Counted from 1; `Mem::queue` says which stream used the memory last. A capture gives the stream a new one: what
    /// bears the old one was done before.
    number: AtomicU32,
    pub capturing: AtomicBool,
    pub blas: Mutex<Option<Blas>>,
    pub dnn: Mutex<Option<Dnn>>,
}
// SAFETY: streams and events may be used from any thread; library handles lie behind locks.
unsafe impl Send for Stream {}
unsafe impl Sync for Stream {}

impl Stream {
    fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }
}

/// A device's context and streams.
pub struct Streams {
    index: usize,
    context: CUcontext,
    /// By number.
    all: RwLock<Vec<&'static Stream>>,
    idle: Mutex<Vec<&'static Stream>>,
    /// Held for writing while a capture begins, for reading while the whole device is waited for.
    pub gate: RwLock<()>,
    /// Held from the look at a buffer's last user until the work is queued and the buffer marked.
    order: Mutex<()>,
}
// SAFETY: a context may be current in any number of threads.
unsafe impl Send for Streams {}
unsafe impl Sync for Streams {}

/// A stream in a thread's hands.
struct Lease {
    stream: &'static Stream,
    home: Arc<Streams>,
}
impl Drop for Lease {
    fn drop(&mut self) {
        self.home.idle.lock().push(self.stream);
    }
}

thread_local! {
    static LEASES: RefCell<Vec<Option<Lease>>> = const { RefCell::new(Vec::new()) };
}

impl Streams {
    /// The streams of a device, over its primary context (which PyTorch uses too).
    pub fn new(index: usize) -> Result<Arc<Streams>> {
        let (mut device, mut context) = (0, ptr::null_mut());
        // SAFETY: out-pointers to locals; the context is kept until the process ends.
        unsafe {
            check(cu::cuDeviceGet(&mut device, index as i32), "cuDeviceGet")?;
            check(cu::cuDevicePrimaryCtxRetain(&mut context, device), "cuDevicePrimaryCtxRetain")?;
        }
        let (all, idle, order) = (RwLock::default(), Mutex::default(), Mutex::default());
        Ok(Arc::new(Streams { index, context, all, idle, gate: RwLock::default(), order }))
    }

    /// Makes the device's context the thread's.
    pub fn enter(&self) -> Result<()> {
        // SAFETY: the context lives as long as the process.
        check(unsafe { cu::cuCtxSetCurrent(self.context) }, "cuCtxSetCurrent")
    }

    /// This thread's stream, with the device's context made current.
    pub fn current(self: &Arc<Self>) -> Result<&'static Stream> {
        self.enter()?;
        let found = LEASES.try_with(|l| -> Result<&'static Stream> {
            if let Some(Some(lease)) = l.borrow().get(self.index) {
                return Ok(lease.stream);
            }
            let idle = self.idle.lock().pop();
            let stream = match idle {
                Some(s) => s,
                None => self.make()?,
            };
            let mut list = l.borrow_mut();
            while list.len() <= self.index {
                list.push(None);
            }
            list[self.index] = Some(Lease { stream, home: self.clone() });
            Ok(stream)
        });
        found.unwrap_or_else(|_| Err(Error::new(ErrorKind::Runtime, "CUDA: the thread is ending and has no stream")))
    }

    fn make(&self) -> Result<&'static Stream> {
        let (mut raw, mut mark) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: out-pointers to locals. Flags: CU_STREAM_NON_BLOCKING, CU_EVENT_DISABLE_TIMING.
        unsafe {
            check(cu::cuStreamCreate(&mut raw, 1), "cuStreamCreate")?;
            check(cu::cuEventCreate(&mut mark, 2), "cuEventCreate")?;
        }
        let mut all = self.all.write();
        let number = all.len() as u32 + 1;
        let stream: &'static Stream = Box::leak(Box::new(Stream {
            raw,
            mark,
            number: AtomicU32::new(number),
            capturing: AtomicBool::new(false),
            blas: Mutex::default(),
            dnn: Mutex::default(),
        }));
        all.push(stream);
        Ok(stream)
    }

    /// Gives a stream that begins to record a new number; nothing is queued on it.
    pub fn renumber(&self, stream: &'static Stream) {
        let mut all = self.all.write();
        all.push(stream);
        stream.number.store(all.len() as u32, Ordering::Relaxed);
    }

    /// Every stream once.
    fn streams(&self) -> Vec<&'static Stream> {
        let all = self.all.read();
        all.iter().enumerate().filter(|(i, s)| s.number() == *i as u32 + 1).map(|(_, s)| *s).collect()
    }

    /// Makes `stream` wait for what is queued on `other`.
    fn wait_for(&self, stream: &Stream, other: &Stream) -> Result<()> {
        if other.capturing.load(Ordering::Relaxed) {
            bail!(Runtime, "CUDA: a tensor is used by this thread while another one captures a graph with it");
        }
        // SAFETY: both streams and the event live forever; a wait takes the event as recorded now.
        unsafe {
            check(cu::cuEventRecord(other.mark, other.raw), "cuEventRecord")?;
            check(cu::cuStreamWaitEvent(stream.raw, other.mark, 0), "cuStreamWaitEvent")
        }
    }

    /// Begins to queue work on `stream` that touches these buffers: it is ordered after their last use. The work is
    /// queued while the guard is held.
    pub fn order<'a, 'b>(&'a self, stream: &Stream, mems: impl Iterator<Item = &'b Mem>) -> Result<MutexGuard<'a, ()>> {
        let guard = self.order.lock();
        for m in mems {
            let (last, number) = (m.queue.load(Ordering::Relaxed), stream.number());
            if last != number {
                // A capture begins with an idle device and takes no event from outside.
                if last != 0 && !stream.capturing.load(Ordering::Relaxed) {
                    let other = self.all.read()[last as usize - 1];
                    let before = other.capturing.load(Ordering::Relaxed) && other.number() != last;
                    if !before && !ptr::eq(other, stream) {
                        self.wait_for(stream, other)?;
                    }
                }
                m.queue.store(number, Ordering::Relaxed);
            }
        }
        Ok(guard)
    }

    /// Runs `f`, which queues work of unknown buffers on `stream`, after all other streams and before what they do next.
    pub fn order_all(&self, stream: &Stream, f: impl FnOnce() -> Result<()>) -> Result<()> {
        let _guard = self.order.lock();
        let all = self.streams();
        for other in all.iter().filter(|s| !ptr::eq(**s, stream)) {
            self.wait_for(stream, other)?;
        }
        f()?;
        for other in all.iter().filter(|s| !ptr::eq(**s, stream)) {
            self.wait_for(other, stream)?;
        }
        Ok(())
    }
}

/// A stream of another library: CUDA's default stream goes by 0 and 1.
fn foreign(handle: u64) -> CUstream {
    handle.max(1) as CUstream
}

impl Streams {
    /// Waits for all work of the device, or, while a thread captures, of the streams that record nothing.
    pub fn finish(&self) -> Result<()> {
        let _gate = self.gate.read();
        let all = self.streams();
        if !all.iter().any(|s| s.capturing.load(Ordering::Relaxed)) {
            // SAFETY: the context is current.
            return check(unsafe { cu::cuCtxSynchronize() }, "cuCtxSynchronize");
        }
        for s in all.iter().filter(|s| !s.capturing.load(Ordering::Relaxed)) {
            // SAFETY: a live stream.
            check(unsafe { cu::cuStreamSynchronize(s.raw) }, "cuStreamSynchronize")?;
        }
        Ok(())
    }

    /// Waits for the stream that used a buffer last. A graph that is captured keeps its memory itself.
    pub fn settle(&self, mem: &Mem) -> Result<()> {
        let last = mem.queue.load(Ordering::Relaxed);
        if last == 0 {
            return Ok(());
        }
        self.enter()?;
        let stream = self.all.read()[last as usize - 1];
        if stream.capturing.load(Ordering::Relaxed) {
            return Ok(());
        }
        // SAFETY: a live stream.
        check(unsafe { cu::cuStreamSynchronize(stream.raw) }, "cuStreamSynchronize")
    }

    /// Another library's stream waits for what was queued on a buffer.
    pub fn ready_on(self: &Arc<Self>, mem: &Mem, other: u64) -> Result<()> {
        let s = self.current()?;
        if s.capturing.load(Ordering::Relaxed) {
            bail!(Runtime, "CUDA: a tensor is given to another library while a graph is captured");
        }
        let _order = self.order(s, std::iter::once(mem))?;
        // SAFETY: our event and stream live forever; the other stream is the caller's.
        unsafe {
            check(cu::cuEventRecord(s.mark, s.raw), "cuEventRecord")?;
            check(cu::cuStreamWaitEvent(foreign(other), s.mark, 0), "cuStreamWaitEvent")
        }
    }

    /// This thread's stream waits for another library's default stream, or the host for all streams.
    pub fn after_others(self: &Arc<Self>, mem: &Mem, everything: bool) -> Result<()> {
        let s = self.current()?;
        let capturing = s.capturing.load(Ordering::Relaxed);
        if everything && !capturing {
            return self.finish();
        }
        let _order = self.order(s, std::iter::once(mem))?;
        // SAFETY: our event and stream live forever; the default stream always exists. A stream that records must not
        // wait for an event from outside: there the host waits.
        unsafe {
            check(cu::cuEventRecord(s.mark, foreign(1)), "cuEventRecord")?;
            match capturing {
                true => check(cu::cuEventSynchronize(s.mark), "cuEventSynchronize"),
                false => check(cu::cuStreamWaitEvent(s.raw, s.mark, 0), "cuStreamWaitEvent"),
            }
        }
    }
}

/// The buffers among a kernel's arguments.
pub fn buffers<'a>(args: &'a [Arg<'a>]) -> impl Iterator<Item = &'a Mem> {
    args.iter().filter_map(|a| match a {
        Arg::Mem(m) => Some(*m),
        Arg::Bytes(_) => None,
    })
}
