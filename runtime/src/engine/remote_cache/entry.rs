//! A result as it is kept elsewhere.

use serde::{Deserialize, Serialize};

use super::Trouble;
use crate::engine::blocking::blocking;
use crate::engine::oci::{Descriptor, Document, Manifest, Packed};
use crate::engine::{Layers, Recording, Written};
use crate::model::{ContentDigest, Digest, Provenance};
use crate::sha256::Sha256;
use crate::{Error, Result};

/// The type of the artifact, and of its configuration.
const RESULT: &str = "application/vnd.bowline.result.v1+json";
/// What a step wrote.
const STREAM: &str = "application/octet-stream";
/// The version of the format.
const VERSION: u32 = 1;
/// Blobs up to this size, in bytes, are in the manifest too: then one request finds everything.
const EMBEDDED_AT_MOST: u64 = 16 << 10;
/// The largest number of layers: more than an engine can lay on each other.
const LAYERS_AT_MOST: usize = 500;

/// What is known of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    version: u32,
    pub(crate) key: Digest,
    #[serde(flatten)]
    pub(crate) from: Provenance,
    pub(crate) exit_code: i32,
    /// `None` if the files were not kept where it was made.
    pub(crate) files: Option<Layers>,
    /// What the step wrote; `None` for nothing.
    stdout: Option<Stream>,
    stderr: Option<Stream>,
}

/// A stream, as a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stream {
    digest: ContentDigest,
    size: u64,
}

/// A result that was found.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) facts: Facts,
    /// The blobs that came with the manifest.
    embedded: Vec<Descriptor>,
}

/// A result to be written.
pub(super) struct Made {
    pub(super) manifest: Vec<u8>,
    /// All blobs but the layers.
    pub(super) blobs: Vec<(Descriptor, Written)>,
}

impl Facts {
    pub(crate) fn new(key: Digest, from: Provenance, exit_code: i32, files: Option<Layers>) -> Self {
        Self { version: VERSION, key, from, exit_code, files, stdout: None, stderr: None }
    }
}

/// The manifest of a result.
pub(super) fn manifest(text: &[u8]) -> std::result::Result<Manifest, Trouble> {
    let damaged = |why: &str| Trouble::Damaged(format!("its manifest {why}"));
    match Document::parse(text, None).map_err(Trouble::Damaged)? {
        Document::Manifest(manifest) if manifest.config.media_type.as_deref() == Some(RESULT) => Ok(manifest),
        Document::Manifest(_) => Err(damaged("is of something else")),
        Document::Index(_) => Err(damaged("is an index")),
    }
}

impl Entry {
    /// Reads what is known of the result of a key, whose manifest lists these blobs.
    pub(super) fn read(
        facts: &[u8],
        blobs: Vec<Descriptor>,
        key: &Digest,
    ) -> std::result::Result<Self, Trouble> {
        let damaged = |why: String| Trouble::Damaged(why);
        let facts: Facts = serde_json::from_slice(facts)
            .map_err(|error| damaged(format!("what is said of it makes no sense: {error}")))?;
        if facts.version != VERSION {
            return Err(damaged(format!(
                "it has the version {}, and this bowline reads version {VERSION}",
                facts.version
            )));
        }
        if facts.key != *key {
            return Err(damaged(format!("it is the result of another step, {:.12}", facts.key)));
        }
        if facts.from.run.is_empty() {
            return Err(damaged("it is of no run".to_owned()));
        }
        let layers = facts.files.as_ref().map_or(0, |files| files.image.len() + files.own.len());
        if layers > LAYERS_AT_MOST {
            return Err(damaged(format!("it has {layers} layers, and {LAYERS_AT_MOST} are the most")));
        }
        Ok(Self { facts, embedded: blobs })
    }

    /// The blob with what the step wrote to its standard output, if it wrote anything.
    pub(super) fn stdout(&self) -> Option<Descriptor> {
        Some(self.stream(self.facts.stdout.as_ref()?))
    }

    pub(super) fn stderr(&self) -> Option<Descriptor> {
        Some(self.stream(self.facts.stderr.as_ref()?))
    }

    fn stream(&self, stream: &Stream) -> Descriptor {
        let came = self.embedded.iter().find(|blob| blob.digest == stream.digest && blob.size == stream.size);
        came.cloned().unwrap_or_else(|| stream.describe())
    }

    /// Makes the blobs and the manifest.
    pub(super) async fn make(mut facts: Facts, output: &Recording) -> Result<Made> {
        let mut blobs = Vec::new();
        let (stdout, stderr) = (described(&output.stdout).await?, described(&output.stderr).await?);
        facts.stdout = stdout.as_ref().map(|(stream, _)| stream.clone());
        facts.stderr = stderr.as_ref().map(|(stream, _)| stream.clone());
        for (stream, contents) in [stdout, stderr].into_iter().flatten() {
            blobs.push((embedded(STREAM, &contents)?.unwrap_or_else(|| stream.describe()), contents));
        }
        let text: Written = serde_json::to_vec(&facts).map_err(Error::internal)?.into();
        let config = match embedded(RESULT, &text)? {
            Some(config) => config,
            None => Descriptor::new(
                RESULT,
                ContentDigest::of(&text.to_vec().map_err(Error::internal)?),
                text.length(),
            ),
        };
        let layers = facts.files.iter().flat_map(|files| &files.own).map(Packed::describe);
        let layers = blobs.iter().map(|(blob, _)| blob.clone()).chain(layers).collect();
        let manifest =
            Manifest { config: config.clone(), layers }.artifact(RESULT).map_err(Error::internal)?;
        blobs.push((config, text));
        Ok(Made { manifest, blobs })
    }
}

impl Stream {
    fn describe(&self) -> Descriptor {
        Descriptor::new(STREAM, self.digest, self.size)
    }
}

/// The descriptor of a small blob, with the blob in it.
fn embedded(media_type: &str, contents: &Written) -> Result<Option<Descriptor>> {
    if contents.length() > EMBEDDED_AT_MOST {
        return Ok(None);
    }
    let bytes = contents.to_vec().map_err(|error| Error::engine("read what a step wrote", error))?;
    Ok(Some(Descriptor::embedded(media_type, &bytes)))
}

/// A stream on this machine, and what describes it; `None` for an empty one.
async fn described(written: &Written) -> Result<Option<(Stream, Written)>> {
    let contents = written.here().await?;
    if contents.length() == 0 {
        return Ok(None);
    }
    let reader = contents.clone();
    let digest = blocking(move || hash(&mut reader.reader())).await;
    let digest = digest.map_err(|error| Error::engine("read what a step wrote", error))?;
    Ok(Some((Stream { digest, size: contents.length() }, contents)))
}

/// The digest of everything that is read.
pub(super) fn hash(from: &mut impl std::io::Read) -> std::io::Result<ContentDigest> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 18];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(ContentDigest::hashed(hash)),
            length => hash.update(piece.get(..length).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MadeOf;

    const KEY: Digest = Digest([7; 32]);

    fn facts(run: &str) -> Facts {
        let from = Provenance::now(run.into(), vec![MadeOf { key: Digest([1; 32]), run: "r".into() }]);
        let layer = ContentDigest::of(b"layer");
        let own = vec![Packed { unpacked: layer, digest: layer, size: 5 }];
        let files = Layers { image: vec![ContentDigest::of(b"image")], own };
        Facts::new(KEY, from, 3, Some(files))
    }

    fn output() -> Recording {
        Recording { stdout: vec![b'x'; 100_000].into(), stderr: b"small".as_slice().into(), exit_code: 3 }
    }

    #[tokio::test]
    async fn what_is_written_is_what_is_read() {
        let made = Entry::make(facts("run"), &output()).await.unwrap();
        let read = manifest(&made.manifest).unwrap();
        assert_eq!(read.layers.len(), 3);
        let entry = Entry::read(&read.config.data().unwrap(), read.layers, &KEY).unwrap();
        assert_eq!((entry.facts.from.run.clone(), entry.facts.exit_code), ("run".into(), 3));
        assert_eq!(entry.facts.from.made_of, [MadeOf { key: Digest([1; 32]), run: "r".into() }]);
        assert_eq!(entry.facts.files, facts("run").files);
        let (stdout, stderr) = (entry.stdout().unwrap(), entry.stderr().unwrap());
        assert_eq!((stdout.size, stdout.data()), (100_000, None), "it is fetched");
        assert_eq!(stderr.data().unwrap(), b"small");
        // All of it is there as blobs, for registries.
        let blobs: Vec<_> =
            made.blobs.iter().map(|(blob, contents)| (blob.size, contents.length())).collect();
        assert!(blobs.len() == 3 && blobs.iter().all(|(said, is)| said == is), "{blobs:?}");
        let text = String::from_utf8(made.manifest).unwrap();
        assert!(text.contains(r#""artifactType":"application/vnd.bowline.result.v1+json""#), "{text}");
    }

    #[tokio::test]
    async fn what_is_no_result_is_refused() {
        let whole = serde_json::to_value(facts("run")).unwrap();
        let refused = |change: fn(&mut serde_json::Value)| {
            let mut facts = whole.clone();
            change(&mut facts);
            let text = serde_json::to_vec(&facts).unwrap();
            let Err(Trouble::Damaged(why)) = Entry::read(&text, Vec::new(), &KEY) else { panic!("{facts}") };
            why
        };
        assert!(refused(|facts| facts["version"] = 2.into()).contains("has the version 2"));
        assert!(refused(|facts| facts["key"] = "0".repeat(64).into()).contains("another step"));
        assert!(refused(|facts| facts["run"] = "".into()).contains("no run"));
        assert!(refused(|facts| facts["exit_code"] = "x".into()).contains("makes no sense"));
        let many = refused(|facts| {
            let layer = facts["files"]["own"][0].clone();
            facts["files"]["own"] = vec![layer; 500].into();
        });
        assert!(many.contains("501 layers"), "{many}");
        for text in ["", "{", "[]", r#"{"schemaVersion": 2, "manifests": []}"#] {
            assert!(matches!(manifest(text.as_bytes()), Err(Trouble::Damaged(_))), "{text}");
        }
        let made = Entry::make(facts("run"), &output()).await.unwrap();
        let image =
            String::from_utf8(made.manifest).unwrap().replace("vnd.bowline.result", "vnd.oci.image.config");
        assert!(matches!(manifest(image.as_bytes()), Err(Trouble::Damaged(_))));
    }
}
