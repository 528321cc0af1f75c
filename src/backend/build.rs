//! The stub of libOpenCL, and the list of the kernels' tests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(test)");
    opencl_stub();
    if std::env::var_os("CARGO_FEATURE_TESTS").is_some() {
        list_tests();
    }
}

/// Compiles our own libOpenCL (it opens the real one at run time) and puts it where the linker looks first.
fn opencl_stub() {
    let unix = std::env::var_os("CARGO_CFG_UNIX").is_some();
    let macos = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos");
    if std::env::var_os("CARGO_FEATURE_OPENCL").is_none() || !unix || macos {
        return;
    }
    let source = "opencl/stub.c";
    println!("cargo:rerun-if-changed={source}");
    cc::Build::new()
        .file(source)
        .flag("-fvisibility=hidden")
        .flag("-std=c11")
        .warnings(true)
        .define("_GNU_SOURCE", None)
        .compile("OpenCL");
    // The crate cl-sys asks for a dynamic library. Other linkers take the archive for one; zig's, with which the wheel is
    // linked, only where a script says so.
    if std::env::var("RUSTC_LINKER").is_ok_and(|linker| linker.contains("zig")) {
        let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
        std::fs::write(format!("{out}/libOpenCL.so"), "INPUT(libOpenCL.a)\n").expect("OUT_DIR can be written to");
    }
}

/// Attributes of a test besides the one that marks it, and its path in the crate.
struct Test {
    path: Vec<String>,
    ignore: String,
    cfg: String,
}

/// Tests are compiled into the library itself, once, where they reach what is private; another crate cannot see which there
/// are, so they are found in the sources: a function marked `#[cfg_attr(test, test)]` or `#[cfg_attr(test, test, ignore = "..")]`.
/// `tests.rs` gets `TESTS`, by which they are called, and the macro `kernel_tests`, which writes the `#[test]` of each.
fn list_tests() {
    let mut tests = Vec::new();
    for folder in ["backend", "base", "rng"] {
        println!("cargo:rerun-if-changed=../{folder}");
        find(&Path::new("..").join(folder), &mut vec![folder.to_string()], &mut tests);
    }
    tests.sort_by(|a, b| a.path.cmp(&b.path));
    let mut text = String::from("#[doc(hidden)]\npub const TESTS: &[(&str, fn())] = &[\n");
    for t in &tests {
        let path = t.path.join("::");
        writeln!(text, "    {}(\"{path}\", crate::{path}),", t.cfg).unwrap();
    }
    text += "];\n/// The tests of the kernels, in the modules where they stand.\n#[macro_export]\nmacro_rules! kernel_tests {\n    () => {\n";
    let mut root = Module::default();
    for t in &tests {
        let mut module = &mut root;
        let (name, modules) = t.path.split_last().unwrap();
        for m in modules {
            module = module.modules.entry(m.clone()).or_default();
        }
        let (ignore, cfg, path) = (&t.ignore, &t.cfg, t.path.join("::"));
        let call = format!("{cfg}#[test] {ignore}fn {name}() {{ $crate::run_test(\"{path}\") }}\n");
        module.tests += &call;
    }
    root.write(&mut text);
    text += "    };\n}\n";
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(format!("{out}/tests.rs"), text).expect("OUT_DIR can be written to");
}

#[derive(Default)]
struct Module {
    modules: BTreeMap<String, Module>,
    tests: String,
}
impl Module {
    fn write(&self, text: &mut String) {
        *text += &self.tests;
        for (name, module) in &self.modules {
            writeln!(text, "mod {name} {{").unwrap();
            module.write(text);
            *text += "}\n";
        }
    }
}

fn find(folder: &Path, module: &mut Vec<String>, tests: &mut Vec<Test>) {
    for file in std::fs::read_dir(folder).expect("the sources are there").map(|f| f.unwrap().path()) {
        let stem = file.file_stem().unwrap().to_str().unwrap().to_string();
        let depth = module.len();
        if file.is_dir() {
            module.push(stem);
            find(&file, module, tests);
        } else if file.extension().is_some_and(|e| e == "rs") && stem != "build" && stem != "lib" {
            if stem != "mod" {
                module.push(stem);
            }
            read(&file, module, tests);
        }
        module.truncate(depth);
    }
}

/// Reads a file as rustfmt leaves it: attributes and the first line of a function stand on lines of their own, and what
/// closes a module stands below what opens it.
fn read(file: &Path, module: &[String], tests: &mut Vec<Test>) {
    let text = std::fs::read_to_string(file).expect("a source is text");
    let mut path = module.to_vec();
    let mut opened: Vec<&str> = Vec::new();
    let mut found: Option<Test> = None;
    for line in text.lines() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if code == "#[test]" {
            panic!(
                "{}: write `#[cfg_attr(test, test)] pub(crate) fn`: the kernels' tests are compiled into their library, \
                 which is no test program",
                file.display()
            );
        }
        if let Some(rest) = code.strip_prefix("#[cfg_attr(test, test") {
            let rest = rest.strip_suffix(")]").expect("the attribute of a test ends on its line");
            let ignore = rest.strip_prefix(", ").map_or(String::new(), |r| format!("#[{r}] "));
            found = Some(Test { path: path.clone(), ignore, cfg: String::new() });
        } else if let Some(test) = &mut found {
            if code.starts_with("#[cfg(") && !code.contains("feature") {
                test.cfg += code;
                test.cfg.push(' ');
            } else if let Some(rest) = code.strip_prefix("pub(crate) fn ") {
                test.path.push(rest[..rest.find('(').expect("a function has arguments")].to_string());
                tests.extend(found.take());
            } else {
                assert!(code.starts_with("#["), "{}: a test is a `pub(crate) fn`: {line}", file.display());
            }
        }
        if opened.last().is_some_and(|o| *o == indent && code == "}") {
            opened.pop();
            path.pop();
        }
        let name = code.strip_prefix("pub(crate) ").unwrap_or(code).strip_prefix("mod ");
        if let Some(name) = name.and_then(|n| n.strip_suffix(" {")) {
            opened.push(indent);
            path.push(name.to_string());
        }
    }
}
