//! Matrix products of half types, which are carried out in f32.

use super::mat::Part;
use super::problem::{Problem, BLOCK, TASK};
use super::real::matmul_serial;
use crate::backend::cpu::lanes::FloatElement;
use crate::backend::cpu::scratch::Scratch;
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::base::dtype::DType;
use crate::base::error::Result;

/// Whether products of T have an instruction of their own: then nothing is widened.
fn direct<T: FloatElement>() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        T::DTYPE == DType::BF16 && super::bf16::is_there()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Half types: blocks are widened to f32, multiplied there and rounded once at the end.
pub(super) fn run_half<T: FloatElement<C = f32>>(p: Problem<T>, alpha: f32, beta: f32) -> Result<()> {
    let Problem { batch, m, n, k, .. } = p;
    if batch == 0 || m == 0 || n == 0 {
        return Ok(());
    }
    // Column blocks keep the widened piece of b within the second-level cache where k allows.
    let nb = if direct::<T>() { 512 } else { (131_072 / k.max(1)).clamp(128, 512) }.min(n);
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
    let direct = direct::<T>();
    let a_copy = if direct { 0 } else { rows * k + GAP * rows.max(k) };
    let b_copy = if direct { 0 } else { k * cols + GAP * k.max(cols) };
    let scratch = Scratch::new::<f32>(rows * cols + a_copy + b_copy)?;
    let c = scratch.ptr::<f32>();
    let part_a = Part { p: p.a.at(i, r0, 0), row: p.a.row, col: p.a.col };
    let part_b = Part { p: p.b.at(i, 0, c0), row: p.b.row, col: p.b.col };
    if beta != 0.0 {
        for r in 0..rows {
            for j in 0..cols {
                *c.add(r * cols + j) = (*p.c.at(i, r0 + r, c0 + j)).widen();
            }
        }
    }
    if direct {
        #[cfg(target_arch = "x86_64")]
        super::bf16::product((rows, cols, k), part_a.cast(), part_b.cast(), c, alpha, beta)?;
    } else {
        let a = c.add(rows * cols);
        let b = a.add(a_copy);
        // Copies follow the memory order of their source.
        let (a_row, a_col) = widen(part_a.p, rows, k, part_a.row, part_a.col, a);
        let (b_row, b_col) = widen(part_b.p, k, cols, part_b.row, part_b.col, b);
        matmul_serial(rows, cols, k, a, a_row, a_col, b, b_row, b_col, c, cols as isize, 1, alpha, beta);
    }
    for r in 0..rows {
        if !p.finish.is_none() {
            p.finish.row(c.add(r * cols), i, r0 + r, c0, cols);
        }
        let (from, to) = (c.add(r * cols), p.c.at(i, r0 + r, c0));
        if p.c.col == 1 {
            narrow_slice(std::slice::from_raw_parts(from, cols), std::slice::from_raw_parts_mut(to, cols));
        } else {
            for j in 0..cols {
                *to.offset(j as isize * p.c.col) = T::narrow(*from.add(j));
            }
        }
    }
    Ok(())
}

/// Elements between the rows of a widened copy, so that they do not share cache sets.
const GAP: usize = 16;

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
        let (from, to) = (from.offset(o as isize * so), to.add(o * (inner + GAP)));
        if si == 1 || inner == 1 {
            widen_slice(std::slice::from_raw_parts(from, inner), std::slice::from_raw_parts_mut(to, inner));
        } else {
            for i in 0..inner {
                *to.add(i) = (*from.offset(i as isize * si)).widen();
            }
        }
    }
    let pitch = (inner + GAP) as isize;
    if swapped {
        (1, pitch)
    } else {
        (pitch, 1)
    }
}

/// Contiguous narrowing, as `FloatElement::narrow` rounds.
fn narrow_slice<T: FloatElement<C = f32>>(from: &[f32], to: &mut [T]) {
    if T::DTYPE == DType::F16 {
        use half::slice::HalfFloatSliceExt;
        bytemuck::cast_slice_mut::<T, half::f16>(to).convert_from_f32_slice(from);
    } else {
        for (t, f) in bytemuck::cast_slice_mut::<T, u16>(to).iter_mut().zip(from) {
            let bits = f.to_bits();
            // To the nearest, ties to even; NaN stays one.
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
            *t = if f.is_nan() { bits >> 16 | 0x40 } else { rounded } as u16;
        }
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
