//! What a literal must look like: image references, aliases, ports, paths, durations and the like.
//!
//! One file for both crates (the runtime's `rules.rs` is a link to this one), so that a literal checked by the compiler
//! and a value known only at run time are judged by the same rules, in the same words. Pure functions of text, without
//! dependencies.

use std::time::Duration;

/// What is wrong with a value, and what to write instead if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

type Checked = Result<(), Problem>;

/// Names that mean the client itself, or its machine: those of every hosts(5), `bowline`, which is a step's own host
/// name, and the names that engines use for themselves.
const RESERVED_ALIASES: [&str; 13] = [
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "bowline",
    "host.docker.internal",
    "gateway.docker.internal",
    "kubernetes.docker.internal",
    "host.containers.internal",
];

/// An alias is a host name: RFC 1123, section 2.1, labels of at most 63 characters, at most 253 in all.
pub(crate) fn alias(alias: &str) -> Checked {
    let lower = alias.to_ascii_lowercase();
    // Programs resolve everything below `localhost` to themselves without asking (RFC 6761, section 6.3).
    if RESERVED_ALIASES.contains(&lower.as_str()) || lower.ends_with(".localhost") {
        return Err(Problem::new(format!("alias `{alias}` is reserved")).help("choose another name"));
    }
    if !alias.is_empty() && lower.split('.').all(is_number) {
        return Err(Problem::new(format!("`{alias}` is an address, not a host name")).help("choose a name"));
    }
    host_name(alias)
}

/// Whether `inet_aton(3)` reads it as part of an address: `1` alone means 0.0.0.1.
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(digits) => digits.chars().all(|c| c.is_ascii_hexdigit()),
        None => label.chars().all(|c| c.is_ascii_digit()),
    }
}

/// The mistake of an alias that equals the container's own host name, and so would reach the container itself.
pub(crate) fn own_name(alias: &str, hostname: &str) -> Checked {
    if alias.eq_ignore_ascii_case(hostname) {
        let message = format!("alias `{alias}` is its own host name, by which it reaches itself");
        return Err(Problem::new(message).help("choose another alias or another `hostname`"));
    }
    Ok(())
}

/// A host name by RFC 1123, section 2.1.
pub(crate) fn host_name(name: &str) -> Checked {
    let invalid = |why: &str| Problem::new(format!("`{name}` is not a valid host name: {why}"));
    if name.is_empty() {
        return Err(Problem::new("an empty host name"));
    }
    if name.len() > 253 {
        return Err(invalid("it has more than 253 characters"));
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-' || *c == '.')) {
        let problem = invalid(&format!("`{bad}` is not allowed"));
        let fixed: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let fixed = fixed.trim_matches('-').to_owned();
        return Err(if !fixed.is_empty() && host_name(&fixed).is_ok() {
            problem.help(format!("`{fixed}`"))
        } else {
            problem
        });
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(invalid("a label is empty"));
        }
        if label.len() > 63 {
            return Err(invalid("a label has more than 63 characters"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(invalid("a label may not start or end with `-`")
                .help(format!("`{}`", name.trim_matches('-'))));
        }
    }
    Ok(())
}

/// A port that a process can listen on.
pub(crate) fn port(port: i128) -> Checked {
    if (1..=65535).contains(&port) {
        Ok(())
    } else {
        Err(Problem::new(format!("port {port} is out of range")).help("ports are 1 to 65535"))
    }
}

/// A port's name becomes a method and a part of an endpoint: an identifier.
pub(crate) fn identifier(name: &str) -> Checked {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        Ok(())
    } else {
        Err(Problem::new(format!("`{name}` is not a valid name")).help("use letters, digits and `_`"))
    }
}

/// An environment variable's name that POSIX and every shell accept.
pub(crate) fn variable(name: &str) -> Checked {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-') {
        Ok(())
    } else {
        Err(Problem::new(format!("invalid variable name `{name}`"))
            .help("letters, digits and `_`, not starting with a digit"))
    }
}

/// The prefix of the labels that `bowline` sets itself.
const OWN_LABELS: &str = "bowline.";

/// A label's key. Docker recommends reverse DNS notation in lower case and forbids only the empty key ("Docker object
/// labels"); keys with this project's own prefix are reserved.
pub(crate) fn label(key: &str) -> Checked {
    if key.is_empty() {
        return Err(Problem::new("an empty label").help("for example `com.example.team`"));
    }
    if key.contains(['=', '\0']) || key.chars().any(char::is_whitespace) {
        return Err(Problem::new(format!("invalid label `{}`", key.escape_debug()))
            .help("no white space and no `=`, for example `com.example.team`"));
    }
    if key.starts_with(OWN_LABELS) {
        return Err(Problem::new(format!("label `{key}` is reserved"))
            .help(format!("choose a name that does not start with `{OWN_LABELS}`")));
    }
    Ok(())
}

/// The architectures that images are made for, by Go's names (OCI image index specification, "platform").
const ARCHITECTURES: [&str; 10] =
    ["amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64", "wasm"];

/// Other common names of architectures.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("x86_64", "amd64"),
    ("x86-64", "amd64"),
    ("aarch64", "arm64"),
    ("i386", "386"),
    ("armv7", "arm/v7"),
    ("armhf", "arm/v7"),
];

/// A platform: `os/architecture`, or `os/architecture/variant` (OCI image index specification). Lower case.
pub(crate) fn platform(platform: &str) -> Result<(), Problem> {
    let invalid = |why: &str| Problem::new(format!("invalid platform `{platform}`: {why}"));
    let parts: Vec<&str> = platform.split('/').collect();
    let well_formed = |part: &&str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    let (os, architecture) = match parts.as_slice() {
        [os, architecture] | [os, architecture, _] if parts.iter().all(well_formed) => (*os, *architecture),
        [only] => {
            let renamed = OTHER_NAMES.iter().find(|(other, _)| other == only).map(|(_, name)| *name);
            let architecture = renamed.or(ARCHITECTURES.iter().copied().find(|name| name == only));
            let problem = invalid("an operating system and an architecture are needed");
            return Err(problem.help(format!("`linux/{}`", architecture.unwrap_or("amd64"))));
        }
        _ => {
            return Err(invalid("write `os/architecture` or `os/architecture/variant`, in lower case")
                .help("for example `linux/arm64` or `linux/arm/v7`"));
        }
    };
    if os != "linux" && os != "windows" {
        return Err(
            invalid(&format!("unknown operating system `{os}`")).help(format!("`linux/{architecture}`"))
        );
    }
    if ARCHITECTURES.contains(&architecture) {
        return Ok(());
    }
    let renamed = OTHER_NAMES.iter().find(|(other, _)| *other == architecture).map(|(_, name)| *name);
    let near = renamed.or_else(|| did_you_mean(architecture, ARCHITECTURES.iter().copied()));
    let problem = invalid(&format!("unknown architecture `{architecture}`"));
    Err(match near {
        Some(near) => problem.help(format!("`{os}/{near}`")),
        None => problem.help(format!("one of {}", ARCHITECTURES.join(", "))),
    })
}

/// A duration such as `"500ms"`, `"10s"`, `"1m30s"` or `"2h"`.
pub(crate) fn duration(text: &str) -> Result<Duration, Problem> {
    let invalid = || {
        Problem::new(format!("invalid duration `{text}`"))
            .help("a number and a unit (`ms`, `s`, `m`, `h`), for example `10s` or `1m30s`")
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let seconds = match unit {
            "ms" => number / 1000.0,
            "s" => number,
            "m" | "min" => number * 60.0,
            "h" => number * 3600.0,
            _ => return Err(invalid()),
        };
        let part = Duration::try_from_secs_f64(seconds).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = next;
    }
    Ok(total)
}

/// What a command may say of its earlier results.
pub(crate) fn freshness(is_fresh: bool, is_uncached: bool) -> Result<(), Problem> {
    if is_fresh && is_uncached {
        return Err(Problem::new("a command cannot be `fresh` and `uncached`")
            .help("remove one: `fresh` takes a result that is young enough, `uncached` takes none"));
    }
    Ok(())
}

/// The signals that end a process or are commonly sent to servers, by POSIX name.
pub(crate) const SIGNALS: [(&str, i32); 12] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGABRT", 6),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGCONT", 18),
    ("SIGWINCH", 28),
];

/// A signal's canonical name, from `"SIGINT"`, `"INT"` or `"2"`.
pub(crate) fn signal(text: &str) -> Result<&'static str, Problem> {
    let upper = text.trim().to_ascii_uppercase();
    let number: Option<i32> = upper.parse().ok();
    SIGNALS
        .iter()
        .find(|(name, value)| {
            *name == upper || name.strip_prefix("SIG") == Some(&upper) || number == Some(*value)
        })
        .map(|(name, _)| *name)
        .ok_or_else(|| {
            let names: Vec<_> = SIGNALS.iter().map(|(name, _)| *name).collect();
            let help =
                did_you_mean(&format!("SIG{}", upper.trim_start_matches("SIG")), names.iter().copied())
                    .map_or_else(
                        || "for example `SIGTERM`, `SIGINT` or `SIGQUIT`".to_owned(),
                        |near| format!("`{near}`"),
                    );
            Problem::new(format!("unknown signal `{text}`")).help(help)
        })
}

/// The kinds of images that are files (containers-transports(5)).
const IMAGE_FILES: [&str; 2] = ["oci", "docker-archive"];

/// The kind and the path of an image that is a file, if the reference names one: `oci:./dir`, `docker-archive:./x.tar`,
/// each followed by `:name` if the file has several images. The path starts with `.` or `/`, as no tag does.
pub(crate) fn image_file(reference: &str) -> Option<(&'static str, &str)> {
    IMAGE_FILES.iter().find_map(|kind| {
        let path = reference.strip_prefix(kind)?.strip_prefix(':')?;
        path.starts_with(['.', '/']).then_some((*kind, path))
    })
}

/// An image reference: `[registry[:port]/]repository[:tag][@digest]`, by the grammar of the OCI distribution
/// specification (v1.1, "Pulling manifests") and of Docker's `reference` package.
pub(crate) fn image(reference: &str) -> Checked {
    let invalid = |why: &str| Problem::new(format!("invalid image reference `{reference}`: {why}"));
    if reference.is_empty() {
        return Err(Problem::new("an empty image reference").help("for example `redis:7`"));
    }
    if let Some((_, rest)) = image_file(reference) {
        let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name)));
        return match name {
            Some("") => Err(invalid("the name after the path is empty")),
            _ if path.contains('\0') => Err(invalid("a path has no NUL")),
            _ => Ok(()),
        };
    }
    if reference.chars().any(char::is_whitespace) {
        return Err(invalid("white space is not allowed"));
    }
    for kind in IMAGE_FILES {
        if let Some(path) = reference.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':'))
            && path.contains('/')
        {
            return Err(invalid("a path starts with `./` or `/`").help(format!("`{kind}:./{path}`")));
        }
    }
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    if let Some(digest) = digest {
        let Some(hex) = digest.strip_prefix("sha256:") else {
            return Err(invalid("the digest must be `sha256:` and 64 hex digits"));
        };
        if hex.len() != 64 || !hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
            let found = hex.chars().filter(char::is_ascii_hexdigit).count();
            return Err(invalid(&format!("the digest needs 64 lower-case hex digits, found {found}")));
        }
    }
    // A `:` after the last `/` starts the tag; one before it is the registry's port.
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    if let Some(tag) = tag {
        if tag.is_empty() {
            return Err(invalid("the tag is empty"));
        }
        let starts = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if !starts || !tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
            return Err(invalid(&format!("`{tag}` is not a valid tag")));
        }
        if tag.len() > 128 {
            return Err(invalid("the tag has more than 128 characters"));
        }
    }
    if repository.is_empty() {
        return Err(invalid("the repository is empty"));
    }
    let mut components: Vec<&str> = repository.split('/').collect();
    let has_registry = components.len() > 1
        && components.first().is_some_and(|first| first.contains(['.', ':']) || *first == "localhost");
    if has_registry {
        components.remove(0);
    }
    for component in components {
        if component.is_empty() {
            return Err(invalid("a part of the repository is empty"));
        }
        if component.chars().any(|c| c.is_ascii_uppercase()) {
            let fixed = reference.replace(repository, &repository.to_ascii_lowercase());
            return Err(invalid("the repository must be lowercase").help(format!("`{fixed}`")));
        }
        let ends_well = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !ends_well(component.chars().next()) || !ends_well(component.chars().last()) {
            return Err(invalid(&format!("`{component}` must start and end with a letter or a digit")));
        }
        if let Some(bad) = component
            .chars()
            .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-')))
        {
            return Err(invalid(&format!("`{bad}` is not allowed in the repository")));
        }
    }
    Ok(())
}

/// The candidate nearest to `word` by edit distance, if it is near enough to be meant: within a third of the length.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = (length / 3).max(1);
    candidates
        // The distance is never less than the difference in length.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours cost one each.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &Vec<usize>, column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&previous, j) + usize::from(ca != cb))
                .min(at(&previous, j + 1) + 1)
                .min(at(&current, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(checked: Checked) -> String {
        checked.map_or_else(|problem| problem.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn image_references() {
        for good in [
            "redis:7",
            "redis",
            "localhost:5000/team/app:1.2_x",
            "ghcr.io/acme/api@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "a/b/c__d.e:v1",
        ] {
            assert_eq!(message(image(good)), "ok", "{good}");
        }
        assert_eq!(message(image("redis:")), "invalid image reference `redis:`: the tag is empty");
        assert_eq!(
            message(image("Redis:7")),
            "invalid image reference `Redis:7`: the repository must be lowercase\n\nhelp: `redis:7`"
        );
        assert_eq!(
            message(image("x@sha256:12")),
            "invalid image reference `x@sha256:12`: the digest needs 64 lower-case hex digits, found 2"
        );
        assert_eq!(message(image("oci:./my images/redis:7")), "ok");
        assert_eq!(message(image("docker-archive:/tmp/x.tar")), "ok");
        assert_eq!(
            message(image("oci:build/redis")),
            "invalid image reference `oci:build/redis`: a path starts with `./` or `/`\n\nhelp: `oci:./build/redis`"
        );
        assert!(image("oci:./x:").is_err());
        assert_eq!(message(image("a b")), "invalid image reference `a b`: white space is not allowed");
        assert!(image("-x").is_err());
        assert!(image(":7").is_err());
        assert!(image("a//b").is_err());
    }

    #[test]
    fn aliases() {
        assert_eq!(message(alias("redis-srv")), "ok");
        assert_eq!(message(alias("db.internal")), "ok");
        assert_eq!(
            message(alias("my_db")),
            "`my_db` is not a valid host name: `_` is not allowed\n\nhelp: `my-db`"
        );
        assert_eq!(message(alias("localhost")), "alias `localhost` is reserved\n\nhelp: choose another name");
        for address in ["10.0.0.1", "1", "007", "0x7f", "0X7F.1", "1.2.3", "127.1", "1.2.3.4.5", "0x"] {
            assert_eq!(
                message(alias(address)),
                format!("`{address}` is an address, not a host name\n\nhelp: choose a name")
            );
        }
        for reserved in
            ["bowline", "Bowline", "LOCALHOST", "db.localhost", "ip6-loopback", "host.containers.internal"]
        {
            assert_eq!(
                message(alias(reserved)),
                format!("alias `{reserved}` is reserved\n\nhelp: choose another name")
            );
        }
        for good in
            ["1a", "db1", "1.db", "0xg", "bowline-db", "my.bowline", "localhost2", "DB", &"a".repeat(63)]
        {
            assert_eq!(message(alias(good)), "ok", "{good}");
        }
        for bad in ["db.", ".db", "a..b", "a b", "a\0", "dä", "db/1", "db:80", "a-.b"] {
            assert!(alias(bad).is_err(), "{bad}");
        }
        assert!(own_name("DB", "db").is_err() && own_name("db", "db2").is_ok());
        assert!(alias("-a").is_err());
        assert!(alias(&"a".repeat(64)).is_err());
        assert!(alias("").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        for bad in ["", "10", "s", "10 parsecs", "-1s", "1e400s", "99999999999999999999999h", "1.2.3s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signals_paths_and_names() {
        assert_eq!(signal("int"), Ok("SIGINT"));
        assert_eq!(signal("15"), Ok("SIGTERM"));
        assert_eq!(signal("SIGTREM").unwrap_err().help.as_deref(), Some("`SIGTERM`"));
        assert!(variable("A=B").is_err());
        assert!(variable("1X").is_err());
        assert!(variable("PATH").is_ok());
        assert!(port(0).is_err() && port(65536).is_err() && port(65535).is_ok());
    }

    #[test]
    fn labels() {
        for good in ["com.example.team", "build", "Bowline.x", "bowline"] {
            assert_eq!(message(label(good)), "ok", "{good}");
        }
        for bad in ["", "a b", "a=b", "a\nb", "a\0b", "bowline.session", "bowline."] {
            assert!(label(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn platforms() {
        for good in
            ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm64/v8", "windows/amd64", "linux/386"]
        {
            assert_eq!(message(platform(good)), "ok", "{good}");
        }
        for (bad, instead) in [
            ("arm64", "`linux/arm64`"),
            ("x86_64", "`linux/amd64`"),
            ("linux/x86_64", "`linux/amd64`"),
            ("linux/armhf", "`linux/arm/v7`"),
            ("linux/amd46", "`linux/amd64`"),
            ("darwin/arm64", "`linux/arm64`"),
            ("linux/", "for example `linux/arm64` or `linux/arm/v7`"),
            ("Linux/arm64", "for example `linux/arm64` or `linux/arm/v7`"),
            ("linux/arm/v7/x", "for example `linux/arm64` or `linux/arm/v7`"),
        ] {
            assert_eq!(platform(bad).unwrap_err().help.as_deref(), Some(instead), "{bad}");
        }
        assert!(platform("").is_err() && platform("linux/pdp11").is_err());
    }

    #[test]
    fn nearest_words() {
        let words = || ["service", "container", "cache"].into_iter();
        assert_eq!(did_you_mean("servce", words()), Some("service"));
        assert_eq!(did_you_mean("sevrice", words()), Some("service"));
        assert_eq!(did_you_mean("volume", words()), None);
    }
}
