//! Kills processes that have a session, and checks what is left. The processes are this test program again, running
//! [`pipeline`].

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, EventsOptionsBuilder,
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptions,
};
use futures_util::TryStreamExt as _;

use super::super::{connect, labels};
use super::*;

const IMAGE: &str = "busybox:1.35";

/// The promised limit.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);

/// When a watchdog that found nothing more must have ended: it looks for this long, and its last look takes time too.
const ENDED_WITHIN: Duration = duty::QUIET_FOR.saturating_add(Duration::from_secs(4));

/// Tells [`pipeline`] what to do.
const ORDER: &str = "BOWLINE_TEST_PIPELINE";

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// A process with a session, its watchdog armed. Orders: `make …`, which the session then makes, and how to end.
#[test]
#[ignore = "not a test: the other tests run it, in a process of its own"]
fn pipeline() {
    let order = std::env::var(ORDER).expect("run by another test");
    if order.contains("delete the program") {
        std::fs::remove_file(std::env::current_exe().unwrap()).unwrap();
    }
    on_runtime(async {
        let connection = connect::connect().await.unwrap();
        let session = SessionId::random();
        let began = Instant::now();
        let watchdog = Watchdog::spawn(&connection, &session).unwrap();
        let spawned = began.elapsed();
        watchdog.armed().await.unwrap();
        println!("spawn {} us, armed {} us", spawned.as_micros(), began.elapsed().as_micros());
        if order.contains("make") {
            make(&connection.client().await.unwrap(), session.as_str()).await;
        }
        println!("session {session}");
        let began = Instant::now();
        if order.contains("done") {
            watchdog.done();
            println!("ended {} us", began.elapsed().as_micros());
        } else if order.contains("hand over") {
            watchdog.hand_over().await.unwrap();
            println!("ended {} us", began.elapsed().as_micros());
            std::process::exit(0);
        }
        std::future::pending::<()>().await;
    });
}

/// A network, a service that stops when told so, one that does not, a step, a container that never ran, and an image.
async fn make(client: &bollard::Docker, session: &str) {
    let network = NetworkCreateRequest {
        name: format!("bowline-{session}"),
        labels: Some([(labels::SESSION.to_owned(), session.to_owned())].into()),
        ..Default::default()
    };
    client.create_network(network).await.unwrap();
    for (name, kind, script) in [
        ("willing", labels::KIND_SERVICE, "trap 'exit 7' TERM; while :; do sleep 0.05; done"),
        ("stubborn", labels::KIND_SERVICE, "trap '' TERM; while :; do sleep 0.05; done"),
        ("step", labels::KIND_STEP, "trap 'exit 7' TERM; while :; do sleep 0.05; done"),
    ] {
        let name = create(client, session, &format!("bowline-{session}"), name, kind, script).await;
        client.start_container(&name, None).await.unwrap();
    }
    let idle = create(client, session, "none", "idle", labels::KIND_READER, "true").await;
    let options = CommitContainerOptionsBuilder::default().container(&idle).repo(HELD).tag(session).build();
    let labels = [(labels::HELD.to_owned(), session.to_owned())].into();
    let config = ContainerConfig { labels: Some(labels), ..Default::default() };
    client.commit_container(options, config).await.unwrap();
}

/// How many things [`make`] makes.
const MADE: usize = 6;

/// The image that [`make`] keeps only for the session.
const HELD: &str = "bowline/test-held";

async fn create(
    client: &bollard::Docker,
    session: &str,
    network: &str,
    name: &str,
    kind: &str,
    script: &str,
) -> String {
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
        labels: Some(
            [(labels::SESSION, session), (labels::KIND, kind)].map(|(k, v)| (k.into(), v.into())).into(),
        ),
        host_config: Some(HostConfig { network_mode: Some(network.to_owned()), ..Default::default() }),
        ..Default::default()
    };
    let name = format!("bowline-{session}-{name}");
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    client.create_container(Some(options), body).await.unwrap();
    name
}

/// A running [`pipeline`].
struct Pipeline {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    session: String,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Pipeline {
    fn start(order: &str) -> Self {
        Self::start_program(&std::env::current_exe().unwrap(), order)
    }

    fn start_program(program: &Path, order: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(program)
            .args(["engine::docker::watchdog::tests::pipeline", "--exact", "--ignored", "--nocapture"])
            .env(ORDER, order)
            .env(LOG_VARIABLE, "watchdog.log")
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let log = directory.path().join("watchdog.log");
        let mut pipeline = Self { process, output, session: String::new(), log, _directory: directory };
        pipeline.session = pipeline.line("session ");
        pipeline
    }

    /// The rest of the next line with this prefix.
    fn line(&mut self, start: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the pipeline ended");
            eprint!("{line}");
            if let Some(rest) = line.trim_end().strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    /// Kills the process with SIGKILL, and waits for the end of its output.
    fn kill(&mut self) -> Instant {
        let killed = Instant::now();
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.output.read_to_end(&mut Vec::new()).unwrap();
        // Whoever reads the output of a pipeline must not wait for its watchdog.
        assert!(killed.elapsed() < Duration::from_secs(2), "the output ended after {:?}", killed.elapsed());
        killed
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The watchdog's process number, from its log: it writes as soon as it has its orders.
    fn watchdog(&self) -> u32 {
        let began = Instant::now();
        loop {
            let log = self.log();
            if let Some((process, _)) =
                log.strip_prefix("bowline watchdog ").and_then(|rest| rest.split_once(':'))
            {
                return process.parse().unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(2), "no log: {log:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wait_for_watchdog_to_end(&self, within: Duration) {
        let process = self.watchdog();
        let began = Instant::now();
        // It may have ended and not been reaped yet: process 1 takes its time here.
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        while runs() {
            // An engine that is busy is asked again: that is its time, not the watchdog's.
            let asked_again = self.log().matches("no answer within").count();
            let within = within + Duration::from_secs(5) * u32::try_from(asked_again).unwrap();
            assert!(began.elapsed() < within, "the watchdog still runs:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        eprintln!("the watchdog ended after {:?}:\n{}", began.elapsed(), self.log());
    }

    /// Everything with the session's label.
    async fn left(&self, client: &bollard::Docker) -> Vec<String> {
        let filters = [("label", vec![format!("{}={}", labels::SESSION, self.session)])].into();
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = client.list_containers(Some(options)).await.unwrap();
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = client.list_networks(Some(options)).await.unwrap();
        let filters = [("label", vec![format!("{}={}", labels::HELD, self.session)])].into();
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = client.list_images(Some(options)).await.unwrap();
        let containers = containers.into_iter().flat_map(|container| container.names.unwrap_or_default());
        let networks = networks.into_iter().filter_map(|network| network.name);
        containers.chain(networks).chain(images.into_iter().map(|image| image.id)).collect()
    }

    async fn wait_until_nothing_is_left(&self, client: &bollard::Docker, since: Instant) {
        loop {
            let left = self.left(client).await;
            if left.is_empty() {
                eprintln!("nothing was left after {:?}", since.elapsed());
                return;
            }
            assert!(since.elapsed() < REMOVED_WITHIN, "still there: {left:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn client() -> bollard::Docker {
    connect::connect().await.unwrap().client().await.unwrap()
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What happened to each container of a session: `kill 15`, `die 143`.
async fn deeds(client: &bollard::Docker, session: &str, since: i64) -> HashMap<String, Vec<String>> {
    let filters = [
        ("label", vec![format!("{}={session}", labels::SESSION)]),
        ("event", vec!["kill".to_owned(), "die".to_owned()]),
    ];
    let options = EventsOptionsBuilder::default()
        .since(&since.to_string())
        .until(&unix_time().to_string())
        .filters(&filters.into())
        .build();
    let mut deeds = HashMap::<_, Vec<_>>::new();
    for event in client.events(Some(options)).try_collect::<Vec<_>>().await.unwrap() {
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap();
        let name = attributes["name"].rsplit('-').next().unwrap().to_owned();
        let detail = attributes.get("signal").or(attributes.get("exitCode")).unwrap();
        deeds.entry(name).or_default().push(format!("{} {detail}", event.action.unwrap()));
    }
    deeds
}

fn unix_time() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + 1
}

#[test]
fn a_killed_pipeline_leaves_nothing() {
    on_runtime(async {
        let client = client().await;
        let began = unix_time() - 2;
        let mut pipeline = Pipeline::start("make");
        assert_eq!(pipeline.left(&client).await.len(), MADE);
        let killed = pipeline.kill();
        pipeline.wait_until_nothing_is_left(&client, killed).await;
        pipeline.wait_for_watchdog_to_end(ENDED_WITHIN);

        // Services are asked to stop first; other containers are not.
        tokio::time::sleep(Duration::from_secs(1)).await; // events are asked for by the second
        let mut deeds = deeds(&client, &pipeline.session, began).await;
        // Who is slow to die is killed once more when it is removed.
        deeds.values_mut().for_each(Vec::dedup);
        assert_eq!(deeds["willing"], ["kill 15", "die 7"]);
        assert_eq!(deeds["stubborn"], ["kill 15", "kill 9", "die 137"]);
        assert_eq!(deeds["step"], ["kill 9", "die 137"]);
        assert!(!deeds.contains_key("idle"));
    });
}

#[test]
fn what_was_under_way_goes_too() {
    on_runtime(async {
        let client = client().await;
        let mut pipeline = Pipeline::start("");
        let killed = pipeline.kill();
        // The engine carries out its last request, whose answer nobody reads.
        tokio::time::sleep(Duration::from_millis(600)).await;
        create(&client, &pipeline.session, "none", "late", labels::KIND_STEP, "true").await;
        pipeline.wait_until_nothing_is_left(&client, killed).await;
        pipeline.wait_for_watchdog_to_end(ENDED_WITHIN);
        assert!(pipeline.left(&client).await.is_empty());
    });
}

#[test]
fn a_closed_session_ends_its_watchdog() {
    on_runtime(async {
        let client = client().await;
        let mut pipeline = Pipeline::start("done make");
        pipeline.line("ended ");
        pipeline.wait_for_watchdog_to_end(Duration::from_secs(2));
        // It believed the message.
        assert_eq!(pipeline.left(&client).await.len(), MADE);
        let _ = pipeline.kill();
        tidy(&client, &pipeline).await;
    });
}

async fn tidy(client: &bollard::Docker, pipeline: &Pipeline) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    for name in ["willing", "stubborn", "step", "idle"] {
        let name = format!("bowline-{}-{name}", pipeline.session);
        client.remove_container(&name, Some(options.clone())).await.unwrap();
    }
    client.remove_network(&format!("bowline-{}", pipeline.session)).await.unwrap();
    let image = format!("{HELD}:{}", pipeline.session);
    client.remove_image(&image, None::<RemoveImageOptions>, None).await.unwrap();
}

#[test]
fn a_session_is_handed_over() {
    on_runtime(async {
        let client = client().await;
        let mut pipeline = Pipeline::start("hand over make");
        let began = Instant::now();
        pipeline.line("ended ");
        assert!(pipeline.process.wait().unwrap().success());
        assert!(began.elapsed() < Duration::from_secs(3), "the pipeline waited for its watchdog");
        pipeline.wait_until_nothing_is_left(&client, began).await;
        pipeline.wait_for_watchdog_to_end(ENDED_WITHIN);
    });
}

#[test]
fn a_program_may_be_replaced_while_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    on_runtime(async {
        let client = client().await;
        let mut pipeline = Pipeline::start_program(&copy, "delete the program, make");
        assert!(!copy.exists());
        let killed = pipeline.kill();
        pipeline.wait_until_nothing_is_left(&client, killed).await;
    });
}

#[test]
#[cfg(target_os = "linux")]
fn the_watchdog_stands_apart() {
    let mut pipeline = Pipeline::start("");
    let own = format!("/proc/{}", pipeline.watchdog());
    let link = |name: &str| std::fs::read_link(format!("{own}/{name}")).unwrap().display().to_string();
    assert_eq!(link("cwd"), "/");
    assert_eq!(["fd/0", "fd/1", "fd/2"].map(link), ["/dev/null"; 3]);
    let descriptors = std::fs::read_dir(format!("{own}/fd")).unwrap();
    let others = descriptors.map(|fd| link(&format!("fd/{}", fd.unwrap().file_name().display())));
    let others: Vec<_> =
        others.filter(|target| !target.starts_with("socket:") && target != "/dev/null").collect();
    assert!(others.iter().all(|target| target.ends_with("watchdog.log")), "{others:?}");

    // pid (name) state parent group session terminal …
    let stat = std::fs::read_to_string(format!("{own}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let [_, parent, group, session, terminal, ..] = fields[..] else { panic!("{stat}") };
    assert_ne!(parent, pipeline.process.id().to_string());
    assert_eq!((group, session, terminal), (session, own.trim_start_matches("/proc/"), "0"));
    let status = std::fs::read_to_string(format!("{own}/status")).unwrap();
    assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
    let _ = pipeline.kill();
    pipeline.wait_for_watchdog_to_end(ENDED_WITHIN);
}
