//! Connections through ssh: the machine's own `ssh`, with the user's configuration, runs `docker system dial-stdio` on
//! the engine's machine, as the command line does (docker/cli, `cli/connhelper`).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

pub(in super::super) use self::destination::Destination;
pub(super) use self::process::Process;

mod destination;
mod process;

/// The most concurrent logins of this process. A server refuses at random once more than ten clients have not logged in
/// yet (`sshd_config(5)`, `MaxStartups`), and a pipeline may send a hundred requests at the same time.
static LOGINS: Semaphore = Semaphore::const_new(8);

/// How often to retry a connection that the server closes before the login, because others are logging in at the same
/// time; and the pause after the first try, which doubles.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Timeout for logging in and reaching the engine from there.
const WITHIN: Duration = Duration::from_secs(60);

/// The size limit of the engine's first answer, which has a few hundred bytes.
const ANSWER_AT_MOST: u64 = 16 << 10;

impl Destination {
    /// A connection on which the engine has already answered. So the login is known to be over, and no request is sent to
    /// a dead connection: what ssh reports of that becomes the error.
    pub(super) async fn connect(&self) -> io::Result<Process> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.log_in().await {
                Err(error) if was_not_heard(&error) => tokio::time::sleep(pause).await,
                other => return other,
            }
            pause *= 2;
        }
        self.log_in().await
    }

    async fn log_in(&self) -> io::Result<Process> {
        // The semaphore is never closed.
        let _login = LOGINS.acquire().await.map_err(io::Error::other)?;
        tokio::time::timeout(WITHIN, knock(Process::spawn(self.command())?)).await.unwrap_or_else(|_| {
            let message = format!("no answer through ssh within {} s", WITHIN.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }
}

/// Waits until the engine answers.
async fn knock(mut process: Process) -> io::Result<Process> {
    match process.write_all(b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n").await {
        // It ended before it read anything: reading tells why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let room = ANSWER_AT_MOST.saturating_sub(answer.len() as u64);
        // Nothing follows the head.
        if (&mut process).take(room).read_buf(&mut answer).await? == 0 {
            let said = String::from_utf8_lossy(&answer);
            let message = match said.lines().next() {
                None => "the engine's end closed the connection".to_owned(),
                Some(line) => format!("it does not speak Docker's API: `{}`", line.escape_debug()),
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
    }
    Ok(process)
}

/// Whether the server hung up before the login (OpenSSH, `kex_exchange_identification`).
fn was_not_heard(error: &io::Error) -> bool {
    error.to_string().contains("exchange_identification: ")
}
