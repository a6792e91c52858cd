//! Running without root: a user namespace in which the pipeline's user is root (`user_namespaces(7)`), and other users
//! are subordinate ids that the machine assigns to this user (subuid(5)).

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, getegid, geteuid, getpid, waitpid};
use rustix::thread::UnshareFlags;

use super::error::{Context as _, ShimError};
use super::{exit, fork, unshare};

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether root's privileges are only those of a namespace.
pub(super) fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// Records that the process is in such a namespace already.
pub(super) fn has_entered() {
    ENTERED.store(true, Ordering::Relaxed);
}

/// Enters a user namespace as its root, unless the process is root already.
pub(super) fn become_root() -> Result<(), ShimError> {
    if geteuid().is_root() {
        return Ok(());
    }
    let ids =
        [("newuidmap", "/etc/subuid", geteuid().as_raw()), ("newgidmap", "/etc/subgid", getegid().as_raw())];
    let name = user_name();
    let mut commands = Vec::new();
    for (program, file, own) in ids {
        commands.push(mapping(program, file, &name, own)?);
    }
    // A process inside the namespace cannot map more than one id: a child that stays outside does.
    let (entered, enter) = pipe_with(PipeFlags::CLOEXEC).context("a pipe")?;
    let (heard, tell) = pipe_with(PipeFlags::CLOEXEC).context("a pipe")?;
    let Some(child) = fork()? else {
        drop((enter, heard));
        let mut go = [0];
        if File::from(entered).read_exact(&mut go).is_ok() {
            let _ = File::from(tell).write_all(map(commands).err().unwrap_or_default().as_bytes());
        }
        exit(0)
    };
    drop((entered, tell));
    unshare(UnshareFlags::NEWUSER).map_err(forbidden)?;
    let said = told(enter, heard);
    let _ = waitpid(Some(child), WaitOptions::empty());
    match said.as_str() {
        "" => {
            ENTERED.store(true, Ordering::Relaxed);
            Ok(())
        }
        said => Err(ShimError::new(said)),
    }
}

/// Lets the child begin, and returns what went wrong.
fn told(enter: OwnedFd, heard: OwnedFd) -> String {
    let mut said = String::new();
    let asked = File::from(enter).write_all(b"!");
    match asked.and_then(|()| File::from(heard).read_to_string(&mut said)) {
        Ok(_) => said,
        Err(error) => format!("the ids of the namespace: {error}"),
    }
}

/// The command that maps ids, without its own arguments.
fn mapping(program: &'static str, file: &str, user: &str, own: u32) -> Result<Command, ShimError> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let Some((start, count)) = range(&text, user, own) else {
        return Err(ShimError::new(format!(
            "the user {user} has no other ids in {file}\n\nhelp: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`, as root"
        )));
    };
    let mut command = Command::new(program);
    command.arg(getpid().as_raw_nonzero().to_string());
    for (inside, outside, count) in [(0, own, 1), (1, start, count)] {
        command.args([inside, outside, count].map(|number| number.to_string()));
    }
    Ok(command)
}

/// The first range of subordinate ids of a user, by name or by number.
fn range(text: &str, user: &str, own: u32) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let whose = fields.next()?;
        let (start, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        ((whose == user || whose == own.to_string()) && count > 0).then_some((start, count))
    })
}

fn user_name() -> String {
    let own = geteuid().as_raw().to_string();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == own).then(|| name.to_owned())
    });
    // The machine's files do not list users of a directory service.
    found.or_else(|| std::env::var("USER").ok()).unwrap_or(own)
}

/// Runs in the child that stays outside.
fn map(commands: Vec<Command>) -> Result<(), String> {
    for mut command in commands {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = command.output().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("there is no `{program}`\n\nhelp: install it (Debian's package `uidmap`, Fedora's `shadow-utils`)")
            }
            _ => format!("`{program}`: {error}"),
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{program}`: {}", said.trim()));
        }
    }
    Ok(())
}

fn forbidden(error: Errno) -> ShimError {
    let help = match error {
        Errno::NOSPC => "`sysctl user.max_user_namespaces=28633`",
        _ => "`sysctl kernel.unprivileged_userns_clone=1`, where there is such a setting",
    };
    ShimError::new(format!("a user namespace: {error}\n\nhelp: {help}, as root; or run the pipeline as root"))
}

/// Why the root of a user namespace may not create the other namespaces.
pub(super) fn why_not(error: Errno) -> ShimError {
    let mut text = format!("namespaces of its own: {error}");
    if is_entered() {
        // Ubuntu 23.10 and later restrict this too.
        let _ = write!(
            text,
            "\n\nhelp: a security module may keep user namespaces without rights: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, as root, where there is such a setting"
        );
    }
    ShimError::new(text)
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "a:100000:65536\nb:x:1\n1001:300000:10\nb:200000:65536\n";
        assert_eq!(range(text, "a", 1000), Some((100_000, 65536)));
        assert_eq!(range(text, "b", 1002), Some((200_000, 65536)));
        assert_eq!(range(text, "c", 1001), Some((300_000, 10)));
        assert_eq!(range(text, "c", 1002), None);
    }
}
