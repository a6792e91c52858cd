//! Tests against the engine of this machine. Without one they fail, unless `BOWLINE_SKIP_ENGINE_TESTS` is set.

use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::*;
use crate::engine::testing::{self, filesystem, heard, link, nothing, recorder, script, service, step, text};
use crate::engine::{Filesystem, Finished, Placement, StepOutput};

/// The engine, or an early return from the test.
macro_rules! engine {
    () => {
        match super::open().await {
            Some(engine) => engine,
            None => return,
        }
    };
}

mod connecting;
mod ends;
mod events;
mod files;
mod images;
mod mounts;
mod relays;
mod services;
mod steps;

/// An engine with a session of its own; `None` if the tests are skipped.
async fn open() -> Option<Arc<Docker>> {
    match connect().await {
        Ok(connection) => {
            static FORGOTTEN: OnceCell<()> = OnceCell::const_new();
            let engine = Docker::open(&connection, SessionId::random(), None).await.unwrap();
            FORGOTTEN.get_or_init(|| forget_earlier_runs(&engine)).await;
            Some(engine)
        }
        Err(_) if std::env::var_os("BOWLINE_SKIP_ENGINE_TESTS").is_some() => None,
        Err(error) => panic!("{error}\n\nset BOWLINE_SKIP_ENGINE_TESTS to do without an engine"),
    }
}

impl Docker {
    async fn image(&self, reference: &str) -> Image {
        testing::image(self, reference).await
    }

    async fn run(&self, step: StepSpec) -> (Box<dyn Finished>, StepOutput) {
        testing::run(self, step).await
    }
}

/// A key that no other test and no earlier run has. It is marked as a test's, so that the next run removes what this one
/// stored.
fn key() -> Digest {
    let mut key: [u8; 32] = crate::sha256::Sha256::digest(SessionId::random().as_str());
    key[..4].copy_from_slice(&MARK);
    key[4..8].copy_from_slice(&std::process::id().to_be_bytes());
    Digest(key)
}

/// The first bytes of test keys.
const MARK: [u8; 4] = *b"test";

/// Removes what earlier runs of the tests stored.
async fn forget_earlier_runs(engine: &Docker) {
    let images =
        engine.shared.client.list_images(None::<bollard::query_parameters::ListImagesOptions>).await.unwrap();
    for name in images.iter().flat_map(|image| &image.repo_tags) {
        let key = name.split_once(':').and_then(|(_, tag)| tag.parse::<Digest>().ok());
        let Some(Digest([b't', b'e', b's', b't', a, b, c, d, ..])) = key else { continue };
        let pid = u32::from_be_bytes([a, b, c, d]);
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            engine.shared.cleaner.remove_image(name).await;
        }
    }
}

const BUSYBOX: &str = "busybox:1.35";

/// The hostname of a service; one is enough, since each test has a session of its own.
const HOST: &str = "0123456789abcdefghijklmnop";

/// The number of containers and networks of a session.
async fn left(engine: &Docker) -> usize {
    let client = &engine.shared.client;
    let filters = std::collections::HashMap::from([(
        "label".to_owned(),
        vec![format!("{}={}", labels::SESSION, engine.shared.session)],
    )]);
    let containers = bollard::query_parameters::ListContainersOptions {
        all: true,
        filters: Some(filters.clone()),
        ..Default::default()
    };
    let networks = bollard::query_parameters::ListNetworksOptions { filters: Some(filters) };
    client.list_containers(Some(containers)).await.unwrap().len()
        + client.list_networks(Some(networks)).await.unwrap().len()
}
