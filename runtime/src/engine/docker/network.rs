//! The session's network: one that an earlier session left, or one that is made, as early as it is known to be needed.
//!
//! Making a network takes the engine 80 to 190 ms, but containers may be created on a network that does not exist yet: only
//! starting them needs it. So its name is known first, and the network is awaited before a start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::ListNetworksOptions;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use tokio::sync::watch;

use super::failure::{self, BRIEF, LONG, within};
use super::spares::{Spares, Taken};
use super::{Shared, labels, names};
use crate::lock::lock;
use crate::{Error, Result};

/// The most networks that all users of an engine leave for later sessions: each has one of the engine's few address ranges.
const LEFT_AT_MOST: usize = 8;

/// The session's network, if it has one.
#[derive(Default)]
pub(super) struct Network {
    begun: OnceLock<Begun>,
    /// That it may be left for another session, once that is known.
    taken: Mutex<Option<Claim>>,
}

/// A network that may be left for another session.
struct Claim {
    taken: Taken,
    spares: Spares,
    /// Whether an earlier session left it.
    is_used: bool,
}

type Future<T> = SharedFuture<BoxFuture<'static, Result<T>>>;

struct Begun {
    /// Its name, before it is there.
    name: Future<Arc<str>>,
    made: Future<Made>,
}

/// A network that can be used.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) name: Arc<str>,
    /// The engine's id of it, in full.
    pub(super) id: Arc<str>,
}

impl Network {
    /// Whether there is anything to remove.
    pub(super) fn is_begun(&self) -> bool {
        self.begun.get().is_some()
    }

    /// Begins to find or make the network, unless that was begun.
    pub(super) fn begin(&self, shared: &Arc<Shared>) -> Future<Made> {
        self.begun(shared).made.clone()
    }

    /// The name, by which containers can be created on it.
    pub(super) fn name(&self, shared: &Arc<Shared>) -> Future<Arc<str>> {
        self.begun(shared).name.clone()
    }

    fn begun(&self, shared: &Arc<Shared>) -> &Begun {
        self.begun.get_or_init(|| {
            let (tell, mut told) = watch::channel(None::<Arc<str>>);
            let for_task = Arc::clone(shared);
            let task = shared.cleaner.spawn(async move { find_or_make(&for_task, &tell).await });
            let made = async move { task.await.unwrap_or_else(|error| Err(Error::engine(WHAT, error))) };
            let made = made.boxed().shared();
            let failed = made.clone();
            let name = async move {
                match told.wait_for(Option::is_some).await.map(|name| name.clone()) {
                    Ok(Some(name)) => Ok(name),
                    // It has failed before it had a name.
                    _ => failed.await.map(|made| made.name),
                }
            };
            Begun { name: name.boxed().shared(), made }
        })
    }
}

const WHAT: &str = "create the session's network";

async fn find_or_make(shared: &Arc<Shared>, tell: &watch::Sender<Option<Arc<str>>>) -> Result<Made> {
    shared.check_open(WHAT)?;
    let spares = Spares::of(shared.connection.id());
    if let Some(spares) = &spares {
        while let Some(taken) = spares.take(&shared.session) {
            if let Some(id) = find(shared, &taken.name).await? {
                let name: Arc<str> = taken.name.as_str().into();
                hold(shared, Claim { taken, spares: spares.clone(), is_used: true });
                tell.send_replace(Some(Arc::clone(&name)));
                // From here on the session may be killed.
                shared.guarded().await;
                return Ok(Made { name, id });
            }
            // Somebody has removed it.
            taken.forget();
        }
    }
    let claim = spares.and_then(|spares| {
        let taken = spares.name_new(&shared.session).ok()?;
        Some(Claim { taken, spares, is_used: false })
    });
    let (name, labels) = match &claim {
        // Not the session's label: it outlives the session.
        Some(claim) => (claim.taken.name.clone(), labels::of_network()),
        None => (names::prefix(&shared.session), labels::of(&shared.session, "network")),
    };
    if let Some(claim) = claim {
        hold(shared, claim);
    }
    let named: Arc<str> = name.as_str().into();
    tell.send_replace(Some(Arc::clone(&named)));
    shared.guarded().await;
    shared.check_open(WHAT)?;
    let id = create(shared, name, labels).await?;
    Ok(Made { name: named, id })
}

fn hold(shared: &Shared, claim: Claim) {
    *lock(&shared.network.taken) = Some(claim);
}

async fn find(shared: &Shared, name: &str) -> Result<Option<Arc<str>>> {
    match within(BRIEF, shared.client.inspect_network(name, None)).await {
        Ok(found) => Ok(found.id.map(Into::into)),
        Err(error) if failure::is_absent(&error) => Ok(None),
        Err(error) => Err(failure::during("look for the network of an earlier session")(error)),
    }
}

async fn create(shared: &Shared, name: String, labels: HashMap<String, String>) -> Result<Arc<str>> {
    let request = NetworkCreateRequest {
        name,
        driver: Some("bridge".to_owned()),
        internal: Some(false),
        labels: Some(labels),
        ..Default::default()
    };
    let made = within(LONG, shared.client.create_network(request)).await;
    made.map(|made| made.id.into()).map_err(|error| {
        let mut message = failure::message(&error);
        if message.contains("non-overlapping") {
            message += "\n\nhelp: the engine has no addresses left for another network; `docker network prune` frees those of unused ones";
        }
        Error::engine(WHAT, message)
    })
}

/// Leaves the network for another session, if it may be left; whether that is so. To be called once nothing of the session
/// runs, or will.
pub(super) async fn leave(shared: &Arc<Shared>) -> bool {
    if !shared.network.is_begun() || shared.network.begin(shared).await.is_err() {
        return false;
    }
    let claim = lock(&shared.network.taken).take();
    let Some(claim) = claim else { return false };
    let has_room = claim.spares.have_room() && (claim.is_used || is_one_more_welcome(shared).await);
    let is_left = has_room && claim.taken.give_back().is_ok();
    if !is_left {
        hold(shared, claim);
    }
    is_left
}

/// Whether the engine has so few that were left, by whomever, that one more does not matter.
async fn is_one_more_welcome(shared: &Shared) -> bool {
    let filters = HashMap::from([("label".to_owned(), vec![labels::NETWORK.to_owned()])]);
    let found = shared.client.list_networks(Some(ListNetworksOptions { filters: Some(filters) }));
    within(BRIEF, found).await.is_ok_and(|networks| networks.len() <= LEFT_AT_MOST)
}

/// Removes the network; it is no error if there is none.
pub(super) async fn remove(shared: &Arc<Shared>) -> Result<()> {
    let claim = lock(&shared.network.taken).take();
    let name =
        claim.as_ref().map_or_else(|| names::prefix(&shared.session), |claim| claim.taken.name.clone());
    // "has active endpoints" (403) for a moment after the last container has gone.
    for _ in 0..50 {
        let removed = match within(LONG, shared.client.remove_network(&name)).await {
            Ok(()) => true,
            Err(error) if failure::is_absent(&error) => true,
            Err(error) if matches!(failure::status(&error), Some(403 | 409 | 500)) => false,
            Err(error) => return Err(failure::during("remove the session's network")(error)),
        };
        if removed {
            if let Some(claim) = claim {
                claim.taken.forget();
            }
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(Error::engine("remove the session's network", "it is still in use after many tries"))
}
