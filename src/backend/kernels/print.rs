//! Prints elementwise programs as C.

use super::opcodes_gen::text;
use super::{compute_type, convert, load, storage_type, store};
use crate::backend::program::{Program, Src};
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, Result};
use std::fmt::Write;

/// The text of a program's calculation.
#[derive(Default)]
pub struct Body {
    /// Helper functions, before the kernel.
    pub helpers: String,
    /// Statements; `in0`, `in1` ... (loaded inputs) and the scalars are in scope, results are `r0`, `r1` ...
    pub statements: String,
    /// Which scalar is passed in which type: parameters `s{n}_{type}` in this order.
    pub scalars: Vec<(u8, DType)>,
}

/// Prints the instructions of a program. Inputs are the variables `in{n}` in their compute type.
pub fn body(program: &Program, device: Device) -> Result<Body> {
    let mut out = Body::default();
    let mut seen: Vec<(&'static str, DType)> = Vec::new();
    for (i, inst) in program.insts.iter().enumerate() {
        let arity = inst.op.arity();
        let scalar = matches!(inst.args[arity - 1], Src::Scalar(_));
        let Some((expression, functions)) = text(inst.op, inst.ty, scalar) else {
            return Err(Error::unsupported(&format!("{:?}", inst.op), inst.ty, device));
        };
        let mut statement = typed(expression, inst.ty);
        for (n, src) in inst.args.iter().enumerate().take(arity) {
            let want = if inst.op.reads_bool(n) { DType::Bool } else { inst.ty };
            let arg = match *src {
                Src::Input(k) => convert(program.inputs[k as usize], want, &format!("in{k}")),
                Src::Reg(k) => convert(program.reg_dtype(k), want, &format!("r{k}")),
                Src::Scalar(k) => {
                    if !out.scalars.contains(&(k, want)) {
                        out.scalars.push((k, want));
                    }
                    format!("s{k}_{}", compute_type(want))
                }
            };
            statement = statement.replace(["$a", "$b", "$c"][n], &arg);
        }
        for function in functions {
            if !seen.contains(&(function, inst.ty)) {
                seen.push((function, inst.ty));
                out.helpers += &typed(function, inst.ty);
            }
        }
        let ty = compute_type(program.reg_dtype(i as u8));
        let _ = writeln!(out.statements, "    const {ty} r{i} = ({ty})({statement});");
    }
    Ok(out)
}

/// A text of the specification for one compute dtype.
fn typed(text: &str, ty: DType) -> String {
    let unsigned = if ty == DType::I64 { "u64" } else { "u32" };
    text.replace("$T", compute_type(ty)).replace("$U", unsigned).replace("$BITS", &(ty.size() * 8).to_string())
}

/// How a printed kernel walks its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Walk {
    /// Dimensions left after collapsing; 0 means that every tensor is contiguous or (bit set in `repeated`) one element.
    pub rank: u8,
    /// 64-bit index arithmetic.
    pub wide: bool,
    /// Contiguous walk only: inputs that are a single element.
    pub repeated: u32,
    /// Elements per work-item, `GROUP` apart and all loaded before the first is stored, so that large tensors keep a
    /// GPU's memory busy; 1 elsewhere.
    pub each: u8,
    /// A work-item loops over a block of rows by columns instead of making one element; for CPUs.
    pub rows: Option<Rows>,
}

/// A walk by rows: the innermost dimension is a loop, and `rank` counts the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rows {
    /// Tensors whose elements along a row are neighbours, and those that repeat one element.
    pub unit: u32,
    pub fixed: u32,
}

/// Work-items per group of a walk with several elements each.
pub const GROUP: usize = 256;

/// Elements per work-item for large tensors on a GPU: 16 bytes of each tensor, no more than that of the widest.
pub fn each(program: &Program) -> u8 {
    let sizes = program.inputs.iter().chain(program.outputs.iter().map(|(_, d)| d)).map(|d| d.size());
    match sizes.max() {
        Some(1) => 16,
        Some(2) => 8,
        _ => 4,
    }
}

/// The statements that turn the linear index `i` into an element index `x{k}` per tensor, for `tensors` tensors.
/// `m` is the argument struct with `off`, `size`, `magic`, `shift` and `st`.
pub fn walk(w: Walk, tensors: usize) -> String {
    let mut out = String::new();
    let idx = if w.wide { "i64" } else { "u32" };
    if w.rank == 0 {
        for k in 0..tensors {
            let rel = if w.repeated >> k & 1 == 1 { "" } else { " + i" };
            let _ = writeln!(out, "    const i64 x{k} = m.off[{k}]{rel};");
        }
        return out;
    }
    let r = w.rank as usize;
    let _ = writeln!(out, "    {idx} rest = ({idx})i, q;");
    for k in 0..tensors {
        let _ = writeln!(out, "    {idx} y{k} = 0;");
    }
    for d in (0..r).rev() {
        if d > 0 {
            let quotient = if w.wide {
                format!("rest / m.size[{d}]")
            } else {
                format!("div_by(rest, m.magic[{d}], m.shift[{d}])")
            };
            let _ = writeln!(out, "    q = {quotient}; rest = rest - q * m.size[{d}];");
        }
        for k in 0..tensors {
            let _ = writeln!(out, "    y{k} += rest * m.st[{}];", k * r + d);
        }
        if d > 0 {
            let _ = writeln!(out, "    rest = q;");
        }
    }
    for k in 0..tensors {
        let _ = writeln!(out, "    const i64 x{k} = m.off[{k}] + (i64)y{k};");
    }
    out
}

/// The argument struct of a walk.
pub fn walk_struct(w: Walk, tensors: usize) -> String {
    let r = w.rank.max(1) as usize;
    let rows = match w.rows {
        Some(_) => format!(" i64 len, row_step, piece, along[{tensors}];"),
        None => String::new(),
    };
    if w.rank == 0 {
        format!("typedef struct {{ i64 off[{tensors}]; i64 n;{rows} }} Meta;\n")
    } else if w.wide {
        format!("typedef struct {{ i64 off[{tensors}]; i64 n;{rows} i64 size[{r}]; i64 st[{}]; }} Meta;\n", r * tensors)
    } else {
        format!(
            "typedef struct {{ i64 off[{tensors}]; i64 n;{rows} u32 size[{r}]; u32 magic[{r}]; u32 shift[{r}]; u32 st[{}]; }} Meta;\n",
            r * tensors
        )
    }
}

/// A whole kernel named `elementwise`: parameters are the inputs, the outputs, the struct, the scalars.
pub fn elementwise(program: &Program, w: Walk, device: Device) -> Result<(String, Vec<(u8, DType)>)> {
    let body = body(program, device)?;
    let n = program.inputs.len();
    let mut src = body.helpers;
    src += &walk_struct(w, n + program.outputs.len());
    let mut params: Vec<String> = Vec::new();
    for (k, d) in program.inputs.iter().enumerate() {
        params.push(format!("GLOBAL const {} *p{k}", storage_type(*d)));
    }
    for (k, (_, d)) in program.outputs.iter().enumerate() {
        params.push(format!("GLOBAL {} *p{}", storage_type(*d), n + k));
    }
    params.push("const IN_PLACE Meta m".into());
    for (k, d) in &body.scalars {
        params.push(format!("const {0} s{k}_{0}", compute_type(*d)));
    }
    let _ = writeln!(src, "KERNEL void elementwise({}) {{", params.join(", "));
    let tensors = n + program.outputs.len();
    let walked = walk(w, tensors);
    let loaded = |src: &mut String| {
        for (k, d) in program.inputs.iter().enumerate() {
            let _ = writeln!(src, "    const {} in{k} = {};", compute_type(*d), load(*d, &format!("p{k}[x{k}]")));
        }
    };
    if let Some(rows) = w.rows {
        src += "    const i64 i_first = (i64)GID(1) * m.row_step, j_first = (i64)GID(0) * m.piece;\n";
        src += "    const i64 i_last = i_first + m.row_step < m.n ? i_first + m.row_step : m.n;\n";
        src += "    const i64 j_last = j_first + m.piece < m.len ? j_first + m.piece : m.len;\n";
        src += "    for (i64 i = i_first; i < i_last; i++) {\n";
        src += &walk(Walk { repeated: u32::MAX, ..w }, tensors).replace("const i64 x", "const i64 row");
        src += "    INDEPENDENT\n    for (i64 j = j_first; j < j_last; j++) {\n";
        for k in 0..tensors {
            let rel = match () {
                _ if rows.unit >> k & 1 == 1 => " + j".to_string(),
                _ if rows.fixed >> k & 1 == 1 => String::new(),
                _ => format!(" + j * m.along[{k}]"),
            };
            let _ = writeln!(src, "    const i64 x{k} = row{k}{rel};");
        }
        loaded(&mut src);
    } else if w.each > 1 {
        let n_each = w.each as usize;
        let each = format!(
            "#pragma unroll\n    for (int u = 0; u < {n_each}; u++) {{\n    const i64 i = first + u * {GROUP};\n"
        );
        let _ = writeln!(src, "    const i64 first = (i64)GRP(0) * {} + LID(0);", n_each * GROUP);
        for (k, d) in program.inputs.iter().enumerate() {
            let _ = writeln!(src, "    {} all{k}[{n_each}];", compute_type(*d));
        }
        src += &format!("{each}    if (i < m.n) {{\n{}", walk(w, n));
        for (k, d) in program.inputs.iter().enumerate() {
            let _ = writeln!(src, "    all{k}[u] = {};", load(*d, &format!("p{k}[x{k}]")));
        }
        src += &format!("    }}\n    }}\n{each}    if (i >= m.n) return;\n{walked}");
        for (k, d) in program.inputs.iter().enumerate() {
            let _ = writeln!(src, "    const {} in{k} = all{k}[u];", compute_type(*d));
        }
    } else {
        src += "    const i64 i = (i64)GID(0);\n    if (i >= m.n) return;\n";
        src += &walked;
        loaded(&mut src);
    }
    src += &body.statements;
    for (k, (reg, d)) in program.outputs.iter().enumerate() {
        let value = store(*d, &convert(program.reg_dtype(*reg), *d, &format!("r{reg}")));
        let _ = writeln!(src, "    p{0}[x{0}] = {value};", n + k);
    }
    src += match w.rows {
        Some(_) => "    }\n    }\n}\n",
        None if w.each > 1 => "    }\n}\n",
        None => "}\n",
    };
    Ok((src, body.scalars))
}
