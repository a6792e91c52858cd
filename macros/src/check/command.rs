//! Commands and the small literals around them.

use super::{Check, Subject, earlier};
use crate::arguments;
use crate::ast::{Arguments, Definition, Key, Operand, Probe, StatementKind, Value};
use crate::errors::help;
use crate::keywords::{Call, ENV, Judge, Kind, Takes};
use crate::names::{Meaning, Placed};
use crate::registry::{
    COMMAND_AS_STRING, EMPTY_COMMAND, INVALID_ARGUMENT, INVALID_DURATION, INVALID_KEY, INVALID_SIGNAL,
    REPEATED_STATEMENT, Rule, SECRET_BY_VALUE, WORD_OR_VALUE,
};
use crate::rules::{self, Problem};
use proc_macro2::Span;
use quote::ToTokens as _;
use syn::LitStr;
use syn::ext::IdentExt;
use syn::spanned::Spanned as _;

pub(super) fn check_commands(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let (word, command) = match &placed.statement.kind {
            StatementKind::Exec(command, _) => ("exec", command),
            StatementKind::Call(call, Arguments::Value(command)) if matches!(call.takes, Takes::Command) => {
                (placed.statement.word.map_or("", |keyword| keyword.word), command)
            }
            StatementKind::Ready(ready) => match &ready.probe {
                Probe::Exec(Operand::Value(command)) => ("ready exec", command),
                _ => continue,
            },
            _ => continue,
        };
        check_command(cx, placed, word, command);
    }
}

fn check_command(cx: &mut Check, placed: &Placed, word: &str, command: &Value) {
    if let Some(list) = command.list()
        && list.elems.is_empty()
        // `entrypoint` may be empty, which removes the image's.
        && word != "entrypoint"
    {
        cx.fault(
            &EMPTY_COMMAND,
            placed,
            list.bracket_token.span.join(),
            format!("`{word}` needs at least a program"),
        );
    }
    for (index, element) in command.list().into_iter().flat_map(|list| &list.elems).enumerate() {
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = element else { continue };
        let checked = arguments::argument(word, index, &text.value());
        let rule =
            if index == 0 && text.value().trim().is_empty() { &EMPTY_COMMAND } else { &INVALID_ARGUMENT };
        cx.problem(rule, text.span(), checked);
    }
    if let Some(text) = command.text() {
        let line = text.value();
        let words: Vec<String> = line.split_whitespace().map(|word| format!("{word:?}")).collect();
        let list = format!("`{word} [{}];`", words.join(", "));
        let advice = if word == "exec" { format!("{list} or `shell {line:?};`") } else { list };
        let message = format!("`{word}` takes a list of arguments");
        cx.fault(&COMMAND_AS_STRING, placed, text.span(), help(message, advice));
    }
}

pub(super) fn check_repeated(cx: &mut Check, subject: Subject) {
    let mut seen: Vec<((&str, Span), &Placed)> = Vec::new();
    for placed in subject.statements() {
        let keyword = &placed.statement.keyword;
        let Some(word) = placed.statement.word.filter(|word| word.once).map(|word| word.word) else {
            continue;
        };
        if let Some((_, at)) = earlier(&seen, placed, |(other, _)| *other == word) {
            let message = format!("{} has two `{word}` statements", subject.title());
            let first = cx.errors.first(*at, subject.title());
            cx.errors.at(&REPEATED_STATEMENT, keyword.span(), help(message, first));
        }
        seen.push(((word, keyword.span()), placed));
    }
}

pub(super) fn check_keys(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let StatementKind::Call(call, Arguments::Keyed(key, value)) = &placed.statement.kind else {
            continue;
        };
        let (text, span) = match key {
            Key::Name(name) => (name.unraw().to_string(), name.span()),
            Key::Text(text) => (text.value(), text.span()),
            Key::Expr(_) => continue,
        };
        check_word(cx, placed, key);
        if let Takes::Keyed { judge: Judge::Text(rule, judge), .. } = call.takes {
            cx.problem(rule, span, judge(&text));
        }
        if placed.statement.keyed_of(&ENV).is_some() {
            if let Some(value) = value.text() {
                let checked = arguments::variable_value(&text, &value.value());
                cx.problem(&INVALID_ARGUMENT, value.span(), checked);
            }
            check_secret(cx, placed, key, value);
        }
    }
}

/// Checks literals by the rules in the language's table.
pub(super) fn check_values(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        match &placed.statement.kind {
            StatementKind::Call(Call { takes: Takes::Value(judge), .. }, Arguments::Value(value)) => {
                match *judge {
                    Judge::Nobody => {}
                    Judge::Text(rule, judge) => check_text(cx, rule, value.text(), judge),
                    Judge::Number(rule, judge) => check_number(cx, placed, rule, value, judge),
                }
            }
            StatementKind::Shell(line, _) => {
                check_text(cx, &INVALID_ARGUMENT, line.text(), |line| arguments::argument("shell", 1, line));
            }
            _ => {}
        }
    }
}

pub(super) fn check_cache_keys(cx: &mut Check) {
    let names = cx.names;
    for declaration in &names.declarations {
        if let (Kind::Cache, Definition::Value(key, _)) =
            (declaration.item.kind, &declaration.item.definition)
        {
            let Some(text) = key.text() else { continue };
            cx.problem(&INVALID_KEY, text.span(), arguments::cache_key(&text.value()));
        }
    }
}

/// A bare word is the key itself. If there is a variable of that name, either may be meant.
fn check_word(cx: &mut Check, placed: &Placed, key: &Key) {
    let Key::Name(ident) = key else { return };
    let name = ident.unraw().to_string();
    if !matches!(cx.names.meaning(&name, placed.scope), Meaning::Local) {
        return;
    }
    let word = &placed.statement.keyword;
    let message = format!("the key of this `{word}` is the word `{name}`, not the variable `{name}`");
    let advice = format!("`{word} ({name}) = ...;` takes the variable, `{word} {name:?} = ...;` the word");
    cx.fault(&WORD_OR_VALUE, placed, ident.span(), help(message, advice));
}

/// `env A = token;`, which rustc would explain by the traits that a secret lacks.
fn check_secret(cx: &mut Check, placed: &Placed, key: &Key, value: &Value) {
    let Some(syn::Expr::Path(path)) = value.expr() else { return };
    let Some(ident) = path.path.get_ident() else { return };
    let name = ident.unraw().to_string();
    if let Meaning::Item(found) = cx.names.meaning(&name, placed.scope)
        && found.item.kind == Kind::Secret
    {
        let message = format!("a variable takes secret `{name}` by reference");
        let key = match key {
            Key::Name(name) => name.to_string(),
            Key::Text(text) => format!("{:?}", text.value()),
            Key::Expr(_) => "...".to_owned(),
        };
        let advice = format!("`env {key} = &{ident};`");
        cx.fault(&SECRET_BY_VALUE, placed, ident.span(), help(message, advice));
    }
}

pub(super) fn check_times_and_signals(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        match &placed.statement.kind {
            StatementKind::Ready(ready) => check_duration(cx, ready.within.as_ref().and_then(Operand::text)),
            StatementKind::Stop { signal, within } => {
                check_duration(cx, within.as_ref().and_then(Operand::text));
                check_text(cx, &INVALID_SIGNAL, signal.text(), |text| rules::signal(text).map(drop));
            }
            _ => {}
        }
    }
}

fn check_number(
    cx: &mut Check,
    placed: &Placed,
    rule: &'static Rule,
    value: &Value,
    judge: fn(i128) -> Result<(), Problem>,
) {
    let (Some(number), Some(expr)) = (value.number(), value.expr()) else { return };
    if let Err(mut problem) = judge(number) {
        if number == i128::MAX {
            // Shows it as it is written, as it is too long to parse.
            problem.message =
                problem.message.replace(&number.to_string(), &expr.to_token_stream().to_string());
        }
        cx.fault(rule, placed, expr.span(), problem);
    }
}

fn check_duration(cx: &mut Check, literal: Option<&LitStr>) {
    check_text(cx, &INVALID_DURATION, literal, |text| rules::duration(text).map(drop));
}

fn check_text(
    cx: &mut Check,
    rule: &'static Rule,
    text: Option<&LitStr>,
    judge: fn(&str) -> Result<(), Problem>,
) {
    if let Some(text) = text {
        cx.problem(rule, text.span(), judge(&text.value()));
    }
}
