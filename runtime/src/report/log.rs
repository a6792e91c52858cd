//! The log that a person sees while a pipeline runs: events on standard error, each line behind its item's name.
//!
//! Standard output belongs to the program. If standard error is not a terminal, nothing is shown, unless
//! `BOWLINE_PROGRESS=plain` asks for it; `BOWLINE_PROGRESS=quiet` silences a terminal. Everything shown goes through
//! [`terminal::clean`].

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Once;

use super::held;
use crate::error::{show_duration, shown_command};
use crate::event::{Event, EventKind, Observer, Subject, Transfer, Verb, Waiting};
use crate::terminal::{self, Colours};

/// The variable that decides what is shown; without it, the kind of standard error does.
const PROGRESS: &str = "BOWLINE_PROGRESS";

/// Shows events and output lines. It is called on the thread where they happen, so that it shows a step's lines before
/// the program prints the step's result, and has shown everything when the process ends.
#[derive(Debug)]
pub(super) struct Log {
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Colour,
}

impl Log {
    /// `None` if nothing is to be shown: in a process of tests, unless it is asked for.
    pub(super) fn from_environment(is_test: bool) -> Option<Self> {
        let terminal = !is_test && std::io::stderr().is_terminal();
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
        style.map(|style| Self { style })
    }

    fn line(&self, name: &str, text: &str) {
        let line = match self.style {
            Style::Plain => plain(name, text),
            Style::Colour => {
                let name = terminal::clean(name, Colours::Removed);
                let text = terminal::clean(text, Colours::Kept);
                format!("\x1b[{}m{name:<12}\x1b[0m \x1b[2m|\x1b[0m {text}\n", colour(&name))
            }
        };
        // One write a line, so that lines of several processes never mix; a closed terminal is no reason to fail.
        held::show(line.as_bytes());
    }
}

impl Observer for Log {
    /// Shows output unchanged, and other events behind a mark: `ping | • redis-cli -h db ping`.
    fn on_event(&self, event: &Event) {
        let name = shown_name(event);
        if let EventKind::Output { line, .. } = &event.kind {
            // What a command in a service writes is returned to the program.
            if !matches!(event.subject, Subject::Request { .. }) {
                self.line(name, line);
            }
        } else if let Some(text) = text(event) {
            text.lines().for_each(|line| self.line(name, &format!("• {line}")));
        }
    }
}

/// Whether the environment leaves open what is shown.
pub(super) fn is_unset() -> bool {
    std::env::var_os(PROGRESS).is_none_or(|value| value.is_empty())
}

/// A line without colours.
pub(super) fn plain(name: &str, text: &str) -> String {
    let (name, text) = (terminal::clean(name, Colours::Removed), terminal::clean(text, Colours::Removed));
    format!("{name:<12} | {text}\n")
}

/// The name shown before an event.
fn shown_name(event: &Event) -> &str {
    match (&event.kind, &event.subject) {
        (EventKind::Connected { engine, .. }, _) => engine,
        (_, Subject::Image { .. }) => "image",
        (_, subject) => subject.name(),
    }
}

/// The text shown for an event; for most events there is none.
pub(super) fn text(event: &Event) -> Option<String> {
    let text = match &event.kind {
        EventKind::Connected { version, platform, .. } => format!("{version} on {platform}"),
        EventKind::Transfer(transfer) => return transferred(event.subject.name(), transfer),
        EventKind::Waiting(Waiting::Process) => "waits for another process that runs it".to_owned(),
        EventKind::Waiting(Waiting::Cache { cache, service, owner }) => {
            format!("waits for the cache `{cache}`: service `{service}` of {owner} uses it")
        }
        EventKind::Started { args } if matches!(event.subject, Subject::Step { .. }) => shown_command(args),
        EventKind::Starting if matches!(event.subject, Subject::Preparation { .. }) => {
            "the program prepares it".to_owned()
        }
        EventKind::Replayed => "runs again: its service was started anew".to_owned(),
        EventKind::NotStored { error } => format!("the result could not be kept: {error}"),
        EventKind::Ready { after } => format!("ready after {}", show_duration(*after)),
        EventKind::Joined { owner, .. } => format!("shared: process {owner} owns it"),
        EventKind::Tunnelled { port, address } => format!("port {port} is at {address}"),
        EventKind::Failed { error } => first_line(error),
        EventKind::Warning { message } if matches!(event.subject, Subject::Service { .. }) => {
            first_line(message)
        }
        EventKind::Warning { message } => message.to_string(),
        _ => return None,
    };
    Some(text)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn transferred(name: &str, transfer: &Transfer) -> Option<String> {
    let Transfer { verb, done, total, files, .. } = *transfer;
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    match (verb, total) {
        (Verb::Pulling | Verb::Pushing, Some(total)) => {
            Some(format!("{verb} {name}: {} of {} MB", megabytes(done), megabytes(total)))
        }
        (Verb::Packing, _) => Some(format!("{verb} {name}: {} MB", megabytes(done))),
        (Verb::Pulling | Verb::Pushing | Verb::Loading | Verb::Unpacking, _) => {
            Some(format!("{verb} {name}"))
        }
        (Verb::Sending, Some(total)) if done == 0 => {
            Some(format!("sent to the engine: {}", extent(files.unwrap_or(0), total)))
        }
        (Verb::Sending | Verb::Hashing | Verb::Exporting, _) => None,
    }
}

/// A transfer's size, as in `12 files, 3.4 MB`.
fn extent(files: u64, bytes: u64) -> String {
    let size = match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    };
    format!("{files} {}, {size}", if files == 1 { "file" } else { "files" })
}

/// The style for these variables; if a value is invalid, also the value and the style that applies instead.
fn style(
    is_terminal: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Style>, (String, Option<Style>)> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    // https://no-color.org; a dumb terminal has no colours.
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

/// One of six colours, always the same for a name.
fn colour(name: &str) -> u32 {
    31 + name.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines shown for an event of these subjects.
    fn said(subjects: &[Subject], kind: &EventKind) -> Vec<String> {
        let events = subjects.iter().map(|subject| Event::example(subject.clone(), kind.clone()));
        events.filter_map(|event| Some(format!("{} | {}", shown_name(&event), text(&event)?))).collect()
    }

    #[test]
    fn transfers_are_shown_with_what_is_known_of_their_size() {
        let image = [Subject::Image { name: "docker.io/library/a:1".into() }];
        let shown = |verb, done, total| said(&image, &EventKind::transfer(verb, done, total)).join("\n");
        assert_eq!(shown(Verb::Pulling, 0, None), "image | pulling docker.io/library/a:1");
        assert_eq!(
            shown(Verb::Pushing, 2_000_001, Some(4_000_000)),
            "image | pushing docker.io/library/a:1: 3 of 4 MB"
        );
        assert_eq!(shown(Verb::Packing, 1, None), "image | packing docker.io/library/a:1: 1 MB");
        assert_eq!(shown(Verb::Unpacking, 0, None), "image | unpacking docker.io/library/a:1");
        let source = [Subject::Source { name: "./src".into() }];
        let sent = |files, bytes, done| {
            let transfer = Transfer { verb: Verb::Sending, done, total: Some(bytes), files: Some(files) };
            said(&source, &EventKind::Transfer(transfer)).join("\n")
        };
        assert_eq!(sent(1, 12_300, 0), "./src | sent to the engine: 1 file, 13 kB");
        assert_eq!(sent(12, 3_450_000, 0), "./src | sent to the engine: 12 files, 3.4 MB");
        assert_eq!(sent(12, 3_450_000, 1), "");
    }

    #[test]
    fn commands_of_steps_and_first_lines_of_errors_are_shown() {
        let subjects = [
            Subject::Step { name: "test".into(), digest: crate::Digest([0; 32]) },
            Subject::Service { name: "db".into(), hostname: "x".into() },
        ];
        let args: std::sync::Arc<[String]> = ["echo", "a b"].map(str::to_owned).into();
        assert_eq!(said(&subjects, &EventKind::Started { args }), ["test | echo 'a b'"]);
        let failed = EventKind::Failed { error: "it exited\nits last lines".into() };
        assert_eq!(said(&subjects[1..], &failed), ["db | it exited"]);
        let ready = EventKind::Ready { after: std::time::Duration::from_millis(20) };
        assert_eq!(said(&subjects[1..], &ready), ["db | ready after 20 ms"]);
        assert!(said(&subjects, &EventKind::Cached).is_empty());
    }

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
