//! Output of processes: recorded completely for steps, the last lines for services, and emitted as events.

use std::io::{self, Read as _};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};

use super::journal::{Cursor, Journal, Next};
use super::lines::OutputEvents;
use super::scrub::{Scanner, Scrubber, Secrets};
use super::tail::Tail;
use crate::engine::{Recording, Sink, Spool, Written};
use crate::error::cut_mark;
use crate::event::Span;
use crate::lock::lock;
use crate::model::Stream;

/// How much of each stream an error keeps: its last 100 KiB.
const SHOWN: u64 = 100 * 1024;
/// The most a step may write to each stream: 4 GiB. It is on the disk of the pipeline's machine.
pub(super) const MOST: u64 = 4 << 30;
/// How much of a service's output is kept for a `ready log` that comes later: 256 KiB a stream.
const REMEMBERED: usize = 256 * 1024;

/// The last part of a stream, as text, with a mark where its head was cut.
pub(super) fn last_part(stream: &Written) -> String {
    let cut = stream.length().saturating_sub(SHOWN);
    let mut kept = Vec::new();
    if let Err(error) = stream.last(SHOWN).read_to_end(&mut kept) {
        return format!("[it cannot be read: {error}]");
    }
    let kept = String::from_utf8_lossy(&kept);
    if cut == 0 { kept.into_owned() } else { format!("{}{kept}", cut_mark(cut)) }
}

/// Records a step's output without its secrets, and emits it as it arrives.
pub(super) struct Capture {
    /// What was recorded so far, shared with the task that writes to it.
    collected: Arc<Mutex<Collected>>,
    /// Notified when recording stops early.
    broken: Arc<Notify>,
}

struct Collected {
    /// The recorded streams: standard output, standard error.
    spools: [Spool; 2],
    /// Removes the secrets from each stream.
    scrubbers: [Scrubber; 2],
    events: OutputEvents,
    /// Why recording stopped, if it did.
    broken: Option<Broken>,
}

/// Why a step's output cannot be recorded.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    /// It exceeds the limit, [`MOST`].
    TooMuch,
}

impl Collected {
    fn hear(&mut self, stream: Stream, piece: &[u8]) {
        let clean = of(&mut self.scrubbers, stream).push(piece);
        self.take(stream, &clean);
    }

    fn take(&mut self, stream: Stream, clean: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        let spool = of(&mut self.spools, stream);
        if spool.length() + clean.len() as u64 > MOST {
            self.broken = Some(Broken::TooMuch);
        } else if let Err(error) = spool.push(clean) {
            self.broken = Some(Broken::Io(error));
        }
        self.events.write(stream, clean);
    }
}

fn of<T>([stdout, stderr]: &mut [T; 2], stream: Stream) -> &mut T {
    match stream {
        Stream::Stdout => stdout,
        Stream::Stderr => stderr,
    }
}

impl Capture {
    pub(super) fn new(span: Arc<Span>, secrets: &Secrets) -> Self {
        let collected = Collected {
            spools: Default::default(),
            scrubbers: [Scrubber::new(secrets), Scrubber::new(secrets)],
            events: OutputEvents::new(span),
            broken: None,
        };
        Self { collected: Arc::new(Mutex::new(collected)), broken: Arc::default() }
    }

    pub(super) fn sink(&self) -> Sink {
        let (collected, broken) = (self.collected.clone(), self.broken.clone());
        Arc::new(move |stream, bytes| {
            let collected = &mut *lock(&collected);
            collected.hear(stream, bytes);
            if collected.broken.is_some() {
                broken.notify_one();
            }
        })
    }

    /// Waits until recording fails, which normally never happens.
    pub(super) async fn broken(&self) {
        self.broken.notified().await;
    }

    /// Everything that was written, and if that is incomplete, the reason.
    pub(super) fn finish(&self, exit_code: i32) -> (Recording, Option<Broken>) {
        let collected = &mut *lock(&self.collected);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = of(&mut collected.scrubbers, stream).finish();
            collected.take(stream, &rest);
        }
        collected.events.finish();
        let [stdout, stderr] = std::mem::take(&mut collected.spools).map(Spool::finish);
        (Recording { stdout, stderr, exit_code }, collected.broken.take())
    }
}

/// The output of a running service: its last lines for errors, enough of it to search for texts, and all of it for
/// readers, as far as the [journal](super::journal) keeps it.
///
/// It ends with the run of the service, at the latest when this is dropped.
pub(super) struct ServiceLog {
    state: Arc<Mutex<LogState>>,
    /// Changes with each piece of output.
    changed: watch::Sender<u64>,
}

struct LogState {
    /// The last part of both streams.
    tail: Tail,
    /// The recent bytes of standard output.
    stdout: Vec<u8>,
    /// The recent bytes of standard error.
    stderr: Vec<u8>,
    /// The texts that are waited for, with the number of occurrences in all output, including output no longer kept.
    watched: Vec<Watched>,
    events: OutputEvents,
    /// Removes the secrets from each stream.
    scrubbers: [Scrubber; 2],
    journal: Journal,
    has_ended: bool,
    /// Whether what comes is no news.
    is_past: bool,
}

struct Watched {
    /// The text itself.
    text: Vec<u8>,
    /// Finds the text, or its first part if it is long.
    scanner: Scanner,
    /// How often the text has appeared so far.
    seen: usize,
    /// The ends of both streams that may hold the beginning of the text.
    carry: [Vec<u8>; 2],
}

impl Watched {
    fn feed(&mut self, stream: Stream, bytes: &[u8]) {
        let [stdout, stderr] = &mut self.carry;
        let carry = match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        };
        carry.extend_from_slice(bytes);
        let mut rest = 0;
        while let Some((found, _)) = self.scanner.find(carry, rest) {
            // The scanner looks for long texts in parts, so the whole is compared here.
            if carry.get(found..).is_some_and(|text| text.starts_with(&self.text)) {
                self.seen += 1;
                rest = found + self.text.len();
            } else {
                rest = found + 1;
            }
        }
        // Keep only what a match across the next cut could begin with.
        let keep_from = rest.max((carry.len() + 1).saturating_sub(self.text.len()));
        carry.drain(..keep_from.min(carry.len()));
    }
}

impl ServiceLog {
    pub(super) fn new(span: Arc<Span>, secrets: &Secrets) -> Self {
        let state = LogState {
            tail: Tail::default(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            watched: Vec::new(),
            events: OutputEvents::new(span),
            scrubbers: [Scrubber::new(secrets), Scrubber::new(secrets)],
            journal: Journal::default(),
            has_ended: false,
            is_past: false,
        };
        Self { state: Arc::new(Mutex::new(state)), changed: watch::channel(0).0 }
    }

    /// The output of a service that is not run.
    #[cfg(test)]
    pub(super) fn unobserved() -> Self {
        Self::new(Span::unobserved(), &Secrets::default())
    }

    /// The same output, for readers.
    pub(super) fn written(&self) -> WrittenLog {
        WrittenLog { state: self.state.clone(), changed: self.changed.subscribe() }
    }

    /// The service has ended, and all its output has come.
    pub(super) fn end(&self) {
        lock(&self.state).end();
        self.changed.send_modify(|pieces| *pieces += 1);
    }

    pub(super) fn sink(&self) -> Sink {
        let (state, changed) = (self.state.clone(), self.changed.clone());
        Arc::new(move |stream, bytes| {
            lock(&state).push(stream, bytes);
            changed.send_modify(|pieces| *pieces += 1);
        })
    }

    /// For output that was written before this session knew of the service: kept like any other, and not told of as news.
    pub(super) fn sink_of_the_past(&self) -> Sink {
        let (state, changed) = (self.state.clone(), self.changed.clone());
        Arc::new(move |stream, bytes| {
            let state = &mut *lock(&state);
            state.is_past = true;
            state.push(stream, bytes);
            state.is_past = false;
            changed.send_modify(|pieces| *pieces += 1);
        })
    }

    /// The last lines, including an unfinished one, without what may be the beginning of a secret.
    pub(super) fn last_lines(&self) -> Vec<String> {
        lock(&self.state).tail.lines()
    }

    /// Waits until a text has been written this many times since the service's start, or since the oldest output kept.
    pub(super) async fn wait_for(&self, text: &str, times: u32) {
        let index = lock(&self.state).watch(text);
        let mut changed = self.changed.subscribe();
        let seen = |state: &LogState| state.watched.get(index).map_or(0, |watched| watched.seen);
        let wanted = usize::try_from(times.max(1)).unwrap_or(usize::MAX);
        while seen(&lock(&self.state)) < wanted {
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl Drop for ServiceLog {
    fn drop(&mut self) {
        self.end();
    }
}

/// The output of one run of a service, as readers have it, during the run and afterwards.
#[derive(Clone)]
pub(super) struct WrittenLog {
    state: Arc<Mutex<LogState>>,
    changed: watch::Receiver<u64>,
}

impl std::fmt::Debug for WrittenLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrittenLog").field("has_ended", &self.has_ended()).finish_non_exhaustive()
    }
}

impl WrittenLog {
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.state).has_ended
    }

    /// A reader that begins with what is written from now on.
    pub(super) fn cursor_at_end(&self) -> Cursor {
        lock(&self.state).journal.end()
    }

    /// What comes next for a reader, and whether that is the end where it is nothing.
    pub(super) fn next(&self, cursor: &mut Cursor) -> (Next, bool) {
        let state = lock(&self.state);
        (cursor.next(&state.journal), state.has_ended)
    }

    /// Waits until there may be more than at the last call.
    pub(super) async fn changed(&mut self) {
        // Where nobody can write any more, the end has been told.
        let _ = self.changed.changed().await;
    }

    /// From here on, [`changed`](Self::changed) waits for what is written later.
    pub(super) fn seen(&mut self) {
        self.changed.mark_unchanged();
    }
}

impl LogState {
    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        // Texts are searched for in the raw output, so that a text that begins like a secret is not held back.
        for watched in &mut self.watched {
            watched.feed(stream, bytes);
        }
        let remembered = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        remembered.extend_from_slice(bytes);
        // Grows to twice the limit before cutting, so that not every piece moves the buffer.
        if remembered.len() > 2 * REMEMBERED {
            let cut = remembered.len() - REMEMBERED;
            remembered.drain(..cut);
        }
        let clean = self.scrubber(stream).push(bytes);
        self.take(stream, &clean);
    }

    fn scrubber(&mut self, stream: Stream) -> &mut Scrubber {
        let [stdout, stderr] = &mut self.scrubbers;
        match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        }
    }

    /// Emits and keeps output that is free of secrets.
    fn take(&mut self, stream: Stream, clean: &[u8]) {
        self.tail.push(stream, clean);
        self.journal.add(stream, clean);
        if !self.is_past {
            self.events.write(stream, clean);
        }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = self.scrubber(stream).finish();
            self.take(stream, &rest);
        }
        self.events.finish();
    }

    fn watch(&mut self, text: &str) -> usize {
        if let Some(index) = self.watched.iter().position(|watched| watched.text == text.as_bytes()) {
            return index;
        }
        let text = text.as_bytes().to_vec();
        let scanner = Scanner::new([text.clone()]);
        let mut watched = Watched { text, scanner, seen: 0, carry: Default::default() };
        watched.feed(Stream::Stdout, &self.stdout);
        watched.feed(Stream::Stderr, &self.stderr);
        self.watched.push(watched);
        self.watched.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_found_across_any_cut(
            before in "[ab]{0,6}", between in "[ab]{0,6}", cuts in prop::collection::vec(1..4usize, 0..20), late in any::<bool>(),
        ) {
            let text = "aab";
            let whole = format!("{before}{text}{between}{text}");
            let wanted = whole.matches(text).count();
            let log = ServiceLog::unobserved();
            let index = if late { None } else { Some(lock(&log.state).watch(text)) };
            let sink = log.sink();
            let mut rest = whole.as_bytes();
            for cut in cuts {
                let (piece, next) = rest.split_at(cut.min(rest.len()));
                sink(Stream::Stdout, piece);
                rest = next;
            }
            sink(Stream::Stdout, rest);
            let index = index.unwrap_or_else(|| lock(&log.state).watch(text));
            prop_assert_eq!(lock(&log.state).watched[index].seen, wanted);
        }
    }

    #[test]
    fn streams_are_not_mixed() {
        let log = ServiceLog::unobserved();
        let index = lock(&log.state).watch("ready");
        let sink = log.sink();
        sink(Stream::Stdout, b"rea");
        sink(Stream::Stderr, b"dy");
        assert_eq!(lock(&log.state).watched[index].seen, 0);
        sink(Stream::Stdout, b"dy\n");
        assert_eq!(lock(&log.state).watched[index].seen, 1);
    }

    #[test]
    fn long_output_is_cut_with_a_mark() {
        let text = last_part(&vec![b'x'; usize::try_from(SHOWN).unwrap() + 5].into());
        assert!(text.starts_with("[the first 5 bytes are cut]\nxxx"));
        assert_eq!(last_part(&b"short"[..].into()), "short");
    }
}
