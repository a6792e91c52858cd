//! What a failed command got wrong about its services: where they are, and which it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::words;
use crate::graph::Binding;
use crate::value;

/// A command that failed, without secrets.
pub(in crate::session) struct Failed<'a> {
    /// The name of the container.
    pub(in crate::session) name: &'a str,
    pub(in crate::session) args: &'a [String],
    pub(in crate::session) env: Vec<(&'a str, &'a str)>,
    pub(in crate::session) stdout: &'a str,
    pub(in crate::session) stderr: &'a str,
    pub(in crate::session) bindings: &'a [Binding],
    /// The aliases that are bound anywhere in the session, each with the name of its service.
    pub(in crate::session) aliases: BTreeMap<String, Arc<str>>,
}

/// How a container calls itself.
const ITSELF: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
/// How many characters behind a host name its port is looked for.
const NEAR: usize = 48;
/// How much of the end of each stream is looked at: what made a command fail is among the last that it writes.
const LOOKED_AT: usize = 16 << 10;

/// What programs and resolvers write if there is no such name, in lower case.
const UNRESOLVED: [&str; 20] = [
    // curl, wget, git
    "could not resolve host",
    "couldn't resolve host",
    "unable to resolve host",
    // busybox
    "bad address",
    // glibc, and all that show its messages: redis-cli, psql, Python, Ruby, PHP
    "name or service not known",
    "temporary failure in name resolution",
    "no address associated with hostname",
    "could not translate host name",
    "failed to lookup address information",
    // musl
    "name does not resolve",
    // Node.js
    "enotfound",
    "eai_again",
    // Go
    "no such host",
    "server misbehaving",
    // Java, MySQL, ping, telnet
    "unknown host",
    "unknownhostexception",
    "unknown mysql server host",
    // nginx, nslookup
    "host not found in upstream",
    "can't resolve",
    "nxdomain",
];

impl Failed<'_> {
    /// What to do, a sentence each.
    pub(in crate::session) fn help(&self) -> Vec<String> {
        self.asks_itself().into_iter().chain(self.asks_for_nobody()).collect()
    }

    fn output(&self) -> impl Iterator<Item = &str> {
        [self.stderr, self.stdout].into_iter().flat_map(|stream| words::tail(stream, LOOKED_AT).lines())
    }

    /// A command that looks for a service at its own address.
    fn asks_itself(&self) -> Option<String> {
        if self.bindings.is_empty() {
            return None;
        }
        let command = self.args.join(" ");
        let env = self.env.iter().map(|(_, value)| *value);
        let found = command.lines().chain(env).chain(self.output()).find_map(|line| self.own_address(line));
        let (host, port, binding) = found.or_else(|| self.own_address_in_variables())?;
        let (service, alias) = (&binding.service.name, alias(binding));
        Some(format!(
            "`{host}` is the container of `{}` itself: service `{service}` is at `{alias}:{port}` there",
            self.name
        ))
    }

    /// A host name of the container's own with the port of a service near behind it.
    fn own_address(&self, line: &str) -> Option<(&'static str, u16, &Binding)> {
        ITSELF.into_iter().find_map(|host| {
            words::find(line, host).find_map(|(_, after)| {
                words::numbers(words::head(after, NEAR))
                    .find_map(|port| Some((host, port, self.exposing(port)?)))
            })
        })
    }

    /// The same in two variables, as in `PGHOST` and `PGPORT`.
    fn own_address_in_variables(&self) -> Option<(&'static str, u16, &Binding)> {
        let values = || self.env.iter().map(|(_, value)| *value);
        let host = ITSELF.into_iter().find(|host| values().any(|value| value == *host))?;
        let port = values().filter_map(|value| value.parse().ok());
        port.into_iter().find_map(|port| Some((host, port, self.exposing(port)?)))
    }

    fn exposing(&self, port: u16) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.service.ports.iter().any(|known| known.number() == port))
    }

    /// A command that asks for a name which is a service's, though not here.
    fn asks_for_nobody(&self) -> Option<String> {
        if !self.output().any(is_unresolved) {
            return None;
        }
        let services = value::names_of_services();
        let is_name =
            |word: &str| (services.contains(word) || self.aliases.contains_key(word)) && !self.resolves(word);
        // Those words that come before a name may be names as well: `server can't find queue`.
        let told = |line| words::all(line).map(|(_, word, _)| word).filter(|word| is_name(word)).last();
        if let Some(name) = self.output().filter(|line| is_unresolved(line)).find_map(told) {
            return Some(self.bind(name));
        }
        // Whoever tells of it may not tell the name, as Python does not.
        let values = || self.env.iter().map(|(_, value)| *value);
        if let Some(name) = values().find(|value| is_name(value)) {
            return Some(self.bind(name));
        }
        let command = self.args.join(" ");
        let mut texts = values().chain(command.lines()).chain(self.output()).flat_map(words::all);
        let (_, name, _) = texts.find(|(before, word, after)| is_name(word) && is_host(before, after))?;
        Some(self.bind(name))
    }

    /// Whether a name is one of this command's.
    fn resolves(&self, name: &str) -> bool {
        self.bindings.iter().any(|binding| {
            *binding.service.hostname == *name || binding.aliases.iter().any(|alias| alias == name)
        })
    }

    /// How to have a service under a name.
    fn bind(&self, name: &str) -> String {
        let own = self.name;
        if let Some(binding) = self.bindings.iter().find(|binding| *binding.service.name == *name) {
            let alias = alias(binding);
            return format!(
                "`{own}` has service `{name}` under another name: use `{alias}`, or add `bind {name};`"
            );
        }
        match self.aliases.get(name) {
            Some(service) if **service != *name => format!(
                "`{name}` is service `{service}` where that is bound under this name, but not in `{own}`: add `bind \
                 {service} as \"{name}\";`"
            ),
            _ => format!("`{name}` is a service that `{own}` is not bound to: add `bind {name};`"),
        }
    }
}

/// The name by which a command reaches a service.
fn alias(binding: &Binding) -> &str {
    binding.aliases.first().map_or(&*binding.service.hostname, String::as_str)
}

fn is_unresolved(line: &str) -> bool {
    let line = line.to_lowercase();
    UNRESOLVED.iter().any(|phrase| line.contains(phrase))
}

/// Whether a name stands where that of a host does.
fn is_host(before: &str, after: &str) -> bool {
    let has_port =
        after.strip_prefix(':').is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()));
    let is_in_url = before.ends_with("://") || before.ends_with('@');
    let is_option = ["-h ", "--host ", "--host=", "host="].iter().any(|option| before.ends_with(option));
    let is_quoted = before.ends_with(['\'', '"']) && after.starts_with(['\'', '"']);
    has_port || is_in_url || is_option || is_quoted
}

#[cfg(test)]
mod tests;
