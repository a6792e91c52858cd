//! Supervising a container until its end: obeying orders, and stopping it once nobody sends orders any more.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, waitpid,
};

use super::error::{Context as _, ShimError};
use super::session;
use crate::engine::native::wire::{self, Answer, Detach, Order};

/// A container, or a further process in one.
pub(super) struct Followed<'a> {
    /// Its first process, and a descriptor that reports that process's end.
    init: Pid,
    ended: OwnedFd,
    /// The user's process.
    process: &'a OwnedFd,
    /// The processes of the machine, if no namespace of them ends with this one: then its session gets its signals.
    processes: Option<OwnedFd>,
    /// The pipes of its output, which the pipeline reads while it exists.
    output: Vec<OwnedFd>,
}

impl<'a> Followed<'a> {
    pub(super) fn new(init: Pid, process: &'a OwnedFd, output: Vec<OwnedFd>) -> Result<Self, ShimError> {
        let ended = pidfd_open(init, PidfdFlags::empty()).context("the container")?;
        Ok(Self { init, ended, process, processes: None, output })
    }

    /// A further process in a container, by its number and descriptor; and the directory of all the shim's processes.
    pub(super) fn further(number: Pid, process: &'a OwnedFd, processes: OwnedFd) -> Result<Self, ShimError> {
        Ok(Self { processes: Some(processes), ..Self::new(number, process, Vec::new())? })
    }

    /// Obeys orders until the container ends. If the pipeline hangs up the container is ended, unless it was told to
    /// leave.
    pub(super) fn follow(mut self, answers: &UnixStream) -> Result<WaitStatus, ShimError> {
        let mut orders = BufReader::new(answers.try_clone().context("a socket")?);
        let mut listens = true;
        loop {
            let mut sources = vec![PollFd::new(&self.ended, PollFlags::IN)];
            if listens {
                sources.push(PollFd::new(answers, PollFlags::IN));
            }
            wait_for(&mut sources, None).context("poll")?;
            let is_order = is_ready(sources.get(1));
            if is_ready(sources.first()) {
                return self.status();
            }
            if is_order {
                match self.obey(&mut orders, answers) {
                    Obeyed::AsOrdered => {}
                    Obeyed::Detach(leave) => return self.detach(&leave),
                    Obeyed::HungUp => {
                        listens = false;
                        self.kill();
                    }
                }
            }
        }
    }

    /// Carries out an order.
    fn obey(&self, orders: &mut BufReader<UnixStream>, answers: &UnixStream) -> Obeyed {
        loop {
            let mut line = String::new();
            if orders.read_line(&mut line).unwrap_or(0) == 0 {
                return Obeyed::HungUp;
            }
            match serde_json::from_str(&line) {
                Ok(Order::Signal(number)) => self.signal(number),
                Ok(Order::Ask) => {
                    if self.runs() {
                        // If the pipeline is gone, nobody hears it.
                        let _ = wire::say(answers, &Answer::Alive);
                    }
                }
                Ok(Order::Detach(leave)) => return Obeyed::Detach(leave),
                Err(_) => {}
            }
            if orders.buffer().is_empty() {
                return Obeyed::AsOrdered;
            }
        }
    }

    /// Ends the container once its users have ended, by signal or by force. Its output is read and dropped meanwhile: a
    /// process whose output pipe is closed would be killed by SIGPIPE while it shuts down.
    fn detach(&mut self, leave: &Detach) -> Result<WaitStatus, ShimError> {
        for user in &leave.users {
            // A user that does not exist has ended.
            let user = Pid::from_raw(*user).and_then(|user| pidfd_open(user, PidfdFlags::empty()).ok());
            if let Some(user) = user {
                drain_until(&user, &mut self.output, None)?;
            }
        }
        self.signal(leave.signal);
        if !drain_until(&self.ended, &mut self.output, Some(Instant::now() + leave.within))? {
            self.kill();
        }
        self.status()
    }

    /// Whether the user's process still runs, whatever else is left of the container.
    fn runs(&self) -> bool {
        let mut sources = [PollFd::new(self.process, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut sources, Some(&now)), Ok(0))
    }

    fn signal(&self, number: i32) {
        if number == libc::SIGKILL && self.processes.is_some() {
            self.kill();
        } else if let Some(signal) = Signal::from_named_raw(number) {
            // A process that has ended needs no signal.
            let _ = pidfd_send_signal(self.process, signal);
        }
    }

    fn kill(&self) {
        // Its number is nobody else's before `status` has been asked for.
        if let Some(processes) = &self.processes {
            session::kill(processes, self.init);
        }
        let _ = pidfd_send_signal(&self.ended, Signal::KILL);
    }

    /// The wait status, once the container has ended.
    fn status(&self) -> Result<WaitStatus, ShimError> {
        loop {
            match waitpid(Some(self.init), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                Ok(Some((_, status))) => return Ok(status),
                Ok(None) => return Err(ShimError::new("the container is gone")),
                Err(error) => return Err(ShimError::new(format!("the container: {error}"))),
            }
        }
    }
}

enum Obeyed {
    AsOrdered,
    Detach(Detach),
    HungUp,
}

fn is_ready(source: Option<&PollFd<'_>>) -> bool {
    source.is_some_and(|source| !source.revents().is_empty())
}

/// As poll(2), but continues after signals.
fn wait_for(sources: &mut [PollFd<'_>], deadline: Option<Instant>) -> rustix::io::Result<()> {
    loop {
        let left = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        match poll(sources, left.as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map(drop),
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: i64::from(time.subsec_nanos()) }
}

/// Reads and drops output until something ends; returns whether that was in time.
fn drain_until(
    ended: &OwnedFd,
    pipes: &mut Vec<OwnedFd>,
    deadline: Option<Instant>,
) -> Result<bool, ShimError> {
    loop {
        let mut sources = vec![PollFd::new(ended, PollFlags::IN)];
        sources.extend(pipes.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        wait_for(&mut sources, deadline).context("poll")?;
        if is_ready(sources.first()) {
            return Ok(true);
        }
        let ready: Vec<bool> = sources.iter().skip(1).map(|source| is_ready(Some(source))).collect();
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(false);
        }
        let mut ready = ready.into_iter();
        pipes.retain(|pipe| !ready.next().unwrap_or(false) || is_open(pipe));
    }
}

/// Reads and drops what is there; returns whether the pipe is still open.
fn is_open(pipe: &OwnedFd) -> bool {
    let mut piece = [0; 4096];
    // The pipeline has made the pipes non-blocking.
    !matches!(rustix::io::read(pipe, &mut piece), Ok(0))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn pipes_are_drained_until_the_end_or_the_deadline() {
        let (ended, end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let (closed, _) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let mut pipes = vec![read, closed];
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(!drain_until(&ended, &mut pipes, Some(soon)).unwrap());
        assert_eq!(pipes.len(), 1, "the one without a writer is left alone from now on");
        let writer = std::thread::spawn(move || {
            let mut write = std::fs::File::from(write);
            // More than a pipe holds: the write blocks, as the writing side is set to.
            let mut left = 1 << 20;
            while left > 0 {
                match write.write(&[0; 4096]) {
                    Ok(written) => left -= written,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            }
            drop(end);
        });
        assert!(drain_until(&ended, &mut pipes, None).unwrap());
        writer.join().unwrap();
    }
}
