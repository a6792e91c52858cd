//! Patterns that name files below a directory, by the rules of `.dockerignore` (Docker's build reference,
//! ".dockerignore file"; moby, `patternmatcher`).

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use crate::rules::Problem;

/// A list of patterns; the last one that matches decides.
#[derive(Debug, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    glob: GlobMatcher,
    sense: Sense,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    Names,
    /// `!pattern`: makes an exception from earlier patterns.
    TakesBack,
}

/// Whether a pattern is valid.
pub(crate) fn check(pattern: &str) -> Result<(), Problem> {
    parse(pattern).map(drop)
}

/// `None` for a pattern without content, such as a blank line.
fn parse(text: &str) -> Result<Option<Pattern>, Problem> {
    let trimmed = text.trim();
    let (sense, pattern) = match trimmed.strip_prefix('!') {
        Some(rest) => (Sense::TakesBack, rest.trim()),
        None => (Sense::Names, trimmed),
    };
    let pattern = pattern.trim_start_matches("./").trim_matches('/');
    if pattern.is_empty() || pattern == "." {
        return Ok(None);
    }
    if pattern.split('/').any(|part| part == "..") {
        let problem = Problem::new(format!("pattern `{text}` leads out of the directory"));
        return Err(problem.help("patterns are relative to the directory itself"));
    }
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    let glob = glob.map_err(|error| {
        Problem::new(format!("invalid pattern `{text}`: {}", error.kind()))
            .help("for example `target`, `*.log` or `**/node_modules`")
    })?;
    Ok(Some(Pattern { glob: glob.compile_matcher(), sense }))
}

impl Patterns {
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, Problem> {
        patterns
            .into_iter()
            .filter_map(|pattern| parse(pattern).transpose())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Parses a `.dockerignore` file: one pattern a line, `#` starts a comment.
    pub(crate) fn of_file(text: &str) -> Result<Self, Problem> {
        let text = text.trim_start_matches('\u{feff}');
        Self::new(text.lines().filter(|line| !line.starts_with('#')))
    }

    /// Whether the list names a path relative to the directory, or a directory that contains the path.
    pub(crate) fn name(&self, path: &Path) -> bool {
        let deciding = self.0.iter().rev().find(|pattern| {
            path.ancestors().any(|part| !part.as_os_str().is_empty() && pattern.glob.is_match(part))
        });
        deciding.is_some_and(|pattern| pattern.sense == Sense::Names)
    }

    /// Whether there is no exception, so that everything below a named directory is named too.
    pub(crate) fn take_nothing_back(&self) -> bool {
        self.0.iter().all(|pattern| pattern.sense == Sense::Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(patterns: &[&str], path: &str) -> bool {
        Patterns::new(patterns.iter().copied()).unwrap().name(Path::new(path))
    }

    #[test]
    fn patterns_start_at_the_root_and_name_what_is_below() {
        assert!(named(&["target"], "target/debug/app"));
        assert!(!named(&["target"], "sub/target"));
        assert!(named(&["**/target"], "sub/target/x") && named(&["**/target"], "target"));
        assert!(named(&["*.log"], "a.log") && !named(&["*.log"], "sub/a.log"));
        assert!(named(&["sub/*.log"], "sub/a.log") && !named(&["sub/*.log"], "sub/deep/a.log"));
        assert!(named(&["/a/"], "a/b") && named(&["./a"], "a"));
        assert!(named(&["[ab]?"], "ax") && !named(&["[ab]?"], "cx"));
        assert!(!named(&[], "a") && !named(&["", ".", "#"], "a"));
    }

    #[test]
    fn the_last_that_matches_decides() {
        assert!(named(&["*", "!keep"], "a") && !named(&["*", "!keep"], "keep"));
        assert!(!named(&["dir", "!dir/keep"], "dir/keep/x") && named(&["dir", "!dir/keep"], "dir/other"));
        assert!(named(&["!a", "a"], "a"));
        assert!(!Patterns::new(["dir", "!dir/keep"]).unwrap().take_nothing_back());
    }

    #[test]
    fn a_file_has_comments_and_blank_lines() {
        let patterns = Patterns::of_file("\u{feff}# all\n\n *.log  \n!keep.log\r\n").unwrap();
        assert!(patterns.name(Path::new("a.log")) && !patterns.name(Path::new("keep.log")));
    }

    #[test]
    fn mistakes_name_the_pattern() {
        let error = check("../up").unwrap_err().to_string();
        assert!(error.starts_with("pattern `../up` leads out of the directory"), "{error}");
        let error = check("[a").unwrap_err().to_string();
        assert!(error.starts_with("invalid pattern `[a`"), "{error}");
    }
}
