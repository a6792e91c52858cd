//! The canonical encoding that identities are hashed over.
//!
//! Every piece is preceded by its length (8 bytes, little endian), every list by its count, every node by its kind, and
//! the whole by the encoding's version: two different definitions never encode alike, whatever bytes they hold. What must
//! not count as a difference (the order of variables, for example) is sorted by the caller.

use crate::model::Digest;
use crate::sha256::Sha256;

/// Changes with the encoding, so that no identity of an older encoding is taken for one of this.
const VERSION: &str = "bowline 3";

pub(crate) struct Encoder {
    /// The hash of everything encoded so far.
    hash: Sha256,
    /// The hashes of the fields encoded so far.
    fields: Fields,
}

/// The fields of a node by name, each with a hash of its contents: they show why two nodes differ.
pub(crate) type Fields = Vec<(&'static str, Digest)>;

impl Encoder {
    /// Starts the encoding of a node of this kind.
    pub(crate) fn new(kind: &str) -> Self {
        let mut encoder = Self::piece();
        encoder.text(VERSION);
        encoder.text(kind);
        encoder
    }

    /// Encodes one field: its name, and a hash of what `write` encodes. An empty field is encoded too.
    pub(crate) fn field(&mut self, name: &'static str, write: impl FnOnce(&mut Self) -> &mut Self) {
        let mut field = Self::piece();
        write(&mut field);
        let digest = field.finish();
        self.text(name).digest(digest);
        self.fields.push((name, digest));
    }

    fn piece() -> Self {
        Self { hash: Sha256::new(), fields: Fields::new() }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn digest(&mut self, digest: Digest) -> &mut Self {
        self.bytes(&digest.0)
    }

    /// Encodes an optional value as a list of none or one.
    pub(crate) fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            None => self.list(0),
            Some(value) => write(self.list(1), value),
        }
    }

    pub(crate) fn optional_text(&mut self, text: Option<&str>) -> &mut Self {
        self.optional(text, |encoder, text| encoder.text(text))
    }

    pub(crate) fn optional_texts(&mut self, texts: Option<&[String]>) -> &mut Self {
        self.optional(texts, |encoder, texts| encoder.texts(texts.iter().map(String::as_str)))
    }

    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.list(usize::from(flag))
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Begins a list of this many entries.
    pub(crate) fn list(&mut self, count: usize) -> &mut Self {
        self.hash.update((count as u64).to_le_bytes());
        self
    }

    pub(crate) fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) -> &mut Self {
        self.list(texts.len());
        for text in texts {
            self.text(text);
        }
        self
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.hash.finalize())
    }

    /// The digest, with the fields that were encoded, in their order.
    pub(crate) fn finish_with_fields(self) -> (Digest, Fields) {
        (Digest(self.hash.finalize()), self.fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(list: &[String]) -> Digest {
        let mut encoder = Encoder::new("test");
        encoder.texts(list.iter().map(String::as_str));
        encoder.finish()
    }

    proptest! {
        #[test]
        fn different_lists_differ(a in prop::collection::vec(".{0,4}", 0..4), b in prop::collection::vec(".{0,4}", 0..4)) {
            prop_assert_eq!(a == b, encode(&a) == encode(&b));
        }
    }

    #[test]
    fn kinds_differ() {
        assert_ne!(Encoder::new("a").finish(), Encoder::new("b").finish());
    }
}
