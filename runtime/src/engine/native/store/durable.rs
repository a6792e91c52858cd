//! Which layers a crash of the machine cannot have damaged, without anybody waiting for a disk.
//!
//! What a session stores is complete for all other processes at once, but reaches the disk some time later. The process
//! that outlives the session syncs the file system then, and records in `durable/<boot>` the period in which everything
//! that was made is safe. A layer counts if it was made since the machine was started, or in such a period, by its own
//! time.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

const PLACE: &str = "durable";
/// The suffix of files that say that a session waits for a sync.
const EXPECTED: &str = "expected";

/// How much clocks may differ: those of file systems, and the one that measures the machine's uptime.
const TICK: Duration = Duration::from_secs(1);

/// The periods in which everything that was made is sound.
#[derive(Debug)]
pub(super) struct Sound {
    booted: SystemTime,
    spans: Vec<Span>,
    is_expected: AtomicBool,
}

/// A period, in time since 1970.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Span {
    from: Duration,
    to: Duration,
}

impl Sound {
    pub(super) fn load(root: &Path) -> io::Result<Self> {
        super::rights::make(&root.join(PLACE))?;
        let notes = fs::read_dir(root.join(PLACE))?.filter_map(Result::ok);
        let spans = notes.filter_map(|note| serde_json::from_slice(&fs::read(note.path()).ok()?).ok());
        Ok(Self { booted: booted()?, spans: spans.collect(), is_expected: AtomicBool::new(false) })
    }

    /// Notes that a session has made something that is to be synced when the session has ended.
    pub(super) fn expect(&self, root: &Path, session: &OsStr) -> io::Result<()> {
        if !self.is_expected.swap(true, Ordering::Relaxed) {
            File::create(root.join(PLACE).join(session).with_extension(EXPECTED))?;
        }
        Ok(())
    }

    /// The state after a crash of the machine now.
    #[cfg(test)]
    pub(super) fn crash(&mut self, root: &Path) {
        *self = Self { booted: SystemTime::now(), ..Self::load(root).unwrap() };
        // A file system's clock is a few milliseconds behind.
        std::thread::sleep(Duration::from_millis(50));
    }

    pub(super) fn is_sound(&self, made: SystemTime) -> bool {
        let since = made.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        made >= self.booted || self.spans.iter().any(|span| span.from <= since && since <= span.to)
    }
}

/// When the machine was started, or a moment earlier.
fn booted() -> io::Result<SystemTime> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok());
    let up = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let up = up.ok_or_else(|| io::Error::other("/proc/uptime says nothing"))?;
    Ok(SystemTime::now() - up - TICK)
}

/// Syncs everything made until now to the disk and records that, if any session that has ended waits for it. `name` is
/// unique.
pub(crate) fn make_durable(root: &Path, name: &str) -> io::Result<()> {
    let until = SystemTime::now();
    let files = fs::read_dir(root.join(PLACE))?.filter_map(Result::ok).map(|entry| entry.path());
    let expected: Vec<_> = files.filter(|path| path.extension() == Some(OsStr::new(EXPECTED))).collect();
    if expected.is_empty() {
        return Ok(());
    }
    rustix::fs::syncfs(File::open(root.join(PLACE))?)?;
    let [from, to] =
        [booted()?, until].map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let aside = root.join(PLACE).join(name).with_extension("new");
    let mut note = File::create(&aside)?;
    note.write_all(&serde_json::to_vec(&Span { from, to })?)?;
    note.sync_all()?;
    fs::rename(aside, root.join(PLACE).join(boot.trim()))?;
    // Sessions that still run may store more.
    let own = |path: &&PathBuf| path.file_stem() == Some(OsStr::new(name)) || !is_alive(root, path);
    expected.iter().filter(own).try_for_each(fs::remove_file)
}

/// Whether the session of a note still runs: it has a scratch directory.
fn is_alive(root: &Path, note: &Path) -> bool {
    note.file_stem().is_some_and(|session| root.join("scratch").join(session).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_synced_stays_sound_when_the_machine_starts_again() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let now = SystemTime::now();
        let before_boot = booted().unwrap() - Duration::from_secs(60 * 60);
        let sound = Sound::load(root).unwrap();
        assert!(sound.is_sound(now) && !sound.is_sound(before_boot));
        make_durable(root, "nobody").unwrap();
        assert!(Sound::load(root).unwrap().spans.is_empty(), "nothing was kept");
        sound.expect(root, OsStr::new("somebody")).unwrap();
        make_durable(root, "nobody").unwrap();
        assert_eq!(fs::read_dir(root.join(PLACE)).unwrap().count(), 1);
        // As after the next start, an hour from now.
        let later = Sound { booted: now + Duration::from_secs(60 * 60), ..Sound::load(root).unwrap() };
        assert!(later.is_sound(now), "it was synced");
        assert!(!later.is_sound(now + Duration::from_secs(60)), "what came then was not");
        assert!(!later.is_sound(before_boot));
    }
}
