//! The registry of rules against the cases in `ui-tests/fail/`: no rule without a case, no case without a rule, and
//! every case breaks the rule it is named after, at the place that `.stderr` pins.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};

use super::registry::{BY_RUSTC, Class, RULES};
use crate::expand::Reader;

fn cases() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ui-tests/fail")
}

/// What stands in the braces of every `pipeline! { … }` of a program.
pub(crate) fn pipelines(tokens: TokenStream, found: &mut Vec<TokenStream>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "pipeline" => {
                if !matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '!') {
                    continue;
                }
                tokens.next();
                if let Some(TokenTree::Group(group)) = tokens.next() {
                    found.push(group.stream());
                }
            }
            TokenTree::Group(group) => pipelines(group.stream(), found),
            _ => {}
        }
    }
}

fn broken_rules(pipeline: &TokenStream) -> Vec<(&'static str, String)> {
    let mut input: TokenStream = "::bowline;".parse().unwrap();
    input.extend(pipeline.clone());
    crate::expand::broken_rules(input)
}

#[test]
fn every_rule_has_a_case() {
    let rules: BTreeSet<&str> = RULES.iter().chain(BY_RUSTC).map(|rule| rule.name).collect();
    assert_eq!(rules.len(), RULES.len() + BY_RUSTC.len(), "a name is used twice");
    let files: BTreeSet<String> = std::fs::read_dir(cases())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let files: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    assert_eq!(rules.difference(&files).collect::<Vec<_>>(), Vec::<&&str>::new(), "rules without a case");
    assert_eq!(files.difference(&rules).collect::<Vec<_>>(), Vec::<&&str>::new(), "cases without a rule");
}

#[test]
fn every_case_breaks_its_rule() {
    for rule in RULES.iter().filter(|rule| !rule.name.starts_with("entry-")) {
        assert_ne!(rule.class, Class::Rustc, "{}", rule.summary);
        let source = std::fs::read_to_string(cases().join(rule.name).with_extension("rs")).unwrap();
        let mut found = Vec::new();
        pipelines(source.parse().unwrap(), &mut found);
        let broken: Vec<_> = found.iter().flat_map(broken_rules).collect();
        assert!(broken.iter().any(|(name, _)| *name == rule.name), "{}: {broken:#?}", rule.name);
    }
}

/// rust-analyzer calls every line the first: there, messages name other places by what is there.
#[test]
fn no_lines_in_an_editor() {
    let mut named = 0;
    for rule in RULES.iter().filter(|rule| !rule.name.starts_with("entry-")) {
        let source = std::fs::read_to_string(cases().join(rule.name).with_extension("rs")).unwrap();
        let mut found = Vec::new();
        pipelines(source.parse().unwrap(), &mut found);
        for pipeline in found {
            let [rustc, editor] = [Reader::Rustc, Reader::Editor].map(|reader| {
                let mut input: TokenStream = "::bowline;".parse().unwrap();
                input.extend(pipeline.clone());
                crate::expand::pipeline(input, reader).to_string()
            });
            let errors = |expanded: &str| expanded.matches("compile_error").count();
            assert_eq!(errors(&rustc), errors(&editor), "{}", rule.name);
            let has_line = |text: &str| {
                text.match_indices("line ").any(|(at, _)| {
                    text.get(at + "line ".len()..)
                        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                })
            };
            named += usize::from(has_line(&rustc));
            assert!(!has_line(&editor), "{}: {editor}", rule.name);
        }
    }
    assert!(named >= 12, "{named}");
}

/// A warning has one case, which draws it and nothing else.
#[test]
fn every_warning_has_a_case() {
    let dir = cases().join("../warn");
    let count = std::fs::read_dir(&dir).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "rs")
    });
    assert_eq!(count.count(), super::warn::WARNINGS.len() + super::warn::WARNED_BY_RUSTC.len());
    for rule in super::warn::WARNINGS {
        let source = std::fs::read_to_string(dir.join(rule.name).with_extension("rs")).unwrap();
        let mut found = Vec::new();
        pipelines(source.parse().unwrap(), &mut found);
        let warned: BTreeSet<_> = found
            .iter()
            .flat_map(|pipeline| {
                let mut input: TokenStream = "::bowline;".parse().unwrap();
                input.extend(pipeline.clone());
                crate::expand::warned(input)
            })
            .collect();
        assert_eq!(warned, BTreeSet::from([rule.name]));
    }
}

/// What rustc has to find, the macro must not object to.
#[test]
fn cases_for_rustc_break_no_rule() {
    let dir = cases();
    let pass = dir.join("../pass");
    let for_rustc = BY_RUSTC.iter().map(|rule| dir.join(rule.name).with_extension("rs"));
    let warned = super::warn::WARNED_BY_RUSTC.map(|name| dir.join("../warn").join(name).with_extension("rs"));
    let good = std::fs::read_dir(pass).unwrap().map(|entry| entry.unwrap().path());
    for path in for_rustc.chain(warned).chain(good) {
        let mut found = Vec::new();
        pipelines(std::fs::read_to_string(&path).unwrap().parse().unwrap(), &mut found);
        let broken: Vec<_> = found.iter().flat_map(broken_rules).collect();
        assert!(broken.is_empty(), "{}: {broken:#?}", path.display());
    }
}
