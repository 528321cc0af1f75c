//! The printed form of modules, PyTorch's.

/// Indents all lines but the first.
fn indent(text: &str) -> String {
    text.replace('\n', "\n  ")
}

/// `Name(extra)` on one line, or extra lines and children below each other.
pub fn nested(name: &str, extra: &str, children: &[(String, String)]) -> String {
    let mut lines: Vec<String> = if extra.is_empty() { vec![] } else { extra.split('\n').map(String::from).collect() };
    if children.is_empty() && lines.len() <= 1 {
        return format!("{name}({extra})");
    }
    lines.extend(children.iter().map(|(key, text)| format!("({key}): {}", indent(text))));
    format!("{name}(\n  {}\n)", lines.join("\n  "))
}

/// A list of children whose equal neighbours share one line `(0-2): 3 x Linear(...)`.
pub fn folded(name: &str, children: &[(String, String)]) -> String {
    if children.is_empty() {
        return format!("{name}()");
    }
    let mut lines = Vec::new();
    let mut start = 0;
    for end in 1..=children.len() {
        let text = &children[start].1;
        if end < children.len() && &children[end].1 == text {
            continue;
        }
        let line = match end - start {
            1 => format!("({start}): {text}"),
            n => format!("({start}-{}): {n} x {text}", end - 1),
        };
        lines.push(indent(&line));
        start = end;
    }
    format!("{name}(\n  {}\n)", lines.join("\n  "))
}
