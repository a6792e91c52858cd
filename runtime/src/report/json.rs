//! Every event as one line of JSON: `BOWLINE_PROGRESS=json`.

use super::held;
use crate::event::{DirectObserver, Event};

#[derive(Debug)]
pub(super) struct Json;

impl DirectObserver for Json {
    fn on_event(&self, event: &Event) {
        // Strings and numbers can always be written as JSON.
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        line.push(b'\n');
        // One write a line, so that lines of several processes never mix; nobody who reads is no reason to fail.
        held::show(&line);
    }
}
