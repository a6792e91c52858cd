//! The project that the language server opens: one file that uses the runtime crate. Described to it directly, so that
//! it starts in seconds: it neither builds anything nor reads what the runtime depends on.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

pub(crate) struct Project {
    pub(crate) dir: PathBuf,
    /// With a `rustup` that only says that it was called: rust-analyzer would change the toolchain by itself.
    pub(crate) path: String,
}

impl Project {
    pub(crate) fn create() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = scratch.join("editor");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("bin")).unwrap();
        let std_source =
            output(Command::new(root.join("tests/setup/rust-source")).arg(scratch.join("rust-source")));
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&root));
        let krate = |name: &str, file: PathBuf, dependencies: Value| json!({ "display_name": name, "root_module": file, "edition": "2024", "deps": dependencies, "cfg": [] });
        let mut macros = krate("bowline_macros", root.join("macros/src/lib.rs"), json!([]));
        macros["is_proc_macro"] = json!(true);
        macros["proc_macro_dylib_path"] = json!(macros_library(&root));
        let mut runtime = krate(
            "bowline",
            root.join("runtime/src/lib.rs"),
            json!([{ "crate": 0, "name": "bowline_macros" }]),
        );
        // As rust-analyzer sets it for the packages of cargo.
        runtime["cfg"] = json!(["rust_analyzer"]);
        runtime["is_workspace_member"] = json!(false);
        let user = krate("user", dir.join("main.rs"), json!([{ "crate": 1, "name": "bowline" }]));
        let project = json!({
            "sysroot": sysroot,
            "sysroot_src": std_source,
            "crates": [macros, runtime, user],
        });
        std::fs::write(dir.join("rust-project.json"), project.to_string()).unwrap();
        std::fs::write(dir.join("main.rs"), "fn main() {}\n").unwrap();
        let rustup = dir.join("bin/rustup");
        let called = dir.join("rustup-was-called");
        std::fs::write(&rustup, format!("#!/bin/sh\necho \"$@\" >>'{}'\nexit 1\n", called.display()))
            .unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&rustup, executable).unwrap();
        let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        Self { dir, path }
    }

    /// What rustup was asked, which has to be nothing.
    pub(crate) fn rustup_calls(&self) -> String {
        std::fs::read_to_string(self.dir.join("rustup-was-called")).unwrap_or_default()
    }
}

/// The library of the macros as cargo has built it, or builds it now.
fn macros_library(root: &Path) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--package", "bowline-macros", "--message-format", "json"])
        .current_dir(root);
    let messages = output(&mut cargo);
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found =
        artifacts.filter(|message| message["target"]["name"] == "bowline_macros").find_map(|message| {
            let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
            files.filter(|file| file.ends_with(std::env::consts::DLL_SUFFIX)).map(str::to_owned).next()
        });
    found.expect("cargo built the macros")
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
