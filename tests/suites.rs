//! The suites of this folder, as modules of the library's own test binary: the crate is compiled once for all tests.
//! `cargo test --lib suites::train` runs one of them.

pub mod common;

mod attention;
mod autograd;
mod cuda;
mod gradcheck;
mod layers;
mod linalg;
mod memory_failures;
mod meta;
mod ops_fixtures;
mod race;
mod rng_fixtures;
mod rng_ops;
mod train;

/// A file that nobody declares above would never be compiled.
#[test]
fn every_file_is_a_suite() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let Ok(files) = std::fs::read_dir(folder) else { return }; // packed for another machine
    for file in files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "rs")) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let declared = include_str!("suites.rs").lines().any(|l| l == format!("mod {name};"));
        assert!(declared || name == "suites", "tests/{name}.rs is not declared in tests/suites.rs");
    }
}
