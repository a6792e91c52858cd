//! A run as `JUnit` XML: a test suite for each item, a test case for each of its steps, and one for each service and image that
//! failed.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::record::{Outcome, Recorded, Run};
use super::{repository, words};
use crate::terminal;

pub(super) fn document(run: &Run) -> io::Result<String> {
    let mut report = Report::new(&run.program);
    report.set_time(Duration::from_secs_f64(run.duration));
    let mut suites: BTreeMap<&str, (usize, TestSuite)> = BTreeMap::new();
    for (index, span) in run.spans.iter().enumerate() {
        let is_case = matches!(span.subject, "step" | "preparation") || span.outcome == Some(Outcome::Failed);
        if is_case && let Some(case) = case(span) {
            let empty = || (index, TestSuite::new(shown(&span.name)));
            suites.entry(&span.name).or_insert_with(empty).1.add_test_case(case);
        }
    }
    // In the order in which items began.
    let mut suites: Vec<_> = suites.into_values().collect();
    suites.sort_by_key(|(index, _)| *index);
    report.add_test_suites(suites.into_iter().map(|(_, suite)| suite));
    report.to_string().map_err(io::Error::other)
}

/// The test case of a span that has ended.
fn case(span: &Recorded) -> Option<TestCase> {
    let message = span.error.as_deref().unwrap_or_default();
    let first = shown(words::first_line(message));
    let mut status = match span.outcome? {
        Outcome::Succeeded => TestCaseStatus::success(),
        Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Skipped | Outcome::Cancelled => TestCaseStatus::skipped(),
    };
    match span.outcome? {
        Outcome::Succeeded => {}
        Outcome::Failed => {
            status.set_message(first).set_type(span.subject).set_description(shown(message));
        }
        Outcome::Skipped => {
            status.set_message(first);
        }
        Outcome::Cancelled => {
            status.set_message("cancelled");
        }
    }
    let name = span.command.as_deref().map_or_else(|| span.subject.to_owned(), words::short);
    let mut case = TestCase::new(shown(&name), status);
    case.set_classname(shown(&span.name));
    // That it waited for others is not its own time.
    let own = span.phases.iter().filter(|phase| phase.name != "waiting");
    let seconds: f64 = own.map(|phase| phase.to - phase.from).sum();
    case.set_time(Duration::from_secs_f64(seconds.max(0.0)));
    if let Some(place) = span.locations.first() {
        case.extra.insert("file".into(), repository::path(place.file()).as_ref().into());
        case.extra.insert("line".into(), place.line().to_string().into());
    }
    if span.result == Some("cached") {
        case.add_property(("bowline.cached", "true"));
    }
    for (letter, set) in [("o", true), ("e", false)] {
        let lines = span.output.iter().filter(|(stream, _)| *stream == letter).map(|(_, line)| line.as_str());
        let text = shown(&lines.collect::<Vec<_>>().join("\n"));
        if text.is_empty() {
            continue;
        }
        if set {
            case.set_system_out(text);
        } else {
            case.set_system_err(text);
        }
    }
    Some(case)
}

/// Without control sequences. Characters that XML does not allow are removed by the library.
fn shown(text: &str) -> String {
    terminal::plain(text).into_owned()
}
