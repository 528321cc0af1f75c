//! Timings of the dense kernels: `cargo test --release --lib cpu::bench -- --ignored --nocapture`.

use super::backend;
use super::testing::{Host, Lcg};
use crate::base::dtype::DType;
use std::time::Instant;

/// Nanoseconds of this thread's CPU time: on a busy machine, with `TAPER_NUM_THREADS=1`, the only honest clock.
fn thread_ns() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}

/// Best of several rounds, in nanoseconds per call: wall time, or CPU time where one thread works.
fn time(mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    let now =
        || if super::threads::parallel::num_threads() == 1 { thread_ns() } else { start.elapsed().as_nanos() as f64 };
    f();
    let t = now();
    f();
    let once = (now() - t).max(20.0);
    let per_round = (2e7 / once).clamp(1.0, 100_000.0) as usize;
    let mut best = f64::MAX;
    for _ in 0..8 {
        let t = now();
        for _ in 0..per_round {
            f();
        }
        best = best.min((now() - t) / per_round as f64);
    }
    best
}
fn random(dtype: DType, shape: &[i64]) -> Host {
    let mut r = Lcg(1);
    Host::new(dtype, shape, || r.eighth())
}
fn random_t(dtype: DType, shape: &[i64]) -> Host {
    let mut r = Lcg(1);
    Host::permuted(dtype, shape, &[0, 2, 1], 0, || r.eighth())
}

#[cfg_attr(test, test, ignore = "measures, does not check")]
pub(crate) fn gemm() {
    for (bt, m, n, k) in [
        (1, 2, 2, 2),
        (1, 4, 4, 4),
        (1, 8, 8, 8),
        (1, 16, 16, 16),
        (1, 32, 32, 32),
        (1, 48, 48, 48),
        (1, 64, 64, 64),
        (1, 128, 128, 128),
        (1, 256, 256, 256),
        (1, 1024, 1024, 1024),
        (64, 16, 16, 16),
        (64, 64, 64, 64),
        (1, 1, 1000, 1000),
        (1, 1000, 1, 1000),
        (1, 64, 120, 576),
        (1, 64, 84, 120),
        (1, 64, 10, 84),
        (1, 120, 576, 64),
        (1, 64, 576, 120),
        (1, 10, 84, 64),
    ] {
        print!("{bt} x {m} x {n} x {k}:");
        for (ta, tb) in [(false, false), (false, true), (true, false)] {
            let a = if ta { random_t(DType::F32, &[bt, m, k]) } else { random(DType::F32, &[bt, m, k]) };
            let b = if tb { random_t(DType::F32, &[bt, k, n]) } else { random(DType::F32, &[bt, k, n]) };
            let c = random(DType::F32, &[bt, m, n]);
            let ns = time(|| backend().gemm(a.view(), b.view(), c.view(), 1.0, 0.0).unwrap());
            print!(
                "  {}{} {ns:9.0} ns {:5.1} GF/s",
                if ta { "T" } else { "N" },
                if tb { "T" } else { "N" },
                2.0 * (bt * m * n * k) as f64 / ns
            );
        }
        println!();
    }
}

#[cfg_attr(test, test, ignore = "measures, does not check")]
pub(crate) fn conv() {
    use crate::backend::ConvParams;
    for (n, g, ic, oc, hw, k, s, pad) in [
        (64, 1, 1, 6, 32, 3, 1, 0),
        (64, 1, 6, 16, 15, 3, 1, 0),
        (64, 1, 1, 6, 28, 5, 1, 2),
        (64, 1, 6, 16, 14, 5, 1, 0),
        (64, 1, 16, 120, 5, 5, 1, 0),
        (64, 1, 1, 32, 28, 3, 1, 0),
        (64, 1, 32, 64, 26, 3, 1, 0),
        (8, 1, 3, 64, 224, 7, 2, 3),
        (8, 1, 64, 64, 56, 3, 1, 1),
        (8, 1, 64, 128, 56, 3, 2, 1),
        (8, 1, 256, 256, 14, 3, 1, 1),
        (8, 1, 512, 512, 7, 3, 1, 1),
        (8, 1, 256, 64, 56, 1, 1, 0),
        (8, 128, 1, 1, 28, 3, 1, 1),
        (1, 1, 64, 64, 56, 3, 1, 1),
        (1, 1, 512, 512, 7, 3, 1, 1),
    ] {
        let o = (hw + 2 * pad - k) / s + 1;
        let p = ConvParams { stride: vec![s, s], padding: vec![pad, pad], dilation: vec![1, 1], groups: g };
        let x = random(DType::F32, &[n, g * ic, hw, hw]);
        let w = random(DType::F32, &[g * oc, ic, k, k]);
        let y = random(DType::F32, &[n, g * oc, o, o]);
        let flop = 2.0 * (n * g * oc * o * o * ic * k * k) as f64;
        let be = backend();
        let f = time(|| be.conv(x.view(), w.view(), None, &p, y.view()).unwrap());
        let bi = time(|| be.conv_backward_input(y.view(), w.view(), &p, x.view()).unwrap());
        let bw = time(|| be.conv_backward_weight(y.view(), x.view(), &p, w.view()).unwrap());
        println!(
            "conv {n}x{}x{hw}x{hw} -> {} k{k} s{s} p{pad} g{g}: forward {:.1} us {:.1} GF/s, input {:.1} us {:.1}, weight {:.1} us {:.1}",
            g * ic, g * oc, f / 1e3, flop / f, bi / 1e3, flop / bi, bw / 1e3, flop / bw
        );
    }
}

#[cfg_attr(test, test, ignore = "measures, does not check")]
pub(crate) fn small_kernels() {
    use crate::backend::PoolParams;
    let p = PoolParams { kernel: vec![2, 2], stride: vec![2, 2], padding: vec![0, 0], dilation: vec![1, 1] };
    let be = backend();
    for (c, hw) in [(6, 30), (16, 13)] {
        let x = random(DType::F32, &[64, c, hw, hw]);
        let (y, ix) = (random(DType::F32, &[64, c, hw / 2, hw / 2]), random(DType::I64, &[64, c, hw / 2, hw / 2]));
        let f = time(|| be.max_pool(x.view(), &p, y.view(), ix.view()).unwrap());
        let b = time(|| be.max_pool_backward(y.view(), ix.view(), &p, x.view()).unwrap());
        let af = time(|| be.avg_pool(x.view(), &p, true, None, y.view()).unwrap());
        let ab = time(|| be.avg_pool_backward(y.view(), &p, true, None, x.view()).unwrap());
        println!(
            "pool 64x{c}x{hw}x{hw}: max {:.1} us, backward {:.1}, avg {:.1}, backward {:.1}",
            f / 1e3,
            b / 1e3,
            af / 1e3,
            ab / 1e3
        );
    }
    for (shape, dim) in [([64, 10], 1), ([1024, 1024], 1), ([1024, 1024], 0), ([4096, 50], 1)] {
        let (x, g) = (random(DType::F32, &shape), random(DType::F32, &shape));
        let y = random(DType::F32, &shape);
        let s = time(|| be.softmax(false, x.view(), dim, y.view()).unwrap());
        let b = time(|| be.softmax_backward(false, g.view(), y.view(), dim, x.view()).unwrap());
        let l = time(|| be.softmax(true, g.view(), dim, y.view()).unwrap());
        let lb = time(|| be.softmax_backward(true, g.view(), y.view(), dim, x.view()).unwrap());
        println!(
            "softmax {shape:?} dim {dim}: {:.1} us, backward {:.1}; log {:.1} us, backward {:.1}",
            s / 1e3,
            b / 1e3,
            l / 1e3,
            lb / 1e3
        );
    }
    let table = random(DType::F32, &[10_000, 128]);
    let mut r = Lcg(3);
    let ids = Host::new(DType::I64, &[4096], || r.below(10_000) as f64);
    let rows = random(DType::F32, &[4096, 128]);
    let i = time(|| be.index(table.view(), &[ids.view()], rows.view()).unwrap());
    let p = time(|| be.index_put(table.view(), &[ids.view()], rows.view(), true).unwrap());
    println!("embedding 4096 of 10000x128: {:.1} us, accumulate {:.1} us", i / 1e3, p / 1e3);
    let x = random(DType::F32, &[4096, 128]);
    let ix = Host::new(DType::I64, &[4096, 128], || r.below(4096) as f64);
    let g = time(|| be.gather(x.view(), 0, ix.view(), rows.view()).unwrap());
    let s = time(|| be.scatter(crate::backend::ScatterOp::Add, x.view(), 0, ix.view(), rows.view()).unwrap());
    let nz = time(|| {
        be.nonzero(x.view()).unwrap();
    });
    println!("gather 4096x128: {:.1} us, scatter_add {:.1} us, nonzero {:.1} us", g / 1e3, s / 1e3, nz / 1e3);
}
