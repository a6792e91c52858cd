//! Everything as it happens, each line behind its item's name: `BOWLINE_PROGRESS=log`. Also what other displays say of an
//! event, in the same words.

use super::{held, words};
use crate::error::{show_duration, shown_command};
use crate::event::{DirectObserver, Event, EventKind, Subject, Transfer, Verb, Waiting};
use crate::terminal::{self, Colours};

/// Shows events and output lines. It is called on the thread where they happen, so that it shows a step's lines before
/// the program prints the step's result, and has shown everything when the process ends.
#[derive(Debug)]
pub(super) struct Log {
    is_coloured: bool,
}

impl Log {
    pub(super) fn new(is_coloured: bool) -> Self {
        Self { is_coloured }
    }

    fn line(&self, name: &str, text: &str) {
        let line = line(name, text, self.is_coloured);
        // One write a line, so that lines of several processes never mix; a closed terminal is no reason to fail.
        held::show(line.as_bytes());
    }
}

impl DirectObserver for Log {
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

/// A line behind a name, with colours or without.
pub(super) fn line(name: &str, text: &str, is_coloured: bool) -> String {
    if is_coloured { coloured(name, text) } else { plain(name, text) }
}

/// A line without colours.
pub(super) fn plain(name: &str, text: &str) -> String {
    let (name, text) = (terminal::plain(name), terminal::clean(text, Colours::Removed));
    format!("{name:<12} | {text}\n")
}

/// A line with the name in a colour of its own, and whatever colours the text has.
fn coloured(name: &str, text: &str) -> String {
    let name = terminal::plain(name);
    let text = terminal::clean(text, Colours::Kept);
    format!("\x1b[{}m{name:<12}\x1b[0m \x1b[2m|\x1b[0m {text}\n", colour(&name))
}

/// The name shown before an event.
pub(super) fn shown_name(event: &Event) -> &str {
    match (&event.kind, &event.subject) {
        (EventKind::Connected { engine, .. }, _) => engine,
        (_, Subject::Image { .. }) => "image",
        (_, Subject::RemoteCache { .. }) => "cache",
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
            format!("waits for the cache `{cache}`: `{service}` of {owner} uses it")
        }
        EventKind::Fetched { from } => format!("its result is from {from}"),
        EventKind::Started { args } if matches!(event.subject, Subject::Step { .. }) => shown_command(args),
        EventKind::Starting if matches!(event.subject, Subject::Preparation { .. }) => {
            "the program prepares it".to_owned()
        }
        EventKind::Replayed => "runs again: its service was started anew".to_owned(),
        EventKind::FilesMissing => "runs again: its files are needed, and were not kept".to_owned(),
        EventKind::NotStored { error } => format!("the result could not be kept: {error}"),
        EventKind::Ready { after } => format!("ready after {}", show_duration(*after)),
        EventKind::Joined { owner, .. } => format!("shared: process {owner} owns it"),
        EventKind::Tunnelled { port, address } => format!("port {port} is at {address}"),
        EventKind::Failed { error } => words::first_line(error).to_owned(),
        EventKind::Warning { message } if matches!(event.subject, Subject::Service { .. }) => {
            words::first_line(message).to_owned()
        }
        EventKind::Warning { message } => message.to_string(),
        _ => return None,
    };
    Some(text)
}

pub(super) fn transferred(name: &str, transfer: &Transfer) -> Option<String> {
    let Transfer { verb, done, total, files, .. } = *transfer;
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    match (verb, total) {
        (Verb::Pulling | Verb::Pushing, Some(total)) => {
            Some(format!("{verb} {name}: {} of {} MB", megabytes(done), megabytes(total)))
        }
        (Verb::Storing, Some(total)) => {
            Some(format!("storing results in {name}: {} of {} MB", megabytes(done), megabytes(total)))
        }
        (Verb::Storing, None) => Some(format!("storing results in {name}")),
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
}
