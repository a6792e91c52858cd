//! The session's network, created once, as early as it is known to be needed.
//!
//! Creating a network takes the engine 80–100 ms, but containers may be created on a network that does not exist yet;
//! only starting them needs it. So its creation begins with that of the first container that needs it, and is awaited
//! before a start.

use std::sync::{Arc, OnceLock};

use bollard::models::NetworkCreateRequest;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared as SharedFuture};

use super::failure::{self, LONG, within};
use super::{Shared, labels, names};
use crate::{Error, Result};

/// The session's network, if it has one.
#[derive(Default)]
pub(super) struct Network {
    /// The creation, begun once, which returns the network's id.
    made: OnceLock<SharedFuture<BoxFuture<'static, Result<Arc<str>>>>>,
}

impl Network {
    /// Whether there is anything to remove.
    pub(super) fn is_begun(&self) -> bool {
        self.made.get().is_some()
    }

    /// Begins to create the network, unless that was begun. The future returns its id.
    pub(super) fn begin(&self, shared: &Arc<Shared>) -> SharedFuture<BoxFuture<'static, Result<Arc<str>>>> {
        let begin = || {
            let for_task = Arc::clone(shared);
            let task = shared.cleaner.spawn(async move { create(&for_task).await });
            let outcome = async move { task.await.unwrap_or_else(|error| Err(Error::engine(WHAT, error))) };
            outcome.boxed().shared()
        };
        self.made.get_or_init(begin).clone()
    }
}

const WHAT: &str = "create the session's network";

async fn create(shared: &Arc<Shared>) -> Result<Arc<str>> {
    shared.guarded().await;
    shared.check_open(WHAT)?;
    let request = NetworkCreateRequest {
        name: names::prefix(&shared.session),
        driver: Some("bridge".to_owned()),
        internal: Some(false),
        labels: Some(labels::of(&shared.session, "network")),
        ..Default::default()
    };
    let made = within(LONG, shared.client.create_network(request)).await.map_err(|error| {
        let mut message = failure::message(&error);
        if message.contains("non-overlapping") {
            message += "\n\nhelp: the engine has no addresses left for another network; `docker network prune` frees those of unused ones";
        }
        Error::engine(WHAT, message)
    })?;
    Ok(made.id.into())
}

/// Removes the network; it is no error if there is none.
pub(super) async fn remove(shared: &Shared) -> Result<()> {
    let name = names::prefix(&shared.session);
    // "has active endpoints" (403) for a moment after the last container has gone.
    for _ in 0..50 {
        match within(LONG, shared.client.remove_network(&name)).await {
            Ok(()) => return Ok(()),
            Err(error) if failure::is_absent(&error) => return Ok(()),
            Err(error) if matches!(failure::status(&error), Some(403 | 409 | 500)) => {}
            Err(error) => return Err(failure::during("remove the session's network")(error)),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(Error::engine("remove the session's network", "it is still in use after many tries"))
}
