//! Locks that a forked child can take: one held by a thread that stayed behind in the parent counts as free there, since
//! nobody would ever give it back. The sections that they guard leave what they guard usable at every step.
//!
//! A lock's word carries the number of the process in the line of forks that took it. Waiting spins, then yields, then
//! sleeps: sections are short, and a queue of waiting threads would be one more thing that a child inherits.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Once};
use std::time::Duration;

/// How many forks lie between the first process that used the library and this one. The upper bits of lock words.
static AGE: AtomicU32 = AtomicU32::new(0);

/// Has forks counted. Called when the first memory is taken; cheap where it was called before.
#[cold]
pub fn watch_forks() {
    #[cfg(unix)]
    {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            extern "C" fn child() {
                AGE.fetch_add(1, Relaxed);
            }
            // SAFETY: the handler touches one atomic word and stays for the life of the process.
            unsafe {
                libc::pthread_atfork(None, None, Some(child));
            }
        });
    }
}
#[inline(always)]
pub fn age() -> u32 {
    AGE.load(Relaxed)
}

/// Waits a little; longer the more often it was called.
#[cold]
pub fn pause(tries: &mut u32) {
    *tries += 1;
    match *tries {
        0..=40 => std::hint::spin_loop(),
        41..=100 => std::thread::yield_now(),
        _ => std::thread::sleep(Duration::from_micros(50)),
    }
}

/// A mutex. The word: 0 when free, else the holder's age plus 1.
pub struct Mutex<T: ?Sized> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}
// SAFETY: one thread at a time has the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    mark: u32,
    /// Stays in its thread.
    _here: PhantomData<*const ()>,
}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { word: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}
impl<T: ?Sized> Mutex<T> {
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let mark = age().wrapping_add(1);
        if self.word.compare_exchange(0, mark, Acquire, Relaxed).is_err() {
            self.wait(mark);
        }
        MutexGuard { lock: self, mark, _here: PhantomData }
    }
    #[cold]
    fn wait(&self, mark: u32) {
        let mut tries = 0;
        loop {
            let now = self.word.load(Relaxed);
            if now != mark && self.word.compare_exchange(now, mark, Acquire, Relaxed).is_ok() {
                return;
            }
            pause(&mut tries);
        }
    }
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}
impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}
impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}
impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock.
        unsafe { &mut *self.lock.value.get() }
    }
}
impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // A lock of this process is taken over by nobody, so that it needs no locked instruction. One from before a fork may
        // have been, by another thread of the child.
        if self.mark == age().wrapping_add(1) {
            self.lock.word.store(0, Release);
        } else {
            let _ = self.lock.word.compare_exchange(self.mark, 0, Release, Relaxed);
        }
    }
}

/// A lock of many readers or one writer. A reader may read again while a writer waits. The word: age in the upper half,
/// then the writer's bit, then the number of readers.
pub struct RwLock<T: ?Sized> {
    word: AtomicU64,
    value: UnsafeCell<T>,
}
const WRITER: u64 = 1 << 31;
// SAFETY: readers share the value, a writer has it alone.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    age: u32,
    _here: PhantomData<*const ()>,
}
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    age: u32,
    _here: PhantomData<*const ()>,
}
// SAFETY: a guard gives out what the lock does.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<T> RwLock<T> {
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { word: AtomicU64::new(0), value: UnsafeCell::new(value) }
    }
}
impl<T: ?Sized> RwLock<T> {
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
    /// The word without what a process before a fork left.
    #[inline(always)]
    fn current(word: u64, age: u32) -> u64 {
        let base = (age as u64) << 32;
        if word >> 32 == age as u64 {
            word
        } else {
            base
        }
    }
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        let age = age();
        let mut tries = 0;
        let mut word = self.word.load(Relaxed);
        loop {
            let now = Self::current(word, age);
            if now & WRITER != 0 {
                pause(&mut tries);
                word = self.word.load(Relaxed);
                continue;
            }
            match self.word.compare_exchange_weak(word, now + 1, Acquire, Relaxed) {
                Ok(_) => return RwLockReadGuard { lock: self, age, _here: PhantomData },
                Err(other) => word = other,
            }
        }
    }
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let age = age();
        let mut tries = 0;
        loop {
            let word = self.word.load(Relaxed);
            let now = Self::current(word, age);
            if now as u32 == 0 && self.word.compare_exchange(word, now | WRITER, Acquire, Relaxed).is_ok() {
                return RwLockWriteGuard { lock: self, age, _here: PhantomData };
            }
            pause(&mut tries);
        }
    }
    /// Takes back one reader, or the writer, unless a child took the lock over meanwhile.
    #[inline]
    fn give_back(&self, age: u32, part: u64) {
        let mut word = self.word.load(Relaxed);
        while word >> 32 == age as u64 {
            match self.word.compare_exchange_weak(word, word - part, Release, Relaxed) {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }
}
impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}
impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}
impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.give_back(self.age, 1);
    }
}
impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}
impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock alone.
        unsafe { &mut *self.lock.value.get() }
    }
}
impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.give_back(self.age, WRITER);
    }
}

/// A turn at something that takes long and may call the user's code: one thread after the other, and a thread that has
/// it may take it again.
///
/// Code that is called in one turn may ask for another, and two threads may do so crosswise. A thread that has a turn
/// therefore goes on without the other one when that one's holder waits in the same way.
#[derive(Default)]
pub struct Turn {
    /// 0 when free, else the holder: its age in the upper half, its thread's number in the lower.
    holder: AtomicU64,
}
pub struct TurnGuard {
    /// None where the thread had the turn already.
    taken: Option<(Arc<Turn>, u64)>,
}
thread_local! {
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    /// How many turns the thread has.
    static TAKEN: Cell<u32> = const { Cell::new(0) };
}
/// How many threads that have a turn wait for another, by the thread's number; threads that share a place are taken for
/// each other, which costs them an order that they would have had.
static WAITING: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];
fn waiting(thread: u32) -> &'static AtomicU32 {
    &WAITING[thread as usize % WAITING.len()]
}
struct Waiting(u32);
impl Waiting {
    fn begin(thread: u32) -> Waiting {
        waiting(thread).fetch_add(1, SeqCst);
        Waiting(thread)
    }
}
impl Drop for Waiting {
    fn drop(&mut self) {
        waiting(self.0).fetch_sub(1, SeqCst);
    }
}
fn thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NUMBER.with(|n| {
        if n.get() == 0 {
            n.set(NEXT.fetch_add(1, Relaxed));
        }
        n.get()
    })
}
impl Turn {
    pub fn take(this: &Arc<Turn>) -> TurnGuard {
        let me = (age() as u64) << 32 | thread_number() as u64;
        let mut tries = 0;
        let mut wait = None;
        loop {
            let now = this.holder.load(Relaxed);
            if now as u32 == me as u32 {
                return TurnGuard { taken: None };
            }
            let free = now == 0 || now >> 32 != me >> 32;
            if free && this.holder.compare_exchange(now, me, Acquire, Relaxed).is_ok() {
                TAKEN.with(|n| n.set(n.get() + 1));
                return TurnGuard { taken: Some((this.clone(), me)) };
            }
            if TAKEN.with(Cell::get) > 0 {
                wait.get_or_insert_with(|| Waiting::begin(me as u32));
                if !free && now as u8 != me as u8 && waiting(now as u32).load(SeqCst) > 0 {
                    return TurnGuard { taken: None };
                }
            }
            pause(&mut tries);
        }
    }
}
impl Drop for TurnGuard {
    fn drop(&mut self) {
        if let Some((turn, me)) = &self.taken {
            TAKEN.with(|n| n.set(n.get().saturating_sub(1)));
            let _ = turn.holder.compare_exchange(*me, 0, Release, Relaxed);
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    /// Code that is called in a turn asks for the turn that another thread has, and the other way round, in a ring.
    #[cfg_attr(test, test)]
    pub(crate) fn turns_that_wait_for_each_other_go_on() {
        let turns: [Arc<Turn>; 3] = Default::default();
        let all_inside = std::sync::Barrier::new(turns.len());
        std::thread::scope(|s| {
            for i in 0..turns.len() {
                let (turns, all_inside) = (&turns, &all_inside);
                s.spawn(move || {
                    let _own = Turn::take(&turns[i]);
                    all_inside.wait();
                    let _next = Turn::take(&turns[(i + 1) % turns.len()]);
                });
            }
        });
        assert!(turns.iter().all(|t| t.holder.load(Relaxed) == 0));
    }

    #[cfg_attr(test, test)]
    pub(crate) fn one_at_a_time() {
        let (m, rw, turn) = (Mutex::new(0u64), RwLock::new([0u64; 2]), Arc::new(Turn::default()));
        let by_turn = AtomicU64::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for i in 0..2000 {
                        *m.lock() += 1;
                        if i % 3 == 0 {
                            let mut w = rw.write();
                            w[0] += 1;
                            w[1] += 1;
                        } else {
                            let (a, b) = (rw.read(), rw.read());
                            assert_eq!(a[0], b[1]);
                        }
                        let _turn = Turn::take(&turn);
                        let _again = Turn::take(&turn);
                        by_turn.store(by_turn.load(Relaxed) + 1, Relaxed);
                    }
                });
            }
        });
        assert_eq!((*m.lock(), rw.read()[0], by_turn.into_inner()), (8000, 4 * 667, 8000));
    }

    /// What another thread held at the fork is free in the child; what this one holds stays usable.
    #[cfg(unix)]
    #[cfg_attr(test, test)]
    pub(crate) fn a_child_takes_what_stayed_behind() {
        watch_forks();
        let (m, rw, w, turn) = (Mutex::new(1), RwLock::new(2), RwLock::new(3), Arc::new(Turn::default()));
        let (held, go) = std::sync::mpsc::channel();
        let (end, over) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|s| {
            let (m, rw, w, turn) = (&m, &rw, &w, turn.clone());
            s.spawn({
                let turn = turn.clone();
                move || {
                    let _all = (m.lock(), rw.read(), w.write(), Turn::take(&turn));
                    held.send(()).unwrap();
                    let _ = over.recv();
                }
            });
            go.recv().unwrap();
            let own = Mutex::new(4);
            let mine = own.lock();
            // SAFETY: the child only takes locks and leaves.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                *m.lock() += 1;
                *rw.write() += 1;
                let sum = *m.lock() + *rw.read() + *w.read();
                let _turn = Turn::take(&turn);
                drop(mine);
                let again = *own.lock();
                // SAFETY: leaves at once.
                unsafe { libc::_exit((sum != 8 || again != 4) as i32) };
            }
            drop(mine);
            let mut status = -1;
            let mut done = 0;
            for _ in 0..400 {
                // SAFETY: waits for the child made above.
                done = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) };
                if done != 0 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            if done == 0 {
                // SAFETY: the child made above.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            end.send(()).unwrap();
            assert_eq!((done, status), (pid, 0));
        });
    }
}
