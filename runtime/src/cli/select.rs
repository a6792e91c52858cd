//! Which items of a pipeline a command line means.

use globset::{GlobBuilder, GlobMatcher};

use super::failure::Failure;
use crate::terminal::plain as shown;
use crate::value::{Item, ItemExport, ItemHandle, ItemKind};
use crate::{Error, Result};

/// A pattern of names. An item has its own name and that of its field: `ping` means every item of a loop.
pub(super) struct Pattern<'a> {
    text: &'a str,
    glob: GlobMatcher,
}

impl<'a> Pattern<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, Failure> {
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

    /// The same where nothing but the item's name is known.
    pub(super) fn fits_name(&self, name: &str) -> bool {
        let number = name.strip_prefix(self.text).and_then(|rest| rest.strip_prefix('.'));
        let is_of_loop = number.is_some_and(|number| number.parse::<usize>().is_ok());
        name == self.text || is_of_loop || self.glob.is_match(name)
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

/// What a name means to a command that takes files: an item, or what one exports, by `item.export` or by the export's name
/// alone.
#[derive(Debug)]
pub(super) struct Source<'i> {
    pub(super) name: String,
    pub(super) handle: &'i ItemHandle,
    kind: ItemKind,
}

/// The item or the export of a name.
pub(super) fn source<'i>(items: &'i [Item], name: &str) -> Result<Source<'i>, Failure> {
    if has_item(items, name) {
        let item = one(items, name)?;
        return Ok(Source { name: item.name.clone(), handle: &item.handle, kind: item.kind() });
    }
    match exports(items, name).as_slice() {
        [] => Err(nothing(items, name)),
        [(item, export)] => {
            Ok(Source { name: exported(item, export), handle: &export.handle, kind: export.kind() })
        }
        several => {
            let names = several.iter().map(|(item, export)| format!("`{}`", shown(&exported(item, export))));
            let names = names.collect::<Vec<_>>().join(", ");
            let message = format!("`{}` is several exports\n\nhelp: one of {names}", shown(name));
            Err(Failure::NothingMatched(message))
        }
    }
}

/// Whether a name is that of an item or of an export.
pub(super) fn has_source(items: &[Item], name: &str) -> bool {
    has_item(items, name) || !exports(items, name).is_empty()
}

fn has_item(items: &[Item], name: &str) -> bool {
    items.iter().any(|item| item.name == name || item.field == name)
}

/// The exports that a name may mean.
fn exports<'i>(items: &'i [Item], name: &str) -> Vec<(&'i Item, &'i ItemExport)> {
    let all = items.iter().flat_map(|item| item.exports.iter().map(move |export| (item, export)));
    let is_meant = |(item, export): &(&Item, &ItemExport)| {
        let of_field = || format!("{}.{}", item.field, export.name);
        export.name == name || exported(item, export) == name || of_field() == name
    };
    all.filter(is_meant).collect()
}

/// The whole name of an export.
pub(super) fn exported(item: &Item, export: &ItemExport) -> String {
    format!("{}.{}", item.name, export.name)
}

impl Source<'_> {
    /// As [`unfit`].
    pub(super) fn unfit(&self, why: &str) -> Failure {
        Failure::NothingMatched(format!("the {} `{}` {why}", self.kind, shown(&self.name)))
    }
}

/// The error for an item that a command can do nothing with.
pub(super) fn unfit(item: &Item, why: &str) -> Failure {
    Failure::NothingMatched(format!("the {} `{}` {why}", item.kind(), shown(&item.name)))
}

/// The error for a name that no item has.
fn nothing(items: &[Item], name: &str) -> Failure {
    if let [(item, export), ..] = exports(items, name).as_slice() {
        let whole = exported(item, export);
        let message = format!(
            "no item is named `{}`\n\nhelp: `{}` exports a {} of this name: `export {} TARGET` writes it to this machine",
            shown(name),
            shown(&item.name),
            export.kind(),
            shown(&whole)
        );
        return Failure::NothingMatched(message);
    }
    let of_item = |item: &Item| {
        let exports = item.exports.iter().flat_map(|export| [export.name.clone(), exported(item, export)]);
        [item.name.clone(), item.field.clone()].into_iter().chain(exports).collect::<Vec<_>>()
    };
    let names: Vec<String> = items.iter().flat_map(of_item).collect();
    let help = match near(names.iter().map(String::as_str), name) {
        Some(near) if has_item(items, near) => {
            format!("an item with a similar name exists: `{}`", shown(near))
        }
        Some(near) => format!("an export with a similar name exists: `{}`", shown(near)),
        None if items.is_empty() => "the pipeline has no items".to_owned(),
        None => "`list` shows the items of the pipeline".to_owned(),
    };
    Failure::NothingMatched(format!("no item is named `{}`\n\nhelp: {help}", shown(name)))
}

/// The one of these names that may have been meant.
pub(super) fn near<'n>(names: impl IntoIterator<Item = &'n str>, name: &str) -> Option<&'n str> {
    let similar = names.into_iter().map(|other| (strsim::jaro_winkler(name, other), other));
    let near = similar.filter(|(similarity, _)| *similarity > 0.8).max_by(|(a, _), (b, _)| a.total_cmp(b));
    near.map(|(_, near)| near)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Container;

    fn items() -> Vec<Item> {
        let test = |name: &str| Item::new("test", Container::empty().named(name));
        vec![
            test("test.0"),
            test("test.1"),
            Item::new("a[b]", Container::empty()),
            Item::new("lint", Container::empty()),
        ]
    }

    fn names(selected: Result<Vec<&Item>, Failure>) -> Result<Vec<String>, u8> {
        let names = |items: Vec<&Item>| items.iter().map(|item| item.name.clone()).collect();
        selected.map(names).map_err(|failure| failure.code())
    }

    #[test]
    fn a_name_a_field_and_a_glob_select_in_the_order_of_the_pipeline() {
        let items = items();
        let selected = |globs: &[&str]| names(select(&items, globs));
        assert_eq!(selected(&["lint", "test.1"]).unwrap(), ["test.1", "lint"]);
        assert_eq!(selected(&["test"]).unwrap(), ["test.0", "test.1"]);
        assert_eq!(selected(&["*.1", "l*"]).unwrap(), ["test.1", "lint"]);
        // A name is a name, whatever it means as a glob.
        assert_eq!(selected(&["a[b]"]).unwrap(), ["a[b]"]);
        assert_eq!(selected(&["lint", "nothing*"]), Err(super::super::exit::NOTHING_MATCHED));
        assert_eq!(selected(&["[z-a]"]), Err(super::super::exit::USAGE));
        assert_eq!(names(skip(items.iter().collect(), &["test", "nothing"])).unwrap(), ["a[b]", "lint"]);
    }

    #[test]
    fn one_item_is_named_by_itself_or_by_its_field_alone() {
        let items = items();
        assert_eq!(one(&items, "test.1").unwrap().name, "test.1");
        assert_eq!(one(&items, "lint").unwrap().name, "lint");
        assert!(
            matches!(one(&items, "test"), Err(Failure::NothingMatched(text)) if text.contains("`test.0`, `test.1`"))
        );
        assert!(
            matches!(one(&items, "lynt"), Err(Failure::NothingMatched(text)) if text.contains("similar name exists: `lint`"))
        );
    }

    #[test]
    fn an_export_is_named_by_itself_or_behind_its_item_and_items_come_first() {
        let test = |name: &str| {
            let container = Container::empty().named(name);
            Item::new("test", container.clone()).with_export("log", container.file("/log"))
        };
        let app = Container::empty().file("/app");
        let build = Item::new("build", Container::empty()).with_export("app", &app).with_export("lint", app);
        let items = [test("test.0"), test("test.1"), build, Item::new("lint", Container::empty())];
        let found = |name: &str| source(&items, name).map(|source| (source.name, source.kind));
        assert_eq!(found("app").unwrap(), ("build.app".to_owned(), ItemKind::File));
        assert_eq!(found("build.app").unwrap(), ("build.app".to_owned(), ItemKind::File));
        assert_eq!(found("test.1.log").unwrap(), ("test.1.log".to_owned(), ItemKind::File));
        assert_eq!(found("lint").unwrap(), ("lint".to_owned(), ItemKind::Container));
        let says = |failure: Failure| match failure {
            Failure::NothingMatched(message) => message,
            other => panic!("{other:?}"),
        };
        for several in ["log", "test.log"] {
            assert_eq!(
                says(found(several).unwrap_err()),
                format!("`{several}` is several exports\n\nhelp: one of `test.0.log`, `test.1.log`")
            );
        }
        let near = says(found("build.ap").unwrap_err());
        assert!(near.ends_with("help: an export with a similar name exists: `build.app`"), "{near}");
        let elsewhere = says(select(&items, &["app"]).unwrap_err());
        assert!(
            elsewhere.ends_with("help: `build` exports a file of this name: `export build.app TARGET` writes it to this machine"),
            "{elsewhere}"
        );
    }

    #[test]
    fn parts_of_a_list_are_disjoint_and_together_all_of_it() {
        let part = |text: &str| text.parse::<Partition>().unwrap().of((0..7).collect::<Vec<_>>());
        assert_eq!(
            [part("slice:1/3"), part("slice:2/3"), part("slice:3/3")],
            [vec![0, 3, 6], vec![1, 4], vec![2, 5]]
        );
        for wrong in ["slice:0/3", "slice:4/3", "slice:1/0", "count:1/2", "1/2", "slice:1", "slice:-1/2"] {
            assert!(wrong.parse::<Partition>().is_err(), "{wrong}");
        }
    }
}
