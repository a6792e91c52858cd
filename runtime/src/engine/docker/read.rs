//! What is in a file system: looked at and read through a container that is never started.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::container::PathStatResponse;
use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::failure::{self, BRIEF, within};
use super::place::ChannelWriter;
use super::readers::Files;
use super::scaffold::{self, Scaffold};
use super::{Shared, recast, snapshot};
use crate::engine::{Spool, Written};
use crate::model::Snapshot;
use crate::model::{EntryKind, Stat};
use crate::{Error, Result};

/// As many links are followed before they are taken for a circle (Linux's own limit, `path_resolution(7)`).
const LINKS_AT_MOST: usize = 40;

/// What is known of a path; `None` when nothing is there.
pub(super) async fn stat(shared: &Arc<Shared>, snapshot: &Snapshot, path: &str) -> Result<Option<Stat>> {
    let files = Files::of(shared, snapshot).await?;
    Ok(users(shared, files, path).await?.map(|Users { found, .. }| Stat {
        kind: kind(found.file_mode),
        size: u64::try_from(found.size).unwrap_or(0),
        mode: permissions(found.file_mode),
    }))
}

/// What a path means in the end.
struct Users {
    files: Files,
    /// Where it is, links followed.
    at: String,
    found: PathStatResponse,
    /// What share the engine has in it.
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

/// What a path means in the end, and what that is; `None` when nothing is there.
pub(super) async fn locate(
    shared: &Shared,
    container: &str,
    path: &str,
) -> Result<Option<(String, EntryKind)>> {
    Ok(follow(shared, container, path).await?.map(|(path, found)| (path, kind(found.file_mode))))
}

/// Follows links to what a path means in the end. The engine follows all but the last itself, and says where the last
/// leads, within the container.
pub(super) async fn follow(
    shared: &Shared,
    container: &str,
    path: &str,
) -> Result<Option<(String, PathStatResponse)>> {
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
pub(super) type Piece = io::Result<Vec<u8>>;

/// How many of them may wait to be taken.
pub(super) const PIECES: usize = 16;

/// A file or directory that is there.
pub(super) struct Located {
    files: Files,
    /// Where it is, links followed.
    path: String,
    pub(super) is_directory: bool,
    /// What in it is the engine's own.
    pub(super) scaffold: Option<Scaffold>,
}

/// Finds what is at a path. `name` is for the error.
pub(super) async fn find(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    path: &str,
    name: &str,
) -> Result<Located> {
    find_in(shared, Files::of(shared, snapshot).await?, path, name).await
}

async fn find_in(shared: &Arc<Shared>, files: Files, path: &str, name: &str) -> Result<Located> {
    let Some(Users { files, at, found, scaffold }) = users(shared, files, path).await? else {
        let message = format!("there is no `{path}` in it");
        return Err(Error::NoSuchPath { container: name.to_owned(), path: path.to_owned(), message });
    };
    let is_directory = kind(found.file_mode) == EntryKind::Directory;
    Ok(Located { files, path: at, is_directory, scaffold })
}

impl Located {
    /// Sends it as an archive of the engine's, whose entries begin with the path's last part, for as long as somebody
    /// takes it. The container that it is in is this one's until then: whoever wants several things takes them one
    /// after another, and does not begin with one before the last.
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

/// Adds a directory itself to an archive, by its path, without what is in it.
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
        let ended = entries(PieceReader::new(pieces), Names::Below, |mut entry| {
            entry.path.clone_from(&name);
            entry.append_to(&mut archive)?;
            added = true;
            // It is the first; whoever hears no more of it ends the rest.
            Err(io::ErrorKind::Interrupted.into())
        });
        if added { Ok(archive) } else { Err(ended.err().unwrap_or(io::ErrorKind::NotFound.into())) }
    });
    let added = add.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    added.map_err(|error| Error::engine(format!("look at `{path}`"), error))
}

/// What is in a directory. The engine gives nothing less than all that is below it; of that, no more is kept.
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
        scaffold::entries(PieceReader::new(pieces), Names::Below, scaffold.as_ref(), |entry| {
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

/// The file or directory at a path, as one archive of relative names; the thing itself is `.`.
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
        let mut archive = tar::Builder::new(io::BufWriter::with_capacity(64 << 10, ChannelWriter(sink)));
        scaffold::entries(PieceReader::new(pieces), Names::Below, scaffold.as_ref(), |mut entry| {
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
    let files = Files::held(container.name().to_owned(), Arc::default());
    let pieces = find_in(shared, files, path, image).await?.open(shared);
    let collect = tokio::task::spawn_blocking(move || {
        let mut spool = Spool::default();
        let mut piece = vec![0; 256 << 10];
        entries(PieceReader::new(pieces), Names::Below, |entry| {
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

/// What a file may be long that is taken for small: an image may have anything there.
const SMALL: u64 = 1 << 20;

/// A small text in a file system; empty where there is none.
pub(super) async fn small_file(shared: &Arc<Shared>, snapshot: &Snapshot, path: &str) -> Result<String> {
    let pieces = match find(shared, snapshot, path, &snapshot.0).await {
        Ok(found) if found.is_directory => return Ok(String::new()),
        Ok(found) => found.open(shared),
        Err(Error::NoSuchPath { .. }) => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let collect = tokio::task::spawn_blocking(move || {
        let mut contents = Vec::new();
        entries(PieceReader::new(pieces), Names::Below, |entry| {
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

/// An entry of an archive of the engine's, its names relative to what was asked for.
pub(super) struct Entry<'a> {
    /// Empty for the thing itself.
    pub(super) path: PathBuf,
    /// Another entry of the archive.
    pub(super) hard_link: Option<PathBuf>,
    pub(super) head: Head,
    pub(super) data: &'a mut dyn Read,
}

/// What an archive says of an entry before its data.
pub(super) struct Head {
    symlink: Option<PathBuf>,
    pub(super) header: tar::Header,
    /// Extended attributes, and numbers and times that do not fit the header.
    extensions: Vec<(String, Vec<u8>)>,
}

/// How an archive of the engine's calls what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// From the root on.
    Whole,
    /// Behind the last part of what was asked for, which is taken off.
    Below,
}

/// Goes through an archive.
pub(super) fn entries(
    archive: impl Read,
    names: Names,
    mut each: impl FnMut(Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let below =
            |path: &Path| path.components().skip(usize::from(names == Names::Below)).collect::<PathBuf>();
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
        let head = Head { symlink, header, extensions };
        each(Entry { path, hard_link, head, data: &mut entry })?;
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
    pub(super) fn kind(&self) -> EntryKind {
        match self.head.header.entry_type() {
            tar::EntryType::Directory => EntryKind::Directory,
            tar::EntryType::Symlink => EntryKind::Symlink,
            kind if kind.is_file() => EntryKind::File,
            _ => EntryKind::Other,
        }
    }

    /// Writes the entry as it now is.
    pub(super) fn append_to(self, archive: &mut tar::Builder<impl io::Write>) -> io::Result<()> {
        let Head { symlink, mut header, extensions } = self.head;
        if !extensions.is_empty() {
            let extensions = extensions.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            archive.append_pax_extensions(extensions)?;
        }
        match self.hard_link.or(symlink) {
            Some(target) => archive.append_link(&mut header, &self.path, target),
            None => archive.append_data(&mut header, &self.path, self.data),
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
