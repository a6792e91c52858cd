//! Commands in a running service, which is in use meanwhile.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::log::{self, Broken, Capture};
use super::outputs::AT_ONCE;
use super::running::Running;
use super::scrub::Secrets;
use super::{in_session, in_span, process, results};
use crate::engine::{self, Ended, Recording};
use crate::error::Reason;
use crate::event::{EventKind, Span};
use crate::graph::{self, ServiceNode};
use crate::model::{Exit, Location};
use crate::value::{EnvValue, EnvValueKind, Expect, Output, Service};
use crate::{Error, Result, StepCause, StepError};

/// A command for a running service, without mistakes.
#[derive(Debug)]
pub(crate) struct InService {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, EnvValue)>,
    pub(crate) user: Option<String>,
    pub(crate) workdir: Option<String>,
    pub(crate) stdin: Option<Arc<[u8]>>,
    pub(crate) limit: Option<Duration>,
    pub(crate) expect: Expect,
    /// Where it is written.
    pub(crate) at: Location,
}

impl InService {
    /// What is done, for errors. Of a command line only the program is known to be no secret.
    pub(super) fn what(&self, service: &ServiceNode) -> String {
        format!("`{}` in service `{}`", self.args.first().map_or("", String::as_str), service.name)
    }

    /// As the engine is told, with the span that it is a part of, and the secrets that it must not show.
    pub(super) fn reveal(self, running: &Running, span: &Span) -> Result<(engine::Command, Secrets)> {
        let Self { args, env, user, workdir, stdin, limit, expect: _, at: _ } = self;
        let says_trace = env.iter().any(|(key, _)| process::is_of_trace(key));
        let trace = if says_trace { Vec::new() } else { process::trace(&running.service.config, span) };
        let (mut variables, mut secrets) = (trace, Vec::new());
        for (key, value) in env {
            let value = match value.0 {
                EnvValueKind::Plain(value) => value,
                EnvValueKind::Secret(secret) => {
                    let contents = process::reveal(&running.service.name, &secret)?;
                    secrets.push(contents.clone());
                    contents
                }
            };
            variables.push((key, value));
        }
        let secrets = running.secrets_and(secrets.iter().map(String::as_bytes));
        let command = engine::Command { args, env: variables, user, workdir, stdin, limit, is_probe: false };
        Ok((command, secrets))
    }
}

/// The address of a service.
pub(crate) async fn address(service: Service) -> Result<IpAddr> {
    let node = graph::lower_service(&service)?;
    in_session(format!("address of service `{}`", node.name), |session| async move {
        session.use_service(&node).await?.running().instance.address().await
    })
    .await
}

/// Runs a command in a service.
pub(crate) async fn execute(service: Service, command: InService) -> Result<Output> {
    let node = graph::lower_service(&service)?;
    let at = command.at;
    in_span(command.what(&node), vec![at], move |session, span| async move {
        let lease = session.use_service(&node).await?;
        let running = lease.running();
        let (args, expect, limit) = (command.args.clone(), command.expect, command.limit);
        let (command, secrets) = command.reveal(running, &span)?;
        let capture = Capture::new(span.clone(), &secrets);
        span.emit(|| EventKind::Started { args: secrets.scrub_args(&args) });
        let failed = |exit, cause, output: &Recording| {
            Error::StepFailed(Box::new(StepError {
                name: node.name.to_string(),
                args: secrets.scrub_args(&args).to_vec(),
                exit,
                cause,
                stdout: log::last_part(&output.stdout),
                stderr: log::last_part(&output.stderr),
                services: Vec::new(),
                help: Vec::new(),
                left: None,
                key: None,
                locations: Vec::new(),
            }))
            .at([at])
        };
        let ended = tokio::select! {
            ended = running.instance.execute(command, capture.sink()) => ended,
            error = running.broken() => return Err(error),
            () = capture.broken() => Ok(Ended { exit: KILLED, timed_out: false }),
        };
        let Ended { exit, timed_out } = match ended {
            Ok(ended) => ended,
            Err(error) => return Err(running.ended_or(secrets.scrub_error(error).at([at])).await),
        };
        let (output, broken) = capture.finish(exit.code);
        let cause = match (broken, limit, expect) {
            (Some(Broken::TooMuch), ..) => StepCause::TooMuchOutput(log::MOST),
            (Some(Broken::Io(error)), ..) => return Err(not_held(error).at([at])),
            (None, Some(limit), _) if timed_out => StepCause::TimedOut(limit),
            (None, _, Expect::Failure) if exit.success() => StepCause::Succeeded,
            (None, _, Expect::Success) if !exit.success() => StepCause::Failed,
            _ => {
                span.emit(|| EventKind::Finished { exit, success: true });
                return results::blocking(move || in_memory(&output)).await.map_err(|error| error.at([at]));
            }
        };
        span.emit(|| EventKind::Finished { exit, success: false });
        let error = failed(exit, cause, &output);
        // It may have failed because the service ended.
        Err(if cause == StepCause::Failed { running.ended_or(error).await } else { error })
    })
    .await
}

/// How a command counts as ended that is ended by force.
const KILLED: Exit = Exit { code: 137, out_of_memory: false };

fn not_held(error: std::io::Error) -> Error {
    let message = format!(
        "what a command writes cannot be held there: {error}\n\nhelp: let it write less, or name a place with more room in TMPDIR"
    );
    Error::io(engine::place(), Reason::said(message, error))
}

fn in_memory(output: &Recording) -> Result<Output> {
    let stream = |stream: &engine::Written| {
        if stream.length() > AT_ONCE {
            let message = format!(
                "the command wrote {} bytes to one stream, and {AT_ONCE} is the most that is given\n\nhelp: let it write less, \
                 or to a file of the service",
                stream.length()
            );
            return Err(Error::invalid(None, message));
        }
        stream.to_vec().map_err(|error| Error::engine("read what a command wrote", error))
    };
    Ok(Output {
        stdout: stream(&output.stdout)?,
        stderr: stream(&output.stderr)?,
        exit_code: output.exit_code,
    })
}
