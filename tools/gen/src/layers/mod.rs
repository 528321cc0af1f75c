//! Layers and losses, from `spec/layers.txt`.

pub mod c;
pub mod cpp;
mod examples;
pub mod expr;
pub mod forward;
mod go;
pub mod model;
mod parser;
pub mod plan;
pub mod python;
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
    let path = root.join("bindings/cpp/taper/layers.hpp");
    let by_hand = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Some(cpp::emit(&load(root)?, &by_hand)))
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

/// The names of all of Python's classes.
pub fn python_init(root: &Path) -> Result<Option<String>, String> {
    Ok(Some(python::init(&load(root)?)))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of CONTRIBUTING: one entry, and every language has the layer.
    #[test]
    fn an_entry_is_a_layer_in_every_language() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let guide = std::fs::read_to_string(root.join("docs/CONTRIBUTING.md")).unwrap();
        let entry = guide.split("```\n").find(|t| t.starts_with("layer LeakyReLU(")).unwrap();
        let layers = parser::parse(&format!("file activation \"Activations.\"\n\n{entry}")).unwrap();
        let ops = std::fs::read_to_string(root.join("spec/ops.txt")).unwrap();
        let ops = crate::parser::parse(&ops).unwrap();
        let file = &layers.files[0];
        for (language, text, wanted) in [
            ("Rust", rust::emit(&layers, &ops).unwrap(), "pub static LEAKY_RELU: Class"),
            ("C", c::emit(&layers), "taper_nn_leaky_relu_create("),
            ("C", c::inits(&layers), "TAPER_NN_LEAKY_RELU_OPTIONS_INIT"),
            ("C++", cpp::emit(&layers, ""), "struct LeakyReLU : Layer"),
            ("C++", cpp::emit(&layers, ""), "&negative_slope(double v)"),
            ("Go", go::emit(&layers, ""), "func NewLeakyReLU(set ...func(*LeakyReLUSettings)) (*Module, error)"),
            ("Python", python::emit(&layers, file), "class LeakyReLU(Module):"),
            ("Python", python::init(&layers), "    LeakyReLU,"),
            ("stubs", stubs::emit(&layers, file), "class LeakyReLU(Module):"),
            ("tests in C", examples::c(&layers).unwrap(), "taper_nn_leaky_relu_create(with_options ? &o : NULL, m)"),
        ] {
            assert!(text.contains(wanted), "{language} has no {wanted}:\n{text}");
        }
    }
}
