//! The options of commands.

use super::{Check, Subject};
use crate::ast::OptionKind;
use crate::errors::help;
use crate::registry::{FRESH_AND_UNCACHED, INVALID_DURATION, REPEATED_OPTION};
use crate::rules;

pub(super) fn check_options(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let Some(options) = placed.statement.options() else {
            continue;
        };
        let the = |wanted: fn(&OptionKind) -> bool| options.list.iter().find(|option| wanted(&option.kind));
        let fresh = the(|kind| matches!(kind, OptionKind::Fresh(_)));
        let uncached = the(|kind| matches!(kind, OptionKind::Uncached));
        if let Some(fresh) = fresh {
            let checked = rules::freshness(true, uncached.is_some());
            cx.problem(&FRESH_AND_UNCACHED, fresh.keyword.span(), checked);
        }
        for (index, option) in options.list.iter().enumerate() {
            let earlier = options.list.iter().take(index).find(|other| other.keyword == option.keyword);
            if let Some(earlier) = earlier {
                let message = format!("a command has two `{}` options", option.keyword);
                let advice = cx.errors.first(earlier.keyword.span(), "the command");
                cx.fault(&REPEATED_OPTION, placed, option.keyword.span(), help(message, advice));
            }
            if let OptionKind::Timeout(limit) | OptionKind::Fresh(limit) = &option.kind
                && let Some(text) = limit.text()
            {
                let checked = rules::duration(&text.value()).map(drop);
                cx.problem(&INVALID_DURATION, text.span(), checked);
            }
        }
    }
}
