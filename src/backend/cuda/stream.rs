//! Streams: each thread has its own, and memory that crosses from one to another is ordered by events.

use super::api::check;
use super::blas::Blas;
use super::dnn::Dnn;
use crate::backend::gpu::driver::{Arg, Mem};
use crate::bail;
use crate::error::{Error, ErrorKind, Result};
use cudarc::driver::sys::{self as cu, CUcontext, CUevent, CUstream};
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::cell::RefCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A stream and what the libraries keep for it. Made once, lent to one thread at a time, never destroyed.
pub struct Stream {
    pub raw: CUstream,
    /// Recorded when another stream must wait for what is queued here.
    mark: CUevent,
    /// Counted from 1; `Mem::queue` says which stream used the memory last.
    number: u32,
    pub capturing: AtomicBool,
    pub blas: Mutex<Option<Blas>>,
    pub dnn: Mutex<Option<Dnn>>,
}
// SAFETY: streams and events may be used from any thread; library handles lie behind locks.
unsafe impl Send for Stream {}
unsafe impl Sync for Stream {}

/// A device's context and streams.
pub struct Streams {
    index: usize,
    context: CUcontext,
    all: RwLock<Vec<&'static Stream>>,
    idle: Mutex<Vec<&'static Stream>>,
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
        Ok(Arc::new(Streams { index, context, all, idle, order }))
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
            number,
            capturing: AtomicBool::new(false),
            blas: Mutex::default(),
            dnn: Mutex::default(),
        }));
        all.push(stream);
        Ok(stream)
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
            let last = m.queue.load(Ordering::Relaxed);
            if last != stream.number {
                // A capture begins with an idle device and takes no event from outside.
                if last != 0 && !stream.capturing.load(Ordering::Relaxed) {
                    let other = self.all.read()[last as usize - 1];
                    self.wait_for(stream, other)?;
                }
                m.queue.store(stream.number, Ordering::Relaxed);
            }
        }
        Ok(guard)
    }

    /// Runs `f`, which queues work of unknown buffers on `stream`, after all other streams and before what they do next.
    pub fn order_all(&self, stream: &Stream, f: impl FnOnce() -> Result<()>) -> Result<()> {
        let _guard = self.order.lock();
        let all = self.all.read();
        for other in all.iter().filter(|s| s.number != stream.number) {
            self.wait_for(stream, other)?;
        }
        f()?;
        for other in all.iter().filter(|s| s.number != stream.number) {
            self.wait_for(other, stream)?;
        }
        Ok(())
    }
}

/// The buffers among a kernel's arguments.
pub fn buffers<'a>(args: &'a [Arg<'a>]) -> impl Iterator<Item = &'a Mem> {
    args.iter().filter_map(|a| match a {
        Arg::Mem(m) => Some(*m),
        Arg::Bytes(_) => None,
    })
}
