//! What lies where in a container: what is put into its file system, and what is mounted over it.
//!
//! Both are one list, in the order they are written. What comes later hides what is at its path; what would be hidden
//! before anything could see it is a mistake, as is what would be put where nobody sees it. So in what comes out no mount
//! is over another one: the outer stands before the inner, and nothing is placed below a mount.

use std::sync::Arc;

use super::node::{Fs, Mount, MountSource, Place};
use crate::model::{Access, Existing};
use crate::paths::{lies_in, plain_path};
use crate::rules::Problem;

type Checked = Result<(), Problem>;

/// What was laid out so far.
#[derive(Default)]
pub(super) struct Layout {
    /// Put into the file system since the last step.
    places: Vec<Place>,
    /// Mounted, the outer before the inner.
    mounted: Vec<Mounted>,
}

struct Mounted {
    path: String,
    what: What,
    since: Since,
}

enum What {
    /// Over the file system, while a process runs.
    Over(Mount),
    /// A directory or file that is the container's own.
    Own { is_file: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    /// The container that this one starts from.
    Base,
    /// A step that is done.
    Seen,
    /// The last step.
    New,
}

impl Layout {
    /// That of a container which goes on from one that has these mounts: memory and sockets are a part of how it is
    /// configured, all others are not.
    pub(super) fn from(mounts: &[Mount]) -> Self {
        let goes_on = |mount: &&Mount| matches!(mount.source, MountSource::Memory | MountSource::Socket(_));
        let inherit = |mount: &Mount| Mounted {
            path: mount.path.clone(),
            what: What::Over(mount.clone()),
            since: Since::Base,
        };
        Self { places: Vec::new(), mounted: mounts.iter().filter(goes_on).map(inherit).collect() }
    }

    /// Puts a file, or copies, into the file system.
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

    /// Mounts what the container may write to and goes on with, in the place of whatever is there.
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

    /// Judges where something is put into the file system, or a command's output is written.
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

    /// Closes a step: what was placed since the last one.
    pub(super) fn step(&mut self) -> Vec<Place> {
        for mounted in self.mounted.iter_mut().filter(|mounted| mounted.since == Since::New) {
            mounted.since = Since::Seen;
        }
        self.take_places()
    }

    /// What was placed since the last step, for one that runs nothing: it sees no mount.
    pub(super) fn take_places(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.places)
    }

    /// What is mounted over the file system from here on.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        self.over().cloned().collect()
    }

    pub(super) fn has_places(&self) -> bool {
        !self.places.is_empty()
    }

    /// Whether what was placed has to be there before anything is mounted: where a mount lies in a directory that is put
    /// there, or where a mount replaces what was placed before it.
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

    /// All that was placed, and is mounted.
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

    /// The innermost mount that a path lies below.
    fn around(&self, path: &str) -> Option<&Mounted> {
        self.mounted.iter().rev().find(|mounted| mounted.path != path && lies_in(path, &mounted.path))
    }

    /// Takes away what a mount at this path hides.
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

/// Why a path cannot be read of a container that ran with these mounts: it lies in one, and no mount is a part of what a
/// container leaves.
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
    /// Where it is put.
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
