//! Names of contents: images, their documents and their layers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::Digest;

/// The digest of some contents (OCI image specification, "digests"), as `sha256:` and 64 lower-case hex digits: every
/// registry and tool uses SHA-256. Text from outside becomes a digest only by being parsed, so a digest is never a path
/// or anything else with a further meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ContentDigest(Digest);

const ALGORITHM: &str = "sha256:";

impl ContentDigest {
    /// The digest of contents in memory.
    pub(crate) fn of(contents: &[u8]) -> Self {
        Self(Digest(crate::sha256::Sha256::digest(contents)))
    }

    /// The digest of contents that were hashed piece by piece.
    pub(crate) fn hashed(hash: crate::sha256::Sha256) -> Self {
        Self(Digest(hash.finalize()))
    }

    /// The digest without the algorithm: 64 hex digits, usable as a file name.
    pub(crate) fn hash(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.0)
    }
}

impl FromStr for ContentDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let broken = || {
            // Invalid text may be anything, and of any length.
            let start: String = text.chars().take(80).collect();
            format!("`{}` is no SHA-256 digest", start.escape_debug())
        };
        let hash = text.strip_prefix(ALGORITHM).and_then(|hex| hex.parse().ok()).ok_or_else(broken)?;
        Ok(Self(hash))
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_is_taken_for_one() {
        let hex = "0123456789abcdef".repeat(4);
        let digest: ContentDigest = format!("sha256:{hex}").parse().unwrap();
        assert_eq!(digest.to_string(), format!("sha256:{hex}"));
        for bad in [
            hex.clone(),
            String::new(),
            "sha256:".to_owned(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("SHA256:{hex}"),
            format!("sha512:{hex}"),
            format!("sha256:{hex}\n"),
            format!("sha256:../../{}", &hex[6..]),
            format!("sha256:\u{1b}[31m{}", &hex[5..]),
        ] {
            let error = bad.parse::<ContentDigest>().unwrap_err();
            assert!(error.contains("no SHA-256 digest") && !error.contains('\u{1b}'), "{bad}: {error}");
            let json = serde_json::to_string(&bad).unwrap();
            assert!(serde_json::from_str::<ContentDigest>(&json).is_err(), "{bad}");
        }
    }
}
