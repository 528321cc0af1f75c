//! `spec/types.txt`: element types and the numbers of the C interface, and what each language gets of them.

use std::fmt::Write;
use std::path::Path;

/// An element type.
#[derive(Debug, PartialEq)]
pub struct DType {
    pub name: String,
    pub code: i32,
    size: usize,
    rust: String,
    element: String,
    scalar_name: String,
    c_name: String,
    /// The letter of Python's `struct`; "-" where it has none.
    letter: String,
    predicates: Vec<String>,
    /// What it is computed in, where that is another.
    compute: Option<String>,
    /// What the parts of a complex number are.
    real: Option<String>,
    pub alias: Option<String>,
    cpp: Option<String>,
    go: Option<String>,
}
impl DType {
    fn c(&self) -> String {
        format!("TAPER_{}", self.name.to_uppercase())
    }
    fn is(&self, predicate: &str) -> bool {
        self.predicates.iter().any(|p| p == predicate)
    }
}

/// Numbers of one kind.
#[derive(Debug, PartialEq)]
pub struct Enum {
    name: String,
    doc: Option<String>,
    /// The name of Rust's enum, where it has one.
    rust: Option<String>,
    /// Type and prefix of Go's constants, where it has some.
    go: Option<(String, String)>,
    values: Vec<Value>,
}
#[derive(Debug, PartialEq)]
pub struct Value {
    name: String,
    number: i32,
    rust: Option<String>,
    go: Option<String>,
    doc: Option<String>,
}

#[derive(Debug, Default, PartialEq)]
pub struct Types {
    pub dtypes: Vec<DType>,
    enums: Vec<Enum>,
}

/// The specification of a repository.
pub fn load(root: &Path) -> Result<Types, String> {
    let file = root.join("spec/types.txt");
    parse(&std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?)
}

/// Parses the file; the error names the line.
pub fn parse(text: &str) -> Result<Types, String> {
    let mut types = Types::default();
    for (i, line) in text.lines().enumerate() {
        let fail = |m: String| format!("spec/types.txt:{}: {m}", i + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (words, doc) = words(line).map_err(fail)?;
        match words.as_slice() {
            ["dtype", rest @ ..] => types.dtypes.push(dtype(rest).map_err(fail)?),
            ["enum", name, flags @ ..] => {
                let (mut rust, mut go) = (None, None);
                for f in flags {
                    match f.split_once('=') {
                        Some(("rust", v)) => rust = Some(v.to_string()),
                        Some(("go", v)) => go = v.split_once(':').map(|(t, p)| (t.to_string(), p.to_string())),
                        _ => return Err(fail(format!("expected rust=Name or go=Type:Prefix, got {f}"))),
                    }
                }
                types.enums.push(Enum { name: name.to_string(), doc, rust, go, values: Vec::new() });
            }
            [name, "=", number, flags @ ..] if line.starts_with(' ') => {
                let e = types.enums.last_mut().ok_or_else(|| fail("a value before the first enum".into()))?;
                let number = number.parse().map_err(|_| fail(format!("{number} is no number")))?;
                let (mut rust, mut go) = (None, None);
                for f in flags {
                    match f.strip_prefix("go=") {
                        Some(v) => go = Some(v.to_string()),
                        None => rust = Some(f.to_string()),
                    }
                }
                if e.rust.is_some() != rust.is_some() {
                    return Err(fail(format!("{name}: variants of Rust have a name, other values have none")));
                }
                if e.values.iter().any(|v| v.name == *name || v.number == number) {
                    return Err(fail(format!("{name} = {number} stands twice")));
                }
                let go = go.or_else(|| rust.clone());
                e.values.push(Value { name: name.to_string(), number, rust, go, doc });
            }
            _ => return Err(fail("expected 'dtype ..', 'enum NAME ..' or '    NAME = number ..'".into())),
        }
    }
    for (i, d) in types.dtypes.iter().enumerate() {
        if types.dtypes[..i].iter().any(|o| o.name == d.name || o.code == d.code) {
            return Err(format!("spec/types.txt: {} ({}) stands twice", d.name, d.code));
        }
    }
    Ok(types)
}

/// The words of a line, and the text in quotes at its end.
fn words(line: &str) -> Result<(Vec<&str>, Option<String>), String> {
    let (line, doc) = match line.split_once('"') {
        Some((l, d)) => (l, Some(d.strip_suffix('"').ok_or("the text has no end")?.to_string())),
        None => (line, None),
    };
    Ok((line.split_whitespace().collect(), doc))
}

fn dtype(words: &[&str]) -> Result<DType, String> {
    let [name, code, size, rust, element, scalar_name, c_name, letter, rest @ ..] = words else {
        return Err("expected a dtype's name, code, size, names in Rust, PyTorch and C, letter, predicates".into());
    };
    let number = |what: &str, v: &str| v.parse::<i32>().map_err(|_| format!("{what} {v} is no number"));
    let mut d = DType {
        name: name.to_string(),
        code: number("code", code)?,
        size: number("size", size)? as usize,
        rust: rust.to_string(),
        element: element.to_string(),
        scalar_name: scalar_name.to_string(),
        c_name: c_name.to_string(),
        letter: letter.to_string(),
        predicates: Vec::new(),
        compute: None,
        real: None,
        alias: None,
        cpp: None,
        go: None,
    };
    for w in rest {
        match w.split_once('=') {
            None if PREDICATES.iter().any(|p| p.0 == *w) => d.predicates.push(w.to_string()),
            None => return Err(format!("no predicate {w}; there are {}", PREDICATES.map(|p| p.0).join(", "))),
            Some(("compute", v)) => d.compute = Some(v.into()),
            Some(("real", v)) => d.real = Some(v.into()),
            Some(("alias", v)) => d.alias = Some(v.into()),
            Some(("cpp", v)) => d.cpp = Some(v.into()),
            Some(("go", v)) => d.go = Some(v.into()),
            Some((other, _)) => return Err(format!("{other}=: compute, real, alias, cpp and go are valid")),
        }
    }
    Ok(d)
}

/// What can be asked of a dtype.
const PREDICATES: [(&str, &str); 8] = [
    ("float", "Floating-point numbers."),
    ("complex", "Complex numbers: pairs of floating-point numbers, which kernels see as those."),
    ("int", "Integers without bool."),
    ("signed", "Whether there are negative numbers."),
    ("real_float", "Floating-point numbers that are not complex."),
    ("inexact", "Whether arithmetic rounds."),
    ("differentiable", "Whether a tensor of it can require a gradient."),
    ("ordered", "Whether one element can be less than another."),
];

const MARK: &str = "Generated by taper-gen from spec/types.txt; do not edit. Mend with: cargo run -p taper-gen";

fn docs(s: &mut String, indent: &str, doc: &Option<String>) {
    if let Some(d) = doc {
        writeln!(s, "{indent}/// {d}").unwrap();
    }
}

impl Types {
    /// `src/base/types_gen.rs`: the enums, what is asked of dtypes, `dispatch!`.
    pub fn rust(&self) -> String {
        let mut s = format!("// {MARK}\n//! Element types and the enums whose numbers cross the C interface.\n\n");
        s += "use std::ffi::CStr;\nuse DType::*;\n\n\
              /// Element type of a tensor. Values are frozen ABI and equal PyTorch's `ScalarType`.\n\
              #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n#[repr(i32)]\npub enum DType {\n";
        for d in &self.dtypes {
            writeln!(s, "    {} = {},", d.rust, d.code).unwrap();
        }
        let all: Vec<_> = self.dtypes.iter().map(|d| d.rust.as_str()).collect();
        write!(s, "}}\n\nimpl DType {{\n    pub const ALL: [DType; {}] = [{}];\n", all.len(), all.join(", ")).unwrap();
        let kernels: Vec<_> = self.dtypes.iter().filter(|d| !d.is("complex")).map(|d| d.rust.as_str()).collect();
        write!(
            s,
            "    /// Those that kernels are made for: all but the complex ones.\n    pub const REAL: [DType; {}] = [{}];\n",
            kernels.len(),
            kernels.join(", ")
        )
        .unwrap();
        let mut of = |doc: &str, name: &str, result: &str, text: &dyn Fn(&DType) -> String| {
            write!(
                s,
                "\n    /// {doc}\n    #[inline]\n    pub fn {name}(self) -> {result} {{\n        match self {{\n"
            )
            .unwrap();
            for d in &self.dtypes {
                writeln!(s, "            {} => {},", d.rust, text(d)).unwrap();
            }
            s += "        }\n    }\n";
        };
        let quoted = |t: &str| format!("{t:?}");
        of("PyTorch's name without the module: `float32`.", "name", "&'static str", &|d| quoted(&d.name));
        of("The name as C has it.", "name_c", "&'static CStr", &|d| format!("c{:?}", d.name));
        of("The C-like name that PyTorch's messages use: `Float`, `Long`.", "scalar_name", "&'static str", &|d| {
            quoted(&d.scalar_name)
        });
        of("The name that PyTorch's errors about numbers use.", "c_name", "&'static str", &|d| quoted(&d.c_name));
        of("Bytes per element.", "size", "usize", &|d| d.size.to_string());
        let computed = |d: &DType| match &d.compute {
            Some(c) => self.dtypes.iter().find(|o| o.name == *c).map_or(c.clone(), |o| o.rust.clone()),
            None => d.rust.clone(),
        };
        of(
            "The type that arithmetic on this dtype is carried out in: f32 for half types, itself otherwise.",
            "compute",
            "DType",
            &computed,
        );
        let part = |d: &DType| match &d.real {
            Some(c) => self.dtypes.iter().find(|o| o.name == *c).map_or(c.clone(), |o| o.rust.clone()),
            None => d.rust.clone(),
        };
        of("The dtype of the parts of a complex number; itself otherwise.", "real", "DType", &part);
        for (name, doc) in PREDICATES {
            let those: Vec<_> = self.dtypes.iter().filter(|d| d.is(name)).map(|d| d.rust.as_str()).collect();
            write!(s, "\n    /// {doc}\n    #[inline]\n    pub fn is_{name}(self) -> bool {{\n        matches!(self, {})\n    }}\n", those.join(" | ")).unwrap();
        }
        s += "}\n";
        for e in &self.enums {
            let Some(name) = &e.rust else { continue };
            s += "\n";
            docs(&mut s, "", &e.doc);
            write!(s, "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\n#[repr(i32)]\npub enum {name} {{\n")
                .unwrap();
            for v in &e.values {
                docs(&mut s, "    ", &v.doc);
                writeln!(s, "    {} = {},", v.rust.as_ref().unwrap_or(&v.name), v.number).unwrap();
            }
            let all: Vec<_> = e.values.iter().filter_map(|v| v.rust.as_ref().map(|r| format!("{name}::{r}"))).collect();
            let line = format!("    pub const ALL: [{name}; {}] = [{}];", all.len(), all.join(", "));
            let line = match line.len() {
                0..=120 => line,
                _ => format!(
                    "    pub const ALL: [{name}; {}] = [\n        {},\n    ];",
                    all.len(),
                    all.join(",\n        ")
                ),
            };
            write!(
                s,
                "}}\n\nimpl {name} {{\n{line}\n\n    /// The one of a number of the C interface.\n    \
                 pub fn of(code: i32) -> Option<{name}> {{\n        {name}::ALL.into_iter().find(|k| *k as i32 == code)\n    }}\n}}\n"
            )
            .unwrap();
        }
        s += "\n/// Runs a generic body with `$t` bound to the Rust type of a dtype: bytes become typed once, at the kernel boundary.\n\
              #[macro_export]\nmacro_rules! dispatch {\n    ($dtype:expr, $t:ident, $body:expr) => {\n        match $dtype {\n";
        for d in self.dtypes.iter().filter(|d| !d.is("complex")) {
            let (rust, element) = (&d.rust, &d.element);
            write!(s, "            $crate::DType::{rust} => {{\n                type $t = {element};\n                $body\n            }}\n").unwrap();
        }
        s + "            other => $crate::base::no_kernel::no_kernel(other.scalar_name()),\n        }\n    };\n}\n"
    }

    /// `src/capi/types_gen.rs`: the constants, which cbindgen puts into the header.
    pub fn constants(&self) -> String {
        let mut s = format!("// {MARK}\n\n/// dtype codes: PyTorch's numbers.\n");
        for d in &self.dtypes {
            writeln!(s, "pub const {}: i32 = {};", d.c(), d.code).unwrap();
        }
        for e in &self.enums {
            s += "\n";
            docs(&mut s, "", &e.doc);
            for (i, v) in e.values.iter().enumerate() {
                if i == 0 && e.doc.is_some() && v.doc.is_some() {
                    s += "///\n";
                }
                docs(&mut s, "", &v.doc);
                writeln!(s, "pub const TAPER_{}_{}: i32 = {};", e.name, v.name, v.number).unwrap();
            }
        }
        s
    }

    /// `bindings/cpp/taper/types_gen.hpp`.
    pub fn cpp(&self) -> String {
        let mut s = format!(
            "// {MARK}\n/// Element types.\n#ifndef TAPER_TYPES_GEN_HPP\n#define TAPER_TYPES_GEN_HPP\n\n#include <taper.h>\n\n#include <cstdint>\n\n\
             namespace taper {{\n\n/// Element type; the values are the C interface's.\nenum class DType : int32_t {{\n"
        );
        for d in &self.dtypes {
            writeln!(s, "    {} = {},", d.rust, d.c()).unwrap();
        }
        s += "};\n";
        for d in &self.dtypes {
            writeln!(s, "inline constexpr DType {} = DType::{};", d.cpp.as_ref().unwrap_or(&d.name), d.rust).unwrap();
        }
        s + "\n} // namespace taper\n\n#endif\n"
    }

    /// `bindings/go/types_gen.go`.
    pub fn go(&self) -> String {
        let mut s = format!(
            "// Code g{}\n\npackage taper\n\n// #include <taper.h>\nimport \"C\"\n\n// Element types.\nconst (\n",
            &MARK[1..]
        )
        .replace("do not edit.", "DO NOT EDIT.");
        let title = |name: &str| name[..1].to_uppercase() + &name[1..];
        let rows: Vec<_> =
            self.dtypes.iter().map(|d| (d.go.clone().unwrap_or_else(|| title(&d.name)), d.c())).collect();
        let width = rows.iter().map(|r| r.0.len()).max().unwrap_or(0);
        for (name, c) in &rows {
            writeln!(s, "\t{name:width$} DType = DType(C.{c}) + 1").unwrap();
        }
        s += ")\n";
        for e in &self.enums {
            let Some((ty, prefix)) = &e.go else { continue };
            writeln!(s, "\n// {}\nconst (", e.doc.as_deref().unwrap_or("Numbers of the C interface.")).unwrap();
            let name = |v: &Value| format!("{prefix}{}", v.go.as_ref().unwrap_or(&v.name));
            let width = e.values.iter().map(|v| name(v).len()).max().unwrap_or(0);
            for v in &e.values {
                writeln!(s, "\t{:width$} = {ty}(C.TAPER_{}_{})", name(v), e.name, v.name).unwrap();
            }
            s += ")\n";
        }
        s
    }

    /// `bindings/python/taper/_types_gen.py`.
    pub fn python(&self) -> String {
        let truth = |b: bool| if b { "True" } else { "False" };
        let mut s = format!(
            "# {MARK}\n# Element types: name, code, bytes, whether they are floats and signed, the letter of struct, PyTorch's C-like name, other names.\n\
             DTYPES = (\n"
        );
        for d in &self.dtypes {
            let letter = if d.letter == "-" { "None".into() } else { format!("{:?}", d.letter) };
            let (float, signed) = (truth(d.is("float")), truth(d.is("signed")));
            let alias = d.alias.as_ref().map_or("None".into(), |a| format!("{a:?}"));
            writeln!(
                s,
                "    ({:?}, {}, {}, {float}, {signed}, {letter}, {:?}, {alias}),",
                d.name, d.code, d.size, d.scalar_name
            )
            .unwrap();
        }
        s += ")\n";
        for e in &self.enums {
            let names: Vec<_> = e.values.iter().map(|v| format!("{:?}: {}", v.name, v.number)).collect();
            let line = format!("{} = {{{}}}", e.name, names.join(", "));
            match line.len() {
                0..=120 => writeln!(s, "{line}").unwrap(),
                _ => writeln!(s, "{} = {{\n    {},\n}}", e.name, names.join(",\n    ")).unwrap(),
            }
        }
        s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_each_language() {
        let text = "dtype bfloat16 15 2 BF16 half::bf16 BFloat16 c10::BFloat16 - float signed go=BFloat16\n\nenum ERROR rust=Kind go=Code:Error \"Codes.\"\n    IO = 8 Io go=IO \"A file.\"\n";
        let t = parse(text).unwrap();
        assert!(t.rust().contains("BF16 = 15,") && t.rust().contains("    /// A file.\n    Io = 8,"), "{}", t.rust());
        assert!(
            t.constants().contains("/// Codes.\n///\n/// A file.\npub const TAPER_ERROR_IO: i32 = 8;"),
            "{}",
            t.constants()
        );
        assert!(t.go().contains("\tBFloat16 DType = DType(C.TAPER_BFLOAT16) + 1\n"), "{}", t.go());
        assert!(t.go().contains("\tErrorIO = Code(C.TAPER_ERROR_IO)\n"), "{}", t.go());
        assert!(t.python().contains("(\"bfloat16\", 15, 2, True, True, None, \"BFloat16\", None)"), "{}", t.python());
        assert!(t.cpp().contains("inline constexpr DType bfloat16 = DType::BF16;"), "{}", t.cpp());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, what) in [
            ("dtype x 1", "expected a dtype's name"),
            ("dtype x 1 1 X x X x x green", "no predicate green"),
            ("enum A\n    B = x", "x is no number"),
            ("enum A\n    B = 1\n    C = 1", "stands twice"),
            ("enum A rust=A\n    B = 1", "variants of Rust"),
        ] {
            let e = parse(text).unwrap_err();
            assert!(e.starts_with("spec/types.txt:") && e.contains(what), "{e}");
        }
    }
}
