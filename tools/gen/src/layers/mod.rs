//! Layers and losses, from `spec/layers.txt`.

pub mod expr;
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

/// A class as the reference shows it.
pub struct Class {
    pub name: String,
    pub doc: String,
    /// What Python's constructor takes.
    pub signature: String,
}

pub struct Family {
    pub doc: String,
    pub classes: Vec<Class>,
}

/// All layers and losses, for the reference.
pub fn families(root: &Path) -> Result<Vec<Family>, String> {
    let path = root.join("spec/layers.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let layers = parser::parse(&text)?;
    let class =
        |e: &model::Entry| Class { name: e.name.clone(), doc: e.doc.clone(), signature: stubs::taken_by(&layers, e) };
    let public = |e: &&model::Entry| e.kind != model::Kind::Family;
    let family =
        |f: &model::File| Family { doc: f.doc.clone(), classes: f.entries.iter().filter(public).map(class).collect() };
    Ok(layers.files.iter().map(family).collect())
}
