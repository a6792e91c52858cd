//! Importing and reading whole file systems.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;

use tokio::sync::mpsc;

use super::store::{StoredStep, root_of, snapshot_of};
use super::wire::{Answer, Files, Request};
use super::{Shared, client, failed};
use crate::engine::Recording;
use crate::model::{Digest, Entry, EntryKind, Provenance, Snapshot, Stat};
use crate::{Error, Result};

impl Shared {
    pub(super) async fn import(
        &self,
        key: &Digest,
        mut archive: mpsc::Receiver<io::Result<Vec<u8>>>,
    ) -> io::Result<Snapshot> {
        let scratch = self.store.scratch()?;
        let path = scratch.file("archive.tar");
        let mut file = std::fs::File::create(&path)?;
        while let Some(piece) = archive.recv().await {
            file.write_all(&piece?)?;
        }
        let file = std::fs::File::open(&path)?;
        let into = scratch.changes.upper.clone();
        let request = Request::Files(Files::Unpack { into, size: file.metadata()?.len(), digest: None });
        match self.shim.ask_once(&request, &[file.as_fd()]).await? {
            Answer::Done => {}
            Answer::Failed(text) => return Err(io::Error::other(text)),
            other => return Err(client::unexpected(&other)),
        }
        let layers = vec![self.store.keep(&scratch, key)?];
        let step = StoredStep {
            layers: layers.clone(),
            output: Recording::default(),
            from: Provenance::of_nothing(),
        };
        self.store.keep_step(key, &step)?;
        Ok(snapshot_of(&layers))
    }

    pub(super) async fn read(
        &self,
        snapshot: &Snapshot,
        path: &str,
        sink: mpsc::Sender<Vec<u8>>,
    ) -> Result<()> {
        let request = Request::Files(Files::Read { root: root_of(snapshot), path: path.to_owned() });
        self.receive(&request, format!("read `{path}`"), snapshot, path, sink).await
    }

    pub(super) async fn list(&self, snapshot: &Snapshot, path: &str) -> Result<Vec<Entry>> {
        let request = Request::Files(Files::List { root: root_of(snapshot), path: path.to_owned() });
        let (sink, mut pieces) = mpsc::channel(16);
        let collect = async {
            let mut all = Vec::new();
            while let Some(piece) = pieces.recv().await {
                all.extend(piece);
            }
            all
        };
        let received = self.receive(&request, format!("list `{path}`"), snapshot, path, sink);
        let (received, all) = tokio::join!(received, collect);
        received.map(|()| all.split(|byte| *byte == 0).filter_map(entry).collect())
    }

    /// Sends the shim a request about a path, whose answer the shim writes into a pipe.
    async fn receive(
        &self,
        request: &Request,
        what: String,
        snapshot: &Snapshot,
        path: &str,
        sink: mpsc::Sender<Vec<u8>>,
    ) -> Result<()> {
        let what = || what.clone();
        let (from, to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(io::Error::from)
            .map_err(failed(what()))?;
        let answers = self.shim.ask(request, &[to.as_fd()]).await.map_err(failed(what()))?;
        drop(to);
        let forward = tokio::task::spawn_blocking(move || {
            let mut from = std::fs::File::from(from);
            loop {
                let mut piece = vec![0; 64 << 10];
                let length = from.read(&mut piece)?;
                piece.truncate(length);
                if length == 0 || sink.blocking_send(piece).is_err() {
                    return Ok(());
                }
            }
        });
        let answer = answers.split().0.next().await;
        let forwarded: io::Result<()> = forward.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        match answer.map_err(failed(what()))? {
            Answer::Done => forwarded.map_err(failed(what())),
            Answer::NoSuchPath => Err(Error::NoSuchPath {
                container: snapshot.0.clone(),
                path: path.to_owned(),
                message: format!("there is no `{path}`"),
                locations: Vec::new(),
            }),
            Answer::Failed(text) => Err(Error::engine(what(), text)),
            other => Err(failed(what())(client::unexpected(&other))),
        }
    }

    pub(super) async fn stat(&self, snapshot: &Snapshot, path: &str) -> Result<Option<Stat>> {
        let what = || format!("look at `{path}`");
        let request = Request::Files(Files::Stat { root: root_of(snapshot), path: path.to_owned() });
        match self.shim.ask_once(&request, &[]).await.map_err(failed(what()))? {
            Answer::Stat(found) => {
                Ok(Some(Stat { kind: kind(found.mode), size: found.size, mode: found.mode & 0o7777 }))
            }
            Answer::NoSuchPath => Ok(None),
            Answer::Failed(text) => Err(Error::engine(what(), text)),
            other => Err(failed(what())(client::unexpected(&other))),
        }
    }
}

/// Parses an entry as the shim writes it.
fn entry(text: &[u8]) -> Option<Entry> {
    let (kind, name) = text.split_first()?;
    let kind = match kind {
        b'd' => EntryKind::Directory,
        b'f' => EntryKind::File,
        b'l' => EntryKind::Symlink,
        _ => EntryKind::Other,
    };
    Some(Entry { name: String::from_utf8_lossy(name).into_owned(), kind })
}

fn kind(mode: u32) -> EntryKind {
    match rustix::fs::FileType::from_raw_mode(mode) {
        rustix::fs::FileType::Directory => EntryKind::Directory,
        rustix::fs::FileType::RegularFile => EntryKind::File,
        rustix::fs::FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Other,
    }
}
