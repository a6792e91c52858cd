//! Reading file systems through a container that is never started.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use bollard::container::PathStatResponse;
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::entries::{Names, entries};
use super::idle::idle_container;
use super::path::{follow, kind, permissions};
use super::readers::Files;
use super::scaffold::{self, Scaffold};
use super::{Shared, failure, snapshot};
use crate::engine::channel::{ChannelReader, ChannelWriter, PIECES, Piece};
use crate::engine::{Spool, Written};
use crate::model::{EntryKind, Snapshot, Stat};
use crate::{Error, Result};

/// The metadata of a path; `None` when nothing is there.
pub(super) async fn stat(shared: &Arc<Shared>, snapshot: &Snapshot, path: &str) -> Result<Option<Stat>> {
    let files = snapshot::files(shared, snapshot).await?;
    Ok(users(shared, files, path).await?.map(|Users { found, .. }| Stat {
        kind: kind(found.file_mode),
        size: u64::try_from(found.size).unwrap_or(0),
        mode: permissions(found.file_mode),
    }))
}

/// The target of a path, links followed.
struct Users {
    files: Files,
    /// The path, links followed.
    at: String,
    found: PathStatResponse,
    /// The engine's part of what is there.
    scaffold: Option<Scaffold>,
}

/// Finds what is at a path, unless it is the engine's own.
async fn users(shared: &Arc<Shared>, files: Files, path: &str) -> Result<Option<Users>> {
    let looking = files.look(shared).await?;
    let Some((at, found)) = follow(shared, looking.name(), path).await? else { return Ok(None) };
    if scaffold::is_mounted_over(&at)
        && let Some(held) = files.held_container(shared)
    {
        drop(looking);
        let files = Files::of_image(shared, snapshot::image_of_held(shared, &held).await?);
        return Box::pin(users(shared, files, path)).await;
    }
    let scaffold = scaffold::of(shared, &files, &looking, &at).await?;
    drop(looking);
    let is_own = scaffold.as_ref().is_some_and(|scaffold| {
        scaffold.is_all(kind(found.file_mode), found.size, found.modification_time.as_deref())
    });
    Ok(if is_own { None } else { Some(Users { files, at, found, scaffold }) })
}

/// A file or directory that exists.
pub(super) struct Located {
    files: Files,
    /// The path, links followed.
    path: String,
    pub(super) is_directory: bool,
    /// The engine's part of what is there.
    pub(super) scaffold: Option<Scaffold>,
}

/// Finds what is at a path. `name` is for the error.
pub(super) async fn find(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    path: &str,
    name: &str,
) -> Result<Located> {
    find_in(shared, snapshot::files(shared, snapshot).await?, path, name).await
}

async fn find_in(shared: &Arc<Shared>, files: Files, path: &str, name: &str) -> Result<Located> {
    let Some(Users { files, at, found, scaffold }) = users(shared, files, path).await? else {
        let message = format!("there is no `{path}` in it");
        return Err(Error::NoSuchPath {
            container: name.to_owned(),
            path: path.to_owned(),
            message,
            locations: Vec::new(),
        });
    };
    let is_directory = kind(found.file_mode) == EntryKind::Directory;
    Ok(Located { files, path: at, is_directory, scaffold })
}

impl Located {
    /// Sends it as an engine's archive, whose entries begin with the path's last part, for as long as somebody reads.
    /// Until then nobody else may read from its container: a caller that wants several things takes them one after
    /// another, and does not begin one before the last is done.
    pub(super) async fn send(self, shared: &Arc<Shared>, pieces: mpsc::Sender<Piece>) {
        let container = match self.files.read(shared).await {
            Ok(container) => container,
            Err(error) => return drop(pieces.send(Err(io::Error::other(error))).await),
        };
        let options = DownloadFromContainerOptionsBuilder::default().path(&self.path).build();
        let mut stream = Box::pin(shared.client.download_from_container(container.name(), Some(options)));
        while let Some(piece) = stream.next().await {
            let piece =
                piece.map(|bytes| bytes.to_vec()).map_err(|error| io::Error::other(failure::message(&error)));
            if pieces.send(piece).await.is_err() {
                return;
            }
        }
        drop(stream);
        container.done();
    }

    /// As [`Located::send`], in a task of its own.
    fn open(self, shared: &Arc<Shared>) -> mpsc::Receiver<Piece> {
        let (send, pieces) = mpsc::channel(PIECES);
        let shared = Arc::clone(shared);
        tokio::spawn(async move { self.send(&shared, send).await });
        pieces
    }
}

/// Adds a directory itself to an archive, by its path, without its contents.
pub(super) async fn itself_into(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    path: &str,
    mut archive: tar::Builder<Vec<u8>>,
) -> Result<tar::Builder<Vec<u8>>> {
    let pieces = find(shared, snapshot, path, &snapshot.0).await?.open(shared);
    let name = PathBuf::from(path);
    let add = tokio::task::spawn_blocking(move || {
        let mut added = false;
        let ended = entries(ChannelReader::new(pieces), Names::Below, |mut entry| {
            entry.path.clone_from(&name);
            entry.append_to(&mut archive)?;
            added = true;
            // It is the first entry; dropping the receiver ends the rest.
            Err(io::ErrorKind::Interrupted.into())
        });
        if added { Ok(archive) } else { Err(ended.err().unwrap_or(io::ErrorKind::NotFound.into())) }
    });
    let added = add.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    added.map_err(|error| Error::engine(format!("look at `{path}`"), error))
}

/// The entries of a directory. The engine only sends everything below it; nothing else of that is kept.
pub(super) async fn list(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    path: &str,
) -> Result<Vec<crate::model::Entry>> {
    let found = find(shared, snapshot, path, &snapshot.0).await?;
    let scaffold = found.scaffold.clone();
    let pieces = found.open(shared);
    let collect = tokio::task::spawn_blocking(move || {
        let mut found = HashMap::new();
        scaffold::entries(ChannelReader::new(pieces), Names::Below, scaffold.as_ref(), |entry| {
            let mut parts = entry.path.components();
            if let (Some(name), None) = (parts.next(), parts.next()) {
                found.insert(name.as_os_str().to_owned(), kind_in_archive(entry.head.header.entry_type()));
            }
            Ok(())
        })?;
        let entry = |(name, kind): (std::ffi::OsString, _)| crate::model::Entry {
            name: name.to_string_lossy().into_owned(),
            kind,
        };
        Ok(found.into_iter().map(entry).collect())
    });
    let found = collect.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    found.map_err(|error: io::Error| Error::engine(format!("list `{path}`"), error))
}

fn kind_in_archive(kind: tar::EntryType) -> EntryKind {
    match kind {
        tar::EntryType::Directory => EntryKind::Directory,
        tar::EntryType::Symlink => EntryKind::Symlink,
        tar::EntryType::Fifo | tar::EntryType::Char | tar::EntryType::Block => EntryKind::Other,
        _ => EntryKind::File,
    }
}

/// The file or directory at a path, as one archive of relative names; the path itself is `.`.
pub(super) async fn read(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    path: &str,
    sink: mpsc::Sender<Vec<u8>>,
) -> Result<()> {
    let found = find(shared, snapshot, path, &snapshot.0).await?;
    let scaffold = found.scaffold.clone();
    let pieces = found.open(shared);
    let rename = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(io::BufWriter::with_capacity(64 << 10, ChannelWriter::new(sink)));
        scaffold::entries(ChannelReader::new(pieces), Names::Below, scaffold.as_ref(), |mut entry| {
            if entry.path.as_os_str().is_empty() {
                entry.path = PathBuf::from(".");
            }
            entry.append_to(&mut archive)
        })?;
        io::Write::flush(&mut archive.into_inner()?)
    });
    let renamed = rename.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    renamed.map_err(|error| Error::engine(format!("read `{path}`"), error))
}

/// A file of an image, of any size.
pub(super) async fn written(shared: &Arc<Shared>, image: &str, path: &str) -> Result<Written> {
    let container = idle_container(shared, image).await?;
    let files = Files::held(container.name().to_owned(), Arc::default());
    let pieces = find_in(shared, files, path, image).await?.open(shared);
    let collect = tokio::task::spawn_blocking(move || {
        let mut spool = Spool::default();
        let mut piece = vec![0; 256 << 10];
        entries(ChannelReader::new(pieces), Names::Below, |entry| {
            loop {
                match entry.data.read(&mut piece)? {
                    0 => return Ok(()),
                    length => spool.push(piece.get(..length).unwrap_or_default())?,
                }
            }
        })?;
        Ok(spool.finish())
    });
    let written = collect.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|error: io::Error| Error::engine(format!("read {image}"), error))
}

/// The size limit of a small file: an image may have anything there.
const SMALL: u64 = 1 << 20;

/// A small text in a file system; empty if there is none.
pub(super) async fn small_file(shared: &Arc<Shared>, snapshot: &Snapshot, path: &str) -> Result<String> {
    let pieces = match find(shared, snapshot, path, &snapshot.0).await {
        Ok(found) if found.is_directory => return Ok(String::new()),
        Ok(found) => found.open(shared),
        Err(Error::NoSuchPath { .. }) => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let collect = tokio::task::spawn_blocking(move || {
        let mut contents = Vec::new();
        entries(ChannelReader::new(pieces), Names::Below, |entry| {
            entry.data.take(SMALL + 1).read_to_end(&mut contents)?;
            if contents.len() as u64 > SMALL {
                return Err(io::Error::other("it is longer than 1 MiB"));
            }
            Ok(())
        })?;
        Ok(String::from_utf8_lossy(&contents).into_owned())
    });
    let text = collect.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    text.map_err(|error: io::Error| Error::engine(format!("read `{path}`"), error))
}
