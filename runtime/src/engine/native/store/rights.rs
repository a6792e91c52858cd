//! Access to the store: its owner's alone. Layers and cache volumes hold containers' files with their owners and modes:
//! anybody who can reach them could run a program that is setuid root in a container as root outside it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// The permissions of group and others.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// Refuses the directory of a store that others may have prepared, or may change.
pub(super) fn check(root: &Path) -> io::Result<()> {
    let known = fs::metadata(root)?;
    let (owner, own) = (known.uid(), rustix::process::geteuid().as_raw());
    if owner != own {
        let message = format!(
            "it belongs to the user {owner}, and this is {own}\n\nhelp: name another directory in BOWLINE_HOME, or be that user"
        );
        return Err(io::Error::other(message));
    }
    if known.mode() & OTHERS_WRITE != 0 {
        let (mode, path) = (known.mode() & 0o7777, root.display());
        let message = format!(
            "others may write to it (its mode is {mode:04o}), and what is in it runs as root in containers\n\nhelp: `chmod 700 {path}` if nobody has, or name another directory in BOWLINE_HOME"
        );
        return Err(io::Error::other(message));
    }
    Ok(())
}

/// Creates a directory of the store, or removes others' permissions from it: the store's own may be readable.
pub(super) fn make(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let known = fs::symlink_metadata(directory)?;
    if !known.is_dir() {
        return Err(io::Error::other(format!("`{}` is no directory", directory.display())));
    }
    if known.mode() & OTHERS != 0 {
        fs::set_permissions(directory, Permissions::from_mode(known.mode() & 0o7777 & !OTHERS))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;
    use crate::model::SessionId;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_store_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("home");
        let open = || Store::open(root.clone(), &SessionId::random());
        drop(open().unwrap());
        assert_eq!(mode(&root), 0o700);
        // As earlier versions and careless users leave it.
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        for name in ["l", "volumes", "scratch", "steps"] {
            fs::set_permissions(root.join(name), Permissions::from_mode(0o755)).unwrap();
        }
        drop(open().unwrap());
        for name in super::super::DIRECTORIES.iter().chain([&"durable"]) {
            assert_eq!(mode(&root.join(name)) & OTHERS, 0, "{name}");
        }
    }

    #[test]
    fn a_store_that_others_may_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for open in [0o777, 0o1777, 0o770, 0o702] {
            fs::set_permissions(directory.path(), Permissions::from_mode(open)).unwrap();
            let error =
                Store::open(directory.path().to_owned(), &SessionId::random()).unwrap_err().to_string();
            let help = format!("chmod 700 {}", directory.path().display());
            assert!(error.contains(&format!("{open:04o}")) && error.contains(&help), "{error}");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made in it");
        }
    }

    #[test]
    fn a_store_of_somebody_else_is_refused() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped on the native engine: only root can give a directory away");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(directory.path(), Some(1234), None).unwrap();
        let error = Store::open(directory.path().to_owned(), &SessionId::random()).unwrap_err().to_string();
        assert!(error.contains("1234") && error.contains("BOWLINE_HOME"), "{error}");
    }
}
