//! The CPU's caching allocator.
//!
//! Freeing and re-mapping a large block costs more than the arithmetic on it, and a small one should cost no more
//! than a list operation, so freed blocks are kept by size class: small ones on the thread that freed them, larger
//! ones (and what a thread has too many of) in lists shared by all. Blocks are 64-byte aligned; those of 2 MiB and
//! more are mapped at a huge page boundary. No lock is ever waited for: a busy list counts as empty or full, which
//! also keeps a forked child from waiting for a thread that it does not have.
//!
//! The cache follows the demand (`allowed`): it holds no more than what lets the process reach twice the
//! most that was alive lately, and blocks that nobody has asked for through a whole epoch go back to the system. An
//! epoch lasts at least a second and until eight times all memory has gone through the cache, so that what is given
//! back costs little beside the work that was done meanwhile.
//!
//! `TAPER_ALLOCATOR=system` switches all of this off: each block is then its own exact `malloc`, so that
//! AddressSanitizer and valgrind see overruns and uses after free.

use crate::backend::memory::{self, out_of_memory, MemoryStats};
use crate::base::error::Result;
use parking_lot::Mutex;
use std::alloc::Layout;
use std::cell::{Cell, UnsafeCell};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU64, AtomicU8, Ordering::*};
use std::sync::Arc;

/// Alignment of every block.
pub const ALIGN: usize = 64;
/// Largest block that threads keep for themselves.
const SMALL_MAX: usize = 32 << 10;
/// From here on blocks are mapped, not malloc'ed, and ask for huge pages.
const HUGE: usize = 2 << 20;
/// How far a thread's live bytes may drift before the peak is looked at.
const PUBLISH: i64 = 64 << 10;

// Size classes: multiples of 64 up to 512, then four per doubling.
const SMALL_CLASSES: usize = class_of(SMALL_MAX) + 1;
const CLASSES: usize = class_of(1 << 48) + 1;

const fn class_of(nbytes: usize) -> usize {
    if nbytes <= 512 {
        return nbytes.div_ceil(64) - (nbytes != 0) as usize;
    }
    // 2^k < nbytes <= 2^(k+1), in quarters.
    let k = (nbytes - 1).ilog2() as usize;
    let quarter = (nbytes - 1 - (1 << k)) >> (k - 2);
    8 + (k - 9) * 4 + quarter
}

const fn class_size(class: usize) -> usize {
    if class < 8 {
        return (class + 1) * 64;
    }
    let k = (class - 8) / 4 + 9;
    (1 << k) + ((class - 8) % 4 + 1) * (1 << (k - 2))
}

/// Free blocks of one class; the link to the next stands in a block's first bytes.
struct List {
    head: Cell<*mut u8>,
    len: Cell<usize>,
}
impl List {
    const fn new() -> List {
        List { head: Cell::new(ptr::null_mut()), len: Cell::new(0) }
    }
    #[inline(always)]
    fn pop(&self) -> Option<NonNull<u8>> {
        let p = NonNull::new(self.head.get())?;
        // SAFETY: blocks on a list are ours, at least 64 bytes, and begin with the link written by `push`.
        self.head.set(unsafe { p.cast::<*mut u8>().read() });
        self.len.set(self.len.get() - 1);
        Some(p)
    }
    #[inline(always)]
    fn push(&self, p: NonNull<u8>) {
        // SAFETY: a freed block of at least 64 aligned bytes that nobody else uses.
        unsafe { p.cast::<*mut u8>().write(self.head.get()) };
        self.head.set(p.as_ptr());
        self.len.set(self.len.get() + 1);
    }
}

/// Free blocks of one class for all threads.
struct Shared {
    list: List,
    /// The fewest blocks that were there since the last sweep: so many nobody needed.
    low: Cell<usize>,
    /// Blocks given since they were last counted in `TURNOVER`.
    given: Cell<usize>,
}
/// A shared list behind its lock.
struct SharedList(Mutex<Shared>);
// SAFETY: the list owns the blocks that its raw pointers name; the mutex gives one thread access at a time.
unsafe impl Sync for SharedList {}

static SHARED: [SharedList; CLASSES] =
    [const { SharedList(Mutex::new(Shared { list: List::new(), low: Cell::new(0), given: Cell::new(0) })) }; CLASSES];
/// Bytes that have gone through `SHARED` in this epoch, and when it began (milliseconds of the system's clock).
static TURNOVER: AtomicU64 = AtomicU64::new(0);
static EPOCH: AtomicU64 = AtomicU64::new(0);
/// The most that was alive in this epoch, and in the one before.
static RECENT: AtomicI64 = AtomicI64::new(0);
static BEFORE: AtomicI64 = AtomicI64::new(0);
/// What the cache may hold whatever the demand.
const FLOOR: u64 = 64 << 20;
/// How often all memory goes through the cache in an epoch, at least, and how long it lasts, at least.
const TURNS: u64 = 8;
const EPOCH_MS: u64 = 1000;
/// Bytes of one class after which its turnover is counted.
const COUNT_AT: usize = 4 << 20;
/// Bytes in `SHARED`, and the most that may ever be there (0 until asked for).
static CACHED: AtomicU64 = AtomicU64::new(0);
static LIMIT: AtomicU64 = AtomicU64::new(0);
/// Bytes obtained from the system.
static RESERVED: AtomicU64 = AtomicU64::new(0);
static RESERVED_PEAK: AtomicU64 = AtomicU64::new(0);
/// Live bytes as last published by the threads; only for finding the peak.
static PUBLISHED: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
/// What threads without a desk (while they end) did.
static HOMELESS_LIVE: AtomicI64 = AtomicI64::new(0);
static HOMELESS_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// One thread's free lists and counters. Desks are never freed: when a thread ends, the next new one takes its desk
/// over, counters and all, since only sums over all desks mean anything.
#[repr(align(128))]
struct Desk {
    /// Written by the owner only, read by all.
    live: AtomicI64,
    allocations: AtomicU64,
    /// Change of `live` not yet in `PUBLISHED`.
    unpublished: Cell<i64>,
    lists: [List; SMALL_CLASSES],
    taken: AtomicBool,
    next: Cell<*const Desk>,
}
static DESKS: AtomicPtr<Desk> = AtomicPtr::new(ptr::null_mut());

impl Desk {
    /// A desk left by an ended thread, or a new one.
    #[cold]
    fn take() -> *const Desk {
        memory::prepare();
        crate::base::sync::watch_forks();
        let mut p = DESKS.load(Acquire) as *const Desk;
        while !p.is_null() {
            // SAFETY: desks are leaked; `next` is set before a desk is published and then constant.
            let d = unsafe { &*p };
            if d.taken.compare_exchange(false, true, Acquire, Relaxed).is_ok() {
                return p;
            }
            p = d.next.get();
        }
        let d = Box::leak(Box::new(Desk {
            live: AtomicI64::new(0),
            allocations: AtomicU64::new(0),
            unpublished: Cell::new(0),
            lists: [const { List::new() }; SMALL_CLASSES],
            taken: AtomicBool::new(true),
            next: Cell::new(ptr::null()),
        })) as *mut Desk;
        let mut head = DESKS.load(Relaxed);
        loop {
            // SAFETY: not shared yet.
            unsafe { (*d).next.set(head) };
            match DESKS.compare_exchange_weak(head, d, Release, Relaxed) {
                Ok(_) => return d,
                Err(h) => head = h,
            }
        }
    }
    /// Counts a change of live bytes; `n` is a class size, negative when freed.
    #[inline(always)]
    fn count(&self, n: i64) {
        // Only the owner writes: a plain load and store, no locked instruction.
        self.live.store(self.live.load(Relaxed) + n, Relaxed);
        let u = self.unpublished.get() + n;
        self.unpublished.set(u);
        if u.abs() >= PUBLISH {
            self.unpublished.set(0);
            publish(u);
        }
    }
    /// Gives all free blocks to the shared lists.
    fn flush(&self) {
        for (class, list) in self.lists.iter().enumerate() {
            while let Some(p) = list.pop() {
                give(p, class);
            }
        }
    }
}

#[cold]
fn publish(delta: i64) {
    let now = PUBLISHED.fetch_add(delta, Relaxed) + delta;
    PEAK.fetch_max(now, Relaxed);
    if now > RECENT.load(Relaxed) {
        RECENT.fetch_max(now, Relaxed);
    }
}

/// The thread's desk; gives it back when the thread ends.
struct Seat(Cell<*const Desk>);
impl Drop for Seat {
    fn drop(&mut self) {
        let p = self.0.replace(ptr::null());
        if !p.is_null() {
            // SAFETY: desks are leaked, and this thread holds it until `taken` is cleared.
            let d = unsafe { &*p };
            d.flush();
            publish(d.unpublished.replace(0));
            d.taken.store(false, Release);
        }
    }
}
thread_local! {
    static SEAT: Seat = const { Seat(Cell::new(ptr::null())) };
}

/// Runs `f` with this thread's desk, or with None while the thread ends.
#[inline(always)]
fn with_desk<R>(f: impl FnOnce(Option<&Desk>) -> R) -> R {
    let p = SEAT.try_with(|s| {
        let mut p = s.0.get();
        if p.is_null() {
            p = Desk::take();
            s.0.set(p);
        }
        p
    });
    match p {
        // SAFETY: desks are leaked; this thread alone uses it until its seat is dropped.
        Ok(p) => f(Some(unsafe { &*p })),
        Err(_) => f(None),
    }
}

fn count_homeless(n: i64) {
    HOMELESS_LIVE.fetch_add(n, Relaxed);
    HOMELESS_ALLOCATIONS.fetch_add((n > 0) as u64, Relaxed);
    publish(n);
}

/// Takes a block from a shared list.
fn take_shared(class: usize) -> Option<NonNull<u8>> {
    let shared = SHARED[class].0.try_lock()?;
    let p = shared.list.pop()?;
    shared.low.set(shared.low.get().min(shared.list.len.get()));
    CACHED.fetch_sub(class_size(class) as u64, Relaxed);
    Some(p)
}

/// How much may be cached now: with what is alive, twice the most that was alive lately.
fn allowed() -> u64 {
    let limit = match LIMIT.load(Relaxed) {
        0 => default_limit(),
        l => l,
    };
    let demand = RECENT.load(Relaxed).max(BEFORE.load(Relaxed));
    let room = (2 * demand - PUBLISHED.load(Relaxed)).max(0) as u64;
    limit.min(room + FLOOR)
}

/// Puts a block on its shared list, within the cache's limit, or gives it to the system.
fn give(p: NonNull<u8>, class: usize) {
    let size = class_size(class) as u64;
    let limit = allowed();
    if size > limit {
        return release(p, class);
    }
    if CACHED.fetch_add(size, Relaxed) + size > limit {
        // A little more than must be, so that the next block does not come here again.
        trim(limit - limit / 8);
    }
    match SHARED[class].0.try_lock() {
        Some(shared) => {
            shared.list.push(p);
            let given = shared.given.get() + 1;
            let count = given * size as usize >= COUNT_AT;
            shared.given.set(if count { 0 } else { given });
            drop(shared);
            if count {
                turn(given as u64 * size);
            }
        }
        None => {
            CACHED.fetch_sub(size, Relaxed);
            release(p, class);
        }
    }
}

/// Counts bytes that went through the cache; at an epoch's end what nobody needed goes back to the system.
#[cold]
fn turn(bytes: u64) {
    let turned = TURNOVER.fetch_add(bytes, Relaxed) + bytes;
    if turned < TURNS * RESERVED.load(Relaxed) {
        return;
    }
    let (now, began) = (milliseconds(), EPOCH.load(Relaxed));
    if now < began + EPOCH_MS || EPOCH.compare_exchange(began, now, Relaxed, Relaxed).is_err() {
        return;
    }
    TURNOVER.store(0, Relaxed);
    let live = PUBLISHED.load(Relaxed);
    BEFORE.store(RECENT.swap(live, Relaxed), Relaxed);
    sweep(0);
}

#[cfg(unix)]
fn milliseconds() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid place for the answer.
    unsafe { libc::clock_gettime(CLOCK, &mut t) };
    t.tv_sec as u64 * 1000 + t.tv_nsec as u64 / 1_000_000
}
#[cfg(not(unix))]
fn milliseconds() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_millis() as u64 + EPOCH_MS
}

/// Gives back the blocks that no one has needed since the last sweep, largest first, until at most `limit` bytes are
/// cached.
#[cold]
fn sweep(limit: u64) {
    let mut freed = 0;
    for (class, shared) in SHARED.iter().enumerate().rev() {
        if CACHED.load(Relaxed) <= limit {
            break;
        }
        let unneeded = match shared.0.try_lock() {
            Some(s) => s.low.replace(s.list.len.get()),
            None => 0,
        };
        for _ in 0..unneeded {
            match take_shared(class) {
                Some(p) => release(p, class),
                None => break,
            }
            freed += class_size(class);
        }
    }
    if freed >= HUGE {
        return_heap();
    }
}

/// Gives cached blocks to the system until at most `limit` bytes are cached: those that nobody has needed for a while,
/// then the largest first.
#[cold]
fn trim(limit: u64) {
    sweep(limit);
    for class in (0..CLASSES).rev() {
        while CACHED.load(Relaxed) > limit {
            match take_shared(class) {
                Some(p) => release(p, class),
                None => break,
            }
        }
    }
}

/// Lets malloc give the system what has been freed to it.
fn return_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no preconditions; it takes malloc's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A quarter of the machine's memory, at least 256 MiB.
#[cold]
fn default_limit() -> u64 {
    // SAFETY: sysconf has no preconditions.
    #[cfg(unix)]
    let total = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES).max(0) as u64 * libc::sysconf(libc::_SC_PAGESIZE) as u64 };
    #[cfg(not(unix))]
    let total = 4u64 << 30;
    let limit = (total / 4).max(256 << 20);
    LIMIT.store(limit, Relaxed);
    limit
}

/// A new block from the system.
#[cold]
fn obtain(class: usize) -> Option<NonNull<u8>> {
    let size = class_size(class);
    let p = if size >= HUGE { map_huge(size) } else { malloc(size) }?;
    let now = RESERVED.fetch_add(size as u64, Relaxed) + size as u64;
    RESERVED_PEAK.fetch_max(now, Relaxed);
    Some(p)
}

#[cold]
fn release(p: NonNull<u8>, class: usize) {
    let size = class_size(class);
    RESERVED.fetch_sub(size as u64, Relaxed);
    if size >= HUGE {
        unmap_huge(p, size);
    } else {
        free(p, size);
    }
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.max(1), ALIGN).ok()
}
fn malloc(size: usize) -> Option<NonNull<u8>> {
    NonNull::new(memory::system_alloc(layout(size)?))
}
fn free(p: NonNull<u8>, size: usize) {
    if let Some(layout) = layout(size) {
        // SAFETY: from `malloc` with the same size.
        unsafe { memory::system_free(p.as_ptr(), layout) }
    }
}

/// `size` bytes at a huge page boundary.
#[cfg(unix)]
fn map_huge(size: usize) -> Option<NonNull<u8>> {
    #[cfg(debug_assertions)]
    if memory::inject::fails() {
        return None;
    }
    // SAFETY: fresh private mappings; what is unmapped is the part of this mapping before and after the block.
    unsafe {
        let total = size.checked_add(HUGE)?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let base = libc::mmap(ptr::null_mut(), total, prot, libc::MAP_PRIVATE | libc::MAP_ANON, -1, 0);
        if base == libc::MAP_FAILED {
            return None;
        }
        let base = base as usize;
        let start = base.next_multiple_of(HUGE);
        let end = start + size;
        if start > base {
            libc::munmap(base as *mut _, start - base);
        }
        if base + total > end {
            libc::munmap(end as *mut _, base + total - end);
        }
        #[cfg(target_os = "linux")]
        libc::madvise(start as *mut _, size, libc::MADV_HUGEPAGE);
        NonNull::new(start as *mut u8)
    }
}
#[cfg(unix)]
fn unmap_huge(p: NonNull<u8>, size: usize) {
    // SAFETY: exactly the block that `map_huge` left.
    unsafe { libc::munmap(p.as_ptr() as *mut _, size) };
}
#[cfg(not(unix))]
fn map_huge(size: usize) -> Option<NonNull<u8>> {
    malloc(size)
}
#[cfg(not(unix))]
fn unmap_huge(p: NonNull<u8>, size: usize) {
    free(p, size)
}

/// 0 not yet read, 1 caching, 2 plain malloc. Never changes once read.
static MODE: AtomicU8 = AtomicU8::new(0);

#[cold]
fn read_mode() -> bool {
    let system = std::env::var_os("TAPER_ALLOCATOR").is_some_and(|v| v == "system");
    let mode = 1 + system as u8;
    // The first reader decides for all.
    MODE.compare_exchange(0, mode, Relaxed, Relaxed).map_or_else(|m| m == 2, |_| system)
}
#[inline(always)]
fn system_mode() -> bool {
    match MODE.load(Relaxed) {
        1 => false,
        2 => true,
        _ => read_mode(),
    }
}

/// An owned block of uninitialised host memory, 64-byte aligned; goes back to the cache when dropped, from any
/// thread and at any time, also while a thread or the process ends.
pub struct Block {
    ptr: NonNull<u8>,
    nbytes: usize,
}
// SAFETY: a block owns its memory as a Vec<u8> does; any thread may free it.
unsafe impl Send for Block {}
unsafe impl Sync for Block {}

impl Block {
    /// At least `nbytes` bytes; an `OutOfMemory` error when the system does not give them.
    #[inline]
    pub fn new(nbytes: usize) -> Result<Block> {
        if nbytes <= SMALL_MAX && !system_mode() {
            let class = class_of(nbytes);
            let hit = with_desk(|desk| {
                let desk = desk?;
                let p = desk.lists[class].pop()?;
                desk.count(class_size(class) as i64);
                desk.allocations.store(desk.allocations.load(Relaxed) + 1, Relaxed);
                Some(p)
            });
            if let Some(ptr) = hit {
                return Ok(Block { ptr, nbytes });
            }
        }
        Block::new_slow(nbytes)
    }

    #[inline(never)]
    fn new_slow(nbytes: usize) -> Result<Block> {
        if nbytes > (1 << 47) || memory::is_absurd(nbytes) {
            return Err(out_of_memory(nbytes));
        }
        let (ptr, size) = if system_mode() {
            let p = malloc(nbytes);
            if p.is_some() {
                let now = RESERVED.fetch_add(nbytes as u64, Relaxed) + nbytes as u64;
                RESERVED_PEAK.fetch_max(now, Relaxed);
            }
            (p, nbytes)
        } else {
            let class = class_of(nbytes);
            let p = take_shared(class).or_else(|| obtain(class)).or_else(|| {
                empty_cache();
                obtain(class)
            });
            (p, class_size(class))
        };
        let ptr = ptr.ok_or_else(|| out_of_memory(nbytes))?;
        with_desk(|desk| match desk {
            Some(d) => {
                d.count(size as i64);
                d.allocations.store(d.allocations.load(Relaxed) + 1, Relaxed);
            }
            None => count_homeless(size as i64),
        });
        Ok(Block { ptr, nbytes })
    }

    #[inline]
    pub fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if self.nbytes <= SMALL_MAX && !system_mode() {
            let class = class_of(self.nbytes);
            // A thread keeps at most 128 KiB of a class, but always a few blocks.
            let most = ((128 << 10) / class_size(class)).max(4);
            let kept = with_desk(|desk| {
                let Some(desk) = desk else { return false };
                let list = &desk.lists[class];
                if list.len.get() >= most {
                    return false;
                }
                list.push(self.ptr);
                desk.count(-(class_size(class) as i64));
                true
            });
            if kept {
                return;
            }
        }
        drop_slow(self.ptr, self.nbytes);
    }
}

#[inline(never)]
fn drop_slow(p: NonNull<u8>, nbytes: usize) {
    let system = system_mode();
    let class = class_of(nbytes);
    let size = if system { nbytes } else { class_size(class) };
    with_desk(|desk| {
        match desk {
            Some(d) => d.count(-(size as i64)),
            None => count_homeless(-(size as i64)),
        }
        if let (Some(d), false, true) = (desk, system, class < SMALL_CLASSES) {
            // The thread has many of these: half of them go to the others.
            let list = &d.lists[class];
            for _ in 0..list.len.get() / 2 {
                if let Some(q) = list.pop() {
                    give(q, class);
                }
            }
        }
    });
    if system {
        RESERVED.fetch_sub(nbytes as u64, Relaxed);
        free(p, nbytes);
    } else {
        give(p, class);
    }
}

/// Gives the shared cache, this thread's free blocks and all threads' scratch memory back to the system. Other threads
/// keep the few small blocks that they have: at most 128 KiB of each size up to 32 KiB.
pub fn empty_cache() {
    with_desk(|desk| {
        if let Some(d) = desk {
            d.flush();
        }
    });
    free_kept();
    trim(0);
    return_heap();
}

/// Counters over all threads. `allocated` and `reserved` count whole size classes (exact bytes with
/// `TAPER_ALLOCATOR=system`); a peak that lasted only between two queries is exact to 64 KiB per thread.
pub fn memory_stats() -> MemoryStats {
    let (live, allocations) = totals();
    let peak = PEAK.fetch_max(live, Relaxed).max(live);
    MemoryStats {
        allocated: live.max(0) as u64,
        allocated_peak: peak.max(0) as u64,
        reserved: RESERVED.load(Relaxed),
        reserved_peak: RESERVED_PEAK.load(Relaxed),
        allocations,
    }
}

/// Lets the peaks start anew from what is held now.
pub fn reset_peak() {
    PEAK.store(totals().0, Relaxed);
    RESERVED_PEAK.store(RESERVED.load(Relaxed), Relaxed);
}

/// Live bytes and allocations of all threads.
fn totals() -> (i64, u64) {
    let mut live = HOMELESS_LIVE.load(Relaxed);
    let mut allocations = HOMELESS_ALLOCATIONS.load(Relaxed);
    let mut p = DESKS.load(Acquire) as *const Desk;
    while !p.is_null() {
        // SAFETY: desks are leaked and `next` is constant once published.
        let d = unsafe { &*p };
        live += d.live.load(Relaxed);
        allocations += d.allocations.load(Relaxed);
        p = d.next.get();
    }
    (live, allocations)
}

// Blocks that each thread keeps for its kernels' scratch memory.

/// The blocks that one thread keeps. Its owner and `free_kept` exclude each other by `busy`, for which nobody waits: a busy
/// shelf counts as empty, and as full.
struct Shelf {
    busy: AtomicBool,
    blocks: UnsafeCell<Vec<(usize, Block)>>,
}
// SAFETY: the blocks are touched by whoever set `busy` alone.
unsafe impl Sync for Shelf {}
impl Shelf {
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Vec<(usize, Block)>) -> R) -> Option<R> {
        if self.busy.swap(true, Acquire) {
            return None;
        }
        // SAFETY: `busy` was free and is ours until it is cleared; `f` does not come back here.
        let r = f(unsafe { &mut *self.blocks.get() });
        self.busy.store(false, Release);
        Some(r)
    }
}

/// All threads' shelves.
static SHELVES: Mutex<Vec<Arc<Shelf>>> = Mutex::new(Vec::new());
/// A thread's shelf, which goes with the thread.
struct Own(Arc<Shelf>);
impl Own {
    fn new() -> Own {
        let shelf = Arc::new(Shelf { busy: AtomicBool::new(false), blocks: UnsafeCell::new(Vec::new()) });
        // Busy only while a thread begins, ends or memory is given back (or, in a forked child, was then): the blocks of
        // a shelf that is not listed stay until the thread ends.
        if let Some(mut all) = SHELVES.try_lock() {
            all.push(shelf.clone());
        }
        Own(shelf)
    }
}
impl Drop for Own {
    fn drop(&mut self) {
        let mine = match SHELVES.try_lock() {
            Some(mut all) => all.iter().position(|s| Arc::ptr_eq(s, &self.0)).map(|i| all.swap_remove(i)),
            None => None,
        };
        drop(mine);
        drop(self.0.with(std::mem::take));
    }
}
thread_local! {
    static SHELF: Own = Own::new();
}
/// Larger blocks go back to the allocator instead of staying with the thread.
const KEEP_BYTES: usize = 8 << 20;
const KEEP_BLOCKS: usize = 6;

/// Frees what all threads keep for their kernels, but for what those use now.
fn free_kept() {
    let Some(all) = SHELVES.try_lock() else { return };
    let blocks: Vec<_> = all.iter().filter_map(|s| s.with(std::mem::take)).collect();
    drop(all);
    drop(blocks);
}

/// The smallest block of this thread that has `nbytes`, with its size.
pub fn take_kept(nbytes: usize) -> Option<(usize, Block)> {
    let found = SHELF.try_with(|s| {
        s.0.with(|f| {
            let best = (0..f.len()).filter(|&i| f[i].0 >= nbytes).min_by_key(|&i| f[i].0)?;
            Some(f.swap_remove(best))
        })
    });
    found.ok().flatten().flatten()
}

/// Keeps a block of `nbytes` for this thread, in place of its smallest one where it has enough.
pub fn keep(nbytes: usize, block: Block) {
    if nbytes > KEEP_BYTES {
        return;
    }
    // `try_with`: the thread may be ending; then the block is simply freed.
    let surplus = SHELF.try_with(|s| {
        s.0.with(|f| {
            let smallest = (0..f.len()).min_by_key(|&i| f[i].0).filter(|_| f.len() == KEEP_BLOCKS);
            let surplus = smallest.map(|i| f.swap_remove(i));
            f.push((nbytes, block));
            surplus
        })
    });
    drop(surplus);
}

#[cfg(feature = "tests")]
pub(crate) mod tests;
