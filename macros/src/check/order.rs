//! `after` and `from` name containers.

use super::{Check, Named, Subject};
use crate::ast::{Operand, StatementKind};
use crate::errors::help;
use crate::keywords::Kind;
use crate::registry::{NOT_A_CONTAINER, UNKNOWN_CONTAINER};

pub(super) fn check_containers(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        if let StatementKind::From(base) = &placed.statement.kind
            && let Some(text) = base.text()
        {
            let message = format!("{:?} is text; `from` takes containers", text.value());
            let advice = format!("an image is named by `image {:?};`", text.value());
            cx.fault(&NOT_A_CONTAINER, placed, text.span(), help(message, advice));
        }
        let (StatementKind::After(Operand::Name(ident)) | StatementKind::From(Operand::Name(ident))) =
            &placed.statement.kind
        else {
            continue;
        };
        let word = &placed.statement.keyword;
        match cx.named(ident, placed) {
            Named::Item(found) if found.item.kind == Kind::Container => {}
            Named::Item(found) => {
                let (name, kind) = (&found.name, found.item.kind);
                let message = format!("`{name}` is a {}; `{word}` takes containers", kind.noun());
                let message = if kind == Kind::Service && word == "after" {
                    help(message, format!("services start when they are bound: `bind {name};`"))
                } else {
                    message
                };
                cx.fault(&NOT_A_CONTAINER, placed, ident.span(), message);
            }
            Named::Unknown => {
                let message = format!("cannot find container `{ident}` in this pipeline");
                let advice =
                    cx.advice(ident, placed, &[Kind::Container], &format!("container {ident} {{ ... }}"));
                cx.fault(&UNKNOWN_CONTAINER, placed, ident.span(), help(message, advice));
            }
            Named::Variable | Named::Reported => {}
        }
    }
}
