//! How much of the thread's stack is left: what calls itself through the caller's code ends with an error before the
//! stack does.

use crate::bail;
use crate::base::error::Result;
use std::cell::Cell;

thread_local! {
    /// The stack's lowest address, and the one below which no further call may begin; 0 before they were asked for.
    static FLOOR: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// An error where too little of the stack is left for another call.
#[inline]
pub fn check() -> Result<()> {
    let here = 0u8;
    let at = std::ptr::addr_of!(here) as usize;
    let (low, floor) = FLOOR.with(|f| match f.get() {
        (_, 0) => {
            f.set(floor());
            f.get()
        }
        known => known,
    });
    // Below the stack lies what is none of ours: a fiber's stack, of which nothing is known.
    if at < floor && at >= low {
        bail!(Runtime, "maximum recursion depth exceeded: the thread's stack is nearly used up by calls inside calls");
    }
    Ok(())
}

/// An eighth of the stack stays free, within these bounds: what ops need, and the caller's code on top of them.
const LEAST: usize = 16 << 10;
const MOST: usize = 512 << 10;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[cold]
fn floor() -> (usize, usize) {
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes are initialised by the first call, read and destroyed here.
    let known = unsafe {
        let mut attr = std::mem::zeroed::<libc::pthread_attr_t>();
        libc::pthread_getattr_np(libc::pthread_self(), &mut attr) == 0 && {
            let known = libc::pthread_attr_getstack(&attr, &mut low, &mut size) == 0;
            libc::pthread_attr_destroy(&mut attr);
            known
        }
    };
    match known {
        true => (low as usize, low as usize + (size / 8).clamp(LEAST, MOST)),
        false => (1, 1),
    }
}
#[cfg(target_os = "macos")]
#[cold]
fn floor() -> (usize, usize) {
    // SAFETY: plain questions about this thread.
    let (top, size) = unsafe {
        let me = libc::pthread_self();
        (libc::pthread_get_stackaddr_np(me) as usize, libc::pthread_get_stacksize_np(me))
    };
    (top - size, top - size + (size / 8).clamp(LEAST, MOST))
}
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
#[cold]
fn floor() -> (usize, usize) {
    (1, 1)
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;

    #[cfg_attr(test, test)]
    pub(crate) fn ends_before_the_stack() {
        #[inline(never)]
        fn deeper(n: usize) -> usize {
            let mut room = [n as u8; 512];
            std::hint::black_box(&mut room);
            match check() {
                Ok(()) => deeper(n + 1) + room[0] as usize % 2,
                Err(e) => {
                    assert!(e.message.starts_with("maximum recursion depth exceeded"));
                    n
                }
            }
        }
        for size in [64 << 10, 2 << 20] {
            let depth = std::thread::Builder::new().stack_size(size).spawn(|| deeper(0)).unwrap().join().unwrap();
            assert!(depth > 30 && depth < size, "{depth} calls on {size} bytes");
        }
    }
}
