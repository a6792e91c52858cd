//! Checks that the table of the grammar, the documentation and the editor's completion agree.

use std::collections::BTreeSet;
use std::path::PathBuf;

use syn::ext::IdentExt;

use crate::keywords::{INSIDE, Kind, OPTION, PROBES, STATEMENTS};

/// The public functions of a file of `runtime/src/language/`, and those that it re-exports from `common.rs`.
fn documented(context: &str) -> BTreeSet<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime/src/language").join(context);
    let source = std::fs::read_to_string(path.with_extension("rs")).unwrap();
    let mut words = BTreeSet::new();
    for item in syn::parse_file(&source).unwrap().items {
        match item {
            syn::Item::Fn(function) => {
                let docs: String = function
                    .attrs
                    .iter()
                    .filter_map(|attribute| match &attribute.meta {
                        syn::Meta::NameValue(doc) => {
                            Some(quote::ToTokens::to_token_stream(&doc.value).to_string())
                        }
                        _ => None,
                    })
                    .collect();
                let word = function.sig.ident.unraw().to_string();
                assert!(
                    docs.contains(&format!("`{word}")) || ["ready", "word"].contains(&context),
                    "{context}: {word} shows no form"
                );
                has_example(&word, &docs, context);
                words.insert(word);
            }
            syn::Item::Use(import) if matches!(import.vis, syn::Visibility::Public(_)) => {
                let text = quote::ToTokens::to_token_stream(&import.tree).to_string();
                assert_eq!(text, "super :: common :: *", "{context}");
                words.extend(documented("common"));
            }
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Checks for an example that uses the word, and that rustdoc compiles and runs, as nothing follows its fence.
fn has_example(word: &str, docs: &str, context: &str) {
    let fences: Vec<&str> = docs.split("```").collect();
    assert!(fences.len() >= 3 && fences.len() % 2 == 1, "{context}: {word} shows no example");
    for example in fences.iter().skip(1).step_by(2) {
        assert!(example.starts_with('"'), "{context}: the example of {word} is not run");
        let (_, pipeline) = example.split_once("pipeline! {").expect("an example is a pipeline");
        let mut words = pipeline.split(|c: char| !c.is_alphanumeric() && c != '_');
        assert!(words.any(|found| found == word), "{context}: the example of {word} does without it");
    }
}

fn set<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    words.map(str::to_owned).collect()
}

/// Every word is documented as a function in `runtime/src/language/`, from which editors complete it.
#[test]
fn every_word_is_documented_and_completed() {
    assert_eq!(documented("item"), set(Kind::ALL.iter().map(|(word, _)| *word)));
    for (context, kind) in [("service", Kind::Service), ("container", Kind::Container)] {
        let fitting = STATEMENTS.iter().filter(|keyword| keyword.fits(kind)).map(|keyword| keyword.word);
        assert_eq!(documented(context), set(fitting), "{context}");
    }
    assert_eq!(documented("ready"), set(PROBES.iter().copied()));
    assert_eq!(documented("option"), set(OPTION.words.iter().copied()));
    let inside = INSIDE.iter().filter(|words| words.module != OPTION.module);
    assert_eq!(documented("word"), set(inside.flat_map(|words| words.words).copied()));
    let shared =
        STATEMENTS.iter().filter(|keyword| keyword.fits(Kind::Service) && keyword.fits(Kind::Container));
    assert_eq!(documented("common"), set(shared.map(|keyword| keyword.word)));
}

/// `place = source::{words};` of `runtime/src/language/next.rs`.
#[test]
fn every_place_for_a_word_is_completed() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime/src/language/next.rs");
    let source = std::fs::read_to_string(path).unwrap();
    let (_, places) = source.split_once("places! {\n").unwrap();
    let found: Vec<(String, Vec<String>)> = places
        .lines()
        .filter_map(|line| {
            let (place, list) = line.trim().strip_suffix("};")?.split_once(" = ")?;
            let (_, words) = list.split_once("::{")?;
            let words = words.split(", ").map(|word| word.trim_start_matches("r#").to_owned());
            Some((place.to_owned(), words.collect()))
        })
        .collect();
    let wanted: Vec<(String, Vec<String>)> = INSIDE
        .iter()
        .map(|words| (words.module.to_owned(), words.words.iter().map(|&word| word.to_owned()).collect()))
        .collect();
    assert_eq!(found, wanted);
}

/// The expansion of every word is pinned: the word is in the source of a snapshot.
#[test]
fn every_word_has_a_snapshot() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/expand/snapshots");
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let (source, _) = text.split_once("// expands to").unwrap();
        let words = source.split(|c: char| !c.is_alphanumeric() && c != '_');
        seen.extend(words.map(str::to_owned));
    }
    let statements = STATEMENTS.iter().map(|keyword| keyword.word);
    let items = Kind::ALL.iter().map(|(word, _)| *word);
    let inside = INSIDE.iter().flat_map(|words| words.words).copied();
    let all = set(statements.chain(items).chain(inside).chain(PROBES));
    assert!(all.len() > 50, "{}", all.len());
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new());
}
