//! What a command line says: before the subcommand, and behind it.

use clap::ArgMatches;
use clap::parser::ValueSource;

/// The matches of a subcommand and of what stands before it. Without a subcommand both are the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) before: &'a ArgMatches,
    pub(super) own: &'a ArgMatches,
}

impl<'a> Given<'a> {
    /// The matches that have an argument: those of the subcommand, unless it is given only before it.
    pub(super) fn of(&self, id: &str) -> &'a ArgMatches {
        let is_given = |matches: &ArgMatches| {
            has(matches, id) && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        if is_given(self.own) || !is_given(self.before) && has(self.own, id) { self.own } else { self.before }
    }

    pub(super) fn is_set(&self, id: &str) -> bool {
        self.of(id).get_flag(id)
    }

    pub(super) fn text(&self, id: &str) -> Option<&'a str> {
        self.of(id).get_one::<String>(id).map(String::as_str)
    }

    pub(super) fn texts(&self, id: &str) -> Vec<&'a str> {
        let texts = self.of(id).get_many::<String>(id).unwrap_or_default();
        texts.map(String::as_str).collect()
    }

    /// An argument that was given before the subcommand, which does not take it.
    pub(super) fn misplaced(&self) -> Option<&'a str> {
        let ids = self.before.ids().map(clap::Id::as_str);
        let is_given = |id: &&str| self.before.value_source(id) == Some(ValueSource::CommandLine);
        ids.filter(is_given).find(|id| !has(self.own, id))
    }
}

/// Whether a command has such an argument at all.
fn has(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok()
}
