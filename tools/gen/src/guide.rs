//! Whether the worked examples of docs/CONTRIBUTING.md are true.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// A section, and the blocks in it.
fn section(heading: &str) -> (String, Vec<String>) {
    let guide = read("docs/CONTRIBUTING.md");
    let start = guide.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}")) + 1;
    let text = guide[start..].split("\n## ").next().unwrap().to_string();
    let blocks = text.split("```").skip(1).step_by(2).map(|b| b.trim_start().to_string()).collect();
    (text, blocks)
}

/// Rust's sources below a folder.
fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Every file with a word is below one of the paths that the section names.
fn all_named(text: &str, word: &str) {
    let (root, mut files) = (root(), Vec::new());
    sources(&root.join("src"), &mut files);
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if path.contains("_gen") || path.contains("test") || !std::fs::read_to_string(&file).unwrap().contains(word) {
            continue;
        }
        let named = path.match_indices('/').any(|(at, _)| text.contains(&format!("`{}`", &path[..at])))
            || text.contains(&format!("`{path}`"));
        assert!(named, "{path} has {word}, and the guide does not say so");
    }
}

#[test]
fn a_row_is_a_dtype_in_every_language() {
    let (text, blocks) = section("Adding a dtype");
    let t = crate::types::parse(&blocks[0]).unwrap();
    for (language, emitted, wanted) in [
        ("Rust", t.rust(), "U16 = 27,"),
        ("Rust", t.rust(), "type $t = u16;"),
        ("C", t.constants(), "pub const TAPER_UINT16: i32 = 27;"),
        ("C++", t.cpp(), "uint16 = DType::U16;"),
        ("Python", t.python(), "(\"uint16\", 27, 2,"),
        ("Go", t.go(), "C.TAPER_UINT16"),
    ] {
        assert!(emitted.contains(wanted), "{language} has no {wanted}:\n{emitted}");
    }
    all_named(&text, "DType::I16");
}

#[test]
fn a_device_is_told_apart_where_the_guide_says() {
    let (text, blocks) = section("Adding a device");
    let row = blocks[0].lines().nth(1).unwrap();
    assert!(read("spec/types.txt").lines().any(|l| l == row), "{row}");
    all_named(&text, "DeviceType::OpenCl");
}

#[test]
fn a_language_is_made_of_the_files_that_the_guide_names() {
    let (text, _) = section("Adding a language");
    for (name, path, _) in crate::TARGETS.iter().filter(|t| t.1.starts_with("bindings/go/")) {
        assert!(text.contains(&format!("`{path}`")), "the guide lacks {name}, {path}");
    }
}
