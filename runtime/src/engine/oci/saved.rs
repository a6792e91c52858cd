//! `manifest.json` of an archive as `docker save` writes it and `docker load` reads it.

use serde::{Deserialize, Serialize};

/// What it says of one image.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    /// The entry that is the image's configuration.
    pub(crate) config: String,
    pub(crate) repo_tags: Option<Vec<String>>,
    /// The entries that are its layers, the lowest first.
    pub(crate) layers: Vec<String>,
}

impl Saved {
    /// Of an image that is called so where it is loaded.
    #[cfg(feature = "docker")]
    pub(crate) fn named(name: &str, config: impl Into<String>, layers: Vec<String>) -> Self {
        Self { config: config.into(), repo_tags: Some(vec![name.to_owned()]), layers }
    }

    /// What the layers of archives that we write are called, the lowest first.
    #[cfg(feature = "docker")]
    pub(crate) fn layer_names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number}/layer.tar")).collect()
    }

    /// As it is written of one image.
    pub(crate) fn document(self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&[self])
    }

    /// As it is read.
    pub(crate) fn parse(text: &[u8]) -> Result<Vec<Self>, String> {
        serde_json::from_slice(text).map_err(|error| format!("`manifest.json`: {error}"))
    }
}
