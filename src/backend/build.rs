//! The stub of libOpenCL.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    opencl_stub();
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
