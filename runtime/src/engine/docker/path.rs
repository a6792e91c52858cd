//! Resolving a path in a container: links followed, and what is there.

use bollard::container::PathStatResponse;
use bollard::query_parameters::ContainerArchiveInfoOptionsBuilder;

use super::Shared;
use super::failure::{self, BRIEF, within};
use crate::model::EntryKind;
use crate::{Error, Result};

/// The most links to follow before they count as a cycle (Linux's own limit, `path_resolution(7)`).
const LINKS_AT_MOST: usize = 40;

/// The target of a path and its metadata; `None` when nothing is there.
pub(super) async fn locate(
    shared: &Shared,
    container: &str,
    path: &str,
) -> Result<Option<(String, EntryKind)>> {
    Ok(follow(shared, container, path).await?.map(|(path, found)| (path, kind(found.file_mode))))
}

/// Follows links to the target of a path. The engine follows all but the last itself, and reports where the last leads
/// within the container.
pub(super) async fn follow(
    shared: &Shared,
    container: &str,
    path: &str,
) -> Result<Option<(String, PathStatResponse)>> {
    // With a trailing slash the engine would follow the last link too, but then report nothing for a file.
    let mut path = format!("/{}", path.trim_matches('/'));
    for _ in 0..LINKS_AT_MOST {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(&path).build();
        match within(BRIEF, shared.client.get_container_archive_info(container, Some(options))).await {
            Ok(found) if kind(found.file_mode) == EntryKind::Symlink && !found.link_target.is_empty() => {
                path = found.link_target;
            }
            Ok(found) => return Ok(Some((path, found))),
            Err(error) if failure::is_absent(&error) => return Ok(None),
            // The engine reports its own errors for a file used as a directory and for cycles of links.
            Err(error) if failure::status(&error) == Some(500) => {
                if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
                    let parent = Box::pin(follow(shared, container, parent)).await?;
                    if parent.is_none_or(|(_, found)| kind(found.file_mode) != EntryKind::Directory) {
                        return Ok(None);
                    }
                }
                return Err(Error::engine(
                    format!("look at `{path}`"),
                    "the engine cannot follow its links; do they lead in a circle?",
                ));
            }
            Err(error) => return Err(failure::during(format!("look at `{path}`"))(error)),
        }
    }
    Err(Error::engine(format!("look at `{path}`"), "there are too many links on the way"))
}

/// Go's `os.FileMode`, which the engine sends: its bits for kinds and special modes are not Unix's.
mod go_mode {
    pub(super) const DIRECTORY: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const NAMED_PIPE: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const STICKY: u32 = 1 << 20;
    pub(super) const IRREGULAR: u32 = 1 << 19;
}

pub(super) fn kind(mode: u32) -> EntryKind {
    match mode {
        mode if mode & go_mode::DIRECTORY != 0 => EntryKind::Directory,
        mode if mode & go_mode::SYMLINK != 0 => EntryKind::Symlink,
        mode if mode & (go_mode::DEVICE | go_mode::NAMED_PIPE | go_mode::SOCKET | go_mode::IRREGULAR)
            != 0 =>
        {
            EntryKind::Other
        }
        _ => EntryKind::File,
    }
}

pub(super) fn permissions(mode: u32) -> u32 {
    let special = [(go_mode::SETUID, 0o4000), (go_mode::SETGID, 0o2000), (go_mode::STICKY, 0o1000)];
    special.iter().filter(|(bit, _)| mode & bit != 0).fold(mode & 0o777, |mode, (_, bit)| mode | bit)
}
