//! Layers and losses, from `spec/layers.txt`.

mod expr;
mod model;
mod parser;
mod python;

use std::path::Path;

/// Python's classes of one `file` line.
pub fn python(root: &Path, file: &str) -> Result<Option<String>, String> {
    let path = root.join("spec/layers.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let layers = parser::parse(&text)?;
    let found = layers.files.iter().find(|f| f.name == file).ok_or(format!("spec/layers.txt has no file {file}"))?;
    Ok(Some(python::emit(&layers, found)))
}
