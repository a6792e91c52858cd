//! Results of steps as images: each under its step's key, with labels that say how the step ended.

use std::collections::HashMap;
use std::io::{BufWriter, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use futures_util::stream;
use tokio::sync::mpsc;

use super::commit::{commit, commit_without_config};
use super::entries::file_header;
use super::failure::{self, BRIEF, within};
use super::held::HeldRun;
use super::import::{self, import_with};
use super::records::Facts;
use super::{Shared, labels, names, read};
use crate::engine::channel::{ChannelWriter, PIECES};
use crate::engine::{Call, Elsewhere, Recording, Written};
use crate::model::{Digest, MadeOf, Provenance, RunId, Snapshot};
use crate::{Error, Result};

/// Streams up to this size are labels of the image itself, so that one call reads everything; longer ones go into a
/// second image. Every listing of images contains all labels.
const LABEL_AT_MOST: u64 = 32 << 10;

/// The size of the pieces that an archive is sent in.
const PIECE: usize = 256 << 10;

/// A result as an image.
pub(super) struct Image {
    pub(super) snapshot: Snapshot,
    pub(super) output: Recording,
    pub(super) from: Provenance,
}

/// Finds the image of a result.
pub(super) async fn find(shared: &Arc<Shared>, key: &Digest) -> Result<Option<Image>> {
    let Some((id, labels)) = inspect(shared, key).await? else { return Ok(None) };
    let Some(output) = read_output(shared, &labels).await? else { return Ok(None) };
    let from = Provenance { run: run_of(&id, &labels), made_of: made_of(&labels), made: made(&labels) };
    Ok(Some(Image { snapshot: Snapshot(id), output, from }))
}

/// The image of a run, if it is there.
pub(super) async fn image_of(shared: &Arc<Shared>, key: &Digest, run: &RunId) -> Result<Option<Snapshot>> {
    let found = inspect(shared, key).await?;
    Ok(found.and_then(|(id, labels)| (run_of(&id, &labels) == *run).then_some(Snapshot(id))))
}

/// The id and the labels of a key's image.
async fn inspect(shared: &Arc<Shared>, key: &Digest) -> Result<Option<(String, HashMap<String, String>)>> {
    let name = names::step_image(key);
    // First: what is marked is not removed from then on.
    shared.uses(&name);
    let inspected = match within(BRIEF, shared.client.inspect_image(&name)).await {
        Ok(inspected) => inspected,
        Err(error) if failure::is_absent(&error) => {
            shared.forgets(&name);
            return Ok(None);
        }
        Err(error) => return Err(failure::during("look for a kept step")(error)),
    };
    let facts = shared.images.learn(&inspected)?;
    let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
    Ok(Some((facts.id.clone(), labels)))
}

/// The run that an image is of. Those of earlier versions, and what was sent, are each of a run of their own.
fn run_of(id: &str, labels: &HashMap<String, String>) -> RunId {
    labels.get(labels::RUN).filter(|run| !run.is_empty()).map_or(id, String::as_str).into()
}

/// What the labels say of what it was made of; nothing else is there to be believed.
fn made_of(labels: &HashMap<String, String>) -> Vec<MadeOf> {
    let said = labels.get(labels::MADE_OF).map(String::as_str).unwrap_or_default();
    let parts = said.split(' ').filter_map(|part| part.split_once(':'));
    parts.filter_map(|(key, run)| Some(MadeOf { key: key.parse().ok()?, run: run.into() })).collect()
}

/// When it was made; long ago if nothing says.
fn made(labels: &HashMap<String, String>) -> SystemTime {
    let millis = labels.get(labels::MADE).and_then(|text| text.parse().ok());
    let made = millis.and_then(|millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
    made.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Reads a step's end from the labels; `None` if they are not ours, or if what they refer to is gone.
async fn read_output(shared: &Arc<Shared>, found: &HashMap<String, String>) -> Result<Option<Recording>> {
    let Some(exit_code) = found.get(labels::EXIT).and_then(|code| code.parse().ok()) else { return Ok(None) };
    if let Some(image) = found.get(labels::OUTPUT).filter(|image| !image.is_empty()) {
        match within(BRIEF, shared.client.inspect_image(image)).await {
            Ok(_) => {}
            Err(error) if failure::is_absent(&error) => return Ok(None),
            Err(error) => return Err(failure::during("look for a kept step's output")(error)),
        }
        // Fetched lazily, as it may never be asked for.
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

/// A stream in a file of an image.
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

/// The directory of an output image's files.
const OUTPUT_DIRECTORY: &str = "/output";

/// Makes an image of what a run left, under the step's key.
///
/// The output goes first, and the image gets its name when it is created, so that a result that is found is always
/// complete.
pub(super) async fn keep(
    shared: &Arc<Shared>,
    left: &Arc<HeldRun>,
    facts: &Facts,
    output: &Recording,
) -> Result<Snapshot> {
    let (shared, left, facts, output) = (Arc::clone(shared), Arc::clone(left), facts.clone(), output.clone());
    let what = format!("keep what {} left", left.name());
    let cleaner = shared.cleaner.clone();
    let keep = async move {
        let labels = result_labels(&shared, &facts, output).await?;
        let (image, container, variables) =
            (names::step_image(&facts.key), left.container(), left.variables());
        let id = if left.has_secrets() {
            commit_without_config(&shared, container, variables, &image, labels).await?
        } else {
            commit(&shared, container, variables, Some(&image), labels).await?
        };
        // The container, if nobody else holds it.
        drop(left);
        Ok(Snapshot(id))
    };
    cleaner.to_its_end(&what, keep).await
}

/// Makes an image of an archive, under a key, as if a step without output had left it.
pub(super) async fn import(
    shared: &Arc<Shared>,
    key: &Digest,
    mut archive: mpsc::Receiver<std::io::Result<Vec<u8>>>,
) -> Result<Snapshot> {
    let end = output_labels(shared, key, Recording::default()).await?;
    let labels = end.iter().map(|(label, value)| format!("LABEL {label}=\"{value}\"")).collect();
    let archive = stream::poll_fn(move |context| archive.poll_recv(context));
    let name = names::step_image(key);
    let image = import_with(shared, &name, labels, archive).await?;
    shared.uses(&name);
    Ok(Snapshot(image))
}

/// The labels of a result's image.
pub(super) async fn result_labels(
    shared: &Arc<Shared>,
    facts: &Facts,
    output: Recording,
) -> Result<HashMap<String, String>> {
    let mut labels = output_labels(shared, &facts.key, output).await?;
    let Provenance { run, made_of, made } = &facts.from;
    let parts = made_of.iter().map(|part| format!("{}:{}", part.key, part.run.as_str()));
    labels.insert(labels::MADE_OF.to_owned(), parts.collect::<Vec<_>>().join(" "));
    labels.insert(labels::RUN.to_owned(), run.as_str().to_owned());
    labels.insert(labels::MADE.to_owned(), labels::millis(*made));
    Ok(labels)
}

/// The labels that hold a step's end, or refer to where it is.
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
    let image = names::output_image(key);
    let (send, mut pieces) = mpsc::channel(PIECES);
    let failed = send.clone();
    let write = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(BufWriter::with_capacity(PIECE, ChannelWriter::fallible(send)));
        for (name, stream) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let mut header = file_header(stream.length());
            archive.append_data(&mut header, format!("output/{name}"), stream.reader())?;
        }
        archive.into_inner()?.flush()
    });
    let end = async move {
        // An error, so that the engine does not take the part for the whole.
        let written = write.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        if let Err(error) = written {
            let _ = failed.send(Err(error)).await;
        }
    };
    let archive = stream::poll_fn(move |context| pieces.poll_recv(context));
    let (made, ()) = tokio::join!(import::import(shared, &image, archive), end);
    made?;
    found.insert(labels::OUTPUT.to_owned(), image);
    Ok(found)
}
