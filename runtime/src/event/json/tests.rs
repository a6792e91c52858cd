//! The schema in the repository is that of what is written.

use std::sync::Arc;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

use super::*;
use crate::event::Verb;
use crate::{Digest, Location};

/// Whether each value is as the schema says; what it is not.
fn judged(values: &[Value]) -> Vec<Option<String>> {
    let schema: Value = serde_json::from_str(include_str!("../../../events.schema.json")).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("schema.json", schema).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    values
        .iter()
        .map(|value| schemas.validate(value, index).err().map(|error| format!("{error:#}")))
        .collect()
}

/// At least one of each kind. The match is there so that a new kind does not compile without an example.
fn every_kind() -> Vec<EventKind> {
    let exit = |code, out_of_memory| Exit { code, out_of_memory };
    let text = || Arc::<str>::from("text \u{1b}[2J\u{0}");
    let kinds = vec![
        EventKind::Opened,
        EventKind::Closed(Outcome::Succeeded),
        EventKind::Closed(Outcome::Failed { error: text() }),
        EventKind::Closed(Outcome::Skipped { error: text() }),
        EventKind::Closed(Outcome::Cancelled),
        EventKind::Connected { engine: "docker", version: text(), platform: text() },
        EventKind::begins(Verb::Pulling),
        EventKind::begins(Verb::Storing),
        EventKind::Transfer(Transfer { verb: Verb::Sending, done: 1, total: Some(2), files: Some(3) }),
        EventKind::Cached,
        EventKind::Fetched { from: text() },
        EventKind::Missed { why: text() },
        EventKind::Waiting(Waiting::For(step())),
        EventKind::Waiting(Waiting::For(service())),
        EventKind::Waiting(Waiting::Process),
        EventKind::Waiting(Waiting::Cache { cache: text(), service: text(), owner: text() }),
        EventKind::Replayed,
        EventKind::Starting,
        EventKind::Started { args: ["a".to_owned(), String::new()].into() },
        EventKind::Output { stream: Stream::Stdout, line: text() },
        EventKind::Output { stream: Stream::Stderr, line: "".into() },
        EventKind::OutputDropped { lines: u64::MAX },
        EventKind::Finished { exit: exit(-1, false), success: false },
        EventKind::Stored,
        EventKind::Kept { files: false, took: Duration::ZERO, keeping: Duration::MAX },
        EventKind::FilesMissing,
        EventKind::NotStored { error: text() },
        EventKind::ProbeFailed { probe: text(), finding: text() },
        EventKind::ProbePassed { probe: text() },
        EventKind::Ready { after: Duration::MAX },
        EventKind::Tunnelled { port: text(), address: "[::1]:1".parse().unwrap() },
        EventKind::Failed { error: text() },
        EventKind::Stopping { signal: text() },
        EventKind::Exited { exit: exit(137, true) },
        EventKind::Joined { owner: 7, session: text() },
        EventKind::Left,
        EventKind::Detached,
        EventKind::warning("careful"),
    ];
    for kind in &kinds {
        match kind {
            EventKind::Opened
            | EventKind::Closed(_)
            | EventKind::Connected { .. }
            | EventKind::Transfer(_)
            | EventKind::Cached
            | EventKind::Fetched { .. }
            | EventKind::Missed { .. }
            | EventKind::Waiting(_)
            | EventKind::Replayed
            | EventKind::Starting
            | EventKind::Started { .. }
            | EventKind::Output { .. }
            | EventKind::OutputDropped { .. }
            | EventKind::Finished { .. }
            | EventKind::Stored
            | EventKind::Kept { .. }
            | EventKind::FilesMissing
            | EventKind::NotStored { .. }
            | EventKind::ProbeFailed { .. }
            | EventKind::ProbePassed { .. }
            | EventKind::Ready { .. }
            | EventKind::Tunnelled { .. }
            | EventKind::Failed { .. }
            | EventKind::Stopping { .. }
            | EventKind::Exited { .. }
            | EventKind::Joined { .. }
            | EventKind::Left
            | EventKind::Detached
            | EventKind::Warning { .. } => {}
        }
    }
    kinds
}

fn step() -> Subject {
    Subject::Step { name: "test".into(), digest: Digest([7; 32]) }
}

fn service() -> Subject {
    Subject::Service { name: "db".into(), hostname: "x1".into() }
}

fn written(event: &Event) -> Value {
    serde_json::from_slice(&serde_json::to_vec(event).unwrap()).unwrap()
}

fn subjects() -> [Subject; 8] {
    let named = |of: fn(Arc<str>) -> Subject| of("x".into());
    [
        Subject::Session,
        step(),
        service(),
        named(|name| Subject::Request { name }),
        named(|name| Subject::Image { name }),
        named(|name| Subject::Source { name }),
        named(|name| Subject::RemoteCache { name }),
        named(|name| Subject::Preparation { name }),
    ]
}

#[test]
fn every_event_is_as_the_schema_says() {
    let mut events: Vec<Event> = every_kind().into_iter().map(|kind| Event::example(step(), kind)).collect();
    events.extend(subjects().map(|subject| Event::example(subject, EventKind::Opened)));
    let place = Event { locations: [Location::caller()].into(), ..Event::example(step(), EventKind::Cached) };
    events.push(Event { parent: Some(place.span), ..place });
    let values: Vec<Value> = events.iter().map(written).collect();
    for (value, wrong) in values.iter().zip(judged(&values)) {
        assert_eq!(wrong, None, "{value}");
    }
}

#[test]
fn the_schema_refuses_what_is_no_event() {
    let event = written(&Event::example(step(), EventKind::ProbePassed { probe: "x".into() }));
    let changed = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut event = event.clone();
        change(event.as_object_mut().unwrap());
        event
    };
    let wrong = [
        changed(&|event| drop(event.remove("probe"))),
        changed(&|event| drop(event.remove("digest"))),
        changed(&|event| drop(event.insert("event".to_owned(), json!("unknown")))),
        changed(&|event| drop(event.insert("more".to_owned(), json!(1)))),
        changed(&|event| drop(event.insert("line".to_owned(), json!("of output")))),
        changed(&|event| drop(event.insert("v".to_owned(), json!(2)))),
    ];
    assert!(judged(std::slice::from_ref(&event))[0].is_none());
    for (event, found) in wrong.iter().zip(judged(&wrong)) {
        assert!(found.is_some(), "{event}");
    }
}

#[test]
fn an_event_looks_like_this() {
    let event =
        Event::example(step(), EventKind::Started { args: ["echo".to_owned(), "a b".to_owned()].into() });
    insta::assert_snapshot!(serde_json::to_string(&event).unwrap());
}

#[cfg(feature = "cli")]
mod read_back {
    use super::*;
    use crate::event::{Told, read};
    use crate::model::Place;

    #[test]
    fn every_event_is_read_back_as_it_was_written() {
        let verbs = [
            Verb::Pulling,
            Verb::Loading,
            Verb::Unpacking,
            Verb::Packing,
            Verb::Pushing,
            Verb::Exporting,
            Verb::Hashing,
            Verb::Sending,
        ];
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_764_500_000_123_457);
        let of_steps = every_kind().into_iter().chain(verbs.map(EventKind::begins));
        let of_steps = of_steps.map(|kind| Event::example_in(u64::MAX, step(), kind));
        let of_others = subjects().map(|subject| Event {
            at,
            elapsed: Duration::from_micros(3_600_000_001),
            parent: Some(SpanId(std::num::NonZeroU64::MIN)),
            locations: [Location::caller()].into(),
            ..Event::example(subject, EventKind::Opened)
        });
        for event in of_steps.chain(of_others) {
            let line = serde_json::to_vec(&event).unwrap();
            let Told { event: back, places } = read(&line).unwrap();
            assert_eq!(places, event.locations.iter().map(Place::from).collect::<Vec<_>>());
            let back = Event { locations: event.locations.clone(), ..back };
            assert_eq!(written(&back), written(&event));
            assert_eq!((back.subject, back.at), (event.subject, event.at));
            // The longest time is cut.
            if !format!("{:?}", event.kind).contains(&format!("{:?}", Duration::MAX)) {
                assert_eq!(back.kind, event.kind);
            }
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        let event = written(&Event::example(service(), EventKind::Waiting(Waiting::For(step()))));
        for (field, wrong) in [
            ("v", json!(2)),
            ("event", json!("unknown")),
            ("subject", json!("thing")),
            ("for", json!("thing")),
            ("for_digest", json!("12")),
            ("span", json!(0)),
            ("hostname", Value::Null),
        ] {
            let mut event = event.clone();
            event[field] = wrong;
            assert!(read(event.to_string().as_bytes()).is_err(), "{event}");
        }
        let whole = event.to_string();
        assert!(read(whole.as_bytes()).is_ok());
        for end in 0..whole.len() {
            assert!(read(&whole.as_bytes()[..end]).is_err(), "{end}");
        }
        // A later version's field says more of the same.
        let mut more = event.clone();
        more["more"] = json!({"a": [1]});
        assert!(read(more.to_string().as_bytes()).is_ok());
    }
}
