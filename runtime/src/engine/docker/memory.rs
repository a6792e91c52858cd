//! What is remembered of engines between runs, so that a run that finds everything stored asks nothing but that.
//!
//! In `engines/at`, in the directory of everything that pipelines keep: a file for each address. It holds while the engine there
//! is the same process: then its socket, the process behind it and its version are what they were. What is behind an address
//! of the network is not seen so exactly: that is remembered for an hour.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::home::{self, notes};

/// What an engine says of itself, and does not change while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// Its own random name, which it keeps when it is started anew; empty if it gave none.
    pub(super) id: String,
    /// The default platform, as `os/architecture`.
    pub(super) platform: String,
    /// Whether it can put an init process into containers.
    pub(super) has_init: bool,
}

/// How long the engine behind an address of the network is taken for the same.
const TRUSTED_FOR: Duration = Duration::from_secs(60 * 60);

/// How long what is kept for an engine stays there unused: its networks are gone by then, and results may be found as images.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most addresses that are remembered.
const ADDRESSES: usize = 100;

/// The directory of what is kept for an engine with this id.
pub(super) fn directory(home: &Path, id: &str) -> PathBuf {
    home.join("engines").join(notes::key(id.as_bytes()))
}

/// What is remembered of the engine at an address.
pub(super) struct Memory {
    path: PathBuf,
    /// What tells the engine from one that was there before.
    seen: String,
    /// Whether that tells it for sure.
    is_sure: bool,
}

#[derive(Serialize, Deserialize)]
struct Note {
    seen: String,
    about: About,
}

impl Memory {
    /// `marks` are what tells the engine from others, besides what the address itself shows.
    pub(super) fn of(address: &str, marks: &[&str]) -> Self {
        Self::within(&home::place(), address, marks)
    }

    fn within(home: &Path, address: &str, marks: &[&str]) -> Self {
        let socket = address.strip_prefix("unix://").and_then(socket);
        let mut seen = vec![address, socket.as_deref().unwrap_or_default()];
        seen.extend(marks);
        let path = home.join("engines/at").join(notes::key(address.as_bytes())).with_extension("json");
        Self { path, seen: seen.join("\n"), is_sure: socket.is_some() }
    }

    pub(super) fn recall(&self) -> Option<About> {
        let metadata = fs::metadata(&self.path).ok().filter(home::is_ours)?;
        let is_new = || SystemTime::now().duration_since(metadata.modified().ok()?).ok();
        if !self.is_sure && is_new().is_none_or(|age| age > TRUSTED_FOR) {
            return None;
        }
        let note: Note = notes::read(&self.path)?;
        (note.seen == self.seen).then_some(note.about)
    }

    /// If it cannot be written, the next run asks again.
    pub(super) fn keep(&self, about: &About) {
        let note = Note { seen: self.seen.clone(), about: about.clone() };
        if let Some(directory) = self.path.parent() {
            let _ = home::private(directory).and_then(|()| notes::write(&self.path, &note));
            notes::thin_out(directory, ADDRESSES, |path| fs::remove_file(path));
            if let Some(home) = directory.ancestors().nth(2) {
                forget_unseen(home);
            }
        }
    }
}

/// Removes what is kept for engines of which nothing was used for [so long](FORGOTTEN_AFTER).
fn forget_unseen(home: &Path) {
    for kept in ["engines", "docker"].map(|kept| home.join(kept)) {
        let engines = fs::read_dir(kept).into_iter().flatten().flatten().map(|entry| entry.path());
        for engine in engines.filter(|path| path.is_dir() && !path.ends_with("engines/at")) {
            if !was_used(&engine) {
                let _ = fs::remove_dir_all(engine);
            }
        }
    }
}

/// Whether anything in a directory was made or used lately.
fn was_used(directory: &Path) -> bool {
    let is_late = |metadata: &fs::Metadata| {
        let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        age.is_none_or(|age| age < FORGOTTEN_AFTER)
    };
    fs::symlink_metadata(directory).is_ok_and(|metadata| is_late(&metadata))
        || fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => was_used(&entry.path()),
            Ok(metadata) => is_late(&metadata),
            Err(_) => true,
        })
}

/// A socket is made anew with its engine, or by systemd.
#[cfg(unix)]
fn socket(path: &str) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::metadata(path).ok()?;
    Some(format!("{} {} {}.{}", found.dev(), found.ino(), found.ctime(), found.ctime_nsec()))
}

#[cfg(not(unix))]
fn socket(_: &str) -> Option<String> {
    None
}

/// The process that listens at a socket, which the kernel knows (unix(7), `SO_PEERCRED`): the engine, or systemd on its
/// behalf.
#[cfg(unix)]
pub(super) fn peer(stream: &tokio::net::UnixStream) -> String {
    let peer = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
    peer.map(|pid| pid.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_remembered_until_another_is_at_its_socket() {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("engine.sock");
        let address = format!("unix://{}", socket.display());
        let memory = |marks: &[&str]| Memory::within(&home.path().join("kept"), &address, marks);
        let about = About { id: "one".to_owned(), platform: "linux/amd64".to_owned(), has_init: true };
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(memory(&["28.2", "7"]).recall(), None);
        memory(&["28.2", "7"]).keep(&about);
        assert_eq!(memory(&["28.2", "7"]).recall(), Some(about.clone()));
        // Another version, or another process.
        assert_eq!(memory(&["28.3", "7"]).recall(), None);
        assert_eq!(memory(&["28.2", "8"]).recall(), None);
        // Another socket.
        drop(listener);
        fs::rename(&socket, home.path().join("old.sock")).unwrap();
        let _anew = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(memory(&["28.2", "7"]).recall(), None);
    }

    #[test]
    fn what_is_behind_the_network_is_asked_again_after_an_hour() {
        let home = tempfile::tempdir().unwrap();
        let memory = Memory::within(home.path(), "tcp://engine:2375", &["28.2"]);
        memory.keep(&About::default());
        assert_eq!(memory.recall(), Some(About::default()));
        let then = SystemTime::now() - TRUSTED_FOR - Duration::from_secs(1);
        fs::File::open(&memory.path).unwrap().set_modified(then).unwrap();
        assert_eq!(memory.recall(), None);
    }

    #[test]
    fn engines_that_nobody_has_used_for_a_month_are_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - FORGOTTEN_AFTER - Duration::from_secs(60);
        let age = |path: &Path| fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
        let file = |path: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let [gone, recorded, used] =
            ["engines/a/networks/free/x", "docker/a/k.step", "engines/b/networks/free/x"].map(file);
        for path in [&gone, &recorded, &used] {
            let engine = path.ancestors().find(|path| path.ends_with("a") || path.ends_with("b")).unwrap();
            path.ancestors().take_while(|path| path.starts_with(engine)).for_each(age);
        }
        // Of one a file was used, which changes no directory.
        fs::File::open(&used).unwrap().set_modified(SystemTime::now()).unwrap();
        let memory = Memory::within(home.path(), "tcp://engine:2375", &["28.2"]);
        memory.keep(&About::default());
        assert_eq!([&gone, &recorded, &used].map(|path| path.exists()), [false, false, true]);
        assert!(!home.path().join("engines/a").exists() && !home.path().join("docker/a").exists());
        assert_eq!(memory.recall(), Some(About::default()));
    }

    #[test]
    fn what_is_broken_or_writable_by_others_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let memory = Memory::within(home.path(), "tcp://engine:2375", &["28.2"]);
        memory.keep(&About::default());
        fs::set_permissions(&memory.path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(memory.recall(), None);
        memory.keep(&About::default());
        assert_eq!(memory.recall(), Some(About::default()));
        fs::write(&memory.path, "{").unwrap();
        assert_eq!(memory.recall(), None);
    }
}
