//! Checks of everything that literals and names alone can show.
//!
//! Values known only at run time, and anything under control flow that may not happen, are not checked: the runtime
//! checks them by the same rules when the plan is built. What rustc reports better is left to rustc.

mod bind;
mod command;
mod cycle;
mod export;
mod host;
mod image;
mod localhost;
mod mount;
mod option;
mod order;
mod port;
mod port_form;
mod statement;
mod warn;

#[cfg(test)]
pub(crate) mod tests;

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;

use crate::errors::{Errors, help};
use crate::keywords::Kind;
use crate::names::{Body, Declaration, Meaning, Names, Placed};
use crate::registry::{OUT_OF_SCOPE, Rule};
use crate::rules::{Problem, did_you_mean};

/// The input and output of checks.
pub(crate) struct Check<'n, 'a> {
    names: &'n Names<'a>,
    errors: &'n mut Errors,
}

/// A service or container with its statements.
#[derive(Clone, Copy)]
struct Subject<'n, 'a> {
    declaration: &'n Declaration<'a>,
    body: &'n Body<'a>,
    /// Whether everything in it was understood: only then may something be reported as missing.
    is_complete: bool,
}

pub(crate) fn check(names: &Names, errors: &mut Errors) {
    let mut cx = Check { names, errors };
    for body in &names.bodies {
        let Some(declaration) = names.declarations.get(body.declaration) else {
            continue;
        };
        let subject = Subject { declaration, body, is_complete: statement::is_complete(declaration, body) };
        statement::check_statements(&mut cx, subject);
        image::check_base(&mut cx, subject);
        image::check_references(&mut cx, subject);
        image::check_platform(&mut cx, subject);
        port::check_ports(&mut cx, subject);
        port_form::check_forms(&mut cx, subject);
        port::check_names(&mut cx, subject);
        port::check_ready(&mut cx, subject);
        bind::check_services(&mut cx, subject);
        bind::check_aliases(&mut cx, subject);
        order::check_containers(&mut cx, subject);
        mount::check_sources(&mut cx, subject);
        mount::check_copied(&mut cx, subject);
        mount::check_paths(&mut cx, subject);
        mount::check_mounted(&mut cx, subject);
        export::check_exports(&mut cx, subject);
        command::check_commands(&mut cx, subject);
        option::check_options(&mut cx, subject);
        command::check_repeated(&mut cx, subject);
        command::check_keys(&mut cx, subject);
        command::check_values(&mut cx, subject);
        command::check_times_and_signals(&mut cx, subject);
        warn::check_warnings(&mut cx, subject);
        host::check_hosts(&mut cx, subject);
        localhost::check_localhost(&mut cx, subject);
    }
    port::check_endpoints(&mut cx);
    cycle::check_cycles(&mut cx);
    command::check_cache_keys(&mut cx);
}

/// The meaning of a name in a statement; mistakes of scope are already reported.
enum Named<'n, 'a> {
    Item(&'n Declaration<'a>),
    Variable,
    Reported,
    Unknown,
}

impl<'n, 'a> Check<'n, 'a> {
    fn named(&mut self, ident: &Ident, placed: &Placed) -> Named<'n, 'a> {
        let name = ident.unraw().to_string();
        match self.names.meaning(&name, placed.scope) {
            Meaning::Item(declaration) => Named::Item(declaration),
            Meaning::Local => Named::Variable,
            Meaning::Unknown => Named::Unknown,
            Meaning::Elsewhere(declaration) => {
                let place = match declaration.place.word() {
                    Some("for") => "a `for`: it is a list here",
                    Some("match") => "a `match`: it is an option here",
                    _ => "an `if`: it is an option here",
                };
                let at = self.errors.line(declaration.ident.span());
                let at = at.map(|line| format!("declared on line {line}; ")).unwrap_or_default();
                let advice = format!("{at}name it in the same block");
                self.fault(
                    &OUT_OF_SCOPE,
                    placed,
                    ident.span(),
                    help(format!("`{name}` is declared in {place}"), advice),
                );
                Named::Reported
            }
        }
    }

    /// Reports a mistake, and leaves the statement out of the expansion, where rustc would report it again.
    fn fault(&mut self, rule: &'static Rule, placed: &Placed, span: Span, message: impl std::fmt::Display) {
        self.errors.at(rule, span, message);
        self.errors.leave_out(placed.statement.id);
    }

    fn problem(&mut self, rule: &'static Rule, span: Span, checked: Result<(), Problem>) {
        if let Err(problem) = checked {
            self.errors.at(rule, span, problem);
        }
    }

    /// "did you mean", or how to declare the name.
    fn advice(&self, ident: &Ident, placed: &Placed, kinds: &[Kind], declare: &str) -> String {
        let name = ident.unraw().to_string();
        let visible = self.names.visible(placed.scope);
        let candidates = visible.iter().filter(|declaration| kinds.contains(&declaration.item.kind));
        let near = did_you_mean(&name, candidates.map(|declaration| declaration.name.as_str()));
        let found = near.and_then(|near| visible.iter().find(|declaration| declaration.name == near));
        match found {
            Some(found) => {
                format!("a {} with a similar name exists: `{}`", found.item.kind.noun(), found.name)
            }
            None => format!("declare `{declare}`, or write `({name})` for a Rust value"),
        }
    }
}

impl<'n, 'a> Subject<'n, 'a> {
    fn kind(self) -> Kind {
        self.declaration.item.kind
    }

    /// As in "container `ping`".
    fn title(self) -> String {
        format!("{} `{}`", self.kind().noun(), self.declaration.name)
    }

    /// The statements that the parser understood completely and that are allowed here.
    fn statements(self) -> impl Iterator<Item = &'n Placed<'a>> {
        self.body.statements.iter().filter(|placed| placed.is_understood)
    }
}

/// The first earlier one that always happens together with this one.
fn earlier<'l, T>(seen: &'l [(T, &Placed)], placed: &Placed, same: impl Fn(&T) -> bool) -> Option<&'l T> {
    seen.iter().find(|(what, other)| same(what) && other.place.meets(&placed.place)).map(|(what, _)| what)
}
