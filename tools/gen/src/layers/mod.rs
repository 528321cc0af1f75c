//! Layers and losses, from `spec/layers.txt`.

mod expr;
mod model;
mod parser;
mod python;
mod stubs;

use std::path::Path;

/// The entries of one `file` line, with everything else that is declared.
fn with<R>(root: &Path, file: &str, emit: impl Fn(&model::Layers, &model::File) -> R) -> Result<Option<R>, String> {
    let path = root.join("spec/layers.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let layers = parser::parse(&text)?;
    let found = layers.files.iter().find(|f| f.name == file).ok_or(format!("spec/layers.txt has no file {file}"))?;
    Ok(Some(emit(&layers, found)))
}

/// Python's classes of a file.
pub fn python(root: &Path, file: &str) -> Result<Option<String>, String> {
    with(root, file, python::emit)
}

/// The types of Python's classes of a file.
pub fn stubs(root: &Path, file: &str) -> Result<Option<String>, String> {
    with(root, file, stubs::emit)
}
