use std::time::Duration;

use super::*;

const OWN: &str = "linux/amd64";

fn configuration(layers: &[&[u8]]) -> Vec<u8> {
    let layers: Vec<String> = layers.iter().map(|layer| ContentDigest::of(layer).to_string()).collect();
    let rootfs = serde_json::json!({ "type": "layers", "diff_ids": layers });
    serde_json::json!({ "os": "linux", "architecture": "amd64", "rootfs": rootfs }).to_string().into_bytes()
}

fn descriptor(kind: &str, contents: &[u8]) -> serde_json::Value {
    let media_type = format!("application/vnd.oci.image.{kind}.v1+json");
    serde_json::json!({
        "mediaType": media_type, "digest": ContentDigest::of(contents), "size": contents.len(),
        "platform": { "os": "linux", "architecture": "amd64" }
    })
}

fn blob(contents: &[u8]) -> (String, Vec<u8>) {
    (blob_name(&ContentDigest::of(contents)), contents.to_vec())
}

/// An archive in both formats, as engines write it.
struct Written {
    configuration: Vec<u8>,
    manifest: Vec<u8>,
    index: Vec<u8>,
    files: Vec<(String, Vec<u8>)>,
}

fn saved() -> Written {
    let layer = b"layer".as_slice();
    let configuration = configuration(&[layer]);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "config": descriptor("config", &configuration),
        "layers": [{ "digest": ContentDigest::of(layer), "size": 5 }]
    });
    let manifest = manifest.to_string().into_bytes();
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor("manifest", &manifest)] });
    let index = index.to_string().into_bytes();
    let top = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor("index", &index)] });
    let list = serde_json::json!([{
        "Config": blob(&configuration).0, "RepoTags": ["x:1"], "Layers": [blob(layer).0]
    }]);
    let files = vec![
        blob(layer),
        blob(&configuration),
        blob(&manifest),
        blob(&index),
        ("index.json".to_owned(), top.to_string().into_bytes()),
        ("manifest.json".to_owned(), list.to_string().into_bytes()),
    ];
    Written { configuration, manifest, index, files }
}

fn written(files: &[(String, Vec<u8>)]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut archive = tar::Builder::new(file.reopen().unwrap());
    for (name, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        archive.append_data(&mut header, name, &contents[..]).unwrap();
    }
    archive.finish().unwrap();
    file
}

#[test]
fn an_engine_is_believed_only_what_its_archive_has() {
    let Written { configuration, manifest, index, files } = saved();
    let archive = written(&files);
    let id = ContentDigest::of(&configuration);
    for name in [&configuration, &manifest, &index] {
        let found = called(archive.path(), &ContentDigest::of(name), None, OWN).unwrap();
        assert_eq!((found.id, found.layers.len()), (id, 1));
    }
    for foreign in [b"layer".as_slice(), b"nothing of it"] {
        assert!(called(archive.path(), &ContentDigest::of(foreign), None, OWN).is_err());
    }
    // An archive with another image's configuration under the name of this one's digest.
    let mut forged = files.clone();
    let other = ContentDigest::of(b"other");
    forged.push((blob_name(&other), manifest.clone()));
    assert!(called(written(&forged).path(), &other, None, OWN).is_err());
    // An old engine writes one format only.
    let old: Vec<_> = files.iter().filter(|(name, _)| name != "index.json").cloned().collect();
    assert_eq!(called(written(&old).path(), &id, None, OWN).unwrap().id, id);
}

/// An OCI image layout, and the place of a blob in it.
fn layout(of: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
    for (name, contents) in saved().files.iter().filter(|(name, _)| name != "manifest.json") {
        fs::write(directory.path().join(name), contents).unwrap();
    }
    let path = directory.path().join(blob_name(&ContentDigest::of(of)));
    (directory, path)
}

/// The result of `find`, which must come within ten seconds.
fn found(path: &Path, kind: ImageFileKind) -> std::result::Result<Archived, String> {
    let (tell, hear) = std::sync::mpsc::channel();
    let path = path.to_str().unwrap().to_owned();
    std::thread::spawn(move || {
        let _ = tell.send(read(&ImageFile { kind, path: &path, name: None }, None, OWN));
    });
    hear.recv_timeout(Duration::from_secs(10)).expect("it hangs")
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_an_images_file_is_refused_at_once() {
    let make =
        |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    let Written { configuration, manifest, index, .. } = saved();
    for of in [&configuration, &manifest, &index, &b"layer".to_vec()] {
        let (directory, path) = layout(of);
        assert!(found(directory.path(), ImageFileKind::OciLayout).is_ok());
        fs::remove_file(&path).unwrap();
        make(&path);
        let error = found(directory.path(), ImageFileKind::OciLayout).unwrap_err();
        assert!(error.contains("a pipe, not a regular file"), "{error}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.tar");
    make(&path);
    for kind in [ImageFileKind::OciLayout, ImageFileKind::DockerArchive] {
        let error = found(&path, kind).unwrap_err();
        assert!(error.contains("a pipe, not a regular file"), "{error}");
    }
}

/// Empty files, without end.
struct Endless(Vec<u8>, usize);

impl io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(buffer.len())
    }
}

impl io::Seek for Endless {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(self.1 as u64)
    }
}

#[test]
fn documents_and_headers_have_an_end() {
    let Written { manifest, .. } = saved();
    let (directory, path) = layout(&manifest);
    fs::File::options().write(true).open(path).unwrap().set_len(DOCUMENT_AT_MOST + 1).unwrap();
    let error = found(directory.path(), ImageFileKind::OciLayout).unwrap_err();
    assert!(error.contains("larger than 8 MiB"), "{error}");
    let mut header = tar::Header::new_gnu();
    header.set_path("x").unwrap();
    header.set_size(0);
    header.set_cksum();
    let endless = Endless(header.as_bytes().to_vec(), 0);
    let error = index_of(endless, 1 << 20).unwrap_err().to_string();
    assert!(error.contains("more entries"), "{error}");
}

fn index_of(archive: impl io::Read + io::Seek, at_most: u64) -> io::Result<(Entries, Links)> {
    index(Headers { inner: archive, left: at_most })
}
