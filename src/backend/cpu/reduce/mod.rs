//! Reductions over any dimensions of any layout, with an elementwise program in front.
//!
//! Values come block by block from the interpreter. Where the innermost dimension is reduced, each block becomes one
//! element; where it is kept, blocks are added up side by side. Sums of floats are carried on in f64 from block to
//! block. How the work is cut depends on the shape alone, never on the number of threads.

mod arg;
mod job;
mod kernels;

use self::arg::arg_extreme;
use self::job::*;
use self::kernels::*;
use crate::backend::cpu::alloc::Block;
use crate::backend::cpu::elementwise::grain;
use crate::backend::cpu::elementwise::interp::*;
use crate::backend::cpu::geometry::{Rows, Space};
use crate::backend::cpu::simd::convert::convert;
use crate::backend::cpu::simd::{self, Kernel};
use crate::backend::cpu::transpose::transpose;
use crate::backend::program::{Opcode, Program};
use crate::backend::{ReduceOp, View};
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use crate::base::scalar::Scalar;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::atomic::AtomicBool;
use std::sync::Mutex;

/// Rows longer than this are not handled several at a time.
const SHORT_ROW: usize = 512;

/// The longest rows that are folded side by side.
const SHORTEST_ROW: usize = 24;

pub fn reduce(
    op: ReduceOp,
    prologue: Option<&Program>,
    inputs: &[View],
    scalars: &[Scalar],
    reduced: &[bool],
    out: View,
) -> Result<()> {
    let Some(first) = inputs.first() else { bail!(Internal, "a reduction without inputs") };
    let shape = &first.layout.shape;
    ensure!(
        reduced.len() == shape.len() && out.layout.ndim() == shape.len(),
        Internal,
        "reduce of {:?} over {reduced:?} into {:?}",
        shape,
        out.layout.shape
    );
    for v in inputs {
        ensure!(v.layout.shape == *shape, Internal, "operands of shapes {:?} and {shape:?}", v.layout.shape);
    }
    for (d, r) in reduced.iter().enumerate() {
        ensure!(out.layout.shape[d] == if *r { 1 } else { shape[d] }, Internal, "reduce into {:?}", out.layout.shape);
    }
    if out.layout.numel() == 0 {
        return Ok(());
    }
    let value_dtype = match prologue {
        Some(p) => {
            ensure!(p.outputs.len() == 1, Internal, "a prologue with {} outputs", p.outputs.len());
            p.reg_dtype(p.outputs[0].0)
        }
        None => first.dtype,
    };
    let (before, fold, dtype) = plan(op, value_dtype);
    let unknown = || Error::unsupported(&format!("reduce {op:?}"), value_dtype, "cpu");
    let rows = fold.rows(dtype).ok_or_else(unknown)?;
    let carry = if fold == Fold::Sum && dtype == DType::F32 { DType::F64 } else { dtype };

    // Operand 0 is the output, repeated over the reduced dimensions.
    let out_strides: SmallVec<[i64; 6]> =
        out.layout.strides.iter().zip(reduced).map(|(s, r)| if *r { 0 } else { *s }).collect();
    let arg = matches!(op, ReduceOp::ArgMax | ReduceOp::ArgMin);
    if first.layout.numel() == 0 {
        return empty(fold, dtype, arg, &out);
    }
    let base_out = data(&out)?;
    if let (None, None, true) = (prologue, before, op != ReduceOp::NanSum && !arg && value_dtype == dtype) {
        // A short run to one element.
        let n = first.layout.numel();
        if n <= BLOCK && out.layout.numel() == 1 && first.layout.is_contiguous() {
            let mut bits = [0; 8];
            // SAFETY: n dense elements; one element of the output.
            unsafe {
                rows(1, n, bits.as_mut_ptr(), data(first)?);
                let bits = if dtype == out.dtype { bits } else { convert_bits(bits, dtype, out.dtype) };
                std::ptr::copy_nonoverlapping(bits.as_ptr(), base_out, out.dtype.size());
            }
            return Ok(());
        }
    }

    let mut operands: SmallVec<[(&[i64], usize); 6]> = SmallVec::new();
    operands.push((&out_strides, out.dtype.size()));
    operands.extend(inputs.iter().map(|v| (&v.layout.strides[..], v.dtype.size())));
    let mut base: SmallVec<[*mut u8; 6]> = SmallVec::new();
    base.push(base_out);
    for v in inputs {
        base.push(data(v)?);
    }
    // Memory order of the first input, unless positions count along more than one dimension.
    let several = reduced.iter().zip(shape).filter(|(r, n)| **r && **n > 1).count() > 1;
    let space = if arg && several { Space::unsorted(shape, &operands) } else { Space::by_operand(shape, &operands, 1) };

    let mut constant: SmallVec<[bool; 6]> = SmallVec::from_elem(false, operands.len());
    let mut ins: SmallVec<[Input; 4]> = SmallVec::new();
    for (i, v) in inputs.iter().enumerate() {
        // An input without a program must be read where it lies.
        let same = space.is_constant(1 + i) && prologue.is_some();
        constant[1 + i] = same;
        ins.push(Input {
            dtype: v.dtype,
            operand: 1 + i,
            // SAFETY: the view has an element.
            constant: same.then(|| unsafe { read_bits(base[1 + i], v.dtype.size()) }),
        });
    }
    let mut code = match prologue {
        Some(p) => Compiled::new(p, &ins, scalars, &[None])?,
        None => Compiled::identity(&ins[0]),
    };
    let mut value = code.results[0];
    if value_dtype != dtype || value_dtype == DType::Bool {
        // Bool too: its bytes become 0 and 1.
        let slot = Loc::Slot(code.extra_slot(dtype));
        if value_dtype == DType::Bool && dtype == DType::Bool {
            code.apply(simd::kernel(Opcode::Cast, DType::Bool).ok_or_else(unknown)?, value, slot, dtype);
        } else {
            code.store(value_dtype, value, dtype, slot);
        }
        value = slot;
    }
    let nan_sum = (op == ReduceOp::NanSum && dtype.is_float()).then_some(if dtype == DType::F32 {
        nan_to_zero as Kernel
    } else {
        nan_to_zero64
    });
    let before = match before {
        Some(opcode) => Some(simd::kernel(opcode, dtype).ok_or_else(unknown)?),
        None => nan_sum,
    };
    if let Some(kernel) = before {
        let slot = Loc::Slot(code.extra_slot(dtype));
        code.apply(kernel, value, slot, dtype);
        value = slot;
    }
    let widened = value_dtype.is_float() && value_dtype.compute() == dtype;
    let input = (prologue.is_none() && before.is_none() && (value_dtype == dtype || widened) && dtype != DType::Bool)
        .then_some(value_dtype);
    let slots = (0..operands.len()).map(|k| if k == 0 { 0 } else { code.extra_slot(inputs[k - 1].dtype) }).collect();
    let sizes = operands.iter().map(|o| o.1).collect();
    let cost = code.cost + 1;
    let job = Job {
        source: Source { code, value, base, sizes, constant, slots },
        fold,
        dtype,
        carry,
        rows,
        pairs: fold.pairs(dtype).ok_or_else(unknown)?,
        carry_pairs: fold.pairs(carry).ok_or_else(unknown)?,
        out_dtype: out.dtype,
        input,
        failed: Mutex::new(None),
        zero_division: AtomicBool::new(false),
        cost,
    };

    // Dimensions in which the output moves are kept; the others reduced.
    let is_kept = |d: usize| space.strides[0][d] != 0;
    let kept: SmallVec<[usize; 6]> = (0..space.ndim()).filter(|&d| is_kept(d)).collect();
    let gone: SmallVec<[usize; 6]> = (0..space.ndim()).filter(|&d| !is_kept(d)).collect();
    if arg {
        arg_extreme(&job, &space, &kept, &gone, op == ReduceOp::ArgMax)?;
    } else if gone.is_empty() {
        // Every row is one element.
        short_rows(&job, &space.with_unit_row());
    } else if gone[0] == 0 {
        let plain = if gone.len() <= 2 { job.row_kernel(&space) } else { None };
        if gone.len() == 1 && space.shape[0] <= SHORT_ROW && space.ndim() > 1 {
            short_rows(&job, &space);
        } else if let Some(kernel) = plain {
            if gone.len() == 1 {
                plain_rows(&job, kernel, space.shape[0], &space.select(&kept))?;
            } else {
                plain_planes(&job, kernel, &space.select(&gone), &space.select(&kept))?;
            }
        } else {
            long_rows(&job, &space.select(&gone), &space.select(&kept))?;
        }
    } else {
        // The kept innermost dimension runs along, the other kept ones are outside.
        let mut inside: SmallVec<[usize; 6]> = SmallVec::from_slice(&[0]);
        inside.extend(gone.iter().copied());
        columns(&job, &space.select(&inside), &space.select(&kept[1..]))?;
    }
    job.finish()
}

/// Reductions of nothing.
fn empty(fold: Fold, dtype: DType, arg: bool, out: &View) -> Result<()> {
    ensure!(!arg && !matches!(fold, Fold::Max | Fold::Min), Internal, "the extreme of no elements has no value");
    let bits = convert_bits(fold.identity(dtype), dtype, out.dtype);
    let base = data(out)?;
    let space = Space::new(&out.layout.shape, &[(&out.layout.strides, out.dtype.size())]);
    let mut rows = Rows::at(&space, 0);
    for _ in 0..space.numel() / space.shape[0] {
        for i in 0..space.shape[0] {
            // SAFETY: an element of the output.
            unsafe {
                let to = base.offset(rows.offsets[0] + i as isize * space.strides[0][0]);
                std::ptr::copy_nonoverlapping(bits.as_ptr(), to, out.dtype.size());
            }
        }
        rows.advance();
    }
    Ok(())
}

/// Dimension 0 alone is reduced, and short: several rows make one block.
fn short_rows(job: &Job, space: &Space) {
    // Rows are never cut: a block is whole rows.
    let row_len = space.shape[0];
    let rows_total = space.numel() / row_len;
    let block_rows = (BLOCK / row_len).clamp(1, rows_total);
    let blocks = Blocks {
        rows: rows_total,
        row_len,
        block_rows,
        block_len: row_len,
        parts: 1,
        count: rows_total.div_ceil(block_rows),
    };
    let per_block = blocks.elements();
    // A few elements each: side by side, as the columns of the transposed block.
    let upright = if (2..=SHORTEST_ROW).contains(&row_len) { job.fold.columns(job.dtype) } else { None };
    job.parallel(blocks.count, grain(job.cost * 2) / per_block, |range| {
        let mut reader = Reader::new(&job.source, space, &blocks)?;
        let results = Block::new(block_rows * 16)?;
        let turned = Block::new(if upright.is_some() { per_block * 8 } else { 0 })?;
        let shift: SmallVec<[isize; 6]> = SmallVec::from_elem(0, reader.at.len());
        let (raw, stored) = (results.ptr().as_ptr(), results.ptr().as_ptr().wrapping_add(block_rows * 8));
        for b in range {
            let rows = Rows::at(space, b * block_rows);
            let count = block_rows.min(rows_total - b * block_rows);
            let values = reader.block(&shift, &rows, 0, count, row_len);
            // SAFETY: count rows of row_len dense values; the buffer has room for count elements of 8 bytes twice.
            unsafe {
                match upright {
                    Some(fold) => {
                        let (size, to) = (job.dtype.size(), turned.ptr().as_ptr());
                        let stride = (count * size) as isize;
                        transpose(size, row_len, count, to, stride, values, (row_len * size) as isize);
                        std::ptr::copy_nonoverlapping(to, raw, count * size);
                        fold(row_len - 1, stride, count, raw, to.offset(stride));
                    }
                    None => (job.rows)(count, row_len, raw, values),
                }
                let from = if job.dtype == job.out_dtype {
                    raw
                } else {
                    convert(job.dtype, job.out_dtype)(count, stored, raw, raw, raw);
                    stored
                };
                let (size, mut from) = (job.out_dtype.size(), from);
                let step = if space.ndim() > 1 { space.strides[0][1] } else { size as isize };
                rows.for_each_run(0, count, |offset, n| {
                    let to = job.source.base[0].offset(offset);
                    if step == size as isize {
                        std::ptr::copy_nonoverlapping(from, to, n * size);
                    } else {
                        for i in 0..n {
                            std::ptr::copy_nonoverlapping(from.add(i * size), to.offset(i as isize * step), size);
                        }
                    }
                    from = from.add(n * size);
                });
            }
        }
        Ok(reader.zero_division)
    });
}

/// `inner` holds the reduced dimensions, `outer` the kept ones: each output is the fold of all blocks of `inner`.
fn long_rows(job: &Job, inner: &Space, outer: &Space) -> Result<()> {
    let blocks = Blocks::new(inner);
    let outputs = outer.numel();
    let parts = blocks.count.div_ceil(SEGMENT);
    // Carried elements: the sum of a part.
    let partials = Partials::new(outputs * parts * 8)?;
    let work = inner.numel().div_ceil(parts);
    job.parallel(outputs * parts, grain(job.cost * 2) / work, |range| {
        let mut reader = Reader::new(&job.source, inner, &blocks)?;
        for unit in range {
            let shift = outer_offsets(outer, unit / parts);
            let first = unit % parts * SEGMENT;
            let mut carry = job.fold.identity(job.carry);
            blocks.for_each(inner, first..(first + SEGMENT).min(blocks.count), |rows, col, count, len| {
                let values = reader.block(&shift, rows, col, count, len);
                let (mut one, mut temp) = ([0u8; 8], [0u8; 8]);
                // SAFETY: count * len dense values; single elements otherwise.
                unsafe {
                    (job.rows)(1, count * len, one.as_mut_ptr(), values);
                    job.carry_on(1, carry.as_mut_ptr(), one.as_ptr(), temp.as_mut_ptr());
                }
            });
            // SAFETY: one of outputs * parts elements.
            unsafe {
                if parts == 1 {
                    job.store_one(job.carry, carry, job.source.base[0].offset(shift[0]));
                } else {
                    std::ptr::copy_nonoverlapping(carry.as_ptr(), partials.at(unit * 8), 8);
                }
            }
        }
        Ok(reader.zero_division)
    });
    if parts > 1 {
        combine_parts(job, outer, parts, &partials);
    }
    Ok(())
}

/// Folds the parts of each output in order, and stores it.
fn combine_parts(job: &Job, outer: &Space, parts: usize, partials: &Partials) {
    for i in 0..outer.numel() {
        let mut carry = job.fold.identity(job.carry);
        for p in 0..parts {
            let v = partials.at((i * parts + p) * 8);
            // SAFETY: written by the parts (or uninteresting after an error).
            unsafe { (job.carry_pairs)(1, carry.as_mut_ptr(), carry.as_ptr(), v, v) };
        }
        // SAFETY: an element of the output.
        unsafe { job.store_one(job.carry, carry, job.source.base[0].offset(outer_offsets(outer, i)[0])) };
    }
}

/// Elements of a row that are one part of it.
const PART: usize = 32 << 10;
/// Outputs that are stored together.
const GROUP: usize = 64;

/// Each output is the fold of `len` dense elements, read where they lie.
fn plain_rows(job: &Job, kernel: LongRowKernel, len: usize, outer: &Space) -> Result<()> {
    let (size, out_size, outputs) = (job.source.sizes[1], job.out_dtype.size(), outer.numel());
    let parts = len.div_ceil(PART);
    let part = len.div_ceil(parts).next_multiple_of(64).min(len);
    let parts = len.div_ceil(part);
    if parts > 1 {
        let partials = Partials::new(outputs * parts * 8)?;
        job.parallel(outputs * parts, grain(1) / part, |range| {
            for unit in range {
                let (first, from) = (outer_offsets(outer, unit / parts)[1], unit % parts * part);
                // SAFETY: a part of the row; one of outputs * parts elements.
                unsafe {
                    let a = job.source.base[1].offset(first).add(from * size);
                    kernel(1, 0, part.min(len - from), partials.at(unit * 8), a);
                }
            }
            Ok(false)
        });
        combine_parts(job, outer, parts, &partials);
        return Ok(());
    }
    let along = outer.shape[0];
    let (out_stride, in_stride) = (outer.strides[0][0], outer.strides[1][0]);
    job.parallel(outputs, grain(1) / len, |range| {
        let (mut carried, mut stored) = ([0u64; GROUP], [0u64; GROUP]);
        let mut i = range.start;
        while i < range.end {
            let count = (along - i % along).min(range.end - i).min(GROUP);
            let at = outer_offsets(outer, i);
            let (to, from) = (carried.as_mut_ptr().cast::<u8>(), stored.as_mut_ptr().cast::<u8>());
            // SAFETY: rows and outputs of the operands; the buffers hold GROUP elements.
            unsafe {
                kernel(count, in_stride, len, to, job.source.base[1].offset(at[1]));
                convert(job.carry, job.out_dtype)(count, from, to, to, to);
                let out = job.source.base[0].offset(at[0]);
                for r in 0..count {
                    std::ptr::copy_nonoverlapping(
                        from.add(r * out_size),
                        out.offset(r as isize * out_stride),
                        out_size,
                    );
                }
            }
            i += count;
        }
        Ok(false)
    });
    Ok(())
}

/// Each output is the fold of several runs of dense elements at one distance, read where they lie.
fn plain_planes(job: &Job, kernel: LongRowKernel, inner: &Space, outer: &Space) -> Result<()> {
    let fold = job.fold.rows(job.carry).ok_or_else(|| Error::unsupported("reduce", job.carry, "cpu"))?;
    let (len, runs, stride, outputs) = (inner.shape[0], inner.shape[1], inner.strides[1][1], outer.numel());
    // Runs of one part.
    let each = (PART / len).clamp(1, GROUP);
    let parts = runs.div_ceil(each);
    let partials = Partials::new(outputs * parts * 8)?;
    job.parallel(outputs * parts, grain(1) / (each * len), |range| {
        let mut carried = [0u64; GROUP];
        for unit in range {
            let (first, from) = (outer_offsets(outer, unit / parts)[1], unit % parts * each);
            let (n, to) = (each.min(runs - from), carried.as_mut_ptr().cast::<u8>());
            // SAFETY: runs of the input; the buffer holds GROUP elements; one of outputs * parts elements.
            unsafe {
                kernel(n, stride, len, to, job.source.base[1].offset(first + from as isize * stride));
                fold(1, n, partials.at(unit * 8), to);
            }
        }
        Ok(false)
    });
    combine_parts(job, outer, parts, &partials);
    Ok(())
}

/// Blocks that are added up before they go into the carried sums.
const FLUSH: usize = 32;
/// The same where a kernel adds up eight at a time first.
const FLUSH_PLAIN: usize = 8 * FLUSH;

/// Dimension 0 of `inner` is kept, the others are reduced; `outer` holds the other kept dimensions.
fn columns(job: &Job, inner: &Space, outer: &Space) -> Result<()> {
    // A block is part of a row, or several short rows side by side that are folded at the end.
    let blocks = Blocks::new(inner);
    let len = blocks.block_len;
    let width = blocks.elements();
    let steps = blocks.rows.div_ceil(blocks.block_rows);
    let units = outer.numel() * blocks.parts;
    // Few columns and many rows: cut the rows too, by the shape alone.
    let parts = if units >= 32 { 1 } else { (steps * width / (128 * BLOCK)).clamp(1, 64).min(steps) };
    let per_part = steps.div_ceil(parts);
    let parts = steps.div_ceil(per_part);
    let carry_size = job.carry.size();
    let partials = Partials::new(if parts == 1 { 0 } else { units * parts * len * carry_size })?;
    let size = job.dtype.size();
    let (zero, carry_zero) = (job.fold.identity(job.dtype), job.fold.identity(job.carry));
    // Rows that are read where they lie, at one distance.
    let plain = if blocks.block_rows == 1 && inner.ndim() == 2 && job.is_plain(inner) {
        job.fold.columns(job.dtype)
    } else {
        None
    };
    job.parallel(units * parts, grain(job.cost) / (per_part * width), |range| {
        let mut reader = Reader::new(&job.source, inner, &blocks)?;
        let sums = Block::new(width * 24)?;
        let near = sums.ptr().as_ptr();
        let (far, temp) = (near.wrapping_add(width * 8), near.wrapping_add(width * 16));
        for unit in range {
            let (unit_at, part) = (unit / parts, unit % parts);
            let (o, tile) = (unit_at / blocks.parts, unit_at % blocks.parts);
            let shift = outer_offsets(outer, o);
            let col = tile * len;
            let cols = len.min(blocks.row_len - col);
            let from = part * per_part;
            let to = (from + per_part).min(steps);
            // SAFETY: the three buffers hold `width` elements of 8 bytes each.
            unsafe {
                fill(near, size, zero, width);
                fill(far, carry_size, carry_zero, width);
                let mut rows = Rows::at(inner, from * blocks.block_rows);
                let mut first = from;
                if let Some(kernel) = plain {
                    let stride = inner.strides[1][1];
                    let base = job.source.base[1].offset(shift[1]).add(col * size);
                    while first < to {
                        let count = FLUSH_PLAIN.min(to - first);
                        kernel(count, stride, cols, near, base.offset(first as isize * stride));
                        first += count;
                        if first < to {
                            job.carry_on(width, far, near, temp);
                            fill(near, size, zero, width);
                        }
                    }
                }
                for s in first..to {
                    let count = blocks.block_rows.min(blocks.rows - s * blocks.block_rows);
                    let values = reader.block(&shift, &rows, col, count, cols);
                    (job.pairs)(count * cols, near, near, values, values);
                    if (s - from) % FLUSH == FLUSH - 1 {
                        job.carry_on(width, far, near, temp);
                        fill(near, size, zero, width);
                    }
                    if blocks.block_rows == 1 {
                        rows.advance();
                    } else {
                        rows = Rows::at(inner, (s + 1) * blocks.block_rows);
                    }
                }
                job.carry_on(width, far, near, temp);
                // Rows side by side become one.
                for r in 1..blocks.block_rows {
                    let row = far.add(r * len * carry_size);
                    (job.carry_pairs)(len, far, far, row, row);
                }
                if parts == 1 {
                    store_columns(job, inner, far, temp, shift[0], col, cols);
                } else {
                    std::ptr::copy_nonoverlapping(far, partials.at(unit * len * carry_size), cols * carry_size);
                }
            }
        }
        Ok(reader.zero_division)
    });
    if parts == 1 {
        return Ok(());
    }
    // Parts in order, then to the output.
    let stored = Block::new(len * 8)?;
    for u in 0..units {
        let (o, tile) = (u / blocks.parts, u % blocks.parts);
        let cols = len.min(blocks.row_len - tile * len);
        let total = partials.at(u * parts * len * carry_size);
        // SAFETY: written above (or uninteresting after an error); `stored` has room for len elements.
        unsafe {
            for p in 1..parts {
                let v = partials.at((u * parts + p) * len * carry_size);
                (job.carry_pairs)(cols, total, total, v, v);
            }
            store_columns(job, inner, total, stored.ptr().as_ptr(), outer_offsets(outer, o)[0], tile * len, cols);
        }
    }
    Ok(())
}

/// Stores `cols` carried elements as the output's, from column `col` on.
///
/// # Safety
/// `total` holds `cols` carried elements, `temp` has room for as many of 8 bytes; the columns exist.
unsafe fn store_columns(
    job: &Job,
    inner: &Space,
    total: *const u8,
    temp: *mut u8,
    shift: isize,
    col: usize,
    cols: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        convert(job.carry, job.out_dtype)(cols, temp, total, total, total);
        let base = job.source.base[0].offset(shift);
        scatter(temp, base, inner, 0, job.out_dtype.size(), &Rows::at(inner, 0), col, 1, cols);
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests;
