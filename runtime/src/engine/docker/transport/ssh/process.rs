//! A connection through a child process.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// How much of the process's standard error is kept: the end of it.
const SAID_AT_MOST: usize = 4 << 10;

/// How long the process may take to exit after its last output, and how long its standard error may take to arrive.
const END_WITHIN: Duration = Duration::from_secs(2);
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(200);

/// The process's standard input and output are the connection. It is killed when this is dropped.
pub(in super::super::super) struct Process {
    input: Option<ChildStdin>,
    output: ChildStdout,
    state: State,
}

enum State {
    Runs(Box<Running>),
    Ends(Pin<Box<dyn Future<Output = io::Result<()>> + Send>>),
    Ended,
}

struct Running {
    child: Child,
    errors: ChildStderr,
    said: Said,
}

impl Process {
    pub(super) fn spawn(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Typing `^C` to end the pipeline must not end it: containers are removed through it.
        #[cfg(unix)]
        command.process_group(0);
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| {
            let message = match error.kind() {
                io::ErrorKind::NotFound => format!("`{program}` is not installed"),
                _ => format!("`{program}` cannot be run: {error}"),
            };
            io::Error::new(error.kind(), message)
        })?;
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other(format!("`{program}` has no output")));
        };
        Ok(Self {
            input: child.stdin.take(),
            output,
            state: State::Runs(Box::new(Running { child, errors, said: Said { program, text: Vec::new() } })),
        })
    }
}

impl AsyncRead for Process {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.state.listen(context);
        if let State::Runs(_) = this.state {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.output).poll_read(context, buffer))?;
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            this.state.end();
        }
        this.state.poll_end(context)
    }
}

impl State {
    /// Reads the process's standard error, so that it never blocks on a full pipe.
    fn listen(&mut self, context: &mut Context<'_>) {
        let Self::Runs(running) = self else { return };
        let mut room = [0; SAID_AT_MOST];
        let mut heard = ReadBuf::new(&mut room);
        if let Poll::Ready(Ok(())) = Pin::new(&mut running.errors).poll_read(context, &mut heard)
            && !heard.filled().is_empty()
        {
            running.said.hear(heard.filled());
            // There may be more, which the next poll reads.
            context.waker().wake_by_ref();
        }
    }

    fn end(&mut self) {
        if let Self::Runs(running) = std::mem::replace(self, Self::Ended) {
            *self = Self::Ends(Box::pin(ended(*running)));
        }
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Ends(end) = self else { return Poll::Ready(Ok(())) };
        let end = ready!(end.as_mut().poll(context));
        *self = Self::Ended;
        Poll::Ready(end)
    }
}

/// The end of a process that has closed its output: an error if the connection broke.
async fn ended(running: Running) -> io::Result<()> {
    let Running { mut child, mut errors, mut said } = running;
    let Ok(status) = tokio::time::timeout(END_WITHIN, child.wait()).await else { return Ok(()) };
    let status = status?;
    if status.success() {
        return Ok(());
    }
    // A process that it leaves behind to reuse the connection (`ControlPersist`) may keep this open.
    let last_words = async {
        let mut room = [0; SAID_AT_MOST];
        while let Ok(length @ 1..) = errors.read(&mut room).await {
            said.hear(room.get(..length).unwrap_or_default());
        }
    };
    let _ = tokio::time::timeout(LAST_WORDS_WITHIN, last_words).await;
    Err(io::Error::new(io::ErrorKind::BrokenPipe, said.last_words(status)))
}

/// The end of the process's standard error.
struct Said {
    program: String,
    text: Vec<u8>,
}

impl Said {
    fn hear(&mut self, more: &[u8]) {
        self.text.extend_from_slice(more);
        let over = self.text.len().saturating_sub(SAID_AT_MOST);
        self.text.drain(..over);
    }

    fn last_words(&self, status: ExitStatus) -> String {
        let text = String::from_utf8_lossy(&self.text).replace('\r', "");
        match text.trim() {
            "" => format!("`{}` ended with {status}", self.program),
            text => format!("`{}` ended: {text}", self.program),
        }
    }
}

impl AsyncWrite for Process {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing the pipe tells the process that no more comes.
        self.input = None;
        Poll::Ready(Ok(()))
    }
}
