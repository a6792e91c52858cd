//! A run as a Chrome trace, which Perfetto (<https://ui.perfetto.dev>) and `chrome://tracing` open: the "Trace Event
//! Format", with a pair of begin and end for everything and for each of its phases.

use serde_json::{Value, json};

use super::record::{Recorded, Run};

/// What runs, and what is there for it: processes in the trace.
const STEPS: u32 = 1;
const SERVICES: u32 = 2;

pub(super) fn trace(run: &Run) -> Value {
    let mut events = vec![
        json!({"ph": "M", "name": "process_name", "pid": STEPS, "tid": 0, "args": {"name": run.program}}),
        json!({"ph": "M", "name": "process_name", "pid": SERVICES, "tid": 0, "args": {"name": "services"}}),
    ];
    let mut lanes: [Vec<f64>; 2] = Default::default();
    for span in &run.spans {
        let to = span.to.unwrap_or(run.duration);
        let pid = if span.subject == "service" { SERVICES } else { STEPS };
        let Some(lanes) = lanes.get_mut(pid as usize - 1) else { continue };
        // The first lane that is free again: what overlaps cannot be nested.
        let lane = lanes.iter().position(|until| *until <= span.from).unwrap_or(lanes.len());
        match lanes.get_mut(lane) {
            Some(until) => *until = to,
            None => lanes.push(to),
        }
        let begin = |name: &str, at: f64, args: Value| json!({"ph": "B", "name": name, "cat": span.subject, "pid": pid, "tid": lane + 1, "ts": micros(at), "args": args});
        let end = |at: f64| json!({"ph": "E", "pid": pid, "tid": lane + 1, "ts": micros(at)});
        events.push(begin(&span.name, span.from, arguments(span)));
        for phase in &span.phases {
            let what = phase.what.as_ref().map_or(json!({}), |what| json!({"for": what}));
            events.push(begin(phase.name, phase.from, what));
            events.push(end(phase.to));
        }
        events.push(end(to));
    }
    json!({"displayTimeUnit": "ms", "traceEvents": events})
}

fn arguments(span: &Recorded) -> Value {
    let mut args = json!({"result": span.result});
    if let Value::Object(args) = &mut args {
        let places: Vec<String> = span.locations.iter().map(ToString::to_string).collect();
        args.extend(span.command.as_ref().map(|command| ("command".to_owned(), json!(command))));
        args.extend((!places.is_empty()).then(|| ("locations".to_owned(), json!(places))));
        args.extend(span.exit_code.map(|code| ("exit_code".to_owned(), json!(code))));
        args.extend(span.error.as_ref().map(|error| ("error".to_owned(), json!(error))));
    }
    args
}

/// The unit of the format.
fn micros(seconds: f64) -> f64 {
    (seconds * 1e6).round()
}
