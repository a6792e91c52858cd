//! Readiness of a service: its ports and `ready` conditions, within their limits.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::log::ServiceLog;
use super::scrub::Secrets;
use crate::engine::{Healthcheck, Image, Instance, ProbeProgress};
use crate::error::{ServiceCause, shown_command};
use crate::event::{EventKind, Span};
use crate::graph::ServiceNode;
use crate::model::{Port, Protocol};
use crate::value::{Check, PortRef};
use crate::{Error, Result};

/// The backoff between probes that start a process: it begins with this and grows by half each time …
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What a probe finds on a port without a listener.
const REFUSED: &str = "connection refused";
/// Timeout of the search for what a service listens on instead.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

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
    /// What the service did, for its error.
    Service(ServiceCause),
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
        if let Ok(result) = timeout(*within, watched.check(check, &ports, &progress)).await {
            return result;
        }
        let mut failing = progress.failing();
        if failing.is_empty() {
            failing.push((what(check), "nothing was found in time".to_owned()));
        }
        watched.explain(&mut failing).await;
        Err(Failure::Service(ServiceCause::NotReady { within: *within, failing }))
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

    /// Adds the addresses that the service listens on instead to ports that refuse connections.
    async fn explain(&self, failing: &mut [(String, String)]) {
        let refuses = |(name, found): &&mut (String, String)| name.ends_with("/tcp") && found == REFUSED;
        let mut refusing: Vec<_> = failing.iter_mut().filter(|one| refuses(one)).collect();
        if refusing.is_empty() {
            return;
        }
        // If the image has no such command, nothing is added.
        let look = ["cat", "/proc/net/tcp", "/proc/net/tcp6"].map(str::to_owned);
        let Ok(Ok(tables)) = timeout(LOOK_WITHIN, self.instance.exec(&look)).await else { return };
        let listeners = listening(&String::from_utf8_lossy(&tables.stdout));
        for (name, found) in &mut refusing {
            let port = name.trim_end_matches("/tcp").parse().unwrap_or(0);
            found.push_str(&instead(port, &listeners));
        }
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
                return Err(Failure::Service(ServiceCause::Check(message)));
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE).min(interval);
        }
    }
}

/// The addresses with a listener, by the kernel's tables of TCP sockets (`proc_net_tcp(5)`).
fn listening(tables: &str) -> BTreeSet<SocketAddr> {
    tables.lines().filter_map(listener).collect()
}

fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (address, port) = local.split_once(':')?;
    // Words of four bytes, each in the machine's byte order.
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => four.into(),
        Err(_) => <[u8; 16]>::try_from(bytes.as_slice()).ok()?.into(),
    };
    // The address of the resolver that engines put into containers.
    let is_engines = ip == IpAddr::from([127, 0, 0, 11]);
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == "0A" && !is_engines).then_some(SocketAddr::new(ip, port))
}

/// What the service listens on instead of a port, with help.
fn instead(port: u16, listeners: &BTreeSet<SocketAddr>) -> String {
    let names = |of: &mut dyn Iterator<Item = &SocketAddr>| {
        of.map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let own = names(&mut listeners.iter().filter(|address| address.port() == port));
    if !own.is_empty() {
        return format!(
            "; it listens on {own} alone, where no other container reaches it: let it listen on 0.0.0.0"
        );
    }
    match names(&mut listeners.iter()).as_str() {
        "" => "; it listens on no port".to_owned(),
        others => {
            format!("; it listens on {others}: expose the port that it has, or let it listen on this one")
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
    fn what_a_service_listens_on_instead_is_said() {
        let tables = "  sl  local_address rem_address   st tx_queue\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
             1: 0B00007F:A3F1 00000000:0000 0A 00000000:00000000\n\
             2: 0100007F:1F91 0100007F:9999 01 00000000:00000000\n\
             0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0\n";
        let found = listening(tables);
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["127.0.0.1:8080", "[::1]:80"]);
        assert!(instead(8080, &found).contains("127.0.0.1:8080 alone"), "{}", instead(8080, &found));
        assert!(instead(9999, &found).contains("127.0.0.1:8080, [::1]:80: expose the port"));
        assert_eq!(instead(1, &BTreeSet::new()), "; it listens on no port");
    }

    #[test]
    fn a_path_is_sent_as_requests_may_have_it() {
        assert_eq!(request_target("/healthz?full=1&a=b%20c"), "/healthz?full=1&a=b%20c");
        assert_eq!(request_target("/a b#c/ä\r\n"), "/a%20b%23c/%C3%A4%0D%0A");
    }
}
