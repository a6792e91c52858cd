//! What a person sees while a pipeline runs: who is doing what, on standard error, each line behind its item's name.
//!
//! Standard output belongs to the program. Where standard error is no terminal nothing is shown, unless
//! `BOWLINE_PROGRESS=plain` asks for it; `BOWLINE_PROGRESS=quiet` silences a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use super::log::Lines;
use crate::engine::Stream;

/// Shows events and output lines, or nothing.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    style: Option<Style>,
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Plain,
    Colour,
}

impl Reporter {
    pub(super) fn from_environment() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let style = match std::env::var("BOWLINE_PROGRESS").as_deref() {
            Ok("quiet") => None,
            Ok("plain") => Some(Style::Plain),
            _ if !terminal => None,
            // https://no-color.org
            _ if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) => Some(Style::Plain),
            _ => Some(Style::Colour),
        };
        Self { style }
    }

    #[cfg(test)]
    pub(super) fn silent() -> Self {
        Self { style: None }
    }

    /// Shows that something happens: `ping | redis-cli -h db ping`.
    pub(super) fn event(&self, name: &str, text: &str) {
        for line in text.lines() {
            self.line(name, &format!("• {line}"));
        }
    }

    /// A printer for the output of one process.
    pub(super) fn lines(&self, name: &str) -> LinePrinter {
        LinePrinter {
            report: self.clone(),
            name: name.into(),
            stdout: Lines::default(),
            stderr: Lines::default(),
        }
    }

    fn line(&self, name: &str, text: &str) {
        let line = match self.style {
            None => return,
            Some(Style::Plain) => format!("{name:<12} | {text}\n"),
            Some(Style::Colour) => {
                format!("\x1b[{}m{name:<12}\x1b[0m \x1b[2m|\x1b[0m {text}\n", colour(name))
            }
        };
        // One write a line, so that lines of several processes never mix; a closed terminal is no reason to fail.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// One of six colours, the same for a name in every run.
fn colour(name: &str) -> u32 {
    31 + name.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 6
}

/// Shows a process's output line by line.
pub(super) struct LinePrinter {
    report: Reporter,
    name: Arc<str>,
    stdout: Lines,
    stderr: Lines,
}

impl LinePrinter {
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if self.report.style.is_none() {
            return;
        }
        let (report, name) = (&self.report, &self.name);
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        lines.push(bytes, |line| report.line(name, line));
    }

    pub(super) fn finish(&mut self) {
        let (report, name) = (&self.report, &self.name);
        self.stdout.flush(|line| report.line(name, line));
        self.stderr.flush(|line| report.line(name, line));
    }
}
