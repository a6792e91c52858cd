//! What people see of a pipeline's command line: every `--help`, what needs no engine, and how the program ends.
//! `INSTA_UPDATE=always` writes the snapshots; read what it wrote.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// The example `ci`, which cargo builds for `cargo test`, but not for a single test.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/ci");
    if !program.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        let built =
            cargo.args(["build", "--quiet", "--package", "bowline-examples", "--example", "ci"]).status();
        assert!(built.unwrap().success());
    }
    program
});

/// The program, where no engine answers: what needs one fails.
fn ci(args: &[&str]) -> Command {
    let mut command = Command::new(&*PROGRAM);
    command.args(args).env("DOCKER_HOST", "unix:///nowhere/docker.sock").env("BOWLINE_ENGINE", "docker");
    command.env_remove("BOWLINE_PROGRESS").stdin(Stdio::null());
    command
}

/// Everything that a call shows, and how it ends.
fn shown(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = ci(args).output().unwrap();
    let mut shown = format!("$ {}\n", [&["ci"], args].concat().join(" "));
    shown += &String::from_utf8(stdout).unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    if !stderr.is_empty() {
        shown.extend(["--- standard error\n", &stderr]);
    }
    shown + &format!("--- exit code {}\n", status.code().unwrap())
}

macro_rules! pinned {
    ($($(#[$docs:meta])* $name:ident: $([$($arg:literal),*])*;)*) => { $(
        $(#[$docs])*
        #[test]
        fn $name() {
            let shown: Vec<String> = [$(shown(&[$($arg),*])),*].into();
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), shown.join("\n"));
            });
        }
    )* };
}

pinned! {
    every_command_has_help:
        ["--help"] ["run", "--help"] ["list", "--help"] ["plan", "--help"] ["graph", "--help"]
        ["explain", "--help"] ["up", "--help"]
        ["logs", "--help"] ["terminal", "--help"] ["export", "--help"] ["publish", "--help"] ["prune", "--help"]
        ["doctor", "--help"] ["completions", "--help"] ["man", "--help"];
    items_are_listed: ["list"] ["list", "redis*", "--redis", "6", "--redis", "7"] ["list", "lint", "--json"];
    plans_need_no_engine: ["plan", "schema", "--postgres", "14"] ["plan", "schema", "--json"];
    graphs_need_no_engine:
        ["graph"] ["graph", "--dot"] ["graph", "integration", "app", "counts", "--json"]
        ["graph", "app", "counts", "--svg"];
    /// 2 for what cannot be understood, 4 for what is not there, 96 without an engine.
    exit_codes_tell_mistakes_apart:
        ["lst"] ["run", "lnt"] ["logs", "source"] ["publish", "app", "registry.example/app"] ["list", "[z-a]"]
        ["list", "--postgres", "many"] ["--keep-going", "list"] ["graph", "--dot", "--svg"]
        ["run", "--partition", "slice:4/3"] ["run", "--progress", "loud"] ["completions", "bsh"] ["run", "lint"];
}

#[test]
fn the_readme_shows_the_help_of_the_example() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let help = String::from_utf8(ci(&["--help"]).output().unwrap().stdout).unwrap();
    assert!(readme.contains(&format!("```text\n$ ci --help\n{help}```")), "README.md lacks:\n{help}");
}

#[test]
fn nobody_has_to_read_to_the_end() {
    for args in [["list"].as_slice(), &["plan"], &["graph"], &["--help"], &["completions", "zsh"], &["man"]] {
        let mut program = ci(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(program.stdout.take());
        let Output { status, stderr, .. } = program.wait_with_output().unwrap();
        assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn completions_and_the_manual_page_have_every_command_and_flag() {
    let printed = |args: &[&str]| String::from_utf8(ci(args).output().unwrap().stdout).unwrap();
    for shell in ["bash", "fish", "zsh"] {
        let script = printed(&["completions", shell]);
        assert!(["publish", "keep-going", "postgres"].iter().all(|word| script.contains(word)), "{shell}");
    }
    let page = printed(&["man"]).replace("\\-", "-");
    assert!(["publish", "keep-going", "postgres"].iter().all(|word| page.contains(word)), "{page}");
}
