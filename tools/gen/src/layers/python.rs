//! Python's classes: ordinary source, one file per `file` line.

use super::expr::{python_arguments, quoted, Expr};
use super::model::*;
use std::collections::BTreeSet;

const WIDTH: usize = 120;

/// The text of a file's classes.
pub fn emit(layers: &Layers, file: &File) -> String {
    let mut used = BTreeSet::new();
    let classes: Vec<String> = file
        .entries
        .iter()
        .filter(|e| !layers.by_hand.contains(&e.name))
        .map(|e| class(layers, e, &mut used))
        .collect();
    let body = classes.join("\n\n");
    let mut out = format!("\"\"\"{}\"\"\"\n\n", file.doc);
    out += "# Written by taper-gen from spec/layers.txt: change that.\n\nfrom __future__ import annotations\n\n";
    if body.contains("math.") {
        out += "import math\n\n";
    }
    let has = |text: &str| body.contains(text);
    let mut import = |condition: bool, line: String| {
        if condition {
            out += &line;
            out.push('\n');
        }
    };
    let list = |names: &[&str]| {
        let found: Vec<_> = names.iter().filter(|n| has(&format!("{n}("))).copied().collect();
        (!found.is_empty(), found.join(", "))
    };
    import(has("_ops."), "from ... import _ops".into());
    import(has("dtype=int64"), "from ..._dtype import int64".into());
    import(true, "from ..._tensor import Tensor".into());
    let (composed, init) = (has(" composed."), has("init."));
    import(composed, format!("from .. import composed{}", if init { ", init" } else { "" }));
    import(has("F."), "from .. import functional as F".into());
    import(init && !composed, "from .. import init".into());
    let (any, names) = list(&["Parameter", "UninitializedBuffer", "UninitializedParameter"]);
    // "Parameter(" is also the end of "UninitializedParameter(".
    let names = if has(" Parameter(") { names } else { names.trim_start_matches("Parameter, ").to_string() };
    import(any, format!("from ..parameter import {names}"));
    let (any, names) = list(&["factors", "ntuple", "padding_mode_of", "padding_of", "sizes_of"]);
    import(any, format!("from .arguments import {names}"));
    import(file.name == "loss" && has("PairwiseDistance()"), "from .misc import PairwiseDistance".into());
    import(has("(LazyMixin"), "from .lazy import LazyMixin".into());
    if !used.is_empty() {
        import(true, format!("from .mixins import {}", used.iter().cloned().collect::<Vec<_>>().join(", ")));
    }
    import(true, "from .module import Module".into());
    out + "\n\n" + &body
}

/// What `taper.nn` has: the classes of every file, and those by hand.
pub fn init(layers: &Layers) -> String {
    let mut out = "\"\"\"The layers.\"\"\"\n\n# Written by taper-gen from spec/layers.txt: change that.\n\n# ruff: noqa: F401, I001\n\
        from .multihead import MultiheadAttention\n\
        from .container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential\n\
        from .identity import Identity\n\
        from .module import Module, register_module_forward_hook, register_module_forward_pre_hook\n\
        from .rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNBase, RNNCell, RNNCellBase\n\
        from .sparse import Embedding, EmbeddingBag\n\
        from .transformer import (\n    Transformer,\n    TransformerDecoder,\n    TransformerDecoderLayer,\n    TransformerEncoder,\n    \
        TransformerEncoderLayer,\n)\n"
        .to_string();
    for file in &layers.files {
        let public = |e: &&Entry| !e.hidden && !e.name.starts_with('_') && !layers.by_hand.contains(&e.name);
        let names: Vec<String> = file.entries.iter().filter(public).map(|e| format!("    {},\n", e.name)).collect();
        if !names.is_empty() {
            out += &format!("from .{} import (\n{})\n", file.name, names.concat());
        }
    }
    out + "from .adaptive import AdaptiveLogSoftmaxWithLoss, FractionalMaxPool2d, FractionalMaxPool3d, LinearCrossEntropyLoss\n\
        from . import activation, linear, loss, pooling\nfrom ..._module_names import submodules as _submodules\n\n\
        # PyTorch has these classes there, and so have pickles of whole modules.\n\
        activation.MultiheadAttention = MultiheadAttention\nlinear.Identity = Identity\n\
        loss.LinearCrossEntropyLoss = LinearCrossEntropyLoss\n\
        pooling.FractionalMaxPool2d, pooling.FractionalMaxPool3d = FractionalMaxPool2d, FractionalMaxPool3d\n\
        __getattr__ = _submodules(__name__)\n"
}

/// `head(items)tail`, broken as Python's formatter breaks it.
pub fn fill(indent: usize, head: &str, items: &[String], tail: &str) -> String {
    let pad = " ".repeat(indent);
    let one = format!("{pad}{head}({}){tail}\n", items.join(", "));
    if one.chars().count() <= WIDTH + 1 {
        return one;
    }
    let inner = format!("{pad}    {}\n", items.join(", "));
    if inner.chars().count() <= WIDTH + 1 {
        return format!("{pad}{head}(\n{inner}{pad}){tail}\n");
    }
    let rows: String = items.iter().map(|i| format!("{pad}    {i},\n")).collect();
    format!("{pad}{head}(\n{rows}{pad}){tail}\n")
}

fn own(name: &str) -> String {
    format!("self.{name}")
}

/// An argument as a signature has it.
fn signature(a: &Argument) -> String {
    let none = matches!(&a.default, Some(Expr::Literal(l)) if l == "None") || a.late_default().is_some();
    let kind = match a.kind.name.as_str() {
        k @ ("int" | "float" | "bool" | "str") => k,
        "PadMode" | "Reduction" => "str",
        _ => "",
    };
    let kind = if a.kind.optional && (none || a.default.is_none()) { "" } else { kind };
    let default = match &a.default {
        None => None,
        Some(_) if none => Some("None".into()),
        Some(e) => Some(e.python(&own)),
    };
    match (kind, default) {
        ("", None) => a.name.clone(),
        ("", Some(d)) => format!("{}={d}", a.name),
        (k, None) => format!("{}: {k}", a.name),
        (k, Some(d)) => format!("{}: {k} = {d}", a.name),
    }
}

/// A constructor's arguments, device and dtype before those that are given by name alone.
fn signatures(arguments: &[&Argument], factory: bool) -> Vec<String> {
    let mut out = vec!["self".to_string()];
    out.extend(arguments.iter().filter(|a| !a.keyword_only).map(|a| signature(a)));
    if factory {
        out.extend(["device=None".into(), "dtype=None".into()]);
    }
    let named: Vec<_> = arguments.iter().filter(|a| a.keyword_only).map(|a| signature(a)).collect();
    if !named.is_empty() {
        out.push("*".into());
        out.extend(named);
    }
    out
}

fn class(layers: &Layers, entry: &Entry, mixins: &mut BTreeSet<String>) -> String {
    let mut bases: Vec<&str> = Vec::new();
    if let Some(m) = &entry.mixin {
        mixins.insert(m.clone());
        bases.push(m);
    }
    let trivial_lazy = entry.kind == Kind::Lazy && entry.base.is_some();
    match (&entry.base, &entry.of) {
        (Some(b), Some(of)) => bases.extend([b.as_str(), of.as_str()]),
        (Some(b), None) => bases.push(b),
        (None, Some(of)) => {
            bases.push("LazyMixin");
            if layers.entry(of).is_some_and(|e| e.kind != Kind::Family) {
                bases.push(of);
            }
        }
        (None, None) => bases.push("Module"),
    }
    let mut out = format!("class {}({}):\n", entry.name, bases.join(", "));
    let mut parts: Vec<String> = Vec::new();
    if !entry.doc.is_empty() {
        parts.push(format!("    \"\"\"{}\"\"\"\n", entry.doc));
    }
    let mut consts: String =
        entry.consts.iter().map(|(name, value)| format!("    {name} = {}\n", value.python(&own))).collect();
    if let Some(of) = entry.of.as_ref().filter(|o| layers.entry(o).is_some_and(|e| e.kind != Kind::Family)) {
        consts += &format!("    cls_to_become = {of}\n");
    }
    if !consts.is_empty() {
        parts.push(consts);
    }
    if entry.kind == Kind::Lazy {
        if !trivial_lazy {
            lazy(layers, entry, &mut parts);
        }
    } else {
        if let Some(arguments) = &entry.arguments {
            parts.push(constructor(layers, entry, arguments));
        }
        for step in &entry.steps {
            if let Step::Param { name, shape: Expr::Choice(a, c, b), .. } = step {
                parts.push(format!(
                    "    def _{name}_shape(self):\n        if {}:\n            return {}\n        return {}\n",
                    c.python(&own),
                    a.python(&own),
                    b.python(&own)
                ));
            }
        }
        parts.extend(entry.resets.iter().map(|r| reset(entry, r)));
        parts.extend(forward(layers, entry));
    }
    if let Some(pieces) = &entry.repr {
        parts.push(extra_repr(pieces));
    }
    if parts.is_empty() {
        parts.push("    pass\n".into());
    }
    // A class that begins with its constants has no empty line before them.
    out += &parts.join("\n");
    out
}

/// The value that a constructor stores of an argument.
fn stored(a: &Argument, names: &dyn Fn(&str) -> String) -> String {
    let (n, count) = (&a.name, a.kind.count.as_ref().map(|e| e.python(names)));
    let value = match (a.kind.convert(), count) {
        (Convert::Sizes, Some(c)) => format!("ntuple({n}, {c})"),
        (Convert::Sizes, None) => format!("sizes_of({n})"),
        (Convert::Padding, c) => format!("padding_of({n}, {})", c.unwrap_or_default()),
        (Convert::PadMode, _) => format!("padding_mode_of({n})"),
        (Convert::Reduction, _) => format!("F._reduction(size_average, reduce, {n})"),
        (Convert::Factors, _) => format!("factors({n})"),
        (Convert::Plain, _) => n.clone(),
    };
    match a.late_default() {
        Some(d) => format!("{} if {n} is None else {value}", names(d)),
        None => value,
    }
}

/// `head = Parameter(tensor)`; where it is too long, over several lines.
fn parameter(indent: usize, name: &str, tensor: &str) -> String {
    let head = format!("self.{name} = Parameter");
    fill(indent, &head, &[tensor.to_string()], "")
}

fn shape_text(name: &str, shape: &Expr, names: &dyn Fn(&str) -> String) -> String {
    match shape {
        Expr::Choice(..) => format!("self._{name}_shape()"),
        Expr::Tuple(items) => match &items[..] {
            [Expr::Star(e)] => e.python(names),
            _ => shape.python(names),
        },
        e => e.python(names),
    }
}

/// Steps in order: `Store` goes after the leading refusals where no line says so.
fn ordered(entry: &Entry) -> Vec<&Step> {
    let mut steps: Vec<&Step> = entry.steps.iter().collect();
    if !steps.iter().any(|s| matches!(s, Step::Store)) {
        let at = steps.iter().take_while(|s| matches!(s, Step::Refuse { .. })).count();
        steps.insert(at, &Step::Store);
    }
    steps
}

fn constructor(layers: &Layers, entry: &Entry, arguments: &[Argument]) -> String {
    let all: Vec<&Argument> = arguments.iter().collect();
    let mut out = fill(4, "def __init__", &signatures(&all, entry.factory), " -> None:");
    let base = entry.base.as_ref().and_then(|b| layers.entry(b)).and_then(|b| layers.constructor(b));
    let given: Vec<&str> =
        base.and_then(|b| b.arguments.as_ref()).map_or(Vec::new(), |b| b.iter().map(|a| a.name.as_str()).collect());
    let steps = ordered(entry);
    let first = if base.is_some() { steps.iter().take_while(|s| matches!(s, Step::Refuse { .. })).count() } else { 0 };
    let bare = |name: &str| match arguments.iter().any(|a| a.name == name) {
        true => name.to_string(),
        false => own(name),
    };
    for step in &steps[..first] {
        out += &refuse(step, &bare);
    }
    out += &fill(8, "super().__init__", &passed(entry, base, arguments), "");
    let own_fields: Vec<&Argument> = arguments
        .iter()
        .filter(|a| a.stored() && !given.contains(&a.name.as_str()) && a.kind.name != "Tensor")
        .collect();
    out += &build(entry, &steps[first..], &own_fields, &bare, None);
    out
}

/// What a constructor hands to its base's: by position as far as that goes, then by name.
fn passed(entry: &Entry, base: Option<&Entry>, arguments: &[Argument]) -> Vec<String> {
    let Some(base) = base else { return Vec::new() };
    let theirs = base.arguments.as_deref().unwrap_or(&[]);
    let value = |name: &str| {
        let fixed = entry.fixed.iter().find(|f| f.0 == name).map(|f| f.1.python(&own));
        fixed.or_else(|| arguments.iter().any(|a| a.name == name).then(|| name.to_string()))
    };
    let factory = if base.factory && entry.factory { &["device", "dtype"][..] } else { &[] };
    let mut rows: Vec<(String, Option<String>, bool)> = Vec::new();
    rows.extend(theirs.iter().filter(|a| !a.keyword_only).map(|a| (a.name.clone(), value(&a.name), false)));
    rows.extend(factory.iter().map(|n| (n.to_string(), Some(n.to_string()), false)));
    rows.extend(theirs.iter().filter(|a| a.keyword_only).map(|a| (a.name.clone(), value(&a.name), true)));
    // Fixed values at the end read better with their names.
    let last_own = rows.iter().rposition(|r| r.1.as_ref().is_some_and(|v| *v == r.0)).unwrap_or(0);
    let mut positional = true;
    let mut out = Vec::new();
    for (i, (name, value, keyword_only)) in rows.into_iter().enumerate() {
        let fixed_tail = i > last_own;
        match value {
            None => positional = false,
            Some(v) if positional && !keyword_only && !fixed_tail => out.push(v),
            Some(v) => out.push(format!("{name}={v}")),
        }
    }
    out
}

fn refuse(step: &Step, names: &dyn Fn(&str) -> String) -> String {
    let Step::Refuse { when, error, message, early: false } = step else { return String::new() };
    let mut text = format!("        if {}:\n", when.python(names));
    text += &fill(12, &format!("raise {error}"), &[message_text(message, names)], "");
    text
}

/// A message; what stands in braces is an expression.
fn message_text(message: &str, names: &dyn Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, next) = after.split_once('}').unwrap_or((after, ""));
        let value = super::expr::parse(inner).map_or_else(|_| inner.to_string(), |e| e.python(names));
        out += &format!("{before}{{{value}}}");
        rest = next;
    }
    out += rest;
    format!("{}{}", if message.contains('{') { "f" } else { "" }, quoted(&out))
}

/// The steps of a constructor after the base's. `lazy` names the argument that is not known yet.
fn build(
    entry: &Entry,
    steps: &[&Step],
    fields: &[&Argument],
    bare: &dyn Fn(&str) -> String,
    lazy: Option<&str>,
) -> String {
    let mut out = String::new();
    let mut is_stored = false;
    // Where a field was converted its own value counts.
    let after = |name: &str| match fields.iter().find(|a| a.name == name) {
        Some(a) if a.kind.convert() != Convert::Plain || a.late_default().is_some() || a.stored_as.is_some() => {
            own(a.field())
        }
        Some(a) if Some(a.name.as_str()) == lazy => own(a.field()),
        _ => bare(name),
    };
    let mut i = 0;
    while i < steps.len() {
        match steps[i] {
            step @ Step::Refuse { when, .. } => {
                if !lazy.is_some_and(|l| when.mentions(l)) {
                    out += &refuse(step, if is_stored { &after } else { bare });
                }
            }
            // Such classes are Python's own.
            Step::Recurrent { .. } | Step::Child { .. } | Step::Clones { .. } => {}
            Step::Store => {
                for a in fields {
                    let value = match lazy {
                        Some(l) if l == a.name => "0".to_string(),
                        _ => stored(a, &|n| match fields
                            .iter()
                            .any(|f| f.name == n && f.kind.convert() != Convert::Plain)
                        {
                            true => own(n),
                            false if a.late_default() == Some(n) && !fields.iter().any(|f| f.name == n) => {
                                // A class makes a child, a function is one of the ops.
                                match n.starts_with(char::is_uppercase) {
                                    true => format!("{n}()"),
                                    false => format!("F.{n}"),
                                }
                            }
                            false => bare(n),
                        }),
                    };
                    out += &format!("        self.{} = {value}\n", a.field());
                }
                is_stored = true;
            }
            Step::Let { name, value } => out += &format!("        self.{name} = {}\n", value.python(&after)),
            Step::Param { name, shape, init, when, .. } => {
                let shape = shape_text(name, shape, &after);
                let tensor = match init {
                    _ if lazy.is_some() => "UninitializedParameter(device=device, dtype=dtype)".to_string(),
                    Some(v) => format!("_ops.full({shape}, float({}), device=device, dtype=dtype)", v.python(&after)),
                    None => format!("_ops.empty({shape}, device=device, dtype=dtype)"),
                };
                let line = |indent: usize| match lazy {
                    Some(_) => format!("{}self.{name} = {tensor}\n", " ".repeat(indent)),
                    None => parameter(indent, name, &tensor),
                };
                match when {
                    None => out += &line(8),
                    Some(c) => {
                        out += &format!("        if {}:\n{}", c.python(&after), line(12));
                        out += &format!("        else:\n            self.register_parameter(\"{name}\", None)\n");
                    }
                }
            }
            Step::Buffer { when, .. } => {
                let same = |s: &&&Step| matches!(s, Step::Buffer { when: w, .. } if w == when);
                let group: Vec<&&Step> = steps[i..].iter().take_while(same).collect();
                let indent = if when.is_some() { 12 } else { 8 };
                let (mut rows, mut nones) = (String::new(), String::new());
                for s in &group {
                    let Step::Buffer { name, shape, dtype, value, .. } = s else { continue };
                    let make = if *value == 0 { "zeros" } else { "ones" };
                    let dtype_text = dtype.as_deref().unwrap_or("dtype");
                    let unknown = lazy.is_some_and(|l| shape.mentions(l));
                    let tensor = match (unknown, dtype) {
                        (true, _) => "UninitializedBuffer(device=device, dtype=dtype)".to_string(),
                        (_, Some(_)) => {
                            format!("_ops.{make}({}, dtype={dtype_text}, device=device)", shape.python(&after))
                        }
                        _ => format!("_ops.{make}({}, device=device, dtype=dtype)", shape.python(&after)),
                    };
                    rows += &fill(indent, "self.register_buffer", &[quoted(name), tensor], "");
                    nones += &format!("            self.register_buffer(\"{name}\", None)\n");
                }
                match when {
                    Some(c) => out += &format!("        if {}:\n{rows}        else:\n{nones}", c.python(&after)),
                    None => out += &rows,
                }
                i += group.len() - 1;
            }
            Step::BufferFrom { name, argument } => {
                out += &format!("        self.register_buffer(\"{name}\", {argument})\n");
            }
        }
        i += 1;
    }
    if entry.resets.iter().any(|r| r.name == "reset_parameters") && lazy.is_none() {
        out += "        self.reset_parameters()\n";
    }
    out
}

/// Whether a parameter or buffer of the entry may be missing.
fn may_lack(entry: &Entry, name: &str) -> bool {
    entry.steps.iter().any(|s| match s {
        Step::Param { name: n, when, .. } | Step::Buffer { name: n, when, .. } => n == name && when.is_some(),
        _ => false,
    })
}

fn reset(entry: &Entry, reset: &Reset) -> String {
    let mut out = format!("    def {}(self):\n        \"\"\"{}\"\"\"\n", reset.name, reset.doc);
    let mut locals: Vec<&str> = Vec::new();
    let mut indent = 8;
    if let Some(c) = &reset.when {
        out += &format!("        if {}:\n", c.python(&own));
        indent = 12;
    }
    for step in &reset.steps {
        let pad = " ".repeat(indent);
        let names = |n: &str| if locals.contains(&n) { n.to_string() } else { own(n) };
        match step {
            ResetStep::Let(name, value) => {
                out += &format!("{pad}{name} = {}\n", value.python(&names));
                locals.push(name);
            }
            ResetStep::Call(Expr::Call(f, plain, named)) => {
                let Some(Expr::Name(target)) = plain.first() else {
                    out += &format!("{pad}self.{f}()\n");
                    continue;
                };
                let lacking = may_lack(entry, target);
                let inner = if lacking { format!("{pad}    ") } else { pad.clone() };
                if lacking {
                    out += &format!("{pad}if self.{target} is not None:\n");
                }
                if f == "uniform_fan_in_" {
                    let find = |k: &str| named.iter().find(|n| n.0 == k).map(|n| &n.1);
                    let of = find("of").map_or_else(String::new, |e| e.python(&own));
                    out += &format!("{inner}fan_in, _ = init._calculate_fan_in_and_fan_out({of})\n");
                    if matches!(find("empty"), Some(Expr::Text(t)) if t == "zero") {
                        out += &format!("{inner}bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0\n");
                        out += &format!("{inner}init.uniform_(self.{target}, -bound, bound)\n");
                    } else {
                        out += &format!("{inner}if fan_in != 0:\n{inner}    bound = 1 / math.sqrt(fan_in)\n");
                        out += &format!("{inner}    init.uniform_(self.{target}, -bound, bound)\n");
                    }
                } else {
                    out += &format!("{inner}init.{f}({})\n", python_arguments(plain, named, &names).join(", "));
                }
            }
            ResetStep::Call(e) => out += &format!("{pad}{}\n", e.python(&names)),
        }
    }
    out
}

fn forward(layers: &Layers, entry: &Entry) -> Option<String> {
    let f = entry.forward.as_ref()?;
    let inputs = layers.inputs(entry);
    let mut arguments = vec!["self".to_string()];
    arguments.extend(inputs.iter().map(|i| format!("{i}: Tensor")));
    arguments.extend(f.arguments.iter().map(signature));
    let mut out = fill(4, "def forward", &arguments, " -> Tensor:");
    if entry.rank_checked {
        out += "        self._check_input_dim(input)\n";
    }
    let names = |n: &str| match inputs.contains(&n) || f.arguments.iter().any(|a| a.name == n) {
        true => n.to_string(),
        false => own(n),
    };
    match &f.call {
        Expr::Call(op, plain, named) => {
            let home = if layers.composed.contains(op) { "composed" } else { "F" };
            out += &fill(8, &format!("return {home}.{op}"), &python_arguments(plain, named, &names), "");
        }
        e => out += &format!("        return {}\n", e.python(&names)),
    }
    Some(out)
}

fn piece(p: &Piece) -> String {
    let value = p.value.as_ref().map(|e| format!("{{{}{}}}", e.python(&own), if p.quoted { "!r" } else { "" }));
    format!("{}{}", p.label, value.unwrap_or_default())
}

fn literal(text: &str) -> String {
    format!("{}{}", if text.contains('{') { "f" } else { "" }, quoted(text))
}

fn extra_repr(pieces: &[Piece]) -> String {
    let mut out = "    def extra_repr(self):\n".to_string();
    let always = pieces.iter().take_while(|p| p.when.is_none()).count();
    let (head, rest) = pieces.split_at(always);
    let joined = head.iter().map(piece).collect::<Vec<_>>().join(", ");
    // One bare value needs no format.
    let plain = match head {
        [Piece { label, value: Some(e), quoted: false, .. }] if label.is_empty() => {
            Some(format!("str({})", e.python(&own)))
        }
        _ => None,
    };
    let whole = plain.unwrap_or_else(|| literal(&joined));
    match (head.is_empty(), rest) {
        (_, []) => {
            let line = format!("        return {whole}\n");
            out += &if line.chars().count() <= WIDTH + 1 { line } else { wrapped(head, "return ") };
        }
        (true, [only]) => {
            let c = only.when.as_ref().map(|c| c.python(&own)).unwrap_or_default();
            out += &format!("        return {} if {c} else \"\"\n", literal(&piece(only)));
        }
        (false, [only]) if only.when.is_some() => {
            let c = only.when.as_ref().map(|c| c.python(&own)).unwrap_or_default();
            let tail = literal(&format!(", {}", piece(only)));
            out += &format!("        return {whole} + ({tail} if {c} else \"\")\n");
        }
        _ => {
            // Without a piece that is always there the separator is taken off again.
            let line = format!("        s = {}\n", if head.is_empty() { "\"\"".into() } else { whole });
            out += &if line.chars().count() <= WIDTH + 1 { line } else { wrapped(head, "s = ") };
            for p in rest {
                let text = format!(", {}", piece(p));
                match &p.when {
                    Some(c) => out += &format!("        if {}:\n            s += {}\n", c.python(&own), literal(&text)),
                    None => out += &format!("        s += {}\n", literal(&text)),
                }
            }
            out += if head.is_empty() { "        return s[2:]\n" } else { "        return s\n" };
        }
    }
    out
}

/// A long text as strings that stand in brackets one below the other.
fn wrapped(pieces: &[Piece], head: &str) -> String {
    let mut rows: Vec<String> = vec![String::new()];
    for (i, p) in pieces.iter().enumerate() {
        let text = piece(p) + if i + 1 < pieces.len() { ", " } else { "" };
        let last = rows.len() - 1;
        if rows[last].chars().count() + text.chars().count() + 15 > WIDTH {
            rows.push(text);
        } else {
            rows[last] += &text;
        }
    }
    let rows: String = rows.iter().map(|r| format!("            {}\n", literal(r))).collect();
    format!("        {head}(\n{rows}        )\n")
}

/// The constructor and `initialize_parameters` of a class that waits for its first input.
fn lazy(layers: &Layers, entry: &Entry, parts: &mut Vec<String>) {
    let Some(of) = entry.of.as_ref().and_then(|o| layers.entry(o)).and_then(|o| layers.constructor(o)) else { return };
    // A class without parameters of its own has its base's.
    let mut whole = of.clone();
    if !of.steps.iter().any(|s| matches!(s, Step::Param { .. })) {
        if let Some(base) = of.base.as_ref().and_then(|b| layers.entry(b)).and_then(|b| layers.constructor(b)) {
            let given = |n: &str| of.arguments.iter().flatten().any(|a| a.name == n);
            let kept = base.steps.iter().filter(|s| !matches!(s, Step::Let { name, .. } if given(name)));
            whole.steps.extend(kept.cloned());
        }
    }
    let of = &whole;
    let waiting = entry.steps.iter().find_map(|s| match s {
        Step::Let { name, .. } => Some(name.as_str()),
        _ => None,
    });
    let waiting = waiting.unwrap_or_default();
    let all = of.arguments.as_deref().unwrap_or(&[]);
    let left: Vec<&Argument> = all.iter().filter(|a| a.name != waiting).collect();
    let bare = |name: &str| match left.iter().any(|a| a.name == name) {
        true => name.to_string(),
        false => own(name),
    };
    let fields: Vec<&Argument> = all.iter().filter(|a| a.stored()).collect();
    let mut out = fill(4, "def __init__", &signatures(&left, of.factory), " -> None:");
    out += "        Module.__init__(self)\n";
    out += &build(of, &ordered(of), &fields, &bare, Some(waiting));
    out += "        self._watch_first_input()\n";
    parts.push(out);

    let mut out = "    def initialize_parameters(self, input):\n".to_string();
    let names = |n: &str| if n == "input" { n.to_string() } else { own(n) };
    for step in &entry.steps {
        match step {
            Step::Let { name, value } => out += &format!("        self.{name} = {}\n", value.python(&names)),
            step => out += &refuse(step, &names),
        }
    }
    for step in &of.steps {
        let (name, shape, when) = match step {
            Step::Param { name, shape, when, .. } => (name, shape, when),
            Step::Buffer { name, shape, when, .. } if shape.mentions(waiting) => (name, shape, when),
            _ => continue,
        };
        let line = format!("self.{name}.materialize({})\n", shape_text(name, shape, &own));
        match when {
            Some(_) => out += &format!("        if self.{name} is not None:\n            {line}"),
            None => out += &format!("        {line}"),
        }
    }
    out += "        self.reset_parameters()\n";
    parts.push(out);
    parts.push(format!(
        "    def reset_parameters(self):\n        \
         if not self.has_uninitialized_params() and self.{waiting} != 0:\n            super().reset_parameters()\n"
    ));
}
