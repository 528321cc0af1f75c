//! Batched matrix products: out = beta * out + alpha * (a @ b), on any strides, without copies.
//!
//! Large products go to the `gemm` crate, one thread per block of the result; small ones, whose cost would be that
//! crate's setup, run through a register tile of our own. The block grid depends on shapes alone and every element
//! is summed in one order, so results do not depend on the number of threads.

use super::lanes::{isa, Isa, Lanes};
use super::parallel::parallel_for;
use super::scratch::{ptr, FloatElement, Ptr, Real, Scratch};
use crate::backend::View;
use crate::error::{Error, Result};
use crate::tensor::dtype::{DType, Element};
use crate::{ensure, simd_dispatch};
use gemm::Parallelism;

/// One matrix of a batch: first element, and the strides of batch, row and column.
struct Mat<T> {
    p: Ptr<T>,
    batch: isize,
    row: isize,
    col: isize,
}
impl<T> Clone for Mat<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Mat<T> {}
impl<T> Mat<T> {
    fn of(v: &View) -> Result<Mat<T>> {
        let s = &v.layout.strides;
        Ok(Mat { p: Ptr(ptr::<T>(v)?), batch: s[0] as isize, row: s[1] as isize, col: s[2] as isize })
    }
    fn transposed(self) -> Mat<T> {
        Mat { row: self.col, col: self.row, ..self }
    }
    #[inline(always)]
    fn at(&self, batch: usize, row: usize, col: usize) -> *mut T {
        self.p.at(batch as isize * self.batch + row as isize * self.row + col as isize * self.col)
    }
}

/// A whole problem, normalised by `orient`.
#[derive(Clone, Copy)]
struct Problem<T> {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    a: Mat<T>,
    b: Mat<T>,
    c: Mat<T>,
}
impl<T> Problem<T> {
    fn of(a: &View, b: &View, out: &View) -> Result<Problem<T>> {
        let (sa, sb, so) = (&a.layout.shape, &b.layout.shape, &out.layout.shape);
        ensure!(
            sa.len() == 3 && sb.len() == 3 && so.len() == 3,
            Runtime,
            "gemm: expected 3-dimensional operands, got {sa:?} @ {sb:?} -> {so:?}"
        );
        ensure!(
            sa[0] == so[0] && sb[0] == so[0] && sa[1] == so[1] && sb[2] == so[2] && sa[2] == sb[1],
            Runtime,
            "gemm: shapes {sa:?} @ {sb:?} -> {so:?} do not fit"
        );
        let mut p = Problem {
            batch: so[0] as usize,
            m: so[1] as usize,
            n: so[2] as usize,
            k: sa[2] as usize,
            a: Mat::of(a)?,
            b: Mat::of(b)?,
            c: Mat::of(out)?,
        };
        // The strides of dimensions of size 1 mean nothing; make them say "contiguous" where that opens a fast path.
        if p.m == 1 {
            (p.a.row, p.c.row) = (isize::MAX, isize::MAX);
        }
        if p.n == 1 {
            (p.b.col, p.c.col) = (isize::MAX, isize::MAX);
        }
        if p.k == 1 {
            (p.a.col, p.b.row) = (1, isize::MAX);
        }
        // Rows of the result should be the contiguous ones; a single column becomes a single row.
        if (p.n == 1 && p.m > 1) || (p.m > 1 && p.n > 1 && p.c.row < p.c.col) {
            p = Problem { m: p.n, n: p.m, a: p.b.transposed(), b: p.a.transposed(), c: p.c.transposed(), ..p };
        }
        for s in [&mut p.a.row, &mut p.c.row, &mut p.b.row] {
            if *s == isize::MAX {
                *s = 0;
            }
        }
        for s in [&mut p.a.col, &mut p.c.col, &mut p.b.col] {
            if *s == isize::MAX {
                *s = 1;
            }
        }
        Ok(p)
    }
}

/// out = beta * out + alpha * (a @ b) for [batch, m, k] @ [batch, k, n]; with beta 0, `out` is not read.
pub fn gemm(a: View, b: View, out: View, alpha: f64, beta: f64) -> Result<()> {
    ensure!(
        a.dtype == b.dtype && a.dtype == out.dtype,
        Runtime,
        "gemm: expected operands of one dtype, got {} @ {} -> {}",
        a.dtype,
        b.dtype,
        out.dtype
    );
    match a.dtype {
        DType::F32 => run_real(Problem::<f32>::of(&a, &b, &out)?, alpha as f32, beta as f32),
        DType::F64 => run_real(Problem::<f64>::of(&a, &b, &out)?, alpha, beta),
        DType::F16 => return run_half(Problem::<half::f16>::of(&a, &b, &out)?, alpha as f32, beta as f32),
        DType::BF16 => return run_half(Problem::<half::bf16>::of(&a, &b, &out)?, alpha as f32, beta as f32),
        DType::U8 => run_int(Problem::<u8>::of(&a, &b, &out)?, alpha as i64 as u8, beta as i64 as u8),
        DType::I8 => run_int(Problem::<i8>::of(&a, &b, &out)?, alpha as i64 as i8, beta as i64 as i8),
        DType::I16 => run_int(Problem::<i16>::of(&a, &b, &out)?, alpha as i64 as i16, beta as i64 as i16),
        DType::I32 => run_int(Problem::<i32>::of(&a, &b, &out)?, alpha as i64 as i32, beta as i64 as i32),
        DType::I64 => run_int(Problem::<i64>::of(&a, &b, &out)?, alpha as i64, beta as i64),
        DType::Bool => return Err(Error::unsupported("gemm", a.dtype, "cpu")),
    }
    Ok(())
}

/// Products up to this many multiplications are worth our own tile rather than the crate's setup.
const SMALL: usize = 40 * 40 * 40;
/// Multiplications that are worth a task of their own.
const TASK: usize = 400_000;
/// Rows and columns of one block of a large result: large enough that packing is paid back.
const BLOCK: usize = 256;
/// Elements of the on-stack copy of a small operand whose columns are not contiguous.
const PACK: usize = 40 * 48;

fn run_real<T: Real>(p: Problem<T>, alpha: T, beta: T) {
    let Problem { batch, m, n, k, .. } = p;
    if batch == 0 || m == 0 || n == 0 {
        return;
    }
    if k == 0 || alpha == T::ZERO {
        return scale(&p, beta);
    }
    let work = m * n * k;
    let isa = isa();
    if work <= SMALL {
        let one = |i: usize| {
            // SAFETY: the views cover the problem; each batch entry writes its own part of `c`.
            unsafe { small(isa, &p, i, alpha, beta) }
        };
        if batch == 1 {
            return one(0);
        }
        let grain = (TASK / 4 / (work + 64)).max(1);
        return parallel_for(batch, grain, |r| r.for_each(one));
    }
    let (mb, nb) = block_grid(m, n, k);
    let (rows, cols) = (m.div_ceil(mb), n.div_ceil(nb));
    let grain = (TASK / (mb * nb * k)).max(1);
    parallel_for(batch * rows * cols, grain, |r| {
        for t in r {
            let (i, t) = (t / (rows * cols), t % (rows * cols));
            let (r0, c0) = (t / cols * mb, t % cols * nb);
            // SAFETY: blocks are disjoint and lie inside the views.
            unsafe { block(&p, i, r0, mb.min(m - r0), c0, nb.min(n - c0), alpha, beta) }
        }
    });
}

/// Block sizes for a large product. Depends on the shape alone: the numbers come out the same on any machine load.
fn block_grid(m: usize, n: usize, k: usize) -> (usize, usize) {
    if m * n * k < 2 * TASK {
        return (m, n);
    }
    // Thin results are cut along their long side, into tasks of about TASK but not below 64 columns or rows.
    let cut = |long: usize, other: usize| {
        let parts = (long * other * k / TASK).clamp(1, long.div_ceil(64));
        (long.div_ceil(parts)).next_multiple_of(16).min(long)
    };
    if m <= BLOCK && n <= BLOCK {
        return if n >= m { (m, cut(n, m)) } else { (cut(m, n), n) };
    }
    if m <= BLOCK {
        return (m, cut(n, m).min(if m < 32 { n } else { BLOCK }).max(64).min(n));
    }
    if n <= BLOCK {
        return (cut(m, n).clamp(64, BLOCK).min(m), n);
    }
    // Even blocks near BLOCK rows by up to 1024 columns.
    let even = |len: usize, block: usize| len.div_ceil(len.div_ceil(block)).next_multiple_of(16).min(len);
    (even(m, BLOCK), even(n, 2 * BLOCK))
}

/// One block of the result by the gemm crate, on this thread.
unsafe fn block<T: Real>(p: &Problem<T>, i: usize, r0: usize, rows: usize, c0: usize, cols: usize, alpha: T, beta: T) {
    gemm::gemm(
        rows,
        cols,
        p.k,
        p.c.at(i, r0, c0),
        p.c.col,
        p.c.row,
        beta != T::ZERO,
        p.a.at(i, r0, 0) as *const T,
        p.a.col,
        p.a.row,
        p.b.at(i, 0, c0) as *const T,
        p.b.col,
        p.b.row,
        beta,
        alpha,
        false,
        false,
        false,
        Parallelism::None,
    )
}

/// c[m, n] = beta * c + alpha * a[m, k] @ b[k, n] on this thread; strides are (row, column).
pub(super) unsafe fn matmul_serial<T: Real>(
    m: usize,
    n: usize,
    k: usize,
    a: *const T,
    a_row: isize,
    a_col: isize,
    b: *const T,
    b_row: isize,
    b_col: isize,
    c: *mut T,
    c_row: isize,
    c_col: isize,
    alpha: T,
    beta: T,
) {
    let mat = |p: *const T, row, col| Mat { p: Ptr(p as *mut T), batch: 0, row, col };
    let (a, b, c) = (mat(a, a_row, a_col), mat(b, b_row, b_col), mat(c, c_row, c_col));
    let p = if n == 1 && m > 1 {
        Problem { batch: 1, m: n, n: m, k, a: b.transposed(), b: a.transposed(), c: c.transposed() }
    } else {
        Problem { batch: 1, m, n, k, a, b, c }
    };
    let (m, n) = (p.m, p.n);
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        scale(&p, beta);
    } else if m * n * k <= SMALL {
        small(isa(), &p, 0, alpha, beta);
    } else {
        block(&p, 0, 0, m, 0, n, alpha, beta);
    }
}

/// c *= beta; beta 0 writes zeros whatever was there.
fn scale<T: Real>(p: &Problem<T>, beta: T) {
    if beta == T::ONE {
        return;
    }
    for i in 0..p.batch {
        for r in 0..p.m {
            for c in 0..p.n {
                // SAFETY: inside `c`'s view.
                unsafe {
                    let x = p.c.at(i, r, c);
                    *x = if beta == T::ZERO { T::ZERO } else { *x * beta };
                }
            }
        }
    }
}

/// One small product.
#[inline(always)]
unsafe fn small<T: Real>(isa: Isa, p: &Problem<T>, i: usize, alpha: T, beta: T) {
    let (m, n, k) = (p.m, p.n, p.k);
    let (a, b, c) = (p.a.at(i, 0, 0), p.b.at(i, 0, 0), p.c.at(i, 0, 0));
    let (a, b) = (a as *const T, b as *const T);
    if m == 1 && p.b.row == 1 && p.a.col == 1 && (n == 1 || p.b.col != 1) {
        dots(isa, n, k, a, b, p.b.col, c, p.c.col, alpha, beta);
    } else if n == 1 || (p.b.col == 1 && p.c.col == 1) {
        tiles(isa, m, n, k, a, p.a.row, p.a.col, b, p.b.row, c, p.c.row, alpha, beta);
    } else if p.c.col == 1 && k * n.next_multiple_of(4) <= PACK {
        // Columns of b are not contiguous: copy it once, on the stack.
        let mut buf = [std::mem::MaybeUninit::<T>::uninit(); PACK];
        let bp = buf.as_mut_ptr() as *mut T;
        transpose_into(isa, k, n, b, p.b.row, p.b.col, bp);
        tiles(isa, m, n, k, a, p.a.row, p.a.col, bp as *const T, n as isize, c, p.c.row, alpha, beta);
    } else {
        block(p, i, 0, m, 0, n, alpha, beta)
    }
}

simd_dispatch!(fn tiles => tiles_body(
    m: usize, n: usize, k: usize, a: *const T, a_row: isize, a_col: isize, b: *const T, b_row: isize,
    c: *mut T, c_row: isize, alpha: T, beta: T));
simd_dispatch!(fn dots => dots_body(
    n: usize, k: usize, a: *const T, b: *const T, b_col: isize, c: *mut T, c_col: isize, alpha: T, beta: T));
simd_dispatch!(fn transpose_into => transpose_body(
    k: usize, n: usize, b: *const T, b_row: isize, b_col: isize, to: *mut T));

/// c[m, n] from register tiles; rows of b and c are contiguous.
#[inline(always)]
unsafe fn tiles_body<T: Real, V: Lanes<T = T>>(
    m: usize,
    n: usize,
    k: usize,
    a: *const T,
    a_row: isize,
    a_col: isize,
    b: *const T,
    b_row: isize,
    c: *mut T,
    c_row: isize,
    alpha: T,
    beta: T,
) {
    let mut j = 0;
    while j < n {
        let left = n - j;
        let (b, c) = (b.add(j), c.add(j));
        macro_rules! rows {
            ($nv:literal, $tail:expr) => {{
                let mut i = 0;
                macro_rules! step {
                    ($mr:literal) => {
                        while m - i >= $mr {
                            let (a, c) = (a.offset(i as isize * a_row), c.offset(i as isize * c_row));
                            tile::<T, V, $mr, $nv>($tail, k, a, a_row, a_col, b, b_row, c, c_row, alpha, beta);
                            i += $mr;
                        }
                    };
                }
                if V::REGS >= 16 {
                    step!(8);
                }
                step!(4);
                step!(2);
                step!(1);
            }};
        }
        if left > V::N {
            let tail = (left - V::N).min(V::N);
            rows!(2, tail);
            j += V::N + tail;
        } else {
            rows!(1, left);
            j += left;
        }
    }
}

/// MR rows by NV vectors of c, the last vector having `tail` lanes.
#[inline(always)]
unsafe fn tile<T: Real, V: Lanes<T = T>, const MR: usize, const NV: usize>(
    tail: usize,
    k: usize,
    a: *const T,
    a_row: isize,
    a_col: isize,
    mut b: *const T,
    b_row: isize,
    c: *mut T,
    c_row: isize,
    alpha: T,
    beta: T,
) {
    let mut acc = [[V::zero(); NV]; MR];
    let mut ak = a;
    for _ in 0..k {
        let mut bv = [V::zero(); NV];
        for v in 0..NV - 1 {
            bv[v] = V::load(b.add(v * V::N));
        }
        bv[NV - 1] = V::load_n(b.add((NV - 1) * V::N), tail);
        for i in 0..MR {
            let x = V::splat(*ak.offset(i as isize * a_row));
            for v in 0..NV {
                acc[i][v] = x.fma(bv[v], acc[i][v]);
            }
        }
        b = b.wrapping_offset(b_row);
        ak = ak.wrapping_offset(a_col);
    }
    let (alpha_v, beta_v) = (V::splat(alpha), V::splat(beta));
    for i in 0..MR {
        for v in 0..NV {
            let p = c.offset(i as isize * c_row).add(v * V::N);
            let n = if v + 1 == NV { tail } else { V::N };
            let mut r = acc[i][v].mul(alpha_v);
            if beta != T::ZERO {
                r = beta_v.fma(V::load_n(p, n), r);
            }
            r.store_n(p, n);
        }
    }
}

/// c[j] = a . b[.., j] with both contiguous along k, four columns at a time.
#[inline(always)]
unsafe fn dots_body<T: Real, V: Lanes<T = T>>(
    n: usize,
    k: usize,
    a: *const T,
    b: *const T,
    b_col: isize,
    c: *mut T,
    c_col: isize,
    alpha: T,
    beta: T,
) {
    let mut j = 0;
    macro_rules! step {
        ($nr:literal) => {
            while n - j >= $nr {
                let b = b.offset(j as isize * b_col);
                let mut acc = [V::zero(); $nr];
                let mut l = 0;
                while l + V::N <= k {
                    let x = V::load(a.add(l));
                    for v in 0..$nr {
                        acc[v] = x.fma(V::load(b.offset(v as isize * b_col).add(l)), acc[v]);
                    }
                    l += V::N;
                }
                if l < k {
                    let x = V::load_n(a.add(l), k - l);
                    for v in 0..$nr {
                        acc[v] = x.fma(V::load_n(b.offset(v as isize * b_col).add(l), k - l), acc[v]);
                    }
                }
                for v in 0..$nr {
                    let p = c.offset((j + v) as isize * c_col);
                    let r = acc[v].sum() * alpha;
                    *p = if beta == T::ZERO { r } else { r + beta * *p };
                }
                j += $nr;
            }
        };
    }
    step!(4);
    step!(1);
}

/// to[k, n] (row-major) = b, whose rows are not contiguous.
#[inline(always)]
unsafe fn transpose_body<T: Real, V: Lanes<T = T>>(
    k: usize,
    n: usize,
    b: *const T,
    b_row: isize,
    b_col: isize,
    to: *mut T,
) {
    // Four source columns at a time, so that a cache line of `to` is written while it is at hand.
    let mut j = 0;
    while j + 4 <= n {
        let b = b.offset(j as isize * b_col);
        for l in 0..k {
            let (from, to) = (b.offset(l as isize * b_row), to.add(l * n + j));
            for v in 0..4 {
                *to.add(v) = *from.offset(v as isize * b_col);
            }
        }
        j += 4;
    }
    while j < n {
        for l in 0..k {
            *to.add(l * n + j) = *b.offset(l as isize * b_row + j as isize * b_col);
        }
        j += 1;
    }
}

/// Half types: blocks are widened to f32, multiplied there and rounded once at the end.
fn run_half<T: FloatElement<C = f32>>(p: Problem<T>, alpha: f32, beta: f32) -> Result<()> {
    let Problem { batch, m, n, k, .. } = p;
    if batch == 0 || m == 0 || n == 0 {
        return Ok(());
    }
    // Column blocks keep the widened piece of b within the second-level cache where k allows.
    let nb = (65_536 / k.max(1)).clamp(64, 512).min(n);
    let mb = BLOCK.min(m);
    let (rows, cols) = (m.div_ceil(mb), n.div_ceil(nb));
    let failed = std::sync::Mutex::new(None);
    let grain = (TASK / 4 / (mb * nb * k + 1)).max(1);
    parallel_for(batch * rows * cols, grain, |r| {
        for t in r {
            let (i, t) = (t / (rows * cols), t % (rows * cols));
            let (r0, c0) = (t / cols * mb, t % cols * nb);
            // SAFETY: blocks are disjoint and lie inside the views.
            let done = unsafe { half_block(&p, i, r0, mb.min(m - r0), c0, nb.min(n - c0), alpha, beta) };
            if let Err(e) = done {
                *failed.lock().unwrap_or_else(|e| e.into_inner()) = Some(e);
                return;
            }
        }
    });
    match failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

unsafe fn half_block<T: FloatElement<C = f32>>(
    p: &Problem<T>,
    i: usize,
    r0: usize,
    rows: usize,
    c0: usize,
    cols: usize,
    alpha: f32,
    beta: f32,
) -> Result<()> {
    let k = p.k;
    let scratch = Scratch::new::<f32>(rows * k + k * cols + rows * cols)?;
    let a = scratch.ptr::<f32>();
    let b = a.add(rows * k);
    let c = b.add(k * cols);
    // Copies follow the memory order of their source.
    let sa = p.a.at(i, r0, 0);
    let sb = p.b.at(i, 0, c0);
    let (a_row, a_col) = widen(sa, rows, k, p.a.row, p.a.col, a);
    let (b_row, b_col) = widen(sb, k, cols, p.b.row, p.b.col, b);
    let read = beta != 0.0;
    if read {
        for r in 0..rows {
            for j in 0..cols {
                *c.add(r * cols + j) = (*p.c.at(i, r0 + r, c0 + j)).widen();
            }
        }
    }
    let sub = Problem {
        batch: 1,
        m: rows,
        n: cols,
        k,
        a: Mat { p: Ptr(a), batch: 0, row: a_row, col: a_col },
        b: Mat { p: Ptr(b), batch: 0, row: b_row, col: b_col },
        c: Mat { p: Ptr(c), batch: 0, row: cols as isize, col: 1 },
    };
    if k == 0 || alpha == 0.0 {
        scale(&sub, beta);
    } else if rows * cols * k <= SMALL {
        small(isa(), &sub, 0, alpha, beta);
    } else {
        block(&sub, 0, 0, rows, 0, cols, alpha, beta);
    }
    for r in 0..rows {
        for j in 0..cols {
            *p.c.at(i, r0 + r, c0 + j) = T::narrow(*c.add(r * cols + j));
        }
    }
    Ok(())
}

/// Copies a rows x cols matrix to f32, in the order in which it lies; returns the copy's strides.
unsafe fn widen<T: FloatElement<C = f32>>(
    from: *const T,
    rows: usize,
    cols: usize,
    row: isize,
    col: isize,
    to: *mut f32,
) -> (isize, isize) {
    let (outer, inner, so, si, swapped) =
        if row < col && rows > 1 { (cols, rows, col, row, true) } else { (rows, cols, row, col, false) };
    for o in 0..outer {
        let (from, to) = (from.offset(o as isize * so), to.add(o * inner));
        if si == 1 || inner == 1 {
            widen_slice(std::slice::from_raw_parts(from, inner), std::slice::from_raw_parts_mut(to, inner));
        } else {
            for i in 0..inner {
                *to.add(i) = (*from.offset(i as isize * si)).widen();
            }
        }
    }
    if swapped {
        (1, inner as isize)
    } else {
        (inner as isize, 1)
    }
}

/// Contiguous widening; f16 uses the machine's conversion instruction.
pub(super) fn widen_slice<T: FloatElement<C = f32>>(from: &[T], to: &mut [f32]) {
    if T::DTYPE == DType::F16 {
        use half::slice::HalfFloatSliceExt;
        bytemuck::cast_slice::<T, half::f16>(from).convert_to_f32_slice(to);
    } else {
        for (t, f) in to.iter_mut().zip(from) {
            *t = f.widen();
        }
    }
}

/// Integer arithmetic that wraps, as PyTorch's integer matmul does.
trait Wrapping: Element + Eq {
    const ZERO: Self;
    fn mul_add(self, b: Self, c: Self) -> Self;
}
macro_rules! wrapping {
    ($($t:ty),*) => {$(
        impl Wrapping for $t {
            const ZERO: Self = 0;
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                self.wrapping_mul(b).wrapping_add(c)
            }
        })*};
}
wrapping!(u8, i8, i16, i32, i64);

fn run_int<T: Wrapping>(p: Problem<T>, alpha: T, beta: T) {
    let Problem { batch, m, n, k, .. } = p;
    let grain = (TASK / 4 / (n * k + 1)).max(1);
    parallel_for(batch * m, grain, |r| {
        for t in r {
            let (i, row) = (t / m, t % m);
            for c0 in (0..n).step_by(256) {
                let cols = 256.min(n - c0);
                let mut acc = [T::ZERO; 256];
                for l in 0..k {
                    // SAFETY: inside the views of a and b.
                    unsafe {
                        let x = *p.a.at(i, row, l);
                        let b = p.b.at(i, l, c0);
                        if p.b.col == 1 {
                            for (j, s) in acc[..cols].iter_mut().enumerate() {
                                *s = x.mul_add(*b.add(j), *s);
                            }
                        } else {
                            for (j, s) in acc[..cols].iter_mut().enumerate() {
                                *s = x.mul_add(*b.offset(j as isize * p.b.col), *s);
                            }
                        }
                    }
                }
                for (j, s) in acc[..cols].iter().enumerate() {
                    // SAFETY: inside `out`'s view; each row is written by one task.
                    unsafe {
                        let x = p.c.at(i, row, c0 + j);
                        let r = alpha.mul_add(*s, T::ZERO);
                        *x = if beta == T::ZERO { r } else { beta.mul_add(*x, r) };
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::lanes::isas;
    use super::super::parallel::set_num_threads;
    use super::super::testing::{assert_close, Host, Lcg};
    use super::*;

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
        gemm(a.view(), b.view(), c.view(), alpha, beta).unwrap();
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

    #[test]
    fn all_layouts_and_dtypes() {
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
        check(DType::F32, (1, 1030, 20, 700), (0, 0, 0), 0, 1.0, 0.0);
        check(DType::F16, (1, 300, 530, 90), (1, 0, 0), 0, 1.0, 0.0);
    }

    #[test]
    fn every_instruction_set() {
        fn run<T: Real>() {
            for isa in isas() {
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
    }

    #[test]
    fn broadcast_batch_and_threads() {
        let mut r = Lcg(5);
        let a = Host::strided(DType::F32, &[6, 40, 90], &[0, 90, 1], 0, || r.eighth() + 0.01);
        let b = Host::new(DType::F32, &[6, 90, 300], || r.eighth() * 0.7);
        let mut results = vec![];
        for threads in [1, 2, 5] {
            set_num_threads(threads);
            let c = Host::new(DType::F32, &[6, 40, 300], || f64::NAN);
            gemm(a.view(), b.view(), c.view(), 1.0, 0.0).unwrap();
            results.push(c.to_vec());
        }
        assert_close(&results[0], &naive(&a, &b, &Host::zeros(DType::F32, &[6, 40, 300]), 1.0, 0.0), 1e-4, "bmm");
        assert!(results.iter().all(|x| *x == results[0]), "results depend on the number of threads");
    }

    #[test]
    fn bool_and_mixed_dtypes_are_errors() {
        let a = Host::zeros(DType::Bool, &[1, 2, 2]);
        let e = gemm(a.view(), a.view(), a.view(), 1.0, 0.0).unwrap_err();
        assert!(e.message.contains("\"gemm\" not implemented for bool"), "{}", e.message);
        let f = Host::zeros(DType::F32, &[1, 2, 2]);
        assert!(gemm(f.view(), a.view(), f.view(), 1.0, 0.0).unwrap_err().message.contains("one dtype"));
    }
}
