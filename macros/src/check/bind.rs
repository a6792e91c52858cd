//! Bindings: the services that are bound, and their aliases.

use proc_macro2::Span;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{BinOp, Expr, ExprBinary, ExprLit, Lit};

use super::{Check, Named, Subject, earlier};
use crate::ast::{Operand, Probe, StatementKind, Value};
use crate::errors::help;
use crate::keywords::{HOSTNAME, Kind};
use crate::names::{Declaration, Meaning, Placed};
use crate::registry::{
    ALIAS_BOUND_TWICE, ALIAS_IS_HOSTNAME, BIND_CONTAINER, BIND_NOT_A_SERVICE, BIND_WITHOUT_PORT,
    INVALID_ALIAS, MISSING_ALIAS, RESERVED_ALIAS, SELF_BINDING, UNKNOWN_SERVICE, UNQUOTED_ALIAS,
};
use crate::rules;
use crate::spelling::default_alias;

fn bindings<'n>(
    subject: Subject<'n, '_>,
) -> impl Iterator<Item = (&'n Placed<'n>, &'n Operand, Option<&'n Value>)> {
    subject.statements().filter_map(|placed| match &placed.statement.kind {
        StatementKind::Bind { service, alias } => Some((placed, service, alias.as_ref())),
        _ => None,
    })
}

pub(super) fn check_services(cx: &mut Check, subject: Subject) {
    for (placed, service, _) in bindings(subject) {
        let Operand::Name(ident) = service else {
            continue;
        };
        match cx.named(ident, placed) {
            Named::Item(found) => check_kind(cx, subject, placed, ident.span(), found),
            Named::Unknown => {
                let message = format!("cannot find service `{ident}` in this pipeline");
                let advice =
                    cx.advice(ident, placed, &[Kind::Service], &format!("service {ident} {{ ... }}"));
                cx.fault(&UNKNOWN_SERVICE, placed, ident.span(), help(message, advice));
            }
            Named::Variable | Named::Reported => {}
        }
    }
}

fn check_kind(cx: &mut Check, subject: Subject, placed: &Placed, span: Span, found: &Declaration) {
    let name = &found.name;
    match found.item.kind {
        Kind::Service if found.item.id == subject.declaration.item.id => {
            cx.fault(&SELF_BINDING, placed, span, format!("service `{name}` binds itself"));
        }
        Kind::Service => check_exposes(cx, span, found),
        Kind::Container => {
            let message = format!("`{name}` is a container; only services can be bound");
            cx.fault(
                &BIND_CONTAINER,
                placed,
                span,
                help(message, format!("declare it as `service {name} {{ ... }}`")),
            );
        }
        kind => {
            let message = format!("`{name}` is a {}, not a service", kind.noun());
            cx.fault(
                &BIND_NOT_A_SERVICE,
                placed,
                span,
                help(message, format!("mount it: `mount {name} at \"/path\";`")),
            );
        }
    }
}

/// A service without a port cannot be waited for, unless it says when it is ready.
fn check_exposes(cx: &mut Check, span: Span, found: &Declaration) {
    let Some(body) = cx.names.body_of(found.item) else {
        return;
    };
    let is_complete = super::statement::is_complete(found, body);
    let exposes =
        body.statements.iter().any(|placed| matches!(placed.statement.kind, StatementKind::Expose(_)));
    let says_when_ready = body.statements.iter().any(|placed| match &placed.statement.kind {
        StatementKind::Ready(ready) => !matches!(ready.probe, Probe::Port),
        _ => false,
    });
    if is_complete && !exposes && !says_when_ready {
        let name = &found.name;
        let message = format!("service `{name}` exposes no port, and does not say when it is ready");
        let advice = format!("add `expose ...;` to `{name}`, or `ready exec [...];` or `ready log \"...\";`");
        cx.errors.at(&BIND_WITHOUT_PORT, span, help(message, advice));
    }
}

/// The body's own host name, if it is the same throughout: a later `hostname` applies only from there on.
fn hostname(subject: Subject) -> Option<String> {
    let names = subject.statements().filter_map(|placed| placed.statement.value_of(&HOSTNAME));
    let mut names = names.map(|name| name.text().map(syn::LitStr::value));
    let only = names.next()?;
    if names.next().is_some() { None } else { only }
}

pub(super) fn check_aliases(cx: &mut Check, subject: Subject) {
    let mut seen: Vec<((String, String, Span), &Placed)> = Vec::new();
    let hostname = hostname(subject);
    for (placed, service, alias) in bindings(subject) {
        if let Some(word) = alias.and_then(|alias| unquoted(cx, placed, alias)) {
            let advice = if word.contains('-') {
                format!("`as {word:?}`")
            } else {
                format!("`as {word:?}`, or for a Rust value `as ({word})`")
            };
            let message = help(format!("the alias `{word}` is not quoted"), advice);
            cx.errors.on(&UNQUOTED_ALIAS, alias, message);
            cx.errors.leave_out(placed.statement.id);
            continue;
        }
        let literal = match (alias, service) {
            (Some(alias), _) => alias.text().cloned(),
            (None, Operand::Name(name)) => Some(default_alias(name)),
            (None, Operand::Value(_)) => {
                let message = help("an expression has no name to take the alias from", "add `as \"alias\"`");
                cx.errors.on(&MISSING_ALIAS, service, message);
                continue;
            }
        };
        let Some(literal) = literal else {
            continue;
        };
        let text = literal.value();
        if let Err(problem) = rules::alias(&text) {
            let rule =
                if problem.message.ends_with("is reserved") { &RESERVED_ALIAS } else { &INVALID_ALIAS };
            cx.errors.at(rule, literal.span(), problem);
            continue;
        }
        if let Some(Err(problem)) = hostname.as_ref().map(|hostname| rules::own_name(&text, hostname)) {
            cx.errors.at(&ALIAS_IS_HOSTNAME, literal.span(), problem);
        }
        // Host names are case-insensitive.
        let key = text.to_ascii_lowercase();
        let again = service.to_token_stream().to_string();
        // Repeating the same binding is not a mistake.
        if let Some((_, first, at)) =
            earlier(&seen, placed, |(other, first, _)| *other == key && *first != again)
        {
            let message = format!("alias `{text}` is bound twice in {}", subject.title());
            let advice = format!("`{first}` has it{}", cx.errors.on_line(*at));
            cx.errors.at(&ALIAS_BOUND_TWICE, literal.span(), help(message, advice));
        }
        seen.push(((key, again, literal.span()), placed));
    }
}

/// A bare word that is no variable of the pipeline, `cache` or `my-db`. Constants are in upper case.
fn unquoted(cx: &Check, placed: &Placed, alias: &Value) -> Option<String> {
    let mut word = String::new();
    spell(cx, placed, alias.expr()?, &mut word)?;
    Some(word).filter(|word| word.starts_with(char::is_lowercase))
}

fn spell(cx: &Check, placed: &Placed, expr: &Expr, word: &mut String) -> Option<()> {
    match expr {
        Expr::Path(path) => {
            let name = path.path.get_ident()?.unraw().to_string();
            if matches!(cx.names.meaning(&name, placed.scope), Meaning::Local) {
                return None;
            }
            word.push_str(&name);
        }
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if !word.is_empty() => {
            word.push_str(&number.to_string());
        }
        Expr::Binary(ExprBinary { left, op: BinOp::Sub(_), right, .. }) => {
            spell(cx, placed, left, word)?;
            word.push('-');
            spell(cx, placed, right, word)?;
        }
        _ => return None,
    }
    Some(())
}
