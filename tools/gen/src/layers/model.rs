//! What `spec/layers.txt` says, read.

use super::expr::Expr;

/// The whole specification of layers.
#[derive(Debug, Default)]
pub struct Layers {
    pub files: Vec<File>,
    /// Ops that Python composes until the table has them.
    pub composed: Vec<String>,
    /// Classes that Python has by hand.
    pub by_hand: Vec<String>,
}

/// The entries that one Python file holds.
#[derive(Debug)]
pub struct File {
    pub name: String,
    pub doc: String,
    pub entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Layer,
    Loss,
    /// A base class alone.
    Family,
    /// A class that waits for its first input, of another one.
    Lazy,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Convert {
    /// Stored as it came.
    Plain,
    /// One int or a sequence, stored as a tuple of `count` (any number where there is no count).
    Sizes,
    /// Sizes, or 'same' or 'valid'.
    Padding,
    PadMode,
    Reduction,
    Factors,
}

/// An argument's type: its name, the count in brackets, whether None is allowed.
#[derive(Clone, Debug)]
pub struct Type {
    pub name: String,
    pub count: Option<Expr>,
    pub optional: bool,
}

impl Type {
    pub fn convert(&self) -> Convert {
        match self.name.as_str() {
            "Sizes" => Convert::Sizes,
            "Padding" => Convert::Padding,
            "PadMode" => Convert::PadMode,
            "Reduction" => Convert::Reduction,
            "Factors" => Convert::Factors,
            _ => Convert::Plain,
        }
    }
}

/// The types that an argument can have.
pub const TYPES: &[&str] = &[
    "int",
    "float",
    "bool",
    "str",
    "Scalar",
    "Tensor",
    "Function",
    "Module",
    "Sizes",
    "Window",
    "Padding",
    "PadMode",
    "Reduction",
    "Factors",
];

#[derive(Clone, Debug)]
pub struct Argument {
    pub kind: Type,
    pub name: String,
    pub default: Option<Expr>,
    /// Not stored: a parameter has the name.
    pub flag: bool,
    /// Only Python has it.
    pub python_only: bool,
    pub stored_as: Option<String>,
    pub keyword_only: bool,
    /// The least value; outside Python the constructor says so, in Python the first call does, as in PyTorch.
    pub least: Option<i64>,
}

impl Argument {
    pub fn stored(&self) -> bool {
        !self.flag && !self.python_only
    }

    pub fn field(&self) -> &str {
        self.stored_as.as_deref().unwrap_or(&self.name)
    }

    /// A default that names an argument (or an op): it is None in the signature and filled in by the constructor.
    pub fn late_default(&self) -> Option<&str> {
        match &self.default {
            Some(Expr::Name(n)) => Some(n),
            _ => None,
        }
    }
}

/// What the constructor does, in order.
#[derive(Clone, Debug)]
pub enum Step {
    /// `early`: outside Python alone, where PyTorch's constructor lets pass what the first call refuses.
    Refuse {
        when: Expr,
        error: String,
        message: String,
        early: bool,
    },
    Store,
    Let {
        name: String,
        value: Expr,
    },
    Param {
        name: String,
        shape: Expr,
        init: Option<Expr>,
        when: Option<Expr>,
        /// The argument that may bring it, and the one that says that it is not trained.
        from: Option<(String, String)>,
    },
    Buffer {
        name: String,
        shape: Expr,
        dtype: Option<String>,
        value: i64,
        when: Option<Expr>,
    },
    BufferFrom {
        name: String,
        argument: String,
    },
    /// A child: a class with its arguments, or the module that an argument brings (and where both stand, that one first).
    Child {
        name: String,
        from: Option<String>,
        call: Option<Expr>,
    },
    /// A list of copies of the module that an argument brings.
    Clones {
        name: String,
        argument: String,
        count: String,
    },
    /// The weights of recurrent layers, whose number follows from the arguments.
    Recurrent {
        gates: i64,
    },
}

#[derive(Clone, Debug)]
pub struct Reset {
    pub name: String,
    pub doc: String,
    pub when: Option<Expr>,
    pub steps: Vec<ResetStep>,
}

#[derive(Clone, Debug)]
pub enum ResetStep {
    Let(String, Expr),
    Call(Expr),
}

/// A piece of the printed text: `label={value}`, where `when` holds.
#[derive(Clone, Debug)]
pub struct Piece {
    pub label: String,
    pub value: Option<Expr>,
    pub quoted: bool,
    pub when: Option<Expr>,
}

#[derive(Clone, Debug)]
pub struct Forward {
    pub arguments: Vec<Argument>,
    pub call: Expr,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: Kind,
    pub name: String,
    pub base: Option<String>,
    /// Of a lazy class: the class that it becomes.
    pub of: Option<String>,
    /// None: the base's.
    pub arguments: Option<Vec<Argument>>,
    pub factory: bool,
    pub doc: String,
    pub consts: Vec<(String, Expr)>,
    pub fixed: Vec<(String, Expr)>,
    pub steps: Vec<Step>,
    pub resets: Vec<Reset>,
    pub inputs: Option<Vec<String>>,
    /// How many of them, the last ones, may be left out.
    pub optional_inputs: usize,
    pub outputs: Vec<String>,
    pub forward: Option<Forward>,
    pub repr: Option<Vec<Piece>>,
    pub rank_checked: bool,
    pub mixin: Option<String>,
    /// `taper.nn` does not have it under its name.
    pub hidden: bool,
    /// The activation that a product can apply in the same go, and when.
    pub activation: Option<(String, Option<Expr>)>,
    /// The forward with such an activation.
    pub fused: Option<Expr>,
    /// The required arguments that tests give.
    pub example: Option<Vec<Expr>>,
    /// Too large with its defaults for tests to make it so.
    pub large: bool,
    /// The name of the options in C, where it is not the entry's.
    pub options: Option<String>,
}

impl Layers {
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.files.iter().flat_map(|f| &f.entries).find(|e| e.name == name)
    }

    /// An entry and its bases, nearest first.
    pub fn line<'a>(&'a self, entry: &'a Entry) -> Vec<&'a Entry> {
        let mut line = vec![entry];
        let mut next = entry.base.as_deref().or(entry.of.as_deref());
        while let Some(e) = next.and_then(|n| self.entry(n)) {
            line.push(e);
            next = e.base.as_deref().or(e.of.as_deref());
        }
        line
    }

    /// The nearest entry of the line that declares arguments.
    pub fn constructor<'a>(&'a self, entry: &'a Entry) -> Option<&'a Entry> {
        self.line(entry).into_iter().find(|e| e.arguments.is_some())
    }

    pub fn inputs<'a>(&'a self, entry: &'a Entry) -> Vec<&'a str> {
        let declared = self.line(entry).into_iter().find_map(|e| e.inputs.as_ref());
        match declared {
            Some(names) => names.iter().map(String::as_str).collect(),
            None if entry.kind == Kind::Loss => vec!["input", "target"],
            None => vec!["input"],
        }
    }
}
