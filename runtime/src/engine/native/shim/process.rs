//! The user's process: who it is, what it may do, and the execution of its program.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{FileType, Mode, Uid, fchown, fstat};
use rustix::process::DumpableBehavior;

use super::error::{Context as _, ShimError};
use super::{confinement, inside};
use crate::engine::native::wire::Process;
use crate::engine::user::User;

/// What Docker gives a process with a terminal.
const DEFAULT_TERM: &str = "xterm";
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Looks the user up in the file system's own files.
pub(super) fn user(root: std::os::fd::BorrowedFd<'_>, wanted: &str) -> Result<User, ShimError> {
    let read = |path: &str| {
        let mut text = Vec::new();
        // Larger ones are somebody's joke.
        if let Ok(file) = inside::file(root, path) {
            let _ = file.take(16 << 20).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    User::find(wanted, &read("/etc/passwd"), &read("/etc/group")).map_err(ShimError::new)
}

/// Executes the program in the calling process. Comes back only with the error number of what failed.
pub(super) fn execute(process: &Process, user: &User, streams: &[OwnedFd]) -> i32 {
    match attempt(process, user, streams) {
        Ok(never) => match never {},
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    }
}

fn attempt(process: &Process, user: &User, streams: &[OwnedFd]) -> std::io::Result<std::convert::Infallible> {
    rustix::process::setsid()?;
    default_signals();
    for (stream, number) in streams.iter().zip(0..3) {
        let is_pipe = FileType::from_raw_mode(fstat(stream)?.st_mode) == FileType::Fifo;
        if is_pipe || process.terminal.is_some() {
            // So that they can open it by name, as `/dev/stdout`.
            fchown(stream, Some(Uid::from_raw(user.uid)), None)?;
        }
        duplicate(stream, number)?;
    }
    if let (Some(_), Some(terminal)) = (process.terminal, streams.first()) {
        // So that what is typed there can interrupt it.
        rustix::process::ioctl_tiocsctty(terminal)?;
    }
    super::rlimits::apply(process)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if !process.security.privileged {
        // While there is still the right to; without it, no program of the container could gain rights by set-user-ID.
        confinement::install_filter(confinement::rights(&process.security))?;
    }
    // Until it executes a program of the container this is the pipeline's own, with the pipeline's memory: with no more
    // rights than the container's processes have, it would be theirs to look into, and to write to by its name in `/proc`.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    confinement::renounce(user, &process.security)?;
    let directory = if process.workdir.is_empty() { "/" } else { &process.workdir };
    rustix::process::chdir(directory)?;
    let mut environment = process.env.clone();
    let has = |name: &str| process.env.iter().any(|(key, _)| key == name);
    if !has("PATH") {
        environment.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    if !has("HOME") {
        environment.push(("HOME".to_owned(), user.home.clone()));
    }
    if !has("HOSTNAME") {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        environment.push(("HOSTNAME".to_owned(), name));
    }
    if process.terminal.is_some() && !has("TERM") {
        environment.push(("TERM".to_owned(), DEFAULT_TERM.to_owned()));
    }
    let variables: Vec<CString> = environment
        .iter()
        .map(|(key, value)| CString::new(format!("{key}={value}")))
        .collect::<Result<_, _>>()?;
    let arguments: Vec<CString> =
        process.args.iter().map(|argument| CString::new(argument.as_str())).collect::<Result<_, _>>()?;
    let path =
        environment.iter().rev().find(|(key, _)| key == "PATH").map_or(DEFAULT_PATH, |(_, value)| value);
    run_program(&arguments, &variables, path)
}

/// As execvpe(3) looks for it, in the path that the process itself will have.
fn run_program(
    arguments: &[CString],
    variables: &[CString],
    path: &str,
) -> std::io::Result<std::convert::Infallible> {
    let not_found = || std::io::Error::from_raw_os_error(libc::ENOENT);
    let program = arguments.first().ok_or_else(not_found)?;
    if program.as_bytes().contains(&b'/') {
        return Err(exec(program, arguments, variables));
    }
    let mut last = not_found();
    for directory in path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let mut candidate = directory.as_bytes().to_vec();
        candidate.push(b'/');
        candidate.extend(program.as_bytes());
        let error = exec(&CString::new(candidate)?, arguments, variables);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // Another one of the name may be executable.
            Some(libc::EACCES) => last = error,
            _ => return Err(error),
        }
    }
    Err(last)
}

#[allow(unsafe_code)]
fn exec(program: &CString, arguments: &[CString], variables: &[CString]) -> std::io::Error {
    let pointers = |list: &[CString]| {
        let mut pointers: Vec<_> = list.iter().map(|text| text.as_ptr()).collect();
        pointers.push(std::ptr::null());
        pointers
    };
    let (arguments, variables) = (pointers(arguments), pointers(variables));
    // SAFETY: all are ended by null, and live until the call fails.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), variables.as_ptr()) };
    std::io::Error::last_os_error()
}

#[allow(unsafe_code)]
fn duplicate(stream: &OwnedFd, number: i32) -> std::io::Result<()> {
    // SAFETY: the standard streams of this process belong to nobody in it.
    if unsafe { libc::dup2(stream.as_raw_fd(), number) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// A role ignores what ends pipelines; nobody else should.
#[allow(unsafe_code)]
fn default_signals() {
    for signal in 1..=31 {
        // SAFETY: no handler is installed; the two that cannot be changed stay as they are.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Makes the working directory where an image has none, as Docker does.
pub(super) fn make_workdir(root: std::os::fd::BorrowedFd<'_>, process: &Process) -> Result<(), ShimError> {
    if process.workdir.is_empty() {
        return Ok(());
    }
    inside::make_directory(root, &process.workdir).map(drop).context(format_args!(
        "the working directory {}",
        OsStr::from_bytes(process.workdir.as_bytes()).display()
    ))
}

/// What a pipe says that is closed by a successful execution.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Runs,
    /// The program could not be executed.
    CannotRun(i32),
    /// It did not come to that.
    Failed(String),
}

pub(super) fn tell_errno(pipe: &OwnedFd, errno: i32) {
    let _ = rustix::io::write(pipe.as_fd(), &errno.to_ne_bytes());
}

pub(super) fn tell_fault(pipe: &OwnedFd, fault: &ShimError) {
    let mut bytes = 0_i32.to_ne_bytes().to_vec();
    bytes.extend(fault.to_string().into_bytes());
    // Less than what a pipe takes at once.
    bytes.truncate(4000);
    let _ = rustix::io::write(pipe.as_fd(), &bytes);
}

pub(super) fn hear(pipe: OwnedFd) -> Beginning {
    let mut bytes = Vec::new();
    if File::from(pipe).read_to_end(&mut bytes).is_err() {
        return Beginning::Failed("the container's first process was lost".to_owned());
    }
    match bytes.split_first_chunk() {
        None => Beginning::Runs,
        Some((errno, [])) => Beginning::CannotRun(i32::from_ne_bytes(*errno)),
        Some((_, text)) => Beginning::Failed(String::from_utf8_lossy(text).into_owned()),
    }
}
