//! Images by their references: found in the engine, or pulled into it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bollard::errors::Error as Failure;
use bollard::models::{CreateImageInfo, HealthConfig, ImageConfig as Found, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::failure::{self, BRIEF, LONG, within};
use super::{Shared, credentials, lock, recast};
use crate::engine::{Healthcheck, Image, ImageConfig, Progress, Snapshot};
use crate::graph::ImageName;
use crate::{Error, Result};

/// At most this often is progress told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Pulls under way: whoever wants the same image waits for the same pull.
#[derive(Default)]
pub(super) struct Pulls {
    under_way: Mutex<HashMap<ImageName, Weak<Pull>>>,
}

/// One pull; ends when nobody waits for it any more.
struct Pull {
    state: watch::Receiver<State>,
    task: AbortHandle,
}

#[derive(Debug, Clone)]
enum State {
    Pulling(String),
    Done(Result<()>),
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Finds an image, pulling it when it is absent.
pub(super) async fn resolve(shared: &Arc<Shared>, wanted: &ImageName, progress: &Progress) -> Result<Image> {
    let there = inspect(shared, &wanted.reference).await?;
    if let Some(found) = there.as_ref().filter(|found| is_for(found, wanted)) {
        return image(shared, found).await;
    }
    let pulled = pull(shared, wanted, progress).await;
    // Another platform's variant is at hand: that is what has to be said, whatever the registry's answer was.
    let pulled = pulled.map_err(|error| match &there {
        Some(other) => match error {
            Error::ImageNotFound { message, .. } => other_platform(wanted, other, &format!(": {message}")),
            error => error,
        },
        None => error,
    });
    pulled?;
    match inspect(shared, &wanted.reference).await? {
        Some(found) if is_for(&found, wanted) => image(shared, &found).await,
        Some(other) => Err(other_platform(wanted, &other, "")),
        None => Err(Error::ImageNotFound {
            reference: wanted.to_string(),
            message: "it was pulled, but the engine does not have it".to_owned(),
        }),
    }
}

/// Whether an image is of the platform that is wanted, where one is. Many images for ARM say no variant.
fn is_for(found: &ImageInspect, wanted: &ImageName) -> bool {
    let Some(platform) = &wanted.platform else { return true };
    let mut parts = platform.split('/');
    let says = |known: &Option<String>, part: Option<&str>| {
        known.as_deref().unwrap_or_default() == part.unwrap_or_default()
    };
    let variant = |part: Option<&str>| {
        let known = found.variant.as_deref().unwrap_or_default();
        part.is_none_or(|part| known == part || known.is_empty())
    };
    says(&found.os, parts.next()) && says(&found.architecture, parts.next()) && variant(parts.next())
}

fn other_platform(wanted: &ImageName, found: &ImageInspect, why: &str) -> Error {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let is = format!("{}/{}", part(&found.os), part(&found.architecture));
    Error::ImageNotFound {
        reference: wanted.to_string(),
        message: format!("the engine has one for {is}, and none for the other platform could be had{why}"),
    }
}

async fn inspect(shared: &Shared, reference: &str) -> Result<Option<ImageInspect>> {
    match within(BRIEF, shared.client.inspect_image(reference)).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if failure::is_absent(&error) => Ok(None),
        Err(error) => Err(failure::during(format!("look for the image `{reference}`"))(error)),
    }
}

async fn image(shared: &Arc<Shared>, inspected: &ImageInspect) -> Result<Image> {
    let facts = shared.snapshots.learn(inspected)?;
    let config = inspected.config.clone().unwrap_or_default();
    let snapshot = match &config.volumes {
        Some(volumes) if !volumes.is_empty() => recast::plain(shared, &facts).await?,
        _ => facts.id.clone(),
    };
    Ok(Image { id: facts.id.clone(), snapshot: Snapshot(snapshot), config: image_config(config) })
}

fn image_config(config: Found) -> ImageConfig {
    let variable =
        |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    ImageConfig {
        env: config.env.iter().flatten().filter_map(variable).collect(),
        workdir: config.working_dir.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
        healthcheck: config.healthcheck.and_then(healthcheck),
        shell: config.shell.unwrap_or_default(),
    }
}

fn healthcheck(check: HealthConfig) -> Option<Healthcheck> {
    let test = check.test.filter(|test| !test.is_empty())?;
    let duration =
        |nanoseconds: Option<i64>| Duration::from_nanos(u64::try_from(nanoseconds.unwrap_or(0)).unwrap_or(0));
    Some(Healthcheck {
        test,
        interval: duration(check.interval),
        timeout: duration(check.timeout),
        start_period: duration(check.start_period),
        retries: u32::try_from(check.retries.unwrap_or(0)).unwrap_or(0),
    })
}

/// Waits for the one pull of an image, beginning it where there is none.
async fn pull(shared: &Arc<Shared>, image: &ImageName, progress: &Progress) -> Result<()> {
    let pull = shared.pulls.join(shared, image);
    let mut state = pull.state.clone();
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Done(result) => return result,
            State::Pulling(line) => progress(&line),
        }
        if state.changed().await.is_err() {
            return Err(Error::engine(format!("pull `{image}`"), "the pull was broken off"));
        }
    }
}

impl Pulls {
    fn join(&self, shared: &Arc<Shared>, image: &ImageName) -> Arc<Pull> {
        let mut under_way = lock(&self.under_way);
        if let Some(pull) = under_way.get(image).and_then(Weak::upgrade) {
            // One that has failed is tried again by whoever comes later.
            if !matches!(*pull.state.borrow(), State::Done(_)) {
                return pull;
            }
        }
        let (tell, state) = watch::channel(State::Pulling(format!("pulling {image}")));
        let (client, name) = (shared.client.clone(), image.clone());
        let task = tokio::spawn(async move {
            let result = run_pull(&client, &name, &tell).await;
            tell.send_replace(State::Done(result));
        });
        let pull = Arc::new(Pull { state, task: task.abort_handle() });
        under_way.insert(image.clone(), Arc::downgrade(&pull));
        pull
    }
}

/// Pulls for the engine's own platform unless another is asked for. What has no such variant is an error: an emulated
/// one would be a surprise.
async fn run_pull(client: &bollard::Docker, image: &ImageName, tell: &watch::Sender<State>) -> Result<()> {
    let reference = &*image.reference;
    let found = credentials::find(reference).await;
    let options = CreateImageOptionsBuilder::default().from_image(reference);
    let options = match &image.platform {
        Some(platform) => options.platform(platform),
        None => options,
    };
    let options = options.build();
    let mut events = client.create_image(Some(options), None, found.credentials);
    let mut layers = Layers::default();
    let mut told = Instant::now();
    while let Some(event) = within(LONG, async { events.next().await.transpose() })
        .await
        .map_err(|error| refusal(reference, &error, &found.note))?
    {
        layers.note(event);
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell.send_replace(State::Pulling(format!("pulling {image}{layers}")));
        }
    }
    Ok(())
}

/// How far the layers are, by their ids.
#[derive(Default)]
struct Layers(HashMap<String, (i64, i64)>);

impl Layers {
    fn note(&mut self, event: CreateImageInfo) {
        let (Some(id), Some(detail)) = (event.id, event.progress_detail) else { return };
        // "Extracting" counts the same bytes again.
        if let (Some("Downloading"), Some(current), Some(total)) =
            (event.status.as_deref(), detail.current, detail.total)
        {
            self.0.insert(id, (current, total));
        }
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (current, total) = self.0.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
        if total > 0 {
            write!(f, ": {} of {} MB", current / 1_000_000, (total + 999_999) / 1_000_000)?;
        }
        Ok(())
    }
}

/// Tells a registry's refusals apart, which reach us as texts, often in a stream that began with 200 OK. `note` says
/// which credentials it was shown.
fn refusal(reference: &str, error: &Failure, note: &str) -> Error {
    if !matches!(error, Failure::DockerResponseServerError { .. } | Failure::DockerStreamError { .. }) {
        return Error::engine(format!("pull `{reference}`"), failure::message(error));
    }
    let message = failure::message(error);
    let reference = reference.to_owned();
    if matches!(failure::status(error), Some(401 | 403)) || speaks_of_refusal(&message) {
        return Error::Unauthorized { reference, message: format!("{message}\n{note}") };
    }
    Error::ImageNotFound { reference, message }
}

/// Whether a message has one of the words for it, other than in the name of an image.
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
        assert_eq!(layers.to_string(), "");
        for (id, current) in [("a", 2_000_000), ("b", 1_000_000), ("a", 3_000_000)] {
            let detail = bollard::models::ProgressDetail { current: Some(current), total: Some(10_000_000) };
            layers.note(CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some("Downloading".to_owned()),
                progress_detail: Some(detail),
                ..Default::default()
            });
        }
        assert_eq!(layers.to_string(), ": 4 of 20 MB");
    }
}
