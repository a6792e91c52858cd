//! What is left of a run to be read: each form by a reader that knows nothing of bowline.

use std::path::Path;
use std::process::{Command, Stdio};

use bowline_tests::{has_program, nonce};

/// Runs the program with these reports; the run has everything that may become of an item.
fn run(reports: &[(&str, &Path)]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shows"));
    command.arg("ends").env("NONCE", nonce()).env("BOWLINE_PROGRESS", "quiet").stdout(Stdio::null());
    let output = command.envs(reports.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a Python program says of a file.
fn python(program: &str, file: &Path) -> String {
    let output = Command::new("python3").args(["-c", program]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn junit_and_traces_are_read_by_others() {
    if !has_program("python3") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (junit, trace) = (directory.path().join("new/junit.xml"), directory.path().join("trace.json"));
    run(&[("REPORT_JUNIT", &junit), ("REPORT_TRACE", &trace)]);
    let cases = python(
        "import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
for suite in root:
    cases = suite.findall('testcase')
    assert int(suite.get('tests')) == len(cases)
    for case in cases:
        kinds = [child.tag for child in case if child.tag in ('failure', 'skipped', 'error')]
        cached = case.find('properties/property[@name=\"bowline.cached\"]') is not None
        print(suite.get('name'), kinds or 'passed', 'cached' if cached else '')
assert float(root.get('time')) > 0 and int(root.get('failures')) == 1",
        &junit,
    );
    let mut cases: Vec<&str> = cases.lines().map(str::trim_end).collect();
    cases.sort_unstable();
    let expected =
        ["found passed", "found passed cached", "late ['skipped']", "ping passed", "test ['failure']"];
    assert_eq!(cases, expected);

    let names = python(
        "import sys, json, collections
events = json.load(open(sys.argv[1]))['traceEvents']
lanes = collections.defaultdict(list)
last = {}
for event in sorted((e for e in events if e['ph'] != 'M'), key=lambda e: 0):
    lane = (event['pid'], event['tid'])
    assert event['ts'] >= last.get(lane, 0), event
    last[lane] = event['ts']
    if event['ph'] == 'B':
        lanes[lane].append(event['name'])
        if len(lanes[lane]) == 1: print(event['name'], event['args'].get('result'))
    else:
        assert event['ph'] == 'E'
        lanes[lane].pop()
assert not any(lanes.values()), lanes",
        &trace,
    );
    for line in ["found cached", "ping done", "test failed", "redis ready", "late skipped"] {
        assert!(names.lines().any(|name| name == line), "{line} is not in {names}");
    }
}

#[test]
fn events_are_lines_of_json() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.jsonl");
    run(&[("REPORT_EVENTS", &file)]);
    let text = std::fs::read_to_string(&file).unwrap();
    let events: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "finished" && event["name"] == "test"));
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["subject"]), (&"closed".into(), &"session".into()), "{last}");
}

#[test]
fn a_report_that_cannot_be_written_is_said_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for variable in ["REPORT_HTML", "REPORT_JUNIT", "REPORT_TRACE", "REPORT_EVENTS"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shows"));
        let output = command.arg("ends").env(variable, file.join("report")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("/file/report: "), "{said}");
        assert!(output.stdout.is_empty() && !said.contains("found"), "nothing ran: {said}");
    }
}
