//! Results in a directory: `blobs/sha256/<digest>`, as in an image layout, and `results/<key>.json`, a file for each
//! result, so that those who write at once do not disturb each other. Every file appears when it is whole.

use std::fs::{self, File};
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::entry::hash;
use super::{Reading, Storage, Trouble};
use crate::engine::blocking::blocking;
use crate::engine::oci::Descriptor;
use crate::engine::oci::archive::blob_name;
use crate::engine::{Call, Written};
use crate::model::Digest;
use crate::regular::{self, DOCUMENT_AT_MOST};
use crate::staging::AtomicFile;
use crate::{Error, Result};

/// Files that were being written this long ago are nobody's any more.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Directory {
    root: PathBuf,
    has_swept: AtomicBool,
}

impl Directory {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, has_swept: AtomicBool::new(false) }
    }

    fn at(&self, blob: &Descriptor) -> PathBuf {
        self.root.join(blob_name(&blob.digest))
    }

    /// Writes a file, as a whole or not at all.
    async fn write(&self, path: PathBuf, contents: Written) -> Result<()> {
        let (to, is_first) = (path.clone(), !self.has_swept.swap(true, Ordering::Relaxed));
        let written = blocking(move || {
            // An empty directory in its place is nobody's, and no file can replace it.
            let _ = fs::remove_dir(&to);
            let mut staged = AtomicFile::create(&to)?;
            if is_first {
                to.parent().into_iter().for_each(sweep);
            }
            contents.write_to(&mut staged.file)?;
            staged.commit(&to)
        });
        written.await.map_err(|error| Error::io(path, error))
    }

    fn result(&self, key: &Digest) -> PathBuf {
        self.root.join("results").join(format!("{key}.json"))
    }
}

/// What an error of a file means: a file that is something else than a file says nothing of the whole place.
fn trouble(path: &Path, error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge => {
            Trouble::Damaged(format!("{}: {error}", path.display()))
        }
        _ => Trouble::Unreadable(Error::io(path, error)),
    }
}

impl Storage for Directory {
    fn manifest<'a>(&'a self, key: &'a Digest) -> Reading<'a, Option<Vec<u8>>> {
        let path = self.result(key);
        Box::pin(async move {
            let from = path.clone();
            match blocking(move || regular::read(&from, DOCUMENT_AT_MOST)).await {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(trouble(&path, error)),
            }
        })
    }

    fn put_manifest<'a>(&'a self, key: &'a Digest, text: &'a [u8]) -> Call<'a, ()> {
        let (path, text) = (self.result(key), text.to_vec());
        Box::pin(self.write(path, text.into()))
    }

    fn blob<'a>(&'a self, blob: &'a Descriptor, done: &'a AtomicU64) -> Reading<'a, File> {
        let path = self.at(blob);
        Box::pin(async move {
            let from = path.clone();
            let (size, wanted) = (blob.size, blob.digest);
            let opened = blocking(move || {
                let mut file = regular::open(&from)?;
                let length = file.metadata()?.len();
                if length != size {
                    return Ok(Err(format!("has {length} bytes of {size}")));
                }
                let found = hash(&mut file)?;
                file.rewind()?;
                Ok(if found == wanted { Ok(file) } else { Err(format!("is {found}")) })
            });
            match opened.await {
                Ok(Ok(file)) => {
                    done.fetch_add(size, Ordering::Relaxed);
                    Ok(file)
                }
                Ok(Err(what)) => Err(Trouble::Damaged(format!("{} {what}", path.display()))),
                Err(error) => Err(trouble(&path, error)),
            }
        })
    }

    fn has<'a>(&'a self, blob: &'a Descriptor) -> Call<'a, bool> {
        let (path, size) = (self.at(blob), blob.size);
        Box::pin(async move {
            let known = blocking(move || fs::metadata(path)).await;
            Ok(known.is_ok_and(|known| known.is_file() && known.len() == size))
        })
    }

    fn put<'a>(&'a self, blob: &'a Descriptor, contents: Written) -> Call<'a, ()> {
        let path = self.at(blob);
        Box::pin(self.write(path, contents))
    }
}

/// Removes what processes that died were writing.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_staged = name.to_string_lossy().starts_with('.') && name.to_string_lossy().ends_with(".part");
        let age = entry.metadata().ok().and_then(|known| known.modified().ok()?.elapsed().ok());
        if is_staged && age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[tokio::test]
    async fn what_the_dead_were_writing_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = directory.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        for (name, age) in [(".old.x.part", STALE * 2), (".new.x.part", Duration::ZERO), ("whole", STALE * 2)]
        {
            let file = File::create(blobs.join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        let cache = Directory::new(directory.path().to_owned());
        let blob = Descriptor::embedded("x", b"contents");
        cache.put(&blob, b"contents".as_slice().into()).await.unwrap();
        assert!(cache.has(&blob).await.unwrap());
        let mut names: Vec<_> = fs::read_dir(&blobs)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [".new.x.part".to_owned(), blob.digest.hash().to_string(), "whole".to_owned()]);
    }
}
