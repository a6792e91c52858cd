//! A user namespace for one container, with the users that the shim has: what a container has capabilities over where it
//! has more of them than others (`../capabilities.rs`). It owns the container's network from the start.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::error::{Context as _, ShimError};
use super::{exit, fork, rlimits, unshare};

/// Goes into a new network that belongs to a new user namespace, without going into that.
pub(super) fn enter_owned_network() -> Result<(), ShimError> {
    let (mut ours, theirs) = UnixStream::pair().context("a socket")?;
    let Some(child) = fork()? else {
        drop(ours);
        exit(i32::from(hold(theirs).is_err()));
    };
    drop(theirs);
    let made = ours.read_exact(&mut [0]).context(
        "a user namespace for what `cap add` gives a container over itself (there may be no more of them: sysctl `user.max_user_namespaces`)",
    );
    let entered = made.and_then(|()| {
        map(child)?;
        let network =
            File::open(format!("/proc/{}/ns/net", child.as_raw_nonzero())).context("its network")?;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).context("its network")
    });
    drop(ours);
    let _ = waitpid(Some(child), WaitOptions::empty());
    entered
}

/// Has both namespaces until the other one has them.
fn hold(mut other: UnixStream) -> std::io::Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    other.write_all(b"!")?;
    other.read_to_end(&mut Vec::new()).map(drop)
}

/// Everybody is there who they are here.
fn map(process: Pid) -> Result<(), ShimError> {
    for file in ["uid_map", "gid_map"] {
        let own = std::fs::read_to_string(format!("/proc/self/{file}")).context(file)?;
        std::fs::write(format!("/proc/{}/{file}", process.as_raw_nonzero()), same(&own)).context(file)?;
    }
    Ok(())
}

/// A mapping of the ids that one has to themselves (`user_namespaces(7)`).
fn same(map: &str) -> String {
    let lines = map.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (inside, count) = (fields.next()?, fields.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    });
    lines.collect()
}

/// The user namespace that owns a network.
#[allow(unsafe_code)]
pub(super) fn owner(network: &OwnedFd) -> Result<OwnedFd, ShimError> {
    // SAFETY: gives a new descriptor, or less than 0.
    let owner = unsafe { libc::ioctl(network.as_raw_fd(), libc::NS_GET_USERNS) };
    if owner < 0 {
        return Err(std::io::Error::last_os_error()).context("who owns its network");
    }
    // SAFETY: it is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(owner) })
}

/// Makes the calling process one of a user namespace, for good: all its capabilities are over that from here on. It is given
/// itself, or a process of it.
pub(super) fn join(namespace: &OwnedFd) -> Result<(), ShimError> {
    rlimits::raise();
    // It is the shim's own program, with the shim's memory and descriptors. Who may look into processes of the container
    // may not look into one whose memory is from outside, if that is not to be dumped (ptrace(2)): it is so until it executes
    // something, and the container's init for good.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("its memory")?;
    set_namespace(namespace).context("its user namespace")?;
    // Whoever changes who they are may lose that.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    Ok(())
}

/// Gives the calling process, which has joined one, mounts and names that belong to it. What is mounted stays as it is: no
/// mount can be taken away or changed there that came from outside.
pub(super) fn own_mounts() -> Result<(), ShimError> {
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWUTS).context("mounts of its own")
}

#[allow(unsafe_code)]
fn set_namespace(namespace: &OwnedFd) -> std::io::Result<()> {
    // SAFETY: a plain call in a process with one thread.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWUSER) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn everybody_stays_who_they_are() {
        assert_eq!(super::same("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(super::same("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
    }
}
