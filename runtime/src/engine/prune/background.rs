//! Keeping an engine's disk small: after a run, in a process of its own, so that no program waits for it.
//!
//! `BOWLINE_KEEP=20GiB` asks for that. The process is the program once more (see [`crate::reexec`]). Of all programs one does
//! so at a time, and not more often than every few minutes: looking at everything takes seconds.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::super::storage::Prune;
use crate::home;
use crate::reexec::{self, Channel};
use crate::staging::AtomicFile;
use crate::terminal;
use crate::{Error, Result};

reexec::role!(
    /// Removes what the engine keeps beyond the size that is wanted.
    ROLE, "keep-small", Anew, main
);

/// The variable that says how much is kept.
const VARIABLE: &str = "BOWLINE_KEEP";
/// How often at most.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// In the directory of everything that pipelines keep: what came of the last time, for people.
const OUTCOME: &str = "kept-small";
/// The file that whoever does so has locked.
#[cfg(unix)]
const LOCK: &str = "kept-small.lock";

/// How many bytes the environment says that an engine may keep; `None` for any number.
///
/// # Errors
/// [`Error::Invalid`] for what is no size.
pub(crate) fn wanted() -> Result<Option<u64>> {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    parse(&terminal::plain(&value.to_string_lossy())).map_err(|message| Error::invalid(None, message))
}

fn parse(value: &str) -> std::result::Result<Option<u64>, String> {
    match value {
        "" | "all" => Ok(None),
        size => crate::sizes::size(size).map(Some).map_err(|_| {
            format!(
                "{VARIABLE}={size} means nothing: it may be a size, or `all`\n\nhelp: a number and a unit (`KiB`, `MiB`, \
                 `GiB`; `kB`, `MB`, `GB`), for example `{VARIABLE}=20GiB`"
            )
        }),
    }
}

/// What the process is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    /// The engine, by its name.
    engine: String,
    bytes: u64,
    /// What is relative in variables is relative to this.
    directory: PathBuf,
}

/// Starts to remove what an engine keeps beyond what the environment says, unless that was done a short while ago. To be
/// called when a session has ended. It takes 3 to 10 ms where something is started. Failures are noted beside the results.
pub(crate) fn keep_small(engine: &str) {
    let Ok(Some(bytes)) = wanted() else { return };
    let home = home::place();
    if !is_due(&home) {
        return;
    }
    let directory = std::env::current_dir().unwrap_or_default();
    let order = Order { engine: engine.to_owned(), bytes, directory };
    if let Err(error) = start(&order) {
        note(&home, &format!("not kept small: {error}"));
    }
}

fn is_due(home: &Path) -> bool {
    let last = fs::metadata(home.join(OUTCOME)).and_then(|outcome| outcome.modified());
    // A time to come is one of another clock.
    last.ok().and_then(|last| SystemTime::now().duration_since(last).ok()).is_none_or(|ago| ago > EVERY)
}

fn start(order: &Order) -> io::Result<()> {
    let mut channel = reexec::spawn(&ROLE)?;
    serde_json::to_writer(&mut channel, order)?;
    Ok(())
}

fn main(channel: Channel) {
    let Ok(order) = serde_json::from_reader::<_, Order>(channel) else { return };
    let _ = std::env::set_current_dir(&order.directory);
    let home = home::place();
    if home::private(&home).is_err() {
        return;
    }
    #[cfg(unix)]
    let Ok(Some(_held)) = crate::flock::FileLock::try_new(&home.join(LOCK)) else { return };
    // Somebody may have been faster.
    if !is_due(&home) {
        return;
    }
    note(&home, "going on");
    let what = Prune::all().down_to(order.bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(super::prune_on(Some(&order.engine), &what)),
        Err(error) => Err(Error::engine("keep the disk small", error)),
    };
    note(
        &home,
        &outcome.map_or_else(|error| format!("not kept small: {error}"), |pruned| pruned.to_string()),
    );
}

/// Writes down what came of it, and when.
fn note(home: &Path, outcome: &str) {
    let path = home.join(OUTCOME);
    let written = home::private(home).and_then(|()| {
        let mut staged = AtomicFile::create(&path)?;
        writeln!(staged.file, "{outcome}")?;
        staged.commit(&path)
    });
    if written.is_err() {
        // At least the time: whatever is wrong is not tried at every end of a run.
        let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_language() {
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("all"), Ok(None));
        assert_eq!(parse("20GiB"), Ok(Some(20 << 30)));
        assert_eq!(parse("0"), Ok(Some(0)));
        for wrong in ["20", "much", "-1GB"] {
            assert!(parse(wrong).unwrap_err().starts_with(&format!("BOWLINE_KEEP={wrong} means nothing")));
        }
    }

    #[test]
    fn it_is_not_due_again_for_a_while() {
        let home = tempfile::tempdir().unwrap();
        assert!(is_due(home.path()));
        note(home.path(), "removed nothing");
        assert!(!is_due(home.path()));
        let outcome = home.path().join(OUTCOME);
        let then = SystemTime::now() - EVERY - Duration::from_secs(1);
        File::open(&outcome).unwrap().set_modified(then).unwrap();
        assert!(is_due(home.path()));
        assert_eq!(fs::read_to_string(outcome).unwrap(), "removed nothing\n");
    }
}
