//! Identities.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32HEX_NOPAD, HEXLOWER};

/// The identity of a value: SHA-256 over a canonical encoding of everything that can change its result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// The first 26 base32hex characters (RFC 4648, section 7), lower case: a DNS label that holds 130 bits.
    pub(crate) fn hostname(&self) -> String {
        let mut name = BASE32HEX_NOPAD.encode(&self.0).to_ascii_lowercase();
        name.truncate(26);
        name
    }
}

impl fmt::Display for Digest {
    /// 64 hex digits, or fewer with a precision: `{:.12}` gives 12.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:.12}")
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|error| format!("not a digest: {error}"))?;
        bytes.try_into().map(Self).map_err(|_| "not a digest: 64 hex digits are needed".to_owned())
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
