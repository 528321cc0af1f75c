//! Products of f32 and f64: blocks by panels, small ones by the register tiles, what neither fits by the `gemm` crate.

use super::finish::Finish;
use super::instances::{product, Strided};
use super::mat::Mat;
use super::panels;
use super::problem::{Problem, BLOCK, TASK};
use super::small::{dots, tiles, transpose_into};
use crate::backend::cpu::lanes::{FloatElement, Real};
use crate::backend::cpu::level::{level, Level};
use crate::backend::cpu::scratch::{Ptr, Scratch};
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::backend::cpu::transpose::transpose;
use crate::backend::memory::reserve::{fallibly, packing};
use dyn_stack::{MemBuffer, StackReq};
use gemm_common::gemm::L2_SLAB;
use std::cell::Cell;

/// Products up to this many multiplications are worth our own tile rather than the crate's setup.
const SMALL: usize = 40 * 40 * 40;
/// Elements of the on-stack copy of a small operand whose columns are not contiguous.
const PACK: usize = 40 * 48;

pub(super) fn run_real<T: Real + FloatElement<C = T>>(p: Problem<T>, alpha: T, beta: T) {
    let Problem { batch, m, n, k, .. } = p;
    if batch == 0 || m == 0 || n == 0 {
        return;
    }
    if k == 0 || alpha == T::ZERO {
        scale(&p, beta);
        // SAFETY: the views cover the problem.
        return (0..batch).for_each(|i| unsafe { p.finish.block(&p.c, i, 0, m, 0, n) });
    }
    let work = m * n * k;
    let set = level();
    if work <= SMALL {
        let one = |i: usize| {
            // SAFETY: the views cover the problem; each batch entry writes its own part of `c`.
            unsafe {
                small(set, &p, i, alpha, beta);
                p.finish.block(&p.c, i, 0, m, 0, n);
            }
        };
        if batch == 1 {
            return one(0);
        }
        let grain = (TASK / 4 / (work + 64)).max(1);
        return parallel_for(batch, grain, |r| r.for_each(one));
    }
    // Kept until the product is done.
    let mut copy = None;
    let along = m <= panels::FEW && p.c.col == 1 && p.b.col == 1;
    if m == 1 && n == 1 && p.a.col == 1 && p.b.row == 1 {
        for i in 0..batch {
            // SAFETY: the views cover the problem.
            unsafe {
                let c = p.c.at(i, 0, 0);
                let r = panels::dot(set, k, p.a.at(i, 0, 0), p.b.at(i, 0, 0)) * alpha;
                *c = if beta == T::ZERO { r } else { r + beta * *c };
                p.finish.block(&p.c, i, 0, 1, 0, 1);
            }
        }
        return;
    }
    let p = if by_panels(set, &p) { p } else { rows_of_b(p, &mut copy, true) };
    let (mb, nb) = block_grid(m, n, k);
    let (rows, cols) = (m.div_ceil(mb), n.div_ceil(nb));
    let grain = (TASK / (mb * nb * k)).max(1);
    parallel_for(batch * rows * cols, grain, |r| {
        for t in r {
            let (i, t) = (t / (rows * cols), t % (rows * cols));
            let (r0, c0) = (t / cols * mb, t % cols * nb);
            let (rows, cols) = (mb.min(m - r0), nb.min(n - c0));
            // SAFETY: blocks are disjoint and lie inside the views.
            unsafe {
                if along {
                    let (a, b) = (p.a.at(i, r0, 0) as *const T, p.b.at(i, 0, c0) as *const T);
                    let (c, c_row) = (p.c.at(i, r0, c0), p.c.row);
                    panels::along(set, rows, cols, k, a, p.a.row, p.a.col, b, p.b.row, c, c_row, alpha, beta);
                } else {
                    block(&p, i, r0, rows, c0, cols, alpha, beta);
                }
                p.finish.block(&p.c, i, r0, rows, c0, cols);
            }
        }
    });
}

/// Rows of the result from which panels beat the gemm crate.
const PANEL_ROWS: usize = 8;

/// Whether blocks of the result are made by panels. Without vector instructions of its own the crate is as good in large ones.
fn by_panels<T>(set: Level, p: &Problem<T>) -> bool {
    let most = if set == Level::Base { panels::ROWS } else { usize::MAX };
    (PANEL_ROWS..=most).contains(&p.m) && p.c.col == 1
}

/// Rows of the result from which a transposed copy of b is paid back, and from which it is where the columns of b
/// lie so that they share cache sets.
const COPY_ROWS: usize = 96;
const COPY_ROWS_ALIASED: usize = 32;
/// Elements of the largest such copy.
const COPY_MAX: usize = 64 << 20;

/// The problem with the rows of b contiguous, copied to `copy` where its columns are: the gemm crate would gather
/// them element by element, and again for every block of rows.
fn rows_of_b<T: Real>(p: Problem<T>, copy: &mut Option<Scratch>, threads: bool) -> Problem<T> {
    let Problem { batch, m, n, k, b, .. } = p;
    let aliased = (b.col as usize * std::mem::size_of::<T>()).is_multiple_of(2048);
    let rows = if aliased { COPY_ROWS_ALIASED } else { COPY_ROWS };
    if b.col == 1 || b.row != 1 || m < rows || n < 2 || batch * n * k > COPY_MAX {
        return p;
    }
    let Ok(scratch) = Scratch::new::<T>(batch * n * k) else { return p };
    let to = Mat { p: Ptr(scratch.ptr::<T>()), batch: (n * k) as isize, row: n as isize, col: 1 };
    *copy = Some(scratch);
    let size = std::mem::size_of::<T>();
    let bands = k.div_ceil(COPY_BAND);
    let band = |t: usize| {
        let (i, k0) = (t / bands, t % bands * COPY_BAND);
        let rows = COPY_BAND.min(k - k0);
        // SAFETY: bands of rows lie inside b and its copy.
        unsafe {
            let (to, from) = (to.at(i, k0, 0).cast(), b.at(i, k0, 0) as *const T);
            transpose(size, rows, n, to, (n * size) as isize, from.cast(), b.col * size as isize);
        }
    };
    if threads {
        parallel_for(batch * bands, (TASK / 8 / (COPY_BAND * n)).max(1), |r| r.for_each(band));
    } else {
        (0..bands).for_each(band);
    }
    Problem { b: to, ..p }
}
/// Rows of the copy that are made together: the elements of a cache line of b.
const COPY_BAND: usize = 16;

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

/// Columns that the gemm crate packs together: with at most 1024 of k and 16 register tiles of rows at a time (its
/// `kernel_params`) that is 1024 * (1024 + 768) elements, within `reserve::PACKING` together with its buffer of the
/// second-level cache's size.
const PACKED_COLUMNS: usize = 1024;

/// One block of the result, on this thread.
unsafe fn block<T: Real>(p: &Problem<T>, i: usize, r0: usize, rows: usize, c0: usize, cols: usize, alpha: T, beta: T) {
    let set = level();
    let (mut r0, mut rows) = (r0, rows);
    // Even stretches of rows; where there is no memory for a panel the crate makes what is left.
    while by_panels(set, p) && rows > 0 {
        let some = rows.div_ceil(rows.div_ceil(panels::ROWS));
        let (a, b, c) = (p.a.at(i, r0, 0) as *const T, p.b.at(i, 0, c0) as *const T, p.c.at(i, r0, c0));
        let (by_a, by_b) = ((p.a.row, p.a.col), (p.b.row, p.b.col));
        if !panels::product(set, (some, cols, p.k), (a, by_a), (b, by_b), (c, p.c.row), alpha, beta) {
            break;
        }
        (r0, rows) = (r0 + some, rows - some);
    }
    if rows == 0 {
        return;
    }
    with_packing(|| {
        for c in (c0..c0 + cols).step_by(PACKED_COLUMNS) {
            let cols = PACKED_COLUMNS.min(c0 + cols - c);
            let (at, a, b) = (p.c.at(i, r0, c), p.a.at(i, r0, 0), p.b.at(i, 0, c));
            product(
                (rows, cols, p.k),
                Strided { at, col: p.c.col, row: p.c.row },
                Strided { at: a, col: p.a.col, row: p.a.row },
                Strided { at: b, col: p.b.col, row: p.b.row },
                alpha,
                beta,
            )
        }
    })
}

thread_local! {
    /// Whether this thread has the gemm crate's buffer, of the size of the second-level cache.
    static HAS_SLAB: Cell<bool> = const { Cell::new(false) };
}

/// Runs a product of the gemm crate. It allocates and ends the process where that fails: its packed operands come from
/// the reserve then, and the buffer that it keeps for each thread is made here.
#[inline]
fn with_packing(f: impl FnOnce()) {
    if HAS_SLAB.with(Cell::get) || make_slab() {
        return packing(f);
    }
    packing(|| {
        // For this product alone, in the reserve.
        L2_SLAB.set(MemBuffer::new(slab_size()));
        f();
        L2_SLAB.set(MemBuffer::new(StackReq::EMPTY));
    })
}
fn slab_size() -> StackReq {
    StackReq::new_aligned::<u8>(gemm_common::cache::CACHE_INFO[1].cache_bytes, gemm_common::gemm::CACHELINE_ALIGN)
}
#[cold]
fn make_slab() -> bool {
    match fallibly(|| MemBuffer::try_new(slab_size())) {
        Ok(b) => {
            L2_SLAB.set(b);
            HAS_SLAB.with(|h| h.set(true));
            true
        }
        Err(_) => false,
    }
}

/// c[m, n] = beta * c + alpha * a[m, k] @ b[k, n] on this thread; strides are (row, column).
pub unsafe fn matmul_serial<T: Real>(
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
    let finish = Finish::NONE;
    let p = if n == 1 && m > 1 {
        Problem { batch: 1, m: n, n: m, k, a: b.transposed(), b: a.transposed(), c: c.transposed(), finish }
    } else {
        Problem { batch: 1, m, n, k, a, b, c, finish }
    };
    let (m, n) = (p.m, p.n);
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 || alpha == T::ZERO {
        scale(&p, beta);
    } else if m * n * k <= SMALL {
        small(level(), &p, 0, alpha, beta);
    } else {
        let mut copy = None;
        let p = if by_panels(level(), &p) { p } else { rows_of_b(p, &mut copy, false) };
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
unsafe fn small<T: Real>(set: Level, p: &Problem<T>, i: usize, alpha: T, beta: T) {
    let (m, n, k) = (p.m, p.n, p.k);
    let (a, b, c) = (p.a.at(i, 0, 0), p.b.at(i, 0, 0), p.c.at(i, 0, 0));
    let (a, b) = (a as *const T, b as *const T);
    if m == 1 && p.b.row == 1 && p.a.col == 1 && (n == 1 || p.b.col != 1) {
        dots(set, n, k, a, b, p.b.col, c, p.c.col, alpha, beta);
    } else if n == 1 || (p.b.col == 1 && p.c.col == 1) {
        tiles(set, m, n, k, a, p.a.row, p.a.col, b, p.b.row, c, p.c.row, alpha, beta);
    } else if p.c.col == 1 && k * n.next_multiple_of(4) <= PACK {
        // Columns of b are not contiguous: copy it once, on the stack.
        let mut buf = [std::mem::MaybeUninit::<T>::uninit(); PACK];
        let bp = buf.as_mut_ptr() as *mut T;
        transpose_into(set, k, n, b, p.b.row, p.b.col, bp);
        tiles(set, m, n, k, a, p.a.row, p.a.col, bp as *const T, n as isize, c, p.c.row, alpha, beta);
    } else {
        block(p, i, 0, m, 0, n, alpha, beta)
    }
}

/// A matrix that a factorisation works on: first element, strides of rows and columns.
pub type Part<T> = (*mut T, isize, isize);

/// c = beta * c + alpha * a @ b for [m, k] @ [k, n], on several threads where that is worth it.
///
/// # Safety
/// The parts lie in memory that nobody else uses meanwhile, and c overlaps neither a nor b.
pub unsafe fn update_strided<T: Real + FloatElement<C = T>>(
    (m, n, k): (usize, usize, usize),
    a: Part<T>,
    b: Part<T>,
    c: Part<T>,
    alpha: T,
    beta: T,
) {
    let mat = |(p, row, col): Part<T>| Mat { p: Ptr(p), batch: 0, row, col };
    let (a, b, c) = (mat(a), mat(b), mat(c));
    let finish = Finish::NONE;
    // Rows of the result are the contiguous ones.
    run_real(
        if c.row == 1 {
            Problem { batch: 1, m: n, n: m, k, a: b.transposed(), b: a.transposed(), c: c.transposed(), finish }
        } else {
            Problem { batch: 1, m, n, k, a, b, c, finish }
        },
        alpha,
        beta,
    );
}
