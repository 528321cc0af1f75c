//! `src/capi/objects_gen.rs`: one `extern "C"` function per entry, which reads the arguments, calls the body and puts the
//! results in their places. Committed, because cbindgen reads it.

use super::{types, Argument, Function, Returns};
use crate::rust_shims::param;
use std::fmt::Write;

fn element(name: &str) -> String {
    match name {
        "void" => "c_void".into(),
        "Tensor" | "Tensor?" => "*mut taper_tensor".into(),
        other => match other.strip_prefix("struct ") {
            Some(of) => format!("taper_{of}"),
            None => types::find(other).map_or("", |t| t.c).replace('@', "mut"),
        },
    }
}

/// The parameters of one argument in C.
fn c_params(a: &Argument) -> Vec<(String, String)> {
    let n = param(a.name());
    match a {
        Argument::Value { ty, constant, .. } => {
            vec![(n, ty.c.replace('@', if *constant { "const" } else { "mut" }))]
        }
        Argument::Array { element: e, length, write, .. } => {
            let of = if *write { "mut" } else { "const" };
            vec![(n, format!("*{of} {}", element(e))), (length.clone(), "usize".into())]
        }
        Argument::Struct { of, .. } => vec![(n, format!("*const taper_{of}"))],
        Argument::Callback { of, .. } => {
            vec![(n, format!("*const taper_{of}")), ("user".into(), "*mut c_void".into())]
        }
        Argument::Owned { ty, .. } => {
            let mut list = vec![(n, ty.c.into())];
            list.extend(ty.user.then(|| ("user".into(), "*mut c_void".into())));
            list
        }
    }
}

/// The statement that reads an argument (none for plain values), and what goes to the body.
fn read(index: usize, a: &Argument) -> (String, String) {
    let n = param(a.name());
    let mut at = format!("{index}, \"{}\", {n}", a.name());
    if matches!(a, Argument::Value { ty, constant: true, .. } if matches!(ty.name, "Tensor" | "Tensor?" | "TensorHandle"))
    {
        at += " as *mut _";
    }
    match a {
        Argument::Value { ty, .. } if ty.read.is_empty() => (String::new(), n),
        Argument::Value { ty, .. } => (format!("let {n} = {};", ty.read.replace('@', &at)), ty.pass.replace('@', &n)),
        Argument::Array { element: e, length, write, .. } => {
            let call = match e.as_str() {
                "Tensor" => return (format!("let {n} = c.tensors({at}, {length})?;"), format!("&{n}")),
                "Tensor?" => return (format!("let {n} = c.opt_tensors({at}, {length})?;"), format!("&{n}")),
                e if types::find(e).is_some_and(|t| t.read == "c.get(@)?") => {
                    return (format!("let {n} = c.objects({at}, {length})?;"), format!("&{n}"));
                }
                "void" if *write => format!("c.slice_mut({at} as *mut u8, {length})?"),
                "void" => format!("c.slice({at} as *const u8, {length})?"),
                _ if *write => format!("c.slice_mut({at}, {length})?"),
                _ => format!("c.slice({at}, {length})?"),
            };
            (format!("let {n} = {call};"), n)
        }
        Argument::Struct { optional: true, .. } => (format!("let {n} = opt_struct(c, {at})?;"), n),
        Argument::Struct { .. } => (format!("let {n} = read_struct(c, {at})?;"), n),
        Argument::Callback { optional: true, .. } => (format!("let {n} = opt_struct(c, {at})?.map(|v| (v, user));"), n),
        Argument::Owned { ty, .. } => (format!("let {n} = {};", ty.take.replace('@', &n)), n),
        Argument::Callback { .. } => (format!("let {n} = read_struct(c, {at})?;"), format!("{n}, user")),
    }
}

fn emit_function(f: &Function) -> String {
    let mut s = String::new();
    for d in &f.doc {
        writeln!(s, "/// {d}").unwrap();
    }
    s += "#[no_mangle]\n";
    let fallible = matches!(f.returns, Returns::Fallible(_));
    if fallible || matches!(f.returns, Returns::Direct { owned: true, .. }) {
        s += "#[must_use]\n";
    }
    let mut params: Vec<(String, String)> = f.arguments.iter().flat_map(c_params).collect();
    if let Returns::Fallible(results) = &f.returns {
        params.extend(results.iter().map(|r| (r.name.clone(), format!("*mut {}", r.c))));
    }
    // Nothing to read through a pointer: callers in Rust need no unsafe.
    let safe = !params.iter().any(|(_, t)| t.starts_with('*') && !is_handle(t));
    let list: Vec<_> = params.iter().map(|(n, t)| format!("{n}: {t}")).collect();
    let result = match &f.returns {
        Returns::Fallible(_) => " -> *mut taper_error".into(),
        Returns::Direct { ty: None, .. } => String::new(),
        Returns::Direct { ty: Some(ty), .. } => format!(" -> {}", ty.c.replace('@', "mut")),
        Returns::Free => " -> bool".into(),
    };
    let qualifier = if safe { "" } else { "unsafe " };
    writeln!(s, "pub {qualifier}extern \"C\" fn taper_{}({}){result} {{", f.name, list.join(", ")).unwrap();
    let body = format!("super::{}::{}", f.module, f.name);
    match &f.returns {
        Returns::Free => {
            let n = param(f.arguments[0].name());
            writeln!(s, "    free_handle({n})").unwrap();
        }
        Returns::Direct { bad: None, .. } => {
            let names: Vec<_> = f.arguments.iter().map(|a| param(a.name())).collect();
            writeln!(s, "    {body}({})", names.join(", ")).unwrap();
        }
        Returns::Direct { ty, bad: Some(bad), .. } => {
            let bad = match bad.as_str() {
                "NULL" if ty.is_some_and(|t| t.c.starts_with("*@")) => "std::ptr::null_mut()",
                "NULL" => "std::ptr::null()",
                "none" => "taper_device { r#type: 0, index: 0 }",
                "nothing" => "()",
                other => other,
            };
            let pass: Vec<_> = f
                .arguments
                .iter()
                .map(|a| match a {
                    Argument::Value { ty, .. } if ty.name == "Tensor" => {
                        format!("&handle::tensor({} as usize).ok()?", param(a.name()))
                    }
                    Argument::Value { ty, .. } if ty.read == "c.get(@)?" => {
                        format!("&object({}).ok()?", param(a.name()))
                    }
                    _ => param(a.name()),
                })
                .collect();
            writeln!(s, "    getter({bad}, || {body}({}).into())", pass.join(", ")).unwrap();
        }
        Returns::Fallible(results) => {
            let reads = f.arguments.iter().scan(0, |i, a| {
                let r = read(*i, a);
                *i += a.places();
                Some((a, r.0, r.1))
            });
            let reads: Vec<_> = reads.collect();
            let count: usize = f.arguments.iter().map(Argument::places).sum();
            let mut lines = Vec::new();
            // What the caller hands over is owned before anything can fail.
            let owned: Vec<_> = reads
                .iter()
                .filter_map(|(a, read, _)| match a {
                    Argument::Owned { .. } => Some(read.clone()),
                    Argument::Callback { .. } => Some(format!("let user = owner({}, user);", param(a.name()))),
                    _ => None,
                })
                .collect();
            lines.extend(reads.iter().filter(|r| matches!(r.0, Argument::Callback { .. })).map(|r| r.1.clone()));
            // Handles in the caller's array come before results are emptied: a result's place may be in it.
            let early = |a: &Argument| results.iter().any(|r| !r.sized) && handles(a);
            lines.extend(reads.iter().filter(|r| early(r.0)).map(|r| format!("{};", r.1.trim_end_matches("?;"))));
            for (i, r) in results.iter().enumerate().filter(|r| !r.1.sized) {
                let (at, name) = (count + i, &r.name);
                lines.push(match r.optional {
                    true => format!("let {name} = c.opt_out({at}, \"{name}\", {name});"),
                    false => format!("let {name} = c.out({at}, \"{name}\", {name});"),
                });
            }
            lines.extend(results.iter().filter(|r| !r.sized).map(|r| format!("let {0} = {0}?;", r.name)));
            lines.extend(
                reads
                    .iter()
                    .filter(|r| !matches!(r.0, Argument::Callback { .. } | Argument::Owned { .. }) && !r.1.is_empty())
                    .map(|r| match early(r.0) {
                        true => format!("let {0} = {0}?;", param(r.0.name())),
                        false => r.1.clone(),
                    }),
            );
            if results.len() == 1 {
                // One line where nothing comes between.
                lines.retain(|l| *l != format!("let {0} = {0}?;", results[0].name));
                for l in &mut lines {
                    if l.starts_with(&format!("let {} = c.out(", results[0].name)) {
                        *l = l.replace(");", ")?;");
                    }
                }
            }
            let mut pass: Vec<String> = reads.iter().map(|r| r.2.clone()).collect();
            if f.call {
                pass.insert(0, "c".into());
            }
            let call = format!("{body}({})", pass.join(", "));
            match results.as_slice() {
                [] => lines.push(call),
                [r] if r.sized => lines.push(format!("write_struct(c, {count}, \"{0}\", {0}, {call}?)", r.name)),
                [r] => lines.push(format!("{}.set({call}?)", r.name)),
                many => {
                    let values: Vec<_> = many.iter().map(|r| format!("{}_value", r.name)).collect();
                    lines.push(format!("let ({}) = {call}?;", values.join(", ")));
                    let n = many.len();
                    for (i, (r, v)) in many.iter().zip(&values).enumerate() {
                        lines.push(format!("{}.set({v}){}", r.name, if i + 1 == n { "" } else { "?;" }));
                    }
                }
            }
            let uses_call = f.call || lines.iter().any(|l| l.contains("c.") || l.contains("(c, "));
            let c = if uses_call { "c" } else { "_" };
            let by_value = if owned.is_empty() { "" } else { "move " };
            owned.iter().for_each(|o| writeln!(s, "    {o}").unwrap());
            let lines = lines.join("\n        ");
            writeln!(s, "    guard(\"{}\", {by_value}|{c}| {{\n        {lines}\n    }})", f.name).unwrap();
        }
    }
    s += "}\n\n";
    s
}

/// Whether the argument is an array of handles.
fn handles(a: &Argument) -> bool {
    match a {
        Argument::Array { element: e, write: false, .. } => {
            matches!(e.as_str(), "Tensor" | "Tensor?") || types::find(e).is_some_and(|t| t.read == "c.get(@)?")
        }
        _ => false,
    }
}

/// A handle is a number: never read through.
fn is_handle(c: &str) -> bool {
    let Some(of) = c.strip_prefix("*mut taper_").or_else(|| c.strip_prefix("*const taper_")) else { return false };
    types::TYPES.iter().any(|t| t.c.strip_prefix("*@ taper_") == Some(of))
}

/// The functions of one module, in the specification's order.
pub fn emit_module(functions: &[Function], module: &str) -> String {
    functions.iter().filter(|f| f.module == module).map(emit_function).collect()
}

/// The whole file.
pub fn emit(functions: &[Function]) -> String {
    let mut s = String::from(
        "// Generated by taper-gen from spec/objects.txt; do not edit. Mend with: cargo run -p taper-gen\n\
         //! The C functions of handle types and settings: read the arguments, call the body, place the results.\n\
         // A body may give its value or an Option of it. Some arguments have PyTorch's names.\n\
         #![allow(clippy::useless_conversion, clippy::unit_arg, non_snake_case)]\n\n\
         use super::autograd::*;\n\
         use super::convert::{free_handle, getter, guard, object};\n\
         use super::handle;\n\
         use super::types::*;\n\
         use super::user::{opt_struct, owner, read_struct, write_struct, User};\n\
         use super::{optim_gen::*, schedule::*, schedule_gen::*};\n\
         use super::arrow_types::*;\n\
         use super::{data::*, device::*, dlpack::*, dlpack_types::*, function::*, module::*, nn::*, optim::*, watch::*};\n\
         use std::os::raw::{c_char, c_void};\n\n",
    );
    let mut section = None;
    for f in functions {
        if section != Some(&f.section) {
            section = Some(&f.section);
            writeln!(s, "// == {} ==\n", f.section).unwrap();
        }
        s += &emit_function(f);
    }
    s.truncate(s.trim_end().len());
    s.push('\n');
    s
}
