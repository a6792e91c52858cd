//! The page of an HTML report, in a real browser: what it shows, how it is driven, and how fast it is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use bowline_tests::has_program;
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../runtime/src/report/html/page.html");
/// A run of 17 spans with everything that there may be in one.
const RUN: &str = include_str!("run.json");
/// Keeps a page loading until something is done: the browser writes the DOM of a page that has loaded.
const HOLD: &str = include_str!("hold.js");
const PERSON: &str = include_str!("person.js");

/// Pages in a directory of their own.
struct Pages(tempfile::TempDir);

impl Pages {
    /// `None` where there is no browser.
    fn new() -> Option<Self> {
        has_program("chromium").then(|| Self(tempfile::tempdir().unwrap()))
    }

    /// Writes a page with these data and these scripts.
    fn write(&self, run: &Value, scripts: &[&str]) -> PathBuf {
        let path = self.0.path().join("run.html");
        let data = run.to_string().replace('<', "\\u003c");
        let mut page = PAGE.replacen("/*BOWLINE_RUN*/", &data, 1);
        for script in scripts {
            page.extend(["<script>\n", script, "\n</script>"]);
        }
        std::fs::write(&path, page).unwrap();
        path
    }
}

/// What the browser shows of a page: the attributes of the document, and the body without the data and the script.
fn shown(page: &Path, hash: &str) -> String {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--window-size=1400,900", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("file://{}{hash}", page.display()))
        .output()
        .unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!log.contains("CONSOLE"), "{hash}: {log}");
    let html = dom.split_once("<html").and_then(|(_, rest)| rest.split_once('>')).unwrap().0;
    let body = dom
        .split_once("<body")
        .and_then(|(_, rest)| rest.split_once("<script type=\"application/json\""))
        .unwrap()
        .0;
    assert!(html.contains("data-errors=\"0\""), "{hash}: {html}");
    format!("{html}\n{body}")
}

fn attribute(shown: &str, name: &str) -> f64 {
    let value =
        shown.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
    value.parse().unwrap()
}

/// A part of the address, what is in the page and how often, and what is not.
type View = (&'static str, &'static [(&'static str, usize)], &'static [&'static str]);

#[test]
fn a_view_is_what_its_address_says() {
    let Some(pages) = Pages::new() else { return };
    let page = pages.write(&serde_json::from_str(RUN).unwrap(), &[]);
    let views: &[View] = &[
        (
            "",
            &[
                ("data-spans=\"17\"", 1),
                ("data-rows=\"21\"", 1),
                ("data-critical-spans=\"5\" data-critical-time=\"12.140\"", 1),
                ("class=\"row\"", 17),
                ("class=\"row section\"", 4),
                ("class=\"crit\"", 5),
                ("data-failed=\"16\"", 1),
                ("data-outcome=\"failed\"", 1),
                ("data-result=\"cached\"", 4),
                ("class=\"mark failing\"", 1),
            ],
            &[],
        ),
        ("#critical=0", &[("data-critical=\"0\"", 1)], &["class=\"crit\""]),
        ("#q=assert", &[("data-hits=\"1\" ", 1), ("class=\"row\"", 1), (">1 hit of 17<", 1)], &[]),
        ("#q=is:cached", &[("data-hits=\"4\" ", 1)], &[]),
        ("#q=nothing-has-this", &[("data-hits=\"0\" ", 1), ("id=\"none\">Nothing contains", 1)], &[]),
        (
            "#s=16",
            &[
                ("data-selected=\"16\"", 1),
                ("data-field=\"error\"", 1),
                ("data-field=\"why\"", 1),
                ("id=\"output\" data-lines=\"25\"", 1),
                ("data-role=\"before\"", 3),
                ("data-role=\"after\"", 1),
                ("src/ci.rs:61:13</code>", 1),
            ],
            &["\u{1b}"],
        ),
        ("#s=16&q=assert", &[("data-stream=\"o\" class=\"hit\"", 1)], &[]),
        ("#s=11", &[("data-left-out=\"120\"", 1), ("data-field=\"path\">3 of 5", 1)], &[]),
        ("#v=10,13&theme=dark", &[("data-theme=\"dark\"", 1), ("id=\"window\" style=\"left: 7", 1)], &[]),
    ];
    for (hash, there, not_there) in views {
        let shown = shown(&page, hash);
        for (text, count) in *there {
            assert_eq!(shown.matches(text).count(), *count, "{hash}: {text} in {shown}");
        }
        for text in *not_there {
            assert!(!shown.contains(text), "{hash}: {text:?} in {shown}");
        }
    }
}

#[test]
fn keys_and_a_mouse_do_what_a_person_expects() {
    let Some(pages) = Pages::new() else { return };
    let hold = format!("{HOLD}\nholdUntil(() => document.documentElement.dataset.outcomes !== undefined);");
    let page = pages.write(&serde_json::from_str(RUN).unwrap(), &[&hold, PERSON]);
    let shown = shown(&page, "");
    let outcomes =
        shown.split_once(" data-outcomes=\"").and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
    let outcomes: Vec<&str> = outcomes.split('|').collect();
    assert!(outcomes.iter().all(|outcome| outcome.starts_with("ok ")), "{outcomes:#?}");
    assert!(outcomes.len() > 40, "{outcomes:?}");
}

fn span(id: usize, name: &str, from: f64, to: f64) -> Value {
    json!({
        "id": id, "subject": "step", "name": name, "from": from, "to": to, "outcome": "succeeded", "result": "done",
        "command": "make check", "phases": [{"phase": "running", "from": from, "to": to}],
    })
}

fn run(spans: &[Value]) -> Value {
    json!({
        "v": 1, "program": "ci", "started": 1_764_500_000.25, "duration": 60.0, "engines": ["native 0.1.0 on linux/amd64"],
        "critical": [1], "left_out": 0, "spans": spans,
        "counts": {"done": spans.len(), "cached": 0, "failed": 0, "skipped": 0, "services": 0},
    })
}

#[test]
fn what_containers_and_names_say_is_text_and_nothing_else() {
    let Some(pages) = Pages::new() else { return };
    let evil = "</script><script>throw 1</script><img src=x onerror=throw(1)>\u{202e}\u{1b}]0;title\u{7}<!--";
    let mut hostile = span(1, evil, 0.0, 1.0);
    for field in ["command", "error", "why", "hostname", "digest"] {
        hostile[field] = json!(evil);
    }
    hostile["output"] =
        json!([["o", evil], ["e", "x".repeat(10_000)], ["?", "\u{1b}[31mred\u{1b}[0m \u{1b}[2J"]]);
    hostile["locations"] = json!([evil]);
    let unnamed = json!({"id": 2, "subject": "?", "name": "", "from": 5.0, "phases": [], "waits": [1, 99], "parent": 77});
    let page = pages.write(&run(&[hostile, unnamed]), &[]);
    for hash in ["#s=1", "#s=2", &format!("#q={}", "%3Cimg")] {
        let shown = shown(&page, hash);
        assert!(
            !shown.contains("<img") && !shown.contains("<script") && !shown.contains('\u{202e}'),
            "{shown}"
        );
    }
    let nothing = pages.write(&run(&[]), &[]);
    assert!(shown(&nothing, "").contains("id=\"none\">Nothing ran."));
}

#[test]
fn five_thousand_steps_are_there_within_two_seconds() {
    let Some(pages) = Pages::new() else { return };
    let spans: Vec<Value> = (0..5000_u32)
        .map(|number| {
            let from = f64::from(number % 500) / 10.0;
            let mut span = span(number as usize + 1, &format!("shard-{number}"), from, from + 5.0);
            span["output"] =
                (0..20).map(|line| json!(["o", format!("line {line} of shard {number}")])).collect();
            span
        })
        .collect();
    let hold = format!("{HOLD}\nholdUntil(() => document.documentElement.dataset.ready !== undefined);");
    let page = pages.write(&run(&spans), &[&hold]);
    let shown = shown(&page, "");
    assert!(shown.contains("data-spans=\"5000\""), "{shown}");
    // Only what is seen is in the document.
    assert!(shown.matches("class=\"row").count() < 80);
    assert!(
        attribute(&shown, "data-ready") < 2000.0,
        "{} ms to the first paint",
        attribute(&shown, "data-ready")
    );
}
