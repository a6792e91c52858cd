//! What a failed test shows of its services.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::log;
use crate::event::{DirectObserver, Event, EventKind, SpanId, Subject};
use crate::lock::lock;

/// How many of a service's last lines are shown.
const LINES: usize = 20;

/// Remembers the last lines of each service, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct TestReport {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many lines there were so far.
    count: u64,
    /// By run: a service that was started again is another one.
    services: BTreeMap<SpanId, Service>,
}

#[derive(Debug)]
struct Service {
    name: Arc<str>,
    /// The last lines, with their numbers.
    lines: VecDeque<(u64, String)>,
}

impl TestReport {
    /// The moment, to see later what came after it.
    pub(crate) fn now(&self) -> u64 {
        lock(&self.state).count
    }

    /// The last lines of every service since a moment, each behind the service's name; empty if there are none.
    pub(crate) fn since(&self, moment: u64) -> String {
        let mut shown = String::new();
        for Service { name, lines } in lock(&self.state).services.values() {
            let lines = lines.iter().filter(|(number, _)| *number > moment);
            lines.for_each(|(_, line)| shown.push_str(&log::plain(name, line)));
        }
        if shown.is_empty() { shown } else { format!("the last lines of its services:\n{shown}") }
    }

    fn add(&self, event: &Event, name: &Arc<str>, line: String) {
        let state = &mut *lock(&self.state);
        state.count += 1;
        let empty = || Service { name: name.clone(), lines: VecDeque::new() };
        let lines = &mut state.services.entry(event.span).or_insert_with(empty).lines;
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back((state.count, line));
    }
}

impl DirectObserver for TestReport {
    fn on_event(&self, event: &Event) {
        let Subject::Service { name, .. } = &event.subject else { return };
        if let EventKind::Output { line, .. } = &event.kind {
            self.add(event, name, line.to_string());
        } else if let Some(text) = log::text(event) {
            text.lines().for_each(|line| self.add(event, name, format!("• {line}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_services_are_shown_and_nothing_else() {
        let report = TestReport::default();
        let say = |subject: Subject, line: &str| {
            let kind = EventKind::Output { stream: crate::model::Stream::Stdout, line: line.into() };
            report.on_event(&Event::example(subject, kind));
        };
        let service = || Subject::Service { name: "db".into(), hostname: "x".into() };
        assert_eq!(report.since(0), "");
        say(Subject::Step { name: "test".into(), digest: crate::Digest([0; 32]) }, "a step's");
        assert_eq!(report.since(0), "");
        (0..30).for_each(|line| say(service(), &format!("line {line}")));
        let shown = report.since(0);
        assert_eq!(shown.lines().count(), 1 + LINES);
        assert!(shown.starts_with("the last lines of its services:\ndb           | line 10\n"), "{shown}");
        let now = report.now();
        assert_eq!(report.since(now), "");
        say(service(), "\x1b[2Jlater");
        assert_eq!(report.since(now), "the last lines of its services:\ndb           | later\n");
    }
}
