//! Properties: whatever is typed, the macro does not panic, and rustc can parse the expansion.

use proc_macro2::{Group, TokenStream, TokenTree};
use proptest::prelude::*;

use super::judged::broken_rules;
use super::pipeline;
use crate::expand::Target;

/// All pipelines of the ui cases.
fn seeds() -> Vec<String> {
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui-tests");
    // After a space, so that no token is at the very start, where the span of the whole call is.
    let mut seeds = vec![String::from(" ")];
    for dir in ["pass", "fail", "warn"] {
        for entry in std::fs::read_dir(cases.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(path).unwrap();
                let mut found = Vec::new();
                crate::check::tests::pipelines(source.parse().unwrap(), &mut found);
                seeds.extend(found.iter().map(|pipeline| format!(" {pipeline}")));
            }
        }
    }
    assert!(seeds.len() > 90, "{}", seeds.len());
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

const FRAGMENTS: [&str; 30] = [
    "fn",
    "-> Ci ;",
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
    ":",
    "-",
    "timeout",
    "continue",
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

fn regrouped(group: &Group, stream: TokenStream) -> TokenTree {
    let mut changed = Group::new(group.delimiter(), stream);
    changed.set_span(group.span());
    changed.into()
}

/// Applies the edit at the token with this number, counting through groups.
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
                    result.extend(format!(" {fragment}").parse::<TokenStream>().unwrap());
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
            TokenTree::Group(group) => regrouped(&group, apply(group.stream(), edit, at)),
            other => other,
        });
    }
    result.into_iter().collect()
}

fn survives(tokens: TokenStream) -> Result<(), TestCaseError> {
    let shown = tokens.to_string();
    let mut input: TokenStream = "::bowline;".parse().unwrap();
    input.extend(tokens);
    let _ = pipeline(input.clone(), Target::Editor);
    let expanded = pipeline(input.clone(), Target::Rustc);
    let is_value = syn::parse2::<syn::Block>(expanded.clone()).is_ok();
    let is_rust = is_value || syn::parse2::<syn::File>(expanded.clone()).is_ok();
    prop_assert!(is_rust, "{shown}\n\n{expanded}");
    for (_, error) in broken_rules(input) {
        // Somewhere in what the user typed, and not at the whole call.
        prop_assert!(!error.starts_with("1:0:"), "{shown}\n\n{error}");
    }
    Ok(())
}

/// Inserts two words that are neither Rust nor ours, at the token with this number; but not in the arguments of macros
/// and attributes, where any tokens may stand.
fn with_junk(tokens: TokenStream, at: &mut usize) -> TokenStream {
    let mut result: Vec<TokenTree> = Vec::new();
    let mut is_free = false;
    for token in tokens {
        if *at == 0 {
            result.extend(" qux quux".parse::<TokenStream>().unwrap());
        }
        *at = at.wrapping_sub(1);
        let opens = matches!(&token, TokenTree::Punct(punct) if ['!', '#'].contains(&punct.as_char()));
        result.push(match token {
            TokenTree::Group(group) if !is_free => regrouped(&group, with_junk(group.stream(), at)),
            other => other,
        });
        is_free = opens;
    }
    result.into_iter().collect()
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
    fn junk_is_reported(seed in prop::sample::select(seeds()), at in any::<usize>()) {
        let tokens: TokenStream = seed.parse().unwrap();
        let mut at = at % size(&tokens).max(1);
        let tokens = with_junk(tokens, &mut at);
        let shown = tokens.to_string();
        prop_assume!(shown.contains("qux"));
        let mut input: TokenStream = "::bowline;".parse().unwrap();
        input.extend(tokens.clone());
        prop_assert!(!broken_rules(input).is_empty(), "{shown}");
        survives(tokens)?;
    }

    #[test]
    fn truncated_text(seed in prop::sample::select(seeds()), at in any::<prop::sample::Index>()) {
        let characters: Vec<char> = seed.chars().collect();
        let mut text: String = characters.iter().take(at.index(characters.len() + 1)).collect();
        // An editor closes open delimiters; rustc refuses them before the macro is called.
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
        survives(format!(" {}", words.join(" ")).parse().unwrap())?;
        survives(format!(" service s {{ {} }}", words.join(" ")).parse().unwrap())?;
    }
}
