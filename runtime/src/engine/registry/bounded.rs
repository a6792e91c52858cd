//! Answers that are documents, with limits on size and time that no real document exceeds.

use std::time::Duration;

use reqwest::Response;

use super::refusal::Refusal;
use crate::regular::DOCUMENT_AT_MOST;

/// Timeout from the first byte to the last.
const WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn read(mut answer: Response) -> Result<Vec<u8>, Refusal> {
    let too_much = || {
        let most = DOCUMENT_AT_MOST >> 20;
        Refusal::Unusable(format!("the registry sends more than any such document has ({most} MiB)"))
    };
    if answer.content_length().is_some_and(|length| length > DOCUMENT_AT_MOST) {
        return Err(too_much());
    }
    let read = async move {
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(Refusal::Lost)? {
            if (text.len() + piece.len()) as u64 > DOCUMENT_AT_MOST {
                return Err(too_much());
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    };
    let slow =
        || Refusal::Unusable(format!("the registry needs more than {} s for a document", WITHIN.as_secs()));
    tokio::time::timeout(WITHIN, read).await.unwrap_or_else(|_| Err(slow()))
}
