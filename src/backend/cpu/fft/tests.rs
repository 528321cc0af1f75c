//! Transforms compared with sums, of lengths of every kind, in rows and columns.

use super::driver::{transform, Kind};
use super::plan::root;
use crate::backend::cpu::lanes::Real;
use crate::backend::cpu::threads::parallel::set_num_threads;

/// The transform of numbers as their sum, in double.
fn sum(x: &[(f64, f64)], inverse: bool) -> Vec<(f64, f64)> {
    let n = x.len();
    (0..n)
        .map(|k| {
            x.iter().enumerate().fold((0.0, 0.0), |(re, im), (j, (a, b))| {
                let (c, s) = root(j * k % n, n);
                let s = if inverse { s } else { -s };
                (re + a * c - b * s, im + a * s + b * c)
            })
        })
        .collect()
}
fn draw<T: Real>(n: usize) -> Vec<T> {
    let mut state = 88172645463325252u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        T::from_f64(state as i64 as f64 / i64::MAX as f64)
    };
    std::iter::repeat_with(next).take(n).collect()
}
/// Relative error of all numbers together.
fn apart<T: Real>(got: &[T], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let d: f64 = got.iter().zip(want).map(|(g, w)| (g.to_f64() - w).powi(2)).sum();
    let all: f64 = want.iter().map(|w| w * w).sum();
    (d / all.max(1e-300)).sqrt()
}
fn run<T: Real>(kind: Kind, x: &[T], sizes: (usize, usize, usize), scale: f64) -> Vec<T> {
    let (_, (lo, co)) = kind.lines(sizes.1);
    let mut out = vec![T::from_f64(7.0); sizes.0 * lo * sizes.2 * co];
    // SAFETY: as many numbers as the sizes say.
    unsafe { transform(kind, x.as_ptr(), out.as_mut_ptr(), sizes, scale).unwrap() };
    out
}
fn check<T: Real>(sizes: (usize, usize, usize), tolerance: f64) {
    let (outer, n, inner) = sizes;
    let x = draw::<T>(outer * n * inner * 2);
    let fine = |what: &str, e: f64| assert!(e < tolerance, "{what} of {sizes:?}, {} bytes: {e}", size_of::<T>());
    let place = |len: usize, o: usize, k: usize, c: usize| (o * len + k) * inner + c;
    let whole = |inverse: bool, at: &dyn Fn(usize) -> (f64, f64), keep: usize| {
        let mut want = vec![0.0; outer * keep * inner * 2];
        for (o, c) in (0..outer).flat_map(|o| (0..inner).map(move |c| (o, c))) {
            let line: Vec<_> = (0..n).map(|k| at(place(n, o, k, c))).collect();
            for (k, (re, im)) in sum(&line, inverse).into_iter().take(keep).enumerate() {
                want[2 * place(keep, o, k, c)] = re;
                want[2 * place(keep, o, k, c) + 1] = im;
            }
        }
        want
    };
    for inverse in [false, true] {
        let kind = Kind::Complex { inverse };
        let got = run(kind, &x, sizes, 1.0);
        fine("complex", apart(&got, &whole(inverse, &|i| (x[2 * i].to_f64(), x[2 * i + 1].to_f64()), n)));
        let mut same = x.clone();
        // SAFETY: as above, in place.
        unsafe { transform(kind, same.as_ptr(), same.as_mut_ptr(), sizes, 1.0).unwrap() };
        assert!(same == got, "in place {sizes:?}");
    }
    let real = &x[..outer * n * inner];
    let half = run(Kind::Forward, real, sizes, 1.0);
    fine("forward", apart(&half, &whole(false, &|i| (real[i].to_f64(), 0.0), n / 2 + 1)));
    let back = run(Kind::Backward, &half, sizes, 1.0 / n as f64);
    fine("backward", apart(&back, &real.iter().map(|v| v.to_f64()).collect::<Vec<_>>()));
}

#[cfg_attr(test, test)]
pub(crate) fn every_length_is_its_sum() {
    for n in (1..=40).chain([48, 64, 74, 97, 100, 121, 128, 143, 169, 180, 243, 256, 257]) {
        for (outer, inner) in [(1, 1), (3, 1), (9, 1), (2, 3), (1, 17)] {
            check::<f32>((outer, n, inner), 3e-6);
            check::<f64>((outer, n, inner), 1e-14);
        }
    }
    check::<f64>((1, 1009, 2), 1e-13);
    check::<f64>((1, 4098, 1), 1e-13);
}
#[cfg_attr(test, test)]
pub(crate) fn the_same_bits_with_any_number_of_threads() {
    for sizes in [(1, 65536, 1), (40, 1000, 1), (3, 64, 100), (200, 6, 1)] {
        let x = draw::<f32>(sizes.0 * sizes.1 * sizes.2 * 2);
        let all: Vec<_> = [1, 2, 5]
            .into_iter()
            .map(|threads| {
                set_num_threads(threads);
                [Kind::Complex { inverse: false }, Kind::Forward].map(|kind| run(kind, &x, sizes, 1.0))
            })
            .collect();
        set_num_threads(2);
        assert!(all[0] == all[1] && all[0] == all[2], "{sizes:?}");
    }
}
#[cfg_attr(test, test)]
pub(crate) fn what_is_not_finite_stays_in_its_line() {
    let mut x = vec![1.0f32; 2 * 40 * 16];
    x[2 * 16 * 3] = f32::NAN;
    let y = run(Kind::Complex { inverse: false }, &x, (40, 16, 1), 1.0);
    for (i, line) in y.chunks(32).enumerate() {
        assert_eq!(line.iter().any(|v| v.is_nan()), i == 3, "line {i}");
    }
}
