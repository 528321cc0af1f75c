//! Reads `spec/optim.txt`.

use super::model::*;
use crate::layers::expr::{self, Expr, Reader};

/// Reads the whole text; an error names the line.
pub fn parse(text: &str) -> Result<Optimizers, String> {
    let (mut entries, mut files): (Vec<Entry>, Vec<File>) = Default::default();
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
        match lines.last_mut() {
            Some(last) if line.starts_with("        ") => last.1 += &format!(" {}", line.trim()),
            _ => lines.push((i + 1, line.trim_end().to_string())),
        }
    }
    for (number, line) in &lines {
        read(&mut entries, &mut files, line).map_err(|e| format!("spec/optim.txt, line {number}: {e}"))?;
    }
    for i in 0..entries.len() {
        inherit(&mut entries, i)?;
        check(&entries[i])?;
    }
    Ok(Optimizers { entries, files })
}

fn read(entries: &mut Vec<Entry>, files: &mut Vec<File>, line: &str) -> Result<(), String> {
    if let Some(body) = line.strip_prefix("    ") {
        return body_line(entries.last_mut().ok_or("no entry begins before this")?, body);
    }
    if let Some(rest) = line.strip_prefix("file ") {
        let (name, doc) = rest.split_once(' ').ok_or("expected: file NAME \"text\"")?;
        files.push(File { name: name.into(), doc: expr::unquote(doc) });
        return Ok(());
    }
    let rest = line.strip_prefix("optimizer ").ok_or("expected: optimizer NAME(options)")?;
    let file = files.last().ok_or("no `file` line stands before this")?.name.clone();
    let mut r = Reader::new(rest)?;
    let name = r.next()?;
    if entries.iter().any(|e| e.name == name) {
        return Err(format!("{name} stands twice"));
    }
    let base = if r.take(":") { Some(r.next()?) } else { None };
    r.expect("(")?;
    let options = options(&mut r)?;
    r.end()?;
    entries.push(Entry {
        name,
        base,
        written: options.clone(),
        options,
        order: Vec::new(),
        file,
        doc: String::new(),
        checks: Vec::new(),
        count: Count::No,
        states: Vec::new(),
        numbers: Vec::new(),
        scalars: Vec::new(),
        statics: Vec::new(),
        each: Vec::new(),
        native: None,
        by_hand: None,
        kept: Vec::new(),
        fixed: Vec::new(),
    });
    Ok(())
}

fn options(r: &mut Reader) -> Result<Vec<Opt>, String> {
    let mut out: Vec<Opt> = Vec::new();
    let mut keyword_only = false;
    while !r.take(")") {
        if r.take("*") {
            keyword_only = true;
            r.take(",");
            continue;
        }
        let kind = match r.next()?.as_str() {
            "float" => Kind::Float,
            "int" => Kind::Int,
            "bool" => Kind::Bool,
            "Pair" => Kind::Pair,
            "Triple" => Kind::Triple,
            "str" => Kind::Text,
            "inert" => Kind::Inert,
            other => return Err(format!("no type {other}; there are float, int, bool, Pair, Triple, str, inert")),
        };
        let optional = r.take("?");
        let name = r.next()?;
        r.expect("=")?;
        let default = r.condition()?;
        if out.iter().any(|o| o.name == name) {
            return Err(format!("the option {name} stands twice"));
        }
        out.push(Opt { name, kind, optional, default, keyword_only });
        if r.peek() != ")" {
            r.expect(",")?;
        }
    }
    Ok(out)
}

fn body_line(e: &mut Entry, line: &str) -> Result<(), String> {
    if line.starts_with('"') {
        e.doc = expr::unquote(line);
        return Ok(());
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let assignment = |rest: &str| -> Result<Line, String> {
        let mut r = Reader::new(rest)?;
        let name = r.next()?;
        r.expect("=")?;
        let value = r.expr()?;
        let condition = if r.take("if") { Some(r.condition()?) } else { None };
        r.end()?;
        Ok(Line { name, value, condition })
    };
    match word {
        "check" => {
            let mut r = Reader::new(rest)?;
            let condition = r.condition()?;
            r.expect(":")?;
            let text = expr::unquote(&r.next()?);
            r.end()?;
            e.checks.push((condition, text));
        }
        "count" if rest.is_empty() => e.count = Count::Yes,
        "count" if rest == "from the beginning" => e.count = Count::FromTheBeginning,
        "state" => e.states.push(assignment(rest)?),
        "number" => e.numbers.push(assignment(rest)?),
        "scalar" => e.scalars.push(assignment(rest)?),
        "static" => e.statics.push(assignment(rest)?),
        "each" => e.each.push(assignment(rest)?),
        "fix" => {
            let l = assignment(rest)?;
            e.fixed.push(l.clone());
            let (name, default) = (l.name, l.value);
            e.options.push(Opt { name, kind: Kind::Fixed, optional: false, default, keyword_only: true });
        }
        "order" => e.order = rest.split(',').map(|n| n.trim().to_string()).collect(),
        "native" => e.native = Some(rest.into()),
        "by" => {
            let wrong = "expected: by hand NAME : STATE, ..";
            let (name, kept) = rest.strip_prefix("hand ").and_then(|r| r.split_once(" : ")).ok_or(wrong)?;
            e.by_hand = Some(name.into());
            e.kept = kept.split(", ").map(String::from).collect();
        }
        other => return Err(format!("no line begins with '{other}'")),
    }
    Ok(())
}

/// What an entry has from its base: everything but the defaults; the options in the base's order, since slots are
/// shared.
fn inherit(entries: &mut [Entry], i: usize) -> Result<(), String> {
    let Some(name) = entries[i].base.clone() else { return Ok(()) };
    let from = entries[..i].iter().find(|e| e.name == name);
    let from = from.ok_or_else(|| format!("spec/optim.txt: {}: no {name} before it", entries[i].name))?.clone();
    let e = &mut entries[i];
    let mut ordered = Vec::new();
    for o in &from.options {
        let at = e.options.iter().position(|x| x.name == o.name);
        ordered.push(e.options[at.ok_or_else(|| format!("spec/optim.txt: {} lacks {}", e.name, o.name))?].clone());
    }
    e.options = ordered;
    let Entry { name, base, options, written, file, doc, fixed, .. } = e.clone();
    *e = Entry { name, base, options, written, file, doc, fixed, ..from };
    Ok(())
}

fn check(e: &Entry) -> Result<(), String> {
    let known = |n: &str, element: bool| {
        let of = |lines: &[Line]| lines.iter().any(|l| l.name == n);
        e.slot(n).is_some()
            || matches!(n, "t" | "first")
            || of(&e.numbers)
            || of(&e.scalars)
            || of(&e.statics)
            || element && (matches!(n, "p" | "g") || of(&e.states) || of(&e.each))
    };
    let lines = |lines: &[Line], element: bool| {
        for l in lines {
            let names = l.value.names().into_iter().filter(|n| !known(n, element));
            let conditions = l.condition.iter().flat_map(Expr::names).filter(|n| !known(n, false));
            if let Some(n) = names.chain(conditions).next() {
                return Err(format!("spec/optim.txt: {}: {} is about {n}, which is nothing here", e.name, l.name));
            }
        }
        Ok(())
    };
    lines(&e.states, false)?;
    lines(&e.numbers, false)?;
    lines(&e.scalars, false)?;
    lines(&e.statics, false)?;
    lines(&e.each, true)?;
    if e.each.is_empty() == e.by_hand.is_none() {
        return Err(format!("spec/optim.txt: {} needs `each` lines or `by hand`, and not both", e.name));
    }
    let named = |o: &Opt| e.order.contains(&o.name);
    let whole = e.order.len() == e.options.len() && e.options.iter().all(named);
    if !e.order.is_empty() && !whole {
        return Err(format!("spec/optim.txt: {}: `order` is not about all options", e.name));
    }
    if e.states.len() > 3 {
        return Err(format!("spec/optim.txt: {} has more than 3 states", e.name));
    }
    Ok(())
}
