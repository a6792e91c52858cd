//! Which items of a pipeline a command line means.

use globset::{GlobBuilder, GlobMatcher};

use super::failure::Failure;
use crate::value::Item;
use crate::{Error, terminal};

/// A pattern of names. An item has its own name and that of its field: `ping` means every item of a loop.
struct Pattern<'a> {
    text: &'a str,
    glob: GlobMatcher,
}

impl<'a> Pattern<'a> {
    fn new(text: &'a str) -> Result<Self, Failure> {
        let glob = GlobBuilder::new(text).build();
        let wrong = |error: globset::Error| {
            let message = format!("`{text}` is no glob: {}", error.kind());
            Failure::Usage(clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{message}\n")))
        };
        Ok(Self { text, glob: glob.map_err(wrong)?.compile_matcher() })
    }

    fn fits(&self, item: &Item) -> bool {
        [&item.name, &item.field].into_iter().any(|name| name == self.text || self.glob.is_match(name))
    }
}

/// The items whose names fit one of the globs, in the pipeline's order; all items if there is no glob.
pub(super) fn select<'i>(items: &'i [Item], globs: &[&str]) -> Result<Vec<&'i Item>, Failure> {
    if globs.is_empty() {
        return Ok(items.iter().collect());
    }
    let patterns: Vec<Pattern> = globs.iter().map(|glob| Pattern::new(glob)).collect::<Result<_, _>>()?;
    if let Some(useless) = patterns.iter().find(|pattern| !items.iter().any(|item| pattern.fits(item))) {
        return Err(nothing(items, useless.text));
    }
    Ok(items.iter().filter(|item| patterns.iter().any(|pattern| pattern.fits(item))).collect())
}

/// Those that fit none of the globs. A glob that fits nothing is no mistake here: nothing is to be skipped then.
pub(super) fn skip<'i>(items: Vec<&'i Item>, globs: &[&str]) -> Result<Vec<&'i Item>, Failure> {
    let patterns: Vec<Pattern> = globs.iter().map(|glob| Pattern::new(glob)).collect::<Result<_, _>>()?;
    Ok(items.into_iter().filter(|item| !patterns.iter().any(|pattern| pattern.fits(item))).collect())
}

/// The one item of a name.
pub(super) fn one<'i>(items: &'i [Item], name: &str) -> Result<&'i Item, Failure> {
    if let Some(item) = items.iter().find(|item| item.name == name) {
        return Ok(item);
    }
    match items.iter().filter(|item| item.field == name).collect::<Vec<_>>().as_slice() {
        [] => Err(nothing(items, name)),
        [one] => Ok(one),
        several => {
            let names: Vec<String> = several.iter().map(|item| format!("`{}`", shown(&item.name))).collect();
            let message = format!("`{}` is several items\n\nhelp: one of {}", shown(name), names.join(", "));
            Err(Failure::NothingMatched(message))
        }
    }
}

/// The error for an item that a command can do nothing with.
pub(super) fn unfit(item: &Item, why: &str) -> Failure {
    Failure::NothingMatched(format!("the {} `{}` {why}", item.kind(), shown(&item.name)))
}

/// The error for a name that no item has.
fn nothing(items: &[Item], name: &str) -> Failure {
    let names = items.iter().flat_map(|item| [&item.name, &item.field]);
    let near = names
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let help = match near {
        Some((_, near)) => format!("an item with a similar name exists: `{}`", shown(near)),
        None if items.is_empty() => "the pipeline has no items".to_owned(),
        None => "`list` shows the items of the pipeline".to_owned(),
    };
    Failure::NothingMatched(format!("no item is named `{}`\n\nhelp: {help}", shown(name)))
}

fn shown(name: &str) -> std::borrow::Cow<'_, str> {
    terminal::clean(name, terminal::Colours::Removed)
}

/// Which part of a list is meant: `slice:2/3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    number: usize,
    of: usize,
}

impl std::str::FromStr for Partition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::invalid(None, "expected `slice:1/3`, the first of three parts");
        let (number, of) =
            text.strip_prefix("slice:").and_then(|part| part.split_once('/')).ok_or_else(wrong)?;
        let [number, of] = [number, of].map(str::parse::<usize>);
        match (number, of) {
            (Ok(number), Ok(of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(wrong()),
        }
    }
}

impl Partition {
    /// Takes every so many, so that neighbours, which are often alike, are in different parts.
    pub(super) fn of<T>(self, all: Vec<T>) -> Vec<T> {
        let numbered = all.into_iter().enumerate();
        numbered.filter(|(index, _)| index % self.of == self.number - 1).map(|(_, one)| one).collect()
    }
}
