//! `bindings/cpp/taper/schedules_gen.hpp`: options and a class per schedule, under PyTorch's names.

use super::{Argument, Entry, Kind};
use std::fmt::Write;

fn ty(k: Kind) -> &'static str {
    match k {
        Kind::Int => "int64_t",
        Kind::OptInt => "std::optional<int64_t>",
        Kind::Float => "double",
        Kind::Bool => "bool",
        Kind::Str => "std::string",
        Kind::Ints => "std::vector<int64_t>",
        Kind::Rates => "Rates",
        Kind::Callback | Kind::OptCallback => "ScheduleFunction",
        Kind::Schedules => "std::vector<LRScheduler>",
    }
}

fn by_value(k: Kind) -> String {
    match k {
        Kind::Int | Kind::Float | Kind::Bool => ty(k).into(),
        Kind::Callback | Kind::OptCallback => ty(k).into(),
        _ => format!("const {} &", ty(k)),
    }
}

fn parameter(a: &Argument) -> String {
    let t = by_value(a.kind);
    format!("{t}{}{}", if t.ends_with('&') { "" } else { " " }, a.name)
}

/// How it is made, for the reference.
pub(super) fn call(e: &Entry) -> String {
    let mut list: Vec<String> = if e.optimizer { vec!["const Optimizer &optimizer".into()] } else { Vec::new() };
    let (given, callbacks): (Vec<&Argument>, Vec<&Argument>) = e.required().partition(|a| a.default.is_none());
    list.extend(given.iter().map(|a| parameter(a)));
    if e.has_options() {
        list.push(format!("const {}Options &o = {{}}", e.name));
    }
    list.extend(callbacks.iter().map(|a| parameter(a)));
    format!("{}({})", e.name, list.join(", "))
}

fn class(s: &mut String, e: &Entry) {
    let (name, snake) = (&e.name, e.snake());
    let options = e.has_options();
    if options {
        writeln!(s, "struct {name}Options {{").unwrap();
        for a in e.options() {
            match a.kind {
                Kind::OptInt => writeln!(s, "    std::optional<int64_t> {};", a.name).unwrap(),
                k => writeln!(s, "    {} {} = {};", ty(k), a.name, a.number()).unwrap(),
            }
        }
        if e.last_epoch {
            s.push_str("    int64_t last_epoch = -1; ///< -1: from the start\n");
        }
        s.push_str("};\n");
    }
    writeln!(s, "/// {}\nclass {name} : public LRScheduler {{\n  public:", e.doc).unwrap();
    let mut parameters: Vec<String> = if e.optimizer { vec!["const Optimizer &optimizer".into()] } else { Vec::new() };
    // What may be left out comes last.
    let (given, callbacks): (Vec<&Argument>, Vec<&Argument>) = e.required().partition(|a| a.default.is_none());
    parameters.extend(given.iter().map(|a| parameter(a)));
    let first = parameters.clone();
    if options {
        parameters.push(format!("const {name}Options &o = {{}}"));
    }
    parameters.extend(callbacks.iter().map(|a| format!("{} = nullptr", parameter(a))));
    let explicit = if parameters.len() == 1 || (parameters.len() == 2 && options) { "explicit " } else { "" };
    writeln!(s, "    {explicit}{name}({}) {{", parameters.join(", ")).unwrap();
    let mut call: Vec<String> = if e.optimizer { vec!["optimizer.handle()".into()] } else { Vec::new() };
    for a in e.required() {
        let n = &a.name;
        match a.kind {
            Kind::Int | Kind::Float => call.push(n.clone()),
            Kind::Ints => call.push(format!("{n}.data(), {n}.size()")),
            Kind::Rates => call.push(format!("{n}.values.data(), {n}.values.size()")),
            Kind::Schedules => {
                writeln!(s, "        const auto h = handles({n});").unwrap();
                call.push("h.data(), h.size()".into());
            }
            _ => {
                writeln!(s, "        const taper_schedule_vtable v = vtable();").unwrap();
                let user = format!("new ScheduleFunction(std::move({n}))");
                match a.kind {
                    Kind::Callback => call.push(format!("&v, {user}")),
                    _ => {
                        writeln!(s, "        const bool has = static_cast<bool>({n});").unwrap();
                        call.push(format!("has ? &v : nullptr, has ? {user} : nullptr"));
                    }
                }
            }
        }
    }
    if options {
        writeln!(s, "        taper_{snake}_options raw = TAPER_{}_OPTIONS_INIT;", snake.to_uppercase()).unwrap();
        for a in e.options() {
            let n = &a.name;
            match a.kind {
                Kind::Str => writeln!(s, "        raw.{n} = detail::text(o.{n});"),
                Kind::OptInt => writeln!(s, "        raw.{n} = o.{n} ? &*o.{n} : nullptr;"),
                Kind::Rates => {
                    writeln!(s, "        raw.{n} = o.{n}.values.data();\n        raw.{n}_len = o.{n}.values.size();")
                }
                _ => writeln!(s, "        raw.{n} = o.{n};"),
            }
            .unwrap();
        }
        if e.last_epoch {
            s.push_str("        raw.last_epoch = o.last_epoch;\n");
        }
        call.push("&raw".into());
    }
    writeln!(
        s,
        "        taper_schedule *out = nullptr;\n        detail::check(taper_schedule_{snake}_create({}, &out));\n        \
         set(out);\n    }}",
        call.join(", ")
    )
    .unwrap();
    // As libtorch: StepLR(optimizer, step_size, gamma).
    if let Some(a) = e.options().next().filter(|a| a.kind == Kind::Float && callbacks.is_empty()) {
        let n = &a.name;
        let names: Vec<_> = std::iter::once("optimizer").chain(given.iter().map(|a| a.name.as_str())).collect();
        writeln!(
            s,
            "    {name}({}, double {n}) : {name}({}, with({n})) {{}}\n\n  private:\n    static {name}Options with(double \
             {n}) {{\n        {name}Options o;\n        o.{n} = {n};\n        return o;\n    }}",
            first.join(", "),
            names.join(", "),
        )
        .unwrap();
    }
    s.push_str("};\n\n");
}

pub fn emit(entries: &[Entry]) -> String {
    let mut s = String::from(
        "// Generated by taper-gen from spec/schedules.txt; do not edit. Mend with: cargo run -p taper-gen\n\
         /// The kinds of learning-rate schedules; lr_scheduler.hpp includes this.\n\
         #ifndef TAPER_SCHEDULES_GEN_HPP\n#define TAPER_SCHEDULES_GEN_HPP\n\n#include \"lr_scheduler.hpp\"\n\n\
         // clang-format off\n\
         namespace taper {\nnamespace optim {\n\n",
    );
    entries.iter().for_each(|e| class(&mut s, e));
    s + "} // namespace optim\n} // namespace taper\n// clang-format on\n\n#endif\n"
}
