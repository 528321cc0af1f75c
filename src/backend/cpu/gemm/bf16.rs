//! Products of bfloat16 by the instruction that adds two of them to a float32 (AVX512-BF16), where the machine has it: twice
//! the multiplications of float32, and nothing is widened in memory. Numbers below the smallest normal one count as zero, as
//! they do for PyTorch on such a machine.

use super::mat::Part;
use crate::backend::cpu::level::{level, Level};
use crate::backend::cpu::scratch::Scratch;
use crate::backend::cpu::transpose::transpose;
use crate::base::error::Result;
use half::bf16;
use std::arch::x86_64::*;

/// Pairs of rows of b that are packed at once, and vectors of such a row.
const PAIRS: usize = 256;
const NV: usize = 2;
const WIDTH: usize = 16 * NV;
/// Rows of a that stand side by side.
const ROWS: usize = 8;

/// Whether kernels may use it.
pub(super) fn is_there() -> bool {
    level() == Level::Avx512 && is_x86_feature_detected!("avx512bf16")
}

/// c = beta * c + alpha * a @ b, c having rows of `n` elements.
///
/// # Safety
/// `is_there`; the matrices of m x k, k x n and m x n elements are valid, and nobody else touches c.
pub(super) unsafe fn product(
    (m, n, k): (usize, usize, usize),
    a: Part<bf16>,
    b: Part<bf16>,
    c: *mut f32,
    alpha: f32,
    beta: f32,
) -> Result<()> {
    let pairs = PAIRS.min(k.div_ceil(2));
    let scratch = Scratch::new::<u32>(pairs * (m.next_multiple_of(ROWS) + WIDTH))?;
    let panel = scratch.ptr::<u32>();
    // SAFETY: the caller's; the scratch holds a panel of b and, for its depth, all of a.
    unsafe { run((m, n, k), a, b, c, (alpha, beta), panel, panel.add(pairs * WIDTH)) };
    Ok(())
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
unsafe fn run(
    (m, n, k): (usize, usize, usize),
    a: Part<bf16>,
    b: Part<bf16>,
    c: *mut f32,
    by: (f32, f32),
    panel: *mut u32,
    rows: *mut u32,
) {
    // SAFETY: the caller's; a missing second of a pair is zero on both sides.
    unsafe {
        if k == 0 {
            for i in 0..m * n {
                *c.add(i) = if by.1 == 0.0 { 0.0 } else { by.1 * *c.add(i) };
            }
        }
        for k0 in (0..k).step_by(2 * PAIRS) {
            let depth = (2 * PAIRS).min(k - k0);
            let pairs = depth.div_ceil(2);
            pack_rows(m, depth, a.at(0, k0), a.row, a.col, rows);
            for j in (0..n).step_by(WIDTH) {
                let cols = WIDTH.min(n - j);
                pack_panel(depth, cols, b.at(k0, j), b.row, b.col, panel);
                let mut i = 0;
                macro_rules! step {
                    ($rows:literal) => {
                        while m - i >= $rows {
                            // Rows from a multiple of ROWS on stand side by side.
                            let a = rows.add(i / ROWS * ROWS * pairs + i % ROWS) as *const u32;
                            tile::<$rows>(pairs, a, panel, c.add(i * n + j), n, cols, by, k0 == 0);
                            i += $rows;
                        }
                    };
                }
                step!(8);
                step!(4);
                step!(2);
                step!(1);
            }
        }
    }
}

/// Two numbers of a row of a, or a column of b, as one of 32 bits.
#[inline(always)]
fn pair(low: bf16, high: bf16) -> u32 {
    low.to_bits() as u32 | (high.to_bits() as u32) << 16
}

/// Pairs of `m` rows, eight rows side by side.
#[inline(always)]
unsafe fn pack_rows(m: usize, depth: usize, from: *const bf16, row: isize, col: isize, to: *mut u32) {
    let pairs = depth.div_ceil(2);
    // Eight whole rows whose pairs are neighbours are a transposed matrix of pairs.
    let whole = if col == 1 { m / ROWS * ROWS } else { 0 };
    for i in (0..whole).step_by(ROWS) {
        let from = from.offset(i as isize * row);
        transpose(4, depth / 2, ROWS, to.add(i * pairs).cast(), 4 * ROWS as isize, from.cast(), 2 * row);
        if depth % 2 == 1 {
            for r in 0..ROWS {
                let last = *from.offset(r as isize * row).add(depth - 1);
                *to.add(i * pairs + (pairs - 1) * ROWS + r) = pair(last, bf16::ZERO);
            }
        }
    }
    for i in whole..m {
        let from = from.offset(i as isize * row);
        let to = to.add(i / ROWS * ROWS * pairs + i % ROWS);
        for p in 0..depth / 2 {
            let at = from.offset(2 * p as isize * col);
            *to.add(p * ROWS) = if col == 1 { at.cast::<u32>().read_unaligned() } else { pair(*at, *at.offset(col)) };
        }
        if depth % 2 == 1 {
            *to.add((pairs - 1) * ROWS) = pair(*from.offset((depth - 1) as isize * col), bf16::ZERO);
        }
    }
}

/// Pairs of `cols` columns side by side, zeros after them.
#[inline(always)]
unsafe fn pack_panel(depth: usize, cols: usize, from: *const bf16, row: isize, col: isize, to: *mut u32) {
    let whole = depth / 2;
    if row == 1 && col != 1 {
        transpose(4, whole, cols, to.cast(), 4 * WIDTH as isize, from.cast(), 2 * col);
    } else if col == 1 && cols == WIDTH {
        for p in 0..whole {
            let low = from.offset(2 * p as isize * row).cast::<[u16; WIDTH]>().read_unaligned();
            let high = from.offset((2 * p + 1) as isize * row).cast::<[u16; WIDTH]>().read_unaligned();
            let mut out = [0u32; WIDTH];
            for j in 0..WIDTH {
                out[j] = low[j] as u32 | (high[j] as u32) << 16;
            }
            to.add(p * WIDTH).cast::<[u32; WIDTH]>().write_unaligned(out);
        }
    } else {
        for p in 0..whole {
            for j in 0..cols {
                let at = from.offset(2 * p as isize * row + j as isize * col);
                *to.add(p * WIDTH + j) = pair(*at, *at.offset(row));
            }
        }
    }
    if depth % 2 == 1 {
        for j in 0..cols {
            let at = from.offset((depth - 1) as isize * row + j as isize * col);
            *to.add(whole * WIDTH + j) = pair(*at, bf16::ZERO);
        }
    }
    for p in 0..if cols < WIDTH { depth.div_ceil(2) } else { 0 } {
        for j in cols..WIDTH {
            *to.add(p * WIDTH + j) = 0;
        }
    }
}

/// R rows of the result by a panel's columns.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
unsafe fn tile<const R: usize>(
    pairs: usize,
    a: *const u32,
    panel: *const u32,
    c: *mut f32,
    c_row: usize,
    cols: usize,
    (alpha, beta): (f32, f32),
    first: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        let wide = |v: __m512i| std::mem::transmute::<__m512i, __m512bh>(v);
        let mut sums = [[_mm512_setzero_ps(); NV]; R];
        for p in 0..pairs {
            let mut b = [wide(_mm512_setzero_si512()); NV];
            for v in 0..NV {
                b[v] = wide(_mm512_loadu_si512(panel.add(p * WIDTH + 16 * v).cast()));
            }
            for i in 0..R {
                let x = wide(_mm512_set1_epi32(*a.add(p * ROWS + i) as i32));
                for v in 0..NV {
                    sums[i][v] = _mm512_dpbf16_ps(sums[i][v], x, b[v]);
                }
            }
        }
        let (alpha, beta) = (_mm512_set1_ps(alpha), if first { beta } else { 1.0 });
        for i in 0..R {
            for v in 0..NV {
                let mask = ((1u32 << cols.saturating_sub(16 * v).min(16)) - 1) as __mmask16;
                let to = c.wrapping_add(i * c_row + 16 * v);
                let mut r = _mm512_mul_ps(sums[i][v], alpha);
                if beta != 0.0 {
                    r = _mm512_fmadd_ps(_mm512_set1_ps(beta), _mm512_maskz_loadu_ps(mask, to), r);
                }
                _mm512_mask_storeu_ps(to, mask, r);
            }
        }
    }
}
