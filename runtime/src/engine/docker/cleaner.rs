//! Clean-up: objects are removed in the background when their owner drops them, whatever happens to the caller.
//!
//! `Drop` cannot wait, so it only hands the name over. Creating has the opposite danger: the engine still carries out a
//! request whose caller has gone. So creating calls run to their end in a task of their own ([`Cleaner::to_its_end`]); if
//! nobody takes the answer, the guard inside it is dropped, and the object is removed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as Failure;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::Instant;

use super::failure::{self, BRIEF, LONG, within};
use crate::{Error, Result};

/// How long a name may stay taken by a container that is being removed.
const NAME_FREE_WITHIN: Duration = Duration::from_secs(30);

/// Removes what is dropped, and knows when nothing is left to do.
#[derive(Clone)]
pub(super) struct Cleaner {
    client: bollard::Docker,
    /// `Drop` may run on any thread, even outside the runtime.
    runtime: tokio::runtime::Handle,
    /// The number of unfinished jobs.
    jobs: Arc<watch::Sender<Jobs>>,
    /// Permits for calls that keep the engine busy.
    slots: Arc<Semaphore>,
}

/// How many calls that keep the engine busy run at once: twice the cores, beyond which more do not help (measured). The
/// engine's machine is assumed to be like this one.
pub(super) fn slots() -> usize {
    2 * std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// How many jobs are under way.
#[derive(Debug, Default, Clone, Copy)]
struct Jobs {
    all: usize,
    /// Those that only remove something.
    removals: usize,
}

/// Counts as one job while it lives.
struct Job {
    jobs: Arc<watch::Sender<Jobs>>,
    removes: bool,
}

impl Job {
    fn begin(jobs: &Arc<watch::Sender<Jobs>>, removes: bool) -> Self {
        jobs.send_modify(|jobs| {
            jobs.all += 1;
            jobs.removals += usize::from(removes);
        });
        Self { jobs: Arc::clone(jobs), removes }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.jobs.send_modify(|jobs| {
            jobs.all -= 1;
            jobs.removals -= usize::from(self.removes);
        });
    }
}

impl Cleaner {
    pub(super) fn new(client: bollard::Docker) -> Self {
        Self {
            client,
            runtime: tokio::runtime::Handle::current(),
            jobs: Arc::new(watch::Sender::default()),
            slots: Arc::new(Semaphore::new(slots())),
        }
    }

    /// Runs something in the background; [`Cleaner::settle`] waits for it.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.spawn_job(Job::begin(&self.jobs, false), work)
    }

    fn spawn_job<T: Send + 'static>(
        &self,
        job: Job,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(async move {
            let result = work.await;
            drop(job);
            result
        })
    }

    /// Runs a call to its end even when the caller is dropped while waiting.
    pub(super) async fn to_its_end<T: Send + 'static>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (give, take) = oneshot::channel();
        drop(self.spawn(async move {
            // An answer that nobody takes is dropped here, within the job: a guard's own job then begins before this one
            // ends, and whoever waits for both sees no gap.
            drop(give.send(work.await));
        }));
        take.await.unwrap_or_else(|_| {
            Err(Error::Cancelled { what: what.to_owned(), reason: "the runtime shut down".to_owned() })
        })
    }

    /// How many jobs there are that may make or start something.
    pub(super) fn makers(&self) -> usize {
        let jobs = *self.jobs.borrow();
        jobs.all - jobs.removals
    }

    /// Waits until at most this many jobs are left.
    pub(super) async fn settle(&self, left: usize) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.jobs.subscribe().wait_for(|jobs| jobs.all <= left).await;
    }

    /// Removes a container in the background.
    pub(super) fn forget_container(&self, name: String) {
        let cleaner = self.clone();
        let job = Job::begin(&self.jobs, true);
        drop(self.spawn_job(job, async move { cleaner.remove_container(&name).await }));
    }

    /// Removes a container and its anonymous volumes, killing it if it runs. It is no error if there is none.
    pub(super) async fn remove_container(&self, name: &str) -> Result<()> {
        let _slot = self.slots.acquire().await;
        let mut pause = Duration::from_millis(10);
        for _ in 0..60 {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            match within(BRIEF, self.client.remove_container(name, Some(options))).await {
                Ok(()) => return Ok(()),
                Err(error) if failure::is_absent(&error) => return Ok(()),
                // "removal of container … is already in progress": done once it is absent.
                Err(error) if failure::is_conflict(&error) => {}
                // A busy mount, or a shim that is slow to exit: worth another try.
                Err(error) if failure::status(&error) == Some(500) => {}
                Err(error) => return Err(failure::during(format!("remove container {name}"))(error)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(100));
        }
        Err(Error::engine(format!("remove container {name}"), "it is still there after many tries"))
    }

    /// Removes an image's name, and the image if that was its last.
    pub(super) async fn remove_image(&self, name: &str) {
        let options = RemoveImageOptionsBuilder::default().build();
        // What stays costs space, not correctness: another image may be built on it.
        let _ = within(BRIEF, self.client.remove_image(name, Some(options), None)).await;
    }
}

/// A container that is removed when this is dropped.
pub(super) struct Container {
    cleaner: Cleaner,
    name: String,
    /// Its id, once known, by which it is removed: the name may be another container's by then.
    id: Option<String>,
    /// Whether dropping this removes the container.
    is_armed: bool,
}

impl Container {
    /// To be called *before* the call that creates the container.
    pub(super) fn new(cleaner: &Cleaner, name: String) -> Self {
        Self { cleaner: cleaner.clone(), name, id: None, is_armed: true }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The engine's id, once it is created.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Creates the container. Must be run [to its end](Cleaner::to_its_end).
    ///
    /// If the name is still taken, its container is being removed, or being created for a caller who has gone: names
    /// belong to the session and are used for one container at a time. So this waits until the name is free.
    pub(super) async fn create(mut self, body: ContainerCreateBody) -> Result<Self, Failure> {
        let mut pause = Duration::from_millis(10);
        let began = Instant::now();
        loop {
            let options = CreateContainerOptionsBuilder::default().name(&self.name).build();
            let created =
                within(LONG, self.cleaner.client.create_container(Some(options), body.clone())).await;
            match created {
                Ok(created) => {
                    self.id = Some(created.id);
                    return Ok(self);
                }
                Err(error) if failure::is_conflict(&error) && began.elapsed() < NAME_FREE_WITHIN => {}
                Err(error) => {
                    // An engine that refused has made nothing; one that did not answer may have.
                    self.is_armed = failure::status(&error).is_none();
                    return Err(error);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(100));
        }
    }

    /// Removes the container now and returns whether that worked.
    pub(super) async fn remove(mut self) -> Result<()> {
        self.is_armed = false;
        let cleaner = self.cleaner.clone();
        let key = self.key();
        cleaner
            .clone()
            .to_its_end("remove a container", async move { cleaner.remove_container(&key).await })
            .await
    }

    fn key(&mut self) -> String {
        self.id.take().unwrap_or_else(|| std::mem::take(&mut self.name))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.is_armed {
            let key = self.key();
            self.cleaner.forget_container(key);
        }
    }
}
