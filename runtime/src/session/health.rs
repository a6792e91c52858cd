//! Readiness of a service: its ports and `ready` conditions, within their limits.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::hints::{self, Unanswered};
use super::log::ServiceLog;
use super::process;
use super::scrub::Secrets;
use crate::engine::{Healthcheck, Image, Instance, PortNumber, ProbeProgress, is_silence, name_of_page};
use crate::error::{ServiceCause, shown_command};
use crate::event::{EventKind, Span};
use crate::graph::{ServiceBase, ServiceNode};
use crate::model::{Port, Protocol};
use crate::value::{Check, PortRef};
use crate::{Error, Result};

/// The backoff between probes that start a process: it begins with this and grows by half each time …
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Timeout of the search for what a service listens on instead: long enough for an engine to start a helper.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// What is probed, and where.
pub(super) struct Watched<'a> {
    pub(super) service: &'a ServiceNode,
    pub(super) image: Option<&'a Image>,
    pub(super) instance: &'a Arc<dyn Instance>,
    pub(super) log: &'a ServiceLog,
    pub(super) secrets: &'a Secrets,
    pub(super) span: &'a Arc<Span>,
}

/// Why a service is not ready.
pub(super) enum Failure {
    /// What the service did, for its error, and what to do about it.
    Service { cause: ServiceCause, help: Vec<String> },
    /// The engine failed.
    Engine(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

/// Waits until everything that the service's definition asks for holds, each within its limit.
pub(super) async fn wait(watched: &Watched<'_>) -> Result<(), Failure> {
    let span = watched.span.clone();
    let progress = ProbeProgress::telling(move |probe, found| {
        span.emit(|| match found {
            Some(finding) => EventKind::ProbeFailed { probe: probe.into(), finding: finding.into() },
            None => EventKind::ProbePassed { probe: probe.into() },
        });
    });
    let checks = watched.service.checks();
    let ports = watch::Sender::new(Ports::Closed);
    let all = checks.iter().map(|(check, within)| async {
        match timeout(*within, watched.check(check, &ports, &progress)).await {
            Ok(Err(Failure::Service { cause, mut help })) => {
                help.extend(watched.explain(&mut progress.failing()).await);
                Err(Failure::Service { cause, help })
            }
            Ok(result) => result,
            Err(_) => {
                let mut failing = progress.failing();
                if failing.is_empty() {
                    failing.push((what(check), "nothing was found in time".to_owned()));
                }
                let help = watched.explain(&mut failing).await;
                let cause = ServiceCause::NotReady { within: *within, failing };
                Err(Failure::Service { cause, help })
            }
        }
    });
    try_join_all(all).await.map(drop)
}

/// Whether all probed ports of a service accept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    Closed,
    Open,
}

/// A condition in words.
fn what(check: &Check) -> String {
    match check {
        Check::Ports => "ports".to_owned(),
        Check::Http { path, .. } => format!("GET {path}"),
        Check::Exec(args) => format!("`{}`", shown_command(args)),
        Check::Log { text, times: 1 } => format!("{text:?} in its log"),
        Check::Log { text, times } => format!("{text:?} in its log, {times} times"),
        Check::Image => "the image's health check".to_owned(),
    }
}

impl Watched<'_> {
    async fn check(
        &self,
        check: &Check,
        ports: &watch::Sender<Ports>,
        progress: &ProbeProgress,
    ) -> Result<(), Failure> {
        match check {
            Check::Ports => {
                self.ports(progress).await?;
                ports.send_replace(Ports::Open);
            }
            Check::Http { path, port } => {
                let port = self.http_port(port.as_ref())?;
                self.instance.wait_http(port, &request_target(path), progress).await?;
            }
            Check::Exec(args) => {
                // A process every few milliseconds would keep a server from starting, whose ports have to open in any case.
                let _ = ports.subscribe().wait_for(|ports| *ports == Ports::Open).await;
                self.until_success(args, progress).await?;
            }
            Check::Log { text, times } => {
                progress.note(&what(check), Some("not written yet"));
                self.log.wait_for(text, *times).await;
                progress.note(&what(check), None);
            }
            Check::Image => {
                // Without a check, or with `NONE`, only the ports decide, and these are probed anyway.
                if let Some(image) = self.image
                    && let Some(check) = &image.config.healthcheck
                    && let Some(args) = command(check, image)
                {
                    return self.image_check(check, &args, progress).await;
                }
            }
        }
        Ok(())
    }

    /// Adds what the service listens on instead to findings of ports that do not answer; returns what to do.
    async fn explain(&self, failing: &mut [(String, String)]) -> Vec<String> {
        let ports = self.probes();
        let silent: Vec<_> = failing
            .iter_mut()
            .filter(|(_, found)| is_silence(found))
            .filter_map(|(name, found)| Some((ports.iter().find(|(probe, _)| *probe == *name)?.1, found)))
            .collect();
        if silent.is_empty() {
            return Vec::new();
        }
        if let ServiceBase::Server(server) = &self.service.base {
            return hints::no_server(&self.service.name, server, silent.iter().map(|(port, _)| *port));
        }
        // Where that cannot be known nothing is added: the findings say what there is.
        let Ok(Ok(Some(sockets))) = timeout(LOOK_WITHIN, self.instance.listening()).await else {
            return Vec::new();
        };
        let args =
            process::of_service(self.service, self.image).map(|process| process.args).unwrap_or_default();
        let exposed: Vec<PortNumber> = self.service.ports.iter().map(PortNumber::from).collect();
        let mut help = Vec::new();
        for (port, found) in silent {
            let unanswered = Unanswered { service: &self.service.name, args: &args, port, exposed: &exposed };
            let explained = hints::explain(&unanswered, &sockets);
            found.push_str("; ");
            found.push_str(&explained.finding);
            if !help.contains(&explained.help) {
                help.push(explained.help);
            }
        }
        help
    }

    /// The names of probes that ask a port, each with that port.
    fn probes(&self) -> Vec<(String, PortNumber)> {
        let ports = self.service.ports.iter().map(|port| (port.to_string(), port.into()));
        let pages = self.service.ready.iter().filter_map(|(check, _)| match check {
            Check::Http { path, port } => {
                let number = self.http_port(port.as_ref()).ok()?;
                let port = PortNumber { protocol: Protocol::Tcp, number };
                Some((name_of_page(number, &request_target(path)), port))
            }
            _ => None,
        });
        ports.chain(pages).collect()
    }

    /// How a command in the service ended and the last line it wrote, without secrets.
    fn outcome(&self, result: &crate::engine::StepOutput) -> String {
        let text = if result.stderr.is_empty() { &result.stdout } else { &result.stderr };
        let text = self.secrets.scrub_text(&String::from_utf8_lossy(text));
        match text.trim().lines().last() {
            None => format!("exit code {}", result.exit_code),
            Some(line) => format!("exit code {}: {line}", result.exit_code),
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
        let what = format!("`{}`", shown_command(args));
        progress.note(&what, Some("it has not ended yet"));
        let mut pause = FIRST_PAUSE;
        loop {
            let result = self.instance.exec(args).await?;
            if result.exit_code == 0 {
                progress.note(&what, None);
                return Ok(());
            }
            progress.note(&what, Some(&self.outcome(&result)));
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// The image's own check, by its own rules for failure: it may fail during the start period, and `retries` times
    /// afterwards, once an interval. It is run more often than that, so that readiness is noticed at once.
    async fn image_check(
        &self,
        check: &Healthcheck,
        args: &[String],
        progress: &ProbeProgress,
    ) -> Result<(), Failure> {
        // The defaults of the Dockerfile instruction HEALTHCHECK.
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
            progress.note(&format!("`{}`", shown_command(args)), Some(&found));
            if Instant::now() >= next_counted {
                failures += 1;
                next_counted += interval;
            }
            if failures >= retries {
                let message = format!(
                    "the image's health check `{}` failed {failures} times: {found}",
                    shown_command(args)
                );
                return Err(Failure::Service { cause: ServiceCause::Check(message), help: Vec::new() });
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE).min(interval);
        }
    }
}

/// A path as it may be sent: characters that a request's target cannot have (RFC 3986, "pchar" and "query") are
/// percent-encoded; existing percent-encodings stay.
fn request_target(path: &str) -> String {
    let mut target = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            target.push(char::from(byte));
        } else {
            let _ = write!(target, "%{byte:02X}");
        }
    }
    target
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_sent_as_requests_may_have_it() {
        assert_eq!(request_target("/healthz?full=1&a=b%20c"), "/healthz?full=1&a=b%20c");
        assert_eq!(request_target("/a b#c/ä\r\n"), "/a%20b%23c/%C3%A4%0D%0A");
    }
}
