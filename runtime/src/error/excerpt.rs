//! The last lines of what was written, as errors show them. Errors keep more than they show.

use std::ffi::OsString;
use std::fmt;
use std::sync::OnceLock;

use super::{Error, Result, shown};

/// The variable that says how many lines of each stream errors show.
const VARIABLE: &str = "BOWLINE_ERROR_LINES";
/// How many that are unless it says otherwise.
const DEFAULT: usize = 40;

/// How many of the last lines of a stream an error shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Most {
    Lines(usize),
    All,
    /// None, and no word of them: they have just been shown.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only a command line shows them elsewhere"))]
    Elsewhere,
}

impl Most {
    /// What the variable says. Read once, as all errors of a program look alike. Where it means nothing, nothing has run
    /// that could write: see [`check_lines`].
    pub(super) fn wanted() -> Self {
        static WANTED: OnceLock<Most> = OnceLock::new();
        *WANTED.get_or_init(|| Self::of(std::env::var_os(VARIABLE)).unwrap_or(Self::Lines(DEFAULT)))
    }

    /// What a value of the variable means; the value itself if that is nothing.
    fn of(value: Option<OsString>) -> Result<Self, String> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(Self::Lines(DEFAULT)) };
        let value = value.to_string_lossy().into_owned();
        if value.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        value.parse().map(Self::Lines).map_err(|_| value)
    }
}

/// Checks the variable, before anything runs.
pub(crate) fn check_lines() -> Result<()> {
    let wrong = |value: String| {
        let value = shown(&value);
        let message =
            format!("{VARIABLE}={value} means nothing: it may be a number of lines, 0 for none, or `all`");
        Error::invalid(None, message)
    };
    Most::of(std::env::var_os(VARIABLE)).map(drop).map_err(wrong)
}

/// The beginning of the mark before text whose own beginning is not kept.
const MARK: &str = "[the first ";

/// The mark before text whose beginning is not kept.
pub(crate) fn cut_mark(bytes: u64) -> String {
    format!("{MARK}{bytes} bytes are cut]\n")
}

/// Writes the last lines of a stream behind its name; nothing if there are none.
pub(super) fn stream(f: &mut fmt::Formatter<'_>, name: &str, text: &str, most: Most) -> fmt::Result {
    let text = shown(text.trim_end_matches('\n'));
    if text.is_empty() || most == Most::Elsewhere {
        return Ok(());
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let are_all = !text.starts_with(MARK);
    write!(f, "\n{name}{}", Shown::of(lines.len(), are_all, most))?;
    last(&lines, most).iter().try_for_each(|line| write!(f, "\n{line}"))
}

/// Writes the last lines that a service wrote.
pub(super) fn log(f: &mut fmt::Formatter<'_>, lines: &[String], most: Most) -> fmt::Result {
    if most == Most::Elsewhere {
        return Ok(());
    }
    if lines.is_empty() {
        return f.write_str("\nit wrote nothing");
    }
    write!(f, "\nits last lines{}", Shown::of(lines.len(), true, most))?;
    last(lines, most).iter().try_for_each(|line| write!(f, "\n  {}", shown(line)))
}

fn last<T>(lines: &[T], most: Most) -> &[T] {
    let from = match most {
        Most::Lines(most) => lines.len().saturating_sub(most),
        Most::All => 0,
        Most::Elsewhere => lines.len(),
    };
    lines.get(from..).unwrap_or_default()
}

/// How much of something is shown, behind its name.
enum Shown {
    All,
    Last {
        shown: usize,
        /// How many there are, in words.
        of: String,
    },
}

impl Shown {
    fn of(lines: usize, are_all: bool, most: Most) -> Self {
        match most {
            Most::Lines(shown) if shown < lines => {
                // One of them is the mark.
                let of = if are_all { lines.to_string() } else { format!("more than {}", lines - 1) };
                Self::Last { shown, of }
            }
            Most::Lines(_) | Most::All | Most::Elsewhere => Self::All,
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(":"),
            Self::Last { shown: 0, of } => write!(f, ": {of} lines, not shown ({VARIABLE}=0)"),
            Self::Last { shown, of } => {
                write!(f, " (the last {shown} of {of} lines; {VARIABLE}=all shows all):")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stream<'a>(&'a str, Most);

    impl fmt::Display for Stream<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            stream(f, "stdout", self.0, self.1)
        }
    }

    struct Log<'a>(&'a [String], Most);

    impl fmt::Display for Log<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            log(f, self.0, self.1)
        }
    }

    #[test]
    fn the_variable_is_a_number_or_all_and_anything_else_is_told() {
        let of = |value: &str| Most::of(Some(value.into()));
        assert_eq!(Most::of(None), Ok(Most::Lines(40)));
        assert_eq!(of(""), Ok(Most::Lines(40)));
        assert_eq!(of("0"), Ok(Most::Lines(0)));
        assert_eq!(of("7"), Ok(Most::Lines(7)));
        assert_eq!(of("ALL"), Ok(Most::All));
        for wrong in ["none", "-1", "4.5", " 7", "99999999999999999999999"] {
            assert_eq!(of(wrong), Err(wrong.to_owned()));
        }
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let text = "1\n2\n3\n\n";
        assert_eq!(Stream(text, Most::Lines(3)).to_string(), "\nstdout:\n1\n2\n3");
        assert_eq!(
            Stream(text, Most::Lines(2)).to_string(),
            "\nstdout (the last 2 of 3 lines; BOWLINE_ERROR_LINES=all shows all):\n2\n3"
        );
        assert_eq!(
            Stream(text, Most::Lines(0)).to_string(),
            "\nstdout: 3 lines, not shown (BOWLINE_ERROR_LINES=0)"
        );
        let cut = format!("{}{text}", cut_mark(5));
        assert_eq!(
            Stream(&cut, Most::Lines(1)).to_string(),
            "\nstdout (the last 1 of more than 3 lines; BOWLINE_ERROR_LINES=all shows all):\n3"
        );
        assert_eq!(Stream("", Most::Lines(0)).to_string(), "");
        let lines = ["a".to_owned(), "b\x1b[2J".to_owned()];
        assert_eq!(Log(&lines, Most::All).to_string(), "\nits last lines:\n  a\n  b");
        assert_eq!(
            Log(&lines, Most::Lines(1)).to_string(),
            "\nits last lines (the last 1 of 2 lines; BOWLINE_ERROR_LINES=all shows all):\n  b"
        );
        assert_eq!(Log(&[], Most::All).to_string(), "\nit wrote nothing");
    }
}
