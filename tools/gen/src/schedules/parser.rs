//! Reads `spec/schedules.txt`.

use super::{Argument, Entry, KINDS};
use crate::layers::expr;

/// Joins what goes on in lines of eight spaces or more; with the number of the first line.
fn logical(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (i, raw) in text.lines().enumerate() {
        if raw.trim().is_empty() || raw.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if raw.starts_with("        ") => {
                last.push(' ');
                last.push_str(raw.trim());
            }
            _ => lines.push((i + 1, raw.trim_end().to_string())),
        }
    }
    lines
}

pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    for (n, line) in logical(text) {
        let fail = |m: String| format!("spec/schedules.txt:{n}: {m}");
        if let Some(head) = line.strip_prefix("schedule ") {
            let e = entry(head).map_err(fail)?;
            if entries.iter().any(|o| o.name == e.name) {
                return Err(fail(format!("{} stands twice", e.name)));
            }
            entries.push(e);
            continue;
        }
        let e = entries.last_mut().ok_or_else(|| fail("expected 'schedule Name(arguments)'".into()))?;
        property(e, line.trim()).map_err(fail)?;
    }
    for e in &entries {
        let fail = |m: &str| Err(format!("spec/schedules.txt: {}: {m}", e.name));
        if e.doc.is_empty() {
            return fail("it has no text in quotes that says what it does");
        }
        let known = |n: &&str| {
            ["lr", "base", "e", "initial", "count", "pi"].contains(n) || e.arguments.iter().any(|a| a.name == **n)
        };
        for x in e.next.iter().chain(&e.closed).chain(e.refuse.iter().map(|r| &r.0)) {
            if let Some(name) = x.names().into_iter().find(|n| !known(n)) {
                return fail(&format!("there is nothing called {name}"));
            }
        }
    }
    Ok(entries)
}

fn entry(head: &str) -> Result<Entry, String> {
    let (name, rest) = head.split_once('(').ok_or("expected Name(arguments)")?;
    let (inside, after) = rest.rsplit_once(')').ok_or("expected ')' after the arguments")?;
    let mut arguments = Vec::new();
    for text in inside.split(',').map(str::trim).filter(|t| !t.is_empty()) {
        let (kind, rest) = text.split_once(' ').ok_or_else(|| format!("expected 'type name' in {text:?}"))?;
        let (_, kind) = *KINDS.iter().find(|k| k.0 == kind).ok_or_else(|| format!("unknown type {kind}"))?;
        let (name, default) = match rest.split_once('=') {
            Some((n, d)) => (n, Some(d.to_string())),
            None => (rest, None),
        };
        arguments.push(Argument { name: name.into(), kind, default });
    }
    let words = after.trim();
    let without = ["by hand", "no optimizer", "no last_epoch"].iter().fold(words.to_string(), |w, k| w.replace(k, ""));
    if !without.trim().is_empty() {
        return Err(format!("unknown words after the arguments: {}", without.trim()));
    }
    let optimizer = !words.contains("no optimizer");
    Ok(Entry {
        name: name.into(),
        doc: String::new(),
        arguments,
        refuse: Vec::new(),
        next: None,
        closed: None,
        optimizer,
        last_epoch: optimizer && !words.contains("no last_epoch"),
    })
}

fn property(e: &mut Entry, line: &str) -> Result<(), String> {
    if let Some(doc) = line.strip_prefix('"').and_then(|d| d.strip_suffix('"')) {
        e.doc = doc.into();
    } else if let Some(rest) = line.strip_prefix("refuse ") {
        let (when, message) = rest.split_once(" : ").ok_or("expected 'refuse condition : \"message\"'")?;
        let message = message.strip_prefix('"').and_then(|m| m.strip_suffix('"')).ok_or("the message has no quotes")?;
        e.refuse.push((expr::parse(when)?, message.into()));
    } else if let Some(x) = line.strip_prefix("next = ") {
        e.next = Some(expr::parse(x)?);
    } else if let Some(x) = line.strip_prefix("closed = ") {
        e.closed = Some(expr::parse(x)?);
    } else {
        return Err(format!("unknown line: {line}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn mistakes_are_named() {
        let good = "schedule X(int n, float gamma=0.1)\n    \"Doc.\"\n    next = lr * gamma\n        + n\n";
        let e = &parse(good).unwrap()[0];
        assert_eq!((e.snake(), e.arguments.len(), e.last_epoch), ("x".into(), 2, true));
        for (text, wanted) in [
            (good.replace("* gamma", "* gama"), "nothing called gama"),
            (good.replace("int n", "number n"), "unknown type number"),
            (good.replace("\"Doc.\"", "closed = base"), "no text in quotes"),
            (good.replace("next", "following"), ":3: unknown line"),
            (good.repeat(2), "X stands twice"),
            (good.replace("0.1)", "0.1) in hand"), "unknown words"),
        ] {
            let got = parse(&text).unwrap_err();
            assert!(got.contains(wanted), "{got}");
        }
    }

    #[test]
    fn names_in_c() {
        let snake = |n: &str| parse(&format!("schedule {n}() by hand\n    \"D.\"\n")).unwrap()[0].snake();
        assert_eq!(snake("CosineAnnealingWarmRestarts"), "cosine_annealing_warm_restarts");
        assert_eq!(snake("ReduceLROnPlateau"), "reduce_lr_on_plateau");
    }
}
