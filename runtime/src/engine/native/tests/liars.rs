//! Tests with engines and registries that lie.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use super::*;
use crate::model::ContentDigest;

/// A Docker engine that always answers with one image: an id and an archive. It ends with the test.
struct Liar {
    directory: tempfile::TempDir,
}

impl Liar {
    fn open(id: &str, archive: Vec<u8>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let image = serde_json::json!({
            "Id": id, "Os": "linux", "Architecture": "amd64",
            "Config": { "Env": ["LIE=1"] }, "RootFS": { "Type": "layers", "Layers": [] }
        });
        let image = image.to_string().into_bytes();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (image, archive) = (image.clone(), archive.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut asked = Vec::new();
                    let mut byte = [0];
                    while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                        asked.push(byte[0]);
                    }
                    let line = text(&asked).lines().next().unwrap_or_default().to_owned();
                    let body = if line.contains("/get") { &archive } else { &image };
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
                });
            }
        });
        Self { directory }
    }

    fn images(&self) -> DockerImages {
        DockerImages::at(&self.directory.path().join("socket"), "linux/amd64")
    }
}

/// An archive in the format of `docker save`, with one layer, and the image's id.
fn saved() -> (Vec<u8>, ContentDigest) {
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    layer.append_data(&mut header, "said", b"it\n".as_slice()).unwrap();
    let layer = layer.into_inner().unwrap();
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": [ContentDigest::of(&layer)] });
    let configuration = serde_json::json!({
        "os": "linux", "architecture": "amd64", "config": { "Env": ["TRUTH=1"] }, "rootfs": rootfs
    });
    let configuration = configuration.to_string().into_bytes();
    let list = serde_json::json!([{ "Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l/layer.tar"] }]);
    let mut archive = tar::Builder::new(Vec::new());
    for (name, contents) in [
        ("l/layer.tar", &layer),
        ("c.json", &configuration),
        ("manifest.json", &list.to_string().into_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        archive.append_data(&mut header, name, &contents[..]).unwrap();
    }
    (archive.into_inner().unwrap(), ContentDigest::of(&configuration))
}

async fn asked(store: &Path, liar: &Liar, name: &str) -> (Arc<Native>, Result<Image>) {
    let engine = open_with(store.to_owned(), liar.images()).await.unwrap();
    let found = engine.resolve(&ImageName::new(name), &|_| {}).await;
    (engine, found)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_kept_under_no_other_digest_than_its_own() {
    if std::env::var_os("BOWLINE_SKIP_ENGINE_TESTS").is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("a/b/store");
    let (archive, id) = saved();
    let foreign = ContentDigest::of(b"somebody else's");
    for (said, why) in [
        ("sha256:../../../../MARKER".to_owned(), "no SHA-256 digest"),
        (format!("sha256:../../../{}", "a".repeat(55)), "no SHA-256 digest"),
        ("sha256:\u{1b}[31m".to_owned(), "no SHA-256 digest"),
        (String::new(), "no SHA-256 digest"),
        (foreign.to_string(), "has another image"),
    ] {
        let liar = Liar::open(&said, archive.clone());
        let (engine, found) = asked(&store, &liar, "x:1").await;
        let error = found.expect_err(&said).to_string();
        assert!(error.contains(why) && !error.contains('\u{1b}'), "{said}: {error}");
        assert_eq!(std::fs::read_dir(store.join("images")).unwrap().count(), 0, "{said}");
        assert_eq!(std::fs::read_dir(store.join("references")).unwrap().count(), 0, "{said}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "{said}");
        engine.close().await.unwrap();
    }
    // And what it says about its own image is what the image says.
    let liar = Liar::open(&id.to_string(), archive);
    let (engine, found) = asked(&store, &liar, "x:1").await;
    let image = found.unwrap();
    assert_eq!(image.config.env, [("TRUTH".to_owned(), "1".to_owned())]);
    assert_eq!(engine.shared.store.image(&id).unwrap().identity, image.id);
    assert!(engine.shared.store.reference(&ImageName::new("x:1")).is_some());
    engine.close().await.unwrap();
    // What a digest names, an engine may claim, but the claim is not stored.
    let pinned = format!("x@{foreign}");
    let (engine, found) = asked(&store, &liar, &pinned).await;
    assert_eq!(found.unwrap().id, image.id);
    assert!(engine.shared.store.reference(&ImageName::new(&pinned)).is_none());
    engine.close().await.unwrap();
}
