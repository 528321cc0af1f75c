//! Elementwise programs on the CPU.
//!
//! One instruction on dense operands of the right dtypes goes straight to its kernel. Everything else is
//! interpreted block by block over the operands' joint iteration space: operands that are not dense are gathered
//! into buffers first, so that kernels see dense runs only.

use super::geometry::Space;
use super::interp::*;
use super::parallel::parallel_for;
use super::simd::{self, convert::convert, Kernel};
use crate::backend::program::{Opcode, Program, Src};
use crate::backend::View;
use crate::error::Result;
use crate::tensor::dtype::{DType, Scalar};
use crate::tensor::layout::Layout;
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

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
    let arity = inst.op.arity();
    let mut cast_from = None;
    let mut args = [Arg::Const([0; 8]); 3];
    let mut sizes = [1; 3];
    let mut consts = false;
    for k in 0..arity {
        let want = arg_dtype(inst, k);
        args[k] = match inst.args[k] {
            Src::Input(i) => {
                let v = inputs.get(i as usize)?;
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
    let kernel = if inst.op == Opcode::Cast {
        // Through `ty` in between, which changes nothing when it is what the output is computed in.
        if inst.ty != out.dtype.compute() {
            return None;
        }
        convert(cast_from.unwrap_or(inst.ty), out.dtype)
    } else {
        if out.dtype != program.reg_dtype(0) {
            return None;
        }
        let special = if inst.op == Opcode::Pow { pow_kernel(inst, scalars) } else { None };
        match special {
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
    Some(single.run(n, arity, consts, simd::cost(inst.op, inst.ty)))
}

impl Single {
    #[inline(never)]
    fn run(&self, n: usize, arity: usize, consts: bool, cost: usize) -> Result<()> {
        let bad = AtomicBool::new(false);
        let whole = self;
        parallel_for(n, grain(cost), |range| {
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
    let sizes: SmallVec<[usize; 6]> = views.iter().map(|v| v.dtype.size()).collect();
    // Checked before any thread starts: memory for the buffers.
    drop(code.scratch(blocks.elements())?);
    let bad = AtomicBool::new(false);
    let failed = std::sync::Mutex::new(None);
    let strided = access.iter().filter(|a| matches!(a, Access::Buffered(_))).count();
    let grain_blocks = (grain(code.cost + 2 * strided) / blocks.elements()).max(1);
    let base = &base;
    parallel_for(blocks.count, grain_blocks, |range| {
        let scratch = match code.scratch(blocks.elements()) {
            Ok(s) => s,
            Err(e) => {
                *failed.lock().unwrap_or_else(|p| p.into_inner()) = Some(e);
                return;
            }
        };
        let mut at: SmallVec<[*mut u8; 6]> = SmallVec::from_elem(std::ptr::null_mut(), access.len());
        let mut zero = false;
        blocks.for_each(&space, range, |rows, col, count, len| {
            for (k, a) in access.iter().enumerate() {
                // SAFETY: offsets of elements of the operand; buffers hold a block.
                unsafe {
                    match *a {
                        Access::Direct => {
                            at[k] = base.0[k].offset(rows.offsets[k] + col as isize * space.strides[k][0])
                        }
                        Access::Buffered(slot) => {
                            at[k] = scratch.slot(slot);
                            if k >= no {
                                gather(at[k], base.0[k], &space, k, sizes[k], rows, col, count, len);
                            }
                        }
                        Access::Constant => {}
                    }
                }
            }
            // SAFETY: every operand that the steps name points at count * len dense elements.
            zero |= unsafe { code.run(count * len, &at, &scratch) };
            for (k, a) in access.iter().enumerate().take(no) {
                if let Access::Buffered(_) = a {
                    // SAFETY: as above.
                    unsafe { scatter(at[k], base.0[k], &space, k, sizes[k], rows, col, count, len) };
                }
            }
        });
        if zero {
            bad.store(true, Ordering::Relaxed);
        }
    });
    if let Some(e) = failed.into_inner().unwrap_or_else(|p| p.into_inner()) {
        return Err(e);
    }
    if bad.into_inner() {
        return Err(zero_division());
    }
    Ok(())
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

#[cfg(test)]
#[path = "elementwise_tests.rs"]
mod tests;
