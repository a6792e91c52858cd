//! The end of a further process in a container, with all that it has started: no namespace ends with it, but they are of
//! its session, unless they have left that (`setsid(2)`).

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, Signal, kill_process};

/// Where the kernel shows the processes, by the shim's own numbers.
pub(super) fn processes() -> rustix::io::Result<OwnedFd> {
    openat(CWD, "/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Kills all processes of a session, also those that are being started meanwhile.
pub(super) fn kill(processes: &OwnedFd, leader: Pid) {
    /// A session that makes processes faster than they are killed goes on; its leader does not.
    const ROUNDS: usize = 100;
    for _ in 0..ROUNDS {
        let Ok(all) = rustix::fs::Dir::read_from(processes) else { return };
        let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok());
        let found: Vec<Pid> = numbers.filter_map(Pid::from_raw).collect();
        let found: Vec<Pid> =
            found.into_iter().filter(|pid| live_session(processes, *pid) == Some(leader)).collect();
        if found.is_empty() {
            return;
        }
        for pid in found {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::yield_now();
    }
}

/// The session of a process that has not ended (`proc_pid_stat(5)`).
fn live_session(processes: &OwnedFd, pid: Pid) -> Option<Pid> {
    let path = format!("{}/stat", pid.as_raw_nonzero());
    let file = openat(processes, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = std::io::read_to_string(std::fs::File::from(file)).ok()?;
    // The name in brackets may hold brackets too.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let is_alive = !matches!(fields.next()?, "Z" | "X");
    let session = fields.nth(2)?.parse().ok()?;
    Pid::from_raw(session).filter(|_| is_alive)
}
