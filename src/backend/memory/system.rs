//! The system's memory: how much there is, blocks of it, and who is asked when there is none.

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::sync::RwLock;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// Asked when memory runs out: frees what it can and says whether to try again.
pub type OutOfMemoryHook = Arc<dyn Fn(usize) -> bool + Send + Sync>;
static OUT_OF_MEMORY: RwLock<Option<OutOfMemoryHook>> = RwLock::new(None);

/// Sets (or removes) what is asked once before an allocation fails; gives back what was set before. A language with a
/// garbage collector runs it there.
pub fn set_out_of_memory_hook(hook: Option<OutOfMemoryHook>) -> Option<OutOfMemoryHook> {
    std::mem::replace(&mut *OUT_OF_MEMORY.write(), hook)
}

/// Whether the hook freed something, so that another attempt is worth it.
#[cold]
pub fn memory_was_freed(nbytes: usize) -> bool {
    // The hook is the caller's code: it runs on the caller's thread, outside of kernels.
    if crate::backend::inside::is_inside() {
        return false;
    }
    thread_local!(static ASKING: Cell<bool> = const { Cell::new(false) });
    // A copy: the hook frees tensors and may set another hook. Memory that the hook itself fails to get is not asked of it.
    let hook = OUT_OF_MEMORY.read().clone();
    if ASKING.with(|a| a.replace(true)) {
        return false;
    }
    struct Asked;
    impl Drop for Asked {
        fn drop(&mut self) {
            ASKING.with(|a| a.set(false));
        }
    }
    let _asked = Asked;
    hook.is_some_and(|f| f(nbytes))
}

/// The error of `nbytes` bytes that are not to be had.
#[cold]
pub fn out_of_memory(nbytes: usize) -> Error {
    Error::new(
        ErrorKind::OutOfMemory,
        format!(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate {nbytes} bytes. \
             Error code 12 (Cannot allocate memory)"
        ),
    )
}

/// From here on a request is compared with the machine's memory.
const LARGE: usize = 256 << 20;

/// Whether so many bytes exceed the machine's memory and swap together. The system may promise them all the same
/// (overcommit) and kill the process when it writes.
#[inline]
pub fn is_absurd(nbytes: usize) -> bool {
    nbytes > LARGE && nbytes > machine_memory()
}

#[cold]
fn machine_memory() -> usize {
    static KNOWN: AtomicUsize = AtomicUsize::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let n = ask_machine_memory();
            KNOWN.store(n, Ordering::Relaxed);
            n
        }
        n => n,
    }
}
#[cfg(target_os = "linux")]
fn ask_machine_memory() -> usize {
    // SAFETY: an out-parameter of plain numbers, all of which may be zero.
    let (ok, info) = unsafe {
        let mut info: libc::sysinfo = std::mem::zeroed();
        (libc::sysinfo(&mut info) == 0, info)
    };
    let total = (info.totalram as usize).saturating_add(info.totalswap as usize);
    let total = total.saturating_mul(info.mem_unit.max(1) as usize);
    if ok && total > 0 {
        total
    } else {
        1 << 47
    }
}
#[cfg(not(target_os = "linux"))]
fn ask_machine_memory() -> usize {
    1 << 47
}

/// Tries once, and again when the hook freed something. The hook runs with nothing that `get` locked.
#[inline]
pub fn attempt<T>(nbytes: usize, mut get: impl FnMut() -> Option<T>) -> Result<T> {
    if let Some(v) = get() {
        return Ok(v);
    }
    if !is_absurd(nbytes) && memory_was_freed(nbytes) {
        if let Some(v) = get() {
            return Ok(v);
        }
    }
    Err(out_of_memory(nbytes))
}

/// Whether `n` small objects of about `each` bytes can be made, for results that are many of them (views, handles):
/// looked at before the first is made, because small objects alone do not notice that they are too many.
pub fn room_for(n: usize, each: usize) -> Result<()> {
    let nbytes = n.saturating_mul(each);
    if nbytes <= 1 << 20 {
        return Ok(());
    }
    attempt(nbytes, || has_room(nbytes).then_some(()))
}

/// Whether the system has so many bytes now; the hook is not asked.
pub fn has_room(nbytes: usize) -> bool {
    if is_absurd(nbytes) || (nbytes > 4 * LARGE && nbytes > available_memory()) {
        return false;
    }
    let Ok(layout) = std::alloc::Layout::from_size_align(nbytes.max(1), 16) else { return false };
    let p = system_alloc(layout);
    if p.is_null() {
        return false;
    }
    // SAFETY: from `system_alloc` just now.
    unsafe { system_free(p, layout) };
    true
}

/// Whether the process may map so many bytes more. Unlike [`has_room`] this does not count what the C library's heap holds.
pub fn can_map(nbytes: usize) -> bool {
    #[cfg(unix)]
    {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping, which nobody else knows and which ends here.
        unsafe {
            let p = libc::mmap(std::ptr::null_mut(), nbytes, access, kind, -1, 0);
            p != libc::MAP_FAILED && libc::munmap(p, nbytes) == 0
        }
    }
    #[cfg(not(unix))]
    has_room(nbytes)
}

/// What the system could hand out without swapping; everything where it does not say.
#[cold]
fn available_memory() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<usize>().ok());
    kib.map_or(usize::MAX, |k| k.saturating_mul(1024))
}

/// Memory straight from the system, never from the reserve: null when there is none. For blocks of data.
pub fn system_alloc(layout: std::alloc::Layout) -> *mut u8 {
    use std::alloc::GlobalAlloc;
    #[cfg(debug_assertions)]
    if super::inject::fails() {
        return std::ptr::null_mut();
    }
    debug_assert!(layout.size() > 0);
    // SAFETY: the size is not zero.
    unsafe { std::alloc::System.alloc(layout) }
}

/// # Safety
/// `p` came from `system_alloc` with this layout and is not used any more.
pub unsafe fn system_free(p: *mut u8, layout: std::alloc::Layout) {
    use std::alloc::GlobalAlloc;
    // SAFETY: the caller's.
    unsafe { std::alloc::System.dealloc(p, layout) }
}
