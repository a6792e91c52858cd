//! The trace that a session's spans belong to. A pipeline may be a part of a trace, which its environment says; and what
//! its containers run may be parts of the pipeline.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::SpanId;
use crate::model::{TRACEPARENT, TRACESTATE, TraceContext};
use crate::sha256::Sha256;

static GIVEN: OnceLock<Option<TraceContext>> = OnceLock::new();
static IS_EXPORTED: AtomicBool = AtomicBool::new(false);

/// The span that all sessions of this process are parts of, if its environment names one.
pub(crate) fn given() -> Option<&'static TraceContext> {
    let read = || {
        let variable = |name| std::env::var(name).ok();
        TraceContext::parse(&variable(TRACEPARENT)?, variable(TRACESTATE).as_deref())
    };
    GIVEN.get_or_init(read).as_ref()
}

/// From now on spans are exported, and others may refer to them.
#[cfg(feature = "otel")]
pub(crate) fn export() {
    IS_EXPORTED.store(true, Ordering::Relaxed);
}

/// Whether spans are recorded, which whoever began the trace decides.
pub(crate) fn is_sampled() -> bool {
    given().is_none_or(TraceContext::is_sampled)
}

/// A span as others know it.
pub(crate) fn of(session: &str, span: SpanId) -> TraceContext {
    // No two sessions have one name, on any machine, so no two spans have one hash.
    let span = start(Sha256::digest(format!("span {session} {span}")));
    match given() {
        Some(given) => given.with_span(span),
        None => TraceContext::root(start(Sha256::digest(format!("trace {session}"))), span),
    }
}

/// The span that whatever runs in this one is a part of. Where spans are not exported that is the given one, as nobody
/// would find another.
pub(super) fn around(session: &str, span: SpanId) -> Option<TraceContext> {
    let is_recorded = IS_EXPORTED.load(Ordering::Relaxed) && is_sampled();
    if is_recorded { Some(of(session, span)) } else { given().cloned() }
}

fn start<const N: usize>(hash: [u8; 32]) -> [u8; N] {
    std::array::from_fn(|place| hash.get(place).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventKind, Subject};

    #[test]
    fn spans_of_a_session_are_of_one_trace_and_each_its_own() {
        let span = |number| Event::example_in(number, Subject::Session, EventKind::Opened).span;
        let of = |session, number| TraceContext { state: None, ..of(session, span(number)) };
        let one = of("a", 1);
        assert_eq!((one.trace == of("a", 2).trace, one.span == of("a", 2).span), (true, false));
        // Unless this test is a part of a trace itself.
        let is_one_trace = given().is_some();
        assert_eq!((one.trace == of("b", 1).trace, one.span == of("b", 1).span), (is_one_trace, false));
        assert_eq!(one, of("a", 1));
    }
}
