//! Room for replacements of directories: an image without those directories.
//!
//! An archive can remove a directory too, and does so where one was placed just before. But with an archive, the result
//! of replacing a directory of the image depends on the engine's storage driver: with fuse-overlayfs, some of the old
//! directory's entries come back. Whiteouts in a layer (OCI image layer specification, "whiteouts") work with every
//! engine.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::facts::{Facts, facts};
use super::import::with_layer;
use super::path::locate;
use super::{Shared, names, read, snapshot};
use crate::engine::{Filesystem, Placement};
use crate::model::ContentDigest;
use crate::model::{EntryKind, Existing, Snapshot};
use crate::paths::lies_in;
use crate::{Error, Result};

/// The image to make a container of, without the directories that are to be replaced; and the placements, with the links
/// that exist now resolved.
pub(super) async fn base_image(
    shared: &Arc<Shared>,
    filesystem: &Filesystem,
) -> Result<(Arc<Facts>, Vec<Placement>)> {
    let base = snapshot::base_image(shared, &filesystem.base).await?;
    let mut placements = filesystem.placements.clone();
    let gone = gone(shared, &base, &mut placements).await?;
    // The engine mounts the container's mounts while it places files: what an archive deletes there would be deleted in
    // the mount.
    for placement in &placements {
        let Placement::Copy { to, existing: Existing::Goes, .. } = placement else { continue };
        if let Some(mount) = filesystem.mounts.iter().find(|mount| lies_in(&mount.path, to)) {
            let message = format!(
                "`{to}` is replaced by a mount, and `{}` lies in it by way of a link\n\nhelp: mount it at `{to}` itself",
                mount.path
            );
            return Err(Error::engine("make room for a mount", message));
        }
    }
    if gone.is_empty() {
        return Ok((base, placements));
    }
    let image = without(shared, base, &gone).await?;
    Ok((image, placements))
}

async fn without(shared: &Arc<Shared>, base: Arc<Facts>, gone: &BTreeSet<String>) -> Result<Arc<Facts>> {
    let layer = layer(shared, &base, gone).await?;
    let digest = ContentDigest::of(&layer);
    let name = names::cleared_image(&base.id, &digest);
    shared.uses(&name);
    match with_layer(shared, &base, &name, digest, &layer).await {
        Ok(id) => facts(shared, &id).await,
        // Engines with an image store other than moby's classic one require the contents of all layers: with those the
        // archive that places the files also removes the directory, and their result is right.
        Err(_) => Ok(base),
    }
}

/// The directories to remove, by path, only the outermost.
async fn gone(shared: &Arc<Shared>, base: &Facts, placements: &mut [Placement]) -> Result<BTreeSet<String>> {
    let mut gone: BTreeSet<String> = BTreeSet::new();
    for placement in placements {
        let Placement::Copy { from, to, existing: Existing::Goes, .. } = placement else { continue };
        if !from.ends_with('/') {
            continue;
        }
        let looking = snapshot::files(shared, &Snapshot(base.id.clone())).await?.look(shared).await?;
        if let Some((path, EntryKind::Directory)) = locate(shared, looking.name(), to).await? {
            to.clone_from(&path);
            if !gone.iter().any(|outer| lies_in(&path, outer)) {
                gone.retain(|inner| !lies_in(inner, &path));
                gone.insert(path);
            }
        }
    }
    Ok(gone)
}

/// A layer that deletes them, and keeps everything above them as it was: the same bytes each time.
async fn layer(shared: &Arc<Shared>, base: &Facts, gone: &BTreeSet<String>) -> Result<Vec<u8>> {
    const WHAT: &str = "make room for a mount";
    let snapshot = Snapshot(base.id.clone());
    let mut archive = tar::Builder::new(Vec::new());
    let mut written = BTreeSet::new();
    for path in gone {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            let parent = path.get(..at).unwrap_or_default();
            if written.insert(parent.to_owned()) {
                archive = read::itself_into(shared, &snapshot, parent, archive).await?;
            }
        }
        let (above, name) =
            path.rsplit_once('/').map_or((String::new(), path), |(above, name)| (format!("{above}/"), name));
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(0);
        let added = archive.append_data(&mut header, format!("{above}.wh.{name}"), io::empty());
        added.map_err(|error| Error::engine(WHAT, error))?;
    }
    archive.into_inner().map_err(|error| Error::engine(WHAT, error))
}
