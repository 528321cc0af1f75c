//! Reductions: every op and dtype, over every set of dimensions, short and long.

use super::*;
use crate::backend::program::Opcode;
use ReduceOp::*;

/// The reduction of one list of values.
fn reference(op: ReduceOp, v: &[f64]) -> f64 {
    let extreme = |better: fn(f64, f64) -> bool| {
        let mut best = 0;
        for i in 1..v.len() {
            if !v[best].is_nan() && (v[i].is_nan() || better(v[i], v[best])) {
                best = i;
            }
        }
        best
    };
    match op {
        Sum => v.iter().sum(),
        Prod => v.iter().product(),
        Max => v[extreme(|a, b| a > b)],
        Min => v[extreme(|a, b| a < b)],
        ArgMax => extreme(|a, b| a > b) as f64,
        ArgMin => extreme(|a, b| a < b) as f64,
        Any => v.iter().any(|x| *x != 0.0) as u8 as f64,
        All => v.iter().all(|x| *x != 0.0) as u8 as f64,
        SumSquares => v.iter().map(|x| x * x).sum(),
        SumAbs => v.iter().map(|x| x.abs()).sum(),
        NanSum => v.iter().filter(|x| !x.is_nan()).sum(),
    }
}

/// Values of a view grouped by output element.
fn groups(shape: &[i64], values: &[f64], reduced: &[bool]) -> Vec<Vec<f64>> {
    let kept: Vec<i64> = shape.iter().zip(reduced).map(|(n, r)| if *r { 1 } else { *n }).collect();
    let strides = crate::base::layout::contiguous_strides(&kept);
    let mut out = vec![Vec::new(); kept.iter().product::<i64>() as usize];
    for (i, v) in values.iter().enumerate() {
        let (mut rest, mut at) = (i as i64, 0);
        for d in (0..shape.len()).rev() {
            let x = rest % shape[d];
            rest /= shape[d];
            if !reduced[d] {
                at += x * strides[d];
            }
        }
        out[at as usize].push(*v);
    }
    out
}

fn out_dtype(op: ReduceOp, d: DType) -> DType {
    match op {
        ArgMax | ArgMin => DType::I64,
        Any | All => DType::Bool,
        Sum | Prod | NanSum if !d.is_float() => DType::I64,
        _ => d,
    }
}

fn check(d: &Gpu, op: ReduceOp, t: &T, reduced: &[bool], tol: f64) {
    let kept: Vec<i64> = t.layout.shape.iter().zip(reduced).map(|(n, r)| if *r { 1 } else { *n }).collect();
    let out = T::zeros(d, out_dtype(op, t.dtype), &kept);
    d.reduce(op, None, &[t.view()], &[], reduced, out.view()).unwrap();
    let want: Vec<f64> =
        groups(&t.layout.shape, &t.values(d), reduced).iter().map(|v| round_to(out.dtype, reference(op, v))).collect();
    let what = format!("{op:?} {} {:?} {:?} over {reduced:?}", t.dtype, t.layout.shape, t.layout.strides);
    assert_close(&out.values(d), &want, tol, &what);
}

const ALL_OPS: [ReduceOp; 11] = [Sum, Prod, Max, Min, ArgMax, ArgMin, Any, All, SumSquares, SumAbs, NanSum];

#[cfg_attr(test, test)]
pub(crate) fn every_op_and_dtype() {
    let Some(d) = device() else { return };
    for (row, dtype) in DType::REAL.into_iter().enumerate() {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        let x: Vec<f64> = if dtype.is_float() {
            noise(7 * 90, 11).iter().map(|v| round_to(dtype, v + 0.01)).collect()
        } else {
            (0..7 * 90).map(|i| ((i * 7) % 5) as f64).collect()
        };
        let x: Vec<f64> = x.iter().map(|v| round_to(dtype, *v)).collect();
        let t = T::of(d, dtype, &x, &[7, 90]);
        for (column, op) in ALL_OPS.into_iter().enumerate() {
            if matches!(op, SumSquares | SumAbs | NanSum) && !dtype.is_float() {
                continue;
            }
            if !tried(d, dtype == DType::F32, row, column, 3) {
                continue;
            }
            check(d, op, &t, &[false, true], 8.0 * tolerance(dtype));
            check(d, op, &t, &[true, false], 8.0 * tolerance(dtype));
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn any_dimensions_of_any_layout() {
    let Some(d) = device() else { return };
    let shape = [5i64, 6, 70, 3];
    let x = noise(5 * 6 * 70 * 3, 12);
    for mask in 0..16u32 {
        let reduced: Vec<bool> = (0..4).map(|i| mask >> i & 1 == 1).collect();
        for (a, b) in [(0, 0), (0, 3), (1, 2)] {
            let t = T::of(d, DType::F32, &x, &shape).transposed(a, b);
            check(d, Sum, &t, &reduced, 1e-5);
            check(d, Max, &t, &reduced, 0.0);
        }
    }
    // An arg op counts over all dimensions when all are reduced.
    let t = T::of(d, DType::F32, &x, &shape).transposed(1, 2);
    check(d, ArgMax, &t, &[true; 4], 0.0);
    check(d, ArgMin, &t, &[true; 4], 0.0);
}

#[cfg_attr(test, test)]
pub(crate) fn long_rows_columns_and_totals() {
    let Some(d) = device() else { return };
    let big = noise(300_000, 13);
    for shape in [[1i64, 300_000], [3, 100_000], [100_000, 3], [300_000, 1], [500, 600]] {
        let t = T::of(d, DType::F32, &big, &shape);
        for reduced in [[true, true], [false, true], [true, false]] {
            check(d, Sum, &t, &reduced, 3e-5);
            check(d, ArgMax, &t, &reduced, 0.0);
        }
        check(d, Min, &t, &[true, true], 0.0);
    }
    // A float sum of many equal terms keeps its digits.
    let t = T::of(d, DType::F32, &vec![0.1; 1 << 20], &[1 << 20]);
    check(d, Sum, &t, &[true], 6e-6);
}

/// Rows that share a group of work-items on a GPU.
#[cfg_attr(test, test)]
pub(crate) fn many_short_rows() {
    let Some(d) = device() else { return };
    for (rows, columns) in [(1003i64, 16), (300, 131), (129, 1000), (70, 4096)] {
        for dtype in [DType::F32, DType::Bool, DType::U8, DType::BF16, DType::I64] {
            // A CPU shares them as it shares all others.
            if d.info.kind == "cpu" && dtype != DType::F32 {
                continue;
            }
            let x: Vec<f64> = match dtype {
                DType::Bool => (0..rows * columns).map(|i| (i % 977 == 5) as u8 as f64).collect(),
                _ => (0..rows * columns).map(|i| (i * 7919 % 101) as f64).collect(),
            };
            let t = T::of(d, dtype, &x, &[rows, columns]);
            for op in [ArgMax, ArgMin, Max, Any, All] {
                check(d, op, &t, &[false, true], 0.0);
            }
            check(d, Sum, &t, &[false, true], 8.0 * tolerance(dtype));
        }
        let t = T::of(d, DType::F32, &noise((rows * columns) as usize, 5), &[rows, columns]);
        check(d, SumSquares, &t, &[false, true], 1e-5);
        check(d, Sum, &t.transposed(0, 1), &[true, false], 5e-5);
    }
}

#[cfg_attr(test, test)]
pub(crate) fn nan_ties_and_empty() {
    let Some(d) = device() else { return };
    let mut x = noise(10_000, 14);
    x[7000] = f64::NAN;
    x[9000] = f64::NAN;
    let t = T::of(d, DType::F32, &x, &[10_000]);
    for op in [Max, Min, ArgMax, ArgMin, NanSum] {
        check(d, op, &t, &[true], 1e-5);
    }
    let t = T::of(d, DType::I32, &vec![3.0; 70_000], &[70_000]);
    check(d, ArgMax, &t, &[true], 0.0);
    check(d, ArgMin, &t, &[true], 0.0);
    let t = T::zeros(d, DType::F32, &[3, 0]);
    let out = T::of(d, DType::F32, &[9.0; 3], &[3, 1]);
    d.reduce(Sum, None, &[t.view()], &[], &[false, true], out.view()).unwrap();
    assert_eq!(out.values(d), [0.0; 3]);
    d.reduce(Prod, None, &[t.view()], &[], &[false, true], out.view()).unwrap();
    assert_eq!(out.values(d), [1.0; 3]);
    let s = T::of(d, DType::F32, &[4.0], &[]);
    let out = T::zeros(d, DType::F32, &[]);
    d.reduce(SumSquares, None, &[s.view()], &[], &[], out.view()).unwrap();
    assert_eq!(out.values(d), [16.0]);
}

#[cfg_attr(test, test)]
pub(crate) fn a_program_runs_before_the_reduction() {
    let Some(d) = device() else { return };
    let (r, c) = (40i64, 333i64);
    let (x, y) = (noise((r * c) as usize, 15), noise(c as usize, 16));
    let a = T::of(d, DType::F32, &x, &[r, c]);
    let b = T::of(d, DType::F32, &y, &[c]).with_layout(&[r, c], &[0, 1], 0);
    let p = Program::single(Opcode::MulAdd, DType::F32, &[DType::F32, DType::F32], DType::F32);
    let out = T::zeros(d, DType::F32, &[r, 1]);
    d.reduce(Sum, Some(&p), &[a.view(), b.view()], &[Scalar::Float(2.0)], &[false, true], out.view()).unwrap();
    let want: Vec<f64> =
        x.chunks(c as usize).map(|row| row.iter().zip(&y).map(|(p, q)| p + q * 2.0).sum::<f64>()).collect();
    assert_close(&out.values(d), &want, 1e-4, "sum of a program");
    let p = Program::single(Opcode::Gt, DType::F32, &[DType::F32, DType::F32], DType::Bool);
    let out = T::zeros(d, DType::I64, &[1, c]);
    d.reduce(Sum, Some(&p), &[a.view(), b.view()], &[], &[true, false], out.view()).unwrap();
    let want: Vec<f64> =
        (0..c as usize).map(|j| (0..r as usize).filter(|i| x[i * c as usize + j] > y[j]).count() as f64).collect();
    assert_close(&out.values(d), &want, 0.0, "count of a predicate");
}

/// Sums of a million equal numbers, which a plain float32 accumulator gets wrong by a percent.
#[cfg_attr(test, test)]
pub(crate) fn long_sums() {
    let Some(d) = device() else { return };
    let n = 1i64 << 20;
    let all = |shape: &[i64], strides: &[i64]| {
        let mut t = T::new(d, &vec![0.1f32; n as usize], &[n]);
        t.layout = Layout { shape: Dims::from_slice(shape), strides: Dims::from_slice(strides), offset: 0 };
        t
    };
    let views = [
        (all(&[n], &[1]), vec![true]),
        (all(&[n / 8, 8], &[8, 1]), vec![true, false]),
        (all(&[n / 8, 8], &[8, 1]), vec![true, true]),
        (all(&[2, n / 2], &[1, 2]), vec![false, true]),
        (all(&[n / 4096, 2, 2048], &[4096, 1, 2]), vec![true, false, true]),
    ];
    for (t, reduced) in &views {
        for op in [Sum, SumSquares, SumAbs, NanSum] {
            check(d, op, t, reduced, 3e-7);
        }
    }
    // Infinities come through, and so does what becomes infinite.
    for (values, want) in [([f32::INFINITY, 1.0], f64::INFINITY), ([f32::MAX, f32::MAX], f64::INFINITY)] {
        let mut data = vec![0f32; 5000];
        data[700..702].copy_from_slice(&values);
        let (t, out) = (T::new(d, &data, &[5000]), T::zeros(d, DType::F32, &[1]));
        d.reduce(Sum, None, &[t.view()], &[], &[true], out.view()).unwrap();
        assert_eq!(out.values(d), [want]);
    }
}
