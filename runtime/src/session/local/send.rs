//! Trees of a session: read once in a reading, and sent into the engine once.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::Inner;
use super::super::single_flight::SingleFlight;
use super::super::transfer::Meter;
use super::known::Place;
use super::{Tree, subject};
use crate::event::{EventKind, Span, Verb};
use crate::model::{Location, Snapshot};
use crate::value::LocalSource;
use crate::{Error, Result};

/// How many pieces may be queued, and their size: together they bound what is in memory of a tree.
const PIECES: usize = 8;
const PIECE: usize = 128 << 10;

/// One reading of this machine's files: each source is found and hashed once in it.
pub(in crate::session) struct Reading {
    /// Later readings have higher numbers.
    pub(in crate::session) number: u64,
    trees: SingleFlight<LocalSource, Arc<Tree>>,
}

impl Reading {
    pub(in crate::session) fn first() -> Self {
        Self { number: 0, trees: SingleFlight::default() }
    }

    pub(in crate::session) fn next(&self) -> Self {
        Self { number: self.number + 1, ..Self::first() }
    }

    /// The files of a source.
    pub(in crate::session) async fn tree(
        &self,
        session: &Arc<Inner>,
        source: &LocalSource,
        places: &[Location],
    ) -> Result<Arc<Tree>> {
        let (session, wanted, places) = (session.clone(), source.clone(), places.to_vec());
        let read = async move {
            let span = session.span.child_at(subject(&wanted), places);
            let told = span.clone();
            let read = move || Tree::read_in(&wanted, Some(told), Place::of(&wanted).as_ref());
            let tree = tokio::task::spawn_blocking(read).await;
            let tree = tree.unwrap_or_else(|error| Err(Error::engine("read files", error)));
            for path in tree.iter().flat_map(Tree::left_out) {
                span.emit(|| {
                    let path = path.display();
                    EventKind::warning(format!("`{path}` is left out: it is no file, directory or link"))
                });
            }
            span.close_with(&tree);
            tree.map(Arc::new)
        };
        self.trees.get_or_run(source.clone(), read).await
    }
}

impl Inner {
    /// The engine's snapshot of the tree, which is sent if the engine does not have it.
    pub(in crate::session) async fn local_snapshot(
        self: &Arc<Self>,
        tree: Arc<Tree>,
        at: Location,
    ) -> Result<Snapshot> {
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
        if let Some(kept) = engine.lookup(&tree.digest).await?
            && let Some(files) = kept.files.snapshot().await?
        {
            span.emit(|| EventKind::Cached);
            return Ok(files);
        }
        let what = format!("send {}", tree.source);
        let (give, take) = mpsc::channel(PIECES);
        let (files, bytes) = tree.extent;
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
