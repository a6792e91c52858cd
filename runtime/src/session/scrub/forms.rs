//! The forms in which programs print a secret: as it is, line by line, and in the usual encodings.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};

/// The shortest line of a multi-line secret that is hidden by itself. Shorter ones also occur in innocent text.
const SHORTEST_LINE: usize = 8;
/// A base64 text of a secret is recognised by the part that does not depend on the surrounding bytes. A part shorter than
/// this would hide innocent text, and gives a guesser nothing.
const SHORTEST_BASE64: usize = 4;
/// The shortest encoded text that is also found across line ends.
const SHORTEST_WRAPPED: usize = 8;

/// The texts to search for.
#[derive(Default)]
pub(super) struct Forms {
    /// Texts that stand on one line.
    pub(super) plain: BTreeSet<Vec<u8>>,
    /// Texts that are also found with line breaks between any two of their letters.
    pub(super) wrapped: BTreeSet<Vec<u8>>,
}

impl Forms {
    /// Adds all forms of a secret; a blank secret has none.
    pub(super) fn add(&mut self, secret: &[u8]) {
        let line = secret.strip_suffix(b"\n").unwrap_or(secret);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut texts = BTreeSet::from([secret, line, secret.trim_ascii()]);
        let lines = secret.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        texts.extend(lines.filter(|line| line.len() >= SHORTEST_LINE));
        for text in texts.into_iter().filter(|text| !text.trim_ascii().is_empty()) {
            self.plain.insert(text.to_vec());
            self.add_encoded(text);
        }
    }

    fn add_encoded(&mut self, text: &[u8]) {
        in_base64(text).for_each(|found| self.add_wrapped(found));
        if text.len() * 2 >= SHORTEST_WRAPPED {
            for hex in [HEXLOWER.encode(text), HEXUPPER.encode(text)] {
                for separator in [":", " "] {
                    self.plain.insert(separated(&hex, separator));
                }
                self.add_wrapped(hex.into_bytes());
            }
        }
        self.plain.extend(in_urls(text));
        if let Ok(text) = std::str::from_utf8(text) {
            self.plain.extend(in_json(text));
            self.plain.extend(in_html(text));
        }
    }

    fn add_wrapped(&mut self, text: Vec<u8>) {
        let place = if text.len() < SHORTEST_WRAPPED { &mut self.plain } else { &mut self.wrapped };
        place.insert(text);
    }
}

/// The parts of a secret's base64 text that do not depend on the surrounding bytes, at each of the three alignments, in
/// both alphabets: the URL alphabet differs in two letters.
fn in_base64(secret: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..3).flat_map(move |before| {
        let mut padded = vec![0; before];
        padded.extend_from_slice(secret);
        let text = BASE64.encode(&padded).into_bytes();
        // The first letters hold bits of the bytes before, the last one bits of the bytes behind.
        let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        let own = text.get(from..to).filter(|own| own.len() >= SHORTEST_BASE64).map(<[u8]>::to_vec);
        let for_urls = own.clone().map(|own| {
            let letter = |letter| match letter {
                b'+' => b'-',
                b'/' => b'_',
                other => other,
            };
            own.into_iter().map(letter).collect()
        });
        own.into_iter().chain(for_urls)
    })
}

/// `ab:cd:ef`
fn separated(hex: &str, separator: &str) -> Vec<u8> {
    let pairs: Vec<&[u8]> = hex.as_bytes().chunks(2).collect();
    pairs.join(separator.as_bytes())
}

/// Percent-encoded, in either case: libraries differ in what stays unencoded and in how a space is encoded.
fn in_urls(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    const STYLES: [(&[u8], bool); 7] = [
        (b"-._~", false),                 // RFC 3986
        (b"-._~/", false),                // Python's `quote`, paths
        (b"-._~", true),                  // Python's `quote_plus`, Go's `QueryEscape`
        (b"*-._", true),                  // HTML forms
        (b"-_.!~*'()", false),            // JavaScript's `encodeURIComponent`
        (b"-_.!~*'();/?:@&=+$,#", false), // … and `encodeURI`
        (b"-._~!$&'()*+,;=:@/", false),   // what a path may hold
    ];
    const UPPER: &[u8; 16] = b"0123456789ABCDEF";
    const LOWER: &[u8; 16] = b"0123456789abcdef";
    STYLES.into_iter().flat_map(move |(kept, plus)| {
        [UPPER, LOWER].map(|digits| {
            let mut encoded = Vec::with_capacity(text.len());
            for byte in text {
                match byte {
                    b' ' if plus => encoded.push(b'+'),
                    _ if byte.is_ascii_alphanumeric() || kept.contains(byte) => encoded.push(*byte),
                    _ => {
                        encoded.extend([
                            b'%',
                            digits[usize::from(byte >> 4)],
                            digits[usize::from(byte & 15)],
                        ]);
                    }
                }
            }
            encoded
        })
    })
}

/// As the inside of a JSON string; libraries differ in what they escape beyond what must be escaped.
fn in_json(text: &str) -> impl Iterator<Item = Vec<u8>> {
    // Slashes, as PHP does; HTML's special characters, as Go does; everything that is not ASCII, as Python does.
    const STYLES: [(bool, bool, bool); 6] = [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, false, true),
        (true, true, true),
    ];
    STYLES.into_iter().map(move |(slashes, html, ascii)| {
        let mut escaped = String::with_capacity(text.len());
        for letter in text.chars() {
            match letter {
                '"' => escaped.push_str("\\\""),
                '\\' => escaped.push_str("\\\\"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                '\u{8}' => escaped.push_str("\\b"),
                '\u{c}' => escaped.push_str("\\f"),
                '/' if slashes => escaped.push_str("\\/"),
                '<' | '>' | '&' if html => push_unicode(&mut escaped, letter),
                _ if letter < ' ' || (ascii && !letter.is_ascii()) => push_unicode(&mut escaped, letter),
                _ => escaped.push(letter),
            }
        }
        escaped.into_bytes()
    })
}

fn push_unicode(text: &mut String, letter: char) {
    for unit in letter.encode_utf16(&mut [0; 2]) {
        // Writing to a `String` never fails.
        let _ = write!(text, "\\u{unit:04x}");
    }
}

fn in_html(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    ["&#39;", "&#x27;", "&apos;"].into_iter().flat_map(move |quote| {
        let quoted = escaped.replace('\'', quote);
        [quoted.replace('"', "&quot;"), quoted.replace('"', "&#34;"), escaped.clone()].map(String::into_bytes)
    })
}
