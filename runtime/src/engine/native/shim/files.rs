//! Reading file systems in which nothing runs, and placing files in them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::error::{Context as _, ShimError};
use super::overlay::{self, Tree};
use super::pack::pack;
use super::send::{send_directory, send_file, send_list};
use super::unpack::unpack;
use super::{copy, inside, unshare};
use crate::engine::native::model::Root;
use crate::engine::native::store;
use crate::engine::native::wire::{self, Answer, Files, Piece, Placement, Stat};

pub(super) fn answer(
    files: &Files,
    descriptors: Vec<OwnedFd>,
    answers: &UnixStream,
) -> Result<(), ShimError> {
    unshare(UnshareFlags::NEWNS).context("mounts of its own")?;
    let answer = match files {
        Files::Stat { root, path } => stat(&overlay::open(root)?, path)?,
        Files::Read { root, path } => {
            let to = descriptors.into_iter().next().ok_or_else(|| ShimError::new("nowhere to send it"))?;
            read(&overlay::open(root)?, path, to)?
        }
        Files::List { root, path } => {
            let to = descriptors.into_iter().next().ok_or_else(|| ShimError::new("nowhere to send it"))?;
            list(&overlay::open(root)?, path, to)?
        }
        Files::Unpack { into, size, digest } => {
            let archive =
                descriptors.into_iter().next().ok_or_else(|| ShimError::new("nothing to unpack"))?;
            unpack(into, archive, *size, digest.as_deref())?;
            Answer::Done
        }
        Files::Pack { layer } => {
            let to = descriptors.into_iter().next().ok_or_else(|| ShimError::new("nowhere to write it"))?;
            Answer::Packed(pack(layer, to)?)
        }
        Files::Prune { what, aside } => {
            let removed = store::prune(Path::new(""), aside, what).context("remove what is not needed")?;
            Answer::Pruned(removed)
        }
        Files::Empty { volume, aside } => {
            store::empty(volume, aside).context(volume.display())?;
            Answer::Done
        }
        Files::Remove { path } => {
            std::fs::remove_dir_all(path).context(path.display())?;
            Answer::Done
        }
        Files::Merge { layers, into } => {
            super::merge::merge(layers, into)?;
            Answer::Done
        }
        Files::Place { root, placements } => {
            place(&overlay::open(root)?, placements, &descriptors)?;
            Answer::Done
        }
    };
    wire::say(answers, &answer).context("the pipeline")
}

/// Looks up a path; `None` if there is nothing.
fn look(tree: &Tree, path: &str) -> Result<Option<OwnedFd>, ShimError> {
    match inside::find(tree.as_fd(), path) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(ShimError::new(format!("{path}: {error}"))),
    }
}

fn stat(tree: &Tree, path: &str) -> Result<Answer, ShimError> {
    let Some(found) = look(tree, path)? else {
        return Ok(Answer::NoSuchPath);
    };
    let found = fstat(&found).context(path)?;
    Ok(Answer::Stat(Stat {
        mode: found.st_mode,
        size: u64::try_from(found.st_size).unwrap_or(0),
        mtime: found.st_mtime,
    }))
}

fn read(tree: &Tree, path: &str, to: OwnedFd) -> Result<Answer, ShimError> {
    let Some(found) = look(tree, path)? else {
        return Ok(Answer::NoSuchPath);
    };
    let sent = match FileType::from_raw_mode(fstat(&found).context(path)?.st_mode) {
        FileType::Directory => send_directory(&found, to),
        _ => inside::file(tree.as_fd(), path).map_err(io::Error::from).and_then(|file| send_file(file, to)),
    };
    sent.context(path).map(|()| Answer::Done)
}

fn list(tree: &Tree, path: &str, to: OwnedFd) -> Result<Answer, ShimError> {
    let Some(found) = look(tree, path)? else {
        return Ok(Answer::NoSuchPath);
    };
    send_list(&found, to).context(path).map(|()| Answer::Done)
}

fn place(tree: &Tree, placements: &[Placement], descriptors: &[OwnedFd]) -> Result<(), ShimError> {
    for placement in placements {
        match placement {
            Placement::File { path, contents } => {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                let parent = inside::make_directory(tree.as_fd(), parent).context(path)?;
                let mut file = inside::create_at(&parent, name, 0o644).context(path)?;
                let from = descriptors.get(contents.descriptor);
                let from = from.ok_or_else(|| ShimError::new("its contents were not sent")).context(path)?;
                copy_piece(from, contents, &mut file).context(path)?;
            }
            Placement::Copy { layers, from, to, replaces } => {
                let source = overlay::open(&Root { layers: layers.clone(), changes: None })?;
                let put = if *replaces { copy::replace } else { copy::copy_to };
                put(&source, from, tree, to)
                    .map_err(|error| ShimError::new(format!("{from} to {to}: {error}")))?;
            }
        }
    }
    Ok(())
}

/// Reads with an offset, as others share the descriptor's position.
fn copy_piece(from: &OwnedFd, piece: &Piece, to: &mut File) -> io::Result<()> {
    let (mut at, end) = (piece.offset, piece.offset + piece.length);
    let mut buffer = vec![0; 256 << 10];
    while at < end {
        let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let read = rustix::io::pread(from, buffer.get_mut(..wanted).unwrap_or_default(), at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(buffer.get(..read).unwrap_or_default())?;
        at += read as u64;
    }
    Ok(())
}
