//! Observers are told what happens: all of it, in order, and without harm to the pipeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bowline::event::{Event, EventKind, SpanId, Subject, Transfer, Waiting};
use bowline::{Container, Error, Service, Session, Tunnel, host, secret};
use bowline_tests::{late, nonce};

/// What was heard of one session.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Event>>>);

impl Record {
    pub(crate) fn of(session: &Session) -> Self {
        let record = Self::default();
        let into = record.0.clone();
        session.observe(move |event: &Event| into.lock().unwrap().push(event.clone())).unwrap();
        record
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// The spans, each with its events in their order, sorted by what they begin with. Of probes the same finding is
    /// there once, and engines' own words are left out.
    pub(crate) fn shown(&self, hidden: &[(&str, &str)]) -> String {
        let mut spans: BTreeMap<SpanId, Vec<String>> = BTreeMap::new();
        // What is chosen depends on what keeping costs there.
        for event in self.events().iter().filter(|event| !matches!(event.kind, EventKind::Kept { .. })) {
            let lines = spans.entry(event.span).or_insert_with(|| vec![title(&event.subject)]);
            let line = format!("  {}", said(&event.kind));
            if lines.last() != Some(&line) {
                lines.push(line);
            }
        }
        let mut spans: Vec<String> = spans.into_values().map(|lines| lines.join("\n")).collect();
        spans.sort();
        let shown = spans.join("\n");
        hidden.iter().fold(shown, |shown, (what, instead)| shown.replace(what, instead))
    }
}

fn title(subject: &Subject) -> String {
    let kind = match subject {
        Subject::Session => return "session".to_owned(),
        Subject::Request { .. } => "request",
        Subject::Image { .. } => "image",
        Subject::Source { .. } => "source",
        Subject::Step { .. } => "step",
        Subject::Service { .. } => "service",
        Subject::Preparation { .. } => "preparation",
        other => panic!("{other:?}"),
    };
    format!("{kind} {}", subject.name())
}

fn said(kind: &EventKind) -> String {
    match kind {
        EventKind::Connected { .. } => "connected".to_owned(),
        EventKind::Transfer(Transfer { verb, total, files, .. }) => {
            let mut text = verb.to_string();
            if let (Some(total), Some(files)) = (total, files) {
                let _ = write!(text, " {total} bytes in {files} files");
            }
            text
        }
        EventKind::Waiting(Waiting::For(subject)) => format!("waiting for {}", title(subject)),
        EventKind::Started { args } => format!("started {}", args.join(" ")),
        EventKind::Output { stream, line } => format!("{stream:?}: {line}"),
        EventKind::Finished { exit, success } => format!("finished with {exit}, success: {success}"),
        EventKind::ProbeFailed { probe, .. } => format!("probe {probe} failed"),
        EventKind::ProbePassed { probe } => format!("probe {probe} passed"),
        EventKind::Ready { .. } => "ready".to_owned(),
        EventKind::Tunnelled { port, .. } => format!("tunnelled {port}"),
        EventKind::Joined { .. } => "joined".to_owned(),
        EventKind::Stopping { signal } => format!("stopping by {signal}"),
        EventKind::Exited { .. } => "exited".to_owned(),
        EventKind::Closed(bowline::event::Outcome::Failed { .. }) => "closed: failed".to_owned(),
        EventKind::Closed(bowline::event::Outcome::Skipped { .. }) => "closed: skipped".to_owned(),
        EventKind::Closed(outcome) => format!("closed: {outcome:?}").to_lowercase(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn busybox() -> Container {
    Container::from_image("busybox:1.35")
}

/// Every event has a time, and comes after what it is a part of began.
fn is_in_order(events: &[Event]) {
    let mut open: Vec<SpanId> = Vec::new();
    for event in events {
        if event.kind == EventKind::Opened {
            assert!(event.parent.is_none_or(|parent| open.contains(&parent)), "{event:?}");
            assert!(!open.contains(&event.span), "{event:?}");
            open.push(event.span);
        }
        assert!(open.contains(&event.span), "{event:?}");
        assert_eq!(event.session, events[0].session);
    }
}

#[bowline::test]
async fn a_step_that_runs_and_the_same_one_cached() {
    let nonce = nonce();
    let step = busybox().env("NONCE", &nonce).exec(["echo", "hello"]).named("hello");
    let run = async |session: &Session| {
        let record = Record::of(session);
        session.scope(step.stdout()).await.unwrap();
        session.close().await.unwrap();
        is_in_order(&record.events());
        record.shown(&[])
    };
    insta::assert_snapshot!(run(&Session::new()).await, @r"
    image docker.io/library/busybox:1.35
      opened
      closed: succeeded
    request container `hello`
      opened
      closed: succeeded
    session
      opened
      connected
      closed: succeeded
    step hello
      opened
      started echo hello
      Stdout: hello
      finished with exit code 0, success: true
      stored
      closed: succeeded
    ");
    insta::assert_snapshot!(run(&Session::new()).await, @r"
    image docker.io/library/busybox:1.35
      opened
      closed: succeeded
    request container `hello`
      opened
      closed: succeeded
    session
      opened
      connected
      closed: succeeded
    step hello
      opened
      cached
      closed: succeeded
    ");
}

#[bowline::test]
async fn a_step_that_fails_and_one_that_needs_it() {
    let fails = busybox().env("NONCE", nonce()).exec(["sh", "-c", "echo no >&2; exit 3"]).named("fails");
    let needs = fails.exec(["true"]).named("needs");
    let session = Session::new();
    let record = Record::of(&session);
    session.scope(needs.sync()).await.unwrap_err();
    session.close().await.unwrap();
    is_in_order(&record.events());
    insta::assert_snapshot!(record.shown(&[]), @r"
    image docker.io/library/busybox:1.35
      opened
      closed: succeeded
    request container `needs`
      opened
      closed: failed
    session
      opened
      connected
      closed: succeeded
    step needs
      opened
      started sh -c echo no >&2; exit 3
      Stderr: no
      finished with exit code 3, success: false
      closed: failed
    step needs
      opened
      waiting for step needs
      closed: skipped
    ");
}

#[bowline::test]
async fn a_service_from_its_first_probe_to_its_end_and_a_replay_against_it() {
    let nonce = nonce();
    let web = late(&["wait=1", "say=open"]).expose(8080).named("web");
    let first = busybox().env("NONCE", &nonce).bind("web", &web).exec(["echo", "one"]).named("client");
    let session = Session::new();
    let record = Record::of(&session);
    session.scope(first.sync()).await.unwrap();
    session.close().await.unwrap();
    let events = record.events();
    is_in_order(&events);
    assert!(
        events.iter().any(|event| matches!(&event.kind, EventKind::Output { line, .. } if &**line == "open"))
    );
    let served = |shown: String| {
        // What it writes comes in between.
        let its_own = |line: &str| line.contains("Stderr: ") || line.contains("Stdout: open");
        let lines = shown.lines().filter(|line| !its_own(line)).map(|line| format!("{line}\n"));
        lines.collect::<String>()
    };
    insta::assert_snapshot!(served(record.shown(&[])), @r"
    image docker.io/library/busybox:1.35
      opened
      closed: succeeded
    image docker.io/library/python:3.11
      opened
      closed: succeeded
    request container `client`
      opened
      closed: succeeded
    service web
      opened
      starting
      started python3 -u /srv/main.py wait=1 say=open
      probe 8080/tcp failed
      probe 8080/tcp passed
      ready
      stopping by SIGTERM
      exited
      closed: succeeded
    session
      opened
      connected
      closed: succeeded
    step client
      opened
      waiting for service web
      started echo one
      Stdout: one
      finished with exit code 0, success: true
      stored
      closed: succeeded
    ");
    let session = Session::new();
    let record = Record::of(&session);
    // It comes after the first, whose files may not have been kept.
    let two = busybox().env("NONCE", &nonce).bind("web", &web).after(&first).exec(["echo", "two"]);
    session.scope(two.named("client").sync()).await.unwrap();
    session.close().await.unwrap();
    let events = record.events();
    is_in_order(&events);
    let shown = served(record.shown(&[]));
    let steps = shown.find("step").unwrap();
    insta::assert_snapshot!(&shown[steps..], @r"
    step client
      opened
      cached
      closed: succeeded
    step client
      opened
      replayed
      waiting for service web
      started echo one
      Stdout: one
      finished with exit code 0, success: true
      closed: succeeded
    step client
      opened
      waiting for step client
      waiting for service web
      started echo two
      Stdout: two
      finished with exit code 0, success: true
      stored
      closed: succeeded
    ");
    let replayed = events.iter().find(|event| event.kind == EventKind::Replayed).unwrap();
    let needs = events.iter().find(|event| Some(event.span) == replayed.parent).unwrap();
    assert!(matches!(needs.subject, Subject::Step { .. }));
}

/// What is told of services, without what they write and what probes find.
fn of_services(record: &Record) -> String {
    let shown = record.shown(&[]);
    let is_telling = |line: &&str| !["Stdout: ", "Stderr: ", "probe "].iter().any(|part| line.contains(part));
    let lines: Vec<&str> = shown.lines().filter(is_telling).collect();
    let spans = lines.join("\n").replace("\n  ", "\x01");
    let of_services =
        spans.lines().filter(|span| span.starts_with("service") || span.starts_with("preparation"));
    of_services.collect::<Vec<_>>().join("\n").replace('\x01', "\n  ")
}

#[bowline::test]
async fn a_service_that_the_program_prepares_and_its_copies() {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis");
    let prepared = redis.prepared("one key", |_: Tunnel| async { Ok::<_, Error>(()) });
    let run = async || {
        let session = Session::new();
        let record = Record::of(&session);
        session.scope(async { drop(prepared.tunnel().await.unwrap()) }).await;
        session.close().await.unwrap();
        is_in_order(&record.events());
        of_services(&record)
    };
    insta::assert_snapshot!(run().await, @r#"
    preparation redis prepared as "one key"
      opened
      waiting for service redis
      starting
      stored
      closed: succeeded
    service redis
      opened
      starting
      started docker-entrypoint.sh redis-server
      ready
      tunnelled 6379/tcp
      stopping by SIGTERM
      exited
      closed: succeeded
    service redis
      opened
      starting
      started docker-entrypoint.sh redis-server
      ready
      tunnelled 6379/tcp
      stopping by SIGTERM
      exited
      closed: succeeded
    "#);
    insta::assert_snapshot!(run().await, @r#"
    preparation redis prepared as "one key"
      opened
      cached
      closed: succeeded
    service redis
      opened
      starting
      started docker-entrypoint.sh redis-server
      ready
      tunnelled 6379/tcp
      stopping by SIGTERM
      exited
      closed: succeeded
    "#);
}

#[bowline::test]
async fn a_service_that_sessions_share() {
    let redis = Service::from_image("redis:7").env("NONCE", nonce()).expose(6379).named("redis").linger("0s");
    let redis = redis.shared();
    let (first, second) = (Session::new(), Session::new());
    let records = [&first, &second].map(Record::of);
    for session in [&first, &second] {
        session.scope(redis.start()).await.unwrap();
    }
    for session in [&first, &second] {
        session.close().await.unwrap();
    }
    let [first, second] = records.map(|record| of_services(&record));
    insta::assert_snapshot!(first, @r"
    service redis
      opened
      starting
      started docker-entrypoint.sh redis-server
      ready
      left
      closed: succeeded
    ");
    insta::assert_snapshot!(second, @r"
    service redis
      opened
      starting
      joined
      ready
      left
      closed: succeeded
    ");
}

/// Everything that had begun is told to have ended, and how.
#[bowline::test]
async fn a_run_that_is_broken_off() {
    let sleeps = busybox().env("NONCE", nonce()).exec(["sleep", "600"]).named("sleeps");
    let session = Session::new();
    let record = Record::of(&session);
    let running = tokio::spawn({
        let (session, sleeps) = (session.clone(), sleeps.clone());
        async move { session.scope(sleeps.sync()).await }
    });
    let started = || record.events().iter().any(|event| matches!(event.kind, EventKind::Started { .. }));
    while !started() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    session.close().await.unwrap();
    running.await.unwrap().unwrap_err();
    is_in_order(&record.events());
    insta::assert_snapshot!(record.shown(&[]), @r"
    image docker.io/library/busybox:1.35
      opened
      closed: succeeded
    request container `sleeps`
      opened
      closed: cancelled
    session
      opened
      connected
      closed: succeeded
    step sleeps
      opened
      started sleep 600
      closed: cancelled
    ");
}

#[bowline::test]
async fn what_is_sent_written_and_loaded() {
    let (dir, nonce) = (tempfile::tempdir().unwrap(), nonce());
    std::fs::create_dir(dir.path().join("src")).unwrap();
    std::fs::write(dir.path().join("src/a"), &nonce).unwrap();
    let archive = dir.path().join("image.tar");
    let copies = busybox()
        .copy("/src/", host(dir.path().join("src")).directory())
        .exec(["cat", "/src/a"])
        .named("copies");
    let session = Session::new();
    let record = Record::of(&session);
    session.scope(copies.export_image(&archive)).await.unwrap();
    let loaded = Container::from_image(format!("docker-archive:{}", archive.display()));
    session.scope(loaded.exec(["cat", "/src/a"]).named("loaded").sync()).await.unwrap();
    session.close().await.unwrap();
    is_in_order(&record.events());
    let place = dir.path().display().to_string();
    let length = format!("{} bytes", nonce.len());
    let hidden = [(&*place, "DIR"), (&*nonce, "NONCE"), (&*length, "N bytes"), ("  loading", "  unpacking")];
    insta::assert_snapshot!(record.shown(&hidden), @r"
    image DIR/image.tar
      opened
      exporting
      closed: succeeded
    image docker-archive:DIR/image.tar
      opened
      unpacking
      closed: succeeded
    image docker.io/library/busybox:1.35
      opened
      closed: succeeded
    request container `loaded`
      opened
      closed: succeeded
    request exporting `copies`
      opened
      closed: succeeded
    session
      opened
      connected
      closed: succeeded
    source host DIR/src
      opened
      hashing N bytes in 1 files
      closed: succeeded
    source host DIR/src
      opened
      sending N bytes in 1 files
      closed: succeeded
    step copies
      opened
      waiting for source host DIR/src
      started cat /src/a
      Stdout: NONCE
      finished with exit code 0, success: true
      stored
      closed: succeeded
    step loaded
      opened
      started cat /src/a
      Stdout: NONCE
      finished with exit code 0, success: true
      stored
      closed: succeeded
    ");
}

#[bowline::test]
async fn secrets_are_in_no_event() {
    let contents = format!("s3cr3t {}", nonce());
    let token = secret::value("token", &contents);
    let step = busybox()
        .env("NONCE", nonce())
        .env("TOKEN", &token)
        .exec(["sh", "-c", "echo \"a $TOKEN b\"; echo \"$TOKEN\" >&2; echo \"$0\"", &contents])
        .named("tells");
    let session = Session::new();
    let record = Record::of(&session);
    session.scope(step.sync()).await.unwrap();
    session.close().await.unwrap();
    let events = record.events();
    assert!(!format!("{events:?}").contains(&contents));
    let lines: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Output { line, .. } => Some(&**line),
            _ => None,
        })
        .collect();
    assert!(lines.contains(&"a *** b") && lines.len() == 3, "{lines:?}");
    assert!(
        events.iter().any(|event| matches!(&event.kind, EventKind::Started { args } if &*args[3] == "***"))
    );
}

/// A step that writes thousands of lines.
fn talks() -> Container {
    busybox().env("NONCE", nonce()).exec(["seq", "1", "20000"]).named("talks")
}

#[bowline::test]
async fn a_slow_observer_and_one_that_panics_harm_nothing() {
    let session = Session::new();
    let heard = Arc::new(Mutex::new((0, 0)));
    let into = heard.clone();
    let slow = move |event: &Event| {
        std::thread::sleep(Duration::from_millis(10));
        match event.kind {
            EventKind::Output { .. } => into.lock().unwrap().0 += 1,
            _ => into.lock().unwrap().1 += 1,
        }
    };
    session.observe(slow).unwrap();
    session.observe(|_: &Event| panic!("as the test wants it")).unwrap();
    let record = Record::of(&session);
    let began = Instant::now();
    assert_eq!(session.scope(talks().stdout()).await.unwrap().lines().count(), 20_000);
    // All of it would be 200 s.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let closing = Instant::now();
    session.close().await.unwrap();
    assert!(closing.elapsed() < Duration::from_secs(15), "{:?}", closing.elapsed());
    let lines = record.events().iter().filter(|event| matches!(event.kind, EventKind::Output { .. })).count();
    assert_eq!(lines, 20_000);
    assert!(heard.lock().unwrap().0 < 20_000);
}

#[bowline::test]
async fn who_observes_the_process_hears_of_all_its_sessions() {
    let sessions = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let into = sessions.clone();
    let handle = bowline::observe(move |event: &Event| {
        into.lock().unwrap().insert(event.session.to_string());
    })
    .unwrap();
    let (one, two) = (Session::new(), Session::new());
    for session in [&one, &two] {
        session.scope(busybox().env("NONCE", nonce()).exec(["true"]).sync()).await.unwrap();
        session.close().await.unwrap();
    }
    handle.remove().await;
    let three = Session::new();
    three.scope(busybox().env("NONCE", nonce()).exec(["true"]).sync()).await.unwrap();
    let heard = sessions.lock().unwrap().clone();
    assert!(heard.contains(&one.id()) && heard.contains(&two.id()) && !heard.contains(&three.id()));
    three.close().await.unwrap();
}
