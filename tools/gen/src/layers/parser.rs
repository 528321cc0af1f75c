//! Reads `spec/layers.txt`.

use super::expr::{self, Expr, Reader};
use super::model::*;

/// Reads the whole text; an error names the line.
pub fn parse(text: &str) -> Result<Layers, String> {
    let mut layers = Layers::default();
    for (number, line) in logical_lines(text) {
        read_line(&mut layers, &line).map_err(|e| format!("spec/layers.txt, line {number}: {e}"))?;
    }
    check(&layers)?;
    Ok(layers)
}

/// Lines without comments; one that is indented by eight or more continues the one before.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some(last) if line.starts_with("        ") => {
                last.1.push(' ');
                last.1.push_str(line.trim());
            }
            _ => lines.push((i + 1, line.trim_end().to_string())),
        }
    }
    lines
}

fn read_line(layers: &mut Layers, line: &str) -> Result<(), String> {
    if let Some(body) = line.strip_prefix("    ") {
        let entry = layers.files.last_mut().and_then(|f| f.entries.last_mut()).ok_or("no entry begins before this")?;
        return body_line(entry, body);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "composed" => layers.composed.extend(rest.split_whitespace().map(String::from)),
        "python" => {
            let names = rest.strip_prefix("by hand ").ok_or("expected: python by hand NAME ..")?;
            layers.by_hand.extend(names.split_whitespace().map(String::from));
        }
        "file" => {
            let (name, doc) = rest.split_once(' ').ok_or("expected: file NAME \"what it holds\"")?;
            layers.files.push(File { name: name.into(), doc: doc.trim_matches('"').into(), entries: Vec::new() });
        }
        "layer" | "loss" | "family" | "lazy" => {
            let kind = match word {
                "layer" => Kind::Layer,
                "loss" => Kind::Loss,
                "family" => Kind::Family,
                _ => Kind::Lazy,
            };
            let entry = header(kind, rest)?;
            layers.files.last_mut().ok_or("an entry stands below a `file` line")?.entries.push(entry);
        }
        _ => return Err(format!("'{word}' begins no entry")),
    }
    Ok(())
}

/// `NAME [: BASE] [of CLASS] [(arguments)] [factory]`
fn header(kind: Kind, text: &str) -> Result<Entry, String> {
    let mut r = Reader::new(text)?;
    let name = r.next()?;
    let base = if r.take(":") { Some(r.next()?) } else { None };
    let of = if r.take("of") { Some(r.next()?) } else { None };
    let arguments = if r.take("(") { Some(arguments(&mut r)?) } else { None };
    let factory = r.take("factory");
    r.end()?;
    if (kind == Kind::Lazy) != of.is_some() {
        return Err("`of CLASS` is for lazy entries, and they need it".into());
    }
    Ok(Entry {
        kind,
        name,
        base,
        of,
        arguments,
        factory,
        doc: String::new(),
        consts: Vec::new(),
        fixed: Vec::new(),
        steps: Vec::new(),
        resets: Vec::new(),
        inputs: None,
        optional_inputs: 0,
        outputs: Vec::new(),
        forward: None,
        repr: None,
        rank_checked: false,
        mixin: None,
        hidden: false,
        activation: None,
        fused: None,
        options: None,
        large: false,
        example: None,
    })
}

/// `TYPE[count]? NAME=DEFAULT [flag], ..` up to the closing bracket; `*` begins those given by name alone.
fn arguments(r: &mut Reader) -> Result<Vec<Argument>, String> {
    let (mut out, mut keyword_only) = (Vec::new(), false);
    while !r.take(")") {
        if r.take("*") {
            keyword_only = true;
            r.take(",");
            continue;
        }
        let name = r.next()?;
        if !TYPES.contains(&name.as_str()) {
            return Err(format!("no type {name}; there are {}", TYPES.join(", ")));
        }
        let mut kind = Type { name, count: None, optional: false };
        if r.take("[") {
            kind.count = Some(r.expr()?);
            r.expect("]")?;
        }
        kind.optional = r.take("?");
        let mut a = Argument {
            kind,
            name: r.next()?,
            default: None,
            flag: false,
            python_only: false,
            stored_as: None,
            keyword_only,
            least: None,
        };
        if r.take("=") {
            a.default = Some(r.condition()?);
        }
        while r.take("[") {
            match r.next()?.as_str() {
                "flag" => a.flag = true,
                "py" => a.python_only = true,
                "as" => a.stored_as = Some(r.next()?),
                sign @ (">" | ">=") => {
                    a.least = Some(if sign == ">" { 1 } else { 0 });
                    r.expect("0")?;
                }
                other => {
                    return Err(format!("an argument has no flag [{other}]; there are flag, py, as NAME, > 0, >= 0"));
                }
            }
            r.expect("]")?;
        }
        if out.iter().any(|b: &Argument| b.name == a.name) {
            return Err(format!("the argument {} stands twice", a.name));
        }
        out.push(a);
        if r.peek() != ")" {
            r.expect(",")?;
        }
    }
    Ok(out)
}

fn body_line(entry: &mut Entry, text: &str) -> Result<(), String> {
    if text.starts_with('"') {
        entry.doc = text.trim_matches('"').to_string();
        return Ok(());
    }
    let mut r = Reader::new(text)?;
    let word = r.next()?;
    match word.as_str() {
        "const" => entry.consts.push(assignment(&mut r)?),
        "fix" => entry.fixed.push(assignment(&mut r)?),
        "store" => entry.steps.push(Step::Store),
        "let" => {
            let (name, value) = assignment(&mut r)?;
            entry.steps.push(Step::Let { name, value });
        }
        "refuse" | "early" => {
            let when = r.expr()?;
            r.expect(":")?;
            let error = r.next()?;
            if !["Value", "Assertion", "Runtime", "Type"].contains(&error.as_str()) {
                return Err(format!("{error} is none of Value, Assertion, Runtime, Type"));
            }
            let message = expr::unquote(&r.next()?);
            entry.steps.push(Step::Refuse { when, error: format!("{error}Error"), message, early: word == "early" });
        }
        "param" => {
            let (name, shape) = (r.next()?, r.condition()?);
            let init = if r.take("=") { Some(r.condition()?) } else { None };
            let from = match r.take("from") {
                true => {
                    let argument = r.next()?;
                    r.expect("frozen")?;
                    Some((argument, r.next()?))
                }
                false => None,
            };
            let when = if r.take("if") { Some(r.expr()?) } else { None };
            entry.steps.push(Step::Param { name, shape, init, when, from });
        }
        "buffer" => {
            let name = r.next()?;
            if r.take("from") {
                entry.steps.push(Step::BufferFrom { name, argument: r.next()? });
            } else {
                let shape = r.condition()?;
                let dtype = if r.peek() == "=" { None } else { Some(r.next()?) };
                r.expect("=")?;
                let value = r.next()?.parse().map_err(|_| "a buffer begins as 0 or 1")?;
                let when = if r.take("if") { Some(r.expr()?) } else { None };
                entry.steps.push(Step::Buffer { name, shape, dtype, value, when });
            }
        }
        "reset" => {
            let name = if r.peek().starts_with('"') { "reset_parameters".into() } else { r.next()? };
            let doc = expr::unquote(&r.next()?);
            let when = if r.take("if") { Some(r.condition()?) } else { None };
            let mut steps = Vec::new();
            loop {
                steps.push(if r.take("let") {
                    let (name, value) = assignment(&mut r)?;
                    ResetStep::Let(name, value)
                } else {
                    ResetStep::Call(r.expr()?)
                });
                if !r.take(";") {
                    break;
                }
            }
            entry.resets.push(Reset { name, doc, when, steps });
        }
        "input" => {
            let mut all = Vec::new();
            loop {
                all.push(r.next()?);
                if r.take("?") {
                    entry.optional_inputs += 1;
                } else if entry.optional_inputs > 0 {
                    return Err("inputs that may be left out come last".into());
                }
                if !r.take(",") {
                    break;
                }
            }
            entry.inputs = Some(all);
        }
        "child" => {
            let name = r.next()?;
            let from = if r.take("from") { Some(r.next()?) } else { None };
            let call = if from.is_none() || r.peek() == "or" {
                r.expect(if from.is_none() { "=" } else { "or" })?;
                Some(r.expr()?)
            } else {
                None
            };
            if !matches!(call, None | Some(Expr::Call(..))) {
                return Err("a child is made by a class: NAME(arguments)".into());
            }
            entry.steps.push(Step::Child { name, from, call });
        }
        "clones" => {
            let (name, argument, count) = (r.next()?, r.next()?, r.next()?);
            entry.steps.push(Step::Clones { name, argument, count });
        }
        "large" => entry.large = true,
        "recurrent" => {
            let gates = r.next()?.parse().map_err(|_| "recurrent GATES: a number")?;
            entry.steps.push(Step::Recurrent { gates });
        }
        "output" => {
            // `indices if return_indices`: what the condition says stands with the name.
            let rest = r.tokens[r.at..].join(" ");
            r.at = r.tokens.len();
            entry.outputs = rest.split(" , ").map(String::from).collect();
        }
        "forward" => {
            let arguments = if r.take("(") { arguments(&mut r)? } else { Vec::new() };
            r.expect("=")?;
            let call = r.expr()?;
            if !matches!(call, Expr::Call(..) | Expr::Member(_, _, Some(_)) | Expr::Name(_)) {
                return Err("a forward is one call of an op, or the input".into());
            }
            entry.forward = Some(Forward { arguments, call });
        }
        "repr" => entry.repr = Some(pieces(&mut r)?),
        "rank" => {
            r.expect("checked")?;
            entry.rank_checked = true;
        }
        "activation" => {
            let name = r.next()?;
            let when = if r.take("if") { Some(r.condition()?) } else { None };
            entry.activation = Some((name, when));
        }
        "fused" => {
            r.expect("=")?;
            entry.fused = Some(r.expr()?);
        }
        "example" => {
            let mut all = vec![r.expr()?];
            while r.take(",") {
                all.push(r.expr()?);
            }
            entry.example = Some(all);
        }
        "options" => entry.options = Some(r.next()?),
        "python" if r.take("hidden") => entry.hidden = true,
        "python" => {
            r.expect("mixin")?;
            entry.mixin = Some(r.next()?);
        }
        _ => return Err(format!("'{word}' begins no line of an entry")),
    }
    r.end()
}

fn assignment(r: &mut Reader) -> Result<(String, Expr), String> {
    let name = r.next()?;
    r.expect("=")?;
    Ok((name, r.expr()?))
}

/// `label=`, `label={value!r}`, `{value}`, `label=Literal`, each with `if condition`, between commas.
fn pieces(r: &mut Reader) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    loop {
        let mut piece = Piece { label: String::new(), value: None, quoted: false, when: None };
        if r.peek() != "{" {
            let name = r.next()?;
            r.expect("=")?;
            piece.label = format!("{name}=");
            if matches!(r.peek(), "" | "," | "if") {
                piece.value = Some(Expr::Name(name));
            } else if r.peek() != "{" {
                piece.label += &r.next()?;
            }
        }
        if r.take("{") {
            piece.value = Some(r.expr()?);
            if r.take("!") {
                r.expect("r")?;
                piece.quoted = true;
            }
            r.expect("}")?;
        }
        if r.take("if") {
            piece.when = Some(r.condition()?);
        }
        out.push(piece);
        if !r.take(",") {
            return Ok(out);
        }
    }
}

/// What the expressions of an entry may name.
fn known<'a>(layers: &'a Layers, entry: &'a Entry) -> Vec<&'a str> {
    let mut names = layers.inputs(entry);
    names.extend(["training", "class", "input"]);
    for e in layers.line(entry) {
        names.extend(e.consts.iter().map(|c| c.0.as_str()));
        names.extend(e.arguments.iter().flatten().flat_map(|a| [a.name.as_str(), a.field()]));
        names.extend(e.steps.iter().filter_map(|s| match s {
            Step::Let { name, .. } | Step::Param { name, .. } | Step::Buffer { name, .. } => Some(name.as_str()),
            Step::BufferFrom { name, .. } => Some(name),
            Step::Child { name, .. } | Step::Clones { name, .. } => Some(name),
            Step::Refuse { .. } | Step::Store | Step::Recurrent { .. } => None,
        }));
        names.extend(e.resets.iter().flat_map(|r| &r.steps).filter_map(|s| match s {
            ResetStep::Let(name, _) => Some(name.as_str()),
            ResetStep::Call(_) => None,
        }));
    }
    names.extend(entry.forward.iter().flat_map(|f| &f.arguments).map(|a| a.name.as_str()));
    names
}

/// The expressions of an entry.
fn expressions(entry: &Entry) -> Vec<&Expr> {
    let mut all: Vec<&Expr> = entry.consts.iter().chain(&entry.fixed).map(|c| &c.1).collect();
    all.extend(entry.arguments.iter().flatten().filter_map(|a| a.kind.count.as_ref()));
    for step in &entry.steps {
        match step {
            Step::Refuse { when, .. } => all.push(when),
            Step::Let { value, .. } => all.push(value),
            Step::Param { shape, init, when, .. } => {
                all.extend([Some(shape), init.as_ref(), when.as_ref()].into_iter().flatten())
            }
            Step::Buffer { shape, when, .. } => all.extend([Some(shape), when.as_ref()].into_iter().flatten()),
            Step::Child { call, .. } => all.extend(call),
            Step::BufferFrom { .. } | Step::Clones { .. } | Step::Store | Step::Recurrent { .. } => {}
        }
    }
    for r in &entry.resets {
        all.extend(&r.when);
        all.extend(r.steps.iter().map(|s| match s {
            ResetStep::Let(_, e) | ResetStep::Call(e) => e,
        }));
    }
    all.extend(entry.repr.iter().flatten().flat_map(|p| p.value.iter().chain(&p.when)));
    all.extend(entry.forward.iter().map(|f| &f.call));
    all
}

/// What no single line shows: names that exist once, bases that exist, forwards for what can be called.
fn check(layers: &Layers) -> Result<(), String> {
    let mut seen = Vec::new();
    for entry in layers.files.iter().flat_map(|f| &f.entries) {
        let name = &entry.name;
        if seen.contains(&name) {
            return Err(format!("spec/layers.txt: {name} is declared twice"));
        }
        for base in entry.base.iter().chain(&entry.of) {
            if !seen.contains(&base) {
                return Err(format!("spec/layers.txt: {name} names {base}, which no entry before it declares"));
            }
        }
        seen.push(name);
        let line = layers.line(entry);
        let public = matches!(entry.kind, Kind::Layer | Kind::Loss);
        if public && !line.iter().any(|e| e.forward.is_some()) {
            return Err(format!("spec/layers.txt: {name} has no forward"));
        }
        if public && entry.doc.is_empty() {
            return Err(format!("spec/layers.txt: {name} says nothing of what it is: a line in quotes"));
        }
        for e in expressions(entry) {
            if let Some(n) = e.names().into_iter().find(|n| !known(layers, entry).contains(n)) {
                return Err(format!("spec/layers.txt: {name} has no argument, attribute, parameter or input {n}"));
            }
        }
        if let Some(o) = entry.outputs.iter().find(|o| o.is_empty()) {
            return Err(format!("spec/layers.txt: {name} has an output without a name {o}"));
        }
        for (fixed, _) in &entry.fixed {
            let base = entry.base.as_ref().and_then(|b| layers.entry(b)).and_then(|b| layers.constructor(b));
            if !base.and_then(|b| b.arguments.as_ref()).is_some_and(|a| a.iter().any(|a| a.name == *fixed)) {
                return Err(format!("spec/layers.txt: {name} fixes {fixed}, which its base does not take"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named() {
        for (text, wanted) in [
            ("layer A", "below a `file`"),
            ("file a \"A.\"\nlayer A(number x)\n    \"A.\"\n    forward = f(input)", "no type number"),
            ("file a \"A.\"\nlayer A\n    \"A.\"", "has no forward"),
            ("file a \"A.\"\nlayer A\n    forward = f(input)", "says nothing"),
            ("file a \"A.\"\nlayer A : B\n    \"A.\"\n    forward = f(input)", "names B"),
            ("file a \"A.\"\nlayer A\n    \"A.\"\n    forward = input + 1", "one call"),
            ("file a \"A.\"\nlayer A(int x, int x)\n    \"A.\"\n    forward = f(input)", "stands twice"),
            ("file a \"A.\"\nlayer A\n    \"A.\"\n    forward = f(input, slope)", "or input slope"),
            ("file a \"A.\"\nlayer A\n    wings 2", "begins no line"),
        ] {
            let error = parse(text).map(|_| ()).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
