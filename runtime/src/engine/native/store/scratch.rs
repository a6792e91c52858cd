//! Directories in which sessions make things before they store them; each is removed when it is dropped.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::Store;
use crate::engine::native::model::Changes;

/// The file in a session's directory that lists the cache volumes of services that outlive the session.
const LEFT: &str = "left.json";
/// Poll interval while waiting for their end.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// How to remove what the session made and did not store: directly, if no remover is set.
#[derive(Default)]
pub(super) struct Removal {
    pub(super) by: OnceLock<Remover>,
    /// Whether everything is left to the process that outlives the session.
    pub(super) is_left: AtomicBool,
}

/// Removes a directory of the store, by its path in it.
pub(in super::super) type Remover = Box<dyn Fn(&Path) + Send + Sync>;

/// Directories to work in, removed when dropped.
pub(in super::super) struct Scratch {
    /// The absolute path.
    path: PathBuf,
    /// The paths as the shim finds them.
    pub(in super::super) changes: Changes,
    removal: Arc<Removal>,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Scratch {
    /// The path of a file that is removed with the directories.
    pub(in super::super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.removal.is_left.load(Ordering::Relaxed) {
            return;
        }
        if let (Some(remove), Some(path)) = (self.removal.by.get(), self.changes.upper.parent()) {
            remove(path);
            return;
        }
        let path = std::mem::take(&mut self.path);
        // Large ones take a while. What an exiting process leaves is removed by the next session.
        let remove = move || drop(fs::remove_dir_all(path));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

impl Store {
    /// Fresh directories for changes.
    pub(in super::super) fn scratch(&self) -> io::Result<Scratch> {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let name = self.scratch.join(number);
        for part in ["upper", "work"] {
            fs::create_dir_all(self.root.join(&name).join(part))?;
        }
        // It becomes the root directory that a container's users see, so its mode must not depend on the pipeline's
        // umask.
        fs::set_permissions(self.root.join(&name).join("upper"), Permissions::from_mode(0o755))?;
        let changes = Changes { upper: name.join("upper"), work: name.join("work") };
        Ok(Scratch { path: self.root.join(name), changes, removal: Arc::clone(&self.removal) })
    }

    /// Leaves what is still in use to the process that outlives the session, including these cache volumes.
    pub(in super::super) fn detach(&self, volumes: &[PathBuf]) -> io::Result<()> {
        self.removal.is_left.store(true, Ordering::Relaxed);
        fs::write(self.root.join(&self.scratch).join(LEFT), serde_json::to_vec(volumes)?)
    }

    /// Waits until no session whose program has ended uses any of these cache volumes: the next user is to find them as
    /// they were left.
    pub(in super::super) async fn wait_for(&self, volumes: &[PathBuf]) -> io::Result<()> {
        if volumes.is_empty() {
            return Ok(());
        }
        for session in fs::read_dir(self.root.join("scratch"))?.filter_map(Result::ok) {
            let text = fs::read(session.path().join(LEFT)).unwrap_or_default();
            let left: Vec<PathBuf> = serde_json::from_slice(&text).unwrap_or_default();
            let Ok(lock) = File::open(session.path().join("lock")) else { continue };
            while left.iter().any(|volume| volumes.contains(volume))
                && flock(&lock, FlockOperation::NonBlockingLockShared).is_err()
            {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
        Ok(())
    }
}

/// What a dead session left.
#[derive(Debug)]
pub(super) struct Dead {
    path: PathBuf,
    /// Held, so that nobody else removes it at the same time. A session that died before creating the lock has none.
    _lock: Option<File>,
}

impl Dead {
    /// Removes it from the store at `root`. A directory with work left to do that this user may not do stays.
    pub(super) fn remove(self, root: &Path) {
        if super::empty_all(root, &self.path).is_ok() {
            let _ = fs::remove_dir_all(self.path);
        }
    }
}

/// Creates a session's directory and locks it, and finds those that are no longer locked. Sessions do so one after
/// another: a directory without a lock is never one that is about to be locked.
pub(super) fn join(all: &Path, own: &Path) -> io::Result<(File, Vec<Dead>)> {
    let turn = File::open(all)?;
    flock(&turn, FlockOperation::LockExclusive)?;
    let dead = find_dead(all)?;
    fs::create_dir(own)?;
    let lock = File::options().create_new(true).write(true).mode(0o600).open(own.join("lock"))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    Ok((lock, dead))
}

/// Removes the scratch directories of dead sessions.
pub(in super::super) fn sweep(all: &Path) {
    let find = || {
        let turn = File::open(all)?;
        flock(&turn, FlockOperation::LockExclusive)?;
        find_dead(all)
    };
    let root = all.parent().unwrap_or(all);
    for dead in find().into_iter().flatten() {
        dead.remove(root);
    }
}

/// The directories of dead sessions; the caller holds the lock of all directories.
fn find_dead(all: &Path) -> io::Result<Vec<Dead>> {
    let mut dead = Vec::new();
    for path in fs::read_dir(all)?.filter_map(Result::ok).map(|entry| entry.path()) {
        let lock = match File::open(path.join("lock")) {
            Ok(lock) if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // A living session's; or one that cannot be checked, as with too many open files.
            Ok(_) | Err(_) => continue,
        };
        dead.push(Dead { path, _lock: lock });
    }
    Ok(dead)
}
