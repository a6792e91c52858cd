//! File systems made of layers, not attached to a mount point yet.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MountFlags, OpenTreeFlags, UnmountFlags, mount, open_tree, unmount};

mod many;
mod options;

use self::options::options;
use super::error::{Context as _, ShimError};
use crate::engine::native::model::{Changes, Root};
use crate::engine::native::store::{self, ASIDE};

/// A detached mount of such a file system.
pub(super) struct Tree(OwnedFd);

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Mounts the layers.
pub(super) fn open(root: &Root) -> Result<Tree, ShimError> {
    // An overlay without layers needs an empty one below its changes.
    let is_nothing = root.layers.is_empty() && root.changes.is_some();
    open_on(root, is_nothing.then_some(Path::new(store::EMPTY)))
}

/// Mounts a container's file system, which also has the mount points that every container needs.
pub(super) fn open_with_points(root: &Root) -> Result<Tree, ShimError> {
    open_on(root, Some(Path::new(store::MOUNTPOINTS)))
}

/// Mounts the layers with one more below all others.
fn open_on(root: &Root, lowest: Option<&Path>) -> Result<Tree, ShimError> {
    // The option lists the highest first; a single read-only layer needs no overlay.
    let lower: Vec<&Path> = root.layers.iter().rev().map(PathBuf::as_path).chain(lowest).collect();
    let (source, options) = match (&root.changes, lower.as_slice()) {
        (_, []) => return Err(ShimError::new("a file system without layers")),
        (None, [only]) => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            return Ok(Tree(open_tree(CWD, *only, flags).context(only.display())?));
        }
        (changes, lower) => ("overlay", options(lower, changes.as_ref())),
    };
    if let Some(Changes { work, .. }) = &root.changes {
        // Left by an earlier mount of the same directories, whose writes never failed: this session has read what was
        // written.
        let _ = std::fs::remove_dir_all(work.join("work/incompat"));
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if options.len() > OPTIONS_AT_MOST {
        return many::overlay(&lower, root.changes.as_ref()).map(Tree);
    }
    let options = CString::new(options).context("overlay options")?;
    mount(source, ASIDE, "overlay", MountFlags::NODEV, Some(options.as_c_str()))
        .map_err(|error| ShimError::new(format!("an overlay of {} layers: {error}", lower.len())))?;
    let tree = open_tree(CWD, ASIDE, flags).context("the overlay")?;
    unmount(ASIDE, UnmountFlags::DETACH).context("the overlay, aside")?;
    Ok(Tree(tree))
}

/// What one page holds, minus its final NUL.
const OPTIONS_AT_MOST: usize = 4095;
