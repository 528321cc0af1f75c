//! Optimisers, from `spec/optim.txt`.

pub mod c;
mod cpp;
mod go;
pub mod model;
mod parser;
mod python;
mod rust;

use std::path::Path;

/// The specification.
pub fn read(root: &Path) -> Result<model::Optimizers, String> {
    let path = root.join("spec/optim.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    parser::parse(&text)
}

/// The entries.
pub fn load(root: &Path) -> Result<Vec<model::Entry>, String> {
    Ok(read(root)?.entries)
}

/// The core's table.
pub fn rust(root: &Path) -> Result<Option<String>, String> {
    Ok(Some(rust::emit(&load(root)?, &crate::opcodes::load(root)?)))
}

/// Options in C and the constructors' bodies.
pub fn c(root: &Path) -> Result<Option<String>, String> {
    Ok(Some(c::emit(&load(root)?)))
}

/// C++'s classes.
pub fn cpp(root: &Path) -> Result<Option<String>, String> {
    Ok(Some(cpp::emit(&load(root)?)))
}

/// Go's constructors.
pub fn go(root: &Path) -> Result<Option<String>, String> {
    Ok(Some(go::emit(&load(root)?)))
}

/// A file of Python's classes.
pub fn python(root: &Path, file: &str) -> Result<Option<String>, String> {
    python::emit(&read(root)?, file).map(Some)
}

/// The package of Python's classes.
pub fn package(root: &Path) -> Result<Option<String>, String> {
    Ok(Some(python::package(&read(root)?)))
}

/// What a class's constructor takes in Python.
pub fn python_signature(e: &model::Entry) -> String {
    python::plain_signature(e)
}

/// The types of a file of Python's classes.
pub fn stubs(root: &Path, file: &str) -> Result<Option<String>, String> {
    python::stubs(&read(root)?, file).map(Some)
}
