//! Kernel source for every GPU target, and the printer that turns elementwise programs into kernels.
//!
//! The `.cl` files are a C subset over the vocabulary that a prelude defines: `prelude_opencl.h` or `prelude_cuda.h`. Types
//! and constants come in as macros, so that a specialised kernel is its file plus a few `#define` lines.

#[cfg(feature = "tests")]
pub(crate) mod enumerate;
mod lists;
pub mod opcodes_gen;
pub mod print;
pub mod reduce;

pub use lists::{optimizer_lists, optimizer_program};

use crate::base::dtype::DType;
use crate::base::no_kernel::no_kernel;
use std::fmt::Write;

pub const PRELUDE_OPENCL: &str = concat!(include_str!("prelude_opencl.h"), include_str!("math_cpu.h"));
pub const PRELUDE_CUDA: &str = include_str!("prelude_cuda.h");
pub const COMMON: &str = include_str!("common.h");
/// Rows along one dimension; wants `NT` and `RANK` defined first.
pub const ROWS: &str = include_str!("rows.h");

/// A macro that specialises a kernel file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Def {
    /// Defines `NAME` (the type it is calculated in), `NAME_S` (the stored type), `NAME_LD(p, i)`, `NAME_ST(p, i, v)`.
    Type(DType),
    Int(i64),
    /// The name is the whole line after `#define`.
    Flag,
}

/// The C type in which elements of a dtype are stored.
pub fn storage_type(d: DType) -> &'static str {
    match d {
        DType::F16 | DType::BF16 => "u16",
        d => compute_type(d),
    }
}

/// The C type in which a dtype is calculated.
pub fn compute_type(d: DType) -> &'static str {
    match d {
        DType::U8 => "u8",
        DType::I8 => "i8",
        DType::I16 => "i16",
        DType::I32 => "i32",
        DType::I64 => "i64",
        DType::F16 | DType::BF16 | DType::F32 => "f32",
        DType::F64 => "f64",
        DType::Bool => "b8",
        DType::C64 | DType::C128 => no_kernel(d.scalar_name()),
    }
}

/// An expression for the stored element `text` in its compute type.
pub fn load(d: DType, text: &str) -> String {
    match d {
        DType::F16 => format!("ld_f16({text})"),
        DType::BF16 => format!("ld_bf16({text})"),
        DType::Bool => format!("(b8)({text} != 0)"),
        _ => text.to_string(),
    }
}

/// An expression for `text` (of the compute type) in the stored type.
pub fn store(d: DType, text: &str) -> String {
    match d {
        DType::F16 => format!("st_f16({text})"),
        DType::BF16 => format!("st_bf16({text})"),
        _ => text.to_string(),
    }
}

/// An expression that converts `text` between compute types: to bool by comparing with zero, float to integer by
/// way of int64 (out-of-range values wrap in the smaller types, as PyTorch's do), anything else as C does.
pub fn convert(from: DType, to: DType, text: &str) -> String {
    let (from, to) = (from.compute(), to.compute());
    if from == to {
        return text.to_string();
    }
    match to {
        DType::Bool => format!("(b8)({text} != 0)"),
        d if d.is_int() && from.is_float() => format!("({})SAT_I64({text})", compute_type(d)),
        d => format!("({}){text}", compute_type(d)),
    }
}

/// The `#define` lines of a specialised kernel.
pub fn defines(defs: &[(&'static str, Def)]) -> String {
    let mut out = String::new();
    for (name, def) in defs {
        let _ = match def {
            Def::Flag => writeln!(out, "#define {name}"),
            Def::Int(v) => writeln!(out, "#define {name} {v}"),
            Def::Type(d) => writeln!(
                out,
                "#define {name} {}\n#define {name}_S {}\n#define {name}_LD(p, i) {}\n#define {name}_ST(p, i, v) (p)[i] = {}",
                compute_type(*d),
                storage_type(*d),
                load(*d, "(p)[i]"),
                store(*d, "(v)")
            ),
        };
    }
    out
}
