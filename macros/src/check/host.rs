//! Literals with an alias in them: `"http://www:8080/"` in a command or a variable.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Expr, Lit, LitStr};

use super::{Check, Subject};
use crate::ast::{Operand, StatementKind, Value};
use crate::errors::help;
use crate::keywords::{ENV, Kind, RUN};
use crate::names::{Declaration, Meaning};
use crate::registry::{PORT_NOT_EXPOSED, UNBOUND_HOST};
use crate::spelling::default_alias;

pub(super) fn check_hosts(cx: &mut Check, subject: Subject) {
    let (bound, is_known) = aliases(cx, subject);
    let is_derived =
        subject.statements().any(|placed| matches!(placed.statement.kind, StatementKind::From(_)));
    for placed in subject.statements() {
        let mut texts = Vec::new();
        match &placed.statement.kind {
            StatementKind::Exec(value, _) | StatementKind::Shell(value, _) => texts_of(value, &mut texts),
            _ => {
                if let Some(value) = placed.statement.value_of(&RUN) {
                    texts_of(value, &mut texts);
                }
                if let Some((_, value)) = placed.statement.keyed_of(&ENV) {
                    literals(value.to_token_stream(), &mut texts);
                }
            }
        }
        for (text, span) in texts {
            for (host, port) in addresses(&text) {
                let service = bound.iter().find(|bound| bound.alias.eq_ignore_ascii_case(host));
                match service {
                    Some(Bound { alias, service: Some(service) }) => {
                        check_port(cx, span, alias, service, port);
                    }
                    // The container named by `from` may have bound the name.
                    None if is_known && !is_derived => check_bound(cx, subject, span, host),
                    Some(_) | None => {}
                }
            }
        }
    }
}

/// A service that is bound by a literal alias; if it is no value of Rust's, with its declaration.
pub(super) struct Bound<'n, 'a> {
    pub(super) alias: String,
    pub(super) service: Option<&'n Declaration<'a>>,
}

/// The services bound in the body by literal alias, and whether these are all.
pub(super) fn aliases<'n, 'a>(cx: &Check<'n, 'a>, subject: Subject<'n, 'a>) -> (Vec<Bound<'n, 'a>>, bool) {
    let (mut found, mut is_known) = (Vec::new(), true);
    for placed in &subject.body.statements {
        let StatementKind::Bind { service, alias } = &placed.statement.kind else {
            continue;
        };
        let name = match service {
            Operand::Name(name) => Some(name),
            Operand::Value(_) => None,
        };
        let alias = match alias {
            Some(alias) => alias.text().map(LitStr::value),
            None => name.map(|name| default_alias(name).value()),
        };
        let service = name.and_then(|name| match cx.names.meaning(&name.unraw().to_string(), placed.scope) {
            Meaning::Item(declaration) => Some(declaration),
            _ => None,
        });
        match alias {
            Some(alias) => found.push(Bound { alias, service }),
            None => is_known = false,
        }
    }
    (found, is_known)
}

fn check_port(cx: &mut Check, span: Span, alias: &str, service: &Declaration, port: Option<u16>) {
    let (Some(port), Some(exposed)) = (port, exposed(cx, service)) else {
        return;
    };
    if exposed.is_empty() || exposed.contains(&port) {
        return;
    }
    let name = &service.name;
    let ports = exposed.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let message = format!("`{alias}` is service `{name}`, which exposes {ports}, not {port}");
    cx.errors.warn(&PORT_NOT_EXPOSED, span, help(message, format!("add `expose {port};` to `{name}`")));
}

/// The ports of a service, if all of them are literals.
pub(super) fn exposed(cx: &Check, service: &Declaration) -> Option<Vec<u16>> {
    let body = cx.names.body_of(service.item)?;
    let ports = body.statements.iter().filter_map(|placed| match &placed.statement.kind {
        StatementKind::Expose(expose) => Some(&expose.port),
        _ => None,
    });
    ports
        .map(|port| match port.value()?.expr()? {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(number) => number.base10_parse().ok(),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

fn check_bound(cx: &mut Check, subject: Subject, span: Span, host: &str) {
    // The only name whose default alias it can be.
    let service = cx.names.declared(&host.replace('-', "_")).filter(|declaration| {
        declaration.item.kind == Kind::Service
            && declaration.index != subject.declaration.index
            && default_alias(declaration.ident).value() == host
    });
    let Some(service) = service else {
        return;
    };
    let message = format!("`{host}` is not bound in {}", subject.title());
    let advice = format!("`bind {} as \"{host}\";`", service.name);
    cx.errors.warn(&UNBOUND_HOST, span, help(message, advice));
}

/// The texts anywhere in the value.
pub(super) fn texts_of(value: &Value, found: &mut Vec<(String, Span)>) {
    match value.expr() {
        Some(Expr::Lit(literal)) => found.extend(text(&literal.lit)),
        Some(Expr::Array(list)) => {
            for element in &list.elems {
                match element {
                    Expr::Lit(literal) => found.extend(text(&literal.lit)),
                    other => literals(other.to_token_stream(), found),
                }
            }
        }
        _ => literals(value.to_token_stream(), found),
    }
}

fn literals(tokens: TokenStream, found: &mut Vec<(String, Span)>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => literals(group.stream(), found),
            TokenTree::Literal(literal) => found.extend(text(&Lit::new(literal))),
            _ => {}
        }
    }
}

fn text(literal: &Lit) -> Option<(String, Span)> {
    match literal {
        Lit::Str(text) => Some((text.value(), text.span())),
        _ => None,
    }
}

/// The hosts of the URLs in a text, with their ports: `scheme://user@host:port/`.
fn addresses(text: &str) -> Vec<(&str, Option<u16>)> {
    text.match_indices("://")
        .filter_map(|(at, mark)| {
            let rest = text.get(at + mark.len()..)?;
            let end = rest.find(|c: char| "/?#\"',;)<>|&".contains(c) || c.is_whitespace());
            let authority = rest.get(..end.unwrap_or(rest.len()))?;
            let host = authority.rsplit('@').next()?;
            Some(match host.split_once(':') {
                Some((host, port)) => (host, port.parse().ok()),
                None => (host, None),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn urls() {
        assert_eq!(addresses("http://www:9090/x"), [("www", Some(9090))]);
        assert_eq!(addresses("a://u:p@db/x b://c:1|d"), [("db", None), ("c", Some(1))]);
        assert_eq!(addresses("http://{host}:{port}/ and ://"), [("{host}", None), ("", None)]);
        assert_eq!(addresses("www:80"), []);
    }
}
