//! A container's life from start to end, heard from the first byte.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, KillContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::cleaner::Container;
use super::ends::Died;
use super::failure::{self, BRIEF, LONG, within};
use super::{Shared, ulimits};
use crate::engine::Sink;
use crate::engine::command::cannot_run;
use crate::model::{Exit, Stream as Name};
use crate::{Error, Result};

/// After the end, output is waited for as long as pieces come this close to each other. Attach streams have been seen
/// never to end, although the container did (Docker Desktop); but a step's output is kept for good, and a busy engine
/// must not cut it short.
pub(super) const LULL: Duration = Duration::from_secs(10);

/// What the engine's init says when there is no such command (tini, `src/tini.c`, `spawn_process`).
const INIT_FAILED: &[u8] = b"[FATAL tini (";

/// More than init's message with the longest path in it.
const FIRST_WORDS: usize = 8 << 10;

/// The output of a container or of a command in one, as the engine sends it.
pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// A container's standard input.
pub(super) type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// Attaches to a container that has not been started, so that nothing is missed.
pub(super) async fn attach(shared: &Shared, container: &str, stdin: bool) -> Result<(Output, Input)> {
    let options =
        AttachContainerOptionsBuilder::default().stream(true).stdin(stdin).stdout(true).stderr(true);
    let options = options.build();
    let attached = within(BRIEF, shared.client.attach_container(container, Some(options)))
        .await
        .map_err(failure::during("listen to a container"))?;
    Ok((attached.output, attached.input))
}

/// Does something while a container's standard input is written. The engine closes it when its end has been read.
pub(super) async fn while_feeding<T>(
    mut input: Input,
    contents: Option<Arc<[u8]>>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(contents) = contents else { return work.await };
    let feed = async {
        // A process that ends without having read all of it may do so.
        if input.write_all(&contents).await.is_ok() {
            let _ = input.shutdown().await;
        }
        std::future::pending().await
    };
    tokio::select! {
        result = work => result,
        never = feed => never,
    }
}

/// Hears a container out, and kills it when it runs for longer than this.
pub(super) async fn kill_after(
    shared: &Shared,
    container: &str,
    limit: Option<Duration>,
    timed_out: &mut bool,
    hearing: impl Future<Output = Result<End>>,
) -> Result<End> {
    let Some(limit) = limit else { return hearing.await };
    tokio::pin!(hearing);
    if let Ok(end) = tokio::time::timeout(limit, &mut hearing).await {
        return end;
    }
    let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
    match within(BRIEF, shared.client.kill_container(container, Some(options))).await {
        Ok(()) => *timed_out = true,
        // It ended by itself just now.
        Err(error) if failure::is_absent(&error) || failure::is_conflict(&error) => {}
        Err(error) => return Err(failure::during("kill a process")(error)),
    }
    hearing.await
}

/// Starts a container's process.
pub(super) async fn start(
    shared: &Arc<Shared>,
    container: Container,
    what: &str,
    command: &str,
) -> Result<Container> {
    shared.guarded().await;
    let owned = Arc::clone(shared);
    let (for_task, command) = (what.to_owned(), command.to_owned());
    let start = async move {
        let _slot = owned.starts.acquire().await;
        match within(LONG, owned.client.start_container(container.name(), None)).await {
            Ok(()) => Ok(container),
            Err(error) => Err(explain_start(&for_task, &command, &failure::message(&error))),
        }
    };
    shared.cleaner.to_its_end(what, start).await
}

pub(super) fn explain_start(what: &str, command: &str, message: &str) -> Error {
    // runc: `exec: "nope": executable file not found in $PATH`, `exec: "/etc": permission denied`
    match message.split_once(&format!("exec: \"{command}\": ")) {
        Some((_, reason)) => cannot_run(what, command, reason),
        // runc names none.
        None if message.contains("apply caps") => {
            let help =
                "the engine itself does not have all capabilities that `cap add` or `privileged` asks for";
            Error::engine(what, format!("{message}\n\nhelp: {help}"))
        }
        None => Error::engine(what, ulimits::explain(message).as_deref().unwrap_or(message)),
    }
}

/// How a process ended, as far as the engine and its init know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Exit(Exit),
    /// The process never began, for this reason; see [`cannot_run`].
    CannotRun(String),
}

/// Hears a running container out: gives every piece to the sink and says how it ended.
pub(super) async fn hear_out(
    shared: &Shared,
    container: &str,
    mut output: Output,
    mut died: Died,
    sink: &Sink,
) -> Result<End> {
    let mut ear = Ear::new(sink);
    let ended = async {
        tokio::select! {
            code = died.code() => Ok(code),
            code = wait(shared, container) => code,
        }
    };
    tokio::pin!(ended);
    let code = loop {
        tokio::select! {
            // Pieces first: at the end there are often both.
            biased;
            piece = output.next() => match piece {
                Some(Ok(piece)) => ear.hear(piece)?,
                // All that held the output have closed it, which says nothing of how the process ended.
                None => break ended.await?,
                Some(Err(error)) => return Err(failure::during("listen to a process")(error)),
            },
            code = &mut ended => {
                let code = code?;
                while let Ok(Some(piece)) = tokio::time::timeout(LULL, output.next()).await {
                    ear.hear(piece.map_err(failure::during("listen to a process"))?)?;
                }
                break code;
            }
        }
    };
    if let Some(reason) = why_not_begun(code, &ear.first_words) {
        return Ok(End::CannotRun(reason));
    }
    Ok(End::Exit(Exit { code, out_of_memory: code == 137 && ran_out_of_memory(shared, container).await }))
}

/// Gives what a process writes to a sink.
pub(super) struct Ear<'a> {
    sink: &'a Sink,
    /// How standard error began: the init process says in several pieces that it could not run the command.
    first_words: Vec<u8>,
}

impl<'a> Ear<'a> {
    pub(super) fn new(sink: &'a Sink) -> Self {
        Self { sink, first_words: Vec::new() }
    }

    pub(super) fn hear(&mut self, piece: LogOutput) -> Result<()> {
        match piece {
            LogOutput::StdOut { message } => (self.sink)(Name::Stdout, &message),
            LogOutput::StdErr { message } => {
                let room = FIRST_WORDS - self.first_words.len();
                self.first_words.extend_from_slice(&message[..message.len().min(room)]);
                (self.sink)(Name::Stderr, &message);
            }
            // What is written to standard input is not heard.
            LogOutput::StdIn { .. } => {}
            // There is no terminal: it is what is left of a stream that broke off, or that is none. What was heard is not
            // all that was written, and must not be taken for it.
            LogOutput::Console { message } => {
                let text =
                    format!("the engine's stream broke off, with {} bytes of no known kind", message.len());
                return Err(Error::engine("listen to a process", text));
            }
        }
        Ok(())
    }
}

/// Why a container's command never began, if its init could not run it, by the exit code and how its output began.
pub(super) fn why_not_begun(code: i32, words: &[u8]) -> Option<String> {
    // tini's codes for a command that is not there or cannot be run are also what a shell gives; its own words tell. It
    // has 1 for a program of another machine.
    if matches!(code, 1 | 126 | 127) { why_init_failed(words) } else { None }
}

/// What stands after the command in `[FATAL tini (7)] exec nope failed: No such file or directory`.
fn why_init_failed(words: &[u8]) -> Option<String> {
    let words = String::from_utf8_lossy(words.strip_prefix(INIT_FAILED)?);
    let (_, rest) = words.split_once(")] exec ")?;
    let (_, reason) = rest.trim_end().rsplit_once(" failed: ")?;
    Some(reason.to_owned())
}

/// Waits for a started container's end and gives its exit code.
pub(super) async fn wait(shared: &Shared, container: &str) -> Result<i32> {
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut answers = Box::pin(shared.client.wait_container(container, Some(options)));
    let code = match answers.next().await {
        Some(Ok(answer)) => answer.status_code,
        // bollard makes an error of every code but 0.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) if failure::is_absent(&error) => {
            return Err(Error::Cancelled {
                what: "the process".to_owned(),
                reason: "its container was removed".to_owned(),
            });
        }
        Some(Err(error)) => return Err(failure::during("wait for a process")(error)),
        None => return Err(Error::engine("wait for a process", shared.connection.hung_up())),
    };
    Ok(i32::try_from(code).unwrap_or(255))
}

pub(super) async fn ran_out_of_memory(shared: &Shared, container: &str) -> bool {
    let inspected = within(BRIEF, shared.client.inspect_container(container, None)).await;
    inspected.ok().and_then(|container| container.state).and_then(|state| state.oom_killed).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::recorder;

    #[test]
    fn output_that_broke_off_is_no_result() {
        let (sink, heard) = recorder();
        let mut ear = Ear::new(&sink);
        ear.hear(LogOutput::StdOut { message: "whole\n".into() }).unwrap();
        ear.hear(LogOutput::StdErr { message: vec![b'x'; 3 * FIRST_WORDS].into() }).unwrap();
        // As it is given at the end of a stream that ends within a piece.
        let error = ear.hear(LogOutput::Console { message: "ha".into() }).unwrap_err();
        assert!(error.to_string().contains("broke off"), "{error}");
        assert_eq!(heard.lock().unwrap().stdout, b"whole\n");
        assert_eq!(ear.first_words.len(), FIRST_WORDS);
    }
}
