//! `src/capi/ops_gen.rs`: one `extern "C"` function per op. Committed, because cbindgen reads it.

use crate::gate;
use crate::model::*;
use std::fmt::Write;

/// A C parameter's name in Rust: the keyword `self` becomes `self_` (and `self` again in the header).
pub fn param(name: &str) -> String {
    match name {
        "self" => "self_".into(),
        "in" | "type" | "where" | "match" | "move" | "ref" | "loop" | "mod" | "use" | "yield" | "dyn" | "fn"
        | "let" => {
            format!("r#{name}")
        }
        _ => name.into(),
    }
}

fn c_params(a: &Arg) -> Vec<(String, &'static str)> {
    let n = param(&a.name);
    let len = format!("{}_len", a.name);
    match a.ty {
        Type::Tensor | Type::OptTensor => vec![(n, "*mut taper_tensor")],
        Type::TensorList | Type::OptTensorList => vec![(n, "*const *mut taper_tensor"), (len, "usize")],
        Type::Scalar => vec![(n, "taper_scalar")],
        Type::OptScalar => vec![(n, "*const taper_scalar")],
        Type::Int => vec![(n, "i64")],
        Type::OptInt => vec![(n, "*const i64")],
        Type::Float => vec![(n, "f64")],
        Type::OptFloat => vec![(n, "*const f64")],
        Type::Bool => vec![(n, "bool")],
        Type::OptBool => vec![(n, "*const bool")],
        Type::IntList(_) | Type::OptIntList(_) => vec![(n, "*const i64"), (len, "usize")],
        Type::DType | Type::OptDType => vec![(n, "i32")],
        Type::Device => vec![(n, "taper_device")],
        Type::Str | Type::OptStr => vec![(n, "*const c_char")],
        Type::Generator => vec![(n, "*mut taper_generator")],
    }
}

fn out_type(r: &Ret) -> &'static str {
    match r.ty {
        RetType::Tensor => "*mut *mut taper_tensor",
        RetType::TensorList => "*mut *mut taper_tensor_list",
        RetType::Bool => "*mut bool",
        RetType::Int => "*mut i64",
        RetType::Float => "*mut f64",
        RetType::Scalar => "*mut taper_scalar",
        RetType::DType => "*mut i32",
        RetType::Str => "*mut *mut taper_string",
    }
}

/// The statement that converts one argument, and the expression to pass on.
fn convert(index: usize, a: &Arg) -> (String, String) {
    let n = param(&a.name);
    let at = format!("{index}, \"{}\", {n}", a.name);
    let with_len = format!("{at}, {}_len", a.name);
    let (call, pass) = match a.ty {
        Type::Tensor => (format!("c.tensor({at})?"), format!("&{n}")),
        Type::OptTensor => (format!("c.opt_tensor({at})?"), format!("{n}.as_ref()")),
        Type::TensorList => (format!("c.tensors({with_len})?"), format!("&{n}")),
        Type::OptTensorList => (format!("c.opt_tensors({with_len})?"), format!("&{n}")),
        Type::Scalar => (format!("c.scalar({at})?"), n.clone()),
        Type::OptScalar => (format!("c.opt_scalar({at})?"), n.clone()),
        Type::Int | Type::Float | Type::Bool => return (String::new(), n),
        Type::OptInt | Type::OptFloat | Type::OptBool => (format!("c.opt({at})?"), n.clone()),
        Type::IntList(_) => (format!("c.slice({with_len})?"), n.clone()),
        Type::OptIntList(_) => (format!("c.opt_slice({with_len})?"), n.clone()),
        Type::DType => (format!("c.dtype({at})?"), n.clone()),
        Type::OptDType => (format!("c.opt_dtype({at})?"), n.clone()),
        Type::Device if a.default.is_none() => (format!("c.device({at})?"), n.clone()),
        Type::Device => (format!("c.opt_device({at})?"), n.clone()),
        Type::Str => (format!("c.str({at})?"), n.clone()),
        Type::OptStr => (format!("c.opt_str({at})?"), n.clone()),
        Type::Generator => (format!("c.opt_generator({at})?"), format!("{n}.as_ref()")),
    };
    // The gate may replace tensors.
    let keep = if matches!(a.ty, Type::Tensor | Type::OptTensor | Type::TensorList | Type::OptTensorList) {
        "mut "
    } else {
        ""
    };
    (format!("let {keep}{n} = {call};"), pass)
}

/// Whether the argument's value stands in the caller's memory and is copied out of it. Lists of numbers are not: they are
/// borrowed, and no result has their type.
fn through_pointer(ty: Type) -> bool {
    matches!(
        ty,
        Type::TensorList | Type::OptTensorList | Type::OptScalar | Type::OptInt | Type::OptFloat | Type::OptBool
    )
}

fn emit_op(id: usize, op: &Op) -> String {
    let mut s = String::new();
    for d in &op.doc {
        writeln!(s, "/// {d}").unwrap();
    }
    writeln!(s, "///\n/// `{}`. Since {}.", op.signature(), op.since).unwrap();
    let mut params: Vec<String> =
        op.args.iter().flat_map(c_params).map(|(name, ty)| format!("    {name}: {ty},\n")).collect();
    params.extend(op.returns.iter().map(|r| format!("    {}: {},\n", r.name, out_type(r))));
    writeln!(s, "#[no_mangle]\n#[must_use]\npub unsafe extern \"C\" fn {}(", op.c_symbol()).unwrap();
    s += &params.concat();
    s += ") -> *mut taper_error {\n";
    writeln!(s, "    guard(\"{}\", |c| {{", op.c_name).unwrap();
    let reads: Vec<_> = op.args.iter().enumerate().map(|(i, a)| (a, convert(i, a))).collect();
    // All results are cleared before anything can fail. What is read through a pointer comes first: a result's place may be
    // one of those (a cell's state in and out).
    let early = |a: &Arg| !op.returns.is_empty() && through_pointer(a.ty);
    for (_, (statement, _)) in reads.iter().filter(|(a, _)| early(a)) {
        let read = statement.replacen("let mut ", "let ", 1);
        writeln!(s, "        {};", read.trim_end_matches("?;")).unwrap();
    }
    let first_out = op.args.len();
    for (i, r) in op.returns.iter().enumerate() {
        writeln!(s, "        let {0} = c.out({1}, \"{0}\", {0});", r.name, first_out + i).unwrap();
    }
    for r in &op.returns {
        writeln!(s, "        let {0} = {0}?;", r.name).unwrap();
    }
    let mut pass = Vec::new();
    for (a, (statement, expression)) in reads {
        if early(a) {
            let n = param(&a.name);
            let keep = if statement.starts_with("let mut ") { "mut " } else { "" };
            writeln!(s, "        let {keep}{n} = {n}?;").unwrap();
        } else if !statement.is_empty() {
            writeln!(s, "        {statement}").unwrap();
        }
        pass.push(expression);
    }
    writeln!(s, "        if c.is_gated() {{").unwrap();
    writeln!(s, "            c.gate({id}, &mut [{}])?;\n        }}", gate::slots(op)).unwrap();
    let call = format!("ops::{}({})", op.rust_name, pass.join(", "));
    match op.returns.as_slice() {
        [] => writeln!(s, "        {call}").unwrap(),
        [r] => writeln!(s, "        {}.set({call}?)", r.name).unwrap(),
        many => {
            let names: Vec<_> = many.iter().map(|r| r.name.as_str()).collect();
            let values: Vec<_> = names.iter().map(|n| format!("{n}_value")).collect();
            writeln!(s, "        let ({}) = {call}?;", values.join(", ")).unwrap();
            for (n, v) in names.iter().zip(&values) {
                writeln!(s, "        {n}.set({v})?;").unwrap();
            }
            s += "        Ok(())\n";
        }
    }
    s += "    })\n}\n\n";
    s
}

/// One `extern "C"` function per op, in the table's order.
pub fn emit(ops: &[Op]) -> String {
    let mut s = String::from(
        "// Generated by taper-gen from spec/ops.txt; do not edit. Mend with: cargo run -p taper-gen\n\
         //! The C functions of the op table: check, convert, call the core.\n\
         #![allow(non_snake_case)]\n\n\
         use crate::capi::convert::guard;\n\
         use crate::capi::types::*;\n\
         use crate::gate::Slot::*;\n\
         use crate::ops;\n\
         use std::os::raw::c_char;\n\n",
    );
    let mut section = None;
    for (id, op) in ops.iter().enumerate() {
        if section != Some(&op.section) {
            section = Some(&op.section);
            writeln!(s, "// == {} ==\n", op.section).unwrap();
        }
        s += &emit_op(id, op);
    }
    s.truncate(s.trim_end().len());
    s.push('\n');
    s
}
