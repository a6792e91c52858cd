//! Results of steps as layers: packed for other machines, and unpacked from them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use super::image::{AT_ONCE, Packing, pack, unpack};
use super::step::shorten;
use super::store::{StoredOutput, StoredStep, layers};
use super::{Shared, failed};
use crate::engine::blocking::blocking;
use crate::engine::oci::Packed;
use crate::engine::{Arrival, Image, LayerSink, LayerSource, Layers};
use crate::model::Snapshot;
use crate::{Error, Result};

/// Puts the layers of a file system where they are not yet, several at once.
pub(super) async fn send(
    shared: &Arc<Shared>,
    files: &Snapshot,
    image: Option<&Image>,
    to: &dyn LayerSink,
) -> Result<Layers> {
    let mut own = layers(files);
    let ground = image.filter(|image| {
        let below = layers(&image.snapshot);
        below.len() == image.layers.len() && own.starts_with(&below)
    });
    let image = ground.map(|image| image.layers.clone()).unwrap_or_default();
    let own = own.split_off(image.len());
    let send: Vec<_> = own.into_iter().map(|layer| send_layer(shared, layer, to).boxed()).collect();
    let own = stream::iter(send).buffered(AT_ONCE).try_collect().await?;
    Ok(Layers { image, own })
}

async fn send_layer(shared: &Shared, layer: PathBuf, to: &dyn LayerSink) -> Result<Packed> {
    // Results of one chain have the same layers, and are sent at once.
    let turn = shared.layer_turns.of(&layer.display().to_string());
    let _turn = turn.lock().await;
    if let Some(packed) = shared.store.packed(&layer)
        && to.has(&packed).await?
    {
        return Ok(packed);
    }
    shared.ready().await?;
    let what = "pack what a step left";
    let layer = pack(shared, layer, &Packing::default()).await.map_err(failed(what))?;
    if !to.has(&layer.packed).await? {
        to.put(&layer.packed, File::open(&layer.path).map_err(failed(what))?).await?;
    }
    Ok(layer.packed)
}

/// Stores a result from another machine.
pub(super) async fn receive(shared: &Arc<Shared>, result: Arrival, from: &dyn LayerSource) -> Result<()> {
    let Arrival { key, from: provenance, output, files, image: _ } = result;
    let what = "store a result from elsewhere";
    let Some(Layers { image, own }) = files else {
        let store = Arc::clone(shared);
        let keep = move || store.store.keep_output(&key, StoredOutput { from: provenance, output });
        return blocking(keep).await.map_err(failed(what));
    };
    let mut names = Vec::new();
    for digest in image {
        let (name, is_there) = shared.store.layer(digest.hash());
        if !is_there {
            return Err(Error::engine(what, format!("the image's layer {digest} is not here")));
        }
        names.push(name);
    }
    let receive: Vec<_> = own.iter().map(|layer| receive_layer(shared, layer, from).boxed()).collect();
    let own: Vec<String> = stream::iter(receive).buffered(AT_ONCE).try_collect().await?;
    names.extend(own);
    let names = shorten(shared, names).await.map_err(failed(what))?;
    let store = Arc::clone(shared);
    let keep = move || store.store.keep_step(&key, &StoredStep { layers: names, output, from: provenance });
    blocking(keep).await.map_err(failed(what))
}

/// The name of a layer, which is fetched and unpacked if the store does not have it.
async fn receive_layer(shared: &Shared, layer: &Packed, from: &dyn LayerSource) -> Result<String> {
    let turn = shared.layer_turns.of(&layer.unpacked.to_string());
    let _turn = turn.lock().await;
    let (name, is_there) = shared.store.layer(layer.unpacked.hash());
    if !is_there {
        let what = "unpack a layer from elsewhere";
        let archive = from.get(layer).await?;
        shared.ready().await?;
        unpack(shared, &archive, layer.size, &layer.unpacked).await.map_err(failed(what))?;
        let path = PathBuf::from("l").join(&name);
        shared.store.keep_packed(&path, layer).map_err(failed(what))?;
    }
    Ok(name)
}
