//! The watchdog's work, in its own process.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error as Failure;
use bollard::models::{ContainerSummary, Volume};
use bollard::query_parameters::{
    ListContainersOptions, ListImagesOptions, ListNetworksOptions, ListVolumesOptions,
    RemoveContainerOptions, RemoveImageOptions, RemoveVolumeOptions, StopContainerOptions,
};
use tokio::task::JoinSet;

use super::super::labels;
use super::super::spares::Taken;
use super::super::sweep::STOP_WITHIN;
use super::orders::{DONE, HAND_OVER, Post, TAKEN};
use crate::reexec::Channel;

/// A container whose creation was under way when the pipeline died appears late, on a busy machine by seconds: the
/// watchdog ends once it has found nothing for this long.
pub(super) const QUIET_FOR: Duration = Duration::from_secs(4);

/// Poll interval of what is left.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Timeout of the engine's calls, so that a hanging one does not hold up the others.
const CALL_WITHIN: Duration = Duration::from_secs(3);

/// When to give up on an engine that refuses, or does not answer. The next session sweeps.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2 * 60);

/// The whole life of a watchdog. `channel` leads to the pipeline.
pub(crate) fn main(channel: Channel) {
    let mut answers = channel.try_clone();
    let mut orders = BufReader::new(channel).lines();
    // Without orders there is nothing to do: the pipeline had made nothing yet.
    let Some(Ok(post)) = orders.next() else { return };
    let Ok(post) = serde_json::from_str::<Post>(&post) else { return };
    let mut log = Log::open(&post);
    log.say(format_args!("watching process {} for session {}", post.pipeline, post.session));

    match orders.next() {
        Some(Ok(order)) if order == DONE => return log.say("the session is closed"),
        Some(Ok(order)) if order == HAND_OVER => {
            if let Ok(answers) = &mut answers {
                let _ = answers.write_all(&[TAKEN]);
            }
            log.say("the session hands over what is left");
        }
        _ => log.say("the pipeline died"),
    }
    // The pipeline may be waiting for the end of this socket.
    drop((orders, answers));

    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(Removal::new(&post, &mut log).run()),
        Err(error) => log.say(error),
    }
}

/// Removes everything that has a session's label.
struct Removal<'a> {
    /// The orders: which session, and where.
    post: &'a Post,
    log: &'a mut Log,
    /// The client of the engine, once it was made.
    client: Option<Docker>,
    /// When the removal began.
    began: Instant,
    /// What is being removed, by the task that removes it.
    removing: HashMap<tokio::task::Id, String>,
    tasks: JoinSet<Outcome>,
}

/// The result of removing one thing.
struct Outcome {
    what: String,
    result: Result<(), String>,
}

impl<'a> Removal<'a> {
    fn new(post: &'a Post, log: &'a mut Log) -> Self {
        Self {
            post,
            log,
            client: None,
            began: Instant::now(),
            removing: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Ends when nothing was left for a while, or the engine is given up.
    async fn run(mut self) {
        let mut quiet_since = None;
        while self.began.elapsed() < GIVE_UP_AFTER {
            match self.look().await {
                Ok(0) => {
                    let since = *quiet_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= QUIET_FOR {
                        return self.log.say("nothing is left");
                    }
                }
                Ok(_) => quiet_since = None,
                Err(error) => {
                    quiet_since = None;
                    self.log.say(format_args!("cannot see what is left: {error}"));
                }
            }
            self.wait().await;
        }
        self.log.say("giving up; the next session will sweep");
    }

    /// Looks for what is left, begins to remove it, and returns how much it is.
    async fn look(&mut self) -> Result<usize, String> {
        let client = self.client().await?;
        let containers = self.containers(&client).await?;
        let (networks, images) = (self.networks(&client).await?, self.images(&client).await?);
        let volumes = self.volumes(&client).await?;
        let spares = self.post.spares.as_ref();
        let taken = spares.map(|spares| spares.of_session(&self.post.session)).unwrap_or_default();
        let left = containers.len() + networks.len() + taken.len() + images.len() + volumes.len();
        let left = left + self.tasks.len();
        // Networks and images cannot be removed before the containers that use them.
        let last = containers.is_empty();
        for container in containers {
            let Some(id) = container.id.clone() else { continue };
            let stop_within = STOP_WITHIN.saturating_sub(self.began.elapsed());
            self.begin(id.clone(), remove_container(client.clone(), container, id, stop_within));
        }
        // A cache that was new and that no service settled goes first, then the record of that, then the hold.
        let some_are_new = volumes.iter().any(|volume| volume.labels.contains_key(labels::NEW));
        for volume in volumes.into_iter().filter(|_| last) {
            let new = volume.labels.get(labels::NEW).cloned();
            if new.is_some() || !some_are_new {
                self.begin(volume.name.clone(), remove_volumes(client.clone(), new, volume.name));
            }
        }
        for (id, name) in networks.into_iter().filter(|_| last) {
            let client = client.clone();
            self.begin(id.clone(), async move {
                Outcome { what: format!("network {name}"), result: bounded(client.remove_network(&id)).await }
            });
        }
        for taken in taken.into_iter().filter(|_| last) {
            self.begin(taken.name.clone(), remove_taken(client.clone(), taken));
        }
        for name in images.into_iter().filter(|_| last) {
            let client = client.clone();
            self.begin(name.clone(), async move {
                let result =
                    bounded(client.remove_image(&name, None::<RemoveImageOptions>, None)).await.map(drop);
                Outcome { what: format!("image {name}"), result }
            });
        }
        Ok(left)
    }

    async fn containers(&self, client: &Docker) -> Result<Vec<ContainerSummary>, String> {
        let filters = Some(self.filters(labels::SESSION));
        bounded(client.list_containers(Some(ListContainersOptions {
            all: true,
            filters,
            ..Default::default()
        })))
        .await
    }

    /// Ids and names.
    async fn networks(&self, client: &Docker) -> Result<Vec<(String, String)>, String> {
        let filters = Some(self.filters(labels::SESSION));
        let networks = bounded(client.list_networks(Some(ListNetworksOptions { filters }))).await?;
        Ok(networks.into_iter().filter_map(|network| Some((network.id?, network.name?))).collect())
    }

    /// The images that the session kept only for itself.
    async fn images(&self, client: &Docker) -> Result<Vec<String>, String> {
        let filters = Some(self.filters(labels::HELD));
        let images =
            bounded(client.list_images(Some(ListImagesOptions { filters, ..Default::default() }))).await?;
        // One whose name another has by now is called `<none>:<none>` until it is gone.
        let name = |tags: Vec<String>| tags.into_iter().find(|tag| !tag.starts_with('<'));
        Ok(images.into_iter().map(|image| name(image.repo_tags).unwrap_or(image.id)).collect())
    }

    /// The volumes that represent the session's holds of caches.
    async fn volumes(&self, client: &Docker) -> Result<Vec<Volume>, String> {
        let filters = Some(self.filters(labels::SESSION));
        let volumes = bounded(client.list_volumes(Some(ListVolumesOptions { filters }))).await?;
        Ok(volumes.volumes.unwrap_or_default())
    }

    fn filters(&self, label: &str) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("{label}={}", self.post.session)])])
    }

    /// Begins to remove one thing, unless that is under way.
    fn begin(&mut self, id: String, work: impl Future<Output = Outcome> + Send + 'static) {
        if !self.removing.values().any(|other| *other == id) {
            let task = self.tasks.spawn(work);
            self.removing.insert(task.id(), id);
        }
    }

    /// The client of the engine, made when it is first needed.
    async fn client(&mut self) -> Result<Docker, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = bounded(self.post.connection.client()).await?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Waits until a removal ends, or until it is time to look again.
    async fn wait(&mut self) {
        let look_again = tokio::time::sleep(LOOK_EVERY);
        if self.tasks.is_empty() {
            return look_again.await;
        }
        tokio::select! {
            () = look_again => {}
            Some(ended) = self.tasks.join_next_with_id() => match ended {
                Ok((task, Outcome { what, result })) => {
                    self.removing.remove(&task);
                    match result {
                        Ok(()) => self.log.say(format_args!("removed {what}")),
                        Err(error) => self.log.say(format_args!("{what}: {error}")),
                    }
                }
                Err(error) => {
                    self.removing.remove(&error.id());
                }
            }
        }
    }
}

/// A running service gets its stop signal and a grace period; everything else is killed at once.
async fn remove_container(
    client: Docker,
    container: ContainerSummary,
    id: String,
    stop_within: Duration,
) -> Outcome {
    let labelled = container.labels.unwrap_or_default();
    let kind = labelled.get(labels::KIND).map_or("container", String::as_str);
    let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_else(|| id.clone());
    let what = format!("{kind} {}", name.trim_start_matches('/'));

    if kind == labels::KIND_SERVICE && !stop_within.is_zero() {
        let seconds = i32::try_from(stop_within.as_secs()).unwrap_or(0);
        let stop = client.stop_container(&id, Some(StopContainerOptions { t: Some(seconds), signal: None }));
        // Whatever the result, the container is removed next, which kills it.
        let _ = tokio::time::timeout(stop_within, stop).await;
    }
    let options = RemoveContainerOptions { v: true, force: true, link: false };
    Outcome { what, result: bounded(client.remove_container(&id, Some(options))).await }
}

/// Removes a network that could have been left for others: who knows what still uses it.
async fn remove_taken(client: Docker, taken: Taken) -> Outcome {
    let removed = bounded(async {
        match client.remove_network(&taken.name).await {
            Err(Failure::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            other => other,
        }
    });
    let result = removed.await;
    if result.is_ok() {
        taken.forget();
    }
    Outcome { what: format!("network {}", taken.name), result }
}

/// Removes one volume, and then the other.
async fn remove_volumes(client: Docker, first: Option<String>, then: String) -> Outcome {
    let what = format!("volume {then}");
    for name in first.into_iter().chain([then]) {
        let removed = bounded(async {
            match client.remove_volume(&name, None::<RemoveVolumeOptions>).await {
                Err(Failure::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
                other => other,
            }
        });
        if let Err(error) = removed.await {
            return Outcome { what, result: Err(error) };
        }
    }
    Outcome { what, result: Ok(()) }
}

/// A call of the engine with a timeout.
async fn bounded<T, E: std::fmt::Display>(call: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(CALL_WITHIN, call).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", CALL_WITHIN.as_secs())),
    }
}

/// The log file, if one was asked for.
struct Log {
    file: Option<File>,
    opened: Instant,
}

impl Log {
    fn open(post: &Post) -> Self {
        let open = |path| File::options().create(true).append(true).open(path).ok();
        Self { file: post.log.as_ref().and_then(open), opened: Instant::now() }
    }

    /// An error of writing the log is ignored.
    fn say(&mut self, what: impl std::fmt::Display) {
        if let Some(file) = &mut self.file {
            let at = self.opened.elapsed().as_millis();
            let _ = file
                .write_all(format!("bowline watchdog {}: {at} ms: {what}\n", std::process::id()).as_bytes());
        }
    }
}
