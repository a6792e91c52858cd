//! A container's life from start to end, heard from the first byte.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::{AttachContainerOptionsBuilder, WaitContainerOptionsBuilder};
use futures_util::{Stream, StreamExt as _};

use super::cleaner::Container;
use super::failure::{self, BRIEF, LONG, within};
use super::Shared;
use crate::engine::{Exit, Sink, Stream as Name};
use crate::{Error, Result};

/// After the end, output is waited for as long as pieces come this close to each other. Attach streams have been seen
/// never to end, although the container did (Docker Desktop).
const LULL: Duration = Duration::from_secs(2);

/// What the engine's init says when there is no such command (tini, `src/tini.c`, `spawn_process`).
const INIT_FAILED: &[u8] = b"[FATAL tini (";

/// A container's output, as the engine sends it.
pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;

/// Attaches to a container that has not been started, so that nothing is missed.
pub(super) async fn attach(shared: &Shared, container: &str) -> Result<Output> {
    let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
    let attached = within(BRIEF, shared.client.attach_container(container, Some(options)))
        .await
        .map_err(failure::during("listen to a container"))?;
    Ok(attached.output)
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
        match within(LONG, owned.client.start_container(container.name(), None)).await {
            Ok(()) => Ok(container),
            Err(error) => Err(explain_start(&for_task, &command, &failure::message(&error))),
        }
    };
    shared.cleaner.to_its_end(what, start).await
}

fn explain_start(what: &str, command: &str, message: &str) -> Error {
    let missing = ["executable file not found", "no such file or directory"].iter().any(|text| message.contains(text));
    if missing && message.contains("exec") && message.contains(command) {
        return not_found(what, command);
    }
    Error::engine(what, message)
}

/// The error for a command that is not in the container.
pub(super) fn not_found(what: &str, command: &str) -> Error {
    Error::engine(what, format!("there is no command `{command}` in it\n\nhelp: check its spelling and PATH, or give its full path"))
}

/// How a process ended, as far as the engine and its init know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exit(Exit),
    /// The process was never there: its command is not in the container.
    NotFound,
}

/// Hears a running container out: gives every piece to the sink and says how it ended.
pub(super) async fn hear_out(shared: &Shared, container: &str, mut output: Output, sink: &Sink) -> Result<End> {
    let mut ear = Ear { sink, init_failed: false };
    let ended = wait(shared, container);
    tokio::pin!(ended);
    let code = loop {
        tokio::select! {
            // Pieces first: at the end there are often both.
            biased;
            piece = output.next() => match piece {
                Some(Ok(piece)) => ear.hear(piece),
                // The end of the stream, or of the connection: how it ended is known to `wait` alone.
                Some(Err(_)) | None => break ended.await?,
            },
            code = &mut ended => {
                let code = code?;
                while let Ok(Some(Ok(piece))) = tokio::time::timeout(LULL, output.next()).await {
                    ear.hear(piece);
                }
                break code;
            }
        }
    };
    // tini(1): 127 is a command that is not there, and also what a shell answers; tini's own words tell.
    if code == 127 && ear.init_failed {
        return Ok(End::NotFound);
    }
    Ok(End::Exit(Exit { code, out_of_memory: code == 137 && ran_out_of_memory(shared, container).await }))
}

struct Ear<'a> {
    sink: &'a Sink,
    init_failed: bool,
}

impl Ear<'_> {
    fn hear(&mut self, piece: LogOutput) {
        match piece {
            LogOutput::StdOut { message } => (self.sink)(Name::Stdout, &message),
            LogOutput::StdErr { message } => {
                self.init_failed |= message.starts_with(INIT_FAILED) && contains(&message, b"exec ");
                (self.sink)(Name::Stderr, &message);
            }
            // There is no terminal and no standard input.
            LogOutput::StdIn { .. } | LogOutput::Console { .. } => {}
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Waits for a started container's end and gives its exit code.
async fn wait(shared: &Shared, container: &str) -> Result<i32> {
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut answers = Box::pin(shared.client.wait_container(container, Some(options)));
    let code = match answers.next().await {
        Some(Ok(answer)) => answer.status_code,
        // bollard makes an error of every code but 0.
        Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) if failure::is_absent(&error) => {
            return Err(Error::Cancelled { what: "the process".to_owned(), reason: "its container was removed".to_owned() });
        }
        Some(Err(error)) => return Err(failure::during("wait for a process")(error)),
        None => return Err(Error::engine("wait for a process", "the engine closed the connection")),
    };
    Ok(i32::try_from(code).unwrap_or(255))
}

async fn ran_out_of_memory(shared: &Shared, container: &str) -> bool {
    let inspected = within(BRIEF, shared.client.inspect_container(container, None)).await;
    inspected.ok().and_then(|container| container.state).and_then(|state| state.oom_killed).unwrap_or(false)
}
