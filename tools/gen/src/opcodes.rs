//! `spec/opcodes.txt`: the opcodes of elementwise programs, and what the kernels' language makes of them.

use std::fmt::Write;
use std::path::Path;

/// What an opcode computes on one or more kinds of dtype.
#[derive(Debug)]
struct Text {
    line: usize,
    kinds: Vec<&'static str>,
    /// Only where the last argument is a scalar.
    by_scalar: bool,
    expression: String,
    /// C functions that the expression calls.
    functions: String,
}

#[derive(Debug)]
struct Opcode {
    name: String,
    /// For each argument, whether it is read as bool.
    arguments: Vec<bool>,
    predicate: bool,
    cost: &'static str,
    doc: Option<String>,
    texts: Vec<Text>,
}

pub struct Opcodes(Vec<Opcode>);

const KINDS: [&str; 3] = ["float", "int", "bool"];
/// Word, time per element in units of a cheap op's.
const COSTS: [(&str, &str); 3] = [("division", "2"), ("function", "if vector { 4 } else { 16 }"), ("slow", "16")];

impl Opcodes {
    /// The opcode that an elementwise function of a name and a number of arguments is: `sqrt(x)` is Sqrt.
    pub fn function(&self, name: &str, arguments: usize) -> Option<&str> {
        let of = |o: &&Opcode| o.name.to_lowercase() == name.replace('_', "") && o.arguments.len() == arguments;
        self.0.iter().find(of).map(|o| o.name.as_str())
    }
}

/// The specification of a repository.
pub fn load(root: &Path) -> Result<Opcodes, String> {
    let file = root.join("spec/opcodes.txt");
    parse(&std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?)
}

/// Parses the file; the error names the line.
pub fn parse(text: &str) -> Result<Opcodes, String> {
    let mut all: Vec<Opcode> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let fail = |m: String| format!("spec/opcodes.txt:{}: {m}", i + 1);
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if code.is_empty() || code.starts_with('#') && indent < 8 {
            continue;
        }
        if let (0, Some(head)) = (indent, code.strip_prefix("opcode ")) {
            let opcode = head_of(head).map_err(fail)?;
            if all.iter().any(|o| o.name == opcode.name) {
                return Err(fail(format!("{} stands twice", opcode.name)));
            }
            all.push(opcode);
            continue;
        }
        let texts = match all.last_mut() {
            Some(o) => &mut o.texts,
            None => return Err(fail("expected 'opcode NAME(a, ..)' first".into())),
        };
        match (indent, texts.last_mut()) {
            (4, _) => texts.push(text_of(code, i + 1, texts).map_err(fail)?),
            (8.., Some(t)) => t.functions += &format!("{}\n", &line[8..]),
            _ => return Err(fail("expected 'opcode ..', four spaces and 'KINDS: EXPRESSION', or eight and C".into())),
        }
    }
    let all = Opcodes(all);
    for o in &all.0 {
        if o.texts.is_empty() {
            return Err(format!("spec/opcodes.txt: {} says nothing of any dtype", o.name));
        }
        for t in &o.texts {
            for kind in &t.kinds {
                all.called(t, kind).map_err(|m| format!("spec/opcodes.txt:{}: {m}", t.line))?;
            }
        }
    }
    Ok(all)
}

/// What follows `opcode`: `Name(a, bool b) -> bool cost "doc"`.
fn head_of(head: &str) -> Result<Opcode, String> {
    let (head, doc) = match head.split_once('"') {
        Some((h, d)) => (h, Some(d.strip_suffix('"').ok_or("the text has no end")?.to_string())),
        None => (head, None),
    };
    let (name, rest) = head.split_once('(').ok_or("expected NAME(a, ..)")?;
    let (arguments, rest) = rest.split_once(')').ok_or("the arguments have no end")?;
    let arguments: Vec<_> = arguments.split(", ").collect();
    let named = |(n, a): (usize, &&str)| a.strip_prefix("bool ").unwrap_or(a) == ["a", "b", "c"][n];
    if arguments.len() > 3 || !arguments.iter().enumerate().all(named) {
        return Err("arguments are a, b, c, each alone or with bool before it".into());
    }
    let mut o = Opcode {
        name: name.to_string(),
        arguments: arguments.iter().map(|a| a.starts_with("bool ")).collect(),
        predicate: false,
        cost: "1",
        doc,
        texts: Vec::new(),
    };
    let rest = match rest.trim().strip_prefix("-> bool") {
        Some(rest) => {
            o.predicate = true;
            rest
        }
        None => rest,
    };
    for word in rest.split_whitespace() {
        match COSTS.iter().find(|c| c.0 == word) {
            Some(c) => o.cost = c.1,
            None => return Err(format!("no cost {word}; there are {}", COSTS.map(|c| c.0).join(", "))),
        }
    }
    Ok(o)
}

/// A line `KINDS: EXPRESSION`; `any` is what no line before it named.
fn text_of(code: &str, line: usize, before: &[Text]) -> Result<Text, String> {
    let (kinds, expression) = code.split_once(": ").ok_or("expected KINDS: EXPRESSION")?;
    let (kinds, by_scalar) = match kinds.strip_suffix(" by scalar") {
        Some(k) => (k, true),
        None => (kinds, false),
    };
    let taken = |k: &str| before.iter().any(|t| t.by_scalar == by_scalar && t.kinds.contains(&k));
    let mut found = Vec::new();
    for word in kinds.split(", ") {
        match KINDS.iter().find(|k| **k == word) {
            Some(k) if taken(k) => return Err(format!("{word} stands twice")),
            Some(k) => found.push(*k),
            None if word == "any" => found.extend(KINDS.iter().filter(|k| !taken(k))),
            None => return Err(format!("no kind {word}; there are {}, any", KINDS.join(", "))),
        }
    }
    Ok(Text { line, kinds: found, by_scalar, expression: expression.to_string(), functions: String::new() })
}

/// The identifiers of C text, `name_$T` for those that are printed for each type, and what lies between them.
fn words(text: &str) -> Vec<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| part(c) != part(first)).unwrap_or(rest.len());
        found.push(&rest[..end]);
        rest = &rest[end..];
    }
    found
}

impl Text {
    /// The names of its functions.
    fn defines(&self) -> Vec<&str> {
        let start = "INLINE $T ";
        self.functions.lines().filter_map(|l| l.strip_prefix(start)?.split_once('(')).map(|f| f.0).collect()
    }
}

impl Opcodes {
    /// The functions that a text needs on a kind: their constants' names, called before callers.
    fn called(&self, text: &Text, kind: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        self.add_called(&text.expression, &[], kind, &mut found)?;
        Ok(found)
    }
    fn add_called(&self, code: &str, own: &[&str], kind: &str, found: &mut Vec<String>) -> Result<(), String> {
        for name in words(code).into_iter().filter(|w| w.ends_with("_$T") && *w != "C_$T" && !own.contains(w)) {
            let texts = self.0.iter().flat_map(|o| o.texts.iter().map(move |t| (o, t)));
            let mut defining = texts.filter(|(_, t)| t.kinds.contains(&kind) && t.defines().contains(&name));
            let Some((o, t)) = defining.next() else { return Err(format!("no function {name} for {kind}")) };
            if defining.next().is_some() {
                return Err(format!("two functions {name} for {kind}"));
            }
            let constant = constant(o, t);
            if !found.contains(&constant) {
                self.add_called(&t.functions, &t.defines(), kind, found)?;
                found.push(constant);
            }
        }
        Ok(())
    }

    /// `src/backend/opcodes_gen.rs`: the enum, and what every device needs to know.
    pub fn rust(&self) -> String {
        let mut s = format!(
            "// {MARK}\n//! The opcodes of elementwise programs.\n\n\
             /// One elementwise operation. `args` of its instruction are converted to the instruction's `ty` first; the result\n\
             /// has `ty`, or bool for comparisons and predicates.\n\
             #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\npub enum Opcode {{\n"
        );
        for o in &self.0 {
            if let Some(d) = &o.doc {
                writeln!(s, "    /// {d}").unwrap();
            }
            writeln!(s, "    {},", o.name).unwrap();
        }
        let those = |keep: &dyn Fn(&Opcode) -> bool| -> String {
            let names: Vec<_> = self.0.iter().filter(|o| keep(o)).map(|o| o.name.as_str()).collect();
            names.join(" | ")
        };
        write!(
            s,
            "}}\nuse Opcode::*;\n\n#[rustfmt::skip]\nimpl Opcode {{\n    pub const ALL: [Opcode; {}] = [{}];\n\n\
             \x20   /// How many arguments the opcode takes.\n    pub fn arity(self) -> usize {{\n        match self {{\n",
            self.0.len(),
            those(&|_| true).replace(" |", ",")
        )
        .unwrap();
        for n in [2, 3] {
            writeln!(s, "            {} => {n},", those(&|o| o.arguments.len() == n)).unwrap();
        }
        write!(
            s,
            "            _ => 1,\n        }}\n    }}\n    /// Whether the result is bool whatever `ty` is.\n    \
             pub fn is_predicate(self) -> bool {{\n        matches!(self, {})\n    }}\n    \
             /// Whether argument `k` is read as bool whatever `ty` is.\n    #[inline]\n    \
             pub fn reads_bool(self, k: usize) -> bool {{\n        match self {{\n",
            those(&|o| o.predicate)
        )
        .unwrap();
        let all = |o: &Opcode| o.arguments.iter().all(|b| *b);
        writeln!(s, "            {} => true,", those(&all)).unwrap();
        writeln!(s, "            {} => k == 0,", those(&|o| !all(o) && o.arguments[0])).unwrap();
        s += "            _ => false,\n        }\n    }\n    /// Rough time per element, in units of a cheap op's; `vector` says that functions are vector code.\n    \
              pub fn cost(self, vector: bool) -> usize {\n        match self {\n";
        for (_, cost) in COSTS {
            writeln!(s, "            {} => {cost},", those(&|o| o.cost == cost)).unwrap();
        }
        s + "            _ => 1,\n        }\n    }\n}\n"
    }

    /// `src/backend/kernels/opcodes_gen.rs`: the texts of the kernels' language.
    pub fn c(&self) -> String {
        let mut s = format!(
            "// {MARK}\n//! Opcodes in the kernels' language: `$T` is the type, `$U` an unsigned one that wraps, `$BITS` its bits; `$a`, `$b`\n\
             //! and `$c` are the arguments.\n\n\
             use crate::backend::program::Opcode::{{self, *}};\nuse crate::base::dtype::DType;\n\n"
        );
        for o in &self.0 {
            for t in o.texts.iter().filter(|t| !t.functions.is_empty()) {
                writeln!(s, "const {}: &str = r\"{}\";", constant(o, t), t.functions).unwrap();
            }
        }
        s += "\n/// The expression of an opcode in a compute dtype, and the functions that it calls, in their order; None where there\n\
              /// is none. `scalar` says that the last argument is one.\n#[rustfmt::skip]\n\
              pub fn text(op: Opcode, ty: DType, scalar: bool) -> Option<(&'static str, &'static [&'static str])> {\n    \
              let float = ty.is_float();\n    let bool = ty == DType::Bool;\n    let int = !float && !bool;\n    Some(match op {\n";
        for o in &self.0 {
            // Conditions in an order in which the first that holds is meant.
            let mut texts: Vec<&Text> = o.texts.iter().collect();
            texts.sort_by_key(|t| !t.by_scalar);
            for t in texts {
                let condition = match t.kinds.as_slice() {
                    k if k.len() == KINDS.len() => String::new(),
                    k => format!(" if {}", k.join(" || ")),
                };
                let condition =
                    if t.by_scalar { format!(" if scalar && ({})", t.kinds.join(" || ")) } else { condition };
                let expression: String = words(&t.expression)
                    .into_iter()
                    .map(|w| if matches!(w, "a" | "b" | "c") { format!("${w}") } else { w.to_string() })
                    .collect();
                let functions = self.called(t, t.kinds[0]).unwrap().join(", ");
                writeln!(s, "        {}{condition} => ({expression:?}, &[{functions}]),", o.name).unwrap();
            }
        }
        s + "        _ => return None,\n    })\n}\n"
    }
}

/// The name of the functions of a text.
fn constant(o: &Opcode, t: &Text) -> String {
    let scalar = if t.by_scalar { "_BY_SCALAR" } else { "" };
    format!("{}_{}{scalar}", o.name.to_uppercase(), t.kinds.join("_").to_uppercase())
}

const MARK: &str = "Generated by taper-gen from spec/opcodes.txt; do not edit. Mend with: cargo run -p taper-gen";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        for (text, what) in [
            ("    float: a", "expected 'opcode NAME(a, ..)' first"),
            ("opcode A(x)", "arguments are a, b, c"),
            ("opcode A(a) cheap", "no cost cheap; there are division, function, slow"),
            ("opcode A(a)", "A says nothing of any dtype"),
            ("opcode A(a)\n    half: a", "no kind half; there are float, int, bool, any"),
            ("opcode A(a)\n    int: a\n    float, int: a", "int stands twice"),
            ("opcode A(a)\n    int: a\nopcode A(a)\n    int: a", "A stands twice"),
            ("opcode A(a)\n    int: f_$T(a)", "spec/opcodes.txt:2: no function f_$T for int"),
        ] {
            let Err(e) = parse(text) else { panic!("{text} is taken") };
            assert!(e.starts_with("spec/opcodes.txt") && e.contains(what), "{e}");
        }
    }

    /// The worked example of CONTRIBUTING is what stands in the four files, and its row is an opcode.
    #[test]
    fn an_opcode_is_four_places() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        let guide = read("docs/CONTRIBUTING.md");
        let example = guide.split("## Adding an opcode\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let blocks: Vec<&str> =
            example.split("```").skip(1).step_by(2).map(|b| b.split_once('\n').unwrap().1).collect();
        let files = ["spec/ops.txt", "spec/opcodes.txt", "src/backend/cpu/simd/float_ops.rs", "src/ops/arith.rs"];
        assert_eq!(blocks.len(), files.len());
        for (block, file) in blocks.iter().zip(files) {
            assert!(read(file).contains(block), "{file} has no\n{block}");
        }
        let o = parse(blocks[1]).unwrap();
        assert!(o.rust().contains("    Xlogy,\n"), "{}", o.rust());
        assert!(o.c().contains("Xlogy if float => (\"xlogy_$T($a, $b)\", &[XLOGY_FLOAT]),"), "{}", o.c());
    }

    #[test]
    fn functions_come_with_those_that_they_call() {
        let text = "opcode A(a)\n    float: g_$T(a) + f_$T(a)\n        INLINE $T g_$T($T x) { return f_$T(x); }\n\
                    opcode B(bool a, b) -> bool slow \"Doc.\"\n    float: f_$T(a)\n        INLINE $T f_$T($T x) { return C_$T(2) * x; }\n    any: a & b\n";
        let o = parse(text).unwrap();
        let c = o.c();
        assert!(c.contains("A if float => (\"g_$T($a) + f_$T($a)\", &[B_FLOAT, A_FLOAT]),"), "{c}");
        assert!(c.contains("B if int || bool => (\"$a & $b\", &[]),"), "{c}");
        let rust = o.rust();
        assert!(rust.contains("    /// Doc.\n    B,\n") && rust.contains("B => k == 0,"), "{rust}");
    }
}
