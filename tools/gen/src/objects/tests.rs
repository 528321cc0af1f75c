use super::*;

fn read(path: &str) -> String {
    let root = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every C function is declared once, as an op, a function of an object or a layer: none is typed by hand.
#[test]
fn no_function_is_typed_by_hand() {
    let root = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    for entry in std::fs::read_dir(root.join("src/capi")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "rs") && !path.to_str().unwrap().ends_with("_gen.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let names = source.split("extern \"C\" fn taper_").skip(1).filter_map(|r| r.split('(').next());
            let found: Vec<_> = names.collect();
            assert!(found.is_empty(), "{}: declare {found:?} in spec/objects.txt, not by hand", path.display());
        }
    }
    let ops = crate::parser::parse(&read("spec/ops.txt")).unwrap();
    let objects = load(&root).unwrap();
    let layers = crate::layers::functions(&root).unwrap();
    let mut seen = std::collections::BTreeMap::new();
    let named = |f: &Function| format!("taper_{}", f.name);
    let all = [
        ("ops", ops.iter().map(|o| o.c_symbol()).collect::<Vec<_>>()),
        ("objects", objects.iter().map(named).collect()),
        ("layers", layers.iter().map(named).collect()),
    ];
    for (file, names) in all {
        for name in names {
            let before = seen.insert(name.clone(), file);
            assert!(before.is_none(), "{name} is declared in spec/{file}.txt and in spec/{}.txt", before.unwrap());
        }
    }
    // What the header has is what is declared.
    let header = read("include/taper.h");
    for name in crate::reference::prototypes(&header) {
        assert!(seen.remove(&name).is_some(), "{name} of the header is declared nowhere in spec/");
    }
    assert!(seen.is_empty(), "the header lacks {seen:?}");
}

#[test]
fn entries_become_functions() {
    let text = "# Things [thing]\n\nthing_at(const TensorList l, write int64[] buf, callback hook_vtable vtable) -> (Tensor out, optional int64 nr) [call]\n    Doc. Since 0.2.\nthing_free(Tensor t) free\n    Frees. Since 0.2.\n";
    let functions = parse(text).unwrap();
    let rust = shims::emit_module(&functions, "thing");
    let wanted = "#[no_mangle]\n#[must_use]\npub unsafe extern \"C\" fn taper_thing_at(l: *const taper_tensor_list, buf: *mut i64, \
        buf_len: usize, vtable: *const taper_hook_vtable, user: *mut c_void, out: *mut *mut taper_tensor, nr: *mut i64) -> *mut taper_error {";
    assert!(rust.contains(wanted), "{rust}");
    assert!(rust.contains("let out = c.out(4, \"out\", out);") && rust.contains("c.opt_out(5, \"nr\", nr)"), "{rust}");
    let owned = "    let user = owner(vtable, user);\n    guard(\"thing_at\", move |c| {\n        let vtable = read_struct(c, 2, ";
    assert!(rust.contains(owned), "{rust}");
    assert!(python::emit(&functions, &[]).contains("\"thing_at\": \"pppzpppp\""), "{}", python::emit(&functions, &[]));
}

#[test]
fn what_a_call_takes_over_is_owned_first() {
    let text = "# Things [thing]\n\nthing_take(Module[] modules, owned drop_fn deleter) -> sized thing_info [call]\n    Doc. Since 0.2.\n\
        thing_error(const ErrorHandle e, drop_fn drop) => owned Error\n    Doc. Since 0.2.\n";
    let functions = parse(text).unwrap();
    let rust = shims::emit_module(&functions, "thing");
    let wanted =
        "{\n    let deleter = User::new(user, deleter);\n    guard(\"thing_take\", move |c| {\n        let modules = \
        c.objects(0, \"modules\", modules, modules_len)?;\n        write_struct(c, 3, \"out\", out, \
        super::thing::thing_take(c, &modules, deleter)?)\n    })\n}";
    assert!(rust.contains(wanted), "{rust}");
    let wanted = "#[must_use]\npub extern \"C\" fn taper_thing_error(e: *const taper_error, drop: taper_drop_fn) -> *mut taper_error {\n    \
        super::thing::thing_error(e, drop)\n}";
    assert!(rust.contains(wanted), "{rust}");
    assert!(python::emit(&functions, &[]).contains("\"thing_take\": \"ppzppp\""), "{}", python::emit(&functions, &[]));
}

#[test]
fn mistakes_are_named() {
    for (line, what) in [
        ("f(Thing t) -> ()", "unknown type Thing"),
        ("f(Tensor t)", "expected '-> results'"),
        ("f(Tensor t, int64 x) free", "the handle alone"),
        ("f() -> Nothing", "unknown type Nothing"),
        ("f(owned Tensor t) -> ()", "nothing called Tensor"),
    ] {
        let e = parse(&format!("# A [a]\n{line}\n    X. Since 0.1.\n")).unwrap_err();
        assert!(e.starts_with("spec/objects.txt:2: ") && e.contains(what), "{e}");
    }
    assert!(parse("# A [a]\nf() -> ()\n    X.\n").unwrap_err().contains("since when"));
}
