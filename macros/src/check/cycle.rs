//! Items that need each other in a cycle. One error for each cycle, at the statement that closes it, with the whole path.

use std::collections::BTreeMap;

use proc_macro2::Span;
use syn::ext::IdentExt;

use super::Check;
use crate::ast::{Operand, StatementKind};
use crate::errors::help;
use crate::names::{Meaning, Names};
use crate::registry::{BINDING_CYCLE, WAITING_CYCLE};

/// One item needs another.
#[derive(Clone, Copy)]
struct Need {
    from: usize,
    to: usize,
    verb: &'static str,
    span: Span,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

struct Search<'s> {
    /// By the item that has the need.
    needs: &'s BTreeMap<usize, Vec<Need>>,
    marks: Vec<Mark>,
    way: Vec<Need>,
    cycles: Vec<Vec<Need>>,
}

pub(super) fn check_cycles(cx: &mut Check) {
    let mut needs: BTreeMap<usize, Vec<Need>> = BTreeMap::new();
    for need in self::needs(cx.names) {
        needs.entry(need.from).or_default().push(need);
    }
    let count = cx.names.declarations.len();
    let mut search =
        Search { needs: &needs, marks: vec![Mark::New; count], way: Vec::new(), cycles: Vec::new() };
    for item in 0..count {
        search.visit(item);
    }
    let cycles = search.cycles;
    for cycle in cycles {
        report(cx, &cycle);
    }
}

/// The unconditional needs: a cycle through an `if` may never close.
fn needs(names: &Names) -> Vec<Need> {
    let mut needs = Vec::new();
    for body in &names.bodies {
        for placed in body.statements.iter().filter(|placed| placed.place.is_certain()) {
            let (verb, operand) = match &placed.statement.kind {
                StatementKind::Bind { service, .. } => ("binds", service),
                StatementKind::From(other) => ("comes from", other),
                StatementKind::After(other) => ("waits for", other),
                _ => continue,
            };
            let Operand::Name(ident) = operand else {
                continue;
            };
            let Meaning::Item(found) = names.meaning(&ident.unraw().to_string(), placed.scope) else {
                continue;
            };
            // A service that binds itself gets an error of its own.
            if found.index != body.declaration || verb != "binds" {
                needs.push(Need { from: body.declaration, to: found.index, verb, span: ident.span() });
            }
        }
    }
    needs
}

impl Search<'_> {
    fn visit(&mut self, item: usize) {
        if self.marks.get(item) != Some(&Mark::New) {
            return;
        }
        self.mark(item, Mark::Open);
        for need in self.needs.get(&item).into_iter().flatten() {
            self.way.push(*need);
            match self.marks.get(need.to) {
                Some(Mark::Open) => {
                    let start = self.way.iter().position(|step| step.from == need.to).unwrap_or(0);
                    self.cycles.push(self.way.iter().skip(start).copied().collect());
                }
                Some(Mark::New) => self.visit(need.to),
                Some(Mark::Done) | None => {}
            }
            self.way.pop();
        }
        self.mark(item, Mark::Done);
    }

    fn mark(&mut self, item: usize, mark: Mark) {
        if let Some(slot) = self.marks.get_mut(item) {
            *slot = mark;
        }
    }
}

fn report(cx: &mut Check, cycle: &[Need]) {
    let (Some(first), Some(last)) = (cycle.first(), cycle.last()) else {
        return;
    };
    let name = |item: usize| {
        cx.names
            .declarations
            .get(item)
            .map_or_else(String::new, |declaration| format!("`{}`", declaration.name))
    };
    let mut way: Vec<String> = cycle.iter().map(|need| name(need.from)).collect();
    way.push(name(first.from));
    let way = way.join(" → ");
    let steps: Vec<String> = cycle
        .iter()
        .map(|need| {
            let at = cx.errors.on_line(need.span);
            format!("{} {} {}{at}", name(need.from), need.verb, name(need.to))
        })
        .collect();
    let is_all = |verb: &str| cycle.iter().all(|need| need.verb == verb);
    let (rule, message) = if is_all("binds") {
        (&BINDING_CYCLE, format!("services bind each other in a cycle: {way}"))
    } else if cycle.len() == 1 {
        (&WAITING_CYCLE, format!("{} {} itself", name(first.from), first.verb))
    } else if cycle.iter().any(|need| need.verb == "binds") {
        (&WAITING_CYCLE, format!("services and containers need each other in a cycle: {way}"))
    } else {
        (&WAITING_CYCLE, format!("containers wait for each other: {way}"))
    };
    if cycle.len() == 1 {
        cx.errors.at(rule, last.span, message);
    } else {
        cx.errors.at(rule, last.span, help(message, steps.join(", ")));
    }
}
