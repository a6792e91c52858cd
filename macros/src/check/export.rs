//! Exports become methods of the container's handle: one for each name, and none that exists already.

use proc_macro2::Span;
use syn::ext::IdentExt;

use super::{Check, Subject};
use crate::ast::StatementKind;
use crate::errors::help;
use crate::names::Placed;
use crate::registry::{EXPORT_IN_FOR, EXPORT_NAME_TAKEN, EXPORTED_TWICE};

/// Methods of a container that an export's method must not hide.
pub(crate) const CONTAINER_METHODS: &[&str] = &[
    "clone",
    "digest",
    "directory",
    "exit_code",
    "export_image",
    "file",
    "name",
    "output",
    "plan",
    "publish",
    "save_stderr_to",
    "save_stdout_to",
    "stderr",
    "stderr_reader",
    "stdout",
    "stdout_reader",
    "sync",
    "terminal",
];

pub(super) fn check_exports(cx: &mut Check, subject: Subject) {
    let mut seen: Vec<(String, bool, Span, &Placed)> = Vec::new();
    for placed in subject.statements() {
        let StatementKind::Export { path, name: Some(ident) } = &placed.statement.kind else {
            continue;
        };
        let name = ident.unraw().to_string();
        let span = ident.span();
        if CONTAINER_METHODS.contains(&name.as_str()) {
            let message = format!("`{name}` is already a method of a container");
            cx.fault(&EXPORT_NAME_TAKEN, placed, span, help(message, "choose another name"));
            continue;
        }
        if placed.place.is_repeated() {
            let message = format!("`{name}` would be exported once a round, but it is one method");
            cx.fault(
                &EXPORT_IN_FOR,
                placed,
                span,
                help(message, "export the directory around, or put the container in the `for`"),
            );
            continue;
        }
        // Branches that exclude each other may export one name, if both export a file or both a directory.
        let is_directory = path.text().is_some_and(|path| path.value().ends_with('/'));
        let clash = seen.iter().find(|(other, other_is_directory, _, first)| {
            *other == name && (!first.place.excludes(&placed.place) || *other_is_directory != is_directory)
        });
        if let Some((_, _, at, _)) = clash {
            let message = format!("{} exports `{name}` twice", subject.title());
            let first = cx.errors.first(*at, subject.title());
            cx.fault(&EXPORTED_TWICE, placed, span, help(message, first));
            continue;
        }
        seen.push((name, is_directory, span, placed));
    }
}
