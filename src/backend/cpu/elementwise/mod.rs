//! Elementwise programs on the CPU.
//!
//! One instruction on dense operands of the right dtypes goes straight to its kernel. Everything else is
//! interpreted block by block over the operands' joint iteration space: operands that are not dense are gathered
//! into buffers first, so that kernels see dense runs only.

pub(crate) mod copy;
pub(super) mod interp;
pub(super) mod list;

use self::copy::copy_run;
use self::interp::*;
use crate::backend::cpu::alloc::Block;
use crate::backend::cpu::geometry::{Rows, Space};
use crate::backend::cpu::simd::{self, convert::convert, Kernel};
use crate::backend::cpu::threads::parallel::{parallel_for, parallel_for_units};
use crate::backend::cpu::transpose::transpose;
use crate::backend::program::{Opcode, Program, Src};
use crate::backend::View;
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use crate::base::layout::Layout;
use crate::base::scalar::Scalar;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;

/// Elements of a cheap op below which threads do not pay.
const GRAIN: usize = 32 << 10;

/// Elements of an op of the given cost below which threads do not pay.
pub fn grain(cost: usize) -> usize {
    (GRAIN / cost.max(1)).max(BLOCK)
}

pub fn run_program(program: &Program, inputs: &[View], scalars: &[Scalar], outputs: &[View]) -> Result<()> {
    if program.insts.len() == 1 && outputs.len() == 1 {
        if let Some(result) = run_single(program, inputs, scalars, &outputs[0]) {
            return result;
        }
    }
    run_blocks(program, inputs, scalars, outputs)
}

/// Whether the layout is dense in row-major order, and its element count.
#[inline(always)]
fn dense(layout: &Layout) -> (bool, usize) {
    let mut expect = 1i64;
    let mut dense = true;
    for (n, st) in layout.shape.iter().zip(&layout.strides).rev() {
        dense &= *st == expect || *n == 1;
        expect *= *n;
    }
    (dense, expect as usize)
}

#[derive(Clone, Copy)]
enum Arg {
    Dense(*const u8),
    Const(Bits),
}
struct Single {
    kernel: Kernel,
    out: *mut u8,
    out_size: usize,
    args: [Arg; 3],
    sizes: [usize; 3],
}
// SAFETY: the pointers are to the operands of one call; parts of it touch disjoint elements of the output.
unsafe impl Sync for Single {}

/// Runs a program of one instruction on dense operands (or single elements repeated) whose dtypes need no
/// conversion; None where that is not so.
#[inline]
fn run_single(program: &Program, inputs: &[View], scalars: &[Scalar], out: &View) -> Option<Result<()>> {
    let inst = &program.insts[0];
    let (out_dense, n) = dense(out.layout);
    if !out_dense {
        return None;
    }
    if n <= BLOCK {
        if let Some(result) = run_small(program, inputs, n, out) {
            return Some(result);
        }
    }
    let arity = inst.op.arity();
    // Half types go through one kernel where there is one, without conversions to memory.
    let half = if inst.ty == DType::F32 && out.dtype.size() == 2 && out.dtype.is_float() {
        simd::half::kernel(inst.op, out.dtype)
    } else {
        None
    };
    let mut cast_from = None;
    let mut args = [Arg::Const([0; 8]); 3];
    let mut sizes = [1; 3];
    let mut consts = false;
    for k in 0..arity {
        let want = arg_dtype(inst, k);
        args[k] = match inst.args[k] {
            Src::Input(i) => {
                let v = inputs.get(i as usize)?;
                let want = if half.is_some() { out.dtype } else { want };
                if v.dtype != want {
                    if inst.op != Opcode::Cast {
                        return None;
                    }
                    cast_from = Some(v.dtype);
                }
                sizes[k] = v.dtype.size();
                let p = match data(v) {
                    Ok(p) => p,
                    Err(e) => return Some(Err(e)),
                };
                if dense(v.layout).0 {
                    Arg::Dense(p)
                } else if v.layout.strides.iter().all(|s| *s == 0) && n > 0 {
                    consts = true;
                    // SAFETY: the view has an element.
                    Arg::Const(unsafe { read_bits(p, sizes[k]) })
                } else {
                    return None;
                }
            }
            // A number is not rounded to a half type first.
            Src::Scalar(_) if half.is_some() => return None,
            Src::Scalar(s) => {
                consts = true;
                sizes[k] = want.size();
                Arg::Const(scalar_bits(*scalars.get(s as usize)?, want))
            }
            Src::Reg(_) => return None,
        };
    }
    for k in arity..3 {
        args[k] = args[0];
    }
    let kernel = if let Some(k) = half {
        k
    } else if inst.op == Opcode::Cast {
        // Through `ty` in between, which changes nothing when it is what the output is computed in.
        if inst.ty != out.dtype.compute() {
            return None;
        }
        convert(cast_from.unwrap_or(inst.ty), out.dtype)
    } else {
        if out.dtype != program.reg_dtype(0) {
            return None;
        }
        match special_kernel(inst, scalars) {
            Some(k) => k,
            None => match inst_kernel(inst) {
                Ok(k) => k,
                Err(e) => return Some(Err(e)),
            },
        }
    };
    let out_ptr = match data(out) {
        Ok(p) => p,
        Err(e) => return Some(Err(e)),
    };
    if !consts && n <= BLOCK {
        let p = args.map(|a| match a {
            Arg::Dense(p) => p,
            Arg::Const(_) => out_ptr,
        });
        // SAFETY: dense operands of n elements of the kernel's dtypes; the output is disjoint from or equal to each.
        let bad = unsafe { kernel(n, out_ptr, p[0], p[1], p[2]) };
        return Some(if bad { Err(zero_division()) } else { Ok(()) });
    }
    let single = Single { kernel, out: out_ptr, out_size: out.dtype.size(), args, sizes };
    Some(single.run(n, arity, consts, inst.op.cost(inst.ty == DType::F32)))
}

/// A few elements of two operands that lie like the result and have its dtype, which is what a small op from a program is:
/// the kernel at once. None in every other case.
#[inline(always)]
fn run_small(program: &Program, inputs: &[View], n: usize, out: &View) -> Option<Result<()>> {
    let inst = &program.insts[0];
    let [a, b] = inputs else { return None };
    let fits = |v: &View| v.dtype == inst.ty && v.layout.strides[..] == out.layout.strides[..];
    let plain =
        inst.op.arity() == 2 && matches!(inst.args, [Src::Input(0), Src::Input(1), _]) && inst.op != Opcode::Pow;
    if !plain || out.dtype != inst.ty || program.reg_dtype(0) != inst.ty || !fits(a) || !fits(b) {
        return None;
    }
    let kernel = simd::kernel(inst.op, inst.ty)?;
    let (Ok(to), Ok(a), Ok(b)) = (data(out), data(a), data(b)) else { return None };
    // SAFETY: dense operands of n elements of the kernel's dtype; the output is disjoint from or equal to each.
    let bad = unsafe { kernel(n, to, a, b, a) };
    Some(if bad { Err(zero_division()) } else { Ok(()) })
}

impl Single {
    #[inline(never)]
    fn run(&self, n: usize, arity: usize, consts: bool, cost: usize) -> Result<()> {
        let bad = AtomicBool::new(false);
        let whole = self;
        parallel_for_units(n, BLOCK, grain(cost), |range| {
            let s = whole;
            let mut buffers = [const { MaybeUninit::<[u64; BLOCK]>::uninit() }; 3];
            let mut p = [std::ptr::null::<u8>(); 3];
            for k in 0..3 {
                p[k] = match s.args[k] {
                    // SAFETY: the range is within the operand.
                    Arg::Dense(p) => unsafe { p.add(range.start * s.sizes[k]) },
                    Arg::Const(bits) if k < arity => {
                        let b = buffers[k].as_mut_ptr().cast::<u8>();
                        // SAFETY: the buffer holds BLOCK elements of any size.
                        unsafe { fill(b, s.sizes[k], bits, range.len().min(BLOCK)) };
                        b
                    }
                    Arg::Const(_) => p[0],
                };
            }
            let step = if consts { BLOCK } else { range.len() };
            let mut failed = false;
            for i in (0..range.len()).step_by(step) {
                let len = step.min(range.len() - i);
                let at = |k: usize| match s.args[k.min(arity - 1)] {
                    // SAFETY: i is within the range.
                    Arg::Dense(_) => unsafe { p[k.min(arity - 1)].add(i * s.sizes[k.min(arity - 1)]) },
                    Arg::Const(_) => p[k.min(arity - 1)],
                };
                // SAFETY: as above; parts write disjoint elements.
                failed |= unsafe { (s.kernel)(len, s.out.add((range.start + i) * s.out_size), at(0), at(1), at(2)) };
            }
            if failed {
                bad.store(true, Ordering::Relaxed);
            }
        });
        if bad.into_inner() {
            return Err(zero_division());
        }
        Ok(())
    }
}

/// Base pointers of the operands; parts of one call touch disjoint elements of the outputs.
struct Pointers(SmallVec<[*mut u8; 6]>);
// SAFETY: see above.
unsafe impl Sync for Pointers {}

/// The general case.
#[inline(never)]
fn run_blocks(program: &Program, inputs: &[View], scalars: &[Scalar], outputs: &[View]) -> Result<()> {
    ensure!(outputs.len() == program.outputs.len(), Internal, "{} outputs given", outputs.len());
    ensure!(inputs.len() == program.inputs.len(), Internal, "{} inputs given", inputs.len());
    let Some(first) = outputs.first() else { bail!(Internal, "a program without outputs") };
    let shape = &first.layout.shape;
    let (_, n) = dense(first.layout);
    // Operands: outputs, then inputs.
    let views: SmallVec<[&View; 6]> = outputs.iter().chain(inputs).collect();
    for v in &views {
        ensure!(v.layout.shape == *shape, Internal, "operands of shapes {:?} and {:?}", v.layout.shape, shape);
    }
    if n == 0 {
        return Ok(());
    }
    let operands: SmallVec<[(&[i64], usize); 6]> =
        views.iter().map(|v| (&v.layout.strides[..], v.dtype.size())).collect();
    let space = Space::new(shape, &operands);
    let blocks = Blocks::new(&space);
    let mut base = Pointers(SmallVec::new());
    for v in &views {
        base.0.push(data(v)?);
    }
    let no = outputs.len();
    let mut ins: SmallVec<[Input; 4]> = SmallVec::new();
    for (i, v) in inputs.iter().enumerate() {
        let constant = space.is_constant(no + i);
        ins.push(Input {
            dtype: v.dtype,
            operand: no + i,
            // SAFETY: the view has an element.
            constant: constant.then(|| unsafe { read_bits(base.0[no + i], v.dtype.size()) }),
        });
    }
    let mut access: SmallVec<[Access; 6]> = SmallVec::new();
    let moves = copy_program(program, inputs, outputs) && ins[0].constant.is_none();
    let mut code = if moves {
        // Elements moved, not converted.
        let mut c = Compiled::identity(&ins[0]);
        c.store(inputs[0].dtype, Loc::Operand(1), inputs[0].dtype, Loc::Operand(0));
        c
    } else {
        // An instruction writes its output at once unless a later one reads an input in the same memory.
        let last_read = program
            .insts
            .iter()
            .rposition(|i| i.args[..i.op.arity()].iter().any(|a| matches!(a, Src::Input(_))))
            .unwrap_or(0);
        let direct: SmallVec<[Option<usize>; 4]> = program
            .outputs
            .iter()
            .enumerate()
            .map(|(o, (reg, dtype))| {
                let aliased = inputs.iter().any(|v| {
                    std::ptr::eq(v.storage, outputs[o].storage) || v.storage.host_ptr() == outputs[o].storage.host_ptr()
                });
                let ok = *dtype == outputs[o].dtype && (!aliased || *reg as usize >= last_read);
                ok.then_some(o)
            })
            .collect();
        let mut c = Compiled::new(program, &ins, scalars, &direct)?;
        for (o, v) in outputs.iter().enumerate() {
            let (reg, _) = program.outputs[o];
            let at = c.results[o];
            if at != Loc::Operand(o) {
                c.store(program.reg_dtype(reg), at, v.dtype, Loc::Operand(o));
            }
        }
        c
    };
    for (k, v) in views.iter().enumerate() {
        let constant = k >= no && ins[k - no].constant.is_some();
        access.push(if constant {
            Access::Constant
        } else if blocks.is_direct(&space, k, v.dtype.size()) {
            Access::Direct
        } else {
            Access::Buffered(code.extra_slot(v.dtype))
        });
    }
    let job = Job {
        sizes: views.iter().map(|v| v.dtype.size()).collect(),
        tiles: 0,
        no,
        code,
        space,
        access,
        base,
        bad: AtomicBool::new(false),
        failed: Mutex::new(None),
    };
    // Checked before any thread starts: memory for the buffers.
    drop(job.code.scratch(blocks.elements())?);
    if blocks.block_rows == 1 && job.space.ndim() > 1 && (no..views.len()).any(|k| job.is_crosswise(k)) {
        job.run_tiles(blocks, moves)
    } else if moves && job.has_dense_rows(&blocks) {
        job.run_copy(&blocks)
    } else {
        job.run(&blocks)
    }
}

/// One call, shared between threads.
struct Job {
    code: Compiled,
    space: Space,
    access: SmallVec<[Access; 6]>,
    sizes: SmallVec<[usize; 6]>,
    base: Pointers,
    /// Outputs, which come first among the operands.
    no: usize,
    /// Operands that are gathered as tiles.
    tiles: usize,
    bad: AtomicBool,
    failed: Mutex<Option<Error>>,
}

/// Rows of a tile: the elements of a cache line.
const TILE_ROWS: usize = 16;
/// Columns of a tile.
const TILE_COLS: usize = 256;

impl Job {
    fn strided(&self) -> usize {
        self.access.iter().filter(|a| matches!(a, Access::Buffered(_) | Access::Tile(_))).count()
    }
    /// Whether an input must be gathered and is dense along the second dimension.
    fn is_crosswise(&self, k: usize) -> bool {
        let strides = &self.space.strides[k];
        // One element for a whole row is no column.
        matches!(self.access[k], Access::Buffered(_)) && strides[1] == self.sizes[k] as isize && strides[0] != 0
    }
    /// Runs `part` on parts of `0..n`, each with buffers of its own for blocks of `elements`.
    fn parallel(
        &self,
        n: usize,
        elements: usize,
        unit: usize,
        part: impl Fn(std::ops::Range<usize>, &Scratch) -> Result<bool> + Sync,
    ) {
        let units = (grain(self.code.cost + 2 * self.strided()) / unit).max(1);
        parallel_for(n, units, |range| match self.code.scratch(elements).and_then(|s| part(range, &s)) {
            Ok(true) => self.bad.store(true, Ordering::Relaxed),
            Ok(false) => {}
            Err(e) => {
                self.failed.lock().unwrap_or_else(|p| p.into_inner()).get_or_insert(e);
            }
        });
    }
    fn finish(self) -> Result<()> {
        if let Some(e) = self.failed.into_inner().unwrap_or_else(|p| p.into_inner()) {
            return Err(e);
        }
        if self.bad.into_inner() {
            return Err(zero_division());
        }
        Ok(())
    }

    fn run(self, blocks: &Blocks) -> Result<()> {
        self.parallel(blocks.count, blocks.elements(), blocks.elements(), |range, scratch| {
            let mut at = SmallVec::from_elem(std::ptr::null_mut(), self.access.len());
            let mut zero = false;
            blocks.for_each(&self.space, range, |rows, col, count, len| {
                // SAFETY: a block of the space.
                zero |= unsafe { self.block(scratch, &mut at, rows, col, count, len) };
            });
            Ok(zero)
        });
        self.finish()
    }

    /// Whether rows are runs of memory in both operands of a copy, and long enough to be copied one by one.
    fn has_dense_rows(&self, blocks: &Blocks) -> bool {
        let size = self.sizes[0] as isize;
        let dense = self.space.strides.iter().all(|s| s[0] == size);
        matches!(self.access[..], [Access::Direct, Access::Direct]) && blocks.block_rows == 1
            || dense && blocks.row_len * self.sizes[0] >= 8
    }
    /// Rows that are copied as they are.
    fn run_copy(self, blocks: &Blocks) -> Result<()> {
        // Short rows come in blocks of several, which are taken one by one.
        let each = if blocks.block_rows == 1 { blocks.elements() } else { blocks.row_len };
        let rows = Blocks { block_rows: 1, count: blocks.rows * blocks.parts, ..*blocks };
        self.parallel(rows.count, 0, each, |range, _| {
            // The whole job, not its pointers alone, goes to the other threads.
            let job = &self;
            let strides = &job.space.strides;
            rows.for_each(&job.space, range, |rows, col, _, len| {
                let at = |k: usize| job.base.0[k].wrapping_offset(rows.offsets[k] + col as isize * strides[k][0]);
                // SAFETY: a run of elements of both operands, which may be one.
                unsafe { copy_run(at(0), at(1), len * job.sizes[0]) };
            });
            Ok(false)
        });
        self.finish()
    }

    /// With operands that are dense along the second dimension gathered for several rows at once, so that each of
    /// their cache lines is read once.
    fn run_tiles(mut self, mut blocks: Blocks, moves: bool) -> Result<()> {
        for k in self.no..self.access.len() {
            if self.is_crosswise(k) {
                self.access[k] = Access::Tile(self.tiles);
                self.tiles += 1;
            }
        }
        // A copy needs no buffer in between.
        let straight = moves && matches!(self.access[..], [Access::Direct, Access::Tile(_)]);
        blocks.split(TILE_COLS);
        let (space, across) = (&self.space, self.space.shape[1]);
        let bands = across.div_ceil(TILE_ROWS);
        let tile = TILE_ROWS * blocks.block_len;
        self.parallel(blocks.rows / across * bands * blocks.parts, blocks.elements(), tile, |range, scratch| {
            let memory = Block::new(if straight { 0 } else { self.tiles * tile * 8 })?;
            let mut at: SmallVec<[*mut u8; 6]> = SmallVec::from_elem(std::ptr::null_mut(), self.access.len());
            let mut zero = false;
            for unit in range {
                let (col, band) = (unit % blocks.parts * blocks.block_len, unit / blocks.parts);
                let (outer, first) = (band / bands, band % bands * TILE_ROWS);
                let len = blocks.block_len.min(blocks.row_len - col);
                let count = TILE_ROWS.min(across - first);
                let mut rows = Rows::at(space, outer * across + first);
                // SAFETY: elements of the operands; the memory holds a tile of elements of any size for each.
                unsafe {
                    for (k, a) in self.access.iter().enumerate() {
                        let Access::Tile(i) = a else { continue };
                        let stride = space.strides[k][0];
                        let from = self.base.0[k].offset(rows.offsets[k] + col as isize * stride);
                        let (mut to, mut to_stride) =
                            (memory.ptr().as_ptr().wrapping_add(i * tile * 8), (len * self.sizes[k]) as isize);
                        if straight {
                            to = self.base.0[0].offset(rows.offsets[0] + col as isize * space.strides[0][0]);
                            to_stride = space.strides[0][1];
                        }
                        at[k] = to;
                        transpose(self.sizes[k], count, len, to, to_stride, from, stride);
                    }
                    if straight {
                        continue;
                    }
                    for _ in 0..count {
                        zero |= self.block(scratch, &mut at, &rows, col, 1, len);
                        rows.advance();
                        for (k, a) in self.access.iter().enumerate() {
                            if let Access::Tile(_) = a {
                                at[k] = at[k].add(len * self.sizes[k]);
                            }
                        }
                    }
                }
            }
            Ok(zero)
        });
        self.finish()
    }

    /// Runs the program on a block; true when an integer divisor was zero.
    ///
    /// # Safety
    /// The block lies inside the space, the buffers hold it, and `at` has the block's elements of tiles.
    #[inline(always)]
    unsafe fn block(
        &self,
        scratch: &Scratch,
        at: &mut SmallVec<[*mut u8; 6]>,
        rows: &Rows,
        col: usize,
        count: usize,
        len: usize,
    ) -> bool {
        let (space, base) = (&self.space, &self.base.0);
        // SAFETY: offsets of elements of the operand; buffers hold a block; every operand that the steps name points
        // at count * len dense elements.
        unsafe {
            for (k, a) in self.access.iter().enumerate() {
                match *a {
                    Access::Direct => at[k] = base[k].offset(rows.offsets[k] + col as isize * space.strides[k][0]),
                    Access::Buffered(slot) => {
                        at[k] = scratch.slot(slot);
                        if k >= self.no {
                            gather(at[k], base[k], space, k, self.sizes[k], rows, col, count, len);
                        }
                    }
                    Access::Constant | Access::Tile(_) => {}
                }
            }
            let zero = self.code.run(count * len, at, scratch);
            for (k, a) in self.access.iter().enumerate().take(self.no) {
                if let Access::Buffered(_) = a {
                    scatter(at[k], base[k], space, k, self.sizes[k], rows, col, count, len);
                }
            }
            zero
        }
    }
}

/// Whether the program moves its only input to its only output of the same dtype.
fn copy_program(program: &Program, inputs: &[View], outputs: &[View]) -> bool {
    program.insts.len() == 1
        && inputs.len() == 1
        && outputs.len() == 1
        && program.insts[0].op == Opcode::Cast
        && program.insts[0].args[0] == Src::Input(0)
        && program.insts[0].ty == outputs[0].dtype.compute()
        && inputs[0].dtype == outputs[0].dtype
        && inputs[0].dtype != DType::Bool
}

#[cfg(feature = "tests")]
pub(crate) mod tests;
