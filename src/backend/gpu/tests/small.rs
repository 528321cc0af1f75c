//! What the op fixtures are too small, or not made, to reach, in shapes for a simulator that looks at every access
//! (lane opencl.oclgrind).

use super::conv::case;
use super::*;
use crate::backend::gpu::tile::Method;

#[cfg_attr(test, test, ignore = "lane opencl.oclgrind")]
pub(crate) fn products() {
    let Some(d) = device() else { return };
    for method in gemm::METHODS {
        for (ta, tb) in [(false, false), (false, true), (true, true)] {
            gemm::check(d, method, DType::F32, [2, 7, 18, 5], ta, tb, 0.5, 0.25);
        }
        gemm::check(d, method, DType::F16, [1, 3, 5, 4], false, true, 1.0, 0.0);
        gemm::check(d, method, DType::I32, [1, 3, 5, 4], false, false, 1.0, 0.0);
    }
    // A long sum in parts.
    gemm::check(d, Method::Stream, DType::F32, [1, 2, 3, 2060], false, false, 1.0, 0.0);
}

#[cfg_attr(test, test, ignore = "lane opencl.oclgrind")]
pub(crate) fn convolutions() {
    let Some(d) = device() else { return };
    let cases = [
        case(2, 2, 3, 1, &[4, 5], &[2, 3], &[1, 1], &[1, 1], &[1, 1]),
        case(1, 4, 4, 2, &[5, 6], &[2, 2], &[2, 1], &[0, 1], &[1, 2]),
        case(1, 3, 3, 3, &[7], &[3], &[2], &[1], &[1]),
    ];
    for c in &cases {
        for m in conv::METHODS {
            conv::check(d, c, DType::F32, Some(m));
        }
    }
    conv::check(d, &cases[1], DType::BF16, None);
}

/// Windows two wide, over rows long enough for vectors.
#[cfg_attr(test, test, ignore = "lane opencl.oclgrind")]
pub(crate) fn pools_by_rows() {
    let Some(d) = device() else { return };
    for (height, width) in [(4i64, 8i64), (3, 17), (2, 6)] {
        let n = (2 * height * width) as usize;
        let x = T::of(d, DType::F32, &noise(n, 61), &[2, height, width]);
        let p = PoolParams { kernel: vec![2, 2], stride: vec![2, 2], padding: vec![0, 0], dilation: vec![1, 1] };
        let (rows, columns) = (height / 2, width / 2);
        let (o, i) = (T::zeros(d, DType::F32, &[2, rows, columns]), T::zeros(d, DType::I64, &[2, rows, columns]));
        d.max_pool(x.view(), &p, o.view(), i.view()).unwrap();
        let (values, mut best, mut gx) = (x.values(d), vec![], vec![0.0; n]);
        let g = noise((2 * rows * columns) as usize, 62);
        for plane in 0..2 {
            for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                let at = |y: i64, x: i64| ((plane * height + 2 * r + y) * width + 2 * c + x) as usize;
                let places = [at(0, 0), at(0, 1), at(1, 0), at(1, 1)];
                let most = places.into_iter().fold(places[0], |b, p| if values[p] > values[b] { p } else { b });
                gx[most] += round_to(DType::F32, g[best.len()]);
                best.push(values[most]);
            }
        }
        assert_close(&o.values(d), &best, 0.0, &format!("{height}x{width}"));
        let (gt, r) = (T::of(d, DType::F32, &g, &[2, rows, columns]), T::zeros(d, DType::F32, &[2, height, width]));
        d.max_pool_backward(gt.view(), i.view(), &p, r.view()).unwrap();
        assert_close(&r.values(d), &gx, 1e-6, &format!("gradient of {height}x{width}"));
    }
}

#[cfg_attr(test, test, ignore = "lane opencl.oclgrind")]
pub(crate) fn merged_sorts_and_sorted_writes() {
    let Some(d) = device() else { return };
    let x: Vec<f64> = noise(2 * 70, 91).iter().map(|v| (v * 8.0).round()).collect();
    for dtype in [DType::F32, DType::I8] {
        rows::check_sort(d, dtype, &[2, 70], 1, &x);
    }
    let index = [3i64, 0, -1, 3, 1, 3];
    let values: Vec<f64> = (1..=12).map(f64::from).collect();
    for accumulate in [false, true] {
        let o = T::zeros(d, DType::F32, &[5, 2]);
        let (i, v) = (T::new(d, &index, &[6]), T::of(d, DType::F32, &values, &[6, 2]));
        d.index_write(o.view(), &[i.view()], v.view(), accumulate, true).unwrap();
        let want = if accumulate {
            [3.0, 4.0, 9.0, 10.0, 0.0, 0.0, 1.0 + 7.0 + 11.0, 2.0 + 8.0 + 12.0, 5.0, 6.0]
        } else {
            [3.0, 4.0, 9.0, 10.0, 0.0, 0.0, 11.0, 12.0, 5.0, 6.0]
        };
        assert_close(&o.values(d), &want, 0.0, &format!("{accumulate}"));
    }
}

#[cfg_attr(test, test, ignore = "lane opencl.oclgrind")]
pub(crate) fn draws_and_steps() {
    let Some(d) = device() else { return };
    use Distribution::*;
    for (dist, dtype) in [
        (Uniform { low: 0.0, high: 1.0 }, DType::F32),
        (Uniform { low: -1.0, high: 1.0 }, DType::F16),
        (Bernoulli { p: 0.3 }, DType::Bool),
        (Integer { low: -5, high: 200 }, DType::I64),
        (FullRange, DType::I16),
        (Permutation, DType::I64),
    ] {
        let (got, want) = fill::both(d, dist, dtype, 83);
        assert_close(&got, &want, 0.0, &format!("{dist:?} {dtype}"));
    }
    for dtype in [DType::F32, DType::BF16] {
        let (got, want) = fill::both(d, Normal { mean: 0.0, std: 1.0 }, dtype, 83);
        // Logarithm and sine are the device's.
        assert_close(&got, &want, tolerance(dtype), &format!("normal {dtype}"));
    }
    for (kind, states) in fill::kinds() {
        fill::check_step(d, DType::F32, &kind, states, &[3, 70]);
    }
    fill::check_step(d, DType::F16, &fill::kinds()[4].0, 3, &[17]);
}
