//! Manifests and indexes of images (OCI image specification), from registries, layouts and archives. None that is read is
//! trusted.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::Platform;
use crate::model::ContentDigest;

/// A descriptor: the digest, size and media type of a blob.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: Option<String>,
    pub(crate) digest: ContentDigest,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    /// The blob itself in base64, where it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl Descriptor {
    /// The descriptor of a blob that is made here.
    pub(crate) fn new(media_type: &str, digest: ContentDigest, size: u64) -> Self {
        let media_type = Some(media_type.to_owned());
        Self { media_type, digest, size, platform: None, annotations: BTreeMap::new(), data: None }
    }

    /// The same with the blob in it.
    pub(crate) fn embedded(media_type: &str, blob: &[u8]) -> Self {
        let data = Some(BASE64.encode(blob));
        Self { data, ..Self::new(media_type, ContentDigest::of(blob), blob.len() as u64) }
    }

    /// The blob that is in it, if it is the one.
    pub(crate) fn data(&self) -> Option<Vec<u8>> {
        let blob = BASE64.decode(self.data.as_ref()?.as_bytes()).ok()?;
        (ContentDigest::of(&blob) == self.digest).then_some(blob)
    }

    /// The image's name in a layout (OCI image specification, "annotations").
    pub(crate) fn name(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.ref.name").map(String::as_str)
    }

    /// Attestations about an image are not images.
    fn is_image(&self) -> bool {
        self.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
    }
}

/// The document that a reference leads to.
#[derive(Debug, Clone)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// An image: its configuration and its layers, the lowest first.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// An index: images for several platforms, or with several names.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// Media types of documents made here.
pub(crate) const MANIFEST: &str = MANIFESTS[0];
const INDEX: &str = INDEXES[0];
pub(crate) const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const PLAIN_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layer as an archive, as images describe it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Packed {
    /// The digest of the uncompressed archive.
    pub(crate) unpacked: ContentDigest,
    pub(crate) digest: ContentDigest,
    /// The size in bytes, compressed if the archive is.
    pub(crate) size: u64,
}

impl Packed {
    pub(crate) fn describe(&self) -> Descriptor {
        let media_type = if self.digest == self.unpacked { PLAIN_LAYER } else { LAYER };
        Descriptor::new(media_type, self.digest, self.size)
    }
}

/// The JSON of a manifest or an index.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(skip_deserializing)]
    schema_version: u32,
    media_type: Option<String>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<Descriptor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// The media types that can be read.
    pub(crate) fn media_types() -> impl Iterator<Item = &'static str> {
        INDEXES.into_iter().chain(MANIFESTS)
    }

    /// Parses a document; `said` is the media type that came with it, if any. A document that is ambiguous between
    /// manifest and index is refused (CVE-2021-41190).
    pub(crate) fn parse(text: &[u8], said: Option<&str>) -> Result<Self, String> {
        const NEITHER: &str = "its manifest is neither an OCI image manifest nor an image index";
        let Written { media_type, config, layers, manifests, .. } =
            serde_json::from_slice(text).map_err(|error| format!("{NEITHER}: {error}"))?;
        let (document, others) = match (config, layers, manifests) {
            (Some(config), Some(layers), None) => (Self::Manifest(Manifest { config, layers }), INDEXES),
            (None, None, Some(manifests)) => (Self::Index(Index { manifests }), MANIFESTS),
            (None | Some(_), None, None) | (None, Some(_), None) => {
                return Err(NEITHER.to_owned());
            }
            _ => return Err("it says to be an image manifest and an image index at once".to_owned()),
        };
        for said in [media_type.as_deref(), said].into_iter().flatten() {
            let said = said.split(';').next().unwrap_or_default().trim();
            if others.contains(&said) {
                let is = if matches!(document, Self::Index(_)) { "an index" } else { "a manifest" };
                return Err(format!("it is {is}, and said to be `{said}`"));
            }
        }
        Ok(document)
    }
}

impl Manifest {
    /// The manifest as JSON.
    pub(crate) fn document(self) -> serde_json::Result<Vec<u8>> {
        self.document_of(None)
    }

    /// The manifest of what is no image, but something of this type.
    pub(crate) fn artifact(self, kind: &str) -> serde_json::Result<Vec<u8>> {
        self.document_of(Some(kind.to_owned()))
    }

    fn document_of(self, artifact_type: Option<String>) -> serde_json::Result<Vec<u8>> {
        let Self { config, layers } = self;
        let (config, layers) = (Some(config), Some(layers));
        serde_json::to_vec(&Written { artifact_type, config, layers, ..Written::of(MANIFEST) })
    }
}

impl Written {
    fn of(media_type: &str) -> Self {
        Self { schema_version: 2, media_type: Some(media_type.to_owned()), ..Self::default() }
    }
}

impl Index {
    /// The index as JSON.
    pub(crate) fn document(self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Written { manifests: Some(self.manifests), ..Written::of(INDEX) })
    }

    /// The image for a platform; otherwise the platforms that there are, in words.
    pub(crate) fn choose(&self, asked: Option<&str>, own: &str) -> Result<&Descriptor, String> {
        let images = || self.manifests.iter().filter(|found| found.is_image());
        let fits = |asked| {
            images().find(|found| found.platform.as_ref().is_none_or(|platform| platform.fits(asked, own)))
        };
        // An image for another processor that this one can run is taken only if there is none for its own.
        let found = fits(Some(asked.unwrap_or(own))).or_else(|| fits(asked));
        let platforms = || images().filter_map(|found| Some(found.platform.as_ref()?.to_string()));
        found.ok_or_else(|| platforms().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_of_a_platform_is_chosen() {
        let text = format!(
            r#"{{"schemaVersion": 2, "manifests": [{}]}}"#,
            [("unknown", "unknown"), ("linux", "386"), ("linux", "amd64"), ("linux", "arm64")]
                .iter()
                .enumerate()
                .map(|(number, (os, architecture))| format!(
                    r#"{{"mediaType": "x", "digest": "sha256:{number:064}", "size": 1,
                         "platform": {{"os": "{os}", "architecture": "{architecture}"}}}}"#
                ))
                .collect::<Vec<_>>()
                .join(",")
        );
        let Ok(Document::Index(index)) = Document::parse(text.as_bytes(), None) else { panic!("{text}") };
        let chosen = |asked, own| index.choose(asked, own).map(|found| found.digest.to_string());
        assert_eq!(chosen(None, "linux/amd64"), Ok(format!("sha256:{:064}", 2)));
        assert_eq!(chosen(Some("linux/arm64"), "linux/amd64"), Ok(format!("sha256:{:064}", 3)));
        assert_eq!(chosen(None, "linux/s390x"), Err("linux/386, linux/amd64, linux/arm64".to_owned()));
    }

    #[test]
    fn what_some_take_for_a_manifest_and_others_for_an_index_is_refused() {
        let digest = format!("sha256:{:064}", 1);
        let one = format!(r#"{{"digest": "{digest}", "size": 1}}"#);
        let image = format!(r#""config": {one}, "layers": [{one}]"#);
        let index = format!(r#""manifests": [{one}]"#);
        let [manifest_type, index_type] = [MANIFESTS[0], INDEXES[1]];
        let parse = |text: &str, said| Document::parse(format!("{{{text}}}").as_bytes(), said);
        assert!(matches!(parse(&image, None), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&image, Some(manifest_type)), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&image, Some("application/json; charset=utf-8")), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&index, Some(index_type)), Ok(Document::Index(_))));
        let both = format!("{image}, {index}");
        let layers_too = format!(r#""layers": [], {index}"#);
        for text in [&both, &layers_too] {
            assert!(parse(text, None).unwrap_err().contains("at once"), "{text}");
        }
        let wrong = format!(r#""mediaType": "{index_type}", {image}"#);
        for (text, said) in [(&wrong, None), (&image, Some(INDEXES[0])), (&index, Some(manifest_type))] {
            assert!(parse(text, said).unwrap_err().contains("said to be"), "{text}");
        }
        let twice = format!(r#""manifests": [], {index}"#);
        for text in [twice.as_str(), "", r#""config": 1"#, r#""manifests": [{"digest": "x", "size": 1}]"#] {
            assert!(parse(text, None).unwrap_err().contains("neither"), "{text}");
        }
    }
}
