//! Where the extreme is.

use super::job::*;
use super::kernels::*;
use crate::backend::cpu::alloc::Block;
use crate::backend::cpu::elementwise::grain;
use crate::backend::cpu::elementwise::interp::*;
use crate::backend::cpu::geometry::{Rows, Space};
use crate::backend::cpu::simd::convert::convert;
use crate::base::dtype::DType;
use crate::base::error::Result;
use smallvec::SmallVec;

/// Positions of extremes. `gone` holds the reduced dimensions, which are in row-major order where there are several.
pub(super) fn arg_extreme(job: &Job, space: &Space, kept: &[usize], gone: &[usize], max: bool) -> Result<()> {
    let size = job.dtype.size();
    if gone.is_empty() || gone[0] == 0 {
        // Block by block: the block's extreme, then its place.
        let inner = space.select(gone);
        let outer = space.select(kept);
        let blocks = Blocks::new(&inner);
        let outputs = outer.numel();
        let parts = blocks.count.div_ceil(SEGMENT);
        let partials = Partials::new(outputs * parts * 16)?;
        let work = inner.numel().div_ceil(parts);
        job.parallel(outputs * parts, grain(job.cost * 2) / work, |range| {
            let mut reader = Reader::new(&job.source, &inner, &blocks)?;
            for unit in range {
                let shift = outer_offsets(&outer, unit / parts);
                let first = unit % parts * SEGMENT;
                let (mut best, mut at, mut seen) = ([0u8; 8], 0i64, first * blocks.elements());
                if blocks.block_rows == 1 {
                    seen = first / blocks.parts * blocks.row_len + first % blocks.parts * blocks.block_len;
                }
                let mut started = false;
                blocks.for_each(&inner, first..(first + SEGMENT).min(blocks.count), |rows, col, count, len| {
                    let n = count * len;
                    let values = reader.block(&shift, rows, col, count, len);
                    let mut one = [0u8; 8];
                    // SAFETY: n dense values.
                    unsafe {
                        (job.rows)(1, n, one.as_mut_ptr(), values);
                        if !started || extreme_beats(job.dtype, max, one.as_ptr(), best.as_ptr()) {
                            best = one;
                            at = (seen + find(job.dtype, n, values, one.as_ptr())) as i64;
                            started = true;
                        }
                    }
                    seen += n;
                });
                // SAFETY: one of outputs * parts pairs.
                unsafe {
                    std::ptr::copy_nonoverlapping(best.as_ptr(), partials.at(unit * 16), 8);
                    partials.at(unit * 16 + 8).cast::<i64>().write_unaligned(at);
                }
            }
            Ok(reader.zero_division)
        });
        for i in 0..outputs {
            let mut top = partials.at(i * parts * 16);
            for p in 1..parts {
                let other = partials.at((i * parts + p) * 16);
                // SAFETY: pairs written above.
                if unsafe { extreme_beats(job.dtype, max, other, top) } {
                    top = other;
                }
            }
            // SAFETY: as above; an element of the output.
            unsafe {
                let at = top.add(8).cast::<i64>().read_unaligned();
                job.store_one(DType::I64, at.to_ne_bytes(), job.source.base[0].offset(outer_offsets(&outer, i)[0]));
            }
        }
        return Ok(());
    }
    // The innermost dimension is kept: running extremes side by side.
    let mut inside: SmallVec<[usize; 6]> = SmallVec::from_slice(&[0]);
    inside.extend(gone.iter().copied());
    let inner = space.select(&inside);
    let outer = space.select(&kept[1..]);
    let row_len = inner.shape[0];
    let parts = row_len.div_ceil(BLOCK);
    let len = row_len.div_ceil(parts);
    let blocks = Blocks {
        rows: inner.numel() / row_len,
        row_len,
        block_rows: 1,
        block_len: len,
        parts,
        count: inner.numel() / row_len * parts,
    };
    job.parallel(outer.numel() * parts, grain(job.cost * 2) / (blocks.rows * len), |range| {
        let mut reader = Reader::new(&job.source, &inner, &blocks)?;
        let state = Block::new(len * 24)?;
        let best = state.ptr().as_ptr();
        let (at, stored) = (best.wrapping_add(len * 8).cast::<i64>(), best.wrapping_add(len * 16));
        for unit in range {
            let (o, tile) = (unit / parts, unit % parts);
            let shift = outer_offsets(&outer, o);
            let col = tile * len;
            let cols = len.min(row_len - col);
            let mut rows = Rows::at(&inner, 0);
            for r in 0..blocks.rows {
                let values = reader.block(&shift, &rows, col, 1, cols);
                // SAFETY: cols elements of values, and room for as many in the state.
                unsafe {
                    if r == 0 {
                        std::ptr::copy_nonoverlapping(values, best, cols * size);
                        at.write_bytes(0, cols);
                    } else {
                        update_extremes(job.dtype, max, cols, best, at, values, r as i64);
                    }
                }
                rows.advance();
            }
            // SAFETY: cols elements.
            unsafe {
                let p = at.cast::<u8>();
                convert(DType::I64, job.out_dtype)(cols, stored, p, p, p);
                let rows = Rows::at(&inner, 0);
                scatter(
                    stored,
                    job.source.base[0].offset(shift[0]),
                    &inner,
                    0,
                    job.out_dtype.size(),
                    &rows,
                    col,
                    1,
                    cols,
                );
            }
        }
        Ok(reader.zero_division)
    });
    Ok(())
}
