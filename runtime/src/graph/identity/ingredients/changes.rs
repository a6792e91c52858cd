//! What has changed of a step, by its parts and those of its services.

use std::collections::HashMap;

use super::{Ingredients, MadeOf, OfService};

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    New(String),
    Changed(String),
    Gone(String),
}

impl Ingredients {
    /// What has changed since then; empty if nothing has.
    pub(crate) fn changes_since(&self, before: &Self) -> Vec<Change> {
        if self.key == before.key {
            return Vec::new();
        }
        let (mut changed, bound) = self.parts.changes_since(&before.parts);
        let of_services = if bound.is_empty() { Vec::new() } else { self.of_services_since(before) };
        if of_services.is_empty() {
            changed.extend(bound);
        } else {
            changed.extend(of_services);
        }
        if changed.is_empty() {
            changed = self.parts.fields_since(&before.parts);
        }
        if changed.is_empty() { vec![Change::Changed("bowline's own version".to_owned())] } else { changed }
    }

    /// What has changed of the services that were there before too.
    fn of_services_since(&self, before: &Self) -> Vec<Change> {
        let other = |one: &[OfService], services: &'_ [OfService]| {
            let is_other = |service: &&OfService| !one.iter().any(|same| same.key == service.key);
            services.iter().filter(is_other).cloned().collect::<Vec<_>>()
        };
        let mut then = other(&self.services, &before.services);
        let mut now = other(&before.services, &self.services);
        // As they are found is no order for people.
        now.sort_by(|one, other| one.name.cmp(&other.name));
        let mut changed = Vec::new();
        for service in now {
            let Some(place) = then.iter().position(|other| other.name == service.name) else { continue };
            let before = then.swap_remove(place);
            let (mut own, bound) = service.parts.changes_since(&before.parts);
            // What is bound is among the services itself.
            if own.is_empty() && bound.is_empty() {
                own = service.parts.fields_since(&before.parts);
            }
            changed.extend(own.into_iter().map(|change| change.of(&service.name)));
        }
        changed
    }
}

impl Change {
    /// The same of a service.
    fn of(self, service: &str) -> Self {
        let of = |part: String| match part.strip_prefix("its ") {
            Some(rest) => format!("the {rest} of service {service}"),
            None => format!("{part} of service {service}"),
        };
        match self {
            Self::New(part) => Self::New(of(part)),
            Self::Changed(part) => Self::Changed(of(part)),
            Self::Gone(part) => Self::Gone(of(part)),
        }
    }
}

impl MadeOf {
    /// What has changed, and which services are others than they were.
    fn changes_since(&self, before: &Self) -> (Vec<Change>, Vec<Change>) {
        let mut changed = changes(&numbered(&self.parts), &numbered(&before.parts));
        let bindings = changes(&numbered(&self.bindings), &numbered(&before.bindings));
        let (bound, rest): (Vec<_>, Vec<_>) =
            bindings.into_iter().partition(|change| matches!(change, Change::Changed(_)));
        changed.extend(rest);
        (changed, bound)
    }

    /// What has no part of its own, or the order of parts.
    fn fields_since(&self, before: &Self) -> Vec<Change> {
        let words = |fields: &[(String, String)]| -> Vec<(String, String)> {
            fields.iter().map(|(field, hash)| (in_words(field).to_owned(), hash.clone())).collect()
        };
        let (now, then) = (words(&self.fields), words(&before.fields));
        changes(&numbered(&now), &numbered(&then))
    }
}

/// A part's name, and which of those of the same name it is, with its hash.
type Numbered<'a> = Vec<((&'a str, usize), &'a str)>;

fn numbered(parts: &[(String, String)]) -> Numbered<'_> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    parts
        .iter()
        .map(|(name, hash)| {
            let number = seen.entry(name).or_default();
            *number += 1;
            ((name.as_str(), *number), hash.as_str())
        })
        .collect()
}

fn changes(now: &Numbered<'_>, then: &Numbered<'_>) -> Vec<Change> {
    let before: HashMap<_, _> = then.iter().copied().collect();
    let after: HashMap<_, _> = now.iter().copied().collect();
    let changed = now.iter().filter_map(|(name, hash)| match before.get(name) {
        None => Some(Change::New(name.0.to_owned())),
        Some(other) if other != hash => Some(Change::Changed(name.0.to_owned())),
        Some(_) => None,
    });
    let gone = then.iter().filter(|(name, _)| !after.contains_key(name));
    changed.chain(gone.map(|(name, _)| Change::Gone(name.0.to_owned()))).collect()
}

/// A field of the encoding, for people.
fn in_words(field: &str) -> &str {
    match field {
        "base" => "what it starts from",
        "files" => "the order of its files and copies",
        "arguments" => "the number of its arguments",
        "environment" => "its environment",
        "workdir" => "its working directory",
        "user" => "its user",
        "hostname" => "its host name",
        "entrypoint" => "its entry point",
        "bindings" => "its services",
        "mounts" => "its mounts",
        "instance" => "its instance",
        "after" => "what comes before it",
        "stdin" => "its standard input",
        "expect" => "how it is expected to end",
        "stdout" | "stderr" => "where its output goes",
        "uncached" => "that it is uncached",
        other => other,
    }
}
