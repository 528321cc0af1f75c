//! Link settings of libtaper.so.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    soname();
    fold();
}

/// The name that programs load; the number is the ABI version of src/capi/types.rs.
fn soname() {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libtaper.so.1");
    }
}

/// Functions of equal code become one, where the linker is the one that rustc brings (lld, for x86-64 Linux since 1.90): the
/// generic code of several dtypes and ops often is. 230 KB.
fn fold() {
    let version = env::var("RUSTC").ok().and_then(|rustc| {
        let out = std::process::Command::new(rustc).arg("--version").output().ok()?;
        let text = String::from_utf8(out.stdout).ok()?;
        text.split('.').nth(1)?.parse::<u32>().ok()
    });
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let own = env::var_os("RUSTC_LINKER").is_none() && !flags.contains("link");
    let target = env::var("TARGET").unwrap_or_default();
    if own && target == "x86_64-unknown-linux-gnu" && version >= Some(90) {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--icf=all");
    }
}
