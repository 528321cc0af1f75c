//! Python's classes, as ordinary source in the files that the `file` lines name, and their stubs.

use super::model::*;
use crate::layers::expr::Expr;
use crate::layers::python::fill;
use std::fmt::Write;

/// The text of a file's classes.
pub fn emit(all: &Optimizers, file: &str) -> Result<String, String> {
    let doc = &all.files.iter().find(|f| f.name == file).ok_or_else(|| format!("no file {file}"))?.doc;
    let entries: Vec<&Entry> = all.entries.iter().filter(|e| e.file == file).collect();
    let classes: Vec<String> = entries.iter().map(|e| class(e)).collect();
    let body = classes.join("\n\n");
    let mut s = format!("\"\"\"{doc}\"\"\"\n\n# Written by taper-gen from spec/optim.txt: change that.\n\n");
    let used = |names: &[&str]| names.iter().filter(|n| body.contains(*n)).copied().collect::<Vec<_>>().join(", ");
    let ops = used(&["full_like", "zeros_like"]);
    if !ops.is_empty() {
        writeln!(s, "from .._ops import {ops}").unwrap();
    }
    let mut bases: Vec<&str> = entries.iter().filter(|e| e.base.is_none()).map(|e| base(e)).collect();
    bases.sort();
    bases.dedup();
    if body.contains("step_tensor(") {
        bases.push("step_tensor");
    }
    for file in ["_steps", "_steps_by_hand"] {
        let here = |b: &&&str| ["AdafactorStep", "MuonStep", "LBFGSStep"].contains(b) == (file == "_steps_by_hand");
        let names: Vec<&str> = bases.iter().filter(here).copied().collect();
        if !names.is_empty() {
            writeln!(s, "from .{file} import {}", names.join(", ")).unwrap();
        }
    }
    Ok(s + "from .optimizer import check\n\n\n" + &body)
}

/// `optim/__init__.py`: the classes of all files.
pub fn package(all: &Optimizers) -> String {
    fn sorted(mut names: Vec<&str>) -> Vec<&str> {
        names.sort_by_key(|n| {
            (n.starts_with(char::is_lowercase), !n.bytes().all(|b| b.is_ascii_uppercase()), n.to_string())
        });
        names
    }
    let mut imports: Vec<(&str, Vec<&str>)> = vec![("optimizer", vec!["Optimizer"])];
    for f in &all.files {
        let of = all.entries.iter().filter(|e| e.file == f.name);
        imports.push((&f.name, sorted(of.map(|e| e.name.as_str()).collect())));
    }
    imports.sort();
    let mut s = String::from(
        "\"\"\"Optimisers and learning rate schedulers.\"\"\"\n\n# Written by taper-gen from spec/optim.txt: change that.\n\n\
         from .._module_names import submodules as _submodules\nfrom . import lr_scheduler  # noqa: F401\n",
    );
    for (file, names) in &imports {
        let line = format!("from .{file} import {}", names.join(", "));
        match line.len() {
            0..=120 => writeln!(s, "{line}").unwrap(),
            _ => writeln!(s, "from .{file} import (\n    {},\n)", names.join(",\n    ")).unwrap(),
        }
    }
    let all: Vec<&str> = imports.into_iter().flat_map(|i| i.1).chain(["lr_scheduler"]).collect();
    let all: Vec<String> = sorted(all).iter().map(|n| format!("    \"{n}\",\n")).collect();
    s + &format!("\n__all__ = [\n{}]\n__getattr__ = _submodules(__name__)\n", all.concat())
}

/// The class by hand that has the step.
fn base(e: &Entry) -> &'static str {
    match (e.native.as_deref(), e.by_hand.as_deref()) {
        (Some("sgd"), _) => "SGDStep",
        (Some(_), _) => "AdamStep",
        (_, Some("adafactor")) => "AdafactorStep",
        (_, Some("muon")) => "MuonStep",
        (_, Some(_)) => "LBFGSStep",
        _ => "ProgramStep",
    }
}

/// An expression with `betas.0` as `betas[0]`; names as `spell` has them.
fn spelt(x: &Expr, spell: &dyn Fn(&str) -> String) -> String {
    fn plain(x: &Expr) -> Expr {
        let inside = |e: &Expr| Box::new(plain(e));
        match x {
            Expr::Member(e, part, None) => match &**e {
                Expr::Name(n) => Expr::Name(format!("{n}.{part}")),
                other => Expr::Member(inside(other), part.clone(), None),
            },
            Expr::Not(e) => Expr::Not(inside(e)),
            Expr::Negative(e) => Expr::Negative(inside(e)),
            Expr::Binary(sign, a, b) => Expr::Binary(sign, inside(a), inside(b)),
            other => other.clone(),
        }
    }
    plain(x).python(&|n| match n.split_once('.') {
        Some((name, part)) => format!("{}[{part}]", spell(name)),
        None => spell(n),
    })
}

fn own(name: &str) -> String {
    name.to_string()
}

fn of_group(name: &str) -> String {
    format!("group[\"{name}\"]")
}

/// The constructor's brackets; `typed` adds what a stub says.
fn signature(e: &Entry, typed: bool) -> Vec<String> {
    let one = |o: &Opt| {
        let default = spelt(&o.default, &own);
        if typed {
            format!("{}: {} = {default}", o.name, taken(o))
        } else {
            format!("{}={default}", o.name)
        }
    };
    let mut out = vec!["self".into(), if typed { "params: ParamsT".into() } else { "params".into() }];
    out.extend(e.written.iter().filter(|o| !o.keyword_only).map(one));
    let named: Vec<String> = e.written.iter().filter(|o| o.keyword_only).map(one).collect();
    if !named.is_empty() {
        out.push("*".into());
        out.extend(named);
    }
    out
}

/// The constructor's brackets on one line.
pub fn plain_signature(e: &Entry) -> String {
    signature(e, false)[1..].join(", ")
}

fn taken(o: &Opt) -> &'static str {
    let none = matches!(&o.default, Expr::Literal(l) if l == "None");
    match o.kind {
        Kind::Float if o.name == "lr" => "Union[float, Tensor]",
        Kind::Float => "float",
        Kind::Int if o.optional => "Optional[int]",
        Kind::Int => "int",
        Kind::Pair if o.optional => "Tuple[Optional[float], float]",
        Kind::Pair => "Tuple[float, float]",
        Kind::Triple => "Tuple[float, float, float]",
        Kind::Text => "Optional[str]",
        Kind::Inert if none => "Optional[bool]",
        _ => "bool",
    }
}

/// A message as an f-string.
fn message(text: &str) -> String {
    if !text.contains('{') {
        return format!("\"{text}\"");
    }
    let mut out = String::new();
    let mut inside = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            '.' if inside => {
                write!(out, "[{}]", chars.next().unwrap_or('0')).unwrap();
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    format!("f\"{out}\"")
}

/// The numbers of tuples that may be None, as they are tested: `eps[0]`.
fn maybe_none(e: &Entry, condition: &Expr) -> Option<String> {
    let (name, items) = e.written.iter().find_map(|o| match (&o.default, o.optional) {
        (Expr::Tuple(items), true) => Some((&o.name, items)),
        _ => None,
    })?;
    let at = items.iter().position(|i| matches!(i, Expr::Literal(l) if l == "None"))?;
    let part = format!("{name}[{at}]");
    spelt(condition, &own).contains(&part).then_some(part)
}

fn constructor(e: &Entry) -> String {
    let mut s = fill(4, "def __init__", &signature(e, false), ":");
    if let Some(base) = &e.base {
        // The base checks and keeps them; it gets its own order of what stands before `*`.
        let mut given = vec!["params".to_string()];
        given.extend(e.written.iter().filter(|o| !o.keyword_only).map(|o| o.name.clone()));
        given.extend(e.written.iter().filter(|o| o.keyword_only).map(|o| format!("{0}={0}", o.name)));
        given.extend(e.fixed.iter().map(|l| format!("{}={}", l.name, l.value.python(&own))));
        debug_assert!(!base.is_empty());
        return s + &fill(8, "super().__init__", &given, "");
    }
    for (condition, text) in &e.checks {
        let mut test = spelt(condition, &own);
        if let Some(part) = maybe_none(e, condition) {
            test = format!("{part} is None or {test}");
        }
        s += &fill(8, "check", &[test, message(text)], "");
    }
    s += "        defaults = {\n";
    let order: Vec<&str> = if e.order.is_empty() {
        e.written.iter().map(|o| o.name.as_str()).collect()
    } else {
        e.order.iter().map(String::as_str).collect()
    };
    for name in order {
        writeln!(s, "            \"{name}\": {name},").unwrap();
    }
    s += "        }\n        super().__init__(params, defaults)\n";
    if e.count == Count::FromTheBeginning {
        s += "        for group in self.param_groups:\n            for p in group[\"params\"]:\n                \
              self._start(p.detach(), self.state[p], group)\n";
    }
    s
}

/// A tuple of names.
fn names<'a>(of: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = of.map(|n| format!("\"{n}\"")).collect();
    format!("({}{})", all.join(", "), if all.len() == 1 { "," } else { "" })
}

/// The names of the state's tensors that are in use.
fn tensors(e: &Entry) -> String {
    let mut s = String::from("    def _tensors(self, group):\n");
    if e.states.iter().all(|l| l.condition.is_none()) {
        writeln!(s, "        return {}", names(e.states.iter().map(|l| l.name.as_str()))).unwrap();
        return s;
    }
    s += "        names = []\n";
    for l in &e.states {
        match &l.condition {
            None => writeln!(s, "        names.append(\"{}\")", l.name).unwrap(),
            Some(c) => {
                let c = spelt(c, &of_group);
                write!(s, "        if {c}:\n            names.append(\"{}\")\n", l.name).unwrap();
            }
        }
    }
    s + "        return names\n"
}

/// What a parameter's state begins as.
fn start(e: &Entry) -> String {
    let mut s = String::from("    def _start(self, p, state, group):\n");
    match e.count {
        Count::No if e.numbers.is_empty() && e.states.is_empty() => s += "        pass\n",
        Count::No => {}
        _ => s += "        state[\"step\"] = step_tensor(0.0)\n",
    }
    let zero = |x: &Expr| matches!(x, Expr::Literal(l) if l == "0");
    for l in &e.numbers {
        let value = match &l.value {
            Expr::Literal(l) if !l.contains('.') => format!("{l}.0"),
            other => spelt(other, &of_group),
        };
        writeln!(s, "        state[\"{}\"] = step_tensor({value})", l.name).unwrap();
    }
    for l in &e.states {
        let value = if zero(&l.value) {
            "zeros_like(p)".to_string()
        } else {
            format!("full_like(p, {})", spelt(&l.value, &of_group))
        };
        let indent = match &l.condition {
            None => "",
            Some(c) => {
                writeln!(s, "        if {}:", spelt(c, &of_group)).unwrap();
                "    "
            }
        };
        writeln!(s, "        {indent}state[\"{}\"] = {value}", l.name).unwrap();
    }
    s
}

fn class(e: &Entry) -> String {
    let above = e.base.as_deref().unwrap_or_else(|| base(e));
    let mut s = format!("class {}({above}):\n    \"\"\"{}\"\"\"\n\n", e.name, e.doc);
    if e.base.is_some() {
        let fixed: Vec<String> = e.fixed.iter().map(|l| format!("\"{}\": {}", l.name, l.value.python(&own))).collect();
        writeln!(s, "    _fixed = {{{}}}\n", fixed.join(", ")).unwrap();
        return s + &constructor(e);
    }
    let program = e.native.is_none() && e.by_hand.is_none();
    if program {
        let options = names(e.taken().map(|o| o.name.as_str()));
        write!(s, "    _class = \"{}\"\n    _options = {options}\n", e.name).unwrap();
        if !e.numbers.is_empty() {
            writeln!(s, "    _numbers = {}", names(e.numbers.iter().map(|l| l.name.as_str()))).unwrap();
        }
        if e.count == Count::No {
            s += "    _counts = False\n";
        }
        s.push('\n');
    }
    s += &constructor(e);
    if program {
        s += &format!("\n{}", tensors(e));
    }
    if program || e.by_hand.is_none() && e.count != Count::No {
        s += &format!("\n{}", start(e));
    }
    s
}

/// The types of a file's classes, for editors and type checkers.
pub fn stubs(all: &Optimizers, file: &str) -> Result<String, String> {
    let entries: Vec<&Entry> = all.entries.iter().filter(|e| e.file == file).collect();
    let mut classes: Vec<String> = Vec::new();
    for e in entries {
        let above = e.base.as_deref().unwrap_or("Optimizer");
        classes.push(format!(
            "class {}({above}):\n{}",
            e.name,
            fill(4, "def __init__", &signature(e, true), " -> None: ...")
        ));
    }
    let body = classes.join("\n");
    let used: Vec<&str> =
        ["Optional", "Tuple", "Union"].into_iter().filter(|n| body.contains(&format!("{n}["))).collect();
    Ok(format!(
        "# Written by taper-gen from spec/optim.txt: change that.\nfrom typing import {}\n\nfrom .._tensor import Tensor\n\
         from .optimizer import Optimizer, ParamsT\n\n{body}",
        used.join(", ")
    ))
}
