//! The layout of a container: what is put into its file system, and what is mounted over it.
//!
//! Both are one list, in the order they are written. A later entry hides what is at its path. It is a mistake if that was
//! not visible to anything yet, and also to put something where nobody sees it. The result has no mount over another:
//! outer mounts stand before inner ones, and nothing is placed below a mount.

use std::sync::Arc;

use super::node::{Fs, Mount, MountSource, Place};
use crate::model::{Access, Existing};
use crate::paths::{lies_in, plain_path};
use crate::rules::Problem;

type Checked = Result<(), Problem>;

/// The layout so far.
#[derive(Default)]
pub(super) struct Layout {
    /// Placed in the file system since the last step.
    places: Vec<Place>,
    /// Mounted, outer before inner.
    mounted: Vec<Mounted>,
}

struct Mounted {
    path: String,
    /// What is at the path.
    what: What,
    /// When it was mounted, which decides whether hiding it is a mistake.
    since: Since,
}

enum What {
    /// A mount over the file system, while a process runs.
    Over(Mount),
    /// A directory or file that is part of the container's own file system.
    Own { is_file: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    /// It comes from the container that this one starts from.
    Base,
    /// A step has run since, and may have seen it.
    Seen,
    /// No step has run since.
    New,
}

impl Layout {
    /// The layout of a container that starts from one with these mounts: tmpfs and sockets are part of its configuration
    /// and carry over, other mounts are not.
    pub(super) fn from(mounts: &[Mount]) -> Self {
        let goes_on = |mount: &&Mount| matches!(mount.source, MountSource::Memory | MountSource::Socket(_));
        Self::inherited(mounts.iter().filter(goes_on))
    }

    /// The layout of a container that goes on where a command with these mounts failed: it has them all.
    pub(super) fn of_failed(mounts: &[Mount]) -> Self {
        Self::inherited(mounts.iter())
    }

    fn inherited<'a>(mounts: impl Iterator<Item = &'a Mount>) -> Self {
        let inherit = |mount: &Mount| Mounted {
            path: mount.path.clone(),
            what: What::Over(mount.clone()),
            since: Since::Base,
        };
        Self { places: Vec::new(), mounted: mounts.map(inherit).collect() }
    }

    /// Places a file or a copy in the file system.
    pub(super) fn place(&mut self, place: Place) -> Checked {
        let path = plain_path(place.path());
        self.check_own(&path)?;
        let inner = self.over().find(|mount| mount.path != path && lies_in(&mount.path, &path));
        if let (Some(inner), true) = (inner, place.is_file()) {
            let message = format!("`{path}` is to be a file, and {} is mounted at `{}`", inner, inner.path);
            return Err(Problem::new(message).help("choose another path"));
        }
        self.places.push(place);
        Ok(())
    }

    /// Mounts a private copy that the container may write to and keeps, in place of whatever is at the path.
    pub(super) fn mount_own(&mut self, fs: Fs, from: String, path: &str) -> Checked {
        let path = plain_path(path);
        self.make_room(&path)?;
        self.check_own(&path)?;
        let is_file = !from.ends_with('/');
        self.places.push(Place::Copy { fs, from, to: path.clone(), existing: Existing::Goes });
        self.mounted.push(Mounted { path, what: What::Own { is_file }, since: Since::New });
        Ok(())
    }

    /// Mounts something over the file system.
    pub(super) fn mount(&mut self, mut mount: Mount) -> Checked {
        mount.path = plain_path(&mount.path);
        let again = |other: &Mounted| {
            other.since == Since::Base
                && matches!(&other.what, What::Over(other) if other.path == mount.path
                    && matches!((&other.source, &mount.source), (MountSource::Memory, MountSource::Memory)))
        };
        if self.mounted.iter().any(again) {
            return Ok(());
        }
        self.make_room(&mount.path)?;
        if let Some(outer) = self.around(&mount.path) {
            if outer.is_file() {
                return Err(below_a_file(&mount.path, &outer.path));
            }
            if let What::Over(Mount { source: MountSource::Cache(key), access: Access::ReadOnly, .. }) =
                &outer.what
            {
                let message = format!(
                    "nothing can be mounted at `{}`: the cache `{key}` is mounted read-only at `{}`",
                    mount.path, outer.path
                );
                return Err(Problem::new(message)
                    .help("mount the cache without `readonly`, or mount this outside of it"));
            }
        }
        let path = mount.path.clone();
        self.mounted.push(Mounted { path, what: What::Over(mount), since: Since::New });
        Ok(())
    }

    /// Checks a path in the container's own file system, where something is placed or a command's output is written.
    pub(super) fn check_own(&self, path: &str) -> Checked {
        let path = plain_path(path);
        let Some(outer) = self.mounted.iter().rev().find(|mounted| lies_in(&path, &mounted.path)) else {
            return Ok(());
        };
        let mount = match &outer.what {
            What::Over(mount) => mount,
            What::Own { is_file: true } if outer.path != path => {
                return Err(below_a_file(&path, &outer.path));
            }
            What::Own { .. } => return Ok(()),
        };
        let message =
            format!("what is put at `{path}` would be lost: {mount} is mounted at `{}`", mount.path);
        let outside = format!("choose a path outside of `{}`", mount.path);
        Err(Problem::new(message).help(match (&mount.source, mount.access) {
            (MountSource::Copy { .. }, Access::ReadOnly) if !mount.is_file() => {
                format!("{outside}, or mount that one without `readonly`")
            }
            _ => outside,
        }))
    }

    /// Ends a step, and returns what was placed since the last one.
    pub(super) fn step(&mut self) -> Vec<Place> {
        for mounted in self.mounted.iter_mut().filter(|mounted| mounted.since == Since::New) {
            mounted.since = Since::Seen;
        }
        self.take_places()
    }

    /// Returns what was placed since the last step, for a step that runs nothing and therefore sees no mount.
    pub(super) fn take_places(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.places)
    }

    /// The mounts over the file system from here on.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        self.over().cloned().collect()
    }

    pub(super) fn has_places(&self) -> bool {
        !self.places.is_empty()
    }

    /// Whether the placements need a step of their own before anything is mounted: if a mount lies in a placed directory,
    /// or replaces something placed before it.
    pub(super) fn must_be_placed_first(&self) -> bool {
        let mounts: Vec<&Mount> = self.over().collect();
        let holds_a_mount = |place: &Place| {
            let path = plain_path(place.path());
            !place.is_file() && mounts.iter().any(|mount| lies_in(&mount.path, &path))
        };
        let replaces = |(index, place): (usize, &Place)| {
            let path = plain_path(place.path());
            matches!(place, Place::Copy { existing: Existing::Goes, .. })
                && self.places.iter().take(index).any(|earlier| lies_in(&plain_path(earlier.path()), &path))
        };
        !mounts.is_empty()
            && (self.places.iter().any(holds_a_mount) || self.places.iter().enumerate().any(replaces))
    }

    /// The placements and the mounts.
    pub(super) fn into_parts(mut self) -> (Vec<Place>, Vec<Mount>) {
        let mounts = self.mounts();
        (std::mem::take(&mut self.places), mounts)
    }

    fn over(&self) -> impl Iterator<Item = &Mount> {
        self.mounted.iter().filter_map(|mounted| match &mounted.what {
            What::Over(mount) => Some(mount),
            What::Own { .. } => None,
        })
    }

    /// The innermost mount that contains a path.
    fn around(&self, path: &str) -> Option<&Mounted> {
        self.mounted.iter().rev().find(|mounted| mounted.path != path && lies_in(path, &mounted.path))
    }

    /// Removes what a mount at this path hides.
    fn make_room(&mut self, path: &str) -> Checked {
        let hidden = |mounted: &&Mounted| lies_in(&mounted.path, path) && mounted.since != Since::Base;
        if self.mounted.iter().filter(hidden).any(|mounted| mounted.path == path) {
            return Err(Problem::new(format!("two mounts at `{path}`")).help("a path is mounted once"));
        }
        if let Some(inner) = self.mounted.iter().filter(hidden).find(|inner| inner.since == Since::New) {
            let message = format!("the mount at `{path}` hides the one at `{}` before it", inner.path);
            return Err(Problem::new(message).help(format!("write the mount at `{path}` first")));
        }
        self.mounted.retain(|mounted| !lies_in(&mounted.path, path));
        Ok(())
    }
}

fn below_a_file(path: &str, file: &str) -> Problem {
    Problem::new(format!("`{path}` lies below `{file}`, which is a file")).help("choose another path")
}

impl Mounted {
    fn is_file(&self) -> bool {
        match &self.what {
            What::Over(mount) => mount.is_file(),
            What::Own { is_file } => *is_file,
        }
    }
}

/// Checks that a path can be read of a container that ran with these mounts: no mount is part of what a container leaves.
pub(super) fn check_read(mounts: &[Mount], path: &str) -> Checked {
    let path = plain_path(path);
    let Some(mount) = mounts.iter().rev().find(|mount| lies_in(&path, &mount.path)) else {
        return Ok(());
    };
    let message = format!(
        "`{path}` cannot be read: {mount} is mounted at `{}`, and is no part of what the container leaves",
        mount.path
    );
    Err(Problem::new(message).help(match mount.source {
        MountSource::Secret(_) | MountSource::Socket(_) => "choose a path outside of it".to_owned(),
        MountSource::Copy { .. } => "read it where it comes from".to_owned(),
        MountSource::Cache(_) | MountSource::Memory => {
            format!("copy it to another path in a step: `shell \"cp -a {path} /…\";`")
        }
    }))
}

impl Place {
    /// The path it is placed at.
    fn path(&self) -> &str {
        match self {
            Self::File { path, .. } => path,
            Self::Copy { to, .. } => to,
        }
    }

    fn is_file(&self) -> bool {
        match self {
            Self::File { .. } => true,
            Self::Copy { from, .. } => !from.ends_with('/'),
        }
    }
}

/// A file with these contents.
pub(super) fn file(path: &str, contents: &Arc<[u8]>) -> Place {
    Place::File { path: plain_path(path), contents: contents.clone() }
}

impl std::fmt::Display for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            MountSource::Cache(key) => write!(f, "the cache `{key}`"),
            MountSource::Secret(secret) => write!(f, "the secret `{}`", secret.name()),
            MountSource::Memory => f.write_str("a `tmpfs`"),
            MountSource::Socket(_) => f.write_str("a socket"),
            MountSource::Copy { .. } if self.is_file() => f.write_str("a read-only file"),
            MountSource::Copy { .. } => f.write_str("a read-only directory"),
        }
    }
}

#[cfg(test)]
mod tests;
