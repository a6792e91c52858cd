//! Images made of steps' results: made in the engine, pushed to registries, written into files.

use std::io::Write as _;
use std::sync::Arc;

use bollard::errors::Error as Failure;
use bollard::query_parameters::{PushImageOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::facts::{facts, inspect, noted_digest};
use super::failure::{self, BRIEF, LONG, within};
use super::{Shared, clear, names, pull, snapshot};
use crate::engine::oci::credentials;
use crate::engine::{ImageSpec, Progress};
use crate::event::{EventKind, Verb};
use crate::model::{ContentDigest, ImageName};
use crate::{Error, Result};

/// Makes an image and pushes it; returns the digest of its manifest. The engine pushes the image that a reference names
/// in it, so the reference names this one for a while.
pub(super) async fn publish(
    shared: &Arc<Shared>,
    image: &ImageSpec,
    name: &ImageName,
    progress: &Progress,
) -> Result<String> {
    let turn = shared.pulls.turn(name);
    let _turn = turn.lock().await;
    progress(EventKind::begins(Verb::Pushing));
    let made = make(shared, image, &name.reference).await?;
    let pushed = push(shared, &name.reference).await;
    made.let_go().await;
    pushed
}

/// Makes an image and writes it into a file, in the format of `docker save`.
pub(super) async fn export(shared: &Arc<Shared>, image: &ImageSpec, mut to: std::fs::File) -> Result<()> {
    let what = "export an image";
    let made = make(shared, image, &names::exported_image(&shared.number('x'))).await?;
    // Exported by its id, so that the name is not in the archive.
    let mut pieces = std::pin::pin!(shared.client.export_image(&made.id));
    while let Some(piece) =
        within(LONG, async { pieces.next().await.transpose() }).await.map_err(failure::during(what))?
    {
        to.write_all(&piece).map_err(|error| Error::engine(what, error))?;
    }
    made.let_go().await;
    Ok(())
}

/// An image that a name refers to for a while.
struct Made {
    shared: Arc<Shared>,
    name: String,
    id: String,
    /// The image that the name referred to before.
    before: Option<String>,
    /// Whether dropping this restores the name.
    is_armed: bool,
}

async fn make(shared: &Arc<Shared>, image: &ImageSpec, name: &str) -> Result<Made> {
    let what = format!("make the image {name}");
    shared.check_open(&what)?;
    let facts = facts(shared, &snapshot::image(shared, &image.snapshot).await?).await?;
    let (owned, image, name) = (Arc::clone(shared), image.clone(), name.to_owned());
    let make = async move {
        let before = inspect(&owned.client, &name).await?.and_then(|found| found.id);
        let id = Box::pin(clear::dress(&owned, &image, &facts, &name)).await?;
        Ok(Made { shared: owned, name, id, before, is_armed: true })
    };
    shared.cleaner.to_its_end(&what, make).await
}

impl Made {
    /// Restores what the name referred to before, even if that was nothing, and waits until it does.
    async fn let_go(mut self) {
        self.is_armed = false;
        let cleaner = self.shared.cleaner.clone();
        let _ = cleaner.spawn(give_back(self.parts())).await;
    }

    fn parts(&mut self) -> Parts {
        Parts {
            client: self.shared.client.clone(),
            name: std::mem::take(&mut self.name),
            id: std::mem::take(&mut self.id),
            before: self.before.take(),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.is_armed {
            let parts = self.parts();
            drop(self.shared.cleaner.spawn(give_back(parts)));
        }
    }
}

struct Parts {
    client: bollard::Docker,
    name: String,
    id: String,
    before: Option<String>,
}

async fn give_back(parts: Parts) {
    let Parts { client, name, id, before } = parts;
    let now = inspect(&client, &name).await.ok().flatten().and_then(|found| found.id);
    // The name was changed by somebody else, or the image is the user's own.
    if now.as_ref() != Some(&id) || before.as_ref() == Some(&id) {
        return;
    }
    // Removing its last tag also removes the digests that it got in the repository, and the image.
    let options = RemoveImageOptionsBuilder::default().noprune(true).build();
    let _ = within(BRIEF, client.remove_image(&name, Some(options), None)).await;
    if let Some(before) = before {
        let _ = pull::tag(&client, &before, &name).await;
    }
}

/// Pushes the image that a reference names. The engine's progress names no layers (bollard 0.21 drops the ids), so it
/// cannot be summed up.
async fn push(shared: &Shared, reference: &str) -> Result<String> {
    let found = credentials::find(reference).await;
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let credentials = found.credentials.map(pull::shown);
    let mut events = std::pin::pin!(shared.client.push_image(repository, Some(options), credentials));
    let mut digest = None;
    while let Some(event) = within(LONG, async { events.next().await.transpose() })
        .await
        .map_err(|error| refusal(reference, &error, &found.note))?
    {
        digest = event.status.as_deref().and_then(pushed_digest).or(digest);
    }
    if digest.is_none() {
        let pushed = inspect(&shared.client, reference).await?;
        digest = pushed.and_then(|pushed| noted_digest(&pushed, reference)).map(|digest| digest.to_string());
    }
    digest.ok_or_else(|| {
        Error::engine(format!("push `{reference}`"), "the engine does not say what digest it has there")
    })
}

/// Parses the line that ends a push: `1.2: digest: sha256:… size: 528`.
fn pushed_digest(status: &str) -> Option<String> {
    let (_, rest) = status.split_once("digest: ")?;
    let digest: ContentDigest = rest.split(' ').next()?.parse().ok()?;
    Some(digest.to_string())
}

fn refusal(reference: &str, error: &Failure, note: &str) -> Error {
    let message = failure::message(error);
    if pull::is_of_rights(error) {
        let message = format!("{message}\n{note}");
        return Error::Unauthorized {
            doing: "push",
            reference: reference.to_owned(),
            message,
            locations: Vec::new(),
        };
    }
    Error::engine(format!("push `{reference}`"), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_what_was_pushed_is_read() {
        let digest = format!("sha256:{:064}", 1);
        assert_eq!(pushed_digest(&format!("1.2: digest: {digest} size: 528")), Some(digest.clone()));
        assert_eq!(pushed_digest("digest: none"), None);
    }
}
