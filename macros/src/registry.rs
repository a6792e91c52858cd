//! Every rule of the language, by name. A test holds this list against the cases in `ui-tests/fail/`: a rule without
//! a case does not pass.

/// Who finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Class {
    /// The macro.
    Macro,
    /// The macro where the value is a literal, and the runtime, by the same function, where it is not.
    Shared,
    /// rustc, led to the user's token by the spans of the expansion.
    Rustc,
}

#[derive(Debug)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) struct Rule {
    /// The name of its case: `ui-tests/fail/<name>.rs`.
    pub(crate) name: &'static str,
    pub(crate) class: Class,
    pub(crate) summary: &'static str,
}

macro_rules! rules {
    ($($section:literal { $($id:ident = $class:ident $name:literal: $summary:literal;)* })*) => {
        $($(pub(crate) static $id: Rule = Rule { name: $name, class: Class::$class, summary: $summary };)*)*
        #[cfg_attr(not(test), allow(dead_code))]
        pub(crate) static RULES: &[&Rule] = &[$($(&$id),*),*];
        /// As the documentation shows them.
        #[cfg(test)]
        pub(crate) static SECTIONS: &[(&str, &[&Rule])] = &[$(($section, &[$(&$id),*])),*];
    };
}

rules! {
    "Grammar" {
        UNKNOWN_ITEM = Macro "unknown-item": "an item starts with `service`, `container`, `cache`, `dir`, `file` or `secret`";
        UNKNOWN_STATEMENT = Macro "unknown-statement": "a statement starts with one of the known words";
        FOREIGN_WORD = Macro "foreign-word": "words of compose files, Dockerfiles and CI configurations have their counterparts";
        MISPLACED_STATEMENT = Macro "misplaced-statement": "a service has no steps, a container no ports";
        MISPLACED_ATTRIBUTE = Macro "misplaced-attribute": "items take doc comments, and nothing else takes attributes";
        MISSING_NAME = Macro "missing-name": "items, ports and exports are named";
        MISSING_BODY = Macro "missing-body": "an item is followed by its body or value";
        MISSING_SEMICOLON = Macro "missing-semicolon": "a statement ends in `;`";
        MISSING_VALUE = Macro "missing-value": "a statement says what it is about";
        MISSING_WORD = Macro "missing-word": "joining words (`at`, `as`, `to`, `=`) stand where they belong";
        UNEXPECTED_TOKEN = Macro "unexpected-token": "a Rust expression before a joining word stands in parentheses";
        FOREIGN_MARK = Macro "foreign-mark": "no `:` stands behind a word, as in YAML, and no `=` where none is meant";
        INVALID_RUST = Macro "invalid-rust": "values are Rust expressions";
        UNBOUNDED_LOOP = Macro "unbounded-loop": "a pipeline is finite: no `while`, no `loop`";
        JUMP = Macro "jump": "no `break` and no `continue` between items or statements";
        SIGNATURE = Macro "signature": "a pipeline's function stands first, takes parameters, and its items follow a `;`";
        SIGNATURE_TYPE = Macro "signature-type": "a pipeline's function names the struct that comes out, alone or in a `Result` or `Option`";
    }
    "Command line" {
        FLAG_OPTION = Macro "flag-option": "`#[flag(…)]` on a parameter says `default`, `short` or `value`";
        CLI_TYPE = Macro "cli-type": "a parameter of a pipeline with a command line has a type that a flag can have";
        CLI_NAME = Macro "cli-name": "a parameter of a pipeline with a command line has a name that no other flag has";
    }
    "Names" {
        PARAMETER_NAME_TAKEN = Macro "parameter-name-taken": "an item does not hide a parameter";
        DUPLICATE_NAME = Macro "duplicate-name": "a name is declared once in a pipeline";
        KEYWORD_NAME = Macro "keyword-name": "a name is no Rust keyword";
        RESERVED_NAME = Macro "reserved-name": "names starting with `__` belong to the macro";
        DASHED_NAME = Macro "dashed-name": "names are Rust's, with `_` and not `-`; aliases may have it";
        HIDDEN_BY_LET = Macro "hidden-by-let": "a variable does not take the name of an item";
        OUT_OF_SCOPE = Macro "out-of-scope": "an item declared in a `for` or `if` is named only inside";
    }
    "Base" {
        NO_IMAGE = Macro "no-image": "a body names its image or the container it comes from";
        TWO_IMAGES = Macro "two-images": "a body has one base";
        FROM_AND_IMAGE = Macro "from-and-image": "`from` and `image` exclude each other";
        BEFORE_IMAGE = Macro "before-image": "the base comes first";
        INVALID_PLATFORM = Shared "invalid-platform": "a platform is an operating system and an architecture";
        MISPLACED_PLATFORM = Macro "misplaced-platform": "a platform is that of the image, and stands before what is done with it";
        INVALID_IMAGE = Shared "invalid-image": "image references are well formed";
    }
    "Ports" {
        PORT_RANGE = Shared "port-range": "ports are 1 to 65535";
        PORT_FORM = Macro "port-form": "a port is a number without quotes, one a statement, and the machine's stands behind `on host`";
        PORT_PROTOCOL = Macro "port-protocol": "the protocol is `tcp` or `udp`";
        PORT_ON_HOST = Macro "port-on-host": "`expose … on` is followed by `host` and a port";
        PORT_EXPOSED_TWICE = Macro "port-exposed-twice": "a port is exposed once per protocol";
        PORT_NAMED_TWICE = Macro "port-named-twice": "port names are unique in a service";
        PORT_NAME_TAKEN = Macro "port-name-taken": "a port's name is no method of a service";
        UNKNOWN_PROBE = Macro "unknown-probe": "`ready` takes `port`, `http`, `exec`, `log` or `image`";
        READY_WITHOUT_PORT = Macro "ready-without-port": "there is a port to probe";
        READY_AMBIGUOUS = Macro "ready-ambiguous": "`ready http` says which of several ports";
        READY_UNKNOWN_PORT = Macro "ready-unknown-port": "`ready http … on` names a port of the service";
        UNEXPOSED_ENDPOINT = Macro "unexposed-endpoint": "a service with named ports is asked for ports that it exposes";
    }
    "Bindings" {
        UNKNOWN_SERVICE = Macro "unknown-service": "a bound service is declared";
        BIND_NOT_A_SERVICE = Macro "bind-not-a-service": "caches, directories and files are mounted, not bound";
        BIND_CONTAINER = Macro "bind-container": "containers are not bound";
        MISSING_ALIAS = Macro "missing-alias": "an expression has no name to take the alias from";
        UNQUOTED_ALIAS = Macro "unquoted-alias": "an alias is text in quotes, or a Rust value";
        ALIAS_BOUND_TWICE = Macro "alias-bound-twice": "an alias is bound once in a body";
        INVALID_ALIAS = Shared "invalid-alias": "aliases are RFC 1123 host names";
        ALIAS_IS_HOSTNAME = Shared "alias-is-hostname": "an alias is not the host name of the body that binds it";
        RESERVED_ALIAS = Shared "reserved-alias": "names that resolve elsewhere are no aliases";
        SELF_BINDING = Macro "self-binding": "a service does not bind itself";
        BINDING_CYCLE = Macro "binding-cycle": "services do not bind each other in a cycle";
        BIND_WITHOUT_PORT = Macro "bind-without-port": "a bound service exposes something";
    }
    "Order" {
        UNKNOWN_CONTAINER = Macro "unknown-container": "`after` and `from` name a declared container";
        NOT_A_CONTAINER = Macro "not-a-container": "`after` and `from` take containers";
        WAITING_CYCLE = Macro "waiting-cycle": "items do not wait for each other in a cycle";
    }
    "Files" {
        RELATIVE_PATH = Shared "relative-path": "paths inside a container are absolute";
        MOUNTED_TWICE = Macro "mounted-twice": "a path is mounted once";
        HIDDEN_PATH = Shared "hidden-path": "nothing is put, or read, where the container's own files are not seen";
        UNKNOWN_MOUNT = Macro "unknown-mount": "what is mounted or copied is declared";
        NOT_MOUNTABLE = Macro "not-mountable": "services and containers are not mounted";
        NOT_COPYABLE = Macro "not-copyable": "directories and files are copied, and nothing else";
        EXPORTED_TWICE = Macro "exported-twice": "export names are unique in a container";
        EXPORT_NAME_TAKEN = Macro "export-name-taken": "an export's name is no method of a container";
        EXPORT_IN_FOR = Macro "export-in-for": "an export is one method, so it does not stand in a `for`";
    }
    "Commands and values" {
        EMPTY_COMMAND = Shared "empty-command": "a command has at least a program";
        COMMAND_AS_STRING = Macro "command-as-string": "commands are lists";
        REPEATED_STATEMENT = Macro "repeated-statement": "`platform`, `run`, `stop`, `linger`, `instance` stand once";
        UNKNOWN_OPTION = Macro "unknown-option": "a command's options are `stdin`, `expect`, `timeout`, `stdout`, `stderr`, `fresh`, `uncached`";
        OPTION_OUTSIDE = Macro "option-outside": "a command's options stand in braces behind it";
        UNKNOWN_EXPECTATION = Macro "unknown-expectation": "a command is expected to end in `success`, `failure` or `any`";
        FRESH_AND_UNCACHED = Shared "fresh-and-uncached": "a command's result is taken for some time, `fresh`, or never, `uncached`";
        REPEATED_OPTION = Macro "repeated-option": "an option stands once";
        WORD_OR_VALUE = Macro "word-or-value": "the key of `env` or `label` is a word, and not that of a variable around it";
        SECRET_BY_VALUE = Macro "secret-by-value": "a variable takes a secret by reference: `&token`";
        INVALID_ARGUMENT = Shared "invalid-argument": "arguments, and what variables are set to, are what a kernel takes: no NUL, less than 128 KiB";
        INVALID_USER = Shared "invalid-user": "a user is `name`, `uid`, `name:group` or `uid:gid`";
        INVALID_WORKDIR = Shared "invalid-workdir": "a working directory is a path";
        INVALID_KEY = Shared "invalid-key": "a cache volume has a key";
        CACHE_SHARING = Macro "cache-sharing": "a cache is `locked`, `private` or shared";
        INVALID_VARIABLE = Shared "invalid-variable": "environment variables have names that shells can hold";
        INVALID_LABEL = Shared "invalid-label": "labels have keys, and those of `bowline.` are taken";
        INVALID_HOSTNAME = Shared "invalid-hostname": "host names are RFC 1123 host names";
        UNKNOWN_CAP = Macro "unknown-cap": "`cap` says `add` or `drop`";
        INVALID_CAPABILITY = Shared "invalid-capability": "capabilities are those that Linux has";
        UNKNOWN_LIMIT = Macro "unknown-limit": "`limit` says what it limits";
        INVALID_SIZE = Shared "invalid-size": "sizes are a number and a unit";
        INVALID_LIMIT = Shared "invalid-limit": "limits are what a kernel takes";
        INVALID_SYSCTL = Shared "invalid-sysctl": "settings of the kernel are those that a container has for itself";
        INVALID_DURATION = Shared "invalid-duration": "durations are a number and a unit";
        INVALID_SIGNAL = Shared "invalid-signal": "signals have POSIX names";
    }
    "The attributes" {
        ENTRY_ITEM = Macro "entry-item": "`#[main]` and `#[test]` stand on functions";
        ENTRY_NOT_ASYNC = Macro "entry-not-async": "`#[main]` and `#[test]` stand on async functions";
        ENTRY_ARGUMENTS = Macro "entry-arguments": "`#[main]` and `#[test]` functions have no parameters and no generics";
        ENTRY_TWICE = Macro "entry-twice": "`#[bowline::test]` brings its own `#[test]`";
        ENTRY_OPTION = Macro "entry-option": "the attributes take `crate = path` only";
    }
}

#[cfg_attr(not(test), allow(dead_code))]
mod rustc {
    use super::{Class, Rule};

    /// Reached by emitting the right tokens at the right spans; the cases pin where rustc points.
    pub(crate) static BY_RUSTC: &[&Rule] = &[
        &Rule { name: "rustc-port-type", class: Class::Rustc, summary: "a port is a `u16`" },
        &Rule {
            name: "rustc-argument-type",
            class: Class::Rustc,
            summary: "an argument is text or a number",
        },
        &Rule {
            name: "rustc-directory-type",
            class: Class::Rustc,
            summary: "a `dir` is a directory, a `file` a file",
        },
        &Rule {
            name: "rustc-exposes",
            class: Class::Rustc,
            summary: "a function that asks for a port gets a service that exposes it",
        },
        &Rule {
            name: "rustc-secret-printed",
            class: Class::Rustc,
            summary: "a secret is not made into text",
        },
        &Rule { name: "rustc-port-method", class: Class::Rustc, summary: "a named port is a method" },
        &Rule { name: "rustc-unknown-name", class: Class::Rustc, summary: "values name what is in scope" },
        &Rule { name: "rustc-import-type", class: Class::Rustc, summary: "an import is a handle" },
        &Rule {
            name: "rustc-field",
            class: Class::Rustc,
            summary: "every item is a field, and nothing else is",
        },
    ];
}
#[cfg(test)]
pub(crate) use rustc::BY_RUSTC;

/// What rustc warns of on its own, with a case in `ui-tests/warn/` too: a handle that nothing in the pipeline uses and
/// nobody reads is a field that is never read.
#[cfg(test)]
pub(crate) static WARNED_BY_RUSTC: &[&Rule] = &[&Rule {
    name: "rustc-never-used",
    class: Class::Rustc,
    summary: "a handle is used, in the pipeline or by the program around it (`dead_code`)",
}];

/// `ui-tests/warn/<name>.rs` is its case; the constant's name is what rustc prints.
macro_rules! warnings {
    ($($id:ident = $name:literal: $summary:literal;)*) => {
        $(pub(crate) static $id: Rule = Rule { name: $name, class: Class::Macro, summary: $summary };)*
        #[cfg(test)]
        pub(crate) static WARNINGS: &[&Rule] = &[$(&$id),*];
    };
}

warnings! {
    UNTAGGED_IMAGE = "untagged-image": "an image reference has a tag or a digest";
    VARIABLE_SET_TWICE = "variable-set-twice": "a variable, a label or a kernel setting is set once in a body";
    LOWERCASE_VARIABLE = "lowercase-variable": "a variable in lower case is set in quotes: a bare word may be meant for one of Rust's";
    NAME_OF_A_VARIABLE = "name-of-a-variable": "the name of a port or an export is not that of a variable around it, nor is a default alias";
    BOUND_TWICE = "bound-twice": "a service is bound once in a body";
    UNBOUND_HOST = "unbound-host": "a URL with the name of a service is used where the service is bound";
    RUNS_NOTHING = "runs-nothing": "`after` names a container that runs something";
    LOCALHOST = "localhost": "`localhost` is no service: a client uses the alias that it binds";
    PORT_NOT_EXPOSED = "port-not-exposed": "a URL with an alias has a port that the service exposes";
}
