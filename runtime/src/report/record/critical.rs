//! The critical path: what would have to be faster for the run to be.

use std::collections::{HashMap, HashSet};

use super::{Outcome, Recorded};

/// The spans on it, in the order of time. It ends with the step that ended last; before each comes what that one waited
/// for longest.
pub(super) fn path(spans: &[Recorded]) -> Vec<u64> {
    let by_id: HashMap<u64, &Recorded> = spans.iter().map(|span| (span.id, span)).collect();
    // A service goes on as long as somebody needs it, and what was skipped did nothing.
    let is_work = |span: &&Recorded| {
        span.subject != "service" && matches!(span.outcome, Some(Outcome::Succeeded | Outcome::Failed))
    };
    let last = spans.iter().filter(is_work).max_by(|a, b| end(a).total_cmp(&end(b)));
    let mut path = Vec::new();
    let mut seen = HashSet::new();
    let mut next = last;
    while let Some(span) = next {
        if !seen.insert(span.id) {
            break;
        }
        path.push(span.id);
        let waits = span.waits.iter().filter_map(|id| by_id.get(id).copied());
        next = waits.max_by(|a, b| end(a).total_cmp(&end(b)));
    }
    path.reverse();
    path
}

/// When others could use it.
fn end(span: &Recorded) -> f64 {
    span.ready_at.or(span.to).unwrap_or(span.from)
}
