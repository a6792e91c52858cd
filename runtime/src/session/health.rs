//! When a service is ready: its ports, or what `ready` says, within its limit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::log::ServiceLog;
use super::scrub::Secrets;
use crate::engine::{Healthcheck, Image, Instance, ProbeProgress};
use crate::error::{ServiceCause, command_line};
use crate::graph::ServiceNode;
use crate::value::{Check, Port, PortRef, Protocol};
use crate::{Error, Result};

/// The pause between tries that cost a process: from this, half as much again each time …
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What is watched, and where.
pub(super) struct Watched<'a> {
    pub(super) service: &'a ServiceNode,
    pub(super) image: Option<&'a Image>,
    pub(super) instance: &'a Arc<dyn Instance>,
    pub(super) log: &'a ServiceLog,
    pub(super) secrets: &'a Secrets,
}

/// Why a service is not ready.
pub(super) enum Failure {
    /// What it did, for the service's error.
    Service(ServiceCause),
    /// The engine failed.
    Engine(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

/// Waits until the service is ready, for as long as its definition allows.
pub(super) async fn wait(watched: &Watched<'_>) -> Result<(), Failure> {
    let progress = ProbeProgress::default();
    if let Ok(result) = timeout(watched.service.within, watched.check(&progress)).await {
        return result;
    }
    let mut failing = progress.failing();
    if failing.is_empty() {
        failing.push((watched.what(), "nothing was found in time".to_owned()));
    }
    Err(Failure::Service(ServiceCause::NotReady { within: watched.service.within, failing }))
}

impl Watched<'_> {
    async fn check(&self, progress: &ProbeProgress) -> Result<(), Failure> {
        match &self.service.ready {
            Check::Ports => self.ports(progress).await?,
            Check::Http { path, port } => {
                let port = self.http_port(port.as_ref())?;
                self.instance.wait_http(port, path, progress).await?;
            }
            Check::Exec(args) => self.until_success(args, progress).await?,
            Check::Log { text, times } => {
                progress.note(&self.what(), Some("not written yet"));
                self.log.wait_for(text, *times).await;
            }
            Check::Image => {
                match self.image.and_then(|image| image.config.healthcheck.as_ref().map(|h| (h, image))) {
                    Some((check, image)) => match command(check, image) {
                        Some(args) => return self.image_check(check, &args, progress).await,
                        None => self.ports(progress).await?,
                    },
                    None => self.ports(progress).await?,
                }
            }
        }
        Ok(())
    }

    /// How a command inside ended, and the last it said, without secrets.
    fn outcome(&self, result: &crate::engine::StepOutput) -> String {
        let text = if result.stderr.is_empty() { &result.stdout } else { &result.stderr };
        let text = self.secrets.scrub_text(&String::from_utf8_lossy(text));
        match text.trim().lines().last() {
            None => format!("exit code {}", result.exit_code),
            Some(line) => format!("exit code {}: {line}", result.exit_code),
        }
    }

    /// What the service is asked, in words.
    fn what(&self) -> String {
        match &self.service.ready {
            Check::Ports => "ports".to_owned(),
            Check::Http { path, .. } => format!("GET {path}"),
            Check::Exec(args) => format!("`{}`", command_line(args)),
            Check::Log { text, times: 1 } => format!("{text:?} in its log"),
            Check::Log { text, times } => format!("{text:?} in its log, {times} times"),
            Check::Image => "the image's health check".to_owned(),
        }
    }

    async fn ports(&self, progress: &ProbeProgress) -> Result<()> {
        let probed: Vec<Port> = self.service.ports.iter().filter(|port| port.probed).cloned().collect();
        if probed.is_empty() {
            return Ok(());
        }
        self.instance.wait_ports(&probed, progress).await
    }

    fn http_port(&self, wanted: Option<&PortRef>) -> Result<u16> {
        let ports = &self.service.ports;
        let found = match wanted {
            Some(PortRef::Number(number)) => Some(*number),
            Some(PortRef::Name(name)) => {
                ports.iter().find(|port| port.name() == Some(name)).map(Port::number)
            }
            None => ports.iter().find(|port| port.protocol == Protocol::Tcp).map(Port::number),
        };
        found.ok_or_else(|| Error::invalid(Some(&self.service.name), "`ready http` has no port to ask"))
    }

    async fn until_success(&self, args: &[String], progress: &ProbeProgress) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            let result = self.instance.exec(args).await?;
            if result.exit_code == 0 {
                return Ok(());
            }
            progress.note(&self.what(), Some(&self.outcome(&result)));
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// The image's own check, by its own measure of failure: it may fail during the start period, and `retries` times
    /// afterwards, once an interval. It is tried more often than that, so that a service that is ready is seen at once.
    async fn image_check(
        &self,
        check: &Healthcheck,
        args: &[String],
        progress: &ProbeProgress,
    ) -> Result<(), Failure> {
        // The defaults of Dockerfile's HEALTHCHECK.
        let or = |value: Duration, default: u64| {
            if value.is_zero() { Duration::from_secs(default) } else { value }
        };
        let (interval, limit) = (or(check.interval, 30), or(check.timeout, 30));
        let retries = if check.retries == 0 { 3 } else { check.retries };
        let began = Instant::now();
        let mut next_counted = began + check.start_period.max(interval);
        let (mut failures, mut pause) = (0, FIRST_PAUSE);
        loop {
            let found = match timeout(limit, self.instance.exec(args)).await {
                Ok(result) => {
                    let result = result?;
                    if result.exit_code == 0 {
                        return Ok(());
                    }
                    self.outcome(&result)
                }
                Err(_) => format!("took longer than {}", crate::error::show_duration(limit)),
            };
            progress.note(&format!("`{}`", command_line(args)), Some(&found));
            if Instant::now() >= next_counted {
                failures += 1;
                next_counted += interval;
            }
            if failures >= retries {
                let message = format!(
                    "the image's health check `{}` failed {failures} times: {found}",
                    command_line(args)
                );
                return Err(Failure::Service(ServiceCause::Check(message)));
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE).min(interval);
        }
    }
}

/// The command of an image's health check; `None` where there is none to run.
fn command(check: &Healthcheck, image: &Image) -> Option<Vec<String>> {
    match check.test.split_first() {
        Some((kind, args)) if kind == "CMD" && !args.is_empty() => Some(args.to_vec()),
        Some((kind, [line])) if kind == "CMD-SHELL" => {
            let shell = if image.config.shell.is_empty() {
                vec!["/bin/sh".to_owned(), "-c".to_owned()]
            } else {
                image.config.shell.clone()
            };
            Some(shell.into_iter().chain([line.clone()]).collect())
        }
        _ => None,
    }
}
