//! `manifest.json` of an archive in the format of `docker save` and `docker load`.

use serde::{Deserialize, Serialize};

/// The entry for one image.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    /// The name of the image's configuration in the archive.
    pub(crate) config: String,
    pub(crate) repo_tags: Option<Vec<String>>,
    /// The names of its layers in the archive, the lowest first.
    pub(crate) layers: Vec<String>,
}

impl Saved {
    /// The entry for an image that gets this name when it is loaded.
    #[cfg(feature = "docker")]
    pub(crate) fn named(name: &str, config: impl Into<String>, layers: Vec<String>) -> Self {
        Self { config: config.into(), repo_tags: Some(vec![name.to_owned()]), layers }
    }

    /// The names of layers in archives that are written here, the lowest first.
    #[cfg(feature = "docker")]
    pub(crate) fn layer_names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number}/layer.tar")).collect()
    }

    /// The JSON for one image.
    pub(crate) fn document(self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&[self])
    }

    /// Parses the file.
    pub(crate) fn parse(text: &[u8]) -> Result<Vec<Self>, String> {
        serde_json::from_slice(text).map_err(|error| format!("`manifest.json`: {error}"))
    }
}
