//! The registry of rules against the cases in `ui-tests/fail/`: no rule without a case, no case without a rule, and
//! every case breaks the rule it is named after, at the place that `.stderr` pins.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use crate::driver::{self, judged};
use crate::expand::Target;
use crate::registry::{BY_RUSTC, Class, RULES, Rule, SECTIONS, WARNED_BY_RUSTC, WARNINGS};

fn cases() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ui-tests/fail")
}

/// The contents of the braces of every `pipeline! { … }` in a program.
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

/// Whether `pipeline!` finds it, and not another macro.
fn is_of_pipeline(rule: &Rule) -> bool {
    !["entry-", "cli-"].iter().any(|other| rule.name.starts_with(other))
}

fn broken_rules(pipeline: &TokenStream) -> Vec<(&'static str, String)> {
    let mut input: TokenStream = "::bowline;".parse().unwrap();
    input.extend(pipeline.clone());
    judged::broken_rules(input)
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
    for rule in RULES.iter().filter(|rule| is_of_pipeline(rule)) {
        assert_ne!(rule.class, Class::Rustc, "{}", rule.summary);
        let source = std::fs::read_to_string(cases().join(rule.name).with_extension("rs")).unwrap();
        let mut found = Vec::new();
        pipelines(source.parse().unwrap(), &mut found);
        let broken: Vec<_> = found.iter().flat_map(broken_rules).collect();
        assert!(broken.iter().any(|(name, _)| *name == rule.name), "{}: {broken:#?}", rule.name);
    }
}

/// rust-analyzer reports line 1 for everything: there, messages describe other places instead of giving a line.
#[test]
fn no_lines_in_an_editor() {
    let mut named = 0;
    for rule in RULES.iter().filter(|rule| is_of_pipeline(rule)) {
        let source = std::fs::read_to_string(cases().join(rule.name).with_extension("rs")).unwrap();
        let mut found = Vec::new();
        pipelines(source.parse().unwrap(), &mut found);
        for pipeline in found {
            let [rustc, editor] = [Target::Rustc, Target::Editor].map(|target| {
                let mut input: TokenStream = "::bowline;".parse().unwrap();
                input.extend(pipeline.clone());
                driver::pipeline(input, target).to_string()
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

/// A warning has one case, which causes that warning and nothing else.
#[test]
fn every_warning_has_a_case() {
    let dir = cases().join("../warn");
    let count = std::fs::read_dir(&dir).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "rs")
    });
    assert_eq!(count.count(), WARNINGS.len() + WARNED_BY_RUSTC.len());
    for rule in WARNINGS {
        let source = std::fs::read_to_string(dir.join(rule.name).with_extension("rs")).unwrap();
        let mut found = Vec::new();
        pipelines(source.parse().unwrap(), &mut found);
        let warned: BTreeSet<_> = found
            .iter()
            .flat_map(|pipeline| {
                let mut input: TokenStream = "::bowline;".parse().unwrap();
                input.extend(pipeline.clone());
                judged::warned(input)
            })
            .collect();
        assert_eq!(warned, BTreeSet::from([rule.name]));
    }
}

/// Mistakes that rustc reports, and the macro must accept.
#[test]
fn cases_for_rustc_break_no_rule() {
    let dir = cases();
    let pass = dir.join("../pass");
    let for_rustc = BY_RUSTC.iter().map(|rule| dir.join(rule.name).with_extension("rs"));
    let warned = WARNED_BY_RUSTC.iter();
    let warned = warned.map(|rule| dir.join("../warn").join(rule.name).with_extension("rs"));
    let good = std::fs::read_dir(pass).unwrap().map(|entry| entry.unwrap().path());
    for path in for_rustc.chain(warned).chain(good) {
        let mut found = Vec::new();
        pipelines(std::fs::read_to_string(&path).unwrap().parse().unwrap(), &mut found);
        let broken: Vec<_> = found.iter().flat_map(broken_rules).collect();
        assert!(broken.is_empty(), "{}: {broken:#?}", path.display());
    }
}

/// The public methods of a runtime type that take `&self`: the handle's own methods would hide them.
fn methods(ty: &str) -> BTreeSet<String> {
    let runtime = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime/src");
    let files =
        |room: &str| std::fs::read_dir(runtime.join(room)).unwrap().map(|entry| entry.unwrap().path());
    let mut found = BTreeSet::new();
    for path in ["value", "graph", "run"].into_iter().flat_map(files).filter(|path| path.is_file()) {
        let source = std::fs::read_to_string(path).unwrap();
        for item in syn::parse_file(&source).unwrap().items {
            let syn::Item::Impl(item) = item else { continue };
            if item.trait_.is_some() || item.self_ty.to_token_stream().to_string() != ty {
                continue;
            }
            found.extend(item.items.into_iter().filter_map(|item| match item {
                syn::ImplItem::Fn(method)
                    if matches!(method.vis, syn::Visibility::Public(_))
                        && method.sig.inputs.to_token_stream().to_string().starts_with("& self") =>
                {
                    Some(method.sig.ident.to_string())
                }
                _ => None,
            }));
        }
    }
    found
}

/// A port or an export with such a name would hide a method of the handle.
#[test]
fn method_names_are_taken() {
    for (ty, listed, to_come) in [
        ("Service", super::port::SERVICE_METHODS, ["clone", "up"].as_slice()),
        ("Container", super::export::CONTAINER_METHODS, &["clone", "export_image", "publish", "terminal"]),
    ] {
        let mut methods = methods(ty);
        assert!(methods.len() > 8, "{methods:?}");
        methods.extend(to_come.iter().map(ToString::to_string));
        let listed: BTreeSet<String> = listed.iter().map(ToString::to_string).collect();
        assert_eq!(listed, methods, "{ty}");
    }
}

/// The list of checks in the documentation is generated from the rules: `INSTA_UPDATE=always` writes it.
#[test]
fn documented_checks() {
    let line = |rule: &&Rule| {
        let when = if rule.class == Class::Shared { " †" } else { "" };
        format!("- {}{when}\n", rule.summary)
    };
    let list = |rules: &[&Rule]| rules.iter().map(line).collect::<String>();
    let start = "What the compiler checks, all of it at once and each mistake at its token. What is marked † is also checked \
                 when a plan is built, by the same rule and in the same words, where the value is known only then.\n";
    let warnings =
        "Of rustc's lint `deprecated`, unless they say otherwise: `#[allow(deprecated)]` silences them.";
    let mut parts = vec![start.to_owned()];
    parts.extend(SECTIONS.iter().map(|(section, rules)| format!("\n# {section}\n\n{}", list(rules))));
    parts.push(format!("\n# By types and names, in rustc's own words\n\n{}", list(BY_RUSTC)));
    parts.push(format!("\n# Warnings\n\n{warnings}\n\n{}", list(WARNINGS)));
    parts.push(list(WARNED_BY_RUSTC));
    let text = parts.concat();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime/src/language/checks.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text);
}
