//! Errors without what was written: for whoever has just shown that.

use std::fmt;

use super::excerpt::Most;
use super::{Error, ServiceCause};

/// Whose output an error shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer<'a> {
    /// A step of the container of this name.
    Step(&'a str),
    /// The service of this name.
    Service(&'a str),
}

/// An error that shows so many lines of what was written.
pub(super) struct Shown<'a> {
    pub(super) error: &'a Error,
    pub(super) most: Most,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            Error::StepFailed(error) => error.show(f, self.most),
            Error::ServiceStart(error) | Error::ServiceNotReady(error) | Error::ServiceExited(error) => {
                error.show(f, self.most)
            }
            other => fmt::Display::fmt(other, f),
        }
    }
}

#[cfg(feature = "cli")]
impl Error {
    /// Whose output it shows; `None` if it shows none, or that of a command in a service.
    pub(crate) fn writer(&self) -> Option<Writer<'_>> {
        match self {
            Self::StepFailed(error) => error.key.map(|_| Writer::Step(&error.name)),
            Self::ServiceStart(error) | Self::ServiceNotReady(error) | Self::ServiceExited(error) => {
                match &error.cause {
                    ServiceCause::Dependency(error) => error.writer(),
                    _ => Some(Writer::Service(&error.name)),
                }
            }
            _ => None,
        }
    }

    /// The same text without what was written.
    pub(crate) fn without_output(&self) -> String {
        Shown { error: self, most: Most::Elsewhere }.to_string()
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{ServiceError, StepCause, StepError};
    use crate::model::{Digest, Exit};

    #[test]
    fn without_its_output_an_error_still_says_what_where_and_why() {
        let step = StepError {
            name: "test".to_owned(),
            args: vec!["make".to_owned()],
            exit: Exit { code: 127, out_of_memory: false },
            cause: StepCause::Failed,
            stdout: "much\n".to_owned(),
            stderr: "more\n".to_owned(),
            services: Vec::new(),
            help: Vec::new(),
            left: None,
            key: Some(Digest([0; 32])),
            locations: Vec::new(),
        };
        let of_service = Error::StepFailed(Box::new(StepError { key: None, ..step.clone() }));
        let step = Error::StepFailed(Box::new(step));
        assert_eq!((step.writer(), of_service.writer()), (Some(Writer::Step("test")), None));
        let brief = step.without_output();
        assert!(brief.starts_with("step `make` of `test` failed: exit code 127\n\nhelp: "), "{brief}");
        let service = |cause| {
            Error::ServiceStart(Box::new(ServiceError {
                name: "db".to_owned(),
                hostname: "x".to_owned(),
                aliases: Vec::new(),
                cause,
                elapsed: Duration::from_secs(1),
                log: vec!["a line".to_owned()],
                help: vec!["do something".to_owned()],
                locations: Vec::new(),
            }))
        };
        let failed = service(ServiceCause::Check("it is ill".to_owned()));
        assert_eq!(failed.writer(), Some(Writer::Service("db")));
        assert_eq!(
            failed.without_output(),
            "service x `db` (no aliases): it is ill (after 1 s)\n\nhelp: do something"
        );
        let needs = service(ServiceCause::Dependency(step));
        assert_eq!(needs.writer(), Some(Writer::Step("test")));
        assert!(!needs.without_output().contains("much"), "{}", needs.without_output());
        assert!(needs.to_string().contains("much"), "the error itself has it");
    }
}
