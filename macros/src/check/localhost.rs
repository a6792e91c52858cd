//! `localhost` where a client means a service that it binds: `"redis://localhost:6379"`, `-h 127.0.0.1`.

use proc_macro2::Span;
use syn::{Expr, ExprLit, Lit, LitStr};

use super::host::{self, Bound};
use super::{Check, Subject};
use crate::ast::{Statement, StatementKind, Value};
use crate::errors::help;
use crate::keywords::{ENV, RUN};
use crate::registry::LOCALHOST;

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Ports that a URL need not name.
const SCHEMES: [(&str, u16); 14] = [
    ("amqp", 5672),
    ("ftp", 21),
    ("http", 80),
    ("https", 443),
    ("ldap", 389),
    ("mongodb", 27017),
    ("mysql", 3306),
    ("nats", 4222),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("redis", 6379),
    ("smtp", 25),
    ("ws", 80),
    ("wss", 443),
];

pub(super) fn check_localhost(cx: &mut Check, subject: Subject) {
    // What listens in the same container is there, whatever else is bound.
    let Some(own) = host::exposed(cx, subject.declaration) else {
        return;
    };
    let services: Vec<Met> = host::aliases(cx, subject)
        .0
        .into_iter()
        .filter_map(|Bound { alias, service }| {
            let service = service?;
            let ports = host::exposed(cx, service)?.into_iter().filter(|port| !own.contains(port)).collect();
            Some(Met { alias, service: service.name.clone(), ports })
        })
        .collect();
    if services.is_empty() {
        return;
    }
    for placed in subject.statements() {
        for Connection { name, port, text, span } in connections(placed.statement) {
            let met = services.iter().find_map(|met| {
                let port = met.ports.iter().find(|exposed| port.is_none_or(|port| port == **exposed))?;
                Some((met, port))
            });
            if let Some((Met { alias, service, .. }, port)) = met {
                let message = format!(
                    "`{name}` is this {} itself; service `{service}`, which exposes {port}, is `{alias}` here",
                    subject.kind().noun()
                );
                let better = text.replace(name, alias);
                let advice =
                    if better.len() < 60 { format!("{better:?}") } else { format!("`{alias}` in its place") };
                cx.errors.warn(&LOCALHOST, span, help(message, advice));
            }
        }
    }
}

/// A service that is bound, and its ports.
struct Met {
    alias: String,
    service: String,
    ports: Vec<u16>,
}

/// A text that says to connect to this machine, and to which port if it says so.
struct Connection {
    name: &'static str,
    port: Option<u16>,
    text: String,
    span: Span,
}

fn connections(statement: &Statement) -> Vec<Connection> {
    match &statement.kind {
        StatementKind::Exec(command, _) => {
            let mut found = in_texts(command);
            found.extend(in_arguments(command));
            found
        }
        StatementKind::Shell(line, _) => in_texts(line),
        _ => {
            let env = statement.keyed_of(&ENV).map(|(_, value)| value);
            env.or_else(|| statement.value_of(&RUN)).map(in_texts).unwrap_or_default()
        }
    }
}

fn in_texts(value: &Value) -> Vec<Connection> {
    let mut texts = Vec::new();
    host::texts_of(value, &mut texts);
    let named = texts.into_iter().flat_map(|(text, span)| {
        let found = if has_background(&text) { Vec::new() } else { addresses(&text) };
        found.into_iter().map(move |(name, port)| Connection {
            name,
            port: Some(port),
            text: text.clone(),
            span,
        })
    });
    named.collect()
}

/// Whether it is a line of a shell that starts something beside it, which may listen there.
fn has_background(text: &str) -> bool {
    let rest = text.replace("&&", "").replace(">&", "").replace("&>", "");
    text.contains(char::is_whitespace) && rest.contains('&')
}

/// This machine in a text, with its ports: `localhost:6379`, `redis://localhost/0`.
fn addresses(text: &str) -> Vec<(&'static str, u16)> {
    let joins = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let mut found = Vec::new();
    for (name, at) in NAMES.iter().flat_map(|name| text.match_indices(name).map(move |(at, _)| (*name, at))) {
        let (before, after) =
            (text.get(..at).unwrap_or_default(), text.get(at + name.len()..).unwrap_or_default());
        if before.ends_with(joins) || after.starts_with(joins) {
            continue;
        }
        let digits = after.strip_prefix(':').map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..end).unwrap_or_default()
        });
        // `user:password@` stands between.
        let scheme = before.rsplit_once("://").filter(|(_, user)| user.is_empty() || user.ends_with('@'));
        let scheme = scheme.and_then(|(before, _)| before.rsplit(|c: char| !c.is_alphanumeric()).next());
        let implied = || SCHEMES.iter().find(|(known, _)| Some(*known) == scheme).map(|(_, port)| *port);
        let port = match digits {
            Some(digits) => digits.parse().ok(),
            None => implied(),
        };
        found.extend(port.map(|port| (name, port)));
    }
    found
}

/// `-h localhost`, with the port of `-p`, if there is one.
fn in_arguments(command: &Value) -> Option<Connection> {
    let arguments: Vec<&LitStr> = command
        .list()?
        .elems
        .iter()
        .filter_map(|element| match element {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
            _ => None,
        })
        .collect();
    let (host, argument) = option(&arguments, &["-h", "--host"])?;
    let name = NAMES.into_iter().chain(["::1"]).find(|name| *name == host)?;
    let port = match option(&arguments, &["-p", "-P", "--port"]) {
        Some((port, _)) => Some(port.parse().ok()?),
        None => None,
    };
    Some(Connection { name, port, text: argument.value(), span: argument.span() })
}

/// The value behind one of the options, and the argument that it is in: `-h x`, `--host=x`.
fn option<'l>(arguments: &[&'l LitStr], names: &[&str]) -> Option<(String, &'l LitStr)> {
    arguments.iter().enumerate().find_map(|(at, argument)| {
        let text = argument.value();
        if names.contains(&text.as_str()) {
            let value = arguments.get(at + 1)?;
            return Some((value.value(), *value));
        }
        let joined = names.iter().find_map(|name| text.strip_prefix(name)?.strip_prefix('='))?;
        Some((joined.to_owned(), *argument))
    })
}

#[cfg(test)]
mod tests {
    use super::{addresses, has_background};

    #[test]
    fn where_a_text_connects_to() {
        assert_eq!(addresses("redis://localhost:6379/0"), [("localhost", 6379)]);
        assert_eq!(addresses("redis://localhost"), [("localhost", 6379)]);
        let both = addresses("postgres://me:word@127.0.0.1/db localhost:80");
        assert_eq!(both, [("localhost", 80), ("127.0.0.1", 5432)]);
        assert_eq!(addresses("curl http://[::1]:8080/x"), [("[::1]", 8080)]);
        let others =
            ["localhost", "mylocalhost:80", "localhost.example:80", "x://localhost/", "127.0.0.11:80"];
        for other in others.into_iter().chain(["localhost:99999", "é://localhost", "localhost:"]) {
            assert_eq!(addresses(other), [], "{other}");
        }
    }

    #[test]
    fn what_runs_in_the_background() {
        assert!(has_background("redis-server & redis-cli -h localhost"));
        assert!(!has_background("a && b > log 2>&1") && !has_background("a || b"));
        assert!(!has_background("http://localhost/?a=1&b=2"), "a URL");
    }
}
