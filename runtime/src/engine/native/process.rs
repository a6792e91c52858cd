//! A container's process as the pipeline sees it: it is requested, writes output, and ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::client::{Heard, Orders, Shim, unexpected};
use super::failed;
use super::wire::{Answer, Order, Request};
use crate::Error;
use crate::engine::Sink;
use crate::engine::command::cannot_run;
use crate::model::{Exit, Stream};

/// A running process.
pub(super) struct Launched {
    pub(super) container: i32,
    pub(super) orders: Orders,
    pub(super) output: Output,
    /// Changes with each [`Answer::Alive`].
    pub(super) alive: watch::Receiver<()>,
}

/// The output of a process. Dropping this and the orders ends the process.
pub(super) struct Output {
    heard: Heard,
    alive: watch::Sender<()>,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
}

/// Why a process does not run.
pub(super) enum NotLaunched {
    /// The program could not be executed.
    CannotRun(io::Error),
    Failed(io::Error),
}

impl NotLaunched {
    /// The error for what was being done, with this program.
    pub(super) fn explain(self, what: &str, program: &str) -> Error {
        match self {
            Self::CannotRun(error) => cannot_run(what, program, &error.to_string()),
            Self::Failed(error) => failed(what)(error),
        }
    }
}

impl From<io::Error> for NotLaunched {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Starts a process, writing its standard input in the background.
pub(super) async fn launch(
    shim: &Shim,
    request: &Request,
    network: Option<BorrowedFd<'_>>,
    stdin: Option<Arc<[u8]>>,
    future: Future,
) -> Result<Launched, NotLaunched> {
    let (stdout, stdout_there) = output_pipe()?;
    let (stderr, stderr_there) = output_pipe()?;
    let (feed, stdin_there) = input(stdin)?;
    let mut all = vec![stdin_there.as_fd(), stdout_there.as_fd(), stderr_there.as_fd()];
    all.extend(network);
    if future == Future::MayDetach {
        all.extend([stdout.as_fd(), stderr.as_fd()]);
    }
    let answers = shim.ask(request, &all).await?;
    drop(all);
    drop((stdout_there, stderr_there, stdin_there));
    let (mut heard, orders) = answers.split();
    match heard.next().await? {
        Answer::Started { container } => {
            if let Some((mut pipe, text)) = feed {
                // Ends when the process closes its standard input.
                tokio::spawn(async move { pipe.write_all(&text).await });
            }
            let (tell, alive) = watch::channel(());
            let output = Output { heard, alive: tell, stdout, stderr };
            Ok(Launched { container, orders, output, alive })
        }
        Answer::CannotRun { errno } => Err(NotLaunched::CannotRun(io::Error::from_raw_os_error(errno))),
        Answer::Failed(text) => Err(NotLaunched::Failed(io::Error::other(text))),
        other => Err(NotLaunched::Failed(unexpected(&other))),
    }
}

/// What happens to a process when its pipeline ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Future {
    Ends,
    /// It may be told to end by itself ([`Order::Detach`]): then something has to go on reading its output.
    MayDetach,
}

type Feed = Option<(pipe::Sender, Arc<[u8]>)>;

fn input(stdin: Option<Arc<[u8]>>) -> io::Result<(Feed, OwnedFd)> {
    let Some(text) = stdin else {
        return Ok((None, File::open("/dev/null")?.into()));
    };
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&write, true)?;
    Ok((Some((pipe::Sender::from_owned_fd(write)?, text)), read))
}

fn output_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((pipe::Receiver::from_owned_fd(read)?, write))
}

impl Output {
    /// Reads a process's output until it has ended. Something that it left running may still hold the output, in a
    /// container that goes on: what that writes later is not read.
    pub(super) async fn hear(self, sink: &Sink) -> io::Result<Exit> {
        let Self { mut heard, alive, mut stdout, mut stderr } = self;
        let last = async {
            loop {
                match heard.next().await {
                    Ok(Answer::Alive) => drop(alive.send(())),
                    other => return other,
                }
            }
        };
        let mut last = std::pin::pin!(last);
        let copied = async {
            let copies = (copy(&mut stdout, Stream::Stdout, sink), copy(&mut stderr, Stream::Stderr, sink));
            let (out, err) = tokio::join!(copies.0, copies.1);
            out.and(err)
        };
        let exit = tokio::select! {
            biased;
            copied = copied => match copied {
                Ok(()) => last.await,
                Err(error) => return Err(error),
            },
            exit = &mut last => exit,
        };
        copy_rest(&stdout, Stream::Stdout, sink)?;
        copy_rest(&stderr, Stream::Stderr, sink)?;
        match exit? {
            Answer::Exited { code, out_of_memory } => Ok(Exit { code, out_of_memory }),
            Answer::Failed(text) => Err(io::Error::other(text)),
            other => Err(unexpected(&other)),
        }
    }
}

async fn copy(from: &mut pipe::Receiver, stream: Stream, sink: &Sink) -> io::Result<()> {
    let mut piece = vec![0; 32 << 10];
    loop {
        match from.read(&mut piece).await? {
            0 => return Ok(()),
            length => sink(stream, piece.get(..length).unwrap_or_default()),
        }
    }
}

/// What had been written when the process ended: no more than a pipe holds.
fn copy_rest(from: &pipe::Receiver, stream: Stream, sink: &Sink) -> io::Result<()> {
    const PIPE_AT_MOST: usize = 1 << 20;
    let mut piece = vec![0; 32 << 10];
    let mut length = 0;
    while length < PIPE_AT_MOST {
        match rustix::io::read(from, &mut piece) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => break,
            Ok(read) => {
                sink(stream, piece.get(..read).unwrap_or_default());
                length += read;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// As [`Output::hear`], for a process that is killed at its timeout.
pub(super) async fn hear_within(
    launched: Launched,
    limit: Option<Duration>,
    sink: &Sink,
    timed_out: &mut bool,
) -> io::Result<Exit> {
    let Launched { mut orders, output, .. } = launched;
    let mut hearing = std::pin::pin!(output.hear(sink));
    let Some(limit) = limit else {
        return hearing.await;
    };
    if let Ok(exit) = tokio::time::timeout(limit, &mut hearing).await {
        return exit;
    }
    *timed_out = true;
    orders.give(Order::Signal(libc::SIGKILL)).await?;
    hearing.await
}
