//! What people see of a pipeline's command line: every `--help`, what needs no engine, and how the program ends.
//! `INSTA_UPDATE=always` writes the snapshots; read what it wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
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
    // Nothing is kept of earlier calls.
    let home = tempfile::tempdir().unwrap();
    let Output { status, stdout, stderr } = ci(args).env("BOWLINE_HOME", home.path()).output().unwrap();
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
        ["runs", "--help"] ["logs", "--help"] ["report", "--help"] ["terminal", "--help"] ["export", "--help"] ["publish", "--help"] ["lock", "--help"] ["usage", "--help"] ["prune", "--help"]
        ["doctor", "--help"] ["completions", "--help"] ["man", "--help"];
    items_are_listed: ["list"] ["list", "redis*", "--redis", "6", "--redis", "7"] ["list", "lint", "--json"];
    plans_need_no_engine: ["plan", "schema", "--postgres", "14"] ["plan", "schema", "--json"];
    graphs_need_no_engine:
        ["graph"] ["graph", "--dot"] ["graph", "integration", "app", "counts", "--json"]
        ["graph", "app", "counts", "--svg"];
    /// 2 for what cannot be understood, 4 for what is not there, 96 without an engine.
    exit_codes_tell_mistakes_apart:
        ["lst"] ["run", "lnt"] ["terminal", "source"] ["logs", "lint"] ["runs"] ["report", "run.txt"] ["publish", "app", "registry.example/app"] ["list", "[z-a]"]
        ["list", "--postgres", "many"] ["--keep-going", "list"] ["graph", "--dot", "--svg"]
        ["run", "--partition", "slice:4/3"] ["run", "--progress", "loud"] ["completions", "bsh"] ["run", "lint"];
}

#[test]
fn the_readme_shows_the_help_of_the_example() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let help = String::from_utf8(ci(&["--help"]).output().unwrap().stdout).unwrap();
    assert!(readme.contains(&format!("```text\n$ ci --help\n{help}```")), "README.md lacks:\n{help}");
}

/// Every variable that says how pipelines run, with a value that means nothing, and what is said of it.
const NONSENSE: [(&str, &str, &str); 12] = [
    (
        "BOWLINE_PROGRESS",
        "fancy",
        "BOWLINE_PROGRESS=fancy means nothing: it may be `auto`, `tty`, `plain`, `log`, `json`, `quiet`\n",
    ),
    (
        "BOWLINE_ENGINE",
        "podman",
        "BOWLINE_ENGINE=podman means nothing: it may be `docker` or `native`\n\nhelp: ",
    ),
    (
        "BOWLINE_RUNS",
        "some",
        "BOWLINE_RUNS=some means nothing: it may be the number of runs to keep, or `off`\n",
    ),
    (
        "BOWLINE_ERROR_LINES",
        "x",
        "BOWLINE_ERROR_LINES=x means nothing: it may be a number of lines, 0 for none, or `all`\n",
    ),
    (
        "BOWLINE_IMAGES",
        "fixed",
        "BOWLINE_IMAGES=fixed means nothing: it may be `live`, `pinned` or `frozen`\n\nhelp: ",
    ),
    (
        "BOWLINE_CACHE",
        "no",
        "BOWLINE_CACHE=no means nothing: it may be `on`, `off`, `read` or `refresh`\n\nhelp: ",
    ),
    (
        "BOWLINE_KEEP",
        "20",
        "BOWLINE_KEEP=20 means nothing: it may be a size, or `all`\n\nhelp: a number and a unit ",
    ),
    (
        "BOWLINE_CACHE_FROM",
        "dir:a,here",
        "BOWLINE_CACHE_FROM: `here` is no place for results\n\nhelp: it may be `dir:PATH`, or `registry:HOST/NAME` ",
    ),
    ("BOWLINE_CACHE_TO", "dir:", "BOWLINE_CACHE_TO: `dir:` names no directory\n\nhelp: it may be `dir:PATH`"),
    ("BOWLINE_SERVICES", "none", "BOWLINE_SERVICES=none means nothing: it may be `on` or `off`\n"),
    (
        "BOWLINE_REACH",
        "localhost",
        "BOWLINE_REACH: `localhost` is no IPv4 address and no network\n\nhelp: for example `BOWLINE_REACH=",
    ),
    (
        "BOWLINE_REGISTRIES",
        "docker.io",
        "BOWLINE_REGISTRIES: `docker.io` says no URL\n\nhelp: for example `docker.io=https://mirror.example`\n",
    ),
];

/// A directory may be anything, and others are bowline's own: what processes of it tell each other, and tests.
const NO_NONSENSE: [&str; 4] =
    ["BOWLINE_HOME", "BOWLINE_COMMAND", "BOWLINE_WATCHDOG_LOG", "BOWLINE_SKIP_ENGINE_TESTS"];

#[test]
fn a_variable_that_means_nothing_is_a_usage_error_before_anything_runs() {
    for (variable, value, says) in NONSENSE {
        let Output { status, stdout, stderr } = ci(&["run", "lint"]).env(variable, value).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("error: {says}")), "{said}");
        assert!(stdout.is_empty());
    }
    // A terminal that is none.
    let output = ci(&["run", "lint"]).env("BOWLINE_PROGRESS", "tty").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: `tty` needs a terminal, and standard error is none"), "{said}");
    // Flags stand in the place of variables; without an engine it ends here.
    let mut command = ci(&["run", "lint", "--progress", "plain", "--engine", "docker"]);
    let output = command.env("BOWLINE_PROGRESS", "fancy").env("BOWLINE_ENGINE", "podman").output().unwrap();
    assert_eq!(output.status.code(), Some(96), "{output:?}");
    // What needs none of them does not ask for them.
    for args in [["list"], ["plan"], ["doctor"]] {
        let output = ci(&args).envs(NONSENSE.map(|(variable, value, _)| (variable, value))).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    }
}

/// The names of variables in the sources below a directory, as literals; those of unit tests are called so.
fn variables(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            variables(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let literals = text.split("\"BOWLINE_").skip(1).filter_map(|rest| rest.split_once('"'));
            let names = literals.map(|(name, _)| name).filter(|name| {
                !name.is_empty()
                    && !name.starts_with("TEST_")
                    && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
            });
            found.extend(names.map(|name| format!("BOWLINE_{name}")));
        }
    }
}

#[test]
fn every_variable_that_is_read_is_known_here() {
    let mut read = BTreeSet::new();
    variables(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/src")), &mut read);
    let nonsense = NONSENSE.map(|(variable, ..)| variable);
    let known: BTreeSet<String> = nonsense.into_iter().chain(NO_NONSENSE).map(str::to_owned).collect();
    assert_eq!(read, known);
}

#[test]
fn nobody_has_to_read_to_the_end() {
    let calls: [&[&str]; 15] = [
        &["list"],
        &["list", "--json"],
        &["plan"],
        &["plan", "--json"],
        &["graph"],
        &["graph", "--dot"],
        &["graph", "--json"],
        &["graph", "--svg"],
        &["--help"],
        &["run", "--help"],
        &["completions", "zsh"],
        &["man"],
        &["doctor"],
        &["usage"],
        &["prune"],
    ];
    let home = std::env::temp_dir().join(format!("bowline-unread-{}", std::process::id()));
    for args in calls {
        let mut command = ci(args);
        if ["usage", "prune"].contains(&args[0]) {
            // They are about an engine.
            command.env("BOWLINE_ENGINE", "native");
        }
        command.env("BOWLINE_HOME", &home).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = command.spawn().unwrap();
        drop(program.stdout.take());
        let Output { status, stderr, .. } = program.wait_with_output().unwrap();
        assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(0), ""), "{args:?}");
    }
    let _ = std::fs::remove_dir_all(&home);
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
