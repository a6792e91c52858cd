//! Why a step runs: what has changed since its last result.

use std::sync::Arc;

use super::memory::Memory;
use crate::graph::{Asked, Change, Contents, Ingredients, Recorder};

/// How many changes are named, and how many files of each.
const MOST: usize = 5;

/// Why a step runs of which nothing has changed.
pub(super) const RENEWED: &str = "what it is made of runs again";

/// What becomes of a step.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Its result is there.
    Cached,
    /// It runs in every session.
    Uncached,
    /// There has been no result of it.
    New,
    /// Its result is not young enough, or is made of what has to run again.
    Stale(String),
    /// Nothing has changed, and the engine has its result no longer.
    Evicted,
    /// This has changed.
    Changed(Vec<String>),
}

impl Verdict {
    /// That of a step without a result.
    pub(super) fn of_missed(memory: &Memory, (item, number): (&str, usize), asked: &Asked) -> Self {
        let Asked { is_volatile, is_renewed, made_of, contents } = asked;
        if *is_volatile {
            return Self::Uncached;
        }
        let Some(before) = memory.step(item, number) else { return Self::New };
        let changes = made_of.changes_since(&before);
        if changes.is_empty() && *is_renewed {
            return Self::Stale(RENEWED.to_owned());
        }
        if changes.is_empty() {
            return Self::Evicted;
        }
        let mut words: Vec<String> = Vec::new();
        for change in changes {
            match change {
                Change::New(part) => words.push(format!("{part} is new")),
                Change::Gone(part) => words.push(format!("{part} is gone")),
                Change::Changed(part) => match files(made_of, contents, &before, &part, memory) {
                    Some(files) => words.extend(files),
                    None => words.push(format!("{part} changed")),
                },
            }
        }
        Self::Changed(words)
    }

    /// Why it is so.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Cached => "cached".to_owned(),
            Self::Uncached => "it is uncached, or needs what is".to_owned(),
            Self::New => "this program has no earlier result of it".to_owned(),
            Self::Evicted => "nothing changed, but the engine does not have its result any more".to_owned(),
            Self::Stale(why) => why.clone(),
            Self::Changed(words) => {
                let mut shown: Vec<&str> = words.iter().take(MOST).map(String::as_str).collect();
                let more = format!("{} more", words.len().saturating_sub(MOST));
                if words.len() > MOST {
                    shown.push(&more);
                }
                shown.join(", ")
            }
        }
    }
}

impl Recorder for Memory {
    fn record(&self, item: &str, number: usize, made_of: Ingredients, contents: Vec<Arc<dyn Contents>>) {
        self.remember(item, number, made_of, &contents);
    }

    fn why(&self, item: &str, number: usize, step: &Asked) -> String {
        Verdict::of_missed(self, (item, number), step).in_words()
    }
}

/// The files that have changed, if the part is a directory of this machine.
fn files(
    made_of: &Ingredients,
    contents: &[Arc<dyn Contents>],
    before: &Ingredients,
    part: &str,
    memory: &Memory,
) -> Option<Vec<String>> {
    let mut sources = made_of.sources.iter().zip(contents);
    let ((path, _), contents) =
        sources.find(|((path, _), _)| part.starts_with(&format!("files of {path}")))?;
    let (_, digest) = before.sources.iter().find(|(other, _)| other == path)?;
    let (changed, count) = memory.changed_files(digest, &**contents, MOST)?;
    let mut words: Vec<String> =
        changed.iter().map(|file| format!("file {} changed", path_of(path, file))).collect();
    if count > changed.len() {
        words.push(format!("{} more files of {path} changed", count - changed.len()));
    }
    (count > 0).then_some(words)
}

/// The path of a file as the pipeline has it.
fn path_of(source: &str, file: &str) -> String {
    let source = source.trim_end_matches('/');
    let is_the_file = std::path::Path::new(source).file_name().is_some_and(|name| name == file);
    if is_the_file { source.to_owned() } else { format!("{source}/{file}") }
}
