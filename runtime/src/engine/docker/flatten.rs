//! Images with the contents of others: without volumes, or of one layer.

use std::io::Write as _;
use std::sync::Arc;

use super::entries::Names;
use super::facts::Facts;
use super::failure::{BRIEF, within};
use super::idle::idle_container;
use super::import::{import, relabel};
use super::readers::Files;
use super::rewrite::changed;
use super::{Shared, scaffold};
use crate::Result;
use crate::engine::ImageConfig;
use crate::engine::channel::ChannelWriter;

/// An image with these layers and nothing else: no volumes, no variables, no command.
///
/// There is no other way to remove a `VOLUME`, and what a step writes into a volume is not in its snapshot. The result is
/// kept in the engine under a name of its own, so this cost is paid once per image.
pub(super) async fn strip_volumes(shared: &Arc<Shared>, image: &Facts) -> Result<String> {
    let name = format!("bowline/base:{}", short(&image.id));
    shared.uses(&name);
    if let Ok(inspected) = within(BRIEF, shared.client.inspect_image(&name)).await {
        return Ok(shared.images.learn(&inspected)?.id.clone());
    }
    match relabel(shared, image, &name, &ImageConfig::default()).await {
        Ok(id) => Ok(id),
        // Engines with an image store other than moby's classic one require the layers' contents too.
        Err(_) => copy(shared, image, &name).await,
    }
}

/// An image of one layer with the same contents.
pub(super) async fn flatten(shared: &Arc<Shared>, image: &Facts) -> Result<String> {
    let name = format!("bowline/flat:{}", short(&image.id));
    shared.uses(&name);
    if let Ok(inspected) = within(BRIEF, shared.client.inspect_image(&name)).await {
        return Ok(shared.images.learn(&inspected)?.id.clone());
    }
    copy(shared, image, &name).await
}

/// Copies an image's contents into a new image, streaming.
async fn copy(shared: &Arc<Shared>, image: &Facts, name: &str) -> Result<String> {
    let container = idle_container(shared, &image.id).await?;
    let files = Files::held(container.name().to_owned(), Arc::default());
    let scaffold = scaffold::of(shared, &files, &files.look(shared).await?, "/").await?;
    let contents = shared.client.export_container(container.name());
    let clear = move |from, to: std::io::BufWriter<ChannelWriter<Vec<u8>>>| {
        let mut archive = tar::Builder::new(to);
        scaffold::entries(from, Names::Whole, scaffold.as_ref(), |entry| entry.append_to(&mut archive))?;
        archive.into_inner()?.flush()
    };
    let id = changed(name, contents, clear, |archive| import(shared, name, archive)).await?;
    drop(container);
    Ok(id)
}

/// The first half of an image's digest: it fits into a tag, and is still long enough to be unique.
fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..32).unwrap_or(hex)
}
