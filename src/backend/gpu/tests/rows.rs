//! Softmax, scans, sorting, gather, scatter and advanced indexing.

use super::*;

/// Splits row-major values into rows along `dim`: for each row its values, and where each value lies.
fn rows(shape: &[i64], dim: usize) -> Vec<Vec<usize>> {
    let strides = crate::base::layout::contiguous_strides(shape);
    let mut kept = Layout::contiguous(shape);
    kept.shape.remove(dim);
    kept.strides = strides.clone();
    kept.strides.remove(dim);
    let along = |p: usize| (0..shape[dim] as usize).map(|j| p + j * strides[dim] as usize).collect();
    positions(&kept).into_iter().map(along).collect()
}

/// Applies `f` to each row of row-major values.
fn by_row(shape: &[i64], dim: usize, x: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    for row in rows(shape, dim) {
        let values: Vec<f64> = row.iter().map(|p| x[*p]).collect();
        for (p, v) in row.iter().zip(f(&values)) {
            out[*p] = v;
        }
    }
    out
}

fn softmax(row: &[f64], log: bool) -> Vec<f64> {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - top).exp()).sum();
    row.iter().map(|x| if log { x - top - sum.ln() } else { (x - top).exp() / sum }).collect()
}

#[cfg_attr(test, test)]
pub(crate) fn softmax_and_its_gradient() {
    let Some(d) = device() else { return };
    for (row, dtype) in [DType::F32, DType::F64, DType::F16, DType::BF16].into_iter().enumerate() {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        let shapes = [([4i64, 100, 3], 1), ([5, 6, 70], 2), ([200, 2, 2], 0)];
        for (column, (shape, dim)) in shapes.into_iter().enumerate() {
            if !tried(d, dtype == DType::F32, row, column, 3) {
                continue;
            }
            let n = shape.iter().product::<i64>() as usize;
            let x: Vec<f64> = noise(n, 31).iter().map(|v| round_to(dtype, v * 4.0)).collect();
            let g: Vec<f64> = noise(n, 32).iter().map(|v| round_to(dtype, *v)).collect();
            for log in [false, true] {
                let t = T::of(d, dtype, &x, &shape);
                let o = T::zeros(d, dtype, &shape);
                d.softmax(log, t.view(), dim, o.view()).unwrap();
                let y = by_row(&shape, dim, &x, |r| softmax(r, log));
                assert_close(&o.values(d), &y, 4.0 * tolerance(dtype), &format!("softmax {dtype} {shape:?} {log}"));
                let y: Vec<f64> = y.iter().map(|v| round_to(dtype, *v)).collect();
                let (gt, yt) = (T::of(d, dtype, &g, &shape), T::of(d, dtype, &y, &shape));
                let gx = T::zeros(d, dtype, &shape);
                d.softmax_backward(log, gt.view(), yt.view(), dim, gx.view()).unwrap();
                let mut want = vec![0.0; n];
                for row in rows(&shape, dim) {
                    let sum: f64 = row.iter().map(|p| if log { g[*p] } else { g[*p] * y[*p] }).sum();
                    for p in row {
                        want[p] = if log { g[p] - y[p].exp() * sum } else { y[p] * (g[p] - sum) };
                    }
                }
                assert_close(
                    &gx.values(d),
                    &want,
                    8.0 * tolerance(dtype),
                    &format!("gradient {dtype} {shape:?} {log}"),
                );
            }
        }
    }
    let t = T::of(d, DType::F32, &[f64::NEG_INFINITY, 0.0, f64::INFINITY, 1.0, f64::NEG_INFINITY, 2.0], &[3, 2]);
    let o = T::zeros(d, DType::F32, &[3, 2]);
    d.softmax(false, t.view(), 1, o.view()).unwrap();
    let v = o.values(d);
    assert!(v[0] == 0.0 && v[1] == 1.0 && v[2].is_nan() && v[4] == 0.0 && v[5] == 1.0, "{v:?}");
}

#[cfg_attr(test, test)]
pub(crate) fn scans() {
    let Some(d) = device() else { return };
    let shape = [3i64, 50, 4];
    let x = noise(600, 33);
    for (row, dtype) in [DType::F32, DType::F16, DType::I64, DType::U8].into_iter().enumerate() {
        let x: Vec<f64> =
            x.iter().map(|v| if dtype.is_float() { round_to(dtype, *v) } else { (v * 3.0).floor().abs() }).collect();
        for dim in (0..3).filter(|dim| tried(d, dtype == DType::F32, row, *dim, 3)) {
            let t = T::of(d, dtype, &x, &shape);
            let run = |op: ScanOp| {
                let (o, i) = (T::zeros(d, dtype, &shape), T::zeros(d, DType::I64, &shape));
                d.scan(op, t.view(), dim, o.view(), Some(i.view())).unwrap();
                (o.values(d), i.values(d))
            };
            let running = |f: fn(f64, f64) -> f64| {
                by_row(&shape, dim, &x, |r| {
                    let mut acc = r[0];
                    let mut out = vec![round_to(dtype, acc)];
                    for v in &r[1..] {
                        acc = f(acc, *v);
                        out.push(round_to(dtype, acc));
                    }
                    out
                })
            };
            let tol = 20.0 * tolerance(dtype);
            assert_close(&run(ScanOp::Sum).0, &running(|a, b| a + b), tol, &format!("cumsum {dtype}"));
            if dtype != DType::U8 {
                assert_close(&run(ScanOp::Prod).0, &running(|a, b| a * b), tol, &format!("cumprod {dtype}"));
            }
            if dtype.is_float() {
                assert_close(&run(ScanOp::LogSumExp).0, &running(|a, b| (a.exp() + b.exp()).ln()), tol, "logcumsumexp");
            }
            for (op, better) in [(ScanOp::Max, (|a, b| b >= a) as fn(f64, f64) -> bool), (ScanOp::Min, |a, b| b <= a)] {
                let (values, places) = run(op);
                let place = |r: &[f64]| {
                    let mut at = 0;
                    (0..r.len())
                        .map(|i| {
                            if better(r[at], r[i]) {
                                at = i;
                            }
                            at as f64
                        })
                        .collect::<Vec<_>>()
                };
                assert_close(&places, &by_row(&shape, dim, &x, place), 0.0, &format!("{op:?} index {dtype}"));
                assert_close(
                    &values,
                    &by_row(&shape, dim, &x, |r| place(r).iter().map(|i| r[*i as usize]).collect()),
                    0.0,
                    "extreme",
                );
            }
        }
    }
}

/// Sorts along a dimension, both ways, by both methods.
pub(super) fn check_sort(d: &Gpu, dtype: DType, shape: &[i64], dim: usize, x: &[f64]) {
    let ways = [(false, false), (false, true), (true, false), (true, true)];
    for (column, (descending, serial)) in ways.into_iter().enumerate() {
        if !tried(d, dtype == DType::F32, dtype as usize, column, 2) {
            continue;
        }
        let t = T::of(d, dtype, x, shape);
        let (v, i) = (T::zeros(d, dtype, shape), T::zeros(d, DType::I64, shape));
        d.sort_rows(t.view(), dim, descending, v.view(), i.view(), serial).unwrap();
        let order = |r: &[f64]| {
            let mut at: Vec<usize> = (0..r.len()).collect();
            let compare = |a: f64, b: f64| {
                a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal))
            };
            at.sort_by(|a, b| if descending { compare(r[*b], r[*a]) } else { compare(r[*a], r[*b]) });
            at
        };
        let places = by_row(shape, dim, x, |r| order(r).iter().map(|p| *p as f64).collect());
        let values = by_row(shape, dim, x, |r| order(r).iter().map(|p| r[*p]).collect());
        assert_close(&i.values(d), &places, 0.0, &format!("places {dtype} {shape:?} {descending} {serial}"));
        assert_close(&v.values(d), &values, 0.0, &format!("values {dtype} {shape:?} {descending} {serial}"));
    }
}

#[cfg_attr(test, test)]
pub(crate) fn sorting_is_stable_and_puts_nan_last() {
    let Some(d) = device() else { return };
    for dtype in DType::REAL {
        if dtype == DType::F64 && !d.info.fp64 {
            continue;
        }
        let mut x: Vec<f64> = noise(3 * 40, 34).iter().map(|v| round_to(dtype, (v * 8.0).round().abs())).collect();
        if dtype.is_float() {
            x[5] = f64::NAN;
            x[17] = f64::NAN;
            x[20] = f64::INFINITY;
        }
        check_sort(d, dtype, &[3, 40], 1, &x);
    }
    let x: Vec<f64> = noise(5000, 35).iter().map(|v| (v * 100.0).round()).collect();
    check_sort(d, DType::F32, &[5000], 0, &x);
    check_sort(d, DType::I32, &[1000, 5], 0, &x);
    check_sort(d, DType::F32, &[10, 25, 20], 1, &x);
    let s = T::of(d, DType::F32, &[2.0], &[]);
    let (v, i) = (T::zeros(d, DType::F32, &[]), T::zeros(d, DType::I64, &[]));
    d.sort(s.view(), 0, false, v.view(), i.view()).unwrap();
    assert_eq!((v.values(d), i.values(d)), (vec![2.0], vec![0.0]));
}

#[cfg_attr(test, test)]
pub(crate) fn gather_and_scatter() {
    let Some(d) = device() else { return };
    let (shape, ishape) = ([6i64, 7, 5], [4i64, 9, 5]);
    for dtype in [DType::F32, DType::F16, DType::I64, DType::Bool] {
        let x: Vec<f64> = noise(210, 36).iter().map(|v| round_to(dtype, (v * 4.0).round().abs())).collect();
        let index: Vec<i64> = (0..180).map(|i| (i * 5 + i / 7) % 7).collect();
        let t = T::of(d, dtype, &x, &shape);
        let it = T::new(d, &index, &ishape);
        let o = T::zeros(d, dtype, &ishape);
        d.gather(t.view(), 1, it.view(), o.view()).unwrap();
        let at = |i: usize, k: i64| (i / 45 * 7 + k as usize) * 5 + i % 5;
        let want: Vec<f64> = (0..180).map(|i| x[at(i, index[i])]).collect();
        assert_close(&o.values(d), &want, 0.0, &format!("gather {dtype}"));
        let src: Vec<f64> = noise(180, 37).iter().map(|v| round_to(dtype, (v * 2.0).round().abs())).collect();
        for (op, f) in [
            (ScatterOp::Set, (|_, b| b) as fn(f64, f64) -> f64),
            (ScatterOp::Add, |a, b| a + b),
            (ScatterOp::Mul, |a, b| a * b),
            (ScatterOp::Max, f64::max),
            (ScatterOp::Min, f64::min),
        ] {
            let out = T::of(d, dtype, &x, &shape);
            let s = T::of(d, dtype, &src, &ishape);
            d.scatter(op, out.view(), 1, it.view(), s.view()).unwrap();
            let mut want = x.clone();
            // Row-major order visits every target's sources in index order.
            for i in 0..180 {
                let p = at(i, index[i]);
                want[p] = round_to(dtype, f(want[p], src[i]));
            }
            assert_close(&out.values(d), &want, 0.0, &format!("scatter {op:?} {dtype}"));
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn advanced_indexing() {
    let Some(d) = device() else { return };
    let shape = [8i64, 6, 5];
    let x = noise(240, 38);
    // Two broadcast indices (one of them strided) over the first two dimensions of a transposed tensor.
    let t = T::of(d, DType::F32, &x, &[6, 8, 5]).transposed(0, 1);
    assert_eq!(&t.layout.shape[..], &shape);
    let values = t.values(d);
    let i0 = T::new(d, &[0i64, -1, 3], &[3, 1]).with_layout(&[3, 4], &[1, 0], 0);
    let i1 = T::new(d, &[5i64, -6, 2, 2], &[4]).with_layout(&[3, 4], &[0, 1], 0);
    let o = T::zeros(d, DType::F32, &[3, 4, 5]);
    d.index(t.view(), &[i0.view(), i1.view()], o.view()).unwrap();
    let place = |i: usize| {
        let (a, b) = ([0, 7, 3][i / 20], [5, 0, 2, 2][i / 5 % 4]);
        (a * 6 + b) * 5 + i % 5
    };
    let want: Vec<f64> = (0..60).map(|i| values[place(i)]).collect();
    assert_close(&o.values(d), &want, 0.0, "index");
    // The reverse; the last two columns meet: the last stays, or both are added.
    let v = noise(60, 39).iter().map(|v| round_to(DType::F32, *v)).collect::<Vec<_>>();
    for accumulate in [false, true] {
        for sorted in [false, true] {
            let t = T::of(d, DType::F32, &x, &[6, 8, 5]).transposed(0, 1);
            let vt = T::of(d, DType::F32, &v, &[3, 4, 5]);
            d.index_write(t.view(), &[i0.view(), i1.view()], vt.view(), accumulate, sorted).unwrap();
            let mut want = values.clone();
            for i in 0..60 {
                let p = place(i);
                want[p] = if accumulate { round_to(DType::F32, want[p] + v[i]) } else { v[i] };
            }
            assert_close(&t.values(d), &want, 0.0, &format!("index_put {accumulate} {sorted}"));
        }
    }
    // Many rows of an embedding's gradient.
    let rows: Vec<i64> = (0..3000).map(|i| (i * i) % 50).collect();
    let g = noise(3000 * 4, 40);
    let mut want = vec![0.0; 200];
    for (i, r) in rows.iter().enumerate() {
        for k in 0..4 {
            want[*r as usize * 4 + k] += g[i * 4 + k];
        }
    }
    for sorted in [false, true] {
        let o = T::zeros(d, DType::F32, &[50, 4]);
        let (it, gt) = (T::new(d, &rows, &[3000]), T::of(d, DType::F32, &g, &[3000, 4]));
        d.index_write(o.view(), &[it.view()], gt.view(), true, sorted).unwrap();
        assert_close(&o.values(d), &want, 1e-5, "embedding gradient");
    }
}

#[cfg_attr(test, test)]
pub(crate) fn an_index_out_of_range_is_reported_at_the_next_read() {
    let Some((d, _alone)) = device_alone() else { return };
    let t = T::of(d, DType::F32, &[1.0, 2.0, 3.0], &[3]);
    let bad = T::new(d, &[0i64, 7], &[2]);
    let o = T::zeros(d, DType::F32, &[2]);
    let expect = |what: &str| {
        let e = d.synchronize().unwrap_err();
        assert_eq!(e.kind, ErrorKind::Index, "{what}");
        assert!(e.message.contains("index 7") && e.message.contains("size 3"), "{what}: {e}");
        d.synchronize().unwrap();
    };
    d.index(t.view(), &[bad.view()], o.view()).unwrap();
    expect("index");
    d.gather(t.view(), 0, bad.view(), o.view()).unwrap();
    expect("gather");
    d.scatter(ScatterOp::Set, t.view(), 0, bad.view(), o.view()).unwrap();
    expect("scatter");
    d.index_put(t.view(), &[bad.view()], o.view(), false).unwrap();
    expect("index_put");
    assert_eq!(t.values(d)[1..], [2.0, 3.0]);
}

#[cfg_attr(test, test)]
pub(crate) fn nonzero_lists_positions() {
    let Some(d) = device() else { return };
    let x: Vec<f64> = (0..60).map(|i| ((i * 7) % 3) as f64).collect();
    let t = T::of(d, DType::F32, &x, &[5, 12]).transposed(0, 1);
    let want: Vec<i64> = t
        .values(d)
        .iter()
        .enumerate()
        .filter(|(_, v)| **v != 0.0)
        .flat_map(|(i, _)| [i as i64 / 5, i as i64 % 5])
        .collect();
    assert_eq!(d.nonzero(t.view()).unwrap(), want);
    assert_eq!(d.nonzero(T::zeros(d, DType::Bool, &[4]).view()).unwrap(), Vec::<i64>::new());
}
