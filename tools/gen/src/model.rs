//! The op table as data: what every emitter reads.

use crate::types::{self, Types};
use std::sync::OnceLock;

/// One op of `spec/ops.txt`.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Name before the dot: `add`, `add_`, `max`.
    pub base_name: String,
    /// Overload after the dot, empty when there is none: `Tensor`, `Scalar`, `dim`.
    pub overload: String,
    /// C name without the `taper_` prefix: `add`, `add_scalar`, `add_scalar_`, `max_dim`.
    pub c_name: String,
    /// Function in `crate::ops`: the C name, as a raw identifier where that is a Rust keyword.
    pub rust_name: String,
    pub args: Vec<Arg>,
    /// Results in order; empty for in-place ops and `-> ()`.
    pub returns: Vec<Ret>,
    /// Doc lines, without indent and without the attribute brackets; at least one.
    pub doc: Vec<String>,
    /// The op is in-place: it writes to (and in the wrappers returns) the first argument.
    pub inplace: bool,
    /// The result is a view of the first argument.
    pub view: bool,
    /// A method of Tensor (needs a first argument `Tensor self`).
    pub method: bool,
    /// A free function (`taper.add` in Python).
    pub function: bool,
    /// Lives in `nn.functional`.
    pub nn: bool,
    /// The cases that automatic casts are about, where that is not every call: a text argument and a list's length.
    pub cases: Vec<(String, Vec<usize>)>,
    /// Version that brought the op; `[since 0.2]` in the table, else 0.1.
    pub since: String,
    /// Heading (`# ...` comment) under which the op stands in the table.
    pub section: String,
    /// Line in the table, for messages.
    pub line: usize,
}

/// One argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    pub name: String,
    pub ty: Type,
    pub default: Option<Default>,
    /// Stands after `*`: keyword-only in Python.
    pub kwonly: bool,
    /// Marked `(a!)`: written by the op.
    pub mutated: bool,
}

/// Type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Tensor,
    OptTensor,
    TensorList,
    OptTensorList,
    Scalar,
    OptScalar,
    Int,
    OptInt,
    Float,
    OptFloat,
    Bool,
    OptBool,
    /// `int[]` or, with the number of repeats of a single int, `int[2]`.
    IntList(Option<usize>),
    OptIntList(Option<usize>),
    DType,
    OptDType,
    /// `Device?`, type 0 for none in C; without a default it is required (and a plain `Device` in Rust).
    Device,
    Str,
    OptStr,
    /// Always optional: NULL is the default generator.
    Generator,
}

impl Type {
    pub fn is_optional(self) -> bool {
        use Type::*;
        matches!(
            self,
            OptTensor
                | OptScalar
                | OptInt
                | OptFloat
                | OptBool
                | OptIntList(_)
                | OptDType
                | Device
                | OptStr
                | Generator
        )
    }
    /// Takes a pointer and a length in C.
    #[allow(dead_code)] // for the emitters
    pub fn is_list(self) -> bool {
        matches!(self, Type::TensorList | Type::OptTensorList | Type::IntList(_) | Type::OptIntList(_))
    }
}

/// Default of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Default {
    /// `None`: absent tensor, number, dtype, device.
    None,
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(String),
    /// A list; for `int[2] x=1` already repeated to `[1, 1]`.
    IntList(Vec<i64>),
    /// PyTorch's ScalarType code of a named dtype (`float32`, `long`), with its canonical name.
    DType(i32, &'static str),
}

/// One result.
#[derive(Clone, Debug, PartialEq)]
pub struct Ret {
    /// `out` for a single unnamed result, `out0`... for unnamed tuples, otherwise the table's name.
    pub name: String,
    pub ty: RetType,
}

/// Type of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetType {
    Tensor,
    TensorList,
    Bool,
    Int,
    Float,
    Scalar,
    DType,
    Str,
}

/// Code and name of a dtype, by its name or an alias.
pub fn dtype(name: &str) -> Option<(i32, &'static str)> {
    static TYPES: OnceLock<Types> = OnceLock::new();
    let types = TYPES.get_or_init(|| types::parse(include_str!("../../../spec/types.txt")).unwrap_or_default());
    let found = types.dtypes.iter().find(|d| d.name == name || d.alias.as_deref() == Some(name))?;
    Some((found.code, &found.name))
}

impl Op {
    /// Name in PyTorch's notation: `add.Scalar`.
    pub fn schema_name(&self) -> String {
        if self.overload.is_empty() {
            self.base_name.clone()
        } else {
            format!("{}.{}", self.base_name, self.overload)
        }
    }
    /// C symbol: `taper_add_scalar`.
    pub fn c_symbol(&self) -> String {
        format!("taper_{}", self.c_name)
    }
    /// Arguments that may be given by position.
    #[allow(dead_code)] // for the emitters of languages with keywords
    pub fn positional(&self) -> impl Iterator<Item = &Arg> {
        self.args.iter().filter(|a| !a.kwonly)
    }
    /// The signature as the table writes it.
    pub fn signature(&self) -> String {
        let mut s = format!("{}(", self.schema_name());
        let mut star = false;
        for (i, a) in self.args.iter().enumerate() {
            if i > 0 {
                s += ", ";
            }
            if a.kwonly && !star {
                s += "*, ";
                star = true;
            }
            let mut ty = a.ty.text();
            if a.mutated {
                ty = ty.replacen("Tensor", "Tensor(a!)", 1);
            }
            s += &format!("{ty} {}", a.name);
            if let Some(d) = &a.default {
                s += &format!("={}", d.text());
            }
        }
        s += ") -> ";
        if self.inplace && self.returns.is_empty() && self.method {
            return s + "Tensor(a!)";
        }
        let one = |r: &Ret| r.ty.text().to_string();
        match self.returns.as_slice() {
            [] => s + "()",
            [r] => s + &one(r),
            many => {
                s + "(" + &many.iter().map(|r| format!("{} {}", one(r), r.name)).collect::<Vec<_>>().join(", ") + ")"
            }
        }
    }
}

impl Type {
    /// The table's spelling.
    pub fn text(self) -> String {
        let sized = |n: Option<usize>| n.map_or("int[]".to_string(), |n| format!("int[{n}]"));
        match self {
            Type::Tensor => "Tensor".into(),
            Type::OptTensor => "Tensor?".into(),
            Type::TensorList => "Tensor[]".into(),
            Type::OptTensorList => "Tensor?[]".into(),
            Type::Scalar => "Scalar".into(),
            Type::OptScalar => "Scalar?".into(),
            Type::Int => "int".into(),
            Type::OptInt => "int?".into(),
            Type::Float => "float".into(),
            Type::OptFloat => "float?".into(),
            Type::Bool => "bool".into(),
            Type::OptBool => "bool?".into(),
            Type::IntList(n) => sized(n),
            Type::OptIntList(n) => sized(n) + "?",
            Type::DType => "ScalarType".into(),
            Type::OptDType => "ScalarType?".into(),
            Type::Device => "Device?".into(),
            Type::Str => "str".into(),
            Type::OptStr => "str?".into(),
            Type::Generator => "Generator?".into(),
        }
    }
}
impl RetType {
    pub fn text(self) -> &'static str {
        match self {
            RetType::Tensor => "Tensor",
            RetType::TensorList => "Tensor[]",
            RetType::Bool => "bool",
            RetType::Int => "int",
            RetType::Float => "float",
            RetType::Scalar => "Scalar",
            RetType::DType => "ScalarType",
            RetType::Str => "str",
        }
    }
}
impl Default {
    /// The table's (and Python's) spelling.
    pub fn text(&self) -> String {
        match self {
            Default::None => "None".into(),
            Default::Int(v) => v.to_string(),
            Default::Float(v) if v.is_infinite() => (if *v > 0.0 { "inf" } else { "-inf" }).into(),
            Default::Float(v) => format!("{v:?}"),
            Default::Bool(v) => (if *v { "True" } else { "False" }).into(),
            Default::Str(v) => format!("\"{v}\""),
            Default::IntList(v) => format!("{v:?}"),
            Default::DType(_, name) => name.to_string(),
        }
    }
}
