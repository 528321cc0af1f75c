//! The C interface of schedules: what `spec/objects.txt` would declare, the options with their macros, and the bodies.

use super::{Argument, Entry, Kind};
use crate::abi;
use std::fmt::Write;

/// Fields of an options struct: C type as Rust writes it, name, default in Rust, default in C, what the doc says.
pub(super) struct Field {
    pub ty: &'static str,
    pub name: String,
    rust: String,
    c: String,
    doc: Option<String>,
}

fn field(ty: &'static str, name: impl Into<String>, rust: impl Into<String>, c: impl Into<String>) -> Field {
    Field { ty, name: name.into(), rust: rust.into(), c: c.into(), doc: None }
}

pub(super) fn fields(e: &Entry) -> Vec<Field> {
    let mut list = Vec::new();
    let (flags, others): (Vec<&Argument>, _) = e.options().partition(|a| a.kind == Kind::Bool);
    for a in others {
        let n = &a.name;
        let told = |f: Field, doc: String| Field { doc: Some(doc), ..f };
        match a.kind {
            Kind::Int => list.push(field("i64", n, a.number(), a.number())),
            Kind::Float => list.push(field("f64", n, a.number(), a.number())),
            Kind::OptInt => {
                list.push(told(field("*const i64", n, "std::ptr::null()", "NULL"), "NULL: not given.".into()))
            }
            Kind::Str => {
                list.push(told(field("*const c_char", n, "std::ptr::null()", "NULL"), format!("NULL: {}.", a.number())))
            }
            Kind::Rates => {
                let doc = format!("One number, or one for each parameter group; NULL: {}.", a.number());
                list.push(told(field("*const f64", n, "std::ptr::null()", "NULL"), doc));
                list.push(field("usize", format!("{n}_len"), "0", "0"));
            }
            other => panic!("{other:?} is no option"),
        }
    }
    if e.last_epoch {
        list.push(Field { doc: Some("-1: from the start.".into()), ..field("i64", "last_epoch", "-1", "-1") });
    }
    for a in &flags {
        let on = if a.number() == "true" { "1" } else { "0" };
        list.push(Field { doc: Some("0 or 1.".into()), ..field("i32", &a.name, on, on) });
    }
    let reserved = |name| Field { doc: Some("0.".into()), ..field("i32", name, "0", "0") };
    abi::ordered(
        &format!("taper_{}_options", e.snake()),
        list,
        |f: &Field| &f.name,
        reserved,
        |mut list, reserved| {
            list.sort_by_key(|f| f.ty == "i32");
            if list.iter().filter(|f| f.ty == "i32").count() % 2 == 1 {
                list.push(reserved);
            }
            list
        },
    )
}

/// The lines of the specification.
pub fn objects(entries: &[Entry]) -> String {
    let mut s = String::from("\n# Kinds of schedules [schedule_gen]\n\n");
    for e in entries {
        let mut list = Vec::new();
        if e.optimizer {
            list.push("Optimizer optimizer".to_string());
        }
        for a in e.required() {
            list.push(match a.kind {
                Kind::Int => format!("int64 {}", a.name),
                Kind::Float => format!("double {}", a.name),
                Kind::Ints => format!("int64[] {}", a.name),
                Kind::Rates => format!("double[] {}", a.name),
                Kind::Callback => format!("callback schedule_vtable {}", a.name),
                Kind::OptCallback => format!("callback schedule_vtable? {}", a.name),
                Kind::Schedules => format!("Schedule[] {}", a.name),
                other => panic!("a {other:?} cannot be required"),
            });
        }
        let name = e.snake();
        if e.has_options() {
            list.push(format!("struct {name}_options? options"));
        }
        let takes = match e.required().find(|a| matches!(a.kind, Kind::Callback | Kind::OptCallback)) {
            Some(_) => " The function and its user pointer belong to the library from here on.",
            None => "",
        };
        let options = if e.has_options() { "; options may be NULL" } else { "" };
        writeln!(
            s,
            "schedule_{name}_create({}) -> Schedule [call]\n    {} (PyTorch's {}){options}.{takes} The schedule is owned by \
             the caller. Borrows the handles. Since 0.1.",
            list.join(", "),
            e.doc.trim_end_matches('.'),
            e.name
        )
        .unwrap();
    }
    s
}

/// How it is called, for the reference.
pub(super) fn call(e: &Entry) -> String {
    let mut list: Vec<String> = if e.optimizer { vec!["optimizer".into()] } else { Vec::new() };
    list.extend(e.required().map(|a| match a.kind {
        Kind::Ints | Kind::Rates | Kind::Schedules => format!("{0}, {0}_len", a.name),
        Kind::Callback | Kind::OptCallback => format!("{}, user", a.name),
        _ => a.name.clone(),
    }));
    let name = e.snake();
    if e.has_options() {
        list.push(format!("const taper_{name}_options *options"));
    }
    format!("taper_schedule_{name}_create({}, &out)", list.join(", "))
}

pub fn macros(entries: &[Entry]) -> String {
    let mut s = String::from("\n/* Options with PyTorch's defaults. */\n");
    for e in entries.iter().filter(|e| e.has_options()) {
        let name = e.snake();
        let values: Vec<_> = fields(e).iter().map(|f| f.c.clone()).collect();
        writeln!(
            s,
            "#define TAPER_{}_OPTIONS_INIT \\\n    {{sizeof(taper_{name}_options), {}}}",
            name.to_uppercase(),
            values.join(", ")
        )
        .unwrap();
    }
    s
}

/// How an argument is read for the core.
fn read(a: &Argument, at: usize) -> String {
    let n = &a.name;
    let option = format!("{at}, \"options->{n}\", o.{n}");
    match (a.kind, a.is_option()) {
        (Kind::Bool, _) => format!("o.{n} != 0"),
        (Kind::Int | Kind::Float, true) => format!("o.{n}"),
        (Kind::OptInt, _) => format!("c.opt({option})?"),
        (Kind::Str, _) => format!("c.opt_str({option})?.unwrap_or({}).into()", a.number()),
        (Kind::Rates, true) => format!("rates(c.slice({option}, o.{n}_len)?, {})", a.number()),
        (Kind::Int | Kind::Float, false) => n.clone(),
        (Kind::Callback, _) => format!("callback(c, {at}, \"{n}\", {n}, user)?"),
        (Kind::OptCallback, _) => format!("opt_callback(c, {at}, \"{n}\", {n})?"),
        _ => format!("{n}.to_vec()"),
    }
}

fn body(s: &mut String, e: &Entry) {
    let name = e.snake();
    let mut params = vec!["c: &Call".to_string()];
    let mut places = 0;
    if e.optimizer {
        params.push("optimizer: &Arc<Mutex<Optimizer>>".into());
        places += 1;
    }
    let mut read_as = Vec::new();
    for a in e.required() {
        let n = &a.name;
        let value = read(a, places);
        read_as.push(if value == *n { value } else { format!("{n}: {value}") });
        params.push(match a.kind {
            Kind::Int => format!("{n}: i64"),
            Kind::Float => format!("{n}: f64"),
            Kind::Ints => format!("{n}: &[i64]"),
            Kind::Rates => format!("{n}: &[f64]"),
            Kind::Callback => format!("{n}: taper_schedule_vtable, user: User"),
            Kind::OptCallback => format!("{n}: Option<(taper_schedule_vtable, User)>"),
            _ => format!("{n}: &[Schedule]"),
        });
        places += if matches!(a.kind, Kind::Callback | Kind::OptCallback) { 2 } else { 1 };
    }
    let mut lines = String::new();
    if e.has_options() {
        params.push(format!("options: Option<taper_{name}_options>"));
        writeln!(lines, "    let o = options.unwrap_or(taper_{name}_options::INIT);").unwrap();
        read_as.extend(e.options().map(|a| format!("{}: {}", a.name, read(a, places))));
        if e.last_epoch {
            read_as.push("last_epoch: o.last_epoch".into());
        }
    }
    let make = if e.optimizer { "make(&target(optimizer))" } else { "make()" };
    let call = format!("schedule::{} {{ {} }}.{make}", e.name, read_as.join(", "));
    let pointers = read_as.iter().any(|r| r.contains("c.slice(") || r.contains("c.opt"));
    let uses_call = read_as.iter().any(|r| r.contains("c.") || r.contains("(c,"));
    if !uses_call {
        params[0] = "_: &Call".into();
    }
    writeln!(s, "/// `taper_schedule_{name}_create`.").unwrap();
    if pointers {
        writeln!(s, "///\n/// # Safety\n/// The pointers in options are NULL or readable.").unwrap();
        lines += "    // SAFETY: the header's contract.\n";
        writeln!(lines, "    unsafe {{\n        {call}\n    }}").unwrap();
    } else {
        writeln!(lines, "    {call}").unwrap();
    }
    let qualifier = if pointers { "unsafe " } else { "" };
    writeln!(s, "pub {qualifier}fn schedule_{name}_create({}) -> Result<Schedule> {{\n{lines}}}\n", params.join(", "))
        .unwrap();
}

pub fn emit(entries: &[Entry]) -> String {
    let mut s = String::from(
        "// Generated by taper-gen from spec/schedules.txt; do not edit. Mend with: cargo run -p taper-gen\n\
         //! Options of schedules, and what makes them.\n\
         // Some arguments have PyTorch's names.\n\
         #![allow(non_snake_case)]\n\n\
         use super::convert::Call;\n\
         use super::schedule::{callback, opt_callback, rates, target, taper_schedule_vtable};\n\
         use super::user::{CStruct, User};\n\
         use crate::base::error::Result;\n\
         use crate::base::sync::Mutex;\n\
         use crate::optim::schedule::{self, Schedule};\n\
         use crate::optim::Optimizer;\n\
         use std::os::raw::c_char;\n\
         use std::sync::Arc;\n\n",
    );
    for e in entries {
        let name = e.snake();
        if e.has_options() {
            let fields = fields(e);
            writeln!(
                s,
                "/// Options of {}. TAPER_{}_OPTIONS_INIT holds PyTorch's defaults.\n#[repr(C)]\n#[derive(Clone, Copy)]\n\
                 pub struct taper_{name}_options {{\n    /// sizeof(taper_{name}_options).\n    pub struct_size: usize,",
                e.name,
                name.to_uppercase()
            )
            .unwrap();
            for f in &fields {
                if let Some(doc) = &f.doc {
                    writeln!(s, "    /// {doc}").unwrap();
                }
                writeln!(s, "    pub {}: {},", f.name, f.ty).unwrap();
            }
            let init: Vec<_> = fields.iter().map(|f| format!("{}: {}", f.name, f.rust)).collect();
            writeln!(
                s,
                "}}\n// SAFETY: repr(C), numbers and pointers only.\nunsafe impl CStruct for taper_{name}_options {{\n    \
                 const INIT: Self = taper_{name}_options {{ struct_size: 0, {} }};\n    const MIN_SIZE: usize = \
                 std::mem::size_of::<Self>();\n}}\n",
                init.join(", ")
            )
            .unwrap();
        }
        body(&mut s, e);
    }
    s.truncate(s.trim_end().len());
    s + "\n"
}
