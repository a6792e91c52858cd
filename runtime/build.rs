//! Says in one place where the native engine is built: `cfg(native_engine)`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(native_engine)");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    // Others have no filter of system calls.
    let is_known = ["x86_64", "aarch64"].contains(&target("ARCH").as_str()) && target("ENDIAN") == "little";
    if std::env::var_os("CARGO_FEATURE_NATIVE").is_some() && target("OS") == "linux" && is_known {
        println!("cargo::rustc-cfg=native_engine");
    }
}
