//! Probes from within the service's network, for addresses that cannot be reached from here.
//!
//! A container joins the service's network namespace and runs a program of a few kilobytes (`helper/README.md`) that
//! polls there: a probe costs one container start (about 0.1 s), and an open port is still noticed at once. The program
//! comes in an image of its own, which is put into an engine the first time it is needed.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use futures_util::StreamExt as _;

use super::super::cleaner::Container;
use super::super::failure::{self, BRIEF, LONG, during, within};
use super::super::{helper, labels, names};
use super::target::{Prober, Target};
use crate::engine::ProbeProgress;
use crate::engine::probe::http;
use crate::engine::sockets::{self, Listening};
use crate::model::Port;
use crate::{Error, Result};

/// A helper that ends before everything is found is restarted, but only this often.
const STARTS: usize = 3;

/// The value of a helper's kind label.
const KIND_PROBE: &str = "probe";

/// Waits until all of these ports are open.
pub(super) async fn wait_ports(
    prober: Prober<'_>,
    target: &Target,
    ports: &[Port],
    progress: &ProbeProgress,
) -> Result<()> {
    let mut args = vec!["wait".to_owned(), target.ip.to_string()];
    args.extend(ports.iter().map(ToString::to_string));
    let mut closed: HashSet<String> = ports.iter().map(ToString::to_string).collect();
    let hear = |port: &str, found: &str| {
        if closed.contains(port) {
            progress.note(port, (found != OPEN).then_some(found));
        }
        if found == OPEN {
            closed.remove(port);
        }
        closed.is_empty()
    };
    run(prober, target, &args, hear).await
}

/// Waits until a page is served.
pub(super) async fn wait_http(
    prober: Prober<'_>,
    target: &Target,
    port: u16,
    path: &str,
    progress: &ProbeProgress,
) -> Result<()> {
    let args = ["http".to_owned(), target.ip.to_string(), port.to_string(), path.to_owned()];
    let name = http::name(port, path);
    let hear = |subject: &str, found: &str| {
        if subject == "http" {
            progress.note(&name, (found != OPEN).then_some(found));
        }
        found == OPEN
    };
    run(prober, target, &args, hear).await
}

/// The sockets that wait for clients.
pub(super) async fn listening(prober: Prober<'_>, target: &Target) -> Result<BTreeSet<Listening>> {
    let mut found = BTreeSet::new();
    let hear = |subject: &str, what: &str| {
        if found.len() < MOST_SOCKETS {
            found.extend(sockets::said(subject, what));
        }
        subject == "all"
    };
    run(prober, target, &["sockets".to_owned()], hear).await?;
    Ok(found)
}

/// More sockets than these are not remembered, whoever says them.
const MOST_SOCKETS: usize = 1024;

/// The word that the helper prints for a port or page that is ready.
const OPEN: &str = "open";

/// Runs the helper until it has found everything it was asked for: `hear` gets each of its lines, split after the first
/// word, and returns whether that is so.
async fn run(
    prober: Prober<'_>,
    target: &Target,
    args: &[String],
    mut hear: impl FnMut(&str, &str) -> bool,
) -> Result<()> {
    let mut last = None;
    for _ in 0..STARTS {
        // Checked each time, as the engine's images may be pruned in between.
        let image = helper::ready(prober.client, prober.platform).await?;
        let failed = match run_once(prober, target, &image, args, &mut hear).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !is_running(prober, target).await {
            // A service that has ended cannot be probed. Whoever waits for its end is told.
            std::future::pending::<()>().await;
        }
        last = Some(failed);
    }
    Err(last.unwrap_or_else(|| Error::engine(WHAT, "it was never started")))
}

const WHAT: &str = "probe a service from a container in its network";

/// One helper, from its creation until everything is found. An error says why it ended earlier.
async fn run_once(
    prober: Prober<'_>,
    target: &Target,
    image: &str,
    args: &[String],
    hear: &mut impl FnMut(&str, &str) -> bool,
) -> Result<()> {
    // Dropped, and the helper removed with it, when this function ends or is cancelled.
    let container = create(prober, target, image, args).await?;
    let attach = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
    let attached = within(BRIEF, prober.client.attach_container(container.name(), Some(attach))).await;
    let mut output = attached.map_err(during(WHAT))?.output;
    within(LONG, prober.client.start_container(container.name(), None)).await.map_err(during(WHAT))?;

    let mut text = Vec::new();
    let mut last = "it ended and wrote nothing".to_owned();
    while let Some(piece) = output.next().await {
        let piece = match piece.map_err(during(WHAT))? {
            LogOutput::StdOut { message }
            | LogOutput::StdErr { message }
            | LogOutput::Console { message } => message,
            LogOutput::StdIn { .. } => continue,
        };
        text.extend_from_slice(&piece);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&text[..end]).into_owned();
            text.drain(..=end);
            if let Some((subject, found)) = line.split_once(' ')
                && hear(subject, found)
            {
                return Ok(());
            }
            last = format!("it ended after `{line}`");
        }
    }
    Err(Error::engine(WHAT, last))
}

async fn create(prober: Prober<'_>, target: &Target, image: &str, args: &[String]) -> Result<Container> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-p{number}", names::prefix(prober.session));
    let mut labels = labels::of(prober.session, "probe");
    labels.insert(labels::KIND.to_owned(), KIND_PROBE.to_owned());

    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec![helper::PROBE.to_owned()]),
        cmd: Some(args.to_vec()),
        // It needs no privileges, whatever the service has.
        user: Some("65534:65534".to_owned()),
        labels: Some(labels),
        host_config: Some(HostConfig {
            network_mode: Some(format!("container:{}", target.container)),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            // Its output is read as it comes, and of no use later.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let client = prober.client.clone();
    let container = Container::new(prober.cleaner, name);
    let create = async move {
        within(BRIEF, client.create_container(Some(options), body)).await.map_err(during(WHAT))?;
        Ok(container)
    };
    prober.cleaner.to_its_end(WHAT, create).await
}

/// Whether the service still runs; assumed so if the engine cannot say.
async fn is_running(prober: Prober<'_>, target: &Target) -> bool {
    match within(BRIEF, prober.client.inspect_container(&target.container, None)).await {
        Ok(service) => service.state.and_then(|state| state.running).unwrap_or(true),
        Err(error) => !failure::is_absent(&error),
    }
}
