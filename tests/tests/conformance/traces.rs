//! Spans of a pipeline, as others see them: who receives them, and what runs in them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use bowline_tests::nonce;
use bowline_tests::receiver::{Receiver, Receives};
use serde_json::Value;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const STATE: &str = "rojo=00f067aa0ba902b7";

fn parent(trace: &str) -> String {
    format!("00-{trace}-{SPAN}-01")
}

/// Runs the program with nothing in its environment that says how to trace but this.
fn run(mode: &str, nonce: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_traces"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("OTEL_") || name.starts_with("TRACE") {
            command.env_remove(&*name);
        }
    }
    command.arg(mode).env("NONCE", nonce).env("BOWLINE_PROGRESS", "quiet");
    command.envs(variables.iter().copied()).output().unwrap()
}

/// What it prints, by the name before the colon.
fn said(output: &Output) -> BTreeMap<String, String> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let lines = stdout.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, said)| (name.to_owned(), said.trim().to_owned())).collect()
}

fn export(receiver: &Receiver) -> [(&'static str, String); 2] {
    [("EXPORT", "1".to_owned()), ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url())]
}

fn exported(mode: &str, receiver: &Receiver, besides: &[(&str, &str)]) -> Output {
    let export = export(receiver);
    let variables: Vec<_> =
        export.iter().map(|(name, value)| (*name, &**value)).chain(besides.iter().copied()).collect();
    run(mode, &nonce(), &variables)
}

/// The attribute of a span, or of an event.
fn attribute<'a>(of: &'a Value, key: &str) -> Option<&'a Value> {
    let found = of["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    found["value"].as_object()?.values().next()
}

fn find<'a>(spans: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it = |span: &&Value| span["name"] == name && attribute(span, "bowline.kind").unwrap() == kind;
    spans.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name} in {spans:#?}"))
}

/// As a process in it finds it.
fn variables(span: &Value, state: Option<&str>) -> String {
    let parent = format!("00-{}-{}-01", span["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap());
    let state = state.map(|state| format!(" TRACESTATE={state}")).unwrap_or_default();
    format!("TRACEPARENT={parent}{state}")
}

#[test]
fn a_step_in_another_trace_is_the_same_step() {
    let nonce = nonce();
    let in_trace =
        |trace: &str| run("says", &nonce, &[("TRACEPARENT", &parent(trace)), ("TRACESTATE", STATE)]);
    let first = said(&in_trace(TRACE));
    // Nobody exports spans: everything is a part of the span that was given.
    let given = format!("TRACEPARENT={} TRACESTATE={STATE}", parent(TRACE));
    for name in ["step", "service", "service-command"] {
        assert_eq!(first[name], given, "{name}");
    }
    let other = TRACE.replace('a', "b");
    let second = said(&in_trace(&other));
    assert_eq!(second["step"], given, "it is cached");
    assert_eq!(second["service"], given.replace(TRACE, &other));
}

#[test]
fn the_pipelines_own_variable_stays() {
    let said = said(&run("says", &nonce(), &[("TRACEPARENT", &parent(TRACE)), ("TRACESTATE", STATE)]));
    for name in
        ["own", "own-service", "own-service-command", "service-own-command", "own-service-own-command"]
    {
        let found: Vec<_> =
            said[name].split(' ').filter(|variable| variable.starts_with("TRACEPARENT")).collect();
        assert_eq!(found, ["TRACEPARENT=mine"], "{name}");
    }
    assert_eq!(
        (&*said["own"], &*said["own-service"]),
        ("TRACEPARENT=mine", "TRACEPARENT=mine"),
        "without a state"
    );
}

#[test]
fn without_a_trace_nothing_is_said_of_one() {
    let nonce = nonce();
    let said_of = |variables: &[(&str, &str)]| said(&run("says", &nonce, variables));
    let nothing = said_of(&[]);
    assert_eq!(["step", "service", "service-command"].map(|name| &*nothing[name]), ["", "", ""]);
    let malformed = said_of(&[("TRACEPARENT", &parent(TRACE).to_uppercase()), ("TRACESTATE", STATE)]);
    assert_eq!((&*malformed["service"], &*malformed["service-command"]), ("", ""));
    let state = said_of(&[("TRACEPARENT", &parent(TRACE)), ("TRACESTATE", "what is this")]);
    assert_eq!(state["service"], format!("TRACEPARENT={}", parent(TRACE)));
}

#[test]
fn nothing_of_a_trace_is_in_results() {
    let (nonce, directory) = (nonce(), tempfile::tempdir().unwrap());
    let image = directory.path().join("image.tar");
    let variables = [("TRACEPARENT", &*parent(TRACE)), ("IMAGE", image.to_str().unwrap())];
    assert!(said(&run("leaves", &nonce, &variables))["left"].contains(TRACE));
    assert!(!holds(&image, TRACE) && !holds(&image, "TRACEPARENT") && holds(&image, "NONCE"));
    let after = said(&run("leaves", &nonce, &[("AFTER", "1")]));
    assert!(after["left"].contains(TRACE), "it is cached");
    assert_eq!(after["after"], "");
}

/// Whether these bytes are anywhere in a file.
fn holds(file: &Path, text: &str) -> bool {
    let bytes = std::fs::read(file).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_receiver_gets_the_spans_that_processes_find_themselves_in() {
    let receiver = Receiver::start(Receives::Everything);
    let given =
        [("TRACEPARENT", &*parent(TRACE)), ("TRACESTATE", STATE), ("OTEL_SERVICE_NAME", "of the test")];
    let said = said(&exported("says", &receiver, &given));
    let spans = receiver.spans();
    let root = find(&spans, "session", "traces");
    assert_eq!(
        (&root["traceId"], &root["parentSpanId"], &root["traceState"]),
        (&TRACE.into(), &SPAN.into(), &STATE.into())
    );
    for span in &spans {
        assert_eq!(span["traceId"], TRACE);
        assert!(span["parentSpanId"] == root["spanId"] || span == root, "{span:#}");
        let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(
            time("startTimeUnixNano") > 1_500_000_000_000_000_000
                && time("endTimeUnixNano") >= time("startTimeUnixNano")
        );
    }
    assert_eq!(
        spans.iter().filter(|span| span["spanId"] == root["spanId"]).count(),
        1,
        "nothing comes twice"
    );
    assert_eq!(said["step"], variables(find(&spans, "step", "step"), Some(STATE)));
    assert_eq!(said["service"], variables(find(&spans, "service", "service"), Some(STATE)));
    let commands: Vec<_> = spans
        .iter()
        .filter(|span| {
            span["name"] == "`sh` in service `service`" || span["name"] == "`/bin/sh` in service `service`"
        })
        .map(|span| variables(span, Some(STATE)))
        .collect();
    assert!(commands.contains(&said["service-command"]), "{commands:?} {said:?}");
    assert_eq!(said["own"], "TRACEPARENT=mine");
    let resource = &receiver.received()[0].body["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name").unwrap(), "of the test");
}

#[test]
fn what_becomes_of_items_is_in_their_spans() {
    let receiver = Receiver::start(Receives::Everything);
    let variables = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-the-test"),
    ];
    assert!(exported("ends", &receiver, &variables).status.success());
    let spans = receiver.spans();
    let roots: Vec<&Value> =
        spans.iter().filter(|span| attribute(span, "bowline.kind").unwrap() == "session").collect();
    let [first, second] = roots[..] else { panic!("{roots:#?}") };
    assert_ne!(first["traceId"], second["traceId"], "each session is a trace");
    let result = |span| attribute(span, "cicd.pipeline.result").unwrap().as_str().unwrap();
    assert_eq!((result(first), result(second)), ("success", "failure"));
    assert_eq!((&first["status"]["code"], &second["status"]["code"]), (&0.into(), &2.into()));

    let found: Vec<_> = spans
        .iter()
        .filter(|span| span["name"] == "found")
        .map(|span| attribute(span, "bowline.cached").unwrap())
        .collect();
    assert_eq!(found, [false, true]);
    let test = find(&spans, "step", "test");
    assert_eq!(test["status"]["code"], 2);
    let message = test["status"]["message"].as_str().unwrap();
    assert!(message.contains("exit code 3") && message.contains("it goes wrong with ***"), "{message}");
    assert_eq!(attribute(test, "process.exit.code").unwrap(), "3");
    assert_eq!(attribute(test, "error.type").unwrap(), "3");
    assert_eq!(attribute(test, "cicd.pipeline.task.run.result").unwrap(), "failure");
    assert_eq!(attribute(test, "process.command_args").unwrap()["values"][0]["stringValue"], "sh");
    assert!(attribute(test, "code.file.path").unwrap().as_str().unwrap().ends_with("src/bin/traces.rs"));
    let late = find(&spans, "step", "late");
    assert_eq!(attribute(late, "cicd.pipeline.task.run.result").unwrap(), "skip");
    assert!(spans.iter().any(|span| {
        attribute(span, "container.image.name").is_some_and(|name| name.as_str().unwrap().contains("redis:7"))
    }));
    let redis = find(&spans, "service", "redis");
    let events: Vec<_> =
        redis["events"].as_array().unwrap().iter().map(|event| event["name"].as_str().unwrap()).collect();
    // Where there is no daemon, a service may outlive the program.
    let is_end = |event: &&str| matches!(*event, "stopping" | "detached");
    let of_note: Vec<_> = events
        .into_iter()
        .filter(|event| matches!(*event, "starting" | "started" | "ready") || is_end(event))
        .collect();
    assert!(
        of_note.starts_with(&["starting", "started", "ready"]) && of_note.last().is_some_and(is_end),
        "{of_note:?}"
    );

    for received in receiver.received() {
        assert_eq!(
            (&*received.path, &*received.headers["authorization"]),
            ("/v1/traces", "Bearer of-the-test")
        );
        assert_eq!(received.headers["content-type"], "application/json");
        assert!(!received.body.to_string().contains("s3cr3t"), "{}", received.body);
    }
}

#[test]
fn a_trace_that_nobody_records_is_passed_on_and_not_sent() {
    let receiver = Receiver::start(Receives::Everything);
    let unsampled = parent(TRACE).replace("-01", "-00");
    let said = said(&exported("says", &receiver, &[("TRACEPARENT", &unsampled)]));
    assert_eq!(said["step"], format!("TRACEPARENT={unsampled}"));
    assert!(receiver.received().is_empty());
    let off = exported("one", &receiver, &[("OTEL_SDK_DISABLED", "true")]);
    assert!(off.status.success() && receiver.received().is_empty());
}

#[test]
fn a_receiver_that_is_not_there_stops_nobody_and_is_said_once() {
    let lines = |output: &Output| {
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let began = Instant::now();
    // Nobody listens at that port.
    let nowhere = run(
        "one",
        &nonce(),
        &[("EXPORT", "1"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cr3t@127.0.0.1:1")],
    );
    let refused = lines(&nowhere);
    assert!(
        matches!(&refused[..], [line] if line.starts_with("bowline: spans cannot be sent to http://127.0.0.1:1/v1/traces: ") && line.contains("refused")),
        "{refused:?}"
    );
    let denied = lines(&exported("one", &Receiver::start(Receives::Nothing(403)), &[]));
    assert!(matches!(&denied[..], [line] if line.ends_with("it answers 403 Forbidden")), "{denied:?}");
    let silent = lines(&exported("one", &Receiver::start(Receives::Silently), &[]));
    assert!(matches!(&silent[..], [line] if line.ends_with("it does not answer in time")), "{silent:?}");
    let all = began.elapsed();
    assert!(all < Duration::from_secs(30), "{all:?}");
}

#[test]
fn what_cannot_be_asked_for_is_an_error_before_anything_runs() {
    let wrong = run("one", &nonce(), &[("EXPORT", "1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && said.contains("OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`"), "{said}");
}

#[test]
fn a_command_line_sends_spans_where_the_environment_names_a_receiver() {
    let receiver = Receiver::start(Receives::Everything);
    let ci = |endpoint: &str, besides: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commands"));
        command.args(["run", "ping", "-q", "--nonce", &nonce()]).env_remove("TRACEPARENT");
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).envs(besides.iter().copied()).output().unwrap()
    };
    let zipped = ci(&receiver.url(), &[("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")]);
    assert!(zipped.status.success());
    let spans = receiver.spans();
    find(&spans, "session", "commands");
    find(&spans, "step", "ping");
    assert!(receiver.received().iter().all(|received| received.headers["content-encoding"] == "gzip"));
    // What is wrong with it is said, and the pipeline runs.
    let wrong = ci("localhost:4318", &[]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(
        wrong.status.success()
            && said
                .starts_with("bowline: no spans are sent: OTEL_EXPORTER_OTLP_ENDPOINT begins with neither"),
        "{said}"
    );
}
