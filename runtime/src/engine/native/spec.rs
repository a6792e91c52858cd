//! What a session asks for, as the shim is told.

use std::path::{Path, PathBuf};

use super::model::Changes;
use super::store::{Scratch, Store, layers};
use super::wire::{Mount, Process, Source};
use super::{Shared, failed};
use crate::Result;
use crate::engine::{self, MountSource};
use crate::model::{Access, WindowSize};

/// Mounts, and what has to be there as long as they are.
pub(super) struct Mounts {
    pub(super) list: Vec<Mount>,
    /// The cache volumes among them.
    pub(super) volumes: Vec<PathBuf>,
    pub(super) scratches: Vec<Scratch>,
}

/// The process of a container that has these changes.
pub(super) fn process(process: &engine::Process, changes: &Changes, terminal: Option<WindowSize>) -> Process {
    Process {
        args: process.args.clone(),
        env: process.env.iter().chain(&process.secret_env).cloned().collect(),
        workdir: process.workdir.clone(),
        user: process.user.clone(),
        security: process.security.clone(),
        limits: process.limits.clone(),
        group: name_of(changes),
        terminal,
    }
}

/// The number that its scratch directory has in its session.
fn name_of(changes: &Changes) -> String {
    let directory = changes.upper.parent().and_then(Path::file_name);
    directory.unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn mounts(shared: &Shared, what: &str, mounts: &[engine::Mount]) -> Result<Mounts> {
    let mut all = Mounts { list: Vec::new(), volumes: Vec::new(), scratches: Vec::new() };
    for mount in mounts {
        let source = match &mount.source {
            MountSource::Cache(key) => {
                let scratch = shared.store.scratch().map_err(failed(what))?;
                let fresh = scratch.changes.upper.clone();
                all.scratches.push(scratch);
                let volume = Store::volume(key);
                shared.store.use_volume(&volume).map_err(failed(what))?;
                all.volumes.push(volume.clone());
                Source::Cache { volume, fresh }
            }
            MountSource::Snapshot { snapshot, from } => {
                let scratch = shared.store.scratch().map_err(failed(what))?;
                let changes = scratch.changes.clone();
                all.scratches.push(scratch);
                Source::Layers { layers: layers(snapshot), from: from.clone(), scratch: changes }
            }
            MountSource::Secret(contents) => Source::Secret(contents.to_vec()),
            MountSource::Memory => Source::Memory,
            MountSource::Socket(path) => Source::Socket(path.into()),
        };
        let readonly = mount.access == Access::ReadOnly;
        all.list.push(Mount { path: mount.path.clone(), source, readonly });
    }
    Ok(all)
}
