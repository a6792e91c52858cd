//! Patterns that name files below a directory, by the rules of `.dockerignore` (Docker's build reference,
//! ".dockerignore file"; moby, `patternmatcher`).

use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::rules::Problem;

/// A list of patterns; the last one that matches decides.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    patterns: Vec<Pattern>,
    /// The globs of all patterns, in their order.
    globs: GlobSet,
}

#[derive(Debug)]
struct Pattern {
    /// What matches its parts, if each of them stands for one part of a path.
    parts: Option<Vec<Part>>,
    sense: Sense,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// This name.
    Name(String),
    /// One name, or any.
    One,
    /// `**`: any number of names.
    Any,
}

/// The pattern that decides about a path, by its number: the last that names the path or a directory that contains it.
pub(crate) type Deciding = Option<usize>;

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
fn parse(text: &str) -> Result<Option<(Pattern, Glob)>, Problem> {
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
    Ok(Some((Pattern { parts: parts(pattern), sense }, glob)))
}

/// `None` where a part may stand for more than one part of a path, as `[!a]` and `{a,b/c}` do.
fn parts(pattern: &str) -> Option<Vec<Part>> {
    if pattern.contains(['[', '{', '\\']) {
        return None;
    }
    let part = |part: &str| match part {
        "**" => Part::Any,
        _ if part.contains(['*', '?']) => Part::One,
        _ => Part::Name(part.to_owned()),
    };
    Some(pattern.split('/').map(part).collect())
}

impl Pattern {
    /// Whether it may name something below a directory, other than by naming the directory or one that contains it.
    fn may_name_below(&self, directory: &Path) -> bool {
        let Some(parts) = &self.parts else { return true };
        let mut names = directory.iter();
        for part in parts {
            match (part, names.next()) {
                (Part::Any, _) | (_, None) => return true,
                (Part::Name(wanted), Some(name)) if name != wanted.as_str() => return false,
                _ => {}
            }
        }
        false
    }
}

impl Patterns {
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, Problem> {
        let parsed = patterns.into_iter().filter_map(|pattern| parse(pattern).transpose());
        let (patterns, globs): (Vec<_>, Vec<_>) = parsed.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            set.add(glob);
        }
        let globs = set.build().map_err(|error| {
            Problem::new(format!("the patterns are too large: {}", error.kind()))
                .help("fewer or shorter ones")
        })?;
        Ok(Self { patterns, globs })
    }

    /// Parses a `.dockerignore` file: one pattern a line, `#` starts a comment.
    pub(crate) fn of_file(text: &str) -> Result<Self, Problem> {
        let text = text.trim_start_matches('\u{feff}');
        Self::new(text.lines().filter(|line| !line.starts_with('#')))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The pattern that decides about a path, given the one that decides about the directory that contains it.
    pub(crate) fn deciding(&self, path: &Path, above: Deciding) -> Deciding {
        if self.is_empty() {
            return None;
        }
        above.max(self.globs.matches(path).into_iter().max())
    }

    /// The pattern that decides about a path.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn deciding_from_the_root(&self, path: &Path) -> Deciding {
        let parts: Vec<_> = path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        parts.into_iter().rev().fold(None, |above, path| self.deciding(path, above))
    }

    /// Whether the list names what this pattern decides about.
    pub(crate) fn names(&self, deciding: Deciding) -> bool {
        deciding
            .and_then(|number| self.patterns.get(number))
            .is_some_and(|pattern| pattern.sense == Sense::Names)
    }

    /// Whether something below a directory may be decided differently from the directory itself, by a later pattern.
    pub(crate) fn may_differ_below(&self, directory: &Path, deciding: Deciding) -> bool {
        let other = if self.names(deciding) { Sense::TakesBack } else { Sense::Names };
        let later = self.patterns.iter().skip(deciding.map_or(0, |number| number + 1));
        later.filter(|pattern| pattern.sense == other).any(|pattern| pattern.may_name_below(directory))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Patterns {
        fn name(&self, path: &Path) -> bool {
            self.names(self.deciding_from_the_root(path))
        }

        fn enters(&self, directory: &str) -> bool {
            let directory = Path::new(directory);
            let deciding = self.deciding_from_the_root(directory);
            !self.names(deciding) || self.may_differ_below(directory, deciding)
        }
    }

    fn list(patterns: &[&str]) -> Patterns {
        Patterns::new(patterns.iter().copied()).unwrap()
    }

    fn named(patterns: &[&str], path: &str) -> bool {
        list(patterns).name(Path::new(path))
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
    }

    #[test]
    fn a_directory_is_entered_where_an_exception_may_lie_below() {
        for (patterns, entered) in [
            (&["dir"][..], false),
            (&["dir", "!dir/keep"], true),
            (&["dir", "!dir/a/b/keep"], true),
            (&["dir", "!other/keep"], false),
            (&["dir", "!**/keep"], true),
            (&["dir", "!*/keep"], true),
            (&["dir", "!*"], true),
            (&["dir", "!*.md"], false),
            (&["!dir/keep", "dir"], false),
            (&["*", "!src", "!Cargo.toml"], false),
            (&["dir", "!{dir/a,b}"], true),
            (&["dir", "![d]ir/a"], true),
        ] {
            assert_eq!(list(patterns).enters("dir"), entered, "{patterns:?}");
        }
        assert!(
            !list(&["dir/*", "!dir/keep"]).enters("dir/other")
                && list(&["dir/*", "!dir/keep"]).enters("dir/keep")
        );
    }

    proptest::proptest! {
        /// What is not entered has nothing below that is not named; and numbers that are handed down say what all patterns
        /// say of all directories that contain a path.
        #[test]
        fn nothing_is_missed_where_nothing_is_entered(
            patterns in prop::collection::vec("!?(a|b|\\*\\*|\\*|a\\?|[ab]|\\{a,b/a\\})(/(a|b|\\*\\*|\\*|aa|\\[!a\\])){0,2}", 0..5),
            path in "(a|b|aa)(/(a|b|aa)){0,4}",
        ) {
            let lines: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let (list, path) = (list(&lines), Path::new(&path));
            let each: Vec<_> = lines.iter().map(|line| {
                let (names, glob) = (!line.starts_with('!'), line.trim_start_matches('!'));
                let glob = GlobBuilder::new(glob).literal_separator(true).build().unwrap().compile_matcher();
                (names, glob)
            }).collect();
            let is_named = |path: &Path| each.iter().rev()
                .find(|(_, glob)| path.ancestors().any(|part| !part.as_os_str().is_empty() && glob.is_match(part)))
                .is_some_and(|(names, _)| *names);
            prop_assert_eq!(list.name(path), is_named(path));
            for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
                if !list.enters(above.to_str().unwrap()) {
                    prop_assert!(is_named(path), "{above:?}");
                }
            }
        }
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
