//! Steps that are run: what they need, their process, and what it comes to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, try_join, try_join_all, try_join3};

use super::local::{self, Reading, Tree};
use super::log::Capture;
use super::order::Order;
use super::running::StepTurns;
use super::scrub::Secrets;
use super::sharing::{OwnCaches, choose, own_caches, told_to};
use super::stored::Need;
use super::turns::User;
use super::{Inner, process};
use crate::engine::{
    self, Engine, Filesystem, Finished, Image, InUse, Placement, Prepared, Recording, StepSpec, Written,
};
use crate::event::{EventKind, Span, Subject, Waiting};
use crate::graph::{
    Contents, Fs, Held, Identities, Mount, MountSource, Place, Prepared as PreparedService, Requirements,
    Resolved, ServiceNode, Step,
};
use crate::lock::lock;
use crate::model::{CacheUse, Digest, ImageName, MadeOf, Snapshot, WindowSize};
use crate::value::{Expect, LocalSource};
use crate::{Error, Result, StepCause, StepError};

/// A step that was run, just now.
pub(super) struct Ran {
    pub(super) finished: Box<dyn Finished>,
    pub(super) output: Recording,
    pub(super) made_of: Vec<MadeOf>,
    /// Held until the result is stored.
    pub(super) turns: StepTurns,
}

/// What is made of a step before it may have its caches.
enum Made {
    Container(Box<dyn Prepared>),
    Laid(Box<StepSpec>),
}

/// A step of which everything is there that it is made of.
pub(super) struct ReadyStep {
    /// What its container is to be.
    pub(super) spec: StepSpec,
    /// The secrets that its process's streams must not show.
    pub(super) secrets: Secrets,
    /// The result whose files it has taken over.
    taken: Option<MadeOf>,
}

/// Whether a step runs although another process has run it against the services that are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    UnlessSeen,
    Always,
}

/// One evaluation: a session, and the identities of everything that is needed, with images resolved.
pub(super) struct Evaluation {
    pub(super) session: Arc<Inner>,
    pub(super) engine: Arc<dyn Engine>,
    /// The reading of this machine's files that it sees, and no other.
    pub(super) reading: Arc<Reading>,
    /// What was read.
    trees: HashMap<Arc<LocalSource>, Arc<Tree>>,
    /// The images that were found.
    images: HashMap<ImageName, Arc<Image>>,
    /// Computes keys, and remembers those it computed.
    identities: Mutex<Identities>,
    /// Where services are used first.
    pub(super) order: Mutex<Order>,
}

impl Inner {
    /// The snapshot of a file system, once everything that makes it has run.
    pub(super) async fn filesystem(self: &Arc<Self>, fs: &Fs) -> Result<Snapshot> {
        // Boxed, as what is needed is large, and users' futures hold this one.
        Box::pin(self.evaluation(Requirements::of_fs(fs))).await?.filesystem(fs).await
    }

    /// An evaluation that sees this machine's files as they were read last.
    pub(super) async fn evaluation(self: &Arc<Self>, requirements: Requirements) -> Result<Arc<Evaluation>> {
        self.evaluation_in(self.reading(), requirements).await
    }

    /// Looks up the images first, as each is part of a key. Only the lookup happens here; what a process needs of an
    /// image is prepared when the process runs.
    pub(super) async fn evaluation_in(
        self: &Arc<Self>,
        reading: Arc<Reading>,
        requirements: Requirements,
    ) -> Result<Arc<Evaluation>> {
        lock(&self.names).learn(requirements.aliases);
        lock(&self.uses).extend(&requirements.uses);
        // The first caller looks an image up for all; each caller's error has that caller's own locations.
        let find = requirements.images.into_iter().map(|(name, places)| async move {
            let places: Vec<_> = places.into_iter().collect();
            match self.image(&name, &places).await {
                Ok(image) => Ok((name, image)),
                Err(error) => Err(error.at(places)),
            }
        });
        let from = &reading;
        let hash = requirements.hosts.into_iter().map(|(source, taken)| async move {
            let places: Vec<_> = taken.places.into_iter().collect();
            match from.tree(self, &source, &places).await {
                Ok(tree) => Ok((source, tree)),
                Err(error) => Err(error.taken_by(&taken.items).at(places)),
            }
        });
        let (engine, images, trees) =
            try_join3(self.engine(), try_join_all(find), try_join_all(hash)).await?;
        let trees: HashMap<_, _> = trees.into_iter().collect();
        let hosts =
            trees.iter().map(|(source, tree)| (source.clone(), tree.clone() as Arc<dyn Contents>)).collect();
        let images: HashMap<_, _> = images.into_iter().collect();
        let resolved = |image: &Image| Resolved { id: image.id, platform: image.platform.clone() };
        let ids = images.iter().map(|(name, image)| (name.clone(), resolved(image))).collect();
        let identities = Mutex::new(Identities::resolved(ids, hosts, self.id.to_string()));
        let order = Mutex::default();
        Ok(Arc::new(Evaluation { session: self.clone(), engine, reading, trees, images, identities, order }))
    }
}

impl Evaluation {
    pub(super) fn image(&self, name: Option<&ImageName>) -> Option<&Image> {
        self.images.get(name?).map(|image| &**image)
    }

    /// The key that the step's result is kept under.
    pub(super) fn key(&self, step: &Arc<Step>) -> Digest {
        lock(&self.identities).step(step)
    }

    /// The key that a prepared service's file system is kept under.
    pub(super) fn prepared_key(&self, prepared: &PreparedService) -> Digest {
        lock(&self.identities).prepared(prepared)
    }

    /// Distinguishes services in this session. Definitions that come to the same key, for example by naming one image in
    /// two ways, are one instance.
    pub(super) fn service_key(&self, service: &Arc<ServiceNode>) -> Digest {
        lock(&self.identities).service(service)
    }

    pub(super) async fn filesystem(self: &Arc<Self>, fs: &Fs) -> Result<Snapshot> {
        match fs {
            Fs::Image(name, _) => match self.images.get(name) {
                Some(image) => Ok(image.snapshot.clone()),
                None => Err(Error::internal(format_args!("image {name} was not resolved"))),
            },
            Fs::Local(source, at) => match self.trees.get(source) {
                Some(tree) => {
                    // Boxed, as most file systems are none, and what waits for one is not to be large.
                    let snapshot = Box::pin(self.session.local_snapshot(tree.clone(), *at)).await;
                    snapshot.map_err(|error| error.at([*at]))
                }
                None => Err(Error::internal(format_args!("{source} was not read"))),
            },
            Fs::Held(held) if held.session == self.session.id => Ok(held.snapshot.clone()),
            Fs::Held(_) => Err(Error::invalid(
                None,
                "what a failed step left is there as long as the session in which it failed, and not in another\n\n\
                 help: `save_to` before that session ends",
            )),
            Fs::Step(step) => Box::pin(self.files(step)).await,
            // Boxed, as few file systems are one.
            Fs::Prepared(prepared) => Box::pin(self.prepared(prepared)).await,
        }
    }

    /// What the key of a step is made of.
    #[cfg(feature = "cli")]
    pub(super) fn ingredients(
        &self,
        step: &Arc<Step>,
    ) -> (crate::graph::Ingredients, Vec<Arc<dyn Contents>>) {
        lock(&self.identities).ingredients(step)
    }

    /// Runs a step's process until it succeeds. Boxed, as running a step may mean replaying earlier ones. Returns `None` if
    /// another process has run it meanwhile against all of its services.
    pub(super) fn run(
        self: Arc<Self>,
        step: Arc<Step>,
        span: Arc<Span>,
        again: Again,
        need: Need,
    ) -> BoxFuture<'static, Result<Option<Ran>>> {
        Box::pin(async move { self.run_once(&step, &span, again, need).await })
    }

    async fn run_once(
        self: &Arc<Self>,
        step: &Arc<Step>,
        span: &Arc<Span>,
        again: Again,
        need: Need,
    ) -> Result<Option<Ran>> {
        // The container can be prepared while the services start.
        let lease = self.lease(&step.bindings, span);
        let caches = own_caches(&step.mounts);
        let prepare = async {
            let ReadyStep { spec, secrets, taken } = self.lay_out_step(step, span, None, need).await?;
            let made = if caches.is_empty() {
                Made::Container(self.engine.prepare(spec).await?)
            } else {
                // A container has its volumes: it is made once they are held.
                Made::Laid(Box::new(spec))
            };
            Ok((made, secrets, taken))
        };
        let ((made, secrets, taken), leases) = try_join(prepare, lease).await?;
        // Its inputs are what they will be: those whose files were gone have been run again.
        let mut made_of = self.made_of(step);
        if let Some(taken) = taken {
            made_of.retain(|part| part.key != taken.key);
            made_of.push(taken);
        }
        self.replay_missing(step, &leases, span).await.inspect_err(|error| span.skip(error))?;
        // What only this session knows nobody else runs.
        let mut turns =
            if step.is_volatile { StepTurns::default() } else { leases.take_turns(self.key(step)).await? };
        if turns.was_seen && again == Again::UnlessSeen {
            return Ok(None);
        }
        let (prepared, held) = match made {
            Made::Container(prepared) => (prepared, None),
            Made::Laid(spec) => {
                let (prepared, held) = self.with_caches(*spec, &caches, span).await?;
                (prepared, Some(held))
            }
        };
        let job = match &step.args {
            Some(_) => self.session.job().await?,
            None => None,
        };
        let capture = Capture::new(span.clone(), &secrets);
        if let Some(args) = &step.args {
            span.emit(|| EventKind::Started { args: secrets.scrub_args(args) });
        }
        let mut finished = tokio::select! {
            finished = prepared.run(capture.sink()) => finished.map_err(|error| secrets.scrub_error(error))?,
            error = leases.broken() => return Err(error),
            () = capture.broken() => {
                return Err(self.failed(step, &leases, &secrets).not_taken_down(capture.finish(137)));
            }
        };
        drop(job);
        if let Some(held) = held {
            held.release().await?;
        }
        let exit = finished.exit();
        let output = match capture.finish(exit.code) {
            (output, None) => output,
            broken => return Err(self.failed(step, &leases, &secrets).not_taken_down(broken)),
        };
        // A client often fails only because its service ended a moment before the engine reports that.
        if !exit.success()
            && let Some(error) = leases.broken_just_now().await
        {
            return Err(error);
        }
        let redirected = redirected(step, &output);
        if !redirected.is_empty() {
            finished.place(redirected).await?;
        }
        let cause = match (step.options.timeout, step.options.expect) {
            (Some(limit), _) if finished.timed_out() => StepCause::TimedOut(limit),
            (_, Expect::Failure) if exit.success() => StepCause::Succeeded,
            (_, Expect::Success) if !exit.success() => StepCause::Failed,
            _ => {
                span.emit(|| EventKind::Finished { exit, success: true });
                turns.saw().await?;
                leases.mark(self.key(step));
                return Ok(Some(Ran { finished, output, made_of, turns }));
            }
        };
        span.emit(|| EventKind::Finished { exit, success: false });
        let left = match finished.hold().await {
            Ok(snapshot) => Some(Arc::new(self.held(step, snapshot)?) as _),
            Err(_) => None,
        };
        let error = self.failed(step, &leases, &secrets).error(exit, cause, &output);
        Err(Error::StepFailed(Box::new(StepError { left, ..error })))
    }

    /// What a failed step left, and what it ran with: its services are not stopped as long as anybody has this.
    fn held(&self, step: &Step, snapshot: Snapshot) -> Result<Held> {
        Ok(Held {
            snapshot,
            session: self.session.id.clone(),
            config: step.config.clone(),
            mounts: step.mounts.clone(),
            bindings: step.bindings.clone(),
            pins: Arc::new(self.pin(&step.bindings)?),
        })
    }

    /// A container with caches that it has for itself as long as its process runs.
    pub(super) async fn with_caches(
        &self,
        mut spec: StepSpec,
        caches: &[CacheUse],
        span: &Arc<Span>,
    ) -> Result<(Box<dyn Prepared>, OwnCaches)> {
        let user = User { name: spec.name.as_str().into(), instance: None };
        let tell = told_to(span);
        let held =
            self.session.hold_caches(&*self.engine, &user, caches, &|in_use: InUse| tell(&in_use)).await?;
        held.settle().await?;
        choose(&mut spec.filesystem, held.volumes());
        Ok((self.engine.prepare(spec).await?, held))
    }

    /// What a step's container is to be, once everything that it is made of is there.
    pub(super) async fn lay_out_step(
        self: &Arc<Self>,
        step: &Arc<Step>,
        span: &Arc<Span>,
        terminal: Option<WindowSize>,
        need: Need,
    ) -> Result<ReadyStep> {
        let mut taken = None;
        let start = async {
            let start = self.start_of(step, span, need).await?;
            taken = start.taken;
            Ok(start.files)
        };
        let filesystem = self.lay_out(&step.name, start, &step.places, &step.mounts, span).await?;
        let image = self.image(step.config.image.as_ref());
        let process = match &step.args {
            Some(args) => {
                let process = process::of_step(&step.name, args, &step.config, image)?;
                Some(process::traced(process, &step.config, span))
            }
            None => None,
        };
        let secrets = process::secrets(process.as_ref(), &filesystem);
        let spec = StepSpec {
            name: step.name.to_string(),
            filesystem,
            process,
            stdin: step.options.stdin.clone(),
            limit: step.options.timeout,
            links: self.links(&step.bindings)?,
            terminal,
            is_taken_over: terminal.is_none() && self.is_taken_over(step),
        };
        Ok(ReadyStep { spec, secrets, taken })
    }

    /// The snapshot of a file system that something needs; if that fails, the something is skipped.
    pub(super) async fn filesystem_for(self: &Arc<Self>, span: &Span, fs: &Fs) -> Result<Snapshot> {
        if let Fs::Local(source, _) = fs {
            span.emit(|| EventKind::Waiting(Waiting::For(local::subject(source))));
        }
        self.filesystem(fs).await.inspect_err(|error| span.skip(error))
    }

    /// The file system that a process starts in.
    pub(super) async fn lay_out(
        self: &Arc<Self>,
        name: &str,
        base: impl Future<Output = Result<Snapshot>>,
        places: &[Place],
        mounts: &[Mount],
        span: &Arc<Span>,
    ) -> Result<Filesystem> {
        let mounts = mounts.iter().map(|mount| async move {
            let source = match &mount.source {
                MountSource::Cache(cache) => engine::MountSource::Cache(cache.key.clone()),
                MountSource::Secret(secret) => engine::MountSource::Secret(process::contents(name, secret)?),
                MountSource::Copy { fs, from } => engine::MountSource::Snapshot {
                    snapshot: self.filesystem_for(span, fs).await?,
                    from: from.clone(),
                },
                MountSource::Memory => engine::MountSource::Memory,
                MountSource::Socket(host) => engine::MountSource::Socket(host.clone()),
            };
            Ok(engine::Mount { path: mount.path.clone(), source, access: mount.access })
        });
        let placements = places.iter().map(|place| async move {
            Ok(match place {
                Place::File { path, contents } => {
                    Placement::File { path: path.clone(), contents: contents.clone().into() }
                }
                Place::Copy { fs, from, to, existing } => Placement::Copy {
                    snapshot: self.filesystem_for(span, fs).await?,
                    from: from.clone(),
                    to: to.clone(),
                    existing: *existing,
                },
            })
        });
        let (base, placements, mounts) =
            try_join3(base, try_join_all(placements), try_join_all(mounts)).await?;
        Ok(Filesystem { base, placements, mounts })
    }
}

pub(super) fn subject(step: &Step) -> Subject {
    Subject::Step { name: step.name.clone(), digest: step.digest }
}

/// The files that a step's output is redirected to.
fn redirected(step: &Step, output: &Recording) -> Vec<Placement> {
    let streams = [(&step.options.stdout, &output.stdout), (&step.options.stderr, &output.stderr)];
    let file = |(path, contents): (&Option<String>, &Written)| {
        Some(Placement::File { path: path.clone()?, contents: contents.clone() })
    };
    streams.into_iter().filter_map(file).collect()
}
