//! What is in a file system: looked at and read through a container that is never started.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bollard::container::PathStatResponse;
use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder};
use futures_util::StreamExt as _;
use tokio::sync::{OnceCell, mpsc};

use super::cleaner::Container;
use super::failure::{self, BRIEF, within};
use super::place::ChannelWriter;
use super::{Shared, lock, recast, snapshot};
use crate::engine::{Snapshot, Spool, Written};
use crate::value::{EntryKind, Stat};
use crate::{Error, Result};

/// As many links are followed before they are taken for a circle (Linux's own limit, `path_resolution(7)`).
const LINKS_AT_MOST: usize = 40;

/// Containers to read images through, one per image: making one takes 11 ms, asking it 1 ms.
#[derive(Default)]
pub(super) struct Readers {
    containers: Mutex<HashMap<String, Arc<OnceCell<Container>>>>,
}

impl Readers {
    /// Lets go of all; they are removed in the background.
    pub(super) fn release(&self) {
        let containers = std::mem::take(&mut *lock(&self.containers));
        drop(containers);
    }
}

/// The name of a container that has the snapshot's files.
async fn container(shared: &Arc<Shared>, snapshot: &Snapshot) -> Result<String> {
    let image = match snapshot::held_container(snapshot) {
        None => snapshot::without_volumes(shared, &snapshot.0).await?.id.clone(),
        Some(held) => match snapshot::readable(shared, held).await? {
            None => return Ok(held.to_owned()),
            Some(image) => image,
        },
    };
    let cell = Arc::clone(lock(&shared.readers.containers).entry(image.clone()).or_default());
    let container = cell.get_or_try_init(|| recast::idle_container(shared, &image)).await?;
    Ok(container.name().to_owned())
}

/// What is known of a path; `None` when nothing is there.
pub(super) async fn stat(shared: &Arc<Shared>, snapshot: &Snapshot, path: &str) -> Result<Option<Stat>> {
    let container = container(shared, snapshot).await?;
    Ok(locate(shared, &container, path).await?.map(|(_, found)| Stat {
        kind: kind(found.file_mode),
        size: u64::try_from(found.size).unwrap_or(0),
        mode: permissions(found.file_mode),
    }))
}

/// Follows links to what a path means in the end. The engine follows all but the last itself, and says where the last
/// leads, within the container.
async fn locate(shared: &Shared, container: &str, path: &str) -> Result<Option<(String, PathStatResponse)>> {
    // With a slash at its end the engine would follow the last link too, but then say nothing of a file.
    let mut path = format!("/{}", path.trim_matches('/'));
    for _ in 0..LINKS_AT_MOST {
        let options = ContainerArchiveInfoOptionsBuilder::default().path(&path).build();
        match within(BRIEF, shared.client.get_container_archive_info(container, Some(options))).await {
            Ok(found) if kind(found.file_mode) == EntryKind::Symlink && !found.link_target.is_empty() => {
                path = found.link_target;
            }
            Ok(found) => return Ok(Some((path, found))),
            Err(error) if failure::is_absent(&error) => return Ok(None),
            // To the engine, a file taken for a directory and links that lead in a circle are its own errors.
            Err(error) if failure::status(&error) == Some(500) => {
                if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
                    let parent = Box::pin(locate(shared, container, parent)).await?;
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

/// Go's `os.FileMode`, which is what the engine sends: kinds and special bits have numbers of their own.
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

fn permissions(mode: u32) -> u32 {
    let special = [(go_mode::SETUID, 0o4000), (go_mode::SETGID, 0o2000), (go_mode::STICKY, 0o1000)];
    special.iter().filter(|(bit, _)| mode & bit != 0).fold(mode & 0o777, |mode, (_, bit)| mode | bit)
}

/// A piece of an archive, or why there will be no more.
type Piece = io::Result<Vec<u8>>;

/// Opens a path as an archive of the engine's, whose entries begin with the path's last part. Says whether it is a
/// directory. `name` is for the error.
pub(super) async fn open(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    path: &str,
    name: &str,
) -> Result<(mpsc::Receiver<Piece>, bool)> {
    let container = container(shared, snapshot).await?;
    let Some((found_at, found)) = locate(shared, &container, path).await? else {
        let message = format!("there is no `{path}` in it");
        return Err(Error::NoSuchPath { container: name.to_owned(), path: path.to_owned(), message });
    };
    let (send, pieces) = mpsc::channel(16);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let options = DownloadFromContainerOptionsBuilder::default().path(&found_at).build();
        let mut stream = Box::pin(shared.client.download_from_container(&container, Some(options)));
        while let Some(piece) = stream.next().await {
            let piece =
                piece.map(|bytes| bytes.to_vec()).map_err(|error| io::Error::other(failure::message(&error)));
            if send.send(piece).await.is_err() {
                return;
            }
        }
    });
    Ok((pieces, kind(found.file_mode) == EntryKind::Directory))
}

/// The file or directory at a path, as one archive of relative names; the thing itself is `.`.
pub(super) async fn read(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    path: &str,
    sink: mpsc::Sender<Vec<u8>>,
) -> Result<()> {
    let (pieces, _) = open(shared, snapshot, path, &snapshot.0).await?;
    let rename = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(io::BufWriter::with_capacity(64 << 10, ChannelWriter(sink)));
        entries(PieceReader::new(pieces), |mut entry| {
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
    let container = recast::idle_container(shared, image).await?;
    let snapshot = Snapshot(format!("container:{}", container.name()));
    let (pieces, _) = open(shared, &snapshot, path, image).await?;
    let collect = tokio::task::spawn_blocking(move || {
        let mut spool = Spool::default();
        let mut piece = vec![0; 256 << 10];
        entries(PieceReader::new(pieces), |entry| {
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

/// A small text in a file system; empty where there is none.
pub(super) async fn small_file(shared: &Arc<Shared>, snapshot: &Snapshot, path: &str) -> Result<String> {
    let pieces = match open(shared, snapshot, path, &snapshot.0).await {
        Ok((pieces, _)) => pieces,
        Err(Error::NoSuchPath { .. }) => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let collect = tokio::task::spawn_blocking(move || {
        let mut contents = Vec::new();
        entries(PieceReader::new(pieces), |entry| entry.data.read_to_end(&mut contents).map(drop))?;
        Ok(String::from_utf8_lossy(&contents).into_owned())
    });
    let text = collect.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    text.map_err(|error: io::Error| Error::engine(format!("read `{path}`"), error))
}

/// An entry of an archive of the engine's, its names relative to what was asked for.
pub(super) struct Entry<'a> {
    /// Empty for the thing itself.
    pub(super) path: PathBuf,
    /// Another entry of the archive.
    pub(super) hard_link: Option<PathBuf>,
    symlink: Option<PathBuf>,
    header: tar::Header,
    /// Extended attributes, and numbers and times that do not fit the header.
    extensions: Vec<(String, Vec<u8>)>,
    data: &'a mut dyn Read,
}

/// Goes through an archive, taking the first part off every name.
pub(super) fn entries(
    archive: impl Read,
    mut each: impl FnMut(Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let below = |path: &Path| path.components().skip(1).collect::<PathBuf>();
        let path = below(&entry.path()?);
        let link = entry.link_name()?.map(std::borrow::Cow::into_owned);
        let mut header = entry.header().clone();
        header.set_size(entry.size());
        let extensions = extensions(&mut entry)?;
        let (hard_link, symlink) = match header.entry_type() {
            tar::EntryType::Link => (link.as_deref().map(below), None),
            tar::EntryType::Symlink => (None, link),
            _ => (None, None),
        };
        each(Entry { path, hard_link, symlink, header, extensions, data: &mut entry })?;
    }
    Ok(())
}

/// What the entry's extended header says, but for what is written anew.
fn extensions<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let Some(extensions) = entry.pax_extensions()? else { return Ok(found) };
    for extension in extensions {
        let extension = extension?;
        let key = String::from_utf8_lossy(extension.key_bytes()).into_owned();
        if !["path", "linkpath", "size"].contains(&key.as_str()) {
            found.push((key, extension.value_bytes().to_vec()));
        }
    }
    Ok(found)
}

impl Entry<'_> {
    /// Writes the entry as it now is.
    pub(super) fn append_to(mut self, archive: &mut tar::Builder<impl io::Write>) -> io::Result<()> {
        let extensions = self.extensions.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        if !self.extensions.is_empty() {
            archive.append_pax_extensions(extensions)?;
        }
        match self.hard_link.or(self.symlink) {
            Some(target) => archive.append_link(&mut self.header, &self.path, target),
            None => archive.append_data(&mut self.header, &self.path, self.data),
        }
    }
}

/// Reads pieces as they come, on a thread that may block.
pub(super) struct PieceReader {
    pieces: mpsc::Receiver<Piece>,
    piece: io::Cursor<Vec<u8>>,
}

impl PieceReader {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, piece: io::Cursor::default() }
    }
}

impl Read for PieceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(into)? {
                0 => match self.pieces.blocking_recv() {
                    Some(piece) => self.piece = io::Cursor::new(piece?),
                    None => return Ok(0),
                },
                count => return Ok(count),
            }
        }
    }
}
