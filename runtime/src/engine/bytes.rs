//! Contents of files, passed from process to process as text.

use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize as _, Deserializer, Serializer};

use super::Written;

/// Bytes that many have.
pub(crate) mod shared {
    use super::{Arc, BASE64, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
        super::decoded(deserializer).map(Into::into)
    }
}

/// Bytes that may not be there.
pub(crate) mod optional {
    use serde::{Deserialize as _, Serialize as _};

    use super::{Arc, BASE64, Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "as serde calls it")]
    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Arc<[u8]>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| BASE64.encode(bytes)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<[u8]>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let decode = |text: String| BASE64.decode(text.as_bytes()).map(Into::into);
        text.map(decode).transpose().map_err(serde::de::Error::custom)
    }
}

/// A file's contents, wherever they are.
pub(crate) mod of_written {
    use super::{BASE64, Deserializer, Serializer, Written};

    pub(crate) fn serialize<S: Serializer>(written: &Written, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = written.to_vec().map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&BASE64.encode(&bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Written, D::Error> {
        super::decoded(deserializer).map(Into::into)
    }
}

fn decoded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64.decode(text.as_bytes()).map_err(serde::de::Error::custom)
}
