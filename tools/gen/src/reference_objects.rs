//! Pages of `docs/reference` about handles and settings: what calls a C function in C++, Go and Python is read from the
//! bindings' sources. And the page of the optimisers.

use crate::reference::constructors;
use crate::{layers, objects, optim, schedules};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// What calls a C function, by its name without `taper_`.
type Callers = BTreeMap<String, Vec<String>>;

/// A page: file, title, what stands below it, the files of `spec/objects.txt`.
const PAGES: &[(&str, &str, &str, &[&str])] = &[
    (
        "files",
        "Files",
        "Tensors by name in files: safetensors, PyTorch's, NumPy's; opened files, checkpoints, and writing a file that appears at \
         once. [FILES.md](../FILES.md) tells of them with examples, [MODULES.md](../MODULES.md) what is in the files of modules \
         and optimisers.",
        &["io", "files"],
    ),
    (
        "readers",
        "Files of data",
        "Data sets, tables and images from files as tensors. Sizes that a file claims are compared with its length before \
         memory is taken. Transforms of images have torchvision's names and numbers; tables of Arrow come and go without copies. \
         In Python: `taper.utils.read`, `taper.utils.transforms`, `taper.utils.arrow`.",
        &["read", "arrow"],
    ),
    (
        "devices",
        "Devices",
        "Devices, their memory, threads, random numbers, graphs and events. How devices behave: [DEVICES.md](../DEVICES.md).",
        &["device", "graph", "event"],
    ),
    (
        "pictures",
        "Pictures, event files, progress",
        "Images, curves and graphs as PNG, SVG and DOT, files that TensorBoard shows, and a line that says how far a loop is. Nothing \
         else needs to be installed. In Python: `taper.utils.show` and `torch.utils.tensorboard`.",
        &["show"],
    ),
    (
        "data",
        "Data sets, samplers, loaders",
        "Batches of samples in PyTorch's order, made ahead on threads: the same ones however many threads there are. A sample that \
         fails is an error that names it; a pass can be ended, or taken up again, at any batch. In Python: `taper.utils.data`, \
         whose loader has worker processes.",
        &["data"],
    ),
    (
        "errors",
        "Errors",
        "In C whatever can fail returns an error or NULL; C++ throws `taper::Error`, Go returns an `error` that `errors.As` finds as \
         `*taper.Error`, Python raises what PyTorch raises.",
        &["error"],
    ),
];

/// The pages' names and titles, for the list of all.
pub fn titles() -> Vec<(String, String)> {
    PAGES.iter().map(|p| (p.0.to_string(), p.1.to_string())).collect()
}

/// The examples that stand on a page, in all languages: `docs/reference/examples/NAME.md`.
pub fn example(root: &Path, name: &str) -> Result<String, String> {
    let path = root.join(format!("docs/reference/examples/{name}.md"));
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(format!("\n## Example\n\n{}", text))
}

/// Paths and texts below the heading.
pub fn pages(root: &Path, prototypes: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, String> {
    let functions = objects::load(root)?;
    let (cpp, go, python) = (of_cpp(&texts(root, "bindings/cpp/taper", ".hpp")?), go(root)?, python(root)?);
    let mut out = Vec::new();
    for (file, title, about, sections) in PAGES {
        let mut s = format!("# {title}\n\nOne of the pages of [the reference](../API.md). {about}\n");
        s += "A language that is not named below a function has no function of its own for it.\n";
        s += &example(root, file)?;
        let mut heading = None;
        for f in functions.iter().filter(|f| sections.contains(&f.module.as_str())) {
            if heading != Some(&f.section) {
                heading = Some(&f.section);
                writeln!(s, "\n## {}", f.section).unwrap();
            }
            let name = f.name.as_str();
            let symbol = format!("taper_{name}");
            let prototype = prototypes.get(&symbol).cloned().unwrap_or(symbol.clone());
            write!(s, "\n### `{symbol}`\n\n{}\n\n- C: `{prototype}`\n", f.doc.join(" ")).unwrap();
            for (language, callers) in [("C++", &cpp), ("Go", &go), ("Python", &python)] {
                let list: Vec<String> = callers.get(name).into_iter().flatten().map(|c| format!("`{c}`")).collect();
                // Handles are freed by the languages themselves.
                if !list.is_empty() && !name.ends_with("_free") {
                    writeln!(s, "- {language}: {}", list.join(", ")).unwrap();
                }
            }
        }
        out.push((format!("docs/reference/{file}.md"), s));
    }
    out.push(("docs/reference/optimisers.md".into(), optimisers(root)?));
    let s = schedules::page(root)?;
    let (head, rest) = s.split_once("\n## ").ok_or("no entry")?;
    out.push(("docs/reference/schedules.md".into(), format!("{head}{}\n## {rest}", example(root, "schedules")?)));
    Ok(out)
}

/// The texts of a folder's files.
fn texts(root: &Path, folder: &str, ending: &str) -> Result<Vec<(String, String)>, String> {
    let fail = |e: std::io::Error| format!("{folder}: {e}");
    let mut out = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(ending) && !name.contains("_gen") && !name.ends_with(&format!("_test{ending}")) {
            out.push((name, std::fs::read_to_string(&path).map_err(fail)?));
        }
    }
    out.sort();
    Ok(out)
}

fn add(to: &mut Callers, function: &str, caller: String) {
    let list = to.entry(function.into()).or_default();
    if !list.contains(&caller) {
        list.push(caller);
    }
}

/// The names after `prefix` that are called in a line.
fn called<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut out = Vec::new();
    for (at, _) in line.match_indices(prefix) {
        let name = line[at + prefix.len()..].split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        let end = &line[at + prefix.len() + name.len()..];
        let begins = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if begins && end.starts_with('(') {
            out.push(name);
        }
    }
    out
}

fn balanced(s: &str) -> bool {
    s.matches('(').count() == s.matches(')').count()
}

/// Functions and members of the C++ headers.
fn of_cpp(files: &[(String, String)]) -> Callers {
    let mut out = Callers::new();
    for (_, text) in files {
        let (mut class, mut function, mut hidden) = (String::new(), String::new(), false);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let indent = line.len() - line.trim_start().len();
            let mut line = line.to_string();
            if indent == 0 && (line.starts_with("class ") || line.starts_with("struct ")) && line.ends_with('{') {
                let name = line.split_whitespace().nth(1).unwrap_or_default();
                class = name.trim_end_matches(['{', ':']).into();
            }
            if line == "};" {
                class.clear();
            }
            if indent == 0 && line.starts_with("namespace ") {
                hidden = line.contains("detail");
            }
            let starts = indent == 0 || indent == 4 && !class.is_empty();
            if starts && line.contains('(') && !line.trim_start().starts_with(['/', '#', '}', '*']) {
                while !balanced(&line) {
                    let Some(next) = lines.next() else { break };
                    line = format!("{line} {}", next.trim());
                }
                let head = line.split(" {").next().unwrap_or_default().trim();
                let head = head.split(" : ").next().unwrap_or_default();
                let head =
                    ["inline ", "explicit ", "[[nodiscard]] "].iter().fold(head.to_string(), |h, w| h.replace(w, ""));
                let name =
                    head.split('(').next().unwrap_or_default().rsplit([' ', '*', '&']).next().unwrap_or_default();
                let scoped = if class.is_empty() || name.contains("::") {
                    head.clone()
                } else {
                    head.replacen(&format!("{name}("), &format!("{class}::{name}("), 1)
                };
                function = if name.is_empty() || hidden || head.ends_with(';') { String::new() } else { scoped };
            }
            let inside = line.find(" {").map_or(line.as_str(), |at| &line[at..]);
            for name in called(inside, "taper_") {
                if !function.is_empty() {
                    add(&mut out, name, function.clone());
                }
            }
        }
    }
    out
}

/// What Go's shims in C call, by the shim's name without `go_`.
fn shims(files: &[(String, String)]) -> Callers {
    let mut out = Callers::new();
    let mut shim = String::new();
    for line in files.iter().flat_map(|f| f.1.lines()) {
        if !line.starts_with([' ', '\t', '/', '#']) {
            if let Some(name) = called(line, "go_").first() {
                shim = name.to_string();
            }
        }
        for name in called(line, "taper_") {
            add(&mut out, &shim, name.into());
        }
    }
    out
}

/// Exported functions and methods of Go.
fn go(root: &Path) -> Result<Callers, String> {
    let mut out = Callers::new();
    let files = texts(root, "bindings/go", ".go")?;
    let mut c = texts(root, "bindings/go", ".c")?;
    c.extend(texts(root, "bindings/go", "shims.h")?);
    let before = |t: &str| t.split("import \"C\"").next().unwrap_or_default().to_string();
    c.extend(files.iter().map(|(n, t)| (n.clone(), before(t))));
    let shims = shims(&c);
    for (_, text) in files {
        let mut function = String::new();
        for line in text.lines() {
            if line.starts_with("func ") {
                let head = line.split(" {").next().unwrap_or_default();
                let name = head.trim_start_matches("func ").trim_start();
                let name = if name.starts_with('(') { name.split(") ").nth(1).unwrap_or_default() } else { name };
                function = if name.starts_with(|c: char| c.is_uppercase()) { head.into() } else { String::new() };
            }
            if function.is_empty() {
                continue;
            }
            for shim in called(line, "C.go_") {
                for name in shims.get(shim).into_iter().flatten() {
                    add(&mut out, name, function.clone());
                }
            }
            for name in called(line, "C.taper_") {
                add(&mut out, name, function.clone());
            }
        }
    }
    Ok(out)
}

/// Python's modules as a program names them.
const MODULES: &[(&str, &str)] = &[
    ("_settings.py", "torch"),
    ("_devices.py", "torch.cuda"),
    ("_random.py", "torch"),
    ("accelerator.py", "torch.accelerator"),
    ("safetensors.py", "torch.safetensors"),
    ("cuda/graphs.py", "torch.cuda"),
];

/// Public functions of Python's modules.
fn python(root: &Path) -> Result<Callers, String> {
    let mut out = Callers::new();
    let path = root.join("bindings/python/taper/_c.py");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let shared: Vec<(String, String)> = text
        .lines()
        .filter(|l| !l.starts_with(' '))
        .filter_map(|l| Some((format!("_c.{}(", l.split_once(" = ")?.0), called_by_proto(l).first()?.clone())))
        .collect();
    for (file, module) in MODULES {
        let path = root.join("bindings/python/taper").join(file);
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let (mut function, mut aliases) = (String::new(), shared.clone());
        let mut class = String::new();
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            if let Some(name) = line.strip_prefix("class ") {
                class = name.split(['(', ':']).next().unwrap_or_default().into();
            } else if indent == 0 && line.starts_with("def ") {
                class.clear();
            }
            if let Some(rest) = line.trim_start().strip_prefix("def ") {
                let head = rest.trim_end_matches(':').replace("(self, ", "(").replace("(self)", "()");
                // `Accelerator` has the functions of torch.cuda.
                let of = if class.is_empty() || class == "Accelerator" { String::new() } else { format!("{class}.") };
                let helper = *file == "_devices.py" && class != "Accelerator";
                function = if head.starts_with('_') || class.starts_with('_') || helper {
                    String::new()
                } else {
                    format!("{module}.{of}{head}")
                };
            }
            let names = called_by_proto(line);
            match line.split_once(" = ") {
                Some((alias, _)) if indent == 0 && names.len() == 1 => {
                    aliases.push((format!("{alias}("), names[0].clone()))
                }
                _ if function.is_empty() => {}
                _ => {
                    let by_alias = aliases.iter().filter(|a| line.contains(&a.0)).map(|a| a.1.clone());
                    for name in names.into_iter().chain(by_alias) {
                        add(&mut out, &name, function.clone());
                    }
                }
            }
        }
    }
    Ok(out)
}

fn called_by_proto(line: &str) -> Vec<String> {
    line.split("proto(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(String::from).collect()
}

/// Every optimiser in the four languages.
fn optimisers(root: &Path) -> Result<String, String> {
    let mut s = String::from(
        "# Optimisers\n\nOne of the pages of [the reference](../API.md). All have PyTorch's names, options, defaults, printed form and \
         state; C, C++\nand Go take the options that have an effect. In C options are a struct that `TAPER_OPTIM_X_OPTIONS_INIT` fills (NULL: \
         the\ndefaults), in C++ a chain, in Go a function that changes them. Steps, groups, options and state by name:\n\
         [OBJECTS.md](../OBJECTS.md#optimizers); files: [MODULES.md](../MODULES.md#optimisers).\n",
    );
    s += &example(root, "optimisers")?;
    let all = optim::read(root)?;
    let read = |file: &str| std::fs::read_to_string(root.join(file)).map_err(|e| format!("{file}: {e}"));
    let cpp = read("bindings/cpp/taper/optim.hpp")? + &optim::cpp(root)?.unwrap_or_default();
    let go = read("bindings/go/optim.go")? + &optim::go(root)?.unwrap_or_default();
    for e in &all.entries {
        let n = optim::c::snake(e);
        writeln!(s, "\n## `{}`\n\n{}\n", e.name, e.doc).unwrap();
        writeln!(s, "- C: `taper_optim_{n}_create(params, options, &optimizer)`, `taper_optim_{n}_options`").unwrap();
        let mut made = constructors(&cpp, &format!("{}(", e.name));
        made.extend(constructors(&cpp, &format!("explicit {}(", e.name)));
        for text in made {
            writeln!(s, "- C++: `taper::optim::{text}`").unwrap();
        }
        for text in constructors(&go, &format!("func New{}(", e.name)) {
            writeln!(s, "- Go: `{text} (*Optimizer, error)`").unwrap();
        }
        writeln!(s, "- Python: `torch.optim.{}({})`", e.name, optim::python_signature(e)).unwrap();
        let mut states: Vec<&str> = e.numbers.iter().chain(&e.states).map(|l| l.name.as_str()).collect();
        states.extend(e.kept.iter().map(String::as_str));
        states.extend((e.count != optim::model::Count::No).then_some("step"));
        states.sort_by_key(|n| n.to_lowercase());
        if !states.is_empty() {
            writeln!(s, "- State: `{}`", states.join("`, `")).unwrap();
        }
    }
    Ok(s)
}

/// The classes of losses, for the page of losses.
pub fn losses(root: &Path) -> Result<String, String> {
    let mut s = example(root, "losses")?;
    s += "\n## Classes\n\n";
    let families = layers::families(root)?;
    for class in families.iter().flat_map(|f| &f.classes).filter(|c| c.name.ends_with("Loss")) {
        let anchor = class.name.to_lowercase();
        writeln!(s, "- [`{}`](layers.md#{anchor}): {}", class.name, class.doc).unwrap();
    }
    Ok(s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_found() {
        let text = "class A {\n    void f(int x,\n           int y) const { detail::check(taper_f(x, y)); }\n};\n\
                    inline int g() {\n    return taper_g();\n}\nnamespace detail {\ninline int h() { return taper_h(); }\n}\n";
        let found = of_cpp(&[("a.hpp".into(), text.into())]);
        assert_eq!(found["f"], ["void A::f(int x, int y) const"]);
        assert_eq!(found["g"], ["int g()"]);
        assert!(!found.contains_key("h"));
        assert_eq!(called_by_proto("_check(_c.proto(\"seed\")(1))"), ["seed"]);
    }
}
