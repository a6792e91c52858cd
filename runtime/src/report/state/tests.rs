//! What people are told, from events as sessions emit them.

use super::*;
use crate::event::LineCutter;
use crate::report::outcome;

pub(in crate::report) fn step(name: &str) -> Subject {
    Subject::Step { name: name.into(), digest: crate::Digest([0; 32]) }
}

pub(in crate::report) fn service(name: &str) -> Subject {
    Subject::Service { name: name.into(), hostname: format!("{name}-host").into() }
}

pub(in crate::report) fn started(args: &[&str]) -> EventKind {
    EventKind::Started { args: args.iter().map(|arg| (*arg).to_owned()).collect() }
}

pub(in crate::report) fn lines(text: &str) -> LineBatch {
    LineCutter::default().push(text.as_bytes())
}

fn failed(error: &str) -> EventKind {
    EventKind::Closed(Outcome::Failed { error: error.into() })
}

fn succeeded() -> EventKind {
    EventKind::Closed(Outcome::Succeeded)
}

/// What is told of events of one span each, in one line each, without times.
fn told(state: &mut State, span: u64, subject: &Subject, kinds: Vec<EventKind>) -> Vec<String> {
    let events = kinds.into_iter().map(|kind| Event::example_in(span, subject.clone(), kind));
    let news = events.filter_map(|event| state.follow(&event));
    news.map(|news| match news {
        News::Ended(ended) => {
            let lines = outcome::ended(&Ended { took: Duration::ZERO, ..ended });
            format!("{subject_name} {}", lines.join(" / "), subject_name = subject.name())
        }
        News::Ready { name, .. } => format!("{name} ready"),
        News::Said { name, text } => format!("{name} {text}"),
        News::AllEnded(sum) => format!("all {}", sum.words()),
    })
    .collect()
}

#[test]
fn every_item_that_ends_is_told_once() {
    let state = &mut State::default();
    let session = Subject::Session;
    assert!(told(state, 1, &session, vec![EventKind::Opened]).is_empty());
    let exit = crate::Exit { code: 0, out_of_memory: false };
    let finished = |success| EventKind::Finished { exit, success };
    let ran =
        vec![EventKind::Opened, started(&["make", "all"]), finished(true), EventKind::Stored, succeeded()];
    assert_eq!(told(state, 2, &step("build"), ran), ["build done 0 s: make all"]);
    let cached = vec![EventKind::Opened, EventKind::Cached, succeeded()];
    assert_eq!(told(state, 3, &step("lint"), cached), ["lint cached"]);
    let broken = vec![
        EventKind::Opened,
        started(&["/bin/sh", "-c", "x\ny"]),
        finished(false),
        failed("step `x` failed\nit wrote"),
    ];
    assert_eq!(told(state, 4, &step("test"), broken), ["test failed 0 s: step `x` failed"]);
    let replayed =
        vec![EventKind::Opened, EventKind::Replayed, started(&["set"]), finished(true), succeeded()];
    assert_eq!(told(state, 5, &step("set"), replayed), ["set run again 0 s: set"]);
    let skipped =
        vec![EventKind::Opened, EventKind::Closed(Outcome::Skipped { error: "no db\nmore".into() })];
    assert_eq!(told(state, 6, &step("late"), skipped), ["late skipped: no db"]);
    let ready = EventKind::Ready { after: Duration::from_millis(20) };
    let stopping = EventKind::Stopping { signal: "SIGTERM".into() };
    let up = vec![
        EventKind::Opened,
        EventKind::Starting,
        started(&[]),
        ready,
        stopping,
        EventKind::Exited { exit },
        succeeded(),
    ];
    assert_eq!(told(state, 7, &service("db"), up), ["db ready"]);
    assert_eq!(
        told(state, 1, &session, vec![succeeded()]),
        ["all 2 done, 1 cached, 1 failed, 1 skipped; 1 service"]
    );
    assert!(state.works.is_empty());
}

#[test]
fn a_service_that_fails_is_told_once_with_all_its_lines() {
    let state = &mut State::default();
    let subject = service("db");
    let begin = vec![EventKind::Opened, EventKind::Starting, started(&["postgres"])];
    assert!(told(state, 1, &subject, begin).is_empty());
    let event = Event::example_in(1, subject.clone(), EventKind::Left);
    (0..100).for_each(|line| state.keep(&event, &lines(&format!("line {line}\n"))));
    let event =
        Event::example_in(1, subject.clone(), EventKind::Failed { error: "it exited\nits last".into() });
    let Some(News::Ended(ended)) = state.follow(&event) else { panic!("nothing was told") };
    let mut output = Vec::new();
    ended.output.write(&mut output, "", crate::terminal::Colours::Removed).unwrap();
    assert_eq!(String::from_utf8(output).unwrap().lines().count(), 100);
    assert!(told(state, 1, &subject, vec![failed("it exited")]).is_empty());
    assert_eq!(state.sum.failed, 1);
}

#[test]
fn images_and_files_are_told_of_if_something_was_moved() {
    let state = &mut State::default();
    let image = Subject::Image { name: "docker.io/library/redis:7".into() };
    assert!(told(state, 1, &image, vec![EventKind::Opened, succeeded()]).is_empty());
    let moved = vec![EventKind::Opened, EventKind::begins(Verb::Pulling), succeeded()];
    assert_eq!(
        told(state, 2, &image, moved),
        ["docker.io/library/redis:7 pulled docker.io/library/redis:7 in 0 s"]
    );
    let source = Subject::Source { name: "./src".into() };
    let read = vec![EventKind::Opened, EventKind::begins(Verb::Hashing), succeeded()];
    assert!(told(state, 3, &source, read).is_empty());
}

#[test]
fn a_sign_of_life_names_what_takes_time_and_why() {
    let state = &mut State::default();
    for (span, name) in (1..).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]) {
        told(state, span, &step(name), vec![EventKind::Opened, started(&["sleep"])]);
    }
    let waiting = EventKind::Waiting(Waiting::For(step("a")));
    told(state, 20, &step("late"), vec![EventKind::Opened, waiting]);
    let text = state.going_on();
    assert!(text.starts_with("a 0 ") && text.contains("h 0 ") && text.ends_with(", 2 more"), "{text}");
    assert!(!text.contains("late"), "{text}");

    let state = &mut State::default();
    let probe = EventKind::ProbeFailed { probe: "5432/tcp".into(), finding: "connection refused".into() };
    told(state, 1, &service("db"), vec![EventKind::Opened, EventKind::Starting, started(&[]), probe]);
    assert!(state.going_on().ends_with(" (5432/tcp: connection refused)"), "{}", state.going_on());
    let passed = EventKind::ProbePassed { probe: "5432/tcp".into() };
    told(state, 1, &service("db"), vec![passed]);
    assert!(!state.going_on().contains("5432"), "{}", state.going_on());
}

#[test]
fn times_are_said_as_people_say_them() {
    let said = [0, 12, 999, 1000, 59_900, 60_000, 3_599_000, 3_720_000]
        .map(|ms| words::time(Duration::from_millis(ms)));
    assert_eq!(said, ["0 s", "12 ms", "999 ms", "1 s", "59.9 s", "1 min 0 s", "59 min 59 s", "1 h 2 min"]);
    assert_eq!(words::short("  make\ninstall"), "make…");
    assert_eq!(words::short("make"), "make");
}
