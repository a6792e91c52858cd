//! Warnings: code that is allowed and hardly intended. Macros cannot warn on stable Rust: the expansion uses a deprecated
//! constant at the user's token, so `#[allow(deprecated)]` silences a warning and `#![deny(deprecated)]` makes it an
//! error.

use std::collections::BTreeMap;

use proc_macro2::Ident;
use quote::ToTokens;
use syn::ext::IdentExt;

use super::{Check, Subject, earlier};
use crate::ast::{Arguments, Key, Operand, Probe, StatementKind};
use crate::errors::{help, line};
use crate::keywords::{Call, ENV, Kind, Takes};
use crate::names::{Meaning, Placed};
use crate::registry::{
    BOUND_TWICE, LOWERCASE_VARIABLE, NAME_OF_A_VARIABLE, RUNS_NOTHING, UNTAGGED_IMAGE, VARIABLE_SET_TWICE,
};
use crate::rules;
use crate::spelling::default_alias;

pub(super) fn check_warnings(cx: &mut Check, subject: Subject) {
    check_tags(cx, subject);
    check_variables(cx, subject);
    check_words(cx, subject);
    check_bindings(cx, subject);
    check_after(cx, subject);
}

/// A container that runs nothing may be given commands elsewhere through its handle; but `after` this one waits for
/// nothing.
fn check_after(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let StatementKind::After(Operand::Name(ident)) = &placed.statement.kind else {
            continue;
        };
        let name = ident.unraw().to_string();
        let Meaning::Item(declaration) = cx.names.meaning(&name, placed.scope) else {
            continue;
        };
        let Some(body) = cx.names.body_of(declaration.item) else {
            continue;
        };
        // Steps of another container, and files that are written, are waited for too.
        let does_something = |placed: &Placed| {
            matches!(
                placed.statement.kind,
                StatementKind::Exec(..)
                    | StatementKind::Shell(..)
                    | StatementKind::From(..)
                    | StatementKind::Copy { .. }
                    | StatementKind::File { .. }
            )
        };
        let is_complete = super::statement::is_complete(declaration, body);
        if is_complete
            && declaration.item.kind == Kind::Container
            && !body.statements.iter().any(does_something)
        {
            let message = format!("container `{name}` runs nothing, so there is nothing to wait for");
            let advice = format!("add `exec [...];` to `{name}`, or remove this");
            cx.errors.warn(&RUNS_NOTHING, ident.span(), help(message, advice));
        }
    }
}

fn check_tags(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let StatementKind::Image(value) = &placed.statement.kind else {
            continue;
        };
        let Some(text) = value.text() else {
            continue;
        };
        let reference = text.value();
        if rules::image_file(&reference).is_some() {
            continue;
        }
        let name = reference.rsplit('/').next().unwrap_or(&reference);
        if rules::image(&reference).is_ok() && !name.contains([':', '@']) {
            let message = format!("image `{reference}` has no tag");
            let advice = format!("what it means changes with every release; pin one: `{reference}:...`");
            cx.errors.warn(&UNTAGGED_IMAGE, text.span(), help(message, advice));
        }
    }
}

/// Setting `env PATH = …` again after a step is intended, so only values that nothing could have read are reported.
fn check_variables(cx: &mut Check, subject: Subject) {
    let mut seen: Vec<((String, usize), &Placed)> = Vec::new();
    for placed in subject.statements() {
        let statement = placed.statement;
        if matches!(statement.kind, StatementKind::Exec(..) | StatementKind::Shell(..)) {
            seen.clear();
        }
        let StatementKind::Call(Call { takes: Takes::Keyed { what, .. }, .. }, Arguments::Keyed(key, _)) =
            &statement.kind
        else {
            continue;
        };
        let what = what.trim_start_matches("a ");
        let (name, span) = match key {
            Key::Name(name) => (format!("{what} `{}`", name.unraw()), name.span()),
            Key::Text(text) => (format!("{what} `{}`", text.value()), text.span()),
            Key::Expr(_) => continue,
        };
        // A default, overridden in a later `if`, is intended too.
        let is_equal = |other: &&Placed| other.place == placed.place;
        if let Some((_, at)) = earlier(&seen, placed, |(other, _)| *other == name)
            && seen.iter().any(|((other, _), place)| *other == name && is_equal(place))
        {
            let message = format!("{name} is set twice in {}", subject.title());
            let advice = format!("first on line {at}; the last one counts");
            cx.errors.warn(&VARIABLE_SET_TWICE, span, help(message, advice));
        }
        seen.push(((name, line(span)), placed));
    }
}

/// Variables that tools read in lower case: `http_proxy`, `no_proxy` …
fn is_proxy(name: &str) -> bool {
    name.ends_with("_proxy")
}

/// Bare words that may be meant as Rust variables. The macro knows those inside the pipeline; a variable declared outside
/// usually is in lower case.
fn check_words(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        if let Some((Key::Name(ident), _)) = placed.statement.keyed_of(&ENV) {
            check_case(cx, placed, ident);
        }
        match &placed.statement.kind {
            StatementKind::Expose(expose) => {
                if let Some(ident) = &expose.name {
                    check_name(cx, placed, "port", ident);
                }
            }
            StatementKind::Bind { service: Operand::Name(ident), alias: None }
                if placed.place.is_repeated() && is_variable(cx, placed, ident) =>
            {
                let message =
                    format!("all of these are bound under the one alias `{}`", default_alias(ident).value());
                let advice = format!("give each an alias of its own: `bind {ident} as (...);`");
                cx.errors.warn(&NAME_OF_A_VARIABLE, ident.span(), help(message, advice));
            }
            StatementKind::Export { name: Some(ident), .. } => check_name(cx, placed, "export", ident),
            StatementKind::Ready(ready) => {
                if let Probe::Http { on: Some(Operand::Name(ident)), .. } = &ready.probe
                    && is_variable(cx, placed, ident)
                {
                    let message = format!("this asks the port named `{ident}`, not the variable `{ident}`");
                    let advice = format!("`on ({ident})` takes the variable; or rename one of the two");
                    cx.errors.warn(&NAME_OF_A_VARIABLE, ident.span(), help(message, advice));
                }
            }
            _ => {}
        }
    }
}

fn is_variable(cx: &Check, placed: &Placed, ident: &Ident) -> bool {
    matches!(cx.names.meaning(&ident.unraw().to_string(), placed.scope), Meaning::Local)
}

fn check_case(cx: &mut Check, placed: &Placed, ident: &Ident) {
    let name = ident.unraw().to_string();
    // A word that cannot be a Rust variable is not meant as one; and writing `r#` shows intent.
    let is_rusts = syn::parse_str::<Ident>(&ident.to_string()).is_err() || *ident != name;
    let is_lower = name.chars().any(char::is_lowercase) && !name.chars().any(char::is_uppercase);
    // A known variable is reported elsewhere.
    if is_rusts || !is_lower || is_proxy(&name) || is_variable(cx, placed, ident) {
        return;
    }
    let message = format!("this sets a variable called `{name}`");
    let advice =
        format!("`env {name:?} = ...;` says so; `env ({name}) = ...;` takes the name from a Rust value");
    cx.errors.warn(&LOWERCASE_VARIABLE, ident.span(), help(message, advice));
}

/// The name becomes a method, so it must be known at compile time and cannot come from a variable.
fn check_name(cx: &mut Check, placed: &Placed, what: &str, ident: &Ident) {
    if is_variable(cx, placed, ident) {
        let message = format!("the name of this {what} is the word `{ident}`, not the variable `{ident}`");
        let advice = "it becomes a method, so it is always a word; rename one of the two";
        cx.errors.warn(&NAME_OF_A_VARIABLE, ident.span(), help(message, advice));
    }
}

fn check_bindings(cx: &mut Check, subject: Subject) {
    let mut seen: BTreeMap<String, (&Placed, String)> = BTreeMap::new();
    for placed in subject.statements() {
        let StatementKind::Bind { service: Operand::Name(ident), alias } = &placed.statement.kind else {
            continue;
        };
        let name = ident.unraw().to_string();
        if !matches!(cx.names.meaning(&name, placed.scope), Meaning::Item(_)) {
            continue;
        }
        let alias = alias.as_ref().map_or_else(
            || format!("`{name}`"),
            |alias| {
                alias
                    .text()
                    .map_or_else(|| alias.to_token_stream().to_string(), |text| format!("`{}`", text.value()))
            },
        );
        match seen.get(&name) {
            Some((first, other)) if first.place.meets(&placed.place) && *other != alias => {
                let message = format!("service `{name}` is bound twice in {}", subject.title());
                let advice = format!("as {other} and as {alias}; one alias is enough");
                cx.errors.warn(&BOUND_TWICE, ident.span(), help(message, advice));
            }
            _ => {
                seen.insert(name, (placed, alias));
            }
        }
    }
}
