//! Tests on this machine, as root, with images of its Docker engine. Without one they fail, unless
//! `BOWLINE_SKIP_ENGINE_TESTS` is set.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::address::Network;
use super::store::layers;
use super::*;
use crate::engine::docker::DockerImages;
use crate::engine::testing::{heard, image, link, nothing, run, script, service, step, text};
use crate::engine::{Mount, MountSource, Placement, ProbeProgress, Recording, StepOutput};
use crate::model::{Access, EntryKind, Exit, Port};

/// The engine, with a store that all tests of this process share; or an early return from the test.
macro_rules! engine {
    () => {
        match super::open().await {
            Some(engine) => engine,
            None => return,
        }
    };
}

mod capabilities;
mod confinement;
mod devices;
mod images;
mod layers;
mod liars;
mod network;
mod paths;
mod program;
mod services;
mod steps;
mod world;

const BUSYBOX: &str = "busybox:1.35";
const HOST: &str = "0123456789abcdefghijklmnop";

async fn open() -> Option<Arc<Native>> {
    // One test takes the image, and the others find it.
    static FIRST: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    // One directory for the whole run, removed by the next run: images are unpacked once.
    static PLACE: std::sync::LazyLock<PathBuf> = std::sync::LazyLock::new(|| {
        const PREFIX: &str = "bowline-native-tests-";
        for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let run = name.strip_prefix(PREFIX);
            if run.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()))
    });
    if std::env::var_os("BOWLINE_SKIP_ENGINE_TESTS").is_some() {
        return None;
    }
    let engine = open_with(PLACE.clone(), DockerImages::default()).await.unwrap();
    let _first = FIRST.lock().await;
    image(&*engine, BUSYBOX).await;
    Some(engine)
}

async fn open_with(place: PathBuf, images: DockerImages) -> Result<Arc<Native>> {
    Native::open_at(place, &SessionId::random(), Some(Box::new(images)), Vec::new()).await
}

async fn busybox(engine: &Native) -> Snapshot {
    image(engine, BUSYBOX).await.snapshot
}

fn key() -> Digest {
    Digest(crate::sha256::Sha256::digest(SessionId::random().as_str()))
}

/// The number of processes of this machine with this text in their command line.
fn processes_with(text: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(text))
    })
    .count()
}

/// Whether something holds within two seconds.
fn soon(what: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !what() {
        if start.elapsed() > Duration::from_secs(2) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
