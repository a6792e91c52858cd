//! Makes foreign text safe for a terminal. Containers, images and engines are not trusted, and a terminal obeys control
//! sequences: they can move the cursor over earlier text, fill the clipboard, write backwards, or answer as if somebody
//! had typed.

#[cfg(unix)]
pub(crate) mod mode;
#[cfg(unix)]
pub(crate) mod undo;
mod width;

use std::borrow::Cow;

pub(crate) use self::width::fit;

/// Resets all colours.
const RESET: &str = "\x1b[0m";

/// What happens to colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    Removed,
    /// They stay, and are reset at the end of the text.
    Kept,
}

/// A text without colours, as [`clean`] shows it.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    clean(text, Colours::Removed)
}

/// Reduces a text to what can be seen, with its lines and tabs. Control characters, whole control sequences, and marks
/// that change the direction of the surrounding text are removed. A carriage return within a line becomes a space.
pub(crate) fn clean(text: &str, colours: Colours) -> Cow<'_, str> {
    // The fast path, for most texts: std's own search is fast in every build.
    if text.is_ascii() && !text.bytes().any(|byte| is_control(char::from(byte))) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut is_coloured = false;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        rest = match letter {
            '\x1b' => match sequence(after) {
                Some((Sequence::Colour, end)) if colours == Colours::Kept => {
                    shown.push('\x1b');
                    shown.push_str(&after[..end]);
                    is_coloured = true;
                    &after[end..]
                }
                Some((_, end)) => &after[end..],
                // An incomplete sequence without its ESC is plain text.
                None => after,
            },
            '\r' if after.is_empty() || after.starts_with('\n') => after,
            '\r' => {
                shown.push(' ');
                after
            }
            _ if is_control(letter) || turns_around(letter) => after,
            _ => {
                shown.push(letter);
                after
            }
        };
    }
    if is_coloured {
        shown.push_str(RESET);
    }
    Cow::Owned(shown)
}

fn is_control(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t')
}

/// Unicode's bidirectional controls, except those needed within words.
fn turns_around(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[derive(Debug, PartialEq, Eq)]
enum Sequence {
    /// ECMA-48, SGR: colours, bold and the like.
    Colour,
    Other,
}

/// Parses what follows an ESC, and finds its end (ECMA-48, 5.3 to 5.6); `None` if the sequence is incomplete.
fn sequence(text: &str) -> Option<(Sequence, usize)> {
    let bytes = text.as_bytes();
    match bytes.first()? {
        b'[' => {
            let end = 1 + bytes.get(1..)?.iter().position(|byte| !(0x20..=0x3f).contains(byte))?;
            let last = *bytes.get(end)?;
            let parameters = &bytes[1..end];
            let is_plain = parameters.iter().all(|byte| byte.is_ascii_digit() || b";:".contains(byte));
            // 8 conceals text.
            let shows = || parameters.split(|byte| b";:".contains(byte)).all(|number| number != b"8");
            let kind = if last == b'm' && is_plain && shows() { Sequence::Colour } else { Sequence::Other };
            (0x40..=0x7e).contains(&last).then_some((kind, end + 1))
        }
        // Control strings: DCS, SOS, OSC, PM and APC, up to ST, or to BEL as in xterm.
        b'P' | b'X' | b']' | b'^' | b'_' => {
            let ends =
                ["\x1b\\", "\x07", "\u{9c}"].iter().filter_map(|end| Some(text.find(end)? + end.len()));
            Some((Sequence::Other, ends.min()?))
        }
        0x20..=0x2f => {
            let end = bytes.iter().position(|byte| !(0x20..=0x2f).contains(byte))?;
            (0x30..=0x7e).contains(bytes.get(end)?).then_some((Sequence::Other, end + 1))
        }
        0x30..=0x7e => Some((Sequence::Other, 1)),
        _ => None,
    }
}

/// The size of the terminal that a file is, as columns and rows; `None` if it is none, or does not know.
#[cfg(unix)]
#[allow(unsafe_code)]
pub(crate) fn size(terminal: impl std::os::fd::AsFd) -> Option<(u16, u16)> {
    use std::os::fd::AsRawFd as _;
    let mut size = std::mem::MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the call writes it, or fails; zeros are a size too.
    let size = unsafe {
        if libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) != 0 {
            return None;
        }
        size.assume_init()
    };
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Whether the terminal is another program's at the moment, as a shell's jobs have it.
#[cfg(unix)]
#[allow(unsafe_code)]
pub(crate) fn is_in_background(terminal: impl std::os::fd::AsFd) -> bool {
    use std::os::fd::AsRawFd as _;
    // SAFETY: plain calls. The first fails for a terminal that is not the program's controlling one.
    let foreground = unsafe { libc::tcgetpgrp(terminal.as_fd().as_raw_fd()) };
    foreground > 0 && foreground != unsafe { libc::getpgrp() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_gone() {
        let cases = [
            ("plain ä 漢字 \t|", "plain ä 漢字 \t|"),
            ("two\nlines\r\n", "two\nlines\n"),
            ("10 %\r20 %\r", "10 % 20 %"),
            ("a\x1b]52;c;cm0gLXJmIC8=\x07b", "ab"),
            ("a\x1b]0;title\x1b\\b\u{9d}8;;http://x\u{9c}c", "ab8;;http://xc"),
            ("\x1b[2J\x1b[1;1Hfake\x1b[?1049h\x1b7\x1b(0\x1bc", "fake"),
            ("a\x08\x08\x7f\0b\x1b", "ab"),
            ("\u{9b}31mred\u{90}", "31mred"),
            ("\x1bP+q\x1b\\\x1b_x\x1b\\\x1b^y\x1b\\z", "z"),
            ("not whole \x1b]52;c;x", "not whole ]52;c;x"),
            ("if \u{202e}ton\u{202c} \u{2066}x\u{2069}", "if ton x"),
            ("\x1b[31mred\x1b[0m", "red"),
        ];
        for (text, shown) in cases {
            assert_eq!(clean(text, Colours::Removed), shown, "{text:?}");
        }
    }

    #[test]
    fn colours_may_stay_and_end_with_the_text() {
        let keep = |text| clean(text, Colours::Kept).into_owned();
        assert_eq!(keep("\x1b[1;38:5:12mblue"), "\x1b[1;38:5:12mblue\x1b[0m");
        assert_eq!(keep("\x1b[8mhidden\x1b[?25lx\x1b[>4;1my"), "hiddenxy");
        assert_eq!(keep("plain"), "plain");
    }

    proptest! {
        #[test]
        fn nothing_is_left_of_any_text(text in "(\\PC|\\x1b|[\\x00-\\x1f]|[\u{80}-\u{9f}]|\\[|\\]|[0-9;]|m|P|\u{202e}){0,40}") {
            let shown = clean(&text, Colours::Removed);
            prop_assert!(!shown.chars().any(|letter| is_control(letter) || turns_around(letter)), "{shown:?}");
            let coloured = clean(&text, Colours::Kept);
            let without = coloured.replace('\x1b', "");
            prop_assert!(!without.chars().any(|letter| is_control(letter) || turns_around(letter)), "{shown:?}");
            for (at, _) in coloured.match_indices('\x1b') {
                prop_assert!(matches!(sequence(&coloured[at + 1..]), Some((Sequence::Colour, _))), "{coloured:?}");
            }
        }
    }
}
