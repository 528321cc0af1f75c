//! The global allocator: the system's, and a reserve for small requests when the system has nothing left.
//!
//! Requests go to the system; one that it refuses is served from the reserve when it is small (`SMALL_MAX`), comes
//! from a crate that was granted memory (`Grant`), or packs a matrix product (`packing`). The reserve is address space
//! until then: nothing of it is resident. Every later call into the library looks at one flag (`check`) and, while the
//! system still has no memory, is an error before it does anything, so that the reserve serves the call that emptied
//! the system and is filled again by what is freed.
//!
//! Without the crate's feature `allocator` (a Rust program that brings its own) small requests end the process as they
//! do in any Rust program.

use crate::base::error::{Error, ErrorKind, Result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

#[cfg(feature = "allocator")]
#[global_allocator]
static GLOBAL: Allocator = Allocator;

/// Largest request that the reserve serves unasked.
pub const SMALL_MAX: usize = 16 << 10;
/// Address space of the reserve for small requests, and of each addition to it.
const SMALL: usize = 4 << 20;
/// What the packing of one matrix product may take: `cpu::gemm` keeps its blocks below.
pub const PACKING: usize = 24 << 20;
/// What must be had from the system for it to count as having memory again.
const PROBE: usize = 256 << 10;

/// Whether a block outside the system's heap was ever handed out: before, freeing looks no further.
static EVER: AtomicBool = AtomicBool::new(false);
/// Whether the small reserve was used since the system last had memory.
static LOW: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether the request is one that may fail: then the reserve stays out of it.
    static FALLIBLE: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread is inside a matrix product.
    static IN_PACKING: Cell<bool> = const { Cell::new(false) };
    /// This thread's grant: the number of its region, 0 for none.
    static GRANTED: Cell<usize> = const { Cell::new(0) };
}

/// Runs an allocation that may fail: `f` gets null instead of the reserve.
#[inline]
pub fn fallibly<R>(f: impl FnOnce() -> R) -> R {
    FALLIBLE.with(|c| {
        let before = c.replace(true);
        let r = f();
        c.set(before);
        r
    })
}

/// Whether the reserve is in use: one relaxed load.
#[inline(always)]
pub fn is_low() -> bool {
    LOW.load(Relaxed)
}

/// An error while the system has no memory and the reserve is in use. Called before work that makes small objects.
#[inline(always)]
pub fn check() -> Result<()> {
    if is_low() {
        return recover();
    }
    Ok(())
}

#[cold]
fn recover() -> Result<()> {
    if refilled() || (super::system::memory_was_freed(PROBE) && refilled()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::OutOfMemory,
        "out of memory: the system has none left and the library's reserve is in use; free something and try again",
    ))
}

/// Whether the system has memory again and the reserve is good for another time.
fn refilled() -> bool {
    let Ok(layout) = Layout::from_size_align(PROBE, 16) else { return false };
    let p = super::system::system_alloc(layout);
    if p.is_null() {
        return false;
    }
    // SAFETY: just obtained.
    unsafe { super::system::system_free(p, layout) };
    if SMALL_LEFT.load(Relaxed) < SMALL / 2 && !add_small() {
        return false;
    }
    LOW.store(false, Relaxed);
    true
}

// ---- Regions ----

/// A stretch of address space from the system that requests are served from.
struct Region {
    base: AtomicUsize,
    size: AtomicUsize,
    /// Taken so far, from the start.
    used: AtomicUsize,
    /// Blocks handed out and not freed.
    live: AtomicUsize,
    /// A grant whose owner is gone: given back with its last block.
    closed: AtomicBool,
    small: AtomicBool,
}
const REGIONS: usize = 64;
/// Number 0 means none.
static TABLE: [Region; REGIONS] = [const {
    Region {
        base: AtomicUsize::new(0),
        size: AtomicUsize::new(0),
        used: AtomicUsize::new(0),
        live: AtomicUsize::new(0),
        closed: AtomicBool::new(false),
        small: AtomicBool::new(false),
    }
}; REGIONS];
/// The region that packs matrix products.
const PACK: usize = 1;
/// One past the regions that were ever mapped, of the reserve and of grants.
static SMALL_TOP: AtomicUsize = AtomicUsize::new(0);
static GRANT_TOP: AtomicUsize = AtomicUsize::new(0);
/// The first small one.
const FIRST_SMALL: usize = 2;

/// Guards the table and the lists of free blocks. Held for a few instructions; a forked child whose parent held it at
/// that moment waits a while and then does without.
static LOCK: AtomicBool = AtomicBool::new(false);
struct Held(bool);
impl Held {
    fn take() -> Held {
        for spin in 0..1_000_000u32 {
            if LOCK.compare_exchange_weak(false, true, Acquire, Relaxed).is_ok() {
                return Held(true);
            }
            if spin % 64 == 63 {
                std::thread::yield_now();
            }
        }
        Held(false)
    }
}
impl Drop for Held {
    fn drop(&mut self) {
        if self.0 {
            LOCK.store(false, Release);
        }
    }
}

/// Free blocks of the small regions by size: 32 bytes, 64, ... SMALL_MAX; the link stands in a block's first bytes.
const CLASSES: usize = (SMALL_MAX.trailing_zeros() - 5 + 1) as usize;
struct Lists(UnsafeCell<[*mut u8; CLASSES]>);
// SAFETY: touched under LOCK only.
unsafe impl Sync for Lists {}
static LISTS: Lists = Lists(UnsafeCell::new([ptr::null_mut(); CLASSES]));
static SMALL_LIVE: AtomicUsize = AtomicUsize::new(0);
/// Bytes of the small regions that are not handed out, about.
static SMALL_LEFT: AtomicUsize = AtomicUsize::new(0);

fn class_of(size: usize) -> usize {
    (size.max(32).next_power_of_two().trailing_zeros() - 5) as usize
}

fn map(number: usize, size: usize, small: bool) -> bool {
    let Ok(layout) = Layout::from_size_align(size, 4096) else { return false };
    // SAFETY: the size is not zero.
    let p = unsafe { System.alloc(layout) };
    if p.is_null() {
        return false;
    }
    let r = &TABLE[number];
    r.used.store(0, Relaxed);
    r.live.store(0, Relaxed);
    r.closed.store(false, Relaxed);
    r.small.store(small, Relaxed);
    r.size.store(size, Relaxed);
    r.base.store(p as usize, Release);
    let top = if number < REGIONS / 2 { &SMALL_TOP } else { &GRANT_TOP };
    top.fetch_max(number + 1, Release);
    true
}

/// Obtains the reserve's address space, once, while there is some.
pub fn prepare() {
    static DONE: AtomicBool = AtomicBool::new(false);
    if cfg!(feature = "allocator") && !DONE.swap(true, Relaxed) {
        let _held = Held::take();
        map(PACK, PACKING, false);
        drop(_held);
        add_small();
    }
}

#[cold]
fn add_small() -> bool {
    let held = Held::take();
    let free = (FIRST_SMALL..REGIONS / 2).find(|i| TABLE[*i].base.load(Relaxed) == 0);
    let done = held.0 && free.is_some_and(|i| map(i, SMALL, true));
    if done {
        SMALL_LEFT.fetch_add(SMALL, Relaxed);
    }
    done
}

/// The region that an address lies in.
fn region_of(p: *mut u8) -> Option<usize> {
    let small = PACK..SMALL_TOP.load(Acquire);
    small.chain(REGIONS / 2..GRANT_TOP.load(Acquire)).find(|i| {
        let base = TABLE[*i].base.load(Acquire);
        base != 0 && (p as usize).wrapping_sub(base) < TABLE[*i].size.load(Relaxed)
    })
}

/// The next bytes of a region. Under the lock.
fn bump(number: usize, size: usize, align: usize) -> *mut u8 {
    let r = &TABLE[number];
    let base = r.base.load(Acquire);
    if base == 0 {
        return ptr::null_mut();
    }
    let start = (base + r.used.load(Relaxed)).next_multiple_of(align.max(64)) - base;
    match start.checked_add(size) {
        Some(end) if end <= r.size.load(Relaxed) => {
            r.used.store(end, Relaxed);
            r.live.fetch_add(1, Relaxed);
            (base + start) as *mut u8
        }
        _ => ptr::null_mut(),
    }
}

fn take_small(layout: Layout) -> *mut u8 {
    let class = class_of(layout.size().max(layout.align()));
    let size = 32usize << class;
    let held = Held::take();
    if !held.0 {
        return ptr::null_mut();
    }
    // SAFETY: under the lock; blocks on a list are free and begin with the link.
    let p = unsafe {
        let head = &mut (*LISTS.0.get())[class];
        let p = *head;
        if p.is_null() {
            let small = (FIRST_SMALL..REGIONS / 2).filter(|i| TABLE[*i].small.load(Relaxed));
            small.map(|i| bump(i, size, size.min(4096))).find(|p| !p.is_null()).unwrap_or(ptr::null_mut())
        } else {
            *head = p.cast::<*mut u8>().read();
            p
        }
    };
    if !p.is_null() {
        SMALL_LIVE.fetch_add(1, Relaxed);
        SMALL_LEFT.fetch_sub(size.min(SMALL_LEFT.load(Relaxed)), Relaxed);
        LOW.store(true, Relaxed);
    }
    p
}

/// Which thread's product has the packing region: the address of its thread-local, 0 for none.
static PACKER: AtomicUsize = AtomicUsize::new(0);

fn take_packing(layout: Layout) -> *mut u8 {
    let me = IN_PACKING.with(|c| c as *const _ as usize);
    // One product at a time; another thread's is a matter of milliseconds.
    while PACKER.load(Relaxed) != me {
        if PACKER.compare_exchange(0, me, Acquire, Relaxed).is_err() {
            std::thread::yield_now();
        }
    }
    let held = Held::take();
    let p = if held.0 { bump(PACK, layout.size(), layout.align()) } else { ptr::null_mut() };
    if p.is_null() && TABLE[PACK].live.load(Relaxed) == 0 {
        PACKER.store(0, Release);
    }
    p
}

/// What the system refused.
#[cold]
fn refused(layout: Layout) -> *mut u8 {
    let grant = GRANTED.with(Cell::get);
    let fallible = FALLIBLE.with(Cell::get);
    if (fallible && grant == 0) || layout.align() > 4096 {
        return ptr::null_mut();
    }
    EVER.store(true, Relaxed);
    if grant != 0 && grant != BY_RESERVE {
        let held = Held::take();
        let p = if held.0 { bump(grant, layout.size(), layout.align()) } else { ptr::null_mut() };
        drop(held);
        if !p.is_null() {
            return p;
        }
    }
    if fallible && grant != BY_RESERVE {
        return ptr::null_mut();
    }
    if layout.size() <= SMALL_MAX {
        return take_small(layout);
    }
    if IN_PACKING.with(Cell::get) {
        return take_packing(layout);
    }
    ptr::null_mut()
}

/// Takes back a block of a region; false when it is the system's.
#[cold]
fn returned(p: *mut u8, layout: Layout) -> bool {
    let Some(number) = region_of(p) else { return false };
    let r = &TABLE[number];
    if r.small.load(Relaxed) {
        let held = Held::take();
        if !held.0 {
            return true;
        }
        let class = class_of(layout.size().max(layout.align()));
        r.live.fetch_sub(1, Relaxed);
        SMALL_LEFT.fetch_add(32 << class, Relaxed);
        // SAFETY: under the lock; the block is free now.
        unsafe {
            let lists = &mut *LISTS.0.get();
            if SMALL_LIVE.fetch_sub(1, Relaxed) == 1 {
                // All are back: begin anew.
                *lists = [ptr::null_mut(); CLASSES];
                let mut left = 0;
                for r in TABLE[FIRST_SMALL..REGIONS / 2].iter().filter(|r| r.small.load(Relaxed)) {
                    r.used.store(0, Relaxed);
                    r.live.store(0, Relaxed);
                    left += SMALL;
                }
                SMALL_LEFT.store(left, Relaxed);
            } else {
                p.cast::<*mut u8>().write(lists[class]);
                lists[class] = p;
            }
        }
        return true;
    }
    // A grant's blocks may be freed by any thread.
    let held = Held::take();
    if r.live.fetch_sub(1, AcqRel) == 1 {
        r.used.store(0, Relaxed);
        if number == PACK {
            PACKER.store(0, Release);
        } else if r.closed.load(Relaxed) {
            unmap(number);
        }
    }
    drop(held);
    true
}

fn unmap(number: usize) {
    let r = &TABLE[number];
    let (base, size) = (r.base.load(Relaxed), r.size.load(Relaxed));
    r.base.store(0, Release);
    if let Ok(layout) = Layout::from_size_align(size, 4096) {
        // SAFETY: from `map` with this layout; no block of it is live.
        unsafe { System.dealloc(base as *mut u8, layout) };
    }
}

/// The global allocator.
pub struct Allocator;

// SAFETY: blocks are the system's, or disjoint parts of regions, at least as large and as aligned as asked for; a block
// goes back to where it came from, which its address tells.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        #[cfg(debug_assertions)]
        if super::inject::fails() {
            return injected(layout, false);
        }
        // SAFETY: the caller's.
        let p = unsafe { System.alloc(layout) };
        if p.is_null() {
            return refused(layout);
        }
        p
    }
    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        #[cfg(debug_assertions)]
        if super::inject::fails() {
            return injected(layout, true);
        }
        // SAFETY: the caller's.
        let p = unsafe { System.alloc_zeroed(layout) };
        if p.is_null() {
            let p = refused(layout);
            if !p.is_null() {
                // SAFETY: as large as the layout says.
                unsafe { p.write_bytes(0, layout.size()) };
            }
            return p;
        }
        p
    }
    #[inline]
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if EVER.load(Relaxed) && returned(p, layout) {
            return;
        }
        // SAFETY: the caller's.
        unsafe { System.dealloc(p, layout) }
    }
    #[inline]
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        #[cfg(debug_assertions)]
        if super::inject::fails() {
            // SAFETY: the caller's.
            return unsafe { moved(p, layout, size, |l| injected(l, false)) };
        }
        if EVER.load(Relaxed) && region_of(p).is_some() {
            // SAFETY: the caller's.
            return unsafe { moved(p, layout, size, |l| self.alloc(l)) };
        }
        // SAFETY: the caller's.
        let q = unsafe { System.realloc(p, layout, size) };
        if q.is_null() {
            // SAFETY: the caller's; the old block is still there.
            return unsafe { moved(p, layout, size, refused) };
        }
        q
    }
}

/// A block's content in a new block.
///
/// # Safety
/// As `realloc`.
#[cold]
unsafe fn moved(p: *mut u8, layout: Layout, size: usize, get: impl FnOnce(Layout) -> *mut u8) -> *mut u8 {
    let Ok(new) = Layout::from_size_align(size, layout.align()) else { return ptr::null_mut() };
    let q = get(new);
    if !q.is_null() {
        // SAFETY: both are at least that large, and distinct.
        unsafe {
            q.copy_from_nonoverlapping(p, layout.size().min(size));
            Allocator.dealloc(p, layout);
        }
    }
    q
}

/// A request that a test has fail: what the system's refusal leads to, and a note where that would end the process.
#[cfg(debug_assertions)]
#[cold]
fn injected(layout: Layout, zero: bool) -> *mut u8 {
    let mut p = refused(layout);
    if p.is_null() && !FALLIBLE.with(Cell::get) {
        super::inject::note_abort(layout.size());
        // SAFETY: the caller's layout.
        p = unsafe { System.alloc(layout) };
    }
    if !p.is_null() && zero {
        // SAFETY: as large as the layout says.
        unsafe { p.write_bytes(0, layout.size()) };
    }
    p
}

// ---- Grants ----

/// The "region" of a grant so small that the reserve serves it.
const BY_RESERVE: usize = REGIONS;

/// Memory set aside for work that cannot or must not fail halfway: while it lives, what this thread allocates is served
/// from it when the system has nothing. Blocks may outlive it.
pub struct Grant {
    number: usize,
    before: usize,
    /// Thread-bound.
    _here: std::marker::PhantomData<*const ()>,
}

/// Sets `nbytes` aside; the crate's bound.
pub fn grant(nbytes: usize) -> Result<Grant> {
    if nbytes <= SMALL / 16 {
        // The reserve does for as much.
        check()?;
        let before = GRANTED.with(|c| c.replace(if c.get() == 0 { BY_RESERVE } else { c.get() }));
        return Ok(Grant { number: BY_RESERVE, before, _here: std::marker::PhantomData });
    }
    if !cfg!(feature = "allocator") {
        super::system::room_for(1, nbytes)?;
        return Ok(Grant { number: 0, before: 0, _here: std::marker::PhantomData });
    }
    let number = super::system::attempt(nbytes, || {
        #[cfg(debug_assertions)]
        if super::inject::fails() {
            return None;
        }
        let held = Held::take();
        let free = (REGIONS / 2..REGIONS).find(|i| TABLE[*i].base.load(Relaxed) == 0)?;
        (held.0 && !super::system::is_absurd(nbytes) && map(free, nbytes, false)).then_some(free)
    })?;
    let before = GRANTED.with(|c| c.replace(number));
    Ok(Grant { number, before, _here: std::marker::PhantomData })
}

impl Drop for Grant {
    fn drop(&mut self) {
        if self.number == 0 {
            return;
        }
        GRANTED.with(|c| c.set(self.before));
        if self.number == BY_RESERVE {
            return;
        }
        let _held = Held::take();
        let r = &TABLE[self.number];
        r.closed.store(true, Relaxed);
        if r.live.load(Acquire) == 0 {
            unmap(self.number);
        }
    }
}

/// Runs a matrix product of a crate that packs its operands into memory of its own, at most `PACKING` bytes.
#[inline]
pub fn packing<R>(f: impl FnOnce() -> R) -> R {
    IN_PACKING.with(|c| {
        let before = c.replace(true);
        let r = f();
        c.set(before);
        r
    })
}

#[cfg(all(feature = "tests", feature = "allocator"))]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn small_blocks_are_distinct_and_come_back() {
        prepare();
        let layouts: Vec<Layout> = [1usize, 8, 31, 32, 33, 100, 4096, SMALL_MAX]
            .iter()
            .flat_map(|s| [1usize, 8, 64].map(|a| Layout::from_size_align(*s, a).unwrap()))
            .collect();
        for _ in 0..3 {
            let blocks: Vec<(*mut u8, Layout)> = layouts.iter().map(|l| (take_small(*l), *l)).collect();
            for (i, (p, l)) in blocks.iter().enumerate() {
                assert!(!p.is_null() && (*p as usize).is_multiple_of(l.align()));
                // SAFETY: the block's bytes.
                unsafe { p.write_bytes(i as u8, l.size()) };
            }
            for (i, (p, l)) in blocks.iter().enumerate() {
                // SAFETY: written above.
                let s = unsafe { std::slice::from_raw_parts(*p, l.size()) };
                assert!(s.iter().all(|b| *b == i as u8));
            }
            for (p, l) in blocks {
                assert!(returned(p, l));
            }
        }
        check().unwrap();
    }

    #[cfg_attr(test, test)]
    pub(crate) fn a_grant_serves_its_thread_and_outlives_itself() {
        let layout = Layout::from_size_align(1_000_000, 16).unwrap();
        let g = grant(2_500_000).unwrap();
        let (a, b) = (refused(layout), refused(layout));
        assert!(!a.is_null() && !b.is_null() && a != b);
        assert!(refused(layout).is_null(), "the grant is used up");
        drop(g);
        assert!(region_of(a).is_some());
        assert!(returned(a, layout) && returned(b, layout));
        assert!(region_of(a).is_none(), "given back with its last block");
    }

    #[cfg_attr(test, test)]
    pub(crate) fn products_of_several_threads_take_turns() {
        prepare();
        let layout = Layout::from_size_align(8 << 20, 64).unwrap();
        std::thread::scope(|s| {
            for t in 0..4u8 {
                s.spawn(move || {
                    for _ in 0..50 {
                        packing(|| {
                            let p = refused(layout);
                            assert!(!p.is_null());
                            // SAFETY: the block's first bytes.
                            unsafe { p.write_bytes(t, 64) };
                            std::thread::yield_now();
                            // SAFETY: as above.
                            assert_eq!(unsafe { p.add(63).read() }, t);
                            assert!(returned(p, layout));
                        });
                    }
                });
            }
        });
    }
}
