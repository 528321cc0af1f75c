//! Elementwise programs: the form in which every elementwise op reaches a device.
//!
//! A program is a short list of instructions over inputs, scalars and earlier results. The CPU interprets it block
//! by block; a GPU backend prints it as one kernel. Scalars are arguments and no shape is baked in, so that the
//! program is its own cache key. An eager op is a program of one instruction.

use crate::base::dtype::DType;
use smallvec::SmallVec;

pub use super::opcodes_gen::Opcode;

/// Where an argument comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Src {
    /// Input tensor number n.
    Input(u8),
    /// Result of instruction n.
    Reg(u8),
    /// Scalar argument number n.
    Scalar(u8),
}

/// One instruction; unused `args` repeat the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inst {
    pub op: Opcode,
    /// The dtype the operation is carried out in: one of bool, u8, i8, i16, i32, i64, f32, f64 (never a half type).
    pub ty: DType,
    pub args: [Src; 3],
}

/// An elementwise program. Inputs are converted from their dtype where an instruction reads them, results to the
/// output's dtype where they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Program {
    pub inputs: SmallVec<[DType; 4]>,
    pub insts: SmallVec<[Inst; 4]>,
    /// Result register and stored dtype of each output.
    pub outputs: SmallVec<[(u8, DType); 2]>,
}

impl Program {
    /// A program of one instruction over `inputs`, then scalars, in argument order: `op(inputs.., scalars..)`.
    pub fn single(op: Opcode, ty: DType, inputs: &[DType], out: DType) -> Program {
        let n = op.arity();
        let mut args = [Src::Input(0); 3];
        for (i, arg) in args.iter_mut().enumerate().take(n) {
            *arg = if i < inputs.len() { Src::Input(i as u8) } else { Src::Scalar((i - inputs.len()) as u8) };
        }
        Program::of_args(op, ty, inputs, args, out)
    }
    /// A program of one instruction with its arguments given.
    pub fn of_args(op: Opcode, ty: DType, inputs: &[DType], args: [Src; 3], out: DType) -> Program {
        Program {
            inputs: SmallVec::from_slice(inputs),
            insts: SmallVec::from_slice(&[Inst { op, ty: ty.compute(), args }]),
            outputs: SmallVec::from_slice(&[(0, out)]),
        }
    }
    /// The dtype of register `i`.
    pub fn reg_dtype(&self, i: u8) -> DType {
        let inst = &self.insts[i as usize];
        if inst.op.is_predicate() {
            DType::Bool
        } else {
            inst.ty
        }
    }
}

/// An elementwise program that changes some of its inputs, for lists of tensors of any float dtype: one step of an
/// optimiser, whose inputs are the parameter, its gradient and its states.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct ListProgram {
    pub inputs: u8,
    pub insts: SmallVec<[(Opcode, [Src; 3]); 16]>,
    /// The input that a result goes to, and its register.
    pub outputs: SmallVec<[(u8, u8); 4]>,
}

impl ListProgram {
    /// The program for tensors of `dtype`, carried out in what that is computed in. Outputs are in `outputs`' order.
    pub fn typed(&self, dtype: DType) -> Program {
        let ty = dtype.compute();
        Program {
            inputs: SmallVec::from_elem(dtype, self.inputs as usize),
            insts: self.insts.iter().map(|(op, args)| Inst { op: *op, ty, args: *args }).collect(),
            outputs: self.outputs.iter().map(|(_, reg)| (*reg, dtype)).collect(),
        }
    }
    /// Number of states.
    pub fn states(&self) -> usize {
        self.inputs as usize - 2
    }
}
