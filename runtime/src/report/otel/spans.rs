//! Spans as OpenTelemetry has them, made of events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Event as SpanEvent, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::event::{self, Event, EventKind, Outcome, Subject, Waiting, trace};
use crate::model::{Exit, TraceContext};
use crate::report::{log, words};

/// OpenTelemetry's own default, as that of attributes' lengths is none.
const EVENTS: usize = 128;
const EXIT_CODE: &str = "process.exit.code";
/// How many bytes of an error are sent. The rest of it are lines of output.
const MESSAGE: usize = 4 << 10;

/// What an event has ended.
pub(super) enum Ended {
    Nothing,
    Span(Box<SpanData>),
    /// A session, with all of its spans that had not ended.
    Session(Vec<SpanData>),
}

/// The spans that are open.
pub(super) struct Spans {
    program: String,
    scope: InstrumentationScope,
    open: HashMap<event::SpanId, Open>,
}

struct Open {
    session: Arc<str>,
    /// When it began, since the session did.
    began: Duration,
    data: SpanData,
    /// What went wrong in it, before it ended.
    failure: Option<Arc<str>>,
    has_moved: bool,
}

impl Spans {
    pub(super) fn new(program: String) -> Self {
        let scope = InstrumentationScope::builder("bowline").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { program, scope, open: HashMap::new() }
    }

    pub(super) fn follow(&mut self, event: &Event) -> Ended {
        if event.kind == EventKind::Opened {
            let open = self.opened(event);
            self.open.insert(event.span, open);
            return Ended::Nothing;
        }
        let EventKind::Closed(outcome) = &event.kind else {
            if let Some(open) = self.open.get_mut(&event.span) {
                open.follow(event);
            }
            return Ended::Nothing;
        };
        let Some(mut open) = self.open.remove(&event.span) else { return Ended::Nothing };
        open.close(event, outcome);
        match &event.subject {
            Subject::Session => {
                // Services that outlive the program, for example.
                let left: Vec<_> = self
                    .open
                    .extract_if(|_, left| left.session == event.session)
                    .map(|(_, left)| left)
                    .collect();
                let left = left.into_iter().map(|left| SpanData { end_time: left.time(event), ..left.data });
                return Ended::Session(left.chain([open.data]).collect());
            }
            Subject::Request { .. } => self.tell_session(event, outcome),
            _ => {}
        }
        Ended::Span(Box::new(open.data))
    }

    /// A session in which something failed that the program awaited has failed itself.
    fn tell_session(&mut self, event: &Event, outcome: &Outcome) {
        let session = event.parent.and_then(|parent| self.open.get_mut(&parent));
        if let (Some(session), Outcome::Failed { error }) = (session, outcome) {
            session.failure.get_or_insert_with(|| error.clone());
        }
    }

    fn opened(&self, event: &Event) -> Open {
        let context = trace::of(&event.session, event.span);
        let parent = match event.parent {
            Some(parent) => Some(trace::of(&event.session, parent)),
            None => trace::given().cloned(),
        };
        let mut attributes = vec![KeyValue::new("bowline.kind", event.subject.word())];
        let mut kind = SpanKind::Internal;
        let mut name = event.subject.name().to_owned();
        match &event.subject {
            Subject::Session => {
                kind = SpanKind::Server;
                name.clone_from(&self.program);
                attributes.push(KeyValue::new("cicd.pipeline.name", self.program.clone()));
                attributes.push(KeyValue::new("cicd.pipeline.run.id", text(&event.session)));
            }
            Subject::Step { name, digest } => {
                attributes.push(KeyValue::new("cicd.pipeline.task.name", text(name)));
                attributes.push(KeyValue::new("cicd.pipeline.task.run.id", digest.to_string()));
            }
            Subject::Image { name } => attributes.push(KeyValue::new("container.image.name", text(name))),
            Subject::Service { hostname, .. } => {
                attributes.push(KeyValue::new("server.address", text(hostname)));
            }
            Subject::Request { .. }
            | Subject::Source { .. }
            | Subject::RemoteCache { .. }
            | Subject::Preparation { .. } => {}
        }
        if let Some(place) = event.locations.first() {
            attributes.push(KeyValue::new("code.file.path", place.file().to_owned()));
            attributes.push(KeyValue::new("code.line.number", i64::from(place.line())));
        }
        let data = SpanData {
            span_context: span_context(&context),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span)),
            parent_span_is_remote: event.parent.is_none() && trace::given().is_some(),
            span_kind: kind,
            name: name.into(),
            start_time: event.at,
            end_time: event.at,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        };
        let (session, began) = (event.session.clone(), event.elapsed);
        Open { session, began, data, failure: None, has_moved: false }
    }
}

fn span_context(context: &TraceContext) -> SpanContext {
    // A state that is not one was left out when it was read.
    let state: TraceState = context.state.as_deref().and_then(|state| state.parse().ok()).unwrap_or_default();
    let flags = TraceFlags::new(context.flags);
    SpanContext::new(
        TraceId::from_bytes(context.trace),
        SpanId::from_bytes(context.span),
        flags,
        false,
        state,
    )
}

fn text(text: &Arc<str>) -> StringValue {
    text.clone().into()
}

impl Open {
    /// When an event of this span happened, by a clock that does not jump.
    fn time(&self, event: &Event) -> SystemTime {
        self.data.start_time + event.elapsed.saturating_sub(self.began)
    }

    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.data.attributes.retain(|attribute| attribute.key.as_str() != key);
        self.data.attributes.push(KeyValue::new(key, value));
    }

    fn exit(&mut self, exit: Exit) {
        self.set(EXIT_CODE, i64::from(exit.code));
    }

    fn follow(&mut self, event: &Event) {
        let mut attributes = Vec::new();
        match &event.kind {
            EventKind::Output { .. } | EventKind::OutputDropped { .. } => return,
            // Once, as they come with each piece.
            EventKind::Transfer(_) if std::mem::replace(&mut self.has_moved, true) => return,
            EventKind::Connected { engine, version, platform } => {
                self.set("bowline.engine", *engine);
                self.set("bowline.engine.version", text(version));
                self.set("bowline.engine.platform", text(platform));
                return;
            }
            EventKind::Cached => {
                self.set("bowline.cached", true);
                return;
            }
            EventKind::Started { args } => {
                let args: Vec<StringValue> = args.iter().cloned().map(Into::into).collect();
                self.set("process.command_args", Value::Array(Array::String(args)));
            }
            EventKind::Finished { exit, .. } | EventKind::Exited { exit } => self.exit(*exit),
            EventKind::Failed { error } => self.failure = Some(error.clone()),
            EventKind::Waiting(Waiting::For(subject)) => {
                let what = format!("{} {}", subject.word(), subject.name());
                attributes.push(KeyValue::new("bowline.waiting.for", what));
            }
            EventKind::ProbeFailed { probe, finding } => {
                attributes.push(KeyValue::new("bowline.probe", text(probe)));
                attributes.push(KeyValue::new("bowline.finding", text(finding)));
            }
            EventKind::ProbePassed { probe } => attributes.push(KeyValue::new("bowline.probe", text(probe))),
            EventKind::Stopping { signal } => attributes.push(KeyValue::new("bowline.signal", text(signal))),
            _ => {}
        }
        // What was started is an attribute.
        if !matches!(event.kind, EventKind::Started { .. })
            && let Some(said) = log::text(event)
        {
            attributes.push(KeyValue::new("bowline.message", said));
        }
        let at = self.time(event);
        let events = &mut self.data.events;
        if events.events.len() < EVENTS {
            events.events.push(SpanEvent::new(event.kind.word(), at, attributes, 0));
        } else {
            events.dropped_count += 1;
        }
    }

    fn close(&mut self, event: &Event, outcome: &Outcome) {
        self.data.end_time = self.time(event);
        let failure = match outcome {
            Outcome::Failed { error } | Outcome::Skipped { error } => Some(error.clone()),
            Outcome::Succeeded | Outcome::Cancelled => self.failure.take(),
        };
        match &event.subject {
            Subject::Session => {
                self.set("cicd.pipeline.result", if failure.is_some() { "failure" } else { "success" });
            }
            Subject::Step { .. } => {
                let is_cached =
                    self.data.attributes.iter().any(|attribute| attribute.key.as_str() == "bowline.cached");
                self.set("bowline.cached", is_cached);
                self.set("cicd.pipeline.task.run.result", words::result(outcome));
            }
            _ => {}
        }
        if failure.is_some() {
            let code = self.data.attributes.iter().find(|attribute| attribute.key.as_str() == EXIT_CODE);
            let code = code.filter(|code| code.value != Value::I64(0)).map(|code| code.value.to_string());
            self.set("error.type", code.unwrap_or_else(|| "_OTHER".to_owned()));
        }
        self.data.status = match failure {
            Some(error) => Status::error(beginning(&error).to_owned()),
            None => Status::Unset,
        };
    }
}

/// As much of an error as is sent.
fn beginning(error: &str) -> &str {
    (0..=MESSAGE.min(error.len())).rev().find_map(|end| error.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stream;

    /// Events of these spans one after another, each a second after the one before; what is sent at the end.
    fn sent(events: &[(u64, Subject, EventKind)]) -> Vec<SpanData> {
        let mut spans = Spans::new("program".to_owned());
        let mut sent = Vec::new();
        for (second, (span, subject, kind)) in (0..).zip(events) {
            let event = Event::example_in(*span, subject.clone(), kind.clone());
            let parent = (*span > 1).then(|| Event::example_in(1, Subject::Session, EventKind::Left).span);
            match spans.follow(&Event { parent, elapsed: Duration::from_secs(second), ..event }) {
                Ended::Nothing => {}
                Ended::Span(span) => sent.push(*span),
                Ended::Session(all) => sent.extend(all),
            }
        }
        sent
    }

    fn service() -> Subject {
        Subject::Service { name: "db".into(), hostname: "x".into() }
    }

    const ENDED: EventKind = EventKind::Closed(Outcome::Succeeded);

    #[test]
    fn states_are_events_of_a_span_and_lines_are_not() {
        let probe = |number: usize| EventKind::ProbeFailed {
            probe: "80/tcp".into(),
            finding: number.to_string().into(),
        };
        let mut events = vec![(1, Subject::Session, EventKind::Opened), (2, service(), EventKind::Opened)];
        let line = EventKind::Output { stream: Stream::Stdout, line: "a line".into() };
        events.extend([line, EventKind::Starting].map(|kind| (2, service(), kind)));
        events.extend((0..EVENTS).map(|number| (2, service(), probe(number))));
        events.push((2, service(), ENDED));
        let sent = sent(&events);
        let [span] = &sent[..] else { panic!("{sent:?}") };
        let names: Vec<_> = span.events.iter().take(3).map(|event| &*event.name).collect();
        assert_eq!(names, ["starting", "probe_failed", "probe_failed"]);
        assert_eq!((span.events.events.len(), span.events.dropped_count), (EVENTS, 1));
        let took = span.end_time.duration_since(span.start_time).unwrap();
        assert_eq!(took, Duration::from_secs(events.len() as u64 - 2));
    }

    #[test]
    fn what_goes_on_when_its_session_ends_is_sent_with_it() {
        let sent = sent(&[
            (1, Subject::Session, EventKind::Opened),
            (2, service(), EventKind::Opened),
            (1, Subject::Session, ENDED),
        ]);
        let names: Vec<_> = sent.iter().map(|span| (&*span.name, span.start_time < span.end_time)).collect();
        assert_eq!(names, [("db", true), ("program", true)]);
        assert_eq!(sent[0].parent_span_id, sent[1].span_context.span_id());
    }

    #[test]
    fn a_session_has_failed_if_what_was_awaited_has() {
        let request = || Subject::Request { name: "container `a`".into() };
        let of = |outcome| {
            let sent = sent(&[
                (1, Subject::Session, EventKind::Opened),
                (2, request(), EventKind::Opened),
                (2, request(), EventKind::Closed(outcome)),
                (1, Subject::Session, ENDED),
            ]);
            sent.into_iter().map(|span| span.status).collect::<Vec<_>>()
        };
        assert_eq!(of(Outcome::Cancelled), [Status::Unset, Status::Unset]);
        assert_eq!(of(Outcome::Failed { error: "why".into() }), [Status::error("why"), Status::error("why")]);
    }

    #[test]
    fn of_a_long_error_the_beginning_is_sent() {
        assert_eq!(beginning("short"), "short");
        let long = format!("{}\u{e4}{}", "a".repeat(MESSAGE - 1), "b".repeat(10));
        assert_eq!(beginning(&long), "a".repeat(MESSAGE - 1));
    }
}
