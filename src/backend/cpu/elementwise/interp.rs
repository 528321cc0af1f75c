//! Programs made ready for the block interpreter: kernels chosen, conversions inserted, buffers assigned.

use crate::backend::cpu::alloc::Block;
use crate::backend::cpu::geometry::{Rows, Space};
use crate::backend::cpu::simd::{self, convert::convert, Kernel};
use crate::backend::cpu::transpose::transpose;
use crate::backend::memory;
use crate::backend::program::{Inst, Opcode, Program, Src};
use crate::backend::View;
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use crate::base::scalar::Scalar;
use crate::{bail, ensure};
use smallvec::SmallVec;

/// Elements per block: a few buffers of them stay in the first-level cache.
pub const BLOCK: usize = 1024;

/// The dtype in which an instruction reads argument `k`.
#[inline]
pub fn arg_dtype(inst: &Inst, k: usize) -> DType {
    use Opcode::*;
    match inst.op {
        op if op.reads_bool(k) => DType::Bool,
        // Integers are never NaN or infinite, nor are they as floats.
        IsNan | IsInf | IsFinite if !inst.ty.is_float() => DType::F32,
        _ => inst.ty,
    }
}

/// The kernel of an instruction whose arguments have `arg_dtype`, or the error that there is none.
#[inline]
pub fn inst_kernel(inst: &Inst) -> Result<Kernel> {
    let ty = match inst.op {
        Opcode::IsNan | Opcode::IsInf | Opcode::IsFinite => arg_dtype(inst, 0),
        _ => inst.ty,
    };
    simd::kernel(inst.op, ty).ok_or_else(|| no_kernel(inst))
}
#[cold]
fn no_kernel(inst: &Inst) -> Error {
    Error::unsupported(&format!("{:?}", inst.op), inst.ty, "cpu")
}

/// A cheaper kernel for what some numbers allow: a power with a constant exponent, bounds that are no NaN.
#[inline]
pub fn special_kernel(inst: &Inst, scalars: &[Scalar]) -> Option<Kernel> {
    if inst.op == Opcode::Clamp {
        let ordered =
            |a: Src| matches!(a, Src::Scalar(s) if scalars.get(s as usize).is_some_and(|v| !v.to_f64().is_nan()));
        return match inst.ty {
            DType::F32 if inst.args[1..].iter().all(|a| ordered(*a)) => Some(simd::float_ops::within_kernel::<f32>()),
            DType::F64 if inst.args[1..].iter().all(|a| ordered(*a)) => Some(simd::float_ops::within_kernel::<f64>()),
            _ => None,
        };
    }
    let (Opcode::Pow, Src::Scalar(s)) = (inst.op, inst.args[1]) else { return None };
    let e = scalars.get(s as usize)?.to_f64();
    match inst.ty {
        DType::F32 => simd::float_ops::pow_kernel::<f32>(e),
        DType::F64 => simd::float_ops::pow_kernel::<f64>(e),
        _ => None,
    }
}

#[cold]
pub fn zero_division() -> Error {
    Error::new(crate::base::error::ErrorKind::Runtime, "ZeroDivisionError")
}

/// One element's bytes, first in memory order.
pub type Bits = [u8; 8];

/// A scalar argument as an element of `dtype`.
pub fn scalar_bits(s: Scalar, dtype: DType) -> Bits {
    let mut bits = [0; 8];
    macro_rules! put {
        ($v:expr) => {{
            let b = $v.to_ne_bytes();
            bits[..b.len()].copy_from_slice(&b);
        }};
    }
    match (dtype, s) {
        (DType::Bool, s) => bits[0] = s.to_bool() as u8,
        (DType::F32, Scalar::Int(v)) => put!((v as f32)),
        (DType::F32, s) => put!((s.to_f64() as f32)),
        (DType::F64, s) => put!(s.to_f64()),
        (d, Scalar::Float(v)) => return convert_bits(v.to_ne_bytes(), DType::F64, d),
        (d, s) => return convert_bits(s.to_i64().to_ne_bytes(), DType::I64, d),
    }
    bits
}

/// One element converted.
pub fn convert_bits(bits: Bits, from: DType, to: DType) -> Bits {
    let mut out = [0; 8];
    let p = bits.as_ptr();
    // SAFETY: one element of at most 8 bytes on each side.
    unsafe { convert(from, to)(1, out.as_mut_ptr(), p, p, p) };
    out
}

/// Writes `n` copies of an element of `size` bytes.
///
/// # Safety
/// `dst` is writable for `n * size` bytes.
pub unsafe fn fill(dst: *mut u8, size: usize, bits: Bits, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        match size {
            1 => dst.write_bytes(bits[0], n),
            2 => fill_as(dst.cast(), u16::from_ne_bytes([bits[0], bits[1]]), n),
            4 => fill_as(dst.cast(), u32::from_ne_bytes([bits[0], bits[1], bits[2], bits[3]]), n),
            _ => fill_as(dst.cast(), u64::from_ne_bytes(bits), n),
        }
    }
}
#[inline(always)]
unsafe fn fill_as<T: Copy>(dst: *mut T, v: T, n: usize) {
    for i in 0..n {
        // SAFETY: i < n.
        unsafe { dst.add(i).write_unaligned(v) };
    }
}

/// Reads one element of `size` bytes.
///
/// # Safety
/// `p` is readable for `size` bytes.
pub unsafe fn read_bits(p: *const u8, size: usize) -> Bits {
    let mut bits = [0; 8];
    // SAFETY: the caller's.
    unsafe { std::ptr::copy_nonoverlapping(p, bits.as_mut_ptr(), size) };
    bits
}

/// First byte of a view's data; an error when the memory is not the host's.
#[inline]
pub fn data(v: &View) -> Result<*mut u8> {
    match v.storage.host_ptr() {
        // SAFETY: a layout lies within its storage (the tensor's invariant; checked in debug builds).
        Some(p) => {
            debug_assert!(
                v.layout.required_elements() as usize * v.dtype.size() <= v.storage.nbytes(),
                "{:?} exceeds its storage of {} bytes",
                v.layout,
                v.storage.nbytes()
            );
            Ok(unsafe { p.as_ptr().add(v.layout.offset as usize * v.dtype.size()) })
        }
        None => {
            bail!(Runtime, "Expected all tensors to be on the same device, but found one on {}", v.storage.device())
        }
    }
}

/// Where a block's data lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loc {
    /// Operand of the space: its memory, or the buffer it was gathered into.
    Operand(usize),
    /// Buffer of the scratch memory.
    Slot(usize),
}

struct Step {
    kernel: Kernel,
    dst: Loc,
    args: [Loc; 3],
}

/// What a program needs to know of an input.
#[derive(Clone, Copy)]
pub struct Input {
    pub dtype: DType,
    /// Its operand number in the space.
    pub operand: usize,
    /// The one element, where the input is one element repeated.
    pub constant: Option<Bits>,
}

/// A program with its kernels and buffers.
pub struct Compiled {
    steps: SmallVec<[Step; 4]>,
    /// Buffers that hold one element repeated, filled once: slot, element size, element.
    constants: SmallVec<[(usize, usize, Bits); 4]>,
    /// Where each register of `program.outputs` lies after the steps.
    pub results: SmallVec<[Loc; 2]>,
    slots: usize,
    max_size: usize,
    /// Time per element in units of a cheap op's.
    pub cost: usize,
}

impl Compiled {
    /// Compiles `program`. An output whose operand is in `direct` and whose dtype is its register's is written by its
    /// instruction; others must be stored from `results`.
    pub fn new(program: &Program, inputs: &[Input], scalars: &[Scalar], direct: &[Option<usize>]) -> Result<Compiled> {
        let mut c = Compiled {
            steps: SmallVec::new(),
            constants: SmallVec::new(),
            results: SmallVec::new(),
            slots: 0,
            max_size: 1,
            cost: 0,
        };
        for input in inputs {
            c.max_size = c.max_size.max(input.dtype.size());
        }
        let count = program.insts.len();
        ensure!(count <= 256, Internal, "a program of {count} instructions");
        // Steps of what is long are more bytes than the reserve for small things serves: a step for each instruction,
        // and as many for conversions.
        if count > 32 {
            memory::reserve_small(&mut c.steps, 2 * count)?;
        }
        // Last instruction to read each register; results stay.
        let mut last: SmallVec<[usize; 8]> = SmallVec::from_elem(0, count);
        for (k, inst) in program.insts.iter().enumerate() {
            for src in &inst.args[..inst.op.arity()] {
                if let Src::Reg(r) = src {
                    ensure!((*r as usize) < k, Internal, "instruction {k} reads register {r}");
                    last[*r as usize] = k;
                }
            }
        }
        for (r, _) in &program.outputs {
            ensure!((*r as usize) < count, Internal, "output of register {r}");
            last[*r as usize] = usize::MAX;
        }
        let mut regs: SmallVec<[Loc; 8]> = SmallVec::new();
        let mut free: SmallVec<[usize; 8]> = SmallVec::new();
        let mut known: SmallVec<[(Src, DType, Loc); 4]> = SmallVec::new();
        for (k, inst) in program.insts.iter().enumerate() {
            let arity = inst.op.arity();
            let mut args = [Loc::Slot(0); 3];
            let mut temps: SmallVec<[usize; 3]> = SmallVec::new();
            let mut cast_from = None;
            for (a, &src) in inst.args[..arity].iter().enumerate() {
                let want = arg_dtype(inst, a);
                args[a] = match src {
                    Src::Scalar(s) => {
                        let Some(v) = scalars.get(s as usize) else { bail!(Internal, "scalar {s} is missing") };
                        match known.iter().find(|e| e.0 == src && e.1 == want) {
                            Some(e) => e.2,
                            None => c.constant(&mut known, src, want, scalar_bits(*v, want)),
                        }
                    }
                    Src::Input(i) => {
                        let Some(input) = inputs.get(i as usize) else { bail!(Internal, "input {i} is missing") };
                        if let Some(e) = known.iter().find(|e| e.0 == src && e.1 == want) {
                            e.2
                        } else if let Some(bits) = input.constant {
                            let bits = if input.dtype == want { bits } else { convert_bits(bits, input.dtype, want) };
                            c.constant(&mut known, src, want, bits)
                        } else if input.dtype == want {
                            Loc::Operand(input.operand)
                        } else if inst.op == Opcode::Cast {
                            cast_from = Some(input.dtype);
                            Loc::Operand(input.operand)
                        } else {
                            let slot = c.slot(&mut free);
                            c.step(convert(input.dtype, want), Loc::Slot(slot), [Loc::Operand(input.operand); 3], want);
                            known.push((src, want, Loc::Slot(slot)));
                            Loc::Slot(slot)
                        }
                    }
                    Src::Reg(r) => {
                        let have = program.reg_dtype(r);
                        let loc = regs[r as usize];
                        if have == want {
                            loc
                        } else if inst.op == Opcode::Cast {
                            cast_from = Some(have);
                            loc
                        } else {
                            let slot = c.slot(&mut free);
                            temps.push(slot);
                            c.step(convert(have, want), Loc::Slot(slot), [loc; 3], want);
                            Loc::Slot(slot)
                        }
                    }
                };
            }
            for a in arity..3 {
                args[a] = args[0];
            }
            let dtype = program.reg_dtype(k as u8);
            let output =
                program.outputs.iter().zip(direct).find(|((r, d), to)| *r as usize == k && *d == dtype && to.is_some());
            let dst = match output {
                Some((_, Some(operand))) => Loc::Operand(*operand),
                _ => Loc::Slot(c.slot(&mut free)),
            };
            let kernel = match cast_from {
                Some(from) => convert(from, inst.ty),
                None => match special_kernel(inst, scalars) {
                    Some(k) => k,
                    None => inst_kernel(inst)?,
                },
            };
            c.cost += inst.op.cost(inst.ty == DType::F32);
            c.step(kernel, dst, args, dtype);
            regs.push(dst);
            // Buffers are free after their last reader, which never writes over its own arguments.
            free.extend(temps);
            for r in 0..=k {
                if last[r] == k && (r < k || last[k] == k) {
                    if let Loc::Slot(s) = regs[r] {
                        if !free.contains(&s) {
                            free.push(s);
                        }
                    }
                }
            }
        }
        c.results = program.outputs.iter().map(|(r, _)| regs[*r as usize]).collect();
        Ok(c)
    }

    /// The program that gives its only input back.
    pub fn identity(input: &Input) -> Compiled {
        Compiled {
            steps: SmallVec::new(),
            constants: SmallVec::new(),
            results: SmallVec::from_slice(&[Loc::Operand(input.operand)]),
            slots: 0,
            max_size: input.dtype.size(),
            cost: 0,
        }
    }

    fn slot(&mut self, free: &mut SmallVec<[usize; 8]>) -> usize {
        free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }
    /// A buffer of its own, for gathered or scattered operands and the like.
    pub fn extra_slot(&mut self, dtype: DType) -> usize {
        self.max_size = self.max_size.max(dtype.size());
        self.slots += 1;
        self.slots - 1
    }
    fn step(&mut self, kernel: Kernel, dst: Loc, args: [Loc; 3], dtype: DType) {
        self.max_size = self.max_size.max(dtype.size());
        self.steps.push(Step { kernel, dst, args });
    }
    /// A conversion after the program's instructions.
    pub fn store(&mut self, from: DType, src: Loc, to: DType, dst: Loc) {
        self.step(convert(from, to), dst, [src; 3], to);
    }
    fn constant(&mut self, known: &mut SmallVec<[(Src, DType, Loc); 4]>, src: Src, dtype: DType, bits: Bits) -> Loc {
        let slot = self.extra_slot(dtype);
        self.constants.push((slot, dtype.size(), bits));
        known.push((src, dtype, Loc::Slot(slot)));
        Loc::Slot(slot)
    }
    /// A kernel of one argument after the program's instructions.
    pub fn apply(&mut self, kernel: Kernel, src: Loc, dst: Loc, dtype: DType) {
        self.step(kernel, dst, [src; 3], dtype);
    }
    /// Whether the result of the only input is the input itself.
    pub fn is_identity(&self) -> bool {
        self.steps.is_empty()
    }
    /// Elements of a block whose buffers take about `bytes`.
    pub fn block(&self, bytes: usize) -> usize {
        (bytes / (self.slots * self.max_size).max(1)).clamp(256, BLOCK) / 64 * 64
    }
    /// Buffers for blocks of at most `elements`, the constants filled in.
    pub fn scratch(&self, elements: usize) -> Result<Scratch> {
        let slot_bytes = (elements * self.max_size).next_multiple_of(64);
        let scratch = Scratch { memory: Block::new(self.slots * slot_bytes)?, slot_bytes };
        for &(slot, size, bits) in &self.constants {
            // SAFETY: a slot holds `elements` elements of any size in the program.
            unsafe { fill(scratch.slot(slot), size, bits, elements) };
        }
        Ok(scratch)
    }
    /// Runs the steps on `n` elements; true when an integer divisor was zero.
    ///
    /// # Safety
    /// `operands` point at the block's data (or its gathered copy), dense for `n` elements; `scratch` is this
    /// program's, for at least `n` elements.
    #[inline]
    pub unsafe fn run(&self, n: usize, operands: &[*mut u8], scratch: &Scratch) -> bool {
        let mut bad = false;
        for s in &self.steps {
            let at = |loc: Loc| scratch.at(loc, operands);
            // SAFETY: the caller's; slots are large enough for n elements.
            bad |= unsafe { (s.kernel)(n, at(s.dst), at(s.args[0]), at(s.args[1]), at(s.args[2])) };
        }
        bad
    }
}

/// Buffers of one thread.
pub struct Scratch {
    memory: Block,
    slot_bytes: usize,
}
impl Scratch {
    #[inline]
    pub fn slot(&self, i: usize) -> *mut u8 {
        // SAFETY: slots are numbered below the count that the memory was made for.
        unsafe { self.memory.ptr().as_ptr().add(i * self.slot_bytes) }
    }
    #[inline]
    pub fn at(&self, loc: Loc, operands: &[*mut u8]) -> *mut u8 {
        match loc {
            Loc::Operand(k) => operands[k],
            Loc::Slot(s) => self.slot(s),
        }
    }
}

/// How an operand's data for a block is had.
#[derive(Clone, Copy, Debug)]
pub enum Access {
    /// In place.
    Direct,
    /// Through a buffer.
    Buffered(usize),
    /// Through a buffer that holds several rows.
    Tile(usize),
    /// Not at all: the program has its value.
    Constant,
}

/// Cuts a space into blocks: parts of one row (dimension 0) where rows are long, several whole rows otherwise.
pub struct Blocks {
    pub rows: usize,
    pub row_len: usize,
    /// Rows per block, and elements per row of a block; one of the two covers it all.
    pub block_rows: usize,
    pub block_len: usize,
    /// Blocks along one row.
    pub parts: usize,
    pub count: usize,
}
/// Rows at least so long are cut by themselves.
const LONG_ROW: usize = 128;

impl Blocks {
    pub fn new(space: &Space) -> Blocks {
        let row_len = space.shape[0];
        let rows = space.numel() / row_len;
        if row_len >= LONG_ROW || rows == 1 {
            let parts = row_len.div_ceil(BLOCK);
            // Even parts, but of whole cache lines.
            let block_len = row_len.div_ceil(parts).next_multiple_of(64).min(row_len);
            let parts = row_len.div_ceil(block_len);
            Blocks { rows, row_len, block_rows: 1, block_len, parts, count: rows * parts }
        } else {
            let block_rows = (BLOCK / row_len).min(rows);
            Blocks { rows, row_len, block_rows, block_len: row_len, parts: 1, count: rows.div_ceil(block_rows) }
        }
    }
    /// Cuts rows that are cut by themselves into blocks of at most `len`.
    pub fn split(&mut self, len: usize) {
        self.parts = self.row_len.div_ceil(len);
        self.block_len = self.row_len.div_ceil(self.parts).next_multiple_of(16).min(self.row_len);
        self.parts = self.row_len.div_ceil(self.block_len);
        self.count = self.rows * self.parts;
    }
    /// Elements of the largest block.
    pub fn elements(&self) -> usize {
        self.block_rows * self.block_len
    }
    /// Whether operand `k` can be used in place by every block.
    pub fn is_direct(&self, space: &Space, k: usize, size: usize) -> bool {
        space.is_dense(k, size) || (self.block_rows == 1 && (space.strides[k][0] == size as isize || self.row_len == 1))
    }
    /// Calls `f(rows, column, row count, length)` for the blocks in `range`.
    pub fn for_each(
        &self,
        space: &Space,
        range: std::ops::Range<usize>,
        mut f: impl FnMut(&Rows, usize, usize, usize),
    ) {
        if self.block_rows == 1 {
            let mut part = range.start % self.parts;
            let mut rows = Rows::at(space, range.start / self.parts);
            for _ in range {
                let col = part * self.block_len;
                f(&rows, col, 1, self.block_len.min(self.row_len - col));
                part += 1;
                if part == self.parts {
                    part = 0;
                    rows.advance();
                }
            }
        } else {
            for b in range {
                let row = b * self.block_rows;
                let rows = Rows::at(space, row);
                f(&rows, 0, self.block_rows.min(self.rows - row), self.row_len);
            }
        }
    }
}

/// Gathers a block of operand `k` into `dst`.
///
/// # Safety
/// `base` is the operand's first byte and its layout lies within its memory; `dst` holds `count * len` elements.
pub unsafe fn gather(
    dst: *mut u8,
    base: *const u8,
    space: &Space,
    k: usize,
    size: usize,
    rows: &Rows,
    col: usize,
    count: usize,
    len: usize,
) {
    let stride = space.strides[k][0];
    let start = col as isize * stride;
    // SAFETY: the caller's; every element visited is one of the operand's.
    unsafe {
        if count > 1 && space.strides[k].get(1) == Some(&(size as isize)) && stride != size as isize {
            // Dense along the next dimension: a row of the block is a column in memory.
            let mut dst = dst;
            rows.for_each_run(k, count, |offset, n| {
                transpose(size, n, len, dst, (len * size) as isize, base.offset(offset + start), stride);
                dst = dst.add(n * len * size);
            });
            return;
        }
        match size {
            1 => gather_as::<u8>(dst, base, stride, rows, k, start, count, len),
            2 => gather_as::<u16>(dst, base, stride, rows, k, start, count, len),
            4 => gather_as::<u32>(dst, base, stride, rows, k, start, count, len),
            _ => gather_as::<u64>(dst, base, stride, rows, k, start, count, len),
        }
    }
}
unsafe fn gather_as<T: Copy>(
    dst: *mut u8,
    base: *const u8,
    stride: isize,
    rows: &Rows,
    k: usize,
    start: isize,
    count: usize,
    len: usize,
) {
    let mut dst = dst.cast::<T>();
    let size = size_of::<T>() as isize;
    // SAFETY: as in `gather`.
    unsafe {
        rows.for_each_offset(k, count, |offset| {
            let src = base.offset(offset + start);
            if stride == size {
                if len >= 16 {
                    std::ptr::copy_nonoverlapping(src, dst.cast::<u8>(), len * size as usize);
                } else {
                    for i in 0..len {
                        simd::scalar_loop();
                        dst.add(i).write_unaligned(src.cast::<T>().add(i).read_unaligned());
                    }
                }
            } else if stride == 0 {
                fill_as(dst, src.cast::<T>().read_unaligned(), len);
            } else if stride == -size {
                reverse(dst, src.cast::<T>(), len);
            } else {
                let mut p = src;
                for i in 0..len {
                    dst.add(i).write_unaligned(p.cast::<T>().read_unaligned());
                    p = p.offset(stride);
                }
            }
            dst = dst.add(len);
        });
    }
}

/// `dst[i] = src[-i]`, in blocks that are turned in registers.
///
/// # Safety
/// `dst` holds `len` elements, and so does the memory that ends with `src`; they do not overlap.
#[inline(always)]
unsafe fn reverse<T: Copy>(dst: *mut T, src: *const T, len: usize) {
    const N: usize = 16;
    // SAFETY: the caller's.
    unsafe {
        let mut i = 0;
        while i + N <= len {
            let mut block = src.offset(-((i + N - 1) as isize)).cast::<[T; N]>().read_unaligned();
            block.reverse();
            dst.add(i).cast::<[T; N]>().write_unaligned(block);
            i += N;
        }
        for i in i..len {
            dst.add(i).write_unaligned(src.offset(-(i as isize)).read_unaligned());
        }
    }
}

/// The reverse of `gather`.
///
/// # Safety
/// As `gather`, with `base` writable and `src` readable.
pub unsafe fn scatter(
    src: *const u8,
    base: *mut u8,
    space: &Space,
    k: usize,
    size: usize,
    rows: &Rows,
    col: usize,
    count: usize,
    len: usize,
) {
    let stride = space.strides[k][0];
    let start = col as isize * stride;
    // SAFETY: the caller's.
    unsafe {
        match size {
            1 => scatter_as::<u8>(src, base, stride, rows, k, start, count, len),
            2 => scatter_as::<u16>(src, base, stride, rows, k, start, count, len),
            4 => scatter_as::<u32>(src, base, stride, rows, k, start, count, len),
            _ => scatter_as::<u64>(src, base, stride, rows, k, start, count, len),
        }
    }
}
unsafe fn scatter_as<T: Copy>(
    src: *const u8,
    base: *mut u8,
    stride: isize,
    rows: &Rows,
    k: usize,
    start: isize,
    count: usize,
    len: usize,
) {
    let mut src = src.cast::<T>();
    // SAFETY: as in `scatter`.
    unsafe {
        rows.for_each_offset(k, count, |offset| {
            let mut p = base.offset(offset + start);
            for i in 0..len {
                p.cast::<T>().write_unaligned(src.add(i).read_unaligned());
                p = p.offset(stride);
            }
            src = src.add(len);
        });
    }
}
