//! What the tree looks like, at some moments.

use super::*;
use crate::event::{Event, EventKind, Waiting};
use crate::report::state::tests::{lines, service, started, step};

/// The rows, with times masked.
fn drawn(state: &State, past: &VecDeque<Past>, columns: usize, screen: usize) -> String {
    let rows = rows(state, past, 0, columns, screen, false);
    assert!(rows.len() <= screen * 2 / 3, "{rows:?}");
    let masked = rows.join("\n").split(' ').collect::<Vec<_>>().join(" ");
    let mut text = String::new();
    let mut rest = masked.as_str();
    while let Some(at) = rest.find(" ms") {
        let (before, after) = rest.split_at(at);
        text.push_str(before.trim_end_matches(|letter: char| letter.is_ascii_digit()));
        text.push('T');
        rest = &after[3..];
    }
    text + rest
}

fn busy() -> State {
    let mut state = State::default();
    let mut follow = |span, subject: &crate::event::Subject, kinds: Vec<EventKind>| {
        for kind in kinds {
            state.follow(&Event::example_in(span, subject.clone(), kind));
        }
    };
    follow(1, &step("build"), vec![EventKind::Opened, started(&["make"])]);
    let probe = EventKind::ProbeFailed { probe: "5432/tcp".into(), finding: "connection refused".into() };
    follow(2, &service("db"), vec![EventKind::Opened, EventKind::Starting, started(&[]), probe]);
    let ready = EventKind::Ready { after: Duration::ZERO };
    follow(3, &service("redis"), vec![EventKind::Opened, EventKind::Starting, ready]);
    follow(4, &step("test"), vec![EventKind::Opened, EventKind::Waiting(Waiting::For(step("build")))]);
    let event = Event::example_in(1, step("build"), EventKind::Left);
    let text =
        (1..=9).map(|line| format!("compiling {line} 漢字\x1b[2J")).collect::<Vec<_>>().join("\n") + "\n";
    state.keep(&event, &lines(&text));
    state
}

#[test]
fn what_goes_on_has_a_row_and_its_last_lines() {
    insta::assert_snapshot!(drawn(&busy(), &VecDeque::new(), 80, 24));
}

#[test]
fn a_small_screen_shows_what_goes_on_first() {
    insta::assert_snapshot!(drawn(&busy(), &VecDeque::new(), 24, 9));
    for screen in 0..30 {
        for columns in [0, 1, 2, 3, 10, 200] {
            let rows = rows(&busy(), &VecDeque::new(), 3, columns, screen, true);
            assert!(rows.len() <= screen * 2 / 3);
        }
    }
}

#[test]
fn what_has_ended_last_fills_the_rest() {
    let past =
        |name: &str, how| Past { name: name.to_owned(), how, took: Duration::from_secs(2), is_moved: false };
    let failed = How::Failed { error: "no".into() };
    let past: VecDeque<Past> = (0..50)
        .map(|number| past(&format!("old {number}"), How::Cached))
        .chain([
            past("lint", failed),
            past("fmt", How::Done),
            past("late", How::Skipped { error: "x".into() }),
        ])
        .collect();
    insta::assert_snapshot!(drawn(&busy(), &past, 60, 24));
}

#[test]
fn more_than_fit_are_counted() {
    let mut state = State::default();
    for span in 1..=40 {
        for kind in [EventKind::Opened, started(&["true"])] {
            state.follow(&Event::example_in(span, step(&format!("item {span}")), kind));
        }
    }
    insta::assert_snapshot!(drawn(&state, &VecDeque::new(), 60, 12));
}
