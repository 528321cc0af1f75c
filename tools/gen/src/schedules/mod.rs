//! Learning-rate schedules, from `spec/schedules.txt`.

mod c;
mod cpp;
mod docs;
mod go;
mod parser;
mod python;
mod rust;

use crate::layers::expr::Expr;
use std::path::Path;

/// What an argument is, in every language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Int,
    /// An int or None.
    OptInt,
    Float,
    Bool,
    Str,
    Ints,
    /// One number, or one for each parameter group.
    Rates,
    Callback,
    OptCallback,
    Schedules,
}

/// The specification's words.
const KINDS: &[(&str, Kind)] = &[
    ("int", Kind::Int),
    ("int?", Kind::OptInt),
    ("float", Kind::Float),
    ("bool", Kind::Bool),
    ("str", Kind::Str),
    ("ints", Kind::Ints),
    ("rates", Kind::Rates),
    ("callback", Kind::Callback),
    ("callback?", Kind::OptCallback),
    ("schedules", Kind::Schedules),
];

#[derive(Clone, Debug)]
pub struct Argument {
    pub name: String,
    pub kind: Kind,
    /// As it is spelt; None for what is required.
    pub default: Option<String>,
}

impl Argument {
    /// Whether it stands among the options: it has a default and is no callback, which comes with a pointer of its own.
    pub fn is_option(&self) -> bool {
        self.default.is_some() && self.kind != Kind::OptCallback
    }
    /// The default as a number of Rust, C, C++ and Go.
    pub fn number(&self) -> String {
        let d = self.default.as_deref().unwrap_or("0");
        match self.kind {
            Kind::Float | Kind::Rates if !d.contains(['.', 'e']) => format!("{d}.0"),
            Kind::Float | Kind::Rates => d.into(),
            Kind::Bool => if d == "True" { "true" } else { "false" }.into(),
            Kind::Str => format!("\"{}\"", d.trim_matches('\'')),
            _ => d.into(),
        }
    }
}

#[derive(Debug)]
pub struct Entry {
    pub name: String,
    pub doc: String,
    pub arguments: Vec<Argument>,
    pub refuse: Vec<(Expr, String)>,
    /// The recursive form; None: by hand.
    pub next: Option<Expr>,
    pub closed: Option<Expr>,
    /// Whether its first argument is the optimizer, its last the epoch to go on from.
    pub optimizer: bool,
    pub last_epoch: bool,
}

impl Entry {
    /// `StepLR`: `step_lr`.
    pub fn snake(&self) -> String {
        let c: Vec<char> = self.name.chars().collect();
        let mut s = String::new();
        for (i, x) in c.iter().enumerate() {
            let begins = i > 0
                && x.is_uppercase()
                && (c[i - 1].is_lowercase() || c.get(i + 1).is_some_and(|n| n.is_lowercase()));
            if begins {
                s.push('_');
            }
            s.extend(x.to_lowercase());
        }
        s
    }
    pub fn options(&self) -> impl Iterator<Item = &Argument> {
        self.arguments.iter().filter(|a| a.is_option())
    }
    /// What stands before the options.
    pub fn required(&self) -> impl Iterator<Item = &Argument> {
        self.arguments.iter().filter(|a| !a.is_option())
    }
    pub fn has_options(&self) -> bool {
        self.last_epoch || self.options().next().is_some()
    }
}

fn load(root: &Path) -> Result<Vec<Entry>, String> {
    let path = root.join("spec/schedules.txt");
    parser::parse(&std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?)
}

/// The core's types and formulas.
pub fn rust(root: &Path) -> Result<Option<String>, String> {
    load(root).map(|e| Some(rust::emit(&e)))
}

pub fn rust_rules(root: &Path) -> Result<Option<String>, String> {
    load(root).map(|e| Some(rust::rules(&e)))
}

/// Options and bodies of the C functions.
pub fn capi(root: &Path) -> Result<Option<String>, String> {
    load(root).map(|e| Some(c::emit(&e)))
}

/// The C functions, as `spec/objects.txt` would declare them.
pub fn objects(root: &Path) -> Result<String, String> {
    load(root).map(|e| c::objects(&e))
}

/// The options' `_INIT` macros.
pub fn macros(root: &Path) -> Result<String, String> {
    load(root).map(|e| c::macros(&e))
}

pub fn python(root: &Path) -> Result<Option<String>, String> {
    load(root).map(|e| Some(python::emit(&e)))
}

/// The module `lr_scheduler`.
pub fn python_module(root: &Path) -> Result<Option<String>, String> {
    load(root).map(|e| Some(python::lr_scheduler(&e)))
}

/// Their types.
pub fn stubs(root: &Path) -> Result<Option<String>, String> {
    load(root).map(|e| Some(python::stubs(&e)))
}

pub fn cpp(root: &Path) -> Result<Option<String>, String> {
    load(root).map(|e| Some(cpp::emit(&e)))
}

pub fn go(root: &Path) -> Result<Option<String>, String> {
    load(root).map(|e| Some(go::emit(&e)))
}

/// The page of the reference.
pub fn page(root: &Path) -> Result<String, String> {
    load(root).map(|e| docs::page(&e))
}
