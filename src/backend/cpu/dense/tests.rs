//! Factors multiplied together again, for sizes on both sides of every block, and the same bits with any number of threads.

use super::eigen;
use super::ldl::{ldl, ldl_solve};
use super::lu::{cholesky, exchange, exchange_back, lower, lu, upper};
use super::matrix::{Dense, M};
use super::qr::{apply_q, qr};
use crate::backend::cpu::threads::parallel::set_num_threads;

const SIZES: &[(usize, usize)] =
    &[(1, 1), (2, 2), (3, 3), (5, 3), (3, 5), (9, 9), (17, 33), (33, 17), (70, 70), (150, 90), (90, 150), (161, 161)];

/// Numbers between -1 and 1, in no order.
fn numbers<T: Dense>(n: usize, seed: u64) -> Vec<T> {
    let mut x = seed * 2 + 1;
    (0..n)
        .map(|_| {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            T::of((x >> 33) as f64 / (1u64 << 30) as f64 - 1.0)
        })
        .collect()
}
fn of<T: Dense>(v: &mut [T], rows: usize) -> M<T> {
    M::columns(v.as_mut_ptr(), rows)
}
/// a @ b for columns of m and k elements.
fn product(m: usize, n: usize, k: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for j in 0..n {
        for l in 0..k {
            for i in 0..m {
                c[j * m + i] += a[l * m + i] * b[j * k + l];
            }
        }
    }
    c
}
fn transposed(m: usize, n: usize, a: &[f64]) -> Vec<f64> {
    (0..m * n).map(|i| a[(i % n) * m + i / n]).collect()
}
#[track_caller]
fn near(what: &str, a: &[f64], b: &[f64], eps: f64) {
    let size = b.iter().fold(1f64, |m, x| m.max(x.abs()));
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= eps * size, "{what}: element {i} is {x}, should be {y}");
    }
}
fn wide<T: Dense>(v: &[T]) -> Vec<f64> {
    v.iter().map(|x| x.wide()).collect()
}
fn symmetric<T: Dense>(n: usize) -> Vec<T> {
    let mut a = numbers::<T>(n * n, 7);
    for j in 0..n {
        for i in 0..j {
            a[j * n + i] = a[i * n + j];
        }
    }
    a
}

fn lu_again<T: Dense>(eps: f64) {
    for &(m, n) in SIZES {
        let a = numbers::<T>(m * n, 1);
        let k = m.min(n);
        let (mut f, mut p) = (a.clone(), vec![0; k]);
        assert_eq!(unsafe { lu(m, n, of(&mut f, m), &mut p) }, 0);
        let f = wide(&f);
        let l: Vec<f64> =
            (0..m * k).map(|i| if i % m == i / m { 1.0 } else { f[i] * f64::from(i % m > i / m) }).collect();
        let u: Vec<f64> = (0..k * n).map(|i| f[i / k * m + i % k] * f64::from(i % k <= i / k)).collect();
        let mut again = product(m, n, k, &l, &u);
        unsafe { exchange_back(n, of(&mut again, m), &p) };
        near(&format!("lu {m}x{n}"), &again, &wide(&a), eps);
    }
}
#[cfg_attr(test, test)]
pub(crate) fn lu_multiplied_again() {
    lu_again::<f64>(1e-13);
    lu_again::<f32>(2e-5);
}
#[cfg_attr(test, test)]
pub(crate) fn solves() {
    for &(n, k) in &[(1, 1), (3, 2), (20, 1), (70, 33), (130, 5)] {
        let (a, x) = (numbers::<f64>(n * n, 3), numbers::<f64>(n * k, 4));
        let (mut f, mut p) = (a.clone(), vec![0; n]);
        unsafe { lu(n, n, of(&mut f, n), &mut p) };
        let mut b = product(n, k, n, &a, &x);
        unsafe {
            exchange(k, of(&mut b, n), &p);
            lower(true, n, k, of(&mut f, n), of(&mut b, n));
            upper(false, n, k, of(&mut f, n), of(&mut b, n));
        }
        near(&format!("solve {n}x{k}"), &b, &x, 1e-9);
        let mut b = product(n, k, n, &transposed(n, n, &a), &x);
        unsafe {
            lower(false, n, k, of(&mut f, n).transposed(), of(&mut b, n));
            upper(true, n, k, of(&mut f, n).transposed(), of(&mut b, n));
            exchange_back(k, of(&mut b, n), &p);
        }
        near(&format!("solve transposed {n}x{k}"), &b, &x, 1e-9);
    }
}
fn cholesky_again<T: Dense>(eps: f64) {
    for n in [1, 2, 5, 16, 17, 40, 100, 300] {
        let g = wide(&numbers::<T>(n * n, 5));
        let mut a = product(n, n, n, &g, &transposed(n, n, &g));
        (0..n).for_each(|i| a[i * n + i] += n as f64);
        let mut f: Vec<T> = a.iter().map(|x| T::of(*x)).collect();
        assert_eq!(unsafe { cholesky(n, of(&mut f, n)) }, 0);
        let l: Vec<f64> = (0..n * n).map(|i| f[i].wide() * f64::from(i % n >= i / n)).collect();
        near(&format!("cholesky {n}"), &product(n, n, n, &l, &transposed(n, n, &l)), &a, eps);
        // The minor of order n is the first that is not positive.
        let mut f: Vec<T> = a.iter().map(|x| T::of(*x)).collect();
        f[n * n - 1] = T::of(-1.0);
        assert_eq!(unsafe { cholesky(n, of(&mut f, n)) }, n);
    }
}
#[cfg_attr(test, test)]
pub(crate) fn cholesky_multiplied_again() {
    cholesky_again::<f64>(1e-13);
    cholesky_again::<f32>(1e-5);
}
fn qr_again<T: Dense>(eps: f64) {
    for &(m, n) in SIZES {
        let a = numbers::<T>(m * n, 2);
        let k = m.min(n);
        let (mut f, mut tau) = (a.clone(), vec![T::ZERO; k]);
        unsafe { qr(m, n, of(&mut f, m), &mut tau).unwrap() };
        for columns in [k, m] {
            let mut q = vec![T::ZERO; m * columns];
            (0..columns).for_each(|i| q[i * m + i] = T::ONE);
            unsafe { apply_q((m, columns, k), of(&mut f, m), &tau, false, true, of(&mut q, m)).unwrap() };
            let q = wide(&q);
            let r: Vec<f64> = (0..columns * n)
                .map(|i| if i % columns <= i / columns { f[i / columns * m + i % columns].wide() } else { 0.0 })
                .collect();
            near(&format!("qr {m}x{n}"), &product(m, n, columns, &q, &r), &wide(&a), eps);
            let one: Vec<f64> = (0..columns * columns).map(|i| f64::from(i % columns == i / columns)).collect();
            near("orthogonal", &product(columns, columns, m, &transposed(m, columns, &q), &q), &one, eps);
        }
        // Q^T A = R
        let mut c = a.clone();
        unsafe { apply_q((m, n, k), of(&mut f, m), &tau, true, false, of(&mut c, m)).unwrap() };
        let r: Vec<f64> = (0..m * n).map(|i| if i % m <= i / m { f[i].wide() } else { 0.0 }).collect();
        near(&format!("Q^T A {m}x{n}"), &wide(&c), &r, eps);
    }
}
#[cfg_attr(test, test)]
pub(crate) fn qr_multiplied_again() {
    qr_again::<f64>(1e-13);
    qr_again::<f32>(2e-5);
}
#[cfg_attr(test, test)]
pub(crate) fn eigenvectors() {
    for n in [1, 2, 3, 9, 50, 133] {
        for by in [1.0, 1e200, 1e-200] {
            let a: Vec<f64> = symmetric::<f64>(n).iter().map(|x| x * by).collect();
            let (mut v, mut w) = (a.clone(), vec![0.0; n]);
            assert_eq!(unsafe { eigen::eigh(n, of(&mut v, n), &mut w, true).unwrap() }, 0);
            assert!(w.windows(2).all(|w| w[0] <= w[1]));
            let left: Vec<f64> = product(n, n, n, &a, &v).iter().map(|x| x / by).collect();
            let right: Vec<f64> = (0..n * n).map(|i| v[i] * w[i / n] / by).collect();
            near(&format!("eigh {n}"), &left, &right, 1e-12);
            let one: Vec<f64> = (0..n * n).map(|i| f64::from(i % n == i / n)).collect();
            near("orthogonal", &product(n, n, n, &transposed(n, n, &v), &v), &one, 1e-12);
            let (mut f, mut alone) = (a, vec![0.0; n]);
            unsafe { eigen::eigh(n, of(&mut f, n), &mut alone, false).unwrap() };
            near("values alone", &alone, &w, 1e-12 * by);
        }
    }
    let mut w = [0.0; 2];
    assert_eq!(unsafe { eigen::eigh(2, of(&mut [f64::NAN, 1.0, 1.0, 2.0], 2), &mut w, false).unwrap() }, 2);
}
#[cfg_attr(test, test)]
pub(crate) fn singular_vectors() {
    for &(m, n) in SIZES.iter().filter(|(m, n)| m >= n) {
        // Of full rank, and of rank 1.
        for rank in [n, 1] {
            let (x, y) = (numbers::<f64>(m * rank, 8), numbers::<f64>(rank * n, 9));
            let a = product(m, n, rank, &x, &y);
            for columns in [n, m] {
                let (mut f, mut s) = (a.clone(), vec![0.0; n]);
                let (mut u, mut v) = (vec![0.0; m * columns], vec![0.0; n * n]);
                let vectors = Some((of(&mut u, m), columns, of(&mut v, n)));
                assert_eq!(unsafe { eigen::svd(m, n, of(&mut f, m), &mut s, vectors).unwrap() }, 0);
                assert!(s.windows(2).all(|s| s[0] >= s[1]) && s.iter().all(|s| *s >= 0.0), "{s:?}");
                let us: Vec<f64> = (0..m * n).map(|i| u[i] * s[i / m]).collect();
                near(&format!("svd {m}x{n}"), &product(m, n, n, &us, &transposed(n, n, &v)), &a, 1e-12);
                let one = |n: usize| (0..n * n).map(|i| f64::from(i % n == i / n)).collect::<Vec<_>>();
                let uu = product(columns, columns, m, &transposed(m, columns, &u), &u);
                near("U orthogonal", &uu, &one(columns), 1e-12);
                near("V orthogonal", &product(n, n, n, &transposed(n, n, &v), &v), &one(n), 1e-12);
            }
        }
    }
}
#[cfg_attr(test, test)]
pub(crate) fn ldl_solves() {
    for n in [1, 2, 3, 6, 25, 60] {
        let mut a = symmetric::<f64>(n);
        if n > 1 {
            // A block of two rows comes first.
            a[0] = 0.0;
        }
        let x = numbers::<f64>(2 * n, 3);
        let mut b = product(n, 2, n, &a, &x);
        let mut p = vec![0; n];
        unsafe {
            assert_eq!(ldl(n, of(&mut a, n), &mut p), 0);
            ldl_solve(n, 2, of(&mut a, n), &p, of(&mut b, n));
        }
        near(&format!("ldl {n}"), &b, &x, 1e-9);
    }
}
#[cfg_attr(test, test)]
pub(crate) fn any_number_of_threads_gives_the_same_bits() {
    let run = |threads| {
        set_num_threads(threads);
        let n = 160;
        let (mut a, mut p) = (numbers::<f32>(n * n, 1), vec![0; n]);
        unsafe { lu(n, n, of(&mut a, n), &mut p) };
        let (mut q, mut tau) = (numbers::<f32>(n * n, 2), vec![0.0; n]);
        unsafe { qr(n, n, of(&mut q, n), &mut tau).unwrap() };
        let (mut v, mut w) = (symmetric::<f64>(n), vec![0.0; n]);
        unsafe { eigen::eigh(n, of(&mut v, n), &mut w, true).unwrap() };
        let (mut f, mut s) = (numbers::<f64>(n * n, 1), vec![0.0; n]);
        let (mut u, mut vt) = (vec![0.0; n * n], vec![0.0; n * n]);
        unsafe { eigen::svd(n, n, of(&mut f, n), &mut s, Some((of(&mut u, n), n, of(&mut vt, n)))).unwrap() };
        let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        (p, bits(&wide(&a)), bits(&wide(&q)), bits(&v), bits(&u), bits(&vt), bits(&s))
    };
    let one = run(1);
    let same = [2, 8].into_iter().all(|t| run(t) == one);
    set_num_threads(2);
    assert!(same);
}
