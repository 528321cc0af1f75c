//! Products of every layout and dtype against naive sums.

use super::small::{dots, tiles, transpose_into};
use super::*;
use crate::backend::cpu::lanes::Real;
use crate::backend::cpu::level::levels;
use crate::backend::cpu::testing::{assert_close, Host, Lcg};
use crate::backend::cpu::threads::parallel::set_num_threads;
use crate::backend::Activation;

fn naive(a: &Host, b: &Host, c: &Host, alpha: f64, beta: f64) -> Vec<f64> {
    let (av, bv, cv) = (a.to_vec(), b.to_vec(), c.to_vec());
    let [bt, m, k] = a.layout.shape[..] else { panic!() };
    let n = b.layout.shape[2];
    let (m, n, k) = (m as usize, n as usize, k as usize);
    let mut out = vec![];
    for t in 0..bt as usize {
        for i in 0..m {
            for j in 0..n {
                let s: f64 = (0..k).map(|l| av[(t * m + i) * k + l] * bv[(t * k + l) * n + j]).sum();
                out.push(alpha * s + if beta == 0.0 { 0.0 } else { beta * cv[(t * m + i) * n + j] });
            }
        }
    }
    out
}
fn check(dtype: DType, sizes: (i64, i64, i64, i64), perms: (usize, usize, usize), gap: i64, alpha: f64, beta: f64) {
    const PERMS: [[usize; 3]; 4] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0]];
    let (bt, m, n, k) = sizes;
    let mut r = Lcg(bt as u64 * 7919 + m as u64 * 31 + n as u64 * 17 + k as u64);
    let mut val = || if dtype.is_float() { r.eighth() } else { r.below(9) as f64 };
    let a = Host::permuted(dtype, &[bt, m, k], &PERMS[perms.0], gap, &mut val);
    let b = Host::permuted(dtype, &[bt, k, n], &PERMS[perms.1], gap, &mut val);
    let c = Host::permuted(dtype, &[bt, m, n], &PERMS[perms.2], gap, || if beta == 0.0 { f64::NAN } else { val() });
    let mut want = naive(&a, &b, &c, alpha, beta);
    if dtype.is_int() {
        // Narrow types wrap.
        let w = Host::new(DType::I64, &[want.len() as i64], {
            let mut it = want.clone().into_iter();
            move || it.next().unwrap()
        });
        want = w.to_vec().iter().map(|v| dispatch_wrap(dtype, *v as i64)).collect();
    }
    gemm(a.view(), b.view(), c.view(), alpha, beta, &Epilogue::NONE).unwrap();
    let tol = match dtype {
        DType::F32 => 1e-5,
        DType::F64 => 1e-12,
        DType::F16 => 1e-3,
        DType::BF16 => 1e-2,
        _ => 0.0,
    };
    assert_close(&c.to_vec(), &want, tol, &format!("{dtype} {sizes:?} {perms:?} gap {gap} {alpha} {beta}"));
    c.check_canaries();
}
fn dispatch_wrap(dtype: DType, v: i64) -> f64 {
    match dtype {
        DType::U8 => v as u8 as f64,
        DType::I8 => v as i8 as f64,
        DType::I16 => v as i16 as f64,
        DType::I32 => v as i32 as f64,
        _ => v as f64,
    }
}

#[cfg_attr(test, test)]
pub(crate) fn all_layouts_and_dtypes() {
    let floats = [DType::F32, DType::F64, DType::F16, DType::BF16];
    let sizes = [
        (1, 1, 1, 1),
        (1, 2, 2, 2),
        (3, 5, 7, 3),
        (1, 17, 33, 9),
        (2, 1, 37, 19),
        (2, 37, 1, 19),
        (1, 1, 1, 50),
        (1, 5, 6, 1),
        (0, 3, 3, 3),
        (2, 0, 3, 3),
        (2, 3, 0, 3),
        (2, 3, 4, 0),
        (1, 70, 50, 40),
    ];
    for dtype in floats.into_iter().chain([DType::U8, DType::I8, DType::I16, DType::I32, DType::I64]) {
        for s in sizes {
            for perms in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 1), (2, 3, 0), (0, 0, 3), (3, 3, 3)] {
                check(dtype, s, perms, 0, 1.0, 0.0);
                check(dtype, s, perms, 2, 2.0, 3.0);
            }
        }
    }
    check(DType::F32, (1, 300, 530, 90), (0, 1, 0), 1, 0.5, 1.0);
    // Panels of several depths, and few rows along those of b.
    for perms in [(0, 0, 0), (0, 1, 0), (0, 2, 0)] {
        check(DType::F32, (2, 40, 50, 600), perms, 1, 0.5, 2.0);
        check(DType::F64, (1, 3, 1100, 30), perms, 0, 1.0, 0.0);
        check(DType::F32, (1, 2, 1050, 43), perms, 1, 2.0, 1.0);
    }
    check(DType::F32, (1, 1030, 20, 700), (0, 0, 0), 0, 1.0, 0.0);
    check(DType::F16, (1, 300, 530, 90), (1, 0, 0), 0, 1.0, 0.0);
    // Pairs of bfloat16: several panels of an odd depth.
    for perms in [(0, 0, 0), (1, 1, 0), (0, 1, 1), (2, 3, 0)] {
        check(DType::BF16, (2, 21, 75, 1031), perms, 1, 0.5, 2.0);
    }
}

/// One product with an epilogue: the result's memory order, the bias's stride.
fn check_epilogue(
    dtype: DType,
    sizes: (i64, i64, i64, i64),
    perm: &[usize],
    bias: Option<i64>,
    e: (bool, u8),
    beta: f64,
) {
    let (bt, m, n, k) = sizes;
    let mut r = Lcg(bt as u64 * 7919 + m as u64 * 31 + n as u64 * 17 + k as u64);
    let a = Host::new(dtype, &[bt, m, k], || r.eighth());
    let b = Host::new(dtype, &[bt, k, n], || r.eighth());
    let c = Host::permuted(dtype, &[bt, m, n], perm, 2, || if beta == 0.0 { f64::NAN } else { r.eighth() });
    let pre = Host::permuted(dtype, &[bt, m, n], perm, 1, || f64::NAN);
    let added = Host::strided(dtype, &[n], &[bias.unwrap_or(0)], 0, || r.eighth());
    let activation = [None, Some(Activation::Relu), Some(Activation::Gelu)][e.1 as usize];
    let mut want = naive(&a, &b, &c, 1.0, beta);
    let by_column = added.to_vec();
    for (i, w) in want.iter_mut().enumerate() {
        *w += if bias.is_some() { by_column[i % n as usize] } else { 0.0 };
    }
    let kept = want.clone();
    for w in &mut want {
        let u = (2.0 / std::f64::consts::PI).sqrt() * (*w + 0.044715 * w.powi(3));
        *w = [*w, w.max(0.0), 0.5 * *w * (1.0 + u.tanh())][e.1 as usize];
    }
    let epilogue = Epilogue { bias: bias.map(|_| added.view()), activation, pre: e.0.then(|| pre.view()) };
    gemm(a.view(), b.view(), c.view(), 1.0, beta, &epilogue).unwrap();
    let tol = match dtype {
        DType::F32 => 1e-5,
        DType::F64 => 1e-12,
        DType::F16 => 2e-3,
        _ => 1e-2,
    };
    let what = format!("{dtype} {sizes:?} {perm:?} bias {bias:?} {e:?} {beta}");
    assert_close(&c.to_vec(), &want, tol, &what);
    c.check_canaries();
    if e.0 {
        assert_close(&pre.to_vec(), &kept, tol, &format!("{what}, before the activation"));
        pre.check_canaries();
    }
}

#[cfg_attr(test, test)]
pub(crate) fn epilogues() {
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        for s in
            [(1, 1, 1, 1), (1, 5, 7, 3), (2, 1, 37, 19), (2, 37, 1, 19), (1, 9, 11, 0), (0, 2, 2, 2), (1, 80, 70, 40)]
        {
            for perm in [[0, 1, 2], [0, 2, 1], [2, 1, 0]] {
                for bias in [None, Some(1), Some(0)] {
                    for e in [(false, 1), (true, 2), (false, 2), (true, 0)] {
                        check_epilogue(dtype, s, &perm, bias, e, 0.0);
                    }
                    check_epilogue(dtype, s, &perm, bias, (true, 1), 2.0);
                }
            }
        }
    }
    // Several blocks, by several threads.
    check_epilogue(DType::F32, (1, 300, 600, 30), &[0, 1, 2], Some(1), (true, 2), 0.0);
    check_epilogue(DType::F32, (1, 700, 20, 90), &[0, 2, 1], Some(1), (false, 1), 1.0);
    check_epilogue(DType::BF16, (1, 300, 600, 30), &[0, 1, 2], Some(1), (true, 1), 0.0);
    let i = Host::zeros(DType::I32, &[1, 2, 2]);
    let e = Epilogue { activation: Some(Activation::Relu), ..Epilogue::NONE };
    let e = gemm(i.view(), i.view(), i.view(), 1.0, 0.0, &e).unwrap_err();
    assert!(e.message.contains("gemm_epilogue") && e.message.contains("int32"), "{}", e.message);
    let (f, long) = (Host::zeros(DType::F32, &[1, 2, 2]), Host::zeros(DType::F32, &[3]));
    let e = Epilogue { bias: Some(long.view()), ..Epilogue::NONE };
    let e = gemm(f.view(), f.view(), f.view(), 1.0, 0.0, &e).unwrap_err();
    assert!(e.message.contains("a bias of 2 elements"), "{}", e.message);
}

#[cfg_attr(test, test)]
pub(crate) fn every_instruction_set() {
    fn run<T: Real>() {
        for isa in levels() {
            for (m, n, k) in [(1, 1, 1), (3, 5, 2), (13, 16, 4), (9, 31, 7), (20, 33, 5), (11, 65, 3)] {
                let a: Vec<T> = (0..m * k).map(|i| T::from_i64((i % 7) as i64 - 3)).collect();
                let b: Vec<T> = (0..n * k).map(|i| T::from_i64((i % 5) as i64 - 2)).collect();
                let mut c = vec![T::ONE; m * n];
                let mut bt = vec![T::ZERO; n * k];
                let mut d = vec![T::ONE; n];
                // SAFETY: sizes as allocated; the machine has these instruction sets.
                unsafe {
                    let (n_, k_) = (n as isize, k as isize);
                    tiles(isa, m, n, k, a.as_ptr(), k_, 1, b.as_ptr(), n_, c.as_mut_ptr(), n_, T::ONE, T::ONE);
                    transpose_into(isa, n, k, b.as_ptr(), 1, n_, bt.as_mut_ptr());
                    dots(isa, n, k, a.as_ptr(), bt.as_ptr(), k_, d.as_mut_ptr(), 1, T::ONE, T::ZERO);
                }
                for i in 0..m {
                    for j in 0..n {
                        let s: f64 = (0..k).map(|l| a[i * k + l].to_f64() * b[l * n + j].to_f64()).sum();
                        assert_eq!(c[i * n + j].to_f64(), s + 1.0, "{isa:?} {m} {n} {k}");
                        if i == 0 {
                            assert_eq!(d[j].to_f64(), s, "{isa:?} dots {n} {k}");
                        }
                    }
                }
            }
        }
    }
    run::<f32>();
    run::<f64>();
    // Integers, whose results are exact: several panels, depths and blocks of rows; what wraps.
    fn whole<T: int::Whole>() {
        for isa in levels() {
            for (m, n, k) in [(1, 1, 1), (7, 70, 3), (131, 33, 5), (15, 17, 515), (2, 130, 0)] {
                let mut r = Lcg((m * 100 + n * 10 + k) as u64);
                let mut host = |shape: [i64; 3]| Host::new(T::DTYPE, &shape, || r.below(200) as f64 - 100.0);
                let (a, b, c) = (host([2, m, k]), host([2, k, n]), host([2, m, n]));
                let want = naive(&a, &b, &c, 3.0, 2.0);
                let p = Problem::<T>::of(&a.view(), &b.view(), &c.view(), &Epilogue::NONE).unwrap();
                run_int(isa, p, 3, 2).unwrap();
                let want: Vec<f64> = want.iter().map(|v| dispatch_wrap(T::DTYPE, *v as i64)).collect();
                assert_eq!(c.to_vec(), want, "{isa:?} {} {m} {n} {k}", T::DTYPE);
            }
        }
    }
    whole::<u8>();
    whole::<i8>();
    whole::<i16>();
    whole::<i32>();
    whole::<i64>();
}

#[cfg_attr(test, test)]
pub(crate) fn broadcast_batch_and_threads() {
    let mut r = Lcg(5);
    let a = Host::strided(DType::F32, &[6, 40, 90], &[0, 90, 1], 0, || r.eighth() + 0.01);
    let b = Host::new(DType::F32, &[6, 90, 300], || r.eighth() * 0.7);
    let mut results = vec![];
    for threads in [1, 2, 5] {
        set_num_threads(threads);
        let c = Host::new(DType::F32, &[6, 40, 300], || f64::NAN);
        gemm(a.view(), b.view(), c.view(), 1.0, 0.0, &Epilogue::NONE).unwrap();
        results.push(c.to_vec());
    }
    assert_close(&results[0], &naive(&a, &b, &Host::zeros(DType::F32, &[6, 40, 300]), 1.0, 0.0), 1e-4, "bmm");
    assert!(results.iter().all(|x| *x == results[0]), "results depend on the number of threads");
}

#[cfg_attr(test, test)]
pub(crate) fn bool_and_mixed_dtypes_are_errors() {
    let a = Host::zeros(DType::Bool, &[1, 2, 2]);
    let e = gemm(a.view(), a.view(), a.view(), 1.0, 0.0, &Epilogue::NONE).unwrap_err();
    assert!(e.message.contains("\"gemm\" not implemented for bool"), "{}", e.message);
    let f = Host::zeros(DType::F32, &[1, 2, 2]);
    assert!(gemm(f.view(), a.view(), f.view(), 1.0, 0.0, &Epilogue::NONE).unwrap_err().message.contains("one dtype"));
}
