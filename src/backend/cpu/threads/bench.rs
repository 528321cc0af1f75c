//! The helper threads beside a pool of rayon's: the same parts of the same work, in turns.
//!
//! `cargo test --release -p taper-kernels --lib threads::bench -- --ignored --nocapture --test-threads=1`

use super::parallel::{num_threads, parallel_for};
use rayon::prelude::*;
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

const GRAIN: usize = 4096;
const ROUNDS: usize = 15;

/// Between two calls a program does something else, on one thread.
fn pause(length: Duration) {
    let start = Instant::now();
    while start.elapsed() < length {
        std::hint::spin_loop();
    }
}

/// Median of a round's calls in nanoseconds, the pauses left out.
fn round(gap: Duration, calls: usize, f: &(dyn Fn() + Sync)) -> f64 {
    let mut times: Vec<f64> = Vec::with_capacity(calls);
    for _ in 0..calls {
        pause(gap);
        let start = Instant::now();
        f();
        times.push(start.elapsed().as_nanos() as f64);
    }
    times.sort_by(f64::total_cmp);
    times[calls / 2]
}

#[cfg_attr(test, test, ignore = "measures, does not check")]
pub(crate) fn helpers_and_rayon() {
    let threads = num_threads();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    println!("{threads} threads; medians in us: out += in over n floats, cut at the same places");
    println!("{:>9} {:>8} {:>9} {:>9} {:>14} {:>14}", "n", "gap", "serial", "helpers", "rayon outside", "rayon inside");
    for n in [16_384usize, 65_536, 262_144, 1_048_576, 4_194_304] {
        let (from, mut to) = (vec![1.0f32; n], vec![0.0f32; n]);
        let out = crate::backend::cpu::scratch::Ptr(to.as_mut_ptr());
        let add = |r: Range<usize>| {
            // SAFETY: parts are disjoint ranges below n.
            let to = unsafe { std::slice::from_raw_parts_mut(out.at(r.start as isize), r.len()) };
            to.iter_mut().zip(&from[r]).for_each(|(t, f)| *t += f);
            black_box(to);
        };
        // As `parallel_for` cuts it.
        let parts = (threads * 4).min(2 * n.div_ceil(GRAIN)).next_multiple_of(threads);
        let part = n.div_ceil(GRAIN).div_ceil(parts) * GRAIN;
        let by_rayon = || (0..n.div_ceil(part)).into_par_iter().for_each(|i| add(i * part..((i + 1) * part).min(n)));
        for gap in [0, 50, 1000].map(Duration::from_micros) {
            let calls = (20_000_000 / (n + 20_000) / (1 + gap.as_micros() as usize / 200)).clamp(20, 400);
            let mut seen: [Vec<f64>; 4] = Default::default();
            for _ in 0..ROUNDS {
                seen[0].push(round(gap, calls, &|| add(0..n)));
                seen[1].push(round(gap, calls, &|| parallel_for(n, GRAIN, add)));
                // The caller hands the work over and waits.
                seen[2].push(round(gap, calls, &|| pool.install(by_rayon)));
                // The caller is a thread of the pool, and works too.
                seen[3].push(pool.install(|| round(gap, calls, &by_rayon)));
            }
            let [serial, helpers, outside, inside] = seen.map(|mut v| {
                v.sort_by(f64::total_cmp);
                v[v.len() / 2] / 1e3
            });
            println!("{n:>9} {gap:>8.0?} {serial:>9.1} {helpers:>9.1} {outside:>14.1} {inside:>14.1}");
        }
    }
}
