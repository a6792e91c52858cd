//! What sessions make in the store before they keep it: each in a directory of its own, as long as it is there.

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

/// What a session leaves in its directory whose services end after it: the cache volumes that they use.
const LEFT: &str = "left.json";
/// As often is looked whether they have ended.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Who removes what the session made and did not keep: the session itself, where nobody is said.
#[derive(Default)]
pub(super) struct Removal {
    pub(super) by: OnceLock<Remover>,
    /// Left to whoever outlives the session.
    pub(super) is_left: AtomicBool,
}

/// Removes a directory of the store, by its path in it.
pub(in super::super) type Remover = Box<dyn Fn(&Path) + Send + Sync>;

/// Directories to work in, removed when dropped.
pub(in super::super) struct Scratch {
    /// In full.
    path: PathBuf,
    /// As the host finds them.
    pub(in super::super) changes: Changes,
    removal: Arc<Removal>,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Scratch {
    /// Where a file may be put that goes with it.
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
        // Large ones take a while. What a process that ends leaves is removed by the next session.
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
        // It is the root directory that a container's users see, whatever the pipeline's umask is.
        fs::set_permissions(self.root.join(&name).join("upper"), Permissions::from_mode(0o755))?;
        let changes = Changes { upper: name.join("upper"), work: name.join("work") };
        Ok(Scratch { path: self.root.join(name), changes, removal: Arc::clone(&self.removal) })
    }

    /// What is still in use is left to the process that outlives the session, these cache volumes among it.
    pub(in super::super) fn leave(&self, volumes: &[PathBuf]) -> io::Result<()> {
        self.removal.is_left.store(true, Ordering::Relaxed);
        fs::write(self.root.join(&self.scratch).join(LEFT), serde_json::to_vec(volumes)?)
    }

    /// Waits until no session uses any of these cache volumes whose program has ended: what comes next is to find them as
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

/// What a session left that died.
#[derive(Debug)]
pub(super) struct Dead {
    path: PathBuf,
    /// Held, so that nobody else removes it at the same time. Who died before making it has none.
    _lock: Option<File>,
}

impl Dead {
    /// From the store at `root`. One that still says what has to be done, and cannot be by this user, stays.
    pub(super) fn remove(self, root: &Path) {
        if super::empty_all(root, &self.path).is_ok() {
            let _ = fs::remove_dir_all(self.path);
        }
    }
}

/// Makes a session's directory and locks it, and finds those that nobody has locked any more. One session after another
/// does so: a directory without a lock is never one that is about to have it.
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

/// In one's turn.
fn find_dead(all: &Path) -> io::Result<Vec<Dead>> {
    let mut dead = Vec::new();
    for path in fs::read_dir(all)?.filter_map(Result::ok).map(|entry| entry.path()) {
        let lock = match File::open(path.join("lock")) {
            Ok(lock) if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // One that lives; or that cannot be looked at, as with too many open files.
            Ok(_) | Err(_) => continue,
        };
        dead.push(Dead { path, _lock: lock });
    }
    Ok(dead)
}
