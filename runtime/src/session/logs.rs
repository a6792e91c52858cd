//! Reading what a service has written, while it runs and afterwards.

use std::fmt::Write as _;
use std::sync::Arc;

use super::journal::{self, Cursor, Next};
use super::log::WrittenLog;
use super::services::check_services_are_on;
use super::{Inner, closed, current, in_session, results};
use crate::error::Reason;
use crate::graph::{self, ServiceBase, ServiceNode};
use crate::model::{Digest, Location, LogLine};
use crate::value::Service;
use crate::{Error, Result, engine};

/// What is read of a service's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogOptions {
    /// Only what is written from now on.
    pub(crate) from_now: bool,
    /// Of the next run, if none is under way.
    pub(crate) waits_for_start: bool,
}

/// Finds what a service has written: in its present run, or else in its last.
pub(crate) async fn logs(service: Service, options: LogOptions, at: Location) -> Result<LogReader> {
    let node = graph::lower_service(&service)?;
    in_session(format!("logs of service `{}`", node.name), move |session| async move {
        check_services_are_on(&node)?;
        if let ServiceBase::Server(_) = &node.base {
            let message = format!(
                "service `{}` is a server outside of all containers, whose output nobody knows\n\nhelp: read its log where it writes it",
                node.name
            );
            return Err(Error::invalid(Some(&node.name), message).at([at]));
        }
        let log = session.written(&node, options.waits_for_start, at).await?;
        let cursor = if options.from_now { log.cursor_at_end() } else { Cursor::default() };
        Ok(LogReader { name: node.name.clone(), log, cursor })
    })
    .await
}

impl Inner {
    async fn written(&self, service: &ServiceNode, waits: bool, at: Location) -> Result<WrittenLog> {
        let mut runs = self.logs.subscribe();
        loop {
            // Of several versions of its files, the one that was started from the last reading.
            let versions = self.services().keys.get(&service.digest).cloned().unwrap_or_default();
            let found = {
                let runs = runs.borrow_and_update();
                let begun = versions.iter().filter_map(|(key, reading)| Some((reading, runs.get(key)?)));
                begun.max_by_key(|(reading, _)| **reading).map(|(_, log)| log.clone())
            };
            match found {
                Some(log) if !waits || !log.has_ended() => return Ok(log),
                _ if waits => {
                    if runs.changed().await.is_err() {
                        return Err(closed(&format!("logs of service `{}`", service.name)));
                    }
                }
                _ => {
                    let message = format!(
                        "service `{}` has not been started in this session, so it has written nothing\n\nhelp: `start()` it \
                         first, or wait for its start with `logs().wait_for_start()`",
                        service.name
                    );
                    return Err(Error::invalid(Some(&service.name), message).at([at]));
                }
            }
        }
    }

    /// A run of a service begins.
    pub(super) fn begin_log(&self, key: Digest, log: WrittenLog) {
        self.logs.send_modify(|runs| drop(runs.insert(key, log)));
    }
}

/// Reads the lines that one run of a service writes: see [`Service::logs`](crate::Service::logs).
#[derive(Debug)]
#[must_use = "a reader does nothing until it is asked for a line"]
pub struct LogReader {
    name: Arc<str>,
    log: WrittenLog,
    cursor: Cursor,
}

impl LogReader {
    /// The next line, as soon as there is one; `None` when the run of the service has ended and everything was read.
    /// Dropping the future loses no line.
    ///
    /// # Errors
    /// [`Error::Io`] when lines could not be written to a file or read from it. The service goes on.
    pub async fn next(&mut self) -> Result<Option<LogLine>> {
        loop {
            self.log.seen();
            match self.read().await? {
                Read::Line(line) => return Ok(Some(line)),
                Read::End => return Ok(None),
                Read::Nothing => self.log.changed().await,
            }
        }
    }

    /// All that there is by now, as text: each line with a line end, an unfinished one without. Where the beginning is not kept
    /// any more, a first line says how much of it.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(crate) async fn text(mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.read().await? {
                Read::Line(LogLine { text: line, skipped, .. }) => {
                    if skipped > 0 {
                        let _ = writeln!(text, "[the first {skipped} bytes are cut]");
                    }
                    text.push_str(&line);
                    text.push('\n');
                }
                Read::End => return Ok(text),
                Read::Nothing => {
                    self.cursor.finish();
                    let unfinished = std::iter::from_fn(|| self.cursor.line()).map(|line| line.text);
                    text.push_str(&unfinished.collect::<Vec<_>>().join("\n"));
                    return Ok(text);
                }
            }
        }
    }

    /// What can be read without waiting for the service.
    async fn read(&mut self) -> Result<Read> {
        loop {
            if let Some(line) = self.cursor.line() {
                return Ok(Read::Line(line));
            }
            match self.log.next(&mut self.cursor) {
                (Next::Bytes(piece), _) => self.cursor.add(&piece),
                (Next::InFile { file, from, length }, _) => {
                    let name = self.name.clone();
                    let read = results::blocking(move || {
                        journal::read(&file, from, length).map_err(|error| not_kept(&name, "read", error))
                    });
                    let piece = current::run(read).await?;
                    self.cursor.add(&piece);
                }
                (Next::Nothing, true) => {
                    self.cursor.finish();
                    return Ok(self.cursor.line().map_or(Read::End, Read::Line));
                }
                (Next::Nothing, false) => return Ok(Read::Nothing),
                (Next::Broken(error), _) => {
                    let kind = error.kind();
                    return Err(not_kept(&self.name, "written", std::io::Error::new(kind, error)));
                }
            }
        }
    }
}

enum Read {
    Line(LogLine),
    Nothing,
    End,
}

fn not_kept(service: &str, verb: &str, error: std::io::Error) -> Error {
    let message = format!(
        "what service `{service}` writes cannot be {verb} there: {error}\n\nhelp: name a place with more room in TMPDIR"
    );
    Error::io(engine::place(), Reason::said(message, error))
}
