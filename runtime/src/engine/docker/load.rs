//! Images that are files of this machine, sent to the engine.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use bollard::query_parameters::ImportImageOptionsBuilder;
use futures_util::{TryStreamExt as _, stream};
use tokio::sync::mpsc;

use super::facts::{image, inspect};
use super::failure::{self, LONG, within};
use super::{Shared, names};
use crate::engine::channel::{ChannelWriter, Piece};
use crate::engine::oci::Saved;
use crate::engine::oci::archive::{self, Archived, Layer};
use crate::engine::{Image, Progress};
use crate::event::{EventKind, Verb};
use crate::model::{ImageFile, ImageName};
use crate::{Error, Result};

/// Finds the image in the engine by the digest in the file, sending it if it is absent.
pub(super) async fn load(
    shared: &Arc<Shared>,
    name: &ImageName,
    file: &ImageFile<'_>,
    progress: &Progress,
) -> Result<Image> {
    let what = format!("load `{name}`");
    let found = archive::find(name, file, &shared.description.platform)?;
    let called = names::loaded_image(found.id.hash());
    shared.uses(&called);
    if let Some(present) = inspect(&shared.client, &called).await? {
        return image(shared, &present);
    }
    progress(EventKind::begins(Verb::Loading));
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let (tell, mut pieces) = mpsc::channel::<Piece>(4);
    let tag = called.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut sink = ChannelWriter::fallible(tell.clone());
        if let Err(error) = write(&found, &tag, &mut sink) {
            // If nobody listens, the engine has answered already.
            let _ = tell.blocking_send(Err(error));
        }
    });
    let pieces = stream::poll_fn(move |context| pieces.poll_recv(context));
    let body = bollard::body_try_stream(pieces.map_ok(Into::into));
    let load = shared.client.import_image(options, body, None);
    let loaded = within(LONG, load.try_for_each(|_| async { Ok(()) })).await;
    let _ = writing.await;
    loaded.map_err(failure::during(&*what))?;
    match inspect(&shared.client, &called).await? {
        Some(present) => image(shared, &present),
        None => Err(Error::engine(what, "the engine took it, but does not have it")),
    }
}

/// An archive in the format that every engine of this API reads, whatever the image's was: layers stay as they are.
fn write(image: &Archived, tag: &str, sink: &mut impl io::Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(64 << 10, sink));
    let config = format!("{}.json", image.id.hash());
    let layers = Saved::layer_names(image.layers.len());
    let manifest = Saved::named(tag, &config, layers.clone()).document()?;
    add(&mut archive, &config, image.document.len() as u64, &image.document[..])?;
    for (layer, name) in image.layers.iter().zip(&layers) {
        let Layer { path, offset, size, .. } = layer;
        let mut file = crate::regular::open(path)?;
        file.seek(SeekFrom::Start(*offset))?;
        add(&mut archive, name, *size, file.take(*size))?;
    }
    add(&mut archive, "manifest.json", manifest.len() as u64, &manifest[..])?;
    io::Write::flush(&mut archive.into_inner()?)
}

fn add(
    archive: &mut tar::Builder<impl io::Write>,
    name: &str,
    size: u64,
    contents: impl io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, contents)
}
