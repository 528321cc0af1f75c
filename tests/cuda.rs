//! What only CUDA has, seen through ops. The kernels are tested in `backend::gpu::tests` with `TAPER_TEST_DEVICE=cuda`.
#![cfg(feature = "cuda")]

use parking_lot::Mutex;
use std::sync::Arc;
use taper::backend::cuda::{backend, devices, open};
use taper::backend::gpu::Gpu;
use taper::backend::Backend;
use taper::base::device::Device;
use taper::base::dtype::DType;
use taper::base::scalar::Scalar;
use taper::ops;
use taper::Tensor;

/// One capture or crossing of threads at a time: others would use the device meanwhile.
static CAPTURES: Mutex<()> = Mutex::new(());

/// The first device; None, said aloud, where there is none (an error with `TAPER_TEST_CUDA=1`).
fn device() -> Option<&'static Gpu> {
    match open(0) {
        Ok(d) => Some(d),
        Err(e) if std::env::var("TAPER_TEST_CUDA").is_ok_and(|v| v == "1") => {
            panic!("TAPER_TEST_CUDA=1, but there is no CUDA device: {e}")
        }
        Err(e) => {
            eprintln!("SKIPPED: no CUDA device: {e}");
            None
        }
    }
}

#[test]
fn a_machine_without_a_device_says_what_is_missing() {
    let Err(e) = devices() else { return };
    assert!(e.message.starts_with("CUDA is not available: "), "{e}");
    assert!(
        e.message.contains("libcuda.so.1") || e.message.contains("cuInit") || e.message.contains("no device"),
        "{e}"
    );
    assert_eq!(backend(0).err().unwrap().message, e.message);
}

#[test]
fn devices_are_described() {
    let Some(d) = device() else { return };
    let all = devices().unwrap();
    assert!(!all[0].name.is_empty() && all[0].global_memory > 0 && all[0].compute_units > 0);
    let (free, total) = d.memory_info().unwrap();
    assert!(0 < free && free <= total);
    assert_eq!(d.device().to_string(), "cuda:0");
    let e = backend(999).err().unwrap();
    assert!(e.message.contains("cuda:999") && e.message.contains(&all[0].name), "{e}");
}

const ONE: Scalar = Scalar::Int(1);

fn filled(shape: &[i64], value: f64, device: Device) -> Tensor {
    ops::full(shape, Scalar::Float(value), Some(DType::F32), Some(device)).unwrap()
}

/// Adds one to every element of a tensor, in place.
fn add_one(t: &Tensor) {
    taper::autograd::no_grad(|| ops::add_(t, &filled(&[1], 1.0, t.device()), ONE)).unwrap();
}

#[test]
fn a_graph_repeats_what_was_recorded_on_the_same_memory() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let dev = d.device();
    let x = filled(&[1000], 0.0, dev);
    d.begin_capture().unwrap();
    assert!(d.begin_capture().is_err());
    add_one(&x);
    let made = ops::mul(&x, &x).unwrap();
    let e = made.to_f64_vec().unwrap_err();
    assert!(e.message.contains("while a graph is captured"), "{e}");
    let graph = d.end_capture().unwrap();
    assert!(d.end_capture().is_err());
    // Recording did nothing.
    assert_eq!(x.to_f64_vec().unwrap()[7], 0.0);
    for i in 1..=3 {
        graph.replay().unwrap();
        assert_eq!(made.to_f64_vec().unwrap(), vec![(i * i) as f64; 1000]);
    }
    // Memory that the graph works on stays with it although its tensors are gone.
    drop(made);
    let others: Vec<_> = (0..8).map(|_| filled(&[1000], 0.0, dev)).collect();
    graph.replay().unwrap();
    d.synchronize().unwrap();
    assert!(others.iter().all(|t| t.to_f64_vec().unwrap().iter().all(|v| *v == 0.0)));
    assert_eq!(x.to_f64_vec().unwrap()[0], 4.0);
    let held = d.memory_stats().allocated;
    drop((graph, others, x));
    d.synchronize().unwrap();
    assert!(d.memory_stats().allocated < held);
}

#[test]
fn a_graph_draws_anew_and_its_optimizer_counts_on() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let dev = d.device();
    let generator = taper::rng::Generator::new();
    generator.manual_seed(5);
    let expected = taper::rng::Generator::new();
    expected.manual_seed(5);
    let draw = |g: &taper::rng::Generator| {
        let t = Tensor::empty(&[100], DType::F32, dev).unwrap();
        let b = t.body();
        d.random(taper::backend::Distribution::Uniform { low: 0.0, high: 1.0 }, g, b.view()).unwrap();
        drop(b);
        t
    };
    d.begin_capture().unwrap();
    let drawn = draw(&generator);
    let graph = d.end_capture().unwrap();
    for _ in 0..3 {
        graph.replay().unwrap();
        assert_eq!(drawn.to_f64_vec().unwrap(), draw(&expected).to_f64_vec().unwrap());
    }

    // Two parameters, one stepped by hand, one by the graph: the same steps, the same learning rates.
    use taper::optim::{AdamOptions, Optimizer, Options};
    let make = || {
        let p = filled(&[50], 1.0, dev);
        taper::autograd::meta::set_requires_grad(&p, true).unwrap();
        let g = ops::add(&filled(&[50], 1.0, dev), &ops::detach(&p).unwrap(), ONE);
        taper::autograd::meta::set_grad(&p, Some(g.unwrap())).unwrap();
        let options = Options::from(AdamOptions { lr: 0.1, ..AdamOptions::adam() });
        (p.clone(), Optimizer::new(vec![p], options).unwrap())
    };
    let ((a, mut by_hand), (b, mut recorded)) = (make(), make());
    d.begin_capture().unwrap();
    let e = recorded.step().unwrap_err();
    assert!(e.message.contains("run one step before"), "{e}");
    let _ = d.end_capture();
    let (b, mut recorded) = {
        drop((b, recorded));
        make()
    };
    by_hand.step().unwrap();
    recorded.step().unwrap();
    d.begin_capture().unwrap();
    recorded.step().unwrap();
    let graph = d.end_capture().unwrap();
    for i in 0..4 {
        match i {
            2 => by_hand.set_lr(0.01).and(recorded.set_lr(0.01)).unwrap(),
            // Both ways of setting it; what was set last counts.
            3 => {
                graph.set_lr(0.02);
                by_hand.set_lr(0.02).unwrap();
            }
            _ => {}
        }
        by_hand.step().unwrap();
        graph.replay().unwrap();
        assert_eq!(a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap(), "step {i}");
    }
    // The optimiser has counted the replays, and the graph counts a step between two of them.
    let count = |o: &Optimizer| o.state_dict().unwrap()["state.0.step"].to_f64_vec().unwrap()[0];
    assert_eq!((count(&by_hand), count(&recorded)), (5.0, 5.0));
    recorded.set_lr(0.02).unwrap();
    for _ in 0..2 {
        by_hand.step().unwrap();
        recorded.step().unwrap();
        by_hand.step().unwrap();
        graph.replay().unwrap();
        assert_eq!(a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap());
    }
    assert_eq!(count(&recorded), 9.0);
    graph.set_step(0, 0.5, 100).unwrap();
    graph.replay().unwrap();
    assert_eq!(count(&recorded), 100.0);
    let e = graph.set_step(1, 0.5, 1).unwrap_err();
    assert!(e.message.contains("the graph has 1"), "{e}");
}

#[test]
fn a_graph_repeats_the_steps_that_it_can_and_each_other_optimizer_says_why_not() {
    use taper::base::sync::Mutex;
    use taper::optim::{step, Optimizer, Options, Own, CLASSES};
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let make = || {
        let p = filled(&[3, 4], 1.0, d.device());
        taper::autograd::meta::set_requires_grad(&p, true).unwrap();
        taper::autograd::meta::set_grad(&p, Some(filled(&[3, 4], 0.5, d.device()))).unwrap();
        p
    };
    for class in CLASSES {
        let params = [make(), make()];
        let all: Vec<_> = params
            .iter()
            .map(|p| Arc::new(Mutex::new(Optimizer::new(vec![p.clone()], Options::of(class)).unwrap())))
            .collect();
        let loss = filled(&[], 1.0, d.device());
        let run = |o| match class.name {
            "LBFGS" => step(o, Some(&mut || Ok(loss.clone()))).map(drop),
            _ => step(o, None).map(drop),
        };
        all.iter().for_each(|o| run(o).unwrap());
        d.begin_capture().unwrap();
        let recorded = run(&all[0]);
        let graph = d.end_capture().unwrap();
        match class.name {
            "SGD" | "Adam" | "AdamW" => {
                recorded.unwrap();
                for _ in 0..2 {
                    graph.replay().unwrap();
                    run(&all[1]).unwrap();
                }
                assert_eq!(params[0].to_f64_vec().unwrap(), params[1].to_f64_vec().unwrap(), "{}", class.name);
            }
            name => {
                let e = recorded.unwrap_err().to_string();
                let wanted = format!(
                    "graph capture of step() for an instance of {name}, whose numbers change from step to step"
                );
                assert!(
                    e.contains(&wanted) && e.contains("a graph can repeat the steps of SGD, Adam and AdamW"),
                    "{e}"
                );
            }
        }
    }
    // A program's own update is ops, which a graph records as any.
    struct Descent;
    impl Own for Descent {
        fn step(&self, o: &Arc<Mutex<Optimizer>>) -> taper::Result<()> {
            let params = o.lock().groups()[0].params.clone();
            params.iter().try_for_each(|p| {
                let g = taper::autograd::meta::grad(p).expect("a gradient");
                ops::add_(p, &g, taper::Scalar::Float(-0.5))
            })
        }
    }
    let p = make();
    let own = Arc::new(Mutex::new(Optimizer::own("Descent", vec![p.clone()], Arc::new(Descent)).unwrap()));
    d.begin_capture().unwrap();
    step(&own, None).unwrap();
    let graph = d.end_capture().unwrap();
    for _ in 0..3 {
        graph.replay().unwrap();
    }
    assert_eq!(p.to_f64_vec().unwrap(), vec![0.25; 12]);
}

#[test]
fn marks_do_not_wait_and_order_threads() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let x = filled(&[1 << 16], 0.0, d.device());
    let first = d.mark(true).unwrap();
    for _ in 0..50 {
        add_one(&x);
    }
    let waits = taper::backend::gpu::host_waits();
    let second: std::sync::Arc<dyn taper::backend::Mark> = std::sync::Arc::from(d.mark(true).unwrap());
    assert_eq!(taper::backend::gpu::host_waits(), waits, "recording a mark waits for nothing");
    let there = second.clone();
    std::thread::spawn(move || there.order().unwrap()).join().unwrap();
    second.wait().unwrap();
    assert!(second.is_done().unwrap() && first.is_done().unwrap());
    let ms = second.millis_since(&*first).unwrap();
    assert!((0.0..60_000.0).contains(&ms), "{ms}");
    let other = taper::backend::Passed(std::time::Instant::now());
    assert!(second.millis_since(&other).unwrap_err().message.contains("same device"));
}

/// Foreign memory's owner: counts how often it is told that the memory is free.
struct Counted(std::sync::Arc<std::sync::atomic::AtomicU32>);
impl taper::backend::storage::HostOwner for Counted {}
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn memory_of_another_library_is_used_and_given_back_once() {
    use taper::backend::storage::Storage;
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let lender = filled(&[1000], 1.0, d.device());
    let freed = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = || freed.load(std::sync::atomic::Ordering::Relaxed);
    let adopt = || {
        let body = lender.body();
        d.ready_on(body.storage(), d.queue_handle().unwrap()).unwrap();
        let at = d.address(body.storage()).unwrap();
        // SAFETY: the lender's memory, which outlives what is made here.
        let buffer = unsafe { d.adopt(at, 4000, Box::new(Counted(freed.clone()))) }.unwrap();
        let storage = std::sync::Arc::new(Storage::new(buffer, 4000, d.device()));
        Tensor::from_storage(storage, taper::base::layout::Layout::contiguous(&[1000]), DType::F32).unwrap()
    };
    let held = d.memory_stats().allocated;
    let mine = adopt();
    assert_eq!(d.memory_stats().allocated, held);
    add_one(&mine);
    assert_eq!(count(), 0);
    drop(mine);
    assert_eq!(count(), 1);
    assert_eq!(lender.to_f64_vec().unwrap(), vec![2.0; 1000]);
    // A graph keeps it.
    let mine = adopt();
    d.begin_capture().unwrap();
    add_one(&mine);
    drop(mine);
    let graph = d.end_capture().unwrap();
    assert_eq!(count(), 1);
    graph.replay().unwrap();
    assert_eq!(lender.to_f64_vec().unwrap(), vec![3.0; 1000]);
    drop(graph);
    assert_eq!(count(), 2);
}

#[test]
fn memory_that_was_shown_waits_for_the_others_before_it_serves_again() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    // CUDA's default stream, a stream of another library.
    for stream in [0, 1, 2, d.queue_handle().unwrap()] {
        let x = filled(&[1000], 1.0, d.device());
        d.ready_on(x.body().storage(), stream).unwrap();
        drop(x);
        let y = filled(&[1000], 2.0, d.device());
        assert_eq!(y.to_f64_vec().unwrap(), vec![2.0; 1000]);
    }
}

#[test]
fn a_thread_can_wait_for_the_device_while_another_one_captures() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let x = filled(&[100], 1.0, d.device());
    d.begin_capture().unwrap();
    add_one(&x);
    let y = std::thread::spawn(move || {
        let y = filled(&[100], 5.0, d.device());
        add_one(&y);
        d.synchronize().unwrap();
        y.to_f64_vec().unwrap()
    });
    assert_eq!(y.join().unwrap(), vec![6.0; 100]);
    let graph = d.end_capture().unwrap();
    graph.replay().unwrap();
    assert_eq!(x.to_f64_vec().unwrap(), vec![2.0; 100]);
}

#[test]
fn memory_that_crosses_threads_is_ordered() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let dev = d.device();
    for round in 0..20 {
        let x = filled(&[4096], 0.0, dev);
        for _ in 0..3 {
            let y = x.clone();
            // Each thread has a stream of its own; none of them waits.
            std::thread::spawn(move || {
                add_one(&y);
                // Freed here, used again there.
                drop(ops::mul(&y, &y).unwrap());
            })
            .join()
            .unwrap();
            add_one(&x);
        }
        assert_eq!(x.to_f64_vec().unwrap(), vec![6.0; 4096], "round {round}");
    }
}

#[test]
fn products_with_a_bias_and_every_layout() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let (cuda, cpu) = (d.device(), Device::CPU);
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        for (m, n, k) in [(1, 1, 1), (5, 3, 7), (64, 10, 84), (33, 65, 17)] {
            let make = |shape: &[i64], seed: i64| {
                let count: i64 = shape.iter().product();
                let v: Vec<f64> = (0..count).map(|i| ((i * 7 + seed) % 13 - 6) as f64 / 4.0).collect();
                taper::nn::convert(&Tensor::from_slice(&v, shape).unwrap(), dtype, cpu).unwrap()
            };
            let (x, w, b) = (make(&[m, k], 1), make(&[n, k], 2), make(&[n], 3));
            let there = |t: &Tensor| taper::nn::convert(t, dtype, cuda).unwrap();
            let want = ops::linear(&x, &w, Some(&b)).unwrap().to_f64_vec().unwrap();
            let got = ops::linear(&there(&x), &there(&w), Some(&there(&b))).unwrap().to_f64_vec().unwrap();
            let product = ops::matmul(&there(&x), &ops::t(&there(&w)).unwrap()).unwrap();
            let plain = ops::matmul(&x, &ops::t(&w).unwrap()).unwrap().to_f64_vec().unwrap();
            let tolerance = match dtype {
                DType::F64 => 1e-12,
                DType::F32 => 1e-5,
                DType::F16 => 4e-3,
                _ => 3e-2,
            };
            for (got, want) in [(got, want), (product.to_f64_vec().unwrap(), plain)] {
                for (g, w) in got.iter().zip(&want) {
                    assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{dtype} {m}x{n}x{k}: {g}, should be {w}");
                }
            }
        }
    }
}

#[test]
fn large_tensors_of_any_length() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    for n in [(1 << 18) + 1, (1 << 18) + 1023, 1 << 18, 300_000] {
        let values: Vec<f32> = (0..n).map(|i| (i % 1000) as f32).collect();
        let x = taper::nn::convert(&Tensor::from_slice(&values, &[n as i64]).unwrap(), DType::F32, d.device()).unwrap();
        let y = ops::mul(&x, &filled(&[1], 2.0, d.device())).unwrap();
        taper::autograd::no_grad(|| ops::add_(&x, &y, ONE)).unwrap();
        let got = x.to_f64_vec().unwrap();
        assert!(got.iter().zip(&values).all(|(g, v)| *g == 3.0 * *v as f64), "{n}");
    }
}

/// Work-items that take several elements of narrow dtypes, and of rows and columns that are repeated.
#[test]
fn large_tensors_of_narrow_types_and_repeated_rows() {
    let Some(d) = device() else { return };
    let _alone = CAPTURES.lock();
    let (rows, columns) = (613, 700);
    let values: Vec<f32> = (0..rows * columns).map(|i| (i % 61) as f32).collect();
    let host = Tensor::from_slice(&values, &[rows, columns]).unwrap();
    let row = Tensor::from_slice(&values[..columns as usize], &[1, columns]).unwrap();
    let column = Tensor::from_slice(&values[7..7 + rows as usize], &[rows, 1]).unwrap();
    for dtype in [DType::U8, DType::F16, DType::BF16, DType::F32, DType::F64] {
        let put = |t: &Tensor| taper::nn::convert(t, dtype, d.device()).unwrap();
        let (x, r, c) = (put(&host), put(&row), put(&column));
        let sums = [ops::add(&x, &x, ONE), ops::add(&x, &r, ONE), ops::add(&c, &x, ONE), ops::add(&r, &c, ONE)]
            .map(|t| t.unwrap().to_f64_vec().unwrap());
        let less = ops::lt(&x, &c).unwrap().to_f64_vec().unwrap();
        for i in 0..(rows * columns) as usize {
            let (v, r, c) = (values[i], values[i % columns as usize], values[7 + i / columns as usize]);
            let want = [v + v, v + r, v + c, r + c].map(f64::from);
            assert_eq!([sums[0][i], sums[1][i], sums[2][i], sums[3][i]], want, "{dtype} at {i}");
            assert_eq!(less[i] != 0.0, v < c, "{dtype} at {i}");
        }
    }
}
