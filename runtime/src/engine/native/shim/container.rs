//! A container: a supervisor, which speaks with the pipeline, its init, and the user's process.
//!
//! The init is the first process of the container's process namespace. It waits for whatever is orphaned there, and ends
//! when the user's process does; then the kernel ends all the others. The supervisor is outside of the namespace and is
//! the only one that knows of the pipeline.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::OFlags;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, set_parent_process_death_signal, wait,
    waitpid,
};
use rustix::thread::UnshareFlags;

use super::cgroup::Group;
use super::error::{Context as _, ShimError};
use super::follow::Followed;
use super::overlay;
use super::process::{
    Beginning, execute as execute_program, hear, make_workdir, tell_errno, tell_fault, user,
};
use super::rootfs::{self, Extras};
use super::{confinement, exit, fork, inside, network, rlimits, session, sysctls, terminal, unshare, users};
use crate::engine::native::capabilities::Users;
use crate::engine::native::wire::{self, Answer, Container, Process};
use crate::engine::sockets::TABLES;

/// Runs a container to its end.
pub(super) fn run(
    container: &Container,
    session: &str,
    mut streams: Vec<OwnedFd>,
    answers: &UnixStream,
) -> Result<(), ShimError> {
    // Standard input, output and error, and the network; then where output is read.
    let output = streams.split_off(streams.len().min(4));
    let network = streams.pop().ok_or_else(|| ShimError::new("a container without a network"))?;
    rootfs::close_devices(&mut streams)?;
    rlimits::permit(&container.process)?;
    confinement::permit(&container.process.security)?;
    let mut group = group(session, &container.process)?;
    if let Some(group) = &mut group {
        group.make(&container.process.limits)?;
    }
    network::enter(&network)?;
    let users = own_users(&container.process, &network)?;
    drop(network);
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC | UnshareFlags::NEWPID;
    unshare(flags).context("namespaces of its own")?;
    sysctls::set(&container.process.security.sysctls)?;
    rustix::system::sethostname(container.hostname.as_bytes()).context("its host name")?;
    let tree = overlay::open_with_points(&container.root)?;
    let user = user(tree.as_fd(), &container.process.user)?;
    make_workdir(tree.as_fd(), &container.process)?;
    let (ours, theirs) = UnixStream::pair().context("a socket")?;
    let (failure, failed) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("a pipe")?;
    let Some(init) = fork()? else {
        drop((ours, failure));
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        let extras = Extras {
            mounts: &container.mounts,
            hostname: &container.hostname,
            hosts: &container.hosts,
            resolver: &container.resolver,
            process: &container.process,
            owner: (user.uid, user.gid),
            groups: group.as_ref().map(Group::shown),
        };
        let entered = enter_group(group.as_ref()).and_then(|()| rootfs::enter(&tree, &extras));
        let entered = entered.and_then(|()| users.as_ref().map_or(Ok(()), enter_users));
        if let Err(fault) = entered {
            tell_fault(&failed, &fault);
            exit(1);
        }
        drop(tree);
        let streams = match own_streams(&container.process, streams) {
            Ok(streams) => streams,
            Err(fault) => {
                tell_fault(&failed, &fault);
                exit(1);
            }
        };
        let begin = || execute_program(&container.process, &user, &streams);
        exit(be_init(begin, &theirs, &failed))
    };
    drop((theirs, failed, streams, tree));
    let supervised = supervise(init, &ours, failure, group.as_ref(), answers, output);
    if let Some(group) = group {
        group.remove();
    }
    supervised
}

fn group(session: &str, process: &Process) -> Result<Option<Group>, ShimError> {
    Group::find(session, &process.group, &process.limits)
}

/// The user namespace that a container has for itself.
fn own_users(process: &Process, network: &OwnedFd) -> Result<Option<OwnedFd>, ShimError> {
    match Users::of(&process.security) {
        Users::OfTheHost => Ok(None),
        Users::OfItsOwn => users::owner(network).map(Some),
    }
}

fn enter_users(namespace: &OwnedFd) -> Result<(), ShimError> {
    users::join(namespace)?;
    users::own_mounts()
}

/// From here on the group is all that the process knows of.
fn enter_group(group: Option<&Group>) -> Result<(), ShimError> {
    if let Some(group) = group {
        group.enter()?;
    }
    unshare(UnshareFlags::NEWCGROUP).context("a view of control groups of its own")
}

/// Starts the process, tells the supervisor which one it is, and waits for all there are.
fn be_init(begin: impl FnOnce() -> i32, supervisor: &UnixStream, failed: &OwnedFd) -> i32 {
    let child = match fork() {
        Ok(Some(child)) => child,
        Ok(None) => {
            tell_errno(failed, begin());
            exit(127);
        }
        Err(fault) => {
            tell_fault(failed, &fault);
            return 1;
        }
    };
    let process = pidfd_open(child, PidfdFlags::empty());
    if process.is_ok_and(|process| wire::send_descriptors(supervisor, &[process.as_fd()]).is_err()) {
        return 1;
    }
    // Nothing of the pipeline's is left open here: who reads the process's output sees its end.
    close_all();
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => return code(status),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return 1,
        }
    }
}

/// Closes every descriptor.
#[allow(unsafe_code)]
fn close_all() {
    // SAFETY: the process uses no descriptor from here on, and ends without dropping any.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
}

fn code(status: WaitStatus) -> i32 {
    let signal = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(signal).unwrap_or(1)
}

fn supervise(
    init: Pid,
    ours: &UnixStream,
    failure: OwnedFd,
    group: Option<&Group>,
    answers: &UnixStream,
    output: Vec<OwnedFd>,
) -> Result<(), ShimError> {
    let process = wire::receive_descriptors(ours).context("the container's first process")?;
    let process = process.and_then(|descriptors| descriptors.into_iter().next());
    if !begins(init, failure, answers)? {
        return Ok(());
    }
    let process = process.ok_or_else(|| ShimError::new("the container's first process ended"))?;
    wire::say(answers, &Answer::Started { container: init.as_raw_nonzero().get() })
        .context("the pipeline")?;
    let code = code(Followed::new(init, &process, output)?.follow(answers)?);
    // What went well although something of it was killed knew how to do without.
    let out_of_memory = code != 0 && group.is_some_and(Group::ran_out_of_memory);
    let exited = Answer::Exited { code, out_of_memory };
    wire::say(answers, &exited).context("the pipeline")
}

/// Whether the program runs. If not, the pipeline knows.
fn begins(child: Pid, failure: OwnedFd, answers: &UnixStream) -> Result<bool, ShimError> {
    let beginning = hear(failure);
    if beginning != Beginning::Runs {
        let _ = waitpid(Some(child), WaitOptions::empty());
    }
    match beginning {
        Beginning::Runs => Ok(true),
        Beginning::Failed(text) => Err(ShimError::new(text)),
        Beginning::CannotRun(errno) => {
            wire::say(answers, &Answer::CannotRun { errno }).context("the pipeline")?;
            Ok(false)
        }
    }
}

/// Runs one more process in a container, to its end.
pub(super) fn execute(
    container: i32,
    process: &Process,
    session: &str,
    mut streams: Vec<OwnedFd>,
    answers: &UnixStream,
) -> Result<(), ShimError> {
    rootfs::close_devices(&mut streams)?;
    rlimits::permit(process)?;
    confinement::permit(&process.security)?;
    if let Some(group) = group(session, process)? {
        group.enter()?;
    }
    let pid = Pid::from_raw(container).ok_or_else(|| ShimError::new("no such container"))?;
    let target = pidfd_open(pid, PidfdFlags::empty()).context("the container")?;
    let processes = session::processes().context("/proc")?;
    let all = libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWCGROUP;
    enter_namespaces(&target, all).context("the container")?;
    let root = root()?;
    let user = user(root.as_fd(), &process.user)?;
    inside::find(root.as_fd(), &process.workdir)
        .context(format_args!("the working directory {}", process.workdir))?;
    drop(root);
    let streams = own_streams(process, streams)?;
    let (failure, failed) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("a pipe")?;
    let Some(child) = fork()? else {
        drop(failure);
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        if Users::of(&process.security) == Users::OfItsOwn
            && let Err(fault) = users::join(&target)
        {
            tell_fault(&failed, &fault);
            exit(127);
        }
        tell_errno(&failed, execute_program(process, &user, &streams));
        exit(127);
    };
    drop((failed, streams));
    if !begins(child, failure, answers)? {
        return Ok(());
    }
    wire::say(answers, &Answer::Started { container }).context("the pipeline")?;
    let process = pidfd_open(child, PidfdFlags::empty()).context("the process")?;
    let status = Followed::further(child, &process, processes)?.follow(answers)?;
    wire::say(answers, &Answer::Exited { code: code(status), out_of_memory: false }).context("the pipeline")
}

/// The file system that the calling process is in.
fn root() -> Result<OwnedFd, ShimError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat(rustix::fs::CWD, "/", flags, rustix::fs::Mode::empty()).context("its file system")
}

/// The streams of a process of the container that the calling process is in.
fn own_streams(process: &Process, streams: Vec<OwnedFd>) -> Result<Vec<OwnedFd>, ShimError> {
    match process.terminal {
        Some(size) => terminal::make(root()?.as_fd(), size, streams),
        None => Ok(streams),
    }
}

/// A table is that of the network namespace it was opened in, whoever reads it.
pub(super) fn give_socket_tables(container: i32, answers: &UnixStream) -> Result<(), ShimError> {
    let pid = Pid::from_raw(container).ok_or_else(|| ShimError::new("no such container"))?;
    let target = pidfd_open(pid, PidfdFlags::empty()).context("the container")?;
    enter_namespaces(&target, libc::CLONE_NEWNET).context("the container's network")?;
    let open = |name: &str| std::fs::File::open(format!("/proc/thread-self/net/{name}"));
    // Where there is no IPv6, the last two are not there.
    let tables: Vec<_> = TABLES.iter().map_while(|(name, _)| open(name).ok()).collect();
    let descriptors: Vec<_> = tables.iter().map(AsFd::as_fd).collect();
    wire::send_descriptors(answers, &descriptors).context("the pipeline")
}

#[allow(unsafe_code)]
fn enter_namespaces(target: &OwnedFd, kinds: i32) -> std::io::Result<()> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: a plain call in a process with one thread.
    if unsafe { libc::setns(target.as_raw_fd(), kinds) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}
