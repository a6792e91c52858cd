//! The names by which a session's services are known: to say who was meant by one that cannot be resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

/// More names than any pipeline has; later ones are not recognised.
const MOST: usize = 4096;

/// Aliases of services, wherever they are bound, and the services' names.
#[derive(Debug, Default)]
pub(in crate::session) struct Names {
    aliases: BTreeMap<String, Arc<str>>,
}

impl Names {
    pub(in crate::session) fn learn(&mut self, aliases: BTreeMap<String, Arc<str>>) {
        if self.aliases.len() < MOST {
            self.aliases.extend(aliases);
        }
    }

    /// All aliases, each with the name of its service.
    pub(in crate::session) fn all(&self) -> BTreeMap<String, Arc<str>> {
        self.aliases.clone()
    }
}
