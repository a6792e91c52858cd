//! The canonical encoding that identities are hashed over.
//!
//! Every piece is written with its length before it (8 bytes, little endian), every list with its count, every node
//! with its kind, and the whole with the encoding's version: two different definitions never encode alike, whatever
//! bytes they hold. What must not count as a difference (order of variables, say) is sorted by the caller.

use crate::sha256::Sha256;

use crate::model::Digest;

/// Changes whenever the encoding does, so that no identity of another encoding is ever mistaken for one of this.
const VERSION: &str = "bowline 2";

pub(crate) struct Encoder(Sha256);

impl Encoder {
    /// Starts a node of this kind.
    pub(crate) fn new(kind: &str) -> Self {
        let mut encoder = Self(Sha256::new());
        encoder.text(VERSION);
        encoder.text(kind);
        encoder
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn digest(&mut self, digest: Digest) -> &mut Self {
        self.bytes(&digest.0)
    }

    pub(crate) fn optional(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            None => self.list(0),
            Some(text) => self.list(1).text(text),
        }
    }

    /// Announces a list of so many entries.
    pub(crate) fn list(&mut self, count: usize) -> &mut Self {
        self.0.update((count as u64).to_le_bytes());
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
        Digest(self.0.finalize())
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
