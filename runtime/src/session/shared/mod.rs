//! Services that processes share: one of them owns the service and runs it, in the background, and all others use it as
//! members. A member that starts a service which nobody owns makes an owner of its own program, in another role.
//!
//! ```text
//!   process ──┐   joins, asks, connects          ┌── containers of the service
//!   process ──┼──── Unix sockets ──── owner ─────┤
//!   process ──┘   connections come as sockets    └── other owners, as a member
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::member::{Joined, Shared};
use self::wire::{Begun, Bound, Order, failed};
use crate::engine::{Engine, Instance, InstanceId, PortNumber, ServiceSpec};
use crate::event::{EventKind, Span, Waiting};
use crate::graph::ServiceNode;
use crate::model::Digest;
use crate::{Error, Result, reexec};

mod backlog;
mod descriptors;
mod member;
mod owner;
mod place;
mod wire;

pub(super) use self::member::{Logs, Member, Turn};

/// Pause before looking again for an owner that is about to listen, or to end.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long an owner that ends, and stops its service, may keep others waiting, besides the service's grace period.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
/// How long the owner's program may take to begin.
const BEGUN_WITHIN: Duration = Duration::from_secs(30);

/// What starts a shared service, if nobody has.
pub(super) struct Plan {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) service: Arc<ServiceNode>,
    pub(super) key: Digest,
    pub(super) spec: ServiceSpec,
    /// How it is stopped: the signal, and the grace period.
    pub(super) stop: (String, Duration),
    /// When the session began.
    pub(super) since: std::time::SystemTime,
    /// The services that it is bound to, with their keys.
    pub(super) bound: Vec<(Arc<ServiceNode>, Digest)>,
    pub(super) span: Arc<Span>,
}

/// A shared service that this process has joined.
pub(super) struct Prepared {
    shared: Shared,
    engine: Arc<dyn Engine>,
    joined: Joined,
    span: Arc<Span>,
    /// Whether this process made its owner.
    pub(super) is_first: bool,
}

/// The service as others find it.
fn shared(engine: &dyn Engine, service: &ServiceNode, key: Digest) -> Result<Shared> {
    let owner = place::name(engine.describe(), key);
    let owner = owner.map_err(failed(format!("find shared service `{}`", service.name)))?;
    let ports = service.ports.iter().map(PortNumber::from).collect();
    let instance = InstanceId { hostname: service.hostname.clone(), key };
    Ok(Shared { name: service.name.to_string(), instance, ports, owner })
}

/// Joins those who use a service, after making an owner of it if there is none.
pub(super) async fn prepare(plan: &Plan) -> Result<Prepared> {
    let shared = shared(&*plan.engine, &plan.service, plan.key)?;
    let (_, grace) = plan.stop;
    let until = Instant::now() + plan.service.within + grace + ENDED_WITHIN;
    let (mut is_first, mut has_waited) = (false, false);
    loop {
        if let Some(joined) = shared.join().await? {
            let (engine, span) = (plan.engine.clone(), plan.span.clone());
            return Ok(Prepared { shared, engine, joined, span, is_first });
        }
        is_first = false;
        // A process is not made in vain where that is known.
        let is_owned = place::is_owned(&shared.owner).map_err(failed(lock_of(&shared)))?;
        match if is_owned { Begun::Taken } else { make(plan, &shared).await? } {
            Begun::Listening => is_first = true,
            Begun::Failed(fault) => return Err(fault.into()),
            Begun::Taken if Instant::now() > until => {
                let what = format!("use shared service `{}`", plan.service.name);
                let lock = shared.owner.lock();
                let message = format!(
                    "the process that owns it does not answer\n\nhelp: end the process that has locked {}",
                    lock.display()
                );
                return Err(Error::engine(what, message));
            }
            Begun::Taken => {
                if !has_waited {
                    plan.span.emit(|| EventKind::Waiting(Waiting::Process));
                    has_waited = true;
                }
                sleep(AGAIN_AFTER).await;
            }
        }
    }
}

fn lock_of(shared: &Shared) -> String {
    format!("look at {}", shared.owner.lock().display())
}

/// Makes an owner, and returns what it says first.
async fn make(plan: &Plan, shared: &Shared) -> Result<Begun> {
    let failed = || failed(format!("start the owner of shared service `{}`", plan.service.name));
    let engine = plan.engine.describe();
    let bound = plan.bound.iter().map(|(service, key)| {
        let Shared { name, instance, ports, owner } = self::shared(&*plan.engine, service, *key)?;
        // Equal services may have other host names.
        let linked = plan.spec.links.iter().map(|link| &link.instance).find(|linked| linked.key == *key);
        Ok(Bound { name: owner, service: name, instance: linked.cloned().unwrap_or(instance), ports })
    });
    let order = Order {
        name: shared.owner.clone(),
        directory: std::env::current_dir().unwrap_or_else(|_| "/".into()),
        engine: (engine.name.to_owned(), engine.place.clone()),
        since: plan.since,
        service: plan.spec.clone(),
        caches: plan.spec.written_caches(),
        within: plan.service.within,
        stop: plan.stop.clone(),
        linger: plan.service.linger,
        bound: bound.collect::<Result<_>>()?,
    };
    let start = move || -> io::Result<Begun> {
        let mut channel = reexec::spawn(&owner::ROLE)?;
        channel.set_read_timeout(Some(BEGUN_WITHIN))?;
        channel.set_write_timeout(Some(BEGUN_WITHIN))?;
        wire::write(&mut channel, &order)?;
        wire::read(&mut channel)
    };
    let begun = tokio::task::spawn_blocking(start).await;
    begun.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed())
}

impl Prepared {
    /// The number of the process that owns it.
    pub(super) fn owner(&self) -> u32 {
        self.joined.owner
    }

    /// The session in which the owner runs it.
    pub(super) fn session(&self) -> &str {
        &self.joined.session
    }

    /// Waits until its process runs, ready or not. The logs receive its output, from the beginning as far as it is kept.
    pub(super) async fn start(self, logs: Logs) -> Result<(Arc<dyn Instance>, Arc<Member>)> {
        let member = Arc::new(Member::new(self.shared, self.engine, self.joined, Some(self.span), logs));
        member.started().await?;
        Ok((member.clone(), member))
    }
}
