//! Services prepared by the program: started once, given to the program, stopped, and their file systems kept.

use std::sync::Arc;

use super::Session;
use super::caching::Caching;
use super::current::{self, Task};
use super::steps::Evaluation;
use super::tunnel::TunnelSpec;
use crate::error::Reason;
use crate::event::{EventKind, Outcome, Span, Subject, Waiting};
use crate::graph::Prepared;
use crate::model::{Digest, Snapshot};
use crate::{Error, Result};

impl Evaluation {
    /// The file system of a prepared service: found, or made and kept for good.
    pub(super) async fn prepared(self: &Arc<Self>, prepared: &Arc<Prepared>) -> Result<Snapshot> {
        let key = self.prepared_key(prepared);
        let work = self.clone().find_or_prepare(prepared.clone(), key);
        self.session.prepared.get_or_run(key, work).await
    }

    async fn find_or_prepare(self: Arc<Self>, prepared: Arc<Prepared>, key: Digest) -> Result<Snapshot> {
        let name = format!("{} prepared as {:?}", prepared.service.name, prepared.key);
        let span = self.session.span.child_at(Subject::Preparation { name: name.into() }, vec![prepared.at]);
        let made = self.find_or_prepare_in(&span, &prepared, key).await;
        match &made {
            Ok(_) => span.close(|| Outcome::Succeeded),
            Err(error) => super::close_failed(&span, error),
        }
        made.map_err(|error| error.at([prepared.at]))
    }

    async fn find_or_prepare_in(
        self: &Arc<Self>,
        span: &Arc<Span>,
        prepared: &Prepared,
        key: Digest,
    ) -> Result<Snapshot> {
        let find = async || {
            let Some(kept) = self.engine.lookup(&key).await? else { return Ok(None) };
            let files = kept.files.snapshot().await?;
            if files.is_some() {
                span.emit(|| EventKind::Cached);
            }
            Ok::<_, Error>(files)
        };
        // They are made to be found, so they are unless everything is to be made anew.
        let may_be_found = self.session.caching() != Caching::Refresh;
        if may_be_found {
            let settled = self.settle_ages(&prepared.service.expiring).await;
            settled.inspect_err(|error| span.skip(error))?;
        }
        if may_be_found && let Some(found) = find().await? {
            return Ok(found);
        }
        let waiting = || span.emit(|| EventKind::Waiting(Waiting::Process));
        let _claim = self.engine.claim(&key, None, &waiting).await?;
        if may_be_found && let Some(found) = find().await? {
            return Ok(found);
        }
        let service = &prepared.service;
        span.emit(|| EventKind::Waiting(Waiting::For(super::service::subject(service))));
        let leased = self.lease_to_prepare(service, key).await;
        let (supervisor, lease) = leased.inspect_err(|error| span.skip(error))?;
        let tunnel = self.session.tunnel_to(lease, service.clone(), &TunnelSpec::to_all(prepared.at))?;
        let session = Session { inner: self.session.clone() };
        let prepare = (prepared.prepare)(Box::new(tunnel));
        // A task of its own, as the program may block or panic.
        let run = Task::spawn(current::scope(session, prepare));
        span.emit(|| EventKind::Starting);
        if let Err(error) = run.join().await {
            let _ = supervisor.stop().await;
            return Err(not_prepared(prepared, error));
        }
        let kept = supervisor.stop_and_keep(key, self.made_of_service(service)).await?;
        span.emit(|| EventKind::Stored);
        Ok(kept)
    }
}

fn not_prepared(prepared: &Prepared, error: Error) -> Error {
    match error {
        // It says itself which service or step it is about.
        Error::Other(_) | Error::Internal { .. } => {
            let what = format!("prepare service `{}` as {:?}", prepared.service.name, prepared.key);
            Error::engine(what, Reason::said(error.to_string(), error))
        }
        other => other,
    }
}
