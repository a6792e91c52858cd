//! Reading what steps left behind: files and directories, streamed out of the engine as tar archives.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::aside::Aside;
use super::in_session;
use crate::engine::{Engine, Snapshot};
use crate::graph;
use crate::value::{Entry, EntryKind, PathIn, Stat};
use crate::{Error, Result};

/// How many pieces of an archive may wait to be read.
const PIECES: usize = 16;

/// A path in a file system that is there.
pub(super) struct Reader {
    engine: Arc<dyn Engine>,
    snapshot: Snapshot,
    container: String,
    path: String,
}

/// Makes what a path is in, and reads from it.
pub(super) async fn in_path<T: Send + 'static, F>(
    at: PathIn,
    read: impl FnOnce(Reader) -> F + Send + 'static,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    let node = graph::lower_path(&at)?;
    in_session(format!("reading `{}` of `{}`", at.path, node.name), |session| async move {
        let snapshot = session.filesystem(&node.fs).await?;
        let engine = session.engine().await?;
        read(Reader { engine, snapshot, container: node.name.to_string(), path: at.path }).await
    })
    .await
}

impl Reader {
    pub(super) async fn stat(&self) -> Result<Stat> {
        self.engine
            .stat(&self.snapshot, self.path.trim_end_matches('/'))
            .await?
            .ok_or_else(|| self.missing("no such file or directory"))
    }

    pub(super) async fn entries(self) -> Result<Vec<Entry>> {
        self.expect(EntryKind::Directory).await?;
        self.unpack(|archive| {
            let mut entries = Vec::new();
            for entry in archive.entries()? {
                let entry = entry?;
                let path = entry.path()?.into_owned();
                let mut parts =
                    path.components().filter(|part| matches!(part, std::path::Component::Normal(_)));
                if let (Some(name), None) = (parts.next(), parts.next()) {
                    let name = name.as_os_str().to_string_lossy().into_owned();
                    entries.push(Entry { name, kind: kind(entry.header().entry_type()) });
                }
            }
            entries.sort();
            entries.dedup();
            Ok(entries)
        })
        .await
    }

    pub(super) async fn bytes(self) -> Result<Vec<u8>> {
        self.expect(EntryKind::File).await?;
        let missing = self.missing("no such file");
        let contents = self
            .unpack(|archive| {
                for entry in archive.entries()? {
                    let mut entry = entry?;
                    if entry.header().entry_type().is_file() {
                        let mut contents = Vec::new();
                        entry.read_to_end(&mut contents)?;
                        return Ok(Some(contents));
                    }
                }
                Ok(None)
            })
            .await?;
        contents.ok_or(missing)
    }

    pub(super) async fn save_directory(self, to: PathBuf) -> Result<()> {
        self.expect(EntryKind::Directory).await?;
        std::fs::create_dir_all(&to).map_err(|error| Error::io(&to, &error))?;
        self.unpack(move |archive| {
            archive.set_overwrite(true);
            // Directories last: one without write permission must not keep its own files out.
            let mut directories = Vec::new();
            for entry in archive.entries()? {
                let mut entry = entry?;
                if entry.header().entry_type().is_dir() {
                    directories.push(entry);
                } else {
                    // Refuses names that lead outside, also through links that the archive itself made.
                    entry.unpack_in(&to)?;
                }
            }
            directories.iter_mut().try_for_each(|entry| entry.unpack_in(&to).map(drop))
        })
        .await
    }

    pub(super) async fn save_file(self, to: PathBuf) -> Result<()> {
        let mode = self.expect(EntryKind::File).await?.mode;
        let name = self.path.rsplit('/').next().unwrap_or_default().to_owned();
        let contents = self.bytes().await?;
        let write = move || {
            let to = if to.is_dir() { to.join(name) } else { to };
            write_whole(&to, &contents, mode).map_err(|error| Error::io(&to, &error))
        };
        blocking(write).await
    }

    /// What the path is, when it is what is wanted.
    async fn expect(&self, wanted: EntryKind) -> Result<Stat> {
        let stat = self.stat().await?;
        match (wanted, stat.kind) {
            (EntryKind::Directory, EntryKind::File) => Err(self.missing("is a file, not a directory")),
            (EntryKind::File, EntryKind::Directory) => Err(self.missing(
                "is a directory, not a file\n\nhelp: use `directory`, or export it with a `/` at the end",
            )),
            _ => Ok(stat),
        }
    }

    fn missing(&self, message: &str) -> Error {
        Error::NoSuchPath {
            container: self.container.clone(),
            path: self.path.clone(),
            message: format!("`{}`: {message}", self.path),
        }
    }

    /// Streams the path through a reader of its archive, on a thread that may block.
    async fn unpack<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut tar::Archive<Pieces>) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sink, pieces) = mpsc::channel(PIECES);
        let path = self.path.clone();
        let reading = blocking(move || {
            let mut archive = tar::Archive::new(Pieces { pieces, piece: io::Cursor::default() });
            let result = read(&mut archive).map_err(|error| Error::io(&path, &error));
            // Whatever the reader did not want, so that the engine can end its transfer.
            let _ = io::copy(&mut archive.into_inner(), &mut io::sink());
            result
        });
        let (sent, result) = tokio::join!(self.engine.read(&self.snapshot, &self.path, sink), reading);
        sent.and(result)
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::engine("internal error, please report it", error)),
    }
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut aside = Aside::make(path)?;
    aside.file.write_all(contents)?;
    set_mode(&aside.path, mode)?;
    aside.put(path)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o777))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

fn kind(kind: tar::EntryType) -> EntryKind {
    if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_symlink() {
        EntryKind::Symlink
    } else if kind.is_file() || kind.is_hard_link() || kind.is_contiguous() || kind.is_gnu_sparse() {
        EntryKind::File
    } else {
        EntryKind::Other
    }
}

/// The pieces of an archive, read as one.
struct Pieces {
    pieces: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}
