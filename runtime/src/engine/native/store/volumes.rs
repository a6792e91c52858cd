//! Cache volumes: where they are, and when each was last used.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Store, USED, VOLUMES};
use crate::model::{CacheKey, Digest};

impl Store {
    /// The directory of a cache volume, as the shim finds it, whether or not it exists.
    pub(in super::super) fn volume(key: &CacheKey) -> PathBuf {
        let name = Digest(crate::sha256::Sha256::digest(key.as_bytes())).to_string();
        PathBuf::from(VOLUMES).join(name)
    }

    /// Marks a cache volume as used, before it is mounted.
    pub(in super::super) fn use_volume(&self, volume: &Path) -> io::Result<()> {
        let mark = mark_of(&self.root, volume.file_name().unwrap_or_default());
        // Once a session is enough: what was used since the session began is in use.
        if fs::metadata(&mark).and_then(|mark| mark.modified()).is_ok_and(|used| used >= self.began) {
            return Ok(());
        }
        File::options().create(true).truncate(false).write(true).open(mark)?.set_modified(SystemTime::now())
    }
}

/// The file whose modification time says when a volume was last used.
pub(super) fn mark_of(root: &Path, volume: &OsStr) -> PathBuf {
    root.join(USED).join(volume)
}

/// When a volume was last used.
pub(super) fn last_used(root: &Path, volume: &OsStr) -> Option<SystemTime> {
    fs::metadata(mark_of(root, volume)).and_then(|mark| mark.modified()).ok()
}
