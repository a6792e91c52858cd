//! Mounts, and the paths of mounts and of written files.

use proc_macro2::Span;
use syn::LitStr;
use syn::ext::IdentExt as _;

use super::{Check, Named, Subject, earlier};
use crate::ast::{Operand, OptionKind, StatementKind};
use crate::errors::help;
use crate::keywords::{Kind, TMPFS};
use crate::names::{Meaning, Placed};
use crate::paths;
use crate::registry::{
    HIDDEN_PATH, MOUNTED_TWICE, NOT_COPYABLE, NOT_MOUNTABLE, RELATIVE_PATH, Rule, UNKNOWN_MOUNT,
};
use crate::rules::Problem;

const MOUNTABLE: [Kind; 4] = [Kind::Cache, Kind::Dir, Kind::File, Kind::Secret];
const COPYABLE: [Kind; 2] = [Kind::Dir, Kind::File];

/// `copy "./src" to "/src";`, with a path of this machine.
fn check_text(cx: &mut Check, placed: &Placed, source: &Operand, rule: &'static Rule, what: &str) {
    let Some(text) = source.text() else { return };
    let path = text.value();
    let message = format!("{path:?} is text; {what}");
    let word = &placed.statement.keyword;
    let joint = if word == "copy" { "to" } else { "at" };
    let advice = format!(
        "`{word} (host({path:?})) {joint} \"/path\";` takes a directory of this machine, `host_file` a file"
    );
    cx.fault(rule, placed, text.span(), help(message, advice));
}

pub(super) fn check_sources(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        let StatementKind::Mount { source, .. } = &placed.statement.kind else {
            continue;
        };
        let Operand::Name(ident) = source else {
            let what = "caches, directories, files and secrets can be mounted";
            check_text(cx, placed, source, &NOT_MOUNTABLE, what);
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
        let StatementKind::Copy { source, .. } = &placed.statement.kind else {
            continue;
        };
        let Operand::Name(ident) = source else {
            check_text(cx, placed, source, &NOT_COPYABLE, "directories and files can be copied");
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
                    // A copied directory is stored with the result.
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

/// A path in a statement, and what happens there.
enum At<'s> {
    /// A mount over the container's files.
    Over(&'static str, Option<&'s LitStr>),
    /// Something that becomes part of the container's files, by a mount or otherwise.
    Own(&'static str, Option<&'s LitStr>),
    Read(Option<&'s LitStr>),
}

fn named_in<'s>(cx: &Check, placed: &'s Placed) -> Vec<At<'s>> {
    let mut paths = match &placed.statement.kind {
        StatementKind::Call(..) => {
            let tmpfs = placed.statement.value_of(&TMPFS).into_iter();
            tmpfs.map(|path| At::Over("tmpfs path", path.text())).collect()
        }
        StatementKind::Socket { path, .. } => vec![At::Over("socket path", path.text())],
        StatementKind::Mount { path, readonly: Some(_), .. } => vec![At::Over("mount path", path.text())],
        StatementKind::Mount { path, source: Operand::Name(ident), .. } => {
            match cx.names.meaning(&ident.unraw().to_string(), placed.scope) {
                Meaning::Item(found) if matches!(found.item.kind, Kind::Dir | Kind::File) => {
                    vec![At::Own("mount path", path.text())]
                }
                Meaning::Item(_) => vec![At::Over("mount path", path.text())],
                _ => Vec::new(),
            }
        }
        StatementKind::Copy { path, .. } => vec![At::Own("copy path", path.text())],
        StatementKind::File { path, .. } => vec![At::Own("file path", path.text())],
        StatementKind::Export { path, .. } => vec![At::Read(path.text())],
        _ => Vec::new(),
    };
    for option in placed.statement.options().into_iter().flat_map(|options| &options.list) {
        match &option.kind {
            OptionKind::Stdout(path) => paths.push(At::Own("stdout path", path.text())),
            OptionKind::Stderr(path) => paths.push(At::Own("stderr path", path.text())),
            _ => {}
        }
    }
    paths
}

type Judge = fn(&str, &str) -> Result<(), Problem>;

/// Each path on its own: absolute, and where what is put there can be seen.
pub(super) fn check_paths(cx: &mut Check, subject: Subject) {
    for placed in subject.statements() {
        if let StatementKind::Socket { host: Operand::Value(host), .. } = &placed.statement.kind
            && let Some(host) = host.text()
        {
            cx.problem(&RELATIVE_PATH, host.span(), paths::absolute_path("socket path", &host.value()));
        }
        for at in named_in(cx, placed) {
            let (what, path, judge): (_, _, Judge) = match at {
                At::Over(what, path) => (what, path, paths::mounted_path),
                At::Own(what, path) => (what, path, paths::placed_path),
                At::Read(path) => ("export path", path, paths::absolute_path),
            };
            let Some(literal) = path else { continue };
            match paths::absolute_path(what, &literal.value()) {
                Err(problem) => cx.problem(&RELATIVE_PATH, literal.span(), Err(problem)),
                Ok(()) => cx.problem(&HIDDEN_PATH, literal.span(), judge(what, &literal.value())),
            }
        }
        if let StatementKind::Mount { path, .. } = &placed.statement.kind
            && named_in(cx, placed).is_empty()
            && let Some(literal) = path.text()
        {
            let checked = paths::absolute_path("mount path", &literal.value());
            cx.problem(&RELATIVE_PATH, literal.span(), checked);
        }
    }
}

/// Mounts against each other, and what is put or read below one.
pub(super) fn check_mounted(cx: &mut Check, subject: Subject) {
    let mut seen: Vec<((String, Span), &Placed)> = Vec::new();
    let mut over: Vec<((String, Span), &Placed)> = Vec::new();
    for placed in subject.statements() {
        let path = match &placed.statement.kind {
            StatementKind::Socket { path, .. } | StatementKind::Mount { path, .. } => Some(path),
            _ => placed.statement.value_of(&TMPFS),
        };
        let Some(path) = path else {
            if !matches!(placed.statement.kind, StatementKind::Export { .. }) {
                check_below(cx, placed, &over);
            }
            continue;
        };
        let Some(literal) = path.text() else { continue };
        let (target, span) = (paths::plain_path(&literal.value()), literal.span());
        if let Some((_, at)) = earlier(&seen, placed, |(other, _)| *other == target) {
            let message = format!("two mounts at `{target}` in {}", subject.title());
            let first = cx.errors.first(*at, subject.title());
            cx.errors.at(&MOUNTED_TWICE, span, help(message, first));
        } else {
            check_below(cx, placed, &over);
        }
        if matches!(named_in(cx, placed).as_slice(), [At::Over(..)]) {
            over.push(((target.clone(), span), placed));
        }
        seen.push(((target, span), placed));
    }
    // Exports are read at the end.
    for placed in subject.statements() {
        if let StatementKind::Export { .. } = &placed.statement.kind {
            check_below(cx, placed, &over);
        }
    }
}

/// Nothing can be put or found below a mount over a container's files.
fn check_below(cx: &mut Check, placed: &Placed, over: &[((String, Span), &Placed)]) {
    for at in named_in(cx, placed) {
        let (path, lost) = match at {
            At::Own(_, path) => (path, "what is put there would be lost"),
            At::Read(path) => (path, "no mount is a part of what the container leaves"),
            At::Over(..) => continue,
        };
        let Some(literal) = path else { continue };
        let target = paths::plain_path(&literal.value());
        if let Some((outer, at)) = earlier(over, placed, |(outer, _)| paths::lies_in(&target, outer)) {
            let message = format!("`{target}` lies in what is mounted at `{outer}`: {lost}");
            let mounted = match cx.errors.line(*at) {
                Some(line) => format!("it is mounted on line {line}; choose a path outside of it"),
                None => format!("choose a path outside of `{outer}`"),
            };
            cx.errors.at(&HIDDEN_PATH, literal.span(), help(message, mounted));
        }
    }
}
