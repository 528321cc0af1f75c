//! What one reduction is made of: where its values come from, how they are folded, and what several parts leave.

use super::kernels::*;
use crate::backend::cpu::alloc::Block;
use crate::backend::cpu::elementwise::interp::*;
use crate::backend::cpu::geometry::{Rows, Space};
use crate::backend::cpu::simd::convert::convert;
use crate::backend::cpu::simd::Kernel;
use crate::backend::cpu::threads::parallel::parallel_for;
use crate::backend::program::Opcode;
use crate::backend::ReduceOp;
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

/// Blocks that one part of a long reduction covers.
pub(super) const SEGMENT: usize = 32;
/// How the values of a reduction are had, block by block.
pub(super) struct Source {
    pub code: Compiled,
    pub value: Loc,
    pub base: SmallVec<[*mut u8; 6]>,
    pub sizes: SmallVec<[usize; 6]>,
    pub constant: SmallVec<[bool; 6]>,
    /// Buffers for operands that are gathered.
    pub slots: SmallVec<[usize; 6]>,
}
// SAFETY: threads read the inputs and write disjoint elements of the output.
unsafe impl Sync for Source {}

/// The values over one space, cut into blocks; one per thread.
pub(super) struct Reader<'a> {
    pub source: &'a Source,
    pub space: &'a Space,
    pub direct: SmallVec<[bool; 6]>,
    pub scratch: Scratch,
    pub at: SmallVec<[*mut u8; 6]>,
    pub zero_division: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, space: &'a Space, blocks: &Blocks) -> Result<Reader<'a>> {
        let n = source.base.len();
        Ok(Reader {
            source,
            space,
            direct: (0..n).map(|k| blocks.is_direct(space, k, source.sizes[k])).collect(),
            scratch: source.code.scratch(blocks.elements())?,
            at: SmallVec::from_elem(std::ptr::null_mut(), n),
            zero_division: false,
        })
    }
    /// The values of a block, dense; `shift` moves each operand (the position in dimensions outside the space).
    #[inline]
    pub(super) fn block(&mut self, shift: &[isize], rows: &Rows, col: usize, count: usize, len: usize) -> *const u8 {
        let s = self.source;
        for k in 1..s.base.len() {
            if s.constant[k] {
                continue;
            }
            // SAFETY: offsets of elements of the operand; buffers hold a block.
            unsafe {
                let base = s.base[k].offset(shift[k]);
                self.at[k] = if self.direct[k] {
                    base.offset(rows.offsets[k] + col as isize * self.space.strides[k][0])
                } else {
                    let slot = self.scratch.slot(s.slots[k]);
                    gather(slot, base, self.space, k, s.sizes[k], rows, col, count, len);
                    slot
                };
            }
        }
        // SAFETY: every operand that the steps name points at count * len dense elements.
        self.zero_division |= unsafe { s.code.run(count * len, &self.at, &self.scratch) };
        self.scratch.at(s.value, &self.at)
    }
}

/// What is done before folding, and the fold.
pub(super) fn plan(op: ReduceOp, dtype: DType) -> (Option<Opcode>, Fold, DType) {
    let sum_type = if dtype.is_float() { dtype.compute() } else { DType::I64 };
    match op {
        ReduceOp::Sum | ReduceOp::NanSum => (None, Fold::Sum, sum_type),
        ReduceOp::SumSquares => (Some(Opcode::Square), Fold::Sum, sum_type),
        ReduceOp::SumAbs => (Some(Opcode::Abs), Fold::Sum, sum_type),
        ReduceOp::Prod => (None, Fold::Prod, sum_type),
        ReduceOp::Max | ReduceOp::ArgMax => (None, Fold::Max, dtype.compute()),
        ReduceOp::Min | ReduceOp::ArgMin => (None, Fold::Min, dtype.compute()),
        ReduceOp::Any => (None, Fold::Or, DType::Bool),
        ReduceOp::All => (None, Fold::And, DType::Bool),
    }
}

/// Zero in place of NaN.
pub(super) unsafe fn nan_to_zero(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) -> bool {
    for i in 0..n {
        // SAFETY: i < n.
        unsafe {
            let v = a.cast::<f32>().add(i).read_unaligned();
            out.cast::<f32>().add(i).write_unaligned(if v.is_nan() { 0.0 } else { v });
        }
    }
    false
}
pub(super) unsafe fn nan_to_zero64(n: usize, out: *mut u8, a: *const u8, _: *const u8, _: *const u8) -> bool {
    for i in 0..n {
        // SAFETY: i < n.
        unsafe {
            let v = a.cast::<f64>().add(i).read_unaligned();
            out.cast::<f64>().add(i).write_unaligned(if v.is_nan() { 0.0 } else { v });
        }
    }
    false
}

/// Everything one call shares between threads.
pub(super) struct Job {
    pub source: Source,
    pub fold: Fold,
    /// Dtype of values and of results carried from block to block.
    pub dtype: DType,
    pub carry: DType,
    pub rows: RowKernel,
    pub pairs: Kernel,
    pub carry_pairs: Kernel,
    pub out_dtype: DType,
    /// The first input's dtype where its elements, widened, are the values.
    pub input: Option<DType>,
    pub failed: Mutex<Option<Error>>,
    pub zero_division: AtomicBool,
    pub cost: usize,
}

impl Job {
    /// Whether the values are the first input's, dense along dimension 0 of `space`.
    pub(super) fn is_plain(&self, space: &Space) -> bool {
        self.source.code.is_identity() && space.strides[1][0] == self.dtype.size() as isize
    }
    /// Kernel for rows that are read where they lie, dense along dimension 0 of `space`.
    pub(super) fn row_kernel(&self, space: &Space) -> Option<LongRowKernel> {
        let dtype = self.input?;
        (space.strides[1][0] == dtype.size() as isize).then(|| self.fold.long_rows(dtype)).flatten()
    }
    /// Runs `f` over parts of `0..n` and keeps the first error.
    pub(super) fn parallel(&self, n: usize, grain: usize, f: impl Fn(std::ops::Range<usize>) -> Result<bool> + Sync) {
        parallel_for(n, grain.max(1), |range| match f(range) {
            Ok(zero) => {
                if zero {
                    self.zero_division.store(true, Ordering::Relaxed);
                }
            }
            Err(e) => {
                self.failed.lock().unwrap_or_else(|p| p.into_inner()).get_or_insert(e);
            }
        });
    }
    pub(super) fn finish(self) -> Result<()> {
        if let Some(e) = self.failed.into_inner().unwrap_or_else(|p| p.into_inner()) {
            return Err(e);
        }
        if self.zero_division.into_inner() {
            return Err(zero_division());
        }
        Ok(())
    }
    /// carry = fold(carry, value) for `n` elements; `temp` holds n elements of the carried dtype.
    ///
    /// # Safety
    /// n elements behind each pointer.
    pub(super) unsafe fn carry_on(&self, n: usize, carry: *mut u8, value: *const u8, temp: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let value = if self.dtype == self.carry {
                value
            } else {
                convert(self.dtype, self.carry)(n, temp, value, value, value);
                temp
            };
            (self.carry_pairs)(n, carry, carry, value, value);
        }
    }
    /// Stores one carried element as the output's.
    ///
    /// # Safety
    /// `to` is an element of the output.
    pub(super) unsafe fn store_one(&self, from: DType, value: Bits, to: *mut u8) {
        let bits = if from == self.out_dtype { value } else { convert_bits(value, from, self.out_dtype) };
        // SAFETY: the caller's.
        unsafe { std::ptr::copy_nonoverlapping(bits.as_ptr(), to, self.out_dtype.size()) };
    }
}

/// Partial results of several parts of each output, combined in order.
pub(super) struct Partials {
    memory: Block,
}
// SAFETY: parts write disjoint elements.
unsafe impl Sync for Partials {}
impl Partials {
    pub(super) fn new(bytes: usize) -> Result<Partials> {
        Ok(Partials { memory: Block::new(bytes)? })
    }
    pub(super) fn at(&self, byte: usize) -> *mut u8 {
        // SAFETY: callers stay within what they asked for.
        unsafe { self.memory.ptr().as_ptr().add(byte) }
    }
}

/// The position of output number `i` in `outer`: each operand's byte offset.
pub(super) fn outer_offsets(outer: &Space, i: usize) -> SmallVec<[isize; 4]> {
    let row = Rows::at(outer, i / outer.shape[0]);
    let mut o = row.offsets;
    for (o, st) in o.iter_mut().zip(&outer.strides) {
        *o += (i % outer.shape[0]) as isize * st[0];
    }
    o
}
