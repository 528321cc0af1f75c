//! What the table says of an optimiser, and what its generated functions are written with.

use crate::backend::program::{ListProgram, Opcode, Src};
use smallvec::SmallVec;
use std::cell::RefCell;

pub struct OptionSpec {
    pub name: &'static str,
    pub kind: Kind,
    /// None is a value of it.
    pub optional: bool,
    pub default: Default,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Float,
    Int,
    Bool,
    Numbers(usize),
    Text,
    /// Accepted, printed and kept, without any effect.
    Inert,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A number that PyTorch's signature writes, and prints, without a point.
    Whole(f64),
    /// NaN stands for a None in it.
    Numbers(&'static [f64]),
    Text(&'static str),
}

/// Whether steps are counted as `step` of each parameter's state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    No,
    Yes,
    /// The state is made with the optimiser.
    FromTheBeginning,
}

/// Updates that devices have as kernels of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Native {
    Sgd,
    Adam,
}

/// Updates that are no elementwise program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hand {
    Lbfgs,
    Adafactor,
    Muon,
}

/// What is the same for all elements: which lines of the update count, and its scalars.
#[derive(Clone, Debug, std::default::Default)]
pub struct Numbers {
    pub on: u32,
    pub scalars: SmallVec<[f64; 12]>,
}
impl Numbers {
    pub fn flags(&mut self, flags: &[bool]) {
        self.on = flags.iter().enumerate().fold(0, |on, (i, f)| on | (*f as u32) << i);
    }
    pub fn scalars(&mut self, v: &[f64]) {
        self.scalars.extend_from_slice(v);
    }
    /// Whether both stand for the same step; what is not a number equals itself.
    pub fn same(&self, other: &Numbers) -> bool {
        self.on == other.on && self.scalars.iter().map(|v| v.to_bits()).eq(other.scalars.iter().map(|v| v.to_bits()))
    }
}

/// Writes an update's program: inputs are the parameter, its gradient, and the states in use.
pub struct Build {
    on: u32,
    used: u32,
    program: RefCell<ListProgram>,
}

impl Build {
    /// The program of `each` where the lines `on` count and the states `used` exist.
    pub fn program(each: fn(&Build), on: u32, used: u32) -> ListProgram {
        let program = ListProgram { inputs: 2 + used.count_ones() as u8, ..ListProgram::default() };
        let b = Build { on, used, program: RefCell::new(program) };
        each(&b);
        b.program.into_inner()
    }
    /// Whether line number `flag` counts.
    pub fn on(&self, flag: u32) -> bool {
        self.on & 1 << flag != 0
    }
    pub fn param(&self) -> Src {
        Src::Input(0)
    }
    pub fn grad(&self) -> Src {
        Src::Input(1)
    }
    /// A state; one that is not in use is never read.
    pub fn state(&self, slot: u32) -> Src {
        Src::Input(self.input(slot))
    }
    fn input(&self, slot: u32) -> u8 {
        if self.used & 1 << slot == 0 {
            return 0;
        }
        2 + (self.used & ((1 << slot) - 1)).count_ones() as u8
    }
    pub fn scalar(&self, n: u8) -> Src {
        Src::Scalar(n)
    }
    pub fn op(&self, op: Opcode, args: &[Src]) -> Src {
        let mut all = [args[0]; 3];
        all[..args.len()].copy_from_slice(args);
        let mut p = self.program.borrow_mut();
        p.insts.push((op, all));
        Src::Reg((p.insts.len() - 1) as u8)
    }
    /// The end: what the parameter and the states become.
    pub fn done(&self, p: Src, states: &[Src]) {
        let states = states.iter().enumerate().filter(|(i, _)| self.used & 1 << i != 0);
        let states = states.map(|(i, s)| (self.input(i as u32), *s));
        for (input, value) in std::iter::once((0, p)).chain(states) {
            let reg = match value {
                Src::Input(i) if i == input => continue,
                Src::Reg(r) => r,
                // The value of another tensor as it is.
                other => match self.op(Opcode::Cast, &[other]) {
                    Src::Reg(r) => r,
                    _ => continue,
                },
            };
            self.program.borrow_mut().outputs.push((input, reg));
        }
    }
}
