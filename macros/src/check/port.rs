//! Ports, their names, and the probe of one port.

use proc_macro2::Span;
use syn::LitInt;
use syn::ext::IdentExt;

use super::{Check, Subject, earlier};
use crate::ast::{Expose, Operand, Probe, StatementKind};
use crate::errors::help;
use crate::names::Placed;
use crate::registry::{
    PORT_EXPOSED_TWICE, PORT_NAME_TAKEN, PORT_NAMED_TWICE, PORT_RANGE, READY_AMBIGUOUS, READY_UNKNOWN_PORT,
    READY_WITHOUT_PORT, UNEXPOSED_ENDPOINT,
};
use crate::rules::{self, did_you_mean};

/// Methods of a service that a port's method must not hide.
pub(crate) const SERVICE_METHODS: &[&str] = &[
    "address",
    "clone",
    "digest",
    "endpoint",
    "endpoint_of",
    "endpoint_on",
    "exec",
    "exposing",
    "hostname",
    "kill",
    "logs",
    "name",
    "plan",
    "ports",
    "prepared",
    "start",
    "stop",
    "terminal",
    "tunnel",
    "up",
];

fn exposed<'n>(subject: Subject<'n, '_>) -> impl Iterator<Item = (&'n Placed<'n>, &'n Expose)> {
    subject.statements().filter_map(|placed| match &placed.statement.kind {
        StatementKind::Expose(expose) => Some((placed, &**expose)),
        _ => None,
    })
}

/// A number too long to parse is out of range too.
fn number(literal: &LitInt) -> i128 {
    literal.base10_parse().unwrap_or(i128::MAX)
}

pub(super) fn check_ports(cx: &mut Check, subject: Subject) {
    let mut seen = Vec::new();
    for (placed, expose) in exposed(subject) {
        if let Some(literal) = expose.host.as_ref().and_then(Operand::number) {
            check_range(cx, placed, literal);
        }
        let Some(literal) = expose.port.number() else {
            continue;
        };
        if check_range(cx, placed, literal) {
            let this = (number(literal), expose.is_udp());
            let same = |(other, _): &((i128, bool), Span)| *other == this;
            if let Some((_, at)) = earlier(&seen, placed, same) {
                let message = format!("port {} is exposed twice", this.0);
                let first = cx.errors.first(*at, subject.title());
                cx.errors.at(&PORT_EXPOSED_TWICE, literal.span(), help(message, first));
            }
            seen.push(((this, literal.span()), placed));
        }
    }
}

fn check_range(cx: &mut Check, placed: &Placed, literal: &LitInt) -> bool {
    let Err(mut problem) = rules::port(number(literal)) else {
        return true;
    };
    if number(literal) == i128::MAX {
        problem.message = format!("port {literal} is out of range");
    }
    cx.fault(&PORT_RANGE, placed, literal.span(), problem);
    false
}

pub(super) fn check_names(cx: &mut Check, subject: Subject) {
    let mut seen: Vec<((String, Span), &Placed)> = Vec::new();
    for (placed, expose) in exposed(subject) {
        let Some(ident) = &expose.name else {
            continue;
        };
        let name = ident.unraw().to_string();
        if SERVICE_METHODS.contains(&name.as_str()) {
            let message = format!("`{name}` is already a method of a service");
            cx.fault(&PORT_NAME_TAKEN, placed, ident.span(), help(message, "choose another name"));
            continue;
        }
        if let Some((_, at)) = earlier(&seen, placed, |(other, _)| *other == name) {
            let message = format!("{} has two ports named `{name}`", subject.title());
            let first = cx.errors.first(*at, subject.title());
            cx.fault(&PORT_NAMED_TWICE, placed, ident.span(), help(message, first));
        }
        seen.push(((name, ident.span()), placed));
    }
}

pub(super) fn check_ready(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let StatementKind::Ready(ready) = &placed.statement.kind else {
            continue;
        };
        let keyword = placed.statement.keyword.span();
        match &ready.probe {
            Probe::Port => check_any_port(cx, subject, keyword, |_| true),
            Probe::Http { on: None, path } => {
                check_any_port(cx, subject, keyword, |expose| !expose.is_udp());
                check_one_port(cx, subject, keyword, path);
            }
            Probe::Http { on: Some(Operand::Name(name)), .. } => check_port_name(cx, subject, placed, name),
            Probe::Http { on: Some(port), .. } => {
                if let Some(literal) = port.number() {
                    check_range(cx, placed, literal);
                }
            }
            _ => {}
        }
    }
}

fn check_any_port(cx: &mut Check, subject: Subject, ready: Span, fits: fn(&Expose) -> bool) {
    if subject.is_complete && !exposed(subject).any(|(_, expose)| fits(expose)) {
        let message = format!("{} has no exposed port to probe", subject.title());
        cx.errors.at(
            &READY_WITHOUT_PORT,
            ready,
            help(message, "add `expose ...;` or use `ready exec [...]`"),
        );
    }
}

/// Checked only if it is certain which ports there are.
fn check_one_port(cx: &mut Check, subject: Subject, ready: Span, path: &Operand) {
    let tcp: Vec<_> = exposed(subject).filter(|(_, expose)| !expose.is_udp()).collect();
    if tcp.len() < 2 || tcp.iter().any(|(placed, _)| !placed.place.is_certain()) {
        return;
    }
    let port = tcp.iter().rev().find_map(|(_, expose)| expose.name.as_ref().map(ToString::to_string));
    let port =
        port.or_else(|| tcp.iter().find_map(|(_, expose)| expose.port.number().map(ToString::to_string)));
    let message = format!("{} exposes {} ports", subject.title(), tcp.len());
    let path = path.text().map_or_else(|| "/".to_owned(), syn::LitStr::value);
    let advice = format!("say which: `ready http {path:?} on {};`", port.as_deref().unwrap_or("8080"));
    cx.errors.at(&READY_AMBIGUOUS, ready, help(message, advice));
}

fn check_port_name(cx: &mut Check, subject: Subject, placed: &Placed, wanted: &syn::Ident) {
    let name = wanted.unraw().to_string();
    let names: Vec<String> = exposed(subject)
        .filter_map(|(_, expose)| expose.name.as_ref())
        .map(|name| name.unraw().to_string())
        .collect();
    if names.contains(&name) {
        return;
    }
    let advice = match did_you_mean(&name, names.iter().map(String::as_str)) {
        Some(near) => format!("a port with a similar name exists: `{near}`"),
        None => format!("name one, `expose 8080 as {name};`, or write `({name})` for a Rust value"),
    };
    let message = format!("{} has no port named `{name}`", subject.title());
    cx.fault(&READY_UNKNOWN_PORT, placed, wanted.span(), help(message, advice));
}

/// `web.endpoint_on(81)` inside a pipeline, where a handle does not have its final type yet, on which a wrong port would
/// not compile.
pub(super) fn check_endpoints(cx: &mut Check) {
    for (ident, port) in &cx.names.endpoints {
        let Some(declaration) = cx.names.declared(&ident.unraw().to_string()) else {
            continue;
        };
        let Some(body) = cx.names.body_of(declaration.item) else {
            continue;
        };
        let is_complete = super::statement::is_complete(declaration, body);
        let subject = Subject { declaration, body, is_complete };
        let ports = exposed(subject).map(|(_, expose)| Some((expose.literal()?.0, expose.is_udp())));
        let known: Option<Vec<(u16, bool)>> = ports.collect();
        let is_typed =
            exposed(subject).any(|(placed, expose)| placed.place.is_certain() && expose.name.is_some());
        let (Some(known), true) = (known, is_complete && is_typed) else {
            continue;
        };
        if !known.iter().any(|(known, _)| i128::from(*known) == number(port)) {
            let shown =
                |(port, is_udp): &(u16, bool)| if *is_udp { format!("{port}/udp") } else { port.to_string() };
            let known: Vec<String> = known.iter().map(shown).collect();
            let message = format!("{} does not expose port {port}", subject.title());
            let advice = format!("it exposes {}", known.join(", "));
            cx.errors.at(&UNEXPOSED_ENDPOINT, port.span(), help(message, advice));
        }
    }
}
