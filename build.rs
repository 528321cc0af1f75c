//! Link settings of libtaper.so.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    soname();
}

/// The name that programs load; the number is the ABI version of src/capi/types.rs.
fn soname() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtaper.so.1");
    }
}
