//! Layers and losses, from `spec/layers.txt`.

pub mod c;
mod cpp;
mod examples;
mod expr;
mod go;
mod model;
mod parser;
pub mod plan;
mod python;
mod rust;
mod stubs;

use crate::model::Op;
use crate::objects;
use std::path::Path;

/// Everything that the specification declares.
pub fn load(root: &Path) -> Result<model::Layers, String> {
    let path = root.join("spec/layers.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    parser::parse(&text)
}

/// The core's layers.
pub fn rust(root: &Path, ops: &[Op]) -> Result<Option<String>, String> {
    rust::emit(&load(root)?, ops).map(Some)
}

/// The C functions of the layers.
pub fn shims(root: &Path) -> Result<String, String> {
    Ok(c::emit(&load(root)?))
}

/// What the constructors of C are called and take.
pub fn functions(root: &Path) -> Result<Vec<objects::Function>, String> {
    objects::parse(&c::declared(&load(root)?))
}

/// The classes of C++.
pub fn cpp(root: &Path) -> Result<Option<String>, String> {
    Ok(Some(cpp::emit(&load(root)?)))
}

/// The constructors of Go.
pub fn go(root: &Path) -> Result<Option<String>, String> {
    let path = root.join("bindings/go/layers.go");
    let by_hand = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Some(go::emit(&load(root)?, &by_hand)))
}

/// What tests make of every layer, in a language.
pub fn examples(root: &Path, language: &str) -> Result<Option<String>, String> {
    let layers = load(root)?;
    let by_hand = std::fs::read_to_string(root.join("bindings/go/layers.go")).map_err(|e| e.to_string())?;
    match language {
        "c" => examples::c(&layers),
        "fuzz" => examples::fuzz(&layers),
        "cpp" => examples::cpp(&layers),
        "go" => examples::go(&layers, &by_hand),
        _ => examples::python(&layers),
    }
    .map(Some)
}

/// The entries of one `file` line, with everything else that is declared.
fn with<R>(root: &Path, file: &str, emit: impl Fn(&model::Layers, &model::File) -> R) -> Result<Option<R>, String> {
    let layers = load(root)?;
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
    let layers = load(root)?;
    let class =
        |e: &model::Entry| Class { name: e.name.clone(), doc: e.doc.clone(), signature: stubs::taken_by(&layers, e) };
    let public = |e: &&model::Entry| e.kind != model::Kind::Family;
    let family =
        |f: &model::File| Family { doc: f.doc.clone(), classes: f.entries.iter().filter(public).map(class).collect() };
    Ok(layers.files.iter().map(family).collect())
}
