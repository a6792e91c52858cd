//! The last runs of a program, kept so that what happened can be read afterwards.
//!
//! In `runs`, in the directory of everything that pipelines keep: a directory for each program, in it a file for each run.
//! Its first line says what the run is, its last how it ended, and those between are its events, as `events.schema.json` has
//! them; lines that came together are one event, and joined by line ends. Whoever writes it holds its lock: a file without a lock and without an end is of a run that was interrupted.

mod keeper;

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Arg;
use serde::{Deserialize, Serialize};

pub(super) use self::keeper::Keeper;
use super::failure::Failure;
use super::place;
use crate::flock::try_lock;
use crate::terminal;
use crate::{Error, report};

/// The variable that says how many runs of each program are kept.
const VARIABLE: &str = "BOWLINE_RUNS";
/// How many that are if nobody says.
const USUAL: usize = 10;
/// The directory for all programs.
const KIND: &str = "runs";
const EXTENSION: &str = "jsonl";
/// The version of the first and the last line.
const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) run: String,
    v: u32,
    /// In seconds since the Unix epoch.
    started: f64,
    /// What was asked for: the command with the names of items, and no values of flags, which may be secrets.
    pub(super) command: Vec<String>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct End {
    v: u32,
    /// In seconds since the Unix epoch.
    ended: f64,
    exit_code: u8,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    GoesOn,
    /// With this exit code.
    Ended(u8),
    /// By a signal, or by a crash of the program or the machine.
    Interrupted,
}

/// A run that is kept.
#[derive(Debug, Clone)]
pub(super) struct Run {
    path: PathBuf,
    pub(super) head: Head,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

/// How many runs are to be kept of this program.
pub(super) fn wanted() -> Result<usize, Failure> {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    let wrong = |message: String| Failure::Environment(Error::invalid(None, message));
    parse(&terminal::plain(&value.to_string_lossy())).map_err(wrong)
}

fn parse(value: &str) -> Result<usize, String> {
    match value {
        "" => Ok(USUAL),
        "off" => Ok(0),
        number => number.parse().map_err(|_| {
            format!("{VARIABLE}={number} means nothing: it may be the number of runs to keep, or `off`")
        }),
    }
}

/// Which run a command is about.
pub(super) fn argument() -> Arg {
    Arg::new("run")
        .long("run")
        .value_name("RUN")
        .allow_hyphen_values(true)
        .help("Of this run: its id, or the start of it, or `-1` for the last but one; `runs` lists them")
}

/// The runs of this program, the last first.
pub(super) fn all() -> Result<Vec<Run>, Error> {
    all_in(&place::of_program(KIND))
}

fn all_in(directory: &Path) -> Result<Vec<Run>, Error> {
    let mut paths = files(directory).map_err(|error| Error::io(directory, error))?;
    // Their names begin with the time.
    paths.sort_unstable_by(|one, other| other.cmp(one));
    // One may be removed meanwhile, or be of another version.
    Ok(paths.into_iter().filter_map(|path| Run::read(path).ok()).collect())
}

/// The files of runs in a directory, which need not be there.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION)).collect())
}

/// The run that is asked for; by default the last.
pub(super) fn one(asked: Option<&str>) -> Result<Run, Failure> {
    find(&all()?, asked)
}

/// The same of these runs, the last first.
fn find(runs: &[Run], asked: Option<&str>) -> Result<Run, Failure> {
    let Some(last) = runs.first() else { return Err(none()) };
    let Some(asked) = asked else { return Ok(last.clone()) };
    let number = asked.parse::<i64>().ok().filter(|number| *number <= 0);
    let found: Vec<&Run> = match number {
        Some(number) => {
            let index = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
            runs.get(index).into_iter().collect()
        }
        None => runs.iter().filter(|run| !asked.is_empty() && run.head.run.starts_with(asked)).collect(),
    };
    if let [run] = found.as_slice() {
        return Ok((*run).clone());
    }
    let asked = terminal::plain(asked);
    let problem = if found.is_empty() { "no run that is kept is" } else { "several runs are" };
    let known: Vec<String> = runs.iter().map(Run::in_words).collect();
    let known = known.join("\n  ");
    Err(Failure::NothingMatched(format!("{problem} `{asked}`\n\nhelp: one of\n  {known}")))
}

/// The error where no run is kept.
pub(super) fn none() -> Failure {
    let help = match wanted() {
        Ok(0) => format!("{VARIABLE} says that none is to be"),
        _ => "`run` runs the pipeline".to_owned(),
    };
    Failure::NothingMatched(format!("no run of this program is kept\n\nhelp: {help}"))
}

impl Run {
    fn read(path: PathBuf) -> io::Result<Self> {
        /// More than either line has, but for the names of very many items.
        const MOST: u64 = 64 << 10;
        let mut file = File::open(&path)?;
        // Asked before the end is looked for: a run that ends now has written it.
        let goes_on = !try_lock(&file, true)?;
        let mut first = Vec::new();
        BufReader::new((&file).take(MOST)).read_until(b'\n', &mut first)?;
        let head: Head = serde_json::from_slice(&first)?;
        if head.v != VERSION {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let metadata = file.metadata()?;
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(512)))?;
        let mut rest = Vec::new();
        file.take(MOST).read_to_end(&mut rest)?;
        let last = rest.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        let (outcome, until) = match serde_json::from_slice::<End>(last) {
            Ok(end) => (Outcome::Ended(end.exit_code), end.ended),
            Err(_) if goes_on => (Outcome::GoesOn, seconds(SystemTime::now())),
            Err(_) => (Outcome::Interrupted, seconds(metadata.modified()?)),
        };
        let took = Duration::try_from_secs_f64(until - head.started).unwrap_or_default();
        Ok(Self { path, head, outcome, took })
    }

    /// Whether it still goes on.
    pub(super) fn goes_on(&self) -> bool {
        File::open(&self.path).and_then(|file| try_lock(&file, true)).is_ok_and(|is_free| !is_free)
    }

    /// When it began.
    pub(super) fn started(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(self.head.started).unwrap_or_default()
    }

    /// How long ago it began.
    pub(super) fn ago(&self) -> String {
        let ago = SystemTime::now().duration_since(self.started()).unwrap_or_default();
        format!("{} ago", report::in_words(Duration::from_secs(ago.as_secs())))
    }

    /// What was asked for.
    pub(super) fn command(&self) -> String {
        terminal::plain(&self.head.command.join(" ")).into_owned()
    }

    /// Its id, when it was and what it did.
    pub(super) fn in_words(&self) -> String {
        format!("{} ({}): {}", self.head.run, self.ago(), self.command())
    }

    /// Its lines so far, events and others.
    pub(super) fn lines(&self) -> Result<Lines, Error> {
        let file = File::open(&self.path).map_err(|error| Error::io(&self.path, error))?;
        Ok(Lines { file: BufReader::new(file), partial: Vec::new() })
    }
}

/// The lines of a file that may still grow: after the last it may be asked again.
#[derive(Debug)]
pub(super) struct Lines {
    file: BufReader<File>,
    partial: Vec<u8>,
}

impl Iterator for Lines {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.file.read_until(b'\n', &mut self.partial) {
            return Some(Err(error));
        }
        self.partial.pop_if(|last| *last == b'\n')?;
        Some(Ok(std::mem::take(&mut self.partial)))
    }
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests;
