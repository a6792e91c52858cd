//! Words that are not statements, or are in the wrong kind of body.

use super::{Check, Subject};
use crate::ast::{Statement, StatementKind};
use crate::errors::help;
use crate::keywords::{Kind, STATEMENTS};
use crate::names::{Body, Declaration};
use crate::registry::{MISPLACED_STATEMENT, UNKNOWN_STATEMENT};
use crate::rules::did_you_mean;

pub(super) fn is_complete(declaration: &Declaration, body: &Body) -> bool {
    let is_known = |statement: &Statement| !matches!(statement.kind, StatementKind::Unknown);
    declaration.item.complete && body.statements.iter().all(|placed| is_known(placed.statement))
}

pub(super) fn check_statements(cx: &mut Check, subject: Subject) {
    let kind = subject.kind();
    for placed in &subject.body.statements {
        let keyword = &placed.statement.keyword;
        match placed.statement.word {
            None => {
                let word = keyword.to_string();
                let message = format!("cannot find statement `{word}` in a {}", kind.noun());
                cx.fault(&UNKNOWN_STATEMENT, placed, keyword.span(), help(message, nearest(&word, kind)));
            }
            Some(known) if !known.fits(kind) => {
                let word = known.word;
                let other = if kind == Kind::Service { Kind::Container } else { Kind::Service };
                let title = format!("`{}` is a {}", subject.declaration.name, kind.noun());
                let message = format!("`{word}` is a {} statement; {title}", other.noun());
                let advice = instead(word, &subject.declaration.name, other);
                cx.fault(&MISPLACED_STATEMENT, placed, keyword.span(), help(message, advice));
            }
            Some(_) => {}
        }
    }
}

fn nearest(word: &str, kind: Kind) -> String {
    let fitting = STATEMENTS.iter().filter(|keyword| keyword.fits(kind)).map(|keyword| keyword.word);
    match did_you_mean(word, fitting.clone()) {
        Some(near) => format!("a statement with a similar name exists: `{near}`"),
        None => {
            format!("the statements of a {} are `{}`", kind.noun(), fitting.collect::<Vec<_>>().join("`, `"))
        }
    }
}

fn instead(word: &str, name: &str, other: Kind) -> String {
    match word {
        "run" => format!("use `exec [...]`, or declare `service {name}`"),
        "exec" | "shell" => "use `run [...]`, or run it in a container and start `from` that".to_owned(),
        _ => format!("declare `{} {name}`", other.keyword()),
    }
}
