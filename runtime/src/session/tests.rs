//! What a session asks of its engine: one that runs nothing, and counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Session, Settings};
use crate::engine::{
    Arrival, CacheLocks, Call, Description, Engine, Finished, Image, ImageConfig, ImageSpec, ImageStore,
    InUse, Ingress, InstanceId, Kept, LayerSink, LayerSource, Layers, PortNumber, Prepared, Progress, Prune,
    Recording, ResultStore, ResultTransfer, Sandbox, ServiceSpec, Sink, SnapshotReader, Startable, StepSpec,
    Stored, Tallies, Terminal,
};
use crate::lock::lock;
use crate::model::{
    CacheKey, ContentDigest, Digest, Entry, Exit, ImageName, MadeOf, Provenance, RunId, Snapshot, Stat,
};
use crate::value::{Container, Exec};
use crate::{Error, Result};

/// What several sessions find.
#[derive(Debug, Clone, Default)]
struct Counting {
    stored: Arc<Mutex<HashMap<Digest, Provenance>>>,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Debug, Default)]
struct Asked {
    images: usize,
    /// How often each key was looked for.
    keys: HashMap<Digest, usize>,
    /// How often each was looked for once more.
    anew: HashMap<Digest, usize>,
    runs: usize,
}

impl Counting {
    /// What is asked while a session of its own does this.
    async fn asked<T>(&self, work: impl Future<Output = Result<T>>) -> Asked {
        let session = Session::with(Ok(None), Settings::default());
        *lock(&self.asked) = Asked::default();
        assert!(session.inner.engine.set(Arc::new(self.clone())).is_ok());
        session.scope(work).await.unwrap();
        session.close().await.unwrap();
        std::mem::take(&mut lock(&self.asked))
    }

    fn find(&self, key: &Digest) -> Option<Kept> {
        let from = lock(&self.stored).get(key).cloned()?;
        Some(Kept { output: Recording::default(), from, files: Arc::new(Snapshot(key.to_string())) })
    }
}

fn never<T>(what: &str) -> Call<'static, T> {
    let error = Error::internal(format_args!("nobody asks this engine to {what}"));
    Box::pin(async move { Err(error) })
}

impl Engine for Counting {
    fn describe(&self) -> &Description {
        static DESCRIPTION: std::sync::OnceLock<Description> = std::sync::OnceLock::new();
        DESCRIPTION.get_or_init(|| Description {
            name: "counting",
            version: String::new(),
            platform: "linux/amd64".to_owned(),
            place: String::new(),
        })
    }

    fn prune<'a>(&'a self, _: &'a Prune) -> Call<'a, Tallies> {
        never("prune")
    }

    fn close(&self) -> Call<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl ImageStore for Counting {
    fn resolve<'a>(&'a self, name: &'a ImageName, _: &'a Progress) -> Call<'a, Image> {
        lock(&self.asked).images += 1;
        let id = ContentDigest::of(name.reference.as_bytes());
        let (snapshot, platform) = (Snapshot(id.to_string()), "linux/amd64".to_owned());
        Box::pin(async move {
            Ok(Image {
                id,
                snapshot,
                config: ImageConfig::default(),
                platform,
                digest: None,
                layers: Vec::new(),
            })
        })
    }

    fn publish<'a>(&'a self, _: &'a ImageSpec, _: &'a ImageName, _: &'a Progress) -> Call<'a, String> {
        never("publish")
    }

    fn export<'a>(&'a self, _: &'a ImageSpec, _: std::fs::File) -> Call<'a, ()> {
        never("export")
    }
}

impl ResultStore for Counting {
    fn lookup<'a>(&'a self, key: &'a Digest) -> Call<'a, Option<Kept>> {
        *lock(&self.asked).keys.entry(*key).or_default() += 1;
        let found = self.find(key);
        Box::pin(async move { Ok(found) })
    }

    fn lookup_anew<'a>(&'a self, key: &'a Digest) -> Call<'a, Option<Kept>> {
        *lock(&self.asked).anew.entry(*key).or_default() += 1;
        let found = self.find(key);
        Box::pin(async move { Ok(found) })
    }

    fn sees(&self, _: &Digest, _: &Provenance) -> bool {
        false
    }

    fn is_current(&self, _: &Provenance) -> bool {
        true
    }

    fn import<'a>(
        &'a self,
        _: &'a Digest,
        _: tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>,
    ) -> Call<'a, Snapshot> {
        never("import")
    }
}

impl ResultTransfer for Counting {
    fn send<'a>(&'a self, _: &'a Snapshot, _: Option<&'a Image>, _: &'a dyn LayerSink) -> Call<'a, Layers> {
        never("send layers")
    }

    fn receive<'a>(&'a self, _: Arrival, _: &'a dyn LayerSource) -> Call<'a, ()> {
        never("receive a result")
    }
}

impl SnapshotReader for Counting {
    fn stat<'a>(&'a self, _: &'a Snapshot, _: &'a str) -> Call<'a, Option<Stat>> {
        never("stat")
    }

    fn list<'a>(&'a self, _: &'a Snapshot, _: &'a str) -> Call<'a, Vec<Entry>> {
        never("list")
    }

    fn read<'a>(
        &'a self,
        _: &'a Snapshot,
        _: &'a str,
        _: tokio::sync::mpsc::Sender<Vec<u8>>,
    ) -> Call<'a, ()> {
        never("read")
    }
}

impl Sandbox for Counting {
    fn prepare(&self, _: StepSpec) -> Call<'_, Box<dyn Prepared>> {
        let ran = Ran { engine: self.clone(), run: RunId::random() };
        Box::pin(async move { Ok(Box::new(ran) as Box<dyn Prepared>) })
    }

    fn lock_caches<'a>(
        &'a self,
        _: &'a str,
        _: &'a [CacheKey],
        _: &'a (dyn Fn(InUse) + Sync),
    ) -> Call<'a, Arc<dyn CacheLocks>> {
        never("lock caches")
    }

    fn prepare_service(&self, _: ServiceSpec) -> Call<'_, Box<dyn Startable>> {
        never("start a service")
    }

    fn listen<'a>(&'a self, _: &'a str, _: &'a InstanceId, _: &'a [PortNumber]) -> Call<'a, Ingress> {
        never("listen")
    }
}

/// A step, which has succeeded as soon as it is asked to.
struct Ran {
    engine: Counting,
    run: RunId,
}

impl Prepared for Ran {
    fn run(self: Box<Self>, _: Sink) -> Call<'static, Box<dyn Finished>> {
        lock(&self.engine.asked).runs += 1;
        Box::pin(async move { Ok(self as Box<dyn Finished>) })
    }

    fn open(self: Box<Self>) -> Call<'static, Terminal> {
        never("open a terminal")
    }
}

impl Finished for Ran {
    fn exit(&self) -> Exit {
        Exit { code: 0, out_of_memory: false }
    }

    fn timed_out(&self) -> bool {
        false
    }

    fn place(&mut self, _: Vec<crate::engine::Placement>) -> Call<'_, ()> {
        never("place files")
    }

    fn run_id(&self) -> RunId {
        self.run.clone()
    }

    fn keep(self: Box<Self>, key: Digest, _: Recording, made_of: Vec<MadeOf>) -> Call<'static, Stored> {
        lock(&self.engine.stored).insert(key, Provenance::now(self.run, made_of));
        Box::pin(async move { Ok(Stored::whole(Snapshot(key.to_string()))) })
    }

    fn hold(self: Box<Self>) -> Call<'static, Snapshot> {
        never("hold")
    }
}

fn chain(length: usize) -> Container {
    let base = Container::from_image("a:1");
    (0..length).fold(base, |chain, number| chain.exec([number.to_string()]))
}

/// As many containers that need nothing of each other, and one that comes after all of them.
fn wide(number: usize) -> Container {
    let base = Container::from_image("a:1");
    let all: Vec<_> = (0..number).map(|number| base.clone().exec([number.to_string()])).collect();
    all.iter().fold(base, |last, one| last.after(one)).exec(["last"])
}

#[tokio::test]
async fn a_result_that_is_found_asks_nothing_of_what_lies_behind_it() {
    let engine = Counting::default();
    let steps = chain(20);
    let first = engine.asked(steps.sync()).await;
    assert_eq!((first.images, first.runs, first.keys.len()), (1, 20, 20));
    assert!(first.keys.values().all(|times| *times == 1), "each key is looked for once");
    assert!(first.anew.values().all(|times| *times == 1), "and once it is claimed, on this machine alone");
    let again = engine.asked(steps.sync()).await;
    assert_eq!((again.images, again.runs, again.keys.len(), again.anew.len()), (1, 0, 1, 0));
    // From the wanted end backwards, as far as there is nothing.
    let more = engine.asked(steps.exec(["one"]).exec(["more"]).sync()).await;
    assert_eq!((more.runs, more.keys.len(), more.anew.len()), (2, 3, 2));
}

#[tokio::test]
async fn before_a_result_only_what_may_be_too_old_is_looked_for() {
    let engine = Counting::default();
    let update = |limit: &str| chain(5).exec(Exec::new(["update"]).fresh(limit));
    let all = |limit: &str| update(limit).exec(["a"]).exec(["b"]).exec(["c"]);
    assert_eq!(engine.asked(all("1h").sync()).await.runs, 9);
    let again = engine.asked(all("1h").sync()).await;
    assert_eq!((again.runs, again.keys.len()), (0, 2));
}

/// How long each node of a graph takes when all of them run, and when all are found.
async fn each(container: Container, nodes: usize) -> (Duration, Duration) {
    let engine = Counting::default();
    let measured = async |runs: usize| {
        let began = Instant::now();
        let asked = engine.asked(container.sync()).await;
        let took = began.elapsed();
        assert_eq!(asked.runs, runs);
        assert!(asked.keys.values().all(|times| *times == 1));
        took / u32::try_from(nodes).unwrap()
    };
    (measured(nodes).await, measured(0).await)
}

/// What grew with the number of nodes would take ten times as long for each.
#[tokio::test]
async fn what_a_graph_costs_grows_with_its_size_alone() {
    for (shape, make) in
        [("in a row", &chain as &dyn Fn(usize) -> Container), ("side by side", &|n| wide(n - 1))]
    {
        let (few, many) = (each(make(1_000), 1_000).await, each(make(10_000), 10_000).await);
        eprintln!("{shape}, each of 1,000 and of 10,000: {few:?}, {many:?}");
        assert!(many.0 < few.0 * 6 && many.1 < few.1 * 6, "{shape}: {few:?}, {many:?}");
    }
}
