//! Records: found as they were written, or not at all; and only while nothing they were made of has been run again.

use std::fs;
use std::io::Read as _;
use std::time::SystemTime;

use super::*;
use crate::engine::{Recording, StepOutput, Written};
use crate::model::MadeOf;
use crate::sha256::Sha256;

fn key(number: u8) -> Digest {
    Digest([number; 32])
}

fn part(number: u8, run: &str) -> MadeOf {
    MadeOf { key: key(number), run: run.into() }
}

fn record(number: u8, run: &str, made_of: &[MadeOf]) -> Record {
    let output = StepOutput { stdout: b"out\n\0".to_vec(), stderr: b"{}\n\n".to_vec(), exit_code: 3 };
    record_of(number, run, made_of, output.into())
}

fn record_of(number: u8, run: &str, made_of: &[MadeOf], output: Recording) -> Record {
    let times = (Duration::from_millis(10), Duration::from_secs(1));
    let from = Provenance { made: SystemTime::UNIX_EPOCH, ..Provenance::now(run.into(), made_of.to_vec()) };
    Record { facts: Facts::new(key(number), from, times.0, times.1), output }
}

/// A session of an engine whose records are in a directory.
struct Session<'a> {
    records: Records,
    directory: &'a Path,
}

impl<'a> Session<'a> {
    fn new(directory: &'a Path) -> Self {
        Self { records: Records::new(None, ""), directory }
    }

    fn put(&self, record: &Record) {
        self.records.learn(&record.facts.key, &record.facts.from);
        self.records.put(self.directory, record).unwrap();
    }

    /// The run that is found.
    fn run(&self, number: u8) -> Option<String> {
        self.records
            .find(self.directory, &key(number))
            .map(|record| record.facts.from.run.as_str().to_owned())
    }
}

#[test]
fn what_is_recorded_is_found_by_another_session_byte_for_byte() {
    let home = tempfile::tempdir().unwrap();
    let long: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let output = StepOutput { stdout: long.clone(), stderr: b"err".to_vec(), exit_code: -1 };
    Session::new(home.path()).put(&record_of(1, "a", &[part(2, "b")], output.into()));
    let found = Session::new(home.path()).records.find(home.path(), &key(1)).unwrap();
    assert_eq!(found.facts, record(1, "a", &[part(2, "b")]).facts);
    let Recording { stdout, stderr, exit_code } = found.output;
    assert!(matches!(stdout, Written::File(_)), "it is read where it lies: {stdout:?}");
    assert!(stdout.to_vec().unwrap() == long);
    assert_eq!((stderr.to_vec().unwrap(), exit_code), (b"err".to_vec(), -1));
    // Whoever reads it goes on although it is replaced.
    Session::new(home.path()).put(&record(1, "c", &[]));
    let mut all = Vec::new();
    stdout.reader().read_to_end(&mut all).unwrap();
    assert!(all == long);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_is_damaged_counts_as_not_there() {
    let home = tempfile::tempdir().unwrap();
    let session = Session::new(home.path());
    let (path, other) = (super::path(home.path(), &key(1)), super::path(home.path(), &key(2)));
    let mut made = record(1, "a", &[part(3, "b")]);
    session.put(&made);
    let whole = fs::read(&path).unwrap();
    let find = || Session::new(home.path()).run(1);
    assert_eq!(find().as_deref(), Some("a"));
    // Each byte of it counts.
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&path, altered).unwrap();
        assert_eq!(find(), None, "byte {at} of {}", whole.len());
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(find(), None, "{length} of {} bytes", whole.len());
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(find(), None, "more");
    fs::write(&path, b"0".repeat(100_000)).unwrap();
    assert_eq!(find(), None, "something else");
    // Another step's.
    fs::write(&path, &whole).unwrap();
    fs::rename(&path, &other).unwrap();
    assert_eq!(Session::new(home.path()).run(2), None);
    // Of another version, which is whole.
    let text = fs::read_to_string(&other).unwrap().replace("\"version\":2", "\"version\":1");
    let rest = &text[text.find('\n').unwrap() + 1..];
    fs::write(&path, format!("{}\n{rest}", Digest(Sha256::digest(rest)))).unwrap();
    assert_eq!(find(), None, "another version");
    #[cfg(unix)]
    {
        // Others might have written it.
        fs::write(&path, &whole).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(find(), None, "others may write to it");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(find(), None, "a link to a device");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(find(), None, "a directory");
    // What is put there takes its place.
    made.facts.from.run = "c".into();
    session.put(&made);
    assert_eq!(find().as_deref(), Some("c"));
    // But not that of what is no leftover of ours.
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("full")).unwrap();
    assert!(session.records.put(home.path(), &made).is_err());
    assert_eq!(find(), None);
}

#[test]
fn what_was_made_of_an_earlier_run_does_not_count_however_far_above() {
    let home = tempfile::tempdir().unwrap();
    let session = || Session::new(home.path());
    let first = session();
    first.put(&record(1, "a", &[]));
    first.put(&record(2, "b", &[part(1, "a")]));
    first.put(&record(3, "c", &[part(2, "b"), part(9, "never recorded")]));
    let before = session();
    assert_eq!((before.run(1).as_deref(), before.run(3).as_deref()), (Some("a"), Some("c")));
    session().put(&record(1, "d", &[]));
    let after = session();
    assert_eq!((after.run(3), after.run(2), after.run(1).as_deref()), (None, None, Some("d")));
    assert!(
        !after.records.accept(Some(home.path()), &key(3), &Provenance::now("c".into(), vec![part(2, "b")])),
        "as an image"
    );
    // A session sees one run of a step.
    assert_eq!(before.run(3).as_deref(), Some("c"));
    after.put(&record(2, "e", &[part(1, "d")]));
    assert_eq!((after.run(2).as_deref(), after.run(3)), (Some("e"), None));
    assert_eq!(before.run(2), None, "it is made of a run that this one has not seen");
}

#[test]
fn a_session_knows_its_own_runs_although_nothing_can_be_recorded() {
    let home = tempfile::tempdir().unwrap();
    Session::new(home.path()).put(&record(1, "a", &[]));
    Session::new(home.path()).put(&record(2, "b", &[part(1, "a")]));
    let session = Session::new(home.path());
    session.records.learn(&key(1), &Provenance::now("c".into(), Vec::new()));
    assert_eq!(session.run(2), None);
}

#[test]
fn a_chain_of_hundreds_is_checked_in_no_time() {
    let home = tempfile::tempdir().unwrap();
    let first = Session::new(home.path());
    let mut made_of = Vec::new();
    let number = |number: u16| Digest(Sha256::digest(number.to_be_bytes()));
    for step in 0..500 {
        let mut next = record(0, &format!("run {step}"), &made_of);
        next.facts.key = number(step);
        first.put(&next);
        // Each is made of the two before it.
        made_of.push(MadeOf { key: number(step), run: next.facts.from.run });
        made_of.drain(..made_of.len().saturating_sub(2));
    }
    let began = std::time::Instant::now();
    assert!(Session::new(home.path()).records.find(home.path(), &number(499)).is_some());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
