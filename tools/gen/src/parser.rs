//! Reads `spec/ops.txt`: PyTorch's schema grammar, one op an entry, indented doc lines under it.

use crate::model::*;
use std::collections::HashSet;

/// Names that no argument may have, because some language's compiler would trip over them.
const RESERVED: &[&str] = &[
    "auto",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "const",
    "continue",
    "default",
    "delete",
    "do",
    "double",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "operator",
    "out",
    "private",
    "protected",
    "public",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "template",
    "this",
    "throw",
    "true",
    "try",
    "typedef",
    "typename",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "while",
];
/// Rust keywords that can be op names.
const RUST_KEYWORDS: &[&str] = &["where", "type", "match", "move", "ref", "in", "loop", "mod", "use", "yield"];

/// Parses the whole table; the error names the line.
pub fn parse(text: &str) -> Result<Vec<Op>, String> {
    let mut ops: Vec<Op> = Vec::new();
    let mut section = String::new();
    let mut seen = HashSet::new();
    for (i, raw) in text.lines().enumerate() {
        let line = i + 1;
        let fail = |m: String| format!("spec/ops.txt:{line}: {m}");
        if raw.trim().is_empty() {
            continue;
        }
        if let Some(heading) = raw.strip_prefix('#') {
            section = heading.trim().to_string();
        } else if raw.starts_with([' ', '\t']) {
            let op = ops.last_mut().ok_or_else(|| fail("doc line before the first op".into()))?;
            let mut doc = raw.trim();
            if op.doc.is_empty() {
                while let Some((attr, rest)) = doc.strip_prefix('[').and_then(|d| d.split_once(']')) {
                    match attr {
                        "method" => op.function = false,
                        "function" => op.method = false,
                        "nn" => {
                            op.nn = true;
                            op.method = false;
                        }
                        other => match other.strip_prefix("since ") {
                            Some(version) => op.since = version.into(),
                            None => {
                                let valid = "method, function, nn, since X.Y";
                                return Err(fail(format!("unknown attribute [{other}]; valid: {valid}")));
                            }
                        },
                    }
                    doc = rest.trim_start();
                }
            }
            op.doc.push(doc.to_string());
        } else {
            let mut op = parse_op(raw).map_err(fail)?;
            op.section = section.clone();
            op.line = line;
            if !seen.insert(op.c_name.clone()) {
                return Err(fail(format!("a second op with the C name taper_{}", op.c_name)));
            }
            ops.push(op);
        }
    }
    for op in &ops {
        if op.doc.iter().all(|d| d.is_empty()) {
            return Err(format!("spec/ops.txt:{}: {} has no doc line", op.line, op.schema_name()));
        }
    }
    Ok(ops)
}

/// Parses one schema line.
pub fn parse_op(line: &str) -> Result<Op, String> {
    let (head, rest) = line.split_once('(').ok_or("expected name(arguments) -> results")?;
    let (arguments, results) = rest.rsplit_once(" -> ").ok_or("expected ' -> ' and the results")?;
    let arguments = arguments.trim_end().strip_suffix(')').ok_or("expected ')' before '->'")?;
    let (base, overload) = head.trim().split_once('.').unwrap_or((head.trim(), ""));
    if !is_ident(base) || !(overload.is_empty() || is_ident(overload)) {
        return Err(format!("bad op name {head:?}"));
    }
    let mut args = Vec::new();
    let mut kwonly = false;
    for part in split_top(arguments) {
        if part == "*" {
            kwonly = true;
        } else {
            args.push(parse_arg(part, kwonly)?);
        }
    }
    let mut names = HashSet::new();
    let mut optional_before = None;
    for a in &args {
        if !names.insert(a.name.as_str()) {
            return Err(format!("two arguments named {}", a.name));
        }
        if a.default.is_none() && !a.kwonly {
            if let Some(before) = optional_before {
                return Err(format!("{} without default after {before} with one", a.name));
            }
        } else if !a.kwonly {
            optional_before = Some(a.name.as_str());
        }
    }
    let (returns, view) = parse_returns(results.trim())?;
    for r in &returns {
        if names.contains(r.name.as_str()) {
            return Err(format!("result {} is named like an argument", r.name));
        }
    }
    let c_name = c_name(base, overload);
    let rust_name = if RUST_KEYWORDS.contains(&c_name.as_str()) { format!("r#{c_name}") } else { c_name.clone() };
    let method = args.first().is_some_and(|a| a.name == "self" && a.ty == Type::Tensor);
    let inplace = args.first().is_some_and(|a| a.mutated);
    Ok(Op {
        base_name: base.into(),
        overload: overload.into(),
        c_name,
        rust_name,
        args,
        returns,
        doc: Vec::new(),
        inplace,
        view,
        cases: Vec::new(),
        method,
        function: true,
        nn: false,
        since: "0.1".into(),
        section: String::new(),
        line: 0,
    })
}

/// `add_`, `Scalar` -> `add_scalar_`. A leading `_`, PyTorch's mark of an internal op, stays in Python alone.
fn c_name(base: &str, overload: &str) -> String {
    let base = base.trim_start_matches('_');
    if overload.is_empty() || overload == "Tensor" {
        return base.to_string();
    }
    let (stem, tail) = match base.strip_suffix('_') {
        Some(stem) => (stem, "_"),
        None => (base, ""),
    };
    format!("{stem}_{}{tail}", snake(overload))
}

/// `IntList` -> `int_list`, `Tensor_Scalar` -> `tensor_scalar`.
fn snake(s: &str) -> String {
    let mut out = String::new();
    let mut previous_lower = false;
    for c in s.chars() {
        if c.is_ascii_uppercase() {
            if previous_lower {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
            previous_lower = false;
        } else {
            out.push(c);
            previous_lower = c != '_';
        }
    }
    out
}

fn is_ident(s: &str) -> bool {
    let mut chars = s.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Splits at commas outside brackets and quotes.
fn split_top(s: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start, mut quote) = (Vec::new(), 0, 0, None);
    for (i, c) in s.char_indices() {
        match c {
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            '(' | '[' if quote.is_none() => depth += 1,
            ')' | ']' if quote.is_none() => depth -= 1,
            ',' if depth == 0 && quote.is_none() => {
                parts.push(s[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if !s[start..].trim().is_empty() {
        parts.push(s[start..].trim());
    }
    parts
}

/// Removes an alias annotation: `Tensor(a!)` -> (`Tensor`, Some("a!")).
fn strip_alias(ty: &str) -> (String, Option<String>) {
    match (ty.find('('), ty.find(')')) {
        (Some(a), Some(b)) if a > 0 && b > a => (format!("{}{}", &ty[..a], &ty[b + 1..]), Some(ty[a + 1..b].into())),
        _ => (ty.to_string(), None),
    }
}

fn parse_arg(text: &str, kwonly: bool) -> Result<Arg, String> {
    let (decl, default) = match text.split_once('=') {
        Some((d, v)) => (d.trim(), Some(v.trim())),
        None => (text, None),
    };
    let (ty, name) = decl.rsplit_once(' ').ok_or_else(|| format!("expected 'type name' in {text:?}"))?;
    if !is_ident(name) {
        return Err(format!("bad argument name {name:?}"));
    }
    if RESERVED.contains(&name) {
        return Err(format!("argument name {name} is reserved in C, C++ or here; choose another"));
    }
    let (bare, alias) = strip_alias(ty.trim());
    let ty = parse_type(&bare).ok_or_else(|| format!("unknown argument type {bare:?}"))?;
    let default = default.map(|v| parse_default(v, ty)).transpose()?;
    Ok(Arg { name: name.into(), ty, default, kwonly, mutated: alias.is_some_and(|a| a.ends_with('!')) })
}

fn parse_type(s: &str) -> Option<Type> {
    Some(match s {
        "Tensor" => Type::Tensor,
        "Tensor?" => Type::OptTensor,
        "Tensor[]" => Type::TensorList,
        "Tensor?[]" => Type::OptTensorList,
        "Scalar" => Type::Scalar,
        "Scalar?" => Type::OptScalar,
        "int" => Type::Int,
        "int?" => Type::OptInt,
        "float" => Type::Float,
        "float?" => Type::OptFloat,
        "bool" => Type::Bool,
        "bool?" => Type::OptBool,
        "ScalarType" => Type::DType,
        "ScalarType?" => Type::OptDType,
        "Device?" => Type::Device,
        "str" => Type::Str,
        "str?" => Type::OptStr,
        "Generator?" => Type::Generator,
        other => {
            let (list, optional) = match other.strip_suffix('?') {
                Some(l) => (l, true),
                None => (other, false),
            };
            let n = list.strip_prefix("int[")?.strip_suffix(']')?;
            let n = if n.is_empty() { None } else { Some(n.parse().ok()?) };
            if optional {
                Type::OptIntList(n)
            } else {
                Type::IntList(n)
            }
        }
    })
}

fn parse_default(v: &str, ty: Type) -> Result<Default, String> {
    let bad = || format!("default {v} does not fit type {}", ty.text());
    if v == "None" {
        return if ty.is_optional() { Ok(Default::None) } else { Err(bad()) };
    }
    let int = || v.parse::<i64>().map(Default::Int).map_err(|_| bad());
    let float = || v.parse::<f64>().map(Default::Float).map_err(|_| bad());
    let boolean = || match v {
        "True" => Ok(Default::Bool(true)),
        "False" => Ok(Default::Bool(false)),
        _ => Err(bad()),
    };
    match ty {
        Type::Int | Type::OptInt => int(),
        Type::Float | Type::OptFloat => float(),
        Type::Bool | Type::OptBool => boolean(),
        Type::Scalar | Type::OptScalar => boolean().or_else(|_| int()).or_else(|_| float()),
        Type::IntList(n) | Type::OptIntList(n) => match v.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            Some(list) => split_top(list)
                .into_iter()
                .map(|x| x.parse::<i64>().map_err(|_| bad()))
                .collect::<Result<_, _>>()
                .map(Default::IntList),
            None => {
                let x = v.parse::<i64>().map_err(|_| bad())?;
                Ok(Default::IntList(vec![x; n.ok_or_else(bad)?]))
            }
        },
        Type::DType | Type::OptDType => dtype(v).map(|d| Default::DType(d.0, d.1)).ok_or_else(bad),
        Type::Str | Type::OptStr => {
            let quoted = |q: char| v.strip_prefix(q).and_then(|s| s.strip_suffix(q));
            quoted('"').or_else(|| quoted('\'')).map(|s| Default::Str(s.into())).ok_or_else(bad)
        }
        Type::TensorList if v == "[]" => Ok(Default::IntList(vec![])),
        _ => Err(bad()),
    }
}

/// Results, and whether the first is a view of an argument (`Tensor(a)`).
fn parse_returns(s: &str) -> Result<(Vec<Ret>, bool), String> {
    if s == "()" {
        return Ok((Vec::new(), false));
    }
    let tuple = s.starts_with('(');
    let inner = if tuple { s[1..].strip_suffix(')').ok_or("unclosed result tuple")? } else { s };
    let parts = split_top(inner);
    let (mut returns, mut view) = (Vec::new(), false);
    for (i, part) in parts.iter().enumerate() {
        let (ty, name) = match part.rsplit_once(' ') {
            Some((t, n)) => (t, n.to_string()),
            None if tuple => (*part, format!("out{i}")),
            None => (*part, "out".to_string()),
        };
        if !is_ident(&name) {
            return Err(format!("bad result name {name:?}"));
        }
        let (bare, alias) = strip_alias(ty);
        match alias {
            // The written argument is the result: nothing new to return.
            Some(a) if a.ends_with('!') => continue,
            Some(_) => view = true,
            None => {}
        }
        let ty = match bare.as_str() {
            "Tensor" => RetType::Tensor,
            "Tensor[]" => RetType::TensorList,
            "bool" => RetType::Bool,
            "int" => RetType::Int,
            "float" => RetType::Float,
            "Scalar" => RetType::Scalar,
            "ScalarType" => RetType::DType,
            "str" => RetType::Str,
            other => return Err(format!("unknown result type {other:?}")),
        };
        returns.push(Ret { name, ty });
    }
    Ok((returns, view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let n = |s: &str| parse_op(&format!("{s}(Tensor self) -> Tensor")).unwrap().c_name;
        assert_eq!(n("add.Tensor"), "add");
        assert_eq!(n("add.Scalar"), "add_scalar");
        assert_eq!(n("add_.Scalar"), "add_scalar_");
        assert_eq!(n("add_.Tensor"), "add_");
        assert_eq!(n("sum.dim_IntList"), "sum_dim_int_list");
        assert_eq!(n("pow.Tensor_Scalar"), "pow_tensor_scalar");
        // The mark of an internal op is Python's alone.
        assert_eq!(n("_fused_sgd_"), "fused_sgd_");
        assert_eq!(parse_op("where(Tensor condition) -> Tensor").unwrap().rust_name, "r#where");
    }

    #[test]
    fn arguments_and_results() {
        let op =
            parse_op("max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)").unwrap();
        assert_eq!(op.returns.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["values", "indices"]);
        assert_eq!(op.args[2].default, Some(Default::Bool(false)));
        let op = parse_op("f(Tensor(a!) self, int[2] k=3, *, Scalar alpha=1.5, str mode=\"a, b\", ScalarType? dtype=None) -> Tensor(a!)").unwrap();
        assert!(op.inplace && op.returns.is_empty() && op.args[0].mutated);
        assert_eq!(op.args[1].default, Some(Default::IntList(vec![3, 3])));
        assert_eq!(op.args[2].default, Some(Default::Float(1.5)));
        assert_eq!(op.args[3].default, Some(Default::Str("a, b".into())));
        assert!(op.args[4].kwonly && !op.args[1].kwonly);
        let op = parse_op("view(Tensor(a) self, int[] size) -> Tensor(a)").unwrap();
        assert!(op.view && !op.inplace);
        assert_eq!(parse_op(&op.signature().replace("-> Tensor", "-> Tensor(a)")).unwrap(), op);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, what) in [
            ("f(Tensor self)", "results"),
            ("f(Thing self) -> Tensor", "unknown argument type"),
            ("f(int class) -> Tensor", "reserved"),
            ("f(int a=1, int b) -> Tensor", "without default"),
            ("f(int a=x) -> Tensor", "does not fit"),
            ("f(int a, int a) -> Tensor", "two arguments"),
        ] {
            let e = parse_op(line).unwrap_err();
            assert!(e.contains(what), "{line}: {e}");
        }
        assert!(parse("f(int a) -> Tensor\n").unwrap_err().contains("no doc line"));
        let twice = "f(int a) -> Tensor\n    x\nf.Tensor(int a) -> Tensor\n    x\n";
        assert!(parse(twice).unwrap_err().starts_with("spec/ops.txt:3"));
    }
}
