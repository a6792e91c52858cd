//! Words that are not statements, or are in the wrong kind of body.

use super::{Check, Subject};
use crate::ast::{Foreign, Statement, StatementKind};
use crate::counterparts::{self, Site};
use crate::errors::help;
use crate::keywords::{Kind, OPTION, STATEMENTS, option_form};
use crate::names::{Body, Declaration, Placed};
use crate::registry::{FOREIGN_WORD, MISPLACED_STATEMENT, OPTION_OUTSIDE, UNKNOWN_STATEMENT};
use crate::rules::did_you_mean;

pub(super) fn is_complete(declaration: &Declaration, body: &Body) -> bool {
    let is_known = |statement: &Statement| !matches!(statement.kind, StatementKind::Unknown(_));
    declaration.item.complete && body.statements.iter().all(|placed| is_known(placed.statement))
}

pub(super) fn check_statements(cx: &mut Check, subject: Subject) {
    let kind = subject.kind();
    for placed in &subject.body.statements {
        let keyword = &placed.statement.keyword;
        if let StatementKind::Unknown(word) = &placed.statement.kind {
            check_unknown(cx, kind, placed, word);
        } else if let Some(known) = placed.statement.word.filter(|known| !known.fits(kind)) {
            let word = known.word;
            let other = if kind == Kind::Service { Kind::Container } else { Kind::Service };
            let title = format!("`{}` is a {}", subject.declaration.name, kind.noun());
            let message = format!("`{word}` is a {} statement; {title}", other.noun());
            let advice = instead(word, &subject.declaration.name, other);
            cx.fault(&MISPLACED_STATEMENT, placed, keyword.span(), help(message, advice));
        }
    }
}

fn check_unknown(cx: &mut Check, kind: Kind, placed: &Placed, word: &Foreign) {
    let text = &word.text;
    let message = format!("cannot find statement `{text}` in a {}", kind.noun());
    let foreign = counterparts::advice(text, Site::Body(kind));
    // A service's `timeout` is that of its health.
    let is_option = OPTION.words.contains(&text.as_str()) && (kind == Kind::Container || foreign.is_none());
    let (rule, message) = if is_option {
        let message = format!("`{text}` is an option of a container's command, and no statement");
        (&OPTION_OUTSIDE, help(message, format!("`exec [...] {{ {} }}`", option_form(text))))
    } else if let Some(advice) = foreign {
        (&FOREIGN_WORD, help(message, advice))
    } else if let Some(item) = Kind::of(text) {
        let advice = format!("`{}` starts an item, which stands outside of all bodies", item.keyword());
        (&UNKNOWN_STATEMENT, help(message, advice))
    } else {
        (&UNKNOWN_STATEMENT, help(message, nearest(text, kind)))
    };
    cx.errors.between(rule, word.start, word.end, message);
    cx.errors.leave_out(placed.statement.id);
}

fn nearest(word: &str, kind: Kind) -> String {
    let fitting = STATEMENTS.iter().filter(|keyword| keyword.fits(kind)).map(|keyword| keyword.word);
    match did_you_mean(&word.to_lowercase(), fitting.clone()) {
        Some(near) => format!("a statement with a similar name exists: `{near}`"),
        None => {
            format!("the statements of a {} are `{}`", kind.noun(), fitting.collect::<Vec<_>>().join("`, `"))
        }
    }
}

fn instead(word: &str, name: &str, other: Kind) -> String {
    match word {
        "run" => format!("use `exec [...]` or `shell \"...\"`, or declare `service {name}`"),
        "exec" | "shell" => "use `run [...]`, or run it in a container and start `from` that".to_owned(),
        _ => format!("declare `{} {name}`", other.keyword()),
    }
}
