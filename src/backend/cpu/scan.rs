//! Cumulative ops along a dimension.
//!
//! Sums and products are carried in PyTorch's accumulation type (f64 for f32 and f64, f32 for half types, int64 for
//! integers) and rounded to the output at each step. Lines are scanned one by one, or side by side where the scanned
//! dimension is not the innermost in memory.

use super::alloc::Block;
use super::elementwise::interp::{data, fill, gather, scalar_bits, scatter, BLOCK};
use super::geometry::{Rows, Space};
use super::simd::convert::{convert, To};
use super::simd::{self, Kernel};
use super::threads::parallel::parallel_for;
use crate::backend::program::Opcode;
use crate::backend::{ScanOp, View};
use crate::base::dtype::{Bool8, DType};
use crate::base::error::{Error, Result};
use crate::base::scalar::Scalar;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::Mutex;

/// Lines fewer than this are not scanned side by side.
const SIDE_BY_SIDE: usize = 16;

/// Lines that are scanned together where they lie: a step of one needs its last result, those of others do not.
const TOGETHER: usize = 4;

/// Scans `K` lines of `n` dense elements, computed in A.
///
/// # Safety
/// Each pointer has `n` elements of T; outputs are disjoint from or equal to their inputs.
#[inline(always)]
unsafe fn run_lines<T: Copy + To<A>, A: Copy + To<T>, const K: usize>(
    n: usize,
    input: [*const u8; K],
    output: [*mut u8; K],
    initial: A,
    f: impl Fn(A, A) -> A,
) {
    let mut carry = [initial; K];
    for i in 0..n {
        for k in 0..K {
            // SAFETY: i < n.
            unsafe {
                carry[k] = f(carry[k], input[k].cast::<T>().add(i).read_unaligned().to());
                output[k].cast::<T>().add(i).write_unaligned(carry[k].to());
            }
        }
    }
}
/// Sums or products of lines whose elements are neighbours in input and output, of one dtype.
///
/// # Safety
/// As `run_lines`.
unsafe fn run_dense<const K: usize>(op: ScanOp, dtype: DType, n: usize, x: [*const u8; K], y: [*mut u8; K]) {
    macro_rules! of {
        ($t:ty, $a:ty, $one:expr, $add:expr, $mul:expr) => {
            match op {
                ScanOp::Sum => run_lines::<$t, $a, K>(n, x, y, <$a>::default(), $add),
                _ => run_lines::<$t, $a, K>(n, x, y, $one, $mul),
            }
        };
    }
    // SAFETY: the caller's.
    unsafe {
        match dtype {
            DType::F32 => of!(f32, f64, 1.0, |a, b| a + b, |a, b| a * b),
            DType::F64 => of!(f64, f64, 1.0, |a, b| a + b, |a, b| a * b),
            DType::BF16 => of!(half::bf16, f32, 1.0, |a, b| a + b, |a, b| a * b),
            DType::F16 => of!(half::f16, f32, 1.0, |a, b| a + b, |a, b| a * b),
            _ => of!(i64, i64, 1, |a, b| a.wrapping_add(b), |a, b| a.wrapping_mul(b)),
        }
    }
}

/// Whether the running extreme gives way to `v`: the last of equals counts, and NaN stays.
#[inline(always)]
#[allow(clippy::eq_op)]
fn replaces<T: PartialOrd + Copy>(v: T, best: T, max: bool) -> bool {
    v != v || (best == best && if max { v >= best } else { v <= best })
}

/// Scans `n` dense elements in place, going on from `carry`.
///
/// # Safety
/// `n` elements of T at `x`, one at `carry`.
unsafe fn run<T: Copy>(n: usize, x: *mut u8, carry: *mut u8, f: impl Fn(T, T) -> T) {
    let (x, carry) = (x.cast::<T>(), carry.cast::<T>());
    // SAFETY: i < n.
    unsafe {
        let mut c = carry.read_unaligned();
        for i in 0..n {
            c = f(c, x.add(i).read_unaligned());
            x.add(i).write_unaligned(c);
        }
        carry.write_unaligned(c);
    }
}

fn log_add_exp(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    let (low, high) = (a.min(b), a.max(b));
    if low == high && high.is_infinite() || low == f64::NEG_INFINITY {
        high
    } else {
        high + (low - high).exp().ln_1p()
    }
}

/// # Safety
/// As `run`.
unsafe fn run_op(op: ScanOp, dtype: DType, n: usize, x: *mut u8, carry: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        match (op, dtype) {
            (ScanOp::Sum, DType::F32) => run::<f32>(n, x, carry, |a, b| a + b),
            (ScanOp::Sum, DType::F64) => run::<f64>(n, x, carry, |a, b| a + b),
            (ScanOp::Sum, _) => run::<i64>(n, x, carry, |a, b| a.wrapping_add(b)),
            (ScanOp::Prod, DType::F32) => run::<f32>(n, x, carry, |a, b| a * b),
            (ScanOp::Prod, DType::F64) => run::<f64>(n, x, carry, |a, b| a * b),
            (ScanOp::Prod, _) => run::<i64>(n, x, carry, |a, b| a.wrapping_mul(b)),
            (_, DType::F32) => run::<f32>(n, x, carry, |a, b| log_add_exp(a as f64, b as f64) as f32),
            (_, _) => run::<f64>(n, x, carry, log_add_exp),
        }
    }
}

/// Running extreme of `n` dense elements in place; `best` and `at` are the state, positions go to `indices`.
///
/// # Safety
/// As `run`; `indices` has room for n.
unsafe fn run_extreme<T: Copy + PartialOrd>(
    max: bool,
    n: usize,
    x: *mut u8,
    best: *mut u8,
    at: &mut i64,
    from: i64,
    indices: *mut i64,
) {
    let (x, best) = (x.cast::<T>(), best.cast::<T>());
    // SAFETY: i < n.
    unsafe {
        let mut b = if from == 0 { x.read_unaligned() } else { best.read_unaligned() };
        for i in 0..n {
            let v = x.add(i).read_unaligned();
            if replaces(v, b, max) {
                b = v;
                *at = from + i as i64;
            }
            x.add(i).write_unaligned(b);
            indices.add(i).write_unaligned(*at);
        }
        best.write_unaligned(b);
    }
}
/// The same for `n` lines side by side, at position `row` of each.
///
/// # Safety
/// `n` elements behind each pointer.
unsafe fn update_extremes<T: Copy + PartialOrd>(
    max: bool,
    n: usize,
    x: *const u8,
    best: *mut u8,
    at: *mut i64,
    row: i64,
) {
    let (x, best) = (x.cast::<T>(), best.cast::<T>());
    for i in 0..n {
        // SAFETY: i < n.
        unsafe {
            let v = x.add(i).read_unaligned();
            if row == 0 || replaces(v, best.add(i).read_unaligned(), max) {
                best.add(i).write_unaligned(v);
                at.add(i).write_unaligned(row);
            }
        }
    }
}
macro_rules! of_compute_type {
    ($dtype:expr, $t:ident, $body:expr) => {
        match $dtype {
            DType::U8 => {
                type $t = u8;
                $body
            }
            DType::I8 => {
                type $t = i8;
                $body
            }
            DType::I16 => {
                type $t = i16;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
            _ => {
                type $t = Bool8;
                $body
            }
        }
    };
}

/// One call's operands: output, input, indices.
struct Job {
    op: ScanOp,
    base: [*mut u8; 3],
    /// Byte strides along the scanned dimension.
    strides: [isize; 3],
    dtypes: [DType; 3],
    /// Dtype of the arithmetic.
    carry: DType,
    len: usize,
    failed: Mutex<Option<Error>>,
}
// SAFETY: threads write disjoint lines.
unsafe impl Sync for Job {}

/// Cumulative `op` of `input` along `dim` into `out`; `indices` (int64) for the extremes.
pub fn scan(op: ScanOp, input: View, dim: usize, out: View, indices: Option<View>) -> Result<()> {
    let shape = &input.layout.shape;
    let extreme = matches!(op, ScanOp::Max | ScanOp::Min);
    ensure!(extreme == indices.is_some(), Internal, "{op:?} with indices: {}", indices.is_some());
    let third = indices.unwrap_or(out);
    let views = [&out, &input, &third];
    for v in views {
        ensure!(v.layout.shape == *shape, Internal, "scan of {shape:?} into {:?}", v.layout.shape);
    }
    ensure!(!extreme || third.dtype == DType::I64, Internal, "indices of {}", third.dtype);
    if input.layout.numel() == 0 {
        return Ok(());
    }
    if !shape.is_empty() && dim >= shape.len() {
        bail!(Internal, "scan of {} dimensions along {dim}", shape.len());
    }
    let carry = match op {
        ScanOp::Max | ScanOp::Min => input.dtype.compute(),
        _ if input.dtype.size() == 2 && input.dtype.is_float() => DType::F32,
        _ if input.dtype.is_float() => DType::F64,
        ScanOp::LogSumExp => return Err(Error::unsupported("logcumsumexp", input.dtype, "cpu")),
        _ => DType::I64,
    };
    let sizes = views.map(|v| v.dtype.size());
    let mut job = Job {
        op,
        base: [data(&out)?, data(&input)?, data(&third)?],
        strides: [0; 3],
        dtypes: views.map(|v| v.dtype),
        carry,
        len: 1,
        failed: Mutex::new(None),
    };
    let mut rest = shape.clone();
    if !shape.is_empty() {
        job.len = shape[dim] as usize;
        for (k, v) in views.iter().enumerate() {
            job.strides[k] = v.layout.strides[dim] as isize * sizes[k] as isize;
        }
        rest[dim] = 1;
    }
    let operands = views.map(|v| (&v.layout.strides[..], v.dtype.size()));
    let others = Space::new(&rest, &operands);
    let inner = others.shape[0];
    // Side by side where that is how they lie in memory.
    if inner >= SIDE_BY_SIDE && others.strides[0][0] < job.strides[0] && job.len > 1 {
        columns(&job, &others);
    } else if job.is_dense() {
        dense_lines(&job, &others.with_unit_row());
    } else {
        lines(&job, &others.with_unit_row());
    }
    match job.failed.into_inner().unwrap_or_else(|p| p.into_inner()) {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

impl Job {
    fn max(&self) -> bool {
        self.op == ScanOp::Max
    }
    fn extreme(&self) -> bool {
        matches!(self.op, ScanOp::Max | ScanOp::Min)
    }
    /// Whether `run_dense` serves: elements of one dtype, neighbours in both.
    fn is_dense(&self) -> bool {
        let size = self.dtypes[0].size() as isize;
        matches!(self.op, ScanOp::Sum | ScanOp::Prod)
            && self.dtypes[0] == self.dtypes[1]
            && (self.dtypes[0].is_float() || self.dtypes[0] == DType::I64)
            && (self.len == 1 || self.strides[..2] == [size; 2])
    }
    fn initial(&self) -> [u8; 8] {
        let v = match self.op {
            ScanOp::Prod => Scalar::Int(1),
            ScanOp::LogSumExp => Scalar::Float(f64::NEG_INFINITY),
            _ => Scalar::Int(0),
        };
        scalar_bits(v, self.carry)
    }
    fn keep(&self, r: Result<()>) {
        if let Err(e) = r {
            self.failed.lock().unwrap_or_else(|p| p.into_inner()).get_or_insert(e);
        }
    }
}

/// Lines where they lie, several together.
fn dense_lines(job: &Job, lines: &Space) {
    parallel_for(lines.numel(), (4096 / job.len).max(1), |range| {
        let mut rows = Rows::at(lines, range.start);
        let mut left = range.len();
        while left > 0 {
            let count = if left >= TOGETHER { TOGETHER } else { 1 };
            let (mut x, mut y) = ([std::ptr::null::<u8>(); TOGETHER], [std::ptr::null_mut::<u8>(); TOGETHER]);
            // SAFETY: whole lines of input and output, which nobody else writes.
            unsafe {
                for k in 0..count {
                    x[k] = job.base[1].offset(rows.offsets[1]);
                    y[k] = job.base[0].offset(rows.offsets[0]);
                    rows.advance();
                }
                if count == TOGETHER {
                    run_dense::<TOGETHER>(job.op, job.dtypes[0], job.len, x, y);
                } else {
                    run_dense::<1>(job.op, job.dtypes[0], job.len, [x[0]], [y[0]]);
                }
            }
            left -= count;
        }
    });
}

/// One line after the other, each in blocks.
fn lines(job: &Job, lines: &Space) {
    parallel_for(lines.numel(), (4096 / job.len).max(1), |range| {
        job.keep((|| {
            let memory = Block::new(BLOCK * 32)?;
            let raw = memory.ptr().as_ptr();
            let buffer = |k: usize| raw.wrapping_add(k * BLOCK * 8);
            // A space of the line alone, for gathering and scattering.
            let along = Space {
                shape: SmallVec::from_slice(&[job.len]),
                strides: job.strides.iter().map(|s| SmallVec::from_slice(&[*s])).collect(),
            };
            let here = Rows::at(&along, 0);
            let mut rows = Rows::at(lines, range.start);
            for _ in range {
                let (mut carry, mut at) = (job.initial(), 0i64);
                for from in (0..job.len).step_by(BLOCK) {
                    let n = BLOCK.min(job.len - from);
                    // SAFETY: the line's elements; buffers of BLOCK elements of 8 bytes.
                    unsafe {
                        let base = |k: usize| job.base[k].offset(rows.offsets[k]);
                        let size = |k: usize| job.dtypes[k].size();
                        let (x, y) = (buffer(0), buffer(1));
                        gather(x, base(1), &along, 1, size(1), &here, from, 1, n);
                        convert(job.dtypes[1], job.carry)(n, y, x, x, x);
                        if job.extreme() {
                            let positions = buffer(2);
                            of_compute_type!(job.carry, T, {
                                run_extreme::<T>(
                                    job.max(),
                                    n,
                                    y,
                                    carry.as_mut_ptr(),
                                    &mut at,
                                    from as i64,
                                    positions.cast(),
                                )
                            });
                            scatter(positions, base(2), &along, 2, 8, &here, from, 1, n);
                        } else {
                            run_op(job.op, job.carry, n, y, carry.as_mut_ptr());
                        }
                        convert(job.carry, job.dtypes[0])(n, x, y, y, y);
                        scatter(x, base(0), &along, 0, size(0), &here, from, 1, n);
                    }
                }
                rows.advance();
            }
            Ok(())
        })());
    });
}

/// Many lines side by side: dimension 0 of `others` runs across them.
fn columns(job: &Job, others: &Space) {
    let inner = others.shape[0];
    let tiles = inner.div_ceil(BLOCK / 2);
    let width = inner.div_ceil(tiles);
    let units = others.numel() / inner * tiles;
    let step: Option<Kernel> = match job.op {
        ScanOp::Sum => simd::kernel(Opcode::Add, job.carry),
        ScanOp::Prod => simd::kernel(Opcode::Mul, job.carry),
        _ => None,
    };
    parallel_for(units, (4096 / (job.len * width)).max(1), |range| {
        job.keep((|| {
            let memory = Block::new(width * 32)?;
            let raw = memory.ptr().as_ptr();
            let buffer = |k: usize| raw.wrapping_add(k * width * 8);
            let (x, y, state, at) = (buffer(0), buffer(1), buffer(2), buffer(3));
            // A space of the row alone.
            let across = Space {
                shape: SmallVec::from_slice(&[inner]),
                strides: others.strides.iter().map(|s| SmallVec::from_slice(&s[..1])).collect(),
            };
            let here = Rows::at(&across, 0);
            for unit in range {
                let rows = Rows::at(others, unit / tiles);
                let col = unit % tiles * width;
                let n = width.min(inner - col);
                // SAFETY: elements of the views; buffers of `width` elements of 8 bytes.
                unsafe {
                    fill(state, job.carry.size(), job.initial(), n);
                    for r in 0..job.len {
                        let base = |k: usize| job.base[k].offset(rows.offsets[k] + r as isize * job.strides[k]);
                        gather(x, base(1), &across, 1, job.dtypes[1].size(), &here, col, 1, n);
                        convert(job.dtypes[1], job.carry)(n, y, x, x, x);
                        if job.extreme() {
                            of_compute_type!(job.carry, T, {
                                update_extremes::<T>(job.max(), n, y, state, at.cast(), r as i64)
                            });
                            scatter(at, base(2), &across, 2, 8, &here, col, 1, n);
                        } else if let Some(step) = step {
                            step(n, state, state, y, y);
                        } else {
                            let size = job.carry.size();
                            for i in 0..n {
                                run_op(job.op, job.carry, 1, y.add(i * size), state.add(i * size));
                            }
                        }
                        convert(job.carry, job.dtypes[0])(n, x, state, state, state);
                        scatter(x, base(0), &across, 0, job.dtypes[0].size(), &here, col, 1, n);
                    }
                }
            }
            Ok(())
        })());
    });
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::backend::cpu::testing::arrays::*;

    fn check(op: ScanOp, a: &Array, dim: usize, out_dtype: DType, kind: Kind) {
        let shape = &a.layout.shape;
        let extreme = matches!(op, ScanOp::Max | ScanOp::Min);
        let out = Array::new(shape, out_dtype, kind);
        let indices = Array::new(shape, DType::I64, kind);
        scan(op, a.view(), dim, out.view(), extreme.then(|| indices.view())).unwrap();
        let n = shape.get(dim).map_or(1, |n| *n as usize);
        let inner: usize = shape.iter().skip(dim + 1).product::<i64>() as usize;
        for line in 0..a.numel() / n {
            let at = |i: usize| line / inner * inner * n + i * inner + line % inner;
            let (mut acc, mut best) = (0.0, 0);
            for i in 0..n {
                let v = a.get(at(i));
                acc = match op {
                    _ if i == 0 => v,
                    ScanOp::Sum => acc + v,
                    ScanOp::Prod if a.dtype.is_float() => acc * v,
                    ScanOp::Prod => (acc as i64).wrapping_mul(v as i64) as f64,
                    ScanOp::LogSumExp => log_add_exp(acc, v),
                    ScanOp::Max => {
                        if v.is_nan() || v >= acc {
                            best = i;
                            v
                        } else {
                            acc
                        }
                    }
                    ScanOp::Min => {
                        if v.is_nan() || v <= acc {
                            best = i;
                            v
                        } else {
                            acc
                        }
                    }
                };
                let got = out.get(at(i));
                let ok = close(got, acc, out_dtype, 4.0)
                    || a.dtype.size() == 2 && (got - acc).abs() < 0.02 * acc.abs() + 0.01;
                assert!(ok, "{op:?} {} {shape:?} along {dim}, {line} {i}: {got} not {acc}", a.dtype);
                if extreme {
                    assert_eq!(indices.get_i64(at(i)), best as i64, "{op:?} {} {shape:?} along {dim}", a.dtype);
                }
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn every_op_dtype_and_layout() {
        let mut r = Random(2);
        for op in [ScanOp::Sum, ScanOp::Prod, ScanOp::LogSumExp, ScanOp::Max, ScanOp::Min] {
            for dtype in DType::REAL {
                if op == ScanOp::LogSumExp && !dtype.is_float() {
                    continue;
                }
                for shape in
                    [&[][..], &[1], &[50], &[2500], &[4, 5], &[3, 40], &[30, 40], &[2, 3, 4], &[1500, 2], &[3, 7, 600]]
                {
                    for dim in 0..shape.len().max(1) {
                        let kind = KINDS[r.below(6) as usize];
                        let a = Array::of(shape, dtype, kind, |_| match (op, dtype) {
                            (_, DType::Bool) => r.below(2) as f64,
                            (ScanOp::Prod, d) if d.is_float() => 1.0 + (r.unit() * 8.0).round() / 1024.0,
                            (ScanOp::Prod, _) => 1.0 + r.below(2) as f64,
                            (ScanOp::Max | ScanOp::Min, d) if d.is_float() && r.below(1000) == 0 => f64::NAN,
                            (_, DType::U8) => r.below(5) as f64,
                            (ScanOp::Sum, d) if d.size() == 2 && d.is_float() => r.below(2) as f64 / 8.0,
                            _ => (r.unit() * 8.0).round(),
                        });
                        let extreme = matches!(op, ScanOp::Max | ScanOp::Min);
                        let out = if extreme || dtype.is_float() { dtype } else { DType::I64 };
                        check(op, &a, dim, out, OUT_KINDS[r.below(4) as usize]);
                    }
                }
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn infinities_in_logcumsumexp() {
        let inf = f64::INFINITY;
        let a = Array::of_slice(&[4], DType::F32, &[-inf, 1.0, inf, 2.0]);
        let out = Array::new(&[4], DType::F32, Kind::Contiguous);
        scan(ScanOp::LogSumExp, a.view(), 0, out.view(), None).unwrap();
        assert_eq!(out.to_vec(), [-inf, 1.0, inf, inf]);
        let i = Array::of_slice(&[4], DType::I32, &[1.0; 4]);
        assert!(scan(ScanOp::LogSumExp, i.view(), 0, out.view(), None).is_err());
    }
}
