//! What a person sees while a pipeline runs: who is doing what, on standard error, each line behind its item's name.
//!
//! Standard output belongs to the program. Where standard error is no terminal nothing is shown, unless
//! `BOWLINE_PROGRESS=plain` asks for it; `BOWLINE_PROGRESS=quiet` silences a terminal. All of it goes through
//! [`terminal::clean`].

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Once};

use super::lines::Lines;
use crate::model::Stream;
use crate::terminal::{self, Colours};

/// What is shown, where that is not left to the kind of standard error.
const PROGRESS: &str = "BOWLINE_PROGRESS";

/// Shows events and output lines, or nothing.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    style: Option<Style>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Colour,
}

impl Reporter {
    pub(super) fn from_environment() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let style = style(terminal, |name| std::env::var_os(name)).unwrap_or_else(|(value, instead)| {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                let value = terminal::clean(&value, Colours::Removed).into_owned();
                let line = format!(
                    "bowline: {PROGRESS}={value} means nothing: it may be `plain` or `quiet`, and is left away for colours on a terminal and nothing elsewhere\n"
                );
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
            });
            instead
        });
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
        let Some(style) = self.style else { return };
        let name = terminal::clean(name, Colours::Removed);
        let line = match style {
            Style::Plain => format!("{name:<12} | {}\n", terminal::clean(text, Colours::Removed)),
            Style::Colour => {
                let text = terminal::clean(text, Colours::Kept);
                format!("\x1b[{}m{name:<12}\x1b[0m \x1b[2m|\x1b[0m {text}\n", colour(&name))
            }
        };
        // One write a line, so that lines of several processes never mix; a closed terminal is no reason to fail.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// How things are shown, with these variables; where one means nothing, its value and what holds without it.
fn style(
    is_terminal: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Style>, (String, Option<Style>)> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    // https://no-color.org; a dumb terminal knows no colours.
    let is_plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
    let of_terminal = if is_plain { Style::Plain } else { Style::Colour };
    let default = is_terminal.then_some(of_terminal);
    match set(PROGRESS) {
        None => Ok(default),
        Some(value) if value == "quiet" => Ok(None),
        Some(value) if value == "plain" => Ok(Some(Style::Plain)),
        Some(value) => Err((value.to_string_lossy().into_owned(), default)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_know_and_people_who_want_them() {
        let with = |terminal: bool, variables: &[(&str, &str)]| {
            style(terminal, |name| Some(variables.iter().find(|(known, _)| *known == name)?.1.into()))
        };
        assert_eq!(with(true, &[("TERM", "xterm")]), Ok(Some(Style::Colour)));
        assert_eq!(with(true, &[("TERM", "dumb")]), Ok(Some(Style::Plain)));
        assert_eq!(with(true, &[("NO_COLOR", "1")]), Ok(Some(Style::Plain)));
        assert_eq!(with(true, &[("NO_COLOR", ""), (PROGRESS, "")]), Ok(Some(Style::Colour)));
        assert_eq!(with(false, &[]), Ok(None));
        assert_eq!(with(false, &[(PROGRESS, "plain")]), Ok(Some(Style::Plain)));
        assert_eq!(with(true, &[(PROGRESS, "quiet")]), Ok(None));
        assert_eq!(with(false, &[(PROGRESS, "fancy")]), Err(("fancy".to_owned(), None)));
    }
}
