//! What only a whole definition can show to be wrong.

use super::{Lowering, UNDEFINED};
use crate::graph::node::{Binding, Config, ServiceNode};
use crate::model::{Port, Protocol};
use crate::value::{Check, Op, PortRef, ServiceBody};

/// The service whose host name a text was made of before it had one.
fn undefined_in(text: &str) -> Option<&str> {
    let end = text.find(UNDEFINED)?;
    let before = text.get(..end)?;
    before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next()
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
