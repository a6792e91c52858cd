//! Whatever is typed, the macro does not panic, and what it gives can be read by rustc.

use proc_macro2::{Group, TokenStream, TokenTree};
use proptest::prelude::*;

/// Every pipeline of the ui cases.
fn seeds() -> Vec<String> {
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui-tests");
    let mut seeds = vec![String::new()];
    for dir in ["pass", "fail"] {
        for entry in std::fs::read_dir(cases.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(path).unwrap();
                let bodies = source.split("pipeline! {").skip(1);
                seeds.extend(
                    bodies
                        .filter_map(|rest| rest.find("\n    };").map(|end| rest.split_at(end).0.to_owned())),
                );
            }
        }
    }
    assert!(seeds.len() > 60);
    seeds
}

/// One edit of a token tree, somewhere.
#[derive(Debug, Clone)]
enum Edit {
    Remove,
    Repeat,
    Swap,
    Truncate,
    Insert(&'static str),
    Unwrap,
}

const FRAGMENTS: [&str; 24] = [
    "service",
    "container",
    "x",
    "{ }",
    ";",
    "=",
    "as",
    "at",
    "\"text\"",
    "80",
    "if",
    "else",
    "for",
    "in",
    "match",
    "=>",
    "let",
    "(a + b)",
    "[]",
    "/udp",
    "within",
    "r#type",
    "#[doc = \"x\"]",
    "..",
];

fn edits() -> impl Strategy<Value = Vec<(Edit, usize)>> {
    let edit = prop_oneof![
        Just(Edit::Remove),
        Just(Edit::Repeat),
        Just(Edit::Swap),
        Just(Edit::Truncate),
        prop::sample::select(FRAGMENTS.to_vec()).prop_map(Edit::Insert),
        Just(Edit::Unwrap),
    ];
    prop::collection::vec((edit, any::<usize>()), 1..6)
}

fn size(tokens: &TokenStream) -> usize {
    tokens
        .clone()
        .into_iter()
        .map(|token| match token {
            TokenTree::Group(group) => 1 + size(&group.stream()),
            _ => 1,
        })
        .sum()
}

/// Applies the edit at the token of this number, counting into groups.
fn apply(tokens: TokenStream, edit: &Edit, at: &mut usize) -> TokenStream {
    let mut result: Vec<TokenTree> = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        let here = *at == 0;
        *at = at.wrapping_sub(1);
        if here {
            match edit {
                Edit::Remove => {}
                Edit::Repeat => result.extend([token.clone(), token]),
                Edit::Swap => result.extend(tokens.next().into_iter().chain([token])),
                Edit::Truncate => return result.into_iter().collect(),
                Edit::Insert(fragment) => {
                    result.extend(fragment.parse::<TokenStream>().unwrap());
                    result.push(token);
                }
                Edit::Unwrap => match token {
                    TokenTree::Group(group) => result.extend(group.stream()),
                    other => result.push(other),
                },
            }
            continue;
        }
        result.push(match token {
            TokenTree::Group(group) => Group::new(group.delimiter(), apply(group.stream(), edit, at)).into(),
            other => other,
        });
    }
    result.into_iter().collect()
}

fn survives(tokens: TokenStream) -> Result<(), TestCaseError> {
    let shown = tokens.to_string();
    let mut input: TokenStream = "::bowline;".parse().unwrap();
    input.extend(tokens);
    let _ = super::pipeline(input.clone(), super::Reader::Editor);
    let expanded = super::pipeline(input, super::Reader::Rustc);
    let parsed = syn::parse2::<syn::Block>(expanded.clone());
    prop_assert!(parsed.is_ok(), "{shown}\n\n{expanded}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edited_tokens(seed in prop::sample::select(seeds()), edits in edits()) {
        let mut tokens: TokenStream = seed.parse().unwrap();
        for (edit, at) in edits {
            let mut at = at % size(&tokens).max(1);
            tokens = apply(tokens, &edit, &mut at);
        }
        survives(tokens)?;
    }

    #[test]
    fn truncated_text(seed in prop::sample::select(seeds()), at in any::<prop::sample::Index>()) {
        let characters: Vec<char> = seed.chars().collect();
        let mut text: String = characters.iter().take(at.index(characters.len() + 1)).collect();
        // An editor closes what is open; rustc refuses it before the macro is called.
        let mut open = Vec::new();
        for character in text.chars() {
            match character {
                '{' => open.push('}'),
                '(' => open.push(')'),
                '[' => open.push(']'),
                '}' | ')' | ']' => { open.pop(); }
                _ => {}
            }
        }
        text.push('\n');
        text.extend(open.into_iter().rev());
        if let Ok(tokens) = text.parse::<TokenStream>() {
            survives(tokens)?;
        }
    }

    #[test]
    fn shuffled_words(words in prop::collection::vec(prop::sample::select(FRAGMENTS.to_vec()), 0..30)) {
        survives(words.join(" ").parse().unwrap())?;
        survives(format!("service s {{ {} }}", words.join(" ")).parse().unwrap())?;
    }
}
