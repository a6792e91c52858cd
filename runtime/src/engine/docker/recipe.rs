//! What a container is made of, and what is made of it.

use super::cleaner::Container;
use crate::engine::{Filesystem, Link, Process};

/// A container to be made.
pub(super) struct Recipe<'a> {
    /// The engine's name for it.
    pub(super) container: String,
    /// What people call it.
    pub(super) name: &'a str,
    pub(super) kind: &'static str,
    pub(super) hostname: &'a str,
    pub(super) filesystem: &'a Filesystem,
    pub(super) process: Option<&'a Process>,
    pub(super) links: &'a [Link],
    pub(super) reach: Reach,
    /// Whether standard input will be written; it is empty otherwise.
    pub(super) has_stdin: bool,
}

/// Where a container is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// On the engine's default network: the world, and no service of ours. What listens here is reached by nobody.
    World,
    /// On the session's network: the services it is linked to.
    Services,
}

/// A container that exists and has not been started.
pub(super) struct Created {
    pub(super) container: Container,
    /// The variables that an image made of it would have by name: all that are set, none of their values.
    pub(super) variables: Vec<String>,
}
