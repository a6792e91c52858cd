//! Overlays of more layers than one page can name.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, open, symlinkat};
use rustix::mount::{MountFlags, OpenTreeFlags, UnmountFlags, mount, open_tree, unmount};
use rustix::process::{chdir, fchdir};

use super::super::error::{Context as _, ShimError};
use super::options::options;
use crate::engine::native::model::Changes;
use crate::engine::native::store::ASIDE;

/// The kernel's limit (`OVL_MAX_STACK`).
const LAYERS_AT_MOST: usize = 500;

/// The temporary mount point of the overlay, beside the links.
const OVERLAY: &str = "o";

/// Mounts an overlay by short names: numbers, which are symbolic links in a tmpfs. The kernel resolves them once.
pub(super) fn overlay(lower: &[&Path], changes: Option<&Changes>) -> Result<OwnedFd, ShimError> {
    if lower.len() > LAYERS_AT_MOST {
        let count = lower.len();
        return Err(ShimError::new(format!(
            "an overlay of {count} layers: there is none of more than {LAYERS_AT_MOST}"
        )));
    }
    let store = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let store = store.context("the store")?;
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", ASIDE, "tmpfs", flags, Some(c"mode=700")).context("a place for links")?;
    let made = chdir(ASIDE).context(ASIDE).and_then(|()| by_links(lower, changes));
    // Whatever went wrong, the working directory has to be the store again.
    fchdir(&store).context("the store")?;
    unmount(ASIDE, UnmountFlags::DETACH).context("the links")?;
    made
}

/// Mounts it by the links in the working directory.
fn by_links(lower: &[&Path], changes: Option<&Changes>) -> Result<OwnedFd, ShimError> {
    let from_here = |path: &Path| Path::new("..").join(path);
    let names: Vec<PathBuf> = (0..lower.len()).map(|number| number.to_string().into()).collect();
    for (name, layer) in names.iter().zip(lower) {
        symlinkat(from_here(layer), CWD, name).context(layer.display())?;
    }
    let changes =
        changes.map(|Changes { upper, work }| Changes { upper: from_here(upper), work: from_here(work) });
    let names: Vec<&Path> = names.iter().map(PathBuf::as_path).collect();
    let options = CString::new(options(&names, changes.as_ref())).context("overlay options")?;
    mkdirat(CWD, OVERLAY, Mode::from_raw_mode(0o700)).context(OVERLAY)?;
    mount("overlay", OVERLAY, "overlay", MountFlags::NODEV, Some(options.as_c_str()))
        .map_err(|error| ShimError::new(format!("an overlay of {} layers: {error}", lower.len())))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, OVERLAY, flags).context("the overlay")
}
