//! softmax and log_softmax along any dimension, and their gradients; half types accumulate in f32.
//!
//! Contiguous rows are worked on in place. Where another dimension is the contiguous one, as many columns as a vector
//! has lanes go side by side. Everything else passes through a row of scratch memory.

use super::lanes::{FloatElement, Lanes, Real};
use super::level::{level, Level};
use super::scratch::{ptr, Scratch, Walk};
use super::threads::parallel::parallel_for;
use crate::backend::View;
use crate::base::error::{Error, Result};
use crate::base::layout::Dims;
use crate::{dispatch_float, ensure, simd_dispatch};
use std::ops::Range;

/// Elements that are worth a task.
const TASK: usize = 16_384;

/// The views of one call; `b` is the forward's output in a backward, unused otherwise.
struct Job<T> {
    log: bool,
    backward: bool,
    /// Length along the softmax dimension, and its stride in a, b and out.
    n: usize,
    stride: [isize; 3],
    /// The other dimensions; with `columns`, without the contiguous one.
    shape: Dims,
    strides: [Dims; 3],
    a: *const T,
    b: *const T,
    out: *mut T,
    /// Length of the contiguous dimension when it is worked on lane by lane.
    columns: Option<usize>,
}
// SAFETY: tasks write disjoint rows of `out` and only read the others.
unsafe impl<T> Sync for Job<T> {}

/// softmax (or log_softmax) of `input` along `dim`.
pub fn softmax(log: bool, input: View, dim: usize, out: View) -> Result<()> {
    run(level(), "softmax", log, input, None, dim, out)
}

/// Gradient of softmax (or log_softmax) given its output.
pub fn softmax_backward(log: bool, grad: View, output: View, dim: usize, out: View) -> Result<()> {
    run(level(), "softmax_backward", log, grad, Some(output), dim, out)
}

fn run(set: Level, what: &'static str, log: bool, a: View, b: Option<View>, dim: usize, out: View) -> Result<()> {
    let second = b.unwrap_or(a);
    ensure!(
        a.layout.shape == out.layout.shape
            && second.layout.shape == out.layout.shape
            && a.dtype == out.dtype
            && second.dtype == out.dtype,
        Runtime,
        "{what}: expected tensors of one shape and dtype, got {:?} of {}, {:?} of {} and {:?} of {}",
        a.layout.shape,
        a.dtype,
        second.layout.shape,
        second.dtype,
        out.layout.shape,
        out.dtype
    );
    if out.layout.numel() == 0 {
        return Ok(());
    }
    dispatch_float!(
        a.dtype,
        T,
        {
            let layouts = [a.layout, second.layout, out.layout];
            let mut shape = out.layout.shape.clone();
            let mut strides = layouts.map(|l| l.strides.clone());
            // A scalar is a row of one.
            if shape.is_empty() {
                shape.push(1);
                strides.iter_mut().for_each(|s| s.push(1));
            }
            ensure!(dim < shape.len(), Index, "{what}: dimension {dim} of {} dimensions", shape.len());
            let n = shape.remove(dim) as usize;
            let stride = [0, 1, 2].map(|i| strides[i].remove(dim) as isize);
            let contiguous = n == 1 || stride == [1; 3];
            let lane = (0..shape.len()).find(|&d| shape[d] >= 4 && strides.iter().all(|s| s[d] == 1));
            let columns = match lane {
                Some(d) if T::DIRECT && !contiguous => {
                    strides.iter_mut().for_each(|s| {
                        s.remove(d);
                    });
                    Some(shape.remove(d) as usize)
                }
                _ => None,
            };
            let job = Job::<T> {
                log,
                backward: b.is_some(),
                n,
                stride: if n == 1 { [1; 3] } else { stride },
                shape,
                strides,
                a: ptr::<T>(&a)?,
                b: ptr::<T>(&second)?,
                out: ptr::<T>(&out)?,
                columns,
            };
            let rows = job.shape.iter().product::<i64>() as usize;
            let failed = parking_lot::Mutex::new(None);
            let lanes = super::lanes::vector_shape::<<T as FloatElement>::C>(set).0;
            let groups = columns.map_or(1, |c| c.div_ceil(lanes));
            let each = n * if columns.is_some() { lanes } else { 1 };
            // exp costs about four plain operations.
            parallel_for(rows * groups, (TASK / 4 / each).max(1), |r| {
                // SAFETY: rows and columns lie inside the views; the machine has the instruction set.
                if let Err(e) = unsafe { tasks(set, &job, r, groups) } {
                    *failed.lock() = Some(e);
                }
            });
            failed.into_inner().map_or(Ok(()), Err)
        },
        Err(Error::unsupported(what, a.dtype, "cpu"))
    )
}

unsafe fn tasks<T: FloatElement>(set: Level, job: &Job<T>, range: Range<usize>, groups: usize) -> Result<()> {
    if job.columns.is_some() {
        column_groups(set, job, range, groups);
    } else if T::DIRECT && job.stride == [1; 3] {
        rows(set, job, range, std::ptr::null_mut());
    } else {
        let scratch = Scratch::new::<T::C>(2 * job.n)?;
        rows(set, job, range, scratch.ptr());
    }
    Ok(())
}

simd_dispatch!(float fn rows => rows_body(job: &Job<T>, range: Range<usize>, scratch: *mut T::C));
simd_dispatch!(float fn column_groups => columns_body(job: &Job<T>, range: Range<usize>, groups: usize));

#[inline(always)]
unsafe fn rows_body<T: FloatElement, V: Lanes<T = T::C>>(job: &Job<T>, range: Range<usize>, scratch: *mut T::C) {
    let s = [&job.strides[0][..], &job.strides[1][..], &job.strides[2][..]];
    let mut walk = Walk::new(&job.shape, s, range.start);
    for _ in range {
        let (a, b) = (job.a.offset(walk.offset[0]), job.b.offset(walk.offset[1]));
        let out = job.out.offset(walk.offset[2]);
        let (mut ap, mut bp, mut op) = (a as *const T::C, b as *const T::C, out as *mut T::C);
        if !scratch.is_null() {
            (ap, bp, op) = (scratch, scratch.add(job.n), scratch);
            for i in 0..job.n {
                *scratch.add(i) = (*a.offset(i as isize * job.stride[0])).widen();
                if job.backward {
                    *scratch.add(job.n + i) = (*b.offset(i as isize * job.stride[1])).widen();
                }
            }
        }
        if job.backward {
            backward_row::<T::C, V>(job.log, ap, bp, op, job.n);
        } else {
            forward_row::<T::C, V>(job.log, ap, op, job.n);
        }
        if !scratch.is_null() {
            for i in 0..job.n {
                *out.offset(i as isize * job.stride[2]) = T::narrow(*scratch.add(i));
            }
        }
        walk.step();
    }
}

/// `a` and `out` may be the same row.
#[inline(always)]
unsafe fn forward_row<C: Real, V: Lanes<T = C>>(log: bool, a: *const C, out: *mut C, n: usize) {
    let full = n / V::N * V::N;
    let low = V::splat(C::LOWEST);
    if n <= V::N {
        // The whole row in one register. `max` returns its second operand for NaN, so NaN does not win here but
        // turns the sum, and with it the whole row, into NaN.
        let x = V::load_or(a, n, low);
        let d = x.sub(V::splat(x.max(low).largest()));
        let e = d.exp();
        let sum = e.sum();
        let r = if log { d.sub(V::splat(sum.ln())) } else { e.mul(V::splat(C::ONE / sum)) };
        r.store_n(out, n);
        return;
    }
    let mut m = low;
    for i in (0..full).step_by(V::N) {
        m = V::load(a.add(i)).max(m);
    }
    if full < n {
        m = V::load_or(a.add(full), n - full, low).max(m);
    }
    let max = m.largest();
    let m = V::splat(max);
    let mut s = V::zero();
    for i in (0..full).step_by(V::N) {
        let e = V::load(a.add(i)).sub(m).exp();
        if !log {
            e.store(out.add(i));
        }
        s = s.add(e);
    }
    if full < n {
        let e = V::load_or(a.add(full), n - full, low).sub(m).exp();
        if !log {
            e.store_n(out.add(full), n - full);
        }
        s = s.add(e);
    }
    if log {
        // Two subtractions: max + ln(sum) in one would lose the logarithm beside a large maximum.
        let l = V::splat(s.sum().ln());
        for i in (0..full).step_by(V::N) {
            V::load(a.add(i)).sub(m).sub(l).store(out.add(i));
        }
        if full < n {
            V::load_n(a.add(full), n - full).sub(m).sub(l).store_n(out.add(full), n - full);
        }
    } else {
        let r = V::splat(C::ONE / s.sum());
        for i in (0..full).step_by(V::N) {
            V::load(out.add(i)).mul(r).store(out.add(i));
        }
        if full < n {
            V::load_n(out.add(full), n - full).mul(r).store_n(out.add(full), n - full);
        }
    }
}

/// softmax: (g - sum(g * y)) * y; log_softmax: g - exp(y) * sum(g). `out` may be `g`.
#[inline(always)]
unsafe fn backward_row<C: Real, V: Lanes<T = C>>(log: bool, g: *const C, y: *const C, out: *mut C, n: usize) {
    let mut s = V::zero();
    let mut i = 0;
    while i < n {
        let len = (n - i).min(V::N);
        let gv = V::load_n(g.add(i), len);
        s = if log { s.add(gv) } else { gv.fma(V::load_n(y.add(i), len), s) };
        i += V::N;
    }
    let s = V::splat(s.sum());
    let mut i = 0;
    while i < n {
        let len = (n - i).min(V::N);
        let (gv, yv) = (V::load_n(g.add(i), len), V::load_n(y.add(i), len));
        let r = if log { gv.sub(yv.exp().mul(s)) } else { gv.sub(s).mul(yv) };
        r.store_n(out.add(i), len);
        i += V::N;
    }
}

/// Columns side by side: the softmax dimension runs over vectors.
#[inline(always)]
unsafe fn columns_body<T: FloatElement, V: Lanes<T = T::C>>(job: &Job<T>, range: Range<usize>, groups: usize) {
    let columns = job.columns.unwrap_or(0);
    let s = [&job.strides[0][..], &job.strides[1][..], &job.strides[2][..]];
    let mut walk = Walk::new(&job.shape, s, range.start / groups);
    for task in range {
        let c = task % groups * V::N;
        let len = (columns - c).min(V::N);
        let a = (job.a.offset(walk.offset[0]) as *const T::C).add(c);
        let b = (job.b.offset(walk.offset[1]) as *const T::C).add(c);
        let out = (job.out.offset(walk.offset[2]) as *mut T::C).add(c);
        if job.backward {
            let mut s = V::zero();
            for i in 0..job.n as isize {
                let g = V::load_n(a.offset(i * job.stride[0]), len);
                s = if job.log { s.add(g) } else { g.fma(V::load_n(b.offset(i * job.stride[1]), len), s) };
            }
            for i in 0..job.n as isize {
                let g = V::load_n(a.offset(i * job.stride[0]), len);
                let y = V::load_n(b.offset(i * job.stride[1]), len);
                let r = if job.log { g.sub(y.exp().mul(s)) } else { g.sub(s).mul(y) };
                r.store_n(out.offset(i * job.stride[2]), len);
            }
        } else {
            let mut m = V::splat(T::C::LOWEST);
            for i in 0..job.n as isize {
                m = V::load_n(a.offset(i * job.stride[0]), len).max(m);
            }
            let mut s = V::zero();
            for i in 0..job.n as isize {
                let e = V::load_n(a.offset(i * job.stride[0]), len).sub(m).exp();
                if !job.log {
                    e.store_n(out.offset(i * job.stride[2]), len);
                }
                s = s.add(e);
            }
            let mut lanes = [T::C::ZERO; 16];
            s.store(lanes.as_mut_ptr());
            for x in &mut lanes[..V::N] {
                *x = if job.log { x.ln() } else { T::C::ONE / *x };
            }
            let l = V::load(lanes.as_ptr());
            for i in 0..job.n as isize {
                let to = out.offset(i * job.stride[2]);
                let r = if job.log {
                    V::load_n(a.offset(i * job.stride[0]), len).sub(m).sub(l)
                } else {
                    V::load_n(to, len).mul(l)
                };
                r.store_n(to, len);
            }
        }
        if (task + 1) % groups == 0 {
            walk.step();
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::super::level::levels;
    use super::super::testing::{assert_close, Host, Lcg};
    use super::*;
    use crate::base::dtype::DType;

    /// Row-major positions of every line along `dim`.
    fn lines(shape: &[i64], dim: usize) -> Vec<Vec<usize>> {
        let n = shape[dim] as usize;
        let inner = shape[dim + 1..].iter().product::<i64>() as usize;
        let outer = shape[..dim].iter().product::<i64>() as usize;
        (0..outer * inner).map(|l| (0..n).map(|i| (l / inner * n + i) * inner + l % inner).collect()).collect()
    }
    fn check(dtype: DType, shape: &[i64], dim: usize, perm: &[usize], gap: i64) {
        let mut r = Lcg(shape.iter().sum::<i64>() as u64);
        let mut make = |scale: f64| Host::permuted(dtype, shape, perm, gap, || r.eighth() * scale);
        let (x, g) = (make(4.0), make(1.0));
        let tol = match dtype {
            DType::F64 => 1e-13,
            DType::F32 => 1e-6,
            DType::F16 => 2e-3,
            _ => 2e-2,
        };
        for log in [false, true] {
            let (xv, gv) = (x.to_vec(), g.to_vec());
            let mut y = vec![0.0; xv.len()];
            for line in lines(shape, dim) {
                let m = line.iter().map(|i| xv[*i]).fold(f64::NEG_INFINITY, f64::max);
                let s: f64 = line.iter().map(|i| (xv[*i] - m).exp()).sum();
                for i in line {
                    y[i] = if log { xv[i] - m - s.ln() } else { (xv[i] - m).exp() / s };
                }
            }
            for set in levels() {
                let what = format!("{dtype} {shape:?} dim {dim} {perm:?} log {log} {set:?}");
                let out = Host::permuted(dtype, shape, perm, gap, || 9.0);
                run(set, "softmax", log, x.view(), None, dim, out.view()).unwrap();
                assert_close(&out.to_vec(), &y, tol, &what);
                out.check_canaries();
                let yv = out.to_vec();
                let mut gi = vec![0.0; gv.len()];
                for line in lines(shape, dim) {
                    let s: f64 = line.iter().map(|i| if log { gv[*i] } else { gv[*i] * yv[*i] }).sum();
                    for i in line {
                        gi[i] = if log { gv[i] - yv[i].exp() * s } else { (gv[i] - s) * yv[i] };
                    }
                }
                let gx = Host::permuted(dtype, shape, perm, gap, || 9.0);
                run(set, "softmax_backward", log, g.view(), Some(out.view()), dim, gx.view()).unwrap();
                assert_close(&gx.to_vec(), &gi, tol * 4.0, &what);
                gx.check_canaries();
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn all_dims_layouts_and_dtypes() {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            check(dtype, &[5, 10], 1, &[0, 1], 0);
            check(dtype, &[3, 100], 1, &[0, 1], 3);
            check(dtype, &[7, 19], 0, &[0, 1], 0);
            check(dtype, &[7, 19], 1, &[1, 0], 2);
            check(dtype, &[2, 3, 4, 37], 2, &[0, 1, 2, 3], 0);
            check(dtype, &[2, 33, 4], 1, &[2, 0, 1], 1);
            check(dtype, &[6, 1], 1, &[0, 1], 0);
        }
        check(DType::F32, &[40, 1000], 1, &[0, 1], 0);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn special_values() {
        let inf = f64::INFINITY;
        for set in levels() {
            for dtype in [DType::F32, DType::F64] {
                for pad in [0, 30] {
                    let fill = |v: &[f64]| [v, &vec![-1000.0; pad][..]].concat();
                    let run_row = |v: &[f64], log| {
                        let v = fill(v);
                        let x = Host::from_vec(dtype, &[1, v.len() as i64], &v);
                        let y = Host::zeros(dtype, &[1, v.len() as i64]);
                        run(set, "softmax", log, x.view(), None, 1, y.view()).unwrap();
                        y.to_vec()
                    };
                    assert_eq!(run_row(&[-inf, 0.0, -inf], false)[..3], [0.0, 1.0, 0.0]);
                    assert_eq!(run_row(&[-inf, 0.0, -200.0], true)[..3], [-inf, 0.0, -200.0]);
                    assert!(run_row(&[1.0, f64::NAN, 2.0], false)[..3].iter().all(|v| v.is_nan()));
                    assert!(run_row(&[f64::NAN, 1.0, 2.0], true)[..3].iter().all(|v| v.is_nan()));
                    assert!(run_row(&[inf, 1.0], false)[0].is_nan());
                    assert_close(&run_row(&[1e4, 1e4], true)[..2], &[-(2f64.ln()); 2], 1e-7, "large");
                }
                let x = Host::from_vec(dtype, &[2], &[-inf, -inf]);
                let y = Host::zeros(dtype, &[2]);
                run(set, "softmax", false, x.view(), None, 0, y.view()).unwrap();
                assert!(y.to_vec().iter().all(|v| v.is_nan()));
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn exp_is_accurate() {
        fn ulps<T: Real>(set: Level, x: f64, tol: f64) {
            // softmax of [0, x] is [1 / (1 + e^x), e^x / (1 + e^x)]: the ratio is exp itself.
            let h = Host::from_vec(T::DTYPE, &[1, 2], &[0.0, x]);
            let y = Host::zeros(T::DTYPE, &[1, 2]);
            run(set, "softmax", false, h.view(), None, 1, y.view()).unwrap();
            let v = y.to_vec();
            let want = h.to_vec()[1].exp();
            assert!(((v[1] / v[0] - want) / want).abs() < tol, "{set:?} exp({x}): {} for {want}", v[1] / v[0]);
        }
        for set in levels() {
            for i in 0..2000 {
                ulps::<f32>(set, -(i as f64) * 0.0431, 5e-7);
                ulps::<f64>(set, -(i as f64) * 0.3531, 1e-15);
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn empty_and_scalar() {
        let x = Host::zeros(DType::F32, &[0, 4]);
        softmax(false, x.view(), 1, x.view()).unwrap();
        let (x, y) = (Host::from_vec(DType::F32, &[], &[3.0]), Host::zeros(DType::F32, &[]));
        softmax(false, x.view(), 0, y.view()).unwrap();
        assert_eq!(y.to_vec(), [1.0]);
        let i = Host::zeros(DType::I32, &[2]);
        assert!(softmax(false, i.view(), 0, i.view()).is_err());
    }
}
