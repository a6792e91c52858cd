//! Images from different engines.

use super::*;
use crate::engine::docker;

/// A key is the same on both engines: an image's identity does not depend on which of them has it.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_what_it_is_to_docker() {
    let engine = engine!();
    let connection = docker::connect().await.unwrap();
    let docker = docker::Docker::open(&connection, SessionId::random(), None).await.unwrap();
    for reference in [BUSYBOX, "redis:7"] {
        let (own, theirs) = (image(&*engine, reference).await, image(&*docker, reference).await);
        assert_eq!((own.id, own.platform), (theirs.id, theirs.platform), "{reference}");
    }
    docker.close().await.unwrap();
    engine.close().await.unwrap();
}
