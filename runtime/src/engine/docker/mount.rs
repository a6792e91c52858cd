//! Mounts: visible while a process runs, and not part of what the process leaves.
//!
//! Cache volumes are named volumes of the engine. Everything else is in a *holder*: a container with an anonymous volume,
//! which is removed with it, whoever removes it. Contents are put into the holder's volume, and mounted from where the
//! volume is on the engine's machine: as bind mounts, since engines before 26 can mount neither a part of a volume nor a
//! single file.
//!
//! The engine follows links in the source path of a bind mount, on its own machine: so only this file decides what is in
//! a holder. Its image is one of [our own](super::own) with an empty directory, never one that a snapshot is made of;
//! nothing is copied into its volume but what is streamed there; and the source is inspected before it is bound
//! ([`held`]).
//!
//! A secret's holder has a volume in memory, which exists only while a running container uses it: so that holder runs
//! (the helper that [probes](super::probe) services, waiting for something that never comes). Nothing of a secret is on a
//! disk of the engine, or in a container's configuration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bollard::models::{
    ContainerCreateBody, HostConfig, Mount as Mounted, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig, VolumeCreateRequest,
};
use bollard::query_parameters::ContainerArchiveInfoOptionsBuilder;
use futures_util::stream;
use tokio::sync::OnceCell;

use super::cleaner::Container;
use super::failure::{self, BRIEF, LONG, within};
use super::recipe::Recipe;
use super::{Shared, helper, labels, names, own, path, place, read};
use crate::engine::user::User;
use crate::engine::{Mount, MountSource, Placement};
use crate::lock::lock;
use crate::model::{Access, CacheKey, EntryKind, Existing, Snapshot};
use crate::{Error, Result};

/// The mounts of this session, each made once.
#[derive(Default)]
pub(super) struct Mounts {
    /// Cache volumes that are known to exist, by name.
    volumes: Once<()>,
    /// Holders, by what they contain.
    holders: Once<Holder>,
}

type Once<T> = Mutex<HashMap<String, Arc<OnceCell<T>>>>;

/// A container whose volume has some contents.
pub(super) struct Holder {
    /// Removed with the session.
    _container: Container,
    /// The path of the contents on the engine's machine.
    path: String,
}

/// The mount point of a holder's volume, and the part of it with the contents.
pub(super) const DIRECTORY: &str = "/bowline";
const THING: &str = "held";

/// The size limit in memory for the secret of one mount. Docker's Swarm API allows 500 kB; certificates with their chains
/// are a few.
const MEMORY: &str = "size=4m,mode=0700";

/// The mounts of a container, for the engine.
pub(super) async fn mounts(shared: &Arc<Shared>, recipe: &Recipe<'_>) -> Result<Vec<Mounted>> {
    let mut mounts = Vec::with_capacity(recipe.filesystem.mounts.len());
    for mount in &recipe.filesystem.mounts {
        let (typ, source) = match &mount.source {
            MountSource::Cache(key) => (MountType::VOLUME, Some(cache(shared, key).await?)),
            MountSource::Snapshot { snapshot, from } => {
                let points = points(&mount.path, &recipe.filesystem.mounts);
                (MountType::BIND, Some(files(shared, snapshot, from, &points).await?))
            }
            MountSource::Secret(contents) => {
                (MountType::BIND, Some(secret(shared, recipe, mount, contents).await?))
            }
            MountSource::Memory => (MountType::TMPFS, None),
            MountSource::Socket(host) => (MountType::BIND, Some(host.clone())),
        };
        mounts.push(Mounted {
            typ: Some(typ),
            source,
            target: Some(mount.path.clone()),
            // Mode 0400 keeps all but root from writing to a secret.
            read_only: Some(
                mount.access == Access::ReadOnly || matches!(mount.source, MountSource::Secret(_)),
            ),
            ..Default::default()
        });
    }
    Ok(mounts)
}

/// The name of a cache volume, which is created if it is missing.
async fn cache(shared: &Shared, key: &CacheKey) -> Result<String> {
    let name = names::cache_volume(key);
    shared.uses(&name);
    let cell = Arc::clone(lock(&shared.mounts.volumes).entry(name.clone()).or_default());
    let make = || async {
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(labels::of_cache(key)),
            ..Default::default()
        };
        // Creating a volume that exists is no error and changes nothing.
        within(BRIEF, shared.client.create_volume(request))
            .await
            .map(drop)
            .map_err(failure::during(format!("make the cache volume `{key}`")))
    };
    cell.get_or_try_init(make).await?;
    Ok(name)
}

/// Notes that a cache volume is gone: the next user creates it.
pub(super) fn forget_cache(shared: &Shared, volume: &str) {
    lock(&shared.mounts.volumes).remove(volume);
}

/// The mount points that other mounts need inside a mount: paths below its own, and their kinds.
fn points(path: &str, mounts: &[Mount]) -> Vec<(String, EntryKind)> {
    // A mount in between makes room for them itself, except a tmpfs: the engine also inspects containers that do not run,
    // where a tmpfs does not exist.
    let is_between = |outer: &Mount, point: &str| {
        !matches!(outer.source, MountSource::Memory)
            && ![path, point].contains(&outer.path.as_str())
            && crate::paths::lies_in(&outer.path, path)
            && crate::paths::lies_in(point, &outer.path)
    };
    let below = |mount: &Mount| {
        let relative = mount.path.strip_prefix(path)?.strip_prefix('/')?;
        if mounts.iter().any(|outer| is_between(outer, &mount.path)) {
            return None;
        }
        let kind = match &mount.source {
            MountSource::Cache(_) | MountSource::Memory => EntryKind::Directory,
            MountSource::Snapshot { from, .. } if from.ends_with('/') => EntryKind::Directory,
            MountSource::Snapshot { .. } | MountSource::Secret(_) | MountSource::Socket(_) => EntryKind::File,
        };
        Some((relative.to_owned(), kind))
    };
    mounts.iter().filter_map(below).collect()
}

/// The path of a snapshot's files on the engine's machine. As nobody can write there once it is mounted, the mount points
/// of others in it are made before.
async fn files(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    from: &str,
    points: &[(String, EntryKind)],
) -> Result<String> {
    let cell = holder(shared, format!("{} {from} {points:?}", snapshot.0));
    let make = || async {
        let container = hold(shared, &empty_image(shared).await?, None).await?;
        let to = format!("{DIRECTORY}/{THING}");
        let copy = Placement::Copy {
            snapshot: snapshot.clone(),
            from: from.to_owned(),
            to,
            existing: Existing::Stays,
        };
        place::place(shared, &container, "a read-only mount", &[copy]).await?;
        for (point, kind) in points {
            place::make(shared, &container, &format!("{DIRECTORY}/{THING}/{point}"), *kind).await?;
        }
        let kind = if from.ends_with('/') { EntryKind::Directory } else { EntryKind::File };
        held(shared, container, kind).await
    };
    Ok(cell.get_or_try_init(make).await?.path.clone())
}

/// The path of a secret on the engine's machine, in memory.
async fn secret(shared: &Arc<Shared>, recipe: &Recipe<'_>, mount: &Mount, contents: &[u8]) -> Result<String> {
    let what = || format!("mount a secret at `{}` in {}", mount.path, recipe.name);
    let user = owner(shared, recipe).await?;
    // The hash distinguishes secrets, and never leaves this process.
    let hash = data_encoding::HEXLOWER.encode(&crate::sha256::Sha256::digest(contents));
    let cell = holder(shared, format!("secret {hash} of {}:{}", user.uid, user.gid));
    let make = || async {
        let image = helper::ready(&shared.client, &shared.description.platform).await?;
        let container = hold(shared, &image, Some(MEMORY)).await?;
        let start = shared.client.start_container(container.name(), None);
        within(LONG, start).await.map_err(failure::during(what()))?;
        let archive = archive(contents, &user).map_err(|error| Error::engine(what(), error))?;
        place::upload(shared, &container, DIRECTORY, Existing::Stays, stream::iter([Ok(archive)]))
            .await
            .map_err(failure::during(what()))?;
        held(shared, container, EntryKind::File).await
    };
    Ok(cell.get_or_try_init(make).await?.path.clone())
}

/// The user of the process that a container is made for, by the files of its image.
async fn owner(shared: &Arc<Shared>, recipe: &Recipe<'_>) -> Result<User> {
    let wanted = recipe.process.map_or("", |process| process.user.as_str());
    if let Some(user) = User::by_number(wanted) {
        return Ok(user);
    }
    let base = &recipe.filesystem.base;
    let passwd = read::small_file(shared, base, "/etc/passwd").await?;
    let group = read::small_file(shared, base, "/etc/group").await?;
    User::find(wanted, &passwd, &group)
        .map_err(|error| Error::engine(format!("find the user of {}", recipe.name), error))
}

fn archive(contents: &[u8], user: &User) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o400);
    header.set_uid(user.uid.into());
    header.set_gid(user.gid.into());
    header.set_size(contents.len() as u64);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, THING, contents)?;
    archive.into_inner()
}

impl Mounts {
    /// Releases all holders; they are removed in the background.
    pub(super) fn release(&self) {
        drop(std::mem::take(&mut *lock(&self.holders)));
    }
}

fn holder(shared: &Shared, what: String) -> Arc<OnceCell<Holder>> {
    Arc::clone(lock(&shared.mounts.holders).entry(what).or_default())
}

/// Makes a holder with an empty volume: on disk, or in memory with these options of tmpfs(5).
pub(super) async fn hold(shared: &Arc<Shared>, image: &str, memory: Option<&str>) -> Result<Container> {
    let what = "make room for a mount";
    shared.check_open(what)?;
    shared.guarded().await;
    let in_memory = |options: &str| MountVolumeOptions {
        driver_config: Some(MountVolumeOptionsDriverConfig {
            name: Some("local".to_owned()),
            options: Some(HashMap::from(
                [("type", "tmpfs"), ("device", "tmpfs"), ("o", options)]
                    .map(|(key, value)| (key.to_owned(), value.to_owned())),
            )),
        }),
        ..Default::default()
    };
    let volume = Mounted {
        typ: Some(MountType::VOLUME),
        target: Some(DIRECTORY.to_owned()),
        volume_options: Some(MountVolumeOptions {
            // Otherwise the engine would copy the image's contents there.
            no_copy: Some(true),
            ..memory.map(in_memory).unwrap_or_default()
        }),
        ..Default::default()
    };
    let mut labels_of = labels::of(&shared.session, "mount");
    labels_of.insert(labels::KIND.to_owned(), labels::KIND_READER.to_owned());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // Runs if the volume is in memory, waiting for a port that nobody ever opens.
        entrypoint: Some(vec![helper::PROBE.to_owned()]),
        cmd: Some(["wait", "127.0.0.1", "1/tcp"].map(str::to_owned).into()),
        labels: Some(labels_of),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            mounts: Some(vec![volume]),
            network_mode: Some("none".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let container = Container::new(&shared.cleaner, shared.number('m'));
    let create = async move { container.create(body).await.map_err(failure::during(what)) };
    shared.cleaner.to_its_end(what, create).await
}

/// The image of holders that do not run: an empty directory.
pub(super) async fn empty_image(shared: &Shared) -> Result<String> {
    const WHAT: &str = "put an empty image into the engine";
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    header.set_mtime(0);
    let mut layer = tar::Builder::new(Vec::new());
    let directory = format!("{}/", DIRECTORY.trim_start_matches('/'));
    let layer = layer.append_data(&mut header, directory, std::io::empty()).and_then(|()| layer.into_inner());
    let layer = layer.map_err(|error| Error::engine(WHAT, error))?;
    own::Own::new("bowline/empty", WHAT, layer).ready(&shared.client).await
}

/// A holder that was filled with something of this kind. Only a real directory or file is bound: the engine would follow
/// a link, on its own machine.
pub(super) async fn held(shared: &Shared, container: Container, kind: EntryKind) -> Result<Holder> {
    let what = "find what is to be mounted";
    let path = format!("{DIRECTORY}/{THING}");
    let options = ContainerArchiveInfoOptionsBuilder::default().path(&path).build();
    let looked = shared.client.get_container_archive_info(container.name(), Some(options));
    let found = within(BRIEF, looked).await.map_err(failure::during(what))?;
    if path::kind(found.file_mode) != kind || !found.link_target.is_empty() {
        return Err(Error::engine(what, "it is another thing than was put there"));
    }
    let found = within(BRIEF, shared.client.inspect_container(container.name(), None))
        .await
        .map_err(failure::during(what))?;
    let mut mounts = found.mounts.into_iter().flatten();
    let volume = mounts.find(|mount| mount.destination.as_deref() == Some(DIRECTORY));
    let volume = volume.and_then(|mount| mount.source).filter(|source| !source.is_empty());
    let volume =
        volume.ok_or_else(|| Error::engine(what, "the engine does not say where its volumes are"))?;
    Ok(Holder { _container: container, path: format!("{volume}/{THING}") })
}
