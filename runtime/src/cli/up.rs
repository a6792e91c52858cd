//! `up`: services that run until Ctrl-C, at ports of this machine.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Command;
use futures_util::future::{select_all, try_join_all};

use super::failure::Failure;
use super::options::{Needs, globs, switch};
use super::{Call, print, select};
use crate::graph::{Plan, PlannedFiles};
use crate::session::Session;
use crate::terminal;
use crate::value::{Item, ItemHandle, Service};
use crate::{Error, Result, Tunnel, report};

pub(super) const NAME: &str = "up";
pub(super) const NEEDS: Needs = Needs::Engine;

/// How often the files of this machine are looked at.
const PERIOD: Duration = Duration::from_secs(1);

pub(super) fn describe(command: Command) -> Command {
    command
        .about("Start services and forward ports of this machine to them, until Ctrl-C")
        .arg(globs("Only these services; by default all of them"))
        .arg(switch("watch", "Start a service anew when files of this machine that it is made of change"))
}

pub(super) async fn run(call: Call<'_>) -> Result<(), Failure> {
    let globs = call.given.texts("glob");
    let items = select::select(call.items, &globs)?;
    let services: Vec<(&Item, &Service)> = items
        .iter()
        .filter_map(|item| match &item.handle {
            ItemHandle::Service(service) => Some((*item, service)),
            _ => None,
        })
        .collect();
    if services.is_empty() {
        let message =
            if globs.is_empty() { "the pipeline has no services" } else { "none of these is a service" };
        return Err(Failure::NothingMatched(message.to_owned()));
    }
    let _keys = report::listen();
    let is_watching = call.given.is_set("watch");
    loop {
        let seen = if is_watching { files(&services)? } else { Vec::new() };
        let open = services.iter().map(|(_, service)| async move { service.tunnel().on_host_ports().await });
        let tunnels: Vec<Tunnel> = try_join_all(open).await?;
        tell(&services, &tunnels)?;
        let ended = select_all(tunnels.iter().map(|tunnel| Box::pin(tunnel.ended())));
        if !is_watching {
            return Err(ended.await.0.into());
        }
        tokio::select! {
            (error, ..) = ended => return Err(error.into()),
            changed = change(&services, &seen) => changed?,
        }
        // Ports that the next instances need are free once nothing holds these.
        drop(tunnels);
        Session::current().refresh();
    }
}

/// The addresses, one a line.
fn tell(services: &[(&Item, &Service)], tunnels: &[Tunnel]) -> Result<(), Failure> {
    let mut lines = String::new();
    for ((item, _), tunnel) in services.iter().zip(tunnels) {
        let name = terminal::plain(&item.name);
        for (port, address) in tunnel.addresses() {
            let of_port = port.name().map(|name| format!(" as {name}")).unwrap_or_default();
            let _ = writeln!(lines, "{name}: {address} ({port}{of_port})");
        }
        if tunnel.addresses().next().is_none() {
            let _ = writeln!(lines, "{name}: ready");
        }
    }
    print::text(&lines)
}

/// What is in the files of this machine that the services are made of.
fn files(services: &[(&Item, &Service)]) -> Result<Vec<PlannedFiles>> {
    Ok(Plan::of_items(services.iter().map(|(item, _)| *item)).with_files()?.files)
}

/// Returns once something in the files is another than it was. A file that cannot be read at the moment, as it is being
/// replaced, is looked at again.
async fn change(services: &[(&Item, &Service)], seen: &[PlannedFiles]) -> Result<(), Error> {
    loop {
        tokio::time::sleep(PERIOD).await;
        if files(services).is_ok_and(|now| now != seen) {
            return Ok(());
        }
    }
}
