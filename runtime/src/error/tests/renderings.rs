//! Every error as people see it. A new variant does not compile before it has an example here.

use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::super::excerpt::Most;
use super::super::{ServiceCause, ServiceError, StepCause, StepError, UsedService};
use crate::model::Location;
use crate::{Digest, Error, Exit};

/// Names the variants of a type: a list of the names, and a function that has no wildcard.
macro_rules! kinds {
    ($list:ident, $of:ident($type:ty): $($name:ident = $pattern:pat),* $(,)?) => {
        const $list: &[&str] = &[$(stringify!($name)),*];
        fn $of(value: &$type) -> &'static str {
            match value {
                $($pattern => stringify!($name)),*
            }
        }
    };
}

kinds!(ERRORS, of_error(Error):
    Invalid = Error::Invalid { .. },
    StepFailed = Error::StepFailed(_),
    ServiceStart = Error::ServiceStart(_),
    ServiceNotReady = Error::ServiceNotReady(_),
    ServiceExited = Error::ServiceExited(_),
    NoSuchPath = Error::NoSuchPath { .. },
    ImageNotFound = Error::ImageNotFound { .. },
    PlatformNotFound = Error::PlatformNotFound { .. },
    Unauthorized = Error::Unauthorized { .. },
    EngineUnreachable = Error::EngineUnreachable { .. },
    Engine = Error::Engine { .. },
    Internal = Error::Internal { .. },
    Io = Error::Io { .. },
    PortInUse = Error::PortInUse { .. },
    ServicesOff = Error::ServicesOff { .. },
    Cancelled = Error::Cancelled { .. },
    Other = Error::Other(_),
);

kinds!(STEPS, of_step(StepCause):
    Failed = StepCause::Failed,
    Succeeded = StepCause::Succeeded,
    TimedOut = StepCause::TimedOut(_),
    TooMuchOutput = StepCause::TooMuchOutput(_),
);

kinds!(SERVICES, of_service(ServiceCause):
    Exited = ServiceCause::Exited(_),
    NotReady = ServiceCause::NotReady { .. },
    Dependency = ServiceCause::Dependency(_),
    Check = ServiceCause::Check(_),
);

const PLACE: &str = "src/ci.rs:41:13";

#[track_caller]
fn here() -> Vec<Location> {
    vec![Location::caller()]
}

/// The text of an error whose place is this file, as if it were a pipeline's.
fn shown(error: &impl fmt::Display, locations: &[Location]) -> String {
    locations.iter().fold(error.to_string(), |text, place| text.replace(&place.to_string(), PLACE))
}

fn exit(code: i32) -> Exit {
    Exit { code, out_of_memory: false }
}

fn step(args: &[&str], exit: Exit, cause: StepCause) -> StepError {
    StepError {
        name: "test".to_owned(),
        args: args.iter().map(ToString::to_string).collect(),
        exit,
        cause,
        stdout: "one\ntwo\n".to_owned(),
        stderr: String::new(),
        services: Vec::new(),
        help: Vec::new(),
        left: None,
        key: Some(Digest([0; 32])),
        locations: here(),
    }
}

fn service(cause: ServiceCause, log: &[&str]) -> Box<ServiceError> {
    Box::new(ServiceError {
        name: "db".to_owned(),
        hostname: "rktfm4vhg5ekr0ltb5d6p0pkvg".to_owned(),
        aliases: vec!["cache".to_owned()],
        cause,
        elapsed: Duration::from_millis(1234),
        log: log.iter().map(ToString::to_string).collect(),
        help: Vec::new(),
        locations: here(),
    })
}

fn not_ready() -> ServiceCause {
    let failing =
        vec![("6379/tcp".to_owned(), "connection refused; it listens on 127.0.0.1:6379 only".to_owned())];
    ServiceCause::NotReady { within: Duration::from_secs(60), failing }
}

fn missing() -> std::io::Error {
    std::io::Error::from_raw_os_error(2)
}

/// At least one of every variant.
fn examples() -> Vec<Error> {
    let used = |name: &str, aliases: &[&str], ended: Option<&str>| UsedService {
        name: name.to_owned(),
        hostname: "rktfm4vhg5ekr0ltb5d6p0pkvg".to_owned(),
        aliases: aliases.iter().map(ToString::to_string).collect(),
        ended: ended.map(str::to_owned),
    };
    let script = "set -e\napt-get update\napt-get install --yes curl\n";
    let failed = |args: &[&str], code| step(args, exit(code), StepCause::Failed);
    let killed = Exit { code: 137, out_of_memory: true };
    let (reference, message) = ("example.org/app:1".to_owned(), String::new());
    let locations = here;
    let mut helped = service(not_ready(), &["Ready to accept connections"]);
    helped.help = vec!["`db` listens on 127.0.0.1:6379 only, which no other container reaches".to_owned()];
    let steps = [
        StepError {
            stderr: "Could not connect\n".to_owned(),
            services: vec![
                used("redis", &["cache", "queue"], None),
                used("db", &["db"], Some("exit code 1")),
            ],
            help: vec!["`localhost` is the container of `test` itself".to_owned()],
            ..failed(&["redis-cli", "-h", "localhost", "ping"], 1)
        },
        StepError { key: None, ..failed(&["sh", "-c", script], 127) },
        failed(&["./run.py"], 126),
        StepError { stderr: "sh: exec format error: /app\n".to_owned(), ..failed(&["/app"], 2) },
        step(&["cargo", "test"], killed, StepCause::Failed),
        failed(&["sleep", "60"], 137),
        step(&["grep", "x"], exit(0), StepCause::Succeeded),
        step(&["make"], exit(137), StepCause::TimedOut(Duration::from_secs(90))),
        step(&["yes"], exit(137), StepCause::TooMuchOutput(4 << 30)),
    ];
    let failed = |cause| Error::ServiceStart(service(cause, &["starting", "bad config"]));
    let dependency = service(ServiceCause::Exited(exit(1)), &["no space left"]);
    let mut errors: Vec<Error> = steps.map(|error| Error::StepFailed(Box::new(error))).into();
    errors.extend([
        Error::invalid(Some("ping"), "`ping` binds `db` twice\n\nhelp: take one of them away")
            .at(locations()),
        failed(ServiceCause::Exited(exit(42))),
        failed(ServiceCause::Exited(exit(0))),
        failed(ServiceCause::Exited(killed)),
        failed(ServiceCause::Check(
            "the image's health check `pg_isready` failed 3 times: exit code 2".to_owned(),
        )),
        failed(ServiceCause::Dependency(Error::ServiceStart(dependency))),
        failed(ServiceCause::Dependency(Error::engine("start service db", "no space left on device"))),
        Error::ServiceNotReady(service(not_ready(), &[])),
        Error::ServiceNotReady(helped),
        Error::ServiceExited(service(ServiceCause::Exited(exit(139)), &["starting"])),
        Error::NoSuchPath {
            container: "build".to_owned(),
            path: "/out/app".to_owned(),
            message: "there is no `/out/app`".to_owned(),
            locations: locations(),
        },
        Error::ImageNotFound {
            reference: reference.clone(),
            message: "manifest unknown".to_owned(),
            locations: locations(),
        },
        Error::PlatformNotFound {
            reference: reference.clone(),
            platform: "linux/amd64".to_owned(),
            found: "linux/arm64".to_owned(),
            message,
            locations: locations(),
        },
        Error::Unauthorized {
            doing: "pull",
            reference,
            message: "denied".to_owned(),
            locations: locations(),
        },
        Error::EngineUnreachable { tried: vec!["/var/run/docker.sock: connection refused".to_owned()] },
        Error::engine("start service db", missing()).at(locations()),
        Error::internal("a step did not run"),
        Error::io("./config.toml", missing()).at(locations()),
        Error::io("/root/key", std::io::Error::from_raw_os_error(13)).at(locations()),
        Error::PortInUse {
            address: ([127, 0, 0, 1], 5432).into(),
            holder: Some("process 4711 (postgres)".to_owned()),
            locations: locations(),
        },
        Error::ServicesOff { service: "db".to_owned(), locations: locations() },
        Error::Cancelled { what: "service `db`".to_owned(), reason: "the session closed".to_owned() },
        Error::other(std::io::Error::other("the report is empty")),
    ]);
    errors
}

fn cause(error: &Error) -> Option<&ServiceError> {
    match error {
        Error::ServiceStart(error) | Error::ServiceNotReady(error) | Error::ServiceExited(error) => {
            Some(error)
        }
        _ => None,
    }
}

#[test]
fn every_error_is_shown_with_what_where_why_and_what_to_do() {
    let examples = examples();
    let steps = |error: &Error| match error {
        Error::StepFailed(error) => Some(of_step(&error.cause)),
        _ => None,
    };
    for (kinds, found) in [
        (ERRORS, examples.iter().map(of_error).collect::<Vec<_>>()),
        (STEPS, examples.iter().filter_map(steps).collect()),
        (SERVICES, examples.iter().filter_map(|error| Some(of_service(&cause(error)?.cause))).collect()),
    ] {
        for kind in kinds {
            assert!(found.contains(kind), "{kind} has no example");
        }
    }
    let mut text = String::new();
    for error in &examples {
        let rendering = shown(error, &all_locations(error));
        let is_located = rendering.contains(&format!("\n  --> {PLACE}"));
        assert_eq!(is_located, !error.locations().is_empty() || has_located_cause(error), "{rendering}");
        let _ = writeln!(text, "---- {}\n{rendering}\n", of_error(error));
    }
    insta::assert_snapshot!(text);
}

fn all_locations(error: &Error) -> Vec<Location> {
    let inner = match cause(error).map(|error| &error.cause) {
        Some(ServiceCause::Dependency(error)) => all_locations(error),
        _ => Vec::new(),
    };
    error.locations().iter().copied().chain(inner).collect()
}

fn has_located_cause(error: &Error) -> bool {
    matches!(cause(error).map(|error| &error.cause), Some(ServiceCause::Dependency(error)) if !error.locations().is_empty())
}

#[test]
fn every_error_but_those_that_explain_themselves_has_help() {
    // A mistake has the help of whoever found it, and an error of the program is the program's. What an engine or a
    // service says is all that is known of it, unless it is one of the known traps.
    let may_have_none = |error: &Error| {
        matches!(error, Error::Invalid { .. } | Error::Other(_) | Error::Engine { .. })
            || cause(error).is_some_and(|error| {
                matches!(error.cause, ServiceCause::Exited(exit) if exit.code != 0 && !exit.out_of_memory)
                    || matches!(error.cause, ServiceCause::Dependency(_))
            })
    };
    for error in examples() {
        assert!(may_have_none(&error) || error.to_string().contains("\nhelp: "), "{error}");
    }
}

#[test]
fn causes_are_kept() {
    for error in examples() {
        let has_cause = match &error {
            Error::Io { .. } | Error::Engine { .. } => true,
            Error::ServiceStart(error) => matches!(error.cause, ServiceCause::Dependency(_)),
            _ => false,
        };
        assert_eq!(error.source().is_some(), has_cause, "{error}");
    }
}

struct Cut<'a, T>(&'a T, Most);

impl fmt::Display for Cut<'_, StepError> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, self.1)
    }
}

impl fmt::Display for Cut<'_, ServiceError> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, self.1)
    }
}

#[test]
fn an_error_shows_the_last_lines_and_keeps_all() {
    let lines: Vec<String> = (1..=100).map(|line| format!("line {line}")).collect();
    let failed = step(&["x"], exit(1), StepCause::Failed);
    let error = StepError { stdout: lines.join("\n"), stderr: "short\n".to_owned(), ..failed };
    let last = Cut(&error, Most::Lines(40)).to_string();
    assert!(
        last.contains("\nstdout (the last 40 of 100 lines;") && last.contains("\nstderr:\nshort"),
        "{last}"
    );
    assert!(last.contains("\nline 61\n") && !last.contains("\nline 60\n"), "{last}");
    let all = Cut(&error, Most::All).to_string();
    assert!(all.contains("\nstdout:\nline 1\nline 2\n") && all.contains("\nline 100\n"), "{all}");
    let none = Cut(&error, Most::Lines(0)).to_string();
    assert!(none.contains("stdout: 100 lines, not shown") && !none.contains("line 100"), "{none}");

    let mut service = service(ServiceCause::Exited(exit(1)), &[]);
    service.log = lines;
    let last = Cut(&*service, Most::Lines(2)).to_string();
    assert!(
        last.contains("(the last 2 of 100 lines;") && last.ends_with(":\n  line 99\n  line 100"),
        "{last}"
    );
    assert_eq!(service.log.len(), 100);
}

/// What a container writes cannot pretend to be a line of the error's own, nor command a terminal.
#[test]
fn text_from_outside_is_shown_and_not_obeyed() {
    let mut error = step(&["\x1b[2Jx"], exit(1), StepCause::Failed);
    error.stderr = "\x1b]0;title\x07a\x1b[1A\n".to_owned();
    error.help = vec!["\x1b[31mred".to_owned()];
    error.services = vec![UsedService {
        name: "db".to_owned(),
        hostname: "h".to_owned(),
        aliases: Vec::new(),
        ended: Some("\x1b[8mhidden".to_owned()),
    }];
    let text = Cut(&error, Most::All).to_string();
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
    assert!(
        text.contains("\nstderr:\na\n") && text.contains("ended: hidden") && text.ends_with("help: red"),
        "{text}"
    );
}
