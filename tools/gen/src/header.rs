//! `include/taper.h`: a preamble, then one section per source file of the C API and per heading of the op table,
//! each printed by cbindgen.

use crate::layers;
use crate::model::Op;
use crate::{objects, optim};
use crate::{rust_shims, types};
use std::fmt::Write;
use std::path::Path;

/// Hand-written sections in the header's order: heading, file under `src/capi`.
const SECTIONS: &[(&str, &str)] = &[
    ("Types and constants", "types.rs"),
    ("Versions", "version.rs"),
    ("Errors", "error.rs"),
    ("Strings", "string.rs"),
    ("Scopes", "scope.rs"),
    ("Tensors", "tensor.rs"),
    ("Indexing", "index.rs"),
    ("DLPack", "dlpack.rs"),
    ("Autograd", "autograd.rs"),
    ("Custom functions", "function.rs"),
    ("Devices, memory, threads, random numbers", "device.rs"),
    ("Graphs, float32 precision", "graph.rs"),
    ("Events, memory shared on a device", "event.rs"),
    ("Automatic casts, profiles, cancelling, counting", "watch.rs"),
];
/// Hand-written sections after the ops.
const LATE_SECTIONS: &[(&str, &str)] = &[
    ("Named tensors and files", "io.rs"),
    ("Opened files and checkpoints", "files.rs"),
    ("Modules", "module.rs"),
    ("Attributes", "attribute.rs"),
    ("Layers", "nn.rs"),
    ("Data sets, samplers, loaders", "data.rs"),
    ("Files of data", "read.rs"),
    ("Arrow's tables", "arrow.rs"),
    ("Pictures, event files, progress", "show.rs"),
    ("Optimizers", "optim.rs"),
    ("Learning-rate schedules", "schedule.rs"),
    ("Kinds of schedules", "schedule_gen.rs"),
    ("Optimizers of the specification", "optim_gen.rs"),
];

const PREAMBLE: &str = include_str!("header_preamble.h");
const HELPERS: &str = include_str!("header_helpers.h");

/// The header's text.
pub fn emit(root: &Path, ops: &[Op]) -> Result<String, String> {
    let functions = &objects::load(root)?;
    let placed: Vec<&str> = SECTIONS.iter().chain(LATE_SECTIONS).map(|(_, file)| *file).collect();
    if let Some(f) = functions.iter().find(|f| !placed.contains(&format!("{}.rs", f.module).as_str())) {
        return Err(format!("{} is in [{}], which has no section in tools/gen/src/header.rs", f.name, f.module));
    }
    if let Some(file) = public_files(root)?.into_iter().find(|f| !placed.contains(&f.as_str())) {
        return Err(format!("src/capi/{file} has types or constants of C but no section in tools/gen/src/header.rs"));
    }
    let mut s = preamble(&std::fs::read_to_string(root.join("Cargo.toml")).map_err(|e| format!("Cargo.toml: {e}"))?)?;
    let read = |file: &str| {
        let path = root.join("src/capi").join(file);
        let source = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let source = if file == "types.rs" { source + &types::load(root)?.constants() } else { source };
        Ok::<_, String>(source + &objects::shims::emit_module(functions, file.trim_end_matches(".rs")))
    };
    for (i, (heading, file)) in SECTIONS.iter().enumerate() {
        section(&mut s, heading, &read(file)?)?;
        if i == 0 {
            s.push_str(HELPERS);
            s.push_str(&optim::c::inits(&optim::load(root)?));
        }
    }
    let shims = rust_shims::emit(ops);
    for part in shims.split("// == ").skip(1) {
        let (heading, body) = part.split_once(" ==\n").ok_or("bad section mark in the shims")?;
        section(&mut s, &format!("Ops: {heading}"), body)?;
    }
    for (heading, file) in LATE_SECTIONS {
        section(&mut s, heading, &read(file)?)?;
        if *file == "nn.rs" {
            section(&mut s, "Layers with options", &layers::shims(root)?)?;
            writeln!(s, "\n{}", layers::c::inits(&layers::load(root)?).trim_end()).unwrap();
        }
    }
    s.push_str(&crate::schedules::macros(root)?);
    s.push_str("\n#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n#endif /* TAPER_H */\n");
    Ok(s)
}

/// The preamble with the version of Cargo.toml, the only place that has one.
fn preamble(manifest: &str) -> Result<String, String> {
    let version = manifest.lines().find_map(|l| l.strip_prefix("version = \"")?.strip_suffix('"'));
    let version = version.ok_or("Cargo.toml has no line with the version")?;
    // 1.2.3-rc.1 comes before 1.2.3, which numbers alone do not say.
    let numbers: Vec<&str> = version.split(['-', '+']).next().unwrap_or_default().split('.').collect();
    let [major, minor, patch] = numbers[..] else { return Err(format!("the version {version} has not three numbers")) };
    let values = [("@VERSION@", version), ("@MAJOR@", major), ("@MINOR@", minor), ("@PATCH@", patch)];
    Ok(values.iter().fold(PREAMBLE.to_string(), |text, (name, value)| text.replace(name, value)))
}

/// The files of `src/capi` that the header would show something of: typed C functions, structs, constants.
fn public_files(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join("src/capi");
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let file = path.file_name().and_then(|f| f.to_str()).unwrap_or_default().to_string();
        if file.ends_with(".rs") && !file.ends_with("_gen.rs") {
            let source = std::fs::read_to_string(&path).map_err(fail)?;
            let shown = ["pub struct taper_", "pub type taper_", "pub const TAPER_", "extern \"C\" fn taper_"];
            if source.lines().any(|l| shown.iter().any(|s| l.contains(s))) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// Every `pub struct` and `pub type`: cbindgen leaves out what no function of the same file uses.
fn public_types(source: &str) -> Vec<String> {
    let name = |l: &str| {
        let rest = l.strip_prefix("pub struct ").or_else(|| l.strip_prefix("pub type "))?;
        Some(rest.split([' ', '{', '=', ';']).next()?.to_string())
    };
    source.lines().filter_map(name).filter(|n| n.starts_with("taper_")).collect()
}

fn section(s: &mut String, heading: &str, source: &str) -> Result<(), String> {
    let text = print(source)?;
    let rule = "=".repeat(100usize.saturating_sub(heading.len()));
    writeln!(s, "\n/* ==== {heading} {rule} */\n\n{}", text.trim()).unwrap();
    Ok(())
}

fn print(source: &str) -> Result<String, String> {
    use cbindgen::*;
    let mut config = Config {
        language: Language::C,
        style: Style::Both,
        no_includes: true,
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::C,
        line_length: 110,
        tab_width: 4,
        ..Config::default()
    };
    config.function.must_use = Some("TAPER_MUST_USE".into());
    config.export.include = public_types(source);
    // cbindgen reads files only.
    let file = std::env::temp_dir().join(format!("taper-gen-{}.rs", std::process::id()));
    std::fs::write(&file, source).map_err(|e| format!("{}: {e}", file.display()))?;
    let made = Builder::new().with_config(config).with_src(&file).generate();
    let _ = std::fs::remove_file(&file);
    let mut out = Vec::new();
    made.map_err(|e| format!("cbindgen: {e}"))?.write(&mut out);
    let text = String::from_utf8(out).map_err(|e| e.to_string())?;
    Ok(mend(&text))
}

/// What cbindgen cannot say: `self` is a keyword in Rust, DLPack's and Arrow's structs are forward-declared only, rustdoc's safety
/// headings repeat the preamble, and comments of one line should take one line.
fn mend(text: &str) -> String {
    let mut s = String::new();
    let mut lines = text.lines().peekable();
    let mut last_was_plain_define = false;
    while let Some(line) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim() == "/*" {
            let mut comment: Vec<&str> = Vec::new();
            for l in lines.by_ref().take_while(|l| l.trim() != "*/") {
                comment.push(l.trim());
            }
            let end = comment.iter().position(|l| *l == "# Safety").unwrap_or(comment.len());
            let end = comment[..end].iter().rposition(|l| !l.is_empty()).map_or(0, |i| i + 1);
            match &comment[..end] {
                [] => {}
                [one] => writeln!(s, "{indent}/* {one} */").unwrap(),
                many => {
                    writeln!(s, "{indent}/*").unwrap();
                    for l in many {
                        writeln!(s, "{}", format!("{indent} * {l}").trim_end()).unwrap();
                    }
                    writeln!(s, "{indent} */").unwrap();
                }
            }
            last_was_plain_define = false;
            continue;
        }
        let plain_define = line.starts_with("#define ");
        if line.is_empty() && last_was_plain_define && lines.peek().is_some_and(|l| l.starts_with("#define ")) {
            continue;
        }
        last_was_plain_define = plain_define;
        let mut line = line.replace("self_,", "self,").replace("self_)", "self)");
        if plain_define {
            // A negative number needs brackets in a macro.
            if let Some((name, value)) = line.rsplit_once(' ').filter(|(_, v)| v.starts_with('-')) {
                line = format!("{name} ({value})");
            }
        }
        for foreign in ["DLManagedTensor", "ArrowSchema", "ArrowArray"] {
            line = line.replace(foreign, &format!("struct {foreign}")).replace("struct struct ", "struct ");
        }
        s.push_str(&line);
        s.push('\n');
    }
    s
}

#[cfg(test)]
mod tests {
    use super::{mend, preamble};

    #[test]
    fn the_version_is_that_of_the_manifest() {
        let text =
            preamble("[workspace.package]\nversion = \"12.3.4-rc.1\"\n[dependencies]\nx = { version = \"9\" }\n")
                .unwrap();
        for line in ["VERSION \"12.3.4-rc.1\"", "VERSION_MAJOR 12", "VERSION_MINOR 3", "VERSION_PATCH 4"] {
            assert!(text.contains(&format!("#define TAPER_{line}\n")), "{line}");
        }
        assert!(preamble("version = \"1.2\"\n").unwrap_err().contains("three numbers"));
        assert!(preamble("").is_err());
    }

    #[test]
    fn comments_and_names_are_mended() {
        let c = "/*\n One.\n */\nvoid f(int self_);\n\n/*\n Two\n lines.\n\n # Safety\n x\n */\n#define A -1\n\n#define B 2\n";
        assert_eq!(
            mend(c),
            "/* One. */\nvoid f(int self);\n\n/*\n * Two\n * lines.\n */\n#define A (-1)\n#define B 2\n"
        );
        assert_eq!(mend("void g(DLManagedTensorVersioned *d);"), "void g(struct DLManagedTensorVersioned *d);\n");
    }
}
