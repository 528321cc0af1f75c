//! `taper-gen [--check] [--only NAME]`: writes every generated file from the op table and the C API's source.
//!
//! The table is `spec/ops.txt`. With `--check` nothing is written: a stale file is named, with the command that
//! mends it, and the exit status is 1.

mod abi;
mod arguments;
mod cpp;
mod gate;
mod go;
#[cfg(test)]
mod guide;
mod header;
mod layers;
mod model;
mod objects;
mod opcodes;
mod ops_page;
mod optim;
mod parser;
mod python;
mod reference;
mod reference_objects;
mod rust_shims;
mod schedules;
mod stubs;
mod test_calls;
mod torch;
mod types;

use model::Op;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes a file's text; None where that language's emitter needs nothing written.
type Emit = fn(&Path, &[Op]) -> Result<Option<String>, String>;

/// Every generated file: short name for `--only`, path from the repository's root, emitter.
const TARGETS: &[(&str, &str, Emit)] = &[
    ("rust", "src/capi/ops_gen.rs", |_, ops| Ok(Some(rust_shims::emit(ops)))),
    ("layers-rust", "src/nn/layers_gen.rs", layers::rust),
    ("layers-c", "src/capi/layers_gen.rs", |root, _| layers::shims(root).map(Some)),
    ("gate", "src/gate/table_gen.rs", |root, ops| gate::table(root, ops).map(Some)),
    ("front", "src/gate/front_gen.rs", |_, ops| Ok(Some(gate::front(ops)))),
    ("optim", "src/optim/table_gen.rs", |root, _| optim::rust(root)),
    ("optim-c", "src/capi/optim_gen.rs", |root, _| optim::c(root)),
    ("optim-cpp", "bindings/cpp/taper/optim_gen.hpp", |root, _| optim::cpp(root)),
    ("optim-go", "bindings/go/optim_gen.go", |root, _| optim::go(root)),
    ("optim-package", "bindings/python/taper/optim/__init__.py", |root, _| optim::package(root)),
    ("optim-sgd", "bindings/python/taper/optim/sgd.py", |root, _| optim::python(root, "sgd")),
    ("optim-stubs-sgd", "bindings/python/taper/optim/sgd.pyi", |root, _| optim::stubs(root, "sgd")),
    ("optim-adam", "bindings/python/taper/optim/adam.py", |root, _| optim::python(root, "adam")),
    ("optim-stubs-adam", "bindings/python/taper/optim/adam.pyi", |root, _| optim::stubs(root, "adam")),
    ("optim-more", "bindings/python/taper/optim/more.py", |root, _| optim::python(root, "more")),
    ("optim-stubs-more", "bindings/python/taper/optim/more.pyi", |root, _| optim::stubs(root, "more")),
    ("optim-by_hand", "bindings/python/taper/optim/by_hand.py", |root, _| optim::python(root, "by_hand")),
    ("optim-stubs-by_hand", "bindings/python/taper/optim/by_hand.pyi", |root, _| optim::stubs(root, "by_hand")),
    ("objects", "src/capi/objects_gen.rs", |root, _| objects::load(root).map(|f| Some(objects::shims::emit(&f)))),
    ("opcodes", "src/backend/opcodes_gen.rs", |root, _| opcodes::load(root).map(|o| Some(o.rust()))),
    ("opcodes-c", "src/backend/kernels/opcodes_gen.rs", |root, _| opcodes::load(root).map(|o| Some(o.c()))),
    ("types", "src/base/types_gen.rs", |root, _| types::load(root).map(|t| Some(t.rust()))),
    ("types-c", "src/capi/types_gen.rs", |root, _| types::load(root).map(|t| Some(t.constants()))),
    ("types-cpp", "bindings/cpp/taper/types_gen.hpp", |root, _| types::load(root).map(|t| Some(t.cpp()))),
    ("types-go", "bindings/go/types_gen.go", |root, _| types::load(root).map(|t| Some(t.go()))),
    ("types-python", "bindings/python/taper/_types_gen.py", |root, _| types::load(root).map(|t| Some(t.python()))),
    ("schedules", "src/optim/schedule/entries_gen.rs", |root, _| schedules::rust(root)),
    ("schedules-rules", "src/optim/schedule/rules_gen.rs", |root, _| schedules::rust_rules(root)),
    ("schedules-c", "src/capi/schedule_gen.rs", |root, _| schedules::capi(root)),
    ("schedules-cpp", "bindings/cpp/taper/schedules_gen.hpp", |root, _| schedules::cpp(root)),
    ("schedules-go", "bindings/go/schedules_gen.go", |root, _| schedules::go(root)),
    ("schedules-python", "bindings/python/taper/optim/_schedules_gen.py", |root, _| schedules::python(root)),
    ("schedules-module", "bindings/python/taper/optim/lr_scheduler.py", |root, _| schedules::python_module(root)),
    ("schedules-stubs", "bindings/python/taper/optim/_schedules_gen.pyi", |root, _| schedules::stubs(root)),
    ("header", "include/taper.h", |root, ops| header::emit(root, ops).map(Some)),
    // The Go module has a copy, so that it can be vendored.
    ("go-header", "bindings/go/taper.h", |root, ops| header::emit(root, ops).map(Some)),
    ("arguments", "src/capi/arguments_gen.rs", |root, ops| header::emit(root, ops).map(|h| Some(arguments::emit(&h)))),
    ("tests", "tests/common/calls.rs", |_, ops| Ok(Some(test_calls::emit(ops)))),
    ("docs-objects", "docs/OBJECTS.md", |root, _| objects::load(root).map(|f| Some(objects::docs::emit(&f)))),
    ("docs-ops", "docs/OPS.md", |root, ops| ops_page::emit(root, ops).map(Some)),
    ("python-prototypes", "bindings/python/taper/_prototypes_gen.py", |root, _| {
        Ok(Some(objects::python::emit(&objects::load(root)?, &layers::functions(root)?)))
    }),
    ("python-table", "bindings/python/taper/_ops_table.py", |_, ops| Ok(python::emit_table(ops))),
    ("python-stubs", "bindings/python/taper/_ops_gen.pyi", |_, ops| Ok(stubs::emit(ops))),
    ("python-nn-stubs", "bindings/python/taper/nn/_functional_gen.pyi", |_, ops| Ok(stubs::emit_nn(ops))),
    ("cpp", "bindings/cpp/taper/ops_gen.hpp", |_, ops| Ok(cpp::emit(ops))),
    ("layers-cpp", "bindings/cpp/taper/layers_gen.hpp", |root, _| layers::cpp(root)),
    ("layers-go", "bindings/go/layers_gen.go", |root, _| layers::go(root)),
    ("examples-python", "tests/fixtures/layers_calls.txt", |root, _| layers::examples(root, "python")),
    ("examples-c", "tests/c/layers_gen.h", |root, _| layers::examples(root, "c")),
    ("fuzz-options", "tests/fuzz/options_gen.h", |root, _| layers::examples(root, "fuzz")),
    ("examples-cpp", "bindings/cpp/tests/layers_gen.inc", |root, _| layers::examples(root, "cpp")),
    ("examples-go", "bindings/go/layers_gen_test.go", |root, _| layers::examples(root, "go")),
    ("layers-init", "bindings/python/taper/nn/modules/__init__.py", |root, _| layers::python_init(root)),
    ("layers-activation", "bindings/python/taper/nn/modules/activation.py", |root, _| {
        layers::python(root, "activation")
    }),
    ("layers-linear", "bindings/python/taper/nn/modules/linear.py", |root, _| layers::python(root, "linear")),
    ("layers-conv", "bindings/python/taper/nn/modules/conv.py", |root, _| layers::python(root, "conv")),
    ("layers-pooling", "bindings/python/taper/nn/modules/pooling.py", |root, _| layers::python(root, "pooling")),
    ("layers-normalization", "bindings/python/taper/nn/modules/normalization.py", |root, _| {
        layers::python(root, "normalization")
    }),
    ("layers-loss", "bindings/python/taper/nn/modules/loss.py", |root, _| layers::python(root, "loss")),
    ("layers-misc", "bindings/python/taper/nn/modules/misc.py", |root, _| layers::python(root, "misc")),
    ("stubs-activation", "bindings/python/taper/nn/modules/activation.pyi", |root, _| {
        layers::stubs(root, "activation")
    }),
    ("stubs-linear", "bindings/python/taper/nn/modules/linear.pyi", |root, _| layers::stubs(root, "linear")),
    ("stubs-conv", "bindings/python/taper/nn/modules/conv.pyi", |root, _| layers::stubs(root, "conv")),
    ("stubs-pooling", "bindings/python/taper/nn/modules/pooling.pyi", |root, _| layers::stubs(root, "pooling")),
    ("stubs-normalization", "bindings/python/taper/nn/modules/normalization.pyi", |root, _| {
        layers::stubs(root, "normalization")
    }),
    ("stubs-loss", "bindings/python/taper/nn/modules/loss.pyi", |root, _| layers::stubs(root, "loss")),
    ("stubs-misc", "bindings/python/taper/nn/modules/misc.pyi", |root, _| layers::stubs(root, "misc")),
    ("torch-layers", "bindings/cpp/taper/torch/layers_gen.hpp", |root, _| torch::layers(root)),
    ("torch-functional", "bindings/cpp/taper/torch/functional_gen.hpp", torch::functional),
    ("torch-optim", "bindings/cpp/taper/torch/optim_gen.hpp", |root, _| torch::optim(root)),
    ("go", "bindings/go/ops_gen.go", |_, ops| Ok(go::emit(ops))),
];

fn main() -> ExitCode {
    match arguments().and_then(|(check, only)| run(check, only.as_deref())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("taper-gen: {message}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<(bool, Option<String>), String> {
    let (mut check, mut only) = (false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(a) = arguments.next() {
        match a.as_str() {
            "--check" => check = true,
            "--only" => only = Some(arguments.next().ok_or("--only needs a name")?),
            other => return Err(format!("unknown argument {other}; usage: taper-gen [--check] [--only NAME]")),
        }
    }
    Ok((check, only))
}

/// Writes (or checks) the files; whether all were current or have been written. The reference has the short name `docs`,
/// the ops as Python functions `python`.
fn run(check: bool, only: Option<&str>) -> Result<bool, String> {
    if let Some(name) = only.filter(|n| !["docs", "python"].contains(n)) {
        if !TARGETS.iter().any(|t| t.0 == name) {
            let names: Vec<_> = TARGETS.iter().map(|t| t.0).collect();
            return Err(format!("no target {name}; there are docs, python, {}", names.join(", ")));
        }
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = root.join("spec/ops.txt");
    let text = std::fs::read_to_string(&table).map_err(|e| format!("{}: {e}", table.display()))?;
    let mut ops = parser::parse(&text)?;
    gate::cases(&root, &mut ops)?;
    let mut current = true;
    for (name, path, emit) in TARGETS {
        if only.is_some_and(|o| o != *name) {
            continue;
        }
        let Some(wanted) = emit(&root, &ops).map_err(|e| format!("{path}: {e}"))? else { continue };
        current &= put(&root, path, &wanted, check)?;
    }
    if only.is_none_or(|o| o == "python") {
        for (path, wanted) in python::files(&ops) {
            current &= put(&root, &path, &wanted, check)?;
        }
    }
    if only.is_none_or(|o| o == "docs") {
        for (path, wanted) in reference::pages(&root, &ops)? {
            current &= put(&root, &path, &wanted, check)?;
        }
    }
    Ok(current)
}

/// Writes a file, or says that it is out of date: false.
fn put(root: &Path, path: &str, wanted: &str, check: bool) -> Result<bool, String> {
    let file = root.join(path);
    if std::fs::read_to_string(&file).is_ok_and(|have| have == wanted) {
        return Ok(true);
    }
    if check {
        eprintln!("{path} is out of date; mend it with: cargo run -p taper-gen");
        return Ok(false);
    }
    std::fs::create_dir_all(file.parent().unwrap()).map_err(|e| format!("{path}: {e}"))?;
    std::fs::write(&file, wanted).map_err(|e| format!("{path}: {e}"))?;
    println!("wrote {path}");
    Ok(true)
}

#[cfg(test)]
mod tests {
    #[test]
    fn generated_files_are_current() {
        assert_eq!(super::run(true, None), Ok(true), "mend with: cargo run -p taper-gen");
    }
}
