//! Systems without a way to pass sockets between processes: services cannot be shared there.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::engine::{Engine, Instance, ServiceSpec, Sink};
use crate::event::Span;
use crate::graph::ServiceNode;
use crate::model::Digest;
use crate::{Error, Result};

#[expect(dead_code, reason = "nothing is started by it here")]
pub(super) struct Plan {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) service: Arc<ServiceNode>,
    pub(super) key: Digest,
    pub(super) spec: ServiceSpec,
    pub(super) stop: (String, Duration),
    pub(super) since: SystemTime,
    pub(super) bound: Vec<(Arc<ServiceNode>, Digest)>,
    pub(super) span: Arc<Span>,
}

/// Where the output of a service goes.
#[expect(dead_code, reason = "there is none here")]
pub(super) struct Logs {
    pub(super) news: Sink,
    pub(super) past: Sink,
}

/// Never made.
pub(super) struct Prepared {
    pub(super) is_first: bool,
    never: Member,
}

/// Never made.
#[derive(Debug)]
pub(super) enum Member {}

/// Never made.
#[derive(Debug)]
pub(super) enum Turn {}

impl Turn {
    pub(super) async fn saw(&mut self) -> Result<()> {
        match *self {}
    }
}

pub(super) async fn prepare(plan: &Plan) -> Result<Prepared> {
    let what = format!("share service `{}`", plan.service.name);
    Err(Error::engine(what, "processes share services on Unix only"))
}

impl Prepared {
    pub(super) fn owner(&self) -> u32 {
        match self.never {}
    }

    pub(super) fn session(&self) -> &str {
        match self.never {}
    }

    pub(super) async fn start(self, _logs: Logs) -> Result<(Arc<dyn Instance>, Arc<Member>)> {
        match self.never {}
    }
}

impl Member {
    pub(super) async fn reach(&self) -> Result<()> {
        match *self {}
    }

    pub(super) async fn is_ready(&self, _manner: &str) -> Result<bool> {
        match *self {}
    }

    pub(super) async fn found_ready(&self, _manner: &str) -> Result<()> {
        match *self {}
    }

    pub(super) async fn learn_seen(&self) -> Result<()> {
        match *self {}
    }

    pub(super) fn has_seen(&self, _step: Digest) -> bool {
        match *self {}
    }

    pub(super) fn saw(&self, _step: Digest) {
        match *self {}
    }

    pub(super) async fn turn(&self, _step: Digest) -> Result<Turn> {
        match *self {}
    }
}
