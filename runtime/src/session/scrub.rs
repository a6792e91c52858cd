//! Removes secrets from a stream: as they are, line by line and in the usual encodings (`forms`), wherever the stream's
//! pieces are cut.
//!
//! Output is held back only while it may be the beginning of a secret, so a scrubber holds little and never a whole
//! stream. It does not find secrets that a program transformed in other ways: parts of a line, compressed or encrypted
//! text, reordered letters, columns of a hex dump.

mod forms;
mod scan;

use std::io::BufRead as _;
use std::ops::Range;
use std::sync::Arc;

use self::forms::Forms;
pub(super) use self::scan::Scanner;
use crate::Error;

/// Replaces a secret.
const MASK: &[u8] = b"***";

/// The secrets to hide; empty if there are none.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    wanted: Option<Arc<Wanted>>,
}

struct Wanted {
    /// The secrets themselves.
    contents: Vec<Vec<u8>>,
    /// Finds the forms that stand on one line.
    plain: Scanner,
    /// Finds the forms that may be wrapped, in the text without its line breaks.
    wrapped: Scanner,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Secrets {
    /// Hides these contents; an empty one hides nothing.
    pub(super) fn new<'a>(contents: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut forms = Forms::default();
        let contents: Vec<Vec<u8>> = contents.into_iter().map(<[u8]>::to_vec).collect();
        for secret in &contents {
            forms.add(secret);
        }
        let (plain, wrapped) = (Scanner::new(forms.plain), Scanner::new(forms.wrapped));
        let wanted = Wanted { contents, plain, wrapped };
        let is_empty = wanted.plain.is_empty() && wanted.wrapped.is_empty();
        Self { wanted: (!is_empty).then(|| Arc::new(wanted)) }
    }

    /// Hides these too.
    pub(super) fn and<'a>(&'a self, more: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut more = more.into_iter().peekable();
        if more.peek().is_none() {
            return self.clone();
        }
        let own = self.wanted.iter().flat_map(|wanted| wanted.contents.iter().map(Vec::as_slice));
        Self::new(own.chain(more))
    }

    /// Removes them from an engine's error, which may repeat what the engine was given.
    pub(super) fn scrub_error(&self, error: Error) -> Error {
        match error {
            // The cause contains them too and cannot be edited, so it is dropped.
            Error::Engine { what, message, locations, source: _ } => {
                let (what, message) = (self.scrub_text(&what), self.scrub_text(&message));
                Error::Engine { what, message, locations, source: None }
            }
            Error::Internal { message } => Error::Internal { message: self.scrub_text(&message) },
            other => other,
        }
    }

    /// Removes them from a command line.
    pub(super) fn scrub_args(&self, args: &[String]) -> Arc<[String]> {
        args.iter().map(|arg| self.scrub_text(arg)).collect()
    }

    /// Removes them from a text, for messages.
    pub(super) fn scrub_text(&self, text: &str) -> String {
        let mut scrubber = Scrubber::new(self);
        let mut clean = scrubber.push(text.as_bytes());
        clean.extend(scrubber.finish());
        String::from_utf8_lossy(&clean).into_owned()
    }
}

/// Scrubs one stream.
#[derive(Debug)]
pub(super) struct Scrubber {
    secrets: Secrets,
    /// Bytes that may be the beginning of a secret.
    held: Vec<u8>,
    /// How many of the held bytes belong to a secret whose mask was already written.
    covered: usize,
    /// Whether the last thing written was a mask.
    is_masked: bool,
}

impl Scrubber {
    pub(super) fn new(secrets: &Secrets) -> Self {
        Self { secrets: secrets.clone(), held: Vec::new(), covered: 0, is_masked: false }
    }

    /// Adds a piece, and returns what may be shown by now.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let Some(wanted) = self.secrets.wanted.clone() else { return piece.to_vec() };
        self.held.extend_from_slice(piece);
        let lines = Unbroken::of(&self.held);
        let unfinished = lines.place(wanted.wrapped.unfinished(&lines.text)).unwrap_or(self.held.len());
        let end = wanted.plain.unfinished(&self.held).min(unfinished);
        let found = self.found(&wanted, &lines);
        self.release(found, end)
    }

    /// The rest, at the end of the stream.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let Some(wanted) = self.secrets.wanted.clone() else { return Vec::new() };
        let found = self.found(&wanted, &Unbroken::of(&self.held));
        self.release(found, self.held.len())
    }

    /// The secrets in the held bytes, ordered by where they begin. They may overlap.
    fn found(&self, wanted: &Wanted, lines: &Unbroken) -> Vec<Range<usize>> {
        let (mut all, mut from) = (Vec::new(), 0);
        while let Some((start, length)) = wanted.plain.find(&self.held, from) {
            all.push(start..start + length);
            from = start + 1;
        }
        from = 0;
        while let Some((start, length)) = wanted.wrapped.find(&lines.text, from) {
            if let (Some(start), Some(last)) = (lines.place(start), lines.place(start + length - 1)) {
                all.push(start..last + 1);
            }
            from = start + 1;
        }
        all.sort_unstable_by_key(|found| found.start);
        all
    }

    /// Releases what stands before `end`, with one mask for secrets that touch each other.
    fn release(&mut self, found: Vec<Range<usize>>, end: usize) -> Vec<u8> {
        let mut clean = Vec::with_capacity(end);
        let mut at = self.covered;
        for secret in found.into_iter().filter(|secret| secret.start < end) {
            if secret.start > at {
                clean.extend_from_slice(&self.held[at..secret.start]);
                self.is_masked = false;
            }
            if !self.is_masked {
                clean.extend_from_slice(MASK);
                self.is_masked = true;
            }
            at = at.max(secret.end);
        }
        if at < end {
            clean.extend_from_slice(&self.held[at..end]);
            self.is_masked = false;
        }
        self.covered = at.saturating_sub(end);
        self.held.drain(..end);
        clean
    }
}

/// A text without its line breaks, except those of empty lines.
#[derive(Default)]
struct Unbroken {
    text: Vec<u8>,
    /// Where each line begins: in `text`, and in the original.
    lines: Vec<(usize, usize)>,
}

impl Unbroken {
    fn of(original: &[u8]) -> Self {
        let mut unbroken = Self { text: Vec::with_capacity(original.len()), lines: Vec::new() };
        let mut at = 0;
        while let Some(mut rest) = original.get(at..).filter(|rest| !rest.is_empty()) {
            let whole = rest;
            // `skip_until` is fast in every build, even unoptimised; reading from memory does not fail.
            let length = rest.skip_until(b'\n').unwrap_or(whole.len());
            let line = &whole[..length];
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            // At the end of a piece the `\n` of a line break may still be to come.
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            unbroken.lines.push((unbroken.text.len(), at));
            unbroken.text.extend_from_slice(if text.is_empty() && at > 0 { line } else { text });
            at += length;
        }
        unbroken
    }

    /// Maps a position in `text` to the original; `None` behind its end.
    fn place(&self, at: usize) -> Option<usize> {
        if at >= self.text.len() {
            return None;
        }
        let next = self.lines.partition_point(|(start, _)| *start <= at);
        let (start, original) = self.lines.get(next.checked_sub(1)?)?;
        Some(original + at - start)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
    use proptest::prelude::*;

    use super::*;

    fn scrub<'a>(secrets: &Secrets, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut scrubber = Scrubber::new(secrets);
        let mut clean = Vec::new();
        for piece in pieces {
            clean.extend(scrubber.push(piece));
            // Each of its letters may stand on a line of its own.
            assert!(scrubber.held.len() <= 3 * scan::LONGEST, "more is held than a secret's beginning");
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
            // All that is left of a base64 text are the letters at its ends, which hold less than a whole byte of the
            // secret.
            let encoded = BASE64.encode(&plain).into_bytes();
            let clean = scrub(&secrets, encoded.chunks(cut));
            prop_assert!(contains(&clean, MASK));
            prop_assert!(clean.len() <= encoded.len() + MASK.len() - (secret.len() * 8 / 6 - 2));
        }

        #[test]
        fn no_encoding_shows_a_secret_however_it_is_cut(
            secret in "[ -~äß€\\t]{8,60}", before in "[a-z ]{0,5}", after in "[a-z ]{0,5}",
            cut in 1..30usize, width in 1..80usize, ending in "\r?\n",
        ) {
            let text = secret.trim();
            prop_assume!(text.len() >= 8 && !text.contains("***"));
            let secrets = Secrets::new([secret.as_bytes()]);
            let plain = format!("{before}{text}{after}");
            let wrap = |text: &str| {
                let lines: Vec<&[u8]> = text.as_bytes().chunks(width).collect();
                lines.join(ending.as_bytes())
            };
            let url = |bytes: &[u8], upper: bool| -> String {
                let encode = |byte: &u8| match (byte.is_ascii_alphanumeric(), upper) {
                    (true, _) => char::from(*byte).to_string(),
                    (false, true) => format!("%{byte:02X}"),
                    (false, false) => format!("%{byte:02x}"),
                };
                // Unreserved characters stand unencoded.
                bytes.iter().map(|byte| if b"-._~".contains(byte) { char::from(*byte).to_string() } else { encode(byte) }).collect()
            };
            let shown = |encoded: &[u8]| scrub(&secrets, encoded.chunks(cut));
            for (encoded, core) in [
                (plain.clone().into_bytes(), text.as_bytes().to_vec()),
                (wrap(&HEXLOWER.encode(plain.as_bytes())), HEXLOWER.encode(text.as_bytes()).into_bytes()),
                (wrap(&HEXUPPER.encode(plain.as_bytes())), HEXUPPER.encode(text.as_bytes()).into_bytes()),
                (serde_json::to_vec(&plain).unwrap(), serde_json::to_string(text).unwrap().trim_matches('"').into()),
                (url(plain.as_bytes(), true).into_bytes(), url(text.as_bytes(), true).into()),
                (url(plain.as_bytes(), false).into_bytes(), url(text.as_bytes(), false).into()),
            ] {
                let clean = shown(&encoded);
                prop_assert!(contains(&clean, MASK), "{:?}", String::from_utf8_lossy(&encoded));
                let unbroken: Vec<u8> = clean.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
                prop_assert!(!contains(&unbroken, &core), "{:?}", String::from_utf8_lossy(&clean));
            }
            for encoding in [BASE64, BASE64URL] {
                let encoded = wrap(&encoding.encode(plain.as_bytes()));
                let clean = shown(&encoded);
                let left = |text: &[u8]| text.iter().filter(|byte| !b"\r\n".contains(byte)).count();
                prop_assert!(left(&clean) <= left(&encoded) + MASK.len() - (text.len() * 8 / 6 - 2));
            }
        }

        #[test]
        fn lines_of_a_secret_are_hidden_each_by_itself(
            lines in prop::collection::vec("[A-Za-z0-9+/]{8,30}", 1..6), cut in 1..20usize, indent in "[ \t>]{0,4}",
        ) {
            let secret = lines.join("\n") + "\n";
            let secrets = Secrets::new([secret.as_bytes()]);
            for line in &lines {
                let shown = format!("{indent}{line} \r\n");
                let clean = scrub(&secrets, shown.as_bytes().chunks(cut));
                prop_assert_eq!(String::from_utf8(clean).unwrap(), format!("{indent}*** \r\n"));
            }
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
        // Of two overlapping secrets nothing is left.
        assert_eq!(Secrets::new([&b"abcde"[..], b"defgh"]).scrub_text("abcdefgh-abcdeabcde"), "***-***");
    }

    #[test]
    fn a_key_in_a_file_is_hidden_however_it_is_printed() {
        let body = "MIIEpAIBAAKCAQEA7bq2vH0kq8m0XbX1+/ZQ5QbYhJ3Yt1s9E0oJ6d2cZ8x4m7aa";
        let key =
            format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\nd1d2d3==\nab\n-----END RSA PRIVATE KEY-----\n");
        let secrets = Secrets::new([key.as_bytes()]);
        let prints = [
            key.clone(),
            key.replace('\n', "\n    "),
            key.replace('\n', "\r\n"),
            serde_json::json!({ "key": key }).to_string(),
            key.replace('\n', "\\n").replace('/', "\\/"),
            key.replace('+', "%2B")
                .replace('/', "%2F")
                .replace('\n', "%0A")
                .replace(' ', "+")
                .replace('=', "%3D"),
            BASE64.encode(key.as_bytes()),
            HEXLOWER.encode(key.as_bytes()),
            format!("+{body}"),
        ];
        for print in prints {
            let clean = secrets.scrub_text(&print);
            let encoded =
                [body.to_owned(), BASE64.encode(body.as_bytes())[4..80].to_owned(), body.replace('/', "\\/")];
            let is_hidden = encoded.iter().all(|form| !clean.contains(form.as_str()));
            assert!(is_hidden && clean.contains("***") && clean.len() < 60, "{clean}");
        }
    }

    /// A dev build scrubs some hundred MB a second; handling every byte by itself reached one.
    #[test]
    fn scrubbing_is_fast_where_nothing_is_optimised() {
        let secrets =
            Secrets::new([&b"a-password-of-20-chars"[..], b"another\nsecret-with-lines\nof-text-in-it"]);
        let line = "the quick brown fox jumps over the lazy dog, 0123456789 times a day\n";
        let piece = line.repeat(480);
        let mut scrubber = Scrubber::new(&secrets);
        let began = std::time::Instant::now();
        let mut length = 0;
        for _ in 0..512 {
            length += scrubber.push(piece.as_bytes()).len();
        }
        length += scrubber.finish().len();
        let took = began.elapsed();
        assert_eq!(length, piece.len() * 512);
        println!("{} MB in {took:?}", length / 1_000_000);
        // 16 MB: the machine may be busy.
        assert!(took < std::time::Duration::from_secs(4), "{took:?}");
    }
}
