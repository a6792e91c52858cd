//! What a session asks for, as the host is told.

use super::store::{Scratch, layers};
use super::wire::{Mount, Process, Source};
use super::{Shared, failed};
use crate::engine::{self, Access, MountSource};
use crate::{Error, Result};

/// Mounts, and what has to be there as long as they are.
pub(super) struct Mounts {
    pub(super) list: Vec<Mount>,
    pub(super) scratches: Vec<Scratch>,
}

/// Refuses what this engine cannot do yet: nobody should take a limit for set that is not.
pub(super) fn check(what: &str, process: &engine::Process) -> Result<()> {
    let missing = if process.cpu.is_some() {
        "limit processors"
    } else if process.memory.is_some() {
        "limit memory"
    } else {
        return Ok(());
    };
    let message = format!("the native engine cannot {missing} yet\n\nhelp: `BOWLINE_ENGINE=docker` can");
    Err(Error::engine(what, message))
}

pub(super) fn process(process: &engine::Process) -> Process {
    Process {
        args: process.args.clone(),
        env: process.env.iter().chain(&process.secret_env).cloned().collect(),
        workdir: process.workdir.clone(),
        user: process.user.clone(),
        privileged: process.privileged,
    }
}

pub(super) fn mounts(
    shared: &Shared,
    what: &str,
    mounts: &[engine::Mount],
    process: Option<&engine::Process>,
) -> Result<Mounts> {
    let mut all = Mounts { list: Vec::new(), scratches: Vec::new() };
    for mount in mounts {
        let source = match &mount.source {
            MountSource::Cache(key) => Source::Directory(shared.store.volume(key).map_err(failed(what))?),
            MountSource::Snapshot { snapshot, from } => {
                let scratch = shared.store.scratch().map_err(failed(what))?;
                let changes = scratch.changes.clone();
                all.scratches.push(scratch);
                Source::Layers { layers: layers(snapshot), from: from.clone(), scratch: changes }
            }
            MountSource::Secret(contents) => Source::Secret(contents.to_vec()),
        };
        let readonly = mount.access == Access::ReadOnly;
        all.list.push(Mount { path: mount.path.clone(), source, readonly });
    }
    for path in process.iter().flat_map(|process| &process.tmpfs) {
        all.list.push(Mount { path: path.clone(), source: Source::Memory, readonly: false });
    }
    for (path, socket) in process.iter().flat_map(|process| &process.sockets) {
        let source = Source::Socket(socket.into());
        all.list.push(Mount { path: path.clone(), source, readonly: false });
    }
    Ok(all)
}
