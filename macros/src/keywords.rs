//! The words of the language: which statement stands where, and how it is written.

use crate::ast::Kind;

pub(crate) struct Keyword {
    pub(crate) word: &'static str,
    pub(crate) container: bool,
    pub(crate) service: bool,
    /// An example for `help:` lines.
    pub(crate) form: &'static str,
}

const fn both(word: &'static str, form: &'static str) -> Keyword {
    Keyword { word, container: true, service: true, form }
}

const fn container(word: &'static str, form: &'static str) -> Keyword {
    Keyword { word, container: true, service: false, form }
}

const fn service(word: &'static str, form: &'static str) -> Keyword {
    Keyword { word, container: false, service: true, form }
}

pub(crate) const STATEMENTS: &[Keyword] = &[
    both("image", "image \"redis:7\";"),
    both("from", "from other;"),
    both("env", "env KEY = \"value\";"),
    both("platform", "platform \"linux/arm64\";"),
    both("label", "label \"com.example.team\" = \"storage\";"),
    both("workdir", "workdir \"/path\";"),
    both("user", "user \"name\";"),
    both("entrypoint", "entrypoint [\"program\", \"argument\"];"),
    both("hostname", "hostname \"name\";"),
    both("privileged", "privileged;"),
    both("limit", "limit memory \"512MiB\";"),
    both("tmpfs", "tmpfs \"/path\";"),
    both("socket", "socket \"/host.sock\" at \"/path\";"),
    both("file", "file \"/path\" = \"contents\";"),
    both("mount", "mount data at \"/path\";"),
    both("copy", "copy source to \"/path\";"),
    both("bind", "bind db as \"alias\";"),
    container("exec", "exec [\"program\", \"argument\"];"),
    container("shell", "shell \"a | b\";"),
    container("after", "after other;"),
    container("export", "export \"/path\" as name;"),
    service("run", "run [\"program\", \"argument\"];"),
    service("expose", "expose 8080 as http;"),
    service("ready", "ready http \"/healthz\" within \"30s\";"),
    service("stop", "stop \"SIGINT\" within \"10s\";"),
    service("linger", "linger \"30s\";"),
    service("instance", "instance \"name\";"),
];

/// What may stand in braces behind a command.
pub(crate) const OPTIONS: [&str; 6] = ["stdin", "expect", "timeout", "stdout", "stderr", "uncached"];

/// How a command may be expected to end.
pub(crate) const EXPECTATIONS: [&str; 3] = ["success", "failure", "any"];

pub(crate) const PROBES: [&str; 5] = ["port", "http", "exec", "log", "image"];

/// Rust's own control flow, around items and around statements.
pub(crate) const CONTROL: [&str; 8] = ["let", "if", "for", "match", "while", "loop", "break", "continue"];

pub(crate) fn statement(word: &str) -> Option<&'static Keyword> {
    STATEMENTS.iter().find(|keyword| keyword.word == word)
}

impl Keyword {
    pub(crate) fn fits(&self, kind: Kind) -> bool {
        match kind {
            Kind::Service => self.service,
            _ => self.container,
        }
    }
}
