//! The program's own file, in a form that no container can change.
//!
//! Until it executes a program of its container, a process runs the pipeline's program, and an image may have a link to
//! `/proc/self/exe` in place of its own: what is executed then, with a loader of the image's, holds the pipeline's file
//! on the machine, and could change its mode, its owner or its contents (CVE-2019-5736). So the shim re-executes itself
//! from a read-only mount, private to the shim, over the file's own path; if that path leads to another file by now, from
//! a sealed copy in memory.
//!
//! Only what the loader needs of the pipeline's environment is passed on: a container could read the rest, if one of its
//! processes may inspect its first process, which is a copy of the shim.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;

use rustix::fs::{
    CWD, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fstat, memfd_create, openat, stat,
};
use rustix::io::Errno;
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_change, move_mount, open_tree,
};
use rustix::thread::UnshareFlags;

use super::error::{Context as _, ShimError};
use super::rootfs::read_only;
use super::{OF_ROOT, OF_USER, unshare, user};
use crate::reexec::{self, Role};

const OWN: &str = "/proc/self/exe";

/// Executes the program again, as root in a mount namespace of its own: root of the machine, or of a user namespace.
pub(super) fn again(channel: &UnixStream) -> Result<Infallible, ShimError> {
    user::become_root()?;
    unshare(UnshareFlags::NEWNS).map_err(user::why_not)?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .context("private mounts")?;
    let role = if user::is_entered() { &OF_USER } else { &OF_ROOT };
    let program = match cover() {
        Ok(program) => program,
        Err(_) => sealed_copy().context("a copy of the program in memory")?,
    };
    let error = execute(&program, role, channel);
    Err(ShimError::new(format!("execute the program once more: {error}")))
}

/// Mounts the file over its own path, so that a query for the path gives the same answer as before.
fn cover() -> rustix::io::Result<OwnedFd> {
    let path = rustix::fs::readlinkat(CWD, OWN, Vec::new())?;
    let own = stat(OWN)?;
    let look = || openat(CWD, &path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let is_own = |file: &OwnedFd| {
        fstat(file).is_ok_and(|found| (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino))
    };
    let there = look()?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(&there, "", flags | OpenTreeFlags::AT_EMPTY_PATH)?;
    if !is_own(&tree) {
        return Err(Errno::NOENT);
    }
    read_only(&tree).map_err(|_| Errno::PERM)?;
    let at = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &there, "", at)?;
    Ok(tree)
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Some machines require the flag that a file in memory may be executed; older kernels do not know it.
    let copy =
        memfd_create(c"bowline", flags | MemfdFlags::EXEC).or_else(|_| memfd_create(c"bowline", flags))?;
    let mut copy = File::from(copy);
    io::copy(&mut File::open(OWN)?, &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(copy.into())
}

/// Returns only if it fails.
#[allow(unsafe_code)]
fn execute(program: &OwnedFd, role: &Role, channel: &UnixStream) -> io::Error {
    let mut variables = vec![reexec::order(role)];
    variables.extend(
        std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"LD_")).map(
            |(name, value)| {
                let parts: [OsString; 3] = [name, "=".into(), value];
                parts.into_iter().collect::<OsString>()
            },
        ),
    );
    let variables: Result<Vec<CString>, _> =
        variables.into_iter().map(|variable| CString::new(variable.into_vec())).collect();
    let Ok(variables) = variables else { return io::ErrorKind::InvalidInput.into() };
    let mut pointers: Vec<_> = variables.iter().map(|variable| variable.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let arguments = [reexec::NAME.as_ptr(), std::ptr::null()];
    // SAFETY: nobody here owns standard input; all lists end with null, and live until the call fails.
    unsafe {
        if libc::dup2(channel.as_fd().as_raw_fd(), libc::STDIN_FILENO) >= 0 {
            let (program, arguments, variables) =
                (program.as_raw_fd(), arguments.as_ptr(), pointers.as_ptr());
            libc::syscall(
                libc::SYS_execveat,
                program,
                c"".as_ptr(),
                arguments,
                variables,
                libc::AT_EMPTY_PATH,
            );
        }
    }
    io::Error::last_os_error()
}
