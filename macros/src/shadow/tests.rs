//! The grammar's table, the documentation and the editor's completion say the same.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::ast::Kind;
use crate::keywords::{PROBES, STATEMENTS};

/// The public functions of a file of `runtime/src/language/`, and those it takes from `common.rs`.
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
                let word = function.sig.ident.to_string();
                assert!(
                    docs.contains(&format!("`{word}")) || context == "ready",
                    "{context}: {word} shows no form"
                );
                assert!(
                    docs.contains("```") && docs.contains("pipeline! {"),
                    "{context}: {word} shows no example"
                );
                words.insert(word);
            }
            syn::Item::Use(import) if matches!(import.vis, syn::Visibility::Public(_)) => {
                let text = quote::ToTokens::to_token_stream(&import.tree).to_string();
                let (_, list) = text.split_once('{').unwrap();
                words.extend(list.trim_end_matches('}').split(',').map(|word| word.trim().to_owned()));
            }
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn set<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    words.map(str::to_owned).collect()
}

/// A new word is documented as a function in `runtime/src/language/`: that is where editors complete it from.
#[test]
fn every_word_is_documented_and_completed() {
    assert_eq!(documented("item"), set(Kind::ALL.iter().map(|(word, _)| *word)));
    for (context, kind) in [("service", Kind::Service), ("container", Kind::Container)] {
        let fitting = STATEMENTS.iter().filter(|keyword| keyword.fits(kind)).map(|keyword| keyword.word);
        assert_eq!(documented(context), set(fitting), "{context}");
    }
    assert_eq!(documented("ready"), set(PROBES.iter().copied()));
    let shared =
        STATEMENTS.iter().filter(|keyword| keyword.fits(Kind::Service) && keyword.fits(Kind::Container));
    assert_eq!(documented("common"), set(shared.map(|keyword| keyword.word)));
}
