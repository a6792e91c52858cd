//! Reading what steps left: files and directories, streamed from the engine as tar archives.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::in_session;
use super::save::{self, holds_contents, save_tree};
use crate::engine::Engine;
use crate::graph;
use crate::model::{Entry, EntryKind, Snapshot, Stat};
use crate::staging::AtomicFile;
use crate::value::PathIn;
use crate::{Error, Result};

/// How many pieces of an archive may be queued for the reader.
const PIECES: usize = 16;

/// A path in a file system that exists.
pub(super) struct Reader {
    engine: Arc<dyn Engine>,
    snapshot: Snapshot,
    /// The name of the container, for errors.
    container: String,
    path: String,
}

/// Runs the steps that a path needs, and reads from it.
pub(super) async fn in_path<T: Send + 'static, F>(
    at: PathIn,
    read: impl FnOnce(Reader) -> F + Send + 'static,
) -> Result<T>
where
    F: Future<Output = Result<T>> + Send,
{
    let (node, place) = (graph::lower_path(&at)?, at.at);
    in_session(format!("reading `{}` of `{}`", at.path, node.name), |session| async move {
        let snapshot = session.filesystem(&node.fs).await?;
        let engine = session.engine().await?;
        read(Reader { engine, snapshot, container: node.name.to_string(), path: at.path }).await
    })
    .await
    .map_err(|error| error.at([place]))
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
        let mut entries = self.engine.list(&self.snapshot, &self.path).await?;
        entries.sort();
        Ok(entries)
    }

    pub(super) async fn bytes(self) -> Result<Vec<u8>> {
        self.expect(EntryKind::File).await?;
        self.with_contents(|contents| {
            let mut bytes = Vec::new();
            contents.read_to_end(&mut bytes).map(|_| bytes)
        })
        .await
    }

    /// Streams the contents of the file to a function.
    async fn with_contents<T: Send + 'static>(
        self,
        read: impl FnOnce(&mut dyn Read) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let missing = self.missing("no such file");
        let given = self
            .unpack(|archive| {
                for entry in archive.entries()? {
                    let mut entry = entry?;
                    if holds_contents(entry.header().entry_type()) {
                        return read(&mut entry).map(Some);
                    }
                }
                Ok(None)
            })
            .await?;
        given.ok_or(missing)
    }

    pub(super) async fn save_directory(self, to: PathBuf) -> Result<()> {
        self.expect(EntryKind::Directory).await?;
        std::fs::create_dir_all(&to).map_err(|error| Error::io(&to, error))?;
        self.unpack(move |archive| save_tree(archive, &to)).await
    }

    /// Saves the file, completely or not at all.
    pub(super) async fn save_file(self, to: PathBuf) -> Result<()> {
        let mode = self.expect(EntryKind::File).await?.mode;
        let name = self.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let to = if to.is_dir() { to.join(name) } else { to };
        let at = to.clone();
        let staged = blocking(move || AtomicFile::create(&at).map_err(|error| Error::io(&at, error))).await?;
        self.with_contents(move |mut contents| {
            let mut staged = staged;
            save::copy(&mut contents, &mut staged.file)?;
            save::set_mode(&staged.path, mode)?;
            staged.commit(&to)
        })
        .await
    }

    /// The path's stat, if the path is of the wanted kind.
    async fn expect(&self, wanted: EntryKind) -> Result<Stat> {
        let stat = self.stat().await?;
        match (wanted, stat.kind) {
            (EntryKind::Directory, EntryKind::File) => Err(self.missing("is a file, not a directory")),
            (_, EntryKind::Other) => {
                Err(self.missing("is a pipe, a socket or a device, and has nothing to be read"))
            }
            (EntryKind::File, EntryKind::Directory) => Err(self.missing(
                "is a directory, not a file\n\nhelp: use `directory`, or export it with a `/` at the end",
            )),
            _ => Ok(stat),
        }
    }

    fn missing(&self, message: &str) -> Error {
        // U+FFFD stands for bytes that are not text.
        let help = if self.path.contains('\u{fffd}') {
            "\n\nhelp: a name that is not UTF-8 cannot be asked for; `save_to` of the directory writes it as it is"
        } else {
            ""
        };
        Error::NoSuchPath {
            container: self.container.clone(),
            path: self.path.clone(),
            message: format!("`{}`: {message}{help}", self.path),
            locations: Vec::new(),
        }
    }

    /// Streams the path's archive to a reader, on a thread that may block.
    async fn unpack<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut tar::Archive<Pieces>) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sink, pieces) = mpsc::channel(PIECES);
        let path = self.path.clone();
        let reading = blocking(move || {
            let mut archive = tar::Archive::new(Pieces { pieces, piece: io::Cursor::default() });
            let result = read(&mut archive).map_err(|error| Error::io(&path, error));
            // Drains what the reader did not want, so that the engine can finish its transfer.
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
        Err(error) => Err(Error::internal(error)),
    }
}

/// The pieces of an archive as one reader.
struct Pieces {
    pieces: mpsc::Receiver<Vec<u8>>,
    /// The piece that is being read.
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
