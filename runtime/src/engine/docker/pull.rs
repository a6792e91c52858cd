//! Pulls: each image once, for everyone who waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::errors::Error as Failure;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Shared;
use super::facts::inspect;
use super::failure::{self, BRIEF, LONG, within};
use super::wanted::Wanted;
use crate::engine::Progress;
use crate::engine::oci::credentials::{self, Credentials};
use crate::engine::turns::Turns;
use crate::event::{EventKind, Verb};
use crate::lock::lock;
use crate::model::ImageName;
use crate::{Error, Result};

/// The shortest interval between two progress events.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Pulls under way: everyone who wants the same image waits for the same pull.
#[derive(Default)]
pub(super) struct Pulls {
    /// The pull of each image, while somebody waits for it.
    under_way: Mutex<HashMap<ImageName, Weak<Pull>>>,
    /// Pulls of one reference for several platforms take turns, as each changes what the reference names; so do pushes.
    turns: Turns,
}

/// One pull; cancelled when nobody waits for it any more.
struct Pull {
    state: watch::Receiver<State>,
    task: AbortHandle,
}

#[derive(Debug, Clone)]
enum State {
    /// Bytes so far, and in total if known.
    Pulling(u64, Option<u64>),
    Done(Box<Result<ImageInspect>>),
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for the one pull of an image, starting it if there is none.
pub(super) async fn pull(shared: &Arc<Shared>, wanted: Wanted, progress: &Progress) -> Result<ImageInspect> {
    let what = format!("pull `{}`", wanted.name);
    let pull = shared.pulls.join(&shared.client, wanted);
    let mut state = pull.state.clone();
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Done(result) => return *result,
            State::Pulling(done, total) => progress(EventKind::transfer(Verb::Pulling, done, total)),
        }
        if state.changed().await.is_err() {
            return Err(Error::engine(what, "the pull was broken off"));
        }
    }
}

impl Pulls {
    /// The turn to change what a reference names.
    pub(super) fn turn(&self, name: &ImageName) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.of(&name.reference)
    }

    fn join(&self, client: &Docker, wanted: Wanted) -> Arc<Pull> {
        let name = wanted.name.clone();
        let mut under_way = lock(&self.under_way);
        if let Some(pull) = under_way.get(&name).and_then(Weak::upgrade) {
            // A failed pull is retried by later callers.
            if !matches!(*pull.state.borrow(), State::Done(_)) {
                return pull;
            }
        }
        let (tell, state) = watch::channel(State::Pulling(0, None));
        let turn = self.turn(&name);
        let client = client.clone();
        let task = tokio::spawn(async move {
            let _turn = turn.lock().await;
            let result = fetch(&client, &wanted, &tell).await;
            tell.send_replace(State::Done(Box::new(result)));
        });
        let pull = Arc::new(Pull { state, task: task.abort_handle() });
        under_way.insert(name, Arc::downgrade(&pull));
        pull
    }
}

/// Pulls an image and finds it. The reference then names again what it named before, even if that was nothing: the name
/// is the user's, and other users of it would otherwise get the other platform too.
async fn fetch(client: &Docker, wanted: &Wanted, tell: &watch::Sender<State>) -> Result<ImageInspect> {
    let reference = &*wanted.name.reference;
    if let Some(found) = wanted.present(client).await? {
        return Ok(found);
    }
    let before = inspect(client, reference).await?;
    let pulled =
        run_pull(client, wanted, before.as_ref(), tell).await.map_err(|error| match (error, &before) {
            (Error::ImageNotFound { message, .. }, Some(before)) => wanted.only_for_another(before, message),
            (error, _) => error,
        });
    pulled?;
    let Some(found) = inspect(client, reference).await? else {
        let message = "it was pulled, but the engine does not have it".to_owned();
        return Err(Error::ImageNotFound { reference: reference.to_owned(), message, locations: Vec::new() });
    };
    if !wanted.is(&found) {
        give_back(client, reference, before).await?;
        return Err(wanted.only_for_another(&found, String::new()));
    }
    let is_first_of_own = before.is_none() && wanted.is_for_own();
    // A digest always names the same image, or the same list of images.
    if !is_first_of_own && !reference.contains('@') {
        let id = found.id.as_deref().unwrap_or(reference);
        tag(client, id, &wanted.aside()).await?;
        give_back(client, reference, before).await?;
    }
    Ok(found)
}

async fn give_back(client: &Docker, reference: &str, before: Option<ImageInspect>) -> Result<()> {
    if reference.contains('@') {
        return Ok(());
    }
    if let Some(id) = before.and_then(|before| before.id) {
        return tag(client, &id, reference).await;
    }
    let options = RemoveImageOptionsBuilder::default().noprune(true).build();
    within(BRIEF, client.remove_image(reference, Some(options), None))
        .await
        .map(drop)
        .map_err(failure::during(format!("take `{reference}` from another platform's image")))
}

pub(super) async fn tag(client: &Docker, id: &str, name: &str) -> Result<()> {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
    within(BRIEF, client.tag_image(id, Some(options)))
        .await
        .map_err(failure::during(format!("call an image `{name}`")))
}

/// Pulls for the engine's own platform unless another is asked for. Without a platform, an engine would keep to the
/// platform of the image it has.
async fn run_pull(
    client: &Docker,
    wanted: &Wanted,
    other: Option<&ImageInspect>,
    tell: &watch::Sender<State>,
) -> Result<()> {
    let image = &wanted.name;
    let reference = &*image.reference;
    let found = credentials::find(reference).await;
    let options = CreateImageOptionsBuilder::default().from_image(reference);
    let options = match (&image.platform, other) {
        (None, None) => options,
        _ => options.platform(wanted.platform()),
    };
    let options = options.build();
    let mut events = client.create_image(Some(options), None, found.credentials.map(shown));
    let mut layers = Layers::default();
    let mut told = Instant::now();
    while let Some(event) = within(LONG, async { events.next().await.transpose() })
        .await
        .map_err(|error| refusal(reference, &error, &found.note))?
    {
        layers.note(event);
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (done, total) = layers.sum();
            tell.send_replace(State::Pulling(done, total));
        }
    }
    Ok(())
}

/// The engine's form of credentials, which it shows to the registry.
pub(super) fn shown(credentials: Credentials) -> DockerCredentials {
    DockerCredentials {
        username: credentials.username,
        password: credentials.password,
        identitytoken: credentials.identity_token,
        registrytoken: credentials.registry_token,
        serveraddress: Some(credentials.address),
        ..Default::default()
    }
}

/// The progress of layers, by id.
#[derive(Default)]
struct Layers(HashMap<String, (u64, u64)>);

impl Layers {
    fn note(&mut self, event: CreateImageInfo) {
        let (Some(id), Some(detail)) = (event.id, event.progress_detail) else { return };
        // "Extracting" counts the same bytes again.
        if let (Some("Downloading"), Some(current), Some(total)) =
            (event.status.as_deref(), detail.current, detail.total)
        {
            let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
            self.0.insert(id, (bytes(current), bytes(total)));
        }
    }

    /// Bytes so far, and in total if known.
    fn sum(&self) -> (u64, Option<u64>) {
        let add = |sum: (u64, u64), layer: &(u64, u64)| (sum.0 + layer.0, sum.1 + layer.1);
        let (done, total) = self.0.values().fold((0, 0), add);
        (done, (total > 0).then_some(total))
    }
}

/// Classifies a registry's refusal, which reaches us as text, often in a stream that began with 200 OK. `note` says which
/// credentials were shown.
fn refusal(reference: &str, error: &Failure, note: &str) -> Error {
    if !matches!(error, Failure::DockerResponseServerError { .. } | Failure::DockerStreamError { .. }) {
        return Error::engine(format!("pull `{reference}`"), failure::message(error));
    }
    let message = failure::message(error);
    let reference = reference.to_owned();
    if is_of_rights(error) {
        let message = format!("{message}\n{note}");
        return Error::Unauthorized { doing: "pull", reference, message, locations: Vec::new() };
    }
    Error::ImageNotFound { reference, message, locations: Vec::new() }
}

/// Whether a registry refused for lack of credentials or permissions.
pub(super) fn is_of_rights(error: &Failure) -> bool {
    matches!(failure::status(error), Some(401 | 403)) || speaks_of_refusal(&failure::message(error))
}

/// Whether a message says so, other than in the name of an image.
fn speaks_of_refusal(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let mut words = lower.split(|c| !of_a_name(c)).map(|word| word.trim_end_matches('.'));
    words.any(|word| ["denied", "unauthorized", "forbidden"].contains(&word))
        || ["authentication required", "no basic auth credentials"].iter().any(|text| lower.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status_code: u16, message: &str) -> Failure {
        Failure::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[test]
    fn refusals_are_told_apart() {
        let denied = "pull access denied for a/b, repository does not exist or may require 'docker login'";
        let refused = [
            server(404, denied),
            server(500, "Get \"http://r:1/v2/\": unauthorized: x"),
            server(403, ""),
            Failure::DockerStreamError { error: "denied: access is forbidden.".to_owned() },
        ];
        for error in refused {
            let Error::Unauthorized { message, .. } = refusal("a/b", &error, "helper broke") else {
                panic!("not told apart: {error}")
            };
            assert!(message.contains("helper broke"));
        }
        for absent in
            ["manifest for redis:none not found: manifest unknown", "no r:1/denied:1, a/unauthorized:2"]
        {
            let error = refusal("redis:none", &server(404, absent), "");
            assert!(matches!(error, Error::ImageNotFound { .. }), "{error}");
        }
        let silent = refusal("a", &Failure::RequestTimeoutError, "");
        assert!(matches!(silent, Error::Engine { .. }), "{silent}");
    }

    #[test]
    fn progress_sums_the_layers() {
        let mut layers = Layers::default();
        assert_eq!(layers.sum(), (0, None));
        for (id, current) in [("a", 2_000_000), ("b", 1_000_000), ("a", 3_000_000)] {
            let detail = bollard::models::ProgressDetail { current: Some(current), total: Some(10_000_000) };
            layers.note(CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some("Downloading".to_owned()),
                progress_detail: Some(detail),
                ..Default::default()
            });
        }
        assert_eq!(layers.sum(), (4_000_000, Some(20_000_000)));
    }
}
