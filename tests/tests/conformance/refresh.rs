//! Edits of this machine's files within a session: when they are seen, and what runs anew for them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bowline::event::{EventKind, Subject, Waiting};
use bowline::{CacheVolume, Container, Service, Session, host, host_file};
use bowline_tests::{busybox, client, eventually, nonce};

use crate::events::Record;
use crate::host::directory;

/// How many commands of steps have been started.
fn ran(record: &Record) -> usize {
    let is_start = |kind: &EventKind, subject: &Subject| {
        matches!((kind, subject), (EventKind::Started { .. }, Subject::Step { .. }))
    };
    record.events().iter().filter(|event| is_start(&event.kind, &event.subject)).count()
}

/// Waits for an event that the session emits.
async fn hears(record: &Record, what: &'static str, is_it: impl Fn(&EventKind) -> bool + Send + 'static) {
    let record = record.clone();
    tokio::task::spawn_blocking(move || {
        let heard = || record.events().iter().any(|event| is_it(&event.kind));
        eventually(what, Duration::from_secs(60), heard)
    })
    .await
    .unwrap();
}

#[bowline::test]
async fn an_edit_is_seen_after_a_refresh_and_only_what_takes_it_runs_again() {
    let session = Session::current();
    let record = Record::of(&session);
    let root = directory(&[("src/a", "one"), ("docs/b", "bee"), ("c", "see")]);
    let path = root.path();
    let base = busybox().shell("date +%N > /made");
    let cat = |file: &str| Container::from_container(&base).shell(format!("cat {file} /made"));
    let source = host(path).directory();
    let edited =
        Container::from_container(&base).mount("/src", source.directory("src")).shell("cat /src/a /made");
    let later = Container::from_container(&edited).shell("cat /src/a");
    let beside =
        Container::from_container(&base).copy("/docs", source.directory("docs")).shell("cat /docs/b /made");
    let file = Container::from_container(&base).copy("/c", host_file(path.join("c"))).shell("cat /c /made");
    let all = || async {
        let all = [&edited, &later, &beside, &file, &cat("/made")].map(Container::stdout);
        futures_util::future::try_join_all(all).await.unwrap()
    };
    let first = all().await;
    assert!(first[0].starts_with("one") && first[1] == "one" && first[2].starts_with("bee"), "{first:?}");
    let before = ran(&record);
    fs::write(path.join("src/a"), "two").unwrap();
    assert_eq!(all().await, first, "not before it is asked for");
    session.refresh();
    let second = all().await;
    assert_eq!((second[0].as_str(), second[1].as_str()), (first[0].replace("one", "two").as_str(), "two"));
    assert_eq!(second[2..], first[2..], "nothing else has changed");
    assert_eq!(ran(&record) - before, 2, "the step that takes the file, and the one after it");
    // Changed back, it is what it was.
    fs::write(path.join("src/a"), "one").unwrap();
    session.refresh();
    assert_eq!(all().await, first);
    assert_eq!(ran(&record) - before, 2);
}

/// A step that was awaited before goes on with the files that it began with, whatever comes later.
#[bowline::test]
async fn what_has_begun_keeps_the_files_that_it_began_with() {
    let session = Session::current();
    let record = Record::of(&session);
    let root = directory(&[("a", "one")]);
    let mailbox = Mailbox::new();
    let source = host(root.path()).directory();
    let cat = |container: Container| container.mount("/src", &source).shell("cat /src/a");
    assert_eq!(cat(busybox()).stdout().await.unwrap(), "one");
    let slow = cat(mailbox.wait(busybox()));
    let running = tokio::spawn(slow.stdout());
    hears(&record, "the first step runs", |kind| said(kind, "waiting")).await;
    fs::write(root.path().join("a"), "two").unwrap();
    session.refresh();
    assert_eq!(cat(busybox()).stdout().await.unwrap(), "two");
    mailbox.tell().await;
    assert_eq!(running.await.unwrap().unwrap(), "one");
    assert_eq!(slow.stdout().await.unwrap(), "two");
}

/// A way to end what runs in a container.
struct Mailbox(CacheVolume);

impl Mailbox {
    fn new() -> Self {
        Self(CacheVolume::new(format!("test-{}", nonce())))
    }

    /// A step that says `waiting`, and ends once it is told.
    fn wait(&self, container: Container) -> Container {
        let wait = "echo waiting; while [ ! -e /mail/end ]; do sleep 0.05; done";
        container.mount("/mail", &self.0).shell(wait)
    }

    async fn tell(&self) {
        busybox().mount("/mail", &self.0).shell("touch /mail/end").sync().await.unwrap();
    }
}

fn said(kind: &EventKind, text: &str) -> bool {
    matches!(kind, EventKind::Output { line, .. } if line.contains(text))
}

/// Answers with what was in `/src/version` when it started; with a volume at `/data` it refuses to be the second there.
const VERSIONED: &str = r"
import http.server, os, signal, sys
version = open('/src/version').read()
if os.path.isdir('/data'):
    try:
        os.mkdir('/data/lock')
    except FileExistsError:
        sys.exit('another instance writes to the data')
def end(*_):
    if os.path.isdir('/data'):
        os.rmdir('/data/lock')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(version.encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(('0.0.0.0', 8080), Handler).serve_forever()
";

fn versioned(root: &Path) -> Service {
    Service::from_image("python:3.11")
        .env("NONCE", nonce())
        .with_file("/srv/main.py", VERSIONED)
        .copy("/src", host(root))
        .run(["python3", "/srv/main.py"])
        .expose(8080)
        .linger("0s")
        .named("versioned")
}

/// What the service answers under its alias and its host name.
fn ask(service: &Service) -> Container {
    let program = format!("print(get('http://www:8080'), get('http://{}:8080'), end='')", service.hostname());
    client("www", service, &program)
}

/// As `ask`, until it is told to end: all that it was answered.
fn ask_on(service: &Service, mailbox: &Mailbox) -> Container {
    let program = format!(
        "import os, time\nheard = {{get('http://www:8080')}}\nprint('asking', flush=True)\n\
         while not os.path.exists('/mail/end'):\n heard.add(get('http://{}:8080'))\n time.sleep(0.05)\n\
         print(*sorted(heard))",
        service.hostname()
    );
    Container::from_image("python:3.11")
        .env("NONCE", nonce())
        .mount("/mail", &mailbox.0)
        .bind("www", service)
        .exec(["python3", "-c", &format!("import urllib.request as u\ndef get(url): return u.urlopen(url, timeout=60).read().decode()\n{program}")])
}

fn instances(session: &Session, service: &Service) -> usize {
    bowline_tests::inspector()
        .running(&session.id())
        .iter()
        .filter(|name| name.ends_with(&service.hostname()))
        .count()
}

async fn ends_with(session: &Session, service: &Service, count: usize) {
    let (session, service) = (session.clone(), service.clone());
    tokio::task::spawn_blocking(move || {
        eventually("the old instance is gone", Duration::from_secs(15), || {
            instances(&session, &service) == count
        });
    })
    .await
    .unwrap();
}

#[bowline::test]
async fn an_edited_service_is_a_new_instance_and_running_clients_keep_the_old_one() {
    let session = Session::current();
    let record = Record::of(&session);
    let root = directory(&[("version", "one")]);
    let edit = |version: &str| fs::write(root.path().join("version"), version).unwrap();
    let (web, mailbox) = (versioned(root.path()), Mailbox::new());
    let hostname = web.hostname();
    let asking = ask_on(&web, &mailbox);
    let asking = tokio::spawn(asking.stdout());
    hears(&record, "a client runs", |kind| said(kind, "asking")).await;
    edit("two");
    assert_eq!(ask(&web).stdout().await.unwrap(), "one one", "the edit is not seen yet");
    session.refresh();
    assert_eq!(web.hostname(), hostname);
    web.start().await.unwrap();
    assert_eq!(ask(&web).stdout().await.unwrap(), "two two");
    assert_eq!(instances(&session, &web), 2);
    mailbox.tell().await;
    assert_eq!(asking.await.unwrap().unwrap(), "asking\none\n");
    ends_with(&session, &web, 1).await;
    assert_eq!(ask(&web).stdout().await.unwrap(), "two two", "the new one stays, as it was started");
    // The loop of somebody who edits.
    edit("three");
    session.refresh();
    web.stop().await.unwrap();
    assert_eq!(instances(&session, &web), 0);
    web.start().await.unwrap();
    assert_eq!(ask(&web).stdout().await.unwrap(), "three three");
}

#[bowline::test]
async fn stop_ends_the_old_and_the_new_instance() {
    let session = Session::current();
    let record = Record::of(&session);
    let root = directory(&[("version", "one")]);
    let (web, mailbox) = (versioned(root.path()), Mailbox::new());
    let asking = tokio::spawn(ask_on(&web, &mailbox).stdout());
    hears(&record, "a client runs", |kind| said(kind, "asking")).await;
    fs::write(root.path().join("version"), "two").unwrap();
    session.refresh();
    web.start().await.unwrap();
    assert_eq!(instances(&session, &web), 2);
    web.stop().await.unwrap();
    assert_eq!(instances(&session, &web), 0);
    let error = asking.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("stopped"), "{error}");
}

#[bowline::test]
async fn two_instances_never_write_to_one_cache_at_once() {
    let session = Session::current();
    let record = Record::of(&session);
    let root = directory(&[("version", "one")]);
    let edit = |version: &str| {
        fs::write(root.path().join("version"), version).unwrap();
        session.refresh();
    };
    let data = CacheVolume::new(format!("test-{}", nonce()));
    let (db, mailbox) = (versioned(root.path()).mount("/data", &data), Mailbox::new());
    // One that was started, and is not in use, makes way, and the new one is kept in its place.
    db.start().await.unwrap();
    edit("two");
    assert_eq!(ask(&db).stdout().await.unwrap(), "two two");
    assert_eq!(instances(&session, &db), 1);
    assert_eq!(ask(&db).stdout().await.unwrap(), "two two");
    // One that is in use ends first.
    let asking = tokio::spawn(ask_on(&db, &mailbox).stdout());
    hears(&record, "a client runs", |kind| said(kind, "asking")).await;
    edit("three");
    let next = tokio::spawn(ask(&db).stdout());
    let waits = |kind: &EventKind| matches!(kind, EventKind::Waiting(Waiting::Cache { owner, .. }) if &**owner == "this session");
    hears(&record, "the new instance waits", move |kind| waits(kind)).await;
    mailbox.tell().await;
    assert_eq!(asking.await.unwrap().unwrap(), "asking\ntwo\n");
    assert_eq!(next.await.unwrap().unwrap(), "three three");
    db.stop().await.unwrap();
    assert_eq!(instances(&session, &db), 0);
}
