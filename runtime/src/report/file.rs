//! Files that say afterwards what happened.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::record::Record;
use super::stderr::say;
use super::{html, trace};
use crate::event::{Event, EventKind, Observer, Subject};
use crate::lock::lock;
use crate::{Error, Result};

/// A file that says afterwards what happened in a program's sessions.
///
/// ```no_run
/// use bowline::prelude::*;
///
/// #[bowline::main]
/// async fn main() -> Result<()> {
///     bowline::Report::Html.write_to("run.html")?;
///     Container::from_image("debian:12").exec(["make"]).sync().await
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Report {
    /// A page for browsers, in one file that needs no network: the timeline, what waited for what, the critical path, and
    /// the output of everything.
    Html,
    /// `JUnit` XML, in the dialect that Jenkins, GitLab and most others read: a test suite for each item, a test case for each
    /// of its steps.
    #[cfg(feature = "junit")]
    JUnit,
    /// A Chrome trace, for <https://ui.perfetto.dev> and `chrome://tracing`.
    ChromeTrace,
    /// Every event as a line of JSON, as it happens. `events.schema.json`, in the crate's root directory, is the schema.
    Events,
}

impl Report {
    /// Writes this report of everything that happens from now on into a file. It is complete once a session has ended, and
    /// written anew at the end of each further one; events are written at once. Missing parent directories are created.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written, before anything runs.
    pub fn write_to(self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let file = create(path).map_err(|error| Error::io(path, error))?;
        let writer = match self {
            Self::Events => Writer::Events(Mutex::new(BufWriter::new(file))),
            report => Writer::Whole { report, path: path.to_owned(), record: Mutex::default() },
        };
        let observed = crate::event::observe(writer);
        observed.map(drop).map_err(|error| Error::engine("start an observer's thread", error))
    }

    /// Writes this report of events that were read back, as [`write_to`](Self::write_to) would have while they happened.
    #[cfg(feature = "cli")]
    pub(crate) fn write_from(
        self,
        path: &Path,
        lines: impl Iterator<Item = io::Result<Vec<u8>>>,
    ) -> Result<()> {
        let failed = |error| Error::io(path, error);
        let mut file = create(path).map(BufWriter::new).map_err(failed)?;
        let mut record = Record::default();
        for line in lines {
            let line = line.map_err(failed)?;
            // What a run that was killed wrote last may be half of a line.
            let Ok(told) = crate::event::read(&line) else { continue };
            match self {
                Self::Events => write_each(&mut file, &line, &told.event).map_err(failed)?,
                _ => record.read(told),
            }
        }
        file.flush().and_then(|()| self.write(&record, path)).map_err(failed)
    }

    fn write(self, record: &Record, path: &Path) -> io::Result<()> {
        let run = record.run();
        let contents = match self {
            Self::Html => html::page(&run)?.into_bytes(),
            #[cfg(feature = "junit")]
            Self::JUnit => super::junit::document(&run)?.into_bytes(),
            Self::ChromeTrace => serde_json::to_vec(&trace::trace(&run))?,
            Self::Events => return Ok(()),
        };
        // Whoever reads it sees the old file or the new one.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let next = path.with_file_name(name);
        let written = std::fs::write(&next, contents).and_then(|()| std::fs::rename(&next, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&next);
        }
        written
    }
}

/// Writes an event that was read back from a line of JSON: of output that came together, every line for itself.
#[cfg(feature = "cli")]
fn write_each(to: &mut impl io::Write, json: &[u8], event: &Event) -> io::Result<()> {
    // An event ends with its output.
    let before = match &event.kind {
        EventKind::Output { line, .. } => json
            .strip_suffix(&[&serde_json::to_vec(line.as_ref())?[..], b"}"].concat()[..])
            .map(|before| (before, line)),
        _ => None,
    };
    let Some((before, lines)) = before else {
        return to.write_all(json).and_then(|()| to.write_all(b"\n"));
    };
    for line in lines.split('\n') {
        to.write_all(before)?;
        serde_json::to_writer(&mut *to, line)?;
        to.write_all(b"}\n")?;
    }
    Ok(())
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    File::create(path)
}

enum Writer {
    /// Written as a whole, at the end of a session.
    Whole {
        report: Report,
        path: PathBuf,
        record: Mutex<Record>,
    },
    Events(Mutex<BufWriter<File>>),
}

impl Observer for Writer {
    fn on_event(&self, event: &Event) {
        let is_end = event.subject == Subject::Session && matches!(event.kind, EventKind::Closed(_));
        match self {
            Self::Whole { report, path, record } => {
                let mut record = lock(record);
                record.follow(event);
                if is_end && let Err(error) = report.write(&record, path) {
                    say(&format!("bowline: {} could not be written: {error}", path.display()));
                }
            }
            Self::Events(file) => {
                let file = &mut *lock(file);
                // A disk that has become full is no reason to end the pipeline; the file ends early.
                let _ = serde_json::to_writer(&mut *file, event).map_err(io::Error::from);
                let _ = file.write_all(b"\n");
            }
        }
    }

    fn on_idle(&self) {
        if let Self::Events(file) = self {
            let _ = lock(file).flush();
        }
    }
}
