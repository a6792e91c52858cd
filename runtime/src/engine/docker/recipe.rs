//! The recipe of a container, and the container made from it.

use super::cleaner::Container;
use crate::engine::{Filesystem, Link, Process};
use crate::model::RunId;

/// The host name of a step: the same on every machine, so that nothing depends on it.
pub(super) const HOSTNAME_OF_STEPS: &str = "bowline";

/// A container to be made.
pub(super) struct Recipe<'a> {
    /// The engine's name for it.
    pub(super) container: String,
    /// The name for people.
    pub(super) name: &'a str,
    /// The value of its kind label.
    pub(super) kind: &'static str,
    /// The run of the step that it is made for.
    pub(super) run: Option<&'a RunId>,
    /// The host name that it sees.
    pub(super) hostname: &'a str,
    pub(super) filesystem: &'a Filesystem,
    pub(super) process: Option<&'a Process>,
    pub(super) links: &'a [Link],
    /// The network it is on.
    pub(super) scope: NetworkScope,
    pub(super) stdin: Stdin,
    pub(super) first: First,
}

/// Process 1 of a container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// The engine's init, which ends with the container's process; or that process, where the engine has no init.
    Init,
    /// The container's process, which is ours.
    Own,
}

/// The standard input of a container's process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdin {
    Empty,
    /// It will be written.
    Written,
    /// A terminal, which is the process's output too.
    Terminal,
}

/// The network of a container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NetworkScope {
    /// The engine's default network: it reaches the world, and none of our services. Nobody reaches what listens here.
    World,
    /// The session's network: it also reaches the services that it is linked to.
    Services,
}

/// A container that exists and has not been started.
pub(super) struct Created {
    pub(super) container: Container,
    /// The variables whose names an image made of it must list: all that are set, without their values.
    pub(super) variables: Vec<String>,
}
