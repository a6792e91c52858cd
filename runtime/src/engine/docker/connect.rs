//! Finding an engine that answers, or the reasons why none does.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;

use super::connection::Connection;
use super::context::{self, Candidate};
use crate::{Error, Result};

/// Timeout for an answer. All candidates are asked at once, so this is also the most that a diagnosis takes; the promise
/// is 2 s.
const ANSWER_WITHIN: Duration = Duration::from_millis(1700);

/// Timeout if ssh has to log in first, which it does only where the user chose that. It is a little longer than ssh's own
/// timeout, so that ssh can say why.
const SSH_ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// Finds the engine that the Docker command line would use.
///
/// # Errors
/// [`Error::EngineUnreachable`] within 2 s, or 35 s through ssh, with all that was tried.
pub(crate) async fn connect() -> Result<Connection> {
    let mut tried = Vec::new();
    let mut answers: FuturesOrdered<_> = context::candidates().into_iter().map(ask).collect();
    while let Some((place, answer)) = answers.next().await {
        match answer {
            Ok(connection) => return Ok(connection),
            Err(reason) => tried.push(format!("{place}: {reason}")),
        }
    }
    Err(Error::EngineUnreachable { tried })
}

async fn ask(candidate: Candidate) -> (String, Result<Connection, String>) {
    let connection = match candidate.connection {
        Ok(connection) => connection,
        Err(reason) => return (candidate.origin, Err(reason)),
    };
    let place = match candidate.origin.as_str() {
        "" => connection.address.clone(),
        origin => format!("{} ({origin})", connection.address),
    };
    let within = if connection.is_through_ssh() { SSH_ANSWER_WITHIN } else { ANSWER_WITHIN };
    let answer = match tokio::time::timeout(within, connection.negotiate()).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} ms", within.as_millis())),
    };
    (place, answer)
}
