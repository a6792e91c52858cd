//! Outputs of directories and files.

use std::path::Path;

use crate::model::{Entry, Stat};
use crate::value::{Directory, File};
use crate::{Error, Result, session};

impl Directory {
    /// The entries, sorted by name.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`] when there is no such directory or it is a file.
    pub fn entries(&self) -> impl Future<Output = Result<Vec<Entry>>> + Send + use<> {
        session::entries(self.at.clone())
    }

    /// Writes the directory's contents into a directory on the pipeline's machine, which is created if it is missing.
    /// Existing entries stay, unless something of the same name is written. Nothing is written outside the directory.
    pub fn save_to<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::save_directory(self.at.clone(), path.as_ref().to_owned())
    }

    /// Makes sure that the directory exists, running the steps that it needs.
    pub fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let entries = self.entries();
        async move { entries.await.map(drop) }
    }
}

impl File {
    /// The contents, byte for byte.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`] when there is no such file or it is a directory.
    pub fn bytes(&self) -> impl Future<Output = Result<Vec<u8>>> + Send + use<> {
        session::file_bytes(self.at.clone())
    }

    /// The contents as text.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and [`Error::Invalid`] when the contents are not UTF-8.
    pub fn contents(&self) -> impl Future<Output = Result<String>> + Send + use<> {
        let (bytes, at) = (self.bytes(), self.at.clone());
        async move {
            let message = || format!("`{}` is not UTF-8\n\nhelp: use `bytes`", at.path);
            let invalid = |_| Error::invalid(at.container.name(), message()).at([at.at]);
            String::from_utf8(bytes.await?).map_err(invalid)
        }
    }

    /// The size in bytes.
    pub fn size(&self) -> impl Future<Output = Result<u64>> + Send + use<> {
        let stat = self.stat();
        async move { Ok(stat.await?.size) }
    }

    /// Kind, size and permissions.
    pub fn stat(&self) -> impl Future<Output = Result<Stat>> + Send + use<> {
        session::stat(self.at.clone())
    }

    /// Writes the file to a path on the pipeline's machine, with its permission bits; missing parent directories are
    /// created. If the path is a directory, the file goes into it under its own name. An interrupted save leaves the old
    /// file.
    pub fn save_to<P: AsRef<Path>>(&self, path: P) -> impl Future<Output = Result<()>> + Send + use<P> {
        session::save_file(self.at.clone(), path.as_ref().to_owned())
    }

    /// Makes sure that the file exists, running the steps that it needs.
    pub fn sync(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let stat = self.stat();
        async move { stat.await.map(drop) }
    }
}
