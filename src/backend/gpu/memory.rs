//! Device memory: a caching allocator over the driver's buffers, and pinned staging for uploads.

use super::counters::count_wait;
use super::driver::{Driver, Event, Mem, Reach};
use crate::backend::storage::HostOwner;
use crate::backend::MemoryStats;
use crate::bail;
use crate::base::device::Device;
use crate::base::error::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::collections::{HashMap, HashSet};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

/// The device whose memory it is.
pub trait Owner: Send + Sync {
    fn device(&self) -> Device;
    fn title(&self) -> &str;
    fn driver(&self) -> &dyn Driver;
    fn allocator(&self) -> &Allocator;
    /// Whether this thread records.
    fn records(&self) -> bool;
}

/// A block of device memory; goes back to its device's cache when dropped. Reuse needs no waiting: the queue is in
/// order, so work queued later sees the block after work queued earlier.
pub struct DeviceBuffer {
    mem: Option<Mem>,
    class: usize,
    owner: &'static dyn Owner,
    /// Whose memory it is, if it is not the allocator's.
    lender: Option<Box<dyn HostOwner>>,
    /// A `Reach`: who else may use it.
    reach: AtomicU8,
}

impl DeviceBuffer {
    #[inline]
    pub fn mem(&self) -> &Mem {
        self.mem.as_ref().expect("a live buffer has memory")
    }

    /// Another library's memory.
    pub fn lent(owner: &'static dyn Owner, mem: Mem, lender: Box<dyn HostOwner>) -> DeviceBuffer {
        DeviceBuffer { mem: Some(mem), class: 0, owner, lender: Some(lender), reach: AtomicU8::new(0) }
    }

    /// From here on other libraries may use the memory.
    pub fn shown(&self, reach: Reach) {
        self.reach.fetch_max(reach as u8, Ordering::Relaxed);
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        let Some(mem) = self.mem.take() else { return };
        let (allocator, driver) = (self.owner.allocator(), self.owner.driver());
        // What fails here has failed before and is reported at the next read.
        match self.reach.load(Ordering::Relaxed) {
            0 => {}
            1 => drop(driver.after_others(&mem, Reach::Default)),
            _ => drop(driver.after_others(&mem, Reach::Any)),
        }
        match self.lender.take() {
            None => allocator.give_back(driver, self.class, mem),
            Some(lender) => {
                if let Some(lender) = allocator.hold_for_graph(&mem, lender) {
                    let _ = driver.settle(&mem);
                    drop(lender);
                }
            }
        }
    }
}

#[derive(Default)]
struct State {
    free: FxHashMap<usize, Vec<Mem>>,
    stats: MemoryStats,
    graphs: Vec<GraphMemory>,
}

/// The blocks that a graph works on.
struct GraphMemory {
    id: u64,
    capturing: bool,
    /// Handles of all blocks that its launches use, and of those made while it was captured.
    touched: HashSet<u64>,
    own: HashSet<u64>,
    /// Own blocks that were freed during the capture and may serve again in it.
    reusable: HashMap<usize, Vec<Mem>>,
    /// Freed blocks that wait for the end of the graph.
    withheld: Vec<(usize, Mem)>,
    /// The same of other libraries' memory.
    lenders: Vec<(u64, Box<dyn HostOwner>)>,
}

pub struct Allocator {
    state: Mutex<State>,
    caching: bool,
    max_allocation: usize,
    total: u64,
}

/// Sizes are rounded up to four steps per power of two, so that a freed block fits the next similar request and at
/// most a fifth is wasted.
fn size_class(nbytes: usize) -> usize {
    let n = nbytes.max(512);
    let step = (n.next_power_of_two() / 8).max(128);
    n.div_ceil(step) * step
}

impl Allocator {
    pub fn new(max_allocation: u64, total: u64) -> Allocator {
        Allocator {
            state: Mutex::default(),
            caching: std::env::var("TAPER_ALLOCATOR").map_or(true, |v| v != "system"),
            max_allocation: max_allocation as usize,
            total,
        }
    }

    /// A block of at least `nbytes`.
    pub fn alloc(&self, owner: &'static dyn Owner, nbytes: usize) -> Result<DeviceBuffer> {
        if nbytes > self.max_allocation {
            bail!(
                OutOfMemory,
                "{}: cannot allocate {nbytes} bytes: the device ({}) allows at most {} bytes in one buffer",
                owner.device(),
                owner.title(),
                self.max_allocation
            );
        }
        // Without a cache, exact sizes: tools that watch memory then see every access past the end.
        let class = if self.caching { size_class(nbytes).min(self.max_allocation) } else { nbytes.max(1) };
        let recording = owner.records();
        let cached = {
            let mut s = self.state.lock();
            let own = s.graphs.iter_mut().find(|g| recording && g.capturing);
            let own = own.and_then(|g| g.reusable.get_mut(&class)).and_then(Vec::pop);
            let hit = own.or_else(|| s.free.get_mut(&class).and_then(Vec::pop));
            if hit.is_some() {
                s.count(class);
            }
            hit
        };
        let mem = match cached {
            Some(mem) => mem,
            None => self.fresh(owner, class)?,
        };
        if recording {
            if let Some(g) = self.state.lock().graphs.iter_mut().find(|g| g.capturing) {
                g.own.insert(mem.handle);
                g.touched.insert(mem.handle);
            }
        }
        Ok(DeviceBuffer { mem: Some(mem), class, owner, lender: None, reach: AtomicU8::new(0) })
    }

    fn fresh(&self, owner: &dyn Owner, class: usize) -> Result<Mem> {
        #[cfg(debug_assertions)]
        if crate::backend::memory::inject::fails() {
            return Err(crate::backend::memory::out_of_memory(class));
        }
        // A driver on a CPU would hand out more than there is and be killed later.
        if self.state.lock().stats.reserved + class as u64 > self.total {
            self.empty(owner.driver());
        }
        let fits = self.state.lock().stats.reserved + class as u64 <= self.total;
        let limit = || Error::new(ErrorKind::OutOfMemory, "the device's memory is taken");
        let mut made = if fits { owner.driver().alloc(class) } else { Err(limit()) };
        if fits && made.is_err() {
            // Cached blocks may be what is missing; releases take effect once queued work is done.
            self.empty(owner.driver());
            count_wait();
            owner.driver().finish()?;
            made = owner.driver().alloc(class);
        }
        match made {
            Ok(mem) => {
                let mut s = self.state.lock();
                s.stats.reserved += class as u64;
                s.stats.reserved_peak = s.stats.reserved_peak.max(s.stats.reserved);
                s.count(class);
                Ok(mem)
            }
            Err(e) if e.kind == ErrorKind::OutOfMemory => Err(Error::new(
                ErrorKind::OutOfMemory,
                format!(
                    "{}: out of memory: tried to allocate {class} bytes; {} are in use and the device ({}) has {} ({})",
                    owner.device(),
                    self.state.lock().stats.allocated,
                    owner.title(),
                    self.total,
                    e.message
                ),
            )),
            Err(e) => Err(e),
        }
    }

    fn give_back(&self, driver: &dyn Driver, class: usize, mem: Mem) {
        let mut s = self.state.lock();
        s.stats.allocated -= class as u64;
        if let Some(g) = s.graphs.iter_mut().find(|g| g.touched.contains(&mem.handle)) {
            match g.capturing && g.own.contains(&mem.handle) {
                true => g.reusable.entry(class).or_default().push(mem),
                false => g.withheld.push((class, mem)),
            }
            return;
        }
        self.keep_or_free(&mut s, driver, class, mem);
    }

    fn keep_or_free(&self, s: &mut State, driver: &dyn Driver, class: usize, mem: Mem) {
        if self.caching {
            s.free.entry(class).or_default().push(mem);
        } else {
            s.stats.reserved -= class as u64;
            driver.free(mem);
        }
    }

    /// Keeps another library's memory for a graph that uses it; gives the lender back where none does.
    fn hold_for_graph(&self, mem: &Mem, lender: Box<dyn HostOwner>) -> Option<Box<dyn HostOwner>> {
        let mut s = self.state.lock();
        match s.graphs.iter_mut().find(|g| g.touched.contains(&mem.handle)) {
            Some(g) => {
                g.lenders.push((mem.handle, lender));
                None
            }
            None => Some(lender),
        }
    }

    /// From here on the blocks of a capture are the graph's.
    pub fn begin_graph(&self, id: u64) {
        self.state.lock().graphs.push(GraphMemory {
            id,
            capturing: true,
            touched: HashSet::new(),
            own: HashSet::new(),
            reusable: HashMap::new(),
            withheld: Vec::new(),
            lenders: Vec::new(),
        });
    }
    /// The graph uses these blocks.
    pub fn touch<'a>(&self, id: u64, mems: impl Iterator<Item = &'a Mem>) {
        if let Some(g) = self.state.lock().graphs.iter_mut().find(|g| g.id == id) {
            g.touched.extend(mems.map(|m| m.handle));
        }
    }
    /// The capture is over.
    pub fn close_graph(&self, id: u64) {
        if let Some(g) = self.state.lock().graphs.iter_mut().find(|g| g.id == id) {
            g.capturing = false;
            let freed = std::mem::take(&mut g.reusable);
            g.withheld.extend(freed.into_iter().flat_map(|(class, l)| l.into_iter().map(move |m| (class, m))));
        }
    }
    /// The graph is gone: its freed blocks are anybody's, unless another graph uses them.
    pub fn end_graph(&self, driver: &dyn Driver, id: u64) {
        let mut s = self.state.lock();
        let Some(at) = s.graphs.iter().position(|g| g.id == id) else { return };
        let gone = s.graphs.remove(at);
        let mut done = Vec::new();
        for (handle, lender) in gone.lenders {
            match s.graphs.iter_mut().find(|g| g.touched.contains(&handle)) {
                Some(g) => g.lenders.push((handle, lender)),
                None => done.push(lender),
            }
        }
        let freed = gone
            .withheld
            .into_iter()
            .chain(gone.reusable.into_iter().flat_map(|(class, l)| l.into_iter().map(move |m| (class, m))));
        for (class, mem) in freed {
            match s.graphs.iter_mut().find(|g| g.touched.contains(&mem.handle)) {
                Some(g) => g.withheld.push((class, mem)),
                None => self.keep_or_free(&mut s, driver, class, mem),
            }
        }
        // Other libraries' code runs without the lock.
        drop(s);
        drop(done);
    }

    /// Releases all cached blocks.
    pub fn empty(&self, driver: &dyn Driver) {
        let mut s = self.state.lock();
        let freed: usize = s.free.iter().map(|(class, list)| class * list.len()).sum();
        s.free.drain().flat_map(|(_, list)| list).for_each(|mem| driver.free(mem));
        s.stats.reserved -= freed as u64;
    }

    /// Lets the peaks start anew from what is held now.
    pub fn reset_peak(&self) {
        let mut s = self.state.lock();
        s.stats.allocated_peak = s.stats.allocated;
        s.stats.reserved_peak = s.stats.reserved;
    }

    pub fn stats(&self) -> MemoryStats {
        self.state.lock().stats
    }
}

impl State {
    fn count(&mut self, class: usize) {
        self.stats.allocations += 1;
        self.stats.allocated += class as u64;
        self.stats.allocated_peak = self.stats.allocated_peak.max(self.stats.allocated);
    }
}

/// One pinned buffer.
struct Slot {
    ptr: NonNull<u8>,
    size: usize,
    busy: Option<Box<dyn Event>>,
}
// SAFETY: the pinned memory belongs to the slot and is used under the staging lock.
unsafe impl Send for Slot {}

/// Pinned memory through which uploads pass, so that the caller's bytes are free on return while the queue runs on.
#[derive(Default)]
pub struct Staging {
    slots: Mutex<Vec<Slot>>,
}

/// Slots are small (parameters of a kernel, a batch's labels) or large (a chunk of a big upload).
const SMALL: usize = 64 << 10;
const LARGE: usize = 4 << 20;
const MOST_SLOTS: usize = 16;

impl Staging {
    /// Queues a copy of `src` to `dst`, without waiting unless all slots are in flight.
    pub fn upload(&self, driver: &dyn Driver, src: &[u8], dst: &Mem, mut offset: usize) -> Result<()> {
        let mut slots = self.slots.lock();
        for chunk in src.chunks(LARGE) {
            let size = if chunk.len() <= SMALL { SMALL } else { LARGE };
            let i = match slots.iter().position(|s| s.size == size && s.busy.as_ref().is_none_or(|e| e.is_complete())) {
                Some(i) => i,
                None if slots.iter().filter(|s| s.size == size).count() < MOST_SLOTS => {
                    slots.push(Slot { ptr: driver.pinned(size)?, size, busy: None });
                    slots.len() - 1
                }
                None => {
                    // The oldest slot comes first: used slots move to the back.
                    let i = slots.iter().position(|s| s.size == size).expect("there are slots of this size");
                    if let Some(e) = &slots[i].busy {
                        count_wait();
                        e.wait()?;
                    }
                    i
                }
            };
            let mut slot = slots.remove(i);
            // SAFETY: the slot is idle and at least as large as the chunk; it is not touched again before
            // its event is complete.
            let queued = unsafe {
                std::ptr::copy_nonoverlapping(chunk.as_ptr(), slot.ptr.as_ptr(), chunk.len());
                driver.write_async(dst, offset, slot.ptr.as_ptr(), chunk.len())
            };
            slot.busy = None;
            match queued {
                Ok(event) => slot.busy = Some(event),
                Err(e) => {
                    slots.push(slot);
                    return Err(e);
                }
            }
            slots.push(slot);
            offset += chunk.len();
        }
        Ok(())
    }
}
