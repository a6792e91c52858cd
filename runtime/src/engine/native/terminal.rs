//! A process's terminal as the pipeline has it.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tokio::net::unix::pipe;

use super::client::{Orders, Shim, unexpected};
use super::failed;
use super::process::NotLaunched;
use super::shim::terminal;
use super::wire::{self, Answer, Request};
use crate::Result;
use crate::engine::ending::{Ending, ending};
use crate::engine::{Attached, Call, Terminal};
use crate::model::{Exit, WindowSize};

/// Starts a process that has a terminal. What it needs for as long as it runs is `kept`.
pub(super) async fn open(
    shim: &Shim,
    request: &Request,
    network: Option<BorrowedFd<'_>>,
    what: &str,
    kept: impl Send + Sync + 'static,
) -> Result<Terminal, NotLaunched> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut all = vec![theirs.as_fd(); 3];
    all.extend(network);
    let answers = shim.ask(request, &all).await?;
    drop(all);
    drop(theirs);
    let (mut heard, orders) = answers.split();
    match heard.next().await? {
        Answer::Started { .. } => {}
        Answer::CannotRun { errno } => {
            return Err(NotLaunched::CannotRun(io::Error::from_raw_os_error(errno)));
        }
        Answer::Failed(text) => return Err(NotLaunched::Failed(io::Error::other(text))),
        other => return Err(NotLaunched::Failed(unexpected(&other))),
    }
    let sent = wire::receive_descriptors(&ours)?.and_then(|sent| sent.into_iter().next());
    let master: OwnedFd = sent.ok_or_else(|| io::Error::other("the shim gave no terminal"))?;
    // The shim has opened it non-blocking. It is read and written as pipes are.
    let input = pipe::Sender::from_owned_fd_unchecked(master.try_clone()?)?;
    let output = pipe::Receiver::from_owned_fd_unchecked(master.try_clone()?)?;
    let (tell, end) = ending();
    let doing = what.to_owned();
    let task = tokio::spawn(async move {
        let exit = match heard.next().await {
            Ok(Answer::Exited { code, out_of_memory }) => Ok(Exit { code, out_of_memory }),
            Ok(Answer::Failed(text)) => Err(io::Error::other(text)),
            Ok(other) => Err(unexpected(&other)),
            Err(error) => Err(error),
        };
        tell.tell(exit.map_err(failed(doing)));
    });
    let process = Process {
        what: what.to_owned(),
        master,
        end,
        task: task.abort_handle(),
        _orders: orders,
        _kept: Box::new(kept),
    };
    Ok(Terminal { input: Box::pin(input), output: Box::pin(output), process: Box::new(process) })
}

struct Process {
    what: String,
    master: OwnedFd,
    end: Ending,
    /// Hears of the end; without it and the orders, the shim ends the process.
    task: tokio::task::AbortHandle,
    _orders: Orders,
    _kept: Box<dyn Send + Sync>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Attached for Process {
    fn resize(&self, size: WindowSize) -> Call<'_, ()> {
        let resized = terminal::resize(self.master.as_fd(), size).map_err(io::Error::from);
        let resized = resized.map_err(failed("resize a terminal"));
        Box::pin(async { resized })
    }

    fn wait(&self) -> Call<'_, Exit> {
        Box::pin(self.end.wait(&self.what))
    }
}
