//! The words of the language: what an item is, which statement stands where, and how it is written.

use proc_macro2::Ident;

use Grammar::Own;
use Judge::{Nobody, Number, Text};
use Takes::{Command, Keyed, Nothing};

use crate::registry::{
    INVALID_CAPABILITY, INVALID_DURATION, INVALID_HOSTNAME, INVALID_LABEL, INVALID_LIMIT, INVALID_PLATFORM,
    INVALID_SIZE, INVALID_SYSCTL, INVALID_USER, INVALID_VARIABLE, INVALID_WORKDIR, Rule, UNKNOWN_CAP,
    UNKNOWN_LIMIT,
};
use crate::rules::{self, Problem};
use crate::{arguments, paths, sizes};

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

/// A statement's word. A statement that is one call of the builder is a row of [`STATEMENTS`] and nothing more in this
/// crate: the parser, the checks of its literals and the expansion read it there.
pub(crate) struct Keyword {
    pub(crate) word: &'static str,
    bodies: Bodies,
    /// Whether a body has at most one.
    pub(crate) once: bool,
    /// What has to follow it, for messages.
    wants: &'static str,
    /// An example for `help:` lines.
    pub(crate) form: &'static str,
    pub(crate) grammar: Grammar,
}

/// Where a statement may stand.
#[derive(Clone, Copy)]
enum Bodies {
    Both,
    Containers,
    Services,
}

/// What follows the word.
pub(crate) enum Grammar {
    Call(Call),
    /// One more word, which says what follows it.
    Choice(&'static Choice),
    /// The parser and the expansion have code for it.
    Own,
}

/// One call of the builder.
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) takes: Takes,
}

pub(crate) enum Takes {
    Nothing,
    /// A Rust value.
    Value(Judge),
    /// A program and its arguments.
    Command,
    /// `KEY = VALUE`, the key judged; `what` has it as its name.
    Keyed {
        what: &'static str,
        judge: Judge,
    },
}

/// Who says whether a literal is right.
#[derive(Clone, Copy)]
pub(crate) enum Judge {
    /// rustc by its type, or a check of its own.
    Nobody,
    Text(&'static Rule, fn(&str) -> Result<(), Problem>),
    Number(&'static Rule, fn(i128) -> Result<(), Problem>),
}

/// The words that may stand behind a statement's own, and what is said where none of them does.
pub(crate) struct Choice {
    pub(crate) words: &'static Words,
    pub(crate) options: &'static [Chosen],
    pub(crate) unknown: &'static Rule,
    /// As in "expected … after this".
    pub(crate) missing: &'static str,
    /// As in "cannot … `x`".
    pub(crate) verb: &'static str,
}

pub(crate) struct Chosen {
    pub(crate) word: &'static str,
    wants: &'static str,
    /// An example of the whole statement.
    pub(crate) form: &'static str,
    pub(crate) call: Call,
}

const fn both(word: &'static str, wants: &'static str, form: &'static str, grammar: Grammar) -> Keyword {
    Keyword { word, bodies: Bodies::Both, once: false, wants, form, grammar }
}

const fn container(word: &'static str, wants: &'static str, form: &'static str, grammar: Grammar) -> Keyword {
    Keyword { bodies: Bodies::Containers, ..both(word, wants, form, grammar) }
}

const fn service(word: &'static str, wants: &'static str, form: &'static str, grammar: Grammar) -> Keyword {
    Keyword { bodies: Bodies::Services, ..both(word, wants, form, grammar) }
}

const fn call(method: &'static str, takes: Takes) -> Grammar {
    Grammar::Call(Call { method, takes })
}

const fn value(method: &'static str, judge: Judge) -> Grammar {
    call(method, Takes::Value(judge))
}

macro_rules! statements {
    ($($id:ident = $keyword:expr;)*) => {
        $(pub(crate) static $id: Keyword = $keyword;)*
        pub(crate) static STATEMENTS: &[&Keyword] = &[$(&$id),*];
    };
}

statements! {
    IMAGE = both("image", "an image reference", "image \"redis:7\";", Own);
    FROM = both("from", "a container", "from other;", Own);
    NAME = both("name", "a name", "name \"pg15\";", value("named", Nobody)).once();
    ENV = both("env", "a value", "env KEY = \"value\";",
        call("env", Keyed { what: "a variable", judge: Text(&INVALID_VARIABLE, rules::variable) }));
    PLATFORM = both("platform", "a platform", "platform \"linux/arm64\";",
        value("platform", Text(&INVALID_PLATFORM, |text| rules::platform(text).map(drop)))).once();
    LABEL = both("label", "a value", "label \"com.example.team\" = \"storage\";",
        call("label", Keyed { what: "a label", judge: Text(&INVALID_LABEL, rules::label) }));
    WORKDIR = both("workdir", "a path", "workdir \"/path\";",
        value("workdir", Text(&INVALID_WORKDIR, paths::workdir)));
    USER = both("user", "a user", "user \"name\";", value("user", Text(&INVALID_USER, arguments::user)));
    ENTRYPOINT = both("entrypoint", "a list of arguments", "entrypoint [\"program\", \"argument\"];",
        call("entrypoint", Command));
    HOSTNAME = both("hostname", "a host name", "hostname \"name\";",
        value("with_hostname", Text(&INVALID_HOSTNAME, arguments::own_host_name)));
    PRIVILEGED = both("privileged", "a value", "privileged;", call("privileged", Nothing));
    CAP = both("cap", "a value", "cap add \"NET_ADMIN\";", Grammar::Choice(&CAPS));
    LIMIT = both("limit", "a value", "limit memory \"512MiB\";", Grammar::Choice(&LIMITS));
    SHM = both("shm", "a size", "shm \"256MiB\";",
        value("shm", Text(&INVALID_SIZE, |text| sizes::size(text).and_then(sizes::shm))));
    SYSCTL = both("sysctl", "a value", "sysctl \"net.core.somaxconn\" = 1024;",
        call("sysctl", Keyed { what: "a kernel setting", judge: Text(&INVALID_SYSCTL, arguments::sysctl) }));
    TMPFS = both("tmpfs", "a path", "tmpfs \"/path\";", value("tmpfs", Nobody));
    SOCKET = both("socket", "a path", "socket \"/host.sock\" at \"/path\";", Own);
    FILE = both("file", "a path", "file \"/path\" = \"contents\";", Own);
    MOUNT = both("mount", "a cache, directory, file or secret", "mount data at \"/path\";", Own);
    COPY = both("copy", "a directory or file", "copy source to \"/path\";", Own);
    BIND = both("bind", "a service", "bind db as \"alias\";", Own);
    EXEC = container("exec", "a list of arguments", "exec [\"program\", \"argument\"];", Own);
    SHELL = container("shell", "a command line", "shell \"a | b\";", Own);
    AFTER = container("after", "a container", "after other;", Own);
    EXPORT = container("export", "a path", "export \"/path\" as name;", Own);
    RUN = service("run", "a list of arguments", "run [\"program\", \"argument\"];", call("run", Command)).once();
    EXPOSE = service("expose", "a port", "expose 8080 as http;", Own);
    READY = service("ready", "a value", "ready http \"/healthz\" within \"30s\";", Own);
    STOP = service("stop", "a signal", "stop \"SIGINT\" within \"10s\";", Own).once();
    LINGER = service("linger", "a duration", "linger \"30s\";",
        value("linger", Text(&INVALID_DURATION, |text| rules::duration(text).map(drop)))).once();
    INSTANCE = service("instance", "a value", "instance \"name\";", value("instance", Nobody)).once();
    SHARED = service("shared", "a value", "shared;", call("shared", Nothing));
}

static CAPS: Choice = Choice {
    words: &CAP_WORDS,
    options: &CAP_OPTIONS,
    unknown: &UNKNOWN_CAP,
    missing: "`add` or `drop`",
    verb: "change capabilities by",
};

const JUDGE_CAPABILITY: Judge = Text(&INVALID_CAPABILITY, |text| arguments::capability(text).map(drop));

static CAP_OPTIONS: [Chosen; 2] = [
    chosen("add", "a capability", "cap add \"NET_ADMIN\";", "cap_add", JUDGE_CAPABILITY),
    chosen("drop", "a capability", "cap drop \"CHOWN\";", "cap_drop", JUDGE_CAPABILITY),
];

static LIMITS: Choice = Choice {
    words: &LIMIT_WORDS,
    options: &LIMIT_OPTIONS,
    unknown: &UNKNOWN_LIMIT,
    missing: "what to limit",
    verb: "limit",
};

static LIMIT_OPTIONS: [Chosen; 5] = [
    chosen("cpu", "a number of processors", "limit cpu 2.0;", "limit_cpu", Nobody),
    chosen(
        "memory",
        "a size",
        "limit memory \"512MiB\";",
        "limit_memory",
        Text(&INVALID_SIZE, |text| sizes::size(text).and_then(sizes::memory)),
    ),
    chosen(
        "pids",
        "a number of processes",
        "limit pids 256;",
        "limit_pids",
        Number(&INVALID_LIMIT, sizes::pids),
    ),
    chosen(
        "nofile",
        "a number of files",
        "limit nofile 65536;",
        "limit_nofile",
        Number(&INVALID_LIMIT, sizes::nofile),
    ),
    chosen(
        "core",
        "a size",
        "limit core \"0\";",
        "limit_core",
        Text(&INVALID_SIZE, |text| sizes::size(text).and_then(sizes::core)),
    ),
];

const fn chosen(
    word: &'static str,
    wants: &'static str,
    form: &'static str,
    method: &'static str,
    judge: Judge,
) -> Chosen {
    Chosen { word, wants, form, call: Call { method, takes: Takes::Value(judge) } }
}

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
    /// How those share a cache who use it at once.
    SHARING = "sharing": ["locked", "private"];
    AS_OR_ON_OR_UNPROBED = "port": ["as", "on", "unprobed"];
    ON_OR_UNPROBED = "named_port": ["on", "unprobed"];
    HOST = "on_host": ["host"];
    UNPROBED = "host_port": ["unprobed"];
    PROTOCOL = "protocol": ["tcp", "udp"];
    ON_OR_WITHIN = "http": ["on", "within"];
    TIMES_OR_WITHIN = "log": ["times", "within"];
    WITHIN = "within": ["within"];
    CAP_WORDS = "cap": words_of(&CAP_OPTIONS);
    LIMIT_WORDS = "limit": words_of(&LIMIT_OPTIONS);
    /// What may stand in braces behind a command.
    OPTION = "option": ["stdin", "expect", "timeout", "stdout", "stderr", "fresh", "uncached"];
    /// How a command may be expected to end.
    EXPECTATION = "expectation": ["success", "failure", "any"];
}

/// So that a choice is written once. The compiler runs it, which has no iterators there.
#[allow(clippy::indexing_slicing)]
const fn words_of<const N: usize>(options: &[Chosen; N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = options[at].word;
        at += 1;
    }
    words
}

/// What has to follow a word, for messages.
pub(crate) fn wanted(word: &str) -> &'static str {
    let chosen = || {
        let mut options = STATEMENTS.iter().flat_map(|keyword| match &keyword.grammar {
            Grammar::Choice(choice) => choice.options,
            Grammar::Call(_) | Grammar::Own => &[],
        });
        options.find(|chosen| chosen.word == word).map(|chosen| chosen.wants)
    };
    statement(word).map(|keyword| keyword.wants).or_else(chosen).unwrap_or(match word {
        "http" | "at" | "to" => "a path",
        "as" => "an alias",
        "on" | "host" => "a port",
        "within" | "timeout" | "fresh" => "a duration",
        "log" => "a text",
        "times" => "a number",
        _ => "a value",
    })
}

/// An example of an option of a command.
pub(crate) fn option_form(option: &str) -> &'static str {
    match option {
        "stdin" => "stdin \"text\";",
        "timeout" => "timeout \"30s\";",
        "stdout" => "stdout to \"/path\";",
        "stderr" => "stderr to \"/path\";",
        "fresh" => "fresh \"1h\";",
        "uncached" => "uncached;",
        _ => "expect any;",
    }
}

pub(crate) const PROBES: [&str; 5] = ["port", "http", "exec", "log", "image"];

/// Rust's own control flow, around items and around statements.
pub(crate) const CONTROL: [&str; 8] = ["let", "if", "for", "match", "while", "loop", "break", "continue"];

pub(crate) fn statement(word: &str) -> Option<&'static Keyword> {
    STATEMENTS.iter().copied().find(|keyword| keyword.word == word)
}

impl Keyword {
    const fn once(self) -> Self {
        Self { once: true, ..self }
    }

    pub(crate) fn fits(&self, kind: Kind) -> bool {
        match self.bodies {
            Bodies::Both => true,
            Bodies::Services => kind == Kind::Service,
            Bodies::Containers => kind != Kind::Service,
        }
    }
}

impl Choice {
    pub(crate) fn of(&self, word: &Ident) -> Option<&Chosen> {
        self.options.iter().find(|chosen| word == chosen.word)
    }

    /// The examples of all of them.
    pub(crate) fn forms(&self) -> String {
        let forms: Vec<String> = self.options.iter().map(|chosen| format!("`{}`", chosen.form)).collect();
        match forms.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => forms.concat(),
        }
    }
}
