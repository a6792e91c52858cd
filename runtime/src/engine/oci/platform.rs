//! Platforms of images and engines (OCI image specification, "platform").

use std::fmt;

use serde::{Deserialize, Serialize};

/// The platform of an image. Imported images may not give any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
}

/// Processors with others whose programs they run without emulation.
const RUN_BY: [(&str, &str); 2] = [("amd64", "386"), ("arm64", "arm")];

impl Platform {
    /// Whether an image has the platform that was asked for, or else runs on the engine's own (`os/architecture`). Many
    /// images for ARM give no variant; images without any platform are taken to be the engine's own, as every engine
    /// does.
    pub(crate) fn fits(&self, asked: Option<&str>, own: &str) -> bool {
        let part = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
        let [os, architecture, variant] =
            [&self.os, &self.architecture, &self.variant].map(|text| part(text));
        let mut wanted = asked.unwrap_or(own).split('/').map(str::to_owned);
        let [wanted_os, wanted_architecture, wanted_variant] = [wanted.next(), wanted.next(), wanted.next()];
        if asked.is_some() {
            return os == wanted_os
                && architecture == wanted_architecture
                && (variant.is_none() || wanted_variant.is_none() || variant == wanted_variant);
        }
        let runs = |found: &str| {
            let wanted = wanted_architecture.as_deref().unwrap_or_default();
            wanted == found || RUN_BY.contains(&(wanted, found))
        };
        os.is_none_or(|os| wanted_os == Some(os)) && architecture.is_none_or(|found| runs(&found))
    }
}

impl Platform {
    /// Parses `os/architecture[/variant]`.
    pub(crate) fn of(text: &str) -> Self {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let [os, architecture, variant] = [(); 3].map(|()| parts.next().unwrap_or_default());
        Self { architecture, os, variant }
    }

    /// As text; the engine's own if the image gives none.
    pub(crate) fn or(&self, own: &str) -> String {
        if self.os.is_empty() || self.architecture.is_empty() { own.to_owned() } else { self.to_string() }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_for(os: &str, architecture: &str, variant: &str) -> Platform {
        Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    #[test]
    fn platforms_are_told_apart() {
        let fits =
            |asked, os, architecture, variant| made_for(os, architecture, variant).fits(asked, "linux/amd64");
        assert!(fits(None, "linux", "amd64", ""));
        assert!(fits(None, "linux", "386", ""), "an amd64 runs it");
        assert!(!fits(Some("linux/amd64"), "linux", "386", ""), "but is not what was asked for");
        assert!(!fits(None, "linux", "arm64", "v8") && !fits(None, "windows", "amd64", ""));
        assert!(fits(Some("linux/arm64"), "linux", "arm64", "v8"));
        assert!(fits(Some("linux/arm/v7"), "linux", "arm", "v7"));
        assert!(fits(Some("linux/arm/v7"), "linux", "arm", ""));
        assert!(!fits(Some("linux/arm/v7"), "linux", "arm", "v6"));
        assert!(fits(None, "linux", "", "") && !fits(Some("linux/amd64"), "linux", "", ""));
    }
}
