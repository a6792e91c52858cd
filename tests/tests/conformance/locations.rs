//! Errors say where in the user's source it was written what failed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bowline::Location;
use bowline::event::{Event, Subject};
use bowline::prelude::*;
use bowline_tests::nonce;

/// The lines of this file, in order.
fn lines(locations: &[Location]) -> Vec<u32> {
    assert!(locations.iter().all(|location| location.file() == file!()), "{locations:?}");
    locations.iter().map(Location::line).collect()
}

#[bowline::test]
async fn a_failed_step_is_where_its_statement_is() {
    let first = line!();
    let p = pipeline! {
        container failing {
            image "busybox:1.35";
            env NONCE = nonce();
            exec ["true"];
            exec ["sh", "-c",
                  "echo oops >&2; exit 3"];
        }
    };
    let error = p.failing.sync().await.unwrap_err();
    let Error::StepFailed(step) = &error else { panic!("{error}") };
    assert_eq!(lines(step.locations()), [first + 6]);
    assert_eq!((error.locations(), step.locations()[0].column()), (step.locations(), 13));
    let text = format!(
        "step `sh -c 'echo oops >&2; exit 3'` of `failing` failed: exit code 3\n  --> {}:{}:13\nstderr:\noops",
        file!(),
        first + 6
    );
    assert_eq!(error.to_string(), text);
    // What it left is a container that is written there, too.
    let wrong = error.container().unwrap().file("/none").bytes().await.unwrap_err();
    assert_eq!(lines(wrong.locations()), [line!() - 1]);
}

#[bowline::test]
async fn a_step_that_failed_once_for_two_is_told_to_each_with_where_it_is() {
    let failing = || Container::from_image("busybox:1.35").env("NONCE", "twice");
    let first = failing().exec(Exec::new(["false"]).uncached());
    let second = failing().exec(Exec::new(["false"]).uncached());
    let (first, second) = tokio::join!(first.sync(), second.sync());
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    let [first, second] = [lines(first.locations()), lines(second.locations())];
    // Whoever ran it is told of itself, and the other one of both.
    let (one, other) = (line!() - 6, line!() - 5);
    assert!(first.contains(&one) && second.contains(&other), "{first:?} {second:?}");
    assert_eq!(first.len() + second.len(), 3, "{first:?} {second:?}");
}

#[bowline::test]
async fn an_image_that_is_not_there_is_where_it_is_named() {
    let first = line!();
    let p = pipeline! {
        container test {
            image "docker-archive:./no-such-archive.tar";
            exec ["true"];
        }
        container placed { from test; file "/x" = "x"; }
    };
    for error in [p.test.sync().await.unwrap_err(), p.placed.sync().await.unwrap_err()] {
        assert!(matches!(error, Error::ImageNotFound { .. } | Error::Io { .. }), "{error:?}");
        assert_eq!(lines(error.locations()), [first + 3], "{error}");
    }
}

#[bowline::test]
async fn a_service_that_ends_is_where_its_item_is() {
    let first = line!();
    let p = pipeline! {
        service web {
            image "busybox:1.35";
            env NONCE = nonce();
            run ["sh", "-c", "exit 42"];
            expose 8080;
        }
        container test {
            image "busybox:1.35";
            bind web as "www";
            exec ["true"];
        }
    };
    for error in [p.test.sync().await.unwrap_err(), p.web.start().await.unwrap_err()] {
        let Error::ServiceStart(service) = &error else { panic!("{error}") };
        assert_eq!(lines(service.locations()), [first + 2]);
        let place = format!(": exit code 42\n  --> {}:{}:9\n", file!(), first + 2);
        assert!(error.to_string().contains(&place), "{error}");
    }
}

#[bowline::test]
async fn secrets_and_files_that_are_not_there_are_where_they_are_named() {
    let first = line!();
    let p = pipeline! {
        secret token = secret::env("BOWLINE_TEST_NO_SUCH_VARIABLE");
        dir source = host("./no/such/directory");
        container secretive {
            image "busybox:1.35";
            env TOKEN = &token;
            exec ["true"];
        }
        container copied {
            image "busybox:1.35";
            copy source to "/source";
            exec ["true"];
        }
        container empty {
            image "busybox:1.35";
            exec ["true"];
            export "/none" as none;
        }
        container reader {
            image "busybox:1.35";
            mount (p_none(&empty)) at "/none";
            exec ["true"];
        }
    };
    let errors = [
        (p.secretive.sync().await.unwrap_err(), first + 2),
        (p.copied.sync().await.unwrap_err(), first + 3),
        (p.empty.none().bytes().await.unwrap_err(), first + 17),
        // Of a copy that a step needs, the step.
        (p.reader.sync().await.unwrap_err(), first + 22),
    ];
    for (error, line) in errors {
        assert_eq!(lines(error.locations()), [line], "{error}");
    }
}

#[tokio::test]
async fn events_say_where_their_subject_is_written() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), nonce()).unwrap();
    let (session, told) = (Session::new(), Arc::new(Mutex::new(BTreeSet::new())));
    let into = told.clone();
    let tell = move |event: &Event| {
        let kind = match event.subject {
            Subject::Image { .. } => "image",
            Subject::Source { .. } => "source",
            Subject::Step { .. } => "step",
            Subject::Service { .. } => "service",
            _ => "other",
        };
        into.lock().unwrap().insert((kind, lines(&event.locations)));
    };
    session.observe(tell).unwrap();
    let first = line!();
    let p = pipeline! {
        dir source = host(directory.path());
        service web { image "busybox:1.35"; run ["false"]; expose 80; env NONCE = nonce(); }
        container test {
            image "busybox:1.35";
            copy source to "/source";
            exec ["cat", "/source/file"];
        }
    };
    session.scope(p.test.sync()).await.unwrap();
    session.scope(p.web.start()).await.unwrap_err();
    session.close().await.unwrap();
    let told = told.lock().unwrap();
    let expected = [
        ("other", vec![]),
        ("image", vec![first + 5]),
        ("source", vec![first + 2]),
        ("step", vec![first + 7]),
        ("service", vec![first + 3]),
    ];
    assert_eq!(*told, BTreeSet::from(expected));
}

fn p_none(container: &Container) -> File {
    container.file("/none")
}
