//! `bindings/go/schedules_gen.go`: options and a constructor per schedule.

use super::c::{fields, Field};
use super::{Argument, Entry, Kind};
use std::fmt::Write;

/// `step_size`: `StepSize`; `lr` is an initialism.
fn exported(name: &str) -> String {
    let part = |p: &str| match p {
        "lr" | "lrs" => p.to_uppercase().replace("LRS", "LRs"),
        _ => p[..1].to_uppercase() + &p[1..],
    };
    name.split('_').map(part).collect()
}

fn local(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_lowercase();
    first + &parts.map(exported).collect::<String>()
}

fn ty(k: Kind) -> &'static str {
    match k {
        Kind::Int => "int64",
        Kind::OptInt => "*int64",
        Kind::Float => "float64",
        Kind::Bool => "bool",
        Kind::Str => "string",
        Kind::Ints => "[]int64",
        Kind::Rates => "[]float64",
        Kind::Callback | Kind::OptCallback => "ScheduleFunc",
        Kind::Schedules => "[]*Schedule",
    }
}

fn default(a: &Argument) -> String {
    match a.kind {
        Kind::Rates => format!("[]float64{{{}}}", a.number()),
        _ => a.number(),
    }
}

fn c_type(f: &Field) -> &'static str {
    match f.ty {
        "i64" => "int64_t",
        "f64" => "double",
        "i32" => "int32_t",
        "usize" => "size_t",
        "*const i64" => "const int64_t *",
        "*const f64" => "const double *",
        _ => "const char *",
    }
}

/// The shim in C.
fn shim(s: &mut String, e: &Entry) {
    let snake = e.snake();
    let mut parameters: Vec<String> = if e.optimizer { vec!["uintptr_t optimizer".into()] } else { Vec::new() };
    let mut call: Vec<String> = if e.optimizer { vec!["(taper_optimizer *)optimizer".into()] } else { Vec::new() };
    let mut before = String::new();
    for a in e.required() {
        let n = &a.name;
        match a.kind {
            Kind::Int => parameters.push(format!("int64_t {n}")),
            Kind::Float => parameters.push(format!("double {n}")),
            Kind::Ints => parameters.push(format!("const int64_t *{n}, size_t {n}_len")),
            Kind::Rates => parameters.push(format!("const double *{n}, size_t {n}_len")),
            Kind::Schedules => parameters.push(format!("uintptr_t *{n}, size_t {n}_len")),
            _ => parameters.push(format!("uintptr_t {n}")),
        }
        call.push(match a.kind {
            Kind::Int | Kind::Float => n.clone(),
            Kind::Ints | Kind::Rates => format!("{n}, {n}_len"),
            Kind::Schedules => format!("(taper_schedule *const *){n}, {n}_len"),
            _ => {
                before += "    taper_schedule_vtable v = go_schedule_vtable();\n";
                if a.kind == Kind::Callback {
                    format!("&v, (void *){n}")
                } else {
                    format!("{n} ? &v : 0, (void *){n}")
                }
            }
        });
    }
    if e.has_options() {
        writeln!(before, "    taper_{snake}_options o = TAPER_{}_OPTIONS_INIT;", snake.to_uppercase()).unwrap();
        for f in fields(e).iter().filter(|f| !f.name.starts_with("reserved")) {
            let t = c_type(f);
            parameters.push(format!("{t}{}{}", if t.ends_with('*') { "" } else { " " }, f.name));
            writeln!(before, "    o.{0} = {0};", f.name).unwrap();
        }
        call.push("&o".into());
    }
    writeln!(
        s,
        "static inline go_pair go_schedule_{snake}({}) {{\n{before}    taper_schedule *out = 0;\n    go_pair r = {{0, 0}};\n    \
         r.err = (uintptr_t)taper_schedule_{snake}_create({}, &out);\n    r.out = (uintptr_t)out;\n    return r;\n}}",
        parameters.join(", "),
        call.join(", ")
    )
    .unwrap();
}

/// How a value crosses, where its field is `x`.
fn cross(k: Kind, x: &str) -> String {
    match k {
        Kind::Int => format!("C.int64_t({x})"),
        Kind::Float => format!("C.double({x})"),
        Kind::Bool => format!("flag({x})"),
        Kind::OptInt => format!("(*C.int64_t)(unsafe.Pointer({x}))"),
        Kind::Ints => format!("(*C.int64_t)(ints({x})), C.size_t(len({x}))"),
        Kind::Rates => format!("(*C.double)(unsafe.Pointer(unsafe.SliceData({x}))), C.size_t(len({x}))"),
        Kind::Schedules => "handleArray(h), C.size_t(len(h))".into(),
        other => panic!("{other:?} crosses otherwise"),
    }
}

/// How it is made, for the reference.
pub(super) fn call(e: &Entry) -> String {
    let mut list: Vec<String> = if e.optimizer { vec!["optimizer *Optimizer".into()] } else { Vec::new() };
    let required = e.required().filter(|a| a.kind != Kind::OptCallback);
    list.extend(required.map(|a| format!("{} {}", local(&a.name), ty(a.kind))));
    if e.has_options() {
        list.push(format!("opts ...func(*{}Options)", e.name));
    }
    format!("New{}({})", e.name, list.join(", "))
}

fn constructor(s: &mut String, e: &Entry) {
    let (name, snake) = (&e.name, e.snake());
    if e.has_options() {
        writeln!(s, "\n// {name}Options are what New{name} has defaults for.\ntype {name}Options struct {{").unwrap();
        for a in e.options() {
            if a.kind == Kind::OptInt {
                writeln!(s, "\t// {} is nil where it is not given.", exported(&a.name)).unwrap();
            }
            writeln!(s, "\t{} {}", exported(&a.name), ty(a.kind)).unwrap();
        }
        for a in e.required().filter(|a| a.kind == Kind::OptCallback) {
            writeln!(s, "\t// {} is nil where it is not given.\n\t{0} ScheduleFunc", exported(&a.name)).unwrap();
        }
        if e.last_epoch {
            s.push_str("\t// LastEpoch is -1 from the start.\n\tLastEpoch int64\n");
        }
        s.push_str("}\n");
    }
    let mut parameters: Vec<String> = if e.optimizer { vec!["optimizer *Optimizer".into()] } else { Vec::new() };
    let mut call: Vec<String> = if e.optimizer { vec!["optimizer.ptr()".into()] } else { Vec::new() };
    let (mut before, mut alive) = (String::new(), Vec::new());
    if e.optimizer {
        alive.push("optimizer".to_string());
    }
    let doc = e.doc.trim_end_matches('.');
    for a in e.required() {
        let n = local(&a.name);
        if a.kind != Kind::OptCallback {
            parameters.push(format!("{n} {}", ty(a.kind)));
        }
        match a.kind {
            Kind::Callback => call.push(format!("scheduleUser(required({n}))")),
            Kind::OptCallback => call.push(format!("scheduleUser(o.{})", exported(&a.name))),
            Kind::Schedules => {
                writeln!(before, "\th := scheduleHandles({n})").unwrap();
                alive.push(n.clone());
                call.push(cross(a.kind, &n));
            }
            k => call.push(cross(k, &n)),
        }
    }
    if e.has_options() {
        parameters.push(format!("opts ...func(*{name}Options)"));
        let shown = e.options().filter(|a| a.kind != Kind::OptInt);
        let mut set: Vec<_> = shown.map(|a| format!("{}: {}", exported(&a.name), default(a))).collect();
        if e.last_epoch {
            set.push("LastEpoch: -1".into());
        }
        writeln!(before, "\to := {name}Options{{{}}}\n\tfor _, f := range opts {{\n\t\tf(&o)\n\t}}", set.join(", "))
            .unwrap();
        for f in fields(e).iter().filter(|f| !f.name.starts_with("reserved") && f.ty != "usize") {
            match e.options().find(|a| a.name == f.name) {
                Some(a) if a.kind == Kind::Str => {
                    let n = local(&a.name);
                    writeln!(
                        before,
                        "\t{n}, err := text(o.{})\n\tif err != nil {{\n\t\treturn nil, err\n\t}}\n\tdefer freeText({n})",
                        exported(&a.name)
                    )
                    .unwrap();
                    call.push(format!("(*C.char)({n})"));
                }
                Some(a) => call.push(cross(a.kind, &format!("o.{}", exported(&a.name)))),
                None => call.push("C.int64_t(o.LastEpoch)".into()),
            }
        }
    }
    let options = if e.has_options() { "; a function among opts changes what has a default" } else { "" };
    writeln!(
        s,
        "\n// New{name} makes PyTorch's {name}. {doc}{options}.\nfunc New{name}({}) (*Schedule, error) {{\n{before}\tr := \
         C.go_schedule_{snake}({})",
        parameters.join(", "),
        call.join(", ")
    )
    .unwrap();
    for a in alive {
        writeln!(s, "\truntime.KeepAlive({a})").unwrap();
    }
    s.push_str("\treturn adoptSchedule(r)\n}\n");
}

/// As gofmt aligns the fields of a struct.
fn aligned(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut block: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    let flush = |block: &mut Vec<(String, String)>, out: &mut Vec<String>| {
        let width = block.iter().map(|f| f.0.len()).max().unwrap_or(0);
        out.extend(block.drain(..).map(|(n, t)| format!("\t{n:width$} {t}")));
    };
    for line in text.lines() {
        if line.starts_with("type ") && line.ends_with("struct {") {
            inside = true;
        } else if line == "}" {
            flush(&mut block, &mut out);
            inside = false;
        } else if inside && !line.contains("//") {
            let (n, t) = line.trim().split_once(' ').unwrap_or((line, ""));
            block.push((n.into(), t.into()));
            continue;
        } else if inside {
            flush(&mut block, &mut out);
        }
        out.push(line.into());
    }
    out.join("\n") + "\n"
}

pub fn emit(entries: &[Entry]) -> String {
    let mut s = String::from(
        "// Code generated by taper-gen from spec/schedules.txt; DO NOT EDIT. Mend with: cargo run -p taper-gen\n\n\
         package taper\n\n/*\n#include \"shims.h\"\n\n",
    );
    entries.iter().for_each(|e| shim(&mut s, e));
    s += "*/\nimport \"C\"\n\nimport (\n\t\"runtime\"\n\t\"unsafe\"\n)\n";
    let mut body = String::new();
    entries.iter().for_each(|e| constructor(&mut body, e));
    s + &aligned(&body)
}
