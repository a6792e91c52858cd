//! Files of this machine that are written so that an interruption leaves the old one: aside, then in place.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file beside the one it becomes, removed when dropped.
pub(super) struct Aside {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Aside {
    pub(super) fn make(target: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name =
            target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        std::fs::create_dir_all(parent)?;
        let (own, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(format!(".{}.{own}-{number}.part", name.to_string_lossy()));
        Ok(Self { file: File::create(&path)?, path })
    }

    pub(super) fn put(mut self, target: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, target)?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for Aside {
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
        drop(Aside::make(&target).unwrap());
        assert_eq!(entries(), 0);
        let aside = Aside::make(&target).unwrap();
        assert!(!target.exists());
        aside.put(&target).unwrap();
        assert!(target.exists() && entries() == 1);
        assert!(Aside::make(directory.path()).is_err());
    }
}
