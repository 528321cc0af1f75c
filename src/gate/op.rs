//! What the gate knows of an op, and how it sees the tensors that one is given.

use crate::base::error::Result;
use crate::tensor::Tensor;

/// What an op does with its float tensors in a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Takes them as they come.
    None,
    /// In the region's dtype.
    Lower,
    Float32,
    /// In the widest dtype among them.
    Widest,
    /// Refused: its values would not fit.
    Banned,
}

/// The number of an op in `spec/ops.txt`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpId(pub u16);
/// What is known of an op.
pub struct Op {
    pub name: &'static str,
    /// What it does under automatic casts, on the CPU and elsewhere.
    pub cpu: Policy,
    pub gpu: Policy,
}

/// Tensors among an op's arguments, which the gate may replace.
pub enum Slot<'a> {
    One(&'a mut Tensor),
    Opt(&'a mut Option<Tensor>),
    List(&'a mut [Tensor]),
    OptList(&'a mut [Option<Tensor>]),
    /// No tensor: whether the call is a case of the op that automatic casts are about.
    Case(bool),
}
impl Slot<'_> {
    fn each(&mut self, f: &mut dyn FnMut(&mut Tensor) -> Result<()>) -> Result<()> {
        match self {
            Slot::One(t) => f(t),
            Slot::Opt(t) => t.iter_mut().try_for_each(f),
            Slot::List(l) => l.iter_mut().try_for_each(f),
            Slot::OptList(l) => l.iter_mut().flatten().try_for_each(f),
            Slot::Case(_) => Ok(()),
        }
    }
}
/// Calls `f` with every tensor.
pub fn each(tensors: &mut [Slot], f: &mut dyn FnMut(&mut Tensor) -> Result<()>) -> Result<()> {
    tensors.iter_mut().try_for_each(|s| s.each(f))
}
