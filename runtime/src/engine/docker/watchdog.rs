//! The process that outlives the pipeline and removes what it leaves behind.
//!
//! ```text
//!   pipeline ──── socket ──── watchdog
//!     │  what to remove, and where     │ reads, and waits
//!     │  `done`: all is removed        │ ends
//!     │  `hand over`: the rest is yours│ answers, removes, ends
//!     ╳  (killed, crashed, exited)     │ removes, ends
//! ```
//!
//! The watchdog is the user's program once more, in another role (see [`crate::reexec`]). It costs the pipeline a
//! thread for a few milliseconds, and the machine one sleeping process with the memory of the same program. Where it is
//! impossible (a system without the means; a pipeline that is process 1 of a container, with which all others die), the
//! next session sweeps.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use self::orders::{DONE, HAND_OVER, Post, TAKEN};
use super::connection::Connection;
use super::spares::Spares;
use crate::error::Reason;
use crate::lock::lock;
use crate::model::SessionId;
use crate::reexec::{self, Channel};
use crate::{Error, Result};

mod duty;
mod orders;
#[cfg(test)]
mod tests;

reexec::role!(
    /// Removes what a session left behind when its process died.
    ROLE, "watchdog", Anew, duty::main
);

/// The file that the watchdog logs to; it has no terminal. An absolute path, or one in the pipeline's working directory.
const LOG_VARIABLE: &str = "BOWLINE_WATCHDOG_LOG";

/// How long the watchdog may take to confirm that it takes over. It has nothing else to do.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(2);

/// A session's watchdog. Dropping it without [`done`](Self::done) has the effect of the pipeline's death.
#[derive(Debug)]
pub(super) struct Watchdog {
    link: Arc<Mutex<Link>>,
    /// Set once the watchdog is ready, or could not be started.
    armed: watch::Receiver<Option<Result<()>>>,
}

/// The state of the connection to the watchdog.
#[derive(Debug)]
enum Link {
    /// The program is being re-executed.
    Starting,
    Up(Channel),
    /// Dropped before the watchdog was ready, which now has to remove what there is.
    Abandoned,
    /// The watchdog was released, or could not be started.
    Down,
}

impl Watchdog {
    /// Starts a watchdog in the background and returns at once. What is made before [`armed`](Self::armed) returns is not
    /// guarded yet.
    pub(super) fn spawn(connection: &Connection, session: &SessionId) -> Result<Self> {
        let log = std::env::var_os(LOG_VARIABLE).filter(|path| !path.is_empty());
        let post = Post {
            connection: connection.clone(),
            session: session.to_string(),
            spares: Spares::of(connection.id()),
            pipeline: std::process::id(),
            log: log.and_then(|path| std::path::absolute(path).ok()),
        };
        let mut post = serde_json::to_vec(&post).map_err(failed)?;
        post.push(b'\n');

        let link = Arc::new(Mutex::new(Link::Starting));
        let (tell, armed) = watch::channel(None);
        let shared = Arc::clone(&link);
        std::thread::Builder::new()
            .name("bowline-watchdog".to_owned())
            .stack_size(256 << 10)
            .spawn(move || {
                let result = start(&post, &shared).map_err(failed);
                if result.is_err() {
                    *lock(&shared) = Link::Down;
                }
                let _ = tell.send(Some(result));
            })
            .map_err(failed)?;
        Ok(Self { link, armed })
    }

    /// Waits until the watchdog is ready: from then on the session may be killed at any moment. This takes some
    /// milliseconds after [`spawn`](Self::spawn), so it is best awaited just before the first container is started.
    pub(super) async fn armed(&self) -> Result<()> {
        let mut armed = self.armed.clone();
        match armed.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(failed("its thread ended")),
        }
    }

    /// Tells the watchdog that nothing is left to remove; it ends at once.
    pub(super) fn done(self) {
        if let Link::Up(mut channel) = self.take() {
            // A dead watchdog cannot be told, and need not be.
            let _ = channel.write_all(format!("{DONE}\n").as_bytes());
        }
    }

    /// Lets the watchdog remove whatever is left, as though the pipeline had died, and returns once the watchdog has
    /// confirmed that it will: the pipeline may then end at once. After an error the watchdog may or may not do so.
    pub(super) async fn hand_over(self) -> Result<()> {
        self.armed().await?;
        let Link::Up(mut channel) = self.take() else { return Err(failed("it is not there")) };
        let ask = move || -> std::io::Result<u8> {
            let mut answer = [0];
            channel.set_read_timeout(Some(HAND_OVER_WITHIN))?;
            channel.write_all(format!("{HAND_OVER}\n").as_bytes())?;
            channel.read_exact(&mut answer)?;
            Ok(answer[0])
        };
        match tokio::task::spawn_blocking(ask).await.map_err(failed)?.map_err(failed)? {
            TAKEN => Ok(()),
            _ => Err(failed("it gave no sensible answer")),
        }
    }

    fn take(&self) -> Link {
        std::mem::replace(&mut *lock(&self.link), Link::Down)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let mut link = lock(&self.link);
        *link = match *link {
            Link::Starting => Link::Abandoned,
            _ => Link::Down,
        };
    }
}

/// Starts the watchdog and sends it its orders, unless it was released meanwhile: then it gets no orders and ends.
fn start(post: &[u8], link: &Mutex<Link>) -> std::io::Result<()> {
    let mut channel = reexec::spawn(&ROLE)?;
    let mut link = lock(link);
    match *link {
        Link::Starting => {
            channel.write_all(post)?;
            *link = Link::Up(channel);
        }
        Link::Abandoned => channel.write_all(post)?,
        Link::Up(_) | Link::Down => {}
    }
    Ok(())
}

fn failed(error: impl Into<Reason>) -> Error {
    Error::engine("start the watchdog that removes what a killed pipeline leaves behind", error)
}
