//! Commands in a running service: run to their end, or with a terminal.
//!
//! The engine's API cannot end such a command. So each one that may have to be ended carries a mark in its environment,
//! by which a helper finds it, with what it started ([`super::kill`]).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use bollard::query_parameters::{ResizeContainerTTYOptionsBuilder, ResizeExecOptionsBuilder};
use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, ReadBuf};

use super::Shared;
use super::attach::{self, Output};
use super::cleaner::Container;
use super::failure::{self, BRIEF, within};
use super::kill::{self, Mark};
use crate::engine::command::cannot_run;
use crate::engine::{Attached, Call, Command, Ended, Process, Sink, Terminal};
use crate::lock::lock;
use crate::model::{Exit, Stream, WindowSize};
use crate::{Error, Result};

/// Poll interval for the end of a command in a service; usually its output ends first.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The same for a command with a terminal, at which somebody sits for long.
const ASK_LATER: Duration = Duration::from_secs(1);
/// How long to wait for the end of a command that was killed.
const DEAD_WITHIN: Duration = Duration::from_secs(10);
/// A terminal gets its first size a moment after its process has begun.
const SIZED_WITHIN: Duration = Duration::from_secs(2);
/// More than what an engine's runtime or init says of a command that it cannot run.
const FIRST_WORDS: usize = 4 << 10;

/// The settings of commands run in a service.
pub(super) struct Settings {
    env: Vec<(String, String)>,
    user: String,
    workdir: String,
}

impl Settings {
    /// Those of the service's own process.
    pub(super) fn of(process: Process) -> Self {
        let env = process.env.into_iter().chain(process.secret_env).collect();
        Self { env, user: process.user, workdir: process.workdir }
    }
}

/// A service that commands run in.
pub(super) struct Inside<'a> {
    pub(super) shared: &'a Arc<Shared>,
    /// The name of the service.
    pub(super) name: &'a str,
    /// The name of its container.
    pub(super) container: &'a str,
    pub(super) settings: &'a Settings,
}

/// A command that the engine knows and that has not been started.
struct Created {
    id: String,
    /// Kills the command when it is dropped.
    killer: Option<kill::Killer>,
}

impl Inside<'_> {
    fn what(&self, command: &Command) -> String {
        format!("run `{}` in service {}", command.program(), self.name)
    }

    async fn create(&self, command: &Command, has_terminal: bool) -> Result<Created> {
        let mark = (!command.is_probe).then(|| Mark::new(self.shared));
        let mut env = self.settings.env.clone();
        for (key, value) in &command.env {
            env.retain(|(other, _)| other != key);
            env.push((key.clone(), value.clone()));
        }
        env.extend(mark.as_ref().map(Mark::variable));
        let config = ExecConfig {
            attach_stdin: Some(has_terminal || command.stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(has_terminal),
            cmd: Some(command.args.clone()),
            env: Some(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
            user: Some(command.user.clone().unwrap_or_else(|| self.settings.user.clone())),
            working_dir: Some(command.workdir.clone().unwrap_or_else(|| self.settings.workdir.clone())),
            ..Default::default()
        };
        let exec = within(BRIEF, self.shared.client.create_exec(self.container, config))
            .await
            .map_err(failure::during(self.what(command)))?;
        let killer = mark.map(|mark| mark.kills(self.shared, self.container));
        Ok(Created { id: exec.id, killer })
    }

    /// Runs a command to its end.
    pub(super) async fn execute(&self, command: Command, sink: Sink) -> Result<Ended> {
        let what = self.what(&command);
        let Created { id, mut killer } = self.create(&command, false).await?;
        let started = within(BRIEF, self.shared.client.start_exec(&id, None))
            .await
            .map_err(failure::during(what.clone()))?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(Error::engine(what, "the engine did not attach to it"));
        };
        let mut words = Vec::new();
        let mut timed_out = false;
        let running = async {
            let mut hearing = std::pin::pin!(self.hear(&id, output, &sink, &mut words, &what));
            let limit = command.limit.unwrap_or(Duration::MAX);
            if let Ok(heard) = tokio::time::timeout(limit, &mut hearing).await {
                return heard;
            }
            timed_out = true;
            if let Some(killer) = &killer {
                killer.kill().await?;
            }
            let gone = || Error::engine(&what, "it was killed and has not ended");
            tokio::time::timeout(DEAD_WITHIN, hearing).await.unwrap_or_else(|_| Err(gone()))
        };
        attach::while_feeding(input, command.stdin.clone(), Box::pin(running)).await?;
        let code = exit_code(self.shared, &id, &what).await?;
        if let Some(killer) = &mut killer {
            killer.disarm();
        }
        if let Some(error) = why_not_run(&what, code, &words, &command.args) {
            return Err(error);
        }
        Ok(Ended { exit: Exit { code, out_of_memory: false }, timed_out })
    }

    /// Hears a command until it has ended. `words` is how its standard output began.
    async fn hear(
        &self,
        exec: &str,
        mut output: Output,
        sink: &Sink,
        words: &mut Vec<u8>,
        what: &str,
    ) -> Result<()> {
        // The output ends with the last process that holds the streams, which may be one that the command left running:
        // so the engine is polled too, which has no other way to tell that a command has ended.
        let mut has_ended = false;
        loop {
            match tokio::time::timeout(ASK_EVERY, output.next()).await {
                Ok(Some(Ok(LogOutput::StdOut { message }))) => {
                    let room = FIRST_WORDS.saturating_sub(words.len());
                    words.extend_from_slice(message.get(..room).unwrap_or(&message));
                    sink(Stream::Stdout, &message);
                }
                Ok(Some(Ok(LogOutput::StdErr { message }))) => sink(Stream::Stderr, &message),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(_)) | None) => return Ok(()),
                // A pause after the end: everything written before it has arrived.
                Err(_) if has_ended => return Ok(()),
                Err(_) => has_ended = has_exited(self.shared, exec, what).await?.is_some(),
            }
        }
    }

    /// Starts a command that has a terminal.
    pub(super) async fn open(&self, command: Command, size: WindowSize) -> Result<Terminal> {
        let what = self.what(&command);
        let Created { id, killer } = self.create(&command, true).await?;
        let start = serde_json::json!({ "Detach": false, "Tty": true });
        let path = format!("/exec/{id}/start");
        let stream = within_brief(self.shared.connection.upgrade(&path, &start), &what).await?;
        let words: Arc<Mutex<Vec<u8>>> = Arc::default();
        let process = InService {
            shared: Arc::clone(self.shared),
            exec: id,
            what,
            args: command.args,
            words: Arc::clone(&words),
            killer: Mutex::new(killer),
        };
        Ok(sized(stream, words, Box::new(process), size).await)
    }
}

/// The same for a container that was made with a terminal, and has not been started. It is removed with the terminal.
pub(super) async fn open(
    shared: &Arc<Shared>,
    container: Container,
    what: String,
    command: String,
    size: WindowSize,
) -> Result<Terminal> {
    let path = format!("/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1", container.name());
    let nothing = serde_json::json!({});
    let stream = within_brief(shared.connection.upgrade(&path, &nothing), &what).await?;
    let container = attach::start(shared, container, &what, &command).await?;
    let words: Arc<Mutex<Vec<u8>>> = Arc::default();
    let process =
        InContainer { shared: Arc::clone(shared), container, what, command, words: Arc::clone(&words) };
    Ok(sized(stream, words, Box::new(process), size).await)
}

async fn within_brief<T>(work: impl Future<Output = io::Result<T>>, what: &str) -> Result<T> {
    let late = || Err(io::Error::new(io::ErrorKind::TimedOut, "the engine does not answer"));
    let done = tokio::time::timeout(BRIEF, work).await.unwrap_or_else(|_| late());
    done.map_err(|error| Error::engine(what, error))
}

async fn sized(
    stream: impl AsyncRead + tokio::io::AsyncWrite + Send + 'static,
    words: Arc<Mutex<Vec<u8>>>,
    process: Box<dyn Attached>,
    size: WindowSize,
) -> Terminal {
    let (output, input) = tokio::io::split(stream);
    // An engine refuses until the process has begun, or because it has ended; whoever waits is told of that.
    let resize = async {
        while process.resize(size).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(SIZED_WITHIN, resize).await;
    Terminal { input: Box::pin(input), output: Box::pin(Remembered { output, words }), process }
}

/// A terminal's output, whose beginning is remembered.
struct Remembered<R> {
    output: R,
    words: Arc<Mutex<Vec<u8>>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Remembered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.output).poll_read(context, buffer);
        let come = buffer.filled().get(before..).unwrap_or_default();
        let mut words = lock(&self.words);
        let room = FIRST_WORDS.saturating_sub(words.len());
        words.extend_from_slice(come.get(..room).unwrap_or(come));
        drop(words);
        polled
    }
}

/// A command with a terminal, in a service.
struct InService {
    shared: Arc<Shared>,
    exec: String,
    what: String,
    args: Vec<String>,
    /// How its output began.
    words: Arc<Mutex<Vec<u8>>>,
    killer: Mutex<Option<kill::Killer>>,
}

impl Attached for InService {
    fn resize(&self, size: WindowSize) -> Call<'_, ()> {
        Box::pin(async move {
            let options = ResizeExecOptionsBuilder::default().w(size.columns.into()).h(size.rows.into());
            within(BRIEF, self.shared.client.resize_exec(&self.exec, options.build()))
                .await
                .map_err(failure::during("resize a terminal"))
        })
    }

    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(async move {
            let mut pause = Duration::from_millis(5);
            let code = loop {
                if let Some(code) = has_exited(&self.shared, &self.exec, &self.what).await? {
                    break code;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ASK_LATER);
            };
            if let Some(killer) = &mut *lock(&self.killer) {
                killer.disarm();
            }
            if let Some(error) = why_not_run(&self.what, code, &lock(&self.words), &self.args) {
                return Err(error);
            }
            Ok(Exit { code, out_of_memory: false })
        })
    }
}

/// A container's process, with a terminal.
struct InContainer {
    shared: Arc<Shared>,
    container: Container,
    what: String,
    command: String,
    words: Arc<Mutex<Vec<u8>>>,
}

impl Attached for InContainer {
    fn resize(&self, size: WindowSize) -> Call<'_, ()> {
        Box::pin(async move {
            let options =
                ResizeContainerTTYOptionsBuilder::default().w(size.columns.into()).h(size.rows.into());
            within(BRIEF, self.shared.client.resize_container_tty(self.container.name(), options.build()))
                .await
                .map_err(failure::during("resize a terminal"))
        })
    }

    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(async move {
            let code = attach::wait(&self.shared, self.container.name()).await?;
            if let Some(reason) = attach::why_not_begun(code, &lock(&self.words)) {
                return Err(cannot_run(&self.what, &self.command, &reason));
            }
            Ok(Exit { code, out_of_memory: false })
        })
    }
}

/// The exit code of a command that has ended.
async fn has_exited(shared: &Shared, exec: &str, what: &str) -> Result<Option<i32>> {
    let now = within(BRIEF, shared.client.inspect_exec(exec)).await.map_err(failure::during(what))?;
    let code = now.exit_code.filter(|_| now.running == Some(false));
    Ok(code.map(|code| i32::try_from(code).unwrap_or(255)))
}

/// The exit code of a command whose output has ended: the engine may learn of the command's end a moment later.
async fn exit_code(shared: &Shared, exec: &str, what: &str) -> Result<i32> {
    loop {
        if let Some(code) = has_exited(shared, exec, what).await? {
            return Ok(code);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Why a command could not be executed, if so: the engine's runtime writes the reason to the command's output.
fn why_not_run(what: &str, code: i32, words: &[u8], args: &[String]) -> Option<Error> {
    // The exit codes of shells: not executable, or not found.
    if !matches!(code, 126..=128) {
        return None;
    }
    let text = String::from_utf8_lossy(words);
    // runc: `OCI runtime exec failed: exec failed: … exec: "nope": executable file not found in $PATH: unknown`
    let reason = text.strip_prefix("OCI runtime exec failed: ")?.trim();
    let program = args.first()?;
    Some(match reason.split_once(&format!("exec: {program:?}: ")) {
        Some((_, reason)) => cannot_run(what, program, reason),
        None => Error::engine(what, reason.trim_end_matches(": unknown")),
    })
}
