//! The shim: the program itself, re-executed, in namespaces of its own. All containers of a session are its descendants.
//!
//! A pipeline has many threads, and a process with threads cannot safely fork. The shim has one. It is the first process
//! of a process namespace, so that the kernel ends every container when it ends; and it ends when the pipeline does,
//! whose end closes the channel. Mounts and network links are in namespaces that nothing else uses, and go with them.
//!
//! ```text
//! pipeline ── channel ── reaper            waits, and is what the pipeline made
//!                          └ shim          process 1 of its namespace; the bridge of the services is in its network
//!                              ├ supervisor of a container ─ init ─ the user's process …
//!                              └ one process for each look into a file system
//! ```

mod attributes;
mod cgroup;
mod condition;
mod confinement;
mod container;
mod copy;
mod directory;
mod error;
mod files;
mod filter;
mod follow;
mod guard;
mod inside;
mod merge;
mod network;
mod nft;
mod overlay;
mod pack;
mod ports;
mod process;
mod program;
mod rlimits;
mod rootfs;
mod send;
mod session;
mod sysctls;
pub(super) mod terminal;
pub(super) mod unpack;
mod user;
mod users;
mod whiteouts;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, wait, waitpid};
use rustix::thread::UnshareFlags;

use super::store;
use super::wire::{self, Answer, Request, Unread};
use crate::reexec;
use error::{Context as _, ShimError};

/// What this machine does not let a shim do.
pub(super) fn lacks() -> Vec<String> {
    cgroup::lacks()
}

reexec::role!(
    /// Makes containers: executes the program again where no container can change it, as one of the two below.
    ROLE, "host", Anew, |channel| shut_in(&channel)
);
reexec::role!(
    /// Plays the role to its end, as root.
    OF_ROOT, "host-of-root", Taken, keep
);
reexec::role!(
    /// Plays the role to its end, as root of a user namespace.
    OF_USER, "host-of-user", Taken, keep_of_user
);

fn shut_in(channel: &UnixStream) {
    let Err(fault) = program::again(channel);
    if let Ok(Some(request)) = wire::receive(channel)
        && let Ok((Request::Begin { .. }, descriptors)) = request.read()
        && let Some(answers) = descriptors.into_iter().next()
    {
        // Nobody to tell where the pipeline has died.
        let _ = wire::say(&UnixStream::from(answers), &Answer::Failed(fault.to_string()));
    }
}

fn keep_of_user(channel: UnixStream) {
    user::has_entered();
    keep(channel);
}

fn keep(channel: UnixStream) {
    let request = wire::receive(&channel).and_then(|request| request.map(Unread::read).transpose());
    let Ok(Some((Request::Begin { store, session }, descriptors))) = request else {
        return; // the pipeline has died already
    };
    let mut descriptors = descriptors.into_iter();
    let Some(answers) = descriptors.next().map(UnixStream::from) else {
        return;
    };
    let lock = descriptors.next();
    // What is made for containers is as it should be, whatever the pipeline's own files are.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let begun = begin(&store).and_then(|()| {
        let mounts = cgroup::mounts().context("/proc/self/mountinfo")?;
        Ok((fork()?, mounts))
    });
    match begun {
        Ok((Some(child), mounts)) => {
            drop(channel);
            outlive(child, &mounts, &session);
            drop(lock);
            // Whoever waited for the end need not wait for a disk. Where this fails, what was kept counts until the machine
            // is started again.
            drop(answers);
            let _ = store::make_durable(Path::new(""), &session);
        }
        Ok((None, _)) => shim(&channel, &answers, &session),
        Err(fault) => {
            // Nobody to tell where the pipeline has died.
            let _ = wire::say(&answers, &Answer::Failed(fault.to_string()));
        }
    }
}

/// From here on nothing is seen of what the shim does, and it goes with the shim.
fn begin(store: &Path) -> Result<(), ShimError> {
    std::env::set_current_dir(store).context(format_args!("the store {}", store.display()))?;
    let flags = UnshareFlags::NEWPID | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    unshare(flags).map_err(user::why_not)
}

/// Waits for the shim, and does what is left to do when it has ended, however it did.
fn outlive(shim: Pid, mounts: &str, session: &str) {
    if user::is_entered() {
        // What containers' users own can be removed by nobody outside.
        store::sweep(Path::new("scratch"));
    }
    while matches!(waitpid(Some(shim), WaitOptions::empty()), Err(rustix::io::Errno::INTR)) {}
    // By now the kernel has ended all that was in there.
    cgroup::remove_all(mounts, session);
    // Where this fails the record stays, and the next session tries again.
    if store::empty_all(Path::new(""), &Path::new("scratch").join(session)).is_err() {
        return;
    }
    // Of a pipeline that ended well nothing is here any more; the store is the working directory.
    let _ = std::fs::remove_dir_all(Path::new("scratch").join(session));
}

/// The first process of its namespace.
fn shim(channel: &UnixStream, answers: &UnixStream, session: &str) -> ! {
    // The reaper's death must be the shim's.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if let Err(fault) = serve(channel, answers, session) {
        let _ = wire::say(answers, &Answer::Failed(fault.to_string()));
    }
    exit(0)
}

fn serve(channel: &UnixStream, answers: &UnixStream, session: &str) -> Result<(), ShimError> {
    // What dies here, orphans of containers among it, is waited for by nobody.
    ignore_children(true);
    rootfs::mount_proc(Path::new("/proc")).map_err(|error| {
        let help = if user::is_entered() && error.raw_os_error() == Some(libc::EPERM) {
            "\n\nhelp: where parts of /proc are hidden, as in a container, no other may be mounted without root"
        } else {
            ""
        };
        ShimError::new(format!("/proc of the shim: {error}{help}"))
    })?;
    rootfs::prepare_points()?;
    network::make_hub().context("a network for the services")?;
    wire::say(answers, &Answer::Done).context("the pipeline")?;
    let mut leaves = false;
    // An error of the channel is its end.
    while let Ok(Some(request)) = wire::receive(channel) {
        if request.is_leave() {
            leaves = true;
            continue;
        }
        // A child that cannot be made has dropped the answers: the pipeline is told by that.
        if let Ok(None) = fork() {
            ignore_children(false);
            let is_handled = std::panic::catch_unwind(|| {
                // A request that cannot be read has dropped the answers, too.
                request.read().map(|(request, descriptors)| handle(request, descriptors, session))
            });
            exit(i32::from(!matches!(is_handled, Ok(Ok(())))));
        }
    }
    if leaves {
        // Nobody waits for ignored children but the kernel: this ends when there are none.
        while !matches!(wait(WaitOptions::empty()), Err(rustix::io::Errno::CHILD)) {}
    }
    Ok(())
}

fn handle(request: Request, descriptors: Vec<OwnedFd>, session: &str) {
    let mut descriptors = descriptors.into_iter();
    let Some(answers) = descriptors.next().map(UnixStream::from) else {
        return;
    };
    let rest: Vec<OwnedFd> = descriptors.collect();
    let outcome = match request {
        Request::Run(container) => container::run(&container, session, rest, &answers),
        Request::Execute { container, process } => {
            container::execute(container, &process, session, rest, &answers)
        }
        Request::Files(files) => files::answer(&files, rest, &answers),
        Request::Network { network, address, audience, has_gateway, users } => {
            network::give_own(network, address, audience, has_gateway, users, &answers)
        }
        Request::Inspect => network::inspect(rest, &answers),
        Request::Guard => guard::tell(&answers),
        Request::Gateway => network::give_gateway(&answers),
        Request::Datagrams => network::give_datagrams(&answers),
        Request::Sockets { kind } => network::give_sockets(kind, &answers),
        Request::Listen { ports } => network::listen(&ports, rest, &answers),
        Request::SocketTables { container } => container::give_socket_tables(container, &answers),
        Request::Begin { .. } | Request::Detach => Err(ShimError::new("no request for a child")),
    };
    if let Err(fault) = outcome {
        let _ = wire::say(&answers, &Answer::Failed(fault.to_string()));
    }
}

/// `None` in the child.
#[allow(unsafe_code)]
fn fork() -> Result<Option<Pid>, ShimError> {
    // SAFETY: every process of the shim has one thread, so its copy can do whatever it can.
    match unsafe { libc::fork() } {
        child if child < 0 => Err(ShimError::new(format!("fork: {}", std::io::Error::last_os_error()))),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Ends the process without what the user's program registered for its end.
#[allow(unsafe_code)]
fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Whether children are waited for by the kernel.
#[allow(unsafe_code)]
fn ignore_children(ignored: bool) {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGCHLD, if ignored { libc::SIG_IGN } else { libc::SIG_DFL }) };
}

#[allow(unsafe_code)]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: the process has one thread, and no file descriptor table is unshared.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}
