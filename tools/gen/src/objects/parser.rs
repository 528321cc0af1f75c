//! Reads `spec/objects.txt`.

use super::types::{self, Owned, Type};
use std::collections::HashSet;

/// One argument. An array is one, with its length.
#[derive(Debug, PartialEq)]
pub enum Argument {
    /// `[const] TYPE name`
    Value { name: String, ty: &'static Type, constant: bool },
    /// `TYPE[length] name`, `write TYPE[length] name`; `element` is a type, `Tensor?`, `void` or `struct x`.
    Array { name: String, element: String, length: String, write: bool },
    /// `struct x name`, `struct x? name`: options, read as far as their size says.
    Struct { name: String, of: String, optional: bool },
    /// `callback x name`, `callback x? name`: a table of functions and the pointer `user` that they get.
    Callback { name: String, of: String, optional: bool },
    /// `owned TYPE name`: what the call takes over, also when it fails.
    Owned { name: String, ty: &'static Owned },
}
impl Argument {
    pub fn name(&self) -> &str {
        match self {
            Argument::Value { name, .. }
            | Argument::Array { name, .. }
            | Argument::Struct { name, .. }
            | Argument::Callback { name, .. }
            | Argument::Owned { name, .. } => name,
        }
    }
    /// How many arguments errors count: an array and its length are one, a pointer `user` is one of its own.
    pub fn places(&self) -> usize {
        match self {
            Argument::Callback { .. } | Argument::Owned { ty: Owned { user: true, .. }, .. } => 2,
            _ => 1,
        }
    }
}

/// What comes out, and how.
#[derive(Debug, PartialEq)]
pub enum Returns {
    /// `-> ()`, `-> TYPE name`, `-> (TYPE a, optional TYPE b)`: an error or NULL, results through the last parameters.
    Fallible(Vec<Place>),
    /// `=> TYPE [else VALUE]`: the value itself; VALUE for a bad handle. None: no value. `=> owned TYPE`: one that the
    /// caller frees and must not drop.
    Direct { ty: Option<&'static Type>, bad: Option<String>, owned: bool },
    /// `free`: frees the first argument's handle.
    Free,
}

/// Where a result goes.
#[derive(Debug, PartialEq)]
pub struct Place {
    /// The type, as Rust writes C's.
    pub c: String,
    pub name: String,
    /// The caller may leave it out.
    pub optional: bool,
    /// A struct that says its size.
    pub sized: bool,
}

/// A function of the C interface whose body is a Rust function of the same name in `src/capi/MODULE.rs`.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Without `taper_`.
    pub name: String,
    pub arguments: Vec<Argument>,
    pub returns: Returns,
    /// The body also gets the call, to make errors about arguments.
    pub call: bool,
    pub doc: Vec<String>,
    pub section: String,
    pub module: String,
    /// The line as it stands in the specification.
    pub line: String,
}

/// Parses the file; the error names the line.
pub fn parse(text: &str) -> Result<Vec<Function>, String> {
    let (mut functions, mut seen): (Vec<Function>, _) = (Vec::new(), HashSet::new());
    let (mut section, mut module) = (String::new(), String::new());
    for (i, raw) in text.lines().enumerate() {
        let fail = |m: String| format!("spec/objects.txt:{}: {m}", i + 1);
        if raw.trim().is_empty() || raw.starts_with("##") {
            continue;
        }
        if let Some(heading) = raw.strip_prefix('#') {
            let (name, file) = heading
                .trim()
                .strip_suffix(']')
                .and_then(|h| h.rsplit_once(" ["))
                .ok_or_else(|| fail("expected '# Heading [file]'".into()))?;
            (section, module) = (name.into(), file.into());
        } else if raw.starts_with(' ') {
            let f = functions.last_mut().ok_or_else(|| fail("doc line before the first function".into()))?;
            f.doc.push(raw.trim().into());
        } else {
            let mut f = function(raw).map_err(fail)?;
            if !seen.insert(f.name.clone()) {
                return Err(fail(format!("{} stands twice", f.name)));
            }
            (f.section, f.module) = (section.clone(), module.clone());
            functions.push(f);
        }
    }
    match functions.iter().find(|f| !f.doc.last().is_some_and(|d| d.contains("Since "))) {
        Some(f) => Err(format!("spec/objects.txt: {} does not say since when it exists", f.name)),
        None => Ok(functions),
    }
}

fn function(line: &str) -> Result<Function, String> {
    let (name, rest) = line.split_once('(').ok_or("expected name(arguments)")?;
    // Brackets of arrays hold no round ones.
    let (inside, after) = rest.split_once(')').ok_or("expected ')' after the arguments")?;
    let arguments = inside.split(',').map(str::trim).filter(|p| !p.is_empty()).map(argument);
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let after = after.trim();
    let (after, call) = match after.strip_suffix(" [call]") {
        Some(a) => (a, true),
        None => (after, false),
    };
    let returns = if after == "free" {
        Returns::Free
    } else if let Some(results) = after.strip_prefix("-> ") {
        let inner = results.strip_prefix('(').and_then(|r| r.strip_suffix(')')).unwrap_or(results);
        let parts = inner.split(',').map(str::trim).filter(|p| !p.is_empty());
        Returns::Fallible(parts.map(result).collect::<Result<_, _>>()?)
    } else if let Some(value) = after.strip_prefix("=> ") {
        let (ty, bad) = match value.split_once(" else ") {
            Some((t, b)) => (t, Some(b.to_string())),
            None => (value, None),
        };
        let (ty, owned) = ty.strip_prefix("owned ").map_or((ty, false), |t| (t, true));
        let ty = if ty == "()" { None } else { Some(types::find(ty).ok_or_else(|| format!("unknown type {ty}"))?) };
        Returns::Direct { ty, bad, owned }
    } else {
        return Err("expected '-> results', '=> value' or 'free' after the arguments".into());
    };
    if matches!(returns, Returns::Free) && arguments.len() != 1 {
        return Err("a function that frees takes the handle alone".into());
    }
    Ok(Function {
        name: name.into(),
        arguments,
        returns,
        call,
        doc: Vec::new(),
        section: String::new(),
        module: String::new(),
        line: line.into(),
    })
}

fn argument(text: &str) -> Result<Argument, String> {
    let (ty, name) = text.rsplit_once(' ').ok_or_else(|| format!("expected 'type name' in {text:?}"))?;
    let name = name.to_string();
    let (ty, write) = match ty.strip_prefix("write ") {
        Some(t) => (t, true),
        None => (ty, false),
    };
    if let Some((element, length)) = ty.strip_suffix(']').and_then(|t| t.split_once('[')) {
        let known = element == "void" || element.starts_with("struct ") || types::find(element).is_some();
        if !known {
            return Err(format!("unknown type {element}"));
        }
        let length = if length.is_empty() { format!("{name}_len") } else { length.into() };
        return Ok(Argument::Array { name, element: element.into(), length, write });
    }
    if let Some(of) = ty.strip_prefix("struct ") {
        let optional = of.ends_with('?');
        return Ok(Argument::Struct { name, of: of.trim_end_matches('?').into(), optional });
    }
    if let Some(of) = ty.strip_prefix("callback ") {
        let optional = of.ends_with('?');
        return Ok(Argument::Callback { name, of: of.trim_end_matches('?').into(), optional });
    }
    if let Some(of) = ty.strip_prefix("owned ") {
        let ty =
            types::OWNED.iter().find(|o| o.name == of).ok_or_else(|| format!("nothing called {of} can be owned"))?;
        return Ok(Argument::Owned { name, ty });
    }
    let (bare, constant) = match ty.strip_prefix("const ") {
        Some(t) => (t, true),
        None => (ty, false),
    };
    let ty = types::find(bare).ok_or_else(|| format!("unknown type {bare}"))?;
    Ok(Argument::Value { name, ty, constant })
}

fn result(text: &str) -> Result<Place, String> {
    let (text, optional) = match text.strip_prefix("optional ") {
        Some(t) => (t, true),
        None => (text, false),
    };
    let sized = text.starts_with("sized ");
    let (c, name) = if let Some(of) = text.strip_prefix("struct ").or_else(|| text.strip_prefix("sized ")) {
        let (of, name) = of.split_once(' ').unwrap_or((of, "out"));
        (format!("taper_{of}"), name)
    } else {
        let (ty, name) = text.split_once(' ').unwrap_or((text, "out"));
        let ty = types::find(ty).ok_or_else(|| format!("unknown type {ty}"))?;
        (ty.c.replace('@', "mut"), name)
    };
    Ok(Place { c, name: name.into(), optional, sized })
}
