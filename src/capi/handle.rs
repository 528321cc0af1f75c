//! The handle table. A handle is a pointer-typed value that encodes kind, generation and slot and is never
//! dereferenced: `kind (8 bits) | generation (24) | slot (29) | 000`.
//!
//! One compare-and-swap on the slot's state word both checks the handle and locks the slot; the lock is held only
//! while an object is cloned, moved in or moved out. A freed slot takes the next generation, so that every handle to
//! it from before is stale; a slot whose generations are used up is retired.

use crate::backend::memory::{self, reserve::fallibly};
use crate::base::sync::{self, Mutex};
use crate::tensor::Tensor;
use std::any::Any;
use std::cell::{RefCell, UnsafeCell};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the handle encoding needs 64-bit pointers");

/// What a handle refers to. The numbers are part of handle values only, not of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Tensor = 0x11,
    TensorList = 0x12,
    Error = 0x13,
    String = 0x14,
    Module = 0x15,
    Optimizer = 0x16,
    Generator = 0x17,
    Node = 0x18,
    NamedTensors = 0x19,
    FunctionCtx = 0x1a,
    Scheduler = 0x1b,
    Graph = 0x1c,
    Event = 0x1d,
    FileWriter = 0x1e,
    CancelToken = 0x1f,
    SummaryWriter = 0x24,
    Progress = 0x25,
    Dataset = 0x26,
    Sampler = 0x27,
    DataLoader = 0x28,
    Batches = 0x29,
    TensorFile = 0x2a,
}
impl Kind {
    const ALL: [Kind; 22] = [
        Kind::Tensor,
        Kind::TensorList,
        Kind::Error,
        Kind::String,
        Kind::Module,
        Kind::Optimizer,
        Kind::Generator,
        Kind::Node,
        Kind::NamedTensors,
        Kind::FunctionCtx,
        Kind::Scheduler,
        Kind::Graph,
        Kind::Event,
        Kind::FileWriter,
        Kind::CancelToken,
        Kind::SummaryWriter,
        Kind::Progress,
        Kind::Dataset,
        Kind::Sampler,
        Kind::DataLoader,
        Kind::Batches,
        Kind::TensorFile,
    ];
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tensor => "tensor",
            Kind::TensorList => "tensor list",
            Kind::Error => "error",
            Kind::String => "string",
            Kind::Module => "module",
            Kind::Optimizer => "optimizer",
            Kind::Generator => "generator",
            Kind::Node => "graph node",
            Kind::NamedTensors => "named tensors",
            Kind::FunctionCtx => "function context",
            Kind::Scheduler => "scheduler",
            Kind::Graph => "graph",
            Kind::Event => "event",
            Kind::FileWriter => "file writer",
            Kind::CancelToken => "cancel token",
            Kind::SummaryWriter => "summary writer",
            Kind::Progress => "progress",
            Kind::Dataset => "dataset",
            Kind::Sampler => "sampler",
            Kind::DataLoader => "data loader",
            Kind::Batches => "batches",
            Kind::TensorFile => "opened file",
        }
    }
    fn from_byte(b: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| *k as u8 == b)
    }
}

/// What stands in a slot. Tensors have no box: they are the hot path.
pub enum Object {
    Tensor(Tensor),
    Other(Box<dyn Any + Send + Sync>),
}

/// Why a value is not the handle that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Null,
    /// No handle of this library.
    Foreign,
    /// A live or freed handle of another kind.
    WrongKind(Kind),
    /// Freed already.
    Stale,
}

/// The upper half of a locked slot's state: who locked it, never 0. What a process before a fork locked counts as free.
#[inline(always)]
fn lock_mark() -> u64 {
    (sync::age() as u64 + 1) << 32
}
const GENERATIONS: u32 = 1 << 24;

/// `state`: the upper half of the live handle (kind, generation), kind 0 while free, plus the lock.
struct Slot {
    state: AtomicU64,
    object: UnsafeCell<MaybeUninit<Object>>,
}

// Chunk k holds FIRST << k slots; 19 chunks cover the 29 bits of a slot number.
const FIRST: usize = 1024;
const CHUNKS: usize = 19;
const MAX_SLOTS: u32 = (FIRST * ((1 << CHUNKS) - 1)) as u32;
static TABLE: [AtomicPtr<Slot>; CHUNKS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS];

/// Slots that no thread's cache holds, and the first slot never used.
struct Global {
    free: Vec<u32>,
    fresh: u32,
}
static GLOBAL: Mutex<Global> = Mutex::new(Global { free: Vec::new(), fresh: 0 });
static RETIRED: AtomicU32 = AtomicU32::new(0);

/// Free slots of one thread.
struct Cache(Vec<u32>);
const BATCH: usize = 32;
impl Drop for Cache {
    fn drop(&mut self) {
        GLOBAL.lock().free.append(&mut self.0);
    }
}
thread_local! {
    static CACHE: RefCell<Cache> = const { RefCell::new(Cache(Vec::new())) };
}

#[inline]
fn locate(slot: u32) -> (usize, usize) {
    let n = slot as usize + FIRST;
    let chunk = (usize::BITS - 1 - n.leading_zeros()) as usize - FIRST.trailing_zeros() as usize;
    (chunk, n - (FIRST << chunk))
}

/// The slot of that number, if its chunk exists.
#[inline]
fn slot_at(slot: u32) -> Option<&'static Slot> {
    let (chunk, index) = locate(slot);
    let base = TABLE.get(chunk)?.load(Ordering::Acquire);
    if base.is_null() {
        return None;
    }
    // SAFETY: chunk `chunk` holds FIRST << chunk slots, index is below that, and chunks are never freed.
    Some(unsafe { &*base.add(index) })
}

/// Takes slots from the global list, or fresh ones, into `out`. False when the table is full or cannot grow.
#[cold]
fn refill(out: &mut Vec<u32>) -> bool {
    let mut g = GLOBAL.lock();
    if g.free.is_empty() {
        let fresh = g.fresh;
        if fresh >= MAX_SLOTS {
            return false;
        }
        let (chunk, index) = locate(fresh);
        if index == 0 {
            let count = FIRST << chunk;
            let mut slots: Vec<Slot> = Vec::new();
            // The list of free slots gets room for all of them now: freeing a handle needs no memory.
            let all = fresh as usize + count;
            let had = fallibly(|| slots.try_reserve_exact(count).is_ok() && g.free.try_reserve_exact(all).is_ok());
            if !had {
                return false;
            }
            slots.resize_with(count, || Slot {
                state: AtomicU64::new(0),
                object: UnsafeCell::new(MaybeUninit::uninit()),
            });
            // Never freed: a lookup may come from any thread at any time.
            TABLE[chunk].store(slots.leak().as_mut_ptr(), Ordering::Release);
        }
        // Chunk sizes are multiples of BATCH, so a batch never crosses into a chunk that is not there.
        out.extend((fresh..fresh + BATCH as u32).rev());
        g.fresh += BATCH as u32;
    } else {
        let keep = g.free.len().saturating_sub(BATCH);
        out.extend(g.free.drain(keep..));
    }
    true
}

#[inline]
fn acquire_slot() -> Option<u32> {
    let cached = CACHE.try_with(|c| {
        let mut c = c.borrow_mut();
        match c.0.pop() {
            Some(s) => Some(s),
            None if refill(&mut c.0) => c.0.pop(),
            None => None,
        }
    });
    // The cache is gone only while its thread ends.
    cached.unwrap_or_else(|_| {
        let mut v = Vec::new();
        refill(&mut v);
        let s = v.pop();
        GLOBAL.lock().free.append(&mut v);
        s
    })
}

#[inline]
fn release_slot(slot: u32) {
    let cached = CACHE.try_with(|c| {
        let mut c = c.borrow_mut();
        c.0.push(slot);
        if c.0.len() > 4 * BATCH {
            let surplus = c.0.drain(..2 * BATCH);
            GLOBAL.lock().free.extend(surplus);
        }
    });
    if cached.is_err() {
        GLOBAL.lock().free.push(slot);
    }
}

/// A slot once the out-of-memory hook was asked.
#[cold]
fn acquire_slot_late() -> crate::Result<u32> {
    if GLOBAL.lock().fresh >= MAX_SLOTS {
        crate::bail!(OutOfMemory, "2^29 handles are alive: something frees none of them");
    }
    let nbytes = GLOBAL.lock().fresh as usize * std::mem::size_of::<Slot>();
    let found = if memory::memory_was_freed(nbytes) { acquire_slot() } else { None };
    found.ok_or_else(|| memory::out_of_memory(nbytes))
}

/// Puts an object into the table; the value of its handle.
#[inline]
pub fn insert(kind: Kind, object: Object) -> crate::Result<usize> {
    let number = match acquire_slot() {
        Some(n) => n,
        None => acquire_slot_late()?,
    };
    let Some(slot) = slot_at(number) else { crate::bail!(Internal, "a handle's slot is missing") };
    let generation = slot.state.load(Ordering::Acquire) as u32 % GENERATIONS;
    let tag = (kind as u32) << 24 | generation;
    // SAFETY: a free slot (kind 0) belongs to whoever took it from a free list; nobody else reads its object.
    unsafe { (*slot.object.get()).write(object) };
    slot.state.store(tag as u64, Ordering::Release);
    Ok((tag as usize) << 32 | (number as usize) << 3)
}

/// Locks the slot of a handle; the caller stores the next state, which unlocks it.
#[inline]
fn lock(bits: usize, kind: Kind) -> Result<(&'static Slot, u32), Fault> {
    let (tag, number) = ((bits >> 32) as u32, (bits as u32) >> 3);
    if tag >> 24 != kind as u32 || bits & 7 != 0 {
        return Err(classify(bits, kind));
    }
    let Some(slot) = slot_at(number) else { return Err(Fault::Foreign) };
    let (mut tries, mut free, mark) = (0u32, tag as u64, lock_mark());
    loop {
        match slot.state.compare_exchange_weak(free, tag as u64 | mark, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return Ok((slot, number)),
            Err(now) if now as u32 != tag => return Err(Fault::Stale),
            Err(now) if now >> 32 == mark >> 32 => {
                free = tag as u64;
                sync::pause(&mut tries);
            }
            Err(now) => free = now,
        }
    }
}

#[cold]
fn classify(bits: usize, wanted: Kind) -> Fault {
    if bits == 0 {
        return Fault::Null;
    }
    match Kind::from_byte((bits >> 56) as u8) {
        Some(kind) if kind != wanted && bits & 7 == 0 && slot_at((bits as u32) >> 3).is_some() => {
            Fault::WrongKind(kind)
        }
        _ => Fault::Foreign,
    }
}

/// Runs `f` on the object of a live handle while its slot is locked: `f` only clones, it must not call user code.
#[inline]
pub fn with<R>(bits: usize, kind: Kind, f: impl FnOnce(&Object) -> R) -> Result<R, Fault> {
    struct Unlock(&'static Slot, u64);
    impl Drop for Unlock {
        #[inline]
        fn drop(&mut self) {
            self.0.state.store(self.1, Ordering::Release);
        }
    }
    let (slot, _) = lock(bits, kind)?;
    let _unlock = Unlock(slot, (bits >> 32) as u64);
    // SAFETY: the slot is live (its kind is not 0) and locked by us, so its object is initialised and stays.
    Ok(f(unsafe { (*slot.object.get()).assume_init_ref() }))
}

/// The tensor of a handle.
#[inline]
pub fn tensor(bits: usize) -> Result<Tensor, Fault> {
    with(bits, Kind::Tensor, |o| match o {
        Object::Tensor(t) => Some(t.clone()),
        Object::Other(_) => None,
    })?
    .ok_or(Fault::Foreign)
}

/// A clone of the object of a handle (an object that is cheap to clone: an Arc inside).
pub fn get<T: Clone + 'static>(bits: usize, kind: Kind) -> Result<T, Fault> {
    with(bits, kind, |o| match o {
        Object::Tensor(t) => (t as &dyn Any).downcast_ref::<T>().cloned(),
        Object::Other(b) => b.downcast_ref::<T>().cloned(),
    })?
    .ok_or(Fault::Foreign)
}

/// Takes the object out of the table; every copy of the handle is stale from now on. Dropping the object is the
/// caller's: no lock is held then, so its destructors may call the library again.
#[inline]
pub fn remove(bits: usize, kind: Kind) -> Result<Object, Fault> {
    let (slot, number) = lock(bits, kind)?;
    // SAFETY: live and locked by us; the new state below says that the object is gone.
    let object = unsafe { (*slot.object.get()).assume_init_read() };
    let generation = (bits >> 32) as u32 % GENERATIONS + 1;
    if generation == GENERATIONS {
        // Kind 0 and never in a free list again: old handles stay stale for good.
        slot.state.store(0, Ordering::Release);
        RETIRED.fetch_add(1, Ordering::Relaxed);
    } else {
        slot.state.store(generation as u64, Ordering::Release);
        release_slot(number);
    }
    Ok(object)
}

/// How many handles of each kind are alive; walks the table, for leak tests.
pub fn count(kind: Option<Kind>) -> u64 {
    let fresh = GLOBAL.lock().fresh;
    (0..fresh)
        .filter_map(slot_at)
        .filter(|s| {
            let byte = (s.state.load(Ordering::Relaxed) >> 24) as u8;
            byte != 0 && kind.is_none_or(|k| k as u8 == byte)
        })
        .count() as u64
}

// SAFETY: a slot's object is touched only by the thread that holds the slot's lock or owns the free slot, and objects
// are Send + Sync.
unsafe impl Sync for Slot {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn put(v: u64) -> usize {
        insert(Kind::String, Object::Other(Box::new(Arc::new(v)))).unwrap()
    }
    fn read(h: usize) -> Result<u64, Fault> {
        get::<Arc<u64>>(h, Kind::String).map(|v| *v)
    }

    #[test]
    fn lifecycle_and_faults() {
        let h = put(7);
        assert_eq!(h & 7, 0);
        assert_eq!(read(h), Ok(7));
        assert_eq!(tensor(h).err(), Some(Fault::WrongKind(Kind::String)));
        assert!(remove(h, Kind::Tensor).is_err());
        assert!(remove(h, Kind::String).is_ok());
        assert_eq!(read(h), Err(Fault::Stale));
        assert_eq!(remove(h, Kind::String).err(), Some(Fault::Stale));
        let again = put(8);
        assert_ne!(again, h, "a reused slot has another generation");
        assert_eq!(read(h), Err(Fault::Stale));
        remove(again, Kind::String).unwrap();
    }

    #[test]
    fn no_handle_at_all() {
        let local = 5u64;
        assert_eq!(read(0), Err(Fault::Null));
        assert_eq!(read(&local as *const u64 as usize), Err(Fault::Foreign));
        assert_eq!(read(usize::MAX), Err(Fault::Foreign));
        assert_eq!(read(1), Err(Fault::Foreign));
        // The right kind with a slot whose chunk was never made.
        assert_eq!(read((Kind::String as usize) << 56 | 0xffff_fff8), Err(Fault::Foreign));
        let h = put(1);
        assert_eq!(read(h | 1), Err(Fault::Foreign));
        remove(h, Kind::String).unwrap();
    }

    #[test]
    fn locate_covers_every_slot_once() {
        assert_eq!(locate(0), (0, 0));
        assert_eq!(locate(1023), (0, 1023));
        assert_eq!(locate(1024), (1, 0));
        assert_eq!(locate(1024 + 2047), (1, 2047));
        assert_eq!(locate(MAX_SLOTS - 1).0, CHUNKS - 1);
        assert!(locate(MAX_SLOTS).0 == CHUNKS);
    }

    #[test]
    fn a_slot_is_retired_when_its_generations_are_used_up() {
        let h = put(3);
        let number = (h as u32) >> 3;
        let slot = slot_at(number).unwrap();
        // As if it had been reused 2^24 - 1 times.
        let last = (Kind::String as u32) << 24 | (GENERATIONS - 1);
        slot.state.store(last as u64, Ordering::Release);
        let old = (last as usize) << 32 | (number as usize) << 3;
        assert_eq!(read(old), Ok(3));
        remove(old, Kind::String).unwrap();
        assert_eq!(read(old), Err(Fault::Stale));
        let handles: Vec<usize> = (0..500).map(put).collect();
        assert!(handles.iter().all(|h| (*h as u32) >> 3 != number));
        handles.into_iter().for_each(|h| drop(remove(h, Kind::String).unwrap()));
    }

    #[test]
    fn concurrent_use_and_free() {
        // Every thread reads and frees the same handles: each is freed exactly once and never read wrongly.
        for round in 0..50 {
            let handles: Arc<Vec<usize>> = Arc::new((0..200).map(|i| put(round * 1000 + i)).collect());
            let freed: u64 = std::thread::scope(|s| {
                let workers: Vec<_> = (0..4)
                    .map(|_| {
                        let handles = handles.clone();
                        s.spawn(move || {
                            let mut freed = 0;
                            for (i, h) in handles.iter().enumerate() {
                                if let Ok(v) = read(*h) {
                                    assert_eq!(v, round * 1000 + i as u64);
                                }
                                let mine = put(i as u64);
                                if remove(*h, Kind::String).is_ok() {
                                    freed += 1;
                                }
                                assert_eq!(read(mine), Ok(i as u64));
                                remove(mine, Kind::String).unwrap();
                            }
                            freed
                        })
                    })
                    .collect();
                workers.into_iter().map(|w| w.join().unwrap()).sum()
            });
            assert_eq!(freed, 200);
        }
    }

    #[test]
    fn objects_are_dropped_exactly_once() {
        let witness = Arc::new(());
        let handles: Vec<usize> =
            (0..100).map(|_| insert(Kind::Node, Object::Other(Box::new(witness.clone()))).unwrap()).collect();
        assert_eq!(Arc::strong_count(&witness), 101);
        std::thread::scope(|s| {
            for part in handles.chunks(25) {
                s.spawn(move || part.iter().for_each(|h| drop(remove(*h, Kind::Node).unwrap())));
            }
        });
        assert_eq!(Arc::strong_count(&witness), 1);
    }
}
