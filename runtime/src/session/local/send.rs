//! Sending trees into the engine.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::Inner;
use super::super::transfer::Meter;
use super::{Tree, subject};
use crate::event::{EventKind, Span, Verb};
use crate::model::{Location, Snapshot};
use crate::value::LocalSource;
use crate::{Error, Result};

/// How many pieces may be queued, and their size: together they bound what is in memory of a tree.
const PIECES: usize = 8;
const PIECE: usize = 128 << 10;

impl Inner {
    /// The files at a path of this machine, found and hashed once a session.
    pub(in crate::session) async fn local_tree(
        self: &Arc<Self>,
        source: &LocalSource,
        places: &[Location],
    ) -> Result<Arc<Tree>> {
        let (inner, wanted, places) = (self.clone(), source.clone(), places.to_vec());
        let read = async move {
            let span = inner.span.child_at(subject(&wanted), places);
            let told = span.clone();
            let tree = tokio::task::spawn_blocking(move || Tree::read_in(&wanted, Some(told))).await;
            let tree = tree.unwrap_or_else(|error| Err(Error::engine("read files", error)));
            for path in tree.iter().flat_map(|tree| &tree.left_out) {
                span.emit(|| {
                    let path = path.display();
                    EventKind::warning(format!("`{path}` is left out: it is no file, directory or link"))
                });
            }
            span.close_with(&tree);
            tree.map(Arc::new)
        };
        self.hosts.get_or_run(source.clone(), read).await
    }

    /// The engine's snapshot of the tree, which is sent if the engine does not have it.
    pub(in crate::session) async fn local_snapshot(
        self: &Arc<Self>,
        source: &LocalSource,
        at: Location,
    ) -> Result<Snapshot> {
        let tree = self.local_tree(source, &[at]).await?;
        let (inner, digest) = (self.clone(), tree.digest);
        let send = async move {
            let span = inner.span.child_at(subject(&tree.source), vec![at]);
            let sent = inner.send(tree, &span).await;
            span.close_with(&sent);
            sent
        };
        self.sent.get_or_run(digest, send).await
    }

    async fn send(&self, tree: Arc<Tree>, span: &Arc<Span>) -> Result<Snapshot> {
        let engine = self.engine().await?;
        if let Some(kept) = engine.lookup(&tree.digest).await? {
            span.emit(|| EventKind::Cached);
            return Ok(kept.snapshot);
        }
        let what = format!("send {}", tree.source);
        let (give, take) = mpsc::channel(PIECES);
        let (files, bytes) = super::extent(&tree.entries);
        let meter = Meter::new(span.clone(), Verb::Sending, bytes, files);
        let digest = tree.digest;
        let writer = tokio::task::spawn_blocking(move || {
            let mut out = io::BufWriter::with_capacity(PIECE, Pieces { to: give.clone(), meter });
            if let Err(error) = tree.write(&mut out) {
                // An error, so that the engine does not take the part for the whole.
                let _ = give.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
                return Err(error);
            }
            Ok(())
        });
        let imported = engine.import(&digest, take).await;
        let written = writer.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        match written {
            // A local error explains the engine's error, unless it only says that the engine stopped reading.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::engine(what, error)),
            _ => imported,
        }
    }
}

/// Writes an archive in pieces, and counts their bytes.
struct Pieces {
    to: mpsc::Sender<io::Result<Vec<u8>>>,
    meter: Meter,
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.blocking_send(Ok(bytes.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.meter.add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
