//! A request and its answer on a connection, and reuse of idle connections.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::BollardRequest;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::bound::{Bound, Bounded, Next};
use super::stream::Stream;
use crate::lock::lock;

/// The most idle connections to keep, and for how long: whatever is on the path to an engine drops idle connections,
/// without notice.
const IDLE_AT_MOST: usize = 8;
const IDLE_FOR: Duration = Duration::from_secs(60);

/// A connection that can take a request.
pub(super) struct Open {
    sender: SendRequest<<BollardRequest as Message>::Body>,
    /// Sets the limit of the next answer.
    next: Next,
}

/// A name for the body type that bollard sends.
pub(super) trait Message {
    type Body;
}

impl<B> Message for hyper::Request<B> {
    type Body = B;
}

impl Open {
    pub(super) async fn new(stream: Stream) -> io::Result<Self> {
        let (stream, next) = Bounded::new(stream, Bound::default());
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Ends with the last answer, or with whoever reads it.
        tokio::spawn(connection.with_upgrades());
        Ok(Self { sender, next })
    }

    /// The answer, and the connection, which can be reused once the answer has been read. A failed request is returned if
    /// nothing of it was sent.
    pub(super) async fn ask(
        mut self,
        request: BollardRequest,
        bound: Bound,
    ) -> Result<(Response<Incoming>, Self), (io::Error, Option<BollardRequest>)> {
        self.next.set(bound);
        match self.sender.try_send_request(request).await {
            Ok(answer) => Ok((answer, self)),
            Err(mut error) => {
                let unsent = error.take_message();
                Err((io::Error::other(error.into_error()), unsent))
            }
        }
    }
}

/// Idle connections for reuse, where connecting takes long.
#[derive(Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Vec<(Instant, Open)>>>);

impl Idle {
    /// Sends a request on an idle connection, or on a new one.
    pub(super) async fn ask<F: Future<Output = io::Result<Stream>>>(
        &self,
        mut request: BollardRequest,
        bound: Bound,
        make: impl FnOnce() -> F,
    ) -> io::Result<Response<Incoming>> {
        while let Some(open) = self.take() {
            match open.ask(request, bound.clone()).await {
                Ok((answer, open)) => return Ok(self.later(answer, open)),
                // The idle connection had ended.
                Err((_, Some(unsent))) => request = unsent,
                Err((error, None)) => return Err(error),
            }
        }
        let open = Open::new(make().await?).await?;
        let (answer, open) = open.ask(request, bound).await.map_err(|(error, _)| error)?;
        Ok(self.later(answer, open))
    }

    /// Takes the connection back once the answer has been read.
    fn later(&self, answer: Response<Incoming>, mut open: Open) -> Response<Incoming> {
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let idle = self.clone();
            tokio::spawn(async move {
                // An error if the answer is not read to its end, or if the connection ends.
                if open.sender.ready().await.is_ok() {
                    idle.put(open);
                }
            });
        }
        answer
    }

    fn take(&self) -> Option<Open> {
        let mut all = lock(&self.0);
        all.retain(|(since, open)| since.elapsed() < IDLE_FOR && open.sender.is_ready());
        all.pop().map(|(_, open)| open)
    }

    fn put(&self, open: Open) {
        let mut all = lock(&self.0);
        all.retain(|(since, _)| since.elapsed() < IDLE_FOR);
        if all.len() < IDLE_AT_MOST {
            all.push((Instant::now(), open));
        }
    }
}
