//! Errors of the engine, classified in one place.

use std::future::Future;
use std::time::Duration;

use bollard::errors::Error as Failure;

use crate::Error;
use crate::error::{Reason, with_causes};

/// Timeout of calls that are answered from memory: a few milliseconds, even from far away.
pub(super) const BRIEF: Duration = Duration::from_secs(30);
/// Timeout of calls that move data or start processes: commits and pulls of gigabytes, starts on a crowded machine.
pub(super) const LONG: Duration = Duration::from_secs(30 * 60);

/// A call with a timeout. The client has none: bollard's covers every call alike, and a `wait` must not time out.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, call).await.unwrap_or(Err(Failure::RequestTimeoutError))
}

/// The status that the engine answered with, if it answered.
pub(super) fn status(failure: &Failure) -> Option<u16> {
    match failure {
        Failure::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// 404: there is no such container, image, network, volume or path.
pub(super) fn is_absent(failure: &Failure) -> bool {
    status(failure) == Some(404)
}

/// 409: the name is taken, the object is in use, or its removal has begun.
pub(super) fn is_conflict(failure: &Failure) -> bool {
    status(failure) == Some(409)
}

/// What the engine said; for a failed connection, that the engine is gone, and every cause in turn.
pub(super) fn message(failure: &Failure) -> String {
    match failure {
        Failure::IOError { .. } | Failure::HyperResponseError { .. } => {
            let cause = cause(failure);
            // Sending a body may fail too.
            if cause.contains("user's Body") { cause } else { gone(&cause) }
        }
        other => cause(other),
    }
}

/// The message for an engine that no longer answers.
pub(super) fn gone(cause: &str) -> String {
    format!("the Docker engine does not answer any more ({cause}); was it stopped, or started anew?")
}

/// What the engine said; for a failure on the way to it, every cause in turn.
pub(super) fn cause(failure: &Failure) -> String {
    match failure {
        // An answer to HEAD has no text.
        Failure::DockerResponseServerError { status_code, message } if message.trim().is_empty() => {
            format!("the engine answered with status {status_code} and no reason")
        }
        Failure::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Failure::DockerStreamError { error } => error.trim().to_owned(),
        Failure::RequestTimeoutError => "no answer in time".to_owned(),
        other => with_causes(other),
    }
}

/// For `map_err`: the public error, with what was being done.
pub(super) fn during(what: impl Into<String>) -> impl FnOnce(Failure) -> Error {
    move |failure| Error::engine(what, Reason::said(message(&failure), failure))
}
