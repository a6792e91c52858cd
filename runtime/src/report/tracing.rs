//! What happens, as spans and events of the `tracing` crate, in whatever subscriber the program has.

use std::collections::HashMap;
use std::sync::Mutex;

use tracing::field::Empty;
use tracing::{Span, debug, error, info, info_span, warn};

use super::{log, words};
use crate::event::{Event, EventKind, Observer, ObserverHandle, Outcome, SpanId, Subject};
use crate::lock::lock;
use crate::{Error, Result};

/// Emits what happens in this process's sessions, from now on, as spans and events of [`tracing`](::tracing), in the
/// program's own subscriber: the global one, as events are handled on a thread of their own. `RUST_LOG` and whatever else
/// filters apply as the program has set them up; nothing is emitted where there is no subscriber. Needs the feature
/// `tracing`.
///
/// Everything that goes on is a span `bowline` with the target `bowline`. Its fields are those of OpenTelemetry's semantic
/// conventions, where there are such:
///
/// | field | |
/// | --- | --- |
/// | `otel.name` | the name: of the item, the image or the directory |
/// | `otel.status_code`, `otel.status_description` | `OK` or `ERROR`, and what went wrong |
/// | `bowline.kind` | `session`, `request`, `image`, `source`, `step`, `preparation` or `service` |
/// | `bowline.cached` | whether the result existed |
/// | `cicd.pipeline.task.name`, `cicd.pipeline.task.run.id` | of a step: the item's name, and the step's digest |
/// | `cicd.pipeline.task.run.result` | `success`, `failure`, `skip` or `cancellation` |
/// | `container.image.name` | of an image: its reference |
/// | `code.file.path`, `code.line.number` | where it is written |
///
/// In it, lines of output are events of the level DEBUG, states INFO, warnings WARN, and failures ERROR.
///
/// ```no_run
/// # fn set_up_a_subscriber() {}
/// # async fn example() -> bowline::Result<()> {
/// set_up_a_subscriber(); // as any program has it
/// bowline::trace()?;
/// bowline::Container::from_image("debian:12").exec(["make"]).sync().await
/// # }
/// ```
///
/// # Errors
/// [`Error::Engine`] when the observer's thread cannot be started.
pub fn trace() -> Result<ObserverHandle> {
    let observed = crate::event::observe(Tracer::default());
    observed.map_err(|error| Error::engine("start an observer's thread", error))
}

/// The spans that are open.
#[derive(Debug, Default)]
struct Tracer {
    open: Mutex<HashMap<SpanId, Span>>,
}

impl Observer for Tracer {
    fn on_event(&self, event: &Event) {
        let mut open = lock(&self.open);
        if event.kind == EventKind::Opened {
            let parent = event.parent.and_then(|parent| open.get(&parent)).and_then(Span::id);
            open.insert(event.span, opened(event, parent));
            return;
        }
        let Some(span) = open.get(&event.span) else { return };
        if let EventKind::Closed(outcome) = &event.kind {
            close(span, outcome);
            open.remove(&event.span);
            return;
        }
        tell(span, event);
    }
}

fn opened(event: &Event, parent: Option<tracing::Id>) -> Span {
    let span = info_span!(
        target: "bowline",
        parent: parent,
        "bowline",
        otel.name = event.subject.name(),
        otel.status_code = Empty,
        otel.status_description = Empty,
        bowline.kind = event.subject.word(),
        bowline.cached = Empty,
        bowline.session = &*event.session,
        cicd.pipeline.task.name = Empty,
        cicd.pipeline.task.run.id = Empty,
        cicd.pipeline.task.run.result = Empty,
        container.image.name = Empty,
        code.file.path = Empty,
        code.line.number = Empty,
    );
    match &event.subject {
        Subject::Step { name, digest } => {
            span.record("cicd.pipeline.task.name", &**name);
            span.record("cicd.pipeline.task.run.id", tracing::field::display(digest));
        }
        Subject::Image { name } => {
            span.record("container.image.name", &**name);
        }
        _ => {}
    }
    if let Some(place) = event.locations.first() {
        span.record("code.file.path", place.file());
        span.record("code.line.number", place.line());
    }
    span
}

fn close(span: &Span, outcome: &Outcome) {
    let (status, error) = match outcome {
        Outcome::Succeeded | Outcome::Cancelled => ("OK", None),
        Outcome::Failed { error } | Outcome::Skipped { error } => ("ERROR", Some(error)),
    };
    span.record("otel.status_code", status);
    span.record("cicd.pipeline.task.run.result", words::result(outcome));
    if let Some(error) = error {
        span.record("otel.status_description", &**error);
        if matches!(outcome, Outcome::Failed { .. }) {
            error!(target: "bowline", parent: span, "{error}");
        }
    }
}

fn tell(span: &Span, event: &Event) {
    match &event.kind {
        EventKind::Cached => {
            span.record("bowline.cached", true);
        }
        EventKind::Output { stream, line } => {
            debug!(target: "bowline", parent: span, stream = stream.word(), "{line}");
        }
        EventKind::OutputDropped { lines } => {
            warn!(target: "bowline", parent: span, "{lines} lines are missing here");
        }
        EventKind::Warning { message } => warn!(target: "bowline", parent: span, "{message}"),
        EventKind::NotStored { error } => {
            warn!(target: "bowline", parent: span, "the result could not be kept: {error}");
        }
        EventKind::Failed { error } => error!(target: "bowline", parent: span, "{error}"),
        _ => {
            if let Some(text) = log::text(event) {
                info!(target: "bowline", parent: span, "{text}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::event::Stream;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_subscriber_gets_spans_within_each_other_and_what_happens_in_them() {
        let written = Written::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
            .with_writer(written.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let tracer = Tracer::default();
            let step = Subject::Step { name: "test".into(), digest: crate::Digest([1; 32]) };
            let emit = |span, parent: Option<u64>, subject: &Subject, kind| {
                let event = Event::example_in(span, subject.clone(), kind);
                let parent =
                    parent.map(|parent| Event::example_in(parent, Subject::Session, EventKind::Left).span);
                tracer.on_event(&Event { parent, ..event });
            };
            emit(1, None, &Subject::Session, EventKind::Opened);
            emit(2, Some(1), &step, EventKind::Opened);
            emit(2, Some(1), &step, EventKind::Output { stream: Stream::Stderr, line: "a line".into() });
            let failed = Outcome::Failed { error: "exit code 1".into() };
            emit(2, Some(1), &step, EventKind::Closed(failed));
            emit(1, None, &Subject::Session, EventKind::Closed(Outcome::Succeeded));
            assert!(lock(&tracer.open).is_empty());
        });
        let text = String::from_utf8(lock(&written.0).clone()).unwrap();
        insta::assert_snapshot!(text.replace(&"01".repeat(32), "DIGEST"));
    }
}
