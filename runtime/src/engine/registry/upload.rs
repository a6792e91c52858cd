//! Uploads of blobs, streamed from files.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::time::Instant;

use super::client::Remote;
use super::refusal::Refusal;
use crate::model::ContentDigest;

/// Timeout of a registry that neither reads nor answers. Some take a while to store a large blob.
pub(in crate::engine) const SILENCE: Duration = Duration::from_secs(2 * 60);
/// How often it is looked whether anything moves.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The size of a read.
const PIECE: usize = 1 << 18;

/// Sends what is read as a blob; `done` counts the bytes on the way, of other blobs too.
pub(in crate::engine) async fn upload(
    remote: &Remote,
    digest: &ContentDigest,
    size: u64,
    from: impl Read + Send + 'static,
    done: Arc<AtomicU64>,
) -> Result<(), Refusal> {
    let body = reqwest::Body::wrap_stream(pieces(from, Arc::clone(&done)));
    let mut sending = std::pin::pin!(remote.put_blob(digest, size, body));
    let (mut before, mut since) = (0, Instant::now());
    loop {
        tokio::select! {
            sent = &mut sending => return sent,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let now = done.load(Ordering::Relaxed);
        if now != before {
            (before, since) = (now, Instant::now());
        } else if since.elapsed() > SILENCE {
            return Err(Refusal::Unusable(format!("the registry says nothing for {} s", SILENCE.as_secs())));
        }
    }
}

/// What is read, as a stream that counts its bytes.
fn pieces(
    from: impl Read + Send + 'static,
    done: Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((from, done), |(mut from, done)| async move {
        let mut piece = vec![0; PIECE];
        let length = from.read(&mut piece)?;
        piece.truncate(length);
        done.fetch_add(length as u64, Ordering::Relaxed);
        Ok((length > 0).then(|| (Bytes::from(piece), (from, done))))
    })
}
