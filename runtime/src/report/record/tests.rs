//! Runs as files have them, from events as sessions emit them.

use serde_json::Value;

use super::*;
use crate::event;
use crate::report::state::tests::{service, started, step};
use crate::report::{html, trace};

/// A run in which everything takes as many seconds as it says.
struct Example {
    record: Record,
    now: u64,
}

fn subject(number: u8, name: &str) -> Subject {
    Subject::Step { name: name.into(), digest: crate::Digest([number; 32]) }
}

impl Example {
    fn new() -> Self {
        Self { record: Record::default(), now: 0 }
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now += seconds;
        self
    }

    fn emit(
        &mut self,
        span: u64,
        subject: &Subject,
        kinds: impl IntoIterator<Item = EventKind>,
    ) -> &mut Self {
        for kind in kinds {
            let elapsed = Duration::from_secs(self.now);
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_500_000) + elapsed;
            let event = Event { at, elapsed, ..Event::example_in(span, subject.clone(), kind) };
            self.record.follow(&event);
        }
        self
    }
}

fn succeeded() -> EventKind {
    EventKind::Closed(event::Outcome::Succeeded)
}

fn finished(code: i32) -> EventKind {
    let exit = crate::Exit { code, out_of_memory: false };
    EventKind::Finished { exit, success: code == 0 }
}

fn waits(subject: &Subject) -> EventKind {
    EventKind::Waiting(Waiting::For(subject.clone()))
}

fn said(stream: Stream, line: &str) -> EventKind {
    EventKind::Output { stream, line: line.into() }
}

/// `test` needs `build`, which takes long, and `db`, which is ready soon; `lint` is found, and `late` needs `test`.
fn example() -> Run {
    let (build, test, lint, late) =
        (subject(1, "build"), subject(2, "test"), subject(3, "lint"), subject(4, "late"));
    let db = service("db");
    let mut run = Example::new();
    run.emit(1, &Subject::Session, [EventKind::Opened]);
    run.emit(2, &Subject::Request { name: "container `late`".into() }, [EventKind::Opened]);
    run.emit(3, &late, [EventKind::Opened, waits(&test)]);
    run.emit(4, &test, [EventKind::Opened, waits(&build)]);
    run.emit(5, &build, [EventKind::Opened, started(&["make"])]);
    run.emit(6, &lint, [EventKind::Opened, EventKind::Cached, succeeded()]);
    run.after(5).emit(5, &build, [said(Stream::Stdout, "built"), finished(0)]);
    run.after(1).emit(5, &build, [EventKind::Stored, succeeded()]);
    run.emit(4, &test, [waits(&db)]).emit(7, &db, [EventKind::Opened, EventKind::Starting]);
    run.after(2).emit(7, &db, [EventKind::Ready { after: Duration::from_secs(2) }]);
    run.emit(4, &test, [started(&["pytest", "-q"])]);
    let lines = [said(Stream::Stdout, "</script><b>"), said(Stream::Stderr, "\u{1b}[31mit fails\u{0}")];
    run.after(3).emit(4, &test, lines).emit(4, &test, [finished(1)]);
    let failed =
        || event::Outcome::Failed { error: "step `pytest -q` of `test` failed: exit code 1\nmore".into() };
    run.emit(4, &test, [EventKind::Closed(failed())]);
    run.emit(3, &late, [EventKind::Closed(event::Outcome::Skipped { error: "test failed".into() })]);
    run.emit(7, &db, [EventKind::Stopping { signal: "SIGTERM".into() }]);
    run.after(1).emit(
        7,
        &db,
        [EventKind::Exited { exit: crate::Exit { code: 0, out_of_memory: false } }, succeeded()],
    );
    run.emit(1, &Subject::Session, [succeeded()]);
    Run { program: "ci".to_owned(), ..run.record.run() }
}

#[test]
fn a_run_says_what_waited_for_what_and_how_everything_ended() {
    insta::assert_json_snapshot!(example());
}

#[test]
fn a_trace_has_an_end_for_each_beginning_and_nothing_overlaps_in_a_lane() {
    let trace = trace::trace(&example());
    let mut open: HashMap<(u64, u64), Vec<f64>> = HashMap::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        let lane = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        let at = event["ts"].as_f64();
        match event["ph"].as_str().unwrap() {
            "B" => open.entry(lane).or_default().push(at.unwrap()),
            "E" => assert!(open.get_mut(&lane).unwrap().pop().unwrap() <= at.unwrap(), "{event}"),
            other => assert_eq!(other, "M"),
        }
    }
    assert!(open.len() > 2 && open.values().all(Vec::is_empty), "{open:?}");
    insta::assert_json_snapshot!(trace["traceEvents"][2]);
}

#[test]
fn nothing_in_a_page_ends_its_data() {
    let page = html::page(&example()).unwrap();
    assert!(!page.contains("</script><b>") && page.contains(r"\u003c/script>\u003cb>"));
    let data = page.split_once(r#"id="bowline-run">"#).unwrap().1.split_once("</script>").unwrap().0;
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["spans"][1]["output"][0][1], "</script><b>");
}

#[cfg(feature = "junit")]
#[test]
fn junit_has_a_suite_for_each_item_and_no_character_that_xml_forbids() {
    let document = crate::report::junit::document(&example()).unwrap();
    assert!(!document.contains(['\u{1b}', '\u{0}']), "{document:?}");
    insta::assert_snapshot!(document);
}

#[test]
fn of_endless_output_the_last_lines_are_kept() {
    let mut run = Example::new();
    run.emit(1, &step("x"), [EventKind::Opened, started(&["yes"])]);
    run.emit(1, &step("x"), (0..5000).map(|line| said(Stream::Stdout, &line.to_string())));
    let long = "x".repeat(16 << 10);
    run.emit(2, &step("y"), [EventKind::Opened]);
    run.emit(2, &step("y"), (0..100).map(|_| said(Stream::Stdout, &long)));
    let spans = run.record.run().spans;
    assert_eq!((spans[0].output.len(), spans[0].output_left_out), (2000, 3000));
    assert_eq!(spans[0].output.back().unwrap().1, "4999");
    assert_eq!((spans[1].output.len(), spans[1].output_left_out), (16, 84));
    assert!(run.record.output < 600 << 10, "{}", run.record.output);
}
