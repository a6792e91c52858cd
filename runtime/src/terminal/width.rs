//! How much room a text takes at a terminal.

use unicode_width::UnicodeWidthChar as _;

use super::{RESET, Sequence, sequence};

/// The start of a line that fits into this many columns, ending in `…` if something is missing. The line has been
/// [cleaned](super::clean): it has no control sequences but colours, which take no room and end with the line. A tab is a
/// space.
pub(crate) fn fit(line: &str, columns: usize) -> String {
    let mut shown = String::with_capacity(line.len().min(4 * columns) + RESET.len());
    // The length of what still fits if `…` comes behind it.
    let (mut used, mut cut_at, mut is_coloured) = (0, 0, false);
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        if letter == '\x1b' {
            rest = after;
            if let Some((Sequence::Colour, end)) = sequence(after) {
                shown.push('\x1b');
                shown.push_str(&after[..end]);
                is_coloured = true;
                rest = &after[end..];
            }
            continue;
        }
        let letter = if letter == '\t' { ' ' } else { letter };
        // None for control characters, which take no room as they are not shown.
        let width = letter.width().unwrap_or(0);
        if used + width > columns {
            shown.truncate(cut_at);
            if columns > 0 {
                shown.push('…');
            }
            break;
        }
        if used + width < columns {
            cut_at = shown.len() + letter.len_utf8();
        }
        used += width;
        shown.push(letter);
        rest = after;
    }
    if is_coloured {
        shown.push_str(RESET);
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::terminal::{Colours, clean};

    #[test]
    fn a_line_is_cut_at_the_columns_that_it_takes() {
        let cases = [
            ("short", 5, "short"),
            ("longer", 5, "long…"),
            ("漢字漢字", 8, "漢字漢字"),
            ("漢字漢字", 7, "漢字漢…"),
            ("漢字漢字", 6, "漢字…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("a\tb", 3, "a b"),
            ("\x1b[31mred and more\x1b[0m", 4, "\x1b[31mred…\x1b[0m"),
            ("x", 0, ""),
            ("", 3, ""),
        ];
        for (line, columns, shown) in cases {
            assert_eq!(fit(line, columns), shown, "{line:?} in {columns}");
        }
    }

    proptest! {
        #[test]
        fn no_line_takes_more_room_than_there_is(line in "(\\PC|\\t|\\x1b\\[31m|漢|e\u{301}|\u{200d}|👩‍🔬){0,30}", columns in 0..20usize) {
            let shown = fit(&clean(&line, Colours::Kept), columns);
            let bare = clean(&shown, Colours::Removed);
            prop_assert!(bare.chars().map(|letter| letter.to_string().width()).sum::<usize>() <= columns, "{shown:?}");
        }
    }
}
