//! Threads that use the same tensors at the same time, values and shapes changing underneath. Results may be anything, but
//! nothing panics, hangs or touches memory that is not the tensors'. `TAPER_RACE_SECONDS=600 cargo test --lib suites::race`
//! is a long run.

use super::common::device::{moved, Kernels};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use taper::{autograd, ops, DType, Scalar, Tensor};

fn seconds() -> Duration {
    let set = std::env::var("TAPER_RACE_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs_f64(set.unwrap_or(0.4))
}

/// Numbers that need not be good.
struct Random(u64);
impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

/// Runs `work` in several threads until time is over; gives how often it ran and whether something panicked.
fn race(threads: u64, work: impl Fn(&mut Random) + Sync) -> (u64, bool) {
    let (end, count, bad) = (Instant::now() + seconds(), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|s| {
        for t in 0..threads {
            let (work, count, bad) = (&work, &count, &bad);
            s.spawn(move || {
                let mut random = Random(t * 77 + 5);
                while Instant::now() < end {
                    if catch_unwind(AssertUnwindSafe(|| work(&mut random))).is_err() {
                        bad.store(true, Relaxed);
                    }
                    count.fetch_add(1, Relaxed);
                }
            });
        }
    });
    (count.into_inner(), bad.into_inner())
}
fn range(n: i64, shape: &[i64]) -> Tensor {
    let all: Vec<i64> = (0..shape.iter().product()).map(|i: i64| i % n).collect();
    moved(&Tensor::from_slice(&all, shape).unwrap())
}
fn floats(shape: &[i64]) -> Tensor {
    let all: Vec<f32> = (0..shape.iter().product()).map(|i: i64| (i % 13) as f32 / 4.0 + 0.1).collect();
    moved(&Tensor::from_slice(&all, shape).unwrap())
}

/// One thread in four writes wild values and good ones into the indices that the others use.
#[test]
fn indices_that_change() {
    let _kernels = Kernels::counted();
    const N: i64 = 97;
    let (index, flat, good) = (range(N, &[N, 60]), range(N, &[5000]), range(N, &[N, 60]));
    let (x, mask) = (floats(&[N, 60]), ops::gt_scalar(&floats(&[N, 60]), Scalar::Float(1.0)).unwrap());
    let (logits, row) = (floats(&[5000, N]), floats(&[N]));
    let (ran, bad) = race(4, |r| {
        let out = ops::clone(&x).unwrap();
        let one = Scalar::Int(1);
        let _ = match r.below(24) {
            0..=2 => {
                ops::fill_scalar_(&index, Scalar::Int(i64::MAX - 5)).and(ops::fill_scalar_(&flat, Scalar::Int(-7)))
            }
            3..=5 => ops::copy_(&index, &good).and(ops::fill_scalar_(&flat, Scalar::Int(3))),
            6 => ops::fill_scalar_(&mask, Scalar::Bool(r.below(2) == 0)),
            7 => ops::gather(&x, 0, &index).map(drop),
            8 => ops::gather(&x, 1, &ops::clone(&index).unwrap()).map(drop),
            9 => ops::scatter_src(&x, 0, &index, &out).map(drop),
            10 => ops::scatter_add_(&out, 0, &index, &x),
            11 => ops::scatter_reduce_two(&x, 0, &index, &out, "amax", false).map(drop),
            12 => ops::take_along_dim(&x, &index, Some(0)).map(drop),
            13 => ops::nll_loss(&logits, &flat, None, -100, "mean").map(drop),
            14 => ops::one_hot(&flat, 100).map(drop),
            15 => ops::bincount(&flat, None, 100).map(drop),
            16 => ops::nonzero(&mask).map(drop),
            17 => ops::masked_select(&x, &mask).map(drop),
            18 => ops::index_select(&x, 0, &flat).map(drop),
            19 => ops::index_add_(&out, 0, &flat, &ops::expand(&row, &[5000, N]).unwrap(), one),
            20 => ops::embedding(&x, &flat, -1).map(drop),
            21 => ops::sort(&flat, 0, r.below(2) == 0).map(drop),
            22 => ops::topk(&index, 5, 0, true, true).map(drop),
            _ => ops::take(&x, &flat)
                .and(ops::repeat_interleave(&row, &ops::narrow(&flat, 0, 0, N).unwrap(), None))
                .map(drop),
        };
    });
    // What a device's kernels found is told to whoever reads next: not to another test.
    let _ = floats(&[1]).to_f64_vec();
    assert!(!bad && ran > 4, "{ran}");
}

/// Bodies are exchanged while they are read, viewed, printed, written.
#[test]
fn bodies_that_change() {
    let _kernels = Kernels::counted();
    let shared: Vec<Tensor> = (0..3).map(|_| floats(&[20, 30])).collect();
    let others = [floats(&[20, 30]), floats(&[3]), floats(&[2, 3, 5]), floats(&[]), floats(&[0, 4])];
    let doubles = ops::cast(&others[2], DType::F64).unwrap();
    // Where an op asks for a shape twice it may stop in the middle; what it may not do is go on with wrong memory.
    let (ran, _) = race(4, |r| {
        let (t, u) = (&shared[r.below(3) as usize], &shared[r.below(3) as usize]);
        let _ = match r.below(16) {
            0 | 1 => autograd::meta::set_data(t, &others[r.below(5) as usize]),
            2 => autograd::meta::set_data(t, &doubles),
            3 => autograd::meta::set_data(t, &others[0]),
            4 => ops::transpose_(t, 0, 1).or(ops::unsqueeze_(t, 0)),
            5 => ops::add(t, u, Scalar::Int(1)).map(drop),
            6 => ops::add_(t, u, Scalar::Int(1)),
            7 => ops::matmul(t, u).map(drop),
            8 => ops::sum(t, None).map(drop),
            9 => t.contiguous_copy().map(drop),
            10 => t.to_f64_vec().map(drop),
            11 => autograd::display::to_text(t).map(drop),
            12 => ops::view(t, &[-1]).and_then(|v| v.to_vec::<f32>()).map(drop),
            13 => ops::softmax(t, 0, None).and_then(|s| ops::cat(&[s, u.clone()], 0)).map(drop),
            14 => ops::select(t, 0, 1).and_then(|v| ops::mul_scalar_(&v, Scalar::Float(0.5))),
            _ => ops::flip(t, &[0]).and_then(|v| ops::sort(&v, 0, true)).map(drop),
        };
    });
    assert!(ran > 4, "{ran}");
}

/// Every backward pass arrives in a leaf that all share.
#[test]
fn gradients_of_many_threads() {
    let _kernels = Kernels::counted();
    let leaf = floats(&[64]);
    autograd::set_requires_grad(&leaf, true).unwrap();
    let (threads, rounds) = (4, 60);
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                for _ in 0..rounds {
                    let y = ops::sum(&ops::mul_scalar(&leaf, Scalar::Int(1)).unwrap(), None).unwrap();
                    ops::backward(&[y], &[], Default::default(), None).unwrap();
                }
            });
        }
    });
    let total = autograd::meta::grad(&leaf).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(total, vec![(threads * rounds) as f32; 64]);
}
