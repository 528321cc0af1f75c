//! `src/capi/layers_gen.rs`: a constructor and an options struct for each layer; the header's `_INIT` macros.

use super::expr::Expr;
use super::forward::{further, is_whole};
use super::model::*;
use super::plan::{classes, snake, Plan};
use super::rust::constant;
use crate::abi;
use std::collections::BTreeSet;
use std::fmt::Write;

/// How a field of an options struct is read; its order is that of the struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Ints,
    Floats,
    Text,
    Tensor,
    Module,
    OptInt,
    OptFloat,
    OptBool,
    Scalar,
    Int,
    Float,
    Bool,
    /// Whether the value of the field before counts; else it is None.
    Has,
    DType,
    Reserved,
    Device,
}

/// A field of an options struct.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    pub name: String,
    pub kind: Kind,
    pub argument: Option<&'a Argument>,
    pub slot: usize,
}

/// The arguments that must be given, and those that an options struct holds.
pub fn split<'a>(plan: &Plan<'a>) -> (Vec<&'a Argument>, Vec<&'a Argument>) {
    plan.arguments().into_iter().partition(|a| a.default.is_none())
}

/// The name of a class's options struct, without `taper_nn_` and `_options`.
pub fn options_name(plan: &Plan) -> String {
    let (_, optional) = split(plan);
    match plan.constructor {
        Some(c) if !optional.is_empty() || c.factory => {
            let name = snake(&c.name);
            c.options.clone().unwrap_or_else(|| name.strip_suffix("_nd").unwrap_or(&name).to_string())
        }
        _ => "empty".into(),
    }
}

/// The fields of a class's options in the order of the struct, but for `struct_size`.
pub fn fields<'a>(plan: &Plan<'a>) -> Vec<Field<'a>> {
    let mut out: Vec<Field> = Vec::new();
    for a in split(plan).1 {
        let slot = plan.slot(&a.name).unwrap_or(usize::MAX);
        let none = matches!(&a.default, Some(Expr::Literal(l)) if l == "None");
        let mut push = |name: String, kind: Kind| out.push(Field { name, kind, argument: Some(a), slot });
        // Arguments of PyTorch's for its own use have a name of their own elsewhere.
        let name = a.name.trim_start_matches('_').to_string();
        match (a.kind.name.as_str(), a.kind.optional) {
            ("Sizes" | "Window", _) => push(name, Kind::Ints),
            ("Padding", _) => {
                push(name.clone(), Kind::Ints);
                push(name + "_text", Kind::Text);
            }
            ("Factors", _) => push(name, Kind::Floats),
            ("str" | "PadMode" | "Reduction", _) => push(name, Kind::Text),
            ("Tensor", _) => push(name, Kind::Tensor),
            ("Module", _) => push(name, Kind::Module),
            ("Scalar", _) => push(name, Kind::Scalar),
            ("int", true) if none => push(name, Kind::OptInt),
            ("float", true) if none => push(name, Kind::OptFloat),
            ("bool", true) if none => push(name, Kind::OptBool),
            ("int", optional) => {
                push(name.clone(), Kind::Int);
                if optional {
                    push(format!("has_{name}"), Kind::Has);
                }
            }
            ("float", optional) => {
                push(name.clone(), Kind::Float);
                if optional {
                    push(format!("has_{name}"), Kind::Has);
                }
            }
            _ => push(name, Kind::Bool),
        }
    }
    if plan.factory() {
        for (name, kind) in [("dtype", Kind::DType), ("device", Kind::Device)] {
            out.push(Field { name: name.into(), kind, argument: None, slot: 0 });
        }
    }
    let name = format!("taper_nn_{}_options", options_name(plan));
    let reserved = |name| Field { name, kind: Kind::Reserved, argument: None, slot: 0 };
    abi::ordered(&name, out, |f| &f.name, reserved, by_kind)
}

/// Arguments of one kind stay in order. Numbers of eight bytes, and the small ones, are one kind here.
fn by_kind<'a>(mut out: Vec<Field<'a>>, reserved: Field<'a>) -> Vec<Field<'a>> {
    out.sort_by_key(|f| match f.kind {
        Kind::OptFloat | Kind::OptBool => Kind::OptInt,
        Kind::Floats => Kind::Ints,
        Kind::Float => Kind::Int,
        Kind::Has => Kind::Bool,
        k => k,
    });
    let small = out.iter().filter(|f| matches!(f.kind, Kind::Bool | Kind::Has | Kind::DType)).count();
    if small % 2 == 1 {
        let at = out.iter().position(|f| f.kind == Kind::Device).unwrap_or(out.len());
        out.insert(at, reserved);
    }
    out
}

/// A default as C spells it.
pub fn spelt(e: &Expr) -> String {
    match e {
        Expr::Literal(l) => match l.as_str() {
            "True" => "1".into(),
            "False" => "0".into(),
            l => l.into(),
        },
        Expr::Negative(e) => format!("-{}", spelt(e)),
        Expr::Text(t) => format!("\"{t}\""),
        Expr::Name(n) => n.clone(),
        _ => String::new(),
    }
}

impl Field<'_> {
    pub fn default(&self) -> String {
        self.argument.and_then(|a| a.default.as_ref()).map_or(String::new(), spelt)
    }
    fn rust(&self) -> Vec<(String, &'static str)> {
        let n = self.name.clone();
        match self.kind {
            Kind::Ints => vec![(n.clone(), "*const i64"), (n + "_len", "usize")],
            Kind::Floats => vec![(n.clone(), "*const f64"), (n + "_len", "usize")],
            Kind::Text => vec![(n, "*const c_char")],
            Kind::Tensor => vec![(n, "*mut taper_tensor")],
            Kind::Module => vec![(n, "*mut taper_module")],
            Kind::OptInt => vec![(n, "*const i64")],
            Kind::OptFloat => vec![(n, "*const f64")],
            Kind::OptBool => vec![(n, "*const bool")],
            Kind::Scalar => vec![(n, "taper_scalar")],
            Kind::Int => vec![(n, "i64")],
            Kind::Float => vec![(n, "f64")],
            Kind::Bool | Kind::Has | Kind::DType | Kind::Reserved => vec![(n, "i32")],
            Kind::Device => vec![(n, "taper_device")],
        }
    }
    fn doc(&self) -> String {
        let d = self.default();
        match self.kind {
            Kind::Ints if self.name == "padding" && self.argument.is_some_and(|a| a.kind.name == "Padding") => {
                format!("NULL: {d}.")
            }
            Kind::Ints | Kind::Floats => format!("NULL: {}.", if d == "None" { "none".into() } else { d }),
            Kind::Text if self.name == "padding_text" => "\"same\" or \"valid\" in place of padding; or NULL.".into(),
            Kind::Text => match self.argument.map(|a| a.kind.name.as_str()) {
                Some("PadMode") => format!("{d} (or NULL), \"reflect\", \"replicate\" or \"circular\"."),
                Some("Reduction") => format!("{d} (or NULL), \"sum\" or \"none\"."),
                _ => format!("NULL: {d}."),
            },
            Kind::Tensor | Kind::Module | Kind::OptInt | Kind::OptFloat | Kind::OptBool => "NULL: none.".into(),
            Kind::Scalar | Kind::Int | Kind::Float => format!("Default {d}."),
            Kind::Bool if self.name == "bias" => "0 for no bias.".into(),
            Kind::Bool => format!("0 or 1, default {d}."),
            Kind::Has => format!("0: no {}.", self.name.trim_start_matches("has_")),
            Kind::DType => "Of the parameters; TAPER_DTYPE_NONE: the default dtype.".into(),
            Kind::Device => "Of the parameters; type 0: the default device.".into(),
            Kind::Reserved => "0.".into(),
        }
    }
    fn init(&self) -> String {
        let d = self.default();
        match self.kind {
            Kind::Ints | Kind::Floats => "NULL, 0".into(),
            Kind::Text | Kind::Tensor | Kind::Module | Kind::OptInt | Kind::OptFloat | Kind::OptBool => "NULL".into(),
            Kind::Scalar if d.contains('.') => format!("{{TAPER_SCALAR_FLOAT, 0, {d}}}"),
            Kind::Scalar => format!("{{TAPER_SCALAR_INT, {d}, 0.0}}"),
            Kind::Int | Kind::Float | Kind::Bool => d,
            Kind::Has => "1".into(),
            Kind::DType => "TAPER_DTYPE_NONE".into(),
            Kind::Reserved => "0".into(),
            Kind::Device => "{0, 0}".into(),
        }
    }
}

/// A text broken into doc lines.
fn doc_lines(text: &str) -> String {
    let (mut out, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + word.len() > 110 {
            out += &format!("/// {line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    out + &format!("/// {line}\n")
}

/// The parameters and buffers that a class may have.
fn holds(plan: &Plan) -> String {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for step in plan.line.iter().flat_map(|e| &e.steps) {
        match step {
            Step::Param { name, .. } => names.push(("Parameters", name)),
            Step::Buffer { name, .. } | Step::BufferFrom { name, .. } => names.push(("buffers", name)),
            _ => {}
        }
    }
    let list = |kind: &str| {
        let found: Vec<_> = names.iter().filter(|n| n.0 == kind).map(|n| n.1).collect();
        if found.is_empty() {
            String::new()
        } else {
            format!("{kind} {}", found.join(", "))
        }
    };
    let all = [list("Parameters"), list("buffers")];
    let all: Vec<_> = all.into_iter().filter(|s| !s.is_empty()).collect();
    match all.join("; ") {
        s if s.is_empty() => s,
        s => format!(" {}{}.", s[..1].to_uppercase(), &s[1..]),
    }
}

/// The file's text.
pub fn emit(layers: &Layers) -> String {
    let mut s = String::from(
        "// Generated by taper-gen from spec/layers.txt; do not edit. Mend with: cargo run -p taper-gen\n\
         //! Constructors of the layers and losses: what is required, options, result.\n\n\
         use super::convert::guard;\n\
         use super::layer_options::{create, forward, forward_whole, Given, Kind, OptionField, OptionTable};\n\
         use super::types::*;\n\
         use crate::nn::layers_gen::*;\n\
         use std::mem::{offset_of, size_of};\n\
         use std::os::raw::c_char;\n\n\
         /// Options of what has none.\n#[repr(C)]\n#[derive(Clone, Copy)]\npub struct taper_nn_empty_options {\n    \
         /// sizeof(taper_nn_empty_options).\n    pub struct_size: usize,\n}\n\
         static EMPTY_OPTIONS: OptionTable = OptionTable { size: size_of::<taper_nn_empty_options>(), fields: &[] };\n\n",
    );
    let mut written = BTreeSet::from(["empty".to_string()]);
    for plan in classes(layers) {
        let name = options_name(&plan);
        if written.insert(name.clone()) {
            s += &options(&plan, &name);
        }
        s += &function(&plan, &name);
        s += &forward(&plan);
    }
    s.truncate(s.trim_end().len());
    s + "\n"
}

fn options(plan: &Plan, name: &str) -> String {
    let full = format!("taper_nn_{name}_options");
    let mut s = format!(
        "/// Options of taper_nn_{}_create{}.\n#[repr(C)]\n#[derive(Clone, Copy)]\npub struct {full} {{\n    \
         /// sizeof({full}).\n    pub struct_size: usize,\n",
        snake(&plan.entry.name),
        if plan.constructor.is_some_and(|c| c.name == plan.entry.name) { "" } else { " and its like" }
    );
    let mut table = String::new();
    for f in fields(plan) {
        for (i, (n, t)) in f.rust().into_iter().enumerate() {
            if i == 0 {
                writeln!(s, "    /// {}", f.doc()).unwrap();
            }
            writeln!(s, "    pub {n}: {t},").unwrap();
        }
        if f.kind != Kind::Reserved {
            writeln!(
                table,
                "        OptionField {{ name: \"options->{0}\", slot: {1}, kind: Kind::{2:?}, offset: offset_of!({full}, {0}) }},",
                f.name,
                if matches!(f.kind, Kind::Tensor | Kind::Module) || f.slot == usize::MAX { 0 } else { f.slot },
                f.kind
            )
            .unwrap();
        }
    }
    s += "}\n";
    write!(
        s,
        "static {}_OPTIONS: OptionTable = OptionTable {{\n    size: size_of::<{full}>(),\n    fields: &[\n{table}    ],\n}};\n\n",
        name.to_uppercase()
    )
    .unwrap();
    s
}

fn function(plan: &Plan, options: &str) -> String {
    let name = snake(&plan.entry.name);
    let (required, _) = split(plan);
    let (mut parameters, mut given) = (String::new(), Vec::new());
    for a in required {
        let n = &a.name;
        let (ty, value) = match a.kind.name.as_str() {
            "int" => ("i64", format!("Given::Int({n})")),
            "float" => ("f64", format!("Given::Float({n})")),
            "Scalar" => ("taper_scalar", format!("Given::Scalar({n})")),
            "Module" => ("*mut taper_module", format!("Given::Module({n:?}, {n})")),
            _ => ("*const i64", format!("Given::Ints({n}, {n}_len)")),
        };
        writeln!(parameters, "    {n}: {ty},").unwrap();
        if ty == "*const i64" {
            writeln!(parameters, "    {n}_len: usize,").unwrap();
        }
        given.push(value);
    }
    let doc = doc_lines(&format!(
        "{} options may be NULL.{} The module is owned by the caller. Since 0.1.",
        plan.entry.doc.replace('[', "(").replace(']', ")"),
        holds(plan)
    ));
    format!(
        "{doc}#[no_mangle]\n#[must_use]\npub unsafe extern \"C\" fn taper_nn_{name}_create(\n{parameters}    \
         options: *const taper_nn_{options}_options,\n    out: *mut *mut taper_module,\n) -> *mut taper_error {{\n    \
         guard(\"nn_{name}_create\", |c| create(c, &{}, &[{}], options.cast(), &{}_OPTIONS, out))\n}}\n\n",
        constant(plan),
        given.join(", "),
        options.to_uppercase()
    )
}

/// A function for the forward that takes arguments besides its inputs.
fn forward(plan: &Plan) -> String {
    if further(plan).is_empty() {
        return String::new();
    }
    if is_whole(plan) {
        return forward_whole(plan);
    }
    let name = snake(&plan.entry.name);
    let (mut parameters, mut tensors, mut more) = (String::new(), Vec::new(), Vec::new());
    for i in plan.layers.inputs(plan.entry) {
        writeln!(parameters, "    {i}: *mut taper_tensor,").unwrap();
        tensors.push(format!("({i:?}, {i})"));
    }
    for Argument { name: n, .. } in further(plan) {
        write!(parameters, "    {n}: *const i64,\n    {n}_len: usize,\n").unwrap();
        more.push(format!("({n:?}, Given::OptInts({n}, {n}_len))"));
    }
    format!(
        "{}#[no_mangle]\n#[must_use]\npub unsafe extern \"C\" fn taper_nn_{name}_forward(\n    m: *mut taper_module,\n{parameters}    \
         out: *mut *mut taper_tensor,\n) -> *mut taper_error {{\n    \
         guard(\"nn_{name}_forward\", |c| forward(c, m, &[{}], &[{}], out))\n}}\n\n",
        doc_lines(&forward_doc(plan)),
        tensors.join(", "),
        more.join(", ")
    )
}
/// The inputs with whether they may be absent, and the names of what comes out.
pub fn inputs_and_outputs<'a>(plan: &'a Plan) -> (Vec<(&'a str, bool)>, Vec<&'a str>) {
    let inputs = plan.layers.inputs(plan.entry);
    let optional = plan.line.iter().find(|e| e.inputs.is_some()).map_or(0, |e| e.optional_inputs);
    let least = inputs.len() - optional;
    let outputs: Vec<_> = plan.entry.outputs.iter().map(|o| o.split(' ').next().unwrap_or(o)).collect();
    let inputs = inputs.into_iter().enumerate().map(|(i, n)| (n, i >= least)).collect();
    (inputs, if outputs.is_empty() { vec!["out"] } else { outputs })
}

/// The same of inputs that may be absent, and of several outputs.
fn forward_whole(plan: &Plan) -> String {
    let name = snake(&plan.entry.name);
    let (inputs, outputs) = inputs_and_outputs(plan);
    let (mut parameters, mut tensors, mut more, mut outs) = (String::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, optional) in inputs {
        writeln!(parameters, "    {i}: *mut taper_tensor,").unwrap();
        tensors.push(format!("({i:?}, {i}, {optional})"));
    }
    for Argument { name: n, kind, .. } in further(plan) {
        let (ty, given) = if kind.optional { ("*const bool", "OptBool") } else { ("bool", "Bool") };
        writeln!(parameters, "    {n}: {ty},").unwrap();
        more.push(format!("({n:?}, Given::{given}({n}))"));
    }
    for o in outputs {
        writeln!(parameters, "    {o}: *mut *mut taper_tensor,").unwrap();
        outs.push(format!("({o:?}, {o})"));
    }
    format!(
        "{}#[no_mangle]\n#[must_use]\npub unsafe extern \"C\" fn taper_nn_{name}_forward(\n    m: *mut taper_module,\n{parameters}) \
         -> *mut taper_error {{\n    guard(\"nn_{name}_forward\", |c| forward_whole(c, m, &[{}], &[{}], &[{}]))\n}}\n\n",
        doc_lines(&forward_doc(plan)),
        tensors.join(", "),
        more.join(", "),
        outs.join(", ")
    )
}
pub fn forward_doc(plan: &Plan) -> String {
    if is_whole(plan) {
        let (inputs, outputs) = inputs_and_outputs(plan);
        let absent: Vec<_> = inputs.iter().filter(|i| i.1).map(|i| i.0).collect();
        let hints: Vec<_> = further(plan).iter().filter(|a| a.kind.optional).map(|a| a.name.as_str()).collect();
        let hints = match hints.is_empty() {
            true => String::new(),
            false => format!(" {} NULL: whether the mask is the causal one is looked up.", hints.join(", ")),
        };
        let given = match outputs.get(1) {
            Some(second) => format!(" {second} may be NULL, and gets NULL where it was not asked for."),
            None => String::new(),
        };
        return format!(
            "Runs a {} with its hooks, as taper_module_forward_list. {} may be NULL.{hints}{given} The results are owned by \
             the caller. Borrows all else. Since 0.1.",
            plan.entry.name,
            absent.join(", ")
        );
    }
    let names: Vec<_> = further(plan).iter().map(|a| a.name.as_str()).collect();
    format!(
        "Runs a {} with its hooks, as taper_module_forward, and with {} (NULL: none). Borrows all. Since 0.1.",
        plan.entry.name,
        names.join(", ")
    )
}

/// The constructors as `spec/objects.txt` would declare them.
pub fn declared(layers: &Layers) -> String {
    let mut s = String::from("# Layers with options [layers_gen]\n");
    for plan in classes(layers) {
        let mut arguments: Vec<String> = split(&plan)
            .0
            .iter()
            .map(|a| {
                let ty = match a.kind.name.as_str() {
                    "int" => "int64",
                    "float" => "double",
                    "Scalar" => "Scalar",
                    "Module" => "Module",
                    _ => "int64[]",
                };
                format!("{ty} {}", a.name)
            })
            .collect();
        arguments.push(format!("struct nn_{}_options? options", options_name(&plan)));
        let (name, arguments) = (snake(&plan.entry.name), arguments.join(", "));
        write!(s, "nn_{name}_create({arguments}) -> Module\n    {} Since 0.1.\n", plan.entry.doc).unwrap();
        if is_whole(&plan) {
            let (inputs, outputs) = inputs_and_outputs(&plan);
            let mut arguments = vec!["Module m".to_string()];
            arguments.extend(inputs.iter().map(|(i, o)| format!("Tensor{} {i}", if *o { "?" } else { "" })));
            arguments.extend(
                further(&plan).iter().map(|a| format!("bool{} {}", if a.kind.optional { "?" } else { "" }, a.name)),
            );
            let results = match &outputs[..] {
                [_] => "Tensor".to_string(),
                [first, rest @ ..] => {
                    let rest: String = rest.iter().map(|o| format!(", optional Tensor {o}")).collect();
                    format!("(Tensor {first}{rest})")
                }
                [] => "()".to_string(),
            };
            let doc = forward_doc(&plan);
            write!(s, "nn_{name}_forward({}) -> {results}\n    {doc}\n", arguments.join(", ")).unwrap();
        } else if !further(&plan).is_empty() {
            let mut arguments = vec!["Module m".to_string()];
            arguments.extend(plan.layers.inputs(plan.entry).iter().map(|i| format!("Tensor {i}")));
            arguments.extend(further(&plan).iter().map(|a| format!("int64[] {}", a.name)));
            let doc = forward_doc(&plan);
            write!(s, "nn_{name}_forward({}) -> Tensor\n    {doc}\n", arguments.join(", ")).unwrap();
        }
    }
    s
}

/// The header's macros: options with their defaults.
pub fn inits(layers: &Layers) -> String {
    let mut s = String::from(
        "/* Options of layers with PyTorch's defaults. */\n\
         #define TAPER_NN_EMPTY_OPTIONS_INIT {sizeof(taper_nn_empty_options)}\n",
    );
    let mut written = BTreeSet::from(["empty".to_string()]);
    for plan in classes(layers) {
        let name = options_name(&plan);
        if !written.insert(name.clone()) {
            continue;
        }
        let values: Vec<String> = fields(&plan).iter().map(Field::init).collect();
        let head = format!("#define TAPER_NN_{}_OPTIONS_INIT", name.to_uppercase());
        let body = format!("{{sizeof(taper_nn_{name}_options), {}}}", values.join(", "));
        if head.len() + body.len() < 112 {
            writeln!(s, "{head} {body}").unwrap();
        } else {
            writeln!(s, "{head} \\\n    {body}").unwrap();
        }
    }
    s
}
