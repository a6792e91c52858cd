//! What steps leave, kept for good under the step's key: an image whose labels say how the step ended.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use bollard::models::{ContainerConfig, HealthConfig};
use bollard::query_parameters::CommitContainerOptionsBuilder;
use data_encoding::BASE64;
use futures_util::stream;
use serde_json::json;
use tokio::sync::mpsc;

use super::create::Created;
use super::failure::{self, BRIEF, LONG, within};
use super::image::image_id;
use super::{Shared, labels, names, read, recast, snapshot};
use crate::engine::{Call, Elsewhere, Kept, Recording, Written};
use crate::model::Digest;
use crate::model::Snapshot;
use crate::{Error, Result};

/// Streams up to this size are labels of the image itself, so that one call reads everything; longer ones go into a
/// second image. Labels are handed around with every listing of images.
const LABEL_AT_MOST: u64 = 32 << 10;

/// How much of an archive is sent at once.
const PIECE: usize = 256 << 10;

/// What an image that is never run has as its command: something must be there, lest the container's own is kept.
const NO_COMMAND: &str = "bowline";

/// Finds what was kept under a key.
pub(super) async fn lookup(shared: &Arc<Shared>, key: &Digest) -> Result<Option<Kept>> {
    let inspected = match within(BRIEF, shared.client.inspect_image(&names::step_image(key))).await {
        Ok(inspected) => inspected,
        Err(error) if failure::is_absent(&error) => return Ok(None),
        Err(error) => return Err(failure::during("look for a kept step")(error)),
    };
    let facts = shared.snapshots.learn(&inspected)?;
    let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
    Ok(read_output(shared, &labels)
        .await?
        .map(|output| Kept { snapshot: Snapshot(facts.id.clone()), output }))
}

/// What the labels say of a step's end; `None` where they are not ours, or what they point to is gone.
async fn read_output(shared: &Arc<Shared>, found: &HashMap<String, String>) -> Result<Option<Recording>> {
    let Some(exit_code) = found.get(labels::EXIT).and_then(|code| code.parse().ok()) else { return Ok(None) };
    if let Some(image) = found.get(labels::OUTPUT).filter(|image| !image.is_empty()) {
        match within(BRIEF, shared.client.inspect_image(image)).await {
            Ok(_) => {}
            Err(error) if failure::is_absent(&error) => return Ok(None),
            Err(error) => return Err(failure::during("look for a kept step's output")(error)),
        }
        // Nobody may ever ask for it.
        let stream = |name| {
            let (shared, image) = (Arc::clone(shared), image.clone());
            Written::Elsewhere(Arc::new(InImage {
                shared,
                image,
                path: format!("{OUTPUT_DIRECTORY}/{name}"),
            }))
        };
        return Ok(Some(Recording { stdout: stream("stdout"), stderr: stream("stderr"), exit_code }));
    }
    let stream = |label| found.get(label).and_then(|text| BASE64.decode(text.as_bytes()).ok());
    let streams = stream(labels::STDOUT).zip(stream(labels::STDERR));
    Ok(streams.map(|(stdout, stderr)| Recording { stdout: stdout.into(), stderr: stderr.into(), exit_code }))
}

/// A stream that is a file of an image.
struct InImage {
    shared: Arc<Shared>,
    image: String,
    path: String,
}

impl Elsewhere for InImage {
    fn fetch(&self) -> Call<'_, Written> {
        Box::pin(read::written(&self.shared, &self.image, &self.path))
    }
}

/// Where an output image has its files.
const OUTPUT_DIRECTORY: &str = "/output";

/// Keeps a step's container under a key.
///
/// The output goes first and the image's name is given with the image, so that what is found is always complete.
pub(super) async fn keep(
    shared: &Arc<Shared>,
    created: Created,
    name: &str,
    key: &Digest,
    output: Recording,
    has_secrets: bool,
) -> Result<Snapshot> {
    let (shared, key, name) = (Arc::clone(shared), *key, name.to_owned());
    let what = format!("keep what {name} left");
    let cleaner = shared.cleaner.clone();
    let keep = async move {
        let labels = output_labels(&shared, &key, output).await?;
        let image = names::step_image(&key);
        let id = if has_secrets {
            commit_without_config(&shared, created.container.name(), &created.variables, &image, labels)
                .await?
        } else {
            commit(&shared, created.container.name(), &created.variables, Some(&image), labels).await?
        };
        drop(created);
        Ok(Snapshot(id))
    };
    cleaner.to_its_end(&what, keep).await
}

/// Makes an image of an archive, under a key as if a step had left it that wrote nothing.
pub(super) async fn import(
    shared: &Arc<Shared>,
    key: &Digest,
    mut archive: mpsc::Receiver<std::io::Result<Vec<u8>>>,
) -> Result<Snapshot> {
    let end = output_labels(shared, key, Recording::default()).await?;
    let labels = end.iter().map(|(label, value)| format!("LABEL {label}=\"{value}\"")).collect();
    let archive = stream::poll_fn(move |context| archive.poll_recv(context));
    let image = recast::import_with(shared, &names::step_image(key), labels, archive).await?;
    Ok(Snapshot(image))
}

/// The labels that hold a step's end, or say where it is held.
async fn output_labels(
    shared: &Arc<Shared>,
    key: &Digest,
    output: Recording,
) -> Result<HashMap<String, String>> {
    let mut found = HashMap::from([(labels::EXIT.to_owned(), output.exit_code.to_string())]);
    if output.stdout.length().max(output.stderr.length()) <= LABEL_AT_MOST {
        for (label, stream) in [(labels::STDOUT, &output.stdout), (labels::STDERR, &output.stderr)] {
            let bytes = stream.to_vec().map_err(|error| Error::engine("read what a step wrote", error))?;
            found.insert(label.to_owned(), BASE64.encode(&bytes));
        }
        found.insert(labels::OUTPUT.to_owned(), String::new());
        return Ok(found);
    }
    let image = format!("bowline/output:{key}");
    let (send, mut pieces) = mpsc::channel(16);
    let failed = send.clone();
    let write = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(BufWriter::with_capacity(PIECE, Pieces(send)));
        for (name, stream) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let mut header = recast::file_header(stream.length());
            archive.append_data(&mut header, format!("output/{name}"), stream.reader())?;
        }
        archive.into_inner()?.flush()
    });
    let end = async move {
        // The engine is not to take what there is for the whole.
        let written = write.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        if let Err(error) = written {
            let _ = failed.send(Err(error)).await;
        }
    };
    let archive = stream::poll_fn(move |context| pieces.poll_recv(context));
    let (made, ()) = tokio::join!(recast::import(shared, &image, archive), end);
    made?;
    found.insert(labels::OUTPUT.to_owned(), image);
    Ok(found)
}

/// Sends what is written, piece by piece.
struct Pieces(mpsc::Sender<std::io::Result<Vec<u8>>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Ok(bytes.to_vec()));
        sent.map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Makes an image of a container.
///
/// The engine completes the configuration it is given with the container's own (moby, `daemon/commit.go`, `merge`), so
/// everything that must not be in the image is set to something else. Variables are named without values: then
/// containers of the image do not have them unless they are given them.
async fn commit(
    shared: &Shared,
    container: &str,
    variables: &[String],
    image: Option<&str>,
    mut labels: HashMap<String, String>,
) -> Result<String> {
    for label in [labels::SESSION, labels::OWNER, labels::KIND] {
        labels.entry(label.to_owned()).or_default();
    }
    let config = ContainerConfig {
        entrypoint: Some(Vec::new()),
        cmd: Some(vec![NO_COMMAND.to_owned()]),
        env: Some(variables.to_vec()),
        working_dir: Some("/".to_owned()),
        user: Some("0".to_owned()),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        labels: Some(labels),
        ..Default::default()
    };
    let mut options = CommitContainerOptionsBuilder::default().container(container).pause(false);
    if let Some((repository, tag)) = image.and_then(|image| image.rsplit_once(':')) {
        options = options.repo(repository).tag(tag);
    }
    let made = within(LONG, shared.client.commit_container(options.build(), config))
        .await
        .map_err(failure::during("keep a file system"))?;
    Ok(image_id(Some(&made.id))?.to_string())
}

/// As [`commit`], for a container that was given secrets. Engines before 25 put the container's whole configuration
/// beside the image's, values of variables and all, so the image is made anew from its layers alone.
async fn commit_without_config(
    shared: &Arc<Shared>,
    container: &str,
    variables: &[String],
    image: &str,
    labels: HashMap<String, String>,
) -> Result<String> {
    let draft = commit(shared, container, variables, None, HashMap::new()).await?;
    let facts = snapshot::facts(shared, &draft).await?;
    let config = json!({ "Cmd": [NO_COMMAND], "Labels": labels });
    let made = recast::relabel(shared, &facts, image, &config).await;
    shared.cleaner.remove_image(&draft).await;
    made
}

/// Makes an image of a held container, for the session's time.
pub(super) async fn commit_held(shared: &Arc<Shared>, container: &str) -> Result<String> {
    let (shared, container) = (Arc::clone(shared), container.to_owned());
    let cleaner = shared.cleaner.clone();
    let commit = async move {
        let inspected = within(BRIEF, shared.client.inspect_container(&container, None))
            .await
            .map_err(failure::during("find a held file system"))?;
        let env = inspected.config.and_then(|config| config.env).unwrap_or_default();
        let variables: Vec<_> =
            env.iter().map(|text| text.split('=').next().unwrap_or_default().to_owned()).collect();
        let mut labels = labels::of(&shared.session, &container);
        labels.remove(labels::SESSION);
        labels.insert(labels::HELD.to_owned(), shared.session.to_string());
        let image = names::held_image(&container);
        // Whether a held container was given secrets is not known any more: it is treated as if it was.
        commit_without_config(&shared, &container, &variables, &image, labels).await
    };
    cleaner.to_its_end("keep a file system", commit).await
}
