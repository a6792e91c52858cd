//! An HTTP client that remembers why it could not send: what is said of that further up is only that.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

use crate::lock::lock;

/// What is said of a receiver that is silent.
pub(super) const NO_ANSWER: &str = "it does not answer in time";

#[derive(Debug, Clone)]
pub(super) struct Client {
    client: reqwest::Client,
    /// What went wrong last.
    fault: Arc<Mutex<Option<String>>>,
}

impl Client {
    pub(super) fn new(timeout: Duration) -> reqwest::Result<Self> {
        // A provider that the program chose for itself stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("bowline/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            // Headers may be credentials, and a receiver has no reason to be elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        Ok(Self { client: client.build()?, fault: Arc::default() })
    }

    /// What went wrong last, since it was asked for.
    pub(super) fn take_fault(&self) -> Option<String> {
        lock(&self.fault).take()
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.client.send_bytes(request).await;
        *lock(&self.fault) = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            // Not the whole of it, as the address in it may contain a password.
            Err(error) if is_timeout(&**error) => Some(NO_ANSWER.to_owned()),
            Err(error) => Some(innermost(&**error).to_string()),
        };
        sent
    }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)
}

/// What an error comes from.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error.source().map_or(error, innermost)
}
