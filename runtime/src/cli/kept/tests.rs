//! What is kept of runs, and what is not.

use std::sync::Arc;

use super::*;
use crate::event::{self, Event, EventKind, Stream, Subject};
use crate::flock::try_lock;

/// A run that began at this second.
fn keeper(directory: &Path, runs: usize, most: u64) -> Keeper {
    Keeper::new(directory.to_owned(), vec!["run".to_owned(), "ping".to_owned()], runs, most)
}

fn at(second: u64, session: &str, kind: EventKind) -> Event {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    let subject = Subject::Preparation { name: "ping".into() };
    Event { at, session: session.into(), ..Event::example(subject, kind) }
}

fn said(line: &str) -> EventKind {
    EventKind::Output { stream: Stream::Stdout, line: line.into() }
}

fn kinds(run: &Run) -> Vec<EventKind> {
    let lines = run.lines().unwrap().map(Result::unwrap);
    lines.filter_map(|line| Some(event::read(&line).ok()?.event.kind)).collect()
}

/// Keeps a whole run.
fn keep(directory: &Path, second: u64, session: &str, exit_code: u8) {
    let keeper = keeper(directory, 3, 1 << 20);
    keeper.on_event(&at(second, session, EventKind::Opened));
    keeper.finish(exit_code);
}

#[test]
fn a_run_says_what_it_was_and_how_it_ended() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("runs/program");
    assert!(all_in(&directory).unwrap().is_empty());
    let keeper = keeper(&directory, 3, 1 << 20);
    keeper.on_event(&at(7, "abcdefghijkl", EventKind::Opened));
    keeper.on_lines(&at(7, "abcdefghijkl", said("")), "PONG\n\nand more\r\n");
    keeper.on_idle();
    let [run] = all_in(&directory).unwrap().try_into().unwrap();
    assert_eq!((run.head.run.as_str(), run.command().as_str()), ("abcdefgh", "run ping"));
    assert_eq!((run.outcome, run.goes_on()), (Outcome::GoesOn, true));
    let mut lines = run.lines().unwrap();
    assert_eq!(lines.by_ref().count(), 3);
    keeper.finish(100);
    // Whoever follows it sees the rest.
    assert_eq!(lines.count(), 1);
    let [run] = all_in(&directory).unwrap().try_into().unwrap();
    assert_eq!((run.outcome, run.goes_on()), (Outcome::Ended(100), false));
    assert_eq!(kinds(&run), [EventKind::Opened, said("PONG\n\nand more")]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&run.path)), (0o700, 0o600));
    }
}

#[test]
fn output_is_read_back_as_it_came() {
    let home = tempfile::tempdir().unwrap();
    let keeper = keeper(home.path(), 3, 1 << 20);
    keeper.on_event(&at(7, "text", EventKind::Opened));
    let texts = ["plain\nand plain", "", "\n", "a \"quote\", a \\ and \u{1b}[31mred\t\u{7f}ä", "last"];
    for text in texts {
        keeper.on_lines(&at(7, "text", said("")), &format!("{text}\n"));
    }
    keeper.finish(0);
    let [run] = all_in(home.path()).unwrap().try_into().unwrap();
    assert_eq!(kinds(&run)[1..], texts.map(said));
}

#[test]
fn a_run_that_was_killed_can_be_read() {
    let home = tempfile::tempdir().unwrap();
    let keeper = keeper(home.path(), 3, 1 << 20);
    keeper.on_event(&at(7, "killed", EventKind::Opened));
    keeper.on_lines(&at(7, "killed", said("")), "half of a line\n");
    keeper.on_idle();
    let path = files(home.path()).unwrap().remove(0);
    let whole = fs::read(&path).unwrap();
    // The lock ends with the process.
    drop(keeper);
    fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let [run] = all_in(home.path()).unwrap().try_into().unwrap();
    assert_eq!((run.outcome, kinds(&run)), (Outcome::Interrupted, vec![EventKind::Opened]));
}

#[test]
fn old_runs_make_room_and_those_that_go_on_stay() {
    let home = tempfile::tempdir().unwrap();
    let first = keeper(home.path(), 3, 1 << 20);
    first.on_event(&at(0, "goes-on", EventKind::Opened));
    for second in 1..=6 {
        keep(home.path(), second, &format!("run-{second}"), 0);
    }
    let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.head.run).collect::<Vec<_>>();
    assert_eq!(ids(all_in(home.path()).unwrap()), ["run-6", "run-5", "goes-on"]);
    first.finish(0);
    keep(home.path(), 7, "run-7", 0);
    assert_eq!(ids(all_in(home.path()).unwrap()), ["run-7", "run-6", "run-5"]);
}

#[test]
fn of_too_much_output_lines_are_left_out_and_counted_and_no_state_is() {
    let home = tempfile::tempdir().unwrap();
    let keeper = keeper(home.path(), 3, 2000);
    let event = |kind| at(7, "long", kind);
    keeper.on_event(&event(EventKind::Opened));
    for number in 0..100 {
        keeper.on_lines(&event(said("")), &format!("{number}\n"));
    }
    keeper.on_event(&event(EventKind::Stored));
    keeper.on_lines(&event(said("")), "later\nand later\n");
    keeper.finish(0);
    let [run] = all_in(home.path()).unwrap().try_into().unwrap();
    let mut kinds = kinds(&run).into_iter();
    assert_eq!(kinds.next(), Some(EventKind::Opened));
    let lines = kinds.by_ref().take_while(|kind| matches!(kind, EventKind::Output { .. })).count() as u64;
    // The one that ended that is the number of lines that are missing.
    assert!(lines > 3 && lines < 20, "{lines}");
    assert_eq!(kinds.collect::<Vec<_>>(), [EventKind::Stored, EventKind::OutputDropped { lines: 2 }]);
    let text = fs::read_to_string(&run.path).unwrap();
    assert!(text.contains(&format!(r#""event":"output_dropped","lines":{}"#, 100 - lines)), "{text}");
}

#[test]
fn a_run_is_found_by_its_id_its_start_and_its_number() {
    let home = tempfile::tempdir().unwrap();
    for (second, session) in [(1, "aa11"), (2, "aa22"), (3, "bb33")] {
        keep(home.path(), second, session, 0);
    }
    let found = |asked| find(&all_in(home.path()).unwrap(), asked).map(|run| run.head.run);
    for (asked, run) in [
        (None, "bb33"),
        (Some("bb33"), "bb33"),
        (Some("aa1"), "aa11"),
        (Some("0"), "bb33"),
        (Some("-1"), "aa22"),
        (Some("-2"), "aa11"),
    ] {
        assert_eq!(found(asked).unwrap(), run);
    }
    for asked in ["aa", "cc", "-3", "", "-9999999999999999999999"] {
        let Err(Failure::NothingMatched(message)) = found(Some(asked)) else { panic!("{asked} is found") };
        assert!(["aa11", "aa22", "bb33"].iter().all(|run| message.contains(run)), "{message}");
    }
    let Err(Failure::NothingMatched(message)) = find(&[], None) else { panic!("there is one") };
    assert!(message.starts_with("no run of this program is kept\n\nhelp: "), "{message}");
}

#[test]
fn what_cannot_be_written_and_what_is_none_of_it_disturbs_nobody() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let keeper = keeper(&file.join("runs"), 3, 1 << 20);
    keeper.on_event(&at(7, "x", EventKind::Opened));
    keeper.on_event(&at(7, "x", EventKind::Stored));
    keeper.finish(0);
    for (name, text) in [("0001-x.jsonl", "{"), ("0002-y.jsonl", ""), ("0003-z.txt", "{}")] {
        fs::write(home.path().join(name), text).unwrap();
    }
    fs::write(home.path().join("0004-v.jsonl"), r#"{"run":"v","v":9,"started":1,"command":[]}"#).unwrap();
    keep(home.path(), 9, "whole", 0);
    assert_eq!(all_in(home.path()).unwrap().len(), 1);
}

#[test]
fn the_variable_is_a_number_or_off() {
    assert_eq!((parse(""), parse("off"), parse("25"), parse("0")), (Ok(10), Ok(0), Ok(25), Ok(0)));
    assert_eq!(
        parse("many").unwrap_err(),
        "BOWLINE_RUNS=many means nothing: it may be the number of runs to keep, or `off`"
    );
}

#[test]
fn a_lock_is_one_writers_or_all_readers() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("lock");
    let open = || Arc::new(File::options().create(true).append(true).open(&path).unwrap());
    let (writer, reader, other) = (open(), open(), open());
    assert!(try_lock(&writer, false).unwrap());
    assert!(!try_lock(&reader, true).unwrap() && !try_lock(&other, false).unwrap());
    drop(writer);
    assert!(try_lock(&reader, true).unwrap() && try_lock(&other, true).unwrap());
}
