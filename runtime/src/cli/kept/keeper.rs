//! Writes the events of this run into a file, as they happen.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::super::place::{self, PROGRAMS};
use super::{EXTENSION, End, Head, KIND, VERSION, files, seconds};
use crate::event::{self, DirectObserver, Event, EventKind, LineBatch, ObserverHandle, SpanId, Stream};
use crate::flock::try_lock;
use crate::home::{self, notes};
use crate::lock::lock;
use crate::{Error, report};

/// How long a run's file gets before lines of output are left out: 64 MiB. States come at all events.
const MOST: u64 = 64 << 20;
/// How long the files of all programs are together before the oldest are removed: 1 GiB.
const TOGETHER: u64 = 1 << 30;
/// How long one is that the lengths of all are looked at for.
const LARGE: u64 = 1 << 20;
/// How much of a session's name is the id of the run.
const ID: usize = 8;

/// Keeps this run.
#[derive(Debug)]
pub(in crate::cli) struct Keeper {
    writer: Arc<Mutex<Writer>>,
    /// What leads events here.
    observer: Option<ObserverHandle>,
}

#[derive(Debug)]
struct Writer {
    directory: PathBuf,
    /// How many runs there may be with this one.
    runs: usize,
    command: Vec<String>,
    most: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing has happened.
    Empty,
    Open(Open),
    /// It has ended, or cannot be written.
    Closed,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
    /// Lines that were left out and are not counted in the file yet, by their span: an event of it, and their number.
    left_out: HashMap<SpanId, (Event, u64)>,
}

impl Keeper {
    /// Keeps what happens from now on, of which something was asked for by this command, and so many runs in all.
    pub(in crate::cli) fn start(command: Vec<String>, runs: usize) -> Result<Self, Error> {
        let mut keeper = Self::new(place::of_program(KIND), command, runs, MOST);
        if runs > 0 {
            let observed = event::follow(Follower(keeper.writer.clone()));
            let failed = |error| Error::engine("start an observer's thread", error);
            keeper.observer = Some(observed.map_err(failed)?);
        }
        Ok(keeper)
    }

    pub(super) fn new(directory: PathBuf, command: Vec<String>, runs: usize, most: u64) -> Self {
        let writer = Writer { directory, runs, command, most, state: State::Empty };
        Self { writer: Arc::new(Mutex::new(writer)), observer: None }
    }

    /// The run has ended.
    pub(in crate::cli) fn finish(self, exit_code: u8) {
        if let Some(observer) = self.observer {
            observer.leave();
        }
        lock(&self.writer).change(|open| {
            open.count_all()?;
            open.write(&End { v: VERSION, ended: seconds(SystemTime::now()), exit_code })?;
            open.file.flush()
        });
        lock(&self.writer).state = State::Closed;
    }

    #[cfg(test)]
    pub(super) fn on_event(&self, event: &Event) {
        Follower(self.writer.clone()).on_event(event);
    }

    #[cfg(test)]
    pub(super) fn on_lines(&self, event: &Event, text: &str) {
        let lines = event::LineCutter::default().push(text.as_bytes());
        Follower(self.writer.clone()).on_lines(event, Stream::Stdout, &lines);
    }

    #[cfg(test)]
    pub(super) fn on_idle(&self) {
        Follower(self.writer.clone()).on_idle();
    }
}

struct Follower(Arc<Mutex<Writer>>);

impl DirectObserver for Follower {
    fn on_event(&self, event: &Event) {
        let writer = &mut *lock(&self.0);
        if let State::Empty = writer.state {
            let file = create(&writer.directory, event, &writer.command, writer.runs);
            match file {
                Ok(open) => writer.state = State::Open(open),
                Err(error) => writer.give_up(&writer.directory.clone(), &error),
            }
        }
        writer.change(|open| open.state(event));
    }

    /// As one event: to write each for itself takes ten times as long.
    fn on_lines(&self, event: &Event, stream: Stream, lines: &LineBatch) {
        let writer = &mut *lock(&self.0);
        let most = writer.most;
        writer.change(|open| open.output(event, stream, lines, most));
    }

    fn on_idle(&self) {
        lock(&self.0).change(|open| open.file.flush());
    }
}

impl Writer {
    fn change(&mut self, change: impl FnOnce(&mut Open) -> io::Result<()>) {
        if let State::Open(open) = &mut self.state
            && let Err(error) = change(open)
        {
            let path = open.path.clone();
            self.give_up(&path, &error);
        }
    }

    /// A run that cannot be kept goes on all the same.
    fn give_up(&mut self, path: &Path, error: &io::Error) {
        self.state = State::Closed;
        report::say(&format!(
            "bowline: this run is not kept for `logs` and `report`: {}: {error}",
            path.display()
        ));
    }
}

impl Open {
    fn state(&mut self, event: &Event) -> io::Result<()> {
        if let Some(left_out) = self.left_out.remove(&event.span) {
            self.count(left_out)?;
        }
        self.write(event)
    }

    fn output(&mut self, event: &Event, stream: Stream, lines: &LineBatch, most: u64) -> io::Result<()> {
        if self.written < most {
            if let Some(left_out) = self.left_out.remove(&event.span) {
                self.count(left_out)?;
            }
            let empty = Event { kind: EventKind::Output { stream, line: "".into() }, ..event.clone() };
            let mut json = serde_json::to_string(&empty)?;
            // An event ends with its output.
            json.truncate(json.len() - "\"}".len());
            json.push_str(&escaped(&lines.joined())?);
            json.push_str("\"}\n");
            return self.append(json.as_bytes());
        }
        let count = lines.iter().count() as u64;
        self.left_out.entry(event.span).or_insert_with(|| (event.clone(), 0)).1 += count;
        Ok(())
    }

    fn count(&mut self, (event, lines): (Event, u64)) -> io::Result<()> {
        self.write(&Event { kind: EventKind::OutputDropped { lines }, ..event })
    }

    fn count_all(&mut self) -> io::Result<()> {
        let all = std::mem::take(&mut self.left_out);
        all.into_values().try_for_each(|left_out| self.count(left_out))
    }

    fn write(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.append(&line)
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let before = self.written;
        self.written += line.len() as u64;
        if before < LARGE && self.written >= LARGE {
            remove_too_large(&self.path);
        }
        self.file.write_all(line)
    }
}

/// A text as it stands in a string of JSON. Most have nothing but line ends to escape, which an unoptimised build does much
/// faster than it looks at every character.
fn escaped(text: &str) -> io::Result<String> {
    let is_special = |byte: u8| (byte < b' ' && byte != b'\n') || byte == b'"' || byte == b'\\';
    if text.bytes().any(is_special) {
        let mut json = serde_json::to_string(text)?;
        json.pop();
        json.remove(0);
        return Ok(json);
    }
    Ok(text.replace('\n', "\\n"))
}

/// Makes the file of a run of which this is the first event, and makes room for it.
fn create(directory: &Path, first: &Event, command: &[String], runs: usize) -> io::Result<Open> {
    let is_new = !directory.is_dir();
    home::private(directory)?;
    make_room(directory, runs, is_new);
    let started = seconds(first.at);
    let run: String = first.session.chars().take(ID).collect();
    let time = first.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let path = directory.join(format!("{:016}-{run}.{EXTENSION}", time.as_micros()));
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Nobody finds it before it is locked and says what it is.
    let unfinished = path.with_extension("new");
    let file = options.open(&unfinished)?;
    try_lock(&file, false)?;
    let file = BufWriter::new(file);
    let mut open = Open { path, file, written: 0, left_out: HashMap::new() };
    open.write(&Head { run, v: VERSION, started, command: command.to_vec() })?;
    open.file.flush()?;
    std::fs::rename(&unfinished, &open.path)?;
    Ok(open)
}

/// Removes old runs, but none that goes on.
fn make_room(directory: &Path, runs: usize, is_new: bool) {
    let Some(programs) = directory.parent() else { return };
    if is_new {
        notes::thin_out(programs, PROGRAMS, |path| std::fs::remove_dir_all(path));
    }
    let mut own = files(directory).unwrap_or_default();
    own.sort();
    let too_many = (own.len() + 1).saturating_sub(runs);
    own.iter().filter(|path| remove(path)).take(too_many).for_each(drop);
}

/// Removes the oldest runs of all programs as long as all are too large together.
fn remove_too_large(own: &Path) {
    let Some(programs) = own.parent().and_then(Path::parent) else { return };
    let directories = std::fs::read_dir(programs).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> =
        directories.flat_map(|program| files(&program.path()).unwrap_or_default()).collect();
    // Their names begin with the time, whatever the directory.
    all.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    let lengths: Vec<u64> =
        all.iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).collect();
    let mut together: u64 = lengths.iter().sum();
    for (path, length) in all.iter().zip(lengths) {
        if together <= TOGETHER {
            return;
        }
        if remove(path) {
            together -= length;
        }
    }
}

/// Removes a run's file, unless the run goes on; whether it is gone.
fn remove(path: &Path) -> bool {
    let is_free = File::open(path).and_then(|file| try_lock(&file, true)).unwrap_or(false);
    is_free && std::fs::remove_file(path).is_ok()
}
