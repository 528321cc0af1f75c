use super::*;
use crate::backend::cpu::testing::arrays::*;
use crate::backend::cpu::threads::parallel::set_num_threads;
use crate::backend::program::{Inst, Src};

const OPS: [ReduceOp; 11] = [
    ReduceOp::Sum,
    ReduceOp::Prod,
    ReduceOp::Max,
    ReduceOp::Min,
    ReduceOp::ArgMax,
    ReduceOp::ArgMin,
    ReduceOp::Any,
    ReduceOp::All,
    ReduceOp::SumSquares,
    ReduceOp::SumAbs,
    ReduceOp::NanSum,
];

fn reference(op: ReduceOp, dtype: DType, v: &[f64]) -> f64 {
    let is = |b: bool| b as u8 as f64;
    let wrap = |x: f64| if dtype.is_float() { x } else { x as i64 as f64 };
    let extreme = |max: bool| {
        let mut at = 0;
        for (i, x) in v.iter().enumerate() {
            let b = v[at];
            if (if max { *x > b } else { *x < b }) || x.is_nan() && !b.is_nan() {
                at = i;
            }
        }
        at
    };
    match op {
        ReduceOp::Sum => wrap(v.iter().sum()),
        ReduceOp::NanSum => v.iter().filter(|x| !x.is_nan()).sum(),
        ReduceOp::SumSquares => v.iter().map(|x| x * x).sum(),
        ReduceOp::SumAbs => v.iter().map(|x| x.abs()).sum(),
        ReduceOp::Prod if dtype.is_float() => v.iter().product(),
        ReduceOp::Prod => v.iter().fold(1i64, |p, x| p.wrapping_mul(*x as i64)) as f64,
        ReduceOp::Max => v[extreme(true)],
        ReduceOp::Min => v[extreme(false)],
        ReduceOp::ArgMax => extreme(true) as f64,
        ReduceOp::ArgMin => extreme(false) as f64,
        ReduceOp::Any => is(v.iter().any(|x| *x != 0.0)),
        ReduceOp::All => is(v.iter().all(|x| *x != 0.0)),
    }
}

fn out_dtype(op: ReduceOp, dtype: DType) -> DType {
    match op {
        ReduceOp::Any | ReduceOp::All => DType::Bool,
        ReduceOp::ArgMax | ReduceOp::ArgMin => DType::I64,
        ReduceOp::Max | ReduceOp::Min => dtype,
        _ if dtype.is_float() => dtype,
        _ => DType::I64,
    }
}

/// The elements that fall on each output, in row-major order.
fn groups(a: &Array, reduced: &[bool]) -> Vec<Vec<f64>> {
    let shape = &a.layout.shape;
    let out: Vec<usize> = shape.iter().zip(reduced).map(|(n, r)| if *r { 1 } else { *n as usize }).collect();
    let mut groups = vec![vec![]; out.iter().product()];
    for i in 0..a.numel() {
        let (mut rest, mut at, mut step) = (i, 0, 1);
        for d in (0..shape.len()).rev() {
            let k = rest % shape[d] as usize;
            rest /= shape[d] as usize;
            if !reduced[d] {
                at += k * step;
                step *= out[d];
            }
        }
        groups[at].push(a.get(i));
    }
    groups
}

fn check(op: ReduceOp, a: &Array, reduced: &[bool], out_kind: Kind) {
    let shape: Vec<i64> = a.layout.shape.iter().zip(reduced).map(|(n, r)| if *r { 1 } else { *n }).collect();
    let out = Array::new(&shape, out_dtype(op, a.dtype), out_kind);
    reduce(op, None, &[a.view()], &[], reduced, out.view()).unwrap();
    for (i, g) in groups(a, reduced).iter().enumerate() {
        let (got, want) = (out.get(i), reference(op, a.dtype, g));
        let size: f64 = g.iter().filter(|x| x.is_finite()).map(|x| x.abs()).sum();
        let sum = matches!(op, ReduceOp::Sum | ReduceOp::NanSum) && a.dtype.is_float();
        let eps = if a.dtype == DType::F64 { 1e-14 } else { 3e-7 };
        let ulps = if op == ReduceOp::Prod { g.len() as f64 } else { 3.0 };
        assert!(
            close(got, want, out.dtype, ulps) || sum && (got - want).abs() <= eps * size,
            "{op:?} {} {:?} {:?} over {reduced:?}, output {i}: {got} not {want}",
            a.dtype,
            a.layout.shape,
            a.layout.strides
        );
    }
}

fn value(r: &mut Random, op: ReduceOp, dtype: DType) -> f64 {
    match (dtype, op) {
        (DType::Bool, ReduceOp::All) => (r.below(20) > 0) as u8 as f64,
        (DType::Bool, _) => (r.below(20) == 0) as u8 as f64,
        (d, ReduceOp::Prod) if d.is_float() => 1.0 + r.unit() / 64.0,
        (DType::U8, _) => r.below(250) as f64,
        (d, _) if !d.is_float() => r.below(250) as f64 - 125.0,
        (d, ReduceOp::SumSquares) if d.size() == 2 => r.unit(),
        _ => (r.unit() * 2000.0).round() / 64.0,
    }
}

/// All subsets of dimensions.
fn subsets(n: usize) -> impl Iterator<Item = Vec<bool>> {
    (0..1usize << n).map(move |m| (0..n).map(|d| m >> d & 1 == 1).collect())
}

#[cfg_attr(test, test)]
pub(crate) fn every_op_dtype_and_layout() {
    let mut r = Random(3);
    for op in OPS {
        for dtype in DType::REAL {
            for shape in [&[][..], &[1], &[5], &[700], &[3, 4], &[2, 3, 4], &[9, 1, 30], &[3, 200]] {
                for reduced in subsets(shape.len()) {
                    let arg = matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin);
                    let many = reduced.iter().filter(|x| **x).count();
                    if arg && many != 1 && many != shape.len() {
                        continue;
                    }
                    let kind = KINDS[r.below(6) as usize];
                    let a = Array::of(shape, dtype, kind, |_| value(&mut r, op, dtype));
                    check(op, &a, &reduced, OUT_KINDS[r.below(4) as usize]);
                }
            }
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn large_shapes() {
    let mut r = Random(4);
    for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::ArgMin, ReduceOp::Any, ReduceOp::SumSquares] {
        for dtype in [DType::F32, DType::F16, DType::I16] {
            for shape in
                [&[100_000][..], &[300, 400], &[2, 3000, 7], &[70_000, 2], &[3, 5000], &[40, 3, 5, 50], &[6, 2, 900]]
            {
                for reduced in subsets(shape.len()) {
                    let many = reduced.iter().filter(|x| **x).count();
                    if op == ReduceOp::ArgMin && many != 1 && many != shape.len() || r.below(2) == 0 {
                        continue;
                    }
                    let kind = KINDS[r.below(6) as usize];
                    let a = Array::of(shape, dtype, kind, |_| {
                        if dtype == DType::F16 {
                            r.unit()
                        } else {
                            value(&mut r, op, dtype)
                        }
                    });
                    check(op, &a, &reduced, Kind::Contiguous);
                }
            }
        }
    }
}

/// Long sums lose no more than a few units in the last place, whatever the number of threads.
#[cfg_attr(test, test)]
pub(crate) fn long_sums_are_accurate() {
    let mut r = Random(5);
    for (shape, reduced) in [
        ([1i64, 300_001], [false, true]),
        ([70, 5003], [false, true]),
        ([5003, 70], [true, false]),
        ([3001, 200], [true, false]),
        ([4001, 3], [false, true]),
    ] {
        // A common part makes carries; f64 is the reference.
        let a = Array::of(&shape, DType::F32, Kind::Contiguous, |_| 1000.0 + r.unit());
        let want: Vec<f64> = groups(&a, &reduced).iter().map(|g| g.iter().sum()).collect();
        let to: Vec<i64> = shape.iter().zip(&reduced).map(|(n, r)| if *r { 1 } else { *n }).collect();
        let mut results = vec![];
        for threads in [1, 2, 3] {
            set_num_threads(threads);
            let out = Array::new(&to, DType::F32, Kind::Contiguous);
            reduce(ReduceOp::Sum, None, &[a.view()], &[], &reduced, out.view()).unwrap();
            results.push(out.to_vec());
        }
        for (got, want) in results[0].iter().zip(&want) {
            assert!((got - want).abs() <= 4e-7 * want, "{shape:?}: {got} not {want}");
        }
        assert!(results.iter().all(|x| *x == results[0]), "{shape:?}: results depend on the number of threads");
    }
}

#[cfg_attr(test, test)]
pub(crate) fn nan_is_the_extreme_and_the_first_counts() {
    for n in [5usize, 3000] {
        let mut v: Vec<f64> = (0..n).map(|i| (i % 7) as f64).collect();
        let a = Array::of_slice(&[n as i64], DType::F32, &v);
        check(ReduceOp::ArgMax, &a, &[true], Kind::Contiguous);
        check(ReduceOp::ArgMin, &a, &[true], Kind::Contiguous);
        v[3] = f64::NAN;
        v[n - 1] = f64::NAN;
        for shape in [&[n as i64][..], &[1, n as i64]] {
            let a = Array::of_slice(shape, DType::F32, &v);
            let all = vec![true; shape.len()];
            for op in [ReduceOp::Max, ReduceOp::Min, ReduceOp::ArgMax, ReduceOp::ArgMin, ReduceOp::NanSum] {
                check(op, &a, &all, Kind::Contiguous);
            }
        }
        // Along the rows, with NaN among them.
        let two: Vec<f64> = v.iter().flat_map(|x| [*x, 1.0]).collect();
        let a = Array::of_slice(&[n as i64, 2], DType::F64, &two);
        for op in [ReduceOp::Max, ReduceOp::ArgMax, ReduceOp::ArgMin] {
            check(op, &a, &[true, false], Kind::Contiguous);
        }
    }
}

#[cfg_attr(test, test)]
pub(crate) fn nothing_to_reduce() {
    for (op, want) in [(ReduceOp::Sum, 0.0), (ReduceOp::Prod, 1.0), (ReduceOp::Any, 0.0), (ReduceOp::All, 1.0)] {
        for shape in [&[0i64][..], &[3, 0], &[0, 3]] {
            let a = Array::new(shape, DType::F32, Kind::Contiguous);
            let reduced: Vec<bool> = shape.iter().map(|n| *n == 0).collect();
            let to: Vec<i64> = shape.iter().map(|n| (*n).max(1)).collect();
            let out = Array::new(&to, out_dtype(op, DType::F32), Kind::Stepped);
            reduce(op, None, &[a.view()], &[], &reduced, out.view()).unwrap();
            assert!(out.to_vec().iter().all(|v| *v == want), "{op:?}");
        }
    }
    let a = Array::new(&[0], DType::F32, Kind::Contiguous);
    let out = Array::new(&[1], DType::F32, Kind::Contiguous);
    assert!(reduce(ReduceOp::Max, None, &[a.view()], &[], &[true], out.view()).is_err());
    // No outputs either.
    let (a, out) =
        (Array::new(&[0, 4], DType::F32, Kind::Contiguous), Array::new(&[0, 1], DType::F32, Kind::Contiguous));
    reduce(ReduceOp::Max, None, &[a.view()], &[], &[false, true], out.view()).unwrap();
}

#[cfg_attr(test, test)]
pub(crate) fn prologue() {
    // sum((a - b)^2) with b broadcast and of another dtype, a scaled by a scalar.
    let f = DType::F32;
    let inst = |op, x, y| Inst { op, ty: f, args: [x, y, x] };
    let p = Program {
        inputs: SmallVec::from_slice(&[f, DType::I32]),
        insts: SmallVec::from_slice(&[
            inst(Opcode::Mul, Src::Input(0), Src::Scalar(0)),
            inst(Opcode::Sub, Src::Reg(0), Src::Input(1)),
            inst(Opcode::Square, Src::Reg(1), Src::Reg(1)),
        ]),
        outputs: SmallVec::from_slice(&[(2, f)]),
    };
    for shape in [[3i64, 4], [50, 70], [2000, 3], [3, 2000]] {
        for kind in KINDS {
            let a = Array::of(&shape, f, kind, |i| (i % 13) as f64 - 6.0);
            let b = Array::of(&shape, DType::I32, Kind::BroadcastRows, |i| (i % 3) as f64);
            for reduced in subsets(2) {
                let to: Vec<i64> = shape.iter().zip(&reduced).map(|(n, r)| if *r { 1 } else { *n }).collect();
                let out = Array::new(&to, DType::F64, Kind::Contiguous);
                reduce(ReduceOp::Sum, Some(&p), &[a.view(), b.view()], &[Scalar::Float(0.5)], &reduced, out.view())
                    .unwrap();
                let sq = Array::of(&shape, DType::F64, Kind::Contiguous, |i| (a.get(i) * 0.5 - b.get(i)).powi(2));
                for (i, g) in groups(&sq, &reduced).iter().enumerate() {
                    let want: f64 = g.iter().sum();
                    assert!((out.get(i) - want).abs() <= 1e-6 * want, "{shape:?} {kind:?} {reduced:?}");
                }
            }
        }
    }
    // The mean's usual form: everything one repeated element.
    let one = Array::of(&[1], f, Kind::Contiguous, |_| 2.0);
    let all = Array {
        layout: crate::Layout { shape: [1000].into_iter().collect(), strides: [0].into_iter().collect(), offset: 0 },
        ..one
    };
    let p = Program::single(Opcode::Square, f, &[f], f);
    let out = Array::new(&[1], f, Kind::Contiguous);
    reduce(ReduceOp::Sum, Some(&p), &[all.view()], &[], &[true], out.view()).unwrap();
    assert_eq!(out.get(0), 4000.0);
    reduce(ReduceOp::Sum, None, &[all.view()], &[], &[true], out.view()).unwrap();
    assert_eq!(out.get(0), 2000.0);
}

#[cfg_attr(test, test)]
pub(crate) fn sums_are_accurate_and_do_not_depend_on_threads() {
    let n = 1 << 20;
    let a = Array::of(&[n], DType::F32, Kind::Contiguous, |i| ((i * 2654435761) % 1000) as f64 * 1e-3);
    let exact: f64 = a.to_vec().iter().sum();
    let m = Array::of(&[n / 8, 8], DType::F32, Kind::Contiguous, |i| a.get(i));
    let mut seen: Option<Vec<f64>> = None;
    for threads in [1, 2, 5] {
        set_num_threads(threads);
        let out = Array::new(&[1], DType::F32, Kind::Contiguous);
        reduce(ReduceOp::Sum, None, &[a.view()], &[], &[true], out.view()).unwrap();
        assert!((out.get(0) / exact - 1.0).abs() < 1e-7);
        let (cols, rows) =
            (Array::new(&[1, 8], DType::F32, Kind::Contiguous), Array::new(&[n / 8, 1], DType::F32, Kind::Contiguous));
        reduce(ReduceOp::Sum, None, &[m.view()], &[], &[true, false], cols.view()).unwrap();
        reduce(ReduceOp::Sum, None, &[m.view()], &[], &[false, true], rows.view()).unwrap();
        let mut all = out.to_vec();
        all.extend(cols.to_vec());
        all.extend(rows.to_vec());
        match &seen {
            Some(s) => assert!(*s == all),
            None => seen = Some(all),
        }
    }
}

/// Timings, printed; run with `cargo test --release --lib reduce::tests::speed -- --ignored --nocapture`.
#[cfg_attr(test, test, ignore = "measures, does not check")]
pub(crate) fn speed() {
    use std::time::Instant;
    for threads in [1, 2] {
        set_num_threads(threads);
        println!("-- {threads} threads");
        for (shape, reduced) in [
            (&[4i64][..], &[true][..]),
            (&[1000], &[true]),
            (&[10_000_000], &[true]),
            (&[1000, 1000], &[true, false]),
            (&[1000, 1000], &[false, true]),
            (&[1_000_000, 10], &[true, false]),
            (&[1_000_000, 10], &[false, true]),
            (&[64, 64, 28, 28], &[true, false, true, true]),
        ] {
            let a = Array::of(shape, DType::F32, Kind::Contiguous, |i| (i % 9) as f64);
            let to: Vec<i64> = shape.iter().zip(reduced).map(|(n, r)| if *r { 1 } else { *n }).collect();
            for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::ArgMax] {
                if op == ReduceOp::ArgMax && shape.len() > 2 {
                    continue;
                }
                let out = Array::new(&to, out_dtype(op, DType::F32), Kind::Contiguous);
                let reps = (2_000_000 / a.numel()).clamp(1, 10_000);
                let mut best = f64::INFINITY;
                for _ in 0..20 {
                    let t = Instant::now();
                    for _ in 0..reps {
                        reduce(op, None, &[a.view()], &[], reduced, out.view()).unwrap();
                    }
                    best = best.min(t.elapsed().as_secs_f64() / reps as f64);
                }
                println!(
                    "{op:?} {shape:?} over {reduced:?}: {:.0} ns, {:.1} GB/s",
                    best * 1e9,
                    a.numel() as f64 * 4.0 / best / 1e9
                );
            }
        }
    }
}
