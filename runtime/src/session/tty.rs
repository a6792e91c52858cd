//! The terminal that the program itself runs at, lent to a process in a container.
//!
//! It is in raw mode meanwhile: what is typed goes to the container as it is, Ctrl-C too, and the container's own terminal
//! does what terminals do with it.

mod keys;
mod modes;
mod raw;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use self::keys::Keys;
use self::modes::Modes;
use self::raw::Raw;
use crate::engine::{Attached, Terminal};
use crate::model::{Exit, WindowSize};
use crate::terminal;
use crate::{Error, Result};

/// Whether somebody has the terminal: there is one for the whole process.
static IS_CLAIMED: AtomicBool = AtomicBool::new(false);

/// How long a process's last output may take to come, where something that it left running still has the terminal.
const LAST_OUTPUT: Duration = Duration::from_millis(500);
/// How long a person's terminal may take to show the last output: it may have been stopped, with Ctrl-S.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);
/// How many pieces wait to be shown.
const PIECES: usize = 16;
/// What a terminal has that does not know its size.
const USUAL: WindowSize = WindowSize { columns: 80, rows: 24 };

const WITHOUT: &str = "help: `exec` runs a command without a terminal";

/// The program's terminal, claimed for one process.
pub(super) struct Screen {
    input: File,
    output: File,
}

impl Screen {
    /// Claims the program's terminal for something of this item.
    pub(super) fn claim(item: &str) -> Result<Self> {
        let refuse = |message: &str| Err(Error::invalid(Some(item), message));
        for (is_terminal, stream) in
            [(io::stdin().is_terminal(), "standard input"), (io::stdout().is_terminal(), "standard output")]
        {
            if !is_terminal {
                return refuse(&format!("there is no terminal to open it at: {stream} is none\n\n{WITHOUT}"));
            }
        }
        if terminal::is_in_background(io::stdin()) {
            return refuse(
                "there is no terminal to open it at: the program runs in the background\n\n\
                 help: bring it to the foreground (`fg`)",
            );
        }
        let copies = (io::stdin().as_fd().try_clone_to_owned(), io::stdout().as_fd().try_clone_to_owned());
        let (Ok(input), Ok(output)) = copies else {
            return refuse("the program's terminal cannot be opened: there are too many open files");
        };
        if IS_CLAIMED.swap(true, Ordering::SeqCst) {
            return refuse(
                "another terminal is open, and the program has one for both\n\nhelp: await them one after the other",
            );
        }
        Ok(Self { input: input.into(), output: output.into() })
    }

    pub(super) fn size(&self) -> WindowSize {
        terminal::size(&self.output).map_or(USUAL, |(columns, rows)| WindowSize { columns, rows })
    }

    /// Connects a process's terminal with this one until the process ends. However this ends, the terminal is the program's
    /// again.
    pub(super) async fn attach(
        &self,
        terminal: Terminal,
        opened: impl FnOnce() -> Box<dyn Send> + Send,
    ) -> Result<Exit> {
        let not_possible = |error| Error::io("the program's terminal", error);
        let mut resized = signal(SignalKind::window_change()).map_err(not_possible)?;
        let mut resumed = signal(SignalKind::from_raw(libc::SIGCONT)).map_err(not_possible)?;
        // What the program shows itself waits until the terminal is restored, by this thread and by the one that draws.
        let opened = Arc::new(Mutex::new(opened()));
        let output = self.output.try_clone().map_err(not_possible)?;
        let mut shown = Shown::start(output, opened.clone()).map_err(not_possible)?;
        let raw = Raw::enter(&self.input).map_err(not_possible)?;
        let mut keys = Keys::start(self.input.try_clone().map_err(not_possible)?).map_err(not_possible)?;
        let Terminal { mut input, mut output, process } = terminal;

        let typing = async {
            while let Some(pressed) = keys.next().await {
                if input.write_all(&pressed).await.is_err() || input.flush().await.is_err() {
                    // The process is ending.
                    return std::future::pending().await;
                }
            }
        };
        let sizing = async {
            loop {
                tokio::select! {
                    _ = resized.recv() => {}
                    // A shell that had stopped the program has had the terminal meanwhile.
                    _ = resumed.recv() => raw::set_again(),
                }
                // One that has just ended needs no size.
                let _ = process.resize(self.size()).await;
            }
        };
        let showing = async {
            let mut piece = vec![0; 16 << 10];
            loop {
                match output.read(&mut piece).await {
                    // How the process ended is known to `wait` alone.
                    Ok(0) | Err(_) => return,
                    Ok(length) => shown.show(piece.get(..length).unwrap_or_default()).await,
                }
            }
        };
        let exit = tokio::select! {
            exit = until_ended(&*process, showing) => exit,
            () = typing => Err(not_possible(io::Error::from(io::ErrorKind::UnexpectedEof))),
            () = sizing => Err(Error::internal("a terminal is not resized any more")),
        };
        shown.finish().await;
        drop((keys, raw));
        drop(opened);
        exit
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        IS_CLAIMED.store(false, Ordering::SeqCst);
    }
}

async fn until_ended(process: &dyn Attached, showing: impl Future<Output = ()>) -> Result<Exit> {
    let mut showing = std::pin::pin!(showing);
    let exit = tokio::select! {
        biased;
        () = &mut showing => None,
        exit = process.wait() => Some(exit?),
    };
    match exit {
        Some(exit) => {
            let _ = tokio::time::timeout(LAST_OUTPUT, showing).await;
            Ok(exit)
        }
        None => process.wait().await,
    }
}

/// What is shown: written by a thread, as a terminal may take nothing for as long as a person likes.
struct Shown {
    pieces: Option<mpsc::Sender<Vec<u8>>>,
    /// Notified when all of it has been written.
    done: oneshot::Receiver<()>,
    modes: Modes,
}

impl Shown {
    /// The guard is held until everything is shown.
    fn start(mut to: File, guard: impl Send + 'static) -> io::Result<Self> {
        // What the program has printed comes first.
        let _ = io::stdout().flush();
        let (pieces, mut queue) = mpsc::channel::<Vec<u8>>(PIECES);
        let (tell, done) = oneshot::channel();
        std::thread::Builder::new().name("bowline-screen".to_owned()).spawn(move || {
            while let Some(piece) = queue.blocking_recv() {
                if keys::write_all(&mut to, &piece).is_err() {
                    break;
                }
            }
            drop(guard);
            let _ = tell.send(());
        })?;
        Ok(Self { pieces: Some(pieces), done, modes: Modes::default() })
    }

    async fn show(&mut self, piece: &[u8]) {
        self.modes.follow(piece);
        if let Some(pieces) = &self.pieces {
            // A terminal that is gone shows nothing: the process learns of that by its input.
            let _ = pieces.send(piece.to_vec()).await;
        }
    }

    /// Takes back what the process has set and not taken back itself, and waits until all is shown.
    async fn finish(&mut self) {
        let back = std::mem::take(&mut self.modes).back();
        if let Some(pieces) = self.pieces.take()
            && !back.is_empty()
        {
            let _ = tokio::time::timeout(SHOWN_WITHIN, pieces.send(back)).await;
        }
        let _ = tokio::time::timeout(SHOWN_WITHIN, &mut self.done).await;
    }
}

impl Drop for Shown {
    /// Where nobody waits: the session has closed, or a service ended.
    fn drop(&mut self) {
        let back = std::mem::take(&mut self.modes).back();
        if let Some(pieces) = self.pieces.take()
            && !back.is_empty()
        {
            let _ = pieces.try_send(back);
        }
    }
}
