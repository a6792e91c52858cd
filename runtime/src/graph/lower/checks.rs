//! What only a whole definition can show to be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Lowering, UNDEFINED};
use crate::graph::node::{Binding, Config, Mount, MountSource, ServiceNode};
use crate::model::{Access, CacheKey, CacheUse, Port, Protocol, Sharing};
use crate::value::{Check, Op, PortRef, ServiceBody};

/// The service whose host name a text was made of before it had one.
fn undefined_in(text: &str) -> Option<&str> {
    let end = text.find(UNDEFINED)?;
    let before = text.get(..end)?;
    before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next()
}

/// Who would lock a cache.
#[derive(Clone, Copy)]
pub(super) enum Locking<'a> {
    /// A step of it, which takes what it locks.
    Container(&'a str),
    /// A service takes whatever it writes to, too.
    Service(&'a str),
}

/// A service that has a cache as long as it runs.
struct Holder {
    service: Arc<str>,
    is_locked: bool,
}

/// The caches of mounts that are not private: those that are locked, and with `written` those that may be written to.
fn caches(mounts: &[Mount], written: bool) -> impl Iterator<Item = CacheUse> {
    mounts.iter().filter_map(move |mount| match &mount.source {
        MountSource::Cache(cache) => {
            let is_written = written && mount.access == Access::ReadWrite;
            let is_taken =
                cache.sharing == Sharing::Locked || (is_written && cache.sharing == Sharing::Shared);
            is_taken.then(|| cache.clone())
        }
        _ => None,
    })
}

impl Lowering {
    pub(super) fn check_own_name(&mut self, name: &str, config: &Config, bindings: &[Binding]) {
        let Some(hostname) = &config.hostname else { return };
        for alias in bindings.iter().flat_map(|binding| &binding.aliases) {
            if let Err(problem) = crate::rules::own_name(alias, hostname) {
                self.invalid(name, problem.to_string());
            }
        }
    }

    /// Nobody can have a cache alone that a service holds for whose sake it runs.
    pub(super) fn check_locks(&mut self, user: Locking<'_>, mounts: &[Mount], bindings: &[Binding]) {
        let mut held: BTreeMap<CacheKey, Holder> = BTreeMap::new();
        let mut open: Vec<&Arc<ServiceNode>> = bindings.iter().map(|binding| &binding.service).collect();
        let mut seen = BTreeSet::new();
        let (name, what) = match user {
            Locking::Container(name) => (name, "container"),
            Locking::Service(name) => (name, "service"),
        };
        while let Some(service) = open.pop() {
            if !seen.insert(service.digest) {
                continue;
            }
            open.extend(service.bindings.iter().map(|binding| &binding.service));
            for CacheUse { key, sharing } in caches(&service.mounts, true) {
                let is_locked = sharing == Sharing::Locked;
                if let Some(other) = held.get(&key).filter(|other| is_locked || other.is_locked) {
                    let message = format!(
                        "{what} `{name}` needs the services `{}` and `{}` at once, and both hold the cache `{key}`, which one of them locks\n\nhelp: give one of them a cache of its own",
                        other.service, service.name
                    );
                    return self.invalid(name, message);
                }
                held.insert(key, Holder { service: service.name.clone(), is_locked });
            }
        }
        for CacheUse { key, sharing } in caches(mounts, matches!(user, Locking::Service(_))) {
            let Some(holder) = held.get(&key) else { continue };
            if sharing == Sharing::Locked || (holder.is_locked && matches!(user, Locking::Service(_))) {
                let message = format!(
                    "{what} `{name}` would wait for the cache `{key}` for ever: its service `{}` holds it as long as it runs\n\nhelp: mount the cache without `locked` in both, or give one of them a cache of its own",
                    holder.service
                );
                return self.invalid(name, message);
            }
        }
    }

    pub(super) fn check_defined(&mut self, name: &str, text: &str) {
        if let Some(service) = undefined_in(text) {
            let message = format!(
                "the host name of service `{service}` was asked for before it was defined\n\nhelp: define `{service}` first, or bind it and use the alias"
            );
            self.invalid(name, message);
        }
    }

    /// A server outside of all containers takes nothing that is said of a process.
    pub(super) fn check_server(&mut self, name: &str, service: &ServiceBody) {
        let ops = service.body.ops.iter().any(|op| !matches!(op.value, Op::Invalid(_)));
        if ops || service.run.is_some() || service.stop.is_some() || service.is_shared {
            let message = format!(
                "service `{name}` is a server outside of all containers: nothing can be run, mounted or set there\n\nhelp: `host_service` takes ports, and `ready` by its ports or a page"
            );
            self.invalid(name, message);
        }
        for ready in &service.ready {
            if matches!(ready.check, Check::Exec(_) | Check::Log { .. } | Check::Image) {
                let message = format!(
                    "service `{name}` is a server outside of all containers, whose commands and output nobody knows\n\nhelp: it can be `ready` by its ports, or by a page: `Ready::http(\"/\")`"
                );
                self.invalid(name, message);
            }
        }
    }

    /// Other processes have to find what it is made of, and reach what it is bound to.
    pub(super) fn check_shared(&mut self, service: &ServiceNode) {
        let ServiceNode { name, bindings, .. } = service;
        if let Some(own) = bindings.iter().map(|binding| &binding.service).find(|bound| !bound.is_shared) {
            let message = format!(
                "service `{name}` is shared by processes, and is bound to `{}`, which is not\n\nhelp: add `shared;` to `{0}` too",
                own.name
            );
            self.invalid(name, message);
        } else if service.ports.is_empty() {
            let message = format!(
                "service `{name}` is shared by processes, which reach it at its ports, and exposes none\n\nhelp: add `expose PORT;`"
            );
            self.invalid(name, message);
        } else if service.is_volatile() || service.has_left_overs() {
            let message = format!(
                "service `{name}` is shared by processes, and is made of what only this session has\n\nhelp: make it of steps that are cached: without `uncached`, and not of what a failed step left"
            );
            self.invalid(name, message);
        }
    }

    pub(super) fn check_ready(&mut self, name: &str, check: &Check, ports: &[Port]) {
        let Check::Http { path, port } = check else { return };
        if path.chars().any(char::is_control) {
            let message = format!("`ready http` takes no control characters in its path, found {path:?}");
            self.invalid(name, message);
        }
        if !path.starts_with('/') {
            self.invalid(
                name,
                format!("`ready http` needs an absolute path, found `{path}`\n\nhelp: `/{path}`"),
            );
        }
        let tcp: Vec<_> = ports.iter().filter(|port| port.protocol == Protocol::Tcp).collect();
        match port {
            Some(PortRef::Name(wanted)) if !ports.iter().any(|port| port.name.as_ref() == Some(wanted)) => {
                self.invalid(name, format!("service `{name}` has no port named `{wanted}`"));
            }
            None if tcp.is_empty() => self.invalid(
                name,
                format!("service `{name}` has no exposed port to probe\n\nhelp: add `expose ...;` or use `ready exec [...]`"),
            ),
            None if tcp.len() > 1 => self.invalid(
                name,
                format!("service `{name}` exposes {} ports\n\nhelp: say which: `ready http \"{path}\" on PORT`", tcp.len()),
            ),
            _ => {}
        }
    }
}
