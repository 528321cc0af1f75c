//! Matrix products: every method, dtype and layout.

use super::*;
use crate::backend::gpu::tile::Method;
use crate::backend::gpu::tile::{candidates, default_of, How};

/// alpha * a @ b + beta * out on the host, all row-major [batch, rows, columns].
fn reference(a: &[f64], b: &[f64], out: &[f64], s: [usize; 4], alpha: f64, beta: f64) -> Vec<f64> {
    let [bs, m, n, k] = s;
    let mut r = vec![0.0; bs * m * n];
    for z in 0..bs {
        for i in 0..m {
            for j in 0..n {
                let sum: f64 = (0..k).map(|x| a[(z * m + i) * k + x] * b[(z * k + x) * n + j]).sum();
                let at = (z * m + i) * n + j;
                r[at] = alpha * sum + if beta == 0.0 { 0.0 } else { beta * out[at] };
            }
        }
    }
    r
}

/// Multiplies with the operands transposed in memory as asked.
pub(super) fn check(d: &Gpu, method: Method, dtype: DType, s: [usize; 4], ta: bool, tb: bool, alpha: f64, beta: f64) {
    let [bs, m, n, k] = s;
    let make = |rows: usize, cols: usize, t: bool, seed: u64| {
        let v: Vec<f64> = if dtype.is_float() {
            noise(bs * rows * cols, seed).iter().map(|x| round_to(dtype, *x)).collect()
        } else {
            noise(bs * rows * cols, seed).iter().map(|x| (x * 4.0).floor().abs()).collect()
        };
        if !t {
            return (T::of(d, dtype, &v, &[bs as i64, rows as i64, cols as i64]), v);
        }
        let tensor = T::of(d, dtype, &v, &[bs as i64, cols as i64, rows as i64]).transposed(1, 2);
        let values = tensor.values(d);
        (tensor, values)
    };
    let (a, av) = make(m, k, ta, 21);
    let (b, bv) = make(k, n, tb, 22);
    let (o, ov) = make(m, n, false, 23);
    d.gemm_by(method, a.view(), b.view(), o.view(), alpha, beta, &Epilogue::NONE).unwrap();
    let want: Vec<f64> = reference(&av, &bv, &ov, s, alpha, beta).iter().map(|v| round_to(dtype, *v)).collect();
    let tol = tolerance(dtype) * (k as f64).sqrt().max(2.0);
    assert_close(&o.values(d), &want, tol, &format!("{method:?} {dtype} {s:?} {ta} {tb} {alpha} {beta}"));
}

pub(super) const METHODS: [Method; 5] = [Method::Tiled, Method::Packed, Method::Stream, Method::Dot, Method::Direct];

#[cfg_attr(test, test)]
pub(crate) fn every_method_and_dtype() {
    let Some(d) = device() else { return };
    for (row, dtype) in DType::REAL.into_iter().enumerate() {
        if dtype == DType::Bool || (dtype == DType::F64 && !d.info.fp64) {
            continue;
        }
        for (column, method) in METHODS.into_iter().enumerate() {
            if !tried(d, dtype == DType::F32, row, column, 2) {
                continue;
            }
            check(d, method, dtype, [2, 19, 37, 23], false, false, 1.0, 0.0);
            check(d, method, dtype, [1, 16, 64, 5], false, true, 2.0, 1.0);
        }
    }
    let t = T::zeros(d, DType::Bool, &[1, 2, 2]);
    let e = d.gemm(t.view(), t.view(), T::zeros(d, DType::Bool, &[1, 2, 2]).view(), 1.0, 0.0).unwrap_err();
    assert!(
        e.message.contains("gemm") && e.message.contains("bool") && e.message.contains(&d.device().to_string()),
        "{e}"
    );
}

#[cfg_attr(test, test)]
pub(crate) fn shapes_and_layouts() {
    let Some(d) = device() else { return };
    for method in METHODS {
        for s in [[1, 1, 1, 1], [1, 1, 70, 33], [1, 70, 1, 33], [3, 65, 130, 40], [1, 128, 64, 100], [1, 9, 9, 0]] {
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                check(d, method, DType::F32, s, ta, tb, 1.0, 0.0);
            }
        }
        check(d, method, DType::F32, [2, 33, 40, 17], true, true, -0.5, 0.25);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn a_batch_of_stride_zero_is_broadcast_and_beta_zero_ignores_nan() {
    let Some(d) = device() else { return };
    let (av, bv) = (noise(3 * 20 * 30, 24), noise(30 * 40, 25));
    let a = T::of(d, DType::F32, &av, &[3, 20, 30]);
    let b = T::of(d, DType::F32, &bv, &[30, 40]).with_layout(&[3, 30, 40], &[0, 40, 1], 0);
    let bb: Vec<f64> = [&bv[..], &bv, &bv].concat();
    let want = reference(&av, &bb, &[], [3, 20, 40, 30], 1.0, 0.0);
    for method in METHODS {
        let o = T::of(d, DType::F32, &[f64::NAN; 3 * 20 * 40], &[3, 20, 40]);
        d.gemm_by(method, a.view(), b.view(), o.view(), 1.0, 0.0, &Epilogue::NONE).unwrap();
        assert_close(&o.values(d), &want, 1e-5, &format!("{method:?}"));
    }
}

/// The epilogue on the host, of row-major [rows, n]; gives what goes into the activation, and the result.
fn epilogue_reference(product: &[f64], bias: Option<&[f64]>, act: Option<Activation>) -> (Vec<f64>, Vec<f64>) {
    let n = bias.map_or(1, |b| b.len());
    let pre: Vec<f64> = product.iter().enumerate().map(|(i, v)| v + bias.map_or(0.0, |b| b[i % n])).collect();
    let out = pre.iter().map(|&x| match act {
        None => x,
        Some(Activation::Relu) => x.max(0.0),
        Some(Activation::Gelu) => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
    });
    (pre.clone(), out.collect())
}

/// Runs a product with an epilogue by a method, or (None) as an op does.
fn check_epilogue(
    d: &Gpu,
    method: Option<Method>,
    dtype: DType,
    s: [usize; 4],
    bias_stride: Option<i64>,
    act: Option<Activation>,
    keep: bool,
    beta: f64,
) {
    let [bs, m, n, k] = s;
    let values = |count: usize, seed| noise(count, seed).iter().map(|x| round_to(dtype, *x)).collect::<Vec<f64>>();
    let (av, bv, ov) = (values(bs * m * k, 31), values(bs * k * n, 32), values(bs * m * n, 33));
    let shape = |r: usize, c: usize| [bs as i64, r as i64, c as i64];
    let (a, b) = (T::of(d, dtype, &av, &shape(m, k)), T::of(d, dtype, &bv, &shape(k, n)));
    let (o, pre) = (T::of(d, dtype, &ov, &shape(m, n)), T::zeros(d, dtype, &shape(m, n)));
    let stride = bias_stride.unwrap_or(0);
    let stored = values(n * 3, 34);
    let bias = T::of(d, dtype, &stored, &[n as i64 * 3]).with_layout(&[n as i64], &[stride], 0);
    let by_column: Vec<f64> = (0..n).map(|j| stored[j * stride as usize]).collect();
    let e = Epilogue { bias: bias_stride.map(|_| bias.view()), activation: act, pre: keep.then(|| pre.view()) };
    match method {
        Some(method) => d.gemm_by(method, a.view(), b.view(), o.view(), 1.0, beta, &e).unwrap(),
        None => d.gemm_epilogue(a.view(), b.view(), o.view(), 1.0, beta, &e).unwrap(),
    }
    let product = reference(&av, &bv, &ov, s, 1.0, beta);
    let (want_pre, want) = epilogue_reference(&product, bias_stride.map(|_| &by_column[..]), act);
    // A library may round the product before the rest is done.
    let tol = tolerance(dtype) * (k as f64).sqrt().max(4.0);
    let what = format!("{method:?} {dtype} {s:?} bias {bias_stride:?} {act:?} {keep} {beta}");
    assert_close(&o.values(d), &want, tol, &what);
    if keep {
        assert_close(&pre.values(d), &want_pre, tol, &format!("{what}, before the activation"));
    }
}

#[cfg_attr(test, test)]
pub(crate) fn epilogues() {
    let Some(d) = device() else { return };
    let (relu, gelu) = (Some(Activation::Relu), Some(Activation::Gelu));
    for (row, dtype) in [DType::F32, DType::F64, DType::F16, DType::BF16].into_iter().enumerate() {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        for (column, method) in METHODS.map(Some).into_iter().chain([None]).enumerate() {
            if !tried(d, dtype == DType::F32, row, column, 3) {
                continue;
            }
            check_epilogue(d, method, dtype, [1, 19, 40, 23], Some(1), relu, false, 0.0);
            check_epilogue(d, method, dtype, [1, 19, 40, 23], Some(1), gelu, true, 0.0);
        }
    }
    for method in METHODS.map(Some).into_iter().chain([None]) {
        for (bias, act, keep, beta) in [
            (Some(1), None, false, 0.0),
            (Some(0), None, false, 1.0),
            (Some(3), relu, false, 1.0),
            (None, relu, true, 0.0),
            (None, gelu, false, 0.5),
            (Some(1), gelu, true, 0.0),
        ] {
            check_epilogue(d, method, DType::F32, [1, 33, 37, 20], bias, act, keep, beta);
            check_epilogue(d, method, DType::F32, [3, 17, 64, 9], bias, act, keep, beta);
            check_epilogue(d, method, DType::F32, [1, 16, 32, 0], bias, act, keep, beta);
        }
        // A sum in parts.
        check_epilogue(d, method, DType::F32, [1, 8, 32, 17000], Some(1), gelu, true, 0.0);
    }
    // The library refuses to keep gelu's arguments where rows are no multiple of 8.
    check_epilogue(d, None, DType::BF16, [1, 33, 24, 20], Some(1), gelu, true, 0.0);
    let whole = T::zeros(d, DType::I32, &[1, 2, 2]);
    let e = Epilogue { activation: relu, ..Epilogue::NONE };
    let e = d.gemm_epilogue(whole.view(), whole.view(), whole.view(), 1.0, 0.0, &e).unwrap_err();
    assert!(e.message.contains("gemm_epilogue") && e.message.contains("int32"), "{e}");
}

#[cfg_attr(test, test)]
pub(crate) fn every_tile_that_tuning_tries() {
    let Some(d) = device() else { return };
    let [m, n, k] = [70usize, 141, 45];
    for (method, dtype) in [(Method::Packed, DType::F32), (Method::Packed, DType::F64), (Method::Tiled, DType::F32)] {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        let (av, bv) = (noise(m * k, 26), noise(k * n, 27));
        let (av, bv): (Vec<f64>, Vec<f64>) =
            (av.iter().map(|v| round_to(dtype, *v)).collect(), bv.iter().map(|v| round_to(dtype, *v)).collect());
        let want = reference(&av, &bv, &[], [1, m, n, k], 1.0, 0.0);
        let (a, b) = (T::of(d, dtype, &av, &[1, m as i64, k as i64]), T::of(d, dtype, &bv, &[1, k as i64, n as i64]));
        let all = candidates(method, dtype);
        for tile in all.iter().enumerate().filter(|(i, _)| tried(d, false, 0, *i, 3)).map(|(_, tile)| tile) {
            let o = T::zeros(d, dtype, &[1, m as i64, n as i64]);
            let how = How { tile: *tile, ..default_of(method, dtype) };
            d.gemm_how(how, a.view(), b.view(), o.view(), 1.0, 0.0, &Epilogue::NONE).unwrap();
            assert_close(&o.values(d), &want, tolerance(dtype) * 8.0, &format!("{method:?} {dtype} {tile:?}"));
        }
        // What is measured is one of the candidates, and the second time it comes from the disk.
        let first = d.tuned(dtype, 40);
        assert!([Method::Packed, Method::Tiled].contains(&first.large.method), "{first:?}");
        assert!([Method::Direct, first.large.method].contains(&first.thin.method), "{first:?}");
        if d.disk_cache.is_some() {
            assert_eq!(d.tuned(dtype, 40), first);
        }
        // In tests, large products take the default.
        assert_eq!(d.how(method, dtype, [1, 1 << 12, 1 << 12, 1 << 12]), default_of(method, dtype));
    }
}

/// `cargo test --release -- --ignored --nocapture matmul_speed`
#[cfg_attr(test, test, ignore = "a measurement")]
pub(crate) fn matmul_speed() {
    let Some(d) = device() else { return };
    for n in [64usize, 128, 256, 512, 1024, 2048] {
        let v: Vec<f32> = noise(n * n, 1).iter().map(|x| *x as f32).collect();
        let shape = [1, n as i64, n as i64];
        let (a, b, o) = (T::new(d, &v, &shape), T::new(d, &v, &shape), T::new(d, &v, &shape));
        for method in METHODS {
            if n > 512 && method != Method::Packed {
                continue;
            }
            let mut best = f64::MAX;
            for _ in 0..8 {
                let start = std::time::Instant::now();
                d.gemm_by(method, a.view(), b.view(), o.view(), 1.0, 0.0, &Epilogue::NONE).unwrap();
                d.synchronize().unwrap();
                best = best.min(start.elapsed().as_secs_f64());
            }
            println!("{n:5} {method:?}: {:8.3} ms {:7.1} GFLOP/s", best * 1e3, 2.0 * (n as f64).powi(3) / best / 1e9);
        }
    }
}
