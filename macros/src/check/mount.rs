//! Mounts, and the paths they and written files go to.

use proc_macro2::Span;

use super::registry::{MOUNTED_TWICE, NOT_COPYABLE, NOT_MOUNTABLE, RELATIVE_PATH, UNKNOWN_MOUNT};
use super::{Check, Named, Subject, earlier};
use crate::ast::{Kind, Operand, StatementKind};
use crate::errors::help;
use crate::names::Placed;
use crate::rules;

const MOUNTABLE: [Kind; 4] = [Kind::Cache, Kind::Dir, Kind::File, Kind::Secret];
const COPYABLE: [Kind; 2] = [Kind::Dir, Kind::File];

pub(super) fn check_sources(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let StatementKind::Mount { source: Operand::Name(ident), .. } = &placed.statement.kind else {
            continue;
        };
        match cx.named(ident, placed) {
            Named::Item(found) if MOUNTABLE.contains(&found.item.kind) => {}
            Named::Item(found) => {
                let (name, kind) = (&found.name, found.item.kind);
                let message = format!(
                    "`{name}` is a {}; caches, directories, files and secrets can be mounted",
                    kind.noun()
                );
                let advice = if kind == Kind::Service {
                    format!("`bind {name};`")
                } else {
                    format!("mount a directory of it: `mount ({name}.directory(\"/path\")) at \"/path\";`")
                };
                cx.fault(&NOT_MOUNTABLE, placed, ident.span(), help(message, advice));
            }
            Named::Unknown => {
                let message =
                    format!("cannot find cache, directory, file or secret `{ident}` in this pipeline");
                let advice = cx.advice(ident, placed, &MOUNTABLE, &format!("cache {ident};"));
                cx.fault(&UNKNOWN_MOUNT, placed, ident.span(), help(message, advice));
            }
            Named::Variable | Named::Reported => {}
        }
    }
}

pub(super) fn check_copied(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let StatementKind::Copy { source: Operand::Name(ident), .. } = &placed.statement.kind else {
            continue;
        };
        match cx.named(ident, placed) {
            Named::Item(found) if COPYABLE.contains(&found.item.kind) => {}
            Named::Item(found) => {
                let (name, kind) = (&found.name, found.item.kind);
                let message = format!("`{name}` is a {}; directories and files can be copied", kind.noun());
                let advice = match kind {
                    Kind::Service => format!("`bind {name};`"),
                    Kind::Container => {
                        format!("copy a directory of it: `copy ({name}.directory(\"/path\")) to \"/path\";`")
                    }
                    // What is copied is kept with the result.
                    _ => format!("`mount {name} at \"/path\";`"),
                };
                cx.fault(&NOT_COPYABLE, placed, ident.span(), help(message, advice));
            }
            Named::Unknown => {
                let message = format!("cannot find directory or file `{ident}` in this pipeline");
                let advice = cx.advice(ident, placed, &COPYABLE, &format!("dir {ident} = ...;"));
                cx.fault(&UNKNOWN_MOUNT, placed, ident.span(), help(message, advice));
            }
            Named::Variable | Named::Reported => {}
        }
    }
}

pub(super) fn check_paths(cx: &mut Check, subject: Subject) {
    let mut seen: Vec<((String, Span), &Placed)> = Vec::new();
    for placed in subject.statements() {
        if let StatementKind::Socket { host: Operand::Value(host), .. } = &placed.statement.kind
            && let Some(host) = host.text()
        {
            cx.problem(&RELATIVE_PATH, host.span(), rules::absolute_path("socket path", &host.value()));
        }
        let (what, literal) = match &placed.statement.kind {
            StatementKind::Tmpfs(path) => ("tmpfs path", path.text()),
            StatementKind::Socket { path, .. } => ("socket path", path.text()),
            StatementKind::Mount { path, .. } => ("mount path", path.text()),
            StatementKind::Copy { path, .. } => ("copy path", path.text()),
            StatementKind::File { path, .. } => ("file path", path.text()),
            StatementKind::Export { path, .. } => ("export path", path.text()),
            _ => continue,
        };
        let Some(literal) = literal else {
            continue;
        };
        let (path, span) = (literal.value(), literal.span());
        cx.problem(&RELATIVE_PATH, span, rules::absolute_path(what, &path));
        if ["mount path", "tmpfs path", "socket path"].contains(&what) {
            let target = path.trim_end_matches('/').to_owned();
            if let Some((_, at)) = earlier(&seen, placed, |(other, _)| *other == target) {
                let message = format!("two mounts at `{target}` in {}", subject.title());
                let first = cx.errors.first(*at, subject.title());
                cx.errors.at(&MOUNTED_TWICE, span, help(message, first));
            }
            seen.push(((target, span), placed));
        }
    }
}
