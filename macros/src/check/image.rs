//! The base of a body.

use super::{Check, Subject};
use crate::ast::{Statement, StatementKind};
use crate::errors::help;
use crate::keywords::PLATFORM;
use crate::names::Placed;
use crate::registry::{
    BEFORE_IMAGE, FROM_AND_IMAGE, INVALID_IMAGE, MISPLACED_PLATFORM, NO_IMAGE, TWO_IMAGES,
};
use crate::rules;

fn is_base(statement: &Statement) -> bool {
    matches!(statement.kind, StatementKind::Image(_) | StatementKind::From(_))
}

pub(super) fn check_base(cx: &mut Check, subject: Subject) {
    let bases: Vec<&Placed> =
        subject.body.statements.iter().filter(|placed| is_base(placed.statement)).collect();
    if bases.is_empty() && subject.is_complete {
        let message = format!("{} has no image", subject.title());
        let advice = "start its body with `image \"...\";` or `from other;`";
        cx.errors.at(&NO_IMAGE, subject.declaration.ident.span(), help(message, advice));
    }
    check_one_base(cx, subject, &bases);
    check_base_first(cx, subject, &bases);
}

/// Two bases are fine in branches that exclude each other.
fn check_one_base(cx: &mut Check, subject: Subject, bases: &[&Placed]) {
    for (index, second) in bases.iter().enumerate() {
        let Some(first) = bases.iter().take(index).find(|first| first.place.meets(&second.place)) else {
            continue;
        };
        let keyword = &second.statement.keyword;
        let at = cx.errors.first(first.statement.keyword.span(), subject.title());
        if first.statement.keyword == *keyword {
            let what = if keyword == "image" { "images" } else { "`from` statements" };
            let message = format!("{} has two {what}", subject.title());
            cx.errors.at(&TWO_IMAGES, keyword.span(), help(message, at));
        } else {
            cx.errors.at(&FROM_AND_IMAGE, keyword.span(), help("`from` and `image` exclude each other", at));
        }
    }
}

fn check_base_first(cx: &mut Check, subject: Subject, bases: &[&Placed]) {
    let Some(base) = bases.first().filter(|base| base.place.is_certain()) else {
        return;
    };
    let Some(first) = subject.body.statements.first() else {
        return;
    };
    if first.statement.id != base.statement.id && !matches!(first.statement.kind, StatementKind::Unknown(_)) {
        let (word, base) = (&first.statement.keyword, &base.statement.keyword);
        let message = format!("`{word}` before `{base}` has nothing to act on");
        cx.errors.at(&BEFORE_IMAGE, word.span(), help(message, format!("move `{base}` to the top")));
    }
}

pub(super) fn check_references(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        if let StatementKind::Image(value) = &placed.statement.kind
            && let Some(text) = value.text()
        {
            cx.problem(&INVALID_IMAGE, text.span(), rules::image(&text.value()));
        }
    }
}

/// A platform chooses among an image's variants, so it needs an image in the same branch.
pub(super) fn check_platform(cx: &mut Check, subject: Subject) {
    let mut before: Option<&Placed> = None;
    for placed in subject.statements() {
        let statement = placed.statement;
        match &statement.kind {
            _ if statement.value_of(&PLATFORM).is_some() => {
                let Some(before) = before else { continue };
                let word = &before.statement.keyword;
                let message = if matches!(before.statement.kind, StatementKind::From(_)) {
                    let advice = "set it where that container names its image";
                    help("a container of another one has its platform", advice)
                } else {
                    let advice = format!("move it before `{word}`{}", cx.errors.on_line(word.span()));
                    help("a platform after a step changes nothing of it", advice)
                };
                cx.errors.at(&MISPLACED_PLATFORM, statement.keyword.span(), message);
            }
            StatementKind::From(_) | StatementKind::Exec(..) | StatementKind::Shell(..) => {
                before = before.or(Some(placed));
            }
            _ => {}
        }
    }
}
