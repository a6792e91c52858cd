//! Files placed in a container before its process runs: all of them as one archive.
//!
//! An archive call costs the engine 55–65 ms whatever its size (it re-executes itself to be safe from the container's
//! links), so there is exactly one, unless some placements replace directories and others do not: only a whole call can
//! be allowed to replace directories (`noOverwriteDirNonDir`). In such a call a file replaces the directory, and the new
//! directory then replaces the file (moby, `pkg/archive`, `Unpack`).

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, UploadToContainerOptionsBuilder};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;

use super::cleaner::Container;
use super::entries::Names;
use super::failure::{self, BRIEF, LONG, within};
use super::path::locate;
use super::scaffold::{self, Scaffold};
use super::{Shared, read};
use crate::engine::channel::{ChannelReader, ChannelWriter, PIECES, Piece};
use crate::engine::{Placement, Written, not_a_file};
use crate::model::{EntryKind, Existing};
use crate::{Error, Result};

/// Fills a created container.
pub(super) async fn place(
    shared: &Arc<Shared>,
    container: &Container,
    name: &str,
    placements: &[Placement],
) -> Result<()> {
    for run in placements.chunk_by(|one, next| existing(one) == existing(next)) {
        Box::pin(place_alike(shared, container, name, run)).await?;
    }
    Ok(())
}

fn existing(placement: &Placement) -> Existing {
    match placement {
        Placement::File { .. } => Existing::Stays,
        Placement::Copy { existing, .. } => *existing,
    }
}

/// Places entries that treat existing ones alike.
async fn place_alike(
    shared: &Arc<Shared>,
    container: &Container,
    name: &str,
    placements: &[Placement],
) -> Result<()> {
    let Some(existing) = placements.first().map(existing) else { return Ok(()) };
    let paths = placements.iter().map(|placement| match placement {
        Placement::File { path, .. } | Placement::Copy { to: path, .. } => path.as_str(),
    });
    let parents = missing_parents(shared, container.name(), paths).await?;
    let mut sources = Vec::new();
    let mut copied = Vec::new();
    for placement in placements {
        let (source, found) = source(shared, container.name(), name, placement).await?;
        sources.push(source);
        copied.extend(found);
    }
    // In order, each begun when the writer has read the one before: two at once may be in one container, and would
    // deadlock: the second waits for the first, the first for the writer, and the writer for the second.
    let for_copies = Arc::clone(shared);
    let sending = tokio::spawn(async move {
        for (found, pieces) in copied {
            found.send(&for_copies, pieces).await;
        }
    });

    let (send, mut pieces) = mpsc::channel::<Vec<u8>>(16);
    let writer = tokio::task::spawn_blocking(move || write(ChannelWriter::new(send), &parents, sources));
    let body = stream::poll_fn(move |context| pieces.poll_recv(context)).map(Ok);
    let uploaded = upload(shared, container, "/", existing, body).await;
    // The writer's error explains a broken transfer better than the transfer's own.
    let written = writer.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    sending.abort();
    let what = || format!("place files in {name}");
    match (uploaded, written) {
        (_, Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::engine(what(), error)),
        (Err(error), _) => Err(failure::during(what())(error)),
        (Ok(()), written) => written.map_err(|error| Error::engine(what(), error)),
    }
}

/// Extracts an archive below a directory of a container.
pub(super) async fn upload(
    shared: &Shared,
    container: &Container,
    directory: &str,
    existing: Existing,
    archive: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
) -> std::result::Result<(), bollard::errors::Error> {
    let directories_stay = match existing {
        Existing::Stays => "1",
        Existing::Goes => "0",
    };
    let options =
        UploadToContainerOptionsBuilder::default().path(directory).no_overwrite_dir_non_dir(directories_stay);
    let archive = bollard::body_try_stream(archive.map(|piece| piece.map(Into::into)));
    let upload = shared.client.upload_to_container(container.name(), Some(options.build()), archive);
    within(LONG, upload).await
}

/// Makes an empty file or directory, with missing parents, unless something is there.
pub(super) async fn make(shared: &Shared, container: &Container, path: &str, kind: EntryKind) -> Result<()> {
    if locate(shared, container.name(), path).await?.is_some() {
        return Ok(());
    }
    let what = || format!("make `{path}`, to mount something there");
    let mut archive = tar::Builder::new(Vec::new());
    for parent in missing_parents(shared, container.name(), [path]).await? {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        let added = archive.append_data(&mut header, format!("{parent}/"), io::empty());
        added.map_err(|error| Error::engine(what(), error))?;
    }
    let (kind, mode) = match kind {
        EntryKind::Directory => (tar::EntryType::Directory, 0o755),
        _ => (tar::EntryType::Regular, 0o644),
    };
    let added = archive.append_data(&mut header(kind, mode, 0), path.trim_matches('/'), io::empty());
    let archive = added.and_then(|()| archive.into_inner()).map_err(|error| Error::engine(what(), error))?;
    upload(shared, container, "/", Existing::Stays, stream::iter([Ok(archive)]))
        .await
        .map_err(failure::during(what()))
}

/// Something to write into the archive.
enum Source {
    File { path: String, contents: Written },
    Archive { pieces: mpsc::Receiver<Piece>, scaffold: Option<Scaffold>, to: String, root: Root },
}

/// What happens to the entry of the copied directory or file itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    /// It is written: a file, or a directory that does not exist yet.
    Write,
    /// It is left out: the directory exists and stays as it is.
    Keep,
    /// It is written, after the existing directory was removed.
    Replace,
}

/// What to copy, and where to send it.
type Copied = (read::Located, mpsc::Sender<Piece>);

async fn source(
    shared: &Arc<Shared>,
    container: &str,
    name: &str,
    placement: &Placement,
) -> Result<(Source, Option<Copied>)> {
    let (snapshot, from, to, existing) = match placement {
        Placement::File { path, contents } => {
            return Ok((Source::File { path: path.clone(), contents: contents.here().await? }, None));
        }
        Placement::Copy { snapshot, from, to, existing } => (snapshot, from, to, *existing),
    };
    let found = read::find(shared, snapshot, from, name).await?;
    let is_directory = found.is_directory;
    let wanted_directory = from.ends_with('/');
    if wanted_directory != is_directory {
        let message = if is_directory {
            format!("`{from}` is a directory, not a file")
        } else {
            format!("`{from}` is not a directory")
        };
        return Err(Error::NoSuchPath {
            container: name.to_owned(),
            path: from.clone(),
            message,
            locations: Vec::new(),
        });
    }
    let (to, root) = match existing {
        Existing::Goes => replaced(shared, container, name, to, is_directory).await?,
        Existing::Stays if is_directory && exists(shared, container, to).await? => (to.clone(), Root::Keep),
        Existing::Stays => (to.clone(), Root::Write),
    };
    let (send, pieces) = mpsc::channel(PIECES);
    let scaffold = found.scaffold.clone();
    Ok((Source::Archive { pieces, scaffold, to, root }, Some((found, send))))
}

/// Where a replacement goes: links at the path are followed, as for any mount.
async fn replaced(
    shared: &Shared,
    container: &str,
    name: &str,
    to: &str,
    is_directory: bool,
) -> Result<(String, Root)> {
    match locate(shared, container, to).await? {
        Some((_, EntryKind::Directory)) if !is_directory => {
            Err(Error::engine(format!("place files in {name}"), not_a_file(to)))
        }
        Some((found, EntryKind::Directory)) => Ok((found, Root::Replace)),
        Some((found, _)) => Ok((found, Root::Write)),
        None => Ok((to.to_owned(), Root::Write)),
    }
}

/// The directories that must be made for the placements, outermost first. The engine would make them itself, but with a
/// mode that depends on its version; and naming an existing one would change it, or replace a link by a directory.
async fn missing_parents<'p>(
    shared: &Shared,
    container: &str,
    paths: impl IntoIterator<Item = &'p str>,
) -> Result<BTreeSet<String>> {
    let mut wanted = BTreeSet::new();
    for path in paths {
        let mut path = path.trim_matches('/');
        while let Some((parent, _)) = path.rsplit_once('/') {
            wanted.insert(parent.to_owned());
            path = parent;
        }
    }
    let found = join_all(wanted.iter().map(|parent| exists(shared, container, parent))).await;
    let mut missing = BTreeSet::new();
    for (parent, exists) in wanted.iter().zip(found) {
        if !exists? {
            missing.insert(parent.clone());
        }
    }
    Ok(missing)
}

async fn exists(shared: &Shared, container: &str, path: &str) -> Result<bool> {
    let options =
        ContainerArchiveInfoOptionsBuilder::default().path(&format!("/{}", path.trim_matches('/'))).build();
    match within(BRIEF, shared.client.get_container_archive_info(container, Some(options))).await {
        Ok(_) => Ok(true),
        Err(error) if failure::is_absent(&error) => Ok(false),
        Err(error) => Err(failure::during(format!("look for `{path}`"))(error)),
    }
}

fn write(out: ChannelWriter<Vec<u8>>, parents: &BTreeSet<String>, sources: Vec<Source>) -> io::Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(64 << 10, out));
    for parent in parents {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        archive.append_data(&mut header, format!("{parent}/"), io::empty())?;
    }
    for source in sources {
        match source {
            Source::File { path, contents } => {
                let mut header = header(tar::EntryType::Regular, 0o644, contents.length());
                archive.append_data(&mut header, path.trim_matches('/'), contents.reader())?;
            }
            Source::Archive { pieces, scaffold, to, root } => {
                let reader = ChannelReader::new(pieces);
                copy(&mut archive, reader, scaffold.as_ref(), to.trim_matches('/'), root)?;
            }
        }
    }
    io::Write::flush(&mut archive.into_inner()?)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

/// Copies an engine's archive into another one, below a new name. Entries keep owners, modes, times, links and extended
/// attributes.
fn copy(
    into: &mut tar::Builder<impl io::Write>,
    from: impl Read,
    scaffold: Option<&Scaffold>,
    to: &str,
    root: Root,
) -> io::Result<()> {
    if root == Root::Replace {
        let mut header = header(tar::EntryType::Regular, 0o600, 0);
        into.append_data(&mut header, to, io::empty())?;
    }
    scaffold::entries(from, Names::Below, scaffold, |mut entry| {
        let is_root = entry.path.as_os_str().is_empty();
        if is_root && (root == Root::Keep || to.is_empty()) {
            return Ok(());
        }
        entry.path = Path::new(to).join(&entry.path);
        entry.hard_link = entry.hard_link.map(|target| Path::new(to).join(target));
        entry.append_to(into)
    })
}
