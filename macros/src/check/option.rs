//! The options of commands.

use super::{Check, Subject};
use crate::ast::OptionKind;
use crate::errors::help;
use crate::registry::{INVALID_DURATION, REPEATED_OPTION};
use crate::rules;

pub(super) fn check_options(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let Some(options) = placed.statement.options() else {
            continue;
        };
        for (index, option) in options.list.iter().enumerate() {
            let earlier = options.list.iter().take(index).find(|other| other.keyword == option.keyword);
            if let Some(earlier) = earlier {
                let message = format!("a command has two `{}` options", option.keyword);
                let advice = cx.errors.first(earlier.keyword.span(), "the command");
                cx.fault(&REPEATED_OPTION, placed, option.keyword.span(), help(message, advice));
            }
            if let OptionKind::Timeout(limit) = &option.kind
                && let Some(text) = limit.text()
            {
                let checked = rules::duration(&text.value()).map(drop);
                cx.problem(&INVALID_DURATION, text.span(), checked);
            }
        }
    }
}
