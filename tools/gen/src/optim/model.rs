//! What `spec/optim.txt` says.

use crate::layers::expr::Expr;

/// What an option holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Float,
    Int,
    Bool,
    Pair,
    Triple,
    Text,
    /// Accepted, printed and kept, without any effect.
    Inert,
    /// What an entry fixes of its base's options.
    Fixed,
}

#[derive(Clone, Debug)]
pub struct Opt {
    pub name: String,
    pub kind: Kind,
    /// None is a value of it.
    pub optional: bool,
    pub default: Expr,
    /// Given by name alone, in Python.
    pub keyword_only: bool,
}

/// `each NAME = expression if condition` and its like.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub value: Expr,
    pub condition: Option<Expr>,
}

/// Whether steps are counted as `step` of each parameter's state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    No,
    Yes,
    /// The state is made with the optimiser.
    FromTheBeginning,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// The entry whose update this one has.
    pub base: Option<String>,
    /// In the base's order, since slots are shared.
    pub options: Vec<Opt>,
    /// As the entry's own signature has them.
    pub written: Vec<Opt>,
    /// The options in the order of the keys of Python's groups, where it is another.
    pub order: Vec<String>,
    /// Python's file.
    pub file: String,
    pub doc: String,
    pub checks: Vec<(Expr, String)>,
    pub count: Count,
    pub states: Vec<Line>,
    pub numbers: Vec<Line>,
    pub scalars: Vec<Line>,
    pub statics: Vec<Line>,
    pub each: Vec<Line>,
    pub native: Option<String>,
    pub by_hand: Option<String>,
    /// What that keeps of a parameter, for the reference.
    pub kept: Vec<String>,
    /// What it gives of its base's options, in the base's order.
    pub fixed: Vec<Line>,
}

impl Entry {
    /// Its place among the options as they are kept.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.options.iter().position(|o| o.name == name)
    }
    /// The options that a constructor takes in C, C++ and Go.
    pub fn taken(&self) -> impl Iterator<Item = &Opt> {
        self.options.iter().filter(|o| !matches!(o.kind, Kind::Inert | Kind::Fixed))
    }
}

/// One file of Python's classes.
#[derive(Clone, Debug)]
pub struct File {
    pub name: String,
    pub doc: String,
}

/// The whole specification.
pub struct Optimizers {
    pub entries: Vec<Entry>,
    pub files: Vec<File>,
}
