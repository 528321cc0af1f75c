//! Matrix products of half types, which are carried out in f32, and of integers.

use super::problem::{Problem, BLOCK, TASK};
use super::real::matmul_serial;
use crate::backend::cpu::lanes::FloatElement;
use crate::backend::cpu::scratch::Scratch;
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::base::dtype::{DType, Element};
use crate::base::error::Result;

/// Half types: blocks are widened to f32, multiplied there and rounded once at the end.
pub(super) fn run_half<T: FloatElement<C = f32>>(p: Problem<T>, alpha: f32, beta: f32) -> Result<()> {
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
    let c_row = cols as isize;
    matmul_serial(rows, cols, k, a, a_row, a_col, b, b_row, b_col, c, c_row, 1, alpha, beta);
    for r in 0..rows {
        if !p.finish.is_none() {
            p.finish.row(c.add(r * cols), i, r0 + r, c0, cols);
        }
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
pub(super) trait Wrapping: Element + Eq {
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

pub(super) fn run_int<T: Wrapping>(p: Problem<T>, alpha: T, beta: T) {
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
