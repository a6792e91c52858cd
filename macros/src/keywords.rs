//! The words of the language: what an item is, which statement stands where, and how it is written.

/// What an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Service,
    Container,
    Cache,
    Dir,
    File,
    Secret,
}

impl Kind {
    pub(crate) const ALL: [(&'static str, Kind); 6] = [
        ("service", Kind::Service),
        ("container", Kind::Container),
        ("cache", Kind::Cache),
        ("dir", Kind::Dir),
        ("file", Kind::File),
        ("secret", Kind::Secret),
    ];

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
    }

    /// As it is called in messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Container => "container",
            Self::Cache => "cache",
            Self::Dir => "directory",
            Self::File => "file",
            Self::Secret => "secret",
        }
    }

    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            other => other.noun(),
        }
    }

    pub(crate) fn has_body(self) -> bool {
        matches!(self, Self::Service | Self::Container)
    }
}

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

/// Words of which one may stand at some place inside of a statement.
pub(crate) struct Words {
    /// Where editors complete them from: `runtime/src/language/next.rs`.
    pub(crate) module: &'static str,
    pub(crate) words: &'static [&'static str],
}

macro_rules! inside {
    ($($(#[$docs:meta])* $id:ident = $module:literal: $words:expr;)*) => {
        $($(#[$docs])* pub(crate) static $id: Words = Words { module: $module, words: &$words };)*
        #[cfg(test)]
        pub(crate) static INSIDE: &[&Words] = &[$(&$id),*];
    };
}

inside! {
    AS = "alias": ["as"];
    AT = "at": ["at"];
    TO = "to": ["to"];
    READONLY = "readonly": ["readonly"];
    AS_OR_UNPROBED = "port": ["as", "unprobed"];
    UNPROBED = "named_port": ["unprobed"];
    PROTOCOL = "protocol": ["tcp", "udp"];
    ON_OR_WITHIN = "http": ["on", "within"];
    TIMES_OR_WITHIN = "log": ["times", "within"];
    WITHIN = "within": ["within"];
    LIMIT = "limit": ["cpu", "memory", "pids", "nofile"];
    /// What may stand in braces behind a command.
    OPTION = "option": ["stdin", "expect", "timeout", "stdout", "stderr", "uncached"];
    /// How a command may be expected to end.
    EXPECTATION = "expectation": ["success", "failure", "any"];
}

/// What has to follow a word, for messages.
pub(crate) fn wanted(word: &str) -> &'static str {
    match word {
        "image" => "an image reference",
        "from" | "after" => "a container",
        "platform" => "a platform",
        "user" => "a user",
        "hostname" => "a host name",
        "workdir" | "tmpfs" | "socket" | "file" | "export" | "http" | "at" | "to" => "a path",
        "mount" => "a cache, directory, file or secret",
        "copy" => "a directory or file",
        "bind" => "a service",
        "as" => "an alias",
        "exec" | "run" | "entrypoint" => "a list of arguments",
        "shell" => "a command line",
        "expose" | "on" => "a port",
        "stop" => "a signal",
        "linger" | "within" | "timeout" => "a duration",
        "log" => "a text",
        "times" => "a number",
        "cpu" => "a number of processors",
        "memory" => "a size",
        "pids" => "a number of processes",
        "nofile" => "a number of files",
        _ => "a value",
    }
}

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
