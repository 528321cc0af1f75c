//! The types of Python's classes, for editors and type checkers: a `.pyi` beside each file of classes.

use super::model::*;
use std::collections::BTreeSet;
use std::fmt::Write;

const HEAD: &str = "# Written by taper-gen from spec/layers.txt: change that.
from typing import Any, Callable, Optional, Sequence, Tuple, Union

from ..._tensor import Tensor
from ..parameter import Parameter
from .lazy import LazyMixin
from .mixins import RunningStatsMixin
from .module import Module

_Ints = Union[int, Sequence[int]]
_Number = Union[int, float]
";

/// The text of a file's stubs.
pub fn emit(layers: &Layers, file: &File) -> String {
    let mut out = HEAD.to_string();
    for entry in file.entries.iter().filter(|e| !layers.by_hand.contains(&e.name)) {
        out.push('\n');
        out += &class(layers, entry);
    }
    out
}

/// What a constructor takes.
fn taken(t: &Type) -> &'static str {
    match t.name.as_str() {
        "int" => "int",
        "float" => "float",
        "bool" => "bool",
        "str" | "PadMode" | "Reduction" => "str",
        "Module" => "Module",
        "Scalar" => "_Number",
        "Tensor" => "Tensor",
        "Function" => "Callable[..., Tensor]",
        "Factors" => "Union[float, Tuple[float, ...]]",
        "Padding" => "Union[str, _Ints]",
        _ => "_Ints",
    }
}

/// What an attribute holds.
fn held(t: &Type) -> &'static str {
    match t.name.as_str() {
        "Sizes" => "Tuple[int, ...]",
        "Padding" => "Union[str, Tuple[int, ...]]",
        _ => taken(t),
    }
}

fn optional(text: &str, is: bool) -> String {
    if is {
        format!("Optional[{text}]")
    } else {
        text.to_string()
    }
}

fn argument(a: &Argument) -> String {
    let none = a.late_default().is_some();
    let kind = optional(taken(&a.kind), a.kind.optional || none);
    match &a.default {
        None => format!("{}: {kind}", a.name),
        Some(_) if none => format!("{}: {kind} = None", a.name),
        Some(e) => format!("{}: {kind} = {}", a.name, e.python(&|n| n.to_string())),
    }
}

/// The brackets of a constructor.
fn parameters(arguments: &[&Argument], factory: bool, first: Option<&str>) -> String {
    let mut rows: Vec<String> = first.map(String::from).into_iter().collect();
    rows.extend(arguments.iter().filter(|a| !a.keyword_only).map(|a| argument(a)));
    if factory {
        rows.extend(["device: Any = None".into(), "dtype: Any = None".into()]);
    }
    let named: Vec<_> = arguments.iter().filter(|a| a.keyword_only).map(|a| argument(a)).collect();
    if !named.is_empty() {
        rows.push("*".into());
        rows.extend(named);
    }
    format!("({})", rows.join(", "))
}

fn init(arguments: &[&Argument], factory: bool) -> String {
    format!("    def __init__{} -> None: ...\n", parameters(arguments, factory, Some("self")))
}

/// What the constructor of a class takes, for the reference.
pub fn taken_by(layers: &Layers, entry: &Entry) -> String {
    let line = layers.line(entry);
    // A lazy class does without the argument that its first input tells.
    let waiting = line.iter().filter(|e| e.kind == Kind::Lazy).flat_map(|e| &e.steps).find_map(|s| match s {
        Step::Let { name, .. } => Some(name.as_str()),
        _ => None,
    });
    let of = entry.of.as_deref().and_then(|o| layers.entry(o));
    let constructor = layers.constructor(of.unwrap_or(entry));
    let all = constructor.and_then(|c| c.arguments.as_deref()).unwrap_or(&[]);
    let given: Vec<&Argument> = all.iter().filter(|a| Some(a.name.as_str()) != waiting).collect();
    parameters(&given, constructor.is_some_and(|c| c.factory), None)
        .replace("_Ints", "int | Sequence[int]")
        .replace("_Number", "Number")
}

fn class(layers: &Layers, entry: &Entry) -> String {
    let of = entry.of.as_ref().and_then(|o| layers.entry(o));
    let mut bases: Vec<&str> = entry.mixin.iter().map(String::as_str).collect();
    match (&entry.base, of) {
        (Some(b), of) => bases.extend([Some(b.as_str()), of.map(|e| e.name.as_str())].into_iter().flatten()),
        (None, Some(of)) => {
            bases.push("LazyMixin");
            bases.extend((of.kind != Kind::Family).then_some(of.name.as_str()));
        }
        (None, None) => bases.push("Module"),
    }
    let mut body = String::new();
    if entry.kind == Kind::Lazy {
        if entry.base.is_none() {
            let waiting = entry.steps.iter().find_map(|s| match s {
                Step::Let { name, .. } => Some(name.as_str()),
                _ => None,
            });
            let constructor = of.and_then(|o| layers.constructor(o));
            let all = constructor.and_then(|c| c.arguments.as_deref()).unwrap_or(&[]);
            let left: Vec<&Argument> = all.iter().filter(|a| Some(a.name.as_str()) != waiting).collect();
            body += &init(&left, constructor.is_some_and(|c| c.factory));
            body += "    def initialize_parameters(self, input: Tensor) -> None: ...\n";
        }
    } else {
        body += &fields(entry);
        if let Some(arguments) = &entry.arguments {
            body += &init(&arguments.iter().collect::<Vec<_>>(), entry.factory);
        }
        for r in &entry.resets {
            let _ = writeln!(body, "    def {}(self) -> None: ...", r.name);
        }
        body += &forward(layers, entry);
    }
    if body.is_empty() {
        return format!("class {}({}): ...\n", entry.name, bases.join(", "));
    }
    format!("class {}({}):\n{body}", entry.name, bases.join(", "))
}

/// Attributes, parameters and buffers that the entry itself declares.
fn fields(entry: &Entry) -> String {
    let (mut out, mut seen) = (String::new(), BTreeSet::new());
    let mut row = |name: &str, kind: String| {
        if seen.insert(name.to_string()) {
            let _ = writeln!(out, "    {name}: {kind}");
        }
    };
    for step in &entry.steps {
        match step {
            Step::Param { name, when, .. } => row(name, optional("Parameter", when.is_some())),
            Step::Buffer { name, when, .. } => row(name, optional("Tensor", when.is_some())),
            Step::BufferFrom { name, .. } => row(name, "Optional[Tensor]".into()),
            Step::Let { name, .. } => row(name, "Any".into()),
            Step::Refuse { .. } | Step::Store | Step::Recurrent { .. } | Step::Child { .. } | Step::Clones { .. } => {}
        }
    }
    for a in entry.arguments.iter().flatten().filter(|a| a.stored()) {
        row(a.field(), optional(held(&a.kind), a.kind.optional && a.kind.name != "Function"));
    }
    out
}

/// `forward`, and the call of a module, which gives what `forward` does.
fn forward(layers: &Layers, entry: &Entry) -> String {
    let Some(f) = &entry.forward else { return String::new() };
    let mut rows = vec!["self".to_string()];
    rows.extend(layers.inputs(entry).iter().map(|i| format!("{i}: Tensor")));
    rows.extend(f.arguments.iter().map(argument));
    // Several outputs are a tuple; where the last ones depend on an option it may be the first alone.
    let result = match &entry.outputs[..] {
        [] | [_] => "Tensor".to_string(),
        [_, rest @ ..] if rest.iter().any(|o| o.contains(" if ")) => "Any".to_string(),
        all => format!("Tuple[{}]", vec!["Tensor"; all.len()].join(", ")),
    };
    let rows = rows.join(", ");

    format!("    def forward({rows}) -> {result}: ...\n    def __call__({rows}) -> {result}: ...\n")
}
