use super::*;
use crate::base::error::ErrorKind;

#[cfg_attr(test, test)]
pub(crate) fn classes_cover_every_size() {
    for n in (0..5000).chain([32 << 10, (32 << 10) + 1, HUGE - 1, HUGE, HUGE + 1, 40_000_000, 1 << 40]) {
        let c = class_of(n);
        assert!(class_size(c) >= n, "{n}");
        assert!(c == 0 || class_size(c - 1) < n, "{n} fits a smaller class");
        assert_eq!(class_size(c) % 64, 0);
        assert!(n < 512 || class_size(c) <= n + n / 4 + 64);
    }
    for c in 0..CLASSES {
        assert_eq!(class_of(class_size(c)), c);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn blocks_are_aligned_distinct_and_reused() {
    for n in [0, 1, 63, 64, 65, 4096, 33_000, 1 << 20, HUGE, 5 * HUGE + 3] {
        let blocks: Vec<Block> = (0..5).map(|_| Block::new(n).unwrap()).collect();
        for (i, b) in blocks.iter().enumerate() {
            assert_eq!(b.ptr().as_ptr() as usize % ALIGN, 0);
            // SAFETY: n bytes are ours.
            unsafe { std::ptr::write_bytes(b.ptr().as_ptr(), i as u8, n) };
        }
        for (i, b) in blocks.iter().enumerate() {
            // SAFETY: written above.
            let s = unsafe { std::slice::from_raw_parts(b.ptr().as_ptr(), n) };
            assert!(s.iter().all(|v| *v == i as u8));
        }
    }
    let a = Block::new(300).unwrap();
    let p = a.ptr();
    drop(a);
    let b = Block::new(310).unwrap();
    assert!(b.ptr() == p || system_mode());
}

#[cfg_attr(test, test)]
pub(crate) fn too_large_is_an_error() {
    for n in [usize::MAX, isize::MAX as usize + 1, isize::MAX as usize, 1 << 60, 1 << 47] {
        let Err(e) = Block::new(n) else { panic!("{n} bytes given") };
        assert_eq!(e.kind, ErrorKind::OutOfMemory);
        assert!(e.message.contains(&format!("you tried to allocate {n} bytes")), "{}", e.message);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn threads_exchange_blocks_and_end() {
    let (tx, rx) = std::sync::mpsc::channel::<Block>();
    let t = std::thread::spawn(move || rx.into_iter().count());
    for i in 0..20_000 {
        tx.send(Block::new(i % 700).unwrap()).unwrap();
    }
    drop(tx);
    assert_eq!(t.join().unwrap(), 20_000);
}

#[cfg_attr(test, test)]
pub(crate) fn freed_while_the_thread_ends() {
    struct Late(Cell<Option<Block>>);
    thread_local!(static LATE: Late = const { Late(Cell::new(None)) });
    std::thread::spawn(|| {
        // LATE is registered before SEAT, hence destroyed after it.
        LATE.with(|l| l.0.set(None));
        let b = Block::new(100).unwrap();
        LATE.with(|l| l.0.set(Some(b)));
    })
    .join()
    .unwrap();
}

/// What one phase of a program needed does not stay while the next one runs.
#[cfg_attr(test, test)]
pub(crate) fn unneeded_blocks_go_back() {
    if system_mode() {
        return;
    }
    // A size that no other test uses.
    const PHASE: usize = 23 << 20;
    let class = class_of(PHASE);
    let cached = || SHARED[class].0.lock().list.len.get();
    drop((0..2).map(|_| Block::new(PHASE).unwrap()).collect::<Vec<_>>());
    // Two ends of an epoch, between which nobody asks for it; other tests may bring ends of their own.
    sweep(0);
    sweep(0);
    assert_eq!(cached(), 0);
    assert!(allowed() <= LIMIT.load(Relaxed).max(FLOOR));
}

#[cfg_attr(test, test)]
pub(crate) fn stats_follow() {
    // Other tests run meanwhile, so only large sizes say something.
    const N: usize = 3 << 30;
    let before = memory_stats();
    let b = Block::new(N).unwrap();
    let during = memory_stats();
    assert!(during.allocated >= N as u64 && during.reserved >= N as u64);
    assert!(during.allocations > before.allocations);
    drop(b);
    empty_cache();
    let after = memory_stats();
    assert!(after.allocated < N as u64 && after.reserved < N as u64);
    assert!(after.allocated_peak >= N as u64 && after.reserved_peak >= N as u64);
}
