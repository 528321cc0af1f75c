//! The printed form of modules, PyTorch's. Texts grow with the tree, so making them can fail.

use crate::backend::memory;
use crate::Result;

/// Appends `text` with all its lines but the first indented.
fn push_indented(out: &mut String, text: &str) -> Result<()> {
    memory::reserve_text(out, text.len() + 2 * text.bytes().filter(|b| *b == b'\n').count())?;
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push_str("\n  ");
        }
        out.push_str(line);
    }
    Ok(())
}
fn push_str(out: &mut String, text: &str) -> Result<()> {
    memory::reserve_text(out, text.len())?;
    out.push_str(text);
    Ok(())
}
fn push_child(out: &mut String, key: &str, times: usize, text: &str) -> Result<()> {
    push_str(out, "\n  (")?;
    push_str(out, key)?;
    push_str(out, "): ")?;
    if times > 1 {
        push_str(out, &format!("{times} x "))?;
    }
    push_indented(out, text)
}

/// `Name(extra)` on one line, or extra lines and children below each other.
pub fn nested(name: &str, extra: &str, children: &[(String, String)]) -> Result<String> {
    let mut out = String::new();
    push_str(&mut out, name)?;
    push_str(&mut out, "(")?;
    if children.is_empty() && !extra.contains('\n') {
        push_str(&mut out, extra)?;
        push_str(&mut out, ")")?;
        return Ok(out);
    }
    if !extra.is_empty() {
        for line in extra.split('\n') {
            push_str(&mut out, "\n  ")?;
            push_str(&mut out, line)?;
        }
    }
    children.iter().try_for_each(|(key, text)| push_child(&mut out, key, 1, text))?;
    push_str(&mut out, "\n)")?;
    Ok(out)
}

/// A list of children whose equal neighbours share one line `(0-2): 3 x Linear(...)`.
pub fn folded(name: &str, children: &[(String, String)]) -> Result<String> {
    let mut out = String::new();
    push_str(&mut out, name)?;
    push_str(&mut out, "(")?;
    let mut start = 0;
    for end in 1..=children.len() {
        let text = &children[start].1;
        if end < children.len() && &children[end].1 == text {
            continue;
        }
        let key = match end - start {
            1 => start.to_string(),
            _ => format!("{start}-{}", end - 1),
        };
        push_child(&mut out, &key, end - start, text)?;
        start = end;
    }
    push_str(&mut out, if children.is_empty() { ")" } else { "\n)" })?;
    Ok(out)
}
