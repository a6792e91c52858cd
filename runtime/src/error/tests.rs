//! Errors as programs make and meet them.

use std::error::Error as _;

use super::{StepCause, StepError, shown_command};
use crate::Exit;
use crate::prelude::*;

mod renderings;

#[test]
fn a_question_mark_takes_errors_of_the_standard_library() {
    fn all(path: &str, port: &str, text: &[u8]) -> Result<(String, u16, String)> {
        Ok((std::fs::read_to_string(path)?, port.parse()?, std::str::from_utf8(text)?.to_owned()))
    }
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(all(here, "80", b"x").unwrap().1, 80);
    assert_eq!(all(here, "80000", b"x").unwrap_err().to_string(), "number too large to fit in target type");
    let Err(Error::Other(cause)) = all(here, "80", b"\xff") else { panic!("that is no UTF-8") };
    assert!(cause.is::<std::str::Utf8Error>());
    let Err(Error::Other(cause)) = all("/no/such/file", "80", b"x") else { panic!("there is no such file") };
    let cause: &std::io::Error = cause.downcast_ref().unwrap();
    assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn an_error_of_the_program_says_what_its_cause_says_and_keeps_the_chain() {
    let inner = std::io::Error::other("the disk is full");
    let middle = std::io::Error::new(std::io::ErrorKind::StorageFull, inner);
    let error = Error::other(middle);
    assert_eq!(
        (error.to_string(), format!("{error:?}")),
        ("the disk is full".into(), "the disk is full".into())
    );
    let Error::Other(cause) = error.clone() else { panic!("{error}") };
    assert!(cause.is::<std::io::Error>());
    assert_eq!(error.source().map(ToString::to_string), cause.source().map(ToString::to_string));
    assert_eq!(Error::other(format!("{} tests failed", 3)).to_string(), "3 tests failed");
    let boxed: Box<dyn std::error::Error + Send + Sync> = "boxed".into();
    assert_eq!(Error::from(boxed).to_string(), "boxed");
}

#[test]
fn an_error_does_not_repeat_an_argument_of_any_length() {
    let args = |length: usize| ["sh".to_owned(), "-c".to_owned(), "x".repeat(length)];
    assert_eq!(shown_command(&args(4096)).len(), 4096 + 6);
    let error = StepError {
        name: "c".to_owned(),
        args: args(131_000).to_vec(),
        exit: Exit { code: 1, out_of_memory: false },
        cause: StepCause::Failed,
        stdout: String::new(),
        stderr: String::new(),
        services: Vec::new(),
        help: Vec::new(),
        left: None,
        key: Some(crate::Digest([0; 32])),
        locations: Vec::new(),
    };
    let text = error.to_string();
    assert!(text.len() < 450 && text.contains("… (131000 bytes)"), "{text}");
}

/// A program can get the operating system's error itself and need not parse a message.
#[test]
fn what_lies_behind_an_error_is_its_source() {
    let denied = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    for error in [Error::io("/x", denied()), Error::engine("start", denied())] {
        let cause = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.kind(), std::io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains(&cause.to_string()), "{error}");
    }
    assert!(Error::engine("start", "no").source().is_none());
}
