//! The multiply-adds of this thread's products and convolutions, backward passes included. Where a product is asked of a
//! backend its sizes are known, and adding them up costs nothing beside it.

use std::cell::Cell;

thread_local! {
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// Notes a product of so many multiply-adds.
#[inline]
pub fn add(batch: i64, m: i64, n: i64, k: i64) {
    let macs = (batch as u64).wrapping_mul(m as u64).wrapping_mul(n as u64).wrapping_mul(k as u64);
    DONE.with(|d| d.set(d.get().wrapping_add(macs)));
}

/// Notes a convolution (or one of its gradients): as many for each element of `out` (the output or its gradient) as the
/// weight `[out, in / groups, ..]` has per output channel.
#[inline]
pub fn add_conv(out_elements: usize, weight: &[i64]) {
    add(out_elements as i64, weight[1..].iter().product(), 1, 1);
}

/// What this thread has multiplied and added so far; differences count.
pub fn multiply_adds() -> u64 {
    DONE.with(Cell::get)
}
