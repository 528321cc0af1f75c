//! Reductions of dense runs to one element, and the element-by-element kernels and identities that go with them.

use crate::backend::cpu::elementwise::interp::Bits;
use crate::backend::cpu::level::{level, Level};
use crate::backend::cpu::simd::convert::To;
use crate::backend::cpu::simd::float_ops::{maximum, minimum};
use crate::backend::cpu::simd::{self, Kernel};
use crate::backend::program::Opcode;
use crate::base::dtype::DType;
use crate::base::scalar::Scalar;

/// What remains of a `ReduceOp` once squares and the like are done before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    Sum,
    Prod,
    Max,
    Min,
    Or,
    And,
}

impl Fold {
    /// The opcode that combines two partial results.
    pub fn opcode(self) -> Opcode {
        match self {
            Fold::Sum => Opcode::Add,
            Fold::Prod => Opcode::Mul,
            Fold::Max => Opcode::Maximum,
            Fold::Min => Opcode::Minimum,
            Fold::Or => Opcode::LogicalOr,
            Fold::And => Opcode::LogicalAnd,
        }
    }
    /// The element that changes nothing.
    pub fn identity(self, dtype: DType) -> Bits {
        let v = match self {
            Fold::Sum => Scalar::Int(0),
            Fold::Prod | Fold::And => Scalar::Int(1),
            Fold::Or => Scalar::Int(0),
            Fold::Max | Fold::Min => {
                let low = self == Fold::Max;
                match dtype {
                    DType::F32 | DType::F64 => Scalar::Float(if low { f64::NEG_INFINITY } else { f64::INFINITY }),
                    DType::U8 => Scalar::Int(if low { 0 } else { u8::MAX as i64 }),
                    DType::I8 => Scalar::Int(if low { i8::MIN as i64 } else { i8::MAX as i64 }),
                    DType::I16 => Scalar::Int(if low { i16::MIN as i64 } else { i16::MAX as i64 }),
                    DType::I32 => Scalar::Int(if low { i32::MIN as i64 } else { i32::MAX as i64 }),
                    DType::I64 => Scalar::Int(if low { i64::MIN } else { i64::MAX }),
                    _ => Scalar::Bool(!low),
                }
            }
        };
        crate::backend::cpu::elementwise::interp::scalar_bits(v, dtype)
    }
    /// Reduces each of `n` dense rows; None where the fold is not defined on the dtype.
    pub fn rows(self, dtype: DType) -> Option<RowKernel> {
        Some(match (self, dtype) {
            (Fold::Sum, DType::F32) => pick::<Sum, f32, 64>(),
            (Fold::Sum, DType::F64) => pick::<Sum, f64, 32>(),
            (Fold::Sum, DType::I64) => pick::<Sum, i64, 32>(),
            (Fold::Prod, DType::F32) => pick::<Prod, f32, 64>(),
            (Fold::Prod, DType::F64) => pick::<Prod, f64, 32>(),
            (Fold::Prod, DType::I64) => pick::<Prod, i64, 32>(),
            (Fold::Max, DType::F32) => pick::<Max, f32, 64>(),
            (Fold::Max, DType::F64) => pick::<Max, f64, 32>(),
            (Fold::Max, DType::U8) => pick::<Max, u8, 128>(),
            (Fold::Max, DType::I8) => pick::<Max, i8, 128>(),
            (Fold::Max, DType::I16) => pick::<Max, i16, 64>(),
            (Fold::Max, DType::I32) => pick::<Max, i32, 64>(),
            (Fold::Max, DType::I64) => pick::<Max, i64, 32>(),
            (Fold::Min, DType::F32) => pick::<Min, f32, 64>(),
            (Fold::Min, DType::F64) => pick::<Min, f64, 32>(),
            (Fold::Min, DType::U8) => pick::<Min, u8, 128>(),
            (Fold::Min, DType::I8) => pick::<Min, i8, 128>(),
            (Fold::Min, DType::I16) => pick::<Min, i16, 64>(),
            (Fold::Min, DType::I32) => pick::<Min, i32, 64>(),
            (Fold::Min, DType::I64) => pick::<Min, i64, 32>(),
            // Bool bytes are 0 or 1 here.
            (Fold::Or | Fold::Max, DType::Bool) => pick::<Max, u8, 128>(),
            (Fold::And | Fold::Min, DType::Bool) => pick::<Min, u8, 128>(),
            _ => return None,
        })
    }
    /// Reduces rows of any length, into the dtype that is carried from block to block. Half types are widened on the way.
    pub fn long_rows(self, dtype: DType) -> Option<LongRowKernel> {
        Some(match (self, dtype) {
            (Fold::Sum, DType::F32) => pick_long::<Sum, f32, f32, f64, 64>(),
            (Fold::Sum, DType::BF16) => pick_long::<Sum, half::bf16, f32, f64, 64>(),
            (Fold::Sum, DType::F16) => pick_long::<Sum, half::f16, f32, f64, 64>(),
            (Fold::Sum, DType::F64) => pick_long::<Sum, f64, f64, f64, 32>(),
            (Fold::Sum, DType::I64) => pick_long::<Sum, i64, i64, i64, 32>(),
            (Fold::Max, DType::F32) => pick_long::<Max, f32, f32, f32, 64>(),
            (Fold::Min, DType::F32) => pick_long::<Min, f32, f32, f32, 64>(),
            _ => return None,
        })
    }
    /// Folds rows into a row of running results.
    pub fn columns(self, dtype: DType) -> Option<ColumnKernel> {
        Some(match (self, dtype) {
            (Fold::Sum, DType::F32) => pick_columns::<Sum, f32, 32>(),
            (Fold::Sum, DType::F64) => pick_columns::<Sum, f64, 8>(),
            (Fold::Sum, DType::I64) => pick_columns::<Sum, i64, 8>(),
            (Fold::Max, DType::F32) => pick_columns::<Max, f32, 32>(),
            (Fold::Min, DType::F32) => pick_columns::<Min, f32, 32>(),
            _ => return None,
        })
    }
    /// `out[i] = fold(a[i], b[i])`.
    pub fn pairs(self, dtype: DType) -> Option<Kernel> {
        simd::kernel(self.opcode(), dtype)
    }
}

/// Reduces `count` dense rows of `len > 0` elements to one element each.
pub type RowKernel = unsafe fn(count: usize, len: usize, out: *mut u8, a: *const u8);

trait Combine<T> {
    fn combine(a: T, b: T) -> T;
}
struct Sum;
struct Prod;
struct Max;
struct Min;
macro_rules! float_combine {
    ($($t:ty),*) => {$(
        impl Combine<$t> for Sum {
            #[inline(always)]
            fn combine(a: $t, b: $t) -> $t {
                a + b
            }
        }
        impl Combine<$t> for Prod {
            #[inline(always)]
            fn combine(a: $t, b: $t) -> $t {
                a * b
            }
        }
    )*};
}
float_combine!(f32, f64);
impl Combine<i64> for Sum {
    #[inline(always)]
    fn combine(a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }
}
impl Combine<i64> for Prod {
    #[inline(always)]
    fn combine(a: i64, b: i64) -> i64 {
        a.wrapping_mul(b)
    }
}
impl<T: PartialOrd> Combine<T> for Max {
    #[inline(always)]
    fn combine(a: T, b: T) -> T {
        maximum(a, b)
    }
}
impl<T: PartialOrd> Combine<T> for Min {
    #[inline(always)]
    fn combine(a: T, b: T) -> T {
        minimum(a, b)
    }
}

/// One row, of elements S: `L` running results side by side, folded in halves at the end, so that sums of a block lose little.
///
/// # Safety
/// `a` is readable for `len > 0` elements.
#[inline(always)]
unsafe fn row<C: Combine<T>, S: Copy + To<T>, T: Copy, const L: usize>(len: usize, a: *const S) -> T {
    // SAFETY: indices stay below len.
    unsafe {
        if len < L {
            // A short row: four running results.
            let mut r: T = a.read_unaligned().to();
            if len < 8 {
                for i in 1..len {
                    simd::scalar_loop();
                    r = C::combine(r, a.add(i).read_unaligned().to());
                }
                return r;
            }
            let at = |i: usize| a.add(i).read_unaligned().to();
            let mut acc = [r, at(1), at(2), at(3)];
            let mut i = 4;
            while i + 4 <= len {
                for (k, v) in acc.iter_mut().enumerate() {
                    *v = C::combine(*v, at(i + k));
                }
                i += 4;
            }
            while i < len {
                simd::scalar_loop();
                acc[0] = C::combine(acc[0], at(i));
                i += 1;
            }
            return C::combine(C::combine(acc[0], acc[1]), C::combine(acc[2], acc[3]));
        }
        let first = a.cast::<[S; L]>().read_unaligned();
        let mut acc: [T; L] = [first[0].to(); L];
        for k in 1..L {
            acc[k] = first[k].to();
        }
        let mut i = L;
        while i + L <= len {
            let v = a.add(i).cast::<[S; L]>().read_unaligned();
            for k in 0..L {
                acc[k] = C::combine(acc[k], v[k].to());
            }
            i += L;
        }
        let mut k = 0;
        while i < len {
            simd::scalar_loop();
            acc[k] = C::combine(acc[k], a.add(i).read_unaligned().to());
            k += 1;
            i += 1;
        }
        let mut width = L / 2;
        while width > 0 {
            for k in 0..width {
                acc[k] = C::combine(acc[k], acc[k + width]);
            }
            width /= 2;
        }
        acc[0]
    }
}
#[inline(always)]
unsafe fn rows<C: Combine<T>, T: Copy + To<T>, const L: usize>(count: usize, len: usize, out: *mut u8, a: *const u8) {
    let (out, a) = (out.cast::<T>(), a.cast::<T>());
    for r in 0..count {
        // SAFETY: the caller's: count rows of len elements.
        unsafe { out.add(r).write_unaligned(row::<C, T, T, L>(len, a.add(r * len))) };
    }
}
unsafe fn rows_base<C: Combine<T>, T: Copy + To<T>, const L: usize>(
    count: usize,
    len: usize,
    out: *mut u8,
    a: *const u8,
) {
    // SAFETY: the caller's.
    unsafe { rows::<C, T, L>(count, len, out, a) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows_avx2<C: Combine<T>, T: Copy + To<T>, const L: usize>(
    count: usize,
    len: usize,
    out: *mut u8,
    a: *const u8,
) {
    // SAFETY: the caller's.
    unsafe { rows::<C, T, L>(count, len, out, a) }
}
fn pick<C: Combine<T> + 'static, T: Copy + To<T> + 'static, const L: usize>() -> RowKernel {
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx2 {
        return rows_avx2::<C, T, L>;
    }
    rows_base::<C, T, L>
}

/// Reduces `count` rows of `len > 0` dense elements, `stride` bytes apart, each to one element of the carried dtype.
pub type LongRowKernel = unsafe fn(count: usize, stride: isize, len: usize, out: *mut u8, a: *const u8);

/// Elements that are folded in their own dtype, in side-by-side results, before they are carried on.
const RUN: usize = 4096;

#[inline(always)]
unsafe fn long_rows<C: Combine<T> + Combine<A>, S: Copy + To<T>, T: Copy, A: Copy + From<T>, const L: usize>(
    count: usize,
    stride: isize,
    len: usize,
    out: *mut u8,
    a: *const u8,
) {
    let out = out.cast::<A>();
    for r in 0..count {
        // SAFETY: the caller's: count rows of len elements.
        unsafe {
            let a = a.offset(r as isize * stride).cast::<S>();
            let mut i = len.min(RUN);
            let mut total: A = row::<C, S, T, L>(i, a).into();
            while i < len {
                let n = RUN.min(len - i);
                total = C::combine(total, row::<C, S, T, L>(n, a.add(i)).into());
                i += n;
            }
            out.add(r).write_unaligned(total);
        }
    }
}
unsafe fn long_rows_base<C: Combine<T> + Combine<A>, S: Copy + To<T>, T: Copy, A: Copy + From<T>, const L: usize>(
    count: usize,
    stride: isize,
    len: usize,
    out: *mut u8,
    a: *const u8,
) {
    // SAFETY: the caller's.
    unsafe { long_rows::<C, S, T, A, L>(count, stride, len, out, a) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn long_rows_avx2<C: Combine<T> + Combine<A>, S: Copy + To<T>, T: Copy, A: Copy + From<T>, const L: usize>(
    count: usize,
    stride: isize,
    len: usize,
    out: *mut u8,
    a: *const u8,
) {
    // SAFETY: the caller's.
    unsafe { long_rows::<C, S, T, A, L>(count, stride, len, out, a) }
}
fn pick_long<
    C: Combine<T> + Combine<A> + 'static,
    S: Copy + To<T> + 'static,
    T: Copy + 'static,
    A: Copy + From<T> + 'static,
    const L: usize,
>() -> LongRowKernel {
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx2 {
        return long_rows_avx2::<C, S, T, A, L>;
    }
    long_rows_base::<C, S, T, A, L>
}

/// `acc[i] = fold(acc[i], column i)` for `rows` rows of `n` dense elements, `stride` bytes apart.
pub type ColumnKernel = unsafe fn(rows: usize, stride: isize, n: usize, acc: *mut u8, a: *const u8);

/// Eight rows at a time, folded in pairs: the running results are read and written once for all of them.
#[inline(always)]
unsafe fn columns<C: Combine<T>, T: Copy, const W: usize>(
    rows: usize,
    stride: isize,
    n: usize,
    acc: *mut u8,
    a: *const u8,
) {
    let acc = acc.cast::<T>();
    let mut r = 0;
    // SAFETY: rows and columns stay below the caller's.
    unsafe {
        while r + 8 <= rows {
            let rows = a.offset(r as isize * stride).cast::<T>();
            let mut i = 0;
            while i + W <= n {
                eight::<C, T, W>(stride, acc.add(i), rows.add(i));
                i += W;
            }
            while i < n {
                simd::scalar_loop();
                eight::<C, T, 1>(stride, acc.add(i), rows.add(i));
                i += 1;
            }
            r += 8;
        }
        while r < rows {
            let a = a.offset(r as isize * stride).cast::<T>();
            for i in 0..n {
                acc.add(i).write_unaligned(C::combine(acc.add(i).read_unaligned(), a.add(i).read_unaligned()));
            }
            r += 1;
        }
    }
}
/// `W` columns of eight rows.
#[inline(always)]
unsafe fn eight<C: Combine<T>, T: Copy, const W: usize>(stride: isize, acc: *mut T, a: *const T) {
    // SAFETY: the caller's: W elements of each row.
    unsafe {
        let row = |k: isize| a.byte_offset(k * stride).cast::<[T; W]>().read_unaligned();
        let even = pair::<C, T, W>(pair::<C, T, W>(row(0), row(4)), pair::<C, T, W>(row(2), row(6)));
        let odd = pair::<C, T, W>(pair::<C, T, W>(row(1), row(5)), pair::<C, T, W>(row(3), row(7)));
        let acc = acc.cast::<[T; W]>();
        acc.write_unaligned(pair::<C, T, W>(acc.read_unaligned(), pair::<C, T, W>(even, odd)));
    }
}
/// A plain loop, which becomes vector code; chains of closures over arrays do not.
#[inline(always)]
fn pair<C: Combine<T>, T: Copy, const W: usize>(a: [T; W], b: [T; W]) -> [T; W] {
    let mut r = a;
    for j in 0..W {
        r[j] = C::combine(a[j], b[j]);
    }
    r
}
unsafe fn columns_base<C: Combine<T>, T: Copy, const W: usize>(
    rows: usize,
    stride: isize,
    n: usize,
    acc: *mut u8,
    a: *const u8,
) {
    // SAFETY: the caller's.
    unsafe { columns::<C, T, W>(rows, stride, n, acc, a) }
}
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn columns_avx2<C: Combine<T>, T: Copy, const W: usize>(
    rows: usize,
    stride: isize,
    n: usize,
    acc: *mut u8,
    a: *const u8,
) {
    // SAFETY: the caller's.
    unsafe { columns::<C, T, W>(rows, stride, n, acc, a) }
}
fn pick_columns<C: Combine<T> + 'static, T: Copy + 'static, const W: usize>() -> ColumnKernel {
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx2 {
        return columns_avx2::<C, T, W>;
    }
    columns_base::<C, T, W>
}

/// The position of the first extreme among `len` dense elements of `dtype`; NaN counts as the extreme.
///
/// # Safety
/// `a` is readable for `len > 0` elements; `best` is the extreme as `Fold::rows` found it.
pub unsafe fn find(dtype: DType, len: usize, a: *const u8, best: *const u8) -> usize {
    #[allow(clippy::eq_op)]
    unsafe fn find_as<T: Copy + PartialOrd>(len: usize, a: *const T, best: *const T) -> usize {
        // SAFETY: as above.
        unsafe {
            let b = best.read_unaligned();
            (0..len)
                .find(|&i| {
                    let v = a.add(i).read_unaligned();
                    v == b || (v != v && b != b)
                })
                .unwrap_or(0)
        }
    }
    // SAFETY: the caller's.
    crate::dispatch!(dtype, T, unsafe { find_as::<T>(len, a.cast(), best.cast()) })
}

/// Whether `a` beats `b` as the extreme (NaN beats every number).
#[inline(always)]
#[allow(clippy::eq_op)]
fn beats<T: PartialOrd + Copy, const MAX: bool>(a: T, b: T) -> bool {
    (if MAX { a > b } else { a < b }) || (a != a && b == b)
}

/// For each of `n` elements that beats `best`, puts it there and `index` into `at`.
///
/// # Safety
/// `n` elements behind each pointer.
pub unsafe fn update_extremes(
    dtype: DType,
    max: bool,
    n: usize,
    best: *mut u8,
    at: *mut i64,
    x: *const u8,
    index: i64,
) {
    unsafe fn update<T: Copy + PartialOrd, const MAX: bool>(
        n: usize,
        best: *mut T,
        at: *mut i64,
        x: *const T,
        index: i64,
    ) {
        for i in 0..n {
            // SAFETY: i < n.
            unsafe {
                let (v, b) = (x.add(i).read_unaligned(), best.add(i).read_unaligned());
                if beats::<T, MAX>(v, b) {
                    best.add(i).write_unaligned(v);
                    at.add(i).write_unaligned(index);
                }
            }
        }
    }
    // SAFETY: the caller's.
    crate::dispatch!(dtype, T, unsafe {
        if max {
            update::<T, true>(n, best.cast(), at, x.cast(), index)
        } else {
            update::<T, false>(n, best.cast(), at, x.cast(), index)
        }
    })
}

/// Whether the element at `a` beats that at `b`.
///
/// # Safety
/// Both are readable elements of `dtype`.
pub unsafe fn extreme_beats(dtype: DType, max: bool, a: *const u8, b: *const u8) -> bool {
    // SAFETY: the caller's.
    crate::dispatch!(dtype, T, unsafe {
        let (a, b) = (a.cast::<T>().read_unaligned(), b.cast::<T>().read_unaligned());
        if max {
            beats::<T, true>(a, b)
        } else {
            beats::<T, false>(a, b)
        }
    })
}
