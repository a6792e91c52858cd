//! Atomic writes to this machine: a file is staged beside its destination and then renamed, so that an interruption
//! leaves the old file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::SessionId;

/// The most characters of the destination's name that are part of the staged file's name, which has its own length limit.
const NAME_AT_MOST: usize = 40;

/// A staged file beside its destination, removed when dropped.
pub(crate) struct AtomicFile {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

impl AtomicFile {
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name =
            target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        std::fs::create_dir_all(parent)?;
        // Others may write to the directory: the name is unpredictable, and no existing file is opened.
        let start: String = name.to_string_lossy().chars().take(NAME_AT_MOST).collect();
        let path = parent.join(format!(".{start}.{}.part", SessionId::random()));
        Ok(Self { file: File::options().write(true).create_new(true).open(&path)?, path })
    }

    pub(crate) fn commit(mut self, target: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("below/x.tar");
        let entries = || std::fs::read_dir(directory.path().join("below")).unwrap().count();
        drop(AtomicFile::create(&target).unwrap());
        assert_eq!(entries(), 0);
        let staged = AtomicFile::create(&target).unwrap();
        assert!(!target.exists());
        staged.commit(&target).unwrap();
        assert!(target.exists() && entries() == 1);
        assert!(AtomicFile::create(directory.path()).is_err());
        let longest = directory.path().join("ä".repeat(127));
        AtomicFile::create(&longest).unwrap().commit(&longest).unwrap();
    }

    #[test]
    fn nobody_knows_beforehand_where_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x.tar");
        let staged = [AtomicFile::create(&target).unwrap(), AtomicFile::create(&target).unwrap()];
        let number = std::process::id().to_string();
        for staged in &staged {
            let name = staged.path.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(".x.tar.") && !name.contains(&format!(".{number}-")), "{name}");
            let random = name.trim_start_matches(".x.tar.").trim_end_matches(".part");
            assert_eq!(random.len(), 26, "{name}");
        }
        assert_ne!(staged[0].path, staged[1].path);
    }
}
