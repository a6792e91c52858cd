//! Takes secrets out of a stream: as they are and in base64, wherever the stream's pieces are cut.
//!
//! Whatever is written is kept back only as long as it may be the beginning of a secret, so a scrubber holds less than
//! the longest secret's length and never a whole stream.

use std::sync::Arc;

use data_encoding::BASE64;

use crate::Error;

/// What is written in a secret's place.
const MASK: &[u8] = b"***";
/// A base64 text of a secret is told by the part that does not depend on what stands around it. Where that is shorter
/// than this, it would hide innocent text, and gives a guesser nothing.
const SHORTEST_BASE64: usize = 4;

/// What must not be seen. Empty where there are no secrets.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets {
    /// Longest first, so that a secret that holds another one is hidden whole.
    patterns: Arc<[Pattern]>,
}

/// Not shown by `Debug`.
struct Pattern(Vec<u8>);

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Secrets {
    /// Hides these; an empty one hides nothing.
    pub(super) fn new<'a>(contents: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        for secret in contents {
            // What tools print of a file that ends in a newline is the line.
            let line = secret.strip_suffix(b"\n").unwrap_or(secret);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            for text in [secret, line] {
                if text.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    patterns.push(text.to_vec());
                    patterns.extend(in_base64(text));
                }
            }
        }
        patterns.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        patterns.dedup();
        Self { patterns: patterns.into_iter().map(Pattern).collect() }
    }

    /// An engine's error without them: it may repeat what it was given.
    pub(super) fn scrub_error(&self, error: Error) -> Error {
        match error {
            Error::Engine { what, message } => {
                Error::Engine { what: self.scrub_text(&what), message: self.scrub_text(&message) }
            }
            other => other,
        }
    }

    /// A text without them, for messages.
    pub(super) fn scrub_text(&self, text: &str) -> String {
        let mut scrubber = Scrubber::new(self);
        let mut clean = scrubber.push(text.as_bytes());
        clean.extend(scrubber.finish());
        String::from_utf8_lossy(&clean).into_owned()
    }
}

/// The parts of a secret's base64 text that are the same whatever stands around it, at each of the three alignments.
/// The URL alphabet differs in two letters.
fn in_base64(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for before in 0..3 {
        let mut padded = vec![0; before];
        padded.extend_from_slice(secret);
        let text = BASE64.encode(&padded).into_bytes();
        // The first letters hold bits of what stands before, the last one bits of what stands behind.
        let from = (before * 8).div_ceil(6);
        let to = padded.len() * 8 / 6;
        if let Some(own) = text.get(from..to).filter(|own| own.len() >= SHORTEST_BASE64) {
            let for_urls = own.iter().map(|letter| match letter {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            });
            found.push(for_urls.collect());
            found.push(own.to_vec());
        }
    }
    found
}

/// Scrubs one stream.
#[derive(Debug)]
pub(super) struct Scrubber {
    secrets: Secrets,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl Scrubber {
    pub(super) fn new(secrets: &Secrets) -> Self {
        Self { secrets: secrets.clone(), held: Vec::new() }
    }

    /// What may be shown, now that this piece has come.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.secrets.patterns.is_empty() {
            return piece.to_vec();
        }
        self.held.extend_from_slice(piece);
        self.release(false)
    }

    /// The rest, at the end of the stream.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.release(true)
    }

    fn release(&mut self, at_end: bool) -> Vec<u8> {
        let mut clean = Vec::with_capacity(self.held.len());
        let mut rest = self.held.as_slice();
        while let Some((first, after)) = rest.split_first() {
            let patterns = || self.secrets.patterns.iter().map(|pattern| pattern.0.as_slice());
            // A longer secret may still come of what a shorter one matches already.
            if !at_end && patterns().any(|pattern| pattern.len() > rest.len() && pattern.starts_with(rest)) {
                break;
            }
            if let Some(pattern) = patterns().find(|pattern| rest.starts_with(pattern)) {
                clean.extend_from_slice(MASK);
                rest = rest.get(pattern.len()..).unwrap_or_default();
            } else {
                clean.push(*first);
                rest = after;
            }
        }
        self.held = rest.to_vec();
        clean
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrub<'a>(secrets: &Secrets, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut scrubber = Scrubber::new(secrets);
        let mut clean = Vec::new();
        for piece in pieces {
            clean.extend(scrubber.push(piece));
            let longest = secrets.patterns.first().map_or(0, |pattern| pattern.0.len());
            assert!(scrubber.held.len() < longest.max(1), "more is held than a secret's beginning");
        }
        clean.extend(scrubber.finish());
        clean
    }

    fn contains(text: &[u8], part: &[u8]) -> bool {
        text.windows(part.len()).any(|window| window == part)
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            secrets in prop::collection::vec("[abc]{0,5}", 0..3), text in "[abc]{0,40}", cut in 1..8usize,
        ) {
            let secrets = Secrets::new(secrets.iter().map(String::as_bytes));
            let whole = scrub(&secrets, [text.as_bytes()]);
            prop_assert_eq!(scrub(&secrets, text.as_bytes().chunks(cut)), whole);
        }

        #[test]
        fn no_secret_is_left(
            secret in prop::collection::vec(any::<u8>(), 4..30),
            before in prop::collection::vec(any::<u8>(), 0..9), after in prop::collection::vec(any::<u8>(), 0..9),
            cut in 1..12usize,
        ) {
            prop_assume!(secret.iter().any(|byte| !byte.is_ascii_whitespace()));
            let secrets = Secrets::new([secret.as_slice()]);
            let plain = [before.as_slice(), &secret, &after].concat();
            let clean = scrub(&secrets, plain.chunks(cut));
            prop_assert!(contains(&clean, MASK));
            prop_assert!(!contains(&clean, &secret));
            // In base64 all that is left are the letters that hold less than a whole byte of it at its ends.
            let encoded = BASE64.encode(&plain).into_bytes();
            let clean = scrub(&secrets, encoded.chunks(cut));
            prop_assert!(contains(&clean, MASK));
            prop_assert!(clean.len() <= encoded.len() + MASK.len() - (secret.len() * 8 / 6 - 2));
        }

        #[test]
        fn text_without_a_secret_is_left_alone(text in prop::collection::vec(any::<u8>(), 0..60), cut in 1..8usize) {
            let none = Secrets::new([&b""[..], b"\n"]);
            prop_assert_eq!(&scrub(&none, text.chunks(cut)), &text);
            let lower: Vec<u8> = text.iter().map(|byte| byte | 0x80).collect();
            let secrets = Secrets::new([&b"token"[..]]);
            prop_assert_eq!(&scrub(&secrets, lower.chunks(cut)), &lower);
        }
    }

    #[test]
    fn a_secret_inside_another_is_hidden_with_it() {
        let secrets = Secrets::new([&b"pass"[..], b"passphrase"]);
        assert_eq!(secrets.scrub_text("pass passphrase passphras"), "*** *** ***phras");
        assert_eq!(Secrets::new([&b"line\n"[..]]).scrub_text("a line, b"), "a ***, b");
    }
}
