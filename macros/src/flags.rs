//! Names that flags of a pipeline cannot have, as each pipeline's command line has flags of its own.
//!
//! As `rules.rs`: one file for both crates (the runtime's is a link to this one).

use crate::rules::Problem;

/// Every flag that a command which evaluates a pipeline has, or is to have.
pub(crate) const LONG: [&str; 26] = [
    "cache",
    "cache-from",
    "cache-to",
    "color",
    "dot",
    "engine",
    "events",
    "files",
    "follow",
    "help",
    "interactive",
    "jobs",
    "json",
    "junit",
    "keep-going",
    "mermaid",
    "output",
    "partition",
    "progress",
    "quiet",
    "report",
    "skip",
    "svg",
    "trace",
    "verbose",
    "watch",
];

/// The same for flags of one letter.
pub(crate) const SHORT: [char; 7] = ['f', 'h', 'i', 'j', 'o', 'q', 'v'];

/// Whether a flag of a pipeline may have this name.
pub(crate) fn name(name: &str) -> Result<(), Problem> {
    if LONG.contains(&name) {
        let message = format!("`--{name}` is a flag of every pipeline");
        return Err(Problem::new(message).help("another name"));
    }
    let is_word =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !name.split('-').all(is_word) {
        let message = format!("`{name}` is no name of a flag");
        return Err(Problem::new(message).help("letters and digits, in words that are joined by `-`"));
    }
    Ok(())
}

/// Whether a flag of a pipeline may have this letter.
pub(crate) fn short(letter: char) -> Result<(), Problem> {
    if SHORT.contains(&letter) {
        let message = format!("`-{letter}` is a flag of every pipeline");
        return Err(Problem::new(message).help("another letter"));
    }
    if !letter.is_ascii_alphanumeric() {
        return Err(Problem::new(format!("`-{letter}` is no flag")).help("a letter or a digit"));
    }
    Ok(())
}
